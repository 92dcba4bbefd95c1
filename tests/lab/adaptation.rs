//! Tests of what the agent publishes about its adaptation to the switch.

use srl_sim::gnmi::GnmiSwitches;
use srl_sim::profile::Profile;

use crate::bench::Bench;
use crate::bench::Says::{self, Has, Is, Nothing};

const LAB: &str = "anycast-metallb";
const HERE: &str = "/k8s-services/statistics/adaptation";

fn at(leaf: &str) -> String {
    format!("{HERE}/{leaf}")
}

fn profile(name: &str) -> Profile {
    name.parse().expect("a profile")
}

/// Waits until leaf1 reports all of this about its switch.
async fn until(bench: &Bench, expected: &[(&str, Says)]) {
    let expected: Vec<_> = expected.iter().map(|(leaf, says)| (at(leaf), *says)).collect();
    let expected: Vec<_> = expected.iter().map(|(path, says)| (path.as_str(), *says)).collect();
    bench.until("leaf1", &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_refuses_nothing_is_reported_as_such() {
    let bench = Bench::start(LAB, Profile::default(), |_| {}).await;
    bench.until_healthy().await;
    let expected = [
        ("path-spelling", Is("hyphens")),
        ("enumeration-form", Is("plain")),
        ("streams", Is("one")),
        ("end-of-dump", Has("counted (")),
        ("gnmi-encoding", Is("json-ietf")),
        ("refused-path", Nothing),
        ("refused-feature", Nothing),
        ("refused-entry", Nothing),
        ("release", Is("v25.3.1")),
    ];
    until(&bench, &expected).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_a_release_are_reported_without_changing_a_verdict() {
    let mut profile = profile("26.7");
    profile.gnmi.unknown = vec!["received-routes".to_owned()];
    let bench = Bench::start(LAB, profile, |_| {}).await;
    bench.until_healthy().await;
    let expected = [
        ("path-spelling", Is("underscores")),
        ("enumeration-form", Is("prefixed")),
        ("gnmi-encoding", Is("json-ietf")),
        ("refused-path", Has("neighbor[peer-address=*]/afi-safi[afi-safi-name=*]/received-routes")),
        ("refused-feature", Is("[\"wildcards\"]")),
        ("release", Is("v26.7.2")),
    ];
    until(&bench, &expected).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_route_counts_the_dump_ends_when_it_is_quiet() {
    let gnmi = GnmiSwitches { unknown: vec!["active-routes".to_owned()], ..GnmiSwitches::default() };
    let bench = Bench::start(LAB, Profile { gnmi, ..Profile::default() }, |_| {}).await;
    bench.until_healthy().await;
    bench.until("leaf1", &[(&at("end-of-dump"), Is("quiet")), (&at("refused-path"), Has("active-routes"))]).await;
    bench.down().await;
}
