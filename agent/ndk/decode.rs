//! Decodes the messages of a notification stream directly into batches of events.
//!
//! There may be millions of routes, so a route notification of the usual shape is read in place, without intermediate
//! values: its network instance is interned, its address copied once. Everything else goes through prost, which also
//! defines what the bytes mean.

use std::collections::BTreeMap;

use bytes::Bytes;
use ipnet::IpNet;
use prost::Message;
use rustc_hash::{FxHashMap, FxHashSet};

use super::convert::{self, DecodeError};
use super::inline::{InlineGroups, NextHops};
use crate::model::event::{Event, SourceEvent, SwitchEvent};
use crate::model::names::NetworkInstanceName;
use crate::model::source::SourceId;
use crate::model::switch::{NextHopGroup, NextHopGroupId, Route};
use ndk::notification::SubscriptionTypes;
use srl_proto::ndk;

/// A prefix and its route; `None` if the route is gone.
type RouteChange = (IpNet, Option<Route>);

/// Number of routes for which memory is kept between batches.
const ROOM: usize = 256;

/// Decodes messages and gathers their content.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The index of each network instance in `routes`.
    known: FxHashMap<NetworkInstanceName, usize>,
    /// The index of the last route's network instance, which most routes share.
    last: usize,
    routes: Vec<(NetworkInstanceName, Vec<RouteChange>)>,
    groups: Vec<(NextHopGroupId, Option<NextHopGroup>)>,
    others: Vec<SwitchEvent>,
    inline: InlineGroups,
    /// Network instances that arrived with data, and those that have not yet.
    instances: FxHashSet<String>,
    zeroed: BTreeMap<String, SwitchEvent>,
    config: Vec<ndk::ConfigNotification>,
    malformed: usize,
    complaint: Option<DecodeError>,
    gathered: usize,
}

impl Reader {
    /// Reads one message; returns the number of its notifications.
    pub(crate) fn read(&mut self, message: &Bytes) -> usize {
        let mut rest: &[u8] = message;
        let mut count = 0;
        while let Some((body, after)) = fields::embedded(rest, NOTIFICATIONS) {
            rest = after;
            count += 1;
            self.notification(body);
        }
        if !rest.is_empty() {
            count += self.unusual(rest);
        }
        count
    }

    /// Returns the number of notifications gathered since the last [`Self::take`].
    pub(crate) fn gathered(&self) -> usize {
        self.gathered
    }

    /// Returns why the last notification was unreadable, if one was.
    pub(crate) fn complaint(&mut self) -> Option<DecodeError> {
        self.complaint.take()
    }

    /// Returns configuration notifications, in order of arrival.
    pub(crate) fn take_config(&mut self) -> Vec<ndk::ConfigNotification> {
        std::mem::take(&mut self.config)
    }

    /// Returns whether network instances are held back because they arrived without data.
    pub(crate) fn holds_back(&self) -> bool {
        !self.zeroed.is_empty()
    }

    /// Releases network instances that are still without data.
    pub(crate) fn release(&mut self) {
        for (name, event) in std::mem::take(&mut self.zeroed) {
            self.instances.insert(name);
            self.gathered += 1;
            self.others.push(event);
        }
    }

