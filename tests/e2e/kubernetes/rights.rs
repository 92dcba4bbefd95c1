//! Tests that the shipped roles suffice, and that the agent reports each right that is taken from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CALICO, CALICO_STORE, CILIUM, ConnectOptions, HEALTHY, LEAF, METALLB, define, definition_path, leaf,
    make_kubeconfig, mirror, write_secret,
};
use crate::apiserver::ApiServer;
use crate::bench::Bench;
use crate::bench::Says::{Anything, Has, Is};
use crate::net::{Net, skipped};

/// Verb, API group, resource.
type Right = (String, String, String);

const FILES: [&str; 4] = ["k8s-services.yaml", "speakers.yaml", "bgppeers.yaml", "events.yaml"];

/// Returns every right that the shipped roles grant.
pub(super) fn shipped() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for file in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/rbac").join(file);
        let text = std::fs::read_to_string(path).expect("a shipped file");
        for document in serde_norway::Deserializer::from_str(&text) {
            let object = Value::deserialize(document).expect("YAML");
            for rule in object["rules"].as_array().into_iter().flatten() {
                let words =
                    |member: &str| -> Vec<String> { serde_json::from_value(rule[member].clone()).expect("words") };
                for verb in words("verbs") {
                    for group in words("apiGroups") {
                        rights.extend(words("resources").into_iter().map(|it| (verb.clone(), group.clone(), it)));
                    }
                }
            }
        }
    }
    rights
}

