//! Situations in which the reason was once wrong, each with a minimal input.

use std::time::Duration;

use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::cluster::{AddressFamily, EndpointSlice, Node, Service, ServiceHints, SliceKey};
use srl_k8s_services::model::config::{AnnouncementMode, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::names::ServiceKey;
use srl_k8s_services::model::selector::{Operator, Requirement, Selector};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::speaker::{
    CalicoConfiguration, MetallbAdvertisement, ObjectKey, Pool, ResourceState, SpeakerObject, SpeakerResource,
};
use srl_k8s_services::model::switch::{Neighbor, NetworkInstance, NextHopGroup, NextHopGroupId, Route, SessionState};
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::{AttachmentState, NextHopKind, NodeReason, Reason};

use crate::scenario::{
    BGP, BGP_EVPN, C1, Family, Scenario, VRF, cluster_config, endpoint, ip, key, load_balancer, neighbor_key, net, vtep,
};

/// Applications of a booted leaf in addition to BGP.
pub(crate) const ARP_ND: u32 = 11;
pub(crate) const INTERFACE: u32 = 12;
pub(crate) const STATIC: u32 = 13;

/// A leaf that also knows the owners of its own routes.
pub(crate) fn leaf(speaker: Speaker) -> Scenario {
    let mut leaf = Scenario::with(cluster_config(speaker));
    for (id, name) in [(ARP_ND, "arp_nd_mgr"), (INTERFACE, "net_inst_mgr"), (STATIC, "static_route_mgr")] {
        leaf.event(Event::Switch(SwitchEvent::Application(id, Some(name.into()))));
    }
    leaf
}

/// Three attached nodes behind one VIP, each with an endpoint.
fn attached(speaker: Speaker, family: Family) -> Scenario {
    let mut leaf = leaf(speaker);
    for n in 1..=3 {
        leaf.attached(&format!("n{n}"), family.node(n));
    }
    leaf.service("web", Cluster, &[family.vip(100)]).ready("web", &["n1", "n2", "n3"]);
    leaf.bgp(family.vip(100), &[family.node(1), family.node(2), family.node(3)]);
    leaf
}

/// Lets the leaf read a MetalLB with one pool and one advertisement of host prefixes.
fn reads_metallb(leaf: &mut Scenario, pool: &str) {
    let object = |name: &str| ObjectKey { namespace: Some("metallb-system".into()), name: name.into() };
    let pool = Pool { prefixes: [net(pool)].into(), ..Pool::default() };
    for (resource, name, told) in [
        (SpeakerResource::MetallbPools, "pool", SpeakerObject::Pool(pool)),
        (
            SpeakerResource::MetallbAdvertisements,
            "advertisement",
            SpeakerObject::MetallbAdvertisement(MetallbAdvertisement::default()),
        ),
    ] {
        leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(resource, Update::All(vec![(object(name), told)])));
        leaf.kubernetes(C1, ClusterEvent::SpeakerResource(resource, ResourceState::Watched));
    }
}

#[test]
fn a_recreated_network_instance_has_no_route_of_the_former_one() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = attached(Speaker::Metallb, family);
        leaf.expect(vip, Up, None, &[]);
        leaf.network_instance(VRF, None).network_instance(VRF, Some(7));
        leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    }
}

#[test]
fn a_network_instance_that_is_operationally_down_counts_as_missing() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    let down = NetworkInstance { id: 2, oper_up: false };
    leaf.event(Event::Switch(SwitchEvent::NetworkInstance(VRF.into(), Some(down))));
    leaf.expect(vip, Unknown, Some(Reason::NetworkInstanceMissing), &[&"down"]);
}

#[test]
fn a_fabric_summary_route_does_not_count_if_host_prefixes_are_announced() {
    let vip = ip("10.9.9.100");
    let mut leaf = leaf(Speaker::Metallb);
    reads_metallb(&mut leaf, "10.9.9.0/24");
    leaf.remote("n1", ip("10.1.1.11"), 1).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, net("10.0.0.0/8"), BGP_EVPN, &[vtep(1)]);
    leaf.expect(vip, Degraded, Some(Reason::NoRoute), &[&"10.0.0.0/8"]);
    leaf.evpn(vip, &[vtep(1)]).expect(vip, Up, None, &[]);
}

#[test]
fn a_prefix_to_leaves_with_nodes_is_unknown_until_a_pool_is_known() {
    let vip = ip("10.9.9.100");
    let mut leaf = leaf(Speaker::Generic);
    leaf.remote("n1", ip("10.1.1.11"), 1).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, net("10.9.9.0/24"), BGP_EVPN, &[vtep(1)]);
    leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[&"vip-pool"]);
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("10.9.9.0/24")].into());
    leaf.expect(vip, Up, Some(Reason::CoveredByAggregate), &[]);
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("10.9.9.96/28")].into());
    leaf.expect(vip, Degraded, Some(Reason::NoRoute), &[]);
}

