//! Tests a cluster that is configured a second time at run time: what it affects, and that nothing is left when it is
//! removed.

use crate::bench::Says::{Has, Is, Nothing};
use crate::bench::{Bench, CLUSTER, HEALTHY_LOCAL, Writes};

const OTHER: &str = "/k8s-services/cluster[name=c2]";

/// Commits lines about cluster c2 on leaf1.
async fn configure(bench: &Bench, lines: &[String]) {
    let lines: Vec<String> = lines.iter().map(|line| format!("set / k8s-services cluster c2 {line}\\n")).collect();
    bench.act(&[&format!("config: {{ leaf: leaf1, lines: \"{}\" }}", lines.concat())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_configured_twice_does_not_conflict_with_itself_and_leaves_nothing_behind() {
    let bench = Bench::healthy().await;
    let vip = format!("{OTHER}/service[namespace=default][name=nginxhello]/vip[address=1.1.1.100]");
    let (state, reason) = (format!("{vip}/oper-state"), format!("{vip}/oper-reason"));
    let twin = format!("{OTHER}/oper-reason");

    // The second entry has the same services, but in another network instance.
    let mut writes = Writes::of(&bench, "leaf1");
    let kubeconfig = bench.says("leaf1", &format!("{CLUSTER}/kubeconfig")).expect("configured");
    let elsewhere =
        [format!("kubeconfig {kubeconfig}"), "network-namespace self".into(), "network-instance default".into()];
    configure(&bench, &elsewhere).await;
    let same = Has("the same API as cluster c1");
    bench.until("leaf1", &[(&state, Is("down")), (&reason, Is("no-route")), (&twin, same)]).await;
    let below = format!("{CLUSTER}/");
    let touched: Vec<_> = writes.all().into_iter().filter(|path| path.starts_with(&below)).collect();
    assert!(touched.is_empty(), "{touched:?}");
    bench.expect("leaf1", HEALTHY_LOCAL);

    configure(&bench, &["network-instance ip-vrf-1".into()]).await;
    // Only the first entry says by which addresses the fabric knows the nodes. For the second, the next-hops are unknown.
    bench.until("leaf1", &[(&state, Is("up")), (&reason, Is("next-hop-unmapped"))]).await;
    bench.expect("leaf1", HEALTHY_LOCAL);
    let alarm = |path: &String| path.starts_with("/k8s-services/alarm[") && path.contains("/c2/default/nginxhello");
    let critical = bench.written("leaf1").into_iter().find(|path| alarm(path) && path.contains("blackholed"));
    assert_eq!(critical, None);

    // It is enough to configure `shared-with` on one side.
    configure(&bench, &["shared-with [ c1 ]".into()]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.until("leaf1", &[(&state, Is("up"))]).await;

    bench.act(&["config: { leaf: leaf1, lines: delete / k8s-services cluster c2 }"]).await;
    bench.until("leaf1", &[(OTHER, Nothing), ("/k8s-services/summary/vips", Is("1"))]).await;
    bench.expect("leaf1", HEALTHY_LOCAL);
    let left: Vec<_> = bench.written("leaf1").into_iter().filter(|path| path.contains("c2")).collect();
    assert!(left.is_empty(), "{left:?}");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mac_vrf_configured_in_place_of_the_ip_vrf_is_reported_as_such() {
    let bench = Bench::healthy().await;
    let reason = format!("{CLUSTER}/oper-reason");
    let configure = |instance: &str| {
        format!("config: {{ leaf: leaf1, lines: set / k8s-services cluster c1 network-instance {instance} }}")
    };
    bench.act(&[&configure("subnetA")]).await;
    bench.until("leaf1", &[(&reason, Has("network-instance subnetA is of type mac-vrf"))]).await;
    bench.until("leaf1", &[("oper-detail", Has("of type mac-vrf")), ("oper-state", Is("unknown"))]).await;
    bench.act(&[&configure("nowhere")]).await;
    bench.until("leaf1", &[(&reason, Has("no network-instance nowhere of type default or ip-vrf"))]).await;
    bench.act(&[&configure("ip-vrf-1")]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}
