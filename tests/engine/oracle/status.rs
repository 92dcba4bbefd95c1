//! The published state of sources, clusters, the agent as a whole, and routes that nobody claims.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::config::Config;
use srl_k8s_services::model::event::Crowded;
use srl_k8s_services::model::names::{ClusterName, ServiceKey};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::RouteKey;
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::{OperState, SourceState};
use srl_k8s_services::model::view::{
    ClusterCounts, ClusterView, OrphanView, RootView, ServiceView, SourceView, SummaryView,
};

use super::speakers::pools;
use super::{Cluster, Oracle, count, one_api};

impl<'a> Oracle<'a> {
    pub(super) fn sources(&self) -> BTreeMap<SourceId, SourceView> {
        let kubernetes = self.world.watched().map(|(name, _)| SourceId::Kubernetes(name.clone()));
        let ids = [SourceId::Ndk, SourceId::Gnmi].into_iter().chain(kubernetes);
        ids.map(|id| {
            let state = self.world.source_of(&id).state;
            let stale_since = (state == SourceState::Stale).then_some(Timestamp::UNIX_EPOCH);
            (id, SourceView { state, stale_since })
        })
        .collect()
    }

    pub(super) fn cluster_views(&self) -> BTreeMap<ClusterName, ClusterView> {
        let watched: BTreeMap<&ClusterName, Cluster<'a>> = self.clusters().map(|c| (c.name, c)).collect();
        let views = self.world.config.iter().flat_map(|config| &config.clusters).map(|(name, config)| {
            let view = match watched.get(name) {
                Some(cluster) => self.cluster(*cluster),
                None => ClusterView {
                    config: config.clone(),
                    state: OperState::Down,
                    reason: Some("admin-disabled".into()),
                    version: None,
                    counts: None,
                    speaker_resources: BTreeMap::new(),
                },
            };
            (name.clone(), view)
        });
        views.collect()
    }

    fn cluster(&self, cluster: Cluster<'a>) -> ClusterView {
        let source = self.world.source_of(&SourceId::Kubernetes(cluster.name.clone()));
        let reached = source.synced_once || cluster.world.answers;
        let ndk = self.world.source_of(&SourceId::Ndk).synced_once;
        let works = self.world.forwards(&cluster.config.rules.network_instance) || !ndk;
        let state = if !reached || !works {
            OperState::Down
        } else if source.lost_since.is_some() {
            OperState::Degraded
        } else {
            OperState::Up
        };
        let twin = self.clusters().any(|other| other.name < cluster.name && one_api(other, cluster));
        let plainly = state == OperState::Up && source.synced_once && cluster.world.caveat.is_none() && !twin;
        let reason = (!plainly).then(|| "".into());
        let ours: BTreeSet<&ServiceKey> = cluster
            .world
            .services
            .iter()
            .filter(|(_, service)| self.vips(cluster, service).is_some())
            .map(|(key, _)| key)
            .collect();
        let slices = cluster.world.slices.values();
        let endpoints = slices
            .filter(|slice| ours.contains(&slice.service))
            .flat_map(|slice| slice.endpoints.iter().map(|endpoint| (&slice.service, &endpoint.identity)))
            .collect::<BTreeSet<_>>();
        let counts = ClusterCounts {
            services: count(ours.len()),
            endpoints: count(endpoints.len()),
            nodes: count(cluster.world.nodes.len()),
        };
        ClusterView {
            config: cluster.config.clone(),
            state,
            reason,
            version: cluster.world.version.clone(),
            counts: source.synced_once.then_some(counts),
            speaker_resources: cluster.world.speaker.states.clone(),
        }
    }

    /// Returns the worst state of sources and clusters, which is down only if none works.
    pub(super) fn root(&self, config: &Config) -> RootView {
        let source = |id: SourceId| match self.world.source_of(&id) {
            source if source.lost_since.is_some() => OperState::Down,
            source if source.synced_once => OperState::Up,
            _ => OperState::Degraded,
        };
        let clusters = self.clusters().map(|cluster| self.cluster(cluster).state);
        let parts: Vec<OperState> =
            [source(SourceId::Ndk), source(SourceId::Gnmi)].into_iter().chain(clusters).collect();
        let state = if !config.enabled || parts.iter().all(|part| *part == OperState::Down) {
            OperState::Down
        } else if parts.iter().all(|part| *part == OperState::Up) {
            OperState::Up
        } else {
            OperState::Degraded
        };
        let reason = (state != OperState::Up).then(|| "".into());
        RootView { enabled: config.enabled, state, reason, alarm_policy: config.alarm_policy }
    }

    /// Returns whether a service has the address, whoever should announce it, or a node is at it.
    fn is_somebodys(&self, cluster: Cluster<'a>, address: IpAddr) -> bool {
        let mut services = cluster.world.services.values();
        services.any(|service| service.ingress.contains(&address) || service.external_ips.contains(&address))
            || !self.nodes_at(cluster, address).is_empty()
    }

    /// Returns the host routes inside a VIP pool that no service claims. Nothing is known to be unclaimed before all
    /// clusters have synced.
    pub(super) fn orphans(&self) -> BTreeMap<RouteKey, OrphanView> {
        let orphan = |key: &RouteKey| {
            let address = key.prefix.addr();
            let here: Vec<Cluster<'a>> = self
                .clusters()
                .filter(|cluster| cluster.config.rules.network_instance == key.network_instance)
                .collect();
            let claimed = here.iter().any(|cluster| self.subjects(*cluster).any(|subject| subject.vip == address));
            key.prefix == IpNet::from(address)
                && here.iter().any(|cluster| {
                    pools(cluster.config, &cluster.world.speaker).iter().any(|pool| pool.contains(&address))
                })
                && self.world.source_of(&SourceId::Ndk).synced_once
                && here.iter().all(|cluster| self.kubernetes_synced(*cluster))
                && here.iter().all(|of| of.world.crowded.get(&Crowded::Services).is_none_or(BTreeSet::is_empty))
                && !claimed
                && !here.iter().any(|cluster| self.is_somebodys(*cluster, address))
                && self.world.routes.get(key).and_then(|route| self.world.owner(route)) != Some("arp_nd_mgr")
                && self.world.routes.get(key).and_then(|route| self.world.owner(route)) != Some("net_inst_mgr")
        };
        let routes = self.world.routes.iter().filter(|(key, _)| orphan(key));
        routes
            .map(|(key, route)| {
                let owner = self.world.applications.get(&route.owner).cloned();
                let next_hops = self.world.next_hops(route).into_iter().flatten().collect();
                (key.clone(), OrphanView { owner, next_hops, since: Timestamp::UNIX_EPOCH })
            })
            .collect()
    }
}

pub(super) fn summary<'s>(services: impl Iterator<Item = &'s ServiceView>) -> SummaryView {
    let mut summary = SummaryView::default();
    for service in services {
        summary.services += 1;
        for vip in &service.vips {
            summary.vips += 1;
            match vip.verdict.state {
                OperState::Up => summary.vips_up += 1,
                OperState::Degraded => summary.vips_degraded += 1,
                OperState::Down => summary.vips_down += 1,
                OperState::Unknown => summary.vips_unknown += 1,
            }
        }
    }
    summary
}
