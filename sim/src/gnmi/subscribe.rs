//! Handles Subscribe requests: once, polled, or as a stream on change and by sample.

mod change;
mod rule;

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use srl_proto::gnmi as pb;
use tokio::sync::{broadcast, mpsc};
use tonic::{Status, Streaming};

use self::rule::{Rule, Timing};
use super::Inner;
use super::encoding::Encoding;
use super::wire::{check_known, check_origin, nanoseconds, target_only};
use crate::datastore::{Source, Store, Transaction};
use pb::subscribe_request::Request as Message;
use pb::subscribe_response::Response as Told;

type Answers = Pin<Box<dyn Stream<Item = Result<pb::SubscribeResponse, Status>> + Send>>;

/// Number of messages that may wait for a slow client before its subscription stops.
const QUEUE: usize = 64;

/// Maximum number of updates in a notification, so that it stays below the message size that clients accept.
const BATCH: usize = 100;

pub(super) fn answer(inner: Arc<Inner>, requests: Streaming<pb::SubscribeRequest>) -> Answers {
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let mut drops = inner.drops.subscribe();
    let running = async move {
        let session = Session { inner, prefix: None, sender: sender.clone() };
        let ended = tokio::select! {
            ended = session.run(requests) => ended,
            _ = drops.changed() => Err(Status::unavailable("The subscription was ended by the server")),
        };
        if let Err(status) = ended {
            // The client may be gone already.
            let _ = sender.send(Err(status)).await;
        }
    };
    // The session lives in the stream, so it ends when the client leaves.
    let mut running = Box::pin(running);
    let mut done = false;
    futures::stream::poll_fn(move |context| {
        if !done && running.as_mut().poll(context).is_ready() {
            done = true;
        }
        receiver.poll_recv(context)
    })
    .boxed()
}

struct Session {
    inner: Arc<Inner>,
    /// Prefix of notifications: the target that the client named.
    prefix: Option<pb::Path>,
    sender: mpsc::Sender<Result<pb::SubscribeResponse, Status>>,
}

impl Session {
    /// Refuses features that this server does not have.
    fn takes(&self, list: &pb::SubscriptionList) -> Result<(), Status> {
        let switches = &self.inner.switches;
        if list.updates_only && !switches.updates_only {
            return Err(Status::unimplemented("updates_only is not supported"));
        }
        let paths = list.prefix.iter().chain(list.subscription.iter().filter_map(|it| it.path.as_ref()));
        // Keys that are left out mean the same, but are allowed.
        let named = |path: &pb::Path| path.elem.iter().any(|elem| elem.key.values().any(|value| value == "*"));
        if !switches.wildcards && paths.into_iter().any(named) {
            return Err(Status::invalid_argument("Wildcards in keys are not supported in subscriptions"));
        }
        Ok(())
    }

    async fn run(mut self, mut requests: Streaming<pb::SubscribeRequest>) -> Result<(), Status> {
        let first = requests.message().await?.and_then(|request| request.request);
        let Some(Message::Subscribe(list)) = first else {
            return Err(Status::invalid_argument("The first message must be a subscription"));
        };
        check_origin(list.prefix.iter().chain(list.subscription.iter().filter_map(|it| it.path.as_ref())))?;
        check_known(&self.inner.switches.unknown, list.subscription.iter().filter_map(|it| it.path.as_ref()))?;
        self.prefix = list.prefix.as_ref().and_then(target_only);
        let encoding = Encoding::of_request(list.encoding, self.inner.switches.plain_json)?;
        let mode = pb::subscription_list::Mode::try_from(list.mode)
            .map_err(|_| Status::invalid_argument(format!("Subscription mode {} is not known", list.mode)))?;
        let rules = Rule::of_list(self.inner.store.schema(), &list, encoding)?;
        self.takes(&list)?;
        match mode {
            pb::subscription_list::Mode::Once => self.snapshot(&rules, list.updates_only).await,
            pb::subscription_list::Mode::Poll => self.poll(&rules, list.updates_only, requests).await,
            pb::subscription_list::Mode::Stream => self.stream(rules, list.updates_only, requests).await,
        }
    }

