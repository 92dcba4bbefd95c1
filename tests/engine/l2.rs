//! Tests of VIPs announced by ARP and ND, for which the MAC address identifies the node that answers.

use std::net::IpAddr;

use srl_k8s_services::model::cluster::Service;
use srl_k8s_services::model::cluster::TrafficPolicy::{self, Cluster, Local};
use srl_k8s_services::model::config::{AnnouncementMode, ClusterConfig, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Event, SwitchEvent, Update};
use srl_k8s_services::model::inquiry::{AddressKey, Answer, Asking, Down as PortDown, Finding, Place, Question};
use srl_k8s_services::model::names::ServiceKey;
use srl_k8s_services::model::selector::{Operator, Requirement, Selector};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::speaker::{
    CiliumL2Policy, MetallbAdvertisement, MetallbL2Advertisement, MetallbPools, ObjectKey, Pool, ResourceState,
    SpeakerObject, SpeakerResource, StatusKey,
};
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::ProbableCause;
use srl_k8s_services::model::verdict::Reason::{
    AddressConflict, ArpUnresolved, NextHopUnexpected, NextHopUnmapped, NoAnnouncer, NoRoute,
};

use crate::scenario::{C1, Family, Scenario, VRF, cluster_config, ip, load_balancer, net};

const ARP_ND: u32 = 11;
const INTERFACE: u32 = 12;

fn vip() -> IpAddr {
    ip("192.168.1.77")
}

/// A leaf with three nodes in ARP, of which n1 and n2 have an endpoint, and a VIP for which something answers.
fn leaf(speaker: Speaker, policy: TrafficPolicy) -> Scenario {
    let mut config = cluster_config(speaker);
    config.rules.announcement = AnnouncementMode::L2;
    let mut leaf = unasked(config, policy);
    leaf.route_of(VRF, vip().into(), ARP_ND, &[vip()]);
    leaf
}

/// A leaf like that of [`leaf`], on which the VIP has not been resolved yet.
fn unasked(config: ClusterConfig, policy: TrafficPolicy) -> Scenario {
    let mut leaf = Scenario::with(config);
    for (id, owner) in [(ARP_ND, "arp_nd_mgr"), (INTERFACE, "net_inst_mgr")] {
        leaf.event(Event::Switch(SwitchEvent::Application(id, Some(owner.into()))));
    }
    leaf.route_of(VRF, net("192.168.1.0/24"), INTERFACE, &[]);
    for number in 1..=3 {
        let address = Family::V4.node(number);
        leaf.node(&format!("n{number}"), &[address]).route_of(VRF, address.into(), ARP_ND, &[address]);
    }
    leaf.service("web", policy, &[vip()]).ready("web", &["n1", "n2"]);
    leaf
}

/// Sets what ARP says about an address at a second.
fn resolve(leaf: &mut Scenario, second: i64, address: IpAddr, mac: &str) {
    let place = Place { answers: true, is_known: true, link_layer_address: Some(mac.into()), ..Place::default() };
    let at = Timestamp::from_second(1_800_000_000 + second).expect("a moment");
    let key = AddressKey { network_instance: VRF.into(), address };
    leaf.event(Event::Finding(Question::Place(key), Finding { at, answer: Answer::Place(place) }));
}

/// Resolves nodes to the MACs 01 to 03.
fn resolve_nodes(leaf: &mut Scenario, numbers: std::ops::RangeInclusive<u8>) {
    for number in numbers {
        resolve(leaf, 0, Family::V4.node(number), &format!("aa:00:00:00:00:0{number}"));
    }
}

#[test]
fn the_node_whose_mac_answers_arp_is_the_next_hop() {
    for policy in [Cluster, Local] {
        let mut leaf = leaf(Speaker::Metallb, policy);
        resolve_nodes(&mut leaf, 1..=3);
        resolve(&mut leaf, 1, vip(), "AA:00:00:00:00:01");
        leaf.expect(vip(), Up, None, &[]);
        assert_eq!(leaf.next_hop("web", vip(), vip()).node, Some("n1".into()));
    }
}

#[test]
fn an_answering_node_without_an_endpoint_is_a_black_hole_under_policy_local() {
    let mut leaf = leaf(Speaker::Metallb, Local);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:03");
    leaf.expect(vip(), Down, Some(NextHopUnexpected), &[&"n3"]);
    resolve(&mut leaf, 11, vip(), "aa:00:00:00:00:02");
    leaf.expect(vip(), Up, None, &[]);
}

