//! Makes one call to the NDK, updates before deletes, and returns its outcome.

use std::future::Future;

use tracing::debug;

use super::batch::Batch;
use super::refused::Refusal;
use super::sink::{Sink, WriteError};

/// The outcome of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The call was accepted, except for the deletes of these paths.
    Written(Vec<String>),
    /// The updates were refused; the NDK does not say which of them.
    Refused(Refusal, String),
    /// The NDK did not answer, so that it is not known what it accepted.
    Lost(String),
}

/// Sends the updates of a batch, then its deletes.
pub(super) fn send<S: Sink>(sink: S, batch: &Batch) -> impl Future<Output = Outcome> + use<S> {
    let updates = batch.updates();
    let deletes: Vec<String> = batch.deletes().map(|write| write.path.clone()).collect();
    async move {
        if !updates.is_empty()
            && let Err(error) = sink.update(updates).await
        {
            return match error {
                WriteError::Refused(reason) => Outcome::Refused(Refusal::Content, reason),
                WriteError::TooLarge(reason) => Outcome::Refused(Refusal::Size, reason),
                WriteError::Lost(reason) => Outcome::Lost(reason),
            };
        }
        delete(sink, deletes).await
    }
}

/// Deletes entries. A refused delete does not prevent the others.
pub(super) async fn delete<S: Sink>(sink: S, paths: Vec<String>) -> Outcome {
    let mut refused = Vec::new();
    let mut parts = vec![paths];
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match sink.delete(part.clone()).await {
            Ok(()) => {}
            Err(WriteError::Lost(reason)) => return Outcome::Lost(reason),
            Err(WriteError::Refused(_) | WriteError::TooLarge(_)) if part.len() == 1 => refused.append(&mut part),
            Err(WriteError::Refused(reason) | WriteError::TooLarge(reason)) => {
                debug!(%reason, paths = part.len(), "the NDK refuses a delete");
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            }
        }
    }
    Outcome::Written(refused)
}
