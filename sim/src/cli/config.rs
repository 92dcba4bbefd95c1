//! Commands of candidate mode: edits, commit, discard and save.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::CliError;
use super::lex::Token;
use super::target::{Target, child_names, is_configured};
use super::{Mode, Session, own};
use crate::datastore::{CommitError, Problem, Refusal, canonical_text, expected};
use crate::path::Path;
use crate::schema::{Kind, LeafInfo, LeafType, NodeId};

/// Time a commit waits to be confirmed, unless the line says otherwise.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(600);

pub(super) const COMMIT: [&str; 5] = ["confirmed", "now", "save", "stay", "validate"];
pub(super) const DISCARD: [&str; 2] = ["now", "stay"];

impl Session {
    /// `set PATH [LEAF VALUE]...`: several leaves of one container may follow each other.
    pub(super) fn set(&self, words: &[Token]) -> Result<String, CliError> {
        let schema = self.store.schema();
        let (mut target, mut rest) = Target::read_configuration(schema, &self.context, words)?;
        loop {
            let node = target.node();
            if schema.leaf(node).is_none() {
                if let Some(token) = rest.first() {
                    let names = child_names(schema, node).into_iter().filter(|name| is_configured(schema, node, name));
                    return Err(CliError::unknown(token.text(), names));
                }
                self.create(&target)?;
                return Ok(String::new());
            }
            rest = self.set_leaf(&target, rest)?;
            if rest.is_empty() {
                return Ok(String::new());
            }
            target.pop();
            (target, rest) = Target::read_configuration(schema, &target, rest)?;
        }
    }

    /// Creates a container or a list entry.
    pub(super) fn create(&self, target: &Target) -> Result<(), CliError> {
        let candidate = self.candidate();
        for path in self.paths(target)? {
            candidate.set(&path, &json!({})).map_err(refused)?;
        }
        Ok(())
    }

