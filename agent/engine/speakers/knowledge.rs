//! What the speaker's own resources say, and what is made of it.
//!
//! A rule of a resource counts only once its first listing is complete, and only while it may be read: what is not known
//! restricts nobody, so that the profile's rules alone decide, as if the resource did not exist.
//!
//! Direct evidence, the statuses in which MetalLB's speakers say what they announce, beats computation for a service that
//! has at least one of them:
//!
//! * a node with a status announces, whatever is computed;
//! * a node without one does not, unless it is attached here, and the VIP's route uses it or its session is not known to be
//!   established: a speaker that died takes its statuses with it, while FRR may go on announcing. That must neither turn a
//!   lost announcer into one that never was, nor make the route by that node a fault.
//!
//! A service without any status is judged by computation: speakers write statuses a moment after they announce, releases
//! before 0.15 never, and when all speakers are gone all statuses are. Statuses that cannot be listed any more are no
//! evidence, where all else that was known stays known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::super::nodes::NodeEntry;
use super::audience::{AudienceId, Audiences};
use super::{calico, cilium, metallb};
use crate::model::cluster::{Node, Service};
use crate::model::config::Speaker;
use crate::model::event::Update;
use crate::model::names::{NodeName, ServiceKey};
use crate::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};

/// Who announces one VIP of one service, as far as resources say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Reach {
    /// The nodes that may.
    pub(in super::super) audience: AudienceId,
    /// Nobody may, and why.
    pub(in super::super) nobody: Option<Arc<str>>,
    /// Policy Cluster announces only with a usable endpoint, whatever the profile says.
    pub(in super::super) needs_endpoint: bool,
    /// The prefix it is announced as, where that is no host prefix.
    pub(in super::super) aggregate: Option<IpNet>,
    /// Who announces it as a shorter one, which counts where nobody announces this.
    pub(in super::super) shorter: Option<Box<Reach>>,
}

impl Reach {
    fn of(rule: Rule, audiences: &mut Audiences) -> Self {
        Self {
            audience: audiences.id(rule.by.into()),
            nobody: rule.nobody.map(Arc::from),
            needs_endpoint: rule.needs_endpoint,
            aggregate: rule.aggregate.filter(|prefix| prefix.prefix_len() < prefix.max_prefix_len()),
            shorter: rule.shorter.map(|shorter| Box::new(Self::of(*shorter, audiences))),
        }
    }

    /// This and the shorter ones.
    pub(in super::super) fn tiers(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |reach| reach.shorter.as_deref())
    }
}

/// The same, before the set of nodes has a number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// Objects that select the nodes; none for every eligible node.
    pub(super) by: Vec<ObjectKey>,
    pub(super) nobody: Option<String>,
    pub(super) needs_endpoint: bool,
    pub(super) aggregate: Option<IpNet>,
    pub(super) shorter: Option<Box<Rule>>,
}

impl Rule {
    /// Nobody announces it.
    pub(super) fn nobody(why: impl Into<String>) -> Self {
        Self { nobody: Some(why.into()), ..Self::default() }
    }
}

/// A VIP of a service that a rule is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) key: &'a ServiceKey,
    pub(super) service: &'a Service,
    pub(super) vip: IpAddr,
    /// The policy, or what makes it so, is Local.
    pub(super) local: bool,
}

impl Subject<'_> {
    /// The VIP is one of `externalIPs` only.
    pub(super) fn is_external(&self) -> bool {
        !self.service.ingress.contains(&self.vip)
    }
}

/// What the resources of a cluster's speaker say.
#[derive(Debug, Default)]
pub(in super::super) struct Knowledge {
    speaker: Speaker,
    states: BTreeMap<SpeakerResource, ResourceState>,
    /// Resources whose objects are all told.
    known: BTreeSet<SpeakerResource>,
    objects: BTreeMap<SpeakerResource, BTreeMap<ObjectKey, SpeakerObject>>,
    statuses: FxHashMap<ServiceKey, Vec<(NodeName, u64)>>,
}

impl Knowledge {
    pub(in super::super) fn new(speaker: Speaker) -> Self {
        Self { speaker, ..Self::default() }
    }

    /// Whether each resource is followed.
    pub(in super::super) fn states(&self) -> &BTreeMap<SpeakerResource, ResourceState> {
        &self.states
    }

    /// Takes in whether a resource is followed. True when rules may be others now.
    pub(in super::super) fn set_state(&mut self, resource: SpeakerResource, state: ResourceState) -> bool {
        if resource.speaker() != self.speaker {
            return false;
        }
        let changed = match &state {
            ResourceState::Watched => self.known.insert(resource),
            ResourceState::Failed(_) if resource != SpeakerResource::MetallbStatuses => false,
            ResourceState::Absent
            | ResourceState::Forbidden(_)
            | ResourceState::Failed(_)
            | ResourceState::TooMany(_) => {
                self.objects.remove(&resource);
                if resource == SpeakerResource::MetallbStatuses {
                    self.statuses = FxHashMap::default();
                }
                self.known.remove(&resource)
            }
        };
        self.states.insert(resource, state);
        changed
    }

