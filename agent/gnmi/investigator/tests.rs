//! Tests with answers in the forms of real servers, and tests of when questions are asked.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::path::parse;
use super::*;
use crate::model::inquiry::{NeighborWords, PathKey};
use crate::model::switch::{NeighborKey, PeerAddress};
use gnmi::typed_value::Value as Typed;

const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 11));

/// Makes an answer with one update per path, as JSON_IETF.
fn answer(updates: &[(&str, Value)]) -> gnmi::GetResponse {
    let update = updates
        .iter()
        .map(|(path, value)| gnmi::Update {
            path: Some(parse(path).expect("a path")),
            val: Some(gnmi::TypedValue { value: Some(Typed::JsonIetfVal(value.to_string().into())) }),
            ..Default::default()
        })
        .collect();
    gnmi::GetResponse { notification: vec![gnmi::Notification { update, ..Default::default() }], ..Default::default() }
}

fn neighbor_key() -> NeighborKey {
    NeighborKey { network_instance: "ip-vrf-1".into(), peer: PeerAddress { ip: NODE, interface: None } }
}

fn place_key() -> AddressKey {
    AddressKey { network_instance: "ip-vrf-1".into(), address: NODE }
}

fn path_key() -> PathKey {
    PathKey { network_instance: "ip-vrf-1".into(), prefix: "1.1.1.100/32".parse().expect("a prefix"), neighbor: NODE }
}

fn inquiry(questions: &[(Question, Asking)]) -> Inquiry {
    questions.iter().cloned().collect()
}

fn at() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// Asks a question and returns the findings from this answer.
fn ask(investigator: &mut Investigator, question: &Question, updates: &[(&str, Value)]) -> Vec<(Question, Finding)> {
    let now = Instant::now();
    investigator.set(&inquiry(&[(question.clone(), Asking::Repeatedly)]), now);
    let due = investigator.due(now + GATHER);
    answered(investigator, Stage::Questions(due), updates)
}

fn answered(investigator: &mut Investigator, stage: Stage, updates: &[(&str, Value)]) -> Vec<(Question, Finding)> {
    let mut findings = investigator.found(stage, at(), &read(answer(updates)), &Neighbors::default());
    findings.extend(investigator.release(Instant::now()));
    findings
}

/// Returns the findings from this answer to the next stage.
fn follow(investigator: &mut Investigator, updates: &[(&str, Value)]) -> Vec<(Question, Finding)> {
    let stage = investigator.next.pop().expect("a stage follows");
    answered(investigator, stage, updates)
}

fn place(findings: &[(Question, Finding)]) -> Place {
    match findings {
        [(_, Finding { answer: Answer::Place(place), .. })] => place.clone(),
        other => panic!("one place: {other:?}"),
    }
}

const INTERFACE: &str = "/srl_nokia-interfaces:interface[name=irb1]/subinterface[index=1]";
const ENTRY: &str = "/srl_nokia-interfaces:interface[name=irb1]/subinterface[index=1]/ipv4/srl_nokia-interfaces-nbr:arp\
                     /neighbor[ipv4-address=192.168.1.11]/link-layer-address";

fn members() -> (&'static str, Value) {
    ("/network-instance[name=ip-vrf-1]", json!({"interface": [{"name": "irb1.1", "oper-state": "up"}]}))
}