#[test]
fn a_foreign_host_is_recognized_only_if_the_mac_of_every_node_is_known() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    resolve_nodes(&mut leaf, 1..=2);
    leaf.expect(vip(), Up, Some(NextHopUnmapped), &[&"does not report its MAC"]);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:99");
    leaf.expect(vip(), Unknown, Some(NextHopUnmapped), &[&"no node is known to have"]);
    resolve_nodes(&mut leaf, 3..=3);
    leaf.expect(vip(), Down, Some(NextHopUnexpected), &[&"no node has"]);
}

#[test]
fn an_arp_entry_that_alternates_means_two_hosts_answer() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    resolve_nodes(&mut leaf, 1..=3);
    for (second, mac) in [(1, "aa:00:00:00:00:01"), (11, "aa:00:00:00:00:99"), (21, "aa:00:00:00:00:01")] {
        resolve(&mut leaf, second, vip(), mac);
    }
    let hosts = "they are aa:00:00:00:00:01 (n1) and aa:00:00:00:00:99 (no known node)";
    leaf.expect(vip(), Degraded, Some(AddressConflict), &[&"two answer", &hosts]);
    resolve(&mut leaf, 61, vip(), "aa:00:00:00:00:01");
    leaf.expect(vip(), Degraded, Some(AddressConflict), &[]);
    resolve(&mut leaf, 91, vip(), "aa:00:00:00:00:01");
    leaf.expect(vip(), Up, None, &[]);
}

#[test]
fn a_vip_that_moves_once_is_not_a_conflict() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:01");
    resolve(&mut leaf, 11, vip(), "aa:00:00:00:00:02");
    leaf.expect(vip(), Up, None, &[]);
}

#[test]
fn an_arp_entry_of_a_node_that_kube_vip_did_not_elect_is_stale() {
    let mut leaf = leaf(Speaker::KubeVip, Cluster);
    let mut service = load_balancer(Cluster, &[vip()]);
    service.hints.kube_vip_host = Some("n2".into());
    leaf.service_in(C1, "web", service);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:01");
    leaf.expect(vip(), Degraded, Some(NextHopUnexpected), &[&"n1", &"elected n2"]);
    resolve(&mut leaf, 11, vip(), "aa:00:00:00:00:02");
    leaf.expect(vip(), Up, None, &[]);
}

#[test]
fn the_arp_entry_of_a_node_does_not_prove_it_alive() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:01");
    leaf.withdraw(Family::V4.node(1));
    leaf.expect(vip(), Unknown, Some(NextHopUnmapped), &[&"alive"]);
}

/// Tells where an address was last plugged in, and whether it answers there.
fn place(leaf: &mut Scenario, address: IpAddr, place: Place) {
    let at = Timestamp::from_second(1_800_000_100).expect("a moment");
    let key = AddressKey { network_instance: VRF.into(), address };
    leaf.tell(Event::Finding(Question::Place(key), Finding { at, answer: Answer::Place(place) }));
}

fn plugged_in(mac: &str) -> Place {
    Place {
        is_known: true,
        subinterface: Some("irb1.1".into()),
        port: Some("ethernet-1/1".into()),
        link_layer_address: Some(mac.into()),
        ..Place::default()
    }
}

fn cut_off(mac: &str) -> Place {
    let port_down = Some(PortDown { reason: Some("lower-layer-down".into()), since: None });
    Place { port_down, ..plugged_in(mac) }
}

#[test]
fn a_node_that_has_the_vip_and_does_not_answer_itself_is_the_cause() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:01");
    let cause = |leaf: &Scenario| leaf.vip_view("web", vip()).cause.clone();
    assert_eq!(cause(&leaf), None);
    let node = Family::V4.node(1);
    leaf.withdraw(node).expect(vip(), Unknown, Some(NextHopUnmapped), &[&"alive"]);
    let key = AddressKey { network_instance: VRF.into(), address: node };
    assert_eq!(leaf.said.asked.get(&Question::Place(key)), Some(&Asking::Repeatedly));
    assert_eq!(cause(&leaf), None, "nothing is guessed");
    place(&mut leaf, node, plugged_in("aa:00:00:00:00:01"));
    let found = cause(&leaf).expect("a cause");
    assert_eq!(found.probable, ProbableCause::NodeUnreachable);
    assert!(found.detail.contains("192.168.1.11 does not answer ARP or ND here; it was on irb1.1"), "{}", found.detail);
    place(&mut leaf, node, cut_off("aa:00:00:00:00:01"));
    let found = cause(&leaf).expect("a cause");
    assert_eq!(found.probable, ProbableCause::InterfaceDown);
    assert!(found.detail.starts_with("ethernet-1/1 is down (lower-layer-down)"), "{}", found.detail);
    leaf.lost(SourceId::Gnmi);
    assert_eq!(cause(&leaf), None, "nobody knows any more");
}

