//! Alarms while a source is lost, and those of sources themselves.

use super::*;

#[test]
fn the_alarm_of_a_session_outlives_gnmi() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).lost(SourceId::Gnmi).after(60);
    leaf.alarmed(&[SESSION_DOWN, "source-stale/gnmi"]).back(SourceId::Gnmi).after(30).alarmed(&[SESSION_DOWN]);
    assert_eq!(leaf.raised(), 2);
    leaf.up(node(2)).via(1, &[1, 2, 3]).after(5).alarmed(&[]);
}

#[test]
fn a_session_that_returned_while_gnmi_was_lost_is_cleared_afterwards() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).lost(SourceId::Gnmi).via(1, &[1, 2, 3]);
    leaf.after(60).alarmed(&[SESSION_DOWN, "source-stale/gnmi"]);
    leaf.up(node(2)).back(SourceId::Gnmi).after(5).alarmed(&[]);
}

// ---- sources ----

#[test]
fn a_route_lost_while_gnmi_is_lost_is_raised_all_the_same() {
    Scenario::carried()
        .lost(SourceId::Gnmi)
        .after(60)
        .no_route()
        .after(10)
        .alarmed(&[ROUTE_MISSING, "source-stale/gnmi"]);
}

#[test]
fn a_failure_in_the_fib_is_not_forgotten_while_gnmi_is_lost() {
    let mut leaf = Scenario::carried();
    leaf.fib(vip(1), Some(FibFaultKind::Failed)).after(10).alarmed(&[BLACKHOLED]);
    leaf.lost(SourceId::Gnmi).after(60).alarmed(&[BLACKHOLED, "source-stale/gnmi"]);
    leaf.back(SourceId::Gnmi).after(10).alarmed(&[BLACKHOLED]);
    leaf.fib(vip(1), None).after(5).alarmed(&[]);
}

#[test]
fn a_lost_api_server_is_one_alarm_whose_reason_does_not_chatter() {
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
fn a_source_that_never_answered_is_given_half_a_minute() {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    leaf.lost(SourceId::Kubernetes(C1.into())).after(39).alarmed(&[]).after(1).alarmed(&["source-stale/kubernetes/c1"]);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.starts_with("cluster c1 is not read: connection refused; its services are not known"), "{text}");
}

#[test]
fn a_source_s_reason_is_one_printable_line_of_bounded_length() {
    let mut leaf = Scenario::carried();
    let page = format!("<html>\u{1b}[31m{}</html>\nmore", "x".repeat(5000));
    leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Lost(page.as_str().into())).after(10);
    let text = &leaf.alarm("source-stale/kubernetes/c1").text;
    assert!(text.len() <= LONGEST_TEXT && !text.contains(['\n', '\u{1b}']), "{text}");
    assert!(text.ends_with("its VIPs are judged by data received until then"), "{text}");
}

#[test]
fn a_network_instance_that_goes_clears_no_session_s_alarm() {
    let mut leaf = Scenario::carried();
    leaf.session(node(2), SessionState::Idle).via(1, &[1, 3]).after(10).network_instance(VRF, None).after(60);
    leaf.alarmed(&[SESSION_DOWN, "network-instance-missing/c1"]);
}

// ---- one cause, one alarm ----

#[test]
fn a_doubt_clears_nothing_while_gnmi_is_read_anew() {
    let mut leaf = Scenario::new();
    leaf.holds(10, 5, 100).node("n1", &[]).service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &["n1"]);
    leaf.after(10).alarmed(&[ROUTE_MISSING]).bgp(vip(1), &[ip("10.9.9.9")]).after(4).alarmed(&[ROUTE_MISSING]);
    leaf.source(SourceId::Gnmi, SourceEvent::Syncing).after(30).alarmed(&[ROUTE_MISSING]);
    leaf.back(SourceId::Gnmi).after(4).alarmed(&[ROUTE_MISSING]).after(1).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::NotKnown);
}
