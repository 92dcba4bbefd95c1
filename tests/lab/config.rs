//! Tests of configuration by the CLI, to the agent and back.

use crate::bench::Says::{Is, Nothing};
use crate::bench::{Bench, CLUSTER, HEALTHY_LOCAL};

fn config(lines: &str) -> String {
    format!("config: {{ leaf: leaf1, lines: \"{lines}\" }}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_take_effect_refused_ones_do_not_and_deleted_clusters_leave_nothing() {
    let bench = Bench::healthy().await;
    bench.act(&[&config("set / k8s-services alarm-policy raise-hold-time 7")]).await;
    bench.until("leaf1", &[("/k8s-services/alarm-policy/raise-hold-time", Is("7"))]).await;

    bench.act(&[&config("set / k8s-services cluster c1 admin-state disable")]).await;
    let disabled = [
        ("/k8s-services/cluster[name=c1]/oper-state", Is("down")),
        ("/k8s-services/cluster[name=c1]/oper-reason", Is("admin-disabled")),
        ("oper-state", Nothing),
    ];
    bench.until("leaf1", &disabled).await;
    bench.act(&[&config("delete / k8s-services cluster c1 admin-state")]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;

    let before = bench.says("leaf1", CLUSTER);
    let wrong =
        "enter candidate private\nset / k8s-services cluster c1 api-server https://192.0.2.1:6443\ncommit now\n";
    let refused = bench.lab.cli("leaf1", wrong).await.expect_err("the commit is refused").to_string();
    assert!(refused.contains("/k8s-services/cluster[name=c1]/api-server"), "{refused}");
    assert!(refused.contains("is set together with kubeconfig; delete one of the two"), "{refused}");
    let running = bench.lab.cli("leaf1", "info from running / k8s-services cluster c1").await.expect("shown");
    assert!(!running.contains("api-server"), "{running}");
    bench.expect("leaf1", HEALTHY_LOCAL);
    assert_eq!(without_freshness(bench.says("leaf1", CLUSTER)), without_freshness(before));

    bench.act(&[&config("delete / k8s-services cluster c1")]).await;
    bench
        .until(
            "leaf1",
            &[
                (CLUSTER, Nothing),
                ("/k8s-services/summary/source[name=kubernetes/c1]", Nothing),
                ("/k8s-services/summary/vips", Is("0")),
                ("/k8s-services/oper-state", Is("up")),
            ],
        )
        .await;
    let left: Vec<_> = bench.written("leaf1").into_iter().filter(|path| path.contains("c1")).collect();
    assert!(left.is_empty(), "{left:?}");
    bench.down().await;
}

fn without_freshness(cluster: Option<String>) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(&cluster.expect("a cluster")).expect("JSON");
    value.as_object_mut().expect("an entry").remove("last-event");
    value
}
