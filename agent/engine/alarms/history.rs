//! Keeps cleared alarms: as many as configured. The oldest of the least severity is removed first.

use std::collections::BTreeMap;

use crate::model::alarm::AlarmRecord;
use crate::model::view::Change;

/// `alarm-history`, by sequence.
#[derive(Debug, Default)]
pub(super) struct History {
    records: BTreeMap<u64, AlarmRecord>,
    last_sequence: u64,
}

impl History {
    /// Restores what an earlier run of the agent left.
    pub(super) fn restore(&mut self, records: &[AlarmRecord], last_sequence: u64, changes: &mut Vec<Change>) {
        self.last_sequence = last_sequence;
        for record in records {
            self.last_sequence = self.last_sequence.max(record.sequence);
            self.records.insert(record.sequence, record.clone());
            changes.push(Change::AlarmHistory(record.sequence, Some(record.clone())));
        }
    }

    /// Adds a record, and numbers it.
    pub(super) fn add(&mut self, mut record: AlarmRecord, size: u16, changes: &mut Vec<Change>) {
        self.last_sequence = self.last_sequence.saturating_add(1);
        record.sequence = self.last_sequence;
        self.records.insert(record.sequence, record.clone());
        changes.push(Change::AlarmHistory(record.sequence, Some(record)));
        self.shorten(size, changes);
    }

    /// Removes records until at most `size` are left.
    pub(super) fn shorten(&mut self, size: u16, changes: &mut Vec<Change>) {
        while self.records.len() > usize::from(size) {
            let least = self.records.values().map(|record| record.severity).max();
            let oldest = self.records.values().find(|record| Some(record.severity) == least);
            let Some(sequence) = oldest.map(|record| record.sequence) else { return };
            self.records.remove(&sequence);
            changes.push(Change::AlarmHistory(sequence, None));
        }
    }

    /// Returns the records, oldest first, and the last sequence number.
    pub(super) fn save(&self) -> (Vec<AlarmRecord>, u64) {
        (self.records.values().cloned().collect(), self.last_sequence)
    }
}
