//! The NDK 0.5.0 server of one emulated switch.
//!
//! An application connects to a unix socket, names itself in the metadata of every call, and registers. From then on it
//! subscribes to what the switch knows and writes its own state to the switch's datastore. The switch uses the [`Ndk`]
//! handle to put rows into the NDK's tables and to cause faults.
//!
//! One lock guards the state of the server (`core`); it is never held across an await. Each reader of a stream pulls:
//! nothing is queued per reader except one note per changed key (`streams`).

mod config;
mod core;
mod delivery;
mod dialect;
mod faults;
mod feed;
pub(crate) mod limit;
pub(crate) mod link;
mod programmed;
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
pub use self::programmed::ProgrammedRoute;
pub use self::record::{TelemetryCall, TelemetryKind, TelemetryRecord, TelemetryTotals};
pub(crate) use self::rows::address_message;
pub use self::rows::{Key, RouteRow, Row};
pub use self::switches::{
    AcceptedPaths, AnnounceFirst, Enumerations, Misspelled, Spelling, StaleState, Switches, TooLarge,
};
use crate::datastore::Datastore;

/// File name of the NDK's unix socket; the colon is part of it.
pub const SOCKET_NAME: &str = "sr_sdk_service_manager:50053";

/// Why an NDK server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NdkError {
    /// The unix socket cannot be bound.
    #[error("cannot listen on unix socket {path}")]
    Unix {
        /// Path of the socket.
        path: PathBuf,
        /// Why it cannot be bound.
        #[source]
        source: io::Error,
    },
    /// The TCP address cannot be bound.
    #[error("cannot listen on {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why it cannot be bound.
        #[source]
        source: io::Error,
    },
}

/// Options of an NDK server.
#[derive(Clone, Debug)]
pub struct NdkOptions {
    /// Path of the unix socket.
    pub socket: PathBuf,
    /// TCP address to listen on in addition.
    pub tcp: Option<SocketAddr>,
    /// Behaviour that is uncertain.
    pub switches: Switches,
}

/// Format in which an application receives configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfigFormat {
    /// Names with underscores, and every leaf wrapped in `{"value": ..}`. The default.
    #[default]
    ProtoJson,
    /// Plain JSON with the names of YANG.
    Json,
    /// Bytes without meaning here, for applications that ignore configuration.
    BinaryTlvs,
}

/// An application that may register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppInfo {
    /// Name in app_mgr, which the application must send as `agent_name`.
    pub name: String,
    /// `author`
    pub author: String,
    /// Version printed by its version command.
    pub version: String,
    /// Format of its configuration.
    pub config_format: ConfigFormat,
    /// The YANG modules it owns. Their configuration is delivered to it.
    pub modules: Vec<String>,
}

/// Events of the NDK for the rest of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NdkEvent {
    /// An application registered.
    Registered(String),
    /// An application began to read its configuration.
    ConfigFollowed(String),
    /// An application unregistered.
    Unregistered(String),
    /// An application did not send its keepalive in time and must be killed.
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

/// A running server, between [`Ndk::start`] and [`Ndk::stop`].
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
        // The socket file may be gone already.
        let _ = std::fs::remove_file(&self.options.socket);
    }
}

/// State that all services share.
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

    /// Returns whether a stream accepts another subscription.
    fn takes_subscription(&self, core: &mut Core, app: &str, stream: u64) -> bool {
        self.switches.subscribe_while_open || core.stream(app, stream).is_some_and(|stream| !stream.is_open())
    }

    /// Sends an event. It is lost if nobody listens, which is fine.
    fn tell(&self, event: NdkEvent) {
        let _ = self.events.send(event);
    }

    /// Handles a registration: removes the state that an earlier process of the application left, and mirrors its
    /// configuration if it asked for that.
    fn registered(&self, app: &str) {
        if self.switches.stale_state == StaleState::UntilRegistered {
            self.store.wipe_owner(app);
        }
        self.mirror_all(app);
    }

    /// Handles the end of a registration by request: removes everything of the application.
    fn unregistered(&self, app: &str) {
        self.store.wipe_owner(app);
        if let Some(app) = self.core().apps.get_mut(app) {
            app.programmed = programmed::Programmed::default();
            app.written.clear();
        }
        self.tell(NdkEvent::RoutesProgrammed(app.to_owned()));
    }
}

/// Creates a service that leaves the size of messages to [`limit`].
macro_rules! unbounded {
    ($($server:ident)::+, $service:expr) => {
        pb::$($server)::+::new($service).max_decoding_message_size(usize::MAX)
    };
}

