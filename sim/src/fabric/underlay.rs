//! The underlay of a leaf: eBGP to the spines, loopbacks, iBGP EVPN, and management.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::{
    AfiSafi, Neighbor, NetworkInstance, NetworkInstanceKind, NextHop, Route, RouteKey, SessionRecord, Tables,
};

use super::Fabric;
use super::config::{LeafConfig, Uplink};
use super::routing::{empty_instance, host, route, subnet};
use super::session::SessionKey;

const DEFAULT_ID: u32 = 1;
const MGMT_ID: u32 = 2;
const PREFERENCE: u8 = 170;
const FAMILIES: [&str; 2] = ["ipv4-unicast", "ipv6-unicast"];
/// MAC and MAC/IP routes of a gateway and of a node; the MAC route of a silent host; the multicast route of a MAC-VRF.
const GATEWAY_ROUTES: u32 = 2;
const NODE_ROUTES: u32 = 2;
const CLIENT_ROUTES: u32 = 1;
const MULTICAST_ROUTES: u32 = 1;

/// Returns the underlay and overlay sessions of a leaf, and whether they are up.
pub(super) fn sessions(fabric: &Fabric, leaf: &str) -> Vec<(String, bool)> {
    let config = &fabric.config.leaves[leaf];
    let underlay = config.uplinks.iter().map(|(interface, uplink)| (uplink.peer_name(interface), true));
    let overlay = reflectors(fabric, config).map(|address| (address.to_string(), fabric.overlay_up(leaf)));
    underlay.chain(overlay).collect()
}

/// Adds the network instances `default` and `mgmt`. `type5` is the number of prefixes each leaf advertises in EVPN.
pub(super) fn add(fabric: &Fabric, leaf: &str, type5: &BTreeMap<String, u32>, tables: &mut Tables) {
    let config = &fabric.config.leaves[leaf];
    let default = tables
        .network_instances
        .entry("default".to_owned())
        .or_insert_with(|| empty_instance(DEFAULT_ID, NetworkInstanceKind::Default));
    default.router_id = Some(fabric.config.vtep(leaf));
    default.routes.extend(loopbacks(fabric, leaf, config));
    default.neighbors.extend(underlay(fabric, leaf, config));
    default.neighbors.extend(overlay(fabric, leaf, config, type5));
    if let Some(address) = config.management {
        tables.network_instances.insert("mgmt".to_owned(), management(address));
    }
}

/// Returns the routes to the leaf's own loopbacks, and to all others through the spines.
fn loopbacks(fabric: &Fabric, leaf: &str, config: &LeafConfig) -> Vec<(RouteKey, Route)> {
    let own = config.system.iter().map(|address| host(IpNet::from(*address), 1, NextHop::Extract));
    let leaves = fabric.config.leaves.iter().filter(|(name, _)| *name != leaf);
    let leaves = leaves.flat_map(|(_, other)| other.system.iter().map(|address| (*address, None)));
    let spines = fabric.config.spines.iter();
    let spines = spines.flat_map(|(name, spine)| spine.system.iter().map(move |address| (*address, Some(name))));
    let learned = leaves.chain(spines).filter_map(|(address, only)| {
        let uplinks = config.uplinks.iter().filter(|(_, uplink)| only.is_none_or(|spine| *spine == uplink.spine));
        let next_hops: Vec<NextHop> = uplinks
            .map(|(interface, uplink)| NextHop::Direct { address: uplink.peer, subinterface: interface.clone() })
            .collect();
        (!next_hops.is_empty()).then(|| route(IpNet::from(address), "bgp", "bgp_mgr", 0, PREFERENCE, next_hops))
    });
    let links = config.uplinks.iter().filter_map(|(interface, uplink)| Some((interface, uplink.address?)));
    let links = links.enumerate().flat_map(|(position, (interface, net))| subnet(net, interface, 2 + count(position)));
    own.chain(links).chain(learned).map(active).collect()
}

fn active((key, mut route): (RouteKey, Route)) -> (RouteKey, Route) {
    route.active = true;
    (key, route)
}

/// Returns the sessions with the spines. A spine sends every loopback except this leaf's, and receives those that are
/// best through another spine.
fn underlay(fabric: &Fabric, leaf: &str, config: &LeafConfig) -> Vec<(String, Neighbor)> {
    let others = count(fabric.config.leaves.len().saturating_sub(1));
    let spines = count(fabric.config.spines.len());
    let neighbor = |(position, (interface, uplink)): (usize, (&String, &Uplink))| {
        let peer = uplink.peer_name(interface);
        let beyond = if position == 0 { 0 } else { others };
        let sent = spines + beyond;
        let counters = AfiSafi { received: others + 1, active: others + 1, rejected: 0, sent };
        let neighbor = Neighbor {
            session_state: "established".to_owned(),
            last_established: None,
            established_transitions: 0,
            peer_as: fabric.config.spines[&uplink.spine].autonomous_system,
            local_as: config.autonomous_system,
            peer_group: "spines".to_owned(),
            dynamic: uplink.address.is_none(),
            local_address: uplink.address.map(|net| net.addr()),
            afi_safis: families(uplink).iter().map(|family| ((*family).to_owned(), counters)).collect(),
            record: SessionRecord::default(),
        };
        (peer.clone(), fabric.with_history(&key(leaf, peer), neighbor))
    };
    config.uplinks.iter().enumerate().map(neighbor).collect()
}

