//! Data as the CLI shows it: in the order of the schema, and entries by their keys.

use std::collections::BTreeMap;

use super::glob::glob;
use super::spelling::{spelled, texts};
use super::target::{Target, TargetStep};
use crate::datastore::{LeafValue, Node};
use crate::schema::{Importance, Kind, NodeId, Schema};

/// Contents of a container or list entry, in the order of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Body {
    /// Leaves and leaf-lists, except the keys of the entry itself.
    pub(super) leaves: BTreeMap<NodeId, Value>,
    /// Containers have one entry without keys.
    pub(super) children: BTreeMap<NodeId, Vec<Entry>>,
}

/// Value of a leaf or values of a leaf-list, in canonical form without prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Leaf(String),
    List(Vec<String>),
}

/// One entry of a list, or a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Values of the keys in the order of their definition.
    pub(super) keys: Vec<String>,
    pub(super) body: Body,
}

impl Body {
    pub(super) fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.children.is_empty()
    }

    /// Selects what is at a target in a tree, with the containers that lead there.
    pub(super) fn select(schema: &Schema, tree: &Node, steps: &[TargetStep]) -> Self {
        let Some((step, rest)) = steps.split_first() else { return Self::of(schema, tree) };
        let mut selected = Self::default();
        if let Some(value) = tree.leaves.get(&step.node) {
            selected.leaves.insert(step.node, Value::of(schema, step.node, value));
        }
        let mut found = Vec::new();
        let mut add = |keys: Vec<String>, below: &Node| {
            let body = Self::select(schema, below, rest);
            if rest.is_empty() || !body.is_empty() {
                found.push(Entry { keys, body });
            }
        };
        if let Some(below) = tree.containers.get(&step.node) {
            add(Vec::new(), below);
        }
        let entries = tree.lists.get(&step.node);
        let exact = step.exact(schema).and_then(|key| entries?.get_key_value(&key));
        match exact {
            Some((key, below)) => add(texts(schema, step.node, key), below),
            None => {
                for (key, below) in entries.into_iter().flatten() {
                    let keys = texts(schema, step.node, key);
                    if step.matches(&keys) {
                        add(keys, below);
                    }
                }
            }
        }
        if !found.is_empty() {
            selected.children.insert(step.node, found);
        }
        selected
    }

    /// Returns all of a tree.
    pub(super) fn of(schema: &Schema, tree: &Node) -> Self {
        let leaves = tree.leaves.iter().map(|(node, value)| (*node, Value::of(schema, *node, value)));
        let mut body = Self { leaves: leaves.collect(), children: BTreeMap::new() };
        for (node, below) in &tree.containers {
            body.children.insert(*node, vec![Entry { keys: Vec::new(), body: Self::of(schema, below) }]);
        }
        for (node, entries) in &tree.lists {
            let entries = entries
                .iter()
                .map(|(key, below)| Entry { keys: texts(schema, *node, key), body: Self::of(schema, below) });
            body.children.insert(*node, entries.collect());
        }
        body
    }

    /// Returns the body at steps that name single containers and entries.
    pub(super) fn descend(&self, steps: &[TargetStep]) -> Option<&Self> {
        let Some((step, rest)) = steps.split_first() else { return Some(self) };
        let entry = self.children.get(&step.node)?.iter().find(|entry| step.matches(&entry.keys))?;
        entry.body.descend(rest)
    }

    /// Removes what is shown only in detail, but keeps the target itself.
    pub(super) fn drop_unimportant(&mut self, schema: &Schema, target: &Target) {
        let named: Vec<NodeId> = target.steps().iter().map(|step| step.node).collect();
        self.prune(&|node| named.contains(&node) || schema.node(node).importance >= Importance::Medium);
    }

    fn prune(&mut self, keep: &impl Fn(NodeId) -> bool) {
        self.leaves.retain(|node, _| keep(*node));
        self.children.retain(|node, _| keep(*node));
        self.children.values_mut().flatten().for_each(|entry| entry.body.prune(keep));
    }

    /// Removes what is more than `depth` levels below the target.
    pub(super) fn limit_depth(&mut self, steps: &[TargetStep], depth: usize) {
        match steps.split_first() {
            Some((step, rest)) => self
                .children
                .get_mut(&step.node)
                .into_iter()
                .flatten()
                .for_each(|entry| entry.body.limit_depth(rest, depth)),
            None if depth == 0 => self.children.clear(),
            None => self.children.values_mut().flatten().for_each(|entry| entry.body.limit_depth(&[], depth - 1)),
        }
    }

    /// Adds the defaults of leaves that have no value, below the target.
    pub(super) fn add_defaults(&mut self, schema: &Schema, at: NodeId, steps: &[TargetStep], state: bool) {
        match steps.split_first() {
            Some((step, rest)) => {
                if let Some(default) = schema.leaf(step.node).and_then(|leaf| leaf.default.clone()) {
                    self.leaves.entry(step.node).or_insert(Value::Leaf(default));
                }
                let entries = self.children.get_mut(&step.node).into_iter().flatten();
                entries.for_each(|entry| entry.body.add_defaults(schema, step.node, rest, state));
            }
            None => self.add_all_defaults(schema, at, state),
        }
    }

    fn add_all_defaults(&mut self, schema: &Schema, at: NodeId, state: bool) {
        for &child in &schema.node(at).children {
            let node = schema.node(child);
            if !node.config && !state {
                continue;
            }
            match &node.kind {
                Kind::Leaf(info) if !node.key => {
                    if let Some(default) = &info.default {
                        self.leaves.entry(child).or_insert_with(|| Value::Leaf(default.clone()));
                    }
                }
                Kind::Container { presence: false } if at != NodeId::ROOT => {
                    let mut body = Self::default();
                    body.add_all_defaults(schema, child, state);
                    if !body.is_empty() && !self.children.contains_key(&child) {
                        self.children.insert(child, vec![Entry { keys: Vec::new(), body }]);
                        continue;
                    }
                }
                _ => {}
            }
            let entries = self.children.get_mut(&child).into_iter().flatten();
            entries.for_each(|entry| entry.body.add_all_defaults(schema, child, state));
        }
    }

    /// Removes everything below the target except these fields. A field is a path relative to the target; `*` stands
    /// for any text in its names.
    pub(super) fn keep_fields(&mut self, schema: &Schema, steps: &[TargetStep], fields: &[Vec<String>]) {
        let Some((step, rest)) = steps.split_first() else {
            let fields: Vec<&[String]> = fields.iter().map(Vec::as_slice).collect();
            self.keep_below(schema, &fields);
            return;
        };
        if let Some(entries) = self.children.get_mut(&step.node) {
            entries.iter_mut().for_each(|entry| entry.body.keep_fields(schema, rest, fields));
            entries.retain(|entry| !entry.body.is_empty());
        }
    }

    fn keep_below(&mut self, schema: &Schema, fields: &[&[String]]) {
        let below = |node: NodeId| -> Vec<&[String]> {
            let name = &*schema.node(node).name;
            let of_node = fields.iter().filter_map(|field| field.split_first().filter(|(first, _)| glob(first, name)));
            of_node.map(|(_, rest)| rest).collect()
        };
        self.leaves.retain(|node, _| below(*node).iter().any(|rest| rest.is_empty()));
        self.children.retain(|node, entries| {
            let fields = below(*node);
            if !fields.iter().any(|rest| rest.is_empty()) {
                entries.iter_mut().for_each(|entry| entry.body.keep_below(schema, &fields));
                entries.retain(|entry| !entry.body.is_empty());
            }
            !entries.is_empty()
        });
    }
}

impl Value {
    fn of(schema: &Schema, node: NodeId, value: &LeafValue) -> Self {
        let text = |value: &str| spelled(schema, node, value).to_owned();
        match value {
            LeafValue::One(value) => Self::Leaf(text(value)),
            LeafValue::Many(values) => Self::List(values.iter().map(|value| text(value)).collect()),
        }
    }
}
