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
    /// Interfaces by name: ports, IRBs, loopbacks.
    pub interfaces: BTreeMap<String, Interface>,
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
    /// What dynamic neighbors that are gone show last, before they vanish from state.
    pub farewells: BTreeMap<String, Neighbor>,
    /// BFD sessions by remote address.
    pub bfd: BTreeMap<IpAddr, BfdSession>,
    /// The layer below.
    pub segment: Segment,
    /// What BGP has received, and what became of it.
    pub rib: Rib,
    /// `protocols/bgp/preference`.
    pub bgp_preference: Option<BgpPreference>,
}

/// By what BGP's routes are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BgpPreference {
    /// Of routes from outside.
    pub ebgp: u8,
    /// Of routes from inside.
    pub ibgp: u8,
}

/// Type of a network instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkInstanceKind {
    /// `default`
    Default,
    /// `ip-vrf`; mgmt is one too.
    IpVrf,
    /// `mac-vrf`: in gNMI state, not in NDK notifications.
    MacVrf,
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
    /// Done, after a failure that still shows.
    Recovered,
    /// `suppressed true`: in the control plane's table alone.
    Suppressed,
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
    /// What the session has been through.
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
    /// Up, or down.
    pub up: bool,
    /// `local-discriminator`
    pub discriminator: u32,
}

/// One port, or an interface of the switch's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `oper-down-reason`; `None` while it is up.
    pub down: Option<String>,
    /// `hw-mac-address`
    pub mac: Option<String>,
    /// By index.
    pub subinterfaces: BTreeMap<u32, Subinterface>,
    /// What LLDP hears on it.
    pub lldp: Option<LldpNeighbor>,
}

/// One subinterface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subinterface {
    /// `bridged`, or `routed`.
    pub bridged: bool,
    /// `oper-down-reason`; `None` while it is up.
    pub down: Option<String>,
    /// Own addresses with their subnets.
    pub addresses: Vec<IpNet>,
    /// The MAC of an anycast gateway.
    pub anycast_gateway: Option<String>,
    /// ARP and ND entries.
    pub neighbors: BTreeMap<IpAddr, LinkNeighbor>,
}

/// An ARP or ND entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNeighbor {
    /// `link-layer-address`
    pub mac: String,
    /// Learned by EVPN from another leaf, not by asking here.
    pub by_evpn: bool,
}

/// A neighbor by LLDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LldpNeighbor {
    /// `chassis-id`, a MAC.
    pub chassis: String,
    /// `system-name`
    pub system_name: String,
    /// `port-id`
    pub port: String,
}

/// The layer below a network instance: its subinterfaces, its bridge table, its tunnels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Names of its subinterfaces, with the reason of those that are down.
    pub subinterfaces: BTreeMap<String, Option<String>>,
    /// The bridge table, by MAC.
    pub macs: BTreeMap<String, MacEntry>,
    /// Its VXLAN.
    pub vxlan: Option<Vxlan>,
}

/// An entry of a bridge table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacEntry {
    /// Where frames to it go.
    pub destination: MacDestination,
}

/// Where frames to a MAC go.
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
    /// `vni`; also the index of the subinterface of `vxlan1`, and the EVI.
    pub vni: u32,
    /// Switches that have it too.
    pub vteps: Vec<IpAddr>,
    /// `target:64321:1`
    pub route_target: String,
}

/// The BGP RIB of a network instance: paths by prefix and the neighbor they are from.
pub type Rib = BTreeMap<(IpNet, String), RibPath>;

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RibPath {
    /// `next-hop`
    pub next_hop: IpAddr,
    /// `neighbor-as`
    pub neighbor_as: u32,
    /// Of the other autonomous systems it came through.
    pub as_path: Vec<u32>,
    /// `local-pref`, where the neighbor is in the own system.
    pub local_preference: Option<u32>,
    /// By EVPN from another leaf: in the local RIB alone.
    pub by_evpn: bool,
    /// What became of it.
    pub fate: PathFate,
    /// Kept by graceful restart.
    pub stale: bool,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFate {
    /// The best; in the route table.
    Best,
    /// Beside the best in the route table.
    Multipath,
    /// The best of BGP; another protocol's route is in the route table.
    Unused,
    /// Lost the comparison, with the words of `tie-break-reason`.
    Lost(&'static str),
    /// Not taken in, with the leaf of `invalid-reason` that says why.
    Invalid(&'static str),
    /// Held back by route flap damping.
    Damped,
}

impl PathFate {
    /// Whether the path could be used.
    pub fn is_valid(self) -> bool {
        !matches!(self, Self::Invalid(_))
    }

    /// Whether it is in the route table.
    pub fn is_used(self) -> bool {
        matches!(self, Self::Best | Self::Multipath)
    }
}

/// A NOTIFICATION of BGP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpNotification {
    /// `last-notification-error-code`
    pub code: String,
    /// `last-notification-error-subcode`
    pub subcode: Option<String>,
    /// `last-notification-time`, RFC 3339 with milliseconds.
    pub at: String,
}

/// What a session has been through, beyond whether it is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRecord {
    /// The neighbor is disabled by configuration.
    pub admin_disabled: bool,
    /// `last-event`; the usual one of the state where it is not said.
    pub last_event: Option<String>,
    /// The last NOTIFICATION sent.
    pub sent: Option<BgpNotification>,
    /// The last NOTIFICATION received.
    pub received: Option<BgpNotification>,
}
