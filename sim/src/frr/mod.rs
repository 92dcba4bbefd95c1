//! Shows the routes, next-hops, BGP neighbors and BFD sessions of a real FRR on a leaf, in place of the fabric model's.
//!
//! SR Linux keeps each network instance in its own Linux network namespace (`srbase-<name>`), and so does this module:
//! one FRR (zebra and bgpd; staticd and bfdd if used) in one namespace is one network instance of the leaf.
//! [`follow()`] shows it there until the [`Follower`] is dropped.
//!
//! # When it is read, and what is shown
//!
//! No stream of the daemons contains all that is needed: the kernel reports routes (netlink) without preference, owner
//! or recursive next-hops, zebra's FPM reports them without recursive next-hops, bgpd's BMP has only sessions and
//! received routes, and bfdd has no stream. The `show ... json` commands contain everything, and cost a tenth of a
//! millisecond each over the sockets that vtysh uses (`vty`). Events therefore say *when* to read, and commands say
//! *what* is there: whoever starts the daemons calls [`Notify::notify_one`] for each line they log and each message of
//! `ip monitor`. bgpd logs before zebra acts, so one reading is not enough: after an event, and after each reading with
//! changes, more readings follow at doubling intervals from 10 ms to one second. A missed event therefore matters for
//! at most one second.
//!
//! Each reading contains everything, which is acceptable for the tables of a lab, and is shown at once with as few
//! changes as possible. What comes and goes between two readings is not shown, as on a switch whose tables change
//! faster than clients read them.
//!
//! # Mapping
//!
//! | FRR | leaf |
//! |---|---|
//! | `bgp`, `static`, `kernel` route | type `bgp` owner `bgp_mgr`, `static` `static_route_mgr`, `linux` `linux_mgr`; id 0 |
//! | `connected` route | `local` of `net_inst_mgr` with the subinterface's index as id, and with it the `host` routes of the own address and the broadcast address |
//! | administrative distance | `preference`: `distance bgp 170 169 170` is `preference { ebgp 170 ibgp 169 }` |
//! | `metric` | `metric`; 1 for static routes, as on SR Linux |
//! | selected | `active`; the others are present but inactive |
//! | installed, queued, failed | `fib-programming`: programmed, pending, failed |
//! | next-hop of a BGP or static route | `indirect`, also if it is on a subnet; the routes by which zebra resolved it are not next-hops, and the longest active route that contains it is the `resolving-route` |
//! | link-local next-hop of an IPv6 route | the global one announced with it: FRR prefers the former, SR Linux the latter |
//! | next-hop group number | ignored: the leaf numbers groups itself, one per set of next-hops, as zebra does |
//! | neighbor of a `bgp listen range` | `dynamic-neighbor true`; absent once FRR has dropped it |
//! | state of a neighbor | `session-state`; `Clearing` is `idle`, `Deleted` is absent |
//! | `connectionsEstablished` | `established-transitions`; its changes date `last-established` |
//! | Adj-RIB-In, accepted, sent prefixes | `received-routes`, `rejected-routes` (the difference), `sent-routes` |
//! | selected routes through the neighbor | `active-routes` |
//! | path of a neighbor in bgpd's table | row of the BGP RIB: used, valid, stale; `tie-break-reason` by what differs from the best one, else by its `selectionReason` |
//! | path that is only in Adj-RIB-In | row with `as-loop` if it contains the own AS number, else with `rejected-route` |
//! | `lastResetCode`, `lastErrorCodeSubcode` | `last-event`, and the last NOTIFICATION in each direction, with the time when it was read |
//! | BFD peer | BFD session by its own discriminator; `init` and `shutdown` are down |
//!
//! Rejected routes are counted, and shown in the RIB, if the neighbor has `soft-reconfiguration inbound`; otherwise FRR
//! forgets them. The last NOTIFICATION of a dynamic neighbor disappears with the neighbor before it can be read. With
//! [`Below`], the kernel's bridge is shown as a mac-vrf, its ports as ports, and ARP and ND are those of the kernel.
//! Routes of other protocols and link-local subnets are omitted.

mod below;
mod follow;
mod map;
mod read;
mod rib;
#[cfg(test)]
mod tests;
mod vty;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

#[cfg(doc)]
use tokio::sync::Notify;

use crate::tables::NetworkInstanceKind;

pub use self::follow::{Follower, follow};

/// Where an FRR is, and how the leaf shows it.
#[derive(Clone, Debug)]
pub struct FrrOptions {
    /// The folder of the daemons' vty sockets (their `--vty_socket`).
    pub sockets: PathBuf,
    /// Name of the network instance.
    pub network_instance: String,
    /// Number of the network instance in the NDK.
    pub id: u32,
    /// Type of the network instance.
    pub kind: NetworkInstanceKind,
    /// Subinterfaces of the leaf by Linux interface. Routes of other interfaces have the Linux name and index 0.
    pub subinterfaces: BTreeMap<String, Subinterface>,
    /// What is below routing, if it is to be shown.
    pub below: Option<Below>,
}

/// A Linux bridge that has an address of the leaf, and its ports.
#[derive(Clone, Debug)]
pub struct Below {
    /// Network namespace of the bridge and its ports.
    pub namespace: String,
    /// The bridge, which is one of the subinterfaces.
    pub bridge: String,
    /// Name of the mac-vrf as which it is shown.
    pub mac_vrf: String,
    /// Ports of the leaf by their Linux names.
    pub ports: BTreeMap<String, String>,
}

/// A subinterface of the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subinterface {
    /// Name, such as `irb1.1`.
    pub name: String,
    /// Index, which is the `id` of its routes.
    pub index: u32,
}
