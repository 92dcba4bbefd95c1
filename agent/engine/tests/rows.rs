//! One test per row of the verdict table, in both address families.

use ipnet::IpNet;

use super::fixtures::{BGP, EVPN, Lab};
use crate::model::cluster::TrafficPolicy::{Cluster, Local};
use crate::model::cluster::{IngressUnusable, Service};
use crate::model::event::{Event, SourceEvent, SourceId, SwitchEvent};
use crate::model::switch::{FibFaultKind, NetworkInstance, NextHopGroupId, SessionState};
use crate::model::verdict::OperState::{Degraded, Down, Unknown, Up};
use crate::model::verdict::{FibStatus, NextHopKind, Reason, Vantage};

/// Both families, one after the other.
fn both(test: impl Fn(bool)) {
    test(true);
    test(false);
}

#[test]
fn row_1_syncing_until_every_source_has_synced_once() {
    both(|v4| {
        let lab = Lab::unsynced(v4).node(1).service(Cluster).endpoints(&[1]);
        let lab = lab.says(Unknown, Some(Reason::Syncing)).telling(&["NDK"]);
        let lab = lab.ndk_synced().says(Unknown, Some(Reason::Syncing)).telling(&["cluster c1"]);
        let lab = lab.cluster_synced().says(Unknown, Some(Reason::Syncing)).telling(&["gNMI"]);
        lab.gnmi_synced().says(Down, Some(Reason::NoRoute));
    });
}

#[test]
fn row_1_gnmi_is_waited_for_30_seconds_then_routes_judge() {
    both(|v4| {
        let lab = Lab::unsynced(v4).ndk_synced().cluster_synced().node(1).service(Cluster).endpoints(&[1]);
        let lab = lab.via_nodes(&[1]).after(29).says(Unknown, Some(Reason::Syncing));
        assert_eq!(lab.engine.deadline().map(|at| at.as_secs()), Some(30));
        lab.after(1).says(Up, None);
    });
}

#[test]
fn row_2_switch_stale_after_15_seconds_without_the_ndk() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1]).says(Up, None);
        let lab = lab.source(SourceId::Ndk, SourceEvent::Lost("stream ended".into())).after(14).says(Up, None);
        assert_eq!(lab.engine.deadline().map(|at| at.as_secs()), Some(15));
        let lab = lab.after(1).says(Unknown, Some(Reason::SwitchStale)).telling(&["2026-01-01T00:00:00Z"]);
        let lab = lab.source(SourceId::Ndk, SourceEvent::Syncing).says(Unknown, Some(Reason::SwitchStale));
        let lab = lab.ndk_tables();
        let hop = lab.node_address(1);
        let vip = IpNet::from(lab.vip_address());
        lab.route_in("ip-vrf-1", vip, BGP, &[hop]).source(SourceId::Ndk, SourceEvent::Synced).says(Up, None);
    });
}

#[test]
fn row_3_network_instance_missing() {
    both(|v4| {
        let lab = Lab::new(v4, 1)
            .service(Cluster)
            .endpoints(&[1])
            .with("c1", |c| c.rules.network_instance = "nowhere".into());
        lab.says(Unknown, Some(Reason::NetworkInstanceMissing)).telling(&["nowhere", "c1"]);
    });
}

#[test]
fn row_4_address_pending() {
    both(|v4| {
        let pending = Service { load_balancer: true, ..Service::default() };
        let lab = Lab::new(v4, 1).endpoints(&[1]).service_as("c1", "web", pending.clone());
        let lab = lab.says(Down, Some(Reason::AddressPending));
        let ingress_unusable = Some(IngressUnusable::HostName("lb.example.com".into()));
        let lab = lab.service_as("c1", "web", Service { ingress_unusable, ..pending });
        lab.says(Down, Some(Reason::AddressPending)).telling(&["lb.example.com"]);
    });
}

#[test]
fn row_5_no_ready_endpoint_whether_the_route_is_gone_or_lingers() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).attached(&[1]).says(Down, Some(Reason::NoReadyEndpoint));
        let lab = lab.endpoints_as("c1", "web", &[1], false).telling(&["none of 1"]);
        lab.via_nodes(&[1]).says(Down, Some(Reason::NoReadyEndpoint)).telling(&["still installed"]);
    });
}

