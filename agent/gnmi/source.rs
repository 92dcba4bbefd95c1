//! The supervised loop: one connection after another, and what each is followed for.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, info, warn};

use super::client::{Client, Credentials, Refusal, Secret, refusal};
use super::fib::{Counters, Fib};
use super::leaf::leaves;
use super::neighbors::Neighbors;
use super::path::elems;
use super::subscriptions::{Leaf, Plan, Rpc};
use crate::endpoint::{ConnectError, Endpoint};
use crate::model::event::{Event, SourceEvent, SourceId};
use crate::model::names::NetworkInstanceName;
use crate::supervise::{Backoff, Throttle, chain, words};
use gnmi::subscribe_response::Response;
use srl_proto::gnmi;

/// At most one log line about unreadable updates in this time.
const COMPLAINTS: Duration = Duration::from_secs(30);
/// That the server lives is worth telling this often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// What has lived this long was healthy: the next attempt follows soon.
const HEALTHY: Duration = Duration::from_secs(60);

/// How the gNMI server is reached and used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub endpoint: Endpoint,
    /// Who asks.
    pub credentials: Credentials,
    /// How long a server may take to tell what stands. Subscriptions have been seen to hang.
    pub sync_timeout: Duration,
    /// How long a subscription may say nothing while it should tell samples: a peer may be gone without a word. HTTP/2 pings
    /// are no way to find out: gRPC servers drop clients that ping more often than every five minutes.
    pub silence: Duration,
    /// How long a counter of failed routes may be ahead of the failures that were told.
    pub counter_lead: Duration,
    /// The pause after the server said that it is asked too often: limits count by the minute.
    pub limit_pause: Duration,
    /// How often a refused password file is looked at for a new password.
    pub password_poll: Duration,
}

impl Options {
    /// The server at `endpoint`, with times that suit SR Linux's default limits.
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

/// Follows neighbors and FIB programming.
#[derive(Debug)]
pub struct Source {
    options: Options,
    events: mpsc::Sender<Event>,
    instances: watch::Receiver<BTreeSet<NetworkInstanceName>>,
    reload: watch::Receiver<u64>,
    plan: Plan,
    complaints: Throttle,
    /// What keeps the server out of reach, as last said.
    outage: Option<String>,
    /// What servers were found not to know, each said once.
    said: BTreeSet<String>,
}

/// Why a connection is not followed any more.
#[derive(Debug)]
enum Ended {
    /// It is of no use, with the reason.
    Lost(Cause, String),
    /// The server is to be asked for something else, at once.
    Replanned,
    /// Nobody listens any more.
    Closed,
}

/// What the next attempt has to wait for.
#[derive(Clone, Debug)]
enum Cause {
    /// Time.
    Other,
    /// A minute.
    Limit,
    /// Another password than this one.
    Credentials(Secret),
}

type Responses = BoxStream<'static, Result<gnmi::SubscribeResponse, Status>>;

impl Source {
    /// A source that is not connected yet. `instances` are the network instances whose FIB programming matters; a change
    /// of `reload` cuts a pause short, so that new credentials are tried at once.
    pub fn new(
        options: Options,
        events: mpsc::Sender<Event>,
        instances: watch::Receiver<BTreeSet<NetworkInstanceName>>,
        reload: watch::Receiver<u64>,
    ) -> Self {
        let complaints = Throttle::new(COMPLAINTS);
        Self {
            options,
            events,
            instances,
            reload,
            plan: Plan::default(),
            complaints,
            outage: None,
            said: BTreeSet::new(),
        }
    }

    /// Runs until nobody listens to its events. May be dropped at any await.
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
            // The next server may be of another release, and know more.
            self.plan = Plan::default();
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

    /// Tells of an outage, once per reason; false if nobody listens.
    async fn lost(&mut self, reason: String) -> bool {
        if self.outage.as_ref() == Some(&reason) {
            debug!(reason, "gNMI is still out of reach");
            return true;
        }
        warn!(reason, "gNMI is out of reach");
        let lost = SourceEvent::Lost(reason.as_str().into());
        self.outage = Some(reason);
        self.events.send(Event::Source(SourceId::Gnmi, lost)).await.is_ok()
    }

