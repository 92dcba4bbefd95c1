//! Turns events into changes of the published state. The engine is pure: no clock, no socket, no task, no lock.
//!
//! It has a single owner and works incrementally: an event marks what it touches as dirty, and an evaluation recomputes
//! only that. Bursts are absorbed first and evaluated once.
//!
//! `ingest` applies events to `facts` and gathers what they made dirty. `evaluate` has `judge` work that out by the
//! rules of `speakers`, and passes what changed to `alarms`. `inquire` asks the switch about what remains open; the
//! finding comes back as an event.
//!
//! If a route names a group that has not been received yet, the last published next-hops are kept for 15 s; a VIP that
//! was never judged before is unknown, syncing. A route never loses its next-hops because of the order of arrival.

#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod alarm_input;
mod alarms;
mod evaluate;
mod facts;
mod ingest;
mod inquire;
mod judge;
mod speakers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::adaptation::DumpEnd;
use crate::model::event::Event;
use crate::model::names::ClusterName;
use crate::model::persistent::{Attachment, PersistentState};
use crate::model::source::SourceId;
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::time::Now;
use crate::model::verdict::SourceState;
use crate::model::view::{Change, ClusterView, OrphanView, RootView, SourceFreshness, SourceView, SummaryView};

use alarms::Alarms;
use facts::Facts;
use facts::dirty::Dirty;
use facts::sources::Phase;
use judge::service::Counts;

/// Correlates the state of the switch with that of the clusters.
#[derive(Debug, Default)]
pub struct Engine {
    facts: Facts,
    /// What became dirty since the last evaluation.
    dirty: Dirty,
    published: LastPublished,
    counts: Counts,
    alarms: Alarms,
    evaluations: u64,
    evaluated_at: Duration,
}

/// What was last published, except of services and nodes: their entries keep it themselves.
#[derive(Debug, Default)]
struct LastPublished {
    phase: Option<Phase>,
    root: Option<RootView>,
    summary: Option<SummaryView>,
    sources: BTreeMap<SourceId, SourceView>,
    clusters: BTreeMap<ClusterName, ClusterView>,
    /// Orphan routes, each with the next-hop group it was read from.
    orphans: BTreeMap<RouteKey, (OrphanView, NextHopGroupId)>,
    attachments: BTreeSet<Attachment>,
    /// Whether neighbors could be read.
    neighbors: bool,
}

impl Engine {
    /// Creates an engine without any facts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs [`Self::ingest`] and [`Self::evaluate`].
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Change> {
        self.ingest(now, event);
        self.evaluate(now)
    }

    /// Returns when time alone will next change something (on [`Now::elapsed`]); the owner sends [`Event::Tick`] then.
    pub fn deadline(&self) -> Option<Duration> {
        [self.facts.deadline(self.evaluated_at), self.alarms.deadline()].into_iter().flatten().min()
    }

    /// Returns what must outlive the process, as of `now`.
    pub fn persistent_state(&mut self, now: Now) -> PersistentState {
        let mut state = PersistentState { attachments: self.facts.attachments().clone(), ..PersistentState::default() };
        self.alarms.save(now, &mut state);
        state
    }

    /// Returns freshness and counters of every source.
    pub fn freshness(&self) -> Vec<SourceFreshness> {
        self.facts.sources().freshness()
    }

    /// Returns whether there are sources, and all of them were synced when last evaluated.
    pub fn is_synced(&self) -> bool {
        let sources = &self.published.sources;
        !sources.is_empty() && sources.values().all(|view| view.state == SourceState::Synced)
    }

    /// Returns what ended the last dump of the switch's tables; `None` before the first is over.
    pub fn end_of_dump(&self) -> Option<DumpEnd> {
        self.facts.end_of_dump()
    }

    /// Returns how many services and nodes have been evaluated since the agent started.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }
}
