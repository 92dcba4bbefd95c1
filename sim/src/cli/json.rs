//! Prints `info` as JSON and as YAML.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::table::Column;
use super::text::Style;
use super::tree::{Body, Entry, Value};
use crate::schema::{LeafType, NodeId};

/// JSON whose members keep the order in which they are shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Converts the contents of a container or entry.
pub(super) fn body(style: Style<'_>, body: &Body) -> Json {
    let mut members = Vec::new();
    add_body(style, body, &mut members);
    Json::Object(members)
}

fn add_body(style: Style<'_>, body: &Body, members: &mut Vec<(String, Json)>) {
    let name = |node: NodeId| style.schema.node(node).name.to_string();
    for (node, value) in &body.leaves {
        let value = match value {
            Value::Leaf(value) => scalar(style, *node, value),
            Value::List(values) => Json::Array(values.iter().map(|value| scalar(style, *node, value)).collect()),
        };
        members.push((name(*node), value));
    }
    for (node, entries) in &body.children {
        let keys = style.schema.keys(*node);
        let value = match entries.as_slice() {
            [container] if keys.is_empty() => self::body(style, &container.body),
            _ => Json::Array(entries.iter().map(|entry| list_entry(style, keys, entry)).collect()),
        };
        members.push((name(*node), value));
    }
}

fn list_entry(style: Style<'_>, keys: &[NodeId], entry: &Entry) -> Json {
    let keys = keys.iter().zip(&entry.keys);
    let mut members: Vec<_> =
        keys.map(|(key, value)| (style.schema.node(*key).name.to_string(), scalar(style, *key, value))).collect();
    add_body(style, &entry.body, &mut members);
    Json::Object(members)
}

fn scalar(style: Style<'_>, leaf: NodeId, value: &str) -> Json {
    let text = || Json::Text(style.value(leaf, value));
    match style.schema.leaf(leaf).map(|info| info.kind.of_value(value)) {
        Some(LeafType::Boolean) => Json::Bool(value == "true"),
        Some(LeafType::Empty) => Json::Array(vec![Json::Null]),
        Some(LeafType::Signed(..=32) | LeafType::Unsigned(..=32)) => {
            value.parse().map_or_else(|_| text(), Json::Number)
        }
        _ => text(),
    }
}

impl Json {
    /// Formats it as the switch does: two blanks per level, and an empty object over two lines.
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text.push('\n');
        text
    }

    fn write(&self, text: &mut String, indent: usize) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => text.push_str(&number.to_string()),
            Self::Text(value) => text.push_str(&string(value)),
            Self::Array(items) => {
                let items = items.iter().map(|item| (String::new(), item));
                write_block(text, indent, '[', ']', items);
            }
            Self::Object(members) => {
                let members = members.iter().map(|(name, value)| (format!("{}: ", string(name)), value));
                write_block(text, indent, '{', '}', members);
            }
        }
    }

    /// Formats it as YAML.
    pub(super) fn to_yaml(&self) -> String {
        format!("---\n{}", serde_norway::to_string(self).unwrap_or_default())
    }
}

impl Json {
    /// Returns every list of objects as a table, outer ones first.
    pub(super) fn tables(&self) -> Vec<(Vec<Column>, Vec<Vec<String>>)> {
        match self {
            Self::Array(items) => {
                let mut headers: Vec<&str> = Vec::new();
                for name in items.iter().flat_map(Self::scalars).map(|(name, _)| name) {
                    if !headers.contains(&name) {
                        headers.push(name);
                    }
                }
                let row = |item: &Self| {
                    let scalars = item.scalars();
                    let cell = |header: &&str| {
                        scalars.iter().find(|(name, _)| name == header).map_or(String::new(), |(_, text)| text.clone())
                    };
                    headers.iter().map(cell).collect()
                };
                let rows = items.iter().map(row).collect();
                let own = (headers.iter().map(|header| Column::fitted(header)).collect(), rows);
                std::iter::once(own).chain(items.iter().flat_map(Self::tables)).collect()
            }
            Self::Object(members) => members.iter().flat_map(|(_, value)| value.tables()).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the members of an object that are single values.
    fn scalars(&self) -> Vec<(&str, String)> {
        let Self::Object(members) = self else { return Vec::new() };
        let text = |value: &Self| match value {
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        };
        members.iter().filter_map(|(name, value)| Some((name.as_str(), text(value)?))).collect()
    }
}

fn write_block<'a>(
    text: &mut String,
    indent: usize,
    open: char,
    close: char,
    items: impl Iterator<Item = (String, &'a Json)>,
) {
    text.push(open);
    for (position, (lead, item)) in items.enumerate() {
        text.push_str(if position == 0 { "\n" } else { ",\n" });
        text.extend(std::iter::repeat_n(' ', indent + 2));
        text.push_str(&lead);
        item.write(text, indent + 2);
    }
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
    text.push(close);
}

fn string(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

/// Visitor that accepts any JSON and keeps the order of members.
struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or_else(|_| Json::Text(value.to_string()), Json::Number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_member_order_and_prints_an_empty_object_on_two_lines() {
        let json = Json::Object(vec![
            ("b".into(), Json::Array(vec![Json::Number(1), Json::Text("x\"".into())])),
            ("a".into(), Json::Object(vec![])),
        ]);
        assert_eq!(json.print(), "{\n  \"b\": [\n    1,\n    \"x\\\"\"\n  ],\n  \"a\": {\n  }\n}\n");
        assert_eq!(json.to_yaml(), "---\nb:\n- 1\n- x\"\na: {}\n");
    }
}
