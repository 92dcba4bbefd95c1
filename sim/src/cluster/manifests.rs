//! Parses manifests: YAML documents, which may contain lists of objects.

use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use super::json::text;

/// Returns the objects of a manifest, in order.
pub(crate) fn parse(manifests: &str) -> Result<Vec<Value>, ApiError> {
    let mut objects = Vec::new();
    for document in serde_norway::Deserializer::from_str(manifests) {
        let document = Value::deserialize(document).map_err(ApiError::Manifest)?;
        flatten(document, &mut objects);
    }
    Ok(objects)
}

fn flatten(document: Value, objects: &mut Vec<Value>) {
    if document.is_null() {
        return;
    }
    match document.get("items").and_then(Value::as_array) {
        Some(items) if text(&document, "/kind").ends_with("List") => {
            items.iter().for_each(|item| flatten(item.clone(), objects));
        }
        _ => objects.push(document),
    }
}
