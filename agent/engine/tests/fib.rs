//! FIB programming in the verdict, as gNMI reports it; the other rows stand in `tests/engine/rows.rs`.

use super::fixtures::Lab;
use crate::model::cluster::TrafficPolicy::Cluster;
use crate::model::switch::FibFaultKind;
use crate::model::verdict::OperState::{Down, Up};
use crate::model::verdict::{FibStatus, Reason};

/// Both families, one after the other.
fn both(test: impl Fn(bool)) {
    test(true);
    test(false);
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
