//! Computes how nodes are attached: ports, MACs, bridge tables, ARP and ND entries, and LLDP neighbors.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::{
    Interface, LinkNeighbor, LldpNeighbor, MacDestination, MacEntry, NetworkInstanceKind, Segment, Subinterface,
    Tables, Vxlan,
};

use super::config::{NetworkInstanceConfig, SubinterfaceConfig};
use super::{Fabric, Lever, NodeKey, lever};

/// MAC address of every anycast gateway, which is that of virtual router 1.
const GATEWAY_MAC: &str = "00:00:5E:00:01:01";
/// Down reason of a port without a cable.
const NO_LINK: &str = "no-active-links";
/// Down reason of what is on such a port.
const PORT_DOWN: &str = "port-down";

/// Something connected to a leaf.
struct Plug {
    port: String,
    /// Index of its subinterface.
    index: u32,
    mac: String,
    addresses: Vec<IpAddr>,
    /// The routed subinterface of its subnet.
    gateway: Option<String>,
    /// The bridge table that contains it.
    bridge: Option<String>,
    cable: Cable,
}

/// The state of a cable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cable {
    Up,
    /// Just cut: the MACs learned on the port are gone, but ARP and ND entries are not yet.
    Cut,
    /// Cut long ago.
    Gone,
    /// The port is up, but nothing is heard there.
    Mute,
}

impl Cable {
    /// Returns whether ARP and ND have entries of what is connected.
    fn is_remembered(self) -> bool {
        matches!(self, Self::Up | Self::Cut)
    }
}

/// What one leaf sees of a segment: something connected, and the leaf it is connected to.
struct Seen<'a> {
    leaf: &'a str,
    plug: &'a Plug,
}

/// Adds interfaces and segments to every leaf's tables.
pub(super) fn add(fabric: &Fabric, tables: &mut BTreeMap<String, Tables>) {
    let plugs: BTreeMap<&String, Vec<Plug>> =
        fabric.config.leaves.keys().map(|leaf| (leaf, plugs(fabric, leaf))).collect();
    for (leaf, tables) in tables.iter_mut() {
        tables.interfaces = interfaces(fabric, leaf, &plugs);
        let down: BTreeMap<String, String> = down_subinterfaces(&tables.interfaces);
        for (name, instance) in &mut tables.network_instances {
            let Some(config) = fabric.config.network_instances.get(name) else {
                instance.segment = underlay_segment(fabric, leaf, name);
                continue;
            };
            instance.segment = segment(fabric, leaf, name, config, &plugs);
            for (subinterface, reason) in &mut instance.segment.subinterfaces {
                *reason = down.get(subinterface).cloned();
            }
        }
    }
}

fn down_subinterfaces(interfaces: &BTreeMap<String, Interface>) -> BTreeMap<String, String> {
    let all = interfaces.iter().flat_map(|(name, interface)| {
        interface.subinterfaces.iter().map(move |(index, it)| (format!("{name}.{index}"), it))
    });
    all.filter_map(|(name, it)| Some((name, it.down.clone()?))).collect()
}

/// Returns everything that is, or was, connected to a leaf.
fn plugs(fabric: &Fabric, leaf: &str) -> Vec<Plug> {
    let uplinks = fabric.config.leaves[leaf].uplinks.keys();
    let mut taken: BTreeSet<String> = uplinks.map(|name| split(name).0.to_owned()).collect();
    let mut plugs = Vec::new();
    for (cluster, config, name, node) in fabric.config.nodes() {
        let key = NodeKey { cluster: cluster.clone(), node: name.clone() };
        let configured = node.leaves.iter().any(|it| it == leaf);
        let attached = fabric.attachments(&key, &node.leaves).iter().any(|it| it == leaf);
        if !configured && !attached {
            continue;
        }
        let cut = fabric.node_lever(&key, |lever| match lever {
            Lever::Cable { leaf: on, .. } => on.as_deref().is_none_or(|on| on == leaf),
            _ => false,
        });
        let hung = configured && fabric.node_lever(&key, |lever| matches!(lever, Lever::NodeHung { .. }));
        let cable = match (attached, cut) {
            (false, false) if hung => Cable::Mute,
            (true, false) => Cable::Up,
            (true, true) => Cable::Cut,
            (false, _) => Cable::Gone,
        };
        let of_subnet = gateway(fabric, leaf, &config.network_instance, &node.addresses);
        let (gateway, subinterface) = of_subnet.unzip();
        let bridge = subinterface.and_then(|it| it.bridge.clone());
        // If the subnet is on a port itself, the node is on that port.
        let routed = gateway.filter(|name| bridge.is_none() && name.starts_with("ethernet"));
        let (port, index) = match (routed, node.ports.get(leaf)) {
            (Some(name), _) => (split(name).0.to_owned(), split(name).1),
            (None, Some(port)) => (port.clone(), 0),
            (None, None) => (free_port(&taken), 0),
        };
        taken.insert(port.clone());
        plugs.push(Plug {
            port,
            index,
            mac: node_mac(fabric, &key),
            addresses: node.addresses.iter().copied().chain(fabric.held(&key)).collect(),
            gateway: gateway.cloned(),
            bridge,
            cable,
        });
    }
    for (name, _) in fabric.config.clients.iter().filter(|(_, client)| client.leaf == leaf) {
        let port = free_port(&taken);
        taken.insert(port.clone());
        // Nothing says in which segment a silent host is: it is put in the one without nodes.
        let bridge = client_bridge(fabric, leaf);
        let (addresses, gateway) = (Vec::new(), None);
        plugs.push(Plug { port, index: 0, mac: mac_of(name), addresses, gateway, bridge, cable: Cable::Up });
    }
    plugs
}

