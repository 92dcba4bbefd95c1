//! Endpoints of one service, counted: how many are usable, on which nodes, and which nodes they make announcers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cluster::Cluster;
use super::speakers::Profile;
use crate::model::cluster::{AddressFamily, Endpoint, EndpointSlice};
use crate::model::names::ServiceKey;

/// Distinct endpoints of one service.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) usable: u32,
    pub(super) total: u32,
    /// Usable endpoints that name no node.
    pub(super) nameless: u32,
    /// Usable endpoints by node.
    by_node: BTreeMap<u32, u32>,
    /// Nodes that policy Local makes announcers, by slot.
    pub(super) local_announcers: Vec<u32>,
}

impl Endpoints {
    /// Usable endpoints on a node.
    pub(super) fn on(&self, node: u32) -> u32 {
        self.by_node.get(&node).copied().unwrap_or_default()
    }

    /// Usable endpoints on several nodes.
    pub(super) fn behind(&self, nodes: &[u32]) -> u32 {
        nodes.iter().map(|node| self.on(*node)).sum()
    }

    /// Counts what serves a VIP: slices of its own family, if the service has one; else all.
    pub(super) fn of_vip(cluster: &Cluster, service: &ServiceKey, vip: IpAddr) -> Self {
        let family = if vip.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
        let slices = cluster.slices_of(service);
        let own = slices.is_some_and(|slices| slices.values().any(|slice| slice.family == family));
        Self::count(cluster, slices, |slice| !own || slice.family == family)
    }

    /// Counts all of a service.
    pub(super) fn of_service(cluster: &Cluster, service: &ServiceKey) -> Self {
        Self::count(cluster, cluster.slices_of(service), |_| true)
    }

    fn count(
        cluster: &Cluster,
        slices: Option<&BTreeMap<Arc<str>, EndpointSlice>>,
        counts: impl Fn(&EndpointSlice) -> bool,
    ) -> Self {
        let profile = cluster.profile();
        let mut distinct: FxHashMap<&str, Merged> = FxHashMap::default();
        for slice in slices.into_iter().flat_map(BTreeMap::values).filter(|slice| counts(slice)) {
            let reachable = slice.family != AddressFamily::Fqdn;
            for endpoint in &slice.endpoints {
                distinct.entry(&endpoint.identity).or_default().add(cluster, profile, endpoint, reachable);
            }
        }
        let mut counted = Self { total: distinct.len() as u32, ..Self::default() };
        for endpoint in distinct.into_values() {
            counted.local_announcers.extend(endpoint.announcers);
            if endpoint.usable {
                counted.usable += 1;
                counted.nameless += u32::from(endpoint.nameless);
                for node in endpoint.nodes {
                    *counted.by_node.entry(node).or_default() += 1;
                }
            }
        }
        counted.local_announcers.sort_unstable();
        counted.local_announcers.dedup();
        counted
    }
}

/// One endpoint as its slices tell it: usable where any of them says so, on every node any of them names.
#[derive(Debug, Default)]
struct Merged {
    usable: bool,
    nameless: bool,
    nodes: BTreeSet<u32>,
    announcers: BTreeSet<u32>,
}

impl Merged {
    fn add(&mut self, cluster: &Cluster, profile: &Profile, endpoint: &Endpoint, reachable: bool) {
        let node = endpoint.node.as_ref().and_then(|name| cluster.node_slot(name));
        if reachable && profile.makes_local_announcer(endpoint) {
            self.announcers.extend(node);
        }
        if reachable && profile.usable(endpoint) {
            self.usable = true;
            self.nodes.extend(node);
            self.nameless = self.nodes.is_empty() && endpoint.node.is_none();
        }
    }
}
