//! Keeps what outlives one connection: what it is made by, what the engine asks, and what the engine was sent.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;
use tracing::warn;

use super::client::{Credentials, Secret};
use super::investigator::Investigator;
use super::published::Published;
use super::requests::Requests;
use crate::adapted::Adapted;
use crate::model::event::{Event, SourceEvent};
use crate::model::inquiry::Inquiry;
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::model::switch::{Coverage, FibFault, FibKey, RouteTable};
use crate::server_addr::ServerAddr;
use crate::supervise::{Outage, Throttle, words};

/// Least time between two log lines about unreadable updates.
const COMPLAINTS: Duration = Duration::from_secs(30);
/// Most requests of all kinds in any minute, across reconnects and fallbacks: other clients share the server's limit.
const REQUESTS: usize = 30;

/// How the gNMI server is reached and used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server is.
    pub endpoint: ServerAddr,
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
    pub fn new(endpoint: ServerAddr, credentials: Credentials) -> Self {
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

/// What the connections, one after another, share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) options: Options,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) instances: watch::Receiver<BTreeSet<NetworkInstanceName>>,
    /// What the engine asks.
    pub(super) inquiry: watch::Receiver<Inquiry>,
    pub(super) investigator: Investigator,
    pub(super) adapted: Adapted,
    pub(super) requests: Requests,
    complaints: Throttle,
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
pub(super) enum ConnectionEnd {
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

impl Link {
    pub(super) fn new(
        options: Options,
        events: mpsc::Sender<Event>,
        instances: watch::Receiver<BTreeSet<NetworkInstanceName>>,
        inquiry: watch::Receiver<Inquiry>,
    ) -> Self {
        Self {
            options,
            events,
            instances,
            inquiry,
            investigator: Investigator::default(),
            adapted: Adapted::default(),
            requests: Requests::new(REQUESTS),
            complaints: Throttle::new(COMPLAINTS),
            outage: Outage::new("gNMI"),
            refused: BTreeSet::new(),
            published: Sent::default(),
        }
    }

    /// Returns the end of a connection whose credentials were not accepted.
    pub(super) fn refused_credentials(&self, secret: &Secret, status: &Status) -> ConnectionEnd {
        let who = self.options.credentials.words(secret);
        let endpoint = &self.options.endpoint;
        let reason = format!("the gNMI server at {endpoint} does not accept {who}: {}", words(status));
        ConnectionEnd::Lost(Cause::Credentials(secret.clone()), reason)
    }

    /// Logs what the server refuses, once each.
    pub(super) fn log_refusal(&mut self, what: String, status: &Status) {
        if self.refused.insert(what.clone()) {
            warn!(what, status = words(status), "the gNMI server refuses a part of the subscription");
        }
    }

    /// Sends an event. Borrows nothing while it waits, since a Get that is under way can be sent to another thread, but
    /// not shared.
    pub(super) fn send(&self, event: Event) -> impl Future<Output = Result<(), ConnectionEnd>> + use<> {
        let events = self.events.clone();
        async move { events.send(event).await.map_err(|_| ConnectionEnd::Closed) }
    }

    /// Logs what could not be read, and counts it.
    pub(super) async fn left_out(&mut self, errors: Vec<String>) -> Result<(), ConnectionEnd> {
        for error in errors {
            if let Some(held_back) = self.complaints.admit(Instant::now()) {
                warn!(error, held_back, "gNMI update left out");
            }
            self.send(Event::Source(SourceId::Gnmi, SourceEvent::Malformed)).await?;
        }
        Ok(())
    }
}
