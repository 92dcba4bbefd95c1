//! A leaf with ten thousand VIPs, their cluster, and the agent between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::json;
use srl_proto::ndk as pb;
use srl_sim::cluster::{Cluster, Server};
use srl_sim::ndk::{AppInfo, Key, NdkEvent, RouteRow, Row};
use srl_sim::tables::{
    Fib, Neighbor, NetworkInstance, NetworkInstanceKind, NextHop, Rib, Route, RouteKey, Segment, SessionRecord, Tables,
};

use crate::entries::{Entries, entries};
use crate::load::{self, ATTACHED, SERVICES};
use crate::process::{Agent, yardstick};
use crate::report::{Line, ratio};
use crate::switch::Switch;
use crate::yardstick::PROBE;

const VRF: &str = "ip-vrf-1";
const BGP: u32 = 14;
const PREFERENCE: u8 = 170;
/// A group of all attached nodes, and one without the last node.
const ALL: u64 = 3_706_001;
const FEWER: u64 = 3_706_003;
/// Duration of measurements that need several events.
const WATCH: Duration = Duration::from_secs(12);

/// The scene in its complete state.
pub(crate) struct Scene {
    pub(crate) switch: Switch,
    pub(crate) cluster: Cluster,
    server: Server,
    agent: Agent,
    /// Time from the registration to the last write of the complete state.
    started_in: Duration,
    /// Parts of that time: until the first service was written, and in calls.
    judged_in: Duration,
    in_calls: Duration,
    /// Processor time the agent used until then.
    cpu: f64,
    /// Number of entries written until then, and the resulting state.
    written: u64,
    stood: Entries,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let cluster = load::cluster(SERVICES);
        let switch = switch().await;
        let server = switch.watch(&cluster, VRF).await;

