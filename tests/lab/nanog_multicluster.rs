//! Two clusters in two VRFs: what concerns one must not affect the other.

use crate::bench::Bench;
use crate::bench::Says::{Has, Is, Nothing};

const HELLO: &str =
    "/k8s-services/cluster[name=datacenter]/service[namespace=default][name=hello-lb]/vip[address=10.254.254.240]";
const PUSH: &str =
    "/k8s-services/cluster[name=client]/service[namespace=default][name=pushgateway]/vip[address=10.6.4.10]";
const LEAVES: [&str; 5] = ["border-dc", "leaf-dc-1", "leaf-dc-2", "leaf-e1-1", "leaf-e1-2"];

fn hello(name: &str) -> String {
    format!("{HELLO}/{name}")
}

fn push(name: &str) -> String {
    format!("{PUSH}/{name}")
}

async fn healthy() -> Bench {
    let bench = Bench::of("nanog-multicluster").await;
    for leaf in LEAVES {
        let vips = if leaf == "border-dc" { "2" } else { "1" };
        let up = [("/k8s-services/summary/vips-up", Is(vips)), ("/k8s-services/oper-state", Is("up"))];
        bench.until(leaf, &up).await;
    }
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_leaf_reports_only_clusters_whose_vrf_it_has() {
    let bench = healthy().await;
    for leaf in ["leaf-dc-1", "leaf-dc-2"] {
        bench.expect(leaf, &[(&hello("vantage"), Is("local")), (&hello("route-owner"), Is("bgp_mgr"))]);
        bench.expect(leaf, &[("/k8s-services/cluster[name=client]", Nothing)]);
    }
    bench.expect("border-dc", &[(&hello("vantage"), Is("remote")), (&hello("network-instance"), Is("kube-ipvrf"))]);
    for vtep in ["1.1.1.1", "1.1.1.2"] {
        let hop = hello(&format!("next-hop[address={vtep}]"));
        let (kind, installed) = (format!("{hop}/kind"), format!("{hop}/installed"));
        bench.expect("border-dc", &[(&kind, Is("vtep")), (&installed, Is("true"))]);
    }
    bench.expect("border-dc", &[(&push("network-instance"), Is("ipvrf1")), (&push("vantage"), Is("remote"))]);
    bench.expect("leaf-e1-1", &[(&push("vantage"), Is("local"))]);
    bench.expect("leaf-e1-2", &[(&push("vantage"), Is("remote")), (&push("route-owner"), Is("bgp_evpn_mgr"))]);
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_without_vips_from_evpn_is_cut_off_and_the_border_uses_the_other() {
    let bench = healthy().await;
    bench.act(&["pull: { session-down: { leaf: leaf-dc-1, node: datacenter-worker } }"]).await;
    bench.until("leaf-dc-1", &[(&hello("oper-state"), Is("down")), (&hello("oper-reason"), Is("session-down"))]).await;
    bench.expect("leaf-dc-1", &[(&hello("route-owner"), Nothing), (&hello("oper-detail"), Has("192.168.101.101"))]);
    bench.until("border-dc", &[(&hello("oper-reason"), Is("next-hop-missing"))]).await;
    bench.expect("border-dc", &[(&hello("installed-next-hops"), Is("1")), (&push("oper-state"), Is("up"))]);
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_api_server_of_one_cluster_does_not_affect_the_other() {
    let bench = healthy().await;
    let mut state = bench.follow("border-dc", &push("oper-state"));
    let mut detail = bench.follow("border-dc", &push("oper-detail"));
    bench.act(&["api-server: { cluster: datacenter, to: stop }"]).await;
    let source = "/k8s-services/summary/source[name=kubernetes/datacenter]/oper-state";
    bench
        .until("border-dc", &[(source, Is("stale")), (&hello("oper-detail"), Has("based on data received until"))])
        .await;
    bench.expect(
        "border-dc",
        &[
            ("/k8s-services/summary/source[name=kubernetes/client]/oper-state", Is("synced")),
            ("/k8s-services/cluster[name=client]/oper-state", Is("up")),
            (&hello("oper-state"), Is("up")),
        ],
    );
    assert_eq!((state.values(), detail.values()), (vec![], vec![]));
    bench.down().await;
}
