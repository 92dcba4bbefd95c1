//! Defines commits of configuration: what the switch delivers, and how the agent answers.

use crate::path::Path;

/// One delivered node of the configuration, not yet validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whether the node exists or is gone.
    pub op: Operation,
    /// JS path with keys, as received: `.k8s_services.cluster{.name=="c1"}`, hyphens or underscores.
    pub path: String,
    /// The node's whole content, which may be empty.
    pub json: String,
}

/// What happened to a configuration node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is new or has new content.
    Set,
    /// It was deleted.
    Delete,
}

/// A message about a leaf: why a commit cannot be accepted, or what will have no effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The node it is about.
    pub path: Path,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The configuration is in force, with warnings.
    Accepted(Vec<Problem>),
    /// The commit is rejected for these reasons: the switch returns to the former configuration.
    Rejected(Vec<Problem>),
}
