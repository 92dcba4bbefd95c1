//! Evaluates what is dirty and returns what differs from what was published.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::alarm_input;
use super::alarms::{AlarmInput, ClusterCondition, Visibility};
use super::facts::cluster::Cluster;
use super::facts::ids::{NodeId, ServiceId};
use super::facts::sources::{GnmiPhase, NdkPhase};
use super::facts::{Facts, Read};
use super::judge::evidence::{Gate, World};
use super::judge::gather::{contribution, course};
use super::judge::node::node_view;
use super::judge::orphans::{orphan_view, pooled};
use super::judge::service::service_view;
use super::judge::shared::Shared;
use super::judge::status;
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::source::SourceId;
use crate::model::switch::RouteKey;
use crate::model::time::Now;
use crate::model::verdict::Announcement;
use crate::model::view::{Change, ClusterView, ServiceView};

impl Engine {
    /// Recomputes what became dirty since the last call, and what changed by time alone. Returns what differs from what
    /// was published before, in a fixed order; a second call without news returns nothing.
    pub fn evaluate(&mut self, now: Now) -> Vec<Change> {
        self.pass_time(now);
        let mut entries = if self.facts.is_told_anew(now.elapsed) { Vec::new() } else { self.evaluate_entries(now) };
        let mut changes = self.evaluate_status();
        changes.append(&mut entries);
        let mut alarms = self.evaluate_alarms(now, &changes);
        changes.append(&mut alarms);
        changes.extend(self.inquire(now, &changes));
        if self.attachments_changed() || self.alarms.wants_saving(now) {
            changes.push(Change::PersistentState(self.persistent_state(now)));
        }
        self.evaluated_at = now.elapsed;
        changes
    }

    /// Evaluates nodes, services and orphans. Must not be called while the switch resynchronizes its tables: some are
    /// then from the old stream and some from the new one.
    fn evaluate_entries(&mut self, now: Now) -> Vec<Change> {
        let mut services = self.evaluate_services(now);
        self.dirty |= self.facts.place_carriers();
        if !self.dirty.services.is_empty() || !self.dirty.vips.is_empty() {
            let again = self.evaluate_services(now);
            services = merged(services, again);
        }
        let mut changes = self.evaluate_nodes(now);
        changes.append(&mut in_order(services));
        changes.append(&mut self.evaluate_orphans(now));
        self.facts.looked_at();
        changes
    }

    /// Marks as dirty what changed by time alone.
    fn pass_time(&mut self, now: Now) {
        let phase = self.facts.sources().phase(now.elapsed);
        if self.published.phase.as_ref() != Some(&phase) {
            self.published.phase = Some(phase);
            self.dirty |= self.facts.everything();
        }
        if self.evaluated_at < now.elapsed {
            self.dirty |= self.facts.given_up(self.evaluated_at, now.elapsed);
        }
    }

    pub(super) fn world<'a>(&'a self, now: Now, shared: &'a Shared) -> World<'a> {
        let facts = &self.facts;
        World {
            now,
            phase: self.published.phase.as_ref().expect("set before anything is evaluated"),
            sources: facts.sources(),
            switch: facts.switch(),
            bgp: facts.bgp(),
            clusters: facts.clusters(),
            claims: facts.claims(),
            inquiries: facts.inquiries(),
            shared,
        }
    }

    fn evaluate_services(&mut self, now: Now) -> Vec<ServiceChange> {
        self.facts.derive(&mut self.dirty);
        let mut changes = self.departed_services();
        let clusters = self.facts.clusters();
        let members = |id| clusters.get(&id).map(Cluster::service_ids).into_iter().flatten();
        let shared = Shared::default();
        let vips = std::mem::take(&mut self.dirty.vips);
        self.dirty.services.extend(vips.iter().flat_map(|vip| self.facts.claims().of(*vip)).copied());
        for id in self.dirty.services.take(members) {
            changes.extend(self.evaluate_service(now, &shared, id));
        }
        changes
    }

    fn departed_services(&mut self) -> Vec<ServiceChange> {
        let mut changes = Vec::new();
        for ((cluster, key), view) in std::mem::take(&mut self.dirty.departed) {
            if let Some(view) = self.facts.take_back_service(&cluster, &key, view) {
                self.counts.count(&view, false);
                changes.push(ServiceChange { cluster, key, before: Some(view), view: None });
            }
        }
        changes
    }

