//! The engine: events in, changes of the published state out. Pure: no clock, no socket, no task, no lock.
//!
//! Single owner, incremental: an event marks what it touches, an evaluation recomputes only that. Bursts are absorbed
//! first and evaluated once.
//!
//! `ingest` takes events into [`facts`] and marks what they touch; `evaluate` has [`judge`] work out what is marked, by the
//! rules of [`speakers`], and hands what changed to [`alarms`].
//!
//! Where a route names a group that was not told yet, the next-hops said before hold for 15 s; a VIP never judged
//! before is unknown, syncing. A route never loses its next-hops by the order of arrival.

#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod alarms;
mod evaluate;
mod facts;
mod ingest;
mod judge;
mod speakers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::model::config::Config;
use crate::model::event::{Event, SourceId};
use crate::model::memory::Memory;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::time::Now;
use crate::model::view::{
    Change, ClusterView, NodeView, RootView, ServiceView, SourceFreshness, SourceView, SummaryView,
};

use alarms::Alarms;
use facts::attachments::Attachments;
use facts::bgp::Bgp;
use facts::claims::Claims;
use facts::cluster::Cluster;
use facts::dump::Dump;
use facts::ids::{ClusterId, NodeId, ServiceId};
use facts::sources::{Phase, Sources};
use facts::switch::Switch;
use judge::orphans::Orphans;
use judge::service::Counts;

/// Correlates what the switch knows with what clusters know.
#[derive(Debug, Default)]
pub struct Engine {
    config: Option<Arc<Config>>,
    sources: Sources,
    switch: Switch,
    bgp: Bgp,
    dump: Dump,
    /// Enabled clusters.
    clusters: BTreeMap<ClusterId, Cluster>,
    ids: BTreeMap<ClusterName, ClusterId>,
    next_id: ClusterId,
    claims: Claims,
    /// Nodes by candidate address, over all clusters.
    addresses: FxHashMap<IpAddr, Vec<NodeId>>,
    remembered: Attachments,
    queue: Vec<ServiceId>,
    /// Services and nodes that were said and are gone.
    departed: BTreeMap<(ClusterName, ServiceKey), Arc<ServiceView>>,
    departed_nodes: BTreeMap<(ClusterName, NodeName), Arc<NodeView>>,
    orphans: Orphans,
    alarms: Alarms,
    counts: Counts,
    evaluations: u64,
    evaluated_at: Duration,
    said: Said,
}

/// What was said of the things that are few.
#[derive(Debug, Default)]
struct Said {
    phase: Option<Phase>,
    root: Option<RootView>,
    summary: Option<SummaryView>,
    sources: BTreeMap<SourceId, SourceView>,
    clusters: BTreeMap<ClusterName, ClusterView>,
    /// Neighbors were in reach.
    neighbors: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// [`Self::absorb`] and [`Self::evaluate`] in one.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Change> {
        self.absorb(now, event);
        self.evaluate(now)
    }

    /// When time alone will next change something (on [`Now::elapsed`]); the owner sends [`Event::Tick`] then.
    pub fn deadline(&self) -> Option<Duration> {
        let sources = self.sources.deadline(self.evaluated_at);
        let group = self.switch.next_give_up(self.evaluated_at);
        let dump = self.dump.deadline(self.evaluated_at);
        [sources, group, dump, self.alarms.deadline()].into_iter().flatten().min()
    }

    /// What must outlive the process, as of now.
    pub fn memory(&mut self, now: Now) -> Memory {
        let mut memory = Memory { attachments: self.remembered.attachments().clone(), ..Memory::default() };
        self.alarms.save(now, &mut memory);
        memory
    }

    /// Freshness and counters of every source.
    pub fn freshness(&self) -> Vec<SourceFreshness> {
        self.sources.freshness()
    }

    /// Entries evaluated since the agent started: services and nodes.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }
}
