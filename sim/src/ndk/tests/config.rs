//! Tests of configuration delivery.

use serde_json::{Value, json};

use super::client::{QUIET, Reader, all_config};
use super::*;
use pb::SdkMgrStatus::{Failed, Success};
use pb::acknowledge_config_request_info::Result as Word;
use pb::notification::SubscriptionTypes as Told;

type Line = (pb::SdkMgrOperation, String, String);

/// Returns what is sent up to and including the end of the commit.
async fn one_commit(reader: &mut Reader) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        for notification in reader.take(1).await {
            let Some(Told::Config(config)) = notification.subscription_types else { panic!("configuration") };
            let json = match config.data.clone().and_then(|data| data.data_type) {
                Some(pb::config_data::DataType::Json(json)) => json,
                _ => String::new(),
            };
            let key = config.key.clone().unwrap_or_default();
            lines.push((config.op(), key.js_path_with_keys, json));
        }
        if lines.last().is_some_and(|(_, path, _)| path == ".commit.end") {
            return lines;
        }
    }
}

fn lines(expected: &[(pb::SdkMgrOperation, &str, &str)]) -> Vec<Line> {
    expected.iter().map(|(op, path, json)| (*op, (*path).to_owned(), (*json).to_owned())).collect()
}

fn sample() -> Value {
    json!({ "my-app": { "in-octets": "7", "inter-face": [{ "if-name": "e-1/1" }] } })
}

async fn acknowledging(bench: &Bench) -> (Client, Reader) {
    let mut client = bench.client().await;
    client.register(pb::AgentRegistrationRequest { wait_config_ack: true, ..Default::default() }).await;
    let mut reader = client.follow([all_config()]).await;
    one_commit(&mut reader).await;
    assert_eq!(client.acknowledge(Vec::new()).await.status(), Success);
    (client, reader)
}

#[tokio::test]
async fn an_acknowledging_application_is_ready_once_it_subscribes_to_configuration() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    client.register(pb::AgentRegistrationRequest { wait_config_ack: true, ..Default::default() }).await;
    assert!(!bench.ndk.is_ready("greeter"));
    let mut reader = client.follow([all_config()]).await;
    one_commit(&mut reader).await;
    assert!(bench.ndk.is_ready("greeter"));
    let other = Bench::start().await;
    let _client = other.registered().await;
    assert!(other.ndk.is_ready("greeter"), "one that does not is ready when it is registered");
}

fn error(path: &str, message: &str) -> pb::AcknowledgeConfigRequestInfo {
    pb::AcknowledgeConfigRequestInfo {
        js_path_with_keys: path.to_owned(),
        result: Some(Word::Error(message.to_owned())),
    }
}

