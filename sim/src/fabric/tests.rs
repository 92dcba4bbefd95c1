//! Tests that compare the model with real labs, and of the effect of every lever.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::tables::{Fib, NetworkInstance, NextHop, Tables};

use super::{Fabric, FabricConfig, Lever, Objects};

const NOW: &str = "2026-01-01T00:00:00.000Z";
pub(super) const LATER: &str = "2026-01-01T00:01:00.000Z";
const VIP: &str = "1.1.1.100/32";

#[derive(Deserialize)]
struct LabFile {
    fabric: FabricConfig,
}

pub(super) fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn node(name: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
}

fn service(name: &str, vip: &str, policy: &str) -> Value {
    json!({
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "externalTrafficPolicy": policy},
        "status": {"loadBalancer": {"ingress": [{"ip": vip}]}},
    })
}

/// Returns an EndpointSlice with one endpoint on each node, with its readiness.
fn slice(service: &str, endpoints: &[(&str, bool)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(node, ready)| json!({"nodeName": node, "conditions": {"ready": ready, "serving": ready}}))
        .collect();
    json!({
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": endpoints,
    })
}

fn metallb() -> Vec<Value> {
    vec![
        json!({"kind": "IPAddressPool", "metadata": {"name": "vip-pool"},
            "spec": {"addresses": ["1.1.1.100-1.1.1.200"]}}),
        json!({"kind": "BGPPeer", "metadata": {"name": "peer"},
            "spec": {"myASN": 65535, "peerASN": 65535, "peerAddress": "192.168.1.1"}}),
        json!({"kind": "BGPAdvertisement", "metadata": {"name": "bgpadv"}}),
    ]
}

const NODES: [&str; 3] = ["cluster1", "cluster1-m02", "cluster1-m03"];

fn anycast_objects(policy: &str, ready: [bool; 3]) -> Vec<Value> {
    let endpoints: Vec<(&str, bool)> = NODES.into_iter().zip(ready).collect();
    let mut objects = metallb();
    objects.extend(NODES.map(node));
    objects.extend([service("nginxhello", "1.1.1.100", policy), slice("nginxhello", &endpoints)]);
    objects
}

/// Returns the fabric of the lab folder's own file, so that the lab and its expected outcome cannot drift apart.
pub(super) fn anycast() -> Fabric {
    let text = include_str!("../../../lab/anycast-metallb/lab.yaml");
    let file: LabFile = serde_norway::from_str(text).expect("the lab file parses");
    let mut fabric = Fabric::new(file.fabric).expect("the lab file is valid");
    fabric.set_objects("c1", Objects::read(&anycast_objects("Cluster", [true; 3])));
    fabric.settle(NOW);
    fabric
}

pub(super) fn tables(fabric: &Fabric, leaf: &str) -> Tables {
    fabric.tables(leaf).expect("a leaf of the lab")
}

pub(super) fn vrf(fabric: &Fabric, leaf: &str) -> NetworkInstance {
    tables(fabric, leaf).network_instances.remove("ip-vrf-1").expect("every leaf has ip-vrf-1")
}

fn addresses(next_hops: &[NextHop]) -> Vec<String> {
    let address = |hop: &NextHop| match hop {
        NextHop::Direct { address, .. } | NextHop::Indirect { address, .. } | NextHop::Vxlan { vtep: address } => {
            address.to_string()
        }
        NextHop::Extract => "extract".to_owned(),
        NextHop::Broadcast => "broadcast".to_owned(),
        NextHop::Discard => "discard".to_owned(),
    };
    next_hops.iter().map(address).collect()
}

/// Returns one line per route: prefix, id, type, owner, active, preference, next-hops.
fn lines(instance: &NetworkInstance) -> Vec<String> {
    let line = |(key, route): (&crate::tables::RouteKey, &crate::tables::Route)| {
        format!(
            "{} {} {} {} {} {} {}",
            key.prefix,
            key.id,
            key.route_type,
            key.owner,
            route.active,
            route.preference,
            addresses(&route.next_hops).join(",")
        )
    };
    instance.routes.iter().map(line).collect()
}

/// Returns route type and next-hops of the active route.
fn active(instance: &NetworkInstance, prefix: &str) -> Option<(String, Vec<String>)> {
    let mut routes = instance.routes.iter().filter(|(key, route)| key.prefix == net(prefix) && route.active);
    let found = routes.next().map(|(key, route)| (key.route_type.clone(), addresses(&route.next_hops)));
    assert!(routes.next().is_none(), "two active routes to {prefix}");
    found
}

