//! Gathers the evidence about one VIP of one service for [`super::verdict`].

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::announcers::{aggregate, announcers, elsewhere, silence};
use super::carriers::UnknownEndpoints;
use super::evidence::{Evidence, Gate, Matched, World};
use super::l2;
use super::next_hops::{NextHops, Standing};
use super::sole::sole_ways;
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::nodes::Expectation;
use crate::engine::facts::routes::{Found, is_host};
use crate::engine::facts::sources::GnmiPhase;
use crate::engine::facts::switch::BGP_OWNER;
use crate::engine::facts::tally::{Contribution, Counted, uses};
use crate::model::cluster::COUNTED_ENDPOINTS;
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::time::Timestamp;
use crate::model::verdict::{Announcement, FibStatus, Reason};
use crate::model::view::{RouteView, VipView};

/// Gathers the evidence about a VIP. Adds to `groups` the next-hop groups it looked at.
pub(crate) fn gather(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &ServiceEntry,
    vip: IpAddr,
    published: Option<&VipView>,
    groups: &mut Vec<NextHopGroupId>,
) -> Evidence {
    let endpoints = Arc::clone(entry.endpoints.of_vip(vip));
    let gate = gate(world, cluster, vip);
    if matches!(gate, Gate::Syncing(_) | Gate::InstanceMissing(_)) {
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
    let mut evidence = Evidence::none(gate, Some(vip), endpoints);
    evidence.local_policy = cluster.profile().serves_locally(&entry.service);
    if evidence.local_policy {
        evidence.intent_stale = intent_stale(world, cluster, vip);
    }
    evidence.global = cluster.profile().is_global(&entry.service);
    evidence.aggregate = aggregate(world, cluster, entry, vip);
    evidence.ecmp_limit = cluster.config.rules.ecmp_limit.map(u32::from);
    let judge = next_hops(world, cluster, entry, vip);
    let (_, announcers) = announcers(world, cluster, vip);
    let standing = found.as_ref().map(|found| {
        let expectation = by_what_is_heard(world, cluster, &announcers, &found.hops);
        judge.standing(found, &expectation)
    });
    let by = l2::announcement(world, cluster, vip, found.as_ref().zip(standing));
    evidence.announcement = Some(by);
    if by == Announcement::L2 {
        l2::gather(&judge, found, &mut evidence);
        evidence.misplaced = l2::elected_instead(cluster, entry, &evidence);
        evidence.conflict = conflict(world, cluster, vip, &[]);
        return evidence;
    }
    match standing.zip(found) {
        None => {}
        Some((Standing::Other, found)) => {
            evidence.followed = judge.leads_on(&found);
            evidence.unserving = Some(found);
        }
        Some((standing, found)) => {
            evidence.unsure = standing == Standing::Unsure;
            evidence.route = Some(found);
        }
    }
    let hops = evidence.route.as_ref().map(|route| Arc::clone(&route.hops)).unwrap_or_default();
    let expectation = by_what_is_heard(world, cluster, &announcers, &hops);
    if expectation.announcers == 0 {
        evidence.silence = silence(cluster, entry, vip);
    } else if expectation.is_nobodys() {
        evidence.silence = elsewhere(cluster, entry, vip);
    }
    evidence.hops = judge.hops(evidence.route.as_ref(), &expectation);
    evidence.expectation = expectation;
    evidence.conflict = conflict(world, cluster, vip, &hops);
    evidence.awaited = awaited(world, cluster);
    if evidence.route.is_none() {
        evidence.elsewhere = judge.elsewhere(groups);
    }
    evidence
}

/// Returns whether a VIP can be judged. It cannot if the agent does not read all of its endpoints, of the cluster or of
/// one that shares the VIP: those that it does not read may serve it, and may make other nodes announce it.
fn gate(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> Gate {
    let gate = world.gate(cluster);
    if gate != Gate::Open {
        return gate;
    }
    let partners = world
        .clusters
        .values()
        .filter(|other| other.id != cluster.id && other.is_beside(cluster) && other.shares_with(cluster));
    let incomplete = std::iter::once(cluster).chain(partners).find_map(|of| {
        let what = match world.shared.carriers(of, vip).unknown? {
            UnknownEndpoints::Namespace(namespace) => {
                format!("all endpoints of namespace {namespace} in cluster {}, which has more than are read", of.name)
            }
            UnknownEndpoints::Service(service) => {
                format!("the endpoints of {service} in cluster {}, which has more than {COUNTED_ENDPOINTS}", of.name)
            }
        };
        Some(Gate::Syncing(what))
    });
    incomplete.unwrap_or(gate)
}

pub(crate) fn next_hops<'a>(
    world: &'a World<'a>,
    cluster: &'a Cluster,
    entry: &'a ServiceEntry,
    vip: IpAddr,
) -> NextHops<'a> {
    let local_policy = cluster.profile().serves_locally(&entry.service);
    let meshed = cluster.profile().is_global(&entry.service);
    NextHops { world, cluster, vip, local_policy, meshed, endpoints: entry.endpoints.of_vip(vip) }
}

