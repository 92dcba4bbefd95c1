//! Implements a small API server that is controlled by tests: it answers by path, and passes every watch to the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Paths of the resources.
pub(super) const SERVICES: &str = "/api/v1/services";
pub(super) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(super) const ENDPOINTS: &str = "/api/v1/endpoints";
pub(super) const NODES: &str = "/api/v1/nodes";
/// Suffix of a path for the answer to its watches, if that differs from the answer to its listings.
pub(super) const WATCHED: &str = "?watch";

type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// The server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    answers: Answers,
    token: Arc<Mutex<Option<String>>>,
    watches: mpsc::UnboundedReceiver<Watch>,
    posts: mpsc::UnboundedReceiver<(String, String)>,
    waiting: Vec<Watch>,
    requests: Arc<Mutex<Vec<String>>>,
    retry_after: Arc<Mutex<Option<u64>>>,
    truncated: Arc<Mutex<BTreeSet<String>>>,
}

/// A requested watch: what is sent here goes out as a line; the watch ends when it is dropped.
pub(super) struct Watch {
    pub(super) path: String,
    pub(super) query: String,
    lines: mpsc::UnboundedSender<String>,
}

impl Watch {
    pub(super) fn say(&self, kind: &str, object: &str) {
        // The client may be gone.
        let _ = self.lines.send(format!(r#"{{"type":"{kind}","object":{object}}}"#));
    }

    pub(super) fn say_raw(&self, line: &str) {
        let _ = self.lines.send(line.to_owned());
    }
}

impl Server {
    /// Starts an empty server over plain HTTP.
    pub(super) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts an empty server, over TLS if `tls` is given.
    pub(super) async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (opened, watches) = mpsc::unbounded_channel();
        let (posted, posts) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let token = Arc::new(Mutex::new(None));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (retry_after, truncated) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(BTreeSet::new())));
        let server = Self {
            address,
            answers: Arc::clone(&answers),
            token: Arc::clone(&token),
            watches,
            posts,
            waiting: Vec::new(),
            requests: Arc::clone(&requests),
            retry_after: Arc::clone(&retry_after),
            truncated: Arc::clone(&truncated),
        };
        server.answer("/version", 200, r#"{"gitVersion":"v1.33.1"}"#);
        for path in [SERVICES, SLICES, ENDPOINTS, NODES] {
            server.list(path, "1", &[]);
        }
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Shared {
                    answers: Arc::clone(&answers),
                    token: Arc::clone(&token),
                    opened: opened.clone(),
                    posted: posted.clone(),
                    requests: Arc::clone(&requests),
                    retry_after: Arc::clone(&retry_after),
                    truncated: Arc::clone(&truncated),
                };
                match tls.clone() {
                    Some(tls) => tokio::spawn(async move { serve(tls.accept(stream).await.ok()?, shared).await }),
                    None => tokio::spawn(serve(stream, shared)),
                };
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answer for a path.
    pub(super) fn answer(&self, path: &str, status: u16, body: &str) {
        lock(&self.answers).insert(path.to_owned(), (status, body.to_owned()));
    }

    /// Sets the answer to a listing.
    pub(super) fn list(&self, path: &str, version: &str, items: &[&str]) {
        let items = items.join(",");
        self.answer(path, 200, &format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{items}]}}"#));
    }

    /// Sets the `Retry-After` of answers with 429, in seconds.
    pub(super) fn retry_after(&self, seconds: u64) {
        *lock(&self.retry_after) = Some(seconds);
    }

    /// Sets whether the answers for a path break off before their end.
    pub(super) fn truncate(&self, path: &str, truncated: bool) {
        match truncated {
            true => lock(&self.truncated).insert(path.to_owned()),
            false => lock(&self.truncated).remove(path),
        };
    }

    /// Refuses requests without this token from now on.
    pub(super) fn require_token(&self, token: &str) {
        *lock(&self.token) = Some(token.to_owned());
    }

    /// Returns the requested paths and queries, in order.
    pub(super) fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    /// Returns path and body of the next POST.
    pub(super) async fn posted(&mut self) -> (String, String) {
        super::soon(self.posts.recv()).await.expect("the server runs")
    }

    /// Returns the next watch of a path.
    pub(super) async fn watch(&mut self, path: &str) -> Watch {
        if let Some(at) = self.waiting.iter().position(|watch| watch.path == path) {
            return self.waiting.remove(at);
        }
        loop {
            let watch = super::soon(self.watches.recv()).await.expect("the server runs");
            if watch.path == path {
                return watch;
            }
            self.waiting.push(watch);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    answers: Answers,
    token: Arc<Mutex<Option<String>>>,
    opened: mpsc::UnboundedSender<Watch>,
    posted: mpsc::UnboundedSender<(String, String)>,
    requests: Arc<Mutex<Vec<String>>>,
    retry_after: Arc<Mutex<Option<u64>>>,
    truncated: Arc<Mutex<BTreeSet<String>>>,
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Shared) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut target, mut authorization, mut length) = (String::new(), None, 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if target.is_empty() {
                target = line.split(' ').nth(1)?.to_owned();
            } else if let Some((name, value)) = line.split_once(": ") {
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => authorization = Some(value.trim_start_matches("Bearer ").to_owned()),
                    "content-length" => length = value.parse().ok()?,
                    _ => {}
                }
            }
        }
        let mut sent = vec![0; length];
        stream.read_exact(&mut sent).await.ok()?;
        if length > 0 {
            shared.posted.send((target.clone(), String::from_utf8(sent).ok()?)).ok()?;
        }
        lock(&shared.requests).push(target.clone());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let refused = lock(&shared.token).as_ref().is_some_and(|token| authorization.as_ref() != Some(token));
        let own = format!("{path}{WATCHED}");
        let answers = lock(&shared.answers).clone();
        let answer = answers.get(&own).filter(|_| query.contains("watch=true")).or_else(|| answers.get(path)).cloned();
        let (status, body) = match answer {
            _ if refused => (401, r#"{"kind":"Status","code":401,"message":"Unauthorized"}"#.to_owned()),
            Some(answer) => answer,
            None => (404, format!(r#"{{"kind":"Status","code":404,"message":"no {path}"}}"#)),
        };
        if status == 200 && query.contains("watch=true") {
            watch(&mut stream, path, query, &shared).await?;
            return None;
        }
        let retry = lock(&shared.retry_after).filter(|_| status == 429);
        let retry = retry.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
        let length = body.len() + usize::from(lock(&shared.truncated).contains(path));
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{retry}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(body.as_bytes()).await.ok()?;
        if length > body.len() {
            return None;
        }
    }
}

async fn watch(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    query: &str,
    shared: &Shared,
) -> Option<()> {
    let (lines, mut to_send) = mpsc::unbounded_channel::<String>();
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.ok()?;
    shared.opened.send(Watch { path: path.to_owned(), query: query.to_owned(), lines }).ok()?;
    while let Some(line) = to_send.recv().await {
        let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
        stream.write_all(chunk.as_bytes()).await.ok()?;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()
}