fn some(route_type: &str, next_hops: &[&str]) -> Option<(String, Vec<String>)> {
    Some((route_type.to_owned(), next_hops.iter().map(|&hop| hop.to_owned()).collect()))
}

pub(super) fn lever(text: &str) -> Lever {
    let value: Value = serde_norway::from_str(text).expect("YAML");
    serde_json::from_value(value).expect("a lever")
}

#[test]
fn leaf1_of_the_anycast_lab_has_the_route_table_of_the_article() {
    let fabric = anycast();
    assert_eq!(
        lines(&vrf(&fabric, "leaf1")),
        [
            "1.1.1.100/32 0 bgp bgp_mgr true 169 192.168.1.11",
            "1.1.1.100/32 0 bgp-evpn bgp_evpn_mgr false 170 10.0.1.2,10.0.1.3",
            "192.168.1.0/24 0 bgp-evpn bgp_evpn_mgr false 170 10.0.1.2,10.0.1.3",
            "192.168.1.0/24 8 local net_inst_mgr true 0 192.168.1.1",
            "192.168.1.1/32 8 host net_inst_mgr true 0 extract",
            "192.168.1.11/32 8 arp-nd arp_nd_mgr true 1 192.168.1.11",
            "192.168.1.12/32 0 bgp-evpn bgp_evpn_mgr true 170 10.0.1.2",
            "192.168.1.13/32 0 bgp-evpn bgp_evpn_mgr true 170 10.0.1.3",
            "192.168.1.255/32 8 host net_inst_mgr true 0 broadcast",
            "192.168.2.0/24 0 bgp-evpn bgp_evpn_mgr false 170 10.0.1.2,10.0.1.3,10.0.1.4",
            "192.168.2.0/24 9 local net_inst_mgr true 0 192.168.2.1",
            "192.168.2.1/32 9 host net_inst_mgr true 0 extract",
            "192.168.2.255/32 9 host net_inst_mgr true 0 broadcast",
        ]
    );
}

#[test]
fn leaf4_of_the_anycast_lab_reaches_the_vip_through_three_vteps() {
    let leaf4 = vrf(&anycast(), "leaf4");
    assert_eq!(active(&leaf4, VIP), some("bgp-evpn", &["10.0.1.1", "10.0.1.2", "10.0.1.3"]));
    assert_eq!(leaf4.routes.len(), 9);
    assert_eq!(leaf4.routes.values().filter(|route| route.active).count(), 8);
    assert!(leaf4.neighbors.is_empty());
    assert_eq!(leaf4.router_id, None);
}

#[test]
fn the_nodes_next_hop_is_resolved_by_the_subnet() {
    let leaf1 = vrf(&anycast(), "leaf1");
    let route = leaf1.routes.values().find(|route| route.preference == 169).expect("the VIP's BGP route");
    let resolving = Some((net("192.168.1.0/24"), "local".to_owned(), "net_inst_mgr".to_owned()));
    assert_eq!(route.next_hops, [NextHop::Indirect { address: "192.168.1.11".parse().expect("address"), resolving }]);
}

#[test]
fn session_counters_match_the_article() {
    let mut fabric = anycast();
    let counters = |fabric: &Fabric, leaf: &str, instance: &str, peer: &str, family: &str| {
        let instance = &tables(fabric, leaf).network_instances[instance];
        let counters = instance.neighbors[peer].afi_safis[family];
        [counters.received, counters.active, counters.sent]
    };
    assert_eq!(counters(&fabric, "leaf1", "ip-vrf-1", "192.168.1.11", "ipv4-unicast"), [1, 1, 5]);
    assert_eq!(
        counters(&fabric, "leaf1", "default", "fe80::1866:bff:feff:1%ethernet-1/49.0", "ipv4-unicast"),
        [4, 4, 2]
    );
    assert_eq!(
        counters(&fabric, "leaf1", "default", "fe80::183a:cff:feff:1%ethernet-1/50.0", "ipv6-unicast"),
        [4, 4, 5]
    );
    fabric.set_objects("c1", Objects::read(&metallb()));
    assert_eq!(counters(&fabric, "leaf1", "ip-vrf-1", "192.168.1.11", "ipv4-unicast"), [0, 0, 5]);
    assert_eq!(counters(&fabric, "leaf1", "default", "10.1.0.1", "evpn"), [29, 29, 12]);
    assert_eq!(counters(&fabric, "leaf1", "default", "10.1.0.2", "evpn"), [29, 0, 12]);
    assert_eq!(counters(&fabric, "leaf4", "default", "10.1.0.1", "evpn"), [36, 36, 5]);
}

