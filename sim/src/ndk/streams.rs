//! Fan-out of notifications: what each subscription has yet to receive.
//!
//! A stream holds no copies. A new subscription walks the table with a cursor. Changes of keys before the cursor are
//! noted by key only, once, and read from the table when the consumer takes them. A consumer that is slow or stopped
//! therefore costs at most one small note per key, and receives the latest data.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use srl_proto::ndk as pb;
use tokio::sync::Notify;

use super::feed::RouteFeed;
use super::rows::{Filter, Key, RouteRow, Row, notification, route_key_message, route_message, same_table};

/// One stream of one application.
pub(crate) struct Stream {
    pub(crate) app: String,
    cached: bool,
    subscriptions: BTreeMap<u64, Subscription>,
    queue: VecDeque<Item>,
    notes: FxHashMap<(u64, Key), Note>,
    unread_config: usize,
    consumer: Option<Consumer>,
}

struct Consumer {
    generation: u64,
    wake: Arc<Notify>,
}

struct Subscription {
    filter: Filter,
    phase: Phase,
}

enum Phase {
    /// The table is being sent. Everything up to this key has been sent.
    Dump(Option<Key>),
    /// A generated table is being sent.
    Feed(Box<dyn Iterator<Item = pb::Notification> + Send>),
    Live,
}

enum Item {
    Noted(u64, Key),
    Config(Box<pb::Notification>),
}

struct Note {
    /// Whether the consumer had received the row when it first changed.
    known: bool,
    /// The last data before the row was removed, which a cached delete carries.
    last: Option<Row>,
}

/// Options of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) batch: usize,
    pub(crate) zero_interfaces_first: bool,
    pub(crate) zero_network_instances_first: bool,
}

impl Manner {
    /// Returns the empty row that is sent before this one, if any.
    fn zero_first(self, key: &Key) -> Option<Row> {
        match key {
            Key::Interface(_) if self.zero_interfaces_first => Some(Row::Interface(Box::default())),
            Key::NetworkInstance(_) if self.zero_network_instances_first => Some(Row::NetworkInstance(Box::default())),
            _ => None,
        }
    }
}

/// What a consumer receives when it asks.
pub(crate) enum Taken {
    Batch(Vec<pb::Notification>),
    Nothing,
    /// Another consumer has taken over, or the stream was closed.
    Closed,
}

impl Stream {
    pub(crate) fn new(app: String, cached: bool) -> Self {
        Self {
            app,
            cached,
            subscriptions: BTreeMap::new(),
            queue: VecDeque::new(),
            notes: FxHashMap::default(),
            unread_config: 0,
            consumer: None,
        }
    }

    pub(crate) fn add(&mut self, id: u64, filter: Filter) {
        let phase = if filter.first_key().is_some() { Phase::Dump(None) } else { Phase::Live };
        self.subscriptions.insert(id, Subscription { filter, phase });
        self.wake();
    }

