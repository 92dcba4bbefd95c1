//! Determines who announces a VIP: the union over the services of the cluster that carry it, each by the speaker's
//! rules, its resources, and what the speakers themselves report.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::evidence::{Session, World};
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::node_sets::{EVERYONE, NodeSetId, VipAnnouncement};
use crate::engine::facts::nodes::{Expectation, NodeEntry, Way};
use crate::engine::facts::tally::Counted;
use crate::engine::speakers;
use crate::model::verdict::AttachmentState;

/// Announcers of a VIP for one service.
enum Announcers {
    /// All members of a set.
    Set(NodeSetId),
    /// These nodes.
    Nodes(BTreeSet<u32>),
}

impl Announcers {
    fn is_empty(&self, cluster: &Cluster) -> bool {
        match self {
            Self::Set(id) => cluster.node_set(*id).is_none_or(|node_set| node_set.members.is_empty()),
            Self::Nodes(nodes) => nodes.is_empty(),
        }
    }
}

/// Returns the announcers of a VIP, and what they make expected.
pub(crate) fn announcers(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> (Counted, Arc<Expectation>) {
    // A node's own address is not announced: that node's own route leads to it.
    let owners = cluster.at_address(vip);
    if !owners.is_empty() {
        let nodes = owners.iter().filter_map(|slot| Some((*slot, cluster.nodes.get(*slot)?)));
        let nodes = nodes.map(|(slot, node)| (slot, node, Way::Own));
        return (Counted::Nodes(Box::default()), Arc::new(Expectation::of(nodes)));
    }
    world.shared.announcers(cluster, vip, || union(world, cluster, vip))
}

/// Returns the union over the services that carry the VIP. If it is a load balancer's, services of other namespaces that
/// only name it in externalIPs do not count: anybody may do that, and must not change what is expected of the VIP.
fn union(world: &World<'_>, cluster: &Cluster, vip: IpAddr) -> (Counted, Arc<Expectation>) {
    let assigned = cluster.carrying(vip).filter(|entry| entry.is_assigned(vip));
    let namespaces: BTreeSet<&str> = assigned.map(|entry| &*entry.key.namespace).collect();
    let counts = |entry: &&ServiceEntry| namespaces.is_empty() || namespaces.contains(&*entry.key.namespace);
    let mut whole = BTreeSet::new();
    let mut some = BTreeMap::<u32, Way>::new();
    for entry in cluster.carrying(vip).filter(counts) {
        match announcers_for(world, cluster, entry, vip) {
            (Announcers::Set(id), _) => drop(whole.insert(id)),
            (Announcers::Nodes(nodes), announcement) => {
                let set = cluster.node_set(announcement.map_or(EVERYONE, |announcement| announcement.node_set));
                let way = |slot| set.map(|set| set.way(slot)).unwrap_or_default();
                nodes.into_iter().for_each(|slot| add(&mut some, slot, way(slot)));
            }
        }
    }
    // The members of every set are eligible nodes.
    if whole.contains(&EVERYONE) {
        whole = [EVERYONE].into();
    }
    if whole.len() == 1
        && let Some(id) = whole.first().copied()
        && let Some(node_set) = cluster.node_set(id)
        && some.iter().all(|(slot, way)| node_set.contains(*slot) && *way <= node_set.way(*slot))
    {
        return (Counted::NodeSet(id), node_set.expectation());
    }
    let node_sets = whole.into_iter().filter_map(|id| cluster.node_set(id));
    for node_set in node_sets {
        node_set.members.iter().for_each(|slot| add(&mut some, *slot, node_set.way(*slot)));
    }
    let nodes: Vec<(u32, &NodeEntry, Way)> =
        some.into_iter().filter_map(|(slot, way)| Some((slot, cluster.nodes.get(slot)?, way))).collect();
    let expectation = Arc::new(Expectation::of(nodes.iter().copied()));
    (
        Counted::Nodes(nodes.iter().filter(|(.., way)| *way == Way::Own).map(|(slot, ..)| (*slot, false)).collect()),
        expectation,
    )
}

/// Adds an announcer. Of several ways, the best counts.
fn add(announcers: &mut BTreeMap<u32, Way>, slot: u32, way: Way) {
    let best = announcers.entry(slot).or_insert(way);
    *best = way.max(*best);
}

/// Returns the prefix that the VIP is announced as for one service, unless that is a host prefix.
pub(crate) fn aggregate(world: &World<'_>, cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr) -> Option<IpNet> {
    let announcement = entry.announcement(vip)?;
    let tier = announcement.shorter.as_ref().and_then(|_| announcers_for(world, cluster, entry, vip).1);
    tier.unwrap_or(announcement).aggregate()
}

/// Returns who announces the VIP as the longest prefix that anybody announces it as, and that announcement.
fn announcers_for<'e>(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &'e ServiceEntry,
    vip: IpAddr,
) -> (Announcers, Option<&'e VipAnnouncement>) {
    let longest = entry.announcement(vip);
    let found = announcers_as(world, cluster, entry, vip, longest);
    if found.is_empty(cluster) {
        for announcement in longest.into_iter().flat_map(VipAnnouncement::with_fallbacks).skip(1) {
            let found = announcers_as(world, cluster, entry, vip, Some(announcement));
            if !found.is_empty(cluster) {
                return (found, Some(announcement));
            }
        }
    }
    (found, longest)
}

