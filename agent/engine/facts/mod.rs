//! Stores everything the engine knows: the switch's tables, sessions, clusters, nodes, endpoints, claims, counts.
//!
//! Every setter returns what it made [`Dirty`]; nothing else remembers that something changed. The setters for the
//! state of the switch and the sources are in `tables`, those for what operators configured and clusters want in
//! `intent`.

pub(super) mod attachments;
pub(super) mod bgp;
pub(super) mod claims;
pub(super) mod cluster;
pub(super) mod dirty;
mod dump;
pub(super) mod endpoints;
pub(super) mod figures;
mod identities;
pub(super) mod ids;
pub(super) mod inquiry;
mod intent;
pub(super) mod node_sets;
pub(super) mod nodes;
pub(super) mod places;
pub(super) mod routes;
mod slab;
pub(super) mod sources;
pub(super) mod switch;
mod tables;
pub(super) mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::model::adaptation::DumpEnd;
use crate::model::config::Config;
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use crate::model::persistent::Attachment;
use crate::model::switch::{NextHopGroupId, RouteKey};
use crate::model::verdict::Announcement;
use crate::model::view::{NodeView, ServiceView};

use attachments::Attachments;
use bgp::Bgp;
use claims::Claims;
use cluster::Cluster;
use dirty::Dirty;
use dump::Dump;
use identities::Identities;
use ids::{ClusterId, NodeId, ServiceId, User};
use inquiry::Inquiries;
use sources::{NdkPhase, Sources};
use switch::Switch;
use tally::Contribution;

/// All facts.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    config: Option<Arc<Config>>,
    sources: Sources,
    switch: Switch,
    bgp: Bgp,
    dump: Dump,
    /// Enabled clusters.
    clusters: BTreeMap<ClusterId, Cluster>,
    ids: BTreeMap<ClusterName, ClusterId>,
    next_id: ClusterId,
    claims: Claims,
    /// Nodes by candidate address, across all clusters.
    addresses: FxHashMap<IpAddr, Vec<NodeId>>,
    attachments: Attachments,
    inquiries: Inquiries,
    identities: Identities,
    /// Nodes of which another address has become a next-hop of a VIP.
    carriers: Vec<NodeId>,
}

impl Facts {
    pub(crate) fn config(&self) -> Option<&Arc<Config>> {
        self.config.as_ref()
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn switch(&self) -> &Switch {
        &self.switch
    }

    pub(crate) fn bgp(&self) -> &Bgp {
        &self.bgp
    }

    /// Returns the enabled clusters.
    pub(crate) fn clusters(&self) -> &BTreeMap<ClusterId, Cluster> {
        &self.clusters
    }

    /// Returns the enabled cluster with a name.
    pub(crate) fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters.get(self.ids.get(name)?)
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    pub(crate) fn inquiries(&self) -> &Inquiries {
        &self.inquiries
    }

    pub(crate) fn attachments(&self) -> &BTreeSet<Attachment> {
        self.attachments.all()
    }

    /// Returns what ended the last dump of the switch's tables.
    pub(crate) fn end_of_dump(&self) -> Option<DumpEnd> {
        self.dump.ended
    }

    /// Returns when time alone will next change the facts.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let moments = [self.sources.deadline(now), self.switch.next_give_up(now), self.dump.deadline(now)];
        moments.into_iter().flatten().min()
    }

    /// Returns whether the switch's tables are being resynchronized while verdicts by the former tables remain valid.
    pub(crate) fn is_told_anew(&self, now: Duration) -> bool {
        self.dump.is_on() && self.sources.phase(now).ndk == NdkPhase::Live
    }

    /// Marks everything.
    pub(crate) fn everything(&self) -> Dirty {
        let node_sets = self.clusters.keys().copied().collect();
        let mut dirty = Dirty { all_orphans: true, node_sets, ..Dirty::default() };
        self.clusters.keys().for_each(|id| dirty.cluster(*id));
        dirty
    }

    /// Returns the users of next-hop groups that were given up between two moments.
    pub(crate) fn given_up(&mut self, before: Duration, now: Duration) -> Dirty {
        let mut dirty = Dirty::default();
        let users = self.switch.gave_up(before, now);
        self.users_changed(users, &mut dirty);
        dirty
    }

    /// Works out what many evaluations share: the endpoints of services, and who announces what. Adds to `dirty` the
    /// nodes that join or leave a set.
    pub(crate) fn derive(&mut self, dirty: &mut Dirty) {
        let clusters = &mut self.clusters;
        for id in dirty.endpoints.take(|id| services_of(clusters, id)) {
            if let Some(cluster) = clusters.get_mut(&id.cluster) {
                cluster.count_endpoints(id.slot);
            }
        }
        for id in dirty.announcements.take(|id| services_of(clusters, id)) {
            if let Some(cluster) = clusters.get_mut(&id.cluster)
                && cluster.look_up_announcers(id.slot)
            {
                dirty.node_sets.insert(id.cluster);
            }
        }
        for id in std::mem::take(&mut dirty.node_sets) {
            if let Some(cluster) = clusters.get_mut(&id) {
                let moved = cluster.fill_node_sets(&self.switch);
                dirty.nodes.extend(moved.into_iter().map(|slot| NodeId { cluster: id, slot }));
            }
        }
    }

