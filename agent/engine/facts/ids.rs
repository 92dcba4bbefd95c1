//! Numbers that stand for names inside the engine.

use crate::model::switch::RouteKey;

/// A cluster of this life of the engine; never reused.
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

/// What looks at a next-hop group, and is looked at again when the group changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum User {
    Service(ServiceId),
    Node(NodeId),
    /// Few: boxed, so that the many are small.
    Orphan(Box<RouteKey>),
}
