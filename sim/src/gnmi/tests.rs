mod agent;
mod calls;
mod streams;

use std::time::Duration;

use serde_json::{Value, json};
use srl_proto::gnmi as pb;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::{Gnmi, GnmiOptions, GnmiSwitches, SOCKET_NAME, serve};
use crate::datastore::{Datastore, StateOp};
use crate::path::Path;
use pb::g_nmi_client::GNmiClient;
use pb::subscribe_response::Response as Told;
use pb::typed_value::Value as Typed;

const CLUSTER: &str = "/k8s-services/cluster[name=c1]";
const NEIGHBOR: &str = "/network-instance[name=vrf]/protocols/bgp/neighbor[peer-address=192.168.1.11]";

/// A server with its own socket and datastore, and a client.
struct Lab {
    store: Datastore,
    gnmi: Gnmi,
    client: GNmiClient<Channel>,
    folder: tempfile::TempDir,
}

fn with_switches(switches: GnmiSwitches) -> GnmiOptions {
    GnmiOptions { switches, ..GnmiOptions::new() }
}

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

impl Lab {
    async fn new() -> Self {
        Self::with(with_switches(GnmiSwitches { rate_limit: None, ..GnmiSwitches::default() })).await
    }

    async fn with(options: GnmiOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Datastore::new(crate::schema::tests::schema());
        let socket = folder.path().join(SOCKET_NAME);
        let options = GnmiOptions { sockets: vec![socket.clone()], ..options };
        let gnmi = serve(options, store.clone()).await.expect("the server starts");
        let channel = tonic::transport::Endpoint::from_static("http://gnmi")
            .connect_with_connector(tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
            }))
            .await
            .expect("the client connects");
        Self { store, gnmi, client: GNmiClient::new(channel), folder }
    }

    fn write(&self, at: &str, value: Value) {
        self.store.apply_state("test", vec![StateOp::Replace(path(at), value)]).expect("state is accepted");
    }

    fn delete(&self, at: &str) {
        self.store.apply_state("test", vec![StateOp::Delete(path(at))]).expect("the delete is accepted");
    }

    /// Writes a neighbor with its leaves.
    fn neighbor(&self, session: &str) {
        let afi = json!([{"afi-safi-name": "ipv4-unicast", "received-routes": 3}]);
        let value =
            json!({"session-state": session, "peer-as": 65535, "established-transitions": "3", "afi-safi": afi});
        self.write(NEIGHBOR, value);
    }

    /// Writes LLDP on an interface.
    fn lldp(&self, interface: &str) {
        self.write(&format!("/system/lldp/interface[name={interface}]"), json!({"admin-state": "enable"}));
    }

    async fn get(&self, at: &[&str], encoding: pb::Encoding) -> Result<Vec<pb::Notification>, Status> {
        self.get_type(at, encoding, pb::get_request::DataType::All).await
    }

    async fn get_type(
        &self,
        at: &[&str],
        encoding: pb::Encoding,
        kind: pb::get_request::DataType,
    ) -> Result<Vec<pb::Notification>, Status> {
        let request = pb::GetRequest {
            path: at.iter().map(|at| path(at).to_gnmi()).collect(),
            encoding: encoding.into(),
            r#type: kind.into(),
            ..pb::GetRequest::default()
        };
        let answer = self.client.clone().get(known(request)).await?;
        Ok(answer.into_inner().notification)
    }

    async fn set(&self, request: pb::SetRequest) -> Result<pb::SetResponse, Status> {
        Ok(self.client.clone().set(known(request)).await?.into_inner())
    }

    async fn subscribe(&self, list: pb::SubscriptionList) -> Subscription {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let first = pb::SubscribeRequest {
            request: Some(pb::subscribe_request::Request::Subscribe(list)),
            ..pb::SubscribeRequest::default()
        };
        sender.send(first).expect("the request is open");
        let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
        let answers = self.client.clone().subscribe(known(requests)).await.expect("it opens").into_inner();
        Subscription { requests: sender, answers }
    }

    async fn on_change(&self, at: &str, encoding: pb::Encoding) -> Subscription {
        self.subscribe(list(at, pb::SubscriptionMode::OnChange, encoding)).await
    }
}

fn list(at: &str, mode: pb::SubscriptionMode, encoding: pb::Encoding) -> pb::SubscriptionList {
    let subscription =
        pb::Subscription { path: Some(path(at).to_gnmi()), mode: mode.into(), ..pb::Subscription::default() };
    pb::SubscriptionList {
        subscription: vec![subscription],
        encoding: encoding.into(),
        ..pb::SubscriptionList::default()
    }
}

/// Returns a request with the factory's credentials.
fn known<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("username", AsciiMetadataValue::from_static("admin"));
    request.metadata_mut().insert("password", AsciiMetadataValue::from_static("NokiaSrl1!"));
    request
}

/// Returns updates and deletes as texts for comparison.
fn texts(notification: &pb::Notification) -> Vec<String> {
    let name = |path: &pb::Path| {
        let mut text = String::new();
        for elem in &path.elem {
            text += &format!("/{}", elem.name);
            let mut keys: Vec<_> = elem.key.iter().collect();
            keys.sort();
            keys.iter().for_each(|(key, value)| text += &format!("[{key}={value}]"));
        }
        text
    };
    let deletes = notification.delete.iter().map(|path| format!("delete {}", name(path)));
    let updates = notification.update.iter().map(|update| {
        let value = update.val.as_ref().and_then(|val| val.value.as_ref()).expect("an update has a value");
        let value = match value {
            Typed::JsonIetfVal(bytes) | Typed::JsonVal(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        format!("{} {value}", update.path.as_ref().map(name).unwrap_or_default())
    });
    deletes.chain(updates).collect()
}

struct Subscription {
    requests: tokio::sync::mpsc::UnboundedSender<pb::SubscribeRequest>,
    answers: Streaming<pb::SubscribeResponse>,
}

impl Subscription {
    async fn next(&mut self) -> Result<Option<Told>, Status> {
        let answer = tokio::time::timeout(Duration::from_secs(10), self.answers.message()).await;
        let answer = answer.expect("an answer comes")?;
        Ok(answer.and_then(|answer| answer.response))
    }

    /// Returns what comes before the next sync response.
    async fn until_sync(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            match self.next().await.expect("the stream is open").expect("there is an answer") {
                Told::Update(notification) => told.extend(texts(&notification)),
                Told::SyncResponse(_) => return told,
                other => panic!("expected data, got {other:?}"),
            }
        }
    }

    async fn notification(&mut self) -> Vec<String> {
        match self.next().await.expect("the stream is open") {
            Some(Told::Update(notification)) => texts(&notification),
            other => panic!("expected a notification, got {other:?}"),
        }
    }
}
