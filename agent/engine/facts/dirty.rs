//! What must be worked out again: returned by every setter of facts, gathered by the engine, consumed by an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::BitOrAssign;
use std::sync::Arc;

use super::ids::{ClusterId, NodeId, ServiceId};
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::RouteKey;
use crate::model::view::{NodeView, ServiceView};

/// What must be worked out again.
#[must_use = "what is dirty must be worked out again"]
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// Services whose endpoints must be counted.
    pub(crate) endpoints: Marks<ServiceId>,
    /// Services whose announcers must be looked up in the speaker's resources.
    pub(crate) announcements: Marks<ServiceId>,
    /// Clusters whose sets of nodes must be filled.
    pub(crate) node_sets: BTreeSet<ClusterId>,
    /// VIPs, all services of which must be judged.
    pub(crate) vips: BTreeSet<IpAddr>,
    /// Services that must be judged.
    pub(crate) services: Marks<ServiceId>,
    /// Nodes whose view must be made.
    pub(crate) nodes: Marks<NodeId>,
    /// Host routes that may be orphans, or may be none any more.
    pub(crate) orphans: BTreeSet<RouteKey>,
    /// Every host route inside a pool may be one.
    pub(crate) all_orphans: bool,
    /// What is remembered of attachments may be different.
    pub(crate) attachments: bool,
    /// Services and nodes that were published and are gone; those that came back are still published.
    pub(crate) departed: BTreeMap<(ClusterName, ServiceKey), Arc<ServiceView>>,
    pub(crate) departed_nodes: BTreeMap<(ClusterName, NodeName), Arc<NodeView>>,
}

impl Dirty {
    /// Everything of a cluster must be judged.
    pub(super) fn cluster(&mut self, id: ClusterId) {
        self.services.all_of(id);
        self.nodes.all_of(id);
    }

    /// Nodes came, went, moved or may announce otherwise: so must every service that looks at them.
    pub(super) fn nodes_changed(&mut self, id: ClusterId) {
        self.node_sets.insert(id);
        self.services.all_of(id);
    }
}

impl BitOrAssign for Dirty {
    fn bitor_assign(&mut self, other: Self) {
        self.endpoints.add(other.endpoints);
        self.announcements.add(other.announcements);
        self.node_sets.extend(other.node_sets);
        self.vips.extend(other.vips);
        self.services.add(other.services);
        self.nodes.add(other.nodes);
        self.orphans.extend(other.orphans);
        self.all_orphans |= other.all_orphans;
        self.attachments |= other.attachments;
        // What was published first is what the publisher still has.
        for (key, view) in other.departed {
            self.departed.entry(key).or_insert(view);
        }
        for (key, view) in other.departed_nodes {
            self.departed_nodes.entry(key).or_insert(view);
        }
    }
}

/// How many entries may be marked before those that are marked twice are looked for.
const COMPACT: usize = 1024;

/// Entries of clusters: single ones, or all of a cluster.
#[derive(Debug)]
pub(crate) struct Marks<T> {
    single: Vec<T>,
    /// How many single entries were left when those marked twice were last taken out.
    distinct: usize,
    whole: BTreeSet<ClusterId>,
}

impl<T> Default for Marks<T> {
    fn default() -> Self {
        Self { single: Vec::new(), distinct: 0, whole: BTreeSet::new() }
    }
}

impl<T: Ord> Marks<T> {
    pub(super) fn one(&mut self, entry: T) {
        self.single.push(entry);
        self.compact();
    }

    pub(super) fn all_of(&mut self, cluster: ClusterId) {
        self.whole.insert(cluster);
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = T>) {
        self.single.extend(entries);
        self.compact();
    }

    /// Nothing is marked.
    pub(crate) fn is_empty(&self) -> bool {
        self.single.is_empty() && self.whole.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.whole.extend(other.whole);
        if self.single.is_empty() {
            (self.single, self.distinct) = (other.single, other.distinct);
        } else {
            self.extend(other.single);
        }
    }

    /// A burst may mark one entry many times: what is kept is bounded by twice the entries there are.
    fn compact(&mut self) {
        if self.single.len() >= COMPACT.max(2 * self.distinct) {
            self.single.sort_unstable();
            self.single.dedup();
            self.distinct = self.single.len();
        }
    }

    /// Takes the entries that are marked, each once, in order; `members` lists those of a cluster.
    pub(crate) fn take<I: IntoIterator<Item = T>>(&mut self, members: impl FnMut(ClusterId) -> I) -> Vec<T> {
        let mut entries = std::mem::take(&mut self.single);
        self.distinct = 0;
        entries.extend(std::mem::take(&mut self.whole).into_iter().flat_map(members));
        entries.sort_unstable();
        entries.dedup();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_that_marks_few_entries_often_keeps_few() {
        let mut marks = Marks::default();
        (0..100_000).for_each(|number| marks.one(number % 3));
        assert!(marks.single.len() < COMPACT, "{}", marks.single.len());
        assert_eq!(marks.take(|_| []), [0, 1, 2]);
    }
}
