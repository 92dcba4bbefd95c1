//! A large cluster, as sent by its API server, including everything that the agent does not use.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use srl_sim::cluster::{Cluster, ClusterOptions};

pub(crate) const SERVICES: u32 = 10_000;
pub(crate) const NODES: u32 = 2_000;
const NAMESPACES: u32 = 8;
/// Number of endpoints of a service, each on another node.
pub(crate) const ENDPOINTS: u32 = 10;
/// Number of nodes with a BGP session on the leaf. They announce every VIP.
pub(crate) const ATTACHED: u32 = 4;

/// Creates a cluster with its nodes and this number of services with endpoints. Nothing in it changes by itself.
pub(crate) fn cluster(services: u32) -> Cluster {
    let cluster = Cluster::with_options(ClusterOptions { controllers: false, ..ClusterOptions::default() });
    let services = (0..services).flat_map(|number| [service(number), slice(number)]);
    cluster.bulk_load((0..NODES).map(node).chain(services)).expect("ordinary objects");
    cluster
}

pub(crate) fn vip(service: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a64_0000 + service)
}

pub(crate) fn node_address(node: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0xc0a8_0100 + node)
}

pub(crate) fn service_name(number: u32) -> String {
    format!("web-{number}")
}

pub(crate) fn slice_name(service: u32) -> String {
    format!("web-{service}-x7k2p")
}

/// Returns the namespace of a service: one namespace may not take all of the memory for a cluster.
pub(crate) fn namespace(service: u32) -> String {
    format!("team-{}", service % NAMESPACES)
}

fn service(number: u32) -> Value {
    let name = service_name(number);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace(number),
            "labels": {"app": name, "team": "payments", "app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace(number)},
            "managedFields": managed_fields(),
        },
        "spec": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Cluster",
            "clusterIP": Ipv4Addr::from_bits(0x0a60_0100 + number).to_string(),
            "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080, "nodePort": 30000 + number % 2768}],
            "selector": {"app": name},
        },
        "status": {"loadBalancer": {"ingress": [{"ip": vip(number).to_string(), "ipMode": "VIP"}]}},
    })
}

fn slice(number: u32) -> Value {
    let endpoints = (0..ENDPOINTS).map(|index| {
        let node = (number + index * (NODES / ENDPOINTS)) % NODES;
        json!({
            "addresses": [Ipv4Addr::from_bits(0x0af4_0000 + number * ENDPOINTS + index).to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": node_name(node),
            "targetRef": {
                "kind": "Pod",
                "name": format!("web-{number}-6d4b75cb6d-{index}"),
                "namespace": namespace(number),
                "uid": format!("7d1f0c2e-5c1b-4f0a-9d3e-{number:06}{index:06}"),
            },
        })
    });
    let service = service_name(number);
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(number),
            "namespace": namespace(number),
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": service, "uid": "1", "controller": true}],
            "managedFields": managed_fields(),
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn node_name(number: u32) -> String {
    format!("node-{number:04}.example.net")
}

fn node(number: u32) -> Value {
    let name = node_name(number);
    let images = (0..30).map(|image| {
        json!({"names": [format!("registry.example.net/team/image-{image}@sha256:{image:064}")], "sizeBytes": 123_456_789})
    });
    let conditions = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(|condition| {
        json!({
            "type": condition,
            "status": if condition == "Ready" { "True" } else { "False" },
            "reason": "Kubelet",
            "message": "the kubelet says so",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    });
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "a"},
            "managedFields": managed_fields(),
        },
        "spec": {"podCIDR": "10.244.0.0/24"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": node_address(number).to_string()},
                {"type": "Hostname", "address": name},
            ],
            "capacity": {"cpu": "64", "memory": "263862448Ki", "pods": "250"},
            "conditions": conditions,
            "images": images.collect::<Vec<_>>(),
        },
    })
}

/// Returns what server-side apply leaves on every object.
fn managed_fields() -> Value {
    json!([{
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:team": {}}}, "f:spec": {"f:ports": {}}},
    }])
}
