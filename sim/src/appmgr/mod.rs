//! The application manager: starts the applications of a switch, watches them, starts them again by their failure policy,
//! and shows them in state.
//!
//! One task per application owns its process. Orders reach it over a channel, its state is read over a watch.

mod launch;
mod spec;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::launch::Overrides;
pub use self::spec::{AppSpec, DeliveryFormat, FailureAction, SpecError, YangModules};
use crate::datastore::{Datastore, StateOp};
use crate::leaf::state::{app_path, now};
use crate::ndk::{Ndk, NdkEvent};

/// How long a stopped application may take before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// State of an application as `application/state` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppState {
    /// Its process is about to start.
    Starting,
    /// Its process runs.
    Running,
    /// It waits until there is configuration for it.
    WaitingForConfig,
    /// It has failed too often, or cannot be started.
    Error,
    /// It was stopped, or never started.
    Stopped,
}

impl AppState {
    /// YANG's word.
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

/// What is known of a running application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppStatus {
    /// Its state.
    pub state: AppState,
    /// Of its process.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// When its state changed last, RFC 3339.
    pub last_change: String,
}

/// An operation of `tools system app-management application <name> ...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Starts a stopped one.
    Start,
    /// SIGTERM, and SIGKILL when that does not end it; it stays down.
    Stop,
    /// SIGKILL, and started again.
    Restart,
    /// SIGHUP.
    Reload,
    /// SIGQUIT.
    Quit,
    /// SIGKILL; a failure like any other, so the failure policy applies.
    Kill,
}

impl Operation {
    /// CLI's word.
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

    /// The operation of a CLI word.
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
    /// Its YAML file restricts it.
    #[error("Operation '{operation}' is restricted for application '{app}'")]
    Restricted {
        /// Which application.
        app: String,
        /// Which operation.
        operation: &'static str,
    },
    /// Its process does not run.
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
    orders: mpsc::UnboundedSender<(Operation, oneshot::Sender<Result<String, OperationError>>)>,
    status: watch::Receiver<AppStatus>,
    task: JoinHandle<()>,
}

impl AppManager {
    /// Makes an application manager whose applications' output goes to `<logs>/<application>.log`.
    pub fn new(ndk: Ndk, store: Datastore, logs: PathBuf) -> Self {
        let news = ndk.subscribe();
        let shared = Arc::new_cyclic(|weak: &std::sync::Weak<Shared>| {
            let weak = weak.clone();
            let kills = tokio::spawn(kill_silent(news, weak));
            Shared { ndk, store, logs, apps: Mutex::default(), kills }
        });
        Self { shared }
    }

    /// Makes an application known to the NDK and starts it, unless its file says otherwise.
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

    /// Performs an operation on an application and says what was done, in the CLI's words.
    ///
    /// # Errors
    /// [`OperationError`] when there is no such application, it does not run, or the operation is restricted.
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

    /// Follows an application's status.
    pub fn status(&self, app: &str) -> Option<watch::Receiver<AppStatus>> {
        self.shared.apps().get(app).map(|managed| managed.status.clone())
    }

    /// The file an application's output goes to.
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
                // It may have ended by itself.
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

/// Kills applications whose keepalive stays away.
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

type Order = (Operation, oneshot::Sender<Result<String, OperationError>>);

/// Owner of one application's process.
struct Supervisor {
    spec: Arc<AppSpec>,
    overrides: Overrides,
    log: PathBuf,
    ndk: Ndk,
    store: Datastore,
    version: String,
    status: watch::Sender<AppStatus>,
    failures: VecDeque<Instant>,
}

/// How a running application came to an end.
enum End {
    /// By itself or by a signal nobody here sent to stop it.
    Failed(std::io::Result<ExitStatus>),
    /// Ordered to stay down.
    Stopped,
    /// Ordered to start again.
    Restart,
    /// Nobody gives orders any more.
    Abandoned,
}

/// What to do next.
enum Next {
    Start,
    Stay(AppState),
    StartAfter(Duration),
}

impl Supervisor {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        self.version = self.read_version().await;
        self.ndk.add_app(crate::ndk::AppInfo { version: self.version.clone(), ..self.spec.info() });
        self.show();
        let mut next = match self.spec.never_start || self.spec.launch_by_request {
            true => Next::Stay(AppState::Stopped),
            false => Next::Start,
        };
        loop {
            next = match next {
                Next::Start => match self.until_configured(&mut orders).await {
                    Some(true) => match self.live(&mut orders).await {
                        Some(next) => next,
                        None => return,
                    },
                    Some(false) => Next::Stay(AppState::Stopped),
                    None => return,
                },
                Next::Stay(state) => match self.stay(state, None, &mut orders).await {
                    Some(next) => next,
                    None => return,
                },
                Next::StartAfter(wait) => match self.stay(AppState::Error, Some(wait), &mut orders).await {
                    Some(next) => next,
                    None => return,
                },
            };
        }
    }

