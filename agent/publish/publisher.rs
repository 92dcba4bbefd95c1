//! The task that writes.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::entry::{Counters, Entry};
use super::leftover;
use super::path::{Path, Spelling};
use super::sink::{Sink, WriteError};
use super::tree::{BATCH_ENTRIES, Batch, Tree};
use crate::model::view::{Change, SourceFreshness};

/// What the publisher is told.
#[derive(Debug)]
pub enum Input {
    /// What the engine has to say.
    Changes(Vec<Change>),
    /// Freshness and counters, every 10 s.
    Freshness(Vec<SourceFreshness>, u64),
    /// The first sync has ended: `/k8s-services` as it stands on the switch, where gNMI could read it. What is in it and
    /// was not written in this life is deleted.
    Leftover(serde_json::Value),
}

/// Pauses after a refusal, doubled up to the longest; a loss is waited out by the next registration.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the entries of a cluster in its first sync are kept back. Most syncs take less, and their entries are written
/// once; one that takes longer shows.
const FIRST_SYNC: Duration = Duration::from_secs(2);

/// Writes what the engine says.
#[derive(Debug)]
pub struct Publisher<S> {
    inputs: mpsc::Receiver<Input>,
    sinks: watch::Receiver<Option<S>>,
    generation: Option<u64>,
    tree: Tree,
    spelling: Spelling,
    /// A write has been accepted in this spelling.
    proven: bool,
    counters: Counters,
    leftovers: Vec<Path>,
    /// The next batch, made while a call was on its way.
    ahead: Option<Batch>,
    /// When what is kept back is due all the same.
    kept_until: Option<Instant>,
    paused_until: Option<Instant>,
    pause: Duration,
}

/// What became of a call.
enum Outcome {
    Written,
    Refused(String),
    Lost(String),
}

impl<S: Sink> Publisher<S> {
    /// A publisher that has written nothing yet. `version` stands in `/k8s-services/version`.
    pub fn new(inputs: mpsc::Receiver<Input>, sinks: watch::Receiver<Option<S>>, version: &'static str) -> Self {
        Self {
            inputs,
            sinks,
            generation: None,
            tree: Tree::new(version),
            spelling: Spelling::Hyphen,
            proven: false,
            counters: Counters::default(),
            leftovers: Vec::new(),
            ahead: None,
            kept_until: None,
            paused_until: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Writes until the inputs end.
    pub async fn run(mut self) {
        let mut sink: Option<S> = None;
        loop {
            if self.is_due()
                && let Some(sink) = sink.clone()
                && !self.write(&sink).await
            {
                return;
            }
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
                () = pause(self.kept_until), if self.kept_until.is_some() => {
                    self.kept_until = None;
                    self.tree.give_up_waiting();
                }
                () = pause(self.paused_until), if self.paused_until.is_some() => self.paused_until = None,
                // More is due: a new registration and one input are looked at between two batches.
                () = std::future::ready(()), if self.is_due() && sink.is_some() => {}
            }
        }
    }

    fn is_due(&self) -> bool {
        self.paused_until.is_none() && (self.ahead.is_some() || self.tree.is_due() || !self.leftovers.is_empty())
    }

    fn adopt(&mut self, sink: &mut Option<S>, next: Option<S>) {
        if let Some(next) = &next
            && self.generation != Some(next.generation())
        {
            self.generation = Some(next.generation());
            self.ahead = None;
            self.tree.forget_written();
            self.proven = false;
            self.paused_until = None;
            self.pause = FIRST_PAUSE;
        }
        *sink = next;
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Changes(changes) => {
                changes.into_iter().for_each(|change| self.tree.take(change));
                let until = || Instant::now() + FIRST_SYNC;
                self.kept_until = self.tree.keeps_back().then(|| self.kept_until.unwrap_or_else(until));
            }
            Input::Freshness(sources, evaluations) => {
                let counters = Counters { evaluations, ..self.counters };
                self.tree.refresh(sources, counters);
            }
            Input::Leftover(state) => self.leftovers = leftover::entries(&state),
        }
    }

