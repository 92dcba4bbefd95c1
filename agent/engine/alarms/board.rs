//! One alarm a type and resource: a condition that has held for long enough, until it has been gone for long enough.
//!
//! ```text
//!              condition                 raise-hold-time
//!   (nothing) ───────────► pending ─────────────────────► active ◄──────────┐
//!       ▲                     │ gone                         │ gone          │ condition again: occurrences + 1
//!       ├─────────────────────┘                              ▼               │
//!       │                                                 clearing ──────────┘
//!       └────────────────────────────────────────────────────┘ clear-hold-time: to the history
//! ```
//!
//! While what tells of a condition is out of reach, its alarms are frozen: nothing is raised or cleared, what was pending or
//! clearing starts its time anew afterwards. A thing that is no more takes its alarms with it at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Reach;
use crate::model::alarm::{AlarmCounts, AlarmKey, AlarmRecord, AlarmType, AlarmView, Notice, NoticeEvent, Resource};
use crate::model::config::AlarmPolicy;
use crate::model::memory::Memory;
use crate::model::time::Now;
use crate::model::view::Change;

/// Every condition there is or lately was, and the alarms that came of them.
#[derive(Debug, Default)]
pub(super) struct Board {
    policy: AlarmPolicy,
    reach: Reach,
    entries: FxHashMap<Resource, Vec<Entry>>,
    /// When a pending or clearing entry is due.
    due: BTreeSet<(Duration, AlarmKey)>,
    /// Alarms of an earlier life of the agent whose condition was not observed yet.
    unseen: BTreeSet<AlarmKey>,
    history: VecDeque<AlarmRecord>,
    last_sequence: u64,
    counts: AlarmCounts,
    news: Vec<Change>,
}

/// One condition.
#[derive(Debug)]
struct Entry {
    kind: AlarmType,
    /// The condition holds, as far as is known.
    holds: bool,
    text: Arc<str>,
    /// It was raised.
    alarm: Option<AlarmView>,
    /// When its text was last told.
    told: Duration,
    /// Pending or clearing since then.
    since: Option<Duration>,
}

impl Board {
    /// What an earlier life of the agent left.
    pub(super) fn load(&mut self, memory: &Memory) {
        for (key, alarm) in &memory.alarms {
            let entries = self.entries.entry(key.resource.clone()).or_default();
            if entries.iter().any(|entry| entry.kind == key.kind) {
                continue;
            }
            let text = Arc::clone(&alarm.text);
            let active = Some(alarm.clone());
            let entry = Entry { kind: key.kind, holds: true, text, alarm: active, told: Duration::ZERO, since: None };
            entries.push(entry);
            self.counts.active[key.kind.severity() as usize] += 1;
            self.unseen.insert(key.clone());
            self.news.push(Change::Alarm(key.clone(), Some(alarm.clone())));
        }
        self.last_sequence = memory.last_sequence;
        for record in &memory.alarm_history {
            self.last_sequence = self.last_sequence.max(record.sequence);
            self.history.push_back(record.clone());
            self.news.push(Change::AlarmHistory(record.sequence, Some(record.clone())));
        }
    }

    /// New hold times and history size: they hold for what is pending, too.
    pub(super) fn set_policy(&mut self, policy: AlarmPolicy) {
        let before = std::mem::replace(&mut self.policy, policy);
        self.shorten_history();
        if before == policy {
            return;
        }
        let timed = self.entries.iter().flat_map(|(resource, entries)| {
            entries.iter().filter_map(|entry| Some((entry.due(&policy)?, entry.key(resource))))
        });
        self.due = timed.collect();
    }

    /// What is in reach.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// What is in reach from now on: what came back starts its time anew.
    pub(super) fn set_reach(&mut self, now: Now, reach: Reach) {
        let before = std::mem::replace(&mut self.reach, reach);
        if before == reach {
            return;
        }
        for (resource, entries) in &mut self.entries {
            for entry in entries.iter_mut() {
                match (before.knows(entry.kind), reach.knows(entry.kind)) {
                    (true, false) => stop(&mut self.due, &self.policy, entry, resource),
                    (false, true) => start(&mut self.due, &self.policy, entry, resource, now),
                    _ => {}
                }
            }
            entries.retain(|entry| entry.holds || entry.alarm.is_some());
        }
        self.entries.retain(|_, entries| !entries.is_empty());
    }

