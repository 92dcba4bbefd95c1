//! Defines the state of the switch: network instances, routes, next-hop groups, BGP neighbors, BFD sessions, FIB
//! programming.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::names::{ClusterName, NetworkInstanceName};
use super::time::Timestamp;
use super::words::words;

/// A network instance that routes: type default or ip-vrf (the NDK does not report mac-vrf).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInstance {
    /// The number by which other NDK messages (BFD) refer to it.
    pub id: u32,
    /// Whether it is operationally up.
    pub oper_up: bool,
}

/// Why VIPs cannot be routed in a network instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// It is down.
    Down,
    /// It is of a type in which VIPs are not routed (`mac-vrf`).
    OfType(Arc<str>),
    /// The switch has none of this name.
    Absent,
}

impl Unroutable {
    /// Returns what is wrong with the network instance, as a sentence.
    pub fn sentence(&self, instance: &NetworkInstanceName) -> String {
        match self {
            Self::Down => format!("network-instance {instance} is down on this switch"),
            Self::OfType(of_type) => {
                format!(
                    "network-instance {instance} is of type {of_type}; VIPs are routed in one of type default or ip-vrf"
                )
            }
            Self::Absent => format!("no network-instance {instance} of type default or ip-vrf is on this switch"),
        }
    }

    /// Returns what the operator of a cluster that is configured for the network instance can do.
    pub fn remedy(&self, cluster: &ClusterName) -> String {
        let first = match self {
            Self::Down => "see its oper-down-reason, or ",
            Self::OfType(_) => "",
            Self::Absent => "create it, or ",
        };
        format!("{first}correct network-instance of cluster {cluster}")
    }
}

/// The number of a next-hop group. It changes when the group is programmed again: do not keep it across a resync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHopGroupId(pub u64);

impl NextHopGroupId {
    /// Set in the number of a group for next-hops that a route contains itself: the switch assigned no number, and this
    /// one is derived from its content.
    pub const INLINE: u64 = 1 << 63;
}

/// The active route of one prefix in one network instance.
///
/// Source: NDK `Route` in an `IpRouteNotification`; the stream holds one entry per prefix, the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The application that owns it (NDK `AppIdentKey.id`); its name arrives as
    /// [`SwitchEvent::Application`](super::event::SwitchEvent::Application), before or after.
    pub owner: u32,
    /// Route preference, lower wins.
    pub preference: u32,
    /// Route metric.
    pub metric: u32,
    /// The group that holds its next-hops, which may arrive before or after the route.
    pub next_hop_group: NextHopGroupId,
}

/// The next-hops of a group: addresses as the NDK reports them, a VTEP for a VXLAN next-hop. Next-hops without an
/// address (discard, broadcast, extract) are left out on arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextHopGroup {
    /// Sorted, without duplicates.
    pub next_hops: Arc<[IpAddr]>,
}

/// The address of a BGP neighbor as SR Linux spells its key: `192.168.1.11`, or `fe80::1%ethernet-1/1.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// The address itself.
    pub ip: IpAddr,
    /// The subinterface of a link-local peer.
    pub interface: Option<Arc<str>>,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{}%{interface}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

/// The key of a BGP neighbor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighborKey {
    /// The network instance in which it is configured or was accepted.
    pub network_instance: NetworkInstanceName,
    /// `peer-address`.
    pub peer: PeerAddress,
}

/// The state of a BGP neighbor, from `/network-instance/protocols/bgp/neighbor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbor {
    /// `session-state`; `None` until received.
    pub session: Option<SessionState>,
    /// `last-established`: when the session last went into or out of established.
    pub last_established: Option<Timestamp>,
    /// `dynamic-neighbor`: whether it vanishes from state when its session drops.
    pub dynamic: bool,
    /// The sum of `afi-safi/received-routes`; `None` if the switch does not report it.
    pub received_routes: Option<u32>,
}

words! {
    /// BGP session state (RFC 4271 section 8.2.2).
    SessionState {
        /// Not trying.
        Idle = "idle",
        /// Waiting for the transport connection.
        Connect = "connect",
        /// Listening for the transport connection.
        Active = "active",
        /// OPEN sent.
        OpenSent = "opensent",
        /// OPEN received, waiting for KEEPALIVE.
        OpenConfirm = "openconfirm",
        /// Up.
        Established = "established",
    }
}

impl SessionState {
    /// Returns the state with this name in YANG.
    pub fn from_yang(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A single-hop or multi-hop BFD session (NDK `BfdGeneralSessionKey.P2pKey`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BfdKey {
    /// [`NetworkInstance::id`].
    pub network_instance: u32,
    /// The switch's own address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
}

words! {
    /// BFD session state (RFC 5880 section 4.1).
    BfdState {
        /// Held down by configuration.
        AdminDown = "admin-down",
        /// Down.
        Down = "down",
        /// The peer is heard, but does not hear this switch yet.
        Init = "init",
        /// Up.
        Up = "up",
    }
}

/// A prefix in a network instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteKey {
    /// The network instance whose table contains it.
    pub network_instance: NetworkInstanceName,
    /// The prefix, host bits zero.
    pub prefix: IpNet,
}

/// The route table of one address family in one network instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTable {
    /// The network instance.
    pub network_instance: NetworkInstanceName,
    /// IPv4 or IPv6 unicast.
    pub family: IpFamily,
}

impl RouteTable {
    /// Returns the table that contains a prefix.
    pub fn of(network_instance: &NetworkInstanceName, prefix: &IpNet) -> Self {
        let family = if prefix.addr().is_ipv4() { IpFamily::Ipv4 } else { IpFamily::Ipv6 };
        Self { network_instance: network_instance.clone(), family }
    }
}

/// An IP address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// `ipv4-unicast`
    Ipv4,
    /// `ipv6-unicast`
    Ipv6,
}

impl IpFamily {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// Returns the family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// Returns the container of its table below `route-table`.
    pub fn container(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4-unicast",
            Self::Ipv6 => "ipv6-unicast",
        }
    }

    /// Returns the family of a container below `route-table`.
    pub fn from_container(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.container() == name)
    }
}

/// The key of one owner's route to a prefix. Several owners may have one (BGP and EVPN); at most one of them is active.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FibKey {
    /// The prefix and its network instance.
    pub route: RouteKey,
    /// `route-owner`, the name of the owning application (`bgp_mgr`).
    pub owner: Arc<str>,
}

/// Why a route is not, or may not be, in the forwarding table (`route/fib-programming`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibFault {
    /// What is wrong.
    pub kind: FibFaultKind,
    /// When it was first seen.
    pub since: Timestamp,
}

/// What is wrong with the programming of a route, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FibFaultKind {
    /// `pending-operation-type`: an operation is under way.
    Pending,
    /// An operation failed once, but the switch counts fewer failed routes than have such a history, so that it is
    /// unknown whether this is one of them.
    Unconfirmed,
    /// `suppressed`: only in the control plane's table.
    Suppressed,
    /// `last-failed-operation-type`: an add or modify failed and no success followed.
    Failed,
}

/// What the gNMI server lets the agent know. What it does not cover is unknown, not free of faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Tables of which every FIB fault is known: a route there without a fault is programmed.
    pub fib: BTreeSet<RouteTable>,
}
