//! What the control plane shows now, to which new tables are compared to produce as few changes as possible.
//!
//! It has no I/O: its inputs are tables, its outputs NDK rows and datastore operations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use srl_proto::ndk as pb;

use super::changes::{Announcements, Changes, differences};
use super::links;
use super::native::{self, Counts};
use crate::datastore::StateOp;
use crate::ndk::{AnnounceFirst, Key, ProgrammedRoute, RouteRow, Row};
use crate::tables::{BfdSession, Fib, NetworkInstance, NetworkInstanceKind, NextHop, Route, RouteKey, Tables};

/// Numbers of next-hop groups are as large as on a device, and consecutive ones differ by this step.
const FIRST_GROUP: u64 = 183_856_865_057;
const GROUP_STEP: u64 = 14;
const FIRST_NEXT_HOP: u64 = 183_852_401_113;
/// Type and id of applications' own routes.
const NDK_ROUTE_TYPE: &str = "ndk1";
const NDK_ROUTE_ID: u32 = 10;

/// The tables that are shown, and their numbers.
#[derive(Default)]
pub(super) struct Plane {
    shown: Tables,
    instances: BTreeMap<String, Numbers>,
    last_group: u64,
    last_next_hop: u64,
}

/// The numbers of one network instance.
#[derive(Default)]
struct Numbers {
    groups: BTreeMap<Vec<NextHop>, Counted>,
    next_hops: BTreeMap<NextHop, Counted>,
    /// The group of the route that resolves a next-hop, by the number of the next-hop.
    resolved_by: BTreeMap<u64, Option<u64>>,
    counts: BTreeMap<&'static str, Counts>,
}

struct Counted {
    number: u64,
    users: usize,
}

impl Plane {
    /// Shows these tables and returns the changes.
    pub(super) fn show(
        &mut self,
        tables: Tables,
        first: AnnounceFirst,
        owner_id: &mut dyn FnMut(&str) -> u32,
    ) -> Changes {
        let mut ops = Vec::new();
        let mut farewells = Vec::new();
        let mut announcements = Announcements::default();
        let before = std::mem::take(&mut self.shown);
        let names: BTreeSet<&String> = before.network_instances.keys().chain(tables.network_instances.keys()).collect();
        for name in names {
            let (old, new) = (before.network_instances.get(name), tables.network_instances.get(name));
            if old != new {
                farewells.extend(old.zip(new).into_iter().flat_map(|(old, new)| last_words(name, old, new)));
                self.show_instance(name, old, new, owner_id, &mut announcements, &mut ops);
            }
        }
        links::show_interfaces(&before, &tables, &mut announcements, &mut ops);
        self.shown = tables;
        let Announcements { routes, new_groups, gone_groups, others } = announcements;
        let mut rows = others;
        let (one, two) = match first {
            AnnounceFirst::Routes => (routes, new_groups),
            AnnounceFirst::Groups => (new_groups, routes),
        };
        rows.extend(one);
        rows.extend(two);
        rows.extend(gone_groups);
        Changes { rows, farewells, ops }
    }

    /// Programs every next-hop group again, which gives the same routes new numbers.
    pub(super) fn renumber(&mut self, first: AnnounceFirst, owner_id: &mut dyn FnMut(&str) -> u32) -> Changes {
        let tables = self.shown.clone();
        let mut bare = tables.clone();
        bare.network_instances.values_mut().for_each(|instance| instance.routes.clear());
        let mut changes = self.show(bare, first, owner_id);
        // A route that stays is not withdrawn: its row changes from the old number to the new one.
        changes.rows.retain(|(key, _)| matches!(key, Key::Group(_)));
        let again = self.show(tables, first, owner_id);
        let withdrawn = std::mem::replace(&mut changes.rows, again.rows);
        changes.rows.extend(withdrawn);
        changes.ops.extend(again.ops);
        changes
    }

    /// Returns the tables that are shown.
    pub(super) fn shown(&self) -> &Tables {
        &self.shown
    }

    fn show_instance(
        &mut self,
        name: &str,
        old: Option<&NetworkInstance>,
        new: Option<&NetworkInstance>,
        owner_id: &mut dyn FnMut(&str) -> u32,
        announcements: &mut Announcements,
        ops: &mut Vec<StateOp>,
    ) {
        show_head(name, old, new, announcements, ops);
        show_neighbors(name, old, new, ops);
        show_bfd(name, old, new, announcements, ops);
        links::show_segment(name, old, new, ops);
        links::show_rib(name, old, new, ops);
        self.show_routes(name, old, new, owner_id, announcements, ops);
        if new.is_none() {
            self.instances.remove(name);
            for family in ["ipv4-unicast", "ipv6-unicast"] {
                ops.push(StateOp::Delete(native::statistics_path(name, family)));
            }
            ops.push(StateOp::Delete(native::network_instance_path(name)));
        }
    }

