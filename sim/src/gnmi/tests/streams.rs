use pb::Encoding::{JsonIetf, Proto};
use pb::SubscriptionMode::{OnChange, Sample, TargetDefined};
use tonic::Code;

use super::*;

const IETF_NEIGHBOR: &str = "/srl_nokia-network-instance:network-instance[name=vrf]/protocols/srl_nokia-bgp:bgp/neighbor[peer-address=192.168.1.11]";
const ANY_STATE: &str = "/network-instance[name=*]/protocols/bgp/neighbor[peer-address=*]/session-state";

#[tokio::test]
async fn a_leaf_is_sent_as_a_one_member_object_of_its_entry_and_deleted_as_a_leaf() {
    let lab = Lab::new().await;
    lab.neighbor("active");
    let mut stream = lab.on_change(ANY_STATE, JsonIetf).await;
    assert_eq!(stream.until_sync().await, [format!("{IETF_NEIGHBOR} {{\"session-state\":\"active\"}}")]);
    lab.neighbor("established");
    assert_eq!(stream.notification().await, [format!("{IETF_NEIGHBOR} {{\"session-state\":\"established\"}}")]);
    lab.delete(NEIGHBOR);
    assert_eq!(stream.notification().await, [format!("delete {IETF_NEIGHBOR}/session-state")]);
}

#[tokio::test]
async fn changes_elsewhere_and_writes_of_the_same_value_send_nothing() {
    let lab = Lab::new().await;
    let mut stream = lab.on_change(&format!("{CLUSTER}/oper-state"), Proto).await;
    assert!(stream.until_sync().await.is_empty());
    lab.write(CLUSTER, json!({"oper-state": "up"}));
    lab.write(CLUSTER, json!({"oper-state": "up", "service-count": 2}));
    lab.write("/k8s-services", json!({"version": "1"}));
    lab.write(CLUSTER, json!({"oper-state": "down", "service-count": 2}));
    assert_eq!(stream.notification().await, [format!("{CLUSTER}/oper-state StringVal(\"up\")")]);
    assert_eq!(stream.notification().await, [format!("{CLUSTER}/oper-state StringVal(\"down\")")]);
}

#[tokio::test]
async fn a_removed_entry_is_deleted_as_a_whole_for_a_subscription_to_its_list() {
    let lab = Lab::new().await;
    lab.neighbor("established");
    let mut stream = lab.on_change("/network-instance[name=vrf]/protocols/bgp/neighbor", JsonIetf).await;
    let first = stream.until_sync().await;
    assert_eq!(first.len(), 2, "the neighbor and its address family: {first:?}");
    assert!(first[1].starts_with(&format!("{IETF_NEIGHBOR}/afi-safi[afi-safi-name=srl_nokia-common:ipv4-unicast] ")));
    lab.write(NEIGHBOR, json!({"session-state": "established"}));
    let mut told = stream.notification().await;
    told.sort();
    assert_eq!(
        told,
        [
            format!("delete {IETF_NEIGHBOR}/afi-safi[afi-safi-name=srl_nokia-common:ipv4-unicast]"),
            format!("delete {IETF_NEIGHBOR}/established-transitions"),
            format!("delete {IETF_NEIGHBOR}/peer-as"),
        ]
    );
    lab.delete(NEIGHBOR);
    assert_eq!(stream.notification().await, [format!("delete {IETF_NEIGHBOR}")]);
}

#[tokio::test]
async fn once_sends_everything_and_ends() {
    let lab = Lab::new().await;
    lab.write(CLUSTER, json!({"oper-state": "up"}));
    let once = pb::subscription_list::Mode::Once.into();
    let mut stream = lab.subscribe(pb::SubscriptionList { mode: once, ..list("/", OnChange, Proto) }).await;
    assert_eq!(stream.until_sync().await, [format!("{CLUSTER}/oper-state StringVal(\"up\")")]);
    assert_eq!(stream.next().await.expect("an orderly end"), None);
}

#[tokio::test]
async fn a_poll_sends_everything_again() {
    let lab = Lab::new().await;
    let poll = pb::subscription_list::Mode::Poll.into();
    let mut stream = lab.subscribe(pb::SubscriptionList { mode: poll, ..list(CLUSTER, OnChange, Proto) }).await;
    assert!(stream.until_sync().await.is_empty());
    lab.write(CLUSTER, json!({"oper-state": "up"}));
    let request = Some(pb::subscribe_request::Request::Poll(pb::Poll {}));
    let poll = pb::SubscribeRequest { request, ..pb::SubscribeRequest::default() };
    stream.requests.send(poll).expect("the request is open");
    assert_eq!(stream.until_sync().await, [format!("{CLUSTER}/oper-state StringVal(\"up\")")]);
}

