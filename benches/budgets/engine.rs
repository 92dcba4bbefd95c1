//! The engine alone: the cost of one change, from a hundred VIPs to a hundred thousand.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::cluster::{
    AddressFamily, Endpoint, EndpointIdentity, EndpointSlice, Node, Service, SliceKey, TrafficPolicy,
};
use srl_k8s_services::model::config::{ClusterConfig, Config, Connection, Rules, Source, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::names::{ClusterName, ServiceKey};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{
    Coverage, IpFamily, Neighbor, NeighborKey, NetworkInstance, NextHopGroup, NextHopGroupId, PeerAddress, Route,
    RouteTable, SessionState,
};
use srl_k8s_services::model::time::{Now, Timestamp};

use crate::report::{Line, ratio};

const VRF: &str = "ip-vrf-1";
const NODES: u32 = 3;
const GROUP: NextHopGroupId = NextHopGroupId(7001);
/// Number of VIPs in all engines of one size together.
const TOTAL: u32 = 100_000;
/// Number of changes in a run, and of runs.
const CHANGES: u32 = 5_000;
const RUNS: u32 = 5;

/// Measures one change at each size. The total footprint is the same at every size, because there are many small
/// engines; caches therefore help equally, and only the work differs. One small engine alone, which fits into a core's
/// own cache, is shown for comparison.
pub(crate) fn scaling() -> Vec<Line> {
    let sizes = [100, 1_000, 10_000, TOTAL];
    let costs = sizes.map(|size| Labs::new(size, TOTAL / size).costs());
    let alone = Labs::new(sizes[0], 1).costs();
    let mut lines = Vec::new();
    for (index, what) in ["route", "endpoint"].into_iter().enumerate() {
        let of = |what: String, cost: [f64; 2]| Line::figure(what, format!("{:.1} us", cost[index] * 1e6));
        for (size, cost) in sizes.into_iter().zip(costs) {
            lines.push(of(format!("one {what} change, {} x {size} VIPs", TOTAL / size), cost));
        }
        lines.push(of(format!("one {what} change, {} VIPs alone", sizes[0]), alone));
        let (large, small) = (costs[3][index], costs[0][index]);
        lines.push(Line::budget(format!("{what}: 1 x 100 k VIPs against 1000 x 100"), ratio(large, small), 1.2));
        let cold = format!("{what}: 100 k VIPs in memory against 100 in cache");
        lines.push(Line::budget(cold, ratio(large, alone[index]), 1.5));
    }
    lines
}

/// All engines of one size.
struct Labs {
    size: u32,
    labs: Vec<Lab>,
}

impl Labs {
    fn new(size: u32, count: u32) -> Self {
        Self { size, labs: (0..count).map(|_| Lab::new(size)).collect() }
    }

    /// Returns the seconds for one change of a route, and of an endpoint.
    fn costs(&mut self) -> [f64; 2] {
        [self.cost(Lab::route), self.cost(Lab::endpoint)]
    }

    /// Returns the minimum of several runs, so that other load of the machine does not count.
    fn cost(&mut self, change: fn(&mut Lab, u32)) -> f64 {
        let mut least = Duration::MAX;
        for run in 0..RUNS {
            let begun = on_cpu();
            for number in 0..CHANGES {
                // Changes are scattered over all VIPs.
                let number = (run * CHANGES + number).wrapping_mul(2_654_435_761) % TOTAL;
                let lab = (number / self.size) as usize % self.labs.len();
                change(&mut self.labs[lab], number % self.size);
            }
            least = least.min(on_cpu() - begun);
        }
        least.as_secs_f64() / f64::from(CHANGES)
    }
}

/// Returns the processor time of this thread so far, which does not include other load of the machine.
fn on_cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedstat.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("Linux tells what a thread has run, first in schedstat"))
}

/// An engine that knows a leaf with three attached nodes, and a cluster with many services.
struct Lab {
    engine: Engine,
    clock: Duration,
    /// VIPs whose route is missing, and VIPs that lack an endpoint.
    lost: [Vec<bool>; 2],
}

