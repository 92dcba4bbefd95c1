//! Values for questions that the engine asks the switch beyond its subscriptions, and for the findings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::names::NetworkInstanceName;
use super::switch::NeighborKey;
use super::time::Timestamp;

/// All open questions. A question that is no longer in the map must not be asked any more.
pub type Inquiry = BTreeMap<Question, Asking>;

/// Changes of an inquiry: questions that are new or asked in another way, and with `None` those that are void.
pub type InquiryChanges = BTreeMap<Question, Option<Asking>>;

/// Applies changes to an inquiry.
pub fn revise(inquiry: &mut Inquiry, changes: &InquiryChanges) {
    for (question, asking) in changes {
        match asking {
            Some(asking) => inquiry.insert(question.clone(), *asking),
            None => inquiry.remove(question),
        };
    }
}

/// One thing to look into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Why the session with a BGP neighbor is down: its last event and NOTIFICATIONs, and whether it is disabled.
    Neighbor(NeighborKey),
    /// Where an address is plugged in: ARP/ND entry, MAC table, port.
    Place(AddressKey),
    /// What became of the route that a BGP neighbor should have sent.
    Path(PathKey),
    /// The type of a network instance that the NDK does not report.
    Instance(NetworkInstanceName),
}

/// An address in a network instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    /// The network instance.
    pub network_instance: NetworkInstanceName,
    /// The address.
    pub address: IpAddr,
}

/// A prefix from a neighbor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey {
    /// The network instance.
    pub network_instance: NetworkInstanceName,
    /// The prefix that should have been received.
    pub prefix: IpNet,
    /// `peer-address` of the neighbor it should have come from.
    pub neighbor: IpAddr,
}

/// How often a question is asked, from least to most often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asking {
    /// Once, and again if the value (the time a session was last established) changes.
    Once(Option<Timestamp>),
    /// At once, after a minute, then every five minutes, because something is not up.
    Repeatedly,
    /// By a subscription, or every 10 s without one, because a verdict depends on it (which node answers for a VIP that
    /// is announced by ARP or ND).
    Followed,
    /// By a subscription and every 10 s, because a VIP that depends on it is not up.
    Watched,
}

/// What was found at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When the switch was asked.
    pub at: Timestamp,
    /// The switch's answer.
    pub answer: Answer,
}

/// The answer to a question of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Neighbor`].
    Neighbor(NeighborWords),
    /// To [`Question::Place`].
    Place(Place),
    /// To [`Question::Path`].
    Path(Path),
    /// To [`Question::Instance`]: its `type` (`mac-vrf`); `None` if the switch has no instance of that name.
    Instance(Option<Arc<str>>),
}

/// Leaves of `/network-instance/protocols/bgp/neighbor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeighborWords {
    /// Whether `admin-state` is disable.
    pub disabled: bool,
    /// `last-event`.
    pub last_event: Option<Arc<str>>,
    /// `peer-as`: the AS number the peer must have.
    pub peer_as: Option<u32>,
    /// `local-as/as-number`.
    pub local_as: Option<u32>,
    /// The last NOTIFICATION from the peer.
    pub received: Option<Notification>,
    /// The last NOTIFICATION to the peer.
    pub sent: Option<Notification>,
    /// The sum of `afi-safi/rejected-routes`.
    pub rejected_routes: Option<u32>,
}

/// A BGP NOTIFICATION message (RFC 4271 section 4.5), with the names of YANG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// `last-notification-time`.
    pub at: Option<Timestamp>,
    /// `last-notification-error-code`.
    pub code: Arc<str>,
    /// `last-notification-error-subcode`.
    pub subcode: Option<Arc<str>>,
}

/// Where an address is plugged in. The last known place is kept after the ARP/ND entry that showed it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Whether there is an ARP/ND entry for the address now.
    pub answers: bool,
    /// Whether the switch reports ARP/ND entries at all. If not, a missing entry means nothing.
    pub is_known: bool,
    /// The subinterface of the entry (`irb1.1`).
    pub subinterface: Option<Arc<str>>,
    /// `link-layer-address`.
    pub link_layer_address: Option<Arc<str>>,
    /// The port on which the MAC was learned (`ethernet-1/1`, `lag1`).
    pub port: Option<Arc<str>>,
    /// Why the subinterface is down; `None` if it is not.
    pub subinterface_down: Option<Down>,
    /// Why the port is down; `None` if it is not.
    pub port_down: Option<Down>,
}

/// Why an interface is down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Down {
    /// `oper-down-reason`.
    pub reason: Option<Arc<str>>,
    /// `last-change`.
    pub since: Option<Timestamp>,
}

/// What became of a route from a neighbor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The row of `rib-in-pre`: as received.
    pub received: Option<RibRoute>,
    /// The row of `rib-in-post`: after import policy.
    pub accepted: Option<RibRoute>,
    /// Whether the switch reports rows of the RIB at all. If not, a missing row means nothing.
    pub is_known: bool,
    /// Preferences of the prefix's routes in the route table, by `route-owner`.
    pub preferences: BTreeMap<Arc<str>, u32>,
}

/// A row of the BGP RIB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RibRoute {
    /// `used-route`: passed to the route table.
    pub used: bool,
    /// `valid-route`.
    pub valid: bool,
    /// `stale-route`: kept only by graceful restart.
    pub stale: bool,
    /// `fib-disabled`.
    pub fib_disabled: bool,
    /// `invalid-reason/rejected-route`: by import policy.
    pub rejected: bool,
    /// `invalid-reason/as-loop`.
    pub as_loop: bool,
    /// `invalid-reason/next-hop-unresolved`.
    pub next_hop_unresolved: bool,
    /// `route-flap-damping/suppressed`.
    pub damped: bool,
    /// `tie-break-reason`, unless none.
    pub tie_break: Option<Arc<str>>,
}
