//! Finds what an earlier run of the agent left in state, as read back over gNMI.

use serde_json::{Map, Value};

use crate::path::{Element, Name, Path};
use crate::tree::{self, Kind, Node};

/// Returns every list entry in the JSON of `/k8s-services` that has a path of its own, children before their parents,
/// in the order they must be deleted.
pub(crate) fn entries(state: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    if let Some(object) = state.as_object() {
        let object = member(object, tree::ROOT.name).and_then(Value::as_object).unwrap_or(object);
        walk(&tree::root(), &tree::ROOT, object, &mut paths);
    }
    paths.reverse();
    paths
}

fn walk(path: &Path, node: &'static Node, object: &Map<String, Value>, paths: &mut Vec<Path>) {
    for child in node.children {
        let Some(value) = member(object, child.name) else { continue };
        match (child.kind, value) {
            (Kind::Container, Value::Object(container)) => {
                walk(&path.clone().child(child.name), child, container, paths)
            }
            (Kind::List(keys), Value::Array(entries)) => {
                for entry in entries.iter().filter_map(Value::as_object) {
                    let Some(element) = element(child.name, keys, entry) else { continue };
                    let path = Path::new([path.elements(), &[element]].concat());
                    paths.push(path.clone());
                    walk(&path, child, entry, paths);
                }
            }
            _ => {}
        }
    }
}

/// Returns the entry's step of the path; `None` if a key is missing.
fn element(list: &'static str, keys: &[&'static str], entry: &Map<String, Value>) -> Option<Element> {
    let key = |key: &&'static str| Some((Name::Borrowed(*key), member(entry, key)?.as_str()?.to_owned()));
    Some(Element { name: Name::Borrowed(list), keys: keys.iter().map(key).collect::<Option<_>>()? })
}

/// Returns a member by its name, with or without a module prefix.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(own, _)| own.as_str() == name || own.rsplit_once(':').is_some_and(|(_, own)| own == name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftover_entries_are_all_found_with_children_first() {
        let state = serde_json::json!({
            "k8s-services:k8s-services": {
                "oper-state": "up",
                "summary": { "source": [{ "name": "ndk" }] },
                "cluster": [{
                    "name": "c1",
                    "namespace": ["a", "b"],
                    "speaker-resource": [{ "name": "ippools.projectcalico.org", "state": "watched" }],
                    "service": [{ "namespace": "default", "name": "web",
                                  "vip": [{ "address": "2001:db8::1", "next-hop": [{ "address": "10.0.0.1" }] }] }]
                }]
            }
        });
        let paths: Vec<String> = entries(&state).iter().map(Path::to_string).collect();
        let (cluster, service) = ("/k8s-services/cluster[name=c1]", "service[namespace=default][name=web]");
        assert_eq!(
            paths,
            [
                format!("{cluster}/{service}/vip[address=2001:db8::1]/next-hop[address=10.0.0.1]"),
                format!("{cluster}/{service}/vip[address=2001:db8::1]"),
                format!("{cluster}/{service}"),
                format!("{cluster}/speaker-resource[name=ippools.projectcalico.org]"),
                cluster.to_owned(),
            ],
            "the sources of the summary stand in the root's own JSON"
        );
    }

    /// Finds an entry of every list of the module.
    #[test]
    fn leftover_entries_of_every_list_are_found() {
        fn example(node: &Node) -> Value {
            let members = node.children.iter().filter_map(|child| match child.kind {
                Kind::Container => Some((child.name.to_owned(), example(child))),
                Kind::List(_) | Kind::InlineList(_) => {
                    Some((child.name.to_owned(), Value::Array(vec![example(child)])))
                }
                Kind::Leaf(_) => Some((child.name.to_owned(), "x".into())),
                Kind::LeafList(_) => None,
            });
            Value::Object(members.collect())
        }
        fn lists(node: &Node) -> usize {
            let own = usize::from(matches!(node.kind, Kind::List(_)));
            own + node.children.iter().map(lists).sum::<usize>()
        }
        assert_eq!(entries(&example(&tree::ROOT)).len(), lists(&tree::ROOT));
    }

    #[test]
    fn state_that_does_not_fit_the_module_has_no_leftovers() {
        for odd in [Value::Null, serde_json::json!([1]), serde_json::json!({ "cluster": [{ "nom": 1 }, 2, null] })] {
            assert!(entries(&odd).is_empty());
        }
    }
}
