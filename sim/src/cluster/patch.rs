//! Applies the patch formats that clients send: JSON merge, strategic merge, JSON patch, and apply (as a merge).

use serde_json::{Map, Value};

use super::error::ApiError;

/// A patch format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 7386.
    Merge,
    /// Strategic merge: lists of the built-in kinds are merged by key.
    Strategic,
    /// RFC 6902.
    Json,
    /// Server-side apply, treated as a strategic merge without ownership.
    Apply,
}

/// Returns the object with the patch applied. Lists of custom resources are replaced as a whole.
pub(crate) fn apply(format: Format, custom: bool, object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let mut result = object.clone();
    match format {
        Format::Merge => json_patch::merge(&mut result, patch),
        Format::Strategic if custom => {
            return Err(ApiError::UnsupportedMediaType("application/json-patch+json,application/merge-patch+json"));
        }
        Format::Apply if custom => json_patch::merge(&mut result, patch),
        Format::Strategic | Format::Apply => merge(&mut result, patch)?,
        Format::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|error| ApiError::BadRequest(format!("the patch is not a JSON patch: {error}")))?;
            json_patch::patch(&mut result, &operations).map_err(|error| ApiError::Invalid {
                kind: super::json::text(object, "/kind").to_owned(),
                name: super::json::text(object, "/metadata/name").to_owned(),
                cause: format!("patch: {error}"),
            })?;
        }
    }
    Ok(result)
}

/// Returns the member that identifies an entry of a list, or `None` if the list is replaced as a whole.
fn merge_key(list: &str, sample: &Value) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            Some("name")
        }
        "ports" if sample.get("containerPort").is_some() => Some("containerPort"),
        "ports" if sample.get("port").is_some() || sample.get("$patch").is_some() => Some("port"),
        "conditions" | "addresses" => Some("type"),
        "volumeMounts" => Some("mountPath"),
        "ownerReferences" => Some("uid"),
        "hostAliases" | "podIPs" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => None,
    }
}

/// Returns whether a list of plain values is merged as a set.
fn is_set(list: &str) -> bool {
    matches!(list, "finalizers" | "podCIDRs")
}

fn bad(text: &str) -> ApiError {
    ApiError::BadRequest(format!("the strategic merge patch is invalid: {text}"))
}

fn merge(target: &mut Value, patch: &Value) -> Result<(), ApiError> {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return Ok(());
    };
    if patch.get("$patch").is_some_and(|directive| directive == "replace") {
        let kept = patch.iter().filter(|(member, _)| !member.starts_with('$'));
        *target = Value::Object(kept.map(|(member, value)| (member.clone(), value.clone())).collect());
        return Ok(());
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let members = target.as_object_mut().expect("made an object above");
    if let Some(retained) = patch.get("$retainKeys").and_then(Value::as_array) {
        members.retain(|member, _| retained.iter().any(|kept| kept == member));
    }
    for (member, change) in patch {
        if let Some(list) = member.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().ok_or_else(|| bad("a list of values to delete is not a list"))?;
            if let Some(list) = members.get_mut(list).and_then(Value::as_array_mut) {
                list.retain(|value| !gone.contains(value));
            }
        } else if member.starts_with('$') {
            continue;
        } else if change.is_null() || change.get("$patch").is_some_and(|directive| directive == "delete") {
            members.remove(member);
        } else {
            let old = members.entry(member.clone()).or_insert(Value::Null);
            match change.as_array() {
                Some(list) => merge_list(old, list, member)?,
                None => merge(old, change)?,
            }
        }
    }
    for (member, order) in patch.iter().filter_map(|(m, o)| Some((m.strip_prefix("$setElementOrder/")?, o))) {
        if let (Some(list), Some(order)) = (members.get_mut(member).and_then(Value::as_array_mut), order.as_array()) {
            sort(list, order, member);
        }
    }
    Ok(())
}

fn merge_list(target: &mut Value, patch: &[Value], name: &str) -> Result<(), ApiError> {
    let sample = patch.first().unwrap_or(&Value::Null);
    let key = merge_key(name, sample);
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let list = target.as_array_mut().expect("made an array above");
    if is_set(name) {
        for value in patch.iter().filter(|value| value.is_string()) {
            if !list.contains(value) {
                list.push(value.clone());
            }
        }
        return Ok(());
    }
    let replaced = patch.iter().any(|item| item.get("$patch").is_some_and(|directive| directive == "replace"));
    let Some(key) = key.filter(|_| !replaced) else {
        *list = patch.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
        return Ok(());
    };
    for item in patch {
        let id = item.get(key).ok_or_else(|| bad(&format!("an entry of {name} has no {key}")))?;
        let at = list.iter().position(|old| old.get(key) == Some(id));
        let delete = item.get("$patch").is_some_and(|directive| directive == "delete");
        match at {
            Some(at) if delete => drop(list.remove(at)),
            None if delete => {}
            Some(at) => merge(&mut list[at], item)?,
            None => {
                let mut new = Value::Null;
                merge(&mut new, item)?;
                list.push(new);
            }
        }
    }
    Ok(())
}

fn sort(list: &mut [Value], order: &[Value], name: &str) {
    let sample = list.first().cloned().unwrap_or_default();
    let key = merge_key(name, &sample);
    let rank = |value: &Value| {
        let same = |wanted: &Value| match key {
            Some(key) => wanted.get(key) == value.get(key),
            None => wanted == value,
        };
        order.iter().position(same).unwrap_or(usize::MAX)
    };
    list.sort_by_key(rank);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strategic(object: Value, patch: Value) -> Value {
        apply(Format::Strategic, false, &object, &patch).expect("a valid patch")
    }

    #[test]
    fn lists_with_a_key_merge_by_it_and_entries_can_be_deleted() {
        let object = json!({"spec": {"ports": [{"name": "http", "port": 80, "nodePort": 30608}, {"port": 443}]}});
        let patch = json!({"spec": {
            "$setElementOrder/ports": [{"port": 8080}, {"port": 80}],
            "ports": [{"port": 8080}, {"port": 80, "name": "web"}, {"$patch": "delete", "port": 443}],
        }});
        let expected = json!({"spec": {"ports": [{"port": 8080}, {"name": "web", "port": 80, "nodePort": 30608}]}});
        assert_eq!(strategic(object, patch), expected);
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_null_members_removed() {
        let object = json!({"spec": {"externalIPs": ["1.1.1.1"], "unschedulable": true}});
        let patch = json!({"spec": {"externalIPs": ["2.2.2.2"], "unschedulable": null}});
        assert_eq!(strategic(object, patch), json!({"spec": {"externalIPs": ["2.2.2.2"]}}));
    }

    #[test]
    fn conditions_are_merged_by_type() {
        let object = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "x"}]}});
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        let expected = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}});
        assert_eq!(strategic(object, patch), expected);
    }

    #[test]
    fn finalizers_are_merged_as_a_set() {
        let object = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}});
        assert_eq!(strategic(object, patch), json!({"metadata": {"finalizers": ["b", "c"]}}));
    }

    #[test]
    fn a_strategic_merge_of_a_custom_resource_is_refused() {
        let refused = apply(Format::Strategic, true, &json!({}), &json!({})).expect_err("refused");
        assert_eq!(refused.code(), 415);
    }

    #[test]
    fn a_json_patch_whose_test_fails_changes_nothing() {
        let patch = json!([{"op": "test", "path": "/a", "value": 2}, {"op": "remove", "path": "/a"}]);
        assert_eq!(apply(Format::Json, true, &json!({"a": 1}), &patch).expect_err("refused").code(), 422);
    }
}
