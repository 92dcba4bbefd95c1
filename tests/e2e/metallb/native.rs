//! Tests with MetalLB's own BGP.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ALL, EXCLUDE, Endpoint, LEAVES, METALLB, Mode, Site, list, ready};
use crate::bench::Says::{self, Has, Is, Nothing};
use crate::bench::{CLUSTER, SERVICE};
use crate::site::Options;

const SERVICES: &str = "/api/v1/namespaces/default/services";
pub(super) const PREFIX: &str = "1.1.1.100/32";
const AGGREGATE: &str = "1.1.1.0/24";
/// What both agents report when all three nodes announce the VIP.
pub(super) const HEALTHY: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("oper-reason", Nothing),
    ("vantage", Is("local")),
    ("fib-status", Is("programmed")),
    ("expected-next-hops", Is("3")),
    ("installed-next-hops", Is("3")),
];

/// Returns the part of a service that requests the labs' VIP.
fn asking() -> Value {
    json!({"metadata": {"annotations": {"metallb.io/loadBalancerIPs": "1.1.1.100"}}})
}

/// Returns the part of a service that requests the labs' VIP and has a traffic policy.
pub(super) fn policy(policy: &str) -> Value {
    let mut service = asking();
    service["spec"] = json!({"externalTrafficPolicy": policy});
    service
}

/// Returns the path of a leaf in the state of a service's VIP.
fn vip(service: &str, address: &str, leaf: &str) -> String {
    format!("{CLUSTER}/service[namespace=default][name={service}]/vip[address={address}]/{leaf}")
}

/// Starts a site with the labs' service on all nodes.
async fn announced() -> Option<Site> {
    announced_in(Mode::Native, Options::default()).await
}