#[test]
fn a_prefix_to_a_leaf_without_nodes_does_not_serve_and_degrades_the_vip() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Generic);
    leaf.remote("n1", Family::V4.node(1), 1).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, Family::V4.aggregate(), BGP_EVPN, &[vtep(9)]);
    leaf.expect(vip, Degraded, Some(Reason::NoRoute), &[&vtep(9)]);
}

#[test]
fn a_verdict_is_kept_only_for_the_same_prefix() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    let discard = Route { owner: BGP, preference: 170, metric: 0, next_hop_group: NextHopGroupId(900) };
    let routes = vec![(Family::V4.aggregate(), Some(discard))];
    leaf.event(Event::Switch(SwitchEvent::Routes(VRF.into(), routes))).withdraw(vip);
    leaf.expect(vip, Unknown, Some(Reason::Syncing), &[]);
    leaf.pass(Duration::from_secs(16)).expect(vip, Down, Some(Reason::NoRoute), &[&"discards"]);
}

#[test]
fn a_node_whose_session_is_of_the_other_family_is_also_missed() {
    let (v4, v6) = (Family::V4, Family::V6);
    let vip = v4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.attached("n1", v4.node(1)).attached("n2", v4.node(2)).node("n3", &[v4.node(3), v6.node(3)]).up(v6.node(3));
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2", "n3"]);
    leaf.bgp(vip, &[v4.node(1), v4.node(2), v4.node(3)]).expect(vip, Up, None, &[]);
    leaf.vanish(v6.node(3)).bgp(vip, &[v4.node(1), v4.node(2)]);
    leaf.expect(vip, Degraded, Some(Reason::SessionDown), &[&"n3"]);
}

#[test]
fn the_other_leaf_of_a_pair_is_not_a_black_hole() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = attached(Speaker::Metallb, family);
        leaf.evpn(vip, &[vtep(2)]).expect(vip, Degraded, Some(Reason::LocalPathUnused), &[&vtep(2)]);
        (1..=3).for_each(|n| _ = leaf.session(family.node(n), SessionState::Idle));
        leaf.expect(vip, Degraded, Some(Reason::SessionDown), &[&"n1"]);
        assert_eq!(leaf.next_hop("web", vip, vtep(2)).kind, NextHopKind::Vtep);
    }
}

/// Adds a second cluster in the same network instance that shares VIPs and whose API has not been read yet.
fn unread_partner(leaf: &mut Scenario) {
    leaf.cluster(C1, |cluster| _ = cluster.rules.shared_with.insert("c2".into()));
    leaf.cluster("c2", |_| {});
}

#[test]
fn a_next_hop_may_be_a_node_of_an_unread_sharing_cluster() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    unread_partner(&mut leaf);
    leaf.expect(vip, Up, None, &[]);
    leaf.bgp(vip, &[Family::V4.node(1), Family::V4.node(2), Family::V4.node(3), ip("10.1.1.21")]);
    leaf.expect(vip, Unknown, Some(Reason::Syncing), &[&"c2", &"10.1.1.21"]);
}

#[test]
fn while_gnmi_is_lost_a_current_host_route_outranks_an_old_neighbor() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.lost(SourceId::Gnmi).evpn(Family::V4.node(3), &[vtep(2)]);
    leaf.bgp(vip, &[Family::V4.node(1), Family::V4.node(2)]).expect(vip, Up, None, &[]);
    assert_eq!(leaf.node_view("n3").attachment, AttachmentState::Remote);
}

#[test]
fn a_node_behind_another_leaf_is_remote_despite_an_idle_neighbor_left_here() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.session(Family::V4.node(3), SessionState::Idle).evpn(Family::V4.node(3), &[vtep(2)]);
    leaf.bgp(vip, &[Family::V4.node(1), Family::V4.node(2)]).expect(vip, Up, None, &[]);
    let node = leaf.node_view("n3");
    assert_eq!((node.attachment, node.reason), (AttachmentState::Remote, None));
    assert_eq!(node.peers[0].session, Some(SessionState::Idle));
}

#[test]
fn an_idle_neighbor_with_an_arp_entry_here_is_attached_despite_earlier_evpn() {
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.session(Family::V4.node(3), SessionState::Idle);
    leaf.route_of(VRF, Family::V4.node(3).into(), ARP_ND, &[Family::V4.node(3)]);
    assert_eq!(leaf.node_view("n3").reason, Some(NodeReason::SessionDown));
}

