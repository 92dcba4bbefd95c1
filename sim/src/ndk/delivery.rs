//! From a configuration tree to what an application is told: delivery nodes, their paths and their JSON.
//!
//! Delivery nodes are the roots of an application's modules, the containers right below a root, and every list entry.
//! What else there is comes nested in the JSON of the node it is in.

use serde_json::{Map, Value, json};
use srl_k8s_services::proto::ndk as pb;

use super::jspath::{Step, quoted};
use super::shape::{Kind, Scalar, Shape};
use super::{ConfigFormat, Spelling};

/// One delivery node of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// From the root of the tree, names as in YANG.
    pub(crate) path: Vec<Step>,
    /// Leaves and what is nested, names as in YANG, without the keys of the entry itself.
    pub(crate) value: Map<String, Value>,
    /// Told as DELETE when it goes; other containers are told as empty.
    removable: bool,
}

/// Every delivery node of the modules an application owns, parents first.
pub(crate) fn nodes(root: &Shape, modules: &[String], defaults: bool, config: &Value) -> Vec<Node> {
    let mut search = Search { modules, defaults, found: Vec::new() };
    if let Value::Object(members) = config {
        search.below_others(root, members, &[]);
    }
    search.found
}

struct Search<'a> {
    modules: &'a [String],
    defaults: bool,
    found: Vec<Node>,
}

