//! Tests of how resources and reports of speakers change who is expected to announce.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::TrafficPolicy::{self, Cluster, Local};
use srl_k8s_services::model::cluster::{AddressFamily, Node, Service};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Event, SwitchEvent, Update};
use srl_k8s_services::model::names::ServiceKey;
use srl_k8s_services::model::selector::{Labels, Operator, Requirement, Selector};
use srl_k8s_services::model::speaker::{
    CalicoConfiguration, CalicoPeer, CiliumAdvertisement, CiliumCluster, CiliumNode, CiliumPeer, CiliumServices,
    Lengths, MetallbAdvertisement, MetallbPeer, ObjectKey, Pool, ResourceState, SpeakerObject, SpeakerResource,
    StatusKey,
};
use srl_k8s_services::model::switch::{Neighbor, SessionState};
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::{AddressSource, Reason};

use crate::scenario::{
    BGP, BGP_EVPN, C1, Family, Scenario, VRF, cluster_config, endpoint, ip, load_balancer, net, vtep,
};

const V4: Family = Family::V4;
const HOST_NAME: &str = "kubernetes.io/hostname";

fn vip() -> IpAddr {
    V4.vip(100)
}

impl Scenario {
    fn resource(&mut self, resource: SpeakerResource, state: ResourceState) -> &mut Self {
        self.kubernetes(C1, ClusterEvent::SpeakerResource(resource, state))
    }

    /// Sets all objects of a resource.
    fn has(&mut self, resource: SpeakerResource, objects: &[(&str, SpeakerObject)]) -> &mut Self {
        let objects = objects.iter().map(|(name, object)| (key(name), object.clone())).collect();
        self.kubernetes(C1, ClusterEvent::SpeakerObjects(resource, Update::All(objects)));
        self.resource(resource, ResourceState::Watched)
    }

    /// Lets the speakers of these nodes report that they announce the service.
    fn statuses(&mut self, nodes: &[&str]) -> &mut Self {
        let all = nodes.iter().map(|node| (status(node, 0), ())).collect();
        self.kubernetes(C1, ClusterEvent::Announcements(SpeakerResource::MetallbStatuses, Update::All(all)));
        self.resource(SpeakerResource::MetallbStatuses, ResourceState::Watched)
    }

    fn status(&mut self, update: Update<StatusKey, ()>) -> &mut Self {
        self.kubernetes(C1, ClusterEvent::Announcements(SpeakerResource::MetallbStatuses, update))
    }

    /// Puts the n-th node into a rack.
    fn rack(&mut self, n: u8, rack: &str) -> &mut Self {
        let labels = [("rack", rack)].into_iter().collect();
        self.node_in(C1, &format!("n{n}"), Node { internal: [V4.node(n)].into(), labels, ..Node::default() })
    }

    fn by_nodes(&mut self, nodes: &[u8]) -> &mut Self {
        let hops: Vec<_> = nodes.iter().map(|n| V4.node(*n)).collect();
        self.bgp(vip(), &hops)
    }

    /// Returns the number of VIPs that each of the two nodes should announce.
    fn counts(&self) -> (u32, u32) {
        (self.node_view("n1").expected_vips, self.node_view("n2").expected_vips)
    }

    fn detail(&self) -> &str {
        self.vip_view("web", vip()).verdict.detail.as_deref().unwrap_or_default()
    }

    #[track_caller]
    fn nobody(&mut self, words: &str) {
        self.expect(vip(), Down, Some(Reason::NoAnnouncer), &[&words]);
    }

    #[track_caller]
    fn nodes(&self, expected: &[&str]) {
        assert_eq!(self.expected(vip()), expected);
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: None, name: name.into() }
}

fn status(node: &str, object: u64) -> StatusKey {
    StatusKey { service: ServiceKey::new("default", "web"), node: node.into(), object }
}

fn selects(label: &str, value: &str) -> Selector {
    let operator = Operator::In([Arc::from(value)].into());
    Selector([Requirement { label: label.into(), operator }].into())
}

fn pool(prefix: &str) -> SpeakerObject {
    SpeakerObject::Pool(Pool { prefixes: [net(prefix)].into(), ..Pool::default() })
}

fn advertisement(change: impl FnOnce(&mut MetallbAdvertisement)) -> SpeakerObject {
    let mut advertisement = MetallbAdvertisement::default();
    change(&mut advertisement);
    SpeakerObject::MetallbAdvertisement(advertisement)
}

