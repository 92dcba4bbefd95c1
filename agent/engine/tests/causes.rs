//! What is not up is asked about, and what was found stands beside the verdict.

use super::fixtures::{Lab, node_name};
use crate::model::cluster::TrafficPolicy::Cluster;
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId, Update};
use crate::model::inquiry::{
    AddressKey, Answer, Asking, Finding, NeighborWords, Notification, Path, PathKey, Place, Question, RibRoute,
};
use crate::model::switch::{FibFaultKind, Neighbor, NeighborKey, PeerAddress, SessionState};
use crate::model::time::Timestamp;
use crate::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use crate::model::verdict::{ProbableCause, Reason};
use crate::model::view::Cause;

impl Lab {
    fn found(self, question: Question, answer: Answer) -> Self {
        let at = self.now().wall;
        self.tell(Event::Finding(question, Finding { at, answer }))
    }

    fn neighbor_of(&self, node: u8) -> NeighborKey {
        let peer = PeerAddress { ip: self.node_address(node), interface: None };
        NeighborKey { network_instance: "ip-vrf-1".into(), peer }
    }

    fn place_of(&self, node: u8) -> Question {
        let address = self.node_address(node);
        Question::Place(AddressKey { network_instance: "ip-vrf-1".into(), address })
    }

    fn path_of(&self, node: u8) -> Question {
        let (prefix, neighbor) = (self.vip_address().into(), self.node_address(node));
        Question::Path(PathKey { network_instance: "ip-vrf-1".into(), prefix, neighbor })
    }

    /// The cause on the VIP, and on one of its next-hops.
    fn causes(&self, node: u8) -> (Option<ProbableCause>, Option<ProbableCause>) {
        let address = self.node_address(node);
        let hop = self.vip().next_hops.iter().find(|hop| hop.address == address).expect("a next-hop");
        let word = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.probable);
        (word(&self.vip().cause), word(&hop.cause))
    }

    fn asks(&self, question: &Question) -> Option<Asking> {
        self.said.asked.get(question).copied()
    }
}

/// Two nodes with sessions, both next-hops of the VIP.
fn healthy(v4: bool) -> Lab {
    let lab = Lab::new(v4, 2).service(Cluster).endpoints(&[1, 2]).attached(&[1, 2]);
    lab.via_nodes(&[1, 2]).says(Up, None)
}

fn silent() -> Answer {
    Answer::Place(Place { answers: true, is_known: true, ..Place::default() })
}

#[test]
fn while_all_is_up_only_places_are_asked_once() {
    let lab = healthy(true);
    let asked: Vec<_> = lab.said.asked.iter().map(|(question, asking)| (question.clone(), *asking)).collect();
    assert_eq!(asked, [(lab.place_of(1), Asking::Once(None)), (lab.place_of(2), Asking::Once(None))]);
}

#[test]
fn a_session_that_falls_is_looked_into_and_explained() {
    for v4 in [true, false] {
        let lab = healthy(v4).via_nodes(&[1]).session(2, SessionState::Active);
        let lab = lab.says(Degraded, Some(Reason::SessionDown));
        let neighbor = Question::Neighbor(lab.neighbor_of(2));
        assert_eq!(lab.asks(&neighbor), Some(Asking::Repeatedly));
        assert_eq!(lab.asks(&lab.place_of(2)), Some(Asking::Repeatedly));
        assert_eq!(lab.causes(2), (None, None), "nothing is guessed");
        let words = NeighborWords { disabled: true, ..NeighborWords::default() };
        let lab = lab.found(neighbor.clone(), Answer::Neighbor(words));
        let cause = lab.node_view(2).cause.clone().expect("a cause");
        assert_eq!(cause.probable, ProbableCause::AdminDisabled);
        let disabled = Some(ProbableCause::AdminDisabled);
        assert_eq!(lab.causes(2), (disabled, disabled));
        let lab = lab.session(2, SessionState::Established).via_nodes(&[1, 2]).says(Up, None);
        assert_eq!(lab.asks(&neighbor), None);
        assert_eq!(lab.node_view(2).cause, None);
        assert_eq!(lab.vip().cause, None);
    }
}

