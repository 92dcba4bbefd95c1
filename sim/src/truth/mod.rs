//! Forwarding truth: computes where the packets of a flow that enter a leaf end.
//!
//! A [`Network`] is the state of the hardware: routes and neighbor entries of every VRF, MAC tables, tunnel endpoints,
//! cables, and what kube-proxy on every node does with a packet for a service. [`Network::walk`] follows a flow over
//! all branches of ECMP to a usable endpoint or to another end. This module knows no protocol, no speaker and no rule
//! of the agent; whether the tables are right is up to those who fill them.

#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// The state of all leaves, cables and hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Leaves by name.
    pub leaves: BTreeMap<String, Leaf>,
    /// Cables between leaves and hosts. A [`Cable`] is identified by its index.
    pub cables: Vec<Cable>,
    /// Nodes, routers and others. A [`Host`] is identified by its index.
    pub hosts: Vec<Host>,
    /// Services as kube-proxy knows them on the nodes of their cluster.
    pub services: Vec<Service>,
}

/// One leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// Endpoints of tunnels that end here. Two leaves may share one.
    pub vteps: BTreeSet<IpAddr>,
    /// Whether its uplinks carry tunnels.
    pub underlay: bool,
    /// Network instances that route.
    pub vrfs: BTreeMap<String, Vrf>,
    /// Network instances that bridge.
    pub bridges: BTreeMap<String, Bridge>,
}

/// A network instance that routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vrf {
    /// The active route of each prefix.
    pub routes: BTreeMap<IpNet, Route>,
    /// ARP and ND entries.
    pub neighbors: BTreeMap<IpAddr, Neighbor>,
}

/// A route in the hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whether the hardware accepted it. Packets for a prefix that it rejected are dropped.
    pub programmed: bool,
    /// Next-hops, each of which gets an equal share of flows. If empty, the route drops packets.
    pub hops: Vec<Hop>,
}

/// Where a route sends its share of flows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// To an address that the same table resolves.
    Via(IpAddr),
    /// To an address that another VRF of the leaf resolves: a leaked route keeps the next-hops of its origin.
    ViaIn {
        /// Name of the VRF.
        vrf: String,
        /// The address to resolve.
        address: IpAddr,
    },
    /// To a neighbor of the leaf.
    Neighbor(IpAddr),
    /// Out of an interface: the destination itself is the neighbor.
    Connected,
    /// Through a VXLAN tunnel, into a VRF there.
    Tunnel {
        /// Address of the tunnel's endpoint.
        vtep: IpAddr,
        /// The VRF of its VNI.
        vrf: String,
    },
    /// Looked up in another VRF of the same leaf.
    Vrf(String),
    /// Intentionally dropped.
    Discard,
    /// To the leaf itself.
    Own,
}

/// A hardware address.
pub type Mac = u64;

/// An ARP or ND entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// MAC address of the neighbor.
    pub mac: Mac,
    /// Where the neighbor is.
    pub port: Port,
}

/// What a routed interface is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// An IRB: the bridge knows where the MAC address is.
    Bridge(String),
    /// Its own cable.
    Cable(usize),
}

/// A network instance that bridges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// The MAC table.
    pub macs: BTreeMap<Mac, Location>,
}

/// Where a hardware address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Behind a port of this leaf.
    Cable(usize),
    /// Behind another leaf.
    Tunnel(IpAddr),
}

/// A cable, or a bundle of cables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cable {
    /// Whether it carries packets.
    pub up: bool,
    /// The host at its other end.
    pub host: usize,
}

/// What is at the other end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name, for messages only.
    pub name: String,
    /// Whether it is powered and its kernel runs.
    pub up: bool,
    /// What it does with a packet for another destination.
    pub kind: HostKind,
}

/// What a host does with packets for VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// A node of a cluster: kube-proxy handles packets for services.
    Node {
        /// The cluster.
        cluster: String,
    },
    /// A router, which forwards to hosts on the same wire by its own table.
    Router {
        /// Hosts by prefix; the longest match applies.
        routes: BTreeMap<IpNet, Vec<usize>>,
    },
    /// A host that drops such packets.
    Other,
}

/// A service as kube-proxy knows it on every node of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its cluster.
    pub cluster: String,
    /// Name, for messages only.
    pub name: String,
    /// `externalTrafficPolicy: Local`: a node uses only its own endpoints.
    pub local: bool,
    /// Whether every node has a proxy for it, regardless of endpoints (Cilium's Gateway and Ingress).
    pub everywhere: bool,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A pod behind a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host it runs on, if its slice says so.
    pub host: Option<usize>,
    /// Whether kube-proxy uses it.
    pub state: EndpointState,
}

