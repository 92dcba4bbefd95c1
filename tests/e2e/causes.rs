//! Tests of causes with a real FRR: the daemons themselves cause each fault, and the agent must name only this cause.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::Says::{self, Anything, Has, Is, Nothing};
use crate::heard::Heard;
use crate::site::{LEAF, Options, Site, VIP};

/// Starts a site in which all is well, neighbors are configured, and the leaf knows where they are connected.
async fn plugged_in(options: Options) -> Option<Site> {
    let site = Site::up(Options { configured: true, ..options }).await?;
    site.bench.until(LEAF, UP).await;
    for number in 1..=3 {
        let port = format!("{}peer[address=192.168.1.1{number}]/port", node(number, ""));
        site.bench.until(LEAF, &[(&port, Anything)]).await;
    }
    Some(site)
}

const UP: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("installed-next-hops", Is("3")),
    ("oper-reason", Nothing),
    ("probable-cause", Nothing),
];

fn node(number: usize, leaf: &str) -> String {
    format!("/k8s-services/cluster[name=c1]/node[name=node{number}]/{leaf}")
}

fn hop(number: usize, leaf: &str) -> String {
    format!("next-hop[address=192.168.1.1{number}]/{leaf}")
}

/// Waits until a place has this cause, with these parts in its sentence.
async fn until(site: &Site, at: fn(usize, &str) -> String, number: usize, cause: &'static str, says: &[&'static str]) {
    let (word, detail) = (at(number, "probable-cause"), at(number, "cause-detail"));
    let parts = says.iter().map(|part| (detail.as_str(), Has(part)));
    let expected: Vec<(&str, Says)> = [(word.as_str(), Is(cause))].into_iter().chain(parts).collect();
    site.bench.until_within(crate::site::LOOKED_AGAIN, LEAF, &expected).await;
}

/// Asserts that only this cause was reported, and that none is left after healing.
async fn expect_only_cause(site: &Site, heard: Heard<'_>, cause: &str) {
    expect_only_causes(site, heard, &[cause]).await;
}

