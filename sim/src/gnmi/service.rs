//! The gNMI service that tonic calls.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use srl_proto::gnmi as pb;
use tonic::{Request, Response, Status, Streaming};

use super::encoding::Encoding;
use super::wire::check_known;
use super::{Inner, VERSION, get, set, subscribe};
use crate::ndk::link::Connection;

/// Answers calls from a datastore.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Inner>);

#[tonic::async_trait]
impl pb::g_nmi_server::GNmi for Service {
    async fn capabilities(
        &self,
        request: Request<pb::CapabilityRequest>,
    ) -> Result<Response<pb::CapabilityResponse>, Status> {
        self.admit(&request).await?;
        let models = self.0.store.schema().modules().iter().map(|module| pb::ModelData {
            // As on a switch: urn:nokia.com:srlinux:bgp:bgp:srl_nokia-bgp.
            name: format!("{}:{}", module.namespace, module.name),
            organization: module.organization.clone(),
            version: module.revision.clone(),
        });
        let mut encodings = vec![pb::Encoding::JsonIetf.into(), pb::Encoding::Proto.into(), pb::Encoding::Ascii.into()];
        if self.0.switches.plain_json {
            encodings.insert(0, pb::Encoding::Json.into());
        }
        Ok(Response::new(pb::CapabilityResponse {
            supported_models: models.collect(),
            supported_encodings: encodings,
            g_nmi_version: VERSION.to_owned(),
            ..pb::CapabilityResponse::default()
        }))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        self.admit(&request).await?;
        let request = request.into_inner();
        check_known(&self.0.switches.unknown, &request.path)?;
        let encoding = Encoding::of_request(request.encoding, self.0.switches.plain_json)?;
        get::answer(&self.0.store, &request, encoding).map(Response::new)
    }

    async fn set(&self, request: Request<pb::SetRequest>) -> Result<Response<pb::SetResponse>, Status> {
        self.admit(&request).await?;
        set::answer(&self.0.store, request.into_inner()).await.map(Response::new)
    }

    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<pb::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<pb::SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        self.admit(&request).await?;
        Ok(Response::new(subscribe::answer(self.0.clone(), request.into_inner())))
    }
}

impl Service {
    async fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.0.delay().await;
        let tcp = request.extensions().get::<Connection>().is_some_and(|connection| connection.tcp);
        self.0.access.admit(request.metadata(), tcp)
    }
}
