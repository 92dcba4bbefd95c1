//! The view of one node: its addresses and sessions, and whether it gives the VIPs it should.

use super::cluster::Cluster;
use super::evidence::{Gate, Session, World};
use super::nodes::{NodeEntry, Peer};
use super::tally::Figures;
use crate::model::switch::SessionState;
use crate::model::verdict::{AttachmentState, NodeReason, OperState};
use crate::model::view::{NodeView, PeerView};

impl World<'_> {
    /// The view of a node.
    pub(super) fn node(&self, cluster: &Cluster, slot: u32, entry: &NodeEntry) -> NodeView {
        let figures = cluster.figures(slot, entry);
        let (state, reason) = self.node_state(cluster, entry, figures);
        let configured = cluster.config.fabric_addresses.get(&entry.name);
        NodeView {
            fabric_addresses: configured.into_iter().flatten().copied().collect(),
            peers: entry.location.peers.iter().map(|peer| self.peer(cluster, peer)).collect(),
            attachment: entry.location.attachment(),
            expected_vips: figures.expected,
            installed_vips: figures.installed,
            state,
            reason,
        }
    }

    fn peer(&self, cluster: &Cluster, peer: &Peer) -> PeerView {
        let instance = &cluster.config.network_instance;
        let heard = self.phase.gnmi == super::sources::GnmiPhase::Live;
        let neighbor = self.bgp.neighbor(instance, peer.address).filter(|_| heard);
        PeerView {
            address: peer.address,
            source: peer.source,
            attachment: peer.attachment,
            session: neighbor.and_then(|neighbor| neighbor.session),
            last_established: neighbor.and_then(|neighbor| neighbor.last_established),
            bfd: self.switch.bfd(instance, peer.address),
        }
    }

    fn node_state(&self, cluster: &Cluster, entry: &NodeEntry, figures: Figures) -> (OperState, Option<NodeReason>) {
        match self.gate(cluster) {
            Gate::Syncing(_) => return (OperState::Unknown, Some(NodeReason::Syncing)),
            // The cluster says so; no address of the node is to blame.
            Gate::InstanceMissing => return (OperState::Unknown, None),
            Gate::Open | Gate::SwitchStale(_) => {}
        }
        match entry.location.attachment() {
            AttachmentState::Remote => (OperState::Up, None),
            AttachmentState::Unknown if figures.installed > 0 => (OperState::Up, None),
            AttachmentState::Unknown => (OperState::Unknown, Some(NodeReason::NodeAddressUnknown)),
            AttachmentState::Attached => self.attached_state(cluster, entry, figures),
        }
    }

    fn attached_state(
        &self,
        cluster: &Cluster,
        entry: &NodeEntry,
        figures: Figures,
    ) -> (OperState, Option<NodeReason>) {
        let instance = &cluster.config.network_instance;
        let attached = entry.location.peers.iter().filter(|peer| peer.attachment == AttachmentState::Attached);
        let sessions: Vec<Session> = attached.map(|peer| self.session(instance, peer.address)).collect();
        if sessions.iter().all(|session| session.is_down()) {
            return (OperState::Down, Some(NodeReason::SessionDown));
        }
        if sessions.iter().any(|session| session.is_down()) {
            return (OperState::Degraded, Some(NodeReason::SessionDown));
        }
        let established = sessions.iter().all(|session| *session == Session::Established);
        if established && self.gives_nothing(cluster, entry, figures) {
            return (OperState::Degraded, Some(NodeReason::NoVipReceived));
        }
        let proven = established || figures.installed > 0;
        (if proven { OperState::Up } else { OperState::Unknown }, None)
    }

    /// Certain only where nothing was received at all, or no better path can hide what was.
    fn gives_nothing(&self, cluster: &Cluster, entry: &NodeEntry, figures: Figures) -> bool {
        let instance = &cluster.config.network_instance;
        let neighbors = entry.location.peers.iter().filter_map(|peer| self.bgp.neighbor(instance, peer.address));
        let mut neighbors = neighbors.filter(|neighbor| neighbor.session == Some(SessionState::Established)).peekable();
        let received_none = neighbors.peek().is_some() && neighbors.all(|neighbor| neighbor.received_routes == Some(0));
        let judged = self.gate(cluster) == Gate::Open;
        judged && figures.expected > 0 && figures.installed == 0 && (received_none || figures.hidden == 0)
    }
}
