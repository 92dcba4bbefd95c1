//! Runs the task that writes state to the switch.

use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant};
use tracing::{debug, info, warn};

use super::batch::Batch;
use super::call::{Outcome, delete, send};
use super::deletes::DeleteQueue;
use super::desired::Desired;
use super::dialect::{Dialect, Dialects};
use super::leftover;
use super::refused::Refusal;
use super::root::Counters;
use super::sink::Sink;
use crate::model::adaptation::Adaptation;
use crate::model::view::{Change, SourceFreshness};
use crate::supervise::{Backoff, Throttle};

/// The input of the publisher.
#[derive(Debug)]
pub enum Input {
    /// Changes from the engine.
    Changes(Vec<Change>),
    /// Freshness and number of evaluations, every 10 s.
    Freshness(Vec<SourceFreshness>, u64),
    /// `/k8s-services` as it was on the switch when the first sync ended, if gNMI could read it. Entries that were not
    /// written in this run are deleted.
    Leftover(serde_json::Value),
    /// What the sources found out about this switch.
    Adaptation(Adaptation),
    /// Whether the root appears in state after an acceptance, which is identified by its number in
    /// [`Publisher::accepted`].
    ReadBack {
        /// The number of the acceptance.
        acceptance: u64,
        /// Whether the root appears.
        shows: bool,
    },
}

/// Pauses before refused or lost writes are tried again: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Number of single refusals, without any acceptance, after which the NDK is taken to refuse everything, and the rest
/// is not tried.
const REFUSES_ALL: usize = 8;
/// Bytes up to which an entry cannot be too large for any NDK.
const SMALL_BYTES: usize = 4 * 1024;
/// Most paths that do not appear in state and are deleted in one call.
const DELETED_AT_ONCE: usize = 200;
/// Least time between two log lines about refusals.
const COMPLAINTS: Duration = Duration::from_secs(30);
/// How long the entries of a cluster in its first sync are held back. Most syncs are shorter, so that their entries are
/// written once; a longer one becomes visible.
const FIRST_SYNC: Duration = Duration::from_secs(2);

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no registration: nothing can be written.
    Unregistered,
    /// The NDK of this registration has not accepted anything yet: the root is tried in each dialect.
    Probing,
    /// Everything due is written.
    Writing,
    /// The NDK did not answer, or refused everything: nothing is written until this time.
    Paused(Instant),
}

/// Writes what the engine reports.
#[derive(Debug)]
pub struct Publisher<S> {
    inputs: mpsc::Receiver<Input>,
    sinks: watch::Receiver<Option<S>>,
    generation: Option<u64>,
    phase: Phase,
    desired: Desired,
    dialects: Dialects,
    /// Counts how often a dialect was accepted: state is read back after each time.
    accepted: watch::Sender<u64>,
    counters: Counters,
    deletes: DeleteQueue,
    /// Whether what was written in the dialect appears in state; `None` until that was read.
    shows: Option<bool>,
    /// Paths written in a dialect that did not appear in state: deleted once, whatever the answer.
    hidden: Vec<String>,
    /// The next batch, prepared while a call was under way.
    prepared: Option<Batch>,
    /// When entries that are held back become due anyway.
    first_sync_until: Option<Instant>,
    pause: Backoff,
    /// When refused entries are tried again; all others are written in the meantime.
    retry_at: Option<Instant>,
    retry: Backoff,
    complaints: Throttle,
}

impl<S: Sink> Publisher<S> {
    /// Creates a publisher that has written nothing yet. `version` is the value of `/k8s-services/version`.
    pub fn new(inputs: mpsc::Receiver<Input>, sinks: watch::Receiver<Option<S>>, version: &'static str) -> Self {
        Self {
            inputs,
            sinks,
            generation: None,
            phase: Phase::Unregistered,
            desired: Desired::new(version),
            dialects: Dialects::new(),
            accepted: watch::Sender::new(0),
            counters: Counters::default(),
            deletes: DeleteQueue::default(),
            shows: None,
            hidden: Vec::new(),
            prepared: None,
            first_sync_until: None,
            pause: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            retry_at: None,
            retry: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            complaints: Throttle::new(COMPLAINTS),
        }
    }

    /// Counts how often the NDK accepted the root in a dialect that was not known to be right. An NDK may accept what
    /// never appears in state: a task that can read state reports the result by [`Input::ReadBack`].
    pub fn accepted(&self) -> watch::Receiver<u64> {
        self.accepted.subscribe()
    }

