//! Follows FIB programming in the network instances that clusters use.
//!
//! ```text
//!            start            complete
//!   Idle ──────────► Reading ──────────► current, Idle
//!    ▲                  │ refused: too many requests
//!    └──── retried ── Paused
//! ```
//!
//! The current watch stays in force until its successor is complete, so that neither a refusal nor a slow server loses
//! anything. In a network instance that neither the current watch nor a count of zero covers, faults are unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;
use tonic::Status;

use super::client::{Client, Responses};
use super::counters::{Counters, tables};
use super::fib::Fib;
use super::requests::Requests;
use super::subscriptions::Plan;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{Coverage, FibFault, FibKey, RouteTable};
use srl_proto::gnmi;

/// A server that has not refused `updates_only` within this time has accepted it: it may have nothing to send for days.
const ACCEPTED_AFTER: Duration = Duration::from_secs(2);
/// Tables with at most this many active routes are read in full, because pending and suppressed routes have no counter.
const SMALL_TABLE: u64 = 4096;

/// Identifies one of two watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The watch in force.
    Current,
    /// The watch that is being read.
    Attempt,
}

/// Identifies a stream of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Changes only.
    Changes,
    /// Existing entries, then changes.
    Full,
}

/// A message of a stream of a watch.
pub(super) type Message = (Slot, Part, Option<Result<gnmi::SubscribeResponse, Status>>);

/// One or two subscriptions, and what they have received.
struct Watch {
    instances: BTreeSet<NetworkInstanceName>,
    in_full: BTreeSet<NetworkInstanceName>,
    /// Follows the instances that are not read in full.
    changes: Option<Responses>,
    /// Follows the instances that are read in full.
    full: Option<Responses>,
    /// Until when a refusal of `changes` may come; `None` once it is accepted, or without such a stream.
    unaccepted: Option<Instant>,
    /// Whether the existing entries have been received, or nothing is read in full.
    read: bool,
    /// Whether it was started because the switch counts more failures than it sent.
    reread: bool,
    table: Fib,
}

impl Watch {
    fn is_complete(&self, now: Instant) -> bool {
        self.read && self.unaccepted.is_none_or(|until| until <= now)
    }

    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<(Part, Option<Result<gnmi::SubscribeResponse, Status>>)> {
        for (part, stream) in [(Part::Full, &mut self.full), (Part::Changes, &mut self.changes)] {
            if let Some(stream) = stream
                && let Poll::Ready(message) = stream.poll_next_unpin(cx)
            {
                return Poll::Ready((part, message));
            }
        }
        Poll::Pending
    }
}

/// The state of the next watch.
enum Attempt {
    /// None is needed, or none is possible.
    Idle,
    /// It is being received.
    Reading(Box<Watch>),
    /// It is started again at this time: the server limits requests.
    Paused(Instant),
}

/// FIB programming in the network instances that clusters use.
pub(super) struct Programming {
    wanted: BTreeSet<NetworkInstanceName>,
    /// The watch in force.
    current: Option<Watch>,
    attempt: Attempt,
    /// When the count of failures is next compared with those received.
    recheck: Option<Instant>,
    /// When everything may next be read again because of that.
    next_reread: Option<Instant>,
}

impl Default for Programming {
    fn default() -> Self {
        Self { wanted: BTreeSet::new(), current: None, attempt: Attempt::Idle, recheck: None, next_reread: None }
    }
}

/// What a new watch needs.
pub(super) struct Server<'a> {
    pub(super) client: &'a Client,
    pub(super) plan: &'a Plan,
    pub(super) counters: &'a Counters,
    pub(super) requests: &'a mut Requests,
}

impl Programming {
    /// Sets the network instances to follow. The current watch stays in force until all of them are read.
    pub(super) fn start(&mut self, wanted: BTreeSet<NetworkInstanceName>, server: &mut Server<'_>) {
        self.wanted = wanted;
        self.attempt(&BTreeSet::new(), server);
    }

