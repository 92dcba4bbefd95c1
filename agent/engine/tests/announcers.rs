//! Who is expected to announce, speaker by speaker.

use super::fixtures::Lab;
use crate::model::cluster::TrafficPolicy::{self, Cluster, Local};
use crate::model::cluster::{AddressFamily, Endpoint, EndpointSlice, Node, Service, ServiceHints, SliceKey};
use crate::model::config::Speaker;
use crate::model::event::{ClusterEvent, Update};
use crate::model::names::ServiceKey;
use crate::model::verdict::OperState::{Degraded, Down, Up};
use crate::model::verdict::Reason;

fn lab(speaker: Speaker, policy: TrafficPolicy) -> Lab {
    Lab::new(true, 2).with("c1", |c| c.source.speaker = speaker).service(policy).attached(&[1, 2])
}

fn expected(lab: &Lab) -> Vec<String> {
    let hops = lab.vip().next_hops.iter().filter(|hop| hop.expected);
    hops.filter_map(|hop| hop.node.as_ref().map(ToString::to_string)).collect()
}

/// One endpoint on node 1 that terminates and still serves.
fn terminating(lab: Lab) -> Lab {
    let node = Some("node1".into());
    let endpoint = Endpoint { identity: "Pod/a".into(), node, ready: false, serving: true, terminating: true };
    let (service, endpoints) = (ServiceKey::new("default", "web"), Box::from([endpoint]));
    let slice = EndpointSlice { service, family: AddressFamily::Ipv4, endpoints };
    let key = SliceKey { namespace: "default".into(), name: "web-1".into() };
    lab.told("c1", ClusterEvent::EndpointSlices(Update::Set(key, slice)))
}

#[test]
fn policy_local_needs_an_endpoint_on_the_node_for_every_speaker() {
    for speaker in Speaker::ALL {
        assert_eq!(expected(&lab(speaker, Local).endpoints(&[2])), ["node2"], "{speaker:?}");
    }
}

#[test]
fn policy_cluster_makes_every_node_an_announcer_for_every_speaker() {
    for speaker in Speaker::ALL {
        assert_eq!(expected(&lab(speaker, Cluster).endpoints(&[2])), ["node1", "node2"], "{speaker:?}");
    }
}

#[test]
fn without_usable_endpoints_metallb_and_generic_announce_nothing() {
    for speaker in Speaker::ALL {
        let lab = lab(speaker, Cluster).endpoints_as("c1", "web", &[1], false);
        let lab = lab.says(Down, Some(Reason::NoReadyEndpoint));
        let goes_on = !matches!(speaker, Speaker::Metallb | Speaker::Generic);
        assert_eq!(!expected(&lab).is_empty(), goes_on, "{speaker:?}");
    }
}

#[test]
fn a_terminating_endpoint_that_serves_is_usable_and_not_announced_by_cilium_and_calico() {
    for speaker in Speaker::ALL {
        let lab = terminating(lab(speaker, Local));
        assert_eq!(lab.view().usable_endpoints, 1, "{speaker:?}");
        let announced = !matches!(speaker, Speaker::Cilium | Speaker::Calico);
        assert_eq!(!expected(&lab).is_empty(), announced, "{speaker:?}");
    }
}

#[test]
fn kube_router_announces_where_any_endpoint_is() {
    let lab = lab(Speaker::KubeRouter, Local).endpoints_as("c1", "web", &[2], false);
    assert_eq!(expected(&lab), ["node2"]);
}

#[test]
fn the_exclude_label_counts_by_presence_for_metallb_and_by_value_for_calico() {
    for speaker in Speaker::ALL {
        for (value, excluded) in
            [("", matches!(speaker, Speaker::Metallb)), ("true", matches!(speaker, Speaker::Metallb | Speaker::Calico))]
        {
            let lab = lab(speaker, Cluster).endpoints(&[2]);
            let internal = Box::from([lab.node_address(1)]);
            let lab = lab.node_as(1, Node { internal, exclude_label: Some(value.into()), ..Node::default() });
            assert_eq!(expected(&lab).len() == 1, excluded, "{speaker:?} {value:?}");
        }
    }
}

