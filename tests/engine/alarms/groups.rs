//! Tests that resources with a common cause share one alarm.

use super::*;

#[test]
fn a_missing_network_instance_is_one_alarm_that_lists_existing_ones() {
    let mut leaf = Scenario::carried();
    leaf.network_instance(VRF, None).after(10).alarmed(&["network-instance-missing/c1"]);
    let text = &leaf.alarm("network-instance-missing/c1").text;
    assert!(text.contains("network-instance ip-vrf-1") && text.contains("(there is default, ip-vrf-2)"), "{text}");
}

#[test]
fn the_alarm_of_a_network_instance_of_the_wrong_type_names_that_type() {
    let mut leaf = Scenario::carried();
    leaf.cluster("c1", |cluster| cluster.rules.network_instance = "subnetA".into());
    let finding = Finding { at: Timestamp::UNIX_EPOCH, answer: Answer::Instance(Some("mac-vrf".into())) };
    leaf.tell(Event::Finding(Question::Instance("subnetA".into()), finding));
    leaf.after(10).alarmed(&["network-instance-missing/c1"]);
    let text = &leaf.alarm("network-instance-missing/c1").text;
    assert!(text.contains("subnetA is of type mac-vrf") && text.contains("(there is default, ip-vrf-1"), "{text}");
}

#[test]
fn clusters_with_the_same_missing_network_instance_share_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.cluster("c2", |cluster| cluster.rules.network_instance = VRF.into());
    leaf.network_instance(VRF, None).after(11).alarmed(&["network-instance-missing/network-instance/ip-vrf-1"]);
    assert_eq!(leaf.alarm("network-instance-missing/network-instance/ip-vrf-1").affected, 2);
}

#[test]
fn vips_routed_in_a_wrong_network_instance_share_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.carry(2, "dns");
    let hops = [node(1), node(2), node(3)];
    leaf.withdraw(vip(1)).withdraw(vip(2));
    leaf.route_of("ip-vrf-2", vip(1).into(), BGP, &hops).route_of("ip-vrf-2", vip(2).into(), BGP, &hops);
    leaf.after(10).alarmed(&["vip-route-missing/c1"]);
    assert_eq!(leaf.alarm("vip-route-missing/c1").affected, 2);
}

#[test]
fn ten_vips_of_one_service_share_one_alarm() {
    let mut leaf = Scenario::carried();
    let vips: Vec<_> = (1..=10).map(vip).collect();
    leaf.service("web", TrafficPolicy::Cluster, &vips);
    for (n, vip) in vips.iter().enumerate().skip(1) {
        leaf.bgp(*vip, &[node(1), node(2), node(3)]);
        assert!(n < 10);
    }
    for vip in &vips {
        leaf.withdraw(*vip).up(node(1));
    }
    // Sessions are up and bring other routes: the cause is not in a node.
    leaf.carry(11, "dns").after(10).alarmed(&["vip-route-missing/c1/default/web"]);
    let alarm = leaf.alarm("vip-route-missing/c1/default/web");
    assert_eq!(alarm.affected, 10);
    assert!(alarm.text.starts_with("10 VIPs of service default/web in cluster c1 without a route: "), "{}", alarm.text);
    assert!(alarm.text.contains(" and 7 more; "), "{}", alarm.text);
}

#[test]
fn a_speaker_that_announces_nothing_is_one_alarm() {
    let mut leaf = Scenario::carried();
    for n in 2..=5 {
        leaf.carry(n, &format!("s{n}"));
    }
    for n in 1..=5 {
        leaf.withdraw(vip(n));
    }
    for n in 1..=3 {
        leaf.neighbor(node(n), Some(SessionState::Established), Some(0));
    }
    leaf.after(10).alarmed(&["vip-route-missing/c1"]);
    assert_eq!(leaf.alarm("vip-route-missing/c1").affected, 5);
}

