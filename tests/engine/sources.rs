//! Tests of the published state of clusters and sources, and of all of them together.

use srl_k8s_services::model::cluster::TrafficPolicy::Cluster;
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, SourceEvent, Update};
use srl_k8s_services::model::names::ClusterName;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Up};

use crate::scenario::{C1, Family, Scenario, cluster_config};

const V4: Family = Family::V4;

fn kubernetes() -> SourceId {
    SourceId::Kubernetes(C1.into())
}

fn healthy() -> Scenario {
    let mut leaf = Scenario::new();
    leaf.attached("n1", V4.node(1)).service("web", Cluster, &[V4.vip(100)]).ready("web", &["n1"]);
    leaf.bgp(V4.vip(100), &[V4.node(1)]).expect(V4.vip(100), Up, None, &[]);
    leaf
}

#[test]
fn a_cluster_that_answers_but_cannot_be_listed_is_down_with_only_that_reason() {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.kubernetes(C1, ClusterEvent::Connected { version: "v1.37.2".into(), caveat: None });
    let refused = SourceEvent::Lost("not allowed to list services".into());
    leaf.source(kubernetes(), refused.clone());
    let view = |leaf: &Scenario| leaf.said.clusters[&ClusterName::from(C1)].clone();
    assert_eq!((view(&leaf).state, view(&leaf).reason.as_deref()), (Down, Some("not allowed to list services")));
    leaf.source(kubernetes(), SourceEvent::Synced).source(kubernetes(), refused);
    assert_eq!(view(&leaf).state, Degraded);
}

#[test]
fn the_agent_is_degraded_while_its_only_cluster_is_down() {
    let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
    leaf.source(SourceId::Ndk, SourceEvent::Synced).source(SourceId::Gnmi, SourceEvent::Synced);
    let states = |leaf: &Scenario| {
        (leaf.said.clusters[&ClusterName::from(C1)].state, leaf.said.root.as_ref().map(|root| root.state))
    };
    assert_eq!(states(&leaf), (Down, Some(Degraded)));
    leaf.source(kubernetes(), SourceEvent::Synced);
    assert_eq!(states(&leaf), (Up, Some(Up)));
    leaf.cluster(C1, |cluster| cluster.rules.network_instance = "nowhere".into());
    assert_eq!(states(&leaf), (Down, Some(Degraded)));
}

#[test]
fn a_listing_replaces_all_objects_and_the_summary_follows() {
    let mut leaf = healthy();
    let counts = |leaf: &Scenario| {
        leaf.said.summary.map(|summary| (summary.services, summary.vips, summary.vips_up, summary.vips_down))
    };
    assert_eq!(counts(&leaf), Some((1, 1, 1, 0)));
    leaf.withdraw(V4.vip(100));
    assert_eq!(counts(&leaf), Some((1, 1, 0, 1)));
    leaf.kubernetes(C1, ClusterEvent::Services(Update::All(Vec::new())));
    assert!(leaf.said.services.is_empty());
    assert_eq!(counts(&leaf), Some((0, 0, 0, 0)));
}

#[test]
fn freshness_counts_events_losses_and_returns() {
    let mut leaf = healthy();
    leaf.lost(kubernetes()).source(kubernetes(), SourceEvent::Malformed);
    leaf.source(kubernetes(), SourceEvent::Syncing).source(kubernetes(), SourceEvent::Synced);
    let freshness = leaf.engine.freshness();
    let cluster = freshness.iter().find(|source| source.source == kubernetes()).expect("a source");
    assert_eq!((cluster.events, cluster.errors, cluster.reconnects), (3, 2, 1));
}
