//! Tests of the speaker's own resources, served and withdrawn by the embedded cluster, from an operator's point of
//! view.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::bench::Says::{Has, Is, Nothing};
use crate::bench::{Bench, CLUSTER, HEALTHY_LOCAL, HEALTHY_REMOTE};

const ADVERTISEMENTS: &str = "/k8s-services/cluster[name=c1]/speaker-resource[name=bgpadvertisements.metallb.io]/state";
const STATUSES: &str = "/k8s-services/cluster[name=c1]/speaker-resource[name=servicebgpstatuses.metallb.io]";

/// Makes the agent of a leaf read its credentials again and find out what it may read now.
fn refresh(bench: &Bench, leaf: &str) {
    let process = bench.process(leaf).and_then(|process| i32::try_from(process).ok()).and_then(Pid::from_raw);
    kill_process(process.expect("the agent runs"), Signal::HUP).expect("it is ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_and_restored_resources_are_shown_without_degrading_anything() {
    let bench = Bench::healthy().await;
    bench.expect("leaf1", &[(ADVERTISEMENTS, Is("watched"))]);
    let cluster = format!("{CLUSTER}/oper-state");
    let mut verdict = bench.follow("leaf1", "oper-state");
    bench.cluster().withdraw("metallb.io");
    bench.until("leaf1", &[(ADVERTISEMENTS, Is("absent")), (&cluster, Is("up"))]).await;
    bench.cluster().install("metallb.io");
    refresh(&bench, "leaf1");
    bench.until("leaf1", &[(ADVERTISEMENTS, Is("watched"))]).await;
    assert_eq!(verdict.values(), [], "no verdict depended on it");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_resource_shows_the_missing_rule_and_is_read_once_allowed() {
    let bench = Bench::healthy().await;
    bench.cluster().deny("servicebgpstatuses.metallb.io");
    refresh(&bench, "leaf1");
    bench.cluster().expire_watches();
    let (state, detail) = (format!("{STATUSES}/state"), format!("{STATUSES}/detail"));
    bench.until("leaf1", &[(&state, Is("forbidden")), (&detail, Has("resources [\"servicebgpstatuses\"]"))]).await;
    bench.expect("leaf1", HEALTHY_LOCAL);
    bench.cluster().allow("servicebgpstatuses.metallb.io");
    refresh(&bench, "leaf1");
    bench.until("leaf1", &[(&state, Is("watched")), (&detail, Nothing)]).await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advertisement_that_selects_other_nodes_changes_the_expected_next_hops() {
    let bench = Bench::healthy().await;
    let select = |host: &str| {
        let patch = json!({"spec": {"nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": host}}]}});
        bench.cluster().patch("BGPAdvertisement.metallb.io", "metallb-system", "bgpadv", &patch).expect("patched");
    };
    select("cluster1-m02");
    let remote = [("oper-state", Is("up")), ("vantage", Is("remote")), ("expected-next-hops", Is("1"))];
    bench.until("leaf1", &remote).await;
    bench.until("leaf2", HEALTHY_LOCAL).await;
    select("nowhere");
    let detail = Has("BGPAdvertisement metallb-system/bgpadv selects no node that may announce");
    bench
        .until("leaf1", &[("oper-state", Is("down")), ("oper-reason", Is("no-announcer")), ("oper-detail", detail)])
        .await;
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_of_speakers_take_precedence_over_computed_announcers() {
    let bench = Bench::healthy().await;
    let status = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "ServiceBGPStatus",
        "metadata": {
            "name": "bgp-x7k2p", "namespace": "metallb-system",
            "labels": {
                "metallb.io/node": "cluster1-m02", "metallb.io/service-name": "nginxhello",
                "metallb.io/service-namespace": "default",
            },
        },
        "status": {
            "node": "cluster1-m02", "serviceName": "nginxhello", "serviceNamespace": "default", "peers": ["peer"],
        },
    });
    bench.cluster().apply(status).expect("applied");
    bench.until("leaf4", &[("expected-next-hops", Is("1")), ("oper-state", Is("up"))]).await;
    // The route by cluster1 shows that it announces, whatever its speaker fails to report.
    bench.expect("leaf1", HEALTHY_LOCAL);
    bench.until("leaf2", HEALTHY_LOCAL).await;
    bench.cluster().delete("ServiceBGPStatus.metallb.io", "metallb-system", "bgp-x7k2p").expect("deleted");
    bench.until("leaf4", HEALTHY_REMOTE).await;
    bench.down().await;
}