#[test]
fn a_vanished_static_neighbor_counts_as_removed() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    let key = neighbor_key(VRF, Family::V4.node(3));
    let neighbor = Neighbor { session: Some(SessionState::Established), ..Neighbor::default() };
    leaf.event(Event::Neighbors(Update::Set(key.clone(), neighbor)));
    leaf.event(Event::Neighbors(Update::Gone(key))).bgp(vip, &[Family::V4.node(1), Family::V4.node(2)]);
    leaf.expect(vip, Up, None, &[]);
    assert_eq!(leaf.node_view("n3").attachment, AttachmentState::Unknown);
}

#[test]
fn a_node_that_answers_arp_here_without_a_neighbor_is_reported_as_such() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[Family::V4.node(1)]);
    leaf.route_of(VRF, Family::V4.node(1).into(), ARP_ND, &[Family::V4.node(1)]);
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.expect(vip, Down, Some(Reason::NoRoute), &[&"ARP", &"n1"]);
    let node = leaf.node_view("n1");
    assert_eq!((node.state, node.reason), (Degraded, Some(NodeReason::NoNeighbor)));
    // Another leaf leads to it, because its speaker peers there.
    leaf.evpn(vip, &[vtep(9)]).expect(vip, Up, Some(Reason::NextHopUnmapped), &[&vtep(9)]);
    assert_eq!(leaf.node_view("n1").state, Up);
    // An unknown next-hop here is not that node, whose place is known.
    leaf.bgp(vip, &[ip("10.99.99.99")]).expect(vip, Down, Some(Reason::NextHopUnexpected), &[&"10.99.99.99"]);
}

#[test]
fn a_vip_that_is_a_nodes_own_address_needs_no_announcement() {
    for speaker in [Speaker::Metallb, Speaker::Generic, Speaker::KubeRouter] {
        let mut leaf = attached(speaker, Family::V4);
        let vip = Family::V4.node(1);
        leaf.service("web", Cluster, &[vip]).route_of(VRF, vip.into(), ARP_ND, &[vip]);
        leaf.expect(vip, Up, None, &[]);
    }
}

#[test]
fn an_address_of_a_service_is_no_orphan_whoever_should_announce_it() {
    let (balanced, external) = (Family::V4.vip(101), Family::V4.vip(102));
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [Family::V4.aggregate()].into());
    leaf.bgp(balanced, &[Family::V4.node(1)]).bgp(external, &[Family::V4.node(1)]);
    assert_eq!(leaf.said.orphans.len(), 2);
    let class = Some("example.com/other".into());
    leaf.service_in(C1, "other", Service { class, ..load_balancer(Cluster, &[balanced]) });
    leaf.service_in(C1, "third", Service { external_ips: [external].into(), ..Service::default() });
    assert_eq!(leaf.said.orphans.len(), 0, "{:#?}", leaf.said.orphans);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("other"))));
    assert_eq!(leaf.said.orphans.len(), 1);
}

#[test]
fn host_routes_of_arp_and_of_the_leaf_itself_are_no_orphans() {
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("192.168.1.0/24")].into());
    leaf.route_of(VRF, net("192.168.1.1/32"), INTERFACE, &[]).route_of(VRF, net("192.168.1.77/32"), ARP_ND, &[]);
    leaf.evpn(Family::V4.node(1), &[vtep(2)]);
    assert_eq!(leaf.said.orphans.len(), 0, "{:#?}", leaf.said.orphans);
    leaf.bgp(ip("192.168.1.78"), &[Family::V4.node(1)]);
    assert_eq!(leaf.said.orphans.len(), 1);
}

#[test]
fn another_tenants_route_to_the_same_address_is_not_ours() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.route_of("ip-vrf-2", vip.into(), BGP, &[ip("10.2.2.11")]).withdraw(vip);
    leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    (1..=3).for_each(|n| _ = leaf.session(Family::V4.node(n), SessionState::Idle));
    leaf.expect(vip, Down, Some(Reason::SessionDown), &[&Family::V4.node(1)]);
    leaf.route_of("ip-vrf-2", vip.into(), BGP, &[Family::V4.node(1)]);
    leaf.expect(vip, Down, Some(Reason::WrongNetworkInstance), &[&"ip-vrf-2"]);
}

#[test]
fn the_session_that_carried_vips_decides_for_a_node_with_two() {
    let (vip, first, second) = (Family::V4.vip(100), ip("10.1.1.11"), ip("10.1.2.11"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[second, first]).up(first).up(second);
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[first]).expect(vip, Up, None, &[]);
    leaf.session(first, SessionState::Idle).withdraw(vip);
    leaf.expect(vip, Down, Some(Reason::SessionDown), &[&first]);
    assert_eq!(leaf.node_view("n1").reason, Some(NodeReason::SessionDown));
}

