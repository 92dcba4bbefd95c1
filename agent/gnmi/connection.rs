//! Runs one connection: its subscriptions and Gets, and the events made of them.

use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tonic::Status;
use tracing::{info, warn};

use super::client::{Client, Refusal, Responses, Secret, refusal};
use super::counters::{Counted, Counters};
use super::entries::{self, Entries};
use super::leaf::{Scalar, leaves};
use super::link::{Cause, ConnectionEnd, Link};
use super::neighbors::Neighbors;
use super::path::elems;
use super::programming::{Part, Programming, Server, Slot};
use super::subscriptions::{GivenUp, Plan, Rpc, SubscribedLeaf};
use crate::model::adaptation::Asker;
use crate::model::event::{Event, SourceEvent};
use crate::model::inquiry::{AddressKey, Asking, Inquiry, Question};
use crate::model::source::SourceId;
use crate::model::time::Timestamp;
use crate::path::Element;
use crate::supervise::{chain, words};
use gnmi::subscribe_response::Response;
use srl_proto::gnmi;

/// How often a sign of life of the server is passed on at most.
const ALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// How many questions are read at once as soon as any of them changes. More are read at most once in [`QUESTIONS_PACE`]:
/// reading costs as much as there are questions, and a mass outage changes them all the time.
const FEW_QUESTIONS: usize = 1000;
const QUESTIONS_PACE: std::time::Duration = std::time::Duration::from_secs(1);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been received yet: there may be a socket without a server.
    Asked {
        /// Until when neighbors must have been received.
        deadline: Instant,
    },
    /// Neighbors and counters are being received.
    Reading {
        /// Until when neighbors must have been received.
        deadline: Instant,
    },
    /// Neighbors are known; existing FIB faults are being received.
    ReadingFib {
        /// Until when FIB faults are waited for.
        deadline: Instant,
    },
    /// Everything available has been received once.
    Synced,
}

/// One connection, and the state of its subscriptions.
pub(super) struct Connection<'a> {
    link: &'a mut Link,
    client: Client,
    secret: Secret,
    plan: Plan,
    phase: Phase,
    /// Neighbors and counters.
    state: Responses,
    neighbors: Neighbors,
    counters: Counters,
    programming: Programming,
    entries: Entries,
    /// When the questions were last read.
    questions_read: Instant,
    /// When they are to be read again, if they have changed since.
    questions_due: Option<Instant>,
    /// When a server that sends nothing counts as gone; `None` while it is not asked for samples.
    silent_at: Option<Instant>,
    /// When a sign of life was last passed on.
    alive: Instant,
}

/// What happens next on a connection.
enum Input {
    State(Option<Result<gnmi::SubscribeResponse, Status>>),
    Fib(Slot, Part, Option<Result<gnmi::SubscribeResponse, Status>>),
    Entries(entries::Message),
    Answer(Result<gnmi::GetResponse, Status>),
    Instances,
    Questions,
    Time,
}

impl<'a> Connection<'a> {
    /// Subscribes to neighbors and counters.
    pub(super) fn open(link: &'a mut Link, client: Client, secret: Secret, plan: Plan) -> Self {
        let now = Instant::now();
        let deadline = now + link.options.sync_timeout;
        link.investigator.reconnect(now);
        Self {
            state: client.subscribe(plan.state()),
            link,
            client,
            secret,
            plan,
            phase: Phase::Asked { deadline },
            neighbors: Neighbors::default(),
            counters: Counters::default(),
            programming: Programming::default(),
            entries: Entries::default(),
            questions_read: now,
            // This connection follows no entries yet, and questions may have changed while nothing was connected.
            questions_due: Some(now),
            silent_at: None,
            alive: now,
        }
    }

    /// Returns the plan, with what this server was found to support.
    pub(super) fn into_plan(self) -> Plan {
        self.plan
    }

