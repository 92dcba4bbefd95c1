//! Keeps cleared alarms: as many as configured. The oldest of the least severity is removed first; of these, one of a
//! namespace that has more than its share, so that a tenant whose alarms come and go does not displace those of others.

use std::collections::BTreeMap;

use crate::model::alarm::AlarmRecord;
use crate::model::names::ClusterName;
use crate::model::view::Change;

/// A namespace has more than its share if it has more than one in this many of all records.
const NAMESPACE_SHARE: usize = 4;

/// Returns the cluster and the namespace that an alarm was about.
fn tenant(record: &AlarmRecord) -> Option<(&ClusterName, &str)> {
    let resource = &record.key.resource;
    Some((resource.cluster()?, resource.namespace()?))
}

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
            let Some(sequence) = self.removable() else { return };
            self.records.remove(&sequence);
            changes.push(Change::AlarmHistory(sequence, None));
        }
    }

    /// Returns the record to remove first.
    fn removable(&self) -> Option<u64> {
        let least = self.records.values().map(|record| record.severity).max();
        let candidates = || self.records.values().filter(|record| Some(record.severity) == least);
        let mut tenants: BTreeMap<(&ClusterName, &str), usize> = BTreeMap::new();
        for tenant in candidates().filter_map(tenant) {
            *tenants.entry(tenant).or_default() += 1;
        }
        let greedy = tenants.into_iter().filter(|(_, count)| *count > self.records.len() / NAMESPACE_SHARE);
        let greediest = greedy.max_by_key(|(_, count)| *count).map(|(tenant, _)| tenant);
        let of_it = greediest.and_then(|greediest| candidates().find(|record| tenant(record) == Some(greediest)));
        Some(of_it.or_else(|| candidates().next())?.sequence)
    }

    /// Returns the records, oldest first, and the last sequence number.
    pub(super) fn save(&self) -> (Vec<AlarmRecord>, u64) {
        (self.records.values().cloned().collect(), self.last_sequence)
    }
}
