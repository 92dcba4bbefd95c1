//! Defines the events that sources send to the engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::cluster::{EndpointSlice, Node, Service, SliceKey};
use super::config::Config;
use super::inquiry::{Finding, Question};
use super::names::{ClusterName, NetworkInstanceName, NodeName, ServiceKey};
use super::persistent::PersistentState;
use super::source::SourceId;
use super::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};
use super::switch::{
    BfdKey, BfdState, Coverage, FibFault, FibKey, Neighbor, NeighborKey, NetworkInstance, NextHopGroup, NextHopGroupId,
    Route, RouteTable,
};

/// One input of the engine.
#[derive(Clone, Debug)]
pub enum Event {
    /// The state that an earlier run of the agent saved. Sent once, before anything else.
    Restored(PersistentState),
    /// A new configuration is in force.
    Configured(Arc<Config>),
    /// A source changed its condition.
    Source(SourceId, SourceEvent),
    /// The switch's own tables changed (NDK).
    Switch(SwitchEvent),
    /// BGP neighbors changed (gNMI).
    Neighbors(Update<NeighborKey, Neighbor>),
    /// FIB faults changed (gNMI). The status of a route without a fault depends on [`Coverage`].
    Fib(Update<FibKey, FibFault>),
    /// What gNMI covers changed (gNMI). Replaces the former coverage.
    Coverage(Coverage),
    /// The switch's counts of prefixes with an active route changed (gNMI).
    ActiveRoutes(Update<RouteTable, u64>),
    /// What was found about something that is not up (gNMI).
    Finding(Question, Finding),
    /// Something in a cluster changed.
    Cluster(ClusterName, ClusterEvent),
    /// Time has passed: the engine asked to be called ([`crate::engine::Engine::deadline`]).
    Tick,
}

/// The condition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// A dump begins. For the NDK: entries of the switch's tables stay in force until the end of the dump, and those
    /// not repeated until then are removed. The other sources end their dump with `Update::All` instead.
    Syncing,
    /// The dump is complete: what is known is current. The NDK's source cannot know that: it reports [`DumpPace`], and
    /// the engine compares what was received with what the switch counts.
    Synced,
    /// The source is lost, with the reason in words an operator understands. What was known is kept.
    Lost(Arc<str>),
    /// The source is alive, but sent nothing new (a bookmark, a keepalive answer).
    Alive,
    /// Something that arrived could not be read and was left out; it counts as an error of the source.
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
    /// A network instance, or its removal.
    NetworkInstance(NetworkInstanceName, Option<NetworkInstance>),
    /// Routes of one network instance, in order of arrival; `None` for a prefix without a route.
    Routes(NetworkInstanceName, Vec<(IpNet, Option<Route>)>),
    /// Next-hop groups, or their removal, in order of arrival.
    NextHopGroups(Vec<(NextHopGroupId, Option<NextHopGroup>)>),
    /// The name of an application (`bgp_mgr`), or its removal.
    Application(u32, Option<Arc<str>>),
    /// A BFD session, or its removal.
    Bfd(BfdKey, Option<BfdState>),
    /// The pace of a dump since the last other change.
    Pace(DumpPace),
}

/// What silence shows about the end of a dump. The NDK does not mark the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpPace {
    /// Nothing has arrived for 0.3 s.
    Paused,
    /// Nothing has arrived for a second, or only a trickle of changes: as far as silence shows, the dump is complete.
    Rested,
}

/// The kinds of object of which a namespace may have more than are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crowded {
    /// Services.
    Services,
    /// EndpointSlices.
    EndpointSlices,
}

/// A change in a cluster.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// `/version` of the API server, and what is not as safe as it should be about the connection ("TLS is not
    /// verified", "plain http"), for state.
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
    /// The namespaces of which not all Services, or not all EndpointSlices, are read, because there are too many.
    /// Replaces what was known of the same kind.
    Crowded(Crowded, BTreeSet<Arc<str>>),
    /// Nodes.
    Nodes(Update<NodeName, Node>),
    /// Whether a resource of the speaker is watched. The objects of one that is not are forgotten.
    SpeakerResource(SpeakerResource, ResourceState),
    /// Objects of a resource of the speaker.
    SpeakerObjects(SpeakerResource, Update<ObjectKey, SpeakerObject>),
    /// Which node's speaker reports that it announces which service, by statuses of a resource.
    Announcements(SpeakerResource, Update<StatusKey, ()>),
}
