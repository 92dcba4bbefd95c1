//! Shows the changes of the layers around routing: interfaces, segments, RIBs.

use std::collections::BTreeMap;

use srl_proto::ndk as pb;

use super::changes::{Announcements, differences};
use super::{native_link, native_rib};
use crate::datastore::StateOp;
use crate::ndk::{Key, Row};
use crate::tables::{Interface, NetworkInstance, NetworkInstanceKind, Segment, Tables};

/// Shows interfaces and their LLDP neighbors.
pub(super) fn show_interfaces(old: &Tables, new: &Tables, announcements: &mut Announcements, ops: &mut Vec<StateOp>) {
    for (name, before, after) in differences(&old.interfaces, &new.interfaces) {
        match after {
            Some(it) => ops.push(StateOp::Replace(native_link::interface_path(name), native_link::interface(name, it))),
            None => ops.push(StateOp::Delete(native_link::interface_path(name))),
        }
        match after.filter(|it| it.lldp.is_some()) {
            Some(it) => ops.push(StateOp::Replace(native_link::lldp_path(name), native_link::lldp(it))),
            None if before.is_some_and(|it| it.lldp.is_some()) => {
                ops.push(StateOp::Delete(native_link::lldp_path(name)));
            }
            None => {}
        }
        show_lldp_rows(name, before, after, announcements);
        let row = after.map(|it| interface_row(name, it.down.is_none(), it.mac.as_deref()));
        announcements.others.push((Key::Interface(name.clone()), row));
    }
}

/// Returns an interface as the NDK sends it.
pub(super) fn interface_row(name: &str, up: bool, mac: Option<&str>) -> Row {
    use pb::IfMgrIfType as Type;
    let kind = match name {
        _ if name.starts_with("mgmt") => Type::Management,
        _ if name.starts_with("irb") => Type::Irb,
        _ if name.starts_with("lo") => Type::Loopback,
        _ if name.starts_with("system") => Type::System,
        _ => Type::Ethernet,
    };
    Row::Interface(Box::new(pb::InterfaceData {
        admin_is_up: 1,
        mtu: 9232,
        interface_type: kind as i32,
        oper_is_up: u32::from(up),
        mac_address: mac.map(mac_message),
        ..pb::InterfaceData::default()
    }))
}

fn mac_message(mac: &str) -> pb::MacAddressPb {
    let bytes: Vec<u8> = mac.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    pb::MacAddressPb { mac_address: bytes.into() }
}

fn show_lldp_rows(
    name: &str,
    before: Option<&Interface>,
    after: Option<&Interface>,
    announcements: &mut Announcements,
) {
    let heard = |it: Option<&Interface>| it.and_then(|it| it.lldp.clone());
    let key = |chassis: &str| Key::Lldp {
        interface: name.to_owned(),
        chassis: chassis.to_owned(),
        kind: pb::lldp_neighbor_key::ChassisIdType::MacAddress as i32,
    };
    let (was, is) = (heard(before), heard(after));
    if let Some(was) = was.filter(|was| is.as_ref().is_none_or(|is| is.chassis != was.chassis)) {
        announcements.others.push((key(&was.chassis), None));
    }
    if let Some(is) = is {
        let data = pb::LldpNeighborData {
            port_id: is.port.clone(),
            system_name: is.system_name.clone(),
            ..pb::LldpNeighborData::default()
        };
        announcements.others.push((key(&is.chassis), Some(Row::Lldp(Box::new(data)))));
    }
}

/// Shows the layer below a network instance. Its subinterfaces are part of the instance's own entry.
pub(super) fn show_segment(
    name: &str,
    old: Option<&NetworkInstance>,
    new: Option<&NetworkInstance>,
    ops: &mut Vec<StateOp>,
) {
    let nothing = Segment::default();
    let (before, after) = (old.map_or(&nothing, |it| &it.segment), new.map_or(&nothing, |it| &it.segment));
    for (mac, _, entry) in differences(&before.macs, &after.macs) {
        let path = native_link::mac_path(name, mac);
        ops.push(match entry {
            Some(entry) => StateOp::Replace(path, native_link::mac(entry, after.vxlan.as_ref())),
            None => StateOp::Delete(path),
        });
    }
    if before.vxlan == after.vxlan {
        return;
    }
    if let Some(gone) = &before.vxlan {
        ops.push(StateOp::Delete(native_link::tunnel_path(gone.vni)));
        for protocol in ["bgp-evpn", "bgp-vpn"] {
            ops.push(StateOp::Delete(native_link::protocols_path(name, protocol)));
        }
    }
    if let (Some(vxlan), Some(instance)) = (&after.vxlan, new) {
        let bridged = instance.kind == NetworkInstanceKind::MacVrf;
        ops.push(StateOp::Replace(native_link::tunnel_path(vxlan.vni), native_link::tunnel(vxlan, bridged)));
        let evpn = native_link::bgp_evpn(vxlan);
        ops.push(StateOp::Replace(native_link::protocols_path(name, "bgp-evpn"), evpn));
        let vpn = native_link::bgp_vpn(vxlan, instance.router_id);
        ops.push(StateOp::Replace(native_link::protocols_path(name, "bgp-vpn"), vpn));
    }
}

/// Shows a RIB.
pub(super) fn show_rib(
    name: &str,
    old: Option<&NetworkInstance>,
    new: Option<&NetworkInstance>,
    ops: &mut Vec<StateOp>,
) {
    let preference = new.and_then(|it| it.bgp_preference);
    if old.and_then(|it| it.bgp_preference) != preference {
        let path = native_rib::preference_path(name);
        ops.push(match preference {
            Some(preference) => StateOp::Replace(path, native_rib::preference(preference)),
            None => StateOp::Delete(path),
        });
    }
    let nothing = BTreeMap::new();
    let (before, after) = (old.map_or(&nothing, |it| &it.rib), new.map_or(&nothing, |it| &it.rib));
    if before == after {
        return;
    }
    if after.is_empty() {
        let families = ["ipv4-unicast", "ipv6-unicast"].map(|family| native_rib::rib_path(name, family));
        ops.extend(families.into_iter().chain([native_rib::sets_path(name)]).map(StateOp::Delete));
        return;
    }
    ops.extend(native_rib::rib(name, after).map(|(path, value)| StateOp::Replace(path, value)));
}
