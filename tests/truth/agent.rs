//! The agent's engine on one leaf, fed with what the leaf and the clusters show, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::engine::Engine;
use srl_k8s_services::model::alarm::{AlarmKey, AlarmView};
use srl_k8s_services::model::config::{AnnouncementMode, ClusterConfig, Config, Connection, Rules, Source};
use srl_k8s_services::model::event::{ClusterEvent, DumpPace, Event, SourceEvent, SwitchEvent, Update};
use srl_k8s_services::model::inquiry::{Answer, Asking, Finding, Inquiry, Place, Question, revise};
use srl_k8s_services::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::switch::{
    Coverage, FibFault, FibFaultKind, FibKey, IpFamily, Neighbor, NeighborKey, NetworkInstance, NextHopGroup,
    NextHopGroupId, PeerAddress, Route, RouteKey, RouteTable, SessionState,
};
use srl_k8s_services::model::time::{Now, Timestamp};
use srl_k8s_services::model::verdict::OperState;
use srl_k8s_services::model::view::{Change, ServiceView};

use crate::cluster::{ClusterFacts, labeled, pools};
use crate::facts::{LeafFacts, NeighborFact, RouteFact};
use crate::plan::{AGAIN, Known, Plan, cluster_name, node_name, vrf_name};
use crate::rng::Rng;

/// Longer than every hold time and every waiting time of the agent together.
const SETTLE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(10);
const OWNERS: [&str; 5] = ["bgp_mgr", "bgp_evpn_mgr", "net_inst_mgr", "static_route_mgr", "arp_nd_mgr"];

/// What the agent cannot reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectOptions {
    pub(crate) ndk_lost: bool,
    pub(crate) gnmi_lost: bool,
    /// The gNMI server refuses the request for FIB programming.
    pub(crate) fib_refused: bool,
    pub(crate) apis_lost: BTreeSet<usize>,
}

/// A part of a dump.
#[derive(Clone, Copy)]
enum Part {
    Applications,
    Instances,
    Groups,
    Routes,
}

/// An engine, with the facts that it has received and the views that it has published.
pub(crate) struct Agent {
    engine: Engine,
    elapsed: Duration,
    order: Rng,
    connect: ConnectOptions,
    /// The part of the leaf's facts that the current stream has delivered.
    leaf: LeafFacts,
    /// All facts that the leaf last showed.
    shown: LeafFacts,
    clusters: Vec<ClusterFacts>,
    neighbors: BTreeMap<(String, IpAddr), NeighborFact>,
    failures: BTreeMap<FibKey, FibFault>,
    /// Whether the first cluster is configured twice.
    twice: bool,
    groups: Vec<Vec<IpAddr>>,
    /// The numbers of the first groups; every further group is numbered by its index.
    numbers: Vec<u64>,
    /// What the engine asks. `entries` are the ARP and ND entries that gNMI answers with.
    asked: Inquiry,
    entries: BTreeMap<(String, IpAddr), Vec<u64>>,
    answers: usize,
    pub(crate) services: BTreeMap<(ClusterName, ServiceKey), Arc<ServiceView>>,
    pub(crate) alarms: BTreeMap<AlarmKey, AlarmView>,
}

impl Agent {
    /// Returns the agent of a leaf after its first sync.
    pub(crate) fn start(plan: &Plan, leaf: &LeafFacts, clusters: &[ClusterFacts], order: Rng) -> Self {
        let mut agent = Self {
            engine: Engine::new(),
            elapsed: Duration::from_secs(1),
            order,
            connect: ConnectOptions::default(),
            leaf: LeafFacts::default(),
            shown: leaf.clone(),
            clusters: vec![ClusterFacts::default(); clusters.len()],
            neighbors: BTreeMap::new(),
            failures: BTreeMap::new(),
            twice: plan.twice,
            groups: Vec::new(),
            numbers: (0..32).collect(),
            asked: Inquiry::default(),
            entries: BTreeMap::new(),
            answers: 0,
            services: BTreeMap::new(),
            alarms: BTreeMap::new(),
        };
        agent.tell(Event::Configured(Arc::new(config(plan))));
        agent.sync_switch(leaf);
        agent.sync_gnmi(leaf);
        for (number, facts) in clusters.iter().enumerate() {
            agent.sync_cluster(number, facts);
        }
        agent.settle();
        agent
    }

