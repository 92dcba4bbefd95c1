//! Tests of differences between releases: what is accepted, and what is refused.

use serde_json::json;

use super::client::{all_config, all_routes};
use super::*;
use pb::SdkMgrStatus::{Failed, Success};
use pb::notification_register_request::Operation;

async fn bench(change: impl FnOnce(&mut Switches)) -> (Bench, Client) {
    let mut switches = Switches::default();
    change(&mut switches);
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    let client = bench.registered().await;
    (bench, client)
}

#[tokio::test]
async fn enumerations_are_accepted_in_one_form_and_refused_in_others() {
    for (form, taken) in [
        (Enumerations::Plain, r#"{"oper-word":"not-yet"}"#),
        (Enumerations::Prefixed, r#"{"oper-word":"OPER_WORD_not-yet"}"#),
        (Enumerations::PrefixedUnderscores, r#"{"oper-word":{"value":"OPER_WORD_not_yet"}}"#),
    ] {
        let (bench, client) = bench(|switches| switches.enumerations = form).await;
        for word in ["not-yet", "OPER_WORD_not-yet", "OPER_WORD_not_yet"] {
            let json = json!({ "oper-word": word }).to_string();
            let answer = client.update(&[(".my-app", &json)]).await;
            let expected = if taken.contains(&format!("\"{word}\"")) { Success } else { Failed };
            assert_eq!(answer.status(), expected, "{form:?} {word}: {}", answer.error_str);
        }
        assert_eq!(client.update(&[(".my-app", taken)]).await.status(), Success, "{form:?}");
        assert_eq!(bench.state(), json!({ "my-app": { "oper-word": "not-yet" } }), "{form:?}");
    }
}

#[tokio::test]
async fn a_misspelled_path_can_be_accepted_but_not_shown() {
    let (bench, client) = bench(|switches| {
        switches.telemetry_paths = AcceptedPaths::Underscore;
        switches.misspelled = Misspelled::NotShown;
    })
    .await;
    assert_eq!(client.update(&[(".my-app", r#"{"admin-state":"enable"}"#)]).await.status(), Success);
    assert_eq!(bench.state(), json!({}));
    assert_eq!(client.delete(&[".my-app"]).await.status(), Success);
    assert_eq!(client.update(&[(".my_app", r#"{"admin-state":"enable"}"#)]).await.status(), Success);
    assert_eq!(bench.state(), json!({ "my-app": { "admin-state": "enable" } }));
}

#[tokio::test]
async fn a_container_below_the_root_can_be_refused_at_its_own_path() {
    let (bench, client) = bench(|switches| switches.containers_below_root = false).await;
    let refused = client.update(&[(".my-app.alarm-policy", r#"{"raise-hold-time":1}"#)]).await;
    assert_eq!(refused.status(), Failed);
    assert!(refused.error_str.contains("/my-app/alarm-policy"), "{}", refused.error_str);
    assert_eq!(client.update(&[(".my-app", r#"{"alarm-policy":{"raise-hold-time":1}}"#)]).await.status(), Success);
    let entry = [(".my-app.inter-face{.if-name==\"a\"}", "{}")];
    assert_eq!(client.update(&entry).await.status(), Success);
    assert_eq!(bench.state()["my-app"]["alarm-policy"], json!({ "raise-hold-time": 1 }));
}

#[tokio::test]
async fn a_second_stream_can_be_refused_until_the_first_is_gone() {
    let (_bench, client) = bench(|switches| switches.one_stream = true).await;
    let first = client.create().await;
    let second = client.notification_register(Operation::Create, 0, None).await;
    assert_eq!(second.status(), Failed);
    client.add(first, all_routes()).await;
    client.add(first, all_config()).await;
    assert_eq!(client.notification_register(Operation::Delete, first, None).await.status(), Success);
    assert_eq!(client.notification_register(Operation::Create, 0, None).await.status(), Success);
}

#[tokio::test]
async fn an_open_stream_can_refuse_new_subscriptions() {
    let (_bench, client) = bench(|switches| switches.subscribe_while_open = false).await;
    let stream = client.create().await;
    client.add(stream, all_routes()).await;
    let _reader = client.try_open(stream).await.expect("the stream opens");
    let late = client.notification_register(Operation::AddSubscription, stream, Some(all_config())).await;
    assert_eq!(late.status(), Failed);
}

#[tokio::test]
async fn network_instances_can_be_sent_empty_first() {
    let (bench, client) = bench(|switches| switches.zero_network_instances_first = true).await;
    let data = pb::NetworkInstanceData { network_instance_id: 7, oper_is_up: true, ..Default::default() };
    bench.ndk.apply([(Key::NetworkInstance("red".to_owned()), Some(Row::NetworkInstance(Box::new(data.clone()))))]);
    let types = pb::notification_register_request::SubscriptionTypes::NetworkInstance(Default::default());
    let mut reader = client.follow([types]).await;
    let told = reader.take(2).await.into_iter().map(|notification| match notification.subscription_types {
        Some(pb::notification::SubscriptionTypes::NetworkInstance(it)) => it.data.unwrap_or_default(),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [pb::NetworkInstanceData::default(), data]);
}

#[tokio::test]
async fn a_message_of_more_than_4_mib_is_refused_without_breaking_the_connection() {
    let (_bench, client) = bench(|_| {}).await;
    let big = json!({ "tag-name": ["x".repeat(5 << 20)] }).to_string();
    let refused = client.try_update(&[(".my-app", &big)]).await.expect_err("too large");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    assert_eq!(client.keep_alive().await.expect("an answer"), Success);
}

#[tokio::test]
async fn a_message_of_more_than_4_mib_can_break_only_its_own_connection() {
    let (bench, client) = bench(|switches| switches.too_large = TooLarge::BreaksConnection).await;
    let other = bench.client().await;
    let mut reader = client.follow([all_routes()]).await;
    let big = json!({ "tag-name": ["x".repeat(5 << 20)] }).to_string();
    let refused = client.try_update(&[(".my-app", &big)]).await.expect_err("too large");
    assert_ne!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    assert!(reader.next().await.is_err(), "the stream of the same connection");
    assert_eq!(other.keep_alive().await.expect("an answer"), Success);
}
