//! Reads what questions need from the leaves of an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::super::leaf::Scalar;
use super::super::notifications::Notifications;
use super::super::path::{bare, names};
use crate::model::inquiry::{AddressKey, Down, NeighborWords, Path, PathKey, Place, RibRoute};
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{IpFamily, NeighborKey};
use crate::path::Element;

/// The leaves of one answer.
#[derive(Debug, Default)]
pub(super) struct Leaves(pub(super) Vec<(Vec<Element>, Scalar)>);

/// An ARP/ND entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gnmi) struct Entry {
    pub(in crate::gnmi) subinterface: Arc<str>,
    pub(in crate::gnmi) link_layer_address: Arc<str>,
}

impl Leaves {
    /// Returns the leaves whose path has these names, each with its whole path.
    fn at<'a>(&'a self, wanted: &'a [&str]) -> impl Iterator<Item = (&'a [Element], &'a Scalar)> {
        let all = self.0.iter().map(|(path, value)| (path.as_slice(), value));
        all.filter(move |(path, _)| {
            path.len() == wanted.len() && names(path).iter().zip(wanted).all(|(one, other)| one == other)
        })
    }

    /// Returns a neighbor's state and last messages; `None` if there is no such neighbor.
    pub(super) fn neighbor(&self, key: &NeighborKey) -> Option<NeighborWords> {
        let peer = key.peer.to_string();
        let mut words = NeighborWords::default();
        let mut notifications = Notifications::default();
        let mut found = false;
        for (path, value) in &self.0 {
            let names = names(path);
            let Some(leaf) = names.strip_prefix(&["network-instance", "protocols", "bgp", "neighbor"]) else {
                continue;
            };
            let own = path[0].key("name") == Some(key.network_instance.as_str());
            if !own || path[3].key("peer-address") != Some(&peer) {
                continue;
            }
            found = true;
            let text = || value.text().map(Arc::from);
            let number = || value.number().and_then(|number| u32::try_from(number).ok());
            match leaf {
                ["admin-state"] => words.disabled = value.text() == Some("disable"),
                ["last-event"] => words.last_event = text(),
                ["peer-as"] => words.peer_as = number(),
                ["local-as", "as-number"] => words.local_as = number(),
                ["afi-safi", "rejected-routes"] => {
                    let sum = words.rejected_routes.unwrap_or(0).saturating_add(number().unwrap_or(0));
                    words.rejected_routes = Some(sum);
                }
                _ => _ = notifications.set(leaf, value),
            }
        }
        [words.received, words.sent] = notifications.last();
        found.then_some(words)
    }

    /// Returns the type of a network instance; `None` if there is no such instance.
    pub(super) fn instance_type(&self, name: &NetworkInstanceName) -> Option<Arc<str>> {
        let mut types = self.at(&["network-instance", "type"]);
        let own = types.find(|(path, _)| path[0].key("name") == Some(name.as_str()))?;
        // It is an identity: in JSON_IETF, with the name of its module.
        own.1.text().map(bare).map(Arc::from)
    }

    /// Returns whether there is any entry of ARP, or of ND.
    pub(super) fn has_entries(&self, family: IpFamily) -> bool {
        let path = match family {
            IpFamily::Ipv4 => ARP,
            IpFamily::Ipv6 => ND,
        };
        self.at(path).next().is_some()
    }

    /// Returns the ARP/ND entry of an address in a network instance.
    pub(super) fn entry(&self, key: &AddressKey) -> Option<Entry> {
        let members: BTreeSet<&str> = self
            .at(&["network-instance", "interface", "oper-state"])
            .filter(|(path, _)| path[0].key("name") == Some(key.network_instance.as_str()))
            .filter_map(|(path, _)| path[1].key("name"))
            .collect();
        let address = key.address.to_string();
        let entries = [ARP, ND].into_iter().flat_map(|path| self.at(path));
        let mut own = entries.filter_map(|(path, value)| {
            let last = path.get(4)?;
            let of_address = last.key("ipv4-address").or_else(|| last.key("ipv6-address")) == Some(&address);
            let subinterface = format!("{}.{}", path[0].key("name")?, path[1].key("index")?);
            let member = members.is_empty() || members.contains(subinterface.as_str());
            (of_address && member)
                .then(|| Some(Entry { subinterface: subinterface.into(), link_layer_address: value.text()?.into() }))?
        });
        own.next()
    }

    /// Returns the port on which a MAC address was learned in a network instance that the IRB belongs to.
    pub(super) fn port(&self, irb: &str, mac: &str) -> Option<Arc<str>> {
        let members: BTreeSet<&str> = self
            .at(&["network-instance", "interface", "oper-state"])
            .filter(|(path, _)| path[1].key("name") == Some(irb))
            .filter_map(|(path, _)| path[0].key("name"))
            .collect();
        let destinations = self.at(&["network-instance", "bridge-table", "mac-table", "mac", "destination"]);
        let mut own = destinations.filter(|(path, _)| {
            let member = path[0].key("name").is_some_and(|name| members.contains(name));
            member && path[3].key("address").is_some_and(|address| address.eq_ignore_ascii_case(mac))
        });
        let destination = own.find_map(|(_, value)| value.text())?;
        // A tunnel (`vxlan-interface:...`) is not a port.
        let port =
            (!destination.contains(':')).then(|| destination.rsplit_once('.').map_or(destination, |(port, _)| port))?;
        Some(port.into())
    }

    /// Returns why a port is down; `None` if it is not.
    pub(super) fn port_down(&self, port: &str) -> Option<Down> {
        self.down(&["interface"], |path| path[0].key("name") == Some(port))
    }

    /// Returns why a subinterface is down; `None` if it is not.
    pub(super) fn subinterface_down(&self, name: &str) -> Option<Down> {
        let (interface, index) = name.rsplit_once('.')?;
        self.down(&["interface", "subinterface"], |path| {
            path[0].key("name") == Some(interface) && path[1].key("index") == Some(index)
        })
    }

    fn down(&self, container: &[&str], own: impl Fn(&[Element]) -> bool) -> Option<Down> {
        let leaf = |leaf: &str| {
            let path: Vec<&str> = container.iter().copied().chain([leaf]).collect();
            self.0.iter().find(|(at, _)| names(at) == path && own(at)).and_then(|(_, value)| value.text())
        };
        let is_down = leaf("oper-state").is_some_and(|state| state != "up");
        is_down.then(|| Down {
            reason: leaf("oper-down-reason").map(Arc::from),
            since: leaf("last-change").and_then(|time| time.parse().ok()),
        })
    }

    /// Returns what became of a route. The caller sets `is_known`, since it knows whether the RIB has any rows.
    pub(super) fn path(&self, key: &PathKey) -> Path {
        Path {
            received: self.row(key, "rib-in-pre"),
            accepted: self.row(key, "rib-in-post"),
            is_known: false,
            preferences: self.preferences(key),
        }
    }

    /// Returns whether the RIB has any row.
    pub(super) fn has_rows(&self) -> bool {
        self.0.iter().any(|(path, _)| path.get(1).is_some_and(|elem| elem.name == "bgp-rib"))
    }

    /// Returns the best row of a route: one that is used, otherwise one that is valid.
    fn row(&self, key: &PathKey, rib: &str) -> Option<RibRoute> {
        let mut rows: BTreeMap<&str, RibRoute> = BTreeMap::new();
        for (path, value) in &self.0 {
            let names = names(path);
            let ["network-instance", "bgp-rib", "afi-safi", _, "rib-in-out", of, "route", leaf @ ..] = &*names else {
                continue;
            };
            let row = &path[6];
            let own = *of == rib && path[0].key("name") == Some(key.network_instance.as_str());
            if !own || !is_prefix(row, "prefix", key.prefix) || row.key("neighbor") != Some(&key.neighbor.to_string()) {
                continue;
            }
            let row = rows.entry(row.key("path-id").unwrap_or_default()).or_default();
            let set = value.boolean() == Some(true);
            match leaf {
                ["used-route"] => row.used = set,
                ["valid-route"] => row.valid = set,
                ["stale-route"] => row.stale = set,
                ["fib-disabled"] => row.fib_disabled = set,
                ["invalid-reason", "rejected-route"] => row.rejected = set,
                ["invalid-reason", "as-loop"] => row.as_loop = set,
                ["invalid-reason", "next-hop-unresolved"] => row.next_hop_unresolved = set,
                ["route-flap-damping", "suppressed"] => row.damped = set,
                ["tie-break-reason"] => {
                    row.tie_break = value.text().filter(|text| !NO_TIE_BREAK.contains(text)).map(Arc::from);
                }
                _ => {}
            }
        }
        rows.into_values().max_by_key(|row| (row.used, row.valid))
    }

    fn preferences(&self, key: &PathKey) -> BTreeMap<Arc<str>, u32> {
        let mut preferences = BTreeMap::new();
        for (path, value) in &self.0 {
            let ["network-instance", "route-table", _, "route", "preference"] = &*names(path) else { continue };
            let route = &path[3];
            let own = path[0].key("name") == Some(key.network_instance.as_str());
            let of_prefix = is_prefix(route, "ipv4-prefix", key.prefix) || is_prefix(route, "ipv6-prefix", key.prefix);
            let preference = value.number().and_then(|number| u32::try_from(number).ok());
            if let (true, true, Some(owner), Some(preference)) = (own, of_prefix, route.key("route-owner"), preference)
            {
                let best: &mut u32 = preferences.entry(Arc::from(owner)).or_insert(preference);
                *best = preference.min(*best);
            }
        }
        if let Some(own) = self.bgp_preference(key) {
            preferences.entry(Arc::from(BGP_OWNER)).or_insert(own);
        }
        preferences
    }

    /// Returns the configured preference of routes from a neighbor.
    fn bgp_preference(&self, key: &PathKey) -> Option<u32> {
        let (instance, neighbor) = (key.network_instance.as_str(), key.neighbor.to_string());
        let own = |path: &[Element]| path[0].key("name") == Some(instance);
        let mut types = self.at(&["network-instance", "protocols", "bgp", "neighbor", "peer-type"]);
        let of_neighbor =
            types.find(|(path, _)| own(path) && path[3].key("peer-address") == Some(neighbor.as_str()))?;
        let wanted = ["network-instance", "protocols", "bgp", "preference", of_neighbor.1.text()?];
        let preference = self.at(&wanted).find(|(path, _)| own(path))?.1.number()?;
        u32::try_from(preference).ok()
    }
}

