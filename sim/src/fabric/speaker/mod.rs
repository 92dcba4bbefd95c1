//! Computes what each node's speaker announces, by the rules of its implementation, from the objects of the cluster.
//! Written from the implementations' documented behaviour and deliberately not shared with the agent, so that the two
//! check each other.

mod calico;
mod cilium;
mod kube_router;
mod kube_vip;
mod layer2;
mod metallb;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::config::{ClusterConfig, Speaker};
use super::objects::{Endpoint, Objects, Service};

/// A session from the speaker's side.
#[derive(Clone, Debug)]
pub(crate) struct Peering<'a> {
    /// The node.
    pub(crate) node: &'a str,
    /// The leaf's addresses that a speaker may have as its peer.
    pub(crate) leaf_addresses: &'a [IpAddr],
    /// The leaf's AS number.
    pub(crate) leaf_as: u32,
    /// The speaker's own AS number.
    pub(crate) node_as: u32,
    /// Whether the session's family is IPv4. Prefixes of the other family are not announced on it.
    pub(crate) v4: bool,
}

impl Peering<'_> {
    /// Returns whether a resource's peer address is this leaf.
    fn is_peer(&self, address: Option<&str>) -> bool {
        let parsed = address.and_then(|text| text.split('/').next()).and_then(|text| text.parse::<IpAddr>().ok());
        parsed.is_some_and(|address| self.leaf_addresses.contains(&address))
    }
}

pub(crate) use self::layer2::{holders, statuses};

/// Returns what a node announces to one peer; `None` if its speaker does not have this peer, so there is no session. A
/// node that is not in the cluster has no speaker.
pub(crate) fn announced(cluster: &ClusterConfig, objects: &Objects, peering: &Peering<'_>) -> Option<BTreeSet<IpNet>> {
    if !objects.nodes.is_empty() && !objects.nodes.contains_key(peering.node) {
        return None;
    }
    let mut prefixes = match cluster.speaker {
        Speaker::Metallb => metallb::announced(&cluster.speaker_flags, objects, peering)?,
        Speaker::Cilium => cilium::announced(&cluster.speaker_flags, objects, peering)?,
        Speaker::Calico => calico::announced(objects, peering)?,
        Speaker::KubeRouter => kube_router::announced(objects, peering.node),
        Speaker::KubeVip if cluster.speaker_flags.kube_vip_arp => return None,
        Speaker::KubeVip => kube_vip::announced(objects, peering.node),
        Speaker::Generic => generic(objects, peering.node),
    };
    prefixes.retain(|prefix| prefix.addr().is_ipv4() == peering.v4);
    Some(prefixes)
}

/// Returns what a generic speaker announces. It uses the same endpoints as MetalLB: ready, or still serving while
/// terminating.
fn generic(objects: &Objects, node: &str) -> BTreeSet<IpNet> {
    let services = objects.services.iter().filter(|service| service.load_balancer);
    let usable = |endpoint: &Endpoint| endpoint.ready || endpoint.serving;
    services.filter(|service| reaches(objects, service, node, usable)).flat_map(|s| hosts(&s.ingress)).collect()
}

/// Returns whether a node reaches a usable endpoint: on the node itself for policy Local, anywhere for policy Cluster.
fn reaches(objects: &Objects, service: &Service, node: &str, usable: impl Fn(&Endpoint) -> bool) -> bool {
    let mut endpoints = objects.endpoints_of(service).iter().filter(|endpoint| usable(endpoint));
    if service.local {
        endpoints.any(|endpoint| endpoint.node.as_deref() == Some(node))
    } else {
        endpoints.next().is_some()
    }
}

/// Returns host prefixes of addresses.
fn hosts(addresses: &[IpAddr]) -> impl Iterator<Item = IpNet> + '_ {
    addresses.iter().map(|address| IpNet::from(*address))
}

/// Returns the prefix of this length that contains an address.
fn aggregate(address: IpAddr, length: Option<u64>) -> IpNet {
    let length = length.and_then(|length| u8::try_from(length).ok());
    length.and_then(|length| IpNet::new(address, length).ok()).map_or(IpNet::from(address), |net| net.trunc())
}
