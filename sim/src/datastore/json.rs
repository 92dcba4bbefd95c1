//! Converts JSON to trees, and trees to JSON in the forms of gNMI, the NDK and the CLI.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Refusal;
use super::tree::{EntryKey, LeafValue, Node, Place};
use crate::path::bare;
use crate::schema::{Kind, LeafInfo, LeafType, NodeId, Schema};

/// Reads the JSON of a container or entry.
///
/// Names may have module prefixes and underscores in place of hyphens; values may be wrapped as `{"value": v}`, and
/// enumerations written as `ADMIN_STATE_enable`: applications do all of that.
pub(super) fn decode(schema: &Schema, at: &mut Trail<'_>, node: NodeId, json: &Value) -> Result<Node, Refusal> {
    let Value::Object(members) = json else {
        return Err(at.refuse(format!("expected an object, got {}", named(json))));
    };
    let mut tree = Node::default();
    for (name, value) in members {
        let name = bare(name);
        let child = schema.child(node, name).ok_or_else(|| {
            let options = schema.node(node).children.iter().map(|it| &*schema.node(*it).name).collect::<Vec<_>>();
            at.refuse(format!("unknown element '{name}'. Options are [{}]", options.join(", ")))
        })?;
        if schema.node(child).key {
            continue;
        }
        at.down(name, |at| decode_child(schema, at, &mut tree, child, value))?;
    }
    Ok(tree)
}

fn decode_child(
    schema: &Schema,
    at: &mut Trail<'_>,
    tree: &mut Node,
    child: NodeId,
    value: &Value,
) -> Result<(), Refusal> {
    match &schema.node(child).kind {
        Kind::Container { .. } => {
            let inner = decode(schema, at, child, value)?;
            tree.containers.insert(child, inner);
        }
        Kind::List { keys } => {
            let entries = match value {
                Value::Array(entries) => entries.as_slice(),
                single => std::slice::from_ref(single),
            };
            let mut decoded = BTreeMap::new();
            for entry in entries {
                let key = decode_key(schema, at, keys, entry)?;
                decoded.insert(key, decode(schema, at, child, entry)?);
            }
            if !decoded.is_empty() {
                tree.lists.insert(child, decoded);
            }
        }
        Kind::Leaf(_) | Kind::LeafList(_) => {
            if let Some(value) = decode_leaf(schema, at, child, value)? {
                tree.leaves.insert(child, value);
            }
        }
    }
    Ok(())
}

fn decode_key(schema: &Schema, at: &Trail<'_>, keys: &[NodeId], entry: &Value) -> Result<EntryKey, Refusal> {
    let Value::Object(members) = entry else {
        return Err(at.refuse(format!("expected an object, got {}", named(entry))));
    };
    let values = keys.iter().map(|key| {
        let name = &*schema.node(*key).name;
        let value = members.iter().find(|(it, _)| bare(it) == name || bare(it).replace('_', "-") == name);
        let (_, value) = value.ok_or_else(|| at.refuse(format!("missing key '{name}'")))?;
        let info = schema.leaf(*key).expect("keys are leaves");
        let text = scalar(schema, at, name, info, value)?;
        Ok(schema.key_value(*key, &text))
    });
    values.collect::<Result<Vec<_>, Refusal>>().map(EntryKey::new)
}

/// Reads the JSON of a leaf or leaf-list; returns `None` for an empty leaf-list.
pub(super) fn decode_leaf(
    schema: &Schema,
    at: &Trail<'_>,
    leaf: NodeId,
    value: &Value,
) -> Result<Option<LeafValue>, Refusal> {
    let node = schema.node(leaf);
    match &node.kind {
        Kind::LeafList(info) => {
            let values = match value {
                Value::Array(values) => values.as_slice(),
                single => std::slice::from_ref(single),
            };
            let values = values.iter().map(|value| scalar(schema, at, &node.name, info, value));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            Ok(Some(LeafValue::Many(values)).filter(|it| !it.values().is_empty()))
        }
        Kind::Leaf(info) => Ok(Some(LeafValue::One(scalar(schema, at, &node.name, info, value)?))),
        _ => Err(at.refuse("expected a leaf".to_owned())),
    }
}

fn scalar(schema: &Schema, at: &Trail<'_>, name: &str, info: &LeafInfo, value: &Value) -> Result<Arc<str>, Refusal> {
    let value = match value {
        Value::Object(members) if members.len() == 1 && members.contains_key("value") => &members["value"],
        other => other,
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Array(values) if info.kind == LeafType::Empty && values.as_slice() == [Value::Null] => String::new(),
        other => return Err(at.refuse(format!("expected a value, got {}", named(other)))),
    };
    canonical_text(schema, name, info, &text).map_err(|message| at.refuse(message))
}

/// Checks a leaf's value against its type, except for restrictions, and returns it in canonical form.
pub(crate) fn canonical_text(schema: &Schema, name: &str, info: &LeafInfo, text: &str) -> Result<Arc<str>, String> {
    if text.contains('\0') {
        return Err("a value cannot hold a NUL character".to_owned());
    }
    if info.kind.allows(text) {
        return Ok(schema.canonical(info, text).into());
    }
    if let LeafType::Enumeration(names) = &info.kind {
        let prefix = format!("{}_", name.replace('-', "_").to_uppercase());
        // This is the form of protobuf, whose enumerators have no hyphens.
        let is = |name: &str, word: &str| name == word || name.replace('-', "_") == word;
        if let Some(name) = text.strip_prefix(&prefix).and_then(|it| names.iter().find(|name| is(name, it))) {
            return Ok(name.as_str().into());
        }
    }
    Err(format!("invalid value '{text}': expected {}", expected(info)))
}