    /// Returns everything gathered as events: names and groups before the routes that need them.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        self.gathered = 0;
        let malformed = std::mem::take(&mut self.malformed);
        let mut events: Vec<Event> = self.others.drain(..).map(Event::Switch).collect();
        if !self.groups.is_empty() {
            events.push(Event::Switch(SwitchEvent::NextHopGroups(std::mem::take(&mut self.groups))));
        }
        for (name, routes) in self.routes.iter_mut().filter(|(_, routes)| !routes.is_empty()) {
            // The next batch is likely to be as large as this one, up to the usual size.
            let room = Vec::with_capacity(routes.len().min(ROOM));
            events.push(Event::Switch(SwitchEvent::Routes(name.clone(), std::mem::replace(routes, room))));
        }
        events.extend((0..malformed).map(|_| Event::Source(SourceId::Ndk, SourceEvent::Malformed)));
        events
    }

    /// Decodes the rest of a message after something that is not a notification. Protobuf permits decoding a message
    /// from its parts.
    fn unusual(&mut self, rest: &[u8]) -> usize {
        match ndk::NotificationStreamResponse::decode(rest) {
            Ok(response) => {
                let count = response.notifications.len();
                response.notifications.into_iter().for_each(|notification| self.decoded(notification));
                count
            }
            Err(error) => {
                self.left_out(error.into());
                1
            }
        }
    }

    fn notification(&mut self, body: &[u8]) {
        if let Some(route) = RouteFields::read(body) {
            self.route(route);
            return;
        }
        match ndk::Notification::decode(body) {
            Ok(notification) => self.decoded(notification),
            Err(error) => self.left_out(error.into()),
        }
    }

    fn decoded(&mut self, notification: ndk::Notification) {
        let event = match notification.subscription_types {
            Some(SubscriptionTypes::Route(route)) => return self.decoded_route(&route),
            Some(SubscriptionTypes::NexthopGroup(group)) => return self.group(&group),
            Some(SubscriptionTypes::Config(config)) => return self.config.push(config),
            Some(SubscriptionTypes::NetworkInstance(instance)) => self.network_instance(&instance),
            Some(SubscriptionTypes::AppId(application)) => convert::application(&application).map(Some),
            Some(SubscriptionTypes::BfdSession(session)) => convert::bfd(&session),
            // Not subscribed to, or of a kind that a later NDK added.
            Some(SubscriptionTypes::Interface(_) | SubscriptionTypes::LldpNeighbor(_)) | None => Ok(None),
        };
        match event {
            Ok(event) => {
                self.gathered += usize::from(event.is_some());
                self.others.extend(event);
            }
            Err(error) => self.left_out(error),
        }
    }

    /// Returns the event of a network instance; `None` while a new one has no data yet.
    fn network_instance(
        &mut self,
        notification: &ndk::NetworkInstanceNotification,
    ) -> Result<Option<SwitchEvent>, DecodeError> {
        let event = convert::network_instance(notification)?;
        let name = notification.key.as_ref().map_or("", |key| &key.instance_name);
        let stands = matches!(event, SwitchEvent::NetworkInstance(_, Some(_)));
        let zeroed = stands && notification.data.as_ref().is_some_and(convert::is_zeroed);
        if zeroed && !self.instances.contains(name) {
            self.zeroed.insert(name.to_owned(), event);
            return Ok(None);
        }
        self.zeroed.remove(name);
        if stands {
            self.instances.insert(name.to_owned());
        } else {
            self.instances.remove(name);
        }
        Ok(Some(event))
    }

    fn decoded_route(&mut self, notification: &ndk::IpRouteNotification) {
        match notification.data.as_ref().map(convert::carried).transpose() {
            Ok(carried) => self.route_carrying(RouteFields::of(notification), carried.flatten().as_ref()),
            Err(error) => self.left_out(error),
        }
    }

    fn route(&mut self, route: RouteFields<'_>) {
        self.route_carrying(route, None);
    }

    fn route_carrying(&mut self, route: RouteFields<'_>, carried: Option<&NextHops>) {
        let Some(instance) = self.instance(route.network_instance) else {
            return self.left_out(DecodeError::Key("a route"));
        };
        let (prefix, mut value) = match route.change() {
            Ok(change) => change,
            Err(error) => return self.left_out(error),
        };
        let (group, news) = self.inline.set(instance, prefix, carried.filter(|_| value.is_some()));
        if let (Some(group), Some(value)) = (group, &mut value) {
            value.next_hop_group = group;
        }
        self.groups.extend(news);
        self.gathered += 1;
        self.routes[instance].1.push((prefix, value));
    }

    fn group(&mut self, notification: &ndk::NextHopGroupNotification) {
        match convert::next_hop_group(notification) {
            Ok((id, group, unreadable)) => {
                self.gathered += 1;
                self.groups.push((id, group));
                if let Some(error) = unreadable {
                    self.left_out(error);
                }
            }
            Err(error) => self.left_out(error),
        }
    }

    /// Returns the index in `routes` for this network instance; `None` for an empty name.
    fn instance(&mut self, name: &str) -> Option<usize> {
        if self.routes.get(self.last).is_some_and(|(last, _)| last.as_str() == name) {
            return Some(self.last);
        }
        if name.is_empty() {
            return None;
        }
        self.last = match self.known.get(name) {
            Some(index) => *index,
            None => {
                let index = self.routes.len();
                let name = NetworkInstanceName::from(name);
                self.known.insert(name.clone(), index);
                self.routes.push((name, Vec::new()));
                index
            }
        };
        Some(self.last)
    }

    fn left_out(&mut self, error: DecodeError) {
        self.gathered += 1;
        self.malformed += 1;
        self.complaint = Some(error);
    }
}

