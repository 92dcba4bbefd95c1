//! Invariants of alarms: nothing is raised that was not bad for the hold time, nothing is cleared for lack of
//! knowledge, and nothing stays bad without an alarm.
//!
//! Checked against the published state after every step, with a stopwatch for each VIP and node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use srl_k8s_services::model::alarm::{
    AlarmCounts, AlarmKey, AlarmRecord, AlarmType, AlarmView, ClearedBecause, LONGEST_TEXT, Resource,
};
use srl_k8s_services::model::config::AlarmPolicy;
use srl_k8s_services::model::names::ClusterName;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::time::Now;
use srl_k8s_services::model::verdict::{Announcement, NodeReason, OperState, Reason, SourceState};
use srl_k8s_services::model::view::VipView;

use crate::said::State;
use crate::world::World;

/// How much longer than its hold time a fault may wait for others with the same cause.
const GATHER: Duration = Duration::from_secs(1);

/// What is known about a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It requires an alarm of this type.
    Bad(AlarmType),
    /// A node without a known place. Whether it requires an alarm depends on others. If it becomes a fault, it has not
    /// been well in between.
    Unplaced,
    Well,
    Nothing,
}

/// For how long something has been bad or well without interruption.
#[derive(Clone, Copy, Debug)]
struct Stopwatch {
    known: Known,
    since: Duration,
    /// Since when it has been exactly this.
    as_this: Duration,
}

/// How long each resource that may have an alarm has had its fault, and the previous alarms.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlarmRules {
    watches: BTreeMap<Resource, Stopwatch>,
    /// When sessions of a cluster were last down, or had an alarm.
    trouble: BTreeMap<ClusterName, Duration>,
    active: BTreeMap<AlarmKey, AlarmView>,
    last_sequence: u64,
    policy: AlarmPolicy,
}

impl AlarmRules {
    /// Forgets everything known about resources, because the process ended.
    pub(crate) fn restart(&mut self) {
        self.watches.clear();
        self.trouble.clear();
        self.active.clear();
        self.last_sequence = u64::MAX;
    }

    #[track_caller]
    pub(crate) fn check(&mut self, world: &World, now: Now, said: &State) {
        if let Some(config) = &world.config {
            self.policy = config.alarm_policy;
        }
        self.watch(now, said);
        self.note_trouble(now, said);
        let records: Vec<&AlarmRecord> =
            said.alarms.history.range(self.last_sequence.saturating_add(1)..).map(|(_, record)| record).collect();
        self.form(said);
        for (key, view) in &said.alarms.active {
            // An alarm that was another one before keeps its time.
            let goes_on = self.active.values().any(|before| before.raised == view.raised);
            let new = view.raised == now.wall && !self.active.contains_key(key) && !goes_on;
            if new && self.last_sequence != u64::MAX {
                self.raised(key, view, now);
            }
        }
        for record in &records {
            self.cleared(record, &records, now, said);
        }
        self.missing(now, said);
        self.active = said.alarms.active.clone();
        self.last_sequence = said.alarms.history.keys().next_back().copied().unwrap_or(match self.last_sequence {
            u64::MAX => 0,
            last => last,
        });
    }

    /// Starts the stopwatch of everything that changed.
    fn watch(&mut self, now: Now, said: &State) {
        let (switch, neighbors) = visible(said);
        let mut seen = BTreeSet::new();
        let mut take = |resource: Resource, known: Known| {
            let watch = self.watches.get(&resource);
            let since = watch.filter(|watch| same(watch.known, known)).map_or(now.elapsed, |watch| watch.since);
            let as_this = watch.filter(|watch| watch.known == known).map_or(now.elapsed, |watch| watch.as_this);
            self.watches.insert(resource.clone(), Stopwatch { known, since, as_this });
            seen.insert(resource);
        };
        for ((cluster, service), view) in &said.services {
            for vip in &view.vips {
                let known = if switch { of_vip(vip, neighbors) } else { Known::Nothing };
                take(Resource::Vip(cluster.clone(), service.clone(), vip.address), known);
            }
        }
        for ((cluster, node), view) in &said.nodes {
            let known = match view.reason {
                _ if !neighbors => Known::Nothing,
                Some(NodeReason::Syncing) => Known::Nothing,
                // Nobody needs its session or its place.
                _ if view.expected_vips == 0 => Known::Well,
                None if view.state == OperState::Unknown => Known::Nothing,
                Some(NodeReason::SessionDown) => Known::Bad(AlarmType::NeighborSessionDown),
                Some(NodeReason::NodeAddressUnknown) => Known::Unplaced,
                _ => Known::Well,
            };
            take(Resource::Node(cluster.clone(), node.clone()), known);
        }
        self.watches.retain(|resource, _| seen.contains(resource));
    }