fn on_rack(rack: &str) -> SpeakerObject {
    advertisement(|a| a.node_selectors = [selects("rack", rack)].into())
}

/// Two attached nodes in separate racks, with an endpoint each.
fn two_racks(speaker: Speaker) -> Scenario {
    let mut leaf = Scenario::with(cluster_config(speaker));
    leaf.rack(1, "1").rack(2, "2").up(V4.node(1)).up(V4.node(2));
    leaf.service("web", Cluster, &[vip()]).ready("web", &["n1", "n2"]);
    leaf
}

/// Two nodes in separate racks, with a pool and these advertisements.
fn metallb(advertisements: &[(&str, SpeakerObject)]) -> Scenario {
    let mut leaf = two_racks(Speaker::Metallb);
    leaf.has(SpeakerResource::MetallbPools, &[("vips", pool("1.1.1.0/24"))]);
    leaf.has(SpeakerResource::MetallbAdvertisements, advertisements);
    leaf
}

#[test]
fn only_nodes_selected_by_an_advertisement_are_expected() {
    metallb(&[("a", on_rack("1")), ("b", on_rack("2"))]).nodes(&["n1", "n2"]);
    let mut leaf = metallb(&[("a", on_rack("1"))]);
    leaf.nodes(&["n1"]);
    leaf.by_nodes(&[1]).expect(vip(), Up, None, &[]);
    assert_eq!(leaf.counts(), (1, 0));
    leaf.rack(1, "2").rack(2, "1").nodes(&["n2"]);
    assert_eq!(leaf.counts(), (0, 1), "labels move a node out and in");
}

#[test]
fn a_vip_that_no_advertisement_announces_names_the_object_at_fault() {
    let other = advertisement(|a| a.service_selectors = [selects("app", "other")].into());
    let elsewhere = advertisement(|a| a.pools.names = ["others".into()].into());
    for (advertisements, words) in [
        (vec![], "no BGPAdvertisement exists"),
        (vec![("a", on_rack("9"))], "BGPAdvertisement a selects no node that may announce"),
        (vec![("a", other)], "no BGPAdvertisement of IPAddressPool vips selects the service by its labels"),
        (vec![("a", elsewhere)], "no BGPAdvertisement selects IPAddressPool vips"),
    ] {
        metallb(&advertisements).nobody(words);
    }
    let mut leaf = two_racks(Speaker::Metallb);
    leaf.has(SpeakerResource::MetallbPools, &[("vips", pool("9.9.9.0/24"))]);
    leaf.has(SpeakerResource::MetallbAdvertisements, &[("a", advertisement(|_| {}))]);
    leaf.nobody("no IPAddressPool holds all addresses");
}

#[test]
fn a_route_that_no_advertisement_explains_is_still_up() {
    metallb(&[]).by_nodes(&[1]).expect(vip(), Up, None, &[]);
}

#[test]
fn advertisements_with_conflicting_attributes_for_one_prefix_announce_nothing() {
    let chosen = || Selector([Requirement { label: "none".into(), operator: Operator::DoesNotExist }].into());
    let of = |preference| {
        advertisement(|a| {
            a.local_preference = preference;
            a.service_selectors = [chosen()].into();
        })
    };
    let prepended = advertisement(|a| (a.local_preference, a.prepended) = (100, 2));
    let preferred = advertisement(|a| a.local_preference = 200);
    let aggregated = advertisement(|a| a.lengths.v6 = Some(64));
    for other in [of(200), preferred, prepended, aggregated] {
        metallb(&[("a", of(100)), ("b", other)]).nobody("a, b selects no node");
    }
    let shorter = advertisement(|a| {
        a.local_preference = 200;
        a.lengths.v4 = Some(24);
    });
    metallb(&[("a", of(100)), ("b", shorter)]).nodes(&["n1", "n2"]);
}

#[test]
fn advertisements_conflict_only_if_one_peer_would_get_both() {
    let to = |peer: &str, preference| {
        advertisement(|a| {
            a.local_preference = preference;
            a.peers = [peer.into()].into();
            a.service_selectors =
                [Selector([Requirement { label: "none".into(), operator: Operator::DoesNotExist }].into())].into();
        })
    };
    metallb(&[("a", to("tor1", 100)), ("b", to("tor2", 200))]).nodes(&["n1", "n2"]);
    // MetalLB rejects these and keeps its previous configuration.
    let all = |preference| advertisement(|a| a.local_preference = preference);
    metallb(&[("a", all(100)), ("b", all(200))]).nodes(&["n1", "n2"]);
}

