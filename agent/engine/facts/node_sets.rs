//! Keeps sets of nodes that announce the same VIPs: every eligible node, or those that some objects of the speaker
//! select.
//!
//! A set is identified by the objects that select its members, not by its members, so that VIPs counted for a set need
//! not be counted again when nodes come and go.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::nodes::{Expectation, NodeEntry, Way};
use crate::engine::speakers::{self, Rule, SpeakerResources};
use crate::model::speaker::ObjectKey;

/// The number of a set; never reused.
pub(crate) type NodeSetId = u32;

/// The set of every eligible node.
pub(crate) const EVERYONE: NodeSetId = 0;

/// One set of nodes.
#[derive(Debug, Default)]
pub(crate) struct NodeSet {
    /// The objects that select its members; empty for every eligible node.
    by: Arc<[ObjectKey]>,
    /// Eligible nodes in it, by slot, in order.
    pub(crate) members: Vec<u32>,
    /// Members whose routes do not come by sessions with this switch, by slot, in order.
    ways: Vec<(u32, Way)>,
    filled: bool,
    /// What the set makes expected of a route.
    expectation: Arc<Expectation>,
}

impl NodeSet {
    pub(crate) fn contains(&self, node: u32) -> bool {
        self.members.binary_search(&node).is_ok()
    }

    /// Returns whether a node is in it, and its own sessions should carry what it announces.
    pub(crate) fn expects(&self, node: u32) -> bool {
        self.contains(node) && self.way(node) == Way::Own
    }

    /// Returns how the routes of a node in it reach the fabric.
    pub(crate) fn way(&self, node: u32) -> Way {
        let at = self.ways.binary_search_by_key(&node, |(slot, _)| *slot);
        at.map(|at| self.ways[at].1).unwrap_or_default()
    }

    pub(crate) fn expectation(&self) -> Arc<Expectation> {
        Arc::clone(&self.expectation)
    }

    /// Returns the objects that select its members.
    pub(crate) fn by(&self) -> &[ObjectKey] {
        &self.by
    }
}

/// Who announces one VIP of one service, according to resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VipAnnouncement {
    /// The nodes that may announce it.
    pub(crate) node_set: NodeSetId,
    /// Why no node may announce it by BGP; `None` if some may.
    pub(crate) nobody: Option<Arc<str>>,
    /// Whether no node may announce it by BGP, but a node answers ARP and ND for it.
    pub(crate) by_l2_only: bool,
    /// Whether policy Cluster announces it only with a usable endpoint, whatever the profile says.
    pub(crate) needs_endpoint: bool,
    /// The prefix it is announced as; `None` if resources do not say.
    pub(crate) prefix: Option<IpNet>,
    /// Who announces a shorter prefix. This counts if nobody announces the longer one.
    pub(crate) shorter: Option<Box<VipAnnouncement>>,
}

impl VipAnnouncement {
    /// Creates the announcement of a rule, and numbers the set of nodes that its objects select.
    pub(crate) fn of(rule: Rule, node_sets: &mut NodeSets) -> Self {
        Self {
            node_set: node_sets.id(rule.by.into()),
            nobody: rule.nobody.map(Arc::from),
            by_l2_only: rule.by_l2_only,
            needs_endpoint: rule.needs_endpoint,
            prefix: rule.prefix,
            shorter: rule.shorter.map(|shorter| Box::new(Self::of(*shorter, node_sets))),
        }
    }

    /// Returns the prefix it is announced as, unless that is a host prefix.
    pub(crate) fn aggregate(&self) -> Option<IpNet> {
        self.prefix.filter(|prefix| prefix.prefix_len() < prefix.max_prefix_len())
    }

    /// Returns the shortest prefix that resources allow the VIP to be announced as; the host prefix if they allow none.
    /// `None` if they do not say.
    pub(crate) fn shortest(&self, vip: IpAddr) -> Option<IpNet> {
        match self.nobody {
            Some(_) => Some(IpNet::from(vip)),
            None if self.by_l2_only => Some(IpNet::from(vip)),
            None => self.with_fallbacks().filter_map(|announcement| announcement.prefix).min_by_key(IpNet::prefix_len),
        }
    }

