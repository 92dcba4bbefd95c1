//! Whether text is a Kubernetes label selector: what an API server would refuse is refused at commit.

/// Why it is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SelectorError {
    /// An empty requirement.
    #[error("a requirement is empty; write key=value, key!=value, key, !key, key in (a,b) or key notin (a,b)")]
    Empty,
    /// A key that cannot be a label's.
    #[error("'{0}' cannot be the name of a label")]
    Key(String),
    /// A value that cannot be a label's.
    #[error("'{0}' cannot be the value of a label")]
    Value(String),
    /// Parentheses that do not match, or text behind them.
    #[error("the values of '{0}' must stand in parentheses, as in (a,b)")]
    Set(String),
}

/// Checks a selector: requirements joined by commas.
pub(super) fn check(text: &str) -> Result<(), SelectorError> {
    requirements(text).into_iter().try_for_each(check_requirement)
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

fn check_requirement(text: &str) -> Result<(), SelectorError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SelectorError::Empty);
    }
    if let Some(key) = text.strip_prefix('!') {
        return check_key(key.trim());
    }
    for operator in ["!=", "==", "="] {
        if let Some((key, value)) = text.split_once(operator) {
            check_key(key.trim())?;
            return check_value(value.trim());
        }
    }
    let Some((key, set)) = text.split_once(char::is_whitespace).or_else(|| text.split_once('(')) else {
        return check_key(text);
    };
    check_key(key)?;
    let set = set.trim();
    let values = set.strip_prefix("notin").or_else(|| set.strip_prefix("in")).map(str::trim);
    let values = values.and_then(|values| values.strip_prefix('(')).and_then(|values| values.strip_suffix(')'));
    let values = values.ok_or_else(|| SelectorError::Set(key.to_owned()))?;
    values.split(',').try_for_each(|value| check_value(value.trim()))
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| {
        let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        prefix.len() <= 253 && prefix.split('.').all(label)
    };
    if is_label(name) && !name.is_empty() && prefix.is_none_or(domain) {
        Ok(())
    } else {
        Err(SelectorError::Key(key.to_owned()))
    }
}

fn check_value(value: &str) -> Result<(), SelectorError> {
    if is_label(value) { Ok(()) } else { Err(SelectorError::Value(value.to_owned())) }
}

fn is_label(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    inner && text.len() <= 63 && ends(text.chars().next()) && ends(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_kubectl_takes_are_taken_and_others_are_refused() {
        for good in [
            "app=web",
            "app == web , tier!=db",
            "app",
            "!app",
            "example.com/exposed=true",
            "env in (prod, qa),tier notin (db)",
            "env in (a)",
            "app=",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "app=web,", "=web", "app=we b", "env in prod", "env in (prod", "a/b/c=d", "ä=b", "env of (x)"]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
