//! Sockets to the API server, opened in a network namespace.
//!
//! A network namespace belongs to a thread, and a socket stays in the one it was made in: a thread of its own enters the
//! namespace, resolves the name, connects, hands the socket over and ends. The process stays where it is. The right to
//! enter is held by one thread that does nothing but make those threads: what parses answers of servers never has it.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use crate::harden;

/// Where `ip netns` keeps network namespaces.
const NAMESPACES: &str = "/var/run/netns";
/// A connection that has been silent this long is probed...
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
/// ...this often...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// ...and given up after so many probes without an answer.
const KEEPALIVE_PROBES: u32 = 4;
/// What was sent and is not acknowledged for so long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The namespace is not there (yet).
    #[error("network namespace {name} does not exist ({} is missing)", path.display())]
    NoNamespace {
        /// Its name.
        name: Arc<str>,
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be entered.
    #[error("cannot enter network namespace {name}; the agent needs CAP_SYS_ADMIN")]
    EnterNamespace {
        /// Its name.
        name: Arc<str>,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The server's name means nothing here.
    #[error("cannot resolve {host}{place}")]
    Resolve {
        /// The name.
        host: String,
        /// In which namespace.
        place: String,
        /// What the resolver says.
        #[source]
        cause: io::Error,
    },
    /// The name resolves to nothing.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// It does not answer, or refuses.
    #[error("cannot connect to {address}{place}")]
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// In which namespace.
        place: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// No thread, or no socket option.
    #[error("cannot prepare the connection")]
    Prepare(#[source] io::Error),
    /// It takes too long.
    #[error("no connection to {host} within {} s{place}", after.as_secs())]
    TimedOut {
        /// The server.
        host: String,
        /// In which namespace.
        place: String,
        /// How long was waited.
        after: Duration,
    },
}

/// What runs on a thread of its own.
type Job = Box<dyn FnOnce() + Send>;

/// Starts the threads that enter network namespaces. Call it before the process drops the capability to.
#[derive(Clone, Debug)]
pub struct Dialers(mpsc::Sender<Job>);

impl Dialers {
    /// Starts the thread that makes the others.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, lowered) = mpsc::sync_channel::<()>(1);
        std::thread::Builder::new().name("dialers".into()).spawn(move || {
            if let Err(error) = harden::keep_namespaces_for_later() {
                tracing::debug!(%error, "capabilities stay as they are");
            }
            drop(ready);
            for job in queue {
                // Whoever waits for the job sees that it is gone.
                let _ = std::thread::Builder::new().name("dial".into()).spawn(job);
            }
        })?;
        // From here on no thread has the capability in effect: the sender is dropped when that is so.
        let _ = lowered.recv();
        Ok(Self(jobs))
    }

    fn run(&self, job: Job) {
        // Whoever waits for the job sees that it is gone.
        let _ = self.0.send(job);
    }
}

/// Opens connections; what the HTTP client calls.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    dialers: Dialers,
    namespace: Option<Arc<str>>,
    timeout: Duration,
}

impl Dialer {
    /// Connections from a namespace, or from the agent's own.
    pub(super) fn new(dialers: Dialers, namespace: Option<Arc<str>>, timeout: Duration) -> Self {
        Self { dialers, namespace, timeout }
    }

    /// Where the namespace is, should it be waited for.
    pub(super) fn namespace_path(&self) -> Option<PathBuf> {
        self.namespace.as_deref().map(namespace_path)
    }

    /// The addresses of a server, as the namespace resolves its name.
    pub(super) async fn addresses(&self, uri: &http::Uri) -> Result<Vec<SocketAddr>, DialError> {
        let (host, port, place) = self.way(uri);
        let timed_out = DialError::TimedOut { host: host.clone(), place: place.clone(), after: self.timeout };
        let (resolved, resolution) = oneshot::channel();
        let namespace = self.namespace.clone();
        self.dialers.run(Box::new(move || {
            let addresses = namespace.map_or(Ok(()), enter).and_then(|()| resolve(&host, port, &place));
            let _ = resolved.send(addresses);
        }));
        match tokio::time::timeout(self.timeout, resolution).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(_)) => Err(DialError::Prepare(io::Error::other("no thread could be started"))),
            Err(_) => Err(timed_out),
        }
    }

    /// Host, port and the place they are reached from, in words.
    fn way(&self, uri: &http::Uri) -> (String, u16, String) {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let place = self.namespace.as_ref().map_or_else(String::new, |name| format!(" from network namespace {name}"));
        (host, port, place)
    }

    /// A connection to the server of a URL.
    pub(super) async fn dial(self, uri: http::Uri) -> Result<TokioIo<tokio::net::TcpStream>, DialError> {
        let (host, port, place) = self.way(&uri);
        let timed_out = DialError::TimedOut { host: host.clone(), place: place.clone(), after: self.timeout };

        let (connected, connection) = oneshot::channel();
        let (namespace, timeout) = (self.namespace, self.timeout);
        self.dialers.run(Box::new(move || {
            // The receiver is gone when the attempt took too long.
            let _ = connected.send(open(namespace, &host, port, &place, timeout));
        }));
        match tokio::time::timeout(timeout, connection).await {
            Ok(Ok(stream)) => stream
                .and_then(|stream| tokio::net::TcpStream::from_std(stream).map_err(DialError::Prepare))
                .map(TokioIo::new),
            Ok(Err(_)) => Err(DialError::Prepare(io::Error::other("no thread could be started"))),
            Err(_) => Err(timed_out),
        }
    }
}

impl tower::Service<http::Uri> for Dialer {
    type Response = TokioIo<tokio::net::TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

fn namespace_path(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

/// Runs on a thread that ends with it: the namespace the thread is left in goes with the thread.
fn open(
    namespace: Option<Arc<str>>,
    host: &str,
    port: u16,
    place: &str,
    timeout: Duration,
) -> Result<TcpStream, DialError> {
    if let Some(name) = namespace {
        enter(name)?;
    }
    let addresses = resolve(host, port, place)?;
    let mut last = DialError::NoAddress { host: host.to_owned() };
    let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        match TcpStream::connect_timeout(&address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return prepare(&stream).map(|()| stream).map_err(DialError::Prepare),
            Err(cause) => last = DialError::Connect { address, place: place.to_owned(), cause },
        }
    }
    Err(last)
}

fn resolve(host: &str, port: u16, place: &str) -> Result<Vec<SocketAddr>, DialError> {
    let unknown = |cause| DialError::Resolve { host: host.to_owned(), place: place.to_owned(), cause };
    Ok((host, port).to_socket_addrs().map_err(unknown)?.collect())
}

fn enter(name: Arc<str>) -> Result<(), DialError> {
    let path = namespace_path(&name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(DialError::NoNamespace { name, path }),
        Err(cause) => return Err(DialError::EnterNamespace { name, cause }),
    };
    harden::with_namespaces(|| move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)))
        .map_err(|cause| DialError::EnterNamespace { name, cause: cause.into() })
}

/// So that a peer that is gone without a word is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}
