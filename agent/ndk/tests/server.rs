//! Implements a scripted NDK on a unix socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{UnboundedReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

use notification_register_request::{Operation, SubscriptionTypes};
use sdk_mgr_config_service_server::{SdkMgrConfigService, SdkMgrConfigServiceServer};
use sdk_mgr_service_server::{SdkMgrService, SdkMgrServiceServer};
use sdk_mgr_telemetry_service_server::{SdkMgrTelemetryService, SdkMgrTelemetryServiceServer};
use sdk_notification_service_server::{SdkNotificationService, SdkNotificationServiceServer};
use srl_proto::ndk::*;

const SUCCESS: i32 = SdkMgrStatus::Success as i32;
const FAILED: i32 = SdkMgrStatus::Failed as i32;

/// A call of the agent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Register(AgentRegistrationRequest),
    Unregister,
    KeepAlive,
    Stream(u64),
    Acknowledge(Vec<AcknowledgeConfigRequestInfo>),
    Update(Vec<String>),
    Delete(Vec<String>),
}

type Messages = mpsc::UnboundedSender<Result<NotificationStreamResponse, Status>>;

#[derive(Default)]
struct State {
    registered: bool,
    last_stream: u64,
    subscriptions: BTreeMap<u64, Vec<SubscriptionTypes>>,
    open: BTreeMap<u64, Messages>,
    rules: Rules,
    calls: Option<mpsc::UnboundedSender<Call>>,
}

/// How the server deviates from a healthy NDK.
#[derive(Clone, Default)]
pub(super) struct Rules {
    pub(super) refuse_registration: bool,
    pub(super) refuse_keepalive: bool,
    pub(super) refuse_bfd: bool,
    /// Refuses every stream.
    pub(super) refuse_streams: bool,
    /// Refuses a second stream, and subscriptions to a stream that is open.
    pub(super) one_stream: bool,
    pub(super) forget_streams: bool,
    pub(super) refuse_telemetry: Option<String>,
    /// What a table stream sends as soon as it is open.
    pub(super) dump: Vec<notification::SubscriptionTypes>,
}

#[derive(Clone, Default)]
struct Service(Arc<Mutex<State>>);

/// The server; it ends with all connections at once when it is dropped.
pub(super) struct Server {
    runtime: Option<Runtime>,
    service: Service,
    path: PathBuf,
    calls: mpsc::UnboundedReceiver<Call>,
}

impl Server {
    pub(super) fn start(path: &Path) -> Self {
        let service = Service::default();
        let (sender, calls) = mpsc::unbounded_channel();
        service.state().calls = Some(sender);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = {
            let _guard = runtime.enter();
            UnixListener::bind(path).expect("a socket")
        };
        let router = tonic::transport::Server::builder()
            .add_service(SdkMgrServiceServer::new(service.clone()))
            .add_service(SdkNotificationServiceServer::new(service.clone()))
            .add_service(SdkMgrTelemetryServiceServer::new(service.clone()))
            .add_service(SdkMgrConfigServiceServer::new(service.clone()));
        runtime.spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { runtime: Some(runtime), service, path: path.to_owned(), calls }
    }

    pub(super) fn rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.service.state().rules);
    }

    /// Returns the next call of the agent that tests look at.
    pub(super) async fn call(&mut self) -> Call {
        super::in_time(self.calls.recv()).await.expect("the server lives")
    }

    /// Sends notifications to every open stream.
    pub(super) fn tell(&self, notifications: Vec<notification::SubscriptionTypes>) {
        for messages in self.service.state().open.values() {
            let _ = messages.send(Ok(message(notifications.clone())));
        }
    }

    /// Ends every open stream; calls continue to work.
    pub(super) fn end_streams(&self) {
        self.service.state().open.clear();
    }
}

fn message(notifications: Vec<notification::SubscriptionTypes>) -> NotificationStreamResponse {
    let notifications = notifications
        .into_iter()
        .map(|one| Notification { subscription_id: 1, subscription_types: Some(one) })
        .collect();
    NotificationStreamResponse { notifications }
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder panics")
    }

    /// Returns the state, for a call with the agent's name.
    fn named<T>(&self, request: &Request<T>) -> Result<MutexGuard<'_, State>, Status> {
        match request.metadata().get("agent_name") {
            Some(name) if name == "k8s-services" => Ok(self.state()),
            _ => Err(Status::internal("a call without agent_name")),
        }
    }
}

impl State {
    fn record(&self, call: Call) {
        if let Some(calls) = &self.calls {
            let _ = calls.send(call);
        }
    }

    fn known(&self) -> i32 {
        if self.registered { SUCCESS } else { FAILED }
    }
}

#[tonic::async_trait]
impl SdkMgrService for Service {
    async fn agent_register(
        &self,
        request: Request<AgentRegistrationRequest>,
    ) -> Result<Response<AgentRegistrationResponse>, Status> {
        let mut state = self.named(&request)?;
        state.registered = !state.rules.refuse_registration;
        state.record(Call::Register(request.into_inner()));
        let status = state.known();
        Ok(Response::new(AgentRegistrationResponse { status, app_id: 42, ..Default::default() }))
    }

