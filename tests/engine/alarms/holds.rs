//! Tests when alarms are raised, changed and cleared.

use super::*;

#[test]
fn a_missing_route_is_raised_after_the_hold_time() {
    let mut leaf = Scenario::carried();
    leaf.alarmed(&[]).no_route().after(9).alarmed(&[]).after(1).alarmed(&[ROUTE_MISSING]);
    let alarm = leaf.alarm(ROUTE_MISSING);
    assert_eq!((alarm.severity, alarm.owner, alarm.affected), (Severity::Critical, Owner::Network, 1));
    assert!(
        alarm.text.starts_with("VIP 1.1.1.100 of default/web in cluster c1: no route in ip-vrf-1"),
        "{}",
        alarm.text
    );
    assert!(leaf.engine.deadline().is_none_or(|due| due > leaf.elapsed), "nothing is due at once");
}

#[test]
fn an_alarm_is_cleared_after_the_clear_hold_time() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(1, &[1, 2, 3]).after(4).alarmed(&[ROUTE_MISSING]).after(1).alarmed(&[]);
    let record = leaf.record(ROUTE_MISSING);
    assert_eq!((record.sequence, record.because), (1, ClearedBecause::Well));
    assert_eq!(record.cleared.duration_since(record.raised).as_secs(), 5);
    assert_eq!((record.severity, record.owner, record.affected), (Severity::Critical, Owner::Network, 1));
}

#[test]
fn a_fault_that_ends_within_the_hold_time_raises_nothing() {
    Scenario::carried().no_route().after(9).via(1, &[1, 2, 3]).after(60).alarmed(&[]);
}

#[test]
fn a_fault_that_changes_keeps_its_hold_time_and_is_raised_as_the_latest() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 3]).after(4).no_route().after(4).slice(C1, "web", AddressFamily::Ipv4, &[]);
    leaf.after(1).alarmed(&[]).after(1).alarmed(&[NO_ENDPOINT]);
}

#[test]
fn a_flapping_fault_is_one_alarm_that_counts_occurrences() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10);
    for _ in 0..3 {
        leaf.via(1, &[1, 2, 3]).after(2).no_route().after(2);
    }
    leaf.after(10).alarmed(&[ROUTE_MISSING]);
    assert_eq!((leaf.alarm(ROUTE_MISSING).occurrences, leaf.raised()), (4, 1));
    leaf.via(1, &[1, 2, 3]).after(5).alarmed(&[]);
    assert_eq!(leaf.said.alarms.history.len(), 1);
}

#[test]
fn without_hold_times_alarms_are_raised_and_cleared_at_once() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 100).no_route().alarmed(&[ROUTE_MISSING]).via(1, &[1, 2, 3]).alarmed(&[]);
}

#[test]
fn a_new_hold_time_applies_to_pending_faults() {
    Scenario::carried().no_route().after(3).holds(2, 5, 100).after(0).alarmed(&[ROUTE_MISSING]);
    let mut leaf = Scenario::carried();
    leaf.no_route().after(3).holds(60, 5, 100).after(20).alarmed(&[]).after(40).alarmed(&[ROUTE_MISSING]);
}

#[test]
fn a_new_hold_time_applies_to_faults_that_wait_to_be_grouped() {
    let mut leaf = Scenario::carried();
    leaf.no_route().pass(ms(900)).carry(2, "api").withdraw(vip(2));
    leaf.pass(ms(9_100)).alarmed(&[]).carry(3, "dns").withdraw(vip(3)).holds(1, 5, 100);
    assert!(!leaf.said.alarms.active.is_empty(), "both have been missing for longer than that");
}

