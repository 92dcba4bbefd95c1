//! Runs the supervised loop: one connection after another.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;
use tracing::debug;

use super::client::{Client, Refusal, refusal};
use super::connection::Connection;
use super::link::{Cause, ConnectionEnd, Link, Options};
use super::subscriptions::Plan;
use crate::adapted::Adapted;
use crate::model::event::{Event, SourceEvent};
use crate::model::inquiry::Inquiry;
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::server_addr::ConnectError;
use crate::supervise::{Backoff, chain, words};

/// How long the server may take to name its encodings.
const CAPABILITIES_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that lived this long was healthy: the next attempt follows soon.
const HEALTHY: Duration = Duration::from_secs(60);

/// Follows neighbors, counters and FIB programming.
#[derive(Debug)]
pub struct Source {
    link: Link,
    reload: watch::Receiver<u64>,
    /// What the server is asked for; `None` until its encodings are known.
    plan: Option<Plan>,
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
        Self { link: Link::new(options, events, instances, inquiry), reload, plan: None }
    }

    /// Reports to `adapted` what servers are found to require.
    pub fn reporting(mut self, adapted: Adapted) -> Self {
        self.link.adapted = adapted;
        self
    }

    /// Runs until nobody receives its events. May be dropped at any await.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let begun = Instant::now();
            let (cause, reason) = match self.follow().await {
                ConnectionEnd::Lost(cause, reason) => (cause, reason),
                ConnectionEnd::Replanned => continue,
                ConnectionEnd::Closed => return,
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
                Cause::Limit => self.link.options.limit_pause,
                Cause::Credentials(_) => backoff.pause().max(self.link.options.password_poll),
                Cause::Other => backoff.pause(),
            };
            let events = self.link.events.clone();
            tokio::select! {
                () = self.wait(cause, pause) => {}
                () = events.closed() => return,
            }
        }
    }

    /// Reports an outage; returns false if nobody receives events.
    async fn lost(&mut self, reason: String) -> bool {
        match self.link.outage.failed(reason) {
            Some(reason) => {
                self.link.events.send(Event::Source(SourceId::Gnmi, SourceEvent::Lost(reason))).await.is_ok()
            }
            None => !self.link.events.is_closed(),
        }
    }

    /// Waits before the next attempt: for the pause, a reload, or a password that was not refused yet.
    async fn wait(&mut self, cause: Cause, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let poll = Instant::now() + self.link.options.password_poll;
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                Ok(()) = self.reload.changed() => return,
                () = tokio::time::sleep_until(poll) => {}
            }
            if let Cause::Credentials(refused) = &cause
                && self.link.options.credentials.read().await.is_ok_and(|secret| secret != *refused)
            {
                return;
            }
        }
    }

    async fn follow(&mut self) -> ConnectionEnd {
        // A reload before this reading of the password has no further effect.
        self.reload.mark_unchanged();
        let secret = match self.link.options.credentials.read().await {
            Ok(secret) => secret,
            Err(error) => return ConnectionEnd::Lost(Cause::Other, chain(&error)),
        };
        let mut client = match Client::connect(&self.link.options.endpoint, secret.clone()).await {
            Ok(client) => client,
            Err(error) => return ConnectionEnd::Lost(Cause::Other, unreachable(&error)),
        };
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => match self.capabilities(&mut client).await {
                Ok(plan) => plan,
                Err(status) => return self.link.refused_credentials(&secret, &status),
            },
        };
        self.admit().await;
        let mut connection = Connection::open(&mut self.link, client, secret, plan);
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
        while let Err(at) = self.link.requests.admit(Instant::now()) {
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
