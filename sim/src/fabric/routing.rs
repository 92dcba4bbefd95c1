//! Route selection: computes local, BGP and EVPN routes of every leaf and network instance, and the active one per
//! prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::{
    AfiSafi, BgpPreference, Fib, Neighbor, NetworkInstance, NetworkInstanceKind, NextHop, Rib, Route, RouteKey,
    Segment, Tables,
};

use super::bgp_route::{BgpRoute, Place, as_path, excluded, import_target};
use super::config::{BgpConfig, EvpnConfig, NetworkInstanceConfig, NodeConfig};
use super::session::Session;
use super::{Fabric, Lever, NodeKey};

const STATIC_PREFERENCE: u8 = 5;
const NEIGHBOR_PREFERENCE: u8 = 1;

/// The overlay part of every leaf's tables.
pub(super) struct Computed {
    pub(super) tables: BTreeMap<String, Tables>,
    /// Number of EVPN type-5 routes that each leaf advertises.
    pub(super) type5: BTreeMap<String, u32>,
}

/// A path that a node, or another neighbor, announces to a leaf.
#[derive(Clone, Debug)]
struct Path {
    next_hop: IpAddr,
    resolving: Option<(IpNet, String, String)>,
    ebgp: bool,
    neighbor_as: u32,
    /// Length of the AS path.
    length: usize,
}

/// A leaf's routes from neither BGP nor EVPN. The flag says whether the route is advertised in EVPN.
type LocalRoutes = Vec<(RouteKey, Route, bool)>;

/// The leaves that advertise a prefix in EVPN, by network instance.
type Adverts = BTreeMap<String, BTreeMap<IpNet, BTreeSet<String>>>;

/// Inputs of all leaves, before each selects its active routes.
struct Knowledge<'a> {
    local: BTreeMap<Place, LocalRoutes>,
    sessions: BTreeMap<Place, Vec<Session<'a>>>,
    bgp: BTreeMap<Place, BTreeMap<IpNet, BgpRoute>>,
    adverts: Adverts,
}

/// Computes all leaves: local routes, the nodes' announcements, what is advertised in EVPN, and then each leaf's
/// tables.
pub(super) fn compute(fabric: &Fabric) -> Computed {
    let places = places(fabric);
    let local = places.iter().map(|place| (place.clone(), local_routes(fabric, place))).collect();
    let sessions = places.iter().map(|place| (place.clone(), fabric.sessions(&place.0, &place.1))).collect();
    let mut adverts = local_adverts(fabric, &local);
    let bgp = bgp_routes(fabric, &sessions, &adverts);
    add_bgp_adverts(fabric, &bgp, &mut adverts);
    let knowledge = Knowledge { local, sessions, bgp, adverts };
    let mut tables: BTreeMap<String, Tables> =
        fabric.config.leaves.keys().map(|leaf| (leaf.clone(), Tables::default())).collect();
    for place in places {
        let instance = instance(fabric, &place, &knowledge);
        let leaf = tables.get_mut(&place.0).expect("places are of the fabric's leaves");
        leaf.network_instances.insert(place.1, instance);
    }
    Computed { type5: advertised_counts(&knowledge.adverts), tables }
}

