//! Forwarding truth: where the packets of a flow end that enter a leaf.
//!
//! A [`Network`] is what hardware holds: routes and neighbor entries of every VRF, MAC tables, tunnel endpoints, cables,
//! and what kube-proxy on every node does with a packet for a service. [`Network::walk`] follows a flow over all branches
//! of ECMP to a usable endpoint or to its end. Nothing in here knows a protocol, a speaker or a rule of the agent: who
//! fills the tables, and whether rightly, is somebody else's matter.

#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// What all leaves, cables and hosts hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// By name.
    pub leaves: BTreeMap<String, Leaf>,
    /// Cables between leaves and hosts; a [`Cable`] is named by its place.
    pub cables: Vec<Cable>,
    /// Nodes, routers and others; a [`Host`] is named by its place.
    pub hosts: Vec<Host>,
    /// Services as kube-proxy on the nodes of their cluster has them.
    pub services: Vec<Service>,
}

/// One leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// Tunnel endpoints that end here; two leaves may share one.
    pub vteps: BTreeSet<IpAddr>,
    /// Its uplinks carry tunnels.
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
    /// ARP and ND.
    pub neighbors: BTreeMap<IpAddr, Neighbor>,
}

/// A route as the hardware has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The hardware took it. Packets for a prefix that it did not take are dropped.
    pub programmed: bool,
    /// Equal shares of flows go to each. Without any, what it matches is dropped.
    pub hops: Vec<Hop>,
}

/// Where a route sends its share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// To an address that the table itself resolves.
    Via(IpAddr),
    /// To an address that another VRF of the same leaf resolves: a leaked route keeps the next-hops of where it is from.
    ViaIn {
        /// The VRF.
        vrf: String,
        /// The address.
        address: IpAddr,
    },
    /// To a neighbor of the leaf.
    Neighbor(IpAddr),
    /// Out of an interface: the destination itself is the neighbor.
    Connected,
    /// Through a VXLAN tunnel, into a VRF there.
    Tunnel {
        /// Where the tunnel ends.
        vtep: IpAddr,
        /// The VRF its VNI belongs to.
        vrf: String,
    },
    /// Looked up in another VRF of the same leaf.
    Vrf(String),
    /// Dropped on purpose.
    Discard,
    /// To the leaf itself.
    Own,
}

/// A hardware address.
pub type Mac = u64;

/// An ARP or ND entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The address that answered.
    pub mac: Mac,
    /// Where it answered.
    pub port: Port,
}

/// What a routed interface stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// An IRB: the bridge knows where the address is.
    Bridge(String),
    /// A cable of its own.
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

/// A cable, or a bundle of them as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cable {
    /// It carries packets.
    pub up: bool,
    /// Who is at its other end.
    pub host: usize,
}

/// What is at the other end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// For people.
    pub name: String,
    /// It is powered and its kernel runs.
    pub up: bool,
    /// What it does with a packet that is not for itself.
    pub kind: HostKind,
}

/// What a host does with packets for VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// A node of a cluster: kube-proxy takes what is for a service.
    Node {
        /// The cluster.
        cluster: String,
    },
    /// Sends on to hosts on the same wire, by its own table.
    Router {
        /// Hosts by prefix; the longest match counts.
        routes: BTreeMap<IpNet, Vec<usize>>,
    },
    /// Drops it.
    Other,
}

/// A service as kube-proxy on every node of its cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its cluster.
    pub cluster: String,
    /// For people.
    pub name: String,
    /// `externalTrafficPolicy: Local`: a node serves from endpoints of its own only.
    pub local: bool,
    /// Every node has a proxy for it, whatever its endpoints say (Cilium's Gateway and Ingress).
    pub everywhere: bool,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A pod behind a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host it runs on, where its slice says so.
    pub host: Option<usize>,
    /// Whether kube-proxy uses it.
    pub state: EndpointState,
}

/// Whether kube-proxy uses an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// Always.
    Ready,
    /// It terminates and still serves: only where no other is ready (KEP-1669).
    Draining,
    /// Never.
    Unready,
}

/// A flow that enters a leaf.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// Where it enters.
    pub leaf: &'a str,
    /// The VRF it enters in.
    pub vrf: &'a str,
    /// Where it wants to.
    pub destination: IpAddr,
    /// [`Network::services`] that it may end at, one a cluster.
    pub services: &'a [usize],
}

/// What became of a branch of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A usable endpoint took it, by way of this host.
    Served(usize),
    /// The leaf has no such VRF.
    NoVrf(String),
    /// The leaf has no route.
    NoRoute(String),
    /// The leaf has a default route only, which is no route to a VIP.
    DefaultRoute(String),
    /// The hardware of the leaf did not take the route.
    NotProgrammed(String),
    /// A route drops it on purpose.
    Discarded(String),
    /// The leaf knows no way to a next-hop.
    Unresolved(IpAddr),
    /// It comes back to where it was.
    Loop(String),
    /// The cable to a host is down.
    DeadCable(usize),
    /// No leaf that works ends the tunnel.
    DeadTunnel(IpAddr),
    /// The host is down.
    DeadHost(usize),
    /// The node serves the service, and has no usable endpoint for it.
    NoPod(usize),
    /// The host knows nothing of the service.
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

/// One way through the network, to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Its part of the whole.
    pub share: f64,
    /// The leaf that routed it last.
    pub leaf: String,
    /// What became of it.
    pub end: End,
}

impl Branch {
    /// Whether it ended at a usable endpoint.
    pub fn arrives(&self) -> bool {
        matches!(self.end, End::Served(_))
    }

    /// The host it came to first, whether that served it or not.
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

/// Where all branches of a flow end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome(pub Vec<Branch>);

impl Outcome {
    /// Every branch arrives.
    pub fn all_arrive(&self) -> bool {
        self.0.iter().all(Branch::arrives)
    }

    /// No branch arrives.
    pub fn none_arrives(&self) -> bool {
        !self.0.iter().any(Branch::arrives)
    }

    /// The share of flows that arrive.
    pub fn share(&self) -> f64 {
        self.0.iter().filter(|branch| branch.arrives()).map(|branch| branch.share).sum()
    }

    /// The hosts that branches come to first, whether they serve them or not.
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
