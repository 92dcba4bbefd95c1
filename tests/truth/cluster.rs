//! What the API of a cluster shows, reduced as the agent's Kubernetes source reduces it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::{
    AddressFamily, Endpoint, EndpointIdentity, EndpointSlice, Node, NodeUid, Service, ServiceHints, SliceKey,
    TrafficPolicy,
};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::names::{NodeName, ServiceKey};
use srl_k8s_services::model::selector::{Labels, Operator, Requirement, Selector};
use srl_k8s_services::model::speaker::{
    CalicoConfiguration, CiliumAdvertisement, CiliumCluster, CiliumL2Policy, CiliumNode, CiliumPeer, CiliumServices,
    Lengths, MetallbAdvertisement, MetallbL2Advertisement, MetallbPeer, ObjectKey, Pool, ResourceState, SpeakerObject,
    SpeakerResource, StatusKey,
};

use crate::plan::{Kind, Known, NodeId, Plan, PodState, ServiceId, VipPlan, leaf_name, node_name, peer_address, pool};
use crate::state::State;

const LABEL: &str = "bgp";

/// The objects of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterFacts {
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) slices: BTreeMap<SliceKey, EndpointSlice>,
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    pub(crate) resources: BTreeMap<SpeakerResource, ResourceState>,
    pub(crate) objects: BTreeMap<SpeakerResource, BTreeMap<ObjectKey, SpeakerObject>>,
    pub(crate) statuses: BTreeMap<SpeakerResource, BTreeMap<StatusKey, ()>>,
}

pub(crate) fn service_key(service: ServiceId) -> ServiceKey {
    ServiceKey::new("default", format!("s{}", service.1 + 1))
}

/// Returns what the API of a cluster shows in a state of the plan.
pub(crate) fn facts(state: State<'_>, cluster: usize) -> ClusterFacts {
    let plan = &state.plan.clusters[cluster];
    let mut facts = ClusterFacts::default();
    for number in 0..plan.services.len() {
        service(state, (cluster, number), &mut facts);
    }
    for number in 0..plan.nodes.len() {
        let id = (cluster, number);
        facts.nodes.insert(NodeName::from(node_name(id)), node(state.plan, id));
    }
    for resource in SpeakerResource::of(plan.speaker) {
        let readable = plan.readable && (!resource.is_status() || plan.statuses);
        let forbidden = || ResourceState::Forbidden(Arc::from("not allowed to list it"));
        facts.resources.insert(resource, if readable { ResourceState::Watched } else { forbidden() });
        if readable {
            facts.objects.insert(resource, objects(state, cluster, resource));
        }
    }
    if plan.statuses {
        facts.statuses = statuses(state, cluster);
        facts.statuses.insert(SpeakerResource::MetallbL2Statuses, holders(state, cluster));
    }
    facts
}

fn service(state: State<'_>, id: ServiceId, facts: &mut ClusterFacts) {
    let plan = state.plan.service(id);
    let mut ingress: Vec<IpAddr> = plan.vips.iter().map(|vip| vip.address()).collect();
    ingress.sort();
    let (ingress, external_ips) = if plan.external { (Vec::new(), ingress) } else { (ingress, Vec::new()) };
    let cluster = &state.plan.clusters[id.0];
    let elected = state.holder(id).filter(|_| cluster.l2 && cluster.speaker == Speaker::KubeVip);
    let hints = ServiceHints {
        kube_vip_host: elected.map(|node| NodeName::from(node_name(node))),
        cilium_proxy: plan.kind == Kind::Gateway,
        cilium_global: plan.kind == Kind::Global,
        ..ServiceHints::default()
    };
    let service = Service {
        load_balancer: !plan.external,
        external_ips: external_ips.into(),
        hints,
        policy: if plan.local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
        class: plan.foreign_class.then(|| Arc::from("example.com/other")),
        ingress: ingress.into(),
        ..Service::default()
    };
    facts.services.insert(service_key(id), service);
    for v6 in [false, true] {
        if !plan.vips.iter().any(|vip| vip.v6 == v6) {
            continue;
        }
        let endpoint = |(at, (on, pod)): (usize, &(Option<usize>, PodState))| Endpoint {
            identity: EndpointIdentity::of((id.1, at)),
            node: on.map(|on| NodeName::from(node_name((id.0, on)))),
            ready: *pod == PodState::Ready,
            serving: *pod != PodState::Unready,
        };
        let endpoints = state.endpoints(id).iter().enumerate().map(endpoint).collect();
        let family = if v6 { AddressFamily::Ipv6 } else { AddressFamily::Ipv4 };
        let key = SliceKey { namespace: "default".into(), name: format!("s{}-{}", id.1 + 1, u8::from(v6)).into() };
        facts.slices.insert(key, EndpointSlice { service: service_key(id), family, endpoints });
    }
}

