//! Queues deletes of entries that no item of this run accounts for, and deletes that the NDK refused.

use std::collections::{HashMap, HashSet, VecDeque};

use super::batch::{CALL_BYTES, CALL_ENTRIES};

/// A delete that an NDK refused this often, while it accepted other calls in between, is of an entry that does not
/// exist.
pub(crate) const TRIES: u8 = 3;

/// Deletes that are due independently of items, as JS paths.
#[derive(Debug, Default)]
pub(crate) struct DeleteQueue {
    due: VecDeque<String>,
    /// Refused deletes: either the entry does not exist, or the NDK accepted nothing at that moment. They are due again
    /// once it has accepted something.
    unconfirmed: Vec<String>,
    tries: HashMap<String, u8>,
}

impl DeleteQueue {
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(crate) fn add(&mut self, paths: impl IntoIterator<Item = String>) {
        self.due.extend(paths);
    }

    /// Forgets all deletes after a new registration, since nothing is written then.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the next deletes, except those of paths that have been written again.
    pub(crate) fn next(&mut self, standing: &HashSet<String>) -> Vec<String> {
        self.due.retain(|path| !standing.contains(path));
        let mut bytes = 0;
        let fits = |path: &&String| {
            bytes += path.len();
            bytes <= CALL_BYTES
        };
        let count = self.due.iter().take(CALL_ENTRIES).take_while(fits).count();
        self.due.drain(..count.max(1).min(self.due.len())).collect()
    }

    /// Retries refused deletes, because the NDK has accepted an update.
    pub(crate) fn retry_unconfirmed(&mut self) {
        self.due.extend(self.unconfirmed.drain(..));
    }

    /// Notes an accepted delete.
    pub(crate) fn accepted(&mut self, path: &str) {
        self.tries.remove(path);
    }

    /// Notes a refused delete.
    pub(crate) fn refused(&mut self, path: &str) {
        let tries = self.tries.remove(path).unwrap_or_default() + 1;
        if tries < TRIES {
            self.tries.insert(path.to_owned(), tries);
            self.unconfirmed.push(path.to_owned());
        }
    }
}
