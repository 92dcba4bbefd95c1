//! One router, three nodes, and a version of MetalLB that has no custom resources yet.

use crate::bench::Bench;
use crate::bench::Says::{Is, Nothing};

const SERVICE: &str = "/k8s-services/cluster[name=k8s]/service[namespace=default][name=my-service]";
const ROUTE: &str = "show network-instance default route-table ipv4-unicast prefix 192.168.100.10/32 detail";
const NODES: [&str; 3] = ["192.168.30.50", "192.168.30.60", "192.168.30.61"];

fn at(name: &str) -> String {
    format!("{SERVICE}/vip[address=192.168.100.10]/{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_share_the_vip_and_the_route_is_withdrawn_with_the_service() {
    let bench = Bench::of("kubeadm-calico-metallb").await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&at("installed-next-hops"), Is("3"))]).await;
    bench.expect("leaf1", &[(&at("oper-reason"), Nothing), (&at("preference"), Is("170"))]);
    let route = bench.cli("leaf1", ROUTE).await;
    for node in NODES {
        assert!(route.contains(&format!("{node} (indirect) resolved by route to 192.168.30.0/24 (local)")), "{route}");
    }
    bench.act(&["delete: { cluster: k8s, kind: Service, name: my-service }"]).await;
    bench.until("leaf1", &[(SERVICE, Nothing), ("/k8s-services/summary/vips", Is("0"))]).await;
    let route = bench.cli("leaf1", ROUTE).await;
    assert!(!route.contains("Destination"), "{route}");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_excluded_control_plane_node_that_announces_is_shown_without_degrading() {
    let bench = Bench::of("kubeadm-calico-metallb").await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&at("installed-next-hops"), Is("3"))]).await;
    let master = |name: &str| at(&format!("next-hop[address=192.168.30.50]/{name}"));
    // It is a separate entry, which may be written after the VIP's.
    bench
        .until(
            "leaf1",
            &[
                (&at("expected-next-hops"), Is("2")),
                (&master("node"), Is("master01")),
                (&master("expected"), Is("false")),
                (&master("installed"), Is("true")),
                (&master("oper-state"), Is("up")),
                (&master("oper-reason"), Is("next-hop-unexpected")),
            ],
        )
        .await;
    bench.down().await;
}
