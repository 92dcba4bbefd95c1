//! One call's worth of writes.

use super::dialect::Dialect;
use super::item::Place;

/// Entries that one call to the NDK carries at most: enough to amortise the round trip, little enough that a change that
/// comes meanwhile does not wait long.
pub(crate) const CALL_ENTRIES: usize = 500;
/// Bytes that one call carries at most. A gRPC server that gets a message above its limit, 4 MiB by default, may break
/// the whole connection; this stays far below.
pub(crate) const CALL_BYTES: usize = 256 * 1024;
/// Bytes of one entry. What is larger is not written: no entry of sane input comes near.
pub(crate) const ENTRY_BYTES: usize = 64 * 1024;
/// What protobuf adds to an entry: tags and lengths of two strings and three messages.
const FRAME: usize = 32;

/// One entry to be written or deleted, rendered in the dialect of its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) place: Place,
    /// JS path.
    pub(crate) path: String,
    /// The JSON to stand there; `None` deletes the entry.
    pub(crate) json: Option<String>,
    /// Digest of what is to stand.
    pub(crate) digest: Option<u64>,
    /// Digest of what stood before, where the entry stood.
    pub(crate) before: Option<u64>,
}

impl Write {
    /// An entry to be written.
    pub(crate) fn set(place: Place, json: &str, digest: u64, before: Option<u64>, dialect: Dialect) -> Self {
        let path = place.path();
        let json = dialect.json(&path, json).into_owned();
        Self { path: path.js(dialect.spelling), place, json: Some(json), digest: Some(digest), before }
    }

    /// An entry to be deleted.
    pub(crate) fn delete(place: Place, before: u64, dialect: Dialect) -> Self {
        Self { path: place.path().js(dialect.spelling), place, json: None, digest: None, before: Some(before) }
    }

    /// Bytes of the message it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.path.len() + self.json.as_ref().map_or(0, String::len) + FRAME
    }
}

/// Writes of one call, updates before deletes of the same item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    writes: Vec<Write>,
    bytes: usize,
}

impl Batch {
    /// There is room for a write of so many bytes.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.writes.is_empty() || self.writes.len() < CALL_ENTRIES && self.bytes + bytes <= CALL_BYTES
    }

    pub(crate) fn push(&mut self, write: Write) {
        self.bytes += write.bytes();
        self.writes.push(write);
    }

    /// The only write in it, with the hyphens of its words the other way, and the dialect that is.
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

    /// Path and JSON of the updates.
    pub(crate) fn updates(&self) -> Vec<(String, String)> {
        self.writes.iter().filter_map(|write| Some((write.path.clone(), write.json.clone()?))).collect()
    }

    /// The deletes.
    pub(crate) fn deletes(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(|write| write.json.is_none())
    }

    /// Two halves, to find out which write is refused; `None` where there is only one.
    pub(crate) fn halves(self) -> Result<[Self; 2], Self> {
        if self.writes.len() < 2 {
            return Err(self);
        }
        let mut first = self.writes;
        let second = first.split_off(first.len() / 2);
        Ok([first, second].map(|writes| Self { bytes: writes.iter().map(Write::bytes).sum(), writes }))
    }
}
