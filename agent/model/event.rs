//! Events: from sources to the engine.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::cluster::{EndpointSlice, Node, Service, SliceKey};
use super::config::Config;
use super::inquiry::{Finding, Question};
use super::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use super::persistent::PersistentState;
use super::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};
use super::switch::{
    BfdKey, BfdState, Coverage, FibFault, FibKey, Neighbor, NeighborKey, NetworkInstance, NextHopGroup, NextHopGroupId,
    Route, RouteTable,
};

/// One input of the engine.
#[derive(Clone, Debug)]
pub enum Event {
    /// The state that an earlier life of the agent saved. Once, before anything else.
    Restored(PersistentState),
    /// A new configuration is in force.
    Configured(Arc<Config>),
    /// A source changed its condition.
    Source(SourceId, SourceEvent),
    /// The switch's own tables changed (NDK).
    Switch(SwitchEvent),
    /// BGP neighbors changed (gNMI).
    Neighbors(Update<NeighborKey, Neighbor>),
    /// FIB faults changed (gNMI). What a route without a fault is depends on [`Coverage`].
    Fib(Update<FibKey, FibFault>),
    /// What gNMI covers from now on (gNMI). Replaces the last coverage.
    Coverage(Coverage),
    /// Prefixes with an active route, as the switch counts them (gNMI).
    ActiveRoutes(Update<RouteTable, u64>),
    /// What was found about something that is not up (gNMI).
    Finding(Question, Finding),
    /// Something in a cluster changed.
    Cluster(ClusterName, ClusterEvent),
    /// Time has passed: the engine asked to be woken ([`crate::engine::Engine::deadline`]).
    Tick,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceId {
    /// The NDK: the switch's own tables.
    Ndk,
    /// The on-box gNMI server: neighbors and FIB programming.
    Gnmi,
    /// The API server of a cluster.
    Kubernetes(ClusterName),
}

impl fmt::Display for SourceId {
    /// The key of `/k8s-services/summary/source`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ndk => f.write_str("ndk"),
            Self::Gnmi => f.write_str("gnmi"),
            Self::Kubernetes(cluster) => write!(f, "kubernetes/{cluster}"),
        }
    }
}

/// The condition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A dump begins. For the NDK: entries of the switch's tables that are not repeated before its end are gone then,
    /// and stay in force until then. The other sources end their dump with `Update::All` instead.
    Syncing,
    /// The dump is complete: what is known is what there is. The NDK's source cannot know: it reports [`DumpPace`], and
    /// the engine compares what was received with what the switch counts.
    Synced,
    /// Out of reach, with the reason in words an operator understands. What was known stays known.
    Lost(Arc<str>),
    /// Heard from, nothing new (a bookmark, a keepalive answer).
    Alive,
    /// Something that came in could not be read and was left out; it counts as an error of the source.
    Malformed,
}

/// A change of a keyed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update<K, V> {
    /// The whole table: what is not in it is gone.
    All(Vec<(K, V)>),
    /// One entry, new or changed.
    Set(K, V),
    /// One entry is gone.
    Gone(K),
}

/// A change of the switch's own tables.
#[derive(Clone, Debug)]
pub enum SwitchEvent {
    /// A network instance, or its end.
    NetworkInstance(NetworkInstanceName, Option<NetworkInstance>),
    /// Routes of one network instance; `None` for a prefix that has no route any more. In order of arrival.
    Routes(NetworkInstanceName, Vec<(IpNet, Option<Route>)>),
    /// Next-hop groups, or their end. In order of arrival.
    NextHopGroups(Vec<(NextHopGroupId, Option<NextHopGroup>)>),
    /// The name of an application (`bgp_mgr`), or its end.
    Application(u32, Option<Arc<str>>),
    /// A BFD session, or its end.
    Bfd(BfdKey, Option<BfdState>),
    /// Progress of a dump, since the last of the other changes.
    Pace(DumpPace),
}

/// What silence says about the end of a dump. The NDK marks none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpPace {
    /// Nothing has come for 0.3 s.
    Paused,
    /// Nothing has come for a second, or only a trickle of changes: complete, as far as silence shows.
    Rested,
}

/// A change in a cluster.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// `/version` of the API server, and whether the way to it is less than it should be
    /// ("TLS is not verified", "plain http"): said in state.
    Connected {
        /// `gitVersion`.
        version: Arc<str>,
        /// What state should publish about the connection.
        caveat: Option<Arc<str>>,
    },
    /// Services that may have VIPs.
    Services(Update<ServiceKey, Service>),
    /// EndpointSlices.
    EndpointSlices(Update<SliceKey, EndpointSlice>),
    /// Nodes.
    Nodes(Update<NodeName, Node>),
    /// Whether a resource of the speaker is followed. The objects of one that is not are forgotten.
    SpeakerResource(SpeakerResource, ResourceState),
    /// Objects of a resource of the speaker.
    SpeakerObjects(SpeakerResource, Update<ObjectKey, SpeakerObject>),
    /// Which node's speaker says that it announces which service, by statuses of a resource.
    Announcements(SpeakerResource, Update<StatusKey, ()>),
}
