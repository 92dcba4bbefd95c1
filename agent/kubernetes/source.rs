//! Runs the source of one cluster: maintains the link to its API server and runs the watches on it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::condition::{Conditions, Part};
use super::credentials::{self, Access, CredentialsError};
use super::dial::{Dialer, Dialers};
use super::http::{Client, PLAIN, RequestError, RequestLimits};
use super::limits;
use super::link::{Link, LinkReceiver};
use super::memory::Memory;
use super::notices::{Notices, Writer};
use super::reason::{self, Request};
use super::reduce::{CoreEndpoints, Nodes, Services, Slices};
use super::reporter::{Closed, Note, Reporter};
use super::speaker;
use super::timings::{Timings, jittered};
use super::token::Expiry;
use super::watch::{Tolerance, WatchContext, Watcher};
use crate::files::Fingerprint;
use crate::model::config::Source;
use crate::model::event::Event;
use crate::model::names::ClusterName;
use crate::model::speaker::SpeakerResource;
use crate::model::text::printable;
use crate::model::time::Timestamp;
use crate::supervise::chain;

/// Names of the parts a cluster's condition is made of.
const CONNECTION: &str = "connection";
/// Pause between two checks of how long a token remains valid.
const EXPIRY_LOOK: Duration = Duration::from_secs(600);
const PARTS: [&str; 4] = [CONNECTION, Services::RESOURCE, Slices::RESOURCE, Nodes::RESOURCE];

/// The parts of this switch that a cluster's source may use.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The folder that must contain all files with credentials.
    pub credentials: Arc<Path>,
    /// Opens sockets in network namespaces.
    pub dialers: Dialers,
}

/// Follows one cluster.
#[derive(Debug)]
pub struct ClusterSource {
    name: ClusterName,
    config: Source,
    events: mpsc::Sender<Event>,
    refresh: watch::Receiver<u64>,
    notices: Notices,
    options: ConnectOptions,
    timings: Timings,
}

impl ClusterSource {
    /// Creates a source that has not started. `refresh` changes when credentials are to be read again now (SIGHUP);
    /// they are also read again when their files change. `notices` become Events for the services' owners.
    pub fn new(
        name: ClusterName,
        config: Source,
        events: mpsc::Sender<Event>,
        refresh: watch::Receiver<u64>,
        notices: Notices,
        options: ConnectOptions,
    ) -> Self {
        Self { name, config, events, refresh, notices, options, timings: Timings::default() }
    }

    /// Runs until nobody receives its events; may be dropped at any time.
    ///
    /// Sends [`Event::Source`] for [`SourceId::Kubernetes`](crate::model::source::SourceId::Kubernetes) and
    /// [`Event::Cluster`]. Failures are reported as `Lost` with the reason and retried without limit.
    pub async fn run(self) {
        let optional: Vec<String> =
            SpeakerResource::of(self.config.speaker).map(|resource| resource.to_string()).collect();
        let parts = PARTS.into_iter().chain(optional.iter().map(String::as_str));
        let reporter = Reporter::new(self.name.clone(), self.events.clone(), Conditions::new(parts));
        let (link, receiver) = watch::channel(None);
        let failure = Arc::new(Notify::new());
        let limits = RequestLimits::default();
        let context = WatchContext {
            link: LinkReceiver::new(receiver, limits.clone()),
            failure: Arc::clone(&failure),
            reporter: reporter.clone(),
            timings: self.timings,
            memory: Memory::default(),
            namespaces: if self.config.namespaces.is_empty() {
                Arc::new([None])
            } else {
                self.config.namespaces.iter().cloned().map(Some).collect()
            },
        };
        let services = Watcher::new(Services::new(&self.config), context.clone());
        let nodes = Watcher::new(Nodes::new(&self.config), context.clone());
        let speaker = speaker::follow(self.config.speaker, context.clone());
        let writer = Writer::new(self.name.clone(), &self.notices, &context);
        let keeper = ConnectionManager {
            dialer: Dialer::new(self.options.dialers, self.config.network_namespace.clone(), self.timings.connect),
            config: Arc::new(self.config),
            refresh: self.refresh,
            timings: self.timings,
            reporter,
            link,
            limits,
            failure,
            folder: self.options.credentials,
            files: Vec::new(),
            loading: None,
            expiry: None,
        };
        // None of these ends by itself: the first to end has found that nobody receives events any more.
        tokio::select! {
            _ = keeper.run() => {}
            _ = services.run() => {}
            _ = endpoints(context) => {}
            _ = nodes.run() => {}
            _ = speaker => {}
            _ = writer.run() => {}
        }
        tracing::debug!(cluster = %self.name, "cluster source ended");
    }

    #[cfg(test)]
    pub(super) fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }
}

