//! What an earlier life of the agent left in state, as read back over gNMI.

use serde_json::{Map, Value};

use super::path::Path;

/// The lists of the module, and their keys in order.
const LISTS: &[(&str, &[&str])] = &[
    ("cluster", &["name"]),
    ("node", &["name"]),
    ("peer", &["address"]),
    ("service", &["namespace", "name"]),
    ("vip", &["address"]),
    ("next-hop", &["address"]),
    ("orphan-route", &["network-instance", "prefix"]),
    ("alarm", &["id"]),
    ("alarm-history", &["sequence"]),
    ("source", &["name"]),
];

/// Every list entry in the JSON of `/k8s-services`, children before their parents: in the order in which they are to be
/// deleted.
pub(crate) fn entries(state: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    if let Some(object) = state.as_object() {
        let object = member(object, "k8s-services").and_then(Value::as_object).unwrap_or(object);
        walk(&Path::root(), object, &mut paths);
    }
    paths.reverse();
    paths
}

fn walk(path: &Path, object: &Map<String, Value>, paths: &mut Vec<Path>) {
    for (name, value) in object {
        let name = name.rsplit_once(':').map_or(name.as_str(), |(_, name)| name);
        match value {
            Value::Object(container) => walk(&path.container(name), container, paths),
            Value::Array(entries) => {
                let Some((_, keys)) = LISTS.iter().find(|(list, _)| *list == name) else { continue };
                for entry in entries.iter().filter_map(Value::as_object) {
                    let values: Option<Vec<&str>> =
                        keys.iter().map(|key| member(entry, key).and_then(Value::as_str)).collect();
                    let Some(values) = values else { continue };
                    let keys: Vec<(&str, &dyn std::fmt::Display)> =
                        keys.iter().zip(&values).map(|(key, value)| (*key, value as &dyn std::fmt::Display)).collect();
                    let path = path.entry(name, &keys);
                    paths.push(path.clone());
                    walk(&path, entry, paths);
                }
            }
            _ => {}
        }
    }
}

/// A member by its name, with or without a module prefix.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(own, _)| own.as_str() == name || own.rsplit_once(':').is_some_and(|(_, own)| own == name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::path::Spelling;
    use super::*;

    #[test]
    fn every_entry_is_found_and_children_come_first() {
        let state = serde_json::json!({
            "k8s-services:k8s-services": {
                "oper-state": "up",
                "summary": { "source": [{ "name": "ndk" }] },
                "cluster": [{
                    "name": "c1",
                    "namespace": ["a", "b"],
                    "service": [{ "namespace": "default", "name": "web",
                                  "vip": [{ "address": "2001:db8::1", "next-hop": [{ "address": "10.0.0.1" }] }] }]
                }]
            }
        });
        let paths: Vec<String> = entries(&state).iter().map(|path| path.spelled(Spelling::Hyphen)).collect();
        let service = r#".k8s-services.cluster{.name=="c1"}.service{.namespace=="default"&&.name=="web"}"#;
        assert_eq!(
            paths,
            [
                r#".k8s-services.summary.source{.name=="ndk"}"#.to_owned(),
                format!(r#"{service}.vip{{.address=="2001:db8::1"}}.next-hop{{.address=="10.0.0.1"}}"#),
                format!(r#"{service}.vip{{.address=="2001:db8::1"}}"#),
                service.to_owned(),
                r#".k8s-services.cluster{.name=="c1"}"#.to_owned(),
            ]
        );
    }

    #[test]
    fn text_that_is_not_the_module_gives_nothing() {
        for odd in [Value::Null, serde_json::json!([1]), serde_json::json!({ "cluster": [{ "nom": 1 }, 2, null] })] {
            assert!(entries(&odd).is_empty());
        }
    }
}
