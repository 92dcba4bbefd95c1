//! Implements the rules of Cilium's BGP control plane: cluster configurations select nodes and assign peer
//! configurations to them, these select advertisements by family, and those select services.
//!
//! The operator's result for each node (CiliumBGPNodeConfig) takes precedence over the selectors. A cluster with
//! neither cluster nor node configurations announces by other means (the peering policies before 1.19), so that nobody
//! is restricted.
//!
//! A CiliumL2AnnouncementPolicy selects services. One node at a time answers ARP and ND for their addresses.

use std::net::IpAddr;
use std::sync::Arc;

use super::resources::{Rule, SpeakerResources, Subject};
use crate::model::cluster::Node;
use crate::model::names::NodeName;
use crate::model::selector::Selector;
use crate::model::speaker::SpeakerResource::{
    CiliumAdvertisements, CiliumClusters, CiliumL2Policies, CiliumNodes, CiliumPeers,
};
use crate::model::speaker::{
    CiliumAdvertisement, CiliumCluster, CiliumL2Policy, CiliumNode, CiliumPeer, CiliumServices, Lengths, ObjectKey,
    SpeakerObject,
};

pub(super) fn rule(resources: &SpeakerResources, subject: Subject<'_>) -> Rule {
    let known = resources.knows(CiliumAdvertisements) && resources.knows(CiliumPeers);
    if !known {
        return Rule::default();
    }
    let by_l2 = l2_policies(resources).any(|policy| answers_for(policy, subject));
    if clusters(resources).next().is_none() && nodes(resources).next().is_none() {
        return Rule { by_l2_only: by_l2, ..Rule::default() };
    }
    let announcing: Vec<_> = advertisements(resources)
        .filter_map(|(key, advertisement)| Some((key, advertisement, announced(advertisement, subject)?)))
        .collect();
    if announcing.is_empty() {
        let kind = if subject.is_external() { "ExternalIP" } else { "LoadBalancerIP" };
        let why = format!("no CiliumBGPAdvertisement of {kind} selects the service");
        return Rule { by_l2_only: by_l2, ..Rule::nobody(why) };
    }
    let family = subject.vip.is_ipv4();
    let mut rule = Rule::default();
    for (key, peer) in peers(resources) {
        let taken = announcing.iter().filter(|(_, advertisement, _)| takes(peer, family, advertisement));
        let lengths: Vec<Lengths> = taken.map(|(.., lengths)| *lengths).collect();
        if lengths.is_empty() {
            continue;
        }
        rule.by.push(key.clone());
        let prefixes = lengths.iter().map(|lengths| lengths.prefix(subject.vip)).chain(rule.prefix);
        rule.prefix = prefixes.max_by_key(|prefix| prefix.prefix_len());
    }
    if rule.by.is_empty() {
        let names: Vec<String> = announcing.iter().take(4).map(|(key, ..)| key.to_string()).collect();
        let family = if family { "ipv4" } else { "ipv6" };
        let names = names.join(", ");
        let why = format!("no CiliumBGPPeerConfig selects CiliumBGPAdvertisement {names} for {family}");
        return Rule { by_l2_only: by_l2, ..Rule::nobody(why) };
    }
    rule
}

/// Returns the lengths that a VIP is announced with; `None` if the advertisement does not select it. Policy Local is
/// never aggregated.
fn announced(advertisement: &CiliumAdvertisement, subject: Subject<'_>) -> Option<Lengths> {
    let about = |services: &&CiliumServices| {
        let address = if subject.is_external() { services.external } else { services.load_balancer };
        address && services.selector.as_ref().is_some_and(|selector| selector.selects(|name| label(subject, name)))
    };
    let lengths = |services: &CiliumServices| if subject.local { Lengths::default() } else { services.lengths };
    let of = advertisement.services.iter().filter(about).map(lengths);
    of.max_by_key(|lengths| lengths.prefix(subject.vip).prefix_len())
}

