//! Stores the configuration as delivered, and reads leaves from it in every encoding.
//!
//! There are two encodings: plain JSON, and proto-JSON, which wraps leaves (`{"value": 1}`), wraps list entries once in
//! the name of their list, spells names with underscores and enumerations with a prefix (`ADMIN_STATE_enable`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::commit::Problem;
use crate::path::{Element, Path, hyphenated};
use crate::tree::Node;

/// Everything that was delivered, one object per delivery node.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// `/k8s-services`.
    pub(super) root: Object,
    /// `/k8s-services/alarm-policy`, if it is delivered by itself.
    pub(super) alarm_policy: Object,
    /// `/k8s-services/cluster`, by name.
    pub(super) clusters: BTreeMap<String, ClusterTree>,
}

/// `/k8s-services/cluster` as delivered.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterTree {
    /// Its own leaves.
    pub(super) own: Object,
    /// `node`, by name.
    pub(super) nodes: BTreeMap<String, Object>,
}

/// The members of one JSON object, named as in YANG.
pub(super) type Object = BTreeMap<String, Value>;

/// A delivery node of the module.
enum Place<'a> {
    Root,
    AlarmPolicy,
    Cluster(&'a str),
    Node(&'a str, &'a str),
}

impl Tree {
    /// Sets the whole content of one delivery node.
    pub(super) fn set(&mut self, path: &Path, json: &str) -> Result<(), Problem> {
        let place = place(path)?;
        let object = object(path, json)?;
        match place {
            Place::Root => self.root = object,
            Place::AlarmPolicy => self.alarm_policy = object,
            Place::Cluster(name) => self.cluster(name).own = object,
            Place::Node(cluster, name) => {
                self.cluster(cluster).nodes.insert(name.to_owned(), object);
            }
        }
        Ok(())
    }

    /// Removes a delivery node and everything below it.
    pub(super) fn delete(&mut self, path: &Path) -> Result<(), Problem> {
        match place(path)? {
            Place::Root => *self = Self::default(),
            Place::AlarmPolicy => self.alarm_policy = Object::new(),
            Place::Cluster(name) => {
                self.clusters.remove(name);
            }
            Place::Node(cluster, name) => {
                if let Some(cluster) = self.clusters.get_mut(cluster) {
                    cluster.nodes.remove(name);
                }
            }
        }
        Ok(())
    }

    fn cluster(&mut self, name: &str) -> &mut ClusterTree {
        self.clusters.entry(name.to_owned()).or_default()
    }
}

fn place(path: &Path) -> Result<Place<'_>, Problem> {
    let configured = Node::find(path).is_some_and(|node| node.config);
    let names: Vec<&str> = path.elements().iter().map(|element| &*element.name).collect();
    let key = |at: usize| path.elements()[at].keys.first().map(|(_, value)| value.as_str());
    let place = match names.as_slice() {
        ["k8s-services"] => Some(Place::Root),
        ["k8s-services", "alarm-policy"] => Some(Place::AlarmPolicy),
        ["k8s-services", "cluster"] => key(1).map(Place::Cluster),
        ["k8s-services", "cluster", "node"] => key(1).zip(key(2)).map(|(cluster, node)| Place::Node(cluster, node)),
        _ => None,
    };
    place.filter(|_| configured).ok_or_else(|| Problem {
        path: path.clone(),
        message: "not a part of the configuration this agent knows; install the YANG module that came with it".into(),
    })
}

/// Returns the members of a delivery node. Empty text is an entry with only its key.
fn object(path: &Path, json: &str) -> Result<Object, Problem> {
    if json.trim().is_empty() {
        return Ok(Object::new());
    }
    let problem = |message| Problem { path: path.clone(), message };
    let value: Value = serde_json::from_str(json)
        .map_err(|error| problem(format!("what the switch delivered is not JSON ({error}); please report it")))?;
    match value {
        Value::Object(members) => Ok(members_of(unwrapped(path.elements().last(), members))),
        Value::Null => Ok(Object::new()),
        _ => Err(problem("what the switch delivered is not a JSON object; please report it".into())),
    }
}

