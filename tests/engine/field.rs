//! Problems that operators have reported, named after the reports: each must be recognized as what it is.

use std::time::Duration;

use srl_k8s_services::model::cluster::AddressFamily;
use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, SourceEvent, Update};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{FibFaultKind, SessionState};
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Up};
use srl_k8s_services::model::verdict::{NodeReason, Reason};

use crate::scenario::{C1, Family, Scenario, VRF, cluster_config, endpoint, ip, key, vtep};

fn three_nodes(speaker: Speaker) -> Scenario {
    let mut leaf = Scenario::with(cluster_config(speaker));
    for n in 1..=3 {
        leaf.attached(&format!("n{n}"), Family::V4.node(n));
    }
    leaf.service("web", Cluster, &[vip()]).ready("web", &["n1", "n2", "n3"]);
    leaf
}

fn vip() -> std::net::IpAddr {
    Family::V4.vip(100)
}

fn node(n: u8) -> std::net::IpAddr {
    Family::V4.node(n)
}

#[test]
fn metallb_877_only_one_of_several_routes_returns_after_a_restart() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[node(1)]).expect(vip(), Degraded, Some(Reason::NextHopMissing), &[&node(2), &node(3)]);
}

#[test]
fn metallb_2803_1613_a_session_is_up_but_nothing_is_received() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.neighbor(node(2), Some(SessionState::Established), Some(0)).bgp(vip(), &[node(1), node(3)]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopMissing), &[&node(2)]);
    let view = leaf.node_view("n2");
    assert_eq!((view.reason, view.installed_vips), (Some(NodeReason::NoVipReceived), 0));
    assert_eq!(leaf.node_view("n1").reason, None);
}

#[test]
fn metallb_628_the_switchs_table_decides() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[ip("192.168.1.99")]);
    leaf.expect(vip(), Down, Some(Reason::NextHopUnexpected), &[&"192.168.1.99"]);
}

#[test]
fn metallb_485_a_stale_next_hop_leads_to_a_node_without_endpoints() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.service("web", Local, &[vip()]).bgp(vip(), &[node(1), node(2), node(3)]).expect(vip(), Up, None, &[]);
    leaf.ready("web", &["n1", "n2"]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopUnexpected), &[&node(3), &"n3"]);
}

#[test]
fn metallb_312_a_vip_is_announced_without_an_endpoint() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]).ready("web", &[]);
    leaf.expect(vip(), Down, Some(Reason::NoReadyEndpoint), &[]);
}

#[test]
fn metallb_295_policy_local_and_a_shared_address_leave_a_stale_next_hop() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.service("web", Local, &[vip()]).ready("web", &["n1"]);
    leaf.service("dns", Local, &[vip()]).ready("dns", &["n2"]);
    leaf.bgp(vip(), &[node(1), node(2)]);
    // Both nodes are expected, for one service or the other. Each service loses the flows that go to the other's node.
    assert_eq!(leaf.vip_view("web", vip()).expected, 2);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopUnexpected), &[&node(2)]);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopUnexpected), &[&node(3)]);
}

#[test]
fn metallb_720_1104_one_next_hop_is_installed_though_all_nodes_advertise() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.cluster(C1, |cluster| cluster.rules.ecmp_limit = Some(1)).bgp(vip(), &[node(1)]);
    leaf.expect(vip(), Degraded, Some(Reason::EcmpLimited), &[]);
}

#[test]
fn metallb_2285_labelled_nodes_are_not_expected() {
    let mut leaf = three_nodes(Speaker::Metallb);
    let labelled = srl_k8s_services::model::cluster::Node {
        internal: [node(1)].into(),
        exclude_label: Some("".into()),
        ..Default::default()
    };
    leaf.node_in(C1, "n1", labelled).bgp(vip(), &[node(2), node(3)]).expect(vip(), Up, None, &[]);
    assert_eq!((leaf.node_view("n1").expected_vips, leaf.node_view("n1").reason), (0, None));
}

#[test]
fn metallb_2049_the_state_after_a_flap_is_the_one_before() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]);
    let before = leaf.said.clone().normalised();
    for n in 1..=3 {
        leaf.vanish(node(n));
    }
    leaf.withdraw(vip()).expect(vip(), Down, Some(Reason::SessionDown), &[]);
    for n in 1..=3 {
        leaf.up(node(n));
    }
    leaf.bgp(vip(), &[node(1), node(2), node(3)]);
    assert_eq!(leaf.said.clone().normalised(), before);
}

#[test]
fn cilium_44803_all_nodes_advertise_despite_policy_local() {
    let mut leaf = three_nodes(Speaker::Cilium);
    leaf.service("web", Local, &[vip()]).ready("web", &["n1"]).bgp(vip(), &[node(1), node(2), node(3)]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopUnexpected), &[&node(2), &node(3)]);
}

#[test]
fn cilium_17547_the_route_is_up_before_any_endpoint_is_ready() {
    let mut leaf = three_nodes(Speaker::Cilium);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]);
    leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("web-0", "n1", false, false)]);
    leaf.expect(vip(), Down, Some(Reason::NoReadyEndpoint), &[]);
}