    /// Handles the next message, change or timer.
    pub(super) async fn step(&mut self) -> Result<(), ConnectionEnd> {
        let deadline = match self.phase {
            Phase::Asked { deadline } | Phase::Reading { deadline } | Phase::ReadingFib { deadline } => Some(deadline),
            Phase::Synced => None,
        };
        let question = self.link.investigator.deadline(Instant::now());
        let [question, entries] =
            [question, self.entries.deadline()].map(|at| at.filter(|_| self.phase == Phase::Synced));
        let timers = [deadline, self.silent_at, self.programming.deadline(), self.questions_due, question, entries];
        let timer = timers.into_iter().flatten().min();
        let knows_neighbors = self.knows_neighbors();
        let input = tokio::select! {
            message = self.state.next() => Input::State(message),
            (slot, part, message) = self.programming.next() => Input::Fib(slot, part, message),
            message = self.entries.next() => Input::Entries(message),
            answer = self.link.investigator.answer() => Input::Answer(answer),
            Ok(()) = self.link.instances.changed(), if knows_neighbors => Input::Instances,
            Ok(()) = self.link.inquiry.changed(), if self.questions_due.is_none() => Input::Questions,
            () = tokio::time::sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => Input::Time,
        };
        match input {
            Input::State(message) => self.state_message(message).await,
            Input::Fib(slot, part, message) => self.fib_message(slot, part, message).await,
            Input::Entries(message) => self.entries_message(message).await,
            Input::Instances => {
                if *self.link.instances.borrow() != *self.programming.wanted() {
                    self.follow_fib().await?;
                }
                Ok(())
            }
            Input::Questions => {
                let many = self.link.inquiry.borrow().len() > FEW_QUESTIONS;
                let now = Instant::now();
                self.questions_due = Some(if many { now.max(self.questions_read + QUESTIONS_PACE) } else { now });
                self.read_questions(now).await
            }
            Input::Answer(answer) => {
                let findings = self.link.investigator.take(answer, Instant::now(), &self.neighbors);
                self.report();
                for (question, finding) in findings {
                    self.link.send(Event::Finding(question, finding)).await?;
                }
                Ok(())
            }
            Input::Time => self.time(Instant::now()).await,
        }
    }

    /// Handles a message about ARP and ND entries.
    async fn entries_message(&mut self, (slot, message): entries::Message) -> Result<(), ConnectionEnd> {
        let response = match message {
            Some(Ok(response)) => response,
            Some(Err(status)) => return self.entries_refused(slot, &status).await,
            None => return Err(closed()),
        };
        let now = Instant::now();
        match received(response)? {
            Received::Notification(notification) => {
                let Some(table) = self.entries.table(slot) else { return Ok(()) };
                let prefix = notification.prefix.as_ref();
                for path in &notification.delete {
                    table.delete(&elems(prefix, Some(path)));
                }
                let mut errors = Vec::new();
                for update in &notification.update {
                    let read = leaves(prefix, update, |path, value| table.set(path, value, now));
                    errors.extend(read.err().map(|error| chain(&error)));
                }
                self.link.left_out(errors).await?;
            }
            Received::Synced => self.entries.synced(slot, now),
            Received::Nothing => {}
        }
        self.entries_changed().await
    }

    /// Passes on what answers for addresses now, and which addresses are followed.
    async fn entries_changed(&mut self) -> Result<(), ConnectionEnd> {
        let now = Instant::now();
        let answering = self.entries.changes();
        let findings = self.link.investigator.heard(answering, Timestamp::now(), now);
        if let Some(covered) = self.entries.take_covered() {
            self.link.investigator.cover(&covered, now);
        }
        for (question, finding) in findings {
            self.link.send(Event::Finding(question, finding)).await?;
        }
        Ok(())
    }

    /// Handles the refusal or end of the subscription to ARP and ND entries: they are read by Get until there is
    /// another one.
    async fn entries_refused(&mut self, slot: Slot, status: &Status) -> Result<(), ConnectionEnd> {
        let now = Instant::now();
        let limit_pause = self.link.options.limit_pause;
        match refusal(status) {
            Refusal::Credentials => return Err(self.link.refused_credentials(&self.secret, status)),
            Refusal::Limit => self.entries.drop_watch(slot, now + limit_pause),
            Refusal::Encoding => return self.next_encoding(status),
            Refusal::Path => {
                self.simplified(Rpc::Entries, status);
                self.entries.drop_watch(slot, now);
            }
            Refusal::Other => return Err(failed(status)),
        }
        self.entries_changed().await
    }

    fn knows_neighbors(&self) -> bool {
        matches!(self.phase, Phase::ReadingFib { .. } | Phase::Synced)
    }

    async fn state_message(
        &mut self,
        message: Option<Result<gnmi::SubscribeResponse, Status>>,
    ) -> Result<(), ConnectionEnd> {
        match message {
            Some(Ok(response)) => {
                self.heard().await?;
                match received(response)? {
                    Received::Notification(notification) => self.state_changed(&notification).await,
                    Received::Synced => self.state_synced().await,
                    Received::Nothing => Ok(()),
                }
            }
            Some(Err(status)) => self.state_refused(&status),
            None => Err(closed()),
        }
    }

