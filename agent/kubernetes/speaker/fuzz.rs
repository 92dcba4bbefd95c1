//! Exposes the readers of speaker resources to a fuzzer.

use std::sync::Arc;

use super::reduce::Objects;
use super::statuses::Statuses;
use crate::kubernetes::reduce::Kind;
use crate::model::speaker::SpeakerResource;

/// Returns a reader of one resource.
pub(in crate::kubernetes) fn objects(resource: SpeakerResource) -> impl Kind {
    Objects::new(resource, Arc::from("/apis/example.com/v1"))
}

/// Returns a reader of statuses.
pub(in crate::kubernetes) fn statuses(resource: SpeakerResource) -> impl Kind {
    Statuses::new(resource, Arc::from("/apis/metallb.io/v1beta1"))
}
