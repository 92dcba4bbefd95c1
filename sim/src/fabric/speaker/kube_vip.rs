//! kube-vip: every node announces by BGP, or one node, named by `kube-vip.io/vipHost`, answers by ARP.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::fabric::objects::{Objects, Service};

use super::hosts;

/// Annotation that names the node that holds a service's address.
pub(super) const HOST: &str = "kube-vip.io/vipHost";
const CLASS: &str = "kube-vip.io/kube-vip-class";

/// Returns what the node announces by BGP.
pub(super) fn announced(objects: &Objects, node: &str) -> BTreeSet<IpNet> {
    let services = objects.services.iter().filter(|service| service.load_balancer);
    let held = services.filter(|service| {
        may_hold(objects, service, node) && service.annotations.get(HOST).is_none_or(|host| host == node)
    });
    held.flat_map(|service| hosts(&service.ingress)).collect()
}

/// Returns whether a node may hold a service's address. Policy Local requires an endpoint on the node.
pub(super) fn may_hold(objects: &Objects, service: &Service, node: &str) -> bool {
    let ours = service.class.as_deref().is_none_or(|class| class == CLASS);
    let mut endpoints = objects.endpoints_of(service).iter().filter(|endpoint| endpoint.ready || endpoint.serving);
    ours && (!service.local || endpoints.any(|endpoint| endpoint.node.as_deref() == Some(node)))
}
