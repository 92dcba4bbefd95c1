//! Remembers what is written on the switch: a digest of each entry.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::item::{Item, Part, Place};

/// Digest of an entry that may be written with unknown content.
pub(crate) const UNKNOWN: u64 = 0;

/// Returns the digest of an entry's JSON.
pub(crate) fn digest(json: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    json.hash(&mut hasher);
    hasher.finish().max(UNKNOWN + 1)
}

/// The written entries, by item.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// The entries of each item, in the order of parts.
    items: HashMap<Item, Vec<(Part, u64)>>,
}

impl Standing {
    /// Returns the entries of an item, in the order of parts.
    pub(crate) fn of(&self, item: &Item) -> &[(Part, u64)] {
        self.items.get(item).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn has(&self, item: &Item) -> bool {
        self.items.contains_key(item)
    }

    /// Notes what is written at a place; `None` if nothing is.
    pub(crate) fn mark(&mut self, place: &Place, digest: Option<u64>) {
        let Some(digest) = digest else { return self.remove(place) };
        let parts = match self.items.get_mut(&place.item) {
            Some(parts) => parts,
            None => self.items.entry(place.item.clone()).or_default(),
        };
        // The first time, entries are written in order.
        if parts.last().is_none_or(|(last, _)| *last < place.part) {
            return parts.push((place.part, digest));
        }
        match parts.binary_search_by_key(&place.part, |(part, _)| *part) {
            Ok(at) => parts[at].1 = digest,
            Err(at) => parts.insert(at, (place.part, digest)),
        }
    }

    fn remove(&mut self, place: &Place) {
        let Some(parts) = self.items.get_mut(&place.item) else { return };
        if let Ok(at) = parts.binary_search_by_key(&place.part, |(part, _)| *part) {
            parts.remove(at);
        }
        if parts.is_empty() {
            self.items.remove(&place.item);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    /// Returns every entry, parents before children.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.items
            .iter()
            .flat_map(|(item, parts)| parts.iter().map(|(part, _)| Place { item: item.clone(), part: *part }))
    }
}
