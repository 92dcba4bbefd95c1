//! What is known of one VIP of one service: gathered in [`super::gather`], judged in [`super::verdict`].

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
use crate::engine::facts::sources::{GnmiPhase, NdkPhase, Phase, Sources};
use crate::engine::facts::switch::{ARP_ND_OWNER, EVPN_OWNER, INTERFACE_OWNER, STATIC_OWNER, Switch};
use crate::model::event::SourceId;
use crate::model::names::{NetworkInstanceName, NodeName};
use crate::model::switch::SessionState;
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::{Announcement, NextHopKind};
use crate::model::view::RouteView;

/// Everything a verdict is read from.
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
    /// gNMI is lost, or has not reported it.
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

/// What keeps a VIP from being judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Waiting for this.
    Syncing(String),
    SwitchStale(Timestamp),
    /// The cluster's network instance is not on this switch, is down there, or is of a type in which VIPs cannot be routed.
    InstanceMissing {
        down: bool,
        unroutable: Option<Arc<str>>,
    },
}

/// A next-hop that is expected or installed.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) address: IpAddr,
    pub(crate) kind: NextHopKind,
    /// The node it is, or the only one behind a VTEP.
    pub(crate) node: Option<NodeName>,
    /// The other cluster whose node it is.
    pub(crate) foreign: Option<String>,
    pub(crate) expected: bool,
    pub(crate) installed: bool,
    pub(crate) serves: bool,
    pub(crate) may_serve: bool,
    /// It serves, or may, if it is alive, and nothing shows that it is.
    pub(crate) doubtful: bool,
    pub(crate) session: Session,
    pub(crate) usable: Option<u32>,
}

impl Hop {
    /// One of which nothing is known.
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

    /// Flows sent to it are lost.
    pub(crate) fn is_lost(&self) -> bool {
        !self.serves && !self.may_serve
    }

    /// Neither a node nor anything else that is known explains it, and flows sent to it would be lost.
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
    /// A host route.
    pub(crate) fn is_host(&self) -> bool {
        self.prefix.prefix_len() == self.prefix.max_prefix_len()
    }

    /// EVPN brought it: its next-hops are leaves.
    pub(crate) fn is_evpn(&self) -> bool {
        self.view.owner.as_deref() == Some(EVPN_OWNER)
    }

    /// The operator wrote it.
    pub(crate) fn is_static(&self) -> bool {
        self.view.owner.as_deref() == Some(STATIC_OWNER)
    }

    /// An address, a neighbor or a subnet of an interface of this leaf.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.view.owner.as_deref(), Some(ARP_ND_OWNER | INTERFACE_OWNER))
    }
}

/// What is known of one VIP of one service.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) gate: Gate,
    /// None for a service without an address.
    pub(crate) vip: Option<IpAddr>,
    /// Only nodes with an endpoint serve.
    pub(crate) local_policy: bool,
    pub(crate) endpoints: Arc<Endpoints>,
    /// Endpoints of other clusters of a mesh serve, too.
    pub(crate) global: bool,
    /// The route has changed since the cluster was last heard, at that moment, and pods may have moved along.
    pub(crate) intent_stale: Option<Timestamp>,
    pub(crate) expectation: Arc<Expectation>,
    /// Why nobody announces it, where annotations or the speaker's resources show it.
    pub(crate) silence: Option<Arc<str>>,
    /// The prefix the speaker announces it as, where that is no host prefix.
    pub(crate) aggregate: Option<IpNet>,
    /// How it is made known here; `None` while nothing is known.
    pub(crate) announcement: Option<Announcement>,
    /// Announced by ARP or ND in a subnet of this leaf, and nobody has asked for it.
    pub(crate) unresolved: bool,
    /// Announced by ARP or ND, and two answer.
    pub(crate) contested: bool,
    /// Announced by ARP or ND, by another node than the speaker has elected: this one.
    pub(crate) misplaced: Option<NodeName>,
    /// The route that counts.
    pub(crate) route: Option<Matched>,
    /// Whether it is the VIP's is not known: a prefix that leads to leaves with nodes, and may be the fabric's.
    pub(crate) unsure: bool,
    /// A covering prefix, or a host route of ARP/ND, that does not count.
    pub(crate) unserving: Option<Matched>,
    /// Flows follow it to another leaf or to transit.
    pub(crate) followed: bool,
    /// Where else the VIP's route stands.
    pub(crate) elsewhere: Option<(NetworkInstanceName, IpNet)>,
    /// Expected or installed, by address.
    pub(crate) hops: Vec<Hop>,
    /// Another cluster that claims it.
    pub(crate) conflict: Option<String>,
    /// A cluster that shares VIPs and was not read yet: next-hops that nobody explains may be its nodes.
    pub(crate) awaited: Option<String>,
    pub(crate) ecmp_limit: Option<u32>,
}

impl Evidence {
    /// Evidence of nothing, behind a gate.
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
            contested: false,
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

    /// No endpoint of the cluster is usable, and none of another cluster that shares the VIP serves it, or may.
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
    /// What keeps the VIPs of a cluster from being judged.
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
        match self.switch.instance(name) {
            Some(instance) if instance.oper_up => Gate::Open,
            Some(_) => Gate::InstanceMissing { down: true, unroutable: None },
            None => Gate::InstanceMissing { down: false, unroutable: self.inquiries.unroutable(name).cloned() },
        }
    }

    /// The BGP session with an address a node is, or was, attached by.
    pub(crate) fn session(&self, instance: &NetworkInstanceName, address: IpAddr) -> Session {
        match self.phase.gnmi {
            GnmiPhase::Live => self.last_session(instance, address),
            GnmiPhase::Waiting | GnmiPhase::Blind => Session::Unknown,
        }
    }

    /// The same, by the last state received from gNMI.
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
