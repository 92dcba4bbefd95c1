//! Converts NDK notifications to values of the model. No input can cause a panic: what is unreadable is reported and
//! left out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::event::SwitchEvent;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{BfdKey, BfdState, NetworkInstance, NextHopGroup, NextHopGroupId, Route};
use ndk::bfd_general_session_key::Key as BfdWireKey;
use ndk::next_hop::Nexthop;
use srl_proto::ndk;

/// Why a notification, or a part of it, was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The message is not protobuf of the expected shape.
    #[error("the message does not decode: {0}")]
    Wire(#[from] prost::DecodeError),
    /// An address has neither 4 nor 16 bytes.
    #[error("an address has {0} bytes, not 4 or 16")]
    Address(usize),
    /// A prefix length exceeds the bits of its family.
    #[error("the prefix length of {address}/{length} is more than the address has bits")]
    PrefixLength {
        /// The address of the prefix.
        address: IpAddr,
        /// The length that was sent.
        length: u32,
    },
    /// The agent does not know this operation.
    #[error("operation {0} of {1} is unknown")]
    Operation(i32, &'static str),
    /// A key lacks what identifies the entry.
    #[error("the key of {0} is missing or empty")]
    Key(&'static str),
    /// An entry is new or changed, but has no data.
    #[error("{0} is new or changed, but comes without data")]
    Data(&'static str),
    /// The agent does not know this enumeration value.
    #[error("{0} has the unknown state {1}")]
    State(&'static str, i32),
    /// Configuration was delivered as type-length-values.
    #[error("configuration comes in binary: set config-delivery-format json for this agent in its app_mgr file")]
    BinaryConfig,
}

/// Bits before the IPv4 address in a mapped address.
const MAPPED: u32 = 96;

/// Returns whether an entry exists (new or changed) rather than is gone. Handles both cache modes: create and update,
/// or create-or-update.
pub(crate) fn stands(operation: i32, what: &'static str) -> Result<bool, DecodeError> {
    match ndk::SdkMgrOperation::try_from(operation) {
        Ok(ndk::SdkMgrOperation::Delete) => Ok(false),
        Ok(_) => Ok(true),
        Err(_) => Err(DecodeError::Operation(operation, what)),
    }
}

/// Parses an address of 4 or 16 bytes in network order. `::ffff:a.b.c.d` becomes `a.b.c.d`.
pub(crate) fn address(bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(octets) => Ok(Ipv6Addr::from(octets).to_canonical()),
        Err(_) => Err(DecodeError::Address(bytes.len())),
    }
}

/// Parses a prefix, and clears its host bits. A mapped prefix (`::ffff:0:0/96` and longer) becomes the IPv4 prefix it
/// stands for.
pub(crate) fn prefix(bytes: &[u8], length: u32) -> Result<IpNet, DecodeError> {
    let (address, length) = match (bytes.len(), address(bytes)?) {
        (16, IpAddr::V4(mapped)) if length >= MAPPED => (IpAddr::V4(mapped), length - MAPPED),
        (16, IpAddr::V4(mapped)) => (IpAddr::V6(mapped.to_ipv6_mapped()), length),
        (_, address) => (address, length),
    };
    u8::try_from(length)
        .ok()
        .and_then(|length| IpNet::new(address, length).ok())
        .map(|prefix| prefix.trunc())
        .ok_or(DecodeError::PrefixLength { address, length })
}

/// Returns the values of a route.
pub(crate) fn route(data: &ndk::Route) -> Route {
    Route {
        owner: data.owner_id,
        preference: data.preference,
        metric: data.metric,
        next_hop_group: NextHopGroupId(data.nexthop_group_id),
    }
}

/// Returns a next-hop group with the next-hops that have an address. A group with an unreadable address counts as not
/// received, because neither its former content nor the rest of it can be relied on. The third value is what was
/// unreadable.
pub(crate) fn next_hop_group(
    notification: &ndk::NextHopGroupNotification,
) -> Result<(NextHopGroupId, Option<NextHopGroup>, Option<DecodeError>), DecodeError> {
    let id = NextHopGroupId(notification.key);
    if !stands(notification.op, "a next-hop group")? {
        return Ok((id, None, None));
    }
    let data = notification.data.as_ref().ok_or(DecodeError::Data("a next-hop group"))?;
    Ok(match next_hops(&data.nexthops) {
        Ok(next_hops) => (id, Some(NextHopGroup { next_hops }), None),
        Err(error) => (id, None, Some(error)),
    })
}

/// Returns the next-hops that a route itself contains; `None` if it names a group, or contains none.
pub(crate) fn carried(data: &ndk::Route) -> Result<Option<Arc<[IpAddr]>>, DecodeError> {
    if data.nexthop_group_id != 0 || data.nexthops.is_empty() {
        return Ok(None);
    }
    next_hops(&data.nexthops).map(Some)
}

/// Returns the addresses of next-hops that have one, sorted and without duplicates.
fn next_hops(next_hops: &[ndk::NextHop]) -> Result<Arc<[IpAddr]>, DecodeError> {
    let addresses = next_hops.iter().filter_map(next_hop_address).map(address);
    let mut addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses.into())
}

/// Returns the address bytes of a next-hop; `None` if it has no address (discard, broadcast, extract).
fn next_hop_address(next_hop: &ndk::NextHop) -> Option<&[u8]> {
    let address = match next_hop.nexthop.as_ref()? {
        Nexthop::IpNexthop(address) => Some(address),
        Nexthop::MplsNexthop(mpls) => mpls.ip_nexthop.as_ref(),
    }?;
    (!address.ip_address.is_empty()).then_some(&*address.ip_address)
}

/// Returns a network instance, or its removal.
pub(crate) fn network_instance(notification: &ndk::NetworkInstanceNotification) -> Result<SwitchEvent, DecodeError> {
    let name = notification.key.as_ref().map_or("", |key| &key.instance_name);
    if name.is_empty() {
        return Err(DecodeError::Key("a network instance"));
    }
    let instance = if stands(notification.op, "a network instance")? {
        let data = notification.data.as_ref().ok_or(DecodeError::Data("a network instance"))?;
        Some(NetworkInstance { id: data.network_instance_id, oper_up: data.oper_is_up })
    } else {
        None
    };
    Ok(SwitchEvent::NetworkInstance(NetworkInstanceName::from(name), instance))
}

/// Returns whether the data of a network instance are empty: a switch may send an entry before it has filled it in.
pub(crate) fn is_zeroed(data: &ndk::NetworkInstanceData) -> bool {
    *data == ndk::NetworkInstanceData::default()
}

/// Returns the name of an application, or its removal.
pub(crate) fn application(notification: &ndk::AppIdentNotification) -> Result<SwitchEvent, DecodeError> {
    let id = notification.key.as_ref().ok_or(DecodeError::Key("an application"))?.id;
    let name = if stands(notification.op, "an application")? {
        let data = notification.data.as_ref().ok_or(DecodeError::Data("an application"))?;
        Some(Arc::from(data.name.as_str()))
    } else {
        None
    };
    Ok(SwitchEvent::Application(id, name))
}

/// Returns a BFD session between two addresses, or its removal; `None` for other kinds of BFD session.
pub(crate) fn bfd(notification: &ndk::BfdSessionNotification) -> Result<Option<SwitchEvent>, DecodeError> {
    let key = notification.key.as_ref().ok_or(DecodeError::Key("a BFD session"))?;
    let p2p = match &key.key {
        Some(BfdWireKey::P2p(p2p)) => p2p,
        Some(_) => return Ok(None),
        None => return Err(DecodeError::Key("a BFD session")),
    };
    let end = |address: &Option<ndk::IpAddressPb>| self::address(address.as_ref().map_or(&[], |pb| &pb.ip_address));
    let key = BfdKey {
        network_instance: p2p.instance_id,
        local: end(&p2p.source_ip_address)?,
        remote: end(&p2p.destination_ip_address)?,
    };
    let state = if stands(notification.op, "a BFD session")? {
        bfd_state(notification.data.as_ref().ok_or(DecodeError::Data("a BFD session"))?.status)?
    } else {
        None
    };
    Ok(Some(SwitchEvent::Bfd(key, state)))
}

/// Returns the state of a BFD session; `None` while the switch itself calls it invalid.
fn bfd_state(status: i32) -> Result<Option<BfdState>, DecodeError> {
    match ndk::BfdSessionStatus::try_from(status) {
        Ok(ndk::BfdSessionStatus::Invalid) => Ok(None),
        Ok(ndk::BfdSessionStatus::AdminDown) => Ok(Some(BfdState::AdminDown)),
        Ok(ndk::BfdSessionStatus::Down) => Ok(Some(BfdState::Down)),
        Ok(ndk::BfdSessionStatus::Init) => Ok(Some(BfdState::Init)),
        Ok(ndk::BfdSessionStatus::Up) => Ok(Some(BfdState::Up)),
        Err(_) => Err(DecodeError::State("a BFD session", status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(bytes: &'static [u8]) -> ndk::NextHop {
        let address = ndk::IpAddressPb { ip_address: bytes.into() };
        ndk::NextHop { nexthop: Some(Nexthop::IpNexthop(address)), ..Default::default() }
    }

    #[test]
    fn addresses_are_4_or_16_bytes() {
        assert_eq!(address(&[10, 0, 0, 1]), Ok(IpAddr::from([10, 0, 0, 1])));
        assert_eq!(address(&[0; 16]), Ok(IpAddr::from([0u8; 16])));
        for length in [0, 1, 3, 5, 15, 17] {
            assert_eq!(address(&vec![0; length]), Err(DecodeError::Address(length)));
        }
    }

    #[test]
    fn prefix_lengths_are_checked_by_family_and_host_bits_cleared() {
        assert_eq!(prefix(&[10, 1, 2, 3], 8).map(|prefix| prefix.to_string()), Ok("10.0.0.0/8".to_owned()));
        assert!(matches!(prefix(&[10, 1, 2, 3], 33), Err(DecodeError::PrefixLength { .. })));
        assert!(matches!(prefix(&[10, 1, 2, 3], 264), Err(DecodeError::PrefixLength { .. })));
        assert!(prefix(&[0; 16], 128).is_ok());
        assert!(matches!(prefix(&[0; 16], 129), Err(DecodeError::PrefixLength { .. })));
    }

    #[test]
    fn ipv4_mapped_addresses_and_prefixes_are_read_as_ipv4() {
        let mapped = Ipv4Addr::new(10, 1, 1, 11).to_ipv6_mapped().octets();
        assert_eq!(address(&mapped), Ok(IpAddr::from([10, 1, 1, 11])));
        assert_eq!(prefix(&mapped, 128).map(|prefix| prefix.to_string()), Ok("10.1.1.11/32".to_owned()));
        assert_eq!(prefix(&mapped, 104).map(|prefix| prefix.to_string()), Ok("10.0.0.0/8".to_owned()));
        assert_eq!(prefix(&mapped, 64).map(|prefix| prefix.to_string()), Ok("::/64".to_owned()));
    }

    #[test]
    fn only_a_route_without_a_group_carries_next_hops() {
        let mut route = ndk::Route { nexthops: vec![hop(&[10, 0, 0, 2]), hop(&[10, 0, 0, 1])], ..Default::default() };
        let carried = super::carried(&route).expect("readable").expect("two");
        assert_eq!(&*carried, [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]);
        route.nexthop_group_id = 7;
        assert_eq!(super::carried(&route), Ok(None));
        assert_eq!(super::carried(&ndk::Route::default()), Ok(None));
    }

    #[test]
    fn a_missing_operation_means_create() {
        assert_eq!(stands(0, "x"), Ok(true));
        assert_eq!(stands(1, "x"), Ok(true));
        assert_eq!(stands(2, "x"), Ok(false));
        assert_eq!(stands(3, "x"), Ok(true));
        assert_eq!(stands(4, "x"), Err(DecodeError::Operation(4, "x")));
    }

    #[test]
    fn a_group_is_the_sorted_set_of_its_next_hops_with_an_address() {
        let mpls = ndk::MplsNextHop { ip_nexthop: Some(ndk::IpAddressPb::default()), label_stacks: Vec::new() };
        let nexthops = vec![
            hop(&[10, 0, 0, 2]),
            hop(&[]),
            ndk::NextHop::default(),
            ndk::NextHop { nexthop: Some(Nexthop::MplsNexthop(mpls)), ..Default::default() },
            hop(&[10, 0, 0, 1]),
            hop(&[10, 0, 0, 2]),
        ];
        let mut group = ndk::NextHopGroup { nexthops };
        let notification = |data| ndk::NextHopGroupNotification { op: 3, key: 7, data: Some(data) };
        let (id, group_read, unreadable) = next_hop_group(&notification(group.clone())).expect("a group");
        assert_eq!((id, unreadable), (NextHopGroupId(7), None));
        let next_hops = group_read.expect("stands").next_hops;
        assert_eq!(&*next_hops, [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])]);
        group.nexthops.push(hop(&[1, 2, 3]));
        let (_, group_read, unreadable) = next_hop_group(&notification(group)).expect("a group");
        assert_eq!((group_read, unreadable), (None, Some(DecodeError::Address(3))), "half a group is not judged by");
    }

    #[test]
    fn a_created_group_needs_data_but_a_deleted_one_does_not() {
        let mut notification = ndk::NextHopGroupNotification { op: 2, key: 7, data: None };
        assert_eq!(next_hop_group(&notification), Ok((NextHopGroupId(7), None, None)));
        notification.op = 0;
        assert_eq!(next_hop_group(&notification), Err(DecodeError::Data("a next-hop group")));
    }

    #[test]
    fn bfd_sessions_of_other_kinds_are_ignored_and_unknown_states_are_errors() {
        let micro = BfdWireKey::Microbfd(Default::default());
        let mut notification = ndk::BfdSessionNotification {
            op: 0,
            key: Some(ndk::BfdGeneralSessionKey { r#type: 2, key: Some(micro) }),
            data: None,
        };
        assert!(matches!(bfd(&notification), Ok(None)));
        let pb = |bytes: &'static [u8]| Some(ndk::IpAddressPb { ip_address: bytes.into() });
        let p2p = ndk::bfd_general_session_key::P2pKey {
            source_ip_address: pb(&[10, 0, 0, 1]),
            destination_ip_address: pb(&[10, 0, 0, 2]),
            instance_id: 5,
            ..Default::default()
        };
        notification.key = Some(ndk::BfdGeneralSessionKey { r#type: 1, key: Some(BfdWireKey::P2p(p2p)) });
        notification.data = Some(ndk::BfdGeneralSessionData { status: 4, ..Default::default() });
        assert!(matches!(bfd(&notification), Ok(Some(SwitchEvent::Bfd(_, Some(BfdState::Up))))));
        notification.data = Some(ndk::BfdGeneralSessionData { status: 99, ..Default::default() });
        assert_eq!(bfd(&notification).err(), Some(DecodeError::State("a BFD session", 99)));
    }
}