    /// Waits before the next attempt: for the pause, for a reload, or for a password that was not refused yet.
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
        // A reload before this reading of the password is no news.
        self.reload.mark_unchanged();
        let secret = match self.options.credentials.read().await {
            Ok(secret) => secret,
            Err(error) => return Ended::Lost(Cause::Other, chain(&error)),
        };
        let client = match Client::connect(&self.options.endpoint, secret.clone()).await {
            Ok(client) => client,
            Err(error) => return Ended::Lost(Cause::Other, unreachable(&error)),
        };
        let deadline = Instant::now() + self.options.sync_timeout;
        let state = client.subscribe(self.plan.state());
        let mut connection = Connection {
            source: self,
            client,
            secret,
            state,
            changing: None,
            standing: None,
            neighbors: Neighbors::default(),
            counters: Counters::default(),
            fib: Fib::default(),
            instances: BTreeSet::new(),
            with_standing: BTreeSet::new(),
            state_deadline: Some(deadline),
            fib_deadline: None,
            recheck: None,
            retry: None,
            silence: None,
            alive: None,
            synced: false,
        };
        loop {
            if let Err(ended) = connection.step().await {
                return ended;
            }
        }
    }

    /// Says what the server does without, once.
    fn say(&mut self, what: String, status: &Status) {
        if self.said.insert(what.clone()) {
            warn!(what, status = words(status), "the gNMI server refuses a part of the subscription");
        }
    }

    async fn send(&self, event: Event) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended::Closed)
    }

    /// Names what could not be read, and counts it.
    async fn left_out(&mut self, errors: Vec<String>) -> Result<(), Ended> {
        for error in errors {
            if let Some(held_back) = self.complaints.admit(Instant::now()) {
                warn!(error, held_back, "gNMI update left out");
            }
            self.send(Event::Source(SourceId::Gnmi, SourceEvent::Malformed)).await?;
        }
        Ok(())
    }
}

/// One connection and what it is followed for.
struct Connection<'a> {
    source: &'a mut Source,
    client: Client,
    secret: Secret,
    /// Neighbors and counters.
    state: Responses,
    /// FIB programming: what changes.
    changing: Option<Responses>,
    /// FIB programming where some failed before: also what stands.
    standing: Option<Responses>,
    neighbors: Neighbors,
    counters: Counters,
    fib: Fib,
    /// The network instances followed.
    instances: BTreeSet<NetworkInstanceName>,
    /// Of them those whose standing failures were asked for.
    with_standing: BTreeSet<NetworkInstanceName>,
    /// Until when neighbors must be told; none once they are.
    state_deadline: Option<Instant>,
    /// Until when FIB programming is waited for; none while it is not.
    fib_deadline: Option<Instant>,
    /// When counters are held against the failures known.
    recheck: Option<Instant>,
    /// When FIB programming is asked for again after the server had enough.
    retry: Option<Instant>,
    /// When a server that says nothing counts as gone; none where it is not asked for samples.
    silence: Option<Instant>,
    /// When a sign of life was passed on last; none before something has been told: there may be a socket, and no server.
    alive: Option<Instant>,
    /// Everything has been told once.
    synced: bool,
}

/// Which subscription a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    State,
    Standing,
    Changing,
}

/// What happens next on a connection.
enum Input {
    Message(Stream, Option<Result<gnmi::SubscribeResponse, Status>>),
    Instances,
    Time,
}