/// Creates an account with these rights; returns the path of its kubeconfig.
pub(super) async fn account(api: &ApiServer, name: &str, rights: impl Iterator<Item = &Right>) -> PathBuf {
    let admin = api.admin().await;
    let rules: Vec<Value> = rights
        .map(|(verb, group, resource)| json!({"verbs": [verb], "apiGroups": [group], "resources": [resource]}))
        .collect();
    let metadata = json!({"name": name});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for (path, object) in [
        ("/api/v1/namespaces/default/serviceaccounts".to_owned(), json!({"metadata": metadata})),
        (format!("{rbac}/clusterroles"), json!({"metadata": metadata, "rules": rules})),
        (
            format!("{rbac}/clusterrolebindings"),
            json!({
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": name}],
            }),
        ),
    ] {
        admin.post(&path, &object).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let token = api.token_for("default", name, Duration::from_secs(3600)).await;
    let path = api.folder().join(format!("{name}.kubeconfig"));
    write_secret(&path, &api.token_kubeconfig(&token));
    path
}

/// Required resources: group, resource, and what the agent does not know without it.
const REQUIRED: [(&str, &str, &str); 3] = [
    ("", "services", "which VIPs there are"),
    ("", "nodes", "who may announce them, from which addresses"),
    ("discovery.k8s.io", "endpointslices", "whether a pod takes what arrives"),
];
/// Speaker, group, resource, and what is computed without the right.
type Optional = (&'static str, &'static str, &'static str, &'static str);
/// Optional resources: without rights to them, the agent computes what they would show.
const OPTIONAL: [Optional; 18] = [
    ("metallb", "metallb.io", "servicebgpstatuses", "who says that it announces"),
    ("metallb", "metallb.io", "ipaddresspools", "which addresses are given out"),
    ("metallb", "metallb.io", "bgpadvertisements", "who announces which pools"),
    ("metallb", "metallb.io", "bgppeers", "which nodes speak BGP"),
    ("metallb", "metallb.io", "l2advertisements", "who answers ARP and ND for which pools"),
    ("metallb", "metallb.io", "servicel2statuses", "who says that it answers"),
    ("cilium", "cilium.io", "ciliumloadbalancerippools", "which addresses are given out"),
    ("cilium", "cilium.io", "ciliumbgpadvertisements", "which services are announced"),
    ("cilium", "cilium.io", "ciliumbgpclusterconfigs", "which nodes speak BGP"),
    ("cilium", "cilium.io", "ciliumbgppeerconfigs", "what goes to a peer"),
    ("cilium", "cilium.io", "ciliumbgpnodeconfigs", "where nodes speak from"),
    ("cilium", "cilium.io", "ciliuml2announcementpolicies", "who answers ARP and ND for which services"),
    ("calico", "projectcalico.org", "bgpconfigurations", "which ranges are announced"),
    ("calico", "projectcalico.org", "bgppeers", "which nodes speak BGP with whom"),
    ("calico", "projectcalico.org", "ippools", "which addresses are given out"),
    ("calico", "crd.projectcalico.org", "bgpconfigurations", "the same without Calico's API server"),
    ("calico", "crd.projectcalico.org", "bgppeers", "the same without Calico's API server"),
    ("calico", "crd.projectcalico.org", "ippools", "the same without Calico's API server"),
];
/// Rights for Events: verb, group, resource. Module `events` tests each of them.
const EVENTS: [(&str, &str, &str); 2] = [("create", "events.k8s.io", "events"), ("get", "", "services")];
const VERBS: [&str; 2] = ["list", "watch"];

/// A right that an account lacks, and the agent's cluster with that account.
struct Lacking {
    right: Right,
    connect: ConnectOptions,
}

async fn lacking(api: &ApiServer, verb: &str, group: &str, resource: &str, speaker: &str) -> Lacking {
    let right = (verb.to_owned(), group.to_owned(), resource.to_owned());
    let name = format!("no-{verb}-{speaker}-{resource}{}", if group.starts_with("crd") { "-store" } else { "" });
    let rights = shipped();
    assert!(rights.contains(&right), "{right:?} is not in a shipped role");
    let kubeconfig = account(api, &name, rights.iter().filter(|it| **it != right)).await;
    let mut connect = ConnectOptions::new(&name, &kubeconfig);
    connect.leaves = vec![format!("speaker {speaker}")];
    Lacking { right, connect }
}

/// Checks that agents report a missing right to a speaker's resource.
async fn expect_missed(api: &ApiServer, resources: impl Iterator<Item = &'static Optional>) {
    let accounts = resources
        .flat_map(|(speaker, group, resource, _)| VERBS.map(|verb| lacking(api, verb, group, resource, speaker)));
    let accounts = join_all(accounts).await;
    let (rights, clusters): (Vec<_>, Vec<_>) = accounts.into_iter().map(|it| (it.right, it.connect)).unzip();
    let bench = leaf(api, &clusters).await;
    for ((_, group, resource), cluster) in rights.iter().zip(&clusters) {
        let group = group.trim_start_matches("crd.");
        let cluster = format!("/k8s-services/cluster[name={}]", cluster.name);
        let entry = format!("{cluster}/speaker-resource[name={resource}.{group}]");
        let (state, detail, whole) =
            (format!("{entry}/state"), format!("{entry}/detail"), format!("{cluster}/oper-state"));
        bench
            .until(
                LEAF,
                &[(&state, Is("forbidden")), (&detail, Has("verbs [\"list\", \"watch\"]")), (&whole, Is("up"))],
            )
            .await;
    }
    bench.down().await;
}

#[test]
fn the_tables_of_this_test_list_every_shipped_right() {
    let pairs = REQUIRED.iter().map(|(group, resource, _)| (group, resource));
    let pairs = pairs.chain(OPTIONAL.iter().map(|(_, group, resource, _)| (group, resource)));
    let mut named: BTreeSet<Right> = pairs
        .flat_map(|(group, resource)| VERBS.map(|verb| (verb.to_owned(), (*group).to_owned(), (*resource).to_owned())))
        .collect();
    named.extend(EVENTS.map(|(verb, group, resource)| (verb.to_owned(), group.to_owned(), resource.to_owned())));
    assert_eq!(named, shipped());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_roles_suffice_and_every_right_in_them_is_needed() {
    let api = match start().await {
        Ok(api) => api,
        Err(reason) => return skipped(&reason),
    };
    let admin = api.admin().await;
    let kubeconfig = make_kubeconfig(&api);
    // While none of the resources is defined, no right is missing.
    let bench = leaf(&api, &[ConnectOptions::new("c1", &kubeconfig)]).await;
    let state =
        |bench_resource: &str| format!("/k8s-services/cluster[name=c1]/speaker-resource[name={bench_resource}]/state");
    bench
        .until(
            LEAF,
            &[
                (&state("bgppeers.metallb.io"), Is("absent")),
                (&state("ipaddresspools.metallb.io"), Is("absent")),
                // Everything is listed: the server records a listing that the end of the agent interrupts as failed (500).
                ("/k8s-services/cluster[name=c1]/service-count", Anything),
            ],
        )
        .await;
    bench.down().await;

    define(&admin, METALLB).await;
    define(&admin, CILIUM).await;
    define(&admin, CALICO_STORE).await;
    suffices(&api, &kubeconfig).await;
    expect_required_rights_missed(&api).await;
    expect_missed(&api, OPTIONAL.iter().filter(|(_, group, ..)| *group != "projectcalico.org")).await;
    // If Calico's API server serves the resources, the agent reads them from there.
    for resource in CALICO_STORE {
        admin.delete(&definition_path(*resource)).await;
        admin.until(&definition_path(*resource), Value::is_null).await;
    }
    define(&admin, CALICO).await;
    expect_missed(&api, OPTIONAL.iter().filter(|(_, group, ..)| *group == "projectcalico.org")).await;
}

async fn start() -> Result<ApiServer, String> {
    ApiServer::up(Net::new()?, &[]).await
}

/// Checks that with the shipped roles nothing is refused, and that with MetalLB every right to its resources is used.
async fn suffices(api: &ApiServer, kubeconfig: &Path) {
    let bench = leaf(api, &[ConnectOptions::new("c1", kubeconfig)]).await;
    mirror(bench.cluster(), &api.admin().await).await;
    bench.until(LEAF, HEALTHY).await;
    for (_, _, _, plural, _) in METALLB {
        let state = format!("/k8s-services/cluster[name=c1]/speaker-resource[name={plural}.metallb.io]/state");
        bench.until(LEAF, &[(&state, Is("watched"))]).await;
    }
    let mut expected: BTreeSet<Right> = shipped().into_iter().filter(|(_, group, _)| group == "metallb.io").collect();
    for (group, resource, _) in REQUIRED {
        expected.extend(VERBS.map(|verb| (verb.to_owned(), group.to_owned(), resource.to_owned())));
    }
    // The audit log has a watch as soon as it has started.
    let mut asked = BTreeSet::new();
    for (verb, group, resource, status) in api.audited("system:serviceaccount:k8s-services:leaf") {
        // `make-kubeconfig` itself asks for its rights with this resource.
        if resource != "selfsubjectaccessreviews" {
            // A server to which a resource was only just added may answer 429, which is not a refusal.
            assert!(matches!(status, 200 | 429), "{verb} {resource}.{group}: {status}");
            asked.insert((verb, group, resource));
        }
    }
    assert_eq!(asked, expected);
    bench.down().await;
}

async fn expect_required_rights_missed(api: &ApiServer) {
    let accounts = REQUIRED
        .iter()
        .flat_map(|(group, resource, _)| VERBS.map(|verb| lacking(api, verb, group, resource, "metallb")));
    let accounts = join_all(accounts).await;
    let (rights, clusters): (Vec<_>, Vec<_>) = accounts.into_iter().map(|it| (it.right, it.connect)).unzip();
    let bench = leaf(api, &clusters).await;
    for ((verb, _, resource), cluster) in rights.iter().zip(&clusters) {
        let cluster = format!("/k8s-services/cluster[name={}]", cluster.name);
        let reason = format!("not allowed to {verb} {resource}: grant verbs list and watch on {resource}");
        until_says(&bench, &format!("{cluster}/oper-reason"), &reason).await;
        let state = bench.says(LEAF, &format!("{cluster}/oper-state"));
        assert!(matches!(state.as_deref(), Some("down" | "degraded")), "{verb} {resource}: {state:?}");
    }
    bench.down().await;
}

/// Waits until the value at a path contains a text.
async fn until_says(bench: &Bench, path: &str, text: &str) {
    let text: &'static str = text.to_owned().leak();
    bench.until(LEAF, &[(path, Has(text))]).await;
}
