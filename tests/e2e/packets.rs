//! Compares what packets from the leaf to the VIP do with the walk through the tables and with the agent's verdict.
//!
//! Each node does what kube-proxy does, with a few nftables rules made from the cluster's objects, and each pod is a
//! listener on its own address. A flow arrives if a pod answers it. Every flow has its own source port, so that the
//! leaf's kernel spreads the flows over the next-hops; the shares are not compared, because hashing is not even.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use serde_json::{Value, json};
use srl_sim::tables::{Fib, NetworkInstance, NextHop};
use srl_sim::truth::{
    Cable, Endpoint, EndpointState, Flow, Hop, Host, HostKind, Leaf, Neighbor, Network, Port, Route, Service,
};

use crate::bench::Says::{self, Is, Nothing};
use crate::net::{enter, ip, skipped};
use crate::site::{LEAF, Options, Site};

const VIP: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 100);
const SERVICE: &str = "nginxhello";
const VRF: &str = "ip-vrf-1";
/// Enough flows that each of three next-hops gets some.
const FLOWS: u16 = 48;
/// A flow that is not answered within this time is lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many of the flows arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrive {
    All,
    Some,
    None,
}

impl Arrive {
    fn of(arrived: usize, all: usize) -> Self {
        match arrived {
            0 => Self::None,
            arrived if arrived == all => Self::All,
            _ => Self::Some,
        }
    }
}

/// A pod of the service, with the number of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pod {
    node: usize,
    address: Ipv4Addr,
}

/// The service and its ready pods, as the cluster's API has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intent {
    local: bool,
    pods: BTreeSet<Pod>,
}

impl Intent {
    fn read(site: &Site) -> Self {
        let cluster = site.bench.cluster();
        let service = cluster.get("Service", "default", SERVICE).expect("the service");
        let local = service["spec"]["externalTrafficPolicy"] == "Local";
        let slices = cluster.list("EndpointSlice");
        let ours = slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == SERVICE);
        let endpoints = ours.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != Value::Bool(false));
        Self { local, pods: ready.map(pod).collect() }
    }

    /// Returns the pods that a node forwards to.
    fn of_node(&self, node: usize) -> Vec<Pod> {
        self.pods.iter().copied().filter(|pod| !self.local || pod.node == node).collect()
    }
}

fn pod(endpoint: &Value) -> Pod {
    let node = endpoint["nodeName"].as_str().and_then(|name| name.strip_prefix("node")).expect("a node");
    let address = endpoint["addresses"][0].as_str().expect("an address");
    Pod { node: node.parse().expect("a number"), address: address.parse().expect("an IPv4 address") }
}

/// Runs `work` on a new thread in a network namespace.
fn within<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let namespace = namespace.to_owned();
    std::thread::spawn(move || {
        enter(&namespace).expect("the namespace is there, and root may");
        work()
    })
}

/// A pod that listens, and answers with its address.
struct Listening {
    socket: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    fn start(namespace: &str, pod: Pod) -> Self {
        let _ = ip(&["-n", namespace, "address", "add", &format!("{}/32", pod.address), "dev", "lo"]);
        let bound = within(namespace, move || TcpListener::bind((pod.address, 80)).expect("the pod's port"));
        let socket = bound.join().expect("bound");
        let accepting = socket.try_clone().expect("another handle");
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, _)) = accepting.accept() {
                let _ = stream.write_all(pod.address.to_string().as_bytes());
            }
        });
        Self { socket, thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = shutdown(&self.socket, Shutdown::Both);
        self.thread.take().into_iter().for_each(|thread| _ = thread.join());
    }
}

/// A site whose nodes forward as kube-proxy does.
struct Forwarding {
    site: Site,
    pods: BTreeMap<Pod, Listening>,
    /// The nodes whose cable is out.
    cut: BTreeSet<usize>,
}

impl Forwarding {
    async fn up(options: Options) -> Option<Self> {
        if let Err(error) = Command::new("nft").arg("--version").stdout(Stdio::null()).status() {
            skipped(&format!("nft is not there: {error} (packaging/need-packages nftables)"));
            return None;
        }
        let site = Site::up(options).await?;
        sysctl(site.leaf.namespace(), "net/ipv4/fib_multipath_hash_policy", "1");
        for (node, number) in site.nodes.iter().zip(1..=3) {
            sysctl(node.namespace(), "net/ipv4/ip_forward", "1");
            for other in (1..=3).filter(|other| *other != number) {
                let (pods, by) = (format!("10.244.{other}.0/24"), format!("192.168.1.1{other}"));
                ip(&["-n", node.namespace(), "route", "add", &pods, "via", &by]).expect("a route to pods");
            }
        }
        Some(Self { site, pods: BTreeMap::new(), cut: BTreeSet::new() })
    }

    /// Programs the nodes from the API's current objects; returns these.
    fn program(&mut self) -> Intent {
        let intent = Intent::read(&self.site);
        self.pods.retain(|pod, _| intent.pods.contains(pod));
        for pod in &intent.pods {
            let namespace = self.site.nodes[pod.node - 1].namespace();
            self.pods.entry(*pod).or_insert_with(|| Listening::start(namespace, *pod));
        }
        for (node, number) in self.site.nodes.iter().zip(1..) {
            nft(node.namespace(), &rules(&intent.of_node(number)));
        }
        intent
    }

