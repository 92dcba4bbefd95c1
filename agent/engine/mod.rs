//! The engine: events in, changes of the published state out. Pure: no clock, no socket, no task, no lock.
//!
//! Single owner, incremental: an event makes dirty what it touches, an evaluation recomputes only that. Bursts are absorbed
//! first and evaluated once.
//!
//! `ingest` takes events into `facts` and gathers what they made dirty; `evaluate` has `judge` work that out, by the
//! rules of `speakers`, and hands what changed to `alarms`. `inquire` asks the switch about what that leaves open; the
//! finding is an event.
//!
//! Where a route names a group that was not received yet, the last published next-hops hold for 15 s; a VIP never judged
//! before is unknown, syncing. A route never loses its next-hops by the order of arrival.

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
use crate::model::event::{Event, SourceId};
use crate::model::names::ClusterName;
use crate::model::persistent::{Attachment, PersistentState};
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::time::Now;
use crate::model::view::{Change, ClusterView, OrphanView, RootView, SourceFreshness, SourceView, SummaryView};

use alarms::Alarms;
use facts::Facts;
use facts::dirty::Dirty;
use facts::sources::Phase;
use judge::service::Counts;

/// Correlates what the switch knows with what clusters know.
#[derive(Debug, Default)]
pub struct Engine {
    facts: Facts,
    /// What the facts that changed since the last evaluation made dirty.
    dirty: Dirty,
    published: LastPublished,
    counts: Counts,
    alarms: Alarms,
    evaluations: u64,
    evaluated_at: Duration,
}

/// What was last published of all but services and nodes, whose entries keep it themselves.
#[derive(Debug, Default)]
struct LastPublished {
    phase: Option<Phase>,
    root: Option<RootView>,
    summary: Option<SummaryView>,
    sources: BTreeMap<SourceId, SourceView>,
    clusters: BTreeMap<ClusterName, ClusterView>,
    /// Orphan routes, and the next-hop group each was read from.
    orphans: BTreeMap<RouteKey, (OrphanView, NextHopGroupId)>,
    attachments: BTreeSet<Attachment>,
    /// Neighbors were in reach.
    neighbors: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// [`Self::ingest`] and [`Self::evaluate`] in one.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Change> {
        self.ingest(now, event);
        self.evaluate(now)
    }

    /// When time alone will next change something (on [`Now::elapsed`]); the owner sends [`Event::Tick`] then.
    pub fn deadline(&self) -> Option<Duration> {
        [self.facts.deadline(self.evaluated_at), self.alarms.deadline()].into_iter().flatten().min()
    }

    /// What must outlive the process, as of now.
    pub fn persistent_state(&mut self, now: Now) -> PersistentState {
        let mut state = PersistentState { attachments: self.facts.attachments().clone(), ..PersistentState::default() };
        self.alarms.save(now, &mut state);
        state
    }

    /// Freshness and counters of every source.
    pub fn freshness(&self) -> Vec<SourceFreshness> {
        self.facts.sources().freshness()
    }

    /// What ended the last dump of the switch's tables; `None` before the first is over.
    pub fn end_of_dump(&self) -> Option<DumpEnd> {
        self.facts.end_of_dump()
    }

    /// Entries evaluated since the agent started: services and nodes.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }
}
