//! One enabled cluster: what its API told, and what the engine derived from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::endpoints::ServiceEndpoints;
use super::ids::ClusterId;
use super::nodes::NodeEntry;
use super::slab::Slab;
use super::speakers::{Audience, AudienceId, Audiences, Knowledge, Profile, Reach, profile};
use super::tally::{Contribution, Tally};
use crate::model::cluster::{EndpointSlice, Service, SliceKey};
use crate::model::config::ClusterConfig;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::NextHopGroupId;
use crate::model::view::ServiceView;

/// A service of a cluster.
#[derive(Debug)]
pub(super) struct ServiceEntry {
    pub(super) key: ServiceKey,
    pub(super) service: Service,
    /// Its VIPs, sorted; none when the service is not ours to judge.
    pub(super) vips: Option<Box<[IpAddr]>>,
    /// Who announces each of them, in the same order, as far as resources of the speaker say; empty where they say nothing.
    pub(super) reaches: Box<[Reach]>,
    /// Its endpoints, counted.
    pub(super) endpoints: ServiceEndpoints,
    /// It waits in the queue to be evaluated.
    pub(super) queued: bool,
    /// What was said of it.
    pub(super) view: Option<Arc<ServiceView>>,
    /// Groups the verdict was read from.
    pub(super) groups: Vec<NextHopGroupId>,
}

impl ServiceEntry {
    /// Who announces a VIP of it, as far as resources of the speaker say.
    pub(super) fn reach(&self, vip: IpAddr) -> Option<&Reach> {
        let at = self.vips.as_ref()?.binary_search(&vip).ok()?;
        self.reaches.get(at)
    }
}

/// A VIP of a cluster.
#[derive(Debug, Default)]
pub(super) struct VipEntry {
    /// Services that carry it, by slot.
    pub(super) services: Vec<u32>,
    /// What it adds to the counts of nodes.
    pub(super) contribution: Option<Contribution>,
}

/// One enabled cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) id: ClusterId,
    pub(super) name: ClusterName,
    pub(super) config: Arc<ClusterConfig>,
    pub(super) services: Slab<ServiceEntry>,
    pub(super) service_slots: FxHashMap<ServiceKey, u32>,
    pub(super) slices: FxHashMap<SliceKey, ServiceKey>,
    endpoints: FxHashMap<ServiceKey, BTreeMap<Arc<str>, EndpointSlice>>,
    pub(super) nodes: Slab<NodeEntry>,
    pub(super) node_slots: FxHashMap<NodeName, u32>,
    pub(super) by_address: FxHashMap<IpAddr, Vec<u32>>,
    pub(super) by_vtep: FxHashMap<IpAddr, Vec<u32>>,
    pub(super) vips: FxHashMap<IpAddr, VipEntry>,
    pub(super) tally: Tally,
    /// What the speaker's own resources say.
    pub(super) knowledge: Knowledge,
    pub(super) audiences: Audiences,
    /// Nodes, or what selects them, changed: the audiences must be filled again.
    audiences_stale: bool,
    /// What the speaker's resources say changed: who announces each service must be looked up again.
    rules_stale: bool,
    /// Services whose announcers must be looked up.
    unreached: Vec<u32>,
    /// What is a VIP of the cluster by configuration or by the speaker's resources: sorted, none inside another.
    pub(super) pools: Box<[IpNet]>,
    /// Services whose endpoints must be counted again, by slot; or those of all.
    uncounted: Vec<u32>,
    all_uncounted: bool,
    /// Every service must be evaluated again.
    pub(super) all_services: bool,
    /// Nodes whose view must be made again.
    pub(super) stale_nodes: BTreeSet<u32>,
    /// Every node's view must be made again.
    pub(super) all_nodes: bool,
    pub(super) version: Option<Arc<str>>,
    pub(super) caveat: Option<Arc<str>>,
    /// Services with a verdict and their endpoints.
    pub(super) judged: u32,
    pub(super) endpoint_count: u32,
}

