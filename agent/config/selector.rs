//! Parses label selectors, so that what an API server would refuse is refused at commit.

use std::sync::Arc;

use super::form::is_label_value;
use crate::model::selector::{Operator, Requirement, Selector};

/// Why a text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SelectorError {
    /// A requirement is empty.
    #[error("a requirement is empty; write key=value, key!=value, key, !key, key in (a,b) or key notin (a,b)")]
    Empty,
    /// A key cannot be that of a label.
    #[error("'{0}' cannot be the name of a label")]
    Key(String),
    /// A value cannot be that of a label.
    #[error("'{0}' cannot be the value of a label")]
    Value(String),
    /// Parentheses do not match, or text follows them.
    #[error("the values of '{0}' must stand in parentheses, as in (a,b)")]
    Set(String),
}

/// Parses a selector: requirements joined by commas, as `kubectl --selector` accepts them.
pub(super) fn parse(text: &str) -> Result<Selector, SelectorError> {
    requirements(text).into_iter().map(requirement).collect::<Result<_, _>>().map(Selector)
}

/// Splits at the commas outside parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut all) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                all.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&text[start..]);
    all
}

fn requirement(text: &str) -> Result<Requirement, SelectorError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SelectorError::Empty);
    }
    if let Some(label) = text.strip_prefix('!') {
        return Ok(Requirement { label: label_of(label)?, operator: Operator::DoesNotExist });
    }
    for (sign, operator) in [("!=", Operator::NotIn as fn(_) -> _), ("==", Operator::In), ("=", Operator::In)] {
        if let Some((label, value)) = text.split_once(sign) {
            return Ok(Requirement { label: label_of(label)?, operator: operator([value_of(value)?].into()) });
        }
    }
    let Some((label, set)) = text.split_once(char::is_whitespace).or_else(|| text.split_once('(')) else {
        return Ok(Requirement { label: label_of(text)?, operator: Operator::Exists });
    };
    let (operator, values) = set_of(set.trim()).ok_or_else(|| SelectorError::Set(label.to_owned()))?;
    let values = values.split(',').map(value_of).collect::<Result<_, _>>()?;
    Ok(Requirement { label: label_of(label)?, operator: operator(values) })
}

/// Creates a requirement from values.
type Requires = fn(Box<[Arc<str>]>) -> Operator;

/// Parses `in (a, b)` or `notin (a, b)`: returns the kind of requirement, and the text between the parentheses.
fn set_of(text: &str) -> Option<(Requires, &str)> {
    let (operator, values) = match text.strip_prefix("notin") {
        Some(values) => (Operator::NotIn as fn(_) -> _, values),
        None => (Operator::In as fn(_) -> _, text.strip_prefix("in")?),
    };
    Some((operator, values.trim().strip_prefix('(')?.strip_suffix(')')?))
}

fn label_of(text: &str) -> Result<Arc<str>, SelectorError> {
    let text = text.trim();
    check_key(text).map(|()| Arc::from(text))
}

fn value_of(text: &str) -> Result<Arc<str>, SelectorError> {
    let text = text.trim();
    if is_label_value(text) { Ok(Arc::from(text)) } else { Err(SelectorError::Value(text.to_owned())) }
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| {
        let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        prefix.len() <= 253 && prefix.split('.').all(label)
    };
    if is_label_value(name) && !name.is_empty() && prefix.is_none_or(domain) {
        Ok(())
    } else {
        Err(SelectorError::Key(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selector::Labels;

    #[test]
    fn selectors_are_accepted_exactly_if_kubectl_accepts_them() {
        for (good, read) in [
            ("app=web", "app=web"),
            ("app == web , tier!=db", "app=web,tier!=db"),
            ("app", "app"),
            ("!app", "!app"),
            ("example.com/exposed=true", "example.com/exposed=true"),
            ("env in (prod, qa),tier notin (db)", "env in (prod,qa),tier!=db"),
            ("env in (a)", "env=a"),
            ("app=", "app="),
        ] {
            assert_eq!(parse(good).map(|selector| selector.to_string()), Ok(read.to_owned()), "{good}");
        }
        for bad in ["", "app=web,", "=web", "app=we b", "env in prod", "env in (prod", "a/b/c=d", "ä=b", "env of (x)"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parsed_selector_selects_by_labels() {
        let selector = parse("speaker in (yes,maybe),!retired,rack!=r2").expect("a selector");
        let selects = |labels: &[(&str, &str)]| {
            let labels: Labels = labels.iter().copied().collect();
            selector.selects(|name| labels.get(name))
        };
        assert!(selects(&[("speaker", "yes")]) && selects(&[("speaker", "maybe"), ("rack", "r1")]));
        assert!(!selects(&[]) && !selects(&[("speaker", "yes"), ("retired", "")]));
        assert!(!selects(&[("speaker", "yes"), ("rack", "r2")]));
    }
}
