//! Determines who may announce, as each speaker decides it: one profile per speaker. Nothing else in the engine
//! distinguishes speakers.
//!
//! | rule | MetalLB | Cilium | Calico | kube-router | kube-vip | generic |
//! |---|---|---|---|---|---|---|
//! | endpoints that count | ready or serving | ready | ready | ready or serving | ready or serving | ready or serving |
//! | policy Local needs on the node | one of these | one of these | one of these | any | one of these | one of these |
//! | policy Cluster needs | one of these | nothing | nothing | nothing | nothing | one of these |
//! | exclude label | present | - | is "true" | - | - | - |
//! | NetworkUnavailable | excludes | - | - | - | - | - |
//! | load-balancer class | none | none or its own two | any | any | none or its own | none |
//!
//! Sources: MetalLB `speaker/bgp_controller.go` (ShouldAnnounce), Cilium `getLoadBalancerIPPaths`, Calico `routes.go`,
//! kube-router `ecmp_vip.go`, kube-vip `pkg/services`. No speaker looks at Node Ready or at cordons.
//!
//! If the cluster permits reading the speaker's own resources, `resources` narrows this down to what they select
//! (`metallb`, `cilium`, `calico`), and to what speakers report themselves. The resulting sets of nodes are kept among
//! the facts.

mod calico;
mod cilium;
mod metallb;
mod resources;

pub(crate) use resources::{Rule, SpeakerResources, Subject};

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::cluster::{Endpoint, Node, Service, ServiceHints, TrafficPolicy};
use crate::model::config::{ClusterConfig, Speaker};
use crate::model::names::NodeName;
use crate::model::speaker::ObjectKey;

/// The rules of one speaker.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Whether the speaker announces for a terminating endpoint that still serves.
    announces_serving: bool,
    /// Whether policy Local counts endpoints in any condition.
    local_counts_any: bool,
    /// Whether policy Cluster announces without a usable endpoint.
    announces_without_endpoints: bool,
    exclude_label: ExcludeLabel,
    network_unavailable_excludes: bool,
    class: Class,
    /// The class of services that a node answers ARP and ND for, and that nobody announces by BGP.
    l2_class: Option<&'static str>,
    /// Returns the annotation of the Service that withdraws its load-balancer addresses, if any.
    withheld: fn(&ServiceHints) -> Option<&'static str>,
    /// Returns the annotation that withdraws its externalIPs, if any.
    external_withheld: fn(&ServiceHints) -> Option<&'static str>,
    /// The name of a speaker that never announces externalIPs.
    never_external: Option<&'static str>,
    /// Returns whether annotations make the policy Local.
    made_local: fn(&ServiceHints) -> bool,
    /// Whether an annotation may name the one node that announces.
    elects: bool,
    /// Whether the speaker has proxies of its own for Gateways and Ingresses, and meshes of clusters.
    proxies: bool,
}

#[derive(Debug)]
enum ExcludeLabel {
    Present,
    IsTrue,
    Ignored,
}

#[derive(Debug)]
enum Class {
    OnlyNone,
    NoneOr(&'static [&'static str]),
    Any,
}

const METALLB: Profile = Profile {
    announces_serving: true,
    local_counts_any: false,
    announces_without_endpoints: false,
    exclude_label: ExcludeLabel::Present,
    network_unavailable_excludes: true,
    class: Class::OnlyNone,
    l2_class: None,
    withheld: |_| None,
    external_withheld: |_| None,
    never_external: Some("MetalLB"),
    made_local: |_| false,
    elects: false,
    proxies: false,
};

const CILIUM: Profile = Profile {
    announces_serving: false,
    local_counts_any: false,
    announces_without_endpoints: true,
    exclude_label: ExcludeLabel::Ignored,
    network_unavailable_excludes: false,
    class: Class::NoneOr(&["io.cilium/bgp-control-plane", "io.cilium/l2-announcer"]),
    l2_class: Some("io.cilium/l2-announcer"),
    withheld: |hints| hints.cilium_no_load_balancer.then_some("service.cilium.io/type"),
    external_withheld: |_| None,
    never_external: None,
    made_local: |_| false,
    elects: false,
    proxies: true,
};

const CALICO: Profile = Profile {
    announces_serving: false,
    local_counts_any: false,
    announces_without_endpoints: true,
    exclude_label: ExcludeLabel::IsTrue,
    network_unavailable_excludes: false,
    class: Class::Any,
    l2_class: None,
    withheld: |_| None,
    external_withheld: |_| None,
    never_external: None,
    made_local: |_| false,
    elects: false,
    proxies: false,
};