#[tokio::test]
async fn updates_only_omits_the_initial_values() {
    let lab = Lab::new().await;
    lab.write(CLUSTER, json!({"oper-state": "up"}));
    let list = pb::SubscriptionList { updates_only: true, ..list(CLUSTER, OnChange, Proto) };
    let mut stream = lab.subscribe(list).await;
    assert!(stream.until_sync().await.is_empty());
    lab.write(CLUSTER, json!({"oper-state": "down"}));
    assert_eq!(stream.notification().await, [format!("{CLUSTER}/oper-state StringVal(\"down\")")]);
}

#[tokio::test]
async fn samples_repeat_values_unless_redundant_ones_are_suppressed() {
    let lab = Lab::new().await;
    lab.write(CLUSTER, json!({"oper-state": "up", "service-count": 1}));
    let mut stream = lab.subscribe(list(&format!("{CLUSTER}/oper-state"), Sample, Proto)).await;
    let told = [format!("{CLUSTER}/oper-state StringVal(\"up\")")];
    assert_eq!(stream.until_sync().await, told);
    assert_eq!(stream.notification().await, told, "a second later");
    let mut quiet = list(CLUSTER, Sample, Proto);
    quiet.subscription[0].suppress_redundant = true;
    let mut stream = lab.subscribe(quiet).await;
    assert_eq!(stream.until_sync().await.len(), 2);
    lab.write(CLUSTER, json!({"oper-state": "up", "service-count": 2}));
    assert_eq!(stream.notification().await, [format!("{CLUSTER}/service-count UintVal(2)")]);
}

#[tokio::test]
async fn a_heartbeat_repeats_unchanged_values() {
    let lab = Lab::new().await;
    lab.write(CLUSTER, json!({"oper-state": "up"}));
    let mut beating = list(CLUSTER, OnChange, Proto);
    beating.subscription[0].heartbeat_interval = 1;
    let mut stream = lab.subscribe(beating).await;
    let told = stream.until_sync().await;
    assert_eq!(stream.notification().await, told);
}

#[tokio::test]
async fn target_defined_samples_what_the_schema_says_and_sends_the_rest_on_change() {
    let lab = Lab::new().await;
    let information = json!({"current-datetime": "2026-01-09T08:48:07.062Z", "version": "v1"});
    lab.write("/system/information", information);
    let mut stream = lab.subscribe(list("/system/information", TargetDefined, Proto)).await;
    assert_eq!(stream.until_sync().await.len(), 2);
    let clock = "/system/information/current-datetime StringVal(\"2026-01-09T08:48:07.062Z\")";
    assert_eq!(stream.notification().await, [clock], "sampled without a change");
}

#[tokio::test]
async fn streams_can_be_dropped_while_the_connection_stays() {
    let lab = Lab::new().await;
    let mut stream = lab.on_change(CLUSTER, Proto).await;
    stream.until_sync().await;
    lab.gnmi.drop_streams();
    assert_eq!(stream.next().await.expect_err("it ends").code(), Code::Unavailable);
    lab.on_change(CLUSTER, Proto).await.until_sync().await;
}

#[tokio::test]
async fn an_unknown_path_ends_the_subscription_with_the_reason() {
    let lab = Lab::new().await;
    let unknown =
        pb::Path { elem: vec![pb::PathElem { name: "none".to_owned(), ..Default::default() }], ..Default::default() };
    let mut request = list("/", OnChange, Proto);
    request.subscription[0].path = Some(unknown);
    let status = lab.subscribe(request).await.next().await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("unknown element 'none'"), "{status}");
}

#[tokio::test]
async fn a_large_table_is_sent_in_bounded_messages() {
    let lab = Lab::new().await;
    let ops = (0..1_000).map(|number| {
        let at = format!("{CLUSTER}/service[namespace=default][name=s{number}]");
        StateOp::Replace(path(&at), json!({"oper-state": "up"}))
    });
    lab.store.apply_state("test", ops.collect()).expect("accepted");
    let mut stream = lab.on_change("/k8s-services/cluster/service/oper-state", JsonIetf).await;
    assert_eq!(stream.until_sync().await.len(), 1_000);
    lab.store.wipe_owner("test");
    let mut deletes = 0;
    while deletes < 1_000 {
        deletes += stream.notification().await.len();
    }
    assert_eq!(deletes, 1_000);
}

#[tokio::test]
async fn updates_only_and_wildcards_can_be_refused() {
    let switches = GnmiSwitches { updates_only: false, wildcards: false, rate_limit: None, ..GnmiSwitches::default() };
    let lab = Lab::with(with_switches(switches)).await;
    let any = NEIGHBOR.replace("192.168.1.11", "*");
    for (at, updates_only, code) in
        [(NEIGHBOR, true, Code::Unimplemented), (any.as_str(), false, Code::InvalidArgument)]
    {
        let list = pb::SubscriptionList { updates_only, ..list(at, OnChange, JsonIetf) };
        let status = lab.subscribe(list).await.next().await.expect_err("refused");
        assert_eq!(status.code(), code, "{at}");
    }
}