#[test]
fn type_and_severity_follow_the_verdict_but_the_raise_time_stays() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).alarmed(&[ROUTE_MISSING]);
    let raised = leaf.alarm(ROUTE_MISSING).raised;
    leaf.after(60).slice(C1, "web", AddressFamily::Ipv4, &[]).alarmed(&[NO_ENDPOINT]);
    let alarm = leaf.alarm(NO_ENDPOINT);
    assert_eq!((alarm.raised, alarm.severity, alarm.owner), (raised, Severity::Minor, Owner::Application));
    let record = leaf.record(ROUTE_MISSING);
    assert_eq!(record.because, ClearedBecause::Became(AlarmType::VipNoEndpoint));
    assert!(record.text.ends_with("; became vip-no-endpoint"), "{}", record.text);
}

#[test]
fn an_unknown_verdict_does_not_change_an_alarm() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).lost(SourceId::Ndk).after(60);
    leaf.alarmed(&[ROUTE_MISSING, "source-stale/ndk"]);
    leaf.back(SourceId::Ndk).after(30).alarmed(&[ROUTE_MISSING]);
    assert_eq!(leaf.alarm(ROUTE_MISSING).occurrences, 1, "it was never gone");
}

#[test]
fn time_in_unknown_does_not_count_towards_the_hold_time() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(5).lost(SourceId::Ndk).after(60).alarmed(&["source-stale/ndk"]);
    leaf.back(SourceId::Ndk).after(9).alarmed(&[]).after(1).alarmed(&[ROUTE_MISSING]);
}

#[test]
fn a_verdict_still_unknown_when_its_source_returns_starts_no_hold_time() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(2).source(SourceId::Ndk, SourceEvent::Syncing).network_instance("ip-vrf-2", Some(1));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).after(60).alarmed(&["network-instance-missing/c1"]);
}

#[test]
fn an_application_fault_is_minor_and_owned_by_the_application() {
    let mut leaf = Scenario::carried();
    leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("web-0", "n1", false, false)])
        .after(10)
        .alarmed(&[NO_ENDPOINT]);
    let alarm = leaf.alarm(NO_ENDPOINT);
    assert_eq!((alarm.severity, alarm.owner), (Severity::Minor, Owner::Application));
}

#[test]
fn a_service_without_an_address_is_a_warning_owned_by_the_cluster() {
    let mut leaf = Scenario::carried();
    leaf.service("second", TrafficPolicy::Cluster, &[]).after(10).alarmed(&["vip-address-pending/c1/default/second"]);
    let alarm = leaf.alarm("vip-address-pending/c1/default/second");
    assert_eq!((alarm.severity, alarm.owner), (Severity::Warning, Owner::Cluster));
}

#[test]
fn an_alarm_text_changes_at_most_every_ten_seconds() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 2]).after(10).alarmed(&[DEGRADED]);
    let text = |leaf: &Scenario| leaf.alarm(DEGRADED).text.clone();
    let first = text(&leaf);
    leaf.after(1).via(1, &[1]).after(1);
    assert_eq!(text(&leaf), first);
    leaf.after(8);
    assert_ne!(text(&leaf), first);
    assert_eq!(leaf.events(|_| true), 1, "no notification for a text");
}

#[test]
fn severity_rises_after_the_hold_time_and_falls_at_once() {
    let mut leaf = Scenario::carried();
    leaf.via(1, &[1, 2]).after(10).alarmed(&[DEGRADED]);
    leaf.no_route().after(9).alarmed(&[DEGRADED]);
    leaf.via(1, &[1, 2]).after(1).no_route().after(9).alarmed(&[DEGRADED]);
    leaf.after(1).alarmed(&[ROUTE_MISSING]);
    assert_eq!(leaf.alarm(ROUTE_MISSING).severity, Severity::Critical);
    leaf.via(1, &[1, 2]).alarmed(&[DEGRADED]);
}

#[test]
fn an_alarm_whose_route_returned_clears_although_the_verdict_is_unknown() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).alarmed(&[ROUTE_MISSING]);
    leaf.session(node(2), SessionState::Active).via(1, &[1, 2, 3]).after(60).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::NotKnown);
}

#[test]
fn a_lost_session_raises_nothing_once_its_node_is_unknown() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Active).network_instance(VRF, None).after(60);
    leaf.alarmed(&["network-instance-missing/c1"]);
}
