//! The published state of nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use srl_k8s_services::model::names::{ClusterName, NodeName};
use srl_k8s_services::model::switch::{BfdState, Route, SessionState};
use srl_k8s_services::model::verdict::{AttachmentState, FibStatus, NodeReason, OperState};
use srl_k8s_services::model::view::{NodeView, PeerView, RouteView};

use super::routes::{Found, Standing};
use super::services::Subject;
use super::services::excluded_by;
use super::{Cluster, Oracle, count};

impl<'a> Oracle<'a> {
    pub(super) fn nodes(&self, cluster: Cluster<'a>) -> BTreeMap<(ClusterName, NodeName), NodeView> {
        let nodes = cluster.world.nodes.keys();
        nodes.map(|node| ((cluster.name.clone(), node.clone()), self.node(cluster, node))).collect()
    }

    fn node(&self, cluster: Cluster<'a>, node: &NodeName) -> NodeView {
        let blind = self.blind(cluster).is_some();
        let vips = self.subjects(cluster).filter(|_| !blind).map(|subject| subject.vip);
        let vips: BTreeSet<IpAddr> = vips.filter(|vip| !self.crowded(cluster, *vip)).collect();
        let expected: BTreeSet<IpAddr> =
            vips.into_iter().filter(|vip| self.announcers_of_vip(cluster, *vip).contains(node)).collect();
        let installed = expected.iter().filter(|vip| self.uses(cluster, **vip, node)).count();
        let attachment = if !self.attached(cluster, node).is_empty() {
            AttachmentState::Attached
        } else if self.remote(cluster, node) {
            AttachmentState::Remote
        } else {
            AttachmentState::Unknown
        };
        let (state, reason) = match attachment {
            _ if self.syncing(cluster) => (OperState::Unknown, Some(NodeReason::Syncing)),
            _ if self.instance_missing(cluster) => (OperState::Unknown, None),
            AttachmentState::Remote => (OperState::Up, None),
            AttachmentState::Unknown if installed > 0 => (OperState::Up, None),
            AttachmentState::Unknown if excluded_by(cluster.config, &cluster.world.nodes[node]).is_some() => {
                (OperState::Up, None)
            }
            AttachmentState::Unknown if self.here_alone(cluster, node) => self.alone_state(cluster, &expected),
            AttachmentState::Unknown => (OperState::Unknown, Some(NodeReason::NodeAddressUnknown)),
            AttachmentState::Attached => self.attached_state(cluster, node, &expected, installed),
        };
        NodeView {
            fabric_addresses: cluster.config.rules.fabric_addresses.get(node).into_iter().flatten().copied().collect(),
            vacant_names: match reason {
                Some(NodeReason::NodeAddressUnknown) => self.vacant_names(cluster, node),
                _ => Box::default(),
            },
            peers: self.peers(cluster, node).into(),
            attachment,
            expected_vips: count(expected.len()),
            installed_vips: count(installed),
            sole_path_vips: count(self.sole_paths(cluster, node)),
            excluded_by: excluded_by(cluster.config, &cluster.world.nodes[node]),
            state,
            reason,
            cause: None,
        }
    }

    /// Returns the first three names with a fabric address and without a node, for a node without a fabric address.
    fn vacant_names(&self, cluster: Cluster<'a>, node: &NodeName) -> Box<[NodeName]> {
        let configured = &cluster.config.rules.fabric_addresses;
        if configured.get(node).is_some_and(|addresses| !addresses.is_empty()) {
            return Box::default();
        }
        configured.keys().filter(|name| !cluster.world.nodes.contains_key(*name)).take(3).cloned().collect()
    }

