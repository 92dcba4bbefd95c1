//! The rows that notifications carry: one ordered map, in which each table is a contiguous range of keys.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use ipnet::IpNet;
use srl_proto::ndk as pb;

/// Key of a row. The variant is the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An interface, by name.
    Interface(String),
    /// A network instance, by name.
    NetworkInstance(String),
    /// An LLDP neighbor.
    Lldp {
        /// Interface, such as `ethernet-1/1`.
        interface: String,
        /// Chassis id, as the neighbor sends it.
        chassis: String,
        /// Number of the chassis-id type.
        kind: i32,
    },
    /// A point-to-point BFD session.
    Bfd {
        /// The switch's address.
        source: IpAddr,
        /// The peer's address.
        destination: IpAddr,
        /// Number of the network instance.
        instance: u32,
    },
    /// The active route of a prefix.
    Route {
        /// Name of the network instance.
        network_instance: Arc<str>,
        /// Prefix of the route.
        prefix: IpNet,
    },
    /// An application, by its id.
    App(u32),
    /// A next-hop group, by its number.
    Group(u64),
}

/// Data of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Data of an interface.
    Interface(Box<pb::InterfaceData>),
    /// Data of a network instance.
    NetworkInstance(Box<pb::NetworkInstanceData>),
    /// Data of an LLDP neighbor.
    Lldp(Box<pb::LldpNeighborData>),
    /// Data of a BFD session.
    Bfd(pb::BfdGeneralSessionData),
    /// Data of a route.
    Route(RouteRow),
    /// Data of an application.
    App(Box<pb::AppIdentData>),
    /// Data of a next-hop group.
    Group(Arc<[pb::NextHop]>),
}

/// The active route, as the NDK sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRow {
    /// `preference`
    pub preference: u8,
    /// `metric`
    pub metric: u32,
    /// Id of the application that owns it.
    pub owner: u32,
    /// Number of its next-hop group.
    pub group: u64,
}

/// A subscription's table and its optional filter.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Interface(String),
    NetworkInstance,
    Lldp { interface: String },
    Bfd(Option<Key>),
    Route { network_instance: String, prefix: Option<IpNet> },
    App(u32),
    Group { name: String },
    Config { js_path: String },
}

impl Filter {
    /// Returns the filter that a request asks for.
    pub(crate) fn of(subscription: &pb::notification_register_request::SubscriptionTypes) -> Self {
        use pb::notification_register_request::SubscriptionTypes as Types;
        match subscription {
            Types::Interface(it) => {
                Self::Interface(it.key.as_ref().map(|key| key.interface_name.clone()).unwrap_or_default())
            }
            Types::NetworkInstance(_) => Self::NetworkInstance,
            Types::LldpNeighbor(it) => {
                Self::Lldp { interface: it.key.as_ref().map(|key| key.interface_name.clone()).unwrap_or_default() }
            }
            Types::Config(it) => {
                Self::Config { js_path: it.key.as_ref().map(|key| key.js_path.clone()).unwrap_or_default() }
            }
            Types::BfdSession(it) => Self::Bfd(it.key.as_ref().and_then(bfd_key)),
            Types::Route(it) => Self::Route {
                network_instance: it.key.as_ref().map(|key| key.network_instance_name.clone()).unwrap_or_default(),
                prefix: it.key.as_ref().and_then(|key| key.ip_prefix.as_ref()).and_then(prefix_of),
            },
            Types::AppId(it) => Self::App(it.key.as_ref().map(|key| key.id).unwrap_or_default()),
            Types::NexthopGroup(it) => {
                Self::Group { name: it.key.as_ref().map(|key| key.name.clone()).unwrap_or_default() }
            }
        }
    }

