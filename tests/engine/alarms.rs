//! Alarms recomputed in full after every step: conditions from what is said, each with its own stopwatch.
//!
//! Written apart from the engine's stage: it keeps no index, and asks the published state again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use srl_k8s_services::model::alarm::{AlarmCounts, AlarmKey, AlarmType, Resource};
use srl_k8s_services::model::config::AlarmPolicy;
use srl_k8s_services::model::event::SourceId;
use srl_k8s_services::model::names::{ClusterName, NodeName};
use srl_k8s_services::model::time::{Now, Timestamp};
use srl_k8s_services::model::verdict::{AttachmentState, FibStatus, NodeReason, OperState, Reason, SourceState};
use srl_k8s_services::model::view::{NextHopView, ServiceView, VipView};

use crate::said::State;
use crate::world::World;

/// How long a source that never answered may take, counted from the start.
const START: Duration = Duration::from_secs(30);

/// What is known of a condition at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Holds,
    Gone,
    /// As it was last known.
    Unsaid,
    /// What it is about does not exist.
    NoMore,
}

/// One condition over time.
#[derive(Clone, Debug, Default)]
struct Watched {
    holds: bool,
    raised: Option<Timestamp>,
    occurrences: u32,
    /// Holds unraised, or is gone uncleared, since then.
    since: Option<Duration>,
    in_reach: bool,
}

/// All conditions there ever were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    watched: BTreeMap<AlarmKey, Watched>,
    seen: BTreeSet<Resource>,
    policy: AlarmPolicy,
    /// Records there ever were, and how many of them are kept.
    recorded: u64,
    kept: usize,
}

impl Book {
    /// The process ended: alarms are what is left, and nothing is known of what they are about.
    pub(crate) fn restart(&mut self) {
        self.seen.clear();
        self.watched.retain(|_, watched| watched.raised.is_some());
        for watched in self.watched.values_mut() {
            (watched.holds, watched.since, watched.in_reach) = (true, None, false);
        }
    }

    /// Brings every condition up to date, and holds what was said of alarms against it.
    #[track_caller]
    pub(crate) fn check(&mut self, world: &World, now: Now, said: &State) {
        if let Some(config) = &world.config {
            self.policy = config.alarm_policy;
        }
        let view = View { world, now, said };
        // Neighbors first: a VIP asks for the alarm of the session it waits for.
        let (nodes, others): (Vec<_>, Vec<_>) =
            self.keys(&view).into_iter().partition(|key| matches!(key.resource, Resource::Node(..)));
        let mut cleared = BTreeSet::new();
        for key in nodes.into_iter().chain(others) {
            let known = self.known(&view, &key);
            self.step(&view, &key, known, &mut cleared);
        }
        self.recorded += cleared.len() as u64;
        self.kept = (self.kept + cleared.len()).min(usize::from(self.policy.history_size));
        self.compare(said, &cleared);
    }

    /// Every condition that holds now, and every one that is not forgotten yet.
    fn keys(&self, view: &View) -> BTreeSet<AlarmKey> {
        let mut keys: BTreeSet<AlarmKey> = self.watched.keys().cloned().collect();
        let mut add = |resource: &Resource| {
            keys.extend(AlarmType::ALL.iter().map(|kind| AlarmKey { kind: *kind, resource: resource.clone() }));
        };
        for (cluster, node) in view.said.nodes.keys() {
            add(&Resource::Node(cluster.clone(), node.clone()));
        }
        for ((cluster, service), said) in &view.said.services {
            add(&Resource::Service(cluster.clone(), service.clone()));
            for vip in &said.vips {
                add(&Resource::Vip(cluster.clone(), service.clone(), vip.address));
            }
        }
        view.said.sources.keys().for_each(|source| add(&Resource::Source(source.clone())));
        view.world.watched().for_each(|(cluster, _)| add(&Resource::Cluster(cluster.clone())));
        view.said.orphans.keys().for_each(|route| add(&Resource::Orphan(route.clone())));
        keys
    }

