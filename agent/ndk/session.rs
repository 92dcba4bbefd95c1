//! Maintains the session with the NDK: one registration after another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use super::client::{CallError, Client};
use super::config::{self, Commit};
use super::recreate::{Recreate, SessionEnd};
use super::stream::{self, Outputs};
use super::telemetry::Telemetry;
use super::{AGENT_NAME, Options};
use crate::adapted::Adapted;
use crate::model::event::{Event, SourceEvent};
use crate::model::source::SourceId;
use crate::server_addr::ConnectError;
use crate::supervise::{Backoff, Outage, chain, stopped};

/// How long the NDK may take to unregister the agent at shutdown.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Most commits that wait for the answer to an earlier one; the switch makes one at a time.
const COMMITS: usize = 4;

/// One registration with the NDK.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Grows with each registration: state written under an earlier one must be written again.
    pub generation: u64,
    /// Writes state.
    pub telemetry: Telemetry,
}

/// Keeps the agent registered and follows its streams.
#[derive(Debug)]
pub struct Session {
    options: Options,
    events: mpsc::Sender<Event>,
    commits: mpsc::Sender<Commit>,
    stop: watch::Receiver<bool>,
    registration: watch::Sender<Option<Registration>>,
    generation: u64,
    client: Option<Client>,
    outage: Outage,
    adapted: Adapted,
}

impl Session {
    /// Creates a session that is not connected yet. Also returns a receiver of the registration, which is `None` while
    /// there is none.
    pub fn new(
        options: Options,
        events: mpsc::Sender<Event>,
        commits: mpsc::Sender<Commit>,
        stop: watch::Receiver<bool>,
    ) -> (Self, watch::Receiver<Option<Registration>>) {
        let (registration, watched) = watch::channel(None);
        let session = Self {
            options,
            events,
            commits,
            stop,
            registration,
            generation: 0,
            client: None,
            outage: Outage::new("the NDK"),
            adapted: Adapted::default(),
        };
        (session, watched)
    }

    /// Reports to `adapted` what the NDK is found to require.
    pub fn reporting(self, adapted: Adapted) -> Self {
        Self { adapted, ..self }
    }

    /// Runs until stopped, or until nobody receives its events or commits; then unregisters, so that the NDK removes
    /// the agent's state. If dropped at an await, it leaves registration and state behind.
    pub async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.supervise() => debug!("nobody listens to the NDK session any more"),
            () = stopped(&mut stop) => {}
        }
        self.registration.send_replace(None);
        let Some(mut client) = self.client.take() else { return };
        match tokio::time::timeout(UNREGISTER_TIMEOUT, client.unregister()).await {
            Ok(Ok(())) => info!("unregistered from the NDK"),
            Ok(Err(error)) => warn!(%error, "not unregistered from the NDK"),
            Err(_) => warn!("the NDK did not let the agent go in time"),
        }
    }

    async fn supervise(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let begun = Instant::now();
            let reason = match self.life().await {
                SessionEnd::Lost(reason) => reason,
                SessionEnd::Closed => return,
            };
            if begun.elapsed() >= Recreate::HEALTHY {
                backoff.reset();
            }
            if !self.lost(reason).await {
                return;
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Runs one registration, from its beginning to its end.
    async fn life(&mut self) -> SessionEnd {
        let (client, app_id) = match self.register().await {
            Ok(registered) => registered,
            Err(reason) => return SessionEnd::Lost(reason),
        };
        let ended = self.serve(client, app_id).await;
        self.registration.send_replace(None);
        self.client = None;
        ended
    }

    async fn register(&mut self) -> Result<(Client, u32), String> {
        let channel = self.options.endpoint.connect().await.map_err(|error| unreachable(&error))?;
        let mut client = Client::new(channel);
        let app_id = client
            .register(self.options.liveliness, self.options.enable_cache)
            .await
            .map_err(|error| format!("the NDK does not register {AGENT_NAME}: {error}"))?;
        Ok((client, app_id))
    }

    /// Serves the registration until it is lost.
    async fn serve(&mut self, client: Client, app_id: u32) -> SessionEnd {
        self.generation += 1;
        self.outage.is_over();
        info!(app_id, generation = self.generation, endpoint = %self.options.endpoint, "registered with the NDK");
        let registration = Registration { generation: self.generation, telemetry: client.telemetry() };
        self.client = Some(client.clone());
        self.registration.send_replace(Some(registration));

        let streaming = AtomicBool::new(false);
        let (gathered, commits) = mpsc::channel(COMMITS);
        let (mut for_stream, for_config) = (client.clone(), client.clone());
        let to = Outputs { events: &self.events, commits: gathered, adapted: &self.adapted };
        tokio::select! {
            ended = stream::follow(&mut for_stream, &self.options, &to, &streaming) => ended,
            ended = config::answer(&for_config, commits, &self.commits) => ended,
            ended = keep_alive(client, self.options.keepalive, &self.events, &streaming) => ended,
        }
    }

    /// Reports an outage; returns false if nobody receives events.
    async fn lost(&mut self, reason: String) -> bool {
        match self.outage.failed(reason) {
            Some(reason) => self.events.send(Event::Source(SourceId::Ndk, SourceEvent::Lost(reason))).await.is_ok(),
            None => !self.events.is_closed(),
        }
    }
}

/// Sends keepalives to the NDK; a single answer may be late.
async fn keep_alive(
    mut client: Client,
    interval: Duration,
    events: &mpsc::Sender<Event>,
    streaming: &AtomicBool,
) -> SessionEnd {
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = false;
    loop {
        ticks.tick().await;
        match client.keep_alive().await {
            Ok(()) => missed = false,
            Err(CallError::Timeout { .. }) if !missed => {
                missed = true;
                continue;
            }
            Err(error) => return SessionEnd::Lost(error.to_string()),
        }
        // Never wait here: the NDK would kill an agent whose engine is merely busy.
        let alive = Event::Source(SourceId::Ndk, SourceEvent::Alive);
        if streaming.load(Ordering::Relaxed)
            && let Err(TrySendError::Closed(_)) = events.try_send(alive)
        {
            return SessionEnd::Closed;
        }
    }
}

/// Describes why there is no connection, with what an operator can do about it.
pub(super) fn unreachable(error: &ConnectError) -> String {
    match error {
        ConnectError::Absent { .. } => {
            format!("{error}: the NDK server is off until 'set / system ndk-server admin-state enable' is committed")
        }
        other => chain(other),
    }
}