    /// Streams may break and be opened again while nothing else changes; `meanwhile` is called with what is published
    /// during that time. After that, the leaf and the clusters are as given; the agent receives all of it, and time
    /// passes until nothing more follows.
    pub(crate) fn become_as(
        &mut self,
        leaf: &LeafFacts,
        clusters: &[ClusterFacts],
        connect: &ConnectOptions,
        meanwhile: &mut dyn FnMut(&Self),
    ) {
        let before = self.shown.clone();
        if !self.connect.ndk_lost && self.order.chance(15) {
            self.dump_switch(&before, meanwhile);
        }
        if !self.connect.gnmi_lost && self.order.chance(10) {
            self.restart_gnmi(&before, meanwhile);
        }
        let was = std::mem::replace(&mut self.connect, connect.clone());
        self.lose(SourceId::Ndk, was.ndk_lost, connect.ndk_lost);
        self.lose(SourceId::Gnmi, was.gnmi_lost, connect.gnmi_lost);
        for number in 0..clusters.len() {
            let (was, is) = (was.apis_lost.contains(&number), connect.apis_lost.contains(&number));
            for name in self.names(number) {
                self.lose(SourceId::Kubernetes(name), was, is);
            }
        }
        let mut turns: Vec<usize> = (0..clusters.len() + 2).collect();
        self.order.shuffle(&mut turns);
        for turn in turns {
            match turn {
                0 if connect.ndk_lost => {}
                0 if was.ndk_lost || self.order.chance(15) => self.dump_switch(leaf, &mut |_| {}),
                0 => self.change_switch(leaf),
                1 if connect.gnmi_lost => {}
                1 if was.gnmi_lost => self.sync_gnmi(leaf),
                1 => self.change_gnmi(leaf),
                number if connect.apis_lost.contains(&(number - 2)) => {}
                number if was.apis_lost.contains(&(number - 2)) => self.sync_cluster(number - 2, &clusters[number - 2]),
                number => self.change_cluster(number - 2, &clusters[number - 2]),
            }
            self.pass(Duration::from_millis(20));
        }
        self.shown.clone_from(leaf);
        self.settle();
    }

    /// Returns the state that is published for a VIP.
    pub(crate) fn word(&self, key: &(ClusterName, ServiceKey), address: IpAddr) -> Option<OperState> {
        let view = self.services.get(key)?;
        view.vips.iter().find(|vip| vip.address == address).map(|vip| vip.verdict.state)
    }

    fn now(&self) -> Now {
        let begun = Timestamp::from_second(1_800_000_000).expect("a moment");
        Now { elapsed: self.elapsed, wall: begun + self.elapsed }
    }

    fn tell(&mut self, event: Event) {
        let changes = self.engine.apply(self.now(), event);
        for change in changes {
            match change {
                Change::Service(cluster, key, Some(view)) => drop(self.services.insert((cluster, key), view)),
                Change::Service(cluster, key, None) => drop(self.services.remove(&(cluster, key))),
                Change::Alarm(key, Some(view)) => drop(self.alarms.insert(key, view)),
                Change::Alarm(key, None) => drop(self.alarms.remove(&key)),
                Change::Ask(changes) => {
                    revise(&mut self.asked, &changes);
                    self.answer(|question, _| changes.contains_key(question));
                }
                _ => {}
            }
        }
    }

    /// Answers the questions about where addresses are plugged in that `which` selects, while gNMI is connected.
    fn answer(&mut self, which: impl Fn(&Question, Asking) -> bool) {
        if self.connect.gnmi_lost {
            return;
        }
        self.answers += 1;
        for (question, _) in self.asked.clone().iter().filter(|(question, how)| which(question, **how)) {
            let Question::Place(key) = question else { continue };
            let macs = self.entries.get(&(key.network_instance.to_string(), key.address));
            let mac = macs.map(|macs| format!("00:00:00:00:00:{:02X}", macs[self.answers % macs.len()]));
            let place = Place {
                answers: mac.is_some(),
                is_known: true,
                link_layer_address: mac.map(Arc::from),
                ..Place::default()
            };
            let finding = Finding { at: self.now().wall, answer: Answer::Place(place) };
            self.tell(Event::Finding(question.clone(), finding));
        }
    }

    /// Lets time pass, and wakes the engine whenever it asks for that.
    fn pass(&mut self, time: Duration) {
        let until = self.elapsed + time;
        for _ in 0..1000 {
            match self.engine.deadline().filter(|deadline| *deadline <= until) {
                Some(deadline) => self.elapsed = self.elapsed.max(deadline),
                None => break,
            }
            self.tell(Event::Tick);
        }
        self.elapsed = until;
    }

