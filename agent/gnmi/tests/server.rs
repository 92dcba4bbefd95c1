//! Implements a scripted gNMI server on a unix socket.

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{UnboundedReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::super::path::parse;
use g_nmi_server::{GNmi, GNmiServer};
use srl_proto::gnmi::*;
use subscribe_response::Response as Message;

/// How the server answers.
#[derive(Clone, Default)]
pub(super) struct Rules {
    /// The password it accepts; any if `None`.
    pub(super) password: Option<String>,
    /// Refuses a subscription in which a path has this step.
    pub(super) unknown_element: Option<&'static str>,
    /// The only encoding it knows.
    pub(super) encoding: Option<Encoding>,
    /// Subscriptions it refuses from now on with RESOURCE_EXHAUSTED.
    pub(super) exhausted: usize,
    /// Refuses `updates_only`, without naming it.
    pub(super) no_updates_only: bool,
    /// Refuses to sample paths with this step, without naming that.
    pub(super) no_samples_of: Option<&'static str>,
    /// Refuses `*` as the value of a key.
    pub(super) no_wildcards: bool,
    /// The encodings that Capabilities returns; unimplemented if empty.
    pub(super) encodings: Vec<Encoding>,
    /// The answer to a Get.
    pub(super) state: Option<String>,
    /// Further answers to a Get: paths and JSON.
    pub(super) answers: Vec<(&'static str, String)>,
    /// Paths of the Gets so far.
    pub(super) gets: Vec<usize>,
}

/// A subscription of the agent; ends when it is dropped.
pub(super) struct Subscription {
    pub(super) list: SubscriptionList,
    sender: mpsc::UnboundedSender<Result<SubscribeResponse, Status>>,
}

impl Subscription {
    /// Returns the last step of each requested path.
    pub(super) fn leaves(&self) -> Vec<String> {
        let paths = self.list.subscription.iter().filter_map(|one| one.path.as_ref());
        paths.filter_map(|path| Some(path.elem.last()?.name.clone())).collect()
    }

    /// Returns the requested network instances.
    pub(super) fn instances(&self) -> Vec<String> {
        let paths = self.list.subscription.iter().filter_map(|one| one.path.as_ref());
        let mut names: Vec<_> = paths.filter_map(|path| path.elem.first()?.key.get("name").cloned()).collect();
        names.dedup();
        names
    }

    pub(super) fn update(&self, path: &str, json: &str) {
        let value = typed_value::Value::JsonIetfVal(json.to_owned().into());
        let update = Update {
            path: Some(parse(path).expect("a path")),
            val: Some(TypedValue { value: Some(value) }),
            ..Default::default()
        };
        self.tell(Message::Update(Notification { update: vec![update], ..Default::default() }));
    }

    pub(super) fn delete(&self, path: &str) {
        let delete = vec![parse(path).expect("a path")];
        self.tell(Message::Update(Notification { delete, ..Default::default() }));
    }

    pub(super) fn sync(&self) {
        self.tell(Message::SyncResponse(true));
    }

    fn tell(&self, message: Message) {
        let _ = self.sender.send(Ok(SubscribeResponse { response: Some(message), extension: Vec::new() }));
    }
}

#[derive(Clone)]
struct Service {
    rules: Arc<Mutex<Rules>>,
    subscriptions: mpsc::UnboundedSender<Subscription>,
}

/// The server; it ends with all connections at once when it is dropped.
pub(super) struct Server {
    runtime: Option<Runtime>,
    service: Service,
    path: PathBuf,
    subscriptions: mpsc::UnboundedReceiver<Subscription>,
}

impl Server {
    pub(super) fn start(path: &FilePath, rules: Rules) -> Self {
        let (sender, subscriptions) = mpsc::unbounded_channel();
        let service = Service { rules: Arc::new(Mutex::new(rules)), subscriptions: sender };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = {
            let _guard = runtime.enter();
            UnixListener::bind(path).expect("a socket")
        };
        let router = tonic::transport::Server::builder().add_service(GNmiServer::new(service.clone()));
        runtime.spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { runtime: Some(runtime), service, path: path.to_owned(), subscriptions }
    }

    pub(super) fn rules<T>(&self, change: impl FnOnce(&mut Rules) -> T) -> T {
        change(&mut self.service.rules())
    }

    /// Returns the next accepted subscription.
    pub(super) async fn subscription(&mut self) -> Subscription {
        super::in_time(self.subscriptions.recv()).await.expect("the server lives")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Service {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().expect("no holder panics")
    }

    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let Some(password) = self.rules().password.clone() else { return Ok(()) };
        let value = |key| request.metadata().get(key).and_then(|value| value.to_str().ok());
        if value("username") == Some("admin") && value("password") == Some(&password) {
            Ok(())
        } else {
            Err(Status::unauthenticated("Wrong username or password"))
        }
    }

    fn judge(&self, list: &SubscriptionList) -> Result<(), Status> {
        let mut rules = self.rules();
        if rules.exhausted > 0 {
            rules.exhausted -= 1;
            return Err(Status::resource_exhausted("rate limit"));
        }
        if rules.encoding.is_some_and(|encoding| list.encoding != encoding as i32) {
            return Err(Status::unimplemented("Unsupported encoding"));
        }
        let mut keys = list.subscription.iter().filter_map(|one| one.path.as_ref()).flat_map(|path| &path.elem);
        let wildcard = keys.any(|elem| elem.key.values().any(|value| value == "*"));
        let samples = |element: &str| {
            let sampled = list.subscription.iter().filter(|one| one.mode() == SubscriptionMode::Sample);
            let mut steps = sampled.filter_map(|one| one.path.as_ref()).flat_map(|path| &path.elem);
            steps.any(|elem| elem.name == element)
        };
        if rules.no_samples_of.is_some_and(samples) {
            return Err(Status::invalid_argument("Not supported"));
        }
        if rules.no_updates_only && list.updates_only || rules.no_wildcards && wildcard {
            return Err(Status::invalid_argument("Not supported"));
        }
        if let Some(element) = rules.unknown_element {
            let mut elems = list.subscription.iter().filter_map(|one| one.path.as_ref()).flat_map(|path| &path.elem);
            if elems.any(|elem| elem.name == element) {
                let refusal = format!("Path not valid - unknown element '{element}'. Options are [others]");
                return Err(Status::invalid_argument(refusal));
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl GNmi for Service {
    type SubscribeStream = BoxStream<'static, Result<SubscribeResponse, Status>>;

    async fn capabilities(&self, _: Request<CapabilityRequest>) -> Result<Response<CapabilityResponse>, Status> {
        let supported_encodings: Vec<i32> = self.rules().encodings.iter().map(|one| *one as i32).collect();
        if supported_encodings.is_empty() {
            return Err(Status::unimplemented("no capabilities"));
        }
        Ok(Response::new(CapabilityResponse { supported_encodings, ..Default::default() }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.admit(&request)?;
        let request = request.into_inner();
        if self.rules().encoding.is_some_and(|encoding| request.encoding != encoding as i32) {
            return Err(Status::invalid_argument("encoding not supported"));
        }
        let mut rules = self.rules();
        rules.gets.push(request.path.len());
        let update = |path: Option<Path>, json: String| Update {
            path,
            val: Some(TypedValue { value: Some(typed_value::Value::JsonIetfVal(json.into())) }),
            ..Default::default()
        };
        let own = rules.state.clone().map(|json| update(request.path.first().cloned(), json));
        let others = rules.answers.iter().map(|(path, json)| update(parse(path).ok(), json.clone()));
        let notification = vec![Notification { update: own.into_iter().chain(others).collect(), ..Default::default() }];
        Ok(Response::new(GetResponse { notification, ..Default::default() }))
    }

    async fn set(&self, _: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        Err(Status::unimplemented("the agent writes nothing here"))
    }

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.admit(&request)?;
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|request| request.request);
        let Some(subscribe_request::Request::Subscribe(list)) = first else {
            return Err(Status::invalid_argument("no subscription"));
        };
        self.judge(&list)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let _ = self.subscriptions.send(Subscription { list, sender });
        // The request stays open while the answer does.
        let answers = UnboundedReceiverStream::new(receiver).map(move |answer| {
            let _ = &requests;
            answer
        });
        Ok(Response::new(answers.boxed()))
    }
}
