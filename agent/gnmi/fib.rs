//! Finds routes that are not, or may not be, in the forwarding table.
//!
//! `last-failed-operation-type` is a history, and no release documents when it is reset. A failure counts until
//! something acquits it: a successful operation later than the failure, or the switch's count of failed routes falling
//! to zero. A failure that was there before the agent looked may be old if a success is beside it: if the switch counts
//! fewer failed routes than have such a history, these failures are unconfirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::leaf::Scalar;
use super::path::names;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{FibFault, FibFaultKind, FibKey, RouteKey, RouteTable};
use crate::model::time::Timestamp;
use crate::path::{Element, Name};

/// Most faulty entries that are kept; beyond that, the rest of the network instance counts as not covered. This bounds
/// memory when the forwarding table is full.
const MOST_ENTRIES: usize = 50_000;

/// Why a leaf cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FibError {
    /// The key is not a prefix.
    #[error("'{0}' is not a prefix")]
    Prefix(String),
    /// `last-successful-operation-timestamp` is not a time.
    #[error("'{0}' is not a time")]
    Time(String),
}

/// The keys, by name, that distinguish an entry from others with the same prefix and owner.
type Keys = Vec<(Name, String)>;

/// The operations of one entry that are not known to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Operations {
    failure: Option<Failure>,
    pending: Option<Timestamp>,
    suppressed: Option<Timestamp>,
}

/// An add or modify that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    operation: String,
    /// When it was first seen.
    since: Timestamp,
    /// Whether it was there when the agent began to look.
    standing: bool,
    /// Whether the entry was ever programmed (`last-successful-operation-type`); `None` until received.
    was_programmed: Option<bool>,
    weight: Weight,
}

/// How much a failure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// The route is not programmed.
    Certain,
    /// The failure may be old.
    Doubtful,
    /// A success followed.
    Acquitted,
}

/// Entries that are not known to be programmed.
#[derive(Debug, Default)]
pub(super) struct Fib {
    entries: BTreeMap<FibKey, BTreeMap<Keys, Operations>>,
    count: usize,
    touched: BTreeSet<FibKey>,
    /// Whether the existing entries have been received, so that further failures are new.
    read: bool,
    /// Network instances with more faulty entries than are kept.
    overflowed: BTreeSet<NetworkInstanceName>,
}

impl Operations {
    fn fault(&self) -> Option<FibFault> {
        let failure = self.failure.as_ref().and_then(|failure| match failure.weight {
            Weight::Certain => Some((FibFaultKind::Failed, failure.since)),
            Weight::Doubtful => Some((FibFaultKind::Unconfirmed, failure.since)),
            Weight::Acquitted => None,
        });
        let suppressed = self.suppressed.map(|since| (FibFaultKind::Suppressed, since));
        let pending = self.pending.map(|since| (FibFaultKind::Pending, since));
        let worst = [failure, suppressed, pending].into_iter().flatten().max_by_key(|(kind, _)| *kind);
        worst.map(|(kind, since)| FibFault { kind, since })
    }

    fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// Merges one leaf. `at` is the switch's timestamp.
    fn set(&mut self, leaf: &str, value: &Scalar, at: Timestamp, standing: bool) -> Result<(), FibError> {
        let text = value.text().unwrap_or_default();
        // A route that is being removed, or whose removal failed, still forwards.
        let operation = Some(text).filter(|text| matches!(*text, "add" | "modify"));
        match leaf {
            "last-failed-operation-type" => match (operation, &self.failure) {
                (Some(new), Some(old)) if old.operation == new => {}
                (Some(new), _) => {
                    let (operation, weight) = (new.to_owned(), Weight::Certain);
                    self.failure = Some(Failure { operation, since: at, standing, was_programmed: None, weight });
                }
                (None, _) => self.failure = None,
            },
            "pending-operation-type" => self.pending = operation.map(|_| self.pending.unwrap_or(at)),
            "suppressed" => {
                let suppressed = value.boolean() == Some(true);
                self.suppressed = suppressed.then(|| self.suppressed.unwrap_or(at));
            }
            "last-successful-operation-type" => {
                if let Some(failure) = &mut self.failure {
                    failure.was_programmed = Some(operation.is_some());
                }
            }
            "last-successful-operation-timestamp" => {
                let success: Timestamp = text.parse().map_err(|_| FibError::Time(text.to_owned()))?;
                if let Some(failure) = &mut self.failure
                    && success > failure.since
                {
                    failure.weight = Weight::Acquitted;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Removes a leaf, or all of them.
    fn delete(&mut self, below: &[&str]) {
        match below {
            ["fib-programming", "last-failed-operation-type"] => self.failure = None,
            ["fib-programming", "pending-operation-type"] => self.pending = None,
            ["fib-programming", "suppressed"] => self.suppressed = None,
            [] | ["fib-programming"] => *self = Self::default(),
            _ => {}
        }
    }
}

impl Fib {
    /// Merges the leaves of one notification, sent at `at`; leaves of something else are skipped. A failure is merged
    /// before its successes, in whatever order they came.
    pub(super) fn set_all<'a>(
        &mut self,
        leaves: impl Iterator<Item = (&'a [Element], &'a Scalar)> + Clone,
        at: Timestamp,
        errors: &mut Vec<String>,
    ) {
        let is_failure = |path: &&[Element]| path.last().is_some_and(|elem| elem.name == "last-failed-operation-type");
        let failures = leaves.clone().filter(|(path, _)| is_failure(path));
        let others = leaves.filter(|(path, _)| !is_failure(path));
        for (path, value) in failures.chain(others) {
            errors.extend(self.set(path, value, at).err().map(|error| error.to_string()));
        }
    }

    fn set(&mut self, path: &[Element], value: &Scalar, at: Timestamp) -> Result<(), FibError> {
        let names = names(path);
        let ["network-instance", "route-table", _, "route", "fib-programming", leaf] = &*names else { return Ok(()) };
        let Some((key, keys)) = entry(path)? else { return Ok(()) };
        let known = self.entries.get(&key).is_some_and(|entries| entries.contains_key(&keys));
        // Most updates are successes of entries that never failed.
        if !known && leaf.starts_with("last-successful") {
            return Ok(());
        }
        if !known && self.count >= MOST_ENTRIES {
            self.overflowed.insert(key.route.network_instance);
            return Ok(());
        }
        let standing = !self.read;
        let mut result = Ok(());
        self.change(key, keys, |operations| result = operations.set(leaf, value, at, standing));
        result
    }

    /// Removes what a path covers: a leaf, an entry, or everything below a container.
    pub(super) fn delete(&mut self, path: &[Element]) -> Result<(), FibError> {
        let names = names(path);
        match &*names {
            [] | ["network-instance"] | ["network-instance", "route-table", ..] => {}
            _ => return Ok(()),
        }
        let given = if path.len() > 3 { prefix(path)? } else { None };
        match (&*names, given) {
            ([_, _, _, "route", below @ ..], Some(route)) => {
                for (key, keys) in self.matching(&route, &path[3]) {
                    self.change(key, keys, |operations| operations.delete(below));
                }
            }
            ([], _) | ([_], _) | ([_, _], _) | ([_, _, _], _) | ([_, _, _, "route"], None) => self.delete_below(path),
            _ => {}
        }
        Ok(())
    }

    /// Returns the entries of a prefix that match the given keys. A path need not have all keys.
    fn matching(&self, route: &RouteKey, step: &Element) -> Vec<(FibKey, Keys)> {
        let first = FibKey { route: route.clone(), owner: Arc::from("") };
        let of_route = self.entries.range(first..).take_while(|(key, _)| key.route == *route);
        let of_owner = of_route.filter(|(key, _)| step.allows("route-owner", &key.owner));
        let entries = of_owner.flat_map(|(key, entries)| entries.keys().map(move |keys| (key.clone(), keys.clone())));
        entries.filter(|(_, keys)| keys.iter().all(|(name, value)| step.allows(name, value))).collect()
    }

    fn delete_below(&mut self, path: &[Element]) {
        let covered = |key: &FibKey| {
            let table = RouteTable::of(&key.route.network_instance, &key.route.prefix);
            path.first().is_none_or(|elem| elem.allows("name", key.route.network_instance.as_str()))
                && path.get(2).is_none_or(|elem| elem.name == table.family.container())
        };
        let keys: Vec<_> = self.entries.keys().filter(|key| covered(key)).cloned().collect();
        for key in keys {
            self.count -= self.entries.remove(&key).map_or(0, |entries| entries.len());
            self.touched.insert(key);
        }
    }

    fn change(&mut self, key: FibKey, keys: Keys, change: impl FnOnce(&mut Operations)) {
        let entries = self.entries.entry(key.clone()).or_default();
        let before = entries.len();
        let operations = entries.entry(keys.clone()).or_default();
        let fault = operations.fault();
        change(operations);
        let differs = fault != operations.fault();
        if operations.is_idle() {
            entries.remove(&keys);
        }
        self.count = self.count + entries.len() - before;
        if entries.is_empty() {
            self.entries.remove(&key);
        }
        if differs {
            self.touched.insert(key);
        }
    }

    /// Returns what is wrong with one owner's route to a prefix.
    pub(super) fn fault(&self, key: &FibKey) -> Option<FibFault> {
        let faults = self.entries.get(key)?.values().filter_map(Operations::fault);
        faults.max_by_key(|fault| (fault.kind, std::cmp::Reverse(fault.since)))
    }

    /// Returns every fault.
    pub(super) fn faults(&self) -> impl Iterator<Item = (FibKey, FibFault)> {
        self.entries.keys().filter_map(|key| Some((key.clone(), self.fault(key)?)))
    }

    /// Returns the routes whose fault may have changed since the last call.
    pub(super) fn take_touched(&mut self) -> BTreeSet<FibKey> {
        std::mem::take(&mut self.touched)
    }

    /// Returns whether every faulty entry of a network instance is kept.
    pub(super) fn holds_all(&self, instance: &NetworkInstanceName) -> bool {
        !self.overflowed.contains(instance)
    }

    /// Notes that the existing entries have been received. Failures that were acquitted in `before` stay acquitted.
    pub(super) fn finish_reading(&mut self, before: Option<&Self>) {
        self.read = true;
        let acquitted = before.into_iter().flat_map(|fib| &fib.entries).flat_map(|(key, entries)| {
            let acquitted = entries.iter().filter(|(_, operations)| {
                operations.failure.as_ref().is_some_and(|failure| failure.weight == Weight::Acquitted)
            });
            acquitted.map(move |(keys, _)| (key, keys))
        });
        for (key, keys) in acquitted {
            let failure = self.entries.get_mut(key).and_then(|entries| entries.get_mut(keys)?.failure.as_mut());
            if let Some(failure) = failure {
                failure.weight = Weight::Acquitted;
                self.touched.insert(key.clone());
            }
        }
    }

    /// Weighs the failures of a table against the switch's own count of failed prefixes. `recovered`: whether the count
    /// has just fallen to zero. `reread`: whether the existing entries have just been read again because the count is
    /// ahead.
    pub(super) fn weigh(&mut self, table: &RouteTable, count: u64, recovered: bool, reread: bool) {
        let (open, acquitted) = (self.failed(table), self.prefixes(table, |weight| weight == Weight::Acquitted));
        let missing = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(open);
        let of_table = self
            .entries
            .iter_mut()
            .filter(|(key, _)| RouteTable::of(&key.route.network_instance, &key.route.prefix) == *table);
        for (key, entries) in of_table {
            for failure in entries.values_mut().filter_map(|operations| operations.failure.as_mut()) {
                let weight = match failure.weight {
                    _ if count == 0 && (failure.standing || recovered) => Weight::Acquitted,
                    Weight::Acquitted if reread && missing > 0 && acquitted <= missing => Weight::Certain,
                    Weight::Acquitted if reread && missing > 0 => Weight::Doubtful,
                    Weight::Acquitted => Weight::Acquitted,
                    _ if failure.standing && failure.was_programmed != Some(false) && missing == 0 => {
                        let may_be_old = (open as u64) > count;
                        if may_be_old { Weight::Doubtful } else { Weight::Certain }
                    }
                    _ => Weight::Certain,
                };
                if std::mem::replace(&mut failure.weight, weight) != weight {
                    self.touched.insert(key.clone());
                }
            }
        }
    }

    /// Returns whether a failure in a table was acquitted. If the same failure happens again, only the count shows it.
    pub(super) fn has_acquitted(&self, table: &RouteTable) -> bool {
        self.prefixes(table, |weight| weight == Weight::Acquitted) > 0
    }

    /// Returns the number of prefixes of a table that failed and were not acquitted.
    pub(super) fn failed(&self, table: &RouteTable) -> usize {
        self.prefixes(table, |weight| weight != Weight::Acquitted)
    }

    fn prefixes(&self, table: &RouteTable, which: impl Fn(Weight) -> bool) -> usize {
        let of_table = self
            .entries
            .iter()
            .filter(|(key, _)| RouteTable::of(&key.route.network_instance, &key.route.prefix) == *table);
        let failed = of_table.filter(|(_, entries)| {
            let mut failures = entries.values().filter_map(|operations| operations.failure.as_ref());
            failures.any(|failure| which(failure.weight))
        });
        failed.map(|(key, _)| key.route.prefix).collect::<BTreeSet<_>>().len()
    }
}

/// Returns the prefix that a path leads to or below; `None` if it does not lead to a single one.
fn prefix(path: &[Element]) -> Result<Option<RouteKey>, FibError> {
    let (Some(instance), Some(route)) = (path.first().and_then(|elem| elem.key("name")), path.get(3)) else {
        return Ok(None);
    };
    let Some(prefix) = route.key("ipv4-prefix").or_else(|| route.key("ipv6-prefix")) else { return Ok(None) };
    if prefix == "*" {
        return Ok(None);
    }
    let net: IpNet = prefix.parse().map_err(|_| FibError::Prefix(prefix.to_owned()))?;
    Ok(Some(RouteKey { network_instance: NetworkInstanceName::from(instance), prefix: net.trunc() }))
}

/// Returns the entry that a path leads below.
fn entry(path: &[Element]) -> Result<Option<(FibKey, Keys)>, FibError> {
    let Some(route) = prefix(path)? else { return Ok(None) };
    let step = &path[3];
    let owner = Arc::from(step.key("route-owner").unwrap_or_default());
    let is_own = |name: &str| !matches!(name, "ipv4-prefix" | "ipv6-prefix" | "route-owner");
    let keys = step.keys.iter().filter(|(name, _)| is_own(name)).cloned().collect();
    Ok(Some((FibKey { route, owner }, keys)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::path::{elems, parse};
    use super::*;
    use crate::model::switch::IpFamily;

    const FAILED: &str = "last-failed-operation-type";
    const PENDING: &str = "pending-operation-type";
    const SUCCESS: &str = "last-successful-operation-type";
    const SUCCESS_AT: &str = "last-successful-operation-timestamp";

    fn path(prefix: &str, owner: &str, below: &str) -> Vec<Element> {
        let keys = format!("[ipv4-prefix={prefix}][route-type=bgp][route-owner={owner}][id=0]");
        let text = format!("/network-instance[name=default]/route-table/ipv4-unicast/route{keys}{below}");
        elems(None, Some(&parse(&text).expect("a path")))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn table() -> RouteTable {
        RouteTable { network_instance: "default".into(), family: IpFamily::Ipv4 }
    }

    /// Sets leaves of one entry by one notification.
    fn tell(fib: &mut Fib, second: i64, prefix: &str, owner: &str, leaves: &[(&str, &str)]) {
        let leaves: Vec<_> = leaves
            .iter()
            .map(|(leaf, value)| {
                (path(prefix, owner, &format!("/fib-programming/{leaf}")), Scalar::Text((*value).to_owned()))
            })
            .collect();
        let mut errors = Vec::new();
        fib.set_all(leaves.iter().map(|(path, value)| (path.as_slice(), value)), at(second), &mut errors);
        assert_eq!(errors, [""; 0]);
    }

    /// Returns faults by the last octet of the prefix, and owner.
    fn faults(fib: &Fib) -> Vec<(u8, String, FibFaultKind)> {
        let octet = |key: &FibKey| match key.route.prefix.addr() {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        };
        fib.faults().map(|(key, fault)| (octet(&key), key.owner.to_string(), fault.kind)).collect()
    }

    fn one(kind: FibFaultKind) -> Vec<(u8, String, FibFaultKind)> {
        vec![(1, "bgp_mgr".to_owned(), kind)]
    }

    fn live() -> Fib {
        let mut fib = Fib::default();
        fib.finish_reading(None);
        fib
    }

    #[test]
    fn a_failure_stands_until_it_is_reset_deleted_or_followed_by_a_success() {
        let mut fib = live();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(PENDING, "add")]);
        assert_eq!(faults(&fib), one(FibFaultKind::Pending));
        tell(&mut fib, 2, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "modify"), (PENDING, "none")]);
        assert_eq!(faults(&fib), one(FibFaultKind::Failed));
        let key = fib.faults().next().expect("a fault").0;
        assert_eq!(fib.fault(&key).map(|fault| fault.since), Some(at(2)));
        tell(&mut fib, 3, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "none")]);
        assert_eq!(faults(&fib), []);
        tell(&mut fib, 4, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        fib.delete(&path("10.0.0.1/32", "bgp_mgr", "/fib-programming/last-failed-operation-type")).expect("a path");
        assert_eq!(faults(&fib), []);
        tell(&mut fib, 5, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        tell(&mut fib, 6, "10.0.0.1/32", "bgp_mgr", &[(SUCCESS_AT, &at(6).to_string())]);
        assert_eq!(faults(&fib), [], "a later success acquits, although the history says add");
        tell(&mut fib, 7, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "modify")]);
        assert_eq!(faults(&fib), one(FibFaultKind::Failed), "another failure is a new one");
    }