#[test]
fn an_unknown_next_hop_is_named_whatever_the_reason() {
    let (vip, stranger) = (Family::V4.vip(100), ip("10.99.99.99"));
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.bgp(vip, &[Family::V4.node(1), Family::V4.node(2), stranger]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&"n3", &stranger]);
    leaf.session(Family::V4.node(3), SessionState::Idle);
    leaf.expect(vip, Degraded, Some(Reason::SessionDown), &[&"n3", &stranger]);
}

#[test]
fn a_node_counts_as_installed_by_any_of_its_addresses() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    for n in 1..=3_u8 {
        let (inner, fabric) = (ip(&format!("10.1.1.1{n}")), ip(&format!("10.1.2.1{n}")));
        leaf.cluster(C1, |cluster| {
            _ = cluster.rules.fabric_addresses.insert(format!("n{n}").as_str().into(), [fabric].into());
        });
        leaf.node(&format!("n{n}"), &[inner]).up(fabric);
    }
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2", "n3"]);
    leaf.bgp(vip, &[ip("10.1.1.11"), ip("10.1.2.12"), ip("10.1.1.13")]).expect(vip, Up, None, &[]);
    leaf.bgp(vip, &[ip("10.1.1.11"), ip("10.1.2.12")]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&"n3"]);
}

#[test]
fn a_loopback_address_is_not_an_address_of_a_node() {
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[ip("127.0.0.1"), ip("::1"), ip("10.1.1.11")]);
    let peers: Vec<_> = leaf.node_view("n1").peers.iter().map(|peer| peer.address).collect();
    assert_eq!(peers, [ip("10.1.1.11")]);
}

#[test]
fn ciliums_proxy_serves_on_every_node_under_policy_local() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Cilium);
    leaf.attached("n1", Family::V4.node(1)).attached("n2", Family::V4.node(2));
    let hints = ServiceHints { cilium_proxy: true, ..ServiceHints::default() };
    leaf.service_in(C1, "web", Service { hints, ..load_balancer(Local, &[vip]) });
    leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("dummy", "", true, true)]);
    leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[]);
    leaf.bgp(vip, &[Family::V4.node(1), Family::V4.node(2)]).expect(vip, Up, None, &[]);
    leaf.bgp(vip, &[Family::V4.node(1)]).expect(vip, Up, None, &[]);
}

#[test]
fn each_kube_router_annotation_withholds_one_kind_of_address() {
    let (external, balanced) = (ip("203.0.113.7"), Family::V4.vip(100));
    let mut leaf = leaf(Speaker::KubeRouter);
    leaf.cluster(C1, |cluster| cluster.source.include_external_ips = true);
    leaf.attached("n1", Family::V4.node(1));
    let hints = ServiceHints { kube_router_no_external: true, ..ServiceHints::default() };
    let service = Service { hints, external_ips: [external].into(), ..load_balancer(Cluster, &[balanced]) };
    leaf.service_in(C1, "web", service).ready("web", &["n1"]);
    leaf.expect(external, Down, Some(Reason::NoAnnouncer), &[&"kube-router.io/service.advertise.externalip"]);
    leaf.expect(balanced, Down, Some(Reason::NoRoute), &[]);
}

#[test]
fn external_ips_are_not_expected_of_a_speaker_that_never_announces_them() {
    let external = ip("203.0.113.7");
    for (speaker, name) in [(Speaker::Metallb, "MetalLB"), (Speaker::KubeVip, "kube-vip")] {
        let mut leaf = leaf(speaker);
        leaf.cluster(C1, |cluster| cluster.source.include_external_ips = true);
        leaf.attached("n1", Family::V4.node(1));
        leaf.service_in(C1, "web", Service { external_ips: [external].into(), ..Service::default() });
        leaf.ready("web", &["n1"]).expect(external, Down, Some(Reason::NoAnnouncer), &[&name, &"externalIPs"]);
    }
}

#[test]
fn only_nodes_with_a_speaker_are_expected() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Generic);
    let labels = |value: &str| [("speaker", value)].into_iter().collect();
    for (n, value) in [(1, "yes"), (2, "no")] {
        let node = Node { internal: [Family::V4.node(n)].into(), labels: labels(value), ..Node::default() };
        leaf.node_in(C1, &format!("n{n}"), node).evpn(Family::V4.node(n), &[vtep(n)]);
    }
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]).evpn(vip, &[vtep(1)]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&"n2"]);
    let operator = Operator::In(["yes".into()].into());
    let selector = Selector([Requirement { label: "speaker".into(), operator }].into());
    leaf.cluster(C1, |cluster| cluster.rules.speaker_node_selector = Some(selector));
    leaf.expect(vip, Up, None, &[]);
    assert_eq!(leaf.node_view("n2").excluded_by, Some("speaker-node-selector"));
}