/// Computes one network instance of one leaf.
fn instance(fabric: &Fabric, place: &Place, knowledge: &Knowledge<'_>) -> NetworkInstance {
    let config = &fabric.config.network_instances[&place.1];
    let bgp = knowledge.bgp.get(place);
    let mut routes: BTreeMap<RouteKey, Route> =
        knowledge.local[place].iter().map(|(key, route, _)| (key.clone(), route.clone())).collect();
    let imported: BTreeMap<RouteKey, Route> =
        config.evpn.iter().flat_map(|evpn| imported(fabric, place, evpn, &knowledge.adverts)).collect();
    // If preferences tie, BGP itself has chosen between its path and EVPN's, and only the winner gets into the table.
    let lost = |prefix: &IpNet, bgp: &BgpRoute| {
        imported.iter().any(|(key, evpn)| key.prefix == *prefix && evpn.preference == bgp.preference)
    };
    let won = bgp.into_iter().flatten().filter(|(prefix, bgp)| !lost(prefix, bgp));
    routes.extend(won.map(|(prefix, bgp)| route(*prefix, "bgp", "bgp_mgr", 0, bgp.preference, bgp.next_hops.clone())));
    routes.extend(imported);
    let routes = activate(fabric, &place.0, routes);
    let mut instance = empty_instance(config.id, config.kind.into());
    instance.bgp_preference = config.bgp.as_ref().map(|bgp| preference(fabric, &place.0, bgp));
    for session in &knowledge.sessions[place] {
        let counters = counters(fabric, place, session, &routes, bgp);
        instance.router_id = session.bgp.router_id_of(&place.0);
        if session.is_gone() {
            let last = Neighbor { session_state: "idle".to_owned(), ..fabric.neighbor(session, counters) };
            instance.farewells.insert(session.key.peer.clone(), last);
            continue;
        }
        instance.neighbors.insert(session.key.peer.clone(), fabric.neighbor(session, counters));
        instance.bfd.extend(fabric.bfd(session).map(|bfd| (session.address, bfd)));
    }
    instance.rib = super::rib::rib(fabric, place, &knowledge.sessions[place], bgp, &routes);
    instance.routes = routes;
    instance
}

fn places(fabric: &Fabric) -> Vec<Place> {
    let leaves = fabric.config.leaves.keys();
    leaves
        .flat_map(|leaf| fabric.config.network_instances.keys().map(move |instance| (leaf.clone(), instance.clone())))
        .filter(|(leaf, instance)| fabric.has_instance(leaf, instance))
        .collect()
}

/// Returns subnets, gateways, neighbors of attached nodes, and static routes.
fn local_routes(fabric: &Fabric, place: &Place) -> LocalRoutes {
    let (leaf, instance) = place;
    let mut routes = LocalRoutes::new();
    for (name, subinterface) in fabric.config.subinterfaces(leaf, instance) {
        for address in subinterface.addresses_on(leaf) {
            let own = subnet(*address, name, subinterface.index);
            routes.extend(own.into_iter().map(|(key, route)| {
                let loopback = address.prefix_len() == address.max_prefix_len();
                let exported = key.route_type == "local" || loopback;
                (key, route, exported)
            }));
        }
    }
    for (cluster_name, cluster, name, node) in fabric.config.nodes() {
        let key = NodeKey { cluster: cluster_name.clone(), node: name.clone() };
        let here = fabric.attachments(&key, &node.leaves).iter().any(|attached| attached == leaf);
        if here && cluster.network_instance == *instance {
            routes.extend(node_routes(fabric, place, node, &fabric.held(&key)));
        }
    }
    for lever in fabric.levers() {
        if let Lever::StaticRoute { leaf: on, network_instance, prefix, next_hop } = lever
            && on == leaf
            && network_instance == instance
        {
            routes.push(static_route(fabric, place, *prefix, *next_hop));
        }
    }
    routes
}

/// Returns the neighbor entries of a node and of the VIPs it answers for, and the static routes to its loopbacks.
fn node_routes(fabric: &Fabric, place: &Place, node: &NodeConfig, held: &[IpAddr]) -> LocalRoutes {
    let mut routes = LocalRoutes::new();
    for address in node.addresses.iter().chain(held) {
        let mut subinterfaces = fabric.config.subinterfaces(&place.0, &place.1);
        let of_subnet = subinterfaces
            .find(|(_, subinterface)| subinterface.addresses_on(&place.0).any(|net| net.contains(address)));
        if let Some((name, subinterface)) = of_subnet {
            let next_hop = NextHop::Direct { address: *address, subinterface: name.clone() };
            let (key, route) = route(
                IpNet::from(*address),
                "arp-nd",
                "arp_nd_mgr",
                subinterface.index,
                NEIGHBOR_PREFERENCE,
                vec![next_hop],
            );
            routes.push((key, route, true));
        }
    }
    for loopback in &node.loopbacks {
        if let Some(via) = node.addresses.iter().find(|address| address.is_ipv4() == loopback.is_ipv4()) {
            routes.push(static_route(fabric, place, IpNet::from(*loopback), *via));
        }
    }
    routes
}