    /// Waits until the leaf reports this, and compares it with what packets do and what the walk finds.
    async fn agree(&mut self, step: &str, arrive: Arrive, says: &[(&str, Says)]) {
        self.site.bench.until(LEAF, says).await;
        let intent = self.program();
        let flows = self.send().await;
        let answered = flows.iter().flatten().count();
        assert_eq!(Arrive::of(answered, flows.len()), arrive, "{step}: packets, of {flows:?}");
        let network = network(&self.site.instance(), &intent, &self.cut);
        let outcome = network.walk(Flow { leaf: LEAF, vrf: VRF, destination: IpAddr::V4(VIP), services: &[0] });
        let arrived = outcome.0.iter().filter(|branch| branch.arrives()).count();
        assert_eq!(Arrive::of(arrived, outcome.0.len()), arrive, "{step}: the walk, {outcome}");
        let state = self.site.bench.says(LEAF, "oper-state");
        let borne_out = match state.as_deref() {
            Some("up") => arrive == Arrive::All,
            Some("down") => arrive == Arrive::None,
            _ => true,
        };
        assert!(borne_out, "{step}: {state:?}, and {arrive:?} arrive");
        self.site.bench.expect(LEAF, says);
    }

    /// Sends flows from the leaf; returns the address of the pod that answered each, `None` if none did.
    async fn send(&self) -> Vec<Option<String>> {
        let flow = || {
            let to = SocketAddr::from((VIP, 80));
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            (!answer.is_empty()).then_some(answer)
        };
        let flows: Vec<_> = (0..FLOWS).map(|_| within(self.site.leaf.namespace(), flow)).collect();
        let answers = tokio::task::spawn_blocking(move || flows.into_iter().map(|flow| flow.join().expect("a flow")));
        answers.await.expect("sent").collect()
    }

    fn cable(&mut self, node: usize, plugged: bool) {
        self.site.cable(node, plugged);
        if plugged {
            self.cut.remove(&node)
        } else {
            self.cut.insert(node)
        };
    }

    fn policy(&self, policy: &str) {
        let patch = json!({"spec": {"externalTrafficPolicy": policy}});
        self.site.bench.cluster().patch("Service", "default", SERVICE, &patch).expect("patched");
    }

    fn scale(&self, replicas: u32) {
        self.site.bench.cluster().scale("default", SERVICE, replicas).expect("scaled");
    }

    async fn announce(&self, nodes: &[usize], announced: bool) {
        let no = if announced { "" } else { "no " };
        for node in nodes {
            self.site.nodes[node - 1].bgp(&[&format!("{no}network {VIP}/32")]).await;
        }
    }

    async fn down(self) {
        drop(self.pods);
        self.site.down().await;
    }
}

