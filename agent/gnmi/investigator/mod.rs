//! Answers the engine's questions about what is not up, with few Gets for many questions.
//!
//! ```text
//! questions ── gathered ──► Get: neighbors, ARP/ND, BGP RIB ──► findings
//!                             └─► Get: MAC tables ──► Get: ports ──► where an address is plugged in
//! ```
//!
//! One Get runs at a time, for as many questions as fit, and at most ten in a minute. A question is dropped once
//! the engine no longer asks it. Until then it is asked again after a minute, then every five minutes, together with
//! others that are due soon. If the server refuses or limits requests, findings are missing, but nothing else fails.

mod ask;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ipnet::IpNet;
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::{debug, info};

use self::ask::{Extent, Kind};
pub(in crate::gnmi) use self::read::Entry;
use self::read::{Leaves, remember};
use super::client::{Client, Refusal, refusal};
use super::leaf::leaves;
use super::neighbors::Neighbors;
use super::path::wire;
use super::requests::Requests;
use crate::model::inquiry::{AddressKey, Answer, Asking, Finding, Inquiry, PathKey, Place, Question};
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{IpFamily, NeighborKey, PeerAddress};
use crate::model::time::Timestamp;
use crate::path::Path;
use crate::supervise::words;
use srl_proto::gnmi;

/// The most Gets in any minute: beside a collector that makes 50, they stay within a server's usual limit of 60.
const GETS: usize = 10;
/// The most paths in one Get.
const PATHS: usize = 256;
/// The most routes for which tables are read in full (see [`Extent`]).
const FEW: usize = 64;
/// Paths for the port and subinterface of one place.
const PATHS_PER_PORT: usize = 6;
/// How long questions are gathered before the Get, because the loss of one node affects many VIPs.
const GATHER: Duration = Duration::from_secs(1);
/// How long places of nodes that are up are gathered.
const GATHER_PLACES: Duration = Duration::from_secs(10);
/// Time until a question is asked a second time.
const SECOND: Duration = Duration::from_secs(60);
/// Time until it is asked again after that.
const LATER: Duration = Duration::from_secs(300);
/// Time until a question about a neighbor is asked a second time: a speaker that has sent nothing by then is silent.
const SILENCE: Duration = Duration::from_secs(30);
/// A repeated question that is due within this time is asked together with those that are due now.
const ALONG: Duration = Duration::from_secs(15);
/// How often an address that a verdict depends on is asked about if no subscription follows it.
const WATCHED: Duration = Duration::from_secs(10);
/// How long one Get may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The pause after a Get that failed, such as by a limit of the server.
const LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// The ARP/ND entries of addresses that a subscription follows.
pub(super) type Answering = BTreeMap<AddressKey, Option<Entry>>;

/// How a question is asked, and when next.
#[derive(Clone, Copy, Debug)]
struct Record {
    asking: Asking,
    /// When the question is asked next; `None` once it need not be asked again.
    due: Option<Instant>,
    /// How often it has been asked.
    times: u32,
}

/// What one Get asks for.
#[derive(Debug)]
enum Stage {
    /// Questions of the engine.
    Questions(Vec<Question>),
    /// Where the MAC addresses behind these IRBs were learned.
    Macs(Vec<AddressKey>),
    /// The state of the ports and subinterfaces of these places.
    Ports(Vec<AddressKey>),
}

/// A Get in progress.
struct Running {
    stage: Stage,
    at: Timestamp,
    answer: BoxFuture<'static, Result<gnmi::GetResponse, Status>>,
}

/// Returns the paths of one question of each kind about an address, with the name of the table they are in.
pub(super) fn questions_of_each_kind(address: IpAddr) -> impl Iterator<Item = (&'static str, Vec<Path>)> {
    let network_instance = NetworkInstanceName::from("default");
    let peer = PeerAddress { ip: address, interface: None };
    let prefix = IpNet::from(address);
    let questions = [
        Question::Neighbor(NeighborKey { network_instance: network_instance.clone(), peer }),
        Question::Place(AddressKey { network_instance: network_instance.clone(), address }),
        Question::Path(PathKey { network_instance, prefix, neighbor: address }),
    ];
    questions.into_iter().map(|question| (Kind::of(&question).words(), ask::paths(&question, Extent::FULL)))
}

