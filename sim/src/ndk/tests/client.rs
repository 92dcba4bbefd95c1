//! A client of an application.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pb::notification_register_request::{Operation, SubscriptionTypes};
use srl_proto::ndk as pb;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// Time limit of all waits. A test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Time in which anything that is on its way arrives.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    agent_name: Option<String>,
}

pub(crate) fn all_routes() -> SubscriptionTypes {
    SubscriptionTypes::Route(pb::IpRouteSubscriptionRequest::default())
}

pub(crate) fn all_groups() -> SubscriptionTypes {
    SubscriptionTypes::NexthopGroup(pb::NextHopGroupSubscriptionRequest::default())
}

pub(crate) fn all_config() -> SubscriptionTypes {
    SubscriptionTypes::Config(pb::ConfigSubscriptionRequest::default())
}

impl Client {
    pub(crate) async fn try_connect(socket: &Path, name: &str) -> Result<Self, tonic::transport::Error> {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://ndk").connect_with_connector(connector).await?;
        Ok(Self { channel, agent_name: Some(name.to_owned()) })
    }

    pub(crate) async fn connect(socket: &Path, name: &str) -> Self {
        Self::try_connect(socket, name).await.expect("the NDK accepts")
    }

    pub(crate) fn named(&self, name: Option<&str>) -> Self {
        Self { channel: self.channel.clone(), agent_name: name.map(str::to_owned) }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(name) = &self.agent_name {
            request.metadata_mut().insert("agent_name", name.parse().expect("a metadata value"));
        }
        request
    }

