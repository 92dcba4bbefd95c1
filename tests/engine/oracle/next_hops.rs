//! What a VIP's route should use, and where flows sent to a next-hop end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use srl_k8s_services::model::names::{ClusterName, NodeName};
use srl_k8s_services::model::verdict::NextHopKind;

use ipnet::IpNet;

use super::routes::Found;
use super::services::Subject;
use super::speakers::pools;
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
        let silent_here = self.announcers(cluster, vip).into_iter().any(|node| {
            self.here_alone(cluster, node) && installed.iter().any(|hop| self.is_address_of(cluster, node, *hop))
        });
        if partner_here || transit || silent_here || all_may && !evpn {
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
        self.flows_and_guesses(subject, route).0
    }

    /// The same, and those that may serve by nodes alone that are not to announce.
    fn flows_and_guesses(&self, subject: Subject<'a>, route: &Found) -> (BTreeMap<IpAddr, Flow>, BTreeSet<IpAddr>) {
        let Subject { cluster, .. } = subject;
        let (mut elsewhere, mut alone, mut unplaced) = (0, 0, 0);
        for other in self.with_endpoints(subject).map(|subject| subject.cluster.name).collect::<BTreeSet<_>>() {
            let other = self.clusters().find(|cluster| cluster.name == other).expect("a cluster");
            let here = self.attached_announcers(other, subject.vip, &route.next_hops);
            for node in self.announcers(other, subject.vip) {
                if route.next_hops.iter().any(|hop| self.leads_to(other, node, hop)) {
                } else if here.contains(&node) {
                    elsewhere += 1;
                } else if self.here_alone(other, node) {
                    alone += 1;
                } else if !self.located(other, node) {
                    unplaced += 1;
                }
            }
        }
        let room = elsewhere + alone + unplaced > 0;
        let (beside, mut idle, mut idle_here) = self.unannounced(subject, route);
        let (mut flows, mut guesses) = (BTreeMap::new(), BTreeSet::new());
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
                    let mixed = self.certain_flow(subject, *hop) == Some(Flow::Serves);
                    let passed = self.passed_on(subject, *hop).next().is_some();
                    let may = room || mixed || passed;
                    guesses.extend((!may && beside).then_some(*hop));
                    may || beside
                }
                // A node that is here speaks by a link-local address, or one that is nowhere and is not to announce does.
                NextHopKind::Unmapped => {
                    let link_local = matches!(hop, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80);
                    let local = alone > 0 && link_local;
                    let one = unplaced > 0 && !local;
                    alone -= usize::from(local);
                    unplaced -= usize::from(one);
                    let speaker = !local && !one && link_local && idle_here > 0;
                    idle_here -= usize::from(speaker);
                    let other = !local && !one && !speaker && idle > 0;
                    idle -= usize::from(other);
                    guesses.extend((speaker || other).then_some(*hop));
                    local || one || speaker || other
                }
            };
            flows.insert(*hop, if may { Flow::MayServe } else { Flow::Lost });
        }
        (flows, guesses)
    }

    /// Nodes that are not to announce, would serve, and have no way among the next-hops: whether there is any that is not known
    /// to be behind another leaf, how many are nowhere, and how many are here without a neighbor.
    fn unannounced(&self, subject: Subject<'a>, route: &Found) -> (bool, usize, usize) {
        let mut nodes: BTreeSet<(&ClusterName, &NodeName)> = BTreeSet::new();
        for theirs in self.with_endpoints(subject) {
            let of = theirs.cluster;
            let announcers = self.announcers(of, subject.vip);
            let quiet = of.world.nodes.keys().filter(|node| !announcers.contains(node) && !self.remote(of, node));
            let unused = quiet.filter(|node| !route.next_hops.iter().any(|hop| self.leads_to(of, node, hop)));
            let serving = unused.filter(|node| self.serves(theirs, &BTreeSet::from([*node])));
            nodes.extend(serving.map(|node| (of.name, node)));
        }
        let (mut nowhere, mut here) = (0, 0);
        for (name, node) in &nodes {
            let of = self.clusters().find(|cluster| cluster.name == *name).expect("a cluster");
            here += usize::from(self.here_alone(of, node));
            nowhere += usize::from(!self.located(of, node) && !self.here_alone(of, node));
        }
        (!nodes.is_empty(), nowhere, here)
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
        // Of a prefix that covers the VIP, another cluster may be who announces it.
        let claims_part = |other: Cluster<'a>| {
            let covered = |theirs: Subject<'a>| route.prefix.contains(&theirs.vip);
            let pools = pools(other.config, &other.world.speaker);
            route.prefix != IpNet::from(subject.vip)
                && (self.subjects(other).any(covered) || pools.iter().any(|pool| pool.contains(&subject.vip)))
        };
        let rivals = || {
            let others = self.neighbors_of(cluster);
            others.filter(|other| if claims(*other) { !share(cluster, *other) } else { claims_part(*other) })
        };
        let alien = |other: Cluster<'a>, node: &NodeName| {
            !self.remote(other, node) && !route.next_hops.iter().any(|hop| self.leads_to(other, node, hop))
        };
        let strays = |other: Cluster<'a>| {
            if !claims(other) {
                let mut nodes = other.world.nodes.keys();
                return nodes.any(|node| self.vteps(other, node).contains(&hop) || alien(other, node));
            }
            let mut absent = self.announcers(other, subject.vip).into_iter().filter(|node| !self.remote(other, node));
            absent.any(|node| {
                let placed = self.located(other, node) || self.here_alone(other, node);
                !placed || !route.next_hops.iter().any(|hop| self.leads_to(other, node, hop))
            })
        };
        let written = route.view.owner.as_deref() == Some("static_route_mgr");
        let guessed = || self.flows_and_guesses(subject, route).1.contains(&hop);
        let unheard = || {
            let host = self.world.host_route(&cluster.config.rules.network_instance, hop);
            !self.gnmi_heard() && host.and_then(|route| self.world.owner(route)) != Some("arp_nd_mgr")
        };
        // A leaf may use those of the nodes behind it that announce a range without an endpoint.
        let ranged = || {
            let mut nodes = cluster.world.nodes.keys().filter(|node| self.vteps(cluster, node).contains(&hop));
            let local = self.served_locally(cluster, subject.service) && route.prefix != IpNet::from(subject.vip);
            local && nodes.any(|node| self.usable_on(subject, &BTreeSet::from([node])) == 0)
        };
        // The same of nodes beyond transit.
        let passed = || {
            let partners = self.neighbors_of(cluster).filter(|other| share(cluster, *other));
            let theirs = partners.flat_map(|other| self.subjects(other)).filter(|theirs| theirs.vip == subject.vip);
            let mut all = std::iter::once(subject).chain(theirs);
            let ranged =
                |of: Subject<'a>| self.served_locally(of.cluster, of.service) && self.is_transit(of.cluster, hop);
            route.prefix != IpNet::from(subject.vip) && all.any(ranged)
        };
        match kind {
            // The leaf of nodes that share the VIP has no session of its own.
            NextHopKind::Unmapped if self.surely_serves(subject, hop) => false,
            NextHopKind::Unmapped => {
                let unproven = written || unheard() || self.session_last_down(cluster, hop);
                unproven || rivals().next().is_some() || self.idle_partner(subject, route, hop) || guessed()
            }
            NextHopKind::Vtep if self.surely_serves(subject, hop) => ranged() || passed() || rivals().any(strays),
            NextHopKind::Vtep => {
                let behind = |of: Cluster<'a>| of.world.nodes.keys().any(|node| self.vteps(of, node).contains(&hop));
                let strangers = !behind(cluster) && self.neighbors_of(cluster).any(behind);
                let theirs = strangers || self.mixed(subject, hop) || self.idle_partner(subject, route, hop);
                theirs || rivals().next().is_some() || guessed()
            }
            // Whom it passes flows on to is not known here.
            NextHopKind::Transit => passed() || !self.surely_serves(subject, hop),
            // A node that the operator leads to, without a session of its own and an answer.
            NextHopKind::Local if written && self.surely_serves(subject, hop) => {
                let Some(cluster) = self.owner(cluster, hop) else { return false };
                let nodes = self.nodes_of_hop(cluster, hop);
                let down = match self.carried_by(cluster, subject.vip, hop) {
                    Some(_) => {
                        let down = self.next_hop_last_down(cluster, subject.vip, hop);
                        down || !self.gnmi_heard() && self.answered(cluster, &nodes)
                    }
                    None => true,
                };
                down && !nodes.iter().any(|node| self.answers(cluster, node))
            }
            NextHopKind::Local | NextHopKind::L2 => false,
        }
    }

    /// A cluster that shares the VIP has nodes behind the next-hop, or some that nothing places, which do not serve; behind
    /// another leaf may also be those that are here and have no way among the next-hops.
    fn idle_partner(&self, subject: Subject<'a>, route: &Found, hop: IpAddr) -> bool {
        let cluster = subject.cluster;
        let leaf = self.kind(cluster, hop, route.is_evpn()) == NextHopKind::Vtep;
        let mut partners = self.neighbors_of(cluster).filter(|other| share(cluster, *other));
        partners.any(|other| {
            let theirs: Vec<_> = self.subjects(other).filter(|theirs| theirs.vip == subject.vip).collect();
            let mut nodes = other.world.nodes.keys();
            !theirs.is_empty()
                && nodes.any(|node| {
                    let placed = self.located(other, node) || self.here_alone(other, node);
                    let alone = BTreeSet::from([node]);
                    let serves = |theirs: &Subject<'a>| {
                        !self.usable_endpoints(*theirs).is_empty() && self.serves(*theirs, &alone)
                    };
                    let unused = || !route.next_hops.iter().any(|hop| self.leads_to(other, node, hop));
                    let twin = leaf && !self.remote(other, node) && unused();
                    (!placed || twin || self.vteps(other, node).contains(&hop)) && !theirs.iter().any(serves)
                })
        })
    }

    /// Host routes show where nodes of the cluster are, but for these.
    fn unseen(&self, cluster: Cluster<'a>, nodes: &BTreeSet<&'a NodeName>) -> bool {
        let shown = |node: &NodeName| self.answers(cluster, node) || !self.vteps(cluster, node).is_empty();
        !nodes.iter().any(|node| shown(node)) && cluster.world.nodes.keys().any(shown)
    }

    /// ARP or ND had a host route to an address of one of the nodes when gNMI was last heard, or has had since.
    fn answered(&self, cluster: Cluster<'a>, nodes: &BTreeSet<&'a NodeName>) -> bool {
        let mut known = self.world.answered.iter().filter(|known| known.cluster == *cluster.name);
        known.any(|known| nodes.contains(&known.node) && self.is_address_of(cluster, &known.node, known.address))
    }

    /// ARP or ND has a host route of the node here.
    pub(super) fn answers(&self, cluster: Cluster<'a>, node: &NodeName) -> bool {
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

    /// The cluster whose node a next-hop is: this one, or another in the network instance.
    fn owner(&self, cluster: Cluster<'a>, hop: IpAddr) -> Option<Cluster<'a>> {
        let mut all = std::iter::once(cluster).chain(self.neighbors_of(cluster));
        all.find(|cluster| !self.nodes_of_hop(*cluster, hop).is_empty())
    }

    /// A node whose route is only kept, for its session is down, and that nothing shows to be alive.
    pub(super) fn doubtful(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let vip = subject.vip;
        if self.kind(subject.cluster, hop, false) != NextHopKind::Local {
            return false;
        }
        let Some(cluster) = self.owner(subject.cluster, hop) else { return false };
        let nodes = self.nodes_of_hop(cluster, hop);
        let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, hop);
        let down = match self.carried_by(cluster, vip, hop) {
            Some(_) => {
                self.next_hop_last_down(cluster, vip, hop) || !self.gnmi_heard() && self.answered(cluster, &nodes)
            }
            None => {
                neighbor.is_some() && self.session_last_down(cluster, hop)
                    || !self.gnmi_heard() && self.unseen(cluster, &nodes)
            }
        };
        down && !nodes.iter().any(|node| self.answers(cluster, node))
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
        let itself = self.named_transit(subject.cluster).any(|(_, transit)| transit == hop);
        let transit = itself && self.kind(subject.cluster, hop, false) == NextHopKind::Transit;
        self.somehow_serves(subject, hop) && (local || transit || !self.mixed(subject, hop))
    }

    /// The same, though idle nodes may be behind the same leaf.
    pub(super) fn somehow_serves(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let local = self.kind(subject.cluster, hop, false) == NextHopKind::Local;
        let all_serve = |other: &Subject<'a>| !self.served_locally(other.cluster, other.service);
        let passed = || !local && self.passed_on(subject, hop).any(|other| all_serve(&other));
        self.certain_flow(subject, hop) == Some(Flow::Serves) || passed()
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
    pub(super) fn serves(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> bool {
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
            if !self.nodes_of_hop(other, next_hop).is_empty() {
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
