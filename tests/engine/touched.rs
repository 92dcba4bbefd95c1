//! Tests of what else is judged again when something changes, and of what is forgotten then.

use std::time::Duration;

use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::cluster::{AddressFamily, Node, Service};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{Event, SourceEvent, SwitchEvent};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{NextHopGroupId, Route};
use srl_k8s_services::model::verdict::OperState::{Down, Unknown, Up};
use srl_k8s_services::model::verdict::Reason;

use crate::scenario::{BGP, BGP_EVPN, C1, Family, VRF, endpoint, ip, load_balancer, net, vtep};
use crate::wrong_words::{ARP_ND, INTERFACE, STATIC, leaf};

const V4: Family = Family::V4;

#[test]
fn a_vip_counts_for_the_node_whose_static_route_uses_its_next_hop() {
    let (vip, loopback, gateway) = (V4.vip(100), ip("10.255.1.11"), ip("10.1.0.11"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.attached("n1", loopback).route_of(VRF, loopback.into(), STATIC, &[gateway]).attached("n2", V4.node(2));
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[V4.node(2)]);
    assert_eq!(leaf.node_view("n1").installed_vips, 0);
    leaf.bgp(vip, &[gateway, V4.node(2)]);
    assert_eq!(leaf.node_view("n1").installed_vips, 1);
    leaf.bgp(vip, &[V4.node(2)]);
    assert_eq!(leaf.node_view("n1").installed_vips, 0);
}

#[test]
fn the_announcement_of_a_vip_is_forgotten_when_its_network_instance_changes() {
    let (vip, subnet) = (ip("192.168.1.77"), net("192.168.1.0/24"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[V4.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.bgp(vip, &[V4.node(1)]).route_of("ip-vrf-2", subnet, INTERFACE, &[]);
    leaf.cluster(C1, |cluster| cluster.rules.network_instance = "ip-vrf-2".into());
    leaf.expect(vip, Unknown, Some(Reason::ArpUnresolved), &[]);
}

#[test]
fn a_vip_that_moves_between_services_is_still_known_to_be_announced_by_bgp() {
    let (vip, subnet) = (ip("192.168.1.77"), net("192.168.1.0/24"));
    let of_class = |class: Option<&str>| Service { class: class.map(Into::into), ..load_balancer(Cluster, &[vip]) };
    for (first, second) in [("web", "dns"), ("dns", "web")] {
        let mut leaf = leaf(Speaker::Metallb);
        leaf.node("n1", &[V4.node(1)])
            .service_in(C1, first, of_class(None))
            .ready("web", &["n1"])
            .ready("dns", &["n1"]);
        leaf.route_of(VRF, subnet, INTERFACE, &[]).bgp(vip, &[V4.node(1)]).service_in(
            C1,
            second,
            of_class(Some("other")),
        );
        leaf.withdraw(vip);
        for (class, name) in [(Some("other"), second), (None, first)] {
            leaf.cluster(C1, |cluster| cluster.rules.load_balancer_class = class.map(Into::into));
            assert_eq!(
                leaf.service_view(name).verdict.reason,
                Some(Reason::NoRoute),
                "not one that ARP is to answer for"
            );
        }
    }
}

#[test]
fn the_first_vip_of_another_cluster_in_a_prefix_makes_its_owner_uncertain() {
    let (vip, theirs) = (V4.vip(101), V4.vip(100));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.cluster("c2", |_| {}).source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("1.1.1.100/31")].into());
    leaf.node("n1", &[]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, net("1.1.1.100/31"), BGP_EVPN, &[vtep(1)]);
    leaf.expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
    leaf.service_in("c2", "web", load_balancer(Cluster, &[theirs, V4.vip(99)]));
    leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[]);
    leaf.service_in("c2", "web", load_balancer(Cluster, &[]));
    leaf.expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
    leaf.service_in("c2", "web", load_balancer(Cluster, &[V4.vip(99)]));
    leaf.expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
}

#[test]
fn a_former_address_that_stops_answering_says_nothing_about_its_node() {
    let (vip, former, address) = (V4.vip(100), V4.node(1), V4.node(2));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.attached("n1", former).up(address).route_of(VRF, former.into(), ARP_ND, &[former]);
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[address]);
    leaf.lost(SourceId::Gnmi).node("n1", &[address]).withdraw(former);
    leaf.expect(vip, Up, None, &[]);
    leaf.route_of(VRF, address.into(), ARP_ND, &[address]).withdraw(address);
    leaf.expect(vip, Unknown, Some(Reason::SessionDown), &[]);
}

#[test]
fn an_unlocated_node_of_a_sharing_cluster_may_be_behind_any_next_hop() {
    let vip = V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.cluster("c2", |cluster| cluster.rules.shared_with = [C1.into()].into());
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.service("web", Local, &[vip]).ready("web", &[""]);
    leaf.service_in("c2", "web", load_balancer(Cluster, &[vip]));
    leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("p1", "m1", true, true)]).evpn(vip, &[vtep(1)]);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[]);
    leaf.node_in("c2", "m1", Node::default());
    leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[]);
}

#[test]
fn a_route_that_joins_an_overdue_group_does_not_wait_for_it_again() {
    let (vip, other, range) = (V4.vip(100), Family::V6.vip(100), V4.aggregate());
    let mut leaf = leaf(Speaker::Metallb);
    let route = |group| Route { owner: BGP, preference: 169, metric: 0, next_hop_group: NextHopGroupId(group) };
    let told = |routes| Event::Switch(SwitchEvent::Routes(VRF.into(), routes));
    leaf.node("n1", &[]).service("other", Cluster, &[other]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, range, BGP, &[V4.elsewhere(1)]).expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[]);
    leaf.event(told(vec![(other.into(), Some(route(99)))])).pass(Duration::from_secs(16));
    leaf.event(told(vec![(range, Some(route(99))), (other.into(), None)])).expect(
        vip,
        Down,
        Some(Reason::NoRoute),
        &[],
    );
}
