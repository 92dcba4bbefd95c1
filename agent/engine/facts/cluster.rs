//! Stores one enabled cluster: the objects of its API, and what the engine derives from them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::dirty::{Dirty, Marks};
use super::endpoints::{ServiceEndpoints, Slices};
use super::figures::Figures;
use super::ids::{ClusterId, NodeId, ServiceId};
use super::node_sets::{NodeSet, NodeSetId, NodeSets, VipAnnouncement};
use super::nodes::NodeEntry;
use super::places::Places;
use super::slab::Slab;
use super::switch::Switch;
use super::tally::{Contribution, Counted, VipCounts};
use crate::engine::speakers::{self, Profile, SpeakerResources, Subject, profile};
use crate::model::cluster::{EndpointSlice, Service, SliceKey};
use crate::model::config::ClusterConfig;
use crate::model::event::Crowded;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::NextHopGroupId;
use crate::model::verdict::Announcement;
use crate::model::view::ServiceView;

/// The most names without a node in a sentence.
const VACANT_NAMED: usize = 3;

/// A service of a cluster.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) key: ServiceKey,
    pub(crate) service: Service,
    /// Its VIPs, sorted; `None` if the agent does not judge the service.
    pub(crate) vips: Option<Box<[IpAddr]>>,
    /// Who announces each of the VIPs, in the same order, according to resources of the speaker; empty if these do not
    /// say.
    pub(crate) announcements: Box<[VipAnnouncement]>,
    /// Counts of its endpoints.
    pub(crate) endpoints: ServiceEndpoints,
    /// The last published view.
    pub(crate) view: Option<Arc<ServiceView>>,
    /// Next-hop groups that the verdict was read from.
    pub(crate) groups: Vec<NextHopGroupId>,
}

impl ServiceEntry {
    /// Creates a service whose VIPs and endpoints are not worked out yet.
    pub(crate) fn new(key: ServiceKey, service: Service) -> Self {
        Self {
            key,
            service,
            vips: None,
            announcements: Box::default(),
            endpoints: ServiceEndpoints::default(),
            view: None,
            groups: Vec::new(),
        }
    }

    /// Returns whether it has the VIP in its status, and not only in externalIPs.
    pub(crate) fn is_assigned(&self, vip: IpAddr) -> bool {
        self.service.load_balancer && self.service.ingress.contains(&vip)
    }

    /// Returns who announces one of its VIPs according to resources of the speaker; `None` if these do not say.
    pub(crate) fn announcement(&self, vip: IpAddr) -> Option<&VipAnnouncement> {
        let at = self.vips.as_ref()?.binary_search(&vip).ok()?;
        self.announcements.get(at)
    }
}

/// A VIP of a cluster.
#[derive(Debug, Default)]
pub(crate) struct VipEntry {
    /// Services that carry the VIP, by slot.
    pub(crate) services: Vec<u32>,
    /// What the VIP adds to the counts of nodes.
    pub(crate) contribution: Option<Contribution>,
    /// The next-hops of its route, and those at the time the cluster was last heard.
    pub(crate) course: Course,
    /// How the VIP was last seen to be announced here.
    pub(crate) announced: Option<Announcement>,
}

/// How the next-hops of a VIP changed since its cluster was last heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    now: Arc<[IpAddr]>,
    since: Duration,
    then: Arc<[IpAddr]>,
}

impl Course {
    /// Notes the next-hops at `now`; `heard` is when the cluster was last heard.
    pub(crate) fn note(&mut self, next_hops: &Arc<[IpAddr]>, now: Duration, heard: Duration) {
        if self.now == *next_hops {
            return;
        }
        if heard >= self.since {
            self.then = Arc::clone(&self.now);
        }
        (self.now, self.since) = (Arc::clone(next_hops), now);
    }

    /// Returns whether the next-hops differ from those at the time the cluster was last heard.
    pub(crate) fn has_turned(&self, heard: Duration) -> bool {
        self.since > heard && self.now != self.then
    }
}

