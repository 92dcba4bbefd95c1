//! Native state: how a switch's own applications write their tables to the datastore.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::native_link;
use crate::native_state::{at, now};
use crate::path::Path;
use crate::tables::{
    BfdSession, BgpNotification, Fib, Neighbor, NetworkInstance, NetworkInstanceKind, NextHop, Route, RouteKey,
};

pub(super) fn network_instance_path(name: &str) -> Path {
    at(&[("network-instance", &[("name", name)])])
}

pub(super) fn network_instance(it: &NetworkInstance) -> Value {
    let kind = match it.kind {
        NetworkInstanceKind::Default => "default",
        NetworkInstanceKind::IpVrf => "ip-vrf",
        NetworkInstanceKind::MacVrf => "mac-vrf",
    };
    let mut value = json!({
        "type": format!("srl_nokia-network-instance:{kind}"),
        "admin-state": "enable",
        "oper-state": if it.oper_up { "up" } else { "down" },
    });
    if let Some(id) = it.router_id {
        value["router-id"] = id.to_string().into();
    }
    if let Value::Object(members) = &mut value {
        native_link::segment(&it.segment, members);
    }
    value
}

pub(super) fn neighbor_path(instance: &str, peer: &str) -> Path {
    at(&[
        ("network-instance", &[("name", instance)]),
        ("protocols", &[]),
        ("bgp", &[]),
        ("neighbor", &[("peer-address", peer)]),
    ])
}

pub(super) fn neighbor(it: &Neighbor) -> Value {
    let established = it.session_state == "established";
    let mut value = json!({
        "admin-state": if it.record.admin_disabled { "disable" } else { "enable" },
        "peer-type": if it.peer_as == it.local_as { "ibgp" } else { "ebgp" },
        "peer-as": it.peer_as,
        "peer-group": it.peer_group,
        "session-state": it.session_state,
        "last-state": if established { "openconfirm" } else { "established" },
        "last-event": if established { "recvKeepAlive" } else { "holdTime" },
        "established-transitions": it.established_transitions.to_string(),
        "local-as": { "as-number": it.local_as },
        "afi-safi": it.afi_safis.iter().map(|(name, counters)| json!({
            "afi-safi-name": format!("srl_nokia-common:{name}"),
            "admin-state": "enable",
            "oper-state": if established { "up" } else { "down" },
            "received-routes": counters.received,
            "active-routes": counters.active,
            "sent-routes": counters.sent,
            "rejected-routes": counters.rejected,
        })).collect::<Vec<_>>(),
    });
    if it.established_transitions == 0 {
        value["last-state"] = "idle".into();
        value["last-event"] = "none".into();
    }
    if let Some(event) = it.record.last_event.as_ref().filter(|_| !established) {
        value["last-event"] = event.as_str().into();
    }
    for (name, notification) in [("sent-messages", &it.record.sent), ("received-messages", &it.record.received)] {
        if let Some(notification) = notification {
            value[name] = words(notification);
        }
    }
    if let Some(at) = &it.last_established {
        value["last-established"] = at.as_str().into();
    }
    if it.dynamic {
        value["dynamic-neighbor"] = true.into();
    }
    if let Some(address) = it.local_address {
        value["transport"] = json!({ "local-address": address.to_string() });
    }
    value
}

fn words(it: &BgpNotification) -> Value {
    let mut value = json!({ "last-notification-time": it.at, "last-notification-error-code": it.code });
    if let Some(subcode) = &it.subcode {
        value["last-notification-error-subcode"] = subcode.as_str().into();
    }
    value
}

/// Returns the name of an address family's table below `route-table`.
pub(super) fn family(prefix: &IpNet) -> &'static str {
    if prefix.addr().is_ipv4() { "ipv4-unicast" } else { "ipv6-unicast" }
}

pub(super) fn route_path(instance: &str, key: &RouteKey) -> Path {
    let prefix_key = if key.prefix.addr().is_ipv4() { "ipv4-prefix" } else { "ipv6-prefix" };
    at(&[
        ("network-instance", &[("name", instance)]),
        ("route-table", &[]),
        (family(&key.prefix), &[]),
        (
            "route",
            &[
                (prefix_key, &key.prefix.to_string()),
                ("id", &key.id.to_string()),
                ("route-type", &format!("srl_nokia-common:{}", key.route_type)),
                ("route-owner", &key.owner),
                ("origin-network-instance", instance),
            ],
        ),
    ])
}

pub(super) fn route(instance: &str, it: &Route, group: u64) -> Value {
    let now = now();
    json!({
        "leakable": false,
        "metric": it.metric,
        "preference": it.preference,
        "active": it.active,
        "last-app-update": now,
        "next-hop-group": group.to_string(),
        "next-hop-group-network-instance": instance,
        "fib-programming": programming(it.active, it.fib, &now),
    })
}

fn programming(active: bool, fib: Fib, now: &str) -> Value {
    let (done, pending, failed) = match (active, fib) {
        (false, _) => ("none", "none", "none"),
        (true, Fib::Programmed) => ("add", "none", "none"),
        (true, Fib::Pending) => ("none", "add", "none"),
        (true, Fib::Failed) => ("none", "none", "add"),
        (true, Fib::Recovered) => ("add", "none", "add"),
        (true, Fib::Suppressed) => ("none", "none", "none"),
    };
    let mut value = json!({
        "suppressed": active && fib == Fib::Suppressed,
        "last-successful-operation-type": done,
        "pending-operation-type": pending,
        "last-failed-operation-type": failed,
    });
    if done != "none" {
        value["last-successful-operation-timestamp"] = now.into();
    }
    value
}

pub(super) fn group_path(instance: &str, id: u64) -> Path {
    at(&[
        ("network-instance", &[("name", instance)]),
        ("route-table", &[]),
        ("next-hop-group", &[("index", &id.to_string())]),
    ])
}

