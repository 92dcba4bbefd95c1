//! Candidates: edits that may become running configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::change::{NodeChange, diff};
use super::json::{self, Trail};
use super::target::Target;
use super::tree::{LeafValue, Node, Place};
use super::{Datastore, Refusal, check, lock};
use crate::path::Path;
use crate::schema::{Kind, NodeId, Schema};

/// Handle of a candidate. It holds edits, not a copy, so it includes what others commit meanwhile.
#[derive(Clone)]
pub struct Candidate {
    pub(super) store: Datastore,
    pub(super) edits: Arc<Mutex<Vec<Edit>>>,
}

/// A parsed edit.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Merges into what is there; values of leaf-lists are added.
    Merge(Node),
    /// Replaces what is there.
    Replace(Vec<Place>, Node),
    ReplaceLeaf(Vec<Place>, NodeId, Option<LeafValue>),
    Delete(Target),
    /// Removes one value from leaf-lists.
    RemoveValue(Target, Arc<str>),
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("edits", &lock(&self.edits).len()).finish_non_exhaustive()
    }
}

impl Candidate {
    /// Merges JSON into what is at a path; for a leaf, the JSON is its value. Values of leaf-lists are added.
    ///
    /// # Errors
    /// [`Refusal`] with the node that the schema does not allow, or that is state.
    pub fn set(&self, path: &Path, value: &Value) -> Result<(), Refusal> {
        let (places, leaf, node) = self.read(path, value)?;
        let mut root = Node::default();
        let at = root.make(&places);
        match leaf {
            Some((_, None)) => return Ok(()),
            Some((leaf, Some(value))) => drop(at.leaves.insert(leaf, value)),
            None => *at = node,
        }
        self.push(Edit::Merge(root));
        Ok(())
    }

    /// Replaces what is at a path with JSON.
    ///
    /// # Errors
    /// As for [`Candidate::set`].
    pub fn replace(&self, path: &Path, value: &Value) -> Result<(), Refusal> {
        let (places, leaf, node) = self.read(path, value)?;
        self.push(match leaf {
            Some((leaf, value)) => Edit::ReplaceLeaf(places, leaf, value),
            None => Edit::Replace(places, node),
        });
        Ok(())
    }

    /// Deletes what is at a path, which may contain wildcards.
    ///
    /// # Errors
    /// [`Refusal`] if the schema does not know the path, or if it is state.
    pub fn delete(&self, path: &Path) -> Result<(), Refusal> {
        let target = self.store.schema().resolve(path)?;
        self.delete_target(target)
    }

    /// Deletes what is at a path that has been resolved already.
    ///
    /// # Errors
    /// [`Refusal`] if it is state.
    pub fn delete_target(&self, target: Target) -> Result<(), Refusal> {
        self.must_be_config(target.node())?;
        self.push(Edit::Delete(target));
        Ok(())
    }

    /// Removes one value from a leaf-list.
    ///
    /// # Errors
    /// [`Refusal`] if it is state.
    pub fn remove_value(&self, target: Target, value: &str) -> Result<(), Refusal> {
        self.must_be_config(target.node())?;
        self.push(Edit::RemoveValue(target, value.into()));
        Ok(())
    }

    /// Discards all edits.
    pub fn discard(&self) {
        lock(&self.edits).clear();
    }

    /// Returns the configuration with the edits applied.
    pub fn tree(&self) -> Node {
        let edits = lock(&self.edits).clone();
        let mut tree = Node::clone(&self.store.running());
        apply(self.store.schema(), &mut tree, &edits);
        tree
    }

    /// Returns what a commit would change.
    pub fn changes(&self) -> Vec<NodeChange> {
        diff(&self.store.running(), &self.tree())
    }

    /// Returns whether a commit would change anything.
    pub fn is_changed(&self) -> bool {
        !lock(&self.edits).is_empty() && !self.changes().is_empty()
    }

    /// Validates the configuration with the edits applied.
    ///
    /// # Errors
    /// [`Refusal`] with what is missing or wrong.
    pub fn validate(&self) -> Result<(), Refusal> {
        check::configuration(self.store.schema(), &self.tree())
    }

    fn push(&self, edit: Edit) {
        lock(&self.edits).push(edit);
    }

