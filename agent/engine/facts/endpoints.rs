//! Counts the endpoints of one service: how many are usable, on which nodes, and which nodes they make announcers.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::engine::speakers::Profile;
use crate::model::cluster::{AddressFamily, Endpoint, EndpointSlice};
use crate::model::names::NodeName;

/// The slices of one service, by name. Most services have one, so that a sorted list needs the least memory.
#[derive(Debug, Default)]
pub(crate) struct Slices(Vec<(Arc<str>, EndpointSlice)>);

impl Slices {
    /// Sets a slice. Returns whether it changed.
    pub(crate) fn set(&mut self, name: &Arc<str>, slice: EndpointSlice) -> bool {
        match self.find(name) {
            Ok(at) if self.0[at].1 == slice => return false,
            Ok(at) => self.0[at].1 = slice,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (Arc::clone(name), slice));
            }
        }
        true
    }

    /// Removes a slice.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.find(name) {
            self.0.remove(at);
        }
    }

    /// Returns whether the service has no slice.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    fn iter(&self) -> impl Iterator<Item = &EndpointSlice> {
        self.0.iter().map(|(_, slice)| slice)
    }
}

/// The endpoints of a service, counted once for all uses.
#[derive(Debug, Default)]
pub(crate) struct ServiceEndpoints {
    all: Arc<Endpoints>,
    v4: Arc<Endpoints>,
    v6: Arc<Endpoints>,
}

impl ServiceEndpoints {
    /// Counts the slices of a service.
    pub(crate) fn of(slices: Option<&Slices>, profile: &Profile, nodes: &FxHashMap<NodeName, u32>) -> Self {
        let families = || slices.into_iter().flat_map(Slices::iter).map(|slice| slice.family);
        let all = Arc::new(Endpoints::count(profile, nodes, slices, |_| true));
        // Slices of a VIP's own family serve it if the service has any; otherwise all slices do.
        let of_family =
            |family| match families().any(|other| other == family) && families().any(|other| other != family) {
                true => Arc::new(Endpoints::count(profile, nodes, slices, |slice| slice.family == family)),
                false => Arc::clone(&all),
            };
        let (v4, v6) = (of_family(AddressFamily::Ipv4), of_family(AddressFamily::Ipv6));
        Self { all, v4, v6 }
    }

    /// Returns all endpoints of the service.
    pub(crate) fn all(&self) -> &Arc<Endpoints> {
        &self.all
    }

    /// Returns the endpoints that serve a VIP.
    pub(crate) fn of_vip(&self, vip: IpAddr) -> &Arc<Endpoints> {
        if vip.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

/// Distinct endpoints of one service.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// Endpoints that flows may be sent to: ready, or terminating and still serving (KEP-1669).
    pub(crate) usable: u32,
    /// Endpoints that the speaker announces for.
    pub(crate) announced_for: u32,
    pub(crate) total: u32,
    /// Usable endpoints that name no node.
    pub(crate) nameless: u32,
    /// Usable endpoints by node, sorted.
    by_node: Box<[(u32, u32)]>,
    /// Nodes that announce under policy Local, by slot, sorted.
    pub(crate) local_announcers: Box<[u32]>,
}

impl Endpoints {
    /// Returns the number of usable endpoints on a node.
    pub(crate) fn on(&self, node: u32) -> u32 {
        let found = self.by_node.binary_search_by_key(&node, |(node, _)| *node);
        found.map_or(0, |index| self.by_node[index].1)
    }

    /// Returns the nodes with a usable endpoint, by slot.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.by_node.iter().map(|(node, _)| *node)
    }

    /// Returns the number of usable endpoints on several nodes.
    pub(crate) fn behind(&self, nodes: &[u32]) -> u32 {
        nodes.iter().map(|node| self.on(*node)).sum()
    }

    fn count(
        profile: &Profile,
        nodes: &FxHashMap<NodeName, u32>,
        slices: Option<&Slices>,
        counts: impl Fn(&EndpointSlice) -> bool,
    ) -> Self {
        let slices = slices.into_iter().flat_map(Slices::iter).filter(|slice| counts(slice));
        let mut endpoints: Vec<(&Endpoint, bool)> = slices
            .flat_map(|slice| slice.endpoints.iter().map(|endpoint| (endpoint, slice.family != AddressFamily::Fqdn)))
            .collect();
        endpoints.sort_unstable_by_key(|(endpoint, _)| endpoint.identity);
        let mut counted = Self::default();
        let (mut usable_on, mut local_announcers) = (Vec::new(), Vec::new());
        // An endpoint in several slices is usable if it is in any of them, on every node that any of them names.
        for same in endpoints.chunk_by(|(one, _), (other, _)| one.identity == other.identity) {
            counted.total += 1;
            let reachable = || same.iter().filter(|(_, reachable)| *reachable).map(|(endpoint, _)| *endpoint);
            let slot = |endpoint: &Endpoint| endpoint.node.as_ref().and_then(|name| nodes.get(name)).copied();
            local_announcers.extend(reachable().filter(|one| profile.makes_local_announcer(one)).filter_map(slot));
            counted.announced_for += u32::from(reachable().any(|one| profile.announces_for(one)));
            let usable = || reachable().filter(|one| one.ready || one.serving);
            if usable().next().is_some() {
                counted.usable += 1;
                counted.nameless += u32::from(usable().all(|one| one.node.is_none()));
                usable_on.extend(usable().filter_map(slot).map(|node| (node, same[0].0.identity)));
            }
        }
        usable_on.sort_unstable();
        usable_on.dedup();
        let by_node = usable_on.chunk_by(|(one, _), (other, _)| one == other);
        counted.by_node = by_node.map(|same| (same[0].0, same.len() as u32)).collect();
        local_announcers.sort_unstable();
        local_announcers.dedup();
        counted.local_announcers = local_announcers.into();
        counted
    }
}
