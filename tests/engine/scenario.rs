//! A leaf and its clusters, described in an operator's words and sent to the engine one event at a time. After every
//! event, the published state must also equal a full recompute.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::cluster::{
    AddressFamily, Endpoint, EndpointIdentity, EndpointSlice, Node, Service, SliceKey, TrafficPolicy,
};
use srl_k8s_services::model::config::{ClusterConfig, Config, Connection, Rules, Source, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::inquiry::{Inquiry, revise};
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{
    Coverage, FibFault, FibFaultKind, FibKey, IpFamily, Neighbor, NeighborKey, NetworkInstance, NextHopGroup,
    NextHopGroupId, PeerAddress, Route, RouteKey, RouteTable, SessionState,
};
use srl_k8s_services::model::time::{Now, Timestamp};
use srl_k8s_services::model::verdict::{OperState, Reason};
use srl_k8s_services::model::view::{Change, NextHopView, NodeView, ServiceView, VipView};

use crate::oracle::assert_agrees;
use crate::said::State;
use crate::world::World;

/// The cluster of most scenarios, and the network instance of its VIPs.
pub(crate) const C1: &str = "c1";
pub(crate) const VRF: &str = "ip-vrf-1";
/// Application ids of this leaf.
pub(crate) const BGP: u32 = 7;
pub(crate) const BGP_EVPN: u32 = 8;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address in a test")
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix in a test")
}

pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

/// Returns the time that is `elapsed` after the start of the agent.
pub(crate) fn at(elapsed: Duration) -> Now {
    let start = Timestamp::from_second(1_700_000_000).expect("a second in range");
    Now { elapsed, wall: start.checked_add(elapsed).expect("a test is short") }
}

/// Returns the configuration of a cluster with which an operator would begin.
pub(crate) fn cluster_config(speaker: Speaker) -> ClusterConfig {
    ClusterConfig {
        enabled: true,
        source: Source {
            connection: Connection::Kubeconfig {
                path: "/etc/opt/srlinux/k8s-services/kubeconfig".into(),
                context: None,
            },
            network_namespace: None,
            speaker,
            namespaces: Default::default(),
            label_selector: None,
            include_external_ips: false,
            node_address_annotation: None,
            node_labels: false,
        },
        rules: Rules { network_instance: VRF.into(), ..Rules::default() },
    }
}

/// Returns an endpoint on a node; on no node if the name is empty.
pub(crate) fn endpoint(identity: &str, node: &str, ready: bool, serving: bool) -> Endpoint {
    let node = (!node.is_empty()).then(|| node.into());
    Endpoint { identity: EndpointIdentity::of(identity), node, ready, serving }
}

/// The address family a table test runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Returns the n-th VIP.
    pub(crate) fn vip(self, n: u8) -> IpAddr {
        match self {
            Self::V4 => ip(&format!("1.1.1.{n}")),
            Self::V6 => ip(&format!("2001:db8:1::{n}")),
        }
    }

    /// Returns the address from which the n-th node speaks BGP.
    pub(crate) fn node(self, n: u8) -> IpAddr {
        match self {
            Self::V4 => ip(&format!("192.168.1.1{n}")),
            Self::V6 => ip(&format!("2001:db8:0:1::1{n}")),
        }
    }

    /// Returns an address of the n-th node that this leaf does not know.
    pub(crate) fn elsewhere(self, n: u8) -> IpAddr {
        match self {
            Self::V4 => ip(&format!("192.168.49.{n}")),
            Self::V6 => ip(&format!("fd49::{n}")),
        }
    }

    /// Returns a prefix that covers all VIPs.
    pub(crate) fn aggregate(self) -> IpNet {
        match self {
            Self::V4 => net("1.1.1.0/24"),
            Self::V6 => net("2001:db8:1::/64"),
        }
    }

    pub(crate) fn default_route(self) -> IpNet {
        match self {
            Self::V4 => net("0.0.0.0/0"),
            Self::V6 => net("::/0"),
        }
    }
}

