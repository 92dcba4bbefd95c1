//! Who announces a VIP: the union over the services of the cluster that carry it, each by the speaker's rules, its resources,
//! and what the speakers themselves say.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::cluster::{Cluster, ServiceEntry};
use super::evidence::{Session, World};
use super::nodes::{Expectation, NodeEntry};
use super::speakers::{AudienceId, EVERYONE, Reach};
use super::tally::Counted;
use crate::model::verdict::AttachmentState;

/// Announcers for the sake of one service.
enum Announcers {
    /// All of an audience.
    Audience(AudienceId),
    /// These nodes.
    Nodes(BTreeSet<u32>),
}

impl Announcers {
    fn is_empty(&self, cluster: &Cluster) -> bool {
        match self {
            Self::Audience(id) => cluster.audience(*id).is_none_or(|audience| audience.members.is_empty()),
            Self::Nodes(nodes) => nodes.is_empty(),
        }
    }
}

impl World<'_> {
    /// The announcers of a VIP, and what they make expected.
    pub(super) fn announcers(&self, cluster: &Cluster, vip: IpAddr) -> (Counted, Arc<Expectation>) {
        let services = cluster.vips.get(&vip).map(|entry| entry.services.as_slice()).unwrap_or_default();
        let (mut whole, mut some) = (BTreeSet::new(), BTreeSet::new());
        for entry in services.iter().filter_map(|slot| cluster.services.get(*slot)) {
            match self.announcers_for(cluster, entry, vip).0 {
                Announcers::Audience(id) => drop(whole.insert(id)),
                Announcers::Nodes(nodes) => some.extend(nodes),
            }
        }
        // Whoever is in an audience is an eligible node.
        if whole.contains(&EVERYONE) {
            whole = [EVERYONE].into();
        }
        if whole.len() == 1
            && let Some(id) = whole.first().copied()
            && let Some(audience) = cluster.audience(id)
            && some.iter().all(|slot| audience.contains(*slot))
        {
            return (Counted::Audience(id), audience.expectation(vip.is_ipv4()));
        }
        let audiences = whole.into_iter().filter_map(|id| cluster.audience(id));
        some.extend(audiences.flat_map(|audience| &audience.members));
        let nodes: Vec<(u32, &NodeEntry)> =
            some.into_iter().filter_map(|slot| Some((slot, cluster.nodes.get(slot)?))).collect();
        let expectation = Arc::new(Expectation::of(nodes.iter().copied(), vip.is_ipv4()));
        (Counted::Some(nodes.iter().map(|(slot, _)| (*slot, false)).collect()), expectation)
    }

    /// The prefix it is announced as for the sake of one service, where that is no host prefix.
    pub(super) fn aggregate(&self, cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr) -> Option<IpNet> {
        let reach = entry.reach(vip)?;
        let tier = reach.shorter.as_ref().and_then(|_| self.announcers_for(cluster, entry, vip).1);
        tier.unwrap_or(reach).aggregate
    }

    /// Who announces it as the longest prefix that anybody announces it as.
    fn announcers_for<'e>(
        &self,
        cluster: &Cluster,
        entry: &'e ServiceEntry,
        vip: IpAddr,
    ) -> (Announcers, Option<&'e Reach>) {
        let longest = entry.reach(vip);
        let found = self.announcers_as(cluster, entry, vip, longest);
        if found.is_empty(cluster) {
            for reach in longest.into_iter().flat_map(Reach::tiers).skip(1) {
                let found = self.announcers_as(cluster, entry, vip, Some(reach));
                if !found.is_empty(cluster) {
                    return (found, Some(reach));
                }
            }
        }
        (found, longest)
    }

    fn announcers_as(&self, cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr, reach: Option<&Reach>) -> Announcers {
        let computed = computed(cluster, entry, vip, reach);
        let Some(said) = cluster.knowledge.said_of(&entry.key).filter(|_| entry.service.ingress.contains(&vip)) else {
            return computed;
        };
        let mut said: BTreeSet<u32> = said.filter_map(|name| cluster.node_slot(name)).collect();
        // A status does not tell the prefix: of several, the resources do.
        if entry.reach(vip).is_some_and(|reach| reach.shorter.is_some()) {
            let audience = reach.and_then(|reach| cluster.audience(reach.audience));
            said.retain(|slot| audience.is_some_and(|audience| audience.contains(*slot)));
        }
        let unsaid = |slot: &u32| !said.contains(slot);
        let doubtful = |slot: &u32| cluster.nodes.get(*slot).is_some_and(|node| self.may_announce(cluster, node, vip));
        let (mut unsaid, within): (Vec<u32>, bool) = match &computed {
            Announcers::Audience(id) => {
                let members = cluster.audience(*id).map(|audience| audience.members.as_slice()).unwrap_or_default();
                let unsaid: Vec<u32> = members.iter().copied().filter(unsaid).collect();
                let within = said.len() + unsaid.len() == members.len();
                (unsaid, within)
            }
            Announcers::Nodes(nodes) => (nodes.iter().copied().filter(unsaid).collect(), false),
        };
        let missing = unsaid.len();
        unsaid.retain(doubtful);
        if within && unsaid.len() == missing {
            return computed;
        }
        Announcers::Nodes(said.into_iter().chain(unsaid).collect())
    }

    /// A node may announce though its speaker does not say so. Only of one that is attached here it can be told: the route
    /// uses it, or may, or its session is not known to be established; its speaker may be gone, and its statuses with it.
    fn may_announce(&self, cluster: &Cluster, node: &NodeEntry, vip: IpAddr) -> bool {
        let instance = &cluster.config.network_instance;
        let attached = node.location.peers.iter().filter(|peer| peer.attachment == AttachmentState::Attached);
        let mut sessions = attached.map(|peer| self.session(instance, peer.address)).peekable();
        if sessions.peek().is_none() {
            return false;
        }
        let used = self.switch.longest(instance, vip).is_some_and(|found| {
            let group = self.switch.group(found.route.next_hop_group);
            let mut candidates = node.location.candidates.iter().map(|(address, _)| address);
            group.is_none_or(|group| candidates.any(|address| group.next_hops.contains(address)))
        });
        used || !sessions.any(|session| session == Session::Established)
    }
}

