//! Evaluation: what was marked is recomputed, what is different is said.

use std::sync::Arc;

use super::Engine;
use super::alarms::{ClusterState, Reach, Surroundings};
use super::facts::cluster::Cluster;
use super::facts::ids::{ServiceId, User};
use super::judge::evidence::World;
use super::judge::gather::contribution;
use super::judge::node::node_view;
use super::judge::orphans::{orphan_view, pooled};
use super::judge::service::service_view;
use super::judge::status;
use crate::model::alarm::Resource;
use crate::model::event::SourceId;
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::time::Now;
use crate::model::view::{Change, ClusterView, OrphanView};

impl Engine {
    /// Recomputes what was marked since the last call, and what time alone has changed. Gives what is different from
    /// what was said before, in a fixed order; a second call without news gives nothing.
    pub fn evaluate(&mut self, now: Now) -> Vec<Change> {
        self.pass_time(now);
        let mut services = self.evaluate_services(now);
        let mut nodes = self.evaluate_nodes(now);
        let mut changes = self.say_few();
        changes.append(&mut nodes);
        changes.append(&mut services);
        changes.append(&mut self.evaluate_orphans(now));
        let mut alarms = self.evaluate_alarms(now, &changes);
        changes.append(&mut alarms);
        if self.remembered.is_news() || self.alarms.wants_saving(now) {
            changes.push(Change::Memory(self.memory(now)));
        }
        self.evaluated_at = now.elapsed;
        changes
    }

    /// What time alone has changed.
    fn pass_time(&mut self, now: Now) {
        let phase = self.sources.phase(now.elapsed);
        if self.said.phase.as_ref() != Some(&phase) {
            self.said.phase = Some(phase);
            self.mark_everything();
        }
        if self.evaluated_at < now.elapsed {
            let users = self.switch.gave_up(self.evaluated_at, now.elapsed);
            self.mark_users(users);
        }
    }

