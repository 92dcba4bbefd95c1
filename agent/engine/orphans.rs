//! Orphan routes: host routes inside a VIP pool that no service claims.
//!
//! Said only once the switch's tables and every cluster of the network instance are known: before that, a VIP would
//! look like an orphan.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::evidence::World;
use super::ids::ClusterId;
use super::sources::NdkPhase;
use crate::model::event::SourceId;
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::view::OrphanView;

/// Orphans, and what must be looked at again.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// What was said, and the group it was read from.
    pub(super) said: BTreeMap<RouteKey, (OrphanView, NextHopGroupId)>,
    pub(super) touched: BTreeSet<RouteKey>,
    /// Every host route inside a pool must be looked at again.
    pub(super) all: bool,
}

impl World<'_> {
    /// Host routes inside the pools of all clusters.
    pub(super) fn pooled(&self) -> BTreeSet<RouteKey> {
        let pooling = self.clusters.values().filter(|cluster| !cluster.pools.is_empty());
        let routes = pooling.flat_map(|cluster| {
            let instance = &cluster.config.network_instance;
            let hosts = self.switch.hosts(instance, |host| cluster.pools_hold(host)).into_iter();
            hosts.map(|host| RouteKey { network_instance: instance.clone(), prefix: IpNet::from(host) })
        });
        routes.collect()
    }

    /// True when a prefix is a host route a cluster's pool covers.
    pub(super) fn in_pool(&self, key: &RouteKey) -> bool {
        let mut clusters = self.clusters.values().filter(|c| c.config.network_instance == key.network_instance);
        clusters.any(|cluster| cluster.pools_hold(key.prefix.addr()))
    }

    /// The orphan a prefix is, and the group it was read from.
    pub(super) fn orphan(&self, key: &RouteKey, said: Option<&OrphanView>) -> Option<(OrphanView, NextHopGroupId)> {
        if self.phase.ndk == NdkPhase::Syncing || !self.in_pool(key) {
            return None;
        }
        let here: Vec<(&ClusterId, _)> =
            self.clusters.iter().filter(|(_, c)| c.config.network_instance == key.network_instance).collect();
        let synced = here.iter().all(|(_, cluster)| {
            let source = self.sources.get(&SourceId::Kubernetes(cluster.name.clone()));
            source.is_some_and(|source| source.ever_synced)
        });
        let address = key.prefix.addr();
        let claimed = self.claims.of(address).iter().any(|claim| here.iter().any(|(id, _)| **id == claim.cluster));
        if !synced || claimed {
            return None;
        }
        let route = self.switch.host(&key.network_instance, address)?;
        let group = self.switch.group(route.next_hop_group);
        let view = OrphanView {
            owner: self.switch.owner(&route).cloned(),
            next_hops: group.map(|group| Box::from(&*group.next_hops)).unwrap_or_default(),
            since: said.map_or(self.now.wall, |said| said.since),
        };
        Some((view, route.next_hop_group))
    }
}
