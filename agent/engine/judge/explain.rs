//! Adds to views what [`super::diagnosis`] finds in the facts: causes of verdicts, and where nodes are plugged in.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::diagnosis::{
    PathFacts, SessionFacts, holder_cut_off, holder_gone, is_among_equals, path_cause, session_cause, stale_cause,
};
use super::evidence::{Evidence, Hop, Session, World};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::sources::GnmiPhase;
use crate::engine::facts::switch::{ARP_ND_OWNER, EVPN_OWNER, STATIC_OWNER};
use crate::model::inquiry::{AddressKey, PathKey};
use crate::model::switch::{FibFaultKind, RouteKey};
use crate::model::verdict::{AttachmentState, NextHopKind, OperState, ProbableCause, Reason};
use crate::model::view::{Cause, NextHopView, NodeView, VipView};

/// Adds to a node's view where its addresses are plugged in, and why their sessions are down.
pub(crate) fn explain_node(world: &World<'_>, cluster: &Cluster, view: &mut NodeView) {
    let instance = &cluster.config.rules.network_instance;
    for peer in &mut view.peers {
        // About a node that is not attached here nothing is asked, and no session with it is missing, unless its
        // neighbor is left over.
        if peer.attachment != AttachmentState::Attached && world.bgp.peer(instance, peer.address).is_none() {
            continue;
        }
        let link = link(world, cluster, peer.address);
        let key = AddressKey { network_instance: instance.clone(), address: link };
        if let Some(place) = world.inquiries.place(&key) {
            peer.subinterface = place.subinterface.clone();
            peer.port = place.port.clone();
            peer.link_layer_address = place.link_layer_address.clone();
        }
        let words = world.bgp.peer(instance, peer.address).and_then(|(key, _)| world.inquiries.neighbor(&key));
        peer.rejected_routes = words.and_then(|(words, _)| words.rejected_routes);
        if world.session(instance, peer.address).is_down() {
            peer.cause = why_down(world, cluster, peer.address);
        }
    }
    if view.state != OperState::Up {
        let explained = view.peers.iter().filter_map(|peer| Some((peer, peer.cause.as_ref()?)));
        let worst = explained.min_by_key(|(peer, cause)| (peer.session, cause.probable, peer.address));
        view.cause = worst.map(|(_, cause)| cause.clone());
    }
}

/// Adds to a VIP's view why next-hops are absent, and the worst of these causes.
pub(crate) fn explain_vip(world: &World<'_>, cluster: &Cluster, evidence: &Evidence, view: &mut VipView) {
    let up = view.verdict.state == OperState::Up;
    let route = view.route.as_ref().and_then(|route| Some((route.owner.as_deref()?, route.preference)));
    let best_lost_by = best_lost_by(world, cluster, evidence, view);
    let best_lost_by = best_lost_by.as_deref();
    for (hop, known) in view.next_hops.iter_mut().zip(&evidence.hops) {
        let Some(neighbor) = neighbor(world, cluster, hop) else { continue };
        let instance = &view.network_instance;
        let path = || {
            let prefix = announced(evidence.aggregate, view.address);
            let path = world.inquiries.path(&PathKey { network_instance: instance.clone(), prefix, neighbor })?;
            Some((path, prefix))
        };
        hop.cause = match (hop.installed, known.session) {
            (true, Session::Down(_)) => path().and_then(|(path, prefix)| stale_cause(neighbor, prefix, path)),
            (false, Session::Down(_)) if hop.expected => why_down(world, cluster, neighbor),
            // While gNMI does not answer, earlier findings about a route remain valid: the route is as it was.
            (false, Session::Established | Session::Unknown) if hop.expected && !up => {
                let received_routes = world.bgp.neighbor(instance, neighbor).and_then(|it| it.received_routes);
                let facts = |(path, prefix)| PathFacts { neighbor, prefix, path, route, received_routes, best_lost_by };
                path().and_then(|found| path_cause(&facts(found)))
            }
            _ => None,
        };
    }
    for (hop, known) in view.next_hops.iter_mut().zip(&evidence.hops).filter(|(hop, _)| hop.kind == NextHopKind::L2) {
        hop.cause = if up { None } else { why_unanswered(world, cluster, known) };
    }
    view.cause = if up || is_not_the_switchs(view.verdict.reason) {
        None
    } else if view.verdict.reason == Some(Reason::RouteNotProgrammed) {
        suppressed(world, view)
    } else if view.verdict.reason == Some(Reason::ArpUnresolved) {
        let key = AddressKey { network_instance: view.network_instance.clone(), address: view.address };
        let place = world.inquiries.place(&key).filter(|_| world.phase.gnmi == GnmiPhase::Live);
        place.and_then(|place| holder_cut_off(view.address, place))
    } else {
        worst(&view.next_hops)
    };
    let Some(detail) = &view.verdict.detail else { return };
    let explained = match &view.cause {
        Some(cause) => format!("{detail}; cause: {}", cause.detail),
        None => match where_to_look(view) {
            Some(advice) => format!("{detail}; {advice}"),
            None => return,
        },
    };
    view.verdict.detail = Some(explained.into());
}

