//! Holds the questions to the switch, their askers, and the findings.
//!
//! Services, nodes and clusters ask what their published state leaves open. A finding is kept as long as its question
//! has an asker; without one, the situation that it describes is over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Facts;
use super::dirty::Dirty;
use super::ids::{NodeId, ServiceId};
use super::switch::Switch;
use crate::model::inquiry::{
    AddressKey, Answer, Asking, Finding, InquiryChanges, NeighborWords, Path, PathKey, Place, Question,
};
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use crate::model::switch::{NeighborKey, Unroutable};
use crate::model::time::Timestamp;

/// If the MAC of an ARP or ND entry changes twice within this time, two hosts answer for the address.
const CONTEST: Duration = Duration::from_secs(60);

/// Types of network instances that route. The NDK reports only these.
const ROUTED: [&str; 2] = ["default", "ip-vrf"];

/// What asks a question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    Service(ClusterName, ServiceKey),
    Node(ClusterName, NodeName),
    Cluster(ClusterName),
}

/// Open questions and findings.
#[derive(Debug, Default)]
pub(crate) struct Inquiries {
    by_asker: BTreeMap<Asker, BTreeMap<Question, Asking>>,
    by_question: BTreeMap<Question, Open>,
    /// Number of addresses of a family behind each port.
    ports: BTreeMap<Port, u32>,
    /// The addresses that ARP or ND last resolved to each MAC.
    by_mac: BTreeMap<(NetworkInstanceName, Arc<str>), BTreeSet<IpAddr>>,
    /// Askers whose verdicts depend on which MAC answers for an address.
    watchers: BTreeSet<Asker>,
    /// Questions whose asking may have changed since the last [`Self::take`].
    touched: BTreeSet<Question>,
}

/// A port, and whether its IPv4 (true) or IPv6 addresses are counted.
type Port = (Arc<str>, bool);

/// A question with an asker.
#[derive(Debug)]
struct Open {
    /// Since when it has been asked.
    since: Timestamp,
    askers: BTreeMap<Asker, Asking>,
    /// How it was asked at the last [`Inquiries::take`].
    taken: Option<Asking>,
    finding: Option<Finding>,
    /// The last two times at which the MAC of an address was found to have changed.
    turns: [Option<Timestamp>; 2],
    /// The MAC before the last change.
    former: Option<Arc<str>>,
}

impl Open {
    fn new(since: Timestamp) -> Self {
        Self { since, askers: BTreeMap::new(), taken: None, finding: None, turns: [None; 2], former: None }
    }

    /// Returns the most urgent asking; `None` without an asker.
    fn asking(&self) -> Option<Asking> {
        self.askers.values().max().copied()
    }
}

impl Inquiries {
    /// Replaces the questions of an asker.
    pub(crate) fn ask(&mut self, now: Timestamp, asker: Asker, questions: BTreeMap<Question, Asking>) {
        let before = self.by_asker.get(&asker);
        if before.map_or(questions.is_empty(), |before| *before == questions) {
            return;
        }
        match questions.values().any(|how| *how >= Asking::Followed) {
            true => _ = self.watchers.insert(asker.clone()),
            false => _ = self.watchers.remove(&asker),
        }
        let before = match questions.is_empty() {
            true => self.by_asker.remove(&asker),
            false => self.by_asker.insert(asker.clone(), questions.clone()),
        };
        for question in before.unwrap_or_default().into_keys().filter(|question| !questions.contains_key(question)) {
            let Some(open) = self.by_question.get_mut(&question) else { continue };
            let asking = open.asking();
            open.askers.remove(&asker);
            if open.asking() != asking {
                self.touched.insert(question);
            }
        }
        for (question, how) in questions {
            let open = self.by_question.entry(question.clone()).or_insert_with(|| Open::new(now));
            let asking = open.asking();
            open.askers.insert(asker.clone(), how);
            if open.asking() != asking {
                self.touched.insert(question);
            }
        }
    }