/// Returns the tunnel endpoint of the n-th leaf: IPv4 for overlay routes of both families.
pub(crate) fn vtep(leaf: u8) -> IpAddr {
    ip(&format!("10.0.1.{leaf}"))
}

/// Returns a coverage by which every FIB fault of these network instances is known.
pub(crate) fn coverage(instances: &[&str]) -> Coverage {
    let tables = |name: &&str| IpFamily::ALL.map(|family| RouteTable { network_instance: (*name).into(), family });
    Coverage { fib: instances.iter().flat_map(tables).collect() }
}

/// A running engine, and what it has received.
pub(crate) struct Scenario {
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) said: State,
    /// What it asks the switch.
    pub(crate) asked: Inquiry,
    pub(crate) elapsed: Duration,
    pub(crate) config: Config,
    groups: u64,
    /// Whether events are ingested without an evaluation.
    in_burst: bool,
}

impl Scenario {
    /// A leaf that knows one MetalLB cluster, in which everything is synced and nothing exists.
    pub(crate) fn new() -> Self {
        Self::with(cluster_config(Speaker::Metallb))
    }

    /// A leaf like that of [`Scenario::new`], with another cluster configuration.
    pub(crate) fn with(cluster: ClusterConfig) -> Self {
        let mut scenario = Self::unsynced(cluster);
        scenario.source(SourceId::Ndk, SourceEvent::Synced);
        scenario.source(SourceId::Gnmi, SourceEvent::Synced);
        scenario.source(SourceId::Kubernetes(C1.into()), SourceEvent::Synced);
        scenario
    }

    /// Sets that the FIB faults of only these network instances are known.
    pub(crate) fn fib_known(&mut self, instances: &[&str]) -> &mut Self {
        self.event(Event::Coverage(coverage(instances)))
    }

    /// A leaf that is configured and has the tables of a booted switch, while every source is still dumping.
    pub(crate) fn unsynced(cluster: ClusterConfig) -> Self {
        let mut scenario = Self {
            engine: Engine::new(),
            world: World::default(),
            said: State::default(),
            asked: Inquiry::default(),
            elapsed: Duration::ZERO,
            config: Config::default(),
            groups: 0,
            in_burst: false,
        };
        scenario.config.clusters.insert(C1.into(), Arc::new(cluster));
        scenario.event(Event::Configured(Arc::new(scenario.config.clone())));
        scenario.source(SourceId::Ndk, SourceEvent::Syncing);
        scenario.source(SourceId::Gnmi, SourceEvent::Syncing);
        scenario.source(SourceId::Kubernetes(C1.into()), SourceEvent::Syncing);
        scenario.fib_known(&[VRF]);
        for event in Self::tables() {
            scenario.event(event);
        }
        scenario
    }

    /// Returns the network instances and applications of a booted switch.
    pub(crate) fn tables() -> impl Iterator<Item = Event> {
        let instance = |(name, id): (&str, u32)| {
            let value = NetworkInstance { id, oper_up: true };
            SwitchEvent::NetworkInstance(name.into(), Some(value))
        };
        let instances = [("default", 1), (VRF, 2), ("ip-vrf-2", 3)].map(instance);
        let application = |(id, name): (u32, &str)| SwitchEvent::Application(id, Some(name.into()));
        let applications = [(BGP, "bgp_mgr"), (BGP_EVPN, "bgp_evpn_mgr")].map(application);
        instances.into_iter().chain(applications).map(Event::Switch)
    }

    /// Sends one event, with the checks that every event must pass.
    pub(crate) fn event(&mut self, event: Event) -> &mut Self {
        let before = self.said.clone();
        self.tell(event);
        if !self.in_burst {
            assert_agrees(&mut self.world, at(self.elapsed), &before, &self.said);
        }
        self
    }

