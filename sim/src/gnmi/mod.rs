//! gNMI 0.10 for a switch's datastore: Capabilities, Get, Set, Subscribe; on unix sockets and on TCP.
//!
//! JSON_IETF has the form of SR Linux: module prefixes where the module changes, and subscriptions that send changes as
//! objects at the path of the container or list entry, to be merged. PROTO and ASCII send single leaves.

mod access;
mod encoding;
mod get;
mod service;
mod set;
mod subscribe;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use srl_proto::gnmi as pb;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;

use self::access::Access;
use crate::datastore::Datastore;
use crate::ndk::limit::Limit;
use crate::ndk::{TooLarge, link};

/// Version of gNMI.
pub const VERSION: &str = "0.10.0";

/// File name of the unix socket of SR Linux's server `insecure-mgmt`.
pub const SOCKET_NAME: &str = "sr_grpc_server_insecure-mgmt";

/// Options of a gNMI server.
#[derive(Clone, Debug)]
pub struct GnmiOptions {
    /// Unix sockets it listens on.
    pub sockets: Vec<PathBuf>,
    /// TCP address it listens on, without TLS, if any.
    pub tcp: Option<SocketAddr>,
    /// User name that clients must send.
    pub username: String,
    /// Password that clients must send.
    pub password: String,
    /// Behaviour that differs between servers.
    pub switches: GnmiSwitches,
}

/// Behaviour that differs between servers, or that is not documented.
#[derive(Clone, Debug)]
pub struct GnmiSwitches {
    /// Whether user name and password are required; `metadata-authentication` of SR Linux.
    pub metadata_authentication: bool,
    /// Number of RPCs that are answered per minute on unix sockets; `rate-limit` of SR Linux. `None` means no limit.
    pub rate_limit: Option<u32>,
    /// Number of RPCs that are answered per minute on TCP. `None` means no limit.
    pub tcp_rate_limit: Option<u32>,
    /// Whether plain JSON is supported, as in older releases; newer ones refuse it.
    pub plain_json: bool,
    /// Whether subscriptions may use `updates_only`.
    pub updates_only: bool,
    /// Whether subscriptions may use `*` in keys.
    pub wildcards: bool,
    /// Elements that are unknown although they are in the models, as if a module were not loaded or the release were
    /// another.
    pub unknown: Vec<String>,
}

impl Default for GnmiSwitches {
    /// The factory's limit on the socket, and the limit that containerlab sets on TCP.
    fn default() -> Self {
        Self {
            metadata_authentication: true,
            rate_limit: Some(60),
            tcp_rate_limit: Some(65_000),
            plain_json: false,
            updates_only: true,
            wildcards: true,
            unknown: Vec::new(),
        }
    }
}

impl GnmiOptions {
    /// Creates the options of a server with factory settings, without sockets.
    pub fn new() -> Self {
        Self {
            sockets: Vec::new(),
            tcp: None,
            username: "admin".to_owned(),
            password: "NokiaSrl1!".to_owned(),
            switches: GnmiSwitches::default(),
        }
    }
}

impl Default for GnmiOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a gNMI server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GnmiError {
    /// A unix socket cannot be bound.
    #[error("cannot listen for gNMI on {path}")]
    Unix {
        /// Path of the socket.
        path: PathBuf,
        /// Why it cannot be bound.
        #[source]
        source: io::Error,
    },
    /// A TCP address cannot be bound.
    #[error("cannot listen for gNMI on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why it cannot be bound.
        #[source]
        source: io::Error,
    },
}

/// Handle of a gNMI server. The server ends when the last handle is dropped.
#[derive(Clone)]
pub struct Gnmi {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<Inner>,
    options: GnmiOptions,
    life: Mutex<Option<Life>>,
}

/// State that all calls share.
struct Inner {
    store: Datastore,
    access: Access,
    switches: GnmiSwitches,
    delay: Mutex<Duration>,
    /// Incremented to end all subscriptions.
    drops: watch::Sender<u64>,
}

/// A server that is listening.
struct Life {
    gate: watch::Sender<link::Gate>,
    server: JoinHandle<()>,
    tcp: Option<SocketAddr>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(life) = self.life().take() {
            life.end(&self.options);
        }
    }
}