/// Whether kube-proxy uses an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// Always.
    Ready,
    /// It is terminating but still serving: used only if no other endpoint is ready (KEP-1669).
    Draining,
    /// Never.
    Unready,
}

/// A flow that enters a leaf.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// The leaf it enters.
    pub leaf: &'a str,
    /// The VRF it enters.
    pub vrf: &'a str,
    /// Its destination address.
    pub destination: IpAddr,
    /// Indices of the [`Network::services`] at which it may end, one per cluster.
    pub services: &'a [usize],
}

/// How a branch of a flow ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A usable endpoint received it through this host.
    Served(usize),
    /// The leaf has no such VRF.
    NoVrf(String),
    /// The leaf has no route.
    NoRoute(String),
    /// The leaf has only a default route, which does not count as a route to a VIP.
    DefaultRoute(String),
    /// The hardware of the leaf rejected the route.
    NotProgrammed(String),
    /// A route drops it intentionally.
    Discarded(String),
    /// The leaf cannot resolve a next-hop.
    Unresolved(IpAddr),
    /// It returns to where it was.
    Loop(String),
    /// The cable to a host is down.
    DeadCable(usize),
    /// The tunnel does not end on a working leaf.
    DeadTunnel(IpAddr),
    /// The host is down.
    DeadHost(usize),
    /// The node serves the service but has no usable endpoint for it.
    NoPod(usize),
    /// The host does not know the service.
    NotServed(usize),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served(host) => write!(f, "served by host {host}"),
            Self::NoVrf(leaf) => write!(f, "{leaf} lacks the VRF"),
            Self::NoRoute(leaf) => write!(f, "{leaf} has no route"),
            Self::DefaultRoute(leaf) => write!(f, "{leaf} has a default route only"),
            Self::NotProgrammed(leaf) => write!(f, "the hardware of {leaf} lacks the route"),
            Self::Discarded(leaf) => write!(f, "{leaf} discards it"),
            Self::Unresolved(address) => write!(f, "{address} is not resolved"),
            Self::Loop(leaf) => write!(f, "it loops at {leaf}"),
            Self::DeadCable(host) => write!(f, "the cable to host {host} is down"),
            Self::DeadTunnel(vtep) => write!(f, "nothing ends the tunnel to {vtep}"),
            Self::DeadHost(host) => write!(f, "host {host} is down"),
            Self::NoPod(host) => write!(f, "host {host} has no pod"),
            Self::NotServed(host) => write!(f, "host {host} does not serve it"),
        }
    }
}

/// One path through the network, and its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Its share of the flow.
    pub share: f64,
    /// The last leaf that routed it.
    pub leaf: String,
    /// How it ended.
    pub end: End,
}

impl Branch {
    /// Returns whether it ended at a usable endpoint.
    pub fn arrives(&self) -> bool {
        matches!(self.end, End::Served(_))
    }

    /// Returns the first host it reached, whether or not that host served it.
    pub fn host(&self) -> Option<usize> {
        match self.end {
            End::Served(host)
            | End::DeadCable(host)
            | End::DeadHost(host)
            | End::NoPod(host)
            | End::NotServed(host) => Some(host),
            _ => None,
        }
    }
}

/// The ends of all branches of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome(pub Vec<Branch>);

impl Outcome {
    /// Returns whether every branch arrives.
    pub fn all_arrive(&self) -> bool {
        self.0.iter().all(Branch::arrives)
    }

    /// Returns whether no branch arrives.
    pub fn none_arrives(&self) -> bool {
        !self.0.iter().any(Branch::arrives)
    }

    /// Returns the share of flows that arrive.
    pub fn share(&self) -> f64 {
        self.0.iter().filter(|branch| branch.arrives()).map(|branch| branch.share).sum()
    }

    /// Returns the first hosts that branches reach, whether or not they serve them.
    pub fn hosts(&self) -> BTreeSet<usize> {
        self.0.iter().filter_map(Branch::host).collect()
    }
}

impl fmt::Display for Outcome {
    /// `0.50 served by host 1; 0.50 host 2 has no pod`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, branch) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{:.2} by {}: {}", branch.share, branch.leaf, branch.end)?;
        }
        Ok(())
    }
}
