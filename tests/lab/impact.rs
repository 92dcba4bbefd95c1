//! Tests of what depends on a single node: the published forecast must match what happens when the node is lost.

use crate::bench::Bench;
use crate::bench::Says::{Is, Nothing};

const NODE: &str = "/k8s-services/cluster[name=c1]/node[name=cluster1]";
const WITHOUT: &str = "next-hop[address=192.168.1.11]/state-without-session";

/// Asserts that leaf1's VIP would have this state without the session of its node, and that it gets this state when the
/// lever is pulled.
async fn expect_predicted_state(bench: &Bench, state: &'static str, lever: &str) {
    bench.until("leaf1", &[(WITHOUT, Is(state)), ("oper-state", Is("up"))]).await;
    bench.act(&[&format!("pull: {{ {lever} }}")]).await;
    bench.until("leaf1", &[(&format!("{NODE}/oper-state"), Is("down")), ("oper-state", Is(state))]).await;
    bench.expect("leaf1", &[("oper-reason", Is("session-down")), (WITHOUT, Nothing)]);
    bench.act(&["release-all"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vip_without_its_node_gets_the_predicted_state() {
    let bench = Bench::healthy().await;
    let sole = format!("{NODE}/sole-path-vips");
    bench.until("leaf1", &[(&sole, Is("1"))]).await;
    // Other leaves have nodes that announce it, so flows go there.
    expect_predicted_state(&bench, "degraded", "session-down: { leaf: leaf1, node: cluster1 }").await;
    expect_predicted_state(&bench, "degraded", "link-down: { node: cluster1 }").await;
    // If only that node has pods, no other node announces it.
    let elsewhere =
        ["cluster1-m02", "cluster1-m03"].map(|node| format!("pods: {{ cluster: c1, node: {node}, ready: false }}"));
    let local =
        "patch: { cluster: c1, kind: Service, name: nginxhello, patch: { spec: { externalTrafficPolicy: Local } } }";
    bench.act(&[local, &elsewhere[0], &elsewhere[1]]).await;
    expect_predicted_state(&bench, "down", "session-down: { leaf: leaf1, node: cluster1 }").await;
    bench.until("leaf1", &[(&sole, Is("1"))]).await;
    expect_predicted_state(&bench, "down", "link-down: { node: cluster1 }").await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_three_nodes_is_the_sole_path_until_two_are_gone() {
    let at = |name: &str| {
        format!(
            "/k8s-services/cluster[name=k8s]/service[namespace=default][name=my-service]/vip[address=192.168.100.10]/{name}"
        )
    };
    let without = |address: &str| at(&format!("next-hop[address={address}]/state-without-session"));
    let sole = |node: &str| format!("/k8s-services/cluster[name=k8s]/node[name={node}]/sole-path-vips");
    let bench = Bench::of("kubeadm-calico-metallb").await;
    bench
        .until(
            "leaf1",
            &[
                (&without("192.168.30.60"), Is("degraded")),
                (&without("192.168.30.61"), Is("degraded")),
                // It serves although it was not expected.
                (&without("192.168.30.50"), Is("up")),
                (&sole("worker01"), Is("0")),
            ],
        )
        .await;
    bench.act(&["pull: { session-down: { node: worker01 } }", "pull: { session-down: { node: master01 } }"]).await;
    bench.until("leaf1", &[(&without("192.168.30.61"), Is("down")), (&sole("worker02"), Is("1"))]).await;
    bench.expect("leaf1", &[(&at("oper-state"), Is("degraded"))]);
    bench.act(&["pull: { session-down: { node: worker02 } }"]).await;
    bench.until("leaf1", &[(&at("oper-state"), Is("down")), (&sole("worker02"), Is("0"))]).await;
    bench.down().await;
}

/// Returns what `show k8s-services impact` reports for the VIP, and the VIP's name there.
async fn foretold(bench: &Bench, of: &str) -> (String, String) {
    let text = bench.cli("leaf1", &format!("show k8s-services impact {of} | as json")).await;
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let vips = shown["k8s-services"]["vip"].as_array().unwrap_or_else(|| panic!("VIPs: {text}"));
    let [vip] = &vips[..] else { panic!("one VIP: {text}") };
    let word = |name: &str| vip[name].as_str().unwrap_or_else(|| panic!("{name}: {text}")).to_owned();
    (word("VIP"), word("Without"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_impact_shown_for_a_node_session_or_port_is_what_its_loss_causes() {
    let bench = Bench::healthy().await;
    let port = format!("{NODE}/peer[address=192.168.1.11]/port");
    let pods = |ready: bool| {
        ["cluster1-m02", "cluster1-m03"].map(|node| format!("pods: {{ cluster: c1, node: {node}, ready: {ready} }}"))
    };
    let policy = |policy: &str| {
        format!(
            "patch: {{ cluster: c1, kind: Service, name: nginxhello, patch: {{ spec: {{ externalTrafficPolicy: {policy} }} }} }}"
        )
    };
    for state in ["degraded", "down"] {
        for (of, lever) in [
            ("node cluster1", "link-down: { node: cluster1 }"),
            ("session 192.168.1.11", "session-down: { leaf: leaf1, node: cluster1 }"),
            ("port ethernet-1/1", "cable: { node: cluster1 }"),
        ] {
            bench.until("leaf1", &[("oper-state", Is("up")), (WITHOUT, Is(state)), (&port, Is("ethernet-1/1"))]).await;
            assert_eq!(foretold(&bench, of).await, ("1.1.1.100".to_owned(), state.to_owned()), "{of}");
            bench.act(&[&format!("pull: {{ {lever} }}")]).await;
            bench.until("leaf1", &[("oper-state", Is(state)), ("oper-reason", Is("session-down"))]).await;
            bench.act(&["release-all"]).await;
        }
        // No VIP depends on what another leaf has.
        let text = bench.cli("leaf1", "show k8s-services impact node cluster1-m02").await;
        assert!(text.contains("No VIP would suffer without node cluster1-m02."), "{text}");
        // If only that node has pods, no other node announces it.
        let [second, third] = pods(false);
        bench.act(&[&policy("Local"), &second, &third]).await;
    }
    bench.down().await;
}
