//! A cluster with the nodes, pool and service of the anycast lab, for all tests.

use std::time::Duration;

use srl_sim::cluster::{Cluster, Server};

/// Three nodes and a MetalLB pool.
pub(crate) const LAB: &str = "
apiVersion: v1
kind: Node
metadata: {name: cluster1, labels: {node-role.kubernetes.io/control-plane: ''}}
status: {addresses: [{type: InternalIP, address: 192.168.49.2}, {type: Hostname, address: cluster1}]}
---
apiVersion: v1
kind: Node
metadata: {name: cluster1-m02}
status: {addresses: [{type: InternalIP, address: 192.168.49.3}]}
---
apiVersion: v1
kind: Node
metadata: {name: cluster1-m03}
status: {addresses: [{type: InternalIP, address: 192.168.49.4}]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: vip-pool, namespace: metallb-system}
spec: {addresses: [1.1.1.100-1.1.1.200]}
";

/// The deployment and service of the anycast lab.
pub(crate) const NGINX: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginxhello}
spec:
  replicas: 3
  selector: {matchLabels: {app: nginxhello}}
  template:
    metadata: {labels: {app: nginxhello}}
    spec:
      containers:
      - name: nginxhello
        image: nginxdemos/hello:plain-text
        ports: [{name: http, containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: nginxhello}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Cluster
  selector: {app: nginxhello}
  ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}]
";

/// Returns the lab's cluster with its service.
pub(crate) fn lab() -> Cluster {
    let cluster = Cluster::new();
    cluster.load(LAB).expect("the lab's nodes and pool");
    cluster.load(NGINX).expect("the lab's service");
    cluster
}

/// Serves a cluster on the loopback.
pub(crate) async fn serve(cluster: &Cluster) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    cluster.serve(listener).expect("a served cluster")
}

/// Returns a client of a server.
pub(crate) fn client(server: &Server) -> kube::Client {
    let mut config = kube::Config::new(server.url().parse().expect("a URL"));
    config.read_timeout = None;
    kube::Client::try_from(config).expect("a client")
}

/// Waits for a future that must complete soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it should have happened by now")
}
