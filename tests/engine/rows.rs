//! Tests of the verdict table, row by row and in both address families, and of what an operator reads.

use std::net::IpAddr;
use std::time::Duration;

use srl_k8s_services::model::cluster::{
    AddressFamily, IngressUnusable, Node, Service, ServiceHints,
    TrafficPolicy::{Cluster, Local},
};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{FibFaultKind, NetworkInstance, SessionState};
use srl_k8s_services::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use srl_k8s_services::model::verdict::{FibStatus, NextHopKind, Reason, Vantage};

use crate::scenario::{
    BGP, BGP_EVPN, C1, Family, Scenario, VRF, cluster_config, endpoint, ip, key, load_balancer, vtep,
};

const SECOND: Duration = Duration::from_secs(1);

/// Three nodes attached here with sessions up, a service of policy Cluster with an endpoint on each, and its route.
fn healthy(family: Family) -> Scenario {
    let mut leaf = Scenario::new();
    three_nodes(&mut leaf, family);
    leaf.service("web", Cluster, &[family.vip(100)]).ready("web", &["n1", "n2", "n3"]);
    leaf.bgp(family.vip(100), &[family.node(1), family.node(2), family.node(3)]);
    leaf
}

fn three_nodes(leaf: &mut Scenario, family: Family) {
    leaf.attached("n1", family.node(1)).attached("n2", family.node(2)).attached("n3", family.node(3));
}

/// Three nodes behind other leaves with known host routes, and a route to the VIP over all three VTEPs.
fn healthy_remote(family: Family) -> Scenario {
    let mut leaf = Scenario::new();
    for n in 1..=3 {
        leaf.remote(&format!("n{n}"), family.node(n), n);
    }
    leaf.service("web", Cluster, &[family.vip(100)]).ready("web", &["n1", "n2", "n3"]);
    leaf.evpn(family.vip(100), &[vtep(1), vtep(2), vtep(3)]);
    leaf
}

fn with_speaker(speaker: Speaker) -> Scenario {
    Scenario::with(cluster_config(speaker))
}

#[test]
fn row_1_unknown_until_every_source_has_synced_once() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let sources = [SourceId::Ndk, SourceId::Gnmi, SourceId::Kubernetes(C1.into())];
        for last in &sources {
            let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
            leaf.attached("n1", family.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]);
            leaf.bgp(vip, &[family.node(1)]);
            for source in sources.iter().filter(|source| *source != last) {
                leaf.source(source.clone(), SourceEvent::Synced);
            }
            leaf.expect(vip, Unknown, Some(Reason::Syncing), &[]);
            leaf.source(last.clone(), SourceEvent::Synced);
            leaf.expect(vip, Up, None, &[]);
        }
    }
}

#[test]
fn row_1_without_gnmi_routes_alone_decide_after_thirty_seconds() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::unsynced(cluster_config(Speaker::Metallb));
        leaf.node("n1", &[family.node(1)]).service("web", Cluster, &[vip]).ready("web", &["n1"]);
        leaf.bgp(vip, &[family.node(1)]);
        leaf.source(SourceId::Ndk, SourceEvent::Synced);
        leaf.source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
        leaf.lost(SourceId::Gnmi);
        leaf.pass(Duration::from_millis(29_999)).expect(vip, Unknown, Some(Reason::Syncing), &[&"gNMI"]);
        leaf.pass(Duration::from_millis(2)).expect(vip, Up, None, &[]);
        let view = leaf.vip_view("web", vip);
        assert_eq!(view.route.as_ref().map(|route| route.fib), Some(FibStatus::Unknown));
        assert_eq!(leaf.next_hop("web", vip, family.node(1)).session, None);
    }
}

#[test]
fn row_2_unknown_when_the_switch_is_unreachable_for_more_than_fifteen_seconds() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.pass(100 * SECOND).lost(SourceId::Ndk);
        leaf.expect(vip, Up, None, &[]);
        leaf.pass(Duration::from_millis(14_999)).expect(vip, Up, None, &[]);
        leaf.pass(Duration::from_millis(2)).expect(vip, Unknown, Some(Reason::SwitchStale), &[]);
        leaf.source(SourceId::Ndk, SourceEvent::Syncing).expect(vip, Unknown, Some(Reason::SwitchStale), &[]);
    }
}

