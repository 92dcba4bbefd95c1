//! Tests of the published state of nodes: where they are, and how many VIPs they carry.

use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::switch::SessionState;
use srl_k8s_services::model::verdict::OperState::Up;
use srl_k8s_services::model::verdict::{AttachmentState, NodeReason};

use crate::scenario::{BGP, C1, Family, Scenario, VRF, vtep};

const V4: Family = Family::V4;

/// Two attached nodes, the first of which carries the VIP.
fn two_attached() -> Scenario {
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).attached("n2", V4.node(2));
    leaf.service("web", Cluster, &[V4.vip(100)]).ready("web", &["n1"]).bgp(V4.vip(100), &[V4.node(1)]);
    leaf
}

#[test]
fn a_host_route_from_another_protocol_than_evpn_names_no_vtep() {
    let mut leaf = Scenario::new();
    let node = V4.node(1);
    leaf.node("n1", &[node]).route_of(VRF, node.into(), BGP, &[vtep(1)]);
    assert_eq!(leaf.node_view("n1").attachment, AttachmentState::Unknown);
    leaf.evpn(node, &[vtep(1)]);
    assert_eq!(leaf.node_view("n1").attachment, AttachmentState::Remote);
}

#[test]
fn a_vip_of_one_family_may_use_sessions_of_the_other() {
    let mut leaf = Scenario::new();
    let (vip, node) = (V4.vip(100), Family::V6.node(1));
    leaf.attached("n1", node).service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[node]);
    leaf.expect(vip, Up, None, &[]);
}

#[test]
fn vip_counts_of_nodes_follow_announcers_and_routes() {
    let mut leaf = two_attached();
    let figures = |leaf: &Scenario| {
        ["n1", "n2"].map(|node| (leaf.node_view(node).expected_vips, leaf.node_view(node).installed_vips))
    };
    assert_eq!(figures(&leaf), [(1, 1), (1, 0)]);
    leaf.service("web", Local, &[V4.vip(100)]);
    assert_eq!(figures(&leaf), [(1, 1), (0, 0)]);
    leaf.withdraw(V4.vip(100));
    assert_eq!(figures(&leaf), [(1, 0), (0, 0)]);
}

#[test]
fn a_node_is_reported_to_send_no_vip_only_if_that_is_certain() {
    let mut leaf = two_attached();
    let reason = |leaf: &Scenario, node| leaf.node_view(node).reason;
    assert_eq!((reason(&leaf, "n1"), reason(&leaf, "n2")), (None, Some(NodeReason::NoVipReceived)));
    leaf.evpn(V4.vip(100), &[vtep(7)]);
    assert_eq!(reason(&leaf, "n2"), None, "a better path may hide it");
    leaf.neighbor(V4.node(2), Some(SessionState::Established), Some(0));
    assert_eq!(reason(&leaf, "n2"), Some(NodeReason::NoVipReceived));
    leaf.bgp(V4.vip(100), &[V4.node(1)]).cluster(C1, |cluster| cluster.rules.ecmp_limit = Some(1)).up(V4.node(2));
    assert_eq!(reason(&leaf, "n2"), None, "the ECMP limit may hide it");
}
