//! One enabled cluster: what its API told, and what the engine derived from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::endpoints::ServiceEndpoints;
use super::ids::ClusterId;
use super::node_sets::{NodeSet, NodeSetId, NodeSets, VipAnnouncement};
use super::nodes::NodeEntry;
use super::slab::Slab;
use super::tally::{Contribution, Counted, Figures, VipCounts};
use crate::engine::speakers::{self, Profile, SpeakerResources, Subject, profile};
use crate::model::cluster::{EndpointSlice, Service, SliceKey};
use crate::model::config::ClusterConfig;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::NextHopGroupId;
use crate::model::view::ServiceView;

/// A service of a cluster.
#[derive(Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) key: ServiceKey,
    pub(crate) service: Service,
    /// Its VIPs, sorted; none when the service is not ours to judge.
    pub(crate) vips: Option<Box<[IpAddr]>>,
    /// Who announces each of them, in the same order, as far as resources of the speaker say; empty where they say nothing.
    pub(crate) announcements: Box<[VipAnnouncement]>,
    /// Its endpoints, counted.
    pub(crate) endpoints: ServiceEndpoints,
    /// It waits in the queue to be evaluated.
    pub(crate) queued: bool,
    /// What was said of it.
    pub(crate) view: Option<Arc<ServiceView>>,
    /// Groups the verdict was read from.
    pub(crate) groups: Vec<NextHopGroupId>,
}

impl ServiceEntry {
    /// Who announces a VIP of it, as far as resources of the speaker say.
    pub(crate) fn announcement(&self, vip: IpAddr) -> Option<&VipAnnouncement> {
        let at = self.vips.as_ref()?.binary_search(&vip).ok()?;
        self.announcements.get(at)
    }
}