    #[test]
    fn a_success_before_the_failure_does_not_clear_it() {
        let mut fib = live();
        let before = at(1).to_string();
        tell(&mut fib, 2, "10.0.0.1/32", "bgp_mgr", &[(SUCCESS_AT, &before), (SUCCESS, "add"), (FAILED, "modify")]);
        assert_eq!(faults(&fib), one(FibFaultKind::Failed));
        tell(&mut fib, 3, "10.0.0.1/32", "bgp_mgr", &[(SUCCESS_AT, &before), (FAILED, "modify")]);
        assert_eq!(faults(&fib), one(FibFaultKind::Failed), "told again, it is the same failure");
    }

    #[test]
    fn a_repeated_failure_keeps_its_time_and_stays_cleared_if_it_was() {
        let mut fib = live();
        tell(&mut fib, 2, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        tell(&mut fib, 3, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        let (_, fault) = fib.faults().next().expect("a fault");
        assert_eq!(fault.since, at(2));
        tell(&mut fib, 4, "10.0.0.1/32", "bgp_mgr", &[(SUCCESS_AT, &at(4).to_string())]);
        tell(&mut fib, 5, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        assert_eq!(faults(&fib), [], "it was acquitted");
    }

    #[test]
    fn more_faults_than_can_be_kept_leave_the_network_instance_uncovered() {
        let mut fib = live();
        let instance = table().network_instance;
        let mut fail = |number: usize| {
            let prefix = format!("10.{}.{}.{}/32", number >> 16, number >> 8 & 255, number & 255);
            tell(&mut fib, 1, &prefix, "bgp_mgr", &[(FAILED, "add")]);
            (fib.count, fib.holds_all(&instance))
        };
        assert_eq!((0..MOST_ENTRIES).map(&mut fail).last(), Some((MOST_ENTRIES, true)));
        assert_eq!(fail(0), (MOST_ENTRIES, true), "one that is kept is no further one");
        assert_eq!(fail(MOST_ENTRIES), (MOST_ENTRIES, false));
    }

    #[test]
    fn a_failed_delete_is_not_a_fault() {
        let mut fib = live();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "delete"), (PENDING, "delete")]);
        assert_eq!(faults(&fib), []);
    }

