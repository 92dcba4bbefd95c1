//! A plan with some things broken: which nodes are alive, where they are plugged in, which sessions are established,
//! and what is announced.

use ipnet::IpNet;

use crate::fault::Fault;
use crate::plan::{Kind, NodeId, Plan, PodState, ServiceId};
use crate::speaker;

/// A plan, and what is broken now.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) faults: &'a [Fault],
}

impl State<'_> {
    pub(crate) fn broken(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(crate) fn evpn(&self, leaf: usize) -> bool {
        !self.broken(Fault::Evpn(leaf)) && !self.broken(Fault::Isolated(leaf))
    }

    pub(crate) fn alive(&self, node: NodeId) -> bool {
        !self.broken(Fault::NodeDown(node))
    }

    fn moved(&self, node: NodeId) -> Option<usize> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Moved(moved, to) if *moved == node => Some(*to),
            _ => None,
        })
    }

    /// Returns the leaves that a node has cables to.
    pub(crate) fn leaves(&self, node: NodeId) -> Vec<usize> {
        self.moved(node).map_or_else(|| self.plan.node(node).leaves.clone(), |to| vec![to])
    }

    pub(crate) fn cable(&self, node: NodeId, leaf: usize) -> bool {
        !self.broken(Fault::Cable(node, leaf))
    }

    /// Returns the leaves that a node answers on.
    pub(crate) fn answers_on(&self, node: NodeId) -> Vec<usize> {
        let leaves = self.leaves(node).into_iter();
        leaves.filter(|leaf| self.alive(node) && self.cable(node, *leaf)).collect()
    }

    /// Returns the leaves that a node speaks BGP with: its gateways, wherever it is plugged in, unless it speaks only
    /// with a router.
    pub(crate) fn peers(&self, node: NodeId) -> Vec<usize> {
        let planned = &self.plan.node(node).peers;
        self.moved(node).filter(|_| !planned.is_empty()).map_or_else(|| planned.clone(), |to| vec![to])
    }

    pub(crate) fn instance(&self, leaf: usize, vrf: usize) -> bool {
        let gone = |fault: &Fault| matches!(fault, Fault::NoInstance(on, cluster) if *on == leaf && self.plan.clusters[*cluster].configured_vrf == vrf);
        !self.faults.iter().any(gone)
    }

    /// Whether the gateway of a node's subnet is on a leaf.
    pub(crate) fn gateway(&self, leaf: usize, node: NodeId) -> bool {
        self.instance(leaf, self.plan.clusters[node.0].vrf) && self.bridge(leaf, node)
    }

    /// Whether the bridge of a node's subnet is on a leaf. It stays there if only the network instance that routes is
    /// gone.
    pub(crate) fn bridge(&self, leaf: usize, node: NodeId) -> bool {
        let rack = |node: NodeId| self.plan.node(node).leaves.first().copied();
        let nodes = (0..self.plan.clusters[node.0].nodes.len()).map(|other| (node.0, other));
        let mut on_subnet = nodes.filter(|other| self.plan.stretched || rack(*other) == rack(node));
        let planned =
            on_subnet.any(|other| self.plan.node(other).leaves.contains(&leaf) || self.leaves(other).contains(&leaf));
        let routed = self.plan.clusters[node.0].router.is_some_and(|router| router.leaf == leaf);
        planned || routed || self.plan.stretched && self.plan.leaves[leaf].gateways
    }

    /// Whether a node's session to a leaf is established.
    pub(crate) fn established(&self, node: NodeId, leaf: usize) -> bool {
        let configured = self.instance(leaf, self.plan.clusters[node.0].vrf);
        let down = self.broken(Fault::Session(node, leaf)) || self.broken(Fault::Stale(node, leaf));
        configured && !down && self.answers_on(node).contains(&leaf)
    }

    /// Returns the current endpoints of a service.
    pub(crate) fn endpoints(&self, service: ServiceId) -> Vec<(Option<usize>, PodState)> {
        // An endpoint that stands for proxies stays.
        if self.broken(Fault::PodsGone(service)) && self.plan.service(service).kind != Kind::Gateway {
            return Vec::new();
        }
        let endpoints = self.plan.service(service).endpoints.iter();
        let now = |(on, state): &(Option<usize>, PodState)| {
            let fault = |fault: fn(ServiceId, usize) -> Fault| on.is_some_and(|on| self.broken(fault(service, on)));
            let dead = on.is_some_and(|on| !self.alive((service.0, on)));
            let state = match state {
                _ if dead || fault(Fault::PodsUnready) => PodState::Unready,
                PodState::Ready if fault(Fault::PodsDraining) => PodState::Draining,
                state => *state,
            };
            (*on, state)
        };
        endpoints.map(now).collect()
    }

    /// Returns what a node's speaker intends to announce for a service, by VIP, according to the endpoints it believes
    /// in.
    pub(crate) fn intends(&self, node: NodeId, service: ServiceId) -> Vec<IpNet> {
        let endpoints = if self.broken(Fault::Stuck(node)) {
            self.plan.service(service).endpoints.clone()
        } else {
            self.endpoints(service)
        };
        self.prefixes(node, service, &endpoints)
    }

    /// Returns what a node's speaker should announce for a service.
    pub(crate) fn ought(&self, node: NodeId, service: ServiceId) -> Vec<IpNet> {
        self.prefixes(node, service, &self.endpoints(service))
    }

    fn prefixes(&self, node: NodeId, service: ServiceId, endpoints: &[(Option<usize>, PodState)]) -> Vec<IpNet> {
        let vips = self.plan.service(service).vips.iter();
        vips.flat_map(|vip| speaker::announced(self.plan, node, service, *vip, endpoints)).collect()
    }

    /// Returns the node that answers ARP and ND for a service's VIPs: one of those whose speaker would announce it,
    /// chosen in turn.
    pub(crate) fn holder(&self, service: ServiceId) -> Option<NodeId> {
        let count = self.plan.clusters[service.0].nodes.len();
        let mut by_turns = (0..count).map(|turn| (service.0, (turn + service.1) % count));
        by_turns.find(|node| {
            let heard = !self.answers_on(*node).is_empty() && !self.broken(Fault::Silent(*node));
            heard && !self.intends(*node, service).is_empty()
        })
    }

    /// Whether a node's session to its cluster's router is established.
    pub(crate) fn reaches_router(&self, node: NodeId) -> bool {
        let Some(router) = self.plan.clusters[node.0].router else { return false };
        let bridged = |leaf: usize| leaf == router.leaf || self.evpn(leaf) && self.evpn(router.leaf);
        let instance = self.instance(router.leaf, self.plan.clusters[node.0].vrf);
        instance && !self.broken(Fault::Silent(node)) && self.answers_on(node).into_iter().any(bridged)
    }

    /// Returns the prefixes of a service's VIPs that a node sends to a leaf over its sessions, and over which family.
    pub(crate) fn sent(&self, node: NodeId, leaf: usize) -> Vec<(IpNet, bool, ServiceId)> {
        let stale = self.broken(Fault::Stale(node, leaf)) && self.instance(leaf, self.plan.clusters[node.0].vrf);
        if self.plan.clusters[node.0].l2
            || self.plan.clusters[node.0].only_to.is_some_and(|only| only != leaf)
            || !self.peers(node).contains(&leaf)
            || !(self.established(node, leaf) || stale)
            || self.broken(Fault::Silent(node))
        {
            return Vec::new();
        }
        let (cluster, plan) = (&self.plan.clusters[node.0], self.plan.node(node));
        let services = (0..cluster.services.len()).map(|service| (node.0, service));
        let prefixes =
            services.flat_map(|service| self.intends(node, service).into_iter().map(move |prefix| (prefix, service)));
        let over = |prefix: &IpNet| match prefix {
            IpNet::V4(_) if plan.v4 => Some(false),
            IpNet::V4(_) if cluster.extended && plan.v6 => Some(true),
            IpNet::V6(_) if plan.v6 => Some(true),
            _ => None,
        };
        prefixes.filter_map(|(prefix, service)| Some((prefix, over(&prefix)?, service))).collect()
    }
}
