//! The control plane: which routes every leaf has, derived from which nodes are alive and what they announce.
//!
//! It computes the outcome of a protocol, not its messages: sessions, best paths and EVPN adverts, in the order in
//! which they depend on each other, for one VRF at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use srl_sim::truth::{
    Bridge, Cable, Endpoint, EndpointState, Hop, Host, HostKind, Leaf, Location, Neighbor, Network, Port, Route,
    Service, Vrf,
};

use crate::arp;
use crate::facts::{LeafFacts, NeighborFact, RouteFact};
use crate::fault::{Fault, StaticTo};
use crate::plan::{
    Kind, NodeId, Plan, PodState, Summary, all_pools, cluster_name, ip, leaf_name, net, node_name, peer_address,
    vrf_name, vtep,
};
use crate::state::State;

/// EVPN routes have at most this many next-hops.
const EVPN_PATHS: usize = 8;
const LOCAL: u32 = 0;
const HOST: u32 = 1;
const STATIC: u32 = 5;
const PREFERRED: u32 = 169;
const EVPN: u32 = 170;

/// The result of a state of a plan.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) leaves: Vec<LeafFacts>,
}

/// A route that may become active.
#[derive(Clone, Debug)]
struct Candidate {
    owner: &'static str,
    preference: u32,
    hops: Vec<Hop>,
}

type Table = BTreeMap<IpNet, Candidate>;

/// Who advertises a prefix in EVPN.
type Adverts = BTreeMap<IpNet, BTreeSet<usize>>;

pub(crate) fn world(state: State<'_>) -> World {
    let mut world = World { network: hosts(state), leaves: vec![LeafFacts::default(); state.plan.leaves.len()] };
    for leaf in 0..state.plan.leaves.len() {
        let leaf_truth =
            Leaf { vteps: [vtep(leaf)].into(), underlay: !state.broken(Fault::Isolated(leaf)), ..Leaf::default() };
        world.network.leaves.insert(leaf_name(leaf), leaf_truth);
    }
    for node in state.plan.nodes() {
        entries(state, node, &mut world.network);
    }
    for cluster in 0..state.plan.clusters.len() {
        router_entries(state, cluster, &mut world.network);
    }
    for service in state.plan.services() {
        arp::resolve(state, service, &mut world.network);
    }
    for vrf in 0..state.plan.vrfs() {
        let tables = tables(state, vrf);
        for (leaf, table) in tables {
            install(state, leaf, vrf, table, &mut world);
        }
    }
    for leaf in 0..state.plan.leaves.len() {
        world.leaves[leaf].neighbors = neighbors(state, leaf);
        world.leaves[leaf].entries = arp::shown(state, leaf, &world.network);
    }
    world
}

/// Returns the index of a node among the hosts.
pub(crate) fn host_of(state: State<'_>, node: NodeId) -> usize {
    state.plan.nodes().position(|other| other == node).expect("a node of the plan")
}

/// Returns the index of a service among the services.
pub(crate) fn service_of(state: State<'_>, service: (usize, usize)) -> usize {
    state.plan.services().position(|other| other == service).expect("a service of the plan")
}

/// Returns a network with the nodes, a router to the world, the cables and the services.
fn hosts(state: State<'_>) -> Network {
    let mut network = Network::default();
    for node in state.plan.nodes() {
        let kind = HostKind::Node { cluster: cluster_name(node.0) };
        network.hosts.push(Host { name: node_name(node), up: state.alive(node), kind });
    }
    network.hosts.push(Host { name: "world".to_owned(), up: true, kind: HostKind::Other });
    for cluster in 0..state.plan.clusters.len() {
        let kind = HostKind::Router { routes: router_routes(state, cluster) };
        network.hosts.push(Host { name: format!("{}-router", cluster_name(cluster)), up: true, kind });
    }
    network.hosts.push(Host { name: "stranger".to_owned(), up: true, kind: HostKind::Other });
    for node in state.plan.nodes() {
        for leaf in 0..state.plan.leaves.len() {
            let up = state.leaves(node).contains(&leaf) && state.cable(node, leaf);
            network.cables.push(Cable { up, host: host_of(state, node) });
        }
    }
    let nodes = state.plan.nodes().count();
    network.cables.extend((nodes..network.hosts.len()).map(|host| Cable { up: true, host }));
    for service in state.plan.services() {
        let endpoint = |(on, pod): (Option<usize>, PodState)| Endpoint {
            host: on.map(|on| host_of(state, (service.0, on))),
            state: match pod {
                PodState::Ready => EndpointState::Ready,
                PodState::Draining => EndpointState::Draining,
                PodState::Unready => EndpointState::Unready,
            },
        };
        network.services.push(Service {
            cluster: cluster_name(service.0),
            name: format!("s{}", service.1 + 1),
            local: state.plan.service(service).local,
            // In a mesh, endpoints of another cluster serve as well.
            everywhere: match state.plan.service(service).kind {
                Kind::Plain => false,
                Kind::Gateway => true,
                Kind::Global => !state.plan.service(service).local,
            },
            endpoints: state.endpoints(service).into_iter().map(endpoint).collect(),
        });
    }
    network
}

