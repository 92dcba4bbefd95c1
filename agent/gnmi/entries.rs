//! Follows the ARP and ND entries that verdicts depend on, by a subscription of their own. While everything is up,
//! nothing else is asked.
//!
//! The entries are sampled: an entry that is repeated still exists, and the entries of a server that falls silent
//! expire. A server that does not sample them is asked for changes; one that does neither is asked by Get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tonic::Status;

use super::client::Responses;
use super::investigator::{Answering, Entry};
use super::leaf::Scalar;
use super::path::names;
use super::programming::{Server, Slot};
use crate::model::inquiry::AddressKey;
use crate::model::names::NetworkInstanceName;
use crate::path::Element;
use srl_proto::gnmi;

/// How long addresses are gathered before they are subscribed to.
const GATHER: Duration = Duration::from_secs(1);
/// Least time between two subscriptions, because VIPs come and go one by one.
const PACE: Duration = Duration::from_secs(10);
/// How long a server may take to send the existing entries.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often entries are checked for missing samples.
const CHECK: Duration = Duration::from_secs(10);
/// Age at which an entry is gone: two samples in a row have left it out.
const GONE_AFTER: Duration = Duration::from_secs(25);
/// A check that runs later than this may have been held up, and the samples with it.
const LATE: Duration = Duration::from_secs(2);

/// A message of a stream.
pub(super) type Message = (Slot, Option<Result<gnmi::SubscribeResponse, Status>>);

/// One subscription, and what it has received.
struct Watch {
    keys: BTreeSet<AddressKey>,
    stream: Responses,
    opened: Instant,
    /// Whether entries are repeated while they exist.
    sampled: bool,
    table: Table,
}

impl Watch {
    fn answering(&self, keys: impl Iterator<Item = AddressKey>) -> Answering {
        keys.filter(|key| self.keys.contains(key)).map(|key| (key.clone(), self.table.entry(&key))).collect()
    }
}

/// Follows ARP and ND entries.
#[derive(Default)]
pub(super) struct Entries {
    wanted: BTreeSet<AddressKey>,
    /// The subscription in force.
    current: Option<Watch>,
    /// The subscription that replaces it once the existing entries have been received.
    attempt: Option<Watch>,
    /// When the next subscription is to be opened.
    due: Option<Instant>,
    opened: Option<Instant>,
    check: Option<Instant>,
    /// Addresses that are wanted again, and have been followed all the time.
    again: BTreeSet<AddressKey>,
    /// Whether the set of followed addresses has changed.
    regrouped: bool,
}

impl Entries {
    /// Sets the addresses to follow.
    pub(super) fn want(&mut self, wanted: BTreeSet<AddressKey>, now: Instant) {
        if wanted == self.wanted {
            return;
        }
        self.regrouped = true;
        self.again.extend(wanted.difference(&self.wanted).cloned());
        self.wanted = wanted;
        if self.wanted.is_empty() {
            let opened = self.opened;
            *self = Self { opened, regrouped: true, ..Self::default() };
            return;
        }
        let latest = self.attempt.as_ref().or(self.current.as_ref());
        if latest.is_none_or(|watch| !self.wanted.is_subset(&watch.keys)) {
            self.open_at(now + GATHER);
        }
    }

    fn open_at(&mut self, at: Instant) {
        let paced = self.opened.map_or(at, |opened| at.max(opened + PACE));
        self.due = Some(self.due.map_or(paced, |due| due.min(paced)));
    }

