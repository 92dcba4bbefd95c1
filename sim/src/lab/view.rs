//! What a leaf's datastore says, and what its CLI answers.

use std::io;
use std::sync::Arc;

use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::appmgr::{AppManager, Operation};
use crate::cli::{Applications, Session, SessionOptions};
use crate::datastore::{Refusal, Source};
use crate::leaf::Leaf;
use crate::path::{Path, PathSyntaxError};

use super::Lab;

/// Name of a leaf's CLI socket in its folder.
pub(crate) const CLI_SOCKET: &str = "cli";

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
    /// The CLI refuses a command.
    #[error("{}", .0.trim_end())]
    Refused(String),
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
    /// The value of a leaf in state, as text; none where nothing stands.
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
        script(self.known(leaf)?, command).await
    }

    fn known(&self, leaf: &str) -> Result<&Leaf, ViewError> {
        self.leaves().get(leaf).ok_or_else(|| ViewError::Leaf(leaf.to_owned()))
    }
}

/// Commits lines of configuration.
pub(super) async fn commit(leaf: &Leaf, lines: &str) -> Result<(), ViewError> {
    if lines.trim().is_empty() {
        return Ok(());
    }
    script(leaf, &format!("enter candidate private\n{lines}\ncommit now\n")).await.map(drop)
}

/// Runs lines in a session of their own, up to the first that is refused.
async fn script(leaf: &Leaf, lines: &str) -> Result<String, ViewError> {
    let output = session(leaf).script(lines, true).await;
    if output.status == 0 { Ok(output.text) } else { Err(ViewError::Refused(output.text)) }
}

/// Offers the CLI of a leaf on a socket in its folder, for as long as it is polled.
pub(super) fn serve_cli(leaf: &Leaf) -> io::Result<impl Future<Output = ()> + use<>> {
    let path = leaf.folder().join(CLI_SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let leaf = leaf.clone();
    let name = leaf.name().to_owned();
    let served = crate::cli::serve(listener, Arc::new(move || session(&leaf)));
    Ok(async move {
        if let Err(error) = served.await {
            tracing::warn!(leaf = %name, %error, "CLI ended");
        }
    })
}

fn session(leaf: &Leaf) -> Session {
    let options = SessionOptions::new(leaf.name(), leaf.options().release.clone());
    Session::new(leaf.datastore().clone(), options, Some(Arc::new(Managed(leaf.apps().clone()))))
}

/// `tools system app-management` on the application manager.
struct Managed(AppManager);

#[tonic::async_trait]
impl Applications for Managed {
    async fn operate(&self, application: &str, operation: &str) -> Result<String, String> {
        let operation = Operation::parse(operation).ok_or_else(|| format!("there is no operation '{operation}'"))?;
        self.0.operate(application, operation).await.map_err(|error| error.to_string())
    }
}