/// One enabled cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) name: ClusterName,
    pub(crate) config: Arc<ClusterConfig>,
    pub(crate) services: Slab<ServiceEntry>,
    pub(crate) service_slots: FxHashMap<ServiceKey, u32>,
    pub(crate) slices: FxHashMap<SliceKey, ServiceKey>,
    endpoints: FxHashMap<ServiceKey, Slices>,
    pub(crate) nodes: Slab<NodeEntry>,
    pub(crate) node_slots: FxHashMap<NodeName, u32>,
    /// Names that `fabric-address` is configured for and that no node has.
    vacant: BTreeSet<NodeName>,
    /// Nodes other than those known to be only behind other leaves.
    pub(crate) places: Places,
    pub(crate) by_address: FxHashMap<IpAddr, Vec<u32>>,
    pub(crate) by_vtep: FxHashMap<IpAddr, Vec<u32>>,
    pub(crate) by_gateway: FxHashMap<IpAddr, Vec<u32>>,
    pub(crate) vips: FxHashMap<IpAddr, VipEntry>,
    /// VIPs whose last service has released them, kept until the end of the event.
    released: Vec<IpAddr>,
    pub(crate) tally: VipCounts,
    /// Addresses that services have, judged or not, and the number of services that have each.
    pub(crate) claimed: FxHashMap<IpAddr, u32>,
    /// What the speaker's own resources say.
    pub(crate) resources: SpeakerResources,
    pub(crate) node_sets: NodeSets,
    /// Addresses of switches that resources of the speaker name as peers.
    pub(crate) peer_addresses: BTreeSet<IpAddr>,
    /// Prefixes that are VIPs of the cluster by configuration or by the speaker's resources: sorted, none inside
    /// another.
    pub(crate) pools: Box<[IpNet]>,
    /// Clusters that are configured apart from this one and are the same API.
    pub(crate) same_api: BTreeSet<ClusterId>,
    pub(crate) version: Option<Arc<str>>,
    /// Whether its API has answered since it was last lost.
    pub(crate) answers: bool,
    pub(crate) caveat: Option<Arc<str>>,
    /// Namespaces of which not everything is read, because there is too much, by kind.
    crowded: BTreeMap<Crowded, BTreeSet<Arc<str>>>,
    /// Number of services with a verdict; `endpoint_count` is the number of their endpoints.
    pub(crate) judged: u32,
    pub(crate) endpoint_count: u32,
}

impl Cluster {
    pub(crate) fn new(id: ClusterId, name: ClusterName, config: Arc<ClusterConfig>) -> Self {
        let mut cluster = Self {
            id,
            name,
            config: Arc::clone(&config),
            services: Slab::default(),
            service_slots: FxHashMap::default(),
            slices: FxHashMap::default(),
            endpoints: FxHashMap::default(),
            nodes: Slab::default(),
            node_slots: FxHashMap::default(),
            vacant: config.rules.fabric_addresses.keys().cloned().collect(),
            places: Places::default(),
            by_address: FxHashMap::default(),
            by_vtep: FxHashMap::default(),
            by_gateway: FxHashMap::default(),
            vips: FxHashMap::default(),
            released: Vec::new(),
            tally: VipCounts::default(),
            claimed: FxHashMap::default(),
            resources: SpeakerResources::new(config.source.speaker),
            node_sets: NodeSets::default(),
            peer_addresses: BTreeSet::new(),
            pools: Box::default(),
            same_api: BTreeSet::new(),
            version: None,
            answers: false,
            caveat: None,
            crowded: BTreeMap::new(),
            judged: 0,
            endpoint_count: 0,
        };
        cluster.gather_pools();
        cluster
    }

    /// Replaces the configuration. If the speaker differs, forgets what the former speaker's resources said. If the
    /// network instance differs, forgets what was seen of nodes and VIPs in the former one.
    pub(crate) fn reconfigure(&mut self, config: Arc<ClusterConfig>) {
        if config.rules.network_instance != self.config.rules.network_instance {
            for slot in self.node_slots.values() {
                if let Some(node) = self.nodes.get_mut(*slot) {
                    (node.carried, node.answered) = Default::default();
                }
            }
            for entry in self.vips.values_mut() {
                (entry.course, entry.announced) = (Course::default(), None);
            }
        }
        if config.source.speaker != self.config.source.speaker {
            self.resources = SpeakerResources::new(config.source.speaker);
            self.peer_addresses = BTreeSet::new();
        }
        let configured = config.rules.fabric_addresses.keys();
        self.vacant = configured.filter(|name| !self.node_slots.contains_key(*name)).cloned().collect();
        self.config = config;
        self.gather_pools();
    }

