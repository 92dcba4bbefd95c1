//! Tests of VIPs announced by ARP: which node answers, and what leaves learn.

use serde_json::{Value, json};

use super::tests::{lever, net};
use super::*;

const VIP: &str = "10.20.0.100";

/// Returns two leaves with one bridged subnet, and three nodes without BGP.
fn fabric(speaker: &str) -> Fabric {
    let config = json!({
        "overlay-as": 64321,
        "spines": { "spine1": { "as": 64601, "system": ["10.1.0.1"] } },
        "leaves": {
            "leaf1": { "as": 65001, "system": ["10.0.1.1"] },
            "leaf2": { "as": 65002, "system": ["10.0.1.2"] },
        },
        "network-instances": {
            "nodes": { "id": 3, "type": "mac-vrf" },
            "tenant": {
                "id": 4,
                "subinterfaces": { "irb0.1": { "index": 5, "bridge": "nodes", "addresses": ["10.20.0.1/24"] } },
                "evpn": { "route-target": "target:64321:4" },
            },
        },
        "clusters": { "c1": {
            "network-instance": "tenant",
            "as": 65010,
            "speaker": speaker,
            "speaker-flags": { "kube-vip-arp": true },
            "nodes": {
                "n1": { "leaves": ["leaf1"], "addresses": ["10.20.0.11"] },
                "n2": { "leaves": ["leaf2"], "addresses": ["10.20.0.12"] },
            },
        } },
    });
    let mut fabric = Fabric::new(serde_json::from_value(config).expect("a fabric")).expect("it fits together");
    fabric.set_objects("c1", Objects::read(&objects(&["n1", "n2"], json!({}))));
    fabric
}