#[test]
fn row_2_streams_reopened_within_fifteen_seconds_change_no_verdict() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.pass(100 * SECOND).lost(SourceId::Ndk).pass(5 * SECOND).source(SourceId::Ndk, SourceEvent::Syncing);
        leaf.expect(vip, Up, None, &[]);
        leaf.network_instance(VRF, Some(2)).bgp(vip, &[family.node(1), family.node(2), family.node(3)]);
        leaf.expect(vip, Up, None, &[]);
        leaf.source(SourceId::Ndk, SourceEvent::Synced).pass(60 * SECOND).expect(vip, Up, None, &[]);
    }
}

#[test]
fn row_2_routes_that_a_resync_does_not_repeat_are_removed_at_its_end() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.source(SourceId::Ndk, SourceEvent::Syncing).network_instance(VRF, Some(2));
        leaf.expect(vip, Up, None, &[]);
        leaf.source(SourceId::Ndk, SourceEvent::Synced).expect(vip, Down, Some(Reason::NoRoute), &[&VRF]);
    }
}

#[test]
fn row_3_unknown_without_the_network_instance() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.network_instance(VRF, None).expect(vip, Unknown, Some(Reason::NetworkInstanceMissing), &[&VRF]);
        let down = Some(NetworkInstance { id: 2, oper_up: false });
        leaf.event(Event::Switch(SwitchEvent::NetworkInstance(VRF.into(), down)));
        leaf.expect(vip, Unknown, Some(Reason::NetworkInstanceMissing), &[&VRF, &"is down"]);
        leaf.network_instance(VRF, Some(2)).bgp(vip, &[family.node(1), family.node(2), family.node(3)]);
        leaf.expect(vip, Up, None, &[]);
    }
}

#[test]
fn row_4_down_while_the_service_has_no_address_or_only_a_host_name() {
    let mut leaf = Scenario::new();
    leaf.service("web", Cluster, &[]).ready("web", &["n1"]);
    let verdict = &leaf.service_view("web").verdict;
    assert_eq!((verdict.state, verdict.reason), (Down, Some(Reason::AddressPending)));
    assert!(leaf.service_view("web").vips.is_empty());
    let host = Some(IngressUnusable::HostName("lb.example.com".into()));
    leaf.service_in(C1, "web", Service { ingress_unusable: host, ..load_balancer(Cluster, &[]) });
    let verdict = &leaf.service_view("web").verdict;
    assert_eq!((verdict.state, verdict.reason), (Down, Some(Reason::AddressPending)));
    assert!(verdict.detail.as_deref().unwrap_or_default().contains("lb.example.com"), "{verdict:?}");
}

#[test]
fn row_5_down_without_a_usable_endpoint_whatever_the_route_does() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for speaker in Speaker::ALL {
            let mut leaf = with_speaker(speaker);
            leaf.attached("n1", family.node(1)).service("web", Cluster, &[vip]);
            leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("p1", "n1", false, false)]);
            leaf.expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
            leaf.bgp(vip, &[family.node(1)]).expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
            assert_eq!(leaf.service_view("web").total_endpoints, 1);
            assert_eq!(leaf.service_view("web").usable_endpoints, 0);
        }
    }
}

#[test]
fn row_5_without_endpoints_metallb_expects_no_node_and_cilium_all() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for (speaker, announcers) in [
            (Speaker::Metallb, 0),
            (Speaker::Generic, 0),
            (Speaker::Cilium, 2),
            (Speaker::Calico, 2),
            (Speaker::KubeRouter, 2),
            (Speaker::KubeVip, 2),
        ] {
            let mut leaf = with_speaker(speaker);
            leaf.attached("n1", family.node(1)).attached("n2", family.node(2)).service("web", Cluster, &[vip]);
            assert_eq!(leaf.vip_view("web", vip).expected, announcers, "{speaker:?}");
        }
    }
}

