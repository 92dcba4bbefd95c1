//! Nodes here that are the only way to a VIP.

use std::net::IpAddr;
use std::sync::Arc;

use super::evidence::{Matched, World};
use super::gather::{by_what_is_heard, next_hops};
use super::next_hops::{NextHops, Standing};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::nodes::Expectation;
use crate::model::verdict::AttachmentState;

/// The nodes attached here that are the only next-hop that serves, by slot: one at most for each service that carries the
/// VIP. Nodes behind a VTEP are none: the leaf they are attached to says so of them.
pub(crate) fn sole_ways(
    world: &World<'_>,
    cluster: &Cluster,
    vip: IpAddr,
    found: &Matched,
    expectation: &Arc<Expectation>,
) -> Box<[u32]> {
    // The address of a node leads to that node alone, by nature.
    if !cluster.at_address(vip).is_empty() {
        return Box::default();
    }
    let judges = cluster.carrying(vip).map(|entry| next_hops(world, cluster, entry, vip));
    let expectation = by_what_is_heard(world, cluster, expectation, &found.hops);
    let counts = judges.filter(|judge| judge.standing(found, &expectation) == Standing::Counts);
    let mut ways: Vec<u32> = counts.flat_map(|judge| sole_ways_of(&judge, found)).collect();
    ways.sort_unstable();
    ways.dedup();
    ways.into()
}

/// Any address of a node stands for it: two next-hops may be one way.
fn sole_ways_of(judge: &NextHops<'_>, found: &Matched) -> Vec<u32> {
    let attached = |slot: &u32| {
        judge.cluster.nodes.get(*slot).is_some_and(|node| node.location.attachment() == AttachmentState::Attached)
    };
    let mut serving = found.hops.iter().filter(|hop| judge.serves(**hop));
    let Some(first) = serving.next() else { return Vec::new() };
    let mut ways: Vec<u32> = judge.cluster.at_next_hop(*first).iter().copied().filter(attached).collect();
    // One that is enough to show that there is another way is the common case.
    while !ways.is_empty()
        && let Some(hop) = serving.next()
    {
        ways.retain(|slot| judge.cluster.at_next_hop(*hop).contains(slot));
    }
    ways
}
