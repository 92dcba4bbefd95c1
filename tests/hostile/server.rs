//! An API server on raw sockets that answers as a test requires.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(crate) const VERSION: &str = "/version";
pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const NODES: &str = "/api/v1/nodes";

/// The answer to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A status code, a content type and a body.
    Body(u16, &'static str, Arc<str>),
    /// The head of an answer, then the same bytes forever.
    Endless(&'static str, &'static str),
    /// These bytes, then the end of the connection.
    Raw(Arc<str>),
    /// A listing that depends on how often it was requested.
    Listing(fn(usize) -> String),
    /// A listing that depends on how many objects were requested.
    Page(fn(u32) -> String),
    /// A listing of these objects, in pages of as many as were requested.
    Pages(Arc<[String]>),
}

impl Reply {
    pub(crate) fn json(body: impl Into<Arc<str>>) -> Self {
        Self::Body(200, "application/json", body.into())
    }

    /// Returns a complete listing.
    pub(crate) fn list(items: &[String]) -> Self {
        Self::json(format!(r#"{{"metadata":{{"resourceVersion":"1"}},"items":[{}]}}"#, items.join(",")))
    }
}

/// Open watches: their paths, and channels for their lines.
type Watches = Arc<Mutex<Vec<(String, mpsc::UnboundedSender<Arc<str>>)>>>;

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    watches: Watches,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// Starts an empty server.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies = Arc::new(Mutex::new(BTreeMap::new()));
        let (watches, asked) = (Watches::default(), Arc::new(AtomicUsize::new(0)));
        let server =
            Self { address, replies: Arc::clone(&replies), watches: Arc::clone(&watches), asked: Arc::clone(&asked) };
        server.reply(VERSION, Reply::json(r#"{"gitVersion":"v1.33.1"}"#));
        for path in [SERVICES, SLICES, NODES] {
            server.reply(path, Reply::list(&[]));
        }
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (replies, watches, asked) = (Arc::clone(&replies), Arc::clone(&watches), Arc::clone(&asked));
                tokio::spawn(serve(stream, replies, watches, asked));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the answer for a path.
    pub(crate) fn reply(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), reply);
    }

    /// Sends a line on every watch of a path.
    pub(crate) fn say(&self, path: &str, line: &str) {
        let line: Arc<str> = line.into();
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|(of, lines)| of != path || lines.send(Arc::clone(&line)).is_ok());
    }

    /// Returns the number of requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Returns the number of open watches.
    pub(crate) fn watches(&self) -> usize {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn serve(
    stream: TcpStream,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    watches: Watches,
    asked: Arc<AtomicUsize>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut target = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.trim_end().is_empty() {
                break;
            }
            if target.is_empty() {
                target = line.split(' ').nth(1)?.to_owned();
            }
        }
        let count = asked.fetch_add(1, Ordering::Relaxed);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let reply = replies.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if query.contains("watch=true") && !matches!(reply, Some(Reply::Endless(..))) {
            let (sender, lines) = mpsc::unbounded_channel();
            watches.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), sender));
            return watch(stream, lines).await;
        }
        match reply {
            Some(Reply::Body(status, content, body)) => body_of(&mut stream, status, content, &body).await?,
            Some(Reply::Listing(page)) => body_of(&mut stream, 200, "application/json", &page(count)).await?,
            Some(Reply::Page(page)) => {
                let limit = number(query, "limit=").unwrap_or(u32::MAX);
                body_of(&mut stream, 200, "application/json", &page(limit)).await?;
            }
            Some(Reply::Pages(items)) => {
                let from = number(query, "continue=").unwrap_or(0) as usize;
                let to = items.len().min(from + number(query, "limit=").unwrap_or(u32::MAX) as usize);
                let next = if to < items.len() { format!(r#","continue":"{to}""#) } else { String::new() };
                let metadata = format!(r#"{{"resourceVersion":"1"{next}}}"#);
                let page = format!(r#"{{"metadata":{metadata},"items":[{}]}}"#, items[from..to].join(","));
                body_of(&mut stream, 200, "application/json", &page).await?;
            }
            Some(Reply::Raw(bytes)) => {
                stream.write_all(bytes.as_bytes()).await.ok()?;
                return None;
            }
            Some(Reply::Endless(head, part)) => {
                stream.write_all(head.as_bytes()).await.ok()?;
                let many = part.repeat((64 << 10) / part.len());
                loop {
                    stream.write_all(many.as_bytes()).await.ok()?;
                }
            }
            None => {
                body_of(&mut stream, 404, "application/json", r#"{"kind":"Status","code":404,"message":"no"}"#).await?
            }
        }
    }
}

/// Returns a number in a query.
fn number(query: &str, name: &str) -> Option<u32> {
    query.split('&').find_map(|pair| pair.strip_prefix(name))?.parse().ok()
}

async fn body_of(stream: &mut BufReader<TcpStream>, status: u16, content: &str, body: &str) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()
}

async fn watch(mut stream: BufReader<TcpStream>, mut lines: mpsc::UnboundedReceiver<Arc<str>>) -> Option<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.ok()?;
    while let Some(line) = lines.recv().await {
        let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
        stream.write_all(chunk.as_bytes()).await.ok()?;
    }
    Some(())
}