    async fn agent_un_register(
        &self,
        request: Request<AgentRegistrationRequest>,
    ) -> Result<Response<AgentRegistrationResponse>, Status> {
        let mut state = self.named(&request)?;
        let status = state.known();
        state.registered = false;
        state.record(Call::Unregister);
        Ok(Response::new(AgentRegistrationResponse { status, ..Default::default() }))
    }

    async fn notification_register(
        &self,
        request: Request<NotificationRegisterRequest>,
    ) -> Result<Response<NotificationRegisterResponse>, Status> {
        let mut state = self.named(&request)?;
        let request = request.into_inner();
        let mut stream_id = request.stream_id;
        let mut status = state.known();
        match (Operation::try_from(request.op), request.subscription_types) {
            (Ok(Operation::Create), None)
                if state.rules.refuse_streams || state.rules.one_stream && !state.subscriptions.is_empty() =>
            {
                status = FAILED;
            }
            (Ok(Operation::Create), None) => {
                state.last_stream += 1;
                stream_id = state.last_stream;
                state.subscriptions.insert(stream_id, Vec::new());
            }
            // A real NDK answers this with success, and then forgets the subscription.
            (Ok(Operation::Create), Some(_)) => {}
            (Ok(Operation::AddSubscription), Some(subscription)) => {
                let bfd = matches!(subscription, SubscriptionTypes::BfdSession(_));
                let late = state.rules.one_stream && state.open.contains_key(&stream_id);
                match state.subscriptions.get_mut(&stream_id).filter(|_| !late) {
                    Some(subscriptions) => subscriptions.push(subscription),
                    None => status = FAILED,
                }
                if bfd && state.rules.refuse_bfd {
                    status = FAILED;
                }
            }
            (Ok(Operation::Delete), None) => {
                state.subscriptions.remove(&stream_id);
            }
            other => return Err(Status::unimplemented(format!("{other:?}"))),
        }
        Ok(Response::new(NotificationRegisterResponse { stream_id, subscription_id: 1, status }))
    }

    async fn notification_query(
        &self,
        _: Request<NotificationQueryRequest>,
    ) -> Result<Response<NotificationQueryResponse>, Status> {
        Err(Status::unimplemented("the agent has no use for it"))
    }

    async fn keep_alive(&self, request: Request<KeepAliveRequest>) -> Result<Response<KeepAliveResponse>, Status> {
        let mut state = self.named(&request)?;
        if state.rules.refuse_keepalive {
            state.rules.refuse_keepalive = false;
            state.registered = false;
        }
        state.record(Call::KeepAlive);
        Ok(Response::new(KeepAliveResponse { status: state.known() }))
    }

    async fn get_app_id(&self, _: Request<AppIdRequest>) -> Result<Response<AppIdResponse>, Status> {
        Err(Status::unimplemented("the agent has no use for it"))
    }
}

#[tonic::async_trait]
impl SdkNotificationService for Service {
    type NotificationStreamStream = BoxStream<'static, Result<NotificationStreamResponse, Status>>;

    async fn notification_stream(
        &self,
        request: Request<NotificationStreamRequest>,
    ) -> Result<Response<Self::NotificationStreamStream>, Status> {
        let mut state = self.named(&request)?;
        let stream = request.into_inner().stream_id;
        if state.rules.forget_streams || !state.subscriptions.contains_key(&stream) {
            return Err(Status::not_found("unknown stream"));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let tables = state.subscriptions[&stream].iter().any(|one| matches!(one, SubscriptionTypes::Route(_)));
        if tables && !state.rules.dump.is_empty() {
            let _ = sender.send(Ok(message(state.rules.dump.clone())));
        }
        state.open.insert(stream, sender);
        state.record(Call::Stream(stream));
        Ok(Response::new(UnboundedReceiverStream::new(receiver).boxed()))
    }
}

#[tonic::async_trait]
impl SdkMgrTelemetryService for Service {
    async fn telemetry_add_or_update(
        &self,
        request: Request<TelemetryUpdateRequest>,
    ) -> Result<Response<TelemetryUpdateResponse>, Status> {
        let state = self.named(&request)?;
        let states = request.into_inner().states;
        state.record(Call::Update(states.into_iter().filter_map(|one| Some(one.key?.js_path)).collect()));
        let error_str = state.rules.refuse_telemetry.clone();
        let status = if error_str.is_some() { FAILED } else { SUCCESS };
        Ok(Response::new(TelemetryUpdateResponse { status, error_str: error_str.unwrap_or_default() }))
    }

    async fn telemetry_delete(
        &self,
        request: Request<TelemetryDeleteRequest>,
    ) -> Result<Response<TelemetryDeleteResponse>, Status> {
        let state = self.named(&request)?;
        state.record(Call::Delete(request.into_inner().keys.into_iter().map(|key| key.js_path).collect()));
        Ok(Response::new(TelemetryDeleteResponse::default()))
    }
}

#[tonic::async_trait]
impl SdkMgrConfigService for Service {
    async fn acknowledge_config(
        &self,
        request: Request<AcknowledgeConfigRequest>,
    ) -> Result<Response<AcknowledgeConfigResponse>, Status> {
        let state = self.named(&request)?;
        state.record(Call::Acknowledge(request.into_inner().infos));
        Ok(Response::new(AcknowledgeConfigResponse::default()))
    }
}
