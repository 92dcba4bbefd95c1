//! Resolves textual paths to places in trees: looks up names, orders keys, keeps wildcards.

use std::sync::Arc;

use super::Refusal;
use super::tree::{EntryKey, KeyValue, Node, Place};
use crate::path::{Path, Step, bare};
use crate::schema::{Kind, LeafInfo, LeafType, NodeId, Schema};

/// A path whose nodes are resolved. It may name many entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The steps, from the root.
    pub steps: Vec<TargetStep>,
}

/// One step of a [`Target`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStep {
    /// The node.
    pub node: NodeId,
    /// What the keys of an entry must match, in the order of the key leaves' definition; empty if the node is not a
    /// list.
    pub keys: Vec<KeyMatch>,
}

/// What a key must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMatch {
    /// Anything.
    Any,
    /// One of these values; usually there is only one.
    OneOf(Vec<KeyValue>),
    /// A text with `*` in it.
    Glob(Arc<str>),
}

impl KeyMatch {
    /// Returns whether a value matches.
    pub fn matches(&self, value: &KeyValue) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(values) => values.contains(value),
            Self::Glob(pattern) => glob(pattern, bare_identity(value.text())) || glob(pattern, value.text()),
        }
    }

    /// Returns the only value that matches, if there is exactly one.
    pub fn exact(&self) -> Option<&KeyValue> {
        match self {
            Self::OneOf(values) if values.len() == 1 => values.first(),
            _ => None,
        }
    }
}

fn bare_identity(text: &str) -> &str {
    match text.split_once(':') {
        Some((module, name)) if module.starts_with("srl_nokia-") => name,
        _ => text,
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

impl Target {
    /// Returns the node the path leads to.
    pub fn node(&self) -> NodeId {
        self.steps.last().map_or(NodeId::ROOT, |step| step.node)
    }

    /// Returns the place if the path has no wildcard, and the leaf at its end, if any, which is not part of the place.
    pub fn place(&self, schema: &Schema) -> Option<(Vec<Place>, Option<NodeId>)> {
        let mut places = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            if schema.leaf(step.node).is_some() {
                return Some((places, Some(step.node)));
            }
            let key = match step.keys.as_slice() {
                [] => None,
                keys => Some(EntryKey::new(keys.iter().map(|key| key.exact().cloned()).collect::<Option<Vec<_>>>()?)),
            };
            places.push(Place { node: step.node, key });
        }
        Some((places, None))
    }

    /// Returns whether the path may name several entries.
    pub fn has_wildcard(&self) -> bool {
        self.steps.iter().any(|step| step.keys.iter().any(|key| key.exact().is_none()))
    }

    /// Returns every container or entry in a tree that the path names, with its place. If the path ends in a leaf,
    /// returns those that may contain the leaf.
    pub fn find<'a>(&self, schema: &Schema, root: &'a Node) -> Vec<(Vec<Place>, &'a Node)> {
        let mut found = vec![(Vec::new(), root)];
        for step in self.steps.iter().filter(|step| schema.leaf(step.node).is_none()) {
            found = found.into_iter().flat_map(|(places, node)| step.find(places, node)).collect();
        }
        found
    }

    /// Returns the leaf at the end of the path, if any.
    pub fn leaf(&self, schema: &Schema) -> Option<NodeId> {
        Some(self.node()).filter(|node| schema.leaf(*node).is_some())
    }

    /// Returns whether a place is at or below what the path names. A leaf at its end is ignored.
    pub fn covers(&self, schema: &Schema, places: &[Place]) -> bool {
        let steps = &self.steps[..self.steps.len() - usize::from(self.leaf(schema).is_some())];
        steps.len() <= places.len() && steps.iter().zip(places).all(|(step, place)| step.matches(place))
    }
}

impl TargetStep {
    fn matches(&self, place: &Place) -> bool {
        let keys = place.key.as_ref().map_or(&[][..], EntryKey::values);
        self.node == place.node && self.keys.iter().zip(keys).all(|(wanted, value)| wanted.matches(value))
    }

    fn find<'a>(&self, places: Vec<Place>, node: &'a Node) -> Vec<(Vec<Place>, &'a Node)> {
        let extended = |key: Option<EntryKey>| {
            let mut places = places.clone();
            places.push(Place { node: self.node, key });
            places
        };
        if self.keys.is_empty() {
            return node.containers.get(&self.node).map(|it| (extended(None), it)).into_iter().collect();
        }
        let Some(entries) = node.lists.get(&self.node) else { return Vec::new() };
        let exact = self.keys.iter().map(|key| key.exact().cloned()).collect::<Option<Vec<_>>>().map(EntryKey::new);
        if let Some(key) = exact {
            return entries.get(&key).map(|it| (extended(Some(key)), it)).into_iter().collect();
        }
        let matching = entries
            .iter()
            .filter(|(key, _)| self.keys.iter().zip(key.values()).all(|(wanted, value)| wanted.matches(value)));
        matching.map(|(key, it)| (extended(Some(key.clone())), it)).collect()
    }
}

