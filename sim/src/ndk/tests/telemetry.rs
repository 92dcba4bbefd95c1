//! Tests of the state that applications write.

use serde_json::json;

use super::*;
use pb::SdkMgrStatus::{Failed, Success};

const ENTRY: &str = ".my_app.inter_face{.if_name==\"e-1_1\"}";

#[tokio::test]
async fn a_path_is_replaced_as_a_whole_but_entries_pushed_below_it_survive() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let both = [(".my_app", r#"{"admin-state":"enable","tag-name":["a"]}"#), (ENTRY, r#"{"mtu":9000}"#)];
    assert_eq!(client.update(&both).await.status(), Success);
    assert_eq!(client.update(&[(".my_app", r#"{"tag-name":["b"]}"#)]).await.status(), Success);
    assert_eq!(
        bench.state(),
        json!({ "my-app": { "tag-name": ["b"], "inter-face": [{ "if-name": "e-1_1", "mtu": 9000 }] } })
    );
    assert_eq!(client.delete(&[".my_app"]).await.status(), Success);
    assert_eq!(bench.state(), json!({ "my-app": { "inter-face": [{ "if-name": "e-1_1", "mtu": 9000 }] } }));
    assert_eq!(client.delete(&[ENTRY]).await.status(), Success);
    assert_eq!(bench.state(), json!({}));
}

#[tokio::test]
async fn both_spellings_of_paths_and_every_spelling_of_json_are_accepted() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    for (path, json) in [
        (".my-app.inter-face{.if-name==\"e-1_1\"}", r#"{"mtu":9000}"#),
        (ENTRY, r#"{"mtu":{"value":9000}}"#),
        (ENTRY, r#"{"if_name":"e-1_1","mtu":9000}"#),
    ] {
        let response = client.update(&[(path, json)]).await;
        assert_eq!(response.status(), Success, "{path} {json}: {}", response.error_str);
        let expected = json!({ "my-app": { "inter-face": [{ "if-name": "e-1_1", "mtu": 9000 }] } });
        assert_eq!(bench.state(), expected, "{path} {json}");
    }
}

#[tokio::test]
async fn either_path_spelling_can_be_refused() {
    for (accepted, refused, taken) in
        [(AcceptedPaths::Hyphen, ".my_app", ".my-app"), (AcceptedPaths::Underscore, ".my-app", ".my_app")]
    {
        let switches = Switches { telemetry_paths: accepted, ..Switches::default() };
        let bench = Bench::with(switches, ConfigFormat::Json).await;
        let client = bench.registered().await;
        let response = client.update(&[(refused, "{}")]).await;
        assert_eq!(response.status(), Failed);
        assert!(!response.error_str.is_empty());
        assert_eq!(client.delete(&[refused]).await.status(), Failed);
        assert_eq!(client.update(&[(taken, "{}")]).await.status(), Success);
    }
}

#[tokio::test]
async fn an_update_that_violates_the_yang_is_refused_by_name_and_as_a_whole() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    for (path, json, named) in [
        (".my_app.nothing", "{}", "nothing"),
        (".my_app", r#"{"nothing":1}"#, "nothing"),
        (".my_app.inter_face", "{}", "inter_face"),
        (ENTRY, r#"{"mtu":70000}"#, "70000"),
        (".my_app", "{", ".my_app"),
        ("my_app", "{}", "my_app"),
    ] {
        let response = client.update(&[(ENTRY, r#"{"mtu":1}"#), (path, json)]).await;
        assert_eq!(response.status(), Failed, "{path} {json}");
        assert!(response.error_str.contains(named), "{}", response.error_str);
        assert_eq!(bench.state(), json!({}));
    }
}

#[tokio::test]
async fn deleting_an_absent_entry_is_an_error_if_the_switch_is_set_so() {
    let bench = Bench::start().await;
    assert_eq!(bench.registered().await.delete(&[ENTRY]).await.status(), Success);
    let switches = Switches { delete_unknown_is_error: true, ..Switches::default() };
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    let client = bench.registered().await;
    let response = client.delete(&[ENTRY]).await;
    assert_eq!(response.status(), Failed);
    assert!(response.error_str.contains("never added"), "{}", response.error_str);
    client.update(&[(ENTRY, r#"{"mtu":1}"#)]).await;
    assert_eq!(client.delete(&[".my-app.inter-face{.if-name==\"e-1_1\"}"]).await.status(), Success);
    assert_eq!(client.delete(&[ENTRY]).await.status(), Failed);
}

#[tokio::test]
async fn unregistering_wipes_state_and_a_crash_leaves_it_until_the_next_registration() {
    let bench = Bench::start().await;
    let mut client = bench.registered().await;
    client.update(&[(ENTRY, r#"{"mtu":1}"#)]).await;
    client.unregister().await;
    assert_eq!(bench.state(), json!({}));
    client.register(pb::AgentRegistrationRequest::default()).await;
    client.update(&[(ENTRY, r#"{"mtu":1}"#)]).await;
    bench.ndk.app_gone("greeter");
    assert_ne!(bench.state(), json!({}));
    client.register(pb::AgentRegistrationRequest::default()).await;
    assert_eq!(bench.state(), json!({}));
}

#[tokio::test]
async fn state_of_a_crashed_application_can_stay_until_deleted() {
    let switches = Switches { stale_state: StaleState::UntilDeleted, ..Switches::default() };
    let bench = Bench::with(switches, ConfigFormat::Json).await;
    let mut client = bench.registered().await;
    client.update(&[(ENTRY, r#"{"mtu":1}"#)]).await;
    bench.ndk.stop().await;
    bench.ndk.start().await.expect("the NDK starts");
    client = bench.client().await;
    client.register(pb::AgentRegistrationRequest::default()).await;
    assert_ne!(bench.state(), json!({}));
    client.delete(&[ENTRY]).await;
    assert_eq!(bench.state(), json!({}));
}

#[tokio::test]
async fn telemetry_is_refused_as_configured_and_every_call_is_recorded() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let mut calls = bench.ndk.record().subscribe();
    let update = || client.update(&[(ENTRY, r#"{"mtu":1}"#)]);
    bench.ndk.refuse_telemetry(Refuse::Calls(2));
    assert_eq!([update().await.status(), update().await.status(), update().await.status()], [Failed, Failed, Success]);
    bench.ndk.refuse_telemetry(Refuse::Containing("inter_face".to_owned()));
    assert_eq!(update().await.status(), Failed);
    assert_eq!(client.update(&[(".my_app", "{}")]).await.status(), Success);
    bench.ndk.refuse_telemetry(Refuse::Everything);
    assert_eq!(client.delete(&[".my_app"]).await.status(), Failed);
    bench.ndk.refuse_telemetry(Refuse::Nothing);
    assert_eq!(client.delete(&[".my_app"]).await.status(), Success);
    let totals = bench.ndk.record().totals();
    assert_eq!((totals.calls, totals.updates, totals.deletes, totals.refused), (7, 2, 1, 4));
    let first = calls.recv().await.expect("a call");
    assert_eq!((first.app.as_str(), first.kind), ("greeter", TelemetryKind::Update));
    assert_eq!(first.paths, [ENTRY]);
    assert_eq!(first.bytes, ENTRY.len() + r#"{"mtu":1}"#.len());
    assert!(first.refused.is_some());
    assert_eq!(bench.ndk.record().calls().len(), 7);
}
