//! Routes whose programming is not plainly done, and the switch's own count of the prefixes that failed.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::leaf::Scalar;
use super::path::{Elem, names};
use crate::model::event::Update;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{FibTrouble, RouteKey};

/// Why a leaf cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FibError {
    /// The key is no prefix.
    #[error("'{0}' is no prefix")]
    Prefix(String),
    /// A counter that is no number.
    #[error("{0} is no counter: {1}")]
    Counter(String, String),
}

/// The keys, names and values, that tell a route from others of its prefix.
type Entry = Vec<(String, String)>;

/// What is told of one route; several routes of different owners may share a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Operations {
    failed: bool,
    pending: bool,
}

/// Route entries in trouble, of all network instances followed.
#[derive(Debug, Default)]
pub(super) struct Fib {
    /// Only those in trouble, by what tells them apart under one prefix.
    routes: BTreeMap<RouteKey, BTreeMap<Entry, Operations>>,
    told: BTreeMap<RouteKey, FibTrouble>,
    touched: BTreeSet<RouteKey>,
}

impl Fib {
    /// Merges one leaf; false if it is of something else.
    pub(super) fn set(&mut self, path: &[Elem], value: &Scalar) -> Result<bool, FibError> {
        let names = names(path);
        let ["network-instance", "route-table", _, "route", "fib-programming", leaf] = &*names else {
            return Ok(false);
        };
        let Some((key, entry)) = route(path)? else { return Ok(false) };
        let trouble = value.text().is_some_and(|operation| operation != "none");
        self.change(key, entry, |operations| match *leaf {
            "last-failed-operation-type" => operations.failed = trouble,
            "pending-operation-type" => operations.pending = trouble,
            _ => {}
        });
        Ok(true)
    }

    /// Takes away what a path covers: a leaf, a route, or all below a container.
    pub(super) fn delete(&mut self, path: &[Elem]) -> Result<(), FibError> {
        let names = names(path);
        match &*names {
            [] | ["network-instance"] | ["network-instance", "route-table", ..] => {}
            _ => return Ok(()),
        }
        let route = if path.len() > 3 { self::route(path)? } else { None };
        match (&*names, route) {
            ([_, _, _, "route", below @ ..], Some((key, given))) => {
                for entry in self.matching(&key, &given) {
                    self.change(key.clone(), entry, |operations| match below {
                        ["fib-programming", "last-failed-operation-type"] => operations.failed = false,
                        ["fib-programming", "pending-operation-type"] => operations.pending = false,
                        [] | ["fib-programming"] => *operations = Operations::default(),
                        _ => {}
                    });
                }
            }
            ([], _) | ([_], _) | ([_, _], _) | ([_, _, _], _) | ([_, _, _, "route"], None) => self.delete_below(path),
            _ => {}
        }
        Ok(())
    }

    /// Entries of a prefix that the given keys allow: a path need not give them all.
    fn matching(&self, key: &RouteKey, given: &Entry) -> Vec<Entry> {
        let allowed = |entry: &&Entry| given.iter().all(|pair| pair.1 == "*" || entry.contains(pair));
        self.routes.get(key).into_iter().flat_map(BTreeMap::keys).filter(allowed).cloned().collect()
    }

    fn delete_below(&mut self, path: &[Elem]) {
        let covered = |key: &RouteKey| {
            let family = if key.prefix.addr().is_ipv4() { "ipv4-unicast" } else { "ipv6-unicast" };
            path.first().is_none_or(|elem| elem.allows("name", key.network_instance.as_str()))
                && path.get(2).is_none_or(|elem| elem.name == family)
        };
        let keys: Vec<_> = self.routes.keys().filter(|key| covered(key)).cloned().collect();
        for key in keys {
            self.routes.remove(&key);
            self.touched.insert(key);
        }
    }

    fn change(&mut self, key: RouteKey, entry: Entry, change: impl FnOnce(&mut Operations)) {
        let entries = self.routes.entry(key.clone()).or_default();
        let operations = entries.entry(entry.clone()).or_default();
        change(operations);
        if *operations == Operations::default() {
            entries.remove(&entry);
        }
        if entries.is_empty() {
            self.routes.remove(&key);
        }
        self.touched.insert(key);
    }