    /// Stores a finding. Returns the askers to re-evaluate. A finding whose question has no asker is dropped.
    pub(crate) fn found(&mut self, question: &Question, finding: Finding) -> BTreeSet<Asker> {
        let Some(open) = self.by_question.get_mut(question) else { return BTreeSet::new() };
        let news = open.finding.as_ref().is_none_or(|known| known.answer != finding.answer || finding.at > known.at);
        let before = open.finding.replace(finding.clone());
        let turned = before.as_ref().and_then(mac).zip(mac(&finding)).is_some_and(|(was, is)| was != is);
        if turned {
            open.turns = [open.turns[1], Some(finding.at)];
            open.former = before.as_ref().and_then(mac);
        }
        let askers = if news { open.askers.keys().cloned().collect() } else { BTreeSet::new() };
        self.count_port(question, before.as_ref(), false);
        self.count_port(question, Some(&finding), true);
        self.index_mac(question, before.as_ref(), false);
        self.index_mac(question, Some(&finding), true);
        askers
    }

    fn index_mac(&mut self, question: &Question, finding: Option<&Finding>, add: bool) {
        let (Question::Place(key), Some(mac)) = (question, finding.and_then(mac)) else { return };
        let key_of_mac = (key.network_instance.clone(), mac);
        let addresses = self.by_mac.entry(key_of_mac.clone()).or_default();
        if add {
            addresses.insert(key.address);
        } else {
            addresses.remove(&key.address);
        }
        if addresses.is_empty() {
            self.by_mac.remove(&key_of_mac);
        }
    }

    /// Returns the MAC that currently answers ARP or ND for an address.
    pub(crate) fn answering(&self, key: &AddressKey) -> Option<Arc<str>> {
        self.place(key).filter(|place| place.answers).and_then(mac_of)
    }

    /// Returns whether ARP or ND resolves an address to a MAC, or has resolved it before.
    pub(crate) fn has_mac(&self, key: &AddressKey) -> bool {
        self.place(key).is_some_and(|place| place.link_layer_address.is_some())
    }

    /// Returns the addresses that ARP or ND last resolved to a MAC.
    pub(crate) fn at_mac(&self, instance: &NetworkInstanceName, mac: &Arc<str>) -> impl Iterator<Item = IpAddr> {
        self.by_mac.get(&(instance.clone(), Arc::clone(mac))).into_iter().flatten().copied()
    }

    /// Returns the MACs of two hosts that answer for an address, as it changed twice within a minute: that of the entry
    /// now, and the one before.
    pub(crate) fn contestants(&self, key: &AddressKey) -> Option<[Arc<str>; 2]> {
        let open = self.by_question.get(&Question::Place(key.clone()))?;
        let ([Some(first), Some(_)], Some(finding)) = (open.turns, &open.finding) else { return None };
        let is_recent = finding.at.duration_since(first).unsigned_abs() <= CONTEST;
        is_recent.then(|| Some([mac(finding)?, open.former.clone()?]))?
    }

    fn count_port(&mut self, question: &Question, finding: Option<&Finding>, add: bool) {
        let Some(key) = finding.and_then(|finding| port(question, finding)) else { return };
        let count = self.ports.entry(key.clone()).or_default();
        *count = if add { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.ports.remove(&key);
        }
    }

    /// Returns whether several nodes are known to be plugged into one port.
    pub(crate) fn has_shared_ports(&self) -> bool {
        self.ports.values().any(|count| *count > 1)
    }

    fn is_shared(&self, port: &Port) -> bool {
        self.ports.get(port).is_some_and(|count| *count > 1)
    }

    fn finding(&self, question: &Question) -> Option<&Finding> {
        self.by_question.get(question)?.finding.as_ref()
    }

    fn port_of(&self, question: &Question) -> Option<Port> {
        port(question, self.finding(question)?)
    }

