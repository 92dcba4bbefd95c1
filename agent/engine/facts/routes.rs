//! Stores the routes of one network instance: a million of them in a few tens of megabytes.
//!
//! There is one hash table per prefix length, so that the key is the address alone and a longest-prefix match probes
//! only lengths that have routes. IPv6 prefixes of up to 64 bits, which most are, have keys of half an address. Entries
//! hold numbers: owner, preference and metric are interned ([`Attributes`]).

use std::collections::hash_map::Entry as Slot;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::model::switch::{IpFamily, NextHopGroupId, Route};

/// Returns whether the prefix is a single address.
pub(crate) fn is_host(prefix: &IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

/// The route of one prefix, packed: 12 bytes, aligned to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    group: [u32; 2],
    /// Interned attributes in the upper 24 bits, the generation that last brought the route in the lower 8.
    stamp: u32,
}

impl Entry {
    fn new(group: NextHopGroupId, attributes: u32, generation: u8) -> Self {
        let group = group.0;
        Self { group: [(group >> 32) as u32, group as u32], stamp: attributes << 8 | u32::from(generation) }
    }

    fn group(self) -> NextHopGroupId {
        NextHopGroupId(u64::from(self.group[0]) << 32 | u64::from(self.group[1]))
    }

    fn attributes(self) -> u32 {
        self.stamp >> 8
    }

    fn generation(self) -> u8 {
        self.stamp as u8
    }
}

/// An address as a key: 4, 8 or 16 bytes, aligned to 4 so that a key and its [`Entry`] leave no gap.
trait Key: Copy + Eq + Hash {
    const BITS: u8;
    fn masked(self, length: u8) -> Self;
}

impl Key for u32 {
    const BITS: u8 = 32;

    fn masked(self, length: u8) -> Self {
        self & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
    }
}

/// The upper half of an IPv6 address: the key of prefixes of up to 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct UpperV6([u32; 2]);

impl UpperV6 {
    fn of(address: Ipv6Addr) -> Self {
        Self::new((address.to_bits() >> 64) as u64)
    }

    fn new(bits: u64) -> Self {
        Self([(bits >> 32) as u32, bits as u32])
    }

    fn bits(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }

    fn address(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from(self.bits()) << 64)
    }
}

impl Hash for UpperV6 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

impl Key for UpperV6 {
    const BITS: u8 = 64;

    fn masked(self, length: u8) -> Self {
        Self::new(self.bits() & u64::MAX.checked_shl(64 - u32::from(length)).unwrap_or(0))
    }
}

/// A whole IPv6 address: the key of prefixes of more than 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct V6([u32; 4]);

impl V6 {
    fn of(address: Ipv6Addr) -> Self {
        Self::new(address.to_bits())
    }

    fn new(bits: u128) -> Self {
        Self([(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32])
    }

    fn bits(self) -> u128 {
        self.0.iter().fold(0, |bits, part| bits << 32 | u128::from(*part))
    }

    fn address(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.bits())
    }
}

impl Hash for V6 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
        state.write_u64(u64::from(self.0[2]) << 32 | u64::from(self.0[3]));
    }
}

impl Key for V6 {
    const BITS: u8 = 128;

    fn masked(self, length: u8) -> Self {
        Self::new(self.bits() & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0))
    }
}

/// The routes whose prefixes have keys of one kind.
#[derive(Debug)]
struct Table<K> {
    by_length: Vec<FxHashMap<K, Entry>>,
    /// Lengths that have routes, longest first.
    present: Vec<u8>,
    /// Number of prefixes in the current generation.
    received: u64,
}

impl<K: Key> Default for Table<K> {
    fn default() -> Self {
        Self { by_length: (0..=K::BITS).map(|_| FxHashMap::default()).collect(), present: Vec::new(), received: 0 }
    }
}

impl<K: Key> Table<K> {
    /// Sets or removes a route. Returns whether it changed.
    fn set(&mut self, key: K, length: u8, route: Option<Route>, attributes: &mut Attributes, now: u8) -> bool {
        match route {
            Some(route) => self.insert(key, length, &route, attributes, now),
            None => {
                let old = self.remove(key, length, now);
                old.inspect(|old| attributes.release(old.attributes())).is_some()
            }
        }
    }