    fn trouble(&self, key: &RouteKey) -> Option<FibTrouble> {
        let entries = self.routes.get(key)?;
        let failed = entries.values().any(|operations| operations.failed);
        Some(if failed { FibTrouble::Failed } else { FibTrouble::Pending })
    }

    /// The whole table.
    pub(super) fn all(&mut self) -> Update<RouteKey, FibTrouble> {
        self.touched.clear();
        self.told = self.routes.keys().filter_map(|key| Some((key.clone(), self.trouble(key)?))).collect();
        Update::All(self.told.clone().into_iter().collect())
    }

    /// What is different from what was told.
    pub(super) fn changes(&mut self) -> Vec<Update<RouteKey, FibTrouble>> {
        let mut changes = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            let now = self.trouble(&key);
            if self.told.get(&key).copied() == now {
                continue;
            }
            changes.push(match now {
                Some(trouble) => {
                    self.told.insert(key.clone(), trouble);
                    Update::Set(key, trouble)
                }
                None => {
                    self.told.remove(&key);
                    Update::Gone(key)
                }
            });
        }
        changes
    }

    /// Prefixes known to have failed in a network instance.
    pub(super) fn failed(&self, instance: &NetworkInstanceName) -> u64 {
        let of_instance = self.routes.iter().filter(|(key, _)| key.network_instance == *instance);
        of_instance.filter(|(_, entries)| entries.values().any(|operations| operations.failed)).count() as u64
    }
}

/// The route a path leads to or below, and what tells it apart from others of its prefix; none if it leads to no one route.
fn route(path: &[Elem]) -> Result<Option<(RouteKey, Entry)>, FibError> {
    let (Some(instance), Some(route)) = (path.first().and_then(|elem| elem.key("name")), path.get(3)) else {
        return Ok(None);
    };
    let Some(prefix) = route.key("ipv4-prefix").or_else(|| route.key("ipv6-prefix")) else { return Ok(None) };
    if prefix == "*" {
        return Ok(None);
    }
    let net: IpNet = prefix.parse().map_err(|_| FibError::Prefix(prefix.to_owned()))?;
    let entry = route.keys.iter().filter(|(_, value)| value != prefix).cloned().collect();
    Ok(Some((RouteKey { network_instance: NetworkInstanceName::from(instance), prefix: net.trunc() }, entry)))
}

/// The switch's own count of prefixes that failed, by network instance and address family.
#[derive(Debug, Default)]
pub(super) struct Counters(BTreeMap<NetworkInstanceName, BTreeMap<String, u64>>);

impl Counters {
    /// Takes one counter; gives the network instance it is of, none if the leaf is something else.
    pub(super) fn set(&mut self, path: &[Elem], value: &Scalar) -> Result<Option<NetworkInstanceName>, FibError> {
        let ["network-instance", "route-table", family, "statistics", leaf @ "fib-failed-routes"] = &*names(path)
        else {
            return Ok(None);
        };
        let Some(instance) = path[0].key("name") else { return Ok(None) };
        let count = value.number().ok_or_else(|| FibError::Counter((*leaf).to_owned(), format!("{value:?}")))?;
        let instance = NetworkInstanceName::from(instance);
        self.0.entry(instance.clone()).or_default().insert((*family).to_owned(), count);
        Ok(Some(instance))
    }