#[test]
fn a_remote_node_lost_by_many_vips_is_one_alarm_named_after_the_node() {
    let mut leaf = Scenario::new();
    for (index, name) in NODES.into_iter().enumerate() {
        leaf.remote(name, node(index + 1), index as u8 + 1);
    }
    for n in 1..=4 {
        let name = format!("s{n}");
        leaf.service(&name, TrafficPolicy::Cluster, &[vip(n)]).ready(&name, &NODES);
        leaf.evpn(vip(n), &[vtep(1), vtep(2), vtep(3)]);
    }
    for n in 1..=4 {
        leaf.evpn(vip(n), &[vtep(1), vtep(2)]);
    }
    leaf.after(11).alarmed(&["vip-degraded/c1/n3"]);
    let alarm = leaf.alarm("vip-degraded/c1/n3");
    assert_eq!((alarm.affected, alarm.severity), (4, Severity::Major));
}

#[test]
fn a_conflict_seen_from_both_clusters_is_one_alarm() {
    let mut leaf = Scenario::carried();
    leaf.cluster("c2", |_| {}).source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    let there = ip("192.168.1.21");
    leaf.node_in("c2", "m1", Node { internal: [there].into(), ..Node::default() }).up(there);
    leaf.service_in("c2", "shop", load_balancer(TrafficPolicy::Cluster, &[vip(1)]));
    leaf.slice("c2", "shop", AddressFamily::Ipv4, &[endpoint("shop-0", "m1", true, true)]);
    leaf.bgp(vip(1), &[node(1), node(2), node(3), there]).after(11);
    leaf.alarmed(&["vip-address-conflict/network-instance/ip-vrf-1/1.1.1.100"]);
    let alarm = leaf.alarm("vip-address-conflict/network-instance/ip-vrf-1/1.1.1.100");
    assert_eq!((alarm.affected, alarm.severity, alarm.owner), (2, Severity::Critical, Owner::Cluster));
    let head = "VIP 1.1.1.100 in network-instance ip-vrf-1 is claimed by 2 services: cluster c1 (default/web), cluster c2 (default/shop)";
    assert!(alarm.text.starts_with(head), "{}", alarm.text);
}

/// Creates a MetalLB pool with this many addresses from 1.1.1.100; the number must be a power of two.
fn pool(leaf: &mut Scenario, prefix: &str) {
    let key = ObjectKey { namespace: Some("metallb-system".into()), name: "vip-pool".into() };
    let pool = Pool { prefixes: [net(prefix)].into(), ..Pool::default() };
    leaf.kubernetes(C1, ClusterEvent::SpeakerResource(SpeakerResource::MetallbPools, ResourceState::Watched));
    let update = Update::All(vec![(key, SpeakerObject::Pool(pool))]);
    leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(SpeakerResource::MetallbPools, update));
}

#[test]
fn a_full_pool_is_one_alarm_with_the_numbers_of_the_pool() {
    let mut leaf = Scenario::carried();
    pool(&mut leaf, "1.1.1.100/31");
    leaf.carry(2, "dns");
    for n in 0..5 {
        leaf.service(&format!("waits{n}"), TrafficPolicy::Cluster, &[]);
    }
    leaf.after(10).alarmed(&["vip-address-pending/c1"]);
    let text = &leaf.alarm("vip-address-pending/c1").text;
    let head =
        "5 services of cluster c1 waiting for an address: default/waits0, default/waits1, default/waits2 and 2 more";
    assert!(text.starts_with(&format!("{head}; pool vip-pool: 2 of 2 addresses in use; ")), "{text}");
}

#[test]
fn a_pool_with_free_addresses_is_not_blamed() {
    let mut leaf = Scenario::carried();
    pool(&mut leaf, "1.1.1.96/28");
    leaf.service("waits", TrafficPolicy::Cluster, &[]).after(10);
    assert!(!leaf.alarm("vip-address-pending/c1/default/waits").text.contains("in use"));
}