    /// Checks what depends only on the alarms.
    #[track_caller]
    fn form(&self, said: &State) {
        let mut counts = AlarmCounts::default();
        for (key, view) in &said.alarms.active {
            counts.active[view.severity as usize] += 1;
            assert!(view.affected > 0 || view.last_change == view.raised, "{key} stands for nobody: {view:?}");
            assert!(!view.text.is_empty() && view.text.len() <= LONGEST_TEXT, "{key}: {}", view.text);
            assert!(!view.text.contains('\n'), "{key}: {}", view.text);
        }
        assert_eq!(said.alarms.counts, counts, "the summary counts active alarms");
        assert!(said.alarms.history.len() <= usize::from(self.policy.history_size));
    }

    /// Checks an alarm that is raised now: each resource it stands for has been bad for the hold time without
    /// interruption.
    #[track_caller]
    fn raised(&self, key: &AlarmKey, view: &AlarmView, now: Now) {
        let long = |watch: &Stopwatch| {
            matches!(watch.known, Known::Bad(_)) && now.elapsed >= watch.since + self.policy.raise_hold
        };
        match key.kind {
            kind if !of_vips(kind) && kind != AlarmType::NeighborSessionDown => {}
            _ => {
                let concerned: Vec<_> = self.watches.iter().filter(|(resource, _)| concerns(key, resource)).collect();
                let bad = concerned.iter().filter(|(_, watch)| long(watch)).count();
                let affected = view.affected;
                assert!(
                    bad >= affected as usize,
                    "{key} is raised for {affected}, and of {concerned:?} {bad} were bad"
                );
            }
        }
    }

    /// Checks an alarm that is cleared now: there is a visible reason, and not a lack of knowledge.
    #[track_caller]
    fn cleared(&self, record: &AlarmRecord, records: &[&AlarmRecord], now: Now, said: &State) {
        let (key, (switch, neighbors)) = (&record.key, visible(said));
        match record.because {
            ClearedBecause::Well | ClearedBecause::NotKnown | ClearedBecause::NothingToAnnounce => {
                let known = record.because != ClearedBecause::NotKnown || neighbors;
                assert!(known, "{key} is cleared for want of knowledge");
                assert!(key.kind == AlarmType::SourceStale || switch, "{key} is cleared while nothing is known");
                let of_node = matches!(key.kind, AlarmType::NeighborSessionDown | AlarmType::NodeAddressUnknown);
                assert!(!of_node || neighbors, "{key} is cleared while neighbors are not known");
                // The resource of an alarm for several is what they share.
                let alone = !(of_vips(key.kind) && matches!(key.resource, Resource::Node(..)));
                let timed = alone && key.kind != AlarmType::NodeAddressUnknown;
                // Nothing is known about a node that has no known place any more.
                let of_node = matches!(key.resource, Resource::Node(..)) && record.because != ClearedBecause::Well;
                let unknown = |known: Known| matches!(known, Known::Nothing | Known::Unplaced);
                let settled = |watch: &&Stopwatch| !of_node || !unknown(watch.known);
                if let Some(watch) = self.watches.get(&key.resource).filter(|_| timed).filter(settled) {
                    assert_eq!(watch.known, Known::Well, "{key} is cleared as {:?}", record.because);
                    assert!(now.elapsed >= watch.since + self.policy.clear_hold, "{key} is cleared too soon");
                }
            }
            ClearedBecause::Removed => {
                // If the alarm is for several, the last of them was removed, not what they shared.
                let shared = of_vips(key.kind) && !matches!(key.resource, Resource::Vip(..));
                assert!(
                    shared || !self.watches.contains_key(&key.resource),
                    "{key} is cleared as removed, and is there"
                );
            }
            ClearedBecause::Became(kind) => {
                let goes_on = said.alarms.active.keys().chain(records.iter().map(|record| &record.key));
                let mut goes_on = goes_on.filter(|other| other.kind == kind);
                assert!(goes_on.any(|other| related(key, other)), "{key} became {kind:?}, and there is none");
            }
        }
        assert!(record.cleared >= record.raised);
    }

    /// Checks that what has been bad for longer than the hold time has an alarm, or that a session which explains it
    /// has one or may get one.
    #[track_caller]
    fn missing(&self, now: Now, said: &State) {
        let recent = |since: &Duration| now.elapsed < *since + self.policy.raise_hold + GATHER;
        for (resource, watch) in &self.watches {
            let Known::Bad(kind) = watch.known else { continue };
            if recent(&watch.as_this) {
                continue;
            }
            let mut active = said.alarms.active.keys();
            let alarmed = active.any(|key| {
                // A FIB failure stays while nobody reports on the FIB.
                let as_bad = key.kind == kind || of_vips(kind) && key.kind == AlarmType::VipBlackholed;
                as_bad && concerns(key, resource)
            });
            let explained = kind == AlarmType::VipDegraded
                && resource.cluster().and_then(|cluster| self.trouble.get(cluster)).is_some_and(recent);
            assert!(
                alarmed || explained,
                "{resource} has been bad since {:?}, and has no alarm of {kind:?}",
                watch.since
            );
        }
    }

