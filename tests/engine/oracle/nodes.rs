//! The places of nodes: their addresses, which of them are in use, and what locates them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use srl_k8s_services::model::cluster::Node;
use srl_k8s_services::model::config::ClusterConfig;
use srl_k8s_services::model::names::NodeName;
use srl_k8s_services::model::persistent::Attachment;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::SessionState;
use srl_k8s_services::model::verdict::{AddressSource, AttachmentState};

use super::speakers::addresses;
use super::{Cluster, Oracle};
use crate::world::SpeakerWorld;

/// Returns the addresses from which a node may speak, best source first, without duplicates.
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
    let all = all.map(|(address, source)| (address.to_canonical(), source));
    let nobodys = |address: &IpAddr| address.is_loopback() || address.is_unspecified() || address.is_multicast();
    all.filter(|(address, _)| !nobodys(address) && seen.insert(*address)).collect()
}

/// What an address shows about the place of its node, best evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    Established,
    NeighborHere,
    Evpn,
    Remembered,
    HereAlone,
    Nothing,
}

impl Shown {
    pub(super) fn attached(self) -> bool {
        [Self::Established, Self::NeighborHere, Self::Remembered].contains(&self)
    }
}

impl<'a> Oracle<'a> {
    pub(super) fn candidates(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<(IpAddr, AddressSource)> {
        let (nodes, speaker) = (&cluster.world.nodes, &cluster.world.speaker);
        nodes.get(node).map(|known| candidates(cluster.config, speaker, node, known)).unwrap_or_default()
    }

    /// Returns what an address shows about the place of its node.
    fn shows(&self, cluster: Cluster<'_>, node: &NodeName, address: IpAddr) -> Shown {
        let network_instance = &cluster.config.rules.network_instance;
        let attachment = Attachment { cluster: cluster.name.clone(), node: node.clone(), address };
        let neighbor = self.world.neighbor(network_instance, address);
        let remembered = neighbor.is_some() || self.world.memory.contains(&attachment);
        let route = self.world.host_route(network_instance, address);
        let here = route.and_then(|route| self.world.owner(route));
        let here = here.is_some_and(|owner| ["arp_nd_mgr", "net_inst_mgr", "static_route_mgr"].contains(&owner));
        let told = self.gnmi_heard();
        if told && neighbor.is_some_and(|neighbor| neighbor.session == Some(SessionState::Established)) {
            Shown::Established
        } else if told && neighbor.is_some() && here {
            Shown::NeighborHere
        } else if !self.vteps_of_address(cluster, address).is_empty() {
            Shown::Evpn
        } else if remembered {
            Shown::Remembered
        } else if here {
            Shown::HereAlone
        } else {
            Shown::Nothing
        }
    }

    /// Returns the place of a node, which is what the best of its addresses shows.
    pub(super) fn place(&self, cluster: Cluster<'_>, node: &NodeName) -> Shown {
        let candidates = self.candidates(cluster, node).into_iter();
        candidates.map(|(address, _)| self.shows(cluster, node, address)).min().unwrap_or(Shown::Nothing)
    }

    /// Returns the addresses in use, at most one per family. For an attached node, it is one by which the node is
    /// attached: the one that has carried VIPs, or the one that the operator configured, or the best. For other nodes
    /// it is the best. An address without evidence counts only if no address has any.
    pub(super) fn in_use(
        &self,
        cluster: Cluster<'_>,
        node: &NodeName,
    ) -> Vec<(IpAddr, AddressSource, AttachmentState)> {
        let attached = self.place(cluster, node).attached();
        let carried = |address: IpAddr| {
            let carrier = Attachment { cluster: cluster.name.clone(), node: node.clone(), address };
            self.world.carriers.contains(&carrier)
        };
        let mut rows = Vec::new();
        for v4 in [true, false] {
            let family = self.candidates(cluster, node).into_iter().filter(|(address, _)| address.is_ipv4() == v4);
            let family: Vec<_> =
                family.map(|(address, source)| (address, source, self.shows(cluster, node, address))).collect();
            let mut here: Vec<_> = family.iter().filter(|(.., shown)| attached && shown.attached()).copied().collect();
            for better in [
                here.iter().any(|(address, ..)| carried(*address)),
                here.iter().any(|(_, source, _)| *source == AddressSource::Configured),
            ]
            .into_iter()
            .enumerate()
            .filter_map(|(which, any)| any.then_some(which))
            {
                let keep = |(address, source, _): &(IpAddr, AddressSource, Shown)| match better {
                    0 => carried(*address),
                    _ => *source == AddressSource::Configured,
                };
                if here.iter().any(keep) {
                    here.retain(keep);
                }
            }
            let best = |rows: &[(IpAddr, AddressSource, Shown)]| rows.iter().min_by_key(|(.., shown)| *shown).copied();
            rows.extend(match best(&here) {
                Some((address, source, shown)) => Some((address, source, shown, AttachmentState::Attached)),
                None => best(&family).map(|(address, source, shown)| {
                    let remote = shown == Shown::Evpn;
                    (address, source, shown, if remote { AttachmentState::Remote } else { AttachmentState::Unknown })
                }),
            });
        }
        rows.sort_by_key(|(.., shown, attachment)| (*attachment != AttachmentState::Attached, *shown));
        if rows.iter().any(|(.., shown, _)| *shown != Shown::Nothing) {
            rows.retain(|(.., shown, _)| *shown != Shown::Nothing);
        }
        rows.into_iter().map(|(address, source, _, attachment)| (address, source, attachment)).collect()
    }

    /// Returns the node's addresses that are or were BGP neighbors here, the best first.
    pub(super) fn attached(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<IpAddr> {
        let attached = self.in_use(cluster, node).into_iter();
        attached.filter(|(.., word)| *word == AttachmentState::Attached).map(|(address, ..)| address).collect()
    }

    /// Returns the tunnel next-hops of an address's host route if EVPN advertises it.
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

    /// Returns whether the node is behind another leaf.
    pub(super) fn remote(&self, cluster: Cluster<'_>, node: &NodeName) -> bool {
        self.place(cluster, node) == Shown::Evpn
    }

    /// Returns whether the node is attached here or behind another leaf.
    pub(super) fn located(&self, cluster: Cluster<'_>, node: &NodeName) -> bool {
        self.place(cluster, node) < Shown::HereAlone
    }

    /// Returns whether the node answers ARP or ND here or has a route of this leaf, but has no neighbor.
    pub(super) fn here_alone(&self, cluster: Cluster<'_>, node: &NodeName) -> bool {
        self.place(cluster, node) == Shown::HereAlone
    }

    pub(super) fn session(&self, cluster: Cluster<'_>, address: IpAddr) -> Option<SessionState> {
        let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, address)?;
        neighbor.session.filter(|_| self.gnmi_heard())
    }

    /// Returns whether the session with an attached address is known to be down. A neighbor that disappeared is down.
    pub(super) fn session_down(&self, cluster: Cluster<'_>, address: IpAddr) -> bool {
        self.gnmi_heard() && self.session_last_down(cluster, address)
    }

    /// Returns whether the session was down when gNMI last reported it, whether or not gNMI is heard now.
    pub(super) fn session_last_down(&self, cluster: Cluster<'_>, address: IpAddr) -> bool {
        self.world.source_of(&SourceId::Gnmi).synced_once
            && match self.world.neighbor(&cluster.config.rules.network_instance, address) {
                Some(neighbor) => neighbor.session.is_some_and(|session| session != SessionState::Established),
                None => true,
            }
    }

    pub(super) fn next_hop_last_down(&self, cluster: Cluster<'a>, vip: IpAddr, next_hop: IpAddr) -> bool {
        self.carried_by(cluster, vip, next_hop).is_some_and(|address| self.session_last_down(cluster, address))
    }

    /// Returns the attached address whose session carries routes to a VIP through this address of a node: the address
    /// itself, or another one by which the node is attached, preferably of the VIP's family.
    pub(super) fn carried_by(&self, cluster: Cluster<'a>, vip: IpAddr, next_hop: IpAddr) -> Option<IpAddr> {
        self.nodes_of_hop(cluster, next_hop).into_iter().find_map(|node| {
            let attached = self.attached(cluster, node);
            let itself = attached.iter().find(|address| **address == next_hop);
            let family = attached.iter().find(|address| address.is_ipv4() == vip.is_ipv4());
            itself.or(family).or(attached.first()).copied()
        })
    }

    pub(super) fn next_hop_down(&self, cluster: Cluster<'a>, vip: IpAddr, next_hop: IpAddr) -> bool {
        self.carried_by(cluster, vip, next_hop).is_some_and(|address| self.session_down(cluster, address))
    }

    pub(super) fn is_address_of(&self, cluster: Cluster<'_>, node: &NodeName, address: IpAddr) -> bool {
        self.candidates(cluster, node).iter().any(|(candidate, _)| *candidate == address)
    }

    /// Returns the nodes of the cluster for which an address stands: it is one of their addresses, or their VTEP.
    pub(super) fn nodes_behind(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> BTreeSet<&'a NodeName> {
        let itself = self.nodes_of_hop(cluster, next_hop);
        if !itself.is_empty() {
            return itself;
        }
        cluster.world.nodes.keys().filter(|node| self.vteps(cluster, node).contains(&next_hop)).collect()
    }

    /// Returns the nodes that a next-hop is: those at that address, or the only one to which a static route of this
    /// leaf leads by it.
    pub(super) fn nodes_of_hop(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> BTreeSet<&'a NodeName> {
        let itself = self.nodes_at(cluster, next_hop);
        if !itself.is_empty() {
            return itself;
        }
        let by_it: BTreeSet<_> =
            cluster.world.nodes.keys().filter(|node| self.gateways(cluster, node).contains(&next_hop)).collect();
        if by_it.len() == 1 { by_it } else { BTreeSet::new() }
    }

    /// Returns the next-hops of this leaf's static routes to a node's addresses.
    pub(super) fn gateways(&self, cluster: Cluster<'_>, node: &NodeName) -> BTreeSet<IpAddr> {
        let network_instance = &cluster.config.rules.network_instance;
        let addresses = self.candidates(cluster, node).into_iter().map(|(address, _)| address);
        let routes = addresses.filter_map(|address| self.world.host_route(network_instance, address));
        let own = routes.filter(|route| self.world.owner(route) == Some("static_route_mgr"));
        own.flat_map(|route| self.world.next_hops(route).unwrap_or_default()).collect()
    }

    pub(super) fn nodes_at(&self, cluster: Cluster<'a>, address: IpAddr) -> BTreeSet<&'a NodeName> {
        cluster.world.nodes.keys().filter(|node| self.is_address_of(cluster, node, address)).collect()
    }
}