#[test]
fn a_dynamic_neighbor_that_vanishes_leaves_its_last_words() {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let dynamic = |session, at: &str| Neighbor {
        session: Some(session),
        last_established: Some(time(at)),
        dynamic: true,
        ..Neighbor::default()
    };
    let up = || Some(dynamic(SessionState::Established, "2025-12-31T23:00:00Z"));
    let lab = healthy(true).neighbor(2, up()).via_nodes(&[1]);
    let lab = lab.neighbor(2, Some(dynamic(SessionState::Idle, "2025-12-31T23:59:00Z")));
    let neighbor = Question::Neighbor(lab.neighbor_of(2));
    let received = Notification {
        at: Some(time("2025-12-31T23:59:00Z")),
        code: "Cease".into(),
        subcode: Some("Administrative Shutdown".into()),
    };
    let words = NeighborWords { received: Some(received), ..NeighborWords::default() };
    let lab = lab.found(neighbor.clone(), Answer::Neighbor(words)).neighbor(2, None);
    assert_eq!(lab.node_view(2).peers[0].session, None, "the neighbor is gone");
    assert_eq!(lab.causes(2).0, Some(ProbableCause::PeerShutdown));
    let lab = lab.neighbor(2, up()).via_nodes(&[1, 2]).says(Up, None);
    assert_eq!((lab.asks(&neighbor), lab.causes(2)), (None, (None, None)));
}

#[test]
fn sentences_end_with_the_cause_once_it_is_known() {
    let lab = healthy(true).via_nodes(&[1]).session(2, SessionState::Active);
    let before = lab.vip().verdict.detail.clone().expect("a sentence");
    let since = lab.vip().last_change;
    let neighbor = Question::Neighbor(lab.neighbor_of(2));
    let words = NeighborWords { disabled: true, ..NeighborWords::default() };
    let lab = lab.found(neighbor, Answer::Neighbor(words));
    let cause = lab.vip().cause.clone().expect("a cause").detail;
    assert_eq!(lab.vip().verdict.detail.as_deref(), Some(&*format!("{before}; cause: {cause}")));
    assert_eq!(lab.vip().last_change, since, "another sentence is not another verdict");
}

#[test]
fn a_session_cause_goes_with_gnmi_and_a_path_cause_stays() {
    let lab = healthy(true).via_nodes(&[1]).session(2, SessionState::Active);
    let question = lab.place_of(2);
    let gone = Answer::Place(Place { is_known: true, ..Place::default() });
    let lab = lab.found(question, gone);
    assert_eq!(lab.node_view(2).cause.as_ref().map(|cause| cause.probable), Some(ProbableCause::NodeUnreachable));
    let lab = lab.source(SourceId::Gnmi, SourceEvent::Lost("socket".into()));
    assert_eq!(lab.node_view(2).cause, None);

    let lab = healthy(true).via_nodes(&[1]);
    let question = lab.path_of(2);
    let lab = lab.found(question, Answer::Path(Path { is_known: true, ..Path::default() }));
    let lab = lab.source(SourceId::Gnmi, SourceEvent::Lost("socket".into()));
    assert_eq!(lab.causes(2).1, Some(ProbableCause::NotReceived), "the route is as it was");
}

#[test]
fn an_absent_next_hop_with_its_session_up_is_explained_by_the_rib() {
    for v4 in [true, false] {
        let lab = healthy(v4).via_nodes(&[1]).says(Degraded, Some(Reason::NextHopMissing));
        let question = lab.path_of(2);
        assert_eq!(lab.asks(&question), Some(Asking::Repeatedly));
        let missing = Answer::Path(Path { is_known: true, ..Path::default() });
        let lab = lab.found(question.clone(), missing);
        let not_received = Some(ProbableCause::NotReceived);
        assert_eq!(lab.causes(2), (not_received, not_received));
        let row = RibRoute { rejected: true, ..RibRoute::default() };
        let rejected = Answer::Path(Path { received: Some(row), is_known: true, ..Path::default() });
        let lab = lab.found(question.clone(), rejected);
        let rejected = Some(ProbableCause::RejectedByPolicy);
        assert_eq!(lab.causes(2), (rejected, rejected), "the next finding takes its place");
        let lab = lab.via_nodes(&[1, 2]).says(Up, None);
        assert_eq!(lab.causes(2), (None, None));
        assert_eq!(lab.asks(&question), None);
    }
}

