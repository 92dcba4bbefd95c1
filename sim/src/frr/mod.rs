//! A leaf whose routes, next-hops, BGP neighbors and BFD sessions are those of a real FRR rather than of the fabric model.
//!
//! SR Linux keeps each network instance in a Linux network namespace of its own (`srbase-<name>`), and so does this: one
//! FRR (zebra and bgpd; staticd and bfdd where used) in one namespace is one network instance of the leaf. [`follow()`] shows
//! it there until the [`Follower`] is dropped.
//!
//! # When it looks, and what it shows
//!
//! The daemons have no stream that holds all that is needed: the kernel reports routes (netlink) without preference,
//! owner or recursive next-hops, zebra's FPM without the latter, bgpd's BMP of sessions and received routes alone, bfdd of
//! nothing. Their `show ... json` commands hold everything, and cost a tenth of a millisecond each over the sockets that
//! vtysh uses (`vty`). So events say *when* to look, and commands say *what* is there: whoever starts the daemons calls
//! [`Notify::notify_one`] for each line that they log and each message of `ip monitor`. Zebra acts on what bgpd has already
//! logged, so one look is not enough: after an event, and after each look that found something new, more follow at
//! doubling intervals from 10 ms up to one second, which is also how long an event that was missed can matter.
//! Each look takes all there is, which suits the tables of a lab, and shows as a whole, as the fewest changes. What came and went between two looks was never there, as on a switch
//! whose tables are busier than their readers.
//!
//! # What becomes what
//!
//! | FRR | leaf |
//! |---|---|
//! | `bgp`, `static`, `kernel` route | type `bgp` owner `bgp_mgr`, `static` `static_route_mgr`, `linux` `linux_mgr`; id 0 |
//! | `connected` route | `local` of `net_inst_mgr` with the subinterface's index as id, and with it the `host` routes of the own address and the broadcast address |
//! | administrative distance | `preference`: `distance bgp 170 169 170` is `preference { ebgp 170 ibgp 169 }` |
//! | `metric` | `metric`; a static route's is 1, as SR Linux has it |
//! | selected | `active`; the others are there, inactive |
//! | installed, queued, failed | `fib-programming`: programmed, pending, failed |
//! | next-hop of a BGP or static route | `indirect`, also where it is on a subnet; the routes zebra resolved it by are not next-hops, the longest active one that contains it is the `resolving-route` |
//! | link-local next-hop of an IPv6 route | the global one announced with it: FRR prefers the former, SR Linux the latter |
//! | next-hop group number | none: the leaf numbers groups itself, one per set of next-hops, as zebra does |
//! | neighbor of a `bgp listen range` | `dynamic-neighbor true`; gone when FRR has dropped it |
//! | state of a neighbor | `session-state`; `Clearing` is `idle`, `Deleted` is gone |
//! | `connectionsEstablished` | `established-transitions`; its changes date `last-established` |
//! | Adj-RIB-In, accepted, sent prefixes | `received-routes`, `rejected-routes` (the difference), `sent-routes` |
//! | selected routes through the neighbor | `active-routes` |
//! | path of a neighbor in bgpd's table | row of the BGP RIB: used, valid, stale; `tie-break-reason` by what differs from the best one, else by its `selectionReason` |
//! | path in Adj-RIB-In alone | a row that is `as-loop`, where it holds the own AS number, else `rejected-route` |
//! | `lastResetCode`, `lastErrorCodeSubcode` | `last-event`, the last NOTIFICATION each way, dated by when it was seen |
//! | BFD peer | BFD session by its own discriminator; `init` and `shutdown` are down |
//!
//! Rejected routes are counted, and shown in the RIB, where the neighbor has `soft-reconfiguration inbound`: without, FRR
//! forgets them. A dynamic neighbor takes its last NOTIFICATION along before anybody can ask for it.
//! With [`Below`], the kernel's bridge is a mac-vrf, its ports are ports, and ARP and ND are the kernel's.
//! Other protocols' routes, and link-local subnets, are left out.

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

/// Where an FRR is, and as what the leaf shows it.
#[derive(Clone, Debug)]
pub struct FrrOptions {
    /// The folder of the daemons' vty sockets (their `--vty_socket`).
    pub sockets: PathBuf,
    /// The network instance.
    pub network_instance: String,
    /// The number the NDK names it by.
    pub id: u32,
    /// Its type.
    pub kind: NetworkInstanceKind,
    /// Linux interfaces that are subinterfaces of the leaf; routes of others have the Linux name and index 0.
    pub subinterfaces: BTreeMap<String, Subinterface>,
    /// What is below routing, where that is to be shown.
    pub below: Option<Below>,
}

/// A Linux bridge with an address of the leaf, and its ports.
#[derive(Clone, Debug)]
pub struct Below {
    /// The network namespace that they are in.
    pub namespace: String,
    /// The bridge; one of the subinterfaces.
    pub bridge: String,
    /// The mac-vrf it is shown as.
    pub mac_vrf: String,
    /// Ports of the leaf by their Linux names.
    pub ports: BTreeMap<String, String>,
}

/// A subinterface of the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subinterface {
    /// `irb1.1`
    pub name: String,
    /// `id` of its routes.
    pub index: u32,
}
