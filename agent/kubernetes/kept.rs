//! Tracks the keys of one kind that the engine knows, and limits their number and the memory that they take.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::memory::{Memory, Refusal};

/// A limit that an entry exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// On the number of entries.
    Count,
    /// On the memory they take.
    Memory,
}

/// Whether an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is kept.
    Kept,
    /// It is left out: its namespace already has as much as one may have.
    Crowded,
    /// It is left out: there is already as much as is kept of all namespaces.
    Full(Limit),
}

/// Keys that were sent and have not been removed since.
#[derive(Debug)]
pub(super) struct Kept<K> {
    /// The bytes that each entry takes.
    keys: FxHashMap<K, u32>,
    all: Use,
    by_namespace: FxHashMap<Arc<str>, (usize, Use)>,
    /// Namespaces of which something was left out.
    crowded: BTreeMap<Arc<str>, Limit>,
    most: usize,
    share: usize,
    memory: Memory,
}

/// The bytes that entries take, and those of them that are booked: while everything is listed again, an entry that
/// replaces another one needs no more memory.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    bytes: usize,
    booked: usize,
}

impl Use {
    /// Returns the use with other bytes, of which `covered` need not be booked.
    fn with(bytes: usize, covered: usize) -> Self {
        Self { bytes, booked: bytes.saturating_sub(covered) }
    }
}

impl<K> Kept<K> {
    /// Allows `most` keys, at most `share` of them from one namespace.
    pub(super) fn new(most: usize, share: usize, memory: Memory) -> Self {
        let (keys, by_namespace) = (FxHashMap::default(), FxHashMap::default());
        Self { keys, all: Use::default(), by_namespace, crowded: BTreeMap::new(), most, share, memory }
    }

    fn bytes_of(&self, namespace: Option<&Arc<str>>) -> usize {
        namespace.and_then(|namespace| self.by_namespace.get(namespace)).map_or(0, |(_, used)| used.bytes)
    }

    /// Books everything, after the entries that these replace are gone.
    pub(super) fn settle(&mut self) {
        let rest = self.all.bytes - self.all.booked;
        // No more than was booked before.
        let _ = self.memory.book(rest, None);
        self.all.booked = self.all.bytes;
        for (namespace, (_, used)) in &mut self.by_namespace {
            let _ = self.memory.book(0, Some((namespace, used.bytes - used.booked)));
            used.booked = used.bytes;
        }
    }
}

impl<K> Drop for Kept<K> {
    fn drop(&mut self) {
        self.memory.give_back(self.all.booked, None);
        for (namespace, (_, used)) in &self.by_namespace {
            self.memory.give_back(0, Some((namespace, used.booked)));
        }
    }
}

