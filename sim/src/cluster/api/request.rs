//! Handles one request: applies faults, checks permissions, and routes it.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize as _;
use serde_json::Value;

use super::super::Inner;
use super::super::error::ApiError;
use super::answer::{self, Body};
use super::context::Context;
use super::route::{Query, Route};
use super::{discovery, media, openapi, read, scale, stream, swagger, write};

/// Larger bodies are refused. In the real server, etcd's limit has this effect.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Answers a request.
pub(crate) async fn handle(inner: Arc<Inner>, request: Request<Incoming>) -> Response<Body> {
    match answer(inner, request).await {
        Ok(response) => response,
        Err(error) => answer::refusal(&error),
    }
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    suffer(&inner).await?;
    let (parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let open = matches!(route, Route::Health | Route::Version);
    if !open {
        authorize(&inner, &parts.headers)?;
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Route::Objects(target) = route else {
        return plain(&inner, &route, &parts.headers);
    };
    let (id, resource) = {
        let state = inner.lock();
        let id = state
            .registry
            .by_path(&target.group, &target.version, &target.plural)
            .filter(|_| state.serves(&target.group));
        let id = id.ok_or_else(|| {
            let mut resources = state.registry.iter().map(|(_, resource)| resource);
            let known = resources.any(|it| *it.group == *target.group && it.versions.contains(&target.version));
            if known && state.serves(&target.group) { ApiError::UnknownPath } else { ApiError::NoPage }
        })?;
        (id, state.resource(id).clone())
    };
    if resource.namespaced && target.namespace.is_empty() && target.name.is_some()
        || !resource.namespaced && !target.namespace.is_empty()
    {
        return Err(ApiError::UnknownPath);
    }
    let shape = media::shape(&parts.headers)?;
    let context = Context { inner, id, resource, target, query, headers: parts.headers, shape };
    context.permit(&parts.method)?;
    context.dispatch(&parts.method, body).await
}

/// Applies the faults that concern every request.
async fn suffer(inner: &Inner) -> Result<(), ApiError> {
    let mut faults = inner.faults.subscribe();
    // The sender lives in the cluster, which this request keeps alive.
    let delay = faults.wait_for(|faults| !faults.half_open).await.map(|faults| faults.delay).unwrap_or_default();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut code = None;
    inner.faults.send_if_modified(|faults| {
        code = faults.refuse.map(|(code, _)| code);
        faults.refuse = faults.refuse.and_then(|(code, left)| (left > 1).then(|| (code, left - 1)));
        false
    });
    code.map_or(Ok(()), |code| Err(ApiError::Refused(code)))
}

fn authorize(inner: &Inner, headers: &HeaderMap) -> Result<(), ApiError> {
    let faults = inner.faults.borrow();
    let Some(token) = &faults.token else { return Ok(()) };
    let sent = headers.get(header::AUTHORIZATION).and_then(|line| line.to_str().ok());
    let bearer = sent.and_then(|line| line.strip_prefix("Bearer ")).map(str::trim);
    if bearer == Some(token) { Ok(()) } else { Err(ApiError::Unauthorized) }
}

fn plain(inner: &Inner, route: &Route, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let state = inner.lock();
    match route {
        Route::Health => Ok(answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", "ok")),
        Route::Version => Ok(answer::json(StatusCode::OK, &discovery::version(&state.options.kubernetes_version))),
        Route::Swagger => Ok(answer::bytes(StatusCode::OK, swagger::MEDIA, swagger::document(&state))),
        Route::OpenApiIndex => Ok(answer::json(StatusCode::OK, &openapi::index(&state))),
        Route::OpenApi(path) => openapi::document(&state, path).map(|v| answer::json(StatusCode::OK, &v)),
        Route::CoreVersions | Route::Groups | Route::Group(_) | Route::Resources { .. } => {
            discovery::answer(&state, route, media::aggregated_discovery(headers))
        }
        Route::Objects(_) | Route::Unknown => Err(ApiError::UnknownPath),
    }
}

impl Context {
    /// Returns the verb by its name in RBAC.
    fn verb(&self, method: &Method) -> &'static str {
        let named = self.target.name.is_some();
        match *method {
            Method::GET | Method::HEAD if self.query.is_true("watch") => "watch",
            Method::GET | Method::HEAD => {
                if named {
                    "get"
                } else {
                    "list"
                }
            }
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => {
                if named {
                    "delete"
                } else {
                    "deletecollection"
                }
            }
            _ => "unknown",
        }
    }

    fn permit(&self, method: &Method) -> Result<(), ApiError> {
        if !self.inner.faults.borrow().denied.contains(&self.resource.qualified()) {
            return Ok(());
        }
        let place = match self.target.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let subject = match &self.target.name {
            Some(name) => format!("{} \"{name}\" is", self.resource.qualified()),
            None => format!("{} is", self.resource.qualified()),
        };
        Err(ApiError::Forbidden(format!(
            "{subject} forbidden: User \"system:serviceaccount:default:client\" cannot {} resource \"{}\" in API \
             group \"{}\" {place}",
            self.verb(method),
            self.resource.plural,
            self.resource.group,
        )))
    }

    async fn dispatch(self, method: &Method, body: Incoming) -> Result<Response<Body>, ApiError> {
        let subresource = self.target.subresource.clone();
        match subresource.as_deref() {
            None => {}
            Some("status") if self.resource.status => {}
            Some("finalize") if &*self.resource.kind == "Namespace" => {}
            Some("eviction") if &*self.resource.kind == "Pod" && *method == Method::POST => {
                return write::evict(&self);
            }
            Some("scale") if self.resource.scale => {
                return match *method {
                    Method::GET => scale::get(&self),
                    Method::PUT => scale::put(&self, &self.body(body).await?),
                    Method::PATCH => {
                        let format = write::format(&self.headers)?;
                        scale::patch(&self, format, &self.body(body).await?)
                    }
                    _ => Err(ApiError::MethodNotAllowed),
                };
            }
            Some(_) => return Err(ApiError::UnknownPath),
        }
        let named = self.target.name.is_some();
        match *method {
            Method::GET if self.query.is_true("watch") => stream::watch(self),
            Method::GET | Method::HEAD if named => read::get(&self),
            Method::GET | Method::HEAD => read::list(&self),
            Method::POST if !named => write::create(&self, self.body(body).await?),
            Method::PUT if named => write::update(&self, self.body(body).await?),
            Method::PATCH if named => {
                let format = write::format(&self.headers)?;
                write::patch(&self, format, self.body(body).await?)
            }
            Method::DELETE if named => write::delete(&self, &self.body(body).await?),
            Method::DELETE => write::delete_collection(&self),
            _ => Err(ApiError::MethodNotAllowed),
        }
    }

    /// Returns the body as a value; an empty body is null.
    async fn body(&self, body: Incoming) -> Result<Value, ApiError> {
        let limited = Limited::new(body, BODY_LIMIT).collect().await;
        let bytes =
            limited.map_err(|error| ApiError::BadRequest(format!("the body cannot be read: {error}")))?.to_bytes();
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        let media = self.headers.get(header::CONTENT_TYPE).and_then(|line| line.to_str().ok()).unwrap_or_default();
        if media.contains("protobuf") || media.contains("cbor") && !media.contains("json") {
            return Err(ApiError::UnsupportedMediaType("application/json, application/yaml"));
        }
        if media.contains("yaml") {
            let document = serde_norway::Deserializer::from_slice(&bytes);
            return Value::deserialize(document).map_err(ApiError::Manifest);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::BadRequest(format!("the object provided is unrecognized: {error}")))
    }
}
