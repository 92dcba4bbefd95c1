//! Opens sockets to the API server in a network namespace.
//!
//! A network namespace belongs to a thread, and a socket stays in the namespace where it was created. So a separate
//! thread enters the namespace, resolves the name, connects, passes the socket on and ends. The process stays where it
//! is. Only one thread has the right to enter, and it does nothing but start those threads, so that code that parses
//! servers' answers never has that right.

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
/// Idle time after which a connection is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
/// Time between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Number of unanswered probes after which the connection is closed.
const KEEPALIVE_PROBES: u32 = 4;
/// How long sent data may remain unacknowledged before the connection is closed.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The namespace does not exist (yet).
    #[error("network namespace {name} does not exist ({} is missing)", path.display())]
    NoNamespace {
        /// Its name.
        name: Arc<str>,
        /// Where it should be.
        path: PathBuf,
    },
    /// The namespace cannot be entered.
    #[error("cannot enter network namespace {name}; the agent needs CAP_SYS_ADMIN")]
    EnterNamespace {
        /// Its name.
        name: Arc<str>,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
    /// The server's name cannot be resolved.
    #[error("cannot resolve {host}{place}")]
    Resolve {
        /// The name.
        host: String,
        /// The namespace, in words.
        place: String,
        /// The error of the resolver.
        #[source]
        cause: io::Error,
    },
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// The server does not answer, or refuses the connection.
    #[error("cannot connect to {address}{place}")]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// The namespace, in words.
        place: String,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
    /// A thread cannot be started, or a socket option cannot be set.
    #[error("cannot prepare the connection")]
    Prepare(#[source] io::Error),
    /// The connection takes too long.
    #[error("no connection to {host} within {} s{place}", after.as_secs())]
    TimedOut {
        /// The server.
        host: String,
        /// The namespace, in words.
        place: String,
        /// How long the agent waited.
        after: Duration,
    },
}

/// A function that runs on a thread of its own.
type Job = Box<dyn FnOnce() + Send>;

/// Starts the threads that enter network namespaces. Must be created before the process drops the capability for that.
#[derive(Clone, Debug)]
pub struct Dialers(mpsc::Sender<Job>);

impl Dialers {
    /// Starts the thread that starts the others.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, lowered) = mpsc::sync_channel::<()>(1);
        std::thread::Builder::new().name("dialers".into()).spawn(move || {
            if let Err(error) = harden::keep_namespaces_for_later() {
                tracing::debug!(%error, "capabilities stay as they are");
            }
            drop(ready);
            for job in queue {
                // If this fails, the job is dropped, which its receiver notices.
                let _ = std::thread::Builder::new().name("dial".into()).spawn(job);
            }
        })?;
        // Waits until no thread has the capability in effect: then the sender is dropped.
        let _ = lowered.recv();
        Ok(Self(jobs))
    }

    fn run(&self, job: Job) {
        // If this fails, the job is dropped, which its receiver notices.
        let _ = self.0.send(job);
    }
}

/// Opens connections for the HTTP client.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    dialers: Dialers,
    namespace: Option<Arc<str>>,
    timeout: Duration,
}

impl Dialer {
    /// Opens connections from a namespace, or from the agent's own if `None`.
    pub(super) fn new(dialers: Dialers, namespace: Option<Arc<str>>, timeout: Duration) -> Self {
        Self { dialers, namespace, timeout }
    }

    /// Returns the path of the namespace, to wait for it.
    pub(super) fn namespace_path(&self) -> Option<PathBuf> {
        self.namespace.as_deref().map(namespace_path)
    }

    /// Returns the addresses of a server, as resolved in the namespace.
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

    /// Returns host, port, and the namespace in words.
    fn way(&self, uri: &http::Uri) -> (String, u16, String) {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let place = self.namespace.as_ref().map_or_else(String::new, |name| format!(" from network namespace {name}"));
        (host, port, place)
    }

    /// Opens a connection to the server of a URL.
    pub(super) async fn dial(self, uri: http::Uri) -> Result<TokioIo<tokio::net::TcpStream>, DialError> {
        let (host, port, place) = self.way(&uri);
        let timed_out = DialError::TimedOut { host: host.clone(), place: place.clone(), after: self.timeout };

        let (connected, connection) = oneshot::channel();
        let (namespace, timeout) = (self.namespace, self.timeout);
        self.dialers.run(Box::new(move || {
            // The receiver is dropped if the attempt took too long.
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

/// Must run on a thread that ends afterwards: the thread is left in the namespace.
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

/// Sets socket options so that a peer that vanishes silently is noticed.
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
