//! Raises and clears alarms: for faults of VIPs, nodes, sources and routes that last long enough that somebody should
//! act.
//!
//! ```text
//!   views that changed ─► condition ─► subjects (hold times) ─► table (one alarm a cause, texts, history) ─► changes
//!                 announcers ─┘                                   pacing ─► notifications
//! ```
//!
//! The engine runs this stage after evaluation. It reads the changes that are about to be published, so that an alarm
//! and the state it is about never disagree. A condition that is not known neither raises nor clears an alarm.

mod alarm;
mod announcers;
mod condition;
mod history;
mod pacing;
mod subjects;
mod table;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::model::alarm::{AlarmCounts, AlarmKey, AlarmType, ClearedBecause, Resource};
use crate::model::config::AlarmPolicy;
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use crate::model::persistent::PersistentState;
use crate::model::source::SourceId;
use crate::model::switch::Unroutable;
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::{Owner, Reason};
use crate::model::view::{Change, NodeView, ServiceView, VipView};

use announcers::Announcers;
use condition::{Condition, Fault, Share};
use pacing::Pacing;
use subjects::Subjects;
use table::AlarmTable;

/// The least time between two saves after alarms were raised or cleared: an outage must not wear out the disk.
const SAVE_PACE: Duration = Duration::from_secs(1);
/// The least time between two saves after only texts changed.
const SAVE_TEXT_PACE: Duration = Duration::from_secs(10);

/// What the stage reads besides the changes.
#[derive(Debug)]
pub(super) struct AlarmInput {
    pub(super) now: Now,
    /// `None` until there is a configuration.
    pub(super) policy: Option<AlarmPolicy>,
    pub(super) visibility: Visibility,
    /// Every source.
    pub(super) sources: BTreeMap<SourceId, SourceCondition>,
    /// Enabled clusters.
    pub(super) clusters: BTreeMap<ClusterName, ClusterCondition>,
    /// Network instances VIPs can live in, by name.
    pub(super) instances: Vec<NetworkInstanceName>,
}

/// Which resources have a known condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Visibility {
    /// Whether the switch's own tables are known.
    pub(super) switch: bool,
    /// Whether BGP neighbors and the switch's own tables are known.
    pub(super) neighbors: bool,
}

/// The condition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceCondition {
    /// The source has not answered yet, but still has time to.
    Awaited,
    /// The source answers.
    Heard,
    /// The source does not answer.
    Lost {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: Arc<str>,
        /// Whether the source was read before, so that its data is known.
        was_read: bool,
    },
}

/// The condition of an enabled cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterCondition {
    /// `network-instance`.
    pub(super) instance: NetworkInstanceName,
    /// Why VIPs cannot be routed in it, if they cannot.
    pub(super) unroutable: Option<Unroutable>,
    /// Whether everything its verdicts need is known.
    pub(super) judged: bool,
    /// Address pools, if [`Alarms::wants_pools`] asked for them.
    pub(super) pools: Option<Vec<PoolUse>>,
}

/// How full an address pool of a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoolUse {
    pub(super) name: String,
    /// Number of addresses.
    pub(super) size: u128,
    /// Number of addresses in use.
    pub(super) used: u128,
}

/// The state of the stage.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    subjects: Subjects,
    table: AlarmTable,
    announcers: Announcers,
    pacing: Pacing,
    policy: AlarmPolicy,
    /// Services that have alarms, or that affect the alarms of nodes.
    traces: FxHashMap<ClusterName, FxHashMap<ServiceKey, Trace>>,
    /// Services with a VIP whose condition is unknown; filled only while restored alarms wait for their members.
    unknown: BTreeSet<(ClusterName, ServiceKey)>,
    /// Clusters that have a condition or an alarm of their own.
    clusters: BTreeSet<ClusterName>,
    published: AlarmCounts,
    unsaved: Unsaved,
    saved_at: Option<Duration>,
}

/// What the state file does not contain yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Unsaved {
    #[default]
    Nothing,
    Texts,
    Alarms,
}

/// Which parts of a service have a condition, and how the service affects the alarms of nodes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    itself: bool,
    vips: BTreeSet<IpAddr>,
    waits_for: Vec<NodeName>,
    unmapped: bool,
}

impl Visibility {
    /// Returns what is visible in both.
    fn and(self, other: Self) -> Self {
        Self { switch: self.switch && other.switch, neighbors: self.neighbors && other.neighbors }
    }