    /// Returns this announcement, followed by the shorter ones.
    pub(crate) fn with_fallbacks(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |announcement| announcement.shorter.as_deref())
    }
}

/// The sets in use.
#[derive(Debug, Default)]
pub(crate) struct NodeSets {
    sets: FxHashMap<NodeSetId, NodeSet>,
    ids: FxHashMap<Arc<[ObjectKey]>, NodeSetId>,
    last: NodeSetId,
}

impl NodeSets {
    /// Returns the set that objects select, and creates it if needed; [`Self::fill`] sets its members.
    pub(crate) fn id(&mut self, by: Arc<[ObjectKey]>) -> NodeSetId {
        if by.is_empty() {
            return EVERYONE;
        }
        if let Some(id) = self.ids.get(&by) {
            return *id;
        }
        self.last += 1;
        self.ids.insert(Arc::clone(&by), self.last);
        self.sets.insert(self.last, NodeSet { by, ..NodeSet::default() });
        self.last
    }

    pub(crate) fn get(&self, id: NodeSetId) -> Option<&NodeSet> {
        self.sets.get(&id)
    }

    /// Returns whether the set has not been filled yet.
    pub(crate) fn is_new(&self, id: NodeSetId) -> bool {
        self.sets.get(&id).is_none_or(|set| !set.filled)
    }

    /// Forgets the sets that are not in use.
    pub(crate) fn keep(&mut self, used: &BTreeSet<NodeSetId>) {
        self.sets.retain(|id, _| *id == EVERYONE || used.contains(id));
        self.ids.retain(|_, id| used.contains(id));
    }

    /// Works out the members of every set; `eligible` is in order of slot. `is_own` tells this switch's addresses, and
    /// `is_node` those of nodes. Returns the nodes that joined or left a set, or whose routes come another way.
    pub(crate) fn fill(
        &mut self,
        resources: &SpeakerResources,
        eligible: &[(u32, &NodeEntry)],
        is_own: impl Fn(IpAddr) -> bool,
        is_node: impl Fn(IpAddr) -> bool,
    ) -> BTreeSet<u32> {
        let mut moved = BTreeSet::new();
        self.sets.entry(EVERYONE).or_default();
        let speaks_outside = |node: &NodeEntry| speakers::speaks_outside(resources, &node.name, &node.node, &is_node);
        let mut inside: Vec<u32> =
            eligible.iter().filter(|(_, node)| !speaks_outside(node)).map(|(slot, _)| *slot).collect();
        // If no node is known to speak with a switch, all may.
        if inside.len() == eligible.len() {
            inside.clear();
        }
        for (id, set) in &mut self.sets {
            let by = Arc::clone(&set.by);
            let is_member =
                |node: &NodeEntry| *id == EVERYONE || speakers::selects(resources, &by, &node.name, &node.node);
            let way = |slot: u32, node: &NodeEntry| match node.location.place.is_attached() {
                true if speakers::passes_by(resources, &by, &node.node, &is_own) => Way::Elsewhere,
                false if inside.binary_search(&slot).is_ok() => Way::Others,
                _ => Way::Own,
            };
            let members = eligible.iter().filter(|(_, node)| is_member(node));
            let ways: Vec<(u32, &NodeEntry, Way)> =
                members.map(|(slot, node)| (*slot, *node, way(*slot, node))).collect();
            let members: Vec<u32> = ways.iter().map(|(slot, ..)| *slot).collect();
            moved.extend(members.iter().filter(|slot| !set.contains(**slot)));
            moved.extend(set.members.iter().filter(|slot| members.binary_search(slot).is_err()));
            moved.extend(ways.iter().filter(|(slot, _, way)| set.way(*slot) != *way).map(|(slot, ..)| *slot));
            set.expectation = Arc::new(Expectation::of(ways.iter().copied()));
            set.members = members;
            set.ways =
                ways.into_iter().filter(|(.., way)| *way != Way::Own).map(|(slot, _, way)| (slot, way)).collect();
            set.filled = true;
        }
        moved
    }
}
