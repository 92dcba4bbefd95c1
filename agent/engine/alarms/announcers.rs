//! Tracks nodes that should announce VIPs: whose sessions are down, what that costs, and which are not located.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::condition::{self, Condition, Fault, Share};
use super::words;
use crate::model::alarm::{AlarmType, ClearedBecause, Resource};
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName};
use crate::model::time::Timestamp;
use crate::model::verdict::Owner;
use crate::model::view::NodeView;

/// Announcers of every cluster.
#[derive(Debug, Default)]
pub(super) struct Announcers {
    clusters: BTreeMap<ClusterName, Cluster>,
    /// Nodes whose condition must be worked out again.
    touched: BTreeSet<(ClusterName, NodeName)>,
}

/// Announcers of one cluster, and what services contribute to their condition.
#[derive(Debug, Default)]
struct Cluster {
    /// Nodes with a session that is down.
    down: BTreeMap<NodeName, Arc<NodeView>>,
    /// Nodes that cannot be located.
    unlocated: BTreeMap<NodeName, Arc<NodeView>>,
    located: BTreeSet<NodeName>,
    attached: BTreeSet<NodeName>,
    /// Attached announcers with a session that is down.
    attached_down: BTreeSet<NodeName>,
    /// Number of VIPs that have lost each node as a next-hop.
    lost: FxHashMap<NodeName, u32>,
    /// Number of services with next-hops that could be unlocated announcers.
    unmapped: u32,
}

impl Announcers {
    /// Applies a change of a node's view. `alarmed`: whether it has a condition or an alarm.
    pub(super) fn set(&mut self, cluster: &ClusterName, node: &NodeName, view: Option<&Arc<NodeView>>, alarmed: bool) {
        let of = self.clusters.entry(cluster.clone()).or_default();
        let before = (of.all_down(), of.most_are_located());
        let was = of.down.contains_key(node) || of.unlocated.contains_key(node);
        put(&mut of.down, node, view.filter(|view| condition::is_session_down(view)));
        put(&mut of.unlocated, node, view.filter(|view| condition::is_unlocated(view)));
        mark(&mut of.located, node, view.is_some_and(|view| condition::is_located(view)));
        mark(&mut of.attached, node, view.is_some_and(|view| condition::is_attached(view)));
        let attached_down = |view: &&Arc<NodeView>| condition::is_attached(view) && condition::is_session_down(view);
        mark(&mut of.attached_down, node, view.as_ref().is_some_and(attached_down));
        let is = of.down.contains_key(node) || of.unlocated.contains_key(node);
        if view.is_some() && (was || is || alarmed) {
            self.touched.insert((cluster.clone(), node.clone()));
        }
        if before != (of.all_down(), of.most_are_located()) {
            self.touch_all(cluster);
        }
        if self.clusters.get(cluster).is_some_and(Cluster::is_empty) {
            self.clusters.remove(cluster);
        }
    }

    /// Forgets a node's session, of which nothing is known now: services raise no alarm about it until something is.
    pub(super) fn lose_sight(&mut self, cluster: &ClusterName, node: &NodeName) {
        let Some(of) = self.clusters.get_mut(cluster) else { return };
        of.down.remove(node);
        of.unlocated.remove(node);
        self.touched.remove(&(cluster.clone(), node.clone()));
    }

    fn touch_all(&mut self, cluster: &ClusterName) {
        let Some(of) = self.clusters.get(cluster) else { return };
        let nodes = of.down.keys().chain(of.unlocated.keys());
        self.touched.extend(nodes.map(|node| (cluster.clone(), node.clone())));
    }

    /// Counts one VIP more, or one less, that has lost a node as a next-hop.
    pub(super) fn count_lost(&mut self, cluster: &ClusterName, node: &NodeName, add: bool) {
        let of = self.clusters.entry(cluster.clone()).or_default();
        let count = of.lost.entry(node.clone()).or_default();
        *count = if add { *count + 1 } else { *count - 1 };
        if *count == 0 {
            of.lost.remove(node);
        }
        if of.down.contains_key(node) {
            self.touched.insert((cluster.clone(), node.clone()));
        }
    }

    /// Counts one service more, or one less, with next-hops that are not known as located nodes.
    pub(super) fn count_unmapped(&mut self, cluster: &ClusterName, add: bool) {
        let of = self.clusters.entry(cluster.clone()).or_default();
        let before = of.unmapped > 0;
        of.unmapped = if add { of.unmapped + 1 } else { of.unmapped - 1 };
        if before != (of.unmapped > 0) {
            self.touch_all(cluster);
        }
    }