impl Connection<'_> {
    /// Takes the next message, change or moment.
    async fn step(&mut self) -> Result<(), Ended> {
        let timers = [self.state_deadline, self.fib_deadline, self.recheck, self.retry, self.silence];
        let timer = timers.into_iter().flatten().min();
        let known = self.state_deadline.is_none();
        let input = tokio::select! {
            message = self.state.next() => Input::Message(Stream::State, message),
            message = next(&mut self.standing) => Input::Message(Stream::Standing, message),
            message = next(&mut self.changing) => Input::Message(Stream::Changing, message),
            Ok(()) = self.source.instances.changed(), if known => Input::Instances,
            () = tokio::time::sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => Input::Time,
        };
        match input {
            Input::Message(stream, message) => self.message(stream, message).await,
            Input::Instances => {
                if *self.source.instances.borrow() != self.instances {
                    self.follow_fib().await?;
                }
                Ok(())
            }
            Input::Time => self.time(Instant::now()).await,
        }
    }

    async fn message(
        &mut self,
        stream: Stream,
        message: Option<Result<gnmi::SubscribeResponse, Status>>,
    ) -> Result<(), Ended> {
        match (stream, message) {
            (_, Some(Ok(response))) => {
                if stream == Stream::State {
                    self.heard().await?;
                }
                self.response(stream, response).await
            }
            (Stream::State, Some(Err(status))) => self.refused(Rpc::State, &status).await,
            (_, Some(Err(status))) => self.refused(Rpc::Fib, &status).await,
            (_, None) => Err(Ended::Lost(Cause::Other, "the gNMI server ended the subscription".to_owned())),
        }
    }

    /// The subscription that is sampled has said something.
    async fn heard(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let sampled = self.source.plan.wants(Leaf::Clock);
        self.silence = sampled.then(|| now + self.source.options.silence);
        let news = match self.alive {
            None => SourceEvent::Syncing,
            Some(last) if now.duration_since(last) < ALIVE_INTERVAL => return Ok(()),
            Some(_) => SourceEvent::Alive,
        };
        self.alive = Some(now);
        self.source.send(Event::Source(SourceId::Gnmi, news)).await
    }

    async fn response(&mut self, stream: Stream, response: gnmi::SubscribeResponse) -> Result<(), Ended> {
        match response.response {
            Some(Response::Update(notification)) => self.notification(notification).await,
            Some(Response::SyncResponse(_)) => match stream {
                Stream::State => self.state_synced().await,
                Stream::Standing => self.fib_synced().await,
                Stream::Changing => Ok(()),
            },
            #[allow(deprecated)]
            Some(Response::Error(error)) => {
                Err(Ended::Lost(Cause::Other, format!("the gNMI server ended the subscription: {}", error.message)))
            }
            None => Ok(()),
        }
    }

    async fn notification(&mut self, notification: gnmi::Notification) -> Result<(), Ended> {
        let errors = self.merge(&notification);
        if !errors.is_empty() {
            self.source.left_out(errors).await?;
        }
        if self.state_deadline.is_none() {
            for change in self.neighbors.changes() {
                self.source.send(Event::Neighbors(change)).await?;
            }
        }
        if self.synced && self.fib_deadline.is_none() {
            for change in self.fib.changes() {
                self.source.send(Event::Fib(change)).await?;
            }
        }
        Ok(())
    }

    /// Merges a notification into the tables, deletes first as gNMI has it; gives what could not be read.
    fn merge(&mut self, notification: &gnmi::Notification) -> Vec<String> {
        let mut errors = Vec::new();
        let prefix = notification.prefix.as_ref();
        for path in &notification.delete {
            let path = elems(prefix, Some(path));
            self.neighbors.delete(&path);
            errors.extend(self.fib.delete(&path).err().map(|error| error.to_string()));
        }
        for update in &notification.update {
            let Self { neighbors, fib, counters, recheck, source, .. } = self;
            let read = leaves(prefix, update, |path, value| {
                let counted = counters.set(path, value);
                if counted.as_ref().is_ok_and(Option::is_some) {
                    recheck.get_or_insert_with(|| Instant::now() + source.options.counter_lead);
                }
                errors.extend(counted.err().map(|error| error.to_string()));
                errors.extend(neighbors.set(path, value).err().map(|error| error.to_string()));
                errors.extend(fib.set(path, value).err().map(|error| error.to_string()));
            });
            errors.extend(read.err().map(|error| chain(&error)));
        }
        errors
    }

    async fn state_synced(&mut self) -> Result<(), Ended> {
        if self.state_deadline.take().is_none() {
            return Ok(());
        }
        let all = self.neighbors.all();
        self.source.send(Event::Neighbors(all)).await?;
        self.follow_fib().await
    }

    /// Subscribes to FIB programming in the network instances that clusters use now: to changes where nothing is known
    /// to have failed, else, and where the switch does not count, to what stands as well.
    async fn follow_fib(&mut self) -> Result<(), Ended> {
        self.instances = self.source.instances.borrow_and_update().clone();
        let counted = self.source.plan.wants(Leaf::FailedCount);
        let clean = |instance: &&NetworkInstanceName| counted && self.counters.failed(instance) == Some(0);
        let (changes_only, with_standing): (BTreeSet<_>, BTreeSet<_>) =
            self.instances.iter().cloned().partition(|instance| clean(&instance));
        self.fib = Fib::default();
        (self.recheck, self.retry) = (None, None);
        let plan = &self.source.plan;
        self.changing = plan.fib(&changes_only, true).map(|request| self.client.subscribe(request));
        self.standing = plan.fib(&with_standing, false).map(|request| self.client.subscribe(request));
        debug!(changes_only = changes_only.len(), with_standing = with_standing.len(), "following FIB programming");
        self.with_standing = with_standing;
        // What only changes is in sync from the begin on: its server may have nothing to say for days.
        self.fib_deadline = Some(Instant::now() + self.source.options.sync_timeout);
        if self.standing.is_none() {
            self.fib_synced().await?;
        }
        Ok(())
    }

    async fn fib_synced(&mut self) -> Result<(), Ended> {
        if self.fib_deadline.take().is_none() {
            return Ok(());
        }
        let all = self.fib.all();
        self.source.send(Event::Fib(all)).await?;
        if !std::mem::replace(&mut self.synced, true) {
            self.source.outage = None;
            info!(endpoint = %self.source.options.endpoint, "gNMI is in sync");
            self.source.send(Event::Source(SourceId::Gnmi, SourceEvent::Synced)).await?;
        }
        Ok(())
    }

    async fn time(&mut self, now: Instant) -> Result<(), Ended> {
        let due = |timer: Option<Instant>| timer.is_some_and(|timer| timer <= now);
        if due(self.state_deadline) {
            let waited = self.source.options.sync_timeout.as_secs();
            return Err(Ended::Lost(Cause::Other, format!("the gNMI server did not tell its neighbors in {waited} s")));
        }
        if due(self.silence) {
            // What is there counts before the silence that seemed to be: the agent may have been held up itself.
            if let Some(message) = self.state.next().now_or_never() {
                return self.message(Stream::State, message).await;
            }
            let waited = self.source.options.silence.as_secs();
            return Err(Ended::Lost(Cause::Other, format!("the gNMI server has said nothing for {waited} s")));
        }
        if due(self.fib_deadline) {
            warn!("the gNMI server does not end its telling of FIB programming; going on with what came");
            return self.fib_synced().await;
        }
        if due(self.recheck) {
            self.recheck = None;
            let missed = self.instances.iter().any(|instance| {
                !self.with_standing.contains(instance)
                    && self.counters.failed(instance).is_some_and(|count| count > self.fib.failed(instance))
            });
            if missed {
                info!("the switch counts more failed routes than it told of, asking for them");
                return self.follow_fib().await;
            }
        }
        if due(self.retry) {
            return self.follow_fib().await;
        }
        Ok(())
    }

    async fn refused(&mut self, rpc: Rpc, status: &Status) -> Result<(), Ended> {
        let endpoint = &self.source.options.endpoint;
        match refusal(status) {
            Refusal::Credentials => Err(Ended::Lost(
                Cause::Credentials(self.secret.clone()),
                format!(
                    "the gNMI server at {endpoint} does not accept {}: {}",
                    self.source.options.credentials.words(&self.secret),
                    words(status)
                ),
            )),
            Refusal::Limit if rpc == Rpc::Fib => {
                warn!(status = words(status), "the gNMI server limits requests, FIB programming is asked for later");
                (self.changing, self.standing) = (None, None);
                self.retry = Some(Instant::now() + self.source.options.limit_pause);
                self.fib_synced().await
            }
            Refusal::Limit => {
                Err(Ended::Lost(Cause::Limit, format!("the gNMI server limits requests: {}", words(status))))
            }
            Refusal::Encoding if self.source.plan.next_encoding() => {
                let next = self.source.plan.encoding().as_str_name();
                self.source.say(format!("the encoding, trying {next}"), status);
                Err(Ended::Replanned)
            }
            Refusal::Path => self.leave_out(rpc, status).await,
            _ => Err(Ended::Lost(Cause::Other, format!("the gNMI subscription failed: {}", words(status)))),
        }
    }

    async fn leave_out(&mut self, rpc: Rpc, status: &Status) -> Result<(), Ended> {
        let left_out = self.source.plan.leave_out(rpc, status.message());
        if left_out.is_empty() {
            let reason = format!("the gNMI server refuses the subscription to BGP neighbors: {}", words(status));
            return Err(Ended::Lost(Cause::Other, reason));
        }
        for leaf in left_out {
            self.source.say(leaf.words(), status);
        }
        match rpc {
            Rpc::State => Err(Ended::Replanned),
            Rpc::Fib => self.follow_fib().await,
        }
    }
}

/// Why there is no connection, with what an operator can do about it.
fn unreachable(error: &ConnectError) -> String {
    match error {
        ConnectError::Absent { .. } => {
            format!("{error}: it is there once 'system grpc-server' of that name has its unix-socket enabled")
        }
        other => chain(other),
    }
}

/// The next message of a stream that may not be there.
async fn next(stream: &mut Option<Responses>) -> Option<Result<gnmi::SubscribeResponse, Status>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
