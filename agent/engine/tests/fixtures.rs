//! A leaf and a cluster in a few chained words, and a mirror of what the engine said.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::engine::Engine;
use crate::model::cluster::{AddressFamily, Endpoint, EndpointSlice, Node, Service, SliceKey, TrafficPolicy};
use crate::model::config::{ClusterConfig, Config, Connection, Rules, Source, Speaker};
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId, SwitchEvent, Update};
use crate::model::inquiry::Inquiry;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::persistent::PersistentState;
use crate::model::switch::{
    Coverage, FibFault, FibFaultKind, FibKey, IpFamily, Neighbor, NeighborKey, NetworkInstance, NextHopGroup,
    NextHopGroupId, PeerAddress, Route, RouteKey, RouteTable, SessionState,
};
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::{OperState, Reason};
use crate::model::view::{Change, ClusterView, NodeView, OrphanView, RootView, ServiceView, SummaryView, VipView};

pub(super) const EVPN: u32 = 7;
pub(super) const BGP: u32 = 8;
pub(super) const ARP: u32 = 9;

/// A leaf, its cluster `c1` in `ip-vrf-1`, and what the engine said of them.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) engine: Engine,
    pub(super) v4: bool,
    pub(super) elapsed: Duration,
    pub(super) config: Config,
    pub(super) next_group: u64,
    pub(super) said: Mirror,
    pub(super) last: Vec<Change>,
}

/// What was said, replayed.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) root: Option<RootView>,
    pub(super) summary: SummaryView,
    pub(super) services: BTreeMap<(ClusterName, ServiceKey), Arc<ServiceView>>,
    pub(super) nodes: BTreeMap<(ClusterName, NodeName), Arc<NodeView>>,
    pub(super) clusters: BTreeMap<ClusterName, ClusterView>,
    pub(super) orphans: BTreeMap<RouteKey, OrphanView>,
    pub(super) memory: PersistentState,
    pub(super) asked: Arc<Inquiry>,
}

pub(super) fn cluster_config(instance: &str) -> ClusterConfig {
    ClusterConfig {
        enabled: true,
        source: Source {
            connection: Connection::Kubeconfig { path: PathBuf::from("/etc/kubeconfig"), context: None },
            network_namespace: None,
            speaker: Speaker::Metallb,
            namespaces: Default::default(),
            label_selector: None,
            include_external_ips: false,
            node_address_annotation: None,
            node_labels: false,
        },
        rules: Rules { network_instance: instance.into(), ..Rules::default() },
    }
}

impl Lab {
    /// Everything is synced, nothing is there but the network instance and `nodes` nodes without sessions.
    pub(super) fn new(v4: bool, nodes: u8) -> Self {
        let mut lab = Self::unsynced(v4).ndk_synced().gnmi_synced().cluster_synced();
        for node in 1..=nodes {
            lab = lab.node(node);
        }
        lab
    }

    /// Nothing but the configuration is there.
    pub(super) fn unsynced(v4: bool) -> Self {
        let mut config = Config::default();
        config.clusters.insert("c1".into(), Arc::new(cluster_config("ip-vrf-1")));
        let said = Mirror::default();
        let engine = Engine::new();
        let lab = Self { engine, v4, elapsed: Duration::ZERO, config, next_group: 100, said, last: Vec::new() };
        lab.configured()
    }

    pub(super) fn now(&self) -> Now {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a timestamp");
        let short = |time: Duration| jiff::SignedDuration::try_from(time).expect("short");
        Now { elapsed: self.elapsed, wall: start + short(self.elapsed) }
    }

    pub(super) fn tell(mut self, event: Event) -> Self {
        let now = self.now();
        self.last = self.engine.apply(now, event);
        assert!(self.engine.evaluate(now).is_empty(), "a second evaluation without news says nothing");
        for change in self.last.clone() {
            self.said.replay(change);
        }
        self
    }

    pub(super) fn configured(self) -> Self {
        let config = Arc::new(self.config.clone());
        self.tell(Event::Configured(config))
    }

    /// Changes the configuration of a cluster.
    pub(super) fn with(mut self, cluster: &str, change: impl FnOnce(&mut ClusterConfig)) -> Self {
        let entry = self.config.clusters.entry(cluster.into()).or_insert_with(|| Arc::new(cluster_config("ip-vrf-1")));
        change(Arc::make_mut(entry));
        self.configured()
    }

    pub(super) fn source(self, id: SourceId, event: SourceEvent) -> Self {
        self.tell(Event::Source(id, event))
    }

    pub(super) fn ndk_synced(self) -> Self {
        self.ndk_tables().source(SourceId::Ndk, SourceEvent::Synced)
    }

