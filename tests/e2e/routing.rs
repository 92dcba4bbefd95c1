//! Tests of events in a leaf's FRR, and what the agent reports for them.

use std::net::IpAddr;

use ipnet::IpNet;
use srl_sim::tables::{AfiSafi, NetworkInstance, NextHop, Route};

use crate::bench::Says::{self, Has, Is, Nothing};
use crate::site::{LEAF, Options, Site, VIP};

/// State when all three nodes carry the VIP.
const HEALTHY: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("oper-reason", Nothing),
    ("vantage", Is("local")),
    ("route-owner", Is("bgp_mgr")),
    ("fib-status", Is("programmed")),
    ("expected-next-hops", Is("3")),
    ("installed-next-hops", Is("3")),
];

/// Starts a site in which all is well; `None` if that is not possible here.
async fn healthy(options: Options) -> Option<Site> {
    let site = Site::up(options).await?;
    site.bench.until(LEAF, HEALTHY).await;
    Some(site)
}

const NODE1_REASON: &str = "/k8s-services/cluster[name=c1]/node[name=node1]/oper-reason";
/// The VIP's route in the leaf's state.
const ROUTE: &str = "route-table/ipv4-unicast/route[ipv4-prefix=1.1.1.100/32][id=0][route-type=srl_nokia-common:bgp]\
                     [route-owner=bgp_mgr][origin-network-instance=ip-vrf-1]";
/// State when a node's session is missing.
const WITHOUT_A_SESSION: &[(&str, Says)] =
    &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down")), ("installed-next-hops", Is("2"))];

