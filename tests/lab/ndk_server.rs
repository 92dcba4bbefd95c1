//! The NDK server as configuration: disabling it disables every agent.

use crate::bench::Says::{Is, Nothing};
use crate::bench::{AGENT, Bench, HEALTHY_LOCAL, NDK_SOURCE};

const STATE: &str = "/system/ndk-server/oper-state";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabling_the_ndk_server_closes_its_socket_and_enabling_it_brings_the_agent_back() {
    let bench = Bench::healthy().await;
    let leaf = bench.leaf("leaf1");
    bench.expect("leaf1", &[(STATE, Is("up"))]);
    assert!(leaf.ndk().socket().exists());
    let process = bench.process("leaf1");
    leaf.commit("set / system ndk-server admin-state disable").await.expect("committed");
    bench.until("leaf1", &[(STATE, Is("down"))]).await;
    assert!(!leaf.ndk().socket().exists(), "the socket is gone");
    assert!(!leaf.ndk().is_registered(AGENT));
    leaf.commit("set / system ndk-server admin-state enable").await.expect("committed");
    bench.until("leaf1", &[(STATE, Is("up")), (NDK_SOURCE, Is("synced")), ("oper-reason", Nothing)]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    assert_eq!(bench.process("leaf1"), process, "the same process");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_whose_ndk_server_is_not_configured_has_none() {
    let bench = Bench::healthy().await;
    let leaf = bench.leaf("leaf4");
    leaf.commit("delete / system ndk-server").await.expect("committed");
    bench.until("leaf4", &[(STATE, Is("down"))]).await;
    assert!(!leaf.ndk().socket().exists());
    bench.expect("leaf1", HEALTHY_LOCAL);
    bench.down().await;
}
