//! Tests of list and watch with the `kube` crate.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event};
use serde_json::{Value, json};
use srl_sim::cluster::{Cluster, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{client, serve, soon};

fn config_map(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}})
}

fn with_maps(count: usize) -> Cluster {
    let cluster = Cluster::new();
    let objects = (0..count).map(|at| config_map(&format!("map-{at:04}"), json!({"parity": (at % 2).to_string()})));
    cluster.bulk_load(objects).expect("valid objects");
    cluster
}

fn names(list: &[ConfigMap]) -> Vec<String> {
    list.iter().filter_map(|map| map.metadata.name.clone()).collect()
}

fn raw(api_path: &str, query: &str) -> http::Request<Vec<u8>> {
    http::Request::get(format!("{api_path}?{query}")).body(Vec::new()).expect("a request")
}

/// Returns the next event that is not a bookmark, as its type and the object's name.
async fn next(stream: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin)) -> (String, String) {
    loop {
        let event = soon(stream.next()).await.expect("the watch goes on").expect("an event");
        let (kind, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => return ("ERROR".to_owned(), status.code.to_string()),
        };
        return (kind.to_owned(), object.metadata.name.unwrap_or_default());
    }
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn objects_are_created_read_changed_and_deleted() {
    let cluster = Cluster::new();
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let map: ConfigMap = serde_json::from_value(config_map("one", json!({"a": "b"}))).expect("a map");
    let created = api.create(&PostParams::default(), &map).await.expect("created");
    assert!(created.metadata.uid.is_some() && created.metadata.creation_timestamp.is_some());
    let taken = api.create(&PostParams::default(), &map).await.expect_err("the name is taken");
    assert!(matches!(taken, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists"));
    let merged = api.patch("one", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "v"}}))).await;
    let merged = merged.expect("patched");
    assert_eq!(merged.data.as_ref().and_then(|data| data.get("k")).map(String::as_str), Some("v"));
    let stale = api.replace("one", &PostParams::default(), &created).await.expect_err("a stale version");
    assert!(matches!(stale, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"));
    let same = api.replace("one", &PostParams::default(), &merged).await.expect("nothing to change");
    assert_eq!(same.metadata.resource_version, merged.metadata.resource_version);
    api.delete("one", &DeleteParams::default()).await.expect("deleted");
    assert!(api.get_opt("one").await.expect("an answer").is_none());
}

#[tokio::test]
async fn an_object_stays_until_its_finalizer_is_removed() {
    let cluster = with_maps(1);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let merge = |value| Patch::Merge(json!({"metadata": {"finalizers": value}}));
    let parameters = PatchParams::default();
    api.patch("map-0000", &parameters, &merge(json!(["example.org/hold"]))).await.expect("patched");
    let held = api.delete("map-0000", &DeleteParams::default()).await.expect("accepted");
    assert!(held.left().is_some_and(|map| map.metadata.deletion_timestamp.is_some()));
    api.patch("map-0000", &parameters, &merge(Value::Null)).await.expect("let go");
    assert!(api.get_opt("map-0000").await.expect("an answer").is_none());
}

#[tokio::test]
async fn a_paged_list_is_one_consistent_state() {
    let cluster = with_maps(25);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let first = api.list(&ListParams::default().limit(10)).await.expect("a page");
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (10, Some(15)));
    cluster.delete("ConfigMap", "default", "map-0012").expect("there");
    cluster.apply(config_map("map-0012b", json!({}))).expect("a new one");
    let mut all = names(&first.items);
    let mut token = first.metadata.continue_.clone();
    while let Some(next) = token.filter(|token| !token.is_empty()) {
        let page = api.list(&ListParams::default().limit(10).continue_token(&next)).await.expect("a page");
        assert_eq!(page.metadata.resource_version, first.metadata.resource_version);
        all.extend(names(&page.items));
        token = page.metadata.continue_;
    }
    assert_eq!(all, (0..25).map(|at| format!("map-{at:04}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_next_page_after_a_compaction_is_gone() {
    let cluster = with_maps(25);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let first = api.list(&ListParams::default().limit(10)).await.expect("a page");
    cluster.compact();
    let token = first.metadata.continue_.expect("more to come");
    let gone = api.list(&ListParams::default().limit(10).continue_token(&token)).await.expect_err("too old");
    assert!(matches!(gone, kube::Error::Api(status) if status.code == 410 && status.reason == "Expired"));
}

#[tokio::test]
async fn selectors_restrict_the_listed_objects() {
    let cluster = with_maps(6);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::all(client(&server));
    let odd = api.list(&ListParams::default().labels("parity in (1, 3)")).await.expect("a list");
    assert_eq!(names(&odd.items), ["map-0001", "map-0003", "map-0005"]);
    let one = api.list(&ListParams::default().fields("metadata.name=map-0002,metadata.namespace=default")).await;
    assert_eq!(names(&one.expect("a list").items), ["map-0002"]);
    let wrong = api.list(&ListParams::default().fields("data.key=x")).await.expect_err("no such field");
    assert!(matches!(wrong, kube::Error::Api(status) if status.code == 400));
}

#[tokio::test]
async fn past_and_future_resource_versions_are_distinguished() {
    let cluster = with_maps(3);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let then = cluster.version();
    cluster.delete("ConfigMap", "default", "map-0001").expect("there");
    let exact = ListParams { resource_version: Some(then.to_string()), ..ListParams::default() };
    let exact = ListParams { version_match: Some(kube::api::VersionMatch::Exact), ..exact };
    assert_eq!(api.list(&exact).await.expect("a list").items.len(), 3);
    assert_eq!(api.list(&ListParams::default()).await.expect("a list").items.len(), 2);
    let future = format!("/api/v1/configmaps?resourceVersion={}", then + 1000);
    assert_eq!(status_of(&server, &future).await, "HTTP/1.1 504 Gateway Timeout");
}

/// Returns the status line of a plain GET. The client library would retry on its own.
async fn status_of(server: &Server, path: &str) -> String {
    answer_of(server, path).await.lines().next().unwrap_or_default().to_owned()
}

/// Returns the whole answer to a plain GET.
async fn answer_of(server: &Server, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: cluster\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_watch_reports_objects_that_enter_change_in_and_leave_the_selection() {
    let cluster = with_maps(2);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let version = cluster.version().to_string();
    let parameters = WatchParams::default().labels("parity=1");
    let mut stream = pin!(api.watch(&parameters, &version).await.expect("a watch"));
    let label = |name, value| {
        let patch = json!({"metadata": {"labels": {"parity": value}}});
        cluster.patch("ConfigMap", "default", name, &patch).expect("there");
    };
    cluster.patch("ConfigMap", "default", "map-0001", &json!({"data": {"a": "b"}})).expect("there");
    label("map-0000", "1");
    label("map-0001", "0");
    cluster
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "elsewhere", "namespace": "other", "labels": {"parity": "1"}}}))
        .expect("a map");
    cluster.delete("ConfigMap", "default", "map-0000").expect("there");
    for expected in [
        pair("MODIFIED", "map-0001"),
        pair("ADDED", "map-0000"),
        pair("DELETED", "map-0001"),
        pair("DELETED", "map-0000"),
    ] {
        assert_eq!(next(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn a_watch_resumes_where_another_ended() {
    let cluster = with_maps(1);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::all(client(&server));
    let version = cluster.version().to_string();
    for at in 0..3 {
        cluster.apply(config_map(&format!("new-{at}"), json!({}))).expect("a map");
    }
    let mut stream = pin!(api.watch(&WatchParams::default(), &version).await.expect("a watch"));
    for at in 0..3 {
        assert_eq!(next(&mut stream).await, pair("ADDED", &format!("new-{at}")));
    }
}

#[tokio::test]
async fn a_watch_from_a_compacted_version_gets_an_error_event() {
    let cluster = with_maps(1);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::all(client(&server));
    let version = cluster.version().to_string();
    cluster.compact();
    let mut stream = pin!(api.watch(&WatchParams::default(), &version).await.expect("a watch"));
    assert_eq!(next(&mut stream).await, pair("ERROR", "410"));
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test]
async fn a_watch_ends_with_a_bookmark_at_its_timeout() {
    let cluster = with_maps(1);
    let server = serve(&cluster).await;
    let api: Api<Service> = Api::all(client(&server));
    let version = cluster.version().to_string();
    cluster.apply(config_map("another-kind", json!({}))).expect("a map");
    let mut stream = pin!(api.watch(&WatchParams::default().timeout(3), &version).await.expect("a watch"));
    let events: Vec<_> = soon(stream.by_ref().collect::<Vec<_>>()).await;
    let bookmark = match events.as_slice() {
        [Ok(WatchEvent::Bookmark(bookmark))] => bookmark,
        other => panic!("{other:?}"),
    };
    assert_eq!(bookmark.metadata.resource_version, cluster.version().to_string());
}

/// Runs a watcher until it has sent `count` events, and returns them.
async fn events(config: watcher::Config, api: Api<ConfigMap>, count: usize) -> Vec<String> {
    let stream = watcher::watcher(api, config).map(|event| match event.expect("no error") {
        Event::Init => "init".to_owned(),
        Event::InitApply(map) => format!("initial {}", map.metadata.name.unwrap_or_default()),
        Event::InitDone => "done".to_owned(),
        Event::Apply(map) => format!("apply {}", map.metadata.name.unwrap_or_default()),
        Event::Delete(map) => format!("delete {}", map.metadata.name.unwrap_or_default()),
    });
    soon(stream.take(count).collect()).await
}

#[tokio::test]
async fn the_watcher_lists_in_pages_or_streams_the_list() {
    let cluster = with_maps(7);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let initial = (0..7).map(|at| format!("initial map-{at:04}"));
    let expected: Vec<String> = ["init".to_owned()].into_iter().chain(initial).chain(["done".to_owned()]).collect();
    let paged = watcher::Config::default().page_size(3);
    assert_eq!(events(paged, api.clone(), 9).await, expected);
    assert_eq!(events(watcher::Config::default().streaming_lists(), api, 9).await, expected);
}

#[tokio::test]
async fn a_reflector_is_consistent_again_after_faults() {
    let cluster = with_maps(3);
    let server = serve(&cluster).await;
    let api: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let (reader, writer) = kube::runtime::reflector::store();
    let stream = watcher::watcher(api, watcher::Config::default());
    let mut stream = pin!(kube::runtime::reflector(writer, stream));
    let names = || reader.state().iter().filter_map(|map| map.metadata.name.clone()).collect::<BTreeSet<_>>();
    let settle = async |stream: &mut std::pin::Pin<&mut _>| {
        let wanted: BTreeSet<String> = cluster
            .list("ConfigMap")
            .iter()
            .filter_map(|map| map["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        while names() != wanted {
            // A fault shows as an error: the watcher retries when polled again.
            let _ = soon(StreamExt::next(stream)).await.expect("a watcher never ends");
        }
    };
    settle(&mut stream).await;
    cluster.apply(config_map("a", json!({}))).expect("a map");
    settle(&mut stream).await;
    cluster.drop_watches();
    cluster.delete("ConfigMap", "default", "map-0001").expect("there");
    settle(&mut stream).await;
    cluster.expire_watches();
    cluster.delete("ConfigMap", "default", "a").expect("there");
    settle(&mut stream).await;
    cluster.stop().await;
    cluster.delete("ConfigMap", "default", "map-0002").expect("there");
    cluster.compact();
    cluster.start().await;
    settle(&mut stream).await;
    assert_eq!(names().len(), 1);
}

#[tokio::test]
async fn metadata_lists_and_discovery_are_served_and_only_as_json() {
    let cluster = with_maps(2);
    let server = serve(&cluster).await;
    let client = client(&server);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let metadata = api.list_metadata(&ListParams::default()).await.expect("metadata");
    assert_eq!(metadata.items[1].metadata.name.as_deref(), Some("map-0001"));
    let mut request = raw("/api/v1/namespaces/default/configmaps", "");
    request.headers_mut().insert("accept", "application/vnd.kubernetes.protobuf".parse().expect("a header"));
    let refused = client.request::<Value>(request).await.expect_err("only JSON is spoken");
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 406));
    let list: Value = client.request(raw("/api/v1/namespaces/default/configmaps", "")).await.expect("a list");
    assert_eq!((&list["kind"], &list["items"][0].get("kind")), (&json!("ConfigMapList"), &None));
    let pools: Value = client.request(raw("/apis/metallb.io/v1beta1/ipaddresspools", "")).await.expect("a list");
    assert_eq!(pools["kind"], "IPAddressPoolList");
    let discovery = kube::Discovery::new(client).run().await.expect("discovery");
    assert!(discovery.groups().any(|group| group.name() == "metallb.io"));
}

#[tokio::test]
async fn an_object_is_served_in_the_requested_version() {
    let cluster = Cluster::new();
    cluster
        .load("{apiVersion: metallb.io/v1beta1, kind: BGPPeer, metadata: {name: p, namespace: m}, spec: {myASN: 1}}")
        .expect("a peer");
    let server = serve(&cluster).await;
    for version in ["v1beta1", "v1beta2"] {
        let path = format!("/apis/metallb.io/{version}/namespaces/m/bgppeers/p");
        let peer: Value = client(&server).request(raw(&path, "")).await.expect("the peer");
        assert_eq!(peer["apiVersion"], format!("metallb.io/{version}"));
    }
}

#[tokio::test]
async fn unknown_paths_are_answered_as_by_the_real_server() {
    let server = serve(&Cluster::new()).await;
    let unknown = answer_of(&server, "/api/v1/nothings").await;
    assert!(unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("\"details\":{}"), "{unknown}");
    for path in ["/apis/metallb.nowhere", "/apis/metallb.nowhere/v1beta1", "/apis/metallb.nowhere/v1beta1/pools"] {
        let answer = answer_of(&server, path).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n404 page not found\n"), "{answer}");
    }
}

#[test]
fn only_some_kinds_have_a_generation() {
    let cluster = with_maps(1);
    assert_eq!(cluster.get("ConfigMap", "default", "map-0000").expect("made")["metadata"].get("generation"), None);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"},
        "addressType": "IPv4", "endpoints": [],
    });
    assert_eq!(cluster.apply(slice).expect("made")["metadata"]["generation"], 1);
}

#[test]
fn a_generated_name_needs_a_prefix_that_is_a_name_or_ends_with_a_dash() {
    let cluster = Cluster::new();
    let create = |prefix: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": prefix}});
        cluster.apply(map).map(|made| made["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    };
    assert!(create("web-").is_ok_and(|name| name.starts_with("web-") && name.len() > 4));
    for prefix in ["web.", "Web-"] {
        let refused = create(prefix).expect_err("no name begins so").to_string();
        assert!(refused.contains(&format!("metadata.generateName: Invalid value: {prefix:?}: ")), "{refused}");
    }
}

#[tokio::test]
async fn a_recorded_event_is_also_served_in_the_core_group() {
    let cluster = Cluster::new();
    let server = serve(&cluster).await;
    let recorder = kube::runtime::events::Recorder::new(client(&server), "leaf1".into());
    let event = kube::runtime::events::Event {
        type_: kube::runtime::events::EventType::Warning,
        reason: "NoRoute".to_owned(),
        note: Some("no route on leaf1".to_owned()),
        action: "Judge".to_owned(),
        secondary: None,
    };
    let service = cluster.get("Service", "default", "kubernetes").expect("every cluster has it");
    let service: Service = serde_json::from_value((*service).clone()).expect("a service");
    let about = kube::Resource::object_ref(&service, &());
    recorder.publish(&event, &about).await.expect("recorded");
    recorder.publish(&event, &about).await.expect("recorded again");
    let events = cluster.list("Event");
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["message"], &events[0]["involvedObject"]["name"]),
        (&json!("no route on leaf1"), &json!("kubernetes"))
    );
    assert_eq!(events[0]["count"], 2);
}
