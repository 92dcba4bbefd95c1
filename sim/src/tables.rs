//! The tables of a leaf's control plane: plain values, computed by the fabric model (or read from a real routing
//! daemon) and shown by the leaf through NDK, gNMI and CLI.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// The tables of a leaf's control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Network instances by name.
    pub network_instances: BTreeMap<String, NetworkInstance>,
    /// Interfaces by name: ports, IRBs, loopbacks.
    pub interfaces: BTreeMap<String, Interface>,
}

/// One network instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInstance {
    /// Number of the network instance in the NDK.
    pub id: u32,
    /// Type of the network instance.
    pub kind: NetworkInstanceKind,
    /// `router-id`.
    pub router_id: Option<IpAddr>,
    /// Whether it is operationally up.
    pub oper_up: bool,
    /// All routes, including inactive ones.
    pub routes: BTreeMap<RouteKey, Route>,
    /// BGP neighbors by `peer-address` as SR Linux spells it.
    pub neighbors: BTreeMap<String, Neighbor>,
    /// The last state of dynamic neighbors that are gone, shown before they disappear.
    pub farewells: BTreeMap<String, Neighbor>,
    /// BFD sessions by remote address.
    pub bfd: BTreeMap<IpAddr, BfdSession>,
    /// Segment of the network instance.
    pub segment: Segment,
    /// The paths that BGP has received, and whether they are used.
    pub rib: Rib,
    /// `protocols/bgp/preference`.
    pub bgp_preference: Option<BgpPreference>,
}

/// Preferences of BGP routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BgpPreference {
    /// Preference of eBGP routes.
    pub ebgp: u8,
    /// Preference of iBGP routes.
    pub ibgp: u8,
}

/// Type of a network instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkInstanceKind {
    /// `default`
    Default,
    /// `ip-vrf`, including mgmt.
    IpVrf,
    /// `mac-vrf`: in gNMI state, not in NDK notifications.
    MacVrf,
}

/// Key of a route on SR Linux.
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
    /// `active`. At most one route per prefix is active, and only that one is in the NDK stream.
    pub active: bool,
    /// Next-hops. Routes with equal next-hops share a next-hop group.
    pub next_hops: Vec<NextHop>,
    /// FIB programming.
    pub fib: Fib,
}

/// One next-hop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextHop {
    /// `direct`: a local subnet or a neighbor entry.
    Direct {
        /// The own address for a subnet; the host's address for arp-nd.
        address: IpAddr,
        /// `irb1.1`
        subinterface: String,
    },
    /// `indirect`, resolved by a route.
    Indirect {
        /// Address of the BGP next-hop.
        address: IpAddr,
        /// Prefix, type and owner of the route that resolves it.
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
    /// Programmed.
    #[default]
    Programmed,
    /// `pending-operation-type add`.
    Pending,
    /// `last-failed-operation-type add`.
    Failed,
    /// Programmed after a failure that is still shown.
    Recovered,
    /// `suppressed true`: only in the control plane's table.
    Suppressed,
}

/// One BGP neighbor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// `session-state`: `idle` ... `established`.
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
    /// Address families by name (`ipv4-unicast`, `ipv6-unicast`, `evpn`).
    pub afi_safis: BTreeMap<String, AfiSafi>,
    /// History of the session.
    pub record: SessionRecord,
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
    /// Whether the session is up.
    pub up: bool,
    /// `local-discriminator`
    pub discriminator: u32,
}

/// A port, or an interface of the switch itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `oper-down-reason`; `None` while it is up.
    pub down: Option<String>,
    /// `hw-mac-address`
    pub mac: Option<String>,
    /// Subinterfaces by index.
    pub subinterfaces: BTreeMap<u32, Subinterface>,
    /// LLDP neighbor.
    pub lldp: Option<LldpNeighbor>,
}

