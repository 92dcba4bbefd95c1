//! Sums up the services of a cluster that carry a VIP, as far as the judgement of each of them depends on all of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::node_sets::VipAnnouncement;
use crate::model::names::ServiceKey;

/// What the services of a cluster that carry a VIP have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carriers {
    /// Whether one of them has the VIP in its status, and not only in externalIPs.
    pub(crate) assigned: bool,
    /// Whether the speaker's resources announce the VIP of one of them by BGP.
    pub(crate) by_bgp: bool,
    /// Whether the speaker's resources, or the classes of the services, have a node answer ARP and ND for the VIP, and
    /// nobody announces it by BGP.
    pub(crate) by_l2_only: bool,
    pub(crate) announced: Announced,
    /// Whether one of them has a usable endpoint.
    pub(crate) has_endpoint: bool,
    /// Whether one of them is served by every node.
    pub(crate) by_any_node: bool,
    /// Whether one of them is served only by nodes with an endpoint.
    pub(crate) locally: bool,
    /// Which endpoints of them are not known. If the VIP is a load balancer's, services that only name it in externalIPs
    /// do not count.
    pub(crate) unknown: Option<UnknownEndpoints>,
}

/// The shortest prefix that the VIP is announced as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Announced {
    /// No service carries the VIP.
    #[default]
    Nobody,
    /// The resources of the speaker do not show it for all of the services.
    Unknown,
    As(IpNet),
}

/// Endpoints that the agent does not know, because there are too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnknownEndpoints {
    /// Some of a namespace.
    Namespace(Arc<str>),
    /// All of a service.
    Service(ServiceKey),
}

impl UnknownEndpoints {
    fn of(cluster: &Cluster, entry: &ServiceEntry) -> Option<Self> {
        if cluster.lacks_endpoints(&entry.key) {
            return Some(Self::Namespace(Arc::clone(&entry.key.namespace)));
        }
        entry.endpoints.uncounted.then(|| Self::Service(entry.key.clone()))
    }
}

impl Announced {
    /// Returns the shorter of two prefixes, if both are known.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, other) => other,
            (one, Self::Nobody) => one,
            (Self::As(one), Self::As(other)) if one.prefix_len() <= other.prefix_len() => Self::As(one),
            (Self::As(_), Self::As(other)) => Self::As(other),
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        }
    }
}

impl Carriers {
    /// Looks at every service that carries the VIP.
    pub(crate) fn of(cluster: &Cluster, vip: IpAddr) -> Self {
        let profile = cluster.profile();
        let mut all = Self::default();
        let (mut by_l2, mut otherwise) = (false, false);
        let (mut unknown, mut unknown_external) = (None, None);
        for entry in cluster.carrying(vip) {
            let announcement = entry.announcement(vip);
            let of_l2 = announcement.is_some_and(|it| it.by_l2_only) || profile.is_of_l2_class(&entry.service);
            let of_bgp = announcement.is_some_and(is_by_bgp);
            let shortest = announcement.and_then(|announcement| announcement.shortest(vip));
            let usable = entry.endpoints.of_vip(vip).usable > 0;
            let locally = profile.serves_locally(&entry.service);
            all.assigned |= entry.is_assigned(vip);
            all.by_bgp |= of_bgp;
            by_l2 |= of_l2;
            otherwise |= of_bgp && !of_l2;
            all.announced = all.announced.or(shortest.map_or(Announced::Unknown, Announced::As));
            all.has_endpoint |= usable;
            all.by_any_node |= usable && !locally;
            all.locally |= locally;
            if let Some(of) = UnknownEndpoints::of(cluster, entry) {
                let unknown = if entry.is_assigned(vip) { &mut unknown } else { &mut unknown_external };
                unknown.get_or_insert(of);
            }
        }
        all.by_l2_only = by_l2 && !otherwise;
        all.unknown = unknown.or(unknown_external.filter(|_| !all.assigned));
        all
    }
}

/// Returns the nodes with a usable endpoint of one of the services that carry the VIP.
pub(crate) fn serving_nodes(cluster: &Cluster, vip: IpAddr) -> BTreeSet<u32> {
    let nodes = |entry: &ServiceEntry| entry.endpoints.of_vip(vip).nodes().collect::<Vec<_>>();
    cluster.carrying(vip).flat_map(nodes).collect()
}

/// Returns whether the speaker's resources announce the VIP by BGP.
fn is_by_bgp(announcement: &VipAnnouncement) -> bool {
    announcement.nobody.is_none() && announcement.prefix.is_some()
}