    /// Waits for configuration where the application wants it. False when it was stopped meanwhile.
    async fn until_configured(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<bool> {
        if !self.spec.wait_for_config {
            return Some(true);
        }
        let mut commits = self.store.subscribe();
        while !self.ndk.has_config(&self.spec.name) {
            self.set(AppState::WaitingForConfig, None);
            tokio::select! {
                change = commits.recv() => {
                    if let Err(broadcast::error::RecvError::Closed) = change {
                        return None;
                    }
                }
                order = orders.recv() => {
                    let (operation, answer) = order?;
                    match operation {
                        Operation::Start | Operation::Restart => self.done(answer, "was started"),
                        Operation::Stop => {
                            self.done(answer, "was stopped");
                            return Some(false);
                        }
                        _ => self.not_running(answer),
                    }
                }
            }
        }
        Some(true)
    }

    /// One life of the process, and what follows it.
    async fn live(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<Next> {
        self.set(AppState::Starting, None);
        let end = match launch::launch(&self.spec, &self.overrides, &self.log) {
            Ok(child) => {
                self.set(AppState::Running, child.id());
                self.attend(child, orders).await
            }
            Err(error) => End::Failed(Err(error)),
        };
        self.ndk.app_gone(&self.spec.name);
        match end {
            End::Abandoned => None,
            End::Stopped => Some(Next::Stay(AppState::Stopped)),
            End::Restart => {
                self.status.send_modify(|status| status.restarts += 1);
                Some(Next::Start)
            }
            End::Failed(how) => Some(self.failed(how)),
        }
    }

    async fn attend(&mut self, mut child: Child, orders: &mut mpsc::UnboundedReceiver<Order>) -> End {
        loop {
            tokio::select! {
                ended = child.wait() => return End::Failed(ended),
                order = orders.recv() => {
                    let Some((operation, answer)) = order else { return End::Abandoned };
                    match operation {
                        Operation::Start => self.done(answer, "was already started"),
                        Operation::Reload => {
                            signal(&child, Signal::HUP);
                            self.done(answer, "was sent signal 1");
                        }
                        Operation::Quit => {
                            signal(&child, Signal::QUIT);
                            self.done(answer, "was killed with signal 3");
                        }
                        Operation::Kill => {
                            signal(&child, Signal::KILL);
                            let ended = child.wait().await;
                            self.done(answer, "was killed with signal 9");
                            return End::Failed(ended);
                        }
                        Operation::Restart => {
                            signal(&child, Signal::KILL);
                            // However it ended, it is down now.
                            let _ = child.wait().await;
                            self.done(answer, "was killed with signal 9\nwas restarted");
                            return End::Restart;
                        }
                        Operation::Stop => {
                            signal(&child, Signal::TERM);
                            if tokio::time::timeout(STOP_GRACE, child.wait()).await.is_err() {
                                tracing::warn!(app = %self.spec.name, "application did not end on SIGTERM: killed");
                                signal(&child, Signal::KILL);
                                // However it ended, it is down now.
                                let _ = child.wait().await;
                            }
                            self.set(AppState::Stopped, None);
                            self.done(answer, "was stopped");
                            return End::Stopped;
                        }
                    }
                }
            }
        }
    }

    /// Applies the failure policy.
    fn failed(&mut self, how: std::io::Result<ExitStatus>) -> Next {
        let how = match how {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(app = %self.spec.name, %how, "application ended");
        if self.spec.never_restart {
            return Next::Stay(AppState::Error);
        }
        let now = Instant::now();
        let window = Duration::from_secs(u64::from(self.spec.failure_window));
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|at| now.duration_since(*at) > window) {
            self.failures.pop_front();
        }
        self.status.send_modify(|status| status.restarts += 1);
        let threshold = usize::from(self.spec.failure_threshold);
        if threshold == 0 || self.failures.len() < threshold {
            return Next::Start;
        }
        self.failures.clear();
        match self.spec.failure_action {
            FailureAction::Wait(wait) => Next::StartAfter(wait),
            FailureAction::WaitForever => Next::Stay(AppState::Error),
            FailureAction::Reboot => {
                tracing::error!(app = %self.spec.name, "application failed too often: a switch would reboot now");
                Next::Stay(AppState::Error)
            }
        }
    }

    /// Down until ordered otherwise, or until the wait is over.
    async fn stay(
        &mut self,
        state: AppState,
        wait: Option<Duration>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Option<Next> {
        self.set(state, None);
        let over = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Some(Next::Start),
                order = orders.recv() => {
                    let (operation, answer) = order?;
                    match operation {
                        Operation::Start => {
                            self.done(answer, "was started");
                            return Some(Next::Start);
                        }
                        Operation::Restart => {
                            self.done(answer, "was restarted");
                            return Some(Next::Start);
                        }
                        Operation::Stop => {
                            self.done(answer, "was stopped");
                            return Some(Next::Stay(AppState::Stopped));
                        }
                        _ => self.not_running(answer),
                    }
                }
            }
        }
    }

    fn done(&self, answer: oneshot::Sender<Result<String, OperationError>>, what: &str) {
        let lines: Vec<String> = what.lines().map(|line| format!("Application '{}' {line}", self.spec.name)).collect();
        // Who asked may not wait for the answer.
        let _ = answer.send(Ok(lines.join("\n")));
    }

    fn not_running(&self, answer: oneshot::Sender<Result<String, OperationError>>) {
        // Who asked may not wait for the answer.
        let _ = answer.send(Err(OperationError::NotRunning(self.spec.name.clone())));
    }

    fn set(&self, state: AppState, pid: Option<u32>) {
        let changed = self.status.send_if_modified(|status| {
            if status.state == state && status.pid == pid {
                return false;
            }
            (status.state, status.pid, status.last_change) = (state, pid, now());
            true
        });
        if changed {
            self.show();
        }
    }

    /// Writes the application's entry in state.
    fn show(&self) {
        let (spec, status) = (&self.spec, self.status.borrow().clone());
        if spec.never_show {
            return;
        }
        let mut entry = json!({
            "state": status.state.as_yang(),
            "last-change": status.last_change,
            "last-start-type": "cold",
            "author": spec.author,
            "failure-threshold": spec.failure_threshold,
            "failure-window": spec.failure_window,
            "failure-action": spec.failure_action.to_string(),
            "path": spec.path,
            "launch-command": spec.launch_command(),
            "search-command": spec.search_command.clone().unwrap_or_else(|| spec.launch_command()),
            "version": self.version,
            "oom-score-adj": 0,
            "restricted-operations": spec.restricted_operations,
            "statistics": { "restart-count": status.restarts.to_string() },
            "yang": {
                "modules": spec.yang_modules.names,
                "source-directories": spec.yang_modules.source_directories,
            },
        });
        if let Some(pid) = status.pid {
            entry["pid"] = pid.into();
        }
        let op = StateOp::Replace(app_path(&spec.name), entry);
        if let Err(refusal) = self.store.apply_state("app_mgr", vec![op]) {
            tracing::warn!(app = %spec.name, %refusal, "state of an application was refused");
        }
    }

    /// What the version command prints on its first line.
    async fn read_version(&self) -> String {
        let Some(command) = &self.spec.version_command else { return String::new() };
        let mut words = command.split_whitespace();
        let Some(program) = words.next() else { return String::new() };
        let folder = self.overrides.path.as_ref().unwrap_or(&self.spec.path);
        let program = match folder.join(Path::new(program).file_name().unwrap_or_default()) {
            own if own.is_file() => own,
            _ => PathBuf::from(program),
        };
        match Command::new(program).args(words).kill_on_drop(true).output().await {
            Ok(output) => String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned(),
            Err(error) => {
                tracing::debug!(app = %self.spec.name, %error, "version command failed");
                String::new()
            }
        }
    }
}

/// Sends a signal to a process that has not been waited for yet.
fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // A process that has just ended by itself needs no signal.
        let _ = kill_process(pid, signal);
    }
}
