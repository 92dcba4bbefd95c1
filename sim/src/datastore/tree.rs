//! Trees of data, which a datastore holds. They do not contain their schema.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::schema::NodeId;

/// A container, a list entry, or the root. The key leaves of an entry are not in it: they are its [`EntryKey`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Leaves and leaf-lists.
    pub leaves: BTreeMap<NodeId, LeafValue>,
    /// Containers.
    pub containers: BTreeMap<NodeId, Self>,
    /// Lists: entries by key.
    pub lists: BTreeMap<NodeId, BTreeMap<EntryKey, Self>>,
}

/// Value of a leaf or leaf-list as canonical text. Identities have the name of their module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafValue {
    /// Value of a leaf.
    One(Arc<str>),
    /// Values of a leaf-list.
    Many(Vec<Arc<str>>),
}

/// Key of a list entry: values in the order of the key leaves' definition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey(Box<[KeyValue]>);

/// One value of a key. Numbers, addresses and prefixes are ordered by value, and names naturally (`e1-2` before
/// `e1-10`).
#[derive(Clone, Debug)]
pub struct KeyValue {
    text: Arc<str>,
    sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Number(i128),
    Address { v6: bool, bits: u128, length: u8 },
    Text,
}

/// One step of a node's place, with the key of the entry if it names one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Key of the entry, if the node is a list.
    pub key: Option<EntryKey>,
}

impl Node {
    /// Returns whether the node is empty.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.containers.is_empty() && self.lists.is_empty()
    }

    /// Returns the node one step below.
    pub fn step(&self, place: &Place) -> Option<&Self> {
        match &place.key {
            Some(key) => self.lists.get(&place.node)?.get(key),
            None => self.containers.get(&place.node),
        }
    }

    /// Returns the node at a place below.
    pub fn at(&self, places: &[Place]) -> Option<&Self> {
        places.iter().try_fold(self, |node, place| node.step(place))
    }

    /// Returns the node at a place below, and creates it if it is missing.
    pub(crate) fn make(&mut self, places: &[Place]) -> &mut Self {
        places.iter().fold(self, |node, place| match &place.key {
            Some(key) => {
                let entries = node.lists.entry(place.node).or_default();
                if !entries.contains_key(key) {
                    entries.insert(key.clone(), Self::default());
                }
                entries.get_mut(key).expect("the entry was inserted above")
            }
            None => node.containers.entry(place.node).or_default(),
        })
    }

    /// Removes the node one step below.
    pub(crate) fn take(&mut self, place: &Place) -> Option<Self> {
        let Some(key) = &place.key else { return self.containers.remove(&place.node) };
        let entries = self.lists.get_mut(&place.node)?;
        let taken = entries.remove(key);
        if entries.is_empty() {
            self.lists.remove(&place.node);
        }
        taken
    }

    /// Returns the node at a place below, mutably.
    pub(crate) fn at_mut(&mut self, places: &[Place]) -> Option<&mut Self> {
        places.iter().try_fold(self, |node, place| match &place.key {
            Some(key) => node.lists.get_mut(&place.node)?.get_mut(key),
            None => node.containers.get_mut(&place.node),
        })
    }

    /// Returns the containers and entries one step below with their places, in the order of the schema and of the keys.
    pub fn below(&self) -> impl Iterator<Item = (Place, &Self)> {
        let containers = self.containers.iter().map(|(node, it)| (Place { node: *node, key: None }, it));
        let entries = self.lists.iter().flat_map(|(node, entries)| {
            entries.iter().map(|(key, it)| (Place { node: *node, key: Some(key.clone()) }, it))
        });
        containers.chain(entries)
    }
}

impl LeafValue {
    /// Returns all values; a single one for a leaf.
    pub fn values(&self) -> &[Arc<str>] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    /// Returns the value of a leaf, or `None` for a leaf-list.
    pub fn one(&self) -> Option<&str> {
        match self {
            Self::One(value) => Some(value),
            Self::Many(_) => None,
        }
    }
}

impl EntryKey {
    /// Creates a key from these values.
    pub fn new(values: impl IntoIterator<Item = KeyValue>) -> Self {
        Self(values.into_iter().collect())
    }

    /// Returns the values, in the order of the key leaves' definition.
    pub fn values(&self) -> &[KeyValue] {
        &self.0
    }
}

impl KeyValue {
    /// Creates a value of a key leaf. `number` says whether it is a number.
    pub fn new(text: impl Into<Arc<str>>, number: bool) -> Self {
        let text = text.into();
        let sort = if number { text.parse().map_or(Sort::Text, Sort::Number) } else { Sort::of_text(&text) };
        Self { text, sort }
    }

    /// Returns the text.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }
}

impl Sort {
    fn of_text(text: &str) -> Self {
        let (address, length) = text.split_once('/').map_or((text, Some(u8::MAX)), |(it, len)| (it, len.parse().ok()));
        let (Ok(address), Some(length)) = (address.parse::<IpAddr>(), length) else { return Self::Text };
        let (v6, bits) = match address {
            IpAddr::V4(address) => (false, u128::from(u32::from(address))),
            IpAddr::V6(address) => (true, u128::from(Ipv6Addr::from(address.octets()))),
        };
        Self::Address { v6, bits, length }
    }
}

impl PartialEq for KeyValue {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for KeyValue {}

impl Hash for KeyValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for KeyValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort
            .cmp(&other.sort)
            .then_with(|| if self.sort == Sort::Text { natural(&self.text, &other.text) } else { Ordering::Equal })
            .then_with(|| self.text.cmp(&other.text))
    }
}

/// Compares texts such that runs of digits count as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        let (Some(a), Some(b)) = (left.first(), right.first()) else { return left.len().cmp(&right.len()) };
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, b) = (digits(&mut left), digits(&mut right));
            let order = a.len().cmp(&b.len()).then_with(|| a.cmp(b));
            if order != Ordering::Equal {
                return order;
            }
        } else if a == b {
            (left, right) = (&left[1..], &right[1..]);
        } else {
            return a.cmp(b);
        }
    }
}

/// Removes a run of digits from the front and returns it without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    let zeros = run.iter().position(|c| *c != b'0').unwrap_or(run.len());
    &run[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(texts: &[&str], number: bool) -> Vec<String> {
        let mut values: Vec<_> = texts.iter().map(|text| KeyValue::new(*text, number)).collect();
        values.sort();
        values.iter().map(|value| value.text().to_string()).collect()
    }

    #[test]
    fn addresses_and_prefixes_are_ordered_by_number() {
        assert_eq!(
            sorted(&["10.0.0.10/32", "2001:db8::/64", "10.0.0.9/32", "9.0.0.0/8", "10.0.0.0/8"], false),
            ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.9/32", "10.0.0.10/32", "2001:db8::/64"]
        );
    }

    #[test]
    fn names_are_ordered_naturally() {
        assert_eq!(
            sorted(&["ethernet-1/10", "ethernet-1/2", "irb1.1", "ethernet-1/1"], false),
            ["ethernet-1/1", "ethernet-1/2", "ethernet-1/10", "irb1.1"]
        );
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        assert_eq!(sorted(&["100", "9", "18446744073709551615"], true), ["9", "100", "18446744073709551615"]);
    }

    #[test]
    fn keys_that_sort_alike_are_still_different() {
        assert_ne!(KeyValue::new("e01", false).cmp(&KeyValue::new("e1", false)), Ordering::Equal);
    }
}