    /// Notes that the sampled subscription has sent something.
    async fn heard(&mut self) -> Result<(), ConnectionEnd> {
        let now = Instant::now();
        let sampled = self.plan.wants(SubscribedLeaf::Clock);
        self.silent_at = sampled.then(|| now + self.link.options.silence);
        let news = match self.phase {
            Phase::Asked { deadline } => {
                self.phase = Phase::Reading { deadline };
                self.report();
                SourceEvent::Syncing
            }
            _ if now.duration_since(self.alive) < ALIVE_INTERVAL => return Ok(()),
            _ => SourceEvent::Alive,
        };
        self.alive = now;
        self.link.send(Event::Source(SourceId::Gnmi, news)).await
    }

    /// Merges a notification into neighbors and counters, deletes first as gNMI specifies.
    async fn state_changed(&mut self, notification: &gnmi::Notification) -> Result<(), ConnectionEnd> {
        let prefix = notification.prefix.as_ref();
        for path in &notification.delete {
            let path = elems(prefix, Some(path));
            self.neighbors.delete(&path);
            self.counters.delete(&path);
        }
        let (mut errors, mut counted) = (Vec::new(), Vec::new());
        for update in &notification.update {
            let read = leaves(prefix, update, |path, value| {
                match self.counters.set(path, value) {
                    Ok(change) => counted.extend(change),
                    Err(error) => errors.push(error.to_string()),
                }
                errors.extend(self.neighbors.set(path, value).err().map(|error| error.to_string()));
            });
            errors.extend(read.err().map(|error| chain(&error)));
        }
        self.link.left_out(errors).await?;
        if !self.knows_neighbors() {
            return Ok(());
        }
        for change in self.neighbors.changes() {
            self.link.send(Event::Neighbors(change)).await?;
        }
        self.counted(counted).await
    }

    async fn counted(&mut self, changes: Vec<Counted>) -> Result<(), ConnectionEnd> {
        let mut failures = false;
        for change in changes {
            match change {
                Counted::Failed { table, recovered } => {
                    failures = true;
                    let count = self.counters.failed(&table).unwrap_or_default();
                    self.programming.counted(&table, count, recovered, self.link.options.counter_lead);
                }
                Counted::Active(table) => {
                    let count = self.counters.active().get(&table).copied();
                    if let Some(update) = self.link.published.active_routes.change(table, count) {
                        self.link.send(Event::ActiveRoutes(update)).await?;
                    }
                }
            }
        }
        if failures { self.publish_fib().await } else { Ok(()) }
    }

    async fn state_synced(&mut self) -> Result<(), ConnectionEnd> {
        if self.knows_neighbors() {
            return Ok(());
        }
        let all = self.neighbors.all();
        self.link.send(Event::Neighbors(all)).await?;
        let active = self.link.published.active_routes.all(self.counters.active().clone());
        self.link.send(Event::ActiveRoutes(active)).await?;
        self.phase = Phase::ReadingFib { deadline: Instant::now() + self.link.options.sync_timeout };
        self.follow_fib().await
    }

    /// Follows FIB programming in the network instances that clusters use now.
    async fn follow_fib(&mut self) -> Result<(), ConnectionEnd> {
        let wanted = self.link.instances.borrow_and_update().clone();
        self.on_server(|programming, server| programming.start(wanted, server));
        self.publish_fib().await
    }