fn cable_of(state: State<'_>, node: NodeId, leaf: usize) -> usize {
    host_of(state, node) * state.plan.leaves.len() + leaf
}

pub(crate) fn cable_of_world(state: State<'_>) -> usize {
    state.plan.nodes().count() * state.plan.leaves.len()
}

/// Returns the hosts to which a cluster's router sends each prefix.
fn router_routes(state: State<'_>, cluster: usize) -> BTreeMap<IpNet, Vec<usize>> {
    let mut routes: BTreeMap<IpNet, Vec<usize>> = BTreeMap::new();
    for (node, prefix, _) in routed(state, cluster) {
        let hosts = routes.entry(prefix).or_default();
        if !hosts.contains(&host_of(state, node)) {
            hosts.push(host_of(state, node));
        }
    }
    routes
}

/// Returns what the nodes of a cluster have announced to its router: node, prefix and service.
fn routed(state: State<'_>, cluster: usize) -> Vec<(NodeId, IpNet, (usize, usize))> {
    let plan = &state.plan.clusters[cluster];
    let nodes = (0..plan.nodes.len()).map(|node| (cluster, node)).filter(|node| state.reaches_router(*node));
    let of_node = |node: NodeId| {
        let services = (0..plan.services.len()).map(move |service| (cluster, service));
        services.flat_map(move |service| {
            state.intends(node, service).into_iter().map(move |prefix| (node, prefix, service))
        })
    };
    nodes.flat_map(of_node).collect()
}

fn families(state: State<'_>, node: NodeId) -> impl Iterator<Item = bool> {
    let cluster = &state.plan.clusters[node.0];
    [(cluster.v4, false), (cluster.v6, true)].into_iter().filter(|(has, _)| *has).map(|(_, v6)| v6)
}

pub(crate) fn bridge_name(state: State<'_>, node: NodeId) -> String {
    format!("mac-{}", state.plan.subnet(node, true))
}

/// Adds the ARP, ND and MAC entries of a node on every leaf that has its subnet.
fn entries(state: State<'_>, node: NodeId, network: &mut Network) {
    let (mac, vrf) = (host_of(state, node) as u64 + 1, vrf_name(state.plan.clusters[node.0].vrf));
    let answers_on: Vec<usize> = state.answers_on(node).into_iter().filter(|leaf| state.bridge(*leaf, node)).collect();
    for leaf in (0..state.plan.leaves.len()).filter(|leaf| state.bridge(*leaf, node)) {
        let far = answers_on.iter().find(|far| state.evpn(leaf) && state.evpn(**far));
        let location = if answers_on.contains(&leaf) {
            Location::Cable(cable_of(state, node, leaf))
        } else if let Some(far) = far {
            Location::Tunnel(vtep(*far))
        } else {
            continue;
        };
        let truth = network.leaves.get_mut(&leaf_name(leaf)).expect("a leaf of the plan");
        let bridge: &mut Bridge = truth.bridges.entry(bridge_name(state, node)).or_default();
        bridge.macs.insert(mac, location);
        if !state.gateway(leaf, node) {
            continue;
        }
        let table: &mut Vrf = truth.vrfs.entry(vrf.clone()).or_default();
        for v6 in families(state, node) {
            let port = Port::Bridge(bridge_name(state, node));
            table.neighbors.insert(state.plan.interface(node, v6), Neighbor { mac, port });
        }
        if state.plan.clusters[node.0].unnumbered && answers_on.contains(&leaf) {
            let port = Port::Cable(cable_of(state, node, leaf));
            table.neighbors.insert(state.plan.session(node, true), Neighbor { mac, port });
        }
    }
}