    /// Sends events that arrive at once and are evaluated together.
    pub(crate) fn at_once(&mut self, told: impl FnOnce(&mut Self)) -> &mut Self {
        self.in_burst = true;
        told(self);
        self.in_burst = false;
        self.event(Event::Tick)
    }

    /// Sends one event without comparing the published state with a recompute.
    pub(crate) fn tell(&mut self, event: Event) {
        let now = at(self.elapsed);
        self.world.ingest(now, &event);
        self.said.restore(&event);
        if self.in_burst {
            return self.engine.ingest(now, event);
        }
        for change in self.engine.apply(now, event) {
            if let Change::Ask(changes) = &change {
                revise(&mut self.asked, changes);
            }
            let text = format!("{change:?}");
            assert!(self.said.take(change), "a change that changes nothing: {text}");
        }
        assert_eq!(self.engine.evaluate(now), [], "a second evaluation has nothing to say");
    }

    /// Lets time pass. The engine is woken when it asked to be, and at the end.
    pub(crate) fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.elapsed + time;
        while let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline > self.elapsed && *deadline < end)
        {
            self.elapsed = deadline;
            self.tell(Event::Tick);
        }
        self.elapsed = end;
        self.event(Event::Tick)
    }

    pub(crate) fn source(&mut self, id: SourceId, event: SourceEvent) -> &mut Self {
        self.event(Event::Source(id, event))
    }

    pub(crate) fn lost(&mut self, id: SourceId) -> &mut Self {
        self.source(id, SourceEvent::Lost("connection refused".into()))
    }

    // ---- what the operator configures ----

    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Config)) -> &mut Self {
        change(&mut self.config);
        self.event(Event::Configured(Arc::new(self.config.clone())))
    }

    pub(crate) fn cluster(&mut self, name: &str, change: impl FnOnce(&mut ClusterConfig)) -> &mut Self {
        self.configure(|config| {
            let name = ClusterName::from(name);
            let old = config.clusters.get(&name).map(|old| ClusterConfig::clone(old));
            let mut cluster = old.unwrap_or_else(|| cluster_config(Speaker::Metallb));
            change(&mut cluster);
            config.clusters.insert(name, Arc::new(cluster));
        })
    }

    // ---- what the switch says ----

    pub(crate) fn network_instance(&mut self, name: &str, id: Option<u32>) -> &mut Self {
        let value = id.map(|id| NetworkInstance { id, oper_up: true });
        self.event(Event::Switch(SwitchEvent::NetworkInstance(name.into(), value)))
    }

    pub(crate) fn route_of(
        &mut self,
        network_instance: &str,
        prefix: IpNet,
        owner: u32,
        next_hops: &[IpAddr],
    ) -> &mut Self {
        self.groups += 1;
        let group = NextHopGroupId(self.groups);
        let mut next_hops = next_hops.to_vec();
        next_hops.sort_unstable();
        let preference = if owner == BGP { 169 } else { 170 };
        let route = Route { owner, preference, metric: 0, next_hop_group: group };
        let value = NextHopGroup { next_hops: next_hops.into() };
        self.event(Event::Switch(SwitchEvent::NextHopGroups(vec![(group, Some(value))])));
        self.event(Event::Switch(SwitchEvent::Routes(network_instance.into(), vec![(prefix, Some(route))])))
    }

    /// Lets the leaf's BGP install a route to the VIP.
    pub(crate) fn bgp(&mut self, vip: IpAddr, next_hops: &[IpAddr]) -> &mut Self {
        self.route_of(VRF, vip.into(), BGP, next_hops)
    }

    /// Lets EVPN install a host route through other leaves, to a VIP or to a node.
    pub(crate) fn evpn(&mut self, address: IpAddr, vteps: &[IpAddr]) -> &mut Self {
        self.route_of(VRF, address.into(), BGP_EVPN, vteps)
    }

    pub(crate) fn withdraw(&mut self, prefix: impl Into<IpNet>) -> &mut Self {
        self.event(Event::Switch(SwitchEvent::Routes(VRF.into(), vec![(prefix.into(), None)])))
    }

    pub(crate) fn session(&mut self, address: IpAddr, session: SessionState) -> &mut Self {
        self.neighbor(address, Some(session), None)
    }

    pub(crate) fn up(&mut self, address: IpAddr) -> &mut Self {
        self.session(address, SessionState::Established)
    }

    pub(crate) fn neighbor(
        &mut self,
        address: IpAddr,
        session: Option<SessionState>,
        received_routes: Option<u32>,
    ) -> &mut Self {
        self.set_neighbor(address, Neighbor { session, last_established: None, dynamic: true, received_routes })
    }

    pub(crate) fn set_neighbor(&mut self, address: IpAddr, neighbor: Neighbor) -> &mut Self {
        self.event(Event::Neighbors(Update::Set(neighbor_key(VRF, address), neighbor)))
    }

    /// Removes a neighbor from state.
    pub(crate) fn vanish(&mut self, address: IpAddr) -> &mut Self {
        self.event(Event::Neighbors(Update::Gone(neighbor_key(VRF, address))))
    }

    /// Sets or ends a fault of BGP's route.
    pub(crate) fn fib(&mut self, prefix: impl Into<IpNet>, kind: Option<FibFaultKind>) -> &mut Self {
        self.fib_of("bgp_mgr", prefix, kind)
    }

    /// Sets or ends a fault of an owner's route.
    pub(crate) fn fib_of(&mut self, owner: &str, prefix: impl Into<IpNet>, kind: Option<FibFaultKind>) -> &mut Self {
        let route = RouteKey { network_instance: VRF.into(), prefix: prefix.into() };
        let key = FibKey { route, owner: owner.into() };
        let since = at(self.elapsed).wall;
        self.event(Event::Fib(match kind {
            Some(kind) => Update::Set(key, FibFault { kind, since }),
            None => Update::Gone(key),
        }))
    }

    // ---- what the cluster says ----

    pub(crate) fn kubernetes(&mut self, cluster: &str, event: ClusterEvent) -> &mut Self {
        self.event(Event::Cluster(cluster.into(), event))
    }

    pub(crate) fn node_in(&mut self, cluster: &str, name: &str, node: Node) -> &mut Self {
        self.kubernetes(cluster, ClusterEvent::Nodes(Update::Set(name.into(), node)))
    }

    /// Adds a node with these InternalIPs.
    pub(crate) fn node(&mut self, name: &str, addresses: &[IpAddr]) -> &mut Self {
        self.node_in(C1, name, Node { internal: addresses.into(), ..Node::default() })
    }

    /// Adds a node that is attached to this leaf with its session up.
    pub(crate) fn attached(&mut self, name: &str, address: IpAddr) -> &mut Self {
        self.node(name, &[address]).up(address)
    }

    /// Adds a node behind another leaf, with a known host route.
    pub(crate) fn remote(&mut self, name: &str, address: IpAddr, leaf: u8) -> &mut Self {
        self.node(name, &[address]).evpn(address, &[vtep(leaf)])
    }

    pub(crate) fn service_in(&mut self, cluster: &str, name: &str, service: Service) -> &mut Self {
        self.kubernetes(cluster, ClusterEvent::Services(Update::Set(key(name), service)))
    }

    pub(crate) fn service(&mut self, name: &str, policy: TrafficPolicy, vips: &[IpAddr]) -> &mut Self {
        self.service_in(C1, name, load_balancer(policy, vips))
    }

    pub(crate) fn slice(
        &mut self,
        cluster: &str,
        name: &str,
        family: AddressFamily,
        endpoints: &[Endpoint],
    ) -> &mut Self {
        let slice = SliceKey { namespace: "default".into(), name: format!("{name}-{family:?}").into() };
        let value = EndpointSlice { service: key(name), family, endpoints: endpoints.into() };
        self.kubernetes(cluster, ClusterEvent::EndpointSlices(Update::Set(slice, value)))
    }

    /// Sets ready endpoints of the service, one on each of these nodes.
    pub(crate) fn ready(&mut self, name: &str, nodes: &[&str]) -> &mut Self {
        let endpoints: Vec<Endpoint> =
            nodes.iter().enumerate().map(|(n, node)| endpoint(&format!("{name}-{n}"), node, true, true)).collect();
        self.slice(C1, name, AddressFamily::Ipv4, &endpoints)
    }

    // ---- what the operator reads ----

    pub(crate) fn service_view(&self, name: &str) -> &ServiceView {
        self.service_view_in(C1, name)
    }

    pub(crate) fn service_view_in(&self, cluster: &str, name: &str) -> &ServiceView {
        let service = self.said.services.get(&(cluster.into(), key(name)));
        service.unwrap_or_else(|| panic!("no state of service {name}"))
    }

    pub(crate) fn vip_view(&self, name: &str, vip: IpAddr) -> &VipView {
        let view = self.service_view(name).vips.iter().find(|view| view.address == vip);
        view.unwrap_or_else(|| panic!("no state of VIP {vip}"))
    }

    pub(crate) fn next_hop(&self, name: &str, vip: IpAddr, next_hop: IpAddr) -> &NextHopView {
        let view = self.vip_view(name, vip).next_hops.iter().find(|view| view.address == next_hop);
        view.unwrap_or_else(|| panic!("no state of next-hop {next_hop}"))
    }

    pub(crate) fn node_view(&self, name: &str) -> &NodeView {
        let view = self.said.nodes.get(&(C1.into(), NodeName::from(name)));
        view.unwrap_or_else(|| panic!("no state of node {name}"))
    }

    /// Returns the nodes of the next-hops that are expected for a VIP of `web`.
    pub(crate) fn expected(&self, vip: IpAddr) -> Vec<&str> {
        let hops = self.vip_view("web", vip).next_hops.iter().filter(|hop| hop.expected);
        hops.filter_map(|hop| hop.node.as_ref().map(NodeName::as_str)).collect()
    }

    /// Asserts the VIP's state and reason, and what its detail must name for an operator to act.
    #[track_caller]
    pub(crate) fn expect(&self, vip: IpAddr, state: OperState, reason: Option<Reason>, names: &[&dyn Display]) {
        let service = self.service_view("web");
        let view = self.vip_view("web", vip);
        assert_eq!((view.verdict.state, view.verdict.reason), (state, reason), "{view:#?}");
        assert!(view.verdict.detail.is_some() || reason.is_none(), "a reason without a sentence: {view:#?}");
        let detail = view.verdict.detail.as_deref().unwrap_or_default();
        for name in names.iter().map(|name| name.to_string()) {
            assert!(detail.contains(&name), "the detail does not name {name}: {detail}");
        }
        if service.vips.len() == 1 {
            assert_eq!(service.verdict, view.verdict, "a service is its worst VIP");
        }
    }

    /// Asserts a next-hop's state and reason.
    #[track_caller]
    pub(crate) fn expect_next_hop(&self, vip: IpAddr, next_hop: IpAddr, state: OperState, reason: Option<Reason>) {
        let view = self.next_hop("web", vip, next_hop);
        assert_eq!((view.state, view.reason), (state, reason), "{view:#?}");
    }
}

pub(crate) fn load_balancer(policy: TrafficPolicy, vips: &[IpAddr]) -> Service {
    let mut ingress = vips.to_vec();
    ingress.sort_unstable();
    Service { load_balancer: true, policy, ingress: ingress.into(), ..Service::default() }
}

pub(crate) fn neighbor_key(network_instance: &str, address: IpAddr) -> NeighborKey {
    let peer = PeerAddress { ip: address, interface: None };
    NeighborKey { network_instance: NetworkInstanceName::from(network_instance), peer }
}