    /// Removes a subscription. Returns false if it does not exist.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.queue.retain(|item| match item {
            Item::Noted(of, _) => *of != id,
            Item::Config(notification) => notification.subscription_id != id,
        });
        self.unread_config = self.queue.iter().filter(|item| matches!(item, Item::Config(_))).count();
        self.notes.retain(|(of, _), _| *of != id);
        self.subscriptions.remove(&id).is_some()
    }

    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = (u64, &Filter)> {
        self.subscriptions.iter().map(|(id, subscription)| (*id, &subscription.filter))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.consumer.is_some()
    }

    /// Returns the subscriptions to configuration if the stream has a consumer.
    pub(crate) fn config_readers(&self) -> Vec<u64> {
        if self.consumer.is_none() {
            return Vec::new();
        }
        let readers = self.subscriptions.iter().filter(|(_, it)| matches!(it.filter, Filter::Config { .. }));
        readers.map(|(id, _)| *id).collect()
    }

    /// Starts a new consumer. Every subscription starts over, and the previous consumer ends.
    pub(crate) fn open(&mut self, generation: u64) -> Arc<Notify> {
        self.close();
        for subscription in self.subscriptions.values_mut() {
            if subscription.filter.first_key().is_some() {
                subscription.phase = Phase::Dump(None);
            }
        }
        let wake = Arc::new(Notify::new());
        self.consumer = Some(Consumer { generation, wake: wake.clone() });
        wake
    }

    pub(crate) fn close(&mut self) {
        self.queue = VecDeque::new();
        self.notes = FxHashMap::default();
        self.unread_config = 0;
        if let Some(consumer) = self.consumer.take() {
            consumer.wake.notify_one();
        }
    }

    /// Handles the disconnection of the consumer of this generation.
    pub(crate) fn abandoned(&mut self, generation: u64) {
        if self.consumer.as_ref().is_some_and(|consumer| consumer.generation == generation) {
            self.close();
        }
    }

    /// Queues what a subscription to configuration wants. A consumer that leaves too many notifications unread is
    /// ended.
    pub(crate) fn push_config(&mut self, subscription: u64, told: &[pb::ConfigNotification], limit: usize) {
        let Some(Subscription { filter, .. }) = self.subscriptions.get(&subscription) else { return };
        for config in told {
            let path = config.key.as_ref().map(|key| key.js_path.as_str()).unwrap_or_default();
            if !filter.wants_config(path) {
                continue;
            }
            let body = pb::notification::SubscriptionTypes::Config(config.clone());
            let notification = pb::Notification { subscription_id: subscription, subscription_types: Some(body) };
            self.queue.push_back(Item::Config(Box::new(notification)));
            self.unread_config += 1;
        }
        if self.unread_config > limit {
            tracing::warn!(app = %self.app, unread = self.unread_config, "stream ended: its configuration is not read");
            self.close();
        }
        self.wake();
    }

    /// Notes a change for every subscription that has passed this key.
    pub(crate) fn note(&mut self, key: &Key, old: Option<&Row>) {
        if self.consumer.is_none() {
            return;
        }
        let mut noted = false;
        for (id, subscription) in &self.subscriptions {
            let ahead = match &subscription.phase {
                Phase::Dump(cursor) => cursor.as_ref().is_none_or(|cursor| key > cursor),
                Phase::Feed(_) | Phase::Live => false,
            };
            if ahead || !subscription.filter.wants(key) {
                continue;
            }
            let note = self.notes.entry((*id, key.clone())).or_insert_with(|| {
                self.queue.push_back(Item::Noted(*id, key.clone()));
                Note { known: old.is_some(), last: None }
            });
            note.last = old.cloned().or(note.last.take());
            noted = true;
        }
        if noted {
            self.wake();
        }
    }

    /// Returns the next notifications for the consumer of this generation.
    pub(crate) fn take(
        &mut self,
        generation: u64,
        rows: &BTreeMap<Key, Row>,
        feed: Option<&Arc<dyn RouteFeed>>,
        manner: Manner,
    ) -> Taken {
        if self.consumer.as_ref().is_none_or(|consumer| consumer.generation != generation) {
            return Taken::Closed;
        }
        let mut batch = Vec::new();
        self.dump(rows, feed, manner, &mut batch);
        while batch.len() < manner.batch {
            match self.queue.pop_front() {
                Some(Item::Config(notification)) => {
                    self.unread_config -= 1;
                    batch.push(*notification);
                }
                Some(Item::Noted(id, key)) => batch.extend(self.noted(id, key, rows)),
                None => break,
            }
        }
        if batch.is_empty() { Taken::Nothing } else { Taken::Batch(batch) }
    }

    fn dump(
        &mut self,
        rows: &BTreeMap<Key, Row>,
        feed: Option<&Arc<dyn RouteFeed>>,
        manner: Manner,
        batch: &mut Vec<pb::Notification>,
    ) {
        for (id, subscription) in &mut self.subscriptions {
            let op = operation(self.cached || subscription.filter.always_cached(), true);
            if let Phase::Dump(cursor) = &mut subscription.phase {
                let Some(first) = subscription.filter.first_key() else { continue };
                let from = cursor.clone().map_or(Bound::Included(first.clone()), Bound::Excluded);
                let table = rows.range((from, Bound::Unbounded)).take_while(|(key, _)| same_table(key, &first));
                let mut ended = true;
                for (key, row) in table {
                    if batch.len() >= manner.batch {
                        ended = false;
                        break;
                    }
                    *cursor = Some(key.clone());
                    if !subscription.filter.wants(key) {
                        continue;
                    }
                    if let Some(zero) = manner.zero_first(key) {
                        batch.push(notification(*id, op, key, Some(&zero)));
                        self.queue.push_back(Item::Noted(*id, key.clone()));
                        self.notes.insert((*id, key.clone()), Note { known: true, last: Some(zero) });
                    } else {
                        batch.push(notification(*id, op, key, Some(row)));
                    }
                }
                if !ended {
                    return;
                }
                subscription.phase = match feed.and_then(|feed| feeding(*id, op, &subscription.filter, feed)) {
                    Some(notifications) => Phase::Feed(notifications),
                    None => Phase::Live,
                };
            }
            if let Phase::Feed(notifications) = &mut subscription.phase {
                let room = manner.batch.saturating_sub(batch.len());
                batch.extend(notifications.by_ref().take(room));
                if batch.len() >= manner.batch {
                    return;
                }
                subscription.phase = Phase::Live;
            }
        }
    }

    fn noted(&mut self, id: u64, key: Key, rows: &BTreeMap<Key, Row>) -> Option<pb::Notification> {
        let note = self.notes.remove(&(id, key.clone()))?;
        let cached = self.cached || self.subscriptions.get(&id)?.filter.always_cached();
        match (note.known, rows.get(&key)) {
            (known, Some(row)) => Some(notification(id, operation(cached, !known), &key, Some(row))),
            (true, None) => {
                let data = note.last.filter(|_| cached);
                Some(notification(id, pb::SdkMgrOperation::Delete, &key, data.as_ref()))
            }
            (false, None) => None,
        }
    }

    fn wake(&self) {
        if let Some(consumer) = &self.consumer {
            consumer.wake.notify_one();
        }
    }
}