        let mut news = switch.ndk().subscribe();
        let agent = Agent::start(&switch);
        while !matches!(news.recv().await, Ok(NdkEvent::Registered(_))) {}
        let registered = Instant::now();
        switch.until("/k8s-services/summary", |summary| summary["vips-up"] == SERVICES).await;
        let complete = quiet(&switch).await;
        let record = switch.ndk().record();
        let written = record.totals().updates;
        let calls = record.calls();
        let of_services = calls.iter().find(|call| call.paths.iter().any(|path| path.contains(".service{")));
        let judged_in = of_services.map_or(complete, |call| call.at) - registered;
        let in_calls = calls.iter().map(|call| call.took).sum();
        let (started_in, cpu) = (complete - registered, agent.cpu());
        let stood = stands(&switch);
        Self { switch, cluster, server, agent, started_in, judged_in, in_calls, cpu, written, stood }
    }

    /// Reports the agent's memory when everything is known and published.
    pub(crate) fn memory(&self) -> Vec<Line> {
        vec![
            Line::megabytes("resident in all", self.agent.resident(), 60),
            Line::figure("the most that was ever resident", format!("{:.1} MB", self.agent.peak() as f64 / 1e6)),
        ]
    }

    /// Reports the agent's start time, compared with one listing and one write of the same entries.
    pub(crate) async fn start_up(&self) -> Vec<Line> {
        let entries = &self.stood;
        let file = self.switch.folder().join("entries");
        write_file(&file, entries.iter());
        let listing = yardstick(&["list", &self.server.url()]).await[0];
        let other = switch().await;
        let socket = other.ndk().socket().display().to_string();
        let writing = yardstick(&["write", &socket, &file.display().to_string()]).await[0];
        let started_in = self.started_in.as_secs_f64();
        vec![
            Line::figure("one listing", format!("{listing:.2} s")),
            Line::figure(format!("one write pass of {} entries", entries.len()), format!("{writing:.2} s")),
            Line::figure("the agent, from register to complete state", format!("{started_in:.2} s")),
            Line::figure("of it until the first service is written", format!("{:.2} s", self.judged_in.as_secs_f64())),
            Line::figure("of it in calls to the NDK", format!("{:.2} s", self.in_calls.as_secs_f64())),
            Line::figure("its processor time", format!("{:.2} s", self.cpu)),
            Line::budget("the agent against both", ratio(started_in, listing + writing), 1.0),
            Line::budget("entries written against entries that stand", self.written as f64 / entries.len() as f64, 1.1),
        ]
    }

    /// Reports what is written for one change, and for no change.
    pub(crate) async fn writes(&self) -> Vec<Line> {
        let route = self.written_for(|| self.route(1, FEWER)).await;
        let route_again = self.written_for(|| self.repeat_route(1, FEWER)).await;
        // Restores the route before the change becomes an alarm.
        self.route(1, ALL);
        let endpoint = self.written_for(|| self.endpoint(2, false)).await;
        let endpoint_again = self.written_for(|| self.repeat_endpoint(2)).await;
        vec![
            Line::figure("entries written for one route change", route.written.to_string()),
            Line::count("of them unchanged, or written twice", route.needless, 0),
            Line::count("entries written for the same route again", route_again.written, 0),
            Line::figure("entries written for one endpoint change", endpoint.written.to_string()),
            Line::count("of them unchanged, or written twice", endpoint.needless, 0),
            Line::count("entries written for the same endpoints again", endpoint_again.written, 0),
        ]
    }

    /// Reports the processor time while nothing happens.
    pub(crate) async fn idle(&self) -> Vec<Line> {
        vec![Line::share("processor while idle, of one core", self.agent.idle_share(WATCH).await, 0.01)]
    }

    /// Changes the group of a VIP's route.
    pub(crate) fn route(&self, number: u32, group: u64) {
        self.switch.ndk().apply([route_row(number, group)]);
    }

    /// Sends a route again, unchanged.
    fn repeat_route(&self, number: u32, group: u64) {
        let (key, row) = route_row(number, group);
        self.switch.ndk().apply([(key.clone(), None), (key, row)]);
    }

    /// Sets whether the first endpoint of a service is ready.
    pub(crate) fn endpoint(&self, number: u32, ready: bool) {
        self.edit(number, |slice| {
            slice["endpoints"][0]["conditions"]["ready"] = ready.into();
            slice["endpoints"][0]["conditions"]["serving"] = ready.into();
        });
    }

    /// Sends a slice again with the same endpoints.
    fn repeat_endpoint(&self, number: u32) {
        self.edit(number, |slice| slice["metadata"]["annotations"] = json!({"seen": "again"}));
    }

    fn edit(&self, number: u32, change: impl FnOnce(&mut serde_json::Value)) {
        let edited = self.cluster.edit("EndpointSlice", &load::namespace(number), &load::slice_name(number), change);
        edited.expect("the slice is there");
    }

    pub(crate) fn fewer(&self, number: u32) {
        self.route(number, FEWER);
    }

    /// Writes a file with the entries of one service, as another application would write them.
    pub(crate) fn probe_entries(&self) -> PathBuf {
        let service = format!(".name==\"{}\"}}", load::service_name(0));
        let of_service = self.entries().into_iter().filter(|(path, _)| path.contains(&service));
        let renamed: Entries =
            of_service.map(|(path, json)| (path.replace(".name==\"c1\"", ".name==\"probe\""), json)).collect();
        let file = self.switch.folder().join("probe");
        write_file(&file, renamed.iter());
        file
    }

    fn entries(&self) -> Entries {
        stands(&self.switch)
    }

    async fn written_for(&self, change: impl FnOnce()) -> Written {
        quiet(&self.switch).await;
        let record = self.switch.ndk().record();
        record.clear();
        let before = self.entries();
        change();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = self.entries();
        let calls = record.calls();
        let differs = |path: &str| before.get(path) != after.get(path);
        let all = calls.iter().flat_map(|call| &call.paths).map(String::as_str);
        let paths: Vec<&str> = all.filter(|path| !is_freshness(path) && *path != ROOT).collect();
        let needed: BTreeSet<&str> = paths.iter().copied().filter(|path| differs(path)).collect();
        // The document at the root contains the summary and the statistics: one of its writes has the new summary.
        let root = [ROOT, SUMMARY].into_iter().any(differs);
        Written { written: paths.len() as u64 + u64::from(root), needless: (paths.len() - needed.len()) as u64 }
    }
}

/// The document of the agent itself, and the part of it that changes with verdicts.
const ROOT: &str = ".k8s-services";
const SUMMARY: &str = ".k8s-services.summary";

/// Returns all existing entries.
fn stands(switch: &Switch) -> Entries {
    switch.state("/k8s-services").map(|state| entries(&state)).unwrap_or_default()
}