/// Returns the address families of a session: a numbered link carries only IPv4.
fn families(uplink: &Uplink) -> &'static [&'static str] {
    if uplink.address.is_some() { &FAMILIES[..1] } else { &FAMILIES }
}

/// Returns the EVPN sessions with the route reflectors. The routes of the first one are active.
fn overlay(fabric: &Fabric, leaf: &str, config: &LeafConfig, type5: &BTreeMap<String, u32>) -> Vec<(String, Neighbor)> {
    let up = fabric.overlay_up(leaf);
    let total = |leaf: &str| type5.get(leaf).copied().unwrap_or_default() + layer2_routes(fabric, leaf);
    let others = fabric.config.leaves.keys().filter(|other| *other != leaf && fabric.overlay_up(other));
    let received: u32 = others.map(|other| total(other)).sum();
    let neighbor = |(position, address): (usize, IpAddr)| {
        let active = if position == 0 { received } else { 0 };
        let counters = AfiSafi { received, active, rejected: 0, sent: total(leaf) };
        let neighbor = Neighbor {
            session_state: if up { "established" } else { "active" }.to_owned(),
            last_established: None,
            established_transitions: 0,
            peer_as: fabric.config.overlay_as,
            local_as: fabric.config.overlay_as,
            peer_group: "overlay".to_owned(),
            dynamic: false,
            local_address: Some(fabric.config.vtep(leaf)),
            afi_safis: up.then(|| ("evpn".to_owned(), counters)).into_iter().collect(),
            record: SessionRecord::default(),
        };
        (address.to_string(), fabric.with_history(&key(leaf, address.to_string()), neighbor))
    };
    reflectors(fabric, config).enumerate().map(neighbor).collect()
}

/// Returns the spines' loopbacks in the address family of the VTEPs.
fn reflectors<'a>(fabric: &'a Fabric, config: &LeafConfig) -> impl Iterator<Item = IpAddr> + use<'a> {
    let linked: Vec<String> = config.uplinks.values().map(|uplink| uplink.spine.clone()).collect();
    let spines = fabric.config.spines.iter().filter(move |(name, _)| linked.contains(name));
    spines.filter_map(|(_, spine)| spine.system.iter().find(|address| address.is_ipv4()).copied())
}

/// Returns the number of EVPN routes of a leaf's MAC-VRFs.
fn layer2_routes(fabric: &Fabric, leaf: &str) -> u32 {
    let config = &fabric.config;
    let bridged = config.network_instances.keys().flat_map(|instance| config.subinterfaces(leaf, instance)).count();
    let nodes = config.nodes().filter(|(cluster, _, name, node)| {
        let key = super::NodeKey { cluster: (*cluster).clone(), node: (*name).clone() };
        fabric.attachments(&key, &node.leaves).iter().any(|attached| attached == leaf)
    });
    let clients = config.clients.values().filter(|client| client.leaf == leaf);
    count(bridged) * (MULTICAST_ROUTES + GATEWAY_ROUTES)
        + count(nodes.count()) * NODE_ROUTES
        + count(clients.count()) * CLIENT_ROUTES
}

/// Returns the management network instance. It has no VIPs, but its routes are in the NDK's stream.
fn management(address: IpNet) -> NetworkInstance {
    let mut instance = empty_instance(MGMT_ID, NetworkInstanceKind::IpVrf);
    instance.router_id = Some(address.addr());
    instance.routes.extend(subnet(address, "mgmt0.0", 1).into_iter().map(active));
    if let Some(gateway) = address.hosts().next() {
        let everything = if address.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let prefix = everything.parse().expect("a literal prefix");
        let resolving = Some((address.trunc(), "local".to_owned(), "net_inst_mgr".to_owned()));
        let next_hop = NextHop::Indirect { address: gateway, resolving };
        instance.routes.extend([active(route(prefix, "dhcp", "dhcp_client_mgr", 0, 5, vec![next_hop]))]);
    }
    instance
}

fn key(leaf: &str, peer: String) -> SessionKey {
    SessionKey { leaf: leaf.to_owned(), instance: "default".to_owned(), peer }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