    fn known(&mut self, view: &View, key: &AlarmKey) -> Known {
        let exists = view.exists(&key.resource);
        if exists {
            self.seen.insert(key.resource.clone());
        } else if self.seen.contains(&key.resource) && !matches!(key.resource, Resource::Orphan(_)) {
            return Known::NoMore;
        }
        let holds = |holds: bool| if holds { Known::Holds } else { Known::Gone };
        match (&key.resource, exists) {
            (Resource::Orphan(_), false) if !self.seen.contains(&key.resource) => match view.all_told(key) {
                true => Known::NoMore,
                false => Known::Unsaid,
            },
            (Resource::Orphan(_), _) => holds(exists && key.kind == AlarmType::VipRouteOrphan),
            // Its service is told without it.
            (Resource::Vip(cluster, service, _), false)
                if view.exists(&Resource::Service(cluster.clone(), service.clone())) =>
            {
                Known::NoMore
            }
            (_, false) if view.all_told(key) => Known::NoMore,
            (_, false) => Known::Unsaid,
            (Resource::Source(source), _) => match view.source(source) {
                Some(lost) => holds(lost && key.kind == AlarmType::SourceStale),
                None => Known::Unsaid,
            },
            (Resource::Cluster(cluster), _) => match view.switch() {
                true => holds(view.instance_missing(cluster) && key.kind == AlarmType::NetworkInstanceMissing),
                false => Known::Unsaid,
            },
            (Resource::Node(cluster, node), _) => {
                let said = &view.said.nodes[&(cluster.clone(), node.clone())];
                match said.reason {
                    Some(NodeReason::Syncing) => Known::Unsaid,
                    _ if !view.neighbors() => Known::Unsaid,
                    _ if said.expected_vips == 0 => Known::Gone,
                    Some(NodeReason::SessionDown) => holds(key.kind == AlarmType::NeighborSessionDown),
                    Some(NodeReason::NodeAddressUnknown) => {
                        let stands_out = view.stands_out(cluster) && !view.unmapped(cluster);
                        holds(key.kind == AlarmType::NodeAddressUnknown && stands_out)
                    }
                    _ => Known::Gone,
                }
            }
            (Resource::Service(cluster, service), _) => {
                let said = &view.said.services[&(cluster.clone(), service.clone())];
                match said.verdict.reason {
                    Some(Reason::Syncing | Reason::SwitchStale) => Known::Unsaid,
                    Some(Reason::AddressPending) => holds(key.kind == AlarmType::VipAddressPending),
                    _ => Known::Gone,
                }
            }
            (Resource::Vip(cluster, service, address), _) => {
                let said = &view.said.services[&(cluster.clone(), service.clone())];
                let vip = said.vips.iter().find(|vip| vip.address == *address).expect("it exists");
                self.vip(view, cluster, vip, key.kind)
            }
        }
    }

    fn vip(&self, view: &View, cluster: &ClusterName, vip: &VipView, kind: AlarmType) -> Known {
        use AlarmType::*;
        let Some(reason) = vip.verdict.reason else { return self.gone(view, vip, kind) };
        let due = match (reason, vip.verdict.state) {
            (Reason::Syncing | Reason::SwitchStale, _) => return Known::Unsaid,
            (Reason::NoRoute | Reason::WrongNetworkInstance, _) => VipRouteMissing,
            (Reason::SessionDown, OperState::Down) => VipRouteMissing,
            (Reason::RouteNotProgrammed, _) | (Reason::NextHopUnexpected, OperState::Down) => VipBlackholed,
            (Reason::AddressConflict, _) => VipAddressConflict,
            (Reason::NoReadyEndpoint, _) => VipNoEndpoint,
            (Reason::NoAnnouncer, _) => VipNotAnnounced,
            (_, OperState::Degraded) if !self.is_behind_sessions(cluster, vip) => VipDegraded,
            _ => return self.gone(view, vip, kind),
        };
        if due == kind { Known::Holds } else { self.gone(view, vip, kind) }
    }

