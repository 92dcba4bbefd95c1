//! Routes and next-hop groups that applications program.

use srl_proto::ndk as pb;
use tonic::{Request, Response, Status};

use super::core::App;
use super::programmed::{Programmed, ProgrammedRoute};
use super::service::Service;
use super::{Inner, NdkEvent};
use pb::SdkMgrStatus::{Failed, Success};

impl Service {
    /// Changes what the caller programmed, and publishes it.
    async fn program<T>(
        &self,
        request: Request<T>,
        change: impl FnOnce(&mut Programmed, T) -> Result<(), String>,
    ) -> (i32, String) {
        let Some(app) = self.registered(&request).await else {
            return (Failed as i32, "the application is not registered, or agent_name is missing".to_owned());
        };
        let changed = match self.0.core().apps.get_mut(&app) {
            Some(known) => change(&mut known.programmed, request.into_inner()),
            None => Err(format!("application '{app}' is not known")),
        };
        self.0.tell(NdkEvent::RoutesProgrammed(app));
        match changed {
            Ok(()) => (Success as i32, String::new()),
            Err(why) => (Failed as i32, why),
        }
    }
}

impl Inner {
    /// Returns the routes programmed by all applications.
    pub(crate) fn programmed(&self) -> Vec<ProgrammedRoute> {
        let core = self.core();
        core.apps.iter().flat_map(|(name, app): (&String, &App)| app.programmed.routes(name)).collect()
    }
}

const NO_SYNC: &str = "SyncEnd without SyncStart";

#[tonic::async_trait]
impl pb::sdk_mgr_route_service_server::SdkMgrRouteService for Service {
    async fn route_add_or_update(
        &self,
        request: Request<pb::RouteAddRequest>,
    ) -> Result<Response<pb::RouteAddResponse>, Status> {
        let (status, error_str) = self.program(request, |programmed, it| programmed.add_routes(it.routes)).await;
        Ok(Response::new(pb::RouteAddResponse { status, error_str }))
    }

    async fn route_delete(
        &self,
        request: Request<pb::RouteDeleteRequest>,
    ) -> Result<Response<pb::RouteDeleteResponse>, Status> {
        let (status, error_str) = self.program(request, |programmed, it| programmed.delete_routes(&it.routes)).await;
        Ok(Response::new(pb::RouteDeleteResponse { status, error_str }))
    }

    async fn sync_start(&self, request: Request<pb::SyncRequest>) -> Result<Response<pb::SyncResponse>, Status> {
        let begin = |programmed: &mut Programmed, _| {
            programmed.routes.begin();
            Ok(())
        };
        let (status, error_str) = self.program(request, begin).await;
        Ok(Response::new(pb::SyncResponse { status, error_str }))
    }

    async fn sync_end(&self, request: Request<pb::SyncRequest>) -> Result<Response<pb::SyncResponse>, Status> {
        let end = |programmed: &mut Programmed, _| programmed.routes.end().then_some(()).ok_or(NO_SYNC.to_owned());
        let (status, error_str) = self.program(request, end).await;
        Ok(Response::new(pb::SyncResponse { status, error_str }))
    }
}

#[tonic::async_trait]
impl pb::sdk_mgr_next_hop_group_service_server::SdkMgrNextHopGroupService for Service {
    async fn next_hop_group_add_or_update(
        &self,
        request: Request<pb::NextHopGroupRequest>,
    ) -> Result<Response<pb::NextHopGroupResponse>, Status> {
        let (status, error_str) = self.program(request, |programmed, it| programmed.add_groups(it.group_infos)).await;
        Ok(Response::new(pb::NextHopGroupResponse { status, error_str }))
    }

    async fn next_hop_group_delete(
        &self,
        request: Request<pb::NextHopGroupDeleteRequest>,
    ) -> Result<Response<pb::NextHopGroupDeleteResponse>, Status> {
        let (status, error_str) =
            self.program(request, |programmed, it| programmed.delete_groups(&it.group_keys)).await;
        Ok(Response::new(pb::NextHopGroupDeleteResponse { status, error_str }))
    }

    async fn sync_start(&self, request: Request<pb::SyncRequest>) -> Result<Response<pb::SyncResponse>, Status> {
        let begin = |programmed: &mut Programmed, _| {
            programmed.groups.begin();
            Ok(())
        };
        let (status, error_str) = self.program(request, begin).await;
        Ok(Response::new(pb::SyncResponse { status, error_str }))
    }

    async fn sync_end(&self, request: Request<pb::SyncRequest>) -> Result<Response<pb::SyncResponse>, Status> {
        let end = |programmed: &mut Programmed, _| programmed.groups.end().then_some(()).ok_or(NO_SYNC.to_owned());
        let (status, error_str) = self.program(request, end).await;
        Ok(Response::new(pb::SyncResponse { status, error_str }))
    }
}