    /// Sets a route with a single lookup. Returns whether the route changed.
    fn insert(&mut self, key: K, length: u8, route: &Route, attributes: &mut Attributes, now: u8) -> bool {
        let table = &mut self.by_length[usize::from(length)];
        let first = table.is_empty();
        let changed = match table.entry(key) {
            Slot::Occupied(mut slot) => {
                let old = *slot.get();
                let same = attributes.are(old.attributes(), route);
                let number = if same { old.attributes() } else { attributes.intern(route) };
                if !same {
                    attributes.release(old.attributes());
                }
                slot.insert(Entry::new(route.next_hop_group, number, now));
                self.received += u64::from(old.generation() != now);
                !same || old.group() != route.next_hop_group
            }
            Slot::Vacant(slot) => {
                slot.insert(Entry::new(route.next_hop_group, attributes.intern(route), now));
                self.received += 1;
                true
            }
        };
        if first {
            self.note_lengths();
        }
        changed
    }

    fn remove(&mut self, key: K, length: u8, now: u8) -> Option<Entry> {
        let table = &mut self.by_length[usize::from(length)];
        let old = table.remove(&key)?;
        self.received -= u64::from(old.generation() == now);
        if table.is_empty() {
            self.note_lengths();
        }
        Some(old)
    }

    fn note_lengths(&mut self) {
        self.present = (0..=K::BITS).rev().filter(|length| !self.by_length[usize::from(*length)].is_empty()).collect();
    }

    fn get(&self, key: K, length: u8) -> Option<Entry> {
        self.by_length[usize::from(length)].get(&key).copied()
    }

    /// Returns the matches of at most this length, longest first, without the default route.
    fn matches(&self, key: K, most: u8) -> impl Iterator<Item = (u8, Entry)> {
        self.present
            .iter()
            .filter(move |length| **length > 0 && **length <= most)
            .filter_map(move |length| Some((*length, self.get(key.masked(*length), *length)?)))
    }

    fn hosts(&self) -> impl Iterator<Item = K> {
        self.by_length[usize::from(K::BITS)].keys().copied()
    }

    fn sweep(&mut self, generation: u8, mut gone: impl FnMut(K, u8, Entry)) {
        for (length, table) in (0..=K::BITS).zip(&mut self.by_length) {
            let before = table.len();
            table.retain(|key, entry| {
                let keep = entry.generation() == generation;
                if !keep {
                    gone(*key, length, *entry);
                }
                keep
            });
            if table.len() < before / 2 {
                table.shrink_to_fit();
            }
        }
        self.note_lengths();
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.by_length.iter().flat_map(FxHashMap::values).copied()
    }

    fn age(&mut self) {
        for entry in self.by_length.iter_mut().flat_map(FxHashMap::values_mut) {
            entry.stamp &= !0xff;
        }
    }
}

/// A route that a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) prefix: IpNet,
    pub(crate) route: Route,
}

/// The active routes of one network instance.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    v4: Table<u32>,
    /// IPv6 prefixes of up to 64 bits.
    upper_v6: Table<UpperV6>,
    /// Longer IPv6 prefixes.
    v6: Table<V6>,
}

impl Routes {
    /// Sets or removes a route. Returns whether it changed.
    pub(crate) fn set(&mut self, prefix: IpNet, route: Option<Route>, attributes: &mut Attributes, now: u8) -> bool {
        let length = prefix.prefix_len();
        match prefix {
            IpNet::V4(net) => self.v4.set(net.network().to_bits(), length, route, attributes, now),
            IpNet::V6(net) if length <= UpperV6::BITS => {
                self.upper_v6.set(UpperV6::of(net.network()), length, route, attributes, now)
            }
            IpNet::V6(net) => self.v6.set(V6::of(net.network()), length, route, attributes, now),
        }
    }

    /// Returns the host route of an address.
    pub(crate) fn host(&self, address: IpAddr, attributes: &Attributes) -> Option<Route> {
        let entry = match address {
            IpAddr::V4(address) => self.v4.get(address.to_bits(), 32),
            IpAddr::V6(address) => self.v6.get(V6::of(address), 128),
        }?;
        Some(attributes.route(entry))
    }

    /// Returns the longest match of an address, without the default route.
    pub(crate) fn longest(&self, address: IpAddr, attributes: &Attributes) -> Option<Found> {
        self.match_of(address, u8::MAX, attributes)
    }

    /// Returns the longest match of an address, without host routes and the default route.
    pub(crate) fn subnet(&self, address: IpAddr, attributes: &Attributes) -> Option<Found> {
        let most = if address.is_ipv4() { 31 } else { 127 };
        self.match_of(address, most, attributes)
    }