const KUBE_ROUTER: Profile = Profile {
    announces_serving: true,
    local_counts_any: true,
    announces_without_endpoints: true,
    exclude_label: ExcludeLabel::Ignored,
    network_unavailable_excludes: false,
    class: Class::Any,
    l2_class: None,
    withheld: |hints| {
        let advertise = "kube-router.io/service.advertise.loadbalancerip";
        let skipped = hints.kube_router_skip_lb_ips.then_some("kube-router.io/service.skiplbips");
        skipped.or(hints.kube_router_no_advertise.then_some(advertise))
    },
    external_withheld: |hints| hints.kube_router_no_external.then_some("kube-router.io/service.advertise.externalip"),
    never_external: None,
    made_local: |hints| hints.kube_router_local,
    elects: false,
    proxies: false,
};

const GENERIC: Profile = Profile {
    exclude_label: ExcludeLabel::Ignored,
    network_unavailable_excludes: false,
    never_external: None,
    ..METALLB
};

const KUBE_VIP: Profile = Profile {
    announces_serving: true,
    local_counts_any: false,
    announces_without_endpoints: true,
    exclude_label: ExcludeLabel::Ignored,
    network_unavailable_excludes: false,
    class: Class::NoneOr(&["kube-vip.io/kube-vip-class"]),
    l2_class: None,
    withheld: |_| None,
    external_withheld: |_| None,
    never_external: Some("kube-vip"),
    made_local: |_| false,
    elects: true,
    proxies: false,
};

/// Returns the rules of a speaker.
pub(crate) fn profile(speaker: Speaker) -> &'static Profile {
    match speaker {
        Speaker::Metallb => &METALLB,
        Speaker::Cilium => &CILIUM,
        Speaker::Calico => &CALICO,
        Speaker::KubeRouter => &KUBE_ROUTER,
        Speaker::KubeVip => &KUBE_VIP,
        Speaker::Generic => &GENERIC,
    }
}

impl Profile {
    /// Returns whether the speaker announces for this endpoint.
    pub(crate) fn announces_for(&self, endpoint: &Endpoint) -> bool {
        endpoint.ready || self.announces_serving && endpoint.serving
    }

    /// Returns whether the endpoint makes its node an announcer under policy Local.
    pub(crate) fn makes_local_announcer(&self, endpoint: &Endpoint) -> bool {
        self.local_counts_any || self.announces_for(endpoint)
    }

    /// Returns whether every eligible node announces under policy Cluster, with this number of endpoints.
    pub(crate) fn announces_with(&self, endpoints: u32) -> bool {
        self.announces_without_endpoints || endpoints > 0
    }

    /// Returns why the node may not announce; `None` if it may.
    pub(crate) fn excluded(&self, node: &Node) -> Option<&'static str> {
        let label = match (&self.exclude_label, node.exclude_label.as_deref()) {
            (ExcludeLabel::Present, Some(_)) | (ExcludeLabel::IsTrue, Some("true")) => true,
            (ExcludeLabel::Present | ExcludeLabel::IsTrue | ExcludeLabel::Ignored, _) => false,
        };
        if label {
            return Some("label node.kubernetes.io/exclude-from-external-load-balancers");
        }
        let unavailable = self.network_unavailable_excludes && node.network_unavailable;
        unavailable.then_some("condition NetworkUnavailable")
    }

    /// Returns why the speaker does not announce an address of the service from any node; `None` if it does. Each kind
    /// of address is withheld separately, and an address of both kinds is announced if either of them is.
    pub(crate) fn withheld(&self, service: &Service, vip: IpAddr) -> Option<String> {
        if let Some(class) = self.l2_class.filter(|_| self.is_of_l2_class(service)) {
            return Some(format!("services of class {class} are not announced by BGP"));
        }
        let withheld = |annotation| format!("annotation {annotation} keeps the address from being announced");
        let balancer = (service.load_balancer && service.ingress.contains(&vip))
            .then(|| (self.withheld)(&service.hints).map(withheld));
        let external = service.external_ips.contains(&vip).then(|| match self.never_external {
            Some(speaker) => Some(format!("{speaker} does not announce spec.externalIPs")),
            None => (self.external_withheld)(&service.hints).map(withheld),
        });
        match (balancer, external) {
            (Some(None), _) | (_, Some(None)) => None,
            (Some(why), _) | (None, Some(why)) => why,
            (None, None) => None,
        }
    }

    /// Returns whether the speaker never announces this kind of address, whatever is configured: only externalIPs
    /// contain it.
    pub(crate) fn never_announces(&self, service: &Service, vip: IpAddr) -> bool {
        let balancer = service.load_balancer && service.ingress.contains(&vip);
        !balancer && service.external_ips.contains(&vip) && self.never_external.is_some()
    }

    /// Returns whether the load-balancer class of the service means that a node answers ARP and ND, and nobody
    /// announces by BGP.
    pub(crate) fn is_of_l2_class(&self, service: &Service) -> bool {
        service.class.is_some() && service.class.as_deref() == self.l2_class
    }

    /// Returns the one node that announces the service, if its speaker elected one.
    pub(crate) fn elected<'s>(&self, service: &'s Service) -> Option<&'s NodeName> {
        service.hints.kube_vip_host.as_ref().filter(|_| self.elects)
    }

    /// Returns whether a proxy on every node serves the service, and announces it from the nodes where it is ready.
    pub(crate) fn by_proxy(&self, service: &Service) -> bool {
        self.proxies && service.hints.cilium_proxy
    }

    /// Returns whether the policy is Local, or annotations make it so.
    pub(crate) fn local(&self, service: &Service) -> bool {
        service.policy == TrafficPolicy::Local || (self.made_local)(&service.hints)
    }

    /// Returns whether only nodes with an endpoint serve flows.
    pub(crate) fn serves_locally(&self, service: &Service) -> bool {
        self.local(service) && !self.by_proxy(service)
    }

    /// Returns whether endpoints of other clusters of a mesh serve the service, too.
    pub(crate) fn is_global(&self, service: &Service) -> bool {
        self.proxies && service.hints.cilium_global
    }

    /// Returns whether the speaker announces services of this load-balancer class.
    pub(crate) fn owns_class(&self, service: &Service, config: &ClusterConfig) -> bool {
        match (&config.rules.load_balancer_class, &self.class, service.class.as_deref()) {
            (Some(configured), _, class) => class == Some(configured),
            (None, Class::Any, _) | (None, _, None) => true,
            (None, Class::NoneOr(own), Some(class)) => own.contains(&class),
            (None, Class::OnlyNone, Some(_)) => false,
        }
    }
}