    fn gone(&self, view: &View, vip: &VipView, kind: AlarmType) -> Known {
        let fib = vip.route.as_ref().map(|route| route.fib);
        let unseen = kind == AlarmType::VipBlackholed && !view.neighbors() && fib == Some(FibStatus::Unknown);
        if unseen { Known::Unsaid } else { Known::Gone }
    }

    fn is_behind_sessions(&self, cluster: &ClusterName, vip: &VipView) -> bool {
        let down = |node: &NodeName| {
            let resource = Resource::Node(cluster.clone(), node.clone());
            let key = AlarmKey { kind: AlarmType::NeighborSessionDown, resource };
            self.watched.get(&key).is_some_and(|watched| watched.holds)
        };
        let bad: Vec<&NextHopView> =
            vip.next_hops.iter().filter(|hop| matches!(hop.state, OperState::Down | OperState::Degraded)).collect();
        !bad.is_empty()
            && bad.iter().all(|hop| match hop.reason {
                Some(Reason::SessionDown) => true,
                Some(Reason::NextHopMissing) => hop.session.is_none() && hop.node.as_ref().is_some_and(down),
                _ => false,
            })
    }

    fn step(&mut self, view: &View, key: &AlarmKey, known: Known, cleared: &mut BTreeSet<AlarmKey>) {
        let policy = self.policy;
        let in_reach = view.reaches(key.kind);
        let now = view.now;
        if known != Known::Holds && !self.watched.contains_key(key) {
            return;
        }
        let watched = self.watched.entry(key.clone()).or_default();
        if known == Known::NoMore {
            if watched.raised.is_some() {
                cleared.insert(key.clone());
            }
            self.watched.remove(key);
            return;
        }
        let before = watched.holds;
        watched.holds = match known {
            Known::Holds => true,
            Known::Gone => false,
            Known::Unsaid | Known::NoMore => before,
        };
        if watched.holds
            && !before
            && watched.raised.is_some()
            && watched.since.is_some()
            && watched.in_reach
            && in_reach
        {
            watched.occurrences += 1;
        }
        let waits = in_reach && watched.holds != watched.raised.is_some();
        watched.since = match watched.since.filter(|_| watched.in_reach && before == watched.holds) {
            Some(since) if waits => Some(since),
            _ => waits.then_some(now.elapsed),
        };
        watched.in_reach = in_reach;
        let hold = if watched.raised.is_some() { policy.clear_hold } else { policy.raise_hold };
        let due = watched.since.is_some_and(|since| now.elapsed >= since + hold);
        if due && watched.holds {
            (watched.raised, watched.occurrences, watched.since) = (Some(now.wall), 1, None);
        } else if due {
            cleared.insert(key.clone());
        }
        if !watched.holds && (due || watched.raised.is_none()) {
            self.watched.remove(key);
        }
    }

    #[track_caller]
    fn compare(&self, said: &State, cleared: &BTreeSet<AlarmKey>) {
        let due: BTreeMap<&AlarmKey, (Timestamp, u32)> = self
            .watched
            .iter()
            .filter_map(|(key, watched)| Some((key, (watched.raised?, watched.occurrences))))
            .collect();
        let told: BTreeMap<&AlarmKey, (Timestamp, u32)> =
            said.alarms.active.iter().map(|(key, alarm)| (key, (alarm.raised, alarm.occurrences))).collect();
        assert_eq!(told, due, "active alarms");
        let mut counts = AlarmCounts::default();
        due.keys().for_each(|key| counts.active[key.kind.severity() as usize] += 1);
        assert_eq!(said.alarms.counts, counts);
        assert_eq!(said.alarms.history.len(), self.kept, "the newest records are kept");
        assert!(said.alarms.history.last_key_value().is_none_or(|(last, _)| *last == self.recorded));
        let newest = said.alarms.history.values().rev().take(cleared.len()).map(|record| &record.key);
        assert!(newest.into_iter().all(|key| cleared.contains(key)), "what was cleared now is the newest");
    }
}

