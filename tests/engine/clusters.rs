//! Tests of several configured clusters, which may be one API.

use std::net::IpAddr;

use srl_k8s_services::model::cluster::TrafficPolicy::Cluster;
use srl_k8s_services::model::cluster::{AddressFamily, Node, NodeUid};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, SourceEvent, Update};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::verdict::OperState::{self, Degraded, Up};
use srl_k8s_services::model::verdict::Reason;

use crate::scenario::{C1, Family, Scenario, cluster_config, endpoint, load_balancer};

const C2: &str = "c2";

impl Scenario {
    /// Adds the n-th node of a cluster, with this uid.
    fn known_as(&mut self, cluster: &str, family: Family, n: u8, uid: &str) -> &mut Self {
        let node = Node { uid: Some(NodeUid::of(uid)), internal: [family.node(n)].into(), ..Node::default() };
        self.node_in(cluster, &format!("n{n}"), node)
    }

    /// Adds a second cluster that claims the VIP and has an endpoint on n1. It has not been read as a whole yet.
    fn second(&mut self, vip: IpAddr) -> &mut Self {
        self.cluster(C2, |cluster| *cluster = cluster_config(Speaker::Metallb));
        self.service_in(C2, "web", load_balancer(Cluster, &[vip]));
        let family = if vip.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
        self.slice(C2, "web", family, &[endpoint("web-0", "n1", true, true)])
    }

    fn read(&mut self, cluster: &str) -> &mut Self {
        self.source(SourceId::Kubernetes(cluster.into()), SourceEvent::Synced)
    }

    #[track_caller]
    fn both(&self, state: OperState, reason: Option<Reason>) {
        for cluster in [C1, C2] {
            let view = self.service_view_in(cluster, "web");
            assert_eq!((view.verdict.state, view.verdict.reason), (state, reason), "{cluster}: {view:#?}");
        }
    }

    fn reason(&self, cluster: &str) -> &str {
        self.said.clusters[cluster].reason.as_deref().unwrap_or_default()
    }
}

/// A VIP by n1 and n2, which cluster c1 lists with the uids `a` and `b`.
fn leaf(family: Family) -> Scenario {
    let vip = family.vip(100);
    let mut leaf = Scenario::new();
    leaf.known_as(C1, family, 1, "a").known_as(C1, family, 2, "b").up(family.node(1)).up(family.node(2));
    leaf.service("web", Cluster, &[vip]);
    let of = if family == Family::V4 { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
    leaf.slice(C1, "web", of, &[endpoint("web-0", "n1", true, true)]);
    leaf.bgp(vip, &[family.node(1), family.node(2)]).expect(vip, Up, None, &[]);
    leaf
}

#[test]
fn a_cluster_that_is_configured_twice_is_no_conflict_and_is_reported_by_the_second() {
    for family in Family::BOTH {
        let mut leaf = leaf(family);
        leaf.second(family.vip(100)).known_as(C2, family, 1, "a").known_as(C2, family, 2, "b").read(C2);
        leaf.both(Up, None);
        assert_eq!((leaf.reason(C1), leaf.said.clusters[C2].state), ("", Up));
        assert_eq!(leaf.reason(C2), "the same API as cluster c1: both list the same nodes");
        let connected = ClusterEvent::Connected { version: "v1.33.1".into(), caveat: Some("plain http".into()) };
        leaf.kubernetes(C2, connected);
        assert_eq!(leaf.reason(C2), "plain http; the same API as cluster c1: both list the same nodes");
    }
}

#[test]
fn clusters_that_list_other_nodes_conflict() {
    for family in Family::BOTH {
        let mut leaf = leaf(family);
        leaf.second(family.vip(100))
            .known_as(C2, family, 1, "c")
            .read(C2)
            .both(Degraded, Some(Reason::AddressConflict));
        assert_eq!(leaf.reason(C2), "");
    }
}

#[test]
fn one_node_in_common_makes_two_clusters_one_api() {
    let family = Family::V4;
    let mut leaf = leaf(family);
    // The listings of one API may be a moment apart.
    leaf.second(family.vip(100)).known_as(C2, family, 1, "a").known_as(C2, family, 2, "c").read(C2).both(Up, None);
    leaf.known_as(C2, family, 2, "b").both(Up, None);
    leaf.known_as(C1, family, 1, "d").both(Up, None);
    leaf.known_as(C1, family, 2, "e").both(Degraded, Some(Reason::AddressConflict));
    leaf.known_as(C2, family, 2, "e").both(Up, None);
    leaf.known_as(C1, family, 3, "f").known_as(C2, family, 3, "f").known_as(C2, family, 2, "g").both(Up, None);
    leaf.kubernetes(C1, ClusterEvent::Nodes(Update::Gone("n3".into()))).both(Degraded, Some(Reason::AddressConflict));
}

#[test]
fn a_cluster_that_is_still_being_listed_is_no_conflict_yet() {
    let family = Family::V4;
    let mut leaf = leaf(family);
    leaf.second(family.vip(100)).known_as(C2, family, 2, "c").expect(family.vip(100), Up, None, &[]);
    leaf.read(C2).expect(family.vip(100), Degraded, Some(Reason::AddressConflict), &[&C2]);
}

#[test]
fn a_cluster_that_is_configured_twice_leaves_no_doubt_about_next_hops() {
    let family = Family::V4;
    let vip = family.vip(100);
    let mut leaf = Scenario::new();
    let unlocated = |leaf: &mut Scenario, cluster: &str| {
        let node = Node { uid: Some(NodeUid::of("a")), internal: [family.elsewhere(1)].into(), ..Node::default() };
        leaf.node_in(cluster, "n1", node);
    };
    unlocated(&mut leaf, C1);
    leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).up(family.node(1)).bgp(vip, &[family.node(1)]);
    leaf.expect(vip, Up, Some(Reason::NextHopUnmapped), &[]);
    unlocated(leaf.second(vip), C2);
    leaf.read(C2).both(Up, Some(Reason::NextHopUnmapped));
}