#[test]
fn row_6_no_announcer_when_local_endpoints_name_no_node() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Local).attached(&[1]).endpoints(&[0]);
        lab.says(Down, Some(Reason::NoAnnouncer)).telling(&["names a node"]);
    });
}

#[test]
fn row_7_wrong_network_instance() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).attached(&[1]).endpoints(&[1]);
        let (vip, hop) = (IpNet::from(lab.vip_address()), lab.node_address(1));
        let lab = lab.route_in("default", vip, BGP, &[hop]);
        let lab = lab.says(Down, Some(Reason::WrongNetworkInstance)).telling(&["ip-vrf-1", "default"]);
        lab.via_nodes(&[1]).says(Up, None);
    });
}

#[test]
fn row_8_no_route_and_every_session_down() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Cluster).endpoints(&[1]).attached(&[1]);
        let lab = lab.session(1, SessionState::Active).behind(2);
        let lab = lab.says(Down, Some(Reason::SessionDown)).telling(&["node1", "active"]);
        lab.neighbor(1, None).says(Down, Some(Reason::SessionDown)).telling(&["node1", "gone"]);
    });
}

#[test]
fn row_9_no_route_though_a_default_route_is_there() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Cluster).endpoints(&[1]).attached(&[1]).session(2, SessionState::Idle);
        let default: IpNet = if v4 { "0.0.0.0/0" } else { "::/0" }.parse().expect("a prefix");
        let hop = lab.node_address(1);
        let lab = lab.route_in("ip-vrf-1", default, BGP, &[hop]);
        lab.says(Down, Some(Reason::NoRoute)).telling(&["ip-vrf-1", "node1", "established"]);
    });
}

#[test]
fn row_9_a_covering_prefix_that_does_not_serve_is_no_route_and_is_named() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]);
        let (covering, hop) = (lab.covering(), lab.vtep(9));
        let lab = lab.route_in("ip-vrf-1", covering, BGP, &[hop]);
        let named = covering.to_string();
        lab.says(Down, Some(Reason::NoRoute)).telling(&[&named, "10.0.1.9"]);
    });
}

#[test]
fn row_10_route_not_programmed_but_pending_is_not_failed() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1]);
        let lab = lab.fib(FibFaultKind::Pending).says(Up, None);
        let lab = lab.fib(FibFaultKind::Failed).says(Down, Some(Reason::RouteNotProgrammed));
        lab.source(SourceId::Gnmi, SourceEvent::Lost("socket".into())).says(Up, None);
    });
}

#[test]
fn row_11_no_next_hop_serves() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Local).endpoints(&[1]).attached(&[1, 2]).via_nodes(&[2]);
        let lab = lab.says(Down, Some(Reason::NextHopUnexpected)).telling(&["node2", "without a usable endpoint"]);
        let vip = IpNet::from(lab.vip_address());
        lab.route_in("ip-vrf-1", vip, BGP, &[]).says(Down, Some(Reason::NextHopUnexpected)).telling(&["discarded"]);
    });
}

#[test]
fn row_12_address_conflict_unless_one_names_the_other() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1]).with("c2", |_| {});
        let ingress = Box::from([lab.vip_address()]);
        let lab = lab.service_as("c2", "web", Service { load_balancer: true, ingress, ..Service::default() });
        // The route leads to a node of the first alone: the second is the claimant.
        let lab = lab.says(Up, None);
        // It leads to neither's.
        let vip = IpNet::from(lab.vip_address());
        let hop = lab.vtep(9);
        let lab = lab.route_in("ip-vrf-1", vip, EVPN, &[hop]);
        let lab = lab.says(Degraded, Some(Reason::AddressConflict)).telling(&["c2"]);
        lab.with("c2", |c| c.enabled = false).says(Degraded, Some(Reason::LocalPathUnused));
    });
}