fn announcers_as(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &ServiceEntry,
    vip: IpAddr,
    announcement: Option<&VipAnnouncement>,
) -> Announcers {
    if cluster.profile().withheld(&entry.service, vip).is_some() {
        return Announcers::Nodes(BTreeSet::new());
    }
    let computed = match cluster.profile().by_proxy(&entry.service) && cluster.profile().local(&entry.service) {
        true => Announcers::Nodes(used_of(world, cluster, vip, announcement)),
        false => computed(cluster, entry, vip, announcement),
    };
    let Some(reported) = cluster.resources.reported_by(&entry.key).filter(|_| entry.service.ingress.contains(&vip))
    else {
        return computed;
    };
    let mut reported: BTreeSet<u32> = reported.filter_map(|name| cluster.node_slot(name)).collect();
    // A status does not name the prefix. If there are several, the resources tell which nodes announce this one.
    if entry.announcement(vip).is_some_and(|announcement| announcement.shorter.is_some()) {
        let node_set = announcement.and_then(|announcement| cluster.node_set(announcement.node_set));
        reported.retain(|slot| node_set.is_some_and(|node_set| node_set.contains(*slot)));
    }
    let unreported = |slot: &u32| !reported.contains(slot);
    let doubtful = |slot: &u32| cluster.nodes.get(*slot).is_some_and(|node| may_announce(world, cluster, node, vip));
    let (mut unreported, within): (Vec<u32>, bool) = match &computed {
        Announcers::Set(id) => {
            let members = cluster.node_set(*id).map(|node_set| node_set.members.as_slice()).unwrap_or_default();
            let unreported: Vec<u32> = members.iter().copied().filter(unreported).collect();
            let within = reported.len() + unreported.len() == members.len();
            (unreported, within)
        }
        Announcers::Nodes(nodes) => (nodes.iter().copied().filter(unreported).collect(), false),
    };
    let missing = unreported.len();
    unreported.retain(doubtful);
    if within && unreported.len() == missing {
        return computed;
    }
    Announcers::Nodes(reported.into_iter().chain(unreported).collect())
}

/// Returns the nodes of a set that the VIP's route uses, since nothing shows which other nodes' proxies announce it. A
/// next-hop that is not known as a node's may be any node that no session and no other leaf shows.
fn used_of(world: &World<'_>, cluster: &Cluster, vip: IpAddr, announcement: Option<&VipAnnouncement>) -> BTreeSet<u32> {
    let found = world.switch.longest(&cluster.config.rules.network_instance, vip);
    let group = found.and_then(|found| world.switch.group(found.route.next_hop_group));
    let hops = group.map(|group| &*group.next_hops).unwrap_or_default();
    let set = cluster.node_set(announcement.map_or(EVERYONE, |announcement| announcement.node_set));
    let used = hops.iter().flat_map(|hop| cluster.at_next_hop(*hop).iter().chain(cluster.at_vtep(*hop)));
    let strange = hops.iter().any(|hop| !cluster.has_behind(*hop));
    let unseen = cluster.places.unattached().filter(|_| strange);
    let all = used.copied().chain(unseen);
    all.filter(|slot| set.is_some_and(|set| set.contains(*slot))).collect()
}

