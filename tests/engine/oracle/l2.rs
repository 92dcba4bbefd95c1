//! VIPs for which a node answers ARP or ND.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::config::AnnouncementMode;
use srl_k8s_services::model::inquiry::AddressKey;
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName, NodeName};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::SessionState;
use srl_k8s_services::model::verdict::{
    AddressSource, Announcement, AttachmentState, FibStatus, NextHopKind, OperState, Reason, Vantage,
};
use srl_k8s_services::model::view::{NextHopView, Without};

use super::routes::{Found, Standing};
use super::services::Subject;
use super::{Cluster, Oracle, count, share};
use crate::world::{EVPN, Resolved};

impl Found {
    fn connected(&self) -> bool {
        matches!(self.view.owner.as_deref(), Some("arp_nd_mgr" | "net_inst_mgr"))
    }

    fn host(&self) -> bool {
        self.prefix.prefix_len() == self.prefix.max_prefix_len()
    }

    /// Returns whether something answers ARP or ND here.
    pub(super) fn answers(&self) -> bool {
        self.host() && self.connected()
    }

    /// Returns whether the route can belong to a VIP announced by ARP or ND.
    pub(super) fn is_l2(&self) -> bool {
        self.host() || self.is_evpn()
    }
}

/// Whose MAC address answers for a VIP.
enum Answering<'a> {
    Nodes(BTreeSet<&'a NodeName>),
    /// A node of another cluster. The flag says whether it serves the VIP.
    Theirs(bool),
    /// No node's, and the MACs of all nodes are known.
    Nobodys,
    /// No known node's, but the MACs of some nodes are unknown.
    Unproven,
    Undetermined,
}