/// Returns who announces a VIP of a service, according to resources.
pub(crate) fn rule(resources: &SpeakerResources, subject: Subject<'_>) -> Rule {
    match resources.speaker() {
        Speaker::Metallb => metallb::rule(resources, subject),
        Speaker::Cilium => cilium::rule(resources, subject),
        Speaker::Calico => calico::rule(resources, subject),
        Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => Rule::default(),
    }
}

/// Returns whether one of these objects selects the node.
pub(crate) fn selects(resources: &SpeakerResources, by: &[ObjectKey], name: &NodeName, node: &Node) -> bool {
    match resources.speaker() {
        Speaker::Metallb => metallb::selects(resources, by, node),
        Speaker::Cilium => cilium::selects(resources, by, name, node),
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => true,
    }
}

/// Returns whether a node that these objects select announces to other switches only, although it has a session with
/// this one.
pub(crate) fn passes_by(
    resources: &SpeakerResources,
    by: &[ObjectKey],
    node: &Node,
    is_own: impl Fn(IpAddr) -> bool,
) -> bool {
    match resources.speaker() {
        Speaker::Metallb if !by.is_empty() => metallb::passes_by(resources, by, node, is_own),
        _ => false,
    }
}

/// Returns whether a node has sessions with switches, or may: not with other nodes only. `is_node` tells their addresses.
pub(crate) fn speaks_outside(
    resources: &SpeakerResources,
    name: &NodeName,
    node: &Node,
    is_node: impl Fn(IpAddr) -> bool,
) -> bool {
    match resources.speaker() {
        Speaker::Calico => calico::speaks_outside(resources, name, node, is_node),
        Speaker::Metallb | Speaker::Cilium | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => true,
    }
}

/// Returns the addresses of switches that resources name as peers.
pub(crate) fn peer_addresses(resources: &SpeakerResources) -> BTreeSet<IpAddr> {
    match resources.speaker() {
        Speaker::Metallb => metallb::peer_addresses(resources),
        Speaker::Cilium | Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => {
            BTreeSet::new()
        }
    }
}

/// Returns why no node announces a VIP here: the objects that select its announcers, all of which announce to other
/// switches only.
pub(crate) fn goes_elsewhere(resources: &SpeakerResources, by: &[ObjectKey]) -> Option<String> {
    selecting(resources, by).map(|names| format!("{names} goes to BGPPeers that are other switches, not to this one"))
}

/// Returns why a set of nodes has no members: the objects that select none.
pub(crate) fn selects_none(resources: &SpeakerResources, by: &[ObjectKey]) -> Option<String> {
    selecting(resources, by).map(|names| format!("{names} selects no node that may announce"))
}

/// Names objects that select nodes.
fn selecting(resources: &SpeakerResources, by: &[ObjectKey]) -> Option<String> {
    let kind = match resources.speaker() {
        Speaker::Metallb => "BGPAdvertisement",
        Speaker::Cilium => "CiliumBGPPeerConfig",
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => return None,
    };
    let names: Vec<String> = by.iter().take(4).map(ToString::to_string).collect();
    let more = by.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!by.is_empty()).then(|| format!("{kind} {}{more}", names.join(", ")))
}

/// Returns the addresses that a node speaks from according to the speaker's resources.
pub(crate) fn addresses(resources: &SpeakerResources, name: &NodeName, node: &Node) -> Vec<IpAddr> {
    match resources.speaker() {
        Speaker::Metallb => metallb::addresses(resources, node),
        Speaker::Cilium => cilium::addresses(resources, name),
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => Vec::new(),
    }
}