#[test]
fn row_5_terminating_endpoints_serve_whether_or_not_they_are_announced() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for (speaker, announced) in [
            (Speaker::Metallb, true),
            (Speaker::Generic, true),
            (Speaker::KubeRouter, true),
            (Speaker::KubeVip, true),
            (Speaker::Cilium, false),
            (Speaker::Calico, false),
        ] {
            let mut leaf = with_speaker(speaker);
            leaf.attached("n1", family.node(1)).service("web", Local, &[vip]).bgp(vip, &[family.node(1)]);
            leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("p1", "n1", false, true)]);
            leaf.expect(vip, Up, None, &[]);
            let missing = if announced { Reason::NoRoute } else { Reason::NoAnnouncer };
            leaf.withdraw(vip).expect(vip, Down, Some(missing), &[]);
            leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("p1", "n1", false, false)]);
            leaf.expect(vip, Down, Some(Reason::NoReadyEndpoint), &[]);
        }
    }
}

#[test]
fn row_6_down_when_no_node_may_announce() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        // Endpoints that name no node.
        let mut leaf = Scenario::new();
        leaf.attached("n1", family.node(1)).service("web", Local, &[vip]);
        leaf.slice(C1, "web", AddressFamily::Ipv4, &[endpoint("p1", "", true, true)]);
        leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[]);
        assert_eq!(leaf.vip_view("web", vip).vantage, None);
        // Every node is excluded, by the presence of the label or by its value, depending on the speaker.
        for (speaker, label, excluded) in [
            (Speaker::Metallb, "", true),
            (Speaker::Metallb, "false", true),
            (Speaker::Calico, "true", true),
            (Speaker::Calico, "", false),
            (Speaker::Cilium, "true", false),
            (Speaker::KubeRouter, "true", false),
            (Speaker::KubeVip, "true", false),
            (Speaker::Generic, "true", false),
        ] {
            let mut leaf = with_speaker(speaker);
            let internal = [family.node(1)].into();
            leaf.node_in(C1, "n1", Node { internal, exclude_label: Some(label.into()), ..Node::default() });
            leaf.up(family.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]);
            match excluded {
                true => {
                    leaf.expect(vip, Down, Some(Reason::NoAnnouncer), &[&"n1", &"exclude-from-external-load-balancers"])
                }
                false => leaf.expect(vip, Down, Some(Reason::NoRoute), &[]),
            }
        }
    }
}

#[test]
fn row_6_network_unavailable_counts_only_for_metallb() {
    for speaker in Speaker::ALL {
        let vip = Family::V4.vip(100);
        let mut leaf = with_speaker(speaker);
        let internal = [Family::V4.node(1)].into();
        leaf.node_in(C1, "n1", Node { internal, network_unavailable: true, ..Node::default() });
        leaf.up(Family::V4.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]);
        let reason = if speaker == Speaker::Metallb { Reason::NoAnnouncer } else { Reason::NoRoute };
        leaf.expect(vip, Down, Some(reason), &[]);
    }
}

#[test]
fn row_6_annotations_withhold_a_vip_from_their_own_speaker_only() {
    let vip = Family::V4.vip(100);
    let skip = ServiceHints { kube_router_skip_lb_ips: true, ..ServiceHints::default() };
    let no_advertise = ServiceHints { kube_router_no_advertise: true, ..ServiceHints::default() };
    let no_frontend = ServiceHints { cilium_no_load_balancer: true, ..ServiceHints::default() };
    for (speaker, hints, withheld) in [
        (Speaker::KubeRouter, skip.clone(), true),
        (Speaker::KubeRouter, no_advertise.clone(), true),
        (Speaker::Cilium, no_frontend.clone(), true),
        (Speaker::Metallb, skip, false),
        (Speaker::Cilium, no_advertise, false),
        (Speaker::KubeRouter, no_frontend, false),
    ] {
        let mut leaf = with_speaker(speaker);
        leaf.attached("n1", Family::V4.node(1));
        leaf.service_in(C1, "web", Service { hints, ..load_balancer(Cluster, &[vip]) }).ready("web", &["n1"]);
        let reason = if withheld { Reason::NoAnnouncer } else { Reason::NoRoute };
        leaf.expect(vip, Down, Some(reason), &[]);
    }
}

