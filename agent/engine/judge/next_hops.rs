//! Judges which next-hops serve a VIP, which may serve it, and which are expected.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ipnet::IpNet;

use super::announcers::announcers;
use super::carriers::{Announced, Carriers};
use super::evidence::{Hop, Matched, Session, World};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::endpoints::Endpoints;
use crate::engine::facts::nodes::{Expectation, NodeEntry};
use crate::engine::facts::places::PlaceCounts;
use crate::engine::facts::switch::EVPN_OWNER;
use crate::engine::facts::tally::Counted;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::NextHopGroupId;
use crate::model::verdict::NextHopKind;

/// Judges the next-hops of one VIP of one service.
#[derive(Debug)]
pub(crate) struct NextHops<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) cluster: &'a Cluster,
    pub(crate) vip: IpAddr,
    /// Whether only nodes with an endpoint serve.
    pub(crate) local_policy: bool,
    /// Whether endpoints of other clusters of a mesh serve as well, although the agent does not see them.
    pub(crate) meshed: bool,
    pub(crate) endpoints: &'a Endpoints,
}

/// Whether a route is the VIP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Counts,
    /// The route may be a prefix of the fabric.
    Unsure,
    /// The route is not for the VIP.
    Other,
}

/// Nodes that serve a VIP.
#[derive(Debug)]
pub(super) enum Serving {
    /// All nodes.
    All,
    These(Rc<BTreeSet<u32>>),
}

