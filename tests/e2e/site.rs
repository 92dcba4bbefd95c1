//! A leaf and three nodes on its bridge, each a network namespace with its own FRR, and an emulated leaf that shows the
//! leaf's FRR and runs the agent.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use srl_sim::fabric::FabricConfig;
use srl_sim::frr::{self, Below, Follower, FrrOptions, Subinterface};
use srl_sim::lab::LabContent;
use srl_sim::ndk::Switches;
use srl_sim::tables::{NetworkInstance, NetworkInstanceKind};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use crate::bench::Bench;
use crate::daemons::{self, Frr};
use crate::net::{Net, ip, skipped};

/// The leaf.
pub(crate) const LEAF: &str = "leaf1";
/// The network instance that shows the leaf's FRR.
const INSTANCE: &str = "ip-vrf-1";
/// The VIP.
pub(crate) const VIP: &str = "1.1.1.100/32";
/// The VIP of the other family.
pub(crate) const VIP6: &str = "2001:db8:1::100/128";
/// Time limit for the leaf's tables to follow.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time limit for what the agent must ask for a second time.
pub(crate) const LOOKED_AGAIN: Duration = Duration::from_secs(90);
const LEAF_AS: u32 = 65535;
const NODES_AS: u32 = 65000;
const FABRIC: &str = "
leaves: { leaf1: { system: [10.0.1.1] } }
network-instances: { ip-vrf-1: { id: 5 } }
clusters: { c1: { network-instance: ip-vrf-1, as: 65535, speaker: metallb, nodes: {} } }
";
const CONFIGURATION: &str = "
set / k8s-services alarm-policy raise-hold-time 1
set / k8s-services alarm-policy clear-hold-time 1
set / k8s-services cluster c1 kubeconfig ${kubeconfig:c1}
set / k8s-services cluster c1 network-namespace self
set / k8s-services cluster c1 network-instance ip-vrf-1
";

/// How the leaf and its nodes are configured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Whether the nodes have another AS number than the leaf.
    pub(crate) ebgp: bool,
    /// Whether BFD guards the sessions.
    pub(crate) bfd: bool,
    /// Seconds for which the nodes ask for their routes to be kept during a restart, if any.
    pub(crate) graceful_restart: Option<u32>,
    /// Whether the nodes speak from loopbacks, which the leaf reaches by static routes.
    pub(crate) loopbacks: bool,
    /// Whether the leaf has each node configured, instead of a range of addresses.
    pub(crate) configured: bool,
    /// Whether the nodes also have IPv6 sessions and announce an IPv6 VIP.
    pub(crate) ipv6: bool,
}

/// All parts of one test.
pub(crate) struct Site {
    pub(crate) bench: Bench,
    pub(crate) leaf: Frr,
    pub(crate) nodes: Vec<Frr>,
    _follower: Follower,
    _monitor: Child,
    /// The last field, because namespaces must be removed after the processes in them have ended.
    _net: Net,
}

impl Site {
    /// Starts everything. If that is not possible here, says so and returns `None`.
    pub(crate) async fn up(options: Options) -> Option<Self> {
        let net = match daemons::missing().map_or_else(Net::new, Err) {
            Ok(net) => net,
            Err(reason) => {
                skipped(&reason);
                return None;
            }
        };
        // Prints warnings about what the leaf cannot interpret, in case of a failure. Another test may have set this up
        // already.
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_test_writer().try_init();
        let news = Arc::new(Notify::new());
        let namespaces = wire(&net).unwrap_or_else(|error| panic!("the hosts cannot be made: {error}"));
        let monitor = monitor(&namespaces[0], news.clone());
        let mut hosts = namespaces.iter().zip(["leaf", "node1", "node2", "node3"]);
        let mut host = |news| {
            let (namespace, name) = hosts.next().expect("four hosts");
            Frr::new(namespace, net.folder().join(name), news)
        };
        let mut leaf = host(news.clone());
        let mut nodes = vec![host(Arc::default()), host(Arc::default()), host(Arc::default())];
        let starts = nodes.iter_mut().zip(1..).map(|(node, number)| start_node(node, number, options));
        futures::future::join(start_leaf(&mut leaf, options), futures::future::join_all(starts)).await;
        let bench =
            Bench::within(net.folder(), "anycast-metallb", Switches::default(), |lab| describe(lab, options)).await;
        let follower = frr::follow(bench.leaf(LEAF), follow_options(&leaf), news);
        Some(Self { bench, leaf, nodes, _follower: follower, _monitor: monitor, _net: net })
    }

    /// Returns the network instance in the leaf's tables.
    pub(crate) fn instance(&self) -> NetworkInstance {
        self.bench.leaf(LEAF).tables().network_instances[INSTANCE].clone()
    }

