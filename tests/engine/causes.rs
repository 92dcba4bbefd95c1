//! Tests that the engine asks the switch about everything that is not up, and publishes the answers as causes.

use ipnet::IpNet;
use srl_k8s_services::model::cluster::TrafficPolicy::Cluster;
use srl_k8s_services::model::cluster::{AddressFamily, Node};
use srl_k8s_services::model::event::{ClusterEvent, Event, SwitchEvent, Update};
use srl_k8s_services::model::inquiry::{
    AddressKey, Answer, Asking, Down as PortDown, Finding, NeighborWords, Notification, Path, PathKey, Place, Question,
    RibRoute,
};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{FibFaultKind, Neighbor, SessionState};
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::{ProbableCause, Reason};
use srl_k8s_services::model::view::Cause;

use crate::scenario::{BGP_EVPN, C1, Family, Scenario, VRF, at, endpoint, ip, neighbor_key, vtep};

const V4: Family = Family::V4;
/// A time before the agent started.
const ESTABLISHED: &str = "2023-11-14T21:00:00Z";
const FELL: &str = "2023-11-14T22:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn neighbor_of(family: Family, node: u8) -> Question {
    Question::Neighbor(neighbor_key(VRF, family.node(node)))
}

fn place_of(family: Family, node: u8) -> Question {
    Question::Place(AddressKey { network_instance: VRF.into(), address: family.node(node) })
}

fn path_of(family: Family, node: u8) -> Question {
    let (prefix, neighbor) = (family.vip(100).into(), family.node(node));
    Question::Path(PathKey { network_instance: VRF.into(), prefix, neighbor })
}

impl Scenario {
    fn found(&mut self, question: Question, answer: Answer) -> &mut Self {
        let at = at(self.elapsed).wall;
        // `tell` does not compare with a recompute, which does not know findings.
        self.tell(Event::Finding(question, Finding { at, answer }));
        self
    }

    fn asks(&self, question: &Question) -> Option<Asking> {
        self.said.asked.get(question).copied()
    }

    /// Returns the causes of the VIP and of one of its next-hops.
    fn causes(&self, family: Family, node: u8) -> (Option<ProbableCause>, Option<ProbableCause>) {
        let vip = family.vip(100);
        let word = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.probable);
        (word(&self.vip_view("web", vip).cause), word(&self.next_hop("web", vip, family.node(node)).cause))
    }

    fn cause_of(&self, node: &str) -> Option<ProbableCause> {
        self.node_view(node).cause.as_ref().map(|cause| cause.probable)
    }
}

/// Creates two nodes with sessions, both next-hops of the VIP.
fn healthy(family: Family) -> Scenario {
    let (mut leaf, vip) = (Scenario::new(), family.vip(100));
    leaf.attached("n1", family.node(1)).attached("n2", family.node(2));
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]);
    both_routed(&mut leaf, family);
    leaf
}

fn both_routed(leaf: &mut Scenario, family: Family) {
    leaf.bgp(family.vip(100), &[family.node(1), family.node(2)]).expect(family.vip(100), Up, None, &[]);
}

/// Creates the scenario of [`healthy`] with the session of the second node down and its next-hop gone.
fn session_lost(family: Family) -> Scenario {
    let mut leaf = healthy(family);
    leaf.bgp(family.vip(100), &[family.node(1)]).session(family.node(2), SessionState::Active);
    leaf.expect(family.vip(100), Degraded, Some(Reason::SessionDown), &[]);
    leaf
}

fn disabled() -> Answer {
    Answer::Neighbor(NeighborWords { disabled: true, ..NeighborWords::default() })
}

fn unreachable() -> Answer {
    Answer::Place(Place { is_known: true, ..Place::default() })
}

fn not_received() -> Answer {
    Answer::Path(Path { is_known: true, ..Path::default() })
}

#[test]
fn while_everything_is_up_only_places_are_asked_and_only_once() {
    let leaf = healthy(V4);
    let asked: Vec<_> = leaf.said.asked.iter().map(|(question, asking)| (question.clone(), *asking)).collect();
    assert_eq!(asked, [(place_of(V4, 1), Asking::Once(None)), (place_of(V4, 2), Asking::Once(None))]);
}

