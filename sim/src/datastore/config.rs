//! Running configuration: candidates, commits, and the hooks that apply or refuse them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::task::AbortHandle;

use super::candidate::{self, Candidate, Edit};
use super::change::{NodeChange, Store, diff};
use super::state::{self, Write};
use super::tree::Node;
use super::{Datastore, Refusal, check, lock};
use crate::schema::{NodeId, Schema};

/// A problem with a configuration, in the words of the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The node it concerns.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Why a commit failed. The running configuration is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The schema does not allow it.
    #[error(transparent)]
    Invalid(Refusal),
    /// An earlier commit waits to be confirmed or rejected.
    #[error("an earlier commit waits to be confirmed or rejected")]
    Unconfirmed,
    /// A hook refused it.
    #[error("{}", .0.iter().map(|it| format!("{}: {}", it.path, it.message)).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Problem>),
}

/// A successful commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Number of the commit. A commit without changes has the number of the last one.
    pub sequence: u64,
    /// Warnings of hooks.
    pub warnings: Vec<Problem>,
}

/// A change of the running configuration, as hooks receive it.
#[derive(Debug)]
pub struct Commit {
    /// Number of the commit, from 1.
    pub sequence: u64,
    /// The schema of the trees.
    pub schema: Arc<Schema>,
    /// The configuration before the commit.
    pub before: Arc<Node>,
    /// The configuration after the commit.
    pub after: Arc<Node>,
    /// The changes between the two.
    pub changes: Vec<NodeChange>,
}

/// A lock on editing. Others can edit again when it is dropped.
#[derive(Clone, Debug)]
pub struct Exclusive {
    _held: Arc<()>,
}

/// Applies commits, or refuses them.
#[tonic::async_trait]
pub trait CommitHook: Send + Sync + 'static {
    /// Applies a commit. Returns warnings, or the problems for which it is refused.
    async fn commit(&self, commit: &Commit) -> Result<Vec<Problem>, Vec<Problem>>;

    /// Reverts a commit that was refused, by this hook or another that had seen it. `after` is the running
    /// configuration, which stays.
    async fn restore(&self, commit: &Commit);
}

/// A commit that waits to be confirmed.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    /// The configuration to revert to.
    pub(super) before: Arc<Node>,
    pub(super) timer: AbortHandle,
}

#[derive(Default)]
pub(super) struct Config {
    shared: Mutex<HashMap<String, Arc<Mutex<Vec<Edit>>>>>,
    hooks: Mutex<Vec<Arc<dyn CommitHook>>>,
    /// Number of the last commit; locked during a commit.
    commits: tokio::sync::Mutex<u64>,
    /// The startup configuration.
    startup: Mutex<Arc<Node>>,
    /// The holder of the lock on editing.
    exclusive: Mutex<Weak<()>>,
    /// The last commit, if it waits to be confirmed.
    pub(super) unconfirmed: Mutex<Option<Unconfirmed>>,
}

impl Datastore {
    /// Returns the candidate that is shared under this name.
    pub fn shared_candidate(&self, name: &str) -> Candidate {
        let edits = lock(&self.inner.config.shared).entry(name.to_owned()).or_default().clone();
        Candidate { store: self.clone(), edits }
    }

    /// Creates a private candidate.
    pub fn private_candidate(&self) -> Candidate {
        Candidate { store: self.clone(), edits: Arc::default() }
    }

    /// Locks candidates for one user; `None` if another user holds the lock.
    pub fn lock_candidates(&self) -> Option<Exclusive> {
        let mut held = lock(&self.inner.config.exclusive);
        if held.strong_count() > 0 {
            return None;
        }
        let exclusive = Arc::new(());
        *held = Arc::downgrade(&exclusive);
        Some(Exclusive { _held: exclusive })
    }

    /// Returns whether candidates are locked.
    pub fn is_locked(&self) -> bool {
        lock(&self.inner.config.exclusive).strong_count() > 0
    }

    /// Adds a hook that applies commits.
    pub fn add_commit_hook(&self, hook: Arc<dyn CommitHook>) {
        lock(&self.inner.config.hooks).push(hook);
    }

    /// Makes a candidate the startup configuration and the running one. This is not a commit: no hook is called.
    ///
    /// # Errors
    /// Returns an error if the schema does not allow it.
    pub fn boot(&self, candidate: &Candidate) -> Result<(), Refusal> {
        candidate.validate()?;
        let after = candidate.tree();
        let changes = diff(&self.running(), &after);
        candidate.discard();
        self.make_running(Arc::new(after), changes);
        self.save();
        Ok(())
    }

    /// Saves the running configuration as the startup configuration.
    pub fn save(&self) {
        *lock(&self.inner.config.startup) = self.running();
    }

    /// Returns whether the running configuration is saved as the startup configuration.
    pub fn is_saved(&self) -> bool {
        *lock(&self.inner.config.startup) == self.running()
    }