#[test]
fn a_neighbor_finding_contains_its_last_notifications() {
    let path = "/network-instance[name=ip-vrf-1]/protocols/bgp/neighbor[peer-address=192.168.1.11]";
    let value = json!({
        "admin-state": "enable", "peer-as": 65535, "last-event": "recvNotify",
        "srl_nokia-bgp:local-as": {"as-number": 65001},
        "received-messages": {
            "last-notification-time": "2026-06-12T16:29:35.500Z",
            "last-notification-error-code": "Cease", "last-notification-error-subcode": "Administrative Shutdown",
        },
        "sent-messages": {"last-notification-error-code": ""},
        "afi-safi": [
            {"afi-safi-name": "srl_nokia-common:ipv4-unicast", "rejected-routes": 2},
            {"afi-safi-name": "srl_nokia-common:ipv6-unicast", "rejected-routes": 1},
        ],
    });
    let question = Question::Neighbor(neighbor_key());
    let findings = ask(&mut Investigator::default(), &question, &[(path, value)]);
    let [(of, Finding { answer: Answer::Neighbor(words), .. })] = &*findings else { panic!("one: {findings:?}") };
    assert_eq!(*of, question);
    let received = words.received.as_ref().expect("a NOTIFICATION");
    assert_eq!((&*received.code, received.subcode.as_deref()), ("Cease", Some("Administrative Shutdown")));
    assert!(received.at.is_some());
    let rest = NeighborWords { received: None, ..words.clone() };
    let expected = NeighborWords {
        last_event: Some("recvNotify".into()),
        peer_as: Some(65535),
        local_as: Some(65001),
        rejected_routes: Some(3),
        ..NeighborWords::default()
    };
    assert_eq!(rest, expected);
}

#[test]
fn a_missing_neighbor_gives_no_finding() {
    assert!(ask(&mut Investigator::default(), &Question::Neighbor(neighbor_key()), &[]).is_empty());
}

#[test]
fn a_route_is_traced_from_the_neighbors_rib_to_the_route_table() {
    let rib = "/network-instance[name=ip-vrf-1]/bgp-rib/afi-safi[afi-safi-name=ipv4-unicast]/ipv4-unicast/rib-in-out";
    let row = json!({"route": [
        {"prefix": "1.1.1.100/32", "neighbor": "192.168.1.11", "path-id": 0, "used-route": false, "valid-route": true,
         "tie-break-reason": "as-path-length"},
        {"prefix": "1.1.1.100/32", "neighbor": "192.168.1.12", "path-id": 0, "used-route": true, "valid-route": true},
    ]});
    let rejected =
        json!({"invalid-reason": {"rejected-route": true}, "valid-route": false, "tie-break-reason": "none"});
    let routes = json!({"route": [
        {"ipv4-prefix": "1.1.1.100/32", "route-type": "srl_nokia-common:bgp", "route-owner": "bgp_mgr", "id": 0,
         "preference": 169},
        {"ipv4-prefix": "1.1.1.100/32", "route-type": "srl_nokia-common:bgp-evpn", "route-owner": "bgp_evpn_mgr",
         "id": 0, "preference": 170},
    ]});
    let pre = format!("{rib}/rib-in-pre");
    let post = format!("{rib}/rib-in-post/route[prefix=1.1.1.100/32][neighbor=192.168.1.11][path-id=0]");
    let table = "/network-instance[name=ip-vrf-1]/route-table/ipv4-unicast";
    let updates = [(&*pre, row), (&*post, rejected), (table, routes)];
    let findings = ask(&mut Investigator::default(), &Question::Path(path_key()), &updates);
    let [(_, Finding { answer: Answer::Path(path), .. })] = &*findings else { panic!("one: {findings:?}") };
    let received = path.received.as_ref().expect("a row");
    assert!(received.valid && !received.used);
    assert_eq!(received.tie_break.as_deref(), Some("as-path-length"));
    let accepted = path.accepted.as_ref().expect("a row");
    assert!(accepted.rejected && accepted.tie_break.is_none());
    assert!(path.is_known);
    let preferences: Vec<_> = path.preferences.iter().map(|(owner, preference)| (&**owner, *preference)).collect();
    assert_eq!(preferences, [("bgp_evpn_mgr", 170), ("bgp_mgr", 169)]);
}

#[test]
fn the_type_of_a_network_instance_has_no_module_prefix() {
    let question = Question::Instance("subnetA".into());
    let instance = "/srl_nokia-network-instance:network-instance[name=subnetA]";
    let leaf = format!("{instance}/type");
    let container = json!({"type": "srl_nokia-network-instance:mac-vrf"});
    for update in [(&*leaf, json!("mac-vrf")), (&*leaf, container["type"].clone()), (instance, container)] {
        let findings = ask(&mut Investigator::default(), &question, &[update]);
        let [(_, finding)] = &*findings else { panic!("one: {findings:?}") };
        assert_eq!(finding.answer, Answer::Instance(Some("mac-vrf".into())));
    }
    let [(_, finding)] = &*ask(&mut Investigator::default(), &question, &[]) else { panic!("an answer") };
    assert_eq!(finding.answer, Answer::Instance(None));
}

