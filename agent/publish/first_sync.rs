//! Holds entries back while a cluster is in its first sync, so that thousands of them are not written twice.

use std::collections::{HashMap, HashSet};

use super::item::Item;
use crate::model::names::ClusterName;

/// Clusters that have not synced yet, and what is held back of them.
///
/// A cluster is in its first sync until something of it is judged, or until it has been waited for long enough. After
/// that nothing of it is held back.
#[derive(Debug, Default)]
pub(crate) struct FirstSync {
    clusters: HashMap<ClusterName, Phase>,
}

#[derive(Debug)]
enum Phase {
    Syncing(HashSet<Item>),
    Over,
}

impl FirstSync {
    /// Holds back an item of a cluster that only says "syncing". Returns false if it must not be held back.
    pub(crate) fn keep(&mut self, cluster: &ClusterName, item: &Item) -> bool {
        let begin = || Phase::Syncing(HashSet::new());
        match self.clusters.entry(cluster.clone()).or_insert_with(begin) {
            Phase::Syncing(kept) => {
                kept.insert(item.clone());
                true
            }
            Phase::Over => false,
        }
    }

    /// Ends the first sync of a cluster of which something is judged; returns what was held back.
    pub(crate) fn over(&mut self, cluster: &ClusterName) -> HashSet<Item> {
        match self.clusters.get_mut(cluster) {
            Some(Phase::Over) => HashSet::new(),
            Some(phase) => std::mem::replace(phase, Phase::Over).kept(),
            None => {
                self.clusters.insert(cluster.clone(), Phase::Over);
                HashSet::new()
            }
        }
    }

    /// Forgets a removed cluster: if it comes back, it syncs again.
    pub(crate) fn forget(&mut self, cluster: &ClusterName) {
        self.clusters.remove(cluster);
    }

    /// Ends the first sync of every cluster; returns what was held back.
    pub(crate) fn give_up(&mut self) -> HashSet<Item> {
        self.clusters.values_mut().flat_map(|phase| std::mem::replace(phase, Phase::Over).kept()).collect()
    }

    /// Returns whether something is held back.
    pub(crate) fn keeps(&self) -> bool {
        self.clusters.values().any(|phase| matches!(phase, Phase::Syncing(kept) if !kept.is_empty()))
    }

    /// Returns whether this item is held back.
    pub(crate) fn has(&self, item: &Item) -> bool {
        self.clusters.values().any(|phase| matches!(phase, Phase::Syncing(kept) if kept.contains(item)))
    }
}

impl Phase {
    fn kept(self) -> HashSet<Item> {
        match self {
            Self::Syncing(kept) => kept,
            Self::Over => HashSet::new(),
        }
    }
}
