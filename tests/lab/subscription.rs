//! Tests of what a collector on the network receives over gNMI.

use std::time::Duration;

use srl_proto::gnmi as pb;
use srl_proto::gnmi::g_nmi_client::GNmiClient;
use srl_proto::gnmi::subscribe_response::Response as Told;
use srl_sim::gnmi::Gnmi;
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::bench::Says::{Has, Is, Nothing};
use crate::bench::{Bench, SERVICE};

const PATIENCE: Duration = Duration::from_secs(10);
/// The VIP's verdict, with keys in the order of their names, because they have no order on the wire.
const LEAF: &str =
    "/k8s-services/cluster[name=c1]/service[name=nginxhello][namespace=default]/vip[address=1.1.1.100]/oper-state";
const OPER_STATES: [&str; 5] = ["k8s-services", "cluster", "service", "vip", "oper-state"];

struct Collector {
    stream: tonic::Streaming<pb::SubscribeResponse>,
    /// Keeps the request open.
    _requests: tokio::sync::mpsc::Sender<pb::SubscribeRequest>,
}

impl Collector {
    /// Subscribes on change over TCP, with the switch's user.
    async fn start(channel: Channel) -> Self {
        let (requests, outgoing) = tokio::sync::mpsc::channel(1);
        requests.send(subscription()).await.expect("open");
        let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
        let stream =
            GNmiClient::new(channel).subscribe(with_credentials(Request::new(outgoing))).await.expect("accepted");
        Self { stream: stream.into_inner(), _requests: requests }
    }

    /// Returns the next message: values by path and deleted paths; `None` at the end of the initial values.
    async fn next(&mut self) -> Option<Vec<(String, Option<String>)>> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a message in time");
        match next.expect("the stream goes on").expect("no error").response.expect("a response") {
            Told::SyncResponse(_) => None,
            Told::Update(notification) => Some(read(&notification)),
            other => panic!("{other:?}"),
        }
    }
}

/// Connects over the network, as collectors do.
async fn connect(bench: &Bench, leaf: &str) -> Channel {
    let address = bench.lab.gnmi_server(leaf).and_then(Gnmi::tcp_address).expect("gNMI listens on TCP");
    Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect().await.expect("connected")
}

fn with_credentials<T>(mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert("username", "admin".parse().expect("ASCII"));
    request.metadata_mut().insert("password", "NokiaSrl1!".parse().expect("ASCII"));
    request
}

fn subscription() -> pb::SubscribeRequest {
    let elem = OPER_STATES.map(|name| pb::PathElem { name: name.to_owned(), ..Default::default() });
    let path = pb::Path { elem: elem.into(), ..Default::default() };
    let subscription =
        pb::Subscription { path: Some(path), mode: pb::SubscriptionMode::OnChange.into(), ..Default::default() };
    let list = pb::SubscriptionList {
        subscription: vec![subscription],
        mode: pb::subscription_list::Mode::Stream.into(),
        encoding: pb::Encoding::Proto.into(),
        ..Default::default()
    };
    pb::SubscribeRequest { request: Some(pb::subscribe_request::Request::Subscribe(list)), ..Default::default() }
}

fn read(notification: &pb::Notification) -> Vec<(String, Option<String>)> {
    let path = |path| srl_sim::path::Path::from_gnmi(notification.prefix.as_ref(), path).to_string();
    let deleted = notification.delete.iter().map(|it| (path(Some(it)), None));
    let updated = notification.update.iter().map(|it| {
        let value = it.val.as_ref().and_then(|val| val.value.as_ref());
        let Some(pb::typed_value::Value::StringVal(text)) = value else { panic!("{it:?}") };
        (path(it.path.as_ref()), Some(text.clone()))
    });
    deleted.chain(updated).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_on_change_subscription_sees_each_change_of_a_verdict_once() {
    let bench = Bench::healthy().await;
    let channel = connect(&bench, "leaf1").await;
    let stranger = GNmiClient::new(channel.clone()).subscribe(tokio_stream::once(subscription())).await;
    assert_eq!(stranger.err().map(|status| status.code()), Some(Code::Unauthenticated));
    let mut collector = Collector::start(channel).await;
    let leaf = LEAF.to_owned();
    assert_eq!(collector.next().await, Some(vec![(leaf.clone(), Some("up".to_owned()))]));
    assert_eq!(collector.next().await, None, "the end of the first values");

    let mut stated = bench.follow("leaf1", "oper-state");
    let session = "session-down: { leaf: leaf1, node: cluster1 }";
    let fib = "fib-failed: { leaf: leaf1, prefix: 1.1.1.100/32 }";
    let series = [
        (format!("pull: {{ {session} }}"), "degraded"),
        (format!("release: {{ {session} }}"), "up"),
        (format!("pull: {{ {fib} }}"), "down"),
        (format!("release: {{ {fib} }}"), "up"),
        ("scale: { cluster: c1, name: nginxhello, replicas: 0 }".to_owned(), "down"),
        ("scale: { cluster: c1, name: nginxhello, replicas: 3 }".to_owned(), "up"),
    ];
    for (action, state) in series {
        bench.act(&[&action]).await;
        bench.until("leaf1", &[("oper-state", Is(state))]).await;
        assert_eq!(collector.next().await, Some(vec![(leaf.clone(), Some(state.to_owned()))]), "after '{action}'");
        assert_eq!(stated.values(), [Some(state.to_owned())], "after '{action}'");
        // Other leaves that change while the state stays the same are not sent to this subscription.
        let detail = if state == "up" { Nothing } else { Has(" ") };
        bench.until("leaf1", &[("oper-detail", detail)]).await;
        // Waits until the speakers have withdrawn the route for lack of pods, which happens after the state has
        // changed, so that it does not interfere with the next step.
        if action.contains("replicas: 0") {
            bench.until("leaf1", &[("route-owner", Nothing)]).await;
        }
    }
    bench.act(&["delete: { cluster: c1, kind: Service, name: nginxhello }"]).await;
    bench.until("leaf1", &[(SERVICE, Nothing)]).await;
    // The route may be withdrawn before the agent hears that the service was deleted. Both are changes, and both are
    // sent.
    let stated = stated.values();
    assert_eq!(stated.last(), Some(&None), "{stated:?}");
    for state in stated {
        assert_eq!(collector.next().await, Some(vec![(leaf.clone(), state)]));
    }
    bench.down().await;
}
