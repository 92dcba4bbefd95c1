//! Defines the output of the engine: the state as an operator sees it, in the shape of the YANG tree.
//!
//! Every view is complete: a [`Change`] replaces the former view under its key, or removes it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::alarm::{AlarmCounts, AlarmKey, AlarmNotification, AlarmRecord, AlarmView};
use super::cluster::TrafficPolicy;
use super::config::{AlarmPolicy, ClusterConfig};
use super::inquiry::InquiryChanges;
use super::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use super::persistent::PersistentState;
use super::source::SourceId;
use super::speaker::{ResourceState, SpeakerResource};
use super::switch::{BfdState, RouteKey, SessionState};
use super::time::Timestamp;
use super::verdict::{
    AddressSource, Announcement, AttachmentState, FibStatus, NextHopKind, NodeReason, OperState, Owner, ProbableCause,
    Reason, SourceState, Vantage,
};

/// One difference from what was published before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `/k8s-services` itself.
    Root(RootView),
    /// `/k8s-services/summary`, without its sources.
    Summary(SummaryView),
    /// `/k8s-services/summary/source`; `None` if the source was removed.
    Source(SourceId, Option<SourceView>),
    /// `/k8s-services/cluster`.
    Cluster(ClusterName, Option<ClusterView>),
    /// `/k8s-services/cluster/node`.
    Node(ClusterName, NodeName, Option<Arc<NodeView>>),
    /// `/k8s-services/cluster/service` and everything below.
    Service(ClusterName, ServiceKey, Option<Arc<ServiceView>>),
    /// `/k8s-services/orphan-route`.
    Orphan(RouteKey, Option<OrphanView>),
    /// `/k8s-services/alarm`; `None` if it was cleared.
    Alarm(AlarmKey, Option<AlarmView>),
    /// `/k8s-services/alarm-history`, by sequence; `None` if it was removed.
    AlarmHistory(u64, Option<AlarmRecord>),
    /// `alarms-*` of `/k8s-services/summary`.
    AlarmCounts(AlarmCounts),
    /// A change of an alarm, for readers other than state.
    AlarmNotification(AlarmNotification),
    /// How what the engine asks differs from what it asked before.
    Ask(InquiryChanges),
    /// What the state file should contain.
    PersistentState(PersistentState),
}

/// `/k8s-services`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootView {
    /// Whether `admin-state` is enable.
    pub enabled: bool,
    /// The worst of sources and clusters; down only if none works.
    pub state: OperState,
    /// Why it is not up.
    pub reason: Option<Arc<str>>,
    /// `alarm-policy`.
    pub alarm_policy: AlarmPolicy,
}

/// `/k8s-services/summary`, without its alarms: counts of the vip entries of all services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryView {
    /// Services.
    pub services: u32,
    /// VIP entries.
    pub vips: u32,
    /// VIP entries that are up.
    pub vips_up: u32,
    /// VIP entries that are degraded.
    pub vips_degraded: u32,
    /// VIP entries that are down.
    pub vips_down: u32,
    /// VIP entries that are unknown.
    pub vips_unknown: u32,
}

/// `/k8s-services/summary/source`, without its freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// `oper-state`.
    pub state: SourceState,
    /// `stale-since`.
    pub stale_since: Option<Timestamp>,
}

/// `/k8s-services/cluster`, without its freshness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// The leaves the operator configured.
    pub config: Arc<ClusterConfig>,
    /// down if its API was never reached or its configuration cannot work, degraded if stale, up otherwise.
    pub state: OperState,
    /// Why it is not up, or not entirely.
    pub reason: Option<Arc<str>>,
    /// `kubernetes-version`.
    pub version: Option<Arc<str>>,
    /// `service-count`, `endpoint-count`, `node-count`; `None` before the first sync.
    pub counts: Option<ClusterCounts>,
    /// `speaker-resource`: resources of the speaker, and whether they are watched.
    pub speaker_resources: BTreeMap<SpeakerResource, ResourceState>,
}

/// Numbers of objects in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCounts {
    /// Services with a verdict.
    pub services: u32,
    /// Their distinct endpoints.
    pub endpoints: u32,
    /// Nodes.
    pub nodes: u32,
}

/// `/k8s-services/cluster/node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// `fabric-address`, as configured.
    pub fabric_addresses: Box<[IpAddr]>,
    /// If it is not located: the first few names that `fabric-address` is configured for and that no node has. It may
    /// have been one of these before it was renamed.
    pub vacant_names: Box<[NodeName]>,
    /// A row per address in use: v4 and v6 of a dual-stack node. The first is the node's own `address` leaf.
    pub peers: Box<[PeerView]>,
    /// `attachment`.
    pub attachment: AttachmentState,
    /// `expected-vips`: number of distinct VIPs it should announce.
    pub expected_vips: u32,
    /// `installed-vips`: number of those whose route uses it.
    pub installed_vips: u32,
    /// `sole-path-vips`: number of VIPs without another serving next-hop here.
    pub sole_path_vips: u32,
    /// `excluded-by`: the label or condition that prevents it from announcing anything.
    pub excluded_by: Option<&'static str>,
    /// `oper-state`.
    pub state: OperState,
    /// `oper-reason`.
    pub reason: Option<NodeReason>,
    /// `probable-cause` and `cause-detail`, of its worst peer.
    pub cause: Option<Cause>,
}

/// The cause found for something that is not up: what was seen, never a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `probable-cause`.
    pub probable: ProbableCause,
    /// `cause-detail`: a sentence with the facts.
    pub detail: Arc<str>,
}

