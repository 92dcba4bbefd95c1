//! Turns views into conditions: what is wrong, how bad it is, whose it is, and what it shares with others.

use std::sync::Arc;

use super::words;
use crate::model::alarm::{AlarmType, ClearedBecause, Resource, Severity};
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::SessionState;
use crate::model::verdict::{
    Announcement, AttachmentState, FibStatus, NextHopKind, NodeReason, OperState, Owner, ProbableCause, Reason,
};
use crate::model::view::{NextHopView, NodeView, ServiceView, Verdict, VipView};

/// The condition of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Something is wrong with it.
    Fault(Arc<Fault>),
    /// Nothing is wrong with it, for this reason.
    Well(ClearedBecause),
    /// Nothing is known: an existing alarm stays, and none is raised.
    Unknown,
}

/// What is wrong with a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: AlarmType,
    pub(super) severity: Severity,
    pub(super) owner: Owner,
    /// The verdict's reason, for a VIP or service.
    pub(super) reason: Option<Reason>,
    pub(super) share: Share,
    /// The text of an alarm about this resource alone.
    pub(super) text: Arc<str>,
    /// The text without its subject, for an alarm that stands for several resources.
    pub(super) detail: Arc<str>,
    /// Sessions that explain everything that is wrong with the VIP; empty if something else is wrong, too.
    pub(super) explained_by: Box<[Explanation]>,
    /// The cause that the switch reports.
    pub(super) cause: Option<ProbableCause>,
}

/// A node whose session explains an absent next-hop while that session has an alarm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Explanation {
    pub(super) node: NodeName,
    /// Whether the session is up again: its routes may take a moment, and are explained until the alarm is cleared.
    pub(super) recovering: bool,
}

/// What a fault has in common with others of its cause: two faults that share become one alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Nothing.
    Alone,
    /// The resource that has the cause, or is the widest that the cause reaches.
    With(Resource),
    /// Like `With`, but the resource stays in the shared alarm when its fault is `Alone` again.
    May(Resource),
    /// The first resource if none of these nodes announces anything although its session is up; otherwise the second.
    IfSilent(Box<[NodeName]>, Resource, Resource),
}

/// Returns the condition of a VIP. `heard`: whether every source of the switch is heard, so that what is not known now
/// is not unknown because of a lost source.
pub(super) fn of_vip(
    cluster: &ClusterName,
    service: &ServiceKey,
    view: &ServiceView,
    vip: &VipView,
    heard: bool,
) -> Condition {
    let Some((kind, reason)) = vip_alarm(vip) else { return of_well_or_unknown(&vip.verdict, heard) };
    let degraded = kind == AlarmType::VipDegraded;
    let detail = words::detail(&vip.verdict);
    Condition::Fault(Arc::new(Fault {
        kind,
        severity: severity(kind, reason, view, vip),
        owner: reason.owner().unwrap_or(Owner::Network),
        reason: Some(reason),
        share: share_of_vip(cluster, service, vip, reason),
        text: words::vip(cluster, service, vip.address, &detail),
        detail,
        explained_by: if degraded { explained_by(vip) } else { Box::default() },
        cause: vip.cause.as_ref().map(|cause| cause.probable),
    }))
}

/// Returns the alarm that a VIP's verdict requires.
fn vip_alarm(vip: &VipView) -> Option<(AlarmType, Reason)> {
    use AlarmType::*;
    use OperState::{Degraded, Down};
    let reason = vip.verdict.reason?;
    let l2 = vip.announcement == Some(Announcement::L2);
    let kind = match (vip.verdict.state, reason) {
        (Down, Reason::NoAnnouncer) if vip.by_design => return None,
        // A VIP announced by ARP or ND has no BGP route that could be missing.
        (Down, Reason::NoRoute | Reason::WrongNetworkInstance) if l2 => VipBlackholed,
        (Degraded, Reason::NoRoute | Reason::WrongNetworkInstance) if l2 => VipDegraded,
        // Degraded without a route: flows follow a covering prefix that is not the VIP's.
        (Down | Degraded, Reason::WrongNetworkInstance | Reason::NoRoute) => VipRouteMissing,
        (Down, Reason::SessionDown) => VipRouteMissing,
        (Degraded, Reason::SessionDown) if vip.route.is_none() => VipRouteMissing,
        (Down, Reason::RouteNotProgrammed | Reason::NextHopUnexpected) => VipBlackholed,
        (Down, Reason::NoReadyEndpoint) => VipNoEndpoint,
        (Down | Degraded, Reason::NoAnnouncer) => VipNotAnnounced,
        (Degraded, Reason::AddressConflict) => VipAddressConflict,
        (Down, Reason::AddressPending) => return None,
        (Degraded | Down, _) => VipDegraded,
        (OperState::Up | OperState::Unknown, _) => return None,
    };
    Some((kind, reason))
}