/// Returns whether a node may announce although its speaker does not report it. This can be seen only of a node
/// attached here: the route uses it, or may use it, or no session with it is known to be established, so that its
/// speaker may be gone, and its statuses with it.
fn may_announce(world: &World<'_>, cluster: &Cluster, node: &NodeEntry, vip: IpAddr) -> bool {
    let instance = &cluster.config.rules.network_instance;
    let attached = node.location.peers.iter().filter(|peer| peer.attachment == AttachmentState::Attached);
    let mut sessions = attached.map(|peer| world.session(instance, peer.address)).peekable();
    if sessions.peek().is_none() {
        return false;
    }
    let used = world.switch.longest(instance, vip).is_some_and(|found| {
        let group = world.switch.group(found.route.next_hop_group);
        let mut candidates = node.location.candidates.iter().map(|(address, _)| address);
        group.is_none_or(|group| candidates.any(|address| group.next_hops.contains(address)))
    });
    used || !sessions.any(|session| session == Session::Established)
}

/// Returns the announcers by the speaker's rules and by what its resources select.
fn computed(
    cluster: &Cluster,
    entry: &ServiceEntry,
    vip: IpAddr,
    announcement: Option<&VipAnnouncement>,
) -> Announcers {
    let profile = cluster.profile();
    if announcement.is_some_and(|announcement| announcement.nobody.is_some()) {
        return Announcers::Nodes(BTreeSet::new());
    }
    let node_set = announcement.map_or(EVERYONE, |announcement| announcement.node_set);
    let endpoints = entry.endpoints.of_vip(vip);
    if let Some(host) = profile.elected(&entry.service) {
        return Announcers::Nodes(cluster.node_slot(host).into_iter().collect());
    }
    if profile.local(&entry.service) {
        let members = cluster.node_set(node_set);
        let member = |slot: &u32| members.is_some_and(|members| members.contains(*slot));
        return Announcers::Nodes(endpoints.local_announcers.iter().copied().filter(member).collect());
    }
    let needs = announcement.is_some_and(|announcement| announcement.needs_endpoint);
    match profile.announces_with(endpoints.announced_for) && !(needs && endpoints.announced_for == 0) {
        true => Announcers::Set(node_set),
        false => Announcers::Nodes(BTreeSet::new()),
    }
}

/// Returns why no node announces a VIP here, if all announcers are attached here and announce to other switches only.
pub(crate) fn elsewhere(cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr) -> Option<Arc<str>> {
    let mut tiers = entry.announcement(vip)?.with_fallbacks();
    let node_set = tiers.find_map(|tier| cluster.node_set(tier.node_set).filter(|set| !set.members.is_empty()))?;
    speakers::goes_elsewhere(&cluster.resources, node_set.by()).map(Arc::from)
}

/// Returns why nobody announces a VIP, if an annotation or a resource of the speaker prevents it.
pub(crate) fn silence(cluster: &Cluster, entry: &ServiceEntry, vip: IpAddr) -> Option<Arc<str>> {
    if let Some(why) = cluster.profile().withheld(&entry.service, vip) {
        return Some(why.into());
    }
    if let Some(host) = cluster.profile().elected(&entry.service).filter(|host| cluster.node_slot(host).is_none()) {
        return Some(format!("kube-vip.io/vipHost names {host}, which is not a node of the cluster").into());
    }
    let announcement = entry.announcement(vip)?;
    if let Some(nobody) = &announcement.nobody {
        return Some(Arc::clone(nobody));
    }
    let node_sets: Vec<_> =
        announcement.with_fallbacks().filter_map(|announcement| cluster.node_set(announcement.node_set)).collect();
    let by: Vec<_> = node_sets.iter().flat_map(|node_set| node_set.by()).cloned().collect();
    let nobody = node_sets.iter().all(|node_set| node_set.members.is_empty());
    nobody.then(|| speakers::selects_none(&cluster.resources, &by))?.map(Arc::from)
}