    /// Returns the prefixes that cover an address, without its host route and the default route.
    pub(crate) fn covering(&self, address: IpAddr) -> Vec<IpNet> {
        let lengths: Vec<u8> = match address {
            IpAddr::V4(address) => self.v4.matches(address.to_bits(), 31).map(|(length, _)| length).collect(),
            IpAddr::V6(address) => self.matches_v6(address, 127).map(|(length, _)| length).collect(),
        };
        let prefixes = lengths.into_iter().filter_map(|length| IpNet::new(address, length).ok());
        prefixes.map(|prefix| prefix.trunc()).collect()
    }

    fn match_of(&self, address: IpAddr, most: u8, attributes: &Attributes) -> Option<Found> {
        let (length, entry) = match address {
            IpAddr::V4(address) => self.v4.matches(address.to_bits(), most).next()?,
            IpAddr::V6(address) => self.matches_v6(address, most).next()?,
        };
        let prefix = IpNet::new(address, length).expect("a length of the table of this family").trunc();
        Some(Found { prefix, route: attributes.route(entry) })
    }

    fn matches_v6(&self, address: Ipv6Addr, most: u8) -> impl Iterator<Item = (u8, Entry)> {
        self.v6.matches(V6::of(address), most).chain(self.upper_v6.matches(UpperV6::of(address), most))
    }

    /// Returns the addresses with a host route that satisfy `which`.
    pub(crate) fn hosts(&self, which: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        let v4 = self.v4.hosts().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let v6 = self.v6.hosts().map(|key| IpAddr::V6(key.address()));
        v4.chain(v6).filter(|address| which(*address)).collect()
    }

    /// Removes routes that the generation did not bring; returns their prefixes.
    pub(crate) fn sweep(&mut self, generation: u8, attributes: &mut Attributes) -> Vec<IpNet> {
        let mut gone = Vec::new();
        let mut left = |address: IpAddr, length, entry: Entry| {
            attributes.release(entry.attributes());
            gone.extend(IpNet::new(address, length));
        };
        self.v4.sweep(generation, |key, length, entry| left(Ipv4Addr::from_bits(key).into(), length, entry));
        self.upper_v6.sweep(generation, |key, length, entry| left(key.address().into(), length, entry));
        self.v6.sweep(generation, |key, length, entry| left(key.address().into(), length, entry));
        gone
    }

    /// Starts another generation, which has not brought anything yet.
    pub(crate) fn begin(&mut self) {
        (self.v4.received, self.upper_v6.received, self.v6.received) = (0, 0, 0);
    }

    /// Returns the number of prefixes of a family in the current generation.
    pub(crate) fn received(&self, family: IpFamily) -> u64 {
        match family {
            IpFamily::Ipv4 => self.v4.received,
            IpFamily::Ipv6 => self.upper_v6.received + self.v6.received,
        }
    }

    /// Returns next-hop groups and owners of the routes of a generation.
    pub(crate) fn names<'a>(
        &'a self,
        generation: u8,
        attributes: &'a Attributes,
    ) -> impl Iterator<Item = (NextHopGroupId, u32)> + 'a {
        let entries = self.entries();
        let of_generation = entries.filter(move |entry| entry.generation() == generation);
        of_generation.map(|entry| (entry.group(), attributes.route(entry).owner))
    }

    /// Removes every route.
    pub(crate) fn clear(&mut self, attributes: &mut Attributes) {
        std::mem::take(self).entries().for_each(|entry| attributes.release(entry.attributes()));
    }

    /// Sets the generation of every entry to 0.
    pub(crate) fn age(&mut self) {
        self.v4.age();
        self.upper_v6.age();
        self.v6.age();
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.v4.entries().chain(self.upper_v6.entries()).chain(self.v6.entries())
    }
}

/// How many combinations of attributes are kept exactly: as many as an [`Entry`] can number, less room for those that
/// stand for all others with the same owner and preference.
const COMBINATIONS: usize = (1 << 24) - (1 << 16);
/// The metric of a route whose own combination did not fit.
const METRIC_LOST: u32 = u32::MAX;

/// Combinations of owner, preference and metric, each once. They are counted, and numbers that no route uses any more
/// are reused.
#[derive(Debug)]
pub(crate) struct Attributes {
    numbers: FxHashMap<(u32, u32, u32), u32>,
    values: Vec<((u32, u32, u32), u32)>,
    free: Vec<u32>,
    last: Option<((u32, u32, u32), u32)>,
    limit: usize,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { numbers: FxHashMap::default(), values: Vec::new(), free: Vec::new(), last: None, limit: COMBINATIONS }
    }
}

