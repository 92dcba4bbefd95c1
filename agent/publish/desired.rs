//! Keeps the desired state, and returns its differences from the written state in batches.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::alarm;
use super::batch::{Batch, ENTRY_BYTES, Write};
use super::dialect::Dialect;
use super::entry;
use super::first_sync::FirstSync;
use super::item::{Item, Part, Place};
use super::refused::{Refusal, Refused};
use super::root::{Counters, RootDocument, replace};
use super::standing::{Standing, UNKNOWN, digest};
use crate::model::adaptation::Adaptation;
use crate::model::alarm::{AlarmRecord, AlarmView};
use crate::model::source::SourceId;
use crate::model::time::Timestamp;
use crate::model::verdict::{NodeReason, Reason};
use crate::model::view::{Change, ClusterView, NodeView, OrphanView, ServiceView, SourceFreshness};

/// Number of due items from which on the next batch is prepared while a call is in flight. Smaller batches are quick to
/// prepare, and are prepared as late as possible to contain the latest changes.
const PREPARE_ITEMS: usize = 100;
/// Queue capacity kept while idle; at start, everything is due at once.
const QUEUE_ROOM: usize = 1024;
/// Number of batches after which the root is written even if more is due: it counts what is written before it, but must
/// not wait for a queue that never empties.
const ROOT_PATIENCE: u32 = 8;

#[derive(Clone, Debug, PartialEq)]
enum View {
    Cluster(Box<ClusterView>, Option<Timestamp>),
    Node(Arc<NodeView>),
    Service(Arc<ServiceView>),
    Orphan(Box<OrphanView>),
    Alarm(Box<AlarmView>),
    AlarmHistory(Box<AlarmRecord>),
}

impl View {
    /// Returns whether the view itself shows that nothing is known yet.
    fn is_syncing(&self) -> bool {
        match self {
            Self::Node(view) => view.reason == Some(NodeReason::Syncing),
            Self::Service(view) => view.verdict.reason == Some(Reason::Syncing),
            _ => false,
        }
    }
}

/// Writes of an item that did not fit into the same batch as its first ones.
#[derive(Debug)]
struct Rest {
    item: Item,
    writes: VecDeque<Write>,
}

/// Desired state, written state, and the difference.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    root: RootDocument,
    /// How many batches have been made since the root became due; `None` if it is not due.
    root_due: Option<u32>,
    views: HashMap<Item, View>,
    standing: Standing,
    queue: VecDeque<Item>,
    queued: HashSet<Item>,
    rest: Option<Rest>,
    refused: Refused,
    /// Entries that were found too large since the last call of `take_too_large`, with their bytes.
    too_large: Vec<(Place, usize)>,
    first_sync: FirstSync,
}

