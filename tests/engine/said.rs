//! The published state, collected from the engine's changes, and its form for comparison with a recompute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use srl_k8s_services::model::alarm::{AlarmCounts, AlarmKey, AlarmNotification, AlarmRecord, AlarmView};
use srl_k8s_services::model::event::Event;
use srl_k8s_services::model::inquiry::{Inquiry, revise};
use srl_k8s_services::model::names::{ClusterName, NodeName, ServiceKey};
use srl_k8s_services::model::persistent::Attachment;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::RouteKey;
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::Reason;
use srl_k8s_services::model::view::{
    Change, ClusterView, NodeView, OrphanView, RootView, ServiceView, SourceView, SummaryView, Verdict, Without,
};

/// The published state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) root: Option<RootView>,
    pub(crate) summary: Option<SummaryView>,
    pub(crate) sources: BTreeMap<SourceId, SourceView>,
    pub(crate) clusters: BTreeMap<ClusterName, ClusterView>,
    pub(crate) nodes: BTreeMap<(ClusterName, NodeName), NodeView>,
    pub(crate) services: BTreeMap<(ClusterName, ServiceKey), ServiceView>,
    pub(crate) orphans: BTreeMap<RouteKey, OrphanView>,
    pub(crate) attachments: BTreeSet<Attachment>,
    pub(crate) alarms: AlarmState,
    /// What the engine asks the switch, which is not part of a recompute.
    pub(crate) asked: Inquiry,
}

/// The published alarms. They depend on history and not only on the present state, so `alarms` checks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlarmState {
    pub(crate) active: BTreeMap<AlarmKey, AlarmView>,
    pub(crate) history: BTreeMap<u64, AlarmRecord>,
    pub(crate) counts: AlarmCounts,
    pub(crate) notifications: Vec<AlarmNotification>,
    /// How often the state file had to be written.
    pub(crate) saves: usize,
}

impl State {
    /// Restores what the state file contains, which no change repeats.
    pub(crate) fn restore(&mut self, event: &Event) {
        if let Event::Restored(memory) = event {
            self.attachments = memory.attachments.clone();
        }
    }

    /// Applies a change. Returns false if it changes nothing.
    pub(crate) fn take(&mut self, change: Change) -> bool {
        match change {
            Change::Root(view) => self.root.replace(view.clone()).is_none_or(|old| old != view),
            Change::Summary(view) => self.summary.replace(view).is_none_or(|old| old != view),
            Change::Source(id, view) => put(&mut self.sources, id, view),
            Change::Cluster(name, view) => put(&mut self.clusters, name, view),
            Change::Node(cluster, node, view) => put(&mut self.nodes, (cluster, node), view.map(Arc::unwrap_or_clone)),
            Change::Service(cluster, service, view) => {
                put(&mut self.services, (cluster, service), view.map(Arc::unwrap_or_clone))
            }
            Change::Orphan(key, view) => put(&mut self.orphans, key, view),
            Change::Alarm(key, view) => put(&mut self.alarms.active, key, view),
            Change::AlarmHistory(sequence, record) => put(&mut self.alarms.history, sequence, record),
            Change::AlarmCounts(counts) => std::mem::replace(&mut self.alarms.counts, counts) != counts,
            Change::AlarmNotification(notification) => {
                self.alarms.notifications.push(notification);
                true
            }
            Change::Ask(changes) => {
                let before = self.asked.clone();
                revise(&mut self.asked, &changes);
                self.asked != before
            }
            Change::PersistentState(memory) => {
                // It is saved at its own pace, so what changed meanwhile may be as before.
                self.attachments = memory.attachments;
                self.alarms.saves += 1;
                true
            }
        }
    }

    /// Returns the state for comparison: times are zeroed, and free text is reduced to whether there is any. Evidence
    /// below a verdict that says nothing is known is not compared.
    pub(crate) fn normalised(mut self) -> Self {
        let some = |text: &mut Option<Arc<str>>| *text = text.take().map(|_| "".into());
        self.asked = Inquiry::default();
        self.root.iter_mut().for_each(|root| some(&mut root.reason));
        for source in self.sources.values_mut() {
            source.stale_since = source.stale_since.map(|_| Timestamp::UNIX_EPOCH);
        }
        self.clusters.values_mut().for_each(|cluster| some(&mut cluster.reason));
        for node in self.nodes.values_mut() {
            node.peers.sort_by_key(|peer| peer.address);
            // Causes do not depend on the events alone. They have their own tests.
            node.cause = None;
            node.peers.iter_mut().for_each(|peer| peer.cause = None);
        }
        for service in self.services.values_mut() {
            service.last_change = Timestamp::UNIX_EPOCH;
            some(&mut service.verdict.detail);
            for vip in &mut service.vips {
                vip.last_change = Timestamp::UNIX_EPOCH;
                some(&mut vip.verdict.detail);
                vip.cause = None;
                vip.by_design = false;
                for hop in &mut vip.next_hops {
                    // What a VIP would be without the next-hop is tested by removing it with levers.
                    (hop.cause, hop.without) = (None, Without::default());
                }
                if blind(&vip.verdict) {
                    (vip.prefix, vip.route, vip.vantage, vip.announcement) = (None, None, None, None);
                    (vip.expected, vip.installed) = (0, 0);
                    vip.next_hops = Box::default();
                }
            }
        }
        for orphan in self.orphans.values_mut() {
            orphan.since = Timestamp::UNIX_EPOCH;
        }
        self
    }
}

/// Returns whether the verdict says that nothing is known. What is shown below it is up to the engine.
pub(crate) fn blind(verdict: &Verdict) -> bool {
    matches!(verdict.reason, Some(Reason::Syncing | Reason::SwitchStale | Reason::NetworkInstanceMissing))
}

fn put<K: Ord, V: PartialEq>(table: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> bool {
    match value {
        Some(value) if table.get(&key) == Some(&value) => false,
        Some(value) => {
            table.insert(key, value);
            true
        }
        None => table.remove(&key).is_some(),
    }
}
