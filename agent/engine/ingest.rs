//! Taking in events: tables are brought up to date, and what the change touches is marked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::Engine;
use super::facts::cluster::{Cluster, ServiceEntry};
use super::facts::endpoints::ServiceEndpoints;
use super::facts::ids::{ClusterId, NodeId, ServiceId, User};
use super::facts::nodes::{Location, Locator, NodeEntry};
use crate::model::cluster::{EndpointSlice, Node, Service, SliceKey};
use crate::model::config::{ClusterConfig, Config};
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId, SwitchEvent, Update};
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use crate::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};
use crate::model::switch::{FibFault, FibKey, Neighbor, NeighborKey, Route, RouteKey};
use crate::model::time::Now;

impl Engine {
    /// Takes in one event without evaluating: marks what it touches.
    pub fn absorb(&mut self, now: Now, event: Event) {
        match event {
            Event::Remembered(memory) => {
                self.alarms.load(&memory);
                self.remembered.load(memory.attachments);
                self.relocate_all();
            }
            Event::Configured(config) => self.configure(config),
            Event::Source(id, event) => self.source(now, &id, &event),
            Event::Switch(event) => self.switch(now, event),
            Event::Neighbors(update) => {
                self.sources.heard(now, &SourceId::Gnmi, entries(&update));
                self.neighbors(update);
            }
            Event::Fib(update) => {
                self.sources.heard(now, &SourceId::Gnmi, entries(&update));
                self.faults(update);
            }
            Event::Coverage(coverage) => {
                if self.bgp.set_coverage(coverage) {
                    self.mark_everything();
                }
            }
            Event::ActiveRoutes(update) => {
                self.sources.heard(now, &SourceId::Gnmi, entries(&update));
                self.dump.set_active_routes(update);
            }
            Event::Cluster(name, event) => self.cluster(now, &name, event),
            Event::Tick => {}
        }
        self.end_dump(now);
    }

    // Marks.

    /// Everything is to be evaluated again.
    pub(super) fn mark_everything(&mut self) {
        for cluster in self.clusters.values_mut() {
            mark_cluster(cluster);
        }
        self.orphans.all = true;
    }

    /// Those who looked at a group that changed.
    pub(super) fn mark_users(&mut self, mut users: Vec<User>) {
        users.sort_unstable();
        for user in users {
            match user {
                User::Service(id) => self.mark_service(id),
                User::Node(id) => self.relocate(id),
                User::Orphan(key) => drop(self.orphans.touched.insert(*key)),
            }
        }
    }

    fn mark_service(&mut self, id: ServiceId) {
        let entry = self.clusters.get_mut(&id.cluster).and_then(|cluster| cluster.services.get_mut(id.slot));
        if let Some(entry) = entry.filter(|entry| !entry.queued && entry.vips.is_some()) {
            entry.queued = true;
            self.queue.push(id);
        }
    }

    /// Every service that carries a VIP, and the orphan it may be.
    fn mark_vip(&mut self, vip: IpAddr) {
        for id in self.claims.of(vip).to_vec() {
            self.mark_service(id);
        }
        let instances: BTreeSet<_> =
            self.clusters.values().map(|cluster| cluster.config.rules.network_instance.clone()).collect();
        for network_instance in instances {
            self.orphans.touched.insert(RouteKey { network_instance, prefix: IpNet::from(vip) });
        }
    }

    // Configuration.

    fn configure(&mut self, config: Arc<Config>) {
        let old = self.config.replace(Arc::clone(&config));
        self.remembered.forget_clusters(|name| config.clusters.contains_key(name));
        for (name, old) in old.iter().flat_map(|old| &old.clusters) {
            // Attached elsewhere says nothing of where its VIPs live now.
            let stays = |new: &Arc<ClusterConfig>| new.rules.network_instance == old.rules.network_instance;
            if !config.clusters.get(name).is_some_and(stays) {
                self.remembered.forget_nodes(name, |_| false);
            }
        }
        let enabled =
            |name: &ClusterName| config.clusters.get(name).filter(|cluster| config.enabled && cluster.enabled);
        let gone: Vec<_> = self.ids.keys().filter(|name| enabled(name).is_none()).cloned().collect();
        gone.iter().for_each(|name| self.drop_cluster(name));
        for name in config.clusters.keys() {
            let Some(cluster) = enabled(name) else { continue };
            match self.ids.get(name) {
                Some(id) => self.reconfigure(*id, Arc::clone(cluster)),
                None => self.add_cluster(name.clone(), Arc::clone(cluster)),
            }
        }
        self.mark_everything();
    }

