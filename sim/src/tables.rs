//! What a leaf's control plane holds: plain values, computed by the fabric model (or read from a real routing daemon)
//! and shown by the leaf through NDK, gNMI and CLI.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// Everything a leaf's control plane holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// By name.
    pub network_instances: BTreeMap<String, NetworkInstance>,
}

/// One network instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInstance {
    /// The number the NDK names it by.
    pub id: u32,
    /// Its type.
    pub kind: NetworkInstanceKind,
    /// `router-id`.
    pub router_id: Option<IpAddr>,
    /// Operationally up.
    pub oper_up: bool,
    /// All routes, inactive ones too.
    pub routes: BTreeMap<RouteKey, Route>,
    /// BGP neighbors by `peer-address` as SR Linux spells it.
    pub neighbors: BTreeMap<String, Neighbor>,
    /// BFD sessions by remote address.
    pub bfd: BTreeMap<IpAddr, BfdSession>,
}

/// Type of a network instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkInstanceKind {
    /// `default`
    Default,
    /// `ip-vrf`
    IpVrf,
    /// `mac-vrf`: in gNMI state, not in NDK notifications.
    MacVrf,
    /// `host` (mgmt): no VIPs, but its routes are in the NDK stream.
    Host,
}

/// Key of a route as SR Linux has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// `ipv4-prefix` or `ipv6-prefix`.
    pub prefix: IpNet,
    /// `route-type`, without module prefix: `bgp`, `bgp-evpn`, `local`, `host`, `static`, `arp-nd`.
    pub route_type: String,
    /// `route-owner`: `bgp_mgr`, `bgp_evpn_mgr`, `net_inst_mgr`, `static_route_mgr`, `arp_nd_mgr`.
    pub owner: String,
    /// `id`.
    pub id: u32,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `preference`
    pub preference: u8,
    /// `metric`
    pub metric: u32,
    /// `active`: one per prefix at most; this one is in the NDK stream.
    pub active: bool,
    /// Next-hops, equal sets share a next-hop group.
    pub next_hops: Vec<NextHop>,
    /// FIB programming.
    pub fib: Fib,
}

/// One next-hop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// `direct`: a local subnet or a neighbor entry.
    Direct {
        /// Own address for a subnet, the host's for arp-nd.
        address: IpAddr,
        /// `irb1.1`
        subinterface: String,
    },
    /// `indirect`, resolved by a route.
    Indirect {
        /// The BGP next-hop.
        address: IpAddr,
        /// The prefix that resolves it, and that route's type and owner.
        resolving: Option<(IpNet, String, String)>,
    },
    /// `indirect`, resolved by a VXLAN tunnel.
    Vxlan {
        /// The VTEP.
        vtep: IpAddr,
    },
    /// `extract`, no address.
    Extract,
    /// `broadcast`, no address.
    Broadcast,
    /// `discard`, no address.
    Discard,
}

/// FIB programming of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fib {
    /// Done.
    #[default]
    Programmed,
    /// `pending-operation-type add`.
    Pending,
    /// `last-failed-operation-type add`.
    Failed,
}

/// One BGP neighbor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// `idle` ... `established`.
    pub session_state: String,
    /// `last-established`, RFC 3339 with milliseconds.
    pub last_established: Option<String>,
    /// `established-transitions`
    pub established_transitions: u64,
    /// `peer-as`
    pub peer_as: u32,
    /// The leaf's own AS on this session.
    pub local_as: u32,
    /// `peer-group`
    pub peer_group: String,
    /// `dynamic-neighbor true`; absent in state for a configured peer.
    pub dynamic: bool,
    /// The leaf's address on this session.
    pub local_address: Option<IpAddr>,
    /// By afi-safi name (`ipv4-unicast`, `ipv6-unicast`, `evpn`).
    pub afi_safis: BTreeMap<String, AfiSafi>,
}

/// Counters of one address family of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AfiSafi {
    /// `received-routes`
    pub received: u32,
    /// `active-routes`
    pub active: u32,
    /// `rejected-routes`, by an import policy
    pub rejected: u32,
    /// `sent-routes`
    pub sent: u32,
}

/// One BFD session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdSession {
    /// The leaf's address.
    pub local: IpAddr,
    /// Up, or down.
    pub up: bool,
    /// `local-discriminator`
    pub discriminator: u32,
}