impl Attributes {
    fn intern(&mut self, route: &Route) -> u32 {
        let value = (route.owner, route.preference, route.metric);
        if let Some((last, number)) = self.last
            && last == value
        {
            self.values[number as usize].1 += 1;
            return number;
        }
        let kept = self.numbers.contains_key(&value) || !self.free.is_empty() || self.values.len() < self.limit;
        let value = if kept { value } else { (route.owner, route.preference, METRIC_LOST) };
        let number = *self.numbers.entry(value).or_insert_with(|| match self.free.pop() {
            Some(number) => {
                self.values[number as usize] = (value, 0);
                number
            }
            None => {
                self.values.push((value, 0));
                u32::try_from(self.values.len() - 1).expect("owners and preferences alone are few")
            }
        });
        self.values[number as usize].1 += 1;
        self.last = Some((value, number));
        number
    }

    fn are(&self, number: u32, route: &Route) -> bool {
        self.values[number as usize].0 == (route.owner, route.preference, route.metric)
    }

    fn release(&mut self, number: u32) {
        let (value, users) = &mut self.values[number as usize];
        *users -= 1;
        if *users == 0 {
            self.numbers.remove(value);
            self.free.push(number);
            self.last = None;
        }
    }

    fn route(&self, entry: Entry) -> Route {
        let ((owner, preference, metric), _) = self.values[entry.attributes() as usize];
        Route { owner, preference, metric, next_hop_group: entry.group() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(group: u64) -> Route {
        Route { owner: 1, preference: 170, metric: 10, next_hop_group: NextHopGroupId(group) }
    }

    #[test]
    fn the_longest_match_wins_and_a_default_route_never_counts() {
        let (mut routes, mut attributes) = (Routes::default(), Attributes::default());
        let all = [("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.1.0.0/16", 3), ("::/0", 4), ("2001:db8::/32", 5)];
        for (prefix, group) in all {
            let prefix: IpNet = prefix.parse().expect("a prefix");
            assert!(routes.set(prefix, Some(by(group)), &mut attributes, 0));
            assert!(!routes.set(prefix, Some(by(group)), &mut attributes, 1), "the same again changes nothing");
        }
        let longest = |address: &str| {
            let found = routes.longest(address.parse().expect("an address"), &attributes);
            found.map(|found| found.route.next_hop_group.0)
        };
        let addresses = ["10.1.2.3", "10.2.2.3", "11.0.0.1", "2001:db8::1", "2001:db9::1"];
        assert_eq!(addresses.map(longest), [Some(3), Some(2), None, Some(5), None]);
    }

    #[test]
    fn a_sweep_removes_routes_of_earlier_generations() {
        let (mut routes, mut attributes) = (Routes::default(), Attributes::default());
        let host = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        for last in 0..10 {
            routes.set(IpNet::from(host(last)), Some(by(1)), &mut attributes, 1);
            let v6 = IpAddr::V6(Ipv6Addr::from_bits(last.into()));
            routes.set(IpNet::from(v6), Some(by(1)), &mut attributes, 1);
        }
        routes.set(IpNet::from(host(3)), Some(by(1)), &mut attributes, 2);
        assert_eq!(routes.sweep(2, &mut attributes).len(), 19);
        assert!(routes.host(host(3), &attributes).is_some());
        assert!(routes.host(host(4), &attributes).is_none());
    }

    #[test]
    fn attribute_combinations_beyond_the_limit_lose_only_the_metric() {
        let (mut routes, mut attributes) = (Routes::default(), Attributes { limit: 2, ..Attributes::default() });
        let route = |owner, metric| Route { owner, preference: 170, metric, next_hop_group: NextHopGroupId(1) };
        let host = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        for (last, route) in [(1, route(7, 1)), (2, route(8, 1)), (3, route(8, 2)), (4, route(7, 3))] {
            routes.set(IpNet::from(host(last)), Some(route), &mut attributes, 0);
        }
        let owner = |last| routes.host(host(last), &attributes).map(|route| (route.owner, route.metric));
        assert_eq!(
            [1, 2, 3, 4].map(owner),
            [Some((7, 1)), Some((8, 1)), Some((8, METRIC_LOST)), Some((7, METRIC_LOST))]
        );
        (1..=4).for_each(|last| assert!(routes.set(IpNet::from(host(last)), None, &mut attributes, 0)));
        routes.set(IpNet::from(host(5)), Some(route(9, 5)), &mut attributes, 0);
        assert_eq!(routes.host(host(5), &attributes).map(|route| route.owner), Some(9), "numbers are given back");
    }
}
