//! What is known of one VIP of one service: gathered here, judged in [`super::verdict`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::announcers::silence;
use super::bgp::Bgp;
use super::claims::Claims;
use super::cluster::{Cluster, ServiceEntry};
use super::endpoints::Endpoints;
use super::ids::ClusterId;
use super::nodes::{Expectation, NodeEntry};
use super::sources::{GnmiPhase, NdkPhase, Phase, Sources};
use super::switch::Switch;
use super::tally::{Contribution, Counted, uses};
use crate::model::event::SourceId;
use crate::model::names::{NetworkInstanceName, NodeName};
use crate::model::switch::{FibTrouble, NextHopGroupId, RouteKey, SessionState};
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::{FibStatus, NextHopKind, Reason};
use crate::model::view::{RouteView, VipView};

/// Everything a verdict is read from.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) now: Now,
    pub(super) phase: &'a Phase,
    pub(super) sources: &'a Sources,
    pub(super) switch: &'a Switch,
    pub(super) bgp: &'a Bgp,
    pub(super) clusters: &'a BTreeMap<ClusterId, Cluster>,
    pub(super) claims: &'a Claims,
}

/// A BGP session with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// gNMI is not heard, or has not said.
    Unknown,
    Established,
    /// In another state, or gone with its dynamic neighbor.
    Down(Option<SessionState>),
}

impl Session {
    pub(super) fn state(self) -> Option<SessionState> {
        match self {
            Self::Unknown => None,
            Self::Established => Some(SessionState::Established),
            Self::Down(state) => state,
        }
    }

    pub(super) fn is_down(self) -> bool {
        matches!(self, Self::Down(_))
    }
}

/// What keeps a VIP from being judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Waiting for this.
    Syncing(String),
    SwitchStale(Timestamp),
    InstanceMissing,
}

/// A next-hop that is expected or installed.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) address: IpAddr,
    pub(super) kind: NextHopKind,
    /// The node it is, or the only one behind a VTEP.
    pub(super) node: Option<NodeName>,
    /// The other cluster whose node it is.
    pub(super) foreign: Option<String>,
    pub(super) expected: bool,
    pub(super) installed: bool,
    pub(super) serves: bool,
    pub(super) may_serve: bool,
    pub(super) session: Session,
    pub(super) usable: Option<u32>,
}

/// A route with its next-hops.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    pub(super) prefix: IpNet,
    pub(super) hops: Arc<[IpAddr]>,
    pub(super) view: RouteView,
}

/// What is known of one VIP of one service.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) gate: Gate,
    /// None for a service without an address.
    pub(super) vip: Option<IpAddr>,
    pub(super) local_policy: bool,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) expectation: Arc<Expectation>,
    /// Why nobody announces it, where annotations or the speaker's resources say so.
    pub(super) silence: Option<Arc<str>>,
    /// The prefix the speaker announces it as, where that is no host prefix.
    pub(super) aggregate: Option<IpNet>,
    /// The route that counts.
    pub(super) route: Option<Matched>,
    /// A covering prefix that does not count.
    pub(super) unserving: Option<Matched>,
    /// Where else the VIP's route stands.
    pub(super) elsewhere: Option<(NetworkInstanceName, IpNet)>,
    /// Expected or installed, by address.
    pub(super) hops: Vec<Hop>,
    /// Another cluster that claims it.
    pub(super) conflict: Option<String>,
    pub(super) ecmp_limit: Option<u32>,
}

impl Evidence {
    /// Evidence of nothing, behind a gate.
    pub(super) fn none(gate: Gate, vip: Option<IpAddr>, endpoints: Arc<Endpoints>) -> Self {
        Self {
            gate,
            vip,
            local_policy: false,
            endpoints,
            expectation: Arc::default(),
            silence: None,
            aggregate: None,
            route: None,
            unserving: None,
            elsewhere: None,
            hops: Vec::new(),
            conflict: None,
            ecmp_limit: None,
        }
    }

    pub(super) fn expected(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.expected)
    }

    pub(super) fn installed(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.installed)
    }

    pub(super) fn absent(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.expected && !hop.installed)
    }
}

