//! Tests that the lab behaves as it did on devices.

use srl_sim::lab::LabContent;

use crate::bench::Says::{Anything, Has, Is, Nothing};
use crate::bench::{Bench, HEALTHY_LOCAL, HEALTHY_REMOTE, LOCAL_LEAVES, SERVICE};

/// Removes the fabric addresses, as if the operator did not know that nodes speak BGP from other addresses.
fn without_fabric_addresses(lab: &mut LabContent) {
    lab.config =
        lab.config.lines().filter(|line| !line.contains("fabric-address")).map(|line| format!("{line}\n")).collect();
}

const POLICY_LOCAL: &str =
    "patch: { cluster: c1, kind: Service, name: nginxhello, patch: { spec: { externalTrafficPolicy: Local } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_leaf_reaches_the_vip_by_its_nearest_path() {
    let bench = Bench::healthy().await;
    for (leaf, (node, address)) in LOCAL_LEAVES.into_iter().zip([
        ("cluster1", "192.168.1.11"),
        ("cluster1-m02", "192.168.1.12"),
        ("cluster1-m03", "192.168.1.13"),
    ]) {
        let next_hop = format!("next-hop[address={address}]");
        bench.expect(leaf, HEALTHY_LOCAL);
        for (name, value) in [("node", node), ("kind", "local"), ("session-state", "established"), ("oper-state", "up")]
        {
            assert_eq!(bench.says(leaf, &format!("{next_hop}/{name}")).as_deref(), Some(value), "{leaf} {name}");
        }
        let copy = evpn_copy(&bench, leaf);
        let copied = |name: &str| bench.says(leaf, &format!("{copy}/{name}"));
        assert_eq!(copied("preference").as_deref(), Some("170"), "{leaf}");
        assert_eq!(copied("active").as_deref(), Some("false"), "{leaf}");
    }
    bench.expect("leaf4", HEALTHY_REMOTE);
    for (vtep, node) in [("10.0.1.1", "cluster1"), ("10.0.1.2", "cluster1-m02"), ("10.0.1.3", "cluster1-m03")] {
        for (name, value) in [("node", node), ("kind", "vtep"), ("expected", "true"), ("installed", "true")] {
            let path = format!("next-hop[address={vtep}]/{name}");
            assert_eq!(bench.says("leaf4", &path).as_deref(), Some(value), "{path}");
        }
    }
    bench.down().await;
}

/// Returns the path of the VIP's EVPN route in state.
fn evpn_copy(bench: &Bench, leaf: &str) -> String {
    let tables = bench.leaf(leaf).tables();
    let mut routes = tables.network_instances["ip-vrf-1"].routes.keys();
    let route = routes.find(|it| it.route_type == "bgp-evpn" && it.prefix.to_string() == "1.1.1.100/32");
    let route = route.expect("the other leaves' route by EVPN");
    format!(
        "/network-instance[name=ip-vrf-1]/route-table/ipv4-unicast/route[ipv4-prefix=1.1.1.100/32]\
         [route-type=srl_nokia-common:bgp-evpn][route-owner={}][id={}][origin-network-instance=ip-vrf-1]",
        route.owner, route.id
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_local_follows_endpoints_and_a_node_without_one_is_not_a_fault() {
    let bench = Bench::healthy().await;
    bench.act(&[POLICY_LOCAL]).await;
    let policy = format!("{SERVICE}/external-traffic-policy");
    for leaf in LOCAL_LEAVES {
        bench.until(leaf, &[(&policy, Is("local"))]).await;
        bench.until(leaf, HEALTHY_LOCAL).await;
    }
    bench.until("leaf4", HEALTHY_REMOTE).await;
    bench.act(&["pods: { cluster: c1, node: cluster1, ready: false }"]).await;
    bench.until("leaf1", &[("vantage", Is("remote")), ("oper-state", Is("up")), ("oper-reason", Nothing)]).await;
    bench.expect("leaf1", &[("route-owner", Is("bgp_evpn_mgr")), ("installed-next-hops", Is("2"))]);
    bench
        .until("leaf4", &[("installed-next-hops", Is("2")), ("expected-next-hops", Is("2")), ("oper-state", Is("up"))])
        .await;
    bench.until("leaf2", HEALTHY_LOCAL).await;
    bench.act(&["pods: { cluster: c1, node: cluster1, ready: true }"]).await;
    bench.until_healthy().await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_unknown_to_kubernetes_are_asked_for_and_never_make_a_false_up() {
    let bench = Bench::with(without_fabric_addresses).await;
    for leaf in ["leaf1", "leaf4"] {
        bench
            .until(
                leaf,
                &[
                    ("oper-state", Is("up")),
                    ("oper-reason", Is("next-hop-unmapped")),
                    ("oper-detail", Has("fabric-address")),
                    ("/k8s-services/cluster[name=c1]/node[name=cluster1]/address", Is("192.168.49.2")),
                    ("/k8s-services/cluster[name=c1]/node[name=cluster1]/attachment", Is("unknown")),
                ],
            )
            .await;
    }
    bench.act(&[POLICY_LOCAL]).await;
    for leaf in ["leaf1", "leaf4"] {
        bench
            .until(
                leaf,
                &[
                    ("oper-state", Is("unknown")),
                    ("oper-reason", Is("next-hop-unmapped")),
                    ("oper-detail", Has("fabric-address")),
                ],
            )
            .await;
    }
    let set =
        |node: &str, address: &str| format!("set / k8s-services cluster c1 node {node} fabric-address [ {address} ]");
    let lines = [("cluster1", "192.168.1.11"), ("cluster1-m02", "192.168.1.12"), ("cluster1-m03", "192.168.1.13")]
        .map(|(node, address)| set(node, address))
        .join("\\n");
    bench.act(&[&format!("config: {{ leaf: '*', lines: \"{lines}\" }}")]).await;
    bench.until_healthy().await;
    bench.expect(
        "leaf1",
        &[
            ("/k8s-services/cluster[name=c1]/node[name=cluster1]/address", Is("192.168.1.11")),
            ("/k8s-services/cluster[name=c1]/node[name=cluster1]/address-source", Is("configured")),
        ],
    );
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_replicas_is_reported_and_a_deleted_one_leaves_nothing() {
    let bench = Bench::healthy().await;
    bench.act(&["scale: { cluster: c1, name: nginxhello, replicas: 0 }"]).await;
    for leaf in bench.lab.leaves().keys() {
        bench
            .until(
                leaf,
                &[("oper-state", Is("down")), ("oper-reason", Is("no-ready-endpoint")), ("oper-detail", Anything)],
            )
            .await;
    }
    bench.act(&["scale: { cluster: c1, name: nginxhello, replicas: 3 }"]).await;
    bench.until_healthy().await;
    bench.act(&["delete: { cluster: c1, kind: Service, name: nginxhello }"]).await;
    for leaf in bench.lab.leaves().keys() {
        bench.until(leaf, &[(SERVICE, Nothing), ("/k8s-services/summary/vips", Is("0"))]).await;
        let routes = &bench.leaf(leaf).tables().network_instances["ip-vrf-1"].routes;
        assert!(routes.keys().all(|route| route.prefix.to_string() != "1.1.1.100/32"), "{leaf} has a route");
        let left: Vec<_> = bench.written(leaf).into_iter().filter(|path| path.contains("nginxhello")).collect();
        assert!(left.is_empty(), "{leaf}: {left:?}");
    }
    bench.down().await;
}