fn operation(cached: bool, new: bool) -> pb::SdkMgrOperation {
    match (cached, new) {
        (false, _) => pb::SdkMgrOperation::CreateOrUpdate,
        (true, true) => pb::SdkMgrOperation::Create,
        (true, false) => pb::SdkMgrOperation::Update,
    }
}

/// Returns the part of a generated table that a subscription asks for.
fn feeding(
    id: u64,
    op: pb::SdkMgrOperation,
    filter: &Filter,
    feed: &Arc<dyn RouteFeed>,
) -> Option<Box<dyn Iterator<Item = pb::Notification> + Send>> {
    use pb::notification::SubscriptionTypes as Types;
    let op = op as i32;
    match filter {
        Filter::Group { name } if name.is_empty() => Some(Box::new(feed.groups().map(move |(key, nexthops)| {
            let body = pb::NextHopGroupNotification { op, key, data: Some(pb::NextHopGroup { nexthops }) };
            pb::Notification { subscription_id: id, subscription_types: Some(Types::NexthopGroup(body)) }
        }))),
        Filter::Route { network_instance, prefix } => {
            let (wanted_instance, wanted_prefix) = (network_instance.clone(), *prefix);
            let wanted = move |(instance, prefix, _): &(Arc<str>, ipnet::IpNet, RouteRow)| {
                (wanted_instance.is_empty() || wanted_instance == **instance)
                    && wanted_prefix.is_none_or(|wanted| wanted == *prefix)
            };
            Some(Box::new(feed.routes().filter(wanted).map(move |(instance, prefix, row)| {
                let key = Some(route_key_message(&instance, prefix));
                let body = pb::IpRouteNotification { op, key, data: Some(route_message(&row)) };
                pb::Notification { subscription_id: id, subscription_types: Some(Types::Route(body)) }
            })))
        }
        _ => None,
    }
}