    /// One batch, while inputs are still taken in. False when the inputs have ended.
    async fn write(&mut self, sink: &S) -> bool {
        let batch = self.ahead.take().or_else(|| self.tree.next_batch()).or_else(|| self.next_leftovers());
        let Some(batch) = batch else { return true };
        let (outcome, open) = self.call(sink, &batch).await;
        match outcome {
            Outcome::Written => self.done(&batch),
            Outcome::Refused(_) if !self.proven => {
                self.spelling = self.spelling.other();
                let (outcome, open) = self.call(sink, &batch).await;
                if let Outcome::Written = outcome {
                    self.done(&batch);
                } else {
                    self.spelling = self.spelling.other();
                    self.put_off(batch, outcome);
                }
                return open;
            }
            Outcome::Refused(_) if batch.is_many() => {
                self.put_back_ahead();
                for alone in self.tree.split(batch) {
                    let (outcome, open) = self.call(sink, &alone).await;
                    match outcome {
                        Outcome::Written => self.done(&alone),
                        other => self.put_off(alone, other),
                    }
                    if !open {
                        return false;
                    }
                }
            }
            other => self.put_off(batch, other),
        }
        open
    }

    fn done(&mut self, batch: &Batch) {
        if !self.proven {
            self.proven = true;
            debug!(spelling = ?self.spelling, "the NDK accepts this spelling of paths");
        }
        self.counters.updates += batch.updates.len() as u64;
        self.counters.deletes += batch.deletes.len() as u64;
        self.pause = FIRST_PAUSE;
    }

    /// What was made ahead holds only if what goes before it stands.
    fn put_back_ahead(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            self.tree.put_back(ahead);
        }
    }

    fn put_off(&mut self, batch: Batch, outcome: Outcome) {
        self.put_back_ahead();
        self.counters.errors += 1;
        let path = batch.updates.first().map(|entry| &entry.path).or(batch.deletes.first());
        let path = path.map(|path| path.spelled(self.spelling)).unwrap_or_default();
        match outcome {
            Outcome::Refused(reason) => warn!(%path, %reason, "the NDK refuses a state entry; trying again later"),
            Outcome::Lost(reason) => info!(%path, %reason, "the NDK is out of reach; writing again when it is back"),
            Outcome::Written => {}
        }
        self.leftovers.extend(self.tree.failed(batch));
        self.paused_until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Old entries that nothing of this life stands for.
    fn next_leftovers(&mut self) -> Option<Batch> {
        if self.leftovers.is_empty() {
            return None;
        }
        let standing = self.tree.standing();
        self.leftovers.retain(|path| !standing.contains(path));
        let count = self.leftovers.len().min(BATCH_ENTRIES);
        let batch = Batch::of_deletes(self.leftovers.drain(..count).collect());
        (count > 0).then_some(batch)
    }

    /// Calls the NDK; goes on taking inputs meanwhile, and makes the next batch where much is due. Also gives whether inputs are still open.
    async fn call(&mut self, sink: &S, batch: &Batch) -> (Outcome, bool) {
        let call = send(sink.clone(), self.spelling, batch);
        tokio::pin!(call);
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                outcome = &mut call => return (outcome, open),
                input = self.inputs.recv(), if open => match input {
                    Some(input) => self.take(input),
                    None => open = false,
                },
                // After whoever carries the call had its turn.
                () = tokio::task::yield_now(), if self.ahead.is_none() && self.tree.is_far_behind() => {
                    self.ahead = self.tree.next_batch();
                }
            }
        }
    }
}

/// Updates, then deletes.
fn send<S: Sink>(sink: S, spelling: Spelling, batch: &Batch) -> impl Future<Output = Outcome> + use<S> {
    let state = |entry: &Entry| (entry.path.spelled(spelling), entry.json.clone());
    let updates: Vec<(String, String)> = batch.updates.iter().map(state).collect();
    let deletes: Vec<String> = batch.deletes.iter().map(|path| path.spelled(spelling)).collect();
    async move {
        if !updates.is_empty()
            && let Err(error) = sink.update(updates).await
        {
            return match error {
                WriteError::Refused(reason) => Outcome::Refused(reason),
                WriteError::Lost(reason) => Outcome::Lost(reason),
            };
        }
        match delete(&sink, deletes).await {
            Ok(()) => Outcome::Written,
            Err(reason) => Outcome::Lost(reason),
        }
    }
}

/// Deletes entries; one that is refused is not there, and must not keep the others.
async fn delete<S: Sink>(sink: &S, paths: Vec<String>) -> Result<(), String> {
    if paths.is_empty() {
        return Ok(());
    }
    match sink.delete(paths.clone()).await {
        Ok(()) => return Ok(()),
        Err(WriteError::Lost(reason)) => return Err(reason),
        Err(WriteError::Refused(reason)) => debug!(%reason, "the NDK refuses a delete"),
    }
    for path in paths {
        if let Err(WriteError::Lost(reason)) = sink.delete(vec![path]).await {
            return Err(reason);
        }
    }
    Ok(())
}

async fn pause(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
