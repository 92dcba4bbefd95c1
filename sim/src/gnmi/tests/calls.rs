use pb::Encoding::{Ascii, Json, JsonIetf, Proto};
use pb::get_request::DataType;
use tonic::Code;

use super::*;

fn one(notifications: &[pb::Notification]) -> Vec<String> {
    assert_eq!(notifications.len(), 1);
    texts(&notifications[0])
}

#[tokio::test]
async fn capabilities_name_the_version_the_models_and_the_encodings() {
    let lab = Lab::new().await;
    let answer = lab.client.clone().capabilities(known(pb::CapabilityRequest::default())).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!(answer.g_nmi_version, "0.10.0");
    let named =
        |name: &str| answer.supported_models.iter().any(|model| model.name == name && !model.version.is_empty());
    assert!(named("urn:nokia.com:srlinux:bgp:bgp:srl_nokia-bgp"), "{:?}", answer.supported_models);
    assert!(answer.supported_models.iter().any(|model| model.name.ends_with(":k8s-services")));
    assert_eq!(answer.supported_encodings, [4, 2, 3]);
}

#[tokio::test]
async fn calls_without_valid_credentials_are_refused() {
    let lab = Lab::new().await;
    let request = pb::CapabilityRequest::default;
    let status = lab.client.clone().capabilities(request()).await.expect_err("no credentials");
    assert_eq!(status.code(), Code::Unauthenticated);
    lab.gnmi.set_password("other");
    let status = lab.client.clone().capabilities(known(request())).await.expect_err("wrong password");
    assert_eq!(status.code(), Code::Unauthenticated);
    lab.gnmi.set_metadata_authentication(false);
    lab.client.clone().capabilities(request()).await.expect("nobody asks");
}

#[tokio::test]
async fn requests_beyond_the_rate_limit_are_refused() {
    let lab = Lab::new().await;
    lab.gnmi.set_rate_limit(Some(1));
    lab.get(&["/system"], JsonIetf).await.expect("the first is answered");
    let status = lab.get(&["/system"], JsonIetf).await.expect_err("the second is not");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn an_absent_entry_gives_a_notification_without_updates() {
    let lab = Lab::new().await;
    let answer = lab.get(&[NEIGHBOR], JsonIetf).await.expect("an answer");
    assert_eq!(one(&answer), Vec::<String>::new());
}

#[tokio::test]
async fn an_unknown_path_is_refused_with_the_options() {
    let lab = Lab::new().await;
    let status = lab.get(&["/system/state"], JsonIetf).await.expect_err("unknown");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("Path not valid - unknown element 'state'. Options are ["), "{status}");
}