    fn set_leaf<'a>(&self, target: &Target, words: &'a [Token]) -> Result<&'a [Token], CliError> {
        let schema = self.store.schema();
        let node = schema.node(target.node());
        let (values, rest) = match &node.kind {
            Kind::Leaf(info) if info.kind == LeafType::Empty => (json!([null]), words),
            Kind::Leaf(info) => {
                let (value, rest) = words.split_first().ok_or_else(|| CliError::incomplete(values_of(info)))?;
                self.check(&node.name, info, value.text())?;
                (json!(value.text()), rest)
            }
            Kind::LeafList(info) => {
                let (values, rest) = list_values(info, words)?;
                values.iter().try_for_each(|value| self.check(&node.name, info, value))?;
                (json!(values), rest)
            }
            Kind::Container { .. } | Kind::List { .. } => return Ok(words),
        };
        let candidate = self.candidate();
        for path in self.paths(target)? {
            candidate.set(&path, &values).map_err(|refusal| self.wrong_value(target.node(), &values, refusal))?;
        }
        Ok(rest)
    }

    fn check(&self, leaf: &str, info: &LeafInfo, value: &str) -> Result<(), CliError> {
        canonical_text(self.store.schema(), leaf, info, value).map(drop).map_err(|_| CliError::WrongValue {
            leaf: leaf.to_owned(),
            value: value.to_owned(),
            expected: expected(info),
        })
    }

    /// Translates the refusal of a value into the CLI's words: the leaf or key of the line, and what it accepts.
    fn wrong_value(&self, node: NodeId, value: &Value, refusal: Refusal) -> CliError {
        let schema = self.store.schema();
        let blamed = refusal.path.parse::<Path>().unwrap_or_default();
        let key = blamed.steps().last().and_then(|step| step.keys.iter().find(|_| true));
        let target = schema.resolve(&blamed).ok().map(|target| target.node());
        let (leaf, value) = match (target, key) {
            (Some(list), Some((name, value))) => (schema.child(list, name), value.clone()),
            (found, _) => (found.or(Some(node)), spelled(value)),
        };
        match leaf.and_then(|leaf| Some((leaf, schema.leaf(leaf)?))) {
            Some((leaf, info)) if info.restricted => CliError::WrongValue {
                leaf: schema.node(leaf).name.to_string(),
                value,
                expected: expected_of(info, &refusal.message),
            },
            _ => refused(refusal),
        }
    }

    /// `delete PATH`, and `delete LEAF-LIST VALUE` for one value of it.
    pub(super) fn delete(&self, words: &[Token]) -> Result<String, CliError> {
        let schema = self.store.schema();
        let (target, rest) = Target::read_configuration(schema, &self.context, words)?;
        let candidate = self.candidate();
        let values = match (&schema.node(target.node()).kind, rest) {
            (_, []) => Vec::new(),
            (Kind::LeafList(info), _) => list_values(info, rest)?.0,
            (_, [token, ..]) => return Err(CliError::unknown(token.text(), child_names(schema, target.node()))),
        };
        for path in self.paths(&target)? {
            let target = schema.resolve(&path).map_err(refused)?;
            if values.is_empty() {
                candidate.delete_target(target).map_err(refused)?;
                continue;
            }
            for value in &values {
                candidate.remove_value(target.clone(), value).map_err(refused)?;
            }
        }
        Ok(String::new())
    }

    /// Returns the paths a target names. Ranges are expanded, and wildcards match the existing entries.
    fn paths(&self, target: &Target) -> Result<Vec<Path>, CliError> {
        let schema = self.store.schema();
        if target.is_single() {
            return Ok(vec![target.path(schema)]);
        }
        if let Some(list) = target.steps().iter().find(|step| step.is_unkeyed()) {
            let keys = schema.keys(list.node).iter().map(|key| format!("<{}>", schema.node(*key).name));
            return Err(CliError::incomplete(keys));
        }
        Ok(target.expand(schema, &self.candidate().tree()))
    }

    /// `commit confirmed [timeout SECONDS]|now|save|stay|validate`
    pub(super) async fn commit(&mut self, words: &[Token]) -> Result<String, CliError> {
        let candidate = self.candidate();
        let words: Vec<&str> = words.iter().map(Token::text).collect();
        let mut confirmed_within = None;
        let leaves = match words.as_slice() {
            ["validate"] => {
                candidate.validate().map_err(|it| CliError::Commit(vec![(it.path, it.message)]))?;
                return Ok("All changes are valid\n".to_owned());
            }
            ["confirmed", rest @ ..] => {
                confirmed_within = Some(timeout(rest)?);
                true
            }
            ["now" | "save", ..] => true,
            ["stay", ..] => false,
            [other, ..] => {
                let refused = own::not_emulated(&format!("commit {other}"));
                return Err(refused.unwrap_or_else(|| CliError::unknown(other, COMMIT)));
            }
            [] => return Err(CliError::incomplete(COMMIT)),
        };
        let committed = match confirmed_within {
            Some(time) => self.store.commit_for(&candidate, time).await,
            None => self.store.commit(&candidate).await,
        };
        let committed = committed.map_err(not_committed)?;
        if words.contains(&"save") {
            self.store.save();
        }
        let next = if leaves { "Leaving candidate mode" } else { "Starting new transaction" };
        if leaves {
            self.leave_candidate();
        }
        let until = confirmed_within.map_or_else(String::new, |time| {
            let seconds = time.as_secs();
            format!(" They are taken back in {seconds} seconds without tools system configuration confirmed-accept.")
        });
        Ok(format!("{}All changes have been committed. {next}.{until}\n", warnings(&committed.warnings)))
    }

    /// `discard now|stay`
    pub(super) fn discard(&mut self, words: &[Token]) -> Result<String, CliError> {
        let next = match words.first().map(Token::text) {
            Some("now") => "Leaving candidate mode",
            Some("stay") => "Starting new transaction",
            Some(other) => return Err(CliError::unknown(other, DISCARD)),
            None => return Err(CliError::incomplete(DISCARD)),
        };
        self.candidate().discard();
        if next.starts_with("Leaving") {
            self.leave_candidate();
        }
        Ok(format!("All changes have been discarded. {next}.\n"))
    }

    /// `save startup`
    pub(super) fn save(&self, words: &[Token]) -> Result<String, CliError> {
        match words.first().map(Token::text) {
            Some("startup") => {
                self.store.save();
                let file = "/etc/opt/srlinux/config.json";
                Ok(format!("/system:\n    Saved current running configuration as startup configuration '{file}'\n"))
            }
            Some(other) => Err(CliError::unknown(other, ["startup"])),
            None => Err(CliError::incomplete(["startup"])),
        }
    }

    fn leave_candidate(&mut self) {
        self.mode = Mode::Running;
        self.private = None;
        self.exclusive = None;
    }
}

