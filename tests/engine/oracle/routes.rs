//! The route of a VIP, here and elsewhere, and what holds until its next-hops are received.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName};
use srl_k8s_services::model::persistent::Attachment;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{FibFaultKind, NextHopGroupId, Route, RouteKey, RouteTable};
use srl_k8s_services::model::verdict::{FibStatus, NextHopKind, Reason};
use srl_k8s_services::model::view::RouteView;

use super::next_hops::Flow;
use super::services::Subject;
use super::speakers::pools;
use super::{Cluster, GROUP_WAIT, Oracle, share};
use crate::said::blind;
use crate::world::EVPN;

/// The route of a VIP.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) prefix: IpNet,
    pub(super) view: RouteView,
    pub(super) next_hops: BTreeSet<IpAddr>,
}

impl Found {
    pub(super) fn is_evpn(&self) -> bool {
        self.view.owner.as_deref() == Some(EVPN)
    }
}

/// Whether a route belongs to the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Counts,
    /// It may as well be a prefix of the fabric.
    Unsure,
    Other,
}

/// Error: the next-hops of a route have not been received.
pub(super) struct NotTold;

impl<'a> Oracle<'a> {
    /// Returns the longest match. A default route never counts.
    pub(super) fn longest(
        &self,
        network_instance: &NetworkInstanceName,
        vip: IpAddr,
    ) -> Option<(&'a IpNet, &'a Route)> {
        let covers = |key: &RouteKey| {
            key.network_instance == *network_instance && key.prefix.prefix_len() > 0 && key.prefix.contains(&vip)
        };
        let covering = self.world.routes.iter().filter(|(key, _)| covers(key));
        let (key, route) = covering.max_by_key(|(key, _)| key.prefix.prefix_len())?;
        Some((&key.prefix, route))
    }

    /// Returns the longest match, and whether it belongs to the VIP. While the next-hops are unknown, what was
    /// published before holds for a while if it was for this prefix. Otherwise the result is an error, except for a
    /// covering prefix, which then has no next-hops.
    pub(super) fn find(&self, subject: Subject<'a>) -> Result<Option<(Found, Standing)>, NotTold> {
        let network_instance = &subject.cluster.config.rules.network_instance;
        let Some((prefix, route)) = self.longest(network_instance, subject.vip) else { return Ok(None) };
        let found = |next_hops| {
            let owner = self.world.applications.get(&route.owner).cloned();
            let key = RouteKey { network_instance: network_instance.clone(), prefix: *prefix };
            let fib = self.fib(&key, owner.as_deref());
            let view = RouteView { owner, preference: route.preference, metric: route.metric, fib };
            Found { prefix: *prefix, view, next_hops }
        };
        let found = match self.world.next_hops(route) {
            Some(next_hops) => found(next_hops),
            None => match self.held(subject, prefix, route.next_hop_group)? {
                Some(held) => held,
                None => found(BTreeSet::new()),
            },
        };
        let standing = self.standing(subject, &found);
        Ok(Some((found, standing)))
    }

    /// Returns the route that counts as the VIP's.
    pub(super) fn own_route(&self, subject: Subject<'a>) -> Result<Option<Found>, NotTold> {
        let found = self.find(subject)?.filter(|(_, standing)| *standing != Standing::Other);
        Ok(found.map(|(found, _)| found))
    }

