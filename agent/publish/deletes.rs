//! Deletes of what no item of this life stands for, and deletes that the NDK refused.

use std::collections::{HashMap, HashSet, VecDeque};

use super::batch::{CALL_BYTES, CALL_ENTRIES};

/// A delete refused so often by an NDK that took other things in between is of something that is not there.
pub(crate) const TRIES: u8 = 3;

/// Deletes that are due by themselves, as JS paths.
#[derive(Debug, Default)]
pub(crate) struct DeleteQueue {
    due: VecDeque<String>,
    /// Refused: either nothing stood there, or the NDK took nothing at that moment. Due again when it has taken something.
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

    /// A new registration: nothing stands.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next ones, but for those that stand for something by now.
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

    /// The NDK has accepted an update: what it refused to delete may be worth another try.
    pub(crate) fn retry_unconfirmed(&mut self) {
        self.due.extend(self.unconfirmed.drain(..));
    }

    /// A delete was accepted.
    pub(crate) fn accepted(&mut self, path: &str) {
        self.tries.remove(path);
    }

    /// A delete was refused.
    pub(crate) fn refused(&mut self, path: &str) {
        let tries = self.tries.remove(path).unwrap_or_default() + 1;
        if tries < TRIES {
            self.tries.insert(path.to_owned(), tries);
            self.unconfirmed.push(path.to_owned());
        }
    }
}
