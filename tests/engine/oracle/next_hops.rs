//! What a VIP's route should use, and where flows sent to a next-hop end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use srl_k8s_services::model::names::NodeName;
use srl_k8s_services::model::verdict::NextHopKind;

use super::routes::Found;
use super::services::Subject;
use super::{Cluster, Oracle, share};

/// Where flows sent to a next-hop end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Serves,
    MayServe,
    Lost,
}

impl<'a> Oracle<'a> {
    /// The attached announcers. While gNMI does not say who is a neighbor here, and nobody is known to be attached: those
    /// that a next-hop is an address of, which are reached by themselves.
    pub(super) fn attached_announcers(
        &self,
        cluster: Cluster<'a>,
        vip: IpAddr,
        installed: &BTreeSet<IpAddr>,
    ) -> Vec<&'a NodeName> {
        let announcers = self.announcers(cluster, vip);
        let attached: Vec<_> =
            announcers.iter().copied().filter(|node| !self.attached(cluster, node).is_empty()).collect();
        if !attached.is_empty() || self.gnmi_heard() {
            return attached;
        }
        let reached = |node: &&NodeName| installed.iter().any(|hop| self.is_address_of(cluster, node, *hop));
        announcers.into_iter().filter(|node| !self.located(cluster, node)).filter(reached).collect()
    }

    /// A next-hop leads to the node: it is an address of it, or a VTEP it is behind.
    fn leads_to(&self, cluster: Cluster<'a>, node: &NodeName, hop: &IpAddr) -> bool {
        self.is_address_of(cluster, node, *hop) || self.vteps(cluster, node).contains(hop)
    }

    /// What the VIP's route should use. Each attached announcer by whatever of its ways is there, or else by the address its
    /// session is with. Where none is attached, each remote one by its ways, or else by its first VTEP; unless a cluster that
    /// shares the VIP has attached announcers, whose routes win here, transit leads to them, or all of a route that is not
    /// EVPN's may be announcers that nothing locates.
    pub(super) fn expected(&self, subject: Subject<'a>, route: Option<&Found>) -> BTreeSet<IpAddr> {
        let Subject { cluster, vip, .. } = subject;
        let installed = route.map(|route| route.next_hops.clone()).unwrap_or_default();
        let ways = |node: &NodeName| -> BTreeSet<IpAddr> {
            installed.iter().copied().filter(|hop| self.leads_to(cluster, node, hop)).collect()
        };
        let attached = self.attached_announcers(cluster, vip, &installed);
        if !attached.is_empty() {
            let expect = |node: &NodeName| {
                let (ways, attached) = (ways(node), self.attached(cluster, node));
                let own = attached.iter().find(|address| address.is_ipv4() == vip.is_ipv4()).or(attached.first());
                if ways.is_empty() { own.copied().into_iter().collect() } else { ways }
            };
            return attached.into_iter().flat_map(expect).collect();
        }
        let partner_here = self.neighbors_of(cluster).filter(|other| share(cluster, *other)).any(|other| {
            let announcers = self.announcers(other, vip);
            announcers.iter().any(|node| !self.attached(other, node).is_empty())
        });
        let flows = route.map(|route| self.flows(subject, route)).unwrap_or_default();
        let all_may = !flows.is_empty() && flows.values().all(|flow| *flow == Flow::MayServe);
        let evpn = route.is_some_and(Found::is_evpn);
        let transit = installed.iter().any(|hop| self.kind(cluster, *hop, false) == NextHopKind::Transit);
        if partner_here || transit || all_may && !evpn {
            return BTreeSet::new();
        }
        let remote = self.announcers(cluster, vip).into_iter().filter(|node| self.remote(cluster, node));
        let expect = |node: &NodeName| {
            let ways = ways(node);
            if ways.is_empty() { self.vteps(cluster, node).into_iter().take(1).collect() } else { ways }
        };
        remote.flat_map(expect).collect()
    }

    /// Where flows of this service end, by the next-hop they are sent to.
    pub(super) fn flows(&self, subject: Subject<'a>, route: &Found) -> BTreeMap<IpAddr, Flow> {
        let Subject { cluster, vip, .. } = subject;
        let usable = !self.usable_endpoints(subject).is_empty();
        let absent = |node: &&NodeName| !route.next_hops.iter().any(|hop| self.leads_to(cluster, node, hop));
        let here = self.attached_announcers(cluster, vip, &route.next_hops);
        let announcers = self.announcers(cluster, vip);
        // Who should be reached from here and is not may peer with other leaves as well.
        let alone = announcers.iter().copied().filter(|node| self.here_alone(cluster, node) && !here.contains(node));
        let beside = here.iter().copied().chain(alone).any(|node| absent(&node));
        let unplaced =
            announcers.iter().copied().filter(|node| !self.located(cluster, node) && !self.here_alone(cluster, node));
        let mut unplaced = unplaced.filter(|node| !here.contains(node)).filter(absent).count();
        let mut flows = BTreeMap::new();
        for hop in &route.next_hops {
            let certain = self.certain_flow(subject, *hop);
            let known_leaf = certain == Some(Flow::Lost) && self.nodes_at(cluster, *hop).is_empty() && {
                cluster.world.nodes.keys().any(|node| self.vteps(cluster, node).contains(hop))
            };
            let leaf = certain.is_none() && route.is_evpn() || known_leaf;
            let flow = match certain {
                Some(Flow::Serves) => Flow::Serves,
                _ if !usable => Flow::Lost,
                None if self.is_transit(cluster, *hop) => match self.served_locally(cluster, subject.service) {
                    true => Flow::MayServe,
                    false => Flow::Serves,
                },
                Some(Flow::Lost) if known_leaf && (beside || unplaced > 0) => Flow::MayServe,
                Some(flow) => flow,
                None if leaf && beside => Flow::MayServe,
                None if unplaced > 0 => {
                    unplaced -= 1;
                    Flow::MayServe
                }
                None => Flow::Lost,
            };
            flows.insert(*hop, flow);
        }
        flows
    }

    /// It leads to the cluster: an address the operator names, or the leaf that such an address is behind.
    pub(super) fn is_transit(&self, cluster: Cluster<'a>, hop: IpAddr) -> bool {
        cluster.config.rules.transit_addresses.iter().any(|transit| {
            let leaf = || {
                let (_, route) = self.longest(&cluster.config.rules.network_instance, *transit)?;
                let evpn = self.world.owner(route) == Some(crate::world::EVPN);
                self.world.next_hops(route).filter(|_| evpn)
            };
            *transit == hop || leaf().is_some_and(|leaf| leaf.contains(&hop))
        })
    }

    /// What serves for certain, by nodes or by transit.
    pub(super) fn surely_serves(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        match self.certain_flow(subject, hop) {
            Some(flow) => flow == Flow::Serves,
            None => {
                self.is_transit(subject.cluster, hop)
                    && !self.usable_endpoints(subject).is_empty()
                    && !self.served_locally(subject.cluster, subject.service)
            }
        }
    }

    /// The same, where what is known of nodes tells.
    pub(super) fn certain_flow(&self, subject: Subject<'a>, next_hop: IpAddr) -> Option<Flow> {
        let behind = self.nodes_behind(subject.cluster, next_hop);
        let theirs = self.flow_into_other_cluster(subject, next_hop);
        if behind.is_empty() {
            return theirs;
        }
        let itself = !self.nodes_at(subject.cluster, next_hop).is_empty();
        let serves = self.serves(subject, &behind) || !itself && theirs == Some(Flow::Serves);
        Some(if serves { Flow::Serves } else { Flow::Lost })
    }

    /// One of the nodes has a usable endpoint, or the policy is Cluster and there is one anywhere.
    fn serves(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> bool {
        match self.served_locally(subject.cluster, subject.service) {
            false => !self.usable_endpoints(subject).is_empty(),
            true => self.usable_on(subject, nodes) > 0,
        }
    }

    /// A node of another cluster explains the next-hop, or its VTEP, when the clusters share the VIP and it serves there.
    /// A VTEP that serves nobody there may well have a node of this cluster behind it.
    pub(super) fn flow_into_other_cluster(&self, subject: Subject<'a>, next_hop: IpAddr) -> Option<Flow> {
        let mut explained = None;
        for other in self.neighbors_of(subject.cluster) {
            let behind = self.nodes_behind(other, next_hop);
            let mut theirs = self.subjects(other).filter(|theirs| theirs.vip == subject.vip);
            if share(subject.cluster, other) && theirs.any(|theirs| self.serves(theirs, &behind)) && !behind.is_empty()
            {
                return Some(Flow::Serves);
            }
            if !self.nodes_at(other, next_hop).is_empty() {
                explained = Some(Flow::Lost);
            }
        }
        explained
    }

    /// The other clusters in the same network instance.
    pub(super) fn neighbors_of(&self, cluster: Cluster<'a>) -> impl Iterator<Item = Cluster<'a>> {
        self.clusters().filter(move |other| {
            other.name != cluster.name && other.config.rules.network_instance == cluster.config.rules.network_instance
        })
    }
}