#[test]
fn row_7_down_when_the_route_is_in_another_network_instance() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.withdraw(vip).route_of("ip-vrf-2", vip.into(), BGP, &[family.node(1)]);
        leaf.expect(vip, Down, Some(Reason::WrongNetworkInstance), &[&"ip-vrf-2", &VRF]);
    }
}

#[test]
fn row_8_down_when_every_session_of_attached_announcers_is_down() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.session(family.node(1), SessionState::Active).vanish(family.node(2)).vanish(family.node(3)).withdraw(vip);
        leaf.expect(vip, Down, Some(Reason::SessionDown), &[&family.node(1), &family.node(2), &"n3"]);
        assert_eq!(leaf.vip_view("web", vip).vantage, Some(Vantage::Local));
        leaf.expect_next_hop(vip, family.node(1), Down, Some(Reason::SessionDown));
        leaf.expect_next_hop(vip, family.node(2), Down, Some(Reason::SessionDown));
        let node = leaf.node_view("n1");
        assert_eq!(node.state, Down);
    }
}

#[test]
fn row_9_down_without_a_route() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for policy in [Cluster, Local] {
            let mut leaf = Scenario::new();
            three_nodes(&mut leaf, family);
            leaf.service("web", policy, &[vip]).ready("web", &["n1", "n2"]);
            leaf.expect(vip, Down, Some(Reason::NoRoute), &[&VRF, &family.node(1)]);
            leaf.expect_next_hop(vip, family.node(1), Down, Some(Reason::NextHopMissing));
            // One of several sessions that is down is not the reason.
            leaf.vanish(family.node(1)).expect(vip, Down, Some(Reason::NoRoute), &[]);
            leaf.expect_next_hop(vip, family.node(1), Down, Some(Reason::SessionDown));
        }
        let mut leaf = healthy_remote(family);
        leaf.withdraw(vip).expect(vip, Down, Some(Reason::NoRoute), &[]);
        assert_eq!(leaf.vip_view("web", vip).vantage, Some(Vantage::Remote));
    }
}

#[test]
fn row_9_a_default_route_never_counts() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.route_of(VRF, family.default_route(), crate::scenario::BGP, &[family.node(1)]);
        leaf.withdraw(vip).expect(vip, Down, Some(Reason::NoRoute), &[]);
        assert_eq!(leaf.vip_view("web", vip).prefix, None);
    }
}

#[test]
fn row_9_a_covering_prefix_that_does_not_serve_is_named_but_is_no_route() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.route_of(VRF, family.aggregate(), BGP, &[ip("10.99.99.99")]);
        leaf.withdraw(vip).expect(vip, Down, Some(Reason::NoRoute), &[&family.aggregate()]);
        // It is not known here where another leaf sends the flows.
        leaf.route_of(VRF, family.aggregate(), BGP_EVPN, &[vtep(9)]);
        leaf.expect(vip, Degraded, Some(Reason::NoRoute), &[&family.aggregate(), &vtep(9)]);
    }
}

#[test]
fn row_10_down_when_fib_programming_failed_but_not_while_it_is_pending() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.fib(vip, Some(FibFaultKind::Pending)).expect(vip, Up, None, &[]);
        assert_eq!(fib_status(&leaf, vip), Some(FibStatus::Pending));
        leaf.fib(vip, Some(FibFaultKind::Failed)).expect(vip, Down, Some(Reason::RouteNotProgrammed), &[&vip]);
        // Without gNMI, the failure is not reported.
        leaf.lost(SourceId::Gnmi).expect(vip, Up, None, &[]);
        assert_eq!(fib_status(&leaf, vip), Some(FibStatus::Unknown));
        leaf.source(SourceId::Gnmi, SourceEvent::Synced).fib(vip, None).expect(vip, Up, None, &[]);
    }
}

fn fib_status(leaf: &Scenario, vip: IpAddr) -> Option<FibStatus> {
    leaf.vip_view("web", vip).route.as_ref().map(|route| route.fib)
}