/// Starts a site with the labs' service on all nodes, in this mode and with these options.
pub(super) async fn announced_in(mode: Mode, options: Options) -> Option<Site> {
    let site = Site::up(mode, options).await?;
    site.service("nginxhello", asking()).await;
    site.endpoints("nginxhello", &ALL.iter().map(|node| ready(node)).collect::<Vec<_>>()).await;
    site.agree("three nodes announce it", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;
    Some(site)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_and_the_rules_agree_on_endpoints() {
    let Some(site) = announced().await else { return };
    let only = |node: &'static str| [ready(node)];
    let terminating = |node: &'static str| Endpoint { ready: false, ..ready(node) };
    let gone = |node: &'static str| Endpoint { serving: false, ..terminating(node) };

    site.service("nginxhello", policy("Local")).await;
    site.endpoints("nginxhello", &only("node1")).await;
    site.agree("policy Local announces where an endpoint is", &[(PREFIX, &["node1"])]).await;
    site.both(&[("oper-state", Is("up")), ("oper-reason", Nothing), ("expected-next-hops", Is("1"))]).await;
    site.endpoints("nginxhello", &[ready("node1"), terminating("node2"), gone("node3")]).await;
    site.agree("one that terminates and still serves counts", &[(PREFIX, &["node1", "node2"])]).await;
    site.endpoints("nginxhello", &[gone("node1"), terminating("node2"), gone("node3")]).await;
    site.agree("one that does not serve any more does not", &[(PREFIX, &["node2"])]).await;

    site.service("nginxhello", policy("Cluster")).await;
    site.agree("policy Cluster announces everywhere", &[(PREFIX, ALL)]).await;
    site.endpoints("nginxhello", &[gone("node1"), gone("node2")]).await;
    site.agree("nobody announces without an endpoint", &[]).await;
    site.both(&[("oper-state", Is("down")), ("oper-reason", Is("no-ready-endpoint"))]).await;
    site.endpoints("nginxhello", &only("node3")).await;
    site.agree("everybody does with one", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;

    site.admin.delete(&format!("{SERVICES}/nginxhello")).await;
    site.agree("a service that is deleted is withdrawn", &[]).await;
    site.both(&[
        (SERVICE, Nothing),
        (&format!("/k8s-services/orphan-route[network-instance=ip-vrf-1][prefix={PREFIX}]/since"), Nothing),
    ])
    .await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_and_the_rules_agree_on_nodes() {
    let Some(mut site) = announced().await else { return };
    let excluded = |value: Value| json!({"metadata": {"labels": {EXCLUDE: value}}});
    let excluded_by = |node: &str| format!("{CLUSTER}/node[name={node}]/excluded-by");

    for value in ["", "false"] {
        site.node("node2", excluded(json!(value))).await;
        site.agree("the label excludes, whatever its value", &[(PREFIX, &["node1", "node3"])]).await;
        site.both(&[("oper-state", Is("up")), (&excluded_by("node2"), Has("exclude-from-external"))]).await;
        site.node("node2", excluded(Value::Null)).await;
        site.agree("without it the node is back", &[(PREFIX, ALL)]).await;
    }
    site.network_unavailable("node3", true).await;
    site.agree("a node without a network announces nothing", &[(PREFIX, &["node1", "node2"])]).await;
    site.both(&[("oper-state", Is("up")), (&excluded_by("node3"), Has("NetworkUnavailable"))]).await;
    site.network_unavailable("node3", false).await;
    site.node("node1", json!({"spec": {"unschedulable": true}})).await;
    site.not_ready("node2").await;
    site.agree("neither a cordon nor being not ready matters", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;

    site.kill_speaker("node2").await;
    site.agree("a killed speaker takes its announcements along", &[(PREFIX, &["node1", "node3"])]).await;
    site.both(&[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;
    site.both(&[("oper-detail", Has("192.168.1.12 (node2)")), ("installed-next-hops", Is("2"))]).await;
    site.start_speaker("node2").await;
    site.agree("it comes back", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_and_the_rules_agree_on_advertisements_and_peers() {
    // If a peer changes, MetalLB closes its session and opens it again at once. With a dynamic neighbor, FRR may keep
    // the new session but no longer list the neighbor.
    let options = Options { configured: true, ..Options::default() };
    let Some(site) = announced_in(Mode::Native, options).await else { return };
    let on = |node: &str| json!([{"matchLabels": {"kubernetes.io/hostname": node}}]);

    site.advertise("bgpadv", json!({"nodeSelectors": on("node1")})).await;
    site.agree("only selected nodes announce", &[(PREFIX, &["node1"])]).await;
    site.advertise("more", json!({"nodeSelectors": on("node2")})).await;
    site.agree("several advertisements add up", &[(PREFIX, &["node1", "node2"])]).await;
    site.node("node3", json!({"metadata": {"labels": {"kubernetes.io/hostname": "node2"}}})).await;
    site.agree("labels bring a node in", &[(PREFIX, ALL)]).await;
    site.no_longer_advertise("more").await;
    site.agree("what is no longer advertised is withdrawn", &[(PREFIX, &["node1"])]).await;
    site.node("node3", json!({"metadata": {"labels": {"kubernetes.io/hostname": "node3"}}})).await;

    site.advertise("bgpadv", json!({"serviceSelectors": [{"matchLabels": {"app": "other"}}]})).await;
    site.agree("a service that is not selected is not announced", &[]).await;
    site.both(&[("oper-state", Is("down")), ("oper-reason", Is("no-announcer"))]).await;
    site.advertise("bgpadv", json!({"serviceSelectors": [{"matchLabels": {"app": "nginxhello"}}]})).await;
    site.agree("one that is selected is", &[(PREFIX, ALL)]).await;
    site.no_longer_advertise("bgpadv").await;
    site.agree("without any advertisement there is no announcement", &[]).await;
    site.both(&[("oper-reason", Is("no-announcer")), ("oper-detail", Has("no BGPAdvertisement exists"))]).await;

    site.advertise("bgpadv", json!({"aggregationLength": 24})).await;
    site.agree("an aggregate is announced in place of the VIP", &[(AGGREGATE, ALL)]).await;
    site.both(&[("oper-state", Is("up")), ("oper-reason", Is("covered-by-aggregate"))]).await;
    site.both(&[("prefix", Is(AGGREGATE)), ("oper-detail", Has("the prefix it is announced as"))]).await;
    site.advertise("long", json!({"nodeSelectors": on("node1")})).await;
    site.agree("of two lengths the longer one counts", &[(AGGREGATE, ALL), (PREFIX, &["node1"])]).await;
    site.both(&[("oper-state", Is("up")), ("oper-reason", Nothing), ("expected-next-hops", Is("1"))]).await;
    site.node("node1", json!({"metadata": {"labels": {EXCLUDE: ""}}})).await;
    site.agree("as long as somebody announces it", &[(AGGREGATE, &["node2", "node3"])]).await;
    site.both(&[("oper-state", Is("up")), ("oper-reason", Is("covered-by-aggregate"))]).await;
    site.node("node1", json!({"metadata": {"labels": {EXCLUDE: null}}})).await;
    site.no_longer_advertise("long").await;
    site.advertise("bgpadv", json!({})).await;
    site.agree("and the VIP again", &[(PREFIX, ALL)]).await;

    site.peer("peer", json!({"nodeSelectors": on("node3")})).await;
    site.agree("a node without a peer announces nothing", &[(PREFIX, &["node3"])]).await;
    site.peer("peer2", json!({"nodeSelectors": on("node1")})).await;
    site.agree("one with a peer does", &[(PREFIX, &["node1", "node3"])]).await;
    site.advertise("bgpadv", json!({"peers": ["peer2"]})).await;
    site.agree("peers an advertisement goes to are the only ones", &[(PREFIX, &["node1"])]).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_and_the_rules_agree_on_conflicting_advertisements() {
    let Some(site) = announced().await else { return };
    let chosen = json!([{"matchLabels": {"app": "nginxhello"}}]);
    site.peer("elsewhere", json!({"peerAddress": "192.168.1.99"})).await;

    site.advertise("bgpadv", json!({"serviceSelectors": chosen, "communities": ["65535:1"]})).await;
    site.advertise("other", json!({"localPref": 200})).await;
    site.agree("two preferences of one prefix are none", &[]).await;
    site.both(&[("oper-reason", Is("no-announcer")), ("oper-detail", Has("bgpadv, metallb-system/other"))]).await;
    site.advertise("bgpadv", json!({"serviceSelectors": chosen, "peers": ["peer"]})).await;
    site.advertise("other", json!({"localPref": 200, "peers": ["elsewhere"]})).await;
    site.agree("unless they go to peers of their own", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;

    site.advertise("bgpadv", json!({})).await;
    site.advertise("other", json!({"localPref": 200})).await;
    for node in ALL {
        site.refused(node).await;
    }
    site.agree("what MetalLB does not take leaves what was", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_and_the_rules_agree_on_shared_vips_and_pools() {
    let Some(site) = announced().await else { return };
    let sharing = |port: u16| {
        let mut service = policy("Cluster");
        service["metadata"]["annotations"]["metallb.io/allow-shared-ip"] = json!("both");
        service["spec"]["ports"] = json!([{"name": "http", "port": port, "protocol": "TCP"}]);
        service
    };
    site.service("nginxhello", sharing(80)).await;
    site.service("second", sharing(81)).await;
    site.endpoints("second", &[ready("node2")]).await;
    site.endpoints("nginxhello", &[]).await;
    site.agree("a VIP is announced for the sake of either service", &[(PREFIX, ALL)]).await;
    site.both(&[(&vip("second", "1.1.1.100", "oper-state"), Is("up"))]).await;
    site.endpoints("second", &[]).await;
    site.agree("but not of none", &[]).await;
    site.admin.delete(&format!("{SERVICES}/second")).await;
    site.endpoints("nginxhello", &[ready("node1")]).await;
    site.agree("one is left", &[(PREFIX, ALL)]).await;

    site.leaf.vtysh(&["configure terminal", "ip route 1.1.1.77/32 192.168.1.13"]).await;
    let orphan = "/k8s-services/orphan-route[network-instance=ip-vrf-1][prefix=1.1.1.77/32]/route-owner";
    site.both(&[(orphan, Is("static_route_mgr"))]).await;
    site.leaf.vtysh(&["configure terminal", "no ip route 1.1.1.77/32 192.168.1.13"]).await;
    site.both(&[(orphan, Nothing)]).await;

    let elsewhere = json!({"metadata": {"annotations": null}, "spec": {"loadBalancerClass": "example.com/other"}});
    site.service("other", elsewhere).await;
    let ingress = json!({"status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.55"}]}}});
    site.admin.patch(&format!("{SERVICES}/other/status"), &ingress).await;
    site.endpoints("other", &[ready("node1")]).await;
    site.agree("a service of another class is nobody's business", &[(PREFIX, ALL)]).await;
    let judged = format!("{CLUSTER}/service[namespace=default][name=other]");
    site.both(&[(&judged, Nothing)]).await;

    site.service("free", json!({})).await;
    site.endpoints("free", &[ready("node1")]).await;
    let free =
        site.admin.until(&format!("{SERVICES}/free"), |it| !it["status"]["loadBalancer"]["ingress"].is_null()).await;
    let address = free["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().expect("an address").to_owned();
    let own = format!("{address}/32");
    site.agree("the controller gives an address, the speakers announce it", &[(PREFIX, ALL), (&own, ALL)]).await;
    site.both(&[(&vip("free", &address, "oper-state"), Is("up"))]).await;

    site.advertise("bgpadv", json!({"aggregationLength": 24})).await;
    site.service("nginxhello", policy("Local")).await;
    site.service("free", json!({"spec": {"externalTrafficPolicy": "Local"}})).await;
    site.endpoints("free", &[ready("node2")]).await;
    site.agree("an aggregate comes from the nodes of every service in it", &[(AGGREGATE, &["node1", "node2"])]).await;
    site.both(&[("oper-reason", Is("next-hop-unexpected")), ("oper-detail", Has("192.168.1.12 (node2)"))]).await;
    site.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_written_by_speakers_are_used_where_rbac_allows() {
    let Some(mut site) = announced().await else { return };
    let of = |leaf: &str| format!("{CLUSTER}/speaker-resource[name={leaf}.metallb.io]/state");
    let statuses = of("servicebgpstatuses");
    for (leaf, says) in LEAVES.into_iter().zip(["watched", "forbidden"]) {
        site.bench.until(leaf, &[(&statuses, Is(says))]).await;
        for resource in ["ipaddresspools", "bgpadvertisements", "bgppeers"] {
            site.bench.until(leaf, &[(&of(resource), Is("watched"))]).await;
        }
    }
    let said = site.admin.get(&format!("{METALLB}/servicebgpstatuses")).await.expect("listed");
    let announcing: BTreeSet<&str> = list(&said, "items").filter_map(|item| item["status"]["node"].as_str()).collect();
    assert_eq!(announcing, ALL.iter().copied().collect(), "{said:#}");

    // No rule covers this: a speaker with another configuration, which ignores the label.
    site.kill_speaker("node2").await;
    site.start_speaker_with("node2", &["--ignore-exclude-lb"]).await;
    site.node("node2", json!({"metadata": {"labels": {EXCLUDE: ""}}})).await;
    site.bench.until("leaf1", HEALTHY).await;
    site.bench.until("leaf2", &[("expected-next-hops", Is("2")), ("installed-next-hops", Is("3"))]).await;
    site.down().await;
}
