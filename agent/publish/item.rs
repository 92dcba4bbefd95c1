//! Defines what is rendered, compared and written: items, their entries, and the path of each.

use std::net::IpAddr;

use crate::model::alarm::AlarmKey;
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::speaker::SpeakerResource;
use crate::model::switch::RouteKey;
use crate::path::Path;
use crate::tree;

/// A view and the entries below it, which are rendered and compared together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Item {
    /// The agent itself, with summary and statistics.
    Root,
    Cluster(ClusterName),
    Node(ClusterName, NodeName),
    Service(ClusterName, ServiceKey),
    Orphan(RouteKey),
    Alarm(AlarmKey),
    AlarmHistory(u64),
}

/// Identifies an entry of an item. An entry sorts after the one it is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// The item's own entry.
    Own,
    /// `speaker-resource` of a cluster.
    Resource(SpeakerResource),
    /// `peer` of a node.
    Peer(IpAddr),
    /// `vip` of a service.
    Vip(IpAddr),
    /// `next-hop` of a VIP.
    NextHop(IpAddr, IpAddr),
}

/// One entry: one path of the NDK with one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) item: Item,
    pub(crate) part: Part,
}

impl Place {
    pub(crate) fn path(&self) -> Path {
        let own = match &self.item {
            Item::Root => tree::root(),
            Item::Cluster(name) => tree::cluster(name),
            Item::Node(cluster, name) => tree::node(cluster, name),
            Item::Service(cluster, key) => tree::service(cluster, key),
            Item::Orphan(route) => tree::orphan_route(route),
            Item::Alarm(key) => tree::alarm(key),
            Item::AlarmHistory(sequence) => tree::alarm_history(*sequence),
        };
        match &self.part {
            Part::Own => own,
            Part::Resource(resource) => own.entry("speaker-resource", &[("name", resource)]),
            Part::Peer(address) => own.entry("peer", &[("address", address)]),
            Part::Vip(address) => tree::vip(own, address),
            Part::NextHop(vip, address) => tree::vip(own, vip).entry("next-hop", &[("address", address)]),
        }
    }
}