#[test]
fn an_empty_rib_leaves_a_route_unknown() {
    let findings = ask(&mut Investigator::default(), &Question::Path(path_key()), &[]);
    assert!(matches!(&*findings, [(_, Finding { answer: Answer::Path(path), .. })] if !path.is_known), "{findings:?}");
}

#[test]
fn a_node_behind_an_irb_is_traced_by_its_mac_to_the_port() {
    let mut investigator = Investigator::default();
    let question = Question::Place(place_key());
    assert!(ask(&mut investigator, &question, &[(ENTRY, json!("AA:C1:AB:00:00:11")), members()]).is_empty());
    let mac = "/network-instance[name=subnetA]/bridge-table/srl_nokia-bridge-table-mac-table:mac-table";
    let other = "/network-instance[name=subnetB]/bridge-table/mac-table/mac[address=AA:C1:AB:00:00:11]/destination";
    let found = follow(
        &mut investigator,
        &[
            (other, json!("ethernet-1/9.0")),
            (mac, json!({"mac": [{"address": "AA:C1:AB:00:00:11", "destination": "ethernet-1/1.0"}]})),
            ("/network-instance[name=subnetA]/interface[name=irb1.1]/oper-state", json!("up")),
        ],
    );
    assert!(found.is_empty());
    let port = "/srl_nokia-interfaces:interface[name=ethernet-1/1]";
    let down = json!({"oper-state": "down", "oper-down-reason": "port-admin-disabled",
                      "last-change": "2026-06-12T16:29:35.500Z"});
    let found = follow(&mut investigator, &[(port, down), (INTERFACE, json!({"oper-state": "up"}))]);
    let place = place(&found);
    assert!(place.answers && place.is_known);
    assert_eq!((place.subinterface.as_deref(), place.port.as_deref()), (Some("irb1.1"), Some("ethernet-1/1")));
    assert_eq!(place.port_down.expect("down").reason.as_deref(), Some("port-admin-disabled"));
    assert_eq!(place.subinterface_down, None);
}

#[test]
fn the_known_place_of_a_node_outlives_its_arp_entry() {
    let mut investigator = Investigator::default();
    let question = Question::Place(place_key());
    let routed = "/interface[name=ethernet-1/1]/subinterface[index=0]/ipv4/arp/neighbor[ipv4-address=192.168.1.11]\
                  /link-layer-address";
    assert!(ask(&mut investigator, &question, &[(routed, json!("AA:C1:AB:00:00:11"))]).is_empty());
    assert_eq!(place(&follow(&mut investigator, &[])).port.as_deref(), Some("ethernet-1/1"));

    // The port goes down, and the entry is removed with it.
    investigator.reconnect(Instant::now());
    let due = investigator.due(Instant::now() + GATHER);
    assert!(investigator.found(Stage::Questions(due), at(), &read(answer(&[])), &Neighbors::default()).is_empty());
    let state = ("/interface[name=ethernet-1/1]/oper-state", json!("down"));
    let place = place(&follow(&mut investigator, &[state]));
    assert!(!place.answers && place.is_known);
    assert_eq!(place.link_layer_address.as_deref(), Some("AA:C1:AB:00:00:11"));
    assert!(place.port_down.is_some());
}

#[test]
fn an_address_in_another_network_instance_does_not_answer() {
    let other = ("/network-instance[name=ip-vrf-1]", json!({"interface": [{"name": "irb1.2", "oper-state": "up"}]}));
    let question = Question::Place(place_key());
    let found = ask(&mut Investigator::default(), &question, &[(ENTRY, json!("AA:C1:AB:00:00:11")), other]);
    let place = place(&found);
    assert!(!place.answers && place.is_known);
    assert_eq!(place.subinterface, None);
}