/// Returns when the cluster was last heard, if its API is lost and the next-hops of the VIP have changed since. Only
/// for VIPs that depend on where pods are.
fn intent_stale(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> Option<Timestamp> {
    let source = world.sources.get(&SourceId::Kubernetes(cluster.name.clone()))?;
    let (heard, wall) = source.heard.filter(|_| source.lost.is_some())?;
    let turned = cluster.vips.get(&vip).is_some_and(|entry| entry.course.has_turned(heard));
    turned.then_some(wall)
}

/// Returns the next-hops of a VIP's route, whatever route that is; `None` while they are not known.
pub(crate) fn course(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> Option<Arc<[IpAddr]>> {
    match world.switch.longest(&cluster.config.rules.network_instance, vip) {
        None => Some(Arc::default()),
        Some(found) => world.switch.group(found.route.next_hop_group).map(|group| Arc::clone(&group.next_hops)),
    }
}

/// Returns the longest match for a VIP, with its next-hops. While its group is not known, the published next-hops are
/// used if they are of the same prefix. A covering prefix whose group never arrives has no next-hops. Returns the group
/// as an error if that is unknown and nothing can replace it.
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
        return Ok(Some(matched(world, instance, &found, Arc::clone(&group.next_hops))));
    }
    if world.switch.given_up(group, world.now.elapsed) {
        return match is_host(&found.prefix) {
            true => Err(group),
            false => Ok(Some(matched(world, instance, &found, Arc::default()))),
        };
    }
    let judged = |published: &&VipView| {
        let unjudged = [Some(Reason::Syncing), Some(Reason::SwitchStale), Some(Reason::NetworkInstanceMissing)];
        !unjudged.contains(&published.verdict.reason)
    };
    published.filter(judged).and_then(|published| held(published, found.prefix)).map(Some).ok_or(group)
}

fn matched(world: &World<'_>, instance: &NetworkInstanceName, found: &Found, hops: Arc<[IpAddr]>) -> Matched {
    let owner = world.switch.owner(&found.route).cloned();
    let fib = fib(world, instance, found.prefix, owner.as_ref());
    let view = RouteView { owner, preference: found.route.preference, metric: found.route.metric, fib };
    Matched { prefix: found.prefix, hops, view }
}

fn fib(world: &World<'_>, instance: &NetworkInstanceName, prefix: IpNet, owner: Option<&Arc<str>>) -> FibStatus {
    if world.phase.gnmi != GnmiPhase::Live {
        return FibStatus::Unknown;
    }
    world.bgp.fib(&RouteKey { network_instance: instance.clone(), prefix }, owner)
}

