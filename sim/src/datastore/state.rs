//! State: what each owner wrote at each path, and the one tree that results from all writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::change::{Log, NodeChange};
use super::json::{self, Trail};
use super::tree::{LeafValue, Node, Place};
use super::{Refusal, StateOp, check};
use crate::path::Path;
use crate::schema::{NodeId, Schema};

/// The owner of native configuration that is shown in state.
pub(super) const CONFIG: &str = "";

/// State of a switch.
#[derive(Default)]
pub(super) struct State {
    visible: Node,
    owners: BTreeMap<Arc<str>, HashMap<Vec<Place>, Record>>,
}

/// What an owner wrote at one path, and at the paths of the leaves directly below it.
#[derive(Default)]
struct Record {
    node: Option<Node>,
    leaves: BTreeMap<NodeId, LeafValue>,
}

/// A write whose path and JSON have been parsed.
pub(super) enum Write {
    Node(Vec<Place>, Node),
    Leaf(Vec<Place>, NodeId, LeafValue),
    DeleteNode(Vec<Place>),
    DeleteLeaf(Vec<Place>, NodeId),
}

/// Parses a write.
pub(super) fn prepare(schema: &Schema, op: &StateOp) -> Result<Write, Refusal> {
    match op {
        StateOp::Delete(path) => Ok(match place(schema, path)? {
            (places, _, Some(leaf)) => Write::DeleteLeaf(places, leaf),
            (places, _, None) => Write::DeleteNode(places),
        }),
        StateOp::Replace(path, value) => {
            let (places, node, leaf) = place(schema, path)?;
            let base = path.to_string();
            let mut trail = Trail::new(&base);
            match leaf {
                Some(leaf) => {
                    let value = json::decode_leaf(schema, &trail, leaf, value)?;
                    Ok(value.map_or(Write::DeleteLeaf(places.clone(), leaf), |value| Write::Leaf(places, leaf, value)))
                }
                None => Ok(Write::Node(places, json::decode(schema, &mut trail, node, value)?)),
            }
        }
    }
}

fn place(schema: &Schema, path: &Path) -> Result<(Vec<Place>, NodeId, Option<NodeId>), Refusal> {
    let target = schema.resolve(path)?;
    let (places, leaf) = target
        .place(schema)
        .ok_or_else(|| Refusal::new(path.to_string(), "a list entry is named without some of its keys"))?;
    Ok((places, target.node(), leaf))
}

impl State {
    /// Returns the tree that results from all writes.
    pub(super) fn visible(&self) -> &Node {
        &self.visible
    }

    /// Returns the places at which an owner wrote.
    pub(super) fn places_of(&self, owner: &str) -> impl Iterator<Item = (&[Place], Option<NodeId>)> {
        self.owners.get(owner).into_iter().flatten().flat_map(|(places, record)| {
            let node = record.node.as_ref().map(|_| (places.as_slice(), None));
            node.into_iter().chain(record.leaves.keys().map(|leaf| (places.as_slice(), Some(*leaf))))
        })
    }

    /// Checks values against the schema's restrictions.
    pub(super) fn check(&self, schema: &Schema, write: &Write) -> Result<(), Refusal> {
        match write {
            Write::Node(places, node) => check::values(schema, places, node),
            Write::Leaf(places, leaf, value) => {
                let node = Node { leaves: BTreeMap::from([(*leaf, value.clone())]), ..Node::default() };
                check::values(schema, places, &node)
            }
            Write::DeleteNode(_) | Write::DeleteLeaf(..) => Ok(()),
        }
    }

