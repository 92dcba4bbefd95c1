//! Tests that services which share a VIP cost as much as services that do not: n of them cost n, not n squared.

use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::{AddressFamily, EndpointSlice, SliceKey, TrafficPolicy};
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, Update};
use srl_k8s_services::model::source::SourceId;

use crate::scenario::{BGP, C1, Family, Scenario, VRF, at, endpoint, key, load_balancer};
use crate::wrong_words::leaf;

const V4: Family = Family::V4;
const FEW: usize = 100;
const MANY: usize = 1000;
/// How often the endpoint fails and comes back.
const FLAPS: usize = 4;

/// A leaf with a VIP that as many services of each of two clusters carry, behind a route of this prefix.
fn sharing(services: usize, policy: TrafficPolicy, prefix: IpNet, shared: bool) -> Scenario {
    let vip = V4.vip(100);
    let mut leaf = leaf(Speaker::Metallb);
    leaf.cluster("c2", |cluster| {
        cluster.rules.shared_with = if shared { [C1.into()].into() } else { Default::default() };
    });
    leaf.source(SourceId::Kubernetes("c2".into()), SourceEvent::Synced);
    leaf.attached("n1", V4.node(1)).route_of(VRF, prefix, BGP, &[V4.node(1), V4.elsewhere(1)]);
    for cluster in [C1, "c2"] {
        let all = (0..services).map(|at| (key(&format!("web{at}")), load_balancer(policy, &[vip])));
        let event = ClusterEvent::Services(Update::All(all.collect()));
        leaf.engine.apply(at(Duration::ZERO), Event::Cluster(cluster.into(), event));
        let slices = (0..services).map(|at| slice(&format!("web{at}"), true));
        let event = ClusterEvent::EndpointSlices(Update::All(slices.collect()));
        leaf.engine.apply(at(Duration::ZERO), Event::Cluster(cluster.into(), event));
    }
    leaf
}

fn slice(service: &str, ready: bool) -> (SliceKey, EndpointSlice) {
    let slice_key = SliceKey { namespace: "default".into(), name: service.into() };
    let endpoints = [endpoint("p1", "n1", ready, ready)].into();
    (slice_key, EndpointSlice { service: key(service), family: AddressFamily::Ipv4, endpoints })
}

/// Returns the processor time of this thread so far; that of other processes does not count.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("proc");
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// Returns the processor time it takes to judge the VIP again after some changes of one service's endpoint.
fn changes(leaf: &mut Scenario) -> Duration {
    let begun = processor_time();
    for ready in [false, true].repeat(FLAPS) {
        let (slice_key, slice) = slice("web0", ready);
        let event = ClusterEvent::EndpointSlices(Update::Set(slice_key, slice));
        leaf.engine.apply(at(Duration::ZERO), Event::Cluster(C1.into(), event));
    }
    processor_time() - begun
}

#[test]
fn a_vip_that_n_services_share_costs_n() {
    let host = IpNet::from(V4.vip(100));
    for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
        for (prefix, shared) in [(host, true), (host, false), (V4.aggregate(), true)] {
            let [few, many] = [FEW, MANY].map(|services| changes(&mut sharing(services, policy, prefix, shared)));
            let ratio = many.as_secs_f64() / few.as_secs_f64();
            // As many times as there are more services, and room for what caches cost.
            let most = 3.0 * MANY as f64 / FEW as f64;
            assert!(
                ratio < most,
                "{policy:?}, {prefix}, shared {shared}: {few:?} and {many:?}, {ratio:.0} times as long"
            );
        }
    }
}
