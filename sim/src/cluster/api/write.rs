//! Handles create, update, patch and delete requests.

use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::json::{remove, set, text};
use super::super::patch::{self, Format};
use super::super::state::Part;
use super::super::store::{Key, Stored};
use super::answer::{self, Body};
use super::context::Context;
use super::read;

impl Context {
    fn key(&self) -> Key {
        Key::new(&self.target.namespace, self.target.name.as_deref().unwrap_or_default())
    }

    fn dry_run(&self) -> bool {
        self.query.get("dryRun") == "All"
    }

    fn part(&self) -> Part {
        if self.target.subresource.as_deref() == Some("status") { Part::Status } else { Part::Main }
    }

    /// Rejects an object of another kind than the path's.
    fn check_kind(&self, object: &Value) -> Result<(), ApiError> {
        let wanted = (self.resource.api_version(&self.target.version), &*self.resource.kind);
        let sent = (text(object, "/apiVersion"), text(object, "/kind"));
        let wrong = |sent: &str, wanted: &str| !sent.is_empty() && sent != wanted;
        if wrong(sent.0, &wanted.0) || wrong(sent.1, wanted.1) {
            return Err(ApiError::BadRequest(format!(
                "the API version in the data ({}) and the kind ({}) do not match the expected {}, Kind={}",
                sent.0, sent.1, wanted.0, wanted.1
            )));
        }
        Ok(())
    }

    /// Converts an object to the form it is stored in: the preferred version of its group.
    fn to_storage(&self, object: &mut Value) {
        set(object, &["kind"], &*self.resource.kind);
        let version = self.resource.api_version(&self.resource.versions[0]);
        set(object, &["apiVersion"], version);
    }
}

pub(crate) fn create(context: &Context, mut object: Value) -> Result<Response<Body>, ApiError> {
    if !object.is_object() {
        return Err(ApiError::BadRequest("the body is not an object".to_owned()));
    }
    context.check_kind(&object)?;
    context.to_storage(&mut object);
    let stored = context
        .inner
        .write(|state| state.create(context.id, &context.target.namespace, object, Part::Main, context.dry_run()))?;
    Ok(context.object(StatusCode::CREATED, &stored))
}

pub(crate) fn update(context: &Context, mut object: Value) -> Result<Response<Body>, ApiError> {
    if !object.is_object() {
        return Err(ApiError::BadRequest("the body is not an object".to_owned()));
    }
    context.check_kind(&object)?;
    context.to_storage(&mut object);
    let key = context.key();
    if text(&object, "/metadata/name") != &*key.name {
        return Err(ApiError::BadRequest(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            text(&object, "/metadata/name"),
            key.name
        )));
    }
    let stored =
        context.inner.write(|state| state.update(context.id, &key, object, context.part(), context.dry_run()))?;
    Ok(context.object(StatusCode::OK, &stored))
}

/// Returns the format of a patch.
pub(crate) fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|line| line.to_str().ok()).unwrap_or_default();
    match media.split(';').next().unwrap_or_default().trim() {
        "application/merge-patch+json" => Ok(Format::Merge),
        "application/strategic-merge-patch+json" => Ok(Format::Strategic),
        "application/json-patch+json" => Ok(Format::Json),
        "application/apply-patch+yaml" => Ok(Format::Apply),
        _ => Err(ApiError::UnsupportedMediaType(
            "application/json-patch+json,application/merge-patch+json,application/strategic-merge-patch+json,\
             application/apply-patch+yaml",
        )),
    }
}

pub(crate) fn patch(context: &Context, format: Format, mut body: Value) -> Result<Response<Body>, ApiError> {
    let key = context.key();
    let (code, stored) = context.inner.write(|state| {
        let Some(current) = state.get(context.id, &key) else {
            let missing = state.expect(context.id, &key).map(drop);
            if format != Format::Apply || context.part() == Part::Status {
                return Err(missing.err().unwrap_or(ApiError::UnknownPath));
            }
            context.to_storage(&mut body);
            set(&mut body, &["metadata", "name"], &*key.name);
            let created = state.create(context.id, &key.namespace, body, Part::Main, context.dry_run())?;
            return Ok((StatusCode::CREATED, created));
        };
        let current = std::sync::Arc::clone(current);
        if format == Format::Apply {
            remove(&mut body, "", "apiVersion");
        }
        let mut object = patch::apply(format, context.resource.custom, &current.value, &body)?;
        context.to_storage(&mut object);
        let stored = state.update(context.id, &key, object, context.part(), context.dry_run())?;
        Ok((StatusCode::OK, stored))
    })?;
    Ok(context.object(code, &stored))
}

pub(crate) fn delete(context: &Context, options: &Value) -> Result<Response<Body>, ApiError> {
    let key = context.key();
    let (last, gone) = context.inner.write(|state| {
        let current = std::sync::Arc::clone(state.expect(context.id, &key)?);
        let differs = |pointer: &str, own: &str| {
            let wanted = text(options, pointer);
            !wanted.is_empty() && wanted != text(&current.value, own)
        };
        if differs("/preconditions/uid", "/metadata/uid")
            || differs("/preconditions/resourceVersion", "/metadata/resourceVersion")
        {
            let resource = context.resource.qualified();
            return Err(ApiError::Conflict { resource, name: key.name.to_string() });
        }
        if context.dry_run() {
            return Ok((current, true));
        }
        state.delete(context.id, &key)
    })?;
    if gone && &*context.resource.kind != "Pod" {
        return Ok(answer::json(StatusCode::OK, &success(context, &last)));
    }
    Ok(context.object(StatusCode::OK, &last))
}

fn success(context: &Context, last: &Stored) -> Value {
    let mut details = json!({
        "name": last.value["metadata"]["name"], "kind": context.resource.plural, "uid": last.value["metadata"]["uid"],
    });
    if !context.resource.group.is_empty() {
        details["group"] = (&*context.resource.group).into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// Deletes what a list would show, and returns that list.
pub(crate) fn delete_collection(context: &Context) -> Result<Response<Body>, ApiError> {
    let selection = read::selection(context)?;
    let answer = read::list(context)?;
    context.inner.write(|state| {
        let inside = |key: &Key| context.target.namespace.is_empty() || *key.namespace == *context.target.namespace;
        let objects = &state.collection(context.id).objects;
        let keys: Vec<Key> = objects
            .iter()
            .filter(|(key, stored)| inside(key) && selection.matches(&stored.value))
            .map(|(key, _)| key.clone())
            .collect();
        if !context.dry_run() {
            keys.iter().try_for_each(|key| state.delete(context.id, key).map(drop))?;
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(answer)
}

/// Handles the eviction of a pod, as sent by `kubectl drain`.
pub(crate) fn evict(context: &Context) -> Result<Response<Body>, ApiError> {
    context.inner.write(|state| state.delete(context.id, &context.key()))?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(answer::json(StatusCode::CREATED, &status))
}