    #[test]
    fn a_suppressed_route_is_a_fault() {
        let mut fib = live();
        let path = path("10.0.0.1/32", "bgp_mgr", "/fib-programming/suppressed");
        let mut errors = Vec::new();
        for (value, expected) in [(true, one(FibFaultKind::Suppressed)), (false, Vec::new())] {
            let value = Scalar::Boolean(value);
            fib.set_all(std::iter::once((path.as_slice(), &value)), at(1), &mut errors);
            assert_eq!(faults(&fib), expected);
        }
    }

    #[test]
    fn faults_are_kept_per_route_owner() {
        let mut fib = live();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_evpn_mgr", &[(FAILED, "add")]);
        assert_eq!(fib.faults().count(), 2);
        assert_eq!(fib.failed(&table()), 1, "the switch counts prefixes");
        fib.delete(&path("10.0.0.1/32", "bgp_evpn_mgr", "")).expect("a path");
        assert_eq!(faults(&fib), one(FibFaultKind::Failed));
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_evpn_mgr", &[(PENDING, "add")]);
        fib.delete(&path("10.0.0.1/32", "*", "")).expect("a path");
        assert_eq!(faults(&fib), []);
        assert_eq!(fib.count, 0);
    }

    #[test]
    fn a_delete_by_prefix_alone_removes_every_entry_of_the_prefix() {
        let mut fib = live();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        tell(&mut fib, 1, "10.0.0.2/32", "bgp_mgr", &[(FAILED, "add")]);
        let mut path = path("10.0.0.1/32", "bgp_mgr", "");
        path[3].keys.retain(|(name, _)| name == "ipv4-prefix");
        fib.delete(&path).expect("a path");
        assert_eq!(fib.faults().count(), 1);
    }

