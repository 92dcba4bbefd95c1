//! Tests that every cause is reported when its lever is pulled, and that no other cause is.

use std::collections::BTreeSet;
use std::time::Duration;

use srl_sim::gnmi::GnmiSwitches;
use srl_sim::lab::LabContent;
use srl_sim::profile::Profile;
use tokio::time::{sleep, timeout};

use crate::bench::Says::{Anything, Has, Is, Nothing};
use crate::bench::{Bench, GNMI_SOURCE};
use crate::heard::Heard;

const NODES: [(&str, &str, &str); 3] = [
    ("leaf1", "cluster1", "192.168.1.11"),
    ("leaf2", "cluster1-m02", "192.168.1.12"),
    ("leaf3", "cluster1-m03", "192.168.1.13"),
];

/// A lever, and the cause that a leaf reports for it.
struct Case {
    leaf: &'static str,
    lever: &'static str,
    cause: &'static str,
    /// A part of the sentence.
    says: &'static str,
    /// Time limit for the cause to appear.
    within: Duration,
}

fn case(leaf: &'static str, lever: &'static str, cause: &'static str, says: &'static str) -> Case {
    Case { leaf, lever, cause, says, within: Duration::from_secs(20) }
}

/// A minute until something is asked a second time, plus the time to ask.
const LOOKED_AGAIN: Duration = Duration::from_secs(80);

/// Half a minute, plus the time to ask.
const SILENCE: Duration = Duration::from_secs(45);

fn node(leaf: &str, name: &str) -> String {
    let (_, node, _) = NODES.into_iter().find(|(other, ..)| *other == leaf).expect("a leaf with a node");
    format!("/k8s-services/cluster[name=c1]/node[name={node}]/{name}")
}

fn hop(leaf: &str, name: &str) -> String {
    let (.., address) = NODES.into_iter().find(|(other, ..)| *other == leaf).expect("a leaf with a node");
    format!("next-hop[address={address}]/{name}")
}

/// A leaf without nodes, which must report no causes of sessions.
const OTHERS: [&str; 1] = ["leaf4"];

/// Returns a sentence without what differs from leaf to leaf and from run to run: every word with a digit.
fn shape(sentence: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ':', ')']);
        let end = &word[bare.len()..];
        if bare.contains(|c: char| c.is_ascii_digit()) { format!("#{end}") } else { word.to_owned() }
    };
    sentence.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Asserts that docs/causes.md quotes the sentence in the entry of its cause.
fn expect_quoted(cause: &str, sentence: &str) {
    let page = std::fs::read_to_string("docs/causes.md").expect("the page is there");
    let entry = page.split("\n### ").find_map(|entry| entry.strip_prefix(&format!("{cause}\n"))).expect("an entry");
    let quotes = entry.lines().filter_map(|line| line.strip_prefix("cause-detail \"")?.strip_suffix('"'));
    let quotes: Vec<String> = quotes.map(shape).collect();
    assert!(quotes.contains(&shape(sentence)), "docs/causes.md does not quote {cause}: {sentence}");
}

