//! From what was said to what is wrong: which condition a view is, and in which words.

use std::sync::Arc;

use crate::model::alarm::AlarmType;
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use crate::model::switch::{RouteKey, SessionState};
use crate::model::verdict::{AttachmentState, FibStatus, NodeReason, OperState, Reason};
use crate::model::view::{NextHopView, NodeView, OrphanView, ServiceView, Verdict, VipView};

/// Of these a VIP has one at most.
pub(super) const OF_VIP: &[AlarmType] = &[
    AlarmType::VipRouteMissing,
    AlarmType::VipBlackholed,
    AlarmType::VipAddressConflict,
    AlarmType::VipDegraded,
    AlarmType::VipNoEndpoint,
    AlarmType::VipNotAnnounced,
];

/// What a verdict says of alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// This one holds.
    Holds(AlarmType),
    /// None holds.
    Fine,
    /// Nothing is known.
    Unknown,
}

/// The condition of a VIP. Nobody else's alarm is thought of: see [`is_explained`].
pub(super) fn of_verdict(verdict: &Verdict) -> Condition {
    use AlarmType::*;
    let Some(reason) = verdict.reason else { return Condition::Fine };
    match (verdict.state, reason) {
        (OperState::Unknown, Reason::Syncing | Reason::SwitchStale) => Condition::Unknown,
        (OperState::Down, Reason::WrongNetworkInstance | Reason::SessionDown | Reason::NoRoute) => {
            Condition::Holds(VipRouteMissing)
        }
        (OperState::Down, Reason::RouteNotProgrammed | Reason::NextHopUnexpected) => Condition::Holds(VipBlackholed),
        (OperState::Down, Reason::NoReadyEndpoint) => Condition::Holds(VipNoEndpoint),
        (OperState::Down, Reason::NoAnnouncer) => Condition::Holds(VipNotAnnounced),
        (OperState::Down, Reason::AddressPending) => Condition::Holds(VipAddressPending),
        (OperState::Degraded, Reason::AddressConflict) => Condition::Holds(VipAddressConflict),
        (OperState::Degraded | OperState::Down, _) => Condition::Holds(VipDegraded),
        (OperState::Up | OperState::Unknown, _) => Condition::Fine,
    }
}

/// True when all that is wrong with the next-hops is sessions that have an alarm of their own. `known_down` says it of
/// nodes whose session is not heard of now.
pub(super) fn is_explained(vip: &VipView, known_down: impl Fn(&NodeName) -> bool) -> bool {
    let explained = |hop: &NextHopView| match hop.reason {
        Some(Reason::SessionDown) => true,
        Some(Reason::NextHopMissing) if hop.session.is_none() => hop.node.as_ref().is_some_and(&known_down),
        _ => false,
    };
    let wrong = |hop: &&NextHopView| matches!(hop.state, OperState::Down | OperState::Degraded);
    vip.next_hops.iter().any(|hop| wrong(&hop)) && vip.next_hops.iter().filter(wrong).all(explained)
}

/// A FIB failure is neither seen nor seen to be gone.
pub(super) fn fib_is_unknown(vip: &VipView) -> bool {
    vip.route.as_ref().is_some_and(|route| route.fib == FibStatus::Unknown)
}

/// Nodes whose session a VIP waits for.
pub(super) fn waits_for(vip: &VipView) -> impl Iterator<Item = &NodeName> {
    vip.next_hops.iter().filter(|hop| hop.reason == Some(Reason::SessionDown)).filter_map(|hop| hop.node.as_ref())
}

/// An unlocated announcer may be behind a next-hop that no node explains, and the VIP is up for it.
pub(super) fn is_unmapped(vip: &VipView) -> bool {
    vip.verdict.state != OperState::Unknown
        && vip.next_hops.iter().any(|hop| hop.reason == Some(Reason::NextHopUnmapped))
}