/// Values of `tie-break-reason` of routes that did not lose a comparison.
const NO_TIE_BREAK: [&str; 2] = ["none", "invalid-route"];

/// `route-owner` of BGP's routes.
const BGP_OWNER: &str = "bgp_mgr";

const ARP: &[&str] = &["interface", "subinterface", "ipv4", "arp", "neighbor", "link-layer-address"];
const ND: &[&str] = &["interface", "subinterface", "ipv6", "neighbor-discovery", "neighbor", "link-layer-address"];

fn is_prefix(step: &Element, key: &str, prefix: IpNet) -> bool {
    step.key(key).and_then(|text| text.parse::<IpNet>().ok()) == Some(prefix)
}

/// Returns what is known about a place after a new answer. What was known is kept if the ARP/ND entry is gone. `families`
/// are those of which the switch has shown entries.
pub(super) fn remember(
    places: &BTreeMap<AddressKey, Place>,
    families: &BTreeSet<IpFamily>,
    key: &AddressKey,
    entry: Option<&Entry>,
) -> Place {
    let earlier = places.get(key).cloned().unwrap_or_default();
    match entry {
        Some(entry) => {
            let same = earlier.link_layer_address.as_ref() == Some(&entry.link_layer_address);
            Place {
                answers: true,
                is_known: true,
                subinterface: Some(Arc::clone(&entry.subinterface)),
                link_layer_address: Some(Arc::clone(&entry.link_layer_address)),
                port: earlier.port.filter(|_| same),
                ..Place::default()
            }
        }
        None => {
            let is_known = families.contains(&IpFamily::of(key.address));
            Place { answers: false, is_known, subinterface_down: None, port_down: None, ..earlier }
        }
    }
}
