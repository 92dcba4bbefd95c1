//! Exposes the parser of Get answers to a fuzzer.

use std::net::{IpAddr, Ipv4Addr};

use super::read;
use crate::model::inquiry::{AddressKey, PathKey};
use crate::model::switch::{NeighborKey, PeerAddress};
use srl_proto::gnmi;

/// Reads all that can be asked about one node and one VIP. Returns the number of leaves read.
pub(in crate::gnmi) fn look_through(response: gnmi::GetResponse) -> usize {
    let leaves = read(response);
    let node = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 11));
    let instance = || "ip-vrf-1".into();
    let peer = PeerAddress { ip: node, interface: None };
    let _ = leaves.neighbor(&NeighborKey { network_instance: instance(), peer });
    let place = leaves.entry(&AddressKey { network_instance: instance(), address: node });
    let port = place.as_ref().and_then(|place| leaves.port(&place.subinterface, &place.link_layer_address));
    let _ = place.map(|place| leaves.subinterface_down(&place.subinterface));
    let _ = port.map(|port| leaves.port_down(&port));
    let prefix = ipnet::IpNet::from(IpAddr::V4(Ipv4Addr::new(1, 1, 1, 100)));
    let _ = leaves.path(&PathKey { network_instance: instance(), prefix, neighbor: node });
    leaves.0.len()
}