    fn show_routes(
        &mut self,
        name: &str,
        old: Option<&NetworkInstance>,
        new: Option<&NetworkInstance>,
        owner_id: &mut dyn FnMut(&str) -> u32,
        announcements: &mut Announcements,
        ops: &mut Vec<StateOp>,
    ) {
        let gone = new.is_none();
        let none = BTreeMap::new();
        let (old, new) = (old.map_or(&none, |it| &it.routes), new.map_or(&none, |it| &it.routes));
        let mut numbers = self.instances.remove(name).unwrap_or_default();
        let counts_before = numbers.counts.clone();
        let mut touched = BTreeSet::new();
        let mut released: Vec<&[NextHop]> = Vec::new();
        for (key, before, after) in differences(old, new) {
            touched.insert(key.prefix);
            let counts = numbers.counts.entry(native::family(&key.prefix)).or_default();
            if let Some(route) = before {
                counts.count(route, false);
                released.push(&route.next_hops);
            }
            match after {
                Some(route) => {
                    counts.count(route, true);
                    let group = self.use_group(name, &mut numbers, &route.next_hops, announcements, ops);
                    ops.push(StateOp::Replace(native::route_path(name, key), native::route(name, route, group)));
                }
                None => ops.push(StateOp::Delete(native::route_path(name, key))),
            }
        }
        let instance: Arc<str> = Arc::from(name);
        for prefix in touched {
            let row = active(new, prefix).and_then(|(key, route)| {
                let group = numbers.groups.get(&route.next_hops)?.number;
                let owner = owner_id(&key.owner);
                Some(Row::Route(RouteRow { preference: route.preference, metric: route.metric, owner, group }))
            });
            announcements.routes.push((Key::Route { network_instance: instance.clone(), prefix }, row));
        }
        for next_hops in released {
            release_group(name, &mut numbers, next_hops, announcements, ops);
        }
        show_next_hops(name, &mut numbers, new, ops);
        for (family, counts) in &numbers.counts {
            if !gone && counts_before.get(family) != Some(counts) {
                ops.push(StateOp::Replace(native::statistics_path(name, family), native::statistics(counts)));
            }
        }
        self.instances.insert(name.to_owned(), numbers);
    }

    /// Returns the number of the group of these next-hops, and creates the group at its first use.
    fn use_group(
        &mut self,
        name: &str,
        numbers: &mut Numbers,
        next_hops: &[NextHop],
        announcements: &mut Announcements,
        ops: &mut Vec<StateOp>,
    ) -> u64 {
        if let Some(group) = numbers.groups.get_mut(next_hops) {
            group.users += 1;
            return group.number;
        }
        self.last_group = (self.last_group + GROUP_STEP).max(FIRST_GROUP);
        let number = self.last_group;
        let mut members = Vec::with_capacity(next_hops.len());
        for next_hop in next_hops {
            let index = match numbers.next_hops.get_mut(next_hop) {
                Some(known) => {
                    known.users += 1;
                    known.number
                }
                None => {
                    self.last_next_hop = (self.last_next_hop + 2).max(FIRST_NEXT_HOP);
                    let number = self.last_next_hop;
                    numbers.next_hops.insert(next_hop.clone(), Counted { number, users: 1 });
                    number
                }
            };
            members.push((index, next_hop));
        }
        ops.push(StateOp::Replace(native::group_path(name, number), native::group(&members)));
        let row = Row::Group(next_hops.iter().map(next_hop_message).collect());
        announcements.new_groups.push((Key::Group(number), Some(row)));
        numbers.groups.insert(next_hops.to_vec(), Counted { number, users: 1 });
        number
    }
}

/// Shows next-hops that are new, or whose resolving route has another group.
fn show_next_hops(name: &str, numbers: &mut Numbers, routes: &BTreeMap<RouteKey, Route>, ops: &mut Vec<StateOp>) {
    let Numbers { groups, next_hops, resolved_by, .. } = numbers;
    for (next_hop, Counted { number, .. }) in next_hops {
        let group = match next_hop {
            NextHop::Indirect { resolving: Some((prefix, ..)), .. } => {
                active(routes, *prefix).and_then(|(_, route)| groups.get(&route.next_hops)).map(|group| group.number)
            }
            _ => None,
        };
        if resolved_by.insert(*number, group) != Some(group) {
            ops.push(StateOp::Replace(native::next_hop_path(name, *number), native::next_hop(next_hop, group)));
        }
    }
}

