//! Tests of a lab without applications: how clusters, fabric and leaves work together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::profile::Profile;
use crate::tables::NextHop;

use super::control::{Client, Listener, Request, Response};
use super::{Action, ActionError, Lab, LabFile, LabOptions, StartError};

const BOUND: Duration = Duration::from_secs(10);

fn anycast() -> LabFile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/anycast-metallb");
    LabFile::read(&folder).expect("the lab is readable")
}

fn options(run: &TempDir) -> LabOptions {
    LabOptions {
        run: run.path().to_owned(),
        programs: PathBuf::from("nowhere"),
        gnmi_port: None,
        api_port: None,
        profile: Profile::default(),
    }
}

/// Starts the anycast lab with no applications on its leaves.
async fn lab(run: &TempDir) -> Lab {
    let mut file = anycast();
    file.content.apps.clear();
    file.content.config.clear();
    Lab::up(file, options(run), |_| {}).await.expect("the lab starts")
}

fn action(text: &str) -> Action {
    let value: Value = serde_norway::from_str(text).expect("YAML");
    serde_json::from_value(value).expect("an action")
}

/// Returns the next-hops of the active route to the VIP on a leaf.
fn next_hops(lab: &Lab, leaf: &str) -> Vec<String> {
    let tables = lab.leaves()[leaf].tables();
    let routes = tables.network_instances["ip-vrf-1"].routes.iter();
    let active = routes.filter(|(key, route)| key.prefix.to_string() == "1.1.1.100/32" && route.active);
    active
        .flat_map(|(_, route)| &route.next_hops)
        .map(|hop| match hop {
            NextHop::Indirect { address, .. } | NextHop::Vxlan { vtep: address } => address.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
}

/// Waits until the VIP's next-hops on a leaf are these. Cluster changes pass through a task, so they take a moment.
async fn until(lab: &Lab, leaf: &str, expected: &[&str]) {
    let arrived = async {
        while next_hops(lab, leaf) != expected {
            tokio::task::yield_now().await;
        }
    };
    let arrived = tokio::time::timeout(BOUND, arrived).await;
    assert!(arrived.is_ok(), "{leaf} has {:?}, not {expected:?}", next_hops(lab, leaf));
}

#[tokio::test]
async fn a_lab_starts_with_its_routes_and_follows_its_cluster() {
    let run = tempfile::tempdir().expect("a folder");
    let lab = lab(&run).await;
    until(&lab, "leaf1", &["192.168.1.11"]).await;
    until(&lab, "leaf4", &["10.0.1.1", "10.0.1.2", "10.0.1.3"]).await;
    lab.act(&action("scale: { cluster: c1, name: nginxhello, replicas: 0 }")).await.expect("scaled");
    until(&lab, "leaf1", &[]).await;
    until(&lab, "leaf4", &[]).await;
    lab.act(&action("scale: { cluster: c1, name: nginxhello, replicas: 3 }")).await.expect("scaled");
    until(&lab, "leaf1", &["192.168.1.11"]).await;
    lab.act(&action("delete: { cluster: c1, kind: Service, name: nginxhello }")).await.expect("deleted");
    until(&lab, "leaf1", &[]).await;
    lab.act(&action("apply: { cluster: c1, file: nginx.yaml }")).await.expect("applied");
    until(&lab, "leaf1", &["192.168.1.11"]).await;
    lab.down().await;
}

#[tokio::test]
async fn policy_local_follows_the_pods_of_each_node() {
    let run = tempfile::tempdir().expect("a folder");
    let lab = lab(&run).await;
    let local = "patch: { cluster: c1, kind: Service, name: nginxhello, \
                 patch: { spec: { externalTrafficPolicy: Local } } }";
    lab.act(&action(local)).await.expect("patched");
    lab.act(&action("pods: { cluster: c1, node: cluster1, ready: false }")).await.expect("not ready");
    until(&lab, "leaf1", &["10.0.1.2", "10.0.1.3"]).await;
    until(&lab, "leaf2", &["192.168.1.12"]).await;
    lab.act(&action("pods: { cluster: c1, node: cluster1, ready: true }")).await.expect("ready");
    until(&lab, "leaf1", &["192.168.1.11"]).await;
    lab.down().await;
}

#[tokio::test]
async fn levers_take_effect_at_once_and_unknown_names_are_refused() {
    let run = tempfile::tempdir().expect("a folder");
    let lab = lab(&run).await;
    lab.act(&action("pull: { session-down: { leaf: leaf1, node: cluster1 } }")).await.expect("pulled");
    assert_eq!(next_hops(&lab, "leaf1"), ["10.0.1.2", "10.0.1.3"]);
    lab.act(&action("release-all")).await.expect("released");
    assert_eq!(next_hops(&lab, "leaf1"), ["192.168.1.11"]);
    let refused = |text: &'static str| {
        let lab = &lab;
        async move { lab.act(&action(text)).await.expect_err("refused").to_string() }
    };
    assert_eq!(
        refused("scale: { cluster: c2, name: x, replicas: 1 }").await,
        "this lab has no cluster 'c2' (it has c1)"
    );
    assert!(refused("ndk: { leaf: leaf9, to: stop }").await.contains("no leaf 'leaf9'"));
    assert!(refused("pull: { speaker-dead: { node: n9 } }").await.contains("no node 'n9'"));
    let not_pulled = lab.act(&action("release: { overlay-down: { leaf: leaf1 } }")).await;
    assert!(matches!(not_pulled, Err(ActionError::NotPulled)));
    lab.down().await;
}

#[tokio::test]
async fn a_missing_program_is_named_before_anything_starts() {
    let run = tempfile::tempdir().expect("a folder");
    let missing = Lab::up(anycast(), options(&run), |_| {}).await.err().expect("refused");
    assert!(matches!(missing, StartError::Program { .. }), "{missing}");
    assert!(missing.to_string().contains("nowhere/k8s-services"), "{missing}");
}

#[tokio::test]
async fn a_run_folder_too_long_for_sockets_is_refused() {
    let run = tempfile::tempdir().expect("a folder");
    let long = run.path().join("x".repeat(80));
    let mut options = options(&run);
    options.run = long;
    let refused = Lab::up(anycast(), options, |_| {}).await.err().expect("refused");
    assert!(matches!(refused, StartError::LongRun { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket_runs_actions_reports_state_and_ends_the_lab() {
    let run = tempfile::tempdir().expect("a folder");
    let listener = Listener::bind(run.path()).await.expect("bound");
    assert!(Listener::bind(run.path()).await.is_err(), "a second lab in the same folder");
    let lab = std::sync::Arc::new(lab(&run).await);
    let served = tokio::spawn({
        let lab = lab.clone();
        async move { listener.serve(lab).await }
    });
    let folder = run.path().to_owned();
    let talk = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(&folder).expect("connected");
        let mut ask = |request: Request| client.ask(&request).expect("answered");
        let pull = action("pull: { overlay-down: { leaf: leaf4 } }");
        assert!(matches!(ask(Request::Act(pull.clone())), Response::Done));
        let Response::Status(status) = ask(Request::Status) else { panic!("no status") };
        assert_eq!(status.levers.len(), 1);
        assert_eq!(status.gnmi.len(), 6);
        let (address, kubeconfig): &(SocketAddr, PathBuf) = &status.clusters["c1"];
        assert_ne!(address.port(), 0);
        assert!(kubeconfig.exists());
        let unknown = action("scale: { cluster: c9, name: x, replicas: 1 }");
        assert!(matches!(ask(Request::Act(unknown)), Response::Refused(why) if why.contains("c9")));
        assert!(matches!(ask(Request::Down), Response::Done));
    });
    talk.await.expect("the conversation went well");
    tokio::time::timeout(BOUND, served).await.expect("ended in time").expect("ended well");
    assert!(!run.path().join("control.sock").exists());
    assert_eq!(next_hops(&lab, "leaf4"), Vec::<String>::new());
}
