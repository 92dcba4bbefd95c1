//! VIPs announced by ARP and ND: chooses the node that answers for an address.
//!
//! MetalLB's speakers sort the candidates by a hash of node and address. Cilium and kube-vip elect a leader per service
//! by a Lease, which stays with its holder while the holder is alive.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::fabric::config::{ClusterConfig, Speaker};
use crate::fabric::objects::{Objects, Service, flag, name, selects, text};

use super::{kube_vip, metallb};

/// Returns the node that answers for each VIP.
pub(crate) fn holders(cluster: &ClusterConfig, objects: &Objects, alive: &[&str]) -> BTreeMap<IpAddr, String> {
    let mut holders = BTreeMap::new();
    for service in objects.services.iter().filter(|service| service.load_balancer) {
        for address in &service.ingress {
            if let Some(node) = holder(cluster, objects, service, *address, alive) {
                holders.entry(*address).or_insert(node);
            }
        }
    }
    holders
}

fn holder(
    cluster: &ClusterConfig,
    objects: &Objects,
    service: &Service,
    address: IpAddr,
    alive: &[&str],
) -> Option<String> {
    let candidates = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        alive.iter().filter(|node| wanted(node)).map(|node| (*node).to_owned()).collect()
    };
    match cluster.speaker {
        Speaker::Metallb => {
            let flags = &cluster.speaker_flags;
            let mut nodes = candidates(&|node| metallb::answers(flags, objects, service, node));
            nodes.sort_by_key(|node| spread(&format!("{node}#{address}")));
            nodes.into_iter().next()
        }
        Speaker::Cilium => {
            let nodes = candidates(&|node| cilium_selects(objects, service, node));
            elected(objects, &format!("cilium-l2announce-{}-{}", service.key.0, service.key.1), nodes)
        }
        Speaker::KubeVip if cluster.speaker_flags.kube_vip_arp => {
            let nodes = candidates(&|node| kube_vip::may_hold(objects, service, node));
            match service.annotations.get(kube_vip::HOST) {
                Some(host) => nodes.into_iter().find(|node| node == host),
                None => elected(objects, &format!("kubevip-{}", service.key.1), nodes),
            }
        }
        Speaker::KubeVip | Speaker::Calico | Speaker::KubeRouter | Speaker::Generic => None,
    }
}

/// Spreads addresses over nodes, always in the same way. MetalLB uses a SHA-256 hash. A different node may win there,
/// but also exactly one, and always the same.
fn spread(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns the holder of a Lease if it is a candidate, or else the first candidate.
fn elected(objects: &Objects, lease: &str, candidates: Vec<String>) -> Option<String> {
    let leases = objects.resources("Lease").iter().filter(|it| name(it) == lease);
    let holders = leases.filter_map(|it| text(it, "/spec/holderIdentity"));
    let held = holders.filter_map(|holder| candidates.iter().find(|node| *node == holder)).next().cloned();
    held.or_else(|| candidates.into_iter().next())
}

/// Returns whether a policy of Cilium makes a node announce the load balancer addresses of a service. Endpoints do not
/// matter.
fn cilium_selects(objects: &Objects, service: &Service, node: &str) -> bool {
    let class = service.class.as_deref();
    let ours = class.is_none_or(|class| class == "io.cilium/l2-announcer");
    let nodes = objects.node_labels(node);
    ours && objects.resources("CiliumL2AnnouncementPolicy").iter().any(|policy| {
        let all = json!({});
        let selector = |pointer: &str| policy.pointer(pointer).unwrap_or(&all).clone();
        flag(policy, "/spec/loadBalancerIPs").unwrap_or(false)
            && selects(&selector("/spec/nodeSelector"), &nodes)
            && selects(&selector("/spec/serviceSelector"), &service.labels)
    })
}

/// Returns the objects by which a cluster's speakers report who answers: `ServiceL2Status` for MetalLB, Leases for the
/// others.
pub(crate) fn statuses(cluster: &ClusterConfig, objects: &Objects, holders: &BTreeMap<IpAddr, String>) -> Vec<Value> {
    let services = objects.services.iter().filter(|service| service.load_balancer);
    let held = services.filter_map(|service| Some((service, service.ingress.iter().find_map(|it| holders.get(it))?)));
    held.map(|(service, node)| status(cluster.speaker, service, node)).collect()
}

fn status(speaker: Speaker, service: &Service, node: &str) -> Value {
    let (namespace, service_name) = &service.key;
    let lease = |name: String, namespace: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "holderIdentity": node, "leaseDurationSeconds": 15 },
        })
    };
    match speaker {
        Speaker::Cilium => lease(format!("cilium-l2announce-{namespace}-{service_name}"), "kube-system"),
        Speaker::KubeVip => lease(format!("kubevip-{service_name}"), namespace),
        _ => json!({
            "apiVersion": "metallb.io/v1beta1",
            "kind": "ServiceL2Status",
            "metadata": {
                "name": format!("l2-{namespace}-{service_name}"),
                "namespace": "metallb-system",
                "labels": {
                    "metallb.io/node": node,
                    "metallb.io/service-name": service_name,
                    "metallb.io/service-namespace": namespace,
                },
            },
            "status": { "node": node, "serviceName": service_name, "serviceNamespace": namespace, "interfaces": [] },
        }),
    }
}
