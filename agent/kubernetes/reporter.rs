//! Reports a cluster to the engine: the conditions of its parts as one, what changed, and notes for state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::condition::{Conditions, Part};
use crate::model::event::{ClusterEvent, Event, SourceEvent};
use crate::model::names::ClusterName;
use crate::model::source::SourceId;

/// Nobody receives events any more, because the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub(super) struct Closed;

/// The subject of a note beside the cluster's `oper-state`. There is at most one note on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// Credentials changed and cannot be used.
    Kept,
    /// The connection is not as safe as it could be.
    Connection,
    /// The token expires soon, or has expired.
    Expiry,
    /// There are more objects of this resource than are read.
    Crowded(&'static str),
    /// An object of this resource contains more than is read.
    Excess(&'static str),
}

/// Sends events about one cluster to the engine.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    cluster: ClusterName,
    events: mpsc::Sender<Event>,
    shared: Arc<Mutex<Shared>>,
}

/// State that the parts of a source share.
#[derive(Debug)]
struct Shared {
    conditions: Conditions,
    version: Option<Arc<str>>,
    notes: BTreeMap<Note, Arc<str>>,
    /// Version and notes, as last reported.
    reported: Option<(Arc<str>, Option<Arc<str>>)>,
}

impl Shared {
    /// Returns the connection to report now, if it changed.
    fn connected(&mut self) -> Option<ClusterEvent> {
        let version = self.version.clone()?;
        let notes: Vec<&str> = self.notes.values().map(|note| &**note).collect();
        let caveat = (!notes.is_empty()).then(|| notes.join("; ").into());
        let now = (version, caveat);
        if self.reported.as_ref() == Some(&now) {
            return None;
        }
        self.reported = Some(now.clone());
        Some(ClusterEvent::Connected { version: now.0, caveat: now.1 })
    }
}

impl Reporter {
    /// Creates a reporter whose parts have these conditions.
    pub(super) fn new(cluster: ClusterName, events: mpsc::Sender<Event>, conditions: Conditions) -> Self {
        let shared = Shared { conditions, version: None, notes: BTreeMap::new(), reported: None };
        Self { cluster, events, shared: Arc::new(Mutex::new(shared)) }
    }

    /// Returns the name of the cluster.
    pub(super) fn cluster_name(&self) -> &ClusterName {
        &self.cluster
    }

    /// Sends an event of the cluster.
    pub(super) async fn cluster(&self, event: ClusterEvent) -> Result<(), Closed> {
        self.events.send(Event::Cluster(self.cluster.clone(), event)).await.map_err(|_| Closed)
    }

    /// Sends an event of the source as a whole.
    pub(super) async fn source(&self, event: SourceEvent) -> Result<(), Closed> {
        let source = SourceId::Kubernetes(self.cluster.clone());
        self.events.send(Event::Source(source, event)).await.map_err(|_| Closed)
    }

    /// Notes the version that the server returned.
    pub(super) async fn version(&self, version: Arc<str>) -> Result<(), Closed> {
        let news = {
            let mut shared = self.shared();
            shared.version = Some(version);
            shared.connected()
        };
        self.pass_on(news).await
    }

    /// Sets notes, or removes those that are `None`. Notes appear beside the state of the cluster until they are
    /// removed. Notes set before there is a version are reported with it.
    pub(super) async fn notes(&self, notes: impl IntoIterator<Item = (Note, Option<String>)>) -> Result<(), Closed> {
        let news = {
            let mut shared = self.shared();
            for (note, words) in notes {
                match words {
                    Some(words) => _ = shared.notes.insert(note, words.into()),
                    None => _ = shared.notes.remove(&note),
                }
            }
            shared.connected()
        };
        self.pass_on(news).await
    }

    /// Sets the condition of a part.
    pub(super) async fn part(&self, name: &str, part: Part) -> Result<(), Closed> {
        let news = self.shared().conditions.set(name, part);
        self.tell(news).await
    }

    /// Removes a part.
    pub(super) async fn no_part(&self, name: &str) -> Result<(), Closed> {
        let news = self.shared().conditions.remove(name);
        self.tell(news).await
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass_on(&self, news: Option<ClusterEvent>) -> Result<(), Closed> {
        match news {
            Some(event) => self.cluster(event).await,
            None => Ok(()),
        }
    }

    async fn tell(&self, news: Option<SourceEvent>) -> Result<(), Closed> {
        let Some(event) = news else { return Ok(()) };
        match &event {
            SourceEvent::Lost(reason) => tracing::warn!(cluster = %self.cluster, ?reason, "cluster cannot be read"),
            SourceEvent::Synced => tracing::info!(cluster = %self.cluster, "cluster synced"),
            _ => {}
        }
        self.source(event).await
    }
}
