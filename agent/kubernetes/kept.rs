//! Tracks the keys of one kind that the engine knows, and limits their number.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

/// Whether an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is kept.
    Kept,
    /// It is left out: its namespace already has as many as one may have.
    Crowded,
    /// It is left out: there are already as many as are kept of all namespaces.
    Full,
}

/// Keys that were sent and have not been removed since.
#[derive(Debug)]
pub(super) struct Kept<K> {
    keys: FxHashSet<K>,
    by_namespace: FxHashMap<Arc<str>, usize>,
    /// Namespaces of which something was left out.
    crowded: BTreeSet<Arc<str>>,
    most: usize,
    share: usize,
}

impl<K: Clone + Eq + Hash> Kept<K> {
    /// Allows `most` keys, at most `share` of them from one namespace.
    pub(super) fn new(most: usize, share: usize) -> Self {
        let (keys, by_namespace) = (FxHashSet::default(), FxHashMap::default());
        Self { keys, by_namespace, crowded: BTreeSet::new(), most, share }
    }

    /// Adds a key; `namespace` is `None` for kinds without namespaces.
    pub(super) fn admit(&mut self, key: &K, namespace: Option<&Arc<str>>) -> Admission {
        if self.keys.contains(key) {
            return Admission::Kept;
        }
        if self.keys.len() >= self.most {
            return Admission::Full;
        }
        if let Some(namespace) = namespace {
            let count = self.by_namespace.entry(Arc::clone(namespace)).or_default();
            if *count >= self.share {
                self.crowded.insert(Arc::clone(namespace));
                return Admission::Crowded;
            }
            *count += 1;
        }
        self.keys.insert(key.clone());
        Admission::Kept
    }

    /// Removes a key; returns whether it was there.
    pub(super) fn remove(&mut self, key: &K, namespace: Option<&Arc<str>>) -> bool {
        if !self.keys.remove(key) {
            return false;
        }
        if let Some(namespace) = namespace
            && let Some(count) = self.by_namespace.get_mut(namespace)
        {
            *count -= 1;
            if *count == 0 {
                self.by_namespace.remove(namespace);
            }
        }
        true
    }

    /// Returns what state should say if anything was left out.
    pub(super) fn words(&self, resource: &str) -> Option<String> {
        let first = self.crowded.first()?;
        let share = self.share;
        let more = self.crowded.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more namespaces") };
        Some(format!(
            "namespace {first} has more than {share} {resource}{more}: those beyond are not read, until the next listing"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_limited_to_its_share() {
        let (mut kept, tenant, other) = (Kept::new(6, 2), Arc::from("tenant"), Arc::from("other"));
        for (key, namespace, admission) in [
            (1, &tenant, Admission::Kept),
            (2, &tenant, Admission::Kept),
            (2, &tenant, Admission::Kept),
            (3, &tenant, Admission::Crowded),
            (4, &other, Admission::Kept),
        ] {
            assert_eq!(kept.admit(&key, Some(namespace)), admission, "{key}");
        }
        assert!(kept.words("services").expect("words").contains("namespace tenant has more than 2 services"));
        assert!(kept.remove(&1, Some(&tenant)) && !kept.remove(&3, Some(&tenant)));
        assert_eq!(kept.admit(&3, Some(&tenant)), Admission::Kept);
    }

    #[test]
    fn nothing_is_admitted_beyond_the_total_limit() {
        let mut kept = Kept::new(2, 1);
        assert_eq!([1, 2, 3].map(|key| kept.admit(&key, None)), [Admission::Kept, Admission::Kept, Admission::Full]);
        assert_eq!(kept.words("nodes"), None);
        assert!(kept.remove(&1, None));
        assert_eq!(kept.admit(&3, None), Admission::Kept);
    }
}
