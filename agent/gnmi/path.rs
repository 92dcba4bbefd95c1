//! Converts gNMI paths: names without module prefixes, keys unchanged.

use std::fmt::Display;

use srl_proto::gnmi;

use crate::model::switch::IpFamily;
use crate::path::{Element, Name, Path, PathError};

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

/// Returns a step of a path from the wire, with keys sorted by name.
fn element(elem: &gnmi::PathElem) -> Element {
    let key = |(key, value): (&String, &String)| {
        let key = bare(key);
        (Name::Owned(key.to_owned()), key_value(key, value).to_owned())
    };
    let mut keys: Vec<_> = elem.key.iter().map(key).collect();
    keys.sort_unstable();
    Element { name: Name::Owned(bare(&elem.name).to_owned()), keys }
}

/// Returns the step into the entry that a JSON object represents; `None` in a list that is not read.
pub(super) fn entry(list: &str, object: &serde_json::Map<String, serde_json::Value>) -> Option<Element> {
    let (_, names) = LISTS.iter().find(|(name, _)| *name == list)?;
    let mut keys = Vec::new();
    for (member, value) in object {
        let member = bare(member);
        if names.contains(&member) {
            let value = match value {
                serde_json::Value::String(text) => key_value(member, text).to_owned(),
                other => other.to_string(),
            };
            keys.push((Name::Owned(member.to_owned()), value));
        }
    }
    keys.sort_unstable();
    Some(Element { name: Name::Owned(list.to_owned()), keys })
}

/// Returns a name without its module prefix.
pub(super) fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, name)| name)
}

fn key_value<'a>(key: &str, value: &'a str) -> &'a str {
    if IDENTITY_KEYS.contains(&key) { bare(value) } else { value }
}

/// Returns the steps of a prefix and a path.
pub(super) fn elems(prefix: Option<&gnmi::Path>, path: Option<&gnmi::Path>) -> Vec<Element> {
    [prefix, path].into_iter().flatten().flat_map(|path| &path.elem).map(element).collect()
}

/// Returns the names of the steps, for matching.
pub(super) fn names(path: &[Element]) -> Vec<&str> {
    path.iter().map(|elem| &*elem.name).collect()
}

/// Returns a path for the wire.
pub(super) fn wire(path: &Path) -> gnmi::Path {
    let elem = |Element { name, keys }: &Element| gnmi::PathElem {
        name: name.to_string(),
        key: keys.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
    };
    gnmi::Path { elem: path.elements().iter().map(elem).collect(), ..Default::default() }
}

/// Parses `/a/b[key=value]/c` for the wire.
pub(super) fn parse(text: &str) -> Result<gnmi::Path, PathError> {
    text.parse().map(|path| wire(&path))
}

/// Returns the path of a network instance.
pub(super) fn network_instance(name: &dyn Display) -> Path {
    Path::default().entry("network-instance", &[("name", name)])
}

/// Returns the path of a BGP neighbor of a network instance.
pub(super) fn neighbor(instance: &dyn Display, peer: &dyn Display) -> Path {
    network_instance(instance).child("protocols").child("bgp").entry("neighbor", &[("peer-address", peer)])
}

/// Returns the path of the entries for a prefix in a route table of a network instance.
pub(super) fn route(instance: &dyn Display, family: IpFamily, prefix: &dyn Display) -> Path {
    let key = match family {
        IpFamily::Ipv4 => "ipv4-prefix",
        IpFamily::Ipv6 => "ipv6-prefix",
    };
    let keys: [(&'static str, &dyn Display); 5] =
        [(key, prefix), ("route-type", &"*"), ("route-owner", &"*"), ("id", &"*"), ("origin-network-instance", &"*")];
    route_table(instance, family).entry("route", &keys)
}

/// Returns the path of a route table of a network instance.
pub(super) fn route_table(instance: &dyn Display, family: IpFamily) -> Path {
    network_instance(instance).child("route-table").child(family.container())
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
            let path = neighbor(&"default", &value);
            prop_assert_eq!(&wire(&path).elem[3].key["peer-address"], &value);
            prop_assert_eq!(parse(&path.to_string()), Ok(wire(&path)));
        }
    }
}
