//! Converts delivery nodes to notifications: paths, JSON, and the changes from one configuration to another.

use serde_json::{Map, Value, json};
use srl_proto::ndk as pb;

use super::{ConfigFormat, Spelling};
use crate::datastore::{Delivery, Node, delivery};
use crate::schema::{Kind, LeafType, NodeId, Schema};

/// How configuration is delivered to an application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) modules: &'a [String],
    pub(crate) defaults: bool,
    pub(crate) format: ConfigFormat,
    pub(crate) spelling: Spelling,
}

impl Manner<'_> {
    /// Returns the delivery nodes of a configuration, parents first.
    pub(crate) fn nodes(&self, config: &Node) -> Vec<Delivery> {
        delivery(self.schema, config, self.modules, self.defaults)
    }

    /// Returns the notifications of the changes from one configuration to another.
    pub(crate) fn changes(&self, old: &[Delivery], new: &[Delivery]) -> Vec<pb::ConfigNotification> {
        let told = new.iter().filter_map(|node| match old.iter().find(|before| before.places == node.places) {
            Some(before) if before.json == node.json => None,
            Some(_) => Some(self.told(pb::SdkMgrOperation::Update, node)),
            None => Some(self.told(pb::SdkMgrOperation::Create, node)),
        });
        told.chain(self.gone(old, new)).collect()
    }

    /// Returns the notifications of a whole configuration, and of the deletions it requires.
    pub(crate) fn whole(&self, old: &[Delivery], new: &[Delivery]) -> Vec<pb::ConfigNotification> {
        let op = |node: &Delivery| match old.iter().any(|before| before.places == node.places) {
            true => pb::SdkMgrOperation::Update,
            false => pb::SdkMgrOperation::Create,
        };
        new.iter().map(|node| self.told(op(node), node)).chain(self.gone(old, new)).collect()
    }

    /// Returns the deletions, children first. A container without presence is not deleted but delivered as empty.
    fn gone(&self, old: &[Delivery], new: &[Delivery]) -> Vec<pb::ConfigNotification> {
        let missing = old.iter().rev().filter(|node| !new.iter().any(|after| after.places == node.places));
        let told = missing.map(|node| match node.deletable {
            true => self.told(pb::SdkMgrOperation::Delete, node),
            false => self.told(pb::SdkMgrOperation::Update, &Delivery { json: Map::new(), ..node.clone() }),
        });
        told.collect()
    }

    fn told(&self, op: pb::SdkMgrOperation, node: &Delivery) -> pb::ConfigNotification {
        let data = match self.format {
            ConfigFormat::Json => pb::config_data::DataType::Json(json_of(node)),
            ConfigFormat::ProtoJson => pb::config_data::DataType::Json(self.proto_json(node)),
            ConfigFormat::BinaryTlvs => pb::config_data::DataType::Data(bytes::Bytes::new()),
        };
        let underscores = self.format != ConfigFormat::Json || self.spelling == Spelling::Underscore;
        let keys = node.path.steps().iter().flat_map(|step| step.keys.iter().map(|(_, value)| value.clone()));
        let key = pb::ConfigKey {
            js_path: node.path.to_js_schema(underscores),
            keys: keys.collect(),
            js_path_with_keys: node.path.to_js(underscores),
        };
        pb::ConfigNotification { op: op as i32, key: Some(key), data: Some(pb::ConfigData { data_type: Some(data) }) }
    }

    /// Returns the JSON of protobuf: underscores, wrapped scalars, prefixed enumerations, and an entry wrapped by the
    /// name of its list.
    fn proto_json(&self, node: &Delivery) -> String {
        let Some(id) = node.places.last().map(|place| place.node) else { return String::new() };
        let inner = self.proto_members(id, &node.json);
        match self.schema.node(id).kind {
            Kind::List { .. } => json!({ underscored(&self.schema.node(id).name): inner }).to_string(),
            _ => inner.to_string(),
        }
    }

    fn proto_members(&self, parent: NodeId, members: &Map<String, Value>) -> Value {
        let told = members.iter().filter_map(|(name, value)| {
            let id = self.schema.child(parent, name)?;
            let value = match (value, self.schema.leaf(id)) {
                (Value::Object(members), None) => self.proto_members(id, members),
                (Value::Array(values), Some(leaf)) => {
                    values.iter().map(|value| proto_scalar(name, &leaf.kind, value)).collect()
                }
                (value, Some(leaf)) => proto_scalar(name, &leaf.kind, value),
                _ => return None,
            };
            Some((underscored(name), value))
        });
        Value::Object(told.collect())
    }
}

fn proto_scalar(name: &str, kind: &LeafType, value: &Value) -> Value {
    match (kind, value) {
        (LeafType::Enumeration(_), Value::String(text)) => {
            format!("{}_{text}", underscored(name).to_ascii_uppercase()).into()
        }
        (_, value) => json!({ "value": value }),
    }
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns plain JSON. An entry with no leaves besides its keys has empty data; a container is at least an empty
/// object.
fn json_of(node: &Delivery) -> String {
    let entry = node.places.last().is_some_and(|place| place.key.is_some());
    if node.json.is_empty() && entry { String::new() } else { Value::Object(node.json.clone()).to_string() }
}

/// Returns the notification that ends a commit.
pub(crate) fn end_of_commit(sequence: u64) -> pb::ConfigNotification {
    const PATH: &str = ".commit.end";
    let json = json!({ "commit_seq": sequence }).to_string();
    pb::ConfigNotification {
        op: pb::SdkMgrOperation::Update as i32,
        key: Some(pb::ConfigKey { js_path: PATH.to_owned(), keys: Vec::new(), js_path_with_keys: PATH.to_owned() }),
        data: Some(pb::ConfigData { data_type: Some(pb::config_data::DataType::Json(json)) }),
    }
}