#[test]
fn network_unavailable_counts_for_metallb_only() {
    for speaker in Speaker::ALL {
        let lab = lab(speaker, Cluster).endpoints(&[2]);
        let internal = Box::from([lab.node_address(1)]);
        let lab = lab.node_as(1, Node { internal, network_unavailable: true, ..Node::default() });
        assert_eq!(expected(&lab).len() == 1, speaker == Speaker::Metallb, "{speaker:?}");
    }
}

#[test]
fn every_node_excluded_and_no_route_is_no_announcer() {
    let lab = Lab::new(true, 0).service(Cluster).endpoints(&[0]);
    let lab = lab.node_as(1, Node { exclude_label: Some("".into()), ..Node::default() });
    lab.says(Down, Some(Reason::NoAnnouncer)).telling(&["node1", "exclude-from-external-load-balancers"]);
}

#[test]
fn a_class_of_another_implementation_leaves_the_service_out() {
    for speaker in Speaker::ALL {
        let lab = lab(speaker, Cluster);
        let ingress = Box::from([lab.vip_address()]);
        let foreign = Service { load_balancer: true, class: Some("other.io/lb".into()), ingress, ..Service::default() };
        let lab = lab.service_as("c1", "web", foreign);
        let ours = matches!(speaker, Speaker::Calico | Speaker::KubeRouter);
        assert_eq!(lab.said.services.len(), usize::from(ours), "{speaker:?}");
        let lab = lab.with("c1", |c| c.rules.load_balancer_class = Some("other.io/lb".into()));
        assert_eq!(lab.said.services.len(), 1, "{speaker:?}");
    }
}

#[test]
fn annotations_of_kube_router_and_cilium_withhold_the_address() {
    for (speaker, hints) in [
        (Speaker::KubeRouter, ServiceHints { kube_router_skip_lb_ips: true, ..ServiceHints::default() }),
        (Speaker::KubeRouter, ServiceHints { kube_router_no_advertise: true, ..ServiceHints::default() }),
        (Speaker::Cilium, ServiceHints { cilium_no_load_balancer: true, ..ServiceHints::default() }),
    ] {
        let lab = lab(speaker, Cluster).endpoints(&[1]);
        let ingress = Box::from([lab.vip_address()]);
        let lab = lab.service_as("c1", "web", Service { load_balancer: true, ingress, hints, ..Service::default() });
        lab.says(Down, Some(Reason::NoAnnouncer)).telling(&["annotation"]);
    }
}

#[test]
fn announcers_are_the_union_over_services_and_each_serves_by_its_own_endpoints() {
    let lab = lab(Speaker::Metallb, Local).endpoints(&[1]).via_nodes(&[1, 2]);
    let ingress = Box::from([lab.vip_address()]);
    let other = Service { load_balancer: true, policy: Local, ingress, ..Service::default() };
    let lab = lab.service_as("c1", "api", other).endpoints_as("c1", "api", &[2], true);
    assert_eq!(expected(&lab), ["node1", "node2"]);
    let lab = lab.says(Degraded, Some(Reason::NextHopUnexpected)).telling(&["node2"]);
    lab.endpoints(&[1, 2]).says(Up, None);
}

#[test]
fn external_ips_are_vips_where_they_are_asked_for() {
    let lab = lab(Speaker::Calico, Cluster);
    let external_ips = Box::from([lab.vip_address()]);
    let lab = lab.service_as("c1", "web", Service { external_ips, ..Service::default() });
    assert!(lab.said.services.is_empty());
    let lab = lab.with("c1", |c| c.source.include_external_ips = true).endpoints(&[1]).via_nodes(&[1, 2]);
    lab.says(Up, None);
}
