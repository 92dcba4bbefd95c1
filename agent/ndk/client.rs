//! Wraps the NDK's calls, one method each. Every call carries the agent's name, by which the NDK identifies
//! applications.

use std::time::Duration;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::InterceptedService;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::agent_name::AgentName;
use super::telemetry::Telemetry;
use crate::supervise::words;
use ndk::notification_register_request::{Operation, SubscriptionTypes};
use ndk::sdk_mgr_config_service_client::SdkMgrConfigServiceClient;
use ndk::sdk_mgr_service_client::SdkMgrServiceClient;
use srl_proto::ndk;

/// How long a call may take that a healthy switch answers at once.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest message, because one may contain a whole table.
const LARGEST_MESSAGE: usize = 256 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The call itself failed.
    #[error("{call} failed: {}", words(.status))]
    Status {
        /// The RPC.
        call: &'static str,
        /// The status of the call.
        status: Status,
    },
    /// The NDK answered with status FAILED.
    #[error("{call} was refused: {reason}")]
    Refused {
        /// The RPC.
        call: &'static str,
        /// The reason that the NDK returned, or a text of the agent if it returned none.
        reason: String,
    },
    /// There was no answer.
    #[error("{call} got no answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout {
        /// The RPC.
        call: &'static str,
    },
}

/// The calls of one connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    channel: InterceptedService<Channel, AgentName>,
    manager: SdkMgrServiceClient<InterceptedService<Channel, AgentName>>,
}

impl Client {
    pub(super) fn new(channel: Channel) -> Self {
        let channel = InterceptedService::new(channel, AgentName);
        Self { manager: SdkMgrServiceClient::new(channel.clone()), channel }
    }

    pub(super) fn telemetry(&self) -> Telemetry {
        Telemetry::new(self.channel.clone())
    }

    /// Registers the agent; returns its application id.
    pub(super) async fn register(&mut self, liveliness: Duration, enable_cache: bool) -> Result<u32, CallError> {
        const CALL: &str = "AgentRegister";
        let request = ndk::AgentRegistrationRequest {
            agent_liveliness: u32::try_from(liveliness.as_secs()).unwrap_or(u32::MAX),
            wait_config_ack: true,
            enable_cache,
            ..Default::default()
        };
        let response = bounded(CALL, self.manager.agent_register(request)).await?;
        // The NDK returns no reason if it does not know the application.
        accepted(CALL, response.status, response.error_str, "no reason given; is app_mgr running it as k8s-services?")?;
        Ok(response.app_id)
    }

    /// Ends the registration: the NDK removes the agent's state.
    pub(super) async fn unregister(&mut self) -> Result<(), CallError> {
        const CALL: &str = "AgentUnRegister";
        let response = bounded(CALL, self.manager.agent_un_register(ndk::AgentRegistrationRequest::default())).await?;
        accepted(CALL, response.status, response.error_str, "no reason given")
    }

    /// Returns the id of the application with this name.
    pub(super) async fn application_id(&mut self, name: &str) -> Result<u32, CallError> {
        const CALL: &str = "GetAppId";
        let response = bounded(CALL, self.manager.get_app_id(ndk::AppIdRequest { name: name.to_owned() })).await?;
        accepted(CALL, response.status, String::new(), "it knows no application of that name")?;
        Ok(response.id)
    }

    pub(super) async fn keep_alive(&mut self) -> Result<(), CallError> {
        const CALL: &str = "KeepAlive";
        let response = bounded(CALL, self.manager.keep_alive(ndk::KeepAliveRequest {})).await?;
        accepted(CALL, response.status, String::new(), "the agent is not registered any more")
    }

    /// Creates a notification stream and returns its id; then follow subscriptions to it, then the stream itself. A
    /// subscription in the first step would be answered with success and forgotten.
    pub(super) async fn create_stream(&mut self) -> Result<u64, CallError> {
        Ok(self.notification_register(0, Operation::Create, None).await?.stream_id)
    }

    pub(super) async fn subscribe(&mut self, stream: u64, to: SubscriptionTypes) -> Result<(), CallError> {
        self.notification_register(stream, Operation::AddSubscription, Some(to)).await.map(drop)
    }

    /// Makes the NDK forget a stream that has ended.
    pub(super) async fn delete_stream(&mut self, stream: u64) -> Result<(), CallError> {
        self.notification_register(stream, Operation::Delete, None).await.map(drop)
    }

    async fn notification_register(
        &mut self,
        stream_id: u64,
        operation: Operation,
        subscription_types: Option<SubscriptionTypes>,
    ) -> Result<ndk::NotificationRegisterResponse, CallError> {
        const CALL: &str = "NotificationRegister";
        let refused = match operation {
            Operation::Create => "the NDK does not know the agent, or lets it have no further stream",
            _ => "the NDK does not know the agent or the stream, or has no such subscription",
        };
        let request = ndk::NotificationRegisterRequest {
            stream_id,
            op: operation.into(),
            subscription_id: 0,
            subscription_types,
        };
        let response = bounded(CALL, self.manager.notification_register(request)).await?;
        accepted(CALL, response.status, String::new(), refused)?;
        Ok(response)
    }

    /// Opens a stream, whose messages are returned undecoded. A server may send its headers only with the first
    /// message, so that opening may last until the switch has something to send.
    pub(super) async fn open(&self, stream_id: u64) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static("/srlinux.sdk.SdkNotificationService/NotificationStream");
        let request = Request::new(ndk::NotificationStreamRequest { stream_id });
        Ok(grpc.server_streaming(request, path, RawMessages).await?.into_inner())
    }

    /// Answers one commit; it is accepted if there are no errors in `infos`.
    pub(super) async fn acknowledge(&self, infos: Vec<ndk::AcknowledgeConfigRequestInfo>) -> Result<(), CallError> {
        const CALL: &str = "AcknowledgeConfig";
        let mut client = SdkMgrConfigServiceClient::new(self.channel.clone());
        let response = bounded(CALL, client.acknowledge_config(ndk::AcknowledgeConfigRequest { infos })).await?;
        accepted(CALL, response.status, response.error_str, "no reason given")
    }
}

async fn bounded<T>(
    call: &'static str,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::Status { call, status }),
        Err(_) => Err(CallError::Timeout { call }),
    }
}

fn accepted(call: &'static str, status: i32, error: String, unsaid: &str) -> Result<(), CallError> {
    if status == ndk::SdkMgrStatus::Success as i32 {
        return Ok(());
    }
    Err(CallError::Refused { call, reason: if error.is_empty() { unsaid.to_owned() } else { error } })
}

/// A codec that returns messages undecoded: the reader decodes them without intermediate values.
#[derive(Clone, Copy, Debug)]
struct RawMessages;

impl Codec for RawMessages {
    type Encode = ndk::NotificationStreamRequest;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawMessages {
    type Item = ndk::NotificationStreamRequest;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for RawMessages {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
