//! Alarms: what was said of VIPs, nodes, sources and routes, turned into conditions, and those into alarms.
//!
//! A stage after evaluation: it reads the changes that are about to be published, so that an alarm and the state it is
//! about never disagree. One cause, one alarm: a VIP degraded by nothing but sessions that have an alarm of their own
//! raises none; the alarm of the session counts the VIPs behind it.

mod board;
mod conditions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::alarm::{AlarmCounts, AlarmKey, AlarmType, Resource};
use crate::model::config::Config;
use crate::model::event::SourceId;
use crate::model::memory::Memory;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::Reason;
use crate::model::view::{Change, NodeView, ServiceView, VipView};

use board::Board;
use conditions::Condition;

/// How often alarms are saved at most: an outage that raises thousands must not write the state file as often.
const SAVE_PACE: Duration = Duration::from_secs(1);
/// How often an alarm may say why a source is out of reach: the reason may change from try to try.
const RETELL_PACE: Duration = Duration::from_secs(60);

/// What the stage is told beside the changes.
pub(super) struct Surroundings<'a> {
    pub(super) now: Now,
    pub(super) config: Option<&'a Config>,
    pub(super) reach: Reach,
    /// Every source.
    pub(super) sources: Vec<(&'a SourceId, SourceState<'a>)>,
    /// Clusters that are watched: whether all of it was told, whether its network instance is there.
    pub(super) clusters: BTreeMap<&'a ClusterName, ClusterState>,
    /// Whether there is such a thing, as far as was told.
    pub(super) exists: &'a dyn Fn(&Resource) -> bool,
}

/// What is known of a source.
#[derive(Clone, Copy, Debug)]
pub(super) enum SourceState<'a> {
    /// It has not answered yet, and is still given time.
    Awaited,
    /// It answers.
    Heard,
    /// Out of reach.
    Lost {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: &'a str,
        /// It was read before, so that something is known by it.
        was_read: bool,
    },
}

/// What is known of a cluster that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClusterState {
    pub(super) synced: bool,
    pub(super) instance_missing: bool,
}

/// What is in reach: whose conditions are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// The switch's own tables.
    pub(super) switch: bool,
    /// BGP neighbors, and the switch's own tables.
    pub(super) neighbors: bool,
}

impl Reach {
    /// What is in both.
    fn and(self, other: Self) -> Self {
        Self { switch: self.switch && other.switch, neighbors: self.neighbors && other.neighbors }
    }

    fn knows(self, kind: AlarmType) -> bool {
        match kind {
            AlarmType::SourceStale => true,
            AlarmType::NeighborSessionDown | AlarmType::NodeAddressUnknown => self.neighbors,
            _ => self.switch,
        }
    }
}

/// The stage.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    board: Board,
    /// What services add to the alarms of others; those that add nothing are not in it.
    traces: FxHashMap<(ClusterName, ServiceKey), Trace>,
    /// Announcers without a session, and how many VIPs wait for them.
    down: BTreeMap<(ClusterName, NodeName), Arc<NodeView>>,
    waiting: FxHashMap<(ClusterName, NodeName), u32>,
    /// Announcers that are placed, and those that nobody can place.
    located: FxHashMap<ClusterName, FxHashSet<NodeName>>,
    unlocated: BTreeMap<ClusterName, BTreeMap<NodeName, Arc<NodeView>>>,
    /// Services with next-hops that could be those of unlocated announcers.
    unmapped: FxHashMap<ClusterName, u32>,
    /// Nodes whose alarm is to be told anew.
    touched: BTreeSet<(ClusterName, NodeName)>,
    said: AlarmCounts,
    unsaved: bool,
    saved_at: Option<Duration>,
}

/// What a service adds to the alarms of others, and which of its VIPs have a condition.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    vips: BTreeSet<IpAddr>,
    waits_for: Vec<NodeName>,
    unmapped: bool,
}

impl Alarms {
    /// What an earlier life of the agent left.
    pub(super) fn load(&mut self, memory: &Memory) {
        self.board.load(memory);
        for (key, _) in &memory.alarms {
            if let Resource::Vip(cluster, service, address) = &key.resource {
                self.traces.entry((cluster.clone(), service.clone())).or_default().vips.insert(*address);
            }
        }
    }

