//! The scale subresource of Deployments and ReplicaSets.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::json::{int, object, set};
use super::super::patch::{self, Format};
use super::super::state::Part;
use super::super::store::Key;
use super::answer::{self, Body};
use super::context::Context;

fn key(context: &Context) -> Key {
    Key::new(&context.target.namespace, context.target.name.as_deref().unwrap_or_default())
}

fn scale_of(workload: &Value) -> Value {
    let metadata = &workload["metadata"];
    let labels = object(workload, "/spec/selector/matchLabels").into_iter().flatten();
    let selector: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": int(workload, "/spec/replicas").unwrap_or_default()},
        "status": {
            "replicas": int(workload, "/status/replicas").unwrap_or_default(), "selector": selector.join(","),
        },
    })
}

pub(crate) fn get(context: &Context) -> Result<Response<Body>, ApiError> {
    let state = context.inner.lock();
    let workload = state.expect(context.id, &key(context))?;
    Ok(answer::json(StatusCode::OK, &scale_of(&workload.value)))
}

pub(crate) fn put(context: &Context, scale: &Value) -> Result<Response<Body>, ApiError> {
    write(context, |_| Ok(scale.clone()))
}

pub(crate) fn patch(context: &Context, format: Format, change: &Value) -> Result<Response<Body>, ApiError> {
    write(context, |current| patch::apply(format, false, current, change))
}

fn write(context: &Context, next: impl FnOnce(&Value) -> Result<Value, ApiError>) -> Result<Response<Body>, ApiError> {
    let key = key(context);
    let dry_run = context.query.get("dryRun") == "All";
    let stored = context.inner.write(|state| {
        let mut workload = (*state.expect(context.id, &key)?.value).clone();
        let scale = next(&scale_of(&workload))?;
        let replicas = int(&scale, "/spec/replicas").unwrap_or_default();
        if replicas < 0 {
            return Err(ApiError::Invalid {
                kind: "Scale".to_owned(),
                name: key.name.to_string(),
                cause: format!("spec.replicas: Invalid value: {replicas}: must be greater than or equal to 0"),
            });
        }
        if let Some(version) = scale.pointer("/metadata/resourceVersion").cloned() {
            set(&mut workload, &["metadata", "resourceVersion"], version);
        }
        set(&mut workload, &["spec", "replicas"], replicas);
        state.update(context.id, &key, workload, Part::Main, dry_run)
    })?;
    Ok(answer::json(StatusCode::OK, &scale_of(&stored.value)))
}