impl Desired {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { root: RootDocument::new(version), ..Self::default() }
    }

    /// Applies a change; the items that it affects become due.
    pub(crate) fn take(&mut self, change: Change) {
        match change {
            Change::Root(view) => {
                let changed = self.root.set_view(view);
                self.root_changed(changed);
            }
            Change::Summary(view) => {
                let changed = replace(&mut self.root.summary, Some(view));
                self.root_changed(changed);
            }
            Change::AlarmCounts(alarms) => {
                let changed = replace(&mut self.root.alarms, alarms);
                self.root_changed(changed);
            }
            Change::Source(source, view) => {
                let changed = self.root.set_source(source, view);
                self.root_changed(changed);
            }
            Change::Cluster(name, view) => {
                if view.is_none() {
                    self.first_sync.forget(&name);
                }
                let last_event = self.root.last_event(&SourceId::Kubernetes(name.clone()));
                self.set(Item::Cluster(name), view.map(|view| View::Cluster(view.into(), last_event)));
            }
            Change::Node(cluster, node, view) => self.set(Item::Node(cluster, node), view.map(View::Node)),
            Change::Service(cluster, service, view) => {
                self.set(Item::Service(cluster, service), view.map(View::Service));
            }
            Change::Orphan(route, view) => self.set(Item::Orphan(route), view.map(|view| View::Orphan(view.into()))),
            Change::Alarm(key, view) => self.set(Item::Alarm(key), view.map(|view| View::Alarm(view.into()))),
            Change::AlarmHistory(sequence, record) => {
                self.set(Item::AlarmHistory(sequence), record.map(|record| View::AlarmHistory(record.into())));
            }
            Change::AlarmNotification(_) | Change::Ask(_) | Change::PersistentState(_) => {}
        }
    }

    /// Applies changes of freshness and counters.
    pub(crate) fn refresh(&mut self, sources: Vec<SourceFreshness>, counters: Counters) {
        let mut changed = replace(&mut self.root.counters, counters);
        for freshness in sources {
            if let SourceId::Kubernetes(name) = &freshness.source
                && let item = Item::Cluster(name.clone())
                && let Some(View::Cluster(view, last)) = self.views.get(&item)
                && *last != freshness.last_event
            {
                let view = View::Cluster(view.clone(), freshness.last_event);
                self.set(item, Some(view));
            }
            changed |= self.root.refresh(freshness);
        }
        self.root_changed(changed);
    }

    /// Applies what the sources have learned about this switch.
    pub(crate) fn adapt(&mut self, adaptation: Adaptation) {
        let changed = replace(&mut self.root.adaptation, adaptation);
        self.root_changed(changed);
    }

    /// Notes the dialect that the NDK accepted.
    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        let changed = replace(&mut self.root.dialect, Some(dialect));
        self.root_changed(changed);
    }

    /// Forgets what was written: nothing of it is left on the switch, and everything is due again.
    pub(crate) fn forget_written(&mut self) {
        self.standing.clear();
        self.queue.clear();
        self.queued.clear();
        self.rest = None;
        self.refused.clear();
        self.root_due = Some(0);
        let all: BTreeSet<Item> = self.views.keys().filter(|item| !self.first_sync.has(item)).cloned().collect();
        all.into_iter().for_each(|item| self.enqueue(item));
    }

    /// Returns whether something is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.queue.is_empty() || self.rest.is_some() || self.root_due.is_some() && self.root.is_known()
    }

    /// Returns whether so much is due that the next batch should be prepared while a call is in flight.
    pub(crate) fn is_far_behind(&self) -> bool {
        self.queue.len() >= PREPARE_ITEMS || self.rest.is_some()
    }

    /// Returns whether entries of clusters in their first sync are held back.
    pub(crate) fn keeps_back(&self) -> bool {
        self.first_sync.keeps()
    }

    /// Releases what was held back, so that a first sync that takes long is visible.
    pub(crate) fn give_up_waiting(&mut self) {
        let kept: BTreeSet<Item> = self.first_sync.give_up().into_iter().collect();
        kept.into_iter().for_each(|item| self.enqueue(item));
    }

    /// Returns a write of the root's small document, to find out whether a dialect is accepted; `None` before the root
    /// is known.
    pub(crate) fn probe(&self, dialect: Dialect) -> Option<Batch> {
        let json = self.root.probe()?;
        let mut batch = Batch::default();
        batch.push(Write::set(root_place(), &json, UNKNOWN, None, dialect));
        Some(batch)
    }

    /// Notes that the root's small document is written.
    pub(crate) fn probed(&mut self) {
        self.standing.mark(&root_place(), Some(UNKNOWN));
        self.root_due.get_or_insert(0);
    }

    /// Returns the next writes in the order of changes, with the root after what it counts; `None` if nothing is left
    /// to write.
    ///
    /// The batch counts as written at once, so that the next one can be prepared before this one is sent. If sending
    /// fails, [`Self::put_back`], [`Self::failed`] or [`Self::refuse`] must be called, for the latest batch first.
    pub(crate) fn next_batch(&mut self, dialect: Dialect) -> Option<Batch> {
        let mut batch = Batch::default();
        if self.root_due.is_some_and(|waited| waited >= ROOT_PATIENCE) {
            self.add_root(&mut batch, dialect);
        }
        // If the item has changed since, it is compared again instead.
        if let Some(Rest { item, writes }) = self.rest.take().filter(|rest| !self.queued.contains(&rest.item)) {
            self.fill(&mut batch, item, writes);
        }
        while self.rest.is_none() && batch.has_room_for(1) {
            let Some(item) = self.queue.pop_front() else { break };
            self.queued.remove(&item);
            let writes = self.difference(&item, dialect);
            self.fill(&mut batch, item, writes);
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(QUEUE_ROOM);
            self.queued.shrink_to(QUEUE_ROOM);
        }
        if self.queue.is_empty() && self.rest.is_none() && batch.has_room_for(ENTRY_BYTES) {
            self.add_root(&mut batch, dialect);
        }
        self.root_due = self.root_due.map(|waited| waited + 1);
        (!batch.is_empty()).then_some(batch)
    }

    fn add_root(&mut self, batch: &mut Batch, dialect: Dialect) {
        if self.root_due.take().is_some() {
            self.root.refused = self.refused.paths();
            let writes = self.difference(&Item::Root, dialect);
            self.fill(batch, Item::Root, writes);
        }
    }

    /// Moves writes into the batch while there is room, and keeps the rest for the next batch.
    fn fill(&mut self, batch: &mut Batch, item: Item, mut writes: VecDeque<Write>) {
        while let Some(write) = writes.pop_front() {
            if !batch.has_room_for(write.bytes()) {
                writes.push_front(write);
                self.rest = Some(Rest { item, writes });
                return;
            }
            self.standing.mark(&write.place, write.digest);
            batch.push(write);
        }
    }

    /// Returns what an item needs: updates, parents before children, then deletes, children before parents.
    fn difference(&mut self, item: &Item, dialect: Dialect) -> VecDeque<Write> {
        let entries = self.entries(item);
        let forgotten = self.refused.retain(item, |part| entries.iter().any(|(own, _)| own == part));
        let before = self.standing.of(item);
        let stood = |part: &Part| before.binary_search_by_key(part, |(part, _)| *part).ok().map(|at| before[at].1);
        let place = |part: Part| Place { item: item.clone(), part };
        let (mut updates, mut there, mut too_large) = (VecDeque::new(), HashSet::new(), Vec::new());
        for (part, json) in entries {
            let (digest, before) = (digest(&json), stood(&part));
            if before == Some(digest) {
                there.insert(part);
                continue;
            }
            let write = Write::set(place(part), &json, digest, before, dialect);
            if write.bytes() > ENTRY_BYTES {
                too_large.push((write.place.clone(), write.bytes()));
                continue;
            }
            there.insert(part);
            updates.push_back(write);
        }
        // If an entry is too large to be written, its old content is deleted.
        let gone = before.iter().rev().filter(|(part, _)| !there.contains(part));
        updates.extend(gone.map(|(part, digest)| Write::delete(place(*part), *digest, dialect)));
        let mut named = forgotten;
        for (place, bytes) in too_large {
            named |= self.refused.add(place.clone(), Refusal::Size);
            self.too_large.push((place, bytes));
        }
        self.root_changed(named && *item != Item::Root);
        updates
    }

    /// Undoes a batch that was not sent: its items are due again, before everything else.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        for Write { place, before, .. } in batch.into_writes().into_iter().rev() {
            self.standing.mark(&place, before);
            match place.item {
                Item::Root => self.root_changed(true),
                item => {
                    if self.queued.insert(item.clone()) {
                        self.queue.push_front(item);
                    }
                }
            }
        }
    }

    /// Notes that it is unknown which writes of the batch succeeded, and requeues all of their items with their current
    /// desired state.
    pub(crate) fn failed(&mut self, batch: Batch) {
        for Write { place, .. } in batch.into_writes() {
            self.standing.mark(&place, Some(UNKNOWN));
            self.enqueue(place.item);
        }
    }

    /// Notes a refused write: it is due again when its item changes, or when refused writes are retried.
    pub(crate) fn refuse(&mut self, write: Write, refusal: Refusal) {
        self.standing.mark(&write.place, Some(UNKNOWN));
        if !self.queued.contains(&write.place.item) {
            let is_root = write.place.item == Item::Root;
            let named = self.refused.add(write.place, refusal);
            self.root_changed(named && !is_root);
        }
    }

    /// Notes that the batch was accepted, which clears earlier refusals.
    pub(crate) fn written(&mut self, batch: &Batch) {
        for write in batch.writes().iter().filter(|write| write.json.is_some()) {
            let named = self.refused.remove(&write.place);
            self.root_changed(named);
        }
    }

    /// Requeues items that were refused for their content.
    pub(crate) fn try_again(&mut self) {
        for item in self.refused.retries() {
            self.enqueue(item);
        }
    }

    /// Returns whether refused writes should be retried later.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.has_retries()
    }

    /// Takes the entries that were found too large since the last call, with their bytes.
    pub(crate) fn take_too_large(&mut self) -> Vec<(Place, usize)> {
        std::mem::take(&mut self.too_large)
    }

    /// Returns the JS paths of all written entries, unordered.
    pub(crate) fn standing(&self, dialect: Dialect) -> HashSet<String> {
        self.standing.places().map(|place| place.path().js(dialect.spelling)).collect()
    }

    fn root_changed(&mut self, changed: bool) {
        if changed {
            self.root_due.get_or_insert(0);
        }
    }

    fn set(&mut self, item: Item, view: Option<View>) {
        let changed = match view {
            Some(view) => {
                self.views.get(&item) != Some(&view) && {
                    self.views.insert(item.clone(), view);
                    true
                }
            }
            None => self.views.remove(&item).is_some(),
        };
        if changed {
            self.became_due(item);
        }
    }

    /// Enqueues an item, unless it is held back.
    fn became_due(&mut self, item: Item) {
        if let (Item::Node(cluster, _) | Item::Service(cluster, _), Some(view)) = (&item, self.views.get(&item)) {
            if view.is_syncing() && !self.standing.has(&item) {
                if self.first_sync.keep(cluster, &item) {
                    return;
                }
            } else {
                let kept = self.first_sync.over(cluster);
                kept.into_iter().for_each(|item| self.enqueue(item));
            }
        }
        self.enqueue(item);
    }

    fn enqueue(&mut self, item: Item) {
        if item == Item::Root {
            return self.root_changed(true);
        }
        if (self.views.contains_key(&item) || self.standing.has(&item)) && self.queued.insert(item.clone()) {
            self.queue.push_back(item);
        }
    }

    /// Returns the desired entries of an item, in the order of their parts.
    fn entries(&self, item: &Item) -> Vec<(Part, String)> {
        if *item == Item::Root {
            return self.root.json().map(|json| (Part::Own, json)).into_iter().collect();
        }
        let mut entries = match self.views.get(item) {
            None => Vec::new(),
            Some(View::Cluster(view, last_event)) => entry::cluster(view, *last_event),
            Some(View::Node(view)) => entry::node(view),
            Some(View::Service(view)) => entry::service(view),
            Some(View::Orphan(view)) => entry::orphan(view),
            Some(View::Alarm(view)) => match item {
                Item::Alarm(key) => alarm::alarm(key, view),
                _ => Vec::new(),
            },
            Some(View::AlarmHistory(record)) => alarm::record(record),
        };
        entries.sort_by_key(|(part, _)| *part);
        entries
    }
}

fn root_place() -> Place {
    Place { item: Item::Root, part: Part::Own }
}
