//! What a leaf's tables show: everything that the agent on it can learn from the switch.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// The tables of one leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeafFacts {
    /// The numbers of the network instances, by name.
    pub(crate) instances: BTreeMap<String, u32>,
    /// Active routes.
    pub(crate) routes: BTreeMap<(String, IpNet), RouteFact>,
    /// BGP neighbors.
    pub(crate) neighbors: BTreeMap<(String, IpAddr), NeighborFact>,
    /// ARP and ND entries: the MAC address, or the MAC addresses that take turns.
    pub(crate) entries: BTreeMap<(String, IpAddr), Vec<u64>>,
}

/// An active route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteFact {
    pub(crate) owner: &'static str,
    pub(crate) preference: u32,
    /// Next-hops that have an address.
    pub(crate) next_hops: Vec<IpAddr>,
    /// Whether the hardware did not accept the route.
    pub(crate) failed: bool,
}

/// A BGP neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeighborFact {
    pub(crate) established: bool,
    pub(crate) dynamic: bool,
    pub(crate) received: u32,
}
