//! Holds what is known about one VIP of one service. [`super::gather`] collects it; [`super::verdict`] judges it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::shared::Shared;
use crate::engine::facts::bgp::Bgp;
use crate::engine::facts::claims::Claims;
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::endpoints::Endpoints;
use crate::engine::facts::ids::ClusterId;
use crate::engine::facts::inquiry::Inquiries;
use crate::engine::facts::nodes::Expectation;
use crate::engine::facts::routes::is_host;
use crate::engine::facts::sources::{GnmiPhase, NdkPhase, Phase, Sources};
use crate::engine::facts::switch::{ARP_ND_OWNER, EVPN_OWNER, INTERFACE_OWNER, STATIC_OWNER, Switch};
use crate::model::names::{NetworkInstanceName, NodeName};
use crate::model::source::SourceId;
use crate::model::switch::{SessionState, Unroutable};
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::{Announcement, NextHopKind};
use crate::model::view::RouteView;

/// Everything that evidence is gathered from.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) now: Now,
    pub(crate) phase: &'a Phase,
    pub(crate) sources: &'a Sources,
    pub(crate) switch: &'a Switch,
    pub(crate) bgp: &'a Bgp,
    pub(crate) clusters: &'a BTreeMap<ClusterId, Cluster>,
    pub(crate) claims: &'a Claims,
    pub(crate) inquiries: &'a Inquiries,
    pub(crate) shared: &'a Shared,
}

/// A BGP session with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// gNMI is lost, or has not reported the session.
    Unknown,
    Established,
    /// In another state, or gone with its dynamic neighbor.
    Down(Option<SessionState>),
}

impl Session {
    pub(crate) fn state(self) -> Option<SessionState> {
        match self {
            Self::Unknown => None,
            Self::Established => Some(SessionState::Established),
            Self::Down(state) => state,
        }
    }

    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Down(_))
    }
}

/// Whether a VIP can be judged, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// What the agent waits for, in words.
    Syncing(String),
    SwitchStale(Timestamp),
    /// The cluster's network instance does not exist on this switch, is down, or has a type that does not route VIPs.
    InstanceMissing(Unroutable),
}

/// A next-hop that is expected or installed.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) address: IpAddr,
    pub(crate) kind: NextHopKind,
    /// The node at this address, or the only node behind this VTEP.
    pub(crate) node: Option<NodeName>,
    /// The other cluster that the node belongs to.
    pub(crate) foreign: Option<String>,
    pub(crate) expected: bool,
    pub(crate) installed: bool,
    pub(crate) serves: bool,
    pub(crate) may_serve: bool,
    /// Whether it serves, or may serve, only if it is alive, which nothing confirms.
    pub(crate) doubtful: bool,
    pub(crate) session: Session,
    pub(crate) usable: Option<u32>,
}

impl Hop {
    /// Creates a next-hop with nothing else known about it.
    pub(crate) fn new(address: IpAddr, kind: NextHopKind) -> Self {
        Self {
            address,
            kind,
            node: None,
            foreign: None,
            expected: false,
            installed: false,
            serves: false,
            may_serve: false,
            doubtful: false,
            session: Session::Unknown,
            usable: None,
        }
    }

    /// Returns whether flows sent to it are lost.
    pub(crate) fn is_lost(&self) -> bool {
        !self.serves && !self.may_serve
    }

    /// Returns whether flows sent to it are lost and no known node or other object explains it.
    pub(crate) fn is_unexplained(&self) -> bool {
        self.is_lost() && self.foreign.is_none() && self.usable.is_none()
    }
}

/// A route with its next-hops.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    pub(crate) prefix: IpNet,
    pub(crate) hops: Arc<[IpAddr]>,
    pub(crate) view: RouteView,
}

impl Matched {
    /// Returns whether this is a host route.
    pub(crate) fn is_host(&self) -> bool {
        is_host(&self.prefix)
    }

    /// Returns whether the route is from EVPN, so that its next-hops are leaves.
    pub(crate) fn is_evpn(&self) -> bool {
        self.view.owner.as_deref() == Some(EVPN_OWNER)
    }

    /// Returns whether the route is static, that is, configured by an operator.
    pub(crate) fn is_static(&self) -> bool {
        self.view.owner.as_deref() == Some(STATIC_OWNER)
    }

    /// Returns whether the route is to an address, a neighbor or a subnet of an interface of this leaf.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.view.owner.as_deref(), Some(ARP_ND_OWNER | INTERFACE_OWNER))
    }
}