    /// Returns whether the condition of a resource is known.
    fn covers(self, resource: &Resource) -> bool {
        match resource {
            Resource::Source(_) => true,
            Resource::Node(..) => self.neighbors,
            _ => self.switch,
        }
    }
}

impl Alarms {
    /// Restores the alarms and the history that an earlier run of the agent saved.
    pub(super) fn load(&mut self, saved: &PersistentState) {
        for (key, view) in &saved.alarms {
            let group = stands_for_several(key);
            if group {
                self.subjects.restore_group(key);
            } else if self.subjects.has(&key.resource) {
                continue; // one alarm for each resource
            } else {
                self.subjects.restore(key, view);
                self.trace_restored(&key.resource);
            }
            self.table.restore(key, view, group);
        }
        self.table.restore_history(&saved.alarm_history, saved.last_sequence);
    }

    fn trace_restored(&mut self, resource: &Resource) {
        match resource {
            Resource::Vip(cluster, service, address) => {
                let services = self.traces.entry(cluster.clone()).or_default();
                services.entry(service.clone()).or_default().vips.insert(*address);
            }
            Resource::Service(cluster, service) => {
                self.traces.entry(cluster.clone()).or_default().entry(service.clone()).or_default().itself = true;
            }
            Resource::Cluster(cluster) => drop(self.clusters.insert(cluster.clone())),
            _ => {}
        }
    }

    /// Returns the clusters whose address pools the next [`Self::observe`] needs.
    pub(super) fn wants_pools(&self, now: Now) -> BTreeSet<ClusterName> {
        let raised = self.subjects.due_by(now, AlarmType::VipAddressPending);
        raised.chain(self.table.stale_of(now, AlarmType::VipAddressPending)).cloned().collect()
    }

    /// Processes what is about to be published. Returns the resulting changes of alarms.
    pub(super) fn observe(&mut self, input: &AlarmInput, changes: &[Change]) -> Vec<Change> {
        let now = input.now;
        if let Some(policy) = input.policy {
            self.policy = policy;
            self.subjects.set_policy(policy);
            self.table.set_history_size(policy.history_size);
        }
        for (cluster, condition) in &input.clusters {
            if let Some(pools) = &condition.pools {
                self.table.set_pools(cluster, words::pools(pools));
            }
        }
        // What is no longer visible is hidden before everything else, and what is visible again is shown after it, so
        // that neither is taken for a change.
        self.subjects.set_visibility(now, input.visibility.and(self.subjects.visibility()));
        self.sources(input);
        self.instances(input);
        self.nodes(input, changes);
        self.services(input, changes);
        self.touched_nodes(input);
        self.subjects.set_visibility(now, input.visibility);
        self.subjects.forget_unseen(now, |resource| input.fully_reported(resource));
        self.subjects.settle(now, |key| self.table.has_group(key));
        self.table.follow(now, self.subjects.transitions());
        self.release(input);
        self.table.write(now);
        self.output(now)
    }

    /// Releases restored alarms that stand for several resources, once the condition of each possible member is known.
    fn release(&mut self, input: &AlarmInput) {
        if !self.table.is_restoring() {
            self.unknown.clear();
            return;
        }
        let unknown = &self.unknown;
        let fully_reported = |key: &AlarmKey| {
            let waits =
                |(cluster, _): &(ClusterName, ServiceKey)| key.resource.cluster().is_none_or(|of| of == cluster);
            input.fully_reported(&key.resource) && !unknown.iter().any(waits)
        };
        for key in self.table.release(input.now, self.policy.clear_hold, fully_reported) {
            self.subjects.release_group(&key);
        }
    }

    fn output(&mut self, now: Now) -> Vec<Change> {
        let mut output = self.table.take();
        let unsaved = match (output.turned, output.changes.is_empty()) {
            (true, _) => Unsaved::Alarms,
            (false, false) => Unsaved::Texts,
            (false, true) => Unsaved::Nothing,
        };
        self.unsaved = self.unsaved.max(unsaved);
        let admitted = self.pacing.admit(now, output.notifications);
        output.changes.extend(admitted.into_iter().map(Change::AlarmNotification));
        let counts = self.table.counts();
        if counts != self.published {
            self.published = counts;
            output.changes.push(Change::AlarmCounts(counts));
        }
        output.changes
    }