impl Schema {
    /// Resolves a path. Keys that are missing or `*` match anything; a `*` inside a key matches any text.
    ///
    /// # Errors
    /// [`Refusal`] with the element that is unknown, and the possible ones.
    pub fn resolve(&self, path: &Path) -> Result<Target, Refusal> {
        let mut steps = Vec::with_capacity(path.steps().len());
        let mut parent = NodeId::ROOT;
        for step in path.steps() {
            let node = self.child(parent, &step.name).ok_or_else(|| self.unknown_element(path, parent, &step.name))?;
            steps.push(TargetStep { node, keys: self.match_keys(path, node, step)? });
            parent = node;
        }
        Ok(Target { steps })
    }

    fn match_keys(&self, path: &Path, node: NodeId, step: &Step) -> Result<Vec<KeyMatch>, Refusal> {
        let keys = self.keys(node);
        let named = |name: &str| {
            let name = bare(name);
            keys.iter().position(|key| {
                let known = &*self.node(*key).name;
                known == name || (name.contains('_') && known == name.replace('_', "-"))
            })
        };
        let mut wanted = vec![KeyMatch::Any; keys.len()];
        for (name, value) in &step.keys {
            let Some(at) = named(name) else {
                let options = keys.iter().map(|key| &*self.node(*key).name).collect::<Vec<_>>().join(", ");
                let message = format!("Path not valid - unknown key '{name}'. Options are [{options}]");
                return Err(Refusal::new(path.to_string(), message));
            };
            wanted[at] = match &**value {
                "*" => KeyMatch::Any,
                pattern if pattern.contains('*') => KeyMatch::Glob(pattern.into()),
                value => KeyMatch::OneOf(vec![self.key_value(keys[at], value)]),
            };
        }
        Ok(wanted)
    }

    /// Returns a value of a key leaf in canonical form.
    pub(crate) fn key_value(&self, key: NodeId, text: &str) -> KeyValue {
        let Some(info) = self.leaf(key) else { return KeyValue::new(text, false) };
        KeyValue::new(self.canonical(info, text), info.kind.is_number())
    }

    /// Returns a value in canonical form: identities get the name of the module that defines them, if it is
    /// unambiguous.
    pub(crate) fn canonical<'a>(&self, info: &LeafInfo, text: &'a str) -> std::borrow::Cow<'a, str> {
        if info.kind == LeafType::Identity
            && !text.contains(':')
            && let Some(module) = self.modules_of_identity(text).first()
        {
            return format!("{module}:{text}").into();
        }
        text.into()
    }

    fn unknown_element(&self, path: &Path, parent: NodeId, name: &str) -> Refusal {
        let options = self.node(parent).children.iter().map(|child| &*self.node(*child).name).collect::<Vec<_>>();
        let message = format!("Path not valid - unknown element '{name}'. Options are [{}]", options.join(", "));
        Refusal::new(path.to_string(), message)
    }

    /// Returns the path of a place, and of a leaf in it. Identities in keys keep the name of their module.
    pub fn path_at(&self, places: &[Place], leaf: Option<NodeId>) -> Path {
        self.spell(places, leaf, |text| text.to_owned())
    }

    /// Returns the path of a place as [`Schema::path_at`] does, but with bare identities, as in PROTO, the NDK and the
    /// CLI.
    pub fn bare_path_at(&self, places: &[Place], leaf: Option<NodeId>) -> Path {
        self.spell(places, leaf, |text| bare(text).to_owned())
    }

    fn spell(&self, places: &[Place], leaf: Option<NodeId>, identity: impl Fn(&str) -> String) -> Path {
        let mut steps: Vec<_> = places
            .iter()
            .map(|place| {
                let values = place.key.as_ref().map_or(&[][..], EntryKey::values);
                let keys = self.keys(place.node).iter().zip(values).map(|(key, value)| {
                    let is_identity = self.leaf(*key).is_some_and(|info| info.kind == LeafType::Identity);
                    let text = if is_identity { identity(value.text()) } else { value.text().to_string() };
                    (self.node(*key).name.to_string(), text)
                });
                Step { name: self.node(place.node).name.to_string(), keys: keys.collect() }
            })
            .collect();
        steps.extend(leaf.map(|leaf| Step::new(&*self.node(leaf).name)));
        Path::from_steps(steps)
    }

    /// Returns whether a node is a list.
    pub fn is_list(&self, node: NodeId) -> bool {
        matches!(self.node(node).kind, Kind::List { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_at_both_ends_and_in_between() {
        for (pattern, text, expected) in [
            ("ethernet-1/*", "ethernet-1/12", true),
            ("*-1/2", "ethernet-1/2", true),
            ("e*/*", "ethernet-1/2", true),
            ("ethernet-1/*", "lag1", false),
            ("a*b", "ab", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