#[test]
fn the_longest_announced_prefix_counts_among_several_lengths() {
    let shorter = advertisement(|a| a.lengths.v4 = Some(24));
    let mut leaf = metallb(&[("a", on_rack("1")), ("b", shorter)]);
    leaf.nodes(&["n1"]);
    // A status does not name the prefix.
    leaf.statuses(&["n1", "n2"]).nodes(&["n1"]);
    // The node that announces the longer one has no endpoint.
    leaf.statuses(&[]).service("web", Local, &[vip()]).ready("web", &["n2"]).nodes(&["n2"]);
    // No node announces the longer one any more.
    leaf.service("web", Cluster, &[vip()]).rack(1, "9").nodes(&["n1", "n2"]);
    leaf.rack(1, "1").nodes(&["n1"]);
}

#[test]
fn a_node_without_a_peer_of_the_advertisement_announces_nothing() {
    let peer = |rack: &str| {
        let node_selectors = [selects("rack", rack)].into();
        SpeakerObject::MetallbPeer(MetallbPeer { node_selectors, ..MetallbPeer::default() })
    };
    let peers = [("tor1", peer("1")), ("tor2", peer("2"))];
    let to = |names: &[&str]| {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        advertisement(|a| a.peers = names)
    };
    let mut leaf = metallb(&[("a", to(&["tor2"]))]);
    leaf.has(SpeakerResource::MetallbPeers, &peers).nodes(&["n2"]);
    leaf.has(SpeakerResource::MetallbAdvertisements, &[("a", to(&[]))]).nodes(&["n1", "n2"]);
    leaf.has(SpeakerResource::MetallbPeers, &peers[..1]).nodes(&["n1"]);
}

/// A leaf that is peer `tor1` of its node n1; `tor2` is another switch, and an advertisement goes to these peers.
fn one_of_two_peers(family: Family, to: &[&str]) -> Scenario {
    const INTERFACE: u32 = 12;
    let peer = |address: &str| {
        SpeakerObject::MetallbPeer(MetallbPeer { address: Some(ip(address)), ..MetallbPeer::default() })
    };
    let (pool, own, other, slice) = match family {
        Family::V4 => ("1.1.1.0/24", "192.168.1.1", "192.168.2.1", AddressFamily::Ipv4),
        Family::V6 => ("2001:db8:1::/64", "2001:db8:0:1::1", "2001:db8:0:2::1", AddressFamily::Ipv6),
    };
    let mut leaf = Scenario::new();
    leaf.event(Event::Switch(SwitchEvent::Application(INTERFACE, Some("net_inst_mgr".into()))));
    leaf.route_of(VRF, IpNet::from(ip(own)), INTERFACE, &[]).attached("n1", family.node(1));
    leaf.service("web", Cluster, &[family.vip(100)]).slice(C1, "web", slice, &[endpoint("web-0", "n1", true, true)]);
    leaf.has(SpeakerResource::MetallbPools, &[("vips", self::pool(pool))]);
    leaf.has(SpeakerResource::MetallbPeers, &[("tor1", peer(own)), ("tor2", peer(other))]);
    let peers = to.iter().map(|peer| Arc::from(*peer)).collect();
    leaf.has(SpeakerResource::MetallbAdvertisements, &[("a", advertisement(|a| a.peers = peers))]);
    leaf
}

#[test]
fn a_vip_that_is_announced_to_other_switches_only_is_not_expected_here() {
    for family in Family::BOTH {
        let (vip, node) = (family.vip(100), family.node(1));
        let mut leaf = one_of_two_peers(family, &["tor2"]);
        let words = "BGPAdvertisement a goes to BGPPeers that are other switches, not to this one";
        leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[&words]);
        assert_eq!((leaf.node_view("n1").expected_vips, leaf.node_view("n1").state), (0, Up));
        leaf.evpn(vip, &[vtep(2)]).expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
        assert!(leaf.expected(vip).is_empty());
        // A node behind the other switch is expected there.
        leaf.remote("n2", family.node(2), 2).expect(vip, Up, None, &[]);
        leaf.evpn(vip, &[vtep(3)]).expect(vip, Degraded, Some(Reason::NextHopMissing), &[&vtep(2)]);
        // It serves nevertheless.
        leaf.bgp(vip, &[node]).expect_next_hop(vip, node, Up, Some(Reason::NextHopUnexpected));
    }
}

