//! VIPs that one node answers ARP or ND for, instead of announcing them by BGP.
//!
//! The MAC that answers shows which node it is, where gNMI returns the ARP/ND entries of the VIP and of the nodes. Where it does
//! not, one node of the cluster is as likely as another, and the VIP is judged like one whose next-hop no node explains.

use std::net::IpAddr;
use std::sync::Arc;

use super::evidence::{Evidence, Hop, Matched, World};
use super::next_hops::{NextHops, Standing, foreign_node};
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::node_sets::VipAnnouncement;
use crate::engine::facts::nodes::{Expectation, NodeEntry, Place};
use crate::engine::facts::sources::GnmiPhase;
use crate::engine::facts::switch::EVPN_OWNER;
use crate::model::config::AnnouncementMode;
use crate::model::inquiry::AddressKey;
use crate::model::names::NodeName;
use crate::model::verdict::{Announcement, NextHopKind};

/// How a VIP is made known here. Once it was by BGP, or by an answer, it stays so until the other is seen.
pub(crate) fn announcement(
    world: &World<'_>,
    cluster: &Cluster,
    vip: IpAddr,
    found: Option<(&Matched, Standing)>,
) -> Announcement {
    let routed = found.is_some_and(|(found, standing)| standing != Standing::Other && !found.is_connected());
    let mode = match cluster.config.rules.announcement {
        AnnouncementMode::Auto if is_by_l2_only(cluster, vip) => AnnouncementMode::L2,
        mode => mode,
    };
    match mode {
        AnnouncementMode::Bgp => return Announcement::Bgp,
        // A route that BGP brought is judged as one.
        AnnouncementMode::L2 if found.is_some_and(|(found, _)| is_speakers(found)) => return Announcement::Bgp,
        AnnouncementMode::L2 => return Announcement::L2,
        AnnouncementMode::Auto if routed => return Announcement::Bgp,
        AnnouncementMode::Auto => {}
    }
    if !cluster.at_address(vip).is_empty() {
        return Announcement::L2;
    }
    if cluster.carrying(vip).any(|entry| entry.announcement(vip).is_some_and(is_by_bgp)) {
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

/// The speaker's resources announce it by BGP.
fn is_by_bgp(announcement: &VipAnnouncement) -> bool {
    announcement.nobody.is_none() && announcement.prefix.is_some()
}

/// The speaker's resources, or the classes of its services, let a node answer ARP and ND for it, and nobody announce it by BGP.
fn is_by_l2_only(cluster: &Cluster, vip: IpAddr) -> bool {
    let by_l2 = |entry: &ServiceEntry| {
        let by_resources = entry.announcement(vip).is_some_and(|announcement| announcement.by_l2_only);
        by_resources || cluster.profile().is_of_l2_class(&entry.service)
    };
    let by_bgp = |entry: &ServiceEntry| entry.announcement(vip).is_some_and(is_by_bgp) && !by_l2(entry);
    cluster.carrying(vip).any(by_l2) && !cluster.carrying(vip).any(by_bgp)
}

/// A host route that neither EVPN nor this leaf has brought.
fn is_speakers(found: &Matched) -> bool {
    found.is_host() && !found.is_connected() && !found.is_evpn()
}

/// The subnet that holds the VIP, of an interface here or by EVPN, is the one that holds a node of the cluster.
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

/// What is known of a VIP that is announced by ARP or ND.
pub(crate) fn gather(next_hops: &NextHops<'_>, found: Option<Matched>, evidence: &mut Evidence) {
    let usable = next_hops.endpoints.usable > 0;
    evidence.expectation = Arc::new(Expectation { announcers: 1, ..Expectation::default() });
    let Some(found) = found else { return };
    if found.is_host() {
        // What gNMI said last of MACs holds, as far as it says that the VIP is served.
        let heard = next_hops.world.phase.gnmi == GnmiPhase::Live;
        evidence.contested = found.is_connected() && heard && is_contested(next_hops);
        evidence.hops = match found.is_connected() {
            true => vec![answering(next_hops)],
            false => next_hops.hops(Some(&found), &Expectation::default()),
        };
        for hop in evidence.hops.iter_mut().filter(|hop| !hop.serves && hop.foreign.is_none()) {
            match hop.kind {
                NextHopKind::Vtep | NextHopKind::Unmapped if hop.usable.is_none() => {
                    (hop.expected, hop.may_serve, hop.doubtful) = (true, usable, false);
                }
                // Behind a leaf the one may answer that nobody can place.
                NextHopKind::Vtep => (hop.may_serve, hop.doubtful) = (next_hops.has_serving_anywhere(), false),
                NextHopKind::Local | NextHopKind::L2 | NextHopKind::Transit | NextHopKind::Unmapped => {}
            }
        }
        evidence.route = Some(found);
    } else if found.is_connected() {
        evidence.unresolved = true;
    } else if found.is_evpn() {
        // The subnet is another leaf's, which resolves the VIP: by a node without an endpoint, for all that is known here.
        evidence.hops = next_hops.hops(Some(&found), &Expectation::default());
        let anywhere = next_hops.cluster.nodes.iter().any(|(_, node)| node.location.place != Place::Unlocated);
        for hop in &mut evidence.hops {
            hop.serves = usable && !next_hops.local_policy && anywhere;
            hop.may_serve = usable && !hop.serves;
            // That a node of the cluster is alive at all is shown by nothing.
            hop.doubtful = hop.may_serve && !anywhere;
        }
        evidence.route = Some(found);
    } else {
        evidence.unserving = Some(found);
    }
}

/// Two answer for the VIP.
fn is_contested(next_hops: &NextHops<'_>) -> bool {
    let network_instance = next_hops.cluster.config.rules.network_instance.clone();
    next_hops.world.inquiries.is_contested(&AddressKey { network_instance, address: next_hops.vip })
}

/// The node that the speaker has elected to answer, where another one does. While an election is under way several are.
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

/// Who answers ARP or ND for a VIP here.
enum Holder<'a> {
    /// Nodes of the cluster: one, by its address or by its MAC.
    Nodes(Vec<u32>),
    /// A node of another cluster.
    Foreign(&'a Cluster, Vec<u32>),
    /// Nobody of whom anything is known, and every node has another MAC.
    Stranger,
    /// It has a MAC that no node is known to have, and not every node's MAC is known.
    Unplaced,
    /// The MAC is not known.
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
    let of = |cluster: &Cluster| {
        let addresses = world.inquiries.at_mac(instance, &mac);
        let mut nodes: Vec<u32> = addresses.flat_map(|address| cluster.at_address(address)).copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    };
    let nodes = of(cluster);
    if !nodes.is_empty() {
        return Holder::Nodes(nodes);
    }
    let mut foreign = next_hops.others().map(|other| (other, of(other))).filter(|(_, nodes)| !nodes.is_empty());
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

/// What answers here, as a next-hop.
fn answering(next_hops: &NextHops<'_>) -> Hop {
    let holder = holder(next_hops);
    let mut hop = Hop { expected: true, installed: true, ..Hop::new(next_hops.vip, NextHopKind::L2) };
    let usable = next_hops.endpoints.usable > 0;
    match holder {
        Holder::Nodes(nodes) => {
            next_hops.name_nodes(&mut hop, &nodes);
            hop.serves = next_hops.serve(&nodes);
            // The entry may be older than the node's end.
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
