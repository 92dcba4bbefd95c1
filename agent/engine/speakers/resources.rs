//! Keeps what the speaker's own resources say, and evaluates it.
//!
//! A rule of a resource counts only once its first listing is complete, and only while the resource may be read. What
//! is not known restricts nobody: the profile's rules alone decide, as if the resource did not exist.
//!
//! Direct evidence takes precedence over computation: the statuses in which MetalLB's speakers report what they
//! announce by BGP. For a service with at least one status:
//!
//! * a node with a status announces, whatever is computed;
//! * a node without one does not, unless it is attached here, and the VIP's route uses it or its session is not known
//!   to be established: a speaker that died takes its statuses with it, while FRR may continue to announce. That must
//!   neither hide a lost announcer nor make the route by that node a fault.
//!
//! A service without any status is judged by computation: speakers write statuses a moment after they announce,
//! releases before 0.15 never do, and when all speakers are gone, all statuses are, too. Statuses that can no longer be
//! listed are not evidence, while everything else that was known stays known.
//!
//! Statuses of the other kind name the one node that answers ARP and ND for a service, even if the switch's entry is of
//! another node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::model::cluster::Service;
use crate::model::config::Speaker;
use crate::model::event::Update;
use crate::model::names::{NodeName, ServiceKey};
use crate::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};

/// Who announces one VIP of one service, according to resources, and as which prefix.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Objects that select the nodes; empty for every eligible node.
    pub(crate) by: Vec<ObjectKey>,
    /// Why nobody announces it by BGP; `None` if somebody does.
    pub(crate) nobody: Option<String>,
    /// Whether nobody announces it by BGP, but a node answers ARP and ND for it.
    pub(crate) by_l2_only: bool,
    pub(crate) needs_endpoint: bool,
    pub(crate) prefix: Option<IpNet>,
    pub(crate) shorter: Option<Box<Rule>>,
}

impl Rule {
    /// Creates the rule that nobody announces it.
    pub(crate) fn nobody(why: impl Into<String>) -> Self {
        Self { nobody: Some(why.into()), ..Self::default() }
    }
}

/// A VIP of a service, for which a rule is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) service: &'a Service,
    pub(crate) vip: IpAddr,
    /// Whether the policy is Local, or something makes it so.
    pub(crate) local: bool,
}

impl Subject<'_> {
    /// Returns whether the VIP is only one of `externalIPs`.
    pub(crate) fn is_external(&self) -> bool {
        !self.service.ingress.contains(&self.vip)
    }
}

/// The resources of a cluster's speaker.
#[derive(Debug, Default)]
pub(crate) struct SpeakerResources {
    speaker: Speaker,
    states: BTreeMap<SpeakerResource, ResourceState>,
    /// Resources of which all objects are known.
    known: BTreeSet<SpeakerResource>,
    objects: BTreeMap<SpeakerResource, BTreeMap<ObjectKey, SpeakerObject>>,
    statuses: BTreeMap<SpeakerResource, Statuses>,
}

/// The nodes whose speakers report each service, with the digest of the reporting object.
type Statuses = FxHashMap<ServiceKey, Vec<(NodeName, u64)>>;

impl SpeakerResources {
    pub(crate) fn new(speaker: Speaker) -> Self {
        Self { speaker, ..Self::default() }
    }

    /// Returns the speaker that the resources belong to.
    pub(crate) fn speaker(&self) -> Speaker {
        self.speaker
    }

    /// Returns whether each resource is watched.
    pub(crate) fn states(&self) -> &BTreeMap<SpeakerResource, ResourceState> {
        &self.states
    }

    /// Sets whether a resource is watched. Returns whether rules may have changed.
    pub(crate) fn set_state(&mut self, resource: SpeakerResource, state: ResourceState) -> bool {
        if resource.speaker() != self.speaker {
            return false;
        }
        let changed = match &state {
            ResourceState::Watched => self.known.insert(resource),
            ResourceState::Failed(_) if !resource.is_status() => false,
            ResourceState::Absent
            | ResourceState::Forbidden(_)
            | ResourceState::Failed(_)
            | ResourceState::TooMany(_) => {
                self.objects.remove(&resource);
                self.statuses.remove(&resource);
                self.known.remove(&resource)
            }
        };
        self.states.insert(resource, state);
        changed
    }

    /// Applies an update of objects. Returns whether they changed.
    pub(crate) fn set_objects(&mut self, resource: SpeakerResource, update: Update<ObjectKey, SpeakerObject>) -> bool {
        if resource.speaker() != self.speaker {
            return false;
        }
        let objects = self.objects.entry(resource).or_default();
        match update {
            Update::All(all) => {
                let all: BTreeMap<_, _> = all.into_iter().collect();
                let changed = *objects != all;
                *objects = all;
                changed
            }
            Update::Set(key, object) => {
                objects.get(&key) != Some(&object) && {
                    objects.insert(key, object);
                    true
                }
            }
            Update::Gone(key) => objects.remove(&key).is_some(),
        }
    }

