//! From views to conditions: what is wrong, how bad it is, whose it is, and what it shares with others.

use std::sync::Arc;

use super::words;
use crate::model::alarm::{AlarmType, ClearedBecause, Resource, Severity};
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::SessionState;
use crate::model::verdict::{
    Announcement, AttachmentState, FibStatus, NextHopKind, NodeReason, OperState, Owner, ProbableCause, Reason,
};
use crate::model::view::{NextHopView, NodeView, ServiceView, Verdict, VipView};

/// What is known of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Something is wrong with it.
    Fault(Arc<Fault>),
    /// It is well, and why that is.
    Well(ClearedBecause),
    /// Nothing is known: an alarm it has stays, none is raised.
    Unknown,
}

/// What is wrong with a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: AlarmType,
    pub(super) severity: Severity,
    pub(super) owner: Owner,
    /// The verdict's reason, of a VIP or service.
    pub(super) reason: Option<Reason>,
    pub(super) share: Share,
    /// The text of an alarm about this resource alone.
    pub(super) text: Arc<str>,
    /// The same without its subject, for the text of an alarm that stands for several.
    pub(super) detail: Arc<str>,
    /// Sessions that explain all that is wrong with the VIP; empty where something else is wrong, too.
    pub(super) explained_by: Box<[Explanation]>,
    /// The cause the switch reports.
    pub(super) cause: Option<ProbableCause>,
}

/// A node whose session explains an absent next-hop, as long as that session has an alarm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Explanation {
    pub(super) node: NodeName,
    /// The session is up again: routes may take a moment, until the alarm is cleared.
    pub(super) recovering: bool,
}

/// What a fault has in common with others of its cause: two that share become one alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Nothing.
    Alone,
    /// The resource that has the cause, or is the widest that it reaches.
    With(Resource),
    /// The same, and it stays in that alarm when it is alone again.
    May(Resource),
    /// The first if every one of these nodes announces nothing though its session is up; else the second.
    IfSilent(Box<[NodeName]>, Resource, Resource),
}

/// The condition of a VIP. `heard`: every source of the switch is, so that what is not known now was not known before.
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

/// The alarm a VIP's verdict calls for.
fn vip_alarm(vip: &VipView) -> Option<(AlarmType, Reason)> {
    use AlarmType::*;
    use OperState::{Degraded, Down};
    let reason = vip.verdict.reason?;
    let l2 = vip.announcement == Some(Announcement::L2);
    let kind = match (vip.verdict.state, reason) {
        (Down, Reason::NoAnnouncer) if vip.by_design => return None,
        // No BGP route is missed.
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

/// The condition of a verdict that calls for no alarm.
fn of_well_or_unknown(verdict: &Verdict, heard: bool) -> Condition {
    match (verdict.state, verdict.reason) {
        // Endpoints in other clusters may serve it (ClusterMesh): never an alarm, so that an old one ends.
        (OperState::Unknown, Some(Reason::NoReadyEndpoint)) => Condition::Well(ClearedBecause::Well),
        // There is a route again, and no next-hop of it is known to lose flows; or the entry that lost them is gone.
        (OperState::Unknown, Some(Reason::NextHopUnmapped | Reason::SessionDown | Reason::ArpUnresolved)) if heard => {
            Condition::Well(ClearedBecause::NotKnown)
        }
        (OperState::Unknown, _) => Condition::Unknown,
        _ => Condition::Well(ClearedBecause::Well),
    }
}

fn severity(kind: AlarmType, reason: Reason, service: &ServiceView, vip: &VipView) -> Severity {
    match kind {
        // Only a service that other clusters may serve is missed without an endpoint here.
        AlarmType::VipRouteMissing if reason == Reason::NoRoute && service.usable_endpoints == 0 => Severity::Minor,
        AlarmType::VipRouteMissing if vip.verdict.state == OperState::Degraded => Severity::Major,
        kind => kind.severity(),
    }
}

/// What a VIP's fault has in common with those of other VIPs, by what the switch can see of its cause.
fn share_of_vip(cluster: &ClusterName, service: &ServiceKey, vip: &VipView, reason: Reason) -> Share {
    let of_cluster = || Resource::Cluster(cluster.clone());
    let of_service = || Resource::Service(cluster.clone(), service.clone());
    match reason {
        Reason::NextHopUnexpected => Share::With(of_service()),
        Reason::AddressConflict => Share::With(Resource::Address(vip.network_instance.clone(), vip.address)),
        Reason::SessionDown | Reason::NextHopMissing | Reason::LocalPathUnused => {
            Share::With(one_node(cluster, vip.absent()).unwrap_or_else(of_cluster))
        }
        // None of its announcers is located: that is not about one service.
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

/// The node, where all of the next-hops are ways to one.
fn one_node<'a>(cluster: &ClusterName, mut hops: impl Iterator<Item = &'a NextHopView>) -> Option<Resource> {
    let node = hops.next()?.node.as_ref()?;
    let same = hops.all(|hop| hop.node.as_ref() == Some(node));
    same.then(|| Resource::Node(cluster.clone(), node.clone()))
}

/// The sessions that explain everything that is wrong with the next-hops; empty where something else is wrong, too.
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

/// The condition of a service itself: that it has no address.
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
        // Before the first sync a service without an address says as little as one with.
        Some(Reason::Syncing | Reason::SwitchStale) => Condition::Unknown,
        _ => Condition::Well(ClearedBecause::Well),
    }
}

/// The FIB may have failed still: whether it is programmed is not known.
pub(super) fn fib_is_unknown(vip: &VipView) -> bool {
    vip.route.as_ref().is_some_and(|route| route.fib == FibStatus::Unknown)
}

/// Nodes whose session a VIP waits for.
pub(super) fn waits_for(vip: &VipView) -> impl Iterator<Item = &NodeName> {
    vip.next_hops.iter().filter(|hop| hop.reason == Some(Reason::SessionDown)).filter_map(|hop| hop.node.as_ref())
}

/// An unlocated announcer may be behind a next-hop that no node explains.
pub(super) fn is_unmapped(vip: &VipView) -> bool {
    vip.verdict.state != OperState::Unknown
        && vip.next_hops.iter().any(|hop| hop.reason == Some(Reason::NextHopUnmapped))
}

/// A session of the node is down.
pub(super) fn is_session_down(node: &NodeView) -> bool {
    node.reason == Some(NodeReason::SessionDown)
}

/// The node should announce VIPs.
pub(super) fn is_announcer(node: &NodeView) -> bool {
    node.expected_vips > 0
}

/// An announcer that cannot be located.
pub(super) fn is_unlocated(node: &NodeView) -> bool {
    is_announcer(node) && node.reason == Some(NodeReason::NodeAddressUnknown)
}

/// An announcer that is located.
pub(super) fn is_located(node: &NodeView) -> bool {
    is_announcer(node) && node.attachment != AttachmentState::Unknown
}

/// An announcer with a session on this leaf, up or down.
pub(super) fn is_attached(node: &NodeView) -> bool {
    is_announcer(node) && node.attachment == AttachmentState::Attached
}

/// An announcer that announces none of its VIPs though its session is up.
pub(super) fn is_silent(node: &NodeView) -> bool {
    is_announcer(node) && node.reason == Some(NodeReason::NoVipReceived)
}

/// Nothing is known of the node's session.
pub(super) fn is_unknown(node: &NodeView) -> bool {
    match node.reason {
        None => node.state == OperState::Unknown,
        Some(reason) => reason == NodeReason::Syncing,
    }
}
