//! Tests of levers as operators pull them: a lever without effect is refused with what it needs, and every lever has an
//! effect in some lab.

use std::collections::BTreeSet;
use std::time::Duration;

use srl_k8s_services::model::verdict::ProbableCause;
use srl_sim::lab::Action;

use crate::bench::Says::{Counted, Is, Nothing};
use crate::bench::{Bench, action};

fn pull(lever: &str) -> Action {
    action(&format!("pull: {{ {lever} }}"))
}

/// Returns why a lever is refused.
async fn refusal(bench: &Bench, lever: &str) -> String {
    match bench.lab.show(&pull(lever)).await {
        Ok(()) => panic!("{lever} changes something"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lever_without_effect_is_refused_with_the_name_of_a_suitable_lab() {
    let bench = Bench::healthy().await;
    for (lever, lab) in [
        ("as-path-longer: { node: cluster1 }", "kubeadm-calico-metallb"),
        ("multipath: { leaf: leaf1, limit: 1 }", "kubeadm-calico-metallb"),
        ("ecmp-limit: { leaf: leaf1, limit: 3 }", "anycast-metallb"),
        ("stale-entry: { leaf: leaf1, address: 1.1.1.100, node: cluster1 }", "arp-kube-vip"),
        ("duplicate-address: { address: 1.1.1.100, node: cluster1-m02 }", "arp-kube-vip"),
    ] {
        let why = refusal(&bench, lever).await;
        assert!(why.contains("changes nothing on any leaf now: it needs") && why.contains(lab), "{why}");
    }
    for prefix in ["fib-failed", "fib-pending", "fib-suppressed", "fib-recovered", "policy-reject"] {
        let why = refusal(&bench, &format!("{prefix}: {{ leaf: leaf1, prefix: 1.1.1.200/32 }}")).await;
        assert!(why.contains("it needs a"), "{why}");
    }
    let why = refusal(&bench, "bfd-down: { node: cluster1 }").await;
    assert!(why.contains("BFD does not protect the sessions of node 'cluster1'"), "{why}");
    bench.expect("leaf1", &[("oper-state", Is("up"))]);
    bench.lab.show(&pull("ecmp-limit: { leaf: leaf4, limit: 1 }")).await.expect("leaf4 has three next-hops");
    bench.until("leaf4", &[("installed-next-hops", Is("1"))]).await;
    let again = refusal(&bench, "network-instance-missing: { leaf: leaf1, network-instance: nowhere }").await;
    assert!(again.contains("there is no network instance 'nowhere'"), "{again}");
    bench.down().await;

    let bench = Bench::of("kubeadm-calico-metallb").await;
    for lever in
        ["as-path-longer: { node: worker01 }", "multipath: { leaf: leaf1, limit: 1 }", "bfd-down: { node: worker01 }"]
    {
        bench.lab.show(&pull(lever)).await.expect(lever);
        bench.act(&["release-all"]).await;
    }
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_whose_programming_recovers_is_up_although_its_failure_is_still_shown() {
    let bench = Bench::healthy().await;
    let mut states = bench.follow("leaf1", "oper-state");
    bench.act(&["pull: { fib-recovered: { leaf: leaf1, prefix: 1.1.1.100/32 } }"]).await;
    bench.until("leaf1", &[("oper-state", Is("up")), ("oper-reason", Nothing), ("probable-cause", Nothing)]).await;
    let went_through: Vec<String> = states.values().into_iter().flatten().collect();
    assert_eq!(went_through, ["down", "up"]);
    let route = "/network-instance[name=ip-vrf-1]/route-table/ipv4-unicast/route[ipv4-prefix=1.1.1.100/32][id=0]\
                 [route-type=srl_nokia-common:bgp][route-owner=bgp_mgr][origin-network-instance=ip-vrf-1]";
    bench.expect("leaf1", &[(&format!("{route}/fib-programming/last-failed-operation-type"), Is("add"))]);
    bench.act(&["release-all"]).await;
    bench.until("leaf1", &[("oper-state", Is("up"))]).await;
    bench.down().await;
}

/// Time for an entry to change twice within a minute, with samples every ten seconds; and the time after which the
/// changes are forgotten.
const IN_TURN: Duration = Duration::from_secs(60);
const FORGOTTEN: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_answer_for_a_vip_are_a_conflict_until_one_is_left() {
    let at = |name: &str| {
        format!("/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=10.20.0.100]/{name}")
    };
    let bench = Bench::of("arp-kube-vip").await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&at("next-hop[address=10.20.0.100]/node"), Is("n1"))]).await;
    bench.act(&["pull: { duplicate-address: { address: 10.20.0.100, node: n2 } }"]).await;
    let conflict = [(at("oper-state"), Is("degraded")), (at("oper-reason"), Is("address-conflict"))];
    let conflict = conflict.each_ref().map(|(path, says)| (path.as_str(), *says));
    bench.until_within(IN_TURN, "leaf1", &conflict).await;
    bench.act(&["release-all"]).await;
    bench.until_within(FORGOTTEN, "leaf1", &[(&at("oper-state"), Is("up")), (&at("oper-reason"), Nothing)]).await;
    bench.down().await;
}

/// Returns the levers on the page of causes, each with its lab.
fn told() -> Vec<(String, String)> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/causes.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let seen = page.split("\nSeen in ").skip(1).filter_map(|text| text.split("\n\n").next());
    let told = seen.filter_map(|text| {
        let (_, lever) = text.split_once("`srl-sim lever pull ")?;
        let lab = text.split_once("](../lab/").and_then(|(_, rest)| rest.split_once('/')).map(|(lab, _)| lab);
        Some((lab.unwrap_or("anycast-metallb").to_owned(), lever.split_once('`')?.0.to_owned()))
    });
    told.collect()
}

/// Parses a lever as typed.
fn typed(words: &str) -> Action {
    let (name, details) = words.split_once(' ').expect("a lever has details");
    let details = details.split(' ').filter_map(|detail| detail.split_once('=')).collect::<Vec<_>>();
    let details: Vec<String> = details.into_iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
    pull(&format!("{name}: {{ {} }}", details.join(", ")).replace("limit: \"1\"", "limit: 1"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levers_on_the_page_of_causes_have_an_effect_in_their_lab() {
    let told = told();
    // The tie-break that loses to EVPN exists from the start.
    assert_eq!(told.len(), ProbableCause::ALL.len() - 1, "{told:?}");
    let labs: BTreeSet<&str> = told.iter().map(|(lab, _)| lab.as_str()).collect();
    for lab in labs {
        let bench = Bench::of(lab).await;
        bench
            .until("leaf1", &[("/k8s-services/oper-state", Is("up")), ("/k8s-services/summary/vips-up", Counted)])
            .await;
        for (_, lever) in told.iter().filter(|(of, _)| of == lab) {
            if let Err(error) = bench.lab.show(&typed(lever)).await {
                panic!("docs/causes.md, lab {lab}: {error}");
            }
            bench.act(&["release-all"]).await;
        }
        bench.down().await;
    }
}