    /// Takes in what is about to be said; gives what is to be said of alarms.
    pub(super) fn observe(&mut self, around: &Surroundings, changes: &[Change]) -> Vec<Change> {
        let now = around.now;
        if let Some(config) = around.config {
            self.board.set_policy(config.alarm_policy);
        }
        // Frozen before anything is observed, thawed after: what comes back is not taken for a change of its own.
        self.board.set_reach(now, around.reach.and(self.board.reach()));
        self.sources(around);
        self.clusters(around);
        for change in changes {
            match change {
                Change::Node(cluster, node, view) => self.node(around, cluster, node, view.as_ref()),
                Change::Source(source, None) => self.board.withdraw(now, &Resource::Source(source.clone())),
                Change::Cluster(name, _) if !around.clusters.contains_key(name) => {
                    self.board.withdraw(now, &Resource::Cluster(name.clone()));
                }
                _ => {}
            }
        }
        for change in changes {
            match change {
                Change::Service(cluster, key, view) => self.service(around, cluster, key, view.as_deref()),
                Change::Orphan(route, view) => {
                    let text = view.as_ref().map(|view| conditions::orphan_text(route, view));
                    let holding = text.map(|text| (AlarmType::VipRouteOrphan, text));
                    let resource = Resource::Orphan(route.clone());
                    self.board.observe(now, &resource, &[AlarmType::VipRouteOrphan], holding, None);
                }
                _ => {}
            }
        }
        // Once for all services: what one adds another may take away.
        self.tell_touched(around);
        self.board.set_reach(now, around.reach);
        self.board.forget_unseen(now, |key| !(around.exists)(&key.resource) && around.all_told(key));
        self.board.settle(now);
        self.news()
    }