    pub(crate) fn sdk(&self) -> pb::sdk_mgr_service_client::SdkMgrServiceClient<Channel> {
        pb::sdk_mgr_service_client::SdkMgrServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn try_register(&self, request: pb::AgentRegistrationRequest) -> pb::AgentRegistrationResponse {
        self.sdk().agent_register(self.request(request)).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn register(&mut self, request: pb::AgentRegistrationRequest) -> u32 {
        let response = self.try_register(request).await;
        assert_eq!(response.status(), pb::SdkMgrStatus::Success, "{}", response.error_str);
        response.app_id
    }

    pub(crate) async fn unregister(&self) -> pb::AgentRegistrationResponse {
        let request = self.request(pb::AgentRegistrationRequest::default());
        self.sdk().agent_un_register(request).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn keep_alive(&self) -> Result<pb::SdkMgrStatus, Status> {
        let response = self.sdk().keep_alive(self.request(pb::KeepAliveRequest {})).await?;
        Ok(response.into_inner().status())
    }

    pub(crate) async fn app_id(&self, name: &str) -> pb::AppIdResponse {
        let request = self.request(pb::AppIdRequest { name: name.to_owned() });
        self.sdk().get_app_id(request).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn notification_register(
        &self,
        op: Operation,
        stream_id: u64,
        types: Option<SubscriptionTypes>,
    ) -> pb::NotificationRegisterResponse {
        let request =
            pb::NotificationRegisterRequest { stream_id, op: op as i32, subscription_id: 0, subscription_types: types };
        self.sdk().notification_register(self.request(request)).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn delete_subscription(
        &self,
        stream_id: u64,
        subscription_id: u64,
    ) -> pb::NotificationRegisterResponse {
        let op = Operation::DeleteSubscription as i32;
        let request = pb::NotificationRegisterRequest { stream_id, op, subscription_id, subscription_types: None };
        self.sdk().notification_register(self.request(request)).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn query(&self, stream_id: u64) -> pb::NotificationQueryResponse {
        let request = self.request(pb::NotificationQueryRequest { stream_id });
        self.sdk().notification_query(request).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn create(&self) -> u64 {
        self.notification_register(Operation::Create, 0, None).await.stream_id
    }

    pub(crate) async fn add(&self, stream: u64, types: SubscriptionTypes) -> u64 {
        let response = self.notification_register(Operation::AddSubscription, stream, Some(types)).await;
        assert_eq!(response.status(), pb::SdkMgrStatus::Success);
        response.subscription_id
    }

    pub(crate) async fn try_open(&self, stream_id: u64) -> Result<Reader, Status> {
        let mut client = pb::sdk_notification_service_client::SdkNotificationServiceClient::new(self.channel.clone());
        let request = self.request(pb::NotificationStreamRequest { stream_id });
        let stream = client.notification_stream(request).await?.into_inner();
        Ok(Reader { stream, batches: Vec::new() })
    }

    /// Opens a stream with these subscriptions.
    pub(crate) async fn follow(&self, types: impl IntoIterator<Item = SubscriptionTypes>) -> Reader {
        let stream = self.create().await;
        for it in types {
            self.add(stream, it).await;
        }
        self.try_open(stream).await.expect("the stream opens")
    }

    pub(crate) async fn update(&self, states: &[(&str, &str)]) -> pb::TelemetryUpdateResponse {
        self.try_update(states).await.expect("the call is answered")
    }

    pub(crate) async fn try_update(&self, states: &[(&str, &str)]) -> Result<pb::TelemetryUpdateResponse, Status> {
        let states = states.iter().map(|(path, json)| pb::TelemetryInfo {
            key: Some(pb::TelemetryKey { js_path: (*path).to_owned() }),
            data: Some(pb::TelemetryData { json_content: (*json).to_owned() }),
        });
        let request = self.request(pb::TelemetryUpdateRequest { states: states.collect() });
        let mut client = pb::sdk_mgr_telemetry_service_client::SdkMgrTelemetryServiceClient::new(self.channel.clone());
        client.telemetry_add_or_update(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn delete(&self, paths: &[&str]) -> pb::TelemetryDeleteResponse {
        let keys = paths.iter().map(|path| pb::TelemetryKey { js_path: (*path).to_owned() }).collect();
        let request = self.request(pb::TelemetryDeleteRequest { keys });
        let mut client = pb::sdk_mgr_telemetry_service_client::SdkMgrTelemetryServiceClient::new(self.channel.clone());
        client.telemetry_delete(request).await.expect("the call is answered").into_inner()
    }

    pub(crate) async fn acknowledge(
        &self,
        infos: Vec<pb::AcknowledgeConfigRequestInfo>,
    ) -> pb::AcknowledgeConfigResponse {
        let request = self.request(pb::AcknowledgeConfigRequest { infos });
        let mut client = pb::sdk_mgr_config_service_client::SdkMgrConfigServiceClient::new(self.channel.clone());
        client.acknowledge_config(request).await.expect("the call is answered").into_inner()
    }

    pub(crate) fn routes(&self) -> pb::sdk_mgr_route_service_client::SdkMgrRouteServiceClient<Channel> {
        pb::sdk_mgr_route_service_client::SdkMgrRouteServiceClient::new(self.channel.clone())
    }

    pub(crate) fn groups(&self) -> pb::sdk_mgr_next_hop_group_service_client::SdkMgrNextHopGroupServiceClient<Channel> {
        pb::sdk_mgr_next_hop_group_service_client::SdkMgrNextHopGroupServiceClient::new(self.channel.clone())
    }

    /// Returns a request with this client's metadata.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        self.request(message)
    }
}

/// An open stream.
pub(crate) struct Reader {
    stream: Streaming<pb::NotificationStreamResponse>,
    /// Number of notifications in each response so far.
    pub(crate) batches: Vec<usize>,
}

impl Reader {
    /// Returns the next response, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<pb::Notification>>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("a response in time")?;
        Ok(next.map(|response| {
            self.batches.push(response.notifications.len());
            response.notifications
        }))
    }

    /// Returns at least `count` notifications.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<pb::Notification> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.extend(self.next().await.expect("the stream goes on").expect("the stream goes on"));
        }
        taken
    }

    /// Returns whether nothing more arrives.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(QUIET, self.stream.message()).await.is_err()
    }
}