    /// Applies an update of statuses; returns the services they are about.
    pub(crate) fn set_statuses(
        &mut self,
        resource: SpeakerResource,
        update: Update<StatusKey, ()>,
    ) -> BTreeSet<ServiceKey> {
        let mut touched = BTreeSet::new();
        if self.speaker != resource.speaker() {
            return touched;
        }
        let statuses = self.statuses.entry(resource).or_default();
        match update {
            Update::All(all) => {
                touched.extend(std::mem::take(statuses).into_keys());
                for (status, ()) in all {
                    touched.insert(status.service.clone());
                    statuses.entry(status.service).or_default().push((status.node, status.object));
                }
                statuses.values_mut().for_each(Vec::shrink_to_fit);
            }
            Update::Set(StatusKey { service, node, object }, ()) => {
                let reported = statuses.entry(service.clone()).or_default();
                if !reported.iter().any(|(known, digest)| *known == node && *digest == object) {
                    reported.push((node, object));
                    touched.insert(service);
                }
            }
            Update::Gone(StatusKey { service, node, object }) => {
                if let Some(reported) = statuses.get_mut(&service) {
                    reported.retain(|(known, digest)| !(*known == node && *digest == object));
                    if reported.is_empty() {
                        statuses.remove(&service);
                    }
                    touched.insert(service);
                }
            }
        }
        touched
    }

    /// Returns the nodes whose speakers report that they announce a service by BGP, some perhaps twice; `None` if no
    /// speaker reports anything about it.
    pub(crate) fn reported_by(&self, service: &ServiceKey) -> Option<impl Iterator<Item = &NodeName>> {
        self.statuses_of(SpeakerResource::MetallbStatuses, service)
    }

    /// Returns the node whose speaker reports that it answers ARP and ND for a service; several, while that moves.
    /// `None` if no speaker reports anything about it.
    pub(crate) fn answering(&self, service: &ServiceKey) -> Option<impl Iterator<Item = &NodeName>> {
        self.statuses_of(SpeakerResource::MetallbL2Statuses, service)
    }

    fn statuses_of(
        &self,
        resource: SpeakerResource,
        service: &ServiceKey,
    ) -> Option<impl Iterator<Item = &NodeName> + use<'_>> {
        let statuses = self.statuses.get(&resource).filter(|_| self.knows(resource))?;
        Some(statuses.get(service)?.iter().map(|(node, _)| node))
    }

    /// Returns whether all objects of a resource are known.
    pub(crate) fn knows(&self, resource: SpeakerResource) -> bool {
        self.known.contains(&resource)
    }

    /// Returns the objects of a resource; none until all are known.
    pub(crate) fn objects(&self, resource: SpeakerResource) -> impl Iterator<Item = (&ObjectKey, &SpeakerObject)> {
        self.objects.get(&resource).filter(|_| self.knows(resource)).into_iter().flatten()
    }

    /// Returns one object; `None` until all of its resource are known.
    pub(crate) fn object(&self, resource: SpeakerResource, key: &ObjectKey) -> Option<&SpeakerObject> {
        self.objects.get(&resource).filter(|_| self.knows(resource))?.get(key)
    }

    /// Returns whether any resource is known, so that rules may depend on the service.
    pub(crate) fn has_rules(&self) -> bool {
        !self.known.is_empty()
    }

    /// Returns the address pools of the speaker, by name.
    pub(crate) fn named_pools(&self) -> impl Iterator<Item = (String, &[IpNet])> {
        use SpeakerResource::{CalicoPools, CiliumPools, MetallbPools};
        let objects = [MetallbPools, CiliumPools, CalicoPools].into_iter().flat_map(|resource| self.objects(resource));
        objects.filter_map(|(key, object)| match object {
            SpeakerObject::Pool(pool) => Some((key.name.to_string(), &*pool.prefixes)),
            _ => None,
        })
    }

    /// Returns the prefixes that the speaker assigns addresses from.
    pub(crate) fn pools(&self) -> impl Iterator<Item = IpNet> {
        use SpeakerResource::{CalicoPools, CiliumPools, MetallbPools};
        let objects = [MetallbPools, CiliumPools, CalicoPools].into_iter().flat_map(|resource| self.objects(resource));
        objects.flat_map(|(_, object)| match object {
            SpeakerObject::Pool(pool) => pool.prefixes.iter().copied(),
            _ => [].iter().copied(),
        })
    }
}