#[test]
fn row_13_an_expected_next_hop_absent_and_its_session_down() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Cluster).endpoints(&[1]).attached(&[1, 2]).via_nodes(&[1, 2]).says(Up, None);
        let lab = lab.session(2, SessionState::Connect).says(Up, None).via_nodes(&[1]);
        lab.says(Degraded, Some(Reason::SessionDown)).telling(&["node2", "connect", "1 of 2"]);
    });
}

#[test]
fn row_14_local_path_unused_as_in_the_ecmp_article() {
    both(|v4| {
        let lab = Lab::new(v4, 3).service(Cluster).endpoints(&[1]).attached(&[1, 3]).via_leaves(&[2]);
        let lab = lab.says(Degraded, Some(Reason::LocalPathUnused)).telling(&["10.0.1.2", "bgp_evpn_mgr", "node1"]);
        let lab = lab.behind(2).says(Degraded, Some(Reason::LocalPathUnused));
        assert_eq!(lab.vip().vantage, Some(Vantage::Local));
    });
}

#[test]
fn row_15_ecmp_limited() {
    both(|v4| {
        let lab = Lab::new(v4, 3).service(Cluster).endpoints(&[1]).attached(&[1, 2, 3]);
        let lab = lab.with("c1", |c| c.rules.ecmp_limit = Some(2)).via_nodes(&[1, 2]);
        lab.says(Degraded, Some(Reason::EcmpLimited)).telling(&["2 of 3", "node3"]);
    });
}

#[test]
fn row_16_next_hop_missing_here_and_on_remote_leaves() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Cluster).endpoints(&[1]).attached(&[1, 2]).via_nodes(&[1]);
        lab.says(Degraded, Some(Reason::NextHopMissing)).telling(&["node2", "1 of 2"]);
        let lab = Lab::new(v4, 3).service(Cluster).endpoints(&[1]).behind(1).behind(2).behind(3).via_leaves(&[1, 2]);
        lab.says(Degraded, Some(Reason::NextHopMissing)).telling(&["VTEP 10.0.1.3", "node3"]);
    });
}

#[test]
fn row_17_a_next_hop_that_does_not_serve() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Local).endpoints(&[1]).attached(&[1, 2]).via_nodes(&[1, 2]);
        lab.says(Degraded, Some(Reason::NextHopUnexpected)).telling(&["1 of 2", "node2", "black hole"]);
    });
}

#[test]
fn row_18_unmapped_by_policy_local_is_unknown() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Local).endpoints(&[2]).via_leaves(&[4]);
        let lab = lab.says(Unknown, Some(Reason::NextHopUnmapped)).telling(&["10.0.1.4", "node2", "fabric-address"]);
        assert_eq!(lab.vip().next_hops[0].kind, NextHopKind::Unmapped);
    });
}

#[test]
fn row_19_unmapped_by_policy_cluster_is_up() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).via_leaves(&[4]);
        let lab = lab.says(Up, Some(Reason::NextHopUnmapped));
        // With every announcer located, nothing can be behind the unmapped next-hop any more.
        lab.attached(&[1]).says(Down, Some(Reason::NextHopUnexpected));
    });
}

#[test]
fn row_20_covered_by_an_aggregate_that_serves() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]);
        let (covering, hop) = (lab.covering(), lab.node_address(1));
        let lab = lab.route_in("ip-vrf-1", covering, BGP, &[hop]).says(Up, Some(Reason::CoveredByAggregate));
        assert_eq!(lab.vip().prefix, Some(covering));
        lab.via_nodes(&[1]).says(Up, None).no_route().says(Up, Some(Reason::CoveredByAggregate));
    });
}

#[test]
fn row_21_up_local_and_remote_as_in_the_anycast_lab() {
    both(|v4| {
        let leaf1 = Lab::new(v4, 3).service(Cluster).endpoints(&[1, 2, 3]).attached(&[1]).behind(2).behind(3);
        let leaf1 = leaf1.via_nodes(&[1]).says(Up, None);
        let vip = leaf1.vip();
        assert_eq!((vip.vantage, vip.expected, vip.installed), (Some(Vantage::Local), 1, 1));
        assert_eq!(vip.route.as_ref().map(|route| route.preference), Some(169));
        let leaf4 = Lab::new(v4, 3).service(Cluster).endpoints(&[1, 2, 3]).behind(1).behind(2).behind(3);
        let leaf4 = leaf4.via_leaves(&[1, 2, 3]).says(Up, None);
        let vip = leaf4.vip();
        assert_eq!((vip.vantage, vip.expected, vip.installed), (Some(Vantage::Remote), 3, 3));
        assert!(vip.next_hops.iter().all(|hop| hop.kind == NextHopKind::Vtep && hop.node.is_some()));
    });
}