#[test]
fn a_network_instance_of_a_type_without_routes_is_reported_with_its_type() {
    let (mut leaf, vip) = (healthy(V4), V4.vip(100));
    leaf.cluster(C1, |cluster| cluster.rules.network_instance = "subnetA".into());
    let question = Question::Instance("subnetA".into());
    assert_eq!(leaf.asks(&question), Some(Asking::Repeatedly));
    leaf.found(question.clone(), Answer::Instance(Some("mac-vrf".into())));
    let missing = Some(Reason::NetworkInstanceMissing);
    leaf.expect(vip, Unknown, missing, &[&"network-instance subnetA is of type mac-vrf", &"correct network-instance"]);
    // An ip-vrf that the NDK does not report yet, and no network instance at all, are reported as missing.
    for of_type in [Some("ip-vrf".into()), None] {
        leaf.found(question.clone(), Answer::Instance(of_type));
        leaf.expect(
            vip,
            Unknown,
            missing,
            &[&"no network-instance subnetA of type default or ip-vrf", &"create it, or "],
        );
    }
    leaf.cluster(C1, |cluster| cluster.rules.network_instance = VRF.into());
    assert_eq!(leaf.asks(&question), None);
}

#[test]
fn a_lost_session_is_investigated_and_explained() {
    for family in Family::BOTH {
        let mut leaf = session_lost(family);
        let neighbor = neighbor_of(family, 2);
        assert_eq!(leaf.asks(&neighbor), Some(Asking::Repeatedly));
        assert_eq!(leaf.asks(&place_of(family, 2)), Some(Asking::Repeatedly));
        assert_eq!(leaf.causes(family, 2), (None, None), "nothing is guessed");
        leaf.found(neighbor.clone(), disabled());
        assert_eq!(leaf.cause_of("n2"), Some(ProbableCause::AdminDisabled));
        assert_eq!(leaf.causes(family, 2), (Some(ProbableCause::AdminDisabled), Some(ProbableCause::AdminDisabled)));
        leaf.up(family.node(2));
        both_routed(&mut leaf, family);
        assert_eq!(leaf.asks(&neighbor), None);
        assert_eq!((leaf.cause_of("n2"), leaf.causes(family, 2)), (None, (None, None)));
    }
}

#[test]
fn a_remote_node_counts_as_moved_only_if_its_neighbor_remains_on_this_leaf() {
    for family in Family::BOTH {
        let (mut leaf, vip, address) = (Scenario::new(), family.vip(100), family.node(2));
        leaf.remote("n1", family.node(1), 1).remote("n2", address, 2);
        leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]).evpn(vip, &[vtep(1), vtep(2)]);
        leaf.expect(vip, Up, None, &[]);
        for node in ["n1", "n2"] {
            let view = leaf.node_view(node);
            assert_eq!((view.cause.clone(), view.peers[0].cause.clone()), (None, None), "{node} is remote by design");
        }
        assert!(leaf.said.asked.is_empty(), "and nothing is asked: {:?}", leaf.said.asked);
        leaf.session(address, SessionState::Connect).expect(vip, Up, None, &[]);
        let of_peer = |leaf: &Scenario| leaf.node_view("n2").peers[0].cause.clone().expect("its neighbor is left over");
        assert_eq!(of_peer(&leaf).probable, ProbableCause::NodeMoved);
        assert_eq!((leaf.node_view("n2").state, leaf.cause_of("n2")), (Up, None), "nothing is wrong with it");
        // Whether the node has a second cable or moved, the port here is certainly down.
        let port_down = Some(PortDown { reason: Some("lower-layer-down".into()), since: None });
        let place = Place { is_known: true, port: Some("ethernet-1/1".into()), port_down, ..Place::default() };
        leaf.found(place_of(family, 2), Answer::Place(place));
        let cause = of_peer(&leaf);
        assert_eq!(cause.probable, ProbableCause::InterfaceDown);
        assert!(cause.detail.contains("is behind another leaf now"), "{}", cause.detail);
        leaf.vanish(address);
        assert_eq!(leaf.node_view("n2").peers[0].cause, None);
        assert!(leaf.said.asked.is_empty(), "void: {:?}", leaf.said.asked);
    }
}