/// Adds the ARP, ND and MAC entries of a cluster's router.
fn router_entries(state: State<'_>, cluster: usize, network: &mut Network) {
    let Some(router) = state.plan.clusters[cluster].router else { return };
    let (mac, node) = (500 + cluster as u64, (cluster, 0));
    for leaf in (0..state.plan.leaves.len()).filter(|leaf| state.bridge(*leaf, node)) {
        let location = if leaf == router.leaf {
            Location::Cable(cable_of_world(state) + 1 + cluster)
        } else if state.evpn(leaf) && state.evpn(router.leaf) {
            Location::Tunnel(vtep(router.leaf))
        } else {
            continue;
        };
        let truth = network.leaves.get_mut(&leaf_name(leaf)).expect("a leaf of the plan");
        truth.bridges.entry(bridge_name(state, node)).or_default().macs.insert(mac, location);
        if !state.gateway(leaf, node) {
            continue;
        }
        let table: &mut Vrf = truth.vrfs.entry(vrf_name(state.plan.clusters[cluster].vrf)).or_default();
        for v6 in families(state, node) {
            let port = Port::Bridge(bridge_name(state, node));
            table.neighbors.insert(Plan::router(cluster, v6), Neighbor { mac, port });
        }
    }
}

/// Returns the tables of all leaves that have a VRF.
fn tables(state: State<'_>, vrf: usize) -> BTreeMap<usize, Table> {
    let leaves: Vec<usize> = (0..state.plan.leaves.len()).filter(|leaf| state.instance(*leaf, vrf)).collect();
    let mut adverts = Adverts::new();
    let mut tables: BTreeMap<usize, Table> = BTreeMap::new();
    for leaf in &leaves {
        let (table, advertised) = local(state, *leaf, vrf);
        for prefix in advertised.into_iter().filter(|_| state.evpn(*leaf)) {
            adverts.entry(prefix).or_default().insert(*leaf);
        }
        tables.insert(*leaf, table);
    }
    // The prefixes that resolve next-hops: everything except what speakers announce.
    let resolving: BTreeMap<usize, BTreeSet<IpNet>> = leaves
        .iter()
        .map(|leaf| {
            let imported = imported(state, *leaf, vrf, &adverts);
            (*leaf, tables[leaf].keys().chain(imported.keys()).copied().collect())
        })
        .collect();
    let mut bgp: BTreeMap<usize, Table> = BTreeMap::new();
    for leaf in &leaves {
        bgp.insert(*leaf, announced(state, *leaf, vrf, &resolving[leaf]));
    }
    let prefixes: BTreeSet<IpNet> = bgp.values().flat_map(BTreeMap::keys).copied().collect();
    for prefix in prefixes {
        let having: Vec<usize> = leaves.iter().copied().filter(|leaf| bgp[leaf].contains_key(&prefix)).collect();
        for leaf in &having {
            let by_others = adverts.get(&prefix).is_some_and(|by| by.iter().any(|by| by != leaf));
            // EVPN's path arrived first and has the shorter AS path, so BGP's own path is not used.
            if !state.plan.prefer_local && state.evpn(*leaf) && by_others {
                bgp.get_mut(leaf).expect("one a leaf").remove(&prefix);
            } else if state.evpn(*leaf) {
                adverts.entry(prefix).or_default().insert(*leaf);
            }
        }
    }
    for leaf in &leaves {
        let table = tables.get_mut(leaf).expect("one a leaf");
        let more = bgp.remove(leaf).unwrap_or_default().into_iter().chain(imported(state, *leaf, vrf, &adverts));
        for (prefix, candidate) in more {
            let better = table.get(&prefix).is_none_or(|known| candidate.preference < known.preference);
            if better {
                table.insert(prefix, candidate);
            }
        }
    }
    tables
}

