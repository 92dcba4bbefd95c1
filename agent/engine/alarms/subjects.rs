//! Applies hold times: raises an alarm once a fault has lasted long enough, and clears it once recovery has.
//!
//! ```text
//!            fault                    raise-hold-time without a break
//!   (well) ─────────► pending ───────────────────────────────────────► active ◄─────────┐
//!      ▲                 │ well                                          │ well         │ fault: occurrences + 1
//!      ├─────────────────┘                                               ▼              │
//!      │                                                              clearing ─────────┘
//!      └─────────────────────────────────────────────────────────────────┘ clear-hold-time
//! ```
//!
//! There is one subject per resource. A change from one fault to another does not restart its hold time. An active
//! subject adopts a new fault at once, but a more severe one only once that has lasted for raise-hold-time as well,
//! because pods that come back are announced a moment later. While the condition of a subject is unknown, no hold time
//! runs; it restarts when the condition is known again. A VIP whose fault is explained by sessions is not raised while
//! those have an active alarm, and waits while they may get one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Visibility;
use super::condition::{Condition, Explanation, Fault, Share};
use crate::model::alarm::{AlarmKey, AlarmType, AlarmView, ClearedBecause, Resource};
use crate::model::config::AlarmPolicy;
use crate::model::names::{ClusterName, NodeName};
use crate::model::time::Now;

/// How long the first of several resources with a shared cause waits for the others, so that they are raised as one.
const GATHER: Duration = Duration::from_secs(1);

/// Resources that are faulty, or recovered recently.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    policy: AlarmPolicy,
    visibility: Visibility,
    known: FxHashMap<Resource, Subject>,
    /// When the hold time of each subject ends.
    due: BTreeSet<(Duration, Resource)>,
    /// When resources that share a cause stop waiting for each other.
    gathers: FxHashMap<AlarmKey, Duration>,
    /// VIPs by the nodes whose sessions explain them.
    explained: FxHashMap<Resource, BTreeSet<Resource>>,
    /// Announcers that announce nothing although their session is up.
    silent: FxHashSet<(ClusterName, NodeName)>,
    /// Restored alarms about resources that no source has reported yet.
    unseen: BTreeSet<Resource>,
    /// Restored group alarms. A resource with the same fault becomes active at once.
    restored: BTreeSet<AlarmKey>,
    transitions: Vec<Transition>,
}

/// A change that the alarm table must follow.
#[derive(Debug)]
pub(super) enum Transition {
    /// An alarm must be raised for a resource.
    Raised(Resource, Member),
    /// The fault of a resource changed; true if it recurred.
    Updated(Resource, Member, bool),
    /// A resource no longer has an alarm.
    Cleared(Resource, ClearedBecause),
}

/// A fault as the alarm table expects it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) fault: Arc<Fault>,
    /// What the resource shares with others.
    pub(super) share: Option<Resource>,
    /// Whether the resource leaves its alarm if `share` names another one.
    pub(super) firm: bool,
}

impl Member {
    /// Returns the group alarm that the resource shares with others.
    pub(super) fn group_key(&self) -> Option<AlarmKey> {
        Some(AlarmKey { kind: self.fault.kind, resource: self.share.clone()? })
    }
}

#[derive(Debug)]
struct Subject {
    /// The current or last fault; while the subject is active, the one that its alarm shows.
    fault: Arc<Fault>,
    /// The current fault, if it is more severe than the one that the alarm shows.
    graver: Option<Arc<Fault>>,
    /// Why the resource is well; `None` while it is not.
    well: Option<ClearedBecause>,
    /// Whether the last published view shows its condition.
    known: bool,
    /// Whether it is in the alarm table.
    active: bool,
    /// Start of the running hold time (raise, clear or escalate); `None` while none runs.
    since: Option<Duration>,
}

/// Whether the sessions that explain a fault have an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    /// They have none.
    None,
    /// They may get one.
    Pending,
    /// They have one.
    Active,
}

impl Subjects {
    /// Restores an alarm of an earlier run of the agent about a single resource.
    pub(super) fn restore(&mut self, key: &AlarmKey, view: &AlarmView) {
        let fault = Fault {
            kind: key.kind,
            severity: view.severity,
            owner: view.owner,
            reason: None,
            share: Share::Alone,
            text: Arc::clone(&view.text),
            detail: Arc::clone(&view.text),
            explained_by: Box::default(),
            cause: view.cause,
        };
        let subject =
            Subject { fault: Arc::new(fault), graver: None, well: None, known: false, active: true, since: None };
        self.known.insert(key.resource.clone(), subject);
        self.unseen.insert(key.resource.clone());
    }

