//! The task that owns the process of one application: it obeys orders, applies the failure policy, and shows the state.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::launch::{self, Overrides};
use super::spec::{AppSpec, FailureAction};
use super::{AppState, AppStatus, Operation, OperationError};
use crate::datastore::{Datastore, StateOp};
use crate::native_state::{app_path, now};
use crate::ndk::{AppInfo, Ndk};

/// Time an application has to end after SIGTERM before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// An operation and the channel for its answer.
pub(super) type Order = (Operation, oneshot::Sender<Result<String, OperationError>>);

/// Owner of one application's process.
pub(super) struct Supervisor {
    pub(super) spec: Arc<AppSpec>,
    pub(super) overrides: Overrides,
    pub(super) log: PathBuf,
    pub(super) ndk: Ndk,
    pub(super) store: Datastore,
    pub(super) version: String,
    pub(super) status: watch::Sender<AppStatus>,
    pub(super) failures: VecDeque<Instant>,
}

/// How a running application came to an end.
enum End {
    /// It ended by itself, or by a signal that was not sent to stop it.
    Failed(std::io::Result<ExitStatus>),
    /// It was ordered to stay down.
    Stopped,
    /// It was ordered to restart.
    Restart,
    /// Nobody can send orders any more.
    Abandoned,
}

/// What to do next.
enum Next {
    Start,
    Stay(AppState),
    StartAfter(Duration),
}

impl Supervisor {
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        self.version = self.read_version().await;
        self.ndk.add_app(AppInfo { version: self.version.clone(), ..self.spec.info() });
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

    /// Waits for configuration if the application needs it. Returns false if the application was stopped meanwhile, and
    /// `None` if nobody can send orders any more.
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

    /// Runs the process until it ends and returns what to do next.
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
                            // The exit status does not matter: the process is down.
                            let _ = child.wait().await;
                            self.done(answer, "was killed with signal 9\nwas restarted");
                            return End::Restart;
                        }
                        Operation::Stop => {
                            signal(&child, Signal::TERM);
                            if tokio::time::timeout(STOP_GRACE, child.wait()).await.is_err() {
                                tracing::warn!(app = %self.spec.name, "application did not end on SIGTERM: killed");
                                signal(&child, Signal::KILL);
                                // The exit status does not matter: the process is down.
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

    /// Applies the failure policy and returns what to do next.
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

    /// Stays down until an order or, if given, the end of the wait.
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
        // The caller may not wait for the answer.
        let _ = answer.send(Ok(lines.join("\n")));
    }

    fn not_running(&self, answer: oneshot::Sender<Result<String, OperationError>>) {
        // The caller may not wait for the answer.
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

    /// Writes the application's entry to state.
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

    /// Returns the first line that the version command prints.
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
