//! Stores the switch's own counts for its route tables: prefixes that failed, and prefixes with an active route.

use std::collections::BTreeMap;

use super::leaf::Scalar;
use super::path::names;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{IpFamily, RouteTable};
use crate::path::Element;

/// A counter that is not a number.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{leaf} is not a counter: {value}")]
pub(super) struct CounterError {
    leaf: String,
    value: String,
}

/// Which counter an update changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// `fib-failed-routes`.
    Failed {
        /// The table that the routes are in.
        table: RouteTable,
        /// Whether the count was above zero before and is zero now.
        recovered: bool,
    },
    /// `active-routes`.
    Active(RouteTable),
}

/// The counters of every route table.
#[derive(Debug, Default)]
pub(super) struct Counters {
    failed: BTreeMap<RouteTable, u64>,
    active: BTreeMap<RouteTable, u64>,
}

impl Counters {
    /// Merges one leaf; returns `None` if it is not a counter or has not changed.
    pub(super) fn set(&mut self, path: &[Element], value: &Scalar) -> Result<Option<Counted>, CounterError> {
        let names = names(path);
        let ["network-instance", "route-table", _, "statistics", leaf @ ("fib-failed-routes" | "active-routes")] =
            &*names
        else {
            return Ok(None);
        };
        let Some(table) = table(path) else { return Ok(None) };
        let count = value.number();
        let count = count.ok_or_else(|| CounterError { leaf: (*leaf).to_owned(), value: format!("{value:?}") })?;
        let counts = if *leaf == "active-routes" { &mut self.active } else { &mut self.failed };
        let before = counts.insert(table.clone(), count);
        if before == Some(count) {
            return Ok(None);
        }
        let recovered = count == 0 && before.is_some();
        Ok(Some(if *leaf == "active-routes" { Counted::Active(table) } else { Counted::Failed { table, recovered } }))
    }

    /// Forgets the counters that a path covers.
    pub(super) fn delete(&mut self, path: &[Element]) {
        let names = names(path);
        let whole = ["network-instance", "route-table", "*", "statistics"];
        let covers = names.iter().zip(whole).all(|(name, expected)| expected == "*" || *name == expected);
        if !covers || names.len() > whole.len() + 1 {
            return;
        }
        let stays = |table: &RouteTable| {
            !path.first().is_none_or(|elem| elem.allows("name", table.network_instance.as_str()))
                || path.get(2).is_some_and(|elem| elem.name != table.family.container())
        };
        let leaf = names.get(whole.len()).copied();
        if leaf.is_none_or(|leaf| leaf == "fib-failed-routes") {
            self.failed.retain(|table, _| stays(table));
        }
        if leaf.is_none_or(|leaf| leaf == "active-routes") {
            self.active.retain(|table, _| stays(table));
        }
    }

    /// Returns the number of prefixes of a table that failed; `None` if the switch does not count them.
    pub(super) fn failed(&self, table: &RouteTable) -> Option<u64> {
        self.failed.get(table).copied()
    }

    /// Returns the number of prefixes with an active route, by table.
    pub(super) fn active(&self) -> &BTreeMap<RouteTable, u64> {
        &self.active
    }

    /// Returns whether the switch counts no failure in any family of a network instance. If only one family has a
    /// counter, the other has no table.
    pub(super) fn is_clean(&self, instance: &NetworkInstanceName) -> bool {
        let counts: Vec<u64> = tables(instance).iter().filter_map(|table| self.failed(table)).collect();
        !counts.is_empty() && counts.iter().all(|count| *count == 0)
    }
}

/// Returns the two tables of a network instance.
pub(super) fn tables(instance: &NetworkInstanceName) -> [RouteTable; 2] {
    IpFamily::ALL.map(|family| RouteTable { network_instance: instance.clone(), family })
}

/// Returns the table that a path leads into.
fn table(path: &[Element]) -> Option<RouteTable> {
    let network_instance = NetworkInstanceName::from(path.first()?.key("name")?);
    Some(RouteTable { network_instance, family: IpFamily::from_container(&path.get(2)?.name)? })
}

#[cfg(test)]
mod tests {
    use super::super::path::{elems, parse};
    use super::*;

    fn path(family: &str, leaf: &str) -> Vec<Element> {
        let text = format!("/network-instance[name=default]/route-table/{family}/statistics{leaf}");
        elems(None, Some(&parse(&text).expect("a path")))
    }

    fn count(counters: &mut Counters, family: &str, leaf: &str, value: &str) -> Option<Counted> {
        counters.set(&path(family, leaf), &Scalar::Text(value.to_owned())).expect("a counter")
    }

    #[test]
    fn a_table_is_clean_when_every_counted_family_has_zero_failures() {
        let mut counters = Counters::default();
        let instance = NetworkInstanceName::from("default");
        let [v4, v6] = tables(&instance);
        assert!(!counters.is_clean(&instance), "what is not counted is not clean");
        count(&mut counters, "ipv4-unicast", "/fib-failed-routes", "0");
        assert!(counters.is_clean(&instance));
        let failed = Counted::Failed { table: v6.clone(), recovered: false };
        assert_eq!(count(&mut counters, "ipv6-unicast", "/fib-failed-routes", "3"), Some(failed));
        assert!(!counters.is_clean(&instance));
        assert_eq!((counters.failed(&v4), counters.failed(&v6)), (Some(0), Some(3)));
        let recovered = Counted::Failed { table: v6, recovered: true };
        assert_eq!(count(&mut counters, "ipv6-unicast", "/fib-failed-routes", "0"), Some(recovered));
        assert_eq!(count(&mut counters, "ipv6-unicast", "/fib-failed-routes", "0"), None);
    }

    #[test]
    fn a_delete_removes_the_counters_below_its_path() {
        let mut counters = Counters::default();
        count(&mut counters, "ipv4-unicast", "/active-routes", "7");
        count(&mut counters, "ipv4-unicast", "/fib-failed-routes", "0");
        counters.delete(&path("ipv6-unicast", ""));
        counters.delete(&path("ipv4-unicast", "/fib-failed-routes"));
        assert_eq!((counters.active().len(), counters.failed.len()), (1, 0));
        counters.delete(&path("ipv4-unicast", "")[..1]);
        assert!(counters.active().is_empty());
    }

    #[test]
    fn a_counter_that_is_not_a_number_is_named_in_the_error() {
        let wrong = Counters::default().set(&path("ipv4-unicast", "/active-routes"), &Scalar::Boolean(true));
        assert!(wrong.expect_err("no number").to_string().starts_with("active-routes is not a counter"));
    }
}
