//! Provides a client for an API server in a network namespace, with which tests make objects.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{DynamicObject, GroupVersionKind, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{BoxError, ServiceBuilder};

use crate::bench::{BOUND, bounded};
use crate::net::enter;

/// Opens connections in a network namespace, or in this thread's own if `None`.
#[derive(Clone)]
struct Dialer {
    namespace: Option<String>,
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<tokio::net::TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let namespace = self.namespace.clone();
        Box::pin(async move {
            // Uses a separate thread, because the thread stays in the namespace.
            let (connected, connection) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || connected.send(connect(namespace.as_deref(), &uri)));
            let stream = connection.await.map_err(io::Error::other)??;
            stream.set_nonblocking(true)?;
            tokio::net::TcpStream::from_std(stream).map(TokioIo::new)
        })
    }
}

fn connect(namespace: Option<&str>, uri: &Uri) -> io::Result<TcpStream> {
    if let Some(namespace) = namespace {
        enter(namespace)?;
    }
    TcpStream::connect((uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443)))
}

/// The client.
#[derive(Clone)]
pub(crate) struct Admin {
    client: Client,
}

impl Admin {
    /// Creates a client from a kubeconfig, in a network namespace.
    pub(crate) async fn new(namespace: &str, kubeconfig: &str) -> Self {
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Self::with(Some(namespace), &config.expect("files it names are there"))
    }

    /// Creates a client without credentials, in a network namespace or in the own one if `None`.
    pub(crate) fn plain(namespace: Option<&str>, url: &str) -> Self {
        Self::with(namespace, &Config::new(url.parse().expect("a URL")))
    }

    fn with(namespace: Option<&str>, config: &Config) -> Self {
        let dialer = Dialer { namespace: namespace.map(str::to_owned) };
        let connector = config.rustls_https_connector_with_connector(dialer).expect("certificates");
        let http: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer().expect("credentials"))
            .map_err(BoxError::from)
            .service(http);
        Self { client: Client::new(service, "default") }
    }

    /// Sends a request; returns status, media type and text of the answer, also if it is a refusal.
    pub(crate) async fn raw(&self, method: Method, path: &str, body: &str) -> (u16, String, String) {
        bounded(path, self.raw_unbounded(method, path, body)).await
    }

    async fn raw_unbounded(&self, method: Method, path: &str, body: &str) -> (u16, String, String) {
        let request = Request::builder().method(method).uri(path).header(http::header::ACCEPT, "application/json");
        let request =
            request.header(http::header::CONTENT_TYPE, "application/json").body(Body::from(body.as_bytes().to_vec()));
        let answer = self.client.send(request.expect("a request")).await.expect("an answer");
        let media = answer.headers().get(http::header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let (status, media) = (answer.status().as_u16(), media.unwrap_or_default().to_owned());
        let text = answer.into_body().collect_bytes().await.expect("all of it");
        (status, media, String::from_utf8_lossy(&text).into_owned())
    }

    /// Sends a request; returns the body of the answer, as a JSON string if it is not JSON.
    ///
    /// # Errors
    /// If the server refuses the request or does not answer in time.
    pub(crate) async fn ask(&self, method: Method, path: &str, media: &str, body: &Value) -> kube::Result<Value> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, media);
        let answer = self.client.request_text(request.body(body).expect("a request"));
        let answer = tokio::time::timeout(BOUND, answer).await;
        let text = answer.map_err(|elapsed| kube::Error::Service(elapsed.into()))??;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Returns the object or list at a path.
    pub(crate) async fn get(&self, path: &str) -> kube::Result<Value> {
        self.ask(Method::GET, path, "application/json", &Value::Null).await
    }

    /// Posts JSON to a path.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> kube::Result<Value> {
        self.ask(Method::POST, path, "application/json", body).await
    }

    /// Merges a patch into an object; if the path ends with `/status`, into its status.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Value {
        let answer = self.ask(Method::PATCH, path, "application/merge-patch+json", patch).await;
        answer.unwrap_or_else(|error| panic!("{path} cannot be patched: {error}"))
    }

    /// Deletes an object at once.
    pub(crate) async fn delete(&self, path: &str) {
        let now = json!({"gracePeriodSeconds": 0});
        let answer = self.ask(Method::DELETE, path, "application/json", &now).await;
        answer.unwrap_or_else(|error| panic!("{path} cannot be deleted: {error}"));
    }

    /// Creates or changes every object of a manifest (YAML documents, `List`s) in order, including its status. After
    /// the definition of a custom resource, waits until its kind is served.
    pub(crate) async fn apply(&self, manifests: &str) {
        for document in serde_norway::Deserializer::from_str(manifests) {
            let object = Value::deserialize(document).expect("YAML");
            match object["items"].as_array() {
                Some(items) if object["kind"] == "List" => {
                    for item in items {
                        self.apply_object(item).await;
                    }
                }
                _ if object.is_null() => {}
                _ => self.apply_object(&object).await,
            }
        }
    }

    /// Creates or changes an object, including its status.
    pub(crate) async fn apply_object(&self, object: &Value) {
        let path = self.path(object).await;
        let (collection, _) = path.rsplit_once('/').expect("a path");
        match self.post(collection, object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => _ = self.patch(&path, object).await,
            Err(error) => panic!("{path} is not taken: {error}: {object:#}"),
        }
        if object["kind"] == "CustomResourceDefinition" {
            self.until(&path, |object| condition(object, "Established")).await;
        } else if let Some(status) = object.get("status") {
            self.patch(&format!("{path}/status"), &json!({"status": status})).await;
        }
    }

    /// Returns the path of an object in the API.
    pub(crate) async fn path(&self, object: &Value) -> String {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let types = TypeMeta { api_version: text("/apiVersion").to_owned(), kind: text("/kind").to_owned() };
        let kind = GroupVersionKind::try_from(&types).expect("apiVersion and kind");
        let found = pinned_kind(&self.client, &kind).await;
        let (resource, capabilities) = found.unwrap_or_else(|error| panic!("{kind:?} is not served: {error}"));
        let namespace = match text("/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let namespace = (capabilities.scope == Scope::Namespaced).then_some(namespace);
        let collection = <DynamicObject as kube::Resource>::url_path(&resource, namespace);
        format!("{collection}/{}", text("/metadata/name"))
    }

    /// Waits until `holds` is true for the object at a path; returns the object.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_within(Duration::from_secs(20), path, holds).await
    }

    /// Waits until `holds` is true for the object at a path, at most for `patience`; returns the object.
    pub(crate) async fn until_within(&self, patience: Duration, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let object = self.get(path).await.unwrap_or_default();
            if holds(&object) {
                return object;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} is not as expected in time: {object:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Returns whether a condition of an object is true.
fn condition(object: &Value, name: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == name && condition["status"] == "True")
}