fn static_route(fabric: &Fabric, place: &Place, prefix: IpNet, next_hop: IpAddr) -> (RouteKey, Route, bool) {
    let next_hop = NextHop::Indirect { address: next_hop, resolving: resolve_locally(fabric, place, next_hop) };
    let (key, mut route) = route(prefix, "static", "static_route_mgr", 0, STATIC_PREFERENCE, vec![next_hop]);
    route.metric = 1;
    (key, route, true)
}

/// Returns the local subnet that resolves an address. SR Linux resolves by the subnet, not by the neighbor entry.
fn resolve_locally(fabric: &Fabric, place: &Place, address: IpAddr) -> Option<(IpNet, String, String)> {
    let subinterfaces = fabric.config.subinterfaces(&place.0, &place.1);
    let mut nets = subinterfaces.flat_map(|(_, subinterface)| subinterface.addresses_on(&place.0));
    let net = nets.find(|net| net.contains(&address))?;
    Some((net.trunc(), "local".to_owned(), "net_inst_mgr".to_owned()))
}

/// Returns the route that resolves a BGP next-hop: a remote node's host route, a static host route, or the subnet.
fn resolve(fabric: &Fabric, place: &Place, address: IpAddr, adverts: &Adverts) -> Option<(IpNet, String, String)> {
    let prefix = IpNet::from(address);
    let advertisers = adverts.get(&place.1).and_then(|prefixes| prefixes.get(&prefix));
    match advertisers {
        Some(leaves) if !leaves.contains(&place.0) => Some((prefix, "bgp-evpn".to_owned(), "bgp_evpn_mgr".to_owned())),
        Some(_) if resolve_locally(fabric, place, address).is_none() => {
            Some((prefix, "static".to_owned(), "static_route_mgr".to_owned()))
        }
        _ => resolve_locally(fabric, place, address),
    }
}

/// Returns whether a leaf may advertise a prefix in EVPN.
fn may_advertise(fabric: &Fabric, leaf: &str, instance: &str, prefix: IpNet) -> bool {
    let withdrawn = |prefix| fabric.pulled(&Lever::EvpnWithdrawn { leaf: leaf.to_owned(), prefix });
    let has_evpn = fabric.config.network_instances.get(instance).is_some_and(|config| config.evpn.is_some());
    has_evpn && fabric.overlay_up(leaf) && !withdrawn(None) && !withdrawn(Some(prefix))
}

/// Returns the subnets, host routes and static routes that are advertised.
fn local_adverts(fabric: &Fabric, local: &BTreeMap<Place, LocalRoutes>) -> Adverts {
    let mut adverts = Adverts::new();
    for ((leaf, instance), routes) in local {
        for (key, ..) in routes.iter().filter(|(.., exported)| *exported) {
            if may_advertise(fabric, leaf, instance, key.prefix) {
                let prefixes = adverts.entry(instance.clone()).or_default();
                prefixes.entry(key.prefix).or_default().insert(leaf.clone());
            }
        }
    }
    adverts
}

/// Returns the BGP route of every prefix announced to a leaf, by the network instance into which it is imported.
fn bgp_routes(
    fabric: &Fabric,
    sessions: &BTreeMap<Place, Vec<Session<'_>>>,
    adverts: &Adverts,
) -> BTreeMap<Place, BTreeMap<IpNet, BgpRoute>> {
    let mut paths: BTreeMap<Place, BTreeMap<IpNet, Vec<Path>>> = BTreeMap::new();
    for (place, sessions) in sessions {
        for session in sessions {
            for prefix in &session.announced {
                let Some(target) = import_target(fabric, place, *prefix) else { continue };
                if excluded(fabric, place, session, *prefix).is_some() {
                    continue;
                }
                paths.entry(target).or_default().entry(*prefix).or_default().push(Path {
                    next_hop: session.address,
                    resolving: resolve(fabric, place, session.address, adverts),
                    ebgp: session.is_ebgp(),
                    neighbor_as: session.peer_as,
                    length: as_path(fabric, session).len(),
                });
            }
        }
    }
    for lever in fabric.levers() {
        if let Lever::ForeignRoute { leaf, network_instance, prefix, next_hop } = lever {
            let place = (leaf.clone(), network_instance.clone());
            let neighbor_as = bgp_of(fabric, network_instance).map_or(0, |bgp| bgp.as_of(leaf));
            let resolving = resolve(fabric, &place, *next_hop, adverts);
            let path = Path { next_hop: *next_hop, resolving, ebgp: false, neighbor_as, length: 0 };
            paths.entry(place).or_default().entry(*prefix).or_default().push(path);
        }
    }
    let best = |(place, prefixes): (Place, BTreeMap<IpNet, Vec<Path>>)| {
        let routes = prefixes.into_iter().map(|(prefix, paths)| (prefix, best_paths(fabric, &place, paths))).collect();
        (place, routes)
    };
    paths.into_iter().map(best).collect()
}