/// Pulls the levers at once, each on its own leaf. Asserts that each leaf reports only its cause, at the place returned
/// by `at`, and that leaves not involved report none. After the release, none may be left.
async fn expect_each_cause_alone(bench: &Bench, cases: &[Case], at: fn(&str, &str) -> String) {
    let mut heard: Vec<Heard<'_>> = cases.iter().map(|case| Heard::at(bench, case.leaf)).collect();
    let concerned = |leaf: &&str| cases.iter().all(|case| case.leaf != *leaf);
    let mut others: Vec<_> = OTHERS.into_iter().filter(concerned).map(|leaf| (leaf, Heard::at(bench, leaf))).collect();
    for case in cases {
        bench.act(&[&format!("pull: {{ {} }}", case.lever)]).await;
    }
    for case in cases {
        let place = [at(case.leaf, "probable-cause"), at(case.leaf, "cause-detail")];
        bench.until_within(case.within, case.leaf, &[(&place[0], Is(case.cause)), (&place[1], Has(case.says))]).await;
        expect_quoted(case.cause, &bench.says(case.leaf, &place[1]).unwrap_or_default());
    }
    for (case, heard) in cases.iter().zip(&mut heard) {
        assert_eq!(heard.words(), BTreeSet::from([case.cause.to_owned()]), "{} by {}", case.leaf, case.lever);
    }
    for (leaf, heard) in &mut others {
        assert_eq!(heard.words(), BTreeSet::new(), "{leaf} has no part in it");
    }
    bench.act(&["release-all"]).await;
    for case in cases {
        bench.until(case.leaf, &[(&at(case.leaf, "probable-cause"), Nothing), ("oper-state", Is("up"))]).await;
    }
    // Nothing else is reported while it heals either, except, until the session is up, what had ended it.
    for (case, heard) in cases.iter().zip(&mut heard) {
        let known = [case.cause, "hold-timer-expired"];
        let others: Vec<String> = heard.words().into_iter().filter(|word| !known.contains(&&**word)).collect();
        assert!(others.is_empty(), "{} while {} heals: {others:?}", case.leaf, case.lever);
    }
}

/// Starts a healthy lab in which every leaf knows where its node is connected.
async fn plugged_in() -> Bench {
    let bench = Bench::healthy().await;
    for (leaf, ..) in NODES {
        let port = node(leaf, "") + &format!("peer[address={}]/port", address(leaf));
        bench.until(leaf, &[(&port, Anything)]).await;
    }
    bench
}