/// What is said and known at a moment.
struct View<'a> {
    world: &'a World,
    now: Now,
    said: &'a State,
}

impl View<'_> {
    fn is_synced(&self, source: &SourceId) -> bool {
        self.said.sources.get(source).is_some_and(|view| view.state == SourceState::Synced)
    }

    fn switch(&self) -> bool {
        self.is_synced(&SourceId::Ndk)
    }

    fn neighbors(&self) -> bool {
        self.switch() && self.is_synced(&SourceId::Gnmi)
    }

    fn reaches(&self, kind: AlarmType) -> bool {
        match kind {
            AlarmType::SourceStale => true,
            AlarmType::NeighborSessionDown | AlarmType::NodeAddressUnknown => self.neighbors(),
            _ => self.switch(),
        }
    }

    /// All that could tell of what an alarm is about has told what it knows.
    fn all_told(&self, key: &AlarmKey) -> bool {
        let Some(config) = &self.world.config else { return false };
        let told = |name: &ClusterName| {
            self.world.watched().all(|(watched, _)| watched != name)
                || self.is_synced(&SourceId::Kubernetes(name.clone()))
        };
        let switch = match key.kind {
            AlarmType::VipBlackholed => self.neighbors(),
            kind => self.reaches(kind),
        };
        match (&key.resource, key.resource.cluster()) {
            (Resource::Source(_), _) => true,
            (_, Some(name)) => self.world.watched().all(|(watched, _)| watched != name) || switch && told(name),
            (_, None) => switch && config.clusters.keys().all(told),
        }
    }

    /// Whether a source is lost; none while that is not known.
    fn source(&self, id: &SourceId) -> Option<bool> {
        let source = self.world.source_of(id);
        match (source.lost_since, source.synced_once) {
            (Some(_), synced) if synced || self.now.elapsed >= START => Some(true),
            (None, true) => Some(false),
            _ => None,
        }
    }

    fn instance_missing(&self, cluster: &ClusterName) -> bool {
        let (_, config) = self.world.watched().find(|(name, _)| *name == cluster).expect("it is watched");
        !self.world.network_instances.contains_key(&config.rules.network_instance)
    }

    /// More announcers have a place than have none.
    fn stands_out(&self, cluster: &ClusterName) -> bool {
        let nodes = self.said.nodes.iter().filter(|((of, _), node)| of == cluster && node.expected_vips > 0);
        let (mut placed, mut lost) = (0, 0);
        for (_, node) in nodes.filter(|(_, node)| node.reason != Some(NodeReason::Syncing)) {
            placed += usize::from(node.attachment != AttachmentState::Unknown);
            lost += usize::from(node.reason == Some(NodeReason::NodeAddressUnknown));
        }
        placed > lost
    }

    /// A next-hop that no node explains may be that of any unlocated one.
    fn unmapped(&self, cluster: &ClusterName) -> bool {
        let services = self.said.services.iter().filter(|((of, _), _)| of == cluster);
        let vips = services.flat_map(|(_, service): (_, &ServiceView)| &service.vips);
        let hops = vips.filter(|vip| vip.verdict.state != OperState::Unknown).flat_map(|vip| &vip.next_hops);
        hops.into_iter().any(|hop| hop.reason == Some(Reason::NextHopUnmapped))
    }

    fn exists(&self, resource: &Resource) -> bool {
        let said = self.said;
        match resource {
            Resource::Cluster(cluster) => self.world.watched().any(|(name, _)| name == cluster),
            Resource::Node(cluster, node) => said.nodes.contains_key(&(cluster.clone(), node.clone())),
            Resource::Service(cluster, service) => said.services.contains_key(&(cluster.clone(), service.clone())),
            Resource::Vip(cluster, service, address) => {
                let service = said.services.get(&(cluster.clone(), service.clone()));
                service.is_some_and(|service| service.vips.iter().any(|vip| vip.address == *address))
            }
            Resource::Source(source) => said.sources.contains_key(source),
            Resource::Orphan(route) => said.orphans.contains_key(route),
        }
    }
}
