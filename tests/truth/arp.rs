//! VIPs announced by ARP and ND: which MAC address the entries of a leaf hold.

use std::collections::BTreeMap;
use std::net::IpAddr;

use srl_sim::truth::{Location, Neighbor, Network, Port};

use crate::control::{bridge_name, cable_of_world, host_of};
use crate::fault::Fault;
use crate::plan::{NodeId, ServiceId, leaf_name, vrf_name};
use crate::state::State;

/// The MAC address of a host that is not a node.
const STRANGER: u64 = 900;

fn mac_of(state: State<'_>, node: NodeId) -> u64 {
    host_of(state, node) as u64 + 1
}

/// Returns the node that a leaf's entry for a service's VIPs belongs to, if no stranger has answered there.
fn holder(state: State<'_>, leaf: usize, service: ServiceId) -> Option<NodeId> {
    let settled = State { plan: state.plan, faults: &[] };
    let stale = state.broken(Fault::StaleArp(leaf, service));
    stale.then(|| settled.holder(service)).flatten().or_else(|| state.holder(service))
}

/// Whether a host that is not a node was the last to answer a leaf, or answers it in turn with a node.
fn has_stranger(state: State<'_>, leaf: usize, service: ServiceId) -> bool {
    state.broken(Fault::Stranger(leaf, service)) || state.broken(Fault::Duplicate(leaf, service))
}

/// Whether a node's MAC address is, or was, at a port of a leaf.
fn is_here(state: State<'_>, leaf: usize, node: NodeId) -> bool {
    state.answers_on(node).contains(&leaf) || state.broken(Fault::NodeDown(node)) && state.leaves(node).contains(&leaf)
}

/// Puts the entries of a service's VIPs into the tables of all leaves that have the subnet: an arriving packet makes a
/// leaf resolve them.
pub(crate) fn resolve(state: State<'_>, service: ServiceId, network: &mut Network) {
    let cluster = &state.plan.clusters[service.0];
    let subnet = (service.0, 0);
    for leaf in (0..state.plan.leaves.len()).filter(|leaf| cluster.l2 && state.gateway(*leaf, subnet)) {
        let stranger = has_stranger(state, leaf, service);
        let Some(mac) =
            (if stranger { Some(STRANGER) } else { holder(state, leaf, service).map(|node| mac_of(state, node)) })
        else {
            continue;
        };
        let truth = network.leaves.get_mut(&leaf_name(leaf)).expect("a leaf of the plan");
        let bridge = bridge_name(state, subnet);
        if stranger {
            let port = Location::Cable(cable_of_world(state) + 1 + state.plan.clusters.len());
            truth.bridges.entry(bridge.clone()).or_default().macs.insert(STRANGER, port);
        }
        let table = truth.vrfs.entry(vrf_name(cluster.vrf)).or_default();
        for vip in &state.plan.service(service).vips {
            table.neighbors.insert(vip.address(), Neighbor { mac, port: Port::Bridge(bridge.clone()) });
        }
    }
}

/// Returns the host routes of a leaf to VIPs that something at its ports answers for, and whether EVPN has each of
/// them.
pub(crate) fn host_routes(state: State<'_>, leaf: usize, vrf: usize) -> Vec<(IpAddr, bool)> {
    let mut routes = Vec::new();
    for service in state.plan.services() {
        let cluster = &state.plan.clusters[service.0];
        let asked = !state.broken(Fault::Unasked(leaf, service)) && state.gateway(leaf, (service.0, 0));
        if !cluster.l2 || cluster.vrf != vrf || !state.plan.host_routes || !asked {
            continue;
        }
        let here = holder(state, leaf, service).is_some_and(|node| is_here(state, leaf, node));
        // If the entry is stale here, another leaf has a newer one.
        let exported = here && !state.broken(Fault::StaleArp(leaf, service)) && !has_stranger(state, leaf, service);
        if here || has_stranger(state, leaf, service) {
            routes.extend(state.plan.service(service).vips.iter().map(|vip| (vip.address(), exported)));
        }
    }
    routes
}

/// Returns what the ARP and ND tables of a leaf show.
pub(crate) fn shown(state: State<'_>, leaf: usize, network: &Network) -> BTreeMap<(String, IpAddr), Vec<u64>> {
    let mut entries = BTreeMap::new();
    let tables = network.leaves.get(&leaf_name(leaf)).into_iter().flat_map(|leaf| &leaf.vrfs);
    for (vrf, table) in tables {
        entries.extend(table.neighbors.iter().map(|(address, entry)| ((vrf.clone(), *address), vec![entry.mac])));
    }
    for service in state.plan.services().filter(|service| state.plan.clusters[service.0].l2) {
        let vrf = vrf_name(state.plan.clusters[service.0].vrf);
        for vip in &state.plan.service(service).vips {
            let key = (vrf.clone(), vip.address());
            if state.broken(Fault::Unasked(leaf, service)) {
                entries.remove(&key);
            } else if state.broken(Fault::Duplicate(leaf, service))
                && let Some(macs) = entries.get_mut(&key)
            {
                macs.extend(holder(state, leaf, service).map(|node| mac_of(state, node)));
            }
        }
    }
    entries
}
