//! Tests alarms while a source is lost, and the alarms of sources themselves.

use super::*;

#[test]
fn the_alarm_of_a_session_survives_the_loss_of_gnmi() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).lost(SourceId::Gnmi).after(60);
    leaf.alarmed(&[SESSION_DOWN, "source-stale/gnmi"]).back(SourceId::Gnmi).after(30).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.raised(), 2);
    leaf.up(node(2)).via(1, &[1, 2, 3]).after(5).alarmed(&[]);
}

#[test]
fn an_alarm_of_a_session_that_returned_while_gnmi_was_lost_is_cleared_later() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).lost(SourceId::Gnmi).via(1, &[1, 2, 3]);
    leaf.after(60).alarmed(&[SESSION_DOWN, "source-stale/gnmi"]);
    leaf.up(node(2)).back(SourceId::Gnmi).after(5).alarmed(&[]);
}

#[test]
fn a_route_lost_while_gnmi_is_lost_still_raises_an_alarm() {
    Scenario::carried()
        .lost(SourceId::Gnmi)
        .after(60)
        .no_route()
        .after(10)
        .alarmed(&[ROUTE_MISSING, "source-stale/gnmi"]);
}

#[test]
fn the_alarm_of_a_fib_failure_stays_while_gnmi_is_lost() {
    let mut leaf = Scenario::carried();
    leaf.fib(vip(1), Some(FibFaultKind::Failed)).after(10).alarmed(&[BLACKHOLED]);
    leaf.lost(SourceId::Gnmi).after(60).alarmed(&[BLACKHOLED, "source-stale/gnmi"]);
    leaf.back(SourceId::Gnmi).after(10).alarmed(&[BLACKHOLED]);
    leaf.fib(vip(1), None).after(5).alarmed(&[]);
}

#[test]
fn a_lost_api_server_is_one_alarm_whose_reason_does_not_flap() {
    let api = || SourceId::Kubernetes(C1.into());
    let mut leaf = Scenario::carried();
    leaf.lost(api()).after(10).alarmed(&["source-stale/kubernetes/c1"]);
    let owner = leaf.alarm("source-stale/kubernetes/c1").owner;
    assert_eq!(owner, Owner::Cluster);
    let written = |leaf: &Scenario| leaf.alarm("source-stale/kubernetes/c1").last_change;
    let first = written(&leaf);
    leaf.after(3).source(api(), SourceEvent::Lost("no route to host".into()));
    assert_eq!(written(&leaf), first, "a text is written at most every 10 s");
    leaf.after(7);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.contains(": no route to host; its VIPs are judged by data received until then"), "{text}");
    assert_eq!(leaf.events(|_| true), 1, "a text that changes is no notification");
    leaf.source(api(), SourceEvent::Synced).after(5).alarmed(&[]);
}

#[test]
fn a_source_that_never_answered_raises_an_alarm_only_after_half_a_minute() {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    leaf.lost(SourceId::Kubernetes(C1.into())).after(39).alarmed(&[]).after(1).alarmed(&["source-stale/kubernetes/c1"]);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.starts_with("cluster c1 is not read: connection refused; its services are not known"), "{text}");
}

#[test]
fn the_reason_of_a_source_becomes_one_short_printable_line() {
    let mut leaf = Scenario::carried();
    let page = format!("<html>\u{1b}[31m{}</html>\nmore", "x".repeat(5000));
    leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Lost(page.as_str().into())).after(10);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.len() <= LONGEST_TEXT && !text.contains(['\n', '\u{1b}']), "{text}");
    assert!(text.ends_with("its VIPs are judged by data received until then"), "{text}");
}

#[test]
fn a_removed_network_instance_clears_no_session_alarm() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).network_instance(VRF, None).after(60);
    leaf.alarmed(&[SESSION_DOWN, "network-instance-missing/c1"]);
}

#[test]
fn an_unknown_verdict_clears_no_alarm_while_gnmi_is_syncing() {
    let mut leaf = Scenario::new();
    leaf.holds(10, 5, 100).node("n1", &[]).service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &["n1"]);
    leaf.after(10).alarmed(&[ROUTE_MISSING]).bgp(vip(1), &[ip("10.9.9.9")]).after(4).alarmed(&[ROUTE_MISSING]);
    leaf.source(SourceId::Gnmi, SourceEvent::Syncing).after(30).alarmed(&[ROUTE_MISSING]);
    leaf.back(SourceId::Gnmi).after(4).alarmed(&[ROUTE_MISSING]).after(1).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::NotKnown);
}
