//! One cluster, supervised for ever: keeps the way to its API server and runs the watches on it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use serde::Deserialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use super::client::{self, RetryAfter};
use super::condition::{Conditions, Part};
use super::credentials;
use super::dial::Dialer;
use super::files::Fingerprint;
use super::notices::{Notices, Writer};
use super::reason::{self, Request};
use super::reduce::{CoreEndpoints, Nodes, Services, Slices};
use super::speaker;
use super::watch::{Closed, Link, LinkReceiver, Reporter, Surroundings, Timings, Tolerance, Watcher, jittered};
use crate::model::config::Source;
use crate::model::event::{ClusterEvent, Event};
use crate::model::names::ClusterName;
use crate::model::speaker::SpeakerResource;
use crate::supervise::chain;

/// Names of the parts a cluster's condition is made of.
const CONNECTION: &str = "connection";
const PARTS: [&str; 4] = [CONNECTION, Services::RESOURCE, Slices::RESOURCE, Nodes::RESOURCE];

/// Follows one cluster.
#[derive(Debug)]
pub struct ClusterSource {
    name: ClusterName,
    config: Source,
    events: mpsc::Sender<Event>,
    refresh: watch::Receiver<u64>,
    notices: Notices,
    timings: Timings,
}

impl ClusterSource {
    /// A source that has not begun. `refresh` changes when credentials are to be read again now (SIGHUP); they are also
    /// read again when their files change. `notices` are what the services' owners are told.
    pub fn new(
        name: ClusterName,
        config: Source,
        events: mpsc::Sender<Event>,
        refresh: watch::Receiver<u64>,
        notices: Notices,
    ) -> Self {
        Self { name, config, events, refresh, notices, timings: Timings::default() }
    }

    /// Runs until nobody takes the events any more; may be dropped at any time.
    ///
    /// Tells [`Event::Source`] for [`SourceId::Kubernetes`](crate::model::event::SourceId::Kubernetes) and
    /// [`Event::Cluster`]. Failures are told as `Lost` with the reason and retried for ever.
    pub async fn run(self) {
        let optional: Vec<String> =
            SpeakerResource::of(self.config.speaker).map(|resource| resource.to_string()).collect();
        let parts = PARTS.into_iter().chain(optional.iter().map(String::as_str));
        let reporter = Reporter::new(self.name.clone(), self.events.clone(), Conditions::new(parts));
        let (link, receiver) = watch::channel(None);
        let trouble = Arc::new(Notify::new());
        let asked = RetryAfter::default();
        let around = Surroundings {
            link: LinkReceiver::new(receiver, asked.clone()),
            trouble: Arc::clone(&trouble),
            reporter: reporter.clone(),
            timings: self.timings,
            namespaces: match self.config.namespaces.is_empty() {
                true => Arc::new([None]),
                false => self.config.namespaces.iter().cloned().map(Some).collect(),
            },
        };
        let services = Watcher::new(Services::new(&self.config), around.clone());
        let nodes = Watcher::new(Nodes::new(&self.config), around.clone());
        let speaker = speaker::follow(self.config.speaker, around.clone());
        let writer = Writer::new(self.name.clone(), &self.notices, &around);
        let keeper = Keeper {
            dialer: Dialer::new(self.config.network_namespace.clone(), self.timings.connect),
            config: self.config,
            refresh: self.refresh,
            timings: self.timings,
            reporter,
            link,
            asked,
            trouble,
            files: Vec::new(),
            said: None,
        };
        // Each runs for ever: the first to end found that nobody listens any more.
        tokio::select! {
            _ = keeper.run() => {}
            _ = services.run() => {}
            _ = endpoints(around) => {}
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

/// EndpointSlices, or core Endpoints where the server does not serve slices or does not let us see them.
async fn endpoints(around: Surroundings) -> Result<Infallible, Closed> {
    let mut said = false;
    let mut backoff = around.timings.backoff();
    let mut link = around.link.clone();
    loop {
        let mut slices = Watcher::new(Slices::default(), around.clone());
        let reason = slices.run_until(Slices::RESOURCE, Tolerance::Replaceable).await?.reason;
        let fresh = link.get().await?.fresh;
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(%reason, "EndpointSlices cannot be read: using Endpoints, which know of no termination");
        }
        let mut renewed = link.clone();
        let mut core = Watcher::new(CoreEndpoints::default(), around.clone());
        tokio::select! {
            refused = core.run_until(Slices::RESOURCE, Tolerance::Replaceable) => {
                refused?;
                // Slices are what should be granted.
                around.reporter.part(Slices::RESOURCE, Part::Failed(reason)).await?;
                around.trouble.notify_one();
                link.pause(fresh, backoff.pause()).await;
            }
            // Other credentials may see more.
            () = renewed.fresher(fresh) => backoff.reset(),
        }
    }
}

/// Keeps the way to the API server.
struct Keeper {
    config: Source,
    dialer: Dialer,
    refresh: watch::Receiver<u64>,
    timings: Timings,
    reporter: Reporter,
    link: watch::Sender<Option<Link>>,
    asked: RetryAfter,
    trouble: Arc<Notify>,
    /// Files whose change is a reason to try again.
    files: Vec<PathBuf>,
    /// What was last said of the connection.
    said: Option<Says>,
}

/// What is said of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Says {
    version: Arc<str>,
    caveat: Option<Arc<str>>,
}

/// A server that answers.
struct Connected {
    client: Client,
    says: Says,
}

/// What there is no connection for.
enum Failure {
    /// The credentials, or what they say.
    Credentials(String),
    /// The server, or the way to it.
    Server(String),
}

/// Why the link is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It is the first, or the one before failed.
    Down,
    /// Files changed, or the operator said so.
    Renewed,
    /// A watch failed.
    Trouble,
}