/// Returns a path below the network instance.
fn in_state(path: &str) -> String {
    format!("/network-instance[name=ip-vrf-1]/{path}")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Returns the active route to the VIP.
fn route(instance: &NetworkInstance) -> Option<&Route> {
    let vip: IpNet = VIP.parse().expect("a prefix");
    instance.routes.iter().find(|(key, route)| key.prefix == vip && route.active).map(|(_, route)| route)
}

/// Returns the counters of a node's session.
fn counters(instance: &NetworkInstance, node: &str) -> Option<AfiSafi> {
    instance.neighbors.get(node)?.afi_safis.get("ipv4-unicast").copied()
}

fn withdraw() -> String {
    format!("no network {VIP}")
}

fn announce() -> String {
    format!("network {VIP}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ecmp_over_three_nodes_is_up_with_ibgp() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.bench.expect(LEAF, &[("preference", Is("169"))]);
    for node in ["11", "12", "13"] {
        let hop = format!("next-hop[address=192.168.1.{node}]");
        for (leaf, value) in [("kind", "local"), ("session-state", "established"), ("expected", "true")] {
            assert_eq!(site.bench.says(LEAF, &format!("{hop}/{leaf}")).as_deref(), Some(value), "{hop} {leaf}");
        }
    }
    // zebra may still be working on the route.
    site.bench
        .until(
            LEAF,
            &[
                (&in_state("protocols/bgp/neighbor[peer-address=192.168.1.11]/session-state"), Is("established")),
                (&in_state("protocols/bgp/neighbor[peer-address=192.168.1.11]/dynamic-neighbor"), Is("true")),
                (
                    &in_state("protocols/bgp/neighbor[peer-address=192.168.1.11]/transport/local-address"),
                    Is("192.168.1.1"),
                ),
                (&in_state(&format!("{ROUTE}/active")), Is("true")),
                (&in_state(&format!("{ROUTE}/fib-programming/last-successful-operation-type")), Is("add")),
                (&in_state("route-table/ipv4-unicast/statistics/active-routes-with-ecmp"), Is("1")),
            ],
        )
        .await;
    let instance = site.instance();
    let subnet = ("192.168.1.0/24".parse().expect("a prefix"), "local".to_owned(), "net_inst_mgr".to_owned());
    let hops = ["192.168.1.11", "192.168.1.12", "192.168.1.13"]
        .map(|hop| NextHop::Indirect { address: address(hop), resolving: Some(subnet.clone()) });
    assert_eq!(route(&instance).map(|route| &route.next_hops[..]), Some(&hops[..]));
    assert!(instance.neighbors.values().all(|neighbor| neighbor.dynamic), "{:?}", instance.neighbors);
    let counted = AfiSafi { received: 1, active: 1, rejected: 0, sent: 0 };
    assert_eq!(counters(&instance, "192.168.1.11"), Some(counted));
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ecmp_over_three_nodes_is_up_with_ebgp() {
    let Some(site) = healthy(Options { ebgp: true, ..Options::default() }).await else { return };
    site.bench.expect(LEAF, &[("preference", Is("170"))]);
    assert_eq!(site.instance().neighbors["192.168.1.13"].peer_as, 65000);
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_next_hops_are_the_nodes_own_addresses() {
    let Some(site) = healthy(Options { ebgp: true, ipv6: true, ..Options::default() }).await else { return };
    let vip = "/k8s-services/cluster[name=c1]/service[namespace=default][name=hello6]/vip[address=2001:db8:1::100]";
    let at = |leaf: &str| format!("{vip}/{leaf}");
    let hop = at("next-hop[address=2001:db8:192::12]/node");
    let healthy = [("oper-state", Is("up")), ("installed-next-hops", Is("3")), ("preference", Is("170"))];
    let healthy = healthy.map(|(leaf, says)| (at(leaf), says));
    let healthy: Vec<(&str, Says)> = healthy.iter().map(|(path, says)| (path.as_str(), *says)).collect();
    site.bench.until(LEAF, &healthy).await;
    site.bench.expect(LEAF, &[(&at("oper-reason"), Nothing), (&hop, Is("node2"))]);
    site.nodes[1].vtysh(&["configure terminal", "router bgp", "neighbor 2001:db8:192::1 shutdown"]).await;
    let down = at("oper-reason");
    site.bench.until(LEAF, &[(&down, Is("session-down")), (&at("installed-next-hops"), Is("2"))]).await;
    site.bench.expect(LEAF, HEALTHY);
    site.nodes[1].vtysh(&["configure terminal", "router bgp", "no neighbor 2001:db8:192::1 shutdown"]).await;
    site.bench.until(LEAF, &healthy).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_speaker_loses_its_session_and_comes_back() {
    let Some(mut site) = healthy(Options::default()).await else { return };
    let mut reason = site.bench.follow(LEAF, "oper-reason");
    site.nodes[1].kill("bgpd").await;
    site.bench.until(LEAF, WITHOUT_A_SESSION).await;
    assert_eq!(reason.values(), [Some("session-down".to_owned())], "and nothing else before");
    site.bench.expect(LEAF, &[("oper-detail", Has("192.168.1.12 (node2) gone"))]);
    assert!(!site.instance().neighbors.contains_key("192.168.1.12"), "a dynamic neighbor vanishes");
    site.nodes[1].start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_neighbor_outlives_its_session() {
    let Some(mut site) = healthy(Options { configured: true, ..Options::default() }).await else { return };
    let of = |instance: &NetworkInstance| instance.neighbors["192.168.1.12"].clone();
    let before = of(&site.instance());
    assert_eq!((before.dynamic, before.established_transitions), (false, 1));
    site.nodes[1].kill("bgpd").await;
    site.bench.until(LEAF, WITHOUT_A_SESSION).await;
    site.bench.expect(LEAF, &[("oper-detail", Has("192.168.1.12 (node2)"))]);
    let down = of(&site.instance());
    assert_ne!(down.session_state, "established");
    assert_ne!(down.last_established, before.last_established, "it is dated by either change");
    site.nodes[1].start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    assert_eq!(of(&site.instance()).established_transitions, 2);
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pulled_cable_is_detected_by_the_hold_timer() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.plug(3, false);
    site.bench.until(LEAF, WITHOUT_A_SESSION).await;
    site.bench.expect(LEAF, &[("oper-detail", Has("node3"))]);
    site.plug(3, true);
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bfd_takes_a_session_down() {
    let Some(mut site) = healthy(Options { bfd: true, ..Options::default() }).await else { return };
    let guarded = |instance: &NetworkInstance| instance.bfd.values().filter(|session| session.up).count() == 3;
    site.until("three BFD sessions that are up", guarded).await;
    site.nodes[1].kill("bfdd").await;
    site.bench.until(LEAF, WITHOUT_A_SESSION).await;
    site.until("two BFD sessions that are up", |instance| !guarded(instance)).await;
    site.nodes[1].start_again("bfdd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.until("three BFD sessions that are up again", guarded).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_restart_keeps_the_route_in_use() {
    let options = Options { graceful_restart: Some(120), ..Options::default() };
    let Some(mut site) = healthy(options).await else { return };
    let mut state = site.bench.follow(LEAF, "oper-state");
    let mut installed = site.bench.follow(LEAF, "installed-next-hops");
    site.nodes[0].kill("bgpd").await;
    // The route is kept. Without host routes by ARP, nothing shows whether the node is alive.
    site.bench.until(LEAF, &[(NODE1_REASON, Is("session-down")), ("oper-state", Is("unknown"))]).await;
    site.bench.expect(LEAF, &[("oper-reason", Is("session-down")), ("installed-next-hops", Is("3"))]);
    site.nodes[0].start_again("bgpd").await;
    site.bench.until(LEAF, &[(NODE1_REASON, Nothing)]).await;
    site.bench.until(LEAF, HEALTHY).await;
    let states: Vec<String> = state.values().into_iter().flatten().collect();
    assert_eq!(states, ["unknown", "up"]);
    assert_eq!(installed.values(), [], "forwarding went on");
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_restart_that_takes_too_long_loses_the_route() {
    let options = Options { graceful_restart: Some(3), ..Options::default() };
    let Some(mut site) = healthy(options).await else { return };
    site.nodes[0].kill("bgpd").await;
    site.bench.until(LEAF, WITHOUT_A_SESSION).await;
    site.nodes[0].start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_next_hops_are_resolved_by_static_routes() {
    let options = Options { ebgp: true, loopbacks: true, ..Options::default() };
    let Some(site) = healthy(options).await else { return };
    let hops = [11, 12, 13].map(|node| {
        let prefix = format!("6.4.5.{node}/32").parse().expect("a prefix");
        let resolving = Some((prefix, "static".to_owned(), "static_route_mgr".to_owned()));
        NextHop::Indirect { address: address(&format!("6.4.5.{node}")), resolving }
    });
    assert_eq!(route(&site.instance()).map(|route| &route.next_hops[..]), Some(&hops[..]));
    site.leaf.vtysh(&["configure terminal", "no ip route 6.4.5.12/32 192.168.1.12 5"]).await;
    site.bench.until(LEAF, &[("oper-state", Is("degraded")), ("installed-next-hops", Is("2"))]).await;
    site.leaf.vtysh(&["configure terminal", "ip route 6.4.5.12/32 192.168.1.12 5"]).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_the_wrong_as_number_has_no_session() {
    let Some(mut site) = healthy(Options { configured: true, ..Options::default() }).await else { return };
    site.leaf.vtysh(&["configure terminal", "router bgp", "neighbor nodes remote-as 65001"]).await;
    site.bench.until(LEAF, &[("oper-state", Is("down")), ("oper-reason", Is("session-down"))]).await;
    site.nodes[0].kill("bgpd").await;
    site.leaf.vtysh(&["configure terminal", "router bgp", "neighbor nodes remote-as 65535"]).await;
    site.bench.until(LEAF, WITHOUT_A_SESSION).await;
    site.nodes[0].start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_without_bgp_has_no_sessions_or_routes_until_it_returns() {
    let Some(mut site) = healthy(Options::default()).await else { return };
    site.leaf.kill("bgpd").await;
    site.bench.until(LEAF, &[("oper-state", Is("down")), ("oper-reason", Is("session-down"))]).await;
    assert_eq!(site.instance().neighbors.len(), 0);
    site.leaf.start_again("bgpd").await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preferred_static_route_hides_the_announcements_of_nodes() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.leaf.vtysh(&["configure terminal", "ip route 1.1.1.100/32 192.168.1.99 5"]).await;
    site.bench
        .until(LEAF, &[("route-owner", Is("static_route_mgr")), ("oper-reason", Is("next-hop-unexpected"))])
        .await;
    let lost =
        |instance: &NetworkInstance| instance.routes.iter().any(|(key, it)| key.owner == "bgp_mgr" && !it.active);
    site.until("BGP route that lost", lost).await;
    site.leaf.vtysh(&["configure terminal", "no ip route 1.1.1.100/32 192.168.1.99 5"]).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_deleted_before_its_route_leaves_an_orphan() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.bench
        .act(&["config: { leaf: leaf1, lines: \"set / k8s-services cluster c1 vip-pool [ 1.1.1.0/24 ]\" }"])
        .await;
    site.bench.act(&["delete: { cluster: c1, kind: Service, name: nginxhello }"]).await;
    let orphan = format!("/k8s-services/orphan-route[network-instance=ip-vrf-1][prefix={VIP}]/route-owner");
    site.bench.until(LEAF, &[("oper-state", Nothing), (&orphan, Is("bgp_mgr"))]).await;
    for node in &site.nodes {
        node.bgp(&[&withdraw()]).await;
    }
    site.bench.until(LEAF, &[(&orphan, Nothing)]).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_policy_that_rejects_the_vip_leaves_no_route() {
    let Some(site) = healthy(Options::default()).await else { return };
    site.leaf.vtysh(&["configure terminal", "route-map none deny 10"]).await;
    site.leaf.bgp(&["neighbor nodes route-map none in"]).await;
    site.bench.until(LEAF, &[("oper-state", Is("down")), ("oper-reason", Is("no-route"))]).await;
    let rejected = AfiSafi { received: 1, active: 0, rejected: 1, sent: 0 };
    let counted = |instance: &NetworkInstance| counters(instance, "192.168.1.11") == Some(rejected);
    site.until("session that counts one rejected route", counted).await;
    site.leaf.bgp(&["no neighbor nodes route-map none in"]).await;
    site.bench.until(LEAF, HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_paths_than_nodes_are_a_missing_next_hop_unless_ecmp_limit_is_set() {
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
async fn withdrawals_remove_next_hops_and_finally_the_route() {
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
async fn the_state_is_right_after_a_flapping_announcement() {
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