    /// Returns the number of VIPs whose serving next-hops, for one of their services, all belong to the node.
    fn sole_paths(&self, cluster: Cluster<'a>, node: &NodeName) -> usize {
        if self.blind(cluster).is_some() || self.attached(cluster, node).is_empty() {
            return 0;
        }
        let alone = |subject: Subject<'a>| {
            let Some((route, found)) = self.route_of(cluster, subject.vip) else { return false };
            let told = self.world.next_hops(route).is_some();
            let mut serving = found.next_hops.iter().filter(|hop| self.surely_serves(subject, **hop)).peekable();
            told && serving.peek().is_some()
                && serving.all(|hop| self.nodes_of_hop(cluster, *hop).contains(node))
                && self.standing(subject, &found) == Standing::Counts
        };
        let vips: BTreeSet<IpAddr> =
            self.subjects(cluster).filter(|subject| alone(*subject)).map(|subject| subject.vip).collect();
        let vips = vips.into_iter().filter(|vip| !self.crowded(cluster, *vip));
        vips.filter(|vip| self.by_sessions(cluster, *vip)).count()
    }

    /// Returns the nodes whose sessions should carry a VIP; none if the VIP is a node's own address, or announced by
    /// ARP or ND.
    fn announcers_of_vip(&self, cluster: Cluster<'a>, vip: IpAddr) -> BTreeSet<&'a NodeName> {
        match self.by_sessions(cluster, vip) {
            true => {
                let (passing, others) = (self.passing_by(cluster, vip), self.by_others(cluster, vip));
                let own = self.announcers(cluster, vip).into_iter();
                own.filter(|node| !passing.contains(node) && !others.contains(node)).collect()
            }
            false => BTreeSet::new(),
        }
    }

    fn by_sessions(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        let found = self.route_of(cluster, vip).map(|(_, found)| found);
        let l2 = |subject: Subject<'a>| {
            let found = found.as_ref().map(|found| (found.clone(), self.standing(subject, found)));
            self.is_l2(subject, found.as_ref())
        };
        let mut carriers = self.subjects(cluster).filter(|subject| subject.vip == vip);
        self.nodes_at(cluster, vip).is_empty() && !carriers.any(l2)
    }

    /// Returns the longest match, with its next-hops as far as they are known.
    fn route_of(&self, cluster: Cluster<'a>, vip: IpAddr) -> Option<(&'a Route, Found)> {
        let (prefix, route) = self.longest(&cluster.config.rules.network_instance, vip)?;
        let next_hops = self.world.next_hops(route).unwrap_or_default();
        let owner = self.world.applications.get(&route.owner).cloned();
        let view = RouteView { owner, preference: 0, metric: 0, fib: FibStatus::Unknown };
        Some((route, Found { prefix: *prefix, view, next_hops }))
    }

    /// Returns the state of a node that is here without a neighbor: up if all its VIPs are reached in other ways.
    fn alone_state(&self, cluster: Cluster<'a>, expected: &BTreeSet<IpAddr>) -> (OperState, Option<NodeReason>) {
        let reached = |vip: &IpAddr| self.carrying(cluster, *vip).is_some_and(|(_, next_hops)| !next_hops.is_empty());
        if !self.gnmi_heard() {
            (OperState::Unknown, None)
        } else if expected.is_empty() {
            (OperState::Up, None)
        } else if expected.iter().all(reached) {
            (OperState::Up, Some(NodeReason::NoNeighbor))
        } else {
            (OperState::Degraded, Some(NodeReason::NoNeighbor))
        }
    }

    fn attached_state(
        &self,
        cluster: Cluster<'a>,
        node: &NodeName,
        expected: &BTreeSet<IpAddr>,
        installed: usize,
    ) -> (OperState, Option<NodeReason>) {
        let attached = self.attached(cluster, node);
        let down = attached.iter().filter(|address| self.session_down(cluster, **address)).count();
        let established = |address: &IpAddr| self.session(cluster, *address) == Some(SessionState::Established);
        let received_none = |address: &IpAddr| {
            let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, *address);
            neighbor.is_some_and(|neighbor| neighbor.received_routes == Some(0))
        };
        let may_be_hidden = |vip: &IpAddr| self.may_be_hidden(cluster, *vip);
        if down > 0 {
            let all = down == attached.len();
            return (if all { OperState::Down } else { OperState::Degraded }, Some(NodeReason::SessionDown));
        }
        let established = attached.iter().all(established);
        // Certain only if nothing was received at all, or if no better path can hide what was received.
        let nothing = attached.iter().all(received_none) || !expected.iter().any(may_be_hidden);
        if established && !expected.is_empty() && installed == 0 && nothing {
            return (OperState::Degraded, Some(NodeReason::NoVipReceived));
        }
        (if established || installed > 0 { OperState::Up } else { OperState::Unknown }, None)
    }

    /// Returns the next-hops that carry the VIP for any service, which are those of a route that counts for the
    /// service.
    fn carrying(&self, cluster: Cluster<'a>, vip: IpAddr) -> Option<(&'a Route, BTreeSet<IpAddr>)> {
        let (route, found) = self.route_of(cluster, vip)?;
        self.world.next_hops(route)?;
        let counts = |subject| self.standing(subject, &found) == Standing::Counts;
        let mut carriers = self.subjects(cluster).filter(|subject| subject.vip == vip);
        carriers.any(counts).then_some((route, found.next_hops))
    }

    /// Returns whether the VIP's route uses the node: one of the next-hops leads to it.
    fn uses(&self, cluster: Cluster<'a>, vip: IpAddr, node: &NodeName) -> bool {
        let next_hops = self.carrying(cluster, vip).map(|(_, next_hops)| next_hops).unwrap_or_default();
        next_hops.iter().any(|next_hop| self.leads_to(cluster, node, next_hop))
    }

    /// Returns whether a node may announce the VIP without being used: another protocol's route won, or there is no
    /// room for more next-hops.
    fn may_be_hidden(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        self.carrying(cluster, vip).is_some_and(|(route, next_hops)| {
            let bgp = self.world.applications.get(&route.owner).is_some_and(|owner| &**owner == "bgp_mgr");
            let full = cluster.config.rules.ecmp_limit.is_some_and(|limit| next_hops.len() >= usize::from(limit));
            !bgp || full
        })
    }

    /// Returns one row per address in use.
    fn peers(&self, cluster: Cluster<'a>, node: &NodeName) -> Vec<PeerView> {
        let row = |(address, source, attachment)| {
            let neighbor = self.world.neighbor(&cluster.config.rules.network_instance, address);
            PeerView {
                address,
                source,
                attachment,
                session: self.session(cluster, address),
                last_established: neighbor.filter(|_| self.gnmi_heard()).and_then(|n| n.last_established),
                bfd: self.bfd(cluster, address),
                subinterface: None,
                port: None,
                link_layer_address: (attachment == AttachmentState::Attached || neighbor.is_some())
                    .then(|| self.mac(cluster, address).map(Arc::from))
                    .flatten(),
                received_routes: neighbor.filter(|_| self.gnmi_heard()).and_then(|n| n.received_routes),
                rejected_routes: None,
                cause: None,
            }
        };
        self.in_use(cluster, node).into_iter().map(row).collect()
    }

    fn bfd(&self, cluster: Cluster<'_>, address: IpAddr) -> Option<BfdState> {
        let id = self.world.network_instances.get(&cluster.config.rules.network_instance)?.id;
        let here = self.world.bfd.iter().filter(|(key, _)| key.network_instance == id && key.remote == address);
        here.map(|(_, state)| *state).min()
    }
}
