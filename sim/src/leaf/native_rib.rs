//! Native state of a BGP RIB.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::native::family;
use crate::native_state::at;
use crate::path::Path;
use crate::tables::{BgpPreference, PathFate, Rib, RibPath};

/// Number of the first attribute set.
const FIRST_ATTRIBUTES: usize = 305;

/// The leaves of `invalid-reason`.
const INVALID: [&str; 6] = [
    "rejected-route",
    "as-loop",
    "next-hop-unresolved",
    "cluster-loop",
    "label-allocation-failed",
    "fib-programming-failed",
];

/// Returns the paths and values of a network instance's whole RIB: one per family, and one for attribute sets.
pub(super) fn rib(instance: &str, rib: &Rib) -> [(Path, Value); 3] {
    let attributes = attribute_sets(rib);
    let of_family = |name: &str| {
        let rows = rib.iter().filter(|((prefix, _), _)| family(prefix) == name);
        let rows: Vec<_> = rows.map(|((prefix, neighbor), path)| (*prefix, neighbor.as_str(), path)).collect();
        let row = |(prefix, neighbor, path): &(IpNet, &str, &RibPath), protocol: bool, received: bool| {
            row(*prefix, neighbor, path, attributes[&attributes_of(path)], protocol, received)
        };
        let heard = || rows.iter().filter(|(_, _, path)| !path.by_evpn);
        let local = rows.iter().filter(|(_, _, path)| path.fate.is_valid());
        json!({
            "local-rib": { "route": local.map(|it| row(it, true, false)).collect::<Vec<_>>() },
            "rib-in-out": {
                "rib-in-pre": { "route": heard().map(|it| row(it, false, true)).collect::<Vec<_>>() },
                "rib-in-post": { "route": heard().map(|it| row(it, false, false)).collect::<Vec<_>>() },
            },
        })
    };
    let sets: Vec<Value> = attributes.iter().map(|(attributes, index)| attribute_set(attributes, *index)).collect();
    [
        (rib_path(instance, "ipv4-unicast"), of_family("ipv4-unicast")),
        (rib_path(instance, "ipv6-unicast"), of_family("ipv6-unicast")),
        (sets_path(instance), json!({ "attr-set": sets })),
    ]
}

/// Returns the preferences of BGP routes in a network instance.
pub(super) fn preference(it: BgpPreference) -> Value {
    json!({ "ebgp": it.ebgp, "ibgp": it.ibgp })
}

/// Returns the path of the preferences.
pub(super) fn preference_path(instance: &str) -> Path {
    at(&[("network-instance", &[("name", instance)]), ("protocols", &[]), ("bgp", &[]), ("preference", &[])])
}

/// Returns the path of a family's RIB.
pub(super) fn rib_path(instance: &str, family: &str) -> Path {
    at(&[
        ("network-instance", &[("name", instance)]),
        ("bgp-rib", &[]),
        ("afi-safi", &[("afi-safi-name", &format!("srl_nokia-common:{family}"))]),
        (family, &[]),
    ])
}

/// Returns the path of a RIB's attribute sets.
pub(super) fn sets_path(instance: &str) -> Path {
    at(&[("network-instance", &[("name", instance)]), ("bgp-rib", &[]), ("attr-sets", &[])])
}

/// Attributes that paths share in a set: next-hop, AS path, local preference.
type Attributes = (std::net::IpAddr, Vec<u32>, Option<u32>);

fn attributes_of(path: &RibPath) -> Attributes {
    (path.next_hop, path.as_path.clone(), path.local_preference)
}

fn attribute_sets(rib: &Rib) -> BTreeMap<Attributes, usize> {
    let mut sets: BTreeMap<Attributes, usize> = rib.values().map(|path| (attributes_of(path), 0)).collect();
    for (position, index) in sets.values_mut().enumerate() {
        *index = FIRST_ATTRIBUTES + position;
    }
    sets
}

fn attribute_set((next_hop, as_path, local_preference): &Attributes, index: usize) -> Value {
    let mut value = json!({ "index": index.to_string(), "origin": "igp", "next-hop": next_hop.to_string() });
    if !as_path.is_empty() {
        value["as-path"] = json!({ "segment": [{ "index": "1", "type": "as_sequence", "member": as_path }] });
    }
    if let Some(preference) = local_preference {
        value["local-pref"] = (*preference).into();
    }
    value
}

fn row(prefix: IpNet, neighbor: &str, path: &RibPath, attributes: usize, protocol: bool, received: bool) -> Value {
    let fate = path.fate;
    let tie_break = match fate {
        PathFate::Lost(reason) => reason,
        PathFate::Invalid(_) => "invalid-route",
        PathFate::FibDisabled => "fib-install-disabled",
        _ => "none",
    };
    let mut value = json!({
        "prefix": prefix.to_string(),
        "neighbor": neighbor,
        "path-id": 0,
        "attr-id": attributes.to_string(),
        "neighbor-as": path.neighbor_as,
        "stale-route": path.stale,
        "pending-delete": false,
    });
    if protocol {
        let origin = if path.by_evpn { "bgp-evpn" } else { "bgp" };
        value["origin-protocol"] = format!("srl_nokia-common:{origin}").into();
    }
    // As received, nothing has been decided yet.
    if received {
        return value;
    }
    let best = matches!(fate, PathFate::Best | PathFate::Unused);
    value["used-route"] = fate.is_used().into();
    value["valid-route"] = fate.is_valid().into();
    value["best-route"] = best.into();
    value["group-best"] = best.into();
    value["backup-route"] = false.into();
    value["fib-disabled"] = (fate == PathFate::FibDisabled).into();
    value["tie-break-reason"] = tie_break.into();
    value["invalid-reason"] =
        INVALID.iter().map(|reason| ((*reason).to_owned(), Value::Bool(fate == PathFate::Invalid(reason)))).collect();
    value["route-flap-damping"] = json!({ "suppressed": fate == PathFate::Damped });
    value
}
