//! Defines alarms in the vocabulary of RFC 8632 (type, resource, perceived severity, text, raised, cleared).

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use super::source::SourceId;
use super::switch::RouteKey;
use super::time::Timestamp;
use super::verdict::{Owner, ProbableCause};

/// Perceived severity (X.733), worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// All severities, worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Major, Self::Minor, Self::Warning];

    /// Returns the name in YANG.
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
        /// The kind of problem (RFC 8632, alarm-type).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum AlarmType { $($(#[$doc])* $variant,)* }

        impl AlarmType {
            /// All types.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the name in YANG.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $yang,)* }
            }

            /// Returns the severity of this type, which a situation may change.
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
    /// A VIP is degraded for a reason without an alarm type of its own.
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
    /// A source is lost.
    SourceStale = "source-stale", Major;
    /// An announcer is not located, and nothing on the switch explains it.
    NodeAddressUnknown = "node-address-unknown", Warning;
    /// A route inside a VIP pool that no service claims.
    VipRouteOrphan = "vip-route-orphan", Warning;
}

macro_rules! serialized_by_word {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <Cow<'de, str>>::deserialize(deserializer)?;
                let known = Self::ALL.iter().find(|known| known.as_str() == word);
                known.copied().ok_or_else(|| D::Error::custom(format_args!("{word:?} is not a {}", stringify!($name))))
            }
        }
    )*};
}

serialized_by_word! { Owner ProbableCause }

/// The resource that an alarm is about.
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
    /// A source of data.
    Source(SourceId),
    /// A route.
    Orphan(RouteKey),
    /// A network instance of this switch.
    NetworkInstance(NetworkInstanceName),
    /// An address in a network instance, which clusters share that claim the same VIP.
    Address(NetworkInstanceName, IpAddr),
}

impl Resource {
    /// Returns the cluster that the resource belongs to; `None` for the switch's own sources, routes and network
    /// instances.
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Cluster(cluster) | Self::Node(cluster, _) | Self::Service(cluster, _) | Self::Vip(cluster, ..) => {
                Some(cluster)
            }
            Self::Source(SourceId::Kubernetes(cluster)) => Some(cluster),
            Self::Source(SourceId::Ndk | SourceId::Gnmi)
            | Self::Orphan(_)
            | Self::NetworkInstance(_)
            | Self::Address(..) => None,
        }
    }

    /// Returns the namespace that the resource belongs to.
    pub fn namespace(&self) -> Option<&Arc<str>> {
        match self {
            Self::Service(_, service) | Self::Vip(_, service, _) => Some(&service.namespace),
            _ => None,
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
            Self::NetworkInstance(name) => write!(f, "network-instance/{name}"),
            Self::Address(name, address) => write!(f, "network-instance/{name}/{address}"),
        }
    }
}

/// The key of an alarm: there is one for each type and resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmKey {
    /// The kind of problem.
    pub kind: AlarmType,
    /// The resource with the problem; for a group alarm, what its members share.
    pub resource: Resource,
}

impl fmt::Display for AlarmKey {
    /// Writes the `id` of the alarm.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.resource)
    }
}

/// An active alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmView {
    /// The severity of the worst problem it stands for.
    pub severity: Severity,
    /// Who can resolve it.
    pub owner: Owner,
    /// What happened, in a sentence of at most [`LONGEST_TEXT`] bytes.
    pub text: Arc<str>,
    /// Number of VIPs, services, nodes, clusters or routes it stands for.
    pub affected: u32,
    /// When it was raised.
    pub raised: Timestamp,
    /// When its severity, text or counts were last written.
    pub last_change: Timestamp,
    /// How often the condition occurred while the alarm was active.
    pub occurrences: u32,
    /// `probable-cause`, if the switch reports it.
    #[serde(default)]
    pub cause: Option<ProbableCause>,
}

/// The longest text of an alarm, in bytes: as much as fits into an SNMP trap (K8S-SERVICES-MIB).
pub const LONGEST_TEXT: usize = 512;

/// Why an alarm was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClearedBecause {
    /// It is well again.
    Well,
    /// What it reported is no longer true, but whether everything is well is not known.
    NotKnown,
    /// The node has nothing to announce any more, even if its session is still down.
    NothingToAnnounce,
    /// Its resource was removed from the cluster or from the configuration.
    Removed,
    /// Something else is wrong now, or more of the same kind, and an alarm of this type continues from here.
    Became(AlarmType),
}

impl ClearedBecause {
    /// Returns the name in YANG.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::NotKnown => "not-known",
            Self::NothingToAnnounce => "nothing-to-announce",
            Self::Removed => "removed",
            Self::Became(_) => "became",
        }
    }

    /// Returns the type of the alarm that continues from here.
    pub fn became(self) -> Option<AlarmType> {
        match self {
            Self::Became(kind) => Some(kind),
            Self::Well | Self::NotKnown | Self::NothingToAnnounce | Self::Removed => None,
        }
    }
}

/// An alarm that was cleared: an entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// Grows by one with each record, across restarts.
    pub sequence: u64,
    /// The key of the alarm.
    pub key: AlarmKey,
    /// Its last severity.
    pub severity: Severity,
    /// Who could resolve it.
    pub owner: Owner,
    /// Its last text.
    pub text: Arc<str>,
    /// How many resources it stood for last.
    pub affected: u32,
    /// When it was raised.
    pub raised: Timestamp,
    /// When it was cleared.
    pub cleared: Timestamp,
    /// Why it was cleared.
    pub because: ClearedBecause,
}

/// A change of an alarm, for readers other than state: syslog and Kubernetes Events (RFC 8632, alarm-notification).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmNotification {
    /// The key of the alarm.
    pub key: AlarmKey,
    /// The state of the alarm; for a cleared alarm, the last one.
    pub alarm: AlarmView,
    /// What happened to it.
    pub event: NotificationEvent,
    /// Services it stands for, unless it names one itself; for a large alarm only the first ones.
    pub services: Arc<[(ClusterName, ServiceKey)]>,
    /// Number of notifications of the same cluster that were omitted before this one, because there were too many at
    /// once. State has all alarms.
    pub omitted: u32,
}

/// What happened to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// It was raised.
    Raised,
    /// Its severity changed.
    Changed,
    /// It was cleared, at this time and for this reason.
    Cleared(Timestamp, ClearedBecause),
    /// It now stands for further services.
    Joined,
    /// It no longer stands for a service, since this time and for this reason.
    Left(Timestamp, ClearedBecause),
}

/// Number of active alarms by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmCounts {
    /// In the order of [`Severity::ALL`].
    pub active: [u32; 4],
}

impl AlarmCounts {
    /// Returns the number of active alarms of a severity.
    pub fn of(&self, severity: Severity) -> u32 {
        self.active[severity as usize]
    }
}
