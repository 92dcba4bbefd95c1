//! What a speaker's own resources, and its speakers themselves, change in who is expected to announce.

use std::sync::Arc;

use super::fixtures::{Lab, node_name};
use crate::model::cluster::TrafficPolicy::{Cluster, Local};
use crate::model::cluster::{Node, Service};
use crate::model::config::Speaker;
use crate::model::event::{ClusterEvent, Update};
use crate::model::names::ServiceKey;
use crate::model::selector::{Must, Requirement, Selector};
use crate::model::speaker::{
    CalicoConfiguration, CiliumAdvertisement, CiliumCluster, CiliumNode, CiliumPeer, CiliumServices, Lengths,
    MetallbAdvertisement, MetallbPeer, ObjectKey, Pool, ResourceState, SpeakerObject, SpeakerResource, StatusKey,
};
use crate::model::switch::{Neighbor, SessionState};
use crate::model::verdict::OperState::{Down, Up};
use crate::model::verdict::{AddressSource, Reason};

impl Lab {
    fn resource(self, resource: SpeakerResource, state: ResourceState) -> Self {
        self.told("c1", ClusterEvent::SpeakerResource(resource, state))
    }

    /// A resource with these objects, all of them.
    fn has(self, resource: SpeakerResource, objects: &[(&str, SpeakerObject)]) -> Self {
        let objects = objects.iter().map(|(name, object)| (self::key(name), object.clone())).collect();
        let told = self.told("c1", ClusterEvent::SpeakerObjects(resource, Update::All(objects)));
        told.resource(resource, ResourceState::Watched)
    }

    fn statuses(self, nodes: &[u8]) -> Self {
        let all = nodes.iter().map(|node| (status(*node, 0), ())).collect();
        let told = self.told("c1", ClusterEvent::Announcements(Update::All(all)));
        told.resource(SpeakerResource::MetallbStatuses, ResourceState::Watched)
    }

    fn labelled(self, node: u8, labels: &[(&str, &str)]) -> Self {
        let internal = Box::from([self.node_address(node)]);
        let labels = labels.iter().copied().collect();
        self.node_as(node, Node { internal, labels, ..Node::default() })
    }

    fn expected(&self) -> Vec<String> {
        let hops = self.vip().next_hops.iter().filter(|hop| hop.expected);
        hops.filter_map(|hop| hop.node.as_ref().map(ToString::to_string)).collect()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: None, name: name.into() }
}

fn status(node: u8, object: u64) -> StatusKey {
    StatusKey { service: ServiceKey::new("default", "web"), node: node_name(node), object }
}

fn selects(label: &str, value: &str) -> Selector {
    let must = Must::BeIn([Arc::from(value)].into());
    Selector([Requirement { label: label.into(), must }].into())
}

fn pool(prefix: &str) -> SpeakerObject {
    SpeakerObject::Pool(Pool { prefixes: [prefix.parse().expect("a prefix")].into(), ..Pool::default() })
}

fn advertisement(change: impl FnOnce(&mut MetallbAdvertisement)) -> SpeakerObject {
    let mut advertisement = MetallbAdvertisement::default();
    change(&mut advertisement);
    SpeakerObject::MetallbAdvertisement(advertisement)
}

/// Two nodes in racks of their own, attached, with an endpoint each.
fn lab() -> Lab {
    let lab = Lab::new(true, 0).labelled(1, &[("rack", "1")]).labelled(2, &[("rack", "2")]);
    lab.service(Cluster).endpoints(&[1, 2]).attached(&[1, 2])
}

/// The same, with a pool, and advertisements in front of it.
fn metallb(advertisements: &[(&str, SpeakerObject)]) -> Lab {
    let lab = lab().has(SpeakerResource::MetallbPools, &[("vips", pool("1.1.1.0/24"))]);
    lab.has(SpeakerResource::MetallbAdvertisements, advertisements)
}