    #[test]
    fn deleting_a_table_removes_the_faults_of_its_routes() {
        let mut fib = live();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        let mut other = path("10.0.0.1/32", "bgp_mgr", "");
        other[2].name = "ipv6-unicast".into();
        fib.delete(&other[..3]).expect("a path");
        assert_eq!(fib.faults().count(), 1);
        fib.delete(&path("10.0.0.1/32", "bgp_mgr", "")[..3]).expect("a path");
        assert_eq!(fib.faults().count(), 0);
        assert_eq!(fib.take_touched().len(), 1);
    }

    #[test]
    fn a_failure_count_of_zero_clears_earlier_faults_and_those_it_dropped_for() {
        let mut fib = Fib::default();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        fib.finish_reading(None);
        fib.weigh(&table(), 0, false, false);
        assert_eq!(faults(&fib), [], "a history");
        tell(&mut fib, 2, "10.0.0.2/32", "bgp_mgr", &[(FAILED, "add")]);
        fib.weigh(&table(), 0, false, false);
        assert_eq!(fib.faults().count(), 1, "the count may not have caught up");
        fib.weigh(&table(), 1, false, false);
        assert_eq!(fib.faults().count(), 1, "acquitted once is acquitted");
        fib.weigh(&table(), 0, true, false);
        assert_eq!(faults(&fib), []);
    }