/// Asks the engine's questions by Get.
pub(super) struct Investigator {
    records: BTreeMap<Question, Record>,
    /// What was found about each address, kept while somebody asks about it.
    places: BTreeMap<AddressKey, Place>,
    /// The ARP/ND entries of addresses that a subscription follows. They take precedence over those in a Get.
    followed: Answering,
    /// Findings about neighbors, held until it is known where the neighbors are plugged in: if a port is down, that
    /// explains the session better than the expired hold timer that follows from it.
    held: BTreeMap<AddressKey, (Question, Finding)>,
    /// Stages that follow from answers.
    next: Vec<Stage>,
    running: Option<Running>,
    gets: Requests,
    paths: usize,
    /// Whether questions of different kinds share a Get.
    mixed: bool,
    refused: BTreeSet<Kind>,
    paused: Option<Instant>,
    /// Families of which the switch has shown ARP or ND entries: an address of these without one does not answer.
    families: BTreeSet<IpFamily>,
    has_rows: bool,
}

impl Default for Investigator {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            places: BTreeMap::new(),
            followed: Answering::new(),
            held: BTreeMap::new(),
            next: Vec::new(),
            running: None,
            gets: Requests::new(GETS),
            paths: PATHS,
            mixed: true,
            refused: BTreeSet::new(),
            paused: None,
            families: BTreeSet::new(),
            has_rows: false,
        }
    }
}