    /// Returns whether a node's session is down, but no VIP has lost the node as a next-hop.
    pub(super) fn costs_nothing(&self, cluster: &ClusterName, node: &NodeName) -> bool {
        let of = self.clusters.get(cluster);
        of.is_some_and(|of| of.attached_down.contains(node) && !of.lost.contains_key(node))
    }

    /// Returns and forgets the nodes whose condition must be worked out again.
    pub(super) fn touched(&mut self) -> BTreeSet<(ClusterName, NodeName)> {
        std::mem::take(&mut self.touched)
    }

    /// Returns the condition of a node. `alarmed`: whether the alarm of its session is active.
    pub(super) fn condition(
        &self,
        cluster: &ClusterName,
        node: &NodeName,
        instance: &NetworkInstanceName,
        alarmed: bool,
        now: Timestamp,
    ) -> Condition {
        let Some(of) = self.clusters.get(cluster) else { return Condition::Well(ClearedBecause::Well) };
        if let Some(view) = of.down.get(node) {
            return match condition::is_announcer(view) {
                true => Condition::Fault(of.session_down(cluster, node, view, now)),
                // Nobody needs the session, so it may stay down.
                false => Condition::Well(ClearedBecause::NothingToAnnounce),
            };
        }
        match of.unlocated.get(node) {
            // A next-hop that is not known as a node's may be this node.
            Some(_) if of.unmapped > 0 => {
                Condition::Well(if alarmed { ClearedBecause::NotKnown } else { ClearedBecause::Well })
            }
            // Without host routes of most of the others, this leaf cannot know where nodes are.
            Some(_) if !of.most_are_located() => Condition::Unknown,
            Some(view) => Condition::Fault(not_located(cluster, node, view, instance)),
            None if alarmed && !of.attached.contains(node) && !of.located.contains(node) => {
                Condition::Well(ClearedBecause::NothingToAnnounce)
            }
            None => Condition::Well(ClearedBecause::Well),
        }
    }
}

impl Cluster {
    /// Returns whether there are several attached announcers, and all of them have lost their session.
    fn all_down(&self) -> bool {
        self.attached_down.len() > 1 && self.attached_down.len() == self.attached.len()
    }

    fn most_are_located(&self) -> bool {
        self.located.len() > self.unlocated.len()
    }

    fn is_empty(&self) -> bool {
        self.down.is_empty()
            && self.unlocated.is_empty()
            && self.located.is_empty()
            && self.attached.is_empty()
            && self.lost.is_empty()
            && self.unmapped == 0
    }

    fn session_down(&self, cluster: &ClusterName, node: &NodeName, view: &NodeView, now: Timestamp) -> Arc<Fault> {
        let (text, detail) = words::sessions(node, view, now);
        let share = match self.all_down() {
            true => Share::May(Resource::Cluster(cluster.clone())),
            false => Share::Alone,
        };
        Arc::new(Fault {
            kind: AlarmType::NeighborSessionDown,
            severity: AlarmType::NeighborSessionDown.severity(),
            owner: Owner::Network,
            reason: None,
            share,
            text: words::with_lost_next_hops(&text, self.lost.get(node).copied().unwrap_or_default()),
            detail,
            explained_by: Box::default(),
            cause: view.cause.as_ref().map(|cause| cause.probable),
        })
    }
}

fn not_located(cluster: &ClusterName, node: &NodeName, view: &NodeView, instance: &NetworkInstanceName) -> Arc<Fault> {
    let detail = words::unlocated(view, instance);
    Arc::new(Fault {
        kind: AlarmType::NodeAddressUnknown,
        severity: AlarmType::NodeAddressUnknown.severity(),
        owner: Owner::Cluster,
        reason: None,
        share: Share::With(Resource::Cluster(cluster.clone())),
        text: words::unlocated_node(node, view, &detail),
        detail,
        explained_by: Box::default(),
        cause: None,
    })
}

fn put(table: &mut BTreeMap<NodeName, Arc<NodeView>>, node: &NodeName, view: Option<&Arc<NodeView>>) {
    match view {
        Some(view) => drop(table.insert(node.clone(), Arc::clone(view))),
        None => drop(table.remove(node)),
    }
}

fn mark(set: &mut BTreeSet<NodeName>, node: &NodeName, is: bool) {
    match is {
        true => set.insert(node.clone()),
        false => set.remove(node),
    };
}
