//! Whatever events happen in whatever order, the published state must equal a full recompute of what the engine
//! received.
//!
//! The cases are the same every time, so that they pass or fail on all machines alike. `PROPTEST_CASES` increases their
//! number, with other cases each time unless `PROPTEST_RNG_SEED` is set. Cases that once failed are kept in
//! `property.regressions`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::cluster::{
    AddressFamily, Endpoint, EndpointIdentity, EndpointSlice, IngressUnusable, Node, NodeUid, Service, ServiceHints,
    SliceKey, TrafficPolicy,
};
use srl_k8s_services::model::config::{AlarmPolicy, ClusterConfig, Config, Rules, Source, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Crowded, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::names::{NetworkInstanceName, NodeName};
use srl_k8s_services::model::persistent::{Attachment, PersistentState};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{
    BfdKey, BfdState, FibFault, FibFaultKind, FibKey, Neighbor, NetworkInstance, NextHopGroup, NextHopGroupId, Route,
    RouteKey, SessionState,
};
use srl_k8s_services::model::time::{Now, Timestamp};

use crate::alarm_rules::AlarmRules;
use crate::oracle::{assert_agrees, forget_uncarried};
use crate::said::State;
use crate::scenario::{BGP, BGP_EVPN, VRF, at, cluster_config, coverage, ip, key, neighbor_key, net, vtep};
use crate::speakers;
use crate::world::World;

const CLUSTERS: [&str; 2] = ["c1", "c2"];
const VRFS: [&str; 2] = [VRF, "ip-vrf-2"];
const VIPS: [&str; 7] =
    ["192.168.1.100", "192.168.1.12", "1.1.1.100", "1.1.1.101", "1.1.1.102", "2001:db8:1::100", "2001:db8:1::101"];
const COVERS: [&str; 6] = ["192.168.1.0/24", "1.1.1.0/24", "1.1.1.100/31", "0.0.0.0/0", "2001:db8:1::/64", "::/0"];
/// Addresses that the leaf may have itself.
pub(crate) const OWN: [&str; 2] = ["192.168.1.1", "2001:db8:0:1::1"];
pub(crate) const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];
const SERVICES: [&str; 4] = ["web", "dns", "mail", "ntp"];
/// An application whose name arrives late or never.
const NAMELESS: u32 = 9;
/// Applications that own the routes of this leaf's own interfaces.
const ARP_ND: u32 = 10;
const INTERFACE: u32 = 11;

/// A step of a case.
#[derive(Clone, Debug)]
enum Step {
    /// A source sends an event.
    Event(Box<Event>),
    /// The last event is repeated.
    Again,
    /// A cluster lists everything again, except the entries at these positions.
    Relist(usize, BTreeSet<usize>),
    /// The NDK dumps its tables again, except the entries at these positions.
    Resync(BTreeSet<usize>),
    /// Time passes.
    Pass(Duration),
    /// Time passes until just after the time at which the engine asked to be woken.
    Wake,
    /// The agent ends, and starts again with its saved state. Everything is sent again.
    Restart,
}

fn cluster() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(CLUSTERS[0]), 1 => Just(CLUSTERS[1])]
}

fn vrf() -> impl Strategy<Value = &'static str> {
    prop_oneof![5 => Just(VRFS[0]), 1 => Just(VRFS[1])]
}

fn vip() -> impl Strategy<Value = IpAddr> {
    select(&VIPS[..]).prop_map(ip)
}

/// Returns an address of the n-th node: it has two of each family, the second of which are rarely known here.
pub(crate) fn address_of(node: usize, which: usize) -> IpAddr {
    match which {
        0 => ip(&format!("192.168.1.1{node}")),
        1 => ip(&format!("2001:db8:0:1::1{node}")),
        2 => ip(&format!("192.168.49.{node}")),
        _ => ip(&format!("fd49::{node}")),
    }
}

fn node_address() -> impl Strategy<Value = IpAddr> {
    (0..NODES.len(), prop_oneof![5 => Just(0_usize), 3 => Just(1), 1 => Just(2), 1 => Just(3)])
        .prop_map(|(node, which)| address_of(node, which))
}