    /// Lets time pass; what verdicts rest on is read every ten seconds.
    fn settle(&mut self) {
        if !self.asked.values().any(|how| *how >= Asking::Followed) {
            self.pass(SETTLE);
        } else {
            for _ in 0..SETTLE.as_secs() / LOOK.as_secs() {
                self.pass(LOOK);
                self.answer(|_, how| how >= Asking::Followed);
            }
        }
    }

    fn lose(&mut self, source: SourceId, was: bool, is: bool) {
        if is && !was {
            self.tell(Event::Source(source, SourceEvent::Lost(Arc::from("connection refused"))));
        }
    }

    /// Returns the group of the given next-hops.
    fn group(&mut self, next_hops: &[IpAddr]) -> NextHopGroupId {
        let known = self.groups.iter().position(|group| group == next_hops);
        let at = known.unwrap_or_else(|| {
            self.groups.push(next_hops.to_vec());
            self.groups.len() - 1
        });
        self.number(at)
    }

    /// Returns the number of a group.
    fn number(&self, at: usize) -> NextHopGroupId {
        NextHopGroupId(3_706_000 + self.numbers.get(at).copied().unwrap_or(at as u64))
    }

    fn sync_switch(&mut self, leaf: &LeafFacts) {
        self.dump_switch(leaf, &mut |_| {});
    }

    /// Opens a stream again, whose dump comes in parts, in any order, with pauses between them. A group may have
    /// another number than before, and a number may belong to another group.
    fn dump_switch(&mut self, leaf: &LeafFacts, meanwhile: &mut dyn FnMut(&Self)) {
        if self.order.chance(50) {
            self.tell(Event::Source(SourceId::Ndk, SourceEvent::Lost(Arc::from("stream ended"))));
            self.wait(5, meanwhile);
        }
        self.tell(Event::Source(SourceId::Ndk, SourceEvent::Syncing));
        self.leaf.instances.clear();
        self.leaf.routes.clear();
        self.groups.clear();
        self.order.shuffle(&mut self.numbers);
        let mut parts = [Part::Applications, Part::Instances, Part::Groups, Part::Routes, Part::Routes];
        self.order.shuffle(&mut parts);
        let mut routes: Vec<(String, IpNet)> = leaf.routes.keys().cloned().collect();
        self.order.shuffle(&mut routes);
        let half = routes.split_off(routes.len() / 2);
        let mut halves = vec![routes, half];
        // The pauses together are shorter than the ten seconds after which a dump is complete whatever was counted.
        let mut pauses = 2;
        for fact in leaf.routes.values() {
            self.group(&fact.next_hops);
        }
        for part in parts {
            match part {
                Part::Applications => self.tell_owners(),
                Part::Instances => self.tell_instances(leaf),
                Part::Groups => self.tell_groups(0),
                Part::Routes => {
                    for key in halves.pop().unwrap_or_default() {
                        let route = self.route(&leaf.routes[&key]);
                        self.tell_route(key, Some(route));
                    }
                }
            }
            // A part whose end only silence shows has no pause in it.
            if !self.connect.gnmi_lost && pauses > 0 && self.order.chance(30) {
                pauses -= 1;
                meanwhile(self);
                self.silence();
                self.wait(3, meanwhile);
            }
        }
        self.leaf.routes.clone_from(&leaf.routes);
        self.silence();
    }

    /// Ends the gNMI session, and opens it again some time later.
    fn restart_gnmi(&mut self, leaf: &LeafFacts, meanwhile: &mut dyn FnMut(&Self)) {
        self.tell(Event::Source(SourceId::Gnmi, SourceEvent::Lost(Arc::from("connection refused"))));
        self.wait(60, meanwhile);
        self.sync_gnmi(leaf);
    }

    /// Lets a second pass in which nothing arrives, and reports that as the source would.
    fn silence(&mut self) {
        for (after, pace) in [(300, DumpPace::Paused), (700, DumpPace::Rested)] {
            self.pass(Duration::from_millis(after));
            self.tell(Event::Switch(SwitchEvent::Pace(pace)));
        }
    }

    /// Lets up to `most` seconds pass, and calls `meanwhile` before and after that.
    fn wait(&mut self, most: usize, meanwhile: &mut dyn FnMut(&Self)) {
        meanwhile(self);
        let seconds = self.order.between(1, most);
        self.pass(Duration::from_secs(seconds as u64));
        meanwhile(self);
    }

