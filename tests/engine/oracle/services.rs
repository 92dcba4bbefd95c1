//! The services that count, their VIPs and endpoints, and the nodes that should announce them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use srl_k8s_services::model::cluster::{AddressFamily, Endpoint, Node, Service, TrafficPolicy};
use srl_k8s_services::model::config::{ClusterConfig, Speaker};
use srl_k8s_services::model::names::{NodeName, ServiceKey};

use super::speakers::picks;
use super::{Cluster, Oracle, count};

/// A service that counts, and one of its VIPs.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) cluster: Cluster<'a>,
    pub(super) key: &'a ServiceKey,
    pub(super) service: &'a Service,
    pub(super) vip: IpAddr,
}

impl<'a> Oracle<'a> {
    /// Returns the VIPs of a service; `None` if the service does not count.
    pub(super) fn vips(&self, cluster: Cluster<'_>, service: &Service) -> Option<BTreeSet<IpAddr>> {
        let class = service.class.as_deref();
        // Only services of type LoadBalancer have a class.
        let ours = !service.load_balancer
            || match (&cluster.config.rules.load_balancer_class, cluster.config.source.speaker) {
                (Some(configured), _) => class == Some(&**configured),
                (None, Speaker::Metallb | Speaker::Generic) => class.is_none(),
                (None, Speaker::Cilium) => {
                    class.is_none_or(|class| ["io.cilium/bgp-control-plane", "io.cilium/l2-announcer"].contains(&class))
                }
                (None, Speaker::KubeVip) => class.is_none_or(|class| class == "kube-vip.io/kube-vip-class"),
                (None, Speaker::Calico | Speaker::KubeRouter) => true,
            };
        let external = if cluster.config.source.include_external_ips { &service.external_ips[..] } else { &[] };
        let ingress = if service.load_balancer { &service.ingress[..] } else { &[] };
        let judged = ours && (service.load_balancer || !external.is_empty());
        judged.then(|| ingress.iter().chain(external).copied().collect())
    }

