//! One alarm: what it stands for, and whose owners hear of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::condition::Fault;
use crate::model::alarm::{AlarmKey, AlarmView, Resource, Severity};
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::verdict::ProbableCause;

/// Services that one alarm is notified to: Events are for those who look after a few.
const MOST_NOTIFIED: usize = 100;

/// An alarm, and what it stands for.
#[derive(Debug)]
pub(super) struct Alarm {
    /// What is written of it.
    pub(super) view: AlarmView,
    /// Resources it stands for, and what is wrong with each.
    pub(super) members: BTreeMap<Resource, Arc<Fault>>,
    /// Members by severity.
    severities: [u32; Severity::ALL.len()],
    /// How often a member failed again.
    pub(super) occurrences: u32,
    /// It stands for what its members share.
    pub(super) group: bool,
    /// Of one that stands alone: the alarm it would share with another.
    pub(super) shared: Option<AlarmKey>,
    /// Services that were notified of it; their owners hear of its end as well.
    pub(super) notified: BTreeSet<(ClusterName, ServiceKey)>,
    /// When it was last written.
    pub(super) written: Duration,
    /// When it is written next, if it may say something else.
    pub(super) stale: Option<Duration>,
}

impl Alarm {
    /// One without members.
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

    /// Takes a member, or what is wrong with it now.
    pub(super) fn put(&mut self, resource: &Resource, fault: Arc<Fault>) {
        self.severities[fault.severity as usize] += 1;
        if let Some(before) = self.members.insert(resource.clone(), fault) {
            self.severities[before.severity as usize] -= 1;
        }
    }

    /// Takes a member out.
    pub(super) fn take(&mut self, resource: &Resource) {
        if let Some(before) = self.members.remove(resource) {
            self.severities[before.severity as usize] -= 1;
        }
    }

    /// Takes members, and returns their services that are to be notified of it.
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

    /// The service of a member that has left, if it was notified and none of its other members is here.
    pub(super) fn dismiss(&mut self, resource: &Resource) -> Option<(ClusterName, ServiceKey)> {
        let service = service_of(resource).filter(|service| self.notified.contains(service))?;
        if self.services().any(|other| other == service) {
            return None;
        }
        self.notified.take(&service)
    }

    /// Services that its members are, or are of.
    fn services(&self) -> impl Iterator<Item = (ClusterName, ServiceKey)> {
        self.members.keys().filter_map(service_of)
    }

    /// That of the members, where it is the same of each.
    pub(super) fn cause(&self) -> Option<ProbableCause> {
        let mut causes = self.members.values().map(|fault| fault.cause);
        let first = causes.next()??;
        causes.all(|cause| cause == Some(first)).then_some(first)
    }

    /// That of the worst member.
    pub(super) fn severity(&self) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| self.severities[*severity as usize] > 0)
    }
}

/// The service that a resource is, or is of.
fn service_of(resource: &Resource) -> Option<(ClusterName, ServiceKey)> {
    match resource {
        Resource::Vip(cluster, service, _) | Resource::Service(cluster, service) => {
            Some((cluster.clone(), service.clone()))
        }
        _ => None,
    }
}