/// By the speaker's rules and what its resources select.
fn computed(cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr, reach: Option<&Reach>) -> Announcers {
    let profile = cluster.profile();
    let withheld = profile.withheld(&entry.service).is_some() && !entry.service.external_ips.contains(&vip);
    if withheld || reach.is_some_and(|reach| reach.nobody.is_some()) {
        return Announcers::Nodes(BTreeSet::new());
    }
    let audience = reach.map_or(EVERYONE, |reach| reach.audience);
    let endpoints = entry.endpoints.of_vip(vip);
    if profile.local(&entry.service) {
        let members = cluster.audience(audience);
        let member = |slot: &u32| members.is_some_and(|members| members.contains(*slot));
        return Announcers::Nodes(endpoints.local_announcers.iter().copied().filter(member).collect());
    }
    let needs = reach.is_some_and(|reach| reach.needs_endpoint);
    match profile.announces_with(endpoints.usable) && !(needs && endpoints.usable == 0) {
        true => Announcers::Audience(audience),
        false => Announcers::Nodes(BTreeSet::new()),
    }
}

/// Why nobody announces a VIP, where an annotation or a resource of the speaker keeps it from being announced.
pub(super) fn silence(cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr) -> Option<Arc<str>> {
    if let Some(annotation) = cluster.profile().withheld(&entry.service)
        && !entry.service.external_ips.contains(&vip)
    {
        return Some(format!("annotation {annotation} keeps the address from being announced").into());
    }
    let reach = entry.reach(vip)?;
    if let Some(nobody) = &reach.nobody {
        return Some(Arc::clone(nobody));
    }
    let audiences: Vec<_> = reach.tiers().filter_map(|reach| cluster.audience(reach.audience)).collect();
    let by: Vec<_> = audiences.iter().flat_map(|audience| audience.by()).cloned().collect();
    let nobody = audiences.iter().all(|audience| audience.members.is_empty());
    nobody.then(|| cluster.knowledge.selects_none(&by))?.map(Arc::from)
}