const NOTIFICATIONS: u8 = fields::length_delimited(1);

/// The fields of a route notification, still in the bytes of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RouteFields<'a> {
    operation: i32,
    network_instance: &'a str,
    address: &'a [u8],
    prefix_length: u32,
    data: Option<Route>,
}

impl<'a> RouteFields<'a> {
    fn of(notification: &'a ndk::IpRouteNotification) -> Self {
        let key = notification.key.as_ref();
        let prefix = key.and_then(|key| key.ip_prefix.as_ref());
        Self {
            operation: notification.op,
            network_instance: key.map_or("", |key| &key.network_instance_name),
            address: prefix.and_then(|prefix| prefix.ip_addr.as_ref()).map_or(&[], |address| &address.ip_address),
            prefix_length: prefix.map_or(0, |prefix| prefix.prefix_length),
            data: notification.data.as_ref().map(convert::route),
        }
    }

    fn change(&self) -> Result<RouteChange, DecodeError> {
        let prefix = convert::prefix(self.address, self.prefix_length)?;
        if convert::stands(self.operation, "a route")? {
            Ok((prefix, Some(self.data.ok_or(DecodeError::Data("a route"))?)))
        } else {
            Ok((prefix, None))
        }
    }

    /// Reads a `Notification` with a route in the usual shape: known fields, each at most once, no number out of range.
    /// On `None`, prost decides.
    fn read(notification: &'a [u8]) -> Option<Self> {
        let mut route = None;
        let mut rest = notification;
        while let Some((tag, after)) = fields::tag(rest) {
            rest = match tag {
                fields::SUBSCRIPTION_ID => fields::number(after)?.1,
                fields::ROUTE if route.is_none() => {
                    let (body, after) = fields::bytes(after)?;
                    route = Some(Self::read_route_notification(body)?);
                    after
                }
                _ => return None,
            };
        }
        route
    }

    fn read_route_notification(body: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut keys = 0;
        let mut rest = body;
        while let Some((tag, after)) = fields::tag(rest) {
            rest = match tag {
                fields::OPERATION => {
                    let (operation, after) = fields::number(after)?;
                    fields.operation = i32::try_from(operation).ok()?;
                    after
                }
                fields::KEY if keys == 0 => {
                    keys += 1;
                    let (key, after) = fields::bytes(after)?;
                    fields.read_key(key)?;
                    after
                }
                fields::DATA if fields.data.is_none() => {
                    let (data, after) = fields::bytes(after)?;
                    fields.data = Some(read_data(data)?);
                    after
                }
                _ => return None,
            };
        }
        Some(fields)
    }

