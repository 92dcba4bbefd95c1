//! Tests of Capabilities, Get and Set.

use serde_json::{Value, json};

use super::clients::{self, Gnmic, PASSWORD, Pygnmi, Refused, gnmic, printed, server};
use crate::bench::Says::{Is, Nothing};
use crate::bench::{Bench, CLUSTER, HEALTHY_LOCAL, VIP};
use crate::net::skipped;
use crate::peers::peer;

/// Path of the lab's cluster in JSON_IETF.
const IETF_CLUSTER: &str = "k8s-services:k8s-services/cluster[name=c1]";
/// The agent's objection to an API server together with a kubeconfig.
const REMEDY: &str = "is set together with kubeconfig; delete one of the two";

/// Returns all updates that gnmic prints for a Get.
fn updates(answer: &Value) -> Vec<(String, Value)> {
    answer.as_array().expect("notifications").iter().flat_map(clients::updates).collect()
}

/// Returns all updates that pygnmi returns for a Get.
fn pairs(answer: &Value) -> Vec<(String, Value)> {
    let notifications = answer["notification"].as_array().expect("notifications");
    let updates = notifications.iter().filter_map(|it| it["update"].as_array()).flatten();
    updates.map(|it| (it["path"].as_str().unwrap_or_default().to_owned(), it["val"].clone())).collect()
}

