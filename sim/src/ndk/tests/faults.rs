//! Tests of faults.

use std::time::{Duration, Instant};

use super::client::{QUIET, all_routes};
use super::*;
use pb::SdkMgrStatus::{Failed, Success};

#[tokio::test]
async fn dropped_streams_end_while_calls_keep_working() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes()]).await;
    bench.ndk.drop_streams();
    assert!(reader.next().await.is_err());
    assert_eq!(client.keep_alive().await.expect("an answer"), Success);
    assert!(client.try_open(1).await.is_err());
    assert_eq!(client.create().await, 2);
}

#[tokio::test]
async fn dropped_streams_can_be_opened_again_if_the_switch_is_set_so() {
    let bench = Bench::with(Switches { streams_survive_drop: true, ..Switches::default() }, ConfigFormat::Json).await;
    bench.ndk.apply([route("1.1.1.1/32", 7)]);
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes()]).await;
    reader.take(1).await;
    bench.ndk.drop_streams();
    assert!(reader.next().await.is_err());
    let mut again = client.try_open(1).await.expect("the stream opens");
    assert_eq!(again.take(1).await.len(), 1);
}

#[tokio::test]
async fn a_restart_cuts_connections_removes_the_socket_and_loses_registrations() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    let mut reader = client.follow([all_routes()]).await;
    bench.ndk.stop().await;
    assert!(reader.next().await.is_err());
    assert!(client.keep_alive().await.is_err());
    assert!(!bench.ndk.socket().exists());
    assert!(Client::try_connect(bench.ndk.socket(), "greeter").await.is_err());
    bench.ndk.start().await.expect("the NDK starts again");
    let mut client = bench.client().await;
    assert_eq!(client.keep_alive().await.expect("an answer"), Failed);
    client.register(pb::AgentRegistrationRequest::default()).await;
    assert_eq!(client.create().await, 1);
}

#[tokio::test]
async fn a_frozen_ndk_accepts_connections_but_answers_nothing_until_thawed() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    bench.ndk.freeze(true);
    assert!(tokio::time::timeout(QUIET, client.keep_alive()).await.is_err());
    let socket = bench.ndk.socket().to_owned();
    assert!(tokio::net::UnixStream::connect(socket).await.is_ok());
    bench.ndk.freeze(false);
    assert_eq!(client.keep_alive().await.expect("an answer"), Success);
}

#[tokio::test]
async fn calls_are_delayed_as_configured() {
    let bench = Bench::start().await;
    let client = bench.registered().await;
    bench.ndk.delay_calls(Duration::from_millis(120));
    let before = Instant::now();
    client.keep_alive().await.expect("an answer");
    assert!(before.elapsed() >= Duration::from_millis(120));
    bench.ndk.delay_calls(Duration::ZERO);
    assert_eq!(client.keep_alive().await.expect("an answer"), Success);
}

#[tokio::test]
async fn the_ndk_also_listens_on_tcp_if_configured() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tcp = Some("127.0.0.1:0".parse().expect("an address"));
    let options = NdkOptions { socket: folder.path().join(SOCKET_NAME), tcp, switches: Switches::default() };
    let ndk = serve(options, Datastore::new(schema())).await.expect("the NDK starts");
    let address = ndk.tcp_address().expect("an address");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an endpoint");
    let channel = endpoint.connect().await.expect("the NDK accepts");
    let mut client = pb::sdk_mgr_service_client::SdkMgrServiceClient::new(channel);
    let response = client.keep_alive(pb::KeepAliveRequest {}).await.expect("an answer").into_inner();
    assert_eq!(response.status(), Failed);
}