    /// Returns whether the filter selects this row. Next-hop groups of the switch have no name, so a name selects none
    /// of them.
    pub(crate) fn wants(&self, key: &Key) -> bool {
        match (self, key) {
            (Self::Interface(name), Key::Interface(key)) => name.is_empty() || name == key,
            (Self::NetworkInstance, Key::NetworkInstance(_)) => true,
            (Self::Lldp { interface }, Key::Lldp { interface: key, .. }) => interface.is_empty() || interface == key,
            (Self::Bfd(wanted), Key::Bfd { .. }) => wanted.as_ref().is_none_or(|wanted| wanted == key),
            (Self::Route { network_instance, prefix }, Key::Route { network_instance: of, prefix: key }) => {
                (network_instance.is_empty() || **network_instance == **of) && prefix.is_none_or(|it| it == *key)
            }
            (Self::App(id), Key::App(key)) => *id == 0 || id == key,
            (Self::Group { name }, Key::Group(_)) => name.is_empty(),
            _ => false,
        }
    }

    /// Returns whether the filter selects configuration at this path: the path itself, or also below it if the filter
    /// ends in `*`.
    pub(crate) fn wants_config(&self, path: &str) -> bool {
        match self {
            Self::Config { js_path } if js_path.is_empty() => true,
            Self::Config { js_path } => match js_path.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix.trim_end_matches('.')),
                None => path == js_path,
            },
            _ => false,
        }
    }

    /// Returns the lowest possible key of its table; `None` for configuration, which is not a table.
    pub(crate) fn first_key(&self) -> Option<Key> {
        const LOWEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Some(match self {
            Self::Interface(name) => Key::Interface(name.clone()),
            Self::NetworkInstance => Key::NetworkInstance(String::new()),
            Self::Lldp { interface } => Key::Lldp { interface: interface.clone(), chassis: String::new(), kind: 0 },
            Self::Bfd(_) => Key::Bfd { source: LOWEST, destination: LOWEST, instance: 0 },
            Self::Route { network_instance, .. } => Key::Route {
                network_instance: Arc::from(network_instance.as_str()),
                prefix: IpNet::new_assert(LOWEST, 0),
            },
            Self::App(_) => Key::App(0),
            Self::Group { .. } => Key::Group(0),
            Self::Config { .. } => return None,
        })
    }

    /// Returns whether the table is cached regardless of the registration.
    pub(crate) fn always_cached(&self) -> bool {
        matches!(self, Self::NetworkInstance | Self::App(_) | Self::Config { .. })
    }

    pub(crate) fn description(&self) -> String {
        match self {
            Self::Interface(name) => format!("interface {name}"),
            Self::NetworkInstance => "network-instance".to_owned(),
            Self::Lldp { interface } => format!("lldp-neighbor {interface}"),
            Self::Bfd(_) => "bfd-session".to_owned(),
            Self::Route { network_instance, .. } => format!("route {network_instance}"),
            Self::App(_) => "app-id".to_owned(),
            Self::Group { name } => format!("nexthop-group {name}"),
            Self::Config { js_path } => format!("config {js_path}"),
        }
        .trim_end()
        .to_owned()
    }
}

