//! Behaviour of devices in labs and articles, reproduced at the level of the engine.

use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::cluster::{AddressFamily, Node};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Update};
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Up};
use srl_k8s_services::model::verdict::{AddressSource, AttachmentState, NextHopKind, Reason, Vantage};

use crate::scenario::{C1, Scenario, VRF, cluster_config, endpoint, ip, key, vtep};

const NODES: [&str; 3] = ["cluster1", "cluster1-m02", "cluster1-m03"];
const VIP: &str = "1.1.1.100";

/// The anycast lab from the point of view of one leaf: its own node is attached (none on leaf4), the others are behind
/// their leaves. Kubernetes knows the nodes by addresses that the fabric never sees; the operator configured the
/// addresses from which they speak BGP.
fn anycast_lab(leaf: u8) -> Scenario {
    let mut lab = Scenario::new();
    let fabric = |n: u8| ip(&format!("192.168.1.1{n}"));
    lab.cluster(C1, |cluster| {
        for (name, n) in NODES.into_iter().zip(1..) {
            cluster.rules.fabric_addresses.insert(name.into(), [fabric(n)].into());
        }
        cluster.rules.ecmp_limit = Some(8);
        cluster.rules.vip_pools.insert("1.1.1.0/24".parse().expect("a prefix"));
    });
    for (name, n) in NODES.into_iter().zip(1..) {
        lab.node(name, &[ip(&format!("192.168.49.{}", n + 1))]);
        if n == leaf {
            lab.up(fabric(n));
        } else {
            lab.evpn(fabric(n), &[vtep(n)]);
        }
    }
    lab.service("web", Cluster, &[ip(VIP)]).ready("web", &NODES);
    lab
}

#[test]
fn leaf1_to_leaf3_reach_the_vip_through_their_own_node_at_preference_169() {
    for (leaf, name) in (1..=3).zip(NODES) {
        let mut lab = anycast_lab(leaf);
        let own = ip(&format!("192.168.1.1{leaf}"));
        lab.bgp(ip(VIP), &[own]).expect(ip(VIP), Up, None, &[]);
        let view = lab.vip_view("web", ip(VIP));
        assert_eq!(view.vantage, Some(Vantage::Local));
        let route = view.route.as_ref().expect("a route");
        assert_eq!((route.preference, route.owner.as_deref()), (169, Some("bgp_mgr")));
        assert_eq!((view.expected, view.installed), (1, 1));
        let next_hop = &view.next_hops[0];
        assert_eq!((next_hop.kind, next_hop.node.as_ref().map(|node| node.as_str())), (NextHopKind::Local, Some(name)));
        let node = lab.node_view(name);
        assert_eq!((node.attachment, node.state), (AttachmentState::Attached, Up));
        assert_eq!((node.peers[0].address, node.peers[0].source), (own, AddressSource::Configured));
        assert_eq!((node.expected_vips, node.installed_vips), (1, 1));
    }
}

#[test]
fn leaf4_reaches_the_vip_through_three_vteps() {
    let mut lab = anycast_lab(4);
    lab.evpn(ip(VIP), &[vtep(1), vtep(2), vtep(3)]).expect(ip(VIP), Up, None, &[]);
    let view = lab.vip_view("web", ip(VIP));
    assert_eq!(view.vantage, Some(Vantage::Remote));
    let route = view.route.as_ref().expect("a route");
    assert_eq!((route.preference, route.owner.as_deref()), (170, Some("bgp_evpn_mgr")));
    assert_eq!((view.expected, view.installed), (3, 3));
    for (next_hop, name) in view.next_hops.iter().zip(NODES) {
        assert_eq!((next_hop.kind, next_hop.node.as_ref().map(|node| node.as_str())), (NextHopKind::Vtep, Some(name)));
        assert_eq!(next_hop.usable_endpoints, Some(1));
    }
    assert_eq!(lab.node_view(NODES[0]).attachment, AttachmentState::Remote);
}

#[test]
fn a_deleted_service_and_its_withdrawn_route_leave_nothing() {
    let mut lab = anycast_lab(1);
    lab.bgp(ip(VIP), &[ip("192.168.1.11")]);
    lab.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web"))));
    assert_eq!(lab.said.orphans.len(), 1, "the route lingers in the pool and no service claims it");
    lab.withdraw(ip(VIP));
    assert!(lab.said.orphans.is_empty() && lab.said.services.is_empty());
}

#[test]
fn under_policy_local_a_leaf_without_a_local_endpoint_uses_remote_leaves() {
    let mut lab = anycast_lab(1);
    lab.service("web", Local, &[ip(VIP)]).ready("web", &NODES[1..]).evpn(ip(VIP), &[vtep(2), vtep(3)]);
    lab.expect(ip(VIP), Up, None, &[]);
    assert_eq!(lab.vip_view("web", ip(VIP)).vantage, Some(Vantage::Remote));
}

