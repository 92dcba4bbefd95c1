//! Converts the state of an FRR to the tables of a leaf: a pure function, except for the history of sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::FrrOptions;
use super::read::{BfdPeer, Peer, PeerFamily, Reading, RibNextHop, RibRoute, is_link_local};
use super::rib::rib;
use super::words::Words;
use crate::fabric::{empty_instance, subnet};
use crate::tables::{AfiSafi, BfdSession, Fib, Neighbor, NetworkInstance, NextHop, Route, RouteKey, SessionRecord};

/// Metric of static routes on SR Linux.
const STATIC_METRIC: u32 = 1;

/// History of sessions. FRR only says how many whole seconds a session has been up, so times computed from that would
/// vary between readings.
#[derive(Debug, Default)]
pub(super) struct History(BTreeMap<String, Session>);

#[derive(Debug, Default)]
struct Session {
    established: bool,
    transitions: u64,
    last_transition: Option<String>,
    words: Words,
}

impl History {
    /// Records a session's current state. Returns when it last came up or went down, and its record.
    fn note(&mut self, name: &str, peer: &Peer, established: bool, now: Timestamp) -> (Option<String>, SessionRecord) {
        let transitions = peer.connections_established;
        let session = self.0.entry(name.to_owned()).or_default();
        if (session.established, session.transitions) != (established, transitions) {
            (session.established, session.transitions) = (established, transitions);
            session.last_transition = Some(format!("{now:.3}"));
        }
        (session.last_transition.clone(), session.words.note(peer, now))
    }
}

/// Returns the network instance for an FRR.
pub(super) fn instance(
    options: &FrrOptions,
    reading: &Reading,
    history: &mut History,
    now: Timestamp,
) -> NetworkInstance {
    let mut instance = empty_instance(options.id, options.kind);
    instance.router_id = reading.neighbors.values().find_map(|peer| peer.local_router_id);
    instance.routes = routes(options, reading);
    let sessions = reading.neighbors.iter().filter(|(_, peer)| peer.bgp_state != "Deleted");
    for (name, peer) in sessions.clone() {
        instance.neighbors.insert(name.clone(), neighbor(name, peer, &instance.routes, history, now));
    }
    instance.rib = rib(reading, &instance.routes);
    let present: BTreeSet<&String> = sessions.map(|(name, _)| name).collect();
    history.0.retain(|name, _| present.contains(name));
    let below = options.below.iter().filter_map(|below| options.subinterfaces.get(&below.bridge));
    instance.segment.subinterfaces = below.map(|gateway| (gateway.name.clone(), None)).collect();
    instance.bfd = reading.bfd.iter().filter_map(bfd).collect();
    instance
}

fn routes(options: &FrrOptions, reading: &Reading) -> BTreeMap<RouteKey, Route> {
    let selected = selected(reading);
    let mut routes = BTreeMap::new();
    for (prefix, said) in &reading.routes {
        for route in said {
            if route.protocol == "connected" {
                routes.extend(connected(options, reading, *prefix, route));
            } else if let Some((key, route)) = learned(*prefix, route, &selected) {
                // There may be two routes of one protocol: zebra keeps the one that is being removed for a moment.
                let known: Option<&Route> = routes.get(&key);
                if known.is_none_or(|known| !known.active) {
                    routes.insert(key, route);
                }
            }
        }
    }
    routes
}

/// Returns type and owner of a route, or `None` if the leaf does not have this kind of route.
fn kind(protocol: &str) -> Option<(&'static str, &'static str)> {
    match protocol {
        "bgp" => Some(("bgp", "bgp_mgr")),
        "static" => Some(("static", "static_route_mgr")),
        "kernel" => Some(("linux", "linux_mgr")),
        "connected" => Some(("local", "net_inst_mgr")),
        _ => None,
    }
}

/// The selected route of every prefix, with its type and owner.
type Selected = BTreeMap<IpNet, (&'static str, &'static str)>;

fn selected(reading: &Reading) -> Selected {
    let best = |(prefix, routes): (&IpNet, &Vec<RibRoute>)| {
        let route = routes.iter().find(|route| route.selected)?;
        Some((*prefix, kind(&route.protocol)?))
    };
    reading.routes.iter().filter_map(best).collect()
}

fn learned(prefix: IpNet, said: &RibRoute, selected: &Selected) -> Option<(RouteKey, Route)> {
    let (route_type, owner) = kind(&said.protocol)?;
    let given = said.nexthops.iter().filter(|hop| !hop.resolver);
    // If the route is in use, only next-hops that are in use.
    let used = given.filter(|hop| hop.active || !said.selected);
    let mut next_hops: Vec<NextHop> = used.filter_map(|hop| next_hop(prefix, hop, selected)).collect();
    next_hops.sort();
    next_hops.dedup();
    let key = RouteKey { prefix, route_type: route_type.to_owned(), owner: owner.to_owned(), id: 0 };
    let metric = if said.protocol == "static" { STATIC_METRIC } else { said.metric };
    Some((key, Route { preference: said.distance, metric, active: said.selected, next_hops, fib: fib(said) }))
}