#[test]
fn a_question_is_repeated_after_a_minute_and_then_every_five_minutes() {
    let now = Instant::now();
    for (question, pauses) in [
        (Question::Path(path_key()), &[SECOND, LATER, LATER] as &[_]),
        (Question::Place(place_key()), &[SECOND, LATER, LATER]),
        // Silence is known after half a minute.
        (Question::Neighbor(neighbor_key()), &[SILENCE, SECOND - SILENCE, LATER, LATER]),
    ] {
        let mut investigator = Investigator::default();
        investigator.set(&inquiry(&[(question.clone(), Asking::Repeatedly)]), now);
        let mut at = now + GATHER;
        for pause in pauses {
            assert_eq!(investigator.deadline(now), Some(at));
            assert_eq!(investigator.due(at), std::slice::from_ref(&question));
            at += *pause;
        }
        investigator.set(&Inquiry::new(), now);
        assert_eq!(investigator.deadline(now), None, "void");
    }
}

#[test]
fn questions_repeated_every_five_minutes_share_one_get() {
    let mut investigator = Investigator::default();
    let start = Instant::now();
    let of = |octet: u8| {
        let prefix = ipnet::IpNet::from(IpAddr::from([1, 1, 1, octet]));
        (Question::Path(PathKey { prefix, ..path_key() }), Asking::Repeatedly)
    };
    let (one, other) = (of(1), of(2));
    investigator.set(&inquiry(std::slice::from_ref(&one)), start);
    assert_eq!(investigator.due(start + GATHER).len(), 1);
    let later = start + Duration::from_secs(10);
    investigator.set(&inquiry(&[one.clone(), other]), later);
    assert_eq!(investigator.due(later + GATHER).len(), 1, "the new one alone: nothing is asked sooner for its sake");
    let second = start + GATHER + SECOND;
    assert_eq!(investigator.due(second), [one.0], "each after its own minute");
    assert_eq!(investigator.due(later + GATHER + SECOND).len(), 1);
    assert_eq!(investigator.due(second + LATER).len(), 2, "from then on together");
    assert_eq!(investigator.due(second + LATER + LATER).len(), 2);
}

#[test]
fn a_finding_stays_when_the_next_get_fails() {
    let mut investigator = Investigator::default();
    let question = Question::Path(path_key());
    let now = Instant::now();
    investigator.set(&inquiry(&[(question.clone(), Asking::Repeatedly)]), now);
    let due = investigator.due(now + GATHER);
    assert_eq!(answered(&mut investigator, Stage::Questions(due), &[]).len(), 1);
    let due = investigator.due(now + GATHER + SECOND);
    assert_eq!(due, std::slice::from_ref(&question));
    investigator.failed(Stage::Questions(due), &Status::unavailable("restarting"), now + GATHER + SECOND);
    let again = investigator.deadline(now + GATHER + SECOND).expect("it is asked again");
    assert_eq!(investigator.due(again), [question]);
}

#[test]
fn a_vanished_neighbor_is_explained_by_its_last_notification() {
    let mut neighbors = Neighbors::default();
    let at = |leaf: &str| {
        let path = "/network-instance[name=ip-vrf-1]/protocols/bgp/neighbor[peer-address=192.168.1.11]";
        super::super::path::elems(None, Some(&parse(&format!("{path}/{leaf}")).expect("a path")))
    };
    let text = |text: &str| super::super::leaf::Scalar::Text(text.to_owned());
    for (leaf, value) in [
        ("dynamic-neighbor", "true"),
        ("session-state", "established"),
        ("received-messages/last-notification-time", "2026-06-12T16:29:35.500Z"),
        ("received-messages/last-notification-error-code", "Cease"),
        ("received-messages/last-notification-error-subcode", "Administrative Shutdown"),
        ("session-state", "idle"),
    ] {
        neighbors.set(&at(leaf), &text(value)).expect("readable");
    }
    let path = at("session-state");
    neighbors.delete(&path);
    let mut investigator = Investigator::default();
    let question = Question::Neighbor(neighbor_key());
    investigator.set(&inquiry(&[(question, Asking::Repeatedly)]), Instant::now());
    let due = investigator.due(Instant::now() + GATHER);
    let nothing = read(answer(&[]));
    investigator.found(Stage::Questions(due), super::Timestamp::UNIX_EPOCH, &nothing, &neighbors);
    let findings = investigator.release(Instant::now());
    let [(_, Finding { answer: Answer::Neighbor(words), .. })] = &*findings else { panic!("one: {findings:?}") };
    let received = words.received.as_ref().expect("a NOTIFICATION");
    assert_eq!((&*received.code, received.subcode.as_deref()), ("Cease", Some("Administrative Shutdown")));
}

