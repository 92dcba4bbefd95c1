//! Tests of attachments, orphans, sharing, and of what must not be left behind.

use std::time::Duration;

use srl_k8s_services::model::cluster::TrafficPolicy::{Cluster, Local};
use srl_k8s_services::model::cluster::{AddressFamily, Node};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, Update};
use srl_k8s_services::model::persistent::{Attachment, PersistentState};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::SessionState;
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::{AttachmentState, NodeReason, Reason, SourceState};

use crate::scenario::{BGP, C1, Family, Scenario, VRF, at, cluster_config, endpoint, ip, key, load_balancer, vtep};

fn attachment(family: Family, n: u8) -> Attachment {
    Attachment { cluster: C1.into(), node: format!("n{n}").into(), address: family.node(n) }
}

/// One attached node whose session is up, one service, and its route.
fn one_node(family: Family) -> Scenario {
    let mut leaf = Scenario::new();
    leaf.attached("n1", family.node(1)).service("web", Cluster, &[family.vip(100)]).ready("web", &["n1"]);
    leaf.bgp(family.vip(100), &[family.node(1)]);
    leaf
}

#[test]
fn a_vanished_dynamic_neighbor_is_remembered_as_attached_and_down() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = one_node(family);
        assert!(leaf.said.attachments.contains(&attachment(family, 1)));
        leaf.vanish(family.node(1)).withdraw(vip);
        leaf.expect(vip, Down, Some(Reason::SessionDown), &[&family.node(1)]);
        let node = leaf.node_view("n1");
        assert_eq!((node.attachment, node.reason), (AttachmentState::Attached, Some(NodeReason::SessionDown)));
        leaf.up(family.node(1)).bgp(vip, &[family.node(1)]).expect(vip, Up, None, &[]);
    }
}

#[test]
fn attachments_survive_a_restart_of_the_agent() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
        leaf.event(Event::Restored(PersistentState {
            attachments: [attachment(family, 1)].into(),
            ..PersistentState::default()
        }));
        leaf.node("n1", &[family.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
        for source in [SourceId::Ndk, SourceId::Gnmi, SourceId::Kubernetes(C1.into())] {
            leaf.source(source, SourceEvent::Synced);
        }
        leaf.expect(vip, Down, Some(Reason::SessionDown), &[&family.node(1)]);
    }
}

#[test]
fn a_host_route_that_moves_to_evpn_ends_an_attachment_without_a_neighbor() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = one_node(family);
        leaf.evpn(family.node(1), &[vtep(2)]);
        assert_eq!(leaf.node_view("n1").attachment, AttachmentState::Attached, "a neighbor in state wins");
        leaf.vanish(family.node(1)).evpn(vip, &[vtep(2)]).expect(vip, Up, None, &[]);
        assert_eq!(leaf.node_view("n1").attachment, AttachmentState::Remote);
        assert!(leaf.said.attachments.is_empty());
    }
}

#[test]
fn a_deleted_node_is_forgotten() {
    for family in Family::BOTH {
        let mut leaf = one_node(family);
        leaf.vanish(family.node(1)).kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n1".into())));
        assert!(leaf.said.attachments.is_empty() && leaf.said.nodes.is_empty());
        leaf.node("n1", &[family.node(1)]);
        assert_eq!(leaf.node_view("n1").attachment, AttachmentState::Unknown);
    }
}

#[test]
fn without_gnmi_sessions_are_unknown_and_routes_decide() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = one_node(family);
        leaf.lost(SourceId::Gnmi).expect(vip, Up, None, &[]);
        leaf.source(SourceId::Gnmi, SourceEvent::Synced).session(family.node(1), SessionState::Active);
        // The route may only have been kept, by a node that is dead.
        leaf.lost(SourceId::Gnmi).expect(vip, Unknown, Some(Reason::SessionDown), &[&family.node(1)]);
        assert_eq!(leaf.next_hop("web", vip, family.node(1)).session, None);
        assert_eq!(leaf.node_view("n1").peers[0].session, None);
        leaf.withdraw(vip).expect(vip, Down, Some(Reason::NoRoute), &[]);
        leaf.source(SourceId::Gnmi, SourceEvent::Synced).expect(vip, Down, Some(Reason::SessionDown), &[]);
    }
}

#[test]
fn an_address_that_is_a_neighbor_here_wins_over_better_sources() {
    for family in Family::BOTH {
        let mut leaf = Scenario::new();
        leaf.cluster(C1, |cluster| {
            cluster.rules.fabric_addresses.insert("n1".into(), [family.elsewhere(1)].into());
        });
        leaf.attached("n1", family.node(1));
        let peers = &leaf.node_view("n1").peers;
        assert_eq!((peers.len(), peers[0].address), (1, family.node(1)));
    }
}

