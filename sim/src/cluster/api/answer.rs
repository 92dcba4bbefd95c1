//! Builds the bodies of responses.

use std::convert::Infallible;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::Stream;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::super::error::ApiError;
use super::super::resource::Resource;
use super::super::store::Stored;

/// Body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The media type of nearly all responses.
pub(crate) const JSON: &str = "application/json";

pub(crate) fn bytes(code: StatusCode, media: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = code;
    if let Ok(media) = media.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    response
}

pub(crate) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    bytes(code, JSON, value.to_string())
}

pub(crate) fn refusal(error: &ApiError) -> Response<Body> {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if matches!(error, ApiError::NoPage) {
        return bytes(code, "text/plain; charset=utf-8", format!("{error}\n"));
    }
    let mut response = json(code, &error.status());
    if matches!(error.code(), 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

pub(crate) fn stream(media: &str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    use futures::StreamExt as _;

    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    if let Ok(media) = media.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    response
}

/// Returns the beginning of an object: `{"kind":"Service","apiVersion":"v1",`.
pub(crate) fn head(resource: &Resource, version: &str) -> String {
    format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind, resource.api_version(version))
}

/// Returns the JSON of an object in this version of its group.
pub(crate) fn object(resource: &Resource, version: &str, stored: &Stored) -> Bytes {
    let head = head(resource, version);
    let tail = stored.tail();
    let mut body = BytesMut::with_capacity(head.len() + tail.len());
    body.put_slice(head.as_bytes());
    body.put_slice(tail);
    body.freeze()
}

/// Returns an object as a value, with kind and version.
pub(crate) fn value(resource: &Resource, version: &str, stored: &Stored) -> Value {
    let mut value = (*stored.value).clone();
    value["apiVersion"] = resource.api_version(version).into();
    value
}

pub(crate) fn metadata_only(object: &Value, kind: &str) -> Value {
    serde_json::json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}
