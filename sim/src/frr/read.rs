//! Reads the daemons' state in their own form. A member that a release leaves out has its default.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::vty::{Vty, VtyError};

/// State of an FRR at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// Routes by prefix.
    pub(super) routes: BTreeMap<IpNet, Vec<RibRoute>>,
    /// Interfaces by name.
    pub(super) interfaces: BTreeMap<String, Interface>,
    /// Neighbors by address, or by interface if unnumbered.
    pub(super) neighbors: BTreeMap<String, Peer>,
    pub(super) bfd: Vec<BfdPeer>,
    /// bgpd's table by prefix.
    pub(super) paths: BTreeMap<IpNet, Vec<BgpPath>>,
}

/// A route of `show ip route json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RibRoute {
    pub(super) protocol: String,
    pub(super) selected: bool,
    pub(super) distance: u8,
    pub(super) metric: u32,
    pub(super) queued: bool,
    pub(super) failed: bool,
    pub(super) nexthops: Vec<RibNextHop>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RibNextHop {
    pub(super) ip: Option<IpAddr>,
    pub(super) interface_name: Option<String>,
    pub(super) active: bool,
    pub(super) unreachable: bool,
    /// Whether zebra found it for the recursive next-hop before it.
    pub(super) resolver: bool,
}

impl RibNextHop {
    fn is_link_local(&self) -> bool {
        self.ip.is_some_and(is_link_local)
    }
}

/// An interface of `show interface brief json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    pub(super) addresses: Vec<IpNet>,
}

/// A neighbor of `show bgp neighbors json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Peer {
    pub(super) remote_as: u32,
    pub(super) local_as: u32,
    pub(super) peer_group: String,
    /// The listen range of a dynamic neighbor.
    pub(super) peer_subnet_range_group: Option<String>,
    #[serde(deserialize_with = "address")]
    pub(super) local_router_id: Option<IpAddr>,
    pub(super) bgp_state: String,
    pub(super) connections_established: u64,
    #[serde(deserialize_with = "address")]
    pub(super) host_local: Option<IpAddr>,
    #[serde(deserialize_with = "address")]
    pub(super) host_foreign: Option<IpAddr>,
    pub(super) address_family_info: BTreeMap<String, PeerFamily>,
    pub(super) admin_shut_down: bool,
    /// What ended the last session, or prevents the next one.
    pub(super) last_reset_code: u32,
    /// Code and subcode of the NOTIFICATION that did.
    pub(super) last_error_code_subcode: Option<String>,
    pub(super) message_stats: MessageStats,
    /// Adj-RIB-In, read separately if it is kept.
    #[serde(skip)]
    pub(super) received: BTreeMap<IpNet, Received>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MessageStats {
    pub(super) notifications_sent: u64,
    pub(super) notifications_recv: u64,
}

/// `show bgp ... neighbors ... received-routes json`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AdjRibIn {
    received_routes: BTreeMap<IpNet, Received>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Received {
    #[serde(alias = "nextHopGlobal")]
    pub(super) next_hop: Option<IpAddr>,
    pub(super) path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PeerFamily {
    pub(super) accepted_prefix_counter: u32,
    pub(super) sent_prefix_counter: u32,
    /// Whether rejected routes are kept.
    pub(super) inbound_soft_config_permit: bool,
    /// Number of routes in Adj-RIB-In, read separately if they are kept.
    #[serde(skip)]
    pub(super) adj_in: Option<u32>,
}

/// Deserializes an address. FRR writes a word in place of an unknown one, which becomes `None`.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    Ok(String::deserialize(deserializer)?.parse().ok())
}

/// `show bgp ... prefix-counts json`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PrefixCounts {
    rib_table_walk_counters: BTreeMap<String, u32>,
}

/// `show bfd peers json`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BfdPeer {
    #[serde(deserialize_with = "address")]
    pub(super) peer: Option<IpAddr>,
    #[serde(deserialize_with = "address")]
    pub(super) local: Option<IpAddr>,
    pub(super) id: u32,
    pub(super) status: String,
}