#[test]
fn an_arp_entry_that_went_with_its_port_is_explained_by_the_port() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    resolve_nodes(&mut leaf, 1..=3);
    let key = AddressKey { network_instance: VRF.into(), address: vip() };
    let at = Timestamp::from_second(1_800_000_001).expect("a moment");
    let answering = Place { answers: true, ..plugged_in("aa:00:00:00:00:01") };
    leaf.event(Event::Finding(Question::Place(key), Finding { at, answer: Answer::Place(answering) }));
    leaf.expect(vip(), Up, None, &[]);
    leaf.withdraw(vip()).expect(vip(), Unknown, Some(ArpUnresolved), &[]);
    let key = AddressKey { network_instance: VRF.into(), address: vip() };
    assert_eq!(leaf.said.asked.get(&Question::Place(key.clone())), Some(&Asking::Repeatedly));
    place(&mut leaf, vip(), plugged_in("aa:00:00:00:00:01"));
    assert_eq!(leaf.vip_view("web", vip()).cause, None, "an entry that is only gone is no fault");
    place(&mut leaf, vip(), cut_off("aa:00:00:00:00:01"));
    let found = leaf.vip_view("web", vip()).cause.clone().expect("a cause");
    assert_eq!(found.probable, ProbableCause::InterfaceDown);
    assert!(found.detail.ends_with("192.168.1.77 is plugged in there with MAC aa:00:00:00:00:01"), "{}", found.detail);
    leaf.route_of(VRF, vip().into(), ARP_ND, &[vip()]);
    resolve(&mut leaf, 101, vip(), "aa:00:00:00:00:01");
    leaf.expect(vip(), Up, None, &[]);
    assert_eq!(leaf.vip_view("web", vip()).cause, None);
    // Where nobody has asked for the VIP, there is nothing to look into.
    let mut config = cluster_config(Speaker::Metallb);
    config.rules.announcement = AnnouncementMode::L2;
    let leaf = unasked(config, Cluster);
    assert!(!leaf.said.asked.contains_key(&Question::Place(key)));
}

#[test]
fn no_arp_entry_makes_a_vip_down_while_gnmi_is_lost() {
    let mut leaf = leaf(Speaker::Metallb, Local);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:03");
    leaf.lost(SourceId::Gnmi).expect(vip(), Unknown, Some(NextHopUnmapped), &[]);
}

#[test]
fn while_an_l2_vip_is_up_its_entry_is_followed_and_nodes_are_asked_once() {
    let mut leaf = leaf(Speaker::Metallb, Cluster);
    let asked = |leaf: &Scenario, address: IpAddr| {
        let key = AddressKey { network_instance: VRF.into(), address };
        leaf.asked.get(&Question::Place(key)).copied()
    };
    assert_eq!(asked(&leaf, vip()), Some(Asking::Followed));
    assert_eq!(asked(&leaf, Family::V4.node(1)), Some(Asking::Once(None)));
    // The MAC of no known node. A node may have got another one since it was asked.
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:99");
    leaf.expect(vip(), Down, Some(NextHopUnexpected), &[&"no node has"]);
    assert_eq!(asked(&leaf, vip()), Some(Asking::Watched));
    assert_eq!(asked(&leaf, Family::V4.node(1)), Some(Asking::Repeatedly));
    resolve(&mut leaf, 2, Family::V4.node(1), "aa:00:00:00:00:99");
    leaf.expect(vip(), Up, None, &[]);
    assert_eq!(asked(&leaf, vip()), Some(Asking::Followed));
    assert_eq!(asked(&leaf, Family::V4.node(1)), Some(Asking::Once(None)));
    leaf.withdraw(vip()).expect(vip(), Unknown, Some(ArpUnresolved), &[]);
    assert_eq!(asked(&leaf, vip()), None);
}

/// Sends all objects of a resource that may be read.
fn resource(leaf: &mut Scenario, resource: SpeakerResource, objects: &[SpeakerObject]) {
    let named = objects.iter().enumerate();
    let key = |number: usize| ObjectKey { namespace: None, name: format!("object-{number}").into() };
    let all = named.map(|(number, object)| (key(number), object.clone())).collect();
    leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(resource, Update::All(all)));
    leaf.kubernetes(C1, ClusterEvent::SpeakerResource(resource, ResourceState::Watched));
}

/// It is not configured how VIPs are announced, and a node also has a session.
fn undecided(speaker: Speaker) -> Scenario {
    let mut leaf = unasked(cluster_config(speaker), Cluster);
    leaf.up(Family::V4.node(1));
    leaf
}

