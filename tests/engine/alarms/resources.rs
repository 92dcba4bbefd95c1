//! Tests that alarms end with their resource, and alarms of nodes that are not located and of routes nobody claims.

use super::*;

#[test]
fn a_deleted_service_clears_its_alarms_at_once() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web")))).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::Removed);
}

#[test]
fn a_vip_that_changes_its_address_clears_its_alarm() {
    let mut leaf = Scenario::carried();
    leaf.no_route().after(10).via(2, &[1, 2, 3]).service("web", TrafficPolicy::Cluster, &[vip(2)]).alarmed(&[]);
    assert_eq!(leaf.record(ROUTE_MISSING).because, ClearedBecause::Removed);
}

#[test]
fn a_disabled_or_removed_cluster_clears_its_alarms() {
    for enabled in [Some(false), None] {
        let mut leaf = Scenario::carried();
        leaf.no_route().session(node(2), SessionState::Idle).after(10).lost(SourceId::Kubernetes(C1.into())).after(10);
        assert_eq!(leaf.said.alarms.active.len(), 3);
        match enabled {
            Some(enabled) => leaf.cluster(C1, |cluster| cluster.enabled = enabled),
            None => leaf.configure(|config| config.clusters.clear()),
        };
        leaf.alarmed(&[]);
        assert!(leaf.said.alarms.history.values().all(|record| record.because == ClearedBecause::Removed));
    }
}

#[test]
fn an_unlocated_announcer_raises_an_alarm_unless_a_next_hop_may_be_its_own() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", node(1)).node("n2", &[node(2)]).remote("n3", node(3), 3);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &["n1", "n2"]).via(1, &[1]);
    leaf.after(10).alarmed(&["node-address-unknown/c1/n2"]);
    assert_eq!(leaf.alarm("node-address-unknown/c1/n2").owner, Owner::Cluster);
    leaf.up(ip("10.9.9.9")).bgp(vip(1), &[node(1), ip("10.9.9.9")]).after(5).alarmed(&[]);
}

#[test]
fn a_renamed_node_is_reported_with_the_name_that_has_its_fabric_address() {
    let mut leaf = Scenario::new();
    leaf.cluster(C1, |cluster| {
        cluster.rules.fabric_addresses.insert("n2".into(), [node(2)].into());
    });
    leaf.attached("n1", node(1)).remote("n3", node(3), 3);
    leaf.node("n2", &[]).node("worker-2", &[ip("10.9.9.9")]);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &["n1", "worker-2"]).via(1, &[1]);
    let text = |leaf: &Scenario| {
        let raised = leaf.said.alarms.active.iter().find(|(key, _)| key.to_string().contains("node-address-unknown"));
        raised.expect("it is raised").1.text.to_string()
    };
    leaf.kubernetes(C1, ClusterEvent::Nodes(Update::Gone("worker-2".into()))).after(10);
    assert!(text(&leaf).contains("fabric-address is set: check EVPN"), "{}", text(&leaf));
    // The same machine under another name.
    leaf.node("worker-2", &[ip("10.9.9.9")]).kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n2".into()))).after(10);
    let renamed =
        "fabric-address is set for n2, which the cluster does not have: if it was renamed, set it for the new name";
    assert!(text(&leaf).contains(renamed), "{}", text(&leaf));
    assert!(!text(&leaf).contains("or set fabric-address"), "{}", text(&leaf));
    leaf.cluster(C1, |cluster| {
        let addresses = cluster.rules.fabric_addresses.remove("n2").expect("it is configured");
        cluster.rules.fabric_addresses.insert("worker-2".into(), addresses);
    });
    leaf.after(10);
    assert!(text(&leaf).contains("fabric-address is set: check EVPN"), "{}", text(&leaf));
}

#[test]
fn a_leaf_that_locates_few_nodes_raises_no_alarm_about_the_others() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", node(1)).node("n2", &[node(2)]).node("n3", &[node(3)]);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &NODES).via(1, &[1]);
    leaf.after(60).alarmed(&[]).evpn(node(2), &[vtep(2)]).after(10).alarmed(&["node-address-unknown/c1/n3"]);
    leaf.evpn(node(3), &[vtep(3)]).after(5).alarmed(&[]);
}

#[test]
fn losing_the_location_of_other_nodes_clears_no_alarm_of_a_node() {
    let mut leaf = Scenario::new();
    leaf.attached("n1", node(1)).remote("n2", node(2), 2).node("n3", &[node(3)]);
    leaf.service("web", TrafficPolicy::Cluster, &[vip(1)]).ready("web", &NODES).via(1, &[1]);
    leaf.after(10).alarmed(&["node-address-unknown/c1/n3"]);
    leaf.withdraw(node(2)).after(60);
    assert!(leaf.said.alarms.active.keys().any(|key| key.kind == AlarmType::NodeAddressUnknown));
}

#[test]
fn an_unclaimed_route_is_a_warning_until_withdrawn() {
    let mut leaf = Scenario::carried();
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("1.1.1.0/24")].into());
    leaf.bgp(ip("1.1.1.7"), &[node(1)]).after(10).alarmed(&["vip-route-orphan/ip-vrf-1/1.1.1.7/32"]);
    leaf.bgp(ip("1.1.1.8"), &[node(1)]).after(10).alarmed(&["vip-route-orphan/network-instance/ip-vrf-1"]);
    leaf.withdraw(ip("1.1.1.7")).withdraw(ip("1.1.1.8")).after(5).alarmed(&[]);
}