    /// Restores a group alarm of an earlier run.
    pub(super) fn restore_group(&mut self, key: &AlarmKey) {
        self.restored.insert(key.clone());
    }

    /// Turns a restored group alarm into an ordinary one.
    pub(super) fn release_group(&mut self, key: &AlarmKey) {
        self.restored.remove(key);
    }

    /// Sets the hold times, including those that are running.
    pub(super) fn set_policy(&mut self, policy: AlarmPolicy) {
        if std::mem::replace(&mut self.policy, policy) == policy {
            return;
        }
        let timed = self.known.iter().filter_map(|(resource, subject)| Some((subject.due(&policy)?, resource.clone())));
        self.due = timed.collect();
        // Their ends were computed from the former hold times.
        self.gathers.clear();
    }

    pub(super) fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// Sets what is visible. Hold times of resources that become visible again restart.
    pub(super) fn set_visibility(&mut self, now: Now, visibility: Visibility) {
        let before = std::mem::replace(&mut self.visibility, visibility);
        if before == visibility {
            return;
        }
        let changed = |(resource, subject): &(&Resource, &Subject)| {
            subject.is_visible(resource, before) != subject.is_visible(resource, visibility)
        };
        let changed: Vec<Resource> = self.known.iter().filter(changed).map(|(resource, _)| resource.clone()).collect();
        for resource in &changed {
            self.schedule(now, resource);
            self.reconsider(now, resource);
        }
    }

    /// Notes whether an announcer is silent although its session is up.
    pub(super) fn set_silent(&mut self, cluster: &ClusterName, node: &NodeName, silent: bool) {
        let key = (cluster.clone(), node.clone());
        match silent {
            true => self.silent.insert(key),
            false => self.silent.remove(&key),
        };
    }

    /// Applies the condition of a resource.
    pub(super) fn observe(&mut self, now: Now, resource: &Resource, condition: Condition) {
        match condition {
            Condition::Unknown => self.lose_sight(now, resource),
            Condition::Fault(fault) => self.fail(now, resource, fault),
            Condition::Well(because) => self.heal(now, resource, because),
        }
    }

    /// Stops the hold time of a resource until its condition is known again.
    fn lose_sight(&mut self, now: Now, resource: &Resource) {
        let Some(subject) = self.known.get_mut(resource) else { return };
        if let Some(at) = subject.due(&self.policy) {
            self.due.remove(&(at, resource.clone()));
        }
        (subject.known, subject.since, subject.graver) = (false, None, None);
        self.unseen.remove(resource);
        self.reconsider(now, resource);
    }

    fn fail(&mut self, now: Now, resource: &Resource, fault: Arc<Fault>) {
        self.unseen.remove(resource);
        if self.known.get(resource).is_some_and(|subject| subject.active && fault.severity < subject.fault.severity) {
            return self.worsen(now, resource, fault);
        }
        self.explain(resource, &fault);
        self.stop(resource, |subject| subject.graver.take().is_some());
        let again = self.stop(resource, |subject| subject.well.take().is_some());
        let Some(subject) = self.known.get_mut(resource) else {
            let member = self.member(&fault);
            let of = |share: &Resource| AlarmKey { kind: fault.kind, resource: share.clone() };
            let active = member.share.as_ref().is_some_and(|share| self.restored.contains(&of(share)));
            if active {
                self.transitions.push(Transition::Raised(resource.clone(), member));
            }
            let subject = Subject { fault, graver: None, well: None, known: true, active, since: None };
            self.known.insert(resource.clone(), subject);
            return self.schedule(now, resource);
        };
        subject.known = true;
        let changed = subject.fault != fault;
        subject.fault = Arc::clone(&fault);
        if subject.active && (changed || again) {
            let member = self.member(&fault);
            self.transitions.push(Transition::Updated(resource.clone(), member, again));
        }
        self.schedule(now, resource);
    }