#[test]
fn a_vip_that_is_announced_to_this_switch_too_is_expected_here() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for to in [&["tor1", "tor2"][..], &["tor1"], &[]] {
            let mut leaf = one_of_two_peers(family, to);
            leaf.expect(vip, Down, Some(Reason::NoRoute), &[&family.node(1)]);
            assert_eq!(leaf.node_view("n1").expected_vips, 1);
            leaf.evpn(vip, &[vtep(2)]).expect(vip, Degraded, Some(Reason::LocalPathUnused), &[]);
        }
    }
}

#[test]
fn a_peer_that_may_be_this_switch_counts_as_this_switch() {
    let family = Family::V4;
    let vip = family.vip(100);
    let expected = |leaf: &Scenario| leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    // None of the node's peers is known to be here.
    let mut leaf = one_of_two_peers(family, &["tor2"]);
    expected(leaf.withdraw(ip("192.168.1.1")));
    // An unnumbered peer is on an interface of the node.
    let mut leaf = one_of_two_peers(family, &["tor3"]);
    let unnumbered = SpeakerObject::MetallbPeer(MetallbPeer::default());
    let set = Update::Set(key("tor3"), unnumbered);
    expected(leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(SpeakerResource::MetallbPeers, set)));
    // Peers may not be read, or be gone.
    let mut leaf = one_of_two_peers(family, &["tor2"]);
    expected(leaf.resource(SpeakerResource::MetallbPeers, ResourceState::Forbidden("".into())));
}

#[test]
fn a_vip_that_one_of_its_services_announces_here_is_expected_here() {
    let family = Family::V4;
    let vip = family.vip(100);
    let mut leaf = one_of_two_peers(family, &["tor2"]);
    let here = advertisement(|a| {
        a.peers = ["tor1".into()].into();
        a.service_selectors = [selects("app", "dns")].into();
    });
    let set = Update::Set(key("b"), here);
    leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(SpeakerResource::MetallbAdvertisements, set));
    leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[]);
    let labels = [("app", "dns")].into_iter().collect();
    leaf.service_in(C1, "dns", Service { labels, ..load_balancer(Cluster, &[vip]) });
    leaf.slice(C1, "dns", AddressFamily::Ipv4, &[endpoint("dns-0", "n1", true, true)]);
    leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
    assert_eq!(leaf.node_view("n1").expected_vips, 1);
    // With endpoints of its own, under policy Local.
    leaf.service("web", Local, &[vip]).expect(vip, Down, Some(Reason::NoRoute), &[]);
    leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(ServiceKey::new("default", "dns"))));
    leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[]);
}

#[test]
fn unread_resources_restrict_no_node() {
    const ADVERTISEMENTS: SpeakerResource = SpeakerResource::MetallbAdvertisements;
    let mut leaf = two_racks(Speaker::Metallb);
    // The first listing is not complete yet.
    let listed = Update::All(vec![(key("a"), on_rack("9"))]);
    leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(ADVERTISEMENTS, listed)).nodes(&["n1", "n2"]);
    for state in [ResourceState::Absent, ResourceState::Forbidden("".into()), ResourceState::TooMany("".into())] {
        let mut leaf = metallb(&[("a", on_rack("9"))]);
        leaf.resource(ADVERTISEMENTS, state.clone()).nodes(&["n1", "n2"]);
        let cluster = &leaf.said.clusters[C1];
        assert_eq!(cluster.speaker_resources[&ADVERTISEMENTS], state);
        assert_eq!((cluster.state, cluster.reason.clone()), (Up, None), "the cluster is none the worse for it");
    }
    let mut leaf = metallb(&[("a", on_rack("9"))]);
    // What was read stays known while it cannot be read again.
    leaf.resource(ADVERTISEMENTS, ResourceState::Failed("".into())).nodes(&[]);
    leaf.cluster(C1, |cluster| cluster.source.speaker = Speaker::Generic).nodes(&["n1", "n2"]);
}

#[test]
fn without_pools_and_advertisements_every_node_is_expected() {
    let mut leaf = two_racks(Speaker::Metallb);
    leaf.has(SpeakerResource::MetallbPools, &[]).has(SpeakerResource::MetallbAdvertisements, &[]).nodes(&["n1", "n2"]);
}

#[test]
fn a_node_whose_speaker_reports_announcing_is_expected_whatever_the_rules_say() {
    let mut leaf = two_racks(Speaker::Metallb);
    let excluded = Node { internal: [V4.node(2)].into(), exclude_label: Some("".into()), ..Node::default() };
    leaf.node_in(C1, "n2", excluded).nodes(&["n1"]);
    leaf.statuses(&["n1", "n2"]).nodes(&["n1", "n2"]);
    assert_eq!(leaf.counts(), (1, 1));
}

