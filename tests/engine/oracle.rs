//! The specification, executed: everything recomputed from a snapshot, each rule once, in the order it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::{AddressFamily, Endpoint, Node, Service, TrafficPolicy};
use srl_k8s_services::model::config::{ClusterConfig, Config, Speaker};
use srl_k8s_services::model::event::SourceId;
use srl_k8s_services::model::memory::{Attachment, Memory};
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use srl_k8s_services::model::switch::{BfdState, FibTrouble, NextHopGroupId, Route, RouteKey, SessionState};
use srl_k8s_services::model::time::{Now, Timestamp};
use srl_k8s_services::model::verdict::{
    AddressSource, AttachmentState, FibStatus, NextHopKind, NodeReason, OperState, Reason, SourceState, Vantage,
};
use srl_k8s_services::model::view::{
    ClusterCounts, ClusterView, NextHopView, NodeView, OrphanView, PeerView, RootView, RouteView, ServiceView,
    SourceView, SummaryView, Verdict, VipView,
};

use crate::said::{State, blind};
use crate::world::{ClusterWorld, World};

/// How long the switch's own tables may be dark before verdicts are unknown.
const DARK: Duration = Duration::from_secs(15);
/// How long the first sync of gNMI is waited for.
const GNMI_WAIT: Duration = Duration::from_secs(30);
/// How long a route may name a group that was not told, while what was said of its VIP before holds.
const GROUP_WAIT: Duration = Duration::from_secs(15);

/// Holds what is said now against a recompute of the world, given what was said before.
#[track_caller]
pub(crate) fn assert_agrees(world: &mut World, now: Now, before: &State, said: &State) {
    let waiting = Oracle { world, now, before }.waited_for();
    world.waiting.retain(|group, _| waiting.contains(group));
    waiting.into_iter().for_each(|group| _ = world.waiting.entry(group).or_insert(now.elapsed));
    let oracle = Oracle { world, now, before };
    let mut due = oracle.state();
    // How VIPs count at nodes is not said anew while the tables it is read from are dark.
    for ((cluster, node), view) in &mut due.nodes {
        if let Some(said) = said.nodes.get(&(cluster.clone(), node.clone())).filter(|_| oracle.uncertain(cluster)) {
            (view.expected_vips, view.installed_vips) = (said.expected_vips, said.installed_vips);
            (view.state, view.reason) = (said.state, said.reason);
        }
    }
    // While a route's next-hops are not known, no route stays no route: what else is looked at anew is not laid down.
    for ((cluster, key), view) in &mut due.services {
        let Some(said) = said.services.get(&(cluster.clone(), key.clone())) else { continue };
        for (vip, said_vip) in view.vips.iter_mut().zip(&said.vips) {
            let elsewhere = [said_vip.verdict.reason, vip.verdict.reason].contains(&Some(Reason::WrongNetworkInstance));
            if elsewhere && oracle.not_told(cluster, vip.address) && said_vip.verdict.state == OperState::Down {
                vip.verdict = said_vip.verdict.clone();
                view.verdict = said.verdict.clone();
            }
        }
    }
    equal(&said.clone().normalised(), &due.normalised());
}

/// Compares table by table, so that a failure shows the entry that differs and not the whole state.
#[track_caller]
fn equal(said: &State, due: &State) {
    fn table<K: Ord + Debug, V: PartialEq + Debug>(said: &BTreeMap<K, V>, due: &BTreeMap<K, V>) {
        for key in said.keys().chain(due.keys()) {
            let (said, due) = (said.get(key), due.get(key));
            assert!(said == due, "{key:?}\nsaid: {said:#?}\n due: {due:#?}");
        }
    }
    table(&said.services, &due.services);
    table(&said.nodes, &due.nodes);
    table(&said.clusters, &due.clusters);
    table(&said.sources, &due.sources);
    table(&said.orphans, &due.orphans);
    assert_eq!(said.summary, due.summary);
    assert_eq!(said.root, due.root);
    assert_eq!(said.memory, due.memory);
}

/// Addresses a node may speak from, best source first, each once.
pub(crate) fn candidates(config: &ClusterConfig, name: &NodeName, node: &Node) -> Vec<(IpAddr, AddressSource)> {
    let configured = config.fabric_addresses.get(name).into_iter().flatten().copied();
    let all = configured
        .map(|address| (address, AddressSource::Configured))
        .chain(node.annotated.iter().map(|address| (*address, AddressSource::Annotation)))
        .chain(node.speaker.iter().map(|address| (*address, AddressSource::Speaker)))
        .chain(node.internal.iter().map(|address| (*address, AddressSource::InternalIp)))
        .chain(node.external.iter().map(|address| (*address, AddressSource::ExternalIp)));
    let mut seen = BTreeSet::new();
    all.filter(|(address, _)| seen.insert(*address)).collect()
}

struct Oracle<'a> {
    world: &'a World,
    now: Now,
    /// What was said before: it holds while a route's next-hops are not known yet.
    before: &'a State,
}

/// A watched cluster.
#[derive(Clone, Copy)]
struct Cluster<'a> {
    name: &'a ClusterName,
    config: &'a Arc<ClusterConfig>,
    world: &'a ClusterWorld,
}

/// A service of ours and one of its VIPs.
#[derive(Clone, Copy)]
struct Subject<'a> {
    cluster: Cluster<'a>,
    key: &'a ServiceKey,
    service: &'a Service,
    vip: IpAddr,
}

/// The route of a VIP.
struct Found {
    prefix: IpNet,
    view: RouteView,
    next_hops: BTreeSet<IpAddr>,
}

/// The next-hops of a route have not been told.
struct NotTold;

/// Where flows sent to a next-hop end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Serves,
    MayServe,
    Lost,
}

static NOTHING: ClusterWorld = ClusterWorld {
    version: None,
    caveat: None,
    services: BTreeMap::new(),
    slices: BTreeMap::new(),
    nodes: BTreeMap::new(),
};