impl World<'_> {
    /// What keeps the VIPs of a cluster from being judged.
    pub(super) fn gate(&self, cluster: &Cluster) -> Gate {
        let source = SourceId::Kubernetes(cluster.name.clone());
        if self.phase.ndk == NdkPhase::Syncing {
            return Gate::Syncing("the switch's own tables (NDK)".into());
        }
        if !self.sources.get(&source).is_some_and(|source| source.ever_synced) {
            return Gate::Syncing(format!("the first listing of cluster {}", cluster.name));
        }
        if self.phase.gnmi == GnmiPhase::Waiting {
            return Gate::Syncing("BGP neighbors and FIB programming (gNMI)".into());
        }
        if let NdkPhase::Stale(since) = self.phase.ndk {
            return Gate::SwitchStale(since);
        }
        match self.switch.instance(&cluster.config.network_instance) {
            Some(_) => Gate::Open,
            None => Gate::InstanceMissing,
        }
    }

    /// The BGP session with an address a node is, or was, attached by.
    pub(super) fn session(&self, instance: &NetworkInstanceName, address: IpAddr) -> Session {
        if self.phase.gnmi != GnmiPhase::Live {
            return Session::Unknown;
        }
        match self.bgp.neighbor(instance, address).map(|neighbor| neighbor.session) {
            Some(None) => Session::Unknown,
            Some(Some(SessionState::Established)) => Session::Established,
            Some(state) => Session::Down(state),
            None => Session::Down(None),
        }
    }

    /// Gathers what is known of a VIP. Notes the groups it looked at.
    pub(super) fn gather(
        &self,
        cluster: &Cluster,
        entry: &ServiceEntry,
        vip: IpAddr,
        said: Option<&VipView>,
        groups: &mut Vec<NextHopGroupId>,
    ) -> Evidence {
        let endpoints = Arc::clone(entry.endpoints.of_vip(vip));
        let gate = self.gate(cluster);
        if matches!(gate, Gate::Syncing(_) | Gate::InstanceMissing) {
            return Evidence::none(gate, Some(vip), endpoints);
        }
        let found = match self.found(cluster, vip, said, groups) {
            Ok(found) => found,
            Err(group) => {
                let gate = match gate {
                    Gate::Open => Gate::Syncing(format!("next-hop group {} of the route to {vip}", group.0)),
                    other => other,
                };
                return Evidence::none(gate, Some(vip), endpoints);
            }
        };
        let (_, expectation) = self.announcers(cluster, vip);
        let mut evidence = Evidence::none(gate, Some(vip), endpoints);
        evidence.local_policy = cluster.profile().local(&entry.service);
        if expectation.announcers == 0 {
            evidence.silence = silence(cluster, entry, vip);
        }
        evidence.expectation = expectation;
        evidence.aggregate = self.aggregate(cluster, entry, vip);
        evidence.ecmp_limit = cluster.config.ecmp_limit.map(u32::from);
        evidence.conflict = self.conflict(cluster, vip);
        let judge = Judge { world: self, cluster, vip, evidence: &evidence };
        let (route, unserving) = match found {
            Some(found) if judge.counts(&found) => (Some(found), None),
            other => (None, other),
        };
        let elsewhere = if route.is_none() { judge.elsewhere(groups) } else { None };
        if self.phase.gnmi != GnmiPhase::Live
            && let Some(route) = &route
        {
            evidence.expectation = Arc::clone(&evidence.expectation).by_route(cluster, &route.hops);
        }
        let hops = Judge { world: self, cluster, vip, evidence: &evidence }.hops(route.as_ref());
        Evidence { route, unserving, elsewhere, hops, ..evidence }
    }

    /// The longest match for a VIP, with its next-hops. While its group is not told, what was said before holds.
    fn found(
        &self,
        cluster: &Cluster,
        vip: IpAddr,
        said: Option<&VipView>,
        groups: &mut Vec<NextHopGroupId>,
    ) -> Result<Option<Matched>, NextHopGroupId> {
        let instance = &cluster.config.network_instance;
        let Some(found) = self.switch.longest(instance, vip) else { return Ok(None) };
        let group = found.route.next_hop_group;
        groups.push(group);
        if let Some(group) = self.switch.group(group) {
            let view = RouteView {
                owner: self.switch.owner(&found.route).cloned(),
                preference: found.route.preference,
                metric: found.route.metric,
                fib: self.fib(instance, found.prefix),
            };
            return Ok(Some(Matched { prefix: found.prefix, hops: Arc::clone(&group.next_hops), view }));
        }
        let unjudged = [Some(Reason::Syncing), Some(Reason::SwitchStale), Some(Reason::NetworkInstanceMissing)];
        match said {
            Some(said)
                if !unjudged.contains(&said.verdict.reason) && !self.switch.given_up(group, self.now.elapsed) =>
            {
                Ok(held(said))
            }
            _ => Err(group),
        }
    }

    fn fib(&self, instance: &NetworkInstanceName, prefix: IpNet) -> FibStatus {
        if self.phase.gnmi != GnmiPhase::Live {
            return FibStatus::Unknown;
        }
        match self.bgp.trouble(&RouteKey { network_instance: instance.clone(), prefix }) {
            None => FibStatus::Programmed,
            Some(FibTrouble::Pending) => FibStatus::Pending,
            Some(FibTrouble::Failed) => FibStatus::Failed,
        }
    }

    /// What a VIP adds to the counts of nodes; none while that cannot be said.
    pub(super) fn contribution(&self, cluster: &Cluster, vip: IpAddr) -> Option<Contribution> {
        let before = cluster.vips.get(&vip)?.contribution.clone();
        match self.gate(cluster) {
            Gate::Open => {}
            Gate::SwitchStale(_) => return before,
            Gate::Syncing(_) | Gate::InstanceMissing => return None,
        }
        let (mut announcers, _) = self.announcers(cluster, vip);
        let found = self.switch.longest(&cluster.config.network_instance, vip);
        let host = found.is_some_and(|found| found.prefix.prefix_len() == found.prefix.max_prefix_len());
        let (installed, may_hide): (Arc<[IpAddr]>, bool) = match found {
            None => (Arc::default(), false),
            Some(found) => match self.switch.group(found.route.next_hop_group) {
                None => match before {
                    Some(before) => (before.installed, true),
                    None => (Arc::default(), true),
                },
                Some(group) => {
                    let counts = host || self.serves_any(cluster, vip, &group.next_hops);
                    let limit = cluster.config.ecmp_limit.map(usize::from);
                    let full = limit.is_some_and(|limit| group.next_hops.len() >= limit);
                    let local = self.switch.owned_by(&found.route, super::switch::BGP_OWNER);
                    match counts {
                        true => (Arc::clone(&group.next_hops), !local || full),
                        false => (Arc::default(), false),
                    }
                }
            },
        };
        if let Counted::Some(nodes) = &mut announcers {
            for (slot, used) in nodes {
                *used = cluster.nodes.get(*slot).is_some_and(|node| uses(&installed, node));
            }
        }
        Some(Contribution { announcers, installed, may_hide })
    }

    /// One of the next-hops serves one of the cluster's services that carry the VIP.
    fn serves_any(&self, cluster: &Cluster, vip: IpAddr, next_hops: &[IpAddr]) -> bool {
        let services = cluster.vips.get(&vip).map(|entry| entry.services.as_slice()).unwrap_or_default();
        services.iter().filter_map(|slot| cluster.services.get(*slot)).any(|entry| {
            let endpoints = Arc::clone(entry.endpoints.of_vip(vip));
            let local_policy = cluster.profile().local(&entry.service);
            let evidence = Evidence { local_policy, ..Evidence::none(Gate::Open, Some(vip), endpoints) };
            let judge = Judge { world: self, cluster, vip, evidence: &evidence };
            next_hops.iter().any(|hop| judge.serves(*hop))
        })
    }

    /// Another cluster that claims a VIP in the same network instance, unless one of the two names the other.
    fn conflict(&self, cluster: &Cluster, vip: IpAddr) -> Option<String> {
        let others = self.claims.of(vip).iter().filter(|claim| claim.cluster != cluster.id);
        let others = others.filter_map(|claim| self.clusters.get(&claim.cluster));
        let others = others.filter(|other| other.config.network_instance == cluster.config.network_instance);
        others.filter(|other| !other.shares_with(cluster)).map(|other| other.name.to_string()).min()
    }
}