    /// Prefixes that failed in a network instance; none where the switch does not count.
    pub(super) fn failed(&self, instance: &NetworkInstanceName) -> Option<u64> {
        self.0.get(instance).map(|families| families.values().fold(0, |sum: u64, count| sum.saturating_add(*count)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::path::{elems, parse};
    use super::*;

    fn path(prefix: &str, owner: &str, leaf: &str) -> Vec<Elem> {
        let keys = format!("[ipv4-prefix={prefix}][route-type=bgp][route-owner={owner}][id=0]");
        let text = format!("/network-instance[name=default]/route-table/ipv4-unicast/route{keys}{leaf}");
        elems(None, Some(&parse(&text).expect("a path")))
    }

    const FAILED: &str = "/fib-programming/last-failed-operation-type";
    const PENDING: &str = "/fib-programming/pending-operation-type";

    fn set(fib: &mut Fib, prefix: &str, owner: &str, leaf: &str, value: &str) {
        assert_eq!(fib.set(&path(prefix, owner, leaf), &Scalar::Text(value.to_owned())), Ok(true));
    }

    fn told(changes: Vec<Update<RouteKey, FibTrouble>>) -> Vec<(String, Option<FibTrouble>)> {
        let one = |change| match change {
            Update::Set(key, trouble) => (RouteKey::clone(&key).prefix.to_string(), Some(trouble)),
            Update::Gone(key) => (key.prefix.to_string(), None),
            Update::All(_) => panic!("no change is a whole table"),
        };
        changes.into_iter().map(one).collect()
    }

    #[test]
    fn a_failure_stands_until_none_or_a_delete() {
        let mut fib = Fib::default();
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", PENDING, "add");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), Some(FibTrouble::Pending))]);
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "modify");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), Some(FibTrouble::Failed))]);
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", PENDING, "none");
        assert_eq!(told(fib.changes()), []);
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "none");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), None)]);
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "add");
        fib.changes();
        fib.delete(&path("10.0.0.1/32", "bgp_mgr", FAILED)).expect("a path");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), None)]);
    }

    #[test]
    fn a_prefix_is_in_trouble_as_long_as_one_of_its_routes_is() {
        let mut fib = Fib::default();
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "add");
        set(&mut fib, "10.0.0.1/32", "bgp_evpn_mgr", FAILED, "add");
        assert!(matches!(fib.all(), Update::All(all) if all.len() == 1));
        fib.delete(&path("10.0.0.1/32", "bgp_mgr", "")).expect("a path");
        assert_eq!(told(fib.changes()), []);
        fib.delete(&path("10.0.0.1/32", "bgp_evpn_mgr", "")).expect("a path");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), None)]);
    }

    #[test]
    fn a_delete_with_fewer_keys_reaches_every_route_of_the_prefix() {
        let mut fib = Fib::default();
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "add");
        set(&mut fib, "10.0.0.1/32", "bgp_evpn_mgr", PENDING, "add");
        fib.changes();
        let mut path = path("10.0.0.1/32", "*", "");
        fib.delete(&path).expect("a path");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), None)]);
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "add");
        fib.changes();
        path[3].keys.truncate(0);
        path[3].keys.push(("ipv4-prefix".to_owned(), "10.0.0.1/32".to_owned()));
        fib.delete(&path).expect("a path");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), None)]);
    }

    #[test]
    fn a_table_that_goes_takes_its_routes_along() {
        let mut fib = Fib::default();
        set(&mut fib, "10.0.0.1/32", "bgp_mgr", FAILED, "add");
        fib.changes();
        let mut other = path("10.0.0.1/32", "bgp_mgr", "");
        other[2].name = "ipv6-unicast".to_owned();
        fib.delete(&other[..3]).expect("a path");
        assert_eq!(told(fib.changes()), []);
        fib.delete(&path("10.0.0.1/32", "bgp_mgr", "")[..3]).expect("a path");
        assert_eq!(told(fib.changes()), [("10.0.0.1/32".to_owned(), None)]);
    }

    #[test]
    fn counters_add_up_over_the_families() {
        let mut counters = Counters::default();
        let instance = NetworkInstanceName::from("default");
        assert_eq!(counters.failed(&instance), None);
        for (family, count) in [("ipv4-unicast", "2"), ("ipv6-unicast", "3")] {
            let text = format!("/network-instance[name=default]/route-table/{family}/statistics/fib-failed-routes");
            let path = elems(None, Some(&parse(&text).expect("a path")));
            assert_eq!(counters.set(&path, &Scalar::Text(count.into())), Ok(Some(instance.clone())));
        }
        assert_eq!(counters.failed(&instance), Some(5));
    }

    proptest! {
        #[test]
        fn arbitrary_prefixes_and_values_never_panic(prefix in "[^\\]\\\\]*", value in ".*") {
            let mut fib = Fib::default();
            let path = path(&prefix, "bgp_mgr", FAILED);
            let _ = fib.set(&path, &Scalar::Text(value));
            for length in 0..=path.len() {
                let _ = fib.delete(&path[..length]);
            }
            fib.changes();
        }
    }
}
