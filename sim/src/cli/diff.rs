//! The command `diff`: shows what a candidate would change.

use std::collections::BTreeSet;

use super::Session;
use super::error::CliError;
use super::info::From;
use super::lex::Token;
use super::target::{Target, child_names};
use super::text::{self, Style};
use super::tree::{Body, Entry};
use crate::schema::{NodeId, Schema};

impl Session {
    /// `diff [PATH]`
    pub(super) fn diff(&self, words: &[Token]) -> Result<String, CliError> {
        let schema = self.store.schema();
        let (target, rest) = Target::read(schema, &self.context, words)?;
        if let Some(token) = rest.first() {
            return Err(CliError::unknown(token.text(), child_names(schema, target.node())));
        }
        let mut text = String::new();
        let (before, after) = (self.select(From::Running, &target), self.select(From::Candidate, &target));
        compare(&mut text, schema, &before, &after, 1);
        Ok(text)
    }
}

/// Prints removed lines with `-` and new ones with `+`, and the containers that lead to them.
fn compare(text: &mut String, schema: &Schema, before: &Body, after: &Body, level: usize) {
    let leaves: BTreeSet<NodeId> = before.leaves.keys().chain(after.leaves.keys()).copied().collect();
    for leaf in leaves {
        let (old, new) = (before.leaves.get(&leaf), after.leaves.get(&leaf));
        if old != new {
            for (mark, value) in [('-', old), ('+', new)] {
                let leaves = value.map(|value| (leaf, value.clone())).into_iter().collect();
                print(text, schema, mark, &Body { leaves, ..Body::default() }, level);
            }
        }
    }
    let children: BTreeSet<NodeId> = before.children.keys().chain(after.children.keys()).copied().collect();
    for child in children {
        let entries = |body: &Body| body.children.get(&child).cloned().unwrap_or_default();
        let (old, new) = (entries(before), entries(after));
        for entry in &old {
            match new.iter().find(|it| it.keys == entry.keys) {
                Some(same) => below(text, schema, child, entry, same, level),
                None => print_entry(text, schema, '-', child, entry, level),
            }
        }
        for entry in new.iter().filter(|entry| old.iter().all(|it| it.keys != entry.keys)) {
            print_entry(text, schema, '+', child, entry, level);
        }
    }
}

fn below(text: &mut String, schema: &Schema, node: NodeId, old: &Entry, new: &Entry, level: usize) {
    let mut inner = String::new();
    compare(&mut inner, schema, &old.body, &new.body, level + 1);
    if !inner.is_empty() {
        let mut shell = String::new();
        print_entry(&mut shell, schema, ' ', node, &Entry { keys: old.keys.clone(), body: Body::default() }, level);
        let (head, tail) = shell.split_once('\n').unwrap_or((&shell, ""));
        text.push_str(&format!("{head}\n{inner}{tail}"));
    }
}

fn print_entry(text: &mut String, schema: &Schema, mark: char, node: NodeId, entry: &Entry, level: usize) {
    let children = [(node, vec![entry.clone()])].into_iter().collect();
    print(text, schema, mark, &Body { children, ..Body::default() }, level);
}

fn print(text: &mut String, schema: &Schema, mark: char, body: &Body, level: usize) {
    let indent = " ".repeat(4 * (level - 1));
    for line in text::info(Style { schema, now: None }, body).lines() {
        text.push_str(&format!("{mark} {indent}{line}\n"));
    }
}