#[test]
fn cilium_45276_32487_terminating_endpoints_keep_serving_but_expect_no_next_hop() {
    let mut leaf = three_nodes(Speaker::Cilium);
    leaf.service("web", Local, &[vip()]).bgp(vip(), &[node(1), node(2)]);
    let endpoints = [endpoint("web-0", "n1", true, true), endpoint("web-1", "n2", false, true)];
    leaf.slice(C1, "web", AddressFamily::Ipv4, &endpoints);
    leaf.expect(vip(), Up, None, &[]);
    assert_eq!(leaf.vip_view("web", vip()).expected, 1);
    leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("web-0", "n1", true, true)]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopUnexpected), &[&node(2)]);
}

#[test]
fn kbutler_1_a_lost_route_changes_the_verdict_at_once() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]).expect(vip(), Up, None, &[]);
    leaf.withdraw(vip()).expect(vip(), Down, Some(Reason::NoRoute), &[]);
}

#[test]
fn kbutler_3_every_network_instance_family_and_ingress_address_is_judged() {
    let (v4, v6) = (Family::V4.vip(100), Family::V6.vip(100));
    let mut leaf = three_nodes(Speaker::Metallb);
    for n in 1..=3 {
        leaf.node(&format!("n{n}"), &[Family::V4.node(n), Family::V6.node(n)]).up(Family::V6.node(n));
    }
    leaf.service("web", Cluster, &[v4, v6]).bgp(v4, &[node(1), node(2), node(3)]);
    leaf.expect(v4, Up, None, &[]);
    leaf.expect(v6, Down, Some(Reason::NoRoute), &[&VRF]);
    let service = &leaf.service_view("web").verdict;
    assert_eq!((service.state, service.reason), (Down, Some(Reason::NoRoute)), "the worst VIP's");
    leaf.bgp(v6, &[Family::V6.node(1), Family::V6.node(2), Family::V6.node(3)]).expect(v6, Up, None, &[]);
    assert_eq!(leaf.vip_view("web", v4).expected, 3, "each family by its own addresses");
}

#[test]
fn kbutler_4_a_matching_endpoint_does_not_hide_a_mismatching_one() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.service("web", Local, &[vip()]).bgp(vip(), &[node(1)]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopMissing), &[&node(2), &node(3)]);
}

#[test]
fn kbutler_5_deleted_services_and_endpoints_leave_no_state() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]);
    leaf.kubernetes(C1, ClusterEvent::EndpointSlices(Update::All(Vec::new())));
    leaf.expect(vip(), Down, Some(Reason::NoReadyEndpoint), &[]);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::All(Vec::new())));
    assert!(leaf.said.services.is_empty());
}

#[test]
fn an_unprogrammed_route_is_down_although_its_next_hops_are_right() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.bgp(vip(), &[node(1), node(2), node(3)]).fib(vip(), Some(FibFaultKind::Failed));
    leaf.expect(vip(), Down, Some(Reason::RouteNotProgrammed), &[]);
}

#[test]
fn a_lost_api_server_is_reported_but_changes_no_verdict() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.kubernetes(C1, ClusterEvent::Connected { version: "v1.33.1".into(), caveat: None });
    leaf.bgp(vip(), &[node(1), node(2), node(3)]);
    leaf.lost(SourceId::Kubernetes(C1.into())).pass(Duration::from_secs(3600)).expect(vip(), Up, None, &[]);
    let cluster = &leaf.said.clusters[C1];
    assert_eq!((cluster.state, cluster.reason.is_some()), (Degraded, true));
    // Existing routes are still judged.
    leaf.bgp(vip(), &[node(1)]).expect(vip(), Degraded, Some(Reason::NextHopMissing), &[]);
    let detail = leaf.vip_view("web", vip()).verdict.detail.clone().unwrap_or_default();
    assert!(detail.to_lowercase().contains("stale") || detail.contains("API"), "{detail}");
    leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
    assert_eq!(leaf.said.clusters[C1].state, Up);
}

#[test]
fn a_vtep_without_a_node_of_the_vip_is_a_black_hole_under_policy_local() {
    let mut leaf = Scenario::new();
    leaf.remote("n1", node(1), 1).remote("n2", node(2), 2).service("web", Local, &[vip()]).ready("web", &["n1"]);
    leaf.evpn(vip(), &[vtep(1), vtep(2)]);
    leaf.expect(vip(), Degraded, Some(Reason::NextHopUnexpected), &[&vtep(2)]);
    leaf.evpn(vip(), &[vtep(2)]).expect(vip(), Down, Some(Reason::NextHopUnexpected), &[&vtep(2)]);
}

#[test]
fn a_route_in_the_wrong_network_instance_is_reported_with_both_names() {
    let mut leaf = three_nodes(Speaker::Metallb);
    leaf.route_of("default", vip().into(), crate::scenario::BGP, &[node(1)]);
    leaf.expect(vip(), Down, Some(Reason::WrongNetworkInstance), &[&"default", &VRF]);
    assert!(leaf.said.services.contains_key(&(C1.into(), key("web"))));
}
