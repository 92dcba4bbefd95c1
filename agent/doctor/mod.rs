//! Implements `k8s-services doctor`: checks every assumption the agent makes about the switch it runs on, and returns
//! remedies.
//!
//! ```text
//! process        the running agent: its flags, user and capabilities ── the doctor becomes that user
//! application    release, definition, application manager
//! switch         NDK, gNMI and each path the agent asks for, YANG
//! state          what the agent adapted to, its state and sources
//! configuration  clusters, read over gNMI or from what is saved; whether all of it is saved
//! cluster        network instance, credentials, namespace, connection, TLS, rights ── filter, on a time-out
//! files          folders and their modes
//! ```
//!
//! It does what the agent does, with the agent's own code, and changes nothing on the switch: gNMI is only read, the
//! NDK is only asked for an id, files are only examined. A check is a value; `report` prints it.

mod application;
mod cluster;
mod configuration;
mod files;
mod filter;
mod process;
mod report;
mod state;
mod switch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gnmi;
use crate::kubernetes::ConnectOptions;
use crate::model::names::NetworkInstanceName;
use crate::server_addr::ServerAddr;

pub use self::process::{Running, Variable, running};
pub use self::report::{lines, write};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it should be, or it cannot be checked from here.
    Ok,
    /// The agent works, but something is not as it should be.
    Warning,
    /// The agent does not work, or only partly.
    Failure,
}

impl Outcome {
    /// Returns the word at the beginning of a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }

    /// Returns the exit status of a run in which this is the worst outcome.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Failure => 2,
        }
    }
}

/// The result of checking one assumption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked: `NDK`, `API server of c1`.
    pub name: String,
    /// How bad it is.
    pub outcome: Outcome,
    /// What was found, in a sentence.
    pub finding: String,
    /// What to type, one command per line.
    pub remedy: Vec<String>,
    /// How long the check took.
    pub took: Duration,
}

impl Check {
    fn new(name: impl Into<String>, outcome: Outcome, finding: impl Into<String>) -> Self {
        Self { name: name.into(), outcome, finding: finding.into(), remedy: Vec::new(), took: Duration::ZERO }
    }

    fn ok(name: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, finding)
    }

    fn warning(name: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(name, Outcome::Warning, finding)
    }

    fn failure(name: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(name, Outcome::Failure, finding)
    }

    fn remedy<T: Into<String>>(mut self, lines: impl IntoIterator<Item = T>) -> Self {
        self.remedy.extend(lines.into_iter().map(Into::into));
        self
    }

    fn after(self, took: Duration) -> Self {
        Self { took, ..self }
    }
}

/// The flags of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The NDK.
    pub ndk: ServerAddr,
    /// The on-box gNMI server.
    pub gnmi: gnmi::Options,
    /// What is needed to reach clusters.
    pub connect: ConnectOptions,
    /// The agent's state file.
    pub state_file: PathBuf,
    /// The definition of the application.
    pub definition: PathBuf,
    /// The version of this program.
    pub version: &'static str,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
    /// Answers of the switch, for the report: a title, and JSON without secrets.
    pub answers: Vec<(&'static str, Value)>,
}

impl Examination {
    /// Returns the worst outcome.
    pub fn outcome(&self) -> Outcome {
        self.checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Ok)
    }
}

/// Checks everything. `running` is the agent's process, if it was found; `startup` is the saved configuration, or why
/// it cannot be read.
pub async fn examine(options: &Options, running: &Running, startup: Result<Value, String>) -> Examination {
    let mut doctor = Doctor { options, running, found: Examination::default() };
    doctor.all(startup).await;
    doctor.found
}

/// A run of the doctor.
struct Doctor<'a> {
    options: &'a Options,
    running: &'a Running,
    found: Examination,
}

impl Doctor<'_> {
    async fn all(&mut self, startup: Result<Value, String>) {
        self.add(process::user(self.running));
        self.add(application::definition(&self.options.definition));
        self.timed(switch::ndk(&self.options.ndk, &self.options.gnmi)).await;

        // Read the clusters first, because they determine which network instances matter; what they need is checked
        // last.
        let read =
            configuration::read(&self.options.gnmi, startup.as_ref().ok(), &self.options.connect.credentials).await;
        let instances: BTreeSet<NetworkInstanceName> = read.instances();
        let begun = Instant::now();
        let gnmi = switch::gnmi(&self.options.gnmi, &instances).await;
        self.add(gnmi.check.after(begun.elapsed()));
        if gnmi.answers {
            self.found.answers.extend(gnmi.paths.map(|paths| ("gNMI", paths)));
            self.release().await;
            self.add(read.check());
            let state = self.state().await;
            self.checks(state);
        }
        self.add(configuration::saved(read.over_gnmi.as_ref(), startup.as_ref()));
        if let Some(problems) = read.problems() {
            self.add(problems);
        }
        for (name, config) in read.clusters() {
            let checks = cluster::examine(self.options, self.running, name, config, gnmi.answers).await;
            self.checks(checks);
        }
        self.checks(files::examine(&self.options.connect.credentials, &self.options.state_file));
    }

    async fn release(&mut self) {
        let begun = Instant::now();
        let (checks, answer) = application::manager(&self.options.gnmi, self.options.version).await;
        self.checks(checks.into_iter().map(|check| check.after(begun.elapsed())));
        self.found.answers.extend(answer.map(|answer| ("application manager", answer)));
    }

    async fn state(&mut self) -> Vec<Check> {
        let (checks, answers) = state::examine(&self.options.gnmi).await;
        self.found.answers.extend(answers);
        checks
    }

    fn add(&mut self, check: Check) {
        self.found.checks.push(check);
    }

    fn checks(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.found.checks.extend(checks);
    }

    async fn timed(&mut self, check: impl Future<Output = Check>) {
        let begun = Instant::now();
        let check = check.await;
        self.add(check.after(begun.elapsed()));
    }
}

/// Returns a command of SR Linux's CLI as it is typed in a shell.
fn typed(command: &str) -> String {
    format!("sr_cli -- \"{command}\"")
}

/// Returns lines of configuration as they are typed.
fn committed<T: Into<String>>(lines: impl IntoIterator<Item = T>) -> Vec<String> {
    let begin = std::iter::once("enter candidate".to_owned());
    begin.chain(lines.into_iter().map(Into::into)).chain(std::iter::once("commit save".to_owned())).collect()
}