#[test]
fn kube_vip_announces_from_the_node_it_elected() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::KubeVip);
    leaf.attached("n1", Family::V4.node(1)).attached("n2", Family::V4.node(2));
    let elected = |host: &str| {
        let hints = ServiceHints { kube_vip_host: Some(host.into()), ..ServiceHints::default() };
        Service { hints, ..load_balancer(Cluster, &[vip]) }
    };
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]).bgp(vip, &[Family::V4.node(2)]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&"n1"]);
    leaf.service_in(C1, "web", elected("n2")).expect(vip, Up, None, &[]);
    leaf.service_in(C1, "web", elected("n9")).withdraw(vip);
    leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[&"n9"]);
}

#[test]
fn a_configured_transit_address_leads_to_the_cluster() {
    for family in Family::BOTH {
        let (vip, border) = (family.vip(100), family.elsewhere(200));
        for (policy, state, reason) in [(Cluster, Up, None), (Local, Unknown, Some(Reason::NextHopUnmapped))] {
            let mut leaf = leaf(Speaker::Metallb);
            leaf.remote("n1", family.node(1), 1).remote("n2", family.node(2), 2);
            leaf.service("web", policy, &[vip]).ready("web", &["n1", "n2"]).bgp(vip, &[border]);
            leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&border, &"transit-address"]);
            leaf.cluster(C1, |cluster| _ = cluster.rules.transit_addresses.insert(border));
            leaf.expect(vip, state, reason, &[]);
            assert_eq!(leaf.next_hop("web", vip, border).kind, NextHopKind::Transit);
            // The same from a leaf to which the border is not attached.
            leaf.evpn(vip, &[vtep(7)]).expect(vip, Down, Some(Reason::NextHopUnexpected), &[&vtep(7)]);
            leaf.evpn(border, &[vtep(7)]).expect(vip, state, reason, &[]);
        }
    }
}

#[test]
fn an_ipv4_mapped_next_hop_is_its_ipv4_address() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.attached("n1", ip("10.1.1.11")).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.bgp(vip, &[ip("::ffff:10.1.1.11")]).expect(vip, Up, None, &[]);
}

#[test]
fn endpoints_in_other_clusters_of_a_mesh_may_serve() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Cilium);
    let hints = ServiceHints { cilium_global: true, ..ServiceHints::default() };
    leaf.attached("n1", Family::V4.node(1));
    leaf.service_in(C1, "web", Service { hints, ..load_balancer(Cluster, &[vip]) }).ready("web", &[]);
    leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    leaf.bgp(vip, &[Family::V4.node(1)]).expect(vip, Unknown, Some(Reason::NoReadyEndpoint), &[&"mesh"]);
    // The same with a prefix that may be the speaker's.
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [Family::V4.aggregate()].into());
    leaf.withdraw(vip).route_of(VRF, Family::V4.aggregate(), BGP, &[Family::V4.node(1)]);
    leaf.expect(vip, Unknown, Some(Reason::NoReadyEndpoint), &[&"mesh"]);
}

#[test]
fn under_policy_local_a_route_that_changes_during_an_api_outage_is_unknown() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.attached("n1", Family::V4.node(1)).attached("n2", Family::V4.node(2));
    leaf.service("web", Local, &[vip]).ready("web", &["n1"]).bgp(vip, &[Family::V4.node(1)]);
    leaf.pass(Duration::from_secs(60)).lost(SourceId::Kubernetes(C1.into())).expect(vip, Up, None, &[]);
    leaf.pass(Duration::from_secs(60)).bgp(vip, &[Family::V4.node(2)]);
    leaf.expect(vip, Unknown, Some(Reason::IntentStale), &[&C1]);
    leaf.withdraw(vip).expect(vip, Unknown, Some(Reason::IntentStale), &[]);
    leaf.bgp(vip, &[Family::V4.node(1)]).expect(vip, Up, None, &[]);
    leaf.bgp(vip, &[Family::V4.node(2)]).source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[]);
}

#[test]
fn an_excluded_node_need_not_be_located() {
    let mut leaf = leaf(Speaker::Metallb);
    let excluded =
        Node { internal: [Family::V4.elsewhere(1)].into(), exclude_label: Some("".into()), ..Node::default() };
    leaf.node_in(C1, "n1", excluded);
    assert_eq!((leaf.node_view("n1").state, leaf.node_view("n1").reason), (Up, None));
}

#[test]
fn a_claim_by_external_ips_is_a_conflict_only_for_the_claimant() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.cluster("c2", |cluster| {
        cluster.source.speaker = Speaker::Generic;
        cluster.source.include_external_ips = true;
    });
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.service_in("c2", "web", Service { external_ips: [vip].into(), ..Service::default() });
    leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("q1", "m1", true, true)]);
    leaf.expect(vip, Up, None, &[]);
}