#[test]
fn without_a_metallb_peer_the_configured_neighbor_stays_active() {
    let mut fabric = anycast();
    fabric.set_objects("c1", Objects::read(&metallb()[..1]));
    assert_eq!(vrf(&fabric, "leaf1").neighbors["192.168.1.11"].session_state, "established", "no resources, no rules");
    let elsewhere = json!({"kind": "BGPPeer", "metadata": {"name": "peer"},
        "spec": {"myASN": 65535, "peerASN": 65000, "peerAddress": "192.168.1.1"}});
    fabric.set_objects("c1", Objects::read([&elsewhere]));
    let neighbor = vrf(&fabric, "leaf1").neighbors.remove("192.168.1.11").expect("configured neighbors stay");
    assert_eq!((neighbor.session_state.as_str(), neighbor.afi_safis.len()), ("active", 0));
}

#[test]
fn a_lost_session_moves_its_leaf_to_evpn_and_removes_its_vtep_from_others() {
    let mut fabric = anycast();
    let down = lever("session-down: { leaf: leaf1, node: cluster1 }");
    fabric.pull(down.clone()).expect("names are known");
    fabric.settle(LATER);
    let leaf1 = vrf(&fabric, "leaf1");
    assert_eq!(active(&leaf1, VIP), some("bgp-evpn", &["10.0.1.2", "10.0.1.3"]));
    assert_eq!(leaf1.neighbors["192.168.1.11"].session_state, "active");
    assert_eq!(leaf1.neighbors["192.168.1.11"].last_established.as_deref(), Some(LATER));
    assert_eq!(active(&vrf(&fabric, "leaf4"), VIP), some("bgp-evpn", &["10.0.1.2", "10.0.1.3"]));
    assert_eq!(active(&leaf1, "192.168.1.11/32"), some("arp-nd", &["192.168.1.11"]), "the node is still there");
    assert!(fabric.release(&down));
    fabric.settle(LATER);
    let healed = vrf(&fabric, "leaf1").neighbors.remove("192.168.1.11").expect("configured");
    assert_eq!((healed.session_state.as_str(), healed.established_transitions), ("established", 2));
}

const LEVERS: [&str; 33] = [
    "session-down: { node: cluster1 }",
    "link-down: { node: cluster1 }",
    "speaker-dead: { node: c1/cluster1 }",
    "node-moved: { node: cluster1, leaf: leaf4 }",
    "fib-failed: { leaf: leaf1, prefix: 1.1.1.100/32 }",
    "fib-pending: { leaf: leaf1, prefix: 1.1.1.100/32 }",
    "policy-reject: { leaf: leaf1, prefix: 1.1.1.100/32 }",
    "ecmp-limit: { leaf: leaf4, limit: 2 }",
    "static-route: { leaf: leaf1, network-instance: ip-vrf-1, prefix: 1.1.1.150/32, next-hop: 192.168.1.11 }",
    "foreign-route: { leaf: leaf1, network-instance: ip-vrf-1, prefix: 1.1.1.100/32, next-hop: 192.168.1.99 }",
    "announced: { node: cluster1, prefix: 1.1.1.160/32 }",
    "withheld: { node: cluster1, prefix: 1.1.1.100/32 }",
    "evpn-withdrawn: { leaf: leaf2 }",
    "evpn-withdrawn: { leaf: leaf2, prefix: 1.1.1.100/32 }",
    "overlay-down: { leaf: leaf4 }",
    "leaked: { leaf: leaf1, prefix: 1.1.1.100/32, network-instance: subnetA }",
    "network-instance-missing: { leaf: leaf4, network-instance: ip-vrf-1 }",
    "as-mismatch: { node: cluster1 }",
    "speaker-silent: { node: cluster1 }",
    "peer-shutdown: { leaf: leaf1, node: cluster1 }",
    "prefix-limit: { node: cluster1 }",
    "collision: { node: cluster1 }",
    "notification: { node: cluster1, code: Cease, subcode: Connection Rejected }",
    "admin-disabled: { leaf: leaf1, node: cluster1 }",
    "cable: { node: cluster1 }",
    "as-path-longer: { node: cluster1 }",
    "as-loop: { node: cluster1 }",
    "next-hop-unresolved: { node: cluster1 }",
    "damped: { node: cluster1 }",
    "fib-disabled: { node: cluster1 }",
    "bgp-preference: { leaf: leaf1, preference: 180 }",
    "fib-suppressed: { leaf: leaf1, prefix: 1.1.1.100/32 }",
    "fib-recovered: { leaf: leaf1, prefix: 1.1.1.100/32 }",
];