/// Returns whether the policy has a node answer for an address of the service. A policy without a selector applies to
/// every service.
fn answers_for(policy: &CiliumL2Policy, subject: Subject<'_>) -> bool {
    let address = if subject.is_external() { policy.external } else { policy.load_balancer };
    let selects = |selector: &Selector| selector.selects(|name| label(subject, name));
    address && policy.service_selector.as_ref().is_none_or(selects)
}

/// Returns a label of the service. Its name and namespace are labels, too.
fn label<'a>(subject: Subject<'a>, name: &str) -> Option<&'a str> {
    match name {
        "io.kubernetes.service.name" => Some(&subject.key.name),
        "io.kubernetes.service.namespace" => Some(&subject.key.namespace),
        name => subject.service.labels.get(name),
    }
}

fn takes(peer: &CiliumPeer, v4: bool, advertisement: &CiliumAdvertisement) -> bool {
    let selectors =
        peer.families.iter().filter(|(family, _)| *family == v4).filter_map(|(_, selector)| selector.as_ref());
    selectors.into_iter().any(|selector| selector.selects(|name| advertisement.labels.get(name)))
}

/// Returns whether one of the peer configurations is the node's.
pub(super) fn selects(resources: &SpeakerResources, by: &[ObjectKey], name: &NodeName, node: &Node) -> bool {
    given(resources, name, node).iter().any(|peer| by.iter().any(|key| key.name == *peer))
}

/// Returns the peer configurations of a node. If several cluster configurations select it, the first applies.
fn given<'a>(resources: &'a SpeakerResources, name: &NodeName, node: &Node) -> &'a [Arc<str>] {
    if nodes(resources).next().is_some() {
        return own(resources, name).map(|node| &*node.peers).unwrap_or_default();
    }
    let selects = |cluster: &&CiliumCluster| {
        cluster.node_selector.as_ref().is_none_or(|selector| selector.selects(|label| node.labels.get(label)))
    };
    clusters(resources).find(selects).map(|cluster| &*cluster.peers).unwrap_or_default()
}

/// Returns the address that a node is configured to peer from.
pub(super) fn addresses(resources: &SpeakerResources, name: &NodeName) -> Vec<IpAddr> {
    own(resources, name).map(|node| node.local_addresses.to_vec()).unwrap_or_default()
}

fn own<'a>(resources: &'a SpeakerResources, name: &NodeName) -> Option<&'a CiliumNode> {
    let key = ObjectKey { namespace: None, name: Arc::from(name.as_str()) };
    match resources.object(CiliumNodes, &key)? {
        SpeakerObject::CiliumNode(node) => Some(node),
        _ => None,
    }
}

fn advertisements(resources: &SpeakerResources) -> impl Iterator<Item = (&ObjectKey, &CiliumAdvertisement)> {
    resources.objects(CiliumAdvertisements).filter_map(|(key, object)| match object {
        SpeakerObject::CiliumAdvertisement(advertisement) => Some((key, advertisement)),
        _ => None,
    })
}

fn l2_policies(resources: &SpeakerResources) -> impl Iterator<Item = &CiliumL2Policy> {
    resources.objects(CiliumL2Policies).filter_map(|(_, object)| match object {
        SpeakerObject::CiliumL2Policy(policy) => Some(policy),
        _ => None,
    })
}

fn peers(resources: &SpeakerResources) -> impl Iterator<Item = (&ObjectKey, &CiliumPeer)> {
    resources.objects(CiliumPeers).filter_map(|(key, object)| match object {
        SpeakerObject::CiliumPeer(peer) => Some((key, peer)),
        _ => None,
    })
}

fn clusters(resources: &SpeakerResources) -> impl Iterator<Item = &CiliumCluster> {
    resources.objects(CiliumClusters).filter_map(|(_, object)| match object {
        SpeakerObject::CiliumCluster(cluster) => Some(cluster),
        _ => None,
    })
}

fn nodes(resources: &SpeakerResources) -> impl Iterator<Item = &CiliumNode> {
    resources.objects(CiliumNodes).filter_map(|(_, object)| match object {
        SpeakerObject::CiliumNode(node) => Some(node),
        _ => None,
    })
}
