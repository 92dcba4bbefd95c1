//! What the speaker's own resources say, and what is made of it.
//!
//! A rule of a resource counts only once its first listing is complete, and only while it may be read: what is not known
//! restricts nobody, so that the profile's rules alone decide, as if the resource did not exist.
//!
//! Direct evidence, the statuses in which MetalLB's speakers say what they announce by BGP, beats computation for a service
//! that has at least one of them:
//!
//! * a node with a status announces, whatever is computed;
//! * a node without one does not, unless it is attached here, and the VIP's route uses it or its session is not known to be
//!   established: a speaker that died takes its statuses with it, while FRR may go on announcing. That must neither turn a
//!   lost announcer into one that never was, nor make the route by that node a fault.
//!
//! A service without any status is judged by computation: speakers write statuses a moment after they announce, releases
//! before 0.15 never, and when all speakers are gone all statuses are. Statuses that cannot be listed any more are no
//! evidence, where all else that was known stays known.
//!
//! Statuses of the other kind name the one node that answers ARP and ND for a service, whichever the switch has an entry of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::model::cluster::Service;
use crate::model::config::Speaker;
use crate::model::event::Update;
use crate::model::names::{NodeName, ServiceKey};
use crate::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};

/// Who announces one VIP of one service, as far as resources say, and as which prefix.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Objects that select the nodes; empty for every eligible node.
    pub(crate) by: Vec<ObjectKey>,
    /// Nobody announces it by BGP, and why.
    pub(crate) nobody: Option<String>,
    /// Nobody does, but a node answers ARP and ND for it.
    pub(crate) by_l2_only: bool,
    pub(crate) needs_endpoint: bool,
    pub(crate) prefix: Option<IpNet>,
    pub(crate) shorter: Option<Box<Rule>>,
}

impl Rule {
    /// Nobody announces it.
    pub(crate) fn nobody(why: impl Into<String>) -> Self {
        Self { nobody: Some(why.into()), ..Self::default() }
    }
}

/// A VIP of a service that a rule is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a ServiceKey,
    pub(crate) service: &'a Service,
    pub(crate) vip: IpAddr,
    /// The policy, or what makes it so, is Local.
    pub(crate) local: bool,
}

impl Subject<'_> {
    /// The VIP is one of `externalIPs` only.
    pub(crate) fn is_external(&self) -> bool {
        !self.service.ingress.contains(&self.vip)
    }
}

/// What the resources of a cluster's speaker say.
#[derive(Debug, Default)]
pub(crate) struct SpeakerResources {
    speaker: Speaker,
    states: BTreeMap<SpeakerResource, ResourceState>,
    /// Resources whose objects are all known.
    known: BTreeSet<SpeakerResource>,
    objects: BTreeMap<SpeakerResource, BTreeMap<ObjectKey, SpeakerObject>>,
    statuses: BTreeMap<SpeakerResource, Statuses>,
}

/// The nodes whose speakers report a service, each with the digest of the object that says so.
type Statuses = FxHashMap<ServiceKey, Vec<(NodeName, u64)>>;

impl SpeakerResources {
    pub(crate) fn new(speaker: Speaker) -> Self {
        Self { speaker, ..Self::default() }
    }

    /// The speaker they belong to.
    pub(crate) fn speaker(&self) -> Speaker {
        self.speaker
    }

    /// Whether each resource is followed.
    pub(crate) fn states(&self) -> &BTreeMap<SpeakerResource, ResourceState> {
        &self.states
    }

    /// Takes in whether a resource is followed. True when rules may be others now.
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

    /// Takes in objects. True when they are others than before.
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

    /// Sets statuses; returns the services they are about.
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

    /// The nodes whose speakers say that they announce a service by BGP, some perhaps twice; `None` where no speaker says
    /// anything of it.
    pub(crate) fn reported_by(&self, service: &ServiceKey) -> Option<impl Iterator<Item = &NodeName>> {
        self.statuses_of(SpeakerResource::MetallbStatuses, service)
    }

    /// The node whose speaker says that it answers ARP and ND for a service; several, while it moves. `None` where no speaker
    /// says anything of it.
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

    /// Its objects are all known.
    pub(crate) fn knows(&self, resource: SpeakerResource) -> bool {
        self.known.contains(&resource)
    }

    /// The objects of a resource; empty until all are known.
    pub(crate) fn objects(&self, resource: SpeakerResource) -> impl Iterator<Item = (&ObjectKey, &SpeakerObject)> {
        self.objects.get(&resource).filter(|_| self.knows(resource)).into_iter().flatten()
    }

    /// One object.
    pub(crate) fn object(&self, resource: SpeakerResource, key: &ObjectKey) -> Option<&SpeakerObject> {
        self.objects.get(&resource).filter(|_| self.knows(resource))?.get(key)
    }

    /// Resources may make it matter who a service is.
    pub(crate) fn has_rules(&self) -> bool {
        !self.known.is_empty()
    }

    /// The address pools of the speaker, by name.
    pub(crate) fn named_pools(&self) -> impl Iterator<Item = (String, &[IpNet])> {
        use SpeakerResource::{CalicoPools, CiliumPools, MetallbPools};
        let objects = [MetallbPools, CiliumPools, CalicoPools].into_iter().flat_map(|resource| self.objects(resource));
        objects.filter_map(|(key, object)| match object {
            SpeakerObject::Pool(pool) => Some((key.name.to_string(), &*pool.prefixes)),
            _ => None,
        })
    }

    /// The addresses the speaker assigns.
    pub(crate) fn pools(&self) -> impl Iterator<Item = IpNet> {
        use SpeakerResource::{CalicoPools, CiliumPools, MetallbPools};
        let objects = [MetallbPools, CiliumPools, CalicoPools].into_iter().flat_map(|resource| self.objects(resource));
        objects.flat_map(|(_, object)| match object {
            SpeakerObject::Pool(pool) => pool.prefixes.iter().copied(),
            _ => [].iter().copied(),
        })
    }
}