#[test]
fn a_node_is_not_reported_as_moved_because_of_other_routes_to_it() {
    const STATIC: u32 = 13;
    for family in Family::BOTH {
        let (mut leaf, address) = (session_lost(family), family.node(2));
        leaf.found(place_of(family, 2), Answer::Place(Place { answers: true, is_known: true, ..Place::default() }));
        assert_eq!(leaf.cause_of("n2"), None, "it answers, and nothing else is known");
        leaf.event(Event::Switch(SwitchEvent::Application(STATIC, Some("static_route_mgr".into()))));
        leaf.route_of(VRF, address.into(), STATIC, &[vtep(3)]);
        assert_eq!(leaf.cause_of("n2"), None, "a static route is no VTEP");
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(3)]);
        assert_eq!(leaf.cause_of("n2"), None, "a subnet that EVPN brings is no place of one node");
        // On the device the longest and best route counts: EVPN's host route, wherever its neighbor is.
        leaf.evpn(address, &[vtep(3)]);
        let moved = leaf.node_view("n2").peers[0].cause.clone().expect("a cause");
        assert_eq!(moved.probable, ProbableCause::NodeMoved);
        assert!(moved.detail.contains("VTEP 10.0.1.3"), "{}", moved.detail);
        // It moves on, and comes back.
        leaf.evpn(address, &[vtep(4)]);
        let on = leaf.node_view("n2").peers[0].cause.clone().expect("a cause");
        assert!(on.detail.contains("VTEP 10.0.1.4"), "{}", on.detail);
        leaf.withdraw(address).up(address);
        assert_eq!(leaf.node_view("n2").peers[0].cause, None);
    }
}

#[test]
fn a_vanished_dynamic_neighbor_is_explained_by_its_last_notification() {
    let dynamic = |session, last_established| Neighbor {
        session: Some(session),
        last_established: Some(time(last_established)),
        dynamic: true,
        ..Neighbor::default()
    };
    let (mut leaf, address) = (healthy(V4), V4.node(2));
    leaf.set_neighbor(address, dynamic(SessionState::Established, ESTABLISHED)).bgp(V4.vip(100), &[V4.node(1)]);
    leaf.set_neighbor(address, dynamic(SessionState::Idle, FELL));
    let subcode = Some("Administrative Shutdown".into());
    let received = Notification { at: Some(time(FELL)), code: "Cease".into(), subcode };
    let words = NeighborWords { received: Some(received), ..NeighborWords::default() };
    leaf.found(neighbor_of(V4, 2), Answer::Neighbor(words)).vanish(address);
    assert_eq!(leaf.node_view("n2").peers[0].session, None, "the neighbor is gone");
    assert_eq!(leaf.causes(V4, 2).0, Some(ProbableCause::PeerShutdown));
    leaf.set_neighbor(address, dynamic(SessionState::Established, ESTABLISHED));
    both_routed(&mut leaf, V4);
    assert_eq!((leaf.asks(&neighbor_of(V4, 2)), leaf.causes(V4, 2)), (None, (None, None)));
}

#[test]
fn sentences_end_with_the_cause_once_it_is_known() {
    let (mut leaf, vip) = (session_lost(V4), V4.vip(100));
    let before = leaf.vip_view("web", vip).clone();
    leaf.found(neighbor_of(V4, 2), disabled());
    let after = leaf.vip_view("web", vip);
    let (sentence, cause) = (before.verdict.detail.expect("a sentence"), after.cause.clone().expect("a cause").detail);
    assert_eq!(after.verdict.detail.as_deref(), Some(&*format!("{sentence}; cause: {cause}")));
    assert_eq!(after.last_change, before.last_change, "another sentence is not another verdict");
}