#[tokio::test]
async fn json_ietf_has_prefixes_at_module_boundaries_and_on_identities() {
    let lab = Lab::new().await;
    lab.neighbor("established");
    let answer = lab.get(&[NEIGHBOR], JsonIetf).await.expect("an answer");
    let at = "/srl_nokia-network-instance:network-instance[name=vrf]/protocols/srl_nokia-bgp:bgp/neighbor[peer-address=192.168.1.11]";
    let afi = r#"[{"afi-safi-name":"srl_nokia-common:ipv4-unicast","received-routes":3}]"#;
    let value =
        format!(r#"{{"afi-safi":{afi},"established-transitions":"3","peer-as":65535,"session-state":"established"}}"#);
    let told = one(&answer);
    let (path, json) = told[0].split_once(' ').expect("a path and a value");
    assert_eq!(path, at);
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(read(json), read(&value));
    let answer = lab.get(&[&format!("{NEIGHBOR}/peer-as")], JsonIetf).await.expect("an answer");
    assert_eq!(one(&answer), [format!("{at}/peer-as 65535")]);
}

#[tokio::test]
async fn a_wildcard_below_containers_gives_one_update_at_the_last_container() {
    let lab = Lab::new().await;
    lab.lldp("ethernet-1/49");
    lab.lldp("mgmt0");
    for (key, names) in [("*", ["ethernet-1/49", "mgmt0"].as_slice()), ("ethernet-1/*", &["ethernet-1/49"])] {
        let answer =
            lab.get(&[&format!("/system/lldp/interface[name={key}]/admin-state")], JsonIetf).await.expect("one");
        let entries: Vec<String> =
            names.iter().map(|name| format!(r#"{{"admin-state":"enable","name":"{name}"}}"#)).collect();
        let entries = entries.join(",");
        let at = "/srl_nokia-system:system/srl_nokia-lldp:lldp";
        assert_eq!(one(&answer), [format!(r#"{at} {{"interface":[{entries}]}}"#)]);
    }
}

#[tokio::test]
async fn a_wildcard_above_containers_gives_one_update_at_the_root_with_arrays() {
    let lab = Lab::new().await;
    lab.neighbor("idle");
    let at = "/network-instance[name=*]/protocols/bgp/neighbor[peer-address=*]/session-state";
    let answer = lab.get(&[at], JsonIetf).await.expect("an answer");
    let neighbor = r#"{"peer-address":"192.168.1.11","session-state":"idle"}"#;
    let instance = format!(r#"{{"name":"vrf","protocols":{{"srl_nokia-bgp:bgp":{{"neighbor":[{neighbor}]}}}}}}"#);
    assert_eq!(one(&answer), [format!(r#" {{"srl_nokia-network-instance:network-instance":[{instance}]}}"#)]);
}

#[tokio::test]
async fn proto_and_ascii_give_leaves_with_bare_names_and_typed_values() {
    let lab = Lab::new().await;
    lab.neighbor("idle");
    let answer = lab.get(&[NEIGHBOR], Proto).await.expect("an answer");
    let told = one(&answer);
    assert!(told.contains(&format!("{NEIGHBOR}/session-state StringVal(\"idle\")")), "{told:?}");
    assert!(told.contains(&format!("{NEIGHBOR}/established-transitions UintVal(3)")), "{told:?}");
    let routes = format!("{NEIGHBOR}/afi-safi[afi-safi-name=ipv4-unicast]/received-routes");
    assert!(told.contains(&format!("{routes} UintVal(3)")), "{told:?}");
    let answer = lab.get(&[&routes], Ascii).await.expect("an answer");
    assert_eq!(one(&answer), [format!("{routes} AsciiVal(\"3\")")]);
}

#[tokio::test]
async fn plain_json_is_refused_except_by_older_releases() {
    let lab = Lab::new().await;
    let status = lab.get(&["/system"], Json).await.expect_err("refused");
    assert!(status.message().contains("Encoding 'JSON' is not supported"), "{status}");
    let lab = Lab::with(with_switches(GnmiSwitches { plain_json: true, ..GnmiSwitches::default() })).await;
    lab.neighbor("idle");
    let answer = lab.get(&[&format!("{NEIGHBOR}/session-state")], Json).await.expect("an answer");
    assert_eq!(one(&answer), [format!("{NEIGHBOR}/session-state \"idle\"")]);
}

fn update(at: &str, value: Value) -> pb::Update {
    let value = Some(Typed::JsonIetfVal(value.to_string().into()));
    pb::Update { path: Some(path(at).to_gnmi()), val: Some(pb::TypedValue { value }), ..pb::Update::default() }
}

#[tokio::test]
async fn set_values_are_config_and_applications_publish_their_state_themselves() {
    let lab = Lab::new().await;
    let request = pb::SetRequest {
        update: vec![
            update(CLUSTER, json!({"k8s-services:kubeconfig": "/k"})),
            update(NEIGHBOR, json!({"peer-as": 1})),
        ],
        ..pb::SetRequest::default()
    };
    let answer = lab.set(request).await.expect("committed");
    assert_eq!(answer.response.len(), 2);
    let kubeconfig = format!("{CLUSTER}/kubeconfig");
    let answer = lab.get_type(&[&kubeconfig], JsonIetf, DataType::Config).await.expect("an answer");
    assert_eq!(one(&answer), ["/k8s-services:k8s-services/cluster[name=c1]/kubeconfig \"/k\""]);
    assert!(one(&lab.get(&[&kubeconfig], JsonIetf).await.expect("an answer")).is_empty());
    let peer_as = format!("{NEIGHBOR}/peer-as");
    assert_eq!(one(&lab.get(&[&peer_as], Proto).await.expect("an answer")), [format!("{peer_as} UintVal(1)")]);
    assert!(one(&lab.get_type(&[&peer_as], Proto, DataType::State).await.expect("an answer")).is_empty());
    lab.set(pb::SetRequest { delete: vec![path(CLUSTER).to_gnmi()], ..pb::SetRequest::default() }).await.expect("done");
    assert!(one(&lab.get_type(&[&kubeconfig], JsonIetf, DataType::Config).await.expect("an answer")).is_empty());
}

#[tokio::test]
async fn an_invalid_value_is_refused_with_its_node() {
    let lab = Lab::new().await;
    for (at, value, message) in [
        (CLUSTER, json!({"speaker": "carrier-pigeon"}), "/k8s-services/cluster[name=c1]/speaker: invalid value"),
        (CLUSTER, json!({"nonsense": 1}), "unknown element 'nonsense'"),
        ("/k8s-services/oper-state", json!("up"), "state cannot be configured"),
    ] {
        let request = pb::SetRequest { update: vec![update(at, value)], ..pb::SetRequest::default() };
        let status = lab.set(request).await.expect_err(message);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(message), "{status}");
    }
}

#[tokio::test]
async fn a_stopped_server_is_unreachable_until_started_again() {
    let lab = Lab::new().await;
    lab.gnmi.stop();
    lab.get(&["/system"], JsonIetf).await.expect_err("nobody is there");
    lab.gnmi.start().await.expect("the server starts");
    lab.get(&["/system"], JsonIetf).await.expect("an answer");
}

#[tokio::test]
async fn gnmi_is_also_served_on_tcp() {
    let tcp = Some("127.0.0.1:0".parse().expect("an address"));
    let lab = Lab::with(GnmiOptions { tcp, ..GnmiOptions::new() }).await;
    let address = lab.gnmi.tcp_address().expect("bound");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = GNmiClient::new(endpoint.connect().await.expect("the client connects"));
    client.capabilities(known(pb::CapabilityRequest::default())).await.expect("an answer");
}