/// Starts an NDK server for a switch's datastore.
///
/// # Errors
/// [`NdkError`] if a socket cannot be bound.
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
    /// Listens again after [`Ndk::stop`]. Does nothing if the server is listening.
    ///
    /// # Errors
    /// [`NdkError`] if a socket cannot be bound.
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

    /// Cuts every connection, forgets every registration and removes the socket. The state that applications wrote is
    /// kept.
    pub async fn stop(&self) {
        let life = self.shared.life().take();
        if let Some(mut life) = life {
            life.gate.send_replace(link::Gate::Cut);
            life.server.abort();
            // The task was aborted, so its result does not matter.
            let _ = (&mut life.server).await;
        }
        let _ = std::fs::remove_file(&self.shared.options.socket);
        self.shared.inner.core().forget_registrations();
    }

    /// Stops, waits for `away`, and starts again.
    ///
    /// # Errors
    /// [`NdkError`] if a socket cannot be bound.
    pub async fn restart(&self, away: Duration) -> Result<(), NdkError> {
        self.stop().await;
        tokio::time::sleep(away).await;
        self.start().await
    }

    /// Returns the TCP address it listens on, if any.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.shared.life().as_ref().and_then(|life| life.tcp)
    }

    /// Returns the path of the unix socket.
    pub fn socket(&self) -> &std::path::Path {
        &self.shared.options.socket
    }

    /// Freezes or thaws the server. While frozen, it keeps and accepts connections but answers nothing.
    pub fn freeze(&self, frozen: bool) {
        if let Some(life) = &*self.shared.life() {
            life.gate.send_replace(if frozen { link::Gate::Frozen } else { link::Gate::Open });
        }
    }

    /// Ends every notification stream. Calls keep working.
    pub fn drop_streams(&self) {
        self.shared.inner.core().drop_streams(self.shared.options.switches.streams_survive_drop);
    }

    /// Delays every call by this time; zero ends the delay.
    pub fn delay_calls(&self, delay: Duration) {
        self.shared.inner.faults.set_delay(delay);
    }

    /// Refuses telemetry writes from now on.
    pub fn refuse_telemetry(&self, refuse: Refuse) {
        self.shared.inner.faults.set_refuse(refuse);
    }

    /// Returns the record of telemetry calls.
    pub fn record(&self) -> &TelemetryRecord {
        &self.shared.inner.record
    }

    /// Adds an application that may register, or replaces what is known about it. Returns its id.
    pub fn add_app(&self, app: AppInfo) -> u32 {
        self.shared.inner.core().add_app(app)
    }

    /// Handles the unexpected end of an application's process: its registration and streams end, but its state is kept.
    pub fn app_gone(&self, name: &str) {
        self.shared.inner.core().unregister(name);
    }

    /// Returns whether an application is registered.
    pub fn is_registered(&self, name: &str) -> bool {
        self.shared.inner.core().registration(name).is_some()
    }

    /// Returns whether an application is registered and, if it acknowledges configuration, reads it.
    pub fn is_ready(&self, name: &str) -> bool {
        let core = self.shared.inner.core();
        let follows = || {
            let mut streams = core.streams.values().filter(|stream| stream.app == name);
            streams.any(|stream| !stream.config_readers().is_empty())
        };
        core.registration(name).is_some_and(|registration| !registration.wait_config_ack || follows())
    }

    /// Returns whether an application has configuration.
    pub(crate) fn has_config(&self, name: &str) -> bool {
        self.shared.inner.has_config(name)
    }

    /// Returns the number of streams that are being read.
    pub fn open_streams(&self) -> usize {
        self.shared.inner.core().streams.values().filter(|stream| stream.is_open()).count()
    }

    /// Changes rows in this order and all at once. Streams get each change; absent rows are removed.
    pub fn apply(&self, changes: impl IntoIterator<Item = (Key, Option<Row>)>) {
        let mut core = self.shared.inner.core();
        for (key, row) in changes {
            core.change(key, row);
        }
    }

    /// Sets a generated table that is streamed too, to every stream opened from now on.
    pub fn set_feed(&self, feed: Option<Arc<dyn RouteFeed>>) {
        self.shared.inner.core().feed = feed;
    }

    /// Returns the routes that applications programmed.
    pub fn programmed(&self) -> Vec<ProgrammedRoute> {
        self.shared.inner.programmed()
    }

    /// Returns the id of an application, including the switch's own.
    pub fn app_id(&self, name: &str) -> Option<u32> {
        self.shared.inner.core().app_id(name)
    }

    /// Returns events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<NdkEvent> {
        self.shared.inner.events.subscribe()
    }
}

impl Shared {
    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