#[test]
fn a_session_cause_is_dropped_with_gnmi_but_a_path_cause_stays() {
    let mut leaf = session_lost(V4);
    leaf.found(place_of(V4, 2), unreachable());
    assert_eq!(leaf.cause_of("n2"), Some(ProbableCause::NodeUnreachable));
    leaf.lost(SourceId::Gnmi);
    assert_eq!(leaf.cause_of("n2"), None);

    let mut leaf = healthy(V4);
    leaf.bgp(V4.vip(100), &[V4.node(1)]).found(path_of(V4, 2), not_received()).lost(SourceId::Gnmi);
    assert_eq!(leaf.causes(V4, 2).1, Some(ProbableCause::NotReceived), "the route is as it was");
}

#[test]
fn a_missing_next_hop_with_its_session_up_is_explained_by_the_rib() {
    for family in Family::BOTH {
        let (mut leaf, vip, question) = (healthy(family), family.vip(100), path_of(family, 2));
        leaf.bgp(vip, &[family.node(1)]).expect(vip, Degraded, Some(Reason::NextHopMissing), &[]);
        assert_eq!(leaf.asks(&question), Some(Asking::Repeatedly));
        leaf.found(question.clone(), not_received());
        assert_eq!(leaf.causes(family, 2), (Some(ProbableCause::NotReceived), Some(ProbableCause::NotReceived)));
        let row = RibRoute { rejected: true, ..RibRoute::default() };
        leaf.found(question.clone(), Answer::Path(Path { received: Some(row), is_known: true, ..Path::default() }));
        let rejected = Some(ProbableCause::RejectedByPolicy);
        assert_eq!(leaf.causes(family, 2), (rejected, rejected), "the next finding takes its place");
        both_routed(&mut leaf, family);
        assert_eq!((leaf.asks(&question), leaf.causes(family, 2)), (None, (None, None)));
    }
}

#[test]
fn the_cause_of_paths_that_lost_to_evpn_is_the_tie_break() {
    let (mut leaf, vip) = (Scenario::new(), V4.vip(100));
    leaf.attached("n1", V4.node(1)).remote("n2", V4.node(2), 2);
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]).evpn(vip, &[vtep(2)]);
    leaf.expect(vip, Degraded, Some(Reason::LocalPathUnused), &[]);
    let row = RibRoute { valid: true, tie_break: Some("as-path-length".into()), ..RibRoute::default() };
    let path = Path { received: Some(row.clone()), accepted: Some(row), is_known: true, ..Path::default() };
    leaf.found(path_of(V4, 1), Answer::Path(path));
    let cause = leaf.vip_view("web", vip).cause.clone().expect("a cause");
    assert_eq!(cause.probable, ProbableCause::NotBest);
    assert!(cause.detail.contains("as-path-length") && cause.detail.contains("bgp_evpn_mgr"), "{}", cause.detail);
}

#[test]
fn a_route_kept_without_its_session_is_stale() {
    let mut leaf = healthy(V4);
    leaf.session(V4.node(2), SessionState::Active);
    assert_eq!(leaf.asks(&path_of(V4, 2)), Some(Asking::Repeatedly));
    let row = RibRoute { valid: true, used: true, stale: true, ..RibRoute::default() };
    let path = Path { received: Some(row.clone()), accepted: Some(row), is_known: true, ..Path::default() };
    leaf.found(path_of(V4, 2), Answer::Path(path));
    leaf.expect(V4.vip(100), Unknown, Some(Reason::SessionDown), &[]);
    assert_eq!(leaf.causes(V4, 2), (Some(ProbableCause::Stale), Some(ProbableCause::Stale)));
}

#[test]
fn a_suppressed_route_is_the_cause_shown_for_its_vip() {
    let (mut leaf, vip) = (healthy(V4), V4.vip(100));
    let cause = |leaf: &Scenario| leaf.vip_view("web", vip).cause.as_ref().map(|cause| cause.probable);
    leaf.fib(vip, Some(FibFaultKind::Suppressed)).expect(vip, Down, Some(Reason::RouteNotProgrammed), &[]);
    assert_eq!(cause(&leaf), Some(ProbableCause::FibSuppressed));
    leaf.fib(vip, Some(FibFaultKind::Failed)).expect(vip, Down, Some(Reason::RouteNotProgrammed), &[]);
    assert_eq!(cause(&leaf), None);
}