    fn evaluate_service(&mut self, now: Now, shared: &Shared, id: ServiceId) -> Option<ServiceChange> {
        self.note_courses(now, shared, id);
        let world = self.world(now, shared);
        let cluster = world.clusters.get(&id.cluster)?;
        let entry = cluster.services.get(id.slot)?;
        let vips = entry.vips.as_deref()?;
        let (view, groups) = service_view(&world, cluster, entry);
        let counted = vips.iter().filter(|vip| shared.counts(cluster, **vip));
        let contributions = counted.map(|vip| (*vip, contribution(&world, cluster, *vip))).collect();
        let (announced, carriers) = (announced(&view), carriers(cluster, &view));
        let evaluated = 1 + vips.len() as u64;
        let old = entry.view.clone();
        let view = (old.as_deref() != Some(&view)).then(|| Arc::new(view));
        let change = view.clone().map(|view| ServiceChange {
            cluster: cluster.name.clone(),
            key: entry.key.clone(),
            before: old.clone(),
            view: Some(view),
        });

        self.evaluations += evaluated;
        if let Some(view) = &view {
            old.iter().for_each(|old| self.counts.count(old, false));
            self.counts.count(view, true);
        }
        self.dirty |= self.facts.evaluated(id, Read { groups, contributions, announced, carriers }, view, now.elapsed);
        change
    }

    /// Notes the next-hops of VIPs that depend on where pods are, if routes are judged at all.
    fn note_courses(&mut self, now: Now, shared: &Shared, id: ServiceId) -> Option<()> {
        let world = self.world(now, shared);
        let cluster = world.clusters.get(&id.cluster)?;
        let entry = cluster.services.get(id.slot)?;
        let looked_at = matches!(world.gate(cluster), Gate::Open | Gate::SwitchStale(_));
        if !looked_at || !cluster.profile().serves_locally(&entry.service) {
            return None;
        }
        let source = world.sources.get(&SourceId::Kubernetes(cluster.name.clone()))?;
        let heard = source.heard.map(|(elapsed, _)| elapsed)?;
        let vips = entry.vips.as_ref()?.iter();
        let courses: Vec<_> = vips.filter_map(|vip| Some((*vip, course(&world, cluster, *vip)?))).collect();
        self.facts.note_courses(id.cluster, courses, now.elapsed, heard);
        Some(())
    }

    fn evaluate_nodes(&mut self, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((cluster, node), view) in std::mem::take(&mut self.dirty.departed_nodes) {
            if !self.facts.take_back_node(&cluster, &node, view) {
                changes.push((cluster, node, None));
            }
        }
        let clusters = self.facts.clusters();
        let members = |id| clusters.get(&id).map(Cluster::node_ids).into_iter().flatten();
        for id in self.dirty.nodes.take(members) {
            changes.extend(self.evaluate_node(now, id));
        }
        changes.sort_by(|(cluster, node, _), (other, other_node, _)| (cluster, node).cmp(&(other, other_node)));
        changes.into_iter().map(|(cluster, node, view)| Change::Node(cluster, node, view)).collect()
    }

    fn evaluate_node(&mut self, now: Now, id: NodeId) -> Option<NodeChange> {
        let shared = Shared::default();
        let world = self.world(now, &shared);
        let cluster = world.clusters.get(&id.cluster)?;
        let entry = cluster.nodes.get(id.slot)?;
        let view = node_view(&world, cluster, id.slot, entry);
        let (cluster, name) = (cluster.name.clone(), entry.name.clone());
        let changed = entry.view.as_deref() != Some(&view);
        self.evaluations += 1;
        changed.then(|| {
            let view = Arc::new(view);
            self.facts.publish_node(id, Arc::clone(&view));
            (cluster, name, Some(view))
        })
    }

    /// Evaluates the root, the summary, sources and clusters.
    fn evaluate_status(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let clusters = self.cluster_changes();
        if let Some(config) = self.facts.config() {
            let views = self.published.clusters.iter().map(|(name, view)| (name.as_str(), view));
            let root = status::root(config, self.facts.sources(), views);
            if self.published.root.as_ref() != Some(&root) {
                changes.push(Change::Root(root.clone()));
                self.published.root = Some(root);
            }
            let summary = status::summary(&self.counts);
            if self.published.summary != Some(summary) {
                changes.push(Change::Summary(summary));
                self.published.summary = Some(summary);
            }
        }
        changes.append(&mut self.source_changes());
        changes.extend(clusters);
        changes
    }