/// The instances of a container or list, each with its step.
fn instances<'a>(shape: &Shape, value: &'a Value) -> Vec<(Step, &'a Map<String, Value>)> {
    match (&shape.kind, value) {
        (Kind::Container { .. }, Value::Object(members)) => {
            vec![(Step { name: shape.name.clone(), keys: Vec::new() }, members)]
        }
        (Kind::List { keys }, Value::Array(entries)) => entries
            .iter()
            .filter_map(Value::as_object)
            .map(|members| {
                let value = |key: &String| members.get(key).map(text_of).unwrap_or_default();
                let keys = keys.iter().map(|key| (key.clone(), value(key))).collect();
                (Step { name: shape.name.clone(), keys }, members)
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Search<'_> {
    /// Looks for the roots of the application's modules, below its own tree or other modules' trees.
    fn below_others(&mut self, shape: &Shape, members: &Map<String, Value>, path: &[Step]) {
        for (name, value) in members {
            let Some(child) = shape.child(name) else { continue };
            let owned = self.modules.contains(&child.module);
            for (step, members) in instances(child, value) {
                let path = [path, &[step]].concat();
                match owned {
                    true => self.deliver(child, members, &path, true),
                    false => self.below_others(child, members, &path),
                }
            }
        }
    }

    fn deliver(&mut self, shape: &Shape, members: &Map<String, Value>, path: &[Step], is_root: bool) {
        let removable = matches!(shape.kind, Kind::List { .. } | Kind::Container { presence: true });
        let mut value = nested(shape, members, is_root, self.defaults);
        if let Kind::List { keys } = &shape.kind {
            keys.iter().for_each(|key| drop(value.remove(key)));
        }
        self.found.push(Node { path: path.to_vec(), value, removable });
        self.below(shape, members, path, is_root);
    }

    /// Delivery nodes below one, through containers that are none themselves.
    fn below(&mut self, shape: &Shape, members: &Map<String, Value>, path: &[Step], is_root: bool) {
        for (name, value) in members {
            let Some(child) = shape.child(name) else { continue };
            let own = is_root || matches!(child.kind, Kind::List { .. });
            for (step, members) in instances(child, value) {
                let path = [path, &[step]].concat();
                match own {
                    true => self.deliver(child, members, &path, false),
                    false => self.below(child, members, &path, false),
                }
            }
        }
    }
}

/// The JSON of one delivery node: without lists, and right below a root without containers. Leaves that are not set have
/// their defaults, where those are wanted.
fn nested(shape: &Shape, members: &Map<String, Value>, is_root: bool, defaults: bool) -> Map<String, Value> {
    let empty = Map::new();
    let mut own = Map::new();
    for child in &shape.children {
        match (&child.kind, members.get(&child.name)) {
            (Kind::Container { presence }, value) if !is_root => {
                let set = value.and_then(Value::as_object);
                if set.is_none() && *presence {
                    continue;
                }
                let inner = nested(child, set.unwrap_or(&empty), false, defaults);
                if !inner.is_empty() || *presence {
                    own.insert(child.name.clone(), Value::Object(inner));
                }
            }
            (Kind::Leaf(_) | Kind::LeafList(_), Some(value)) => {
                own.insert(child.name.clone(), value.clone());
            }
            (Kind::Leaf(_) | Kind::LeafList(_), None) if defaults => {
                own.extend(child.default.clone().map(|default| (child.name.clone(), default)));
            }
            _ => {}
        }
    }
    own
}

/// How an application is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) format: ConfigFormat,
    pub(crate) spelling: Spelling,
}

/// The notifications that lead from one configuration to another.
pub(crate) fn changes(root: &Shape, manner: Manner, old: &[Node], new: &[Node]) -> Vec<pb::ConfigNotification> {
    let mut told = Vec::new();
    for node in new {
        match old.iter().find(|before| before.path == node.path) {
            Some(before) if before.value == node.value => {}
            Some(_) => told.push(manner.told(root, pb::SdkMgrOperation::Update, node)),
            None => told.push(manner.told(root, pb::SdkMgrOperation::Create, node)),
        }
    }
    told.extend(gone(root, manner, old, new));
    told
}

/// The notifications of a whole configuration, and of what must go on the way to it.
pub(crate) fn whole(root: &Shape, manner: Manner, old: &[Node], new: &[Node]) -> Vec<pb::ConfigNotification> {
    let op = |node: &Node| match old.iter().any(|before| before.path == node.path) {
        true => pb::SdkMgrOperation::Update,
        false => pb::SdkMgrOperation::Create,
    };
    let mut told: Vec<_> = new.iter().map(|node| manner.told(root, op(node), node)).collect();
    told.extend(gone(root, manner, old, new));
    told
}

/// Children first.
fn gone(root: &Shape, manner: Manner, old: &[Node], new: &[Node]) -> Vec<pb::ConfigNotification> {
    let missing = old.iter().rev().filter(|node| !new.iter().any(|after| after.path == node.path));
    missing
        .map(|node| match node.removable {
            true => manner.told(root, pb::SdkMgrOperation::Delete, node),
            false => {
                let empty = Node { value: Map::new(), ..node.clone() };
                manner.told(root, pb::SdkMgrOperation::Update, &empty)
            }
        })
        .collect()
}

impl Manner {
    fn told(self, root: &Shape, op: pb::SdkMgrOperation, node: &Node) -> pb::ConfigNotification {
        let data = match self.format {
            ConfigFormat::Json => pb::config_data::DataType::Json(self.json(node)),
            ConfigFormat::ProtoJson => pb::config_data::DataType::Json(proto_json(root, node)),
            ConfigFormat::BinaryTlvs => pb::config_data::DataType::Data(bytes::Bytes::new()),
        };
        pb::ConfigNotification {
            op: op as i32,
            key: Some(self.key(node)),
            data: Some(pb::ConfigData { data_type: Some(data) }),
        }
    }

    /// A list entry without leaves of its own has empty data; a container is an empty object at least.
    fn json(self, node: &Node) -> String {
        let entry = node.path.last().is_some_and(|step| !step.keys.is_empty());
        if node.value.is_empty() && entry { String::new() } else { Value::Object(node.value.clone()).to_string() }
    }

    fn key(self, node: &Node) -> pb::ConfigKey {
        let (mut js_path, mut js_path_with_keys) = (String::new(), String::new());
        for step in &node.path {
            let name = format!(".{}", self.spell(&step.name));
            js_path.push_str(&name);
            js_path_with_keys.push_str(&name);
            let predicates: Vec<String> =
                step.keys.iter().map(|(key, value)| format!(".{}=={}", self.spell(key), quoted(value))).collect();
            if !predicates.is_empty() {
                js_path_with_keys.push_str(&format!("{{{}}}", predicates.join("&&")));
            }
        }
        let keys = node.path.iter().flat_map(|step| step.keys.iter().map(|(_, value)| value.clone())).collect();
        pb::ConfigKey { js_path, keys, js_path_with_keys }
    }

    fn spell(self, name: &str) -> String {
        match (self.format, self.spelling) {
            (ConfigFormat::Json, Spelling::Hyphen) => name.to_owned(),
            _ => name.replace('-', "_"),
        }
    }
}

/// The notification that ends a commit.
pub(crate) fn end_of_commit(sequence: u64) -> pb::ConfigNotification {
    const PATH: &str = ".commit.end";
    let json = json!({ "commit_seq": sequence }).to_string();
    pb::ConfigNotification {
        op: pb::SdkMgrOperation::Update as i32,
        key: Some(pb::ConfigKey { js_path: PATH.to_owned(), keys: Vec::new(), js_path_with_keys: PATH.to_owned() }),
        data: Some(pb::ConfigData { data_type: Some(pb::config_data::DataType::Json(json)) }),
    }
}

/// Protobuf's JSON: underscores, every scalar wrapped, enumerations prefixed, an entry wrapped once by its list's name.
fn proto_json(root: &Shape, node: &Node) -> String {
    let Ok((shape, _)) = root.resolve(&node.path) else { return String::new() };
    let inner = proto_members(shape, &node.value);
    match shape.kind {
        Kind::List { .. } => json!({ shape.name.replace('-', "_"): inner }).to_string(),
        _ => inner.to_string(),
    }
}

fn proto_members(shape: &Shape, members: &Map<String, Value>) -> Value {
    let mut told = Map::new();
    for (name, value) in members {
        let Some(child) = shape.child(name) else { continue };
        let value = match (&child.kind, value) {
            (Kind::Container { .. }, Value::Object(members)) => proto_members(child, members),
            (Kind::Leaf(scalar), value) => proto_scalar(child, *scalar, value),
            (Kind::LeafList(scalar), Value::Array(values)) => {
                values.iter().map(|value| proto_scalar(child, *scalar, value)).collect()
            }
            _ => continue,
        };
        told.insert(child.name.replace('-', "_"), value);
    }
    Value::Object(told)
}

fn proto_scalar(shape: &Shape, scalar: Scalar, value: &Value) -> Value {
    match (scalar, value) {
        (Scalar::Enumeration, Value::String(text)) => format!("{}{text}", shape.protobuf_prefix()).into(),
        (_, value) => json!({ "value": value }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::tests::sample;
    use super::*;
    use pb::SdkMgrOperation::{Create, Delete, Update};

    fn config() -> Value {
        json!({ "my-app": {
            "admin-state": "enable",
            "in-octets": "7",
            "tag-name": ["a"],
            "alarm-policy": { "raise-hold-time": 10 },
            "inter-face": [
                { "if-name": "e-1/1", "peer": [{ "address": "fe80::1", "up-time": "3" }] },
                { "if-name": "e-1/2", "mtu": 9000, "timers": { "hold-time": 3 } },
            ],
        }})
    }

    fn manner(format: ConfigFormat, spelling: Spelling) -> Manner {
        Manner { format, spelling }
    }

    fn told(notifications: &[pb::ConfigNotification]) -> Vec<(pb::SdkMgrOperation, String, String)> {
        let one = |it: &pb::ConfigNotification| {
            let json = match it.data.as_ref().and_then(|data| data.data_type.as_ref()) {
                Some(pb::config_data::DataType::Json(json)) => json.clone(),
                _ => String::new(),
            };
            (it.op(), it.key.clone().unwrap_or_default().js_path_with_keys, json)
        };
        notifications.iter().map(one).collect()
    }

    fn expect(expected: &[(pb::SdkMgrOperation, &str, &str)]) -> Vec<(pb::SdkMgrOperation, String, String)> {
        expected.iter().map(|(op, path, json)| (*op, (*path).to_owned(), (*json).to_owned())).collect()
    }

    #[test]
    fn root_its_containers_and_list_entries_are_delivered_and_the_rest_is_nested() {
        let root = sample();
        let new = nodes(&root, &["app".to_owned()], false, &config());
        let manner = manner(ConfigFormat::Json, Spelling::Underscore);
        let notifications = changes(&root, manner, &[], &new);
        assert_eq!(
            told(&notifications),
            expect(&[
                (Create, ".my_app", r#"{"admin-state":"enable","in-octets":"7","tag-name":["a"]}"#),
                (Create, ".my_app.alarm_policy", r#"{"raise-hold-time":10}"#),
                (Create, r#".my_app.inter_face{.if_name=="e-1/1"}"#, ""),
                (Create, r#".my_app.inter_face{.if_name=="e-1/1"}.peer{.address=="fe80::1"}"#, r#"{"up-time":"3"}"#),
                (Create, r#".my_app.inter_face{.if_name=="e-1/2"}"#, r#"{"mtu":9000,"timers":{"hold-time":3}}"#),
            ])
        );
        let key = notifications[3].key.clone().expect("a key");
        assert_eq!(key.js_path, ".my_app.inter_face.peer");
        assert_eq!(key.keys, ["e-1/1", "fe80::1"]);
    }

    #[test]
    fn paths_keep_hyphens_where_the_switch_says_so() {
        let root = sample();
        let new = nodes(&root, &["app".to_owned()], false, &config());
        let manner = manner(ConfigFormat::Json, Spelling::Hyphen);
        assert_eq!(told(&changes(&root, manner, &[], &new))[2].1, r#".my-app.inter-face{.if-name=="e-1/1"}"#);
    }

    #[test]
    fn proto_json_wraps_and_prefixes() {
        let root = sample();
        let new = nodes(&root, &["app".to_owned()], false, &config());
        let told = told(&changes(&root, manner(ConfigFormat::ProtoJson, Spelling::Hyphen), &[], &new));
        assert_eq!(told[0].1, ".my_app");
        assert_eq!(
            told[0].2,
            r#"{"admin_state":"ADMIN_STATE_enable","in_octets":{"value":"7"},"tag_name":[{"value":"a"}]}"#
        );
        assert_eq!(told[4].2, r#"{"inter_face":{"mtu":{"value":9000},"timers":{"hold_time":{"value":3}}}}"#);
    }

    #[test]
    fn only_what_changed_is_told_and_containers_are_emptied_instead_of_deleted() {
        let root = sample();
        let modules = ["app".to_owned()];
        let old = nodes(&root, &modules, false, &config());
        let mut later = config();
        later["my-app"]["inter-face"][0]["peer"][0]["up-time"] = "4".into();
        later["my-app"]["inter-face"].as_array_mut().expect("entries").remove(1);
        later["my-app"].as_object_mut().expect("members").remove("alarm-policy");
        let new = nodes(&root, &modules, false, &later);
        let manner = manner(ConfigFormat::Json, Spelling::Underscore);
        assert_eq!(
            told(&changes(&root, manner, &old, &new)),
            expect(&[
                (Update, r#".my_app.inter_face{.if_name=="e-1/1"}.peer{.address=="fe80::1"}"#, r#"{"up-time":"4"}"#),
                (Delete, r#".my_app.inter_face{.if_name=="e-1/2"}"#, r#"{"mtu":9000,"timers":{"hold-time":3}}"#),
                (Update, ".my_app.alarm_policy", "{}"),
            ])
        );
        assert!(changes(&root, manner, &new, &new).is_empty());
    }

    #[test]
    fn a_whole_configuration_tells_unchanged_nodes_too() {
        let root = sample();
        let modules = ["app".to_owned()];
        let kept = nodes(&root, &modules, false, &json!({ "my-app": { "admin-state": "disable" } }));
        let refused = nodes(&root, &modules, false, &config());
        let told = told(&whole(&root, manner(ConfigFormat::Json, Spelling::Underscore), &refused, &kept));
        assert_eq!(told[0], (Update, ".my_app".to_owned(), r#"{"admin-state":"disable"}"#.to_owned()));
        assert_eq!(told.iter().filter(|it| it.0 == Delete).count(), 3);
    }

    #[test]
    fn delivered_nodes_have_their_defaults_where_the_switch_says_so() {
        let root = sample();
        let config = json!({ "my-app": { "inter-face": [{ "if-name": "a" }] } });
        let manner = manner(ConfigFormat::Json, Spelling::Hyphen);
        let told = told(&changes(&root, manner, &[], &nodes(&root, &["app".to_owned()], true, &config)));
        assert_eq!(told[0].2, r#"{"admin-state":"enable"}"#);
        assert_eq!(told[1].2, r#"{"timers":{"hold-time":3}}"#);
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn other_modules_trees_are_searched_for_augments_and_not_delivered() {
        let root = sample();
        assert!(nodes(&root, &["other".to_owned()], false, &config()).is_empty());
    }
}