#[test]
fn a_second_fault_with_the_same_cause_turns_an_alarm_into_a_group() {
    let mut leaf = Scenario::carried();
    leaf.service("one", TrafficPolicy::Cluster, &[]).after(20).alarmed(&["vip-address-pending/c1/default/one"]);
    let raised = leaf.alarm("vip-address-pending/c1/default/one").raised;
    leaf.service("two", TrafficPolicy::Cluster, &[]).after(10).alarmed(&["vip-address-pending/c1"]);
    let alarm = leaf.alarm("vip-address-pending/c1");
    assert_eq!((alarm.raised, alarm.affected), (raised, 2));
    let record = leaf.record("vip-address-pending/c1/default/one");
    assert_eq!(record.because, ClearedBecause::Became(AlarmType::VipAddressPending));
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("one"))))
        .after(10)
        .alarmed(&["vip-address-pending/c1"]);
    assert_eq!(leaf.alarm("vip-address-pending/c1").affected, 1);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("two")))).alarmed(&[]);
    assert_eq!(leaf.record("vip-address-pending/c1").because, ClearedBecause::Removed);
}

#[test]
fn owners_of_services_that_join_or_leave_a_group_are_notified() {
    let mut leaf = Scenario::carried();
    for name in ["one", "two", "three"] {
        leaf.service(name, TrafficPolicy::Cluster, &[]).after(10);
    }
    let heard = |leaf: &Scenario, wanted: fn(NotificationEvent) -> bool| {
        let of_group =
            leaf.said.alarms.notifications.iter().filter(|it| it.key.to_string() == "vip-address-pending/c1");
        let services = of_group.filter(|it| wanted(it.event)).flat_map(|it| it.services.to_vec());
        services.map(|(_, service)| service.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(heard(&leaf, |event| event == NotificationEvent::Raised), ["one", "two"]);
    assert_eq!(heard(&leaf, |event| event == NotificationEvent::Joined), ["three"]);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("one")))).after(10);
    assert_eq!(heard(&leaf, |event| matches!(event, NotificationEvent::Left(_, ClearedBecause::Removed))), ["one"]);
    for name in ["two", "three"] {
        leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key(name))));
    }
    assert_eq!(heard(&leaf, |event| matches!(event, NotificationEvent::Cleared(..))), ["three"]);
}

#[test]
fn faults_whose_hold_times_end_within_a_second_are_raised_as_one() {
    let mut leaf = Scenario::carried();
    for n in 0..4 {
        leaf.service(&format!("waits{n}"), TrafficPolicy::Cluster, &[]).pass(ms(300));
    }
    leaf.after(11).alarmed(&["vip-address-pending/c1"]);
    assert_eq!((leaf.raised(), leaf.said.alarms.history.len()), (1, 0));
}

#[test]
fn three_hundred_services_make_a_handful_of_alarms_with_the_session_first() {
    let mut leaf = Scenario::carried();
    pool(&mut leaf, "1.1.1.100/31");
    let services = (0..300).map(|n| match n {
        0 => (key("s0"), load_balancer(TrafficPolicy::Cluster, &[vip(2)])),
        n => (key(&format!("s{n}")), load_balancer(TrafficPolicy::Cluster, &[])),
    });
    let mut services: Vec<(_, Service)> = services.collect();
    services.push((key("web"), load_balancer(TrafficPolicy::Cluster, &[vip(1)])));
    leaf.kubernetes(C1, ClusterEvent::Services(Update::All(services)));
    leaf.session(node(2), SessionState::Active).via(1, &[1, 3]).after(12);
    let mut alarms: Vec<_> =
        leaf.said.alarms.active.iter().map(|(key, view)| (view.severity, key.to_string())).collect();
    alarms.sort();
    assert!(alarms.len() <= 4, "{alarms:?}");
    assert_eq!(alarms[0], (Severity::Major, SESSION_DOWN.to_owned()));
    assert_eq!(leaf.alarm("vip-address-pending/c1").affected, 299);
}