/// Returns what a VIP adds to the counts of nodes; `None` while that is not known, or if no BGP session should carry
/// the VIP.
pub(crate) fn contribution(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> Option<Contribution> {
    let before = cluster.vips.get(&vip)?.contribution.clone();
    match gate(world, cluster, vip) {
        Gate::Open => {}
        Gate::SwitchStale(_) => return before,
        Gate::Syncing(_) | Gate::InstanceMissing(_) => return None,
    }
    if is_l2(world, cluster, vip) {
        return None;
    }
    let (mut announcers, expectation) = announcers(world, cluster, vip);
    let instance = &cluster.config.rules.network_instance;
    let (installed, may_hide, sole): (Arc<[IpAddr]>, bool, _) = match world.switch.longest(instance, vip) {
        None => (Arc::default(), false, Box::default()),
        Some(found) => match world.switch.group(found.route.next_hop_group) {
            None => match before {
                Some(before) => (before.installed, true, before.sole),
                None => (Arc::default(), true, Box::default()),
            },
            Some(group) => {
                let limit = cluster.config.rules.ecmp_limit.map(usize::from);
                let full = limit.is_some_and(|limit| group.next_hops.len() >= limit);
                let local = world.switch.owned_by(&found.route, BGP_OWNER);
                let found = matched(world, instance, &found, Arc::clone(&group.next_hops));
                let carrying = carrying(world, cluster, vip, &found, &expectation);
                match carrying.is_empty() {
                    true => (Arc::default(), false, Box::default()),
                    false => (Arc::clone(&group.next_hops), !local || full, sole_ways(&carrying, &found)),
                }
            }
        },
    };
    if let Counted::Nodes(nodes) = &mut announcers {
        for (slot, used) in nodes {
            *used = cluster.nodes.get(*slot).is_some_and(|node| uses(&installed, node));
        }
    }
    Some(Contribution { announcers, installed, may_hide, sole })
}

/// Returns whether no BGP session is expected to carry the VIP.
fn is_l2(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> bool {
    let instance = &cluster.config.rules.network_instance;
    let found = world.switch.longest(instance, vip);
    let found = found.map(|found| {
        let group = world.switch.group(found.route.next_hop_group);
        let hops = group.map(|group| Arc::clone(&group.next_hops)).unwrap_or_default();
        matched(world, instance, &found, hops)
    });
    let (_, expectation) = announcers(world, cluster, vip);
    let hops = found.as_ref().map(|found| &*found.hops).unwrap_or_default();
    let expectation = by_what_is_heard(world, cluster, &expectation, hops);
    cluster.carrying(vip).any(|entry| {
        let standing = found.as_ref().map(|found| next_hops(world, cluster, entry, vip).standing(found, &expectation));
        l2::announcement(world, cluster, vip, found.as_ref().zip(standing)) == Announcement::L2
    })
}

/// Returns what the announcers make expected; by the routes alone while gNMI does not report neighbors.
pub(super) fn by_what_is_heard(
    world: &World<'_>,
    cluster: &Cluster,
    expectation: &Arc<Expectation>,
    hops: &[IpAddr],
) -> Arc<Expectation> {
    match world.phase.gnmi {
        GnmiPhase::Live => Arc::clone(expectation),
        _ => Arc::clone(expectation).by_route(hops.iter().flat_map(|hop| cluster.at_address(*hop))),
    }
}

/// Returns the services of the cluster that carry the VIP and whose route this is, in the form that judges their
/// next-hops.
fn carrying<'a>(
    world: &'a World<'a>,
    cluster: &'a Cluster,
    vip: IpAddr,
    found: &Matched,
    expectation: &Arc<Expectation>,
) -> Vec<NextHops<'a>> {
    let expectation = by_what_is_heard(world, cluster, expectation, &found.hops);
    let judges = cluster.carrying(vip).map(|entry| next_hops(world, cluster, entry, vip));
    judges.filter(|judge| judge.standing(found, &expectation) == Standing::Counts).collect()
}

/// Returns another cluster that claims a VIP in the same network instance, unless one of the two names the other, or
/// the other has not been read as a whole yet: until its nodes are listed, it may be the same API as this one. Only one
/// of the two clusters has the conflict if it claims by externalIPs what is assigned to a service of the other, or if
/// the next-hops lead to nodes of the other only.
fn conflict(world: &World<'_>, cluster: &Cluster, vip: IpAddr, hops: &[IpAddr]) -> Option<String> {
    let claims = |other: &&Cluster| other.id != cluster.id && other.is_beside(cluster) && other.vips.contains_key(&vip);
    let rivals = world.clusters.values().filter(claims);
    let rivals = rivals.filter(|other| !other.shares_with(cluster) && is_read(world, other));
    let mut others: Vec<&Cluster> = rivals.collect();
    let is_assigned = |cluster: &Cluster| world.shared.carriers(cluster, vip).assigned;
    let reached = |cluster: &Cluster| hops.iter().any(|hop| cluster.has_behind(*hop));
    if others.is_empty() {
        return None;
    }
    let (assigned, served) = (is_assigned(cluster), reached(cluster));
    others.retain(|other| match (assigned, is_assigned(other)) {
        (true, false) => false,
        (false, true) => true,
        _ => !served || reached(other),
    });
    others.into_iter().map(|other| other.name.to_string()).min()
}

/// Returns a cluster that may claim the same VIPs and has never been read.
fn awaited(world: &World<'_>, cluster: &Cluster) -> Option<String> {
    let others = world.clusters.values().filter(|other| other.id != cluster.id && other.is_beside(cluster));
    let partners = others.filter(|other| other.shares_with(cluster));
    partners.filter(|other| !is_read(world, other)).map(|other| other.name.to_string()).min()
}

/// Returns whether a cluster has ever been read as a whole.
fn is_read(world: &World<'_>, cluster: &Cluster) -> bool {
    let source = world.sources.get(&SourceId::Kubernetes(cluster.name.clone()));
    source.is_some_and(|source| source.ever_synced)
}

/// Returns the route as it was published before, if that was of this prefix.
fn held(published: &VipView, prefix: IpNet) -> Option<Matched> {
    let hops = published.next_hops.iter().filter(|hop| hop.installed).map(|hop| hop.address).collect();
    (published.prefix == Some(prefix)).then_some(Matched { prefix, hops, view: published.route.clone()? })
}