    fn tell_owners(&mut self) {
        for (id, owner) in (1..).zip(OWNERS) {
            self.tell(Event::Switch(SwitchEvent::Application(id, Some(Arc::from(owner)))));
        }
    }

    fn tell_instances(&mut self, leaf: &LeafFacts) {
        for (name, id) in &leaf.instances {
            if self.leaf.instances.insert(name.clone(), *id) != Some(*id) {
                let instance = NetworkInstance { id: *id, oper_up: true };
                self.tell(Event::Switch(SwitchEvent::NetworkInstance(name.as_str().into(), Some(instance))));
            }
        }
    }

    fn tell_route(&mut self, (instance, prefix): (String, IpNet), route: Option<Route>) {
        let instance = NetworkInstanceName::from(instance);
        self.tell(Event::Switch(SwitchEvent::Routes(instance, vec![(prefix, route)])));
    }

    fn route(&mut self, fact: &RouteFact) -> Route {
        let at = OWNERS.iter().position(|owner| *owner == fact.owner).expect("an owner of ours");
        let next_hop_group = self.group(&fact.next_hops);
        Route { owner: u32::try_from(at).expect("few") + 1, preference: fact.preference, metric: 0, next_hop_group }
    }

    /// Sends the changes of instances, routes and groups, one prefix at a time; the groups come before or after the
    /// routes.
    fn change_switch(&mut self, leaf: &LeafFacts) {
        self.tell_instances(leaf);
        let known = self.groups.len();
        let mut routes = Vec::new();
        for (key, fact) in &leaf.routes {
            let shown = |fact: &RouteFact| (fact.owner, fact.preference, fact.next_hops.clone());
            if self.leaf.routes.get(key).map(shown) != Some(shown(fact)) {
                let route = self.route(fact);
                routes.push((key.clone(), Some(route)));
            }
        }
        let gone = self.leaf.routes.keys().filter(|key| !leaf.routes.contains_key(key));
        routes.extend(gone.map(|key| (key.clone(), None)));
        self.order.shuffle(&mut routes);
        let routes_first = self.order.chance(50);
        if !routes_first {
            self.tell_groups(known);
        }
        for (key, route) in routes {
            self.tell_route(key, route);
        }
        if routes_first {
            self.tell_groups(known);
        }
        let ended: Vec<String> =
            self.leaf.instances.keys().filter(|name| !leaf.instances.contains_key(*name)).cloned().collect();
        for name in ended {
            self.tell(Event::Switch(SwitchEvent::NetworkInstance(NetworkInstanceName::from(name), None)));
        }
        self.leaf.instances.clone_from(&leaf.instances);
        self.leaf.routes.clone_from(&leaf.routes);
    }

    fn tell_groups(&mut self, from: usize) {
        let groups: Vec<(NextHopGroupId, Option<NextHopGroup>)> = (from..self.groups.len())
            .map(|at| {
                let mut next_hops = self.groups[at].clone();
                next_hops.sort();
                next_hops.dedup();
                (self.number(at), Some(NextHopGroup { next_hops: next_hops.into() }))
            })
            .collect();
        if !groups.is_empty() {
            self.tell(Event::Switch(SwitchEvent::NextHopGroups(groups)));
        }
    }

    fn sync_gnmi(&mut self, leaf: &LeafFacts) {
        self.tell(Event::Source(SourceId::Gnmi, SourceEvent::Syncing));
        let neighbors = leaf.neighbors.iter().map(|(key, fact)| (neighbor_key(key), self.neighbor(*fact))).collect();
        self.tell(Event::Neighbors(Update::All(neighbors)));
        self.failures = self.heard_failures(leaf);
        self.tell(Event::Fib(Update::All(self.failures.clone().into_iter().collect())));
        self.neighbors.clone_from(&leaf.neighbors);
        self.entries.clone_from(&leaf.entries);
        self.tell_counts(leaf);
        self.tell(Event::Source(SourceId::Gnmi, SourceEvent::Synced));
        self.answer(|_, _| true);
    }

