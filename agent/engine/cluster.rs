//! One enabled cluster: what its API told, and what the engine derived from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::endpoints::ServiceEndpoints;
use super::ids::ClusterId;
use super::nodes::{Expectation, NodeEntry};
use super::slab::Slab;
use super::speakers::{Profile, profile};
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
    /// Its endpoints, counted.
    pub(super) endpoints: ServiceEndpoints,
    /// It waits in the queue to be evaluated.
    pub(super) queued: bool,
    /// What was said of it.
    pub(super) view: Option<Arc<ServiceView>>,
    /// Groups the verdict was read from.
    pub(super) groups: Vec<NextHopGroupId>,
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
    /// What is expected where every eligible node announces, for v4 and v6; none when it must be worked out again.
    everyone: Option<[Arc<Expectation>; 2]>,
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
        Self {
            id,
            name,
            config,
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
            everyone: None,
            uncounted: Vec::new(),
            all_uncounted: false,
            all_services: true,
            stale_nodes: BTreeSet::new(),
            all_nodes: false,
            version: None,
            caveat: None,
            judged: 0,
            endpoint_count: 0,
        }
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
        self.everyone = None;
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

    /// Works out once what every service that is evaluated looks at: what every eligible node makes expected, and the
    /// endpoints of services, which clusters that share a VIP look at in each other.
    pub(super) fn prepare(&mut self) {
        self.count_endpoints();
        if self.everyone.is_none() {
            let of = |v4| Arc::new(Expectation::of(self.eligible(), v4));
            self.everyone = Some([of(true), of(false)]);
        }
    }

    /// What is expected of a VIP that every eligible node announces.
    pub(super) fn everyone(&self, v4: bool) -> Arc<Expectation> {
        let [four, six] = self.everyone.as_ref().expect("prepared before services are evaluated");
        Arc::clone(if v4 { four } else { six })
    }

    /// Nodes that may announce.
    pub(super) fn eligible(&self) -> impl Iterator<Item = (u32, &NodeEntry)> {
        self.nodes.iter().filter(|(_, node)| node.excluded.is_none())
    }

    /// One of the two names the other: both may claim the same VIPs.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        self.config.shared_with.contains(&other.name) || other.config.shared_with.contains(&self.name)
    }
}
