//! The specification, executed: everything recomputed from a snapshot, each rule once, in the order it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::{AddressFamily, Endpoint, Node, Service, TrafficPolicy};
use srl_k8s_services::model::config::{ClusterConfig, Speaker};
use srl_k8s_services::model::event::SourceId;
use srl_k8s_services::model::memory::{Attachment, Memory};
use srl_k8s_services::model::names::{ClusterName, NodeName, ServiceKey};
use srl_k8s_services::model::switch::{FibTrouble, RouteKey, SessionState};
use srl_k8s_services::model::time::{Now, Timestamp};
use srl_k8s_services::model::verdict::{
    AddressSource, AttachmentState, FibStatus, NextHopKind, NodeReason, OperState, Reason, SourceState, Vantage,
};
use srl_k8s_services::model::view::{
    ClusterCounts, ClusterView, NextHopView, NodeView, OrphanView, PeerView, RootView, RouteView, ServiceView,
    SourceView, SummaryView, Verdict, VipView,
};

use crate::said::State;
use crate::world::{ClusterWorld, World};

/// How long the switch's own tables may be dark before verdicts are unknown.
const DARK: Duration = Duration::from_secs(15);
/// How long the first sync of gNMI is waited for.
const GNMI_WAIT: Duration = Duration::from_secs(30);