#[test]
fn row_10_a_fault_of_another_owners_route_does_not_affect_the_active_route() {
    for family in Family::BOTH {
        let (mut leaf, vip) = (healthy(family), family.vip(100));
        leaf.fib_of("bgp_evpn_mgr", vip, Some(FibFaultKind::Failed)).expect(vip, Up, None, &[]);
        leaf.fib(vip, Some(FibFaultKind::Failed)).expect(vip, Down, Some(Reason::RouteNotProgrammed), &[]);
    }
}

#[test]
fn row_10_fib_status_without_gnmi_coverage_is_unknown_but_faults_stay() {
    for family in Family::BOTH {
        let (mut leaf, vip) = (healthy(family), family.vip(100));
        assert_eq!(fib_status(&leaf, vip), Some(FibStatus::Programmed));
        leaf.fib_known(&["ip-vrf-2"]).expect(vip, Up, None, &[]);
        assert_eq!(fib_status(&leaf, vip), Some(FibStatus::Unknown));
        leaf.fib_known(&[VRF]).fib(vip, Some(FibFaultKind::Failed));
        leaf.expect(vip, Down, Some(Reason::RouteNotProgrammed), &[]);
        leaf.fib_known(&[]).expect(vip, Down, Some(Reason::RouteNotProgrammed), &[]);
    }
}

#[test]
fn row_10_suppressed_routes_are_down_and_unconfirmed_failures_are_unknown() {
    for family in Family::BOTH {
        let (mut leaf, vip) = (healthy(family), family.vip(100));
        leaf.fib(vip, Some(FibFaultKind::Suppressed)).expect(vip, Down, Some(Reason::RouteNotProgrammed), &[]);
        leaf.fib(vip, Some(FibFaultKind::Unconfirmed)).expect(vip, Up, None, &[]);
        assert_eq!(fib_status(&leaf, vip), Some(FibStatus::Unknown));
    }
}

#[test]
fn row_11_down_when_no_next_hop_serves() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        // Policy Local, and the route leads to a node without an endpoint.
        let mut leaf = Scenario::new();
        three_nodes(&mut leaf, family);
        leaf.service("web", Local, &[vip]).ready("web", &["n1"]).bgp(vip, &[family.node(2)]);
        leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&family.node(2), &"n2"]);
        leaf.expect_next_hop(vip, family.node(2), Down, Some(Reason::NextHopUnexpected));
        // Policy Cluster, and the route leads to something that is not a node, while every announcer is located.
        let mut leaf = Scenario::new();
        three_nodes(&mut leaf, family);
        leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]).bgp(vip, &[family.elsewhere(99)]);
        leaf.expect(vip, Down, Some(Reason::NextHopUnexpected), &[&family.elsewhere(99)]);
        // A route that leads nowhere.
        leaf.bgp(vip, &[]).expect(vip, Down, Some(Reason::NextHopUnexpected), &[]);
    }
}

/// Adds a second cluster in the same network instance whose service claims the same VIP.
fn second_cluster(leaf: &mut Scenario, family: Family) {
    leaf.cluster("c2", |_| {});
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.node_in("c2", "m1", Node { internal: [family.node(7)].into(), ..Node::default() });
    leaf.service_in("c2", "their-web", load_balancer(Cluster, &[family.vip(100)]));
    leaf.slice("c2", "their-web", AddressFamily::Ipv4, &[endpoint("q1", "m1", true, true)]);
}

