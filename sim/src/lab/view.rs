//! What a leaf's datastore says, and what its CLI answers.

use serde_json::Value;
use tokio::sync::watch;

use crate::datastore::{Refusal, Source};
use crate::leaf::{CommandRefused, Leaf};
use crate::path::{Path, PathSyntaxError};

use super::Lab;

/// Why a leaf does not say.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// No such leaf.
    #[error("this lab has no leaf '{0}'")]
    Leaf(String),
    /// The path is no path.
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

/// Tells when the state of any leaf changes.
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
    /// The value of a leaf in state, as text; `None` where nothing stands.
    ///
    /// # Errors
    /// A path that the schema does not know.
    pub fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, ViewError> {
        let path: Path = path.parse()?;
        let value = self.known(leaf)?.datastore().json(Source::State, &path)?;
        Ok(value.map(|value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }

    /// What a command prints on a leaf's CLI.
    ///
    /// # Errors
    /// The command is refused.
    pub async fn cli(&self, leaf: &str, command: &str) -> Result<String, ViewError> {
        Ok(self.known(leaf)?.cli(command).await?)
    }

    fn known(&self, leaf: &str) -> Result<&Leaf, ViewError> {
        self.leaves().get(leaf).ok_or_else(|| ViewError::Leaf(leaf.to_owned()))
    }
}
