//! The spines: they route between loopbacks and reflect EVPN routes. No applications run on them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::{
    AfiSafi, Interface, LldpNeighbor, Neighbor, NetworkInstanceKind, NextHop, SessionRecord, Subinterface, Tables,
};

use super::Fabric;
use super::routing::{empty_instance, host, route};
use super::segment::mac_of;

const DEFAULT_ID: u32 = 1;
const PREFERENCE: u8 = 170;

/// A cable to a leaf.
struct Link<'a> {
    leaf: &'a str,
    port: String,
    leaf_port: &'a str,
    /// The leaf's address, by which the spine identifies its neighbor.
    peer: String,
    address: IpAddr,
}

impl Fabric {
    /// Returns the contents of every spine's control plane.
    pub fn spine_tables(&self) -> BTreeMap<String, Tables> {
        self.config.spines.keys().map(|spine| (spine.clone(), self.spine(spine))).collect()
    }

    fn spine(&self, spine: &str) -> Tables {
        let config = &self.config.spines[spine];
        let links: Vec<Link<'_>> = self.links(spine);
        let mut default = empty_instance(DEFAULT_ID, NetworkInstanceKind::Default);
        default.router_id = config.system.iter().find(|address| address.is_ipv4()).copied();
        for address in &config.system {
            let (key, mut own) = host(IpNet::from(*address), 1, NextHop::Extract);
            own.active = true;
            default.routes.insert(key, own);
        }
        for link in &links {
            for address in &self.config.leaves[link.leaf].system {
                let subinterface = format!("{}.0", link.port);
                let next_hop = NextHop::Direct { address: link.address, subinterface };
                let (key, mut learned) = route(IpNet::from(*address), "bgp", "bgp_mgr", 0, PREFERENCE, vec![next_hop]);
                learned.active = true;
                default.routes.insert(key, learned);
            }
            default.neighbors.insert(link.peer.clone(), self.underlay_neighbor(spine, link));
            default.segment.subinterfaces.insert(format!("{}.0", link.port), None);
        }
        default.segment.subinterfaces.insert("system0.0".to_owned(), None);
        Tables {
            network_instances: BTreeMap::from([("default".to_owned(), default)]),
            interfaces: self.spine_interfaces(spine, &links),
        }
    }

    fn links(&self, spine: &str) -> Vec<Link<'_>> {
        let leaves = self.config.leaves.iter().enumerate();
        let links = leaves.flat_map(|(position, (leaf, config))| {
            let port = format!("ethernet-1/{}", position + 1);
            config.uplinks.iter().filter(|(_, uplink)| uplink.spine == spine).map(move |(uplink_port, uplink)| {
                let numbered = uplink.address.map(|net| net.addr());
                // Nobody chooses the link-local addresses of leaves: one per link is enough.
                let address = numbered.unwrap_or_else(|| link_local(position));
                let peer = match numbered {
                    Some(address) => address.to_string(),
                    None => format!("{address}%{port}.0"),
                };
                Link { leaf, port: port.clone(), leaf_port: uplink_port, peer, address }
            })
        });
        links.collect()
    }

    fn underlay_neighbor(&self, spine: &str, link: &Link<'_>) -> Neighbor {
        let received = u32::try_from(self.config.leaves[link.leaf].system.len().min(1)).unwrap_or_default();
        let sent = u32::try_from(self.config.leaves.len()).unwrap_or(u32::MAX);
        let counters = AfiSafi { received, active: received, rejected: 0, sent };
        Neighbor {
            session_state: "established".to_owned(),
            last_established: None,
            established_transitions: 1,
            peer_as: self.config.leaves[link.leaf].autonomous_system,
            local_as: self.config.spines[spine].autonomous_system,
            peer_group: "leafs".to_owned(),
            dynamic: link.peer.contains('%'),
            local_address: None,
            afi_safis: BTreeMap::from([("ipv4-unicast".to_owned(), counters)]),
            record: SessionRecord::default(),
        }
    }

    fn spine_interfaces(&self, spine: &str, links: &[Link<'_>]) -> BTreeMap<String, Interface> {
        let ports = links.iter().map(|link| {
            let lldp = LldpNeighbor {
                chassis: mac_of(link.leaf),
                system_name: link.leaf.to_owned(),
                port: link.leaf_port.trim_end_matches(".0").to_owned(),
            };
            let mac = mac_of(&format!("{spine} {}", link.port));
            let subinterfaces = BTreeMap::from([(0, Subinterface::default())]);
            (link.port.clone(), Interface { down: None, mac: Some(mac), subinterfaces, lldp: Some(lldp) })
        });
        let system = self.config.spines[spine].system.iter().map(|address| IpNet::from(*address)).collect();
        let system = Subinterface { addresses: system, ..Subinterface::default() };
        let subinterfaces = BTreeMap::from([(0, system)]);
        let loopback = Interface { subinterfaces, ..Interface::default() };
        ports.chain([("system0".to_owned(), loopback)]).collect()
    }
}

fn link_local(position: usize) -> IpAddr {
    let host = u16::try_from(position + 1).unwrap_or(u16::MAX);
    IpAddr::from([0xfe80, 0, 0, 0, 0x1800, 0xff, 0xfe00, host])
}