    fn add_cluster(&mut self, name: ClusterName, config: Arc<ClusterConfig>) {
        let id = self.next_id;
        self.next_id += 1;
        self.sources.add(SourceId::Kubernetes(name.clone()));
        self.ids.insert(name.clone(), id);
        self.clusters.insert(id, Cluster::new(id, name, config));
    }

    fn reconfigure(&mut self, id: ClusterId, config: Arc<ClusterConfig>) {
        let Some(cluster) = self.clusters.get_mut(&id).filter(|cluster| cluster.config != config) else { return };
        cluster.reconfigure(config);
        cluster.count_all_again();
        let services: Vec<_> =
            cluster.services.iter().map(|(_, entry)| (entry.key.clone(), entry.service.clone())).collect();
        let nodes: Vec<u32> = cluster.nodes.iter().map(|(slot, _)| slot).collect();
        for (key, service) in services {
            self.scope(id, &key, service);
        }
        for slot in nodes {
            self.relocate(NodeId { cluster: id, slot });
        }
    }

    fn drop_cluster(&mut self, name: &ClusterName) {
        let Some(id) = self.ids.remove(name) else { return };
        self.sources.remove(&SourceId::Kubernetes(name.clone()));
        let Some(cluster) = self.clusters.get(&id) else { return };
        let services: Vec<_> = cluster.service_slots.keys().cloned().collect();
        let nodes: Vec<_> = cluster.node_slots.keys().cloned().collect();
        services.iter().for_each(|key| self.set_service(id, key.clone(), None));
        nodes.iter().for_each(|node| self.remove_node(id, node));
        self.clusters.remove(&id);
    }

    // Sources.

    fn source(&mut self, now: Now, id: &SourceId, event: &SourceEvent) {
        self.sources.tell(now, id, event);
        match (id, event) {
            (SourceId::Ndk, SourceEvent::Syncing) => {
                self.switch.begin();
                self.dump.begin(now.elapsed);
            }
            (SourceId::Ndk, SourceEvent::Synced) => {
                self.dump.end();
                self.sweep();
            }
            (SourceId::Ndk, SourceEvent::Lost(_)) => self.dump.end(),
            (SourceId::Kubernetes(name), SourceEvent::Synced | SourceEvent::Lost(_)) => {
                if let Some(cluster) = self.ids.get(name).and_then(|id| self.clusters.get_mut(id)) {
                    mark_cluster(cluster);
                    self.orphans.all = true;
                }
            }
            _ => {}
        }
    }

    /// Ends the dump of the switch's tables once it is complete.
    fn end_dump(&mut self, now: Now) {
        let counting = self.sources.counting(now.elapsed);
        let used = || self.clusters.values().map(|cluster| cluster.config.rules.network_instance.clone()).collect();
        if self.dump.is_on() && self.dump.poll(now.elapsed, counting, &used(), &self.switch).is_some() {
            self.source(now, &SourceId::Ndk, &SourceEvent::Synced);
        }
    }

    fn sweep(&mut self) {
        let swept = self.switch.complete();
        self.mark_users(swept.users);
        for (name, prefix) in swept.routes {
            self.route_changed(&name, prefix);
        }
        for address in swept.bfd {
            self.mark_nodes_at(address);
        }
        if swept.applications {
            self.relocate_all();
        }
        if swept.applications || !swept.instances.is_empty() {
            self.mark_everything();
        }
    }

    // The switch's own tables.