    /// Starts another reading; network instances in `again` are always read in full.
    fn attempt(&mut self, again: &BTreeSet<NetworkInstanceName>, server: &mut Server<'_>) {
        let now = Instant::now();
        let (plan, counters) = (server.plan, server.counters);
        let by_changes = |instance: &NetworkInstanceName| {
            let active = tables(instance).iter().filter_map(|table| counters.active().get(table)).sum::<u64>();
            let small = active > 0 && active <= SMALL_TABLE;
            plan.has_updates_only() && counters.is_clean(instance) && !small && !again.contains(instance)
        };
        let (by_changes, in_full): (BTreeSet<_>, BTreeSet<_>) = self.wanted.iter().cloned().partition(by_changes);
        let requests = [plan.fib(&by_changes, true), plan.fib(&in_full, false)];
        for _ in requests.iter().flatten() {
            if let Err(at) = server.requests.admit(now) {
                self.attempt = Attempt::Paused(at);
                return;
            }
        }
        if requests.iter().all(Option::is_none) {
            self.attempt = Attempt::Idle;
            self.current = None;
            return;
        }
        let [changes, full] = requests.map(|request| request.map(|request| server.client.subscribe(request)));
        self.attempt = Attempt::Reading(Box::new(Watch {
            instances: self.wanted.clone(),
            in_full,
            unaccepted: changes.as_ref().map(|_| now + ACCEPTED_AFTER),
            read: full.is_none(),
            reread: !again.is_empty(),
            changes,
            full,
            table: Fib::default(),
        }));
    }

    /// Returns the network instances that are followed, or are to be followed.
    pub(super) fn wanted(&self) -> &BTreeSet<NetworkInstanceName> {
        &self.wanted
    }

    /// Returns whether existing entries are being read.
    pub(super) fn is_reading(&self) -> bool {
        matches!(&self.attempt, Attempt::Reading(watch) if !watch.read)
    }

    /// Returns the next message of any stream; never returns without a stream.
    pub(super) async fn next(&mut self) -> Message {
        std::future::poll_fn(|cx| {
            if let Some(watch) = &mut self.current
                && let Poll::Ready((part, message)) = watch.poll(cx)
            {
                return Poll::Ready((Slot::Current, part, message));
            }
            if let Attempt::Reading(watch) = &mut self.attempt
                && let Poll::Ready((part, message)) = watch.poll(cx)
            {
                return Poll::Ready((Slot::Attempt, part, message));
            }
            Poll::Pending
        })
        .await
    }