    /// Returns whether a route belongs to the VIP. A route of this leaf's own interfaces is not a speaker's, unless the
    /// VIP is a node's own address.
    pub(super) fn standing(&self, subject: Subject<'a>, found: &Found) -> Standing {
        let Subject { cluster, vip, .. } = subject;
        let connected = matches!(found.view.owner.as_deref(), Some("arp_nd_mgr" | "net_inst_mgr"));
        if connected && self.nodes_at(cluster, vip).is_empty() {
            return Standing::Other;
        }
        if found.prefix == IpNet::from(vip) {
            return Standing::Counts;
        }
        let flows = self.flows(subject, found);
        let serving: Vec<IpAddr> =
            flows.iter().filter(|(_, flow)| **flow == Flow::Serves).map(|(hop, _)| *hop).collect();
        // Its nodes forward to endpoints of a mesh.
        let mesh = cluster.config.source.speaker == Speaker::Cilium && subject.service.hints.cilium_global;
        let passed_on = mesh && flows.keys().any(|hop| !self.nodes_behind(cluster, *hop).is_empty());
        if flows.values().all(|flow| *flow == Flow::Lost) && !passed_on {
            return Standing::Other;
        }
        let length = found.prefix.prefix_len();
        if let Some(announced) = self.announced_length(subject) {
            return if length >= announced { Standing::Counts } else { Standing::Other };
        }
        let node = |hop: &IpAddr| {
            let theirs = |other: Cluster<'a>| !self.nodes_at(other, *hop).is_empty();
            !self.nodes_at(cluster, *hop).is_empty()
                || self.nodes_behind(cluster, *hop).is_empty() && self.neighbors_of(cluster).any(theirs)
        };
        if serving.iter().any(node) {
            return Standing::Counts;
        }
        let pools = pools(cluster.config, &cluster.world.speaker);
        let pools = IpNet::aggregate(&pools.into_iter().map(|pool| pool.trunc()).collect::<Vec<_>>());
        match pools.iter().find(|pool| pool.contains(&vip)) {
            // If nobody should announce the VIP, no prefix is known to be a speaker's.
            Some(pool) if length >= pool.prefix_len() => {
                let sharing = self.neighbors_of(cluster).filter(|other| share(cluster, *other));
                match std::iter::once(cluster).chain(sharing).all(|of| self.announcers(of, vip).is_empty()) {
                    true => Standing::Unsure,
                    false => Standing::Counts,
                }
            }
            Some(_) => Standing::Other,
            // A leaf without known nodes behind it also advertises prefixes of the fabric.
            None if found.is_evpn() && !found.next_hops.iter().any(|hop| self.somehow_serves(subject, *hop)) => {
                Standing::Other
            }
            None => Standing::Unsure,
        }
    }

    /// Returns the length of the shortest prefix as which the speakers' resources let anybody announce the VIP, if all
    /// of them define one.
    fn announced_length(&self, subject: Subject<'a>) -> Option<u8> {
        let own = |other: &Cluster<'a>| other.name == subject.cluster.name;
        let beside = self.neighbors_of(subject.cluster).filter(|other| share(subject.cluster, *other));
        let clusters = self.clusters().filter(own).chain(beside);
        let carrying = clusters.flat_map(|cluster| self.subjects(cluster)).filter(|other| other.vip == subject.vip);
        let lengths: Vec<Option<u8>> = carrying.map(|subject| self.shortest_length(subject)).collect();
        let told: Option<Vec<u8>> = lengths.into_iter().collect();
        told.and_then(|lengths| lengths.into_iter().min())
    }

    /// Returns whether flows follow a prefix that is not the VIP's to another leaf, or to a node that would serve.
    pub(super) fn leads_on(&self, subject: Subject<'a>, found: &Found) -> bool {
        let leaf = |hop: &IpAddr| {
            let kind = self.kind(subject.cluster, *hop, false);
            kind == NextHopKind::Vtep || kind == NextHopKind::Transit || self.surely_serves(subject, *hop)
        };
        !found.next_hops.is_empty() && (found.is_evpn() || found.next_hops.iter().any(leaf))
    }

