//! Tests with kubectl itself. They are skipped, with a message, if kubectl is not installed.

use std::process::Output;

use srl_sim::cluster::{Cluster, ClusterOptions};
use tokio::process::Command;

use crate::support::{LAB, NGINX, lab, serve, soon};

struct Kubectl {
    home: tempfile::TempDir,
    cluster: Cluster,
    _server: srl_sim::cluster::Server,
}

impl Kubectl {
    /// Creates a kubectl with its own home and kubeconfig; `None` if kubectl is not installed.
    async fn new(cluster: Cluster) -> Option<Self> {
        if Command::new("kubectl").args(["version", "--client"]).output().await.is_err() {
            eprintln!("skipped: kubectl is not installed");
            return None;
        }
        let home = tempfile::tempdir().expect("a folder");
        let server = serve(&cluster).await;
        cluster.write_kubeconfig(&home.path().join("config"), &server.url()).expect("a kubeconfig");
        Some(Self { home, cluster, _server: server })
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        let run = Command::new("kubectl")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .output();
        soon(run).await.expect("kubectl runs")
    }

    /// Returns the output of kubectl, which must succeed without warnings.
    async fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {errors}");
        assert_eq!(errors, "", "kubectl {arguments:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).expect("a manifest");
        path.to_string_lossy().into_owned()
    }
}

