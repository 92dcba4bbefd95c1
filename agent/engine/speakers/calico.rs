//! Implements Calico's rules: BGPConfiguration `default` names the ranges that are announced. Every node announces a
//! range as a whole. Single addresses are announced individually, as are those of services with policy Local, and all
//! of them if aggregation is turned off.
//!
//! BGPPeers show which nodes speak with switches. The routes of all others come by those: they are route reflectors, or
//! have them from the mesh of all nodes.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::resources::{Rule, SpeakerResources, Subject};
use crate::model::cluster::Node;
use crate::model::names::NodeName;
use crate::model::speaker::SpeakerResource::{CalicoConfigurations, CalicoPeers};
use crate::model::speaker::{CalicoConfiguration, ObjectKey, SpeakerObject};

pub(super) fn rule(resources: &SpeakerResources, subject: Subject<'_>) -> Rule {
    if !resources.knows(CalicoConfigurations) {
        return Rule::default();
    }
    let Some(configuration) = configuration(resources) else {
        return Rule::nobody("there is no BGPConfiguration default: Calico announces no service addresses");
    };
    let ranges = configuration.load_balancer.iter().chain(&configuration.external);
    let Some(range) = ranges.filter(|range| range.contains(&subject.vip)).max_by_key(|range| range.prefix_len()) else {
        let leaf = if subject.is_external() { "serviceExternalIPs" } else { "serviceLoadBalancerIPs" };
        let vip = subject.vip;
        return Rule::nobody(format!("BGPConfiguration default announces no range that holds {vip}: add it to {leaf}"));
    };
    let single = *range == IpNet::from(subject.vip);
    let apart = !single && !configuration.aggregation && configuration.load_balancer.contains(range);
    let host = single || apart || subject.local;
    let prefix = if host { IpNet::from(subject.vip) } else { *range };
    // Every node announces the range in addition to the single addresses of services with policy Local.
    let beside = configuration.aggregation && host && !single;
    let shorter = beside.then(|| Box::new(Rule { prefix: Some(*range), ..Rule::default() }));
    Rule { needs_endpoint: apart, prefix: Some(prefix), shorter, ..Rule::default() }
}

/// Returns whether a node speaks BGP with a switch, or may: a peer that selects it is no address of a node.
pub(super) fn speaks_outside(
    resources: &SpeakerResources,
    name: &NodeName,
    node: &Node,
    is_node: impl Fn(IpAddr) -> bool,
) -> bool {
    let label = |name: &str| node.labels.get(name);
    let mut peers = resources.objects(CalicoPeers).filter_map(|(_, object)| match object {
        SpeakerObject::CalicoPeer(peer) => Some(peer),
        _ => None,
    });
    peers.any(|peer| {
        peer.address.is_none_or(|address| !is_node(address))
            && peer.node.as_deref().is_none_or(|only| only == name.as_str())
            && peer.node_selector.as_ref().is_none_or(|selector| selector.selects(label))
    })
}

fn configuration(resources: &SpeakerResources) -> Option<&CalicoConfiguration> {
    let key = ObjectKey { namespace: None, name: Arc::from("default") };
    match resources.object(CalicoConfigurations, &key)? {
        SpeakerObject::CalicoConfiguration(configuration) => Some(configuration),
        _ => None,
    }
}