fn address(leaf: &str) -> &'static str {
    NODES.into_iter().find(|(other, ..)| *other == leaf).expect("a leaf with a node").2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causes_of_an_unreachable_node_are_reported() {
    let bench = plugged_in().await;
    let cases = [
        case("leaf1", "cable: { node: cluster1 }", "interface-down", "ethernet-1/"),
        case("leaf2", "node-hung: { node: cluster1-m02 }", "node-unreachable", "does not answer ARP or ND here"),
        case("leaf3", "admin-disabled: { leaf: leaf3, node: cluster1-m03 }", "admin-disabled", "admin-state disable"),
    ];
    expect_each_cause_alone(&bench, &cases, node).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causes_of_a_lost_session_are_reported() {
    let bench = Bench::healthy().await;
    let cases = [
        case("leaf1", "session-down: { node: cluster1 }", "hold-timer-expired", "Hold Timer Error"),
        case("leaf2", "as-mismatch: { node: cluster1-m02 }", "as-mismatch", "expects AS 65535"),
        case("leaf3", "peer-shutdown: { node: cluster1-m03 }", "peer-shutdown", "192.168.1.13 sent NOTIFICATION Cease"),
    ];
    expect_each_cause_alone(&bench, &cases, node).await;
    let cases = [
        case("leaf1", "prefix-limit: { node: cluster1 }", "prefix-limit", "this switch sent 192.168.1.11"),
        case("leaf2", "collision: { node: cluster1-m02 }", "collision", "Connection Collision Resolution"),
        // This cause requires half a minute of silence.
        Case {
            within: SILENCE,
            ..case("leaf3", "speaker-silent: { node: cluster1-m03 }", "speaker-silent", "refuses nothing")
        },
    ];
    expect_each_cause_alone(&bench, &cases, node).await;
    let cases = [case(
        "leaf3",
        "notification: { node: cluster1-m03, code: Cease, subcode: Connection Rejected }",
        "notification",
        "the peer does not know this switch",
    )];
    expect_each_cause_alone(&bench, &cases, node).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causes_of_an_unused_route_are_reported() {
    let bench = Bench::healthy().await;
    let cases = [
        case("leaf1", "withheld: { node: cluster1, prefix: 1.1.1.100/32 }", "not-received", "does not send"),
        case("leaf2", "policy-reject: { leaf: leaf2, prefix: 1.1.1.100/32 }", "rejected-by-policy", "import policy"),
        case("leaf3", "as-loop: { node: cluster1-m03 }", "as-loop", "an AS number of this switch"),
    ];
    expect_each_cause_alone(&bench, &cases, hop).await;
    let cases = [
        case("leaf1", "next-hop-unresolved: { node: cluster1 }", "next-hop-unresolved", "does not resolve"),
        case("leaf2", "damped: { node: cluster1-m02 }", "damped", "route flap damping"),
        case("leaf3", "graceful-restart: { node: cluster1-m03 }", "stale", "graceful restart"),
    ];
    expect_each_cause_alone(&bench, &cases, hop).await;
    let says = "1.1.1.100/32 from 192.168.1.11 is kept out of the forwarding table by configuration";
    let cases = [case("leaf1", "fib-disabled: { node: cluster1 }", "fib-suppressed", says)];
    expect_each_cause_alone(&bench, &cases, hop).await;
    let vip = |_: &str, name: &str| name.to_owned();
    let cases =
        [case("leaf1", "fib-suppressed: { leaf: leaf1, prefix: 1.1.1.100/32 }", "fib-suppressed", "suppressed")];
    expect_each_cause_alone(&bench, &cases, vip).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cause_follows_the_fault_at_the_next_look() {
    let bench = plugged_in().await;
    let first = [
        ("leaf1", "peer-shutdown: { node: cluster1 }", node("leaf1", "probable-cause"), "peer-shutdown"),
        (
            "leaf2",
            "policy-reject: { leaf: leaf2, prefix: 1.1.1.100/32 }",
            hop("leaf2", "probable-cause"),
            "rejected-by-policy",
        ),
        (
            "leaf3",
            "withheld: { node: cluster1-m03, prefix: 1.1.1.100/32 }",
            hop("leaf3", "probable-cause"),
            "not-received",
        ),
    ];
    let mut heard: Vec<Heard<'_>> = first.iter().map(|(leaf, ..)| Heard::at(&bench, leaf)).collect();
    let requests = || first.each_ref().map(|(leaf, ..)| bench.leaf(leaf).gnmi().local_requests());
    for (_, lever, ..) in &first {
        bench.act(&[&format!("pull: {{ {lever} }}")]).await;
    }
    for (leaf, _, at, cause) in &first {
        bench.until(leaf, &[(at, Is(cause))]).await;
    }
    // The fault becomes another one, and the verdict stays. On leaf3 nothing changes.
    let before = requests();
    bench.act(&["pull: { admin-disabled: { leaf: leaf1, node: cluster1 } }"]).await;
    bench.act(&["pull: { withheld: { node: cluster1-m02, prefix: 1.1.1.100/32 } }"]).await;
    let next = ["admin-disabled", "not-received", "not-received"];
    for ((leaf, _, at, _), cause) in first.iter().zip(next) {
        bench.until_within(LOOKED_AGAIN, leaf, &[(at, Is(cause))]).await;
    }
    let looked = timeout(LOOKED_AGAIN, async {
        while requests().iter().zip(before).any(|(now, before)| *now == before) {
            sleep(Duration::from_millis(200)).await;
        }
    });
    looked.await.expect("every leaf looks again");
    for (((leaf, _, at, cause), next), heard) in first.iter().zip(next).zip(&mut heard) {
        bench.expect(leaf, &[(at, Is(next))]);
        assert_eq!(heard.words(), BTreeSet::from([(*cause).to_owned(), next.to_owned()]), "{leaf}");
    }
    bench.act(&["release-all"]).await;
    for (leaf, _, at, _) in &first {
        bench.until(leaf, &[(at, Nothing), ("oper-state", Is("up"))]).await;
    }
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_bgp_rib_costs_only_the_causes_of_paths() {
    let gnmi = GnmiSwitches { unknown: vec!["bgp-rib".to_owned()], ..GnmiSwitches::default() };
    let bench = Bench::on(Profile { gnmi, ..Profile::default() }, |_| {}).await;
    bench.until_healthy().await;
    let mut heard = Heard::at(&bench, "leaf1");
    bench.act(&["pull: { withheld: { node: cluster1, prefix: 1.1.1.100/32 } }"]).await;
    bench.act(&["pull: { peer-shutdown: { node: cluster1-m02 } }"]).await;
    let refused = "/k8s-services/statistics/adaptation/refused-path";
    bench.until("leaf1", &[("oper-state", Is("degraded")), (refused, Has("/bgp-rib"))]).await;
    bench.until("leaf2", &[(&node("leaf2", "probable-cause"), Is("peer-shutdown"))]).await;
    bench
        .expect("leaf1", &[(GNMI_SOURCE, Is("synced")), ("probable-cause", Nothing), ("fib-status", Is("programmed"))]);
    assert_eq!(heard.words(), BTreeSet::new(), "nothing is guessed");
    bench.act(&["release-all"]).await;
    bench.until_healthy().await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causes_of_one_unused_route_among_several_are_reported() {
    let at = |name: &str| {
        format!(
            "/k8s-services/cluster[name=k8s]/service[namespace=default][name=my-service]/vip[address=192.168.100.10]/{name}"
        )
    };
    let bench = Bench::of("kubeadm-calico-metallb").await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&at("installed-next-hops"), Is("3"))]).await;
    let pull =
        "static-route: { leaf: leaf1, network-instance: default, prefix: 192.168.100.10/32, next-hop: 192.168.30.60 }";
    for (lever, cause, says) in [
        ("as-path-longer: { node: worker01 }", "not-best", "192.168.30.60 is valid and lost by as-path-length"),
        ("bfd-down: { node: worker01 }", "bfd-down", "the BFD session with 192.168.30.60 is down"),
        ("multipath: { leaf: leaf1, limit: 1 }", "multipath-limit", "look at maximum-paths"),
        (pull, "preference", "wins by preference 5"),
    ] {
        let mut heard = Heard::at(&bench, "leaf1");
        bench.act(&[&format!("pull: {{ {lever} }}")]).await;
        bench.until("leaf1", &[(&at("probable-cause"), Is(cause)), (&at("oper-detail"), Has(says))]).await;
        expect_quoted(cause, &bench.says("leaf1", &at("cause-detail")).unwrap_or_default());
        assert_eq!(heard.words(), BTreeSet::from([cause.to_owned()]), "{lever}");
        bench.act(&["release-all"]).await;
        bench.until("leaf1", &[(&at("probable-cause"), Nothing), (&at("oper-state"), Is("up"))]).await;
    }
    bench.down().await;
}

/// Tests sessions that do not come up: a node that moved, BFD, and a speaker that was never heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causes_of_a_session_that_does_not_come_up_are_reported() {
    let bfd = |lab: &mut LabContent| {
        let bgp = lab.fabric.network_instances.get_mut("ip-vrf-1").and_then(|it| it.bgp.as_mut());
        bgp.expect("the lab has it").bfd = true;
    };
    let bench = Bench::with(bfd).await;
    bench.until_healthy().await;
    let cases = [
        case(
            "leaf1",
            "node-moved: { node: cluster1, leaf: leaf3 }",
            "node-moved",
            "its host route leads to VTEP 10.0.1.3",
        ),
        case("leaf2", "bfd-down: { node: cluster1-m02 }", "bfd-down", "the BFD session with 192.168.1.12 is down"),
    ];
    let peer = |leaf: &str, name: &str| node(leaf, &format!("peer[address={}]/{name}", address(leaf)));
    expect_each_cause_alone(&bench, &cases, peer).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_notification_of_a_vanished_dynamic_neighbor_is_reported() {
    let dynamic = |lab: &mut LabContent| {
        let bgp = lab.fabric.network_instances.get_mut("ip-vrf-1").and_then(|it| it.bgp.as_mut());
        bgp.expect("the lab has it").dynamic_neighbors = true;
    };
    let bench = Bench::with(dynamic).await;
    bench.until_healthy().await;
    let cases = [
        case("leaf1", "peer-shutdown: { node: cluster1 }", "peer-shutdown", "192.168.1.11 sent NOTIFICATION Cease"),
        case("leaf2", "as-mismatch: { node: cluster1-m02 }", "as-mismatch", "Bad Peer As"),
        case("leaf3", "prefix-limit: { node: cluster1-m03 }", "prefix-limit", "this switch sent 192.168.1.13"),
    ];
    expect_each_cause_alone(&bench, &cases, node).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_of_a_node_that_had_a_vip_by_arp_is_reported() {
    const VIP: &str = "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=10.20.0.100]";
    let at = |name: &str| format!("{VIP}/{name}");
    let (bench, _) = causes_named_while_settling("arp-kube-vip").await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up"))]).await;
    let mut heard = Heard::at(&bench, "leaf1");
    bench.act(&["pull: { link-down: { node: n1 } }"]).await;
    // The Gets of the start count for a minute.
    bench
        .until_within(
            LOOKED_AGAIN,
            "leaf1",
            &[(&at("probable-cause"), Is("interface-down")), (&at("oper-detail"), Has("is plugged in there"))],
        )
        .await;
    assert_eq!(heard.words(), BTreeSet::from(["interface-down".to_owned()]));
    bench.act(&["release-all"]).await;
    bench.until("leaf1", &[(&at("probable-cause"), Nothing), (&at("oper-state"), Is("up"))]).await;
    bench.down().await;
}

/// Returns the causes that each leaf reports now, at any place.
fn standing(bench: &Bench) -> BTreeSet<String> {
    let state = |leaf: &String| bench.says(leaf, "/k8s-services").and_then(|text| serde_json::from_str(&text).ok());
    let of_leaf = |leaf: &String| {
        let words = said(&state(leaf).unwrap_or_else(|| panic!("{leaf} says nothing")));
        words.into_iter().map(|word| format!("{leaf}: {word}")).collect::<Vec<_>>()
    };
    bench.lab.leaves().keys().flat_map(of_leaf).collect()
}

fn said(state: &serde_json::Value) -> Vec<String> {
    match state {
        serde_json::Value::Object(members) => {
            let own = members.get("probable-cause").and_then(|word| word.as_str()).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(said)).collect()
        }
        serde_json::Value::Array(entries) => entries.iter().flat_map(said).collect(),
        _ => Vec::new(),
    }
}

/// Longer than the agent delays anything that it asks without a fault.
const PUT_OFF: Duration = Duration::from_secs(11);

/// Starts a lab. Returns every cause that is named until each leaf has asked all that it wants to know.
async fn causes_named_while_settling(lab: &str) -> (Bench, BTreeSet<String>) {
    let bench = Bench::of(lab).await;
    let mut heard: Vec<_> = bench.lab.leaves().keys().map(|leaf| (leaf, Heard::at(&bench, leaf))).collect();
    for leaf in bench.lab.leaves().keys() {
        bench.until(leaf, &[("/k8s-services/oper-state", Is("up"))]).await;
    }
    let requests = || bench.lab.leaves().values().map(|leaf| leaf.gnmi().local_requests()).sum::<u64>();
    loop {
        let before = requests();
        sleep(PUT_OFF).await;
        if requests() == before {
            break;
        }
    }
    let words = |(leaf, heard): &mut (&String, Heard<'_>)| {
        heard.words().into_iter().map(|word| format!("{leaf}: {word}")).collect::<Vec<_>>()
    };
    let named = heard.iter_mut().flat_map(words).collect();
    drop(heard);
    (bench, named)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labs_report_no_cause_but_the_one_they_are_about() {
    let labs = [
        "anycast-metallb",
        "anycast-cilium",
        "arp-kube-vip",
        "kubeadm-calico-metallb",
        "nanog-multicluster",
        "metallb-calico-ecmp",
    ];
    let settled = futures::future::join_all(labs.map(causes_named_while_settling)).await;
    for (lab, (bench, named)) in labs.into_iter().zip(settled) {
        // This lab is about leaf1's detour over leaf2. A node's session and the other leaf are not involved.
        let words: &[&str] = if lab == "metallb-calico-ecmp" { &["leaf1: not-best"] } else { &[] };
        let words: BTreeSet<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(named, words, "{lab}, while it settled");
        assert_eq!(standing(&bench), words, "{lab}");
        bench.down().await;
    }
}
