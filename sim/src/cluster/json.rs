//! Reads and writes members of JSON objects whose shape has not been checked.

use serde_json::{Map, Value};

/// Returns the text at a JSON pointer, or an empty text.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the array at a JSON pointer, or an empty array.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns the object at a JSON pointer.
pub(crate) fn object<'a>(value: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    value.pointer(pointer).and_then(Value::as_object)
}

/// Returns the number at a JSON pointer.
pub(crate) fn int(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// Returns the Boolean at a JSON pointer, or false if there is none.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// Returns the member at a path. Creates it and its parents if missing, and replaces parents that are not objects.
pub(crate) fn entry<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut at = value;
    for step in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*step];
    }
    at
}

/// Sets the member at a path.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    *entry(value, path) = new.into();
}

/// Sets the member at a path unless it has a value.
pub(crate) fn default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let member = entry(value, path);
    if member.is_null() {
        *member = new.into();
    }
}

/// Removes a member of the object at a JSON pointer.
pub(crate) fn remove(value: &mut Value, pointer: &str, member: &str) {
    if let Some(parent) = value.pointer_mut(pointer).and_then(Value::as_object_mut) {
        parent.remove(member);
    }
}

/// Returns an annotation.
pub(crate) fn annotation<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// Returns a label.
pub(crate) fn label<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.pointer("/metadata/labels")?.get(name)?.as_str()
}

/// Returns the `status` of the condition of this type.
pub(crate) fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a str> {
    items(value, "/status/conditions").iter().find(|condition| condition["type"] == kind)?.get("status")?.as_str()
}

/// Sets the condition of this type. `lastTransitionTime` changes only with the status.
pub(crate) fn set_condition(value: &mut Value, kind: &str, up: bool, reason: Option<&str>, now: &str) {
    let status = if up { "True" } else { "False" };
    let conditions = entry(value, &["status", "conditions"]);
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    let list = conditions.as_array_mut().expect("made an array above");
    let at = list.iter().position(|condition| condition["type"] == kind).unwrap_or_else(|| {
        list.push(serde_json::json!({"type": kind}));
        list.len() - 1
    });
    let condition = &mut list[at];
    if condition["status"] != status {
        condition["status"] = status.into();
        condition["lastTransitionTime"] = now.into();
    }
    match reason {
        Some(reason) => condition["reason"] = reason.into(),
        None => remove(condition, "", "reason"),
    }
}
