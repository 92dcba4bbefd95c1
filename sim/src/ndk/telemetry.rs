//! `TelemetryAddOrUpdate` and `TelemetryDelete`: an application's state goes into the datastore.
use super::service::Service;
use srl_k8s_services::proto::ndk as pb;
use tonic::{Request, Response, Status};
#[tonic::async_trait]
impl pb::sdk_mgr_telemetry_service_server::SdkMgrTelemetryService for Service {
    async fn telemetry_add_or_update(
        &self,
        _: Request<pb::TelemetryUpdateRequest>,
    ) -> Result<Response<pb::TelemetryUpdateResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn telemetry_delete(
        &self,
        _: Request<pb::TelemetryDeleteRequest>,
    ) -> Result<Response<pb::TelemetryDeleteResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
