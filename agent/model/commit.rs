//! Commits of configuration: what the switch delivers, and what is answered.

use crate::path::Path;

/// One delivered node of the configuration, not yet validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whether the node is there or gone.
    pub op: Operation,
    /// JS path with keys, as received: `.k8s_services.cluster{.name=="c1"}`, hyphens or underscores.
    pub path: String,
    /// The node's whole content; may be empty.
    pub json: String,
}

/// What became of a configuration node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is new or has new content.
    Set,
    /// It is gone.
    Delete,
}

/// Something to say about a leaf: why a commit cannot be accepted, or what it will not do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The node it is about.
    pub path: Path,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force, with warnings.
    Accepted(Vec<Problem>),
    /// It is rejected for these reasons: the switch goes back to the configuration before.
    Rejected(Vec<Problem>),
}
