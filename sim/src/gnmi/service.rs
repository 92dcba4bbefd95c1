//! The gNMI service that tonic calls.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use jiff::Timestamp;
use srl_proto::gnmi as pb;
use tonic::{Request, Response, Status, Streaming};

use super::encoding::Encoding;
use super::{Inner, VERSION, get, set, subscribe};
use crate::datastore::Refusal;
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

/// Returns nanoseconds since the epoch.
pub(super) fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Returns the status for the refusal of a path or value.
pub(super) fn invalid(refusal: &Refusal) -> Status {
    let known = refusal.message.starts_with("Path not valid");
    Status::invalid_argument(if known { refusal.message.clone() } else { refusal.to_string() })
}

/// Refuses paths whose origin the switch does not support.
pub(super) fn check_origin<'a>(paths: impl IntoIterator<Item = &'a pb::Path>) -> Result<(), Status> {
    match paths.into_iter().find(|path| !matches!(path.origin.as_str(), "" | "native" | "srl_nokia")) {
        Some(path) => Err(Status::invalid_argument(format!("Origin '{}' is not supported", path.origin))),
        None => Ok(()),
    }
}

/// Refuses paths with an element that the switch is configured not to know.
pub(super) fn check_known<'a>(unknown: &[String], paths: impl IntoIterator<Item = &'a pb::Path>) -> Result<(), Status> {
    let mut elements = paths.into_iter().flat_map(|path| &path.elem).map(|elem| &elem.name);
    match elements.find(|name| unknown.contains(name)) {
        Some(name) => Err(Status::invalid_argument(format!("Path not valid - unknown element '{name}'"))),
        None => Ok(()),
    }
}

/// Returns the prefix of an answer, which is the target that the client named.
pub(super) fn target_only(prefix: &pb::Path) -> Option<pb::Path> {
    let target = prefix.target.clone();
    (!target.is_empty()).then(|| pb::Path { target, ..pb::Path::default() })
}