    #[expect(clippy::type_complexity, reason = "a place, a leaf with its value, or a subtree; used in two places here")]
    fn read(
        &self,
        path: &Path,
        value: &Value,
    ) -> Result<(Vec<Place>, Option<(NodeId, Option<LeafValue>)>, Node), Refusal> {
        let schema = self.store.schema();
        let target = schema.resolve(path)?;
        self.must_be_config(target.node())?;
        let (places, leaf) = target
            .place(schema)
            .ok_or_else(|| Refusal::new(path.to_string(), "a list entry is named without some of its keys"))?;
        let base = path.to_string();
        let mut trail = Trail::new(&base);
        let mut node = Node::default();
        let leaf = match leaf {
            Some(leaf) => {
                let value = json::decode_leaf(schema, &trail, leaf, value)?;
                if let Some(value) = &value {
                    node.leaves.insert(leaf, value.clone());
                }
                Some((leaf, value))
            }
            None => {
                node = json::decode(schema, &mut trail, target.node(), value)?;
                None
            }
        };
        check::values(schema, &places, &node)?;
        only_config(schema, &node)?;
        Ok((places, leaf, node))
    }

    fn must_be_config(&self, node: NodeId) -> Result<(), Refusal> {
        let schema = self.store.schema();
        if schema.node(node).config { Ok(()) } else { Err(is_state(schema, node)) }
    }
}

fn is_state(schema: &Schema, node: NodeId) -> Refusal {
    Refusal::new(schema.path_of(node), "state cannot be configured")
}

fn only_config(schema: &Schema, tree: &Node) -> Result<(), Refusal> {
    let nodes = tree.leaves.keys().chain(tree.containers.keys()).chain(tree.lists.keys());
    if let Some(node) = nodes.copied().find(|node| !schema.node(*node).config) {
        return Err(is_state(schema, node));
    }
    tree.below().try_for_each(|(_, child)| only_config(schema, child))
}

/// Applies edits to a configuration.
pub(super) fn apply(schema: &Schema, tree: &mut Node, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Merge(node) => merge(tree, node.clone()),
            Edit::Replace(places, node) => *tree.make(places) = node.clone(),
            Edit::ReplaceLeaf(places, leaf, value) => {
                let at = tree.make(places);
                match value {
                    Some(value) => drop(at.leaves.insert(*leaf, value.clone())),
                    None => drop(at.leaves.remove(leaf)),
                }
            }
            Edit::Delete(target) => delete(schema, tree, target),
            Edit::RemoveValue(target, value) => remove_value(schema, tree, target, value),
        }
    }
    drop_empty(schema, tree);
}

/// Merges a tree into another. Values of leaf-lists are appended to the existing ones.
fn merge(tree: &mut Node, mut other: Node) {
    for (leaf, value) in &mut other.leaves {
        if let (LeafValue::Many(new), Some(LeafValue::Many(old))) = (&mut *value, tree.leaves.get(leaf)) {
            let known: BTreeSet<_> = old.iter().cloned().collect();
            let mut joined = old.clone();
            joined.extend(new.iter().filter(|value| !known.contains(*value)).cloned());
            *new = joined;
        }
    }
    tree.leaves.extend(std::mem::take(&mut other.leaves));
    for (node, it) in other.containers {
        merge(tree.containers.entry(node).or_default(), it);
    }
    for (node, entries) in other.lists {
        let here = tree.lists.entry(node).or_default();
        for (key, it) in entries {
            merge(here.entry(key).or_default(), it);
        }
    }
}

fn delete(schema: &Schema, tree: &mut Node, target: &Target) {
    let places: Vec<_> = target.find(schema, tree).into_iter().map(|(places, _)| places).collect();
    for places in places {
        if let Some(leaf) = target.leaf(schema) {
            if let Some(node) = tree.at_mut(&places) {
                node.leaves.remove(&leaf);
            }
        } else if let Some((last, parents)) = places.split_last() {
            if let Some(parent) = tree.at_mut(parents) {
                parent.take(last);
            }
        } else {
            *tree = Node::default();
        }
    }
}

fn remove_value(schema: &Schema, tree: &mut Node, target: &Target, value: &Arc<str>) {
    let Some(leaf) = target.leaf(schema) else { return };
    let places: Vec<_> = target.find(schema, tree).into_iter().map(|(places, _)| places).collect();
    for places in places {
        let Some(node) = tree.at_mut(&places) else { continue };
        let Some(LeafValue::Many(values)) = node.leaves.get_mut(&leaf) else { continue };
        values.retain(|it| it != value);
        if values.is_empty() {
            node.leaves.remove(&leaf);
        }
    }
}

/// Removes containers without presence if they are empty: these do not exist.
fn drop_empty(schema: &Schema, tree: &mut Node) {
    tree.containers.retain(|node, it| {
        drop_empty(schema, it);
        !it.is_empty() || matches!(schema.node(*node).kind, Kind::Container { presence: true })
    });
    tree.lists.values_mut().flat_map(|entries| entries.values_mut()).for_each(|entry| drop_empty(schema, entry));
    tree.lists.retain(|_, entries| !entries.is_empty());
}
