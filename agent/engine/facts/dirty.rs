//! Lists what must be recomputed. Setters of facts return it, the engine collects it, and an evaluation consumes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::BitOrAssign;
use std::sync::Arc;

use super::ids::{ClusterId, NodeId, ServiceId};
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::switch::RouteKey;
use crate::model::view::{NodeView, ServiceView};

/// What must be recomputed.
#[must_use = "what is dirty must be recomputed"]
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// Services whose endpoints must be counted.
    pub(crate) endpoints: Marks<ServiceId>,
    /// Services whose announcers must be looked up in the speaker's resources.
    pub(crate) announcements: Marks<ServiceId>,
    /// Clusters whose sets of nodes must be refilled.
    pub(crate) node_sets: BTreeSet<ClusterId>,
    /// VIPs whose services must all be judged.
    pub(crate) vips: BTreeSet<IpAddr>,
    /// Services that must be judged.
    pub(crate) services: Marks<ServiceId>,
    /// Nodes whose view must be rebuilt.
    pub(crate) nodes: Marks<NodeId>,
    /// Host routes that may have become orphans, or may no longer be.
    pub(crate) orphans: BTreeSet<RouteKey>,
    /// Whether every host route inside a pool may be an orphan.
    pub(crate) all_orphans: bool,
    /// Whether the remembered attachments may have changed.
    pub(crate) attachments: bool,
    /// Published services and nodes that were removed. Those that came back are still published.
    pub(crate) departed: BTreeMap<(ClusterName, ServiceKey), Arc<ServiceView>>,
    pub(crate) departed_nodes: BTreeMap<(ClusterName, NodeName), Arc<NodeView>>,
}

impl Dirty {
    /// Marks everything of a cluster.
    pub(super) fn cluster(&mut self, id: ClusterId) {
        self.services.all_of(id);
        self.nodes.all_of(id);
    }

    /// Marks every service of a cluster, because nodes were added, removed or moved, or may announce other VIPs.
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
        // Keep the older view: that is the one the publisher still has.
        for (key, view) in other.departed {
            self.departed.entry(key).or_insert(view);
        }
        for (key, view) in other.departed_nodes {
            self.departed_nodes.entry(key).or_insert(view);
        }
    }
}

/// Number of marked entries at which duplicates are removed.
const COMPACT: usize = 1024;

/// Marked entries of clusters: single entries, and whole clusters.
#[derive(Debug)]
pub(crate) struct Marks<T> {
    single: Vec<T>,
    /// Number of single entries after duplicates were last removed.
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

    /// Returns whether nothing is marked.
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

    /// Removes duplicates. A burst may mark an entry many times; this bounds the memory to twice the number of entries.
    fn compact(&mut self) {
        if self.single.len() >= COMPACT.max(2 * self.distinct) {
            self.single.sort_unstable();
            self.single.dedup();
            self.distinct = self.single.len();
        }
    }

    /// Takes the marked entries, each once, in order; `members` lists those of a cluster.
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
    fn marks_stay_few_when_a_burst_marks_the_same_entries_repeatedly() {
        let mut marks = Marks::default();
        (0..100_000).for_each(|number| marks.one(number % 3));
        assert!(marks.single.len() < COMPACT, "{}", marks.single.len());
        assert_eq!(marks.take(|_| []), [0, 1, 2]);
    }
}