    /// Returns when [`Self::time`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let patience = self.attempt.as_ref().map(|attempt| attempt.opened + PATIENCE);
        [self.due, self.check, patience].into_iter().flatten().min()
    }

    /// Does what is due: subscribes within the limit of requests, gives up a server that does not answer, and checks
    /// for missing samples.
    pub(super) fn time(&mut self, now: Instant, server: &mut Server<'_>) {
        if self.attempt.as_ref().is_some_and(|attempt| attempt.opened + PATIENCE <= now) {
            self.attempt = None;
            self.open_at(now + PATIENCE);
        }
        if self.due.is_some_and(|at| at <= now) {
            self.due = None;
            match (server.plan.entries(&self.wanted), server.requests.admit(now)) {
                (None, _) => {}
                (Some(_), Err(at)) => self.due = Some(at),
                (Some((request, sampled)), Ok(())) => {
                    self.opened = Some(now);
                    self.attempt = Some(Watch {
                        table: Table::of(&self.wanted),
                        keys: self.wanted.clone(),
                        stream: server.client.subscribe(request),
                        opened: now,
                        sampled,
                    });
                }
            }
        }
        if let Some(at) = self.check.filter(|at| *at <= now) {
            self.check = Some(now + CHECK);
            let held_up = now.duration_since(at) > LATE;
            if let Some(watch) = self.current.as_mut().filter(|watch| watch.sampled && !held_up) {
                watch.table.expire(now);
            }
        }
    }

    /// Returns a message that has already arrived.
    pub(super) fn ready(&mut self) -> Option<Message> {
        self.next().now_or_never()
    }

    /// Returns the next message; never returns if nothing is followed.
    pub(super) fn next(&mut self) -> impl Future<Output = Message> + '_ {
        std::future::poll_fn(|cx| {
            for (slot, watch) in [(Slot::Current, &mut self.current), (Slot::Attempt, &mut self.attempt)] {
                if let Some(watch) = watch
                    && let Poll::Ready(message) = watch.stream.poll_next_unpin(cx)
                {
                    return Poll::Ready((slot, message));
                }
            }
            Poll::Pending
        })
    }

    /// Returns the table that a message is about.
    pub(super) fn table(&mut self, slot: Slot) -> Option<&mut Table> {
        let watch = match slot {
            Slot::Current => &mut self.current,
            Slot::Attempt => &mut self.attempt,
        };
        watch.as_mut().map(|watch| &mut watch.table)
    }

    /// Notes that the existing entries have been received.
    pub(super) fn synced(&mut self, slot: Slot, now: Instant) {
        if slot == Slot::Attempt
            && let Some(mut attempt) = self.attempt.take()
        {
            attempt.table.everything = true;
            self.regrouped = true;
            self.current = Some(attempt);
            self.check = Some(now + CHECK);
        }
    }

    /// Drops a subscription that was refused or has ended, and tries another one at `again`.
    pub(super) fn drop_watch(&mut self, slot: Slot, again: Instant) {
        match slot {
            Slot::Current => self.current = None,
            Slot::Attempt => self.attempt = None,
        }
        self.regrouped = true;
        self.due = Some(again);
    }

    /// Returns the followed addresses, if they may have changed since the last call.
    pub(super) fn take_covered(&mut self) -> Option<BTreeSet<AddressKey>> {
        let current = self.current.iter();
        let covered = || current.flat_map(|watch| self.wanted.intersection(&watch.keys)).cloned().collect();
        std::mem::take(&mut self.regrouped).then(covered)
    }

    /// Returns who answers for the addresses about which something was received since the last call.
    pub(super) fn changes(&mut self) -> Answering {
        let again = std::mem::take(&mut self.again);
        let Some(watch) = &mut self.current else { return Answering::new() };
        let touched = std::mem::take(&mut watch.table.touched);
        match std::mem::take(&mut watch.table.everything) {
            true => watch.answering(self.wanted.iter().cloned()),
            false if touched.is_empty() && again.is_empty() => Answering::new(),
            false => {
                let concerned = |key: &&AddressKey| touched.contains(&key.address) || again.contains(*key);
                watch.answering(self.wanted.iter().filter(concerned).cloned())
            }
        }
    }
}

/// Entries of the followed addresses, and which subinterfaces belong to which network instance: an address may be in
/// several.
#[derive(Debug, Default)]
pub(super) struct Table {
    addresses: BTreeSet<IpAddr>,
    entries: BTreeMap<(IpAddr, Arc<str>), (Arc<str>, Instant)>,
    members: BTreeSet<(NetworkInstanceName, Arc<str>)>,
    touched: BTreeSet<IpAddr>,
    everything: bool,
}

