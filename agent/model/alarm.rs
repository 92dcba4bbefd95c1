//! Alarms: the vocabulary of RFC 8632 (type, resource, perceived severity, text, raised, cleared).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::SourceId;
use super::names::{ClusterName, NodeName, ServiceKey};
use super::switch::RouteKey;
use super::time::Timestamp;

/// Perceived severity (X.733), the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Traffic is lost.
    Critical,
    /// Traffic is at risk, or part of it is lost.
    Major,
    /// The application or the cluster is at fault, not the network.
    Minor,
    /// Something is not as it should be.
    Warning,
}

impl Severity {
    /// Every severity.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Major, Self::Minor, Self::Warning];

    /// The name in YANG.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Major => "major",
            Self::Minor => "minor",
            Self::Warning => "warning",
        }
    }
}

macro_rules! alarm_types {
    ($($(#[$doc:meta])* $variant:ident = $yang:literal, $severity:ident;)*) => {
        /// What an alarm is about. Its severity is a matter of its type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum AlarmType { $($(#[$doc])* $variant,)* }

        impl AlarmType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in YANG.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $yang,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

alarm_types! {
    /// A VIP has no route here.
    VipRouteMissing = "vip-route-missing", Critical;
    /// A VIP has a route that leads nowhere.
    VipBlackholed = "vip-blackholed", Critical;
    /// Two clusters claim one VIP.
    VipAddressConflict = "vip-address-conflict", Critical;
    /// A VIP is degraded for a cause that has no alarm of its own.
    VipDegraded = "vip-degraded", Major;
    /// A service has no usable endpoint.
    VipNoEndpoint = "vip-no-endpoint", Minor;
    /// No node may announce a VIP.
    VipNotAnnounced = "vip-not-announced", Minor;
    /// A service waits for an address.
    VipAddressPending = "vip-address-pending", Warning;
    /// The BGP session to an attached announcer is down.
    NeighborSessionDown = "neighbor-session-down", Major;
    /// The network instance of a cluster is not on this switch.
    NetworkInstanceMissing = "network-instance-missing", Major;
    /// A source is out of reach.
    SourceStale = "source-stale", Major;
    /// An announcer is not located, and nothing on the switch explains it.
    NodeAddressUnknown = "node-address-unknown", Warning;
    /// A route inside a VIP pool that no service claims.
    VipRouteOrphan = "vip-route-orphan", Warning;
}

/// What an alarm is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// A cluster.
    Cluster(ClusterName),
    /// A node.
    Node(ClusterName, NodeName),
    /// A service.
    Service(ClusterName, ServiceKey),
    /// A VIP of a service.
    Vip(ClusterName, ServiceKey, IpAddr),
    /// A source of knowledge.
    Source(SourceId),
    /// A route.
    Orphan(RouteKey),
}

impl Resource {
    /// The cluster it belongs to; none for the switch's own sources and for routes.
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Cluster(cluster) | Self::Node(cluster, _) | Self::Service(cluster, _) | Self::Vip(cluster, ..) => {
                Some(cluster)
            }
            Self::Source(SourceId::Kubernetes(cluster)) => Some(cluster),
            Self::Source(SourceId::Ndk | SourceId::Gnmi) | Self::Orphan(_) => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(cluster) => write!(f, "{cluster}"),
            Self::Node(cluster, node) => write!(f, "{cluster}/{node}"),
            Self::Service(cluster, service) => write!(f, "{cluster}/{service}"),
            Self::Vip(cluster, service, address) => write!(f, "{cluster}/{service}/{address}"),
            Self::Source(source) => write!(f, "{source}"),
            Self::Orphan(route) => write!(f, "{}/{}", route.network_instance, route.prefix),
        }
    }
}

/// Which alarm: there is one a type and resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmKey {
    /// What kind of thing is wrong.
    pub kind: AlarmType,
    /// With what.
    pub resource: Resource,
}

impl fmt::Display for AlarmKey {
    /// The `id` of the alarm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.resource)
    }
}

/// An active alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmView {
    /// What happened, in a sentence.
    pub text: Arc<str>,
    /// When it was raised.
    pub raised: Timestamp,
    /// When its text or count last changed.
    pub last_change: Timestamp,
    /// How often the condition came while it was active.
    pub occurrences: u32,
}

/// An alarm that was cleared: an entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// Grows by one with each record, over restarts too.
    pub sequence: u64,
    /// Which alarm.
    pub key: AlarmKey,
    /// Its last text.
    pub text: Arc<str>,
    /// When it was raised.
    pub raised: Timestamp,
    /// When it was cleared.
    pub cleared: Timestamp,
}

/// What became of an alarm: what is told to those who do not read state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which alarm.
    pub key: AlarmKey,
    /// Its state; of a cleared alarm the last one.
    pub alarm: AlarmView,
    /// What happened to it.
    pub event: NoticeEvent,
}

/// What happened to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    /// It was raised.
    Raised,
    /// Its text or count changed.
    Changed,
    /// It was cleared, then.
    Cleared(Timestamp),
}

/// Active alarms by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmCounts {
    /// In the order of [`Severity::ALL`].
    pub active: [u32; 4],
}

impl AlarmCounts {
    /// Active alarms of a severity.
    pub fn of(&self, severity: Severity) -> u32 {
        self.active[severity as usize]
    }
}