/// The ECMP article: three sessions on leaf1 are established, but their paths lose to the EVPN route of leaf2, which
/// has three other nodes.
#[test]
fn ecmp_article_leaf1_has_three_sessions_up_but_routes_to_leaf2() {
    let vip = ip("10.254.254.241");
    let mut leaf1 = Scenario::new();
    let here = [("ctl-a1", "6.4.5.20"), ("wrk-a1", "6.4.5.22"), ("wrk-b1", "6.4.5.31")];
    let there = [("ctl-a2", "6.4.5.21"), ("ctl-b1", "6.4.5.30"), ("wrk-b2", "6.4.5.32")];
    for (name, address) in here {
        leaf1.attached(name, ip(address));
    }
    for (name, address) in there {
        leaf1.node(name, &[ip(address)]).evpn(ip(address), &[ip("1.1.1.2")]);
    }
    let all: Vec<&str> = here.iter().chain(&there).map(|(name, _)| *name).collect();
    leaf1.service("web", Cluster, &[vip]).ready("web", &all).evpn(vip, &[ip("1.1.1.2")]);
    leaf1.expect(vip, Degraded, Some(Reason::LocalPathUnused), &[&"1.1.1.2"]);
    let view = leaf1.vip_view("web", vip);
    assert_eq!((view.vantage, view.expected, view.installed), (Some(Vantage::Local), 3, 1));
    let behind = leaf1.next_hop("web", vip, ip("1.1.1.2"));
    assert_eq!((behind.node.as_ref(), behind.usable_endpoints), (None, Some(3)), "three nodes are behind this VTEP");
    for (_, address) in here {
        leaf1.expect_next_hop(vip, ip(address), Down, Some(Reason::NextHopMissing));
    }
}

/// The VyOS article: the master and two workers announce the VIP. Deleting the service withdraws it.
#[test]
fn vyos_article_three_next_hops_are_used_and_then_withdrawn() {
    let vip = ip("192.168.100.10");
    let mut router = Scenario::new();
    let nodes = [("master01", "192.168.30.50"), ("worker01", "192.168.30.60"), ("worker02", "192.168.30.61")];
    for (name, address) in nodes {
        router.attached(name, ip(address));
    }
    router.service("web", Cluster, &[vip]).ready("web", &["worker01"]);
    router.expect(vip, Down, Some(Reason::NoRoute), &[]);
    router.bgp(vip, &nodes.map(|(_, address)| ip(address))).expect(vip, Up, None, &[]);
    router.withdraw(vip).expect(vip, Down, Some(Reason::NoRoute), &[&VRF, &"worker02"]);
    router.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web"))));
    assert!(router.said.services.is_empty());
    assert_eq!(router.node_view("master01").expected_vips, 0);
}

#[test]
fn without_ready_endpoints_metallb_withdraws_and_cilium_continues() {
    let vip = ip(VIP);
    let mut metallb = anycast_lab(1);
    metallb.bgp(vip, &[ip("192.168.1.11")]);
    metallb.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("web-0", NODES[0], false, false)]);
    metallb.expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
    metallb.withdraw(vip).expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
    assert_eq!(metallb.vip_view("web", vip).expected, 0);

    let mut cilium = Scenario::with(cluster_config(Speaker::Cilium));
    let address = ip("192.168.1.11");
    cilium.node_in(C1, "n1", Node { internal: [address].into(), ..Node::default() }).up(address);
    cilium.service("web", Cluster, &[vip]).bgp(vip, &[address]);
    cilium.expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
    assert_eq!(cilium.vip_view("web", vip).expected, 1, "announced by design");
    assert_eq!(cilium.vip_view("web", vip).network_instance.as_str(), VRF);
}

/// The node's address in Kubernetes is not the one from which it speaks BGP, and this is not configured.
#[test]
fn a_node_address_unknown_to_kubernetes_is_named_without_a_false_alarm() {
    let mut lab = anycast_lab(1);
    lab.cluster(C1, |cluster| cluster.rules.fabric_addresses.clear());
    lab.bgp(ip(VIP), &[ip("192.168.1.11")]);
    lab.expect(ip(VIP), Up, Some(Reason::NextHopUnmapped), &[&"192.168.1.11", &"fabric-address"]);
    lab.service("web", Local, &[ip(VIP)]);
    assert_eq!(lab.vip_view("web", ip(VIP)).verdict.reason, Some(Reason::NextHopUnmapped));
}
