//! Implements MetalLB's rules: a BGPAdvertisement selects pools, services, nodes and peers.
//!
//! Advertisements of several lengths announce a VIP by several prefixes. Traffic follows the longest prefix that
//! exists, so that the nodes that announce that one are its announcers.
//!
//! An L2Advertisement selects pools. One node at a time answers ARP and ND for their addresses. A pool may have both
//! kinds.
//!
//! In a cluster with neither pools nor advertisements, addresses come from elsewhere, and nobody is restricted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::resources::{Rule, SpeakerResources, Subject};
use crate::model::cluster::Node;
use crate::model::selector::{Operator, Selector};
use crate::model::speaker::SpeakerResource::{
    MetallbAdvertisements, MetallbL2Advertisements, MetallbPeers, MetallbPools,
};
use crate::model::speaker::{
    MetallbAdvertisement, MetallbL2Advertisement, MetallbPeer, MetallbPools as Pools, ObjectKey, Pool, SpeakerObject,
};

/// The label with a node's own name.
const HOST_NAME: &str = "kubernetes.io/hostname";

pub(super) fn rule(resources: &SpeakerResources, subject: Subject<'_>) -> Rule {
    // MetalLB does not announce external IPs, so its resources do not show who does.
    if subject.is_external() || !resources.knows(MetallbAdvertisements) {
        return Rule::default();
    }
    let mut advertisements = advertisements(resources).peekable();
    let none = advertisements.peek().is_none();
    if none && pools(resources).next().is_none() {
        return Rule::default();
    }
    let pool = pool(resources, subject);
    let unpooled = pool.is_none() && resources.knows(MetallbPools);
    let mut by_l2 = l2_advertisements(resources).filter(|advertisement| selects_pool(&advertisement.pools, pool));
    let by_l2 = !unpooled && by_l2.next().is_some();
    if none {
        let rule = Rule::nobody("no BGPAdvertisement exists: MetalLB assigns addresses and announces none by BGP");
        return Rule { by_l2_only: by_l2, ..rule };
    }
    if unpooled {
        return Rule::nobody("no IPAddressPool holds all addresses of the service: MetalLB announces none of them");
    }
    let of_pool = advertisements.filter(|(_, advertisement)| selects_pool(&advertisement.pools, pool));
    let of_pool: Vec<_> = of_pool.collect();
    let label = |name: &str| subject.service.labels.get(name);
    let matching = of_pool.iter().filter(|(_, advertisement)| any(&advertisement.service_selectors, label));
    let matching: Vec<_> = matching.collect();
    if matching.is_empty() {
        let pool = pool.map_or_else(|| "the pool".to_owned(), |(key, _)| format!("IPAddressPool {key}"));
        let why = match of_pool.is_empty() {
            true => format!("no BGPAdvertisement selects {pool}"),
            false => format!("no BGPAdvertisement of {pool} selects the service by its labels"),
        };
        return Rule { by_l2_only: by_l2, ..Rule::nobody(why) };
    }
    let mut prefixes = BTreeMap::<IpNet, Vec<ObjectKey>>::new();
    for (key, advertisement) in matching {
        prefixes.entry(advertisement.lengths.prefix(subject.vip)).or_default().push((*key).clone());
    }
    // The shortest first, because each contains those before it.
    let mut prefixes: Vec<_> = prefixes.into_iter().collect();
    prefixes.sort_by_key(|(prefix, _)| prefix.prefix_len());
    prefixes.into_iter().fold(Rule::default(), |shorter, (prefix, by)| Rule {
        by,
        prefix: Some(prefix),
        shorter: (!shorter.by.is_empty()).then(|| Box::new(shorter)),
        ..Rule::default()
    })
}

/// Returns whether one of the advertisements, all of one prefix, announces from the node: the advertisement selects the
/// node, and so does a peer that it goes to. If two that select the node and may go to one peer disagree on the
/// prefix's attributes, MetalLB announces nothing from there, unless neither of them selects services: MetalLB
/// rejects such advertisements as a whole, and keeps those it had.
pub(super) fn selects(resources: &SpeakerResources, by: &[ObjectKey], node: &Node) -> bool {
    let label = |name: &str| node.labels.get(name);
    let named = by.iter().filter_map(|key| advertisement(resources, key));
    let selecting: Vec<_> = named.filter(|advertisement| any(&advertisement.node_selectors, label)).collect();
    let conflicting = |one: &&MetallbAdvertisement| selecting.iter().any(|other| conflict(one, other));
    !selecting.iter().any(conflicting) && selecting.iter().any(|advertisement| goes_out(resources, advertisement, node))
}

/// Returns whether two advertisements of one prefix exclude each other for a service that matches both.
fn conflict(one: &MetallbAdvertisement, other: &MetallbAdvertisement) -> bool {
    let attributes = |of: &MetallbAdvertisement| (of.local_preference, of.prepended);
    let everywhere = one.peers.is_empty() || other.peers.is_empty();
    let meet = everywhere || one.peers.iter().any(|peer| other.peers.contains(peer));
    let chosen = !one.service_selectors.is_empty() || !other.service_selectors.is_empty();
    attributes(one) != attributes(other) && meet && chosen
}

