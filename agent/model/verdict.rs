//! The words of a verdict: states and reasons, spelled as in YANG.

/// `oper-state` of a VIP, a service, a next-hop or a node. Ordered from best to worst for "a service is its worst VIP":
/// a `down` is known to be bad, an `unknown` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperState {
    /// Traffic that enters this switch reaches a usable endpoint.
    Up,
    /// Not known.
    Unknown,
    /// It reaches one, but not all of it, or not as it should.
    Degraded,
    /// It does not.
    Down,
}

impl OperState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Up, Self::Unknown, Self::Degraded, Self::Down];

    /// The name in YANG.
    pub fn as_yang(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $yang:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in YANG.
            pub fn as_yang(self) -> &'static str {
                match self { $(Self::$variant => $yang,)* }
            }
        }
    };
}

reasons! {
    /// `oper-reason` of a VIP and of a service: the rows of the verdict table, first match first.
    Reason {
        /// A source this verdict needs has not finished its first sync.
        Syncing = "syncing",
        /// The switch's own tables have been out of reach for more than 15 s.
        SwitchStale = "switch-stale",
        /// The cluster's network instance does not exist on this switch.
        NetworkInstanceMissing = "network-instance-missing",
        /// The service has no address yet, or only host names.
        AddressPending = "address-pending",
        /// No usable endpoint in the cluster.
        NoReadyEndpoint = "no-ready-endpoint",
        /// Usable endpoints, but no node may announce, and no route.
        NoAnnouncer = "no-announcer",
        /// No route here, and the VIP's route stands in another network instance.
        WrongNetworkInstance = "wrong-network-instance",
        /// BGP sessions of announcers are down.
        SessionDown = "session-down",
        /// No route.
        NoRoute = "no-route",
        /// The route is there, FIB programming failed.
        RouteNotProgrammed = "route-not-programmed",
        /// Next-hops installed that do not serve.
        NextHopUnexpected = "next-hop-unexpected",
        /// Another cluster claims the VIP in the same network instance.
        AddressConflict = "address-conflict",
        /// Sessions are up, and yet the route goes to remote leaves.
        LocalPathUnused = "local-path-unused",
        /// As many next-hops as the configured ecmp-limit, fewer than expected.
        EcmpLimited = "ecmp-limited",
        /// Expected next-hops absent, sessions up.
        NextHopMissing = "next-hop-missing",
        /// Next-hops that no node explains.
        NextHopUnmapped = "next-hop-unmapped",
        /// Matched by a covering aggregate.
        CoveredByAggregate = "covered-by-aggregate",
    }
}

reasons! {
    /// `oper-reason` of a node.
    NodeReason {
        /// No address of it is known here.
        NodeAddressUnknown = "node-address-unknown",
        /// Its BGP session is down.
        SessionDown = "session-down",
        /// Established, and gives none of the VIPs it should.
        NoVipReceived = "no-vip-received",
        /// A source is not synced yet.
        Syncing = "syncing",
    }
}

reasons! {
    /// `kind` of a next-hop.
    NextHopKind {
        /// A node attached to this leaf.
        Local = "local",
        /// The tunnel endpoint of a remote leaf.
        Vtep = "vtep",
        /// No node and no known VTEP explain it.
        Unmapped = "unmapped",
    }
}

reasons! {
    /// `vantage` of a VIP.
    Vantage {
        /// At least one announcer is attached here.
        Local = "local",
        /// All announcers are behind other leaves.
        Remote = "remote",
    }
}

reasons! {
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

reasons! {
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

reasons! {
    /// `fib-status` of a VIP's route.
    FibStatus {
        /// In the forwarding table.
        Programmed = "programmed",
        /// An operation is under way.
        Pending = "pending",
        /// The last operation failed.
        Failed = "failed",
        /// gNMI does not say.
        Unknown = "unknown",
    }
}

reasons! {
    /// `oper-state` of a source in the summary.
    SourceState {
        /// The first dump, or one after a loss, is under way.
        Syncing = "syncing",
        /// What is known is what there is.
        Synced = "synced",
        /// Out of reach.
        Stale = "stale",
    }
}
