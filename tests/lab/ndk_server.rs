//! The NDK server as configuration: disabling it disables every agent.

use crate::bench::Says::{Is, Nothing};
use crate::bench::{AGENT, Bench, HEALTHY_LOCAL, NDK_SOURCE};

const STATE: &str = "/system/ndk-server/oper-state";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabling_the_ndk_server_stops_the_agents_session_and_enabling_restores_it() {
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
async fn a_leaf_without_a_configured_ndk_server_has_no_socket() {
    let bench = Bench::healthy().await;
    let leaf = bench.leaf("leaf4");
    leaf.commit("delete / system ndk-server").await.expect("committed");
    bench.until("leaf4", &[(STATE, Is("down"))]).await;
    assert!(!leaf.ndk().socket().exists());
    bench.expect("leaf1", HEALTHY_LOCAL);
    bench.down().await;
}