/// Returns whether a peer that the advertisement goes to is one of the node's.
fn goes_out(resources: &SpeakerResources, advertisement: &MetallbAdvertisement, node: &Node) -> bool {
    let mut peers = peers(resources).peekable();
    let label = |name: &str| node.labels.get(name);
    // If no peer is known, sessions come from elsewhere.
    peers.peek().is_none() || peers.any(|(key, peer)| goes_to(advertisement, key) && any(&peer.node_selectors, label))
}

fn goes_to(advertisement: &MetallbAdvertisement, peer: &ObjectKey) -> bool {
    advertisement.peers.is_empty() || advertisement.peers.contains(&peer.name)
}

fn advertisement<'a>(resources: &'a SpeakerResources, key: &ObjectKey) -> Option<&'a MetallbAdvertisement> {
    match resources.object(MetallbAdvertisements, key)? {
        SpeakerObject::MetallbAdvertisement(advertisement) => Some(advertisement),
        _ => None,
    }
}

/// Returns whether the advertisements go only to peers of the node that are other switches. That is known only if
/// another peer of the node is this one: otherwise, the leaf may have the address of a peer without showing it.
pub(super) fn passes_by(
    resources: &SpeakerResources,
    by: &[ObjectKey],
    node: &Node,
    is_own: impl Fn(IpAddr) -> bool,
) -> bool {
    let label = |name: &str| node.labels.get(name);
    let of_node: Vec<_> = peers(resources).filter(|(_, peer)| any(&peer.node_selectors, label)).collect();
    if !of_node.iter().any(|(_, peer)| peer.address.is_some_and(&is_own)) {
        return false;
    }
    let named = by.iter().filter_map(|key| advertisement(resources, key));
    let mut selecting = named.filter(|advertisement| any(&advertisement.node_selectors, label));
    let here = |advertisement: &MetallbAdvertisement| {
        let mut peers = of_node.iter().filter(|(key, _)| goes_to(advertisement, key));
        peers.any(|(_, peer)| peer.address.is_none_or(&is_own))
    };
    !selecting.any(here)
}

/// Returns the addresses of all peers.
pub(super) fn peer_addresses(resources: &SpeakerResources) -> BTreeSet<IpAddr> {
    peers(resources).filter_map(|(_, peer)| peer.address).collect()
}

/// Returns the addresses that the node speaks from according to peers for this node alone.
pub(super) fn addresses(resources: &SpeakerResources, node: &Node) -> Vec<IpAddr> {
    let label = |name: &str| node.labels.get(name);
    let own = peers(resources).filter(|(_, peer)| match &*peer.node_selectors {
        [only] => names_one_node(only) && only.selects(label),
        _ => false,
    });
    own.filter_map(|(_, peer)| peer.source).collect()
}

fn names_one_node(selector: &Selector) -> bool {
    selector.0.iter().any(|requirement| {
        *requirement.label == *HOST_NAME && matches!(&requirement.operator, Operator::In(values) if values.len() == 1)
    })
}

/// Returns whether one of the selectors selects; an empty list selects everything.
fn any<'a>(selectors: &[Selector], label: impl Fn(&str) -> Option<&'a str>) -> bool {
    selectors.is_empty() || selectors.iter().any(|selector| selector.selects(&label))
}

/// Returns whether the pool is selected; true if it is not known.
fn selects_pool(pools: &Pools, pool: Option<(&ObjectKey, &Pool)>) -> bool {
    pool.is_none_or(|(key, pool)| {
        let all = pools.names.is_empty() && pools.selectors.is_empty();
        let named = pools.names.contains(&key.name);
        all || named || pools.selectors.iter().any(|selector| selector.selects(|name| pool.labels.get(name)))
    })
}

/// Returns the one pool that contains all addresses of the service.
fn pool<'a>(resources: &'a SpeakerResources, subject: Subject<'_>) -> Option<(&'a ObjectKey, &'a Pool)> {
    let holds = |pool: &Pool, address: &IpAddr| pool.prefixes.iter().any(|prefix| prefix.contains(address));
    pools(resources).find(|(_, pool)| subject.service.ingress.iter().all(|address| holds(pool, address)))
}

fn pools(resources: &SpeakerResources) -> impl Iterator<Item = (&ObjectKey, &Pool)> {
    resources.objects(MetallbPools).filter_map(|(key, object)| match object {
        SpeakerObject::Pool(pool) => Some((key, pool)),
        _ => None,
    })
}

fn advertisements(resources: &SpeakerResources) -> impl Iterator<Item = (&ObjectKey, &MetallbAdvertisement)> {
    resources.objects(MetallbAdvertisements).filter_map(|(key, object)| match object {
        SpeakerObject::MetallbAdvertisement(advertisement) => Some((key, advertisement)),
        _ => None,
    })
}

fn l2_advertisements(resources: &SpeakerResources) -> impl Iterator<Item = &MetallbL2Advertisement> {
    resources.objects(MetallbL2Advertisements).filter_map(|(_, object)| match object {
        SpeakerObject::MetallbL2Advertisement(advertisement) => Some(advertisement),
        _ => None,
    })
}

fn peers(resources: &SpeakerResources) -> impl Iterator<Item = (&ObjectKey, &MetallbPeer)> {
    resources.objects(MetallbPeers).filter_map(|(key, object)| match object {
        SpeakerObject::MetallbPeer(peer) => Some((key, peer)),
        _ => None,
    })
}
