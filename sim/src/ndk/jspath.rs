//! The paths of NDK messages: `.a.b{.key=="v"&&.k2=="w"}.c`.

/// One step: a name and the values of its list's keys, spelt as received.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) keys: Vec<(String, String)>,
}

/// Reads a path.
///
/// # Errors
/// A sentence saying what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut rest = text;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').ok_or_else(|| format!("'.' expected before '{rest}' in path '{text}'"))?;
        let (name, after) = split_name(rest);
        if name.is_empty() {
            return Err(format!("a name is missing in path '{text}'"));
        }
        let (keys, after) = match after.strip_prefix('{') {
            Some(inside) => {
                parse_keys(inside).ok_or_else(|| format!("keys of '{name}' are malformed in path '{text}'"))?
            }
            None => (Vec::new(), after),
        };
        steps.push(Step { name: name.to_owned(), keys });
        rest = after;
    }
    if steps.is_empty() { Err("the path is empty".to_owned()) } else { Ok(steps) }
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | ':')));
    text.split_at(end.unwrap_or(text.len()))
}

/// `.k=="v"&&.k2=="w"}`, and what follows.
fn parse_keys(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut keys = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = split_name(rest.strip_prefix('.')?);
        let (value, after) = parse_value(after.strip_prefix("==")?)?;
        keys.push((name.to_owned(), value));
        if let Some(after) = after.strip_prefix('}') {
            return Some((keys, after));
        }
        rest = after.strip_prefix("&&")?;
    }
}

/// A quoted value, and what follows; `\` takes the next letter as it is.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &inside[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

/// A value as it stands between quotes.
pub(crate) fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, keys: &[(&str, &str)]) -> Step {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Step { name: name.to_owned(), keys }
    }

    #[test]
    fn names_keys_and_odd_values_are_read() {
        let text = ".k8s_services.cluster{.name==\"c1\"}.service{.namespace==\"default\"&&.name==\"a.b{}&&\\\"\"}.vip";
        let expected = [
            step("k8s_services", &[]),
            step("cluster", &[("name", "c1")]),
            step("service", &[("namespace", "default"), ("name", "a.b{}&&\"")]),
            step("vip", &[]),
        ];
        assert_eq!(parse(text).as_deref(), Ok(&expected[..]));
        let text = ".a{.key==\"fe80::1%ethernet-1/1.0\"}";
        assert_eq!(parse(text).as_deref(), Ok(&[step("a", &[("key", "fe80::1%ethernet-1/1.0")])][..]));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "a", ".", ".a.", ".a{", ".a{.k==\"v\"", ".a{.k=\"v\"}", ".a{.k==v}", ".a b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quoting_is_undone_by_reading() {
        let value = "a\\b\"c";
        assert_eq!(parse_value(&quoted(value)), Some((value.to_owned(), "")));
    }
}
