//! Finds orphan routes: host routes inside a VIP pool that no service claims.
//!
//! They are reported only once the switch's tables and every cluster of the network instance are known. Before that, a
//! VIP would look like an orphan. So would one of a service that is not read because there are too many.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::evidence::World;
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::clusters_in;
use crate::engine::facts::sources::NdkPhase;
use crate::model::source::SourceId;
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::view::OrphanView;

/// Returns the host routes inside the pools of all clusters.
pub(crate) fn pooled(world: &World<'_>) -> BTreeSet<RouteKey> {
    let pooling = world.clusters.values().filter(|cluster| !cluster.pools.is_empty());
    let routes = pooling.flat_map(|cluster| {
        let instance = &cluster.config.rules.network_instance;
        let hosts = world.switch.hosts(instance, |host| cluster.pools_hold(host)).into_iter();
        hosts.map(|host| RouteKey { network_instance: instance.clone(), prefix: IpNet::from(host) })
    });
    routes.collect()
}

/// Returns whether a prefix is a host route inside a cluster's pool.
pub(crate) fn in_pool(world: &World<'_>, key: &RouteKey) -> bool {
    clusters_in(world.clusters, &key.network_instance).any(|cluster| cluster.pools_hold(key.prefix.addr()))
}

/// Returns the orphan that a prefix is, if any, and the group it was read from.
pub(crate) fn orphan_view(
    world: &World<'_>,
    key: &RouteKey,
    published: Option<&OrphanView>,
) -> Option<(OrphanView, NextHopGroupId)> {
    if world.phase.ndk == NdkPhase::Syncing || !in_pool(world, key) {
        return None;
    }
    let here: Vec<&Cluster> = clusters_in(world.clusters, &key.network_instance).collect();
    let synced = here.iter().all(|cluster| {
        let source = world.sources.get(&SourceId::Kubernetes(cluster.name.clone()));
        source.is_some_and(|source| source.ever_synced) && !cluster.lacks_services()
    });
    let address = key.prefix.addr();
    let claimed = world.claims.of(address).iter().any(|claim| here.iter().any(|cluster| cluster.id == claim.cluster));
    // The address belongs to a service that is not judged here, or to a node.
    let known = |cluster: &Cluster| cluster.claimed.contains_key(&address) || !cluster.at_address(address).is_empty();
    if !synced || claimed || here.iter().any(|cluster| known(cluster)) {
        return None;
    }
    let route = world.switch.host(&key.network_instance, address)?;
    // Speakers do not announce what this leaf has from its own interfaces.
    if world.switch.is_connected(&route) {
        return None;
    }
    let group = world.switch.group(route.next_hop_group);
    let view = OrphanView {
        owner: world.switch.owner(&route).cloned(),
        next_hops: group.map(|group| Box::from(&*group.next_hops)).unwrap_or_default(),
        since: published.map_or(world.now.wall, |published| published.since),
    };
    Some((view, route.next_hop_group))
}