/// `/k8s-services/cluster/node/peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// The address in use.
    pub address: IpAddr,
    /// Where it was learned.
    pub source: AddressSource,
    /// `attachment`.
    pub attachment: AttachmentState,
    /// `session-state`; `None` without a neighbor here, or while gNMI does not answer.
    pub session: Option<SessionState>,
    /// `session-last-established`.
    pub last_established: Option<Timestamp>,
    /// `bfd-state`, if BFD runs.
    pub bfd: Option<BfdState>,
    /// `subinterface` it is plugged in at.
    pub subinterface: Option<Arc<str>>,
    /// `port` that its MAC was learned on.
    pub port: Option<Arc<str>>,
    /// `link-layer-address`.
    pub link_layer_address: Option<Arc<str>>,
    /// `received-routes` of its BGP neighbor.
    pub received_routes: Option<u32>,
    /// `rejected-routes` of its BGP neighbor.
    pub rejected_routes: Option<u32>,
    /// `probable-cause` and `cause-detail`; `None` while up or unknown.
    pub cause: Option<Cause>,
}

/// State, reason and detail of one verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `oper-state`.
    pub state: OperState,
    /// `oper-reason`; `None` if up without reservation.
    pub reason: Option<Reason>,
    /// `oper-detail`: one sentence an operator can act on.
    pub detail: Option<Arc<str>>,
}

impl Verdict {
    /// Returns `owner`: who can resolve it; `None` while nothing is wrong.
    pub fn owner(&self) -> Option<Owner> {
        self.reason.filter(|_| self.state != OperState::Up)?.owner()
    }
}

/// `/k8s-services/cluster/service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// `external-traffic-policy`.
    pub policy: TrafficPolicy,
    /// `usable-endpoints`: distinct endpoints.
    pub usable_endpoints: u32,
    /// `total-endpoints`: distinct endpoints.
    pub total_endpoints: u32,
    /// The worst VIP's verdict, or the service's own (address-pending).
    pub verdict: Verdict,
    /// When state or reason last changed.
    pub last_change: Timestamp,
    /// By address.
    pub vips: Box<[VipView]>,
}

/// `/k8s-services/cluster/service/vip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipView {
    /// `address`.
    pub address: IpAddr,
    /// `network-instance`: where its route is looked up.
    pub network_instance: NetworkInstanceName,
    /// `prefix`: the prefix that matched.
    pub prefix: Option<IpNet>,
    /// `vantage`; `None` without an announcer.
    pub vantage: Option<Vantage>,
    /// The verdict.
    pub verdict: Verdict,
    /// When state or reason last changed.
    pub last_change: Timestamp,
    /// `announcement`: how it is announced here; `None` until that is known.
    pub announcement: Option<Announcement>,
    /// `probable-cause` and `cause-detail`, of its worst next-hop.
    pub cause: Option<Cause>,
    /// The route, if there is one.
    pub route: Option<RouteView>,
    /// Whether nobody announces it because its speaker never announces this kind of address (externalIPs), which is not
    /// a fault. Not published.
    pub by_design: bool,
    /// `expected-next-hops`.
    pub expected: u32,
    /// `installed-next-hops`.
    pub installed: u32,
    /// Expected or installed, by address.
    pub next_hops: Box<[NextHopView]>,
}

impl VipView {
    /// Returns the next-hops that are expected and not installed.
    pub fn absent(&self) -> impl Iterator<Item = &NextHopView> {
        self.next_hops.iter().filter(|hop| hop.expected && !hop.installed)
    }
}

/// The route a VIP is reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// `route-owner`; `None` until its application is known.
    pub owner: Option<Arc<str>>,
    /// `preference`.
    pub preference: u32,
    /// `metric`.
    pub metric: u32,
    /// `fib-status`.
    pub fib: FibStatus,
}

/// `/k8s-services/cluster/service/vip/next-hop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopView {
    /// `address`.
    pub address: IpAddr,
    /// `node`: the node at the next-hop or, for a VTEP with a single node behind it, that node.
    pub node: Option<NodeName>,
    /// `kind`.
    pub kind: NextHopKind,
    /// `expected`.
    pub expected: bool,
    /// `installed`.
    pub installed: bool,
    /// `session-state`, of a local next-hop.
    pub session: Option<SessionState>,
    /// `usable-endpoints` on that node, or on all nodes behind that VTEP.
    pub usable_endpoints: Option<u32>,
    /// `oper-state`.
    pub state: OperState,
    /// `oper-reason`: session-down, next-hop-missing, next-hop-unexpected, ecmp-limited or next-hop-unmapped.
    pub reason: Option<Reason>,
    /// `probable-cause` and `cause-detail`, if the next-hop is absent, or kept without its session.
    pub cause: Option<Cause>,
    /// What the VIP would be without this next-hop.
    pub without: Without,
}

/// The state a VIP would have without something that an installed next-hop depends on, judged by the same table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// `state-without-session`: without its BGP session.
    pub session: Option<OperState>,
    /// `state-without-node`: without its node; only if more than this session is lost with it.
    pub node: Option<OperState>,
    /// `state-without-port`: without the port it is plugged in at; only if more than this node is lost with it.
    pub port: Option<OperState>,
}

/// `/k8s-services/orphan-route`: a host route inside a VIP pool that no service claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanView {
    /// `route-owner`.
    pub owner: Option<Arc<str>>,
    /// `next-hop`.
    pub next_hops: Box<[IpAddr]>,
    /// When it was first seen.
    pub since: Timestamp,
}

/// Freshness and counters of one source, read every 10 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFreshness {
    /// The source.
    pub source: SourceId,
    /// `last-event`.
    pub last_event: Option<Timestamp>,
    /// Events since the agent started.
    pub events: u64,
    /// How often it came back after a loss.
    pub reconnects: u64,
    /// Number of losses and of unreadable inputs.
    pub errors: u64,
}