fn next_hop() -> impl Strategy<Value = IpAddr> {
    prop_oneof![6 => node_address(), 3 => (1..4_u8).prop_map(vtep), 1 => Just(ip("10.99.99.99"))]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        6 => vip().prop_map(IpNet::from),
        3 => node_address().prop_map(IpNet::from),
        2 => select(&COVERS[..]).prop_map(net),
        1 => select(&OWN[..]).prop_map(|address| IpNet::from(ip(address))),
    ]
}

fn group_id() -> impl Strategy<Value = NextHopGroupId> {
    (1..7_u64).prop_map(NextHopGroupId)
}

fn route() -> impl Strategy<Value = Route> {
    (
        prop_oneof![4 => Just(BGP), 3 => Just(BGP_EVPN), 1 => Just(NAMELESS), 1 => Just(ARP_ND), 1 => Just(INTERFACE)],
        group_id(),
        0..2_u32,
    )
        .prop_map(|(owner, next_hop_group, metric)| Route {
            owner,
            preference: 169 + owner % 2,
            metric,
            next_hop_group,
        })
}

fn group() -> impl Strategy<Value = NextHopGroup> {
    let plain = btree_set(next_hop(), 0..4);
    let vteps = btree_set((1..4_u8).prop_map(vtep), 1..3);
    prop_oneof![2 => plain, 1 => vteps].prop_map(|set| NextHopGroup { next_hops: set.into_iter().collect() })
}

fn switch() -> impl Strategy<Value = SwitchEvent> {
    let network_instance = (vrf(), option::weighted(0.8, 1..3_u32)).prop_map(|(name, id)| {
        SwitchEvent::NetworkInstance(name.into(), id.map(|id| NetworkInstance { id, oper_up: id == 1 }))
    });
    let routes = (vrf(), vec((prefix(), option::weighted(0.8, route())), 1..4))
        .prop_map(|(name, routes)| SwitchEvent::Routes(name.into(), routes));
    let groups = vec((group_id(), option::weighted(0.9, group())), 1..3).prop_map(SwitchEvent::NextHopGroups);
    let names = prop_oneof![
        Just((BGP, Some("bgp_mgr"))),
        Just((BGP_EVPN, Some("bgp_evpn_mgr"))),
        Just((BGP_EVPN, None)),
        Just((NAMELESS, Some("bgp_evpn_mgr"))),
        Just((NAMELESS, Some("static_route_mgr"))),
    ];
    let application = names.prop_map(|(id, name)| SwitchEvent::Application(id, name.map(Arc::from)));
    let bfd = (1..3_u32, node_address(), option::of(select(&BfdState::ALL[..]))).prop_map(|(id, remote, state)| {
        let local = if remote.is_ipv4() { ip("192.168.1.1") } else { ip("2001:db8:0:1::1") };
        SwitchEvent::Bfd(BfdKey { network_instance: id, local, remote }, state)
    });
    prop_oneof![1 => network_instance, 12 => routes, 8 => groups, 2 => application, 1 => bfd]
}

fn neighbor() -> impl Strategy<Value = Neighbor> {
    let session =
        prop_oneof![4 => Just(Some(SessionState::Established)), 2 => Just(Some(SessionState::Active)), 1 => Just(None)];
    (session, option::of(0..3_u32), any::<bool>()).prop_map(|(session, received_routes, dynamic)| Neighbor {
        session,
        last_established: None,
        dynamic,
        received_routes,
    })
}

fn neighbors() -> impl Strategy<Value = Event> {
    let entry = || (vrf(), node_address()).prop_map(|(vrf, address)| neighbor_key(vrf, address));
    prop_oneof![
        6 => (entry(), neighbor()).prop_map(|(key, neighbor)| Update::Set(key, neighbor)),
        3 => entry().prop_map(Update::Gone),
        1 => vec((entry(), neighbor()), 0..4).prop_map(|mut all| {
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all.dedup_by(|a, b| a.0 == b.0);
            Update::All(all)
        }),
    ]
    .prop_map(Event::Neighbors)
}