/// The state that should be published of this world at this moment, in normal form.
pub(crate) fn recompute(world: &World, now: Now) -> State {
    Oracle { world, now }.state().normalised()
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
            root: Some(self.root()),
            summary: Some(summary(services.values())),
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
        self.world.source_of(&SourceId::Gnmi).state == SourceState::Synced
    }

    /// Row 1: a source has not finished its first sync; gNMI is waited for 30 s.
    fn syncing(&self, cluster: Cluster<'_>) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi).synced_once || self.now.elapsed >= GNMI_WAIT;
        !(self.world.source_of(&SourceId::Ndk).synced_once && gnmi && self.kubernetes_synced(cluster))
    }

    /// Row 2: the switch's own tables have been out of reach for more than 15 s.
    fn switch_stale(&self) -> bool {
        self.world.source_of(&SourceId::Ndk).dark_since.is_some_and(|since| self.now.elapsed >= since + DARK)
    }

    // ---- nodes ----

    fn candidates(&self, cluster: Cluster<'_>, node: &NodeName) -> Vec<(IpAddr, AddressSource)> {
        cluster.world.nodes.get(node).map(|known| candidates(cluster.config, node, known)).unwrap_or_default()
    }

    /// The node's addresses that are BGP neighbors here, or were.
    fn attached(&self, cluster: Cluster<'_>, node: &NodeName) -> BTreeSet<IpAddr> {
        let remembered = |address: IpAddr| {
            let attachment = Attachment { cluster: cluster.name.clone(), node: node.clone(), address };
            self.world.memory.contains(&attachment)
        };
        let here = |address| self.world.neighbor(&cluster.config.network_instance, address).is_some();
        let addresses = self.candidates(cluster, node).into_iter().map(|(address, _)| address);
        addresses.filter(|address| here(*address) || remembered(*address)).collect()
    }

    /// The tunnel next-hops of an address's host route, when EVPN advertises it.
    fn vteps_of_address(&self, cluster: Cluster<'_>, address: IpAddr) -> BTreeSet<IpAddr> {
        let network_instance = &cluster.config.network_instance;
        match self.world.host_route(network_instance, address) {
            Some(route) if self.world.is_evpn(network_instance, address) => self.world.next_hops(route),
            _ => BTreeSet::new(),
        }
    }

    fn vteps(&self, cluster: Cluster<'_>, node: &NodeName) -> BTreeSet<IpAddr> {
        let addresses = self.candidates(cluster, node).into_iter();
        addresses.flat_map(|(address, _)| self.vteps_of_address(cluster, address)).collect()
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

    /// Nodes of the cluster that an address stands for: it is one of theirs, or their VTEP.
    fn nodes_behind(&self, cluster: Cluster<'a>, next_hop: IpAddr) -> BTreeSet<&'a NodeName> {
        let is_it = |node: &NodeName| self.candidates(cluster, node).iter().any(|(address, _)| *address == next_hop);
        let itself: BTreeSet<_> = cluster.world.nodes.keys().filter(|node| is_it(node)).collect();
        if !itself.is_empty() {
            return itself;
        }
        cluster.world.nodes.keys().filter(|node| self.vteps(cluster, node).contains(&next_hop)).collect()
    }

    // ---- services ----

    /// The VIPs of a service that is ours; none for a service that is not.
    fn vips(&self, cluster: Cluster<'_>, service: &Service) -> Option<BTreeSet<IpAddr>> {
        let external = if cluster.config.include_external_ips { &service.external_ips[..] } else { &[] };
        if service.load_balancer {
            let class = service.class.as_deref();
            let ours = match (&cluster.config.load_balancer_class, cluster.config.speaker) {
                (Some(configured), _) => class == Some(&**configured),
                (None, Speaker::Metallb | Speaker::Generic) => class.is_none(),
                (None, Speaker::Cilium) => class.is_none_or(|class| class == "io.cilium/bgp-control-plane"),
                (None, Speaker::Calico | Speaker::KubeRouter) => true,
            };
            ours.then(|| service.ingress.iter().chain(external).copied().collect())
        } else {
            let vips: BTreeSet<IpAddr> = external.iter().copied().collect();
            (!vips.is_empty()).then_some(vips)
        }
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
        let load_balancer_ip = service.load_balancer && service.ingress.contains(&vip);
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

    /// The attached addresses through which a node announces VIPs of a family: those of that family, where it has any.
    fn speaking_addresses(&self, cluster: Cluster<'_>, node: &NodeName, vip: IpAddr) -> BTreeSet<IpAddr> {
        let attached = self.attached(cluster, node);
        let same: BTreeSet<IpAddr> = attached.iter().copied().filter(|a| a.is_ipv4() == vip.is_ipv4()).collect();
        if same.is_empty() { attached } else { same }
    }

    // ---- next-hops ----

    /// What the VIP's route should use: the attached announcers' addresses; if there are none, the remote ones' VTEPs.
    fn expected(&self, cluster: Cluster<'a>, vip: IpAddr) -> BTreeSet<IpAddr> {
        let announcers = self.announcers(cluster, vip);
        let local: BTreeSet<IpAddr> =
            announcers.iter().flat_map(|node| self.speaking_addresses(cluster, node, vip)).collect();
        if local.is_empty() { announcers.iter().flat_map(|node| self.vteps(cluster, node)).collect() } else { local }
    }

    /// Where flows of this service end when they are sent to this next-hop.
    fn flow(&self, subject: Subject<'a>, next_hop: IpAddr, installed: &BTreeSet<IpAddr>) -> Flow {
        let Subject { cluster, vip, .. } = subject;
        let behind = self.nodes_behind(cluster, next_hop);
        if !behind.is_empty() {
            return if self.serves(subject, &behind) { Flow::Serves } else { Flow::Lost };
        }
        if let Some(flow) = self.flow_into_other_cluster(subject, next_hop) {
            return flow;
        }
        let could_be_behind_it = |node: &&NodeName| {
            let candidates = self.candidates(cluster, node);
            !self.located(cluster, node) && !candidates.iter().any(|(address, _)| installed.contains(address))
        };
        if self.announcers(cluster, vip).iter().any(could_be_behind_it) { Flow::MayServe } else { Flow::Lost }
    }

    /// One of the nodes has a usable endpoint, or the policy is Cluster and there is one anywhere.
    fn serves(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> bool {
        match self.policy(subject.cluster, subject.service) {
            TrafficPolicy::Cluster => !self.usable_endpoints(subject).is_empty(),
            TrafficPolicy::Local => self.usable_on(subject, nodes) > 0,
        }
    }

    /// A node of another cluster explains the next-hop: it serves when the clusters share the VIP and it serves there.
    fn flow_into_other_cluster(&self, subject: Subject<'a>, next_hop: IpAddr) -> Option<Flow> {
        let mut explained = None;
        for other in self.neighbors_of(subject.cluster) {
            let behind = self.nodes_behind(other, next_hop);
            if behind.is_empty() {
                continue;
            }
            let theirs = self.subjects(other).filter(|theirs| theirs.vip == subject.vip);
            let serves = share(subject.cluster, other) && theirs.into_iter().any(|theirs| self.serves(theirs, &behind));
            if serves {
                return Some(Flow::Serves);
            }
            explained = Some(Flow::Lost);
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

    /// The host route, else the longest covering prefix if a next-hop of it serves. A default route never counts.
    fn find(&self, subject: Subject<'a>) -> Option<Found> {
        let network_instance = &subject.cluster.config.network_instance;
        let covering = |key: &&RouteKey| {
            key.network_instance == *network_instance
                && key.prefix.prefix_len() > 0
                && key.prefix.contains(&subject.vip)
        };
        let longest = self.world.routes.keys().filter(covering).max_by_key(|key| key.prefix.prefix_len())?;
        let route = &self.world.routes[longest];
        let next_hops = self.world.next_hops(route);
        let serves = |next_hop: &IpAddr| self.flow(subject, *next_hop, &next_hops) == Flow::Serves;
        if longest.prefix != IpNet::from(subject.vip) && !next_hops.iter().any(serves) {
            return None;
        }
        let fib = match self.world.fib.get(longest) {
            _ if !self.gnmi_heard() => FibStatus::Unknown,
            None => FibStatus::Programmed,
            Some(FibTrouble::Pending) => FibStatus::Pending,
            Some(FibTrouble::Failed) => FibStatus::Failed,
        };
        let owner = self.world.applications.get(&route.owner).cloned();
        let view = RouteView { owner, preference: route.preference, metric: route.metric, fib };
        Some(Found { prefix: longest.prefix, view, next_hops })
    }

    fn stands_elsewhere(&self, subject: Subject<'_>) -> bool {
        let elsewhere = |key: &RouteKey| {
            key.prefix == IpNet::from(subject.vip) && key.network_instance != subject.cluster.config.network_instance
        };
        self.world.routes.keys().any(elsewhere)
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
        let attached: Vec<BTreeSet<IpAddr>> = announcers
            .iter()
            .map(|node| self.speaking_addresses(cluster, node, vip))
            .filter(|addresses| !addresses.is_empty())
            .collect();
        let down = |address: &IpAddr| self.session_down(cluster, *address);
        let Some(route) = route else {
            // 6
            if self.announcers_for(subject).is_empty() {
                return (Down, Some(Reason::NoAnnouncer));
            }
            // 7
            if self.stands_elsewhere(subject) {
                return (Down, Some(Reason::WrongNetworkInstance));
            }
            // 8
            if !attached.is_empty() && attached.iter().all(|addresses| addresses.iter().all(down)) {
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
        let flows: Vec<Flow> =
            route.next_hops.iter().map(|next_hop| self.flow(subject, *next_hop, &route.next_hops)).collect();
        if flows.iter().all(|flow| *flow == Flow::Lost) {
            return (Down, Some(Reason::NextHopUnexpected));
        }
        // 12
        let claims = |other: Cluster<'a>| self.subjects(other).any(|theirs| theirs.vip == vip);
        if self.neighbors_of(cluster).any(|other| !share(cluster, other) && claims(other)) {
            return (Degraded, Some(Reason::AddressConflict));
        }
        let expected = self.expected(cluster, vip);
        let absent: BTreeSet<IpAddr> = expected.difference(&route.next_hops).copied().collect();
        if !absent.is_empty() {
            // 13
            if !attached.is_empty() && absent.iter().any(down) {
                return (Degraded, Some(Reason::SessionDown));
            }
            // 14
            if !attached.is_empty() && absent == expected {
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
        let endpoints = || {
            let slices = slices.clone().filter(|slice| slice.family != AddressFamily::Fqdn);
            slices.flat_map(|slice| slice.endpoints.iter())
        };
        let own = self.blind(cluster).unwrap_or((OperState::Down, Some(Reason::AddressPending)));
        let worst = vips.iter().map(|vip| (vip.verdict.state, vip.verdict.reason)).max_by(|a, b| {
            // ties: the row that comes first in the table; then the lowest address, which is the same word
            a.0.cmp(&b.0).then_with(|| b.1.map_or(u8::MAX, |r| r as u8).cmp(&a.1.map_or(u8::MAX, |r| r as u8)))
        });
        let (state, reason) = worst.unwrap_or(own);
        ServiceView {
            policy: self.policy(cluster, service),
            usable_endpoints: distinct(endpoints().filter(|endpoint| usable(cluster.config.speaker, endpoint))),
            total_endpoints: distinct(endpoints()),
            verdict: verdict(state, reason),
            last_change: Timestamp::UNIX_EPOCH,
            vips: vips.into(),
        }
    }

    fn vip(&self, subject: Subject<'a>) -> VipView {
        let Subject { cluster, vip, .. } = subject;
        let route = self.find(subject);
        let (state, reason) = self.judge(subject, route.as_ref());
        let announcers = self.announcers(cluster, vip);
        let attached = announcers.iter().any(|node| !self.attached(cluster, node).is_empty());
        let expected = self.expected(cluster, vip);
        let installed = route.as_ref().map(|route| route.next_hops.clone()).unwrap_or_default();
        let limited = route.as_ref().is_some_and(|route| self.at_limit(cluster, route));
        let next_hops = expected
            .union(&installed)
            .map(|next_hop| self.next_hop(subject, *next_hop, expected.contains(next_hop), &installed, limited));
        VipView {
            address: vip,
            network_instance: cluster.config.network_instance.clone(),
            prefix: route.as_ref().map(|route| route.prefix),
            vantage: (!announcers.is_empty()).then_some(if attached { Vantage::Local } else { Vantage::Remote }),
            verdict: verdict(state, reason),
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
        let all = || std::iter::once(cluster).chain(self.neighbors_of(cluster));
        let behind = all().map(|cluster| (cluster, self.nodes_behind(cluster, address))).find(|(_, n)| !n.is_empty());
        let is_candidate = all().any(|cluster| {
            let mut nodes = cluster.world.nodes.keys();
            nodes.any(|node| self.candidates(cluster, node).iter().any(|(candidate, _)| *candidate == address))
        });
        let kind = match &behind {
            None => NextHopKind::Unmapped,
            Some(_) if is_candidate => NextHopKind::Local,
            Some(_) => NextHopKind::Vtep,
        };
        let present = installed.contains(&address);
        let flow = self.flow(subject, address, installed);
        let (state, reason) = match (present, flow) {
            (false, _) if kind == NextHopKind::Local && self.session_down(cluster, address) => {
                (OperState::Down, Some(Reason::SessionDown))
            }
            (false, _) if limited => (OperState::Down, Some(Reason::EcmpLimited)),
            (false, _) => (OperState::Down, Some(Reason::NextHopMissing)),
            (true, Flow::Lost) => (OperState::Down, Some(Reason::NextHopUnexpected)),
            (true, Flow::MayServe) => match self.policy(cluster, subject.service) {
                TrafficPolicy::Local => (OperState::Unknown, Some(Reason::NextHopUnmapped)),
                TrafficPolicy::Cluster => (OperState::Up, Some(Reason::NextHopUnmapped)),
            },
            (true, Flow::Serves) if expected => (OperState::Up, None),
            (true, Flow::Serves) => (OperState::Up, Some(Reason::NextHopUnexpected)),
        };
        let nodes = behind.map(|(_, nodes)| nodes);
        NextHopView {
            address,
            node: nodes.as_ref().filter(|nodes| nodes.len() == 1).and_then(|nodes| nodes.first()).map(|n| (*n).clone()),
            kind,
            expected,
            installed: present,
            session: self.session(cluster, address).filter(|_| kind == NextHopKind::Local),
            usable_endpoints: nodes.map(|nodes| self.usable_on(subject, &nodes)),
            state,
            reason,
        }
    }

    fn nodes(&self, cluster: Cluster<'a>) -> BTreeMap<(ClusterName, NodeName), NodeView> {
        let nodes = cluster.world.nodes.keys();
        nodes.map(|node| ((cluster.name.clone(), node.clone()), self.node(cluster, node))).collect()
    }

    fn node(&self, cluster: Cluster<'a>, node: &NodeName) -> NodeView {
        let attached = self.attached(cluster, node);
        let peers = self.peers(cluster, node, &attached);
        let vips: BTreeSet<IpAddr> = self.subjects(cluster).map(|subject| subject.vip).collect();
        let expected: BTreeSet<IpAddr> =
            vips.into_iter().filter(|vip| self.announcers(cluster, *vip).contains(node)).collect();
        let installed = expected.iter().filter(|vip| self.uses(cluster, **vip, node)).count();
        let attachment = if !attached.is_empty() {
            AttachmentState::Attached
        } else if self.located(cluster, node) {
            AttachmentState::Remote
        } else {
            AttachmentState::Unknown
        };
        let down = attached.iter().filter(|address| self.session_down(cluster, **address)).count();
        let established =
            attached.iter().any(|address| self.session(cluster, *address) == Some(SessionState::Established));
        let (state, reason) = if self.syncing(cluster) {
            (OperState::Unknown, Some(NodeReason::Syncing))
        } else if attachment == AttachmentState::Unknown {
            (OperState::Unknown, Some(NodeReason::NodeAddressUnknown))
        } else if down > 0 {
            let all = down == attached.len();
            (if all { OperState::Down } else { OperState::Degraded }, Some(NodeReason::SessionDown))
        } else if established && !expected.is_empty() && installed == 0 {
            (OperState::Degraded, Some(NodeReason::NoVipReceived))
        } else {
            (OperState::Up, None)
        };
        NodeView {
            fabric_addresses: cluster.config.fabric_addresses.get(node).into_iter().flatten().copied().collect(),
            peers: peers.into(),
            attachment,
            expected_vips: count(expected.len()),
            installed_vips: count(installed),
            state,
            reason,
        }
    }

    /// The VIP's route uses the node: a next-hop of it is the node, or its VTEP.
    fn uses(&self, cluster: Cluster<'a>, vip: IpAddr, node: &NodeName) -> bool {
        let mut carriers = self.subjects(cluster).filter(|subject| subject.vip == vip);
        carriers.any(|subject| {
            let route = self.find(subject);
            route.is_some_and(|route| route.next_hops.iter().any(|nh| self.nodes_behind(cluster, *nh).contains(node)))
        })
    }

    /// The addresses in use, a row each: attached ones, else those EVPN locates, else the best candidate of each family.
    fn peers(&self, cluster: Cluster<'a>, node: &NodeName, attached: &BTreeSet<IpAddr>) -> Vec<PeerView> {
        let candidates = self.candidates(cluster, node);
        let mut peers = Vec::new();
        for v4 in [true, false] {
            let family = || candidates.iter().filter(|(address, _)| address.is_ipv4() == v4);
            let remote = |address: IpAddr| !self.vteps_of_address(cluster, address).is_empty();
            let mut used: Vec<_> = family().filter(|(address, _)| attached.contains(address)).collect();
            if used.is_empty() {
                used = family().filter(|(address, _)| remote(*address)).take(1).collect();
            }
            if used.is_empty() {
                used = family().take(1).collect();
            }
            peers.extend(used.into_iter().map(|(address, source)| {
                let neighbor = self.world.neighbor(&cluster.config.network_instance, *address);
                PeerView {
                    address: *address,
                    source: *source,
                    attachment: if attached.contains(address) {
                        AttachmentState::Attached
                    } else if remote(*address) {
                        AttachmentState::Remote
                    } else {
                        AttachmentState::Unknown
                    },
                    session: self.session(cluster, *address),
                    last_established: neighbor.filter(|_| self.gnmi_heard()).and_then(|n| n.last_established),
                    bfd: self.bfd(cluster, *address),
                }
            }));
        }
        peers
    }

    fn bfd(&self, cluster: Cluster<'_>, address: IpAddr) -> Option<srl_k8s_services::model::switch::BfdState> {
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
        let views = self.world.config.clusters.iter().map(|(name, config)| {
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
        let state = if !reached {
            OperState::Down
        } else if source.state == SourceState::Stale {
            OperState::Degraded
        } else {
            OperState::Up
        };
        let reason = (state != OperState::Up || cluster.world.caveat.is_some()).then(|| "".into());
        let ours: BTreeSet<&ServiceKey> = cluster
            .world
            .services
            .iter()
            .filter(|(_, service)| self.vips(cluster, service).is_some())
            .map(|(key, _)| key)
            .collect();
        let slices = cluster.world.slices.values();
        let endpoints = slices
            .filter(|slice| ours.contains(&slice.service) && slice.family != AddressFamily::Fqdn)
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
    fn root(&self) -> RootView {
        let config = &self.world.config;
        let source = |id: SourceId| match self.world.source_of(&id).state {
            SourceState::Synced => OperState::Up,
            SourceState::Syncing | SourceState::Stale => OperState::Down,
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
                && !here.iter().any(|cluster| self.syncing(*cluster))
                && !claimed
        };
        let routes = self.world.routes.iter().filter(|(key, _)| orphan(key));
        routes
            .map(|(key, route)| {
                let owner = self.world.applications.get(&route.owner).cloned();
                let next_hops = self.world.next_hops(route).into_iter().collect();
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

/// A verdict says why in a sentence wherever it says why in a word.
fn verdict(state: OperState, reason: Option<Reason>) -> Verdict {
    Verdict { state, reason, detail: reason.map(|_| "".into()) }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a test world is small")
}