/// Returns the first free port, from ethernet-1/1 on.
fn free_port(taken: &BTreeSet<String>) -> String {
    (1..).map(|number| format!("ethernet-1/{number}")).find(|port| !taken.contains(port)).unwrap_or_default()
}

/// Returns the interface and index of a subinterface.
fn split(subinterface: &str) -> (&str, u32) {
    let (name, index) = subinterface.rsplit_once('.').unwrap_or((subinterface, "0"));
    (name, index.parse().unwrap_or_default())
}

/// Returns the subinterface of a leaf that has a node's subnet.
fn gateway<'a>(
    fabric: &'a Fabric,
    leaf: &'a str,
    instance: &str,
    addresses: &[IpAddr],
) -> Option<(&'a String, &'a SubinterfaceConfig)> {
    let mut subinterfaces = fabric.config.subinterfaces(leaf, instance);
    subinterfaces.find(|(_, it)| it.addresses_on(leaf).any(|net| addresses.iter().any(|address| net.contains(address))))
}

fn client_bridge(fabric: &Fabric, leaf: &str) -> Option<String> {
    let instances = fabric.config.network_instances.keys();
    let subinterfaces = instances.flat_map(|instance| fabric.config.subinterfaces(leaf, instance));
    let empty = subinterfaces.filter(|(_, it)| {
        let nodes = fabric.config.nodes().flat_map(|(_, _, _, node)| &node.addresses);
        nodes.into_iter().all(|address| !it.addresses_on(leaf).any(|net| net.contains(address)))
    });
    empty.filter_map(|(_, it)| it.bridge.clone()).next()
}

/// Returns a node's MAC address: the configured one, or one derived from its name.
pub(super) fn node_mac(fabric: &Fabric, key: &NodeKey) -> String {
    let cluster = fabric.config.clusters.get(&key.cluster);
    let configured = cluster.and_then(|cluster| cluster.nodes.get(&key.node)?.mac.clone());
    configured.unwrap_or_else(|| mac_of(&format!("{}/{}", key.cluster, key.node)))
}

/// Returns a MAC address like those of containerlab, always the same for the same name.
pub(super) fn mac_of(name: &str) -> String {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, c, ..] = hash.to_be_bytes();
    format!("AA:C1:AB:{a:02X}:{b:02X}:{c:02X}")
}

/// Returns ports, IRBs and loopbacks of a leaf.
fn interfaces(fabric: &Fabric, leaf: &str, plugs: &BTreeMap<&String, Vec<Plug>>) -> BTreeMap<String, Interface> {
    let mut interfaces = BTreeMap::new();
    for plug in &plugs[&leaf.to_owned()] {
        let down = matches!(plug.cable, Cable::Cut | Cable::Gone).then(|| NO_LINK.to_owned());
        let bridged = plug.bridge.is_some();
        let subinterface =
            Subinterface { bridged, down: down.as_ref().map(|_| PORT_DOWN.to_owned()), ..Subinterface::default() };
        let interface = Interface { down, mac: Some(mac_of(&format!("{leaf} {}", plug.port))), ..Interface::default() };
        let port: &mut Interface = interfaces.entry(plug.port.clone()).or_insert(interface);
        port.subinterfaces.insert(plug.index, subinterface);
    }
    for (name, uplink) in &fabric.config.leaves[leaf].uplinks {
        let position = fabric.config.leaves.keys().position(|it| it == leaf).unwrap_or_default() + 1;
        let lldp = LldpNeighbor {
            chassis: mac_of(&uplink.spine),
            system_name: uplink.spine.clone(),
            port: format!("ethernet-1/{position}"),
        };
        let addresses = uplink.address.into_iter().collect();
        let port = own_interface(&mut interfaces, leaf, name, Subinterface { addresses, ..Subinterface::default() });
        port.lldp = Some(lldp);
    }
    let system = fabric.config.leaves[leaf].system.iter().map(|address| IpNet::from(*address)).collect();
    own_interface(&mut interfaces, leaf, "system0.0", Subinterface { addresses: system, ..Subinterface::default() });
    if let Some(address) = fabric.config.leaves[leaf].management {
        let addresses = vec![address];
        own_interface(&mut interfaces, leaf, "mgmt0.0", Subinterface { addresses, ..Subinterface::default() });
    }
    for instance in fabric.config.network_instances.keys().filter(|name| fabric.has_instance(leaf, name)) {
        for (name, config) in fabric.config.subinterfaces(leaf, instance) {
            let gateway = name.starts_with("irb").then(|| GATEWAY_MAC.to_owned());
            let subinterface = Subinterface {
                addresses: config.addresses_on(leaf).copied().collect(),
                anycast_gateway: gateway,
                neighbors: link_neighbors(fabric, leaf, name, config, plugs),
                ..Subinterface::default()
            };
            own_interface(&mut interfaces, leaf, name, subinterface);
        }
    }
    interfaces
}