    /// When time alone raises, clears or saves something.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let save = self.saved_at.filter(|_| self.unsaved).map(|at| at + SAVE_PACE);
        self.board.deadline().into_iter().chain(save).min()
    }

    /// True when what must outlive the process has changed, and was not saved just now.
    pub(super) fn wants_saving(&self, now: Now) -> bool {
        self.unsaved && self.saved_at.is_none_or(|at| now.elapsed >= at + SAVE_PACE)
    }

    /// Adds what must outlive the process.
    pub(super) fn save(&mut self, now: Now, memory: &mut Memory) {
        self.unsaved = false;
        self.saved_at = Some(now.elapsed);
        self.board.save(memory);
    }

    /// Nodes are told anew: their views may be the same as before their neighbors were out of reach.
    pub(super) fn reobserve<'a>(
        &mut self,
        nodes: impl Iterator<Item = (&'a ClusterName, &'a NodeName, &'a Arc<NodeView>)>,
    ) {
        for (cluster, node, view) in nodes {
            self.take_node(cluster, node, Some(view));
        }
    }

    fn news(&mut self) -> Vec<Change> {
        let mut news = self.board.news();
        self.unsaved |= news.iter().any(|change| matches!(change, Change::Alarm(..) | Change::AlarmHistory(..)));
        let counts = self.board.counts();
        if counts != self.said {
            self.said = counts;
            news.push(Change::AlarmCounts(counts));
        }
        news
    }

    fn sources(&mut self, around: &Surroundings) {
        for (source, state) in &around.sources {
            let resource = Resource::Source((*source).clone());
            let holding = match state {
                SourceState::Awaited => continue,
                SourceState::Lost { .. } if self.was_told_lately(around.now, &resource) => continue,
                SourceState::Lost { since, why, was_read } => {
                    Some((AlarmType::SourceStale, source_text(source, *since, why, *was_read)))
                }
                SourceState::Heard => None,
            };
            self.board.observe(around.now, &resource, &[AlarmType::SourceStale], holding, None);
        }
    }

    fn was_told_lately(&self, now: Now, source: &Resource) -> bool {
        self.board.told(source, AlarmType::SourceStale).is_some_and(|told| now.elapsed < told + RETELL_PACE)
    }

    fn clusters(&mut self, around: &Surroundings) {
        for (name, state) in &around.clusters {
            let instance =
                around.config.and_then(|config| config.clusters.get(*name)).map(|c| &c.rules.network_instance);
            let missing = instance.filter(|_| state.instance_missing);
            let holding =
                missing.map(|instance| (AlarmType::NetworkInstanceMissing, conditions::instance_text(name, instance)));
            let resource = Resource::Cluster((*name).clone());
            if around.reach.switch {
                self.board.observe(around.now, &resource, &[AlarmType::NetworkInstanceMissing], holding, None);
            }
        }
    }

    fn node(&mut self, around: &Surroundings, cluster: &ClusterName, node: &NodeName, view: Option<&Arc<NodeView>>) {
        if view.is_none() {
            self.board.withdraw(around.now, &Resource::Node(cluster.clone(), node.clone()));
        } else if !around.reach.neighbors {
            return; // told anew when neighbors are heard again
        }
        self.take_node(cluster, node, view);
    }

    fn take_node(&mut self, cluster: &ClusterName, node: &NodeName, view: Option<&Arc<NodeView>>) {
        if view.is_some_and(|view| conditions::is_syncing(view)) {
            return;
        }
        let key = (cluster.clone(), node.clone());
        let was_down = match view.filter(|view| conditions::is_session_down(view)) {
            Some(view) => self.down.insert(key.clone(), Arc::clone(view)).is_some(),
            None => self.down.remove(&key).is_some(),
        };
        let (was_unlocated, is_unlocated) = self.place(cluster, node, view);
        let resource = || Resource::Node(cluster.clone(), node.clone());
        if view.is_some()
            && (was_down
                || was_unlocated
                || is_unlocated
                || self.down.contains_key(&key)
                || self.board.knows(&resource()))
        {
            self.touched.insert(key);
        }
    }

    /// Counts a node among those that are placed or not; gives whether it was and is among those that are not.
    fn place(&mut self, cluster: &ClusterName, node: &NodeName, view: Option<&Arc<NodeView>>) -> (bool, bool) {
        let stood_out = self.stand_out(cluster);
        let located = self.located.entry(cluster.clone()).or_default();
        match view.is_some_and(|view| conditions::is_located(view)) {
            true => located.insert(node.clone()),
            false => located.remove(node),
        };
        if located.is_empty() {
            self.located.remove(cluster);
        }
        let unlocated = self.unlocated.entry(cluster.clone()).or_default();
        let was_unlocated = match view.filter(|view| conditions::is_unlocated(view)) {
            Some(view) => unlocated.insert(node.clone(), Arc::clone(view)).is_some(),
            None => unlocated.remove(node).is_some(),
        };
        let is_unlocated = unlocated.contains_key(node);
        if unlocated.is_empty() {
            self.unlocated.remove(cluster);
        }
        if stood_out != self.stand_out(cluster) {
            self.touch_unlocated(cluster);
        }
        (was_unlocated, is_unlocated)
    }

    /// Where most announcers are placed, one that is not stands out. Where most are not, this leaf is not told where nodes
    /// are (no EVPN host routes), and needs not be: its own are attached.
    fn stand_out(&self, cluster: &ClusterName) -> bool {
        let located = self.located.get(cluster).map_or(0, FxHashSet::len);
        located > self.unlocated.get(cluster).map_or(0, BTreeMap::len)
    }

    fn touch_unlocated(&mut self, cluster: &ClusterName) {
        let nodes = self.unlocated.get(cluster).into_iter().flat_map(BTreeMap::keys);
        self.touched.extend(nodes.map(|node| (cluster.clone(), node.clone())));
    }

    /// The alarms of nodes, in the words that hold now.
    fn tell_touched(&mut self, around: &Surroundings) {
        const OF_NODE: [AlarmType; 2] = [AlarmType::NeighborSessionDown, AlarmType::NodeAddressUnknown];
        if !around.reach.neighbors {
            return;
        }
        for key in std::mem::take(&mut self.touched) {
            let (cluster, node) = &key;
            let resource = Resource::Node(cluster.clone(), node.clone());
            let config = around.config.and_then(|config| config.clusters.get(cluster));
            let Some(instance) = config.map(|cluster| &cluster.rules.network_instance) else { continue };
            let waiting = self.waiting.get(&key).copied().unwrap_or_default();
            let holds = self.board.holds(&resource, AlarmType::NeighborSessionDown);
            if waiting == 0 && holds && self.down.contains_key(&key) {
                continue; // on its way back: the text stays at what it cost
            }
            let down = self
                .down
                .get(&key)
                .map(|view| (AlarmType::NeighborSessionDown, conditions::session_text(node, view, instance, waiting)));
            // A next-hop that no node explains may be this one's.
            let silent = self.unmapped.contains_key(cluster) || !self.stand_out(cluster);
            let unlocated = self.unlocated.get(cluster).and_then(|nodes| nodes.get(node)).filter(|_| !silent);
            let unlocated =
                unlocated.map(|view| (AlarmType::NodeAddressUnknown, conditions::unlocated_text(node, view, instance)));
            self.board.observe(around.now, &resource, &OF_NODE, down.or(unlocated), None);
        }
    }

    fn service(&mut self, around: &Surroundings, cluster: &ClusterName, key: &ServiceKey, view: Option<&ServiceView>) {
        let now = around.now;
        let resource = Resource::Service(cluster.clone(), key.clone());
        let mut trace = Trace::default();
        match view {
            None => self.board.withdraw(now, &resource),
            Some(view) => {
                let pending = view.verdict.reason == Some(Reason::AddressPending);
                let holding =
                    pending.then(|| (AlarmType::VipAddressPending, conditions::service_text(cluster, key, view)));
                // Before the first sync a service without an address says the same of alarms as one with: nothing.
                if conditions::of_verdict(&view.verdict) != Condition::Unknown {
                    self.board.observe(now, &resource, &[AlarmType::VipAddressPending], holding, None);
                }
                for vip in &view.vips {
                    trace.waits_for.extend(conditions::waits_for(vip).cloned());
                    trace.unmapped |= conditions::is_unmapped(vip);
                    self.vip(around, cluster, key, vip);
                    if self.board.knows(&Resource::Vip(cluster.clone(), key.clone(), vip.address)) {
                        trace.vips.insert(vip.address);
                    }
                }
            }
        }
        self.retrace(now, cluster, key, view, trace);
    }

    fn vip(&mut self, around: &Surroundings, cluster: &ClusterName, service: &ServiceKey, vip: &VipView) {
        let mut condition = conditions::of_verdict(&vip.verdict);
        if condition == Condition::Holds(AlarmType::VipDegraded) {
            let known_down = |node: &NodeName| {
                let resource = Resource::Node(cluster.clone(), node.clone());
                // Nodes come before services: one whose session is not down any more excuses nothing, though its
                // alarm is brought up to date after them.
                self.down.contains_key(&(cluster.clone(), node.clone()))
                    && self.board.holds(&resource, AlarmType::NeighborSessionDown)
            };
            if conditions::is_explained(vip, known_down) {
                condition = Condition::Fine;
            }
        }
        let holding = match condition {
            Condition::Unknown => return,
            Condition::Fine => None,
            Condition::Holds(kind) => Some((kind, conditions::vip_text(cluster, service, vip))),
        };
        let blind = !around.reach.neighbors && conditions::fib_is_unknown(vip);
        let unsure =
            (blind && condition != Condition::Holds(AlarmType::VipBlackholed)).then_some(AlarmType::VipBlackholed);
        let resource = Resource::Vip(cluster.clone(), service.clone(), vip.address);
        self.board.observe(around.now, &resource, conditions::OF_VIP, holding, unsure);
    }

    /// Replaces what a service adds to the alarms of others.
    fn retrace(&mut self, now: Now, cluster: &ClusterName, key: &ServiceKey, view: Option<&ServiceView>, trace: Trace) {
        let of = (cluster.clone(), key.clone());
        if trace == Trace::default() && !self.traces.contains_key(&of) {
            return;
        }
        let before = self.traces.remove(&of).unwrap_or_default();
        for address in &before.vips {
            let stays = view.is_some_and(|view| view.vips.iter().any(|vip| vip.address == *address));
            if !stays {
                self.board.withdraw(now, &Resource::Vip(cluster.clone(), key.clone(), *address));
            }
        }
        if before.waits_for != trace.waits_for {
            for node in &before.waits_for {
                self.count_waiting(cluster, node, false);
            }
            for node in &trace.waits_for {
                self.count_waiting(cluster, node, true);
            }
        }
        if before.unmapped != trace.unmapped {
            let count = self.unmapped.entry(cluster.clone()).or_default();
            *count = if trace.unmapped { *count + 1 } else { *count - 1 };
            let (any, first) = (*count > 0, trace.unmapped && *count == 1);
            if !any {
                self.unmapped.remove(cluster);
            }
            if !any || first {
                self.touch_unlocated(cluster);
            }
        }
        if trace != Trace::default() {
            self.traces.insert(of, trace);
        }
    }

    fn count_waiting(&mut self, cluster: &ClusterName, node: &NodeName, add: bool) {
        let key = (cluster.clone(), node.clone());
        let count = self.waiting.entry(key.clone()).or_default();
        *count = if add { *count + 1 } else { *count - 1 };
        if *count == 0 {
            self.waiting.remove(&key);
        }
        if self.down.contains_key(&key) {
            self.touched.insert(key);
        }
    }
}

