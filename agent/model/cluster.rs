//! What a cluster knows, reduced on arrival to what the engine reads.

use std::net::IpAddr;
use std::sync::Arc;

use super::names::{NodeName, ServiceKey};
use super::selector::Labels;

/// A Service that may have VIPs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `spec.type` is LoadBalancer.
    pub load_balancer: bool,
    /// `spec.externalTrafficPolicy`.
    pub policy: TrafficPolicy,
    /// `spec.loadBalancerClass`.
    pub class: Option<Arc<str>>,
    /// `status.loadBalancer.ingress[].ip` with ipMode VIP or unset, sorted, without duplicates.
    pub ingress: Box<[IpAddr]>,
    /// There is an ingress entry, but none with a usable address: host names, ipMode Proxy, or text that is no address.
    pub ingress_unusable: Option<IngressUnusable>,
    /// `spec.externalIPs` that parse, sorted, without duplicates.
    pub external_ips: Box<[IpAddr]>,
    /// What annotations ask of a speaker.
    pub hints: ServiceHints,
    /// Its labels, where the speaker selects by them.
    pub labels: Labels,
}

/// Why an ingress entry is no VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressUnusable {
    /// Only host names.
    HostName(Arc<str>),
    /// ipMode Proxy: the address is a proxy's, not the service's.
    Proxy(IpAddr),
    /// Text that is no address.
    NotAnAddress(Arc<str>),
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Any node serves, by a second hop if need be.
    #[default]
    Cluster,
    /// Only nodes with an endpoint serve.
    Local,
}

impl TrafficPolicy {
    /// The name in YANG.
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
    /// `kube-router.io/service.local: "true"`: as policy Local.
    pub kube_router_local: bool,
    /// `kube-router.io/service.skiplbips`: load-balancer addresses are not announced.
    pub kube_router_skip_lb_ips: bool,
    /// `kube-router.io/service.advertise.loadbalancerip: "false"`.
    pub kube_router_no_advertise: bool,
    /// `kube-router.io/service.advertise.externalip: "false"`.
    pub kube_router_no_external: bool,
    /// `kube-vip.io/vipHost`: the one node that announces it.
    pub kube_vip_host: Option<NodeName>,
    /// Label `io.cilium.gateway/owning-gateway` or `cilium.io/ingress`: Cilium's own proxy on each node serves it, and its
    /// slice holds one dummy endpoint without a node.
    pub cilium_proxy: bool,
    /// `service.cilium.io/global: "true"`: endpoints of the other clusters of the mesh serve it, too.
    pub cilium_global: bool,
    /// `service.cilium.io/type` names a type other than LoadBalancer: no load-balancer frontend exists.
    pub cilium_no_load_balancer: bool,
}

/// An EndpointSlice (or a subset of Endpoints): its name in the namespace of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceKey {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

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
    /// What makes it the same endpoint in another slice: `targetRef` (kind/namespace/name), else its first address.
    pub identity: Arc<str>,
    /// `nodeName`.
    pub node: Option<NodeName>,
    /// `conditions.ready`, true when absent.
    pub ready: bool,
    /// `conditions.serving`, equal to ready when absent.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// From the annotation the operator named (`node-address-annotation`).
    pub annotated: Box<[IpAddr]>,
    /// From the speaker's own annotations or resources (Calico's `projectcalico.org/IPv4Address`, ...).
    pub speaker: Box<[IpAddr]>,
    /// `status.addresses` of type InternalIP.
    pub internal: Box<[IpAddr]>,
    /// `status.addresses` of type ExternalIP.
    pub external: Box<[IpAddr]>,
    /// The value of label `node.kubernetes.io/exclude-from-external-load-balancers`, where it is present.
    pub exclude_label: Option<Arc<str>>,
    /// Condition NetworkUnavailable is True.
    pub network_unavailable: bool,
    /// Its labels, where the speaker selects by them.
    pub labels: Labels,
}