/// Returns where an operator may find the cause that was not found.
fn where_to_look(view: &VipView) -> Option<&'static str> {
    let mut missing = view.absent().peekable();
    let behind_other_leaves = missing.peek().is_some() && missing.all(|hop| hop.kind == NextHopKind::Vtep);
    match view.verdict.reason? {
        Reason::LocalPathUnused if view.absent().any(|hop| hop.session.is_none()) => {
            Some("gNMI does not say whether their BGP sessions are up: see that first")
        }
        Reason::LocalPathUnused => {
            Some("see whether a policy rejects their route, and compare preferences and multipath")
        }
        Reason::RouteNotProgrammed => Some("look at the log of this switch and at how full its forwarding tables are"),
        Reason::NextHopMissing if behind_other_leaves => Some(
            "check on the leaf of each missing VTEP whether it has the route, and here how many paths EVPN installs",
        ),
        Reason::NoRoute if behind_other_leaves => Some("check on the leaf of each VTEP whether it has the route"),
        _ => None,
    }
}

/// Returns by which comparison the best of the nodes' paths to a VIP lost. Nodes' paths are compared with each other
/// first.
fn best_lost_by(world: &World<'_>, cluster: &Cluster, evidence: &Evidence, view: &VipView) -> Option<Arc<str>> {
    let prefix = announced(evidence.aggregate, view.address);
    let mut lost = view.absent().filter_map(|hop| {
        let neighbor = neighbor(world, cluster, hop)?;
        let key = PathKey { network_instance: view.network_instance.clone(), prefix, neighbor };
        world.inquiries.path(&key)?.accepted.as_ref()?.tie_break.clone()
    });
    lost.find(|tie_break| !is_among_equals(tie_break))
}

/// Returns the prefix that a VIP is announced as.
pub(crate) fn announced(aggregate: Option<IpNet>, vip: IpAddr) -> IpNet {
    aggregate.unwrap_or_else(|| IpNet::from(vip))
}

/// Returns whether the reason is one that no table of the switch explains.
fn is_not_the_switchs(reason: Option<Reason>) -> bool {
    matches!(
        reason,
        Some(
            Reason::Syncing
                | Reason::SwitchStale
                | Reason::NetworkInstanceMissing
                | Reason::AddressPending
                | Reason::NoReadyEndpoint
                | Reason::NoAnnouncer
        )
    )
}

/// Returns the neighbor that should send a next-hop: at the next-hop's own address, or at another address of the same
/// node.
pub(crate) fn neighbor(world: &World<'_>, cluster: &Cluster, hop: &NextHopView) -> Option<IpAddr> {
    let instance = &cluster.config.rules.network_instance;
    if hop.kind != NextHopKind::Local || world.bgp.neighbor(instance, hop.address).is_some() {
        return (hop.kind == NextHopKind::Local).then_some(hop.address);
    }
    let slot = hop.node.as_ref().and_then(|node| cluster.node_slot(node));
    let node = slot.and_then(|slot| cluster.nodes.get(slot));
    node.and_then(|node| node.location.attached(Some(hop.address.is_ipv4()))).or(Some(hop.address))
}

/// Returns the address whose ARP or ND entry shows where another address is plugged in: the only gateway of this leaf's
/// static route to it. Otherwise, or if several nodes are behind the gateway (a router), it is the address itself.
pub(crate) fn link(world: &World<'_>, cluster: &Cluster, address: IpAddr) -> IpAddr {
    let gateway = || {
        let route = world.switch.host(&cluster.config.rules.network_instance, address)?;
        let route = Some(route).filter(|route| world.switch.owned_by(route, STATIC_OWNER))?;
        let [gateway] = *world.switch.group(route.next_hop_group)?.next_hops else { return None };
        let leads_to = cluster.by_gateway.get(&gateway).map_or(0, Vec::len);
        (leads_to <= 1).then_some(gateway)
    };
    gateway().unwrap_or(address)
}