    fn fib(&self, key: &RouteKey, owner: Option<&str>) -> FibStatus {
        let table = RouteTable::of(&key.network_instance, &key.prefix);
        let of_route = self.world.fib.iter().filter(|(fault, _)| fault.route == *key);
        let faults: Vec<_> = of_route.map(|(fault, value)| (&*fault.owner, value.kind)).collect();
        let own = faults.iter().find(|(of, _)| Some(*of) == owner).map(|(_, kind)| *kind);
        match own {
            _ if !self.gnmi_heard() => FibStatus::Unknown,
            Some(FibFaultKind::Failed | FibFaultKind::Suppressed) => FibStatus::Failed,
            Some(FibFaultKind::Pending) => FibStatus::Pending,
            Some(FibFaultKind::Unconfirmed) => FibStatus::Unknown,
            None if owner.is_none() && !faults.is_empty() => FibStatus::Unknown,
            None if self.world.coverage.fib.contains(&table) => FibStatus::Programmed,
            None => FibStatus::Unknown,
        }
    }

    /// Returns what was published before; `None` if a covering prefix has been awaited for long enough.
    fn held(&self, subject: Subject<'a>, prefix: &IpNet, group: NextHopGroupId) -> Result<Option<Found>, NotTold> {
        if self.world.waiting.get(&group).is_some_and(|since| self.now.elapsed >= *since + GROUP_WAIT) {
            return if *prefix == IpNet::from(subject.vip) { Err(NotTold) } else { Ok(None) };
        }
        let service = self.before.services.get(&(subject.cluster.name.clone(), subject.key.clone()));
        let said = service.and_then(|service| service.vips.iter().find(|vip| vip.address == subject.vip));
        let said = said.filter(|said| !blind(&said.verdict) && said.prefix == Some(*prefix)).ok_or(NotTold)?;
        let view = said.route.clone().ok_or(NotTold)?;
        let next_hops = said.next_hops.iter().filter(|next_hop| next_hop.installed).map(|next_hop| next_hop.address);
        Ok(Some(Found { prefix: *prefix, view, next_hops: next_hops.collect() }))
    }

    /// Returns the groups that are named by routes of VIPs and have not been received; for groups already awaited, also
    /// those that nodes and orphans refer to.
    pub(super) fn waited_for(&self) -> BTreeSet<NextHopGroupId> {
        let mut named = BTreeSet::new();
        let mut looked_at = BTreeSet::new();
        for cluster in self.clusters() {
            let network_instance = &cluster.config.rules.network_instance;
            for subject in self.subjects(cluster).filter(|subject| !self.unjudged_vip(*subject)) {
                named.extend(self.longest(network_instance, subject.vip).map(|(_, route)| route.next_hop_group));
                let l2 = self.find(subject).is_ok_and(|found| self.is_l2(subject, found.as_ref()));
                if l2 || !matches!(self.own_route(subject), Ok(None)) {
                    continue;
                }
                for (_, route) in self.elsewhere(subject) {
                    named.insert(route.next_hop_group);
                    if self.counts_elsewhere(subject, route) {
                        break;
                    }
                }
            }
            for node in cluster.world.nodes.keys() {
                let evpn = self.candidates(cluster, node).into_iter().map(|(address, _)| address);
                let evpn = evpn.filter(|address| self.world.is_evpn(network_instance, *address));
                let routes = evpn.filter_map(|address| self.world.host_route(network_instance, address));
                looked_at.extend(routes.map(|route| route.next_hop_group));
            }
        }
        looked_at.extend(self.orphans().keys().map(|key| self.world.routes[key].next_hop_group));
        looked_at.retain(|group| self.world.waiting.contains_key(group));
        named.extend(looked_at);
        named.retain(|group| !self.world.groups.contains_key(group));
        named
    }

    /// Returns whether the VIP's route is in another network instance: one of its next-hops serves.
    pub(super) fn stands_elsewhere(&self, subject: Subject<'a>) -> bool {
        self.elsewhere(subject).into_iter().any(|(_, route)| self.counts_elsewhere(subject, route))
    }

    fn counts_elsewhere(&self, subject: Subject<'a>, route: &Route) -> bool {
        let next_hops = self.world.next_hops(route).unwrap_or_default();
        next_hops.iter().any(|hop| self.surely_serves(subject, *hop))
    }