impl<'a> Oracle<'a> {
    fn state(&self) -> State {
        let clusters: Vec<Cluster<'a>> = self.clusters().collect();
        let services: BTreeMap<_, _> = clusters.iter().flat_map(|cluster| self.services(*cluster)).collect();
        let nodes = clusters.iter().flat_map(|cluster| self.nodes(*cluster)).collect();
        State {
            root: self.world.config.as_ref().map(|config| self.root(config)),
            summary: self.world.config.as_ref().map(|_| summary(services.values())),
            sources: self.sources(),
            clusters: self.cluster_views(),
            nodes,
            services,
            orphans: self.orphans(),
            memory: Memory { attachments: self.world.memory.clone() },
        }
    }

    fn clusters(&self) -> impl Iterator<Item = Cluster<'a>> {
        let world = self.world;
        world.watched().map(|(name, config)| Cluster {
            name,
            config,
            world: world.clusters.get(name).unwrap_or(&NOTHING),
        })
    }

    // ---- sources ----

    fn kubernetes_synced(&self, cluster: Cluster<'_>) -> bool {
        self.world.source_of(&SourceId::Kubernetes(cluster.name.clone())).synced_once
    }

    /// Sessions and FIB status are known only while gNMI is heard.
    fn gnmi_heard(&self) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi);
        gnmi.synced_once && gnmi.lost_since.is_none()
    }

    /// Row 1: a source has not finished its first sync; gNMI is waited for 30 s.
    fn syncing(&self, cluster: Cluster<'_>) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi).synced_once || self.now.elapsed >= GNMI_WAIT;
        !(self.world.source_of(&SourceId::Ndk).synced_once && gnmi && self.kubernetes_synced(cluster))
    }

    /// Row 2: the switch's own tables have been out of reach for more than 15 s.
    fn switch_stale(&self) -> bool {
        self.world.source_of(&SourceId::Ndk).lost_since.is_some_and(|since| self.now.elapsed >= since + DARK)
    }

    // ---- nodes ----

    fn candidates(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<(IpAddr, AddressSource)> {
        cluster.world.nodes.get(node).map(|known| candidates(cluster.config, node, known)).unwrap_or_default()
    }

    /// The addresses in use, at most one of a family: a neighbor here wins, then one that was, then one whose host route
    /// EVPN advertises; one that nothing locates counts only where none is located.
    fn in_use(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<(IpAddr, AddressSource, AttachmentState)> {
        let rank = |address: IpAddr| {
            let attachment = Attachment { cluster: cluster.name.clone(), node: node.clone(), address };
            if self.world.neighbor(&cluster.config.network_instance, address).is_some() {
                0
            } else if self.world.memory.contains(&attachment) {
                1
            } else if !self.vteps_of_address(cluster, address).is_empty() {
                2
            } else {
                3
            }
        };
        let best = |v4: bool| {
            let family = self.candidates(cluster, node).into_iter().filter(move |(address, _)| address.is_ipv4() == v4);
            family.min_by_key(|(address, _)| rank(*address))
        };
        let mut best: Vec<_> = [true, false].into_iter().filter_map(best).collect();
        best.sort_by_key(|(address, _)| rank(*address));
        let located = best.iter().any(|(address, _)| rank(*address) < 3);
        best.retain(|(address, _)| !located || rank(*address) < 3);
        let word = |rank| match rank {
            0 | 1 => AttachmentState::Attached,
            2 => AttachmentState::Remote,
            _ => AttachmentState::Unknown,
        };
        best.into_iter().map(|(address, source)| (address, source, word(rank(address)))).collect()
    }

    /// The node's addresses that are BGP neighbors here, or were, the best first.
    fn attached(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<IpAddr> {
        let attached = self.in_use(cluster, node).into_iter();
        attached.filter(|(.., word)| *word == AttachmentState::Attached).map(|(address, ..)| address).collect()
    }

    /// The tunnel next-hops of an address's host route, when EVPN advertises it.
    fn vteps_of_address(&self, cluster: Cluster<'_>, address: IpAddr) -> BTreeSet<IpAddr> {
        let network_instance = &cluster.config.network_instance;
        match self.world.host_route(network_instance, address) {
            Some(route) if self.world.is_evpn(network_instance, address) => {
                self.world.next_hops(route).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    fn vteps(&self, cluster: Cluster<'_>, node: &NodeName) -> BTreeSet<IpAddr> {
        let addresses = self.candidates(cluster, node).into_iter();
        addresses.flat_map(|(address, _)| self.vteps_of_address(cluster, address)).collect()
    }

    /// The VTEPs it is reached through for VIPs of a family: those of its own family's host route, where it has one.
    fn vteps_for(&self, cluster: Cluster<'_>, node: &NodeName, v4: bool) -> BTreeSet<IpAddr> {
        let addresses = self.candidates(cluster, node).into_iter().filter(|(address, _)| address.is_ipv4() == v4);
        let own: BTreeSet<IpAddr> =
            addresses.flat_map(|(address, _)| self.vteps_of_address(cluster, address)).collect();
        if own.is_empty() { self.vteps(cluster, node) } else { own }
    }

    fn located(&self, cluster: Cluster<'_>, node: &NodeName) -> bool {
        !self.attached(cluster, node).is_empty() || !self.vteps(cluster, node).is_empty()
    }

    fn session(&self, cluster: Cluster<'_>, address: IpAddr) -> Option<SessionState> {
        let neighbor = self.world.neighbor(&cluster.config.network_instance, address)?;
        neighbor.session.filter(|_| self.gnmi_heard())
    }

    /// The session with an attached address is known to be down: a neighbor that vanished is.
    fn session_down(&self, cluster: Cluster<'_>, address: IpAddr) -> bool {
        self.gnmi_heard()
            && match self.world.neighbor(&cluster.config.network_instance, address) {
                Some(neighbor) => neighbor.session.is_some_and(|session| session != SessionState::Established),
                None => true,
            }
    }

    /// The attached address whose session carries routes through this address of a node of the cluster: itself, or what
    /// else the node is attached by.
    fn carried_by(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> Option<IpAddr> {
        let mut nodes = cluster.world.nodes.keys().filter(|node| self.is_address_of(cluster, node, next_hop));
        nodes.find_map(|node| {
            let attached = self.attached(cluster, node);
            attached.iter().find(|address| **address == next_hop).or(attached.first()).copied()
        })
    }

    fn next_hop_down(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> bool {
        self.carried_by(cluster, next_hop).is_some_and(|address| self.session_down(cluster, address))
    }

    fn is_address_of(&self, cluster: Cluster<'_>, node: &NodeName, address: IpAddr) -> bool {
        self.candidates(cluster, node).iter().any(|(candidate, _)| *candidate == address)
    }

    /// Nodes of the cluster that an address stands for: it is one of theirs, or their VTEP.
    fn nodes_behind(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> BTreeSet<&'a NodeName> {
        let itself = self.nodes_at(cluster, next_hop);
        if !itself.is_empty() {
            return itself;
        }
        cluster.world.nodes.keys().filter(|node| self.vteps(cluster, node).contains(&next_hop)).collect()
    }

    fn nodes_at(&self, cluster: Cluster<'a>, address: IpAddr) -> BTreeSet<&'a NodeName> {
        cluster.world.nodes.keys().filter(|node| self.is_address_of(cluster, node, address)).collect()
    }

    // ---- services ----

    /// The VIPs of a service that is ours; none for a service that is not.
    fn vips(&self, cluster: Cluster<'_>, service: &Service) -> Option<BTreeSet<IpAddr>> {
        let class = service.class.as_deref();
        let ours = match (&cluster.config.load_balancer_class, cluster.config.speaker) {
            (Some(configured), _) => class == Some(&**configured),
            (None, Speaker::Metallb | Speaker::Generic) => class.is_none(),
            (None, Speaker::Cilium) => class.is_none_or(|class| class == "io.cilium/bgp-control-plane"),
            (None, Speaker::Calico | Speaker::KubeRouter) => true,
        };
        let external = if cluster.config.include_external_ips { &service.external_ips[..] } else { &[] };
        let ingress = if service.load_balancer { &service.ingress[..] } else { &[] };
        let judged = ours && (service.load_balancer || !external.is_empty());
        judged.then(|| ingress.iter().chain(external).copied().collect())
    }

    /// All services of ours with their VIPs.
    fn subjects(&self, cluster: Cluster<'a>) -> impl Iterator<Item = Subject<'a>> {
        cluster.world.services.iter().flat_map(move |(key, service)| {
            let vips = self.vips(cluster, service).unwrap_or_default();
            vips.into_iter().map(move |vip| Subject { cluster, key, service, vip })
        })
    }

    fn policy(&self, cluster: Cluster<'_>, service: &Service) -> TrafficPolicy {
        match cluster.config.speaker {
            Speaker::KubeRouter if service.hints.kube_router_local => TrafficPolicy::Local,
            _ => service.policy,
        }
    }

    /// The endpoints that count for a VIP: of its own family where the service has a slice of that family, else all.
    fn endpoints(&self, subject: Subject<'a>) -> Vec<&'a Endpoint> {
        let family = if subject.vip.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
        let slices = || subject.cluster.world.slices.values().filter(|slice| slice.service == *subject.key);
        let own = slices().any(|slice| slice.family == family);
        let counts = |of: AddressFamily| of != AddressFamily::Fqdn && (!own || of == family);
        slices().filter(|slice| counts(slice.family)).flat_map(|slice| slice.endpoints.iter()).collect()
    }

    fn usable_endpoints(&self, subject: Subject<'a>) -> Vec<&'a Endpoint> {
        let speaker = subject.cluster.config.speaker;
        self.endpoints(subject).into_iter().filter(|endpoint| usable(speaker, endpoint)).collect()
    }

    fn usable_on(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> u32 {
        let here = |endpoint: &&Endpoint| endpoint.node.as_ref().is_some_and(|node| nodes.contains(node));
        distinct(self.usable_endpoints(subject).into_iter().filter(here))
    }

    /// Nodes that should announce the VIP for the sake of this service: the profile of the speaker.
    fn announcers_for(&self, subject: Subject<'a>) -> BTreeSet<&'a NodeName> {
        let Subject { cluster, service, vip, .. } = subject;
        let speaker = cluster.config.speaker;
        let hints = service.hints;
        let load_balancer_ip = !service.external_ips.contains(&vip);
        let hidden = match speaker {
            Speaker::KubeRouter => {
                load_balancer_ip && (hints.kube_router_skip_lb_ips || hints.kube_router_no_advertise)
            }
            Speaker::Cilium => load_balancer_ip && hints.cilium_no_load_balancer,
            Speaker::Metallb | Speaker::Calico | Speaker::Generic => false,
        };
        if hidden {
            return BTreeSet::new();
        }
        let excluded = |node: &Node| match speaker {
            Speaker::Metallb => node.exclude_label.is_some() || node.network_unavailable,
            Speaker::Calico => node.exclude_label.as_deref() == Some("true"),
            Speaker::Cilium | Speaker::KubeRouter | Speaker::Generic => false,
        };
        let counting: Vec<&Endpoint> = match speaker {
            Speaker::KubeRouter => self.endpoints(subject),
            _ => self.usable_endpoints(subject),
        };
        let announces = |name: &NodeName| match (self.policy(cluster, service), speaker) {
            (TrafficPolicy::Local, _) => counting.iter().any(|endpoint| endpoint.node.as_ref() == Some(name)),
            (TrafficPolicy::Cluster, Speaker::Metallb | Speaker::Generic) => !counting.is_empty(),
            (TrafficPolicy::Cluster, Speaker::Cilium | Speaker::Calico | Speaker::KubeRouter) => true,
        };
        let nodes = cluster.world.nodes.iter();
        nodes.filter(|(name, node)| !excluded(node) && announces(name)).map(|(name, _)| name).collect()
    }

    /// The union over the services of the cluster that carry the VIP.
    fn announcers(&self, cluster: Cluster<'a>, vip: IpAddr) -> BTreeSet<&'a NodeName> {
        let carriers = self.subjects(cluster).filter(|subject| subject.vip == vip);
        carriers.flat_map(|subject| self.announcers_for(subject)).collect()
    }

    // ---- next-hops ----

    /// The attached announcers' addresses of the VIP's family; where they are attached by the other family alone, the
    /// address of theirs that the route uses, or the one they are attached by.
    fn expected_local(&self, cluster: Cluster<'a>, vip: IpAddr, installed: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let announcers = self.announcers(cluster, vip);
        let attached = announcers
            .iter()
            .flat_map(|node| self.attached(cluster, node).into_iter().map(move |address| (*node, address)));
        let (own, other): (Vec<_>, Vec<_>) = attached.partition(|(_, address)| address.is_ipv4() == vip.is_ipv4());
        if !own.is_empty() {
            return own.into_iter().map(|(_, address)| address).collect();
        }
        let stands_for = |(node, address): (&NodeName, IpAddr)| {
            let mut candidates = self.candidates(cluster, node).into_iter().map(|(candidate, _)| candidate);
            candidates.find(|candidate| installed.contains(candidate)).unwrap_or(address)
        };
        other.into_iter().map(stands_for).collect()
    }

    /// What the VIP's route should use: the attached announcers' addresses; if there are none, the remote ones' VTEPs,
    /// unless a cluster that shares the VIP has attached announcers, whose routes win here.
    fn expected(&self, cluster: Cluster<'a>, vip: IpAddr, installed: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let local = self.expected_local(cluster, vip, installed);
        let mut sharing = self.neighbors_of(cluster).filter(|other| share(cluster, *other));
        if !local.is_empty() {
            return local;
        }
        if sharing.any(|other| !self.expected_local(other, vip, installed).is_empty()) {
            return BTreeSet::new();
        }
        let announcers = self.announcers(cluster, vip);
        announcers.iter().flat_map(|node| self.vteps_for(cluster, node, vip.is_ipv4())).collect()
    }

    /// Where flows of this service end when they are sent to this next-hop.
    fn flow(&self, subject: Subject<'a>, next_hop: IpAddr) -> Flow {
        let Subject { cluster, vip, .. } = subject;
        let behind = self.nodes_behind(cluster, next_hop);
        if !behind.is_empty() {
            return if self.serves(subject, &behind) { Flow::Serves } else { Flow::Lost };
        }
        if let Some(flow) = self.flow_into_other_cluster(subject, next_hop) {
            return flow;
        }
        let could_be_behind_it = |node: &&NodeName| !self.located(cluster, node);
        let usable = !self.usable_endpoints(subject).is_empty();
        let unlocated = self.announcers(cluster, vip).iter().any(could_be_behind_it);
        if usable && unlocated { Flow::MayServe } else { Flow::Lost }
    }

    /// One of the nodes has a usable endpoint, or the policy is Cluster and there is one anywhere.
    fn serves(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> bool {
        match self.policy(subject.cluster, subject.service) {
            TrafficPolicy::Cluster => !self.usable_endpoints(subject).is_empty(),
            TrafficPolicy::Local => self.usable_on(subject, nodes) > 0,
        }
    }

    /// A node of another cluster explains the next-hop, or its VTEP, when the clusters share the VIP and it serves there.
    /// A VTEP that serves nobody there may well have a node of this cluster behind it.
    fn flow_into_other_cluster(&self, subject: Subject<'a>, next_hop: IpAddr) -> Option<Flow> {
        let mut explained = None;
        for other in self.neighbors_of(subject.cluster) {
            let behind = self.nodes_behind(other, next_hop);
            let mut theirs = self.subjects(other).filter(|theirs| theirs.vip == subject.vip);
            if share(subject.cluster, other) && theirs.any(|theirs| self.serves(theirs, &behind)) && !behind.is_empty()
            {
                return Some(Flow::Serves);
            }
            if !self.nodes_at(other, next_hop).is_empty() {
                explained = Some(Flow::Lost);
            }
        }
        explained
    }

    /// The other clusters in the same network instance.
    fn neighbors_of(&self, cluster: Cluster<'a>) -> impl Iterator<Item = Cluster<'a>> {
        self.clusters().filter(move |other| {
            other.name != cluster.name && other.config.network_instance == cluster.config.network_instance
        })
    }

    // ---- routes ----

    /// The longest match. A default route never counts.
    fn longest(&self, network_instance: &NetworkInstanceName, vip: IpAddr) -> Option<(&'a IpNet, &'a Route)> {
        let covers = |key: &RouteKey| {
            key.network_instance == *network_instance && key.prefix.prefix_len() > 0 && key.prefix.contains(&vip)
        };
        let covering = self.world.routes.iter().filter(|(key, _)| covers(key));
        let (key, route) = covering.max_by_key(|(key, _)| key.prefix.prefix_len())?;
        Some((&key.prefix, route))
    }

    /// The host route, else the longest covering prefix if a next-hop of it serves. While the next-hops are not known,
    /// what was said before holds for a while; then, or if nothing was, it is an error.
    fn find(&self, subject: Subject<'a>) -> Result<Option<Found>, NotTold> {
        let network_instance = &subject.cluster.config.network_instance;
        let Some((prefix, route)) = self.longest(network_instance, subject.vip) else { return Ok(None) };
        let found = match self.world.next_hops(route) {
            Some(next_hops) => {
                let owner = self.world.applications.get(&route.owner).cloned();
                let key = RouteKey { network_instance: network_instance.clone(), prefix: *prefix };
                let fib = self.fib(&key);
                let view = RouteView { owner, preference: route.preference, metric: route.metric, fib };
                Some(Found { prefix: *prefix, view, next_hops })
            }
            None => self.held(subject, route.next_hop_group)?,
        };
        let serves = |next_hop: &IpAddr| self.flow(subject, *next_hop) == Flow::Serves;
        Ok(found.filter(|found| found.prefix == IpNet::from(subject.vip) || found.next_hops.iter().any(serves)))
    }

    fn fib(&self, key: &RouteKey) -> FibStatus {
        match self.world.fib.get(key) {
            _ if !self.gnmi_heard() => FibStatus::Unknown,
            None => FibStatus::Programmed,
            Some(FibTrouble::Pending) => FibStatus::Pending,
            Some(FibTrouble::Failed) => FibStatus::Failed,
        }
    }

    fn held(&self, subject: Subject<'a>, group: NextHopGroupId) -> Result<Option<Found>, NotTold> {
        let service = self.before.services.get(&(subject.cluster.name.clone(), subject.key.clone()));
        let said = service.and_then(|service| service.vips.iter().find(|vip| vip.address == subject.vip));
        let said = said.filter(|said| !blind(&said.verdict)).ok_or(NotTold)?;
        if self.world.waiting.get(&group).is_some_and(|since| self.now.elapsed >= *since + GROUP_WAIT) {
            return Err(NotTold);
        }
        let Some((prefix, view)) = said.prefix.zip(said.route.clone()) else { return Ok(None) };
        let next_hops = said.next_hops.iter().filter(|next_hop| next_hop.installed).map(|next_hop| next_hop.address);
        Ok(Some(Found { prefix, view, next_hops: next_hops.collect() }))
    }

    /// Groups that routes of VIPs name and that have not been told; of those already waited for, also what nodes and
    /// orphans look at.
    fn waited_for(&self) -> BTreeSet<NextHopGroupId> {
        let mut named = BTreeSet::new();
        let mut looked_at = BTreeSet::new();
        for cluster in self.clusters() {
            let network_instance = &cluster.config.network_instance;
            let unjudged =
                matches!(self.blind(cluster), Some((_, Some(Reason::Syncing | Reason::NetworkInstanceMissing))));
            for subject in self.subjects(cluster).filter(|_| !unjudged) {
                named.extend(self.longest(network_instance, subject.vip).map(|(_, route)| route.next_hop_group));
                if !matches!(self.find(subject), Ok(None)) {
                    continue;
                }
                for (prefix, route) in self.elsewhere(subject) {
                    named.extend((*prefix != IpNet::from(subject.vip)).then_some(route.next_hop_group));
                    if self.counts_elsewhere(subject, prefix, route) {
                        break;
                    }
                }
            }
            for node in cluster.world.nodes.keys() {
                let evpn = self.candidates(cluster, node).into_iter().map(|(address, _)| address);
                let evpn = evpn.filter(|address| self.world.is_evpn(network_instance, *address));
                let routes = evpn.filter_map(|address| self.world.host_route(network_instance, address));
                looked_at.extend(routes.map(|route| route.next_hop_group));
            }
        }
        looked_at.extend(self.orphans().keys().map(|key| self.world.routes[key].next_hop_group));
        looked_at.retain(|group| self.world.waiting.contains_key(group));
        named.extend(looked_at);
        named.retain(|group| !self.world.groups.contains_key(group));
        named
    }

    /// The VIP's route stands in another network instance, by the same rules.
    fn stands_elsewhere(&self, subject: Subject<'a>) -> bool {
        self.elsewhere(subject).into_iter().any(|(prefix, route)| self.counts_elsewhere(subject, prefix, route))
    }

    fn counts_elsewhere(&self, subject: Subject<'a>, prefix: &IpNet, route: &Route) -> bool {
        let next_hops = self.world.next_hops(route).unwrap_or_default();
        let mut flows = next_hops.iter().map(|next_hop| self.flow(subject, *next_hop));
        *prefix == IpNet::from(subject.vip) || flows.any(|flow| flow == Flow::Serves)
    }

    /// The longest match of every other network instance.
    fn elsewhere(&self, subject: Subject<'a>) -> Vec<(&'a IpNet, &'a Route)> {
        let own = &subject.cluster.config.network_instance;
        let others: BTreeSet<_> = self.world.routes.keys().map(|key| &key.network_instance).collect();
        others.into_iter().filter(|other| *other != own).filter_map(|other| self.longest(other, subject.vip)).collect()
    }

    /// The VIP has a route, and its next-hops have not been told.
    fn not_told(&self, cluster: &ClusterName, vip: IpAddr) -> bool {
        let cluster = self.clusters().find(|known| known.name == cluster);
        let longest = cluster.and_then(|cluster| self.longest(&cluster.config.network_instance, vip));
        longest.is_some_and(|(_, route)| self.world.next_hops(route).is_none())
    }

    /// What is said of nodes' VIPs cannot be read from the tables now.
    fn uncertain(&self, name: &ClusterName) -> bool {
        let Some(cluster) = self.clusters().find(|cluster| cluster.name == name) else { return false };
        matches!(self.blind(cluster), Some((_, Some(Reason::SwitchStale))))
            || self.subjects(cluster).any(|subject| self.not_told(name, subject.vip))
    }

    // ---- verdicts ----

    /// Rows 1 to 3: what no verdict can be given without.
    fn blind(&self, cluster: Cluster<'_>) -> Option<(OperState, Option<Reason>)> {
        if self.syncing(cluster) {
            Some((OperState::Unknown, Some(Reason::Syncing)))
        } else if self.switch_stale() {
            Some((OperState::Unknown, Some(Reason::SwitchStale)))
        } else if !self.world.network_instances.contains_key(&cluster.config.network_instance) {
            Some((OperState::Unknown, Some(Reason::NetworkInstanceMissing)))
        } else {
            None
        }
    }

    /// The verdict table, first match wins.
    fn judge(&self, subject: Subject<'a>, route: Option<&Found>) -> (OperState, Option<Reason>) {
        use OperState::{Degraded, Down, Unknown, Up};
        let Subject { cluster, vip, .. } = subject;
        // 1, 2, 3
        if let Some(verdict) = self.blind(cluster) {
            return verdict;
        }
        // 4 is the service's own
        // 5
        if self.usable_endpoints(subject).is_empty() {
            return (Down, Some(Reason::NoReadyEndpoint));
        }
        let announcers = self.announcers(cluster, vip);
        let installed = route.map(|route| route.next_hops.clone()).unwrap_or_default();
        let expected = self.expected(cluster, vip, &installed);
        let attached = announcers.iter().any(|node| !self.attached(cluster, node).is_empty());
        let down = |address: &IpAddr| self.next_hop_down(cluster, *address);
        let Some(route) = route else {
            // 6
            if announcers.is_empty() {
                return (Down, Some(Reason::NoAnnouncer));
            }
            // 7
            if self.stands_elsewhere(subject) {
                return (Down, Some(Reason::WrongNetworkInstance));
            }
            // 8
            if attached && expected.iter().all(down) {
                return (Down, Some(Reason::SessionDown));
            }
            // 9
            return (Down, Some(Reason::NoRoute));
        };
        // 10
        if route.view.fib == FibStatus::Failed {
            return (Down, Some(Reason::RouteNotProgrammed));
        }
        // 11
        let flows: Vec<Flow> = route.next_hops.iter().map(|next_hop| self.flow(subject, *next_hop)).collect();
        if flows.iter().all(|flow| *flow == Flow::Lost) {
            return (Down, Some(Reason::NextHopUnexpected));
        }
        // 12
        let claims = |other: Cluster<'a>| self.subjects(other).any(|theirs| theirs.vip == vip);
        if self.neighbors_of(cluster).any(|other| !share(cluster, other) && claims(other)) {
            return (Degraded, Some(Reason::AddressConflict));
        }
        let absent: BTreeSet<IpAddr> = expected.difference(&route.next_hops).copied().collect();
        if !absent.is_empty() {
            // 13
            if absent.iter().any(down) {
                return (Degraded, Some(Reason::SessionDown));
            }
            // 14
            let remote = |next_hop: &IpAddr| self.kind(cluster, *next_hop) != NextHopKind::Local;
            if attached && absent == expected && installed.iter().all(remote) {
                return (Degraded, Some(Reason::LocalPathUnused));
            }
            // 15
            if self.at_limit(cluster, route) {
                return (Degraded, Some(Reason::EcmpLimited));
            }
            // 16
            return (Degraded, Some(Reason::NextHopMissing));
        }
        // 17
        if flows.contains(&Flow::Lost) {
            return (Degraded, Some(Reason::NextHopUnexpected));
        }
        // 18, 19
        if flows.contains(&Flow::MayServe) {
            return match self.policy(cluster, subject.service) {
                TrafficPolicy::Local => (Unknown, Some(Reason::NextHopUnmapped)),
                TrafficPolicy::Cluster => (Up, Some(Reason::NextHopUnmapped)),
            };
        }
        // 20
        if route.prefix != IpNet::from(vip) {
            return (Up, Some(Reason::CoveredByAggregate));
        }
        // 21
        (Up, None)
    }

    fn at_limit(&self, cluster: Cluster<'_>, route: &Found) -> bool {
        cluster.config.ecmp_limit.is_some_and(|limit| route.next_hops.len() == usize::from(limit))
    }

    // ---- views ----

    fn services(&self, cluster: Cluster<'a>) -> BTreeMap<(ClusterName, ServiceKey), ServiceView> {
        let ours = cluster.world.services.iter().filter_map(|(key, service)| {
            let vips = self.vips(cluster, service)?;
            let subjects = vips.into_iter().map(|vip| Subject { cluster, key, service, vip });
            let vips: Vec<VipView> = subjects.map(|subject| self.vip(subject)).collect();
            Some(((cluster.name.clone(), key.clone()), self.service(cluster, key, service, vips)))
        });
        ours.collect()
    }

    fn service(&self, cluster: Cluster<'a>, key: &ServiceKey, service: &Service, vips: Vec<VipView>) -> ServiceView {
        let slices = cluster.world.slices.values().filter(|slice| slice.service == *key);
        let all = slices.clone().flat_map(|slice| slice.endpoints.iter());
        let endpoints =
            slices.filter(|slice| slice.family != AddressFamily::Fqdn).flat_map(|slice| slice.endpoints.iter());
        let own = self.blind(cluster).unwrap_or((OperState::Down, Some(Reason::AddressPending)));
        let worst = vips.iter().map(|vip| (vip.verdict.state, vip.verdict.reason)).max_by(|a, b| {
            // ties: the row that comes first in the table; then the lowest address, which is the same word
            a.0.cmp(&b.0).then_with(|| b.1.map_or(u8::MAX, |r| r as u8).cmp(&a.1.map_or(u8::MAX, |r| r as u8)))
        });
        let (state, reason) = worst.unwrap_or(own);
        ServiceView {
            policy: service.policy,
            usable_endpoints: distinct(endpoints.filter(|endpoint| usable(cluster.config.speaker, endpoint))),
            total_endpoints: distinct(all),
            verdict: self.verdict(cluster, state, reason),
            last_change: Timestamp::UNIX_EPOCH,
            vips: vips.into(),
        }
    }

    /// A verdict says why in a sentence wherever it says why in a word, and that the intent it is judged by is old.
    fn verdict(&self, cluster: Cluster<'_>, state: OperState, reason: Option<Reason>) -> Verdict {
        let source = self.world.source_of(&SourceId::Kubernetes(cluster.name.clone()));
        let stale = source.synced_once && source.lost_since.is_some();
        Verdict { state, reason, detail: (reason.is_some() || stale).then(|| "".into()) }
    }

    fn vip(&self, subject: Subject<'a>) -> VipView {
        let Subject { cluster, vip, .. } = subject;
        let found = self.find(subject);
        let (state, reason) = match (self.blind(cluster), &found) {
            (None, Err(NotTold)) => (OperState::Unknown, Some(Reason::Syncing)),
            (_, found) => self.judge(subject, found.as_ref().unwrap_or(&None).as_ref()),
        };
        let route = found.unwrap_or_default();
        let announcers = self.announcers(cluster, vip);
        let attached = announcers.iter().any(|node| !self.attached(cluster, node).is_empty());
        let installed = route.as_ref().map(|route| route.next_hops.clone()).unwrap_or_default();
        let expected = self.expected(cluster, vip, &installed);
        let limited = route.as_ref().is_some_and(|route| self.at_limit(cluster, route));
        let next_hops = expected
            .union(&installed)
            .map(|next_hop| self.next_hop(subject, *next_hop, expected.contains(next_hop), &installed, limited));
        VipView {
            address: vip,
            network_instance: cluster.config.network_instance.clone(),
            prefix: route.as_ref().map(|route| route.prefix),
            vantage: (!announcers.is_empty()).then_some(if attached { Vantage::Local } else { Vantage::Remote }),
            verdict: self.verdict(cluster, state, reason),
            last_change: Timestamp::UNIX_EPOCH,
            expected: count(expected.len()),
            installed: count(installed.len()),
            next_hops: next_hops.collect(),
            route: route.map(|route| route.view),
        }
    }

    fn next_hop(
        &self,
        subject: Subject<'a>,
        address: IpAddr,
        expected: bool,
        installed: &BTreeSet<IpAddr>,
        limited: bool,
    ) -> NextHopView {
        let cluster = subject.cluster;
        let kind = self.kind(cluster, address);
        let present = installed.contains(&address);
        let flow = self.flow(subject, address);
        let (state, reason) = match (present, flow) {
            (false, _) if self.next_hop_down(cluster, address) => (OperState::Down, Some(Reason::SessionDown)),
            (false, _) if limited => (OperState::Degraded, Some(Reason::EcmpLimited)),
            (false, _) => (OperState::Down, Some(Reason::NextHopMissing)),
            (true, Flow::Lost) => (OperState::Down, Some(Reason::NextHopUnexpected)),
            (true, Flow::MayServe) => match self.policy(cluster, subject.service) {
                TrafficPolicy::Local => (OperState::Unknown, Some(Reason::NextHopUnmapped)),
                TrafficPolicy::Cluster => (OperState::Up, Some(Reason::NextHopUnmapped)),
            },
            (true, Flow::Serves) if expected => (OperState::Up, None),
            (true, Flow::Serves) => (OperState::Up, Some(Reason::NextHopUnexpected)),
        };
        let nodes = self.nodes_behind(cluster, address);
        NextHopView {
            address,
            node: if nodes.len() == 1 { nodes.first().map(|node| NodeName::clone(node)) } else { None },
            kind,
            expected,
            installed: present,
            session: self.carried_by(cluster, address).and_then(|address| self.session(cluster, address)),
            usable_endpoints: (!nodes.is_empty()).then(|| self.usable_on(subject, &nodes)),
            state,
            reason,
        }
    }

    /// A node of this cluster, or of another one here; the VTEP of a node of this cluster; else nobody knows.
    fn kind(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> NextHopKind {
        let theirs = |other: Cluster<'a>| !self.nodes_at(other, next_hop).is_empty();
        if !self.nodes_at(cluster, next_hop).is_empty() {
            NextHopKind::Local
        } else if !self.nodes_behind(cluster, next_hop).is_empty() {
            NextHopKind::Vtep
        } else if self.neighbors_of(cluster).any(theirs) {
            NextHopKind::Local
        } else {
            NextHopKind::Unmapped
        }
    }

    fn nodes(&self, cluster: Cluster<'a>) -> BTreeMap<(ClusterName, NodeName), NodeView> {
        let nodes = cluster.world.nodes.keys();
        nodes.map(|node| ((cluster.name.clone(), node.clone()), self.node(cluster, node))).collect()
    }

    fn node(&self, cluster: Cluster<'a>, node: &NodeName) -> NodeView {
        let blind = self.blind(cluster).is_some();
        let vips: BTreeSet<IpAddr> = self.subjects(cluster).filter(|_| !blind).map(|subject| subject.vip).collect();
        let expected: BTreeSet<IpAddr> =
            vips.into_iter().filter(|vip| self.announcers(cluster, *vip).contains(node)).collect();
        let installed = expected.iter().filter(|vip| self.uses(cluster, **vip, node)).count();
        let attachment = if !self.attached(cluster, node).is_empty() {
            AttachmentState::Attached
        } else if self.located(cluster, node) {
            AttachmentState::Remote
        } else {
            AttachmentState::Unknown
        };
        let (state, reason) = match attachment {
            _ if self.syncing(cluster) => (OperState::Unknown, Some(NodeReason::Syncing)),
            AttachmentState::Remote => (OperState::Up, None),
            AttachmentState::Unknown if installed > 0 => (OperState::Up, None),
            AttachmentState::Unknown => (OperState::Unknown, Some(NodeReason::NodeAddressUnknown)),
            AttachmentState::Attached => self.attached_state(cluster, node, &expected, installed),
        };
        NodeView {
            fabric_addresses: cluster.config.fabric_addresses.get(node).into_iter().flatten().copied().collect(),
            peers: self.peers(cluster, node).into(),
            attachment,
            expected_vips: count(expected.len()),
            installed_vips: count(installed),
            state,
            reason,
        }
    }

    fn attached_state(
        &self,
        cluster: Cluster<'a>,
        node: &NodeName,
        expected: &BTreeSet<IpAddr>,
        installed: usize,
    ) -> (OperState, Option<NodeReason>) {
        let attached = self.attached(cluster, node);
        let down = attached.iter().filter(|address| self.session_down(cluster, **address)).count();
        let established = |address: &IpAddr| self.session(cluster, *address) == Some(SessionState::Established);
        let received_none = |address: &IpAddr| {
            let neighbor = self.world.neighbor(&cluster.config.network_instance, *address);
            neighbor.is_some_and(|neighbor| neighbor.received_routes == Some(0))
        };
        let may_be_hidden = |vip: &IpAddr| self.may_be_hidden(cluster, *vip);
        if down > 0 {
            let all = down == attached.len();
            return (if all { OperState::Down } else { OperState::Degraded }, Some(NodeReason::SessionDown));
        }
        let established = attached.iter().all(established);
        // Certain only where nothing was received at all, or no better path can hide what was.
        let nothing = attached.iter().all(received_none) || !expected.iter().any(may_be_hidden);
        if established && !expected.is_empty() && installed == 0 && nothing {
            return (OperState::Degraded, Some(NodeReason::NoVipReceived));
        }
        (if established || installed > 0 { OperState::Up } else { OperState::Unknown }, None)
    }

    /// The next-hops that carry the VIP for any service: of its host route, or of a covering prefix that leads to nodes.
    fn carrying(&self, cluster: Cluster<'a>, vip: IpAddr) -> Option<(&'a Route, BTreeSet<IpAddr>)> {
        let (prefix, route) = self.longest(&cluster.config.network_instance, vip)?;
        let next_hops = self.world.next_hops(route)?;
        let known = next_hops.iter().any(|next_hop| !self.nodes_behind(cluster, *next_hop).is_empty());
        (*prefix == IpNet::from(vip) || known).then_some((route, next_hops))
    }

    /// The VIP's route uses the node: a next-hop of it is the node, or its VTEP.
    fn uses(&self, cluster: Cluster<'a>, vip: IpAddr, node: &NodeName) -> bool {
        let next_hops = self.carrying(cluster, vip).map(|(_, next_hops)| next_hops).unwrap_or_default();
        let vteps = self.vteps(cluster, node);
        next_hops.iter().any(|next_hop| vteps.contains(next_hop) || self.is_address_of(cluster, node, *next_hop))
    }

    /// A node may give the VIP and not be used: another protocol's route won, or there is no room for more next-hops.
    fn may_be_hidden(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        self.carrying(cluster, vip).is_some_and(|(route, next_hops)| {
            let bgp = self.world.applications.get(&route.owner).is_some_and(|owner| &**owner == "bgp_mgr");
            let full = cluster.config.ecmp_limit.is_some_and(|limit| next_hops.len() >= usize::from(limit));
            !bgp || full
        })
    }

    /// The addresses in use, a row each.
    fn peers(&self, cluster: Cluster<'a>, node: &NodeName) -> Vec<PeerView> {
        let row = |(address, source, attachment)| {
            let neighbor = self.world.neighbor(&cluster.config.network_instance, address);
            PeerView {
                address,
                source,
                attachment,
                session: self.session(cluster, address),
                last_established: neighbor.filter(|_| self.gnmi_heard()).and_then(|n| n.last_established),
                bfd: self.bfd(cluster, address),
            }
        };
        self.in_use(cluster, node).into_iter().map(row).collect()
    }

    fn bfd(&self, cluster: Cluster<'_>, address: IpAddr) -> Option<BfdState> {
        let id = self.world.network_instances.get(&cluster.config.network_instance)?.id;
        let here = self.world.bfd.iter().filter(|(key, _)| key.network_instance == id && key.remote == address);
        here.map(|(_, state)| *state).min()
    }

    fn sources(&self) -> BTreeMap<SourceId, SourceView> {
        let kubernetes = self.world.watched().map(|(name, _)| SourceId::Kubernetes(name.clone()));
        let ids = [SourceId::Ndk, SourceId::Gnmi].into_iter().chain(kubernetes);
        ids.map(|id| {
            let state = self.world.source_of(&id).state;
            let stale_since = (state == SourceState::Stale).then_some(Timestamp::UNIX_EPOCH);
            (id, SourceView { state, stale_since })
        })
        .collect()
    }

    fn cluster_views(&self) -> BTreeMap<ClusterName, ClusterView> {
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
                },
            };
            (name.clone(), view)
        });
        views.collect()
    }

    fn cluster(&self, cluster: Cluster<'a>) -> ClusterView {
        let source = self.world.source_of(&SourceId::Kubernetes(cluster.name.clone()));
        let reached = source.synced_once || cluster.world.version.is_some();
        let ndk = self.world.source_of(&SourceId::Ndk).synced_once;
        let works = self.world.network_instances.contains_key(&cluster.config.network_instance) || !ndk;
        let state = if !reached || !works {
            OperState::Down
        } else if source.lost_since.is_some() {
            OperState::Degraded
        } else {
            OperState::Up
        };
        let plainly = state == OperState::Up && source.synced_once && cluster.world.caveat.is_none();
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
        }
    }

    /// The worst of sources and clusters; down only if none works.
    fn root(&self, config: &Config) -> RootView {
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

    /// Host routes inside a VIP pool that no service claims. Nothing is known to be unclaimed before all have spoken.
    fn orphans(&self) -> BTreeMap<RouteKey, OrphanView> {
        let orphan = |key: &RouteKey| {
            let address = key.prefix.addr();
            let here: Vec<Cluster<'a>> =
                self.clusters().filter(|cluster| cluster.config.network_instance == key.network_instance).collect();
            let claimed = here.iter().any(|cluster| self.subjects(*cluster).any(|subject| subject.vip == address));
            key.prefix == IpNet::from(address)
                && here.iter().any(|cluster| cluster.config.vip_pools.iter().any(|pool| pool.contains(&address)))
                && self.world.source_of(&SourceId::Ndk).synced_once
                && here.iter().all(|cluster| self.kubernetes_synced(*cluster))
                && !claimed
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

/// Whether one of two clusters names the other in shared-with.
fn share(one: Cluster<'_>, other: Cluster<'_>) -> bool {
    one.config.shared_with.contains(other.name) || other.config.shared_with.contains(one.name)
}

fn usable(speaker: Speaker, endpoint: &Endpoint) -> bool {
    match speaker {
        Speaker::Metallb | Speaker::Generic | Speaker::KubeRouter => endpoint.ready || endpoint.serving,
        Speaker::Cilium | Speaker::Calico => endpoint.ready,
    }
}

fn distinct<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) -> u32 {
    count(endpoints.map(|endpoint| &endpoint.identity).collect::<BTreeSet<_>>().len())
}

fn summary<'s>(services: impl Iterator<Item = &'s ServiceView>) -> SummaryView {
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

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a test world is small")
}
