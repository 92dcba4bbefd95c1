//! Counts the endpoints of one service: how many are usable, on which nodes, and which nodes they make announcers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::engine::speakers::Profile;
use crate::model::cluster::{AddressFamily, Endpoint, EndpointSlice};
use crate::model::names::NodeName;

/// The endpoints of a service, counted once for all uses.
#[derive(Debug, Default)]
pub(crate) struct ServiceEndpoints {
    all: Arc<Endpoints>,
    v4: Arc<Endpoints>,
    v6: Arc<Endpoints>,
}

impl ServiceEndpoints {
    /// Counts the slices of a service.
    pub(crate) fn of(
        slices: Option<&BTreeMap<Arc<str>, EndpointSlice>>,
        profile: &Profile,
        nodes: &FxHashMap<NodeName, u32>,
    ) -> Self {
        let families = || slices.into_iter().flat_map(BTreeMap::values).map(|slice| slice.family);
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
        slices: Option<&BTreeMap<Arc<str>, EndpointSlice>>,
        counts: impl Fn(&EndpointSlice) -> bool,
    ) -> Self {
        let mut distinct: FxHashMap<&str, Merged> = FxHashMap::default();
        for slice in slices.into_iter().flat_map(BTreeMap::values).filter(|slice| counts(slice)) {
            let reachable = slice.family != AddressFamily::Fqdn;
            for endpoint in &slice.endpoints {
                distinct.entry(&endpoint.identity).or_default().add(profile, nodes, endpoint, reachable);
            }
        }
        let mut counted = Self { total: distinct.len() as u32, ..Self::default() };
        let mut by_node: BTreeMap<u32, u32> = BTreeMap::new();
        let mut local_announcers = BTreeSet::new();
        for endpoint in distinct.into_values() {
            local_announcers.extend(endpoint.announcers);
            counted.announced_for += u32::from(endpoint.announced_for);
            if endpoint.usable {
                counted.usable += 1;
                counted.nameless += u32::from(endpoint.nameless);
                endpoint.nodes.into_iter().for_each(|node| *by_node.entry(node).or_default() += 1);
            }
        }
        counted.by_node = by_node.into_iter().collect();
        counted.local_announcers = local_announcers.into_iter().collect();
        counted
    }
}

/// One endpoint, merged from its slices: usable if it is in any slice, on every node that any slice names.
#[derive(Debug, Default)]
struct Merged {
    usable: bool,
    announced_for: bool,
    nameless: bool,
    nodes: BTreeSet<u32>,
    announcers: BTreeSet<u32>,
}

impl Merged {
    fn add(&mut self, profile: &Profile, nodes: &FxHashMap<NodeName, u32>, endpoint: &Endpoint, reachable: bool) {
        let node = endpoint.node.as_ref().and_then(|name| nodes.get(name)).copied();
        if reachable && profile.makes_local_announcer(endpoint) {
            self.announcers.extend(node);
        }
        self.announced_for |= reachable && profile.announces_for(endpoint);
        if reachable && (endpoint.ready || endpoint.serving) {
            self.usable = true;
            self.nodes.extend(node);
            self.nameless = self.nodes.is_empty() && endpoint.node.is_none();
        }
    }
}
