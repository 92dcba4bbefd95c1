//! kube-router, started with `--advertise-loadbalancer-ip`. Endpoints count regardless of their conditions. Annotations
//! of a service turn each kind of its addresses on or off.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::fabric::objects::{Objects, Service};

use super::hosts;

/// Returns what the node announces.
pub(super) fn announced(objects: &Objects, node: &str) -> BTreeSet<IpNet> {
    let here = objects.services.iter().filter(|service| {
        let mut endpoints = objects.endpoints_of(service).iter();
        !is_local(service) || endpoints.any(|endpoint| endpoint.node.as_deref() == Some(node))
    });
    here.flat_map(|service| hosts(&addresses(service)).collect::<Vec<_>>()).collect()
}

/// Returns the addresses of a service that are announced: load balancer addresses by default, others if requested.
fn addresses(service: &Service) -> Vec<IpAddr> {
    let annotation = |name: &str| service.annotations.get(name).map(String::as_str);
    let wanted = |kind: &str, default: bool| match annotation(&format!("kube-router.io/service.advertise.{kind}")) {
        Some(value) => value == "true",
        None => default,
    };
    let skipped = annotation("kube-router.io/service.skiplbips").is_some_and(|value| value != "false");
    let kinds = [
        (service.load_balancer && !skipped && wanted("loadbalancerip", true), &service.ingress),
        (wanted("externalip", false), &service.external),
        (wanted("clusterip", false), &service.cluster),
    ];
    kinds.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, addresses)| addresses.clone()).collect()
}

fn is_local(service: &Service) -> bool {
    service.local || service.annotations.get("kube-router.io/service.local").is_some_and(|value| value == "true")
}
