//! Judges VIPs that one node answers ARP or ND for, instead of announcing them by BGP.
//!
//! The MAC that answers shows which node it is, if gNMI returns the ARP/ND entries of the VIP and of the nodes.
//! Otherwise any node of the cluster is as likely as another, and the VIP is judged like one whose next-hop is not
//! known as a node's.

use std::net::IpAddr;
use std::sync::Arc;

use super::evidence::{Evidence, Hop, Matched, World};
use super::next_hops::{NextHops, Standing, foreign_node};
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::nodes::{Expectation, NodeEntry};
use crate::engine::facts::places::Place;
use crate::engine::facts::sources::GnmiPhase;
use crate::engine::facts::switch::EVPN_OWNER;
use crate::model::config::AnnouncementMode;
use crate::model::inquiry::AddressKey;
use crate::model::names::NodeName;
use crate::model::verdict::{Announcement, NextHopKind};

/// Returns how a VIP is announced here. Once it was seen by BGP, or by an answer, that stays until the other is seen.
pub(crate) fn announcement(
    world: &World<'_>,
    cluster: &Cluster,
    vip: IpAddr,
    found: Option<(&Matched, Standing)>,
) -> Announcement {
    let routed = found.is_some_and(|(found, standing)| standing != Standing::Other && !found.is_connected());
    let carriers = world.shared.carriers(cluster, vip);
    let mode = match cluster.config.rules.announcement {
        AnnouncementMode::Auto if carriers.by_l2_only => AnnouncementMode::L2,
        mode => mode,
    };
    match mode {
        AnnouncementMode::Bgp => return Announcement::Bgp,
        // A route from a speaker is judged as one by BGP.
        AnnouncementMode::L2 if found.is_some_and(|(found, _)| is_speakers(found)) => return Announcement::Bgp,
        AnnouncementMode::L2 => return Announcement::L2,
        AnnouncementMode::Auto if routed => return Announcement::Bgp,
        AnnouncementMode::Auto => {}
    }
    if !cluster.at_address(vip).is_empty() {
        return Announcement::L2;
    }
    if carriers.by_bgp {
        return Announcement::Bgp;
    }
    if let Some(known) = cluster.vips.get(&vip).and_then(|entry| entry.announced) {
        return known;
    }
    let answers = found.is_some_and(|(found, _)| found.is_host() && found.is_connected());
    let has_neighbor = || cluster.places.counts().attached > 0;
    match beside_nodes(world, cluster, vip) && (answers || !has_neighbor()) {
        true => Announcement::L2,
        false => Announcement::Bgp,
    }
}

/// Returns whether this is a host route that is neither from EVPN nor of this leaf itself.
fn is_speakers(found: &Matched) -> bool {
    found.is_host() && !found.is_connected() && !found.is_evpn()
}

