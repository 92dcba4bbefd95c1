//! Sends requests to one API server: HTTP/1.1 over the dialer's connections, with a limit on every answer.
//!
//! kube's own client buffers answers of any size, and uses the body of an error as its message. This one uses kube's
//! types, but never reads more than its limit.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use kube::core::Status;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::credentials::Access;
use super::dial::Dialer;
use super::limits;
use super::tls::{self, TlsError};
use crate::model::text::{LONGEST, printable};

/// The longest `Retry-After` that is honored.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The content type of an API server's errors that are not a Status. Proxies and web servers use `text/html`.
pub(super) const PLAIN: &str = "text/plain";

/// Limits on requests to one server. They outlive the client.
#[derive(Clone, Debug)]
pub(super) struct RequestLimits {
    /// No request is sent before this time: `Retry-After` of a 429 or 503.
    retry_at: Arc<Mutex<Option<Instant>>>,
    /// Permits reading a large page: only one at a time, so that a cluster needs memory for one page.
    large: Arc<Semaphore>,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { retry_at: Arc::default(), large: Arc::new(Semaphore::new(1)) }
    }
}

impl RequestLimits {
    /// Returns the time left until requests may be sent again.
    pub(super) fn remaining(&self) -> Duration {
        let until = *self.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    fn note<B>(&self, response: &Response<B>) {
        if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        // The other form of the header, a date, depends on both clocks and is ignored.
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = seconds {
            let until = Instant::now() + Duration::from_secs(seconds).min(LONGEST_WAIT);
            *self.retry_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }
}

/// Why a client cannot be created.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The certificates or keys are unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The API server refused the request. Uses the HTTP status code, not the one in the Status body.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Box<Status>),
    /// The error is not from an API server, or not in its format.
    #[error("{code}, not from an API server ({content})")]
    Foreign {
        /// Host and port, prefixed with `http://` if the connection is not encrypted.
        server: Arc<str>,
        /// The HTTP status code.
        code: u16,
        /// The content type of the answer, such as `text/html`.
        content: String,
    },
    /// The answer is larger than the limit.
    #[error("the answer is larger than {most} bytes")]
    TooLarge {
        /// The limit, in bytes.
        most: usize,
    },
    /// The request cannot be built.
    #[error("the request cannot be made")]
    Built(#[source] http::Error),
    /// The connection failed or was closed.
    #[error(transparent)]
    Connection(legacy::Error),
    /// The answer is incomplete.
    #[error(transparent)]
    Body(hyper::Error),
    /// The server did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl RequestError {
    /// Returns the HTTP status code, if there was an answer.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            Self::Foreign { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A complete answer, and the permit to keep it in memory.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    _large: Option<OwnedSemaphorePermit>,
}

type Connector = HttpsConnector<Dialer>;

/// Sends requests to one API server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    http: legacy::Client<Connector, Full<Bytes>>,
    base: Uri,
    server: Arc<str>,
    headers: HeaderMap,
    limits: RequestLimits,
}

impl fmt::Debug for Client {
    /// Omits the headers, because they contain credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.0.server).finish_non_exhaustive()
    }
}

impl Client {
    /// Creates a client that connects through the dialer: one connection per watch, a shared pool for other requests.
    pub(super) fn new(mut access: Access, dialer: Dialer, limits: RequestLimits) -> Result<Self, ClientError> {
        let tls = tls::config(&mut access)?;
        let connector = match access.server_name {
            Some(name) => HttpsConnector::new(dialer, tls, false, Arc::new(FixedServerNameResolver::new(name))),
            None => HttpsConnector::from((dialer, tls)),
        };
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.http1_max_buf_size(limits::HEAD_BYTES);
        let server = access.url.authority().map_or("", http::uri::Authority::as_str);
        let plain = access.url.scheme() == Some(&http::uri::Scheme::HTTP);
        let server = if plain { format!("http://{server}").into() } else { server.into() };
        Ok(Self(Arc::new(Inner {
            http: builder.build(connector),
            base: access.url,
            server,
            headers: access.headers,
            limits,
        })))
    }

    /// Sends a GET for a path, and reads an answer of at most `most` bytes.
    pub(super) async fn get(&self, path: &str, most: usize, patience: Duration) -> Result<Answer, RequestError> {
        let call = http::Request::get(path).body(Vec::new()).map_err(RequestError::Built)?;
        self.ask(call, most, patience).await
    }

    /// Sends a request, and reads an answer of at most `most` bytes.
    pub(super) async fn ask(
        &self,
        call: http::Request<Vec<u8>>,
        most: usize,
        patience: Duration,
    ) -> Result<Answer, RequestError> {
        let answer = async {
            let response = self.send(call).await?;
            self.read(response.into_body(), most).await
        };
        timeout(patience, answer).await.unwrap_or(Err(RequestError::Silent(patience)))
    }

