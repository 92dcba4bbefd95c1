//! Defines what a cluster's speaker says in resources of its own, reduced on arrival to what the engine reads.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::config::Speaker;
use super::names::{NodeName, ServiceKey};
use super::selector::{Labels, Selector};

/// An API group and its versions, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// `metallb.io`
    pub name: &'static str,
    /// `v2`, `v2alpha1`
    pub versions: &'static [&'static str],
}

const METALLB: Group = Group { name: "metallb.io", versions: &["v1beta1"] };
const METALLB_PEERS: Group = Group { name: "metallb.io", versions: &["v1beta2", "v1beta1"] };
const CILIUM: Group = Group { name: "cilium.io", versions: &["v2", "v2alpha1"] };
const CALICO: Group = Group { name: "projectcalico.org", versions: &["v3"] };
/// The group in which Calico stores the same objects, for clusters without its API server.
const CALICO_STORE: Group = Group { name: "crd.projectcalico.org", versions: &["v1"] };

macro_rules! resources {
    ($($(#[$doc:meta])* $variant:ident = $plural:literal of $speaker:ident in $groups:expr;)*) => {
        /// A resource of a speaker that is watched if it exists and may be read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SpeakerResource { $($(#[$doc])* $variant,)* }

        impl SpeakerResource {
            /// All resources.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns `servicebgpstatuses`, as RBAC names it.
            pub fn plural(self) -> &'static str {
                match self { $(Self::$variant => $plural,)* }
            }

            /// Returns the speaker that the resource belongs to.
            pub fn speaker(self) -> Speaker {
                match self { $(Self::$variant => Speaker::$speaker,)* }
            }

            /// Returns the groups that may serve it, best first.
            pub fn groups(self) -> &'static [Group] {
                match self { $(Self::$variant => $groups,)* }
            }
        }
    };
}

resources! {
    /// Which node announces which service by BGP: direct evidence.
    MetallbStatuses = "servicebgpstatuses" of Metallb in &[METALLB];
    /// Addresses MetalLB assigns.
    MetallbPools = "ipaddresspools" of Metallb in &[METALLB];
    /// Which nodes announce which pools, as which prefixes.
    MetallbAdvertisements = "bgpadvertisements" of Metallb in &[METALLB];
    /// Which nodes speak BGP, and from where.
    MetallbPeers = "bgppeers" of Metallb in &[METALLB_PEERS];
    /// Addresses Cilium assigns.
    CiliumPools = "ciliumloadbalancerippools" of Cilium in &[CILIUM];
    /// Which services are announced, as which prefixes.
    CiliumAdvertisements = "ciliumbgpadvertisements" of Cilium in &[CILIUM];
    /// Which nodes speak BGP, with which peer configurations.
    CiliumClusters = "ciliumbgpclusterconfigs" of Cilium in &[CILIUM];
    /// Which advertisements go to a peer.
    CiliumPeers = "ciliumbgppeerconfigs" of Cilium in &[CILIUM];
    /// The operator's result of the cluster configurations for each node, and where it speaks from.
    CiliumNodes = "ciliumbgpnodeconfigs" of Cilium in &[CILIUM];
    /// Which ranges are announced.
    CalicoConfigurations = "bgpconfigurations" of Calico in &[CALICO, CALICO_STORE];
    /// Which nodes speak BGP with whom.
    CalicoPeers = "bgppeers" of Calico in &[CALICO, CALICO_STORE];
    /// Addresses Calico assigns.
    CalicoPools = "ippools" of Calico in &[CALICO, CALICO_STORE];
    /// Which pools' addresses a node answers ARP and ND for.
    MetallbL2Advertisements = "l2advertisements" of Metallb in &[METALLB];
    /// Which node answers for which service.
    MetallbL2Statuses = "servicel2statuses" of Metallb in &[METALLB];
    /// Which services' addresses a node answers ARP and ND for.
    CiliumL2Policies = "ciliuml2announcementpolicies" of Cilium in &[CILIUM];
}

