//! Tests that a lost session raises one alarm, and how that affects the alarms of VIPs.

use super::*;

#[test]
fn a_lost_session_is_one_alarm_that_counts_the_vips_behind_it() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns").session(node(2), SessionState::Active).via(1, &[1, 3]).via(2, &[1, 3]).after(10);
    leaf.alarmed(&[SESSION_DOWN]);
    let alarm = leaf.alarm(SESSION_DOWN);
    let text = "BGP session with 192.168.1.12 (node n2) is down (state active); 2 VIPs have lost this next-hop";
    assert_eq!((&*alarm.text, alarm.affected, alarm.owner), (text, 1, Owner::Network));
}

#[test]
fn a_next_hop_missing_besides_a_lost_session_raises_its_own_alarm() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Active).via(1, &[1]).after(10).alarmed(&[DEGRADED, SESSION_DOWN]);
}

#[test]
fn a_missing_route_is_not_absorbed_by_the_alarm_of_a_session() {
    let mut leaf = Scenario::carried();
    leaf.vanish(node(1)).vanish(node(3)).kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n1".into())));
    leaf.kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n3".into())));
    leaf.session(node(2), SessionState::Idle).no_route().after(10);
    leaf.alarmed(&[ROUTE_MISSING, SESSION_DOWN]);
}

#[test]
fn a_vip_alarm_is_raised_if_its_session_flaps_too_fast_to_raise_one() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]);
    for _ in 0..8 {
        leaf.session(node(2), SessionState::Idle).pass(ms(1500)).up(node(2)).pass(ms(1500));
    }
    leaf.alarmed(&[DEGRADED]);
    assert_eq!(leaf.raised(), 1);
}

#[test]
fn a_session_lost_just_after_its_routes_is_still_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]).pass(ms(700)).session(node(2), SessionState::Idle).after(30).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.raised(), 1, "the VIP waits for the session to be raised");
}

#[test]
fn routes_that_return_after_their_session_raise_nothing() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(60).up(node(2)).after(3).via(1, &[1, 2, 3]);
    leaf.after(60).alarmed(&[]);
    assert_eq!((leaf.raised(), leaf.said.alarms.history.len()), (1, 1));
}

#[test]
fn a_vip_still_degraded_after_its_session_returned_raises_an_alarm() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(60).up(node(2)).after(14).alarmed(&[]);
    leaf.after(1).alarmed(&[DEGRADED]);
}

#[test]
fn the_alarm_of_a_degraded_vip_becomes_that_of_the_session_behind_it() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]).after(10).alarmed(&[DEGRADED]).session(node(2), SessionState::Idle).after(10);
    leaf.alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.record(DEGRADED).because, ClearedBecause::Became(AlarmType::NeighborSessionDown));
}

#[test]
fn the_alarm_of_a_session_that_no_vip_needs_is_cleared_with_the_reason() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).alarmed(&[SESSION_DOWN]);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web")))).after(5).alarmed(&[]);
    assert_eq!(leaf.record(SESSION_DOWN).because, ClearedBecause::NothingToAnnounce);
}

#[test]
fn all_sessions_lost_at_once_are_one_alarm_and_their_vips_another() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns");
    for n in 1..=3 {
        leaf.session(node(n), SessionState::Idle);
    }
    leaf.withdraw(vip(1)).withdraw(vip(2)).after(10).alarmed(&["vip-route-missing/c1", "neighbor-session-down/c1"]);
    let sessions = leaf.alarm("neighbor-session-down/c1");
    assert_eq!(sessions.affected, 3);
    assert!(
        sessions.text.starts_with("BGP sessions with 3 nodes of cluster c1 are down: n1, n2, n3"),
        "{}",
        sessions.text
    );
    let vips = leaf.alarm("vip-route-missing/c1");
    assert_eq!((vips.affected, vips.severity), (2, Severity::Critical));
    assert!(vips.text.starts_with("2 VIPs of cluster c1 without a route: 1.1.1.101 (default/dns), "), "{}", vips.text);
    leaf.up(node(1)).after(20).alarmed(&["vip-route-missing/c1", "neighbor-session-down/c1"]);
    assert_eq!(leaf.alarm("neighbor-session-down/c1").affected, 2, "members come and go, the alarm stays");
    assert_eq!(leaf.raised(), 2);
}
