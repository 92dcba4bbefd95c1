//! Applies what operators configured and what clusters want: clusters, services, endpoints, nodes, speaker resources.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::Facts;
use super::cluster::{Cluster, ServiceEntry};
use super::dirty::Dirty;
use super::ids::{ClusterId, NodeId, ServiceId, User};
use super::nodes::{Location, Locator, NodeEntry};
use super::places::Place;
use crate::engine::speakers;
use crate::model::cluster::{EndpointSlice, Node, NodeUid, Service, SliceKey};
use crate::model::config::{ClusterConfig, Config};
use crate::model::event::{ClusterEvent, Crowded, Update};
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::persistent::Attachment;
use crate::model::source::SourceId;
use crate::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};
use crate::model::switch::RouteKey;

impl Facts {
    /// Restores the attachments that an earlier run of the agent remembered.
    pub(crate) fn remember(&mut self, attachments: BTreeSet<Attachment>) -> Dirty {
        let mut dirty = Dirty { attachments: true, ..Dirty::default() };
        self.attachments.load(attachments);
        self.relocate_all(&mut dirty);
        dirty
    }

    // Configuration.

    /// Replaces the configuration as a whole.
    pub(crate) fn configure(&mut self, config: Arc<Config>) -> Dirty {
        let mut dirty = Dirty::default();
        let old = self.config.replace(Arc::clone(&config));
        dirty.attachments |= self.attachments.forget_clusters(|name| config.clusters.contains_key(name));
        for (name, old) in old.iter().flat_map(|old| &old.clusters) {
            // Attachments in another network instance say nothing about where the cluster's VIPs are now.
            let stays = |new: &Arc<ClusterConfig>| new.rules.network_instance == old.rules.network_instance;
            if !config.clusters.get(name).is_some_and(stays) {
                dirty.attachments |= self.attachments.forget_nodes(name, |_| false);
            }
        }
        let enabled =
            |name: &ClusterName| config.clusters.get(name).filter(|cluster| config.enabled && cluster.enabled);
        let gone: Vec<_> = self.ids.keys().filter(|name| enabled(name).is_none()).cloned().collect();
        gone.iter().for_each(|name| self.drop_cluster(name, &mut dirty));
        for name in config.clusters.keys() {
            let Some(cluster) = enabled(name) else { continue };
            match self.ids.get(name) {
                Some(id) => self.reconfigure(*id, Arc::clone(cluster), &mut dirty),
                None => self.add_cluster(name.clone(), Arc::clone(cluster), &mut dirty),
            }
        }
        dirty |= self.everything();
        dirty
    }

    fn add_cluster(&mut self, name: ClusterName, config: Arc<ClusterConfig>, dirty: &mut Dirty) {
        let id = self.next_id;
        self.next_id += 1;
        self.sources.add(SourceId::Kubernetes(name.clone()));
        self.ids.insert(name.clone(), id);
        self.clusters.insert(id, Cluster::new(id, name, config));
        dirty.nodes_changed(id);
    }

