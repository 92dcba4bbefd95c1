//! Follows FIB programming in the network instances that clusters use.
//!
//! ```text
//!            start            complete
//!   Idle ──────────► Reading ──────────► current, Idle
//!    ▲                  │ refused: too many requests
//!    └──── retried ── Paused
//! ```
//!
//! What is followed stays in force until its successor is complete: a refusal or a slow server takes nothing away. A
//! network instance that neither the current watch nor a count of zero covers has unknown faults.

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

/// A server that has not refused `updates_only` for this long has accepted it: it may have nothing to say for days.
const ACCEPTED_AFTER: Duration = Duration::from_secs(2);
/// Tables with this many active routes at most are read in full: what is pending or suppressed has no counter.
const SMALL_TABLE: u64 = 4096;

/// Which of two watches something is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In force.
    Current,
    /// Being read.
    Attempt,
}

/// Which stream of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Changes alone.
    Changes,
    /// What stands, then changes.
    Full,
}

/// What a stream of a watch has brought.
pub(super) type Message = (Slot, Part, Option<Result<gnmi::SubscribeResponse, Status>>);

/// One or two subscriptions, and what they brought.
struct Watch {
    instances: BTreeSet<NetworkInstanceName>,
    in_full: BTreeSet<NetworkInstanceName>,
    /// Follows the instances that are not read in full.
    changes: Option<Responses>,
    /// Follows those that are.
    full: Option<Responses>,
    /// Until when a refusal of `changes` is waited for; `None` once it is accepted, or where there is none.
    unaccepted: Option<Instant>,
    /// The existing entries were received, or nothing is read in full.
    read: bool,
    /// It was started because the switch counts more failures than it sent.
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

/// What becomes of the next watch.
enum Attempt {
    /// None is needed, or none can be had.
    Idle,
    /// It is being received.
    Reading(Box<Watch>),
    /// It is started again then: the server limits requests.
    Paused(Instant),
}

/// FIB programming in the network instances that clusters use.
pub(super) struct Programming {
    wanted: BTreeSet<NetworkInstanceName>,
    /// What is in force.
    current: Option<Watch>,
    attempt: Attempt,
    /// When the count of failures is compared with those received.
    recheck: Option<Instant>,
    /// When it may next have everything read again.
    next_reread: Option<Instant>,
}

impl Default for Programming {
    fn default() -> Self {
        Self { wanted: BTreeSet::new(), current: None, attempt: Attempt::Idle, recheck: None, next_reread: None }
    }
}

/// What a new watch is made from.
pub(super) struct Server<'a> {
    pub(super) client: &'a Client,
    pub(super) plan: &'a Plan,
    pub(super) counters: &'a Counters,
    pub(super) requests: &'a mut Requests,
}

impl Programming {
    /// Follows these network instances from now on. What is followed now stays in force until all of them are read.
    pub(super) fn start(&mut self, wanted: BTreeSet<NetworkInstanceName>, server: &mut Server<'_>) {
        self.wanted = wanted;
        self.attempt(&BTreeSet::new(), server);
    }

    /// Begins another reading; of the network instances in `again` in any case in full.
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

    /// The network instances that are followed, or are to be.
    pub(super) fn wanted(&self) -> &BTreeSet<NetworkInstanceName> {
        &self.wanted
    }

    /// Whether what stands is being read.
    pub(super) fn is_reading(&self) -> bool {
        matches!(&self.attempt, Attempt::Reading(watch) if !watch.read)
    }

    /// The next message of any stream; never, where there is none.
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

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let attempt = match &self.attempt {
            Attempt::Idle => None,
            Attempt::Reading(watch) => watch.unaccepted.filter(|_| watch.read),
            Attempt::Paused(until) => Some(*until),
        };
        [attempt, self.recheck].into_iter().flatten().min()
    }

    /// The table of a stream.
    pub(super) fn table(&mut self, slot: Slot) -> Option<&mut Fib> {
        match (slot, &mut self.attempt) {
            (Slot::Current, _) => self.current.as_mut().map(|watch| &mut watch.table),
            (Slot::Attempt, Attempt::Reading(watch)) => Some(&mut watch.table),
            (Slot::Attempt, _) => None,
        }
    }

    /// A stream has brought a message: it is accepted. `synced`: the existing entries were received.
    pub(super) fn heard(&mut self, slot: Slot, part: Part, synced: bool) {
        if let (Slot::Attempt, Attempt::Reading(watch)) = (slot, &mut self.attempt) {
            match part {
                Part::Changes => watch.unaccepted = None,
                Part::Full => watch.read |= synced,
            }
        }
    }

    /// Puts the attempt in force if it is complete; true if it was.
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

    /// A stream was refused, or ended: its watch is of no use.
    pub(super) fn drop_watch(&mut self, slot: Slot) {
        match slot {
            Slot::Current => self.current = None,
            Slot::Attempt => self.attempt = Attempt::Idle,
        }
    }

    /// Starts again at this moment.
    pub(super) fn pause(&mut self, until: Instant) {
        self.attempt = Attempt::Paused(until);
    }

    /// Does what is due: starts again after a pause, or reads again where the count of failures is ahead of those received.
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

    /// The count of failures has changed. `lead`: how long it may be ahead of what was received.
    pub(super) fn counted(&mut self, table: &RouteTable, count: u64, recovered: bool, lead: Duration) {
        if let Some(watch) = self.current.as_mut().filter(|watch| watch.instances.contains(&table.network_instance)) {
            watch.table.weigh(table, count, recovered, false);
        }
        let earliest = Instant::now() + lead;
        self.recheck.get_or_insert(self.next_reread.map_or(earliest, |next| next.max(earliest)));
    }

    /// Network instances with more failures than were received, which a full reading would show.
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

    /// Tables of which every fault is known.
    pub(super) fn coverage(&self, counters: &Counters) -> Coverage {
        let watched = |instance: &NetworkInstanceName| {
            self.current
                .as_ref()
                .is_some_and(|watch| watch.instances.contains(instance) && watch.table.holds_all(instance))
        };
        let covered = |table: &RouteTable| counters.failed(table) == Some(0) || watched(&table.network_instance);
        Coverage { fib: self.wanted.iter().flat_map(tables).filter(covered).collect() }
    }

    /// Every fault, given those the engine knows: of a network instance that is not watched, earlier ones stand unless
    /// the switch counts none.
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