#[tokio::test]
async fn an_application_without_configuration_gets_only_the_commit_end() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let mut reader = client.follow([all_config()]).await;
    let expected = lines(&[(pb::SdkMgrOperation::Update, ".commit.end", r#"{"commit_seq":0}"#)]);
    assert_eq!(one_commit(&mut reader).await, expected);
}

#[tokio::test]
async fn existing_configuration_is_replayed_and_commits_are_delivered_as_changes() {
    use pb::SdkMgrOperation::{Create, Delete, Update};
    let bench = Bench::start().await;
    bench.commit(sample()).await.expect("nobody objects");
    let client = bench.registered().await;
    let mut reader = client.follow([all_config()]).await;
    let entry = r#".my_app.inter_face{.if_name=="e-1/1"}"#;
    assert_eq!(
        one_commit(&mut reader).await,
        lines(&[
            (Create, ".my_app", r#"{"admin-state":"enable","in-octets":"7"}"#),
            (Create, entry, r#"{"timers":{"hold-time":3}}"#),
            (Update, ".commit.end", r#"{"commit_seq":0}"#),
        ])
    );
    let mut changed = sample();
    changed["my-app"]["inter-face"] = json!([]);
    changed["my-app"]["admin-state"] = "disable".into();
    bench.commit(changed).await.expect("nobody objects");
    let told = one_commit(&mut reader).await;
    assert_eq!(
        told[..2],
        lines(&[
            (Update, ".my_app", r#"{"admin-state":"disable","in-octets":"7"}"#),
            (Delete, entry, r#"{"timers":{"hold-time":3}}"#),
        ])
    );
    assert!(told[2].2.starts_with(r#"{"commit_seq":"#));
    assert!(reader.is_quiet().await);
}

#[tokio::test]
async fn a_path_filter_hides_the_end_of_commits() {
    let bench = Bench::start().await;
    bench.commit(sample()).await.expect("nobody objects");
    let client = bench.registered().await;
    let key = pb::ConfigKey { js_path: ".my_app.*".to_owned(), ..pb::ConfigKey::default() };
    let wanted = pb::ConfigSubscriptionRequest { key: Some(key) };
    let wanted = pb::notification_register_request::SubscriptionTypes::Config(wanted);
    let mut reader = client.follow([wanted]).await;
    assert_eq!(reader.take(2).await.len(), 2);
    assert!(reader.is_quiet().await);
}

#[tokio::test]
async fn a_commit_waits_for_its_acknowledgement_and_ignores_a_second_one() {
    let bench = Bench::start().await;
    let (client, mut reader) = acknowledging(&bench).await;
    let commit = bench.commit(sample());
    tokio::pin!(commit);
    assert!(tokio::time::timeout(QUIET, &mut commit).await.is_err());
    one_commit(&mut reader).await;
    assert_eq!(client.acknowledge(Vec::new()).await.status(), Success);
    assert_eq!(commit.await, Ok(Vec::new()));
    assert_eq!(client.acknowledge(vec![error(".my-app", "too late")]).await.status(), Success);
    let again = bench.commit(json!({}));
    let answer = async {
        one_commit(&mut reader).await;
        client.acknowledge(Vec::new()).await
    };
    assert_eq!(tokio::join!(again, answer).0, Ok(Vec::new()));
}

#[tokio::test]
async fn an_objection_refuses_the_commit_and_the_old_configuration_is_redelivered() {
    use pb::SdkMgrOperation::{Delete, Update};
    let bench = Bench::start().await;
    let (client, mut reader) = acknowledging(&bench).await;
    let first = async {
        one_commit(&mut reader).await;
        client.acknowledge(Vec::new()).await;
    };
    let (accepted, ()) = tokio::join!(bench.commit(json!({ "my-app": { "in-octets": "1" } })), first);
    assert_eq!(accepted, Ok(Vec::new()));
    let answers = async {
        one_commit(&mut reader).await;
        client.acknowledge(vec![error(".my-app.in-octets", "7 is too many")]).await;
        let told = one_commit(&mut reader).await;
        client.acknowledge(Vec::new()).await;
        told
    };
    let (refused, told) = tokio::join!(bench.commit(sample()), answers);
    let problem = Problem { path: "/my-app/in-octets".to_owned(), message: "7 is too many".to_owned() };
    assert_eq!(refused, Err(CommitError::Refused(vec![problem])));
    assert_eq!(told[0], (Update, ".my_app".to_owned(), r#"{"admin-state":"enable","in-octets":"1"}"#.to_owned()));
    assert_eq!((told[1].0, told[1].1.as_str()), (Delete, r#".my_app.inter_face{.if_name=="e-1/1"}"#));
    assert_eq!(told.len(), 3);
}

#[tokio::test]
async fn warnings_do_not_refuse_a_commit_but_silence_does() {
    let switches = Switches { acknowledge_within: QUIET, ..Switches::default() };
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    let (client, mut reader) = acknowledging(&bench).await;
    let warning = pb::AcknowledgeConfigRequestInfo {
        js_path_with_keys: ".my-app".to_owned(),
        result: Some(Word::Warning("unusual".to_owned())),
    };
    let answer = async {
        one_commit(&mut reader).await;
        client.acknowledge(vec![warning]).await
    };
    let remark = Problem { path: "/my-app".to_owned(), message: "unusual".to_owned() };
    assert_eq!(tokio::join!(bench.commit(sample()), answer).0, Ok(vec![remark]));
    let silence = bench.commit(json!({})).await.expect_err("silence");
    assert!(silence.to_string().contains("greeter"), "{silence}");
}

#[tokio::test]
async fn an_application_that_unregisters_does_not_block_a_commit() {
    let bench = Bench::start().await;
    let (client, mut reader) = acknowledging(&bench).await;
    let leave = async {
        one_commit(&mut reader).await;
        client.unregister().await
    };
    assert_eq!(tokio::join!(bench.commit(sample()), leave).0, Ok(Vec::new()));
}

#[tokio::test]
async fn acknowledging_fails_unless_requested_at_registration() {
    let bench = Bench::start().await;
    let response = bench.registered().await.acknowledge(Vec::new()).await;
    assert_eq!(response.status(), Failed);
    assert!(response.error_str.contains("wait_config_ack"), "{}", response.error_str);
}

#[tokio::test]
async fn configuration_is_mirrored_into_state_only_on_request() {
    let bench = Bench::start().await;
    bench.commit(sample()).await.expect("nobody objects");
    let mut client = bench.registered().await;
    assert_eq!(bench.state(), json!({}));
    client.register(pb::AgentRegistrationRequest { auto_telemetry_state: true, ..Default::default() }).await;
    assert_eq!(bench.state()["my-app"]["in-octets"], "7");
    bench.commit(json!({ "my-app": { "in-octets": "8" } })).await.expect("nobody objects");
    assert_eq!(bench.state()["my-app"]["in-octets"], "8");
    assert_eq!(bench.state()["my-app"].get("inter-face"), None);
}

#[tokio::test]
async fn configuration_is_delivered_as_proto_json_unless_requested_otherwise() {
    let bench = Bench::with(Switches::default(), ConfigFormat::default()).await;
    bench.commit(sample()).await.expect("nobody objects");
    let client = bench.registered().await;
    let mut reader = client.follow([all_config()]).await;
    let told = one_commit(&mut reader).await;
    assert_eq!(told[0].2, r#"{"admin_state":"ADMIN_STATE_enable","in_octets":{"value":"7"}}"#);
}

#[tokio::test]
async fn proto_json_wraps_an_entry_once_by_the_name_of_its_list() {
    let bench = Bench::with(Switches::default(), ConfigFormat::ProtoJson).await;
    let config = json!({ "my-app": { "tag-name": ["a"], "inter-face": [{ "if-name": "e1", "mtu": 9000 }] } });
    bench.commit(config).await.expect("nobody objects");
    let client = bench.registered().await;
    let told = one_commit(&mut client.follow([all_config()]).await).await;
    assert_eq!(told[0].2, r#"{"admin_state":"ADMIN_STATE_enable","tag_name":[{"value":"a"}]}"#);
    assert_eq!(told[1].1, r#".my_app.inter_face{.if_name=="e1"}"#);
    assert_eq!(told[1].2, r#"{"inter_face":{"mtu":{"value":9000},"timers":{"hold_time":{"value":3}}}}"#);
}

#[tokio::test]
async fn containers_are_nested_but_list_entries_are_not_and_keys_are_in_order() {
    let switches = Switches { deliver_defaults: false, ..Switches::default() };
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    let peers = json!([{ "address": "fe80::1%e-1_1", "up-time": "3" }]);
    let config = json!({ "my-app": {
        "alarm-policy": { "raise-hold-time": 10 },
        "inter-face": [{ "if-name": "e-1/1", "peer": peers }],
    }});
    bench.commit(config).await.expect("nobody objects");
    let client = bench.registered().await;
    let mut reader = client.follow([all_config()]).await;
    let told = reader.take(4).await;
    let key = |notification: &pb::Notification| match &notification.subscription_types {
        Some(Told::Config(config)) => config.key.clone().unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    let last = key(&told[2]);
    assert_eq!(last.js_path, ".my_app.inter_face.peer");
    assert_eq!(last.keys, ["e-1/1", "fe80::1%e-1_1"]);
    let path = r#".my_app.inter_face{.if_name=="e-1/1"}.peer{.address=="fe80::1%e-1_1"}"#;
    assert_eq!(last.js_path_with_keys, path);
    drop(reader);
    let told = one_commit(&mut client.follow([all_config()]).await).await;
    let json: Vec<_> = told.iter().map(|(_, _, json)| json.as_str()).collect();
    let root = r#"{"alarm-policy":{"raise-hold-time":10}}"#;
    assert_eq!(json, [root, "", r#"{"up-time":"3"}"#, r#"{"commit_seq":0}"#]);
}

#[tokio::test]
async fn config_paths_keep_hyphens_if_the_switch_is_set_so() {
    let switches = Switches { config_path_spelling: Spelling::Hyphen, ..Switches::default() };
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    bench.commit(sample()).await.expect("nobody objects");
    let client = bench.registered().await;
    let told = one_commit(&mut client.follow([all_config()]).await).await;
    assert_eq!(told[1].1, r#".my-app.inter-face{.if-name=="e-1/1"}"#);
}

#[tokio::test]
async fn a_removed_container_is_delivered_as_empty_and_its_entries_as_deleted() {
    use pb::SdkMgrOperation::{Delete, Update};
    let bench = Bench::start().await;
    bench.commit(sample()).await.expect("nobody objects");
    let client = bench.registered().await;
    let mut reader = client.follow([all_config()]).await;
    one_commit(&mut reader).await;
    bench.commit(json!({})).await.expect("nobody objects");
    let told = one_commit(&mut reader).await;
    assert_eq!((told[0].0, told[0].1.as_str()), (Delete, r#".my_app.inter_face{.if_name=="e-1/1"}"#));
    assert_eq!(told[1], (Update, ".my_app".to_owned(), "{}".to_owned()));
}

#[tokio::test]
async fn a_subscription_made_during_a_commit_gets_that_commit() {
    let bench = Bench::start().await;
    let (client, mut reader) = acknowledging(&bench).await;
    let meanwhile = async {
        one_commit(&mut reader).await;
        let told = one_commit(&mut client.follow([all_config()]).await).await;
        client.acknowledge(Vec::new()).await;
        told
    };
    let (committed, told) = tokio::join!(bench.commit(sample()), meanwhile);
    assert_eq!(committed, Ok(Vec::new()));
    assert_eq!(told.len(), 3);
}

#[tokio::test]
async fn a_stream_with_too_much_unread_configuration_is_ended() {
    let switches = Switches { unread_config_limit: 1, ..Switches::default() };
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    let client = bench.registered().await;
    bench.commit(sample()).await.expect("nobody objects");
    let mut reader = client.follow([all_config()]).await;
    assert!(reader.next().await.is_err());
}
