//! Keeps the alarms: which resource is in which, what they say, what became of them.
//!
//! Faults that share a cause are in one group alarm, which is named by what they share. From then on every resource
//! that shares the cause joins that alarm, until none is left. A resource is in at most one alarm, and keeps the time
//! it was raised when its fault changes. A change of severity is written at once, texts and counts at a pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::alarm::Alarm;
use super::condition::Fault;
use super::history::History;
use super::subjects::{Member, Transition};
use super::words;
use crate::model::alarm::{
    AlarmCounts, AlarmKey, AlarmNotification, AlarmRecord, AlarmType, AlarmView, ClearedBecause, NotificationEvent,
    Resource,
};
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::time::{Now, Timestamp};
use crate::model::view::Change;

/// How often the text and the counts of one alarm are written at most.
const TEXT_PACE: Duration = Duration::from_secs(10);

/// Active alarms and the history.
#[derive(Debug, Default)]
pub(super) struct AlarmTable {
    alarms: BTreeMap<AlarmKey, Alarm>,
    /// The alarm that each resource is in.
    membership: FxHashMap<Resource, AlarmKey>,
    /// Resources with an alarm of their own, by the group alarm they would share with another one.
    singles: FxHashMap<AlarmKey, BTreeSet<Resource>>,
    /// Alarms whose published text may be outdated, by when they are next written.
    stale: BTreeSet<(Duration, AlarmKey)>,
    /// Restored group alarms, and since when everything that could be a member has reported.
    restored: BTreeMap<AlarmKey, Option<Duration>>,
    /// What is left in the address pools of a cluster, in words.
    pools: FxHashMap<ClusterName, String>,
    history: History,
    history_size: u16,
    counts: AlarmCounts,
    out: Output,
}

/// What changed since the last call.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) changes: Vec<Change>,
    pub(super) notifications: Vec<AlarmNotification>,
    /// Whether alarms were raised or cleared.
    pub(super) turned: bool,
}

/// A resource that is about to join an alarm.
struct Arrival {
    resource: Resource,
    member: Member,
    raised: Timestamp,
    /// The alarm it was in.
    from: Option<AlarmKey>,
}

impl AlarmTable {
    /// Restores an alarm of an earlier run of the agent.
    pub(super) fn restore(&mut self, key: &AlarmKey, view: &AlarmView, group: bool) {
        if group {
            self.restored.insert(key.clone(), None);
        } else {
            self.membership.insert(key.resource.clone(), key.clone());
        }
        self.counts.active[view.severity as usize] += 1;
        self.out.changes.push(Change::Alarm(key.clone(), Some(view.clone())));
        self.alarms.insert(key.clone(), Alarm::new(view.clone(), group, Duration::ZERO));
    }

    pub(super) fn restore_history(&mut self, records: &[AlarmRecord], last_sequence: u64) {
        self.history.restore(records, last_sequence, &mut self.out.changes);
    }

    pub(super) fn set_history_size(&mut self, size: u16) {
        self.history_size = size;
        self.history.shorten(size, &mut self.out.changes);
    }

    /// Sets what is left in the address pools of a cluster.
    pub(super) fn set_pools(&mut self, cluster: &ClusterName, pools: Option<String>) {
        match pools {
            Some(pools) => drop(self.pools.insert(cluster.clone(), pools)),
            None => drop(self.pools.remove(cluster)),
        }
    }

    /// Returns whether a group alarm exists.
    pub(super) fn has_group(&self, key: &AlarmKey) -> bool {
        self.alarms.get(key).is_some_and(|alarm| alarm.group)
    }

    /// Returns whether restored group alarms wait for their members.
    pub(super) fn is_restoring(&self) -> bool {
        !self.restored.is_empty()
    }

    /// Returns the clusters with an alarm of this type that is due to be written.
    pub(super) fn stale_of(&self, now: Now, kind: AlarmType) -> impl Iterator<Item = &ClusterName> {
        let due = self.stale.iter().take_while(move |(at, _)| *at <= now.elapsed);
        due.filter(move |(_, key)| key.kind == kind).filter_map(|(_, key)| key.resource.cluster())
    }

