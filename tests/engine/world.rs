//! The contents of events as plain tables: a readable snapshot, without indexes and without history, except where the
//! specification itself has a history: for sources and remembered attachments.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::{EndpointSlice, Node, Service, SliceKey};
use srl_k8s_services::model::config::{ClusterConfig, Config};
use srl_k8s_services::model::event::{ClusterEvent, Crowded, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::inquiry::{AddressKey, Answer, Finding, Place, Question};
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use srl_k8s_services::model::persistent::Attachment;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};
use srl_k8s_services::model::switch::{
    BfdKey, BfdState, Coverage, FibFault, FibKey, Neighbor, NeighborKey, NetworkInstance, NextHopGroup, NextHopGroupId,
    Route, RouteKey,
};
use srl_k8s_services::model::time::{Now, Timestamp};
use srl_k8s_services::model::verdict::{Announcement, SourceState};

/// The owner of routes that EVPN advertises.
pub(crate) const EVPN: &str = "bgp_evpn_mgr";

/// What is known about a source.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) state: SourceState,
    /// Whether its first dump has ended.
    pub(crate) synced_once: bool,
    /// Since when it is unavailable, if it is not synced again.
    pub(crate) lost_since: Option<Duration>,
    /// Since when it is resynchronizing.
    pub(crate) anew_since: Option<Duration>,
    /// Time when it was last heard.
    pub(crate) heard: Option<Duration>,
}

impl Source {
    /// Records that the source was heard. A lost source counts as heard again only once it is synced.
    fn hear(&mut self, now: Now) {
        if self.lost_since.is_none() {
            self.heard = Some(now.elapsed);
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self { state: SourceState::Syncing, synced_once: false, lost_since: None, anew_since: None, heard: None }
    }
}

/// What a cluster has sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterWorld {
    pub(crate) version: Option<Arc<str>>,
    /// Whether it has answered since it was last lost.
    pub(crate) answers: bool,
    pub(crate) caveat: Option<Arc<str>>,
    /// Namespaces of which not everything is read.
    pub(crate) crowded: BTreeMap<Crowded, BTreeSet<Arc<str>>>,
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) slices: BTreeMap<SliceKey, EndpointSlice>,
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    pub(crate) speaker: SpeakerWorld,
}

/// What the resources of a speaker contain.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpeakerWorld {
    pub(crate) states: BTreeMap<SpeakerResource, ResourceState>,
    /// Resources that were watched and have not been absent or forbidden since.
    pub(crate) known: BTreeSet<SpeakerResource>,
    pub(crate) objects: BTreeMap<SpeakerResource, BTreeMap<ObjectKey, SpeakerObject>>,
    pub(crate) statuses: BTreeMap<SpeakerResource, BTreeMap<StatusKey, ()>>,
}

/// An entry of the switch's tables that a dump has repeated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    NetworkInstance(NetworkInstanceName),
    Route(RouteKey),
    Group(NextHopGroupId),
    Application(u32),
    Bfd(BfdKey),
}

/// History of a VIP's next-hops.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    pub(crate) now: BTreeSet<IpAddr>,
    pub(crate) since: Duration,
    pub(crate) at_hearing: BTreeSet<IpAddr>,
}

/// The ARP and ND entries of an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// Whether there is an entry now.
    pub(crate) answers: bool,
    /// Every MAC address it was found to have, with the time when it was first found.
    pub(crate) macs: Vec<(Timestamp, String)>,
    /// Time when it was last looked at.
    pub(crate) seen: Timestamp,
}

impl Resolved {
    pub(crate) fn mac(&self) -> Option<&str> {
        self.macs.last().map(|(_, mac)| &**mac)
    }

    fn look(&mut self, at: Timestamp, place: &Place) {
        (self.answers, self.seen) = (place.answers, at);
        let Some(mac) = place.link_layer_address.as_ref().map(|mac| mac.to_lowercase()) else { return };
        if self.mac() != Some(&*mac) {
            self.macs.push((at, mac));
        }
    }
}