#[test]
fn row_12_degraded_when_another_cluster_claims_the_vip() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        second_cluster(&mut leaf, family);
        // The route leads to none of its nodes, so it alone is the claimant.
        leaf.expect(vip, Up, None, &[]);
        let theirs = &leaf.service_view_in("c2", "their-web").verdict;
        assert_eq!((theirs.state, theirs.reason), (Down, Some(Reason::NextHopUnexpected)));
        leaf.bgp(vip, &[family.node(1), family.node(2), family.node(3), family.node(7)]);
        leaf.expect(vip, Degraded, Some(Reason::AddressConflict), &[&"c2"]);
        // Either cluster may name the other.
        leaf.cluster("c2", |cluster| _ = cluster.rules.shared_with.insert(C1.into())).expect(vip, Up, None, &[]);
        leaf.cluster("c2", |cluster| cluster.rules.shared_with.clear());
        leaf.expect(vip, Degraded, Some(Reason::AddressConflict), &[]);
        leaf.cluster(C1, |cluster| _ = cluster.rules.shared_with.insert("c2".into())).expect(vip, Up, None, &[]);
        leaf.cluster(C1, |cluster| cluster.rules.shared_with.clear());
        leaf.expect(vip, Degraded, Some(Reason::AddressConflict), &[]);
        // Another network instance is separate: here, no node has that address.
        leaf.cluster("c2", |cluster| cluster.rules.network_instance = "ip-vrf-2".into());
        leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&family.node(7)]);
        leaf.cluster("c2", |cluster| cluster.rules.network_instance = VRF.into());
        leaf.expect(vip, Degraded, Some(Reason::AddressConflict), &[]);
        // A cluster that is removed or disabled claims nothing.
        leaf.cluster("c2", |cluster| cluster.enabled = false);
        leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&family.node(7)]);
    }
}

#[test]
fn row_13_degraded_when_the_session_of_an_absent_next_hop_is_down() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.vanish(family.node(2)).bgp(vip, &[family.node(1), family.node(3)]);
        leaf.expect(vip, Degraded, Some(Reason::SessionDown), &[&family.node(2), &"n2"]);
        leaf.expect_next_hop(vip, family.node(2), Down, Some(Reason::SessionDown));
        leaf.expect_next_hop(vip, family.node(1), Up, None);
        let view = leaf.vip_view("web", vip);
        assert_eq!((view.expected, view.installed), (3, 2));
    }
}

#[test]
fn a_route_over_local_nodes_and_a_leaf_is_not_an_unused_local_path() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.remote("n4", family.node(4), 4).ready("web", &["n1", "n2", "n3", "n4"]);
        leaf.bgp(vip, &[vtep(4), family.node(1), family.node(3)]);
        leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&family.node(2)]);
    }
}

#[test]
fn row_14_degraded_when_local_sessions_are_up_but_the_route_is_remote() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.remote("n4", family.node(4), 4).ready("web", &["n1", "n2", "n3", "n4"]).evpn(vip, &[vtep(4)]);
        leaf.expect(vip, Degraded, Some(Reason::LocalPathUnused), &[&vtep(4)]);
        assert_eq!(leaf.vip_view("web", vip).vantage, Some(Vantage::Local));
        leaf.expect_next_hop(vip, family.node(1), Down, Some(Reason::NextHopMissing));
        // It serves, so its own state does not make the VIP worse.
        leaf.expect_next_hop(vip, vtep(4), Up, Some(Reason::NextHopUnexpected));
        // A session that is down comes first.
        leaf.vanish(family.node(1)).expect(vip, Degraded, Some(Reason::SessionDown), &[]);
    }
}

#[test]
fn row_15_degraded_when_the_ecmp_limit_is_reached() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.cluster(C1, |cluster| cluster.rules.ecmp_limit = Some(2)).bgp(vip, &[family.node(1), family.node(2)]);
        leaf.expect(vip, Degraded, Some(Reason::EcmpLimited), &[&"2", &"3"]);
        leaf.expect_next_hop(vip, family.node(3), Degraded, Some(Reason::EcmpLimited));
        leaf.cluster(C1, |cluster| cluster.rules.ecmp_limit = Some(4));
        leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[]);
    }
}

#[test]
fn row_16_degraded_when_an_expected_next_hop_is_absent_with_sessions_up() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.bgp(vip, &[family.node(1), family.node(3)]);
        leaf.expect(vip, Degraded, Some(Reason::NextHopMissing), &[&family.node(2), &"n2"]);
        leaf.expect_next_hop(vip, family.node(2), Down, Some(Reason::NextHopMissing));
        let mut leaf = healthy_remote(family);
        leaf.evpn(vip, &[vtep(1), vtep(3)]).expect(vip, Degraded, Some(Reason::NextHopMissing), &[&vtep(2)]);
    }
}

