//! Who may announce, as each speaker decides it: one row per speaker, nothing else in the engine knows them apart.
//!
//! | rule | MetalLB | Cilium | Calico | kube-router | kube-vip | generic |
//! |---|---|---|---|---|---|---|
//! | announces for an endpoint that is | ready or serving | ready | ready | ready or serving | ready or serving | ready or serving |
//! | policy Local announces where | such a one is | such a one is | such a one is | any endpoint is | such a one is | such a one is |
//! | policy Cluster announces when | there is one | always | always | always | always | there is one |
//! | exclude label | present | - | is "true" | - | - | - |
//! | NetworkUnavailable | excludes | - | - | - | - | - |
//! | load-balancer class | none | none or its own two | any | any | none or its own | none |
//!
//! Sources: MetalLB `speaker/bgp_controller.go` (ShouldAnnounce), Cilium `getLoadBalancerIPPaths`, Calico `routes.go`,
//! kube-router `ecmp_vip.go`, kube-vip `pkg/services`. No speaker looks at Node Ready or at cordons.
//!
//! Where the cluster lets us read the speaker's own resources, `resources` narrows this down by what they select
//! (`metallb`, `cilium`, `calico`), and to what speakers say themselves; the sets of nodes that come of it are kept among the facts.

mod calico;
mod cilium;
mod metallb;
mod resources;

pub(crate) use resources::{Rule, SpeakerResources, Subject};

use std::net::IpAddr;

use crate::model::cluster::{Endpoint, Node, Service, ServiceHints, TrafficPolicy};
use crate::model::config::{ClusterConfig, Speaker};
use crate::model::names::NodeName;
use crate::model::speaker::ObjectKey;

/// The rules of one speaker.
#[derive(Debug)]
pub(crate) struct Profile {
    /// A terminating endpoint that still serves is announced for.
    announces_serving: bool,
    /// Policy Local counts endpoints in any condition.
    local_counts_any: bool,
    /// Policy Cluster announces without a usable endpoint.
    announces_without_endpoints: bool,
    exclude_label: ExcludeLabel,
    network_unavailable_excludes: bool,
    class: Class,
    /// The class of services that a node answers ARP and ND for, and nobody announces by BGP.
    l2_class: Option<&'static str>,
    /// Annotations of the Service that withdraw its load-balancer addresses.
    withheld: fn(&ServiceHints) -> Option<&'static str>,
    /// Annotations that withdraw its externalIPs.
    external_withheld: fn(&ServiceHints) -> Option<&'static str>,
    /// The name of a speaker that announces no externalIPs at all.
    never_external: Option<&'static str>,
    /// Annotations that make the policy Local.
    made_local: fn(&ServiceHints) -> bool,
    /// One node announces, where an annotation names it.
    elects: bool,
    /// It has proxies of its own for Gateways and Ingresses, and meshes of clusters.
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

/// The rules of a speaker.
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
    /// The speaker announces for the sake of the endpoint.
    pub(crate) fn announces_for(&self, endpoint: &Endpoint) -> bool {
        endpoint.ready || self.announces_serving && endpoint.serving
    }

    /// Under policy Local the endpoint makes its node an announcer.
    pub(crate) fn makes_local_announcer(&self, endpoint: &Endpoint) -> bool {
        self.local_counts_any || self.announces_for(endpoint)
    }

    /// Under policy Cluster every eligible node announces.
    pub(crate) fn announces_with(&self, endpoints: u32) -> bool {
        self.announces_without_endpoints || endpoints > 0
    }

    /// Why the node may not announce; `None` when it may.
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

    /// Why the speaker announces an address of the service not at all, whatever the nodes are: each kind of address is
    /// withheld for itself, and one that is of both is announced as long as one of them is.
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

    /// The speaker announces no address of this kind, whatever is configured: externalIPs alone carry it.
    pub(crate) fn never_announces(&self, service: &Service, vip: IpAddr) -> bool {
        let balancer = service.load_balancer && service.ingress.contains(&vip);
        !balancer && service.external_ips.contains(&vip) && self.never_external.is_some()
    }

    /// By its load-balancer class a node answers ARP and ND for the service, and nobody announces it by BGP.
    pub(crate) fn is_of_l2_class(&self, service: &Service) -> bool {
        service.class.is_some() && service.class.as_deref() == self.l2_class
    }

    /// The one node that announces the service, where its speaker elected one.
    pub(crate) fn elected<'s>(&self, service: &'s Service) -> Option<&'s NodeName> {
        service.hints.kube_vip_host.as_ref().filter(|_| self.elects)
    }

    /// A proxy on every node serves the service, and announces it from where it is ready.
    pub(crate) fn by_proxy(&self, service: &Service) -> bool {
        self.proxies && service.hints.cilium_proxy
    }

    /// Only nodes with an endpoint serve.
    pub(crate) fn local(&self, service: &Service) -> bool {
        service.policy == TrafficPolicy::Local || (self.made_local)(&service.hints)
    }

    /// Only nodes with an endpoint serve flows.
    pub(crate) fn serves_locally(&self, service: &Service) -> bool {
        self.local(service) && !self.by_proxy(service)
    }

    /// Endpoints of other clusters of a mesh serve the service, too.
    pub(crate) fn is_global(&self, service: &Service) -> bool {
        self.proxies && service.hints.cilium_global
    }

    /// The service's load-balancer class is this speaker's to announce.
    pub(crate) fn owns_class(&self, service: &Service, config: &ClusterConfig) -> bool {
        match (&config.rules.load_balancer_class, &self.class, service.class.as_deref()) {
            (Some(configured), _, class) => class == Some(configured),
            (None, Class::Any, _) | (None, _, None) => true,
            (None, Class::NoneOr(own), Some(class)) => own.contains(&class),
            (None, Class::OnlyNone, Some(_)) => false,
        }
    }
}

/// Who announces a VIP of a service, as far as resources say.
pub(crate) fn rule(resources: &SpeakerResources, subject: Subject<'_>) -> Rule {
    match resources.speaker() {
        Speaker::Metallb => metallb::rule(resources, subject),
        Speaker::Cilium => cilium::rule(resources, subject),
        Speaker::Calico => calico::rule(resources, subject),
        Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => Rule::default(),
    }
}

/// One of these objects selects the node.
pub(crate) fn selects(resources: &SpeakerResources, by: &[ObjectKey], name: &NodeName, node: &Node) -> bool {
    match resources.speaker() {
        Speaker::Metallb => metallb::selects(resources, by, node),
        Speaker::Cilium => cilium::selects(resources, by, name, node),
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => true,
    }
}

/// Why a set of nodes has no members: the objects that select none.
pub(crate) fn selects_none(resources: &SpeakerResources, by: &[ObjectKey]) -> Option<String> {
    let kind = match resources.speaker() {
        Speaker::Metallb => "BGPAdvertisement",
        Speaker::Cilium => "CiliumBGPPeerConfig",
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => return None,
    };
    let names: Vec<String> = by.iter().take(4).map(ToString::to_string).collect();
    let more = by.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!by.is_empty()).then(|| format!("{kind} {}{more} selects no node that may announce", names.join(", ")))
}

/// Addresses the speaker's resources say a node speaks from.
pub(crate) fn addresses(resources: &SpeakerResources, name: &NodeName, node: &Node) -> Vec<IpAddr> {
    match resources.speaker() {
        Speaker::Metallb => metallb::addresses(resources, node),
        Speaker::Cilium => cilium::addresses(resources, name),
        Speaker::Calico | Speaker::KubeRouter | Speaker::KubeVip | Speaker::Generic => Vec::new(),
    }
}