#[test]
fn a_node_without_a_status_is_not_expected_if_others_have_one_and_it_is_up() {
    for policy in [Cluster, Local] {
        let mut leaf = two_racks(Speaker::Metallb);
        leaf.service("web", policy, &[vip()]).statuses(&["n1"]).nodes(&["n1"]);
        leaf.by_nodes(&[1]).expect(vip(), Up, None, &[]);
        leaf.status(Update::Set(status("n2", 0), ())).nodes(&["n1", "n2"]);
    }
}

#[test]
fn a_dead_speaker_is_missed_even_after_its_statuses_are_deleted() {
    for dynamic in [false, true] {
        let neighbor = |session| Neighbor { session: Some(session), dynamic, ..Neighbor::default() };
        let mut leaf = two_racks(Speaker::Metallb);
        leaf.set_neighbor(V4.node(2), neighbor(SessionState::Established));
        leaf.statuses(&["n1", "n2"]).by_nodes(&[1, 2]).expect(vip(), Up, None, &[]);
        leaf.set_neighbor(V4.node(2), neighbor(SessionState::Active)).by_nodes(&[1]);
        if dynamic {
            leaf.vanish(V4.node(2));
        }
        leaf.status(Update::Gone(status("n2", 0))).nodes(&["n1", "n2"]);
        leaf.expect(vip(), Degraded, Some(Reason::SessionDown), &[]);
    }
}

#[test]
fn a_node_in_use_by_the_route_announces_even_without_a_status() {
    let mut leaf = two_racks(Speaker::Metallb);
    // A static neighbor that disappears was removed. The node is behind another leaf now.
    leaf.set_neighbor(V4.node(2), Neighbor { session: Some(SessionState::Active), ..Neighbor::default() });
    leaf.vanish(V4.node(2)).remote("n2", V4.node(2), 2).statuses(&["n2"]).by_nodes(&[1]);
    // FRR keeps running when the speaker next to it is gone.
    leaf.nodes(&["n1"]);
    leaf.expect(vip(), Up, None, &[]);
}

#[test]
fn a_second_status_of_a_node_counts_after_the_first_is_deleted() {
    let mut leaf = two_racks(Speaker::Metallb);
    leaf.statuses(&["n1", "n2"]).status(Update::Set(status("n2", 7), ()));
    leaf.status(Update::Gone(status("n2", 0))).nodes(&["n1", "n2"]);
}

#[test]
fn announcers_of_a_service_without_statuses_are_computed() {
    let other = StatusKey { service: ServiceKey::new("default", "other"), ..status("n1", 0) };
    let mut leaf = two_racks(Speaker::Metallb);
    leaf.statuses(&[]).status(Update::Set(other, ())).nodes(&["n1", "n2"]);
    leaf.expect(vip(), Down, Some(Reason::NoRoute), &[]);
}

#[test]
fn statuses_that_can_no_longer_be_listed_are_ignored() {
    for state in [ResourceState::Failed("".into()), ResourceState::Forbidden("".into()), ResourceState::Absent] {
        let mut leaf = two_racks(Speaker::Metallb);
        leaf.statuses(&["n1"]).resource(SpeakerResource::MetallbStatuses, state).nodes(&["n1", "n2"]);
    }
}

#[test]
fn the_aggregate_is_expected_if_the_speaker_aggregates() {
    let aggregated = advertisement(|a| a.lengths = Lengths { v4: Some(24), v6: None });
    let mut leaf = metallb(&[("a", aggregated)]);
    leaf.expect(vip(), Down, Some(Reason::NoRoute), &[&"announce it as 1.1.1.0/24"]);
    leaf.route_of(VRF, V4.aggregate(), BGP, &[V4.node(1), V4.node(2)]);
    leaf.expect(vip(), Up, Some(Reason::CoveredByAggregate), &[&"1.1.1.0/24", &"the prefix it is announced as"]);
}