    fn world(&self, now: Now) -> World<'_> {
        World {
            now,
            phase: self.said.phase.as_ref().expect("set before anything is evaluated"),
            sources: &self.sources,
            switch: &self.switch,
            bgp: &self.bgp,
            clusters: &self.clusters,
            claims: &self.claims,
        }
    }

    fn evaluate_services(&mut self, now: Now) -> Vec<Change> {
        let mut queue = std::mem::take(&mut self.queue);
        self.clusters.values_mut().for_each(Cluster::prepare);
        for cluster in self.clusters.values_mut() {
            if std::mem::take(&mut cluster.all_services) {
                let id = cluster.id;
                queue.extend(cluster.services.iter().map(|(slot, _)| ServiceId { cluster: id, slot }));
            }
        }
        let mut changes: Vec<_> = std::mem::take(&mut self.departed)
            .into_iter()
            .map(|((cluster, key), view)| {
                self.counts.count(&view, false);
                (cluster, key, None)
            })
            .collect();
        queue.sort_unstable();
        queue.dedup();
        for id in queue {
            changes.extend(self.evaluate_service(now, id));
        }
        changes.sort_by(|(cluster, key, _), (other, other_key, _)| (cluster, key).cmp(&(other, other_key)));
        changes.into_iter().map(|(cluster, key, view)| Change::Service(cluster, key, view)).collect()
    }

    fn evaluate_service(&mut self, now: Now, id: ServiceId) -> Option<ServiceChange> {
        let world = self.world(now);
        let cluster = world.clusters.get(&id.cluster)?;
        let entry = cluster.services.get(id.slot)?;
        let vips = entry.vips.clone()?;
        let (view, groups) = service_view(&world, cluster, entry);
        let contributions: Vec<_> = vips.iter().map(|vip| (*vip, contribution(&world, cluster, *vip))).collect();

        self.evaluations += 1 + vips.len() as u64;
        let cluster = self.clusters.get_mut(&id.cluster)?;
        for (vip, contribution) in contributions {
            cluster.contribute(vip, contribution);
        }
        let entry = cluster.services.get_mut(id.slot)?;
        entry.queued = false;
        let before = std::mem::replace(&mut entry.groups, groups);
        let groups = entry.groups.clone();
        let changed = entry.view.as_deref() != Some(&view);
        let said = changed.then(|| {
            let view = Arc::new(view);
            let old = entry.view.replace(Arc::clone(&view));
            (cluster.name.clone(), entry.key.clone(), old, view)
        });
        self.switch.look_at(&User::Service(id), &before, &groups);
        self.switch.wait_for(&groups, now.elapsed);
        let (name, key, old, view) = said?;
        let cluster = self.clusters.get_mut(&id.cluster)?;
        if let Some(old) = old {
            self.counts.count(&old, false);
            cluster.judged -= 1;
            cluster.endpoint_count -= old.total_endpoints;
        }
        self.counts.count(&view, true);
        cluster.judged += 1;
        cluster.endpoint_count += view.total_endpoints;
        Some((name, key, Some(view)))
    }

    fn evaluate_nodes(&mut self, now: Now) -> Vec<Change> {
        for cluster in self.clusters.values_mut() {
            if std::mem::take(&mut cluster.all_nodes) {
                cluster.stale_nodes = cluster.nodes.iter().map(|(slot, _)| slot).collect();
            }
        }
        let mut views = Vec::new();
        let world = self.world(now);
        for cluster in self.clusters.values() {
            for slot in &cluster.stale_nodes {
                if let Some(entry) = cluster.nodes.get(*slot) {
                    let view = node_view(&world, cluster, *slot, entry);
                    let changed = entry.view.as_deref() != Some(&view);
                    views.push((cluster.id, *slot, changed.then(|| Arc::new(view))));
                }
            }
        }
        self.evaluations += views.len() as u64;
        let departed = std::mem::take(&mut self.departed_nodes);
        let mut changes: Vec<_> = departed.into_keys().map(|(cluster, node)| (cluster, node, None)).collect();
        for (id, slot, view) in views {
            let Some((cluster, view)) = self.clusters.get_mut(&id).zip(view) else { continue };
            let name = cluster.name.clone();
            if let Some(entry) = cluster.nodes.get_mut(slot) {
                entry.view = Some(Arc::clone(&view));
                changes.push((name, entry.name.clone(), Some(view)));
            }
        }
        self.clusters.values_mut().for_each(|cluster| cluster.stale_nodes.clear());
        changes.sort_by(|(cluster, node, _), (other, other_node, _)| (cluster, node).cmp(&(other, other_node)));
        changes.into_iter().map(|(cluster, node, view)| Change::Node(cluster, node, view)).collect()
    }

    /// The root, the summary, sources and clusters.
    fn say_few(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let clusters = self.cluster_changes();
        if let Some(config) = &self.config {
            let views = self.said.clusters.iter().map(|(name, view)| (name.as_str(), view));
            let root = status::root(config, &self.sources, views);
            if self.said.root.as_ref() != Some(&root) {
                changes.push(Change::Root(root.clone()));
                self.said.root = Some(root);
            }
            let summary = status::summary(&self.counts);
            if self.said.summary != Some(summary) {
                changes.push(Change::Summary(summary));
                self.said.summary = Some(summary);
            }
        }
        changes.append(&mut self.source_changes());
        changes.extend(clusters);
        changes
    }

    fn source_changes(&mut self) -> Vec<Change> {
        let sources: Vec<_> = self.sources.views().map(|(id, view)| (id.clone(), view)).collect();
        let gone: Vec<SourceId> =
            self.said.sources.keys().filter(|id| self.sources.get(id).is_none()).cloned().collect();
        let mut changes: Vec<_> = gone.iter().map(|id| Change::Source(id.clone(), None)).collect();
        self.said.sources.retain(|id, _| !gone.contains(id));
        for (id, view) in sources {
            if self.said.sources.insert(id.clone(), view) != Some(view) {
                changes.push(Change::Source(id, Some(view)));
            }
        }
        changes
    }

    fn cluster_changes(&mut self) -> Vec<Change> {
        let Some(config) = self.config.clone() else { return Vec::new() };
        let gone: Vec<_> =
            self.said.clusters.keys().filter(|name| !config.clusters.contains_key(*name)).cloned().collect();
        let mut changes = Vec::new();
        for name in gone {
            self.said.clusters.remove(&name);
            changes.push(Change::Cluster(name, None));
        }
        for (name, cluster) in &config.clusters {
            let view = self.cluster_view(name).unwrap_or_else(|| status::disabled(cluster));
            if self.said.clusters.get(name) != Some(&view) {
                self.said.clusters.insert(name.clone(), view.clone());
                changes.push(Change::Cluster(name.clone(), Some(view)));
            }
        }
        changes
    }

    fn cluster_view(&self, name: &crate::model::names::ClusterName) -> Option<ClusterView> {
        let cluster = self.clusters.get(self.ids.get(name)?)?;
        let source = self.sources.get(&SourceId::Kubernetes(name.clone()))?;
        Some(status::cluster(cluster, source, &self.switch, self.said.phase.as_ref()?))
    }

    /// The alarms that come of what is about to be said.
    fn evaluate_alarms(&mut self, now: Now, changes: &[Change]) -> Vec<Change> {
        let switch = self.sources.in_reach(&SourceId::Ndk);
        let reach = Reach { switch, neighbors: switch && self.sources.in_reach(&SourceId::Gnmi) };
        if reach.neighbors && !std::mem::replace(&mut self.said.neighbors, reach.neighbors) {
            let nodes = self.clusters.values().flat_map(|cluster| {
                let views = cluster.nodes.iter().filter_map(|(_, node)| Some((&node.name, node.view.as_ref()?)));
                views.map(|(node, view)| (&cluster.name, node, view))
            });
            self.alarms.reobserve(nodes);
        }
        self.said.neighbors = reach.neighbors;
        let state = |cluster: &Cluster| ClusterState {
            synced: self.sources.in_reach(&SourceId::Kubernetes(cluster.name.clone())),
            instance_missing: self.switch.instance(&cluster.config.rules.network_instance).is_none(),
        };
        // Taken out while it reads the rest.
        let mut alarms = std::mem::take(&mut self.alarms);
        let exists = |resource: &Resource| self.exists(resource);
        let around = Surroundings {
            now,
            exists: &exists,
            config: self.config.as_deref(),
            reach,
            sources: self.sources.states(now.elapsed).collect(),
            clusters: self.clusters.values().map(|cluster| (&cluster.name, state(cluster))).collect(),
        };
        let news = alarms.observe(&around, changes);
        self.alarms = alarms;
        news
    }

    /// Whether what an alarm is about is there.
    fn exists(&self, resource: &Resource) -> bool {
        let cluster = |name: &ClusterName| self.clusters.get(self.ids.get(name)?);
        let service = |cluster: &ClusterName, key: &ServiceKey| {
            let cluster = self.clusters.get(self.ids.get(cluster)?)?;
            cluster.services.get(*cluster.service_slots.get(key)?)?.view.as_deref()
        };
        match resource {
            Resource::Cluster(name) => cluster(name).is_some(),
            Resource::Node(name, node) => cluster(name).is_some_and(|cluster| cluster.node_slot(node).is_some()),
            Resource::Service(cluster, key) => service(cluster, key).is_some(),
            Resource::Vip(cluster, key, address) => {
                service(cluster, key).is_some_and(|view| view.vips.iter().any(|vip| vip.address == *address))
            }
            Resource::Source(source) => self.sources.get(source).is_some(),
            Resource::Orphan(route) => self.orphans.published.contains_key(route),
        }
    }

    fn evaluate_orphans(&mut self, now: Now) -> Vec<Change> {
        let mut touched = std::mem::take(&mut self.orphans.touched);
        if std::mem::take(&mut self.orphans.all) {
            touched.extend(self.orphans.published.keys().cloned());
            touched.extend(pooled(&self.world(now)));
        }
        let mut changes = Vec::new();
        for key in touched {
            let said = self.orphans.published.get(&key).cloned();
            let new = orphan_view(&self.world(now), &key, said.as_ref().map(|(view, _)| view));
            if new == said {
                continue;
            }
            let group =
                |orphan: &Option<(_, _)>| orphan.as_ref().map(|(_, group)| *group).into_iter().collect::<Vec<_>>();
            self.switch.look_at(&User::Orphan(Box::new(key.clone())), &group(&said), &group(&new));
            let shown = |orphan: &Option<(OrphanView, _)>| orphan.as_ref().map(|(view, _)| view.clone());
            let (before, view) = (shown(&said), shown(&new));
            match new {
                Some(new) => drop(self.orphans.published.insert(key.clone(), new)),
                None => drop(self.orphans.published.remove(&key)),
            }
            if before == view {
                continue;
            }
            changes.push(Change::Orphan(key, view));
        }
        changes
    }
}

type ServiceChange =
    (crate::model::names::ClusterName, crate::model::names::ServiceKey, Option<Arc<crate::model::view::ServiceView>>);