#[test]
fn every_lever_changes_something_and_heals_completely() {
    let mut fabric = anycast();
    let healthy = fabric.all_tables();
    for text in LEVERS {
        let lever = lever(text);
        fabric.pull(lever.clone()).expect("names are known");
        assert_ne!(fabric.all_tables(), healthy, "{text}");
        assert!(fabric.release(&lever));
        assert_eq!(fabric.all_tables(), healthy, "{text}");
    }
}

/// Checks what must hold in all tables: each prefix has one active route, which is the best one; tunnels lead to other
/// leaves; a session that is down announces nothing.
fn check(fabric: &Fabric, what: &str) {
    for (leaf, tables) in fabric.all_tables() {
        let own = fabric.config().vtep(&leaf);
        for (name, instance) in &tables.network_instances {
            let mut best = std::collections::BTreeMap::new();
            for (key, route) in &instance.routes {
                assert!(!route.next_hops.is_empty(), "{what}: {leaf} {name} {key:?} has no next-hop");
                assert!(!route.next_hops.contains(&NextHop::Vxlan { vtep: own }), "{what}: {leaf} {name} {key:?}");
                let entry = best.entry(key.prefix).or_insert((u8::MAX, Vec::new()));
                entry.0 = entry.0.min(route.preference);
                entry.1.extend(route.active.then_some(route.preference));
            }
            for (prefix, (preference, active)) in best {
                assert_eq!(active, [preference], "{what}: {leaf} {name} {prefix}");
            }
            for (peer, neighbor) in &instance.neighbors {
                let up = neighbor.session_state == "established";
                assert_eq!(neighbor.afi_safis.is_empty(), !up, "{what}: {leaf} {name} {peer}");
                let used = instance.routes.iter().any(|(key, route)| {
                    key.route_type == "bgp" && addresses(&route.next_hops).iter().any(|address| address == peer)
                });
                assert!(up || !used, "{what}: {leaf} {name} uses {peer}, which is down");
            }
        }
    }
}

#[test]
fn any_two_levers_leave_consistent_tables_and_heal_in_any_order() {
    let mut fabric = anycast();
    let healthy = fabric.all_tables();
    check(&fabric, "nothing pulled");
    for first in LEVERS {
        for second in LEVERS.into_iter().filter(|second| *second != first) {
            let (one, other) = (lever(first), lever(second));
            fabric.pull(one.clone()).expect("names are known");
            fabric.pull(other.clone()).expect("names are known");
            check(&fabric, &format!("{first} and {second}"));
            fabric.release(&one);
            fabric.release(&other);
        }
    }
    assert_eq!(fabric.all_tables(), healthy);
}

#[test]
fn a_node_deleted_from_the_cluster_has_no_speaker() {
    let mut fabric = anycast();
    let mut objects = anycast_objects("Cluster", [true; 3]);
    objects.retain(|object| object["metadata"]["name"] != "cluster1");
    fabric.set_objects("c1", Objects::read(&objects));
    assert_eq!(vrf(&fabric, "leaf1").neighbors["192.168.1.11"].session_state, "active");
}

#[test]
fn levers_with_unknown_names_are_refused_with_a_list_of_known_ones() {
    let mut fabric = anycast();
    let refused = |fabric: &mut Fabric, text: &str| fabric.pull(lever(text)).expect_err("unknown").to_string();
    assert_eq!(
        refused(&mut fabric, "speaker-dead: { node: nobody }"),
        "there is no node 'nobody' in this fabric (known: cluster1, cluster1-m02, cluster1-m03)"
    );
    assert!(refused(&mut fabric, "overlay-down: { leaf: leaf9 }").contains("no leaf 'leaf9'"));
}