#[test]
fn only_nodes_that_an_advertisement_selects_are_expected() {
    let rack = |rack: &str| {
        let selector = selects("rack", rack);
        advertisement(|a| a.node_selectors = [selector].into())
    };
    assert_eq!(metallb(&[("a", rack("1"))]).expected(), ["node1"]);
    assert_eq!(metallb(&[("a", rack("1")), ("b", rack("2"))]).expected(), ["node1", "node2"]);
    let lab = metallb(&[("a", rack("1"))]).via_nodes(&[1]).says(Up, None);
    assert_eq!((lab.node_view(1).expected_vips, lab.node_view(2).expected_vips), (1, 0));
    let lab = lab.labelled(1, &[("rack", "2")]).labelled(2, &[("rack", "1")]);
    assert_eq!(lab.expected(), ["node2"], "labels move a node out and in");
    assert_eq!((lab.node_view(1).expected_vips, lab.node_view(2).expected_vips), (0, 1));
}

#[test]
fn what_no_advertisement_announces_is_no_fault_of_the_network_and_the_sentence_names_the_object() {
    let nowhere = advertisement(|a| a.node_selectors = [selects("rack", "9")].into());
    let other = advertisement(|a| a.service_selectors = [selects("app", "other")].into());
    let elsewhere = advertisement(|a| a.pools = ["others".into()].into());
    for (advertisements, words) in [
        (vec![], "no BGPAdvertisement exists"),
        (vec![("a", nowhere)], "BGPAdvertisement a selects no node that may announce"),
        (vec![("a", other)], "no BGPAdvertisement of IPAddressPool vips selects the service by its labels"),
        (vec![("a", elsewhere)], "no BGPAdvertisement selects IPAddressPool vips"),
    ] {
        metallb(&advertisements).says(Down, Some(Reason::NoAnnouncer)).telling(&[words]);
    }
    let lab = lab().has(SpeakerResource::MetallbPools, &[("vips", pool("9.9.9.0/24"))]);
    let lab = lab.has(SpeakerResource::MetallbAdvertisements, &[("a", advertisement(|_| {}))]);
    lab.says(Down, Some(Reason::NoAnnouncer)).telling(&["no IPAddressPool holds all addresses"]);
}

#[test]
fn a_route_that_is_there_all_the_same_is_not_called_bad() {
    metallb(&[]).via_nodes(&[1]).says(Up, None);
}

#[test]
fn advertisements_that_disagree_on_the_attributes_of_one_prefix_announce_nothing() {
    let chosen = || Selector([Requirement { label: "none".into(), must: Must::NotExist }].into());
    let of = |preference| {
        advertisement(|a| {
            a.local_preference = preference;
            a.service_selectors = [chosen()].into();
        })
    };
    let nothing = |other| {
        let lab = metallb(&[("a", of(100)), ("b", other)]);
        lab.says(Down, Some(Reason::NoAnnouncer)).telling(&["a, b selects no node"]);
    };
    nothing(of(200));
    nothing(advertisement(|a| a.local_preference = 200));
    nothing(advertisement(|a| {
        a.local_preference = 100;
        a.prepended = 2;
    }));
    nothing(advertisement(|a| a.lengths.v6 = Some(64)));
    let shorter = advertisement(|a| {
        a.local_preference = 200;
        a.lengths.v4 = Some(24);
    });
    assert_eq!(metallb(&[("a", of(100)), ("b", shorter)]).expected(), ["node1", "node2"]);
    let elsewhere = |name: &str, preference| {
        advertisement(|a| {
            a.local_preference = preference;
            a.peers = [name.into()].into();
            a.service_selectors = [chosen()].into();
        })
    };
    let apart = [("a", elsewhere("tor1", 100)), ("b", elsewhere("tor2", 200))];
    assert_eq!(metallb(&apart).expected(), ["node1", "node2"], "no peer hears of both");
    let all = |preference| advertisement(|a| a.local_preference = preference);
    let refused = metallb(&[("a", all(100)), ("b", all(200))]);
    assert_eq!(refused.expected(), ["node1", "node2"], "MetalLB does not take them and goes on with what it had");
}