    /// Returns when time alone next raises, clears, writes or saves something.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let save = self.saved_at.zip(self.save_pace()).map(|(at, pace)| at + pace);
        let due = [self.subjects.deadline(), self.table.deadline(self.policy.clear_hold), self.pacing.deadline(), save];
        due.into_iter().flatten().min()
    }

    fn save_pace(&self) -> Option<Duration> {
        match self.unsaved {
            Unsaved::Nothing => None,
            Unsaved::Texts => Some(SAVE_TEXT_PACE),
            Unsaved::Alarms => Some(SAVE_PACE),
        }
    }

    /// Returns whether what must survive a restart has changed, and the last save is long enough ago.
    pub(super) fn wants_saving(&self, now: Now) -> bool {
        self.save_pace().is_some_and(|pace| self.saved_at.is_none_or(|at| now.elapsed >= at + pace))
    }

    /// Adds what must survive a restart to `state`.
    pub(super) fn save(&mut self, now: Now, state: &mut PersistentState) {
        self.unsaved = Unsaved::Nothing;
        self.saved_at = Some(now.elapsed);
        (state.alarms, state.alarm_history, state.last_sequence) = self.table.save();
    }

    /// Processes nodes once neighbors are visible again: views that did not change meanwhile are not among the changes.
    pub(super) fn reobserve<'a>(
        &mut self,
        now: Now,
        nodes: impl Iterator<Item = (&'a ClusterName, &'a NodeName, &'a Arc<NodeView>)>,
    ) {
        for (cluster, node, view) in nodes {
            self.take_node(now, cluster, node, Some(view));
        }
    }

    /// Processes services that have alarms once neighbors are visible again: a condition that is unknown from now on is
    /// not unknown for lack of neighbors.
    pub(super) fn reobserve_services<'a>(
        &mut self,
        now: Now,
        services: impl Iterator<Item = (&'a ClusterName, &'a ServiceKey, &'a Arc<ServiceView>)>,
    ) {
        for (cluster, key, view) in services {
            if self.traces.get(cluster).is_some_and(|services| services.contains_key(key)) {
                self.service(now, cluster, key, view, true);
            }
        }
    }

    fn sources(&mut self, input: &AlarmInput) {
        for (source, state) in &input.sources {
            let condition = match state {
                SourceCondition::Awaited => continue,
                SourceCondition::Heard => Condition::Well(ClearedBecause::Well),
                SourceCondition::Lost { .. } => {
                    let text = words::source_stale(source, state, input.now.wall);
                    let owner = match source {
                        SourceId::Kubernetes(_) => Owner::Cluster,
                        SourceId::Ndk | SourceId::Gnmi => Owner::Network,
                    };
                    Condition::Fault(plain(AlarmType::SourceStale, owner, Share::Alone, text))
                }
            };
            self.subjects.observe(input.now, &Resource::Source(source.clone()), condition);
        }
    }

    fn instances(&mut self, input: &AlarmInput) {
        let gone: Vec<_> = self.clusters.iter().filter(|name| !input.clusters.contains_key(*name)).cloned().collect();
        for name in gone.into_iter().filter(|_| input.policy.is_some()) {
            self.clusters.remove(&name);
            self.subjects.withdraw(input.now, &Resource::Cluster(name));
        }
        if !input.visibility.switch {
            return;
        }
        for (name, cluster) in &input.clusters {
            let resource = Resource::Cluster(name.clone());
            let condition = if let Some(unroutable) = &cluster.unroutable {
                self.clusters.insert(name.clone());
                let text = words::instance_missing(name, &cluster.instance, unroutable, &input.instances);
                let share = Share::With(Resource::NetworkInstance(cluster.instance.clone()));
                let owner = Reason::NetworkInstanceMissing.owner().unwrap_or(Owner::Network);
                Condition::Fault(plain(AlarmType::NetworkInstanceMissing, owner, share, text))
            } else {
                Condition::Well(ClearedBecause::Well)
            };
            self.subjects.observe(input.now, &resource, condition);
        }
    }

    fn nodes(&mut self, input: &AlarmInput, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Node(cluster, node, None) => {
                    self.take_node(input.now, cluster, node, None);
                    self.subjects.withdraw(input.now, &Resource::Node(cluster.clone(), node.clone()));
                }
                // While neighbors are not visible, nodes wait for `reobserve`.
                Change::Node(cluster, node, view) if input.visibility.neighbors => {
                    self.take_node(input.now, cluster, node, view.as_ref());
                }
                Change::Node(cluster, node, _) => self.subjects.see(&Resource::Node(cluster.clone(), node.clone())),
                Change::Source(source, None) => {
                    self.subjects.withdraw(input.now, &Resource::Source(source.clone()));
                }
                _ => {}
            }
        }
    }

    fn take_node(&mut self, now: Now, cluster: &ClusterName, node: &NodeName, view: Option<&Arc<NodeView>>) {
        let resource = Resource::Node(cluster.clone(), node.clone());
        if view.is_some_and(|view| condition::is_unknown(view)) {
            self.announcers.lose_sight(cluster, node);
            return self.subjects.observe(now, &resource, Condition::Unknown);
        }
        self.subjects.set_silent(cluster, node, view.is_some_and(|view| condition::is_silent(view)));
        self.announcers.set(cluster, node, view, self.subjects.has(&resource));
    }

    /// Observes the conditions of nodes, once for all services they announce.
    fn touched_nodes(&mut self, input: &AlarmInput) {
        if !input.visibility.neighbors {
            return;
        }
        for (cluster, node) in self.announcers.touched() {
            let Some(instance) = input.clusters.get(&cluster).map(|cluster| &cluster.instance) else { continue };
            let resource = Resource::Node(cluster.clone(), node.clone());
            let alarmed = self.subjects.is_active(&resource, AlarmType::NeighborSessionDown);
            // The node is on its way back: its alarm keeps the text with the number of VIPs it cost. If the node was
            // well in between, it is down again, even if that costs no VIP.
            if alarmed && !self.subjects.is_well(&resource) && self.announcers.costs_nothing(&cluster, &node) {
                self.subjects.see(&resource);
                continue;
            }
            let condition = self.announcers.condition(&cluster, &node, instance, alarmed, input.now.wall);
            self.subjects.observe(input.now, &resource, condition);
        }
    }

    fn services(&mut self, input: &AlarmInput, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Service(cluster, key, Some(view)) => {
                    self.service(input.now, cluster, key, view, input.visibility.neighbors);
                }
                Change::Service(cluster, key, None) => {
                    self.subjects.withdraw(input.now, &Resource::Service(cluster.clone(), key.clone()));
                    self.unknown.remove(&(cluster.clone(), key.clone()));
                    self.retrace(input.now, cluster, key, None, Trace::default());
                }
                Change::Orphan(route, view) => {
                    let condition = match view {
                        Some(view) => {
                            let (text, detail) = words::orphan(route, view);
                            let share = Share::With(Resource::NetworkInstance(route.network_instance.clone()));
                            let fault = plain(AlarmType::VipRouteOrphan, Owner::Cluster, share, text);
                            Condition::Fault(Arc::new(Fault { detail, ..Fault::clone(&fault) }))
                        }
                        None => Condition::Well(ClearedBecause::Well),
                    };
                    self.subjects.observe(input.now, &Resource::Orphan(route.clone()), condition);
                }
                _ => {}
            }
        }
    }

    fn service(&mut self, now: Now, cluster: &ClusterName, key: &ServiceKey, view: &ServiceView, heard: bool) {
        let traced = self.traces.get(cluster).is_some_and(|services| services.contains_key(key));
        let mut trace = Trace::default();
        let mut unknown = false;
        for vip in &view.vips {
            let condition = condition::of_vip(cluster, key, view, vip, heard);
            unknown |= condition == Condition::Unknown;
            trace.waits_for.extend(condition::waits_for(vip).cloned());
            trace.unmapped |= condition::is_unmapped(vip);
            if !traced && !matches!(condition, Condition::Fault(_)) {
                continue; // well, and it was before
            }
            let resource = Resource::Vip(cluster.clone(), key.clone(), vip.address);
            let condition = self.by_what_is_known(&resource, vip, condition);
            self.subjects.see(&resource);
            self.subjects.observe(now, &resource, condition);
            if self.subjects.has(&resource) {
                trace.vips.insert(vip.address);
            }
        }
        let condition = condition::of_service(cluster, key, view);
        unknown |= condition == Condition::Unknown;
        if self.table.is_restoring() {
            let of = (cluster.clone(), key.clone());
            if unknown {
                self.unknown.insert(of)
            } else {
                self.unknown.remove(&of)
            };
        }
        if traced || matches!(condition, Condition::Fault(_)) {
            let resource = Resource::Service(cluster.clone(), key.clone());
            self.subjects.see(&resource);
            self.subjects.observe(now, &resource, condition);
            trace.itself = self.subjects.has(&resource);
        }
        if traced || trace != Trace::default() {
            self.retrace(now, cluster, key, Some(view), trace);
        }
    }

    /// Returns the condition of a VIP, or unknown if it has an alarm about the FIB, the condition is a lesser one, and
    /// the FIB status is not known now. Otherwise such an alarm would clear only because nobody reports on the FIB.
    fn by_what_is_known(&self, resource: &Resource, vip: &VipView, condition: Condition) -> Condition {
        let Some(active) = self.subjects.active_fault(resource) else { return condition };
        let by_fib = match active.reason {
            Some(reason) => reason == Reason::RouteNotProgrammed,
            // The reason of a restored alarm is not known.
            None => active.kind == AlarmType::VipBlackholed && !self.subjects.visibility().neighbors,
        };
        let lower = match &condition {
            Condition::Fault(fault) => fault.severity > active.severity,
            Condition::Well(_) => true,
            Condition::Unknown => false,
        };
        if by_fib && lower && condition::fib_is_unknown(vip) { Condition::Unknown } else { condition }
    }

    /// Replaces the trace of a service, and how it affects the alarms of nodes.
    fn retrace(&mut self, now: Now, cluster: &ClusterName, key: &ServiceKey, view: Option<&ServiceView>, trace: Trace) {
        let services = self.traces.entry(cluster.clone()).or_default();
        let before = services.remove(key).unwrap_or_default();
        let (waits_for, unmapped) = (trace.waits_for.clone(), trace.unmapped);
        if trace != Trace::default() {
            services.insert(key.clone(), trace);
        } else if services.is_empty() {
            self.traces.remove(cluster);
        }
        for address in before.vips {
            let stays = view.is_some_and(|view| view.vips.iter().any(|vip| vip.address == address));
            if !stays {
                self.subjects.withdraw(now, &Resource::Vip(cluster.clone(), key.clone(), address));
            }
        }
        if before.waits_for != waits_for {
            before.waits_for.iter().for_each(|node| self.announcers.count_lost(cluster, node, false));
            waits_for.iter().for_each(|node| self.announcers.count_lost(cluster, node, true));
        }
        if before.unmapped != unmapped {
            self.announcers.count_unmapped(cluster, unmapped);
        }
    }
}

