//! Judges evidence by a table in which the first match wins.

use super::evidence::{Evidence, Gate, Hop, Matched};
use crate::model::verdict::{Announcement, FibStatus, NextHopKind, OperState, Reason, Vantage};

/// One row of the table.
pub(crate) struct Row {
    when: fn(&Evidence) -> bool,
    state: OperState,
    reason: Reason,
}

const fn row(state: OperState, reason: Reason, when: fn(&Evidence) -> bool) -> Row {
    Row { when, state, reason }
}

use OperState::{Degraded, Down, Unknown, Up};

/// The rows, in order. Evidence that matches none is up, without a reason.
pub(crate) const ROWS: [Row; 34] = [
    row(Unknown, Reason::Syncing, |e| matches!(e.gate, Gate::Syncing(_))),
    row(Unknown, Reason::SwitchStale, |e| matches!(e.gate, Gate::SwitchStale(_))),
    row(Unknown, Reason::NetworkInstanceMissing, |e| matches!(e.gate, Gate::InstanceMissing(_))),
    row(Down, Reason::AddressPending, |e| e.vip.is_none()),
    row(Unknown, Reason::IntentStale, |e| e.intent_stale.is_some()),
    row(Down, Reason::NoReadyEndpoint, |e| e.is_unserved() && !e.global),
    // Endpoints of other clusters of the mesh may serve what is announced.
    row(Unknown, Reason::NoReadyEndpoint, |e| e.is_unserved() && e.route.is_some()),
    row(Down, Reason::NoRoute, Evidence::is_unserved),
    row(Unknown, Reason::ArpUnresolved, |e| e.unresolved),
    // Two hosts answer ARP or ND for it, and which of them flows go to changes.
    row(Degraded, Reason::AddressConflict, |e| e.contested.is_some()),
    // Flows follow a prefix to another leaf: where they end is not known here.
    row(Degraded, Reason::NoAnnouncer, |e| e.followed && nobody_announces(e)),
    row(Down, Reason::NoAnnouncer, nobody_announces),
    row(Degraded, Reason::WrongNetworkInstance, |e| e.followed && stands_elsewhere(e)),
    row(Down, Reason::WrongNetworkInstance, stands_elsewhere),
    row(Degraded, Reason::SessionDown, |e| e.followed && all_attached_sessions_down(e)),
    row(Down, Reason::SessionDown, all_attached_sessions_down),
    row(Degraded, Reason::NoRoute, |e| e.followed && e.route.is_none()),
    row(Down, Reason::NoRoute, |e| e.route.is_none()),
    row(Down, Reason::RouteNotProgrammed, |e| {
        e.route.as_ref().is_some_and(|route| route.view.fib == FibStatus::Failed)
    }),
    row(Unknown, Reason::Syncing, |e| e.awaited.is_some() && e.installed().any(Hop::is_unexplained)),
    row(Down, Reason::NextHopUnexpected, |e| !e.installed().any(|hop| hop.serves || hop.may_serve)),
    row(Degraded, Reason::AddressConflict, |e| e.conflict.is_some()),
    row(Unknown, Reason::NextHopUnmapped, |e| e.unsure),
    row(Degraded, Reason::SessionDown, |e| e.absent().any(|hop| hop.session.is_down())),
    row(Degraded, Reason::LocalPathUnused, local_path_unused),
    row(Degraded, Reason::EcmpLimited, |e| e.absent().next().is_some() && at_ecmp_limit(e)),
    row(Degraded, Reason::NextHopMissing, |e| e.absent().next().is_some()),
    row(Degraded, Reason::NextHopUnexpected, |e| e.installed().any(Hop::is_lost)),
    row(Degraded, Reason::NextHopUnexpected, |e| e.misplaced.is_some()),
    // The route is only kept, by a node that may be dead.
    row(Unknown, Reason::SessionDown, |e| e.installed().any(|hop| is_kept(e, hop))),
    row(Unknown, Reason::NextHopUnmapped, |e| {
        let unsure = e.local_policy || e.endpoints.usable == 0;
        e.installed().any(|hop| hop.doubtful || hop.may_serve && unsure)
    }),
    // Endpoints of another cluster serve it.
    row(Up, Reason::NoReadyEndpoint, |e| e.endpoints.usable == 0),
    row(Up, Reason::NextHopUnmapped, |e| e.installed().any(|hop| hop.may_serve)),
    row(Up, Reason::CoveredByAggregate, |e| e.route.as_ref().is_some_and(|route| !route.is_host())),
];

