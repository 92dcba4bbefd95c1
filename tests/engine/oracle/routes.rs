//! The route of a VIP, here and elsewhere, and what holds while its next-hops are not told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName};
use srl_k8s_services::model::switch::{FibFaultKind, NextHopGroupId, Route, RouteKey, RouteTable};
use srl_k8s_services::model::verdict::{FibStatus, Reason};
use srl_k8s_services::model::view::RouteView;

use super::next_hops::Flow;
use super::services::Subject;
use super::{GROUP_WAIT, Oracle};
use crate::said::blind;

/// The route of a VIP.
pub(super) struct Found {
    pub(super) prefix: IpNet,
    pub(super) view: RouteView,
    pub(super) next_hops: BTreeSet<IpAddr>,
}

/// The next-hops of a route have not been told.
pub(super) struct NotTold;

impl<'a> Oracle<'a> {
    /// The longest match. A default route never counts.
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

    /// The host route, else the longest covering prefix if a next-hop of it serves. While the next-hops are not known,
    /// what was said before holds for a while; then, or if nothing was, it is an error.
    pub(super) fn find(&self, subject: Subject<'a>) -> Result<Option<Found>, NotTold> {
        let network_instance = &subject.cluster.config.rules.network_instance;
        let Some((prefix, route)) = self.longest(network_instance, subject.vip) else { return Ok(None) };
        let found = match self.world.next_hops(route) {
            Some(next_hops) => {
                let owner = self.world.applications.get(&route.owner).cloned();
                let key = RouteKey { network_instance: network_instance.clone(), prefix: *prefix };
                let fib = self.fib(&key, owner.as_deref());
                let view = RouteView { owner, preference: route.preference, metric: route.metric, fib };
                Some(Found { prefix: *prefix, view, next_hops })
            }
            None => self.held(subject, route.next_hop_group)?,
        };
        Ok(found.filter(|found| {
            let mut flows = found.next_hops.iter().map(|next_hop| self.flow(subject, *next_hop, &found.next_hops));
            found.prefix == IpNet::from(subject.vip) || flows.any(|flow| flow == Flow::Serves)
        }))
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

    fn held(&self, subject: Subject<'a>, group: NextHopGroupId) -> Result<Option<Found>, NotTold> {
        let service = self.before.services.get(&(subject.cluster.name.clone(), subject.key.clone()));
        let said = service.and_then(|service| service.vips.iter().find(|vip| vip.address == subject.vip));
        let said = said.filter(|said| !blind(&said.verdict)).ok_or(NotTold)?;
        if self.world.waiting.get(&group).is_some_and(|since| self.now.elapsed >= *since + GROUP_WAIT) {
            return Err(NotTold);
        }
        let Some((prefix, view)) = said.prefix.zip(said.route.clone()) else { return Ok(None) };
        let next_hops = said.next_hops.iter().filter(|next_hop| next_hop.installed).map(|next_hop| next_hop.address);
        Ok(Some(Found { prefix, view, next_hops: next_hops.collect() }))
    }

    /// Groups that routes of VIPs name and that have not been told; of those already waited for, also what nodes and
    /// orphans look at.
    pub(super) fn waited_for(&self) -> BTreeSet<NextHopGroupId> {
        let mut named = BTreeSet::new();
        let mut looked_at = BTreeSet::new();
        for cluster in self.clusters() {
            let network_instance = &cluster.config.rules.network_instance;
            let unjudged =
                matches!(self.blind(cluster), Some((_, Some(Reason::Syncing | Reason::NetworkInstanceMissing))));
            for subject in self.subjects(cluster).filter(|_| !unjudged) {
                named.extend(self.longest(network_instance, subject.vip).map(|(_, route)| route.next_hop_group));
                if !matches!(self.find(subject), Ok(None)) {
                    continue;
                }
                for (prefix, route) in self.elsewhere(subject) {
                    named.extend((*prefix != IpNet::from(subject.vip)).then_some(route.next_hop_group));
                    if self.counts_elsewhere(subject, prefix, route) {
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

    /// The VIP's route stands in another network instance, by the same rules.
    pub(super) fn stands_elsewhere(&self, subject: Subject<'a>) -> bool {
        self.elsewhere(subject).into_iter().any(|(prefix, route)| self.counts_elsewhere(subject, prefix, route))
    }

    fn counts_elsewhere(&self, subject: Subject<'a>, prefix: &IpNet, route: &Route) -> bool {
        let next_hops = self.world.next_hops(route).unwrap_or_default();
        let mut flows = next_hops.iter().map(|next_hop| self.flow(subject, *next_hop, &next_hops));
        *prefix == IpNet::from(subject.vip) || flows.any(|flow| flow == Flow::Serves)
    }

    /// The longest match of every other network instance.
    fn elsewhere(&self, subject: Subject<'a>) -> Vec<(&'a IpNet, &'a Route)> {
        let own = &subject.cluster.config.rules.network_instance;
        let others: BTreeSet<_> = self.world.routes.keys().map(|key| &key.network_instance).collect();
        others.into_iter().filter(|other| *other != own).filter_map(|other| self.longest(other, subject.vip)).collect()
    }

    /// The VIP has a route, and its next-hops have not been told.
    pub(super) fn not_told(&self, cluster: &ClusterName, vip: IpAddr) -> bool {
        let cluster = self.clusters().find(|known| known.name == cluster);
        let longest = cluster.and_then(|cluster| self.longest(&cluster.config.rules.network_instance, vip));
        longest.is_some_and(|(_, route)| self.world.next_hops(route).is_none())
    }

    /// What is said of nodes' VIPs cannot be read from the tables now.
    pub(super) fn uncertain(&self, name: &ClusterName) -> bool {
        let Some(cluster) = self.clusters().find(|cluster| cluster.name == name) else { return false };
        matches!(self.blind(cluster), Some((_, Some(Reason::SwitchStale))))
            || self.subjects(cluster).any(|subject| self.not_told(name, subject.vip))
    }
}
