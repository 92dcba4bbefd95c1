//! kube-router, started with `--advertise-loadbalancer-ip`: endpoints count whatever their condition.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::fabric::objects::{Objects, Service};

use super::hosts;

/// What the node announces.
pub(super) fn announced(objects: &Objects, node: &str) -> BTreeSet<IpNet> {
    let services = objects.services.iter().filter(|service| service.load_balancer && advertises(service));
    let here = services.filter(|service| {
        let mut endpoints = objects.endpoints_of(service).iter();
        !is_local(service) || endpoints.any(|endpoint| endpoint.node.as_deref() == Some(node))
    });
    here.flat_map(|service| hosts(&service.ingress)).collect()
}

fn advertises(service: &Service) -> bool {
    let annotation = |name: &str| service.annotations.get(name).map(String::as_str);
    annotation("kube-router.io/service.advertise.loadbalancerip") != Some("false")
        && annotation("kube-router.io/service.skiplbips").is_none_or(|value| value == "false")
}

fn is_local(service: &Service) -> bool {
    service.local || service.annotations.get("kube-router.io/service.local").is_some_and(|value| value == "true")
}