fn next_hop(own: IpNet, said: &RibNextHop, selected: &Selected) -> Option<NextHop> {
    if said.unreachable {
        return Some(NextHop::Discard);
    }
    let address = said.ip?;
    Some(match &said.interface_name {
        Some(interface) if is_link_local(address) => NextHop::Direct { address, subinterface: interface.clone() },
        _ => NextHop::Indirect { address, resolving: said.active.then(|| resolving(own, address, selected)).flatten() },
    })
}

/// Returns the longest selected route to an address, except the route itself and the default route.
fn resolving(own: IpNet, address: IpAddr, selected: &Selected) -> Option<(IpNet, String, String)> {
    let containing =
        |(prefix, _): &(&IpNet, _)| **prefix != own && prefix.prefix_len() > 0 && prefix.contains(&address);
    let longest = selected.iter().filter(containing).max_by_key(|(prefix, _)| prefix.prefix_len());
    longest.map(|(prefix, (route_type, owner))| (*prefix, (*route_type).to_owned(), (*owner).to_owned()))
}

fn fib(said: &RibRoute) -> Fib {
    match (said.failed, said.queued) {
        (true, _) => Fib::Failed,
        (false, true) => Fib::Pending,
        (false, false) => Fib::Programmed,
    }
}

/// Returns the routes of a subnet, with those that SR Linux shows next to it.
fn connected(options: &FrrOptions, reading: &Reading, prefix: IpNet, said: &RibRoute) -> Vec<(RouteKey, Route)> {
    let interface = said.nexthops.iter().find_map(|hop| hop.interface_name.as_ref());
    let (false, Some(interface)) = (is_link_local(prefix.addr()), interface) else { return Vec::new() };
    let of_interface = reading.interfaces.get(interface);
    let own = of_interface.and_then(|it| it.addresses.iter().find(|address| address.trunc() == prefix));
    let known = options.subinterfaces.get(interface);
    let (name, index) = known.map_or((interface.as_str(), 0), |known| (known.name.as_str(), known.index));
    let mut routes = own.map(|own| subnet(*own, name, index)).unwrap_or_default();
    for (_, route) in &mut routes {
        route.active = said.selected;
        route.fib = fib(said);
    }
    routes
}

fn neighbor(
    name: &str,
    peer: &Peer,
    routes: &BTreeMap<RouteKey, Route>,
    history: &mut History,
    now: Timestamp,
) -> Neighbor {
    let state = peer.bgp_state.to_ascii_lowercase();
    let established = state == "established";
    let family = |(family, info): (&String, &PeerFamily)| {
        let (name, v4) = match family.as_str() {
            "ipv4Unicast" => ("ipv4-unicast", true),
            "ipv6Unicast" => ("ipv6-unicast", false),
            _ => return None,
        };
        Some((name.to_owned(), counters(peer, info, v4, routes)))
    };
    let (last_established, record) = history.note(name, peer, established, now);
    Neighbor {
        last_established,
        established_transitions: peer.connections_established,
        session_state: if state == "clearing" { "idle".to_owned() } else { state },
        peer_as: peer.remote_as,
        local_as: peer.local_as,
        peer_group: peer.peer_group.clone(),
        dynamic: peer.peer_subnet_range_group.is_some(),
        local_address: peer.host_local,
        afi_safis: peer.address_family_info.iter().filter(|_| established).filter_map(family).collect(),
        record,
    }
}

fn counters(peer: &Peer, info: &PeerFamily, v4: bool, routes: &BTreeMap<RouteKey, Route>) -> AfiSafi {
    let through = |route: &Route| {
        let addresses = route.next_hops.iter().filter_map(|hop| match hop {
            NextHop::Indirect { address, .. } => Some(*address),
            _ => None,
        });
        addresses.into_iter().any(|address| Some(address) == peer.host_foreign)
    };
    let active = routes.iter().filter(|(key, route)| {
        route.active && key.route_type == "bgp" && key.prefix.addr().is_ipv4() == v4 && through(route)
    });
    let received = info.adj_in.unwrap_or(info.accepted_prefix_counter);
    AfiSafi {
        received,
        active: u32::try_from(active.count()).unwrap_or(u32::MAX),
        rejected: received.saturating_sub(info.accepted_prefix_counter),
        sent: info.sent_prefix_counter,
    }
}

fn bfd(said: &BfdPeer) -> Option<(IpAddr, BfdSession)> {
    let session = BfdSession { local: said.local?, up: said.status == "up", discriminator: said.id };
    Some((said.peer?, session))
}