#[test]
fn of_prefixes_of_several_lengths_the_longest_that_is_announced_counts() {
    let rack1 = advertisement(|a| a.node_selectors = [selects("rack", "1")].into());
    let shorter = advertisement(|a| a.lengths.v4 = Some(24));
    let lab = metallb(&[("a", rack1), ("b", shorter)]);
    assert_eq!(lab.expected(), ["node1"]);
    let lab = lab.statuses(&[1, 2]);
    assert_eq!(lab.expected(), ["node1"], "a status does not say of which prefix it is");
    let lab = lab.statuses(&[]).service(Local).endpoints(&[2]);
    assert_eq!(lab.expected(), ["node2"], "who announces the longer one has no endpoint");
    let lab = lab.service(Cluster).labelled(1, &[("rack", "9")]);
    assert_eq!(lab.expected(), ["node1", "node2"], "nobody announces the longer one any more");
    assert_eq!(lab.labelled(1, &[("rack", "1")]).expected(), ["node1"]);
}

#[test]
fn a_node_without_a_peer_the_advertisement_goes_to_announces_nothing() {
    let peer = |rack: &str| {
        let node_selectors = [selects("rack", rack)].into();
        SpeakerObject::MetallbPeer(MetallbPeer { node_selectors, source: None })
    };
    let peers = [("tor1", peer("1")), ("tor2", peer("2"))];
    let to = |names: &[&str]| {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        advertisement(|a| a.peers = names)
    };
    let lab = metallb(&[("a", to(&["tor2"]))]).has(SpeakerResource::MetallbPeers, &peers);
    assert_eq!(lab.expected(), ["node2"]);
    let lab = lab.has(SpeakerResource::MetallbAdvertisements, &[("a", to(&[]))]);
    assert_eq!(lab.expected(), ["node1", "node2"]);
    assert_eq!(lab.has(SpeakerResource::MetallbPeers, &peers[..1]).expected(), ["node1"]);
}

#[test]
fn what_is_not_known_restricts_nobody() {
    let nowhere = || advertisement(|a| a.node_selectors = [selects("rack", "9")].into());
    let told = |lab: Lab| {
        let event = Update::All(vec![(key("a"), nowhere())]);
        lab.told("c1", ClusterEvent::SpeakerObjects(SpeakerResource::MetallbAdvertisements, event))
    };
    let lab = told(lab());
    assert_eq!(lab.expected(), ["node1", "node2"], "the first listing has not been said to be whole");
    for state in [ResourceState::Absent, ResourceState::Forbidden("".into()), ResourceState::TooMany("".into())] {
        let lab = metallb(&[("a", nowhere())]).resource(SpeakerResource::MetallbAdvertisements, state.clone());
        assert_eq!(lab.expected(), ["node1", "node2"], "{state:?}");
        let said = &lab.said.clusters["c1"];
        assert_eq!(said.speaker_resources[&SpeakerResource::MetallbAdvertisements], state);
        assert_eq!((said.state, said.reason.clone()), (Up, None), "the cluster is none the worse for it");
    }
    let failed = ResourceState::Failed("".into());
    let lab = metallb(&[("a", nowhere())]).resource(SpeakerResource::MetallbAdvertisements, failed);
    assert!(lab.expected().is_empty(), "what was read stays known while it cannot be read again");
    assert_eq!(lab.with("c1", |c| c.source.speaker = Speaker::Generic).expected(), ["node1", "node2"]);
}

#[test]
fn neither_pools_nor_advertisements_is_an_address_from_elsewhere() {
    let lab = lab().has(SpeakerResource::MetallbPools, &[]).has(SpeakerResource::MetallbAdvertisements, &[]);
    assert_eq!(lab.expected(), ["node1", "node2"]);
}

#[test]
fn a_node_whose_speaker_says_that_it_announces_is_expected_whatever_is_computed() {
    let lab = lab();
    let internal = Box::from([lab.node_address(2)]);
    let lab = lab.node_as(2, Node { internal, exclude_label: Some("".into()), ..Node::default() });
    assert_eq!(lab.expected(), ["node1"]);
    let lab = lab.statuses(&[1, 2]);
    assert_eq!(lab.expected(), ["node1", "node2"]);
    assert_eq!(lab.node_view(2).expected_vips, 1);
}

#[test]
fn a_node_whose_speaker_says_nothing_is_not_expected_where_others_speak_and_its_session_is_up() {
    for policy in [Cluster, Local] {
        let lab = lab().service(policy).statuses(&[1]);
        assert_eq!(lab.expected(), ["node1"], "{policy:?}");
        let lab = lab.via_nodes(&[1]).says(Up, None);
        let lab = lab.told("c1", ClusterEvent::Announcements(Update::Set(status(2, 0), ())));
        assert_eq!(lab.expected(), ["node1", "node2"], "{policy:?}");
    }
}

