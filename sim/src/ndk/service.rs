//! The NDK's session services: registration, subscriptions, streams.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Instant;

use futures::{Stream, StreamExt, stream};
use srl_proto::ndk as pb;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use super::rows::Filter;
use super::streams::Taken;
use super::{Inner, NdkEvent};
use pb::SdkMgrStatus::{Failed, Success};
use pb::notification_register_request::Operation;

/// All NDK services, which share one [`Inner`].
#[derive(Clone)]
pub(crate) struct Service(pub(crate) Arc<Inner>);

impl Service {
    /// Waits for the delay in force and returns the name of the caller; empty without the metadata that every call
    /// needs.
    pub(crate) async fn enter<T>(&self, request: &Request<T>) -> String {
        self.0.faults.delay().await;
        let name = request.metadata().get("agent_name").and_then(|value| value.to_str().ok());
        name.unwrap_or_default().to_owned()
    }

    /// Returns the caller if it is registered.
    pub(crate) async fn registered<T>(&self, request: &Request<T>) -> Option<String> {
        let app = self.enter(request).await;
        self.0.core().registration(&app).is_some().then_some(app)
    }
}

#[tonic::async_trait]
impl pb::sdk_mgr_service_server::SdkMgrService for Service {
    async fn agent_register(
        &self,
        request: Request<pb::AgentRegistrationRequest>,
    ) -> Result<Response<pb::AgentRegistrationResponse>, Status> {
        let app = self.enter(&request).await;
        let request = request.into_inner();
        if app.is_empty() {
            return Ok(Response::new(registration(Failed, String::new(), 0)));
        }
        if request.wait_config_ack && request.auto_telemetry_state {
            let why = "auto_telemetry_state cannot be combined with wait_config_ack".to_owned();
            return Ok(Response::new(registration(Failed, why, 0)));
        }
        let registered = self.0.core().register(&app, &request);
        let Some((id, generation)) = registered else {
            return Ok(Response::new(registration(Failed, format!("application '{app}' is not known"), 0)));
        };
        self.0.registered(&app);
        if request.agent_liveliness > 0 {
            tokio::spawn(watch_liveliness(Arc::downgrade(&self.0), app.clone(), generation));
        }
        self.0.tell(NdkEvent::Registered(app));
        Ok(Response::new(registration(Success, String::new(), id)))
    }

    async fn agent_un_register(
        &self,
        request: Request<pb::AgentRegistrationRequest>,
    ) -> Result<Response<pb::AgentRegistrationResponse>, Status> {
        let app = self.enter(&request).await;
        let had = self.0.core().unregister(&app);
        if !had {
            return Ok(Response::new(registration(Failed, format!("application '{app}' is not registered"), 0)));
        }
        self.0.unregistered(&app);
        self.0.tell(NdkEvent::Unregistered(app));
        Ok(Response::new(registration(Success, String::new(), 0)))
    }

    async fn notification_register(
        &self,
        request: Request<pb::NotificationRegisterRequest>,
    ) -> Result<Response<pb::NotificationRegisterResponse>, Status> {
        let Some(app) = self.registered(&request).await else {
            let status = Failed as i32;
            return Ok(Response::new(pb::NotificationRegisterResponse { status, ..Default::default() }));
        };
        Ok(Response::new(self.subscription(&app, &request.into_inner())))
    }

    async fn notification_query(
        &self,
        request: Request<pb::NotificationQueryRequest>,
    ) -> Result<Response<pb::NotificationQueryResponse>, Status> {
        let app = self.enter(&request).await;
        let mut core = self.0.core();
        let response = match core.stream(&app, request.into_inner().stream_id) {
            Some(stream) => pb::NotificationQueryResponse {
                subscriptions: stream
                    .subscriptions()
                    .map(|(subscription_id, filter)| pb::NotificationQuerySubscription {
                        subscription_id,
                        description: filter.description(),
                    })
                    .collect(),
                status: Success as i32,
            },
            None => pb::NotificationQueryResponse { subscriptions: Vec::new(), status: Failed as i32 },
        };
        Ok(Response::new(response))
    }

    async fn keep_alive(
        &self,
        request: Request<pb::KeepAliveRequest>,
    ) -> Result<Response<pb::KeepAliveResponse>, Status> {
        let app = self.enter(&request).await;
        let status = match self.0.core().registration_mut(&app) {
            Some(registration) => {
                registration.alive = Instant::now();
                Success
            }
            None => Failed,
        };
        Ok(Response::new(pb::KeepAliveResponse { status: status as i32 }))
    }

    async fn get_app_id(&self, request: Request<pb::AppIdRequest>) -> Result<Response<pb::AppIdResponse>, Status> {
        let caller = self.enter(&request).await;
        let found = (!caller.is_empty()).then(|| self.0.core().app_id(&request.get_ref().name)).flatten();
        let status = if found.is_some() { Success } else { Failed } as i32;
        Ok(Response::new(pb::AppIdResponse { status, id: found.unwrap_or_default() }))
    }
}