#[test]
fn the_place_of_a_node_that_is_up_is_asked_once_per_session_start() {
    let mut investigator = Investigator::default();
    let now = Instant::now();
    let question = Question::Place(place_key());
    investigator.set(&inquiry(&[(question.clone(), Asking::Once(None))]), now);
    assert_eq!(investigator.due(now + GATHER), []);
    assert_eq!(investigator.due(now + GATHER_PLACES), std::slice::from_ref(&question));
    assert_eq!(investigator.deadline(now), None);
    investigator.set(&inquiry(&[(question.clone(), Asking::Once(None))]), now);
    assert_eq!(investigator.deadline(now), None, "the same occasion");
    investigator.set(&inquiry(&[(question, Asking::Once(Some(at())))]), now);
    assert!(investigator.deadline(now).is_some(), "its session came up");
}

#[test]
fn many_questions_share_a_get_and_the_rest_waits_for_the_next() {
    let mut investigator = Investigator::default();
    let now = Instant::now();
    let questions: Inquiry = (0..=255u8)
        .map(|octet| {
            let prefix = ipnet::IpNet::from(IpAddr::from([1, 1, 1, octet]));
            (Question::Path(PathKey { prefix, ..path_key() }), Asking::Repeatedly)
        })
        .collect();
    investigator.set(&questions, now);
    let first = investigator.due(now + GATHER);
    assert_eq!(first.len(), (PATHS - 2) / 2);
    assert_eq!(investigator.due(now + GATHER).len(), (PATHS - 2) / 2);
    investigator.failed(Stage::Questions(first), &Status::out_of_range("too large"), now);
    assert_eq!(investigator.due(now + GATHER).len(), (PATHS / 2 - 2) / 2, "a smaller Get");
}

#[test]
fn tables_the_server_lacks_cost_only_their_own_findings() {
    let mut investigator = Investigator::default();
    let now = Instant::now();
    let (neighbor, path) = (Question::Neighbor(neighbor_key()), Question::Path(path_key()));
    investigator.set(&inquiry(&[(neighbor.clone(), Asking::Repeatedly), (path.clone(), Asking::Repeatedly)]), now);
    let refused = Status::invalid_argument("unknown element 'bgp-rib'");
    let due = investigator.due(now + GATHER);
    assert_eq!(due.len(), 2);
    investigator.failed(Stage::Questions(due), &refused, now + GATHER);
    let due = investigator.due(now + GATHER);
    assert_eq!(due, [neighbor], "one kind at a time");
    let due = investigator.due(now + GATHER);
    assert_eq!(due, [path]);
    investigator.failed(Stage::Questions(due), &refused, now + GATHER);
    assert_eq!(investigator.refused, BTreeSet::from([Kind::Path]));
}

#[test]
fn a_rate_limit_makes_the_investigator_wait() {
    let mut investigator = Investigator::default();
    let now = Instant::now();
    investigator.set(&inquiry(&[(Question::Neighbor(neighbor_key()), Asking::Repeatedly)]), now);
    let due = investigator.due(now + GATHER);
    investigator.failed(Stage::Questions(due), &Status::resource_exhausted("rate limit"), now + GATHER);
    assert_eq!(investigator.deadline(now + GATHER), Some(now + GATHER + LIMIT_PAUSE));
}

