//! Defines the words of a verdict: states, reasons, causes and who must act.

use super::words::words;

words! {
    /// `oper-state` of a VIP, a service, a next-hop or a node. Ordered from best to worst, because a service has the
    /// state of its worst VIP: `down` is known to be bad, `unknown` may be.
    OperState {
        /// Traffic that enters this switch reaches a usable endpoint.
        Up = "up",
        /// Not known.
        Unknown = "unknown",
        /// Traffic reaches an endpoint, but not all of it, or not as it should.
        Degraded = "degraded",
        /// Traffic does not reach an endpoint.
        Down = "down",
    }
}

words! {
    /// `oper-reason` of a VIP and of a service: the rows of the verdict table, first match first.
    Reason {
        /// A source this verdict needs has not finished its first sync.
        Syncing = "syncing",
        /// The switch's own tables have been lost for more than 15 s.
        SwitchStale = "switch-stale",
        /// The cluster's network instance does not exist on this switch.
        NetworkInstanceMissing = "network-instance-missing",
        /// The service has no address yet, or only host names.
        AddressPending = "address-pending",
        /// There is no usable endpoint in the cluster.
        NoReadyEndpoint = "no-ready-endpoint",
        /// There are usable endpoints, but no node may announce, and there is no route.
        NoAnnouncer = "no-announcer",
        /// There is no route here, but another network instance has the VIP's route.
        WrongNetworkInstance = "wrong-network-instance",
        /// BGP sessions of announcers are down.
        SessionDown = "session-down",
        /// There is no route.
        NoRoute = "no-route",
        /// There is a route, but FIB programming failed.
        RouteNotProgrammed = "route-not-programmed",
        /// Next-hops are installed that do not serve.
        NextHopUnexpected = "next-hop-unexpected",
        /// Another cluster claims the VIP in the same network instance.
        AddressConflict = "address-conflict",
        /// Sessions are up, but the route goes to remote leaves.
        LocalPathUnused = "local-path-unused",
        /// There are as many next-hops as the configured ecmp-limit, fewer than expected.
        EcmpLimited = "ecmp-limited",
        /// Expected next-hops are absent although sessions are up.
        NextHopMissing = "next-hop-missing",
        /// Some next-hops are not known as nodes.
        NextHopUnmapped = "next-hop-unmapped",
        /// Announced by ARP/ND, but no host here has asked for it yet.
        ArpUnresolved = "arp-unresolved",
        /// The cluster is lost and the route has changed since: pods may have moved.
        IntentStale = "intent-stale",
        /// The match is a covering aggregate.
        CoveredByAggregate = "covered-by-aggregate",
    }
}

words! {
    /// `owner`: who can resolve what a verdict or an alarm reports.
    Owner {
        /// The people who run the fabric: routes, sessions, forwarding tables.
        Network = "network",
        /// The people who run the cluster: its API, its speaker, its address pools.
        Cluster = "cluster",
        /// The people who run the service: its pods.
        Application = "application",
    }
}

impl Reason {
    /// Returns who can resolve it; `None` if nothing is known to be wrong.
    pub fn owner(self) -> Option<Owner> {
        match self {
            Self::SwitchStale
            | Self::NetworkInstanceMissing
            | Self::WrongNetworkInstance
            | Self::SessionDown
            | Self::NoRoute
            | Self::RouteNotProgrammed
            | Self::NextHopUnexpected
            | Self::LocalPathUnused
            | Self::EcmpLimited
            | Self::NextHopMissing
            | Self::NextHopUnmapped => Some(Owner::Network),
            Self::AddressPending | Self::NoAnnouncer | Self::AddressConflict | Self::IntentStale => {
                Some(Owner::Cluster)
            }
            Self::NoReadyEndpoint => Some(Owner::Application),
            Self::Syncing | Self::ArpUnresolved | Self::CoveredByAggregate => None,
        }
    }
}

