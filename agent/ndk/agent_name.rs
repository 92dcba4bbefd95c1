//! Adds the agent's name to calls of the NDK.

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::AGENT_NAME;

/// Adds the metadata `agent_name`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentName;

impl Interceptor for AgentName {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("agent_name", MetadataValue::from_static(AGENT_NAME));
        Ok(request)
    }
}
