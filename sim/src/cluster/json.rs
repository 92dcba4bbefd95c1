//! Reading and writing members of JSON objects whose shape nobody has checked.

use serde_json::{Map, Value};

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The array at a JSON pointer; empty where there is none.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The object at a JSON pointer.
pub(crate) fn object<'a>(value: &'a Value, pointer: &str) -> Option<&'a Map<String, Value>> {
    value.pointer(pointer).and_then(Value::as_object)
}

/// The number at a JSON pointer.
pub(crate) fn int(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The truth at a JSON pointer; false where there is none.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The member at a path, made with its parents where it is not there; what is in the way and no object is replaced.
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

/// Writes the member at a path.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    *entry(value, path) = new.into();
}

/// Writes the member at a path unless it is there already.
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

/// A label or annotation.
pub(crate) fn annotation<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// A label.
pub(crate) fn label<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.pointer("/metadata/labels")?.get(name)?.as_str()
}

/// `status` of the condition of that type.
pub(crate) fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a str> {
    items(value, "/status/conditions").iter().find(|condition| condition["type"] == kind)?.get("status")?.as_str()
}

/// Writes the condition of that type; `lastTransitionTime` moves only when the status does.
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
