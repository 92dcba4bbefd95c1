//! Defines how many VIPs a node should announce, and how many use it.

/// The figures of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) expected: u32,
    pub(crate) installed: u32,
    /// VIPs among the expected whose route may hide the node's own.
    pub(crate) hidden: u32,
    /// VIPs among the expected that have a route.
    pub(crate) routed: u32,
    /// VIPs without another next-hop that serves.
    pub(crate) sole: u32,
}
