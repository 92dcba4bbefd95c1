//! MetalLB: pools, advertisements and peers select what is announced. All three BGP implementations follow the same
//! rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::fabric::config::SpeakerFlags;
use crate::fabric::objects::{Objects, Service, any_selects, items, labels, name, text, texts};

use super::{Peering, aggregate, hosts, reaches};

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Returns what the node announces; `None` if no `BGPPeer` makes it peer with this leaf. A cluster without MetalLB's
/// resources advertises everything to everyone.
pub(super) fn announced(flags: &SpeakerFlags, objects: &Objects, peering: &Peering<'_>) -> Option<BTreeSet<IpNet>> {
    let peers = peers(objects, peering);
    if peers.is_empty() && !objects.resources("BGPPeer").is_empty() {
        return None;
    }
    if !eligible(flags, objects, peering.node) {
        return Some(BTreeSet::new());
    }
    let services = objects.services.iter().filter(|service| {
        service.load_balancer
            && service.class == flags.load_balancer_class
            && reaches(objects, service, peering.node, |endpoint| endpoint.ready || endpoint.serving)
    });
    Some(services.flat_map(|service| advertised(objects, service, peering.node, &peers)).collect())
}

/// Returns whether the node's speaker may answer ARP and ND for a service's addresses.
pub(super) fn answers(flags: &SpeakerFlags, objects: &Objects, service: &Service, node: &str) -> bool {
    service.class == flags.load_balancer_class
        && eligible(flags, objects, node)
        && reaches(objects, service, node, |endpoint| endpoint.ready || endpoint.serving)
        && pool(objects, &service.ingress).is_some_and(|pool| advertises(objects, pool, service, node))
}

/// Returns whether an `L2Advertisement` makes a node answer for the addresses of a pool.
fn advertises(objects: &Objects, pool: &Value, service: &Service, node: &str) -> bool {
    objects.resources("L2Advertisement").iter().any(|advertisement| {
        selects_pool(advertisement, pool)
            && any_selects(advertisement, "/spec/nodeSelectors", &objects.node_labels(node))
            && any_selects(advertisement, "/spec/serviceSelectors", &service.labels)
    })
}

/// Returns the names of the peers by which the node's speaker peers with this leaf.
fn peers(objects: &Objects, peering: &Peering<'_>) -> BTreeSet<String> {
    let node_labels = objects.node_labels(peering.node);
    let number = |peer: &Value, pointer: &str| peer.pointer(pointer).and_then(Value::as_u64);
    let peers = objects.resources("BGPPeer").iter().filter(|peer| {
        any_selects(peer, "/spec/nodeSelectors", &node_labels)
            && peering.is_peer(text(peer, "/spec/peerAddress"))
            && number(peer, "/spec/peerASN") == Some(u64::from(peering.leaf_as))
            && number(peer, "/spec/myASN") == Some(u64::from(peering.node_as))
    });
    peers.map(name).collect()
}

/// Returns whether the node may announce at all. Ready and cordon do not matter.
fn eligible(flags: &SpeakerFlags, objects: &Objects, node: &str) -> bool {
    objects.nodes.get(node).is_none_or(|node| {
        !node.network_unavailable && (flags.ignore_exclude_label || !node.labels.contains_key(EXCLUDE))
    })
}

/// Returns the prefixes of one service, according to the advertisements that select it.
fn advertised(objects: &Objects, service: &Service, node: &str, peers: &BTreeSet<String>) -> Vec<IpNet> {
    if objects.resources("IPAddressPool").is_empty() && objects.resources("BGPAdvertisement").is_empty() {
        return hosts(&service.ingress).collect();
    }
    let Some(pool) = pool(objects, &service.ingress) else { return Vec::new() };
    let matching: Vec<&Value> = objects
        .resources("BGPAdvertisement")
        .iter()
        .filter(|advertisement| selects_pool(advertisement, pool))
        .filter(|advertisement| any_selects(advertisement, "/spec/nodeSelectors", &objects.node_labels(node)))
        .filter(|advertisement| any_selects(advertisement, "/spec/serviceSelectors", &service.labels))
        .collect();
    if conflicting(pool, &matching) {
        return Vec::new();
    }
    let to_peer = matching.into_iter().filter(|advertisement| {
        let mut listed = texts(advertisement, "/spec/peers").peekable();
        listed.peek().is_none() || listed.any(|peer| peers.contains(peer))
    });
    to_peer
        .flat_map(|advertisement| service.ingress.iter().map(move |address| prefix(advertisement, *address)))
        .collect()
}

