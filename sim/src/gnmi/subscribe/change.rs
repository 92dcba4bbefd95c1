//! Computes what a subscription sends for a transaction.

use std::collections::HashSet;

use srl_proto::gnmi as pb;

use super::super::encoding::stands_alone;
use super::rule::Rule;
use crate::datastore::{KeyValue, LeafValue, NodeChange, Place};
use crate::schema::{NodeId, Schema};

/// Returns updates and deletes. A subscription to a leaf gets single leaves. For a subscription to containers and
/// lists, a removed entry is deleted as a whole.
pub(super) fn tell(schema: &Schema, rule: &Rule, changes: &[NodeChange]) -> (Vec<pb::Update>, Vec<pb::Path>) {
    let covered = changes.iter().filter(|change| rule.target.covers(schema, &change.places));
    match rule.target.leaf(schema) {
        Some(leaf) => of_leaf(schema, rule, leaf, covered),
        None => of_subtree(schema, rule, covered),
    }
}

fn of_leaf<'a>(
    schema: &Schema,
    rule: &Rule,
    leaf: NodeId,
    covered: impl Iterator<Item = &'a NodeChange>,
) -> (Vec<pb::Update>, Vec<pb::Path>) {
    let (mut updates, mut deletes) = (Vec::new(), Vec::new());
    let depth = rule.target.steps.len() - 1;
    for change in covered.filter(|change| change.places.len() == depth && rule.part.has(schema, leaf)) {
        if let Some(value) = key_value(schema, &change.places, leaf) {
            if change.created {
                updates.extend(rule.encoding.leaves(schema, &change.places, [(leaf, &value)]));
            } else if change.removed {
                deletes.push(rule.encoding.path(schema, &change.places, Some(leaf)));
            }
        } else if let Some((_, value)) = change.set.iter().find(|(it, _)| *it == leaf) {
            updates.extend(rule.encoding.leaves(schema, &change.places, [(leaf, value)]));
        } else if change.unset.contains(&leaf) {
            deletes.push(rule.encoding.path(schema, &change.places, Some(leaf)));
        }
    }
    (updates, deletes)
}

/// Returns the value of a key leaf of an entry.
fn key_value(schema: &Schema, places: &[Place], leaf: NodeId) -> Option<LeafValue> {
    let last = places.last()?;
    let at = schema.keys(last.node).iter().position(|key| *key == leaf)?;
    last.key.as_ref()?.values().get(at).map(KeyValue::text).cloned().map(LeafValue::One)
}

fn of_subtree<'a>(
    schema: &Schema,
    rule: &Rule,
    covered: impl Iterator<Item = &'a NodeChange>,
) -> (Vec<pb::Update>, Vec<pb::Path>) {
    let covered: Vec<_> = covered.collect();
    let is_entry = |change: &NodeChange| change.places.last().is_some_and(|place| place.key.is_some());
    let gone: HashSet<&[Place]> =
        covered.iter().filter(|it| it.removed && is_entry(it)).map(|it| it.places.as_slice()).collect();
    let below_gone = |places: &[Place]| (1..places.len()).any(|depth| gone.contains(&places[..depth]));
    let (mut updates, mut deletes) = (Vec::new(), Vec::new());
    for change in covered {
        let places = change.places.as_slice();
        if below_gone(places) {
            continue;
        }
        if gone.contains(places) {
            deletes.push(rule.encoding.path(schema, places, None));
            continue;
        }
        let set: Vec<_> = change.set.iter().filter(|(leaf, _)| rule.part.has(schema, *leaf)).collect();
        if !set.is_empty() || (change.created && rule.encoding.is_json() && stands_alone(schema, places)) {
            let leaves = set.into_iter().map(|(leaf, value)| (*leaf, value));
            updates.extend(rule.encoding.leaves(schema, places, leaves));
        }
        let unset = change.unset.iter().filter(|leaf| rule.part.has(schema, **leaf));
        deletes.extend(unset.map(|leaf| rule.encoding.path(schema, places, Some(*leaf))));
    }
    (updates, deletes)
}
