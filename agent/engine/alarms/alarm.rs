//! Represents one alarm: the resources it stands for, and the services it was notified to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::condition::Fault;
use crate::model::alarm::{AlarmKey, AlarmView, Resource, Severity};
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::verdict::ProbableCause;

/// Most services that one alarm is notified to: Events are for people who look after a few services.
const MOST_NOTIFIED: usize = 100;

/// An alarm and its members.
#[derive(Debug)]
pub(super) struct Alarm {
    /// The entry that is written.
    pub(super) view: AlarmView,
    /// Resources it stands for, and what is wrong with each.
    pub(super) members: BTreeMap<Resource, Arc<Fault>>,
    /// Members by severity.
    severities: [u32; Severity::ALL.len()],
    /// How often a member failed again.
    pub(super) occurrences: u32,
    /// Whether it stands for what its members share.
    pub(super) group: bool,
    /// For an alarm of a single resource: the group alarm that the resource would share with another one.
    pub(super) shared: Option<AlarmKey>,
    /// Services that were notified of it, and are to be notified of its end.
    pub(super) notified: BTreeSet<(ClusterName, ServiceKey)>,
    /// When it was last written.
    pub(super) written: Duration,
    /// When it is next written, if its text may have changed.
    pub(super) stale: Option<Duration>,
}

impl Alarm {
    /// Creates an alarm without members.
    pub(super) fn new(view: AlarmView, group: bool, written: Duration) -> Self {
        let occurrences = view.occurrences;
        let severities = [0; Severity::ALL.len()];
        Self {
            view,
            members: BTreeMap::new(),
            severities,
            occurrences,
            group,
            shared: None,
            notified: BTreeSet::new(),
            written,
            stale: None,
        }
    }

    /// Adds a member, or replaces its fault.
    pub(super) fn put(&mut self, resource: &Resource, fault: Arc<Fault>) {
        self.severities[fault.severity as usize] += 1;
        if let Some(before) = self.members.insert(resource.clone(), fault) {
            self.severities[before.severity as usize] -= 1;
        }
    }

    /// Removes a member.
    pub(super) fn take(&mut self, resource: &Resource) {
        if let Some(before) = self.members.remove(resource) {
            self.severities[before.severity as usize] -= 1;
        }
    }

    /// Adds members; returns those of their services that are to be notified.
    pub(super) fn admit(&mut self, members: Vec<(Resource, Arc<Fault>)>) -> Vec<(ClusterName, ServiceKey)> {
        let mut joined = Vec::new();
        for (resource, fault) in members {
            self.put(&resource, fault);
            if self.notified.len() < MOST_NOTIFIED
                && let Some(service) = service_of(&resource)
                && self.notified.insert(service.clone())
            {
                joined.push(service);
            }
        }
        joined
    }

    /// Returns the service of a member that has left, if it was notified and has no other member here. Forgets that it
    /// was notified.
    pub(super) fn dismiss(&mut self, resource: &Resource) -> Option<(ClusterName, ServiceKey)> {
        let service = service_of(resource).filter(|service| self.notified.contains(service))?;
        if self.services().any(|other| other == service) {
            return None;
        }
        self.notified.take(&service)
    }

    /// Returns the services that its members are, or belong to.
    fn services(&self) -> impl Iterator<Item = (ClusterName, ServiceKey)> {
        self.members.keys().filter_map(service_of)
    }

    /// Returns the cause of the members, if they all have the same.
    pub(super) fn cause(&self) -> Option<ProbableCause> {
        let mut causes = self.members.values().map(|fault| fault.cause);
        let first = causes.next()??;
        causes.all(|cause| cause == Some(first)).then_some(first)
    }

    /// Returns the severity of the worst member.
    pub(super) fn severity(&self) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| self.severities[*severity as usize] > 0)
    }
}

/// Returns the service that a resource is, or belongs to.
fn service_of(resource: &Resource) -> Option<(ClusterName, ServiceKey)> {
    match resource {
        Resource::Vip(cluster, service, _) | Resource::Service(cluster, service) => {
            Some((cluster.clone(), service.clone()))
        }
        _ => None,
    }
}