    /// Notes a fault that is more severe than the one that the alarm shows. The alarm adopts it once it has lasted.
    fn worsen(&mut self, now: Now, resource: &Resource, fault: Arc<Fault>) {
        let again = self.stop(resource, |subject| subject.well.take().is_some());
        let Some(subject) = self.known.get_mut(resource) else { return };
        (subject.known, subject.graver) = (true, Some(fault));
        if again {
            let shown = Arc::clone(&subject.fault);
            let member = self.member(&shown);
            self.transitions.push(Transition::Updated(resource.clone(), member, true));
        }
        self.schedule(now, resource);
    }

    /// Changes what the hold time of a resource runs for. If `change` changes anything, the hold time restarts. Returns
    /// whether it was running and changed.
    fn stop(&mut self, resource: &Resource, change: impl FnOnce(&mut Subject) -> bool) -> bool {
        let Some(subject) = self.known.get_mut(resource) else { return false };
        let due = subject.due(&self.policy);
        let changed = change(subject);
        let ran = changed && subject.since.is_some();
        if changed {
            subject.since = None;
            due.into_iter().for_each(|at| _ = self.due.remove(&(at, resource.clone())));
        }
        ran
    }

    fn heal(&mut self, now: Now, resource: &Resource, because: ClearedBecause) {
        self.stop(resource, |subject| subject.graver.take().is_some());
        let Some(subject) = self.known.get_mut(resource) else { return };
        self.unseen.remove(resource);
        subject.known = true;
        if subject.active {
            subject.well = Some(because);
            self.schedule(now, resource);
        } else {
            self.forget(resource);
        }
        self.reconsider(now, resource);
    }

    /// Removes a resource.
    pub(super) fn withdraw(&mut self, now: Now, resource: &Resource) {
        if self.forget(resource).is_some_and(|subject| subject.active) {
            self.transitions.push(Transition::Cleared(resource.clone(), ClearedBecause::Removed));
        }
        self.reconsider(now, resource);
    }

    /// Clears restored alarms about resources that no source has reported since: they were removed.
    pub(super) fn forget_unseen(&mut self, now: Now, fully_reported: impl Fn(&Resource) -> bool) {
        let gone: Vec<Resource> = self.unseen.iter().filter(|resource| fully_reported(resource)).cloned().collect();
        gone.iter().for_each(|resource| self.withdraw(now, resource));
    }

    /// Notes that the resource exists, even if its condition is unknown.
    pub(super) fn see(&mut self, resource: &Resource) {
        if !self.unseen.is_empty() {
            self.unseen.remove(resource);
        }
    }

    pub(super) fn has(&self, resource: &Resource) -> bool {
        self.known.contains_key(resource)
    }

    /// Returns whether a resource has recovered and its alarm is about to be cleared.
    pub(super) fn is_well(&self, resource: &Resource) -> bool {
        self.known.get(resource).is_some_and(|subject| subject.well.is_some())
    }

    /// Returns whether a resource has an alarm of this type.
    pub(super) fn is_active(&self, resource: &Resource, kind: AlarmType) -> bool {
        self.known.get(resource).is_some_and(|subject| subject.active && subject.fault.kind == kind)
    }

    /// Returns the fault that the alarm of a resource is about; `None` if it has no alarm.
    pub(super) fn active_fault(&self, resource: &Resource) -> Option<&Fault> {
        self.known.get(resource).filter(|subject| subject.active).map(|subject| &*subject.fault)
    }

    /// Raises and clears what is due. `formed` returns whether a group alarm already exists.
    pub(super) fn settle(&mut self, now: Now, formed: impl Fn(&AlarmKey) -> bool) {
        // Nodes first, because their alarms explain VIPs. A raise can make others due, so repeat until nothing is due.
        while self.due.first().is_some_and(|(at, _)| *at <= now.elapsed) {
            let mut due = Vec::new();
            while let Some((at, _)) = self.due.first()
                && *at <= now.elapsed
                && let Some((_, resource)) = self.due.pop_first()
            {
                due.push(resource);
            }
            let gathering = self.gathering(now);
            let (nodes, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|of| matches!(of, Resource::Node(..)));
            for resource in nodes.iter().chain(&others) {
                self.time_is_up(now, resource, &gathering, &formed);
            }
        }
        self.gathers.retain(|_, until| *until > now.elapsed);
    }