#[test]
fn a_cut_cable_removes_the_nodes_host_route_from_every_leaf() {
    let mut fabric = anycast();
    fabric.pull(lever("link-down: { node: cluster1 }")).expect("known");
    for leaf in ["leaf1", "leaf2", "leaf4"] {
        assert_eq!(active(&vrf(&fabric, leaf), "192.168.1.11/32"), None, "{leaf}");
    }
    assert_eq!(vrf(&fabric, "leaf1").neighbors["192.168.1.11"].session_state, "connect");
}

#[test]
fn a_moved_node_appears_behind_its_new_leaf() {
    let mut fabric = anycast();
    fabric.pull(lever("node-moved: { node: cluster1, leaf: leaf2 }")).expect("known");
    assert_eq!(active(&vrf(&fabric, "leaf1"), "192.168.1.11/32"), some("bgp-evpn", &["10.0.1.2"]));
    assert_eq!(active(&vrf(&fabric, "leaf2"), "192.168.1.11/32"), some("arp-nd", &["192.168.1.11"]));
    assert_eq!(vrf(&fabric, "leaf1").neighbors["192.168.1.11"].session_state, "connect");
}

#[test]
fn fib_levers_mark_only_the_active_route_of_their_leaf() {
    let mut fabric = anycast();
    fabric.pull(lever("fib-failed: { leaf: leaf1, prefix: 1.1.1.100/32 }")).expect("known");
    let of = |leaf: &str| vrf(&fabric, leaf).routes.into_values().filter(|route| route.fib == Fib::Failed).count();
    assert_eq!((of("leaf1"), of("leaf2")), (1, 0));
}

#[test]
fn an_ecmp_limit_keeps_the_lowest_vteps() {
    let mut fabric = anycast();
    fabric.pull(lever("ecmp-limit: { leaf: leaf4, limit: 2 }")).expect("known");
    assert_eq!(active(&vrf(&fabric, "leaf4"), VIP), some("bgp-evpn", &["10.0.1.1", "10.0.1.2"]));
}

#[test]
fn a_rejected_prefix_is_received_but_not_used() {
    let mut fabric = anycast();
    fabric.pull(lever("policy-reject: { leaf: leaf1, prefix: 1.1.1.100/32 }")).expect("known");
    let leaf1 = vrf(&fabric, "leaf1");
    assert_eq!(active(&leaf1, VIP), some("bgp-evpn", &["10.0.1.2", "10.0.1.3"]));
    let counters = leaf1.neighbors["192.168.1.11"].afi_safis["ipv4-unicast"];
    assert_eq!((counters.received, counters.active), (1, 0));
}

#[test]
fn policy_local_announces_only_from_nodes_with_endpoints() {
    let mut fabric = anycast();
    fabric.set_objects("c1", Objects::read(&anycast_objects("Local", [false, true, false])));
    assert_eq!(active(&vrf(&fabric, "leaf1"), VIP), some("bgp-evpn", &["10.0.1.2"]));
    assert_eq!(active(&vrf(&fabric, "leaf2"), VIP), some("bgp", &["192.168.1.12"]));
    assert_eq!(active(&vrf(&fabric, "leaf4"), VIP), some("bgp-evpn", &["10.0.1.2"]));
}

#[test]
fn the_route_is_withdrawn_with_the_service() {
    let mut fabric = anycast();
    let mut objects = anycast_objects("Cluster", [true; 3]);
    objects.retain(|object| object["kind"] != "Service");
    fabric.set_objects("c1", Objects::read(&objects));
    for leaf in ["leaf1", "leaf4"] {
        assert_eq!(active(&vrf(&fabric, leaf), VIP), None, "{leaf}");
    }
}

#[test]
fn metallb_withdraws_when_no_endpoint_is_usable() {
    let mut fabric = anycast();
    fabric.set_objects("c1", Objects::read(&anycast_objects("Cluster", [false; 3])));
    assert_eq!(active(&vrf(&fabric, "leaf1"), VIP), None);
}