/// Returns what a leaf accepts, for messages.
pub(crate) fn expected(info: &LeafInfo) -> String {
    if let Some(range) = &info.range {
        let (least, most) = bounds(&info.kind);
        return range.replace("min", &least).replace("max", &most);
    }
    match &info.kind {
        LeafType::Boolean => "'true' or 'false'".to_owned(),
        LeafType::Empty => "no value".to_owned(),
        LeafType::Enumeration(names) => format!("one of [{}]", names.join(", ")),
        LeafType::Signed(_) | LeafType::Unsigned(_) => {
            let (least, most) = bounds(&info.kind);
            format!("{least}..{most}")
        }
        LeafType::Decimal => "a decimal number".to_owned(),
        LeafType::Identity => "an identity".to_owned(),
        LeafType::Union(_) | LeafType::Text => "a string".to_owned(),
    }
}

/// Returns the smallest and largest number of a type.
fn bounds(kind: &LeafType) -> (String, String) {
    match kind {
        LeafType::Signed(bits) => ((-(1_i128 << (bits - 1))).to_string(), ((1_i128 << (bits - 1)) - 1).to_string()),
        LeafType::Unsigned(bits) => ("0".to_owned(), ((1_u128 << bits) - 1).to_string()),
        _ => ("min".to_owned(), "max".to_owned()),
    }
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Position of the decoder, so that a refusal can name the node.
pub(super) struct Trail<'a> {
    base: &'a str,
    names: Vec<String>,
}

impl<'a> Trail<'a> {
    pub(super) fn new(base: &'a str) -> Self {
        Self { base, names: Vec::new() }
    }

    fn down<T>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        self.names.push(name.to_owned());
        let result = f(self);
        self.names.pop();
        result
    }

    pub(super) fn refuse(&self, message: String) -> Refusal {
        let below: String = self.names.iter().map(|name| format!("/{name}")).collect();
        Refusal::new(format!("{}{below}", self.base.trim_end_matches('/')), message)
    }
}

/// Form of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonStyle {
    /// RFC 7951 as in gNMI: module prefixes on identities and where the module changes; keys inside list members.
    Ietf,
    /// As the NDK delivers it: no prefixes; the keys of the node itself are in its path, keys of lists inside are
    /// members.
    Plain,
}

/// Encodes a container or entry without its own keys, which are in its path.
pub fn encode(schema: &Schema, node: NodeId, tree: &Node, style: JsonStyle) -> Map<String, Value> {
    let mut members = Map::new();
    for child in &schema.node(node).children {
        if let Some(value) = tree.leaves.get(child) {
            members.insert(member_name(schema, node, *child, style), leaf_json(schema, *child, value, style));
        } else if let Some(inner) = tree.containers.get(child) {
            let inner = encode(schema, *child, inner, style);
            members.insert(member_name(schema, node, *child, style), Value::Object(inner));
        } else if let Some(entries) = tree.lists.get(child) {
            let entries = entries.iter().map(|(key, it)| encode_entry(schema, *child, key, it, style));
            members.insert(member_name(schema, node, *child, style), Value::Array(entries.collect()));
        }
    }
    members
}

/// Encodes an entry with its keys, as a member of a list.
pub fn encode_entry(schema: &Schema, list: NodeId, key: &EntryKey, tree: &Node, style: JsonStyle) -> Value {
    let mut members = Map::new();
    for (leaf, value) in schema.keys(list).iter().zip(key.values()) {
        let info = schema.leaf(*leaf).expect("keys are leaves");
        members.insert(schema.node(*leaf).name.to_string(), scalar_json(&info.kind, value.text(), style));
    }
    members.extend(encode(schema, list, tree, style));
    Value::Object(members)
}

/// Returns the name of a member, with its module if JSON_IETF requires it.
pub fn member_name(schema: &Schema, parent: NodeId, child: NodeId, style: JsonStyle) -> String {
    let node = schema.node(child);
    if style == JsonStyle::Ietf && schema.crosses_module(parent, child) {
        format!("{}:{}", node.module, node.name)
    } else {
        node.name.to_string()
    }
}

/// Encodes a leaf or leaf-list.
pub fn leaf_json(schema: &Schema, leaf: NodeId, value: &LeafValue, style: JsonStyle) -> Value {
    let kind = schema.leaf(leaf).map_or(&LeafType::Text, |info| &info.kind);
    match value {
        LeafValue::One(value) => scalar_json(kind, value, style),
        LeafValue::Many(values) => values.iter().map(|value| scalar_json(kind, value, style)).collect(),
    }
}

fn scalar_json(kind: &LeafType, text: &str, style: JsonStyle) -> Value {
    match kind.of_value(text) {
        LeafType::Boolean => Value::Bool(text == "true"),
        LeafType::Empty => Value::Array(vec![Value::Null]),
        LeafType::Signed(64) | LeafType::Unsigned(64) | LeafType::Decimal => text.into(),
        LeafType::Signed(_) => text.parse::<i64>().map_or_else(|_| text.into(), Into::into),
        LeafType::Unsigned(_) => text.parse::<u64>().map_or_else(|_| text.into(), Into::into),
        LeafType::Identity if style == JsonStyle::Plain => bare(text).into(),
        _ => text.into(),
    }
}

/// Returns the JSON from the root to a place, with a subtree at its end, as libyang reads it.
pub(super) fn wrap(schema: &Schema, places: &[Place], tree: &Node) -> Value {
    let mut wrapped = Node::default();
    *wrapped.make(places) = tree.clone();
    Value::Object(encode(schema, NodeId::ROOT, &wrapped, JsonStyle::Ietf))
}