impl Service {
    fn subscription(&self, app: &str, request: &pb::NotificationRegisterRequest) -> pb::NotificationRegisterResponse {
        let mut core = self.0.core();
        let (stream_id, subscription_id) = (request.stream_id, request.subscription_id);
        let answer = match (Operation::try_from(request.op), &request.subscription_types) {
            // A type given here is ignored. As on a switch, the answer is success and nothing is subscribed.
            (Ok(Operation::Create), _) if self.0.switches.one_stream && core.has_stream(app) => None,
            (Ok(Operation::Create), _) => Some((core.create_stream(app), 0)),
            (Ok(Operation::Delete), _) => core.stream(app, stream_id).map(super::streams::Stream::close).map(|()| {
                core.streams.remove(&stream_id);
                (stream_id, 0)
            }),
            (Ok(Operation::AddSubscription), _) if !self.0.takes_subscription(&mut core, app, stream_id) => None,
            (Ok(Operation::AddSubscription), Some(types)) => {
                let filter = Filter::of(types);
                let config = matches!(filter, Filter::Config { .. });
                let id = core.subscribe(app, stream_id, filter);
                if let Some(id) = id.filter(|_| config) {
                    self.0.replay(&mut core, app, stream_id, id);
                }
                id.map(|id| (stream_id, id))
            }
            (Ok(Operation::DeleteSubscription), _) => core
                .stream(app, stream_id)
                .is_some_and(|stream| stream.remove(subscription_id))
                .then_some((stream_id, subscription_id)),
            _ => None,
        };
        let status = if answer.is_some() { Success } else { Failed } as i32;
        let (stream_id, subscription_id) = answer.unwrap_or_default();
        pb::NotificationRegisterResponse { stream_id, subscription_id, status }
    }
}

fn registration(status: pb::SdkMgrStatus, error_str: String, app_id: u32) -> pb::AgentRegistrationResponse {
    pb::AgentRegistrationResponse { status: status as i32, error_str, app_id }
}

/// Ends a registration whose keepalives stop, and has the application killed.
async fn watch_liveliness(inner: Weak<Inner>, app: String, generation: u64) {
    loop {
        let due = {
            let Some(inner) = inner.upgrade() else { return };
            let mut core = inner.core();
            let Some(registration) = core.registration(&app).filter(|it| it.generation == generation) else { return };
            let due = registration.alive + registration.liveliness;
            if due <= Instant::now() {
                core.unregister(&app);
                drop(core);
                tracing::warn!(%app, "no keepalive within the liveliness interval: application is killed");
                inner.tell(NdkEvent::KeepaliveMissed(app));
                return;
            }
            due
        };
        tokio::time::sleep_until(due.into()).await;
    }
}

#[tonic::async_trait]
impl pb::sdk_notification_service_server::SdkNotificationService for Service {
    type NotificationStreamStream =
        Pin<Box<dyn Stream<Item = Result<pb::NotificationStreamResponse, Status>> + Send + 'static>>;

    async fn notification_stream(
        &self,
        request: Request<pb::NotificationStreamRequest>,
    ) -> Result<Response<Self::NotificationStreamStream>, Status> {
        let Some(app) = self.registered(&request).await else {
            return Err(Status::permission_denied("the application is not registered, or agent_name is missing"));
        };
        let id = request.into_inner().stream_id;
        let reading = self.read(&app, id)?;
        if !self.0.switches.late_stream_headers {
            return Ok(Response::new(Box::pin(stream::unfold(reading, Reading::next))));
        }
        let Some((first, reading)) = reading.next().await else { return Ok(Response::new(Box::pin(stream::empty()))) };
        let rest = stream::unfold(reading, Reading::next);
        Ok(Response::new(Box::pin(stream::once(std::future::ready(first)).chain(rest))))
    }
}

impl Service {
    /// Opens a stream for a new reader.
    fn read(&self, app: &str, id: u64) -> Result<Reading, Status> {
        let mut core = self.0.core();
        let (generation, wake) =
            core.open(app, id).ok_or_else(|| Status::not_found(format!("application '{app}' has no stream {id}")))?;
        let readers = core.stream(app, id).map(|stream| stream.config_readers()).unwrap_or_default();
        for subscription in readers {
            self.0.replay(&mut core, app, id, subscription);
        }
        drop(core);
        Ok(Reading { inner: self.0.clone(), id, generation, wake, ended: false })
    }
}

/// A reader of a stream.
struct Reading {
    inner: Arc<Inner>,
    id: u64,
    generation: u64,
    wake: Arc<Notify>,
    ended: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<pb::NotificationStreamResponse, Status>, Self)> {
        if self.ended {
            return None;
        }
        loop {
            let taken = self.inner.core().take(self.id, self.generation, self.inner.manner());
            match taken {
                Taken::Batch(notifications) => {
                    return Some((Ok(pb::NotificationStreamResponse { notifications }), self));
                }
                Taken::Nothing => self.wake.notified().await,
                Taken::Closed => {
                    self.ended = true;
                    return Some((Err(Status::unavailable("the stream was closed")), self));
                }
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(stream) = self.inner.core().streams.get_mut(&self.id) {
            stream.abandoned(self.generation);
        }
    }
}
