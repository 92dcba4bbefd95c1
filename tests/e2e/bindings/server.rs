//! Tests the agent with an NDK server other than the emulated leaf's.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use srl_sim::cluster::Cluster;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use super::{folder, python};
use crate::net::skipped;

const NODES: &str = include_str!("../cluster.yaml");
const POOL: &str = include_str!("../../../lab/anycast-metallb/metallb.yaml");
const SERVICE: &str = include_str!("../../../lab/anycast-metallb/nginx.yaml");
const VIP: &str = r#".vip{.address=="1.1.1.100"}"#;
const NODE: &str = r#".node{.name=="node2"}"#;
/// The agent waits for a gNMI server for 30 s before it judges by routes alone. There is no gNMI server here.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server, with a record of the agent's calls.
struct Server {
    _process: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Server {
    async fn start(python: &Path, socket: &Path) -> Self {
        let mut command = Command::new(python);
        command.arg("-B").arg(folder().join("ndk_server.py")).arg(socket);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("Python runs");
        let orders = process.stdin.take().expect("piped");
        let words = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut server = Self { _process: process, orders, words };
        server.until("listening", |word| word.get("listening").is_some()).await;
        server
    }

    async fn order(&mut self, order: Value) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("the server runs");
    }

    /// Returns the next matching word. Words before it are skipped.
    async fn until(&mut self, what: &str, mut meant: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let Ok(line) = timeout_at(deadline, self.words.next_line()).await else {
                panic!("not {what} in time, but:\n{}", seen.join("\n"));
            };
            let line = line.expect("text").unwrap_or_else(|| panic!("the server ended: {}", seen.join("\n")));
            let word: Value = serde_json::from_str(&line).expect("JSON");
            if meant(&word) {
                return word;
            }
            seen.push(line);
        }
    }

    /// Waits until the VIP has this state and reason. Returns its whole state.
    async fn until_vip(&mut self, state: &str, reason: Option<&str>) -> Value {
        let what = format!("{state}, {reason:?}");
        let meant = |word: &Value| {
            let of_vip = word["update"].as_str().is_some_and(|path| path.ends_with(VIP));
            of_vip && said(&word["json"], "oper-state") == Some(state) && said(&word["json"], "oper-reason") == reason
        };
        self.until(&what, meant).await["json"].take()
    }

    async fn commit(&mut self, nodes: Value) -> Value {
        self.order(json!({ "commit": nodes })).await;
        self.until("acknowledged", |word| word.get("acknowledged").is_some()).await["acknowledged"].take()
    }
}

/// Returns a leaf of an update, in either spelling.
fn said<'a>(content: &'a Value, leaf: &str) -> Option<&'a str> {
    content.get(leaf).or_else(|| content.get(leaf.replace('-', "_")))?.as_str()
}

