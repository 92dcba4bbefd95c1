//! Tests of Subscribe.

use serde_json::{Value, json};

use super::clients::{Gnmic, PASSWORD, Pygnmi, gnmic, lines, printed};
use crate::bench::Says::{Is, Nothing};
use crate::bench::{Bench, CLUSTER, SERVICE, VIP};
use crate::net::skipped;
use crate::peers::peer;

/// Take the session of leaf1's node down, and up again.
const DOWN: &str = "pull: { session-down: { leaf: leaf1, node: cluster1 } }";
const UP: &str = "release: { session-down: { leaf: leaf1, node: cluster1 } }";

/// Returns an action that commits configuration on leaf1.
fn config(lines: &str) -> String {
    format!("config: {{ leaf: leaf1, lines: \"{lines}\" }}")
}

/// Returns a leaf-list in PROTO as gnmic prints it.
fn leaf_list(path: &str, values: &[&str]) -> String {
    let elements: Vec<_> = values.iter().map(|value| json!({ "Value": { "StringVal": value } })).collect();
    format!("{} {}", printed(path), json!({ "element": elements }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gnmic_receives_the_initial_state_then_sync_then_changes_and_deletes() {
    let gnmic = match gnmic() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let bench = Bench::healthy().await;
    let gnmic = Gnmic::on(&bench, "leaf1", gnmic);
    changes(&bench, &gnmic).await;
    modes(&bench, &gnmic).await;
    several(&bench, &gnmic).await;
    removal(&bench, &gnmic).await;
    bench.down().await;
}

async fn changes(bench: &Bench, gnmic: &Gnmic) {
    let state = format!("{VIP}/oper-state");
    let on_change = ["--stream-mode", "on-change", "--path", &state];
    let mut leaf_by_leaf = gnmic.subscribe("proto", &on_change);
    let told = leaf_by_leaf.until_sync().await;
    assert_eq!(told.iter().flat_map(lines).collect::<Vec<_>>(), [format!("{} up", printed(&state))]);
    // An object at the entry, to be merged.
    let mut ietf = gnmic.subscribe("json_ietf", &on_change);
    let first = ietf.until_sync().await;
    let entry = format!("k8s-services:{} {{\"oper-state\":\"up\"}}", printed(VIP));
    assert_eq!(first.iter().flat_map(lines).collect::<Vec<_>>(), std::slice::from_ref(&entry));
    let mut news = gnmic.subscribe("proto", &[&on_change[..], &["--updates-only", "--set-target"]].concat());
    assert!(news.until_sync().await.is_empty(), "what stands already is left out");

    bench.act(&[DOWN]).await;
    assert_eq!(lines(&leaf_by_leaf.something().await), [format!("{} degraded", printed(&state))]);
    assert_eq!(lines(&ietf.something().await), [entry.replace("up", "degraded")]);
    let told = news.something().await;
    assert_eq!(lines(&told), [format!("{} degraded", printed(&state))]);
    assert_eq!(told["target"], gnmic.address, "the target is told back: {told}");
    bench.act(&[UP]).await;
    assert_eq!(lines(&leaf_by_leaf.something().await), [format!("{} up", printed(&state))]);

    // A leaf-list is always sent as a whole.
    let pool = format!("{CLUSTER}/vip-pool");
    let mut pools = gnmic.subscribe("proto", &["--stream-mode", "on-change", "--path", &pool]);
    assert!(pools.until_sync().await.is_empty());
    bench.act(&[&config("set / k8s-services cluster c1 vip-pool [ 1.1.1.0/24 2001:db8::/64 ]")]).await;
    assert_eq!(lines(&pools.something().await), [leaf_list(&pool, &["1.1.1.0/24", "2001:db8::/64"])]);
    bench.act(&[&config("delete / k8s-services cluster c1 vip-pool 2001:db8::/64")]).await;
    assert_eq!(lines(&pools.something().await), [leaf_list(&pool, &["1.1.1.0/24"])]);
    bench.act(&[&config("delete / k8s-services cluster c1 vip-pool")]).await;
    assert_eq!(lines(&pools.something().await), [format!("delete {}", printed(&pool))]);
}

async fn modes(bench: &Bench, gnmic: &Gnmic) {
    let state = format!("{VIP}/oper-state");
    let told = format!("{} up", printed(&state));
    let mut once = gnmic.subscribe("proto", &["--mode", "once", "--path", &state]);
    assert_eq!(lines(&once.something().await), std::slice::from_ref(&told));
    while let Some(more) = once.next().await {
        assert_eq!(more["sync-response"], true, "only the mark is left: {more}");
    }

    let sample = ["--stream-mode", "sample", "--sample-interval", "1s", "--path", &state];
    let mut again = gnmic.subscribe("proto", &sample);
    assert_eq!(again.until_sync().await.iter().flat_map(lines).collect::<Vec<_>>(), std::slice::from_ref(&told));
    for _ in 0..2 {
        assert_eq!(lines(&again.something().await), std::slice::from_ref(&told), "told again, changed or not");
    }
    // Omitted if unchanged, except for the heartbeat.
    let quiet = [&sample[..], &["--suppress-redundant"]].concat();
    let mut quiet_one = gnmic.subscribe("proto", &quiet);
    quiet_one.until_sync().await;
    let mut beating = gnmic.subscribe("proto", &[&quiet[..], &["--heartbeat-interval", "2s"]].concat());
    beating.until_sync().await;
    assert_eq!(lines(&beating.something().await), std::slice::from_ref(&told), "a heartbeat");
    bench.act(&[DOWN]).await;
    assert_eq!(lines(&quiet_one.something().await), [told.replace("up", "degraded")], "the first since the start");
    bench.act(&[UP]).await;
    assert_eq!(lines(&quiet_one.something().await), [told], "or none in between");

    let mut refused = gnmic.subscribe("proto", &["--mode", "once", "--path", "/k8s-services/nonsense"]);
    assert_eq!(refused.next().await, None, "it ends without data");
}

async fn several(bench: &Bench, gnmic: &Gnmic) {
    let (vips, nodes) =
        ("/k8s-services/cluster[name=*]/service/vip/oper-state", "/k8s-services/cluster/node/oper-state");
    let both = ["--stream-mode", "on-change", "--prefix", "/", "--path", vips, "--path", nodes];
    let mut stream = gnmic.subscribe("proto", &both);
    let first: Vec<_> = stream.until_sync().await.iter().flat_map(lines).collect();
    assert_eq!(first.len(), 4, "a VIP and three nodes: {first:?}");
    bench.act(&[DOWN]).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(lines(&stream.something().await));
    }
    told.sort();
    let node = format!("{}/node[name=cluster1]/oper-state down", printed(CLUSTER));
    assert_eq!(told, [node, format!("{}/oper-state degraded", printed(VIP))]);
    bench.act(&[UP]).await;
    bench.until_healthy().await;
}

async fn removal(bench: &Bench, gnmic: &Gnmic) {
    let services = format!("{CLUSTER}/service");
    let mut stream = gnmic.subscribe("proto", &["--stream-mode", "on-change", "--path", &services]);
    stream.until_sync().await;
    let states = format!("{services}/oper-state");
    let mut leaf = gnmic.subscribe("proto", &["--stream-mode", "on-change", "--path", &states]);
    leaf.until_sync().await;
    bench.act(&["delete: { cluster: c1, kind: Service, name: nginxhello }"]).await;
    bench.until("leaf1", &[(SERVICE, Nothing)]).await;
    let gone = format!("delete {}", printed(SERVICE));
    while !lines(&stream.something().await).contains(&gone) {}
    // For a leaf, the leaf is deleted. Its endpoints may have gone before the Service.
    while lines(&leaf.something().await) != [format!("{gone}/oper-state")] {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pygnmi_subscribes_on_change_by_sample_by_poll_and_once() {
    let environment = match peer("python") {
        Ok(environment) => environment,
        Err(reason) => return skipped(&reason),
    };
    let bench = Bench::healthy().await;
    let mut pygnmi = Pygnmi::on(&bench, "leaf1", &environment, PASSWORD);
    let state = format!("{VIP}/oper-state");
    let list = |mode: &str, stream: &str| {
        let subscription = json!({ "path": state, "mode": stream, "sample_interval": 1_000_000_000 });
        json!({ "subscribe": { "mode": mode, "encoding": "proto", "subscription": [subscription] } })
    };
    let value = |told: &Value| told["update"]["update"][0]["val"].clone();

    pygnmi.done("subscribe", list("once", "on_change")).await;
    assert_eq!(value(&pygnmi.next().await), "up");
    assert_eq!(pygnmi.next().await["sync_response"], true);

    pygnmi.done("subscribe", list("stream", "sample")).await;
    for _ in 0..3 {
        assert_eq!(value(&pygnmi.next().await), "up");
    }

    pygnmi.done("subscribe", list("stream", "on_change")).await;
    let first = pygnmi.next().await;
    assert_eq!((value(&first), &first["sync_response"]), (json!("up"), &json!(true)));
    bench.act(&[DOWN]).await;
    assert_eq!(value(&pygnmi.next().await), "degraded");
    bench.act(&[UP]).await;
    assert_eq!(value(&pygnmi.next().await), "up");

    // pygnmi polls before it reads the first answer, which was sent without polling, so it is always one answer behind.
    pygnmi.done("subscribe", list("poll", "on_change")).await;
    assert_eq!(value(&pygnmi.next().await), "up");
    bench.act(&[DOWN]).await;
    bench.until("leaf1", &[(&state, Is("degraded"))]).await;
    pygnmi.next().await;
    let polled = pygnmi.next().await;
    assert_eq!((value(&polled), &polled["sync_response"]), (json!("degraded"), &json!(true)));

    let unknown = json!({ "path": "/k8s-services/nonsense", "mode": "on_change" });
    let unknown = json!({ "subscribe": { "mode": "stream", "encoding": "proto", "subscription": [unknown] } });
    pygnmi.done("subscribe", unknown).await;
    let refused = pygnmi.call("next", json!({ "timeout": 20 })).await.expect_err("there is no such path");
    assert_eq!(refused.code, "INVALID_ARGUMENT");
    assert!(refused.message.contains("unknown element 'nonsense'"), "{refused:?}");
    bench.down().await;
}