    /// Commits the startup configuration in place of the running one.
    ///
    /// # Errors
    /// [`CommitError`] if a hook refuses it.
    pub async fn load_startup(&self) -> Result<Committed, CommitError> {
        let startup = lock(&self.inner.config.startup).clone();
        self.load(&startup).await
    }

    /// Commits a whole configuration in place of the running one.
    pub(super) async fn load(&self, tree: &Node) -> Result<Committed, CommitError> {
        let mut last = self.inner.config.commits.lock().await;
        self.commit_tree(&mut last, tree.clone()).await
    }

    /// Validates a candidate and makes it the running configuration, after every hook in turn has applied it. If one
    /// hook refuses, all hooks that saw the commit are told to restore the running configuration, and the candidate
    /// keeps its edits.
    ///
    /// # Errors
    /// [`CommitError`] if the schema does not allow it, a hook refuses it, or an earlier commit waits to be confirmed.
    pub async fn commit(&self, candidate: &Candidate) -> Result<Committed, CommitError> {
        let mut last = self.inner.config.commits.lock().await;
        if self.is_unconfirmed() {
            return Err(CommitError::Unconfirmed);
        }
        let edits = lock(&candidate.edits).clone();
        let before = self.running();
        let mut after = Node::clone(&before);
        candidate::apply(self.schema(), &mut after, &edits);
        check::configuration(self.schema(), &after).map_err(CommitError::Invalid)?;
        let committed = self.commit_tree(&mut last, after).await?;
        let mut edits_now = lock(&candidate.edits);
        let done = edits.len().min(edits_now.len());
        edits_now.drain(..done);
        Ok(committed)
    }

    /// Returns whether a commit waits to be confirmed.
    fn is_unconfirmed(&self) -> bool {
        lock(&self.inner.config.unconfirmed).is_some()
    }

    /// Lets the hooks apply a configuration and makes it the running one.
    async fn commit_tree(&self, last: &mut u64, after: Node) -> Result<Committed, CommitError> {
        let before = self.running();
        let changes = diff(&before, &after);
        if changes.is_empty() {
            return Ok(Committed { sequence: *last, warnings: Vec::new() });
        }
        *last += 1;
        let after = Arc::new(after);
        let commit = Commit { sequence: *last, schema: self.schema().clone(), before, after, changes };
        let warnings = match self.carry_out(&commit).await {
            Ok(warnings) => warnings,
            Err(refusal) => {
                *last += 1;
                self.restore(&commit, *last, refusal.heard).await;
                return Err(CommitError::Refused(refusal.problems));
            }
        };
        self.make_running(commit.after, commit.changes);
        Ok(Committed { sequence: *last, warnings })
    }

    async fn carry_out(&self, commit: &Commit) -> Result<Vec<Problem>, HookRefusal> {
        let hooks = lock(&self.inner.config.hooks).clone();
        let mut warnings = Vec::new();
        for (position, hook) in hooks.iter().enumerate() {
            match hook.commit(commit).await {
                Ok(remarks) => warnings.extend(remarks),
                Err(problems) => return Err(HookRefusal { problems, heard: hooks[..=position].to_vec() }),
            }
        }
        Ok(warnings)
    }

    async fn restore(&self, refused: &Commit, sequence: u64, heard: Vec<Arc<dyn CommitHook>>) {
        let commit = Commit {
            sequence,
            schema: refused.schema.clone(),
            before: refused.after.clone(),
            after: refused.before.clone(),
            changes: diff(&refused.after, &refused.before),
        };
        for hook in heard {
            hook.restore(&commit).await;
        }
    }

    fn make_running(&self, tree: Arc<Node>, changes: Vec<NodeChange>) {
        let native = native_part(self.schema(), &tree);
        let mut state = self.inner.state.write().unwrap_or_else(PoisonError::into_inner);
        *self.inner.running.write().unwrap_or_else(PoisonError::into_inner) = tree;
        self.publish(Store::Running, changes);
        let shown = state.apply(state::CONFIG, vec![Write::Node(Vec::new(), native)]);
        self.publish(Store::State, shown);
    }
}

struct HookRefusal {
    problems: Vec<Problem>,
    heard: Vec<Arc<dyn CommitHook>>,
}

/// Returns the configuration of the switch's own modules.
fn native_part(schema: &Schema, tree: &Node) -> Node {
    let native = |node: &NodeId| schema.is_native(*node);
    let mut part = Node::default();
    let leaves = tree.leaves.iter().filter(|(leaf, _)| native(leaf));
    part.leaves = leaves.map(|(leaf, value)| (*leaf, value.clone())).collect();
    let containers = tree.containers.iter().filter(|(node, _)| native(node));
    part.containers = containers.map(|(node, it)| (*node, native_part(schema, it))).collect();
    let lists = tree.lists.iter().filter(|(node, _)| native(node));
    let entries = |entries: &std::collections::BTreeMap<_, Node>| {
        entries.iter().map(|(key, it)| (super::EntryKey::clone(key), native_part(schema, it))).collect()
    };
    part.lists = lists.map(|(node, it)| (*node, entries(it))).collect();
    part
}
