//! Applies the state of the switch and the sources: routes, next-hop groups, network instances, BFD, neighbors, FIB
//! programming.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::cluster::Cluster;
use super::dirty::Dirty;
use super::ids::User;
use super::routes::is_host;
use super::{Facts, clusters_in};
use crate::model::event::{SourceEvent, SwitchEvent, Update};
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::model::switch::{
    Coverage, FibFault, FibKey, Neighbor, NeighborKey, NextHopGroup, Route, RouteKey, RouteTable,
};
use crate::model::time::Now;
use crate::model::verdict::AttachmentState;

impl Facts {
    /// Applies a change of a source's condition, or a sign of life.
    pub(crate) fn set_source(&mut self, now: Now, id: &SourceId, event: &SourceEvent) -> Dirty {
        let mut dirty = Dirty::default();
        self.sources.tell(now, id, event);
        match (id, event) {
            (SourceId::Ndk, SourceEvent::Syncing) => {
                self.switch.begin();
                self.dump.begin(now.elapsed);
            }
            (SourceId::Ndk, SourceEvent::Synced) => {
                self.dump.end();
                self.sweep(&mut dirty);
            }
            (SourceId::Ndk, SourceEvent::Lost(_)) => self.dump.end(),
            // Without gNMI, a current host route outranks the last known neighbors.
            (SourceId::Gnmi, SourceEvent::Synced | SourceEvent::Lost(_)) => self.relocate_all(&mut dirty),
            (SourceId::Kubernetes(name), SourceEvent::Synced | SourceEvent::Lost(_)) => {
                if let Some(cluster) = self.ids.get(name).and_then(|id| self.clusters.get_mut(id)) {
                    cluster.answers = *event == SourceEvent::Synced;
                    let id = cluster.id;
                    dirty.cluster(id);
                    // Clusters that share VIPs with this one wait until it has been read.
                    self.nodes_moved(id, &mut dirty);
                    dirty.all_orphans = true;
                }
            }
            _ => {}
        }
        dirty
    }

    /// Ends the dump of the switch's tables if it is complete.
    pub(crate) fn end_dump(&mut self, now: Now) -> Dirty {
        if !self.dump.is_on() {
            return Dirty::default();
        }
        let counting = self.sources.counting(now.elapsed);
        let used = self.clusters.values().map(|cluster| cluster.config.rules.network_instance.clone()).collect();
        match self.dump.poll(now.elapsed, counting, &used, &self.switch) {
            Some(_) => self.set_source(now, &SourceId::Ndk, &SourceEvent::Synced),
            None => Dirty::default(),
        }
    }

    /// Applies an update of the switch's counts of prefixes with an active route.
    pub(crate) fn set_active_routes(&mut self, update: Update<RouteTable, u64>) -> Dirty {
        self.dump.set_active_routes(update);
        Dirty::default()
    }

    /// Sets what gNMI covers.
    pub(crate) fn set_coverage(&mut self, coverage: Coverage) -> Dirty {
        if self.bgp.set_coverage(coverage) { self.everything() } else { Dirty::default() }
    }

    /// Counts entries that a source sent.
    pub(crate) fn heard(&mut self, now: Now, id: &SourceId, entries: usize) {
        self.sources.heard(now, id, entries);
    }

    fn sweep(&mut self, dirty: &mut Dirty) {
        let swept = self.switch.complete();
        self.users_changed(swept.users, dirty);
        for (name, prefix) in swept.routes {
            self.route_changed(&name, prefix, dirty);
        }
        for address in swept.bfd {
            dirty.nodes.extend(self.addresses.get(&address).into_iter().flatten().copied());
        }
        if swept.applications {
            self.relocate_all(dirty);
        }
        if swept.applications || !swept.instances.is_empty() {
            *dirty |= self.everything();
        }
    }

    /// Applies an event of the switch's own tables.
    pub(crate) fn set_switch(&mut self, event: SwitchEvent) -> Dirty {
        let mut dirty = Dirty::default();
        if !matches!(event, SwitchEvent::Pace(_)) {
            self.dump.heard();
        }
        match event {
            SwitchEvent::NetworkInstance(name, instance) => {
                let gone = instance.is_none();
                if self.switch.set_instance(name, instance) {
                    // Its routes went with it, and VIPs of other network instances may have been found in it.
                    if gone {
                        self.relocate_all(&mut dirty);
                    }
                    dirty |= self.everything();
                }
            }
            SwitchEvent::Routes(name, routes) => self.set_routes(&name, routes, &mut dirty),
            SwitchEvent::NextHopGroups(groups) => {
                for (id, group) in groups {
                    let group = group.map(unmapped);
                    let users = self.switch.set_group(id, group);
                    self.users_changed(users, &mut dirty);
                }
            }
            SwitchEvent::Application(id, name) => {
                if self.switch.set_application(id, name) {
                    self.relocate_all(&mut dirty);
                    dirty |= self.everything();
                }
            }
            SwitchEvent::Bfd(key, state) => {
                if self.switch.set_bfd(&key, state) {
                    dirty.nodes.extend(self.addresses.get(&key.remote).into_iter().flatten().copied());
                }
            }
            SwitchEvent::Pace(pace) => self.dump.paced(Some(pace)),
        }
        dirty
    }