impl SpeakerResource {
    /// Returns the resources of a speaker.
    pub fn of(speaker: Speaker) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |resource| resource.speaker() == speaker)
    }

    /// Returns whether its objects are statuses, in which speakers report what they announce themselves.
    pub fn is_status(self) -> bool {
        matches!(self, Self::MetallbStatuses | Self::MetallbL2Statuses)
    }
}

impl fmt::Display for SpeakerResource {
    /// Writes `servicebgpstatuses.metallb.io`, the key of `/k8s-services/cluster/speaker-resource`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.groups().first().map_or("", |group| group.name);
        write!(f, "{}.{group}", self.plural())
    }
}

/// Whether a resource is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceState {
    /// It is watched: what is known is current.
    Watched,
    /// The API server does not serve it.
    Absent,
    /// RBAC does not permit reading it; with the rule to add.
    Forbidden(Arc<str>),
    /// The API server serves it but cannot list it, for this reason. What was known is kept.
    Failed(Arc<str>),
    /// There are more objects than are read; with their number.
    TooMany(Arc<str>),
}

impl ResourceState {
    /// Returns the name in YANG.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Absent => "absent",
            Self::Forbidden(_) => "forbidden",
            Self::Failed(_) => "failed",
            Self::TooMany(_) => "too-many",
        }
    }

    /// Returns the reason, if there is more to say, and what to do.
    pub fn detail(&self) -> Option<&Arc<str>> {
        match self {
            Self::Watched | Self::Absent => None,
            Self::Forbidden(detail) | Self::Failed(detail) | Self::TooMany(detail) => Some(detail),
        }
    }
}

/// The key of an object of a resource: its name, and its namespace if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// `metadata.namespace`.
    pub namespace: Option<Arc<str>>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectKey {
    /// Writes `metallb-system/pool-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A MetalLB ServiceBGPStatus or ServiceL2Status: a node's speaker reports that it announces a service, or answers for
/// it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusKey {
    /// Labels `metallb.io/service-namespace` and `metallb.io/service-name`.
    pub service: ServiceKey,
    /// Label `metallb.io/node`.
    pub node: NodeName,
    /// A digest of the object's own name: a speaker that restarts creates a second object before the first is gone.
    pub object: u64,
}

/// One object of a speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeakerObject {
    /// IPAddressPool, CiliumLoadBalancerIPPool, or Calico's IPPool if it is for load balancers.
    Pool(Pool),
    /// BGPAdvertisement of MetalLB.
    MetallbAdvertisement(MetallbAdvertisement),
    /// BGPPeer of MetalLB.
    MetallbPeer(MetallbPeer),
    /// L2Advertisement of MetalLB.
    MetallbL2Advertisement(MetallbL2Advertisement),
    /// CiliumBGPAdvertisement.
    CiliumAdvertisement(CiliumAdvertisement),
    /// CiliumBGPClusterConfig.
    CiliumCluster(CiliumCluster),
    /// CiliumBGPPeerConfig.
    CiliumPeer(CiliumPeer),
    /// CiliumBGPNodeConfig.
    CiliumNode(CiliumNode),
    /// CiliumL2AnnouncementPolicy.
    CiliumL2Policy(CiliumL2Policy),
    /// BGPConfiguration of Calico.
    CalicoConfiguration(CalicoConfiguration),
    /// BGPPeer of Calico.
    CalicoPeer(CalicoPeer),
}

/// Addresses that a speaker assigns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its ranges as prefixes, sorted, none inside another.
    pub prefixes: Box<[IpNet]>,
    /// Its labels.
    pub labels: Labels,
}

/// The pools of a MetalLB advertisement: those that are named or selected; all pools if both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetallbPools {
    /// `ipAddressPools`: names.
    pub names: Box<[Arc<str>]>,
    /// `ipAddressPoolSelectors`.
    pub selectors: Box<[Selector]>,
}

