//! The state as it should stand, the state as it was last written, and the difference in batches.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::alarm;
use super::entry::{self, Counters, Entry};
use super::first_sync::FirstSync;
use super::path::Path;
use crate::model::alarm::{AlarmCounts, AlarmKey, AlarmRecord, AlarmView};
use crate::model::event::SourceId;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::RouteKey;
use crate::model::time::Timestamp;
use crate::model::verdict::{NodeReason, Reason};
use crate::model::view::{
    Change, ClusterView, NodeView, OrphanView, RootView, ServiceView, SourceFreshness, SourceView, SummaryView,
};

/// Entries and bytes that one call to the NDK carries at most: enough to amortise the round trip, little enough that a
/// change that comes meanwhile does not wait long.
pub(crate) const BATCH_ENTRIES: usize = 500;
const BATCH_BYTES: usize = 256 * 1024;
/// Items due from which on a batch is made ahead of its call. Fewer are quickly made, and as late as possible: with the
/// latest news.
const AHEAD_ITEMS: usize = 100;

/// What is rendered, compared and written as one: a view and the entries below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Item {
    Root,
    Summary,
    Statistics,
    Source(SourceId),
    SourceStatistics(SourceId),
    Cluster(ClusterName),
    Node(ClusterName, NodeName),
    Service(ClusterName, ServiceKey),
    Orphan(RouteKey),
    Alarm(AlarmKey),
    AlarmHistory(u64),
}

#[derive(Clone, Debug, PartialEq)]
enum View {
    Root(RootView),
    Summary(SummaryView, AlarmCounts),
    Statistics(Counters),
    Source(SourceView, Option<Timestamp>),
    SourceStatistics(SourceFreshness),
    Cluster(ClusterView, Option<Timestamp>),
    Node(Arc<NodeView>),
    Service(Arc<ServiceView>),
    Orphan(OrphanView),
    Alarm(AlarmView),
    AlarmHistory(AlarmRecord),
}

impl View {
    /// Nothing is known yet, as the view itself says.
    fn is_syncing(&self) -> bool {
        match self {
            Self::Node(view) => view.reason == Some(NodeReason::Syncing),
            Self::Service(view) => view.verdict.reason == Some(Reason::Syncing),
            _ => false,
        }
    }
}

/// Digest of an entry whose text on the switch is not known.
const UNKNOWN: u64 = 0;

/// One call's worth of writes, and what stood before them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) updates: Vec<Entry>,
    pub(crate) deletes: Vec<Path>,
    items: Vec<(Item, Option<Standing>)>,
}

impl Batch {
    /// Deletes of entries that are no item's.
    pub(crate) fn of_deletes(deletes: Vec<Path>) -> Self {
        Self { deletes, ..Self::default() }
    }

    /// More than one item: they can be tried by themselves.
    pub(crate) fn is_many(&self) -> bool {
        self.items.len() > 1
    }
}

/// The entries of an item as they stand on the switch: path and digest of the JSON.
type Standing = Box<[(Path, u64)]>;

/// Desired state, written state, and what differs.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    version: &'static str,
    views: HashMap<Item, View>,
    written: HashMap<Item, Standing>,
    queue: VecDeque<Item>,
    queued: HashSet<Item>,
    /// Refused, and to be tried again.
    aside: BTreeSet<Item>,
    first_sync: FirstSync,
}

