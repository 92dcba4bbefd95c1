//! Keeps entries that were set aside: refused by the NDK, or too large for it. All others are written in the meantime.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::item::{Item, Part, Place};

/// Most paths of refused entries that state names.
const NAMED: usize = 8;

/// Why an entry was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The NDK refuses it. It is tried again later, and when it changes.
    Content,
    /// It is too large. It is tried again when it changes.
    Size,
}

/// The entries that were set aside, by item.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    items: HashMap<Item, BTreeMap<Part, Refusal>>,
}

impl Refused {
    /// Adds an entry. Returns whether it was not set aside before.
    pub(crate) fn add(&mut self, place: Place, refusal: Refusal) -> bool {
        self.items.entry(place.item).or_default().insert(place.part, refusal).is_none()
    }

    /// Removes an entry that was written. Returns whether it had been set aside.
    pub(crate) fn remove(&mut self, place: &Place) -> bool {
        let Some(parts) = self.items.get_mut(&place.item) else { return false };
        let removed = parts.remove(&place.part).is_some();
        if parts.is_empty() {
            self.items.remove(&place.item);
        }
        removed
    }

    /// Forgets entries that an item no longer has. Returns whether there were any.
    pub(crate) fn retain(&mut self, item: &Item, has: impl Fn(&Part) -> bool) -> bool {
        let Some(parts) = self.items.get_mut(item) else { return false };
        let before = parts.len();
        parts.retain(|part, _| has(part));
        let forgotten = parts.len() < before;
        if parts.is_empty() {
            self.items.remove(item);
        }
        forgotten
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    /// Returns whether something should be tried again later.
    pub(crate) fn has_retries(&self) -> bool {
        self.items.values().any(|parts| parts.values().any(|refusal| *refusal == Refusal::Content))
    }

    /// Returns the items with something to be tried again.
    pub(crate) fn retries(&self) -> HashSet<Item> {
        let again = |parts: &BTreeMap<Part, Refusal>| parts.values().any(|refusal| *refusal == Refusal::Content);
        self.items.iter().filter(|(_, parts)| again(parts)).map(|(item, _)| item.clone()).collect()
    }

    /// Returns the paths of the first few entries that were set aside, as operators write them.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut places: Vec<Place> = self
            .items
            .iter()
            .flat_map(|(item, parts)| parts.keys().map(|part| Place { item: item.clone(), part: *part }))
            .collect();
        places.sort_unstable();
        places.iter().take(NAMED).map(|place| place.path().to_string()).collect()
    }
}
