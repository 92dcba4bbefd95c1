//! Converts state into the form this switch accepts: releases differ in the spelling of paths and in the form of
//! enumerations.

use std::borrow::Cow;

use serde_json::Value;

use crate::path::{Path, Spelling};
use crate::tree::{Kind, Node, Type};

/// The form of enumeration values in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnumForm {
    /// `no-route`.
    Plain,
    /// `OPER_REASON_no-route`: prefixed by the name of the enumeration.
    Prefixed,
    /// `OPER_REASON_no_route`: enumerators of protobuf cannot contain hyphens.
    PrefixedUnderscores,
}

impl EnumForm {
    /// Returns the name of the form.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Prefixed => "prefixed",
            Self::PrefixedUnderscores => "prefixed-underscores",
        }
    }
}

/// A way to write state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) spelling: Spelling,
    pub(crate) words: EnumForm,
}

const fn dialect(spelling: Spelling, words: EnumForm) -> Dialect {
    Dialect { spelling, words }
}

impl Dialect {
    /// All dialects, in the order they are tried.
    const ALL: [Self; 6] = [
        dialect(Spelling::Hyphens, EnumForm::Plain),
        dialect(Spelling::Underscores, EnumForm::Plain),
        dialect(Spelling::Hyphens, EnumForm::Prefixed),
        dialect(Spelling::Underscores, EnumForm::Prefixed),
        dialect(Spelling::Hyphens, EnumForm::PrefixedUnderscores),
        dialect(Spelling::Underscores, EnumForm::PrefixedUnderscores),
    ];

    /// Converts the JSON of the entry at a path to this dialect.
    pub(crate) fn json<'j>(self, path: &Path, json: &'j str) -> Cow<'j, str> {
        if self.words == EnumForm::Plain {
            return Cow::Borrowed(json);
        }
        let (Some(node), Ok(mut body)) = (Node::find(path), serde_json::from_str(json)) else {
            return Cow::Borrowed(json);
        };
        self.prefix(node, &mut body);
        Cow::Owned(body.to_string())
    }

    fn prefix(self, node: &'static Node, body: &mut Value) {
        each_word(node, body, &mut |leaf, word| *word = self.prefixed(leaf, word));
    }

    /// Converts JSON that was written at a path in this dialect to the other form of hyphens, and returns that dialect:
    /// of the two forms with a prefix, one writes `no-route` and one `no_route`. Returns `None` if both write the same.
    /// The root has no value with a hyphen, so that only other entries distinguish the two.
    pub(crate) fn other_hyphens(self, path: &Path, json: &str) -> Option<(Self, String)> {
        let words = match self.words {
            EnumForm::Plain => return None,
            EnumForm::Prefixed => EnumForm::PrefixedUnderscores,
            EnumForm::PrefixedUnderscores => EnumForm::Prefixed,
        };
        let (node, mut body) = (Node::find(path)?, serde_json::from_str::<Value>(json).ok()?);
        let (other, before) = (Self { words, ..self }, body.clone());
        each_word(node, &mut body, &mut |leaf, word| {
            let plain = word.strip_prefix(&prefix_of(leaf)).unwrap_or(word).replace('_', "-");
            *word = other.prefixed(leaf, &plain);
        });
        (body != before).then(|| (other, body.to_string()))
    }

    /// Adds the prefix. It is the name of the leaf, because the module names the typedef of an enumeration after its
    /// leaves.
    fn prefixed(self, leaf: &str, word: &str) -> String {
        let prefix = prefix_of(leaf);
        match self.words {
            EnumForm::PrefixedUnderscores => format!("{prefix}{}", word.replace('-', "_")),
            EnumForm::Plain | EnumForm::Prefixed => format!("{prefix}{word}"),
        }
    }
}

/// Returns `OPER_REASON_` for `oper-reason`.
fn prefix_of(leaf: &str) -> String {
    format!("{}_", leaf.replace('-', "_").to_ascii_uppercase())
}

/// Calls `change` for every enumeration value below a node, with the name of its leaf.
fn each_word(node: &'static Node, body: &mut Value, change: &mut impl FnMut(&str, &mut String)) {
    match (node.kind, body) {
        (Kind::Leaf(Type::Word) | Kind::LeafList(Type::Word), Value::String(word)) => change(node.name, word),
        (_, Value::Array(values)) => values.iter_mut().for_each(|value| each_word(node, value, change)),
        (_, Value::Object(members)) => {
            for (name, value) in members {
                if let Some(child) = node.child(name) {
                    each_word(child, value, change);
                }
            }
        }
        _ => {}
    }
}

/// How the switch responded to a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Not tried since the registration.
    Untried,
    /// The NDK refused it.
    Refused,
    /// The NDK accepted it, but what was written did not appear in state.
    Hidden,
}

/// The dialects, and which of them this switch accepts.
#[derive(Debug)]
pub(crate) struct Dialects {
    answers: [Answer; Dialect::ALL.len()],
    current: usize,
    confirmed: bool,
}

impl Dialects {
    pub(crate) fn new() -> Self {
        Self { answers: [Answer::Untried; Dialect::ALL.len()], current: 0, confirmed: false }
    }

