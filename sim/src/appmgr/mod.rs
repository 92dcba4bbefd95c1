//! The application manager: starts the applications of a switch, watches them, restarts them as their failure policy
//! says, and shows them in state.
//!
//! One task per application owns its process. It takes orders from a channel and publishes its state through a watch.

mod launch;
mod spec;
mod supervisor;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::launch::Overrides;
pub use self::spec::{AppSpec, DeliveryFormat, FailureAction, SpecError, YangModules};
use self::supervisor::{Order, Supervisor};
use crate::datastore::Datastore;
use crate::native_state::now;
use crate::ndk::{Ndk, NdkEvent};

/// State of an application, as in the leaf `application/state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppState {
    /// Its process is about to start.
    Starting,
    /// Its process runs.
    Running,
    /// It waits until it has configuration.
    WaitingForConfig,
    /// It has failed too often, or cannot be started.
    Error,
    /// It was stopped, or never started.
    Stopped,
}

impl AppState {
    /// Returns the name of the state in YANG.
    pub fn as_yang(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::WaitingForConfig => "waiting-for-config",
            Self::Error => "error",
            Self::Stopped => "stopped",
        }
    }
}

/// Status of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppStatus {
    /// State of the application.
    pub state: AppState,
    /// Process identifier, if the process runs.
    pub pid: Option<u32>,
    /// Number of restarts.
    pub restarts: u64,
    /// Time of the last change of `state`, RFC 3339.
    pub last_change: String,
}

/// An operation of `tools system app-management application <name> ...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Starts the application if it is stopped.
    Start,
    /// Sends SIGTERM, and SIGKILL if the process does not end. It is not restarted.
    Stop,
    /// Sends SIGKILL and restarts the application.
    Restart,
    /// Sends SIGHUP.
    Reload,
    /// Sends SIGQUIT.
    Quit,
    /// Sends SIGKILL. Counts as a failure, so the failure policy applies.
    Kill,
}

impl Operation {
    /// Returns the name of the operation in the CLI.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Quit => "quit",
            Self::Kill => "kill",
        }
    }

    /// Returns the operation with this CLI name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Start, Self::Stop, Self::Restart, Self::Reload, Self::Quit, Self::Kill]
            .into_iter()
            .find(|operation| operation.name() == word)
    }
}

/// Why an operation was refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OperationError {
    /// No such application.
    #[error("Application '{0}' does not exist")]
    Unknown(String),
    /// The operation is restricted by the application's YAML file.
    #[error("Operation '{operation}' is restricted for application '{app}'")]
    Restricted {
        /// Name of the application.
        app: String,
        /// Name of the operation.
        operation: &'static str,
    },
    /// The application's process does not run.
    #[error("Application '{0}' is not running")]
    NotRunning(String),
}

/// Handle of a switch's application manager; applications are killed when the last handle is dropped.
#[derive(Clone)]
pub struct AppManager {
    shared: Arc<Shared>,
}

struct Shared {
    ndk: Ndk,
    store: Datastore,
    logs: PathBuf,
    apps: Mutex<BTreeMap<String, Managed>>,
    kills: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.kills.abort();
        for app in self.apps.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            app.task.abort();
        }
    }
}

struct Managed {
    spec: Arc<AppSpec>,
    orders: mpsc::UnboundedSender<Order>,
    status: watch::Receiver<AppStatus>,
    task: JoinHandle<()>,
}

impl AppManager {
    /// Creates an application manager that writes the output of applications to `<logs>/<application>.log`.
    pub fn new(ndk: Ndk, store: Datastore, logs: PathBuf) -> Self {
        let news = ndk.subscribe();
        let shared = Arc::new_cyclic(|weak: &std::sync::Weak<Shared>| {
            let weak = weak.clone();
            let kills = tokio::spawn(kill_silent(news, weak));
            Shared { ndk, store, logs, apps: Mutex::default(), kills }
        });
        Self { shared }
    }

    /// Registers an application with the NDK and starts it, unless its YAML file says otherwise.
    pub fn add(&self, spec: AppSpec, overrides: Overrides) {
        self.shared.ndk.add_app(spec.info());
        let spec = Arc::new(spec);
        let (orders, receiver) = mpsc::unbounded_channel();
        let status = AppStatus { state: AppState::Stopped, pid: None, restarts: 0, last_change: now() };
        let (sender, status) = watch::channel(status);
        let supervisor = Supervisor {
            spec: spec.clone(),
            overrides,
            log: self.shared.logs.join(format!("{}.log", spec.name)),
            ndk: self.shared.ndk.clone(),
            store: self.shared.store.clone(),
            version: String::new(),
            status: sender,
            failures: VecDeque::new(),
        };
        let task = tokio::spawn(supervisor.run(receiver));
        let managed = Managed { spec: spec.clone(), orders, status, task };
        if let Some(before) = self.shared.apps().insert(spec.name.clone(), managed) {
            before.task.abort();
        }
    }

    /// Performs an operation on an application and returns what was done, in the CLI's words.
    ///
    /// # Errors
    /// [`OperationError`] if the application does not exist or does not run, or if the operation is restricted.
    pub async fn operate(&self, app: &str, operation: Operation) -> Result<String, OperationError> {
        let unknown = || OperationError::Unknown(app.to_owned());
        let (answer, answered) = oneshot::channel();
        {
            let apps = self.shared.apps();
            let managed = apps.get(app).ok_or_else(unknown)?;
            if managed.spec.restricted_operations.iter().any(|name| name == operation.name()) {
                return Err(OperationError::Restricted { app: app.to_owned(), operation: operation.name() });
            }
            managed.orders.send((operation, answer)).map_err(|_| unknown())?;
        }
        answered.await.unwrap_or_else(|_| Err(unknown()))
    }

    /// Returns a receiver of an application's status, or `None` if the application does not exist.
    pub fn status(&self, app: &str) -> Option<watch::Receiver<AppStatus>> {
        self.shared.apps().get(app).map(|managed| managed.status.clone())
    }

    /// Returns the file that an application's output is written to.
    pub fn log_file(&self, app: &str) -> PathBuf {
        self.shared.logs.join(format!("{app}.log"))
    }

    /// Stops every application and waits until all have ended.
    pub async fn stop_all(&self) {
        let names: Vec<String> = self.shared.apps().keys().cloned().collect();
        let stops = names.iter().map(|name| async move {
            let (answer, answered) = oneshot::channel();
            let sent = self.shared.apps().get(name).is_some_and(|it| it.orders.send((Operation::Stop, answer)).is_ok());
            if sent {
                // The application may have ended by itself.
                let _ = answered.await;
            }
        });
        futures::future::join_all(stops).await;
    }
}

impl Shared {
    fn apps(&self) -> MutexGuard<'_, BTreeMap<String, Managed>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills applications that stop sending keepalives.
async fn kill_silent(mut news: broadcast::Receiver<NdkEvent>, shared: std::sync::Weak<Shared>) {
    loop {
        match news.recv().await {
            Ok(NdkEvent::KeepaliveMissed(app)) => {
                let Some(shared) = shared.upgrade() else { return };
                let (answer, _) = oneshot::channel();
                if let Some(managed) = shared.apps().get(&app) {
                    // A supervisor that has ended has no process to kill.
                    let _ = managed.orders.send((Operation::Kill, answer));
                }
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