/// Returns why what answers ARP or ND for a VIP may not be there any more: the port of its entry or of its node is down,
/// or the node does not answer itself.
fn why_unanswered(world: &World<'_>, cluster: &Cluster, hop: &Hop) -> Option<Cause> {
    if world.phase.gnmi != GnmiPhase::Live {
        return None;
    }
    let instance = &cluster.config.rules.network_instance;
    let place = |address: IpAddr| world.inquiries.place(&AddressKey { network_instance: instance.clone(), address });
    let node = hop.node.as_ref().and_then(|node| cluster.nodes.get(cluster.node_slot(node)?));
    let own = node.into_iter().flat_map(|node| &node.location.candidates).map(|(address, _)| *address);
    let own: Vec<IpAddr> = own.collect();
    let cut_off = |address: &IpAddr| holder_cut_off(*address, place(*address)?);
    let gone = |address: &IpAddr| {
        holder_gone(*address, place(*address)?).filter(|_| !world.switch.answers(instance, *address))
    };
    let is_gone = || hop.doubtful.then(|| own.iter().find_map(gone))?;
    cut_off(&hop.address).or_else(|| own.iter().find_map(cut_off)).or_else(is_gone)
}

/// Returns why the session with an address is down; `None` while gNMI does not answer, since no answer does not mean no
/// entry.
fn why_down(world: &World<'_>, cluster: &Cluster, address: IpAddr) -> Option<Cause> {
    if world.phase.gnmi != GnmiPhase::Live {
        return None;
    }
    let instance = &cluster.config.rules.network_instance;
    let link = link(world, cluster, address);
    let peer = world.bgp.peer(instance, address);
    let key = world.bgp.key_of(instance, address);
    let key = key.as_ref();
    let host = world.switch.host(instance, link);
    let owned_by = |owner: &str| host.is_some_and(|route| world.switch.owned_by(&route, owner));
    let group = host.filter(|_| owned_by(EVPN_OWNER)).and_then(|route| world.switch.group(route.next_hop_group));
    session_cause(&SessionFacts {
        address,
        link,
        link_is_node: link == address
            || cluster.at_address(link).iter().any(|slot| cluster.at_address(address).contains(slot)),
        session: peer.as_ref().and_then(|(_, neighbor)| neighbor.session),
        established_at: key.and_then(|key| world.bgp.established_at(key)),
        fell_at: peer.as_ref().and_then(|(_, neighbor)| neighbor.last_established),
        words: key.and_then(|key| world.inquiries.neighbor(key)),
        asked_since: key.and_then(|key| world.inquiries.neighbor_since(key)),
        place: world.inquiries.place(&AddressKey { network_instance: instance.clone(), address: link }),
        moved_to: group.and_then(|group| group.next_hops.first().copied()),
        has_host_route: owned_by(ARP_ND_OWNER),
        is_beyond: host
            .or_else(|| world.switch.subnet(instance, link).map(|subnet| subnet.route))
            .is_some_and(|route| world.switch.owner(&route).is_some() && !world.switch.is_connected(&route)),
        bfd: world.switch.bfd(instance, address),
    })
}

/// Returns the cause if the route is suppressed, so that only the control plane's table has it.
fn suppressed(world: &World<'_>, view: &VipView) -> Option<Cause> {
    let prefix = view.prefix?;
    let route = RouteKey { network_instance: view.network_instance.clone(), prefix };
    let fault = world.bgp.fault(&route, view.route.as_ref()?.owner.as_ref())?;
    let detail =
        format!("the switch has kept {prefix} out of the forwarding table (suppressed) since {:.0}", fault.since);
    (fault.kind == FibFaultKind::Suppressed)
        .then(|| Cause { probable: ProbableCause::FibSuppressed, detail: detail.into() })
}

/// Returns the cause of the worst next-hop: by its own state, then by the order of causes (sessions before routes),
/// then by address.
fn worst(hops: &[NextHopView]) -> Option<Cause> {
    let explained = hops.iter().filter_map(|hop| Some((hop, hop.cause.as_ref()?)));
    let first = explained.min_by_key(|(hop, cause)| (std::cmp::Reverse(hop.state), cause.probable, hop.address));
    first.map(|(_, cause)| cause.clone())
}
