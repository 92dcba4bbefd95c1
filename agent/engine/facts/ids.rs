//! Defines the numbers that stand for names inside the engine.

use crate::model::switch::RouteKey;

/// The number of a cluster; never reused while the engine runs.
pub(crate) type ClusterId = u32;

/// A service: its cluster, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceId {
    pub(crate) cluster: ClusterId,
    pub(crate) slot: u32,
}

/// A node: its cluster, and its slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId {
    pub(crate) cluster: ClusterId,
    pub(crate) slot: u32,
}

/// A reader of a next-hop group, judged again when the group changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum User {
    Service(ServiceId),
    Node(NodeId),
    /// Boxed, because orphans are few and the other variants should stay small.
    Orphan(Box<RouteKey>),
}
