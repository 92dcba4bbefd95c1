//! Calico and MetalLB on the same nodes: two BGP sessions per node, one of which is for services.

use srl_sim::lab::LabContent;
use srl_sim::ndk::Switches;

use crate::bench::Bench;
use crate::bench::Says::{Has, Is, Nothing};

const LAB: &str = "metallb-calico-ecmp";
const CLUSTER: &str = "/k8s-services/cluster[name=k8s]";
const VIP: &str =
    "/k8s-services/cluster[name=k8s]/service[namespace=ingress-nginx][name=ingress-ctl-lb]/vip[address=10.254.254.241]";

fn at(name: &str) -> String {
    format!("{VIP}/{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaf1_has_three_sessions_but_reports_sending_everything_to_leaf2() {
    let bench = Bench::of(LAB).await;
    let (state, reason, detail) = (at("oper-state"), at("oper-reason"), at("oper-detail"));
    bench.until("leaf1", &[(&state, Is("degraded")), (&reason, Is("local-path-unused"))]).await;
    bench.expect("leaf1", &[(&detail, Has("VTEP 1.1.1.2")), (&detail, Has("6.4.5.20 (node20)"))]);
    bench.until("leaf2", &[(&state, Is("up")), (&reason, Nothing), (&at("installed-next-hops"), Is("3"))]).await;
    let prefix = "show network-instance ip-vrf1 route-table ipv4-unicast prefix 10.254.254.241/32 detail";
    let route = bench.cli("leaf2", prefix).await;
    let resolved = "6.4.5.21 (indirect) resolved by route to 6.4.5.21/32 (static)\n  \
                    via 192.168.101.21 (indirect) resolved by route to 192.168.101.0/24 (local)\n    \
                    via 192.168.101.1 (direct) via [irb0.0]\n";
    assert!(route.contains(resolved), "{route}");
    let neighbors = bench.cli("leaf1", "show network-instance ip-vrf1 protocols bgp neighbor").await;
    for (address, group) in [("6.4.5.20", "metallb-bgp"), ("192.168.101.20", "calico-bgp")] {
        let line = neighbors.lines().find(|line| line.contains(&format!("| {address} "))).expect("a neighbor");
        assert!(line.contains(group) && line.contains("established"), "{line}");
    }
    bench.down().await;
}

/// Sets the preference of BGP's own routes on both leaves; that of EVPN is 170.
fn preferring(ebgp: u8) -> impl FnOnce(&mut LabContent) {
    move |lab| {
        let instance = lab.fabric.network_instances.get_mut("ip-vrf1").and_then(|it| it.bgp.as_mut());
        instance.expect("the lab has it").ebgp_preference = ebgp;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cause_follows_changes_of_preference() {
    let hop = |node: u8, name: &str| at(&format!("next-hop[address=6.4.5.{node}]/{name}"));
    let bench = Bench::start(LAB, Switches::default(), preferring(180)).await;
    for node in [20, 22, 31] {
        let lost = "is valid, and the route of bgp_evpn_mgr wins by preference 170";
        bench
            .until(
                "leaf1",
                &[(&hop(node, "probable-cause"), Is("preference")), (&hop(node, "cause-detail"), Has(lost))],
            )
            .await;
    }
    bench.expect("leaf1", &[(&at("oper-reason"), Is("local-path-unused")), (&at("probable-cause"), Is("preference"))]);
    // The verdict does not change, so the agent finds the change only when it asks again: after a minute, or after the
    // management server was away.
    bench.act(&["pull: { policy-reject: { leaf: leaf1, prefix: 10.254.254.241/32 } }"]).await;
    bench.expect("leaf1", &[(&at("probable-cause"), Is("preference"))]);
    bench.act(&["gnmi: { leaf: leaf1, to: drop-streams }"]).await;
    bench.until("leaf1", &[(&at("probable-cause"), Is("rejected-by-policy"))]).await;
    bench.down().await;
    let bench = Bench::start(LAB, Switches::default(), preferring(169)).await;
    bench.until("leaf1", &[(&at("oper-state"), Is("up")), (&at("installed-next-hops"), Is("3"))]).await;
    bench.expect("leaf1", &[(&at("probable-cause"), Nothing), (&hop(20, "probable-cause"), Nothing)]);
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calicos_session_does_not_count_as_metallbs() {
    let bench = Bench::of(LAB).await;
    let (state, reason, detail) = (at("oper-state"), at("oper-reason"), at("oper-detail"));
    bench.until("leaf2", &[(&state, Is("up")), (&reason, Nothing)]).await;
    bench.act(&["pull: { speaker-dead: { node: node21 } }"]).await;
    bench.until("leaf2", &[(&state, Is("degraded")), (&reason, Is("session-down"))]).await;
    bench.expect("leaf2", &[(&detail, Has("6.4.5.21 (node21)"))]);
    let node = |name: &str| format!("{CLUSTER}/node[name=node21]/{name}");
    bench.expect("leaf2", &[(&node("address"), Is("6.4.5.21")), (&node("address-source"), Is("configured"))]);
    bench.act(&["release: { speaker-dead: { node: node21 } }"]).await;
    bench.until("leaf2", &[(&state, Is("up")), (&reason, Nothing)]).await;
    bench.down().await;
}

/// Removes the fabric addresses, as if the operator assumed that nodes speak BGP from the addresses in Kubernetes.
fn without_fabric_addresses(lab: &mut LabContent) {
    lab.config =
        lab.config.lines().filter(|line| !line.contains("fabric-address")).map(|line| format!("{line}\n")).collect();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_fabric_addresses_the_sentence_names_unexplained_next_hops() {
    let bench = Bench::start(LAB, Switches::default(), without_fabric_addresses).await;
    let (state, detail) = (at("oper-state"), at("oper-detail"));
    bench.until("leaf2", &[(&state, Is("down")), (&detail, Has("6.4.5.21 (no known node)"))]).await;
    bench.expect("leaf2", &[(&detail, Has("set its fabric-address"))]);
    bench.expect("leaf2", &[(&format!("{CLUSTER}/node[name=node21]/address"), Is("192.168.101.21"))]);
    bench.down().await;
}
