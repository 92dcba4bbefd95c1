//! Cilium's BGP control plane. Version 2: cluster configs select nodes, peer configs select advertisements, and these
//! select services. Version 1 (until 1.18): one peering policy per node, whose virtual routers select services.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::Value;

use crate::fabric::config::SpeakerFlags;
use crate::fabric::objects::{Labels, Objects, Service, flag, items, labels, name, selects, text, texts};

use super::{Peering, aggregate, hosts};

const CLASS: &str = "io.cilium/bgp-control-plane";

/// Returns what the node announces; `None` if no cluster config makes it peer with this leaf. A cluster without
/// Cilium's BGP resources advertises everything to everyone.
pub(super) fn announced(flags: &SpeakerFlags, objects: &Objects, peering: &Peering<'_>) -> Option<BTreeSet<IpNet>> {
    let services = objects.services.iter().filter(|service| announces(flags, objects, service, peering.node));
    if !objects.resources("CiliumBGPPeeringPolicy").is_empty() {
        let router = virtual_router(objects, peering)?;
        let selected = services.filter(|service| selected_by(router.pointer("/serviceSelector"), service));
        let pods = pod_ranges(objects, peering.node).filter(|_| flag(router, "/exportPodCIDR") == Some(true));
        return Some(selected.flat_map(|service| hosts(&service.ingress)).chain(pods).collect());
    }
    if objects.resources("CiliumBGPClusterConfig").is_empty() {
        return Some(services.flat_map(|service| hosts(&service.ingress)).collect());
    }
    let peer = peer(objects, peering)?;
    let advertisements = advertisements(objects, peer, peering.v4);
    Some(services.flat_map(|service| prefixes(&advertisements, service)).collect())
}

/// Returns whether class, exposure and endpoints allow the announcement. Terminating endpoints never count.
fn announces(flags: &SpeakerFlags, objects: &Objects, service: &Service, node: &str) -> bool {
    let ours = service.class.as_deref().is_none_or(|class| class == CLASS);
    let exposed = service.annotations.get("service.cilium.io/type").is_none_or(|kind| kind == "LoadBalancer")
        && service.annotations.get("service.cilium.io/node").is_none_or(|only| only == node);
    let mut ready = objects.endpoints_of(service).iter().filter(|endpoint| endpoint.ready);
    let reachable = if service.local {
        ready.any(|endpoint| endpoint.node.as_deref() == Some(node))
    } else {
        flags.no_endpoints_routable || ready.next().is_some()
    };
    service.load_balancer && ours && exposed && reachable
}

/// Returns the virtual router of version 1 that has this leaf as a neighbor. A node selected by two policies gets
/// neither.
fn virtual_router<'a>(objects: &'a Objects, peering: &Peering<'_>) -> Option<&'a Value> {
    let node_labels = cilium_labels(objects, peering.node);
    let mut policies = objects
        .resources("CiliumBGPPeeringPolicy")
        .iter()
        .filter(|policy| policy.pointer("/spec/nodeSelector").is_none_or(|selector| selects(selector, &node_labels)));
    let (Some(policy), None) = (policies.next(), policies.next()) else { return None };
    items(policy, "/spec/virtualRouters")
        .find(|router| items(router, "/neighbors").any(|neighbor| peering.is_peer(text(neighbor, "/peerAddress"))))
}

/// Returns the address ranges of a node's pods: from Cilium's own allocation, or else from the cluster's.
fn pod_ranges<'a>(objects: &'a Objects, node: &str) -> impl Iterator<Item = IpNet> + use<'a> {
    let own = objects.resources("CiliumNode").iter().find(|object| name(object) == node);
    let allocated = own.into_iter().flat_map(|object| texts(object, "/spec/ipam/podCIDRs"));
    let mut allocated = allocated.filter_map(|range| range.parse().ok()).peekable();
    let fallback = allocated.peek().is_none().then(|| objects.nodes.get(node)).flatten();
    allocated.chain(fallback.into_iter().flat_map(|node| node.pod_ranges.iter().copied()))
}

/// Returns the peer config for this leaf in the first cluster config that selects the node.
fn peer<'a>(objects: &'a Objects, peering: &Peering<'_>) -> Option<&'a Value> {
    let node_labels = cilium_labels(objects, peering.node);
    let config = objects
        .resources("CiliumBGPClusterConfig")
        .iter()
        .find(|config| config.pointer("/spec/nodeSelector").is_none_or(|selector| selects(selector, &node_labels)))?;
    let instances = items(config, "/spec/bgpInstances");
    let mut peers = instances.flat_map(|instance| items(instance, "/peers"));
    let peer = peers.find(|peer| peering.is_peer(text(peer, "/peerAddress")))?;
    let reference = text(peer, "/peerConfigRef/name")?;
    objects.resources("CiliumBGPPeerConfig").iter().find(|config| name(config) == reference)
}

/// Returns the labels that selectors match: those of `CiliumNode`, or else those of the node, which are normally equal.
fn cilium_labels(objects: &Objects, node: &str) -> Labels {
    let own = objects.resources("CiliumNode").iter().find(|object| name(object) == node);
    own.map_or_else(|| objects.node_labels(node), |object| labels(object, "/metadata/labels"))
}

/// Returns the advertisements selected by the peer's family; none without a selector.
fn advertisements<'a>(objects: &'a Objects, peer_config: &Value, v4: bool) -> Vec<&'a Value> {
    let afi = if v4 { "ipv4" } else { "ipv6" };
    let selectors: Vec<&Value> = items(peer_config, "/spec/families")
        .filter(|family| text(family, "/afi") == Some(afi))
        .filter_map(|family| family.pointer("/advertisements"))
        .collect();
    let resources = objects.resources("CiliumBGPAdvertisement").iter();
    let selected = resources.filter(|resource| {
        let own = labels(resource, "/metadata/labels");
        selectors.iter().any(|selector| selects(selector, &own))
    });
    selected.flat_map(|resource| items(resource, "/spec/advertisements")).collect()
}

/// Returns whether a selector selects a service, whose name and namespace count as labels too. Without a selector,
/// nothing is selected.
fn selected_by(selector: Option<&Value>, service: &Service) -> bool {
    let mut labels = service.labels.clone();
    labels.insert("io.kubernetes.service.namespace".to_owned(), service.key.0.clone());
    labels.insert("io.kubernetes.service.name".to_owned(), service.key.1.clone());
    selector.is_some_and(|selector| selector.is_object() && selects(selector, &labels))
}

fn prefixes(advertisements: &[&Value], service: &Service) -> Vec<IpNet> {
    let matching = advertisements.iter().filter(|advertisement| {
        text(advertisement, "/advertisementType") == Some("Service")
            && texts(advertisement, "/service/addresses").any(|kind| kind == "LoadBalancerIP")
            && selected_by(advertisement.pointer("/selector"), service)
    });
    matching
        .flat_map(|advertisement| {
            service.ingress.iter().map(move |address| {
                let family =
                    if address.is_ipv4() { "/service/aggregationLengthIPv4" } else { "/service/aggregationLengthIPv6" };
                let length = advertisement.pointer(family).and_then(Value::as_u64).filter(|_| !service.local);
                aggregate(*address, length)
            })
        })
        .collect()
}