#[test]
fn paths_that_lost_to_evpn_say_by_what() {
    let lab = Lab::new(true, 2).service(Cluster).endpoints(&[1, 2]).attached(&[1]).behind(2).via_leaves(&[2]);
    let lab = lab.says(Degraded, Some(Reason::LocalPathUnused));
    let row = RibRoute { valid: true, tie_break: Some("as-path-length".into()), ..RibRoute::default() };
    let path = Path { received: Some(row.clone()), accepted: Some(row), is_known: true, ..Path::default() };
    let question = lab.path_of(1);
    let lab = lab.found(question, Answer::Path(path));
    let cause = lab.vip().cause.clone().expect("a cause");
    assert_eq!(cause.probable, ProbableCause::NotBest);
    assert!(cause.detail.contains("as-path-length") && cause.detail.contains("bgp_evpn_mgr"), "{}", cause.detail);
}

#[test]
fn a_route_kept_without_its_session_is_stale() {
    let lab = healthy(true).session(2, SessionState::Active);
    let question = lab.path_of(2);
    assert_eq!(lab.asks(&question), Some(Asking::Repeatedly));
    let row = RibRoute { valid: true, used: true, stale: true, ..RibRoute::default() };
    let path = Path { received: Some(row.clone()), accepted: Some(row), is_known: true, ..Path::default() };
    let lab = lab.found(question, Answer::Path(path));
    let stale = Some(ProbableCause::Stale);
    assert_eq!(lab.says(Unknown, Some(Reason::SessionDown)).causes(2), (stale, stale));
}

#[test]
fn a_suppressed_route_is_the_cause_of_its_vip() {
    let lab = healthy(true).fib(FibFaultKind::Suppressed).says(Down, Some(Reason::RouteNotProgrammed));
    assert_eq!(lab.vip().cause.as_ref().map(|cause| cause.probable), Some(ProbableCause::FibSuppressed));
    let lab = lab.fib(FibFaultKind::Failed).says(Down, Some(Reason::RouteNotProgrammed));
    assert_eq!(lab.vip().cause, None);
}

#[test]
fn what_is_no_fault_of_the_switch_has_no_cause() {
    let lab = healthy(true).via_nodes(&[1]).session(2, SessionState::Active);
    let place = lab.place_of(2);
    let lab = lab.found(place, Answer::Place(Place { is_known: true, ..Place::default() }));
    let lab = lab.endpoints_as("c1", "web", &[1, 2], false).says(Down, Some(Reason::NoReadyEndpoint));
    assert_eq!(lab.vip().cause, None);
}

#[test]
fn a_node_says_where_it_is_plugged_in() {
    let lab = healthy(true);
    let place = Place {
        answers: true,
        is_known: true,
        subinterface: Some("irb1.1".into()),
        link_layer_address: Some("AA:C1:AB:00:00:11".into()),
        port: Some("ethernet-1/1".into()),
        ..Place::default()
    };
    let question = lab.place_of(1);
    let lab = lab.found(question, Answer::Place(place));
    let peer = &lab.node_view(1).peers[0];
    assert_eq!((peer.subinterface.as_deref(), peer.port.as_deref()), (Some("irb1.1"), Some("ethernet-1/1")));
    assert_eq!(peer.link_layer_address.as_deref(), Some("AA:C1:AB:00:00:11"));
    assert_eq!(peer.cause, None);
}

#[test]
fn a_speaker_that_was_up_and_is_silent_is_told_by_when_it_fell() {
    let established: Timestamp = "2025-12-31T23:00:00Z".parse().expect("a time");
    let fell: Timestamp = "2025-12-31T23:59:00Z".parse().expect("a time");
    let at = |session, last_established| Neighbor {
        session: Some(session),
        last_established: Some(last_established),
        ..Neighbor::default()
    };
    let lab = healthy(true).neighbor(2, Some(at(SessionState::Established, established)));
    let lab = lab.via_nodes(&[1]).neighbor(2, Some(at(SessionState::Active, fell)));
    let (place, neighbor) = (lab.place_of(2), Question::Neighbor(lab.neighbor_of(2)));
    let lab = lab.found(place, silent()).found(neighbor, Answer::Neighbor(NeighborWords::default()));
    let cause = lab.node_view(2).cause.clone().expect("a cause");
    assert_eq!(cause.probable, ProbableCause::SpeakerSilent);
    assert!(cause.detail.contains("2025-12-31T23:59:00Z"), "{}", cause.detail);
}

#[test]
fn questions_go_with_what_they_are_about() {
    let lab = healthy(true).via_nodes(&[1]).session(2, SessionState::Active);
    assert!(lab.said.asked.len() > 2);
    let gone = ClusterEvent::Nodes(Update::Gone(node_name(2)));
    let lab = lab.told("c1", gone);
    assert!(lab.said.asked.keys().all(|question| *question == lab.place_of(1)), "{:?}", lab.said.asked);
}