#[test]
fn a_speaker_that_died_with_its_session_is_missed_though_its_statuses_went_with_it() {
    let lab = lab().statuses(&[1, 2]).via_nodes(&[1, 2]).says(Up, None);
    let lab = lab.session(2, SessionState::Active).via_nodes(&[1]);
    let lab = lab.told("c1", ClusterEvent::Announcements(Update::Gone(status(2, 0))));
    assert_eq!(lab.expected(), ["node1", "node2"]);
    let lab = lab.says(crate::model::verdict::OperState::Degraded, Some(Reason::SessionDown));
    let dynamic = Neighbor { session: Some(SessionState::Active), dynamic: true, ..Neighbor::default() };
    let lab = lab.neighbor(2, Some(dynamic)).neighbor(2, None);
    assert_eq!(lab.expected(), ["node1", "node2"], "a dynamic neighbor vanishes with its session");
}

#[test]
fn a_node_the_route_uses_announces_though_its_speaker_says_nothing_any_more() {
    let lab = lab().neighbor(2, None).behind(2).statuses(&[2]).via_nodes(&[1]);
    assert_eq!(lab.expected(), ["node1"], "FRR goes on when the speaker beside it is gone");
    lab.says(Up, None);
}

#[test]
fn a_second_status_of_a_node_outlives_the_first() {
    let lab = lab().statuses(&[1, 2]).told("c1", ClusterEvent::Announcements(Update::Set(status(2, 7), ())));
    let lab = lab.told("c1", ClusterEvent::Announcements(Update::Gone(status(2, 0))));
    assert_eq!(lab.expected(), ["node1", "node2"]);
}

#[test]
fn a_service_no_speaker_speaks_of_is_computed() {
    let other = StatusKey { service: ServiceKey::new("default", "other"), ..status(1, 0) };
    let lab = lab().statuses(&[]).told("c1", ClusterEvent::Announcements(Update::Set(other, ())));
    assert_eq!(lab.expected(), ["node1", "node2"]);
    lab.says(Down, Some(Reason::NoRoute));
}

#[test]
fn statuses_that_cannot_be_listed_any_more_are_no_evidence() {
    for state in [ResourceState::Failed("".into()), ResourceState::Forbidden("".into()), ResourceState::Absent] {
        let lab = lab().statuses(&[1]).resource(SpeakerResource::MetallbStatuses, state);
        assert_eq!(lab.expected(), ["node1", "node2"]);
    }
}

#[test]
fn an_aggregate_is_what_is_looked_for_where_the_speaker_aggregates() {
    let aggregated = advertisement(|a| a.lengths = Lengths { v4: Some(24), v6: None });
    let lab = metallb(&[("a", aggregated)]).says(Down, Some(Reason::NoRoute)).telling(&["announce it as 1.1.1.0/24"]);
    let (cover, hops) = (lab.covering(), [lab.node_address(1), lab.node_address(2)]);
    let lab = lab.route_in("ip-vrf-1", cover, super::fixtures::BGP, &hops);
    lab.says(Up, Some(Reason::CoveredByAggregate)).telling(&["1.1.1.0/24", "the prefix it is announced as"]);
}

#[test]
fn a_pool_of_the_speaker_makes_orphans_unless_a_filter_hides_services() {
    let lab = metallb(&[("a", advertisement(|_| {}))]);
    let stray = "1.1.1.7/32".parse().expect("a prefix");
    let lab = lab.route_in("ip-vrf-1", stray, super::fixtures::BGP, &["192.168.1.11".parse().expect("an address")]);
    assert_eq!(lab.said.orphans.len(), 1);
    let lab = lab.has(SpeakerResource::MetallbPools, &[("vips", pool("1.1.1.64/26"))]);
    assert!(lab.said.orphans.is_empty());
    let lab = lab.has(SpeakerResource::MetallbPools, &[("vips", pool("1.1.1.0/28")), ("more", pool("2.0.0.0/8"))]);
    assert_eq!(lab.said.orphans.len(), 1);
    let lab = lab.with("c1", |c| c.source.namespaces = ["a".into()].into());
    assert!(lab.said.orphans.is_empty(), "a service that is not watched may have it");
    let lab = lab.with("c1", |c| c.rules.vip_pools = ["1.1.1.0/24".parse().expect("a prefix")].into());
    assert_eq!(lab.said.orphans.len(), 1, "the operator's own pools count as ever");
}