fn bgp_of<'a>(fabric: &'a Fabric, instance: &str) -> Option<&'a super::config::BgpConfig> {
    fabric.config.network_instances.get(instance).and_then(|config| config.bgp.as_ref())
}

/// Selects the paths with the shortest AS path (iBGP paths of nodes have an empty one), up to the multipath limit,
/// lowest next-hop first.
fn best_paths(fabric: &Fabric, place: &Place, mut paths: Vec<Path>) -> BgpRoute {
    paths.sort_by_key(|path| (path.length, path.ebgp, path.next_hop));
    paths.dedup_by_key(|path| path.next_hop);
    let bgp = bgp_of(fabric, &place.1);
    let (ebgp, first_as, length) =
        paths.first().map_or((false, 0, 0), |best| (best.ebgp, best.neighbor_as, best.length));
    let several_as = bgp.is_none_or(|bgp| bgp.allow_multiple_as);
    let equal = paths
        .into_iter()
        .filter(|path| path.length == length && path.ebgp == ebgp && (several_as || path.neighbor_as == first_as));
    let limit = limit(fabric, &place.0, bgp_limit(fabric, &place.0, bgp.map_or(1, |bgp| bgp.maximum_paths)));
    let next_hop = |path: Path| NextHop::Indirect { address: path.next_hop, resolving: path.resolving };
    let preference = match bgp {
        Some(bgp) if ebgp => self::preference(fabric, &place.0, bgp).ebgp,
        Some(bgp) => self::preference(fabric, &place.0, bgp).ibgp,
        None => 170,
    };
    BgpRoute { preference, next_hops: equal.map(next_hop).take(limit).collect(), ebgp, length }
}

/// Returns the configured preferences of BGP's routes, unless a lever changes them.
fn preference(fabric: &Fabric, leaf: &str, bgp: &BgpConfig) -> BgpPreference {
    let changed = fabric.levers().find_map(|lever| match lever {
        Lever::BgpPreference { leaf: on, preference } if on == leaf => Some(*preference),
        _ => None,
    });
    let configured = BgpPreference { ebgp: bgp.ebgp_preference, ibgp: bgp.ibgp_preference };
    changed.map_or(configured, |preference| BgpPreference { ebgp: preference, ibgp: preference })
}

/// Returns the maximum number of paths that BGP uses per route.
fn bgp_limit(fabric: &Fabric, leaf: &str, configured: usize) -> usize {
    let limits = fabric.levers().filter_map(|lever| match lever {
        Lever::Multipath { leaf: on, limit } if on == leaf => Some(*limit),
        _ => None,
    });
    limits.fold(configured, usize::min)
}

/// Returns the configured number of next-hops, unless a lever limits it.
fn limit(fabric: &Fabric, leaf: &str, configured: usize) -> usize {
    let limits = fabric.levers().filter_map(|lever| match lever {
        Lever::EcmpLimit { leaf: on, limit } if on == leaf => Some(*limit),
        _ => None,
    });
    limits.fold(configured, usize::min).max(1)
}

