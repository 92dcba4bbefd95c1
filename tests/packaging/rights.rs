//! Compares what the agent asks of a cluster with the packaged roles: everything it asks must be allowed, and
//! everything allowed must be asked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use srl_k8s_services::model::speaker::SpeakerResource;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::kubeconfig::rules;
use crate::running::{Installed, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// A request in the terms of roles: verb, API group, resource.
type Right = (String, String, String);

/// Forwards connections to an API server and reads the requests.
struct Listener {
    address: SocketAddr,
    asked: watch::Receiver<BTreeSet<Right>>,
}

impl Listener {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let (sender, asked) = watch::channel(BTreeSet::new());
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, Arc::clone(&sender)));
            }
        });
        Self { address, asked }
    }

    /// Waits until all of this was asked.
    async fn until(&mut self, expected: &BTreeSet<Right>) {
        let all = timeout(PATIENCE, self.asked.wait_for(|asked| asked.is_superset(expected))).await.is_ok();
        let asked = self.asked.borrow();
        assert!(all, "never asked: {:?}", expected.difference(&asked).collect::<Vec<_>>());
    }
}

async fn pass(client: TcpStream, server: SocketAddr, asked: Arc<watch::Sender<BTreeSet<Right>>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut line = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = from_client.read(&mut part).await {
        for byte in &part[..length] {
            match byte {
                b'\n' => {
                    let right = right(&String::from_utf8_lossy(&line));
                    asked.send_if_modified(|asked| right.is_some_and(|right| asked.insert(right)));
                    line.clear();
                }
                byte => line.push(*byte),
            }
        }
        if to_server.write_all(&part[..length]).await.is_err() {
            return;
        }
    }
}

/// Returns the right that a request line needs; `None` for other lines, and for discovery, which every account may use.
fn right(line: &str) -> Option<Right> {
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if !words.next()?.starts_with("HTTP/") {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    let (group, rest) = match &steps[..] {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (resource, name) = match rest {
        ["namespaces", _, resource, name @ ..] | [resource, name @ ..] => (*resource, !name.is_empty()),
        [] => return None,
    };
    let verb = match (method, name) {
        ("GET", _) if query.contains("watch=true") || query.contains("watch=1") => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        (method, _) => method,
    };
    Some((verb.to_owned(), group.to_owned(), resource.to_owned()))
}

/// Returns every right that a file of roles grants.
fn given(file: &str) -> BTreeSet<Right> {
    let words = |rule: &Value, member: &str| -> Vec<String> {
        let words = rule[member].as_array().into_iter().flatten();
        words.map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for (_, rule) in rules().into_iter().filter(|(path, _)| path.ends_with(file)) {
        for verb in words(&rule, "verbs") {
            for group in words(&rule, "apiGroups") {
                let own = words(&rule, "resources").into_iter();
                rights.extend(own.map(|resource| (verb.clone(), group.clone(), resource)));
            }
        }
    }
    rights
}

#[test]
fn requests_are_translated_into_verbs_and_resources_of_roles() {
    let named = |line| right(line).map(|(verb, group, resource)| format!("{verb} {group}/{resource}"));
    for (line, expected) in [
        ("GET /api/v1/services?limit=500 HTTP/1.1\r", Some("list /services")),
        ("GET /api/v1/namespaces/web/services?watch=true HTTP/1.1\r", Some("watch /services")),
        ("GET /api/v1/namespaces/web/services/nginx HTTP/1.1\r", Some("get /services")),
        ("POST /apis/events.k8s.io/v1/namespaces/web/events HTTP/1.1\r", Some("create events.k8s.io/events")),
        ("DELETE /api/v1/nodes/one HTTP/1.1\r", Some("DELETE /nodes")),
        ("GET /apis/metallb.io HTTP/1.1\r", None),
        ("GET /apis/metallb.io/v1beta1 HTTP/1.1\r", None),
        ("accept: */*\r", None),
        ("\r", None),
    ] {
        assert_eq!(named(line).as_deref(), expected, "{line}");
    }
}

#[test]
fn roles_for_speakers_match_the_resources_the_agent_watches() {
    let mut followed = BTreeSet::new();
    for resource in SpeakerResource::ALL {
        for group in resource.groups() {
            let right = |verb: &str| (verb.to_owned(), group.name.to_owned(), resource.plural().to_owned());
            followed.extend(["list", "watch"].map(right));
        }
    }
    let (speakers, peers) = (given("speakers.yaml"), given("bgppeers.yaml"));
    assert!(peers.iter().all(|(_, _, resource)| resource == "bgppeers") && speakers.is_disjoint(&peers));
    assert_eq!(speakers.union(&peers).cloned().collect::<BTreeSet<_>>(), followed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_uses_every_right_of_its_roles_and_no_other() {
    let program = Path::new(env!("CARGO_BIN_EXE_k8s-services"));
    let run = tempfile::Builder::new().prefix("lab").tempdir().expect("a folder");
    let lab = Installed::of_this_build(program).lab(run.path()).await;
    let (_, server, kubeconfig) = lab.clusters().next().expect("the lab's cluster");
    let mut listener = Listener::before(server).await;
    let text = std::fs::read_to_string(kubeconfig).expect("readable");
    let listened = run.path().join("listened.kubeconfig");
    std::fs::write(&listened, text.replace(&server.to_string(), &listener.address.to_string())).expect("written");
    std::fs::set_permissions(&listened, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("changed");
    let commit = format!(
        "enter candidate private\nset / k8s-services cluster c1 kubeconfig {}\n\
         set / k8s-services alarm-policy kubernetes-events true\ncommit now\n",
        listened.display()
    );
    lab.cli("leaf1", &commit).await.expect("committed");

    let core = given("k8s-services.yaml");
    assert_eq!(core.len(), 6);
    listener.until(&core).await;
    let events = given("events.yaml");
    assert!(events.iter().all(|right| !listener.asked.borrow().contains(right)), "asked before there is an alarm");

    until(&lab, "leaf1", crate::running::VIP, "up").await;
    let cluster = lab.cluster("c1").expect("the lab's cluster");
    for pod in cluster.list("Pod") {
        let name = |member: &str| pod["metadata"][member].as_str().expect("a name").to_owned();
        cluster.set_pod_ready(&name("namespace"), &name("name"), false).expect("changed");
    }
    listener.until(&events).await;

    let allowed: BTreeSet<Right> =
        [core, events, given("speakers.yaml"), given("bgppeers.yaml")].into_iter().flatten().collect();
    let asked = listener.asked.borrow().clone();
    assert_eq!(asked.difference(&allowed).collect::<Vec<_>>(), Vec::<&Right>::new());
    lab.down().await;
}