#[test]
fn a_peer_of_one_node_says_what_that_node_speaks_from() {
    let peer = |selector: Selector| {
        let source = Some("192.168.1.11".parse().expect("an address"));
        SpeakerObject::MetallbPeer(MetallbPeer { node_selectors: [selector].into(), source })
    };
    let host = "kubernetes.io/hostname";
    let hidden = |name: &str| Node { labels: [(host, name)].into_iter().collect(), ..Node::default() };
    let lab = Lab::new(true, 0).node_as(1, hidden("node1")).node_as(2, hidden("node2")).attached(&[1]);
    let lab = lab.service(Cluster).endpoints(&[1]);
    let lab = lab.has(SpeakerResource::MetallbPeers, &[("tor", peer(selects(host, "node1")))]);
    let peers = &lab.node_view(1).peers;
    assert_eq!((peers[0].source, peers.len()), (AddressSource::Speaker, 1));
    assert!(lab.node_view(2).peers.is_empty());
    let lab = lab.has(SpeakerResource::MetallbPeers, &[("tor", peer(Selector::default()))]);
    assert!(lab.node_view(1).peers.is_empty(), "one address cannot be that of every node");
}

fn cilium_peer(selector: Option<Selector>) -> SpeakerObject {
    SpeakerObject::CiliumPeer(CiliumPeer { families: [(true, selector)].into() })
}

fn cilium_advertisement(services: CiliumServices) -> SpeakerObject {
    let labels = [("advertise", "bgp")].into_iter().collect();
    SpeakerObject::CiliumAdvertisement(CiliumAdvertisement { labels, services: [services].into() })
}

/// Rack 1 speaks BGP by `config`, whose peers have the peer configuration `tor`.
fn cilium(services: CiliumServices, peer: SpeakerObject) -> Lab {
    let lab = lab().with("c1", |c| c.source.speaker = Speaker::Cilium);
    let (node_selector, peers) = (Some(selects("rack", "1")), ["tor".into()].into());
    let config = SpeakerObject::CiliumCluster(CiliumCluster { node_selector, peers });
    lab.has(SpeakerResource::CiliumClusters, &[("config", config)])
        .has(SpeakerResource::CiliumPeers, &[("tor", peer)])
        .has(SpeakerResource::CiliumAdvertisements, &[("vips", cilium_advertisement(services))])
}

fn all_balancers() -> CiliumServices {
    CiliumServices { selector: Some(Selector::default()), load_balancer: true, ..CiliumServices::default() }
}

#[test]
fn cilium_announces_what_an_advertisement_of_a_peer_configuration_of_the_node_selects() {
    let bgp = || Some(selects("advertise", "bgp"));
    assert_eq!(cilium(all_balancers(), cilium_peer(bgp())).expected(), ["node1"]);
    let unselecting = CiliumServices { selector: None, ..all_balancers() };
    for (services, peer, words) in [
        (unselecting, cilium_peer(bgp()), "no CiliumBGPAdvertisement of LoadBalancerIP selects the service"),
        (all_balancers(), cilium_peer(None), "no CiliumBGPPeerConfig selects CiliumBGPAdvertisement vips for ipv4"),
        (all_balancers(), SpeakerObject::CiliumPeer(CiliumPeer::default()), "for ipv4"),
    ] {
        cilium(services, peer).says(Down, Some(Reason::NoAnnouncer)).telling(&[words]);
    }
    let named = selects("io.kubernetes.service.name", "web");
    let services = CiliumServices { selector: Some(named), ..all_balancers() };
    assert_eq!(cilium(services, cilium_peer(bgp())).expected(), ["node1"], "a service's name is a label of it");
}

