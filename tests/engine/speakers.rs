//! Random resources of speakers, with so few names and labels that they often match.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use srl_k8s_services::model::event::{ClusterEvent, Update};
use srl_k8s_services::model::selector::{Labels, Operator, Requirement, Selector};
use srl_k8s_services::model::speaker::{
    CalicoConfiguration, CalicoPeer, CiliumAdvertisement, CiliumCluster, CiliumL2Policy, CiliumNode, CiliumPeer,
    CiliumServices, Lengths, MetallbAdvertisement, MetallbL2Advertisement, MetallbPeer, MetallbPools, ObjectKey, Pool,
    ResourceState, SpeakerObject, SpeakerResource, StatusKey,
};

use crate::property::{NODES, OWN, address_of};
use crate::scenario::{ip, key, net};

const NAMES: [&str; 2] = ["a", "b"];
const HOST_NAME: &str = "kubernetes.io/hostname";

/// Returns labels of something that may be selected.
pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    vec((select(&NAMES[..]), select(&NAMES[..])), 0..2).prop_map(|labels| labels.into_iter().collect())
}

/// Returns the labels of a node, including its own name.
pub(crate) fn of_node(name: &str, labels: &Labels) -> Labels {
    let known = NAMES.into_iter().filter_map(|label| Some((label, labels.get(label)?)));
    known.chain([(HOST_NAME, name)]).collect()
}

fn selector() -> impl Strategy<Value = Selector> {
    let requirement = (select(&NAMES[..]), select(&NAMES[..]), 0..4).prop_map(|(label, value, operator)| {
        let values = [Arc::from(value)].into();
        let operator = match operator {
            0 => Operator::In(values),
            1 => Operator::NotIn(values),
            2 => Operator::Exists,
            _ => Operator::DoesNotExist,
        };
        Requirement { label: label.into(), operator }
    });
    vec(requirement, 0..2).prop_map(|requirements| Selector(requirements.into()))
}

fn selectors() -> impl Strategy<Value = Box<[Selector]>> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec(selector(), 1..3)].prop_map(Vec::into_boxed_slice)
}

fn names() -> impl Strategy<Value = Box<[Arc<str>]>> {
    btree_set(select(&NAMES[..]), 0..2).prop_map(|names| names.into_iter().map(Arc::from).collect())
}

fn prefixes() -> impl Strategy<Value = Box<[IpNet]>> {
    let all = ["1.1.1.100/32", "1.1.1.100/31", "1.1.1.0/24", "2001:db8:1::/64"].map(net);
    btree_set(select(all.to_vec()), 0..3).prop_map(|prefixes| prefixes.into_iter().collect())
}

fn lengths() -> impl Strategy<Value = Lengths> {
    (option::weighted(0.3, Just(24_u8)), option::weighted(0.3, Just(64_u8))).prop_map(|(v4, v6)| Lengths { v4, v6 })
}

fn pool() -> impl Strategy<Value = SpeakerObject> {
    (prefixes(), labels()).prop_map(|(prefixes, labels)| SpeakerObject::Pool(Pool { prefixes, labels }))
}

fn metallb_pools() -> impl Strategy<Value = MetallbPools> {
    (names(), selectors()).prop_map(|(names, selectors)| MetallbPools { names, selectors })
}

fn metallb_advertisement() -> impl Strategy<Value = SpeakerObject> {
    let attributes = (0..2_u32, 0..2_u8);
    let parts = (metallb_pools(), selectors(), selectors(), names(), lengths(), attributes);
    parts.prop_map(|(pools, node_selectors, service_selectors, peers, lengths, attributes)| {
        let (local_preference, prepended) = attributes;
        SpeakerObject::MetallbAdvertisement(MetallbAdvertisement {
            pools,
            node_selectors,
            service_selectors,
            peers,
            lengths,
            local_preference,
            prepended,
        })
    })
}

/// Returns a MetalLB peer. A peer of one node defines the address from which that node speaks; no two nodes have the
/// same address.
fn metallb_peer() -> impl Strategy<Value = SpeakerObject> {
    let pinned = (0..NODES.len(), 0..4_usize).prop_map(|(node, which)| {
        let operator = Operator::In([Arc::from(NODES[node])].into());
        let requirement = Requirement { label: HOST_NAME.into(), operator };
        let node_selectors = [Selector([requirement].into())].into();
        MetallbPeer { node_selectors, source: Some(address_of(node, which)), address: None }
    });
    let address = option::weighted(0.8, select(&OWN[..]).prop_map(ip));
    let any = (selectors(), address).prop_map(|(node_selectors, address)| MetallbPeer {
        node_selectors,
        source: None,
        address,
    });
    prop_oneof![3 => any, 1 => pinned].prop_map(SpeakerObject::MetallbPeer)
}

/// Returns a Calico peer: a switch or a node, of one node or of those that a selector selects.
fn calico_peer() -> impl Strategy<Value = SpeakerObject> {
    let node = option::weighted(0.3, select(&NODES[..]).prop_map(Arc::from));
    let address = prop_oneof![3 => select(&OWN[..]).prop_map(ip), 1 => (0..NODES.len()).prop_map(|n| address_of(n, 0))];
    (node, option::weighted(0.9, selector()), option::weighted(0.9, address)).prop_map(
        |(node, node_selector, address)| SpeakerObject::CalicoPeer(CalicoPeer { node, node_selector, address }),
    )
}