/// Everything that events have contained.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) config: Option<Config>,
    pub(crate) memory: BTreeSet<Attachment>,
    /// How VIPs were last announced.
    pub(crate) announced: BTreeMap<(ClusterName, IpAddr), Announcement>,
    /// The next-hops of VIPs that depend on where pods are: now, and when their cluster was last heard.
    pub(crate) courses: BTreeMap<(ClusterName, IpAddr), Course>,
    /// Addresses of nodes that have been next-hops of VIPs.
    pub(crate) carriers: BTreeSet<Attachment>,
    pub(crate) sources: BTreeMap<SourceId, Source>,
    pub(crate) network_instances: BTreeMap<NetworkInstanceName, NetworkInstance>,
    pub(crate) routes: BTreeMap<RouteKey, Route>,
    pub(crate) groups: BTreeMap<NextHopGroupId, NextHopGroup>,
    pub(crate) applications: BTreeMap<u32, Arc<str>>,
    pub(crate) bfd: BTreeMap<BfdKey, BfdState>,
    pub(crate) neighbors: BTreeMap<NeighborKey, Neighbor>,
    pub(crate) fib: BTreeMap<FibKey, FibFault>,
    pub(crate) coverage: Coverage,
    pub(crate) clusters: BTreeMap<ClusterName, ClusterWorld>,
    /// Addresses of nodes that answered ARP or ND when gNMI was last heard, or at any time since.
    pub(crate) answered: BTreeSet<Attachment>,
    /// What ARP and ND were found to contain for addresses.
    pub(crate) resolved: BTreeMap<AddressKey, Resolved>,
    /// Next-hop groups that are named by routes of VIPs but have not been received, with the time since when they are
    /// awaited.
    pub(crate) waiting: BTreeMap<NextHopGroupId, Duration>,
    /// Entries that the NDK has repeated, while it dumps its tables.
    told: Option<BTreeSet<Told>>,
}

impl World {
    /// Returns whether the network instance exists on the switch and is up.
    pub(crate) fn forwards(&self, name: &NetworkInstanceName) -> bool {
        self.network_instances.get(name).is_some_and(|instance| instance.oper_up)
    }

    /// Applies an event.
    pub(crate) fn ingest(&mut self, now: Now, event: &Event) {
        match event {
            Event::Restored(memory) => self.memory = memory.attachments.clone(),
            Event::Configured(config) => self.configure(config),
            Event::Source(id, event) => self.source(now, id, event),
            Event::Switch(event) => self.switch(event),
            Event::Neighbors(update) => update_table(&mut self.neighbors, update),
            Event::Fib(update) => update_table(&mut self.fib, update),
            Event::Coverage(coverage) => self.coverage = coverage.clone(),
            Event::Finding(Question::Place(key), Finding { at, answer: Answer::Place(place) }) => {
                self.resolved.entry(key.clone()).or_default().look(*at, place);
            }
            Event::ActiveRoutes(_) | Event::Finding(..) => {}
            Event::Cluster(name, event) => self.cluster(now, name, event),
            Event::Tick => {}
        }
        self.remember();
        let gnmi = self.source_of(&SourceId::Gnmi);
        let answering = self.answering();
        if gnmi.synced_once && gnmi.lost_since.is_none() {
            self.answered = answering;
        } else {
            self.answered.extend(answering);
        }
    }

    /// Returns the addresses of nodes that have a host route of ARP or ND.
    fn answering(&self) -> BTreeSet<Attachment> {
        let mut answering = BTreeSet::new();
        for (name, config) in self.watched() {
            let Some(cluster) = self.clusters.get(name) else { continue };
            for (node, known) in &cluster.nodes {
                for (address, _) in super::oracle::nodes::candidates(config, &cluster.speaker, node, known) {
                    let route = self.host_route(&config.rules.network_instance, address);
                    if route.and_then(|route| self.owner(route)) == Some("arp_nd_mgr") {
                        answering.insert(Attachment { cluster: name.clone(), node: node.clone(), address });
                    }
                }
            }
        }
        answering
    }