struct Written {
    written: u64,
    needless: u64,
}

/// Returns whether a path has freshness or counters, which are written periodically.
fn is_freshness(path: &str) -> bool {
    path.contains(".statistics") || path.contains(".source{") || path.ends_with(".cluster{.name==\"c1\"}")
}

/// Waits until only freshness has been written for a second. Returns the time of the last other call.
async fn quiet(switch: &Switch) -> Instant {
    let begun = Instant::now();
    loop {
        let calls = switch.ndk().record().calls();
        let last = calls.iter().rev().find(|call| !call.paths.iter().all(|path| is_freshness(path)));
        let last = last.map_or(begun, |call| call.at + call.took);
        if last.elapsed() > Duration::from_secs(1) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a leaf with the sessions and the routes.
async fn switch() -> Switch {
    let switch = Switch::start().await;
    switch.ndk().add_app(AppInfo { name: PROBE.to_owned(), ..AppInfo::default() });
    switch.leaf().set_tables(tables());
    let group = |key, nodes| (Key::Group(key), Some(Row::Group((0..nodes).map(next_hop).collect::<Arc<[_]>>())));
    switch.ndk().apply([group(ALL, ATTACHED), group(FEWER, ATTACHED - 1)]);
    switch.ndk().apply((0..SERVICES).map(|number| route_row(number, ALL)));
    switch
}

fn tables() -> Tables {
    let neighbors = (0..ATTACHED).map(|node| (load::node_address(node).to_string(), neighbor()));
    // gNMI counts these, so that the agent knows when it has received all.
    let routes = (0..SERVICES).map(|number| (route_key(number), route()));
    let instance = NetworkInstance {
        bgp_preference: None,
        id: 3,
        kind: NetworkInstanceKind::IpVrf,
        router_id: None,
        oper_up: true,
        routes: routes.collect(),
        neighbors: neighbors.collect(),
        farewells: BTreeMap::new(),
        bfd: BTreeMap::new(),
        segment: Segment::default(),
        rib: Rib::new(),
    };
    Tables { network_instances: BTreeMap::from([(VRF.to_owned(), instance)]), ..Tables::default() }
}

fn neighbor() -> Neighbor {
    Neighbor {
        session_state: "established".to_owned(),
        last_established: Some("2026-01-01T00:00:00.000Z".to_owned()),
        established_transitions: 1,
        peer_as: 65_535,
        local_as: 65_001,
        peer_group: "nodes".to_owned(),
        dynamic: true,
        local_address: None,
        afi_safis: BTreeMap::new(),
        record: SessionRecord::default(),
    }
}

fn route_key(number: u32) -> RouteKey {
    RouteKey { prefix: prefix(number), route_type: "bgp".to_owned(), owner: "bgp_mgr".to_owned(), id: 0 }
}

fn route() -> Route {
    let next_hop = |node| NextHop::Indirect { address: load::node_address(node).into(), resolving: None };
    Route {
        preference: PREFERENCE,
        metric: 0,
        active: true,
        next_hops: (0..ATTACHED).map(next_hop).collect(),
        fib: Fib::Programmed,
    }
}

fn prefix(number: u32) -> IpNet {
    IpNet::from(IpAddr::from(load::vip(number)))
}

fn route_row(number: u32, group: u64) -> (Key, Option<Row>) {
    let row = RouteRow { preference: PREFERENCE, metric: 0, owner: BGP, group };
    (Key::Route { network_instance: VRF.into(), prefix: prefix(number) }, Some(Row::Route(row)))
}

fn next_hop(node: u32) -> pb::NextHop {
    let address = pb::IpAddressPb { ip_address: load::node_address(node).octets().to_vec().into() };
    pb::NextHop {
        resolve_to: pb::next_hop::ResolveToType::Indirect.into(),
        r#type: pb::next_hop::ResolutionType::Regular.into(),
        nexthop: Some(pb::next_hop::Nexthop::IpNexthop(address)),
    }
}

fn write_file<'a>(file: &std::path::Path, entries: impl Iterator<Item = (&'a String, &'a String)>) {
    let lines: String = entries.map(|(path, json)| format!("{path}\t{json}\n")).collect();
    std::fs::write(file, lines).expect("a file of our own");
}