/// What is known about one VIP of one service.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) gate: Gate,
    /// `None` for a service without an address.
    pub(crate) vip: Option<IpAddr>,
    /// Whether only nodes with an endpoint serve.
    pub(crate) local_policy: bool,
    pub(crate) endpoints: Arc<Endpoints>,
    /// Whether endpoints of other clusters of a mesh serve, too.
    pub(crate) global: bool,
    /// When the cluster was last heard from, if the route has changed since: pods may have moved with it.
    pub(crate) intent_stale: Option<Timestamp>,
    pub(crate) expectation: Arc<Expectation>,
    /// Why no node announces the VIP, if annotations or the speaker's resources show it.
    pub(crate) silence: Option<Arc<str>>,
    /// The prefix that the speaker announces the VIP as, if it is not a host prefix.
    pub(crate) aggregate: Option<IpNet>,
    /// How the VIP is announced here; `None` while nothing is known.
    pub(crate) announcement: Option<Announcement>,
    /// Whether the VIP is announced by ARP or ND in a subnet of this leaf, and has not been asked for yet.
    pub(crate) unresolved: bool,
    /// If the VIP is announced by ARP or ND and two hosts answer: their MACs, with the nodes that have them.
    pub(crate) contested: Option<String>,
    /// The node that the speaker has elected, if another node answers ARP or ND.
    pub(crate) misplaced: Option<NodeName>,
    /// The VIP's route.
    pub(crate) route: Option<Matched>,
    /// Whether the route may not be the VIP's: its prefix leads to leaves with nodes, but may be the fabric's.
    pub(crate) unsure: bool,
    /// A covering prefix, or a host route of ARP/ND, that does not count as the VIP's route.
    pub(crate) unserving: Option<Matched>,
    /// Whether flows follow `unserving` to another leaf or to transit.
    pub(crate) followed: bool,
    /// Another network instance that has the VIP's route, and the prefix there.
    pub(crate) elsewhere: Option<(NetworkInstanceName, IpNet)>,
    /// Expected and installed next-hops, by address.
    pub(crate) hops: Vec<Hop>,
    /// Another cluster that claims the VIP.
    pub(crate) conflict: Option<String>,
    /// A cluster that shares VIPs and has not been read yet: unexplained next-hops may be its nodes.
    pub(crate) awaited: Option<String>,
    pub(crate) ecmp_limit: Option<u32>,
}

impl Evidence {
    /// Creates empty evidence, for a VIP that the gate keeps from being judged.
    pub(crate) fn none(gate: Gate, vip: Option<IpAddr>, endpoints: Arc<Endpoints>) -> Self {
        Self {
            gate,
            vip,
            local_policy: false,
            endpoints,
            global: false,
            intent_stale: None,
            expectation: Arc::default(),
            silence: None,
            aggregate: None,
            announcement: None,
            unresolved: false,
            contested: None,
            misplaced: None,
            route: None,
            unsure: false,
            unserving: None,
            followed: false,
            elsewhere: None,
            hops: Vec::new(),
            conflict: None,
            awaited: None,
            ecmp_limit: None,
        }
    }

    /// Returns whether the cluster has no usable endpoint, and no other cluster that shares the VIP serves it or may.
    pub(crate) fn is_unserved(&self) -> bool {
        let l2 = self.announcement == Some(Announcement::L2);
        let answers = |hop: &Hop| hop.kind == NextHopKind::L2 && hop.foreign.is_some() && hop.serves;
        let shared = |hop: &Hop| if l2 { answers(hop) } else { hop.serves || hop.may_serve };
        self.endpoints.usable == 0 && !self.installed().any(shared)
    }

    pub(crate) fn expected(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.expected)
    }

    pub(crate) fn installed(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.installed)
    }

    pub(crate) fn absent(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.expected && !hop.installed)
    }
}

impl World<'_> {
    /// Returns whether the VIPs of a cluster can be judged, or why not.
    pub(crate) fn gate(&self, cluster: &Cluster) -> Gate {
        let source = SourceId::Kubernetes(cluster.name.clone());
        if self.phase.ndk == NdkPhase::Syncing {
            return Gate::Syncing("the switch's own tables (NDK)".into());
        }
        if !self.sources.get(&source).is_some_and(|source| source.ever_synced) {
            return Gate::Syncing(format!("the first listing of cluster {}", cluster.name));
        }
        if self.phase.gnmi == GnmiPhase::Waiting {
            return Gate::Syncing("BGP neighbors and FIB programming (gNMI)".into());
        }
        if let NdkPhase::Stale(since) = self.phase.ndk {
            return Gate::SwitchStale(since);
        }
        let name = &cluster.config.rules.network_instance;
        self.inquiries.unroutable(self.switch, name).map_or(Gate::Open, Gate::InstanceMissing)
    }

    /// Returns the state of the BGP session with an address; unknown while gNMI is not connected.
    pub(crate) fn session(&self, instance: &NetworkInstanceName, address: IpAddr) -> Session {
        match self.phase.gnmi {
            GnmiPhase::Live => self.last_session(instance, address),
            GnmiPhase::Waiting | GnmiPhase::Blind => Session::Unknown,
        }
    }

    /// Returns the state of the BGP session with an address as gNMI last reported it.
    pub(crate) fn last_session(&self, instance: &NetworkInstanceName, address: IpAddr) -> Session {
        if !self.sources.get(&SourceId::Gnmi).is_some_and(|gnmi| gnmi.ever_synced) {
            return Session::Unknown;
        }
        match self.bgp.neighbor(instance, address).map(|neighbor| neighbor.session) {
            Some(None) => Session::Unknown,
            Some(Some(SessionState::Established)) => Session::Established,
            Some(state) => Session::Down(state),
            None => Session::Down(None),
        }
    }
}