/// Formats a value as it was typed.
fn spelled(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(spelled).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Returns what a restricted leaf accepts: its range, a readable pattern, or the name of its type.
fn expected_of(info: &LeafInfo, message: &str) -> String {
    const READABLE: usize = 60;
    let pattern = message.split("does not match ").nth(1).map(|it| it.trim_matches(['"', '.']));
    match pattern.filter(|pattern| info.range.is_none() && pattern.len() <= READABLE) {
        Some(pattern) => format!("a text that matches {pattern}"),
        None if info.range.is_none() && !info.typedef.is_empty() => format!("a value of type {}", info.typedef),
        None if info.range.is_none() => message.to_owned(),
        None => expected(info),
    }
}

fn warnings(problems: &[Problem]) -> String {
    problems.iter().map(|it| format!("Warning in {}:\n    {}\n", it.path, it.message)).collect()
}

/// Reads `timeout SECONDS`, or the default if there are no words.
fn timeout(words: &[&str]) -> Result<Duration, CliError> {
    match words {
        [] => Ok(CONFIRMED_WITHIN),
        ["timeout", seconds] => seconds.parse().map(Duration::from_secs).map_err(|_| CliError::WrongValue {
            leaf: "timeout".to_owned(),
            value: (*seconds).to_owned(),
            expected: "a number of seconds".to_owned(),
        }),
        ["timeout", ..] => Err(CliError::incomplete(["<seconds>"])),
        [other, ..] => Err(CliError::unknown(other, ["timeout"])),
    }
}

/// Translates the failure of a commit into the CLI's words.
pub(super) fn not_committed(error: CommitError) -> CliError {
    match error {
        CommitError::Invalid(it) => CliError::Commit(vec![(it.path, it.message)]),
        CommitError::Refused(all) => CliError::Commit(all.into_iter().map(|it| (it.path, it.message)).collect()),
        CommitError::Unconfirmed => CliError::Refused(
            "a commit waits to be confirmed: tools system configuration confirmed-accept, or confirmed-reject"
                .to_owned(),
        ),
    }
}

fn refused(refusal: Refusal) -> CliError {
    CliError::Refused(refusal.to_string())
}

/// Reads the values of a leaf-list in a line: one, or several in brackets. Returns the rest of the line too.
fn list_values<'a>(info: &LeafInfo, words: &'a [Token]) -> Result<(Vec<String>, &'a [Token]), CliError> {
    match words {
        [Token::Open, rest @ ..] => {
            let end = rest.iter().position(|token| *token == Token::Close);
            let end = end.ok_or(CliError::Syntax("a list of values has no closing bracket"))?;
            Ok((rest[..end].iter().map(|token| token.text().to_owned()).collect(), &rest[end + 1..]))
        }
        [value, rest @ ..] => Ok((vec![value.text().to_owned()], rest)),
        [] => Err(CliError::incomplete(values_of(info))),
    }
}

/// Returns the possible values of a leaf.
pub(super) fn values_of(info: &LeafInfo) -> Vec<String> {
    match &info.kind {
        LeafType::Enumeration(names) => names.clone(),
        LeafType::Boolean => vec!["false".to_owned(), "true".to_owned()],
        _ => vec!["<value>".to_owned()],
    }
}