fn cilium_advertisement() -> impl Strategy<Value = SpeakerObject> {
    let services = (option::weighted(0.8, selector()), any::<bool>(), any::<bool>(), lengths()).prop_map(
        |(selector, load_balancer, external, lengths)| CiliumServices { selector, load_balancer, external, lengths },
    );
    (labels(), vec(services, 0..3)).prop_map(|(labels, services)| {
        SpeakerObject::CiliumAdvertisement(CiliumAdvertisement { labels, services: services.into() })
    })
}

fn object(resource: SpeakerResource) -> BoxedStrategy<SpeakerObject> {
    match resource {
        SpeakerResource::MetallbStatuses
        | SpeakerResource::MetallbL2Statuses
        | SpeakerResource::MetallbPools
        | SpeakerResource::CiliumPools
        | SpeakerResource::CalicoPools => pool().boxed(),
        SpeakerResource::MetallbAdvertisements => metallb_advertisement().boxed(),
        SpeakerResource::MetallbPeers => metallb_peer().boxed(),
        SpeakerResource::MetallbL2Advertisements => metallb_pools()
            .prop_map(|pools| SpeakerObject::MetallbL2Advertisement(MetallbL2Advertisement { pools }))
            .boxed(),
        SpeakerResource::CiliumL2Policies => (option::of(selector()), any::<bool>(), any::<bool>())
            .prop_map(|(service_selector, load_balancer, external)| {
                SpeakerObject::CiliumL2Policy(CiliumL2Policy { service_selector, load_balancer, external })
            })
            .boxed(),
        SpeakerResource::CiliumAdvertisements => cilium_advertisement().boxed(),
        SpeakerResource::CiliumClusters => (option::of(selector()), names())
            .prop_map(|(node_selector, peers)| SpeakerObject::CiliumCluster(CiliumCluster { node_selector, peers }))
            .boxed(),
        SpeakerResource::CiliumPeers => vec((any::<bool>(), option::weighted(0.8, selector())), 0..3)
            .prop_map(|families| SpeakerObject::CiliumPeer(CiliumPeer { families: families.into() }))
            .boxed(),
        SpeakerResource::CiliumNodes => names()
            .prop_map(|peers| SpeakerObject::CiliumNode(CiliumNode { peers, local_addresses: Box::default() }))
            .boxed(),
        SpeakerResource::CalicoPeers => calico_peer().boxed(),
        SpeakerResource::CalicoConfigurations => (prefixes(), prefixes(), any::<bool>())
            .prop_map(|(load_balancer, external, aggregation)| {
                let configuration = CalicoConfiguration { load_balancer, external, aggregation };
                SpeakerObject::CalicoConfiguration(configuration)
            })
            .boxed(),
    }
}

/// Returns an object with a possible name. The object of a node defines the address from which that node speaks.
fn entry(resource: SpeakerResource) -> impl Strategy<Value = (ObjectKey, SpeakerObject)> {
    (object(resource), 0..NODES.len(), 0..4_usize).prop_map(move |(object, number, which)| {
        let name = match resource {
            SpeakerResource::CiliumNodes => NODES[number],
            SpeakerResource::CalicoConfigurations => "default",
            _ => NAMES[number % NAMES.len()],
        };
        let object = match object {
            SpeakerObject::CiliumNode(node) => {
                let local_addresses: Box<[IpAddr]> = [address_of(number, which)].into();
                SpeakerObject::CiliumNode(CiliumNode { local_addresses, ..node })
            }
            object => object,
        };
        (ObjectKey { namespace: None, name: name.into() }, object)
    })
}

fn state() -> impl Strategy<Value = ResourceState> {
    prop_oneof![
        8 => Just(ResourceState::Watched),
        1 => Just(ResourceState::Absent),
        1 => Just(ResourceState::Forbidden("a rule".into())),
        1 => Just(ResourceState::Failed("a reason".into())),
        1 => Just(ResourceState::TooMany("a number".into())),
    ]
}

fn status() -> impl Strategy<Value = StatusKey> {
    (select(&["web", "dns"][..]), select(&NODES[..]), 0..2_u64).prop_map(|(service, node, object)| StatusKey {
        service: key(service),
        node: node.into(),
        object,
    })
}

/// Returns an event of a speaker's resources.
pub(crate) fn event() -> impl Strategy<Value = ClusterEvent> {
    let resource = || select(SpeakerResource::ALL.to_vec());
    let states = (resource(), state()).prop_map(|(resource, state)| ClusterEvent::SpeakerResource(resource, state));
    let set = resource().prop_flat_map(|resource| {
        entry(resource).prop_map(move |(key, object)| ClusterEvent::SpeakerObjects(resource, Update::Set(key, object)))
    });
    let gone = resource().prop_flat_map(|resource| {
        entry(resource).prop_map(move |(key, _)| ClusterEvent::SpeakerObjects(resource, Update::Gone(key)))
    });
    let all = resource().prop_flat_map(|resource| {
        vec(entry(resource), 0..3).prop_map(move |mut all| {
            all.sort_by(|(one, _), (other, _)| one.cmp(other));
            all.dedup_by(|(one, _), (other, _)| one == other);
            ClusterEvent::SpeakerObjects(resource, Update::All(all))
        })
    });
    let said = prop_oneof![
        4 => status().prop_map(|status| Update::Set(status, ())),
        2 => status().prop_map(Update::Gone),
        1 => btree_set(status(), 0..4).prop_map(|all| Update::All(all.into_iter().map(|one| (one, ())).collect())),
    ];
    let statuses = select(&[SpeakerResource::MetallbStatuses, SpeakerResource::MetallbL2Statuses][..]);
    let said = (statuses, said).prop_map(|(resource, update)| ClusterEvent::Announcements(resource, update));
    prop_oneof![4 => states, 6 => set, 2 => gone, 1 => all, 3 => said]
}