    fn switch(&mut self, now: Now, event: SwitchEvent) {
        let count = match &event {
            SwitchEvent::Routes(_, routes) => routes.len(),
            SwitchEvent::NextHopGroups(groups) => groups.len(),
            SwitchEvent::NetworkInstance(..) | SwitchEvent::Application(..) | SwitchEvent::Bfd(..) => 1,
            SwitchEvent::Pace(pace) => return self.dump.paced(Some(*pace)),
        };
        self.sources.heard(now, &SourceId::Ndk, count);
        self.dump.heard();
        match event {
            SwitchEvent::NetworkInstance(name, instance) => {
                if self.switch.set_instance(name.clone(), instance) {
                    let clusters = self.clusters.values_mut();
                    clusters.filter(|cluster| cluster.config.rules.network_instance == name).for_each(mark_cluster);
                }
            }
            SwitchEvent::Routes(name, routes) => self.routes(&name, routes),
            SwitchEvent::NextHopGroups(groups) => {
                for (id, group) in groups {
                    let users = self.switch.set_group(id, group);
                    self.mark_users(users);
                }
            }
            SwitchEvent::Application(id, name) => {
                if self.switch.set_application(id, name) {
                    self.relocate_all();
                    self.mark_everything();
                }
            }
            SwitchEvent::Bfd(key, state) => {
                if self.switch.set_bfd(&key, state) {
                    self.mark_nodes_at(key.remote);
                }
            }
            SwitchEvent::Pace(_) => {}
        }
    }

    fn routes(&mut self, name: &NetworkInstanceName, routes: Vec<(IpNet, Option<Route>)>) {
        let mut touched = Vec::new();
        let judged = self.sources.get(&SourceId::Ndk).is_some_and(|ndk| ndk.ever_synced);
        let (claims, addresses, clusters) = (&self.claims, &self.addresses, &self.clusters);
        self.switch.set_routes(name.clone(), routes, |prefix| {
            let host = prefix.prefix_len() == prefix.max_prefix_len();
            // Before the first sync all VIPs are to be judged anyway; nodes are placed at once.
            let mut matters = host && addresses.contains_key(&prefix.addr());
            if judged && !matters {
                claims.inside(prefix, |_, _| matters = true);
                matters |= host && pooled(clusters, name, &prefix);
            }
            if matters {
                touched.push(prefix);
            }
        });
        for prefix in touched {
            self.route_changed(name, prefix);
        }
    }

    fn route_changed(&mut self, name: &NetworkInstanceName, prefix: IpNet) {
        let host = prefix.prefix_len() == prefix.max_prefix_len();
        if host {
            for id in self.addresses.get(&prefix.addr()).cloned().unwrap_or_default() {
                self.relocate(id);
            }
            if pooled(&self.clusters, name, &prefix) {
                self.orphans.touched.insert(RouteKey { network_instance: name.clone(), prefix });
            }
        }
        if prefix.prefix_len() == 0 {
            return;
        }
        let mut touched = Vec::new();
        self.claims.inside(prefix, |vip, services| {
            for id in services {
                let Some(cluster) = self.clusters.get(&id.cluster) else { continue };
                let instance = &cluster.config.rules.network_instance;
                // A host route of its own hides every other route from a VIP, once its next-hops are told.
                if host && instance == name || !self.switch.reaches_host(instance, vip) {
                    touched.push(*id);
                }
            }
        });
        touched.into_iter().for_each(|id| self.mark_service(id));
    }

    // Neighbors and FIB programming.

    fn neighbors(&mut self, update: Update<NeighborKey, Neighbor>) {
        for change in self.bgp.set_neighbors(update) {
            let nodes = self.addresses.get(&change.key.peer.ip).cloned().unwrap_or_default();
            for id in nodes {
                let Some(cluster) = self.clusters.get_mut(&id.cluster) else { continue };
                if cluster.config.rules.network_instance != change.key.network_instance {
                    continue;
                }
                cluster.stale_nodes.insert(id.slot);
                if change.decisive {
                    cluster.all_services = true;
                    self.relocate(id);
                }
            }
        }
    }

    fn faults(&mut self, update: Update<FibKey, FibFault>) {
        for key in self.bgp.set_faults(update) {
            let mut touched = Vec::new();
            self.claims.inside(key.prefix, |_, services| touched.extend_from_slice(services));
            touched.into_iter().for_each(|id| self.mark_service(id));
        }
    }

