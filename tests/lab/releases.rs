//! The anycast lab on a switch as it comes: behind the factory's control-plane filter, with an NDK that is off.

use srl_sim::profile::Profile;

use crate::bench::Bench;

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
