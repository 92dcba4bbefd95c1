//! Tests that alarms become Kubernetes Events which a real API server accepts and kubectl finds.

use std::time::Duration;

use serde_json::json;

use super::rights::{account, shipped};
use super::{ConnectOptions, LEAF, leaf, make_kubeconfig};
use crate::apiserver;
use crate::bench::Says::Is;
use crate::bench::{AGENT, Bench, bounded};
use crate::net::skipped;

/// How long to wait for the next Event of a Service, which gets at most one a minute.
const NEXT_EVENT: Duration = Duration::from_secs(80);
/// Time between two looks at a log.
const LOOK: Duration = Duration::from_millis(100);

/// Returns the manifest of a Service with one pod and a VIP to which there is no route.
fn stranded(namespace: &str, vip: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{ name: {namespace} }}
---
apiVersion: v1
kind: Service
metadata: {{ name: stranded, namespace: {namespace} }}
spec: {{ type: LoadBalancer, ports: [{{ port: 80 }}] }}
status: {{ loadBalancer: {{ ingress: [{{ ip: {vip} }}] }} }}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: stranded, namespace: {namespace}, labels: {{ kubernetes.io/service-name: stranded }} }}
addressType: IPv4
ports: [{{ port: 80, protocol: TCP }}]
endpoints: [{{ addresses: [10.244.1.9], nodeName: node1, conditions: {{ ready: true }} }}]
"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_becomes_an_event_and_each_missing_event_right_shows() {
    let api = match apiserver::shared().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let admin = api.admin().await;
    admin.apply(include_str!("../cluster.yaml")).await;
    let all = shipped();
    let without = |verb: &'static str| all.iter().filter(move |(it, ..)| it != verb);
    let accounts = [
        ("told", "1.1.9.1", make_kubeconfig(api)),
        ("no-create", "1.1.9.2", account(api, "no-create", without("create")).await),
        ("no-get", "1.1.9.3", account(api, "no-get", without("get")).await),
    ];
    let clusters = accounts.each_ref().map(|(namespace, _, kubeconfig)| {
        let mut connect = ConnectOptions::new(namespace, kubeconfig);
        connect.leaves.push(format!("namespace [ {namespace} ]"));
        connect
    });
    for (namespace, vip, _) in &accounts {
        admin.apply(&stranded(namespace, vip)).await;
    }
    let bench = leaf(api, &clusters).await;
    for (namespace, vip, _) in &accounts {
        let service = format!("/k8s-services/cluster[name={namespace}]/service[namespace={namespace}][name=stranded]");
        bench.until(LEAF, &[(&format!("{service}/vip[address={vip}]/oper-reason"), Is("no-route"))]).await;
    }
    let events = |namespace: &str| format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let described = |namespace: &str| {
        let output =
            api.run(&api.programs().join("kubectl"), &["describe", "service", "stranded", "--namespace", namespace]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let some = |list: &serde_json::Value| list["items"].as_array().is_some_and(|items| !items.is_empty());

    let list = admin.until(&events("told"), some).await;
    let event = &list["items"][0];
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("VipRouteMissing")), "{event:#}");
    assert_eq!((&event["reportingController"], &event["reportingInstance"]), (&json!("k8s-services"), &json!(LEAF)));
    let text = described("told");
    assert!(text.lines().any(|line| line.contains("VipRouteMissing") && line.contains("leaf1: ")), "{text}");

    // `kubectl describe` finds the Event of a Service only by the Service's uid.
    let list = admin.until(&events("no-get"), some).await;
    assert_eq!(list["items"][0]["regarding"].get("uid"), None, "{list:#}");
    assert!(!described("no-get").contains("VipRouteMissing"));

    // The first Event of a Service waits for its turn.
    let log = logged(&bench, "a Kubernetes Event cannot be written").await;
    let refused = log.lines().filter(|line| line.contains("a Kubernetes Event cannot be written"));
    assert!(refused.clone().all(|line| line.contains("no-create")) && refused.count() == 1, "{log}");
    let list = admin.get(&events("no-create")).await.expect("a list");
    assert!(!some(&list), "{list:#}");

    // When the Service is deleted, the alarm is cleared.
    admin.delete("/api/v1/namespaces/told/services/stranded").await;
    let cleared = |list: &serde_json::Value| {
        list["items"].as_array().is_some_and(|items| items.iter().any(|it| it["reason"] == "VipRouteMissingCleared"))
    };
    admin.until_within(NEXT_EVENT, &events("told"), cleared).await;
    bench.down().await;
}

/// Returns the agent's log as soon as it contains these words.
async fn logged(bench: &Bench, words: &str) -> String {
    let file = bench.leaf(LEAF).apps().log_file(AGENT);
    let found = async {
        loop {
            let log = std::fs::read_to_string(&file).expect("the agent's log");
            if log.contains(words) {
                return log;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    bounded(words, found).await
}
