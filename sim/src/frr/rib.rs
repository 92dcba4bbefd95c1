//! Converts bgpd's paths to a BGP RIB of the leaf.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::read::{BgpPath, Peer, Reading};
use crate::tables::{PathFate, Rib, RibPath, Route, RouteKey};

/// Returns every path of every neighbor: those in bgpd's table, and those that were received but not accepted.
pub(super) fn rib(reading: &Reading, routes: &BTreeMap<RouteKey, Route>) -> Rib {
    let mut rib = Rib::new();
    for (name, peer) in &reading.neighbors {
        for (prefix, received) in &peer.received {
            let Some(next_hop) = received.next_hop else { continue };
            let as_path = numbers(&received.path);
            let looped = as_path.contains(&peer.local_as);
            let fate = PathFate::Invalid(if looped { "as-loop" } else { "rejected-route" });
            rib.insert((*prefix, name.clone()), path(peer, next_hop, as_path, fate));
        }
    }
    for (prefix, paths) in &reading.paths {
        let best = paths.iter().find(|path| path.bestpath);
        let installed = routes.iter().find(|(key, _)| key.prefix == *prefix && key.route_type == "bgp");
        let active = installed.is_some_and(|(_, route)| route.active);
        for it in paths.iter().filter(|path| !path.history) {
            let Some((name, peer)) = reading.neighbors.get_key_value(&it.peer_id) else { continue };
            let Some(next_hop) = it.nexthops.first().map(|hop| hop.ip) else { continue };
            let fate = fate(it, best, active);
            let row = RibPath { stale: it.stale, ..path(peer, next_hop, numbers(&it.path), fate) };
            rib.insert((*prefix, name.clone()), row);
        }
    }
    rib
}

fn path(peer: &Peer, next_hop: IpAddr, as_path: Vec<u32>, fate: PathFate) -> RibPath {
    RibPath {
        next_hop,
        neighbor_as: peer.remote_as,
        as_path,
        local_preference: None,
        by_evpn: false,
        fate,
        stale: false,
    }
}

fn numbers(path: &str) -> Vec<u32> {
    path.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn fate(it: &BgpPath, best: Option<&BgpPath>, active: bool) -> PathFate {
    match it {
        BgpPath { damped: true, .. } => PathFate::Damped,
        BgpPath { valid: false, .. } => PathFate::Invalid("next-hop-unresolved"),
        BgpPath { bestpath: true, .. } if active => PathFate::Best,
        BgpPath { bestpath: true, .. } => PathFate::Unused,
        BgpPath { multipath: true, .. } if active => PathFate::Multipath,
        // Among equal paths, no attribute of the path itself decides.
        BgpPath { multipath: true, .. } => PathFate::Lost("peer-router-id"),
        _ => PathFate::Lost(best.map_or("unknown", |best| tie_break(it, best))),
    }
}

/// Returns the `tie-break-reason`. FRR only says why the best path won over the last one it was compared with, so
/// differences in the paths themselves are checked first.
fn tie_break(it: &BgpPath, best: &BgpPath) -> &'static str {
    let length = |path: &BgpPath| numbers(&path.path).len();
    if it.loc_prf != best.loc_prf {
        return "local-pref";
    }
    if length(it) != length(best) {
        return "as-path-length";
    }
    if it.origin != best.origin {
        return "origin";
    }
    match best.selection_reason.as_str() {
        "MED" => "med",
        "Peer Type" => "ebgp-route",
        "IGP Metric" => "next-hop-cost",
        "Cluster length" => "cluster-list",
        "Neighbor IP" => "peer-ip",
        "Router ID" | "Older Path" => "peer-router-id",
        _ => "unknown",
    }
}