/// Returns whether two keys belong to the same table.
pub(crate) fn same_table(one: &Key, other: &Key) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Returns the notification of one row. `row` is `None` if the reader gets no data (an uncached delete).
pub(crate) fn notification(
    subscription: u64,
    op: pb::SdkMgrOperation,
    key: &Key,
    row: Option<&Row>,
) -> pb::Notification {
    use pb::notification::SubscriptionTypes as Types;
    let op = op as i32;
    let body = match key {
        Key::Interface(name) => Types::Interface(pb::InterfaceNotification {
            op,
            key: Some(pb::InterfaceKey { interface_name: name.clone() }),
            data: row.and_then(|row| if let Row::Interface(data) = row { Some((**data).clone()) } else { None }),
        }),
        Key::NetworkInstance(name) => Types::NetworkInstance(pb::NetworkInstanceNotification {
            op,
            key: Some(pb::NetworkInstanceKey { instance_name: name.clone() }),
            data: row.and_then(|row| if let Row::NetworkInstance(data) = row { Some((**data).clone()) } else { None }),
        }),
        Key::Lldp { interface, chassis, kind } => Types::LldpNeighbor(pb::LldpNeighborNotification {
            op,
            key: Some(pb::LldpNeighborKey {
                interface_name: interface.clone(),
                chassis_id: chassis.clone(),
                chassis_type: *kind,
            }),
            data: row.and_then(|row| if let Row::Lldp(data) = row { Some((**data).clone()) } else { None }),
        }),
        Key::Bfd { source, destination, instance } => Types::BfdSession(pb::BfdSessionNotification {
            op,
            key: Some(bfd_key_message(*source, *destination, *instance)),
            data: row.and_then(|row| if let Row::Bfd(data) = row { Some(*data) } else { None }),
        }),
        Key::Route { network_instance, prefix } => Types::Route(pb::IpRouteNotification {
            op,
            key: Some(route_key_message(network_instance, *prefix)),
            data: row.and_then(|row| if let Row::Route(data) = row { Some(route_message(data)) } else { None }),
        }),
        Key::App(id) => Types::AppId(pb::AppIdentNotification {
            op,
            key: Some(pb::AppIdentKey { id: *id }),
            data: row.and_then(|row| if let Row::App(data) = row { Some((**data).clone()) } else { None }),
        }),
        Key::Group(id) => Types::NexthopGroup(pb::NextHopGroupNotification {
            op,
            key: *id,
            data: row.and_then(|row| match row {
                Row::Group(nexthops) => Some(pb::NextHopGroup { nexthops: nexthops.to_vec() }),
                _ => None,
            }),
        }),
    };
    pb::Notification { subscription_id: subscription, subscription_types: Some(body) }
}

/// Returns the message of a route's key.
pub(crate) fn route_key_message(network_instance: &str, prefix: IpNet) -> pb::RouteKey {
    pb::RouteKey {
        network_instance_name: network_instance.to_owned(),
        ip_prefix: Some(pb::IpAddrPrefLenPb {
            ip_addr: Some(address_message(prefix.addr())),
            prefix_length: u32::from(prefix.prefix_len()),
        }),
    }
}

/// Returns the message of a route's data in notifications: with owner and group, without the names that RPCs use.
pub(crate) fn route_message(row: &RouteRow) -> pb::Route {
    pb::Route {
        preference: u32::from(row.preference),
        metric: row.metric,
        owner_id: row.owner,
        nexthop_group_id: row.group,
        ..pb::Route::default()
    }
}

/// Returns the message of an address: 4 or 16 bytes in network order.
pub(crate) fn address_message(address: IpAddr) -> pb::IpAddressPb {
    let bytes = match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    };
    pb::IpAddressPb { ip_address: bytes }
}

/// Returns the address of a message if it has 4 or 16 bytes.
pub(crate) fn address_of(message: &pb::IpAddressPb) -> Option<IpAddr> {
    match message.ip_address.len() {
        4 => <[u8; 4]>::try_from(&message.ip_address[..]).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(&message.ip_address[..]).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Returns the prefix of a message if it is valid.
pub(crate) fn prefix_of(message: &pb::IpAddrPrefLenPb) -> Option<IpNet> {
    let address = address_of(message.ip_addr.as_ref()?)?;
    IpNet::new(address, u8::try_from(message.prefix_length).ok()?).ok().map(|prefix| prefix.trunc())
}

fn bfd_key_message(source: IpAddr, destination: IpAddr, instance: u32) -> pb::BfdGeneralSessionKey {
    pb::BfdGeneralSessionKey {
        r#type: pb::BfdSessionType::P2p as i32,
        key: Some(pb::bfd_general_session_key::Key::P2p(pb::bfd_general_session_key::P2pKey {
            source_ip_address: Some(address_message(source)),
            destination_ip_address: Some(address_message(destination)),
            instance_id: instance,
            ..pb::bfd_general_session_key::P2pKey::default()
        })),
    }
}

fn bfd_key(message: &pb::BfdGeneralSessionKey) -> Option<Key> {
    let pb::bfd_general_session_key::Key::P2p(key) = message.key.as_ref()? else { return None };
    Some(Key::Bfd {
        source: address_of(key.source_ip_address.as_ref()?)?,
        destination: address_of(key.destination_ip_address.as_ref()?)?,
        instance: key.instance_id,
    })
}