    /// Returns the group alarms of subjects whose raise hold time ends soon.
    fn gathering(&self, now: Now) -> FxHashSet<AlarmKey> {
        let soon = self.due.iter().take_while(|(at, _)| *at <= now.elapsed + GATHER);
        let raised = |subject: &&Subject| subject.well.is_none() && !subject.active;
        let pending = soon.filter_map(|(_, resource)| self.known.get(resource)).filter(raised);
        pending.filter_map(|subject| self.group_key(&subject.fault)).collect()
    }

    fn group_key(&self, fault: &Fault) -> Option<AlarmKey> {
        Some(AlarmKey { kind: fault.kind, resource: self.member_share(fault)? })
    }

    fn time_is_up(
        &mut self,
        now: Now,
        resource: &Resource,
        gathering: &FxHashSet<AlarmKey>,
        formed: impl Fn(&AlarmKey) -> bool,
    ) {
        let Some(subject) = self.known.get(resource) else { return };
        if subject.due(&self.policy).is_none_or(|at| at > now.elapsed) {
            return; // it gathered, and its hold time has restarted since
        }
        if let Some(because) = subject.well {
            self.forget(resource);
            self.transitions.push(Transition::Cleared(resource.clone(), because));
            return self.reconsider(now, resource);
        }
        if let Some(fault) = subject.graver.clone() {
            self.explain(resource, &fault);
            self.stop(resource, |subject| {
                subject.fault = Arc::clone(&fault);
                subject.graver.take().is_some()
            });
            let member = self.member(&fault);
            self.transitions.push(Transition::Updated(resource.clone(), member, false));
            return self.reconsider(now, resource);
        }
        match self.excuse(resource, &subject.fault) {
            Excuse::None => {}
            // Checked again when the sessions are raised or recover.
            Excuse::Pending => return,
            Excuse::Active => return self.schedule(now, resource),
        }
        let (fault, since) = (Arc::clone(&subject.fault), subject.since.unwrap_or(now.elapsed));
        let gathers = self.group_key(&fault).filter(|key| gathering.contains(key) && !formed(key));
        if let Some(key) = gathers {
            let latest = since + self.policy.raise_hold + GATHER;
            let until = *self.gathers.entry(key).and_modify(|until| *until = latest.min(*until)).or_insert(latest);
            if until > now.elapsed {
                self.due.insert((until, resource.clone()));
                return;
            }
        }
        let member = self.member(&fault);
        if let Some(subject) = self.known.get_mut(resource) {
            (subject.active, subject.since) = (true, None);
        }
        self.transitions.push(Transition::Raised(resource.clone(), member));
        self.reconsider(now, resource);
    }

    /// Rechecks the VIPs that the sessions of a node explain.
    fn reconsider(&mut self, now: Now, node: &Resource) {
        let Some(dependents) = self.explained.get(node) else { return };
        // A node whose alarm is about to be cleared takes over no alarms.
        let takes_over = self.known.get(node).is_some_and(|subject| subject.active && subject.well.is_none());
        for resource in dependents.clone() {
            let Some(subject) = self.known.get(&resource) else { continue };
            let excuse = self.excuse(&resource, subject.current());
            if takes_over && subject.active && subject.well.is_none() && excuse == Excuse::Active {
                if let Some(subject) = self.known.get_mut(&resource) {
                    subject.active = false;
                }
                let because = ClearedBecause::Became(AlarmType::NeighborSessionDown);
                self.transitions.push(Transition::Cleared(resource.clone(), because));
            }
            self.schedule(now, &resource);
        }
    }

    fn excuse(&self, resource: &Resource, fault: &Fault) -> Excuse {
        let Some(cluster) = resource.cluster().filter(|_| !fault.explained_by.is_empty()) else { return Excuse::None };
        let mut excuse = Excuse::Active;
        for Explanation { node, recovering } in &fault.explained_by {
            let Some(subject) = self.known.get(&Resource::Node(cluster.clone(), node.clone())) else {
                return Excuse::None;
            };
            if subject.fault.kind != AlarmType::NeighborSessionDown || *recovering && subject.well.is_none() {
                return Excuse::None;
            }
            match (subject.active, subject.since) {
                (true, _) => {}
                (false, Some(_)) => excuse = Excuse::Pending,
                (false, None) => return Excuse::None,
            }
        }
        excuse
    }

