//! Tests with the real MetalLB on the nodes of a real cluster: a controller, and a speaker in the namespace of each
//! node, with the accounts and rights of MetalLB's own manifest. They peer with the leaf's FRR.
//!
//! Two emulated leaves show this FRR. The agent of `leaf1` may read everything it can use, including what speakers
//! report about themselves. The agent of `leaf2` may not read the latter and only knows the rules. What each of them
//! expects is compared with the nodes from which FRR has the route.

mod frr;
mod native;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use srl_sim::fabric::FabricConfig;
use srl_sim::frr::{Follower, follow};
use srl_sim::ndk::Switches;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::frr::Beside;
use crate::admin::Admin;
use crate::apiserver::ApiServer;
use crate::bench::{Bench, CLUSTER, Says};
use crate::daemons::{self, Frr};
use crate::net::{Net, share_credentials, skipped};
use crate::peers::peer;
use crate::site::{Options, follow_options, monitor, start_leaf, wire};

/// The leaf whose agent may read everything, and the one whose agent only knows the rules.
const LEAVES: [&str; 2] = ["leaf1", "leaf2"];
/// Time limit for MetalLB to act and the agents to report it.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time between two looks at FRR.
const PAUSE: Duration = Duration::from_millis(50);
const NODES: [&str; 3] = ["node1", "node2", "node3"];
const FABRIC: &str = "
leaves: { leaf1: { system: [10.0.1.1] }, leaf2: { system: [10.0.1.2] } }
network-instances: { ip-vrf-1: { id: 5 } }
";
/// The kinds in MetalLB's manifest that are not for running it in pods.
const KINDS: [&str; 7] = [
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
];
const METALLB: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system";

const ALL: &[&str] = &NODES;
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The BGP speaker of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// MetalLB's speaker itself.
    Native,
    /// An FRR next to it.
    Frr,
}

/// An endpoint of a service.
#[derive(Clone, Copy, Debug)]
struct Endpoint {
    node: &'static str,
    ready: bool,
    serving: bool,
}

/// Returns an endpoint that is ready.
fn ready(node: &'static str) -> Endpoint {
    Endpoint { node, ready: true, serving: true }
}

impl Mode {
    /// Returns the name used by MetalLB.
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Frr => "frr",
        }
    }
}

/// All parts of one test.
struct Site {
    mode: Mode,
    bench: Bench,
    admin: Admin,
    leaf: Frr,
    speakers: BTreeMap<&'static str, Child>,
    beside: BTreeMap<&'static str, Beside>,
    _controller: Child,
    _followers: Vec<Follower>,
    _monitor: Child,
    programs: PathBuf,
    namespaces: BTreeMap<&'static str, String>,
    /// The last field, because namespaces must be removed after the processes in them have ended.
    api: ApiServer,
}

impl Site {
    /// Starts everything. If that is not possible here, says so and returns `None`.
    async fn up(mode: Mode, options: Options) -> Option<Self> {
        match Self::try_up(mode, options).await {
            Ok(site) => Some(site),
            Err(reason) => {
                skipped(&reason);
                None
            }
        }
    }

    async fn try_up(mode: Mode, options: Options) -> Result<Self, String> {
        daemons::missing().or_else(|| frr::missing().filter(|_| mode == Mode::Frr)).map_or(Ok(()), Err)?;
        let programs = peer("metallb")?;
        let api = ApiServer::up(Net::new()?, &[]).await?;
        let hosts = wire(api.net())?;
        let admin = api.admin().await;
        apply(&admin, &programs).await;
        let news = Arc::new(Notify::new());
        let monitor = monitor(&hosts[0], news.clone());
        let mut leaf = Frr::new(&hosts[0], api.net().folder().join("leaf"), news.clone());
        start_leaf(&mut leaf, options).await;
        let bench = emulate(&api).await;
        let follow = |name: &&str| follow(bench.leaf(name), follow_options(&leaf), news.clone());
        let followers = LEAVES.iter().map(follow).collect();
        let host = api.net().host("metallb")?;
        api.plug(&host)?;
        let controller = start_controller(&api, &host, &programs, mode).await;
        let namespaces = NODES.into_iter().zip(hosts.into_iter().skip(1)).collect();
        let mut site = Self {
            mode,
            bench,
            admin,
            leaf,
            speakers: BTreeMap::new(),
            beside: BTreeMap::new(),
            _controller: controller,
            _followers: followers,
            _monitor: monitor,
            programs,
            namespaces,
            api,
        };
        for node in NODES {
            let namespace = &site.namespaces[node];
            site.api.plug(namespace)?;
            if mode == Mode::Frr {
                // FRR waits two minutes after a failed attempt.
                site.peer("peer", json!({"connectTime": "1s"})).await;
                let folder = site.api.net().folder().join(node);
                site.beside.insert(node, Beside::start(namespace, &folder, &site.programs).await);
            }
            site.start_speaker(node).await;
        }
        Ok(site)
    }

