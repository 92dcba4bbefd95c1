//! Tests the source against an API server over HTTP.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::server::{ENDPOINTS, NODES, SERVICES, SLICES, Server};
use super::*;
use crate::model::event::Update;
use crate::model::names::ServiceKey;

const WEB: &str = r#"{"metadata":{"namespace":"default","name":"web","resourceVersion":"5"},
    "spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"}]}}}"#;

fn line(json: &str) -> String {
    json.replace('\n', " ")
}

fn web() -> ServiceKey {
    ServiceKey::new("default", "web")
}

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
}

async fn services(running: &mut Running) -> Vec<ServiceKey> {
    loop {
        if let ClusterEvent::Services(Update::All(all)) = running.change().await {
            return all.into_iter().map(|(key, _)| key).collect();
        }
    }
}

#[tokio::test]
async fn a_cluster_is_connected_listed_synced_and_then_watched() {
    let mut server = Server::start().await;
    server.list(SERVICES, "4", &[&line(WEB)]);
    let mut running = Running::start(at(&server.url()), quick());
    assert_eq!(running.condition().await, SourceEvent::Syncing);
    let ClusterEvent::Connected { version, caveat } = running.change().await else { panic!("connected first") };
    assert_eq!(&*version, "v1.33.1");
    assert!(caveat.is_some_and(|caveat| caveat.contains("plain http")));
    assert_eq!(services(&mut running).await, [web()]);
    running.synced().await;

    let watch = server.watch(SERVICES).await;
    assert!(watch.query.contains("resourceVersion=4") && watch.query.contains("allowWatchBookmarks=true"));
    watch.say("MODIFIED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(key, _)) if key == web()));
    watch.say("MODIFIED", &line(WEB).replace("LoadBalancer\"", "ClusterIP\""));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Gone(key)) if key == web()));
    watch.say("ADDED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(..))));
    watch.say("DELETED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Gone(key)) if key == web()));
}

#[tokio::test]
async fn an_ended_watch_resumes_silently_from_the_last_version_seen() {
    let mut server = Server::start().await;
    let mut running = Running::start(at(&server.url()), quick());
    running.synced().await;
    let watch = server.watch(NODES).await;
    watch.say("BOOKMARK", r#"{"metadata":{"resourceVersion":"77"}}"#);
    drop(watch);
    let watch = server.watch(NODES).await;
    assert!(watch.query.contains("resourceVersion=77"), "{}", watch.query);
    watch.say("ADDED", r#"{"metadata":{"name":"n1"}}"#);
    loop {
        match running.next().await {
            Event::Source(_, event) => assert_eq!(event, SourceEvent::Alive),
            Event::Cluster(_, event) => {
                assert!(matches!(event, ClusterEvent::Nodes(Update::Set(name, _)) if name.as_str() == "n1"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_expired_resource_version_causes_a_new_listing() {
    let mut server = Server::start().await;
    server.list(SERVICES, "4", &[&line(WEB)]);
    let mut running = Running::start(at(&server.url()), quick());
    running.synced().await;
    server.list(SERVICES, "9", &[]);
    let watch = server.watch(SERVICES).await;
    watch.say("ERROR", r#"{"kind":"Status","code":410,"reason":"Expired"}"#);
    assert_eq!(running.condition().await, SourceEvent::Syncing);
    assert_eq!(services(&mut running).await, []);
    running.synced().await;
    assert!(server.watch(SERVICES).await.query.contains("resourceVersion=9"));
}

#[tokio::test]
async fn every_bookmark_is_a_sign_of_life() {
    let mut server = Server::start().await;
    let mut running = Running::start(at(&server.url()), quick());
    running.synced().await;
    let watch = server.watch(NODES).await;
    // More than the opening of watches can explain.
    for version in 70..90 {
        watch.say("BOOKMARK", &format!(r#"{{"metadata":{{"resourceVersion":"{version}"}}}}"#));
    }
    for _ in 70..90 {
        assert!(matches!(running.next().await, Event::Source(_, SourceEvent::Alive)));
    }
}

#[tokio::test]
async fn a_silently_dead_connection_is_opened_again() {
    let mut server = Server::start().await;
    let timings = Timings { idle: Duration::from_millis(200), ..quick() };
    let mut running = Running::start(at(&server.url()), timings);
    running.synced().await;
    let silent = server.watch(SERVICES).await;
    let next = server.watch(SERVICES).await;
    next.say("ADDED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(..))));
    drop(silent);
}

#[tokio::test]
async fn endpoints_are_read_if_slices_are_not_served_or_forbidden() {
    const OBJECT: &str = r#"{"metadata":{"namespace":"default","name":"web"},
        "subsets":[{"addresses":[{"ip":"10.1.0.1","nodeName":"n1"}]}]}"#;
    for status in [403, 404] {
        let mut server = Server::start().await;
        server.answer(SLICES, status, &format!(r#"{{"kind":"Status","code":{status},"message":"no"}}"#));
        server.list(ENDPOINTS, "3", &[&line(OBJECT)]);
        let mut running = Running::start(at(&server.url()), quick());
        let slices = loop {
            if let ClusterEvent::EndpointSlices(Update::All(all)) = running.change().await {
                break all;
            }
        };
        assert_eq!(slices.len(), 1);
        assert_eq!(slices[0].1.service, web());
        running.synced().await;
        server.watch(ENDPOINTS).await;
    }
}

#[tokio::test]
async fn a_forbidden_request_is_reported_with_the_verbs_and_resource_to_grant() {
    let server = Server::start().await;
    let message = r#"nodes is forbidden: User \"leaf\" cannot list resource \"nodes\""#;
    server.answer(NODES, 403, &format!(r#"{{"kind":"Status","code":403,"message":"{message}"}}"#));
    let mut running = Running::start(at(&server.url()), quick());
    let reason = running.lost().await;
    assert!(reason.contains("not allowed to list nodes") && reason.contains("grant verbs list and watch on nodes"));
    assert!(reason.contains("User \"leaf\""), "{reason}");
    server.list(NODES, "1", &[]);
    running.synced().await;
}

#[tokio::test]
async fn a_rotated_token_is_read_again() {
    let mut server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    secret(&token, "one\n");
    server.require_token("one");
    let mut running = Running::start(config(with_token(&server.url(), Some(token.clone()))), quick());
    running.synced().await;
    server.watch(SERVICES).await;

    server.require_token("two");
    secret(&token, "two\n");
    let watch = server.watch(SERVICES).await;
    watch.say("ADDED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(..))));
}

#[tokio::test]
async fn unusable_new_credentials_raise_a_caveat_while_the_old_ones_stay_in_use() {
    let mut server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    secret(&token, "one");
    server.require_token("one");
    let mut running = Running::start(config(with_token(&server.url(), Some(token.clone()))), quick());
    running.synced().await;
    let watch = server.watch(SERVICES).await;

    secret(&token, "");
    let caveat = running.caveat().await.expect("a caveat");
    assert!(caveat.starts_with("the credentials changed and are not used, those before are kept: "), "{caveat}");
    assert!(caveat.contains("is empty; plain http: "), "{caveat}");
    watch.say("ADDED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(..))));
    secret(&token, "one");
    assert!(running.caveat().await.is_some_and(|caveat| caveat.starts_with("plain http")));
}

#[tokio::test]
async fn a_rejected_token_is_reported_and_tried_again_once_it_changes() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    secret(&token, "old");
    server.require_token("new");
    let timings =
        Timings { longest_pause: Duration::from_secs(3600), first_pause: Duration::from_secs(3600), ..quick() };
    let mut running = Running::start(config(with_token(&server.url(), Some(token.clone()))), timings);
    assert!(running.lost().await.contains("does not accept the credentials (401"));
    secret(&token, "new");
    running.synced().await;
}

#[tokio::test]
async fn a_refresh_opens_the_watches_again() {
    let mut server = Server::start().await;
    let mut running = Running::start(at(&server.url()), quick());
    running.synced().await;
    let old = server.watch(SERVICES).await;
    running.refresh.send_modify(|count| *count += 1);
    server.watch(SERVICES).await.say("ADDED", &line(WEB));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(..))));
    drop(old);
}

#[tokio::test]
async fn unreadable_objects_are_left_out_and_counted_and_all_others_read() {
    let mut server = Server::start().await;
    server.list(SERVICES, "4", &[r#"{"metadata":7}"#, r#"{"spec":{}}"#, &line(WEB)]);
    let mut running = Running::start(at(&server.url()), quick());
    running.until(SourceEvent::Malformed).await;
    running.until(SourceEvent::Malformed).await;
    assert_eq!(services(&mut running).await, [web()]);
    running.synced().await;
    let watch = server.watch(SERVICES).await;
    for line in ["nonsense", r#"{"type":"GRAND","object":{}}"#, r#"{"type":"ADDED","object":{"metadata":[]}}"#] {
        watch.say_raw(line);
        running.until(SourceEvent::Malformed).await;
    }
    watch.say("MODIFIED", &line(WEB).replace(r#""LoadBalancer"}"#, "[]}"));
    running.until(SourceEvent::Malformed).await;
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Gone(key)) if key == web()));
}

#[tokio::test]
async fn pages_are_joined_and_an_expired_page_restarts_the_listing() {
    let mut server = Server::start().await;
    server.answer(SERVICES, 200, &format!(r#"{{"metadata":{{"continue":"more"}},"items":[{}]}}"#, line(WEB)));
    let mut running = Running::start(at(&server.url()), quick());
    // The second page is requested with the token of the first, which is gone by then, so that everything is listed
    // again.
    loop {
        if server.requests().iter().any(|request| request.contains("continue=more")) {
            break;
        }
        running.next().await;
    }
    server.list(SERVICES, "8", &[]);
    running.synced().await;
    server.watch(SERVICES).await;
    assert!(server.requests().iter().any(|request| request.starts_with(SERVICES) && request.contains("limit=500")));
}

#[tokio::test]
async fn only_configured_namespaces_and_labels_are_listed_and_watched() {
    let mut server = Server::start().await;
    for namespace in ["a", "b"] {
        for resource in ["/api/v1/namespaces/NS/services", "/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices"] {
            server.list(&resource.replace("NS", namespace), "1", &[]);
        }
    }
    let mut config = at(&server.url());
    config.namespaces = ["a".into(), "b".into()].into();
    config.label_selector = Some("app=web".into());
    let mut running = Running::start(config, quick());
    running.synced().await;
    let watch = server.watch("/api/v1/namespaces/b/services").await;
    assert!(watch.query.contains("labelSelector=app%3Dweb"), "{}", watch.query);
    assert!(!server.requests().iter().any(|request| request.starts_with(SERVICES)));
    watch.say("ADDED", &line(WEB).replace("default", "b"));
    assert!(matches!(running.change().await, ClusterEvent::Services(Update::Set(key, _)) if &*key.namespace == "b"));
}

#[tokio::test]
async fn a_failing_server_is_lost_with_the_reason_and_synced_again_later() {
    let mut server = Server::start().await;
    let mut running = Running::start(at(&server.url()), quick());
    running.synced().await;
    let watch = server.watch(SERVICES).await;
    for path in ["/version", SERVICES] {
        server.answer(path, 500, r#"{"kind":"Status","code":500,"message":"etcd is gone"}"#);
    }
    drop(watch);
    assert!(running.lost().await.contains("etcd is gone"));
    server.answer("/version", 200, "{}");
    server.list(SERVICES, "20", &[]);
    running.synced().await;
}