    /// Takes in objects. True when they are others than before.
    pub(in super::super) fn set_objects(
        &mut self,
        resource: SpeakerResource,
        update: Update<ObjectKey, SpeakerObject>,
    ) -> bool {
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

    /// Takes in statuses; gives the services they are about.
    pub(in super::super) fn set_statuses(&mut self, update: Update<StatusKey, ()>) -> BTreeSet<ServiceKey> {
        let mut touched = BTreeSet::new();
        if self.speaker != SpeakerResource::MetallbStatuses.speaker() {
            return touched;
        }
        match update {
            Update::All(all) => {
                touched.extend(std::mem::take(&mut self.statuses).into_keys());
                for (status, ()) in all {
                    touched.insert(status.service.clone());
                    self.statuses.entry(status.service).or_default().push((status.node, status.object));
                }
                self.statuses.values_mut().for_each(Vec::shrink_to_fit);
            }
            Update::Set(StatusKey { service, node, object }, ()) => {
                let said = self.statuses.entry(service.clone()).or_default();
                if !said.iter().any(|(known, digest)| *known == node && *digest == object) {
                    said.push((node, object));
                    touched.insert(service);
                }
            }
            Update::Gone(StatusKey { service, node, object }) => {
                if let Some(said) = self.statuses.get_mut(&service) {
                    said.retain(|(known, digest)| !(*known == node && *digest == object));
                    if said.is_empty() {
                        self.statuses.remove(&service);
                    }
                    touched.insert(service);
                }
            }
        }
        touched
    }

    /// The nodes whose speakers say that they announce a service, some perhaps twice; none where no speaker says anything
    /// of it.
    pub(in super::super) fn said_of(&self, service: &ServiceKey) -> Option<impl Iterator<Item = &NodeName>> {
        let said = self.statuses.get(service).filter(|_| self.knows(SpeakerResource::MetallbStatuses))?;
        Some(said.iter().map(|(node, _)| node))
    }

    /// Its objects are all told.
    pub(super) fn knows(&self, resource: SpeakerResource) -> bool {
        self.known.contains(&resource)
    }

    /// The objects of a resource; none while they are not all told.
    pub(super) fn objects(&self, resource: SpeakerResource) -> impl Iterator<Item = (&ObjectKey, &SpeakerObject)> {
        self.objects.get(&resource).filter(|_| self.knows(resource)).into_iter().flatten()
    }

    /// One object.
    pub(super) fn object(&self, resource: SpeakerResource, key: &ObjectKey) -> Option<&SpeakerObject> {
        self.objects.get(&resource).filter(|_| self.knows(resource))?.get(key)
    }

    /// Who announces a VIP of a service.
    pub(in super::super) fn reach(
        &self,
        audiences: &mut Audiences,
        key: &ServiceKey,
        service: &Service,
        vip: IpAddr,
        local: bool,
    ) -> Reach {
        let subject = Subject { key, service, vip, local };
        let rule = match self.speaker {
            Speaker::Metallb => metallb::rule(self, subject),
            Speaker::Cilium => cilium::rule(self, subject),
            Speaker::Calico => calico::rule(self, subject),
            Speaker::KubeRouter | Speaker::Generic => Rule::default(),
        };
        Reach::of(rule, audiences)
    }

    /// Resources may make it matter who a service is.
    pub(in super::super) fn has_rules(&self) -> bool {
        !self.known.is_empty()
    }

    /// One of these objects selects the node.
    pub(super) fn selects(&self, by: &[ObjectKey], node: &NodeEntry) -> bool {
        match self.speaker {
            Speaker::Metallb => metallb::selects(self, by, &node.node),
            Speaker::Cilium => cilium::selects(self, by, &node.name, &node.node),
            Speaker::Calico | Speaker::KubeRouter | Speaker::Generic => true,
        }
    }

    /// Why a set of nodes has no members: the objects that select none.
    pub(in super::super) fn selects_none(&self, by: &[ObjectKey]) -> Option<String> {
        let kind = match self.speaker {
            Speaker::Metallb => "BGPAdvertisement",
            Speaker::Cilium => "CiliumBGPPeerConfig",
            Speaker::Calico | Speaker::KubeRouter | Speaker::Generic => return None,
        };
        let names: Vec<String> = by.iter().take(4).map(ToString::to_string).collect();
        let more = by.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!by.is_empty()).then(|| format!("{kind} {}{more} selects no node that may announce", names.join(", ")))
    }

    /// What the speaker gives out.
    pub(in super::super) fn pools(&self) -> impl Iterator<Item = IpNet> {
        use SpeakerResource::{CalicoPools, CiliumPools, MetallbPools};
        let objects = [MetallbPools, CiliumPools, CalicoPools].into_iter().flat_map(|resource| self.objects(resource));
        objects.flat_map(|(_, object)| match object {
            SpeakerObject::Pool(pool) => pool.prefixes.iter().copied(),
            _ => [].iter().copied(),
        })
    }

    /// Addresses the speaker's resources say a node speaks from.
    pub(in super::super) fn addresses(&self, name: &NodeName, node: &Node) -> Vec<IpAddr> {
        match self.speaker {
            Speaker::Metallb => metallb::addresses(self, node),
            Speaker::Cilium => cilium::addresses(self, name),
            Speaker::Calico | Speaker::KubeRouter | Speaker::Generic => Vec::new(),
        }
    }
}
