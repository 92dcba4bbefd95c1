//! Configuration and state of one switch, described by one schema.
//!
//! State is written by owners. What an owner writes at a path replaces what it wrote before at exactly that path;
//! entries it wrote at their own paths below are kept. Running configuration changes by commits of candidates, which
//! hooks may refuse. Configuration of the switch's own modules appears in state; that of an application's modules
//! appears only if the application writes it there.

mod candidate;
mod change;
mod check;
mod config;
mod confirm;
mod delivery;
mod json;
mod state;
mod target;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;
use tokio::sync::broadcast;

pub use self::candidate::Candidate;
pub use self::change::{NodeChange, Store, Transaction, diff};
pub use self::config::{Commit, CommitError, CommitHook, Committed, Exclusive, Problem};
pub use self::delivery::{Delivery, delivery};
pub use self::json::{JsonStyle, encode, encode_entry, leaf_json, member_name};
pub(crate) use self::json::{canonical_text, expected};
pub use self::target::{KeyMatch, Target, TargetStep};
pub use self::tree::{EntryKey, KeyValue, LeafValue, Node, Place};

use self::config::Config;
use self::state::State;
use crate::path::Path;
use crate::schema::Schema;

/// Number of transactions that a subscriber may lag behind before it misses some.
const BACKLOG: usize = 4096;

/// Why a write is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Refusal {
    /// The node it concerns.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// A write of state.
#[derive(Clone, Debug, PartialEq)]
pub enum StateOp {
    /// The JSON is everything the owner has at this path, which is the path of a container, list entry or leaf.
    Replace(Path, Value),
    /// The owner has nothing at this path any more. What it wrote at paths below is kept.
    Delete(Path),
}

/// What to read from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// State, with the configuration of the switch's own modules.
    State,
    /// The running configuration.
    Running,
    /// A candidate.
    Candidate(&'a Candidate),
}

/// Handle of a datastore; its clones share one datastore.
#[derive(Clone)]
pub struct Datastore {
    inner: Arc<Inner>,
}

struct Inner {
    schema: Arc<Schema>,
    state: RwLock<State>,
    running: RwLock<Arc<Node>>,
    config: Config,
    changes: broadcast::Sender<Arc<Transaction>>,
    sequence: Mutex<u64>,
}

impl fmt::Debug for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datastore").finish_non_exhaustive()
    }
}

impl Datastore {
    /// Creates an empty datastore.
    pub fn new(schema: Arc<Schema>) -> Self {
        let inner = Inner {
            schema,
            state: RwLock::default(),
            running: RwLock::default(),
            config: Config::default(),
            changes: broadcast::Sender::new(BACKLOG),
            sequence: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the schema of the data.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.inner.schema
    }

    /// Writes state: all writes or none.
    ///
    /// # Errors
    /// [`Refusal`] with the node that the schema does not allow.
    pub fn apply_state(&self, owner: &str, ops: Vec<StateOp>) -> Result<(), Refusal> {
        let schema = &self.inner.schema;
        let writes = ops.iter().map(|op| state::prepare(schema, op)).collect::<Result<Vec<_>, _>>()?;
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        for write in &writes {
            state.check(schema, write)?;
        }
        let changes = state.apply(owner, writes);
        self.publish(Store::State, changes);
        Ok(())
    }

    /// Removes everything an owner wrote.
    pub fn wipe_owner(&self, owner: &str) {
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        let changes = state.wipe(owner);
        self.publish(Store::State, changes);
    }

    /// Returns the paths at which an owner wrote, in no order.
    pub fn paths_of_owner(&self, owner: &str) -> Vec<Path> {
        let state = self.inner.state.read().unwrap_or_else(PoisonError::into_inner);
        state.places_of(owner).map(|(places, leaf)| self.inner.schema.bare_path_at(places, leaf)).collect()
    }

    /// Reads a tree. State cannot change while the reader runs, so the reader should be quick.
    pub fn read<T>(&self, source: Source<'_>, reader: impl FnOnce(&Schema, &Node) -> T) -> T {
        match source {
            Source::State => reader(&self.inner.schema, self.state().visible()),
            Source::Running => reader(&self.inner.schema, &self.running()),
            Source::Candidate(candidate) => reader(&self.inner.schema, &candidate.tree()),
        }
    }

    /// Reads state and subscribes to its later changes, without gaps or repetition between the two.
    pub fn follow<T>(&self, reader: impl FnOnce(&Schema, &Node) -> T) -> (T, broadcast::Receiver<Arc<Transaction>>) {
        let state = self.state();
        let feed = self.inner.changes.subscribe();
        (reader(&self.inner.schema, state.visible()), feed)
    }

    /// Returns what is at one path, as plain JSON without module prefixes; `None` if nothing is there.
    ///
    /// # Errors
    /// [`Refusal`] if the schema does not know the path, or if it does not name a single node.
    pub fn json(&self, source: Source<'_>, path: &Path) -> Result<Option<Value>, Refusal> {
        let schema = &self.inner.schema;
        let target = schema.resolve(path)?;
        let (places, leaf) = target
            .place(schema)
            .ok_or_else(|| Refusal::new(path.to_string(), "the path matches more than one node"))?;
        let node = target.node();
        Ok(self.read(source, |schema, root| {
            let tree = root.at(&places)?;
            match leaf {
                Some(leaf) => tree.leaves.get(&leaf).map(|value| leaf_json(schema, leaf, value, JsonStyle::Plain)),
                None => Some(Value::Object(encode(schema, node, tree, JsonStyle::Plain))),
            }
        }))
    }

    /// Returns the current running configuration.
    pub fn running(&self) -> Arc<Node> {
        self.inner.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns transactions from now on, of state and of the running configuration.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Transaction>> {
        self.inner.changes.subscribe()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies subscribers. The caller holds the lock of the tree, so that transactions arrive in order.
    fn publish(&self, store: Store, changes: Vec<NodeChange>) {
        if changes.is_empty() {
            return;
        }
        let mut sequence = lock(&self.inner.sequence);
        *sequence += 1;
        // Sending fails only without subscribers.
        let _ = self.inner.changes.send(Arc::new(Transaction::new(*sequence, store, changes)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