#[test]
fn row_17_degraded_when_some_flows_go_into_a_black_hole() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::new();
        three_nodes(&mut leaf, family);
        leaf.service("web", Local, &[vip]).ready("web", &["n1"]).bgp(vip, &[family.node(1), family.node(2)]);
        leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&family.node(2), &"n2"]);
        leaf.expect_next_hop(vip, family.node(2), Down, Some(Reason::NextHopUnexpected));
        leaf.expect_next_hop(vip, family.node(1), Up, None);
        // Policy Cluster: a node without an endpoint forwards.
        leaf.service("web", Cluster, &[vip]).ready("web", &["n1"]);
        leaf.bgp(vip, &[family.node(1), family.node(2), family.node(3)]).expect(vip, Up, None, &[]);
    }
}

#[test]
fn rows_18_and_19_unmapped_next_hops_may_serve_while_an_announcer_is_unlocated() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for (policy, state) in [(Local, Unknown), (Cluster, Up)] {
            let mut leaf = Scenario::new();
            leaf.node("n1", &[family.elsewhere(1)]).up(family.node(1));
            leaf.service("web", policy, &[vip]).ready("web", &["n1"]).bgp(vip, &[family.node(1)]);
            leaf.expect(vip, state, Some(Reason::NextHopUnmapped), &[&family.node(1), &"n1"]);
            let next_hop = leaf.next_hop("web", vip, family.node(1));
            assert_eq!((next_hop.kind, next_hop.reason), (NextHopKind::Unmapped, Some(Reason::NextHopUnmapped)));
            assert_eq!(leaf.node_view("n1").state, Unknown);
            // The operator configures where the node is.
            leaf.cluster(C1, |cluster| {
                cluster.rules.fabric_addresses.insert("n1".into(), [family.node(1)].into());
            });
            leaf.expect(vip, Up, None, &[]);
        }
    }
}

#[test]
fn a_new_prefix_affects_its_first_and_last_address() {
    let family = Family::V4;
    let (first, last) = (family.aggregate().network(), family.aggregate().broadcast());
    let mut leaf = with_speaker(Speaker::Calico);
    leaf.attached("n1", family.node(1));
    // One service each: a service that is judged again for its other VIP would hide that the prefix did not reach it.
    for (name, vip) in [("first", first), ("last", last)] {
        leaf.service(name, Cluster, &[vip]).ready(name, &["n1"]);
    }
    let reasons = |leaf: &Scenario| ["first", "last"].map(|name| leaf.service_view(name).verdict.reason);
    assert_eq!(reasons(&leaf), [Some(Reason::NoRoute); 2]);
    leaf.route_of(VRF, family.aggregate(), BGP, &[family.node(1)]);
    assert_eq!(reasons(&leaf), [Some(Reason::CoveredByAggregate); 2]);
}

#[test]
fn row_20_up_by_the_longest_covering_aggregate() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = with_speaker(Speaker::Calico);
        leaf.attached("n1", family.node(1)).service("web", Cluster, &[vip]).ready("web", &["n1"]);
        leaf.route_of(VRF, family.aggregate(), crate::scenario::BGP, &[family.node(1)]);
        leaf.expect(vip, Up, Some(Reason::CoveredByAggregate), &[&family.aggregate()]);
        assert_eq!(leaf.vip_view("web", vip).prefix, Some(family.aggregate()));
        // A host route belongs to the VIP, whatever else covers it.
        leaf.bgp(vip, &[family.node(1)]).expect(vip, Up, None, &[]);
        assert_eq!(leaf.vip_view("web", vip).prefix, Some(vip.into()));
    }
}

#[test]
fn row_21_up_when_everything_expected_is_installed() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        for leaf in [healthy(family), healthy_remote(family)] {
            leaf.expect(vip, Up, None, &[]);
            let view = leaf.vip_view("web", vip);
            assert_eq!((view.expected, view.installed), (3, 3));
            assert!(view.next_hops.iter().all(|next_hop| next_hop.state == Up && next_hop.reason.is_none()));
        }
    }
}