/// Two leaves, each with three eBGP nodes, and equal preferences: the leaf that came first keeps its own routes.
pub(super) fn ecmp_article() -> Fabric {
    let file: LabFile =
        serde_norway::from_str(include_str!("../../../lab/metallb-calico-ecmp/lab.yaml")).expect("the lab file parses");
    let mut fabric = Fabric::new(file.fabric).expect("the lab file is valid");
    let objects =
        [service("ingress-ctl-lb", "10.254.254.241", "Cluster"), slice("ingress-ctl-lb", &[("node20", true)])];
    fabric.set_objects("k8s", Objects::read(&objects));
    fabric.settle(NOW);
    fabric
}

#[test]
fn the_ecmp_articles_leaf1_prefers_evpn_over_its_three_sessions() {
    let fabric = ecmp_article();
    let instance = |leaf: &str| tables(&fabric, leaf).network_instances.remove("ip-vrf1").expect("there");
    let vip = "10.254.254.241/32";
    let leaf1 = instance("leaf1");
    assert_eq!(active(&leaf1, vip), some("bgp-evpn", &["1.1.1.2"]));
    assert_eq!(leaf1.neighbors.len(), 6, "MetalLB's and Calico's");
    assert!(leaf1.neighbors.values().all(|neighbor| neighbor.session_state == "established" && neighbor.dynamic));
    assert!(!leaf1.routes.keys().any(|key| key.prefix == net(vip) && key.route_type == "bgp"), "as the article shows");
    let leaf2 = instance("leaf2");
    assert_eq!(active(&leaf2, vip), some("bgp", &["6.4.5.21", "6.4.5.30", "6.4.5.32"]));
    assert!(!leaf2.routes.keys().any(|key| key.prefix == net(vip) && key.route_type == "bgp-evpn"));
    let resolving =
        leaf2.routes.iter().find(|(key, route)| key.prefix == net(vip) && route.active).map(|(_, route)| {
            route.next_hops.iter().all(|hop| {
                matches!(hop, NextHop::Indirect { resolving: Some((_, kind, owner)), .. }
                if kind == "static" && owner == "static_route_mgr")
            })
        });
    assert_eq!(resolving, Some(true));
}

#[test]
fn a_dynamic_neighbor_vanishes_with_its_session() {
    let mut fabric = ecmp_article();
    fabric.pull(lever("speaker-dead: { node: node20 }")).expect("known");
    let instance = tables(&fabric, "leaf1").network_instances.remove("ip-vrf1").expect("there");
    let speaking: Vec<_> = instance.neighbors.keys().filter(|peer| peer.starts_with("6.4.5.")).collect();
    assert_eq!(speaking, ["6.4.5.22", "6.4.5.31"]);
    assert_eq!(instance.neighbors["192.168.101.20"].session_state, "established", "Calico lives on");
    fabric.release_all();
    fabric.pull(lever("peer-shutdown: { node: node20 }")).expect("known");
    fabric.settle(LATER);
    let instance = tables(&fabric, "leaf1").network_instances.remove("ip-vrf1").expect("there");
    let last = &instance.farewells["6.4.5.20"];
    let said = last.record.received.as_ref().and_then(|it| it.subcode.as_deref());
    assert_eq!((last.session_state.as_str(), said), ("idle", Some("Administrative Shutdown")));
}

/// Returns a node with a range of pod addresses.
fn node_with_pods(name: &str, range: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}, "spec": {"podCIDRs": [range]}})
}

#[test]
fn a_pod_network_announces_pods_from_the_nodes_own_addresses() {
    let mut fabric = ecmp_article();
    let mut objects: Vec<Value> =
        [20, 21, 22, 30, 31, 32].map(|n| node_with_pods(&format!("node{n}"), &format!("10.200.{n}.0/26"))).into();
    objects.push(service("ingress-ctl-lb", "10.254.254.241", "Cluster"));
    objects.push(slice("ingress-ctl-lb", &[("node20", true)]));
    fabric.set_objects("k8s", Objects::read(&objects));
    let instance = |leaf: &str| tables(&fabric, leaf).network_instances.remove("ip-vrf1").expect("there");
    let (leaf1, leaf2) = (instance("leaf1"), instance("leaf2"));
    assert_eq!(active(&leaf1, "10.200.20.0/26"), some("bgp", &["192.168.101.20"]));
    assert_eq!(active(&leaf2, "10.200.20.0/26"), some("bgp-evpn", &["1.1.1.1"]));
    let neighbor = &leaf1.neighbors["192.168.101.20"];
    assert_eq!((neighbor.peer_group.as_str(), neighbor.peer_as), ("calico-bgp", 64512));
    assert_eq!(neighbor.afi_safis["ipv4-unicast"].received, 1);
}

