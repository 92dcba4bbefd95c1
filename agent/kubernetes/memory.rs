//! Accounts for the memory that the objects of one cluster take, across all kinds: each kind has a limit of its own, but
//! all of them at their limits would take more than a switch has to spare.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::limits;

/// What a refused object exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The share of its namespace.
    Share,
    /// The limit of the cluster.
    Total,
}

/// The account of one cluster, shared by the watches of all kinds.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    sums: Arc<Mutex<Sums>>,
    most: usize,
    share: usize,
}

#[derive(Debug, Default)]
struct Sums {
    total: usize,
    by_namespace: FxHashMap<Arc<str>, usize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(limits::CLUSTER_BYTES, limits::NAMESPACE_BYTES)
    }
}

impl Memory {
    /// Allows `most` bytes, at most `share` of them to one namespace.
    pub(super) fn new(most: usize, share: usize) -> Self {
        Self { sums: Arc::default(), most, share }
    }

    /// Books bytes: in all, and those for a namespace.
    ///
    /// # Errors
    /// If they exceed a limit: then nothing is booked.
    pub(super) fn book(&self, bytes: usize, of: Option<(&Arc<str>, usize)>) -> Result<(), Refusal> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let total = sums.total.saturating_add(bytes);
        let of = of.filter(|(_, bytes)| *bytes > 0).map(|(namespace, bytes)| {
            let before = sums.by_namespace.get(namespace).copied().unwrap_or_default();
            (namespace, before.saturating_add(bytes))
        });
        // Namespaces that have their share must not make the cluster as a whole unreadable.
        if of.is_some_and(|(_, after)| after > self.share) {
            return Err(Refusal::Share);
        }
        if bytes > 0 && total > self.most {
            return Err(Refusal::Total);
        }
        if let Some((namespace, after)) = of {
            sums.by_namespace.insert(Arc::clone(namespace), after);
        }
        sums.total = total;
        Ok(())
    }

    /// Gives back bytes: in all, and those for a namespace.
    pub(super) fn give_back(&self, bytes: usize, of: Option<(&Arc<str>, usize)>) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.total = sums.total.saturating_sub(bytes);
        if let Some((namespace, bytes)) = of.filter(|(_, bytes)| *bytes > 0)
            && let Some(sum) = sums.by_namespace.get_mut(namespace)
        {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                sums.by_namespace.remove(namespace);
            }
        }
    }

    /// Returns the limit of the cluster, in words.
    pub(super) fn most(&self) -> String {
        limits::in_words(self.most)
    }

    /// Returns the share of a namespace, in words.
    pub(super) fn share(&self) -> String {
        limits::in_words(self.share)
    }
}
