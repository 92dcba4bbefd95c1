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
    pub(super) fn leads_to(&self, cluster: Cluster<'a>, node: &NodeName, hop: &IpAddr) -> bool {
        self.is_address_of(cluster, node, *hop)
            || self.vteps(cluster, node).contains(hop)
            || self.gateways(cluster, node).contains(hop)
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
        let transit = installed.iter().any(|hop| self.is_anyones_transit(cluster, *hop));
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

    /// Where flows of this service end, by the next-hop they are sent to. What serves nobody for certain may serve those
    /// announcers, of this cluster or of one that shares the VIP, that have an endpoint somewhere and no way among the
    /// next-hops: a leaf any of them that may peer elsewhere or that nobody can place, an address one that nobody can place.
    pub(super) fn flows(&self, subject: Subject<'a>, route: &Found) -> BTreeMap<IpAddr, Flow> {
        let Subject { cluster, .. } = subject;
        let (mut elsewhere, mut unplaced) = (0, 0);
        for other in self.with_endpoints(subject).map(|subject| subject.cluster.name).collect::<BTreeSet<_>>() {
            let other = self.clusters().find(|cluster| cluster.name == other).expect("a cluster");
            let here = self.attached_announcers(other, subject.vip, &route.next_hops);
            for node in self.announcers(other, subject.vip) {
                if route.next_hops.iter().any(|hop| self.leads_to(other, node, hop)) {
                } else if here.contains(&node) || self.here_alone(other, node) {
                    elsewhere += 1;
                } else if !self.located(other, node) {
                    unplaced += 1;
                }
            }
        }
        let room = elsewhere + unplaced > 0;
        let mut flows = BTreeMap::new();
        for hop in &route.next_hops {
            let kind = self.kind(cluster, *hop, route.is_evpn());
            let itself = self.named_transit(cluster).any(|(_, transit)| transit == *hop);
            let may = match kind {
                _ if self.surely_serves(subject, *hop) => {
                    flows.insert(*hop, Flow::Serves);
                    continue;
                }
                NextHopKind::Local | NextHopKind::L2 => false,
                NextHopKind::Transit if itself => self.passed_on(subject, *hop).next().is_some(),
                NextHopKind::Transit | NextHopKind::Vtep => {
                    let mut nodes = cluster.world.nodes.keys();
                    let reached = |node: &NodeName| route.next_hops.iter().any(|hop| self.leads_to(cluster, node, hop));
                    let any_node = !self.usable_endpoints(subject).is_empty()
                        && !self.served_locally(cluster, subject.service)
                        && nodes.any(|node| !self.remote(cluster, node) && !reached(node));
                    let mixed = self.certain_flow(subject, *hop) == Some(Flow::Serves);
                    room || any_node || mixed || self.passed_on(subject, *hop).next().is_some()
                }
                NextHopKind::Unmapped => {
                    let one = unplaced > 0;
                    unplaced -= usize::from(one);
                    one
                }
            };
            flows.insert(*hop, if may { Flow::MayServe } else { Flow::Lost });
        }
        flows
    }

    /// This service, and those of clusters that share the VIP, as far as they have an endpoint for it.
    fn with_endpoints(&self, subject: Subject<'a>) -> impl Iterator<Item = Subject<'a>> {
        let partners = self.neighbors_of(subject.cluster).filter(move |other| share(subject.cluster, *other));
        let theirs = partners.flat_map(|other| self.subjects(other)).filter(move |other| other.vip == subject.vip);
        std::iter::once(subject).chain(theirs).filter(|subject| !self.usable_endpoints(*subject).is_empty())
    }

    /// Those of them that a next-hop is transit to.
    fn passed_on(&self, subject: Subject<'a>, hop: IpAddr) -> impl Iterator<Item = Subject<'a>> {
        self.with_endpoints(subject).filter(move |other| self.is_transit(other.cluster, hop))
    }

    /// Transit that operators name, of a cluster and those that share VIPs with it.
    fn named_transit(&self, cluster: Cluster<'a>) -> impl Iterator<Item = (Cluster<'a>, IpAddr)> {
        let partners = self.neighbors_of(cluster).filter(move |other| share(cluster, *other));
        let all = std::iter::once(cluster).chain(partners);
        all.flat_map(|cluster| cluster.config.rules.transit_addresses.iter().map(move |transit| (cluster, *transit)))
    }

    pub(super) fn is_anyones_transit(&self, cluster: Cluster<'a>, hop: IpAddr) -> bool {
        self.named_transit(cluster).any(|(cluster, _)| self.is_transit(cluster, hop))
    }

    /// What may serve and may as well be nobody's, or another claimant's: an address that nobody is known to have, that the
    /// operator wrote or that has no session that is known to be up; any where a cluster claims the VIP that shares nothing.
    pub(super) fn unproven(&self, subject: Subject<'a>, route: &Found, hop: IpAddr) -> bool {
        let cluster = subject.cluster;
        let kind = self.kind(cluster, hop, route.is_evpn());
        let claims = |other: Cluster<'a>| self.subjects(other).any(|theirs| theirs.vip == subject.vip);
        let rivals = || self.neighbors_of(cluster).filter(|other| !share(cluster, *other) && claims(*other));
        let unplaced = |other: Cluster<'a>| {
            let announcers = self.announcers(other, subject.vip);
            announcers.iter().any(|node| !self.located(other, node) && !self.here_alone(other, node))
        };
        let written = route.view.owner.as_deref() == Some("static_route_mgr");
        match kind {
            // The leaf of nodes that share the VIP has no session of its own.
            NextHopKind::Unmapped if self.surely_serves(subject, hop) => false,
            NextHopKind::Unmapped => written || rivals().next().is_some() || self.session_last_down(cluster, hop),
            NextHopKind::Vtep => rivals().any(unplaced),
            // A node that the operator leads to, without a session of its own and an answer.
            NextHopKind::Local if written && self.surely_serves(subject, hop) => {
                let nodes = self.nodes_of_hop(cluster, hop);
                let down = match self.carried_by(cluster, subject.vip, hop) {
                    Some(_) => self.next_hop_last_down(cluster, subject.vip, hop),
                    None => true,
                };
                !nodes.is_empty() && down && !nodes.iter().any(|node| self.answers(cluster, node))
            }
            NextHopKind::Transit | NextHopKind::Local | NextHopKind::L2 => false,
        }
    }

    /// ARP or ND has a host route of the node here.
    fn answers(&self, cluster: Cluster<'a>, node: &NodeName) -> bool {
        let network_instance = &cluster.config.rules.network_instance;
        let mut addresses = self.candidates(cluster, node).into_iter().map(|(address, _)| address);
        addresses.any(|address| {
            let route = self.world.host_route(network_instance, address);
            route.and_then(|route| self.world.owner(route)) == Some("arp_nd_mgr")
        })
    }

    /// One of the clusters that share the VIP has announcers behind the VTEP, and none of them serves.
    fn mixed(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let partners: Vec<_> =
            self.neighbors_of(subject.cluster).filter(|other| share(subject.cluster, *other)).collect();
        let idle = |cluster: Cluster<'a>| {
            let announcers = self.announcers(cluster, subject.vip);
            let nodes = cluster.world.nodes.keys();
            let behind: BTreeSet<_> = nodes.filter(|node| self.vteps(cluster, node).contains(&hop)).collect();
            let own = |other: &Subject<'a>| {
                other.vip == subject.vip && (cluster.name != subject.cluster.name || other.key == subject.key)
            };
            behind.iter().any(|node| announcers.contains(node))
                && !self.subjects(cluster).filter(own).any(|other| self.serves(other, &behind))
                || self.is_transit(cluster, hop)
                    && !self.subjects(cluster).filter(own).any(|other| !self.usable_endpoints(other).is_empty())
        };
        !partners.is_empty() && std::iter::once(subject.cluster).chain(partners).any(idle)
    }

    /// A node whose route is only kept, for its session is down, and that nothing shows to be alive.
    pub(super) fn doubtful(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let Subject { cluster, vip, .. } = subject;
        let nodes = self.nodes_of_hop(cluster, hop);
        let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, hop);
        let down = match self.carried_by(cluster, vip, hop) {
            Some(_) => self.next_hop_last_down(cluster, vip, hop),
            None => neighbor.is_some() && self.session_last_down(cluster, hop),
        };
        !nodes.is_empty() && down && !nodes.iter().any(|node| self.answers(cluster, node))
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
        let local = self.kind(subject.cluster, hop, false) == NextHopKind::Local;
        let all_serve = |other: &Subject<'a>| !self.served_locally(other.cluster, other.service);
        self.certain_flow(subject, hop) == Some(Flow::Serves) && (local || !self.mixed(subject, hop))
            || !local && self.passed_on(subject, hop).any(|other| all_serve(&other))
    }

    /// The same, where what is known of nodes tells.
    pub(super) fn certain_flow(&self, subject: Subject<'a>, next_hop: IpAddr) -> Option<Flow> {
        let behind = self.nodes_behind(subject.cluster, next_hop);
        let theirs = self.flow_into_other_cluster(subject, next_hop);
        if behind.is_empty() {
            return theirs;
        }
        let itself = !self.nodes_of_hop(subject.cluster, next_hop).is_empty();
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
