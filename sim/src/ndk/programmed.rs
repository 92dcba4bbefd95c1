//! Routes and next-hop groups of one application, as it programmed them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use srl_proto::ndk as pb;

use super::rows::{address_of, prefix_of};
use crate::tables::NextHop;

/// A route that an application programmed, with the next-hops of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgrammedRoute {
    /// Name of the network instance.
    pub network_instance: String,
    /// Prefix of the route.
    pub prefix: IpNet,
    /// Name of the application that owns the route.
    pub owner: String,
    /// Preference, as sent.
    pub preference: u8,
    /// Metric, as sent.
    pub metric: u32,
    /// Next-hops of its group.
    pub next_hops: Vec<NextHop>,
}

/// Routes and groups of one application.
#[derive(Default)]
pub(crate) struct Programmed {
    pub(super) groups: Synced<(String, String), Vec<NextHop>>,
    pub(super) routes: Synced<(String, IpNet), Wanted>,
}

pub(super) struct Wanted {
    group: String,
    preference: u8,
    metric: u32,
    next_hops: Vec<NextHop>,
}

/// A table that can be synchronized: entries that are not set between begin and end are removed.
pub(super) struct Synced<K, V> {
    entries: BTreeMap<K, V>,
    set_since_begin: Option<BTreeSet<K>>,
}

impl<K, V> Default for Synced<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), set_since_begin: None }
    }
}

impl<K: Ord + Clone, V> Synced<K, V> {
    fn set(&mut self, key: K, value: V) {
        if let Some(set) = &mut self.set_since_begin {
            set.insert(key.clone());
        }
        self.entries.insert(key, value);
    }

    pub(super) fn begin(&mut self) {
        self.set_since_begin = Some(BTreeSet::new());
    }

    /// Ends a synchronization. Returns false if none was begun.
    pub(super) fn end(&mut self) -> bool {
        let Some(set) = self.set_since_begin.take() else { return false };
        self.entries.retain(|key, _| set.contains(key));
        true
    }
}

impl Programmed {
    /// Returns the routes whose groups exist.
    pub(crate) fn routes(&self, owner: &str) -> impl Iterator<Item = ProgrammedRoute> {
        self.routes.entries.iter().filter_map(move |((network_instance, prefix), wanted)| {
            let next_hops = match wanted.group.as_str() {
                "" => wanted.next_hops.clone(),
                group => self.groups.entries.get(&(network_instance.clone(), group.to_owned()))?.clone(),
            };
            Some(ProgrammedRoute {
                network_instance: network_instance.clone(),
                prefix: *prefix,
                owner: owner.to_owned(),
                preference: wanted.preference,
                metric: wanted.metric,
                next_hops,
            })
        })
    }

    pub(super) fn add_routes(&mut self, routes: Vec<pb::RouteInfo>) -> Result<(), String> {
        for route in routes {
            let key = route_key(route.key.as_ref())?;
            let data = route.data.unwrap_or_default();
            let preference = u8::try_from(data.preference)
                .map_err(|_| format!("preference {} of route {} is above 255", data.preference, key.1))?;
            let next_hops = data.nexthops.iter().map(next_hop).collect();
            let wanted = Wanted { group: data.nexthop_group_name, preference, metric: data.metric, next_hops };
            self.routes.set(key, wanted);
        }
        Ok(())
    }

    pub(super) fn delete_routes(&mut self, keys: &[pb::RouteKey]) -> Result<(), String> {
        for key in keys {
            let key = route_key(Some(key))?;
            self.routes.entries.remove(&key).ok_or_else(|| format!("route {} in {} does not exist", key.1, key.0))?;
        }
        Ok(())
    }

    pub(super) fn add_groups(&mut self, groups: Vec<pb::NextHopGroupInfo>) -> Result<(), String> {
        for group in groups {
            let key = group_key(group.key.as_ref())?;
            let next_hops = group.data.unwrap_or_default().nexthops.iter().map(next_hop).collect();
            self.groups.set(key, next_hops);
        }
        Ok(())
    }

    pub(super) fn delete_groups(&mut self, keys: &[pb::NextHopGroupKey]) -> Result<(), String> {
        for key in keys {
            let key = group_key(Some(key))?;
            let removed = self.groups.entries.remove(&key);
            removed.ok_or_else(|| format!("next-hop group {} in {} does not exist", key.1, key.0))?;
        }
        Ok(())
    }
}

fn route_key(key: Option<&pb::RouteKey>) -> Result<(String, IpNet), String> {
    let key = key.ok_or("a route without a key")?;
    let prefix = key.ip_prefix.as_ref().and_then(prefix_of).ok_or("a route without a valid prefix")?;
    Ok((key.network_instance_name.clone(), prefix))
}

fn group_key(key: Option<&pb::NextHopGroupKey>) -> Result<(String, String), String> {
    let key = key.ok_or("a next-hop group without a key")?;
    if !(key.name.ends_with("_sdk") || key.name.ends_with("_SDK")) {
        return Err(format!("the name of next-hop group '{}' must end in _sdk or _SDK", key.name));
    }
    Ok((key.network_instance_name.clone(), key.name.clone()))
}

fn next_hop(message: &pb::NextHop) -> NextHop {
    use pb::next_hop::{Nexthop, ResolveToType};
    let address: Option<IpAddr> = match &message.nexthop {
        Some(Nexthop::IpNexthop(address)) => address_of(address),
        Some(Nexthop::MplsNexthop(mpls)) => mpls.ip_nexthop.as_ref().and_then(address_of),
        None => None,
    };
    match (address, ResolveToType::try_from(message.resolve_to)) {
        (None, _) => NextHop::Discard,
        (Some(address), Ok(ResolveToType::Direct)) => NextHop::Direct { address, subinterface: String::new() },
        (Some(address), _) => NextHop::Indirect { address, resolving: None },
    }
}