    fn read_key(&mut self, key: &'a [u8]) -> Option<()> {
        let mut prefixes = 0;
        let mut rest = key;
        while let Some((tag, after)) = fields::tag(rest) {
            let (body, after) = fields::bytes(after)?;
            rest = after;
            match tag {
                fields::NETWORK_INSTANCE_NAME => self.network_instance = std::str::from_utf8(body).ok()?,
                fields::IP_PREFIX if prefixes == 0 => {
                    prefixes += 1;
                    self.read_prefix(body)?;
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn read_prefix(&mut self, prefix: &'a [u8]) -> Option<()> {
        let mut addresses = 0;
        let mut rest = prefix;
        while let Some((tag, after)) = fields::tag(rest) {
            rest = match tag {
                fields::IP_ADDR if addresses == 0 => {
                    addresses += 1;
                    let (body, after) = fields::bytes(after)?;
                    self.address = read_address(body)?;
                    after
                }
                fields::PREFIX_LENGTH => {
                    let (length, after) = fields::number(after)?;
                    self.prefix_length = u32::try_from(length).ok()?;
                    after
                }
                _ => return None,
            };
        }
        Some(())
    }
}

fn read_address(body: &[u8]) -> Option<&[u8]> {
    if body.is_empty() {
        return Some(&[]);
    }
    match fields::embedded(body, fields::IP_ADDRESS)? {
        (address, []) => Some(address),
        _ => None,
    }
}

fn read_data(data: &[u8]) -> Option<Route> {
    let mut route = Route { owner: 0, preference: 0, metric: 0, next_hop_group: NextHopGroupId(0) };
    let mut rest = data;
    while let Some((tag, after)) = fields::tag(rest) {
        let (number, after) = fields::number(after)?;
        rest = after;
        match tag {
            fields::PREFERENCE => route.preference = u32::try_from(number).ok()?,
            fields::METRIC => route.metric = u32::try_from(number).ok()?,
            fields::OWNER_ID => route.owner = u32::try_from(number).ok()?,
            fields::NEXTHOP_GROUP_ID => route.next_hop_group = NextHopGroupId(number),
            _ => return None,
        }
    }
    Some(route)
}

/// Reads the parts of the protobuf wire format that routes need. Every tag here is one byte: field numbers up to 15.
mod fields {
    pub(super) const fn length_delimited(field: u8) -> u8 {
        field << 3 | 2
    }

    const fn varint(field: u8) -> u8 {
        field << 3
    }

    // Notification
    pub(super) const SUBSCRIPTION_ID: u8 = varint(1);
    pub(super) const ROUTE: u8 = length_delimited(15);
    // IpRouteNotification
    pub(super) const OPERATION: u8 = varint(1);
    pub(super) const KEY: u8 = length_delimited(2);
    pub(super) const DATA: u8 = length_delimited(3);
    // RouteKey
    pub(super) const NETWORK_INSTANCE_NAME: u8 = length_delimited(1);
    pub(super) const IP_PREFIX: u8 = length_delimited(2);
    // IpAddrPrefLenPb
    pub(super) const IP_ADDR: u8 = length_delimited(1);
    pub(super) const PREFIX_LENGTH: u8 = varint(2);
    // IpAddressPb
    pub(super) const IP_ADDRESS: u8 = length_delimited(1);
    // Route
    pub(super) const PREFERENCE: u8 = varint(2);
    pub(super) const METRIC: u8 = varint(3);
    pub(super) const OWNER_ID: u8 = varint(5);
    pub(super) const NEXTHOP_GROUP_ID: u8 = varint(6);

    /// Reads the next tag as one byte; a longer one matches no tag here.
    pub(super) fn tag(bytes: &[u8]) -> Option<(u8, &[u8])> {
        bytes.split_first().map(|(tag, rest)| (*tag, rest))
    }

    /// Reads a varint.
    pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let mut number = 0;
        for (index, byte) in bytes.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Some((number, &bytes[index + 1..]));
            }
        }
        None
    }

    /// Reads a length and as many bytes.
    pub(super) fn bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = number(bytes)?;
        rest.split_at_checked(usize::try_from(length).ok()?)
    }

