//! Native state of the layers below routing: interfaces, ARP and ND, bridge tables, tunnels, LLDP.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::native_state::{at, now};
use crate::path::Path;
use crate::tables::{Interface, LinkNeighbor, MacDestination, MacEntry, Segment, Subinterface, Vxlan};

/// The tunnel interface of which all VXLANs are subinterfaces.
const TUNNEL: &str = "vxlan1";

pub(super) fn interface_path(name: &str) -> Path {
    at(&[("interface", &[("name", name)])])
}

/// Returns an interface of which only the state is known.
pub(super) fn plain_interface(up: bool) -> Value {
    json!({ "admin-state": "enable", "oper-state": oper(up), "last-change": now() })
}

pub(super) fn interface(name: &str, it: &Interface) -> Value {
    let mut value = json!({
        "admin-state": "enable",
        "oper-state": oper(it.down.is_none()),
        "last-change": now(),
        "subinterface": it.subinterfaces.iter().map(|(index, it)| subinterface(name, *index, it)).collect::<Vec<_>>(),
    });
    if let Some(reason) = &it.down {
        value["oper-down-reason"] = reason.as_str().into();
    }
    if let Some(mac) = &it.mac {
        value["ethernet"] = json!({ "hw-mac-address": mac });
    }
    value
}

fn oper(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

fn subinterface(name: &str, index: u32, it: &Subinterface) -> Value {
    let mut value = json!({
        "index": index,
        "name": format!("{name}.{index}"),
        "type": if it.bridged { "bridged" } else { "routed" },
        "admin-state": "enable",
        "oper-state": oper(it.down.is_none()),
        "last-change": now(),
    });
    if let Some(reason) = &it.down {
        value["oper-down-reason"] = reason.as_str().into();
    }
    if let Some(mac) = &it.anycast_gateway {
        value["anycast-gw"] = json!({ "virtual-router-id": 1, "anycast-gw-mac": mac });
    }
    if !it.bridged {
        value["ip-mtu"] = 1500.into();
        for (family, v4) in [("ipv4", true), ("ipv6", false)] {
            value[family] = addresses(it, v4);
        }
    }
    value
}

fn addresses(it: &Subinterface, v4: bool) -> Value {
    let own = it.addresses.iter().filter(|address| address.addr().is_ipv4() == v4);
    let own: Vec<Value> = own
        .map(|address| {
            let anycast = it.anycast_gateway.is_some();
            json!({ "ip-prefix": address.to_string(), "origin": "static", "anycast-gw": anycast })
        })
        .collect();
    let neighbors = it.neighbors.iter().filter(|(address, _)| address.is_ipv4() == v4);
    let neighbors: Vec<Value> = neighbors.map(|(address, it)| neighbor(*address, it)).collect();
    if own.is_empty() && neighbors.is_empty() {
        return json!({ "admin-state": "disable" });
    }
    let below = if v4 { "arp" } else { "neighbor-discovery" };
    json!({ "admin-state": "enable", "address": own, below: { "neighbor": neighbors } })
}

fn neighbor(address: IpAddr, it: &LinkNeighbor) -> Value {
    let origin = if it.by_evpn { "evpn" } else { "dynamic" };
    match address {
        IpAddr::V4(address) => json!({
            "ipv4-address": address.to_string(),
            "link-layer-address": it.mac,
            "origin": origin,
        }),
        IpAddr::V6(address) => json!({
            "ipv6-address": address.to_string(),
            "link-layer-address": it.mac,
            "origin": origin,
            "is-router": false,
            "current-state": "reachable",
        }),
    }
}

pub(super) fn lldp_path(interface: &str) -> Path {
    at(&[("system", &[]), ("lldp", &[]), ("interface", &[("name", interface)])])
}

pub(super) fn lldp(it: &Interface) -> Value {
    let neighbors = it.lldp.iter().enumerate().map(|(position, it)| {
        json!({
            "id": (position + 1).to_string(),
            "chassis-id": it.chassis,
            "chassis-id-type": "MAC_ADDRESS",
            "system-name": it.system_name,
            "port-id": it.port,
            "port-id-type": "INTERFACE_NAME",
        })
    });
    json!({ "admin-state": "enable", "oper-state": oper(it.down.is_none()), "neighbor": neighbors.collect::<Vec<_>>() })
}

/// Adds the segment to a network instance's own entry.
pub(super) fn segment(it: &Segment, value: &mut Map<String, Value>) {
    let interfaces = it.subinterfaces.iter().map(|(name, down)| {
        let mut value = json!({ "name": name, "oper-state": oper(down.is_none()) });
        if down.is_some() {
            value["oper-down-reason"] = "subif-down".into();
        }
        value
    });
    value.insert("interface".into(), interfaces.collect());
    if let Some(vxlan) = &it.vxlan {
        let instance = json!([{ "name": format!("{TUNNEL}.{}", vxlan.vni), "oper-state": "up" }]);
        value.insert("vxlan-interface".into(), instance);
    }
}

pub(super) fn protocols_path(instance: &str, protocol: &str) -> Path {
    at(&[
        ("network-instance", &[("name", instance)]),
        ("protocols", &[]),
        (protocol, &[]),
        ("bgp-instance", &[("id", "1")]),
    ])
}

pub(super) fn bgp_evpn(it: &Vxlan) -> Value {
    json!({
        "admin-state": "enable",
        "evi": it.vni,
        "vxlan-interface": format!("{TUNNEL}.{}", it.vni),
        "oper-state": "up",
    })
}

pub(super) fn bgp_vpn(it: &Vxlan, router_id: Option<IpAddr>) -> Value {
    let mut value = json!({ "route-target": { "export-rt": it.route_target, "import-rt": it.route_target } });
    if let Some(id) = router_id {
        value["route-distinguisher"] = json!({ "rd": format!("{id}:{}", it.vni) });
    }
    value
}

pub(super) fn mac_path(instance: &str, mac: &str) -> Path {
    at(&[
        ("network-instance", &[("name", instance)]),
        ("bridge-table", &[]),
        ("mac-table", &[]),
        ("mac", &[("address", mac)]),
    ])
}

pub(super) fn mac(it: &MacEntry, vxlan: Option<&Vxlan>) -> Value {
    let (destination, kind, learned) = match &it.destination {
        MacDestination::Subinterface(name) => (name.clone(), "sub-interface", "learnt"),
        MacDestination::Vtep(vtep) => {
            let vni = vxlan.map_or(0, |vxlan| vxlan.vni);
            (format!("vxlan-interface:{TUNNEL}.{vni} vtep:{vtep} vni:{vni}"), "vxlan", "evpn")
        }
        MacDestination::Irb(name) => (name.clone(), "irb-interface", "irb-interface-anycast"),
    };
    json!({
        "destination": destination,
        "destination-type": kind,
        "type": learned,
        "last-update": now(),
    })
}

pub(super) fn tunnel_path(vni: u32) -> Path {
    at(&[("tunnel-interface", &[("name", TUNNEL)]), ("vxlan-interface", &[("index", &vni.to_string())])])
}

pub(super) fn tunnel(it: &Vxlan, bridged: bool) -> Value {
    let destinations = it.vteps.iter().map(|vtep| json!({ "vtep": vtep.to_string(), "vni": it.vni }));
    json!({
        "type": if bridged { "bridged" } else { "routed" },
        "ingress": { "vni": it.vni },
        "bridge-table": { "unicast-destinations": { "destination": destinations.collect::<Vec<_>>() } },
    })
}