/// `show bgp ... unicast json`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rib {
    routes: BTreeMap<IpNet, Vec<BgpPath>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BgpPath {
    pub(super) valid: bool,
    pub(super) bestpath: bool,
    pub(super) multipath: bool,
    pub(super) stale: bool,
    pub(super) damped: bool,
    /// Whether it was withdrawn, and bgpd only remembers how often it flapped.
    pub(super) history: bool,
    pub(super) selection_reason: String,
    pub(super) loc_prf: Option<u32>,
    pub(super) origin: String,
    pub(super) peer_id: String,
    /// AS numbers.
    pub(super) path: String,
    pub(super) nexthops: Vec<PathNextHop>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PathNextHop {
    pub(super) ip: IpAddr,
}

impl Reading {
    /// Asks the daemons whose sockets are in a folder. bgpd and bfdd need not run: a stopped daemon has no data, like a
    /// stopped application of the switch.
    pub(super) async fn take(sockets: &Path) -> Result<Self, VtyError> {
        let mut zebra = Vty::connect(sockets, "zebra").await?;
        let mut routes: BTreeMap<IpNet, Vec<RibRoute>> = zebra.json("show ip route json").await?;
        routes.append(&mut zebra.json("show ipv6 route json").await?);
        let interfaces = zebra.json("show interface brief json").await?;
        let neighbors = stopped(neighbors(sockets).await)?;
        let bfd = stopped(bfd(sockets).await)?;
        let paths = stopped(paths(sockets).await)?;
        let mut link_local = routes.values_mut().flatten().filter(|route| route.protocol == "bgp");
        if link_local.any(|route| route.nexthops.iter().any(RibNextHop::is_link_local)) {
            use_global(&mut routes, &paths);
        }
        Ok(Self { routes, interfaces, neighbors, bfd, paths })
    }
}

async fn neighbors(sockets: &Path) -> Result<BTreeMap<String, Peer>, VtyError> {
    let mut bgpd = Vty::connect(sockets, "bgpd").await?;
    let mut neighbors: BTreeMap<String, Peer> = bgpd.json("show bgp neighbors json").await?;
    for (name, peer) in &mut neighbors {
        for (family, info) in &mut peer.address_family_info {
            let words = match family.as_str() {
                "ipv4Unicast" => "ipv4 unicast",
                "ipv6Unicast" => "ipv6 unicast",
                _ => continue,
            };
            if info.inbound_soft_config_permit {
                let command = format!("show bgp {words} neighbors {name} prefix-counts json");
                // The neighbor may be gone by now.
                let counts: PrefixCounts = bgpd.json(&command).await.unwrap_or_default();
                info.adj_in = counts.rib_table_walk_counters.get("Adj-in").copied();
                let command = format!("show bgp {words} neighbors {name} received-routes json");
                let received: AdjRibIn = bgpd.json(&command).await.unwrap_or_default();
                peer.received.extend(received.received_routes);
            }
        }
    }
    Ok(neighbors)
}

async fn paths(sockets: &Path) -> Result<BTreeMap<IpNet, Vec<BgpPath>>, VtyError> {
    let mut bgpd = Vty::connect(sockets, "bgpd").await?;
    let mut rib: Rib = bgpd.json("show bgp ipv4 unicast json").await?;
    let v6: Rib = bgpd.json("show bgp ipv6 unicast json").await?;
    rib.routes.extend(v6.routes);
    Ok(rib.routes)
}

/// Replaces link-local next-hops of BGP routes, which FRR prefers, by the global ones that the neighbors announced, if
/// any.
pub(super) fn use_global(routes: &mut BTreeMap<IpNet, Vec<RibRoute>>, paths: &BTreeMap<IpNet, Vec<BgpPath>>) {
    for (prefix, paths) in paths {
        let of_bgp = routes.get_mut(prefix).into_iter().flatten().filter(|route| route.protocol == "bgp");
        for hop in of_bgp.flat_map(|route| &mut route.nexthops).filter(|hop| hop.is_link_local()) {
            let mut announced = paths.iter().map(|path| &path.nexthops);
            let path = announced.find(|hops| hops.iter().any(|it| Some(it.ip) == hop.ip));
            let global = path.and_then(|hops| hops.iter().find(|it| !is_link_local(it.ip)));
            hop.ip = global.map(|global| global.ip).or(hop.ip);
        }
    }
}

/// Returns whether an address is a link-local address of IPv6.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

async fn bfd(sockets: &Path) -> Result<Vec<BfdPeer>, VtyError> {
    Vty::connect(sockets, "bfdd").await?.json("show bfd peers json").await
}

/// Returns the default if a daemon does not run.
fn stopped<T: Default>(answer: Result<T, VtyError>) -> Result<T, VtyError> {
    match answer {
        Err(VtyError::Socket { .. }) => Ok(T::default()),
        other => other,
    }
}