    /// The network instance and the applications.
    pub(super) fn ndk_tables(self) -> Self {
        let up = Some(NetworkInstance { id: 3, oper_up: true });
        let mut lab = self.tell(Event::Switch(SwitchEvent::NetworkInstance("ip-vrf-1".into(), up)));
        for (id, name) in [(EVPN, "bgp_evpn_mgr"), (BGP, "bgp_mgr"), (ARP, "arp_nd_mgr")] {
            lab = lab.tell(Event::Switch(SwitchEvent::Application(id, Some(name.into()))));
        }
        lab
    }

    pub(super) fn gnmi_synced(self) -> Self {
        self.fib_known(&["ip-vrf-1", "ip-vrf-2"]).source(SourceId::Gnmi, SourceEvent::Synced)
    }

    pub(super) fn cluster_synced(self) -> Self {
        self.source(SourceId::Kubernetes("c1".into()), SourceEvent::Synced)
    }

    // Addresses, by family.

    pub(super) fn address(&self, v4: &str, v6: &str) -> IpAddr {
        if self.v4 { v4 } else { v6 }.parse().expect("an address")
    }

    pub(super) fn vip_address(&self) -> IpAddr {
        self.address("1.1.1.100", "2001:db8:1::100")
    }

    pub(super) fn node_address(&self, node: u8) -> IpAddr {
        self.address(&format!("192.168.1.1{node}"), &format!("2001:db8:168::1{node}"))
    }

    pub(super) fn vtep(&self, leaf: u8) -> IpAddr {
        format!("10.0.1.{leaf}").parse().expect("an address")
    }

    pub(super) fn covering(&self) -> IpNet {
        if self.v4 { "1.1.1.0/24" } else { "2001:db8:1::/64" }.parse().expect("a prefix")
    }

    // The cluster.

    pub(super) fn node(self, node: u8) -> Self {
        let internal = Box::from([self.node_address(node)]);
        self.node_as(node, Node { internal, ..Node::default() })
    }

    pub(super) fn node_as(self, node: u8, value: Node) -> Self {
        self.told("c1", ClusterEvent::Nodes(Update::Set(node_name(node), value)))
    }

    pub(super) fn told(self, cluster: &str, event: ClusterEvent) -> Self {
        self.tell(Event::Cluster(cluster.into(), event))
    }

    /// The service `default/web` with the VIP, by a policy.
    pub(super) fn service(self, policy: TrafficPolicy) -> Self {
        let ingress = Box::from([self.vip_address()]);
        self.service_as("c1", "web", Service { load_balancer: true, policy, ingress, ..Service::default() })
    }

    pub(super) fn service_as(self, cluster: &str, name: &str, service: Service) -> Self {
        self.told(cluster, ClusterEvent::Services(Update::Set(ServiceKey::new("default", name), service)))
    }

    /// Ready endpoints of `default/web`, one on each of these nodes (0: names none).
    pub(super) fn endpoints(self, nodes: &[u8]) -> Self {
        self.endpoints_as("c1", "web", nodes, true)
    }

    pub(super) fn endpoints_as(self, cluster: &str, service: &str, nodes: &[u8], ready: bool) -> Self {
        let endpoints = nodes.iter().enumerate().map(|(number, node)| Endpoint {
            identity: format!("Pod/default/{service}-{number}").into(),
            node: (*node > 0).then(|| node_name(*node)),
            ready,
            serving: ready,
            terminating: false,
        });
        let slice = EndpointSlice {
            service: ServiceKey::new("default", service),
            family: if self.v4 { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 },
            endpoints: endpoints.collect(),
        };
        let key = SliceKey { namespace: "default".into(), name: format!("{service}-1").into() };
        self.told(cluster, ClusterEvent::EndpointSlices(Update::Set(key, slice)))
    }

    // The switch.

    pub(super) fn session(self, node: u8, session: SessionState) -> Self {
        let neighbor = Neighbor { session: Some(session), ..Neighbor::default() };
        self.neighbor(node, Some(neighbor))
    }

    pub(super) fn neighbor(self, node: u8, neighbor: Option<Neighbor>) -> Self {
        let peer = PeerAddress { ip: self.node_address(node), interface: None };
        let key = NeighborKey { network_instance: "ip-vrf-1".into(), peer };
        self.tell(Event::Neighbors(match neighbor {
            Some(neighbor) => Update::Set(key, neighbor),
            None => Update::Gone(key),
        }))
    }

    /// Established sessions with these nodes.
    pub(super) fn attached(mut self, nodes: &[u8]) -> Self {
        for node in nodes {
            self = self.session(*node, SessionState::Established);
        }
        self
    }

    /// The node is behind the leaf of the same number.
    pub(super) fn behind(self, node: u8) -> Self {
        let (prefix, vtep) = (IpNet::from(self.node_address(node)), self.vtep(node));
        self.route_in("ip-vrf-1", prefix, EVPN, &[vtep])
    }