    fn source_changes(&mut self) -> Vec<Change> {
        let (sources, published) = (self.facts.sources(), &mut self.published.sources);
        let gone: Vec<SourceId> = published.keys().filter(|id| sources.get(id).is_none()).cloned().collect();
        let mut changes: Vec<_> = gone.iter().map(|id| Change::Source(id.clone(), None)).collect();
        published.retain(|id, _| !gone.contains(id));
        for (id, view) in sources.views() {
            if published.get(id) != Some(&view) {
                published.insert(id.clone(), view);
                changes.push(Change::Source(id.clone(), Some(view)));
            }
        }
        changes
    }

    fn cluster_changes(&mut self) -> Vec<Change> {
        let Some(config) = self.facts.config() else { return Vec::new() };
        let (facts, published) = (&self.facts, &mut self.published);
        let gone: Vec<_> =
            published.clusters.keys().filter(|name| !config.clusters.contains_key(*name)).cloned().collect();
        let mut changes = Vec::new();
        for name in gone {
            published.clusters.remove(&name);
            changes.push(Change::Cluster(name, None));
        }
        for (name, cluster) in &config.clusters {
            let phase = published.phase.as_ref();
            let view = phase.and_then(|phase| cluster_view(facts, name, phase));
            let view = view.unwrap_or_else(|| status::disabled(cluster));
            if published.clusters.get(name) != Some(&view) {
                published.clusters.insert(name.clone(), view.clone());
                changes.push(Change::Cluster(name.clone(), Some(view)));
            }
        }
        changes
    }

    /// Evaluates the alarms that follow from what is about to be published.
    fn evaluate_alarms(&mut self, now: Now, changes: &[Change]) -> Vec<Change> {
        let (facts, sources) = (&self.facts, self.facts.sources());
        let switch = sources.in_reach(&SourceId::Ndk);
        let visibility = Visibility { switch, neighbors: switch && sources.in_reach(&SourceId::Gnmi) };
        if visibility.neighbors && !self.published.neighbors {
            let nodes = facts.clusters().values().flat_map(|cluster| {
                let views = cluster.nodes.iter().filter_map(|(_, node)| Some((&node.name, node.view.as_ref()?)));
                views.map(|(node, view)| (&cluster.name, node, view))
            });
            self.alarms.reobserve(now, nodes);
            let services = facts.clusters().values().flat_map(|cluster| {
                let views = cluster.services.iter().filter_map(|(_, entry)| Some((&entry.key, entry.view.as_ref()?)));
                views.map(|(key, view)| (&cluster.name, key, view))
            });
            self.alarms.reobserve_services(now, services);
        }
        self.published.neighbors = visibility.neighbors;
        let phase = sources.phase(now.elapsed);
        let judging = phase.ndk == NdkPhase::Live && phase.gnmi != GnmiPhase::Waiting;
        let wanted = self.alarms.wants_pools(now);
        let cluster = |cluster: &Cluster| ClusterCondition {
            instance: cluster.config.rules.network_instance.clone(),
            unroutable: facts.inquiries().unroutable(facts.switch(), &cluster.config.rules.network_instance),
            judged: judging && sources.in_reach(&SourceId::Kubernetes(cluster.name.clone())),
            pools: wanted.contains(&cluster.name).then(|| alarm_input::pools(cluster)),
        };
        let clusters: BTreeMap<_, _> = facts.clusters().values().map(|of| (of.name.clone(), cluster(of))).collect();
        let any_missing = clusters.values().any(|cluster| cluster.unroutable.is_some());
        let input = AlarmInput {
            now,
            policy: facts.config().map(|config| config.alarm_policy),
            visibility,
            sources: alarm_input::sources(sources, now.elapsed),
            clusters,
            instances: if any_missing { facts.switch().instance_names() } else { Vec::new() },
        };
        self.alarms.observe(&input, changes)
    }

    fn evaluate_orphans(&mut self, now: Now) -> Vec<Change> {
        let mut touched = std::mem::take(&mut self.dirty.orphans);
        if std::mem::take(&mut self.dirty.all_orphans) {
            touched.extend(self.published.orphans.keys().cloned());
            touched.extend(pooled(&self.world(now, &Shared::default())));
        }
        touched.into_iter().filter_map(|key| self.evaluate_orphan(now, key)).collect()
    }

