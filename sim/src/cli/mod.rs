//! The CLI of an emulated switch: runs single lines, scripts, or an interactive prompt.
//!
//! A [`Session`] runs lines on a [`Datastore`]. [`serve`] offers sessions on a Unix socket. [`Client`] connects to that
//! socket and has a [`Client::prompt`] with history and completion.

mod age;
mod bgp;
mod command;
mod complete;
mod config;
mod diff;
mod error;
mod glob;
mod help;
mod info;
mod json;
mod lex;
mod own;
mod pattern;
mod ping;
mod pipe;
mod plugin;
mod prompt;
mod remote;
mod report;
mod reports;
mod routes;
mod show;
mod spelling;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod tools;
mod tree;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

pub use self::complete::{Completion, Suggestion};
pub use self::prompt::PromptError;
pub use self::remote::{Client, Factory, serve};
use self::target::Target;
use crate::datastore::{Candidate, Datastore, Exclusive};

/// Name of the candidate that sessions share.
const SHARED: &str = "default";

/// How much context `info` prints around its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoStyle {
    /// All containers that lead there, as releases up to 24.10 do.
    Wrapped,
    /// Only the contents, as later releases do.
    Contents,
}

impl InfoStyle {
    /// Returns the style of a release such as `24.10.3` or `v25.3.1-149-g3ce0cc0c1f5`.
    pub fn of_release(release: &str) -> Self {
        let mut numbers = release.trim_start_matches('v').split(['.', '-']).map(|part| part.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(year), Some(month)) if (year, month) <= (24, 10) => Self::Wrapped,
            _ => Self::Contents,
        }
    }
}

/// What a session knows about its switch and its user.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Name of the switch, shown in the prompt.
    pub hostname: String,
    /// Name of the user, shown in the prompt of later releases.
    pub user: String,
    /// Release of the switch, such as `25.3.1`.
    pub release: String,
    /// How much context `info` prints.
    pub style: InfoStyle,
    /// Whether the management server is loading YANG, and so does not answer.
    pub busy: Option<watch::Receiver<bool>>,
    /// Folders with Python files that are CLI plugins.
    pub plugins: Vec<PathBuf>,
    /// Python interpreter that runs the plugins.
    pub python: PathBuf,
}

impl SessionOptions {
    /// Creates options for the user `admin` on a switch, with the style of its release.
    pub fn new(hostname: impl Into<String>, release: impl Into<String>) -> Self {
        let release = release.into();
        let style = InfoStyle::of_release(&release);
        let (plugins, python) = (Vec::new(), PathBuf::from("python3"));
        Self { hostname: hostname.into(), user: "admin".to_owned(), release, style, busy: None, plugins, python }
    }
}

/// Operates applications for `tools system app-management application`.
#[tonic::async_trait]
pub trait Applications: Send + Sync + 'static {
    /// Performs an operation (`start`, `stop`, `restart`, `reload`, `quit`, `kill`). Returns what was done or why it
    /// was not, in the CLI's words.
    async fn operate(&self, application: &str, operation: &str) -> Result<String, String>;
}

/// Result of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The text to print. It ends in a newline unless it is empty.
    pub text: String,
    /// 0, or 1 if the line was refused.
    pub status: u8,
    /// Whether the line ends the session.
    pub quit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    State,
    Show,
    Candidate { kind: CandidateKind },
}

/// Who edits a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CandidateKind {
    Shared,
    Exclusive,
    Private,
}

impl Mode {
    fn source(self) -> info::From {
        match self {
            Self::Running | Self::Show => info::From::Running,
            Self::State => info::From::State,
            Self::Candidate { .. } => info::From::Candidate,
        }
    }
}

/// A user at the CLI of one switch: the mode, the context and the candidate.
pub struct Session {
    store: Datastore,
    options: SessionOptions,
    applications: Option<Arc<dyn Applications>>,
    mode: Mode,
    context: Target,
    /// The previous context, for `back`.
    left: Target,
    private: Option<Candidate>,
    exclusive: Option<Exclusive>,
    /// The lines that were run, for `history`.
    lines: VecDeque<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("options", &self.options).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Session {
    /// Creates a session in running mode at the root.
    pub fn new(store: Datastore, options: SessionOptions, applications: Option<Arc<dyn Applications>>) -> Self {
        Self {
            store,
            options,
            applications,
            mode: Mode::Running,
            context: Target::default(),
            left: Target::default(),
            private: None,
            exclusive: None,
            lines: VecDeque::new(),
        }
    }

    /// Returns the greeting.
    pub fn banner(&self) -> &'static str {
        "Loading environment configuration file(s): ['/etc/opt/srlinux/srlinux.rc']\n\
         Welcome to the Nokia SR Linux CLI.\n"
    }

    /// Returns the two lines of the prompt: mode and context, then the switch.
    pub fn prompt(&self) -> String {
        let mode = match self.mode {
            Mode::Running => "running".to_owned(),
            Mode::State => "state".to_owned(),
            Mode::Show => "show".to_owned(),
            Mode::Candidate { kind: CandidateKind::Shared } => format!("candidate shared {SHARED}"),
            Mode::Candidate { kind: CandidateKind::Exclusive } => format!("candidate exclusive {SHARED}"),
            Mode::Candidate { kind: CandidateKind::Private } => {
                format!("candidate private private-{}", self.options.user)
            }
        };
        let mut flags = String::new();
        if !self.store.is_saved() {
            flags.push('+');
        }
        if matches!(self.mode, Mode::Candidate { .. }) && self.candidate().is_changed() {
            flags.push('*');
        }
        if !flags.is_empty() {
            flags.push(' ');
        }
        let user = match self.options.style {
            InfoStyle::Wrapped => String::new(),
            InfoStyle::Contents => format!("{}@", self.options.user),
        };
        let context = self.context.text(self.store.schema());
        format!("--{{ {flags}{mode} }}--[ {context} ]--\nA:{user}{}# ", self.options.hostname)
    }

    /// Runs lines one after another, as from standard input, and collects their output. Runs all lines even if some
    /// fail, unless `stop_at_error`.
    pub async fn script(&mut self, lines: &str, stop_at_error: bool) -> Output {
        let mut all = Output::default();
        for line in lines.lines() {
            let output = self.execute(line).await;
            all.text.push_str(&output.text);
            all.status = all.status.max(output.status);
            all.quit = output.quit;
            if output.quit || (stop_at_error && output.status != 0) {
                break;
            }
        }
        all
    }

    fn candidate(&self) -> Candidate {
        self.private.clone().unwrap_or_else(|| self.store.shared_candidate(SHARED))
    }
}