impl<K: Clone + Eq + Hash> Kept<K> {
    /// Returns whether a key is kept.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.keys.contains_key(key)
    }

    /// Adds an entry, or changes the bytes it takes; `namespace` is `None` for kinds without namespaces. A known entry
    /// that is not kept any longer must be removed. `replaced` are the entries that all of these replace.
    pub(super) fn admit(
        &mut self,
        key: &K,
        namespace: Option<&Arc<str>>,
        bytes: usize,
        replaced: Option<&Self>,
    ) -> Admission {
        let before = self.keys.get(key).copied();
        let (count, used) = namespace.and_then(|of| self.by_namespace.get(of)).copied().unwrap_or_default();
        if before.is_none() && self.keys.len() >= self.most {
            return Admission::Full(Limit::Count);
        }
        if let Some(namespace) = namespace.filter(|_| before.is_none() && count >= self.share) {
            self.crowded.insert(Arc::clone(namespace), Limit::Count);
            return Admission::Crowded;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let sum = |used: Use| used.bytes - before.unwrap_or_default() as usize + bytes as usize;
        let all = Use::with(sum(self.all), replaced.map_or(0, |replaced| replaced.all.bytes));
        let of_namespace = match namespace {
            Some(_) => Use::with(sum(used), replaced.map_or(0, |replaced| replaced.bytes_of(namespace))),
            None => Use::default(),
        };
        let more = |after: Use, before: Use| after.booked.saturating_sub(before.booked);
        let of = namespace.map(|namespace| (namespace, more(of_namespace, used)));
        if let Err(refusal) = self.memory.book(more(all, self.all), of) {
            return match (refusal, namespace) {
                (Refusal::Share, Some(namespace)) => {
                    self.crowded.insert(Arc::clone(namespace), Limit::Memory);
                    Admission::Crowded
                }
                _ => Admission::Full(Limit::Memory),
            };
        }
        self.memory.give_back(more(self.all, all), namespace.map(|namespace| (namespace, more(used, of_namespace))));
        self.all = all;
        if let Some(namespace) = namespace {
            let count = count + usize::from(before.is_none());
            self.by_namespace.insert(Arc::clone(namespace), (count, of_namespace));
        }
        self.keys.insert(key.clone(), bytes);
        Admission::Kept
    }

    /// Removes a key; returns whether it was there. `replaced` is as in [`Self::admit`].
    pub(super) fn remove(&mut self, key: &K, namespace: Option<&Arc<str>>, replaced: Option<&Self>) -> bool {
        let Some(bytes) = self.keys.remove(key) else { return false };
        let bytes = bytes as usize;
        let all = Use::with(self.all.bytes - bytes, replaced.map_or(0, |replaced| replaced.all.bytes));
        self.memory.give_back(self.all.booked - all.booked, None);
        self.all = all;
        if let Some(namespace) = namespace
            && let Some((count, used)) = self.by_namespace.get_mut(namespace)
        {
            let after =
                Use::with(used.bytes - bytes, replaced.map_or(0, |replaced| replaced.bytes_of(Some(namespace))));
            self.memory.give_back(0, Some((namespace, used.booked - after.booked)));
            (*count, *used) = (*count - 1, after);
            if *count == 0 {
                self.by_namespace.remove(namespace);
            }
        }
        true
    }

    /// Returns the namespaces of which something was left out.
    pub(super) fn crowded(&self) -> impl Iterator<Item = &Arc<str>> {
        self.crowded.keys()
    }

    /// Returns what state should say if anything was left out.
    pub(super) fn words(&self, resource: &str) -> Option<String> {
        let (first, limit) = self.crowded.first_key_value()?;
        let more = self.crowded.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more namespaces") };
        let what = match limit {
            Limit::Count => format!("namespace {first} has more than {} {resource}{more}: those", self.share),
            Limit::Memory => {
                let share = self.memory.share();
                format!("the objects of namespace {first} take more than {share} of memory here{more}: {resource}")
            }
        };
        Some(format!("{what} beyond are not read, until the next listing"))
    }

    /// Returns why everything beyond a limit is refused; `count` is the number of entries, if it is known.
    pub(super) fn refusal(&self, resource: &str, limit: Limit, count: Option<u64>) -> String {
        let most = self.most;
        match limit {
            Limit::Count => {
                let there = count.map_or_else(|| format!("more than {most}"), |count| count.to_string());
                format!("there are {there} {resource}, and at most {most} of them are read")
            }
            Limit::Memory => {
                let most = self.memory.most();
                format!(
                    "the objects of the cluster take more than {most} of memory here: {resource} beyond are not read"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Arc<str> {
        name.into()
    }

    /// Enough for everything that is not about memory.
    fn plenty() -> Memory {
        Memory::new(1 << 20, 1 << 20)
    }

    #[test]
    fn a_namespace_is_limited_to_its_share() {
        let (mut kept, tenant, other) = (Kept::new(6, 2, plenty()), namespace("tenant"), namespace("other"));
        for (key, namespace, admission) in [
            (1, &tenant, Admission::Kept),
            (2, &tenant, Admission::Kept),
            (2, &tenant, Admission::Kept),
            (3, &tenant, Admission::Crowded),
            (4, &other, Admission::Kept),
        ] {
            assert_eq!(kept.admit(&key, Some(namespace), 1, None), admission, "{key}");
        }
        assert!(kept.words("services").expect("words").contains("namespace tenant has more than 2 services"));
        assert!(kept.remove(&1, Some(&tenant), None) && !kept.remove(&3, Some(&tenant), None));
        assert_eq!(kept.admit(&3, Some(&tenant), 1, None), Admission::Kept);
    }

    #[test]
    fn nothing_is_admitted_beyond_the_total_limit() {
        let mut kept = Kept::new(2, 1, plenty());
        let admissions = [1, 2, 3].map(|key| kept.admit(&key, None, 1, None));
        assert_eq!(admissions, [Admission::Kept, Admission::Kept, Admission::Full(Limit::Count)]);
        assert_eq!(kept.words("nodes"), None);
        assert!(kept.remove(&1, None, None));
        assert_eq!(kept.admit(&3, None, 1, None), Admission::Kept);
    }

    #[test]
    fn all_kinds_of_a_cluster_share_its_memory_and_a_namespace_has_its_part_of_it() {
        let memory = Memory::new(100, 40);
        let (mut services, mut slices) = (Kept::new(9, 9, memory.clone()), Kept::new(9, 9, memory.clone()));
        let [one, two, three] = ["one", "two", "three"].map(namespace);
        assert_eq!(services.admit(&1, Some(&one), 30, None), Admission::Kept);
        assert_eq!(slices.admit(&1, Some(&one), 11, None), Admission::Crowded, "41 of 40");
        assert_eq!(slices.admit(&1, Some(&one), 10, None), Admission::Kept);
        assert_eq!(slices.admit(&1, Some(&one), 11, None), Admission::Crowded, "what is known may not grow, either");
        let words = slices.words("endpointslices").expect("words");
        assert!(words.contains("the objects of namespace one take more than 40 bytes of memory here"), "{words}");
        assert_eq!(services.admit(&2, Some(&two), 40, None), Admission::Kept);
        assert_eq!(slices.admit(&3, Some(&three), 21, None), Admission::Full(Limit::Memory), "101 of 100");
        assert!(services.remove(&2, Some(&two), None));
        assert_eq!(slices.admit(&3, Some(&three), 21, None), Admission::Kept);
        assert_eq!(slices.admit(&4, Some(&one), 40, None), Admission::Crowded, "it has its share, whatever is left");
        drop(services);
        assert_eq!(
            slices.admit(&4, Some(&one), 30, None),
            Admission::Kept,
            "a kind that is not followed takes nothing"
        );
    }

    #[test]
    fn what_is_listed_again_needs_memory_only_for_what_is_more() {
        let memory = Memory::new(100, 60);
        let tenant = namespace("tenant");
        let mut known = Kept::new(9, 9, memory.clone());
        assert_eq!(known.admit(&1, Some(&tenant), 50, None), Admission::Kept);
        let mut listed = Kept::new(9, 9, memory.clone());
        assert_eq!(listed.admit(&2, Some(&tenant), 50, Some(&known)), Admission::Kept, "in place of the other");
        assert_eq!(listed.admit(&3, Some(&tenant), 11, Some(&known)), Admission::Crowded);
        assert_eq!(listed.admit(&3, Some(&tenant), 10, Some(&known)), Admission::Kept);
        assert!(listed.remove(&3, Some(&tenant), Some(&known)), "the page is asked for again");
        assert_eq!(listed.admit(&4, Some(&tenant), 10, Some(&known)), Admission::Kept);
        known = listed;
        known.settle();
        let mut other = Kept::new(9, 9, memory);
        assert_eq!(other.admit(&1, None, 41, None), Admission::Full(Limit::Memory));
        assert_eq!(other.admit(&1, None, 40, None), Admission::Kept);
    }
}