#[test]
fn a_claim_by_external_ips_from_another_namespace_changes_nothing_for_a_load_balancer() {
    let vip = Family::V4.vip(100);
    for speaker in [Speaker::Generic, Speaker::Cilium, Speaker::Calico, Speaker::KubeRouter] {
        let mut leaf = leaf(speaker);
        leaf.cluster(C1, |cluster| cluster.source.include_external_ips = true);
        for n in 1..=3 {
            leaf.attached(&format!("n{n}"), Family::V4.node(n));
        }
        leaf.service("web", Local, &[vip]).ready("web", &["n1"]);
        leaf.bgp(vip, &[Family::V4.node(1)]).expect(vip, Up, None, &[]);
        let claim = Service { external_ips: [vip].into(), ..Service::default() };
        let service = ServiceKey::new("tenant", "claim");
        leaf.kubernetes(C1, ClusterEvent::Services(Update::Set(service.clone(), claim)));
        let endpoints = [1, 2, 3].map(|n| endpoint(&format!("q{n}"), &format!("n{n}"), true, true)).into();
        let slice = EndpointSlice { service, family: AddressFamily::Ipv4, endpoints };
        let key = SliceKey { namespace: "tenant".into(), name: "claim".into() };
        leaf.kubernetes(C1, ClusterEvent::EndpointSlices(Update::Set(key, slice)));
        leaf.expect(vip, Up, None, &[]);
    }
}

#[test]
fn an_unknown_next_hop_may_belong_to_another_cluster_that_claims_the_vip() {
    let (vip, hop) = (Family::V4.vip(100), ip("10.9.9.1"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[Family::V4.elsewhere(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.up(hop).bgp(vip, &[hop]).expect(vip, Up, Some(Reason::NextHopUnmapped), &[&hop]);
    leaf.cluster("c2", |cluster| {
        cluster.source.speaker = Speaker::Generic;
        cluster.source.include_external_ips = true;
    });
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.service_in("c2", "web", Service { external_ips: [vip].into(), ..Service::default() });
    leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[&hop]);
}

#[test]
fn an_unlocated_announcer_explains_one_next_hop_at_most() {
    let vip = Family::V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[Family::V4.elsewhere(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.up(ip("10.9.9.1")).bgp(vip, &[ip("10.9.9.1")]).expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
    leaf.bgp(vip, &[ip("10.9.9.1"), ip("10.9.9.2")]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&"10.9.9.2"]);
}

#[test]
fn a_static_route_is_reported_as_such() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.route_of(VRF, vip.into(), STATIC, &[ip("192.168.1.50")]);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&"static route", &"192.168.1.50"]);
}

#[test]
fn a_vip_that_a_server_answers_arp_for_is_not_a_black_hole() {
    let vip = ip("192.168.1.77");
    for (policy, state) in [(Cluster, Up), (Local, Unknown)] {
        let mut leaf = attached(Speaker::Metallb, Family::V4);
        leaf.route_of(VRF, net("192.168.1.0/24"), INTERFACE, &[]);
        leaf.service("web", policy, &[vip]);
        leaf.expect(vip, Down, Some(Reason::NoRoute), &[&"192.168.1.0/24"]);
        leaf.route_of(VRF, vip.into(), ARP_ND, &[vip]).expect(vip, state, Some(Reason::NextHopUnmapped), &[&"ARP"]);
        assert_eq!(leaf.next_hop("web", vip, vip).kind, NextHopKind::L2);
        // The entry ages out because nobody resolves it any more.
        leaf.withdraw(vip).expect(vip, Unknown, Some(Reason::ArpUnresolved), &[]);
    }
}

#[test]
fn without_bgp_neighbors_a_vip_in_the_subnet_of_nodes_is_announced_by_arp() {
    let vip = ip("192.168.1.77");
    let mut leaf = leaf(Speaker::Metallb);
    leaf.node("n1", &[Family::V4.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, net("10.0.0.0/8"), BGP_EVPN, &[vtep(9)]);
    leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    leaf.route_of(VRF, net("192.168.1.0/24"), INTERFACE, &[]).expect(vip, Unknown, Some(Reason::ArpUnresolved), &[]);
}

#[test]
fn a_vip_once_announced_by_bgp_is_not_taken_for_an_l2_vip() {
    let vip = ip("192.168.1.77");
    let mut leaf = leaf(Speaker::Metallb);
    leaf.remote("n1", Family::V4.node(1), 1).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, net("192.168.1.0/24"), INTERFACE, &[]).evpn(vip, &[vtep(1)]).expect(vip, Up, None, &[]);
    leaf.withdraw(vip).expect(vip, Down, Some(Reason::NoRoute), &[]);
}

#[test]
fn a_cluster_configured_to_announce_by_bgp_has_no_route_by_arp() {
    let vip = ip("192.168.1.77");
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.cluster(C1, |cluster| cluster.rules.announcement = AnnouncementMode::Bgp);
    leaf.route_of(VRF, net("192.168.1.0/24"), INTERFACE, &[]).service("web", Cluster, &[vip]);
    leaf.route_of(VRF, vip.into(), ARP_ND, &[vip]).expect(vip, Down, Some(Reason::NoRoute), &[&"ARP"]);
}

#[test]
fn a_route_kept_without_its_session_is_up_only_if_the_node_is_seen_alive() {
    for family in Family::BOTH {
        let (vip, node) = (family.vip(100), family.node(1));
        let mut leaf = attached(Speaker::Metallb, family);
        leaf.session(node, SessionState::Active);
        leaf.expect(vip, Unknown, Some(Reason::SessionDown), &[&node, &"kept"]);
        leaf.route_of(VRF, node.into(), ARP_ND, &[node]).expect(vip, Up, None, &[]);
        leaf.withdraw(node).expect(vip, Unknown, Some(Reason::SessionDown), &[&node]);
        leaf.up(node).expect(vip, Up, None, &[]);
    }
}

#[test]
fn a_route_kept_without_a_session_is_unknown_for_other_clusters_nodes_too() {
    let (vip, theirs) = (Family::V4.vip(100), Family::V4.node(21));
    let mut leaf = leaf(Speaker::Metallb);
    unread_partner(&mut leaf);
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced).service("web", Cluster, &[vip]);
    leaf.node_in("c2", "m1", Node { internal: [theirs].into(), ..Node::default() });
    leaf.service_in("c2", "web", load_balancer(Cluster, &[vip]));
    leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("p1", "m1", true, true)]).bgp(vip, &[theirs]);
    leaf.neighbor(theirs, None, None).expect(vip, Up, Some(Reason::NoReadyEndpoint), &[]);
    leaf.session(theirs, SessionState::Active).expect(vip, Unknown, Some(Reason::SessionDown), &[&theirs]);
    leaf.route_of(VRF, theirs.into(), ARP_ND, &[theirs]).expect(vip, Up, Some(Reason::NoReadyEndpoint), &[]);
    leaf.withdraw(theirs).vanish(theirs).expect(vip, Unknown, Some(Reason::SessionDown), &[&theirs]);
}

