//! Reads Calico's selectors, which have a syntax of their own.

use std::sync::Arc;

use super::super::reduce::Names;
use crate::model::selector::{Operator, Requirement, Selector};

/// Parses terms joined by `&&`: `all()`, `has(label)`, `!has(label)`, and comparisons with `==`, `!=`, `in` and
/// `not in`. An empty selector selects everything. Returns `None` for what only the rest of the syntax can express.
pub(super) fn selector(names: &mut Names, text: &str) -> Option<Selector> {
    let terms = text.split("&&").map(str::trim).filter(|term| !term.is_empty() && *term != "all()");
    terms.map(|term| requirement(names, term)).collect::<Option<_>>().map(Selector)
}

fn requirement(names: &mut Names, term: &str) -> Option<Requirement> {
    let (label, operator) = if let Some(label) = call(term, "has") {
        (label, Operator::Exists)
    } else if let Some(label) = term.strip_prefix('!').and_then(|term| call(term.trim(), "has")) {
        (label, Operator::DoesNotExist)
    } else if let Some((label, value)) = term.split_once("==") {
        (label, Operator::In([names.get(quoted(value)?)].into()))
    } else if let Some((label, value)) = term.split_once("!=") {
        (label, Operator::NotIn([names.get(quoted(value)?)].into()))
    } else {
        let (words, values) = term.split_once('{')?;
        let values =
            values.trim().strip_suffix('}')?.split(',').map(|value| quoted(value).map(|value| names.get(value)));
        let values: Box<[Arc<str>]> = values.collect::<Option<_>>()?;
        let label = words.trim().strip_suffix(" in")?.trim();
        match label.strip_suffix(" not") {
            Some(label) => (label, Operator::NotIn(values)),
            None => (label, Operator::In(values)),
        }
    };
    let label = label.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!label.is_empty() && label.chars().all(is_name)).then(|| Requirement { label: names.get(label), operator })
}

/// Returns the argument of `function(argument)`.
fn call<'a>(term: &'a str, function: &str) -> Option<&'a str> {
    term.strip_prefix(function)?.trim_start().strip_prefix('(')?.strip_suffix(')')
}

/// Returns the text between quotes of one kind.
fn quoted(text: &str) -> Option<&str> {
    let text = text.trim();
    let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains(quote)).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_far_as_requirements_can_express_them() {
        for (text, read) in [
            ("", Some("")),
            ("all()", Some("")),
            ("has(bgp-rr)", Some("bgp-rr")),
            ("!has(route-reflector) && all()", Some("!route-reflector")),
            ("rack == 'r1'&&has( kubernetes.io/hostname )", Some("rack=r1,kubernetes.io/hostname")),
            ("rack != \"r1\"", Some("rack!=r1")),
            ("rack in {'r1', 'r2'}", Some("rack in (r1,r2)")),
            ("rack not in { \"r1\" }", Some("rack!=r1")),
            ("has(a) || has(b)", None),
            ("(has(a))", None),
            ("!(rack == 'r1')", None),
            ("rack contains 'r'", None),
            ("rack == r1", None),
            ("rack in 'r1'", None),
            ("rack == 'r1' || zone == 'a'", None),
            ("global()", None),
        ] {
            let selector = selector(&mut Names::default(), text).map(|selector| selector.to_string());
            assert_eq!(selector.as_deref(), read, "{text}");
        }
    }
}