    /// Applies writes and returns what changed.
    pub(super) fn apply(&mut self, owner: &str, writes: Vec<Write>) -> Vec<NodeChange> {
        let owner: Arc<str> = match self.owners.get_key_value(owner) {
            Some((owner, _)) => owner.clone(),
            None => owner.into(),
        };
        let mut log = Log::default();
        for write in writes {
            match write {
                Write::Node(places, node) => self.replace(&owner, places, node, &mut log),
                Write::Leaf(places, leaf, value) => self.replace_leaf(&owner, places, leaf, value, &mut log),
                Write::DeleteNode(places) => self.delete(&owner, &places, &mut log),
                Write::DeleteLeaf(places, leaf) => self.delete_leaf(&owner, &places, leaf, &mut log),
            }
        }
        log.finish()
    }

    /// Removes everything an owner wrote.
    pub(super) fn wipe(&mut self, owner: &str) -> Vec<NodeChange> {
        let mut log = Log::default();
        for (mut places, record) in self.owners.remove(owner).into_iter().flatten() {
            for leaf in record.leaves.into_keys() {
                self.reveal(&places, leaf, &mut log);
            }
            self.withdraw(&mut places, record.node.as_ref().unwrap_or(&Node::default()), None, &mut log);
            self.prune(&places, &mut log);
        }
        log.finish()
    }

    fn record(&mut self, owner: &Arc<str>, places: &[Place]) -> &mut Record {
        let records = self.owners.entry(owner.clone()).or_default();
        if !records.contains_key(places) {
            records.insert(places.to_vec(), Record::default());
        }
        records.get_mut(places).expect("the record was inserted above")
    }

    /// Removes the record of a path if nothing is written there any more.
    fn forget(&mut self, owner: &Arc<str>, places: &[Place]) {
        if let Some(records) = self.owners.get_mut(owner)
            && records.get(places).is_some_and(|record| record.node.is_none() && record.leaves.is_empty())
        {
            records.remove(places);
        }
    }

    fn replace(&mut self, owner: &Arc<str>, mut places: Vec<Place>, node: Node, log: &mut Log) {
        let old = self.record(owner, &places).node.replace(node.clone());
        if let Some(old) = &old {
            self.withdraw(&mut places, old, Some(&node), log);
        }
        let visible = make_logged(&mut self.visible, &places, log);
        add(visible, &mut places, &node, old.as_ref(), log);
    }

    fn replace_leaf(&mut self, owner: &Arc<str>, places: Vec<Place>, leaf: NodeId, value: LeafValue, log: &mut Log) {
        self.record(owner, &places).leaves.insert(leaf, value.clone());
        let visible = make_logged(&mut self.visible, &places, log);
        if visible.leaves.get(&leaf) != Some(&value) {
            visible.leaves.insert(leaf, value.clone());
            log.set(&places, leaf, value);
        }
    }

    /// Removes what was written at exactly this path. If it was written as part of a path above, it is cut out of that
    /// write.
    fn delete(&mut self, owner: &Arc<str>, places: &[Place], log: &mut Log) {
        let Some(records) = self.owners.get_mut(owner) else { return };
        let own = records.get_mut(places).and_then(|record| record.node.take());
        let old = own.or_else(|| {
            (0..places.len()).rev().find_map(|depth| {
                let node = records.get_mut(&places[..depth])?.node.as_mut()?;
                let (last, parents) = places[depth..].split_last()?;
                node.at_mut(parents)?.take(last)
            })
        });
        let Some(old) = old else { return };
        self.forget(owner, places);
        self.withdraw(&mut places.to_vec(), &old, None, log);
        self.prune(places, log);
    }

    fn delete_leaf(&mut self, owner: &Arc<str>, places: &[Place], leaf: NodeId, log: &mut Log) {
        let Some(records) = self.owners.get_mut(owner) else { return };
        let own = records.get_mut(places).is_some_and(|record| record.leaves.remove(&leaf).is_some());
        let found = own
            || (0..=places.len()).rev().any(|depth| {
                let node = records.get_mut(&places[..depth]).and_then(|record| record.node.as_mut());
                let node = node.and_then(|node| node.at_mut(&places[depth..]));
                node.is_some_and(|node| node.leaves.remove(&leaf).is_some())
            });
        if found {
            self.forget(owner, places);
            self.reveal(places, leaf, log);
            self.prune(places, log);
        }
    }

