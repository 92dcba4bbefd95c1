//! Tests the whole process against a cluster that takes as much as it may.

use std::time::Duration;

use serde_json::Value;

use crate::leaf::{AgentOnLeaf, NODE, VIP};
use crate::memory::BUDGET;
use crate::server::{NODES, Reply, SERVICES, SLICES, Server};

/// Services of the first tenant: more than half of the memory.
const CLAIMS: usize = 13_000;
/// Slices of the second tenant, with as many endpoints each as Kubernetes allows: more than half of the memory.
const SLICE_COUNT: usize = 560;
const ENDPOINTS: usize = 1000;

fn service(at: usize) -> String {
    let address = format!("10.{}.{}.{}", 1 + at / 62_500, at / 250 % 250, 1 + at % 250);
    format!(
        r#"{{"metadata":{{"namespace":"tenant-a","name":"service-{at}"}},"spec":{{"type":"LoadBalancer","externalTrafficPolicy":"Local"}},"status":{{"loadBalancer":{{"ingress":[{{"ip":"{address}"}}]}}}}}}"#
    )
}

fn slice(at: usize) -> String {
    let endpoint = |n: usize| format!(r#"{{"addresses":["10.0.0.{}"],"nodeName":"n{at}-{n}"}}"#, n % 250);
    let endpoints: Vec<String> = (0..ENDPOINTS).map(endpoint).collect();
    format!(
        r#"{{"metadata":{{"namespace":"tenant-b","name":"s{at}","labels":{{"kubernetes.io/service-name":"web"}}}},"addressType":"IPv4","endpoints":[{}]}}"#,
        endpoints.join(",")
    )
}

/// A cluster with two tenants that have more than they may.
async fn greedy() -> Server {
    let server = Server::start().await;
    let of_another = r#"{"metadata":{"namespace":"tenant-b","name":"web"},"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"ip":"10.200.0.1"}]}}}"#;
    let mut services = vec![of_another.to_owned()];
    services.extend((0..CLAIMS).map(service));
    server.reply(SERVICES, Reply::Pages(services.into()));
    server.reply(SLICES, Reply::Pages((0..SLICE_COUNT).map(slice).collect()));
    server
}

/// A cluster with one service on one node.
async fn healthy() -> Server {
    let server = Server::start().await;
    let service = format!(
        r#"{{"metadata":{{"namespace":"shop","name":"web"}},"spec":{{"type":"LoadBalancer"}},"status":{{"loadBalancer":{{"ingress":[{{"ip":"{VIP}"}}]}}}}}}"#
    );
    let slice = r#"{"metadata":{"namespace":"shop","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"nodeName":"n1"}]}"#;
    let node = format!(
        r#"{{"metadata":{{"name":"n1"}},"status":{{"addresses":[{{"type":"InternalIP","address":"{NODE}"}}]}}}}"#
    );
    server.reply(SERVICES, Reply::list(&[service]));
    server.reply(SLICES, Reply::list(&[slice.to_owned()]));
    server.reply(NODES, Reply::list(&[node]));
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_at_its_limits_leaves_memory_and_verdicts_to_others() {
    let (greedy, healthy) = (greedy().await, healthy().await);
    let leaf = AgentOnLeaf::following(&[("bad", &greedy), ("good", &healthy)]).await;
    let says = |state: &Value, words: &str| state.as_str().is_some_and(|text| text.contains(words));
    leaf.until("/k8s-services/cluster[name=bad]/oper-reason", |reason| {
        let takes = |tenant: &str| format!("the objects of namespace {tenant} take more than 48 MiB of memory here");
        says(reason, &takes("tenant-a")) && says(reason, &takes("tenant-b"))
    })
    .await;
    let vip =
        format!("/k8s-services/cluster[name=good]/service[namespace=shop][name=web]/vip[address={VIP}]/oper-state");
    leaf.until(&vip, |state| state == "up").await;
    let crowded = "/k8s-services/cluster[name=bad]/service[namespace=tenant-b][name=web]";
    leaf.until(&format!("{crowded}/oper-state"), |state| state == "unknown").await;
    leaf.until(&format!("{crowded}/oper-detail"), |detail| {
        says(detail, "waiting for all endpoints of namespace tenant-b in cluster bad, which has more than are read")
    })
    .await;
    // Nearly everything of the greedy cluster is published.
    leaf.until("/k8s-services/summary/services", |services| services.as_u64().is_some_and(|count| count > 8_850)).await;
    // Both kinds are listed again, while everything is still known.
    let watches = greedy.watches();
    for path in [SERVICES, SLICES] {
        greedy.say(path, r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#);
    }
    while greedy.watches() < watches + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (settled, peak) = (leaf.resident(), leaf.peak());
    println!("{:.0} MB resident, {:.0} MB at the most", settled as f64 / 1e6, peak as f64 / 1e6);
    assert!(peak < BUDGET, "{} MiB at the most", peak >> 20);
}