impl Cluster {
    pub(super) fn new(id: ClusterId, name: ClusterName, config: Arc<ClusterConfig>) -> Self {
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
            by_address: FxHashMap::default(),
            by_vtep: FxHashMap::default(),
            vips: FxHashMap::default(),
            tally: Tally::default(),
            knowledge: Knowledge::new(config.speaker),
            audiences: Audiences::default(),
            audiences_stale: true,
            rules_stale: false,
            unreached: Vec::new(),
            pools: Box::default(),
            uncounted: Vec::new(),
            all_uncounted: false,
            all_services: true,
            stale_nodes: BTreeSet::new(),
            all_nodes: false,
            version: None,
            caveat: None,
            judged: 0,
            endpoint_count: 0,
        };
        cluster.gather_pools();
        cluster
    }

    /// Takes over another configuration. What the resources of another speaker said is forgotten.
    pub(super) fn reconfigure(&mut self, config: Arc<ClusterConfig>) {
        if config.speaker != self.config.speaker {
            self.knowledge = Knowledge::new(config.speaker);
            self.rules_changed();
        }
        self.config = config;
        self.gather_pools();
    }

    /// The rules of its speaker.
    pub(super) fn profile(&self) -> &'static Profile {
        profile(self.config.speaker)
    }

    /// The VIPs of a service, sorted; none when it is not ours to judge.
    pub(super) fn vips_of(&self, service: &Service) -> Option<Box<[IpAddr]>> {
        let external = self.config.include_external_ips && !service.external_ips.is_empty();
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

    pub(super) fn slices_of(&self, service: &ServiceKey) -> Option<&BTreeMap<Arc<str>, EndpointSlice>> {
        self.endpoints.get(service)
    }

    pub(super) fn node_slot(&self, name: &NodeName) -> Option<u32> {
        self.node_slots.get(name).copied()
    }

    pub(super) fn node_name(&self, slot: u32) -> Option<&NodeName> {
        Some(&self.nodes.get(slot)?.name)
    }

    pub(super) fn at_address(&self, address: IpAddr) -> &[u32] {
        self.by_address.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn at_vtep(&self, address: IpAddr) -> &[u32] {
        self.by_vtep.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes in a slice, or its end; gives the services it touches.
    pub(super) fn set_slice(&mut self, key: &SliceKey, slice: Option<EndpointSlice>) -> Vec<ServiceKey> {
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
            let slices = self.endpoints.entry(service.clone()).or_default();
            if slices.get(&key.name) != Some(&slice) {
                slices.insert(key.name.clone(), slice);
                self.slices.insert(key.clone(), service.clone());
                touched.push(service);
            }
        }
        touched
    }

    /// Nodes moved, came, went or may announce otherwise: everything that looks at nodes must be looked at again.
    pub(super) fn nodes_changed(&mut self) {
        self.audiences_stale = true;
        self.all_services = true;
    }

    /// The endpoints of a service are other ones.
    pub(super) fn count_again(&mut self, slot: u32) {
        self.uncounted.push(slot);
    }

    /// Nodes have other numbers, or endpoints count otherwise.
    pub(super) fn count_all_again(&mut self) {
        self.all_uncounted = true;
    }

    fn count_endpoints(&mut self) {
        let mut slots = std::mem::take(&mut self.uncounted);
        if std::mem::take(&mut self.all_uncounted) {
            slots = self.services.iter().map(|(slot, _)| slot).collect();
        }
        for slot in slots {
            let counted = self.services.get(slot).map(|entry| ServiceEndpoints::of(self, &entry.key));
            if let Some((entry, counted)) = self.services.get_mut(slot).zip(counted) {
                entry.endpoints = counted;
            }
        }
    }

    /// The speaker's resources say something else: who announces what must be worked out again.
    pub(super) fn rules_changed(&mut self) {
        self.rules_stale = true;
        self.nodes_changed();
    }

    /// The VIPs of a service are others, or it is: who announces them must be looked up.
    pub(super) fn service_changed(&mut self, slot: u32) {
        self.unreached.push(slot);
    }

    fn look_up_announcers(&mut self) {
        if std::mem::take(&mut self.rules_stale) {
            self.unreached = self.services.iter().map(|(slot, _)| slot).collect();
        }
        for slot in std::mem::take(&mut self.unreached) {
            let Some(entry) = self.services.get_mut(slot) else { continue };
            let local = profile(self.config.speaker).local(&entry.service);
            let vips = entry.vips.iter().flatten().filter(|_| self.knowledge.has_rules());
            let (knowledge, audiences) = (&self.knowledge, &mut self.audiences);
            let reach = |vip: &IpAddr| knowledge.reach(audiences, &entry.key, &entry.service, *vip, local);
            entry.reaches = vips.map(reach).collect();
            let mut tiers = entry.reaches.iter().flat_map(Reach::tiers);
            self.audiences_stale |= tiers.any(|reach| self.audiences.is_new(reach.audience));
        }
        if std::mem::take(&mut self.audiences_stale) {
            let reaches = self.services.iter().flat_map(|(_, entry)| &entry.reaches).flat_map(Reach::tiers);
            let mut used: BTreeSet<AudienceId> = reaches.map(|reach| reach.audience).collect();
            used.extend(self.tally.audiences());
            self.audiences.keep(&used);
            let eligible: Vec<_> = self.nodes.iter().filter(|(_, node)| node.excluded.is_none()).collect();
            self.stale_nodes.extend(self.audiences.fill(&self.knowledge, &eligible));
        }
    }

    /// Works out once what every service that is evaluated looks at: who announces what, as far as that is the same for many
    /// services, and the endpoints of services, which clusters that share a VIP look at in each other.
    pub(super) fn prepare(&mut self) {
        self.count_endpoints();
        self.look_up_announcers();
    }

    /// The nodes that announce the same VIPs.
    pub(super) fn audience(&self, id: AudienceId) -> Option<&Audience> {
        self.audiences.get(id)
    }

    /// Gathers the pools. Those of the speaker count only where no filter hides services that have their addresses from
    /// them.
    pub(super) fn gather_pools(&mut self) -> bool {
        let filtered = !self.config.namespaces.is_empty() || self.config.label_selector.is_some();
        let told = self.knowledge.pools().filter(|_| !filtered);
        let all: Vec<IpNet> = self.config.vip_pools.iter().copied().chain(told).map(|pool| pool.trunc()).collect();
        let mut pools = IpNet::aggregate(&all);
        pools.sort_unstable();
        let changed = *self.pools != *pools;
        self.pools = pools.into();
        changed
    }

    /// A pool holds the address.
    pub(super) fn pools_hold(&self, address: IpAddr) -> bool {
        let after = self.pools.partition_point(|pool| pool.network() <= address);
        after.checked_sub(1).is_some_and(|at| self.pools[at].contains(&address))
    }

    /// One of the two names the other: both may claim the same VIPs.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        self.config.shared_with.contains(&other.name) || other.config.shared_with.contains(&self.name)
    }
}
