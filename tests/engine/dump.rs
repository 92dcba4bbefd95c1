//! Tests that the end of a dump is detected by counting, and that half a dump leads to no verdict.

use std::time::Duration;

use srl_k8s_services::model::cluster::TrafficPolicy::Cluster;
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{DumpPace, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{IpFamily, NextHopGroup, NextHopGroupId, Route, RouteTable};
use srl_k8s_services::model::verdict::OperState::{self, Down, Unknown, Up};
use srl_k8s_services::model::verdict::Reason;

use crate::scenario::{BGP, C1, Family, Scenario, VRF, cluster_config, net};

const V4: Family = Family::V4;
const GROUP: NextHopGroupId = NextHopGroupId(900);

/// The steps of a dump, and the counts that detect its end. During a dump, only the engine is checked, because the
/// oracle does not know half a dump.
impl Scenario {
    fn paced(&mut self, pace: DumpPace) -> &mut Self {
        self.tell(Event::Switch(SwitchEvent::Pace(pace)));
        self
    }

    /// Sets the number of active routes that gNMI counts.
    fn counting(&mut self, count: u64) -> &mut Self {
        let table = RouteTable { network_instance: VRF.into(), family: IpFamily::Ipv4 };
        self.tell(Event::ActiveRoutes(Update::All(vec![(table, count)])));
        self
    }

    fn dumping(&mut self) -> &mut Self {
        self.tell(Event::Source(SourceId::Ndk, SourceEvent::Syncing));
        self
    }

    fn stream_ends(&mut self) -> &mut Self {
        self.tell(Event::Source(SourceId::Ndk, SourceEvent::Lost("ended".into())));
        self
    }

    /// Sends the tables of a booted switch, without routes.
    fn instances(&mut self) -> &mut Self {
        for event in Self::tables() {
            self.tell(event);
        }
        self
    }

    fn group(&mut self) -> &mut Self {
        let group = NextHopGroup { next_hops: [V4.node(1)].into() };
        self.tell(Event::Switch(SwitchEvent::NextHopGroups(vec![(GROUP, Some(group))])));
        self
    }

    fn route(&mut self) -> &mut Self {
        let route = Route { owner: BGP, preference: 169, metric: 0, next_hop_group: GROUP };
        self.tell(Event::Switch(SwitchEvent::Routes(VRF.into(), vec![(V4.vip(100).into(), Some(route))])));
        self
    }

    /// Lets time pass. The engine is woken when it asked to be.
    fn wait(&mut self, time: Duration) -> &mut Self {
        let end = self.elapsed + time;
        while let Some(at) = self.engine.deadline().filter(|at| *at <= end) {
            self.elapsed = at.max(self.elapsed);
            self.tell(Event::Tick);
        }
        self.elapsed = end;
        self.tell(Event::Tick);
        self
    }

    #[track_caller]
    fn is(&mut self, state: OperState, reason: Option<Reason>) -> &mut Self {
        self.expect(V4.vip(100), state, reason, &[]);
        self
    }
}

const SYNCING: Option<Reason> = Some(Reason::Syncing);

/// A VIP behind one node, before the switch has sent anything except the route to another address.
fn half_a_dump() -> Scenario {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.source(SourceId::Gnmi, SourceEvent::Synced).counting(2);
    leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[V4.vip(100)]).ready("web", &["n1"]);
    leaf.route_of(VRF, net("9.9.9.9/32"), BGP, &[V4.node(1)]);
    leaf
}

/// A VIP behind one node, judged after a complete dump.
fn synced() -> Scenario {
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[V4.vip(100)]).ready("web", &["n1"]);
    leaf.group().route().is(Up, None);
    leaf
}

#[test]
fn a_first_dump_that_pauses_halfway_gives_no_wrong_verdict() {
    let mut leaf = half_a_dump();
    leaf.paced(DumpPace::Paused).paced(DumpPace::Rested).is(Unknown, SYNCING);
    leaf.wait(Duration::from_secs(5)).is(Unknown, SYNCING);
    leaf.group().route().is(Unknown, SYNCING).paced(DumpPace::Paused).is(Up, None);
}

#[test]
fn a_dump_short_of_the_counted_routes_ends_when_nothing_changes() {
    let mut leaf = half_a_dump();
    leaf.counting(3).group().route().paced(DumpPace::Paused).paced(DumpPace::Rested);
    leaf.wait(Duration::from_secs(9)).is(Unknown, SYNCING);
    leaf.wait(Duration::from_secs(1)).is(Up, None);
}

#[test]
fn without_counts_a_rest_ends_the_dump() {
    let mut leaf = half_a_dump();
    leaf.tell(Event::ActiveRoutes(Update::All(Vec::new())));
    leaf.group().route().paced(DumpPace::Paused).is(Unknown, SYNCING);
    leaf.paced(DumpPace::Rested).is(Up, None);
}

#[test]
fn a_reopened_stream_keeps_verdicts_until_everything_is_repeated() {
    let mut leaf = synced();
    leaf.counting(1);
    let (short, long) = (Duration::from_millis(300), Duration::from_millis(700));
    let pause = Duration::from_secs(2);

    // Groups first, then routes three seconds later.
    leaf.stream_ends().dumping().group();
    leaf.wait(short).paced(DumpPace::Paused).wait(long).paced(DumpPace::Rested).wait(pause).is(Up, None);
    leaf.route().paced(DumpPace::Paused).is(Up, None);
    leaf.instances().paced(DumpPace::Paused).is(Up, None);

    // Routes first, then what they refer to three seconds later.
    leaf.stream_ends().dumping().route();
    leaf.wait(short).paced(DumpPace::Paused).wait(long).paced(DumpPace::Rested).wait(pause).is(Up, None);
    leaf.group().instances().paced(DumpPace::Paused).is(Up, None);
}

#[test]
fn routes_a_dump_does_not_repeat_are_removed_at_its_end() {
    let mut leaf = synced();
    leaf.counting(0).stream_ends().dumping().instances().is(Up, None);
    leaf.paced(DumpPace::Paused).is(Down, Some(Reason::NoRoute));
}

#[test]
fn a_rest_in_the_stream_is_not_a_sign_of_life() {
    let mut leaf = Scenario::new();
    let heard = |leaf: &Scenario| {
        let freshness = leaf.engine.freshness().into_iter().find(|freshness| freshness.source == SourceId::Ndk);
        freshness.expect("a source").last_event
    };
    let before = heard(&leaf);
    leaf.wait(Duration::from_secs(5)).paced(DumpPace::Rested);
    assert_eq!(heard(&leaf), before);
    leaf.group();
    assert!(heard(&leaf) > before);
}