    /// Makes restored group alarms like any other once everything that could be in them has reported for `hold`.
    /// Returns these alarms.
    pub(super) fn release(
        &mut self,
        now: Now,
        hold: Duration,
        fully_reported: impl Fn(&AlarmKey) -> bool,
    ) -> Vec<AlarmKey> {
        let mut released = Vec::new();
        for (key, since) in &mut self.restored {
            *since = fully_reported(key).then(|| since.unwrap_or(now.elapsed));
            if since.is_some_and(|since| now.elapsed >= since + hold) {
                released.push(key.clone());
            }
        }
        for key in &released {
            self.restored.remove(key);
            if self.alarms.get(key).is_some_and(|alarm| alarm.members.is_empty()) {
                self.end(now, key, ClearedBecause::Well);
            } else {
                self.refresh(now, key);
            }
        }
        released
    }

    /// Applies transitions, all of them at once, so that resources that share a cause are raised together.
    pub(super) fn follow(&mut self, now: Now, transitions: Vec<Transition>) {
        let mut arrivals: BTreeMap<Resource, Arrival> = BTreeMap::new();
        for transition in transitions {
            match transition {
                Transition::Raised(resource, member) => {
                    let arrival = Arrival { resource: resource.clone(), member, raised: now.wall, from: None };
                    arrivals.insert(resource, arrival);
                }
                Transition::Updated(resource, member, again) => match arrivals.get_mut(&resource) {
                    Some(arrival) => arrival.member = member,
                    None => {
                        let arrival = self.update(now, &resource, member, again);
                        arrivals.extend(arrival.map(|arrival| (resource, arrival)));
                    }
                },
                Transition::Cleared(resource, because) => {
                    arrivals.remove(&resource);
                    if let Some(key) = self.membership.remove(&resource) {
                        self.leave(now, &key, &resource, because);
                    }
                }
            }
        }
        self.admit(now, arrivals.into_values());
    }

    /// Applies a changed fault. Returns the resource if it is now in the wrong alarm.
    fn update(&mut self, now: Now, resource: &Resource, member: Member, again: bool) -> Option<Arrival> {
        let key = self.membership.get(resource)?.clone();
        let alarm = self.alarms.get(&key)?;
        let shared = member.group_key();
        let stays = key.kind == member.fault.kind
            && match alarm.group {
                true => !member.firm || shared.as_ref() == Some(&key),
                false => shared == alarm.shared || !shared.as_ref().is_some_and(|shared| self.would_group(shared)),
            };
        if !stays {
            let raised = alarm.view.raised;
            return Some(Arrival { resource: resource.clone(), member, raised, from: Some(key) });
        }
        let single = !alarm.group;
        if single {
            self.share_single(&key, resource, shared);
        }
        let alarm = self.alarms.get_mut(&key)?;
        alarm.put(resource, member.fault);
        alarm.occurrences = alarm.occurrences.saturating_add(again.into());
        self.refresh(now, &key);
        None
    }

    /// Returns whether one more resource with this cause would form a group alarm, or join one.
    fn would_group(&self, shared: &AlarmKey) -> bool {
        self.has_group(shared) || self.singles.contains_key(shared)
    }

    /// Notes which group alarm a resource with an alarm of its own would share.
    fn share_single(&mut self, key: &AlarmKey, resource: &Resource, shared: Option<AlarmKey>) {
        let Some(alarm) = self.alarms.get_mut(key) else { return };
        if let Some(before) = std::mem::replace(&mut alarm.shared, shared.clone())
            && let Some(singles) = self.singles.get_mut(&before)
        {
            singles.remove(resource);
            if singles.is_empty() {
                self.singles.remove(&before);
            }
        }
        if let Some(shared) = shared {
            self.singles.entry(shared).or_default().insert(resource.clone());
        }
    }

    /// Puts resources into alarms: into the group alarm they share, if it exists or if two of them share it.
    fn admit(&mut self, now: Now, arrivals: impl Iterator<Item = Arrival>) {
        let mut together: BTreeMap<AlarmKey, Vec<Arrival>> = BTreeMap::new();
        let mut alone = Vec::new();
        for arrival in arrivals {
            match arrival.member.group_key() {
                Some(key) => together.entry(key).or_default().push(arrival),
                None => alone.push(arrival),
            }
        }
        for (key, arrivals) in together {
            match arrivals.len() > 1 || self.would_group(&key) {
                true => self.join(now, key, arrivals),
                false => alone.extend(arrivals),
            }
        }
        alone.into_iter().for_each(|arrival| self.stand_alone(now, arrival));
    }

