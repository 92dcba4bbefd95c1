//! Gathers what is known of one VIP of one service, for [`super::verdict`] to judge.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::announcers::{aggregate, announcers, silence};
use super::evidence::{Evidence, Gate, Matched, World};
use super::next_hops::NextHops;
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::routes::is_host;
use crate::engine::facts::sources::GnmiPhase;
use crate::engine::facts::switch::BGP_OWNER;
use crate::engine::facts::tally::{Contribution, Counted, uses};
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::verdict::{FibStatus, Reason};
use crate::model::view::{RouteView, VipView};

/// Gathers what is known of a VIP. Notes the groups it looked at.
pub(crate) fn gather(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &ServiceEntry,
    vip: IpAddr,
    published: Option<&VipView>,
    groups: &mut Vec<NextHopGroupId>,
) -> Evidence {
    let endpoints = Arc::clone(entry.endpoints.of_vip(vip));
    let gate = world.gate(cluster);
    if matches!(gate, Gate::Syncing(_) | Gate::InstanceMissing { .. }) {
        return Evidence::none(gate, Some(vip), endpoints);
    }
    let found = match found(world, cluster, vip, published, groups) {
        Ok(found) => found,
        Err(group) => {
            let gate = match gate {
                Gate::Open => Gate::Syncing(format!("next-hop group {} of the route to {vip}", group.0)),
                other => other,
            };
            return Evidence::none(gate, Some(vip), endpoints);
        }
    };
    let (_, expectation) = announcers(world, cluster, vip);
    let mut evidence = Evidence::none(gate, Some(vip), endpoints);
    evidence.local_policy = cluster.profile().local(&entry.service);
    if expectation.announcers == 0 {
        evidence.silence = silence(cluster, entry, vip);
    }
    evidence.expectation = expectation;
    evidence.aggregate = aggregate(world, cluster, entry, vip);
    evidence.ecmp_limit = cluster.config.rules.ecmp_limit.map(u32::from);
    evidence.conflict = conflict(world, cluster, vip);
    let next_hops = NextHops { world, cluster, vip, evidence: &evidence };
    let (route, unserving) = match found {
        Some(found) if next_hops.counts(&found) => (Some(found), None),
        other => (None, other),
    };
    let elsewhere = if route.is_none() { next_hops.elsewhere(groups) } else { None };
    if world.phase.gnmi != GnmiPhase::Live
        && let Some(route) = &route
    {
        evidence.expectation = Arc::clone(&evidence.expectation).by_route(&cluster.nodes, &route.hops);
    }
    let hops = NextHops { world, cluster, vip, evidence: &evidence }.hops(route.as_ref());
    Evidence { route, unserving, elsewhere, hops, ..evidence }
}

/// The longest match for a VIP, with its next-hops. While its group is not told, what was said before holds.
fn found(
    world: &World<'_>,
    cluster: &Cluster,
    vip: IpAddr,
    published: Option<&VipView>,
    groups: &mut Vec<NextHopGroupId>,
) -> Result<Option<Matched>, NextHopGroupId> {
    let instance = &cluster.config.rules.network_instance;
    let Some(found) = world.switch.longest(instance, vip) else { return Ok(None) };
    let group = found.route.next_hop_group;
    groups.push(group);
    if let Some(group) = world.switch.group(group) {
        let owner = world.switch.owner(&found.route).cloned();
        let fib = fib(world, instance, found.prefix, owner.as_ref());
        let view = RouteView { owner, preference: found.route.preference, metric: found.route.metric, fib };
        return Ok(Some(Matched { prefix: found.prefix, hops: Arc::clone(&group.next_hops), view }));
    }
    let unjudged = [Some(Reason::Syncing), Some(Reason::SwitchStale), Some(Reason::NetworkInstanceMissing)];
    match published {
        Some(published)
            if !unjudged.contains(&published.verdict.reason) && !world.switch.given_up(group, world.now.elapsed) =>
        {
            Ok(held(published))
        }
        _ => Err(group),
    }
}

fn fib(world: &World<'_>, instance: &NetworkInstanceName, prefix: IpNet, owner: Option<&Arc<str>>) -> FibStatus {
    if world.phase.gnmi != GnmiPhase::Live {
        return FibStatus::Unknown;
    }
    world.bgp.fib(&RouteKey { network_instance: instance.clone(), prefix }, owner)
}

/// What a VIP adds to the counts of nodes; none while that cannot be published.
pub(crate) fn contribution(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> Option<Contribution> {
    let before = cluster.vips.get(&vip)?.contribution.clone();
    match world.gate(cluster) {
        Gate::Open => {}
        Gate::SwitchStale(_) => return before,
        Gate::Syncing(_) | Gate::InstanceMissing { .. } => return None,
    }
    let (mut announcers, _) = announcers(world, cluster, vip);
    let found = world.switch.longest(&cluster.config.rules.network_instance, vip);
    let host = found.is_some_and(|found| is_host(&found.prefix));
    let (installed, may_hide): (Arc<[IpAddr]>, bool) = match found {
        None => (Arc::default(), false),
        Some(found) => match world.switch.group(found.route.next_hop_group) {
            None => match before {
                Some(before) => (before.installed, true),
                None => (Arc::default(), true),
            },
            Some(group) => {
                let counts = host || serves_any(world, cluster, vip, &group.next_hops);
                let limit = cluster.config.rules.ecmp_limit.map(usize::from);
                let full = limit.is_some_and(|limit| group.next_hops.len() >= limit);
                let local = world.switch.owned_by(&found.route, BGP_OWNER);
                match counts {
                    true => (Arc::clone(&group.next_hops), !local || full),
                    false => (Arc::default(), false),
                }
            }
        },
    };
    if let Counted::Nodes(nodes) = &mut announcers {
        for (slot, used) in nodes {
            *used = cluster.nodes.get(*slot).is_some_and(|node| uses(&installed, node));
        }
    }
    Some(Contribution { announcers, installed, may_hide })
}

/// One of the next-hops serves one of the cluster's services that carry the VIP.
fn serves_any(world: &World<'_>, cluster: &Cluster, vip: IpAddr, next_hops: &[IpAddr]) -> bool {
    let services = cluster.vips.get(&vip).map(|entry| entry.services.as_slice()).unwrap_or_default();
    services.iter().filter_map(|slot| cluster.services.get(*slot)).any(|entry| {
        let endpoints = Arc::clone(entry.endpoints.of_vip(vip));
        let local_policy = cluster.profile().local(&entry.service);
        let evidence = Evidence { local_policy, ..Evidence::none(Gate::Open, Some(vip), endpoints) };
        let serving = NextHops { world, cluster, vip, evidence: &evidence };
        next_hops.iter().any(|hop| serving.serves(*hop))
    })
}

/// Another cluster that claims a VIP in the same network instance, unless one of the two names the other.
fn conflict(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> Option<String> {
    let others = world.claims.of(vip).iter().filter(|claim| claim.cluster != cluster.id);
    let others = others.filter_map(|claim| world.clusters.get(&claim.cluster));
    let others = others.filter(|other| other.config.rules.network_instance == cluster.config.rules.network_instance);
    others.filter(|other| !other.shares_with(cluster)).map(|other| other.name.to_string()).min()
}

/// The route as it was said before.
fn held(published: &VipView) -> Option<Matched> {
    let hops = published.next_hops.iter().filter(|hop| hop.installed).map(|hop| hop.address).collect();
    Some(Matched { prefix: published.prefix?, hops, view: published.route.clone()? })
}
