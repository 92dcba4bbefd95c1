//! Handles get and list requests.

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::selector::Selection;
use super::super::store::{Key, Stored};
use super::answer::{self, Body};
use super::context::Context;
use super::media::Shape;
use super::table;

impl Context {
    /// Returns a response with one object, in the shape the client asked for.
    pub(crate) fn object(&self, code: StatusCode, stored: &Stored) -> Response<Body> {
        match self.shape {
            Shape::Whole => {
                answer::bytes(code, answer::JSON, answer::object(&self.resource, &self.target.version, stored))
            }
            Shape::Table => {
                let state = self.inner.lock();
                let version = state.version;
                drop(state);
                let rows = [stored];
                let list = json!({"resourceVersion": version.to_string()});
                answer::json(code, &table::table(self, rows.into_iter(), list, true))
            }
            Shape::Metadata => answer::json(code, &answer::metadata_only(&stored.value, "PartialObjectMetadata")),
        }
    }
}

/// Returns one object.
pub(crate) fn get(context: &Context) -> Result<Response<Body>, ApiError> {
    let key = Key::new(&context.target.namespace, context.target.name.as_deref().unwrap_or_default());
    let stored = Arc::clone(context.inner.lock().expect(context.id, &key)?);
    Ok(context.object(StatusCode::OK, &stored))
}

/// Returns the selection of a list or watch.
pub(crate) fn selection(context: &Context) -> Result<Selection, ApiError> {
    let mut fields = context.query.get("fieldSelector").to_owned();
    if let Some(name) = &context.target.name {
        fields = format!("metadata.name={name},{fields}");
    }
    Selection::parse(&context.resource, context.query.get("labelSelector"), &fields)
}

/// Where a list that is sent in pieces continues: the version of all pieces, and the last key sent.
struct Continue {
    version: u64,
    after: Key,
}

impl Continue {
    fn parse(token: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::BadRequest("continue key is not valid: it is not a token of this server".to_owned());
        let mut parts = token.splitn(3, '/');
        let (version, namespace, name) = (parts.next(), parts.next(), parts.next());
        match (version.and_then(|version| version.parse().ok()), namespace, name) {
            (Some(version), Some(namespace), Some(name)) => Ok(Self { version, after: Key::new(namespace, name) }),
            _ => Err(bad()),
        }
    }
}

/// A part of a collection at one version.
struct Page {
    items: Vec<Arc<Stored>>,
    version: u64,
    next: Option<String>,
    remaining: usize,
}

/// Returns the resourceVersion parameter; `None` if it is absent or zero.
pub(crate) fn version_parameter(context: &Context) -> Result<Option<u64>, ApiError> {
    match context.query.get("resourceVersion") {
        "" | "0" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            ApiError::BadRequest(format!(
                "resourceVersion: Invalid value: {text:?}: it is not a version of this server"
            ))
        }),
    }
}

/// Returns the collection, or a piece of it.
pub(crate) fn list(context: &Context) -> Result<Response<Body>, ApiError> {
    let page = page(context)?;
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(next) = page.next {
        metadata["continue"] = next.into();
        if page.remaining > 0 {
            metadata["remainingItemCount"] = page.remaining.into();
        }
    }
    Ok(match context.shape {
        Shape::Whole => whole(context, &page.items, &metadata),
        Shape::Table => {
            let rows = page.items.iter().map(|stored| &**stored);
            answer::json(StatusCode::OK, &table::table(context, rows, metadata, true))
        }
        Shape::Metadata => {
            let items: Vec<Value> =
                page.items.iter().map(|stored| answer::metadata_only(&stored.value, "PartialObjectMetadata")).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": items,
            });
            answer::json(StatusCode::OK, &list)
        }
    })
}

fn page(context: &Context) -> Result<Page, ApiError> {
    let selection = selection(context)?;
    let limit = match context.query.get("limit") {
        "" => 0,
        text => text.parse().map_err(|_| ApiError::BadRequest(format!("limit: Invalid value: {text:?}")))?,
    };
    let token = context.query.get("continue");
    let asked = version_parameter(context)?;
    let state = context.inner.lock();
    let exact = context.query.get("resourceVersionMatch") == "Exact";
    let (version, after) = if token.is_empty() {
        match asked {
            Some(asked) if asked > state.version => {
                return Err(ApiError::TooLargeVersion { asked, current: state.version });
            }
            Some(asked) if exact => (asked, None),
            _ => (state.version, None),
        }
    } else {
        let from = Continue::parse(token)?;
        (from.version, Some(from.after))
    };
    let mut items: Vec<Arc<Stored>> = Vec::new();
    let mut remaining = 0;
    let keep = |stored: &Arc<Stored>| {
        if !selection.matches(&stored.value) {
            return true;
        }
        if limit > 0 && items.len() == limit {
            remaining += 1;
            return selection.is_empty();
        }
        items.push(Arc::clone(stored));
        true
    };
    let collection = state.collection(context.id);
    collection.at(version, &context.target.namespace, after.as_ref(), keep).map_err(|_| {
        ApiError::Expired(
            "The provided continue parameter is too old to display a consistent list result. You must start a new \
             list without the continue parameter."
                .to_owned(),
        )
    })?;
    let last = items.last().filter(|_| remaining > 0).map(|stored| {
        let text = |member: &str| stored.value["metadata"][member].as_str().unwrap_or_default().to_owned();
        format!("{version}/{}/{}", text("namespace"), text("name"))
    });
    let remaining = if selection.is_empty() { remaining } else { 0 };
    Ok(Page { items, version, next: last, remaining })
}

/// Returns the list as text, made of the bodies of its objects. Items of built-in kinds do not repeat their kind.
fn whole(context: &Context, items: &[Arc<Stored>], metadata: &Value) -> Response<Body> {
    let resource = &context.resource;
    let api_version = resource.api_version(&context.target.version);
    let start = format!(
        "{{\"kind\":\"{}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[",
        resource.kind
    );
    let head = if resource.custom { answer::head(resource, &context.target.version) } else { "{".to_owned() };
    let size: usize = items.iter().map(|stored| stored.tail().len() + head.len() + 1).sum();
    let mut body = BytesMut::with_capacity(start.len() + size + 2);
    body.put_slice(start.as_bytes());
    for (at, stored) in items.iter().enumerate() {
        if at > 0 {
            body.put_u8(b',');
        }
        body.put_slice(head.as_bytes());
        body.put_slice(stored.tail());
    }
    body.put_slice(b"]}");
    answer::bytes(StatusCode::OK, answer::JSON, body.freeze())
}
