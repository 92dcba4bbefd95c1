//! The NDK 0.5.0 server of one emulated switch.
//!
//! An application connects to a unix socket, names itself in the metadata of every call, registers, and from then on is
//! subscribes to what the switch knows and writes its own state into the switch's datastore. The switch's side is the [`Ndk`]
//! handle: rows are put into its tables, and faults are ordered there.
//!
//! One lock guards what the server knows (`core`); it is never held across an await. Each consumer of a stream pulls:
//! nothing is queued per consumer beyond one note per changed key (`streams`).

mod config;
mod core;
mod delivery;
mod dialect;
mod faults;
mod feed;
pub(crate) mod limit;
pub(crate) mod link;
mod programming;
mod record;
mod rows;
mod service;
mod streams;
mod switches;
mod telemetry;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use srl_proto::ndk as pb;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tonic::transport::Server;

use self::core::Core;
pub use self::faults::Refuse;
pub use self::feed::RouteFeed;
pub use self::programming::ProgrammedRoute;
pub use self::record::{TelemetryCall, TelemetryKind, TelemetryRecord, TelemetryTotals};
pub(crate) use self::rows::address_message;
pub use self::rows::{Key, RouteRow, Row};
pub use self::switches::{
    AcceptedPaths, AnnounceFirst, Enumerations, Misspelled, Spelling, StaleState, Switches, TooLarge,
};
use crate::datastore::Datastore;

/// File name of the NDK's unix socket; the colon is part of it.
pub const SOCKET_NAME: &str = "sr_sdk_service_manager:50053";

/// Why an NDK server does not run.
#[derive(Debug, thiserror::Error)]
pub enum NdkError {
    /// The unix socket cannot be bound.
    #[error("cannot listen on unix socket {path}")]
    Unix {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The TCP address cannot be bound.
    #[error("cannot listen on {address}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What an NDK server is started with.
#[derive(Clone, Debug)]
pub struct NdkOptions {
    /// Path of the unix socket.
    pub socket: PathBuf,
    /// TCP address to listen on as well.
    pub tcp: Option<SocketAddr>,
    /// Unsettled behaviour.
    pub switches: Switches,
}

/// How an application gets its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfigFormat {
    /// Names with underscores, every leaf wrapped in `{"value": ..}`: what an application gets that does not ask.
    #[default]
    ProtoJson,
    /// Plain JSON with YANG's names.
    Json,
    /// For applications that ignore configuration: bytes without meaning here.
    BinaryTlvs,
}

/// An application that may register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppInfo {
    /// Its name in app_mgr, which it must send as `agent_name`.
    pub name: String,
    /// `author`
    pub author: String,
    /// What its version command printed.
    pub version: String,
    /// How it wants configuration.
    pub config_format: ConfigFormat,
    /// The YANG modules it owns; their configuration is delivered to it.
    pub modules: Vec<String>,
}

/// News from the NDK to the rest of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NdkEvent {
    /// An application registered.
    Registered(String),
    /// An application begins to follow its configuration.
    ConfigFollowed(String),
    /// An application unregistered in good order.
    Unregistered(String),
    /// An application did not send its keepalive in time; it is to be killed.
    KeepaliveMissed(String),
    /// An application changed the routes it programs.
    RoutesProgrammed(String),
}

/// Handle of one NDK server; the server stops when the last handle is dropped or [`Ndk::stop`] is called.
#[derive(Clone)]
pub struct Ndk {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<Inner>,
    options: NdkOptions,
    life: Mutex<Option<Life>>,
}

/// The time between two restarts.
struct Life {
    gate: watch::Sender<link::Gate>,
    server: JoinHandle<()>,
    tcp: Option<SocketAddr>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.gate.send_replace(link::Gate::Cut);
        self.server.abort();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A socket file that is already gone is as good.
        let _ = std::fs::remove_file(&self.options.socket);
    }
}

/// What the services work on.
pub(crate) struct Inner {
    core: Mutex<Core>,
    switches: Switches,
    store: Datastore,
    faults: faults::Faults,
    record: TelemetryRecord,
    events: broadcast::Sender<NdkEvent>,
}