fn sysctl(namespace: &str, name: &'static str, value: &'static str) {
    let written = within(namespace, move || std::fs::write(format!("/proc/sys/{name}"), value));
    written.join().expect("written").unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Returns the rules by which a node forwards the VIP as kube-proxy does: to each of the pods in turn, with the node's
/// own address as source if the pod is on another node. Without pods, packets are dropped.
fn rules(pods: &[Pod]) -> String {
    let mut rules = "table ip proxy\ndelete table ip proxy\ntable ip proxy {\n".to_owned();
    if pods.is_empty() {
        rules.push_str("chain none {\n type filter hook prerouting priority mangle\n");
        let _ = writeln!(rules, " ip daddr {VIP} drop\n}}");
    } else {
        let turns: Vec<String> = pods.iter().enumerate().map(|(at, pod)| format!("{at} : {}", pod.address)).collect();
        let (count, turns) = (pods.len(), turns.join(", "));
        rules.push_str("chain to {\n type nat hook prerouting priority dstnat\n");
        let _ = writeln!(rules, " ip daddr {VIP} tcp dport 80 dnat to numgen inc mod {count} map {{ {turns} }}\n}}");
        rules.push_str("chain from {\n type nat hook postrouting priority srcnat\n ct status dnat masquerade\n}\n");
    }
    rules.push_str("}\n");
    rules
}

fn nft(namespace: &str, rules: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = command.spawn().expect("nft runs");
    nft.stdin.take().expect("piped").write_all(rules.as_bytes()).expect("taken");
    let output = nft.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "{rules}{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the network to walk: the leaf's tables, the nodes' cables, and the service as the API has it.
fn network(instance: &NetworkInstance, intent: &Intent, cut: &BTreeSet<usize>) -> Network {
    let mut network = Network::default();
    let mut leaf = Leaf::default();
    let vrf = leaf.vrfs.entry(VRF.to_owned()).or_default();
    for (key, route) in instance.routes.iter().filter(|(_, route)| route.active) {
        let hops = route.next_hops.iter().map(|hop| match hop {
            NextHop::Direct { .. } if key.prefix.prefix_len() == key.prefix.max_prefix_len() => {
                Hop::Neighbor(key.prefix.addr())
            }
            NextHop::Direct { .. } => Hop::Connected,
            NextHop::Indirect { address, .. } => Hop::Via(*address),
            NextHop::Extract => Hop::Own,
            NextHop::Vxlan { .. } | NextHop::Broadcast | NextHop::Discard => Hop::Discard,
        });
        let programmed = route.fib == Fib::Programmed;
        vrf.routes.insert(key.prefix, Route { programmed, hops: hops.collect() });
    }
    for number in 1..=3_usize {
        let address: IpAddr = format!("192.168.1.1{number}").parse().expect("an address");
        vrf.neighbors.insert(address, Neighbor { mac: number as u64, port: Port::Cable(number - 1) });
        network.cables.push(Cable { up: !cut.contains(&number), host: number - 1 });
        let kind = HostKind::Node { cluster: "c1".to_owned() };
        network.hosts.push(Host { name: format!("node{number}"), up: true, kind });
    }
    network.leaves.insert(LEAF.to_owned(), leaf);
    let endpoint = |pod: &Pod| Endpoint { host: Some(pod.node - 1), state: EndpointState::Ready };
    network.services = vec![Service {
        cluster: "c1".to_owned(),
        name: SERVICE.to_owned(),
        local: intent.local,
        everywhere: false,
        endpoints: intent.pods.iter().map(endpoint).collect(),
    }];
    network
}

const UP: &[(&str, Says)] = &[("oper-state", Is("up")), ("oper-reason", Nothing), ("installed-next-hops", Is("3"))];

fn says(state: &'static str, reason: &'static str) -> [(&'static str, Says); 2] {
    [("oper-state", Is(state)), ("oper-reason", Is(reason))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_model_and_verdict_agree_under_policy_cluster() {
    let Some(mut forwarding) = Forwarding::up(Options::default()).await else { return };
    forwarding.agree("three nodes announce", Arrive::All, UP).await;
    forwarding.announce(&[1], false).await;
    forwarding.agree("two nodes do", Arrive::All, &says("degraded", "next-hop-missing")).await;
    forwarding.announce(&[2, 3], false).await;
    forwarding.agree("none does", Arrive::None, &says("down", "no-route")).await;
    forwarding.announce(&[1, 2, 3], true).await;
    forwarding.agree("all do again", Arrive::All, UP).await;
    let leaf = &forwarding.site.leaf;
    leaf.vtysh(&["configure terminal", "ip route 1.1.1.100/32 192.168.1.99 5"]).await;
    forwarding.agree("a static route wins", Arrive::None, &says("down", "next-hop-unexpected")).await;
    let leaf = &forwarding.site.leaf;
    leaf.vtysh(&["configure terminal", "no ip route 1.1.1.100/32 192.168.1.99 5"]).await;
    forwarding.agree("it is taken away", Arrive::All, UP).await;
    forwarding.scale(0);
    forwarding.agree("no pod is left", Arrive::None, &says("down", "no-ready-endpoint")).await;
    forwarding.scale(3);
    forwarding.agree("pods are back", Arrive::All, UP).await;
    forwarding.site.nodes[1].kill("bgpd").await;
    forwarding.agree("a speaker died", Arrive::All, &says("degraded", "session-down")).await;
    forwarding.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_model_and_verdict_agree_under_policy_local() {
    let Some(mut forwarding) = Forwarding::up(Options::default()).await else { return };
    forwarding.policy("Local");
    forwarding.agree("every node has a pod", Arrive::All, UP).await;
    forwarding.scale(2);
    forwarding.agree("one has none, and announces", Arrive::Some, &says("degraded", "next-hop-unexpected")).await;
    let with_pods: BTreeSet<usize> = forwarding.program().pods.iter().map(|pod| pod.node).collect();
    let without: Vec<usize> = (1..=3).filter(|node| !with_pods.contains(node)).collect();
    forwarding.announce(&without, false).await;
    let two = [("oper-state", Is("up")), ("oper-reason", Nothing), ("installed-next-hops", Is("2"))];
    forwarding.agree("it announces no more", Arrive::All, &two).await;
    forwarding.scale(0);
    forwarding.agree("no pod is left", Arrive::None, &says("down", "no-ready-endpoint")).await;
    forwarding.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_are_never_wrong_about_a_route_kept_by_graceful_restart() {
    let options = Options { graceful_restart: Some(120), ..Options::default() };
    let Some(mut forwarding) = Forwarding::up(options).await else { return };
    forwarding.agree("three nodes announce", Arrive::All, UP).await;
    forwarding.site.nodes[0].kill("bgpd").await;
    forwarding.agree("a speaker restarts", Arrive::All, &says("unknown", "session-down")).await;
    forwarding.cable(1, false);
    forwarding.agree("its node is gone", Arrive::Some, &says("unknown", "session-down")).await;
    forwarding.cable(1, true);
    forwarding.site.nodes[0].start_again("bgpd").await;
    forwarding.site.bench.until(LEAF, UP).await;
    forwarding.down().await;
}