    /// Of a group of conditions of a resource this one holds, and no other; of `unsure` nothing is known.
    pub(super) fn observe(
        &mut self,
        now: Now,
        resource: &Resource,
        group: &[AlarmType],
        holding: Option<(AlarmType, Arc<str>)>,
        unsure: Option<AlarmType>,
    ) {
        let known = |kind: AlarmType| group.contains(&kind) && Some(kind) != unsure;
        if let Some(entries) = self.entries.get_mut(resource) {
            if !self.unseen.is_empty() {
                entries.iter().filter(|entry| known(entry.kind)).for_each(|entry| {
                    self.unseen.remove(&entry.key(resource));
                });
            }
            let held = holding.as_ref().map(|(kind, _)| *kind);
            for entry in entries.iter_mut().filter(|entry| known(entry.kind) && Some(entry.kind) != held) {
                entry.holds = false;
                if entry.alarm.is_none() {
                    stop(&mut self.due, &self.policy, entry, resource);
                } else if self.reach.knows(entry.kind) {
                    start(&mut self.due, &self.policy, entry, resource, now);
                }
            }
            entries.retain(|entry| entry.holds || entry.alarm.is_some());
            if entries.is_empty() {
                self.entries.remove(resource);
            }
        }
        if let Some((kind, text)) = holding {
            self.hold(now, resource, kind, text);
        }
    }

    fn hold(&mut self, now: Now, resource: &Resource, kind: AlarmType, text: Arc<str>) {
        let entries = self.entries.entry(resource.clone()).or_default();
        let Some(entry) = entries.iter_mut().find(|entry| entry.kind == kind) else {
            let mut entry = Entry { kind, holds: true, text, alarm: None, told: now.elapsed, since: None };
            if self.reach.knows(kind) {
                start(&mut self.due, &self.policy, &mut entry, resource, now);
            }
            entries.push(entry);
            return;
        };
        let again = !entry.holds && entry.since.is_some();
        entry.holds = true;
        entry.text = text;
        let Some(alarm) = &mut entry.alarm else { return };
        if alarm.text == entry.text && !again {
            stop(&mut self.due, &self.policy, entry, resource);
            return;
        }
        alarm.occurrences = alarm.occurrences.saturating_add(again.into());
        alarm.text = Arc::clone(&entry.text);
        alarm.last_change = now.wall;
        entry.told = now.elapsed;
        let (key, alarm) = (AlarmKey { kind, resource: resource.clone() }, alarm.clone());
        stop(&mut self.due, &self.policy, entry, resource);
        self.news.push(Change::Alarm(key.clone(), Some(alarm.clone())));
        self.news.push(Change::Notice(Notice { key, alarm, event: NoticeEvent::Changed }));
    }

    /// True when a condition holds, or did when it was last known.
    pub(super) fn holds(&self, resource: &Resource, kind: AlarmType) -> bool {
        let entries = self.entries.get(resource).into_iter().flatten();
        entries.into_iter().any(|entry| entry.kind == kind && entry.holds)
    }

    /// When the text of an alarm whose condition holds was last told.
    pub(super) fn told(&self, resource: &Resource, kind: AlarmType) -> Option<Duration> {
        let mut entries = self.entries.get(resource)?.iter();
        entries.find(|entry| entry.kind == kind && entry.holds && entry.alarm.is_some()).map(|entry| entry.told)
    }

    /// True when a resource has a condition, or an alarm that is not cleared yet.
    pub(super) fn knows(&self, resource: &Resource) -> bool {
        self.entries.contains_key(resource)
    }

    /// The resource is no more: its alarms are cleared at once.
    pub(super) fn withdraw(&mut self, now: Now, resource: &Resource) {
        let Some(entries) = self.entries.remove(resource) else { return };
        for mut entry in entries {
            stop(&mut self.due, &self.policy, &mut entry, resource);
            self.unseen.remove(&entry.key(resource));
            self.clear(now, entry.key(resource), entry.alarm);
        }
    }

    /// Alarms of an earlier life that nothing told of, although all that could has: what they are about is no more.
    pub(super) fn forget_unseen(&mut self, now: Now, all_told: impl Fn(&AlarmKey) -> bool) {
        let gone: Vec<AlarmKey> = self.unseen.iter().filter(|key| all_told(key)).cloned().collect();
        for key in gone {
            self.unseen.remove(&key);
            let Some(entries) = self.entries.get_mut(&key.resource) else { continue };
            let Some(index) = entries.iter().position(|entry| entry.kind == key.kind) else { continue };
            let entry = entries.remove(index);
            if entries.is_empty() {
                self.entries.remove(&key.resource);
            }
            self.clear(now, key, entry.alarm);
        }
    }