    /// Sends a request whose answer is a stream: a watch. `patience` limits the time until it starts.
    pub(super) async fn open(
        &self,
        call: http::Request<Vec<u8>>,
        patience: Duration,
    ) -> Result<Incoming, RequestError> {
        let opened = timeout(patience, self.send(call)).await.unwrap_or(Err(RequestError::Silent(patience)));
        opened.map(Response::into_body)
    }

    async fn send(&self, call: http::Request<Vec<u8>>) -> Result<Response<Incoming>, RequestError> {
        let (mut parts, body) = call.into_parts();
        parts.uri = under(&self.0.base, &parts.uri).map_err(RequestError::Built)?;
        for (name, value) in &self.0.headers {
            parts.headers.append(name, value.clone());
        }
        let request = http::Request::from_parts(parts, Full::from(body));
        let response = self.0.http.request(request).await.map_err(RequestError::Connection)?;
        self.0.limits.note(&response);
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    /// Reads a body of at most `most` bytes.
    async fn read(&self, mut body: Incoming, most: usize) -> Result<Answer, RequestError> {
        let mut answer = Answer { bytes: Vec::new(), _large: None };
        if body.size_hint().lower() > most as u64 {
            return Err(RequestError::TooLarge { most });
        }
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(RequestError::Body)?.into_data() else { continue };
            let length = answer.bytes.len() + data.len();
            if length > most {
                return Err(RequestError::TooLarge { most });
            }
            if length > limits::SMALL_PAGE_BYTES && answer._large.is_none() {
                // The semaphore is never closed.
                answer._large = Arc::clone(&self.0.limits.large).acquire_owned().await.ok();
            }
            answer.bytes.extend_from_slice(&data);
        }
        Ok(answer)
    }

    async fn refused(&self, response: Response<Incoming>) -> RequestError {
        let code = response.status().as_u16();
        let content = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content = content.split(';').next().unwrap_or_default().trim();
        let content = if content.is_empty() { "no content type".to_owned() } else { printable(content, 40) };
        // An incomplete body is ignored.
        let body = self.read(response.into_body(), limits::ANSWER_BYTES).await.map(|answer| answer.bytes);
        let body = body.unwrap_or_default();
        if let Some(status) = status(&body, code) {
            return RequestError::Refused(Box::new(status));
        }
        RequestError::Foreign { server: Arc::clone(&self.0.server), code, content }
    }
}

/// Appends a path of the API to the URL of the server, which may have a path of its own.
fn under(base: &Uri, path: &Uri) -> Result<Uri, http::Error> {
    let prefix = base.path().trim_end_matches('/');
    let wanted = path.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut parts = http::uri::Builder::new().path_and_query(format!("{prefix}{wanted}"));
    if let Some(scheme) = base.scheme() {
        parts = parts.scheme(scheme.clone());
    }
    if let Some(authority) = base.authority() {
        parts = parts.authority(authority.clone());
    }
    parts.build()
}

/// Returns the Status in the body of an error, safe to quote; `None` if the body is not a Status.
fn status(body: &[u8], code: u16) -> Option<Status> {
    #[derive(Deserialize)]
    struct Typed {
        kind: String,
    }
    let typed: Typed = serde_json::from_slice(body).ok()?;
    if typed.kind != "Status" {
        return None;
    }
    let status: Status = serde_json::from_slice(body).ok()?;
    let (message, reason) = (printable(&status.message, LONGEST), printable(&status.reason, LONGEST));
    Some(Status { code, message, reason, ..Status::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_appended_to_the_path_of_the_servers_url() {
        for (base, path, asked) in [
            ("https://k:6443", "/version", "https://k:6443/version"),
            ("https://k/", "/api/v1/nodes?limit=5", "https://k/api/v1/nodes?limit=5"),
            ("https://r/k8s/clusters/c-1/", "/version", "https://r/k8s/clusters/c-1/version"),
            ("http://[::1]:80/x", "/version", "http://[::1]:80/x/version"),
        ] {
            let (base, path) = (base.parse().expect("a URL"), path.parse().expect("a path"));
            assert_eq!(under(&base, &path).expect("a URL").to_string(), asked);
        }
    }

    #[test]
    fn only_a_status_is_quoted_and_its_code_is_that_of_the_http_response() {
        let message = status(br#"{"kind":"Status","code":200,"message":"no\nway","reason":"Forbidden"}"#, 403);
        let message = message.expect("a status");
        assert_eq!((message.code, &*message.message, &*message.reason), (403, "no", "Forbidden"));
        for body in ["", "{}", "<html>", r#"{"kind":"Pod"}"#, r#"{"kind":7}"#, "[[["] {
            assert_eq!(status(body.as_bytes(), 500), None, "{body}");
        }
    }
}