impl std::fmt::Debug for Investigator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Investigator").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Investigator {
    /// Starts over with a new connection, possibly to another server: ends the Get in progress, asks all questions
    /// again, including those of kinds that were refused.
    pub(super) fn reconnect(&mut self, now: Instant) {
        (self.running, self.next) = (None, Vec::new());
        self.held.clear();
        self.followed.clear();
        (self.mixed, self.paths, self.paused) = (true, PATHS, None);
        self.refused.clear();
        self.records.values_mut().for_each(|record| *record = Record::new(record.asking, now));
    }

    /// Returns the tables that the server does not have.
    pub(super) fn refused(&self) -> impl Iterator<Item = Arc<str>> {
        self.refused.iter().map(|kind| kind.words().into())
    }

    /// Replaces all questions.
    pub(super) fn set(&mut self, inquiry: &Inquiry, now: Instant) {
        self.records.retain(|question, _| inquiry.contains_key(question));
        let is_asked = |key: &AddressKey| inquiry.contains_key(&Question::Place(key.clone()));
        self.places.retain(|key, _| is_asked(key));
        self.followed.retain(|key, _| is_asked(key));
        self.held.retain(|_, (question, _)| inquiry.contains_key(question));
        for stage in &mut self.next {
            if let Stage::Macs(keys) | Stage::Ports(keys) = stage {
                keys.retain(is_asked);
            }
        }
        for (question, asking) in inquiry {
            let known = self.records.get(question);
            if known.is_none_or(|record| record.asking != *asking) {
                self.records.insert(question.clone(), Record::new(*asking, now));
            }
        }
    }

    /// Sets the addresses that a subscription follows. All others are asked about by Get.
    pub(super) fn cover(&mut self, keys: &BTreeSet<AddressKey>, now: Instant) {
        self.followed.retain(|key, _| keys.contains(key));
        for (question, record) in &mut self.records {
            let Question::Place(key) = question else { continue };
            if record.asking == Asking::Followed && !keys.contains(key) {
                record.due.get_or_insert(now);
            }
        }
    }

    /// Stores ARP/ND entries from the subscription; returns those that changed as findings. Asks where a new MAC is
    /// plugged in.
    pub(super) fn heard(&mut self, answering: Answering, at: Timestamp, now: Instant) -> Vec<(Question, Finding)> {
        let answered = answering.iter().filter(|(_, entry)| entry.is_some());
        self.families.extend(answered.map(|(key, _)| IpFamily::of(key.address)));
        let mut findings = Vec::new();
        for (key, entry) in answering {
            let question = Question::Place(key.clone());
            let Some(record) = self.records.get_mut(&question) else { continue };
            if self.followed.get(&key) == Some(&entry) {
                continue;
            }
            let place = remember(&self.places, &self.families, &key, entry.as_ref());
            if place.answers && place.port.is_none() {
                record.due = Some(record.due.map_or(now + GATHER, |due| due.min(now + GATHER)));
            }
            findings.push((question, Finding { at, answer: Answer::Place(place.clone()) }));
            self.places.insert(key.clone(), place);
            self.followed.insert(key, entry);
        }
        findings
    }

    /// Returns when the next Get may start; `None` if there is nothing to ask or a Get is in progress.
    pub(super) fn deadline(&mut self, now: Instant) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        let due = self.records.iter().filter(|(question, _)| !self.refused.contains(&Kind::of(question)));
        let due = due.filter_map(|(_, record)| record.due).min();
        let due = if self.next.is_empty() { due? } else { now };
        Some(due.max(self.gets.earliest(now)).max(self.paused.unwrap_or(now)))
    }

    /// Starts the next Get if one is due and within the limits.
    pub(super) fn start(&mut self, now: Instant, client: &Client, encoding: gnmi::Encoding, requests: &mut Requests) {
        if self.deadline(now).is_none_or(|at| at > now) {
            return;
        }
        let stage = match self.next.pop() {
            Some(stage) => stage,
            None => Stage::Questions(self.due(now)),
        };
        let paths = self.paths_of(&stage);
        if paths.is_empty() {
            return;
        }
        if let Err(at) = requests.admit(now) {
            self.paused = Some(at);
            self.put_back(stage, at);
            return;
        }
        // `deadline` has checked this limit.
        let _ = self.gets.admit(now);
        debug!(paths = paths.len(), "looking into what is not up");
        let request = gnmi::GetRequest {
            path: paths.iter().map(wire).collect(),
            // `admin-state`, `peer-as` and `local-as` are configuration, which some servers leave out of state.
            r#type: gnmi::get_request::DataType::All.into(),
            encoding: encoding.into(),
            ..Default::default()
        };
        let client = client.clone();
        let answer = async move {
            let late = || Status::deadline_exceeded(format!("no answer in {} s", TIMEOUT.as_secs()));
            tokio::time::timeout(TIMEOUT, client.get_small(request)).await.unwrap_or_else(|_| Err(late()))
        };
        self.running = Some(Running { stage, at: Timestamp::now(), answer: answer.boxed() });
    }

    /// Returns the questions that are due, as many as fit into one Get, and records them as asked.
    fn due(&mut self, now: Instant) -> Vec<Question> {
        let refused = &self.refused;
        let asked = |question: &Question| !refused.contains(&Kind::of(question));
        let is_due = |record: &Record| record.due.is_some_and(|due| due <= now);
        if !self.records.iter().any(|(question, record)| asked(question) && is_due(record)) {
            return Vec::new();
        }
        let mut due: Vec<Question> = Vec::new();
        let extent = self.extent();
        let mut paths = BTreeSet::new();
        for (question, record) in &mut self.records {
            let same_kind = due.first().is_none_or(|first| Kind::of(first) == Kind::of(question));
            if !asked(question) || !(is_due(record) || record.goes_along(now)) || !(self.mixed || same_kind) {
                continue;
            }
            // Several questions share paths.
            paths.extend(ask::paths(question, extent));
            if paths.len() > self.paths && !due.is_empty() {
                break;
            }
            let followed = matches!(question, Question::Place(key) if self.followed.contains_key(key));
            record.asked(now, Kind::of(question), followed);
            due.push(question.clone());
        }
        due
    }

    /// Returns how thoroughly to ask about routes: if there are many, with as few paths as possible.
    fn extent(&self) -> Extent {
        let routes = self.records.keys().filter(|question| Kind::of(question) == Kind::Path).count();
        Extent { all_neighbors: !self.has_rows && routes <= FEW, table: routes <= FEW }
    }

    fn paths_of(&self, stage: &Stage) -> BTreeSet<Path> {
        match stage {
            Stage::Questions(questions) => {
                let extent = self.extent();
                questions.iter().flat_map(|question| ask::paths(question, extent)).collect()
            }
            Stage::Macs(keys) => {
                let places = keys.iter().filter_map(|key| self.places.get(key));
                let macs =
                    places.filter_map(|place| place.subinterface.as_ref().zip(place.link_layer_address.as_ref()));
                macs.flat_map(|(irb, mac)| ask::mac(irb, mac)).collect()
            }
            Stage::Ports(keys) => {
                let places = keys.iter().filter_map(|key| self.places.get(key));
                let of_place = |place: &Place| {
                    let port = place.port.iter().flat_map(|port| ask::port(port));
                    port.chain(place.subinterface.iter().flat_map(|name| ask::subinterface(name))).collect::<Vec<_>>()
                };
                places.flat_map(of_place).collect()
            }
        }
    }

    fn put_back(&mut self, stage: Stage, at: Instant) {
        match stage {
            Stage::Questions(questions) => {
                for question in questions {
                    if let Some(record) = self.records.get_mut(&question) {
                        record.due = Some(at);
                        record.times = record.times.saturating_sub(1);
                    }
                }
            }
            other => self.next.push(other),
        }
    }

    /// Waits for the answer to the Get in progress; never returns if there is none.
    pub(super) async fn answer(&mut self) -> Result<gnmi::GetResponse, Status> {
        match &mut self.running {
            Some(running) => (&mut running.answer).await,
            None => std::future::pending().await,
        }
    }

    /// Handles the answer to the Get in progress; returns the findings. `neighbors` has the last messages of neighbors
    /// that vanished.
    pub(super) fn take(
        &mut self,
        answer: Result<gnmi::GetResponse, Status>,
        now: Instant,
        neighbors: &Neighbors,
    ) -> Vec<(Question, Finding)> {
        let Some(Running { stage, at, .. }) = self.running.take() else { return Vec::new() };
        let mut findings = match answer {
            Ok(response) => self.found(stage, at, &read(response), neighbors),
            Err(status) => {
                self.failed(stage, &status, now);
                Vec::new()
            }
        };
        findings.extend(self.release(now));
        findings
    }

    /// Returns the held findings that need not be held any longer.
    fn release(&mut self, now: Instant) -> Vec<(Question, Finding)> {
        let held = std::mem::take(&mut self.held).into_iter();
        let sought = self.sought(now);
        let (later, ready): (Vec<_>, Vec<_>) = held.partition(|(key, _)| sought.contains(&key.network_instance));
        self.held = later.into_iter().collect();
        ready.into_iter().map(|(_, finding)| finding).collect()
    }

    /// Returns the network instances in which it is still being asked, or due to be asked now, where something that is
    /// not up is plugged in. That may be another address than the neighbor's: the gateway to it.
    fn sought(&self, now: Instant) -> BTreeSet<NetworkInstanceName> {
        let following = self.next.iter().flat_map(|stage| match stage {
            Stage::Macs(keys) | Stage::Ports(keys) => keys.as_slice(),
            Stage::Questions(_) => &[],
        });
        let asked = self.records.iter().filter(|_| !self.refused.contains(&Kind::Place));
        let due = asked.filter_map(|(question, record)| match question {
            Question::Place(key) if record.asking == Asking::Repeatedly && record.due.is_some_and(|due| due <= now) => {
                Some(key)
            }
            _ => None,
        });
        following.chain(due).map(|key| key.network_instance.clone()).collect()
    }

    fn failed(&mut self, stage: Stage, status: &Status, now: Instant) {
        debug!(status = words(status), "the gNMI server does not answer a question");
        if status.code() == Code::OutOfRange && self.paths > 1 {
            self.paths /= 2;
            return self.put_back(stage, now);
        }
        match (refusal(status), stage) {
            (Refusal::Path, Stage::Questions(questions)) => {
                let kinds: BTreeSet<Kind> = questions.iter().map(Kind::of).collect();
                match kinds.first() {
                    Some(kind) if kinds.len() == 1 => {
                        info!(
                            what = kind.words(),
                            status = words(status),
                            "the gNMI server does not have these tables"
                        );
                        self.refused.insert(*kind);
                    }
                    _ => {
                        self.mixed = false;
                        self.put_back(Stage::Questions(questions), now);
                    }
                }
            }
            // The place stays as the questions found it.
            (Refusal::Path, Stage::Macs(_) | Stage::Ports(_)) => {}
            (_, stage) => {
                self.paused = Some(now + LIMIT_PAUSE);
                self.put_back(stage, now + LIMIT_PAUSE);
            }
        }
    }

    fn found(
        &mut self,
        stage: Stage,
        at: Timestamp,
        leaves: &Leaves,
        neighbors: &Neighbors,
    ) -> Vec<(Question, Finding)> {
        match stage {
            Stage::Questions(questions) => self.answers(questions, at, leaves, neighbors),
            Stage::Macs(keys) => {
                for key in &keys {
                    let Some(place) = self.places.get_mut(key) else { continue };
                    if let (Some(irb), Some(mac)) = (&place.subinterface, &place.link_layer_address)
                        && let Some(port) = leaves.port(irb, mac)
                    {
                        place.port = Some(port);
                    }
                }
                self.next.push(Stage::Ports(keys));
                Vec::new()
            }
            Stage::Ports(keys) => {
                let mut findings = Vec::new();
                for key in keys {
                    let Some(place) = self.places.get_mut(&key) else { continue };
                    place.port_down = place.port.as_ref().and_then(|port| leaves.port_down(port));
                    place.subinterface_down =
                        place.subinterface.as_ref().and_then(|name| leaves.subinterface_down(name));
                    let answer = Answer::Place(place.clone());
                    findings.push((Question::Place(key), Finding { at, answer }));
                }
                findings
            }
        }
    }

    fn answers(
        &mut self,
        questions: Vec<Question>,
        at: Timestamp,
        leaves: &Leaves,
        neighbors: &Neighbors,
    ) -> Vec<(Question, Finding)> {
        self.families.extend(IpFamily::ALL.into_iter().filter(|family| leaves.has_entries(*family)));
        self.has_rows |= leaves.has_rows();
        let (mut findings, mut bridged, mut routed) = (Vec::new(), Vec::new(), Vec::new());
        for question in questions {
            let answer = match &question {
                Question::Neighbor(key) => {
                    leaves.neighbor(key).or_else(|| neighbors.last_words(key)).map(Answer::Neighbor)
                }
                Question::Path(key) => {
                    let path = leaves.path(key);
                    Some(Answer::Path(crate::model::inquiry::Path { is_known: self.has_rows, ..path }))
                }
                Question::Instance(name) => Some(Answer::Instance(leaves.instance_type(name))),
                Question::Place(key) => {
                    let entry = self.followed.get(key).cloned().unwrap_or_else(|| leaves.entry(key));
                    let mut place = remember(&self.places, &self.families, key, entry.as_ref());
                    let is_irb = place.subinterface.as_ref().is_some_and(|name| name.starts_with("irb"));
                    if !is_irb {
                        place.port =
                            place.subinterface.as_ref().and_then(|name| Some(Arc::from(name.rsplit_once('.')?.0)));
                    }
                    let watched = self.records.get(&question).is_some_and(|record| record.asking >= Asking::Followed);
                    let settled = watched && (place.port.is_some() || !place.answers);
                    // A place with a subinterface becomes a finding once its port is known. A place that a verdict
                    // depends on becomes a finding at once, and again with its port if another MAC answers.
                    if place.subinterface.is_some() && !settled {
                        if is_irb && place.answers { &mut bridged } else { &mut routed }.push(key.clone());
                    }
                    let answer = Answer::Place(place.clone());
                    let at_once = watched || place.subinterface.is_none();
                    self.places.insert(key.clone(), place);
                    at_once.then_some(answer)
                }
            };
            let Some(finding) = answer.map(|answer| Finding { at, answer }) else { continue };
            match &question {
                Question::Neighbor(NeighborKey { network_instance, peer }) => {
                    let key = AddressKey { network_instance: network_instance.clone(), address: peer.ip };
                    self.held.insert(key, (question, finding));
                }
                Question::Place(_) | Question::Path(_) | Question::Instance(_) => findings.push((question, finding)),
            }
        }
        let chunks = |keys: Vec<AddressKey>, size: usize| {
            keys.chunks((self.paths / size).max(1)).map(<[_]>::to_vec).collect::<Vec<_>>()
        };
        self.next.extend(chunks(routed, PATHS_PER_PORT).into_iter().map(Stage::Ports));
        self.next.extend(chunks(bridged, PATHS_PER_PORT).into_iter().map(Stage::Macs));
        findings
    }
}

