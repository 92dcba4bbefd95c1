//! Notices from the cluster to the rest of the emulator.

use std::sync::Arc;

/// One object changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// `Service`
    pub kind: Arc<str>,
    /// Empty for kinds without namespaces.
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// What happened.
    pub change: Change,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Created or changed.
    Changed,
    /// Gone.
    Deleted,
}
