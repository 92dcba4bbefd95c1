//! Defines where state is written: the publisher's port, and the NDK behind it.

use std::future::Future;

use crate::ndk::{Registration, TelemetryError};

/// Why a write did not go through.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The NDK answered that it does not accept the write.
    #[error("refused: {0}")]
    Refused(String),
    /// The NDK answered that the message is too large.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The NDK did not answer.
    #[error("no answer: {0}")]
    Lost(String),
}

/// A destination of state: one registration with the NDK.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Returns a number that grows with each registration: nothing that was written under an earlier one remains.
    fn generation(&self) -> u64;

    /// Writes entries, each a path and JSON.
    ///
    /// # Errors
    /// If they are refused, or the NDK does not answer.
    fn update(&self, states: Vec<(String, String)>) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Deletes entries.
    ///
    /// # Errors
    /// If they are refused, or the NDK does not answer.
    fn delete(&self, paths: Vec<String>) -> impl Future<Output = Result<(), WriteError>> + Send;
}

impl Sink for Registration {
    fn generation(&self) -> u64 {
        self.generation
    }

    async fn update(&self, states: Vec<(String, String)>) -> Result<(), WriteError> {
        Ok(self.telemetry.update(states).await?)
    }

    async fn delete(&self, paths: Vec<String>) -> Result<(), WriteError> {
        Ok(self.telemetry.delete(paths).await?)
    }
}

impl From<TelemetryError> for WriteError {
    fn from(error: TelemetryError) -> Self {
        match error {
            TelemetryError::Refused(reason) => Self::Refused(reason),
            TelemetryError::TooLarge(reason) => Self::TooLarge(reason),
            TelemetryError::Lost(status) => Self::Lost(crate::supervise::words(&status)),
        }
    }
}