#[test]
fn what_ciliums_operator_gave_a_node_is_believed_before_selectors() {
    let local_addresses = ["192.168.1.12".parse().expect("an address")].into();
    let node = SpeakerObject::CiliumNode(CiliumNode { peers: ["tor".into()].into(), local_addresses });
    let lab = cilium(all_balancers(), cilium_peer(Some(Selector::default())));
    let lab = lab.has(SpeakerResource::CiliumNodes, &[("node2", node)]);
    assert_eq!(lab.expected(), ["node2"]);
    assert_eq!(lab.node_view(2).peers[0].source, AddressSource::Speaker);
    let lab = lab.has(SpeakerResource::CiliumNodes, &[]).has(SpeakerResource::CiliumClusters, &[]);
    assert_eq!(lab.expected(), ["node1", "node2"], "without any it speaks by other means");
}

#[test]
fn cilium_does_not_aggregate_policy_local() {
    let lengths = Lengths { v4: Some(24), v6: None };
    let services = || CiliumServices { lengths, ..all_balancers() };
    let lab = |policy| cilium(services(), cilium_peer(Some(Selector::default()))).service(policy);
    lab(Cluster).says(Down, Some(Reason::NoRoute)).telling(&["as 1.1.1.0/24"]);
    let detail = lab(Local).says(Down, Some(Reason::NoRoute)).view().verdict.detail.clone().unwrap_or_default();
    assert!(!detail.contains("1.1.1.0/24"), "{detail}");
}

#[test]
fn calico_announces_the_ranges_it_was_given_and_single_addresses_apart() {
    let calico = |ranges: &[&str], aggregation| {
        let load_balancer = ranges.iter().map(|range| range.parse().expect("a prefix")).collect();
        let configuration = CalicoConfiguration { load_balancer, aggregation, ..CalicoConfiguration::default() };
        let lab = lab().with("c1", |c| c.source.speaker = Speaker::Calico);
        let object = SpeakerObject::CalicoConfiguration(configuration);
        lab.has(SpeakerResource::CalicoConfigurations, &[("default", object)])
    };
    let lab = calico(&["1.1.1.0/24"], true).says(Down, Some(Reason::NoRoute)).telling(&["2 nodes", "as 1.1.1.0/24"]);
    assert_eq!(lab.expected(), ["node1", "node2"]);
    for (ranges, aggregation) in [(&["1.1.1.0/24", "1.1.1.100/32"][..], true), (&["1.1.1.0/24"], false)] {
        let lab = calico(ranges, aggregation).says(Down, Some(Reason::NoRoute));
        assert!(!lab.view().verdict.detail.as_ref().is_some_and(|detail| detail.contains("1.1.1.0/24")));
    }
    let lab = calico(&["9.9.9.0/24"], true).says(Down, Some(Reason::NoAnnouncer));
    lab.telling(&["BGPConfiguration default announces no range that holds 1.1.1.100", "serviceLoadBalancerIPs"]);
    let lab =
        self::lab().with("c1", |c| c.source.speaker = Speaker::Calico).has(SpeakerResource::CalicoConfigurations, &[]);
    lab.says(Down, Some(Reason::NoAnnouncer)).telling(&["no BGPConfiguration default"]);
}

#[test]
fn a_vip_of_several_services_is_announced_by_the_union_of_their_audiences() {
    let app = |app: &str, rack: &str| {
        let (service, node) = (selects("app", app), selects("rack", rack));
        advertisement(|a| {
            a.service_selectors = [service].into();
            a.node_selectors = [node].into();
        })
    };
    let lab = metallb(&[("a", app("a", "1")), ("b", app("b", "2"))]);
    let labelled = |lab: &Lab, app: &str| {
        let ingress = Box::from([lab.vip_address()]);
        let labels = [("app", app)].into_iter().collect();
        Service { load_balancer: true, policy: Cluster, ingress, labels, ..Service::default() }
    };
    let (web, api) = (labelled(&lab, "a"), labelled(&lab, "b"));
    let lab = lab.service_as("c1", "web", web);
    assert_eq!(lab.expected(), ["node1"]);
    let lab = lab.service_as("c1", "api", api).endpoints_as("c1", "api", &[2], true);
    assert_eq!(lab.expected(), ["node1", "node2"]);
    assert_eq!((lab.node_view(1).expected_vips, lab.node_view(2).expected_vips), (1, 1));
}