#[test]
fn routes_in_a_speakers_pool_can_be_orphans_unless_a_filter_hides_services() {
    const POOLS: SpeakerResource = SpeakerResource::MetallbPools;
    let orphans = |leaf: &Scenario| leaf.said.orphans.len();
    let mut leaf = metallb(&[("a", advertisement(|_| {}))]);
    leaf.bgp(ip("1.1.1.7"), &[V4.node(1)]);
    assert_eq!(orphans(&leaf), 1);
    leaf.has(POOLS, &[("vips", pool("1.1.1.64/26"))]);
    assert_eq!(orphans(&leaf), 0);
    leaf.has(POOLS, &[("vips", pool("1.1.1.0/28")), ("more", pool("2.0.0.0/8"))]);
    assert_eq!(orphans(&leaf), 1);
    leaf.cluster(C1, |cluster| cluster.source.namespaces = ["a".into()].into());
    assert_eq!(orphans(&leaf), 0, "a service that is not watched may have it");
    leaf.cluster(C1, |cluster| cluster.rules.vip_pools = [net("1.1.1.0/24")].into());
    assert_eq!(orphans(&leaf), 1, "the operator's own pools count as ever");
}

#[test]
fn a_peer_of_one_node_names_the_address_that_node_peers_from() {
    let peer = |selector: Selector| {
        let source = Some(V4.node(1));
        SpeakerObject::MetallbPeer(MetallbPeer { node_selectors: [selector].into(), source, address: None })
    };
    let mut leaf = Scenario::new();
    for name in ["n1", "n2"] {
        leaf.node_in(C1, name, Node { labels: [(HOST_NAME, name)].into_iter().collect(), ..Node::default() });
    }
    leaf.up(V4.node(1)).service("web", Cluster, &[vip()]).ready("web", &["n1"]);
    leaf.has(SpeakerResource::MetallbPeers, &[("tor", peer(selects(HOST_NAME, "n1")))]);
    let peers = &leaf.node_view("n1").peers;
    assert_eq!((peers[0].source, peers.len()), (AddressSource::Speaker, 1));
    assert!(leaf.node_view("n2").peers.is_empty());
    leaf.has(SpeakerResource::MetallbPeers, &[("tor", peer(Selector::default()))]);
    assert!(leaf.node_view("n1").peers.is_empty(), "one address cannot be that of every node");
}

fn cilium_peer(selector: Option<Selector>) -> SpeakerObject {
    SpeakerObject::CiliumPeer(CiliumPeer { families: [(true, selector)].into() })
}

fn cilium_advertisement(services: CiliumServices) -> SpeakerObject {
    let labels = [("advertise", "bgp")].into_iter().collect();
    SpeakerObject::CiliumAdvertisement(CiliumAdvertisement { labels, services: [services].into() })
}

/// Rack 1 runs BGP by `config`, whose peers have the peer configuration `tor`.
fn cilium(services: CiliumServices, peer: SpeakerObject) -> Scenario {
    let mut leaf = two_racks(Speaker::Cilium);
    let (node_selector, peers) = (Some(selects("rack", "1")), ["tor".into()].into());
    let config = SpeakerObject::CiliumCluster(CiliumCluster { node_selector, peers });
    leaf.has(SpeakerResource::CiliumClusters, &[("config", config)]);
    leaf.has(SpeakerResource::CiliumPeers, &[("tor", peer)]);
    leaf.has(SpeakerResource::CiliumAdvertisements, &[("vips", cilium_advertisement(services))]);
    leaf
}

fn all_balancers() -> CiliumServices {
    CiliumServices { selector: Some(Selector::default()), load_balancer: true, ..CiliumServices::default() }
}

#[test]
fn cilium_announces_services_selected_through_the_nodes_peer_configuration() {
    let bgp = || Some(selects("advertise", "bgp"));
    cilium(all_balancers(), cilium_peer(bgp())).nodes(&["n1"]);
    let unselecting = CiliumServices { selector: None, ..all_balancers() };
    for (services, peer, words) in [
        (unselecting, cilium_peer(bgp()), "no CiliumBGPAdvertisement of LoadBalancerIP selects the service"),
        (all_balancers(), cilium_peer(None), "no CiliumBGPPeerConfig selects CiliumBGPAdvertisement vips for ipv4"),
        (all_balancers(), SpeakerObject::CiliumPeer(CiliumPeer::default()), "for ipv4"),
    ] {
        cilium(services, peer).nobody(words);
    }
    // A service's name counts as a label.
    let named = selects("io.kubernetes.service.name", "web");
    cilium(CiliumServices { selector: Some(named), ..all_balancers() }, cilium_peer(bgp())).nodes(&["n1"]);
}