fn value_at(pairs: &[(String, Value)], path: &str) -> Value {
    let found = pairs.iter().find(|(it, _)| it == path);
    found.unwrap_or_else(|| panic!("nothing at {path}: {pairs:?}")).1.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gnmic_reads_and_writes_a_leaf() {
    let gnmic = match gnmic() {
        Ok(program) => program,
        Err(reason) => return skipped(&reason),
    };
    let bench = Bench::healthy().await;
    let gnmic = Gnmic::on(&bench, "leaf1", gnmic);
    gnmic_reads(&gnmic).await;
    gnmic_is_refused(&bench, &gnmic).await;
    gnmic_writes(&bench, &gnmic).await;
    bench.down().await;
}

async fn gnmic_reads(gnmic: &Gnmic) {
    let text = gnmic.call("json_ietf", &["capabilities"]).await.expect("an answer");
    assert!(text.contains("gNMI version: 0.10.0"), "{text}");
    assert!(text.contains("k8s-services, srl-k8s-services"), "{text}");
    for encoding in ["JSON_IETF", "PROTO", "ASCII"] {
        assert!(text.contains(encoding), "{text}");
    }

    let vip = format!("{VIP}/oper-state");
    let ietf = format!("k8s-services:{}", printed(&vip));
    assert_eq!(value_at(&updates(&gnmic.get("json_ietf", &vip).await), &ietf), "up");
    for encoding in ["proto", "ascii"] {
        assert_eq!(value_at(&updates(&gnmic.get(encoding, &vip).await), &printed(&vip)), "up");
    }
    let proto = updates(&gnmic.get("proto", &format!("{VIP}/installed-next-hops")).await);
    assert_eq!(proto[0].1, json!(1), "a number as such");
    let ascii = updates(&gnmic.get("ascii", &format!("{VIP}/installed-next-hops")).await);
    assert_eq!(ascii[0].1, json!("1"), "as text");

    // With a wildcard, the result is one object of the list's container; for single leaves it is paths.
    let any = "/k8s-services/cluster[name=*]/node[name=*]/oper-state";
    let wild = updates(&gnmic.get("json_ietf", any).await);
    assert_eq!(wild[0].0, "k8s-services:k8s-services");
    let nodes = &wild[0].1["cluster"][0]["node"];
    assert_eq!(nodes.as_array().map(Vec::len), Some(3), "{wild:?}");
    assert_eq!(updates(&gnmic.get("proto", any).await).len(), 3);
    let without_keys = updates(&gnmic.get("proto", "/k8s-services/cluster/node/oper-state").await);
    assert_eq!(without_keys.len(), 3, "a list without keys is all of it");
    let one_key = "/k8s-services/cluster[name=c1]/service[namespace=*][name=nginxhello]/oper-state";
    assert_eq!(updates(&gnmic.get("proto", one_key).await).len(), 1);

    for kind in ["STATE", "OPERATIONAL", "ALL"] {
        let answer = gnmic.json("json_ietf", &["get", "--path", CLUSTER, "--type", kind]).await;
        let cluster = value_at(&updates(&answer), IETF_CLUSTER);
        assert_eq!(cluster["oper-state"], "up");
        assert_eq!(cluster.get("kubeconfig").is_some(), kind == "ALL", "{cluster}");
    }
    let answer = gnmic.json("json_ietf", &["get", "--path", CLUSTER, "--type", "CONFIG"]).await;
    let config = value_at(&updates(&answer), IETF_CLUSTER);
    assert!(config.get("kubeconfig").is_some() && config.get("oper-state").is_none(), "{config}");

    let below = gnmic.json("proto", &["get", "--prefix", "/k8s-services", "--path", "summary/vips"]).await;
    assert_eq!(value_at(&updates(&below), "k8s-services/summary/vips"), json!(1));
    let named = ["get", "--target", "leaf1", "--path", "srl_nokia:/k8s-services/oper-state"];
    let named = gnmic.json("proto", &named).await;
    assert_eq!(named[0]["target"], "leaf1", "{named}");
    let two = ["get", "--path", "/k8s-services/oper-state", "--path", "/k8s-services/version"];
    assert_eq!(gnmic.json("proto", &two).await.as_array().map(Vec::len), Some(2), "a notification a path");
    let absent = gnmic.get("json_ietf", "/k8s-services/cluster[name=none]").await;
    assert!(updates(&absent).is_empty() && absent.as_array().map(Vec::len) == Some(1), "{absent}");
}

async fn gnmic_is_refused(bench: &Bench, gnmic: &Gnmic) {
    let get = |path: &'static str| ["get", "--path", path];
    for (encoding, arguments, expected) in [
        (
            "json_ietf",
            get("/k8s-services/nonsense"),
            "code = InvalidArgument desc = Path not valid - unknown element 'nonsense'. Options are [admin-state, ",
        ),
        (
            "json_ietf",
            get("openconfig:/interfaces"),
            "code = InvalidArgument desc = Origin 'openconfig' is not supported",
        ),
        ("json", get("/k8s-services"), "code = Unimplemented desc = Encoding 'JSON' is not supported"),
    ] {
        let said = gnmic.call(encoding, &arguments).await.expect_err(expected);
        assert!(said.contains(expected), "{said}");
    }
    let stranger = Gnmic::on(bench, "leaf1", gnmic.program().to_owned()).with_password("wrong");
    for arguments in [&["capabilities"][..], &get("/k8s-services"), &["subscribe", "--mode", "once", "--path", "/"]] {
        let said = stranger.call("json_ietf", arguments).await.expect_err("nobody is let in");
        assert!(said.contains("code = Unauthenticated desc = Authentication failed"), "{said}");
    }
    server(bench, "leaf1").set_rate_limit(Some(0));
    let said = gnmic.call("json_ietf", &get("/k8s-services")).await.expect_err("too often");
    assert!(said.contains("code = ResourceExhausted desc = Rate limit"), "{said}");
    server(bench, "leaf1").set_rate_limit(None);
}

async fn gnmic_writes(bench: &Bench, gnmic: &Gnmic) {
    let pool = format!("{CLUSTER}/vip-pool");
    // gnmic removes the brackets of a value in its own flag. After a path they are kept.
    let set = ["set", "--update", &format!(r#"{pool}:::json_ietf:::["1.1.1.0/24","2001:db8::/64"]"#)];
    let answer = gnmic.json("json_ietf", &set).await;
    assert_eq!(answer["results"][0]["operation"], "UPDATE", "{answer}");
    bench.until("leaf1", &[(&pool, Is(r#"["1.1.1.0/24","2001:db8::/64"]"#))]).await;
    let set = ["set", "--replace", &format!(r#"{pool}:::json_ietf:::["1.1.1.0/24"]"#)];
    assert_eq!(gnmic.json("json_ietf", &set).await["results"][0]["operation"], "REPLACE");
    bench.until("leaf1", &[(&pool, Is(r#"["1.1.1.0/24"]"#))]).await;
    let answer = gnmic.json("json_ietf", &["set", "--delete", &pool]).await;
    assert_eq!(answer["results"][0]["operation"], "DELETE", "{answer}");
    bench.until("leaf1", &[(&pool, Nothing)]).await;
    // A typed value after its path.
    let hold = "/k8s-services/alarm-policy/raise-hold-time";
    gnmic.json("json_ietf", &["set", "--update", &format!("{hold}:::uint:::7")]).await;
    bench.until("leaf1", &[(hold, Is("7"))]).await;

    let server = format!("{CLUSTER}/api-server:::string:::https://192.0.2.1:6443");
    for (update, expected) in [
        (server, format!("{CLUSTER}/api-server")),
        (
            format!("{CLUSTER}/speaker:::string:::pigeon"),
            "invalid value 'pigeon': expected one of [metallb, ".to_owned(),
        ),
        (format!("{CLUSTER}/oper-state:::string:::up"), "state cannot be configured".to_owned()),
    ] {
        let said = gnmic.call("json_ietf", &["set", "--update", &update]).await.expect_err(&expected);
        assert!(said.contains(&expected), "{said}");
        assert_eq!(said.contains(REMEDY), update.contains("api-server"), "{said}");
    }
    let config = gnmic.json("json_ietf", &["get", "--path", CLUSTER, "--type", "CONFIG"]).await;
    assert!(updates(&config)[0].1.get("api-server").is_none(), "what was refused is not there: {config}");
    bench.expect("leaf1", HEALTHY_LOCAL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pygnmi_reads_and_writes_a_leaf() {
    let environment = match peer("python") {
        Ok(environment) => environment,
        Err(reason) => return skipped(&reason),
    };
    let bench = Bench::healthy().await;
    let refused = Pygnmi::on(&bench, "leaf1", &environment, "wrong").call("capabilities", json!({})).await;
    assert_eq!(refused.expect_err("nobody is let in").code, "UNAUTHENTICATED");
    let mut pygnmi = Pygnmi::on(&bench, "leaf1", &environment, PASSWORD);
    pygnmi_reads(&mut pygnmi).await;
    pygnmi_writes(&bench, &mut pygnmi).await;
    bench.down().await;
}

async fn pygnmi_reads(pygnmi: &mut Pygnmi) {
    let answer = pygnmi.done("capabilities", json!({})).await;
    assert_eq!(answer["gnmi_version"], "0.10.0");
    assert_eq!(answer["supported_encodings"], json!(["json_ietf", "proto", "ascii"]));

    let path = format!("{VIP}/oper-state");
    for (encoding, prefix) in [("json_ietf", "k8s-services:"), ("proto", ""), ("ascii", "")] {
        let answer = pygnmi.done("get", json!({ "path": [path], "encoding": encoding })).await;
        let told = format!("{prefix}{}", printed(&path));
        assert_eq!(value_at(&pairs(&answer), &told), "up");
    }
    for datatype in ["config", "state", "operational"] {
        let get = json!({ "path": [CLUSTER], "datatype": datatype, "encoding": "json_ietf" });
        let cluster = value_at(&pairs(&pygnmi.done("get", get).await), IETF_CLUSTER);
        assert_eq!(cluster.get("kubeconfig").is_some(), datatype == "config", "{cluster}");
        assert_eq!(cluster.get("oper-state").is_some(), datatype != "config", "{cluster}");
    }
    let get = json!({ "prefix": "/k8s-services", "path": ["summary/vips"], "target": "leaf1", "encoding": "proto" });
    assert_eq!(value_at(&pairs(&pygnmi.done("get", get).await), "k8s-services/summary/vips"), json!(1));
    // If there is no data, scripts look for `update`.
    let get = json!({ "path": ["/k8s-services/cluster[name=none]"], "encoding": "json_ietf" });
    let absent = pygnmi.done("get", get).await;
    assert_eq!(absent["notification"].as_array().map(Vec::len), Some(1));
    assert!(absent["notification"][0].get("update").is_none(), "{absent}");
    let get = json!({ "path": ["/k8s-services/nonsense"], "encoding": "json_ietf" });
    let refused = pygnmi.call("get", get).await.expect_err("there is no such thing");
    assert_eq!(refused.code, "INVALID_ARGUMENT");
    assert!(refused.message.starts_with("Path not valid - unknown element 'nonsense'. Options are ["), "{refused:?}");
}

async fn pygnmi_writes(bench: &Bench, pygnmi: &mut Pygnmi) {
    let pool = format!("{CLUSTER}/vip-pool");
    let set = json!({ "update": [[CLUSTER, { "vip-pool": ["1.1.1.0/24"] }]], "encoding": "json_ietf" });
    let answer = pygnmi.done("set", set).await;
    assert_eq!(answer["response"][0]["op"], "UPDATE", "{answer}");
    bench.until("leaf1", &[(&pool, Is(r#"["1.1.1.0/24"]"#))]).await;
    // Deletes are applied first, then replaces, then updates, regardless of their order in the call.
    let policy = "/k8s-services/alarm-policy";
    let set = json!({
        "update": [[policy, { "raise-hold-time": 7 }]],
        "replace": [[policy, { "clear-hold-time": 9 }]],
        "delete": [pool],
        "encoding": "json_ietf",
    });
    let answer = pygnmi.done("set", set).await;
    let operations: Vec<_> = answer["response"].as_array().into_iter().flatten().map(|it| it["op"].clone()).collect();
    assert_eq!(operations, ["DELETE", "REPLACE", "UPDATE"]);
    let raise = format!("{policy}/raise-hold-time");
    let clear = format!("{policy}/clear-hold-time");
    bench.until("leaf1", &[(&pool, Nothing), (&raise, Is("7")), (&clear, Is("9"))]).await;

    let set = json!({ "update": [[CLUSTER, { "api-server": "https://192.0.2.1:6443" }]], "encoding": "json_ietf" });
    let Refused { code, message } = pygnmi.call("set", set).await.expect_err("the agent refuses it");
    assert_eq!(code, "ABORTED");
    assert!(message.contains(&format!("{CLUSTER}/api-server")) && message.contains(REMEDY), "{message}");
    bench.expect("leaf1", HEALTHY_LOCAL);
}
