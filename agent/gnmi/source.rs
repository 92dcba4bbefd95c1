//! Runs the supervised loop: one connection after another.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, warn};

use super::client::{Client, Credentials, Refusal, Secret, refusal};
use super::connection::Connection;
use super::investigator::Investigator;
use super::published::Published;
use super::requests::Requests;
use super::subscriptions::Plan;
use crate::adapted::Adapted;
use crate::endpoint::{ConnectError, Endpoint};
use crate::model::event::{Event, SourceEvent};
use crate::model::inquiry::Inquiry;
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::model::switch::{Coverage, FibFault, FibKey, RouteTable};
use crate::supervise::{Backoff, Outage, Throttle, chain, words};

/// Least time between two log lines about unreadable updates.
const COMPLAINTS: Duration = Duration::from_secs(30);
/// Most requests of all kinds in any minute, across reconnects and fallbacks: other clients share the server's limit.
const REQUESTS: usize = 30;
/// How long the server may take to name its encodings.
const CAPABILITIES_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that lived this long was healthy: the next attempt follows soon.
const HEALTHY: Duration = Duration::from_secs(60);

/// How the gNMI server is reached and used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server is.
    pub endpoint: Endpoint,
    /// The credentials of the agent.
    pub credentials: Credentials,
    /// How long a server may take to send the existing entries. Subscriptions have been seen to hang.
    pub sync_timeout: Duration,
    /// How long a sampled subscription may be silent: a peer may vanish without closing the connection. HTTP/2 pings
    /// cannot detect that: gRPC servers drop clients that ping more often than every five minutes.
    pub silence: Duration,
    /// How long a counter of failed routes may be ahead of the failures received.
    pub counter_lead: Duration,
    /// The pause after the server refused requests as too many: its limit is per minute.
    pub limit_pause: Duration,
    /// How often a refused password file is checked for a new password.
    pub password_poll: Duration,
}

impl Options {
    /// Returns options for the server at `endpoint`, with times that suit SR Linux's default limits.
    pub fn new(endpoint: Endpoint, credentials: Credentials) -> Self {
        Self {
            endpoint,
            credentials,
            sync_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(35),
            counter_lead: Duration::from_secs(5),
            limit_pause: Duration::from_secs(60),
            password_poll: Duration::from_secs(5),
        }
    }
}

/// Follows neighbors, counters and FIB programming.
#[derive(Debug)]
pub struct Source {
    pub(super) options: Options,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) instances: watch::Receiver<BTreeSet<NetworkInstanceName>>,
    /// What the engine asks.
    pub(super) inquiry: watch::Receiver<Inquiry>,
    pub(super) investigator: Investigator,
    pub(super) adapted: Adapted,
    reload: watch::Receiver<u64>,
    /// What the server is asked for; `None` until its encodings are known.
    plan: Option<Plan>,
    pub(super) requests: Requests,
    pub(super) complaints: Throttle,
    pub(super) outage: Outage,
    /// What servers refused, each logged once.
    refused: BTreeSet<String>,
    pub(super) published: Sent,
}

/// What the engine was sent; kept when the connection is lost.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) faults: Published<FibKey, FibFault>,
    pub(super) active_routes: Published<RouteTable, u64>,
    pub(super) coverage: Option<Coverage>,
}

/// Why a connection has ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is unusable, for this reason.
    Lost(Cause, String),
    /// The server must be asked for something else, at once.
    Replanned,
    /// Nobody receives events any more.
    Closed,
}

/// What the next attempt must wait for.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// The usual pause.
    Other,
    /// The pause for limited requests.
    Limit,
    /// A password other than this one.
    Credentials(Secret),
}

impl Source {
    /// Creates a source that is not connected yet. `instances` are the network instances whose FIB programming matters,
    /// `inquiry` is what the engine asks. A change of `reload` ends a pause, so that new credentials are tried at once.
    pub fn new(
        options: Options,
        events: mpsc::Sender<Event>,
        instances: watch::Receiver<BTreeSet<NetworkInstanceName>>,
        inquiry: watch::Receiver<Inquiry>,
        reload: watch::Receiver<u64>,
    ) -> Self {
        Self {
            options,
            events,
            instances,
            inquiry,
            investigator: Investigator::default(),
            adapted: Adapted::default(),
            reload,
            plan: None,
            requests: Requests::new(REQUESTS),
            complaints: Throttle::new(COMPLAINTS),
            outage: Outage::new("gNMI"),
            refused: BTreeSet::new(),
            published: Sent::default(),
        }
    }

    /// Reports to `adapted` what servers are found to require.
    pub fn reporting(self, adapted: Adapted) -> Self {
        Self { adapted, ..self }
    }

