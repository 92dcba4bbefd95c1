//! As much OpenAPI v3 as kubectl needs to leave validation to the server: which kinds can be patched with which
//! parameters. There are no schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::resource::Resource;
use super::super::state::State;

/// Returns the path of a group and version, such as `apis/apps/v1`.
pub(crate) fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn documents(state: &State) -> BTreeMap<String, Vec<(&Resource, &str)>> {
    let mut documents: BTreeMap<String, Vec<(&Resource, &str)>> = BTreeMap::new();
    for (_, resource) in state.registry.iter() {
        for version in &resource.versions {
            documents.entry(path_of(&resource.group, version)).or_default().push((resource, version));
        }
    }
    documents
}

/// `/openapi/v3`
pub(crate) fn index(state: &State) -> Value {
    let entry = |path: String| {
        let url = format!("/openapi/v3/{path}?hash={:X}", super::super::state::hash(&path));
        (path, json!({"serverRelativeURL": url}))
    };
    json!({"paths": documents(state).into_keys().map(entry).collect::<Map<_, _>>()})
}

/// Returns the document of one group and version.
pub(crate) fn document(state: &State, path: &str) -> Result<Value, ApiError> {
    let documents = documents(state);
    let resources = documents.get(path).ok_or(ApiError::UnknownPath)?;
    let paths: Map<String, Value> =
        resources.iter().map(|(resource, version)| operation(path, resource, version)).collect();
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": state.options.kubernetes_version},
        "paths": paths, "components": {"schemas": {}},
    }))
}

fn operation(path: &str, resource: &Resource, version: &str) -> (String, Value) {
    let place = if resource.namespaced { "namespaces/{namespace}/" } else { "" };
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let patch = json!({
        "parameters": [parameter("dryRun"), parameter("fieldValidation")],
        "responses": {},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": &*resource.group, "version": version, "kind": &*resource.kind},
    });
    (format!("/{path}/{place}{}/{{name}}", resource.plural), json!({"patch": patch}))
}