    pub(super) fn route_in(mut self, instance: &str, prefix: IpNet, owner: u32, hops: &[IpAddr]) -> Self {
        self.next_group += 1;
        let id = NextHopGroupId(self.next_group);
        let mut next_hops = hops.to_vec();
        next_hops.sort_unstable();
        let group = NextHopGroup { next_hops: next_hops.into() };
        self.tell(Event::Switch(SwitchEvent::NextHopGroups(vec![(id, Some(group))])))
            .route_by(instance, prefix, owner, id)
    }

    pub(super) fn route_by(self, instance: &str, prefix: IpNet, owner: u32, id: NextHopGroupId) -> Self {
        let preference = if owner == BGP { 169 } else { 170 };
        let route = Route { owner, preference, metric: 0, next_hop_group: id };
        self.tell(Event::Switch(SwitchEvent::Routes(instance.into(), vec![(prefix, Some(route))])))
    }

    /// The VIP's host route by local BGP, through these nodes.
    pub(super) fn via_nodes(self, nodes: &[u8]) -> Self {
        let hops: Vec<_> = nodes.iter().map(|node| self.node_address(*node)).collect();
        let prefix = IpNet::from(self.vip_address());
        self.route_in("ip-vrf-1", prefix, BGP, &hops)
    }

    /// The VIP's host route by EVPN, through these leaves.
    pub(super) fn via_leaves(self, leaves: &[u8]) -> Self {
        let hops: Vec<_> = leaves.iter().map(|leaf| self.vtep(*leaf)).collect();
        let prefix = IpNet::from(self.vip_address());
        self.route_in("ip-vrf-1", prefix, EVPN, &hops)
    }

    /// A fault of BGP's route to the VIP.
    pub(super) fn fib(self, kind: FibFaultKind) -> Self {
        self.fib_of("bgp_mgr", kind)
    }

    pub(super) fn fib_of(self, owner: &str, kind: FibFaultKind) -> Self {
        let route = RouteKey { network_instance: "ip-vrf-1".into(), prefix: IpNet::from(self.vip_address()) };
        let fault = FibFault { kind, since: self.now().wall };
        self.tell(Event::Fib(Update::Set(FibKey { route, owner: owner.into() }, fault)))
    }

    /// The FIB faults of these network instances are known, and of no others.
    pub(super) fn fib_known(self, instances: &[&str]) -> Self {
        let tables = instances
            .iter()
            .flat_map(|name| IpFamily::ALL.map(|family| RouteTable { network_instance: (*name).into(), family }));
        self.tell(Event::Coverage(Coverage { fib: tables.collect() }))
    }

    // What was said.

    pub(super) fn view(&self) -> &ServiceView {
        &self.said.services[&("c1".into(), ServiceKey::new("default", "web"))]
    }

    pub(super) fn vip(&self) -> &VipView {
        &self.view().vips[0]
    }

    pub(super) fn node_view(&self, node: u8) -> &NodeView {
        &self.said.nodes[&("c1".into(), node_name(node))]
    }

    #[track_caller]
    pub(super) fn says(self, state: OperState, reason: Option<Reason>) -> Self {
        let verdict = &self.view().verdict;
        assert_eq!((verdict.state, verdict.reason), (state, reason), "{:?}", verdict.detail);
        assert!(reason.is_none() || verdict.detail.is_some(), "a reason has a sentence");
        self
    }

    /// The sentence holds these words.
    #[track_caller]
    pub(super) fn telling(self, words: &[&str]) -> Self {
        let detail = self.view().verdict.detail.clone().unwrap_or_default();
        for word in words {
            assert!(detail.contains(word), "{word:?} in {detail:?}");
        }
        self
    }
}

pub(super) fn node_name(node: u8) -> NodeName {
    format!("node{node}").as_str().into()
}

impl Mirror {
    fn replay(&mut self, change: Change) {
        fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        match change {
            Change::Root(view) => self.root = Some(view),
            Change::Summary(view) => self.summary = view,
            Change::Cluster(name, view) => put(&mut self.clusters, name, view),
            Change::Node(cluster, node, view) => put(&mut self.nodes, (cluster, node), view),
            Change::Service(cluster, key, view) => put(&mut self.services, (cluster, key), view),
            Change::Orphan(key, view) => put(&mut self.orphans, key, view),
            Change::Alarm(..)
            | Change::AlarmHistory(..)
            | Change::AlarmCounts(_)
            | Change::AlarmNotification(_)
            | Change::Source(..) => {}
            Change::Ask(inquiry) => self.asked = inquiry,
            Change::PersistentState(memory) => self.memory = memory,
        }
    }
}
