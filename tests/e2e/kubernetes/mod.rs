//! Tests the agent on a leaf whose cluster is a real API server.
//!
//! Routes still come from the model of the fabric, which follows the embedded cluster; the objects of that cluster are
//! made in the real one too. The agent reaches the API server from a separate network namespace, as on a switch.

mod conversation;
mod events;
mod faults;
mod rights;

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use srl_sim::cluster::Cluster;
use srl_sim::fabric::FabricConfig;
use srl_sim::lab::LabContent;
use srl_sim::ndk::Switches;

use crate::admin::Admin;
use crate::apiserver::ApiServer;
use crate::bench::Bench;
use crate::bench::Says::{self, Is, Nothing};
use crate::net::share_credentials;

const LEAF: &str = "leaf1";
const FABRIC: &str = "
leaves: { leaf1: { as: 65001, system: [10.0.1.1] } }
network-instances:
  ip-vrf-1:
    id: 5
    subinterfaces: { irb1.1: { index: 8, addresses: [192.168.1.1/24] } }
    bgp: { as: 65535, router-id: 192.168.1.1, group: metal, ibgp-preference: 169, maximum-paths: 8 }
clusters:
  c1:
    network-instance: ip-vrf-1
    as: 65535
    speaker: metallb
    nodes:
      node1: { leaves: [leaf1], addresses: [192.168.1.11] }
      node2: { leaves: [leaf1], addresses: [192.168.1.12] }
      node3: { leaves: [leaf1], addresses: [192.168.1.13] }
";
/// The kinds of objects that are copied from the embedded cluster to the real one.
const KINDS: [&str; 8] = [
    "Namespace",
    "Node",
    "Service",
    "EndpointSlice",
    "IPAddressPool.metallb.io",
    "BGPPeer.metallb.io",
    "BGPAdvertisement.metallb.io",
    "ServiceBGPStatus.metallb.io",
];
/// What the leaf reports when all three nodes announce the VIP.
const HEALTHY: &[(&str, Says)] = &[
    ("oper-state", Is("up")),
    ("oper-reason", Nothing),
    ("expected-next-hops", Is("3")),
    ("installed-next-hops", Is("3")),
    ("/k8s-services/cluster[name=c1]/oper-state", Is("up")),
    ("/k8s-services/cluster[name=c1]/oper-reason", Nothing),
    ("/k8s-services/cluster[name=c1]/node-count", Is("3")),
];

/// Custom resources of speakers: group, versions, kind, plural, whether they are in namespaces.
type Custom = (&'static str, &'static [&'static str], &'static str, &'static str, bool);
const METALLB: &[Custom] = &[
    ("metallb.io", &["v1beta1"], "ServiceBGPStatus", "servicebgpstatuses", true),
    ("metallb.io", &["v1beta1"], "IPAddressPool", "ipaddresspools", true),
    ("metallb.io", &["v1beta1"], "BGPAdvertisement", "bgpadvertisements", true),
    ("metallb.io", &["v1beta2", "v1beta1"], "BGPPeer", "bgppeers", true),
    ("metallb.io", &["v1beta1"], "L2Advertisement", "l2advertisements", true),
    ("metallb.io", &["v1beta1"], "ServiceL2Status", "servicel2statuses", true),
];
const CILIUM: &[Custom] = &[
    ("cilium.io", &["v2"], "CiliumLoadBalancerIPPool", "ciliumloadbalancerippools", false),
    ("cilium.io", &["v2"], "CiliumBGPAdvertisement", "ciliumbgpadvertisements", false),
    ("cilium.io", &["v2"], "CiliumBGPClusterConfig", "ciliumbgpclusterconfigs", false),
    ("cilium.io", &["v2"], "CiliumBGPPeerConfig", "ciliumbgppeerconfigs", false),
    ("cilium.io", &["v2"], "CiliumBGPNodeConfig", "ciliumbgpnodeconfigs", false),
    ("cilium.io", &["v2alpha1"], "CiliumL2AnnouncementPolicy", "ciliuml2announcementpolicies", false),
];
const CALICO: &[Custom] = &[
    ("projectcalico.org", &["v3"], "BGPConfiguration", "bgpconfigurations", false),
    ("projectcalico.org", &["v3"], "BGPPeer", "bgppeers", false),
    ("projectcalico.org", &["v3"], "IPPool", "ippools", false),
];
const CALICO_STORE: &[Custom] = &[
    ("crd.projectcalico.org", &["v1"], "BGPConfiguration", "bgpconfigurations", false),
    ("crd.projectcalico.org", &["v1"], "BGPPeer", "bgppeers", false),
    ("crd.projectcalico.org", &["v1"], "IPPool", "ippools", false),
];

/// Returns the path of the definition of a custom resource.
fn definition_path((group, _, _, plural, _): Custom) -> String {
    format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}")
}

/// Defines custom resources with a schema that accepts anything.
async fn define(admin: &Admin, resources: &[Custom]) {
    for (group, versions, kind, plural, namespaced) in resources {
        let versions = versions.iter().enumerate().map(|(at, version)| {
            json!({
                "name": version, "served": true, "storage": at == 0,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            })
        });
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": if *namespaced { "Namespaced" } else { "Cluster" },
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                "versions": versions.collect::<Vec<_>>(),
            },
        });
        admin.apply_object(&definition).await;
    }
}