/// Follows EndpointSlices, or core Endpoints if the server does not serve slices or does not permit reading them.
async fn endpoints(context: WatchContext) -> Result<Infallible, Closed> {
    let mut warned = false;
    let mut backoff = context.timings.backoff();
    let mut link = context.link.clone();
    loop {
        let mut slices = Watcher::new(Slices::default(), context.clone());
        let reason = slices.run_until(Slices::RESOURCE, Tolerance::Replaceable).await?.reason;
        let epoch = link.get().await?.epoch;
        if !std::mem::replace(&mut warned, true) {
            tracing::warn!(?reason, "EndpointSlices cannot be read: using Endpoints, which know of no termination");
        }
        let mut renewed = link.clone();
        let mut core = Watcher::new(CoreEndpoints::default(), context.clone());
        tokio::select! {
            refused = core.run_until(Slices::RESOURCE, Tolerance::Replaceable) => {
                refused?;
                // Report the reason for slices, since these should be permitted.
                context.reporter.part(Slices::RESOURCE, Part::Failed(reason)).await?;
                context.failure.notify_one();
                link.pause(epoch, backoff.pause()).await;
            }
            // Other credentials may permit more.
            () = renewed.newer(epoch) => backoff.reset(),
        }
    }
}

/// Maintains the link to the API server.
struct ConnectionManager {
    config: Arc<Source>,
    dialer: Dialer,
    refresh: watch::Receiver<u64>,
    timings: Timings,
    reporter: Reporter,
    link: watch::Sender<Option<Link>>,
    limits: RequestLimits,
    failure: Arc<Notify>,
    /// The folder that must contain all credentials.
    folder: Arc<Path>,
    /// Files whose change is a reason to try again.
    files: Vec<PathBuf>,
    /// Credentials that are being read: a file system that hangs must not block another thread with each attempt.
    loading: Option<JoinHandle<Loaded>>,
    /// When the token in use ends.
    expiry: Option<Expiry>,
}

/// The result of reading credentials.
struct Loaded {
    access: Result<Access, CredentialsError>,
    /// Files whose change is a reason to read the credentials again.
    files: Vec<PathBuf>,
    /// How these files looked when they were read, or before.
    seen: Fingerprint,
}

/// The client of a server that has answered.
struct Connected {
    client: Client,
    version: Arc<str>,
    caveat: Option<Arc<str>>,
    expiry: Option<Expiry>,
}

/// Why connecting failed.
enum Failure {
    /// The credentials are missing or unusable.
    Credentials(String),
    /// The server cannot be reached or used.
    Server(String),
}

/// Why the link is rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// There is no link yet, or the last attempt failed.
    Down,
    /// Files changed, or the operator asked for it.
    Renewed,
    /// A watch failed.
    Trouble,
}

impl ConnectionManager {
    async fn run(mut self) -> Result<Infallible, Closed> {
        let mut backoff = self.timings.backoff();
        let (mut epoch, mut cause) = (0, Cause::Down);
        self.reporter.part(CONNECTION, Part::Listing).await?;
        loop {
            let (connected, seen) = self.connect().await;
            let pause = match connected {
                Ok(connected) => {
                    backoff.reset();
                    epoch += u64::from(cause != Cause::Trouble);
                    self.take_over(connected, epoch).await?;
                    None
                }
                Err(Failure::Credentials(reason)) if cause == Cause::Renewed && self.link.borrow().is_some() => {
                    // The former credentials may still be valid; if they are not, a watch will fail.
                    tracing::warn!(?reason, "credentials changed and cannot be used: keeping the old ones");
                    let kept = format!("the credentials changed and are not used, those before are kept: {reason}");
                    self.reporter.notes([(Note::Kept, Some(kept))]).await?;
                    None
                }
                Err(Failure::Credentials(reason) | Failure::Server(reason)) => {
                    self.reporter.part(CONNECTION, Part::Failed(reason.into())).await?;
                    Some(jittered(backoff.pause()).max(self.limits.remaining()))
                }
            };
            cause = self.wait(seen, pause).await?;
        }
    }

    /// Puts a connection in use.
    async fn take_over(&mut self, connected: Connected, epoch: u64) -> Result<(), Closed> {
        let Connected { client, version, caveat, expiry } = connected;
        self.expiry = expiry;
        let expiry = self.expiry.and_then(|expiry| expiry.words(Timestamp::now()));
        let caveat = caveat.map(|caveat| caveat.to_string());
        let notes = [(Note::Connection, caveat), (Note::Kept, None), (Note::Expiry, expiry)];
        self.reporter.notes(notes).await?;
        self.reporter.version(version).await?;
        self.reporter.part(CONNECTION, Part::Live).await?;
        self.link.send_replace(Some(Link { client, epoch }));
        Ok(())
    }