    /// Returns the watched clusters: those configured, unless they or the root are disabled.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (&ClusterName, &Arc<ClusterConfig>)> {
        let enabled = self.config.iter().filter(|config| config.enabled);
        enabled.flat_map(|config| config.clusters.iter()).filter(|(_, cluster)| cluster.enabled)
    }

    /// Returns a source, or one that was never heard.
    pub(crate) fn source_of(&self, id: &SourceId) -> Source {
        self.sources.get(id).cloned().unwrap_or_default()
    }

    fn configure(&mut self, config: &Config) {
        let old = self.config.replace(config.clone()).unwrap_or_default();
        let watched: BTreeSet<ClusterName> = self.watched().map(|(name, _)| name.clone()).collect();
        self.clusters.retain(|name, _| watched.contains(name));
        self.sources.retain(|id, _| match id {
            SourceId::Kubernetes(name) => watched.contains(name),
            SourceId::Ndk | SourceId::Gnmi => true,
        });
        // A node was attached in the network instance that its cluster had at the time.
        let stays = |name: &ClusterName| match (old.clusters.get(name), config.clusters.get(name)) {
            (Some(old), Some(new)) => old.rules.network_instance == new.rules.network_instance,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        self.memory.retain(|attachment| stays(&attachment.cluster));
        for seen in [&mut self.carriers, &mut self.answered] {
            seen.retain(|seen| stays(&seen.cluster) && watched.contains(&seen.cluster));
        }
        self.announced.retain(|(cluster, _), _| stays(cluster));
        self.courses.retain(|(cluster, _), _| stays(cluster));
        for (name, cluster) in &mut self.clusters {
            let speaker = |config: &Config| config.clusters.get(name).map(|cluster| cluster.source.speaker);
            if speaker(&old) != speaker(config) {
                cluster.speaker = SpeakerWorld::default();
            }
        }
    }

    fn source(&mut self, now: Now, id: &SourceId, event: &SourceEvent) {
        if let SourceId::Kubernetes(name) = id
            && !self.watched().any(|(watched, _)| watched == name)
        {
            return;
        }
        let source = self.sources.entry(id.clone()).or_default();
        match event {
            SourceEvent::Syncing => {
                source.state = SourceState::Syncing;
                source.anew_since = Some(now.elapsed);
            }
            SourceEvent::Synced => {
                let state = SourceState::Synced;
                *source = Source { state, synced_once: true, lost_since: None, anew_since: None, ..source.clone() };
            }
            SourceEvent::Lost(_) => {
                source.state = SourceState::Stale;
                source.anew_since = None;
                source.lost_since.get_or_insert(now.elapsed);
            }
            SourceEvent::Alive | SourceEvent::Malformed => {}
        }
        source.hear(now);
        match (id, event) {
            (SourceId::Ndk, SourceEvent::Syncing) => self.told = Some(BTreeSet::new()),
            (SourceId::Ndk, SourceEvent::Synced) => self.end_of_dump(),
            (SourceId::Kubernetes(name), SourceEvent::Synced | SourceEvent::Lost(_)) => {
                if let Some(cluster) = self.clusters.get_mut(name) {
                    cluster.answers = *event == SourceEvent::Synced;
                }
            }
            _ => {}
        }
    }

    fn end_of_dump(&mut self) {
        let Some(told) = self.told.take() else { return };
        self.network_instances.retain(|name, _| told.contains(&Told::NetworkInstance(name.clone())));
        self.routes.retain(|key, _| told.contains(&Told::Route(key.clone())));
        self.groups.retain(|id, _| told.contains(&Told::Group(*id)));
        self.applications.retain(|id, _| told.contains(&Told::Application(*id)));
        self.bfd.retain(|key, _| told.contains(&Told::Bfd(key.clone())));
    }

    fn switch(&mut self, event: &SwitchEvent) {
        match event {
            SwitchEvent::NetworkInstance(name, value) => {
                self.tell(Told::NetworkInstance(name.clone()));
                set(&mut self.network_instances, name, value.as_ref());
                if value.is_none() {
                    self.routes.retain(|key, _| key.network_instance != *name);
                }
            }
            SwitchEvent::Routes(network_instance, routes) => {
                for (prefix, route) in routes {
                    let key = RouteKey { network_instance: network_instance.clone(), prefix: *prefix };
                    self.tell(Told::Route(key.clone()));
                    set(&mut self.routes, &key, route.as_ref());
                }
            }
            SwitchEvent::NextHopGroups(groups) => {
                for (id, group) in groups {
                    self.tell(Told::Group(*id));
                    self.waiting.remove(id);
                    let plain = group.as_ref().map(|group| {
                        let next_hops: BTreeSet<IpAddr> = group.next_hops.iter().map(IpAddr::to_canonical).collect();
                        NextHopGroup { next_hops: next_hops.into_iter().collect() }
                    });
                    set(&mut self.groups, id, plain.as_ref());
                }
            }
            SwitchEvent::Application(id, name) => {
                self.tell(Told::Application(*id));
                set(&mut self.applications, id, name.as_ref());
            }
            SwitchEvent::Bfd(key, state) => {
                self.tell(Told::Bfd(key.clone()));
                set(&mut self.bfd, key, state.as_ref());
            }
            SwitchEvent::Pace(_) => {}
        }
    }

    fn tell(&mut self, entry: Told) {
        if let Some(told) = &mut self.told {
            told.insert(entry);
        }
    }

    fn cluster(&mut self, now: Now, name: &ClusterName, event: &ClusterEvent) {
        if !self.watched().any(|(watched, _)| watched == name) {
            return;
        }
        self.sources.entry(SourceId::Kubernetes(name.clone())).or_default().hear(now);
        let speaker = self.watched().find(|(watched, _)| *watched == name).map(|(_, config)| config.source.speaker);
        let another = |resource: SpeakerResource| speaker != Some(resource.speaker());
        let cluster = self.clusters.entry(name.clone()).or_default();
        match event {
            // From the resources of another speaker than the configured one.
            ClusterEvent::SpeakerResource(resource, _)
            | ClusterEvent::SpeakerObjects(resource, _)
            | ClusterEvent::Announcements(resource, _)
                if another(*resource) => {}
            ClusterEvent::Connected { version, caveat } => {
                cluster.version = Some(version.clone());
                cluster.answers = true;
                cluster.caveat = caveat.clone();
            }
            ClusterEvent::Services(update) => update_table(&mut cluster.services, update),
            ClusterEvent::EndpointSlices(update) => update_table(&mut cluster.slices, update),
            ClusterEvent::Crowded(kind, namespaces) => _ = cluster.crowded.insert(*kind, namespaces.clone()),
            ClusterEvent::SpeakerResource(resource, state) => {
                match state {
                    ResourceState::Watched => _ = cluster.speaker.known.insert(*resource),
                    ResourceState::Failed(_) if !resource.is_status() => {}
                    _ => {
                        cluster.speaker.known.remove(resource);
                        cluster.speaker.objects.remove(resource);
                        cluster.speaker.statuses.remove(resource);
                    }
                }
                cluster.speaker.states.insert(*resource, state.clone());
            }
            ClusterEvent::SpeakerObjects(resource, update) => {
                update_table(cluster.speaker.objects.entry(*resource).or_default(), update);
            }
            ClusterEvent::Announcements(resource, update) => {
                update_table(cluster.speaker.statuses.entry(*resource).or_default(), update);
            }
            ClusterEvent::Nodes(update) => {
                update_table(&mut cluster.nodes, update);
                match update {
                    Update::All(_) => self.forget_absent_nodes(name),
                    Update::Gone(node) => {
                        for known in [&mut self.memory, &mut self.carriers, &mut self.answered] {
                            known.retain(|known| known.cluster != *name || known.node != *node);
                        }
                    }
                    Update::Set(..) => {}
                }
            }
        }
    }

    /// Forgets the attachments of deleted nodes.
    fn forget_absent_nodes(&mut self, name: &ClusterName) {
        let nodes = self.clusters.get(name).map(|cluster| cluster.nodes.clone()).unwrap_or_default();
        for known in [&mut self.memory, &mut self.carriers, &mut self.answered] {
            known.retain(|known| known.cluster != *name || nodes.contains_key(&known.node));
        }
    }

    /// Remembers the attachments of dynamic neighbors. Forgets those of nodes that have a static neighbor or moved to
    /// EVPN.
    fn remember(&mut self) {
        let mut memory = self.memory.clone();
        for (name, config) in self.watched() {
            let Some(cluster) = self.clusters.get(name) else { continue };
            for (node, known) in &cluster.nodes {
                for (address, _) in super::oracle::nodes::candidates(config, &cluster.speaker, node, known) {
                    let attachment = Attachment { cluster: name.clone(), node: node.clone(), address };
                    if let Some(neighbor) = self.neighbor(&config.rules.network_instance, address) {
                        match neighbor.dynamic {
                            true => memory.insert(attachment),
                            false => memory.remove(&attachment),
                        };
                    } else if self.is_evpn(&config.rules.network_instance, address) {
                        memory.remove(&attachment);
                    }
                }
            }
        }
        self.memory = memory;
    }

    /// Returns the BGP neighbor with this address.
    pub(crate) fn neighbor(&self, network_instance: &NetworkInstanceName, address: IpAddr) -> Option<&Neighbor> {
        let here = |key: &NeighborKey| key.network_instance == *network_instance && key.peer.ip == address;
        self.neighbors.iter().find(|(key, _)| here(key)).map(|(_, neighbor)| neighbor)
    }

    /// Returns the owner of a route if its application is known.
    pub(crate) fn owner(&self, route: &Route) -> Option<&str> {
        self.applications.get(&route.owner).map(|owner| &**owner)
    }

    /// Returns the host route of an address.
    pub(crate) fn host_route(&self, network_instance: &NetworkInstanceName, address: IpAddr) -> Option<&Route> {
        self.routes.get(&RouteKey { network_instance: network_instance.clone(), prefix: IpNet::from(address) })
    }

    /// Returns whether the host route of the address is from EVPN.
    pub(crate) fn is_evpn(&self, network_instance: &NetworkInstanceName, address: IpAddr) -> bool {
        let owner = self.host_route(network_instance, address).and_then(|route| self.applications.get(&route.owner));
        owner.is_some_and(|owner| &**owner == EVPN)
    }

    /// Returns the next-hops of a route; `None` while its group is unknown.
    pub(crate) fn next_hops(&self, route: &Route) -> Option<BTreeSet<IpAddr>> {
        let group = self.groups.get(&route.next_hop_group)?;
        Some(group.next_hops.iter().copied().collect())
    }
}

fn update_table<K: Ord + Clone, V: Clone>(table: &mut BTreeMap<K, V>, update: &Update<K, V>) {
    match update {
        Update::All(entries) => *table = entries.iter().cloned().collect(),
        Update::Set(key, value) => set(table, key, Some(value)),
        Update::Gone(key) => set(table, key, None),
    }
}

fn set<K: Ord + Clone, V: Clone>(table: &mut BTreeMap<K, V>, key: &K, value: Option<&V>) {
    match value {
        Some(value) => table.insert(key.clone(), value.clone()),
        None => table.remove(key),
    };
}