/// A VIP of a cluster.
#[derive(Debug, Default)]
pub(crate) struct VipEntry {
    /// Services that carry it, by slot.
    pub(crate) services: Vec<u32>,
    /// What it adds to the counts of nodes.
    pub(crate) contribution: Option<Contribution>,
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
    endpoints: FxHashMap<ServiceKey, BTreeMap<Arc<str>, EndpointSlice>>,
    pub(crate) nodes: Slab<NodeEntry>,
    pub(crate) node_slots: FxHashMap<NodeName, u32>,
    pub(crate) by_address: FxHashMap<IpAddr, Vec<u32>>,
    pub(crate) by_vtep: FxHashMap<IpAddr, Vec<u32>>,
    pub(crate) vips: FxHashMap<IpAddr, VipEntry>,
    pub(crate) tally: VipCounts,
    /// What the speaker's own resources say.
    pub(crate) resources: SpeakerResources,
    pub(crate) node_sets: NodeSets,
    /// Nodes, or what selects them, changed: the node_sets must be filled again.
    node_sets_stale: bool,
    /// What the speaker's resources say changed: who announces each service must be looked up again.
    rules_stale: bool,
    /// Services whose announcers must be looked up.
    unreached: Vec<u32>,
    /// What is a VIP of the cluster by configuration or by the speaker's resources: sorted, none inside another.
    pub(crate) pools: Box<[IpNet]>,
    /// Services whose endpoints must be counted again, by slot; or those of all.
    uncounted: Vec<u32>,
    all_uncounted: bool,
    /// Every service must be evaluated again.
    pub(crate) all_services: bool,
    /// Nodes whose view must be made again.
    pub(crate) stale_nodes: BTreeSet<u32>,
    /// Every node's view must be made again.
    pub(crate) all_nodes: bool,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) caveat: Option<Arc<str>>,
    /// Services with a verdict and their endpoints.
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
            by_address: FxHashMap::default(),
            by_vtep: FxHashMap::default(),
            vips: FxHashMap::default(),
            tally: VipCounts::default(),
            resources: SpeakerResources::new(config.source.speaker),
            node_sets: NodeSets::default(),
            node_sets_stale: true,
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
    pub(crate) fn reconfigure(&mut self, config: Arc<ClusterConfig>) {
        if config.source.speaker != self.config.source.speaker {
            self.resources = SpeakerResources::new(config.source.speaker);
            self.rules_changed();
        }
        self.config = config;
        self.gather_pools();
    }

    /// The rules of its speaker.
    pub(crate) fn profile(&self) -> &'static Profile {
        profile(self.config.source.speaker)
    }

    /// The VIPs of a service, sorted; none when it is not ours to judge.
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

    pub(crate) fn node_slot(&self, name: &NodeName) -> Option<u32> {
        self.node_slots.get(name).copied()
    }

    pub(crate) fn node_name(&self, slot: u32) -> Option<&NodeName> {
        Some(&self.nodes.get(slot)?.name)
    }

    pub(crate) fn at_address(&self, address: IpAddr) -> &[u32] {
        self.by_address.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn at_vtep(&self, address: IpAddr) -> &[u32] {
        self.by_vtep.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Takes in a slice, or its end; gives the services it touches.
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
    pub(crate) fn nodes_changed(&mut self) {
        self.node_sets_stale = true;
        self.all_services = true;
    }

    /// The endpoints of a service are other ones.
    pub(crate) fn count_again(&mut self, slot: u32) {
        self.uncounted.push(slot);
    }

    /// Nodes have other numbers, or endpoints count otherwise.
    pub(crate) fn count_all_again(&mut self) {
        self.all_uncounted = true;
    }

    fn count_endpoints(&mut self) {
        let mut slots = std::mem::take(&mut self.uncounted);
        if std::mem::take(&mut self.all_uncounted) {
            slots = self.services.iter().map(|(slot, _)| slot).collect();
        }
        for slot in slots {
            let counted = self
                .services
                .get(slot)
                .map(|entry| ServiceEndpoints::of(self.endpoints.get(&entry.key), self.profile(), &self.node_slots));
            if let Some((entry, counted)) = self.services.get_mut(slot).zip(counted) {
                entry.endpoints = counted;
            }
        }
    }

    /// The speaker's resources say something else: who announces what must be worked out again.
    pub(crate) fn rules_changed(&mut self) {
        self.rules_stale = true;
        self.nodes_changed();
    }

    /// The VIPs of a service are others, or it is: who announces them must be looked up.
    pub(crate) fn service_changed(&mut self, slot: u32) {
        self.unreached.push(slot);
    }

    fn look_up_announcers(&mut self) {
        if std::mem::take(&mut self.rules_stale) {
            self.unreached = self.services.iter().map(|(slot, _)| slot).collect();
        }
        for slot in std::mem::take(&mut self.unreached) {
            let Some(entry) = self.services.get_mut(slot) else { continue };
            let local = profile(self.config.source.speaker).local(&entry.service);
            let vips = entry.vips.iter().flatten().filter(|_| self.resources.has_rules());
            let (resources, node_sets) = (&self.resources, &mut self.node_sets);
            let announcement = |vip: &IpAddr| {
                let subject = Subject { key: &entry.key, service: &entry.service, vip: *vip, local };
                VipAnnouncement::of(speakers::rule(resources, subject), node_sets)
            };
            entry.announcements = vips.map(announcement).collect();
            let mut tiers = entry.announcements.iter().flat_map(VipAnnouncement::with_fallbacks);
            self.node_sets_stale |= tiers.any(|announcement| self.node_sets.is_new(announcement.node_set));
        }
        if std::mem::take(&mut self.node_sets_stale) {
            let announcements = self
                .services
                .iter()
                .flat_map(|(_, entry)| &entry.announcements)
                .flat_map(VipAnnouncement::with_fallbacks);
            let mut used: BTreeSet<NodeSetId> = announcements.map(|announcement| announcement.node_set).collect();
            used.extend(self.tally.node_sets());
            self.node_sets.keep(&used);
            let eligible: Vec<_> = self.nodes.iter().filter(|(_, node)| node.excluded.is_none()).collect();
            self.stale_nodes.extend(self.node_sets.fill(&self.resources, &eligible));
        }
    }

    /// Works out once what every service that is evaluated looks at: who announces what, as far as that is the same for many
    /// services, and the endpoints of services, which clusters that share a VIP look at in each other.
    pub(crate) fn prepare(&mut self) {
        self.count_endpoints();
        self.look_up_announcers();
    }

    /// The nodes that announce the same VIPs.
    pub(crate) fn node_set(&self, id: NodeSetId) -> Option<&NodeSet> {
        self.node_sets.get(id)
    }

    /// Gathers the pools. Those of the speaker count only where no filter hides services that have their addresses from
    /// them.
    pub(crate) fn gather_pools(&mut self) -> bool {
        let filtered = !self.config.source.namespaces.is_empty() || self.config.source.label_selector.is_some();
        let told = self.resources.pools().filter(|_| !filtered);
        let all: Vec<IpNet> =
            self.config.rules.vip_pools.iter().copied().chain(told).map(|pool| pool.trunc()).collect();
        let mut pools = IpNet::aggregate(&all);
        pools.sort_unstable();
        let changed = *self.pools != *pools;
        self.pools = pools.into();
        changed
    }

    /// A pool holds the address.
    pub(crate) fn pools_hold(&self, address: IpAddr) -> bool {
        let after = self.pools.partition_point(|pool| pool.network() <= address);
        after.checked_sub(1).is_some_and(|at| self.pools[at].contains(&address))
    }

    /// One of the two names the other: both may claim the same VIPs.
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        self.config.rules.shared_with.contains(&other.name) || other.config.rules.shared_with.contains(&self.name)
    }

    /// The figures of a node.
    pub(crate) fn figures(&self, slot: u32, node: &NodeEntry) -> Figures {
        let mut figures = Figures { expected: node.expected, installed: node.installed, hidden: node.hidden };
        let member = |id: NodeSetId| self.node_set(id).is_some_and(|node_set| node_set.contains(slot));
        self.tally.add_to(&mut figures, node, member);
        figures
    }

    /// Replaces what a VIP adds to the counts, and marks the nodes whose figures change.
    pub(crate) fn contribute(&mut self, vip: IpAddr, new: Option<Contribution>) {
        let Some(entry) = self.vips.get_mut(&vip) else { return };
        if entry.contribution == new {
            return;
        }
        let old = std::mem::replace(&mut entry.contribution, new.clone());
        self.count(old.as_ref(), false);
        self.count(new.as_ref(), true);
        self.mark_counted(old.as_ref(), new.as_ref());
    }

    fn count(&mut self, contribution: Option<&Contribution>, add: bool) {
        let Some(contribution) = contribution else { return };
        let step = |figure: &mut u32, counts: bool| match (counts, add) {
            (false, _) => {}
            (true, true) => *figure += 1,
            (true, false) => *figure -= 1,
        };
        match &contribution.announcers {
            Counted::NodeSet(id) => {
                self.tally.count(*id, Arc::clone(&contribution.installed), contribution.may_hide, add);
            }
            Counted::Nodes(nodes) => {
                for (slot, used) in nodes {
                    if let Some(node) = self.nodes.get_mut(*slot) {
                        step(&mut node.expected, true);
                        step(&mut node.installed, *used);
                        step(&mut node.hidden, contribution.may_hide);
                    }
                }
            }
        }
    }

    fn mark_counted(&mut self, old: Option<&Contribution>, new: Option<&Contribution>) {
        let node_set = |c: Option<&Contribution>| match c?.announcers {
            Counted::NodeSet(id) => Some(id),
            Counted::Nodes(_) => None,
        };
        for contribution in old.into_iter().chain(new) {
            if let Counted::Nodes(nodes) = &contribution.announcers {
                self.stale_nodes.extend(nodes.iter().map(|(slot, _)| *slot));
            }
        }
        let hides = |c: Option<&Contribution>| c.is_some_and(|c| c.may_hide);
        if node_set(old) != node_set(new) || (node_set(new).is_some() && hides(old) != hides(new)) {
            for node_set in [old, new].into_iter().filter_map(node_set).filter_map(|id| self.node_sets.get(id)) {
                self.stale_nodes.extend(&node_set.members);
            }
        } else if node_set(new).is_some() {
            let hops = |c: Option<&Contribution>| c.map(|c| Arc::clone(&c.installed)).unwrap_or_default();
            let (before, after) = (hops(old), hops(new));
            let lost = before.iter().filter(|hop| !after.contains(hop));
            for hop in lost.chain(after.iter().filter(|hop| !before.contains(hop))) {
                for index in [&self.by_address, &self.by_vtep] {
                    self.stale_nodes.extend(index.get(hop).into_iter().flatten());
                }
            }
        }
    }

    /// A node is gone: nothing counts for it any more, its number may be given to another.
    pub(crate) fn uncount_node(&mut self, slot: u32) {
        for contribution in self.vips.values_mut().filter_map(|entry| entry.contribution.as_mut()) {
            if let Counted::Nodes(nodes) = &mut contribution.announcers {
                *nodes = nodes.iter().filter(|(counted, _)| *counted != slot).copied().collect();
            }
        }
    }
}