    /// Waits until the network instance in the leaf's tables is as expected.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&NetworkInstance) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut news = self.bench.leaf(LEAF).datastore().subscribe();
        while !holds(&self.instance()) {
            if !matches!(timeout_at(deadline, news.recv()).await, Ok(Ok(_) | Err(RecvError::Lagged(_)))) {
                let instance = self.instance();
                let (neighbors, bfd) = (&instance.neighbors, &instance.bfd);
                panic!("in time there was no {what}: {neighbors:#?} {bfd:#?} {:#?}", instance.routes);
            }
        }
    }

    /// Disconnects or connects a node: the leaf's port goes down or up, its bridge stays up.
    pub(crate) fn plug(&self, number: usize, plugged: bool) {
        let port = format!("port{number}");
        let state = if plugged { "up" } else { "down" };
        ip(&["-n", self.leaf.namespace(), "link", "set", &port, state]).expect("the port is there");
    }

    /// Removes or inserts the cable at a node's end: the leaf's port loses or gains its link.
    pub(crate) fn cable(&self, number: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        ip(&["-n", self.nodes[number - 1].namespace(), "link", "set", "eth1", state]).expect("the port is there");
    }

    /// Makes a node stop answering while its port stays up, or answer again. What was learned about it is removed at
    /// once.
    pub(crate) fn answers(&self, number: usize, answers: bool) {
        let address = format!("192.168.1.1{number}");
        let change = if answers { "add" } else { "del" };
        let node = self.nodes[number - 1].namespace();
        ip(&["-n", node, "address", change, &format!("{address}/24"), "dev", "eth1"]).expect("an address of the node");
        if !answers {
            ip(&["-n", self.leaf.namespace(), "neighbor", "del", &address, "dev", "irb1"]).expect("it was known");
        }
    }

    /// Ends everything in order.
    pub(crate) async fn down(self) {
        self.bench.down().await;
    }
}

/// Creates the hosts and returns their namespaces, the leaf's first. Node n has 192.168.1.1n and 2001:db8:192::1n, on
/// port n of the leaf's bridge, which has 192.168.1.1 and 2001:db8:192::1; and 6.4.5.1n on its loopback.
pub(crate) fn wire(net: &Net) -> Result<Vec<String>, String> {
    let leaf = net.host("leaf")?;
    ip(&["-n", &leaf, "link", "add", "irb1", "type", "bridge"])?;
    ip(&["-n", &leaf, "address", "add", "192.168.1.1/24", "dev", "irb1"])?;
    ip(&["-n", &leaf, "address", "add", "2001:db8:192::1/64", "dev", "irb1", "nodad"])?;
    ip(&["-n", &leaf, "link", "set", "irb1", "up"])?;
    let mut namespaces = vec![leaf.clone()];
    for number in 1..=3 {
        let node = net.host(&format!("node{number}"))?;
        let port = format!("port{number}");
        ip(&["-n", &leaf, "link", "add", &port, "type", "veth", "peer", "name", "eth1", "netns", &node])?;
        ip(&["-n", &leaf, "link", "set", &port, "master", "irb1", "up"])?;
        ip(&["-n", &node, "address", "add", &format!("192.168.1.1{number}/24"), "dev", "eth1"])?;
        ip(&["-n", &node, "address", "add", &format!("2001:db8:192::1{number}/64"), "dev", "eth1", "nodad"])?;
        ip(&["-n", &node, "address", "add", &format!("6.4.5.1{number}/32"), "dev", "lo"])?;
        ip(&["-n", &node, "link", "set", "eth1", "up"])?;
        namespaces.push(node);
    }
    Ok(namespaces)
}

/// Notifies of every change in the kernel tables of a namespace.
pub(crate) fn monitor(namespace: &str, news: Arc<Notify>) -> Child {
    let mut command = Command::new("ip");
    command.args(["-n", namespace, "monitor", "link", "address", "route", "neigh", "nexthop"]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("ip runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    tokio::spawn(async move {
        while let Ok(Some(_)) = lines.next_line().await {
            news.notify_one();
        }
    });
    child
}

pub(crate) async fn start_leaf(leaf: &mut Frr, options: Options) {
    let peers = if options.ebgp { NODES_AS } else { LEAF_AS };
    let bfd = if options.bfd { "neighbor nodes bfd" } else { "" };
    let multihop = if options.loopbacks { "neighbor nodes ebgp-multihop 2" } else { "" };
    let members = match options {
        Options { configured: true, .. } => {
            (1..=3).map(|node| format!("neighbor 192.168.1.1{node} peer-group nodes\n ")).collect()
        }
        Options { loopbacks: true, .. } => "bgp listen range 6.4.5.0/24 peer-group nodes".to_owned(),
        _ => "bgp listen range 192.168.1.0/24 peer-group nodes".to_owned(),
    };
    let mut bgp = format!(
        "debug bgp updates in
router bgp {LEAF_AS}
 bgp router-id 192.168.1.1
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 neighbor nodes peer-group
 neighbor nodes remote-as {peers}
 neighbor nodes timers 1 3
 neighbor nodes timers connect 1
 {bfd}
 {multihop}
 {members}
 address-family ipv4 unicast
  maximum-paths 64
  maximum-paths ibgp 64
  distance bgp 170 169 170
  neighbor nodes soft-reconfiguration inbound
 exit-address-family
"
    );
    if options.ipv6 {
        bgp.push_str(&leaf_ipv6(peers));
    }
    leaf.start("zebra", "").await;
    let to_loopbacks = (1..=3).map(|node| format!("ip route 6.4.5.1{node}/32 192.168.1.1{node} 5\n"));
    leaf.start("staticd", &to_loopbacks.filter(|_| options.loopbacks).collect::<String>()).await;
    leaf.start("bfdd", "debug bfd peer\n").await;
    leaf.start("bgpd", &bgp).await;
}