    /// Returns when something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let attempt = match &self.attempt {
            Attempt::Idle => None,
            Attempt::Reading(watch) => watch.unaccepted.filter(|_| watch.read),
            Attempt::Paused(until) => Some(*until),
        };
        [attempt, self.recheck].into_iter().flatten().min()
    }

    /// Returns the table of a watch.
    pub(super) fn table(&mut self, slot: Slot) -> Option<&mut Fib> {
        match (slot, &mut self.attempt) {
            (Slot::Current, _) => self.current.as_mut().map(|watch| &mut watch.table),
            (Slot::Attempt, Attempt::Reading(watch)) => Some(&mut watch.table),
            (Slot::Attempt, _) => None,
        }
    }

    /// Notes a message of a stream, which is thereby accepted. `synced`: whether the existing entries have been
    /// received.
    pub(super) fn heard(&mut self, slot: Slot, part: Part, synced: bool) {
        if let (Slot::Attempt, Attempt::Reading(watch)) = (slot, &mut self.attempt) {
            match part {
                Part::Changes => watch.unaccepted = None,
                Part::Full => watch.read |= synced,
            }
        }
    }

    /// Puts the attempt in force if it is complete; returns whether it was.
    pub(super) fn complete(&mut self, now: Instant, counters: &Counters) -> bool {
        match std::mem::replace(&mut self.attempt, Attempt::Idle) {
            Attempt::Reading(mut watch) if watch.is_complete(now) => {
                watch.unaccepted = None;
                watch.table.finish_reading(self.current.as_ref().map(|current| &current.table));
                for table in watch.instances.iter().flat_map(tables) {
                    if let Some(count) = counters.failed(&table) {
                        watch.table.weigh(&table, count, false, watch.reread);
                    }
                }
                self.current = Some(*watch);
                true
            }
            other => {
                self.attempt = other;
                false
            }
        }
    }

    /// Drops the watch of a stream that was refused or has ended.
    pub(super) fn drop_watch(&mut self, slot: Slot) {
        match slot {
            Slot::Current => self.current = None,
            Slot::Attempt => self.attempt = Attempt::Idle,
        }
    }

    /// Schedules another reading.
    pub(super) fn pause(&mut self, until: Instant) {
        self.attempt = Attempt::Paused(until);
    }

    /// Does what is due: starts again after a pause, or reads again if the count of failures is ahead of those
    /// received.
    pub(super) fn time(&mut self, now: Instant, reread_pause: Duration, server: &mut Server<'_>) {
        if matches!(self.attempt, Attempt::Paused(until) if until <= now) {
            self.attempt(&BTreeSet::new(), server);
        }
        if self.recheck.is_some_and(|at| at <= now) {
            self.recheck = None;
            let behind = self.behind(server.counters);
            if !behind.is_empty() && matches!(self.attempt, Attempt::Idle) {
                tracing::info!("the switch counts more failed routes than it reported: asking for them");
                self.next_reread = Some(now + reread_pause);
                self.attempt(&behind, server);
            }
        }
    }

    /// Applies a changed count of failures. `lead`: how long it may be ahead of what was received.
    pub(super) fn counted(&mut self, table: &RouteTable, count: u64, recovered: bool, lead: Duration) {
        if let Some(watch) = self.current.as_mut().filter(|watch| watch.instances.contains(&table.network_instance)) {
            watch.table.weigh(table, count, recovered, false);
        }
        let earliest = Instant::now() + lead;
        self.recheck.get_or_insert(self.next_reread.map_or(earliest, |next| next.max(earliest)));
    }

    /// Returns the network instances with more failures than were received, if reading them in full would show these.
    fn behind(&self, counters: &Counters) -> BTreeSet<NetworkInstanceName> {
        let Some(watch) = &self.current else { return BTreeSet::new() };
        let is_behind = |instance: &&NetworkInstanceName| {
            tables(instance).iter().any(|table| {
                let missing = counters.failed(table).is_some_and(|count| count > watch.table.failed(table) as u64);
                missing && (!watch.in_full.contains(*instance) || watch.table.has_acquitted(table))
            })
        };
        watch.instances.iter().filter(is_behind).cloned().collect()
    }

    /// Returns the tables of which every fault is known.
    pub(super) fn coverage(&self, counters: &Counters) -> Coverage {
        let watched = |instance: &NetworkInstanceName| {
            self.current
                .as_ref()
                .is_some_and(|watch| watch.instances.contains(instance) && watch.table.holds_all(instance))
        };
        let covered = |table: &RouteTable| counters.failed(table) == Some(0) || watched(&table.network_instance);
        Coverage { fib: self.wanted.iter().flat_map(tables).filter(covered).collect() }
    }

    /// Returns every fault. In network instances that are not watched, the faults in `known` remain unless the switch
    /// counts none.
    pub(super) fn faults(&self, known: &BTreeMap<FibKey, FibFault>, counters: &Counters) -> BTreeMap<FibKey, FibFault> {
        let watched = |instance: &NetworkInstanceName| {
            self.current.as_ref().is_some_and(|watch| watch.instances.contains(instance))
        };
        let stands = |key: &FibKey| {
            let instance = &key.route.network_instance;
            let table = RouteTable::of(instance, &key.route.prefix);
            self.wanted.contains(instance) && !watched(instance) && counters.failed(&table) != Some(0)
        };
        let earlier = known.iter().filter(|(key, _)| stands(key)).map(|(key, fault)| (key.clone(), *fault));
        let now = self.current.iter().flat_map(|watch| watch.table.faults());
        earlier.chain(now.filter(|(key, _)| self.wanted.contains(&key.route.network_instance))).collect()
    }
}