impl Lab {
    fn new(vips: u32) -> Self {
        let lost = [(); 2].map(|()| vec![false; vips as usize]);
        let mut lab = Self { engine: Engine::new(), clock: Duration::ZERO, lost };
        lab.tell(Event::Configured(Arc::new(config())));
        for source in [SourceId::Ndk, SourceId::Gnmi, SourceId::Kubernetes(cluster())] {
            lab.tell(Event::Source(source, SourceEvent::Syncing));
        }
        lab.tell(Event::Switch(SwitchEvent::NetworkInstance(
            VRF.into(),
            Some(NetworkInstance { id: 5, oper_up: true }),
        )));
        lab.tell(Event::Switch(SwitchEvent::Application(14, Some("bgp_mgr".into()))));
        let next_hops = (0..NODES).map(node_address).collect();
        lab.tell(Event::Switch(SwitchEvent::NextHopGroups(vec![(GROUP, Some(NextHopGroup { next_hops }))])));
        let routes = (0..vips).map(|number| (vip(number).into(), Some(route()))).collect();
        lab.tell(Event::Switch(SwitchEvent::Routes(VRF.into(), routes)));
        lab.tell(Event::Neighbors(Update::All((0..NODES).map(neighbor).collect())));
        let tables = IpFamily::ALL.map(|family| RouteTable { network_instance: VRF.into(), family });
        lab.tell(Event::Coverage(Coverage { fib: tables.into() }));
        lab.tell_cluster(ClusterEvent::Nodes(Update::All((0..NODES).map(node).collect())));
        lab.tell_cluster(ClusterEvent::Services(Update::All((0..vips).map(service).collect())));
        lab.tell_cluster(ClusterEvent::EndpointSlices(Update::All((0..vips).map(|n| slice(n, true)).collect())));
        for source in [SourceId::Ndk, SourceId::Gnmi, SourceId::Kubernetes(cluster())] {
            lab.tell(Event::Source(source, SourceEvent::Synced));
        }
        lab
    }

    fn tell(&mut self, event: Event) -> usize {
        self.clock += Duration::from_micros(1);
        let now = Now { elapsed: self.clock, wall: Timestamp::UNIX_EPOCH };
        self.engine.apply(now, event).len()
    }

    fn tell_cluster(&mut self, event: ClusterEvent) -> usize {
        self.tell(Event::Cluster(cluster(), event))
    }

    fn route(&mut self, number: u32) {
        let route = if toggle(&mut self.lost[0], number) { None } else { Some(route()) };
        let changes = self.tell(Event::Switch(SwitchEvent::Routes(VRF.into(), vec![(vip(number).into(), route)])));
        assert!(changes > 0, "a lost route changes the verdict");
    }

    fn endpoint(&mut self, number: u32) {
        let ready = !toggle(&mut self.lost[1], number);
        let (key, slice) = slice(number, ready);
        let changes = self.tell_cluster(ClusterEvent::EndpointSlices(Update::Set(key, slice)));
        assert!(changes > 0, "a lost endpoint changes the count");
    }
}

/// Toggles an entry, and returns whether it is lost now.
fn toggle(lost: &mut [bool], number: u32) -> bool {
    let lost = &mut lost[number as usize];
    *lost = !*lost;
    *lost
}

fn cluster() -> ClusterName {
    "c1".into()
}

fn config() -> Config {
    let cluster_config = ClusterConfig {
        enabled: true,
        source: Source {
            connection: Connection::Kubeconfig { path: "/kubeconfig".into(), context: None },
            network_namespace: None,
            speaker: Speaker::Metallb,
            namespaces: Default::default(),
            label_selector: None,
            include_external_ips: false,
            node_address_annotation: None,
            node_labels: false,
        },
        rules: Rules { network_instance: VRF.into(), ..Rules::default() },
    };
    Config { clusters: [(cluster(), Arc::new(cluster_config))].into(), ..Config::default() }
}

fn vip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn node_address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xc0a8_010b + number).into()
}

fn route() -> Route {
    Route { owner: 14, preference: 169, metric: 0, next_hop_group: GROUP }
}

fn neighbor(number: u32) -> (NeighborKey, Neighbor) {
    let peer = PeerAddress { ip: node_address(number), interface: None };
    let neighbor = Neighbor { session: Some(SessionState::Established), ..Neighbor::default() };
    (NeighborKey { network_instance: VRF.into(), peer }, neighbor)
}

fn node_name(number: u32) -> String {
    format!("node{number}")
}

fn node(number: u32) -> (srl_k8s_services::model::names::NodeName, Node) {
    let node = Node { internal: Box::new([node_address(number)]), ..Node::default() };
    (node_name(number).into(), node)
}

fn service_key(number: u32) -> ServiceKey {
    ServiceKey::new("default", format!("web-{number}"))
}

fn service(number: u32) -> (ServiceKey, Service) {
    let service = Service {
        load_balancer: true,
        policy: TrafficPolicy::Cluster,
        ingress: Box::new([vip(number)]),
        ..Service::default()
    };
    (service_key(number), service)
}

/// Returns a slice with three endpoints, one per node. The first one is ready if `ready`.
fn slice(number: u32, ready: bool) -> (SliceKey, EndpointSlice) {
    let endpoints = (0..NODES).map(|index| Endpoint {
        identity: EndpointIdentity::of((number, index)),
        node: Some(node_name(index).into()),
        ready: ready || index > 0,
        serving: ready || index > 0,
    });
    let key = SliceKey { namespace: "default".into(), name: format!("web-{number}-x").into() };
    let slice =
        EndpointSlice { service: service_key(number), family: AddressFamily::Ipv4, endpoints: endpoints.collect() };
    (key, slice)
}