    /// Waits for a reason to rebuild the link; the end of the pause is one. In the meantime, reports a token that ends
    /// soon.
    async fn wait(&mut self, seen: Fingerprint, pause: Option<Duration>) -> Result<Cause, Closed> {
        let watched = self.watched();
        let (look, expiry) = (self.timings.look, self.expiry);
        let files = changed(watched, seen, look);
        let refresh = async {
            if self.refresh.changed().await.is_err() {
                std::future::pending::<Infallible>().await;
            }
        };
        let over = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => self.failure.notified().await,
            }
        };
        tokio::pin!(files, refresh, over);
        let cause = loop {
            tokio::select! {
                () = &mut files => break Cause::Renewed,
                () = &mut refresh => break Cause::Renewed,
                () = &mut over => break Cause::Trouble,
                () = tokio::time::sleep(EXPIRY_LOOK), if expiry.is_some() => {
                    let words = expiry.and_then(|expiry| expiry.words(Timestamp::now()));
                    self.reporter.notes([(Note::Expiry, words)]).await?;
                }
            }
        };
        Ok(if pause.is_some() { Cause::Down } else { cause })
    }

    /// Returns the credential files, and the network namespace if the agent waits for it.
    fn watched(&self) -> Vec<PathBuf> {
        self.files.iter().cloned().chain(self.dialer.namespace_path()).collect()
    }

    /// Loads the credentials and asks the server for its version. The fingerprint is of what was loaded, or older.
    async fn connect(&mut self) -> (Result<Connected, Failure>, Fingerprint) {
        match self.load().await {
            Some(Loaded { access, files, seen }) => {
                self.files = files;
                (self.open(access).await, seen)
            }
            None => {
                let reason = format!(
                    "reading the credentials takes longer than {} s: is the file system they are on there?",
                    self.timings.answer.as_secs()
                );
                (Err(Failure::Credentials(reason)), Fingerprint::default())
            }
        }
    }

    /// Reads the credentials outside the runtime; returns `None` if that takes too long. Reading then continues, and
    /// the next call returns its result.
    async fn load(&mut self) -> Option<Loaded> {
        let (config, folder) = (Arc::clone(&self.config), Arc::clone(&self.folder));
        let (before, namespace) = (self.watched(), self.dialer.namespace_path());
        let read = move || {
            let mut files = Vec::new();
            let seen = Fingerprint::of(&before);
            let access = credentials::load(&config.connection, &folder, Timestamp::now(), &mut files);
            let after: Vec<PathBuf> = files.iter().cloned().chain(namespace).collect();
            let seen = if after == before { seen } else { Fingerprint::of(&after) };
            Loaded { access, files, seen }
        };
        let loading = self.loading.get_or_insert_with(|| tokio::task::spawn_blocking(read));
        let loaded = timeout(self.timings.answer, loading).await.ok()?;
        self.loading = None;
        loaded.ok()
    }

    async fn open(&self, access: Result<Access, CredentialsError>) -> Result<Connected, Failure> {
        let access = access.map_err(|error| Failure::Credentials(chain(&error)))?;
        let (caveat, expiry) = (access.caveat.clone(), access.expiry);
        let client = Client::new(access, self.dialer.clone(), self.limits.clone())
            .map_err(|error| Failure::Credentials(format!("the credentials cannot be used ({})", chain(&error))))?;
        let version = version(&client, self.timings.answer).await.map_err(Failure::Server)?;
        Ok(Connected { client, version, caveat, expiry })
    }
}

/// Returns when the files have changed.
async fn changed(paths: Vec<PathBuf>, seen: Fingerprint, look: Duration) {
    let (paths, mut now) = (Arc::new(paths), seen.clone());
    while now == seen {
        tokio::time::sleep(look).await;
        let paths = Arc::clone(&paths);
        if let Ok(found) = tokio::task::spawn_blocking(move || Fingerprint::of(&paths)).await {
            now = found;
        }
    }
}

/// The longest version that is reported, in characters. Versions look like `v1.33.1+rke2r1`.
const LONGEST_VERSION: usize = 60;

/// The part of `/version` that is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: Option<String>,
}

pub(super) async fn version(client: &Client, patience: Duration) -> Result<Arc<str>, String> {
    const UNKNOWN: &str = "unknown";
    let request = Request { verb: "get", resource: "/version", namespace: None };
    let answer = match client.get("/version", limits::ANSWER_BYTES, patience).await {
        Ok(answer) => answer,
        // The server answers, but does not disclose its version.
        Err(RequestError::Refused(status)) if matches!(status.code, 403 | 404) => return Ok(UNKNOWN.into()),
        Err(RequestError::Foreign { code: 403 | 404, content, .. }) if content == PLAIN => return Ok(UNKNOWN.into()),
        Err(error) => return Err(reason::explain(&error, request)),
    };
    let version: Version = serde_json::from_slice(&answer.bytes).map_err(|error| {
        format!("the answer to /version cannot be read ({}): is this the URL of an API server?", reason::json(&error))
    })?;
    Ok(printable(version.git_version.as_deref().unwrap_or(UNKNOWN), LONGEST_VERSION).into())
}
