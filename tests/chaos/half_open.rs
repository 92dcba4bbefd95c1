//! Peers that vanish silently: connections stay, but nothing passes in one or both directions. The agent must detect
//! this by itself, report it, and recover when the peers are back.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use srl_sim::fabric::Lever;
use srl_sim::lab::Action;
use srl_sim::proxy::{Passing, Proxy};

use crate::bench::{Bench, RECOVERY, programs, unhealthy};

/// What still passes on each leaf; everything on leaf4.
const LEAVES: [(&str, Passing); 3] =
    [("leaf1", Passing::Nothing), ("leaf2", Passing::ToServer), ("leaf3", Passing::ToClient)];
/// Two unanswered keepalives plus the time until the switch's tables count as stale, or silence where samples are due.
const SWITCH_NOTICED: Duration = Duration::from_secs(75);
/// Two missing bookmarks, and a watch that cannot be opened.
const API_NOTICED: Duration = Duration::from_secs(190);

/// The proxies of a leaf.
struct Between {
    leaf: &'static str,
    passing: Passing,
    ndk: Proxy,
    gnmi: Proxy,
}

impl Between {
    fn new(run: &Path, leaf: &'static str, passing: Passing) -> Self {
        let folder = run.join(leaf);
        std::fs::create_dir_all(&folder).expect("made");
        let proxy = |name: &str, server: &str| Proxy::unix(&folder.join(name), folder.join(server)).expect("a socket");
        let ndk = proxy("ndk", srl_sim::ndk::SOCKET_NAME);
        Self { leaf, passing, ndk, gnmi: proxy("gnmi", srl_sim::gnmi::SOCKET_NAME) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silently_vanished_peers_are_noticed_and_reconnected() {
    let mut between = Vec::new();
    let bench = Bench::with(&programs(), |lab, run| {
        between = [LEAVES[0], LEAVES[1], LEAVES[2], ("leaf4", Passing::Both)]
            .map(|(leaf, passing)| Between::new(run, leaf, passing))
            .into();
        for argument in lab.apps.iter_mut().flat_map(|app| &mut app.arguments) {
            *argument = argument.replace("${ndk}", "unix://${folder}/ndk").replace("${gnmi}", "unix://${folder}/gnmi");
        }
    })
    .await;
    let api = between_apis(&bench).await;
    bench.until_healthy().await;

    // First the connections to the switch fail, while the agent still hears the cluster.
    between.iter().for_each(|it| it.ndk.pass(it.passing));
    between.iter().for_each(|it| it.gnmi.pass(it.passing));
    for it in api.iter().zip(LEAVES) {
        it.0.pass(it.1.1);
    }
    // No agent may miss this change after recovery.
    let lever = Lever::SpeakerDead { node: "cluster1".to_owned() };
    bench.act(&Action::Pull(lever.clone())).await;
    for (leaf, _) in LEAVES {
        // What is known about the switch is stale: the agent's log says so, and state does once it can be written.
        until_logged(&bench, leaf, "the NDK does not answer", SWITCH_NOTICED).await;
        until_logged(&bench, leaf, "gNMI does not answer", SWITCH_NOTICED).await;
    }
    between.iter().for_each(|it| it.ndk.pass(Passing::Both));
    for (leaf, _) in LEAVES {
        let stale = |state: &Value| (source(state, "gnmi") == "synced").then(|| "gNMI is said to be synced".to_owned());
        bench.until(leaf, RECOVERY, stale).await;
        bench
            .until(leaf, RECOVERY, |state| (source(state, "ndk") != "synced").then(|| "NDK not synced".to_owned()))
            .await;
    }
    between.iter().for_each(|it| it.gnmi.pass(Passing::Both));
    for (leaf, _) in LEAVES {
        let stale = |state: &Value| (source(state, "kubernetes/c1") != "stale").then(|| "c1 is not stale".to_owned());
        bench.until(leaf, API_NOTICED, stale).await;
    }
    bench.act(&Action::Release(lever)).await;
    api.iter().for_each(|api| api.pass(Passing::Both));
    bench.until_healthy().await;
    for it in &between {
        assert_eq!(unhealthy(&bench.state(it.leaf)), None);
    }
    for leaf in bench.leaves() {
        // A switch kills an agent from which it has not heard for 30 s. An agent that it hears must keep running.
        let unheard = LEAVES.iter().any(|(of, passing)| *of == leaf && *passing != Passing::ToServer);
        let most = u64::from(unheard);
        assert!(bench.status(leaf).restarts <= most, "{}", bench.failure(leaf, "the agent ended by itself"));
    }
    bench.down().await;
}

/// Starts a proxy to the API server for each leaf, and configures the leaf to use it.
async fn between_apis(bench: &Bench) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for (leaf, _) in LEAVES {
        let (_, server, _) = bench.lab.clusters().next().expect("the lab's one cluster");
        let proxy = Proxy::tcp(server).await.expect("a port");
        let address = proxy.address().expect("on TCP");
        let lines = format!(
            "delete / k8s-services cluster c1 kubeconfig\nset / k8s-services cluster c1 api-server http://{address}"
        );
        bench.commit(leaf, &lines).await;
        proxies.push(proxy);
    }
    proxies
}

fn source(state: &Value, name: &str) -> String {
    let sources = state["summary"]["source"].as_array().map(Vec::as_slice).unwrap_or_default();
    let source = sources.iter().find(|source| source["name"] == name);
    source.and_then(|source| source["oper-state"].as_str()).unwrap_or_default().to_owned()
}

/// Waits for a line in the agent's log, the only channel while the NDK is unreachable. Polls, because files have no
/// change events here.
async fn until_logged(bench: &Bench, leaf: &str, text: &str, within: Duration) {
    let deadline = tokio::time::Instant::now() + within;
    while !bench.log(leaf).contains(text) {
        assert!(tokio::time::Instant::now() < deadline, "{}", bench.failure(leaf, &format!("not logged: {text}")));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
