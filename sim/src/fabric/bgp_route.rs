//! The BGP route of a prefix on a leaf, and which of the announced paths may be part of it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::NextHop;

use super::session::Session;
use super::{Fabric, Lever};

/// Leaf and network instance.
pub(super) type Place = (String, String);

/// The BGP route of a prefix on a leaf.
#[derive(Clone, Debug)]
pub(super) struct BgpRoute {
    pub(super) preference: u8,
    pub(super) next_hops: Vec<NextHop>,
    pub(super) ebgp: bool,
    /// Length of the AS path of its paths.
    pub(super) length: usize,
}

impl BgpRoute {
    /// Returns the next-hops of its paths.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.next_hops.iter().filter_map(|hop| match hop {
            NextHop::Indirect { address, .. } => Some(*address),
            _ => None,
        })
    }

    /// Returns why a path that the route does not use lost.
    pub(super) fn why_lost(&self, fabric: &Fabric, session: &Session<'_>) -> &'static str {
        if as_path(fabric, session).len() > self.length { "as-path-length" } else { "multi-path" }
    }
}

/// Why a path is not compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exclusion {
    /// An import policy rejects it.
    Rejected,
    /// The leaf's own AS number is in its AS path.
    AsLoop,
    /// Its next-hop is unreachable.
    Unresolved,
    /// It is suppressed by route flap damping.
    Damped,
    /// Configuration keeps it out of the route table.
    FibDisabled,
}

/// Returns why a leaf excludes what a session announces, or `None` if it does not.
pub(super) fn excluded(fabric: &Fabric, place: &Place, session: &Session<'_>, prefix: IpNet) -> Option<Exclusion> {
    let pulled = |kind: fn(&Lever) -> bool| session.of_services && fabric.node_lever(&session.node, kind);
    if import_target(fabric, place, prefix).is_none() {
        Some(Exclusion::Rejected)
    } else if pulled(|lever| matches!(lever, Lever::AsLoop { .. })) {
        Some(Exclusion::AsLoop)
    } else if pulled(|lever| matches!(lever, Lever::NextHopUnresolved { .. })) {
        Some(Exclusion::Unresolved)
    } else if pulled(|lever| matches!(lever, Lever::Damped { .. })) {
        Some(Exclusion::Damped)
    } else if pulled(|lever| matches!(lever, Lever::FibDisabled { .. })) {
        Some(Exclusion::FibDisabled)
    } else {
        None
    }
}

/// Returns the place into which an import policy puts a prefix, or `None` if it rejects the prefix.
pub(super) fn import_target(fabric: &Fabric, place: &Place, prefix: IpNet) -> Option<Place> {
    let (leaf, instance) = place;
    let leaked = fabric.levers().find_map(|lever| match lever {
        Lever::Leaked { leaf: on, prefix: only, network_instance } if on == leaf && *only == prefix => {
            Some(network_instance.clone())
        }
        _ => None,
    });
    let rejected = fabric.pulled(&Lever::PolicyReject { leaf: leaf.clone(), prefix });
    (!rejected).then(|| (leaf.clone(), leaked.unwrap_or_else(|| instance.clone())))
}

/// Returns the AS path of a session's announcements: empty for iBGP, the neighbor's AS number for eBGP, plus prepended
/// ones.
pub(super) fn as_path(fabric: &Fabric, session: &Session<'_>) -> Vec<u32> {
    let prepended =
        session.of_services && fabric.node_lever(&session.node, |lever| matches!(lever, Lever::AsPathLonger { .. }));
    let times = usize::from(session.is_ebgp()) + 2 * usize::from(prepended);
    vec![session.peer_as; times]
}