async fn expect_only_causes(site: &Site, mut heard: Heard<'_>, causes: &[&str]) {
    assert_eq!(heard.words(), causes.iter().map(|cause| (*cause).to_owned()).collect::<BTreeSet<_>>());
    site.bench.until(LEAF, UP).await;
    for number in 1..=3 {
        site.bench
            .until(LEAF, &[(&node(number, "probable-cause"), Nothing), (&hop(number, "probable-cause"), Nothing)])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbor_disabled_on_either_side_is_diagnosed() {
    let Some(site) = plugged_in(Options::default()).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    let bgp = |line: &'static str| ["configure terminal", "router bgp", line];
    site.leaf.vtysh(&bgp("neighbor 192.168.1.11 shutdown")).await;
    until(&site, node, 1, "admin-disabled", &["admin-state disable"]).await;
    site.leaf.vtysh(&bgp("no neighbor 192.168.1.11 shutdown")).await;
    expect_only_cause(&site, heard, "admin-disabled").await;

    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[1].vtysh(&bgp("neighbor 192.168.1.1 shutdown")).await;
    until(&site, node, 2, "peer-shutdown", &["192.168.1.12 sent NOTIFICATION Cease (Administrative Shutdown)"]).await;
    site.nodes[1].vtysh(&bgp("no neighbor 192.168.1.1 shutdown")).await;
    expect_only_cause(&site, heard, "peer-shutdown").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_as_number_mismatch_is_diagnosed() {
    let Some(site) = plugged_in(Options { ebgp: true, ..Options::default() }).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    site.leaf.vtysh(&["configure terminal", "router bgp", "neighbor nodes remote-as 65001"]).await;
    for number in 1..=3 {
        until(&site, node, number, "as-mismatch", &["Bad Peer As", "this switch is AS 65535 and expects AS 65001"])
            .await;
    }
    site.leaf.vtysh(&["configure terminal", "router bgp", "neighbor nodes remote-as 65000"]).await;
    // After several refusals, a speaker waits longer before each attempt.
    for host in site.nodes.iter().chain([&site.leaf]) {
        host.vtysh(&["clear bgp *"]).await;
    }
    // FRR first ends the session because of the change itself, and says so. The nodes are refused when they try again.
    expect_only_causes(&site, heard, &["as-mismatch", "notification"]).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exceeded_prefix_limit_is_diagnosed() {
    let Some(site) = plugged_in(Options::default()).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    site.leaf.bgp(&["neighbor 192.168.1.12 maximum-prefix 1"]).await;
    // FRR counts the prefixes it has accepted, so an excess is detected only with the next prefix.
    site.nodes[1].bgp(&["network 9.9.9.1/32"]).await;
    site.nodes[1].bgp(&["network 9.9.9.2/32"]).await;
    site.nodes[1].bgp(&["network 9.9.9.3/32"]).await;
    until(&site, node, 2, "prefix-limit", &["this switch sent 192.168.1.12", "Maximum Number of Prefixes Reached"])
        .await;
    site.nodes[1].bgp(&["no network 9.9.9.1/32", "no network 9.9.9.2/32", "no network 9.9.9.3/32"]).await;
    site.leaf.vtysh(&["clear bgp 192.168.1.12"]).await;
    expect_only_cause(&site, heard, "prefix-limit").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_cable_and_a_hung_speaker_are_diagnosed() {
    let Some(mut site) = plugged_in(Options::default()).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    site.cable(3, false);
    until(
        &site,
        node,
        3,
        "interface-down",
        &["ethernet-1/3 is down (lower-layer-down)", "192.168.1.13 is plugged in there"],
    )
    .await;
    site.cable(3, true);
    expect_only_cause(&site, heard, "interface-down").await;

    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[0].pause("bgpd", true);
    until(&site, node, 1, "hold-timer-expired", &["this switch sent 192.168.1.11 NOTIFICATION Hold Timer Error"]).await;
    site.nodes[0].pause("bgpd", false);
    expect_only_cause(&site, heard, "hold-timer-expired").await;

    // Nothing refuses and nothing answers: this cause remains if the speaker is not there.
    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[0].kill("bgpd").await;
    until(&site, node, 1, "speaker-silent", &["is reachable and refuses nothing"]).await;
    site.nodes[0].start_again("bgpd").await;
    expect_only_cause(&site, heard, "speaker-silent").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_answers_no_arp_is_diagnosed_as_unreachable() {
    let Some(site) = plugged_in(Options::default()).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    site.answers(1, false);
    let parts = ["192.168.1.11 does not answer ARP or ND here", "it was on irb1.1, port ethernet-1/1"];
    until(&site, node, 1, "node-unreachable", &parts).await;
    site.answers(1, true);
    expect_only_cause(&site, heard, "node-unreachable").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bfd_down_before_bgp_is_diagnosed() {
    let Some(mut site) = plugged_in(Options { bfd: true, ..Options::default() }).await else { return };
    site.until("three BFD sessions that are up", |it| it.bfd.values().filter(|it| it.up).count() == 3).await;
    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[1].kill("bfdd").await;
    until(&site, node, 2, "bfd-down", &["the BFD session with 192.168.1.12 is down"]).await;
    site.nodes[1].start_again("bfdd").await;
    expect_only_cause(&site, heard, "bfd-down").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_kept_by_graceful_restart_is_diagnosed_as_stale() {
    let Some(mut site) = plugged_in(Options { graceful_restart: Some(120), ..Options::default() }).await else {
        return;
    };
    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[0].kill("bgpd").await;
    until(&site, hop, 1, "stale", &["is kept by graceful restart alone"]).await;
    site.nodes[0].start_again("bgpd").await;
    expect_only_cause(&site, heard, "stale").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsent_or_rejected_route_is_diagnosed() {
    let Some(site) = plugged_in(Options::default()).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[0].bgp(&[&format!("no network {VIP}")]).await;
    until(&site, hop, 1, "not-received", &["192.168.1.11 does not send 1.1.1.100/32"]).await;
    site.nodes[0].bgp(&[&format!("network {VIP}")]).await;
    expect_only_cause(&site, heard, "not-received").await;

    let heard = Heard::at(&site.bench, LEAF);
    site.leaf.vtysh(&["configure terminal", "route-map none deny 10"]).await;
    site.leaf.bgp(&["neighbor 192.168.1.12 route-map none in"]).await;
    until(&site, hop, 2, "rejected-by-policy", &["the import policy rejects it"]).await;
    site.leaf.bgp(&["no neighbor 192.168.1.12 route-map none in"]).await;
    expect_only_cause(&site, heard, "rejected-by-policy").await;

    let heard = Heard::at(&site.bench, LEAF);
    let change = |set: &'static str| ["configure terminal", "route-map change permit 10", set];
    site.nodes[2].vtysh(&change("set ip next-hop 7.7.7.7")).await;
    site.nodes[2].bgp(&["neighbor 192.168.1.1 route-map change out"]).await;
    until(&site, hop, 3, "next-hop-unresolved", &["the next-hop of 1.1.1.100/32 from 192.168.1.13 does not resolve"])
        .await;
    site.nodes[2].bgp(&["no neighbor 192.168.1.1 route-map change out"]).await;
    expect_only_cause(&site, heard, "next-hop-unresolved").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longer_looped_or_losing_path_is_diagnosed() {
    let Some(site) = plugged_in(Options { ebgp: true, ..Options::default() }).await else { return };
    let change = |set: &'static str| ["configure terminal", "route-map change permit 10", set];
    let out = ["neighbor 192.168.1.1 route-map change out"];
    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[0].vtysh(&change("set as-path prepend 65000 65000")).await;
    site.nodes[0].bgp(&out).await;
    until(&site, hop, 1, "not-best", &["1.1.1.100/32 from 192.168.1.11 is valid and lost by as-path-length"]).await;
    site.nodes[0].bgp(&["no neighbor 192.168.1.1 route-map change out"]).await;
    expect_only_cause(&site, heard, "not-best").await;

    let heard = Heard::at(&site.bench, LEAF);
    site.nodes[1].vtysh(&change("set as-path prepend 65535")).await;
    site.nodes[1].bgp(&out).await;
    until(&site, hop, 2, "as-loop", &["holds an AS number of this switch"]).await;
    site.nodes[1].bgp(&["no neighbor 192.168.1.1 route-map change out"]).await;
    expect_only_cause(&site, heard, "as-loop").await;

    let heard = Heard::at(&site.bench, LEAF);
    site.leaf.bgp(&["maximum-paths 2"]).await;
    site.bench
        .until(LEAF, &[("probable-cause", Is("multipath-limit")), ("cause-detail", Has("look at maximum-paths"))])
        .await;
    site.leaf.bgp(&["maximum-paths 64"]).await;
    expect_only_cause(&site, heard, "multipath-limit").await;

    let heard = Heard::at(&site.bench, LEAF);
    site.leaf.vtysh(&["configure terminal", "ip route 1.1.1.100/32 192.168.1.11 5"]).await;
    for number in 2..=3 {
        until(&site, hop, number, "preference", &["the route of static_route_mgr wins by preference 5, BGP's is 170"])
            .await;
    }
    site.leaf.vtysh(&["configure terminal", "no ip route 1.1.1.100/32 192.168.1.11 5"]).await;
    expect_only_cause(&site, heard, "preference").await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damped_route_is_diagnosed() {
    let Some(site) = plugged_in(Options { ebgp: true, ..Options::default() }).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    // One withdrawal costs 1000: more than 750 for 50 seconds, and more than 500 for two minutes.
    site.leaf.bgp(&["bgp dampening 2 500 750 4"]).await;
    site.nodes[0].bgp(&[&format!("no network {VIP}")]).await;
    until(&site, hop, 1, "not-received", &["192.168.1.11 does not send 1.1.1.100/32"]).await;
    site.nodes[0].bgp(&[&format!("network {VIP}")]).await;
    until(&site, hop, 1, "damped", &["1.1.1.100/32 from 192.168.1.11 is suppressed by route flap damping"]).await;
    // bgpd takes the path up again by itself.
    site.bench.until_within(Duration::from_secs(180), LEAF, UP).await;
    expect_only_causes(&site, heard, &["damped", "not-received"]).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_without_a_cause_of_its_own_is_quoted() {
    let Some(site) = plugged_in(Options::default()).await else { return };
    let heard = Heard::at(&site.bench, LEAF);
    // The leaf's own identifier: it refuses every OPEN message with it.
    site.nodes[2].vtysh(&["configure terminal", "router bgp", "bgp router-id 192.168.1.1"]).await;
    let parts = ["192.168.1.13", "NOTIFICATION Open Message Error (Bad BGP Identifier) at "];
    until(&site, node, 3, "notification", &parts).await;
    site.nodes[2].vtysh(&["configure terminal", "router bgp", "no bgp router-id"]).await;
    for host in [&site.nodes[2], &site.leaf] {
        host.vtysh(&["clear bgp *"]).await;
    }
    expect_only_cause(&site, heard, "notification").await;
    site.down().await;
}