    /// Puts resources that share a cause into one alarm, with all that have had an alarm of their own so far.
    fn join(&mut self, now: Now, key: AlarmKey, arrivals: Vec<Arrival>) {
        let became = ClearedBecause::Became(key.kind);
        let mut raised = now.wall;
        let mut members = Vec::new();
        for resource in self.singles.get(&key).cloned().unwrap_or_default() {
            let own = AlarmKey { kind: key.kind, resource: resource.clone() };
            let Some(alarm) = self.alarms.get(&own) else { continue };
            raised = raised.min(alarm.view.raised);
            members.extend(alarm.members.iter().map(|(resource, fault)| (resource.clone(), Arc::clone(fault))));
            self.end(now, &own, became);
        }
        for Arrival { resource, member, raised: since, from } in arrivals {
            raised = raised.min(since);
            if let Some(from) = from.filter(|from| *from != key) {
                self.leave(now, &from, &resource, became);
            }
            members.push((resource, member.fault));
        }
        for (resource, _) in &members {
            self.membership.insert(resource.clone(), key.clone());
        }
        match self.alarms.get_mut(&key) {
            Some(alarm) => {
                let joined = alarm.admit(members);
                self.refresh(now, &key);
                self.notify_joined(&key, joined);
            }
            None => self.raise(now, key, true, members, raised),
        }
    }

    /// Notifies the services of resources that joined an alarm after it was raised.
    fn notify_joined(&mut self, key: &AlarmKey, joined: Vec<(ClusterName, ServiceKey)>) {
        let Some(alarm) = self.alarms.get(key) else { return };
        // They were notified of a restored alarm in an earlier run of the agent.
        if joined.is_empty() || self.restored.contains_key(key) {
            return;
        }
        let view = self.compose(key, alarm);
        self.notify(key.clone(), view, NotificationEvent::Joined, joined.into());
    }

    fn stand_alone(&mut self, now: Now, arrival: Arrival) {
        let Arrival { resource, member, raised, from } = arrival;
        if let Some(from) = from {
            self.leave(now, &from, &resource, ClearedBecause::Became(member.fault.kind));
        }
        let key = AlarmKey { kind: member.fault.kind, resource: resource.clone() };
        let shared = member.group_key();
        self.membership.insert(resource.clone(), key.clone());
        self.raise(now, key.clone(), false, vec![(resource.clone(), member.fault)], raised);
        self.share_single(&key, &resource, shared);
    }

    fn raise(&mut self, now: Now, key: AlarmKey, group: bool, members: Vec<(Resource, Arc<Fault>)>, raised: Timestamp) {
        let Some((_, first)) = members.first() else { return };
        let view = AlarmView {
            severity: first.severity,
            owner: first.owner,
            text: Arc::clone(&first.text),
            affected: 0,
            raised,
            last_change: now.wall,
            occurrences: 1,
            cause: first.cause,
        };
        let mut alarm = Alarm::new(view, group, now.elapsed);
        let services = alarm.admit(members).into();
        alarm.view = self.compose(&key, &alarm);
        let view = alarm.view.clone();
        self.alarms.insert(key.clone(), alarm);
        self.counts.active[view.severity as usize] += 1;
        self.out.changes.push(Change::Alarm(key.clone(), Some(view.clone())));
        self.notify(key, view, NotificationEvent::Raised, services);
        self.out.turned = true;
    }

    /// Removes a resource from an alarm, and clears the alarm with its last resource.
    fn leave(&mut self, now: Now, key: &AlarmKey, resource: &Resource, because: ClearedBecause) {
        let Some(alarm) = self.alarms.get_mut(key) else { return };
        alarm.take(resource);
        if alarm.members.is_empty() && !self.restored.contains_key(key) {
            self.end(now, key, because);
            return;
        }
        let left = alarm.dismiss(resource).map(|service| (service, alarm.view.clone()));
        self.refresh(now, key);
        if let Some((service, view)) = left {
            let event = NotificationEvent::Left(now.wall.max(view.raised), because);
            self.notify(key.clone(), view, event, Arc::from([service]));
        }
    }

    fn end(&mut self, now: Now, key: &AlarmKey, because: ClearedBecause) {
        self.share_single(key, &key.resource, None);
        let Some(alarm) = self.alarms.remove(key) else { return };
        if let Some(at) = alarm.stale {
            self.stale.remove(&(at, key.clone()));
        }
        let services = alarm.notified.into_iter().collect();
        let view = alarm.view;
        self.counts.active[view.severity as usize] -= 1;
        // The wall clock may have been set back in the meantime.
        let cleared = now.wall.max(view.raised);
        let record = AlarmRecord {
            sequence: 0,
            key: key.clone(),
            severity: view.severity,
            owner: view.owner,
            text: words::cleared(&view.text, because),
            affected: view.affected,
            raised: view.raised,
            cleared,
            because,
        };
        self.out.changes.push(Change::Alarm(key.clone(), None));
        self.history.add(record, self.history_size, &mut self.out.changes);
        self.notify(key.clone(), view, NotificationEvent::Cleared(cleared, because), services);
        self.out.turned = true;
    }

