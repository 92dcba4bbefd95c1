//! The anycast lab on switches that differ: behind the factory's control-plane filter, and of other releases.

use srl_sim::profile::Profile;

use crate::bench::Says::Is;
use crate::bench::{Bench, CLUSTER};

const LAB: &str = "anycast-metallb";

/// A switch as it comes: with its filter, and an NDK that is off until it is configured.
fn filtered() -> Profile {
    Profile { cpm_filter: true, ndk_always_on: false, ..Profile::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_labs_entries_let_the_answers_of_api_servers_in() {
    let bench = Bench::start(LAB, filtered(), |_| {}).await;
    bench.until_healthy().await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_entry_the_cluster_is_out_of_reach_until_there_is_one() {
    let mut entries = String::new();
    let bench = Bench::start(LAB, filtered(), |lab| {
        let (filter, rest): (Vec<&str>, Vec<&str>) = lab.config.lines().partition(|line| line.contains("/ acl "));
        entries = filter.join("\n");
        lab.config = rest.join("\n");
    })
    .await;
    let reason = format!("{CLUSTER}/oper-reason");
    bench.until("leaf1", &[(&reason, Is("api-unreachable"))]).await;
    bench.act(&[&serde_json::json!({ "config": { "leaf": "*", "lines": entries } }).to_string()]).await;
    bench.until_healthy().await;
    bench.down().await;
}
