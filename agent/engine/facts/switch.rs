//! Stores the switch's own tables, as the NDK streams them: network instances, routes, next-hop groups, applications,
//! BFD.
//!
//! A dump starts a generation. Entries that it does not repeat stay in force until the dump is complete, and are then
//! removed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustc_hash::{FxHashMap, FxHashSet};

use super::dump::Received;
use super::ids::User;
use super::routes::{Attributes, Found, Routes};
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{BfdKey, BfdState, NetworkInstance, NextHopGroup, NextHopGroupId, Route, RouteTable};

/// Owner of routes from EVPN.
pub(crate) const EVPN_OWNER: &str = "bgp_evpn_mgr";
/// Owner of routes from BGP.
pub(crate) const BGP_OWNER: &str = "bgp_mgr";
/// Owner of host routes of neighbors in ARP or ND tables.
pub(crate) const ARP_ND_OWNER: &str = "arp_nd_mgr";
/// Owner of the subnets and addresses of this leaf's own interfaces.
pub(crate) const INTERFACE_OWNER: &str = "net_inst_mgr";
/// Owner of static routes.
pub(crate) const STATIC_OWNER: &str = "static_route_mgr";

/// How long a route may name an unknown group before its last known next-hops are given up.
pub(crate) const GROUP_WAIT: Duration = Duration::from_secs(15);

#[derive(Debug)]
struct Stamped<T> {
    value: T,
    generation: u8,
}

/// The switch's own tables.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    generation: u8,
    instances: BTreeMap<NetworkInstanceName, Stamped<NetworkInstance>>,
    routes: BTreeMap<NetworkInstanceName, Routes>,
    attributes: Attributes,
    groups: FxHashMap<NextHopGroupId, Stamped<NextHopGroup>>,
    applications: FxHashMap<u32, Stamped<Arc<str>>>,
    bfd: FxHashMap<(u32, IpAddr), BTreeMap<IpAddr, Stamped<BfdState>>>,
    /// Users that looked at each group, known or not.
    users: FxHashMap<NextHopGroupId, FxHashSet<User>>,
    /// Groups that routes name but that were not received, and since when.
    missing: FxHashMap<NextHopGroupId, Duration>,
    /// Groups that their last user has left.
    left: Vec<NextHopGroupId>,
}

/// What a sweep removed.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) instances: Vec<NetworkInstanceName>,
    pub(crate) routes: Vec<(NetworkInstanceName, IpNet)>,
    pub(crate) users: Vec<User>,
    pub(crate) applications: bool,
    pub(crate) bfd: Vec<IpAddr>,
}

impl Received for Switch {
    fn received(&self, table: &RouteTable) -> u64 {
        self.routes.get(&table.network_instance).map_or(0, |routes| routes.received(table.family))
    }

    fn is_whole(&self, instance: &NetworkInstanceName) -> bool {
        let now = self.generation;
        let group = |id: NextHopGroupId| id.0 == 0 || self.groups.get(&id).is_some_and(|entry| entry.generation == now);
        let owner = |id: u32| self.applications.get(&id).is_some_and(|entry| entry.generation == now);
        let mut names = self.routes.get(instance).into_iter().flat_map(|routes| routes.names(now, &self.attributes));
        self.instances.get(instance).is_some_and(|entry| entry.generation == now)
            && names.all(|(next_hops, application)| group(next_hops) && owner(application))
    }
}

impl Switch {
    /// Starts a generation.
    pub(crate) fn begin(&mut self) {
        self.routes.values_mut().for_each(Routes::begin);
        if self.generation < u8::MAX {
            self.generation += 1;
            return;
        }
        self.routes.values_mut().for_each(Routes::age);
        self.instances.values_mut().for_each(|entry| entry.generation = 0);
        self.groups.values_mut().for_each(|entry| entry.generation = 0);
        self.applications.values_mut().for_each(|entry| entry.generation = 0);
        self.bfd.values_mut().flat_map(BTreeMap::values_mut).for_each(|entry| entry.generation = 0);
        self.generation = 1;
    }

    /// Removes what the current generation did not bring.
    pub(crate) fn complete(&mut self) -> Swept {
        let now = self.generation;
        let mut swept = Swept::default();
        self.instances.retain(|name, entry| {
            let keep = entry.generation == now;
            if !keep {
                swept.instances.push(name.clone());
            }
            keep
        });
        for (name, routes) in &mut self.routes {
            let gone = routes.sweep(now, &mut self.attributes);
            swept.routes.extend(gone.into_iter().map(|prefix| (name.clone(), prefix)));
        }
        let users = &self.users;
        self.groups.retain(|id, entry| {
            let keep = entry.generation == now;
            if !keep {
                swept.users.extend(users.get(id).into_iter().flatten().cloned());
            }
            keep
        });
        let before = self.applications.len();
        self.applications.retain(|_, entry| entry.generation == now);
        swept.applications = before != self.applications.len();
        self.bfd.retain(|(_, remote), sessions| {
            let before = sessions.len();
            sessions.retain(|_, entry| entry.generation == now);
            if before != sessions.len() {
                swept.bfd.push(*remote);
            }
            !sessions.is_empty()
        });
        swept
    }