/// The steps to an entry, and the key with its address.
const TABLES: [([&str; 5], &str); 2] = [
    (["interface", "subinterface", "ipv4", "arp", "neighbor"], "ipv4-address"),
    (["interface", "subinterface", "ipv6", "neighbor-discovery", "neighbor"], "ipv6-address"),
];
/// The leaf that is read.
const LEAF: &str = "link-layer-address";
/// The steps to a member of a network instance.
const MEMBER: [&str; 2] = ["network-instance", "interface"];

impl Table {
    fn of(keys: &BTreeSet<AddressKey>) -> Self {
        Self { addresses: keys.iter().map(|key| key.address).collect(), ..Self::default() }
    }

    /// Merges one leaf; leaves of something else are skipped.
    pub(super) fn set(&mut self, path: &[Element], value: &Scalar, now: Instant) {
        let names = names(path);
        if names == [MEMBER[0], MEMBER[1], "oper-state"] {
            if let (Some(instance), Some(member)) = (path[0].key("name"), path[1].key("name")) {
                self.everything |= self.members.insert((instance.into(), member.into()));
            }
            return;
        }
        let Some((_, key)) = TABLES.iter().find(|(steps, _)| names[..] == [&steps[..], &[LEAF]].concat()[..]) else {
            return;
        };
        let address = path[4].key(key).and_then(|address| address.parse().ok());
        let Some(address) = address.filter(|address| self.addresses.contains(address)) else { return };
        let (Some(interface), Some(index), Some(mac)) = (path[0].key("name"), path[1].key("index"), value.text())
        else {
            return;
        };
        let place = (address, Arc::from(format!("{interface}.{index}")));
        let before = self.entries.insert(place, (mac.into(), now));
        if before.is_none_or(|(before, _)| *before != *mac) {
            self.touched.insert(address);
        }
    }

    /// Removes what a path covers: a leaf, an entry, or everything below a container.
    pub(super) fn delete(&mut self, path: &[Element]) {
        let names = names(path);
        let at = |step: usize, key: &str, value: &str| path.get(step).is_none_or(|elem| elem.allows(key, value));
        if names.iter().zip(MEMBER).all(|(name, step)| *name == step) && names.len() <= MEMBER.len() + 1 {
            let before = self.members.len();
            self.members.retain(|(instance, member)| !(at(0, "name", instance.as_str()) && at(1, "name", member)));
            self.everything |= self.members.len() != before;
        }
        for (steps, key) in TABLES {
            let whole = [&steps[..], &[LEAF]].concat();
            if names.len() > whole.len() || !names.iter().zip(&whole).all(|(name, step)| name == step) {
                continue;
            }
            let of_family = |address: &IpAddr| address.is_ipv4() == (steps[2] == "ipv4");
            let gone = |(address, subinterface): &(IpAddr, Arc<str>)| {
                let (interface, index) = subinterface.rsplit_once('.').unwrap_or_default();
                of_family(address)
                    && at(0, "name", interface)
                    && at(1, "index", index)
                    && at(4, key, &address.to_string())
            };
            let touched = &mut self.touched;
            self.entries.retain(|place, _| {
                let gone = gone(place);
                if gone {
                    touched.insert(place.0);
                }
                !gone
            });
        }
    }

    /// Removes entries that were not repeated.
    fn expire(&mut self, now: Instant) {
        let touched = &mut self.touched;
        self.entries.retain(|(address, _), (_, heard)| {
            let stands = now.duration_since(*heard) < GONE_AFTER;
            if !stands {
                touched.insert(*address);
            }
            stands
        });
    }