impl Record {
    fn new(asking: Asking, now: Instant) -> Self {
        let gather = if matches!(asking, Asking::Once(_)) { GATHER_PLACES } else { GATHER };
        Self { asking, due: Some(now + gather), times: 0 }
    }

    /// Records that the question is asked at `now`. `followed`: whether a subscription follows it.
    fn asked(&mut self, now: Instant, kind: Kind, followed: bool) {
        self.times += 1;
        self.due = match (self.asking, kind, self.times) {
            (Asking::Once(_), ..) => None,
            (Asking::Followed, ..) if followed => None,
            (Asking::Followed | Asking::Watched, ..) => Some(now + WATCHED),
            (Asking::Repeatedly, Kind::Neighbor, 1) => Some(now + SILENCE),
            (Asking::Repeatedly, Kind::Neighbor, 2) => Some(now + SECOND - SILENCE),
            (Asking::Repeatedly, _, 1) => Some(now + SECOND),
            (Asking::Repeatedly, ..) => Some(now + LATER),
        };
    }

    /// Returns whether the question is asked every five minutes and due soon.
    fn goes_along(&self, now: Instant) -> bool {
        let soon = self.due.is_some_and(|due| due <= now + ALONG);
        soon && self.asking == Asking::Repeatedly && self.times > 1
    }
}

/// Returns all leaves of an answer, without those that cannot be read.
fn read(response: gnmi::GetResponse) -> Leaves {
    let mut all = Leaves::default();
    for notification in response.notification {
        for update in &notification.update {
            let read = leaves(notification.prefix.as_ref(), update, |path, value| {
                all.0.push((path.to_vec(), value.clone()));
            });
            if let Err(error) = read {
                debug!(%error, "part of an answer left out");
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