    fn notify(
        &mut self,
        key: AlarmKey,
        alarm: AlarmView,
        event: NotificationEvent,
        services: Arc<[(ClusterName, ServiceKey)]>,
    ) {
        self.out.notifications.push(AlarmNotification { key, alarm, event, services, omitted: 0 });
    }

    /// Schedules an alarm that may have changed: severity is written now, the rest at the pace.
    fn refresh(&mut self, now: Now, key: &AlarmKey) {
        if self.restored.contains_key(key) {
            return; // counted once all members have reported
        }
        let Some(alarm) = self.alarms.get_mut(key) else { return };
        let at = match alarm.severity() == Some(alarm.view.severity) {
            true => now.elapsed.max(alarm.written + TEXT_PACE),
            false => now.elapsed,
        };
        let at = alarm.stale.map_or(at, |before| before.min(at));
        if let Some(before) = alarm.stale.replace(at) {
            self.stale.remove(&(before, key.clone()));
        }
        self.stale.insert((at, key.clone()));
    }

    /// Writes what is due.
    pub(super) fn write(&mut self, now: Now) {
        while let Some((at, _)) = self.stale.first()
            && *at <= now.elapsed
            && let Some((_, key)) = self.stale.pop_first()
        {
            let Some(alarm) = self.alarms.get(&key) else { continue };
            let view = self.compose(&key, alarm);
            let Some(alarm) = self.alarms.get_mut(&key) else { continue };
            alarm.stale = None;
            if alarm.view == view {
                continue;
            }
            let view = AlarmView { last_change: now.wall, ..view };
            let before = std::mem::replace(&mut alarm.view, view.clone());
            alarm.written = now.elapsed;
            self.out.changes.push(Change::Alarm(key.clone(), Some(view.clone())));
            if before.severity != view.severity {
                self.counts.active[before.severity as usize] -= 1;
                self.counts.active[view.severity as usize] += 1;
                self.notify(key, view, NotificationEvent::Changed, Arc::default());
            }
        }
    }

    /// Returns what an alarm should say.
    fn compose(&self, key: &AlarmKey, alarm: &Alarm) -> AlarmView {
        let Some((first, fault)) = alarm.members.first_key_value() else { return alarm.view.clone() };
        let pools = first.cluster().and_then(|cluster| self.pools.get(cluster));
        let pools = pools.filter(|_| key.kind == AlarmType::VipAddressPending);
        let text = match alarm.group {
            true => words::group(key, alarm.members.keys(), &fault.detail, pools),
            false => match pools {
                Some(pools) => format!("{}; {pools}", fault.text),
                None => fault.text.to_string(),
            },
        };
        AlarmView {
            severity: alarm.severity().unwrap_or(fault.severity),
            owner: fault.owner,
            text: words::bounded(&text),
            affected: u32::try_from(alarm.members.len()).unwrap_or(u32::MAX),
            raised: alarm.view.raised,
            last_change: alarm.view.last_change,
            occurrences: alarm.occurrences,
            cause: alarm.cause(),
        }
    }

    /// Returns and forgets what changed since the last call.
    pub(super) fn take(&mut self) -> Output {
        std::mem::take(&mut self.out)
    }

    /// Returns the number of active alarms by severity.
    pub(super) fn counts(&self) -> AlarmCounts {
        self.counts
    }

    /// Returns when something is next due. `hold` is as in [`Self::release`].
    pub(super) fn deadline(&self, hold: Duration) -> Option<Duration> {
        let release = self.restored.values().filter_map(|since| Some((*since)? + hold));
        self.stale.first().map(|(at, _)| *at).into_iter().chain(release).min()
    }

    /// Returns active alarms, in order, and the history with its last sequence number.
    pub(super) fn save(&self) -> (Vec<(AlarmKey, AlarmView)>, Vec<AlarmRecord>, u64) {
        let active = self.alarms.iter().map(|(key, alarm)| (key.clone(), alarm.view.clone()));
        let (history, last_sequence) = self.history.save();
        (active.collect(), history, last_sequence)
    }
}
