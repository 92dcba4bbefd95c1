//! Tests alarms as Kubernetes Events.

use super::server::{SERVICES, Server};
use super::*;
use crate::model::alarm::{
    AlarmKey, AlarmNotification, AlarmType, AlarmView, ClearedBecause, NotificationEvent, Resource, Severity,
};
use crate::model::names::ServiceKey;
use crate::model::time::Timestamp;
use crate::model::verdict::Owner;

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn notice(cluster: &str, event: NotificationEvent) -> Arc<AlarmNotification> {
    let address = "1.1.1.100".parse().expect("an address");
    let resource = Resource::Vip(cluster.into(), ServiceKey::new("default", "web"), address);
    let (raised, text) = (Timestamp::UNIX_EPOCH, "no route".into());
    let alarm = AlarmView {
        severity: Severity::Critical,
        owner: Owner::Network,
        text,
        affected: 1,
        raised,
        last_change: raised,
        occurrences: 1,
        cause: None,
    };
    Arc::new(AlarmNotification {
        key: AlarmKey { kind: AlarmType::VipRouteMissing, resource },
        alarm,
        event,
        services: Arc::default(),
        omitted: 0,
    })
}

fn tell(running: &Running, cluster: &str, event: NotificationEvent) {
    running.notices.send(notice(cluster, event)).expect("the source listens");
}

#[tokio::test]
async fn raised_and_cleared_alarms_become_events_in_their_own_cluster_only() {
    let mut server = Server::start().await;
    server.answer(EVENTS, 201, "{}");
    server.answer("/api/v1/namespaces/default/services/web", 200, r#"{"metadata":{"uid":"u-1"}}"#);
    let mut running = Running::start(at(&server.url()), quick());
    server.watch(SERVICES).await;
    tell(&running, "c2", NotificationEvent::Raised);
    let cleared = NotificationEvent::Cleared(Timestamp::UNIX_EPOCH, ClearedBecause::Well);
    for (event, kind, reason) in
        [(NotificationEvent::Raised, "Warning", "VipRouteMissing"), (cleared, "Normal", "VipRouteMissingCleared")]
    {
        tell(&running, "c1", event);
        tell(&running, "c1", NotificationEvent::Changed);
        let (path, body) = server.posted().await;
        assert_eq!(path, EVENTS);
        let event: serde_json::Value = serde_json::from_str(&body).expect("an Event");
        assert_eq!((event["type"].as_str(), event["reason"].as_str()), (Some(kind), Some(reason)));
        assert_eq!(event["regarding"]["uid"], "u-1");
        assert_eq!(event["reportingInstance"], "leaf3");
    }
    assert!(running.events.try_recv().is_ok(), "the watches go on");
}

#[tokio::test]
async fn a_flapping_service_gets_one_event_for_all_changes_meanwhile() {
    let mut server = Server::start().await;
    server.answer(EVENTS, 201, "{}");
    let running = Running::start(at(&server.url()), Timings { events: Duration::from_millis(500), ..quick() });
    server.watch(SERVICES).await;
    tell(&running, "c1", NotificationEvent::Raised);
    server.posted().await;
    let first = tokio::time::Instant::now();
    for _ in 0..3 {
        tell(&running, "c1", NotificationEvent::Cleared(Timestamp::UNIX_EPOCH, ClearedBecause::Well));
        tell(&running, "c1", NotificationEvent::Raised);
    }
    let (_, body) = server.posted().await;
    assert!(first.elapsed() > Duration::from_millis(300), "{:?}", first.elapsed());
    let event: serde_json::Value = serde_json::from_str(&body).expect("an Event");
    assert_eq!((&event["series"]["count"], &event["type"]), (&6.into(), &"Warning".into()));
}

#[tokio::test]
async fn events_wait_as_long_as_retry_after_says() {
    let mut server = Server::start().await;
    server.answer(EVENTS, 429, r#"{"kind":"Status","code":429,"message":"busy"}"#);
    server.retry_after(1);
    let running = Running::start(at(&server.url()), quick());
    server.watch(SERVICES).await;
    tell(&running, "c1", NotificationEvent::Raised);
    server.posted().await;
    let refused = tokio::time::Instant::now();
    tell(&running, "c1", NotificationEvent::Cleared(Timestamp::UNIX_EPOCH, ClearedBecause::Well));
    server.posted().await;
    assert!(refused.elapsed() > Duration::from_millis(700), "{:?}", refused.elapsed());
}

#[tokio::test]
async fn a_refused_event_stops_neither_the_next_one_nor_the_watches() {
    let mut server = Server::start().await;
    server.answer(EVENTS, 403, r#"{"kind":"Status","code":403,"message":"forbidden"}"#);
    let running = Running::start(at(&server.url()), quick());
    server.watch(SERVICES).await;
    tell(&running, "c1", NotificationEvent::Raised);
    server.posted().await;
    tell(&running, "c1", NotificationEvent::Cleared(Timestamp::UNIX_EPOCH, ClearedBecause::Well));
    let (_, body) = server.posted().await;
    assert!(body.contains("VipRouteMissingCleared") && !body.contains("uid"), "{body}");
}

#[tokio::test]
async fn a_grouped_alarm_becomes_an_event_per_service_of_its_own_cluster() {
    let mut server = Server::start().await;
    for namespace in ["default", "shop"] {
        server.answer(&format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"), 201, "{}");
    }
    let running = Running::start(at(&server.url()), quick());
    server.watch(SERVICES).await;
    let services = [("c1", "default"), ("c1", "shop"), ("c2", "theirs")];
    let services = services.map(|(cluster, namespace)| (cluster.into(), ServiceKey::new(namespace, "web")));
    let one = notice("c1", NotificationEvent::Raised);
    let key = AlarmKey { kind: AlarmType::VipRouteMissing, resource: Resource::Cluster("c1".into()) };
    let group = AlarmNotification { key, services: services.into(), ..AlarmNotification::clone(&one) };
    running.notices.send(Arc::new(group)).expect("the source listens");
    let mut told = vec![server.posted().await.0, server.posted().await.0];
    told.sort();
    assert_eq!(told, ["default", "shop"].map(|it| format!("/apis/events.k8s.io/v1/namespaces/{it}/events")));
}