    // Clusters.

    fn cluster(&mut self, now: Now, name: &ClusterName, event: ClusterEvent) {
        let Some(id) = self.ids.get(name).copied() else { return };
        let count = match &event {
            ClusterEvent::Connected { .. } => 0,
            ClusterEvent::Services(update) => entries(update),
            ClusterEvent::EndpointSlices(update) => entries(update),
            ClusterEvent::Nodes(update) => entries(update),
            ClusterEvent::SpeakerResource(..) => 0,
            ClusterEvent::SpeakerObjects(_, update) => entries(update),
            ClusterEvent::Announcements(update) => entries(update),
        };
        self.sources.heard(now, &SourceId::Kubernetes(name.clone()), count);
        match event {
            ClusterEvent::Connected { version, caveat } => {
                if let Some(cluster) = self.clusters.get_mut(&id) {
                    (cluster.version, cluster.caveat) = (Some(version), caveat);
                }
            }
            ClusterEvent::Services(update) => self.services(id, update),
            ClusterEvent::EndpointSlices(update) => self.slices(id, update),
            ClusterEvent::Nodes(update) => self.nodes(id, update),
            ClusterEvent::SpeakerResource(resource, state) => self.speaker_resource(id, resource, state),
            ClusterEvent::SpeakerObjects(resource, update) => self.speaker_objects(id, resource, update),
            ClusterEvent::Announcements(update) => self.announcements(id, update),
        }
    }

    fn services(&mut self, id: ClusterId, update: Update<ServiceKey, Service>) {
        match update {
            Update::Set(key, service) => self.set_service(id, key, Some(service)),
            Update::Gone(key) => self.set_service(id, key, None),
            Update::All(all) => {
                let all: FxHashMap<_, _> = all.into_iter().collect();
                let known = self.clusters.get(&id).into_iter().flat_map(|cluster| cluster.service_slots.keys());
                let gone: Vec<_> = known.filter(|key| !all.contains_key(*key)).cloned().collect();
                gone.into_iter().for_each(|key| self.set_service(id, key, None));
                all.into_iter().for_each(|(key, service)| self.set_service(id, key, Some(service)));
            }
        }
    }

