//! What a VIP's route should use, and where flows sent to a next-hop end.

use std::collections::BTreeSet;
use std::net::IpAddr;

use srl_k8s_services::model::cluster::TrafficPolicy;
use srl_k8s_services::model::names::NodeName;

use super::services::Subject;
use super::{Cluster, Oracle, share};

/// Where flows sent to a next-hop end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Serves,
    MayServe,
    Lost,
}

impl<'a> Oracle<'a> {
    /// The attached announcers' addresses of the VIP's family; where they are attached by the other family alone, the
    /// address of theirs that the route uses, or the one they are attached by.
    fn expected_local(&self, cluster: Cluster<'a>, vip: IpAddr, installed: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let announcers = self.announcers(cluster, vip);
        let attached = announcers
            .iter()
            .flat_map(|node| self.attached(cluster, node).into_iter().map(move |address| (*node, address)));
        let (own, other): (Vec<_>, Vec<_>) = attached.partition(|(_, address)| address.is_ipv4() == vip.is_ipv4());
        if !own.is_empty() {
            return own.into_iter().map(|(_, address)| address).collect();
        }
        if other.is_empty() {
            return self.reached_by_route(cluster, vip, installed);
        }
        let stands_for = |(node, address): (&NodeName, IpAddr)| {
            let mut candidates = self.candidates(cluster, node).into_iter().map(|(candidate, _)| candidate);
            candidates.find(|candidate| installed.contains(candidate)).unwrap_or(address)
        };
        other.into_iter().map(stands_for).collect()
    }

    /// While gNMI does not say who is a neighbor here, and nobody is known to be attached: the next-hops that are
    /// candidates of announcers nothing locates. Those are reached by themselves.
    fn reached_by_route(&self, cluster: Cluster<'a>, vip: IpAddr, installed: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let announcers = self.announcers(cluster, vip);
        if self.gnmi_heard() || announcers.iter().any(|node| !self.attached(cluster, node).is_empty()) {
            return BTreeSet::new();
        }
        let unlocated = announcers.iter().filter(|node| !self.located(cluster, node));
        let reached = unlocated.filter_map(|node| {
            let mut candidates = self.candidates(cluster, node).into_iter().map(|(candidate, _)| candidate);
            candidates.find(|candidate| installed.contains(candidate))
        });
        reached.collect()
    }

    /// At least one announcer is attached here, as far as can be told.
    pub(super) fn any_attached(&self, cluster: Cluster<'a>, vip: IpAddr, installed: &BTreeSet<IpAddr>) -> bool {
        let announcers = self.announcers(cluster, vip);
        announcers.iter().any(|node| !self.attached(cluster, node).is_empty())
            || !self.reached_by_route(cluster, vip, installed).is_empty()
    }

    /// What the VIP's route should use: the attached announcers' addresses; if there are none, the remote ones' VTEPs,
    /// unless a cluster that shares the VIP has attached announcers, whose routes win here.
    /// Where the whole route may be announcers that nothing locates, it is not known that none of them is attached, and no
    /// VTEP is expected.
    pub(super) fn expected(&self, subject: Subject<'a>, installed: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let Subject { cluster, vip, .. } = subject;
        let local = self.expected_local(cluster, vip, installed);
        if !local.is_empty() {
            return local;
        }
        let attached = |other| self.announcers(other, vip).iter().any(|node| !self.attached(other, node).is_empty());
        let mut flows = installed.iter().map(|next_hop| self.flow(subject, *next_hop, installed));
        let all_may_serve = !installed.is_empty() && flows.all(|flow| flow == Flow::MayServe);
        if all_may_serve || self.neighbors_of(cluster).filter(|other| share(cluster, *other)).any(attached) {
            return BTreeSet::new();
        }
        let announcers = self.announcers(cluster, vip);
        announcers.iter().flat_map(|node| self.vteps_for(cluster, node, vip.is_ipv4())).collect()
    }

    /// Where flows of this service end when they are sent to this next-hop.
    pub(super) fn flow(&self, subject: Subject<'a>, next_hop: IpAddr, installed: &BTreeSet<IpAddr>) -> Flow {
        let Subject { cluster, vip, .. } = subject;
        let behind = self.nodes_behind(cluster, next_hop);
        if !behind.is_empty() {
            return if self.serves(subject, &behind) { Flow::Serves } else { Flow::Lost };
        }
        if let Some(flow) = self.flow_into_other_cluster(subject, next_hop) {
            return flow;
        }
        // An announcer that another next-hop already explains is not behind this one.
        let could_be_behind_it = |node: &&NodeName| {
            let explained = installed.iter().any(|installed| self.is_address_of(cluster, node, *installed));
            !self.located(cluster, node) && !explained
        };
        let usable = !self.usable_endpoints(subject).is_empty();
        let unlocated = self.announcers(cluster, vip).iter().any(could_be_behind_it);
        if usable && unlocated { Flow::MayServe } else { Flow::Lost }
    }

    /// One of the nodes has a usable endpoint, or the policy is Cluster and there is one anywhere.
    fn serves(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> bool {
        match self.policy(subject.cluster, subject.service) {
            TrafficPolicy::Cluster => !self.usable_endpoints(subject).is_empty(),
            TrafficPolicy::Local => self.usable_on(subject, nodes) > 0,
        }
    }

    /// A node of another cluster explains the next-hop, or its VTEP, when the clusters share the VIP and it serves there.
    /// A VTEP that serves nobody there may well have a node of this cluster behind it.
    fn flow_into_other_cluster(&self, subject: Subject<'a>, next_hop: IpAddr) -> Option<Flow> {
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
