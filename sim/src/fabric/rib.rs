//! Computes the BGP RIB of a network instance: the paths from every session, and whether they are used.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::tables::{PathFate, Rib, RibPath, Route, RouteKey};

use super::bgp_route::{BgpRoute, Exclusion, Place, as_path, excluded};
use super::session::Session;
use super::{Fabric, config};

/// LOCAL_PREF of iBGP paths by default.
const LOCAL_PREFERENCE: u32 = 100;

/// The RIB of one network instance of one leaf.
pub(super) fn rib(
    fabric: &Fabric,
    place: &Place,
    sessions: &[Session<'_>],
    selected: Option<&BTreeMap<IpNet, BgpRoute>>,
    routes: &BTreeMap<RouteKey, Route>,
) -> Rib {
    let mut rib = Rib::new();
    for session in sessions {
        for prefix in &session.announced {
            let route = selected.and_then(|selected| selected.get(prefix));
            let path = RibPath {
                next_hop: session.address,
                neighbor_as: session.peer_as,
                as_path: as_path(fabric, session),
                local_preference: (!session.is_ebgp()).then_some(LOCAL_PREFERENCE),
                by_evpn: false,
                fate: fate(fabric, place, session, *prefix, route, routes),
                stale: session.stale,
            };
            rib.insert((*prefix, session.key.peer.clone()), path);
        }
    }
    rib.extend(by_evpn(fabric, place, routes));
    rib
}

/// Returns the EVPN routes of the route table, which are also paths of the local RIB.
fn by_evpn(
    fabric: &Fabric,
    place: &Place,
    routes: &BTreeMap<RouteKey, Route>,
) -> impl Iterator<Item = ((IpNet, String), RibPath)> {
    let own = config_as(fabric, place);
    let routes = routes.iter().filter(|(key, _)| key.route_type == "bgp-evpn");
    routes.filter_map(move |(key, route)| {
        let next_hop = route.next_hops.iter().find_map(|hop| match hop {
            crate::tables::NextHop::Vxlan { vtep } => Some(*vtep),
            _ => None,
        })?;
        let unspecified = if key.prefix.addr().is_ipv4() { "0.0.0.0" } else { "::" };
        let path = RibPath {
            next_hop,
            neighbor_as: own,
            as_path: Vec::new(),
            local_preference: Some(LOCAL_PREFERENCE),
            by_evpn: true,
            fate: if route.active { PathFate::Best } else { PathFate::Lost("rtm-pref") },
            stale: false,
        };
        Some(((key.prefix, unspecified.to_owned()), path))
    })
}

fn config_as(fabric: &Fabric, place: &Place) -> u32 {
    let config: Option<&config::NetworkInstanceConfig> = fabric.config.network_instances.get(&place.1);
    config.and_then(|config| config.bgp.as_ref()).map_or(0, |bgp| bgp.as_of(&place.0))
}

/// Returns whether a path is used, and why not.
fn fate(
    fabric: &Fabric,
    place: &Place,
    session: &Session<'_>,
    prefix: IpNet,
    route: Option<&BgpRoute>,
    routes: &BTreeMap<RouteKey, Route>,
) -> PathFate {
    match excluded(fabric, place, session, prefix) {
        Some(Exclusion::Rejected) => return PathFate::Invalid("rejected-route"),
        Some(Exclusion::AsLoop) => return PathFate::Invalid("as-loop"),
        Some(Exclusion::Unresolved) => return PathFate::Invalid("next-hop-unresolved"),
        Some(Exclusion::Damped) => return PathFate::Damped,
        Some(Exclusion::FibDisabled) => return PathFate::FibDisabled,
        None => {}
    }
    // A leaked prefix is selected in the other network instance.
    let Some(route) = route else { return PathFate::Best };
    let position = route.addresses().position(|address| address == session.address);
    let Some(position) = position else { return PathFate::Lost(route.why_lost(fabric, session)) };
    let installed = routes.iter().find(|(key, _)| key.prefix == prefix && key.route_type == "bgp");
    match (installed, position) {
        // If preferences tie, EVPN's path has won within BGP, because its AS path is empty.
        (None, 0) => PathFate::Lost("as-path-length"),
        (None, _) => PathFate::Lost("peer-router-id"),
        (Some((_, installed)), 0) if !installed.active => PathFate::Unused,
        (Some(_), 0) => PathFate::Best,
        (Some((_, installed)), _) if !installed.active => PathFate::Lost("peer-router-id"),
        (Some(_), _) => PathFate::Multipath,
    }
}