    /// Sets or removes a network instance. Returns whether it changed, or its routes went with it.
    pub(crate) fn set_instance(&mut self, name: NetworkInstanceName, instance: Option<NetworkInstance>) -> bool {
        let generation = self.generation;
        match instance {
            Some(value) => {
                let old = self.instances.insert(name, Stamped { value: value.clone(), generation });
                old.is_none_or(|old| old.value != value)
            }
            None => {
                // Its routes go with it: the stream does not remove them one by one.
                let routes = self.routes.remove(&name).map(|mut routes| routes.clear(&mut self.attributes));
                // Routes may arrive before their instance; then only they are removed.
                self.instances.remove(&name).is_some() || routes.is_some()
            }
        }
    }

    /// Returns the names of all network instances, in order.
    pub(crate) fn instance_names(&self) -> Vec<NetworkInstanceName> {
        let mut names: Vec<_> = self.instances.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn instance(&self, name: &NetworkInstanceName) -> Option<&NetworkInstance> {
        self.instances.get(name).map(|entry| &entry.value)
    }

    /// Applies routes; calls `changed` for each prefix whose route changed.
    pub(crate) fn set_routes(
        &mut self,
        name: NetworkInstanceName,
        routes: Vec<(IpNet, Option<Route>)>,
        mut changed: impl FnMut(IpNet),
    ) {
        let table = self.routes.entry(name).or_default();
        for (prefix, route) in routes {
            if table.set(prefix, route, &mut self.attributes, self.generation) {
                changed(prefix);
            }
        }
    }

    pub(crate) fn host(&self, name: &NetworkInstanceName, address: IpAddr) -> Option<Route> {
        self.routes.get(name)?.host(address, &self.attributes)
    }

    /// Returns whether an address has a host route of its own with known next-hops. A host route that this leaf made
    /// itself (ARP or ND) does not count: there the subnet decides whether it may be a VIP's.
    pub(crate) fn hides_others(&self, name: &NetworkInstanceName, address: IpAddr) -> bool {
        self.host(name, address)
            .is_some_and(|route| self.group(route.next_hop_group).is_some() && !self.is_connected(&route))
    }

    pub(crate) fn longest(&self, name: &NetworkInstanceName, address: IpAddr) -> Option<Found> {
        self.routes.get(name)?.longest(address, &self.attributes)
    }

    /// Returns the longest match of an address without host routes: the subnet that it is in, as known to this leaf.
    pub(crate) fn subnet(&self, name: &NetworkInstanceName, address: IpAddr) -> Option<Found> {
        self.routes.get(name)?.subnet(address, &self.attributes)
    }

    /// Returns the prefixes that cover an address, without its host route and the default route.
    pub(crate) fn covering(&self, name: &NetworkInstanceName, address: IpAddr) -> Vec<IpNet> {
        self.routes.get(name).map(|routes| routes.covering(address)).unwrap_or_default()
    }

    pub(crate) fn hosts(&self, name: &NetworkInstanceName, which: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
        self.routes.get(name).map(|routes| routes.hosts(which)).unwrap_or_default()
    }

    /// Returns every other network instance that has a match for the address, by name.
    pub(crate) fn elsewhere<'a>(
        &'a self,
        name: &'a NetworkInstanceName,
        address: IpAddr,
    ) -> impl Iterator<Item = (&'a NetworkInstanceName, Found)> {
        let others = self.routes.iter().filter(move |(other, _)| *other != name);
        others.filter_map(move |(other, routes)| Some((other, routes.longest(address, &self.attributes)?)))
    }

    /// Sets or removes a group; returns its users if it changed.
    pub(crate) fn set_group(&mut self, id: NextHopGroupId, group: Option<NextHopGroup>) -> Vec<User> {
        let changed = match group {
            Some(value) => {
                self.missing.remove(&id);
                match self.groups.get_mut(&id) {
                    Some(entry) if entry.value == value => {
                        entry.generation = self.generation;
                        false
                    }
                    _ => {
                        self.groups.insert(id, Stamped { value, generation: self.generation });
                        true
                    }
                }
            }
            None => self.groups.remove(&id).is_some(),
        };
        if changed { self.users.get(&id).into_iter().flatten().cloned().collect() } else { Vec::new() }
    }

    pub(crate) fn group(&self, id: NextHopGroupId) -> Option<&NextHopGroup> {
        self.groups.get(&id).map(|entry| &entry.value)
    }