#[test]
fn a_reopened_stream_is_not_read_with_the_groups_of_the_former_one() {
    let vip = Family::V4.vip(100);
    let mut leaf = attached(Speaker::Metallb, Family::V4);
    leaf.pass(Duration::from_secs(1)).source(SourceId::Ndk, SourceEvent::Syncing);
    let group = |id, hops: &[std::net::IpAddr]| {
        Event::Switch(SwitchEvent::NextHopGroups(vec![(
            NextHopGroupId(id),
            Some(NextHopGroup { next_hops: hops.into() }),
        )]))
    };
    let hops = [1, 2, 3].map(|n| Family::V4.node(n));
    leaf.event(group(1, &[ip("10.9.9.9")])).expect(vip, Up, None, &[]);
    leaf.event(group(2, &hops));
    let route = Route { owner: BGP, preference: 169, metric: 0, next_hop_group: NextHopGroupId(2) };
    leaf.event(Event::Switch(SwitchEvent::Routes(VRF.into(), vec![(vip.into(), Some(route))])));
    leaf.expect(vip, Up, None, &[]);
    leaf.pass(Duration::from_secs(15)).expect(vip, Unknown, Some(Reason::SwitchStale), &[]);
}

#[test]
fn the_gateway_of_a_static_route_to_a_node_is_that_node() {
    let (vip, loopback, gateway) = (Family::V4.vip(100), ip("10.255.1.11"), ip("10.1.0.11"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.attached("n1", loopback).service("web", Local, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, loopback.into(), STATIC, &[gateway]).route_of(VRF, vip.into(), STATIC, &[gateway]);
    leaf.expect(vip, Up, None, &[]);
    leaf.attached("n2", ip("10.255.1.12")).route_of(VRF, ip("10.255.1.12").into(), STATIC, &[gateway]);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&gateway]);
}

#[test]
fn the_gateway_of_a_static_route_to_a_sharing_clusters_node_is_that_node() {
    let (vip, loopback, gateway) = (Family::V4.vip(100), ip("10.255.1.21"), ip("10.1.0.21"));
    let mut leaf = leaf(Speaker::Metallb);
    unread_partner(&mut leaf);
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced).service("web", Cluster, &[vip]);
    leaf.node_in("c2", "m1", Node { internal: [loopback].into(), ..Node::default() }).up(loopback);
    leaf.service_in("c2", "web", load_balancer(Cluster, &[vip]));
    leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("p1", "m1", true, true)]);
    leaf.route_of(VRF, loopback.into(), STATIC, &[gateway]).bgp(vip, &[gateway]);
    leaf.expect(vip, Up, Some(Reason::NoReadyEndpoint), &[&"another cluster"]);
}

