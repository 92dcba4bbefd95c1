//! Writes state at JS paths, and distinguishes a refusal from a loss.

use std::time::Duration;

use tonic::codegen::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::agent_name::AgentName;
use crate::supervise::words;
use ndk::sdk_mgr_telemetry_service_client::SdkMgrTelemetryServiceClient;
use srl_proto::ndk;

/// How long one call may take: the NDK validates and stores the whole batch before it answers.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes state for one registration. Fails permanently once the connection of that registration is lost.
#[derive(Clone, Debug)]
pub struct Telemetry {
    client: SdkMgrTelemetryServiceClient<InterceptedService<Channel, AgentName>>,
}

/// Why state was not written.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The NDK refused the state, with this reason: the same write would be refused again.
    #[error("the NDK refuses the state: {0}")]
    Refused(String),
    /// The message is larger than the NDK accepts.
    #[error("the NDK takes no message of this size: {0}")]
    TooLarge(String),
    /// The NDK did not answer: a new registration follows, under which everything must be written again.
    #[error("the NDK does not answer: {}", words(.0))]
    Lost(Status),
}

impl Telemetry {
    pub(super) fn new(channel: InterceptedService<Channel, AgentName>) -> Self {
        Self { client: SdkMgrTelemetryServiceClient::new(channel) }
    }

    /// Replaces the state at each JS path by the JSON beside it.
    ///
    /// # Errors
    /// [`TelemetryError::Refused`] names no path: how much of the batch was accepted is unknown.
    pub async fn update(&self, states: Vec<(String, String)>) -> Result<(), TelemetryError> {
        let states = states
            .into_iter()
            .map(|(js_path, json_content)| ndk::TelemetryInfo {
                key: Some(ndk::TelemetryKey { js_path }),
                data: Some(ndk::TelemetryData { json_content }),
            })
            .collect();
        let mut client = self.client.clone();
        let response =
            bounded(client.telemetry_add_or_update(ndk::TelemetryUpdateRequest { states })).await?.into_inner();
        answered(response.status, response.error_str)
    }

    /// Deletes what was written at each JS path; what was written below it at paths of its own remains.
    ///
    /// # Errors
    /// [`TelemetryError::Refused`], also if nothing was written at a path.
    pub async fn delete(&self, paths: Vec<String>) -> Result<(), TelemetryError> {
        let keys = paths.into_iter().map(|js_path| ndk::TelemetryKey { js_path }).collect();
        let mut client = self.client.clone();
        let response = bounded(client.telemetry_delete(ndk::TelemetryDeleteRequest { keys })).await?.into_inner();
        answered(response.status, response.error_str)
    }
}

/// Converts the status of a call. Answers about the state or its size are refusals: gRPC servers answer
/// ResourceExhausted or OutOfRange to a message above their limit. All others, including that the agent is not known,
/// are about the registration, which is lost.
async fn bounded<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, TelemetryError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result.map_err(|status| match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Unimplemented => TelemetryError::Refused(words(&status)),
            Code::ResourceExhausted | Code::OutOfRange => TelemetryError::TooLarge(words(&status)),
            _ => TelemetryError::Lost(status),
        }),
        Err(_) => {
            Err(TelemetryError::Lost(Status::deadline_exceeded(format!("no answer in {} s", CALL_TIMEOUT.as_secs()))))
        }
    }
}

fn answered(status: i32, error: String) -> Result<(), TelemetryError> {
    if status == ndk::SdkMgrStatus::Success as i32 { Ok(()) } else { Err(TelemetryError::Refused(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_about_the_state_are_refusals_and_all_others_losses() {
        #[derive(Debug, PartialEq)]
        enum Kind {
            Refused,
            TooLarge,
            Lost,
        }
        for (status, kind) in [
            (Status::invalid_argument("no such node"), Kind::Refused),
            (Status::not_found("no such path"), Kind::Refused),
            (Status::permission_denied("not registered"), Kind::Lost),
            (Status::unavailable("gone"), Kind::Lost),
            (Status::resource_exhausted("larger than max (5623104 vs. 4194304)"), Kind::TooLarge),
            (Status::out_of_range("message length too large"), Kind::TooLarge),
        ] {
            let outcome = match bounded(std::future::ready(Err::<(), _>(status.clone()))).await {
                Err(TelemetryError::Refused(_)) => Kind::Refused,
                Err(TelemetryError::TooLarge(_)) => Kind::TooLarge,
                Ok(()) | Err(TelemetryError::Lost(_)) => Kind::Lost,
            };
            assert_eq!(outcome, kind, "{status}");
        }
    }
}
