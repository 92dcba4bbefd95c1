//! What the handlers of a request about objects need.

use std::sync::Arc;

use http::HeaderMap;

use super::super::Inner;
use super::super::resource::{Resource, ResourceId};
use super::media::Shape;
use super::route::{Query, Target};

/// A request about objects, with what its handlers need.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) inner: Arc<Inner>,
    pub(crate) id: ResourceId,
    pub(crate) resource: Resource,
    pub(crate) target: Target,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) shape: Shape,
}