#[test]
fn two_speakers_cannot_share_an_address() {
    let text = include_str!("../../../lab/metallb-calico-ecmp/lab.yaml").replace(", loopbacks: [6.4.5.22]", "");
    let file: LabFile = serde_norway::from_str(&text).expect("YAML");
    let refused = Fabric::new(file.fabric).expect_err("refused").to_string();
    assert!(refused.contains("node 'node22' runs two BGP speakers on one address"), "{refused}");
}

#[test]
fn bfd_down_is_refused_for_a_node_without_bfd() {
    let refused = anycast().pull(lever("bfd-down: { node: cluster1 }")).expect_err("refused").to_string();
    assert!(refused.contains("BFD does not protect the sessions of node 'cluster1'"), "{refused}");
}

#[test]
fn a_prefix_rejected_by_a_policy_is_counted_as_rejected() {
    let mut fabric = anycast();
    fabric.pull(lever("policy-reject: { leaf: leaf1, prefix: 1.1.1.100/32 }")).expect("known");
    let counters = vrf(&fabric, "leaf1").neighbors["192.168.1.11"].afi_safis["ipv4-unicast"];
    assert_eq!((counters.received, counters.rejected, counters.active), (1, 1, 0));
}

/// Two leaves that import no VIPs from EVPN, two VRFs, and a border leaf without nodes.
fn multicluster() -> Fabric {
    let file: LabFile =
        serde_norway::from_str(include_str!("../../../lab/nanog-multicluster/lab.yaml")).expect("the lab file parses");
    let mut fabric = Fabric::new(file.fabric).expect("the lab file is valid");
    let hello = [service("hello-lb", "10.254.254.240", "Cluster"), slice("hello-lb", &[("datacenter-worker", true)])];
    fabric.set_objects("datacenter", Objects::read(&hello));
    fabric.settle(NOW);
    fabric
}

#[test]
fn leaves_that_reject_vips_from_evpn_use_and_advertise_their_own() {
    let mut fabric = multicluster();
    let vip = "10.254.254.240/32";
    let hops = |fabric: &Fabric, leaf: &str| active(&tables(fabric, leaf).network_instances["kube-ipvrf"], vip);
    assert_eq!(hops(&fabric, "leaf-dc-1"), some("bgp", &["192.168.101.101"]));
    assert_eq!(hops(&fabric, "leaf-dc-2"), some("bgp", &["192.168.101.102"]));
    assert_eq!(hops(&fabric, "border-dc"), some("bgp-evpn", &["1.1.1.1", "1.1.1.2"]));
    fabric.pull(lever("session-down: { node: datacenter-worker }")).expect("known");
    assert_eq!(hops(&fabric, "leaf-dc-1"), None);
    assert_eq!(hops(&fabric, "border-dc"), some("bgp-evpn", &["1.1.1.2"]));
}

#[test]
fn vrf_loopbacks_are_host_routes_and_numbered_uplinks_have_static_peers() {
    let fabric = multicluster();
    let leaf = tables(&fabric, "leaf-dc-1");
    let vrf = &leaf.network_instances["kube-ipvrf"];
    assert_eq!(active(vrf, "1.1.1.201/32"), some("host", &["extract"]));
    assert_eq!(active(vrf, "1.1.1.202/32"), some("bgp-evpn", &["1.1.1.2"]));
    let default = &leaf.network_instances["default"];
    assert_eq!(active(default, "10.1.1.0/31"), some("local", &["10.1.1.1"]));
    let spine = &default.neighbors["10.1.1.0"];
    assert_eq!((spine.dynamic, spine.local_address), (false, "10.1.1.1".parse().ok()));
    assert_eq!(spine.afi_safis.keys().collect::<Vec<_>>(), ["ipv4-unicast"]);
    assert_eq!(active(default, "1.1.1.2/32"), some("bgp", &["10.1.1.0", "10.2.1.0"]));
}