/// Adds a subinterface of the switch itself to its interface. A port keeps what its cable does to it.
fn own_interface<'a>(
    interfaces: &'a mut BTreeMap<String, Interface>,
    leaf: &str,
    name: &str,
    subinterface: Subinterface,
) -> &'a mut Interface {
    let (interface, index) = split(name);
    let mac = (!interface.starts_with("system") && !interface.starts_with("lo"))
        .then(|| mac_of(&format!("{leaf} {interface}")));
    let interface = interfaces.entry(interface.to_owned()).or_insert(Interface { mac, ..Interface::default() });
    let down = interface.subinterfaces.get(&index).and_then(|it| it.down.clone());
    interface.subinterfaces.insert(index, Subinterface { down, ..subinterface });
    interface
}

/// Returns the ARP and ND entries of a routed subinterface: what is connected here, and what EVPN advertises of its
/// segment.
fn link_neighbors(
    fabric: &Fabric,
    leaf: &str,
    name: &str,
    config: &SubinterfaceConfig,
    plugs: &BTreeMap<&String, Vec<Plug>>,
) -> BTreeMap<IpAddr, LinkNeighbor> {
    let mut neighbors = BTreeMap::new();
    let remote = config.bridge.as_ref().filter(|bridge| bridged_over_fabric(fabric, leaf, bridge));
    for (other, plugs) in plugs.iter().filter(|(other, _)| other.as_str() != leaf) {
        let seen = plugs.iter().filter(|plug| plug.bridge.as_ref() == remote && plug.cable.is_remembered());
        for plug in seen.filter(|_| remote.is_some_and(|bridge| bridged_over_fabric(fabric, other, bridge))) {
            let entry = LinkNeighbor { mac: plug.mac.clone(), by_evpn: true };
            neighbors
                .extend(plug.addresses.iter().filter(|it| on_link(config, leaf, it)).map(|it| (*it, entry.clone())));
        }
    }
    let here = plugs[&leaf.to_owned()].iter();
    for plug in here.filter(|plug| plug.gateway.as_deref() == Some(name) && plug.cable.is_remembered()) {
        let entry = LinkNeighbor { mac: plug.mac.clone(), by_evpn: false };
        neighbors.extend(plug.addresses.iter().filter(|it| on_link(config, leaf, it)).map(|it| (*it, entry.clone())));
    }
    let others = fabric.stale_entries(leaf).chain(fabric.intruders());
    for (address, key) in others.filter(|(address, _)| on_link(config, leaf, address)) {
        if let Some(entry) = neighbors.get_mut(&address) {
            entry.mac = node_mac(fabric, &key);
        }
    }
    neighbors
}

fn on_link(config: &SubinterfaceConfig, leaf: &str, address: &IpAddr) -> bool {
    config.addresses_on(leaf).any(|net| net.contains(address))
}

/// Returns whether a leaf has a segment and takes part in EVPN.
fn bridged_over_fabric(fabric: &Fabric, leaf: &str, bridge: &str) -> bool {
    fabric.config.overlay_as != 0 && fabric.has_instance(leaf, bridge) && fabric.overlay_up(leaf)
}