    fn evaluate_orphan(&mut self, now: Now, key: RouteKey) -> Option<Change> {
        let published = self.published.orphans.get(&key);
        let new = orphan_view(&self.world(now, &Shared::default()), &key, published.map(|(view, _)| view));
        if new.as_ref() == published {
            return None;
        }
        let before = published.cloned();
        self.facts.orphan_reads(&key, before.as_ref().map(|(_, group)| *group), new.as_ref().map(|(_, group)| *group));
        match new.clone() {
            Some(new) => drop(self.published.orphans.insert(key.clone(), new)),
            None => drop(self.published.orphans.remove(&key)),
        }
        let (before, view) = (before.map(|(view, _)| view), new.map(|(view, _)| view));
        (before != view).then_some(Change::Orphan(key, view))
    }

    fn attachments_changed(&mut self) -> bool {
        let attachments = self.facts.attachments();
        let changed = std::mem::take(&mut self.dirty.attachments) && *attachments != self.published.attachments;
        if changed {
            self.published.attachments.clone_from(attachments);
        }
        changed
    }
}

/// A change of a service; without a view, the service is gone.
struct ServiceChange {
    cluster: ClusterName,
    key: ServiceKey,
    before: Option<Arc<ServiceView>>,
    view: Option<Arc<ServiceView>>,
}

/// Merges the changes of two successive evaluations. What the second reverts is dropped.
fn merged(first: Vec<ServiceChange>, second: Vec<ServiceChange>) -> Vec<ServiceChange> {
    let mut changes: BTreeMap<_, _> =
        first.into_iter().map(|change| ((change.cluster.clone(), change.key.clone()), change)).collect();
    for change in second {
        match changes.entry((change.cluster.clone(), change.key.clone())) {
            Entry::Occupied(mut earlier) => earlier.get_mut().view = change.view,
            Entry::Vacant(place) => {
                place.insert(change);
            }
        }
    }
    changes.into_values().filter(|change| change.before != change.view).collect()
}

type NodeChange = (ClusterName, crate::model::names::NodeName, Option<Arc<crate::model::view::NodeView>>);

fn cluster_view(facts: &Facts, name: &ClusterName, phase: &super::facts::sources::Phase) -> Option<ClusterView> {
    let source = facts.sources().get(&SourceId::Kubernetes(name.clone()))?;
    let cluster = facts.cluster(name)?;
    let same = cluster.same_api.iter().filter_map(|id| Some(&facts.clusters().get(id)?.name));
    let twin = same.filter(|other| *other < name).min();
    Some(status::cluster(cluster, source, facts.switch(), facts.inquiries(), phase, twin))
}

/// Sorts changes of services by cluster and service.
fn in_order(mut services: Vec<ServiceChange>) -> Vec<Change> {
    services.sort_by(|one, other| (&one.cluster, &one.key).cmp(&(&other.cluster, &other.key)));
    services.into_iter().map(|it| Change::Service(it.cluster, it.key, it.view)).collect()
}

/// Returns how VIPs that have a route are announced. A route without next-hops shows nothing: they may never have
/// arrived.
fn announced(view: &ServiceView) -> Vec<(IpAddr, Announcement)> {
    let routed = view.vips.iter().filter(|vip| vip.route.is_some() && vip.installed > 0);
    routed.filter_map(|vip| Some((vip.address, vip.announcement?))).collect()
}

/// Returns nodes whose address is a next-hop of a VIP for the first time, with the address.
fn carriers(cluster: &Cluster, view: &ServiceView) -> Vec<(u32, IpAddr)> {
    let routed = view.vips.iter().filter(|vip| vip.announcement == Some(Announcement::Bgp));
    let hops = routed.flat_map(|vip| vip.next_hops.iter().filter(|hop| hop.installed));
    let nodes = hops.flat_map(|hop| cluster.at_address(hop.address).iter().map(|slot| (*slot, hop.address)));
    let is_new =
        |(slot, address): &(u32, IpAddr)| cluster.nodes.get(*slot).is_some_and(|node| !node.carried.contains(address));
    nodes.filter(is_new).collect()
}