/// Removes one use of a group, and the group with its last use.
fn release_group(
    name: &str,
    numbers: &mut Numbers,
    next_hops: &[NextHop],
    announcements: &mut Announcements,
    ops: &mut Vec<StateOp>,
) {
    let Some(group) = numbers.groups.get_mut(next_hops) else { return };
    group.users -= 1;
    if group.users > 0 {
        return;
    }
    let number = group.number;
    numbers.groups.remove(next_hops);
    announcements.gone_groups.push((Key::Group(number), None));
    ops.push(StateOp::Delete(native::group_path(name, number)));
    for next_hop in next_hops {
        let Some(known) = numbers.next_hops.get_mut(next_hop) else { continue };
        known.users -= 1;
        if known.users == 0 {
            ops.push(StateOp::Delete(native::next_hop_path(name, known.number)));
            numbers.resolved_by.remove(&known.number);
            numbers.next_hops.remove(next_hop);
        }
    }
}

/// Returns the active route of a prefix.
fn active(routes: &BTreeMap<RouteKey, Route>, prefix: IpNet) -> Option<(&RouteKey, &Route)> {
    let lowest = RouteKey { prefix, route_type: String::new(), owner: String::new(), id: 0 };
    routes.range(lowest..).take_while(|(key, _)| key.prefix == prefix).find(|(_, route)| route.active)
}

fn show_head(
    name: &str,
    old: Option<&NetworkInstance>,
    new: Option<&NetworkInstance>,
    announcements: &mut Announcements,
    ops: &mut Vec<StateOp>,
) {
    let head = |it: &NetworkInstance| {
        let vxlan = it.segment.vxlan.as_ref().map(|vxlan| vxlan.vni);
        (it.id, it.kind, it.router_id, it.oper_up, vxlan, it.segment.subinterfaces.clone())
    };
    if old.map(head) == new.map(head) {
        return;
    }
    if let Some(new) = new {
        ops.push(StateOp::Replace(native::network_instance_path(name), native::network_instance(new)));
    }
    announcements.others.push((Key::NetworkInstance(name.to_owned()), new.and_then(|it| instance_row(name, it))));
}

/// Returns the NDK's row of a network instance, or `None` for a mac-vrf, which the NDK does not have.
fn instance_row(name: &str, it: &NetworkInstance) -> Option<Row> {
    use pb::network_instance_data::NetworkInstanceType;
    let kind = match it.kind {
        NetworkInstanceKind::Default => NetworkInstanceType::Default,
        NetworkInstanceKind::IpVrf => NetworkInstanceType::L3vrf,
        NetworkInstanceKind::MacVrf => return None,
    };
    Some(Row::NetworkInstance(Box::new(pb::NetworkInstanceData {
        network_instance_id: it.id,
        base_name: format!("srbase-{name}"),
        oper_is_up: it.oper_up,
        router_id: it.router_id.map(|id| id.to_string()).unwrap_or_default(),
        instance_type: kind as i32,
    })))
}

/// Shows that a dynamic neighbor goes idle, with what ended its session, before it disappears.
fn last_words(name: &str, old: &NetworkInstance, new: &NetworkInstance) -> impl Iterator<Item = StateOp> {
    let went = old.neighbors.keys().filter(|peer| !new.neighbors.contains_key(*peer));
    let last = went.filter_map(|peer| Some((peer, new.farewells.get(peer)?)));
    last.map(move |(peer, neighbor)| StateOp::Replace(native::neighbor_path(name, peer), native::neighbor(neighbor)))
}

fn show_neighbors(name: &str, old: Option<&NetworkInstance>, new: Option<&NetworkInstance>, ops: &mut Vec<StateOp>) {
    let none = BTreeMap::new();
    let (old, new) = (old.map_or(&none, |it| &it.neighbors), new.map_or(&none, |it| &it.neighbors));
    for (peer, _, after) in differences(old, new) {
        let path = native::neighbor_path(name, peer);
        ops.push(match after {
            Some(neighbor) => StateOp::Replace(path, native::neighbor(neighbor)),
            None => StateOp::Delete(path),
        });
    }
}