/// What a next-hop is known to be.
#[derive(Debug)]
enum Explained<'a> {
    Nodes(&'a [u32]),
    Vtep(&'a [u32]),
    Foreign(&'a Cluster, &'a [u32]),
    Transit,
    Unmapped,
}

impl NextHops<'_> {
    fn explain(&self, hop: IpAddr) -> Explained<'_> {
        let nodes = self.cluster.at_next_hop(hop);
        if !nodes.is_empty() {
            return Explained::Nodes(nodes);
        }
        let nodes = self.cluster.at_vtep(hop);
        if !nodes.is_empty() {
            return Explained::Vtep(nodes);
        }
        let foreign = self.others().find_map(|other| {
            let nodes = other.at_next_hop(hop);
            (!nodes.is_empty()).then_some(Explained::Foreign(other, nodes))
        });
        match foreign {
            Some(foreign) => foreign,
            None if self.is_transit(hop) => Explained::Transit,
            None => Explained::Unmapped,
        }
    }

    /// Returns the nodes at a next-hop, and the cluster they belong to: this one or another one.
    pub(super) fn owner(&self, hop: IpAddr) -> (&Cluster, &[u32]) {
        match self.explain(hop) {
            Explained::Nodes(nodes) => (self.cluster, nodes),
            Explained::Foreign(other, nodes) => (other, nodes),
            Explained::Vtep(_) | Explained::Transit | Explained::Unmapped => (self.cluster, &[]),
        }
    }

    /// Returns whether a next-hop is not a node, but leads to this cluster or to one that shares the VIP.
    fn is_transit(&self, hop: IpAddr) -> bool {
        self.is_transit_to(self.cluster, hop) || self.partners().any(|other| self.is_transit_to(other, hop))
    }

    /// Returns whether a next-hop is transit to a cluster: a configured address, or the leaf in front of one.
    pub(super) fn is_transit_to(&self, cluster: &Cluster, hop: IpAddr) -> bool {
        let (switch, instance) = (self.world.switch, &cluster.config.rules.network_instance);
        cluster.transit().any(|transit| {
            let behind = || {
                let route = switch.longest(instance, transit).map(|found| found.route);
                let group = route.filter(|route| switch.owned_by(route, EVPN_OWNER)).map(|route| route.next_hop_group);
                group.and_then(|group| switch.group(group)).is_some_and(|group| group.next_hops.contains(&hop))
            };
            transit == hop || behind()
        })
    }

    /// Returns whether flows sent to one of the nodes reach a usable endpoint.
    pub(crate) fn serve(&self, nodes: &[u32]) -> bool {
        self.endpoints.usable > 0 && (!self.local_policy || self.endpoints.behind(nodes) > 0)
    }

    /// Like [`Self::serve`], for nodes of a cluster that shares the VIP.
    pub(super) fn share(&self, other: &Cluster, nodes: &[u32]) -> bool {
        let partner = other.is_beside(self.cluster) && other.shares_with(self.cluster);
        let has_one = || {
            let serving = self.world.shared.serving_nodes(other, self.vip);
            nodes.iter().any(|slot| serving.contains(slot))
        };
        partner && (self.carriers(other).by_any_node || has_one())
    }

    /// Returns what the services of a cluster that carry the VIP have in common.
    pub(super) fn carriers(&self, cluster: &Cluster) -> Carriers {
        self.world.shared.carriers(cluster, self.vip)
    }

    /// Returns whether all flows sent to the next-hop reach a usable endpoint.
    pub(super) fn serves(&self, hop: IpAddr) -> bool {
        self.serves_by(hop, &self.explain(hop))
    }

    fn serves_by(&self, hop: IpAddr, explained: &Explained<'_>) -> bool {
        let leaf = match explained {
            Explained::Nodes(_) | Explained::Foreign(..) => false,
            Explained::Transit => !self.has_transit_at(hop),
            Explained::Vtep(_) | Explained::Unmapped => true,
        };
        self.some_served_by(hop, explained) && !(leaf && self.is_mixed(hop))
    }

    /// Returns whether at least some flows sent to the next-hop reach a usable endpoint: others may end at an idle node
    /// behind the same leaf.
    fn some_served_by(&self, hop: IpAddr, explained: &Explained<'_>) -> bool {
        match explained {
            Explained::Nodes(nodes) => self.serve(nodes),
            Explained::Vtep(nodes) => self.serve(nodes) || self.shared_behind(hop) || self.passes_on(hop),
            Explained::Foreign(other, nodes) => self.share(other, nodes),
            Explained::Transit => self.passes_on(hop),
            Explained::Unmapped => self.shared_behind(hop),
        }
    }

    /// Returns whether one of the clusters that share the VIP has announcers behind the VTEP, but none that serves.
    /// This leaf does not know which announcers that leaf uses.
    pub(super) fn is_mixed(&self, hop: IpAddr) -> bool {
        let idle = |cluster: &Cluster, serves: bool| {
            let behind = cluster.at_vtep(hop);
            if serves || behind.is_empty() {
                return false;
            }
            let (counted, expectation) = announcers(self.world, cluster, self.vip);
            expectation.elsewhere.iter().any(|slot| behind.contains(slot))
                || match counted {
                    Counted::NodeSet(id) => {
                        cluster.node_set(id).is_some_and(|set| behind.iter().any(|slot| set.expects(*slot)))
                    }
                    Counted::Nodes(nodes) => nodes.iter().any(|(slot, _)| behind.contains(slot)),
                }
        };
        let own_idle = idle(self.cluster, self.serve(self.cluster.at_vtep(hop)))
            || self.endpoints.usable == 0 && self.is_transit_to(self.cluster, hop);
        let mut partners = self.partners().peekable();
        partners.peek().is_some()
            && (own_idle
                || partners.any(|other| {
                    idle(other, self.share(other, other.at_vtep(hop)))
                        || !self.has_endpoint(other) && self.is_transit_to(other, hop)
                }))
    }

    /// Returns whether a next-hop is itself a transit address, not the leaf in front of one.
    fn has_transit_at(&self, hop: IpAddr) -> bool {
        self.cluster.transit().chain(self.partners().flat_map(Cluster::transit)).any(|transit| transit == hop)
    }

    /// Returns whether a next-hop is transit to a cluster whose nodes all serve.
    fn passes_on(&self, hop: IpAddr) -> bool {
        let own = self.endpoints.usable > 0 && !self.local_policy && self.is_transit_to(self.cluster, hop);
        own || self.partners().any(|other| self.carriers(other).by_any_node && self.is_transit_to(other, hop))
    }

    /// Returns whether a next-hop is transit to a cluster with an endpoint, so that it may know the nodes that serve.
    fn may_pass_on(&self, hop: IpAddr) -> bool {
        let own = self.endpoints.usable > 0 && self.is_transit_to(self.cluster, hop);
        own || self.partners().any(|other| self.has_endpoint(other) && self.is_transit_to(other, hop))
    }

    /// Returns whether a cluster has an endpoint for the VIP.
    fn has_endpoint(&self, other: &Cluster) -> bool {
        self.carriers(other).has_endpoint
    }

    /// Returns whether nodes of a cluster that shares the VIP are behind the VTEP and serve.
    fn shared_behind(&self, hop: IpAddr) -> bool {
        self.others().any(|other| !other.at_vtep(hop).is_empty() && self.share(other, other.at_vtep(hop)))
    }

    /// Returns whether a route is the VIP's. A covering prefix counts only if one of its next-hops serves or may serve,
    /// and the speaker may announce it.
    pub(crate) fn standing(&self, found: &Matched, expectation: &Expectation) -> Standing {
        if found.is_connected() && self.cluster.at_address(self.vip).is_empty() {
            return Standing::Other;
        }
        if found.is_host() {
            return Standing::Counts;
        }
        let hops = self.installed(Some(found), expectation);
        let mut serving = hops.iter().filter(|hop| hop.serves).peekable();
        let serves = serving.peek().is_some();
        // The gateway of a static route to a node may be a router, which has the fabric's prefixes as well.
        let at_address = |cluster: &Cluster, hop: &Hop| !cluster.at_address(hop.address).is_empty();
        let is_node = |hop: &Hop| at_address(self.cluster, hop) || self.others().any(|other| at_address(other, hop));
        let by_node = serving.any(|hop| hop.kind == NextHopKind::Local && is_node(hop));
        let by_mesh = || self.meshed && hops.iter().any(|hop| self.cluster.has_behind(hop.address));
        if !serves && !hops.iter().any(|hop| hop.may_serve) && !by_mesh() {
            return Standing::Other;
        }
        let length = found.prefix.prefix_len();
        let counts = match (self.announced(), self.cluster.pool_of(self.vip)) {
            (Some(announced), _) => length >= announced.prefix_len(),
            (None, _) if by_node => true,
            // No node should announce the VIP, and nothing shows who announces this prefix, or what it is for.
            (None, Some(pool)) if length >= pool.prefix_len() && self.nobody_announces(expectation) => {
                return Standing::Unsure;
            }
            (None, Some(pool)) => length >= pool.prefix_len(),
            // A leaf without nodes behind it sends the fabric's prefixes as well.
            (None, None) if found.is_evpn() && !self.serves_some(found) => false,
            (None, None) => return Standing::Unsure,
        };
        if counts { Standing::Counts } else { Standing::Other }
    }

    /// Returns whether some flows that follow a route reach a usable endpoint.
    fn serves_some(&self, found: &Matched) -> bool {
        found.hops.iter().any(|hop| self.some_served_by(*hop, &self.explain(*hop)))
    }

    /// Returns whether no node should announce the VIP, neither of the cluster nor of one that shares the VIP.
    fn nobody_announces(&self, expectation: &Expectation) -> bool {
        let announces = |other: &Cluster| announcers(self.world, other, self.vip).1.announcers > 0;
        expectation.announcers == 0 && !self.partners().any(announces)
    }

    /// Returns the shortest prefix that the VIP is announced as, if the resources of every speaker that announces it
    /// show theirs.
    fn announced(&self) -> Option<IpNet> {
        let speakers = std::iter::once(self.cluster).chain(self.partners());
        let announced = speakers.map(|cluster| self.carriers(cluster).announced);
        match announced.fold(Announced::Nobody, Announced::or) {
            Announced::As(prefix) => Some(prefix),
            Announced::Nobody | Announced::Unknown => None,
        }
    }

    /// Returns whether flows follow a prefix that is not the VIP's to another leaf, to transit, or to a node. This leaf
    /// does not know where they end.
    pub(crate) fn leads_on(&self, found: &Matched) -> bool {
        let on =
            |hop: &IpAddr| matches!(self.explain(*hop), Explained::Transit | Explained::Vtep(_)) || self.serves(*hop);
        !found.hops.is_empty() && (found.is_evpn() || found.hops.iter().any(on))
    }

    /// Returns another network instance whose route has a next-hop that serves the VIP. Adds the groups that it checked
    /// to `groups`.
    pub(crate) fn elsewhere(&self, groups: &mut Vec<NextHopGroupId>) -> Option<(NetworkInstanceName, IpNet)> {
        let switch = self.world.switch;
        for (instance, found) in switch.elsewhere(&self.cluster.config.rules.network_instance, self.vip) {
            groups.push(found.route.next_hop_group);
            let group = switch.group(found.route.next_hop_group);
            if group.is_some_and(|group| group.next_hops.iter().any(|hop| self.serves(*hop))) {
                return Some((instance.clone(), found.prefix));
            }
        }
        None
    }

    /// Returns expected and installed next-hops, by address.
    pub(crate) fn hops(&self, route: Option<&Matched>, expectation: &Expectation) -> Vec<Hop> {
        let evpn = route.is_some_and(Matched::is_evpn);
        let mut hops = self.installed(route, expectation);
        for slot in &expectation.attached {
            self.expect_node(&mut hops, *slot);
        }
        if !self.stands_for_remote(&hops, expectation, evpn) {
            for (vteps, nodes) in &expectation.remote {
                self.expect_vteps(&mut hops, vteps, nodes);
            }
        }
        hops
    }

    /// Returns installed next-hops, by address.
    fn installed(&self, route: Option<&Matched>, expectation: &Expectation) -> Vec<Hop> {
        let installed = route.map(|route| &*route.hops).unwrap_or_default();
        let evpn = route.is_some_and(Matched::is_evpn);
        let hop = |address: &IpAddr| Hop { installed: true, ..self.hop(*address, evpn) };
        let mut hops: Vec<Hop> = installed.iter().map(hop).collect();
        self.let_serve(&mut hops, expectation);
        let Some(found) = route else { return hops };
        for hop in &mut hops {
            hop.doubtful |= self.is_doubtful(hop, found);
        }
        hops
    }

    pub(super) fn nodes<'s>(&self, slots: &'s [u32]) -> impl Iterator<Item = &NodeEntry> + use<'_, 's> {
        slots.iter().filter_map(|slot| self.cluster.nodes.get(*slot))
    }

    /// Decides which next-hops that do not serve may serve after all, because unlocated announcers may be behind them.
    /// Each of those explains at most one next-hop. Announcers that should be reached from here but are not may also be
    /// behind a leaf, because they may peer with several leaves, or with unknown ones.
    fn let_serve(&self, hops: &mut [Hop], expectation: &Expectation) {
        let partners = self.partners_announcing();
        if self.endpoints.usable == 0 && partners.is_empty() {
            return;
        }
        let own = (self.endpoints.usable > 0).then_some((self.cluster, expectation));
        let all = own.into_iter().chain(partners.iter().map(|(cluster, expectation)| (*cluster, &**expectation)));
        let lost = hops.iter().any(|hop| hop.is_lost() && hop.foreign.is_none());
        // Announcers and other nodes that no next-hop leads to.
        let (mut absent, mut others) = (PlaceCounts::default(), PlaceCounts::default());
        for (cluster, expectation) in all {
            let reached = cluster.reached(hops.iter().map(|hop| hop.address));
            let of_cluster = expectation.absent(&cluster.places, &reached);
            absent = absent.plus(of_cluster);
            if lost {
                others = others.plus(self.unannounced(cluster, expectation, &reached, of_cluster));
            }
        }
        let PlaceCounts { attached: elsewhere, mut silent, mut unlocated } = absent;
        let PlaceCounts { silent: mut silent_beside, unlocated: mut unannounced, .. } = others;
        // Any number of them may be behind a leaf, and one of them may be behind two leaves.
        let behind_leaf = elsewhere + silent + unlocated > 0 || self.is_passed_on(hops, expectation);
        // A node that should not announce may be behind a leaf as well, but nothing indicates that.
        let beside = others.sum() > 0;
        for hop in hops.iter_mut().filter(|hop| !hop.serves && hop.foreign.is_none()) {
            hop.may_serve = match hop.kind {
                NextHopKind::Transit if self.has_transit_at(hop.address) => self.may_pass_on(hop.address),
                NextHopKind::Transit | NextHopKind::Vtep => {
                    let some_serve = || {
                        let nodes = self.cluster.at_vtep(hop.address);
                        !nodes.is_empty() && self.serve(nodes) || self.shared_behind(hop.address)
                    };
                    let may = behind_leaf || self.may_pass_on(hop.address) || some_serve();
                    hop.doubtful = !may && beside;
                    may || beside
                }
                // A node that peers by a link-local address is on this leaf; none of its known addresses is a neighbor.
                NextHopKind::Unmapped if is_link_local(hop.address) && silent > 0 => {
                    silent -= 1;
                    true
                }
                NextHopKind::Unmapped if unlocated > 0 => {
                    unlocated -= 1;
                    true
                }
                NextHopKind::Unmapped => {
                    let here = is_link_local(hop.address) && silent_beside > 0;
                    let room = if here { &mut silent_beside } else { &mut unannounced };
                    hop.doubtful = *room > 0;
                    *room = room.saturating_sub(1);
                    hop.doubtful
                }
                NextHopKind::Local | NextHopKind::L2 => false,
            };
        }
    }

    /// Returns whether the routes of an announcer come by sessions of other nodes, and no next-hop leads to it: flows that
    /// are sent to a leaf with one of those may be sent on to it.
    fn is_passed_on(&self, hops: &[Hop], expectation: &Expectation) -> bool {
        let reached = |node: &NodeEntry| hops.iter().any(|hop| node.location.is_by(hop.address));
        self.local_policy && self.endpoints.usable > 0 && self.nodes(&expectation.by_others).any(|node| !reached(node))
    }

    /// Counts, by place, nodes that should not announce, would serve, and have no next-hop that leads to them: their
    /// speakers may announce nevertheless. `absent` are announcers that no next-hop leads to.
    fn unannounced(
        &self,
        cluster: &Cluster,
        expectation: &Expectation,
        reached: &BTreeSet<u32>,
        absent: PlaceCounts,
    ) -> PlaceCounts {
        let places = &cluster.places;
        match self.serving(cluster) {
            Serving::All => places.counts().less(places.count(reached.iter().copied())).less(absent),
            Serving::These(nodes) => {
                let quiet = nodes.iter().filter(|slot| !reached.contains(slot) && !expectation.concerns(**slot));
                places.count(quiet.copied())
            }
        }
    }

    /// Returns the nodes that serve, of this cluster or of one that shares the VIP.
    pub(super) fn serving(&self, cluster: &Cluster) -> Serving {
        if cluster.id == self.cluster.id {
            return match self.endpoints.usable {
                0 => Serving::These(Rc::default()),
                _ if self.local_policy => Serving::These(Rc::new(self.endpoints.nodes().collect())),
                _ => Serving::All,
            };
        }
        if !(cluster.is_beside(self.cluster) && cluster.shares_with(self.cluster)) {
            return Serving::These(Rc::default());
        }
        match self.carriers(cluster).by_any_node {
            true => Serving::All,
            false => Serving::These(self.world.shared.serving_nodes(cluster, self.vip)),
        }
    }

    /// Returns whether a node that is not known to be only behind other leaves serves.
    pub(super) fn has_serving_anywhere(&self) -> bool {
        let places = &self.cluster.places;
        match self.serving(self.cluster) {
            Serving::All => places.counts().sum() > 0,
            Serving::These(nodes) => nodes.iter().any(|slot| places.contains(*slot)),
        }
    }

    /// Returns the clusters that share the VIP and have an endpoint for it, with what their announcers lead to expect.
    fn partners_announcing(&self) -> Vec<(&Cluster, Arc<Expectation>)> {
        let partners = self.partners().filter(|other| self.has_endpoint(other));
        partners.map(|other| (other, announcers(self.world, other, self.vip).1)).collect()
    }

    /// Returns the other clusters in the same network instance.
    pub(super) fn others(&self) -> impl Iterator<Item = &Cluster> {
        let clusters = self.world.clusters.values();
        clusters.filter(|other| other.id != self.cluster.id && other.is_beside(self.cluster))
    }

    /// Returns the clusters that share VIPs with this one.
    pub(super) fn partners(&self) -> impl Iterator<Item = &Cluster> {
        self.others().filter(|other| other.shares_with(self.cluster))
    }

    /// Expects an attached announcer among the next-hops, by any of its addresses or by a VTEP that it is also behind.
    fn expect_node(&self, hops: &mut Vec<Hop>, slot: u32) {
        let Some(node) = self.cluster.nodes.get(slot) else { return };
        let mut there = false;
        for hop in hops.iter_mut().filter(|hop| hop.installed && node.location.is_by(hop.address)) {
            (hop.expected, there) = (true, true);
        }
        if !there && let Some(address) = node.location.carrier(self.vip.is_ipv4()) {
            self.expect(hops, address);
        }
    }

    /// Expects remote announcers behind the same leaves among the next-hops, by one of those leaves or directly.
    fn expect_vteps(&self, hops: &mut Vec<Hop>, vteps: &[IpAddr], nodes: &[u32]) {
        let mut there = false;
        for hop in hops.iter_mut().filter(|hop| hop.installed && vteps.contains(&hop.address)) {
            (hop.expected, there) = (true, true);
        }
        let mut reached = BTreeSet::new();
        for hop in hops.iter_mut().filter(|hop| hop.installed) {
            for slot in self.cluster.here_by(hop.address).filter(|slot| nodes.binary_search(slot).is_ok()) {
                hop.expected = true;
                reached.insert(slot);
            }
        }
        if !there
            && reached.len() < nodes.len()
            && let Some(first) = vteps.first()
        {
            self.expect(hops, *first);
        }
    }

    /// Returns whether remote announcers need no next-hops to their VTEPs: transit leads to them, a silent announcer is
    /// reached here, a cluster that shares the VIP has announcers here (which win on this leaf), or the route is not
    /// EVPN's and may go by nodes here that are not located.
    fn stands_for_remote(&self, hops: &[Hop], expectation: &Expectation, evpn: bool) -> bool {
        let transit = hops.iter().any(|hop| hop.installed && self.is_transit(hop.address));
        let unplaced = !evpn && !hops.is_empty() && hops.iter().all(|hop| hop.may_serve);
        let mut partners = self.partners();
        let has_nodes_here = |other: &Cluster| !announcers(self.world, other, self.vip).1.attached.is_empty();
        let mut silent = expectation.silent.iter().filter_map(|slot| self.cluster.nodes.get(*slot));
        let silent = silent.any(|node| hops.iter().any(|hop| hop.installed && node.location.is_at(hop.address)));
        transit
            || unplaced
            || silent
            || partners.any(|other| other.vips.contains_key(&self.vip) && has_nodes_here(other))
    }

    /// Marks a next-hop as expected, and adds it if it is missing; `hops` are sorted.
    fn expect(&self, hops: &mut Vec<Hop>, address: IpAddr) {
        match hops.binary_search_by_key(&address, |hop| hop.address) {
            Ok(place) => hops[place].expected = true,
            Err(place) => hops.insert(place, Hop { expected: true, ..self.hop(address, false) }),
        }
    }

    pub(super) fn hop(&self, address: IpAddr, evpn: bool) -> Hop {
        let explained = self.explain(address);
        let mut hop = Hop::new(address, NextHopKind::Unmapped);
        hop.serves = self.serves_by(address, &explained);
        match explained {
            Explained::Nodes(nodes) => {
                hop.kind = NextHopKind::Local;
                self.name_nodes(&mut hop, nodes);
                hop.session = self.hop_session(nodes, address);
            }
            Explained::Vtep(nodes) => {
                hop.kind = NextHopKind::Vtep;
                hop.node = match nodes {
                    [only] => self.cluster.node_name(*only).cloned(),
                    _ => None,
                };
                hop.usable = Some(self.endpoints.behind(nodes));
            }
            Explained::Foreign(other, nodes) => {
                hop.kind = NextHopKind::Local;
                hop.foreign = foreign_node(other, nodes);
            }
            Explained::Transit => hop.kind = NextHopKind::Transit,
            Explained::Unmapped if evpn => hop.kind = NextHopKind::Vtep,
            Explained::Unmapped => {}
        }
        hop
    }

    /// Notes that a next-hop leads directly to these nodes of the cluster.
    pub(super) fn name_nodes(&self, hop: &mut Hop, nodes: &[u32]) {
        hop.node = self.nodes(nodes).map(|node| &node.name).min().cloned();
        hop.usable = Some(self.endpoints.behind(nodes));
    }

    /// Returns the session of a local next-hop.
    fn hop_session(&self, nodes: &[u32], address: IpAddr) -> Session {
        let instance = &self.cluster.config.rules.network_instance;
        self.peer(nodes, address).map_or(Session::Unknown, |peer| self.world.session(instance, peer))
    }

    fn peer(&self, nodes: &[u32], address: IpAddr) -> Option<IpAddr> {
        self.peer_of(self.cluster, nodes, address)
    }

    /// Returns the address whose session carries routes by a local next-hop, which is at these nodes of a cluster: the
    /// next-hop itself, or another address of the node, if that one carries the VIP.
    pub(super) fn peer_of(&self, cluster: &Cluster, nodes: &[u32], address: IpAddr) -> Option<IpAddr> {
        nodes.iter().filter_map(|slot| cluster.nodes.get(*slot)).find_map(|node| {
            let mut peers = node.location.peers.iter().map(|peer| peer.address);
            let own = peers.find(|own| *own == address && node.location.attached(Some(own.is_ipv4())) == Some(*own));
            own.or_else(|| node.location.carrier(self.vip.is_ipv4()))
        })
    }
}

/// Describes a node of another cluster in words.
pub(super) fn foreign_node(other: &Cluster, nodes: &[u32]) -> Option<String> {
    let node = nodes.iter().filter_map(|slot| other.node_name(*slot)).min();
    node.map(|node| format!("node {node} of cluster {}", other.name))
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