    /// Runs until nobody receives its events. May be dropped at any await.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let begun = Instant::now();
            let (cause, reason) = match self.follow().await {
                Ended::Lost(cause, reason) => (cause, reason),
                Ended::Replanned => continue,
                Ended::Closed => return,
            };
            if begun.elapsed() >= HEALTHY {
                backoff.reset();
            }
            // The next server may be of another release and support more.
            self.plan = None;
            if !self.lost(reason).await {
                return;
            }
            let pause = match cause {
                Cause::Limit => self.options.limit_pause,
                Cause::Credentials(_) => backoff.pause().max(self.options.password_poll),
                Cause::Other => backoff.pause(),
            };
            let events = self.events.clone();
            tokio::select! {
                () = self.wait(cause, pause) => {}
                () = events.closed() => return,
            }
        }
    }

    /// Reports an outage; returns false if nobody receives events.
    async fn lost(&mut self, reason: String) -> bool {
        match self.outage.failed(reason) {
            Some(reason) => self.events.send(Event::Source(SourceId::Gnmi, SourceEvent::Lost(reason))).await.is_ok(),
            None => !self.events.is_closed(),
        }
    }

    /// Waits before the next attempt: for the pause, a reload, or a password that was not refused yet.
    async fn wait(&mut self, cause: Cause, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let poll = Instant::now() + self.options.password_poll;
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                Ok(()) = self.reload.changed() => return,
                () = tokio::time::sleep_until(poll) => {}
            }
            if let Cause::Credentials(refused) = &cause
                && self.options.credentials.read().await.is_ok_and(|secret| secret != *refused)
            {
                return;
            }
        }
    }

    async fn follow(&mut self) -> Ended {
        // A reload before this reading of the password has no further effect.
        self.reload.mark_unchanged();
        let secret = match self.options.credentials.read().await {
            Ok(secret) => secret,
            Err(error) => return Ended::Lost(Cause::Other, chain(&error)),
        };
        let mut client = match Client::connect(&self.options.endpoint, secret.clone()).await {
            Ok(client) => client,
            Err(error) => return Ended::Lost(Cause::Other, unreachable(&error)),
        };
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => match self.capabilities(&mut client).await {
                Ok(plan) => plan,
                Err(status) => return self.refused_credentials(&secret, &status),
            },
        };
        self.admit().await;
        let mut connection = Connection::open(self, client, secret, plan);
        let ended = loop {
            if let Err(ended) = connection.step().await {
                break ended;
            }
        };
        let plan = connection.into_plan();
        self.plan = Some(plan);
        ended
    }

    /// Waits until one more request is within the limit.
    async fn admit(&mut self) {
        while let Err(at) = self.requests.admit(Instant::now()) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Asks for the encodings that the server supports. Without an answer, the usual one is tried.
    ///
    /// # Errors
    /// If the server does not accept the credentials.
    async fn capabilities(&mut self, client: &mut Client) -> Result<Plan, Status> {
        self.admit().await;
        match tokio::time::timeout(CAPABILITIES_TIMEOUT, client.encodings()).await {
            Ok(Ok(encodings)) => Ok(Plan::for_server(&encodings)),
            Ok(Err(status)) if refusal(&status) == Refusal::Credentials => Err(status),
            Ok(Err(status)) => {
                debug!(status = words(&status), "the gNMI server does not name its encodings");
                Ok(Plan::default())
            }
            Err(_) => Ok(Plan::default()),
        }
    }

    /// Returns the end of a connection whose credentials were not accepted.
    pub(super) fn refused_credentials(&self, secret: &Secret, status: &Status) -> Ended {
        let who = self.options.credentials.words(secret);
        let endpoint = &self.options.endpoint;
        let reason = format!("the gNMI server at {endpoint} does not accept {who}: {}", words(status));
        Ended::Lost(Cause::Credentials(secret.clone()), reason)
    }

    /// Logs what the server refuses, once each.
    pub(super) fn log_refusal(&mut self, what: String, status: &Status) {
        if self.refused.insert(what.clone()) {
            warn!(what, status = words(status), "the gNMI server refuses a part of the subscription");
        }
    }

    /// Sends an event. Borrows nothing while it waits, since a Get that is under way can be sent to another thread, but
    /// not shared.
    pub(super) fn send(&self, event: Event) -> impl Future<Output = Result<(), Ended>> + use<> {
        let events = self.events.clone();
        async move { events.send(event).await.map_err(|_| Ended::Closed) }
    }

    /// Logs what could not be read, and counts it.
    pub(super) async fn left_out(&mut self, errors: Vec<String>) -> Result<(), Ended> {
        for error in errors {
            if let Some(held_back) = self.complaints.admit(Instant::now()) {
                warn!(error, held_back, "gNMI update left out");
            }
            self.send(Event::Source(SourceId::Gnmi, SourceEvent::Malformed)).await?;
        }
        Ok(())
    }
}

/// Describes why there is no connection, with what an operator can do about it.
pub(super) fn unreachable(error: &ConnectError) -> String {
    match error {
        ConnectError::Absent { .. } => {
            format!("{error}: it is there once 'system grpc-server' of that name has its unix-socket enabled")
        }
        other => chain(other),
    }
}