    fn reconfigure(&mut self, id: ClusterId, config: Arc<ClusterConfig>, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id).filter(|cluster| cluster.config != config) else { return };
        cluster.reconfigure(config);
        dirty.endpoints.all_of(id);
        dirty.announcements.all_of(id);
        dirty.nodes_changed(id);
        let services: Vec<u32> = cluster.services.iter().map(|(slot, _)| slot).collect();
        let nodes: Vec<NodeId> = cluster.node_ids().collect();
        services.into_iter().for_each(|slot| self.scope(ServiceId { cluster: id, slot }, dirty));
        self.forget_released(id);
        nodes.into_iter().for_each(|node| self.relocate(node, dirty));
    }

    fn drop_cluster(&mut self, name: &ClusterName, dirty: &mut Dirty) {
        let Some(id) = self.ids.remove(name) else { return };
        self.sources.remove(&SourceId::Kubernetes(name.clone()));
        let Some(cluster) = self.clusters.get(&id) else { return };
        let services: Vec<_> = cluster.service_slots.keys().cloned().collect();
        let nodes: Vec<_> = cluster.node_slots.keys().cloned().collect();
        services.iter().for_each(|key| self.set_service(id, key.clone(), None, dirty));
        nodes.iter().for_each(|node| self.remove_node(id, node, dirty));
        self.clusters.remove(&id);
    }

    // Clusters.

    /// Applies an event of a cluster's API. Events of a cluster that is not enabled are ignored.
    pub(crate) fn set_cluster(&mut self, name: &ClusterName, event: ClusterEvent) -> Dirty {
        let mut dirty = Dirty::default();
        let Some(id) = self.ids.get(name).copied() else { return dirty };
        match event {
            ClusterEvent::Connected { version, caveat } => {
                if let Some(cluster) = self.clusters.get_mut(&id) {
                    (cluster.version, cluster.caveat) = (Some(version), caveat);
                    cluster.answers = true;
                }
            }
            ClusterEvent::Services(update) => self.set_services(id, update, &mut dirty),
            ClusterEvent::EndpointSlices(update) => self.set_slices(id, update, &mut dirty),
            ClusterEvent::Crowded(kind, namespaces) => self.set_crowded(id, kind, namespaces, &mut dirty),
            ClusterEvent::Nodes(update) => self.set_nodes(id, update, &mut dirty),
            ClusterEvent::SpeakerResource(resource, state) => self.set_resource(id, resource, state, &mut dirty),
            ClusterEvent::SpeakerObjects(resource, update) => self.set_objects(id, resource, update, &mut dirty),
            ClusterEvent::Announcements(resource, update) => self.set_statuses(id, resource, update, &mut dirty),
        }
        dirty
    }

    fn set_services(&mut self, id: ClusterId, update: Update<ServiceKey, Service>, dirty: &mut Dirty) {
        match update {
            Update::Set(key, service) => self.set_service(id, key, Some(service), dirty),
            Update::Gone(key) => self.set_service(id, key, None, dirty),
            Update::All(all) => {
                let all: FxHashMap<_, _> = all.into_iter().collect();
                let known = self.clusters.get(&id).into_iter().flat_map(|cluster| cluster.service_slots.keys());
                let gone: Vec<_> = known.filter(|key| !all.contains_key(*key)).cloned().collect();
                gone.into_iter().for_each(|key| self.set_service(id, key, None, dirty));
                all.into_iter().for_each(|(key, service)| self.set_service(id, key, Some(service), dirty));
            }
        }
        self.forget_released(id);
    }

    fn forget_released(&mut self, id: ClusterId) {
        self.clusters.get_mut(&id).into_iter().for_each(Cluster::forget_released);
    }

    fn set_service(&mut self, id: ClusterId, key: ServiceKey, service: Option<Service>, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let slot = cluster.service_slots.get(&key).copied();
        let before = slot.and_then(|slot| cluster.services.get(slot)).map(|entry| entry.service.clone());
        let mut turned = service.as_ref().map(|service| cluster.claim(service, true)).unwrap_or_default();
        turned.extend(before.as_ref().map(|before| cluster.claim(before, false)).unwrap_or_default());
        let network_instance = &cluster.config.rules.network_instance;
        let touched = turned
            .into_iter()
            .map(|vip| RouteKey { network_instance: network_instance.clone(), prefix: IpNet::from(vip) });
        dirty.orphans.extend(touched);
        match (service, slot) {
            (Some(service), Some(slot)) => {
                let Some(entry) = cluster.services.get_mut(slot).filter(|entry| entry.service != service) else {
                    return;
                };
                entry.service = service;
                self.scope(ServiceId { cluster: id, slot }, dirty);
            }
            (Some(service), None) => {
                let slot = cluster.services.insert(ServiceEntry::new(key.clone(), service));
                cluster.service_slots.insert(key, slot);
                let service = ServiceId { cluster: id, slot };
                dirty.endpoints.one(service);
                self.scope(service, dirty);
            }
            (None, Some(slot)) => {
                self.claim(ServiceId { cluster: id, slot }, None, dirty);
                if let Some(cluster) = self.clusters.get_mut(&id) {
                    cluster.service_slots.remove(&key);
                    cluster.services.remove(slot);
                }
            }
            (None, None) => {}
        }
    }

    /// Works out which VIPs a service carries, or that the agent does not judge it.
    fn scope(&mut self, id: ServiceId, dirty: &mut Dirty) {
        let cluster = self.clusters.get(&id.cluster);
        let Some((cluster, entry)) = cluster.and_then(|cluster| Some((cluster, cluster.services.get(id.slot)?))) else {
            return;
        };
        let vips = cluster.vips_of(&entry.service);
        dirty.announcements.one(id);
        dirty.services.one(id);
        self.claim(id, vips, dirty);
    }

    /// Replaces the VIPs that a service claims. With `None` the service is no longer judged.
    fn claim(&mut self, id: ServiceId, vips: Option<Box<[IpAddr]>>, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
        let Some(entry) = cluster.services.get_mut(id.slot) else { return };
        let new: BTreeSet<IpAddr> = vips.iter().flatten().copied().collect();
        let old: BTreeSet<IpAddr> = std::mem::replace(&mut entry.vips, vips).iter().flatten().copied().collect();
        if entry.vips.is_none() {
            let groups = std::mem::take(&mut entry.groups);
            let key = entry.key.clone();
            self.switch.look_at(&User::Service(id), &groups, &[]);
            if let Some(view) = cluster.publish(id.slot, None) {
                dirty.departed.entry((cluster.name.clone(), key)).or_insert(view);
            }
        }
        for vip in old.difference(&new) {
            self.claims.remove(*vip, id);
            cluster.release_vip(*vip, id.slot, dirty);
        }
        old.difference(&new).for_each(|vip| self.rival_changed(id.cluster, *vip, dirty));
        for vip in new.difference(&old) {
            self.rival_changed(id.cluster, *vip, dirty);
            self.claims.add(*vip, id);
            let cluster = self.clusters.get_mut(&id.cluster);
            cluster.into_iter().for_each(|of| of.vips.entry(*vip).or_default().services.push(id.slot));
        }
        old.union(&new).for_each(|vip| self.vip_changed(*vip, dirty));
    }

    /// Marks services of other clusters when a cluster gets its first VIP inside a prefix, or loses its last one there.
    /// If a prefix covers VIPs of several clusters, each of them may be the one that announces it.
    fn rival_changed(&self, id: ClusterId, vip: IpAddr, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get(&id) else { return };
        let instance = &cluster.config.rules.network_instance;
        if self.clusters_in(instance).all(|other| other.id == id) {
            return;
        }
        for prefix in self.switch.covering(instance, vip) {
            if self.claims.any_beside(vip, prefix, |claim| claim.cluster == id) {
                continue;
            }
            self.claims.inside(prefix, |covered, services| {
                if !self.switch.hides_others(instance, covered) {
                    dirty.services.extend(services.iter().copied().filter(|claim| claim.cluster != id));
                }
            });
        }
    }

    /// Marks every service that carries a VIP, and the orphan that it may be.
    fn vip_changed(&self, vip: IpAddr, dirty: &mut Dirty) {
        dirty.vips.insert(vip);
        for cluster in self.clusters.values() {
            let network_instance = cluster.config.rules.network_instance.clone();
            dirty.orphans.insert(RouteKey { network_instance, prefix: IpNet::from(vip) });
        }
    }

    fn set_slices(&mut self, id: ClusterId, update: Update<SliceKey, EndpointSlice>, dirty: &mut Dirty) {
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
        touched.iter().for_each(|key| self.endpoints_changed(id, key, dirty));
    }

    /// Marks a service whose endpoints changed, and the services that share VIPs with it: endpoints decide who
    /// announces a VIP.
    fn endpoints_changed(&self, id: ClusterId, key: &ServiceKey, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get(&id) else { return };
        let Some(slot) = cluster.service_slots.get(key).copied() else { return };
        let service = ServiceId { cluster: id, slot };
        dirty.endpoints.one(service);
        dirty.services.one(service);
        let vips = cluster.services.get(slot).into_iter().flat_map(|entry| entry.vips.iter().flatten());
        dirty.vips.extend(vips.filter(|vip| self.claims.of(**vip).len() > 1));
    }

    fn set_crowded(&mut self, id: ClusterId, kind: Crowded, namespaces: BTreeSet<Arc<str>>, dirty: &mut Dirty) {
        if !self.clusters.get_mut(&id).is_some_and(|cluster| cluster.set_crowded(kind, namespaces)) {
            return;
        }
        match kind {
            Crowded::Services => dirty.all_orphans = true,
            Crowded::EndpointSlices => {
                dirty.cluster(id);
                self.nodes_moved(id, dirty);
            }
        }
    }

    // Nodes.

    fn set_nodes(&mut self, id: ClusterId, update: Update<NodeName, Node>, dirty: &mut Dirty) {
        match update {
            Update::Set(name, node) => self.set_node(id, name, node, dirty),
            Update::Gone(name) => {
                self.remove_node(id, &name, dirty);
                if let Some(cluster) = self.clusters.get(&id) {
                    dirty.attachments |= self.attachments.forget_nodes(&cluster.name, |known| *known != name);
                }
            }
            Update::All(all) => {
                let all: FxHashMap<_, _> = all.into_iter().collect();
                let known = self.clusters.get(&id).into_iter().flat_map(|cluster| cluster.node_slots.keys());
                let gone: Vec<_> = known.filter(|name| !all.contains_key(*name)).cloned().collect();
                gone.iter().for_each(|name| self.remove_node(id, name, dirty));
                all.into_iter().for_each(|(name, node)| self.set_node(id, name, node, dirty));
                if let Some(cluster) = self.clusters.get(&id) {
                    let exists = |name: &NodeName| cluster.node_slots.contains_key(name);
                    dirty.attachments |= self.attachments.forget_nodes(&cluster.name, exists);
                }
            }
        }
    }

    fn set_node(&mut self, id: ClusterId, name: NodeName, node: Node, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let known = cluster.node_slots.get(&name).copied();
        let slot = match &known {
            Some(slot) if cluster.nodes.get(*slot).is_some_and(|entry| entry.node == node) => return,
            Some(slot) => *slot,
            None => {
                let slot = cluster.nodes.insert(NodeEntry::new(name.clone()));
                cluster.places.put(slot, Some(Place::Unlocated));
                if cluster.occupy(&name, true) {
                    dirty.nodes.all_of(id);
                }
                cluster.node_slots.insert(name, slot);
                dirty.endpoints.all_of(id);
                dirty.nodes_changed(id);
                slot
            }
        };
        if let Some(entry) = cluster.nodes.get_mut(slot) {
            let relabelled = entry.node.labels != node.labels;
            let uid = node.uid;
            let before = std::mem::replace(&mut entry.node, node).uid;
            if relabelled && cluster.resources.has_rules() {
                dirty.nodes_changed(id);
            }
            self.identify(id, before, uid, dirty);
        }
        self.relocate(NodeId { cluster: id, slot }, dirty);
        // Any node may be behind a next-hop of a VIP that clusters share, even one that is not located.
        if known.is_none() {
            self.nodes_moved(id, dirty);
        }
    }

    fn remove_node(&mut self, id: ClusterId, name: &NodeName, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        let Some(slot) = cluster.node_slots.remove(name) else { return };
        cluster.uncount_node(slot);
        cluster.places.put(slot, None);
        if cluster.occupy(name, false) {
            dirty.nodes.all_of(id);
        }
        dirty.endpoints.all_of(id);
        dirty.nodes_changed(id);
        let node = NodeId { cluster: id, slot };
        if let Some(entry) = cluster.nodes.remove(slot) {
            self.identify(id, entry.node.uid, None, dirty);
            let Some(cluster) = self.clusters.get_mut(&id) else { return };
            if let Some(view) = entry.view {
                dirty.departed_nodes.entry((cluster.name.clone(), name.clone())).or_insert(view);
            }
            self.switch.look_at(&User::Node(node), &entry.groups, &[]);
            self.index_node(node, &entry.location, &Location::default());
            self.gateways_moved(id, &entry.location, &Location::default(), dirty);
            self.addresses_moved(id, &entry.location, &Location::default(), dirty);
        }
        self.nodes_moved(id, dirty);
    }

    /// Notes that the uid of a node changed. Clusters that become the same API thereby, or stop being it, are judged
    /// again.
    fn identify(&mut self, id: ClusterId, before: Option<NodeUid>, after: Option<NodeUid>, dirty: &mut Dirty) {
        if before == after {
            return;
        }
        let joined = after.map(|uid| self.identities.list(id, uid)).unwrap_or_default();
        let parted = before.map(|uid| self.identities.unlist(id, uid)).unwrap_or_default();
        for (other, same) in
            parted.into_iter().map(|other| (other, false)).chain(joined.into_iter().map(|other| (other, true)))
        {
            for (one, other) in [(id, other), (other, id)] {
                let Some(cluster) = self.clusters.get_mut(&one) else { continue };
                match same {
                    true => cluster.same_api.insert(other),
                    false => cluster.same_api.remove(&other),
                };
                dirty.cluster(one);
            }
        }
    }

    /// Marks the services of other clusters in the same network instance: they see this cluster's nodes behind their
    /// next-hops, and those that share VIPs see its endpoints.
    pub(super) fn nodes_moved(&self, id: ClusterId, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get(&id) else { return };
        let others = self.clusters_in(&cluster.config.rules.network_instance).filter(|other| other.id != id);
        others.for_each(|other| dirty.services.all_of(other.id));
    }

    /// Locates a node again after a change of its own facts, the configuration, neighbors, or host routes.
    pub(super) fn relocate(&mut self, id: NodeId, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
        let Some(entry) = cluster.nodes.get_mut(id.slot) else { return };
        let addresses = speakers::addresses(&cluster.resources, &entry.name, &entry.node);
        let (switch, bgp) = (&self.switch, &self.bgp);
        let heard = self.sources.hears_neighbors();
        let (name, config, carried) = (&cluster.name, &cluster.config, &entry.carried);
        let locator = Locator { cluster: name, config, addresses: &addresses, switch, bgp, heard, carried };
        let located = locator.locate(&entry.name, &entry.node, &mut self.attachments);
        match heard {
            true => entry.answered = located.answering,
            false => {
                let others = located.answering.into_iter().filter(|address| !entry.answered.contains(address));
                let others: Vec<IpAddr> = others.collect();
                entry.answered.extend(others);
            }
        }
        let excluded = speakers::profile(cluster.config.source.speaker).excluded(&entry.node);
        let selector = cluster.config.rules.speaker_node_selector.as_ref();
        let runs_speaker = selector.is_none_or(|selector| selector.selects(|label| entry.node.labels.get(label)));
        let excluded = excluded.or((!runs_speaker).then_some("speaker-node-selector"));
        let moved = entry.location != located.location || entry.excluded != excluded;
        entry.excluded = excluded;
        let before = std::mem::replace(&mut entry.location, located.location.clone());
        let groups_before = std::mem::replace(&mut entry.groups, located.groups.clone());
        cluster.places.put(id.slot, Some(located.location.place));
        dirty.attachments |= located.remembers;
        dirty.nodes.one(id);
        if moved {
            dirty.nodes_changed(id.cluster);
            self.index_node(id, &before, &located.location);
            self.gateways_moved(id.cluster, &before, &located.location, dirty);
            self.addresses_moved(id.cluster, &before, &located.location, dirty);
            self.nodes_moved(id.cluster, dirty);
        }
        self.switch.look_at(&User::Node(id), &groups_before, &located.groups);
    }

    pub(super) fn relocate_all(&mut self, dirty: &mut Dirty) {
        let nodes: Vec<NodeId> = self.clusters.values().flat_map(Cluster::node_ids).collect();
        nodes.into_iter().for_each(|id| self.relocate(id, dirty));
    }

    /// Marks nodes at whose gateway another node came or went: one that leads to several nodes is a router, and shows
    /// the place of none.
    fn gateways_moved(&self, id: ClusterId, before: &Location, after: &Location, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get(&id).filter(|_| before.gateways != after.gateways) else { return };
        let gateways = before.gateways.iter().chain(&after.gateways);
        // More than two were several before and are several now.
        let nodes = gateways.filter_map(|gateway| cluster.by_gateway.get(gateway)).filter(|nodes| nodes.len() <= 2);
        nodes.flatten().for_each(|slot| dirty.nodes.one(NodeId { cluster: id, slot: *slot }));
    }

    /// Marks the host routes of addresses that a node had or has: a host route to a node is not an orphan.
    fn addresses_moved(&self, id: ClusterId, before: &Location, after: &Location, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get(&id) else { return };
        let network_instance = &cluster.config.rules.network_instance;
        let own = before
            .candidates
            .iter()
            .chain(&after.candidates)
            .map(|(address, _)| RouteKey { network_instance: network_instance.clone(), prefix: IpNet::from(*address) });
        dirty.orphans.extend(own);
    }

    /// Updates the indexes by address, by VTEP and by gateway.
    fn index_node(&mut self, id: NodeId, before: &Location, after: &Location) {
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
        for (address, _) in &before.candidates {
            unlist(&mut cluster.by_address, *address, &id.slot);
            unlist(&mut self.addresses, *address, &id);
        }
        before.vteps.iter().for_each(|vtep| unlist(&mut cluster.by_vtep, *vtep, &id.slot));
        before.gateways.iter().for_each(|gateway| unlist(&mut cluster.by_gateway, *gateway, &id.slot));
        for (address, _) in &after.candidates {
            list(&mut cluster.by_address, *address, id.slot);
            list(&mut self.addresses, *address, id);
        }
        after.vteps.iter().for_each(|vtep| list(&mut cluster.by_vtep, *vtep, id.slot));
        after.gateways.iter().for_each(|gateway| list(&mut cluster.by_gateway, *gateway, id.slot));
    }

    // Speaker resources.

    fn set_resource(&mut self, id: ClusterId, resource: SpeakerResource, state: ResourceState, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if cluster.resources.set_state(resource, state) {
            self.rules_changed(id, resource, None, dirty);
        }
    }

    fn set_objects(
        &mut self,
        id: ClusterId,
        resource: SpeakerResource,
        update: Update<ObjectKey, SpeakerObject>,
        dirty: &mut Dirty,
    ) {
        let only = match &update {
            Update::Set(key, _) | Update::Gone(key) => Some(NodeName::from(key.name.clone())),
            Update::All(_) => None,
        };
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if cluster.resources.set_objects(resource, update) {
            self.rules_changed(id, resource, only, dirty);
        }
    }

    /// Applies an update of the services that speakers report to announce.
    fn set_statuses(
        &mut self,
        id: ClusterId,
        resource: SpeakerResource,
        update: Update<StatusKey, ()>,
        dirty: &mut Dirty,
    ) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        for service in cluster.resources.set_statuses(resource, update) {
            self.endpoints_changed(id, &service, dirty);
        }
    }

    /// Marks everything that is read from a resource; `object` is the only object that changed, if known.
    fn rules_changed(&mut self, id: ClusterId, resource: SpeakerResource, object: Option<NodeName>, dirty: &mut Dirty) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if matches!(
            resource,
            SpeakerResource::MetallbPools | SpeakerResource::CiliumPools | SpeakerResource::CalicoPools
        ) {
            dirty.all_orphans |= cluster.gather_pools();
        }
        if resource == SpeakerResource::MetallbPeers {
            cluster.peer_addresses = speakers::peer_addresses(&cluster.resources);
        }
        dirty.announcements.all_of(id);
        dirty.nodes_changed(id);
        dirty.cluster(id);
        let moved: Vec<u32> = match (resource, object) {
            (SpeakerResource::CiliumNodes, Some(node)) => cluster.node_slot(&node).into_iter().collect(),
            (SpeakerResource::CiliumNodes | SpeakerResource::MetallbPeers, _) => {
                cluster.nodes.iter().map(|(slot, _)| slot).collect()
            }
            _ => Vec::new(),
        };
        for slot in moved {
            self.relocate(NodeId { cluster: id, slot }, dirty);
        }
        self.nodes_moved(id, dirty);
    }
}

/// Inserts in order of value, so that nothing depends on the order of arrival.
fn list<T: Ord>(index: &mut FxHashMap<IpAddr, Vec<T>>, address: IpAddr, value: T) {
    let values = index.entry(address).or_default();
    if let Err(place) = values.binary_search(&value) {
        values.insert(place, value);
    }
}

fn unlist<T: PartialEq>(index: &mut FxHashMap<IpAddr, Vec<T>>, address: IpAddr, value: &T) {
    if let Some(values) = index.get_mut(&address) {
        values.retain(|other| other != value);
        if values.is_empty() {
            index.remove(&address);
        }
    }
}