impl Inner {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manner(&self) -> streams::Manner {
        streams::Manner {
            batch: self.switches.batch.max(1),
            zero_interfaces_first: self.switches.zero_interfaces_first,
            zero_network_instances_first: self.switches.zero_network_instances_first,
        }
    }

    /// Whether a stream takes another subscription.
    fn takes_subscription(&self, core: &mut Core, app: &str, stream: u64) -> bool {
        self.switches.subscribe_while_open || core.stream(app, stream).is_some_and(|stream| !stream.is_open())
    }

    /// Nobody listening is fine: then nobody acts on it.
    fn tell(&self, event: NdkEvent) {
        let _ = self.events.send(event);
    }

    /// An application has registered: what an earlier life of it left is gone, what it wants mirrored is.
    fn registered(&self, app: &str) {
        if self.switches.stale_state == StaleState::UntilRegistered {
            self.store.wipe_owner(app);
        }
        self.mirror_all(app);
    }

    /// An application has unregistered: nothing of it remains.
    fn unregistered(&self, app: &str) {
        self.store.wipe_owner(app);
        if let Some(app) = self.core().apps.get_mut(app) {
            app.programmed = programming::Programmed::default();
            app.written.clear();
        }
        self.tell(NdkEvent::RoutesProgrammed(app.to_owned()));
    }
}

/// A service that leaves the length of messages to [`limit`].
macro_rules! unbounded {
    ($($server:ident)::+, $service:expr) => {
        pb::$($server)::+::new($service).max_decoding_message_size(usize::MAX)
    };
}

/// Starts an NDK server over a switch's datastore.
///
/// # Errors
/// [`NdkError`] when a socket cannot be bound.
pub async fn serve(options: NdkOptions, store: Datastore) -> Result<Ndk, NdkError> {
    let inner = Arc::new(Inner {
        core: Mutex::default(),
        switches: options.switches.clone(),
        store: store.clone(),
        faults: faults::Faults::default(),
        record: TelemetryRecord::new(),
        events: broadcast::Sender::new(1024),
    });
    inner.core().config = store.running();
    store.add_commit_hook(Arc::new(config::Hook(Arc::downgrade(&inner))));
    let ndk = Ndk { shared: Arc::new(Shared { inner, options, life: Mutex::default() }) };
    ndk.start().await?;
    Ok(ndk)
}