impl Keeper {
    async fn run(mut self) -> Result<Infallible, Closed> {
        let mut backoff = self.timings.backoff();
        let (mut fresh, mut cause) = (0, Cause::Down);
        let mut in_use: Option<Says> = None;
        self.reporter.part(CONNECTION, Part::Listing).await?;
        loop {
            let (connected, seen) = self.connect().await;
            let pause = match connected {
                Ok(Connected { client, says }) => {
                    backoff.reset();
                    in_use = Some(says.clone());
                    self.say(says).await?;
                    self.reporter.part(CONNECTION, Part::Live).await?;
                    fresh += u64::from(cause != Cause::Trouble);
                    self.link.send_replace(Some(Link { client, fresh }));
                    None
                }
                Err(Failure::Credentials(reason)) if cause == Cause::Renewed && self.link.borrow().is_some() => {
                    // What was read before may go on working; when it does not, a watch will say so.
                    tracing::warn!(%reason, "credentials changed and cannot be used: keeping the old ones");
                    if let Some(Says { version, caveat }) = in_use.clone() {
                        let kept = format!("the credentials changed and are not used, those before are kept: {reason}");
                        let all = caveat.map_or_else(|| kept.clone(), |caveat| format!("{kept}; {caveat}"));
                        self.say(Says { version, caveat: Some(all.into()) }).await?;
                    }
                    None
                }
                Err(Failure::Credentials(reason) | Failure::Server(reason)) => {
                    self.reporter.part(CONNECTION, Part::Failed(reason.into())).await?;
                    Some(jittered(backoff.pause()).max(self.asked.remaining()))
                }
            };
            cause = self.wait(seen, pause).await;
        }
    }

    /// Says it, unless that is what was said last.
    async fn say(&mut self, says: Says) -> Result<(), Closed> {
        if self.said.as_ref() != Some(&says) {
            let Says { version, caveat } = says.clone();
            self.reporter.cluster(ClusterEvent::Connected { version, caveat }).await?;
            self.said = Some(says);
        }
        Ok(())
    }

    /// Waits for a reason to make the link anew; with a pause, that is one too.
    async fn wait(&mut self, seen: Fingerprint, pause: Option<std::time::Duration>) -> Cause {
        let watched = self.watched();
        let look = self.timings.look;
        let files = async {
            while Fingerprint::of(&watched) == seen {
                tokio::time::sleep(look).await;
            }
        };
        let refresh = async {
            if self.refresh.changed().await.is_err() {
                std::future::pending::<Infallible>().await;
            }
        };
        let over = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => self.trouble.notified().await,
            }
        };
        let cause = tokio::select! {
            () = files => Cause::Renewed,
            () = refresh => Cause::Renewed,
            () = over => Cause::Trouble,
        };
        if pause.is_some() { Cause::Down } else { cause }
    }

    /// The credential files, and the network namespace should it be waited for.
    fn watched(&self) -> Vec<PathBuf> {
        self.files.iter().cloned().chain(self.dialer.namespace_path()).collect()
    }

    /// Loads the credentials and asks the server for its version. The fingerprint is of what was loaded, or older.
    async fn connect(&mut self) -> (Result<Connected, Failure>, Fingerprint) {
        let before = self.watched();
        let seen = Fingerprint::of(&before);
        let access = credentials::load(&self.config.connection, &mut self.files).await;
        let after = self.watched();
        let seen = if after == before { seen } else { Fingerprint::of(&after) };
        (self.reach(access).await, seen)
    }

    async fn reach(
        &self,
        access: Result<credentials::Access, credentials::CredentialsError>,
    ) -> Result<Connected, Failure> {
        let access = access.map_err(|error| Failure::Credentials(chain(&error)))?;
        let client = client::build(&access.config, self.dialer.clone(), self.asked.clone())
            .map_err(|error| Failure::Credentials(format!("the credentials cannot be used ({})", chain(&error))))?;
        let version = version(&client, self.timings.answer).await.map_err(Failure::Server)?;
        Ok(Connected { client, says: Says { version, caveat: access.caveat } })
    }
}

/// `/version`, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: Option<String>,
}

async fn version(client: &Client, patience: std::time::Duration) -> Result<Arc<str>, String> {
    const UNKNOWN: &str = "unknown";
    let request = Request { verb: "get", resource: "/version", namespace: None };
    let get = http::Request::get("/version").body(Vec::new()).map_err(|error| chain(&error))?;
    let text = match timeout(patience, client.request_text(get)).await {
        Ok(Ok(text)) => text,
        // The server is there, and keeps its version to itself.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => return Ok(UNKNOWN.into()),
        Ok(Err(error)) => return Err(reason::explain(&error, request)),
        Err(_) => return Err(reason::silent(request, patience)),
    };
    let version: Version = serde_json::from_str(&text).map_err(|error| {
        format!("the answer to /version cannot be read ({error}): is this the URL of an API server?")
    })?;
    Ok(version.git_version.as_deref().unwrap_or(UNKNOWN).into())
}
