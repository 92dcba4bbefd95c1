//! Makes the view of one node: its addresses and sessions, and whether it announces the VIPs it should.

use super::evidence::{Gate, Session, World};
use super::explain::explain_node;
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::figures::Figures;
use crate::engine::facts::nodes::{NodeEntry, Peer};
use crate::engine::facts::places::Place;
use crate::engine::facts::sources::GnmiPhase;
use crate::model::switch::SessionState;
use crate::model::verdict::{AttachmentState, NodeReason, OperState};
use crate::model::view::{NodeView, PeerView};

/// Returns the view of a node.
pub(crate) fn node_view(world: &World<'_>, cluster: &Cluster, slot: u32, entry: &NodeEntry) -> NodeView {
    let figures = cluster.figures(slot, entry);
    let (state, reason) = node_state(world, cluster, entry, figures);
    let configured = cluster.config.rules.fabric_addresses.get(&entry.name);
    let mut view = NodeView {
        fabric_addresses: configured.into_iter().flatten().copied().collect(),
        vacant_names: Box::default(),
        peers: entry.location.peers.iter().map(|peer| peer_view(world, cluster, peer)).collect(),
        attachment: entry.location.attachment(),
        expected_vips: figures.expected,
        installed_vips: figures.installed,
        sole_path_vips: figures.sole,
        excluded_by: entry.excluded,
        state,
        reason,
        cause: None,
    };
    if view.fabric_addresses.is_empty() && reason == Some(NodeReason::NodeAddressUnknown) {
        view.vacant_names = cluster.vacant_names();
    }
    explain_node(world, cluster, &mut view);
    view
}

fn peer_view(world: &World<'_>, cluster: &Cluster, peer: &Peer) -> PeerView {
    let instance = &cluster.config.rules.network_instance;
    let heard = world.phase.gnmi == GnmiPhase::Live;
    let neighbor = world.bgp.neighbor(instance, peer.address).filter(|_| heard);
    PeerView {
        address: peer.address,
        source: peer.source,
        attachment: peer.attachment,
        session: neighbor.and_then(|neighbor| neighbor.session),
        last_established: neighbor.and_then(|neighbor| neighbor.last_established),
        bfd: world.switch.bfd(instance, peer.address),
        subinterface: None,
        port: None,
        link_layer_address: None,
        received_routes: neighbor.and_then(|neighbor| neighbor.received_routes),
        rejected_routes: None,
        cause: None,
    }
}

fn node_state(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &NodeEntry,
    figures: Figures,
) -> (OperState, Option<NodeReason>) {
    match world.gate(cluster) {
        Gate::Syncing(_) => return (OperState::Unknown, Some(NodeReason::Syncing)),
        // The network instance of the cluster is missing; no address of the node is at fault.
        Gate::InstanceMissing(_) => return (OperState::Unknown, None),
        Gate::Open | Gate::SwitchStale(_) => {}
    }
    match entry.location.attachment() {
        AttachmentState::Remote => (OperState::Up, None),
        AttachmentState::Unknown if figures.installed > 0 => (OperState::Up, None),
        // An excluded node announces nothing and need not be located.
        AttachmentState::Unknown if entry.excluded.is_some() => (OperState::Up, None),
        AttachmentState::Unknown if entry.location.place == Place::Silent => silent_state(world, figures),
        AttachmentState::Unknown => (OperState::Unknown, Some(NodeReason::NodeAddressUnknown)),
        AttachmentState::Attached => attached_state(world, cluster, entry, figures),
    }
}

/// Returns the state of a node that answers ARP or ND here but has no BGP neighbor. It is up if its VIPs have routes
/// nevertheless: by transit, or by the sessions of others.
fn silent_state(world: &World<'_>, figures: Figures) -> (OperState, Option<NodeReason>) {
    match figures.expected {
        _ if world.phase.gnmi != GnmiPhase::Live => (OperState::Unknown, None),
        0 => (OperState::Up, None),
        expected if figures.routed >= expected => (OperState::Up, Some(NodeReason::NoNeighbor)),
        _ => (OperState::Degraded, Some(NodeReason::NoNeighbor)),
    }
}

fn attached_state(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &NodeEntry,
    figures: Figures,
) -> (OperState, Option<NodeReason>) {
    let instance = &cluster.config.rules.network_instance;
    let attached = entry.location.peers.iter().filter(|peer| peer.attachment == AttachmentState::Attached);
    let sessions: Vec<Session> = attached.map(|peer| world.session(instance, peer.address)).collect();
    if sessions.iter().all(|session| session.is_down()) {
        return (OperState::Down, Some(NodeReason::SessionDown));
    }
    if sessions.iter().any(|session| session.is_down()) {
        return (OperState::Degraded, Some(NodeReason::SessionDown));
    }
    let established = sessions.iter().all(|session| *session == Session::Established);
    if established && announces_nothing(world, cluster, entry, figures) {
        return (OperState::Degraded, Some(NodeReason::NoVipReceived));
    }
    let alive = established || figures.installed > 0;
    (if alive { OperState::Up } else { OperState::Unknown }, None)
}

/// Returns whether a node announces nothing. This is certain only if nothing was received at all, or if no better path
/// can hide what was received.
fn announces_nothing(world: &World<'_>, cluster: &Cluster, entry: &NodeEntry, figures: Figures) -> bool {
    let instance = &cluster.config.rules.network_instance;
    let neighbors = entry.location.peers.iter().filter_map(|peer| world.bgp.neighbor(instance, peer.address));
    let mut neighbors = neighbors.filter(|neighbor| neighbor.session == Some(SessionState::Established)).peekable();
    let received_none = neighbors.peek().is_some() && neighbors.all(|neighbor| neighbor.received_routes == Some(0));
    let judged = world.gate(cluster) == Gate::Open;
    judged && figures.expected > 0 && figures.installed == 0 && (received_none || figures.hidden == 0)
}
