//! The state as it should stand, the state as it was last written, and the difference in batches.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::alarm;
use super::entry::{self, Counters, Entry};
use super::path::Path;
use crate::model::alarm::{AlarmCounts, AlarmKey, AlarmRecord, AlarmView};
use crate::model::event::SourceId;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::RouteKey;
use crate::model::time::Timestamp;
use crate::model::view::{
    Change, ClusterView, NodeView, OrphanView, RootView, ServiceView, SourceFreshness, SourceView, SummaryView,
};

/// Entries and bytes that one call to the NDK carries at most: enough to amortise the round trip, little enough that a
/// change that comes meanwhile does not wait long.
pub(crate) const BATCH_ENTRIES: usize = 500;
const BATCH_BYTES: usize = 256 * 1024;

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

/// Digest of an entry whose text on the switch is not known.
const UNKNOWN: u64 = 0;

/// One call's worth of writes, and what stands once they are done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) updates: Vec<Entry>,
    pub(crate) deletes: Vec<Path>,
    items: Vec<(Item, Standing)>,
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
            Change::Notice(_) | Change::Memory(_) => {}
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
        let all: BTreeSet<Item> = self.views.keys().cloned().collect();
        for item in all {
            self.enqueue(item);
        }
    }

    /// Something is due.
    pub(crate) fn is_due(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next writes, in the order in which things changed; none when everything due stands already.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.updates.len() + batch.deletes.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
            let Some(item) = self.queue.pop_front() else { break };
            self.queued.remove(&item);
            bytes += self.difference(item, &mut batch);
        }
        (!batch.items.is_empty()).then_some(batch)
    }

    /// The batch stands.
    pub(crate) fn written(&mut self, batch: Batch) {
        for (item, standing) in batch.items {
            if item == Item::Root {
                // Whether a write to the root takes the containers below it along is not known of every release.
                self.written.remove(&Item::Summary);
                self.enqueue(Item::Summary);
                self.written.remove(&Item::Statistics);
                self.enqueue(Item::Statistics);
            }
            if standing.is_empty() {
                self.written.remove(&item);
            } else {
                self.written.insert(item, standing);
            }
        }
    }

    /// The batch does not stand, or not all of it: all of it is due again, from what is desired then. Gives the deletes
    /// that are no item's.
    pub(crate) fn failed(&mut self, batch: Batch) -> Vec<Path> {
        let of_no_item = if batch.items.is_empty() { batch.deletes } else { Vec::new() };
        for (item, after) in batch.items {
            // Which of it stands is not known: every path may, none with a text that is known.
            let before = self.written.remove(&item).unwrap_or_default();
            let paths: BTreeSet<Path> = before.into_iter().chain(after).map(|(path, _)| path).collect();
            self.written.insert(item.clone(), paths.into_iter().map(|path| (path, UNKNOWN)).collect());
            self.enqueue(item);
        }
        of_no_item
    }

    /// The parts of a batch by themselves, to find the one that is refused.
    pub(crate) fn split(&mut self, batch: Batch) -> Vec<Batch> {
        batch
            .items
            .into_iter()
            .map(|(item, _)| {
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
            self.enqueue(item);
        }
    }

    fn enqueue(&mut self, item: Item) {
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
            (Item::Cluster(name), View::Cluster(view, last)) => vec![entry::cluster(name, view, *last)],
            (Item::Node(cluster, name), View::Node(view)) => entry::node(cluster, name, view),
            (Item::Service(cluster, key), View::Service(view)) => entry::service(cluster, key, view),
            (Item::Orphan(key), View::Orphan(view)) => vec![entry::orphan(key, view)],
            (Item::Alarm(key), View::Alarm(view)) => vec![alarm::alarm(key, view)],
            (Item::AlarmHistory(_), View::AlarmHistory(record)) => vec![alarm::record(record)],
            _ => unreachable!("an item's view is of the item's kind: see take and refresh"),
        }
    }

    /// Adds to the batch what one item needs; gives the bytes added.
    fn difference(&self, item: Item, batch: &mut Batch) -> usize {
        let entries = self.entries(&item);
        let before: HashMap<&Path, u64> =
            self.written.get(&item).map(|standing| standing.iter().map(|(p, d)| (p, *d)).collect()).unwrap_or_default();
        let after: Standing = entries.iter().map(|entry| (entry.path.clone(), digest(&entry.json))).collect();
        let kept: HashSet<&Path> = after.iter().map(|(path, _)| path).collect();
        // Children stand after their parents, and go before them.
        let gone = self.written.get(&item).into_iter().flat_map(|standing| standing.iter().rev());
        let gone: Vec<Path> = gone.filter(|(path, _)| !kept.contains(path)).map(|(path, _)| path.clone()).collect();
        let changed: Vec<bool> = after.iter().map(|(path, digest)| before.get(path) != Some(digest)).collect();
        if gone.is_empty() && !changed.contains(&true) {
            return 0;
        }
        let mut bytes = 0;
        for (entry, _) in entries.into_iter().zip(changed).filter(|(_, changed)| *changed) {
            bytes += entry.json.len() + 128;
            batch.updates.push(entry);
        }
        batch.deletes.extend(gone);
        batch.items.push((item, after));
        bytes
    }
}

fn digest(json: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    json.hash(&mut hasher);
    hasher.finish().max(UNKNOWN + 1)
}