    /// Returns the changes of the questions since the last call; `None` if there are none. Drops findings without an
    /// asker. This happens only here, so that a finding survives if another asker takes over its question in between.
    pub(crate) fn take(&mut self) -> Option<InquiryChanges> {
        let mut changes = InquiryChanges::new();
        for question in std::mem::take(&mut self.touched) {
            let Some(open) = self.by_question.get_mut(&question) else { continue };
            let asking = open.asking();
            let before = std::mem::replace(&mut open.taken, asking);
            if asking.is_none() {
                let finding = self.by_question.remove(&question).and_then(|open| open.finding);
                self.count_port(&question, finding.as_ref(), false);
                self.index_mac(&question, finding.as_ref(), false);
            }
            if asking != before {
                changes.insert(question, asking);
            }
        }
        (!changes.is_empty()).then_some(changes)
    }

    fn answer(&self, question: &Question) -> Option<(&Answer, Timestamp)> {
        let finding = self.finding(question)?;
        Some((&finding.answer, finding.at))
    }

    /// Returns a neighbor's state and last messages, and when they were read.
    pub(crate) fn neighbor(&self, key: &NeighborKey) -> Option<(&NeighborWords, Timestamp)> {
        match self.answer(&Question::Neighbor(key.clone()))? {
            (Answer::Neighbor(words), at) => Some((words, at)),
            _ => None,
        }
    }

    /// Returns since when a neighbor has been asked about. Its session has been down for at least that long.
    pub(crate) fn neighbor_since(&self, key: &NeighborKey) -> Option<Timestamp> {
        self.by_question.get(&Question::Neighbor(key.clone())).map(|open| open.since)
    }

    /// Returns where an address is plugged in.
    pub(crate) fn place(&self, key: &AddressKey) -> Option<&Place> {
        match self.answer(&Question::Place(key.clone()))? {
            (Answer::Place(place), _) => Some(place),
            _ => None,
        }
    }

    /// Returns what became of a route.
    pub(crate) fn path(&self, key: &PathKey) -> Option<&Path> {
        match self.answer(&Question::Path(key.clone()))? {
            (Answer::Path(path), _) => Some(path),
            _ => None,
        }
    }

    /// Returns why VIPs cannot be routed in a network instance; `None` if they can.
    pub(crate) fn unroutable(&self, switch: &Switch, name: &NetworkInstanceName) -> Option<Unroutable> {
        if let Some(instance) = switch.instance(name) {
            return (!instance.oper_up).then_some(Unroutable::Down);
        }
        match self.answer(&Question::Instance(name.clone())) {
            Some((Answer::Instance(Some(of_type)), _)) if !ROUTED.contains(&&**of_type) => {
                Some(Unroutable::OfType(Arc::clone(of_type)))
            }
            _ => Some(Unroutable::Absent),
        }
    }
}

/// Returns the MAC that was found for an address.
fn mac(finding: &Finding) -> Option<Arc<str>> {
    match &finding.answer {
        Answer::Place(place) => mac_of(place),
        _ => None,
    }
}

fn mac_of(place: &Place) -> Option<Arc<str>> {
    place.link_layer_address.as_ref().map(|mac| mac.to_ascii_lowercase().into())
}

/// Returns the port that was found for an address.
fn port(question: &Question, finding: &Finding) -> Option<Port> {
    match (question, &finding.answer) {
        (Question::Place(key), Answer::Place(place)) => Some((place.port.clone()?, key.address.is_ipv4())),
        _ => None,
    }
}

impl Facts {
    /// Replaces the questions of an asker. This changes no facts, so nothing becomes dirty.
    pub(crate) fn ask(&mut self, now: Timestamp, asker: Asker, questions: BTreeMap<Question, Asking>) {
        self.inquiries.ask(now, asker, questions);
    }

    /// Returns the changes of the questions since the last call; `None` if there are none.
    pub(crate) fn take_inquiry(&mut self) -> Option<InquiryChanges> {
        self.inquiries.take()
    }