/// Returns whether the subnet of the VIP, from an interface here or from EVPN, is also the subnet of a node of the
/// cluster.
fn beside_nodes(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> bool {
    let (switch, instance) = (world.switch, &cluster.config.rules.network_instance);
    let Some(subnet) = switch.subnet(instance, vip) else { return false };
    if !switch.is_connected(&subnet.route) && !switch.owned_by(&subnet.route, EVPN_OWNER) {
        return false;
    }
    let holds = |address: IpAddr| {
        subnet.prefix.contains(&address)
            && switch.subnet(instance, address).is_some_and(|other| other.prefix == subnet.prefix)
    };
    cluster.nodes.iter().any(|(_, node)| node.location.candidates.iter().any(|(address, _)| holds(*address)))
}

/// Gathers the evidence about a VIP that is announced by ARP or ND.
pub(crate) fn gather(next_hops: &NextHops<'_>, found: Option<Matched>, evidence: &mut Evidence) {
    let usable = next_hops.endpoints.usable > 0;
    evidence.expectation = Arc::new(Expectation { announcers: 1, ..Expectation::default() });
    let Some(found) = found else { return };
    if found.is_host() {
        // Without gNMI, the last known MACs count only as far as they show that the VIP is served.
        let heard = next_hops.world.phase.gnmi == GnmiPhase::Live;
        evidence.contested = if found.is_connected() && heard { contestants(next_hops) } else { None };
        evidence.hops = match found.is_connected() {
            true => vec![answering(next_hops)],
            false => next_hops.hops(Some(&found), &Expectation::default()),
        };
        for hop in evidence.hops.iter_mut().filter(|hop| !hop.serves && hop.foreign.is_none()) {
            match hop.kind {
                NextHopKind::Vtep | NextHopKind::Unmapped if hop.usable.is_none() => {
                    (hop.expected, hop.may_serve, hop.doubtful) = (true, usable, false);
                }
                // A serving node that is not known to be behind other leaves only may be behind this one.
                NextHopKind::Vtep => (hop.may_serve, hop.doubtful) = (next_hops.has_serving_anywhere(), false),
                NextHopKind::Local | NextHopKind::L2 | NextHopKind::Transit | NextHopKind::Unmapped => {}
            }
        }
        evidence.route = Some(found);
    } else if found.is_connected() {
        evidence.unresolved = true;
    } else if found.is_evpn() {
        // The subnet is another leaf's, and that leaf resolves the VIP; for all that is known here, to a node without
        // an endpoint.
        evidence.hops = next_hops.hops(Some(&found), &Expectation::default());
        let anywhere = next_hops.cluster.nodes.iter().any(|(_, node)| node.location.place != Place::Unlocated);
        for hop in &mut evidence.hops {
            hop.serves = usable && !next_hops.local_policy && anywhere;
            hop.may_serve = usable && !hop.serves;
            // Nothing shows that any node of the cluster is alive.
            hop.doubtful = hop.may_serve && !anywhere;
        }
        evidence.route = Some(found);
    } else {
        evidence.unserving = Some(found);
    }
}

/// Describes the two hosts that answer for the VIP, if there are two.
fn contestants(next_hops: &NextHops<'_>) -> Option<String> {
    let (world, cluster) = (next_hops.world, next_hops.cluster);
    let network_instance = cluster.config.rules.network_instance.clone();
    let macs = world.inquiries.contestants(&AddressKey { network_instance, address: next_hops.vip })?;
    let host = |mac: &Arc<str>| match nodes_with(world, cluster, mac).first().and_then(|slot| cluster.node_name(*slot))
    {
        Some(node) => format!("{mac} ({node})"),
        None => format!("{mac} (no known node)"),
    };
    Some(macs.each_ref().map(host).join(" and "))
}

/// Returns the nodes of a cluster that ARP or ND resolved to a MAC.
fn nodes_with(world: &World<'_>, cluster: &Cluster, mac: &Arc<str>) -> Vec<u32> {
    let addresses = world.inquiries.at_mac(&cluster.config.rules.network_instance, mac);
    let mut nodes: Vec<u32> = addresses.flat_map(|address| cluster.at_address(address)).copied().collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Returns the node that the speaker has elected to answer, if another one answers. Several nodes may be elected while
/// an election is under way.
pub(crate) fn elected_instead(cluster: &Cluster, entry: &ServiceEntry, evidence: &Evidence) -> Option<NodeName> {
    let elected: Vec<&NodeName> = match cluster.profile().elected(&entry.service) {
        Some(elected) => vec![elected],
        None => cluster.resources.answering(&entry.key).into_iter().flatten().collect(),
    };
    let is_known = |elected: &&NodeName| cluster.node_slot(elected).is_some();
    let first = elected.iter().copied().filter(is_known).min()?;
    let mut answering = evidence.installed().filter(|hop| hop.kind == NextHopKind::L2 && hop.serves);
    let is_another = |hop: &Hop| !hop.node.as_ref().is_some_and(|node| elected.contains(&node));
    answering.any(is_another).then(|| first.clone())
}

/// What answers ARP or ND for a VIP here.
enum Holder<'a> {
    /// One node of the cluster, known by its address or by its MAC.
    Nodes(Vec<u32>),
    /// A node of another cluster.
    Foreign(&'a Cluster, Vec<u32>),
    /// A host of which nothing is known, since every node has another MAC.
    Stranger,
    /// A host whose MAC is not known as a node's, while not every node's MAC is known.
    Unplaced,
    /// A host whose MAC is not known.
    Unknown,
}

fn holder<'a>(next_hops: &'a NextHops<'_>) -> Holder<'a> {
    let (world, cluster) = (next_hops.world, next_hops.cluster);
    let own = cluster.at_address(next_hops.vip);
    if !own.is_empty() {
        return Holder::Nodes(own.to_vec());
    }
    let instance = &cluster.config.rules.network_instance;
    let key = |address| AddressKey { network_instance: instance.clone(), address };
    let Some(mac) = world.inquiries.answering(&key(next_hops.vip)) else { return Holder::Unknown };
    let nodes = nodes_with(world, cluster, &mac);
    if !nodes.is_empty() {
        return Holder::Nodes(nodes);
    }
    let mut foreign =
        next_hops.others().map(|other| (other, nodes_with(world, other, &mac))).filter(|(_, nodes)| !nodes.is_empty());
    if let Some((other, nodes)) = foreign.next() {
        return Holder::Foreign(other, nodes);
    }
    let has_mac = |node: &NodeEntry| {
        let mut addresses = node.location.candidates.iter().map(|(address, _)| *address);
        addresses.any(|address| world.inquiries.has_mac(&key(address)))
    };
    match cluster.nodes.iter().all(|(_, node)| has_mac(node)) {
        true => Holder::Stranger,
        false => Holder::Unplaced,
    }
}

/// Returns what answers here, as a next-hop.
fn answering(next_hops: &NextHops<'_>) -> Hop {
    let holder = holder(next_hops);
    let mut hop = Hop { expected: true, installed: true, ..Hop::new(next_hops.vip, NextHopKind::L2) };
    let usable = next_hops.endpoints.usable > 0;
    match holder {
        Holder::Nodes(nodes) => {
            next_hops.name_nodes(&mut hop, &nodes);
            hop.serves = next_hops.serve(&nodes);
            // The ARP/ND entry may have outlived the node.
            hop.doubtful = hop.serves && !nodes.iter().any(|slot| next_hops.is_alive(*slot));
        }
        Holder::Foreign(other, nodes) => {
            hop.foreign = foreign_node(other, &nodes);
            hop.serves = next_hops.share(other, &nodes);
        }
        Holder::Stranger => {}
        Holder::Unplaced => (hop.may_serve, hop.doubtful) = (usable, usable),
        Holder::Unknown => hop.may_serve = usable,
    }
    if next_hops.world.phase.gnmi != GnmiPhase::Live && !hop.serves && !hop.may_serve {
        (hop.may_serve, hop.doubtful) = (usable, usable);
    }
    hop
}