/// Returns the segment of one configured network instance of a leaf.
fn segment(
    fabric: &Fabric,
    leaf: &str,
    name: &str,
    config: &NetworkInstanceConfig,
    plugs: &BTreeMap<&String, Vec<Plug>>,
) -> Segment {
    let mut segment = Segment { vxlan: vxlan(fabric, leaf, name, config), ..Segment::default() };
    let own = fabric.config.subinterfaces(leaf, name).map(|(name, _)| (name.clone(), None));
    segment.subinterfaces.extend(own);
    if NetworkInstanceKind::from(config.kind) != NetworkInstanceKind::MacVrf {
        return segment;
    }
    for (other, plugs) in plugs {
        for plug in plugs.iter().filter(|plug| plug.bridge.as_deref() == Some(name)) {
            if let Some(entry) = mac_entry(fabric, leaf, name, &Seen { leaf: other, plug }) {
                segment.macs.insert(plug.mac.clone(), entry);
            }
            if other.as_str() == leaf {
                segment.subinterfaces.insert(format!("{}.{}", plug.port, plug.index), None);
            }
        }
    }
    for irb in irbs(fabric, leaf, name) {
        segment.macs.insert(GATEWAY_MAC.to_owned(), MacEntry { destination: MacDestination::Irb(irb.clone()) });
        segment.subinterfaces.insert(irb, None);
    }
    segment
}

/// Returns the entry of a leaf's bridge table for something connected to any leaf.
fn mac_entry(fabric: &Fabric, leaf: &str, name: &str, seen: &Seen<'_>) -> Option<MacEntry> {
    if seen.plug.cable != Cable::Up || !fabric.has_instance(leaf, name) {
        return None;
    }
    let destination = if seen.leaf == leaf {
        MacDestination::Subinterface(format!("{}.{}", seen.plug.port, seen.plug.index))
    } else if [leaf, seen.leaf].iter().all(|it| bridged_over_fabric(fabric, it, name)) {
        MacDestination::Vtep(fabric.config.vtep(seen.leaf))
    } else {
        return None;
    };
    Some(MacEntry { destination })
}

impl Fabric {
    /// Returns the node that a name in a lever refers to.
    fn named(&self, name: &str) -> Option<NodeKey> {
        let keys =
            self.config.nodes().map(|(cluster, _, node, _)| NodeKey { cluster: cluster.clone(), node: node.clone() });
        keys.into_iter().find(|key| lever::names(name, &key.cluster, &key.node))
    }

    /// Returns addresses whose entry a leaf has kept from an earlier holder.
    fn stale_entries(&self, on: &str) -> impl Iterator<Item = (IpAddr, NodeKey)> {
        self.levers().filter_map(move |lever| match lever {
            Lever::StaleEntry { leaf, address, node } if leaf == on => Some((*address, self.named(node)?)),
            _ => None,
        })
    }

    /// Returns addresses for which another node than the holder has answered last: the two answer in turn.
    fn intruders(&self) -> impl Iterator<Item = (IpAddr, NodeKey)> {
        self.levers().filter(|_| self.intruders_turn).filter_map(|lever| match lever {
            Lever::DuplicateAddress { address, node } => Some((*address, self.named(node)?)),
            _ => None,
        })
    }
}

/// Returns the IRBs of a leaf that are in a segment.
fn irbs(fabric: &Fabric, leaf: &str, bridge: &str) -> Vec<String> {
    let instances = fabric.config.network_instances.keys().filter(|name| fabric.has_instance(leaf, name));
    let subinterfaces = instances.flat_map(|instance| fabric.config.subinterfaces(leaf, instance));
    subinterfaces.filter(|(_, it)| it.bridge.as_deref() == Some(bridge)).map(|(name, _)| name.clone()).collect()
}

/// Returns the VXLAN of a network instance, with the other leaves that have it.
fn vxlan(fabric: &Fabric, leaf: &str, name: &str, config: &NetworkInstanceConfig) -> Option<Vxlan> {
    let bridged = NetworkInstanceKind::from(config.kind) == NetworkInstanceKind::MacVrf;
    if fabric.config.overlay_as == 0 || !(bridged || config.evpn.is_some()) {
        return None;
    }
    let vni = config.vni.unwrap_or(config.id);
    let target = config.evpn.as_ref().map(|evpn| evpn.route_target.clone());
    let others = fabric.config.leaves.keys().filter(|other| other.as_str() != leaf && bridged);
    let vteps = others.filter(|other| [leaf, other].iter().all(|it| bridged_over_fabric(fabric, it, name)));
    Some(Vxlan {
        vni,
        vteps: vteps.map(|other| fabric.config.vtep(other)).collect(),
        route_target: target.unwrap_or_else(|| format!("target:{}:{vni}", fabric.config.overlay_as)),
    })
}

/// Returns the subinterfaces of `default` and `mgmt`.
fn underlay_segment(fabric: &Fabric, leaf: &str, name: &str) -> Segment {
    let config = &fabric.config.leaves[leaf];
    let names: Vec<String> = match name {
        "default" => config.uplinks.keys().cloned().chain(["system0.0".to_owned()]).collect(),
        _ => vec!["mgmt0.0".to_owned()],
    };
    Segment { subinterfaces: names.into_iter().map(|name| (name, None)).collect(), ..Segment::default() }
}