    /// Returns the dialect in use.
    pub(crate) fn current(&self) -> Dialect {
        Dialect::ALL[self.current]
    }

    /// Returns whether the NDK has accepted something in it.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Handles a new registration: the known dialect is tried first, but others may be accepted now.
    pub(crate) fn renew(&mut self) {
        self.confirmed = false;
        self.answers.iter_mut().filter(|answer| **answer == Answer::Refused).for_each(|it| *it = Answer::Untried);
    }

    /// Returns the dialects to try, the current one first.
    pub(crate) fn candidates(&self) -> Vec<Dialect> {
        let open = |at: &usize| self.answers[*at] == Answer::Untried;
        let others = (0..Dialect::ALL.len()).filter(|at| *at != self.current);
        std::iter::once(self.current).chain(others).filter(open).map(|at| Dialect::ALL[at]).collect()
    }

    /// Notes that the NDK accepted a write in this dialect.
    pub(crate) fn accept(&mut self, dialect: Dialect) {
        self.current = position(dialect);
        self.confirmed = true;
    }

    /// Notes that the NDK refused the root in this dialect.
    pub(crate) fn refuse(&mut self, dialect: Dialect) {
        self.answers[position(dialect)] = Answer::Refused;
    }

    /// Forgets all refusals: the NDK refused the root in every dialect, so that the reason is another one.
    pub(crate) fn forgive(&mut self) {
        self.answers.iter_mut().filter(|answer| **answer == Answer::Refused).for_each(|it| *it = Answer::Untried);
    }

    /// Notes that what was written in the current dialect does not appear in state.
    pub(crate) fn hide(&mut self) {
        self.answers[self.current] = Answer::Hidden;
        self.confirmed = false;
    }

    /// Returns the first dialect that was accepted although it did not appear: it is used if every other one is
    /// refused.
    pub(crate) fn hidden(&self) -> Option<Dialect> {
        self.answers.iter().position(|answer| *answer == Answer::Hidden).map(|at| Dialect::ALL[at])
    }
}

fn position(dialect: Dialect) -> usize {
    Dialect::ALL.iter().position(|known| *known == dialect).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn only_enumerations_are_prefixed_and_by_the_name_of_their_leaf() {
        let path = tree::root();
        let json = r#"{"admin-state":"enable","oper-reason":"enable","alarm-policy":{"history-size":3},"summary":{"services":1,"source":[{"name":"up","oper-state":"stale"}]}}"#;
        let rendered = |words| dialect(Spelling::Hyphens, words).json(&path, json).into_owned();
        assert_eq!(rendered(EnumForm::Plain), json);
        let read: Value = serde_json::from_str(&rendered(EnumForm::Prefixed)).expect("JSON");
        assert_eq!(read["admin-state"], "ADMIN_STATE_enable");
        assert_eq!(read["oper-reason"], "enable", "text stays as it is");
        assert_eq!(read["summary"]["source"][0]["oper-state"], "OPER_STATE_stale");
        assert_eq!(read["summary"]["source"][0]["name"], "up");
    }

    #[test]
    fn enumeration_words_are_written_with_hyphens_or_underscores() {
        let path = tree::service(&"c1".into(), &crate::model::names::ServiceKey::new("a", "b"));
        let rendered =
            |words| dialect(Spelling::Hyphens, words).json(&path, r#"{"oper-reason":"no-route"}"#).into_owned();
        assert_eq!(rendered(EnumForm::Prefixed), r#"{"oper-reason":"OPER_REASON_no-route"}"#);
        assert_eq!(rendered(EnumForm::PrefixedUnderscores), r#"{"oper-reason":"OPER_REASON_no_route"}"#);
        for (words, other) in
            [(EnumForm::Prefixed, EnumForm::PrefixedUnderscores), (EnumForm::PrefixedUnderscores, EnumForm::Prefixed)]
        {
            let written = dialect(Spelling::Hyphens, words);
            let rewritten = written.other_hyphens(&path, &rendered(words));
            assert_eq!(rewritten, Some((dialect(Spelling::Hyphens, other), rendered(other))));
            assert_eq!(written.other_hyphens(&path, r#"{"oper-state":"OPER_STATE_up","oper-detail":"a-b"}"#), None);
        }
        assert_eq!(dialect(Spelling::Hyphens, EnumForm::Plain).other_hyphens(&path, &rendered(EnumForm::Plain)), None);
    }

    #[test]
    fn a_refused_dialect_is_not_tried_again_and_the_confirmed_one_comes_first() {
        let mut dialects = Dialects::new();
        let first = dialects.candidates()[0];
        dialects.refuse(first);
        let second = dialects.candidates()[0];
        dialects.accept(second);
        assert!(dialects.is_confirmed() && dialects.current() == second && !dialects.candidates().contains(&first));
        dialects.renew();
        assert_eq!((dialects.candidates()[0], dialects.candidates().len()), (second, 6));
        dialects.hide();
        assert!(!dialects.candidates().contains(&second) && dialects.hidden() == Some(second));
    }
}
