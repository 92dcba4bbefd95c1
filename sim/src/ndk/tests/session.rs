//! Tests of registration, subscriptions and keepalives.

use super::client::{PATIENCE, all_routes};
use super::*;
use pb::SdkMgrStatus::{Failed, Success};
use pb::notification_register_request::Operation;

#[tokio::test]
async fn registering_without_an_agent_name_fails_without_an_error_text() {
    let bench = Bench::start().await;
    let response = bench.client().await.named(None).try_register(pb::AgentRegistrationRequest::default()).await;
    assert_eq!((response.status(), response.error_str.as_str()), (Failed, ""));
}

#[tokio::test]
async fn an_application_unknown_to_app_mgr_is_refused() {
    let bench = Bench::start().await;
    let stranger = bench.client().await.named(Some("stranger"));
    let response = stranger.try_register(pb::AgentRegistrationRequest::default()).await;
    assert_eq!(response.status(), Failed);
    assert!(response.error_str.contains("stranger"), "{}", response.error_str);
}

#[tokio::test]
async fn every_call_needs_the_agent_name() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let nameless = client.named(None);
    assert_eq!(nameless.keep_alive().await.expect("an answer"), Failed);
    assert_eq!(nameless.notification_register(Operation::Create, 0, None).await.status(), Failed);
    assert_eq!(nameless.app_id("greeter").await.status(), Failed);
    assert_eq!(nameless.update(&[(".greeter", "{}")]).await.status(), Failed);
    let stream = client.create().await;
    assert!(nameless.try_open(stream).await.is_err());
}

#[tokio::test]
async fn registering_returns_the_id_that_app_id_lookups_return() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    assert_eq!(client.keep_alive().await.expect("an answer"), Failed);
    let id = client.register(pb::AgentRegistrationRequest::default()).await;
    assert_eq!(client.app_id("greeter").await.id, id);
    assert_eq!(client.app_id("nobody").await.status(), Failed);
    assert_eq!(client.keep_alive().await.expect("an answer"), Success);
}

#[tokio::test]
async fn a_one_step_subscription_succeeds_but_subscribes_to_nothing() {
    let bench = Bench::start().await;
    bench.ndk.apply([route("1.1.1.1/32", 7)]);
    let client = bench.registered().await;
    let response = client.notification_register(Operation::Create, 0, Some(all_routes())).await;
    assert_eq!(response.status(), Success);
    assert!(client.query(response.stream_id).await.subscriptions.is_empty());
    let mut reader = client.try_open(response.stream_id).await.expect("the stream opens");
    assert!(reader.is_quiet().await);
}

#[tokio::test]
async fn the_first_stream_and_subscription_are_both_1_and_can_be_queried_and_deleted() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let stream = client.create().await;
    let subscription = client.add(stream, all_routes()).await;
    assert_eq!((stream, subscription), (1, 1));
    let subscriptions = client.query(stream).await.subscriptions;
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0].subscription_id, 1);
    assert_eq!(client.delete_subscription(stream, subscription).await.status(), Success);
    assert_eq!(client.delete_subscription(stream, subscription).await.status(), Failed);
    assert_eq!(client.notification_register(Operation::Delete, stream, None).await.status(), Success);
    assert_eq!(client.query(stream).await.status(), Failed);
}

#[tokio::test]
async fn another_application_cannot_touch_a_stream() {
    let bench = Bench::start().await;
    bench.ndk.add_app(AppInfo { name: "other".to_owned(), ..AppInfo::default() });
    let client = bench.registered().await;
    let mut other = client.named(Some("other"));
    other.register(pb::AgentRegistrationRequest::default()).await;
    let stream = client.create().await;
    assert_eq!(
        other.notification_register(Operation::AddSubscription, stream, Some(all_routes())).await.status(),
        Failed
    );
    assert!(other.try_open(stream).await.is_err());
}

#[tokio::test]
async fn a_missing_keepalive_kills_the_application_and_ends_its_streams() {
    let bench = Bench::start().await;
    let mut news = bench.ndk.subscribe();
    let mut client = bench.client().await;
    client.register(pb::AgentRegistrationRequest { agent_liveliness: 1, ..Default::default() }).await;
    let mut reader = client.follow([all_routes()]).await;
    let missed = async { while news.recv().await.expect("news") != NdkEvent::KeepaliveMissed("greeter".to_owned()) {} };
    tokio::time::timeout(PATIENCE, missed).await.expect("the kill is ordered");
    assert!(reader.next().await.is_err());
    assert!(!bench.ndk.is_registered("greeter"));
}

#[tokio::test]
async fn unregistering_ends_streams_and_fails_a_second_time() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes()]).await;
    assert_eq!(client.unregister().await.status(), Success);
    assert!(reader.next().await.is_err());
    assert_eq!(client.unregister().await.status(), Failed);
}

#[tokio::test]
async fn acknowledgement_and_mirrored_state_cannot_be_combined() {
    let bench = Bench::start().await;
    let request =
        pb::AgentRegistrationRequest { wait_config_ack: true, auto_telemetry_state: true, ..Default::default() };
    let response = bench.client().await.try_register(request).await;
    assert_eq!(response.status(), Failed);
    assert!(response.error_str.contains("wait_config_ack"), "{}", response.error_str);
}
