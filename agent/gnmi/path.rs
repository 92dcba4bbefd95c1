//! gNMI paths: names without module prefixes, keys as they are.

use srl_proto::gnmi;

/// Lists whose entries are read out of nested JSON, and the leaves that are their keys.
const LISTS: &[(&str, &[&str])] = &[
    ("network-instance", &["name"]),
    ("neighbor", &["peer-address", "ipv4-address", "ipv6-address"]),
    ("afi-safi", &["afi-safi-name"]),
    (
        "route",
        &[
            "ipv4-prefix",
            "ipv6-prefix",
            "route-type",
            "route-owner",
            "id",
            "origin-network-instance",
            "prefix",
            "neighbor",
            "path-id",
        ],
    ),
    ("interface", &["name"]),
    ("subinterface", &["index"]),
    ("mac", &["address"]),
];

/// Keys that are identities: their values carry a module prefix that says nothing.
const IDENTITY_KEYS: &[&str] = &["afi-safi-name", "route-type"];

/// One step of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elem {
    pub(super) name: String,
    /// Sorted by name.
    pub(super) keys: Vec<(String, String)>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{path}' is no path at '{at}': write /container/list[key=value]/leaf")]
pub struct PathError {
    path: String,
    at: String,
}

impl Elem {
    /// A step into a container or leaf.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), keys: Vec::new() }
    }

    fn from_wire(elem: &gnmi::PathElem) -> Self {
        let mut keys: Vec<_> = elem
            .key
            .iter()
            .map(|(key, value)| {
                let key = bare(key);
                (key.to_owned(), key_value(key, value).to_owned())
            })
            .collect();
        keys.sort_unstable();
        Self { name: bare(&elem.name).to_owned(), keys }
    }

    /// The value of a key.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a key, where the step gives it, allows this value.
    pub(super) fn allows(&self, name: &str, value: &str) -> bool {
        self.key(name).is_none_or(|key| key == "*" || key == value)
    }

    /// The step into the entry a JSON object stands for; none in a list that is not read.
    pub(super) fn entry(list: &str, object: &serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        let (_, names) = LISTS.iter().find(|(name, _)| *name == list)?;
        let mut keys = Vec::new();
        for (member, value) in object {
            let member = bare(member);
            if names.contains(&member) {
                let value = match value {
                    serde_json::Value::String(text) => key_value(member, text).to_owned(),
                    other => other.to_string(),
                };
                keys.push((member.to_owned(), value));
            }
        }
        keys.sort_unstable();
        Some(Self { name: list.to_owned(), keys })
    }
}

/// A name without its module prefix.
pub(super) fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, name)| name)
}

fn key_value<'a>(key: &str, value: &'a str) -> &'a str {
    if IDENTITY_KEYS.contains(&key) { bare(value) } else { value }
}

/// The steps of a path behind its prefix.
pub(super) fn elems(prefix: Option<&gnmi::Path>, path: Option<&gnmi::Path>) -> Vec<Elem> {
    [prefix, path].into_iter().flatten().flat_map(|path| &path.elem).map(Elem::from_wire).collect()
}

/// The names of the steps, for matching.
pub(super) fn names(path: &[Elem]) -> Vec<&str> {
    path.iter().map(|elem| elem.name.as_str()).collect()
}

/// Reads `/a/b[key=value]/c`. In a value, `\` takes the next character as it is: `\]` and `\\`.
pub(super) fn parse(text: &str) -> Result<gnmi::Path, PathError> {
    let mut rest = text;
    let mut elem = Vec::new();
    let wrong = |at: &str| PathError { path: text.to_owned(), at: at.to_owned() };
    while !rest.is_empty() && rest != "/" {
        let step = rest.strip_prefix('/').ok_or_else(|| wrong(rest))?;
        let end = step.find(['/', '[']).unwrap_or(step.len());
        let (name, after) = step.split_at(end);
        if name.is_empty() {
            return Err(wrong(rest));
        }
        let mut parsed = gnmi::PathElem { name: name.to_owned(), ..Default::default() };
        rest = after;
        while let Some(predicate) = rest.strip_prefix('[') {
            let (key, after) = predicate.split_once('=').ok_or_else(|| wrong(rest))?;
            let (value, after) = key_text(after).ok_or_else(|| wrong(rest))?;
            parsed.key.insert(key.to_owned(), value);
            rest = after;
        }
        elem.push(parsed);
    }
    Ok(gnmi::Path { elem, ..Default::default() })
}

/// The value up to the closing bracket, and what follows that.
fn key_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ']' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// A value as it stands between brackets.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_may_hold_slashes_percents_colons_and_brackets() {
        let path = parse(r"/a/b[peer=fe80::1%ethernet-1/1.0][x=a\]b\\]/c").expect("a path");
        assert_eq!(path.elem.iter().map(|elem| &*elem.name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(path.elem[1].key["peer"], "fe80::1%ethernet-1/1.0");
        assert_eq!(path.elem[1].key["x"], r"a]b\");
        assert_eq!(parse("/").map(|path| path.elem.len()), Ok(0));
    }

    #[test]
    fn what_is_no_path_is_named() {
        for text in ["a", "/a//b", "/a[b]", "/a[b=c", "/a[b=c]d", r"/a[b=c\"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn module_prefixes_go_from_names_and_identities_and_stay_in_addresses() {
        let wire = parse("/m:neighbor[peer-address=fe80::1]/n:afi-safi[afi-safi-name=c:ipv4-unicast]").expect("a path");
        let path = elems(None, Some(&wire));
        assert_eq!(names(&path), ["neighbor", "afi-safi"]);
        assert_eq!(path[0].key("peer-address"), Some("fe80::1"));
        assert_eq!(path[1].key("afi-safi-name"), Some("ipv4-unicast"));
    }

    proptest! {
        #[test]
        fn any_key_survives_being_written_and_read(value in ".*") {
            let path = parse(&format!("/a[k={}]", escaped(&value))).expect("a path");
            prop_assert_eq!(&path.elem[0].key["k"], &value);
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