    /// Returns the rules of its speaker.
    pub(crate) fn profile(&self) -> &'static Profile {
        profile(self.config.source.speaker)
    }

    /// Returns the VIPs of a service, sorted; `None` if the agent does not judge the service.
    pub(crate) fn vips_of(&self, service: &Service) -> Option<Box<[IpAddr]>> {
        let external = self.config.source.include_external_ips && !service.external_ips.is_empty();
        // Only a service of type LoadBalancer has a class.
        let foreign = service.load_balancer && !self.profile().owns_class(service, &self.config);
        if !(service.load_balancer || external) || foreign {
            return None;
        }
        let ingress = service.ingress.iter().filter(|_| service.load_balancer);
        let external = service.external_ips.iter().filter(|_| external);
        let vips: BTreeSet<IpAddr> = ingress.chain(external).copied().collect();
        Some(vips.into_iter().collect())
    }

    /// Counts the addresses of a service that was added or removed, whoever announces it. Returns the addresses that
    /// became claimed or unclaimed.
    pub(crate) fn claim(&mut self, service: &Service, add: bool) -> Vec<IpAddr> {
        let mut turned = Vec::new();
        for address in service.ingress.iter().chain(&service.external_ips) {
            let count = self.claimed.entry(*address).or_default();
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if *count == u32::from(add) {
                turned.push(*address);
            }
            if *count == 0 {
                self.claimed.remove(address);
            }
        }
        turned
    }

    pub(crate) fn node_slot(&self, name: &NodeName) -> Option<u32> {
        self.node_slots.get(name).copied()
    }

    pub(crate) fn node_name(&self, slot: u32) -> Option<&NodeName> {
        Some(&self.nodes.get(slot)?.name)
    }

    /// Notes that a node was added or removed. Returns whether that changed which configured names have no node.
    pub(crate) fn occupy(&mut self, name: &NodeName, is_there: bool) -> bool {
        match is_there {
            true => self.vacant.remove(name),
            false => self.config.rules.fabric_addresses.contains_key(name) && self.vacant.insert(name.clone()),
        }
    }

    /// Returns the first few names that `fabric-address` is configured for and that no node has.
    pub(crate) fn vacant_names(&self) -> Box<[NodeName]> {
        self.vacant.iter().take(VACANT_NAMED).cloned().collect()
    }

    /// Returns the name without a node that an address is configured for.
    pub(crate) fn vacant_at(&self, address: IpAddr) -> Option<&NodeName> {
        let configured = &self.config.rules.fabric_addresses;
        self.vacant.iter().find(|name| configured.get(*name).is_some_and(|addresses| addresses.contains(&address)))
    }

    pub(crate) fn at_address(&self, address: IpAddr) -> &[u32] {
        self.by_address.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the nodes at a next-hop: by one of their addresses, or by the gateway of a static route to one of them.
    /// A gateway that leads to several nodes is a router, and returns none.
    pub(crate) fn at_next_hop(&self, address: IpAddr) -> &[u32] {
        match self.at_address(address) {
            [] => self.by_gateway.get(&address).map(Vec::as_slice).filter(|nodes| nodes.len() == 1).unwrap_or_default(),
            nodes => nodes,
        }
    }

    pub(crate) fn at_vtep(&self, address: IpAddr) -> &[u32] {
        self.by_vtep.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the nodes that a next-hop leads to from this leaf: by one of their addresses, or by the gateway of a
    /// static route.
    pub(crate) fn here_by(&self, hop: IpAddr) -> impl Iterator<Item = u32> {
        self.at_address(hop).iter().chain(self.by_gateway.get(&hop).into_iter().flatten()).copied()
    }

    /// Returns the nodes that next-hops lead to, except those known to be only behind other leaves.
    pub(crate) fn reached(&self, hops: impl Iterator<Item = IpAddr>) -> BTreeSet<u32> {
        let mut reached = BTreeSet::new();
        for hop in hops {
            reached.extend(self.here_by(hop).filter(|slot| self.places.contains(*slot)));
            let behind = self.at_vtep(hop);
            match behind.len() <= self.places.counts().sum() {
                true => reached.extend(behind.iter().copied().filter(|slot| self.places.contains(*slot))),
                false => {
                    let is_behind = |node: &NodeEntry| node.location.vteps.contains(&hop);
                    reached.extend(self.places.iter().filter(|slot| self.nodes.get(*slot).is_some_and(is_behind)));
                }
            }
        }
        reached
    }

    /// Sets or removes a slice; returns the affected services.
    pub(crate) fn set_slice(&mut self, key: &SliceKey, slice: Option<EndpointSlice>) -> Vec<ServiceKey> {
        let mut touched = Vec::new();
        let owner = slice.as_ref().map(|slice| &slice.service);
        if let Some(before) = self.slices.get(key)
            && owner != Some(before)
        {
            let before = before.clone();
            self.slices.remove(key);
            if let Some(slices) = self.endpoints.get_mut(&before) {
                slices.remove(&key.name);
                if slices.is_empty() {
                    self.endpoints.remove(&before);
                }
            }
            touched.push(before);
        }
        if let Some(slice) = slice {
            let service = slice.service.clone();
            if self.endpoints.entry(service.clone()).or_default().set(&key.name, slice) {
                self.slices.insert(key.clone(), service.clone());
                touched.push(service);
            }
        }
        touched
    }

    /// Sets the namespaces of which not everything is read. Returns whether they changed.
    pub(crate) fn set_crowded(&mut self, kind: Crowded, namespaces: BTreeSet<Arc<str>>) -> bool {
        let before = self.crowded.insert(kind, namespaces).unwrap_or_default();
        self.crowded.get(&kind) != Some(&before)
    }

    /// Returns whether not every service is read.
    pub(crate) fn lacks_services(&self) -> bool {
        self.crowded.get(&Crowded::Services).is_some_and(|namespaces| !namespaces.is_empty())
    }

    /// Returns whether not every endpoint of a service is read.
    pub(crate) fn lacks_endpoints(&self, service: &ServiceKey) -> bool {
        self.crowded.get(&Crowded::EndpointSlices).is_some_and(|namespaces| namespaces.contains(&service.namespace))
    }

    /// Returns the ids of its services.
    pub(crate) fn service_ids(&self) -> impl Iterator<Item = ServiceId> {
        self.services.iter().map(|(slot, _)| ServiceId { cluster: self.id, slot })
    }

    /// Returns the ids of its nodes.
    pub(crate) fn node_ids(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().map(|(slot, _)| NodeId { cluster: self.id, slot })
    }

    /// Replaces the published view of a service. Returns the former one.
    pub(crate) fn publish(&mut self, slot: u32, view: Option<Arc<ServiceView>>) -> Option<Arc<ServiceView>> {
        let entry = self.services.get_mut(slot)?;
        let old = std::mem::replace(&mut entry.view, view);
        if let Some(old) = &old {
            self.judged -= 1;
            self.endpoint_count -= old.total_endpoints;
        }
        if let Some(new) = &entry.view {
            self.judged += 1;
            self.endpoint_count += new.total_endpoints;
        }
        old
    }

    /// Removes a service from those that carry a VIP.
    pub(crate) fn release_vip(&mut self, vip: IpAddr, slot: u32, dirty: &mut Dirty) {
        let Some(entry) = self.vips.get_mut(&vip) else { return };
        entry.services.retain(|carrier| *carrier != slot);
        if entry.services.is_empty() {
            self.contribute(vip, None, dirty);
            self.released.push(vip);
        }
    }

    /// Forgets VIPs that no service carries any more. Runs at the end of an event, so that a VIP that moved between
    /// services in one event is kept, in whichever order the two were processed.
    pub(crate) fn forget_released(&mut self) {
        for vip in std::mem::take(&mut self.released) {
            if self.vips.get(&vip).is_some_and(|entry| entry.services.is_empty()) {
                self.vips.remove(&vip);
            }
        }
    }

    /// Counts the endpoints of a service.
    pub(crate) fn count_endpoints(&mut self, slot: u32) {
        let profile = self.profile();
        if let Some(entry) = self.services.get_mut(slot) {
            entry.endpoints = ServiceEndpoints::of(self.endpoints.get(&entry.key), profile, &self.node_slots);
        }
    }

    /// Looks up who announces the VIPs of a service. Returns true if that needs sets of nodes that are not filled yet.
    pub(crate) fn look_up_announcers(&mut self, slot: u32) -> bool {
        let Some(entry) = self.services.get_mut(slot) else { return false };
        let local = profile(self.config.source.speaker).local(&entry.service);
        let vips = entry.vips.iter().flatten().filter(|_| self.resources.has_rules());
        let (resources, node_sets) = (&self.resources, &mut self.node_sets);
        let announcement = |vip: &IpAddr| {
            let subject = Subject { key: &entry.key, service: &entry.service, vip: *vip, local };
            VipAnnouncement::of(speakers::rule(resources, subject), node_sets)
        };
        entry.announcements = vips.map(announcement).collect();
        let mut announcements = entry.announcements.iter().flat_map(VipAnnouncement::with_fallbacks);
        announcements.any(|announcement| self.node_sets.is_new(announcement.node_set))
    }

    /// Fills every set of nodes that is in use. Returns the nodes that joined or left one.
    pub(crate) fn fill_node_sets(&mut self, switch: &Switch) -> BTreeSet<u32> {
        let announcements = self.services.iter().flat_map(|(_, entry)| &entry.announcements);
        let announcements = announcements.flat_map(VipAnnouncement::with_fallbacks);
        let mut used: BTreeSet<NodeSetId> = announcements.map(|announcement| announcement.node_set).collect();
        used.extend(self.tally.node_sets());
        self.node_sets.keep(&used);
        let eligible: Vec<_> = self.nodes.iter().filter(|(_, node)| node.excluded.is_none()).collect();
        let instance = &self.config.rules.network_instance;
        let is_own = |address| switch.has_address(instance, address);
        let is_node = |address: IpAddr| self.by_address.contains_key(&address);
        self.node_sets.fill(&self.resources, &eligible, is_own, is_node)
    }

    /// Returns a set of nodes.
    pub(crate) fn node_set(&self, id: NodeSetId) -> Option<&NodeSet> {
        self.node_sets.get(id)
    }

    /// Gathers the pools; returns whether they changed. Pools of the speaker count only if no filter hides services
    /// that have their addresses from them.
    pub(crate) fn gather_pools(&mut self) -> bool {
        let filtered = !self.config.source.namespaces.is_empty() || self.config.source.label_selector.is_some();
        let assigned = self.resources.pools().filter(|_| !filtered);
        let all: Vec<IpNet> =
            self.config.rules.vip_pools.iter().copied().chain(assigned).map(|pool| pool.trunc()).collect();
        let mut pools = IpNet::aggregate(&all);
        pools.sort_unstable();
        let changed = *self.pools != *pools;
        self.pools = pools.into();
        changed
    }

    /// Returns whether a pool contains the address.
    pub(crate) fn pools_hold(&self, address: IpAddr) -> bool {
        self.pool_of(address).is_some()
    }

    /// Returns the pool that contains the address; the widest, if several do.
    pub(crate) fn pool_of(&self, address: IpAddr) -> Option<IpNet> {
        let after = self.pools.partition_point(|pool| pool.network() <= address);
        after.checked_sub(1).map(|at| self.pools[at]).filter(|pool| pool.contains(&address))
    }

    /// Returns next-hops that lead to the cluster without being one of its nodes.
    pub(crate) fn transit(&self) -> impl Iterator<Item = IpAddr> {
        self.config.rules.transit_addresses.iter().map(IpAddr::to_canonical)
    }

    /// Returns whether a route of the prefix may show which leaf transit is behind.
    pub(crate) fn has_transit_in(&self, prefix: &IpNet) -> bool {
        self.transit().any(|transit| prefix.contains(&transit))
    }

    /// Returns the services that carry a VIP.
    pub(crate) fn carrying(&self, vip: IpAddr) -> impl Iterator<Item = &ServiceEntry> {
        let services = self.vips.get(&vip).map(|entry| entry.services.as_slice()).unwrap_or_default();
        services.iter().filter_map(|slot| self.services.get(*slot))
    }

    /// Returns whether a node of the cluster is at the next-hop, or behind it.
    pub(crate) fn has_behind(&self, next_hop: IpAddr) -> bool {
        !self.at_next_hop(next_hop).is_empty() || !self.at_vtep(next_hop).is_empty()
    }

    /// Returns whether the VIPs of both clusters are in the same network instance. The same API, configured twice, is
    /// not beside itself: what it claims there is one claim, unless the operator has it share VIPs.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let one_claim = self.same_api.contains(&other.id) && !self.shares_with(other);
        self.config.rules.network_instance == other.config.rules.network_instance && !one_claim
    }

    /// Returns whether one of the two clusters names the other in `shared-with`, so that both may claim the same VIPs.
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        self.config.rules.shared_with.contains(&other.name) || other.config.rules.shared_with.contains(&self.name)
    }

    /// Returns the figures of a node.
    pub(crate) fn figures(&self, slot: u32, node: &NodeEntry) -> Figures {
        let mut figures = node.own;
        let member = |id: NodeSetId| self.node_set(id).is_some_and(|node_set| node_set.expects(slot));
        self.tally.add_to(&mut figures, node, member);
        figures
    }

    /// Replaces what a VIP adds to the counts. Marks the nodes whose figures change as dirty.
    pub(crate) fn contribute(&mut self, vip: IpAddr, new: Option<Contribution>, dirty: &mut Dirty) {
        let Some(entry) = self.vips.get_mut(&vip) else { return };
        if entry.contribution == new {
            return;
        }
        let old = std::mem::replace(&mut entry.contribution, new.clone());
        self.count(old.as_ref(), false);
        self.count(new.as_ref(), true);
        self.mark_counted(old.as_ref(), new.as_ref(), &mut dirty.nodes);
    }

    fn count(&mut self, contribution: Option<&Contribution>, add: bool) {
        let Some(contribution) = contribution else { return };
        let step = |figure: &mut u32, counts: bool| match (counts, add) {
            (false, _) => {}
            (true, true) => *figure += 1,
            (true, false) => *figure -= 1,
        };
        for slot in &contribution.sole {
            if let Some(node) = self.nodes.get_mut(*slot) {
                step(&mut node.own.sole, true);
            }
        }
        match &contribution.announcers {
            Counted::NodeSet(id) => {
                self.tally.count(*id, Arc::clone(&contribution.installed), contribution.may_hide, add);
            }
            Counted::Nodes(nodes) => {
                for (slot, used) in nodes {
                    if let Some(node) = self.nodes.get_mut(*slot) {
                        step(&mut node.own.expected, true);
                        step(&mut node.own.installed, *used);
                        step(&mut node.own.hidden, contribution.may_hide);
                        step(&mut node.own.routed, !contribution.installed.is_empty());
                    }
                }
            }
        }
    }

    /// Marks the nodes whose figures differ between two contributions of a VIP.
    fn mark_counted(&self, old: Option<&Contribution>, new: Option<&Contribution>, marks: &mut Marks<NodeId>) {
        let id = |slot: &u32| NodeId { cluster: self.id, slot: *slot };
        let node_set = |c: Option<&Contribution>| match c?.announcers {
            Counted::NodeSet(id) => Some(id),
            Counted::Nodes(_) => None,
        };
        for contribution in old.into_iter().chain(new) {
            if let Counted::Nodes(counted) = &contribution.announcers {
                marks.extend(counted.iter().map(|(slot, _)| id(slot)));
            }
        }
        let sole = |c: Option<&Contribution>| c.map(|c| c.sole.clone()).unwrap_or_default();
        if sole(old) != sole(new) {
            marks.extend(sole(old).iter().chain(&sole(new)).map(id));
        }
        let of_all = |c: Option<&Contribution>| c.map(|c| (c.may_hide, c.installed.is_empty()));
        if node_set(old) != node_set(new) || (node_set(new).is_some() && of_all(old) != of_all(new)) {
            for node_set in [old, new].into_iter().filter_map(node_set).filter_map(|id| self.node_sets.get(id)) {
                // One by one, the first VIPs of a cluster would mark each of its nodes as often as there are VIPs.
                match 2 * node_set.members.len() < self.nodes.len() {
                    true => marks.extend(node_set.members.iter().map(id)),
                    false => marks.all_of(self.id),
                }
            }
        } else if node_set(new).is_some() {
            let hops = |c: Option<&Contribution>| c.map(|c| Arc::clone(&c.installed)).unwrap_or_default();
            let (before, after) = (hops(old), hops(new));
            let lost = before.iter().filter(|hop| !after.contains(hop));
            for hop in lost.chain(after.iter().filter(|hop| !before.contains(hop))) {
                for index in [&self.by_address, &self.by_gateway, &self.by_vtep] {
                    marks.extend(index.get(hop).into_iter().flatten().map(id));
                }
            }
        }
    }

    /// Removes a node from all contributions: it is gone, and its slot may be reused.
    pub(crate) fn uncount_node(&mut self, slot: u32) {
        for contribution in self.vips.values_mut().filter_map(|entry| entry.contribution.as_mut()) {
            if let Counted::Nodes(nodes) = &mut contribution.announcers {
                *nodes = nodes.iter().filter(|(counted, _)| *counted != slot).copied().collect();
            }
            if contribution.sole.contains(&slot) {
                contribution.sole = contribution.sole.iter().filter(|sole| **sole != slot).copied().collect();
            }
        }
    }
}