impl Life {
    fn end(self, options: &GnmiOptions) {
        self.gate.send_replace(link::Gate::Cut);
        self.server.abort();
        for socket in &options.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Starts a gNMI server for a switch's datastore.
///
/// # Errors
/// [`GnmiError`] if a socket cannot be bound.
pub async fn serve(options: GnmiOptions, store: Datastore) -> Result<Gnmi, GnmiError> {
    let inner = Arc::new(Inner {
        store,
        access: Access::new(&options),
        switches: options.switches.clone(),
        delay: Mutex::default(),
        drops: watch::Sender::default(),
    });
    let gnmi = Gnmi { shared: Arc::new(Shared { inner, options, life: Mutex::default() }) };
    gnmi.start().await?;
    Ok(gnmi)
}

impl Gnmi {
    /// Listens again after [`Gnmi::stop`]. Does nothing if the server is listening.
    ///
    /// # Errors
    /// [`GnmiError`] if a socket cannot be bound.
    pub async fn start(&self) -> Result<(), GnmiError> {
        if self.shared.life().is_some() {
            return Ok(());
        }
        let options = &self.shared.options;
        let gate = watch::Sender::new(link::Gate::Open);
        let mut listeners = Vec::new();
        for path in &options.sockets {
            let unix = link::bind_unix(path).map_err(|source| GnmiError::Unix { path: path.clone(), source })?;
            listeners.push(link::of_unix(unix, gate.subscribe()).boxed());
        }
        let mut bound = None;
        if let Some(address) = options.tcp {
            let tcp = TcpListener::bind(address).await.map_err(|source| GnmiError::Tcp { address, source })?;
            bound = tcp.local_addr().ok();
            listeners.push(link::of_tcp(tcp, gate.subscribe()).boxed());
        }
        let service = pb::g_nmi_server::GNmiServer::new(service::Service(self.shared.inner.clone()));
        let limit = Limit(TooLarge::Refused);
        let server = Server::builder()
            .layer(tower::util::MapRequestLayer::new(move |request| limit.bound(request)))
            .add_service(service.max_decoding_message_size(usize::MAX))
            .serve_with_incoming(futures::stream::select_all(listeners));
        let server = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::warn!(%error, "gNMI server ended");
            }
        });
        *self.shared.life() = Some(Life { gate, server, tcp: bound });
        Ok(())
    }

    /// Cuts every connection and removes the sockets.
    pub fn stop(&self) {
        if let Some(life) = self.shared.life().take() {
            life.end(&self.shared.options);
        }
    }

    /// Returns the TCP address it listens on, if any.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.shared.life().as_ref().and_then(|life| life.tcp)
    }

    /// Ends every subscription. Connections are kept.
    pub fn drop_streams(&self) {
        self.shared.inner.drops.send_modify(|epoch| *epoch += 1);
    }

    /// Freezes or thaws the server. While frozen, it keeps and accepts connections but answers nothing.
    pub fn freeze(&self, frozen: bool) {
        if let Some(life) = &*self.shared.life() {
            life.gate.send_replace(if frozen { link::Gate::Frozen } else { link::Gate::Open });
        }
    }

    /// Delays every answer, and every message of a subscription, by this time.
    pub fn set_delay(&self, delay: Duration) {
        *lock(&self.shared.inner.delay) = delay;
    }

    /// Sets the number of RPCs that are answered per minute on all sockets; `None` means no limit.
    pub fn set_rate_limit(&self, limit: Option<u32>) {
        self.shared.inner.access.set_rate_limit(limit);
    }

    /// Returns the number of RPCs on the unix socket since the start, answered or not.
    pub fn local_requests(&self) -> u64 {
        self.shared.inner.access.local_requests()
    }

    /// Changes the password.
    pub fn set_password(&self, password: &str) {
        self.shared.inner.access.set_password(password);
    }

    /// Sets whether user name and password are required.
    pub fn set_metadata_authentication(&self, asked: bool) {
        self.shared.inner.access.set_metadata_authentication(asked);
    }
}

impl Shared {
    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        lock(&self.life)
    }
}

impl Inner {
    async fn delay(&self) {
        let delay = *lock(&self.delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
