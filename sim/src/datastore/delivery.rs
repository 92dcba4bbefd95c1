//! Configuration as it is delivered to an application: cut into delivery nodes.

use serde_json::{Map, Value};

use super::json::{JsonStyle, leaf_json};
use super::tree::{LeafValue, Node, Place};
use crate::path::Path;
use crate::schema::{Kind, NodeId, Schema};

/// One delivery node.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its place.
    pub places: Vec<Place>,
    /// Its path.
    pub path: Path,
    /// What is configured there, defaults too, without the delivery nodes inside and without its own keys.
    pub json: Map<String, Value>,
    /// Whether it comes and goes: an entry of a list or a container with presence. Others only become empty.
    pub deletable: bool,
}

/// The delivery nodes of modules in a configuration, parents before children: top-level containers, containers inside
/// nodes of other modules, and every entry of a list.
pub fn delivery(schema: &Schema, config: &Node, modules: &[String]) -> Vec<Delivery> {
    let mut found = Vec::new();
    collect(schema, NodeId::ROOT, config, modules, &mut Vec::new(), &mut found);
    found
}

fn collect(
    schema: &Schema,
    parent: NodeId,
    tree: &Node,
    modules: &[String],
    places: &mut Vec<Place>,
    found: &mut Vec<Delivery>,
) {
    for (place, child) in tree.below() {
        let node = place.node;
        places.push(place);
        let own = modules.iter().any(|module| **module == *schema.node(node).module);
        if own && (schema.is_list(node) || schema.crosses_module(parent, node)) {
            found.push(Delivery {
                path: schema.bare_path_at(places, None),
                places: places.clone(),
                json: content(schema, node, child),
                deletable: schema.is_list(node) || matches!(schema.node(node).kind, Kind::Container { presence: true }),
            });
        }
        collect(schema, node, child, modules, places, found);
        places.pop();
    }
}

/// Leaves and containers of the same module, with defaults.
fn content(schema: &Schema, node: NodeId, tree: &Node) -> Map<String, Value> {
    let mut members = Map::new();
    let children = schema.node(node).children.iter().copied();
    for child in children.filter(|it| schema.node(*it).config && !schema.node(*it).key) {
        let name = schema.node(child).name.to_string();
        match &schema.node(child).kind {
            Kind::Leaf(info) | Kind::LeafList(info) => {
                let default = || info.default.as_deref().map(|default| LeafValue::One(default.into()));
                if let Some(value) = tree.leaves.get(&child).cloned().or_else(default) {
                    members.insert(name, leaf_json(schema, child, &value, JsonStyle::Plain));
                }
            }
            Kind::Container { presence } if !schema.crosses_module(node, child) => {
                let inner = match tree.containers.get(&child) {
                    Some(inner) => content(schema, child, inner),
                    None if *presence => continue,
                    None => content(schema, child, &Node::default()),
                };
                if *presence || !inner.is_empty() {
                    members.insert(name, Value::Object(inner));
                }
            }
            _ => {}
        }
    }
    members
}