#[test]
fn a_vip_without_ready_endpoints_has_no_cause_on_the_switch() {
    let (mut leaf, vip) = (session_lost(V4), V4.vip(100));
    leaf.found(place_of(V4, 2), unreachable());
    let endpoints = [endpoint("web-0", "n1", false, false), endpoint("web-1", "n2", false, false)];
    leaf.slice(C1, "web", AddressFamily::Ipv4, &endpoints);
    leaf.expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
    assert_eq!(leaf.vip_view("web", vip).cause, None);
}

#[test]
fn a_node_shows_where_it_is_plugged_in() {
    let mut leaf = healthy(V4);
    let place = Place {
        answers: true,
        is_known: true,
        subinterface: Some("irb1.1".into()),
        link_layer_address: Some("AA:C1:AB:00:00:11".into()),
        port: Some("ethernet-1/1".into()),
        ..Place::default()
    };
    leaf.found(place_of(V4, 1), Answer::Place(place));
    let peer = &leaf.node_view("n1").peers[0];
    assert_eq!((peer.subinterface.as_deref(), peer.port.as_deref()), (Some("irb1.1"), Some("ethernet-1/1")));
    assert_eq!(peer.link_layer_address.as_deref(), Some("AA:C1:AB:00:00:11"));
    assert_eq!(peer.cause, None);
}

#[test]
fn a_node_that_speaks_from_a_loopback_is_plugged_in_where_its_gateway_is() {
    const STATIC: u32 = 13;
    let (loopback, gateway) = (ip("6.4.5.20"), V4.node(1));
    let attached = || {
        let mut leaf = Scenario::new();
        leaf.event(Event::Switch(SwitchEvent::Application(STATIC, Some("static_route_mgr".into()))));
        leaf.route_of(VRF, IpNet::from(loopback), STATIC, &[gateway]);
        leaf.cluster(C1, |cluster| {
            cluster.rules.fabric_addresses.insert("n1".into(), [loopback].into());
        });
        leaf.node("n1", &[gateway]).up(loopback);
        leaf
    };
    let mut leaf = attached();
    let place_of = |address| Question::Place(AddressKey { network_instance: VRF.into(), address });
    assert_eq!(leaf.asks(&place_of(gateway)), Some(Asking::Once(None)));
    assert_eq!(leaf.asks(&place_of(loopback)), None, "a loopback has no ARP entry");
    let plugged_in = Place {
        is_known: true,
        subinterface: Some("irb0.0".into()),
        port: Some("ethernet-1/1".into()),
        ..Place::default()
    };
    leaf.found(place_of(gateway), Answer::Place(Place { answers: true, ..plugged_in.clone() }));
    let peer = leaf.node_view("n1").peers[0].clone();
    assert_eq!((peer.address, peer.port.as_deref()), (loopback, Some("ethernet-1/1")));
    let mut leaf = attached();
    leaf.session(loopback, SessionState::Active).found(place_of(gateway), Answer::Place(plugged_in));
    let cause = leaf.node_view("n1").cause.clone().expect("a cause");
    assert_eq!(cause.probable, ProbableCause::NodeUnreachable);
    assert!(cause.detail.starts_with("192.168.1.11, the gateway to 6.4.5.20, does not answer"), "{}", cause.detail);
}

