//! Where nodes are: their addresses, which of them are in use, and what locates them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use srl_k8s_services::model::cluster::Node;
use srl_k8s_services::model::config::ClusterConfig;
use srl_k8s_services::model::memory::Attachment;
use srl_k8s_services::model::names::NodeName;
use srl_k8s_services::model::switch::SessionState;
use srl_k8s_services::model::verdict::{AddressSource, AttachmentState};

use super::speakers::addresses;
use super::{Cluster, Oracle};
use crate::world::SpeakerWorld;

/// Addresses a node may speak from, best source first, each once.
pub(crate) fn candidates(
    config: &ClusterConfig,
    speaker: &SpeakerWorld,
    name: &NodeName,
    node: &Node,
) -> Vec<(IpAddr, AddressSource)> {
    let configured = config.rules.fabric_addresses.get(name).into_iter().flatten().copied();
    let all = configured
        .map(|address| (address, AddressSource::Configured))
        .chain(node.annotated.iter().map(|address| (*address, AddressSource::Annotation)))
        .chain(node.speaker.iter().map(|address| (*address, AddressSource::Speaker)))
        .chain(addresses(config, speaker, name, node).into_iter().map(|address| (address, AddressSource::Speaker)))
        .chain(node.internal.iter().map(|address| (*address, AddressSource::InternalIp)))
        .chain(node.external.iter().map(|address| (*address, AddressSource::ExternalIp)));
    let mut seen = BTreeSet::new();
    all.filter(|(address, _)| seen.insert(*address)).collect()
}

impl<'a> Oracle<'a> {
    pub(super) fn candidates(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<(IpAddr, AddressSource)> {
        let (nodes, speaker) = (&cluster.world.nodes, &cluster.world.speaker);
        nodes.get(node).map(|known| candidates(cluster.config, speaker, node, known)).unwrap_or_default()
    }

    /// The addresses in use, at most one of a family: a neighbor here wins, then one that was, then one whose host route
    /// EVPN advertises; one that nothing locates counts only where none is located.
    pub(super) fn in_use(
        &self,
        cluster: Cluster<'_>,
        node: &NodeName,
    ) -> Vec<(IpAddr, AddressSource, AttachmentState)> {
        let rank = |address: IpAddr| {
            let attachment = Attachment { cluster: cluster.name.clone(), node: node.clone(), address };
            if self.world.neighbor(&cluster.config.rules.network_instance, address).is_some() {
                0
            } else if self.world.memory.contains(&attachment) {
                1
            } else if !self.vteps_of_address(cluster, address).is_empty() {
                2
            } else {
                3
            }
        };
        let established = |address: IpAddr| {
            let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, address);
            neighbor.is_some_and(|neighbor| neighbor.session == Some(SessionState::Established))
        };
        let best = |v4: bool| {
            let family = self.candidates(cluster, node).into_iter().filter(move |(address, _)| address.is_ipv4() == v4);
            // One the operator named; of several neighbors, one whose session is up.
            family.min_by_key(|(address, source)| {
                let named = *source == AddressSource::Configured && rank(*address) < 2;
                (!named, rank(*address), rank(*address) == 0 && !established(*address))
            })
        };
        let mut best: Vec<_> = [true, false].into_iter().filter_map(best).collect();
        best.sort_by_key(|(address, _)| rank(*address));
        let located = best.iter().any(|(address, _)| rank(*address) < 3);
        best.retain(|(address, _)| !located || rank(*address) < 3);
        let word = |rank| match rank {
            0 | 1 => AttachmentState::Attached,
            2 => AttachmentState::Remote,
            _ => AttachmentState::Unknown,
        };
        best.into_iter().map(|(address, source)| (address, source, word(rank(address)))).collect()
    }

    /// The node's addresses that are BGP neighbors here, or were, the best first.
    pub(super) fn attached(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<IpAddr> {
        let attached = self.in_use(cluster, node).into_iter();
        attached.filter(|(.., word)| *word == AttachmentState::Attached).map(|(address, ..)| address).collect()
    }

    /// The tunnel next-hops of an address's host route, when EVPN advertises it.
    fn vteps_of_address(&self, cluster: Cluster<'_>, address: IpAddr) -> BTreeSet<IpAddr> {
        let network_instance = &cluster.config.rules.network_instance;
        match self.world.host_route(network_instance, address) {
            Some(route) if self.world.is_evpn(network_instance, address) => {
                self.world.next_hops(route).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    pub(super) fn vteps(&self, cluster: Cluster<'_>, node: &NodeName) -> BTreeSet<IpAddr> {
        let addresses = self.candidates(cluster, node).into_iter();
        addresses.flat_map(|(address, _)| self.vteps_of_address(cluster, address)).collect()
    }

    /// The VTEPs it is reached through for VIPs of a family: those of its own family's host route, where it has one.
    pub(super) fn vteps_for(&self, cluster: Cluster<'_>, node: &NodeName, v4: bool) -> BTreeSet<IpAddr> {
        let addresses = self.candidates(cluster, node).into_iter().filter(|(address, _)| address.is_ipv4() == v4);
        let own: BTreeSet<IpAddr> =
            addresses.flat_map(|(address, _)| self.vteps_of_address(cluster, address)).collect();
        if own.is_empty() { self.vteps(cluster, node) } else { own }
    }

    pub(super) fn located(&self, cluster: Cluster<'_>, node: &NodeName) -> bool {
        !self.attached(cluster, node).is_empty() || !self.vteps(cluster, node).is_empty()
    }

    pub(super) fn session(&self, cluster: Cluster<'_>, address: IpAddr) -> Option<SessionState> {
        let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, address)?;
        neighbor.session.filter(|_| self.gnmi_heard())
    }

    /// The session with an attached address is known to be down: a neighbor that vanished is.
    pub(super) fn session_down(&self, cluster: Cluster<'_>, address: IpAddr) -> bool {
        self.gnmi_heard()
            && match self.world.neighbor(&cluster.config.rules.network_instance, address) {
                Some(neighbor) => neighbor.session.is_some_and(|session| session != SessionState::Established),
                None => true,
            }
    }

    /// The attached address whose session carries routes through this address of a node of the cluster: itself, or what
    /// else the node is attached by.
    pub(super) fn carried_by(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> Option<IpAddr> {
        let mut nodes = cluster.world.nodes.keys().filter(|node| self.is_address_of(cluster, node, next_hop));
        nodes.find_map(|node| {
            let attached = self.attached(cluster, node);
            attached.iter().find(|address| **address == next_hop).or(attached.first()).copied()
        })
    }

    pub(super) fn next_hop_down(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> bool {
        self.carried_by(cluster, next_hop).is_some_and(|address| self.session_down(cluster, address))
    }

    pub(super) fn is_address_of(&self, cluster: Cluster<'_>, node: &NodeName, address: IpAddr) -> bool {
        self.candidates(cluster, node).iter().any(|(candidate, _)| *candidate == address)
    }

    /// Nodes of the cluster that an address stands for: it is one of theirs, or their VTEP.
    pub(super) fn nodes_behind(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> BTreeSet<&'a NodeName> {
        let itself = self.nodes_at(cluster, next_hop);
        if !itself.is_empty() {
            return itself;
        }
        cluster.world.nodes.keys().filter(|node| self.vteps(cluster, node).contains(&next_hop)).collect()
    }

    pub(super) fn nodes_at(&self, cluster: Cluster<'a>, address: IpAddr) -> BTreeSet<&'a NodeName> {
        cluster.world.nodes.keys().filter(|node| self.is_address_of(cluster, node, address)).collect()
    }
}