    /// Starts the speaker of a node.
    async fn start_speaker(&mut self, node: &'static str) {
        self.start_speaker_with(node, &[]).await;
    }

    /// Starts the speaker of a node with these additional flags.
    async fn start_speaker_with(&mut self, node: &'static str, flags: &[&str]) {
        let pod = format!("speaker-{node}");
        let mut command =
            program(&self.api, &self.namespaces[node], &self.programs.join("speaker"), &pod, "speaker").await;
        command.args(["--node-name", node]).args(flags);
        command.env("METALLB_BGP_TYPE", self.mode.name());
        if let Some(beside) = self.beside.get(node) {
            beside.tell(&mut command);
        }
        self.speakers.insert(node, command.spawn().expect("ip runs"));
    }

    /// Kills the speaker of a node. It cannot notify its peers.
    async fn kill_speaker(&mut self, node: &str) {
        self.speakers.remove(node).expect("it runs").kill().await.expect("a process of ours can be killed");
    }

    /// Creates or changes a Service of type LoadBalancer with one port. `change` is merged into it.
    async fn service(&self, name: &str, change: Value) {
        let mut service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
            "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
        });
        merge(&mut service, change);
        self.admin.apply_object(&service).await;
    }

    /// Sets the endpoints of a service.
    async fn endpoints(&self, service: &str, endpoints: &[Endpoint]) {
        let endpoints = endpoints.iter().zip(10..).map(|(endpoint, number)| {
            let Endpoint { node, ready, serving } = *endpoint;
            let conditions = json!({"ready": ready, "serving": serving, "terminating": serving && !ready});
            json!({"addresses": [format!("10.244.0.{number}")], "nodeName": node, "conditions": conditions})
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": service,
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": endpoints.collect::<Vec<_>>(),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        });
        self.admin.apply_object(&slice).await;
    }

    /// Creates or replaces a BGPAdvertisement with exactly this specification.
    async fn advertise(&self, name: &str, spec: Value) {
        let path = format!("{METALLB}/bgpadvertisements/{name}");
        let Ok(mut advertisement) = self.admin.get(&path).await else {
            let metadata = json!({"name": name, "namespace": "metallb-system"});
            let kind = ("metallb.io/v1beta1", "BGPAdvertisement");
            let advertisement = json!({"apiVersion": kind.0, "kind": kind.1, "metadata": metadata, "spec": spec});
            return self.admin.apply_object(&advertisement).await;
        };
        advertisement["spec"] = spec;
        let put = self.admin.ask(Method::PUT, &path, "application/json", &advertisement).await;
        put.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Deletes a BGPAdvertisement.
    async fn no_longer_advertise(&self, name: &str) {
        self.admin.delete(&format!("{METALLB}/bgpadvertisements/{name}")).await;
    }

    /// Merges a patch into a Node.
    async fn node(&self, name: &str, patch: Value) {
        self.admin.patch(&format!("/api/v1/nodes/{name}"), &patch).await;
    }

    /// Sets a Node's condition NetworkUnavailable.
    async fn network_unavailable(&self, name: &str, unavailable: bool) {
        let status = if unavailable { "True" } else { "False" };
        let conditions = json!([{"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": status}]);
        self.admin.patch(&format!("/api/v1/nodes/{name}/status"), &json!({"status": {"conditions": conditions}})).await;
    }

    /// Makes a Node not Ready.
    async fn not_ready(&self, name: &str) {
        let conditions = json!([{"type": "Ready", "status": "False"}]);
        self.admin.patch(&format!("/api/v1/nodes/{name}/status"), &json!({"status": {"conditions": conditions}})).await;
    }

    /// Creates or changes a BGPPeer for the leaf. `change` is merged into its specification.
    async fn peer(&self, name: &str, change: Value) {
        let mut peer = json!({
            "apiVersion": "metallb.io/v1beta2",
            "kind": "BGPPeer",
            "metadata": {"name": name, "namespace": "metallb-system"},
            "spec": {"myASN": 65535, "peerASN": 65535, "peerAddress": "192.168.1.1"},
        });
        merge(&mut peer["spec"], change);
        self.admin.apply_object(&peer).await;
    }

    /// Waits until a node's speaker reports that it rejects its configuration.
    async fn refused(&self, node: &str) {
        let state = format!("{METALLB}/configurationstates/speaker-{node}");
        self.admin.until(&state, |state| state["status"]["result"] == "Invalid").await;
    }

    /// Returns the nodes from which the leaf's FRR has each prefix.
    async fn announced(&self) -> BTreeMap<IpNet, BTreeSet<IpAddr>> {
        #[derive(Deserialize)]
        struct Table {
            routes: BTreeMap<IpNet, Vec<Path>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Path {
            peer_id: IpAddr,
        }
        let text = self.leaf.vtysh(&["show bgp ipv4 unicast json"]).await;
        let table: Table = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let routes = table.routes.into_iter();
        routes.map(|(prefix, paths)| (prefix, paths.into_iter().map(|path| path.peer_id).collect())).collect()
    }

    /// Waits until FRR has exactly these prefixes, each from these nodes, and both agents agree with FRR.
    async fn agree(&self, what: &str, expected: &[(&str, &[&str])]) {
        let expected: BTreeMap<IpNet, BTreeSet<IpAddr>> = expected
            .iter()
            .map(|(prefix, nodes)| {
                let prefix = prefix.parse().expect("a prefix");
                (prefix, nodes.iter().map(|node| address(node)).collect())
            })
            .collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let announced = self.announced().await;
            let disagreeing = LEAVES.iter().find_map(|leaf| Some((leaf, self.disagreement(leaf, &announced)?)));
            if announced == expected && disagreeing.is_none() {
                return;
            }
            if Instant::now() > deadline {
                let (leaf, why) = disagreeing.unwrap_or((&LEAVES[0], "agents agree with FRR".to_owned()));
                let said = self.admin.get(&format!("{METALLB}/servicebgpstatuses")).await.expect("listed");
                let said: Vec<&Value> = list(&said, "items").map(|item| &item["status"]).collect();
                let lines = [
                    format!("FRR has {announced:?}, expected was {expected:?}; {why}"),
                    format!("speakers say {said:?}; they logged in {}", self.api.net().folder().display()),
                ];
                panic!("{what}: {}", self.bench.failure(leaf, "no agreement", &lines));
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns where an agent expects other nodes to announce a VIP than those from which FRR has its route. A node
    /// whose session is not up may be expected. VIPs of one aggregate count as one.
    fn disagreement(&self, leaf: &str, announced: &BTreeMap<IpNet, BTreeSet<IpAddr>>) -> Option<String> {
        let vips = self.expected(leaf);
        if let Some(prefix) = announced.keys().find(|prefix| !vips.keys().any(|vip| prefix.contains(vip))) {
            return Some(format!("{leaf} has no VIP in {prefix}"));
        }
        let mut by_prefix: BTreeMap<Option<IpNet>, BTreeSet<IpAddr>> = BTreeMap::new();
        for (vip, expected) in vips {
            let matching = announced.keys().filter(|prefix| prefix.contains(&vip));
            by_prefix.entry(matching.max_by_key(|prefix| prefix.prefix_len()).copied()).or_default().extend(expected);
        }
        by_prefix.into_iter().find_map(|(prefix, expected)| {
            let nodes = prefix.map(|prefix| announced[&prefix].clone()).unwrap_or_default();
            (nodes != expected).then(|| format!("{prefix:?} comes from {nodes:?}, expected by {leaf} are {expected:?}"))
        })
    }

    /// Returns the VIPs of an agent, with the expected nodes whose sessions are up.
    fn expected(&self, leaf: &str) -> BTreeMap<IpAddr, BTreeSet<IpAddr>> {
        let state = self.bench.says(leaf, CLUSTER).and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let state = state.unwrap_or_default();
        let address = |entry: &Value| entry["address"].as_str().and_then(|text| text.parse().ok());
        let vips = list(&state, "service").flat_map(|service| list(service, "vip"));
        vips.filter_map(|vip| {
            let expected = list(vip, "next-hop").filter(|hop| hop["expected"].to_string().contains("true"));
            let up = expected.filter(|hop| hop["session-state"] == "established");
            Some((address(vip)?, up.filter_map(address).collect()))
        })
        .collect()
    }

    /// Waits until both agents report this.
    async fn both(&self, expected: &[(&str, Says)]) {
        for leaf in LEAVES {
            self.bench.until(leaf, expected).await;
        }
    }

    /// Ends everything in order.
    async fn down(self) {
        self.bench.down().await;
    }
}

/// Returns the entries of a list in state.
fn list<'a>(state: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    state[name].as_array().into_iter().flatten()
}

/// Returns the address from which a node speaks BGP.
fn address(node: &str) -> IpAddr {
    let number: u8 = node.strip_prefix("node").and_then(|number| number.parse().ok()).expect("a node's name");
    Ipv4Addr::new(192, 168, 1, 10 + number).into()
}

/// Merges the second value into the first. Null removes a member.
fn merge(value: &mut Value, change: Value) {
    match (value, change) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes {
                match change {
                    Value::Null => drop(members.remove(&name)),
                    change => merge(members.entry(name).or_insert(Value::Null), change),
                }
            }
        }
        (value, change) => *value = change,
    }
}

/// Applies MetalLB's own manifest except for its pods, the agents' accounts, the nodes, and our MetalLB objects.
async fn apply(admin: &Admin, programs: &Path) {
    let manifest = programs.join("config/manifests/metallb-native.yaml");
    let text = fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    for document in serde_norway::Deserializer::from_str(&text) {
        let mut object = Value::deserialize(document).expect("YAML");
        if KINDS.iter().any(|kind| object["kind"] == *kind) {
            // No conversion is needed, because nobody writes older versions.
            object["spec"].as_object_mut().and_then(|spec| spec.remove("conversion"));
            admin.apply_object(&object).await;
        }
    }
    for ours in [
        include_str!("../../../packaging/rbac/k8s-services.yaml"),
        include_str!("../../../packaging/rbac/speakers.yaml"),
        include_str!("../../../packaging/rbac/bgppeers.yaml"),
        include_str!("../cluster.yaml"),
        include_str!("objects.yaml"),
    ] {
        admin.apply(ours).await;
    }
    admin.apply_object(&pod("controller", "controller", "node1")).await;
    for node in NODES {
        admin.apply_object(&pod(&format!("speaker-{node}"), "speaker", node)).await;
    }
}

/// Returns the pod of one of MetalLB's programs, which these look up.
fn pod(name: &str, account: &str, node: &str) -> Value {
    let containers = json!([{"name": account, "image": account}]);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "metallb-system"},
        "spec": {"nodeName": node, "serviceAccountName": account, "containers": containers},
    })
}

