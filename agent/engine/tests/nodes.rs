//! Attachment, addresses, sessions and counts of nodes.

use std::net::IpAddr;

use super::fixtures::{BGP, EVPN, Lab, node_name};
use crate::model::cluster::Node;
use crate::model::cluster::TrafficPolicy::{Cluster, Local};
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId, Update};
use crate::model::switch::{Neighbor, SessionState};
use crate::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use crate::model::verdict::{AddressSource, AttachmentState, NodeReason, Reason};
use ipnet::IpNet;

#[test]
fn the_candidate_that_is_a_neighbor_here_wins_over_what_kubernetes_says() {
    let lab = Lab::new(true, 0);
    let wrong: IpAddr = "192.168.49.2".parse().expect("an address");
    let lab = lab.node_as(1, Node { internal: Box::from([wrong]), ..Node::default() });
    let view = lab.node_view(1);
    assert_eq!((view.attachment, view.reason), (AttachmentState::Unknown, Some(NodeReason::NodeAddressUnknown)));
    let right = lab.node_address(1);
    let lab = lab.with("c1", |c| drop(c.rules.fabric_addresses.insert(node_name(1), [right].into()))).attached(&[1]);
    let view = lab.node_view(1);
    assert_eq!((view.peers[0].address, view.peers[0].source), (right, AddressSource::Configured));
    assert_eq!((view.attachment, view.state), (AttachmentState::Attached, Up));
}

#[test]
fn a_dynamic_neighbor_that_vanishes_leaves_the_node_attached_and_its_session_down() {
    let lab = Lab::new(true, 1).attached(&[1]).neighbor(1, None);
    let view = lab.node_view(1);
    assert_eq!((view.attachment, view.state), (AttachmentState::Attached, Down));
    assert_eq!(view.reason, Some(NodeReason::SessionDown));
    assert_eq!(lab.said.memory.attachments.len(), 1);
}

#[test]
fn an_attachment_survives_a_restart_of_the_agent() {
    let memory = Lab::new(true, 1).attached(&[1]).said.memory;
    let lab = Lab::unsynced(true).tell(Event::Remembered(memory)).ndk_synced().gnmi_synced().cluster_synced().node(1);
    assert_eq!(lab.node_view(1).reason, Some(NodeReason::SessionDown));
    lab.service(Cluster).endpoints(&[1]).says(Down, Some(Reason::SessionDown));
}

#[test]
fn an_attachment_is_forgotten_when_the_host_route_moves_to_evpn_or_the_node_is_deleted() {
    let lab = Lab::new(true, 1).attached(&[1]).behind(1);
    assert_eq!(lab.node_view(1).attachment, AttachmentState::Attached, "a neighbor in state wins");
    let lab = lab.neighbor(1, None);
    assert_eq!(lab.node_view(1).attachment, AttachmentState::Remote);
    assert!(lab.said.memory.attachments.is_empty());
    let lab = Lab::new(true, 1).attached(&[1]).neighbor(1, None);
    let lab = lab.told("c1", ClusterEvent::Nodes(Update::Gone(node_name(1))));
    assert!(lab.said.memory.attachments.is_empty() && lab.said.nodes.is_empty());
}

#[test]
fn a_host_route_that_is_not_evpns_names_no_vtep() {
    let lab = Lab::new(true, 1);
    let (prefix, hop) = (IpNet::from(lab.node_address(1)), lab.vtep(1));
    let lab = lab.route_in("ip-vrf-1", prefix, BGP, &[hop]);
    assert_eq!(lab.node_view(1).attachment, AttachmentState::Unknown);
    let lab = lab.route_in("ip-vrf-1", prefix, EVPN, &[hop]);
    assert_eq!(lab.node_view(1).attachment, AttachmentState::Remote);
}

#[test]
fn a_dual_stack_node_has_a_row_per_address_in_use() {
    let lab = Lab::new(true, 0);
    let v6: IpAddr = "2001:db8:168::11".parse().expect("an address");
    let internal = Box::from([lab.node_address(1), v6]);
    let lab = lab.node_as(1, Node { internal, ..Node::default() }).attached(&[1]);
    assert_eq!(lab.node_view(1).peers.len(), 1, "an address nobody speaks from is not in use");
    let lab = Lab { v4: false, ..lab }.session(1, SessionState::Active);
    let view = lab.node_view(1);
    assert_eq!(view.peers.len(), 2);
    assert_eq!((view.state, view.reason), (Degraded, Some(NodeReason::SessionDown)));
}

#[test]
fn a_vip_of_one_family_may_use_sessions_of_the_other() {
    let lab = Lab::new(false, 1).attached(&[1]);
    let lab = Lab { v4: true, ..lab }.service(Cluster).endpoints(&[1]);
    let (vip, hop) = (IpNet::from(lab.vip_address()), "2001:db8:168::11".parse().expect("an address"));
    lab.route_in("ip-vrf-1", vip, BGP, &[hop]).says(Up, None);
}

#[test]
fn counts_follow_announcers_and_routes() {
    let lab = Lab::new(true, 2).service(Cluster).endpoints(&[1]).attached(&[1, 2]).via_nodes(&[1]);
    let figures = |lab: &Lab, node| (lab.node_view(node).expected_vips, lab.node_view(node).installed_vips);
    assert_eq!((figures(&lab, 1), figures(&lab, 2)), ((1, 1), (1, 0)));
    let lab = lab.service(Local);
    assert_eq!((figures(&lab, 1), figures(&lab, 2)), ((1, 1), (0, 0)));
    let lab = lab.no_route();
    assert_eq!(figures(&lab, 1), (1, 0));
}

#[test]
fn no_vip_received_only_where_it_is_certain() {
    let reason = |lab: &Lab, node| lab.node_view(node).reason;
    let lab = Lab::new(true, 2).service(Cluster).endpoints(&[1]).attached(&[1, 2]).via_nodes(&[1]);
    assert_eq!((reason(&lab, 1), reason(&lab, 2)), (None, Some(NodeReason::NoVipReceived)));
    let lab = lab.via_leaves(&[7]);
    assert_eq!(reason(&lab, 2), None, "a better path may hide it");
    let session = Some(SessionState::Established);
    let lab = lab.neighbor(2, Some(Neighbor { session, received_routes: Some(0), ..Neighbor::default() }));
    assert_eq!(reason(&lab, 2), Some(NodeReason::NoVipReceived));
    let lab = lab.via_nodes(&[1]).with("c1", |c| c.rules.ecmp_limit = Some(1)).attached(&[2]);
    assert_eq!(reason(&lab, 2), None, "the ECMP limit may hide it");
}

#[test]
fn without_gnmi_sessions_are_unknown_and_routes_judge() {
    let lab = Lab::new(true, 2).service(Cluster).endpoints(&[1]).attached(&[1, 2]).session(2, SessionState::Idle);
    let lab = lab.via_nodes(&[1]).says(Degraded, Some(Reason::SessionDown));
    let lab = lab.source(SourceId::Gnmi, SourceEvent::Lost("socket".into()));
    assert_eq!((lab.node_view(1).state, lab.node_view(2).state), (Up, Unknown));
    assert_eq!(lab.node_view(2).peers[0].session, None);
    lab.says(Degraded, Some(Reason::NextHopMissing));
}