#[test]
fn a_remote_node_reached_by_a_static_route_is_not_missed_at_its_leaf() {
    let (vip, remote, loopback, gateway) =
        (Family::V4.vip(100), Family::V4.node(1), ip("10.255.1.11"), ip("10.1.0.11"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.remote("n1", remote, 1).node("n1", &[remote, loopback]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.bgp(vip, &[gateway]).expect(vip, Down, Some(Reason::NextHopUnexpected), &[&gateway]);
    leaf.route_of(VRF, loopback.into(), STATIC, &[gateway]).expect(vip, Up, None, &[]);
}

#[test]
fn an_address_in_a_static_route_or_with_an_idle_session_may_be_dead() {
    let (vip, hop) = (Family::V4.vip(100), Family::V4.elsewhere(9));
    let mut leaf = leaf(Speaker::Generic);
    leaf.node("n1", &[Family::V4.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
    leaf.route_of(VRF, vip.into(), STATIC, &[hop]).expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[&hop]);
    leaf.bgp(vip, &[hop]).up(hop).expect(vip, Up, Some(Reason::NextHopUnmapped), &[&hop]);
    leaf.session(hop, SessionState::Active).expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[&hop]);
}

#[test]
fn a_leaf_with_nodes_may_also_have_transit_behind_it() {
    let (vip, router) = (Family::V4.vip(100), ip("10.1.0.5"));
    let mut leaf = leaf(Speaker::Metallb);
    leaf.remote("n1", Family::V4.node(1), 1).remote("n2", Family::V4.node(2), 2).evpn(router, &[vtep(1)]);
    leaf.service("web", Local, &[vip]).ready("web", &["n2"]).evpn(vip, &[vtep(1)]);
    leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&vtep(1)]);
    leaf.cluster(C1, |cluster| cluster.rules.transit_addresses = [router].into());
    leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[&vtep(1)]);
    leaf.service("web", Cluster, &[vip]).expect(vip, Up, None, &[]);
}

#[test]
fn nodes_of_a_sharing_cluster_serve_a_vip_without_endpoints_here() {
    let (vip, theirs) = (Family::V4.vip(100), Family::V4.node(21));
    let mut leaf = leaf(Speaker::Metallb);
    unread_partner(&mut leaf);
    leaf.attached("n1", Family::V4.node(1)).service("web", Cluster, &[vip]);
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.node_in("c2", "m1", Node { internal: [theirs].into(), ..Node::default() });
    leaf.service_in("c2", "web", load_balancer(Cluster, &[vip]));
    leaf.bgp(vip, &[theirs]).expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
    let slice = EndpointSlice {
        service: key("web"),
        family: AddressFamily::Ipv4,
        endpoints: [endpoint("p1", "m1", true, true)].into(),
    };
    let name = SliceKey { namespace: "default".into(), name: "web".into() };
    leaf.kubernetes("c2", ClusterEvent::EndpointSlices(Update::Set(name, slice)));
    leaf.expect(vip, Up, Some(Reason::NoReadyEndpoint), &[&"another cluster"]);
}

#[test]
fn a_range_carries_a_policy_local_vip_without_a_longer_prefix() {
    let vip = ip("10.9.9.100");
    let mut leaf = leaf(Speaker::Calico);
    let configuration =
        CalicoConfiguration { load_balancer: [net("10.9.9.0/24")].into(), external: [].into(), aggregation: true };
    let resource = SpeakerResource::CalicoConfigurations;
    let default = ObjectKey { namespace: None, name: "default".into() };
    let object = vec![(default, SpeakerObject::CalicoConfiguration(configuration))];
    leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(resource, Update::All(object)));
    leaf.kubernetes(C1, ClusterEvent::SpeakerResource(resource, ResourceState::Watched));
    leaf.attached("n1", Family::V4.node(1)).attached("n2", Family::V4.node(2));
    leaf.service("web", Local, &[vip]).slice(C1, "web", AddressFamily::Ipv4, &[endpoint("p1", "n1", false, true)]);
    leaf.route_of(VRF, net("10.9.9.0/24"), BGP, &[Family::V4.node(1), Family::V4.node(2)]);
    leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&Family::V4.node(2)]);
    leaf.route_of(VRF, net("10.9.9.0/24"), BGP, &[Family::V4.node(1)]);
    leaf.expect(vip, Up, Some(Reason::CoveredByAggregate), &[]);
}