fn node(plan: &Plan, id: NodeId) -> Node {
    let (cluster, node) = (&plan.clusters[id.0], plan.node(id));
    let mut addresses = Vec::new();
    for v6 in [(cluster.v4, false), (cluster.v6, true)].into_iter().filter(|(has, _)| *has).map(|(_, v6)| v6) {
        addresses.push(plan.speaks_from(id, v6));
        if node.other_hop {
            addresses.push(plan.interface(id, v6));
        }
    }
    let mut object = Node {
        uid: Some(NodeUid::of(&node_name(id))),
        exclude_label: node.excluded.map(Arc::from),
        network_unavailable: node.network_unavailable,
        labels: labels(if node.labeled { &[(LABEL, "yes")] } else { &[] }),
        ..Node::default()
    };
    let addresses: Box<[IpAddr]> = addresses.into();
    match node.known {
        Known::Internal => object.internal = addresses,
        Known::External => object.external = addresses,
        Known::Annotation => object.annotated = addresses,
        Known::Fabric | Known::Hidden => object.internal = [Plan::hidden(id)].into(),
    }
    object
}

fn labels(of: &[(&str, &str)]) -> Labels {
    of.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect::<Labels>()
}

fn selector(label: &str, value: &str) -> Selector {
    Selector([Requirement { label: label.into(), operator: Operator::In([Arc::from(value)].into()) }].into())
}

/// Returns the selector of the nodes that announce, for clusters in which not all nodes do.
pub(crate) fn labeled() -> Selector {
    selector(LABEL, "yes")
}

/// Returns the prefixes of all pools from which services of a cluster have VIPs.
pub(crate) fn pools(plan: &Plan, cluster: usize) -> BTreeSet<IpNet> {
    let services = plan.clusters[cluster].services.iter();
    let of = |vip: &VipPlan| if vip.l2 { vip.address().into() } else { pool(vip.pool, vip.v6) };
    services.flat_map(|service| service.vips.iter().map(of)).collect()
}

