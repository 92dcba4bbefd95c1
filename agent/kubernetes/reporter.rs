//! Reports a cluster to the engine: conditions of its parts as one, what changed, and notes for state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::condition::{Conditions, Part};
use crate::model::event::{ClusterEvent, Event, SourceEvent, SourceId};
use crate::model::names::ClusterName;

/// Nobody takes the events any more: the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is shutting down")]
pub(super) struct Closed;

/// What a note beside the cluster's `oper-state` is about: one of each at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// Credentials that changed and cannot be used.
    Kept,
    /// A connection that is not as safe as it could be.
    Connection,
    /// A token that ends.
    Expiry,
    /// More objects of this resource than are read.
    Crowded(&'static str),
    /// An object of this resource that holds more than is read.
    Excess(&'static str),
}

/// Tells the engine.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    cluster: ClusterName,
    events: mpsc::Sender<Event>,
    shared: Arc<Mutex<Shared>>,
}

/// What all parts of the source say together.
#[derive(Debug)]
struct Shared {
    conditions: Conditions,
    version: Option<Arc<str>>,
    notes: BTreeMap<Note, Arc<str>>,
    /// Version and notes, as last reported.
    reported: Option<(Arc<str>, Option<Arc<str>>)>,
}

impl Shared {
    /// The connection to report now, if it changed.
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
    /// A reporter whose parts have these conditions.
    pub(super) fn new(cluster: ClusterName, events: mpsc::Sender<Event>, conditions: Conditions) -> Self {
        let shared = Shared { conditions, version: None, notes: BTreeMap::new(), reported: None };
        Self { cluster, events, shared: Arc::new(Mutex::new(shared)) }
    }

    /// The cluster it reports.
    pub(super) fn cluster_name(&self) -> &ClusterName {
        &self.cluster
    }

    /// Something in the cluster changed.
    pub(super) async fn cluster(&self, event: ClusterEvent) -> Result<(), Closed> {
        self.events.send(Event::Cluster(self.cluster.clone(), event)).await.map_err(|_| Closed)
    }

    /// The source as a whole says something.
    pub(super) async fn source(&self, event: SourceEvent) -> Result<(), Closed> {
        let source = SourceId::Kubernetes(self.cluster.clone());
        self.events.send(Event::Source(source, event)).await.map_err(|_| Closed)
    }

    /// The server answered with its version.
    pub(super) async fn version(&self, version: Arc<str>) -> Result<(), Closed> {
        let news = {
            let mut shared = self.shared();
            shared.version = Some(version);
            shared.connected()
        };
        self.pass_on(news).await
    }

    /// Notes stand beside the state of the cluster until they are taken back. They may change before there is a version,
    /// and are reported with it.
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

    /// A part changed its condition.
    pub(super) async fn part(&self, name: &str, part: Part) -> Result<(), Closed> {
        let news = self.shared().conditions.set(name, part);
        self.tell(news).await
    }

    /// A part was removed.
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