/// Returns the condition for a verdict that requires no alarm.
fn of_well_or_unknown(verdict: &Verdict, heard: bool) -> Condition {
    match (verdict.state, verdict.reason) {
        // Endpoints in other clusters may serve it (ClusterMesh), so that there is no alarm, and an old one ends.
        (OperState::Unknown, Some(Reason::NoReadyEndpoint)) => Condition::Well(ClearedBecause::Well),
        // There is a route again, and none of its next-hops is known to lose flows; or the entry that lost them is
        // gone.
        (OperState::Unknown, Some(Reason::NextHopUnmapped | Reason::SessionDown | Reason::ArpUnresolved)) if heard => {
            Condition::Well(ClearedBecause::NotKnown)
        }
        (OperState::Unknown, _) => Condition::Unknown,
        _ => Condition::Well(ClearedBecause::Well),
    }
}

fn severity(kind: AlarmType, reason: Reason, service: &ServiceView, vip: &VipView) -> Severity {
    match kind {
        // Without an endpoint here, only a service that other clusters may serve can miss its route.
        AlarmType::VipRouteMissing if reason == Reason::NoRoute && service.usable_endpoints == 0 => Severity::Minor,
        AlarmType::VipRouteMissing if vip.verdict.state == OperState::Degraded => Severity::Major,
        kind => kind.severity(),
    }
}

/// Returns what a VIP's fault has in common with those of other VIPs, by what the switch can see of its cause.
fn share_of_vip(cluster: &ClusterName, service: &ServiceKey, vip: &VipView, reason: Reason) -> Share {
    let of_cluster = || Resource::Cluster(cluster.clone());
    let of_service = || Resource::Service(cluster.clone(), service.clone());
    match reason {
        Reason::NextHopUnexpected => Share::With(of_service()),
        Reason::AddressConflict => Share::With(Resource::Address(vip.network_instance.clone(), vip.address)),
        Reason::SessionDown | Reason::NextHopMissing | Reason::LocalPathUnused => {
            Share::With(one_node(cluster, vip.absent()).unwrap_or_else(of_cluster))
        }
        // None of its announcers is located, which concerns more than one service.
        Reason::NoRoute if vip.expected == 0 => Share::With(of_cluster()),
        Reason::NoRoute if vip.absent().all(|hop| hop.kind == NextHopKind::Vtep) => {
            Share::With(one_node(cluster, vip.absent()).unwrap_or_else(of_cluster))
        }
        Reason::NoRoute => {
            let silent = one_node(cluster, vip.absent()).unwrap_or_else(of_cluster);
            let nodes = vip.absent().filter_map(|hop| hop.node.clone()).collect();
            Share::IfSilent(nodes, silent, of_service())
        }
        _ => Share::With(of_cluster()),
    }
}

/// Returns the node, if all of the next-hops lead to a single one.
fn one_node<'a>(cluster: &ClusterName, mut hops: impl Iterator<Item = &'a NextHopView>) -> Option<Resource> {
    let node = hops.next()?.node.as_ref()?;
    let same = hops.all(|hop| hop.node.as_ref() == Some(node));
    same.then(|| Resource::Node(cluster.clone(), node.clone()))
}

