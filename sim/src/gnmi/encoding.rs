//! Encodes data as updates: objects for containers and entries in JSON, single leaves in PROTO and ASCII.

use serde_json::{Map, Value};
use srl_proto::gnmi as pb;
use tonic::Status;

use crate::datastore::{JsonStyle, KeyValue, LeafValue, Node, Place, encode, leaf_json, member_name};
use crate::path::{Path, Step, bare};
use crate::schema::{Kind, LeafType, NodeId, Schema};

/// Encoding of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// JSON_IETF
    Ietf,
    /// JSON
    Json,
    /// PROTO
    Proto,
    /// ASCII
    Ascii,
}

impl Encoding {
    pub(super) fn of_request(number: i32, plain_json: bool) -> Result<Self, Status> {
        match pb::Encoding::try_from(number) {
            Ok(pb::Encoding::JsonIetf) => Ok(Self::Ietf),
            Ok(pb::Encoding::Json) if plain_json => Ok(Self::Json),
            Ok(pb::Encoding::Proto) => Ok(Self::Proto),
            Ok(pb::Encoding::Ascii) => Ok(Self::Ascii),
            Ok(other) => Err(Status::unimplemented(format!("Encoding '{}' is not supported", other.as_str_name()))),
            Err(_) => Err(Status::unimplemented(format!("Encoding {number} is not supported"))),
        }
    }

    /// Returns whether values are objects instead of leaves.
    pub(super) fn is_json(self) -> bool {
        matches!(self, Self::Ietf | Self::Json)
    }

    fn style(self) -> JsonStyle {
        if self == Self::Ietf { JsonStyle::Ietf } else { JsonStyle::Plain }
    }

    fn json(self, value: &Value) -> pb::TypedValue {
        let text = value.to_string().into();
        let value = match self {
            Self::Json => pb::typed_value::Value::JsonVal(text),
            _ => pb::typed_value::Value::JsonIetfVal(text),
        };
        pb::TypedValue { value: Some(value) }
    }

    /// Returns a path in the form of this encoding.
    pub(super) fn path(self, schema: &Schema, places: &[Place], leaf: Option<NodeId>) -> pb::Path {
        if self != Self::Ietf {
            return schema.bare_path_at(places, leaf).to_gnmi();
        }
        let plain = schema.path_at(places, leaf);
        let nodes = places.iter().map(|place| place.node).chain(leaf);
        let mut parent = NodeId::ROOT;
        let steps = nodes.zip(plain.steps()).map(|(node, step)| {
            let name = member_name(schema, parent, node, JsonStyle::Ietf);
            parent = node;
            Step { name, keys: step.keys.clone() }
        });
        Path::from_steps(steps.collect()).to_gnmi()
    }

    /// Encodes a container or entry with everything in it as one value. For JSON only.
    pub(super) fn subtree(self, schema: &Schema, places: &[Place], node: &Node) -> pb::Update {
        let id = places.last().map_or(NodeId::ROOT, |place| place.node);
        let value = Value::Object(encode(schema, id, node, self.style()));
        self.update(self.path(schema, places, None), self.json(&value))
    }

    /// Encodes one leaf at its own path.
    pub(super) fn leaf(self, schema: &Schema, places: &[Place], leaf: NodeId, value: &LeafValue) -> pb::Update {
        let typed = match self {
            Self::Ietf | Self::Json => self.json(&leaf_json(schema, leaf, value, self.style())),
            Self::Proto => typed_value(schema, leaf, value),
            Self::Ascii => ascii_value(schema, leaf, value),
        };
        self.update(self.path(schema, places, Some(leaf)), typed)
    }

    /// Encodes leaves of one container or entry: as an object in JSON, one by one otherwise.
    pub(super) fn leaves<'a>(
        self,
        schema: &Schema,
        places: &[Place],
        leaves: impl IntoIterator<Item = (NodeId, &'a LeafValue)>,
    ) -> Vec<pb::Update> {
        if !self.is_json() {
            return leaves.into_iter().map(|(leaf, value)| self.leaf(schema, places, leaf, value)).collect();
        }
        let parent = places.last().map_or(NodeId::ROOT, |place| place.node);
        let members: Map<_, _> = leaves
            .into_iter()
            .map(|(leaf, value)| {
                (member_name(schema, parent, leaf, self.style()), leaf_json(schema, leaf, value, self.style()))
            })
            .collect();
        vec![self.update(self.path(schema, places, None), self.json(&Value::Object(members)))]
    }

