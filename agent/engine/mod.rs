//! The engine: events in, changes of the published state out. Pure: no clock, no socket, no task, no lock.
//!
//! Single owner, incremental: an event marks what it touches, an evaluation recomputes only that. Bursts are absorbed
//! first and evaluated once.

#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

use std::time::Duration;

use crate::model::event::Event;
use crate::model::time::Now;
use crate::model::view::{Change, SourceFreshness};

/// Correlates what the switch knows with what clusters know.
#[derive(Debug, Default)]
pub struct Engine {}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one event without evaluating: marks what it touches.
    pub fn absorb(&mut self, _now: Now, _event: Event) {}

    /// Recomputes what was marked since the last call, and what time alone has changed. Gives what is different from
    /// what was said before; a second call without news gives nothing.
    pub fn evaluate(&mut self, _now: Now) -> Vec<Change> {
        Vec::new()
    }

    /// [`Self::absorb`] and [`Self::evaluate`] in one.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Change> {
        self.absorb(now, event);
        self.evaluate(now)
    }

    /// When time alone will next change something (on [`Now::elapsed`]); the owner sends [`Event::Tick`] then.
    pub fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Freshness and counters of every source.
    pub fn freshness(&self) -> Vec<SourceFreshness> {
        Vec::new()
    }

    /// Entries evaluated since the agent started.
    pub fn evaluations(&self) -> u64 {
        0
    }
}
