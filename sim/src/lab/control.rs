//! The control socket of a running lab: each request and each response is one line of JSON.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::fabric::Lever;

use super::{Action, Lab};

/// File name of the socket in the run folder.
const SOCKET: &str = "control.sock";

/// A request to a running lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Performs an action.
    Act(Action),
    /// Asks what runs where.
    Status,
    /// Ends the lab.
    Down,
}

/// The answer to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The request was performed.
    Done,
    /// The request was refused, with the reason.
    Refused(String),
    /// What runs where.
    Status(Status),
}

/// What runs where.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The lab's name.
    pub name: String,
    /// gNMI address of each leaf.
    pub gnmi: BTreeMap<String, Option<SocketAddr>>,
    /// API address and kubeconfig file of each cluster.
    pub clusters: BTreeMap<String, (SocketAddr, PathBuf)>,
    /// The levers pulled.
    pub levers: Vec<Lever>,
}

/// Why a lab cannot be controlled.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No lab answers.
    #[error("no lab runs in {run}: start one with srl-sim up, or name its folder with --run")]
    NotRunning {
        /// The run folder.
        run: PathBuf,
        /// Why the connection failed.
        #[source]
        source: io::Error,
    },
    /// A lab already runs in this folder.
    #[error("a lab already runs in {run}: end it first, or choose another folder with --run")]
    Running {
        /// The run folder.
        run: PathBuf,
    },
    /// The socket cannot be created.
    #[error("cannot listen on {path}")]
    Listen {
        /// Path of the socket.
        path: PathBuf,
        /// Why it cannot be created.
        #[source]
        source: io::Error,
    },
    /// The lab ended.
    #[error("the connection to the lab is lost")]
    Gone(#[source] io::Error),
    /// Something other than a lab answers.
    #[error("unexpected answer on the control socket")]
    Answer(#[source] serde_json::Error),
}

/// A control socket that is listening. Dropping it removes its file.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The file may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Listener {
    /// Listens in a run folder unless a lab does so already. Replaces a socket file on which nobody listens.
    ///
    /// # Errors
    /// [`ControlError::Running`], or why the socket cannot be created.
    pub async fn bind(run: &Path) -> Result<Self, ControlError> {
        let path = run.join(SOCKET);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(ControlError::Running { run: run.to_owned() });
        }
        let failed = |source| ControlError::Listen { path: path.clone(), source };
        std::fs::create_dir_all(run).map_err(failed)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let socket = UnixListener::bind(&path).map_err(failed)?;
        Ok(Self { socket, path })
    }

    /// Serves a lab until somebody asks it to end.
    pub async fn serve(&self, lab: Arc<Lab>) {
        let end = Arc::new(Notify::new());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.socket.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(converse(stream, lab.clone(), end.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
                () = end.notified() => return,
            }
        }
    }
}

/// Answers the requests of one connection until it ends.
async fn converse(mut stream: UnixStream, lab: Arc<Lab>, end: Arc<Notify>) {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (response, last) = match serde_json::from_str(&line) {
            Ok(Request::Down) => (Response::Done, true),
            Ok(request) => (answer(&lab, request).await, false),
            Err(error) => (Response::Refused(format!("invalid request: {error}")), false),
        };
        let mut text = serde_json::to_string(&response).unwrap_or_default();
        text.push('\n');
        if writer.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        if last {
            end.notify_one();
            return;
        }
    }
}

async fn answer(lab: &Lab, request: Request) -> Response {
    match request {
        Request::Act(action) => match lab.show(&action).await {
            Ok(()) => Response::Done,
            Err(error) => Response::Refused(chain(&error)),
        },
        Request::Status => Response::Status(status(lab)),
        Request::Down => Response::Done,
    }
}

/// Returns what runs where.
pub fn status(lab: &Lab) -> Status {
    Status {
        name: lab.file().content.name.clone(),
        gnmi: lab
            .leaves()
            .iter()
            .chain(lab.spines())
            .map(|(name, it)| (name.clone(), it.gnmi().tcp_address()))
            .collect(),
        clusters: lab.clusters().map(|(name, address, path)| (name.clone(), (address, path.to_owned()))).collect(),
        levers: lab.world.levers(),
    }
}

/// Formats an error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A connection to a running lab. Its calls block.
#[derive(Debug)]
pub struct Client {
    stream: io::BufReader<std::os::unix::net::UnixStream>,
}

impl Client {
    /// Connects to the lab that runs in a folder.
    ///
    /// # Errors
    /// Returns an error if no lab answers.
    pub fn connect(run: &Path) -> Result<Self, ControlError> {
        let stream = std::os::unix::net::UnixStream::connect(run.join(SOCKET))
            .map_err(|source| ControlError::NotRunning { run: run.to_owned(), source })?;
        Ok(Self { stream: io::BufReader::new(stream) })
    }

    /// Sends a request and waits for the response.
    ///
    /// # Errors
    /// Returns an error if the lab ended meanwhile.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ControlError> {
        use std::io::{BufRead, Write};
        let mut line = serde_json::to_string(request).map_err(ControlError::Answer)?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(ControlError::Gone)?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer).map_err(ControlError::Gone)? == 0 {
            return Err(ControlError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&answer).map_err(ControlError::Answer)
    }
}
