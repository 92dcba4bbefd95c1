//! The anycast lab on a switch in its factory state: behind the control-plane filter, with the NDK disabled.

use srl_sim::profile::Profile;

use crate::bench::Bench;

const LAB: &str = "anycast-metallb";

/// Returns a switch in its factory state: with its filter, and an NDK that is disabled until it is configured.
fn filtered() -> Profile {
    Profile { cpm_filter: true, ndk_always_on: false, ..Profile::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_entries_of_the_lab_admit_answers_of_api_servers() {
    let bench = Bench::start(LAB, filtered(), |_| {}).await;
    bench.until_healthy().await;
    bench.down().await;
}