/// Returns a leaf's own routes, and which of them it advertises in EVPN.
fn local(state: State<'_>, leaf: usize, vrf: usize) -> (Table, Vec<IpNet>) {
    let (mut table, mut advertised) = (Table::new(), Vec::new());
    let mut add = |prefix: IpNet, owner, preference, hop: Hop, exported: bool| {
        let candidate = Candidate { owner, preference, hops: vec![hop] };
        if table.get(&prefix).is_none_or(|known| preference < known.preference) {
            table.insert(prefix, candidate);
        }
        if exported {
            advertised.push(prefix);
        }
    };
    for node in state.plan.nodes().filter(|node| state.plan.clusters[node.0].vrf == vrf && state.gateway(leaf, *node)) {
        for v6 in families(state, node) {
            let (subnet, address) = (state.plan.subnet(node, v6), state.plan.interface(node, v6));
            add(subnet, "net_inst_mgr", LOCAL, Hop::Connected, true);
            add(IpNet::from(gateway(subnet)), "net_inst_mgr", LOCAL, Hop::Own, false);
            if state.plan.host_routes && state.answers_on(node).contains(&leaf) {
                add(IpNet::from(address), "arp_nd_mgr", HOST, Hop::Neighbor(address), true);
            }
            if state.plan.node(node).loopback && state.leaves(node).contains(&leaf) {
                add(IpNet::from(state.plan.speaks_from(node, v6)), "static_route_mgr", STATIC, Hop::Via(address), true);
            }
        }
    }
    if state.plan.clusters.iter().any(|cluster| cluster.only_to.is_some() && cluster.vrf == vrf) {
        for v6 in [false, true] {
            add(IpNet::from(peer_address(leaf, v6)), "net_inst_mgr", LOCAL, Hop::Own, false);
        }
    }
    for (cluster, plan) in state.plan.clusters.iter().enumerate() {
        let here = plan.router.is_some_and(|router| router.leaf == leaf) && plan.vrf == vrf;
        if here && state.plan.host_routes && state.gateway(leaf, (cluster, 0)) {
            for v6 in families(state, (cluster, 0)) {
                let address = Plan::router(cluster, v6);
                add(IpNet::from(address), "arp_nd_mgr", HOST, Hop::Neighbor(address), true);
            }
        }
    }
    for (address, exported) in arp::host_routes(state, leaf, vrf) {
        add(IpNet::from(address), "arp_nd_mgr", HOST, Hop::Neighbor(address), exported);
    }
    for (service, to) in statics(state, leaf, vrf) {
        for vip in &state.plan.service(service).vips {
            let hop = match to {
                StaticTo::Node(node) if families(state, node).any(|v6| v6 == vip.v6) => {
                    Hop::Via(state.plan.interface(node, vip.v6))
                }
                StaticTo::Nobody if state.gateway(leaf, (service.0, 0)) => {
                    Hop::Via(nobody(state.plan.subnet((service.0, 0), vip.v6)))
                }
                _ => Hop::Discard,
            };
            add(IpNet::from(vip.address()), "static_route_mgr", STATIC, hop, true);
        }
    }
    for v6 in [false, true] {
        let world = ip(if v6 { "fd00:fe::2" } else { "10.254.0.2" });
        if state.plan.default_from == Some(leaf) {
            add(net(if v6 { "::/0" } else { "0.0.0.0/0" }), "static_route_mgr", STATIC, Hop::Neighbor(world), true);
        }
        if let Some((_, summary)) = state.plan.summary.filter(|(on, _)| *on == leaf) {
            let hop = if summary == Summary::World { Hop::Neighbor(world) } else { Hop::Discard };
            add(all_pools(v6), "static_route_mgr", STATIC, hop, true);
        }
    }
    (table, advertised)
}

fn statics(state: State<'_>, leaf: usize, vrf: usize) -> Vec<((usize, usize), StaticTo)> {
    let here = state.faults.iter().filter_map(|fault| match fault {
        Fault::Static(on, service, to) if *on == leaf && state.plan.clusters[service.0].vrf == vrf => {
            Some((*service, *to))
        }
        _ => None,
    });
    here.collect()
}

/// Returns the address of the leaf in a subnet.
fn gateway(subnet: IpNet) -> IpAddr {
    subnet.hosts().next().expect("a subnet has hosts")
}

/// Returns an address in a subnet that no host has.
fn nobody(subnet: IpNet) -> IpAddr {
    subnet.hosts().nth(98).expect("a subnet has a hundred hosts")
}