#[test]
fn a_dual_stack_node_has_a_peer_per_family_and_is_degraded_if_one_is_down() {
    let (v4, v6) = (Family::V4, Family::V6);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[v4.node(1), v6.node(1)]).up(v4.node(1)).up(v6.node(1));
    leaf.service("web", Cluster, &[v4.vip(100), v6.vip(100)]).ready("web", &["n1"]);
    leaf.bgp(v4.vip(100), &[v4.node(1)]).bgp(v6.vip(100), &[v6.node(1)]);
    assert_eq!(leaf.node_view("n1").peers.len(), 2);
    assert_eq!((leaf.node_view("n1").expected_vips, leaf.node_view("n1").installed_vips), (2, 2));
    leaf.session(v6.node(1), SessionState::Connect).withdraw(v6.vip(100));
    leaf.expect(v4.vip(100), Up, None, &[]);
    leaf.expect(v6.vip(100), Down, Some(Reason::SessionDown), &[&v6.node(1)]);
    let node = leaf.node_view("n1");
    assert_eq!((node.state, node.reason), (Degraded, Some(NodeReason::SessionDown)));
}

#[test]
fn endpoints_of_the_vips_own_family_count_if_the_service_has_such_a_slice() {
    let (v4, v6) = (Family::V4, Family::V6);
    let mut leaf = Scenario::new();
    leaf.node("n1", &[v4.node(1), v6.node(1)]).up(v4.node(1)).up(v6.node(1));
    leaf.service("web", Cluster, &[v4.vip(100), v6.vip(100)]).ready("web", &["n1"]);
    leaf.bgp(v4.vip(100), &[v4.node(1)]).bgp(v6.vip(100), &[v6.node(1)]);
    leaf.expect(v6.vip(100), Up, None, &[]);
    leaf.slice(C1, "web", AddressFamily::Ipv6, &[endpoint("web-0", "n1", false, false)]);
    leaf.expect(v6.vip(100), Down, Some(Reason::NoReadyEndpoint), &[]);
    leaf.expect(v4.vip(100), Up, None, &[]);
    assert_eq!(leaf.service_view("web").total_endpoints, 1, "one pod, two slices");
}

#[test]
fn a_route_in_a_pool_that_no_service_claims_is_an_orphan() {
    for family in Family::BOTH {
        let mut leaf = one_node(family);
        leaf.bgp(family.vip(101), &[family.node(1)]);
        assert!(leaf.said.orphans.is_empty(), "no pool is known");
        leaf.cluster(C1, |cluster| _ = cluster.rules.vip_pools.insert(family.aggregate()));
        let orphans: Vec<_> = leaf.said.orphans.iter().collect();
        let [(route, view)] = orphans[..] else { panic!("one orphan: {orphans:?}") };
        assert_eq!((route.prefix, route.network_instance.as_str()), (family.vip(101).into(), VRF));
        assert_eq!((&*view.next_hops, view.owner.as_deref()), (&[family.node(1)][..], Some("bgp_mgr")));
        let since = view.since;
        leaf.pass(Duration::from_secs(60)).bgp(family.vip(101), &[family.node(2)]);
        assert_eq!(leaf.said.orphans.values().next().map(|orphan| orphan.since), Some(since), "when it was first seen");
        // Not a host route; another network instance.
        leaf.route_of(VRF, family.aggregate(), BGP, &[family.node(1)]);
        leaf.route_of("ip-vrf-2", family.vip(102).into(), BGP, &[family.node(1)]);
        assert_eq!(leaf.said.orphans.len(), 1);
        leaf.service("late", Cluster, &[family.vip(101)]);
        assert!(leaf.said.orphans.is_empty());
    }
}

#[test]
fn nothing_is_an_orphan_before_the_services_of_the_cluster_are_listed() {
    let family = Family::V4;
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.cluster(C1, |cluster| _ = cluster.rules.vip_pools.insert(family.aggregate()));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    leaf.bgp(family.vip(100), &[family.node(1)]);
    assert!(leaf.said.orphans.is_empty());
    leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
    assert_eq!(leaf.said.orphans.len(), 1);
}

#[test]
fn services_that_share_a_vip_expect_the_union_but_are_judged_separately() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::new();
        leaf.attached("n1", family.node(1)).attached("n2", family.node(2));
        leaf.service("web", Local, &[vip]).ready("web", &["n1"]).service("dns", Cluster, &[vip]).ready("dns", &["n2"]);
        leaf.bgp(vip, &[family.node(1), family.node(2)]);
        assert_eq!(leaf.vip_view("web", vip).expected, 2);
        leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&family.node(2)]);
        assert_eq!(leaf.service_view("dns").verdict.state, Up);
        assert_eq!(leaf.said.summary.map(|summary| (summary.vips, summary.vips_up)), Some((2, 1)), "vip entries");
        leaf.ready("dns", &[]);
        assert_eq!(leaf.service_view("dns").verdict.reason, Some(Reason::NoReadyEndpoint));
    }
}

