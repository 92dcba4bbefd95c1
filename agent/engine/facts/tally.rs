//! Counts how many VIPs each node should announce, and how many use it, without a list of all nodes per VIP.
//!
//! Most VIPs are announced by one set of nodes: every eligible node, or all that the same objects of the speaker
//! select. Those are counted once per set and distinct set of installed next-hops; a node's own figures are read from
//! these counts when its view is made. Only VIPs with other announcers are counted at the nodes.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::figures::Figures;
use super::node_sets::NodeSetId;
use super::nodes::NodeEntry;

/// What one VIP adds to the counts of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contribution {
    pub(crate) announcers: Counted,
    /// Installed next-hops, sorted.
    pub(crate) installed: Arc<[IpAddr]>,
    /// Whether the route may be a better one that hides what a node announces.
    pub(crate) may_hide: bool,
    /// Nodes here, by slot, that are the VIP's only next-hop that serves.
    pub(crate) sole: Box<[u32]>,
}

/// Announcers of a VIP, in the form they are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// All members of a set of nodes.
    NodeSet(NodeSetId),
    /// These nodes, by slot, and whether the route uses each.
    Nodes(Box<[(u32, bool)]>),
}

/// Counts of VIPs that sets of nodes announce.
#[derive(Debug, Default)]
pub(crate) struct VipCounts(FxHashMap<NodeSetId, SetCount>);

impl VipCounts {
    /// Returns the sets that VIPs are counted for.
    pub(crate) fn node_sets(&self) -> impl Iterator<Item = NodeSetId> {
        self.0.keys().copied()
    }

    /// Adds or subtracts a VIP that a set of nodes announces.
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

    /// Adds to `figures` what the sets that a node is in count for it.
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

/// Counts of VIPs that one set of nodes announces.
#[derive(Debug, Default)]
struct SetCount {
    total: u32,
    by_installed: FxHashMap<(Arc<[IpAddr]>, bool), u32>,
}

/// Returns whether a route with these next-hops uses the node: directly, by a gateway, or by one of its VTEPs.
pub(crate) fn uses(installed: &[IpAddr], node: &NodeEntry) -> bool {
    installed.iter().any(|hop| node.location.is_by(*hop))
}