/// Adds the BGP routes that are active on their leaf and therefore advertised. A leaf that prefers its own BGP route
/// always advertises it. If EVPN wins a tie, the first leaf keeps advertising and all others use its route: an EVPN
/// route arrives with an empty AS path, which beats a node's.
fn add_bgp_adverts(fabric: &Fabric, bgp: &BTreeMap<Place, BTreeMap<IpNet, BgpRoute>>, adverts: &mut Adverts) {
    let mut by_prefix: BTreeMap<(&String, IpNet), BTreeMap<&String, u8>> = BTreeMap::new();
    for ((leaf, instance), routes) in bgp {
        for (prefix, route) in routes.iter().filter(|(prefix, _)| may_advertise(fabric, leaf, instance, **prefix)) {
            by_prefix.entry((instance, *prefix)).or_default().insert(leaf, route.preference);
        }
    }
    for ((instance, prefix), leaves) in by_prefix {
        let Some(evpn) = fabric.config.network_instances[instance].evpn.as_ref() else { continue };
        let advertisers = adverts.entry(instance.clone()).or_default().entry(prefix).or_default();
        let preferring =
            leaves.iter().filter(|(leaf, preference)| **preference < evpn.preference || evpn.rejects(leaf, &prefix));
        advertisers.extend(preferring.map(|(leaf, _)| (*leaf).clone()));
        if advertisers.is_empty() {
            advertisers.extend(fabric.config.converged().find(|leaf| leaves.contains_key(leaf)).cloned());
        }
    }
}

/// Returns what a leaf imports from the others' advertisements in all network instances whose route target it accepts.
fn imported(fabric: &Fabric, place: &Place, evpn: &EvpnConfig, adverts: &Adverts) -> Vec<(RouteKey, Route)> {
    let (leaf, _) = place;
    if !fabric.overlay_up(leaf) {
        return Vec::new();
    }
    let takes = |config: &NetworkInstanceConfig| {
        let exported = config.evpn.as_ref().map(|evpn| &evpn.route_target);
        exported.is_some_and(|target| *target == evpn.route_target || evpn.import.contains(target))
    };
    let mut vteps: BTreeMap<IpNet, BTreeSet<IpAddr>> = BTreeMap::new();
    for (instance, prefixes) in adverts {
        if takes(&fabric.config.network_instances[instance]) {
            for (prefix, leaves) in prefixes.iter().filter(|(prefix, _)| !evpn.rejects(leaf, prefix)) {
                let others = leaves.iter().filter(|other| *other != leaf).map(|other| fabric.config.vtep(other));
                vteps.entry(*prefix).or_default().extend(others);
            }
        }
    }
    let limit = limit(fabric, leaf, evpn.ecmp);
    vteps.retain(|_, vteps| !vteps.is_empty());
    let routes = vteps.into_iter().map(|(prefix, vteps)| {
        let next_hops = vteps.into_iter().take(limit).map(|vtep| NextHop::Vxlan { vtep }).collect();
        route(prefix, "bgp-evpn", "bgp_evpn_mgr", 0, evpn.preference, next_hops)
    });
    routes.collect()
}

/// Marks the best route of each prefix as active, and the routes that the hardware rejected.
fn activate(fabric: &Fabric, leaf: &str, mut routes: BTreeMap<RouteKey, Route>) -> BTreeMap<RouteKey, Route> {
    let mut best: BTreeMap<IpNet, (u8, bool, RouteKey)> = BTreeMap::new();
    for (key, route) in &routes {
        let rank = (route.preference, key.route_type != "bgp-evpn", key.clone());
        best.entry(key.prefix).and_modify(|best| *best = rank.clone().min(best.clone())).or_insert(rank);
    }
    for (.., key) in best.into_values() {
        let fib = fib(fabric, leaf, key.prefix);
        let route = routes.get_mut(&key).expect("ranked above");
        route.active = true;
        route.fib = fib;
    }
    routes
}

fn fib(fabric: &Fabric, leaf: &str, prefix: IpNet) -> Fib {
    if fabric.pulled(&Lever::FibFailed { leaf: leaf.to_owned(), prefix }) {
        Fib::Failed
    } else if fabric.pulled(&Lever::FibPending { leaf: leaf.to_owned(), prefix }) {
        Fib::Pending
    } else if fabric.pulled(&Lever::FibSuppressed { leaf: leaf.to_owned(), prefix }) {
        Fib::Suppressed
    } else if fabric.pulled(&Lever::FibRecovered { leaf: leaf.to_owned(), prefix }) {
        Fib::Recovered
    } else {
        Fib::Programmed
    }
}

