//! stub
use super::Inner;
use super::core::Core;
use super::service::Service;
use crate::datastore::Datastore;
use srl_k8s_services::proto::ndk as pb;
use std::sync::Arc;
use tonic::{Request, Response, Status};
pub(crate) fn attach(_: &Datastore, _: &Arc<Inner>) {}
impl Inner {
    pub(crate) fn replay(&self, _: &mut Core, _: &str, _: u64, _: u64) {}
    pub(crate) fn mirror_all(&self, _: &str) {}
    pub(crate) fn has_config(&self, _: &str) -> bool {
        false
    }
}
#[tonic::async_trait]
impl pb::sdk_mgr_config_service_server::SdkMgrConfigService for Service {
    async fn acknowledge_config(
        &self,
        _: Request<pb::AcknowledgeConfigRequest>,
    ) -> Result<Response<pb::AcknowledgeConfigResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