/// Copies the objects of the embedded cluster to the real one, except those that every API server makes itself.
async fn mirror(cluster: &Cluster, admin: &Admin) {
    for kind in KINDS {
        for object in cluster.list(kind) {
            let mut object = Value::clone(&object);
            if object["metadata"]["name"] == "kubernetes"
                || object["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
            {
                continue;
            }
            let metadata = object["metadata"].as_object_mut().expect("an object");
            for own in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"]
            {
                metadata.remove(own);
            }
            admin.apply_object(&object).await;
        }
    }
}

/// How an agent reaches a cluster.
struct ConnectOptions {
    name: String,
    kubeconfig: PathBuf,
    /// More configuration of the cluster: `speaker calico`.
    leaves: Vec<String>,
}

impl ConnectOptions {
    fn new(name: &str, kubeconfig: &Path) -> Self {
        let leaves = vec!["network-instance ip-vrf-1".to_owned()];
        Self { name: name.to_owned(), kubeconfig: kubeconfig.to_owned(), leaves }
    }
}

/// Starts a leaf with an agent that has these clusters configured, all with the same API server.
async fn leaf(api: &ApiServer, clusters: &[ConnectOptions]) -> Bench {
    let mut config = "set / k8s-services alarm-policy raise-hold-time 1
set / k8s-services alarm-policy clear-hold-time 1
set / k8s-services alarm-policy kubernetes-events true
"
    .to_owned();
    for ConnectOptions { name, kubeconfig, leaves } in clusters {
        let own =
            [format!("kubeconfig {}", kubeconfig.display()), format!("network-namespace {}", api.leaf_namespace())];
        for leaf in own.iter().chain(leaves) {
            config.push_str(&format!("set / k8s-services cluster {name} {leaf}\n"));
        }
    }
    let describe = |lab: &mut LabContent| {
        let fabric: Value = serde_norway::from_str(FABRIC).expect("YAML");
        lab.fabric = serde_json::from_value::<FabricConfig>(fabric).expect("a fabric");
        lab.config = config;
        share_credentials(lab);
        let cluster = lab.clusters.get_mut("c1").expect("the lab's one cluster");
        cluster.manifests = ["../../tests/e2e/cluster.yaml", "metallb.yaml", "nginx.yaml"].map(Into::into).to_vec();
    };
    Bench::within(api.net().folder(), "anycast-metallb", Switches::default(), describe).await
}

/// Writes a file that only its owner may read, atomically.
fn write_secret(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside).expect("a file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
    std::fs::rename(&beside, path).expect("renamed");
}

/// Runs the shipped script, which applies the shipped roles; returns the path of the kubeconfig it makes.
fn make_kubeconfig(api: &ApiServer) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/rbac/make-kubeconfig");
    let output = api.run(&script, &["--name", "c1", "--duration", "1h", "--bgppeers", "--events"]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("verified: the token may list and watch services, nodes and endpointslices"), "{said}");
    api.folder().join("c1.kubeconfig")
}