    fn change_gnmi(&mut self, leaf: &LeafFacts) {
        self.entries.clone_from(&leaf.entries);
        self.answer(|_, _| true);
        let was = std::mem::replace(&mut self.neighbors, leaf.neighbors.clone());
        for change in changes(&was, &leaf.neighbors) {
            let update = match change {
                Update::Set(key, fact) => Update::Set(neighbor_key(&key), self.neighbor(fact)),
                Update::Gone(key) => Update::Gone(neighbor_key(&key)),
                Update::All(_) => continue,
            };
            self.tell(Event::Neighbors(update));
        }
        let failures = self.heard_failures(leaf);
        let was = std::mem::replace(&mut self.failures, failures);
        for change in changes(&was, &self.failures.clone()) {
            self.tell(Event::Fib(change));
        }
        self.tell_counts(leaf);
    }

    /// Sends how many active routes each table has, and for which tables every FIB fault is known.
    fn tell_counts(&mut self, leaf: &LeafFacts) {
        let tables: Vec<RouteTable> = tables(leaf);
        let in_table = |table: &RouteTable| {
            let routes = leaf.routes.keys();
            let of = |(name, prefix): &&(String, IpNet)| RouteTable::of(&name.as_str().into(), prefix) == *table;
            routes.filter(of).count() as u64
        };
        let counts = tables.iter().map(|table| (table.clone(), in_table(table))).collect();
        self.tell(Event::ActiveRoutes(Update::All(counts)));
        let covered = if self.connect.fib_refused { BTreeSet::new() } else { tables.into_iter().collect() };
        self.tell(Event::Coverage(Coverage { fib: covered }));
    }

    fn heard_failures(&self, leaf: &LeafFacts) -> BTreeMap<FibKey, FibFault> {
        if self.connect.fib_refused { BTreeMap::new() } else { failures(leaf) }
    }

    fn neighbor(&self, fact: NeighborFact) -> Neighbor {
        Neighbor {
            session: Some(if fact.established { SessionState::Established } else { SessionState::Active }),
            last_established: Some(self.now().wall),
            dynamic: fact.dynamic,
            received_routes: Some(fact.received),
        }
    }

    /// Returns the names that a cluster is configured under.
    fn names(&self, number: usize) -> Vec<ClusterName> {
        let again = (number == 0 && self.twice).then(|| AGAIN.into());
        std::iter::once(cluster_name(number).as_str().into()).chain(again).collect()
    }

    fn tell_cluster(&mut self, number: usize, event: ClusterEvent) {
        for name in self.names(number) {
            self.tell(Event::Cluster(name, event.clone()));
        }
    }

    fn tell_source(&mut self, number: usize, event: SourceEvent) {
        for name in self.names(number) {
            self.tell(Event::Source(SourceId::Kubernetes(name), event.clone()));
        }
    }

    fn sync_cluster(&mut self, number: usize, facts: &ClusterFacts) {
        self.tell_source(number, SourceEvent::Syncing);
        self.tell_cluster(number, ClusterEvent::Connected { version: Arc::from("v1.33.0"), caveat: None });
        for (resource, condition) in facts.resources.clone() {
            self.tell_cluster(number, ClusterEvent::SpeakerResource(resource, condition));
        }
        for (resource, objects) in facts.objects.clone() {
            self.tell_cluster(number, ClusterEvent::SpeakerObjects(resource, all(objects)));
        }
        for (resource, statuses) in facts.statuses.clone() {
            self.tell_cluster(number, ClusterEvent::Announcements(resource, all(statuses)));
        }
        self.tell_cluster(number, ClusterEvent::Nodes(all(facts.nodes.clone())));
        self.tell_cluster(number, ClusterEvent::Services(all(facts.services.clone())));
        self.tell_cluster(number, ClusterEvent::EndpointSlices(all(facts.slices.clone())));
        self.tell_source(number, SourceEvent::Synced);
        self.clusters[number] = facts.clone();
    }

    fn change_cluster(&mut self, number: usize, facts: &ClusterFacts) {
        let was = std::mem::replace(&mut self.clusters[number], facts.clone());
        let mut events: Vec<ClusterEvent> = Vec::new();
        events.extend(changes(&was.nodes, &facts.nodes).into_iter().map(ClusterEvent::Nodes));
        events.extend(changes(&was.services, &facts.services).into_iter().map(ClusterEvent::Services));
        events.extend(changes(&was.slices, &facts.slices).into_iter().map(ClusterEvent::EndpointSlices));
        for (resource, statuses) in &facts.statuses {
            let before = was.statuses.get(resource).cloned().unwrap_or_default();
            let changed = changes(&before, statuses).into_iter();
            events.extend(changed.map(|update| ClusterEvent::Announcements(*resource, update)));
        }
        self.order.shuffle(&mut events);
        for event in events {
            self.tell_cluster(number, event);
        }
    }
}