/// Unwraps an entry, which proto-JSON wraps once in the name of its node.
fn unwrapped(element: Option<&Element>, mut members: Map<String, Value>) -> Map<String, Value> {
    let Some(element) = element else { return members };
    let wrapper = members.keys().next().filter(|name| members.len() == 1 && hyphenated(name) == element.name).cloned();
    match wrapper.and_then(|name| members.remove_entry(&name)) {
        Some((_, Value::Object(inner))) => inner,
        Some((name, other)) => {
            members.insert(name, other);
            members
        }
        None => members,
    }
}

/// Returns members with names as in YANG, without module prefixes.
fn members_of(members: Map<String, Value>) -> Object {
    let local = |name: &str| hyphenated(name.rsplit(':').next().unwrap_or(name));
    members.into_iter().map(|(name, value)| (local(&name), value)).collect()
}

/// Reads the leaves of one object. Each leaf is taken once; those left are unknown. Problems are gathered.
pub(super) struct Leaves<'a> {
    path: Path,
    object: Object,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(path: Path, object: &Object, problems: &'a mut Vec<Problem>) -> Self {
        Self { path, object: object.clone(), problems }
    }

    /// Adds a problem of a leaf.
    pub(super) fn problem(&mut self, leaf: &str, message: impl Into<String>) {
        self.problems.push(Problem { path: self.path.clone().child(leaf.to_owned()), message: message.into() });
    }

    /// Takes a container nested in this object.
    pub(super) fn container(&mut self, name: &str) -> Object {
        match self.object.remove(name) {
            Some(Value::Object(members)) => members_of(members),
            Some(Value::Null) | None => Object::new(),
            Some(_) => {
                self.problem(name, "is not an object");
                Object::new()
            }
        }
    }

    /// Takes a leaf as text; `None` if it is not set.
    pub(super) fn text(&mut self, leaf: &str) -> Option<String> {
        let value = self.object.remove(leaf)?;
        match scalar(value) {
            Ok(text) => text,
            Err(()) => {
                self.problem(leaf, "is not a single value");
                None
            }
        }
    }

    /// Takes a leaf-list as texts, in the given order.
    pub(super) fn texts(&mut self, leaf: &str) -> Vec<String> {
        let values = match self.object.remove(leaf) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(single) => vec![single],
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match scalar(value) {
                Ok(text) => texts.extend(text),
                Err(()) => self.problem(leaf, "holds something that is not a single value"),
            }
        }
        texts
    }

    /// Takes a leaf and parses it; `expected` describes a valid value.
    pub(super) fn parsed<T>(&mut self, leaf: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(leaf)?;
        let value = parse(&text);
        if value.is_none() {
            self.problem(leaf, format!("'{text}' is not {expected}"));
        }
        value
    }

    /// Takes a boolean.
    pub(super) fn flag(&mut self, leaf: &str) -> bool {
        self.parsed(leaf, "true or false", |text| text.parse().ok()).unwrap_or(false)
    }

    /// Takes one of several names, spelled as in YANG, or as proto-JSON spells enumerations.
    pub(super) fn one_of<T: Copy>(&mut self, leaf: &str, names: &[(&str, T)]) -> Option<T> {
        let expected = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let enumeration = format!("{}_", leaf.replace('-', "_").to_ascii_uppercase());
        self.parsed(leaf, &format!("one of {expected}"), |text| {
            let text = text.split_once(&enumeration).map_or(text, |(_, value)| value);
            names.iter().find(|(name, _)| *name == text || *name == hyphenated(text)).map(|(_, value)| *value)
        })
    }

    /// Reports everything that was not taken.
    pub(super) fn finish(mut self) {
        for leaf in std::mem::take(&mut self.object).into_keys() {
            self.problem(&leaf, "is not a leaf this agent knows; install the YANG module that came with it");
        }
    }
}

/// Returns the text of a leaf: a string, a number or a boolean, wrapped or not.
fn scalar(value: Value) -> Result<Option<String>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Object(mut members) if members.len() == 1 => members.remove("value").ok_or(()).and_then(scalar),
        Value::Object(_) | Value::Array(_) => Err(()),
    }
}
