//! Calico: every node announces the configured ranges; host prefixes are announced for policy Local and single
//! addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::fabric::objects::{Objects, Service, flag, items, name, text};

use super::Peering;

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What the `BGPConfiguration` named `default` announces.
struct Ranges {
    /// Blocks of load balancer and external addresses.
    service: Vec<IpNet>,
    /// Blocks of cluster addresses.
    cluster: Vec<IpNet>,
    /// Whether load balancer blocks are announced instead of their members.
    aggregation: bool,
    mesh: bool,
}

/// Returns what the node announces; `None` if no `BGPPeer` makes it peer with this leaf. If a cluster has no `BGPPeer`,
/// all its nodes peer with their leaves.
pub(super) fn announced(objects: &Objects, peering: &Peering<'_>) -> Option<BTreeSet<IpNet>> {
    if !peers(objects, peering) {
        return None;
    }
    let Some(ranges) = ranges(objects) else { return Some(BTreeSet::new()) };
    if excluded(objects, peering.node) {
        return Some(BTreeSet::new());
    }
    let blocks = ranges.service.iter().chain(&ranges.cluster).filter(|block| !is_host(block));
    let mut prefixes: BTreeSet<IpNet> = if ranges.aggregation {
        blocks.copied().collect()
    } else {
        ranges.cluster.iter().filter(|block| !is_host(block)).copied().collect()
    };
    // With the node-to-node mesh and eBGP to the leaf, a node that holds a block relays the other nodes' members of it.
    let relayed = ranges.mesh && ranges.aggregation && peering.leaf_as != peering.node_as;
    let speakers = objects.nodes.keys().filter(|node| !excluded(objects, node) && relayed).map(String::as_str);
    for node in speakers.chain([peering.node]) {
        for service in &objects.services {
            prefixes.extend(service_prefixes(objects, &ranges, service, node));
        }
    }
    Some(prefixes)
}

/// Returns whether a `BGPPeer` makes the node peer with this leaf: by its name, by its labels, or because it is for all
/// nodes.
fn peers(objects: &Objects, peering: &Peering<'_>) -> bool {
    let calico = |peer: &&Value| peer.pointer("/spec/peerIP").is_some() || peer.pointer("/spec/asNumber").is_some();
    let mut all = objects.resources("BGPPeer").iter().filter(calico).peekable();
    let labels = objects.node_labels(peering.node);
    all.peek().is_none()
        || all.any(|peer| {
            let node = text(peer, "/spec/node");
            let selector = text(peer, "/spec/nodeSelector").unwrap_or_default();
            node.is_none_or(|node| node == peering.node)
                && selected(selector, &labels)
                && peering.is_peer(text(peer, "/spec/peerIP"))
        })
}

/// Evaluates Calico's selectors, as far as peers of nodes use them: `all()`, `has(label)`, `label == 'value'`, joined
/// by `&&`.
fn selected(selector: &str, labels: &std::collections::BTreeMap<String, String>) -> bool {
    selector.split("&&").map(str::trim).filter(|term| !term.is_empty()).all(|term| {
        if term == "all()" {
            return true;
        }
        if let Some(label) = term.strip_prefix("has(").and_then(|rest| rest.strip_suffix(')')) {
            return labels.contains_key(label.trim());
        }
        term.split_once("==").is_some_and(|(label, value)| {
            labels.get(label.trim()).map(String::as_str) == Some(value.trim().trim_matches(['\'', '"']))
        })
    })
}

fn ranges(objects: &Objects) -> Option<Ranges> {
    let config = objects.resources("BGPConfiguration").iter().find(|config| name(config) == "default")?;
    let cidrs = |pointer: &str| -> Vec<IpNet> {
        items(config, pointer).filter_map(|entry| text(entry, "/cidr")?.parse().ok()).collect()
    };
    let mut service = cidrs("/spec/serviceLoadBalancerIPs");
    service.extend(cidrs("/spec/serviceExternalIPs"));
    Some(Ranges {
        service,
        cluster: cidrs("/spec/serviceClusterIPs"),
        aggregation: config.pointer("/spec/serviceLoadBalancerAggregation").and_then(Value::as_str) != Some("Disabled"),
        mesh: flag(config, "/spec/nodeToNodeMeshEnabled").unwrap_or(true),
    })
}

/// Returns whether a node is excluded. Only the label value `true` excludes it.
fn excluded(objects: &Objects, node: &str) -> bool {
    objects.nodes.get(node).is_some_and(|node| node.labels.get(EXCLUDE).is_some_and(|value| value == "true"))
}

fn service_prefixes(objects: &Objects, ranges: &Ranges, service: &Service, node: &str) -> Vec<IpNet> {
    if !objects.sliced.contains(&service.key) {
        return Vec::new();
    }
    let mut ready = objects.endpoints_of(service).iter().filter(|endpoint| endpoint.ready);
    let addresses = service.ingress.iter().chain(&service.external);
    let allowed = addresses.filter(|address| inside(&ranges.service, **address));
    if service.local {
        if !ready.any(|endpoint| endpoint.node.as_deref() == Some(node)) {
            return Vec::new();
        }
        let cluster = service.cluster.iter().filter(|address| inside(&ranges.cluster, **address));
        return allowed.chain(cluster).map(|address| IpNet::from(*address)).collect();
    }
    let disaggregated = !ranges.aggregation && ready.next().is_some();
    let single = |address: &IpAddr| ranges.service.contains(&IpNet::from(*address));
    allowed.filter(|address| disaggregated || single(address)).map(|address| IpNet::from(*address)).collect()
}

fn inside(blocks: &[IpNet], address: IpAddr) -> bool {
    blocks.iter().any(|block| block.contains(&address))
}

fn is_host(block: &IpNet) -> bool {
    block.prefix_len() == block.max_prefix_len()
}
