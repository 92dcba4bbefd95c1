//! Finds nodes attached here that are the only way to a VIP.

use super::evidence::Matched;
use super::next_hops::NextHops;
use crate::model::verdict::AttachmentState;

/// Returns the nodes attached here that are the only next-hop that serves, by slot: at most one for each service that
/// carries the VIP. Nodes behind a VTEP do not count: the leaf that they are attached to counts them.
pub(crate) fn sole_ways(carrying: &[NextHops<'_>], found: &Matched) -> Box<[u32]> {
    // A VIP that is the address of a node leads to that node alone by definition.
    let leads_on = carrying.iter().filter(|judge| judge.cluster.at_address(judge.vip).is_empty());
    let mut ways: Vec<u32> = leads_on.flat_map(|judge| sole_ways_of(judge, found)).collect();
    ways.sort_unstable();
    ways.dedup();
    ways.into()
}

/// Returns the nodes that are the sole way of one service. Any address of a node stands for it: two next-hops may be
/// the same node.
fn sole_ways_of(judge: &NextHops<'_>, found: &Matched) -> Vec<u32> {
    let attached = |slot: &u32| {
        judge.cluster.nodes.get(*slot).is_some_and(|node| node.location.attachment() == AttachmentState::Attached)
    };
    let mut serving = found.hops.iter().filter(|hop| judge.serves(**hop));
    let Some(first) = serving.next() else { return Vec::new() };
    let mut ways: Vec<u32> = judge.cluster.at_next_hop(*first).iter().copied().filter(attached).collect();
    // Usually the next one already shows that there is another way.
    while !ways.is_empty()
        && let Some(hop) = serving.next()
    {
        ways.retain(|slot| judge.cluster.at_next_hop(*hop).contains(slot));
    }
    ways
}
