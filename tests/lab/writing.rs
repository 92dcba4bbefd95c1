//! Tests of what is written to the switch, and how, if the switch refuses some of it.

use srl_sim::ndk::{AcceptedPaths, Refuse, Spelling, Switches};

use crate::bench::Says::Is;
use crate::bench::{Bench, HEALTHY_LOCAL, Writes};

const SESSION_DOWN: &str = "pull: { session-down: { leaf: leaf1, node: cluster1 } }";
const SESSION_UP: &str = "release: { session-down: { leaf: leaf1, node: cluster1 } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_state_is_written_once_accepted_again_and_blocks_nothing_else() {
    let bench = Bench::healthy().await;
    let ndk = bench.leaf("leaf1").ndk();
    let mut writes = Writes::of(&bench, "leaf1");
    ndk.refuse_telemetry(Refuse::Everything);
    bench.act(&[SESSION_DOWN]).await;
    writes.until_refused().await;
    bench.expect("leaf1", HEALTHY_LOCAL);
    ndk.refuse_telemetry(Refuse::Nothing);
    bench.until("leaf1", &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;

    // One refused entry does not prevent the others.
    ndk.refuse_telemetry(Refuse::Containing("192.168.1.11".to_owned()));
    let hop = "next-hop[address=192.168.1.11]/installed";
    bench.act(&[SESSION_UP]).await;
    writes.until_refused().await;
    bench.until("leaf1", &[("/k8s-services/summary/vips-up", Is("1"))]).await;
    ndk.refuse_telemetry(Refuse::Nothing);
    bench.until("leaf1", &[(hop, Is("true"))]).await;
    bench.until("leaf1", HEALTHY_LOCAL).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_state_is_written_with_either_spelling_of_hyphens() {
    let mut written = Vec::new();
    for (telemetry_paths, config_path_spelling) in
        [(AcceptedPaths::Hyphen, Spelling::Hyphen), (AcceptedPaths::Underscore, Spelling::Underscore)]
    {
        let switches = Switches { telemetry_paths, config_path_spelling, ..Switches::default() };
        let bench = Bench::on(switches, |_| {}).await;
        bench.until_healthy().await;
        written.push(bench.written("leaf1"));
        bench.down().await;
    }
    assert_eq!(written[0], written[1]);
    assert!(written[0].iter().any(|path| path.contains("/next-hop[")), "{:?}", written[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_changes_nothing_writes_only_freshness() {
    let bench = Bench::healthy().await;
    let mut writes = Writes::of(&bench, "leaf1");
    let touched = "patch: { cluster: c1, kind: Service, name: nginxhello, \
                   patch: { metadata: { annotations: { touched: once } } } }";
    bench.act(&[touched]).await;
    bench.leaf("leaf1").renumber_groups();
    // What follows on the same streams arrives later.
    bench.cluster().load(OTHER_SERVICE).expect("applied");
    let other = "/k8s-services/cluster[name=c1]/service[namespace=default][name=other]";
    bench.until("leaf1", &[(&format!("{other}/oper-reason"), Is("no-ready-endpoint"))]).await;
    let counts = ["/k8s-services/cluster[name=c1]"];
    let written = writes.but_freshness();
    let unexpected: Vec<_> =
        written.iter().filter(|path| !path.starts_with(other) && !counts.contains(&path.as_str())).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    bench.down().await;
}

const OTHER_SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: { name: other, namespace: default }
spec: { type: LoadBalancer, ports: [{ port: 80, protocol: TCP }] }
";