    /// Raises and clears what is due by now.
    pub(super) fn settle(&mut self, now: Now) {
        while let Some((at, _)) = self.due.first()
            && *at <= now.elapsed
            && let Some((_, key)) = self.due.pop_first()
        {
            let Some(entries) = self.entries.get_mut(&key.resource) else { continue };
            let Some(index) = entries.iter().position(|entry| entry.kind == key.kind) else { continue };
            let entry = &mut entries[index];
            entry.since = None;
            if entry.holds {
                let text = Arc::clone(&entry.text);
                let alarm = AlarmView { text, raised: now.wall, last_change: now.wall, occurrences: 1 };
                entry.alarm = Some(alarm.clone());
                entry.told = now.elapsed;
                self.counts.active[key.kind.severity() as usize] += 1;
                self.news.push(Change::Alarm(key.clone(), Some(alarm.clone())));
                self.news.push(Change::Notice(Notice { key, alarm, event: NoticeEvent::Raised }));
            } else {
                let entry = entries.remove(index);
                if entries.is_empty() {
                    self.entries.remove(&key.resource);
                }
                self.clear(now, key, entry.alarm);
            }
        }
    }

    fn clear(&mut self, now: Now, key: AlarmKey, alarm: Option<AlarmView>) {
        let Some(alarm) = alarm else { return };
        self.counts.active[key.kind.severity() as usize] -= 1;
        self.last_sequence += 1;
        let (text, raised) = (Arc::clone(&alarm.text), alarm.raised);
        // The wall clock may have been set back meanwhile.
        let cleared = now.wall.max(raised);
        let record = AlarmRecord { sequence: self.last_sequence, key: key.clone(), text, raised, cleared };
        self.history.push_back(record.clone());
        self.news.push(Change::Alarm(key.clone(), None));
        self.news.push(Change::AlarmHistory(record.sequence, Some(record)));
        self.news.push(Change::Notice(Notice { key, alarm, event: NoticeEvent::Cleared(cleared) }));
        self.shorten_history();
    }

    fn shorten_history(&mut self) {
        while self.history.len() > usize::from(self.policy.history_size) {
            let oldest = self.history.pop_front().map(|record| Change::AlarmHistory(record.sequence, None));
            self.news.extend(oldest);
        }
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Active alarms by severity.
    pub(super) fn counts(&self) -> AlarmCounts {
        self.counts
    }

    /// What is different since the last call.
    pub(super) fn news(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.news)
    }

    /// Adds what must outlive the process: active alarms in order, the history.
    pub(super) fn save(&self, memory: &mut Memory) {
        let active = self.entries.iter().flat_map(|(resource, entries)| {
            entries.iter().filter_map(|entry| Some((entry.key(resource), entry.alarm.clone()?)))
        });
        memory.alarms = active.collect();
        memory.alarms.sort_by(|(one, _), (other, _)| one.cmp(other));
        memory.alarm_history = self.history.iter().cloned().collect();
        memory.last_sequence = self.last_sequence;
    }
}

impl Entry {
    fn key(&self, resource: &Resource) -> AlarmKey {
        AlarmKey { kind: self.kind, resource: resource.clone() }
    }

    fn due(&self, policy: &AlarmPolicy) -> Option<Duration> {
        Some(self.since? + if self.alarm.is_some() { policy.clear_hold } else { policy.raise_hold })
    }
}

/// Starts the time of an entry that is pending or clearing, unless it runs already.
fn start(due: &mut BTreeSet<(Duration, AlarmKey)>, policy: &AlarmPolicy, entry: &mut Entry, of: &Resource, now: Now) {
    if entry.since.is_none() && entry.holds != entry.alarm.is_some() {
        entry.since = Some(now.elapsed);
        due.extend(entry.due(policy).map(|at| (at, entry.key(of))));
    }
}

/// Stops the time of an entry.
fn stop(due: &mut BTreeSet<(Duration, AlarmKey)>, policy: &AlarmPolicy, entry: &mut Entry, of: &Resource) {
    if let Some(at) = entry.due(policy) {
        due.remove(&(at, entry.key(of)));
        entry.since = None;
    }
}