impl Ndk {
    /// Listens again after [`Ndk::stop`]; nothing happens when it does already.
    ///
    /// # Errors
    /// [`NdkError`] when a socket cannot be bound.
    pub async fn start(&self) -> Result<(), NdkError> {
        if self.shared.life().is_some() {
            return Ok(());
        }
        let options = &self.shared.options;
        let path = &options.socket;
        let unix = link::bind_unix(path).map_err(|source| NdkError::Unix { path: path.clone(), source })?;
        let tcp = match options.tcp {
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|source| NdkError::Tcp { address, source })?)
            }
            None => None,
        };
        let bound = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
        let gate = watch::Sender::new(link::Gate::Open);
        let incoming = link::incoming(unix, tcp, gate.subscribe());
        let service = service::Service(self.shared.inner.clone());
        let limit = limit::Limit(options.switches.too_large);
        let measured = tower::util::MapRequestLayer::new(move |request| limit.bound(request));
        let server = Server::builder()
            .layer(measured)
            .add_service(unbounded!(sdk_mgr_service_server::SdkMgrServiceServer, service.clone()))
            .add_service(unbounded!(sdk_notification_service_server::SdkNotificationServiceServer, service.clone()))
            .add_service(unbounded!(sdk_mgr_telemetry_service_server::SdkMgrTelemetryServiceServer, service.clone()))
            .add_service(unbounded!(sdk_mgr_config_service_server::SdkMgrConfigServiceServer, service.clone()))
            .add_service(unbounded!(sdk_mgr_route_service_server::SdkMgrRouteServiceServer, service.clone()))
            .add_service(unbounded!(sdk_mgr_next_hop_group_service_server::SdkMgrNextHopGroupServiceServer, service))
            .serve_with_incoming(incoming);
        let server = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::warn!(%error, "NDK server ended");
            }
        });
        *self.shared.life() = Some(Life { gate, server, tcp: bound });
        Ok(())
    }

    /// Cuts every connection, forgets every registration and removes the socket. State that applications wrote stays.
    pub async fn stop(&self) {
        let life = self.shared.life().take();
        if let Some(mut life) = life {
            life.gate.send_replace(link::Gate::Cut);
            life.server.abort();
            // Aborting is how it ends.
            let _ = (&mut life.server).await;
        }
        let _ = std::fs::remove_file(&self.shared.options.socket);
        self.shared.inner.core().forget_registrations();
    }

    /// Stops, stays away for a while, and starts again.
    ///
    /// # Errors
    /// [`NdkError`] when a socket cannot be bound.
    pub async fn restart(&self, away: Duration) -> Result<(), NdkError> {
        self.stop().await;
        tokio::time::sleep(away).await;
        self.start().await
    }

    /// The TCP address listened on, if one is.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.shared.life().as_ref().and_then(|life| life.tcp)
    }

    /// Path of the unix socket.
    pub fn socket(&self) -> &std::path::Path {
        &self.shared.options.socket
    }

    /// While frozen, connections stay, new ones are accepted, and nothing is answered.
    pub fn freeze(&self, frozen: bool) {
        if let Some(life) = &*self.shared.life() {
            life.gate.send_replace(if frozen { link::Gate::Frozen } else { link::Gate::Open });
        }
    }

    /// Ends every notification stream; calls keep working.
    pub fn drop_streams(&self) {
        self.shared.inner.core().drop_streams(self.shared.options.switches.streams_survive_drop);
    }

    /// Delays every call by this much; zero ends it.
    pub fn delay_calls(&self, delay: Duration) {
        self.shared.inner.faults.set_delay(delay);
    }

    /// Refuses telemetry writes from now on.
    pub fn refuse_telemetry(&self, refuse: Refuse) {
        self.shared.inner.faults.set_refuse(refuse);
    }

    /// The record of telemetry calls.
    pub fn record(&self) -> &TelemetryRecord {
        &self.shared.inner.record
    }

    /// Makes an application known, so that it may register, and returns its id; of a known one, replaces what is known.
    pub fn add_app(&self, app: AppInfo) -> u32 {
        self.shared.inner.core().add_app(app)
    }

    /// An application's process has ended without a word: its registration and streams end, what it wrote stays.
    pub fn app_gone(&self, name: &str) {
        self.shared.inner.core().unregister(name);
    }

    /// Whether an application is registered.
    pub fn is_registered(&self, name: &str) -> bool {
        self.shared.inner.core().registration(name).is_some()
    }

    /// Whether an application is registered and, if it acknowledges configuration, follows it.
    pub fn is_ready(&self, name: &str) -> bool {
        let core = self.shared.inner.core();
        let follows = || {
            let mut streams = core.streams.values().filter(|stream| stream.app == name);
            streams.any(|stream| !stream.config_readers().is_empty())
        };
        core.registration(name).is_some_and(|registration| !registration.wait_config_ack || follows())
    }

    /// Whether there is configuration for an application.
    pub(crate) fn has_config(&self, name: &str) -> bool {
        self.shared.inner.has_config(name)
    }

    /// How many streams are being read at the moment.
    pub fn open_streams(&self) -> usize {
        self.shared.inner.core().streams.values().filter(|stream| stream.is_open()).count()
    }

    /// Changes rows, in this order and all at once: streams get each of them, absent rows are removed.
    pub fn apply(&self, changes: impl IntoIterator<Item = (Key, Option<Row>)>) {
        let mut core = self.shared.inner.core();
        for (key, row) in changes {
            core.change(key, row);
        }
    }

    /// Streams a generated table too, to every stream opened from now on.
    pub fn set_feed(&self, feed: Option<Arc<dyn RouteFeed>>) {
        self.shared.inner.core().feed = feed;
    }

    /// The routes that applications programmed.
    pub fn programmed(&self) -> Vec<ProgrammedRoute> {
        self.shared.inner.programmed()
    }

    /// The id of an application, the switch's own included.
    pub fn app_id(&self, name: &str) -> Option<u32> {
        self.shared.inner.core().app_id(name)
    }

    /// News, from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<NdkEvent> {
        self.shared.inner.events.subscribe()
    }
}

impl Shared {
    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