/// An attached announcer without its session.
pub(super) fn is_session_down(node: &NodeView) -> bool {
    node.expected_vips > 0 && node.reason == Some(NodeReason::SessionDown)
}

/// An announcer nobody can place.
pub(super) fn is_unlocated(node: &NodeView) -> bool {
    node.expected_vips > 0 && node.reason == Some(NodeReason::NodeAddressUnknown)
}

/// An announcer with a place.
pub(super) fn is_located(node: &NodeView) -> bool {
    node.expected_vips > 0 && node.attachment != AttachmentState::Unknown
}

/// Nothing can be said of the node.
pub(super) fn is_syncing(node: &NodeView) -> bool {
    node.reason == Some(NodeReason::Syncing)
}

// Words.

/// What is wrong with a VIP.
pub(super) fn vip_text(cluster: &ClusterName, service: &ServiceKey, vip: &VipView) -> Arc<str> {
    let detail = vip.verdict.detail.as_deref().unwrap_or("not up");
    format!("VIP {} of {service} in cluster {cluster}: {detail}", vip.address).into()
}

/// What is wrong with a service that has no VIP.
pub(super) fn service_text(cluster: &ClusterName, service: &ServiceKey, view: &ServiceView) -> Arc<str> {
    let detail = view.verdict.detail.as_deref().unwrap_or("not up");
    format!("Service {service} in cluster {cluster}: {detail}").into()
}

/// The sessions of a node that are down.
pub(super) fn session_text(node: &NodeName, view: &NodeView, instance: &NetworkInstanceName, waiting: u32) -> Arc<str> {
    let down = view
        .peers
        .iter()
        .filter(|peer| peer.attachment == AttachmentState::Attached && peer.session != Some(SessionState::Established));
    let told: Vec<String> = down
        .map(|peer| match (peer.session, peer.last_established) {
            (None, _) => format!("{} is gone", peer.address),
            (Some(state), None) => format!("{} is {}", peer.address, state.as_str()),
            (Some(state), Some(last)) => {
                format!("{} is {}, last established {}", peer.address, state.as_str(), crate::model::time::at(last))
            }
        })
        .collect();
    let (sessions, vips) = (told.join("; "), counted(waiting, "VIP lacks", "VIPs lack"));
    format!("BGP neighbor of node {node} in network-instance {instance}: {sessions}; {vips} this next-hop").into()
}

/// An announcer nobody can place.
pub(super) fn unlocated_text(node: &NodeName, view: &NodeView, instance: &NetworkInstanceName) -> Arc<str> {
    let candidates: Vec<String> = view.peers.iter().map(|peer| peer.address.to_string()).collect();
    let tried = match candidates.is_empty() {
        true => "no address of it is known".to_owned(),
        false => format!(
            "{} is neither a BGP neighbor nor an EVPN host route in network-instance {instance}",
            candidates.join(", ")
        ),
    };
    let vips = counted(view.expected_vips, "VIP", "VIPs");
    format!(
        "node {node} should announce {vips}, but {tried}: check EVPN and network-instance of the cluster, or set fabric-address of the node"
    )
    .into()
}

/// A network instance that is not there.
pub(super) fn instance_text(cluster: &ClusterName, instance: &NetworkInstanceName) -> Arc<str> {
    format!(
        "no network-instance {instance} of type default or ip-vrf is on this switch: VIPs of cluster {cluster} are not judged"
    )
    .into()
}

/// A route nobody claims.
pub(super) fn orphan_text(route: &RouteKey, view: &OrphanView) -> Arc<str> {
    let owner = view.owner.as_deref().unwrap_or("unknown owner");
    let via: Vec<String> = view.next_hops.iter().take(4).map(ToString::to_string).collect();
    let via = if via.is_empty() { "no next-hop".to_owned() } else { via.join(", ") };
    let RouteKey { network_instance, prefix } = route;
    format!("{prefix} in {network_instance} ({owner}) via {via} is inside a VIP pool, and no service claims it").into()
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