/// Returns what a leaf imports from the adverts of the other leaves.
fn imported(state: State<'_>, leaf: usize, vrf: usize, adverts: &Adverts) -> Table {
    if !state.evpn(leaf) {
        return Table::new();
    }
    let hops = |by: &BTreeSet<usize>| {
        let others = by.iter().filter(|by| **by != leaf).take(EVPN_PATHS);
        others.map(|by| Hop::Tunnel { vtep: vtep(*by), vrf: vrf_name(vrf) }).collect::<Vec<_>>()
    };
    let routes = adverts.iter().map(|(prefix, by)| (*prefix, hops(by))).filter(|(_, hops)| !hops.is_empty());
    routes.map(|(prefix, hops)| (prefix, Candidate { owner: "bgp_evpn_mgr", preference: EVPN, hops })).collect()
}

/// Returns the best paths of the routes that nodes send to a leaf.
fn announced(state: State<'_>, leaf: usize, vrf: usize, resolving: &BTreeSet<IpNet>) -> Table {
    let mut paths: BTreeMap<IpNet, BTreeSet<IpAddr>> = BTreeMap::new();
    for node in state.plan.nodes().filter(|node| state.plan.clusters[node.0].vrf == vrf) {
        for (prefix, v6, service) in state.sent(node, leaf) {
            let next_hop = state.plan.next_hop(node, v6);
            let resolved = is_link_local(next_hop)
                || resolving.iter().any(|known| known.prefix_len() > 0 && known.contains(&next_hop));
            let kept = !state.broken(Fault::Reject(leaf, service)) && !state.broken(Fault::Leaked(leaf, service));
            if resolved && kept {
                paths.entry(prefix).or_default().insert(next_hop);
            }
        }
    }
    for (cluster, prefix, next_hop, service) in passed_on(state, leaf, vrf) {
        let resolved = resolving.iter().any(|known| known.prefix_len() > 0 && known.contains(&next_hop));
        if resolved && !state.broken(Fault::Reject(leaf, service)) && !state.broken(Fault::Leaked(leaf, service)) {
            debug_assert_eq!(service.0, cluster);
            paths.entry(prefix).or_default().insert(next_hop);
        }
    }
    let limit = if state.broken(Fault::OnePath(leaf)) { 1 } else { state.plan.multipath };
    let preference = if state.plan.prefer_local { PREFERRED } else { EVPN };
    let route = |hops: BTreeSet<IpAddr>| Candidate {
        owner: "bgp_mgr",
        preference,
        hops: hops.into_iter().take(limit).map(via).collect(),
    };
    paths.into_iter().map(|(prefix, hops)| (prefix, route(hops))).collect()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Returns the hop to an address: a link-local address is a neighbor, any other is resolved by the table.
fn via(address: IpAddr) -> Hop {
    if is_link_local(address) { Hop::Neighbor(address) } else { Hop::Via(address) }
}

/// Returns what routers pass on to a leaf: cluster, prefix, next-hop and service.
fn passed_on(state: State<'_>, leaf: usize, vrf: usize) -> Vec<(usize, IpNet, IpAddr, (usize, usize))> {
    let mut passed = Vec::new();
    for (number, cluster) in state.plan.clusters.iter().enumerate() {
        let Some(router) = cluster.router.filter(|router| router.leaf == leaf && cluster.vrf == vrf) else { continue };
        for (node, prefix, service) in routed(state, number) {
            let v6 = matches!(prefix, IpNet::V6(_));
            let of_router = Plan::router(number, v6);
            let next_hop = if router.next_hop_self { of_router } else { state.plan.interface(node, v6) };
            passed.push((number, prefix, next_hop, service));
        }
    }
    passed
}

/// Installs a table in hardware, and adds it to what the leaf shows.
fn install(state: State<'_>, leaf: usize, vrf: usize, mut table: Table, world: &mut World) {
    let name = vrf_name(vrf);
    leak(state, leaf, vrf, &mut table);
    let failed = |prefix: &IpNet| {
        let of = |fault: &Fault| match fault {
            Fault::Fib(on, service) if *on == leaf && state.plan.clusters[service.0].vrf == vrf => {
                state.plan.service(*service).vips.iter().any(|vip| IpNet::from(vip.address()) == *prefix)
            }
            _ => false,
        };
        state.faults.iter().any(of)
    };
    let facts = &mut world.leaves[leaf];
    facts.instances.insert(name.clone(), 3 + u32::try_from(vrf).expect("few"));
    let truth = world.network.leaves.get_mut(&leaf_name(leaf)).expect("a leaf of the plan");
    let world_cable = cable_of_world(state);
    let vrf: &mut Vrf = truth.vrfs.entry(name.clone()).or_default();
    for address in ["10.254.0.2", "fd00:fe::2"] {
        vrf.neighbors.insert(ip(address), Neighbor { mac: 999, port: Port::Cable(world_cable) });
    }
    for (prefix, candidate) in table {
        let failed = failed(&prefix);
        let next_hops = candidate.hops.iter().filter_map(|hop| shown(hop, prefix)).collect();
        let fact = RouteFact { owner: candidate.owner, preference: candidate.preference, next_hops, failed };
        facts.routes.insert((name.clone(), prefix), fact);
        vrf.routes.insert(prefix, Route { programmed: !failed, hops: candidate.hops });
    }
}

/// Adds the routes that an import policy has put into this VRF instead of the VRF of their session.
fn leak(state: State<'_>, leaf: usize, vrf: usize, table: &mut Table) {
    for fault in state.faults {
        let Fault::Leaked(on, service) = fault else { continue };
        if *on != leaf || state.plan.clusters[service.0].vrf == vrf {
            continue;
        }
        let nodes = (0..state.plan.clusters[service.0].nodes.len()).map(|node| (service.0, node));
        for node in nodes {
            for (prefix, v6, _) in state.sent(node, leaf).into_iter().filter(|(_, _, of)| of == service) {
                let address = state.plan.next_hop(node, v6);
                if is_link_local(address) {
                    continue;
                }
                let hop = Hop::ViaIn { vrf: vrf_name(state.plan.clusters[service.0].vrf), address };
                let empty = Candidate { owner: "bgp_mgr", preference: EVPN, hops: Vec::new() };
                let candidate = table.entry(prefix).or_insert(empty);
                if candidate.owner == "bgp_mgr" {
                    candidate.hops.push(hop);
                    candidate.hops.sort();
                    candidate.hops.dedup();
                }
            }
        }
    }
}

/// Returns the address that tables show for a next-hop.
fn shown(hop: &Hop, prefix: IpNet) -> Option<IpAddr> {
    match hop {
        Hop::Via(address) | Hop::ViaIn { address, .. } | Hop::Neighbor(address) => Some(*address),
        Hop::Connected => Some(gateway(prefix)),
        Hop::Tunnel { vtep, .. } => Some(*vtep),
        Hop::Vrf(_) | Hop::Discard | Hop::Own => None,
    }
}

/// Returns the BGP neighbors of a leaf.
fn neighbors(state: State<'_>, leaf: usize) -> BTreeMap<(String, IpAddr), NeighborFact> {
    let mut neighbors = BTreeMap::new();
    for node in state.plan.nodes() {
        let cluster = &state.plan.clusters[node.0];
        let (plan, peers) = (state.plan.node(node), state.peers(node));
        if !state.instance(leaf, cluster.vrf) || !(peers.contains(&leaf) || plan.peers.contains(&leaf)) {
            continue;
        }
        let established = peers.contains(&leaf) && state.established(node, leaf);
        if cluster.dynamic && !established {
            continue;
        }
        let unnumbered = cluster.unnumbered;
        let sessions = if unnumbered { [(false, false), (true, true)] } else { [(plan.v4, false), (plan.v6, true)] };
        for v6 in sessions.into_iter().filter(|(has, _)| *has).map(|(_, v6)| v6) {
            let sent = state.sent(node, leaf).into_iter().filter(|(_, over, _)| unnumbered || *over == v6);
            let prefixes: BTreeSet<IpNet> = sent.map(|(prefix, ..)| prefix).collect();
            let received = if established { u32::try_from(prefixes.len()).expect("few") } else { 0 };
            let fact = NeighborFact { established, dynamic: cluster.dynamic, received };
            neighbors.insert((vrf_name(cluster.vrf), state.plan.session(node, v6)), fact);
        }
    }
    for (number, cluster) in state.plan.clusters.iter().enumerate() {
        if cluster.router.is_some_and(|router| router.leaf == leaf) && state.instance(leaf, cluster.vrf) {
            let prefixes: BTreeSet<IpNet> = routed(state, number).into_iter().map(|(_, prefix, _)| prefix).collect();
            let received = u32::try_from(prefixes.len()).expect("few");
            let fact = NeighborFact { established: true, dynamic: false, received };
            for v6 in families(state, (number, 0)) {
                neighbors.insert((vrf_name(cluster.vrf), Plan::router(number, v6)), fact);
            }
        }
    }
    neighbors
}