/// One subinterface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subinterface {
    /// Whether it is `bridged` and not `routed`.
    pub bridged: bool,
    /// `oper-down-reason`; `None` while it is up.
    pub down: Option<String>,
    /// Own addresses with their subnets.
    pub addresses: Vec<IpNet>,
    /// MAC address of an anycast gateway.
    pub anycast_gateway: Option<String>,
    /// ARP and ND entries.
    pub neighbors: BTreeMap<IpAddr, LinkNeighbor>,
}

/// An ARP or ND entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNeighbor {
    /// `link-layer-address`
    pub mac: String,
    /// Whether it was learned from another leaf by EVPN.
    pub by_evpn: bool,
}

/// An LLDP neighbor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LldpNeighbor {
    /// `chassis-id`, a MAC.
    pub chassis: String,
    /// `system-name`
    pub system_name: String,
    /// `port-id`
    pub port: String,
}

/// The layer below a network instance: subinterfaces, bridge table, tunnels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Names of subinterfaces, with the down reason of those that are down.
    pub subinterfaces: BTreeMap<String, Option<String>>,
    /// The bridge table, by MAC.
    pub macs: BTreeMap<String, MacEntry>,
    /// VXLAN of the network instance.
    pub vxlan: Option<Vxlan>,
}

/// An entry of a bridge table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacEntry {
    /// Where frames are sent.
    pub destination: MacDestination,
}

/// Where frames to a MAC address are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacDestination {
    /// A port of this switch: `ethernet-1/1.0`.
    Subinterface(String),
    /// Another switch.
    Vtep(IpAddr),
    /// The switch itself.
    Irb(String),
}

/// The VXLAN of a network instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// `vni`, which is also the index of the subinterface of `vxlan1`, and the EVI.
    pub vni: u32,
    /// Other switches with this VXLAN.
    pub vteps: Vec<IpAddr>,
    /// `target:64321:1`
    pub route_target: String,
}

/// The BGP RIB of a network instance: paths by prefix and neighbor.
pub type Rib = BTreeMap<(IpNet, String), RibPath>;

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RibPath {
    /// `next-hop`
    pub next_hop: IpAddr,
    /// `neighbor-as`
    pub neighbor_as: u32,
    /// AS numbers of the other autonomous systems it came through.
    pub as_path: Vec<u32>,
    /// `local-pref`, if the neighbor is in the same autonomous system.
    pub local_preference: Option<u32>,
    /// Whether it came by EVPN from another leaf. Such paths are only in the local RIB.
    pub by_evpn: bool,
    /// Whether it is used, and why not.
    pub fate: PathFate,
    /// Whether it is kept by graceful restart.
    pub stale: bool,
}

/// Whether a path is used, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFate {
    /// The best path, which is in the route table.
    Best,
    /// In the route table together with the best path.
    Multipath,
    /// The best path of BGP, but the route table has a route of another protocol.
    Unused,
    /// It lost the comparison; the text is the `tie-break-reason`.
    Lost(&'static str),
    /// It was rejected; the text is the leaf of `invalid-reason`.
    Invalid(&'static str),
    /// It is suppressed by route flap damping.
    Damped,
    /// Configuration keeps it out of the route table.
    FibDisabled,
}

impl PathFate {
    /// Returns whether the path could be used.
    pub fn is_valid(self) -> bool {
        !matches!(self, Self::Invalid(_))
    }

    /// Returns whether the path is in the route table.
    pub fn is_used(self) -> bool {
        matches!(self, Self::Best | Self::Multipath)
    }
}

/// A BGP NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpNotification {
    /// `last-notification-error-code`
    pub code: String,
    /// `last-notification-error-subcode`
    pub subcode: Option<String>,
    /// `last-notification-time`, RFC 3339 with milliseconds.
    pub at: String,
}

/// History of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRecord {
    /// Whether the neighbor is disabled by configuration.
    pub admin_disabled: bool,
    /// `last-event`; if absent, the usual one of the state.
    pub last_event: Option<String>,
    /// The last NOTIFICATION sent.
    pub sent: Option<BgpNotification>,
    /// The last NOTIFICATION received.
    pub received: Option<BgpNotification>,
}