#[test]
fn a_gateway_shows_no_place_if_it_is_one_of_two_or_leads_to_several_nodes() {
    const STATIC: u32 = 13;
    let (mut leaf, loopback, gateway) = (Scenario::new(), ip("6.4.5.20"), V4.node(1));
    leaf.event(Event::Switch(SwitchEvent::Application(STATIC, Some("static_route_mgr".into()))));
    leaf.route_of(VRF, IpNet::from(loopback), STATIC, &[gateway]).node("n1", &[loopback]).up(loopback);
    let place_of = |address| Question::Place(AddressKey { network_instance: VRF.into(), address });
    let asked = |leaf: &Scenario| (leaf.asks(&place_of(gateway)), leaf.asks(&place_of(loopback)));
    assert_eq!(asked(&leaf), (Some(Asking::Once(None)), None));
    leaf.route_of(VRF, IpNet::from(loopback), STATIC, &[gateway, V4.node(2)]).session(loopback, SessionState::Active);
    assert_eq!(asked(&leaf), (None, Some(Asking::Repeatedly)), "one of two");
    leaf.route_of(VRF, IpNet::from(loopback), STATIC, &[gateway]).up(loopback);
    assert_eq!(asked(&leaf), (Some(Asking::Once(None)), None));
    // A router before two nodes.
    let other = ip("6.4.5.21");
    leaf.route_of(VRF, IpNet::from(other), STATIC, &[gateway]);
    let place = Place { answers: true, is_known: true, port: Some("ethernet-1/1".into()), ..Place::default() };
    leaf.found(place_of(gateway), Answer::Place(place));
    assert_eq!(leaf.node_view("n1").peers[0].port.as_deref(), Some("ethernet-1/1"));
    let node = Node { internal: [other].into(), ..Node::default() };
    leaf.tell(Event::Cluster(C1.into(), ClusterEvent::Nodes(Update::Set("n2".into(), node))));
    assert_eq!(leaf.node_view("n1").peers[0].port, None);
    assert_eq!(asked(&leaf), (None, Some(Asking::Once(None))));
}

#[test]
fn the_cause_of_a_node_is_that_of_its_worst_peer() {
    let (mut leaf, vip) = (Scenario::new(), V4.vip(100));
    let (v4, v6) = (V4.node(1), Family::V6.node(1));
    leaf.node("n1", &[v4, v6]).up(v4).up(v6).service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[v4]);
    let state = |leaf: &mut Scenario, of_v4, of_v6| {
        leaf.session(v4, of_v4).session(v6, of_v6);
        leaf.found(neighbor_of(V4, 1), disabled()).found(place_of(Family::V6, 1), unreachable());
        leaf.cause_of("n1")
    };
    use SessionState::{Active, Idle};
    assert_eq!(state(&mut leaf, Idle, Active), Some(ProbableCause::AdminDisabled));
    assert_eq!(state(&mut leaf, Active, Idle), Some(ProbableCause::NodeUnreachable));
    let order = |family: Family| {
        ProbableCause::ALL.iter().position(|word| {
            let peers = &leaf.node_view("n1").peers;
            let peer = peers.iter().find(|peer| peer.address == family.node(1)).expect("a peer");
            peer.cause.as_ref().is_some_and(|cause| cause.probable == *word)
        })
    };
    let first = order(V4).min(order(Family::V6)).map(|at| ProbableCause::ALL[at]);
    assert_eq!(state(&mut leaf, Active, Active), first, "of equal states, the cause that comes first");
}

#[test]
fn a_silent_speaker_is_reported_with_the_time_its_session_was_lost() {
    let neighbor = |session, last_established| Neighbor {
        session: Some(session),
        last_established: Some(time(last_established)),
        ..Neighbor::default()
    };
    let (mut leaf, address) = (healthy(V4), V4.node(2));
    leaf.set_neighbor(address, neighbor(SessionState::Established, ESTABLISHED)).bgp(V4.vip(100), &[V4.node(1)]);
    leaf.set_neighbor(address, neighbor(SessionState::Active, FELL));
    leaf.found(place_of(V4, 2), Answer::Place(Place { answers: true, is_known: true, ..Place::default() }));
    leaf.found(neighbor_of(V4, 2), Answer::Neighbor(NeighborWords::default()));
    let cause = leaf.node_view("n2").cause.clone().expect("a cause");
    assert_eq!(cause.probable, ProbableCause::SpeakerSilent);
    assert!(cause.detail.contains(FELL), "{}", cause.detail);
}

#[test]
fn questions_are_withdrawn_with_their_subject() {
    let mut leaf = session_lost(V4);
    assert!(leaf.said.asked.len() > 2);
    leaf.kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n2".into())));
    assert!(leaf.said.asked.keys().all(|question| *question == place_of(V4, 1)), "{:?}", leaf.said.asked);
}