    /// Returns all services that count, with their VIPs.
    pub(super) fn subjects(&self, cluster: Cluster<'a>) -> impl Iterator<Item = Subject<'a>> {
        cluster.world.services.iter().flat_map(move |(key, service)| {
            let vips = self.vips(cluster, service).unwrap_or_default();
            vips.into_iter().map(move |vip| Subject { cluster, key, service, vip })
        })
    }

    pub(super) fn policy(&self, cluster: Cluster<'_>, service: &Service) -> TrafficPolicy {
        match cluster.config.source.speaker {
            Speaker::KubeRouter if service.hints.kube_router_local => TrafficPolicy::Local,
            _ => service.policy,
        }
    }

    /// Returns whether only nodes with an endpoint serve flows, which is not so if every node has a proxy.
    pub(super) fn served_locally(&self, cluster: Cluster<'_>, service: &Service) -> bool {
        let proxied = cluster.config.source.speaker == Speaker::Cilium && service.hints.cilium_proxy;
        self.policy(cluster, service) == TrafficPolicy::Local && !proxied
    }

    /// Returns the endpoints that count for a VIP: those of its family if the service has a slice of that family,
    /// otherwise all.
    pub(super) fn endpoints(&self, subject: Subject<'a>) -> Vec<&'a Endpoint> {
        let family = if subject.vip.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
        let slices = || subject.cluster.world.slices.values().filter(|slice| slice.service == *subject.key);
        let own = slices().any(|slice| slice.family == family);
        let counts = |of: AddressFamily| of != AddressFamily::Fqdn && (!own || of == family);
        slices().filter(|slice| counts(slice.family)).flat_map(|slice| slice.endpoints.iter()).collect()
    }

    pub(super) fn usable_endpoints(&self, subject: Subject<'a>) -> Vec<&'a Endpoint> {
        self.endpoints(subject).into_iter().filter(|endpoint| usable(endpoint)).collect()
    }

    pub(super) fn usable_on(&self, subject: Subject<'a>, nodes: &BTreeSet<&NodeName>) -> u32 {
        let here = |endpoint: &&Endpoint| endpoint.node.as_ref().is_some_and(|node| nodes.contains(node));
        distinct(self.usable_endpoints(subject).into_iter().filter(here))
    }

    /// Returns the nodes that should announce the VIP for this service, by the rules of the speaker, and the length of
    /// the prefix that they announce if several lengths are announced.
    fn announcers_for(&self, subject: Subject<'a>) -> (Option<u8>, BTreeSet<&'a NodeName>) {
        let Subject { cluster, service, vip, .. } = subject;
        let speaker = cluster.config.source.speaker;
        let hints = &service.hints;
        // Whether addresses of each kind are withheld. An address of both kinds must be withheld as both.
        let (balancer_hidden, external_hidden) = match speaker {
            Speaker::KubeRouter => {
                (hints.kube_router_skip_lb_ips || hints.kube_router_no_advertise, hints.kube_router_no_external)
            }
            Speaker::Cilium => (hints.cilium_no_load_balancer, false),
            Speaker::Metallb | Speaker::KubeVip => (false, true),
            Speaker::Calico | Speaker::Generic => (false, false),
        };
        let nobody = (None, BTreeSet::new());
        if self.is_of_l2_class(subject) {
            return nobody;
        }
        let balancer = service.load_balancer && service.ingress.contains(&vip);
        let external = service.external_ips.contains(&vip);
        if (balancer || external) && (!balancer || balancer_hidden) && (!external || external_hidden) {
            return nobody;
        }
        if let (Speaker::KubeVip, Some(host)) = (speaker, &hints.kube_vip_host) {
            return (None, cluster.world.nodes.keys().filter(|node| *node == host).collect());
        }
        let proxied = speaker == Speaker::Cilium && hints.cilium_proxy;
        let route = self.longest(&cluster.config.rules.network_instance, vip);
        let route_uses = |name: &NodeName| {
            let next_hops = route.and_then(|(_, route)| self.world.next_hops(route)).unwrap_or_default();
            let vteps = self.vteps(cluster, name);
            let strange = |hop: &IpAddr| {
                let mut nodes = cluster.world.nodes.keys();
                !nodes.any(|node| self.vteps(cluster, node).contains(hop))
                    && self.nodes_of_hop(cluster, *hop).is_empty()
            };
            // An unexplained next-hop may be any node without a known place.
            next_hops.iter().any(|hop| vteps.contains(hop) || self.nodes_of_hop(cluster, *hop).contains(name))
                || !self.located(cluster, name) && next_hops.iter().any(strange)
        };
        let counting: Vec<&Endpoint> = match speaker {
            Speaker::KubeRouter => self.endpoints(subject),
            Speaker::Cilium | Speaker::Calico => {
                self.endpoints(subject).into_iter().filter(|endpoint| endpoint.ready).collect()
            }
            Speaker::Metallb | Speaker::KubeVip | Speaker::Generic => self.usable_endpoints(subject),
        };
        let announces = |name: &NodeName| match (self.policy(cluster, service), speaker) {
            // Nothing reports where the proxy is ready, so those that announce count.
            (TrafficPolicy::Local, _) if proxied => route_uses(name),
            (TrafficPolicy::Local, _) => counting.iter().any(|endpoint| endpoint.node.as_ref() == Some(name)),
            (TrafficPolicy::Cluster, Speaker::Metallb | Speaker::Generic) => !counting.is_empty(),
            (TrafficPolicy::Cluster, _) => true,
        };
        let usable = !counting.is_empty();
        let local = self.policy(cluster, service) == TrafficPolicy::Local;
        let may = |name: &NodeName, node: &Node, length: Option<u8>| {
            excluded_by(cluster.config, node).is_none()
                && self.may_announce(subject, name, node, usable || local, length)
        };
        // If speakers report what they announce, the report counts, and so does silence, unless the speaker may be
        // gone.
        let said = self.said(subject);
        let nodes = || cluster.world.nodes.iter();
        let announcing = |length: Option<u8>| -> BTreeSet<&'a NodeName> {
            let announcing = nodes().filter(|(name, node)| {
                let computed = announces(name) && may(name, node, length);
                match said.is_empty() {
                    true => computed,
                    // The report does not name the prefix.
                    false if said.contains(name) => length.is_none() || may(name, node, length),
                    false => computed && self.may_be_silent(cluster, vip, name),
                }
            });
            announcing.map(|(name, _)| name).collect()
        };
        // Flows follow the longest prefix that anybody announces.
        let mut by_length = self.lengths(subject).into_iter().map(|length| (length, announcing(length)));
        by_length.find(|(_, nodes)| !nodes.is_empty()).unwrap_or(nobody)
    }

    /// Returns the announcers that speak BGP only with other nodes, while some node speaks with switches. Whatever those
    /// announce reaches the fabric by such nodes.
    pub(super) fn by_others(&self, cluster: Cluster<'a>, vip: IpAddr) -> BTreeSet<&'a NodeName> {
        let able = |name: &NodeName| excluded_by(cluster.config, &cluster.world.nodes[name]).is_none();
        let outside = |name: &NodeName| self.speaks_outside(cluster, name);
        let some = cluster.world.nodes.keys().any(|name| able(name) && outside(name));
        let mut announcers = self.announcers(cluster, vip);
        announcers.retain(|name| some && !outside(name) && self.attached(cluster, name).is_empty());
        if self.nodes_at(cluster, vip).is_empty() { announcers } else { BTreeSet::new() }
    }

    /// Returns the announcers that are attached here, but announce the VIP to other switches only: the speaker has this
    /// leaf as a peer of theirs, and no service that carries the VIP is advertised to it.
    pub(super) fn passing_by(&self, cluster: Cluster<'a>, vip: IpAddr) -> BTreeSet<&'a NodeName> {
        if !self.nodes_at(cluster, vip).is_empty() {
            return BTreeSet::new();
        }
        let (mut here, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for subject in self.owning(cluster, vip) {
            let (length, nodes) = self.announcers_for(subject);
            for name in nodes.into_iter().filter(|name| !self.attached(cluster, name).is_empty()) {
                let node = &cluster.world.nodes[name];
                let advertised = excluded_by(cluster.config, node).is_none()
                    && self.may_announce(subject, name, node, true, length)
                    && self.advertised_elsewhere(subject, node, length);
                if advertised {
                    elsewhere.insert(name)
                } else {
                    here.insert(name)
                };
            }
        }
        elsewhere.difference(&here).copied().collect()
    }

    /// Returns the union over the services of the cluster that carry the VIP.
    pub(super) fn announcers(&self, cluster: Cluster<'a>, vip: IpAddr) -> BTreeSet<&'a NodeName> {
        let mut carriers = self.subjects(cluster).filter(|subject| subject.vip == vip);
        // A node's own address is reached by that node's route.
        let owners = self.nodes_at(cluster, vip);
        if !owners.is_empty() && carriers.next().is_some() {
            return owners;
        }
        self.owning(cluster, vip).into_iter().flat_map(|subject| self.announcers_for(subject).1).collect()
    }

    /// Returns the services that carry the VIP and decide who announces it.
    fn owning(&self, cluster: Cluster<'a>, vip: IpAddr) -> Vec<Subject<'a>> {
        // The owners of a load balancer's VIP are the namespaces with a service that has it in its status; what others
        // put into externalIPs is none of its business.
        let carriers: Vec<Subject<'a>> = self.subjects(cluster).filter(|subject| subject.vip == vip).collect();
        let in_status =
            |subject: &Subject<'a>| subject.service.load_balancer && subject.service.ingress.contains(&subject.vip);
        let owners: BTreeSet<_> =
            carriers.iter().filter(|subject| in_status(subject)).map(|subject| &subject.key.namespace).collect();
        let of_owner = |subject: &Subject<'a>| owners.is_empty() || owners.contains(&subject.key.namespace);
        carriers.into_iter().filter(of_owner).collect()
    }
}

/// Returns whether flows may be sent to an endpoint. Whatever the speaker does with terminating endpoints, kube-proxy
/// uses them while they serve.
pub(super) fn usable(endpoint: &Endpoint) -> bool {
    endpoint.ready || endpoint.serving
}

pub(super) fn distinct<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) -> u32 {
    count(endpoints.map(|endpoint| &endpoint.identity).collect::<BTreeSet<_>>().len())
}

/// Returns what prevents a node from announcing anything.
pub(super) fn excluded_by(config: &ClusterConfig, node: &Node) -> Option<&'static str> {
    let speaker = config.source.speaker;
    let label = match speaker {
        Speaker::Metallb => node.exclude_label.is_some(),
        Speaker::Calico => node.exclude_label.as_deref() == Some("true"),
        _ => false,
    };
    if label {
        return Some("label node.kubernetes.io/exclude-from-external-load-balancers");
    }
    if speaker == Speaker::Metallb && node.network_unavailable {
        return Some("condition NetworkUnavailable");
    }
    let runs_speaker = config.rules.speaker_node_selector.as_ref().is_none_or(|selector| picks(selector, &node.labels));
    (!runs_speaker).then_some("speaker-node-selector")
}