    fn set_routes(&mut self, name: &NetworkInstanceName, routes: Vec<(IpNet, Option<Route>)>, dirty: &mut Dirty) {
        let mut touched = Vec::new();
        let judged = self.sources.get(&SourceId::Ndk).is_some_and(|ndk| ndk.ever_synced);
        let (claims, addresses, clusters) = (&self.claims, &self.addresses, &self.clusters);
        let pooled = |prefix: &IpNet| clusters_in(clusters, name).any(|cluster| cluster.pools_hold(prefix.addr()));
        self.switch.set_routes(name.clone(), routes, |prefix| {
            let host = is_host(&prefix);
            // Before the first sync all VIPs must be judged anyway, but nodes are located at once.
            let mut matters = host && addresses.contains_key(&prefix.addr());
            matters |= clusters.values().any(|cluster| cluster.has_transit_in(&prefix));
            matters |= host && clusters.values().any(|cluster| cluster.peer_addresses.contains(&prefix.addr()));
            if judged && !matters {
                matters = claims.any_inside(prefix, |_| true) || host && pooled(&prefix);
            }
            if matters {
                touched.push(prefix);
            }
        });
        for prefix in touched {
            self.route_changed(name, prefix, dirty);
        }
    }

    fn route_changed(&mut self, name: &NetworkInstanceName, prefix: IpNet, dirty: &mut Dirty) {
        let host = is_host(&prefix);
        if host {
            for id in self.addresses.get(&prefix.addr()).cloned().unwrap_or_default() {
                self.relocate(id, dirty);
            }
            // The route may show that a peer of the speaker is this switch.
            let peering = self.clusters_in(name).filter(|cluster| cluster.peer_addresses.contains(&prefix.addr()));
            peering.for_each(|cluster| dirty.nodes_changed(cluster.id));
            if self.clusters_in(name).any(|cluster| cluster.pools_hold(prefix.addr())) {
                dirty.orphans.insert(RouteKey { network_instance: name.clone(), prefix });
            }
        }
        if prefix.prefix_len() == 0 {
            return;
        }
        // The route may show which leaf transit is behind.
        let with_transit = self.clusters.values().filter(|cluster| cluster.has_transit_in(&prefix));
        with_transit.for_each(|cluster| dirty.services.all_of(cluster.id));
        self.claims.inside(prefix, |vip, services| {
            for id in services {
                let Some(cluster) = self.clusters.get(&id.cluster) else { continue };
                let instance = &cluster.config.rules.network_instance;
                // Once its next-hops are known, a host route that was announced hides every other route from a VIP.
                if host && instance == name || !self.switch.hides_others(instance, vip) {
                    dirty.services.one(*id);
                }
            }
        });
    }

    /// Marks the users of next-hop groups that changed.
    pub(super) fn users_changed(&mut self, mut users: Vec<User>, dirty: &mut Dirty) {
        users.sort_unstable();
        for user in users {
            match user {
                User::Service(id) => dirty.services.one(id),
                User::Node(id) => self.relocate(id, dirty),
                User::Orphan(key) => drop(dirty.orphans.insert(*key)),
            }
        }
    }

    /// Applies an update of BGP neighbors.
    pub(crate) fn set_neighbors(&mut self, update: Update<NeighborKey, Neighbor>) -> Dirty {
        let mut dirty = Dirty::default();
        for change in self.bgp.set_neighbors(update) {
            let nodes = self.addresses.get(&change.key.peer.ip).cloned().unwrap_or_default();
            // The session of a next-hop that is not known as a node's shows whether the next-hop is alive.
            if change.decisive && nodes.is_empty() {
                let instance = &change.key.network_instance;
                let unlocated = |cluster: &&Cluster| {
                    cluster.nodes.iter().any(|(_, node)| node.location.attachment() == AttachmentState::Unknown)
                };
                self.clusters_in(instance).filter(unlocated).for_each(|cluster| dirty.services.all_of(cluster.id));
            }
            for id in nodes {
                let Some(cluster) = self.clusters.get(&id.cluster) else { continue };
                if cluster.config.rules.network_instance != change.key.network_instance {
                    continue;
                }
                dirty.nodes.one(id);
                if change.decisive {
                    dirty.services.all_of(id.cluster);
                    // Routes of other clusters may go by the node as well.
                    self.nodes_moved(id.cluster, &mut dirty);
                    self.relocate(id, &mut dirty);
                }
            }
        }
        dirty
    }

    /// Applies an update of FIB faults.
    pub(crate) fn set_fib(&mut self, update: Update<FibKey, FibFault>) -> Dirty {
        let mut dirty = Dirty::default();
        for key in self.bgp.set_faults(update) {
            self.claims.inside(key.prefix, |_, services| dirty.services.extend(services.iter().copied()));
        }
        dirty
    }
}

/// Replaces IPv4 addresses that are mapped into IPv6 (RFC 4291, section 2.5.5.2) by these IPv4 addresses.
fn unmapped(group: NextHopGroup) -> NextHopGroup {
    if group.next_hops.iter().all(|hop| hop.to_canonical() == *hop) {
        return group;
    }
    let next_hops: BTreeSet<IpAddr> = group.next_hops.iter().map(IpAddr::to_canonical).collect();
    NextHopGroup { next_hops: next_hops.into_iter().collect() }
}
