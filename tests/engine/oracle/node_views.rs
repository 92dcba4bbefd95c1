//! What is said of nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::names::{ClusterName, NodeName};
use srl_k8s_services::model::switch::{BfdState, Route, SessionState};
use srl_k8s_services::model::verdict::{AttachmentState, NodeReason, OperState};
use srl_k8s_services::model::view::{NodeView, PeerView};

use super::next_hops::Flow;
use super::services::excluded_by;
use super::{Cluster, Oracle, count};

impl<'a> Oracle<'a> {
    pub(super) fn nodes(&self, cluster: Cluster<'a>) -> BTreeMap<(ClusterName, NodeName), NodeView> {
        let nodes = cluster.world.nodes.keys();
        nodes.map(|node| ((cluster.name.clone(), node.clone()), self.node(cluster, node))).collect()
    }

    fn node(&self, cluster: Cluster<'a>, node: &NodeName) -> NodeView {
        let blind = self.blind(cluster).is_some();
        let vips: BTreeSet<IpAddr> = self.subjects(cluster).filter(|_| !blind).map(|subject| subject.vip).collect();
        let expected: BTreeSet<IpAddr> =
            vips.into_iter().filter(|vip| self.announcers(cluster, *vip).contains(node)).collect();
        let installed = expected.iter().filter(|vip| self.uses(cluster, **vip, node)).count();
        let attachment = if !self.attached(cluster, node).is_empty() {
            AttachmentState::Attached
        } else if self.located(cluster, node) {
            AttachmentState::Remote
        } else {
            AttachmentState::Unknown
        };
        let (state, reason) = match attachment {
            _ if self.syncing(cluster) => (OperState::Unknown, Some(NodeReason::Syncing)),
            _ if self.instance_missing(cluster) => (OperState::Unknown, None),
            AttachmentState::Remote => (OperState::Up, None),
            AttachmentState::Unknown if installed > 0 => (OperState::Up, None),
            AttachmentState::Unknown => (OperState::Unknown, Some(NodeReason::NodeAddressUnknown)),
            AttachmentState::Attached => self.attached_state(cluster, node, &expected, installed),
        };
        NodeView {
            fabric_addresses: cluster.config.rules.fabric_addresses.get(node).into_iter().flatten().copied().collect(),
            peers: self.peers(cluster, node).into(),
            attachment,
            expected_vips: count(expected.len()),
            installed_vips: count(installed),
            sole_path_vips: 0,
            excluded_by: excluded_by(cluster.config.source.speaker, &cluster.world.nodes[node]),
            state,
            reason,
            cause: None,
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
        // Certain only where nothing was received at all, or no better path can hide what was.
        let nothing = attached.iter().all(received_none) || !expected.iter().any(may_be_hidden);
        if established && !expected.is_empty() && installed == 0 && nothing {
            return (OperState::Degraded, Some(NodeReason::NoVipReceived));
        }
        (if established || installed > 0 { OperState::Up } else { OperState::Unknown }, None)
    }

    /// The next-hops that carry the VIP for any service: of its host route, or of a covering prefix that serves one.
    fn carrying(&self, cluster: Cluster<'a>, vip: IpAddr) -> Option<(&'a Route, BTreeSet<IpAddr>)> {
        let (prefix, route) = self.longest(&cluster.config.rules.network_instance, vip)?;
        let next_hops = self.world.next_hops(route)?;
        let serves = |subject| next_hops.iter().any(|hop| self.flow(subject, *hop, &next_hops) == Flow::Serves);
        let mut carriers = self.subjects(cluster).filter(|subject| subject.vip == vip);
        (*prefix == IpNet::from(vip) || carriers.any(serves)).then_some((route, next_hops))
    }

    /// The VIP's route uses the node: a next-hop of it is the node, or its VTEP.
    fn uses(&self, cluster: Cluster<'a>, vip: IpAddr, node: &NodeName) -> bool {
        let next_hops = self.carrying(cluster, vip).map(|(_, next_hops)| next_hops).unwrap_or_default();
        let vteps = self.vteps(cluster, node);
        next_hops.iter().any(|next_hop| vteps.contains(next_hop) || self.is_address_of(cluster, node, *next_hop))
    }

    /// A node may give the VIP and not be used: another protocol's route won, or there is no room for more next-hops.
    fn may_be_hidden(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        self.carrying(cluster, vip).is_some_and(|(route, next_hops)| {
            let bgp = self.world.applications.get(&route.owner).is_some_and(|owner| &**owner == "bgp_mgr");
            let full = cluster.config.rules.ecmp_limit.is_some_and(|limit| next_hops.len() >= usize::from(limit));
            !bgp || full
        })
    }

    /// The addresses in use, a row each.
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
                link_layer_address: None,
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