/// Sends MetalLB's pool of the VIP, and BGPAdvertisements and L2Advertisements for pools with these names.
fn advertise(leaf: &mut Scenario, by_bgp: &[&str], by_l2: &[&str]) {
    let pool = Pool { prefixes: [net("192.168.1.64/26")].into(), ..Pool::default() };
    let of = |name: &&str| MetallbPools { names: [(*name).into()].into(), ..MetallbPools::default() };
    let bgp =
        |name| SpeakerObject::MetallbAdvertisement(MetallbAdvertisement { pools: of(name), ..Default::default() });
    let l2 = |name| SpeakerObject::MetallbL2Advertisement(MetallbL2Advertisement { pools: of(name) });
    resource(leaf, SpeakerResource::MetallbPools, &[SpeakerObject::Pool(pool)]);
    resource(leaf, SpeakerResource::MetallbAdvertisements, &by_bgp.iter().map(bgp).collect::<Vec<_>>());
    resource(leaf, SpeakerResource::MetallbL2Advertisements, &by_l2.iter().map(l2).collect::<Vec<_>>());
}

#[test]
fn a_pool_selected_only_by_an_l2_advertisement_needs_no_bgp_route() {
    for (by_bgp, by_l2, state, reason) in [
        (&[][..], &["object-0"][..], Unknown, ArpUnresolved),
        (&["other"], &["other", "object-0"], Unknown, ArpUnresolved),
        (&["object-0"], &["object-0"], Down, NoRoute),
        (&[], &["other"], Down, NoAnnouncer),
    ] {
        let mut leaf = undecided(Speaker::Metallb);
        advertise(&mut leaf, by_bgp, by_l2);
        leaf.expect(vip(), state, Some(reason), &[]);
    }
}

#[test]
fn an_arp_entry_of_a_node_not_named_in_metallbs_status_is_stale() {
    let mut leaf = undecided(Speaker::Metallb);
    advertise(&mut leaf, &[], &["object-0"]);
    leaf.route_of(VRF, vip().into(), ARP_ND, &[vip()]);
    resolve_nodes(&mut leaf, 1..=3);
    resolve(&mut leaf, 1, vip(), "aa:00:00:00:00:01");
    leaf.expect(vip(), Up, None, &[]);
    let status = |node: &str| StatusKey { service: ServiceKey::new("default", "web"), node: node.into(), object: 7 };
    let reports = |leaf: &mut Scenario, update| {
        leaf.kubernetes(C1, ClusterEvent::Announcements(SpeakerResource::MetallbL2Statuses, update));
    };
    leaf.kubernetes(C1, ClusterEvent::SpeakerResource(SpeakerResource::MetallbL2Statuses, ResourceState::Watched));
    reports(&mut leaf, Update::Set(status("n2"), ()));
    leaf.expect(vip(), Degraded, Some(NextHopUnexpected), &[&"n1", &"elected n2"]);
    // While it moves, both nodes have a status.
    reports(&mut leaf, Update::Set(status("n1"), ()));
    leaf.expect(vip(), Up, None, &[]);
    reports(&mut leaf, Update::Gone(status("n1")));
    resolve(&mut leaf, 11, vip(), "aa:00:00:00:00:02");
    leaf.expect(vip(), Up, None, &[]);
}

#[test]
fn cilium_answers_arp_for_services_selected_by_policy_or_class() {
    let blue = Selector([Requirement { label: "color".into(), operator: Operator::Exists }].into());
    let policy = |service_selector| {
        SpeakerObject::CiliumL2Policy(CiliumL2Policy { service_selector, load_balancer: true, external: false })
    };
    for (policies, class, l2) in [
        (vec![policy(None)], None, true),
        (vec![policy(Some(blue.clone()))], None, false),
        (vec![], Some("io.cilium/l2-announcer"), true),
        (vec![policy(None)], Some("io.cilium/bgp-control-plane"), true),
    ] {
        let mut leaf = undecided(Speaker::Cilium);
        for other in [SpeakerResource::CiliumAdvertisements, SpeakerResource::CiliumPeers] {
            resource(&mut leaf, other, &[]);
        }
        resource(&mut leaf, SpeakerResource::CiliumL2Policies, &policies);
        let service = Service { class: class.map(Into::into), ..load_balancer(Cluster, &[vip()]) };
        leaf.service_in(C1, "web", service);
        match l2 {
            true => leaf.expect(vip(), Unknown, Some(ArpUnresolved), &[]),
            false => leaf.expect(vip(), Down, Some(NoRoute), &[]),
        };
    }
}