words! {
    /// `probable-cause`: why a session is down or a next-hop is absent, according to the switch's own tables.
    ProbableCause {
        /// The port or subinterface that the node is plugged in at is down.
        InterfaceDown = "interface-down",
        /// There is no ARP/ND entry for the node here.
        NodeUnreachable = "node-unreachable",
        /// The node is behind another leaf now.
        NodeMoved = "node-moved",
        /// The neighbor is disabled on this switch.
        AdminDisabled = "admin-disabled",
        /// BFD took the session down.
        BfdDown = "bfd-down",
        /// The hold timer expired.
        HoldTimerExpired = "hold-timer-expired",
        /// One side expects another AS number (NOTIFICATION, Bad Peer AS).
        AsMismatch = "as-mismatch",
        /// The peer closed the session intentionally (NOTIFICATION, Cease).
        PeerShutdown = "peer-shutdown",
        /// The peer sent more prefixes than are allowed.
        PrefixLimit = "prefix-limit",
        /// Two connections collided, and neither remained.
        Collision = "collision",
        /// A NOTIFICATION with another code.
        Notification = "notification",
        /// The node is reachable and refuses nothing, but does not answer.
        SpeakerSilent = "speaker-silent",
        /// The neighbor did not send the route.
        NotReceived = "not-received",
        /// An import policy rejected the route.
        RejectedByPolicy = "rejected-by-policy",
        /// The path contains an AS number of this switch.
        AsLoop = "as-loop",
        /// The next-hop of the route does not resolve.
        NextHopUnresolved = "next-hop-unresolved",
        /// Another path won the BGP decision.
        NotBest = "not-best",
        /// The route of another protocol won by preference.
        Preference = "preference",
        /// As many paths as multipath allows are already used.
        MultipathLimit = "multipath-limit",
        /// The route is damped.
        Damped = "damped",
        /// The route is kept out of the forwarding table.
        FibSuppressed = "fib-suppressed",
        /// The route is kept without its session (graceful restart).
        Stale = "stale",
    }
}

words! {
    /// `announcement` of a VIP: how it is announced to this switch.
    Announcement {
        /// By BGP.
        Bgp = "bgp",
        /// By one node that answers ARP or ND for it.
        L2 = "l2",
    }
}

words! {
    /// `oper-reason` of a node.
    NodeReason {
        /// No address of the node is known here.
        NodeAddressUnknown = "node-address-unknown",
        /// Its BGP session is down.
        SessionDown = "session-down",
        /// Its session is established, but it announces none of the VIPs it should.
        NoVipReceived = "no-vip-received",
        /// It answers ARP/ND here but has no BGP neighbor.
        NoNeighbor = "no-neighbor",
        /// A source is not synced yet.
        Syncing = "syncing",
    }
}

words! {
    /// `kind` of a next-hop.
    NextHopKind {
        /// A node attached to this leaf.
        Local = "local",
        /// The tunnel endpoint of a remote leaf.
        Vtep = "vtep",
        /// The node that answers ARP/ND for the VIP.
        L2 = "l2",
        /// Not a node, but leads to the cluster: a reflector, a border router, a firewall.
        Transit = "transit",
        /// Neither a node nor a known VTEP.
        Unmapped = "unmapped",
    }
}

words! {
    /// `vantage` of a VIP.
    Vantage {
        /// At least one announcer is attached here.
        Local = "local",
        /// All announcers are behind other leaves.
        Remote = "remote",
    }
}

words! {
    /// `attachment` of a node.
    AttachmentState {
        /// It has, or had, a BGP neighbor on this leaf.
        Attached = "attached",
        /// It is behind another leaf.
        Remote = "remote",
        /// Not located.
        Unknown = "unknown",
    }
}

words! {
    /// `address-source` of a node: where the address in use was learned.
    AddressSource {
        /// `fabric-address`.
        Configured = "configured",
        /// `node-address-annotation`.
        Annotation = "annotation",
        /// The speaker's annotations or resources.
        Speaker = "speaker",
        /// Node.status.addresses InternalIP.
        InternalIp = "internal-ip",
        /// Node.status.addresses ExternalIP.
        ExternalIp = "external-ip",
    }
}

words! {
    /// `fib-status` of a VIP's route.
    FibStatus {
        /// In the forwarding table.
        Programmed = "programmed",
        /// An operation is under way.
        Pending = "pending",
        /// The last operation failed.
        Failed = "failed",
        /// gNMI does not report it.
        Unknown = "unknown",
    }
}

words! {
    /// `oper-state` of a source in the summary.
    SourceState {
        /// The first dump, or one after a loss, is under way.
        Syncing = "syncing",
        /// What is known is current.
        Synced = "synced",
        /// The source is lost.
        Stale = "stale",
    }
}
