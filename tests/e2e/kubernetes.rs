//! What a real API server does, and what the agent says of it.

use crate::apiserver;
use crate::net::skipped;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_is_there_and_kubectl_sees_it() {
    let api = match apiserver::shared().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    api.admin().await.apply(include_str!("cluster.yaml")).await;
    let output = api.run(&api.programs().join("kubectl"), &["get", "nodes", "--output=wide"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("node2 ")).expect("a node");
    assert!(line.contains(" Ready ") && line.contains(" 192.168.1.12 "), "{text}");
}
