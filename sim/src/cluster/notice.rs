//! Notices by which the cluster informs the rest of the emulator.

use std::sync::Arc;

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Kind, such as `Service`.
    pub kind: Arc<str>,
    /// Namespace; empty for kinds without namespaces.
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// What happened to the object.
    pub change: Change,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object was created or changed.
    Changed,
    /// The object was deleted.
    Deleted,
}
