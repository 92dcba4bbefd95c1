//! The switch's CLI: creates sessions, and a socket in the switch's folder that offers sessions to other processes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixListener;

use super::management::Management;
use super::{Leaf, LeafOptions};
use crate::appmgr::{AppManager, Operation};
use crate::cli::{Applications, Session, SessionOptions};
use crate::datastore::Datastore;

/// File name of the CLI's socket in a switch's folder.
const SOCKET_NAME: &str = "cli";
/// Name of the application manager as an application.
const APP_MGR: &str = "app_mgr";

/// A command was refused by the CLI, with the CLI's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.trim_end())]
pub struct CommandRefused(pub String);

/// Returns the CLI socket of a switch with this folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join(SOCKET_NAME)
}

/// What all sessions of a switch share.
#[derive(Clone)]
pub(super) struct Console {
    store: Datastore,
    options: SessionOptions,
    managed: Arc<Managed>,
}

impl Console {
    pub(super) fn new(store: Datastore, options: &LeafOptions, apps: AppManager, management: Management) -> Self {
        let mut session = SessionOptions::new(&options.name, options.profile.release.clone());
        session.busy = Some(management.busy());
        session.plugins.clone_from(&options.cli_plugins);
        Self { store, options: session, managed: Arc::new(Managed { apps, management }) }
    }

    fn session(&self) -> Session {
        Session::new(self.store.clone(), self.options.clone(), Some(self.managed.clone()))
    }
}

impl Leaf {
    /// Runs lines in a new CLI session, up to the first that is refused, and returns their output.
    ///
    /// # Errors
    /// Returns an error if a line is refused.
    pub async fn cli(&self, lines: &str) -> Result<String, CommandRefused> {
        let output = self.shared.console.session().script(lines, true).await;
        if output.status == 0 { Ok(output.text) } else { Err(CommandRefused(output.text)) }
    }

    /// Commits lines of configuration; does nothing if there are none.
    ///
    /// # Errors
    /// Returns an error if a line, or the commit, is refused.
    pub async fn commit(&self, lines: &str) -> Result<(), CommandRefused> {
        if lines.trim().is_empty() {
            return Ok(());
        }
        self.cli(&format!("enter candidate private\n{lines}\ncommit now\n")).await.map(drop)
    }
}

/// Offers the CLI on its socket while the future is polled.
///
/// # Errors
/// Returns an error if the socket cannot be bound.
pub(super) fn serve(folder: &Path, console: Console) -> io::Result<impl Future<Output = ()> + use<>> {
    let path = socket(folder);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let name = console.options.hostname.clone();
    let served = crate::cli::serve(listener, Arc::new(move || console.session()));
    Ok(async move {
        if let Err(error) = served.await {
            tracing::warn!(leaf = %name, %error, "CLI ended");
        }
    })
}

/// Performs `tools system app-management` on the application manager.
struct Managed {
    apps: AppManager,
    management: Management,
}

#[tonic::async_trait]
impl Applications for Managed {
    async fn operate(&self, application: &str, operation: &str) -> Result<String, String> {
        let operation = Operation::parse(operation).ok_or_else(|| format!("unknown operation '{operation}'"))?;
        if application == APP_MGR && operation == Operation::Reload {
            self.management.reload();
            return Ok(format!("Application '{APP_MGR}' was reloaded"));
        }
        self.apps.operate(application, operation).await.map_err(|error| error.to_string())
    }
}