/// Returns state and reason for the evidence.
pub(crate) fn judge(evidence: &Evidence) -> (OperState, Option<Reason>) {
    let row = ROWS.iter().find(|row| (row.when)(evidence));
    row.map_or((Up, None), |row| (row.state, Some(row.reason)))
}

/// Returns `Local` if at least one announcer is attached here.
pub(crate) fn vantage(evidence: &Evidence) -> Option<Vantage> {
    match evidence.expectation.announcers {
        _ if evidence.announcement == Some(Announcement::L2) => {
            let hop = evidence.installed().next()?;
            Some(if hop.kind == NextHopKind::Vtep { Vantage::Remote } else { Vantage::Local })
        }
        0 => None,
        _ if evidence.expectation.attached.is_empty() => Some(Vantage::Remote),
        _ => Some(Vantage::Local),
    }
}

/// Returns whether a next-hop is of a route that is only kept (the session that brought it is down), while nothing
/// shows that the next-hop is alive.
fn is_kept(evidence: &Evidence, hop: &Hop) -> bool {
    let written = evidence.route.as_ref().is_some_and(Matched::is_static);
    let by_session = !written && evidence.announcement != Some(Announcement::L2);
    hop.doubtful && hop.kind == NextHopKind::Local && by_session
}

fn nobody_announces(evidence: &Evidence) -> bool {
    evidence.expectation.is_nobodys() && evidence.route.is_none()
}

fn stands_elsewhere(evidence: &Evidence) -> bool {
    evidence.route.is_none() && evidence.elsewhere.is_some()
}

/// Returns whether there is no route, and every attached announcer's session is down.
fn all_attached_sessions_down(evidence: &Evidence) -> bool {
    let mut local = evidence.expected().filter(|hop| hop.kind == NextHopKind::Local).peekable();
    evidence.route.is_none()
        && !evidence.expectation.attached.is_empty()
        && local.peek().is_some()
        && local.all(|hop| hop.session.is_down())
}

/// Returns whether every attached announcer is absent, and the route goes to remote leaves.
fn local_path_unused(evidence: &Evidence) -> bool {
    let local = !evidence.expectation.attached.is_empty() && evidence.expected().next().is_some();
    let evpn = evidence.route.as_ref().is_some_and(Matched::is_evpn);
    local
        && evidence.expected().all(|hop| !hop.installed)
        && (evpn || evidence.installed().any(|hop| hop.kind == NextHopKind::Vtep))
}

pub(crate) fn at_ecmp_limit(evidence: &Evidence) -> bool {
    evidence.ecmp_limit.is_some_and(|limit| evidence.installed().count() as u32 == limit)
}

/// Returns state and reason of one next-hop.
pub(crate) fn next_hop_verdict(evidence: &Evidence, hop: &Hop) -> (OperState, Option<Reason>) {
    if matches!(evidence.gate, Gate::SwitchStale(_)) {
        return (Unknown, None);
    }
    match (hop.installed, hop.expected) {
        (true, _) if hop.doubtful && !is_kept(evidence, hop) => (Unknown, Some(Reason::NextHopUnmapped)),
        (true, _) if hop.may_serve && evidence.local_policy => (Unknown, Some(Reason::NextHopUnmapped)),
        (true, _) if hop.may_serve => (Up, Some(Reason::NextHopUnmapped)),
        // Announced by design with nothing to serve; the reason is in the VIP's verdict.
        (true, true) if evidence.endpoints.usable == 0 && !hop.serves => (Down, None),
        (true, _) if hop.doubtful => (Unknown, Some(Reason::SessionDown)),
        (true, _) if !hop.serves => (Down, Some(Reason::NextHopUnexpected)),
        (true, true) => (Up, None),
        (true, false) => (Up, Some(Reason::NextHopUnexpected)),
        (false, _) if hop.session.is_down() => (Down, Some(Reason::SessionDown)),
        (false, _) if at_ecmp_limit(evidence) => (Degraded, Some(Reason::EcmpLimited)),
        (false, _) => (Down, Some(Reason::NextHopMissing)),
    }
}
