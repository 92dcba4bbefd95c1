//! Validates values with libyang if their type restricts them: patterns, ranges, lengths, unions, identities.

use yang5::data::{DataFormat, DataParserFlags, DataTree, DataValidationFlags};

use super::Refusal;
use super::json::{JsonStyle, encode, wrap};
use super::tree::{Node, Place};
use crate::path::Path;
use crate::schema::{NodeId, Schema};

/// Checks the values of a tree at a place, and the keys of that place.
pub(super) fn values(schema: &Schema, places: &[Place], tree: &Node) -> Result<(), Refusal> {
    let picked = pick(schema, tree);
    if picked.is_none() && !has_restricted_key(schema, places) {
        return Ok(());
    }
    let picked = picked.unwrap_or_default();
    parse_at(schema, places, &picked).map_err(|refusal| locate(schema, places, &picked).unwrap_or(refusal))
}

fn parse_at(schema: &Schema, places: &[Place], tree: &Node) -> Result<(), Refusal> {
    let json = wrap(schema, places, tree).to_string();
    parse(schema, &json, DataParserFlags::STRICT | DataParserFlags::NO_VALIDATION)
}

/// Finds the value that libyang refuses, which libyang does not name: checks the keys of parents first, then single
/// values.
fn locate(schema: &Schema, places: &[Place], tree: &Node) -> Option<Refusal> {
    let named = |leaf, refusal: Refusal| Refusal { path: schema.bare_path_at(places, leaf).to_string(), ..refusal };
    if let Err(refusal) = parse_at(schema, places, &Node::default()) {
        return Some(match places.split_last() {
            Some((_, parents)) => locate(schema, parents, &Node::default()).unwrap_or_else(|| named(None, refusal)),
            None => named(None, refusal),
        });
    }
    let of_leaf = tree.leaves.iter().find_map(|(leaf, value)| {
        let single = Node { leaves: [(*leaf, value.clone())].into(), ..Node::default() };
        parse_at(schema, places, &single).err().map(|refusal| named(Some(*leaf), refusal))
    });
    of_leaf.or_else(|| {
        tree.below().find_map(|(place, child)| {
            let mut below = places.to_vec();
            below.push(place);
            locate(schema, &below, child)
        })
    })
}

/// Validates a whole configuration: mandatory nodes, references, conditions.
pub(super) fn configuration(schema: &Schema, tree: &Node) -> Result<(), Refusal> {
    let json = serde_json::Value::Object(encode(schema, NodeId::ROOT, tree, JsonStyle::Ietf));
    parse(schema, &json.to_string(), DataParserFlags::STRICT | DataParserFlags::NO_STATE)
}

fn parse(schema: &Schema, json: &str, flags: DataParserFlags) -> Result<(), Refusal> {
    let parsed = DataTree::parse_string(schema.context(), json, DataFormat::JSON, flags, DataValidationFlags::PRESENT);
    parsed.map(drop).map_err(|error| refusal(&error))
}

fn refusal(error: &yang5::Error) -> Refusal {
    let path = error.path.clone().unwrap_or_default();
    let path = path.parse::<Path>().map_or(path, |path| path.to_string());
    Refusal::new(path, error.msg.clone().unwrap_or_else(|| "the value is not valid".to_owned()))
}

fn has_restricted_key(schema: &Schema, places: &[Place]) -> bool {
    places.iter().any(|place| schema.keys(place.node).iter().any(|key| is_restricted(schema, *key)))
}

fn is_restricted(schema: &Schema, leaf: NodeId) -> bool {
    schema.leaf(leaf).is_some_and(|info| info.restricted)
}

/// Returns the part of a tree that has restricted values, or `None` if there is none.
fn pick(schema: &Schema, tree: &Node) -> Option<Node> {
    let mut picked = Node::default();
    for (leaf, value) in tree.leaves.iter().filter(|(leaf, _)| is_restricted(schema, **leaf)) {
        picked.leaves.insert(*leaf, value.clone());
    }
    for (node, inner) in &tree.containers {
        if let Some(inner) = pick(schema, inner) {
            picked.containers.insert(*node, inner);
        }
    }
    for (node, entries) in &tree.lists {
        let by_key = schema.keys(*node).iter().any(|key| is_restricted(schema, *key));
        for (key, entry) in entries {
            let inner = pick(schema, entry);
            if inner.is_some() || by_key {
                picked.lists.entry(*node).or_default().insert(key.clone(), inner.unwrap_or_default());
            }
        }
    }
    (!picked.is_empty()).then_some(picked)
}
