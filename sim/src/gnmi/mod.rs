//! gNMI 0.10 over a switch's datastore: Capabilities, Get, Set, Subscribe; on unix sockets and on TCP.
//!
//! JSON_IETF has SR Linux's shapes: module prefixes where the module changes, and subscriptions that send what changed as
//! objects at the path of the container or list entry, to be merged. PROTO and ASCII send leaf by leaf.

mod access;
mod encoding;
mod get;
mod service;
mod set;
mod subscribe;
#[cfg(test)]
mod tests;

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

/// The version of gNMI that is spoken.
pub const VERSION: &str = "0.10.0";

/// Name of the unix socket of SR Linux's server `insecure-mgmt`.
pub const SOCKET_NAME: &str = "sr_grpc_server_insecure-mgmt";

/// What a gNMI server is started with.
#[derive(Clone, Debug)]
pub struct GnmiOptions {
    /// Unix sockets it listens on.
    pub sockets: Vec<PathBuf>,
    /// TCP address it listens on, without TLS.
    pub tcp: Option<SocketAddr>,
    /// Who may call.
    pub username: String,
    /// The password to it.
    pub password: String,
    /// What differs between servers.
    pub switches: GnmiSwitches,
}

/// How a gNMI server behaves where servers are set up differently, or nobody has documented it.
#[derive(Clone, Debug)]
pub struct GnmiSwitches {
    /// Whether user name and password are asked for; `metadata-authentication` of SR Linux.
    pub metadata_authentication: bool,
    /// RPCs that are answered in a minute on unix sockets; `rate-limit` of SR Linux. `None` is no limit.
    pub rate_limit: Option<u32>,
    /// The same over TCP.
    pub tcp_rate_limit: Option<u32>,
    /// Whether plain JSON is spoken, as older releases do; newer ones refuse it.
    pub plain_json: bool,
    /// Whether subscriptions may ask for `updates_only`.
    pub updates_only: bool,
    /// Whether subscriptions may name keys by `*`.
    pub wildcards: bool,
    /// Elements that it does not know, whatever its models say: of a module that is not loaded, or of another release.
    pub unknown: Vec<String>,
}

impl Default for GnmiSwitches {
    /// The factory's limit on the socket, on TCP the one that containerlab sets.
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
    /// A server as the factory sets it up, without sockets.
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

/// Why a gNMI server does not start.
#[derive(Debug, thiserror::Error)]
pub enum GnmiError {
    /// A unix socket cannot be bound.
    #[error("cannot listen for gNMI on {path}")]
    Unix {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A TCP address cannot be bound.
    #[error("cannot listen for gNMI on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Handle of a gNMI server, which ends when the last handle is dropped.
#[derive(Clone)]
pub struct Gnmi {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<Inner>,
    options: GnmiOptions,
    life: Mutex<Option<Life>>,
}

/// What every call is answered from.
struct Inner {
    store: Datastore,
    access: Access,
    switches: GnmiSwitches,
    delay: Mutex<Duration>,
    /// Grows when all subscriptions are to end.
    drops: watch::Sender<u64>,
}

/// A server that listens.
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

/// Starts a gNMI server over a switch's datastore.
///
/// # Errors
/// [`GnmiError`] when a socket cannot be bound.
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
    /// Listens again after [`Gnmi::stop`]; nothing happens when it does already.
    ///
    /// # Errors
    /// [`GnmiError`] when a socket cannot be bound.
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

    /// The TCP address listened on, if one is.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.shared.life().as_ref().and_then(|life| life.tcp)
    }

    /// Ends every subscription; connections stay.
    pub fn drop_streams(&self) {
        self.shared.inner.drops.send_modify(|epoch| *epoch += 1);
    }

    /// While frozen, connections stay, new ones are accepted, and nothing is answered.
    pub fn freeze(&self, frozen: bool) {
        if let Some(life) = &*self.shared.life() {
            life.gate.send_replace(if frozen { link::Gate::Frozen } else { link::Gate::Open });
        }
    }

    /// Has every answer, and every message of a subscription, wait for so long.
    pub fn set_delay(&self, delay: Duration) {
        *lock(&self.shared.inner.delay) = delay;
    }

    /// RPCs that are answered in a minute, wherever they come in; `None` is no limit.
    pub fn set_rate_limit(&self, limit: Option<u32>) {
        self.shared.inner.access.set_rate_limit(limit);
    }

    /// RPCs that came in on the unix socket since the start, answered or not.
    pub fn local_requests(&self) -> u64 {
        self.shared.inner.access.local_requests()
    }

    /// Changes the password.
    pub fn set_password(&self, password: &str) {
        self.shared.inner.access.set_password(password);
    }

    /// Whether user name and password are asked for.
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