/// Returns the sessions that explain everything that is wrong with the next-hops; none if something else is wrong, too.
fn explained_by(vip: &VipView) -> Box<[Explanation]> {
    let wrong = |hop: &&NextHopView| matches!(hop.state, OperState::Down | OperState::Degraded);
    let explanation = |hop: &NextHopView| {
        let recovering = match hop.reason {
            Some(Reason::SessionDown) => false,
            Some(Reason::NextHopMissing) if hop.kind == NextHopKind::Local => {
                hop.session == Some(SessionState::Established)
            }
            _ => return None,
        };
        Some(Explanation { node: hop.node.clone()?, recovering })
    };
    let all: Option<Vec<_>> = vip.next_hops.iter().filter(wrong).map(explanation).collect();
    let mut all = all.unwrap_or_default();
    all.sort_unstable();
    all.dedup();
    all.into()
}

/// Returns the condition of a service itself: whether it has an address.
pub(super) fn of_service(cluster: &ClusterName, key: &ServiceKey, view: &ServiceView) -> Condition {
    match view.verdict.reason {
        Some(reason @ Reason::AddressPending) => {
            let detail = words::detail(&view.verdict);
            Condition::Fault(Arc::new(Fault {
                kind: AlarmType::VipAddressPending,
                severity: AlarmType::VipAddressPending.severity(),
                owner: reason.owner().unwrap_or(Owner::Cluster),
                reason: Some(reason),
                share: Share::With(Resource::Cluster(cluster.clone())),
                text: words::service(cluster, key, &detail),
                detail,
                explained_by: Box::default(),
                cause: None,
            }))
        }
        // Before the first sync nothing is known about a service, whether it has an address or not.
        Some(Reason::Syncing | Reason::SwitchStale) => Condition::Unknown,
        _ => Condition::Well(ClearedBecause::Well),
    }
}

/// Returns whether it is unknown if the FIB is programmed, so that it may still have failed.
pub(super) fn fib_is_unknown(vip: &VipView) -> bool {
    vip.route.as_ref().is_some_and(|route| route.fib == FibStatus::Unknown)
}

/// Returns the nodes whose sessions a VIP waits for.
pub(super) fn waits_for(vip: &VipView) -> impl Iterator<Item = &NodeName> {
    vip.next_hops.iter().filter(|hop| hop.reason == Some(Reason::SessionDown)).filter_map(|hop| hop.node.as_ref())
}

/// Returns whether an unlocated announcer may be behind a next-hop that is not known as a node's.
pub(super) fn is_unmapped(vip: &VipView) -> bool {
    vip.verdict.state != OperState::Unknown
        && vip.next_hops.iter().any(|hop| hop.reason == Some(Reason::NextHopUnmapped))
}

/// Returns whether a session of the node is down.
pub(super) fn is_session_down(node: &NodeView) -> bool {
    node.reason == Some(NodeReason::SessionDown)
}

/// Returns whether the node should announce VIPs.
pub(super) fn is_announcer(node: &NodeView) -> bool {
    node.expected_vips > 0
}

/// Returns whether the node is an announcer that cannot be located.
pub(super) fn is_unlocated(node: &NodeView) -> bool {
    is_announcer(node) && node.reason == Some(NodeReason::NodeAddressUnknown)
}

/// Returns whether the node is an announcer that is located.
pub(super) fn is_located(node: &NodeView) -> bool {
    is_announcer(node) && node.attachment != AttachmentState::Unknown
}

/// Returns whether the node is an announcer with a session on this leaf, up or down.
pub(super) fn is_attached(node: &NodeView) -> bool {
    is_announcer(node) && node.attachment == AttachmentState::Attached
}

/// Returns whether the node is an announcer that announces none of its VIPs although its session is up.
pub(super) fn is_silent(node: &NodeView) -> bool {
    is_announcer(node) && node.reason == Some(NodeReason::NoVipReceived)
}

/// Returns whether nothing is known about the node's session.
pub(super) fn is_unknown(node: &NodeView) -> bool {
    match node.reason {
        None => node.state == OperState::Unknown,
        Some(reason) => reason == NodeReason::Syncing,
    }
}