    /// Starts or stops the hold time of a subject, as its condition requires.
    fn schedule(&mut self, now: Now, resource: &Resource) {
        let Some(subject) = self.known.get(resource) else { return };
        let visible = subject.is_visible(resource, self.visibility);
        let excuse = self.excuse(resource, subject.current());
        let runs = visible
            && subject.known
            && (subject.well.is_some() == subject.active || subject.graver.is_some())
            && (subject.active || excuse != Excuse::Active);
        let policy = self.policy;
        let Some(subject) = self.known.get_mut(resource) else { return };
        if !runs {
            if let Some(at) = subject.due(&policy) {
                self.due.remove(&(at, resource.clone()));
            }
            subject.since = None;
            return;
        }
        subject.since.get_or_insert(now.elapsed);
        if let Some(at) = subject.due(&policy).filter(|at| excuse != Excuse::Pending || *at > now.elapsed) {
            self.due.insert((at, resource.clone()));
        }
    }

    /// Replaces the nodes that explain a resource.
    fn explain(&mut self, resource: &Resource, fault: &Fault) {
        let before = self.known.get(resource).map(|subject| Arc::clone(&subject.fault));
        if before.as_ref().is_some_and(|before| before.explained_by == fault.explained_by) {
            return;
        }
        if let Some(before) = before {
            self.unexplain(resource, &before);
        }
        let Some(cluster) = resource.cluster() else { return };
        for Explanation { node, .. } in &fault.explained_by {
            let node = Resource::Node(cluster.clone(), node.clone());
            self.explained.entry(node).or_default().insert(resource.clone());
        }
    }

    fn unexplain(&mut self, resource: &Resource, fault: &Fault) {
        let Some(cluster) = resource.cluster() else { return };
        for Explanation { node, .. } in &fault.explained_by {
            let node = Resource::Node(cluster.clone(), node.clone());
            if let Some(dependents) = self.explained.get_mut(&node) {
                dependents.remove(resource);
                if dependents.is_empty() {
                    self.explained.remove(&node);
                }
            }
        }
    }

    fn forget(&mut self, resource: &Resource) -> Option<Subject> {
        let subject = self.known.remove(resource)?;
        if let Some(at) = subject.due(&self.policy) {
            self.due.remove(&(at, resource.clone()));
        }
        self.unexplain(resource, &subject.fault);
        self.unseen.remove(resource);
        Some(subject)
    }

    fn member(&self, fault: &Arc<Fault>) -> Member {
        let firm = matches!(fault.share, Share::With(_));
        Member { fault: Arc::clone(fault), share: self.member_share(fault), firm }
    }

    fn member_share(&self, fault: &Fault) -> Option<Resource> {
        match &fault.share {
            Share::Alone => None,
            Share::With(resource) | Share::May(resource) => Some(resource.clone()),
            Share::IfSilent(nodes, silent, otherwise) => {
                let is_silent = |node: &NodeName| match silent.cluster() {
                    Some(cluster) => self.silent.contains(&(cluster.clone(), node.clone())),
                    None => false,
                };
                Some(if nodes.iter().all(is_silent) { silent.clone() } else { otherwise.clone() })
            }
        }
    }

    /// Takes the transitions since the last call.
    pub(super) fn transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Returns when something is next due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Returns the clusters of resources that are due to be raised with this type of alarm.
    pub(super) fn due_by(&self, now: Now, kind: AlarmType) -> impl Iterator<Item = &ClusterName> {
        let due = self.due.iter().take_while(move |(at, _)| *at <= now.elapsed);
        due.filter_map(move |(_, resource)| {
            let subject = self.known.get(resource)?;
            resource.cluster().filter(|_| subject.fault.kind == kind && subject.well.is_none() && !subject.active)
        })
    }
}

impl Subject {
    /// Returns the current or last fault.
    fn current(&self) -> &Fault {
        self.graver.as_ref().unwrap_or(&self.fault)
    }

    /// Returns whether its hold time may run. A subject that counts as well only because nothing is known of it is
    /// visible only while neighbors are.
    fn is_visible(&self, resource: &Resource, visibility: Visibility) -> bool {
        visibility.covers(resource) && (visibility.neighbors || self.well != Some(ClearedBecause::NotKnown))
    }

    fn due(&self, policy: &AlarmPolicy) -> Option<Duration> {
        let raises = !self.active || self.graver.is_some();
        Some(self.since? + if raises { policy.raise_hold } else { policy.clear_hold })
    }
}
