//! Sources that come and go, configuration that changes, orphans, times.

use ipnet::IpNet;

use super::fixtures::{BGP, Lab};
use crate::model::cluster::TrafficPolicy::Cluster;
use crate::model::event::{ClusterEvent, SourceEvent, SourceId, Update};
use crate::model::names::ServiceKey;
use crate::model::verdict::OperState::{Degraded, Down, Up};
use crate::model::verdict::Reason;

fn up() -> Lab {
    Lab::new(true, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1]).says(Up, None)
}

fn kubernetes() -> SourceId {
    SourceId::Kubernetes("c1".into())
}

#[test]
fn a_lost_api_server_keeps_verdicts_and_says_since_when() {
    let lab = up().after(5).source(kubernetes(), SourceEvent::Lost("timeout".into())).says(Up, None);
    let lab = lab.telling(&["c1", "2026-01-01T00:00:05Z"]);
    assert_eq!(lab.said.clusters["c1"].state, Degraded);
    let lab = lab.no_route().says(Down, Some(Reason::NoRoute)).telling(&["has not been read since"]).via_nodes(&[1]);
    let lab = lab.source(kubernetes(), SourceEvent::Synced);
    assert_eq!(lab.vip().verdict.detail, None);
}

#[test]
fn a_cluster_that_answers_but_was_never_read_is_down_with_the_reason_alone() {
    let connected = ClusterEvent::Connected { version: "v1.37.2".into(), caveat: None };
    let lab = Lab::unsynced(true).ndk_synced().gnmi_synced().told("c1", connected);
    let lost = SourceEvent::Lost("not allowed to list services".into());
    let lab = lab.source(kubernetes(), lost.clone());
    assert_eq!(lab.said.clusters["c1"].state, Down);
    assert_eq!(lab.said.clusters["c1"].reason.as_deref(), Some("not allowed to list services"));
    let lab = lab.source(kubernetes(), SourceEvent::Synced).source(kubernetes(), lost);
    assert_eq!(lab.said.clusters["c1"].state, Degraded);
}

#[test]
fn last_change_moves_only_with_state_or_reason() {
    let lab = up();
    let first = lab.vip().last_change;
    let lab = lab.after(60).source(kubernetes(), SourceEvent::Lost("timeout".into()));
    assert_eq!(lab.vip().last_change, first);
    let lab = lab.after(1).no_route();
    assert_eq!(lab.vip().last_change, lab.now().wall);
}

#[test]
fn an_ndk_loss_shorter_than_15_seconds_changes_no_verdict_and_a_resync_drops_what_is_not_told_again() {
    let lab = up();
    let said = lab.said.services.clone();
    let lab = lab.source(SourceId::Ndk, SourceEvent::Lost("restart".into())).after(3);
    let lab = lab.source(SourceId::Ndk, SourceEvent::Syncing).ndk_tables();
    assert_eq!(lab.said.services, said);
    let lab = lab.says(Up, None).source(SourceId::Ndk, SourceEvent::Synced);
    lab.says(Down, Some(Reason::NoRoute));
}

#[test]
fn a_deleted_service_is_gone_and_a_relist_is_a_transaction() {
    let lab = up();
    let key = ServiceKey::new("default", "web");
    let lab = lab.told("c1", ClusterEvent::Services(Update::Gone(key)));
    assert!(lab.said.services.is_empty());
    assert_eq!(lab.said.summary.vips, 0);
    let lab = up().told("c1", ClusterEvent::Services(Update::All(Vec::new())));
    assert!(lab.said.services.is_empty());
}

#[test]
fn a_disabled_cluster_or_root_keeps_its_leaves_and_nothing_below() {
    let lab = up().with("c1", |c| c.enabled = false);
    assert!(lab.said.services.is_empty() && lab.said.nodes.is_empty());
    let view = &lab.said.clusters["c1"];
    assert_eq!((view.state, view.reason.as_deref()), (Down, Some("admin-disabled")));
    let mut lab = up();
    lab.config.enabled = false;
    let lab = lab.configured();
    assert!(lab.said.services.is_empty());
    assert_eq!(lab.said.root.as_ref().and_then(|root| root.reason.as_deref()), Some("admin-disabled"));
}

#[test]
fn a_cluster_is_down_until_its_api_was_reached_and_down_without_its_network_instance() {
    let lab = Lab::unsynced(true).ndk_synced().gnmi_synced();
    assert_eq!(lab.said.clusters["c1"].state, Down);
    assert_eq!(lab.said.root.as_ref().map(|root| root.state), Some(Degraded));
    let lab = lab.cluster_synced();
    assert_eq!(lab.said.clusters["c1"].state, Up);
    assert_eq!(lab.said.root.as_ref().map(|root| root.state), Some(Up));
    let lab = lab.with("c1", |c| c.rules.network_instance = "nowhere".into());
    assert_eq!(lab.said.clusters["c1"].state, Down);
}

#[test]
fn an_orphan_is_a_host_route_in_a_pool_that_no_service_claims() {
    let lab = up();
    let pool = lab.covering();
    let lab = lab.with("c1", |c| c.rules.vip_pools.extend([pool]));
    assert!(lab.said.orphans.is_empty());
    let (orphan, hop): (IpNet, _) = ("1.1.1.150/32".parse().expect("a prefix"), lab.node_address(1));
    let lab = lab.after(7).route_in("ip-vrf-1", orphan, BGP, &[hop]);
    let since = lab.now().wall;
    let view = lab.said.orphans.values().next().expect("an orphan");
    assert_eq!((view.owner.as_deref(), &*view.next_hops, view.since), (Some("bgp_mgr"), &[hop][..], since));
    let lab = lab.told("c1", ClusterEvent::Services(Update::All(Vec::new())));
    assert_eq!(lab.said.orphans.len(), 2);
    let lab = lab.service(Cluster);
    assert_eq!(lab.said.orphans.len(), 1);
    let lab = lab.route_in("ip-vrf-1", orphan, BGP, &[]);
    assert_eq!(lab.said.orphans.values().next().map(|view| view.since), Some(since));
}

#[test]
fn the_summary_counts_vip_entries() {
    let lab = up();
    assert_eq!((lab.said.summary.services, lab.said.summary.vips, lab.said.summary.vips_up), (1, 1, 1));
    let lab = lab.no_route();
    assert_eq!((lab.said.summary.vips_up, lab.said.summary.vips_down), (0, 1));
}

#[test]
fn freshness_counts_events_losses_and_returns() {
    let lab = up().source(kubernetes(), SourceEvent::Lost("x".into())).source(kubernetes(), SourceEvent::Malformed);
    let lab = lab.source(kubernetes(), SourceEvent::Syncing).source(kubernetes(), SourceEvent::Synced);
    let freshness = lab.engine.freshness();
    let cluster = freshness.iter().find(|source| source.source == kubernetes()).expect("a source");
    assert_eq!((cluster.events, cluster.errors, cluster.reconnects), (3, 2, 1));
}