    /// Notes what an evaluation of a service read and counted, and its view, which is now the published one.
    pub(crate) fn evaluated(
        &mut self,
        id: ServiceId,
        read: Read,
        view: Option<Arc<ServiceView>>,
        now: Duration,
    ) -> Dirty {
        let mut dirty = Dirty::default();
        let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return dirty };
        for (vip, contribution) in read.contributions {
            cluster.contribute(vip, contribution, &mut dirty);
        }
        for (vip, announced) in read.announced {
            let Some(entry) = cluster.vips.get_mut(&vip) else { continue };
            let changed = entry.announced.replace(announced) != Some(announced);
            // What the route shows for one service is true for all that share the VIP.
            if changed && self.claims.of(vip).len() > 1 {
                dirty.vips.insert(vip);
            }
        }
        for (slot, address) in read.carriers {
            if let Some(node) = cluster.nodes.get_mut(slot).filter(|node| !node.carried.contains(&address)) {
                node.carried.push(address);
                self.carriers.push(NodeId { cluster: id.cluster, slot });
            }
        }
        let Some(entry) = cluster.services.get_mut(id.slot) else { return dirty };
        let changed = entry.groups != read.groups;
        if changed {
            self.switch.look_at(&User::Service(id), &entry.groups, &read.groups);
        }
        self.switch.wait_for(&read.groups, now);
        if changed {
            entry.groups = read.groups;
        }
        if let Some(view) = view {
            cluster.publish(id.slot, Some(view));
        }
        dirty
    }

    /// Locates again the nodes of which another address was seen to carry VIPs: that shows which session is the node's
    /// own.
    pub(crate) fn place_carriers(&mut self) -> Dirty {
        let mut dirty = Dirty::default();
        for id in std::mem::take(&mut self.carriers) {
            self.relocate(id, &mut dirty);
        }
        dirty
    }

    /// Notes the next-hops of VIPs that depend on where pods are; `heard` is when the cluster was last heard.
    pub(crate) fn note_courses(
        &mut self,
        cluster: ClusterId,
        courses: Vec<(IpAddr, Arc<[IpAddr]>)>,
        now: Duration,
        heard: Duration,
    ) {
        let Some(cluster) = self.clusters.get_mut(&cluster) else { return };
        for (vip, next_hops) in courses {
            cluster.vips.get_mut(&vip).into_iter().for_each(|entry| entry.course.note(&next_hops, now, heard));
        }
    }

    /// Ends an evaluation: everything that was dirty has been looked at.
    pub(crate) fn looked_at(&mut self) {
        self.switch.leave();
    }

    /// Notes the published view of a node.
    pub(crate) fn publish_node(&mut self, id: NodeId, view: Arc<NodeView>) {
        let entry = self.clusters.get_mut(&id.cluster).and_then(|cluster| cluster.nodes.get_mut(id.slot));
        if let Some(entry) = entry {
            entry.view = Some(view);
        }
    }

    /// Notes that an orphan is read from another group than before.
    pub(crate) fn orphan_reads(
        &mut self,
        key: &RouteKey,
        before: Option<NextHopGroupId>,
        after: Option<NextHopGroupId>,
    ) {
        let user = User::Orphan(Box::new(key.clone()));
        self.switch.look_at(&user, before.as_slice(), after.as_slice());
    }

    /// Assigns the published view of a service that went away to a service of the same name that has come since.
    /// Returns the view if no such service exists.
    pub(crate) fn take_back_service(
        &mut self,
        cluster: &ClusterName,
        key: &ServiceKey,
        view: Arc<ServiceView>,
    ) -> Option<Arc<ServiceView>> {
        let Some(cluster) = self.ids.get(cluster).and_then(|id| self.clusters.get_mut(id)) else { return Some(view) };
        let slot = cluster.service_slots.get(key).copied();
        match slot.filter(|slot| cluster.services.get(*slot).is_some_and(|entry| entry.vips.is_some())) {
            Some(slot) => {
                cluster.publish(slot, Some(view));
                None
            }
            None => Some(view),
        }
    }

    /// Does the same for a node. Returns whether such a node exists.
    pub(crate) fn take_back_node(&mut self, cluster: &ClusterName, name: &NodeName, view: Arc<NodeView>) -> bool {
        let Some(cluster) = self.ids.get(cluster).and_then(|id| self.clusters.get_mut(id)) else { return false };
        let entry = cluster.node_slots.get(name).copied().and_then(|slot| cluster.nodes.get_mut(slot));
        entry.map(|entry| entry.view = Some(view)).is_some()
    }

    /// Returns the clusters whose VIPs are in a network instance.
    pub(crate) fn clusters_in<'a>(&'a self, instance: &'a NetworkInstanceName) -> impl Iterator<Item = &'a Cluster> {
        clusters_in(&self.clusters, instance)
    }
}

/// What an evaluation of a service read and counted.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Next-hop groups that the evaluation looked at, in order.
    pub(crate) groups: Vec<NextHopGroupId>,
    /// What each of its VIPs adds to the counts of nodes.
    pub(crate) contributions: Vec<(IpAddr, Option<Contribution>)>,
    /// How its VIPs are seen to be announced.
    pub(crate) announced: Vec<(IpAddr, Announcement)>,
    /// Nodes of which an address is a next-hop of one of its VIPs for the first time.
    pub(crate) carriers: Vec<(u32, IpAddr)>,
}

/// Returns those of `clusters` whose VIPs are in a network instance.
pub(crate) fn clusters_in<'a>(
    clusters: &'a BTreeMap<ClusterId, Cluster>,
    instance: &'a NetworkInstanceName,
) -> impl Iterator<Item = &'a Cluster> {
    clusters.values().filter(move |cluster| cluster.config.rules.network_instance == *instance)
}

fn services_of(clusters: &BTreeMap<ClusterId, Cluster>, id: ClusterId) -> Vec<ServiceId> {
    clusters.get(&id).into_iter().flat_map(Cluster::service_ids).collect()
}