    #[test]
    fn failure_histories_beyond_the_switchs_count_are_unconfirmed() {
        let mut fib = Fib::default();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "modify"), (SUCCESS, "add")]);
        tell(&mut fib, 1, "10.0.0.2/32", "bgp_mgr", &[(FAILED, "add"), (SUCCESS, "none")]);
        fib.finish_reading(None);
        fib.weigh(&table(), 1, false, false);
        let kinds: Vec<_> = faults(&fib).into_iter().map(|(octet, _, kind)| (octet, kind)).collect();
        let expected = [(1, FibFaultKind::Unconfirmed), (2, FibFaultKind::Failed)];
        assert_eq!(kinds, expected, "what was never programmed is certain");
        fib.weigh(&table(), 2, false, false);
        assert!(faults(&fib).iter().all(|(_, _, kind)| *kind == FibFaultKind::Failed));
    }

    #[test]
    fn a_route_that_fails_again_in_the_same_way_is_found_by_the_count() {
        let mut fib = live();
        tell(&mut fib, 1, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add")]);
        fib.weigh(&table(), 0, true, false);
        let mut again = Fib::default();
        tell(&mut again, 5, "10.0.0.1/32", "bgp_mgr", &[(FAILED, "add"), (SUCCESS, "add")]);
        again.finish_reading(Some(&fib));
        assert_eq!(faults(&again), [], "still acquitted");
        again.weigh(&table(), 1, false, true);
        assert_eq!(faults(&again), one(FibFaultKind::Failed));
    }

    proptest! {
        #[test]
        fn arbitrary_prefixes_and_values_never_panic(prefix in "[^\\]\\\\]*", value in ".*") {
            let mut fib = Fib::default();
            for leaf in [FAILED, PENDING, SUCCESS_AT] {
                let path = path(&prefix, "bgp_mgr", &format!("/fib-programming/{leaf}"));
                let value = Scalar::Text(value.clone());
                fib.set_all(std::iter::once((path.as_slice(), &value)), at(1), &mut Vec::new());
                for length in 0..=path.len() {
                    let _ = fib.delete(&path[..length]);
                }
            }
            fib.take_touched();
        }
    }
}
