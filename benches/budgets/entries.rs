//! Splits state into entries: the content of each telemetry path.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Paths in the NDK's notation, with the JSON at each. What has its own path below is not included.
pub(crate) type Entries = BTreeMap<String, String>;

/// Returns the entries of `/k8s-services`.
pub(crate) fn entries(state: &Value) -> Entries {
    let mut entries = Entries::new();
    if let Value::Object(members) = state {
        collect(".k8s-services".to_owned(), members, &[], &mut entries);
    }
    entries
}

fn collect(path: String, members: &Map<String, Value>, keys: &[&str], entries: &mut Entries) {
    let mut own = Map::new();
    for (name, value) in members {
        match value {
            Value::Object(container) => collect(format!("{path}.{name}"), container, &[], entries),
            Value::Array(list) if list.iter().all(Value::is_object) => {
                for entry in list.iter().filter_map(Value::as_object) {
                    collect(entry_path(&path, name, entry), entry, keys_of(name), entries);
                }
            }
            _ if keys.contains(&name.as_str()) => {}
            leaf => drop(own.insert(name.clone(), leaf.clone())),
        }
    }
    entries.insert(path, Value::Object(own).to_string());
}

fn entry_path(parent: &str, list: &str, entry: &Map<String, Value>) -> String {
    let mut path = format!("{parent}.{list}{{");
    for (index, key) in keys_of(list).iter().enumerate() {
        let and = if index > 0 { "&&" } else { "" };
        let value = entry.get(*key).and_then(Value::as_str).unwrap_or_default();
        write!(path, "{and}.{key}==\"{value}\"").expect("writing to a string does not fail");
    }
    path + "}"
}

fn keys_of(list: &str) -> &'static [&'static str] {
    match list {
        "service" => &["namespace", "name"],
        "vip" | "next-hop" | "peer" => &["address"],
        "orphan-route" => &["network-instance", "prefix"],
        "alarm" => &["id"],
        "alarm-history" => &["sequence"],
        _ => &["name"],
    }
}
