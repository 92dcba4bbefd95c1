//! Changes of the data: containers and entries, with the leaves set and unset in them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::json::{JsonStyle, leaf_json};
use super::tree::{LeafValue, Node, Place};
use crate::path::Path;
use crate::schema::{NodeId, Schema};

/// Which tree a transaction changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// State.
    State,
    /// The running configuration.
    Running,
}

/// Changes made at once.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Number of the transaction, which increases by one.
    pub sequence: u64,
    /// Time of the transaction.
    pub at: Timestamp,
    /// The tree that was changed.
    pub store: Store,
    /// The changes, parents before children.
    pub changes: Vec<NodeChange>,
}

/// What changed in one container or entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    /// Place of the container or entry.
    pub places: Vec<Place>,
    /// It did not exist before.
    pub created: bool,
    /// It does not exist any more.
    pub removed: bool,
    /// Leaves with their new values.
    pub set: Vec<(NodeId, LeafValue)>,
    /// Leaves that do not exist any more.
    pub unset: Vec<NodeId>,
}

impl Transaction {
    pub(super) fn new(sequence: u64, store: Store, changes: Vec<NodeChange>) -> Self {
        Self { sequence, at: Timestamp::now(), store, changes }
    }

    /// Returns the changed leaves with their paths: the new value as plain JSON, or `None` if the leaf was removed.
    pub fn leaves(&self, schema: &Schema) -> Vec<(Path, Option<Value>)> {
        let mut leaves = Vec::new();
        for change in &self.changes {
            let path = |leaf| schema.bare_path_at(&change.places, Some(leaf));
            for (leaf, value) in &change.set {
                leaves.push((path(*leaf), Some(leaf_json(schema, *leaf, value, JsonStyle::Plain))));
            }
            leaves.extend(change.unset.iter().map(|leaf| (path(*leaf), None)));
        }
        leaves
    }
}

/// Collects changes: one [`NodeChange`] per place.
#[derive(Default)]
pub(super) struct Log {
    changes: Vec<NodeChange>,
    positions: HashMap<Vec<Place>, usize>,
}

impl Log {
    pub(super) fn at(&mut self, places: &[Place]) -> &mut NodeChange {
        let position = match self.positions.get(places) {
            Some(position) => *position,
            None => {
                self.positions.insert(places.to_vec(), self.changes.len());
                self.changes.push(NodeChange { places: places.to_vec(), ..NodeChange::default() });
                self.changes.len() - 1
            }
        };
        &mut self.changes[position]
    }

    pub(super) fn set(&mut self, places: &[Place], leaf: NodeId, value: LeafValue) {
        let change = self.at(places);
        change.unset.retain(|it| *it != leaf);
        match change.set.iter_mut().find(|(it, _)| *it == leaf) {
            Some(known) => known.1 = value,
            None => change.set.push((leaf, value)),
        }
    }

    pub(super) fn unset(&mut self, places: &[Place], leaf: NodeId) {
        let change = self.at(places);
        change.set.retain(|(it, _)| *it != leaf);
        change.unset.push(leaf);
    }

    pub(super) fn created(&mut self, places: &[Place]) {
        let change = self.at(places);
        // It was removed and created within one transaction, so it existed before.
        change.created = !std::mem::take(&mut change.removed);
    }

    pub(super) fn removed(&mut self, places: &[Place]) {
        let change = self.at(places);
        change.removed = !std::mem::take(&mut change.created);
    }

    pub(super) fn finish(self) -> Vec<NodeChange> {
        let changed = |it: &NodeChange| it.created || it.removed || !it.set.is_empty() || !it.unset.is_empty();
        self.changes.into_iter().filter(changed).collect()
    }
}

/// Returns the changes from one tree to another.
pub fn diff(before: &Node, after: &Node) -> Vec<NodeChange> {
    let mut changes = Vec::new();
    diff_at(&mut Vec::new(), Some(before), Some(after), &mut changes);
    changes
}

fn diff_at(places: &mut Vec<Place>, before: Option<&Node>, after: Option<&Node>, changes: &mut Vec<NodeChange>) {
    let empty = Node::default();
    let mut change = NodeChange {
        places: places.clone(),
        created: before.is_none(),
        removed: after.is_none(),
        ..NodeChange::default()
    };
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    for (leaf, value) in &after.leaves {
        if before.leaves.get(leaf) != Some(value) {
            change.set.push((*leaf, value.clone()));
        }
    }
    change.unset = before.leaves.keys().filter(|leaf| !after.leaves.contains_key(leaf)).copied().collect();
    if change.created || change.removed || !change.set.is_empty() || !change.unset.is_empty() {
        changes.push(change);
    }
    for (place, child) in after.below() {
        let old = before.step(&place);
        if old != Some(child) {
            places.push(place);
            diff_at(places, old, Some(child), changes);
            places.pop();
        }
    }
    for (place, child) in before.below() {
        if after.step(&place).is_none() {
            places.push(place);
            diff_at(places, Some(child), None, changes);
            places.pop();
        }
    }
}