/// Starts the emulated leaves, with an agent on each.
async fn emulate(api: &ApiServer) -> Bench {
    let accounts = [(LEAVES[0], "k8s-services", "leaf"), (LEAVES[1], "rules", "rules")];
    let mut config = BTreeMap::new();
    for (leaf, namespace, account) in accounts {
        let file = kubeconfig(api, namespace, account, account).await;
        let lines = [
            "alarm-policy raise-hold-time 1".to_owned(),
            "alarm-policy clear-hold-time 1".to_owned(),
            format!("cluster c1 kubeconfig {}", file.display()),
            format!("cluster c1 network-namespace {}", api.leaf_namespace()),
            "cluster c1 network-instance ip-vrf-1".to_owned(),
        ];
        config.insert(leaf.to_owned(), lines.map(|line| format!("set / k8s-services {line}\n")).concat());
    }
    Bench::within(api.net().folder(), "anycast-metallb", Switches::default(), |lab| {
        let fabric: Value = serde_norway::from_str(FABRIC).expect("YAML");
        lab.fabric = serde_json::from_value::<FabricConfig>(fabric).expect("a fabric");
        lab.clusters.clear();
        lab.config.clear();
        lab.leaf_config = config;
        share_credentials(lab);
    })
    .await
}

/// Writes a kubeconfig with the credentials of a service account.
async fn kubeconfig(api: &ApiServer, namespace: &str, account: &str, name: &str) -> PathBuf {
    let token = api.token_for(namespace, account, Duration::from_secs(3600)).await;
    let file = api.net().folder().join(format!("{name}.kubeconfig"));
    fs::write(&file, api.token_kubeconfig(&token)).expect("a folder of ours");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("a file of ours");
    file
}

/// Returns the command for one of MetalLB's programs, which runs as in a pod of a host.
async fn program(api: &ApiServer, namespace: &str, program: &Path, pod: &str, account: &str) -> Command {
    let log = api.net().folder().join(format!("{pod}.log"));
    let log = File::options().create(true).append(true).open(log).expect("a log file");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command.args(["--namespace", "metallb-system", "--pod-name", pod, "--port", "0", "--log-level", "debug"]);
    command.env("KUBECONFIG", kubeconfig(api, "metallb-system", account, pod).await);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log).kill_on_drop(true);
    command
}

async fn start_controller(api: &ApiServer, host: &str, programs: &Path, mode: Mode) -> Child {
    let mut command = program(api, host, &programs.join("controller"), "controller", "controller").await;
    command.env("METALLB_BGP_TYPE", mode.name());
    // Webhooks are disabled, because nothing asks MetalLB whether objects are valid.
    command.args(["--webhook-mode", "disabled", "--disable-cert-rotation"]);
    command.spawn().expect("ip runs")
}
