//! The lab of VIPs by ARP, with MetalLB in place of kube-vip and no configuration of how VIPs are announced: the leaves
//! detect it from the speaker's resources.

use serde_json::json;
use srl_sim::fabric::Speaker;
use srl_sim::lab::LabContent;
use srl_sim::ndk::Switches;

use crate::bench::Bench;
use crate::bench::Says::{Has, Is, Nothing};

const VIP: &str = "10.20.0.100";

fn at(leaf: &str) -> String {
    format!("/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address={VIP}]/{leaf}")
}

/// Replaces kube-vip by MetalLB.
fn by_metallb(lab: &mut LabContent) {
    let cluster = lab.fabric.clusters.get_mut("c1").expect("the lab has it");
    cluster.speaker = Speaker::Metallb;
    let lines = lab.config.lines().filter(|line| !line.contains("announcement l2"));
    lab.config = lines.map(|line| format!("{}\n", line.replace("speaker kube-vip", "speaker metallb"))).collect();
}

/// Applies an object of MetalLB.
fn configure(bench: &Bench, kind: &str, spec: &serde_json::Value) {
    let metadata = json!({"name": "vips", "namespace": "metallb-system"});
    let object = json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec});
    bench.cluster().apply(object).expect("applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_l2_advertisement_makes_an_l2_vip_and_the_status_reveals_a_stale_entry() {
    let bench = Bench::start("arp-kube-vip", Switches::default(), by_metallb).await;
    bench.cluster().install("metallb.io");
    let classless = json!({"spec": {"loadBalancerClass": null}});
    bench.cluster().patch("Service", "default", "web", &classless).expect("patched");
    configure(&bench, "IPAddressPool", &json!({"addresses": [format!("{VIP}/32")]}));
    configure(&bench, "L2Advertisement", &json!({"ipAddressPools": ["vips"]}));
    for leaf in ["leaf1", "leaf2"] {
        let up = [(&*at("announcement"), Is("l2")), (&at("oper-state"), Is("up")), (&at("oper-reason"), Nothing)];
        bench.until(leaf, &up).await;
    }
    let statuses = bench.cluster().list("ServiceL2Status.metallb.io");
    let [status] = &*statuses else { panic!("one node answers: {statuses:?}") };
    let (leaf, holder, elected, other) = match status["status"]["node"].as_str() {
        Some("n1") => ("leaf1", "n1", "elected n1", "n2"),
        Some("n2") => ("leaf1", "n2", "elected n2", "n1"),
        Some("n3") => ("leaf2", "n3", "elected n3", "n4"),
        _ => ("leaf2", "n4", "elected n4", "n3"),
    };
    bench.until(leaf, &[(&at(&format!("next-hop[address={VIP}]/node")), Is(holder))]).await;
    bench.act(&[&format!("pull: {{ stale-entry: {{ leaf: {leaf}, address: {VIP}, node: {other} }} }}")]).await;
    let stale = [(&*at("oper-state"), Is("degraded")), (&at("oper-reason"), Is("next-hop-unexpected"))];
    bench.until(leaf, &stale).await;
    bench.expect(leaf, &[(&at("oper-detail"), Has(elected))]);
    bench.down().await;
}