    /// Removes from the visible tree what an old write had and the new one has not.
    fn withdraw(&mut self, places: &mut Vec<Place>, old: &Node, new: Option<&Node>, log: &mut Log) {
        for leaf in old.leaves.keys() {
            if new.is_none_or(|new| !new.leaves.contains_key(leaf)) {
                self.reveal(places, *leaf, log);
            }
        }
        for (place, child) in old.below() {
            let kept = new.and_then(|new| new.step(&place));
            places.push(place);
            self.withdraw(places, child, kept, log);
            if kept.is_none() {
                self.prune(places, log);
            }
            places.pop();
        }
    }

    /// Handles a leaf that was withdrawn: shows the value of another write, or removes the leaf.
    fn reveal(&mut self, places: &[Place], leaf: NodeId, log: &mut Log) {
        let other = self.records_above(places).find_map(|(record, rest)| {
            let inside = record.node.as_ref().and_then(|node| node.at(rest)).and_then(|node| node.leaves.get(&leaf));
            inside.or_else(|| record.leaves.get(&leaf).filter(|_| rest.is_empty())).cloned()
        });
        let Some(visible) = self.visible.at_mut(places) else { return };
        match other {
            Some(value) if visible.leaves.get(&leaf) == Some(&value) => {}
            Some(value) => {
                visible.leaves.insert(leaf, value.clone());
                log.set(places, leaf, value);
            }
            None => {
                if visible.leaves.remove(&leaf).is_some() {
                    log.unset(places, leaf);
                }
            }
        }
    }

    /// Removes a node, and then its ancestors, while they are empty and no write names them.
    fn prune(&mut self, places: &[Place], log: &mut Log) {
        let mut places = places;
        while let Some((last, parents)) = places.split_last() {
            let empty = self.visible.at(places).is_some_and(Node::is_empty);
            if !empty || self.is_written(places) {
                return;
            }
            if let Some(parent) = self.visible.at_mut(parents) {
                parent.take(last);
                log.removed(places);
            }
            places = parents;
        }
    }

    fn is_written(&self, places: &[Place]) -> bool {
        self.records_above(places)
            .any(|(record, rest)| record.node.as_ref().is_some_and(|node| node.at(rest).is_some()))
    }

    /// Returns the records at a place and above it, with the remaining steps from each record to the place.
    fn records_above<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = (&'a Record, &'a [Place])> {
        self.owners.values().flat_map(move |records| {
            (0..=places.len()).rev().filter_map(move |depth| {
                let (above, rest) = places.split_at(depth);
                records.get(above).map(|record| (record, rest))
            })
        })
    }
}

/// Returns the node at a place. Creates it, and logs the change, if it was missing.
fn make_logged<'a>(root: &'a mut Node, places: &[Place], log: &mut Log) -> &'a mut Node {
    for depth in 1..=places.len() {
        if root.at(&places[..depth]).is_none() {
            (depth..=places.len()).for_each(|depth| log.created(&places[..depth]));
            break;
        }
    }
    root.make(places)
}

/// Adds to a visible node what a new write has and the old one had not.
fn add(visible: &mut Node, places: &mut Vec<Place>, new: &Node, old: Option<&Node>, log: &mut Log) {
    for (leaf, value) in &new.leaves {
        let written_before = old.is_some_and(|old| old.leaves.get(leaf) == Some(value));
        if !written_before && visible.leaves.get(leaf) != Some(value) {
            visible.leaves.insert(*leaf, value.clone());
            log.set(places, *leaf, value.clone());
        }
    }
    for (place, child) in new.below() {
        let old = old.and_then(|old| old.step(&place));
        let step = std::slice::from_ref(&place);
        let created = visible.at(step).is_none();
        let below = visible.make(step);
        places.push(place.clone());
        if created {
            log.created(places);
        }
        add(below, places, child, old, log);
        places.pop();
    }
}