    /// Stores a finding. Its askers must be judged again.
    pub(crate) fn set_finding(&mut self, question: &Question, finding: Finding) -> Dirty {
        let mut dirty = Dirty::default();
        let before = self.inquiries.port_of(question);
        let mac_before = self.inquiries.finding(question).and_then(mac);
        let mut askers = self.inquiries.found(question, finding);
        let after = self.inquiries.port_of(question);
        // Which node answers for a VIP depends on the MACs found for nodes.
        if self.inquiries.finding(question).and_then(mac) != mac_before {
            askers.extend(self.inquiries.watchers.iter().cloned());
        }
        // The state of VIPs without a port depends on which other nodes are plugged into it.
        let regrouped = before != after && before.iter().chain(&after).any(|port| self.inquiries.is_shared(port));
        for asker in askers {
            match asker {
                Asker::Service(name, key) => {
                    let cluster = self.cluster(&name);
                    let slot = cluster.and_then(|cluster| Some((cluster.id, *cluster.service_slots.get(&key)?)));
                    dirty.services.extend(slot.map(|(cluster, slot)| ServiceId { cluster, slot }));
                }
                Asker::Node(name, node) => {
                    let Some(cluster) = self.cluster(&name) else { continue };
                    let slot = cluster.node_slots.get(&node);
                    dirty.nodes.extend(slot.map(|slot| NodeId { cluster: cluster.id, slot: *slot }));
                    if regrouped {
                        dirty.services.all_of(cluster.id);
                    }
                }
                Asker::Cluster(name) => {
                    self.cluster(&name).into_iter().for_each(|cluster| dirty.services.all_of(cluster.id));
                }
            }
        }
        dirty
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn question(octet: u8) -> Question {
        Question::Place(AddressKey { network_instance: "red".into(), address: IpAddr::from([10, 0, 0, octet]) })
    }

    fn asker(name: &str) -> Asker {
        Asker::Node("c1".into(), name.into())
    }

    fn finding(answers: bool) -> Finding {
        let place = Place { answers, ..Place::default() };
        Finding { at: Timestamp::UNIX_EPOCH, answer: Answer::Place(place) }
    }

    fn key(octet: u8) -> AddressKey {
        let Question::Place(key) = question(octet) else { unreachable!("a place") };
        key
    }

    #[test]
    fn a_question_remains_as_long_as_it_has_an_asker() {
        let mut inquiries = Inquiries::default();
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n1"), BTreeMap::from([(question(1), Asking::Once(None))]));
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n2"), BTreeMap::from([(question(1), Asking::Repeatedly)]));
        assert_eq!(inquiries.take(), Some(BTreeMap::from([(question(1), Some(Asking::Repeatedly))])));
        assert_eq!(inquiries.take(), None);
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n2"), BTreeMap::new());
        assert_eq!(inquiries.take(), Some(BTreeMap::from([(question(1), Some(Asking::Once(None)))])));
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n1"), BTreeMap::new());
        assert_eq!(inquiries.take(), Some(BTreeMap::from([(question(1), None)])));
    }

    #[test]
    fn a_finding_is_dropped_with_the_last_asker_of_its_question() {
        let mut inquiries = Inquiries::default();
        let ask = BTreeMap::from([(question(1), Asking::Repeatedly)]);
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n1"), ask.clone());
        assert_eq!(inquiries.found(&question(1), finding(true)), BTreeSet::from([asker("n1")]));
        assert!(inquiries.found(&question(1), finding(true)).is_empty(), "no news");
        assert!(inquiries.place(&key(1)).is_some_and(|place| place.answers));
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n1"), BTreeMap::new());
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n2"), ask.clone());
        inquiries.take();
        assert!(inquiries.place(&key(1)).is_some(), "another asker has taken the question over");
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n2"), BTreeMap::new());
        inquiries.take();
        inquiries.ask(Timestamp::UNIX_EPOCH, asker("n1"), ask);
        assert_eq!(inquiries.place(&key(1)), None);
        assert!(inquiries.found(&question(2), finding(true)).is_empty(), "nobody asked");
    }
}
