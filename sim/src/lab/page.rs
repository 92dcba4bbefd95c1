//! Serves a page that shows the lab live: a picture of the fabric, what each leaf reports for each VIP, and levers.
//!
//! ```text
//!   GET  /         the page, with its style and script
//!   GET  /state    everything it shows, as one JSON object
//!   GET  /events   a server-sent event per change of any leaf's state, at most a few per second
//!   POST /act      one action of a lab, as JSON
//! ```
//!
//! It listens on loopback and accepts no other host name: a page of another site can neither read it nor act.

mod view;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::control::chain;
use super::{Action, Lab};

type Body = UnsyncBoxBody<Bytes, Infallible>;

const JSON: &str = "application/json";
/// Changes within this time are combined into one event, because a browser draws no faster.
const PACE: Duration = Duration::from_millis(150);
/// Maximum size of an action.
const LARGEST_ACTION: usize = 64 << 10;

/// Files of the page by path.
const FILES: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
];

/// A listener for the page.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
}

impl Page {
    /// Listens on loopback; port 0 selects a free port.
    ///
    /// # Errors
    /// Returns an error if the port is taken.
    pub async fn bind(port: u16) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await? })
    }

    /// Returns the address it listens on.
    ///
    /// # Errors
    /// Returns an error if the socket has no address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves a lab until `end` completes. Then none of its connections holds the lab any more.
    pub async fn serve(self, lab: Arc<Lab>, end: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(converse(stream, lab.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "the page's listener cannot accept");
                        tokio::time::sleep(PACE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        connections.shutdown().await;
    }
}

async fn converse(stream: TcpStream, lab: Arc<Lab>) {
    let service = service_fn(move |request| {
        let lab = lab.clone();
        async move { Ok::<_, Infallible>(answer(lab, request).await) }
    });
    // A browser that disconnects early is not worth a report.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(lab: Arc<Lab>, request: Request<Incoming>) -> Response<Body> {
    if !is_local(&request) {
        return text(StatusCode::FORBIDDEN, "this page is served only as localhost or 127.0.0.1\n");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/state") => respond(StatusCode::OK, JSON, view::state(&lab).to_string()),
        (&Method::GET, "/events") => events(&lab),
        (&Method::POST, "/act") => act(&lab, request).await,
        (&Method::GET, path) => match FILES.iter().find(|(name, ..)| *name == path) {
            Some((_, media, content)) => respond(StatusCode::OK, media, *content),
            None => text(StatusCode::NOT_FOUND, "no such page\n"),
        },
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET, or POST /act\n"),
    }
}

/// Returns whether the request names this machine as its host. Another site's name may be made to resolve to it.
fn is_local(request: &Request<Incoming>) -> bool {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let named = named.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or_default();
    let name = named.rsplit_once(':').map_or(named, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1")
}

/// Performs an action on the lab. Its content type is one that a form of another site cannot send.
async fn act(lab: &Lab, request: Request<Incoming>) -> Response<Body> {
    if request.headers().get(CONTENT_TYPE).is_none_or(|media| media != JSON) {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "an action must be application/json\n");
    }
    let Ok(body) = Limited::new(request.into_body(), LARGEST_ACTION).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the action is too large or incomplete\n");
    };
    let action: Action = match serde_json::from_slice(&body.to_bytes()) {
        Ok(action) => action,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("invalid action: {error}\n")),
    };
    match lab.act(&action).await {
        Ok(()) => text(StatusCode::OK, "done\n"),
        Err(error) => text(StatusCode::CONFLICT, format!("{}\n", chain(&error))),
    }
}

/// Sends one event at once, and one for every burst of changes.
fn events(lab: &Lab) -> Response<Body> {
    let changes = futures::stream::unfold(lab.changes(), |mut changes| async {
        changes.changed().await;
        tokio::time::sleep(PACE).await;
        Some(((), changes))
    });
    let chunks =
        futures::stream::once(std::future::ready(())).chain(changes).map(|()| Bytes::from("data: changed\n\n"));
    stream("text/event-stream", chunks)
}

fn respond(code: StatusCode, media: &str, body: impl Into<Bytes>) -> Response<Body> {
    complete(code, media, Full::new(body.into()).boxed_unsync())
}

fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    respond(code, "text/plain; charset=utf-8", body)
}

fn stream(media: &str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    complete(StatusCode::OK, media, StreamBody::new(frames).boxed_unsync())
}

fn complete(code: StatusCode, media: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = [(CONTENT_TYPE, media), (http::header::CACHE_CONTROL, "no-store")];
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
