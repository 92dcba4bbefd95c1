//! What a leaf's FRR goes through, and what the agent says of it.

use srl_sim::tables::NextHop;

use crate::bench::Says::{self, Has, Is, Nothing};
use crate::site::{LEAF, Options, Site, VIP};

/// All three nodes carry the VIP.
const HEALTHY: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("oper-reason", Nothing),
    ("vantage", Is("local")),
    ("route-owner", Is("bgp_mgr")),
    ("fib-status", Is("programmed")),
    ("expected-next-hops", Is("3")),
    ("installed-next-hops", Is("3")),
];

/// A site where all is well, or nothing where there can be none.
async fn healthy(options: Options) -> Option<Site> {
    let site = Site::up(options).await?;
    site.bench.until(LEAF, HEALTHY).await;
    Some(site)
}

fn withdraw() -> String {
    format!("no network {VIP}")
}

fn announce() -> String {
    format!("network {VIP}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ecmp_over_three_nodes_is_up_by_ibgp() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.bench.expect(LEAF, &[("preference", Is("169"))]);
    for node in ["11", "12", "13"] {
        let hop = format!("next-hop[address=192.168.1.{node}]");
        for (leaf, value) in [("kind", "local"), ("session-state", "established"), ("expected", "true")] {
            assert_eq!(site.bench.says(LEAF, &format!("{hop}/{leaf}")).as_deref(), Some(value), "{hop} {leaf}");
        }
    }
    let instance = site.instance();
    let (_, route) = instance.routes.iter().find(|(key, _)| key.prefix.to_string() == VIP).expect("the VIP's route");
    let subnet = ("192.168.1.0/24".parse().expect("a prefix"), "local".to_owned(), "net_inst_mgr".to_owned());
    let hops = ["192.168.1.11", "192.168.1.12", "192.168.1.13"].map(|address| NextHop::Indirect {
        address: address.parse().expect("an address"),
        resolving: Some(subnet.clone()),
    });
    assert_eq!(route.next_hops, hops);
    let neighbor = &instance.neighbors["192.168.1.11"];
    assert!(neighbor.dynamic, "{neighbor:?}");
    let counters = neighbor.afi_safis["ipv4-unicast"];
    assert_eq!((counters.received, counters.active, counters.rejected), (1, 1, 0));
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ecmp_over_three_nodes_is_up_by_ebgp() {
    let Some(site) = healthy(Options { ebgp: true, ..Options::default() }).await else { return };
    site.bench.expect(LEAF, &[("preference", Is("170"))]);
    assert_eq!(site.instance().neighbors["192.168.1.13"].peer_as, 65000);
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_speaker_loses_its_session_and_comes_back() {
    let Some(mut site) = healthy(Options::default()).await else { return };
    site.nodes[1].kill("bgpd").await;
    site.bench
        .until(
            LEAF,
            &[
                ("oper-state", Is("degraded")),
                ("oper-reason", Is("session-down")),
                ("oper-detail", Has("192.168.1.12")),
                ("installed-next-hops", Is("2")),
            ],
        )
        .await;
    assert!(!site.instance().neighbors.contains_key("192.168.1.12"), "a dynamic neighbor vanishes");
    site.nodes[1].start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_cable_is_found_out_by_the_hold_timer() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.plug(3, false);
    site.bench
        .until(LEAF, &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down")), ("oper-detail", Has("node3"))])
        .await;
    site.plug(3, true);
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bfd_takes_a_session_down() {
    let Some(mut site) = healthy(Options { bfd: true, ..Options::default() }).await else { return };
    let node = "192.168.1.12".parse().expect("an address");
    assert!(site.instance().bfd.get(&node).is_some_and(|session| session.up));
    site.nodes[1].kill("bfdd").await;
    site.bench.until(LEAF, &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;
    site.nodes[1].start_again("bfdd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_restart_keeps_the_route_in_use() {
    let Some(mut site) = healthy(Options { graceful_restart: true, ..Options::default() }).await else { return };
    let mut installed = site.bench.follow(LEAF, "installed-next-hops");
    site.nodes[0].kill("bgpd").await;
    site.bench.until(LEAF, &[("next-hop[address=192.168.1.11]/session-state", Is("idle"))]).await;
    println!("{:?}", site.bench.says(LEAF, ""));
    site.nodes[0].start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    assert_eq!(installed.values(), [], "forwarding went on");
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_policy_that_rejects_leaves_no_route() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.leaf.vtysh(&["configure terminal", "route-map none deny 10"]).await;
    site.leaf.bgp(&["neighbor nodes route-map none in"]).await;
    site.bench.until(LEAF, &[("oper-state", Is("down")), ("oper-reason", Is("no-route"))]).await;
    let counters = site.instance().neighbors["192.168.1.11"].afi_safis["ipv4-unicast"];
    assert_eq!((counters.received, counters.active, counters.rejected), (1, 0, 1));
    site.leaf.bgp(&["no neighbor nodes route-map none in"]).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_paths_than_nodes_are_a_missing_next_hop_unless_the_limit_is_told() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.leaf.bgp(&["maximum-paths ibgp 2"]).await;
    site.bench
        .until(
            LEAF,
            &[
                ("oper-state", Is("degraded")),
                ("oper-reason", Is("next-hop-missing")),
                ("installed-next-hops", Is("2")),
            ],
        )
        .await;
    site.bench.act(&["config: { leaf: leaf1, lines: \"set / k8s-services cluster c1 ecmp-limit 2\" }"]).await;
    site.bench.until(LEAF, &[("oper-reason", Is("ecmp-limited")), ("installed-next-hops", Is("2"))]).await;
    site.leaf.bgp(&["maximum-paths ibgp 64"]).await;
    site.bench.act(&["config: { leaf: leaf1, lines: \"delete / k8s-services cluster c1 ecmp-limit\" }"]).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withdrawals_take_next_hops_and_then_the_route() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.nodes[0].bgp(&[&withdraw()]).await;
    site.bench
        .until(
            LEAF,
            &[
                ("oper-state", Is("degraded")),
                ("oper-reason", Is("next-hop-missing")),
                ("oper-detail", Has("192.168.1.11")),
                ("installed-next-hops", Is("2")),
            ],
        )
        .await;
    site.nodes[1].bgp(&[&withdraw()]).await;
    site.nodes[2].bgp(&[&withdraw()]).await;
    site.bench.until(LEAF, &[("oper-state", Is("down")), ("oper-reason", Is("no-route"))]).await;
    for node in &site.nodes {
        node.bgp(&[&announce()]).await;
    }
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_announcement_ends_in_what_is() {
    let Some(site) = healthy(Options::default()).await else { return };
    let (withdraw, announce) = (withdraw(), announce());
    let flaps: Vec<&str> = [withdraw.as_str(), announce.as_str()].repeat(20);
    site.nodes[0].bgp(&flaps).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.nodes[0].bgp(&[&flaps[..], &[withdraw.as_str()]].concat()).await;
    site.bench.until(LEAF, &[("oper-reason", Is("next-hop-missing")), ("installed-next-hops", Is("2"))]).await;
    site.nodes[0].bgp(&[announce.as_str()]).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}