impl Surroundings<'_> {
    /// Everything that could tell of an alarm's condition has told what it knows.
    fn all_told(&self, key: &AlarmKey) -> bool {
        let Some(config) = self.config else { return false };
        let reach = match key.kind {
            // A FIB failure is told by gNMI, too.
            AlarmType::NeighborSessionDown | AlarmType::NodeAddressUnknown | AlarmType::VipBlackholed => {
                self.reach.neighbors
            }
            _ => self.reach.switch,
        };
        let synced = |name: &ClusterName| self.clusters.get(name).is_none_or(|cluster| cluster.synced);
        match &key.resource {
            Resource::Source(source) => !self.sources.iter().any(|(known, _)| *known == source),
            Resource::Orphan(_) => reach && config.clusters.keys().all(synced),
            resource => {
                resource.cluster().is_none_or(|name| !self.clusters.contains_key(name) || reach && synced(name))
            }
        }
    }
}

fn source_text(source: &SourceId, since: Timestamp, why: &str, was_read: bool) -> Arc<str> {
    let meaning = match source {
        SourceId::Ndk => "no VIP is judged",
        SourceId::Gnmi => "BGP sessions and FIB programming are not known, routes alone judge",
        SourceId::Kubernetes(_) if was_read => "VIPs are judged by the last known intent",
        SourceId::Kubernetes(_) => "its services were not read yet, none of their VIPs is judged",
    };
    format!("{source} is out of reach since {}: {why}; {meaning}", crate::model::time::at(since)).into()
}
