//! Tests of which nodes are expected to announce, for every speaker.

use srl_k8s_services::model::cluster::TrafficPolicy::{self, Cluster, Local};
use srl_k8s_services::model::config::Speaker;

use crate::scenario::{Family, Scenario, cluster_config};

const V4: Family = Family::V4;

/// Two attached nodes, and a service with an endpoint on the second.
fn leaf(speaker: Speaker, policy: TrafficPolicy) -> Scenario {
    let mut leaf = Scenario::with(cluster_config(speaker));
    leaf.attached("n1", V4.node(1)).attached("n2", V4.node(2));
    leaf.service("web", policy, &[V4.vip(100)]).ready("web", &["n2"]);
    leaf
}

#[test]
fn with_every_speaker_policy_local_needs_an_endpoint_on_the_node() {
    for speaker in Speaker::ALL {
        assert_eq!(leaf(speaker, Local).expected(V4.vip(100)), ["n2"], "{speaker:?}");
    }
}

#[test]
fn with_every_speaker_policy_cluster_makes_every_node_an_announcer() {
    for speaker in Speaker::ALL {
        assert_eq!(leaf(speaker, Cluster).expected(V4.vip(100)), ["n1", "n2"], "{speaker:?}");
    }
}