#[test]
fn a_next_hop_that_serves_unexpectedly_does_not_lower_the_vip() {
    both(|v4| {
        let lab = Lab::new(v4, 2).service(Cluster).endpoints(&[1]).attached(&[1]).behind(2);
        let (vip, hops) = (IpNet::from(lab.vip_address()), [lab.node_address(1), lab.vtep(2)]);
        let lab = lab.route_in("ip-vrf-1", vip, BGP, &hops).says(Up, None);
        let words: Vec<_> = lab.vip().next_hops.iter().map(|hop| (hop.state, hop.reason)).collect();
        assert!(words.contains(&(Up, Some(Reason::NextHopUnexpected))) && words.contains(&(Up, None)));
    });
}

#[test]
fn a_group_that_is_not_told_yet_holds_what_was_said_for_15_seconds() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1]).says(Up, None);
        let vip = IpNet::from(lab.vip_address());
        let lab = lab.route_by("ip-vrf-1", vip, BGP, NextHopGroupId(7)).says(Up, None).after(14).says(Up, None);
        let lab = lab.after(1).says(Unknown, Some(Reason::Syncing)).telling(&["next-hop group 7"]);
        lab.via_nodes(&[1]).says(Up, None);
    });
}

#[test]
fn a_network_instance_that_goes_and_comes_back() {
    both(|v4| {
        let lab = Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1]);
        let lab = lab.tell(Event::Switch(SwitchEvent::NetworkInstance("ip-vrf-1".into(), None)));
        let lab = lab.says(Unknown, Some(Reason::NetworkInstanceMissing));
        let up = Some(NetworkInstance { id: 3, oper_up: true });
        lab.tell(Event::Switch(SwitchEvent::NetworkInstance("ip-vrf-1".into(), up))).says(Up, None);
    });
}

fn fib_status(lab: &Lab) -> Option<FibStatus> {
    lab.vip().route.as_ref().map(|route| route.fib)
}

fn reached(v4: bool) -> Lab {
    Lab::new(v4, 1).service(Cluster).endpoints(&[1]).attached(&[1]).via_nodes(&[1])
}

#[test]
fn row_10_a_fault_of_another_owners_route_is_not_the_active_routes() {
    both(|v4| {
        let lab = reached(v4).fib_of("bgp_evpn_mgr", FibFaultKind::Failed).says(Up, None);
        lab.fib(FibFaultKind::Failed).says(Down, Some(Reason::RouteNotProgrammed));
    });
}

#[test]
fn row_10_what_gnmi_does_not_cover_is_unknown_and_earlier_faults_stand() {
    both(|v4| {
        let lab = reached(v4).says(Up, None);
        assert_eq!(fib_status(&lab), Some(FibStatus::Programmed));
        let lab = lab.fib_known(&["ip-vrf-2"]).says(Up, None);
        assert_eq!(fib_status(&lab), Some(FibStatus::Unknown));
        let lab = lab.fib_known(&["ip-vrf-1"]).fib(FibFaultKind::Failed).says(Down, Some(Reason::RouteNotProgrammed));
        lab.fib_known(&[]).says(Down, Some(Reason::RouteNotProgrammed));
    });
}

#[test]
fn row_10_suppressed_is_not_programmed_and_unconfirmed_is_unknown() {
    both(|v4| {
        let lab = reached(v4).fib(FibFaultKind::Suppressed).says(Down, Some(Reason::RouteNotProgrammed));
        let lab = lab.fib(FibFaultKind::Unconfirmed).says(Up, None);
        assert_eq!(fib_status(&lab), Some(FibStatus::Unknown));
    });
}
