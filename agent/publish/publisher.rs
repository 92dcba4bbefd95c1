//! The task that writes.

use std::collections::{HashMap, VecDeque};
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
use crate::supervise::{Backoff, Throttle};

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

/// Pauses before what was refused or lost is written again, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So many parts of a batch refused, and none accepted: the NDK refuses everything, the rest need not be tried.
const REFUSES_ALL: usize = 8;
/// A delete refused so often by an NDK that took other things in between is of something that is not there.
const DELETE_TRIES: u8 = 3;
/// At most one log line about refusals in this time.
const COMPLAINTS: Duration = Duration::from_secs(30);
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
    /// Deletes that were refused: either nothing stood there, or the NDK took nothing at that moment. Tried again when it
    /// has taken something, a few times.
    doubtful: Vec<Path>,
    tries: HashMap<Path, u8>,
    /// The next batch, made while a call was on its way.
    ahead: Option<Batch>,
    /// When what is kept back is due all the same.
    kept_until: Option<Instant>,
    /// Nothing is written before.
    paused_until: Option<Instant>,
    pause: Backoff,
    /// When entries that were refused are tried again; all others are written meanwhile.
    aside_until: Option<Instant>,
    aside_pause: Backoff,
    complaints: Throttle,
}

/// What became of a call.
enum Outcome {
    /// All but these deletes, by their position.
    Written(Vec<usize>),
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
            doubtful: Vec::new(),
            tries: HashMap::new(),
            ahead: None,
            kept_until: None,
            paused_until: None,
            pause: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            aside_until: None,
            aside_pause: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            complaints: Throttle::new(COMPLAINTS),
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
                () = pause(self.aside_until), if self.aside_until.is_some() => {
                    self.aside_until = None;
                    self.tree.try_again();
                }
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
            self.doubtful.clear();
            self.tries.clear();
            self.tree.forget_written();
            self.proven = false;
            (self.paused_until, self.aside_until) = (None, None);
            self.pause.reset();
            self.aside_pause.reset();
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
        let (outcome, open) = self.attempt(sink, &batch).await;
        match outcome {
            Outcome::Written(refused) => self.done(&batch, &refused),
            Outcome::Refused(_) if batch.is_many() && open => return self.write_apart(sink, batch).await,
            Outcome::Refused(reason) => self.set_aside(batch, &reason),
            Outcome::Lost(reason) => self.put_off(batch, &reason),
        }
        open
    }

    /// The parts of a refused batch by themselves, so that one that is refused does not keep the others. False when the
    /// inputs have ended.
    async fn write_apart(&mut self, sink: &S, batch: Batch) -> bool {
        self.put_back_ahead();
        let mut parts = VecDeque::from(self.tree.split(batch));
        let (mut accepted, mut refused, mut open) = (false, 0, true);
        while let Some(part) = parts.pop_front().filter(|_| open) {
            let outcome;
            (outcome, open) = self.attempt(sink, &part).await;
            // What was made ahead meanwhile holds only if these parts stand.
            self.put_back_ahead();
            match outcome {
                Outcome::Written(refused) => {
                    accepted |= !part.updates.is_empty();
                    self.done(&part, &refused);
                }
                Outcome::Refused(reason) => {
                    refused += 1;
                    self.set_aside(part, &reason);
                }
                Outcome::Lost(reason) => {
                    parts.drain(..).rev().for_each(|part| self.tree.put_back(part));
                    self.put_off(part, &reason);
                }
            }
            if refused >= REFUSES_ALL && !accepted && !parts.is_empty() {
                parts.drain(..).rev().for_each(|part| self.tree.put_back(part));
                self.paused_until = Some(Instant::now() + self.pause.pause());
            }
        }
        open
    }

    /// One call; a second in the other spelling as long as none has proved right.
    async fn attempt(&mut self, sink: &S, batch: &Batch) -> (Outcome, bool) {
        let (outcome, open) = self.call(sink, batch).await;
        if self.proven || !open || !matches!(outcome, Outcome::Refused(_)) {
            return (outcome, open);
        }
        self.spelling = self.spelling.other();
        let (second, open) = self.call(sink, batch).await;
        if matches!(second, Outcome::Written(_)) {
            return (second, open);
        }
        self.spelling = self.spelling.other();
        (if matches!(second, Outcome::Lost(_)) { second } else { outcome }, open)
    }

    fn done(&mut self, batch: &Batch, refused: &[usize]) {
        self.counters.updates += batch.updates.len() as u64;
        self.counters.deletes += (batch.deletes.len() - refused.len()) as u64;
        if !batch.updates.is_empty() {
            if !self.proven {
                self.proven = true;
                debug!(spelling = ?self.spelling, "the NDK accepts this spelling of paths");
            }
            self.leftovers.append(&mut self.doubtful);
        }
        // After that: the deletes of a batch follow its updates, and what was accepted before them proves nothing.
        for (position, path) in batch.deletes.iter().enumerate() {
            let tries = self.tries.remove(path).unwrap_or_default() + 1;
            if refused.contains(&position) && tries < DELETE_TRIES {
                self.tries.insert(path.clone(), tries);
                self.doubtful.push(path.clone());
            }
        }
        self.pause.reset();
        if !self.tree.has_aside() {
            self.aside_pause.reset();
        }
    }

    /// What was made ahead holds only if what goes before it stands.
    fn put_back_ahead(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            self.tree.put_back(ahead);
        }
    }

    /// The NDK will not have it: tried again later, and at once when it changes. All else is written meanwhile.
    fn set_aside(&mut self, batch: Batch, reason: &str) {
        self.put_back_ahead();
        self.counters.errors += 1;
        if let Some(held_back) = self.complaints.admit(Instant::now()) {
            warn!(
                path = self.first_path(&batch),
                reason, held_back, "the NDK refuses a state entry; trying again later"
            );
        }
        self.tree.set_aside(batch);
        if self.aside_until.is_none() {
            self.aside_until = Some(Instant::now() + self.aside_pause.pause());
        }
    }

    /// The NDK did not answer: nothing is written for a while, or until the next registration.
    fn put_off(&mut self, batch: Batch, reason: &str) {
        self.put_back_ahead();
        self.counters.errors += 1;
        info!(path = self.first_path(&batch), reason, "the NDK is out of reach; writing again when it is back");
        self.leftovers.extend(self.tree.failed(batch));
        self.paused_until = Some(Instant::now() + self.pause.pause());
    }

    fn first_path(&self, batch: &Batch) -> String {
        let path = batch.updates.first().map(|entry| &entry.path).or(batch.deletes.first());
        path.map(|path| path.spelled(self.spelling)).unwrap_or_default()
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
            Ok(refused) => Outcome::Written(refused),
            Err(reason) => Outcome::Lost(reason),
        }
    }
}

/// Deletes entries; one that is refused must not keep the others. Gives the positions of those.
async fn delete<S: Sink>(sink: &S, paths: Vec<String>) -> Result<Vec<usize>, String> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    match sink.delete(paths.clone()).await {
        Ok(()) => return Ok(Vec::new()),
        Err(WriteError::Lost(reason)) => return Err(reason),
        Err(WriteError::Refused(reason)) => debug!(%reason, "the NDK refuses a delete"),
    }
    if paths.len() == 1 {
        return Ok(vec![0]);
    }
    let mut refused = Vec::new();
    for (position, path) in paths.into_iter().enumerate() {
        match sink.delete(vec![path]).await {
            Ok(()) => {}
            Err(WriteError::Refused(_)) => refused.push(position),
            Err(WriteError::Lost(reason)) => return Err(reason),
        }
    }
    Ok(refused)
}

async fn pause(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