    fn on_server(&mut self, call: impl FnOnce(&mut Programming, &mut Server<'_>)) {
        let (plan, counters, client) = (&self.plan, &self.counters, &self.client);
        call(&mut self.programming, &mut Server { client, plan, counters, requests: &mut self.link.requests });
    }

    async fn fib_message(
        &mut self,
        slot: Slot,
        part: Part,
        message: Option<Result<gnmi::SubscribeResponse, Status>>,
    ) -> Result<(), ConnectionEnd> {
        let response = match message {
            Some(Ok(response)) => response,
            Some(Err(status)) => return self.fib_refused(slot, &status).await,
            None => return Err(closed()),
        };
        let received = received(response)?;
        self.programming.heard(slot, part, matches!(received, Received::Synced));
        if let Received::Notification(notification) = received {
            self.fib_changed(slot, &notification).await?;
        }
        if self.programming.complete(Instant::now(), &self.counters) {
            self.publish_fib().await?;
        }
        Ok(())
    }

    /// Merges a notification into a table of FIB programming, deletes first as gNMI specifies.
    async fn fib_changed(&mut self, slot: Slot, notification: &gnmi::Notification) -> Result<(), ConnectionEnd> {
        let Some(fib) = self.programming.table(slot) else { return Ok(()) };
        let prefix = notification.prefix.as_ref();
        let mut errors = Vec::new();
        for path in &notification.delete {
            errors.extend(fib.delete(&elems(prefix, Some(path))).err().map(|error| error.to_string()));
        }
        let mut read: Vec<(Vec<Element>, Scalar)> = Vec::new();
        for update in &notification.update {
            let result = leaves(prefix, update, |path, value| read.push((path.to_vec(), value.clone())));
            errors.extend(result.err().map(|error| chain(&error)));
        }
        let at = Timestamp::from_nanosecond(notification.timestamp.into()).ok().filter(|at| at.as_second() > 0);
        let at = at.unwrap_or_else(Timestamp::now);
        fib.set_all(read.iter().map(|(path, value)| (path.as_slice(), value)), at, &mut errors);
        let touched = fib.take_touched();
        let changes: Vec<_> = match slot {
            Slot::Current => touched.into_iter().map(|key| (fib.fault(&key), key)).collect(),
            // Nothing is reported until the reading is complete.
            Slot::Attempt => Vec::new(),
        };
        for (fault, key) in changes {
            if let Some(update) = self.link.published.faults.change(key, fault) {
                self.link.send(Event::Fib(update)).await?;
            }
        }
        self.link.left_out(errors).await
    }

    /// Sends what differs in faults and coverage, and that everything is in sync once it is.
    async fn publish_fib(&mut self) -> Result<(), ConnectionEnd> {
        let faults = self.programming.faults(self.link.published.faults.entries(), &self.counters);
        for update in self.link.published.faults.replace(faults) {
            self.link.send(Event::Fib(update)).await?;
        }
        let coverage = self.programming.coverage(&self.counters);
        if self.link.published.coverage.as_ref() != Some(&coverage) {
            self.link.published.coverage = Some(coverage.clone());
            self.link.send(Event::Coverage(coverage)).await?;
        }
        if matches!(self.phase, Phase::ReadingFib { .. }) && !self.programming.is_reading() {
            self.synced().await?;
        }
        Ok(())
    }

    async fn synced(&mut self) -> Result<(), ConnectionEnd> {
        self.phase = Phase::Synced;
        self.link.outage.is_over();
        info!(endpoint = %self.link.options.endpoint, "gNMI is in sync");
        self.link.send(Event::Source(SourceId::Gnmi, SourceEvent::Synced)).await
    }

    /// Reads what the engine asks if that is due.
    async fn read_questions(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        if self.questions_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        (self.questions_read, self.questions_due) = (now, None);
        let wanted = {
            let inquiry = self.link.inquiry.borrow_and_update();
            self.link.investigator.set(&inquiry, now);
            followed(&inquiry)
        };
        self.entries.want(wanted, now);
        self.entries_changed().await
    }

    async fn time(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        let waited = self.link.options.sync_timeout.as_secs();
        match self.phase {
            Phase::Asked { deadline } | Phase::Reading { deadline } if deadline <= now => {
                let reason = format!("the gNMI server sent no neighbors within {waited} s");
                return Err(ConnectionEnd::Lost(Cause::Other, reason));
            }
            Phase::ReadingFib { deadline } if deadline <= now => {
                warn!(waited, "the gNMI server has not sent all FIB faults yet; fib-status is unknown until then");
                self.synced().await?;
            }
            _ => {}
        }
        if self.silent_at.is_some_and(|at| at <= now) {
            // A message that has already arrived takes precedence: the agent itself may have been held up.
            if let Some(message) = self.state.next().now_or_never() {
                return self.state_message(message).await;
            }
            let waited = self.link.options.silence.as_secs();
            return Err(ConnectionEnd::Lost(Cause::Other, format!("the gNMI server has sent nothing for {waited} s")));
        }
        self.read_questions(now).await?;
        if self.phase == Phase::Synced {
            self.entries_time(now).await?;
            let Link { investigator, requests, .. } = &mut *self.link;
            investigator.start(now, &self.client, self.plan.encoding(), requests);
        }
        let pause = self.link.options.limit_pause;
        self.on_server(|programming, server| programming.time(now, pause, server));
        if self.programming.complete(now, &self.counters) {
            self.publish_fib().await?;
        }
        Ok(())
    }

    async fn entries_time(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        if self.entries.deadline().is_none_or(|at| at > now) {
            return Ok(());
        }
        // Messages that have already arrived take precedence over missing samples: the agent itself may have been held
        // up.
        while let Some(message) = self.entries.ready() {
            self.entries_message(message).await?;
        }
        let (plan, counters, client) = (&self.plan, &self.counters, &self.client);
        self.entries.time(now, &mut Server { client, plan, counters, requests: &mut self.link.requests });
        self.entries_changed().await
    }

    fn state_refused(&mut self, status: &Status) -> Result<(), ConnectionEnd> {
        match refusal(status) {
            Refusal::Credentials => Err(self.link.refused_credentials(&self.secret, status)),
            Refusal::Limit => {
                Err(ConnectionEnd::Lost(Cause::Limit, format!("the gNMI server limits requests: {}", words(status))))
            }
            Refusal::Encoding => self.next_encoding(status),
            Refusal::Path if self.simplified(Rpc::State, status) => Err(ConnectionEnd::Replanned),
            Refusal::Path => {
                let reason = format!("the gNMI server refuses the subscription to BGP neighbors: {}", words(status));
                Err(ConnectionEnd::Lost(Cause::Other, reason))
            }
            Refusal::Other => Err(failed(status)),
        }
    }

    /// Handles the refusal or end of a subscription to FIB programming. Known faults are kept.
    async fn fib_refused(&mut self, slot: Slot, status: &Status) -> Result<(), ConnectionEnd> {
        self.programming.drop_watch(slot);
        match refusal(status) {
            Refusal::Credentials => return Err(self.link.refused_credentials(&self.secret, status)),
            Refusal::Limit => {
                warn!(status = words(status), "the gNMI server limits requests, FIB programming is asked for later");
                self.programming.pause(Instant::now() + self.link.options.limit_pause);
            }
            Refusal::Encoding => return self.next_encoding(status),
            Refusal::Path if self.simplified(Rpc::Fib, status) => return self.follow_fib().await,
            Refusal::Path => {}
            Refusal::Other => return Err(failed(status)),
        }
        self.publish_fib().await
    }

    fn next_encoding(&mut self, status: &Status) -> Result<(), ConnectionEnd> {
        if !self.plan.next_encoding() {
            return Err(failed(status));
        }
        let next = self.plan.encoding().as_str_name();
        self.link.log_refusal(format!("the encoding, trying {next}"), status);
        Err(ConnectionEnd::Replanned)
    }

    /// Reports the encoding of this server, and what it was found to refuse.
    fn report(&self) {
        let mut refused = self.plan.refused();
        refused.paths.extend(self.link.investigator.refused());
        let heard = !matches!(self.phase, Phase::Asked { .. });
        let encoding = heard.then(|| self.plan.encoding_name());
        self.link.adapted.report(|found| {
            found.gnmi_encoding = encoding.or(found.gnmi_encoding);
            found.refused.insert(Asker::Gnmi, refused);
        });
    }

    /// Gives up a part of a subscription; returns false if nothing is left to give up.
    fn simplified(&mut self, rpc: Rpc, status: &Status) -> bool {
        let Some(given_up) = self.plan.simplify(rpc, status.message()) else { return false };
        match given_up {
            GivenUp::Feature(feature) => self.link.log_refusal(feature.as_str().to_owned(), status),
            GivenUp::Leaves(leaves) => {
                leaves.into_iter().for_each(|leaf| self.link.log_refusal(leaf.words(), status));
            }
        }
        self.report();
        true
    }
}

/// Returns the addresses whose ARP and ND entries must be followed.
fn followed(inquiry: &Inquiry) -> BTreeSet<AddressKey> {
    let followed = inquiry.iter().filter(|(_, asking)| **asking >= Asking::Followed);
    let key = |question: &Question| match question {
        Question::Place(key) => Some(key.clone()),
        _ => None,
    };
    followed.filter_map(|(question, _)| key(question)).collect()
}

/// The content of a message.
enum Received {
    Notification(gnmi::Notification),
    Synced,
    Nothing,
}

fn received(response: gnmi::SubscribeResponse) -> Result<Received, ConnectionEnd> {
    Ok(match response.response {
        Some(Response::Update(notification)) => Received::Notification(notification),
        Some(Response::SyncResponse(_)) => Received::Synced,
        #[allow(deprecated)]
        Some(Response::Error(error)) => {
            let reason = format!("the gNMI server ended the subscription: {}", error.message);
            return Err(ConnectionEnd::Lost(Cause::Other, reason));
        }
        None => Received::Nothing,
    })
}

fn closed() -> ConnectionEnd {
    ConnectionEnd::Lost(Cause::Other, "the gNMI server ended the subscription".to_owned())
}

fn failed(status: &Status) -> ConnectionEnd {
    ConnectionEnd::Lost(Cause::Other, format!("the gNMI subscription failed: {}", words(status)))
}