/// Returns the words of a row without its age, which depends on the clock.
fn words(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_prints_the_usual_columns() {
    let Some(kubectl) = Kubectl::new(lab()).await else { return };
    let services = kubectl.run(&["get", "svc", "-o", "wide"]).await;
    let lines: Vec<_> = services.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]);
    assert_eq!(lines[1][..5], ["kubernetes", "ClusterIP", "10.96.0.1", "<none>", "443/TCP"]);
    assert_eq!((lines[2][0], lines[2][1], lines[2][3]), ("nginxhello", "LoadBalancer", "1.1.1.100"));
    assert_eq!(lines[2][6], "app=nginxhello");
    let nodes = kubectl.run(&["get", "nodes", "-o", "wide"]).await;
    let lines: Vec<_> = nodes.lines().map(words).collect();
    assert_eq!((lines[1][0], lines[1][1], lines[1][2]), ("cluster1", "Ready", "control-plane"));
    assert_eq!((lines[2][2], lines[2][4], lines[2][5]), ("<none>", "v1.27.3", "192.168.49.3"));
    let pods = kubectl.run(&["get", "pods", "-o", "wide"]).await;
    let addresses: Vec<_> = pods.lines().skip(1).map(|line| (words(line)[5], words(line)[6])).collect();
    for pair in [("10.244.0.3", "cluster1"), ("10.244.1.3", "cluster1-m02"), ("10.244.2.3", "cluster1-m03")] {
        assert!(addresses.contains(&pair), "{pods}");
    }
    let endpoints = kubectl.run(&["get", "ep", "nginxhello"]).await;
    assert!(endpoints.contains("10.244.0.3:80,10.244.1.3:80,10.244.2.3:80"), "{endpoints}");
    for kinds in
        ["endpointslices", "deploy,rs", "ns", "ipaddresspools -A", "all", "bgppeers.metallb.io -A", "crd", "events"]
    {
        let arguments: Vec<&str> = ["get"].into_iter().chain(kinds.split(' ')).collect();
        assert!(kubectl.output(&arguments).await.status.success(), "{kinds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_scale_label_and_delete_work() {
    // Some versions of kubectl follow the server's version: older ones validate by OpenAPI v2, newer ones by v3.
    for version in ["v1.27.3", "v1.33.0"] {
        let options = ClusterOptions { kubernetes_version: version.to_owned(), ..ClusterOptions::default() };
        apply_scale_label_and_delete(Cluster::with_options(options)).await;
    }
}

async fn apply_scale_label_and_delete(cluster: Cluster) {
    let Some(kubectl) = Kubectl::new(cluster).await else { return };
    kubectl.cluster.load(LAB).expect("nodes");
    let nginx = kubectl.file("nginx.yaml", NGINX);
    let created = kubectl.run(&["apply", "-f", &nginx]).await;
    assert_eq!(created, "deployment.apps/nginxhello created\nservice/nginxhello created\n");
    let again = kubectl.run(&["apply", "-f", &nginx]).await;
    assert_eq!(again, "deployment.apps/nginxhello unchanged\nservice/nginxhello unchanged\n");
    let local =
        kubectl.file("local.yaml", &NGINX.replace("externalTrafficPolicy: Cluster", "externalTrafficPolicy: Local"));
    let changed = kubectl.run(&["apply", "-f", &local]).await;
    assert_eq!(changed, "deployment.apps/nginxhello unchanged\nservice/nginxhello configured\n");
    let service = kubectl.cluster.get("Service", "default", "nginxhello").expect("applied");
    assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(service["spec"]["ports"].as_array().map(Vec::len), Some(1));
    kubectl.run(&["scale", "deployment/nginxhello", "--replicas=5"]).await;
    assert_eq!(kubectl.cluster.list("Pod").len(), 5);
    kubectl.run(&["rollout", "status", "deployment/nginxhello", "--timeout=10s"]).await;
    kubectl.run(&["label", "svc", "nginxhello", "tier=front"]).await;
    kubectl.run(&["annotate", "svc", "nginxhello", "note=x"]).await;
    kubectl.run(&["patch", "svc", "nginxhello", "-p", r#"{"spec":{"ports":[{"port":80,"name":"web"}]}}"#]).await;
    let service = kubectl.cluster.get("Service", "default", "nginxhello").expect("applied");
    assert_eq!(
        (&service["metadata"]["labels"]["tier"], &service["metadata"]["annotations"]["note"]),
        (&"front".into(), &"x".into())
    );
    assert_eq!(
        (&service["spec"]["ports"][0]["name"], &service["spec"]["ports"][0]["targetPort"]),
        (&"web".into(), &80.into())
    );
    let deleted = kubectl.run(&["delete", "-f", &nginx]).await;
    assert_eq!(deleted, "deployment.apps \"nginxhello\" deleted\nservice \"nginxhello\" deleted\n");
    for kind in ["Pod", "ReplicaSet", "Deployment", "EndpointSlice", "Endpoints"] {
        assert_eq!(kubectl.cluster.list(kind).len(), 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_resources_are_applied_and_changed() {
    let Some(kubectl) = Kubectl::new(Cluster::new()).await else { return };
    let pool = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, namespace: metallb-system}\n\
                spec: {addresses: [1.1.1.0/28]}\n";
    let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: metallb-system}}\n---\n{pool}");
    let file = kubectl.file("pool.yaml", &text);
    let created = kubectl.run(&["apply", "-f", &file]).await;
    assert_eq!(created, "namespace/metallb-system created\nipaddresspool.metallb.io/p created\n");
    let wider = kubectl.file("wider.yaml", &pool.replace("/28", "/24"));
    assert_eq!(kubectl.run(&["apply", "-f", &wider]).await, "ipaddresspool.metallb.io/p configured\n");
    let side = kubectl.run(&["apply", "--server-side", "-f", &wider]).await;
    assert_eq!(side, "ipaddresspool.metallb.io/p serverside-applied\n");
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.org}\n\
               spec:\n  group: example.org\n  scope: Cluster\n  names: {kind: Thing, plural: things, singular: thing}\n  \
               versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]\n";
    kubectl.run(&["apply", "-f", &kubectl.file("crd.yaml", crd)]).await;
    let thing =
        kubectl.file("thing.yaml", "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: one}\nspec: {a: 1}\n");
    kubectl.run(&["apply", "-f", &thing]).await;
    assert!(kubectl.run(&["get", "things"]).await.contains("one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cordon_and_drain_move_pods() {
    let Some(kubectl) = Kubectl::new(lab()).await else { return };
    kubectl.run(&["cordon", "cluster1"]).await;
    assert!(kubectl.run(&["get", "node", "cluster1"]).await.contains("Ready,SchedulingDisabled"));
    assert!(kubectl.output(&["drain", "cluster1", "--force"]).await.status.success());
    let pods = kubectl.cluster.list("Pod");
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| pod["spec"]["nodeName"] != "cluster1"));
    kubectl.run(&["uncordon", "cluster1"]).await;
    assert!(!kubectl.run(&["get", "node", "cluster1"]).await.contains("SchedulingDisabled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_prints_the_usual_errors() {
    let Some(kubectl) = Kubectl::new(lab()).await else { return };
    let complaint = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let missing = complaint(kubectl.output(&["get", "svc", "none"]).await);
    assert_eq!(missing, "Error from server (NotFound): services \"none\" not found\n");
    let unknown = complaint(kubectl.output(&["get", "gizmos"]).await);
    assert_eq!(unknown, "error: the server doesn't have a resource type \"gizmos\"\n");
    kubectl.cluster.deny("services");
    let denied = complaint(kubectl.output(&["get", "svc"]).await);
    assert!(denied.starts_with("Error from server (Forbidden): services is forbidden: User"), "{denied}");
    kubectl.cluster.set_token(Some("new"));
    let stranger = complaint(kubectl.output(&["get", "nodes"]).await);
    assert!(stranger.contains("Unauthorized") || stranger.contains("must be logged in"), "{stranger}");
}