fn fib() -> impl Strategy<Value = Event> {
    let owner = || select(vec!["bgp_mgr", "bgp_evpn_mgr"]);
    let entry = || {
        (vrf(), prefix(), owner()).prop_map(|(name, prefix, owner)| FibKey {
            route: RouteKey { network_instance: name.into(), prefix },
            owner: owner.into(),
        })
    };
    let kinds = vec![FibFaultKind::Pending, FibFaultKind::Unconfirmed, FibFaultKind::Suppressed, FibFaultKind::Failed];
    let fault = move || select(kinds.clone()).prop_map(|kind| FibFault { kind, since: Timestamp::UNIX_EPOCH });
    prop_oneof![
        3 => (entry(), fault()).prop_map(|(key, fault)| Event::Fib(Update::Set(key, fault))),
        3 => entry().prop_map(|key| Event::Fib(Update::Gone(key))),
        1 => Just(Event::Fib(Update::All(Vec::new()))),
        1 => select(vec![&[][..], &["default"], &["ip-vrf-1", "default"]])
            .prop_map(|names| Event::Coverage(coverage(names))),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let hints =
        (prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    let elected = (
        prop::bool::weighted(0.1),
        option::weighted(0.2, 0..NODES.len() + 1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    let class = prop_oneof![
        8 => Just(None),
        1 => Just(Some("io.cilium/bgp-control-plane")),
        1 => Just(Some("io.cilium/l2-announcer")),
        1 => Just(Some("example.com/other")),
    ];
    let addresses = || btree_set(vip(), 0..3).prop_map(|set| set.into_iter().collect::<Box<[IpAddr]>>());
    (prop::bool::weighted(0.9), any::<bool>(), class, addresses(), addresses(), hints, elected, speakers::labels())
        .prop_map(|(load_balancer, local, class, ingress, external_ips, hints, elected, labels)| Service {
            load_balancer,
            policy: if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
            class: class.map(Arc::from),
            ingress_unusable: ingress.is_empty().then(|| IngressUnusable::HostName("lb.example.com".into())),
            ingress,
            external_ips,
            hints: ServiceHints {
                kube_router_local: hints.0,
                kube_router_skip_lb_ips: hints.1,
                kube_router_no_advertise: hints.2,
                cilium_no_load_balancer: hints.3,
                kube_router_no_external: elected.0,
                kube_vip_host: elected.1.map(|node| NODES.get(node).map_or("no-node", |name| name).into()),
                cilium_proxy: elected.2,
                cilium_global: elected.3,
            },
            labels,
        })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    // A pod stays where it is, but a slice may not name its node.
    (0..6_usize, prop::bool::weighted(0.85), prop::bool::weighted(0.7), any::<bool>()).prop_map(
        |(pod, named, ready, serving)| Endpoint {
            identity: EndpointIdentity::of(pod),
            node: named.then(|| NODES[pod % NODES.len()].into()),
            ready,
            serving,
        },
    )
}

fn slice() -> impl Strategy<Value = (SliceKey, EndpointSlice)> {
    let family = prop_oneof![
        5 => Just(AddressFamily::Ipv4),
        3 => Just(AddressFamily::Ipv6),
        1 => Just(AddressFamily::Fqdn),
    ];
    // A slice keeps its name, but its service may change.
    (select(&SERVICES[..]), 0..3_usize, select(&SERVICES[..]), prop::bool::weighted(0.9), family, vec(endpoint(), 0..4))
        .prop_map(|(name, n, other, own, family, endpoints)| {
            let slice = SliceKey { namespace: "default".into(), name: format!("{name}-{n}").into() };
            let service = key(if own { name } else { other });
            (slice, EndpointSlice { service, family, endpoints: endpoints.into() })
        })
}

/// A node's objects only have addresses of that node, because two nodes with one address are not a valid network.
fn node() -> impl Strategy<Value = (NodeName, Node)> {
    let addresses = || btree_set(0..4_usize, 0..3);
    let label = prop_oneof![6 => Just(None), 1 => Just(Some("")), 1 => Just(Some("true"))];
    let labels = speakers::labels();
    // Clusters that list a node of one uid are one API.
    let same = prop::bool::weighted(0.1);
    (0..NODES.len(), addresses(), addresses(), addresses(), label, prop::bool::weighted(0.1), labels, same).prop_map(
        |(node, annotated, speaker, internal, label, network_unavailable, labels, same)| {
            let of = |which: BTreeSet<usize>| which.into_iter().map(|which| address_of(node, which)).collect();
            let known = Node {
                uid: same.then(|| NodeUid::of(NODES[node])),
                annotated: if annotated.len() == 1 { of(annotated) } else { Box::default() },
                speaker: if speaker.len() == 1 { of(speaker) } else { Box::default() },
                internal: of(internal),
                external: Box::default(),
                exclude_label: label.map(Arc::from),
                network_unavailable,
                labels: speakers::of_node(NODES[node], &labels),
            };
            (NODES[node].into(), known)
        },
    )
}

fn cluster_event() -> impl Strategy<Value = Event> {
    let service_name = || select(&SERVICES[..]).prop_map(key);
    let event = prop_oneof![
        8 => (service_name(), service()).prop_map(|(key, service)| ClusterEvent::Services(Update::Set(key, service))),
        2 => service_name().prop_map(|key| ClusterEvent::Services(Update::Gone(key))),
        8 => slice().prop_map(|(key, slice)| ClusterEvent::EndpointSlices(Update::Set(key, slice))),
        2 => slice().prop_map(|(key, _)| ClusterEvent::EndpointSlices(Update::Gone(key))),
        6 => node().prop_map(|(name, node)| ClusterEvent::Nodes(Update::Set(name, node))),
        1 => node().prop_map(|(name, _)| ClusterEvent::Nodes(Update::Gone(name))),
        1 => any::<bool>().prop_map(|insecure| ClusterEvent::Connected {
            version: "v1.33.1".into(),
            caveat: insecure.then(|| "TLS is not verified".into()),
        }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(slices, some)| {
            let kind = if slices { Crowded::EndpointSlices } else { Crowded::Services };
            ClusterEvent::Crowded(kind, some.then(|| "default".into()).into_iter().collect())
        }),
        8 => speakers::event(),
    ];
    (cluster(), event).prop_map(|(cluster, event)| Event::Cluster(cluster.into(), event))
}

fn source() -> impl Strategy<Value = Event> {
    let id = prop_oneof![
        Just(SourceId::Ndk),
        Just(SourceId::Gnmi),
        cluster().prop_map(|name| SourceId::Kubernetes(name.into())),
    ];
    let event = prop_oneof![
        2 => Just(SourceEvent::Syncing),
        4 => Just(SourceEvent::Synced),
        2 => Just(SourceEvent::Lost("connection refused".into())),
        1 => Just(SourceEvent::Alive),
        1 => Just(SourceEvent::Malformed),
    ];
    (id, event).prop_map(|(id, event)| Event::Source(id, event))
}

fn configured_cluster() -> impl Strategy<Value = ClusterConfig> {
    let fabric = vec((0..NODES.len(), 0..4_usize), 0..3);
    let pools = btree_set(select(vec![net("1.1.1.100/31"), net("1.1.1.0/24"), net("2001:db8:1::/64")]), 0..2);
    let class = prop_oneof![6 => Just(None), 1 => Just(Some("example.com/other"))];
    let flags = (prop::bool::weighted(0.95), prop::bool::weighted(0.4), prop::bool::weighted(0.3));
    let limit = option::weighted(0.3, 1..3_u16);
    (select(&Speaker::ALL[..]), vrf(), fabric, pools, class, flags, limit).prop_map(
        |(speaker, vrf, fabric, vip_pools, class, (enabled, external, shared), ecmp_limit)| {
            let mut fabric_addresses: BTreeMap<NodeName, BTreeSet<IpAddr>> = BTreeMap::new();
            for (node, which) in fabric {
                fabric_addresses.entry(NODES[node].into()).or_default().insert(address_of(node, which));
            }
            let default = cluster_config(speaker);
            ClusterConfig {
                enabled,
                source: Source { include_external_ips: external, ..default.source },
                rules: Rules {
                    network_instance: vrf.into(),
                    load_balancer_class: class.map(Arc::from),
                    vip_pools,
                    shared_with: if shared { CLUSTERS.into_iter().map(Into::into).collect() } else { BTreeSet::new() },
                    ecmp_limit,
                    fabric_addresses,
                    ..default.rules
                },
            }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let clusters = (configured_cluster(), option::weighted(0.6, configured_cluster()));
    let policy = (select(vec![0_u64, 1, 10]), select(vec![0_u64, 5]), select(vec![0_u16, 2, 100]));
    (prop::bool::weighted(0.95), clusters, policy).prop_map(
        |(enabled, (first, second), (raise, clear, history_size))| {
            let alarm_policy = AlarmPolicy {
                raise_hold: Duration::from_secs(raise),
                clear_hold: Duration::from_secs(clear),
                history_size,
                kubernetes_events: false,
            };
            let second = second.map(|second| (CLUSTERS[1].into(), Arc::new(second)));
            let clusters = [(CLUSTERS[0].into(), Arc::new(first))].into_iter().chain(second).collect();
            Config { enabled, alarm_policy, clusters }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => switch().prop_map(Event::Switch),
        6 => neighbors(),
        1 => fib(),
        14 => cluster_event(),
        2 => source(),
        1 => config().prop_map(|config| Event::Configured(Arc::new(config))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let time = select(vec![1_u64, 900, 4_000, 10_000, 14_000, 16_000, 31_000]).prop_map(Duration::from_millis);
    prop_oneof![
        40 => event().prop_map(|event| Step::Event(Box::new(event))),
        2 => Just(Step::Again),
        1 => (0..CLUSTERS.len(), btree_set(0..12_usize, 0..3)).prop_map(|(cluster, gone)| Step::Relist(cluster, gone)),
        1 => btree_set(0..16_usize, 0..3).prop_map(Step::Resync),
        2 => time.prop_map(Step::Pass),
        1 => Just(Step::Wake),
        1 => Just(Step::Restart),
    ]
}

/// Returns the initial events of a case. Most cases start with a leaf that is configured, booted and synced, with nodes
/// and services. Some start with nothing, and events arrive in any order.
fn start() -> impl Strategy<Value = Vec<Event>> {
    let tables = (vec(node(), 2..5), vec((select(&SERVICES[..]), service()), 1..4), vec(slice(), 1..4));
    let remembered = option::weighted(0.2, vec((cluster(), 0..NODES.len(), 0..2_usize), 1..3));
    let told = vec(speakers::event(), 0..12);
    (prop::bool::weighted(0.85), config(), tables, remembered, any::<bool>(), told).prop_map(
        |(ready, config, (nodes, services, slices), remembered, gnmi, told)| {
            let mut events = Vec::new();
            if let Some(remembered) = remembered {
                let attachments = remembered.into_iter().map(|(cluster, node, which)| Attachment {
                    cluster: cluster.into(),
                    node: NODES[node].into(),
                    address: address_of(node, which),
                });
                events.push(Event::Restored(PersistentState {
                    attachments: attachments.collect(),
                    ..PersistentState::default()
                }));
            }
            if !ready {
                return events;
            }
            events.push(Event::Configured(Arc::new(config)));
            for (name, id) in VRFS.into_iter().zip(1..) {
                let there = Some(NetworkInstance { id, oper_up: true });
                events.push(Event::Switch(SwitchEvent::NetworkInstance(name.into(), there)));
            }
            events.push(Event::Switch(SwitchEvent::Application(BGP, Some("bgp_mgr".into()))));
            events.push(Event::Switch(SwitchEvent::Application(BGP_EVPN, Some("bgp_evpn_mgr".into()))));
            events.push(Event::Switch(SwitchEvent::Application(ARP_ND, Some("arp_nd_mgr".into()))));
            events.push(Event::Switch(SwitchEvent::Application(INTERFACE, Some("net_inst_mgr".into()))));
            let first = |event| Event::Cluster(CLUSTERS[0].into(), event);
            events.extend(nodes.into_iter().map(|(name, node)| first(ClusterEvent::Nodes(Update::Set(name, node)))));
            let services = services.into_iter().map(|(name, service)| (key(name), service));
            events.extend(services.map(|(key, service)| first(ClusterEvent::Services(Update::Set(key, service)))));
            events.extend(slices.into_iter().map(|(key, s)| first(ClusterEvent::EndpointSlices(Update::Set(key, s)))));
            events.extend(told.into_iter().map(first));
            let sources = [SourceId::Ndk, SourceId::Gnmi].into_iter().take(if gnmi { 2 } else { 1 });
            let kubernetes = CLUSTERS.map(|name| SourceId::Kubernetes(name.into()));
            events.extend(sources.chain(kubernetes).map(|id| Event::Source(id, SourceEvent::Synced)));
            events
        },
    )
}

/// The engine, what it received, and what it published.
#[derive(Default)]
struct Run {
    engine: Engine,
    world: World,
    said: State,
    elapsed: Duration,
    /// Time of the last start of the agent.
    started: Duration,
    last: Option<Event>,
    alarms: AlarmRules,
}

impl Run {
    fn now(&self) -> Now {
        Now { elapsed: self.elapsed - self.started, ..at(self.elapsed) }
    }

    fn ingest(&mut self, event: Event) {
        let now = self.now();
        self.world.ingest(now, &event);
        forget_uncarried(&mut self.world, now, &self.said);
        self.said.restore(&event);
        self.engine.ingest(now, event.clone());
        self.last = Some(event);
    }

    /// Evaluates, and compares what is published with a recompute.
    fn check(&mut self) {
        let now = self.now();
        let before = self.said.clone();
        for change in self.engine.evaluate(now) {
            let text = format!("{change:?}");
            assert!(self.said.take(change), "a change that changes nothing: {text}");
        }
        assert_eq!(self.engine.evaluate(now), [], "a second evaluation has nothing to say");
        assert_agrees(&mut self.world, now, &before, &self.said);
        self.alarms.check(&self.world, now, &self.said);
    }

    /// Returns the events of a step.
    fn events(&mut self, step: Step) -> Vec<Event> {
        match step {
            Step::Restart => self.restart(),
            Step::Event(event) => vec![*event],
            Step::Again => self.last.clone().into_iter().collect(),
            Step::Relist(cluster, gone) => self.relist(CLUSTERS[cluster], &gone),
            Step::Resync(gone) => self.resync(&gone),
            Step::Pass(_) | Step::Wake => vec![Event::Tick],
        }
    }

    fn pass(&mut self, step: &Step) {
        match step {
            Step::Pass(time) => self.elapsed += *time,
            Step::Wake => {
                let just_after = self.engine.deadline().map(|deadline| deadline + Duration::from_millis(1));
                self.elapsed = self.elapsed.max(just_after.unwrap_or_default() + self.started);
            }
            _ => {}
        }
    }

    /// Returns what a new process receives, beginning with the state file.
    fn restart(&mut self) -> Vec<Event> {
        let now = self.now();
        let mut events = vec![Event::Restored(self.engine.persistent_state(now))];
        events.extend(self.world.config.clone().map(|config| Event::Configured(Arc::new(config))));
        events.append(&mut self.resync(&BTreeSet::new()));
        let nothing = BTreeSet::new();
        events.push(Event::Neighbors(Update::All(without(&self.world.neighbors, &nothing))));
        events.push(Event::Fib(Update::All(without(&self.world.fib, &nothing))));
        events.push(Event::Coverage(self.world.coverage.clone()));
        events.push(Event::Source(SourceId::Gnmi, SourceEvent::Synced));
        events.extend(CLUSTERS.iter().flat_map(|name| self.relist(name, &nothing)));
        self.started = self.elapsed;
        (self.engine, self.world, self.said) = Default::default();
        self.alarms.restart();
        events
    }

    fn relist(&self, name: &'static str, gone: &BTreeSet<usize>) -> Vec<Event> {
        let Some(cluster) = self.world.clusters.get(name) else { return Vec::new() };
        let event = |event| Event::Cluster(name.into(), event);
        let crowd = |kind| event(ClusterEvent::Crowded(kind, cluster.crowded.get(&kind).cloned().unwrap_or_default()));
        vec![
            Event::Source(SourceId::Kubernetes(name.into()), SourceEvent::Syncing),
            event(ClusterEvent::Nodes(Update::All(without(&cluster.nodes, gone)))),
            event(ClusterEvent::EndpointSlices(Update::All(without(&cluster.slices, gone)))),
            event(ClusterEvent::Services(Update::All(without(&cluster.services, gone)))),
            crowd(Crowded::Services),
            crowd(Crowded::EndpointSlices),
            Event::Source(SourceId::Kubernetes(name.into()), SourceEvent::Synced),
        ]
    }

    fn resync(&self, gone: &BTreeSet<usize>) -> Vec<Event> {
        let world = &self.world;
        let mut events = vec![Event::Source(SourceId::Ndk, SourceEvent::Syncing)];
        let mut switch = |event| events.push(Event::Switch(event));
        for (key, route) in without(&world.routes, gone) {
            switch(SwitchEvent::Routes(key.network_instance, vec![(key.prefix, Some(route))]));
        }
        for (id, name) in without(&world.applications, gone) {
            switch(SwitchEvent::Application(id, Some(name)));
        }
        let groups = without(&world.groups, gone).into_iter().map(|(id, group)| (id, Some(group)));
        switch(SwitchEvent::NextHopGroups(groups.collect()));
        for (name, value) in without(&world.network_instances, gone) {
            switch(SwitchEvent::NetworkInstance(NetworkInstanceName::clone(&name), Some(value)));
        }
        for (key, state) in without(&world.bfd, gone) {
            switch(SwitchEvent::Bfd(key, Some(state)));
        }
        events.push(Event::Source(SourceId::Ndk, SourceEvent::Synced));
        events
    }
}

/// Returns the table in another order, without the entries at these positions.
fn without<K: Clone, V: Clone>(table: &BTreeMap<K, V>, gone: &BTreeSet<usize>) -> Vec<(K, V)> {
    let kept = table.iter().enumerate().filter(|(place, _)| !gone.contains(place));
    let mut kept: Vec<(K, V)> = kept.map(|(_, (key, value))| (key.clone(), value.clone())).collect();
    let first = gone.first().map_or(0, |first| kept.len().min(*first));
    kept.rotate_left(first);
    kept
}

fn settings() -> ProptestConfig {
    let deep = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let by_environment = ProptestConfig::default();
    ProptestConfig {
        cases: deep.unwrap_or(200),
        rng_seed: if deep.is_some() { by_environment.rng_seed } else { RngSeed::Fixed(1) },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/engine/property.regressions"))),
        max_shrink_iters: 20_000,
        ..by_environment
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn after_every_event_the_published_state_is_a_full_recompute(start in start(), steps in vec(step(), 1..60)) {
        let mut run = Run::default();
        run.check();
        for event in start {
            run.ingest(event);
            run.check();
        }
        for step in steps {
            run.pass(&step);
            for event in run.events(step) {
                run.ingest(event);
                run.check();
            }
        }
    }

    #[test]
    fn a_burst_evaluated_once_ends_where_single_events_end(start in start(), bursts in vec(vec(step(), 1..12), 1..8)) {
        let mut run = Run::default();
        for event in start {
            run.ingest(event);
        }
        run.check();
        for burst in bursts {
            for step in burst {
                run.pass(&step);
                for event in run.events(step) {
                    run.ingest(event);
                }
            }
            run.check();
        }
    }
}