#[test]
fn an_unexpected_next_hop_that_serves_does_not_degrade_the_vip() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = healthy(family);
        leaf.remote("n4", family.node(4), 4).ready("web", &["n1", "n2", "n3", "n4"]);
        leaf.bgp(vip, &[family.node(1), family.node(2), family.node(3), vtep(4)]).expect(vip, Up, None, &[]);
        leaf.expect_next_hop(vip, vtep(4), Up, Some(Reason::NextHopUnexpected));
    }
}

#[test]
fn without_known_vteps_one_serving_next_hop_is_enough() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::new();
        leaf.node("n1", &[family.elsewhere(1)]).remote("n2", family.node(2), 2);
        leaf.service("web", Cluster, &[vip]).ready("web", &["n1", "n2"]).evpn(vip, &[vtep(2)]);
        leaf.expect(vip, Up, None, &[]);
    }
}

#[test]
fn kube_router_announces_unready_local_endpoints_but_they_do_not_serve() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = with_speaker(Speaker::KubeRouter);
        leaf.attached("n1", family.node(1)).attached("n2", family.node(2)).service("web", Local, &[vip]);
        let endpoints = [endpoint("p1", "n1", true, true), endpoint("p2", "n2", false, false)];
        leaf.slice(C1, "web", AddressFamily::Ipv4, &endpoints).bgp(vip, &[family.node(1), family.node(2)]);
        assert_eq!(leaf.vip_view("web", vip).expected, 2);
        leaf.expect(vip, Degraded, Some(Reason::NextHopUnexpected), &[&family.node(2)]);
    }
}

#[test]
fn a_service_with_another_implementations_class_is_left_out() {
    let vip = Family::V4.vip(100);
    let own = "io.cilium/bgp-control-plane";
    for (speaker, class, ours) in [
        (Speaker::Metallb, None, true),
        (Speaker::Metallb, Some(own), false),
        (Speaker::Generic, Some(own), false),
        (Speaker::Cilium, None, true),
        (Speaker::Cilium, Some(own), true),
        (Speaker::Cilium, Some("example.com/other"), false),
        (Speaker::Calico, Some("example.com/other"), true),
        (Speaker::KubeRouter, Some("example.com/other"), true),
    ] {
        let mut leaf = with_speaker(speaker);
        leaf.service_in(C1, "web", Service { class: class.map(Into::into), ..load_balancer(Cluster, &[vip]) });
        assert_eq!(leaf.said.services.len(), usize::from(ours), "{speaker:?} {class:?}");
    }
    let mut leaf = Scenario::new();
    leaf.cluster(C1, |cluster| cluster.rules.load_balancer_class = Some("example.com/bgp".into()));
    leaf.service("plain", Cluster, &[vip]);
    leaf.service_in(C1, "web", Service { class: Some("example.com/bgp".into()), ..load_balancer(Cluster, &[vip]) });
    assert_eq!(leaf.said.services.keys().map(|(_, name)| name.clone()).collect::<Vec<_>>(), [key("web")]);
}

#[test]
fn deleting_the_service_removes_everything_about_it() {
    for family in Family::BOTH {
        let mut leaf = healthy(family);
        leaf.kubernetes(C1, ClusterEvent::Services(Update::Gone(key("web"))));
        assert!(leaf.said.services.is_empty());
        assert_eq!(leaf.said.summary.map(|summary| summary.vips), Some(0));
        assert_eq!(leaf.node_view("n1").expected_vips, 0);
    }
}

#[test]
fn host_routes_give_vteps_once_their_owner_is_named() {
    for family in Family::BOTH {
        let vip = family.vip(100);
        let mut leaf = Scenario::new();
        leaf.event(Event::Switch(SwitchEvent::Application(BGP_EVPN, None)));
        leaf.remote("n1", family.node(1), 1).service("web", Local, &[vip]).ready("web", &["n1"]).evpn(vip, &[vtep(1)]);
        leaf.expect(vip, Unknown, Some(Reason::NextHopUnmapped), &[]);
        leaf.event(Event::Switch(SwitchEvent::Application(BGP_EVPN, Some("bgp_evpn_mgr".into()))));
        leaf.expect(vip, Up, None, &[]);
    }
}