/// Which pools' addresses are announced, where and how. Selectors in a list are alternatives; an empty list selects
/// all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetallbAdvertisement {
    /// The pools it announces.
    pub pools: MetallbPools,
    /// `nodeSelectors`.
    pub node_selectors: Box<[Selector]>,
    /// `serviceSelectors`.
    pub service_selectors: Box<[Selector]>,
    /// `peers`: names of BGPPeers.
    pub peers: Box<[Arc<str>]>,
    /// `aggregationLength` and `aggregationLengthV6`, if set.
    pub lengths: Lengths,
    /// `localPref`.
    pub local_preference: u32,
    /// `asPathPrepend`.
    pub prepended: u8,
}

/// A BGPPeer of MetalLB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetallbPeer {
    /// `nodeSelectors`: alternatives; empty selects all.
    pub node_selectors: Box<[Selector]>,
    /// `sourceAddress`: the address that the selected nodes speak from, except in FRR-K8s mode, which ignores it.
    pub source: Option<IpAddr>,
    /// `peerAddress`: the switch; `None` if a peer is found on an interface instead.
    pub address: Option<IpAddr>,
}

/// Which pools' addresses one node at a time answers ARP and ND for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetallbL2Advertisement {
    /// The pools it announces.
    pub pools: MetallbPools,
}

/// Which services Cilium announces. Peer configurations select it by its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumAdvertisement {
    /// Its labels.
    pub labels: Labels,
    /// Its advertisements of type Service.
    pub services: Box<[CiliumServices]>,
}

/// One advertisement of type Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumServices {
    /// `selector`; `None` selects nothing.
    pub selector: Option<Selector>,
    /// Whether `service.addresses` names LoadBalancerIP.
    pub load_balancer: bool,
    /// Whether `service.addresses` names ExternalIP.
    pub external: bool,
    /// `service.aggregationLengthIPv4` and `IPv6`, if set.
    pub lengths: Lengths,
}

/// Which nodes speak BGP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumCluster {
    /// `nodeSelector`; `None` selects every node.
    pub node_selector: Option<Selector>,
    /// The peer configurations of its peers.
    pub peers: Box<[Arc<str>]>,
}

/// Which advertisements go to a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumPeer {
    /// By family: whether it is IPv4, and which advertisements are selected; `None` selects none.
    pub families: Box<[(bool, Option<Selector>)]>,
}

/// The BGP configuration that a node was assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumNode {
    /// The peer configurations of its peers.
    pub peers: Box<[Arc<str>]>,
    /// `localAddress` of its peers.
    pub local_addresses: Box<[IpAddr]>,
}

/// Which services' addresses one node at a time answers ARP and ND for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiliumL2Policy {
    /// `serviceSelector`; `None` selects every service.
    pub service_selector: Option<Selector>,
    /// `loadBalancerIPs`.
    pub load_balancer: bool,
    /// `externalIPs`.
    pub external: bool,
}

/// Which ranges Calico announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalicoConfiguration {
    /// `serviceLoadBalancerIPs`.
    pub load_balancer: Box<[IpNet]>,
    /// `serviceExternalIPs`.
    pub external: Box<[IpNet]>,
    /// Whether `serviceLoadBalancerAggregation` is not Disabled.
    pub aggregation: bool,
}

/// A BGPPeer of Calico that is an address, not a set of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalicoPeer {
    /// `node`: the one node that speaks with it; `None` for all that the selector selects.
    pub node: Option<Arc<str>>,
    /// `nodeSelector`; `None` if it cannot be read, so that any node may speak with it.
    pub node_selector: Option<Selector>,
    /// `peerIP`, without its port; `None` if it cannot be read.
    pub address: Option<IpAddr>,
}

/// Prefix lengths that addresses are announced with; `None` for host prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// For IPv4, at most 32.
    pub v4: Option<u8>,
    /// For IPv6, at most 128.
    pub v6: Option<u8>,
}

impl Lengths {
    /// Returns the prefix that an address is announced as.
    pub fn prefix(self, address: IpAddr) -> IpNet {
        let length = if address.is_ipv4() { self.v4 } else { self.v6 };
        let host = IpNet::from(address);
        length.and_then(|length| IpNet::new(address, length).ok()).map_or(host, |net| net.trunc())
    }
}
