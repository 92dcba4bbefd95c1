//! Reads a leaf's datastore and runs commands on its CLI.

use serde_json::Value;
use tokio::sync::watch;

use crate::datastore::{Refusal, Source};
use crate::leaf::{CommandRefused, Leaf};
use crate::path::{Path, PathSyntaxError};

use super::Lab;

/// Why a leaf cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The leaf does not exist.
    #[error("this lab has no leaf '{0}'")]
    Leaf(String),
    /// The path is not valid.
    #[error(transparent)]
    Path(#[from] PathSyntaxError),
    /// The schema does not know the path.
    #[error(transparent)]
    Unknown(#[from] Refusal),
    /// A real leaf does not answer.
    #[error("{0}")]
    Device(String),
    /// The CLI refuses a command.
    #[error(transparent)]
    Cli(#[from] CommandRefused),
}

/// Notifies of changes in the state of any leaf.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<u64>);

impl Changes {
    pub(crate) fn new(counter: watch::Receiver<u64>) -> Self {
        Self(counter)
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nothing changes any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Lab {
    /// Returns the value of a leaf in state as text; `None` if it has no value.
    ///
    /// # Errors
    /// Returns an error if the schema does not know the path.
    pub fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, ViewError> {
        let path: Path = path.parse()?;
        let value = self.known(leaf)?.datastore().json(Source::State, &path)?;
        Ok(value.map(|value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }

    /// Returns notifications of changes from now on.
    pub(crate) fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }

    /// Returns the output of a command on a leaf's CLI.
    ///
    /// # Errors
    /// Returns an error if the command is refused.
    pub async fn cli(&self, leaf: &str, command: &str) -> Result<String, ViewError> {
        Ok(self.known(leaf)?.cli(command).await?)
    }

    fn known(&self, leaf: &str) -> Result<&Leaf, ViewError> {
        self.leaves().get(leaf).ok_or_else(|| ViewError::Leaf(leaf.to_owned()))
    }
}