    /// Writes until the inputs end.
    pub async fn run(mut self) {
        let mut sink: Option<S> = None;
        loop {
            // Not during a call, whose answer is about entries that this forgets.
            if self.shows == Some(false) {
                self.hide();
            }
            if self.is_due()
                && let Some(sink) = sink.clone()
                && !self.write(&sink).await
            {
                return;
            }
            let paused_until = match self.phase {
                Phase::Paused(until) => Some(until),
                Phase::Unregistered | Phase::Probing | Phase::Writing => None,
            };
            tokio::select! {
                biased;
                changed = self.sinks.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let next = self.sinks.borrow_and_update().clone();
                    self.adopt(&mut sink, next);
                }
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                () = at(self.first_sync_until), if self.first_sync_until.is_some() => {
                    self.first_sync_until = None;
                    self.desired.give_up_waiting();
                }
                () = at(paused_until), if paused_until.is_some() => self.resume(),
                () = at(self.retry_at), if self.retry_at.is_some() => {
                    self.retry_at = None;
                    self.desired.try_again();
                }
                // More is due: handle a new registration and one input between two batches.
                () = std::future::ready(()), if self.is_due() => {}
            }
        }
    }

    fn is_due(&self) -> bool {
        let any = self.prepared.is_some() || self.desired.is_due() || self.deletes.is_due() || !self.hidden.is_empty();
        matches!(self.phase, Phase::Probing | Phase::Writing) && any
    }

    fn resume(&mut self) {
        self.phase = if self.dialects.is_confirmed() { Phase::Writing } else { Phase::Probing };
    }

    fn pause(&mut self) {
        self.phase = Phase::Paused(Instant::now() + self.pause.pause());
    }

    fn adopt(&mut self, sink: &mut Option<S>, next: Option<S>) {
        match &next {
            None => self.phase = Phase::Unregistered,
            Some(next) if self.generation != Some(next.generation()) => {
                self.generation = Some(next.generation());
                self.dialects.renew();
                self.start_over();
                self.pause.reset();
                self.retry.reset();
            }
            Some(_) => self.resume(),
        }
        *sink = next;
    }

    /// Forgets everything that was written.
    fn start_over(&mut self) {
        self.prepared = None;
        self.deletes.clear();
        self.hidden.clear();
        self.retry_at = None;
        self.desired.forget_written();
        self.phase = Phase::Probing;
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Changes(changes) => {
                changes.into_iter().for_each(|change| self.desired.take(change));
                let until = || Instant::now() + FIRST_SYNC;
                self.first_sync_until = self.desired.keeps_back().then(|| self.first_sync_until.unwrap_or_else(until));
            }
            Input::Freshness(sources, evaluations) => {
                let counters = Counters { evaluations, ..self.counters };
                self.desired.refresh(sources, counters);
            }
            Input::Leftover(state) => {
                let spelling = self.dialects.current().spelling;
                self.deletes.add(leftover::entries(&state).iter().map(|path| path.js(spelling)));
            }
            Input::Adaptation(adaptation) => self.desired.adapt(adaptation),
            Input::ReadBack { acceptance, shows } => {
                if acceptance == *self.accepted.borrow() && self.dialects.is_confirmed() {
                    self.shows = Some(shows);
                }
            }
        }
    }

    /// Makes one or a few calls, and handles inputs in the meantime. Returns `false` when the inputs have ended.
    async fn write(&mut self, sink: &S) -> bool {
        if !self.hidden.is_empty() {
            self.delete_hidden(sink).await;
        }
        if self.phase == Phase::Probing && self.desired.probe(self.dialects.current()).is_some() {
            return self.probe(sink).await;
        }
        match self.prepared.take().or_else(|| self.desired.next_batch(self.dialects.current())) {
            Some(batch) => self.write_batch(sink, batch).await,
            None => self.write_deletes(sink).await,
        }
    }

    /// Tries the root's small document in each dialect until one is accepted. Returns `false` when the inputs have
    /// ended.
    async fn probe(&mut self, sink: &S) -> bool {
        let mut last = None;
        for dialect in self.dialects.candidates() {
            let Some(batch) = self.desired.probe(dialect) else { break };
            let (outcome, open) = self.call(sink, &batch).await;
            self.put_back_prepared();
            match outcome {
                Outcome::Written(_) => {
                    self.counters.updates += 1;
                    self.desired.probed();
                    self.accept(dialect);
                    return open;
                }
                Outcome::Refused(_, reason) => {
                    self.counters.errors += 1;
                    self.dialects.refuse(dialect);
                    last = Some(reason);
                }
                Outcome::Lost(reason) => {
                    self.counters.errors += 1;
                    info!(reason, "the NDK does not answer; writing again when it is back");
                    self.pause();
                    return open;
                }
            }
            if !open {
                return false;
            }
        }
        if let Some(hidden) = self.dialects.hidden() {
            // A dialect that was accepted is better than refused ones, and the reason why it does not appear is not
            // known.
            self.confirm(hidden);
            return true;
        }
        self.dialects.forgive();
        self.complain("/k8s-services", &last.unwrap_or_default());
        // If the refusal is about the root alone, the rest is accepted.
        let Some(batch) = self.desired.next_batch(self.dialects.current()) else {
            self.pause();
            return true;
        };
        let open = self.write_batch(sink, batch).await;
        if !self.dialects.is_confirmed() {
            self.pause();
        }
        open
    }

    /// Notes that the NDK accepted a write in this dialect.
    fn accept(&mut self, dialect: Dialect) {
        let known = self.shows == Some(true) && self.dialects.current() == dialect;
        self.confirm(dialect);
        if !known {
            self.shows = None;
            self.accepted.send_modify(|count| *count += 1);
        }
    }

    fn confirm(&mut self, dialect: Dialect) {
        let (spelling, words) = (dialect.spelling.as_str(), dialect.words.as_str());
        debug!(spelling, words, "the NDK accepts state written so");
        self.dialects.accept(dialect);
        self.desired.set_dialect(dialect);
        self.phase = Phase::Writing;
    }

    /// Handles state that does not appear: another dialect is tried, and what was written in this one is deleted.
    fn hide(&mut self) {
        let dialect = self.dialects.current();
        self.shows = None;
        self.dialects.hide();
        if self.dialects.candidates().is_empty() {
            return self.confirm(dialect);
        }
        info!(spelling = dialect.spelling.as_str(), "the NDK accepts state that does not show; writing it another way");
        let hidden = self.desired.standing(dialect);
        self.start_over();
        self.hidden = hidden.into_iter().collect();
        // Children before their parents.
        self.hidden.sort_unstable_by_key(|path| std::cmp::Reverse(path.len()));
    }

    /// Deletes what was written in a dialect that does not appear in state. The outcome does not matter.
    async fn delete_hidden(&mut self, sink: &S) {
        for paths in std::mem::take(&mut self.hidden).chunks(DELETED_AT_ONCE) {
            if let Err(error) = sink.delete(paths.to_vec()).await {
                debug!(%error, "what does not show was not deleted");
            }
        }
    }

    /// Writes a batch. A refused part is halved until each refused entry is alone, so that it does not prevent the
    /// others. Returns `false` when the inputs have ended.
    async fn write_batch(&mut self, sink: &S, batch: Batch) -> bool {
        self.report_too_large();
        let (mut parts, mut accepted, mut refused, mut open) = (vec![batch], false, 0, true);
        while let Some(part) = parts.pop().filter(|_| open) {
            let outcome;
            (outcome, open) = self.call(sink, &part).await;
            match outcome {
                Outcome::Written(refused) => {
                    accepted |= part.has_updates();
                    self.done(&part, &refused);
                }
                Outcome::Refused(refusal, reason) => {
                    // The prepared batch is valid only if those before it are written.
                    self.put_back_prepared();
                    match part.halves() {
                        Ok([first, second]) => parts.extend([second, first]),
                        Err(single) => {
                            let other;
                            (other, open) = self.try_other_hyphens(sink, &single).await;
                            if other {
                                accepted = true;
                                // They were rendered in the refused form.
                                parts.drain(..).for_each(|part| self.desired.put_back(part));
                                continue;
                            }
                            refused += 1;
                            self.refuse(single, refusal, &reason);
                        }
                    }
                }
                Outcome::Lost(reason) => {
                    self.put_back_prepared();
                    parts.drain(..).for_each(|part| self.desired.put_back(part));
                    self.put_off(part, &reason);
                }
            }
            if refused >= REFUSES_ALL && !accepted && !parts.is_empty() {
                self.put_back_prepared();
                parts.drain(..).for_each(|part| self.desired.put_back(part));
                self.pause();
            }
        }
        open
    }

    /// Writes a refused entry with the other form of hyphens in its enumerations. If that is accepted, all enumerations
    /// are written that way from then on. Returns whether it was accepted, and whether inputs are still open.
    async fn try_other_hyphens(&mut self, sink: &S, single: &Batch) -> (bool, bool) {
        let Some((dialect, other)) = single.with_other_hyphens(self.dialects.current()) else { return (false, true) };
        let (outcome, open) = self.call(sink, &other).await;
        // It was rendered in the former dialect.
        self.put_back_prepared();
        let Outcome::Written(refused) = outcome else { return (false, open) };
        info!(words = dialect.words.as_str(), "the NDK wants words of enumerations written so");
        self.confirm(dialect);
        self.done(&other, &refused);
        // Entries that were refused for their hyphens can be written now.
        self.retry_at = self.desired.has_refused().then(Instant::now);
        (true, open)
    }

    fn done(&mut self, batch: &Batch, refused: &[String]) {
        let updates = batch.writes().iter().filter(|write| write.json.is_some()).count();
        self.counters.updates += updates as u64;
        self.counters.deletes += (batch.writes().len() - updates - refused.len()) as u64;
        if updates > 0 {
            if !self.dialects.is_confirmed() {
                self.accept(self.dialects.current());
            }
            self.deletes.retry_unconfirmed();
        }
        // After the updates: the deletes of a batch follow its updates, and what was accepted before them proves
        // nothing.
        for path in batch.deletes().map(|write| &write.path) {
            if refused.contains(path) { self.deletes.refused(path) } else { self.deletes.accepted(path) }
        }
        self.desired.written(batch);
        self.pause.reset();
        if !self.desired.has_refused() {
            self.retry.reset();
        }
    }

    /// Deletes entries that belong to no item. Returns `false` when the inputs have ended.
    async fn write_deletes(&mut self, sink: &S) -> bool {
        if !self.deletes.is_due() {
            return true;
        }
        let paths = self.deletes.next(&self.desired.standing(self.dialects.current()));
        let (outcome, open) = self.answer(delete(sink.clone(), paths.clone())).await;
        match outcome {
            Outcome::Written(refused) => {
                self.counters.deletes += (paths.len() - refused.len()) as u64;
                for path in &paths {
                    if refused.contains(path) { self.deletes.refused(path) } else { self.deletes.accepted(path) }
                }
            }
            Outcome::Refused(_, reason) | Outcome::Lost(reason) => {
                self.counters.errors += 1;
                info!(reason, "the NDK does not answer; writing again when it is back");
                self.deletes.add(paths);
                self.pause();
            }
        }
        open
    }

    /// Makes the prepared batch due again.
    fn put_back_prepared(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.desired.put_back(prepared);
        }
    }

    /// Sets aside a write that the NDK refuses: everything else is written in the meantime.
    fn refuse(&mut self, single: Batch, refusal: Refusal, reason: &str) {
        self.counters.errors += 1;
        for write in single.into_writes() {
            self.complain(&write.path, reason);
            // A small entry is not too large, so the NDK must lack some resource temporarily.
            let refusal = if write.bytes() <= SMALL_BYTES { Refusal::Content } else { refusal };
            self.desired.refuse(write, refusal);
        }
        if self.desired.has_refused() && self.retry_at.is_none() {
            self.retry_at = Some(Instant::now() + self.retry.pause());
        }
    }

    /// Postpones writing because the NDK did not answer: for a while, or until the next registration.
    fn put_off(&mut self, batch: Batch, reason: &str) {
        self.counters.errors += 1;
        let path = batch.writes().first().map(|write| write.path.as_str()).unwrap_or_default();
        info!(path, reason, "the NDK does not answer; writing again when it is back");
        self.desired.failed(batch);
        self.pause();
    }

    fn complain(&mut self, path: &str, reason: &str) {
        if let Some(held_back) = self.complaints.admit(Instant::now()) {
            warn!(
                path,
                reason,
                held_back,
                "the NDK refuses a state entry; all others are written, this one is tried again later"
            );
        }
    }

    fn report_too_large(&mut self) {
        for (place, bytes) in self.desired.take_too_large() {
            self.counters.errors += 1;
            if let Some(held_back) = self.complaints.admit(Instant::now()) {
                warn!(
                    path = %place.path(),
                    bytes,
                    held_back,
                    "a state entry is too large to be written; all others are, statistics/adaptation names it"
                );
            }
        }
    }

    async fn call(&mut self, sink: &S, batch: &Batch) -> (Outcome, bool) {
        self.answer(send(sink.clone(), batch)).await
    }

    /// Waits for the NDK; handles inputs in the meantime, and prepares the next batch if much is due. Also returns
    /// whether inputs are still open.
    async fn answer(&mut self, call: impl Future<Output = Outcome>) -> (Outcome, bool) {
        tokio::pin!(call);
        let mut open = true;
        let may_prepare = self.phase == Phase::Writing;
        loop {
            tokio::select! {
                biased;
                outcome = &mut call => return (outcome, open),
                input = self.inputs.recv(), if open => match input {
                    Some(input) => self.take(input),
                    None => open = false,
                },
                // After the task that carries the call has had its turn.
                () = tokio::task::yield_now(), if may_prepare && self.prepared.is_none() && self.desired.is_far_behind() => {
                    self.prepared = self.desired.next_batch(self.dialects.current());
                }
            }
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
