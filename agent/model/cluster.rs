//! Defines the objects of a cluster, reduced on arrival to what the engine reads.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::names::{NodeName, ServiceKey};
use super::selector::Labels;

/// A Service that may have VIPs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Whether `spec.type` is LoadBalancer.
    pub load_balancer: bool,
    /// `spec.externalTrafficPolicy`.
    pub policy: TrafficPolicy,
    /// `spec.loadBalancerClass`.
    pub class: Option<Arc<str>>,
    /// `status.loadBalancer.ingress[].ip` with ipMode VIP or unset, sorted, without duplicates.
    pub ingress: Box<[IpAddr]>,
    /// Why ingress entries are unusable, if there are some but none has a usable address: host names, ipMode Proxy, or
    /// text that is not an address.
    pub ingress_unusable: Option<IngressUnusable>,
    /// The `spec.externalIPs` that can be parsed, sorted, without duplicates.
    pub external_ips: Box<[IpAddr]>,
    /// What annotations ask of speakers.
    pub hints: ServiceHints,
    /// Its labels, if the speaker selects by them.
    pub labels: Labels,
}

/// Why an ingress entry is not a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressUnusable {
    /// It has only a host name.
    HostName(Arc<str>),
    /// It has ipMode Proxy: the address is a proxy's, not the service's.
    Proxy(IpAddr),
    /// It has text that is not an address.
    NotAnAddress(Arc<str>),
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Any node serves, by a second hop if necessary.
    #[default]
    Cluster,
    /// Only nodes with an endpoint serve.
    Local,
}

impl TrafficPolicy {
    /// Returns the name in YANG.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Local => "local",
        }
    }
}

/// Annotations on a Service that change who announces it (see `engine::speakers`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceHints {
    /// `kube-router.io/service.local: "true"`: like policy Local.
    pub kube_router_local: bool,
    /// `kube-router.io/service.skiplbips`: load-balancer addresses are not announced.
    pub kube_router_skip_lb_ips: bool,
    /// `kube-router.io/service.advertise.loadbalancerip: "false"`.
    pub kube_router_no_advertise: bool,
    /// `kube-router.io/service.advertise.externalip: "false"`.
    pub kube_router_no_external: bool,
    /// `kube-vip.io/vipHost`: the one node that announces the service.
    pub kube_vip_host: Option<NodeName>,
    /// Label `io.cilium.gateway/owning-gateway` or `cilium.io/ingress`: Cilium's own proxy on each node serves it, and
    /// its slice contains one dummy endpoint without a node.
    pub cilium_proxy: bool,
    /// `service.cilium.io/global: "true"`: endpoints of the other clusters of the mesh serve it as well.
    pub cilium_global: bool,
    /// `service.cilium.io/type` names a type other than LoadBalancer: no load-balancer frontend exists.
    pub cilium_no_load_balancer: bool,
}

/// The key of an EndpointSlice (or of a subset of Endpoints): its name in the namespace of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceKey {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

/// Most endpoints of one service that are counted, over all of its slices: they are all counted again when one of them
/// changes. Kubernetes is tested with 250 pods per Service.
pub const COUNTED_ENDPOINTS: usize = 20_000;

/// One EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The service it belongs to (label `kubernetes.io/service-name`).
    pub service: ServiceKey,
    /// `addressType`.
    pub family: AddressFamily,
    /// Its endpoints.
    pub endpoints: Box<[Endpoint]>,
}

/// `EndpointSlice.addressType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
    /// Host names: never usable by a load balancer.
    Fqdn,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Identifies the endpoint across slices.
    pub identity: EndpointIdentity,
    /// `nodeName`.
    pub node: Option<NodeName>,
    /// `conditions.ready`, true when absent.
    pub ready: bool,
    /// `conditions.serving`, equal to ready when absent.
    pub serving: bool,
}

/// Identifies an endpoint across the slices of a service: a digest of `targetRef` (kind, namespace, name), otherwise of
/// its first address.
///
/// A digest, because a cluster may have hundreds of thousands of endpoints. Two endpoints of a service have the same one
/// with a probability of 2^-64, and would then be counted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIdentity(u64);

impl EndpointIdentity {
    /// Returns the identity of the endpoint that these values name.
    pub fn of(names: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        names.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Identifies a Node across clusters: a digest of its `metadata.uid`, which stays the same until it is deleted.
///
/// A digest, because the text is the API server's to choose. Two nodes have the same one with a probability of 2^-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeUid(u64);

impl NodeUid {
    /// Returns the digest of a uid.
    pub fn of(uid: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its uid, if the API server tells one.
    pub uid: Option<NodeUid>,
    /// Addresses from the annotation that the operator named (`node-address-annotation`).
    pub annotated: Box<[IpAddr]>,
    /// Addresses from the speaker's own annotations or resources (Calico's `projectcalico.org/IPv4Address`, ...).
    pub speaker: Box<[IpAddr]>,
    /// `status.addresses` of type InternalIP.
    pub internal: Box<[IpAddr]>,
    /// `status.addresses` of type ExternalIP.
    pub external: Box<[IpAddr]>,
    /// The value of label `node.kubernetes.io/exclude-from-external-load-balancers`, if present.
    pub exclude_label: Option<Arc<str>>,
    /// Whether condition NetworkUnavailable is True.
    pub network_unavailable: bool,
    /// Its labels, if something selects by them.
    pub labels: Labels,
}