fn objects(state: State<'_>, cluster: usize, resource: SpeakerResource) -> BTreeMap<ObjectKey, SpeakerObject> {
    let plan = &state.plan.clusters[cluster];
    let prefixes: Box<[IpNet]> = pools(state.plan, cluster).into_iter().collect();
    let key = |name: &str| ObjectKey { namespace: None, name: name.into() };
    let lengths = Lengths { v4: plan.aggregate, v6: None };
    let narrowed = plan.narrowed.then(labeled);
    let one = |object| BTreeMap::from([(key("one"), object)]);
    match resource {
        SpeakerResource::MetallbPools | SpeakerResource::CiliumPools | SpeakerResource::CalicoPools => {
            one(SpeakerObject::Pool(Pool { prefixes, labels: Labels::default() }))
        }
        SpeakerResource::MetallbAdvertisements | SpeakerResource::CiliumClusters | SpeakerResource::CiliumNodes
            if plan.l2 =>
        {
            BTreeMap::new()
        }
        SpeakerResource::MetallbL2Advertisements if plan.l2 => {
            one(SpeakerObject::MetallbL2Advertisement(MetallbL2Advertisement::default()))
        }
        SpeakerResource::CiliumL2Policies if plan.l2 => one(SpeakerObject::CiliumL2Policy(CiliumL2Policy {
            service_selector: None,
            load_balancer: true,
            external: true,
        })),
        SpeakerResource::MetallbAdvertisements => {
            let node_selectors = narrowed.into_iter().collect();
            let peers = plan.only_to.iter().flat_map(|leaf| [false, true].map(|v6| peer_name(*leaf, v6))).collect();
            one(SpeakerObject::MetallbAdvertisement(MetallbAdvertisement {
                node_selectors,
                peers,
                lengths,
                ..Default::default()
            }))
        }
        SpeakerResource::MetallbPeers if plan.only_to.is_some() => {
            let all = (0..state.plan.leaves.len()).flat_map(|leaf| [(leaf, false), (leaf, true)]);
            let peer = |(leaf, v6): (usize, bool)| {
                let peer = MetallbPeer { address: Some(peer_address(leaf, v6)), ..MetallbPeer::default() };
                (key(&peer_name(leaf, v6)), SpeakerObject::MetallbPeer(peer))
            };
            all.map(peer).collect()
        }
        SpeakerResource::MetallbPeers => one(SpeakerObject::MetallbPeer(MetallbPeer::default())),
        SpeakerResource::CiliumAdvertisements => {
            let services =
                CiliumServices { selector: Some(Selector::default()), load_balancer: true, external: true, lengths };
            let labels = labels(&[("advertise", "bgp")]);
            one(SpeakerObject::CiliumAdvertisement(CiliumAdvertisement { labels, services: [services].into() }))
        }
        SpeakerResource::CiliumClusters => {
            one(SpeakerObject::CiliumCluster(CiliumCluster { node_selector: narrowed, peers: ["one".into()].into() }))
        }
        SpeakerResource::CiliumPeers => {
            let families = [true, false].map(|v4| (v4, Some(selector("advertise", "bgp")))).into();
            one(SpeakerObject::CiliumPeer(CiliumPeer { families }))
        }
        SpeakerResource::CiliumNodes => {
            let selected = plan.nodes.iter().enumerate().filter(|(_, node)| !plan.narrowed || node.labeled);
            let object = |(at, _): (usize, _)| {
                let node = CiliumNode { peers: ["one".into()].into(), ..CiliumNode::default() };
                (key(&node_name((cluster, at))), SpeakerObject::CiliumNode(node))
            };
            selected.map(object).collect()
        }
        SpeakerResource::CalicoConfigurations => {
            let configuration =
                CalicoConfiguration { load_balancer: prefixes.clone(), external: prefixes, aggregation: true };
            BTreeMap::from([(key("default"), SpeakerObject::CalicoConfiguration(configuration))])
        }
        _ => BTreeMap::new(),
    }
}

fn peer_name(leaf: usize, v6: bool) -> Arc<str> {
    format!("{}-{}", leaf_name(leaf), if v6 { "v6" } else { "v4" }).into()
}

/// Returns what running speakers report that they announce by BGP.
fn statuses(state: State<'_>, cluster: usize) -> BTreeMap<SpeakerResource, BTreeMap<StatusKey, ()>> {
    let plan = &state.plan.clusters[cluster];
    debug_assert_eq!(plan.speaker, Speaker::Metallb);
    let nodes = (0..plan.nodes.len()).map(|node| (cluster, node)).filter(|node| state.alive(*node));
    let said = nodes.flat_map(|node| {
        let services = (0..plan.services.len()).map(|service| (cluster, service));
        let announced = services.filter(move |service| !plan.l2 && !state.intends(node, *service).is_empty());
        announced.map(move |service| (status(node, service), ()))
    });
    BTreeMap::from([(SpeakerResource::MetallbStatuses, said.collect())])
}

/// Returns what the speakers that answer ARP and ND for services report about themselves.
fn holders(state: State<'_>, cluster: usize) -> BTreeMap<StatusKey, ()> {
    let plan = &state.plan.clusters[cluster];
    let services = (0..plan.services.len()).map(|service| (cluster, service)).filter(|_| plan.l2);
    services.filter_map(|service| Some((status(state.holder(service)?, service), ()))).collect()
}

fn status(node: NodeId, service: ServiceId) -> StatusKey {
    StatusKey {
        service: service_key(service),
        node: NodeName::from(node_name(node)),
        object: (node.1 * 100 + service.1) as u64,
    }
}