    /// Sends the current state, then the sync response.
    async fn snapshot(&self, rules: &[Rule], updates_only: bool) -> Result<(), Status> {
        if !updates_only {
            let updates = self.inner.store.read(Source::State, |schema, root| {
                rules.iter().flat_map(|rule| rule.everything(schema, root)).collect()
            });
            self.tell(Timestamp::now(), updates, Vec::new()).await?;
        }
        self.sync().await
    }

    async fn poll(
        &self,
        rules: &[Rule],
        updates_only: bool,
        mut requests: Streaming<pb::SubscribeRequest>,
    ) -> Result<(), Status> {
        self.snapshot(rules, updates_only).await?;
        while let Some(request) = requests.message().await? {
            let Some(Message::Poll(_)) = request.request else {
                return Err(Status::invalid_argument("A polled subscription accepts only polls"));
            };
            self.snapshot(rules, false).await?;
        }
        Ok(())
    }

    async fn stream(
        &self,
        mut rules: Vec<Rule>,
        updates_only: bool,
        mut requests: Streaming<pb::SubscribeRequest>,
    ) -> Result<(), Status> {
        let (updates, mut feed) = self
            .inner
            .store
            .follow(|schema, root| rules.iter_mut().flat_map(|rule| rule.first(schema, root)).collect::<Vec<_>>());
        if !updates_only {
            self.tell(Timestamp::now(), updates, Vec::new()).await?;
        }
        self.sync().await?;
        let mut timing = Timing::new(&rules);
        let mut open = true;
        loop {
            tokio::select! {
                transaction = feed.recv() => self.changed(&rules, transaction).await?,
                due = timing.next() => self.due(&mut rules, &due).await?,
                request = requests.message(), if open => match request? {
                    // A client that only closes its sending side still listens.
                    None => open = false,
                    Some(_) => return Err(Status::invalid_argument("A stream accepts only one subscription")),
                },
            }
        }
    }

    async fn changed(
        &self,
        rules: &[Rule],
        transaction: Result<Arc<Transaction>, broadcast::error::RecvError>,
    ) -> Result<(), Status> {
        let transaction = match transaction {
            Ok(transaction) if transaction.store == Store::State => transaction,
            Ok(_) => return Ok(()),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                return Err(Status::resource_exhausted("The client is too slow for its subscription"));
            }
            Err(broadcast::error::RecvError::Closed) => return Err(Status::unavailable("The server is shutting down")),
        };
        let schema = self.inner.store.schema();
        for rule in rules.iter().filter(|rule| rule.on_change) {
            let (updates, deletes) = change::tell(schema, rule, &transaction.changes);
            self.tell(transaction.at, updates, deletes).await?;
        }
        Ok(())
    }

    async fn due(&self, rules: &mut [Rule], due: &[rule::Due]) -> Result<(), Status> {
        let updates = self.inner.store.read(Source::State, |schema, root| {
            due.iter().flat_map(|due| rules[due.rule].sample(schema, root, due.heartbeat)).collect()
        });
        self.tell(Timestamp::now(), updates, Vec::new()).await
    }

    async fn tell(&self, at: Timestamp, updates: Vec<pb::Update>, deletes: Vec<pb::Path>) -> Result<(), Status> {
        let blank =
            pb::Notification { timestamp: nanoseconds(at), prefix: self.prefix.clone(), ..pb::Notification::default() };
        for delete in deletes.chunks(BATCH) {
            self.send(Told::Update(pb::Notification { delete: delete.to_vec(), ..blank.clone() })).await?;
        }
        for update in updates.chunks(BATCH) {
            self.send(Told::Update(pb::Notification { update: update.to_vec(), ..blank.clone() })).await?;
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), Status> {
        self.send(Told::SyncResponse(true)).await
    }

    async fn send(&self, told: Told) -> Result<(), Status> {
        self.inner.delay().await;
        let response = pb::SubscribeResponse { response: Some(told), ..pb::SubscribeResponse::default() };
        self.sender.send(Ok(response)).await.map_err(|_| Status::cancelled("The client is gone"))
    }
}