#[test]
fn the_configuration_cilium_gave_a_node_takes_precedence_over_selectors() {
    let node = CiliumNode { peers: ["tor".into()].into(), local_addresses: [V4.node(2)].into() };
    let mut leaf = cilium(all_balancers(), cilium_peer(Some(Selector::default())));
    leaf.has(SpeakerResource::CiliumNodes, &[("n2", SpeakerObject::CiliumNode(node))]).nodes(&["n2"]);
    assert_eq!(leaf.node_view("n2").peers[0].source, AddressSource::Speaker);
    // Without these resources, it announces by other means.
    leaf.has(SpeakerResource::CiliumNodes, &[]).has(SpeakerResource::CiliumClusters, &[]).nodes(&["n1", "n2"]);
}

#[test]
fn cilium_does_not_aggregate_policy_local() {
    let services = CiliumServices { lengths: Lengths { v4: Some(24), v6: None }, ..all_balancers() };
    let mut leaf = cilium(services, cilium_peer(Some(Selector::default())));
    leaf.expect(vip(), Down, Some(Reason::NoRoute), &[&"as 1.1.1.0/24"]);
    leaf.service("web", Local, &[vip()]).expect(vip(), Down, Some(Reason::NoRoute), &[]);
    assert!(!leaf.detail().contains("1.1.1.0/24"), "{}", leaf.detail());
}

#[test]
fn calico_announces_configured_ranges_and_single_addresses_separately() {
    let calico = |ranges: &[&str], aggregation| {
        let load_balancer = ranges.iter().map(|range| net(range)).collect();
        let configuration = CalicoConfiguration { load_balancer, aggregation, ..CalicoConfiguration::default() };
        let object = SpeakerObject::CalicoConfiguration(configuration);
        let mut leaf = two_racks(Speaker::Calico);
        leaf.has(SpeakerResource::CalicoConfigurations, &[("default", object)]);
        leaf
    };
    let leaf = calico(&["1.1.1.0/24"], true);
    leaf.expect(vip(), Down, Some(Reason::NoRoute), &[&"2 nodes", &"as 1.1.1.0/24"]);
    leaf.nodes(&["n1", "n2"]);
    for (ranges, aggregation) in [(&["1.1.1.0/24", "1.1.1.100/32"][..], true), (&["1.1.1.0/24"], false)] {
        let leaf = calico(ranges, aggregation);
        leaf.expect(vip(), Down, Some(Reason::NoRoute), &[]);
        assert!(!leaf.detail().contains("1.1.1.0/24"), "{}", leaf.detail());
    }
    let mut leaf = calico(&["9.9.9.0/24"], true);
    leaf.nobody("BGPConfiguration default announces no range that holds 1.1.1.100");
    leaf.nobody("serviceLoadBalancerIPs");
    leaf.has(SpeakerResource::CalicoConfigurations, &[]).nobody("no BGPConfiguration default");
}

#[test]
fn a_shared_vip_is_announced_by_the_union_of_nodes_its_services_select() {
    let app = |app: &str, rack: &str| {
        let (service, node) = (selects("app", app), selects("rack", rack));
        advertisement(|a| {
            a.service_selectors = [service].into();
            a.node_selectors = [node].into();
        })
    };
    let of_app = |app: &str| {
        let labels = [("app", app)].into_iter().collect();
        Service { labels, ..load_balancer(Cluster, &[vip()]) }
    };
    let mut leaf = metallb(&[("a", app("a", "1")), ("b", app("b", "2"))]);
    leaf.service_in(C1, "web", of_app("a")).nodes(&["n1"]);
    leaf.service_in(C1, "api", of_app("b")).ready("api", &["n2"]).nodes(&["n1", "n2"]);
    assert_eq!(leaf.counts(), (1, 1));
}

