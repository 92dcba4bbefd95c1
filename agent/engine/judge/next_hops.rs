//! The next-hops of one VIP of one service: what explains each, and whether it serves.

use std::net::IpAddr;

use ipnet::IpNet;

use super::announcers::announcers;
use super::evidence::{Evidence, Hop, Matched, Session, World};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::nodes::NodeEntry;
use crate::engine::facts::routes::is_host;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::NextHopGroupId;
use crate::model::verdict::NextHopKind;

/// Which next-hops serve one VIP of one service.
#[derive(Debug)]
pub(crate) struct NextHops<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) cluster: &'a Cluster,
    pub(crate) vip: IpAddr,
    pub(crate) evidence: &'a Evidence,
}

/// What explains a next-hop.
#[derive(Debug)]
enum Explained<'a> {
    Nodes(&'a [u32]),
    Vtep(&'a [u32]),
    Foreign(&'a Cluster, &'a [u32]),
    Unmapped,
}

impl NextHops<'_> {
    fn explain(&self, hop: IpAddr) -> Explained<'_> {
        let nodes = self.cluster.at_address(hop);
        if !nodes.is_empty() {
            return Explained::Nodes(nodes);
        }
        let nodes = self.cluster.at_vtep(hop);
        if !nodes.is_empty() {
            return Explained::Vtep(nodes);
        }
        let instance = &self.cluster.config.rules.network_instance;
        let others = self.world.clusters.values().filter(|other| other.id != self.cluster.id);
        let mut others = others.filter(|other| other.config.rules.network_instance == *instance);
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
        other.config.rules.network_instance == self.cluster.config.rules.network_instance
            && other.shares_with(self.cluster)
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
    pub(crate) fn counts(&self, found: &Matched) -> bool {
        let host = is_host(&found.prefix);
        host || found.hops.iter().any(|hop| self.serves(*hop))
    }

    pub(crate) fn serves(&self, hop: IpAddr) -> bool {
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
    pub(crate) fn elsewhere(&self, groups: &mut Vec<NextHopGroupId>) -> Option<(NetworkInstanceName, IpNet)> {
        let switch = self.world.switch;
        for (instance, found) in switch.elsewhere(&self.cluster.config.rules.network_instance, self.vip) {
            let host = is_host(&found.prefix);
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
    pub(crate) fn hops(&self, route: Option<&Matched>) -> Vec<Hop> {
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
            others.any(|other| self.is_partner(other) && announcers(self.world, other, self.vip).1.attached > 0);
        if shared_here { &[] } else { &self.evidence.expectation.vteps }
    }

    fn hop(&self, address: IpAddr) -> Hop {
        let instance = &self.cluster.config.rules.network_instance;
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
