//! Values as the CLI spells them.

use crate::datastore::EntryKey;
use crate::path::bare;
use crate::schema::{LeafType, NodeId, Schema};

/// Returns the key values of an entry as the CLI shows them.
pub(super) fn texts(schema: &Schema, list: NodeId, key: &EntryKey) -> Vec<String> {
    let values = schema.keys(list).iter().zip(key.values());
    values.map(|(leaf, value)| spelled(schema, *leaf, value.text()).to_owned()).collect()
}

/// Returns a value as the CLI shows it: identities without their module.
pub(super) fn spelled<'a>(schema: &Schema, leaf: NodeId, value: &'a str) -> &'a str {
    match schema.leaf(leaf).map(|info| info.kind.of_value(value)) {
        Some(LeafType::Identity) => bare(value),
        _ => value,
    }
}