fn show_bfd(
    name: &str,
    old: Option<&NetworkInstance>,
    new: Option<&NetworkInstance>,
    announcements: &mut Announcements,
    ops: &mut Vec<StateOp>,
) {
    let none = BTreeMap::new();
    let sessions = |it: Option<&NetworkInstance>| it.map(|it| it.bfd.clone()).unwrap_or(none.clone());
    let (before, after) = (sessions(old), sessions(new));
    let row = |id: u32, remote: IpAddr, it: &BfdSession| {
        let key = Key::Bfd { source: it.local, destination: remote, instance: id };
        let status = if it.up { pb::BfdSessionStatus::Up } else { pb::BfdSessionStatus::Down };
        let data = pb::BfdGeneralSessionData {
            status: status as i32,
            subscription_type: pb::bfd_general_session_data::BfdSessionSubType::SingleHop as i32,
            source_interface_id: 0,
        };
        (key, Row::Bfd(data))
    };
    for (remote, was, is) in differences(&before, &after) {
        let was = was.zip(old).map(|(session, instance)| (row(instance.id, *remote, session).0, session));
        let is = is.zip(new).map(|(session, instance)| (row(instance.id, *remote, session), session));
        if let Some((key, session)) = was {
            let same_key =
                is.as_ref().is_some_and(|((is, _), now)| *is == key && now.discriminator == session.discriminator);
            if !same_key {
                announcements.others.push((key, None));
                ops.push(StateOp::Delete(native::bfd_path(name, session.discriminator)));
            }
        }
        if let Some(((key, row), session)) = is {
            announcements.others.push((key, Some(row)));
            ops.push(StateOp::Replace(native::bfd_path(name, session.discriminator), native::bfd(*remote, session)));
        }
    }
}

/// Adds programmed routes to the fabric's tables. Each such route is resolved, and the route of a prefix with the
/// lowest preference becomes active.
pub(super) fn merge(mut tables: Tables, programmed: Vec<ProgrammedRoute>) -> Tables {
    for route in programmed {
        let Some(instance) = tables.network_instances.get_mut(&route.network_instance) else { continue };
        let next_hops: Vec<NextHop> =
            route.next_hops.into_iter().map(|next_hop| resolve(&instance.routes, route.prefix, next_hop)).collect();
        let usable = next_hops.iter().any(|next_hop| !matches!(next_hop, NextHop::Indirect { resolving: None, .. }));
        let best = active(&instance.routes, route.prefix).map(|(key, route)| (key.clone(), route.preference));
        let wins = usable && best.as_ref().is_none_or(|(_, preference)| route.preference < *preference);
        if let Some((key, _)) = best.filter(|_| wins)
            && let Some(loser) = instance.routes.get_mut(&key)
        {
            loser.active = false;
        }
        let key = RouteKey {
            prefix: route.prefix,
            route_type: NDK_ROUTE_TYPE.to_owned(),
            owner: route.owner,
            id: NDK_ROUTE_ID,
        };
        let (preference, metric) = (route.preference, route.metric);
        let route = Route { preference, metric, active: wins, next_hops, fib: Fib::Programmed };
        instance.routes.insert(key, route);
    }
    tables
}

/// Resolves an indirect next-hop by the longest active route to it, except the route of the next-hop itself.
fn resolve(routes: &BTreeMap<RouteKey, Route>, own: IpNet, next_hop: NextHop) -> NextHop {
    let NextHop::Indirect { address, resolving: None } = next_hop else { return next_hop };
    let candidates = routes.iter().filter(|(key, route)| {
        route.active && key.prefix != own && key.prefix.prefix_len() > 0 && key.prefix.contains(&address)
    });
    let resolving = candidates
        .max_by_key(|(key, _)| key.prefix.prefix_len())
        .map(|(key, _)| (key.prefix, key.route_type.clone(), key.owner.clone()));
    NextHop::Indirect { address, resolving }
}

fn next_hop_message(it: &NextHop) -> pb::NextHop {
    use pb::next_hop::{Nexthop, ResolutionType, ResolveToType};
    let (resolve_to, address) = match it {
        NextHop::Direct { address, .. } => (ResolveToType::Direct, Some(*address)),
        NextHop::Indirect { address, .. } | NextHop::Vxlan { vtep: address } => {
            (ResolveToType::Indirect, Some(*address))
        }
        NextHop::Extract | NextHop::Broadcast | NextHop::Discard => (ResolveToType::Local, None),
    };
    pb::NextHop {
        resolve_to: resolve_to as i32,
        r#type: ResolutionType::Regular as i32,
        nexthop: address.map(|address| Nexthop::IpNexthop(crate::ndk::address_message(address))),
    }
}