    /// Reads the body of the field `expected`, if that comes next.
    pub(super) fn embedded(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
        match tag(bytes)? {
            (tag, rest) if tag == expected => self::bytes(rest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route_notification() -> impl Strategy<Value = ndk::Notification> {
        let address = prop_oneof![
            proptest::collection::vec(any::<u8>(), 4),
            proptest::collection::vec(any::<u8>(), 16),
            proptest::collection::vec(any::<u8>(), 0..20),
        ];
        let key = proptest::option::of((
            prop_oneof![Just("default".to_owned()), Just(String::new()), Just("vrf-ü".to_owned())],
            proptest::option::of((proptest::option::of(address), 0u32..140)),
        ));
        let data = proptest::option::of((any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>(), 0usize..4));
        (any::<u64>(), 0i32..6, key, data).prop_map(|(subscription_id, op, key, data)| {
            let key = key.map(|(network_instance_name, prefix)| ndk::RouteKey {
                network_instance_name,
                ip_prefix: prefix.map(|(address, prefix_length)| ndk::IpAddrPrefLenPb {
                    ip_addr: address.map(|bytes| ndk::IpAddressPb { ip_address: bytes.into() }),
                    prefix_length,
                }),
            });
            let data = data.map(|(preference, metric, owner_id, nexthop_group_id, hops)| ndk::Route {
                nexthop_group_name: if hops == 3 { "named".to_owned() } else { String::new() },
                nexthops: vec![ndk::NextHop::default(); hops / 2],
                preference,
                metric,
                owner_id,
                nexthop_group_id,
            });
            let route = ndk::IpRouteNotification { op, key, data };
            ndk::Notification { subscription_id, subscription_types: Some(SubscriptionTypes::Route(route)) }
        })
    }

    /// Returns what prost reads from the bytes, as fields of a route.
    fn oracle(bytes: &[u8]) -> Option<ndk::IpRouteNotification> {
        match ndk::Notification::decode(bytes).ok()?.subscription_types? {
            SubscriptionTypes::Route(route) => Some(route),
            _ => None,
        }
    }

    fn events(message: Vec<u8>) -> Vec<Event> {
        let mut reader = Reader::default();
        reader.read(&Bytes::from(message));
        reader.take()
    }

    /// Returns the events of a message that is decoded by prost alone.
    fn slow_events(notifications: Vec<ndk::Notification>) -> Vec<Event> {
        let mut reader = Reader::default();
        notifications.into_iter().for_each(|notification| reader.decoded(notification));
        reader.take()
    }

    proptest! {
        #[test]
        fn routes_are_decoded_in_place_as_prost_decodes_them(notification in route_notification()) {
            let bytes = notification.encode_to_vec();
            let expected = oracle(&bytes).expect("a route");
            if let Some(fields) = RouteFields::read(&bytes) {
                prop_assert_eq!(fields, RouteFields::of(&expected));
            } else {
                let data = expected.data.expect("only extra fields leave the usual shape");
                prop_assert!(!data.nexthops.is_empty() || !data.nexthop_group_name.is_empty());
            }
        }

        #[test]
        fn damaged_routes_are_decoded_as_by_prost_or_not_at_all(
            notification in route_notification(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = notification.encode_to_vec();
            for (index, byte) in damage {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if let Some(fields) = RouteFields::read(&bytes) {
                let expected = oracle(&bytes).expect("what is read in place is a route to prost");
                prop_assert_eq!(fields, RouteFields::of(&expected));
            }
        }

        #[test]
        fn both_decoders_give_the_same_events_for_a_message(
            notifications in proptest::collection::vec(route_notification(), 0..20),
        ) {
            let message = ndk::NotificationStreamResponse { notifications: notifications.clone() };
            let fast = events(message.encode_to_vec());
            prop_assert_eq!(format!("{fast:?}"), format!("{:?}", slow_events(notifications)));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            events(bytes.clone());
            let mut framed = vec![NOTIFICATIONS, bytes.len().min(127) as u8];
            framed.extend(&bytes);
            events(framed);
        }
    }

    fn route(instance: &str, last_octet: u8, op: i32) -> ndk::Notification {
        let address = ndk::IpAddressPb { ip_address: vec![10, 0, 0, last_octet].into() };
        let key = ndk::RouteKey {
            network_instance_name: instance.to_owned(),
            ip_prefix: Some(ndk::IpAddrPrefLenPb { ip_addr: Some(address), prefix_length: 32 }),
        };
        let data = (op != 2).then(|| ndk::Route { preference: 170, nexthop_group_id: 5, ..Default::default() });
        let route = ndk::IpRouteNotification { op, key: Some(key), data };
        ndk::Notification { subscription_id: 1, subscription_types: Some(SubscriptionTypes::Route(route)) }
    }

    #[test]
    fn routes_are_batched_by_network_instance_in_order_of_arrival() {
        let notifications =
            vec![route("default", 1, 0), route("red", 1, 3), route("default", 2, 3), route("default", 1, 2)];
        let events = events(ndk::NotificationStreamResponse { notifications }.encode_to_vec());
        let [Event::Switch(SwitchEvent::Routes(first, default)), Event::Switch(SwitchEvent::Routes(second, red))] =
            &*events
        else {
            panic!("one batch per network instance: {events:?}");
        };
        assert_eq!((first.as_str(), second.as_str()), ("default", "red"));
        let seen: Vec<_> = default.iter().map(|(prefix, route)| (prefix.to_string(), route.is_some())).collect();
        assert_eq!(
            seen,
            [("10.0.0.1/32".to_owned(), true), ("10.0.0.2/32".to_owned(), true), ("10.0.0.1/32".to_owned(), false)]
        );
        assert_eq!(red.len(), 1);
    }

    #[test]
    fn a_group_is_reported_before_routes_that_use_it_whatever_the_order_of_arrival() {
        let group = ndk::NextHopGroupNotification { op: 0, key: 5, data: Some(ndk::NextHopGroup::default()) };
        let group =
            ndk::Notification { subscription_id: 2, subscription_types: Some(SubscriptionTypes::NexthopGroup(group)) };
        let events = slow_events(vec![route("default", 1, 0), group]);
        assert!(matches!(events[0], Event::Switch(SwitchEvent::NextHopGroups(_))), "{events:?}");
    }

    #[test]
    fn an_unreadable_notification_is_counted_and_reported_and_the_others_kept() {
        let mut notifications = vec![route("default", 1, 0), route("", 2, 0), route("default", 3, 0)];
        if let Some(SubscriptionTypes::Route(last)) = &mut notifications[2].subscription_types {
            last.data = None;
        }
        let mut reader = Reader::default();
        let count = reader.read(&ndk::NotificationStreamResponse { notifications }.encode_to_vec().into());
        assert_eq!(count, 3);
        assert_eq!(reader.complaint(), Some(DecodeError::Data("a route")));
        let events = reader.take();
        assert!(matches!(&events[0], Event::Switch(SwitchEvent::Routes(_, routes)) if routes.len() == 1));
        assert!(matches!(
            events[1..],
            [Event::Source(_, SourceEvent::Malformed), Event::Source(_, SourceEvent::Malformed)]
        ));
        assert_eq!(reader.gathered(), 0);
    }

    #[test]
    fn an_unknown_field_of_the_message_does_not_hide_what_follows() {
        let mut bytes = vec![0x50, 0x01];
        bytes.extend(ndk::NotificationStreamResponse { notifications: vec![route("default", 1, 0)] }.encode_to_vec());
        assert!(matches!(&*events(bytes), [Event::Switch(SwitchEvent::Routes(_, routes))] if routes.len() == 1));
    }
}