/// Returns the pool that contains all the addresses.
fn pool<'a>(objects: &'a Objects, addresses: &[IpAddr]) -> Option<&'a Value> {
    let holds = |pool: &&Value| {
        addresses.iter().all(|address| texts(pool, "/spec/addresses").any(|range| in_range(range, *address)))
    };
    objects.resources("IPAddressPool").iter().find(holds).filter(|_| !addresses.is_empty())
}

/// Returns whether an address is in a range: `a.b.c.d/nn`, or `start-end`.
fn in_range(range: &str, address: IpAddr) -> bool {
    if let Some((start, end)) = range.split_once('-') {
        let bounds = (start.trim().parse::<IpAddr>(), end.trim().parse::<IpAddr>());
        return matches!(bounds, (Ok(start), Ok(end)) if start.is_ipv4() == address.is_ipv4()
            && start <= address && address <= end);
    }
    range.trim().parse::<IpNet>().is_ok_and(|net| net.contains(&address))
}

/// Returns whether an advertisement is for a pool. Without pools and pool selectors, it is for all of them.
fn selects_pool(advertisement: &Value, pool: &Value) -> bool {
    let mut named = texts(advertisement, "/spec/ipAddressPools").peekable();
    let mut selectors = items(advertisement, "/spec/ipAddressPoolSelectors").peekable();
    if named.peek().is_none() && selectors.peek().is_none() {
        return true;
    }
    let pool_labels = labels(pool, "/metadata/labels");
    named.any(|candidate| candidate == name(pool))
        || (selectors.peek().is_some() && any_selects(advertisement, "/spec/ipAddressPoolSelectors", &pool_labels))
}

/// Returns whether two advertisements produce different updates of one prefix for one peer, so that nothing is
/// announced. MetalLB rejects two advertisements that select every service and keeps the previous state; here, these do
/// not conflict.
fn conflicting(pool: &Value, advertisements: &[&Value]) -> bool {
    let pairs = advertisements.iter().enumerate().flat_map(|(at, one)| {
        let others = advertisements[at + 1..].iter();
        others.map(move |other| (*one, *other))
    });
    let number = |value: &Value, name: &str| value["spec"][name].as_u64();
    let attributes = |it: &Value| ["localPref", "asPathPrepend"].map(|name| number(it, name).unwrap_or(0));
    let picks = |it: &Value| items(it, "/spec/serviceSelectors").next().is_some();
    let mut ranges = texts(pool, "/spec/addresses");
    let v6 = ranges.any(|range| range.contains(':'));
    let v4 = texts(pool, "/spec/addresses").any(|range| !range.contains(':'));
    pairs.into_iter().any(|(one, other)| {
        let same = |name: &str, host: u64| number(one, name).unwrap_or(host) == number(other, name).unwrap_or(host);
        let same_prefix = v4 && same("aggregationLength", 32) || v6 && same("aggregationLengthV6", 128);
        let (to, mut also_to) = (texts(one, "/spec/peers").collect::<Vec<_>>(), texts(other, "/spec/peers").peekable());
        let same_peer = to.is_empty() || also_to.peek().is_none() || also_to.any(|peer| to.contains(&peer));
        same_prefix && same_peer && attributes(one) != attributes(other) && (picks(one) || picks(other))
    })
}

fn prefix(advertisement: &Value, address: IpAddr) -> IpNet {
    let pointer = if address.is_ipv4() { "/spec/aggregationLength" } else { "/spec/aggregationLengthV6" };
    aggregate(address, advertisement.pointer(pointer).and_then(Value::as_u64))
}
