//! Tests of faults.

use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, WatchParams};
use serde_json::json;
use srl_sim::cluster::Cluster;
use tokio::net::TcpSocket;

use crate::support::{client, lab, serve, soon};

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

#[tokio::test]
async fn a_stopped_server_cuts_watches_and_refuses_connections_until_it_starts() {
    let cluster = lab();
    let server = serve(&cluster).await;
    let api: Api<Service> = Api::all(client(&server));
    let mut stream = pin!(api.watch(&WatchParams::default(), &cluster.version().to_string()).await.expect("a watch"));
    cluster.stop().await;
    assert!(!matches!(soon(stream.next()).await, Some(Ok(_))));
    assert!(api.list(&ListParams::default()).await.is_err());
    cluster.start().await;
    assert_eq!(api.list(&ListParams::default()).await.expect("a list").items.len(), 2);
}

#[tokio::test]
async fn the_address_of_a_stopped_server_stays_reserved() {
    let cluster = lab();
    let server = serve(&cluster).await;
    cluster.stop().await;
    let other = TcpSocket::new_v4().expect("a socket");
    assert_eq!(other.bind(server.address()).map_err(|error| error.kind()), Err(ErrorKind::AddrInUse));
    soon(cluster.start()).await;
}

#[tokio::test]
async fn a_half_open_server_answers_once_healed() {
    let cluster = lab();
    let server = serve(&cluster).await;
    let api: Api<Service> = Api::all(client(&server));
    cluster.set_half_open(true);
    let parameters = ListParams::default();
    let mut request = pin!(api.list(&parameters));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut request).await.is_err());
    cluster.set_half_open(false);
    assert_eq!(soon(request).await.expect("a list").items.len(), 2);
}

#[tokio::test]
async fn a_delay_applies_to_every_answer() {
    let cluster = lab();
    let server = serve(&cluster).await;
    let api: Api<Service> = Api::all(client(&server));
    let start = std::time::Instant::now();
    cluster.set_delay(Duration::from_millis(80));
    api.list(&ListParams::default()).await.expect("a list");
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn missing_tokens_missing_rights_and_refusals_are_distinguished() {
    let cluster = lab();
    let server = serve(&cluster).await;
    let api: Api<Service> = Api::all(client(&server));
    let list = async || api.list(&ListParams::default()).await.map(drop).map_err(|error| code(&error));
    cluster.set_token(Some("secret"));
    assert_eq!(list().await, Err(Some(401)));
    let mut config = kube::Config::new(server.url().parse().expect("a URL"));
    config.auth_info.token = Some("secret".to_owned().into());
    let known: Api<Service> = Api::all(kube::Client::try_from(config).expect("a client"));
    known.list(&ListParams::default()).await.expect("the right token");
    cluster.set_token(None);
    cluster.deny("services");
    assert_eq!(list().await, Err(Some(403)));
    cluster.allow("services");
    cluster.refuse(500, 2);
    assert_eq!(list().await, Err(Some(500)));
    assert_eq!(list().await, Err(Some(500)));
    assert_eq!(list().await, Ok(()));
}

#[tokio::test]
async fn broken_and_absurd_objects_reach_the_client_unchanged() {
    let cluster = lab();
    let server = serve(&cluster).await;
    let api: Api<Service> = Api::namespaced(client(&server), "default");
    let huge = format!(r#""metadata":{{"name":"nginxhello","annotations":{{"a":"{}"}}}}}}"#, "x".repeat(4 << 20));
    cluster.send_instead("Service", "default", "nginxhello", &huge).expect("there");
    let found = api.get("nginxhello").await.expect("large, but an object");
    assert_eq!(found.metadata.annotations.and_then(|all| all.get("a").map(String::len)), Some(4 << 20));
    cluster.send_instead("Service", "default", "nginxhello", r#""metadata":{"name":7"#).expect("there");
    assert!(api.get("nginxhello").await.is_err());
    let absurd = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "absurd"},
        "spec": {"type": "LoadBalancer", "ports": "none"}, "status": {"loadBalancer": {"ingress": [{"ip": 42}, "text"]}}});
    cluster.bulk_load([absurd]).expect("stored as it is");
    assert!(api.get("absurd").await.is_err());
    let raw = cluster.get("Service", "default", "absurd").expect("stored");
    assert_eq!(raw["status"]["loadBalancer"]["ingress"][0]["ip"], 42);
}

#[tokio::test]
async fn a_cluster_without_slices_serves_only_endpoints() {
    let options = srl_sim::cluster::ClusterOptions { serve_slices: false, ..Default::default() };
    let cluster = Cluster::with_options(options);
    let server = serve(&cluster).await;
    let discovery = kube::Discovery::new(client(&server)).run().await.expect("discovery");
    assert!(discovery.groups().all(|group| group.name() != "discovery.k8s.io"));
    let path = "/apis/discovery.k8s.io/v1/endpointslices";
    let request = http::Request::get(path).body(Vec::new()).expect("a request");
    let missing = client(&server).request::<serde_json::Value>(request).await.expect_err("not served");
    assert_eq!(code(&missing), Some(404));
}

#[tokio::test]
async fn a_withdrawn_api_group_is_not_found_until_installed_again() {
    use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
    let cluster = lab();
    let server = serve(&cluster).await;
    let kind = GroupVersionKind::gvk("metallb.io", "v1beta1", "IPAddressPool");
    let pools: Api<DynamicObject> = Api::all_with(client(&server), &ApiResource::from_gvk(&kind));
    let groups = async || client(&server).list_api_groups().await.expect("groups").groups;
    cluster.withdraw("metallb.io");
    let refused = pools.list(&ListParams::default()).await.expect_err("no such path");
    assert_eq!(code(&refused), Some(404));
    assert!(!groups().await.iter().any(|group| group.name == "metallb.io"));
    cluster.install("metallb.io");
    pools.list(&ListParams::default()).await.expect("a list");
    assert!(groups().await.iter().any(|group| group.name == "metallb.io"));
}