/// Returns a group of next-hops, each with its own index.
pub(super) fn group(next_hops: &[(u64, &NextHop)]) -> Value {
    let members = next_hops.iter().enumerate().map(|(position, (index, next_hop))| {
        json!({
            "id": position,
            "next-hop": index.to_string(),
            "resolved": match next_hop {
                NextHop::Indirect { resolving: None, .. } => "false",
                NextHop::Discard | NextHop::Extract | NextHop::Broadcast => "not-applicable",
                _ => "true",
            },
        })
    });
    json!({
        "backup-next-hop-group": "0",
        "next-hop": members.collect::<Vec<_>>(),
        "fib-programming": programming(true, Fib::Programmed, &now()),
    })
}

pub(super) fn next_hop_path(instance: &str, index: u64) -> Path {
    at(&[
        ("network-instance", &[("name", instance)]),
        ("route-table", &[]),
        ("next-hop", &[("index", &index.to_string())]),
    ])
}

/// Returns a next-hop. `group` is the group of the route that resolves it.
pub(super) fn next_hop(it: &NextHop, group: Option<u64>) -> Value {
    let kind = |name: &str| Value::from(format!("srl_nokia-ip-route-tables:{name}"));
    match it {
        NextHop::Direct { address, subinterface } => {
            let mut value = json!({ "type": kind("direct"), "ip-address": address.to_string() });
            if !subinterface.is_empty() {
                value["subinterface"] = subinterface.as_str().into();
            }
            value
        }
        NextHop::Indirect { address, resolving } => {
            let resolved = resolving.is_some();
            let mut indirect = json!({ "resolved": resolved, "usable": resolved });
            if let Some((prefix, route_type, owner)) = resolving {
                indirect["resolving-route"] = json!({
                    "ip-prefix": prefix.to_string(),
                    "route-type": format!("srl_nokia-common:{route_type}"),
                    "route-owner": owner,
                });
                if let Some(group) = group {
                    indirect["resolving-route"]["next-hop-group"] = group.to_string().into();
                }
            }
            json!({ "type": kind("indirect"), "ip-address": address.to_string(), "indirect": indirect })
        }
        NextHop::Vxlan { vtep } => json!({
            "type": kind("indirect"),
            "ip-address": vtep.to_string(),
            "indirect": {
                "resolved": true,
                "usable": true,
                "resolving-tunnel": {
                    "ip-prefix": IpNet::from(*vtep).to_string(),
                    "tunnel-type": "srl_nokia-common:vxlan",
                    "tunnel-owner": "vxlan_mgr",
                },
            },
        }),
        NextHop::Extract => json!({ "type": kind("extract") }),
        NextHop::Broadcast => json!({ "type": kind("broadcast") }),
        NextHop::Discard => json!({ "type": kind("discard") }),
    }
}

/// Counters of one address family's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) active: u32,
    pub(super) active_with_ecmp: u32,
    pub(super) fib_failed: u32,
}

impl Counts {
    /// Adds a route, or removes it.
    pub(super) fn count(&mut self, route: &Route, up: bool) {
        let failed = route.active && route.fib == Fib::Failed;
        let installed = route.active && !failed && route.fib != Fib::Suppressed;
        let step = |counter: &mut u32, counts: bool| {
            if counts {
                *counter = if up { *counter + 1 } else { counter.saturating_sub(1) };
            }
        };
        step(&mut self.active, installed);
        step(&mut self.active_with_ecmp, installed && route.next_hops.len() > 1);
        step(&mut self.fib_failed, failed);
        self.total = if up { self.total + 1 } else { self.total.saturating_sub(1) };
    }
}

pub(super) fn statistics_path(instance: &str, family: &str) -> Path {
    at(&[("network-instance", &[("name", instance)]), ("route-table", &[]), (family, &[]), ("statistics", &[])])
}

pub(super) fn statistics(it: &Counts) -> Value {
    json!({
        "active-routes": it.active,
        "active-routes-with-ecmp": it.active_with_ecmp,
        "fib-failed-routes": it.fib_failed,
        "total-routes": it.total.to_string(),
    })
}

pub(super) fn bfd_path(instance: &str, discriminator: u32) -> Path {
    at(&[
        ("bfd", &[]),
        ("network-instance", &[("name", instance)]),
        ("peer", &[("local-discriminator", &discriminator.to_string())]),
    ])
}

/// Returns what fleet tools ask about the hardware.
pub(super) fn chassis(booted: &str) -> Value {
    json!({ "type": "7220 IXR-D2L", "serial-number": "Sim Serial No.", "part-number": "Sim Part No.", "last-booted": booted })
}

/// Features by which a fleet tool decides what to ask for.
pub(super) const FEATURES: [&str; 6] = ["bridged", "evpn", "irb", "lldp", "mac-vrf", "vxlan"];

pub(super) fn bfd(remote: IpAddr, it: &BfdSession) -> Value {
    let mut value = json!({
        "oper-state": if it.up { "up" } else { "down" },
        "local-address": it.local.to_string(),
        "remote-address": remote.to_string(),
        "subscribed-protocols": "bgp_mgr",
        "session-state": if it.up { "UP" } else { "DOWN" },
        "last-state-transition": now(),
    });
    if !it.up {
        value["last-failure-time"] = now().into();
    }
    value
}

pub(super) fn system_information(release: &str, booted: &str) -> Value {
    let mut value = Map::new();
    value.insert("description".into(), format!("SRLinux-{release} emulated by srl-sim").into());
    value.insert("current-datetime".into(), now().into());
    value.insert("last-booted".into(), booted.into());
    value.insert("version".into(), release.into());
    Value::Object(value)
}
