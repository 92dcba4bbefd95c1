//! Prints `info` as text.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::age::with_age;
use super::lex::quote;
use super::target::header;
use super::tree::{Body, Value};
use crate::schema::{NodeId, Schema};

const INDENT: usize = 4;

/// How values are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style<'a> {
    pub(super) schema: &'a Schema,
    /// The time that ages are relative to; ages are omitted if `None`.
    pub(super) now: Option<Timestamp>,
}

impl Style<'_> {
    /// Returns the value of a leaf, with its age if the leaf shows one.
    pub(super) fn value(&self, leaf: NodeId, value: &str) -> String {
        let shows_age = self.schema.leaf(leaf).is_some_and(crate::schema::LeafInfo::shows_age);
        match self.now.filter(|_| shows_age) {
            Some(now) => with_age(value, now),
            None => value.to_owned(),
        }
    }
}

/// Formats the contents of a container or entry, indented by four.
pub(super) fn info(style: Style<'_>, body: &Body) -> String {
    let mut text = String::new();
    write_body(&mut text, style, body, INDENT);
    text
}

fn write_body(text: &mut String, style: Style<'_>, body: &Body, indent: usize) {
    let name = |node: NodeId| &style.schema.node(node).name;
    for (node, value) in &body.leaves {
        if let Value::Leaf(value) = value {
            let _ = writeln!(text, "{:indent$}{} {}", "", name(*node), quote(&style.value(*node, value)));
        }
    }
    for (node, value) in &body.leaves {
        if let Value::List(values) = value {
            let _ = writeln!(text, "{:indent$}{} [", "", name(*node));
            for value in values {
                let _ = writeln!(text, "{:indent$}    {}", "", quote(&style.value(*node, value)));
            }
            let _ = writeln!(text, "{:indent$}]", "");
        }
    }
    for (node, entries) in &body.children {
        for entry in entries {
            let keys: Vec<_> = entry.keys.iter().map(|key| quote(key)).collect();
            let _ = writeln!(text, "{:indent$}{} {{", "", header(style.schema, *node, &keys));
            write_body(text, style, &entry.body, indent + INDENT);
            let _ = writeln!(text, "{:indent$}}}", "");
        }
    }
}

/// Formats one line per leaf with its whole path, as `info flat` does. Each line begins with `lead`, such as `/ ` or
/// `set / `.
pub(super) fn flat(style: Style<'_>, body: &Body, lead: &str) -> String {
    let mut text = String::new();
    write_flat(&mut text, style, body, lead);
    text
}

fn write_flat(text: &mut String, style: Style<'_>, body: &Body, lead: &str) {
    for (node, value) in &body.leaves {
        let name = &style.schema.node(*node).name;
        let value = match value {
            Value::Leaf(value) => quote(&style.value(*node, value)),
            Value::List(values) => {
                let values: Vec<_> = values.iter().map(|value| quote(&style.value(*node, value))).collect();
                format!("[ {} ]", values.join(" "))
            }
        };
        let _ = writeln!(text, "{lead}{name} {value}");
    }
    for (node, entries) in &body.children {
        for entry in entries {
            let keys: Vec<_> = entry.keys.iter().map(|key| quote(key)).collect();
            let header = header(style.schema, *node, &keys);
            if entry.body.is_empty() {
                let _ = writeln!(text, "{lead}{header}");
            } else {
                write_flat(text, style, &entry.body, &format!("{lead}{header} "));
            }
        }
    }
}