/// Returns a service with endpoints on these nodes, and the objects by which each speaker announces it by ARP.
fn objects(endpoints: &[&str], annotations: Value) -> Vec<Value> {
    let endpoints: Vec<Value> =
        endpoints.iter().map(|node| json!({ "nodeName": node, "conditions": { "ready": true } })).collect();
    let node = |name: &str| json!({ "kind": "Node", "metadata": { "name": name } });
    vec![
        node("n1"),
        node("n2"),
        json!({ "kind": "IPAddressPool", "metadata": { "name": "p" }, "spec": { "addresses": ["10.20.0.100-10.20.0.110"] } }),
        json!({ "kind": "L2Advertisement", "metadata": { "name": "l2" }, "spec": {} }),
        json!({ "kind": "CiliumL2AnnouncementPolicy", "metadata": { "name": "l2" }, "spec": { "loadBalancerIPs": true } }),
        json!({
            "kind": "Service",
            "metadata": { "name": "web", "namespace": "default", "annotations": annotations },
            "spec": { "type": "LoadBalancer", "externalTrafficPolicy": "Local" },
            "status": { "loadBalancer": { "ingress": [{ "ip": VIP }] } },
        }),
        json!({
            "kind": "EndpointSlice",
            "metadata": { "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "web" } },
            "endpoints": endpoints,
        }),
    ]
}

/// Returns the MAC address that a leaf has for the VIP, and whether EVPN advertised it.
fn entry(fabric: &Fabric, leaf: &str) -> Option<(String, bool)> {
    let tables = fabric.tables(leaf).expect("a leaf");
    let neighbors = &tables.interfaces["irb0"].subinterfaces[&1].neighbors;
    neighbors.get(&VIP.parse().expect("an address")).map(|entry| (entry.mac.clone(), entry.by_evpn))
}

fn mac(fabric: &Fabric, node: &str) -> String {
    segment::node_mac(fabric, &NodeKey { cluster: "c1".to_owned(), node: node.to_owned() })
}

fn holder(fabric: &Fabric) -> String {
    let mut holders = fabric.holders("c1").into_values();
    holders.next().expect("somebody answers")
}

#[test]
fn one_node_answers_arp_and_every_leaf_knows_its_location() {
    for speaker in ["metallb", "cilium", "kube-vip"] {
        let fabric = fabric(speaker);
        let holder = holder(&fabric);
        let (here, there) = if holder == "n1" { ("leaf1", "leaf2") } else { ("leaf2", "leaf1") };
        assert_eq!(entry(&fabric, here), Some((mac(&fabric, &holder), false)), "{speaker}");
        assert_eq!(entry(&fabric, there), Some((mac(&fabric, &holder), true)), "{speaker}");
        let route = |leaf: &str| {
            let tables = fabric.tables(leaf).expect("a leaf");
            let routes = tables.network_instances["tenant"].routes.iter();
            let mut active = routes.filter(|(key, route)| key.prefix == net("10.20.0.100/32") && route.active);
            active.next().map(|(key, _)| key.route_type.clone())
        };
        assert_eq!(route(here).as_deref(), Some("arp-nd"), "{speaker}");
        assert_eq!(route(there).as_deref(), Some("bgp-evpn"), "{speaker}");
    }
}

#[test]
fn the_vip_moves_when_its_holder_can_no_longer_answer() {
    let mut fabric = fabric("metallb");
    let first = holder(&fabric);
    let other = if first == "n1" { "n2" } else { "n1" };
    fabric.set_objects("c1", Objects::read(&objects(&[other], json!({}))));
    assert_eq!(holder(&fabric), other, "policy Local asks for an endpoint");
    fabric.set_objects("c1", Objects::read(&objects(&["n1", "n2"], json!({}))));
    fabric.pull(lever(&format!("link-down: {{ node: {first} }}"))).expect("known");
    assert_eq!(holder(&fabric), other);
}

#[test]
fn a_lease_or_an_annotation_determines_the_holder() {
    let mut fabric = fabric("cilium");
    let lease = json!({
        "kind": "Lease",
        "metadata": { "name": "cilium-l2announce-default-web", "namespace": "kube-system" },
        "spec": { "holderIdentity": "n2" },
    });
    let mut leased = objects(&["n1", "n2"], json!({}));
    leased.push(lease);
    fabric.set_objects("c1", Objects::read(&leased));
    assert_eq!(holder(&fabric), "n2");
    let mut fabric = self::fabric("kube-vip");
    fabric.set_objects("c1", Objects::read(&objects(&["n1", "n2"], json!({ "kube-vip.io/vipHost": "n2" }))));
    assert_eq!(holder(&fabric), "n2");
}

#[test]
fn speakers_publish_who_answers() {
    for (speaker, kind, pointer) in [
        ("metallb", "ServiceL2Status", "/status/node"),
        ("cilium", "Lease", "/spec/holderIdentity"),
        ("kube-vip", "Lease", "/spec/holderIdentity"),
    ] {
        let fabric = fabric(speaker);
        let statuses = fabric.statuses("c1");
        assert_eq!(statuses.len(), 1, "{speaker}");
        assert_eq!(statuses[0]["kind"], kind);
        assert_eq!(statuses[0].pointer(pointer).and_then(Value::as_str), Some(holder(&fabric).as_str()));
    }
}

#[test]
fn stale_entries_and_duplicate_addresses_appear_on_the_leaf() {
    let mut fabric = fabric("metallb");
    let first = holder(&fabric);
    let other = if first == "n1" { "n2" } else { "n1" };
    fabric.pull(lever(&format!("stale-entry: {{ leaf: leaf1, address: {VIP}, node: {other} }}"))).expect("known");
    assert_eq!(entry(&fabric, "leaf1").expect("an entry").0, mac(&fabric, other));
    assert_eq!(entry(&fabric, "leaf2").expect("an entry").0, mac(&fabric, &first));
    fabric.release_all();
    fabric.pull(lever(&format!("duplicate-address: {{ address: {VIP}, node: {other} }}"))).expect("known");
    for last in [&first, other, &first] {
        assert_eq!(entry(&fabric, "leaf1").expect("an entry").0, mac(&fabric, last), "they answer in turn");
        assert!(fabric.take_turns());
    }
    fabric.release_all();
    assert!(!fabric.take_turns());
    assert_eq!(entry(&fabric, "leaf1").expect("an entry").0, mac(&fabric, &first));
}