    /// Notes which groups a user looks at, instead of `before`.
    pub(crate) fn look_at(&mut self, user: &User, before: &[NextHopGroupId], groups: &[NextHopGroupId]) {
        for id in before.iter().filter(|id| !groups.contains(id)) {
            if let Some(users) = self.users.get_mut(id) {
                users.remove(user);
                if users.is_empty() {
                    self.users.remove(id);
                    self.left.push(*id);
                }
            }
        }
        for id in groups.iter().filter(|id| !before.contains(id)) {
            self.users.entry(*id).or_default().insert(user.clone());
        }
    }

    /// Ends the wait for groups without users. Must run after all have looked, so that a user that comes to a group
    /// another has left does not start the wait again.
    pub(crate) fn leave(&mut self) {
        for id in std::mem::take(&mut self.left) {
            if !self.users.contains_key(&id) {
                self.missing.remove(&id);
            }
        }
    }

    /// Notes that unknown groups are waited for, from `now` unless they already are.
    pub(crate) fn wait_for(&mut self, groups: &[NextHopGroupId], now: Duration) {
        for id in groups.iter().filter(|id| !self.groups.contains_key(id)) {
            self.missing.entry(*id).or_insert(now);
        }
    }

    /// Returns whether the wait for a group is over.
    pub(crate) fn given_up(&self, id: NextHopGroupId, now: Duration) -> bool {
        self.missing.get(&id).is_some_and(|since| now >= *since + GROUP_WAIT)
    }

    /// Returns the users of groups whose wait ended between two moments.
    pub(crate) fn gave_up(&self, before: Duration, now: Duration) -> Vec<User> {
        let late = self.missing.iter().filter(|(_, since)| {
            let at = **since + GROUP_WAIT;
            before < at && at <= now
        });
        late.flat_map(|(id, _)| self.users.get(id).into_iter().flatten().cloned()).collect()
    }

    /// Returns when the next wait for a group ends.
    pub(crate) fn next_give_up(&self, now: Duration) -> Option<Duration> {
        self.missing.values().map(|since| *since + GROUP_WAIT).filter(|at| *at > now).min()
    }

    /// Sets or removes the name of an application. Returns whether it changed.
    pub(crate) fn set_application(&mut self, id: u32, name: Option<Arc<str>>) -> bool {
        match name {
            Some(value) => {
                let old = self.applications.insert(id, Stamped { value: value.clone(), generation: self.generation });
                old.is_none_or(|old| old.value != value)
            }
            None => self.applications.remove(&id).is_some(),
        }
    }

    pub(crate) fn owner(&self, route: &Route) -> Option<&Arc<str>> {
        self.applications.get(&route.owner).map(|entry| &entry.value)
    }

    pub(crate) fn owned_by(&self, route: &Route, owner: &str) -> bool {
        self.owner(route).is_some_and(|name| &**name == owner)
    }

    /// Returns whether the switch has the route from its own interfaces: a neighbor in ARP or ND, an address or a
    /// subnet. Speakers do not announce these.
    pub(crate) fn is_connected(&self, route: &Route) -> bool {
        self.owned_by(route, ARP_ND_OWNER) || self.owned_by(route, INTERFACE_OWNER)
    }

    /// Returns whether an address is one of the switch itself.
    pub(crate) fn has_address(&self, name: &NetworkInstanceName, address: IpAddr) -> bool {
        self.host(name, address).is_some_and(|route| self.owned_by(&route, INTERFACE_OWNER))
    }

    /// Returns whether an address answers ARP or ND here.
    pub(crate) fn answers(&self, name: &NetworkInstanceName, address: IpAddr) -> bool {
        self.host(name, address).is_some_and(|route| self.owned_by(&route, ARP_ND_OWNER))
    }

    /// Returns whether the switch has the route by itself: connected or static.
    pub(crate) fn is_own(&self, route: &Route) -> bool {
        self.is_connected(route) || self.owned_by(route, STATIC_OWNER)
    }

    /// Sets or removes a BFD session. Returns whether it changed.
    pub(crate) fn set_bfd(&mut self, key: &BfdKey, state: Option<BfdState>) -> bool {
        let sessions = self.bfd.entry((key.network_instance, key.remote)).or_default();
        match state {
            Some(value) => {
                let old = sessions.insert(key.local, Stamped { value, generation: self.generation });
                old.is_none_or(|old| old.value != value)
            }
            None => {
                let gone = sessions.remove(&key.local).is_some();
                if sessions.is_empty() {
                    self.bfd.remove(&(key.network_instance, key.remote));
                }
                gone
            }
        }
    }

    /// Returns the worst state of the BFD sessions with an address.
    pub(crate) fn bfd(&self, name: &NetworkInstanceName, remote: IpAddr) -> Option<BfdState> {
        let instance = self.instance(name)?;
        self.bfd.get(&(instance.id, remote))?.values().map(|entry| entry.value).min()
    }
}