fn route(group: Option<u32>) -> Value {
    let mut route = json!({ "instance": "ip-vrf-1", "prefix": "1.1.1.100/32" });
    if let Some(group) = group {
        route["group"] = group.into();
        route["owner"] = 7.into();
    }
    json!({ "route": route })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_works_with_an_ndk_server_built_on_nokias_bindings() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => return skipped(&reason),
    };
    let files = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::new();
    for text in [NODES, POOL, SERVICE] {
        cluster.load(text).expect("the cluster takes it");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let api = cluster.serve(listener).expect("it has an address");
    let kubeconfig = files.path().join("c1.kubeconfig");
    cluster.write_kubeconfig(&kubeconfig, &api.url()).expect("written");

    let socket = files.path().join("ndk");
    let mut server = Server::start(&python, &socket).await;
    let own = json!({ "path": ".k8s_services", "json": { "admin-state": "enable" } });
    let entry = json!({ "path": r#".k8s_services.cluster{.name=="c1"}"#, "json": {
        "kubeconfig": kubeconfig, "network-namespace": "self", "network-instance": "ip-vrf-1" } });
    server.order(json!({ "commit": [own, entry] })).await;
    server.order(json!({ "instance": "ip-vrf-1" })).await;
    server.order(json!({ "app": { "id": 7, "name": "bgp_mgr" } })).await;
    server.order(json!({ "group": { "id": 3, "addresses": ["192.168.1.11", "192.168.1.12", "192.168.1.13"] } })).await;
    server.order(route(Some(3))).await;
    let agent = agent(files.path(), &socket);

    let registered = server.until("registered", |word| word.get("registered").is_some()).await;
    assert_eq!(registered["registered"]["wait_config_ack"], true);
    // The existing configuration is its first commit, which it also acknowledges.
    server.until("acknowledged", |word| word["acknowledged"] == json!([])).await;
    let said_of_it = server.until_vip("up", None).await;
    assert_eq!(said(&said_of_it, "route-owner"), Some("bgp_mgr"), "{said_of_it}");
    assert_eq!(said(&said_of_it, "network-instance"), Some("ip-vrf-1"), "{said_of_it}");

    // A node counts as attached if it is a next-hop, because there are no neighbors here.
    server.order(json!({ "group": { "id": 4, "addresses": ["192.168.1.11", "192.168.1.13"] } })).await;
    server.order(route(Some(4))).await;
    let node = server.until("node2 is not found", |word| {
        let of_node = word["update"].as_str().is_some_and(|path| path.ends_with(NODE));
        of_node && said(&word["json"], "oper-reason") == Some("node-address-unknown")
    });
    node.await;
    server.order(json!({ "group": { "id": 4, "addresses": ["192.168.1.11", "192.168.1.99"] } })).await;
    // Without gNMI, nothing shows that the next-hop is alive.
    let said_of_it = server.until_vip("unknown", Some("next-hop-unmapped")).await;
    assert!(said(&said_of_it, "oper-detail").is_some_and(|detail| detail.contains("192.168.1.99")), "{said_of_it}");
    server.order(route(None)).await;
    server.until_vip("down", Some("no-route")).await;
    server.order(route(Some(3))).await;
    server.until_vip("up", None).await;

    // Streams end and are opened again. The one of the configuration begins with the whole configuration, which is
    // acknowledged again.
    server.order(json!({ "streams": "end" })).await;
    let (mut tables, mut configuration) = (false, false);
    let anew = server.until("made anew", |word| {
        tables |= word["subscribed"] == "route";
        configuration |= word["acknowledged"] == json!([]);
        tables && configuration
    });
    anew.await;

    // Invalid configuration is refused with the path and the remedy.
    let wrong =
        json!([{ "path": r#".k8s_services.cluster{.name=="c2"}"#, "json": { "network-instance": "ip-vrf-1" } }]);
    let problems = server.commit(wrong).await;
    let told = problems[0]["error"].as_str().is_some_and(|error| error.contains("kubeconfig"));
    assert!(told && problems[0]["path"] == r#".k8s_services.cluster{.name=="c2"}.kubeconfig"#, "{problems}");
    let gone = json!([{ "path": r#".k8s_services.cluster{.name=="c2"}"# }]);
    assert_eq!(server.commit(gone).await, json!([]));

    let gone = json!([{ "path": r#".k8s_services.cluster{.name=="c1"}"# }]);
    assert_eq!(server.commit(gone).await, json!([]));
    server.until("deleted", |word| word["delete"].as_str().is_some_and(|path| path.ends_with(VIP))).await;

    let pid = agent.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::TERM).expect("it is ours");
    server.until("unregistered", |word| word["unregistered"] == true).await;
}

/// Starts the agent with this NDK and without a gNMI server.
fn agent(files: &Path, ndk: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_k8s-services"));
    command.arg("--ndk").arg(format!("unix://{}", ndk.display()));
    command.arg("--gnmi").arg(format!("unix://{}", files.join("no-gnmi").display()));
    command.arg("--state-file").arg(files.join("state.json"));
    command.arg("--credentials-dir").arg(files);
    command.stdout(File::create(files.join("agent.log")).expect("a new file"));
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().expect("the agent was built with this program")
}
