//! VIPs that one node answers ARP or ND for, instead of announcing them by BGP.
//!
//! Which node it is would be told by the MAC in the ARP/ND table; as long as that is not read, one node of the cluster is as
//! likely as another, and the VIP is judged like one whose next-hop no node explains.

use std::net::IpAddr;
use std::sync::Arc;

use super::evidence::{Evidence, Hop, Matched, Session, World};
use super::next_hops::{NextHops, Standing};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::node_sets::VipAnnouncement;
use crate::engine::facts::nodes::Expectation;
use crate::engine::facts::switch::EVPN_OWNER;
use crate::model::config::AnnouncementMode;
use crate::model::verdict::{Announcement, AttachmentState, NextHopKind};

/// How a VIP is made known here. Once it was by BGP, or by an answer, it stays so until the other is seen.
pub(crate) fn announcement(
    world: &World<'_>,
    cluster: &Cluster,
    vip: IpAddr,
    found: Option<(&Matched, Standing)>,
) -> Announcement {
    let routed = found.is_some_and(|(found, standing)| standing != Standing::Other && !found.is_connected());
    match cluster.config.rules.announcement {
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
    // The speaker's resources announce it by BGP.
    let told = |told: &VipAnnouncement| told.nobody.is_none() && told.prefix.is_some();
    if cluster.carrying(vip).any(|entry| entry.announcement(vip).is_some_and(told)) {
        return Announcement::Bgp;
    }
    if let Some(known) = cluster.vips.get(&vip).and_then(|entry| entry.announced) {
        return known;
    }
    let answers = found.is_some_and(|(found, _)| found.is_host() && found.is_connected());
    let has_neighbor = || cluster.nodes.iter().any(|(_, node)| node.location.attachment() == AttachmentState::Attached);
    match beside_nodes(world, cluster, vip) && (answers || !has_neighbor()) {
        true => Announcement::L2,
        false => Announcement::Bgp,
    }
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
        evidence.hops = match found.is_connected() {
            true => vec![answering(next_hops)],
            false => next_hops.hops(Some(&found), &Expectation::default()),
        };
        for hop in evidence.hops.iter_mut().filter(|hop| hop.is_unexplained() || hop.kind == NextHopKind::L2) {
            (hop.expected, hop.may_serve) = (true, usable && hop.usable.is_none());
        }
        evidence.route = Some(found);
    } else if found.is_connected() {
        evidence.unresolved = true;
    } else if found.is_evpn() {
        // The subnet is another leaf's, which resolves the VIP: by a node without an endpoint, for all that is known here.
        evidence.hops = next_hops.hops(Some(&found), &Expectation::default());
        for hop in &mut evidence.hops {
            hop.serves = usable && !next_hops.local_policy;
            hop.may_serve = usable && !hop.serves;
        }
        evidence.route = Some(found);
    } else {
        evidence.unserving = Some(found);
    }
}

/// What answers here: a node where the VIP is its own address, else nobody knows.
fn answering(next_hops: &NextHops<'_>) -> Hop {
    let nodes = next_hops.cluster.at_address(next_hops.vip);
    let node = nodes.iter().filter_map(|slot| next_hops.cluster.node_name(*slot)).min();
    Hop {
        address: next_hops.vip,
        kind: NextHopKind::L2,
        node: node.cloned(),
        foreign: None,
        expected: true,
        installed: true,
        serves: node.is_some() && next_hops.serve(nodes),
        may_serve: false,
        doubtful: false,
        session: Session::Unknown,
        usable: node.map(|_| next_hops.endpoints.behind(nodes)),
    }
}