/// The route as it was said before.
fn held(said: &VipView) -> Option<Matched> {
    let hops = said.next_hops.iter().filter(|hop| hop.installed).map(|hop| hop.address).collect();
    Some(Matched { prefix: said.prefix?, hops, view: said.route.clone()? })
}

/// Which next-hops serve one VIP of one service.
#[derive(Debug)]
struct Judge<'a> {
    world: &'a World<'a>,
    cluster: &'a Cluster,
    vip: IpAddr,
    evidence: &'a Evidence,
}

/// What explains a next-hop.
#[derive(Debug)]
enum Explained<'a> {
    Nodes(&'a [u32]),
    Vtep(&'a [u32]),
    Foreign(&'a Cluster, &'a [u32]),
    Unmapped,
}

impl Judge<'_> {
    fn explain(&self, hop: IpAddr) -> Explained<'_> {
        let nodes = self.cluster.at_address(hop);
        if !nodes.is_empty() {
            return Explained::Nodes(nodes);
        }
        let nodes = self.cluster.at_vtep(hop);
        if !nodes.is_empty() {
            return Explained::Vtep(nodes);
        }
        let instance = &self.cluster.config.network_instance;
        let others = self.world.clusters.values().filter(|other| other.id != self.cluster.id);
        let mut others = others.filter(|other| other.config.network_instance == *instance);
        let foreign = others.find_map(|other| {
            let nodes = other.at_address(hop);
            (!nodes.is_empty()).then_some(Explained::Foreign(other, nodes))
        });
        foreign.unwrap_or(Explained::Unmapped)
    }

    /// Flows sent to one of the nodes reach a usable endpoint.
    fn serve(&self, nodes: &[u32]) -> bool {
        let evidence = self.evidence;
        evidence.endpoints.usable > 0 && (!evidence.local_policy || evidence.endpoints.behind(nodes) > 0)
    }

    /// A cluster that may claim the same VIPs in the same network instance.
    fn is_partner(&self, other: &Cluster) -> bool {
        other.config.network_instance == self.cluster.config.network_instance && other.shares_with(self.cluster)
    }

    /// The same, for nodes of a cluster that shares the VIP.
    fn share(&self, other: &Cluster, nodes: &[u32]) -> bool {
        let services = other.vips.get(&self.vip).map(|entry| entry.services.as_slice()).unwrap_or_default();
        let mut services = services.iter().filter_map(|slot| other.services.get(*slot));
        self.is_partner(other)
            && services.any(|entry| {
                let endpoints = entry.endpoints.of_vip(self.vip);
                endpoints.usable > 0 && (!other.profile().local(&entry.service) || endpoints.behind(nodes) > 0)
            })
    }

    /// A covering prefix counts only if a next-hop of it serves.
    fn counts(&self, found: &Matched) -> bool {
        let host = found.prefix.prefix_len() == found.prefix.max_prefix_len();
        host || found.hops.iter().any(|hop| self.serves(*hop))
    }

    fn serves(&self, hop: IpAddr) -> bool {
        match self.explain(hop) {
            Explained::Nodes(nodes) | Explained::Vtep(nodes) => self.serve(nodes),
            Explained::Foreign(other, nodes) => self.share(other, nodes),
            Explained::Unmapped => {
                let mut others = self.world.clusters.values().filter(|other| other.id != self.cluster.id);
                others.any(|other| self.share(other, other.at_vtep(hop)) && !other.at_vtep(hop).is_empty())
            }
        }
    }

    /// Another network instance where the VIP's route stands.
    fn elsewhere(&self, groups: &mut Vec<NextHopGroupId>) -> Option<(NetworkInstanceName, IpNet)> {
        let switch = self.world.switch;
        for (instance, found) in switch.elsewhere(&self.cluster.config.network_instance, self.vip) {
            let host = found.prefix.prefix_len() == found.prefix.max_prefix_len();
            if !host {
                groups.push(found.route.next_hop_group);
            }
            let group = switch.group(found.route.next_hop_group);
            if host || group.is_some_and(|group| group.next_hops.iter().any(|hop| self.serves(*hop))) {
                return Some((instance.clone(), found.prefix));
            }
        }
        None
    }

    /// Expected and installed next-hops, by address.
    fn hops(&self, route: Option<&Matched>) -> Vec<Hop> {
        let installed = route.map(|route| &*route.hops).unwrap_or_default();
        let unexplained = self.unexplained(installed);
        let present = |address: &IpAddr| {
            let hop = self.hop(*address);
            Hop { installed: true, may_serve: hop.may_serve && unexplained, ..hop }
        };
        let mut hops: Vec<Hop> = installed.iter().map(present).collect();
        // Where all of the route may be unlocated announcers, it is not known that none of them is attached here.
        let all_may_serve = !hops.is_empty() && hops.iter().all(|hop| hop.may_serve);
        let expectation = &self.evidence.expectation;
        for (address, slot) in &expectation.local {
            let address = if expectation.other_family { self.stands_for(*slot, *address, installed) } else { *address };
            self.expect(&mut hops, address);
        }
        let vteps = if all_may_serve { &[] } else { self.expected_vteps() };
        for address in vteps {
            self.expect(&mut hops, *address);
        }
        hops
    }

    /// Adds an expected next-hop to those that are there, which are sorted.
    fn expect(&self, hops: &mut Vec<Hop>, address: IpAddr) {
        match hops.binary_search_by_key(&address, |hop| hop.address) {
            Ok(place) => hops[place].expected = true,
            Err(place) => hops.insert(place, Hop { expected: true, ..self.hop(address) }),
        }
    }

    /// There are unlocated announcers that no installed next-hop is a candidate of: they could be behind one that no
    /// node explains.
    fn unexplained(&self, installed: &[IpAddr]) -> bool {
        let unlocated = &self.evidence.expectation.unlocated;
        let nodes = unlocated.iter().filter_map(|slot| self.cluster.nodes.get(*slot));
        let reached =
            |node: &NodeEntry| node.location.candidates.iter().any(|(address, _)| installed.contains(address));
        nodes.into_iter().any(|node| !reached(node))
    }

    /// Which address of a node carries a VIP of the family its session does not speak.
    fn stands_for(&self, slot: u32, address: IpAddr, installed: &[IpAddr]) -> IpAddr {
        let node = self.cluster.nodes.get(slot);
        let mut candidates = node.into_iter().flat_map(|node| &node.location.candidates);
        candidates.find(|(candidate, _)| installed.contains(candidate)).map_or(address, |(candidate, _)| *candidate)
    }

    /// VTEPs of remote announcers; none where a cluster that shares the VIP has its nodes here, which win on this leaf.
    fn expected_vteps(&self) -> &[IpAddr] {
        let claims = self.world.claims.of(self.vip).iter().filter(|claim| claim.cluster != self.cluster.id);
        let mut others = claims.filter_map(|claim| self.world.clusters.get(&claim.cluster));
        let shared_here =
            others.any(|other| self.is_partner(other) && self.world.announcers(other, self.vip).1.attached > 0);
        if shared_here { &[] } else { &self.evidence.expectation.vteps }
    }

    fn hop(&self, address: IpAddr) -> Hop {
        let instance = &self.cluster.config.network_instance;
        let name = |nodes: &[u32]| match nodes {
            [only] => self.cluster.node_name(*only).cloned(),
            _ => None,
        };
        let mut hop = Hop {
            address,
            kind: NextHopKind::Unmapped,
            node: None,
            foreign: None,
            expected: false,
            installed: false,
            serves: self.serves(address),
            may_serve: false,
            session: Session::Unknown,
            usable: None,
        };
        match self.explain(address) {
            Explained::Nodes(nodes) => {
                hop.kind = NextHopKind::Local;
                hop.node = nodes.iter().filter_map(|slot| self.cluster.node_name(*slot)).min().cloned();
                hop.session = self.hop_session(instance, nodes, address);
                hop.usable = Some(self.evidence.endpoints.behind(nodes));
            }
            Explained::Vtep(nodes) => {
                hop.kind = NextHopKind::Vtep;
                hop.node = name(nodes);
                hop.usable = Some(self.evidence.endpoints.behind(nodes));
            }
            Explained::Foreign(other, nodes) => {
                hop.kind = NextHopKind::Local;
                let node = nodes.iter().filter_map(|slot| other.node_name(*slot)).min();
                hop.foreign = node.map(|node| format!("node {node} of cluster {}", other.name));
            }
            Explained::Unmapped => {
                hop.may_serve = !hop.serves && self.evidence.endpoints.usable > 0;
            }
        }
        hop
    }

    /// The session of a local next-hop: its own, or that of the node where another address of it carries the VIP.
    fn hop_session(&self, instance: &NetworkInstanceName, nodes: &[u32], address: IpAddr) -> Session {
        let mut nodes = nodes.iter().filter_map(|slot| self.cluster.nodes.get(*slot));
        let attached = nodes.find_map(|node| {
            let own = node.location.peers.iter().find(|peer| peer.address == address).map(|peer| peer.address);
            own.filter(|own| node.location.attached(Some(own.is_ipv4())) == Some(*own))
                .or_else(|| node.location.attached(None))
        });
        attached.map_or(Session::Unknown, |peer| self.world.session(instance, peer))
    }
}
