//! Groups writes into batches for one call each.

use super::dialect::Dialect;
use super::item::Place;

/// Most entries in one call to the NDK: enough to amortize the round trip, few enough that a later change does not wait
/// long.
pub(crate) const CALL_ENTRIES: usize = 500;
/// Most bytes in one call. A gRPC server may close the whole connection when a message exceeds its limit, 4 MiB by
/// default; this stays far below.
pub(crate) const CALL_BYTES: usize = 256 * 1024;
/// Most bytes of one entry. Larger entries are not written; sensible input does not come near this.
pub(crate) const ENTRY_BYTES: usize = 64 * 1024;
/// Bytes that protobuf adds to an entry: tags and lengths of two strings and three messages.
const FRAME: usize = 32;

/// One entry to be written or deleted, rendered in the dialect at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) place: Place,
    /// JS path.
    pub(crate) path: String,
    /// The JSON to write; `None` deletes the entry.
    pub(crate) json: Option<String>,
    /// Digest of the JSON to write.
    pub(crate) digest: Option<u64>,
    /// Digest of what was written before, if anything.
    pub(crate) before: Option<u64>,
}

impl Write {
    /// Creates the write of an entry.
    pub(crate) fn set(place: Place, json: &str, digest: u64, before: Option<u64>, dialect: Dialect) -> Self {
        let path = place.path();
        let json = dialect.json(&path, json).into_owned();
        Self { path: path.js(dialect.spelling), place, json: Some(json), digest: Some(digest), before }
    }

    /// Creates the delete of an entry.
    pub(crate) fn delete(place: Place, before: u64, dialect: Dialect) -> Self {
        Self { path: place.path().js(dialect.spelling), place, json: None, digest: None, before: Some(before) }
    }

    /// Returns the bytes that the write adds to a message.
    pub(crate) fn bytes(&self) -> usize {
        self.path.len() + self.json.as_ref().map_or(0, String::len) + FRAME
    }
}

/// The writes of one call, updates before deletes of the same item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    writes: Vec<Write>,
    bytes: usize,
}

impl Batch {
    /// Returns whether there is room for a write of this many bytes.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.writes.is_empty() || self.writes.len() < CALL_ENTRIES && self.bytes + bytes <= CALL_BYTES
    }

    pub(crate) fn push(&mut self, write: Write) {
        self.bytes += write.bytes();
        self.writes.push(write);
    }

    /// Returns the batch's only write with the other form of hyphens in its enumerations, and the dialect of that form.
    pub(crate) fn with_other_hyphens(&self, dialect: Dialect) -> Option<(Dialect, Self)> {
        let [write] = self.writes.as_slice() else { return None };
        let (dialect, json) = dialect.other_hyphens(&write.place.path(), write.json.as_deref()?)?;
        let mut batch = Self::default();
        batch.push(Write { json: Some(json), ..write.clone() });
        Some((dialect, batch))
    }

    pub(crate) fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub(crate) fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Returns path and JSON of the updates.
    pub(crate) fn updates(&self) -> Vec<(String, String)> {
        self.writes.iter().filter_map(|write| Some((write.path.clone(), write.json.clone()?))).collect()
    }

    /// Returns whether the batch has an update.
    pub(crate) fn has_updates(&self) -> bool {
        self.writes.iter().any(|write| write.json.is_some())
    }

    /// Returns the deletes.
    pub(crate) fn deletes(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(|write| write.json.is_none())
    }

    /// Splits the batch into two halves, to find out which write is refused; returns the batch as an error if it has
    /// only one write.
    pub(crate) fn halves(self) -> Result<[Self; 2], Self> {
        if self.writes.len() < 2 {
            return Err(self);
        }
        let mut first = self.writes;
        let second = first.split_off(first.len() / 2);
        Ok([first, second].map(|writes| Self { bytes: writes.iter().map(Write::bytes).sum(), writes }))
    }
}