#[test]
fn clusters_that_share_a_vip_serve_it_through_each_others_nodes() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = one_node(family);
        leaf.cluster("c2", |cluster| _ = cluster.rules.shared_with.insert(C1.into()));
        leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
        leaf.node_in("c2", "m1", Node { internal: [family.node(7)].into(), ..Node::default() }).up(family.node(7));
        leaf.service_in("c2", "web", load_balancer(Cluster, &[vip]));
        leaf.slice("c2", "web", AddressFamily::Ipv4, &[endpoint("q1", "m1", true, true)]);
        leaf.bgp(vip, &[family.node(1), family.node(7)]).expect(vip, Up, None, &[]);
        assert_eq!(leaf.service_view_in("c2", "web").verdict.state, Up);
    }
}

#[test]
fn a_disabled_cluster_keeps_its_own_leaves_but_nothing_below() {
    let mut leaf = one_node(Family::V4);
    leaf.cluster(C1, |cluster| cluster.enabled = false);
    let cluster = &leaf.said.clusters[C1];
    assert_eq!((cluster.state, cluster.reason.as_deref(), cluster.counts), (Down, Some("admin-disabled"), None));
    assert!(leaf.said.services.is_empty() && leaf.said.nodes.is_empty());
    assert_eq!(leaf.said.sources.len(), 2);
}

#[test]
fn a_disabled_agent_reports_admin_disabled_and_judges_nothing() {
    let mut leaf = one_node(Family::V4);
    leaf.configure(|config| config.enabled = false);
    let root = leaf.said.root.as_ref().expect("a root");
    assert_eq!((root.enabled, root.state, root.reason.as_deref()), (false, Down, Some("admin-disabled")));
    assert!(leaf.said.services.is_empty() && leaf.said.nodes.is_empty());
    assert_eq!(leaf.said.summary, Some(Default::default()));
}

#[test]
fn a_deleted_cluster_leaves_no_state() {
    let mut leaf = one_node(Family::V4);
    leaf.cluster(C1, |cluster| _ = cluster.rules.vip_pools.insert(Family::V4.aggregate()));
    leaf.bgp(Family::V4.vip(101), &[Family::V4.node(1)]);
    leaf.configure(|config| config.clusters.clear());
    let said = &leaf.said;
    assert!(said.clusters.is_empty() && said.services.is_empty() && said.nodes.is_empty() && said.orphans.is_empty());
    assert!(!said.sources.contains_key(&SourceId::Kubernetes(C1.into())));
    assert!(said.attachments.is_empty());
    assert_eq!(said.summary, Some(Default::default()));
}

#[test]
fn late_events_of_a_deleted_cluster_are_ignored() {
    let mut leaf = one_node(Family::V4);
    leaf.configure(|config| config.clusters.clear());
    leaf.service("web", Cluster, &[Family::V4.vip(100)]).source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
    assert!(leaf.said.services.is_empty() && leaf.said.clusters.is_empty());
}

#[test]
fn a_source_is_stale_since_it_was_first_lost() {
    let mut leaf = one_node(Family::V4);
    leaf.pass(Duration::from_secs(5)).lost(SourceId::Gnmi);
    let since = leaf.said.sources[&SourceId::Gnmi].stale_since;
    assert_eq!((leaf.said.sources[&SourceId::Gnmi].state, since), (SourceState::Stale, Some(at(leaf.elapsed).wall)));
    leaf.pass(Duration::from_secs(5)).lost(SourceId::Gnmi);
    assert_eq!(leaf.said.sources[&SourceId::Gnmi].stale_since, since);
    leaf.source(SourceId::Gnmi, SourceEvent::Syncing).source(SourceId::Gnmi, SourceEvent::Synced);
    assert_eq!(leaf.said.sources[&SourceId::Gnmi].stale_since, None);
}

#[test]
fn last_change_changes_only_with_state_or_reason() {
    let vip = Family::V4.vip(100);
    let mut leaf = one_node(Family::V4);
    let changed = leaf.vip_view("web", vip).last_change;
    leaf.pass(Duration::from_secs(9)).bgp(vip, &[Family::V4.node(1)]);
    leaf.lost(SourceId::Gnmi).source(SourceId::Gnmi, SourceEvent::Synced);
    assert_eq!(leaf.vip_view("web", vip).last_change, changed);
    leaf.withdraw(vip);
    assert_eq!(leaf.vip_view("web", vip).last_change, at(leaf.elapsed).wall);
    assert_eq!(leaf.service_view("web").last_change, at(leaf.elapsed).wall);
}

#[test]
fn external_ips_are_vips_if_configured() {
    let mut leaf = Scenario::with(cluster_config(Speaker::Generic));
    let external = ip("203.0.113.7");
    let mut service = load_balancer(Cluster, &[]);
    service.load_balancer = false;
    service.external_ips = [external].into();
    leaf.attached("n1", Family::V4.node(1)).service_in(C1, "web", service).ready("web", &["n1"]);
    assert!(!leaf.said.services.contains_key(&(C1.into(), key("web"))));
    leaf.cluster(C1, |cluster| cluster.source.include_external_ips = true);
    leaf.expect(external, Down, Some(Reason::NoRoute), &[]);
    leaf.bgp(external, &[Family::V4.node(1)]).expect(external, Up, None, &[]);
}