impl AlarmInput {
    /// Returns whether every source that could report a resource is in sync.
    fn fully_reported(&self, resource: &Resource) -> bool {
        let judged = |name: &ClusterName| self.clusters.get(name).is_none_or(|cluster| cluster.judged);
        if self.policy.is_none() {
            return false;
        }
        match resource {
            Resource::Source(source) => !self.sources.contains_key(source),
            _ if !self.visibility.covers(resource) => false,
            _ => match resource.cluster() {
                Some(name) => judged(name),
                None => self.clusters.keys().all(judged),
            },
        }
    }
}

/// Returns whether an alarm stands for several resources that have its resource in common.
fn stands_for_several(key: &AlarmKey) -> bool {
    use AlarmType::*;
    let alone = match key.kind {
        VipRouteMissing | VipBlackholed | VipAddressConflict | VipDegraded | VipNoEndpoint | VipNotAnnounced => {
            matches!(key.resource, Resource::Vip(..))
        }
        VipAddressPending => matches!(key.resource, Resource::Service(..)),
        NeighborSessionDown | NodeAddressUnknown => matches!(key.resource, Resource::Node(..)),
        NetworkInstanceMissing => matches!(key.resource, Resource::Cluster(_)),
        SourceStale => matches!(key.resource, Resource::Source(_)),
        VipRouteOrphan => matches!(key.resource, Resource::Orphan(_)),
    };
    !alone
}

/// Creates a fault of a resource with a text and the severity of its type.
fn plain(kind: AlarmType, owner: Owner, share: Share, text: Arc<str>) -> Arc<Fault> {
    let severity = kind.severity();
    let detail = Arc::clone(&text);
    Arc::new(Fault {
        kind,
        severity,
        owner,
        reason: None,
        share,
        text,
        detail,
        explained_by: Box::default(),
        cause: None,
    })
}