    fn set_service(&mut self, id: ClusterId, key: ServiceKey, service: Option<Service>) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let slot = cluster.service_slots.get(&key).copied();
        match (service, slot) {
            (Some(service), Some(slot)) => {
                if cluster.services.get(slot).is_some_and(|entry| entry.service != service) {
                    self.scope(id, &key, service);
                }
            }
            (Some(service), None) => {
                let view = self.departed.remove(&(cluster.name.clone(), key.clone()));
                if let Some(view) = &view {
                    cluster.judged += 1;
                    cluster.endpoint_count += view.total_endpoints;
                }
                let entry = ServiceEntry {
                    key: key.clone(),
                    service: service.clone(),
                    vips: None,
                    announcements: Box::default(),
                    endpoints: ServiceEndpoints::default(),
                    queued: false,
                    view,
                    groups: Vec::new(),
                };
                let slot = cluster.services.insert(entry);
                cluster.count_again(slot);
                cluster.service_slots.insert(key.clone(), slot);
                self.scope(id, &key, service);
            }
            (None, Some(slot)) => {
                self.retire(ServiceId { cluster: id, slot }, None);
                if let Some(cluster) = self.clusters.get_mut(&id) {
                    cluster.service_slots.remove(&key);
                    cluster.services.remove(slot);
                }
            }
            (None, None) => {}
        }
    }

    /// Takes in what a service is now: which VIPs it carries, or that it is not ours to judge.
    fn scope(&mut self, id: ClusterId, key: &ServiceKey, service: Service) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let Some(slot) = cluster.service_slots.get(key).copied() else { return };
        let vips = cluster.vips_of(&service);
        let judged = vips.is_some();
        if let Some(entry) = cluster.services.get_mut(slot) {
            entry.service = service;
            if judged && entry.view.is_none() {
                let said = self.departed.remove(&(cluster.name.clone(), key.clone()));
                if let Some(view) = &said {
                    cluster.judged += 1;
                    cluster.endpoint_count += view.total_endpoints;
                }
                entry.view = said;
            }
        }
        cluster.service_changed(slot);
        let service = ServiceId { cluster: id, slot };
        self.retire(service, vips);
        self.mark_service(service);
    }

    /// Replaces the VIPs a service claims; without any it is judged no more.
    fn retire(&mut self, id: ServiceId, vips: Option<Box<[IpAddr]>>) {
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
        let Some(entry) = cluster.services.get_mut(id.slot) else { return };
        let new: BTreeSet<IpAddr> = vips.iter().flatten().copied().collect();
        let old: BTreeSet<IpAddr> = std::mem::replace(&mut entry.vips, vips).iter().flatten().copied().collect();
        if entry.vips.is_none() {
            entry.queued = false;
            let groups = std::mem::take(&mut entry.groups);
            self.switch.look_at(&User::Service(id), &groups, &[]);
            if let Some(view) = entry.view.take() {
                cluster.judged -= 1;
                cluster.endpoint_count -= view.total_endpoints;
                self.departed.insert((cluster.name.clone(), entry.key.clone()), view);
            }
        }
        for vip in old.difference(&new) {
            self.claims.remove(*vip, id);
            if let Some(carried) = cluster.vips.get_mut(vip) {
                carried.services.retain(|slot| *slot != id.slot);
                if carried.services.is_empty() {
                    cluster.contribute(*vip, None);
                    cluster.vips.remove(vip);
                }
            }
        }
        for vip in new.difference(&old) {
            self.claims.add(*vip, id);
            cluster.vips.entry(*vip).or_default().services.push(id.slot);
        }
        old.union(&new).for_each(|vip| self.mark_vip(*vip));
    }

    fn slices(&mut self, id: ClusterId, update: Update<SliceKey, EndpointSlice>) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let mut touched: BTreeSet<ServiceKey> = BTreeSet::new();
        match update {
            Update::Set(key, slice) => touched.extend(cluster.set_slice(&key, Some(slice))),
            Update::Gone(key) => touched.extend(cluster.set_slice(&key, None)),
            Update::All(all) => {
                let all: FxHashMap<_, _> = all.into_iter().collect();
                let gone: Vec<_> = cluster.slices.keys().filter(|key| !all.contains_key(*key)).cloned().collect();
                gone.iter().for_each(|key| touched.extend(cluster.set_slice(key, None)));
                all.into_iter().for_each(|(key, slice)| touched.extend(cluster.set_slice(&key, Some(slice))));
            }
        }
        for key in touched {
            self.endpoints_changed(id, &key);
        }
    }

    /// Endpoints of a service decide who announces its VIPs, for the other services that carry them, too.
    fn endpoints_changed(&mut self, id: ClusterId, key: &ServiceKey) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let Some(slot) = cluster.service_slots.get(key).copied() else { return };
        cluster.count_again(slot);
        let vips = cluster.services.get(slot).and_then(|entry| entry.vips.clone());
        self.mark_service(ServiceId { cluster: id, slot });
        for vip in vips.iter().flatten() {
            for id in self.claims.of(*vip).to_vec() {
                self.mark_service(id);
            }
        }
    }

    // Nodes.

    fn nodes(&mut self, id: ClusterId, update: Update<NodeName, Node>) {
        match update {
            Update::Set(name, node) => self.set_node(id, name, node),
            Update::Gone(name) => {
                self.remove_node(id, &name);
                if let Some(cluster) = self.clusters.get(&id) {
                    self.remembered.forget_nodes(&cluster.name, |known| *known != name);
                }
            }
            Update::All(all) => {
                let all: FxHashMap<_, _> = all.into_iter().collect();
                let known = self.clusters.get(&id).into_iter().flat_map(|cluster| cluster.node_slots.keys());
                let gone: Vec<_> = known.filter(|name| !all.contains_key(*name)).cloned().collect();
                gone.iter().for_each(|name| self.remove_node(id, name));
                all.into_iter().for_each(|(name, node)| self.set_node(id, name, node));
                if let Some(cluster) = self.clusters.get(&id) {
                    self.remembered.forget_nodes(&cluster.name, |name| cluster.node_slots.contains_key(name));
                }
            }
        }
    }

    fn set_node(&mut self, id: ClusterId, name: NodeName, node: Node) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let slot = match cluster.node_slots.get(&name) {
            Some(slot) if cluster.nodes.get(*slot).is_some_and(|entry| entry.node == node) => return,
            Some(slot) => *slot,
            None => {
                let view = self.departed_nodes.remove(&(cluster.name.clone(), name.clone()));
                let entry = NodeEntry {
                    name: name.clone(),
                    node: Node::default(),
                    location: Location::default(),
                    excluded: None,
                    groups: Vec::new(),
                    expected: 0,
                    installed: 0,
                    hidden: 0,
                    view,
                };
                let slot = cluster.nodes.insert(entry);
                cluster.node_slots.insert(name, slot);
                cluster.count_all_again();
                cluster.nodes_changed();
                slot
            }
        };
        if let Some(entry) = cluster.nodes.get_mut(slot) {
            let relabelled = entry.node.labels != node.labels;
            entry.node = node;
            if relabelled && cluster.resources.has_rules() {
                cluster.nodes_changed();
            }
        }
        self.relocate(NodeId { cluster: id, slot });
    }

    fn remove_node(&mut self, id: ClusterId, name: &NodeName) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let Some(slot) = cluster.node_slots.remove(name) else { return };
        cluster.uncount_node(slot);
        cluster.count_all_again();
        cluster.nodes_changed();
        let node = NodeId { cluster: id, slot };
        if let Some(entry) = cluster.nodes.remove(slot) {
            if let Some(view) = entry.view {
                self.departed_nodes.insert((cluster.name.clone(), name.clone()), view);
            }
            self.switch.look_at(&User::Node(node), &entry.groups, &[]);
            self.index_node(node, &entry.location, &Location::default());
        }
        self.mark_neighbors_of(id);
    }

    /// Clusters in the same network instance see each other's nodes behind their next-hops.
    fn mark_neighbors_of(&mut self, id: ClusterId) {
        let Some(instance) = self.clusters.get(&id).map(|cluster| cluster.config.rules.network_instance.clone()) else {
            return;
        };
        let others = self.clusters.values_mut().filter(|other| other.id != id);
        others
            .filter(|other| other.config.rules.network_instance == instance)
            .for_each(|other| other.all_services = true);
    }

    /// Places a node again: its own facts, the configuration, neighbors, or host routes changed.
    fn relocate(&mut self, id: NodeId) {
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
        let Some(entry) = cluster.nodes.get_mut(id.slot) else { return };
        let (switch, bgp) = (&self.switch, &self.bgp);
        let config = &*cluster.config;
        let addresses = super::speakers::addresses(&cluster.resources, &entry.name, &entry.node);
        let locator = Locator { cluster: &cluster.name, config, addresses: &addresses, switch, bgp };
        let (location, groups) = locator.locate(&entry.name, &entry.node, &mut self.remembered);
        let excluded = super::speakers::profile(cluster.config.source.speaker).excluded(&entry.node);
        let moved = entry.location != location || entry.excluded != excluded;
        entry.excluded = excluded;
        let before = std::mem::replace(&mut entry.location, location.clone());
        let groups_before = std::mem::replace(&mut entry.groups, groups.clone());
        cluster.stale_nodes.insert(id.slot);
        if moved {
            cluster.nodes_changed();
            self.index_node(id, &before, &location);
            self.mark_neighbors_of(id.cluster);
        }
        self.switch.look_at(&User::Node(id), &groups_before, &groups);
    }

    fn relocate_all(&mut self) {
        let nodes: Vec<NodeId> = self
            .clusters
            .values()
            .flat_map(|cluster| cluster.nodes.iter().map(|(slot, _)| NodeId { cluster: cluster.id, slot }))
            .collect();
        nodes.into_iter().for_each(|id| self.relocate(id));
    }

    /// Keeps the indexes by address and by VTEP.
    fn index_node(&mut self, id: NodeId, before: &Location, after: &Location) {
        fn unlist<T: PartialEq>(index: &mut FxHashMap<IpAddr, Vec<T>>, address: IpAddr, value: &T) {
            if let Some(values) = index.get_mut(&address) {
                values.retain(|other| other != value);
                if values.is_empty() {
                    index.remove(&address);
                }
            }
        }
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
        for (address, _) in &before.candidates {
            unlist(&mut cluster.by_address, *address, &id.slot);
            unlist(&mut self.addresses, *address, &id);
        }
        before.all_vteps().for_each(|vtep| unlist(&mut cluster.by_vtep, vtep, &id.slot));
        for (address, _) in &after.candidates {
            list(&mut cluster.by_address, *address, id.slot);
            list(&mut self.addresses, *address, id);
        }
        after.all_vteps().for_each(|vtep| list(&mut cluster.by_vtep, vtep, id.slot));
    }

    fn mark_nodes_at(&mut self, address: IpAddr) {
        for id in self.addresses.get(&address).into_iter().flatten() {
            if let Some(cluster) = self.clusters.get_mut(&id.cluster) {
                cluster.stale_nodes.insert(id.slot);
            }
        }
    }

    // Speaker resources.

    /// A resource is followed, or is not any more.
    fn speaker_resource(&mut self, id: ClusterId, resource: SpeakerResource, state: ResourceState) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if cluster.resources.set_state(resource, state) {
            self.rules_changed(id, resource, None);
        }
    }

    /// Objects of a resource changed.
    fn speaker_objects(&mut self, id: ClusterId, resource: SpeakerResource, update: Update<ObjectKey, SpeakerObject>) {
        let only = match &update {
            Update::Set(key, _) | Update::Gone(key) => Some(NodeName::from(key.name.clone())),
            Update::All(_) => None,
        };
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if cluster.resources.set_objects(resource, update) {
            self.rules_changed(id, resource, only);
        }
    }

    /// Speakers say something else of what they announce.
    fn announcements(&mut self, id: ClusterId, update: Update<StatusKey, ()>) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        for service in cluster.resources.set_statuses(update) {
            self.endpoints_changed(id, &service);
        }
    }

    /// Everything that is read from a resource is worked out again; `object` is the only one that changed.
    fn rules_changed(&mut self, id: ClusterId, resource: SpeakerResource, object: Option<NodeName>) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        match resource {
            SpeakerResource::MetallbPools | SpeakerResource::CiliumPools | SpeakerResource::CalicoPools => {
                self.orphans.all |= cluster.gather_pools();
            }
            _ => {}
        }
        cluster.rules_changed();
        mark_cluster(cluster);
        let moved: Vec<u32> = match (resource, object) {
            (SpeakerResource::CiliumNodes, Some(node)) => cluster.node_slot(&node).into_iter().collect(),
            (SpeakerResource::CiliumNodes | SpeakerResource::MetallbPeers, _) => {
                cluster.nodes.iter().map(|(slot, _)| slot).collect()
            }
            _ => Vec::new(),
        };
        for slot in moved {
            self.relocate(NodeId { cluster: id, slot });
        }
        self.mark_neighbors_of(id);
    }
}

/// Everything of a cluster is to be evaluated again.
fn mark_cluster(cluster: &mut Cluster) {
    cluster.all_services = true;
    cluster.all_nodes = true;
}

/// In order of value, so that nothing depends on the order of arrival.
fn list<T: Ord>(index: &mut FxHashMap<IpAddr, Vec<T>>, address: IpAddr, value: T) {
    let values = index.entry(address).or_default();
    if let Err(place) = values.binary_search(&value) {
        values.insert(place, value);
    }
}

/// True when a pool of a cluster in the network instance holds the host.
fn pooled(
    clusters: &std::collections::BTreeMap<ClusterId, Cluster>,
    instance: &NetworkInstanceName,
    prefix: &IpNet,
) -> bool {
    let mut here = clusters.values().filter(|cluster| cluster.config.rules.network_instance == *instance);
    here.any(|cluster| cluster.pools_hold(prefix.addr()))
}

/// How many entries an update tells.
fn entries<K, V>(update: &Update<K, V>) -> usize {
    match update {
        Update::All(all) => all.len(),
        Update::Set(..) | Update::Gone(_) => 1,
    }
}