    /// Encodes a container or entry and those below it, each with the leaves that are wanted.
    pub(super) fn spread(
        self,
        schema: &Schema,
        places: &mut Vec<Place>,
        node: &Node,
        wanted: &impl Fn(NodeId) -> bool,
        updates: &mut Vec<pb::Update>,
    ) {
        let leaves: Vec<_> = node.leaves.iter().filter(|(leaf, _)| wanted(**leaf)).map(|(id, it)| (*id, it)).collect();
        if !leaves.is_empty() || (self.is_json() && stands_alone(schema, places) && node.leaves.is_empty()) {
            updates.extend(self.leaves(schema, places, leaves));
        }
        for (place, child) in node.below() {
            places.push(place);
            self.spread(schema, places, child, wanted, updates);
            places.pop();
        }
    }

    fn update(self, path: pb::Path, val: pb::TypedValue) -> pb::Update {
        pb::Update { path: Some(path), val: Some(val), ..pb::Update::default() }
    }
}

/// Returns whether a place has a meaning without leaves, as entries and containers with presence have.
pub(super) fn stands_alone(schema: &Schema, places: &[Place]) -> bool {
    let kind = places.last().map(|place| &schema.node(place.node).kind);
    matches!(kind, Some(Kind::List { .. } | Kind::Container { presence: true }))
}

/// Returns the value of a leaf in a node. The value of a key leaf comes from the key.
pub(super) fn leaf_of(schema: &Schema, places: &[Place], node: &Node, leaf: NodeId) -> Option<LeafValue> {
    if let Some(value) = node.leaves.get(&leaf) {
        return Some(value.clone());
    }
    let last = places.last()?;
    let at = schema.keys(last.node).iter().position(|key| *key == leaf)?;
    last.key.as_ref()?.values().get(at).map(KeyValue::text).cloned().map(LeafValue::One)
}

fn typed_value(schema: &Schema, leaf: NodeId, value: &LeafValue) -> pb::TypedValue {
    let kind = schema.leaf(leaf).map_or(&LeafType::Text, |info| &info.kind);
    match value {
        LeafValue::One(text) => scalar(kind, text),
        LeafValue::Many(texts) => {
            let element = texts.iter().map(|text| scalar(kind, text)).collect();
            pb::TypedValue { value: Some(pb::typed_value::Value::LeaflistVal(pb::ScalarArray { element })) }
        }
    }
}

fn scalar(kind: &LeafType, text: &str) -> pb::TypedValue {
    use pb::typed_value::Value as Typed;
    let string = || Typed::StringVal(text.to_owned());
    let value = match kind.of_value(text) {
        LeafType::Boolean => Typed::BoolVal(text == "true"),
        LeafType::Empty => Typed::BoolVal(true),
        LeafType::Signed(_) => text.parse().map_or_else(|_| string(), Typed::IntVal),
        LeafType::Unsigned(_) => text.parse().map_or_else(|_| string(), Typed::UintVal),
        LeafType::Decimal => text.parse().map_or_else(|_| string(), Typed::DoubleVal),
        LeafType::Identity => Typed::StringVal(bare(text).to_owned()),
        _ => string(),
    };
    pb::TypedValue { value: Some(value) }
}

fn ascii_value(schema: &Schema, leaf: NodeId, value: &LeafValue) -> pb::TypedValue {
    let identity = schema.leaf(leaf).is_some_and(|info| info.kind == LeafType::Identity);
    let text = |it: &str| if identity { bare(it).to_owned() } else { it.to_owned() };
    let text = match value {
        LeafValue::One(one) => text(one),
        LeafValue::Many(many) => format!("[ {} ]", many.iter().map(|it| text(it)).collect::<Vec<_>>().join(" ")),
    };
    pb::TypedValue { value: Some(pb::typed_value::Value::AsciiVal(text)) }
}
