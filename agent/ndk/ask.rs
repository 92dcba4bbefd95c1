//! Asks the NDK without registering, for the doctor.

use tonic::Code;

use super::AGENT_NAME;
use super::client::{CallError, Client};
use super::session::unreachable;
use crate::server_addr::{ConnectError, ServerAddr};

/// Why the NDK cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The socket does not exist.
    Absent(String),
    /// Nothing answers on it.
    Connection(String),
}

/// Asks for the agent's application id, which registers nothing; `None` if the NDK answers without an id.
///
/// # Errors
/// If the NDK does not answer.
pub async fn ask(endpoint: &ServerAddr) -> Result<Option<u32>, AskError> {
    let channel = endpoint.connect().await.map_err(|error| match error {
        ConnectError::Absent { .. } => AskError::Absent(unreachable(&error)),
        _ => AskError::Connection(unreachable(&error)),
    })?;
    match Client::new(channel).application_id(AGENT_NAME).await {
        Ok(id) => Ok(Some(id)),
        Err(CallError::Refused { .. }) => Ok(None),
        Err(CallError::Status { status, .. }) if !matches!(status.code(), Code::Unavailable | Code::Cancelled) => {
            Ok(None)
        }
        Err(error) => Err(AskError::Connection(format!("the NDK at {endpoint} does not answer: {error}"))),
    }
}
