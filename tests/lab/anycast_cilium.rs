//! Cilium in place of MetalLB: pods are announced in addition to services, and nothing is withdrawn for lack of
//! endpoints.

use crate::bench::Bench;
use crate::bench::Says::{Has, Is, Nothing};

const VIP: &str =
    "/k8s-services/cluster[name=c1]/service[namespace=default][name=nginxhello]/vip[address=192.168.33.83]";

fn at(name: &str) -> String {
    format!("{VIP}/{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pod_routes_are_no_orphans_and_a_vip_without_endpoints_stays_announced() {
    let bench = Bench::of("anycast-cilium").await;
    let (state, reason, owner) = (at("oper-state"), at("oper-reason"), at("route-owner"));
    bench.until("leaf1", &[(&state, Is("up")), (&reason, Nothing), (&owner, Is("bgp_mgr"))]).await;
    bench.until("leaf4", &[(&state, Is("up")), (&reason, Nothing), (&owner, Is("bgp_evpn_mgr"))]).await;
    let pods = "show network-instance ip-vrf-1 route-table ipv4-unicast prefix 192.168.17.0/24 detail";
    let own = bench.cli("leaf1", pods).await;
    assert!(own.contains("192.168.1.11 (indirect) resolved by route to 192.168.1.0/24 (local)"), "{own}");
    let remote = bench.cli("leaf4", pods).await;
    assert!(remote.contains("10.0.1.1 (indirect) resolved by tunnel to 10.0.1.1/32 (vxlan)"), "{remote}");
    let orphans = bench.cli("leaf1", "info from state k8s-services orphan-route * prefix *").await;
    assert_eq!(orphans.trim(), "");

    bench.act(&["scale: { cluster: c1, name: nginxhello, replicas: 0 }"]).await;
    let detail = at("oper-detail");
    for leaf in ["leaf1", "leaf4"] {
        bench.until(leaf, &[(&state, Is("down")), (&reason, Is("no-ready-endpoint"))]).await;
        bench.until(leaf, &[(&detail, Has("192.168.33.83/32 is still installed"))]).await;
    }
    bench.expect("leaf1", &[(&owner, Is("bgp_mgr"))]);
    bench.down().await;
}