/// One router, three nodes, one subnet: ECMP over all nodes, and no route after the service is deleted.
#[test]
fn the_vyos_articles_router_balances_and_withdraws() {
    let node = |index: u8| json!({"leaves": ["vyos"], "addresses": [format!("192.168.30.{index}")]});
    let config = json!({
        "leaves": {"vyos": {"system": ["192.168.123.20"]}},
        "network-instances": {"default": {
            "id": 1, "type": "default",
            "subinterfaces": {"eth1.0": {"index": 1, "addresses": ["192.168.30.254/24"]}},
            "bgp": {"as": 64501, "group": "group01", "maximum-paths": 8},
        }},
        "clusters": {"k8s": {"network-instance": "default", "as": 64500, "speaker": "metallb", "nodes": {
            "master01": node(50), "worker01": node(60), "worker02": node(61),
        }}},
    });
    let mut fabric = Fabric::new(serde_json::from_value(config).expect("a config")).expect("valid");
    let endpoints = slice("my-service", &[("worker01", true), ("worker01", true)]);
    fabric.set_objects("k8s", Objects::read([&service("my-service", "192.168.100.10", "Cluster"), &endpoints]));
    let active_hops = |fabric: &Fabric| {
        active(&tables(fabric, "vyos").network_instances["default"], "192.168.100.10/32").map(|(_, hops)| hops)
    };
    let all = ["192.168.30.50", "192.168.30.60", "192.168.30.61"].map(str::to_owned).to_vec();
    assert_eq!(active_hops(&fabric), Some(all));
    fabric.set_objects("k8s", Objects::read([&endpoints]));
    assert_eq!(active_hops(&fabric), None);
}

#[test]
fn ipv6_vips_travel_on_ipv6_sessions_only() {
    let config = json!({
        "leaves": {"leaf1": {"system": ["10.0.0.1"]}, "leaf2": {"system": ["10.0.0.2"]}},
        "network-instances": {"vrf": {
            "id": 3,
            "subinterfaces": {"irb1.1": {"index": 8, "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"]}},
            "evpn": {"route-target": "target:1:1", "ecmp": 8},
            "bgp": {"as": 65535, "group": "metal", "ibgp-preference": 169},
        }},
        "clusters": {"k8s": {"network-instance": "vrf", "as": 65535, "speaker": "generic", "nodes": {
            "n1": {"leaves": ["leaf1"], "addresses": ["192.168.1.11", "2001:db8:1::11"]},
        }}},
    });
    let mut fabric = Fabric::new(serde_json::from_value(config).expect("a config")).expect("valid");
    fabric
        .set_objects("k8s", Objects::read([&service("web", "2001:db8:f::1", "Local"), &slice("web", &[("n1", true)])]));
    let instance = |leaf: &str| tables(&fabric, leaf).network_instances.remove("vrf").expect("there");
    assert_eq!(active(&instance("leaf1"), "2001:db8:f::1/128"), some("bgp", &["2001:db8:1::11"]));
    assert_eq!(active(&instance("leaf2"), "2001:db8:f::1/128"), some("bgp-evpn", &["10.0.0.1"]));
    assert_eq!(active(&instance("leaf2"), "2001:db8:1::11/128"), some("bgp-evpn", &["10.0.0.1"]));
    assert_eq!(instance("leaf1").neighbors["192.168.1.11"].afi_safis["ipv4-unicast"].received, 0);
}

#[test]
fn bfd_down_takes_the_bgp_session_down() {
    let address: IpAddr = "192.168.1.11".parse().expect("address");
    let config = json!({
        "leaves": {"leaf1": {"system": ["10.0.0.1"]}},
        "network-instances": {"vrf": {
            "id": 3,
            "subinterfaces": {"irb1.1": {"index": 8, "addresses": ["192.168.1.1/24"]}},
            "bgp": {"as": 65535, "group": "metal", "bfd": true},
        }},
        "clusters": {"k8s": {"network-instance": "vrf", "as": 65535, "speaker": "generic", "nodes": {
            "n1": {"leaves": ["leaf1"], "addresses": [address]},
        }}},
    });
    let mut fabric = Fabric::new(serde_json::from_value(config).expect("a config")).expect("valid");
    let states = |fabric: &Fabric| {
        let instance = tables(fabric, "leaf1").network_instances.remove("vrf").expect("there");
        (instance.bfd[&address].up, instance.neighbors["192.168.1.11"].session_state.clone())
    };
    assert_eq!(states(&fabric), (true, "established".to_owned()));
    fabric.pull(lever("bfd-down: { node: n1 }")).expect("known");
    assert_eq!(states(&fabric), (false, "active".to_owned()));
}