    /// Returns the entry of an address in a network instance.
    fn entry(&self, key: &AddressKey) -> Option<Entry> {
        let first = (key.network_instance.clone(), Arc::from(""));
        let mut members = self.members.range(first..).take_while(|(instance, _)| *instance == key.network_instance);
        let unknown = members.next().is_none();
        let is_member = |subinterface: &Arc<str>| {
            unknown || self.members.contains(&(key.network_instance.clone(), Arc::clone(subinterface)))
        };
        let of_address = self.entries.range((key.address, Arc::from(""))..);
        let mut own = of_address.take_while(|((address, _), _)| *address == key.address);
        let ((_, subinterface), (mac, _)) = own.find(|((_, subinterface), _)| is_member(subinterface))?;
        Some(Entry { subinterface: Arc::clone(subinterface), link_layer_address: Arc::clone(mac) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::{elems, parse};
    use super::*;

    const ARP: &str = "/interface[name=irb1]/subinterface[index=1]/ipv4/arp/neighbor[ipv4-address=10.20.0.100]";

    fn path(text: &str) -> Vec<Element> {
        elems(None, Some(&parse(text).expect("a path")))
    }

    fn key(instance: &str) -> AddressKey {
        AddressKey { network_instance: instance.into(), address: [10, 20, 0, 100].into() }
    }

    fn set(table: &mut Table, at: &str, value: &str, now: Instant) {
        table.set(&path(at), &Scalar::Text(value.to_owned()), now);
    }

    fn filled(now: Instant) -> Table {
        let mut table = Table::of(&[key("red")].into());
        set(&mut table, "/network-instance[name=red]/interface[name=irb1.1]/oper-state", "up", now);
        set(&mut table, &format!("{ARP}/link-layer-address"), "AA:C1:AB:00:00:11", now);
        table
    }

    fn mac(table: &Table, instance: &str) -> Option<String> {
        table.entry(&key(instance)).map(|entry| entry.link_layer_address.to_string())
    }

    #[test]
    fn an_entry_belongs_to_the_network_instance_of_its_subinterface() {
        let mut table = filled(Instant::now());
        assert_eq!(mac(&table, "red").as_deref(), Some("AA:C1:AB:00:00:11"));
        set(&mut table, "/network-instance[name=blue]/interface[name=irb2.1]/oper-state", "up", Instant::now());
        assert_eq!(mac(&table, "blue"), None);
        let other = ARP.replace("irb1", "irb2");
        set(&mut table, &format!("{other}/link-layer-address"), "AA:C1:AB:00:00:22", Instant::now());
        assert_eq!(mac(&table, "blue").as_deref(), Some("AA:C1:AB:00:00:22"));
        assert_eq!(mac(&table, "red").as_deref(), Some("AA:C1:AB:00:00:11"));
    }

    #[test]
    fn addresses_that_are_not_followed_are_not_kept() {
        let mut table = filled(Instant::now());
        let other = ARP.replace("10.20.0.100", "10.20.0.101");
        set(&mut table, &format!("{other}/link-layer-address"), "AA:C1:AB:00:00:22", Instant::now());
        assert_eq!(table.entries.len(), 1);
    }

    #[test]
    fn deleting_any_path_that_covers_an_entry_removes_it() {
        for gone in [
            ARP,
            &format!("{ARP}/link-layer-address"),
            "/interface[name=irb1]/subinterface[index=1]/ipv4/arp",
            "/interface[name=irb1]/subinterface[index=1]",
            "/interface[name=*]",
            "/interface",
        ] {
            let mut table = filled(Instant::now());
            table.touched.clear();
            table.delete(&path(gone));
            assert_eq!(mac(&table, "red"), None, "{gone}");
            assert_eq!(table.touched, [key("red").address].into(), "{gone}");
        }
        for other in [
            "/interface[name=irb2]",
            "/interface[name=irb1]/subinterface[index=1]/ipv6/neighbor-discovery",
            "/interface[name=irb1]/subinterface[index=1]/ipv4/arp/timeout",
            "/network-instance[name=blue]/interface[name=irb1.1]",
        ] {
            let mut table = filled(Instant::now());
            table.delete(&path(other));
            assert!(mac(&table, "red").is_some(), "{other}");
        }
    }

    #[test]
    fn an_entry_missing_from_the_samples_expires() {
        let start = Instant::now();
        let mut table = filled(start);
        table.touched.clear();
        table.expire(start + GONE_AFTER / 2);
        assert!(mac(&table, "red").is_some() && table.touched.is_empty());
        set(&mut table, &format!("{ARP}/link-layer-address"), "AA:C1:AB:00:00:11", start + GONE_AFTER / 2);
        assert!(table.touched.is_empty(), "no news");
        table.expire(start + GONE_AFTER);
        assert!(mac(&table, "red").is_some());
        table.expire(start + GONE_AFTER * 2);
        assert_eq!(mac(&table, "red"), None);
        assert_eq!(table.touched, [key("red").address].into());
    }
}