impl Tree {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { version, ..Self::default() }
    }

    /// Takes over one change; what it touches is due for writing.
    pub(crate) fn take(&mut self, change: Change) {
        match change {
            Change::Root(view) => self.set(Item::Root, Some(View::Root(view))),
            Change::Summary(view) => {
                let (_, alarms) = self.summary();
                self.set(Item::Summary, Some(View::Summary(view, alarms)));
            }
            Change::AlarmCounts(alarms) => {
                let (view, _) = self.summary();
                self.set(Item::Summary, Some(View::Summary(view, alarms)));
            }
            Change::Source(source, view) => {
                if view.is_none() {
                    self.set(Item::SourceStatistics(source.clone()), None);
                }
                let item = Item::Source(source);
                let last_event = self.last_event(&item);
                self.set(item, view.map(|view| View::Source(view, last_event)));
            }
            Change::Cluster(name, view) => {
                if view.is_none() {
                    self.first_sync.forget(&name);
                }
                let item = Item::Cluster(name);
                let last_event = self.last_event(&item);
                self.set(item, view.map(|view| View::Cluster(view, last_event)));
            }
            Change::Node(cluster, node, view) => self.set(Item::Node(cluster, node), view.map(View::Node)),
            Change::Service(cluster, service, view) => {
                self.set(Item::Service(cluster, service), view.map(View::Service));
            }
            Change::Orphan(route, view) => self.set(Item::Orphan(route), view.map(View::Orphan)),
            Change::Alarm(key, view) => self.set(Item::Alarm(key), view.map(View::Alarm)),
            Change::AlarmHistory(sequence, record) => {
                self.set(Item::AlarmHistory(sequence), record.map(View::AlarmHistory));
            }
            Change::AlarmNotification(_) | Change::Ask(_) | Change::Memory(_) => {}
        }
    }

    /// Takes over freshness and counters, where they differ from what is there.
    pub(crate) fn refresh(&mut self, sources: Vec<SourceFreshness>, counters: Counters) {
        self.set(Item::Statistics, Some(View::Statistics(counters)));
        for freshness in sources {
            if let Some(View::Source(view, _)) = self.views.get(&Item::Source(freshness.source.clone())) {
                let view = View::Source(*view, freshness.last_event);
                self.set(Item::Source(freshness.source.clone()), Some(view));
            } else {
                continue; // not told of yet, or no more
            }
            if let SourceId::Kubernetes(name) = &freshness.source
                && let Some(View::Cluster(view, _)) = self.views.get(&Item::Cluster(name.clone()))
            {
                let view = View::Cluster(view.clone(), freshness.last_event);
                self.set(Item::Cluster(name.clone()), Some(view));
            }
            self.set(Item::SourceStatistics(freshness.source.clone()), Some(View::SourceStatistics(freshness)));
        }
    }

    /// Nothing stands on the switch any more: all is due again.
    pub(crate) fn forget_written(&mut self) {
        self.written.clear();
        self.queue.clear();
        self.queued.clear();
        self.aside.clear();
        let all: BTreeSet<Item> = self.views.keys().filter(|item| !self.first_sync.has(item)).cloned().collect();
        for item in all {
            self.enqueue(item);
        }
    }

    /// Something is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.queue.is_empty()
    }

    /// So much is due that the next batch should be made while a call is still on its way.
    pub(crate) fn is_far_behind(&self) -> bool {
        self.queue.len() >= AHEAD_ITEMS
    }

    /// Entries of clusters in their first sync are kept back.
    pub(crate) fn keeps_back(&self) -> bool {
        self.first_sync.keeps()
    }

    /// What was kept back is due: the first sync takes long, and that should be seen.
    pub(crate) fn give_up_waiting(&mut self) {
        let kept: BTreeSet<Item> = self.first_sync.give_up().into_iter().collect();
        kept.into_iter().for_each(|item| self.enqueue(item));
    }

    /// The next writes, in the order in which things changed; none when everything due stands already.
    ///
    /// From here on the batch counts as standing, so that the next one can be made before this one is written. If it is
    /// not, [`Self::put_back`] or [`Self::failed`] must be told, of the latest batch first.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.updates.len() + batch.deletes.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
            let Some(item) = self.queue.pop_front() else { break };
            self.queued.remove(&item);
            bytes += self.difference(item, &mut batch);
        }
        if batch.items.iter().any(|(item, _)| *item == Item::Root) {
            // Whether a write to the root takes the containers below it along is not known of every release.
            for below in [Item::Summary, Item::Statistics] {
                self.written.remove(&below);
                self.enqueue(below);
            }
        }
        (!batch.items.is_empty()).then_some(batch)
    }

    /// The batch was not sent: what it holds is due again, before all else.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        for item in self.undo(batch).into_iter().rev() {
            if self.queued.insert(item.clone()) {
                self.queue.push_front(item);
            }
        }
    }

    /// The batch does not stand, or not all of it: all of it is due again, from what is desired then. Gives the deletes
    /// that are no item's.
    pub(crate) fn failed(&mut self, batch: Batch) -> Vec<Path> {
        let of_no_item = if batch.items.is_empty() { batch.deletes } else { Vec::new() };
        for (item, before) in batch.items {
            self.distrust(&item, before);
            self.enqueue(item);
        }
        of_no_item
    }

    /// The batch was refused: its items are due again when they change, or when all that was refused is tried again.
    pub(crate) fn set_aside(&mut self, batch: Batch) {
        for (item, before) in batch.items {
            self.distrust(&item, before);
            if !self.queued.contains(&item) {
                self.aside.insert(item);
            }
        }
    }

    /// All that was refused is due again.
    pub(crate) fn try_again(&mut self) {
        std::mem::take(&mut self.aside).into_iter().for_each(|item| self.enqueue(item));
    }

    /// Something was refused and has not been tried again.
    pub(crate) fn has_aside(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Which of an item's entries stand is not known: every path may, none with a text that is known.
    fn distrust(&mut self, item: &Item, before: Option<Standing>) {
        let after = self.written.remove(item).unwrap_or_default();
        let paths: BTreeSet<Path> = before.into_iter().flatten().chain(after).map(|(path, _)| path).collect();
        self.written.insert(item.clone(), paths.into_iter().map(|path| (path, UNKNOWN)).collect());
    }

    fn undo(&mut self, batch: Batch) -> Vec<Item> {
        let undo = |(item, before): (Item, Option<Standing>)| {
            match before {
                Some(before) => drop(self.written.insert(item.clone(), before)),
                None => drop(self.written.remove(&item)),
            }
            item
        };
        batch.items.into_iter().map(undo).collect()
    }

    /// The parts of a batch by themselves, to find the one that is refused.
    pub(crate) fn split(&mut self, batch: Batch) -> Vec<Batch> {
        self.undo(batch)
            .into_iter()
            .map(|item| {
                let mut alone = Batch::default();
                self.difference(item, &mut alone);
                alone
            })
            .filter(|alone| !alone.items.is_empty())
            .collect()
    }

    /// Every entry that stands.
    pub(crate) fn standing(&self) -> HashSet<&Path> {
        self.written.values().flat_map(|standing| standing.iter().map(|(path, _)| path)).collect()
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

    /// Enqueues an item, unless it is kept back.
    fn became_due(&mut self, item: Item) {
        if let (Item::Node(cluster, _) | Item::Service(cluster, _), Some(view)) = (&item, self.views.get(&item)) {
            if view.is_syncing() && !self.written.contains_key(&item) {
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
        self.aside.remove(&item);
        if (self.views.contains_key(&item) || self.written.contains_key(&item)) && self.queued.insert(item.clone()) {
            self.queue.push_back(item);
        }
    }

    fn summary(&self) -> (SummaryView, AlarmCounts) {
        match self.views.get(&Item::Summary) {
            Some(View::Summary(view, alarms)) => (*view, *alarms),
            _ => Default::default(),
        }
    }

    fn last_event(&self, item: &Item) -> Option<Timestamp> {
        match self.views.get(item) {
            Some(View::Source(_, last_event) | View::Cluster(_, last_event)) => *last_event,
            _ => None,
        }
    }

    fn entries(&self, item: &Item) -> Vec<Entry> {
        let Some(view) = self.views.get(item) else { return Vec::new() };
        match (item, view) {
            (Item::Root, View::Root(view)) => vec![entry::root(view, self.version)],
            (Item::Summary, View::Summary(view, alarms)) => vec![entry::summary(view, alarms)],
            (Item::Statistics, View::Statistics(counters)) => vec![entry::statistics(counters)],
            (Item::Source(source), View::Source(view, last)) => vec![entry::source(source, view, *last)],
            (Item::SourceStatistics(_), View::SourceStatistics(view)) => vec![entry::source_statistics(view)],
            (Item::Cluster(name), View::Cluster(view, last)) => entry::cluster(name, view, *last),
            (Item::Node(cluster, name), View::Node(view)) => entry::node(cluster, name, view),
            (Item::Service(cluster, key), View::Service(view)) => entry::service(cluster, key, view),
            (Item::Orphan(key), View::Orphan(view)) => vec![entry::orphan(key, view)],
            (Item::Alarm(key), View::Alarm(view)) => vec![alarm::alarm(key, view)],
            (Item::AlarmHistory(_), View::AlarmHistory(record)) => vec![alarm::record(record)],
            _ => unreachable!("an item's view is of the item's kind: see take and refresh"),
        }
    }

    /// Adds to the batch what one item needs, which counts as standing then; gives the bytes added.
    fn difference(&mut self, item: Item, batch: &mut Batch) -> usize {
        let entries = self.entries(&item);
        let after: Standing = entries.iter().map(|entry| (entry.path.clone(), digest(&entry.json))).collect();
        let before = self.written.get(&item).map(|before| &**before).unwrap_or_default();
        let (changed, gone) = compare(before, &after);
        if gone.is_empty() && !changed.contains(&true) {
            return 0;
        }
        let mut bytes = 0;
        for (entry, _) in entries.into_iter().zip(changed).filter(|(_, changed)| *changed) {
            bytes += entry.json.len() + 128;
            batch.updates.push(entry);
        }
        batch.deletes.extend(gone);
        let before = match after.is_empty() {
            true => self.written.remove(&item),
            false => self.written.insert(item.clone(), after),
        };
        batch.items.push((item, before));
        bytes
    }
}

/// Which of the entries to stand are new or different, and the paths that must go: children before their parents.
fn compare(before: &[(Path, u64)], after: &[(Path, u64)]) -> (Vec<bool>, Vec<Path>) {
    let mut kept = vec![false; before.len()];
    // Both are in the same order: what comes next stands next, or a little further.
    let mut next = 0;
    let changed = after.iter().map(|(path, digest)| {
        let (passed, ahead) = before.split_at(next);
        let found = ahead.iter().position(|(known, _)| known == path).map(|index| next + index);
        let Some(index) = found.or_else(|| passed.iter().position(|(known, _)| known == path)) else { return true };
        kept[index] = true;
        next = index + 1;
        before[index].1 != *digest
    });
    let changed = changed.collect();
    let gone = before.iter().zip(kept).rev().filter(|(_, kept)| !kept).map(|((path, _), _)| path.clone());
    (changed, gone.collect())
}

fn digest(json: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    json.hash(&mut hasher);
    hasher.finish().max(UNKNOWN + 1)
}
