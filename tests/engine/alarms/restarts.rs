//! Tests what survives a restart of the agent.

use super::*;

#[test]
fn alarms_and_history_survive_a_restart_with_their_times() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(1, &[1, 2, 3]).after(10).no_route().after(10).alarmed(&[ROUTE_MISSING]);
    let (raised, history) = (leaf.alarm(ROUTE_MISSING).raised, leaf.said.alarms.history.clone());
    leaf.restarted().alarmed(&[ROUTE_MISSING]).after(20).alarmed(&[ROUTE_MISSING]);
    leaf.heard_again(&[]).after(60).alarmed(&[ROUTE_MISSING]);
    assert_eq!(leaf.alarm(ROUTE_MISSING).raised, raised);
    assert_eq!(leaf.said.alarms.history, history);
    assert_eq!(leaf.raised(), 0, "nobody is notified again");
    leaf.via(1, &[1, 2, 3]).after(5).alarmed(&[]);
    assert_eq!(leaf.said.alarms.history.keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_grouped_alarm_survives_a_restart_and_regains_its_members() {
    let mut leaf = Scenario::carried();
    leaf.service("one", TrafficPolicy::Cluster, &[]).service("two", TrafficPolicy::Cluster, &[]).after(10);
    let raised = leaf.alarm("vip-address-pending/c1").raised;
    leaf.restarted().heard_again(&[1, 2, 3]).alarmed(&["vip-address-pending/c1"]);
    leaf.service("one", TrafficPolicy::Cluster, &[]).after(20).alarmed(&["vip-address-pending/c1"]);
    let alarm = leaf.alarm("vip-address-pending/c1");
    assert_eq!((alarm.raised, alarm.affected, leaf.raised()), (raised, 1, 0));
}

#[test]
fn a_grouped_alarm_without_remaining_members_is_cleared_after_a_restart() {
    let mut leaf = Scenario::carried();
    leaf.service("one", TrafficPolicy::Cluster, &[]).service("two", TrafficPolicy::Cluster, &[]).after(10).restarted();
    leaf.after(60).alarmed(&["vip-address-pending/c1"]).heard_again(&[1, 2, 3]).alarmed(&["vip-address-pending/c1"]);
    leaf.after(5).alarmed(&[]);
}

#[test]
fn a_grouped_alarm_stays_after_a_restart_while_its_verdicts_are_unknown() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns");
    for n in 1..=3 {
        leaf.session(node(n), SessionState::Idle);
    }
    leaf.withdraw(vip(1)).withdraw(vip(2)).after(10).alarmed(&["vip-route-missing/c1", "neighbor-session-down/c1"]);
    leaf.restarted().heard_again(&[]).network_instance(VRF, None).after(60);
    assert!(leaf.said.alarms.active.keys().any(|key| key.to_string() == "vip-route-missing/c1"));
}

#[test]
fn an_alarm_of_a_removed_resource_is_cleared_after_a_restart() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).restarted().configure(|_| {});
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    leaf.alarmed(&[ROUTE_MISSING]).source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::Removed);
}

#[test]
fn a_fault_that_changed_during_a_restart_keeps_its_raise_time() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10);
    let raised = leaf.alarm(ROUTE_MISSING).raised;
    leaf.restarted().heard_again(&[1, 2]).alarmed(&[DEGRADED]);
    assert_eq!(leaf.alarm(DEGRADED).raised, raised);
}

#[test]
fn an_alarm_is_never_cleared_before_it_was_raised_even_if_the_clock_goes_back() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(1, &[1, 2, 3]);
    leaf.elapsed += Duration::from_secs(5);
    let behind = at(Duration::ZERO).wall.checked_sub(Duration::from_secs(3600)).expect("in range");
    for change in leaf.engine.apply(Now { elapsed: leaf.elapsed, wall: behind }, Event::Tick) {
        leaf.said.take(change);
    }
    let record = leaf.record(ROUTE_MISSING);
    assert_eq!(record.cleared, record.raised);
}

#[test]
fn raised_and_cleared_alarms_are_saved_within_a_second_and_texts_later() {
    let mut leaf = Scenario::carried();
    leaf.holds(0, 0, 100).after(60);
    let mut saves = leaf.said.alarms.saves;
    let mut saved = |leaf: &Scenario| leaf.said.alarms.saves - std::mem::replace(&mut saves, leaf.said.alarms.saves);
    assert_eq!(saved(leaf.via(1, &[1, 2])), 1);
    assert_eq!(saved(leaf.no_route().pass(ms(900))), 0, "once a second at most");
    assert_eq!(saved(leaf.pass(ms(100))), 1);
    assert_eq!(saved(leaf.after(20).via(1, &[1, 2])), 1);
    assert_eq!(saved(leaf.pass(ms(500)).via(1, &[1]).pass(ms(9400))), 0, "a text is neither written nor saved at once");
    assert_eq!(saved(leaf.after(1)), 1);
}

#[test]
fn the_alarm_of_a_lost_session_without_vips_survives_a_restart() {
    let v6 = ip("2001:db8:0:1::12");
    let mut leaf = Scenario::carried();
    leaf.node("n2", &[node(2), v6]).up(v6).bgp(vip(1), &[node(1), v6, node(3)]);
    leaf.session(node(2), SessionState::Idle).after(10).alarmed(&[SESSION_DOWN]);
    leaf.restarted().at_once(|leaf| {
        leaf.heard_again(&[]).node("n2", &[node(2), v6]).up(v6).bgp(vip(1), &[node(1), v6, node(3)]);
        leaf.session(node(2), SessionState::Idle);
    });
    leaf.after(60).alarmed(&[SESSION_DOWN]);
}