fn all<K, V>(of: BTreeMap<K, V>) -> Update<K, V> {
    Update::All(of.into_iter().collect())
}

/// Returns the updates that turn one table into another.
fn changes<K: Ord + Clone, V: PartialEq + Clone>(was: &BTreeMap<K, V>, is: &BTreeMap<K, V>) -> Vec<Update<K, V>> {
    let gone = was.keys().filter(|key| !is.contains_key(*key)).map(|key| Update::Gone(key.clone()));
    let set = is.iter().filter(|(key, value)| was.get(*key) != Some(value));
    gone.chain(set.map(|(key, value)| Update::Set(key.clone(), value.clone()))).collect()
}

fn neighbor_key((instance, address): &(String, IpAddr)) -> NeighborKey {
    let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let peer = PeerAddress { ip: *address, interface: link_local.then(|| Arc::from("ethernet-1/1.1")) };
    NeighborKey { network_instance: instance.as_str().into(), peer }
}

fn tables(leaf: &LeafFacts) -> Vec<RouteTable> {
    let of = |name: &String| IpFamily::ALL.map(|family| RouteTable { network_instance: name.as_str().into(), family });
    leaf.instances.keys().flat_map(of).collect()
}

fn failures(leaf: &LeafFacts) -> BTreeMap<FibKey, FibFault> {
    let failed = leaf.routes.iter().filter(|(_, route)| route.failed);
    let key =
        |(instance, prefix): &(String, IpNet)| RouteKey { network_instance: instance.as_str().into(), prefix: *prefix };
    let fault = FibFault { kind: FibFaultKind::Failed, since: Timestamp::UNIX_EPOCH };
    failed.map(|(of, route)| (FibKey { route: key(of), owner: route.owner.into() }, fault)).collect()
}

/// Returns the operator's configuration.
fn config(plan: &Plan) -> Config {
    let cluster = |number: usize| {
        let cluster = &plan.clusters[number];
        let others = (0..plan.clusters.len()).filter(|other| cluster.shared && *other != number);
        let fabric = (0..cluster.nodes.len()).filter(|node| cluster.nodes[*node].known == Known::Fabric);
        let address = |node: usize| {
            let id = (number, node);
            let families = [(cluster.v4, false), (cluster.v6, true)].into_iter().filter(|(has, _)| *has);
            let addresses = families.flat_map(|(_, v6)| [plan.speaks_from(id, v6), plan.next_hop(id, v6)]).collect();
            (NodeName::from(node_name(id)), addresses)
        };
        let transit = cluster.router.filter(|router| router.next_hop_self).into_iter();
        let families = [(cluster.v4, false), (cluster.v6, true)].into_iter().filter(|(has, _)| *has).map(|(_, v6)| v6);
        let transit = transit.flat_map(|_| families.clone().map(|v6| Plan::router(number, v6)));
        let source = Source {
            connection: Connection::Kubeconfig { path: PathBuf::from("/etc/kubeconfig"), context: None },
            network_namespace: None,
            speaker: cluster.speaker,
            namespaces: BTreeSet::new(),
            label_selector: None,
            include_external_ips: cluster.services.iter().any(|service| service.external),
            node_address_annotation: None,
            node_labels: true,
        };
        let rules = Rules {
            network_instance: vrf_name(cluster.configured_vrf).as_str().into(),
            vip_pools: if cluster.pool { pools(plan, number) } else { BTreeSet::new() },
            shared_with: others.map(|other| cluster_name(other).as_str().into()).collect(),
            fabric_addresses: fabric.map(address).collect(),
            transit_addresses: transit.collect(),
            announcement: if cluster.l2 && !cluster.readable { AnnouncementMode::L2 } else { AnnouncementMode::Auto },
            speaker_node_selector: (cluster.narrowed && !cluster.readable).then(labeled),
            ..Rules::default()
        };
        Arc::new(ClusterConfig { enabled: true, source, rules })
    };
    let clusters = (0..plan.clusters.len()).map(|number| (cluster_name(number).as_str().into(), cluster(number)));
    let again = plan.twice.then(|| (AGAIN.into(), cluster(0)));
    Config { clusters: clusters.chain(again).collect(), ..Config::default() }
}