#[test]
fn a_watched_address_is_asked_every_ten_seconds_and_answered_at_once() {
    let mut investigator = Investigator::default();
    let now = Instant::now();
    let question = Question::Place(place_key());
    investigator.set(&inquiry(&[(question.clone(), Asking::Watched)]), now);
    let look = |investigator: &mut Investigator, at, mac: &str| {
        let due = investigator.due(at);
        let found = investigator.found(
            Stage::Questions(due),
            super::Timestamp::UNIX_EPOCH,
            &read(answer(&[(ENTRY, json!(mac)), members()])),
            &Neighbors::default(),
        );
        place(&found).link_layer_address
    };
    let first = look(&mut investigator, now + GATHER, "AA:C1:AB:00:00:11");
    assert_eq!(first.as_deref(), Some("AA:C1:AB:00:00:11"));
    assert_eq!(investigator.next.len(), 1, "its port is looked up");
    investigator.next.clear();
    assert_eq!(investigator.due(now + GATHER + WATCHED / 2), []);
    let second = look(&mut investigator, now + GATHER + WATCHED, "AA:C1:AB:00:00:12");
    assert_eq!(second.as_deref(), Some("AA:C1:AB:00:00:12"), "another node answers now");
}

#[test]
fn a_neighbor_finding_waits_for_the_place_of_the_neighbor() {
    let mut investigator = Investigator::default();
    let (neighbor, place) = (Question::Neighbor(neighbor_key()), Question::Place(place_key()));
    let questions = [neighbor.clone(), place.clone()].map(|question| (question, Asking::Repeatedly));
    investigator.set(&inquiry(&questions), Instant::now());
    let due = investigator.due(Instant::now() + GATHER);
    assert_eq!(due, [neighbor.clone(), place.clone()]);
    let path = "/network-instance[name=ip-vrf-1]/protocols/bgp/neighbor[peer-address=192.168.1.11]";
    let updates = [(path, json!({"last-event": "holdTime"})), (ENTRY, json!("AA:C1:AB:00:00:11")), members()];
    assert_eq!(answered(&mut investigator, Stage::Questions(due), &updates), [], "the port may be down");
    assert_eq!(follow(&mut investigator, &[]), [], "nor is its MAC address known any more");
    let findings = follow(&mut investigator, &[]);
    let questions: Vec<_> = findings.into_iter().map(|(question, _)| question).collect();
    assert_eq!(questions, [place, neighbor]);
}

#[test]
fn a_thousand_vips_are_investigated_within_a_minute_by_ten_gets() {
    let mut investigator = Investigator::default();
    let start = Instant::now();
    let of_vip = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let prefix = ipnet::IpNet::from(IpAddr::from([1, 1, high, low]));
        (Question::Path(PathKey { prefix, ..path_key() }), Asking::Repeatedly)
    };
    // Their node is lost, so questions about the node are asked as well.
    let mut questions: Inquiry = (0..1000).map(of_vip).collect();
    questions.insert(Question::Neighbor(neighbor_key()), Asking::Repeatedly);
    questions.insert(Question::Place(place_key()), Asking::Repeatedly);
    investigator.set(&questions, start);
    let (mut now, mut gets, mut answered) = (start, 0, BTreeSet::new());
    while answered.len() < questions.len() {
        now = investigator.deadline(now).expect("something is left to ask").max(now);
        assert!(now <= start + Duration::from_secs(60), "{} of {} answered", answered.len(), questions.len());
        let stage = match investigator.next.pop() {
            Some(stage) => stage,
            None => Stage::Questions(investigator.due(now)),
        };
        assert!(investigator.paths_of(&stage).len() <= PATHS);
        investigator.gets.admit(now).expect("no sooner than the limit lets it");
        gets += 1;
        let updates = [(ENTRY, json!("AA:C1:AB:00:00:11")), members()];
        let path = "/network-instance[name=ip-vrf-1]/protocols/bgp/neighbor[peer-address=192.168.1.11]";
        let neighbor = (path, json!({"last-event": "holdTime"}));
        let first = matches!(&stage, Stage::Questions(questions) if questions.contains(&Question::Place(place_key())));
        let updates: &[_] = if first { &[updates[0].clone(), updates[1].clone(), neighbor] } else { &[] };
        let mut findings = investigator.found(stage, at(), &read(answer(updates)), &Neighbors::default());
        findings.extend(investigator.release(now));
        answered.extend(findings.into_iter().map(|(question, _)| question));
    }
    assert!(gets <= GETS, "{gets}");
}
