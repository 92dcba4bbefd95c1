//! Handles Get requests.

use jiff::Timestamp;
use srl_proto::gnmi as pb;
use tonic::Status;

use super::encoding::{Encoding, leaf_of};
use super::wire::{check_origin, invalid, nanoseconds, target_only};
use crate::datastore::{Datastore, Node, Place, Source, Target};
use crate::path::Path;
use crate::schema::{NodeId, Schema};

pub(super) fn answer(
    store: &Datastore,
    request: &pb::GetRequest,
    encoding: Encoding,
) -> Result<pb::GetResponse, Status> {
    check_origin(request.prefix.iter().chain(&request.path))?;
    let kind = pb::get_request::DataType::try_from(request.r#type)
        .map_err(|_| Status::invalid_argument(format!("Data type {} is not known", request.r#type)))?;
    let whole = [pb::Path::default()];
    let paths = if request.path.is_empty() { &whole[..] } else { &request.path };
    let targets = paths.iter().map(|path| {
        let path = Path::from_gnmi(request.prefix.as_ref(), Some(path));
        store.schema().resolve(&path).map_err(|refusal| invalid(&refusal))
    });
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let config_only = kind == pb::get_request::DataType::Config;
    let state_only = matches!(kind, pb::get_request::DataType::State | pb::get_request::DataType::Operational);
    let timestamp = nanoseconds(Timestamp::now());
    let prefix = request.prefix.as_ref().and_then(target_only);
    let running = store.running();
    let updates = store.read(Source::State, |schema, root| {
        let filtered = match (state_only, config_only) {
            (true, _) => Some(state_part(schema, root)),
            (_, true) => Some(config_part(schema, root, &running)),
            _ => None,
        };
        let root = filtered.as_ref().unwrap_or(root);
        targets.iter().map(|target| of_target(schema, root, target, encoding)).collect::<Vec<_>>()
    });
    let notification = updates.into_iter().map(|update| pb::Notification {
        timestamp,
        prefix: prefix.clone(),
        update,
        ..pb::Notification::default()
    });
    Ok(pb::GetResponse { notification: notification.collect(), ..pb::GetResponse::default() })
}

fn of_target(schema: &Schema, root: &Node, target: &Target, encoding: Encoding) -> Vec<pb::Update> {
    let found = target.find(schema, root);
    if encoding.is_json() && target.has_wildcard() {
        return of_many(schema, target, found, encoding).into_iter().collect();
    }
    let mut updates = Vec::new();
    for (mut places, node) in found {
        if let Some(leaf) = target.leaf(schema) {
            let value = leaf_of(schema, &places, node, leaf);
            updates.extend(value.map(|value| encoding.leaf(schema, &places, leaf, &value)));
        } else if encoding.is_json() {
            if !(places.is_empty() && node.is_empty()) {
                updates.push(encoding.subtree(schema, &places, node));
            }
        } else {
            encoding.spread(schema, &mut places, node, &|_| true, &mut updates);
        }
    }
    updates
}

/// Returns the data of many entries as one object of the container of their lists; `None` if there is no data.
fn of_many(
    schema: &Schema,
    target: &Target,
    found: Vec<(Vec<Place>, &Node)>,
    encoding: Encoding,
) -> Option<pb::Update> {
    let mut picked = Node::default();
    for (places, node) in found {
        match target.leaf(schema) {
            Some(leaf) if schema.node(leaf).key => drop(picked.make(&places)),
            Some(leaf) => {
                if let Some(value) = node.leaves.get(&leaf) {
                    picked.make(&places).leaves.insert(leaf, value.clone());
                }
            }
            None => *picked.make(&places) = node.clone(),
        }
    }
    let containers = target.steps.iter().take_while(|step| step.keys.is_empty());
    let above: Vec<_> = containers.map(|step| Place { node: step.node, key: None }).collect();
    picked.at(&above).filter(|node| !node.is_empty()).map(|node| encoding.subtree(schema, &above, node))
}

/// Returns all configuration: the running one, and the configuration nodes in the switch's own tables.
fn config_part(schema: &Schema, state: &Node, running: &Node) -> Node {
    let mut part = running.clone();
    for (place, child) in state.below().filter(|(place, _)| schema.is_native(place.node)) {
        if schema.node(place.node).config {
            *part.make(&[place]) = configured(schema, child);
        }
    }
    part
}

fn configured(schema: &Schema, tree: &Node) -> Node {
    let config = |node: &NodeId| schema.node(*node).config;
    let mut part = Node::default();
    let leaves = tree.leaves.iter().filter(|(leaf, _)| config(leaf));
    part.leaves = leaves.map(|(leaf, value)| (*leaf, value.clone())).collect();
    for (place, child) in tree.below().filter(|(place, _)| config(&place.node)) {
        *part.make(&[place]) = configured(schema, child);
    }
    part
}

/// Returns the part of a tree that is only state.
fn state_part(schema: &Schema, tree: &Node) -> Node {
    let state = |node: &NodeId| !schema.node(*node).config;
    let mut part = Node::default();
    let leaves = tree.leaves.iter().filter(|(leaf, _)| state(leaf));
    part.leaves = leaves.map(|(leaf, value)| (*leaf, value.clone())).collect();
    for (place, child) in tree.below() {
        let inner = if state(&place.node) { child.clone() } else { state_part(schema, child) };
        if state(&place.node) || !inner.is_empty() {
            *part.make(&[place]) = inner;
        }
    }
    part
}
