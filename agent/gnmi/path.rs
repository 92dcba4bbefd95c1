//! Converts gNMI paths: names without module prefixes, keys unchanged.

use srl_proto::gnmi;

use crate::path::{Element, Path, PathError};

/// Lists whose entries are read from nested JSON, and the leaves that are their keys.
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

/// Keys whose values are identities: the module prefix is removed.
const IDENTITY_KEYS: &[&str] = &["afi-safi-name", "route-type"];

/// One step of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elem {
    pub(super) name: String,
    /// Sorted by name.
    pub(super) keys: Vec<(String, String)>,
}

impl Elem {
    /// Creates a step into a container or leaf.
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

    /// Returns the value of a key.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether the step allows this value of a key: it has the value, a wildcard, or no such key.
    pub(super) fn allows(&self, name: &str, value: &str) -> bool {
        self.key(name).is_none_or(|key| key == "*" || key == value)
    }

    /// Returns the step into the entry that a JSON object represents; `None` in a list that is not read.
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

/// Returns a name without its module prefix.
pub(super) fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, name)| name)
}

fn key_value<'a>(key: &str, value: &'a str) -> &'a str {
    if IDENTITY_KEYS.contains(&key) { bare(value) } else { value }
}

/// Returns the steps of a prefix and a path.
pub(super) fn elems(prefix: Option<&gnmi::Path>, path: Option<&gnmi::Path>) -> Vec<Elem> {
    [prefix, path].into_iter().flatten().flat_map(|path| &path.elem).map(Elem::from_wire).collect()
}

/// Returns the names of the steps, for matching.
pub(super) fn names(path: &[Elem]) -> Vec<&str> {
    path.iter().map(|elem| elem.name.as_str()).collect()
}

/// Parses `/a/b[key=value]/c`.
pub(super) fn parse(text: &str) -> Result<gnmi::Path, PathError> {
    let path: Path = text.parse()?;
    let elem = |Element { name, keys }: &Element| gnmi::PathElem {
        name: name.to_string(),
        key: keys.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
    };
    Ok(gnmi::Path { elem: path.elements().iter().map(elem).collect(), ..Default::default() })
}

/// Escapes a value for use between brackets.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn module_prefixes_are_removed_from_names_and_identities_but_not_addresses() {
        let wire = parse("/m:neighbor[peer-address=fe80::1]/n:afi-safi[afi-safi-name=c:ipv4-unicast]").expect("a path");
        let path = elems(None, Some(&wire));
        assert_eq!(names(&path), ["neighbor", "afi-safi"]);
        assert_eq!(path[0].key("peer-address"), Some("fe80::1"));
        assert_eq!(path[1].key("afi-safi-name"), Some("ipv4-unicast"));
    }

    proptest! {
        #[test]
        fn any_key_value_survives_writing_and_parsing(value in ".*") {
            let path = parse(&format!("/a[k={}]", escaped(&value))).expect("a path");
            prop_assert_eq!(&path.elem[0].key["k"], &value);
        }
    }
}
