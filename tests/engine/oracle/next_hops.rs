//! The next-hops that a VIP's route should have, and where flows sent to a next-hop end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use srl_k8s_services::model::names::{ClusterName, NodeName};
use srl_k8s_services::model::verdict::NextHopKind;

use ipnet::IpNet;

use super::routes::Found;
use super::services::Subject;
use super::speakers::pools;
use super::{Cluster, Oracle, one_api, share};

/// Where flows sent to a next-hop end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Serves,
    MayServe,
    Lost,
}

impl<'a> Oracle<'a> {
    /// Returns the attached announcers that do not announce to other switches only. While gNMI does not report neighbors and no node is known to be attached,
    /// returns those whose address is a next-hop, which are reached directly.
    pub(super) fn attached_announcers(
        &self,
        cluster: Cluster<'a>,
        vip: IpAddr,
        installed: &BTreeSet<IpAddr>,
    ) -> Vec<&'a NodeName> {
        let (announcers, passing) = (self.announcers(cluster, vip), self.passing_by(cluster, vip));
        let here = |node: &&NodeName| !self.attached(cluster, node).is_empty() && !passing.contains(*node);
        let attached: Vec<_> = announcers.iter().copied().filter(here).collect();
        if !attached.is_empty() || self.gnmi_heard() {
            return attached;
        }
        let reached = |node: &&NodeName| installed.iter().any(|hop| self.is_address_of(cluster, node, *hop));
        let others = self.by_others(cluster, vip);
        let unlocated = announcers.difference(&others).copied().filter(|node| !self.located(cluster, node));
        unlocated.filter(reached).collect()
    }

    /// Returns whether the next-hop leads to the node: it is one of its addresses, its VTEP, or its gateway.
    pub(super) fn leads_to(&self, cluster: Cluster<'a>, node: &NodeName, hop: &IpAddr) -> bool {
        self.is_address_of(cluster, node, *hop)
            || self.vteps(cluster, node).contains(hop)
            || self.gateways(cluster, node).contains(hop)
    }

    /// Returns the next-hops that the VIP's route should have. For each attached announcer, these are its installed
    /// next-hops, or else the address of its session. If no announcer is attached, these are the installed next-hops of
    /// each remote one, or else its first VTEP; unless a cluster that shares the VIP has attached announcers, whose
    /// routes win here, or transit leads to the announcers, or all next-hops of a route that is not from EVPN may be
    /// announcers without a known place.
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
            let (announcers, passing) = (self.announcers(other, vip), self.passing_by(other, vip));
            announcers.difference(&passing).any(|node| !self.attached(other, node).is_empty())
        });
        let flows = route.map(|route| self.flows(subject, route)).unwrap_or_default();
        let all_may = !flows.is_empty() && flows.values().all(|flow| *flow == Flow::MayServe);
        let evpn = route.is_some_and(Found::is_evpn);
        let transit = installed.iter().any(|hop| self.is_anyones_transit(cluster, *hop));
        let others = self.by_others(cluster, vip);
        let announcers = self.announcers(cluster, vip);
        let silent_here = announcers.difference(&others).any(|node| {
            self.here_alone(cluster, node) && installed.iter().any(|hop| self.is_address_of(cluster, node, *hop))
        });
        if partner_here || transit || silent_here || all_may && !evpn {
            return BTreeSet::new();
        }
        let remote = announcers.difference(&others).copied().filter(|node| self.remote(cluster, node));
        let expect = |node: &NodeName| {
            let ways = ways(node);
            if ways.is_empty() { self.vteps(cluster, node).into_iter().take(1).collect() } else { ways }
        };
        remote.flat_map(expect).collect()
    }

    /// Returns where flows of this service end, by next-hop. A next-hop that does not certainly serve may be one of the
    /// announcers, of this cluster or of one that shares the VIP, that have an endpoint somewhere and to which no
    /// next-hop leads. A leaf may stand for any of them that may peer elsewhere or has no known place, an address for
    /// one that has no known place.
    pub(super) fn flows(&self, subject: Subject<'a>, route: &Found) -> BTreeMap<IpAddr, Flow> {
        self.flows_and_guesses(subject, route).0
    }

    /// Returns where flows end, and the next-hops that may serve only by nodes that should not announce.
    fn flows_and_guesses(&self, subject: Subject<'a>, route: &Found) -> (BTreeMap<IpAddr, Flow>, BTreeSet<IpAddr>) {
        let Subject { cluster, .. } = subject;
        let (mut elsewhere, mut alone, mut unplaced) = (0, 0, 0);
        for other in self.with_endpoints(subject).map(|subject| subject.cluster.name).collect::<BTreeSet<_>>() {
            let other = self.clusters().find(|cluster| cluster.name == other).expect("a cluster");
            let mut here = self.attached_announcers(other, subject.vip, &route.next_hops);
            here.extend(self.passing_by(other, subject.vip));
            for node in self.announcers(other, subject.vip).difference(&self.by_others(other, subject.vip)) {
                if route.next_hops.iter().any(|hop| self.leads_to(other, node, hop)) {
                } else if here.contains(node) {
                    elsewhere += 1;
                } else if self.here_alone(other, node) {
                    alone += 1;
                } else if !self.located(other, node) {
                    unplaced += 1;
                }
            }
        }
        // A leaf may also send flows on to an announcer whose routes come by sessions of other nodes.
        let passed_on = self.served_locally(cluster, subject.service)
            && !self.usable_endpoints(subject).is_empty()
            && self
                .by_others(cluster, subject.vip)
                .into_iter()
                .any(|node| !route.next_hops.iter().any(|hop| self.leads_to(cluster, node, hop)));
        let room = passed_on || elsewhere + alone + unplaced > 0;
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
                // A link-local address may be that of an announcer that is here, or of a node without a known place
                // that should not announce.
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

    /// Considers nodes that should not announce, would serve, and to which no next-hop leads. Returns whether there are
    /// any that are not known to be behind another leaf, how many have no known place, and how many are here without a
    /// neighbor.
    fn unannounced(&self, subject: Subject<'a>, route: &Found) -> (bool, usize, usize) {
        let mut nodes: BTreeSet<(&ClusterName, &NodeName)> = BTreeSet::new();
        for theirs in self.with_endpoints(subject) {
            let of = theirs.cluster;
            let mut announcers = self.announcers(of, subject.vip);
            announcers.retain(|node| !self.by_others(of, subject.vip).contains(node));
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

    /// Returns this service, and those of clusters that share the VIP, if they have an endpoint for it.
    fn with_endpoints(&self, subject: Subject<'a>) -> impl Iterator<Item = Subject<'a>> {
        let partners = self.neighbors_of(subject.cluster).filter(move |other| share(subject.cluster, *other));
        let theirs = partners.flat_map(|other| self.subjects(other)).filter(move |other| other.vip == subject.vip);
        std::iter::once(subject).chain(theirs).filter(|subject| !self.usable_endpoints(*subject).is_empty())
    }

    /// Returns those of [`Self::with_endpoints`] to which a next-hop is transit.
    fn passed_on(&self, subject: Subject<'a>, hop: IpAddr) -> impl Iterator<Item = Subject<'a>> {
        self.with_endpoints(subject).filter(move |other| self.is_transit(other.cluster, hop))
    }

    /// Returns the transit addresses configured for a cluster and for those that share VIPs with it.
    fn named_transit(&self, cluster: Cluster<'a>) -> impl Iterator<Item = (Cluster<'a>, IpAddr)> {
        let partners = self.neighbors_of(cluster).filter(move |other| share(cluster, *other));
        let all = std::iter::once(cluster).chain(partners);
        all.flat_map(|cluster| cluster.config.rules.transit_addresses.iter().map(move |transit| (cluster, *transit)))
    }

    pub(super) fn is_anyones_transit(&self, cluster: Cluster<'a>, hop: IpAddr) -> bool {
        self.named_transit(cluster).any(|(cluster, _)| self.is_transit(cluster, hop))
    }

    /// Returns whether a next-hop that may serve may as well belong to nobody or to another claimant: an address that
    /// no node is known to have, that the operator configured, or whose session is not known to be up; or any next-hop
    /// if a cluster claims the VIP without sharing it.
    pub(super) fn unproven(&self, subject: Subject<'a>, route: &Found, hop: IpAddr) -> bool {
        let cluster = subject.cluster;
        let kind = self.kind(cluster, hop, route.is_evpn());
        let claims = |other: Cluster<'a>| self.subjects(other).any(|theirs| theirs.vip == subject.vip);
        // A prefix that covers the VIP may be announced by another cluster.
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
            let others = self.by_others(other, subject.vip);
            let announcers = self.announcers(other, subject.vip);
            let mut absent = announcers.difference(&others).filter(|node| !self.remote(other, node));
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
        // The leaf may send flows to nodes behind it that announce a range but have no endpoint.
        let ranged = || {
            let mut nodes = cluster.world.nodes.keys().filter(|node| self.vteps(cluster, node).contains(&hop));
            let local = self.served_locally(cluster, subject.service) && route.prefix != IpNet::from(subject.vip);
            local && nodes.any(|node| self.usable_on(subject, &BTreeSet::from([node])) == 0)
        };
        // The same may happen with nodes behind transit.
        let passed = || {
            let partners = self.neighbors_of(cluster).filter(|other| share(cluster, *other));
            let theirs = partners.flat_map(|other| self.subjects(other)).filter(|theirs| theirs.vip == subject.vip);
            let mut all = std::iter::once(subject).chain(theirs);
            let ranged =
                |of: Subject<'a>| self.served_locally(of.cluster, of.service) && self.is_transit(of.cluster, hop);
            route.prefix != IpNet::from(subject.vip) && all.any(ranged)
        };
        match kind {
            // The leaf of nodes that share the VIP has no session.
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
            // It is not known here to whom transit forwards the flows.
            NextHopKind::Transit => passed() || !self.surely_serves(subject, hop),
            // A node to which the operator's route leads, without a session and without an ARP or ND answer.
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

    /// Returns whether a cluster that shares the VIP has nodes that do not serve and that are behind the next-hop or
    /// have no known place. Behind another leaf there may also be those that are here and to which no next-hop leads.
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

    /// Returns whether host routes show where nodes of the cluster are, but not where these are.
    fn unseen(&self, cluster: Cluster<'a>, nodes: &BTreeSet<&'a NodeName>) -> bool {
        let shown = |node: &NodeName| self.answers(cluster, node) || !self.vteps(cluster, node).is_empty();
        !nodes.iter().any(|node| shown(node)) && cluster.world.nodes.keys().any(shown)
    }

    /// Returns whether ARP or ND had a host route to an address of one of the nodes when gNMI was last heard, or at any
    /// time since.
    fn answered(&self, cluster: Cluster<'a>, nodes: &BTreeSet<&'a NodeName>) -> bool {
        let mut known = self.world.answered.iter().filter(|known| known.cluster == *cluster.name);
        known.any(|known| nodes.contains(&known.node) && self.is_address_of(cluster, &known.node, known.address))
    }

    /// Returns whether ARP or ND has a host route to the node here.
    pub(super) fn answers(&self, cluster: Cluster<'a>, node: &NodeName) -> bool {
        let network_instance = &cluster.config.rules.network_instance;
        let mut addresses = self.candidates(cluster, node).into_iter().map(|(address, _)| address);
        addresses.any(|address| {
            let route = self.world.host_route(network_instance, address);
            route.and_then(|route| self.world.owner(route)) == Some("arp_nd_mgr")
        })
    }

    /// Returns whether one of the clusters that share the VIP has announcers behind the VTEP, none of which serves.
    fn mixed(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let partners: Vec<_> =
            self.neighbors_of(subject.cluster).filter(|other| share(subject.cluster, *other)).collect();
        let idle = |cluster: Cluster<'a>| {
            let mut announcers = self.announcers(cluster, subject.vip);
            announcers.retain(|node| !self.by_others(cluster, subject.vip).contains(node));
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

    /// Returns the cluster whose node a next-hop is: this one, or another in the network instance.
    fn owner(&self, cluster: Cluster<'a>, hop: IpAddr) -> Option<Cluster<'a>> {
        let mut all = std::iter::once(cluster).chain(self.neighbors_of(cluster));
        all.find(|cluster| !self.nodes_of_hop(*cluster, hop).is_empty())
    }

    /// Returns whether the next-hop is a node whose route is only kept, because its session is down, and which nothing
    /// shows to be alive.
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

    /// Returns whether a next-hop leads to the cluster by transit: an address that the operator configured, or the leaf
    /// behind which such an address is.
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

    /// Returns whether a next-hop certainly serves, by nodes or by transit.
    pub(super) fn surely_serves(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let local = self.kind(subject.cluster, hop, false) == NextHopKind::Local;
        let itself = self.named_transit(subject.cluster).any(|(_, transit)| transit == hop);
        let transit = itself && self.kind(subject.cluster, hop, false) == NextHopKind::Transit;
        self.somehow_serves(subject, hop) && (local || transit || !self.mixed(subject, hop))
    }

    /// Returns whether a next-hop serves, although idle nodes may be behind the same leaf.
    pub(super) fn somehow_serves(&self, subject: Subject<'a>, hop: IpAddr) -> bool {
        let local = self.kind(subject.cluster, hop, false) == NextHopKind::Local;
        let all_serve = |other: &Subject<'a>| !self.served_locally(other.cluster, other.service);
        let passed = || !local && self.passed_on(subject, hop).any(|other| all_serve(&other));
        self.certain_flow(subject, hop) == Some(Flow::Serves) || passed()
    }

    /// Returns where flows to a next-hop end, if that is certain from what is known about nodes.
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

    /// Returns whether one of the nodes has a usable endpoint, or policy is Cluster and there is a usable endpoint
    /// anywhere.
    pub(super) fn serves(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> bool {
        match self.served_locally(subject.cluster, subject.service) {
            false => !self.usable_endpoints(subject).is_empty(),
            true => self.usable_on(subject, nodes) > 0,
        }
    }

    /// Returns where flows end if a node of another cluster explains the next-hop: they are served if the clusters
    /// share the VIP and the node, or one behind the VTEP, serves. A VTEP that serves nobody there may still have a
    /// node of this cluster behind it.
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

    /// Returns the other clusters in the same network instance. One that is the same API makes no claims of its own,
    /// unless VIPs are shared with it.
    pub(super) fn neighbors_of(&self, cluster: Cluster<'a>) -> impl Iterator<Item = Cluster<'a>> {
        self.clusters().filter(move |other| {
            other.name != cluster.name
                && other.config.rules.network_instance == cluster.config.rules.network_instance
                && (share(cluster, *other) || !one_api(cluster, *other))
        })
    }
}