async fn start_node(node: &mut Frr, number: u32, options: Options) {
    let own = if options.ebgp { NODES_AS } else { LEAF_AS };
    let bfd = if options.bfd { "neighbor 192.168.1.1 bfd" } else { "" };
    // If a speaker does not say that its host has kept forwarding, its preserved routes end when it is back (RFC 4724).
    let graceful = options.graceful_restart.map_or_else(String::new, |seconds| {
        format!(
            "bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time {seconds}"
        )
    });
    let loopback = if options.loopbacks {
        "neighbor 192.168.1.1 update-source lo\n neighbor 192.168.1.1 ebgp-multihop 2"
    } else {
        ""
    };
    let mut bgp = format!(
        "router bgp {own}
 bgp router-id 192.168.1.1{number}
 no bgp ebgp-requires-policy
 no bgp network import-check
 {graceful}
 neighbor 192.168.1.1 remote-as {LEAF_AS}
 neighbor 192.168.1.1 timers 1 3
 neighbor 192.168.1.1 timers connect 1
 {bfd}
 {loopback}
 address-family ipv4 unicast
  network {VIP}
 exit-address-family
"
    );
    if options.ipv6 {
        bgp.push_str(&node_ipv6(own));
    }
    node.start("zebra", "").await;
    if options.bfd {
        node.start("bfdd", "").await;
    }
    node.start("bgpd", &bgp).await;
}

fn leaf_ipv6(peers: u32) -> String {
    format!(
        "router bgp {LEAF_AS}
 neighbor nodes6 peer-group
 neighbor nodes6 remote-as {peers}
 neighbor nodes6 timers 1 3
 bgp listen range 2001:db8:192::/64 peer-group nodes6
 address-family ipv6 unicast
  neighbor nodes6 activate
  maximum-paths 64
  maximum-paths ibgp 64
  distance bgp 170 169 170
  neighbor nodes6 soft-reconfiguration inbound
 exit-address-family
"
    )
}

fn node_ipv6(own: u32) -> String {
    format!(
        "router bgp {own}
 neighbor 2001:db8:192::1 remote-as {LEAF_AS}
 neighbor 2001:db8:192::1 timers 1 3
 neighbor 2001:db8:192::1 timers connect 1
 address-family ipv6 unicast
  neighbor 2001:db8:192::1 activate
  network {VIP6}
 exit-address-family
"
    )
}

/// Describes one leaf without a model of its nodes, and their cluster.
fn describe(lab: &mut LabContent, options: Options) {
    let fabric: serde_json::Value = serde_norway::from_str(FABRIC).expect("YAML");
    lab.fabric = serde_json::from_value::<FabricConfig>(fabric).expect("a fabric");
    let node = |number| format!("set / k8s-services cluster c1 node node{number} fabric-address [ 6.4.5.1{number} ]\n");
    let nodes = (1..=3).filter(|_| options.loopbacks).map(node);
    lab.config = [CONFIGURATION.to_owned()].into_iter().chain(nodes).collect();
    let cluster = lab.clusters.get_mut("c1").expect("the lab's one cluster");
    cluster.manifests = ["../../tests/e2e/cluster.yaml", "metallb.yaml", "nginx.yaml"].map(Into::into).to_vec();
    cluster.manifests.extend(options.ipv6.then(|| "../../tests/e2e/ipv6.yaml".into()));
}

pub(crate) fn follow_options(leaf: &Frr) -> FrrOptions {
    FrrOptions {
        sockets: leaf.folder().to_owned(),
        network_instance: INSTANCE.to_owned(),
        id: 5,
        kind: NetworkInstanceKind::IpVrf,
        subinterfaces: BTreeMap::from([("irb1".to_owned(), Subinterface { name: "irb1.1".to_owned(), index: 8 })]),
        below: Some(Below {
            namespace: leaf.namespace().to_owned(),
            bridge: "irb1".to_owned(),
            mac_vrf: "subnetA".to_owned(),
            ports: (1..=3).map(|port| (format!("port{port}"), format!("ethernet-1/{port}"))).collect(),
        }),
    }
}