/// Returns the route counters of a session: received, active and sent. iBGP routes are not sent to iBGP neighbors, and
/// no route is sent back to where it came from.
fn counters(
    fabric: &Fabric,
    place: &Place,
    session: &Session<'_>,
    routes: &BTreeMap<RouteKey, Route>,
    bgp: Option<&BTreeMap<IpNet, BgpRoute>>,
) -> AfiSafi {
    let via = |route: &Route| {
        route
            .next_hops
            .iter()
            .any(|hop| matches!(hop, NextHop::Indirect { address, .. } if *address == session.address))
    };
    let of_family = |key: &RouteKey| key.prefix.addr().is_ipv4() == session.address.is_ipv4();
    let active = routes.iter().filter(|(key, route)| route.active && of_family(key));
    let rejected = session.announced.iter().filter(|prefix| import_target(fabric, place, **prefix).is_none()).count();
    let received = length(session.announced.len());
    let mut counters = AfiSafi { received, rejected: length(rejected), ..AfiSafi::default() };
    for (key, route) in active {
        match key.route_type.as_str() {
            "bgp" if via(route) => counters.active += 1,
            "bgp" => {
                let learned_ebgp = bgp.and_then(|routes| routes.get(&key.prefix)).is_some_and(|route| route.ebgp);
                counters.sent += u32::from(learned_ebgp || session.is_ebgp());
            }
            "host" => {}
            _ => counters.sent += 1,
        }
    }
    counters
}

fn advertised_counts(adverts: &Adverts) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for leaf in adverts.values().flat_map(BTreeMap::values).flatten() {
        *counts.entry(leaf.clone()).or_default() += 1;
    }
    counts
}

fn length(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Returns a route that is not active yet.
pub(super) fn route(
    prefix: IpNet,
    route_type: &str,
    owner: &str,
    id: u32,
    preference: u8,
    next_hops: Vec<NextHop>,
) -> (RouteKey, Route) {
    let key = RouteKey { prefix: prefix.trunc(), route_type: route_type.to_owned(), owner: owner.to_owned(), id };
    (key, Route { preference, metric: 0, active: false, next_hops, fib: Fib::Programmed })
}

/// Returns a host route of the switch itself.
pub(super) fn host(prefix: IpNet, id: u32, next_hop: NextHop) -> (RouteKey, Route) {
    route(prefix, "host", "net_inst_mgr", id, 0, vec![next_hop])
}

/// Returns the routes of a subnet, of the switch's address in it, and of its broadcast address; for a loopback, only of
/// its address.
pub(crate) fn subnet(address: IpNet, subinterface: &str, id: u32) -> Vec<(RouteKey, Route)> {
    if address.prefix_len() == address.max_prefix_len() {
        return vec![host(address, id, NextHop::Extract)];
    }
    let next_hop = NextHop::Direct { address: address.addr(), subinterface: subinterface.to_owned() };
    let mut routes = vec![
        route(address, "local", "net_inst_mgr", id, 0, vec![next_hop]),
        host(IpNet::from(address.addr()), id, NextHop::Extract),
    ];
    if let IpNet::V4(net) = address
        && net.prefix_len() < 31
    {
        routes.push(host(IpNet::from(IpAddr::from(net.broadcast())), id, NextHop::Broadcast));
    }
    routes
}

/// Returns a network instance that is up and empty.
pub(crate) fn empty_instance(id: u32, kind: NetworkInstanceKind) -> NetworkInstance {
    NetworkInstance {
        id,
        kind,
        router_id: None,
        oper_up: true,
        routes: BTreeMap::new(),
        neighbors: BTreeMap::new(),
        farewells: BTreeMap::new(),
        bfd: BTreeMap::new(),
        segment: Segment::default(),
        rib: Rib::new(),
        bgp_preference: None,
    }
}