/// A leaf without nodes of a Calico cluster. r1 and r2, behind leaves 1 and 2, speak with switches and reflect the routes
/// of w3 and w4, behind leaves 3 and 4. `web` has an endpoint on one node.
fn reflected(family: Family, policy: TrafficPolicy, on: &str) -> Scenario {
    let mut leaf = Scenario::with(cluster_config(Speaker::Calico));
    for (n, name) in [(1, "r1"), (2, "r2"), (3, "w3"), (4, "w4")] {
        let labels = if n < 3 { [("bgp-rr", "")].into_iter().collect() } else { Labels::default() };
        let node = Node { internal: [family.node(n)].into(), labels, ..Node::default() };
        leaf.node_in(C1, name, node).evpn(family.node(n), &[vtep(n)]);
    }
    let slice = if family == Family::V4 { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
    leaf.service("web", policy, &[family.vip(100)]).slice(C1, "web", slice, &[endpoint("web-0", on, true, true)]);
    let load_balancer = [family.aggregate()].into();
    let configuration = CalicoConfiguration { load_balancer, aggregation: true, ..CalicoConfiguration::default() };
    let configuration = SpeakerObject::CalicoConfiguration(configuration);
    leaf.has(SpeakerResource::CalicoConfigurations, &[("default", configuration)]);
    let requirement = Requirement { label: "bgp-rr".into(), operator: Operator::Exists };
    leaf.has(SpeakerResource::CalicoPeers, &[("tor", calico_peer(Selector([requirement].into()), "192.0.2.1"))]);
    leaf
}

fn calico_peer(selector: Selector, address: &str) -> SpeakerObject {
    SpeakerObject::CalicoPeer(CalicoPeer { node: None, node_selector: Some(selector), address: Some(ip(address)) })
}

#[test]
fn a_range_is_expected_only_of_nodes_that_speak_with_switches() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = reflected(family, Cluster, "w3");
        leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(1), vtep(2)]);
        leaf.expect(vip, Up, Some(Reason::CoveredByAggregate), &[]);
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(1)]);
        leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&vtep(2)]);
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(1), vtep(2)]);
        leaf.resource(SpeakerResource::CalicoPeers, ResourceState::Absent);
        leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&vtep(3), &vtep(4)]);
    }
}

#[test]
fn routes_of_nodes_that_speak_with_nodes_only_come_by_others() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = reflected(family, Local, "w3");
        leaf.expect(vip, Down, Some(Reason::NoRoute), &[]);
        // The leaf of a reflector may send flows on to the node.
        leaf.evpn(vip, &[vtep(1), vtep(2)]).expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[]);
        leaf.evpn(vip, &[vtep(3)]).expect(vip, Up, None, &[]);
        assert_eq!((leaf.node_view("w3").expected_vips, leaf.node_view("r1").expected_vips), (0, 0));
        // A node that answers here needs no session.
        let mut leaf = reflected(family, Local, "w3");
        leaf.event(Event::Switch(SwitchEvent::Application(11, Some("arp_nd_mgr".into()))));
        leaf.route_of(VRF, family.node(3).into(), 11, &[family.node(3)]).bgp(vip, &[family.node(3)]);
        leaf.expect(vip, Up, None, &[]);
        assert_eq!((leaf.node_view("w3").state, leaf.node_view("w3").reason), (Up, None));
        // A reflector with an endpoint announces by its own session.
        let mut leaf = reflected(family, Local, "r1");
        leaf.evpn(vip, &[vtep(1)]).expect(vip, Up, None, &[]);
        assert_eq!((leaf.vip_view("web", vip).expected, leaf.node_view("r1").expected_vips), (1, 1));
    }
}

#[test]
fn without_peers_that_are_switches_every_node_may_speak_with_one() {
    let family = Family::V4;
    let all = [vtep(3), vtep(4)];
    for peers in [
        vec![],
        vec![("rr", calico_peer(Selector::default(), "192.168.1.11"))],
        vec![("tor", calico_peer(selects("rack", "9"), "192.0.2.1"))],
    ] {
        let mut leaf = reflected(family, Cluster, "w3");
        leaf.has(SpeakerResource::CalicoPeers, &peers);
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(1), vtep(2)]);
        leaf.expect(family.vip(100), Degraded, Some(Reason::NextHopMissing), &[&all[0], &all[1]]);
    }
    // A peer of one node, and one whose selector cannot be read.
    let of_node = CalicoPeer { node: Some("w3".into()), ..CalicoPeer::default() };
    let unread = CalicoPeer { address: Some(ip("192.0.2.1")), ..CalicoPeer::default() };
    for (peer, missing) in [(of_node, vec![vtep(3)]), (unread, vec![vtep(3), vtep(4)])] {
        let mut leaf = reflected(family, Cluster, "w3");
        let set = Update::Set(key("more"), SpeakerObject::CalicoPeer(peer));
        leaf.kubernetes(C1, ClusterEvent::SpeakerObjects(SpeakerResource::CalicoPeers, set));
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(1), vtep(2)]);
        let missing: Vec<&dyn std::fmt::Display> = missing.iter().map(|vtep| vtep as &dyn std::fmt::Display).collect();
        leaf.expect(family.vip(100), Degraded, Some(Reason::NextHopMissing), &missing);
        assert_eq!(leaf.vip_view("web", family.vip(100)).expected as usize, 2 + missing.len());
    }
}
