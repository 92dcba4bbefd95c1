//! How many VIPs each node should announce, and how many use it, kept without a list per VIP of all nodes.
//!
//! Most VIPs are announced by every eligible node, or by all that the same objects of the speaker select: by one node_set.
//! Those are counted once per node_set and distinct set of installed next-hops; a node's own figures are read from these sets
//! when its view is made. Only VIPs announced by other sets of nodes are counted at the nodes.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::node_sets::NodeSetId;
use super::nodes::NodeEntry;

/// What one VIP adds to the counts of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contribution {
    pub(crate) announcers: Counted,
    /// Installed next-hops, sorted.
    pub(crate) installed: Arc<[IpAddr]>,
    /// The route may be a better one that hides what a node announces.
    pub(crate) may_hide: bool,
    /// Nodes here, by slot, that are its only next-hop that serves.
    pub(crate) sole: Box<[u32]>,
}

/// Announcers of a VIP, as they are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// All of an node_set, whoever is in it.
    NodeSet(NodeSetId),
    /// These, by slot, and whether the route uses each.
    Nodes(Box<[(u32, bool)]>),
}

/// VIPs that node_sets announce.
#[derive(Debug, Default)]
pub(crate) struct VipCounts(FxHashMap<NodeSetId, SetCount>);

impl VipCounts {
    /// The node_sets VIPs are counted for.
    pub(crate) fn node_sets(&self) -> impl Iterator<Item = NodeSetId> {
        self.0.keys().copied()
    }

    /// Counts a VIP that a node set announces, or takes it away.
    pub(crate) fn count(&mut self, id: NodeSetId, installed: Arc<[IpAddr]>, may_hide: bool, add: bool) {
        let set = self.0.entry(id).or_default();
        let key = (installed, may_hide);
        let figure = set.by_installed.entry(key.clone()).or_default();
        for figure in [&mut set.total, &mut *figure] {
            *figure = if add { *figure + 1 } else { *figure - 1 };
        }
        if *figure == 0 {
            set.by_installed.remove(&key);
        }
        if set.total == 0 {
            self.0.remove(&id);
        }
    }

    /// Adds what the sets a node is in count for it.
    pub(crate) fn add_to(&self, figures: &mut Figures, node: &NodeEntry, member: impl Fn(NodeSetId) -> bool) {
        for set in self.0.iter().filter(|(id, _)| member(**id)).map(|(_, set)| set) {
            figures.expected += set.total;
            for ((installed, may_hide), count) in &set.by_installed {
                figures.installed += if uses(installed, node) { *count } else { 0 };
                figures.hidden += if *may_hide { *count } else { 0 };
                figures.routed += if installed.is_empty() { 0 } else { *count };
            }
        }
    }
}

/// VIPs that one node_set announces.
#[derive(Debug, Default)]
struct SetCount {
    total: u32,
    by_installed: FxHashMap<(Arc<[IpAddr]>, bool), u32>,
}

/// The figures of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) expected: u32,
    pub(crate) installed: u32,
    /// Of the expected: those whose route may hide the node's own.
    pub(crate) hidden: u32,
    /// Of the expected: those that have a route.
    pub(crate) routed: u32,
    /// VIPs that have no other next-hop that serves.
    pub(crate) sole: u32,
}

/// True when a route with these next-hops uses the node: directly, or by a VTEP of it.
pub(crate) fn uses(installed: &[IpAddr], node: &NodeEntry) -> bool {
    installed.iter().any(|hop| node.location.is_by(*hop))
}
