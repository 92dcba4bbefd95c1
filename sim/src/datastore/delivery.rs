//! Splits configuration into the nodes in which it is delivered to an application.

use serde_json::{Map, Value};

use super::json::{JsonStyle, leaf_json};
use super::tree::{LeafValue, Node, Place};
use crate::path::Path;
use crate::schema::{Kind, NodeId, Schema};

/// One delivery node.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Place of the node.
    pub places: Vec<Place>,
    /// Path of the node.
    pub path: Path,
    /// Configuration at this node, without the delivery nodes inside and without its own keys.
    pub json: Map<String, Value>,
    /// Whether it can be created and deleted: a list entry or a container with presence. Others only become empty.
    pub deletable: bool,
}

/// Returns the delivery nodes of modules in a configuration, parents before children: top-level containers, containers
/// inside nodes of other modules, and every list entry. `defaults` says whether unset leaves have their defaults.
pub fn delivery(schema: &Schema, config: &Node, modules: &[String], defaults: bool) -> Vec<Delivery> {
    let mut cut = Cut { schema, modules, defaults, found: Vec::new() };
    cut.collect(NodeId::ROOT, config, &mut Vec::new());
    cut.found
}

struct Cut<'a> {
    schema: &'a Schema,
    modules: &'a [String],
    defaults: bool,
    found: Vec<Delivery>,
}

impl Cut<'_> {
    fn collect(&mut self, parent: NodeId, tree: &Node, places: &mut Vec<Place>) {
        let schema = self.schema;
        for (place, child) in tree.below() {
            let node = place.node;
            places.push(place);
            let own = self.modules.iter().any(|module| **module == *schema.node(node).module);
            if own && (schema.is_list(node) || schema.crosses_module(parent, node)) {
                let deletable =
                    schema.is_list(node) || matches!(schema.node(node).kind, Kind::Container { presence: true });
                self.found.push(Delivery {
                    path: schema.bare_path_at(places, None),
                    places: places.clone(),
                    json: content(schema, node, child, self.defaults),
                    deletable,
                });
            }
            self.collect(node, child, places);
            places.pop();
        }
    }
}

/// Returns the leaves and containers of the same module.
fn content(schema: &Schema, node: NodeId, tree: &Node, defaults: bool) -> Map<String, Value> {
    let mut members = Map::new();
    let children = schema.node(node).children.iter().copied();
    for child in children.filter(|it| schema.node(*it).config && !schema.node(*it).key) {
        let name = schema.node(child).name.to_string();
        match &schema.node(child).kind {
            kind @ (Kind::Leaf(info) | Kind::LeafList(info)) => {
                let default = || {
                    let default = info.default.as_deref().filter(|_| defaults)?;
                    Some(match kind {
                        Kind::LeafList(_) => LeafValue::Many(vec![default.into()]),
                        _ => LeafValue::One(default.into()),
                    })
                };
                if let Some(value) = tree.leaves.get(&child).cloned().or_else(default) {
                    members.insert(name, leaf_json(schema, child, &value, JsonStyle::Plain));
                }
            }
            Kind::Container { presence } if !schema.crosses_module(node, child) => {
                let inner = match tree.containers.get(&child) {
                    Some(inner) => content(schema, child, inner, defaults),
                    None if *presence => continue,
                    None => content(schema, child, &Node::default(), defaults),
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