impl<'a> Oracle<'a> {
    pub(super) fn mac(&self, cluster: Cluster<'a>, address: IpAddr) -> Option<&'a str> {
        let network_instance = cluster.config.rules.network_instance.clone();
        self.world.resolved.get(&AddressKey { network_instance, address })?.mac()
    }

    fn macs(&self, cluster: Cluster<'a>, node: &NodeName) -> BTreeSet<&'a str> {
        let addresses = self.candidates(cluster, node).into_iter();
        addresses.filter_map(|(address, _)| self.mac(cluster, address)).collect()
    }

    fn resolved(&self, subject: Subject<'a>) -> Option<&'a Resolved> {
        let network_instance = subject.cluster.config.rules.network_instance.clone();
        self.world.resolved.get(&AddressKey { network_instance, address: subject.vip })
    }

    fn answering(&self, subject: Subject<'a>) -> Answering<'a> {
        let cluster = subject.cluster;
        let own = self.nodes_at(cluster, subject.vip);
        if !own.is_empty() {
            return Answering::Nodes(own);
        }
        let resolved = self.resolved(subject).filter(|resolved| resolved.answers);
        let Some(mac) = resolved.and_then(Resolved::mac) else { return Answering::Undetermined };
        let having = |cluster: Cluster<'a>| -> BTreeSet<&'a NodeName> {
            cluster.world.nodes.keys().filter(|node| self.macs(cluster, node).contains(mac)).collect()
        };
        let ours = having(cluster);
        if !ours.is_empty() {
            return Answering::Nodes(ours);
        }
        if let Some((other, nodes)) =
            self.neighbors_of(cluster).map(|other| (other, having(other))).find(|(_, nodes)| !nodes.is_empty())
        {
            let mut theirs = self.subjects(other).filter(|theirs| theirs.vip == subject.vip);
            return Answering::Theirs(share(cluster, other) && theirs.any(|theirs| self.serves(theirs, &nodes)));
        }
        match cluster.world.nodes.keys().all(|node| !self.macs(cluster, node).is_empty()) {
            true => Answering::Nobodys,
            false => Answering::Unproven,
        }
    }

    /// Returns whether a node of a cluster that shares the VIP answers for it and serves it.
    pub(super) fn partner_answers(&self, subject: Subject<'a>) -> bool {
        matches!(self.answering(subject), Answering::Theirs(true))
    }

    /// Returns whether the entry changed from one MAC to another and back within the last minute before it was last
    /// looked at.
    fn two_answer(&self, subject: Subject<'a>) -> bool {
        self.resolved(subject).is_some_and(|resolved| {
            let turns: Vec<_> = resolved.macs.iter().skip(1).map(|(at, _)| *at).collect();
            turns.len() >= 2 && resolved.seen.as_second() - turns[turns.len() - 2].as_second() <= 60
        })
    }

    fn shows_alive(&self, cluster: Cluster<'a>, node: &NodeName) -> bool {
        let network_instance = &cluster.config.rules.network_instance;
        let told = self.world.source_of(&SourceId::Gnmi).synced_once;
        let established = |(address, ..): (IpAddr, AddressSource, AttachmentState)| {
            let neighbor = self.world.neighbor(network_instance, address);
            told && neighbor.is_some_and(|neighbor| neighbor.session == Some(SessionState::Established))
        };
        self.answers(cluster, node) || self.in_use(cluster, node).into_iter().any(established)
    }

    /// Returns whether the VIP is announced by ARP or ND here.
    pub(super) fn is_l2(&self, subject: Subject<'a>, found: Option<&(Found, Standing)>) -> bool {
        let Subject { cluster, vip, .. } = subject;
        let host = found.filter(|(found, _)| found.host()).map(|(found, _)| found);
        match cluster.config.rules.announcement {
            AnnouncementMode::Bgp => return false,
            AnnouncementMode::L2 => return host.is_none_or(|found| found.connected() || found.is_evpn()),
            AnnouncementMode::Auto if self.is_configured_as_l2(cluster, vip) => {
                return host.is_none_or(|found| found.connected() || found.is_evpn());
            }
            AnnouncementMode::Auto => {}
        }
        if found.is_some_and(|(found, standing)| *standing != Standing::Other && !found.connected()) {
            return false;
        }
        if !self.nodes_at(cluster, vip).is_empty() {
            return true;
        }
        let mut carrying = self.subjects(cluster).filter(|other| other.vip == vip);
        if carrying.any(|other| self.announced_by_resources(other) || self.is_routed(other)) {
            return false;
        }
        match self.world.announced.get(&(cluster.name.clone(), vip)) {
            Some(known) => *known == Announcement::L2,
            None => {
                let neighbors = cluster.world.nodes.keys().any(|node| !self.attached(cluster, node).is_empty());
                self.beside_nodes(cluster, vip) && (host.is_some_and(Found::connected) || !neighbors)
            }
        }
    }

    /// Returns whether the speakers' resources make them answer ARP and ND for the VIP, and announce it nowhere.
    fn is_configured_as_l2(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        let carrying: Vec<_> = self.subjects(cluster).filter(|other| other.vip == vip).collect();
        carrying.iter().any(|other| self.only_by_l2(*other))
            && carrying.iter().all(|other| self.only_by_l2(*other) || !self.announced_by_resources(*other))
    }

    /// Returns whether a route that this leaf did not create itself belongs to the VIP, for this service.
    fn is_routed(&self, subject: Subject<'a>) -> bool {
        let found = self.find(subject).ok().flatten();
        found.is_some_and(|(found, standing)| standing != Standing::Other && !found.connected())
    }

    fn beside_nodes(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        let network_instance = &cluster.config.rules.network_instance;
        let Some((subnet, owner)) = self.subnet(network_instance, vip) else { return false };
        let candidates = cluster.world.nodes.keys().flat_map(|node| self.candidates(cluster, node));
        let mut subnets = candidates.filter_map(|(address, _)| self.subnet(network_instance, address));
        let told = matches!(owner, Some("arp_nd_mgr" | "net_inst_mgr" | EVPN));
        told && subnets.any(|(other, _)| other == subnet)
    }

    /// Returns the longest prefix that covers the address and is not a host route.
    fn subnet(&self, network_instance: &NetworkInstanceName, address: IpAddr) -> Option<(&'a IpNet, Option<&'a str>)> {
        let covers = |prefix: &IpNet| {
            prefix.contains(&address) && prefix.prefix_len() > 0 && prefix.prefix_len() < prefix.max_prefix_len()
        };
        let here = self.world.routes.iter().filter(|(key, _)| key.network_instance == *network_instance);
        let here = here.filter(|(key, _)| covers(&key.prefix));
        let (key, route) = here.max_by_key(|(key, _)| key.prefix.prefix_len())?;
        Some((&key.prefix, self.world.owner(route)))
    }

    /// The verdict table of VIPs announced by ARP or ND, after the rows about missing endpoints.
    pub(super) fn judge_l2(&self, subject: Subject<'a>, found: Option<&Found>) -> (OperState, Option<Reason>) {
        use OperState::{Degraded, Down, Unknown, Up};
        let Subject { cluster, vip, service, .. } = subject;
        let local = self.served_locally(cluster, service);
        let conflict = self.neighbors_of(cluster).any(|other| self.conflict(cluster, other, vip, &Default::default()));
        let unmapped =
            if local { (Unknown, Some(Reason::NextHopUnmapped)) } else { (Up, Some(Reason::NextHopUnmapped)) };
        let Some(found) = found else { return (Down, Some(Reason::NoRoute)) };
        if !found.host() && found.connected() {
            return (Unknown, Some(Reason::ArpUnresolved));
        }
        if !found.is_l2() {
            return (Down, Some(Reason::NoRoute));
        }
        if found.answers() && self.gnmi_heard() && self.two_answer(subject) {
            return (Degraded, Some(Reason::AddressConflict));
        }
        if found.view.fib == FibStatus::Failed {
            return (Down, Some(Reason::RouteNotProgrammed));
        }
        let hops = self.l2_hops(subject, found);
        let lost = hops.iter().filter(|hop| hop.reason == Some(Reason::NextHopUnexpected) && hop.state == Down).count();
        if lost == hops.len() {
            return (Down, Some(Reason::NextHopUnexpected));
        }
        if conflict {
            return (Degraded, Some(Reason::AddressConflict));
        }
        if lost > 0 {
            return (Degraded, Some(Reason::NextHopUnexpected));
        }
        let elected = self.elected(subject);
        let elsewhere = |hop: &NextHopView| {
            hop.kind == NextHopKind::L2 && !hop.node.as_ref().is_some_and(|node| elected.contains(node))
        };
        let served = !matches!(self.answering(subject), Answering::Unproven | Answering::Undetermined);
        let exists = elected.iter().any(|node| cluster.world.nodes.contains_key(*node));
        if exists && served && hops.iter().any(elsewhere) {
            return (Degraded, Some(Reason::NextHopUnexpected));
        }
        if hops.iter().any(|hop| (hop.state, hop.reason) == (Unknown, Some(Reason::NextHopUnmapped))) {
            return (Unknown, Some(Reason::NextHopUnmapped));
        }
        if hops.iter().any(|hop| hop.reason == Some(Reason::NextHopUnmapped)) {
            return unmapped;
        }
        // A node of a cluster that shares the VIP answers.
        if !self.usable_endpoints(subject).iter().any(|_| true) {
            return (Up, Some(Reason::NoReadyEndpoint));
        }
        if found.host() { (Up, None) } else { (Up, Some(Reason::CoveredByAggregate)) }
    }

    /// Returns what answers, or the leaf behind which it is.
    pub(super) fn l2_hops(&self, subject: Subject<'a>, found: &Found) -> Vec<NextHopView> {
        let Subject { cluster, vip, service, .. } = subject;
        let usable = !self.usable_endpoints(subject).is_empty();
        let local = self.served_locally(cluster, service);
        let unmapped = if local { OperState::Unknown } else { OperState::Up };
        if found.host() && found.connected() {
            let answering = self.answering(subject);
            let nodes = if let Answering::Nodes(nodes) = &answering { nodes.clone() } else { BTreeSet::new() };
            let on_node = self.usable_on(subject, &nodes);
            let (state, reason) = match answering {
                Answering::Theirs(true) => (OperState::Up, None),
                _ if !usable => (OperState::Down, None),
                Answering::Undetermined => (unmapped, Some(Reason::NextHopUnmapped)),
                Answering::Unproven => (OperState::Unknown, Some(Reason::NextHopUnmapped)),
                Answering::Nodes(nodes) if !local || on_node > 0 => {
                    match nodes.iter().any(|node| self.shows_alive(cluster, node)) {
                        true => (OperState::Up, None),
                        false => (OperState::Unknown, Some(Reason::NextHopUnmapped)),
                    }
                }
                _ if !self.gnmi_heard() => (OperState::Unknown, Some(Reason::NextHopUnmapped)),
                Answering::Nodes(_) | Answering::Nobodys | Answering::Theirs(false) => {
                    (OperState::Down, Some(Reason::NextHopUnexpected))
                }
            };
            return vec![NextHopView {
                address: vip,
                node: nodes.first().map(|node| (*node).clone()),
                kind: NextHopKind::L2,
                expected: true,
                installed: true,
                session: None,
                usable_endpoints: (!nodes.is_empty()).then_some(on_node),
                state,
                reason,
                cause: None,
                without: Without::default(),
            }];
        }
        let hop = |address: &IpAddr| {
            let mut view = self.next_hop(subject, *address, false, Some(found));
            let explained = self.certain_flow(subject, *address).is_some() || self.is_transit(cluster, *address);
            let nowhere = |node: &&NodeName| !self.located(cluster, node) && !self.here_alone(cluster, node);
            let nodes = || cluster.world.nodes.keys();
            let anywhere = nodes().filter(|node| !self.remote(cluster, node));
            let hidden = anywhere.into_iter().any(|node| self.serves(subject, &BTreeSet::from([node])));
            match found.host() {
                true if !usable => {}
                // It is not known who resolves it there, but a service without an endpoint is down in any case.
                false if !usable => (view.state, view.reason) = (OperState::Down, Some(Reason::NextHopUnexpected)),
                true if explained && view.kind == NextHopKind::Vtep && !self.surely_serves(subject, *address) => {
                    (view.state, view.reason) = match hidden {
                        true => (unmapped, Some(Reason::NextHopUnmapped)),
                        false => (OperState::Down, Some(Reason::NextHopUnexpected)),
                    };
                }
                true if explained => {}
                true => {
                    view.expected = true;
                    (view.state, view.reason) = (unmapped, Some(Reason::NextHopUnmapped));
                }
                // The subnet of another leaf, which resolves the VIP by nodes that are somewhere.
                false if nodes().all(|node| nowhere(&node)) => {
                    (view.state, view.reason) = (OperState::Unknown, Some(Reason::NextHopUnmapped));
                }
                false if local => (view.state, view.reason) = (unmapped, Some(Reason::NextHopUnmapped)),
                false => (view.state, view.reason) = (OperState::Up, Some(Reason::NextHopUnexpected)),
            }
            // The route does not come from a session, so no session is blamed: it is not known whether the node is
            // alive.
            if view.reason == Some(Reason::SessionDown) {
                view.reason = Some(Reason::NextHopUnmapped);
            }
            if !usable && found.host() && !explained {
                (view.expected, view.state, view.reason) = (true, OperState::Down, None);
            }
            view
        };
        found.next_hops.iter().map(hop).collect()
    }

    pub(super) fn l2_vantage(&self, hops: &[NextHopView]) -> Option<Vantage> {
        let first = hops.first()?;
        Some(if first.kind == NextHopKind::Vtep { Vantage::Remote } else { Vantage::Local })
    }

    /// Returns how VIPs with a route that has next-hops are announced now.
    pub(super) fn announced(&self) -> BTreeMap<(ClusterName, IpAddr), Announcement> {
        let mut seen = BTreeMap::new();
        for cluster in self.clusters() {
            for subject in self.subjects(cluster).filter(|subject| !self.unjudged_vip(*subject)) {
                let Ok(Some(found)) = self.find(subject) else { continue };
                let l2 = self.is_l2(subject, Some(&found));
                let routed = if l2 { found.0.is_l2() } else { found.1 != Standing::Other };
                let routed = routed && (found.0.connected() || !found.0.next_hops.is_empty());
                let by = if l2 { Announcement::L2 } else { Announcement::Bgp };
                seen.extend(routed.then(|| ((cluster.name.clone(), subject.vip), by)));
            }
        }
        seen
    }

    pub(super) fn l2_counts(&self, hops: &[NextHopView]) -> (u32, u32) {
        (count(hops.iter().filter(|hop| hop.expected).count()), count(hops.len()))
    }
}