    /// Restarts the time of what a session explains when the session is well again, or when its alarm ends.
    fn note_trouble(&mut self, now: Now, said: &State) {
        let down = self.watches.iter().filter(|(_, watch)| watch.known == Known::Bad(AlarmType::NeighborSessionDown));
        let alarms = said.alarms.active.keys().chain(self.active.keys());
        let alarms = alarms.filter(|key| key.kind == AlarmType::NeighborSessionDown).map(|key| &key.resource);
        let clusters = down.map(|(resource, _)| resource).chain(alarms).filter_map(Resource::cluster);
        self.trouble.extend(clusters.map(|cluster| (cluster.clone(), now.elapsed)));
    }
}

/// Returns whether the switch's tables are visible, and whether BGP neighbors are.
fn visible(said: &State) -> (bool, bool) {
    let synced = |id: SourceId| said.sources.get(&id).is_some_and(|view| view.state == SourceState::Synced);
    let switch = synced(SourceId::Ndk);
    (switch, switch && synced(SourceId::Gnmi))
}

/// Returns whether a change from one to the other does not interrupt the stopwatch.
fn same(one: Known, other: Known) -> bool {
    let unwell = |known| matches!(known, Known::Bad(_) | Known::Unplaced);
    one == other || unwell(one) && unwell(other)
}

fn of_vip(vip: &VipView, neighbors: bool) -> Known {
    use AlarmType::*;
    let Some(reason) = vip.verdict.reason else { return Known::Well };
    let l2 = vip.announcement == Some(Announcement::L2);
    match (vip.verdict.state, reason) {
        (OperState::Up, _) => Known::Well,
        // Endpoints of other clusters in a mesh may serve it.
        (OperState::Unknown, Reason::NoReadyEndpoint) => Known::Well,
        // Nothing is known to be wrong with an existing route, although all sources are heard.
        (OperState::Unknown, Reason::NextHopUnmapped | Reason::SessionDown | Reason::ArpUnresolved) if neighbors => {
            Known::Well
        }
        (OperState::Unknown, _) => Known::Nothing,
        (OperState::Down, Reason::NoAnnouncer) if vip.by_design => Known::Well,
        (OperState::Down, Reason::NoRoute | Reason::WrongNetworkInstance) if l2 => Known::Bad(VipBlackholed),
        (_, Reason::NoRoute | Reason::WrongNetworkInstance) if l2 => Known::Bad(VipDegraded),
        (_, Reason::NoRoute | Reason::WrongNetworkInstance) => Known::Bad(VipRouteMissing),
        (_, Reason::SessionDown) if vip.route.is_none() => Known::Bad(VipRouteMissing),
        (OperState::Down, Reason::RouteNotProgrammed | Reason::NextHopUnexpected) => Known::Bad(VipBlackholed),
        (_, Reason::AddressConflict) => Known::Bad(VipAddressConflict),
        (_, Reason::NoReadyEndpoint) => Known::Bad(VipNoEndpoint),
        (_, Reason::NoAnnouncer) => Known::Bad(VipNotAnnounced),
        _ => Known::Bad(VipDegraded),
    }
}

fn of_vips(kind: AlarmType) -> bool {
    use AlarmType::*;
    matches!(kind, VipRouteMissing | VipBlackholed | VipAddressConflict | VipDegraded | VipNoEndpoint | VipNotAnnounced)
}

/// Returns whether an alarm can be about a resource: its own, or what it shares with others.
fn concerns(key: &AlarmKey, resource: &Resource) -> bool {
    match (&key.resource, resource) {
        (own, resource) if own == resource => true,
        (Resource::Cluster(cluster), other) => other.cluster() == Some(cluster),
        (Resource::Node(cluster, _), Resource::Vip(other, ..)) => cluster == other,
        (Resource::Service(cluster, service), Resource::Vip(other, of, _)) => cluster == other && service == of,
        (Resource::Address(_, address), Resource::Vip(.., other)) => address == other,
        _ => false,
    }
}

/// Returns whether the subjects of two alarms can be related.
fn related(one: &AlarmKey, other: &AlarmKey) -> bool {
    match (one.resource.cluster(), other.resource.cluster()) {
        (Some(one), Some(other)) => one == other,
        // Several clusters may share this.
        _ => true,
    }
}