    /// Returns the longest match of every other network instance.
    fn elsewhere(&self, subject: Subject<'a>) -> Vec<(&'a IpNet, &'a Route)> {
        let own = &subject.cluster.config.rules.network_instance;
        let others: BTreeSet<_> = self.world.routes.keys().map(|key| &key.network_instance).collect();
        others.into_iter().filter(|other| *other != own).filter_map(|other| self.longest(other, subject.vip)).collect()
    }

    /// Returns whether the VIP has a route whose next-hops have not been received.
    pub(super) fn not_told(&self, cluster: &ClusterName, vip: IpAddr) -> bool {
        let cluster = self.clusters().find(|known| known.name == cluster);
        let longest = cluster.and_then(|cluster| self.longest(&cluster.config.rules.network_instance, vip));
        longest.is_some_and(|(_, route)| self.world.next_hops(route).is_none())
    }

    /// Returns whether the published state of nodes' VIPs cannot be derived from the tables now.
    pub(super) fn uncertain(&self, name: &ClusterName) -> bool {
        let Some(cluster) = self.clusters().find(|cluster| cluster.name == name) else { return false };
        matches!(self.blind(cluster), Some((_, Some(Reason::SwitchStale))))
            || self.subjects(cluster).any(|subject| self.not_told(name, subject.vip))
    }

    /// Returns the addresses of nodes that are next-hops of VIPs now.
    pub(super) fn carriers(&self) -> BTreeSet<Attachment> {
        let mut carriers = BTreeSet::new();
        for cluster in self.clusters() {
            for subject in self.subjects(cluster).filter(|subject| !self.unjudged_vip(*subject)) {
                let l2 = self.find(subject).is_ok_and(|found| self.is_l2(subject, found.as_ref()));
                let Some(found) = self.own_route(subject).ok().flatten().filter(|_| !l2) else { continue };
                for address in found.next_hops {
                    let nodes = self.nodes_at(cluster, address).into_iter().cloned();
                    let cluster = cluster.name.clone();
                    carriers.extend(nodes.map(|node| Attachment { cluster: cluster.clone(), node, address }));
                }
            }
        }
        carriers
    }

    /// Returns whether routes are not considered at all.
    pub(super) fn unjudged(&self, cluster: Cluster<'_>) -> bool {
        matches!(self.blind(cluster), Some((_, Some(Reason::Syncing | Reason::NetworkInstanceMissing))))
    }

    /// Returns whether the route of a VIP is not considered at all.
    pub(super) fn unjudged_vip(&self, subject: Subject<'a>) -> bool {
        let Subject { cluster, vip, .. } = subject;
        self.unjudged(cluster) || self.blind(cluster).is_none() && self.crowded(cluster, vip)
    }

    /// Returns the next-hops of VIPs whose services depend on where pods are, if routes are considered and next-hops
    /// are known, with the time when the cluster was last heard.
    pub(super) fn courses(&self) -> BTreeMap<(ClusterName, IpAddr), (BTreeSet<IpAddr>, Duration)> {
        let mut courses = BTreeMap::new();
        for cluster in self.clusters().filter(|cluster| !self.unjudged(*cluster)) {
            let Some(heard) = self.world.source_of(&SourceId::Kubernetes(cluster.name.clone())).heard else { continue };
            for subject in self.subjects(cluster).filter(|subject| self.served_locally(cluster, subject.service)) {
                let next_hops = match self.longest(&cluster.config.rules.network_instance, subject.vip) {
                    None => Some(BTreeSet::new()),
                    Some((_, route)) => self.world.next_hops(route),
                };
                let key = (cluster.name.clone(), subject.vip);
                courses.extend(next_hops.map(|next_hops| (key, (next_hops, heard))));
            }
        }
        courses
    }

    /// Returns the VIPs of all clusters.
    pub(super) fn carried(&self) -> BTreeSet<(ClusterName, IpAddr)> {
        let subjects = self.clusters().flat_map(|cluster| self.subjects(cluster));
        subjects.map(|subject| (subject.cluster.name.clone(), subject.vip)).collect()
    }
}
