//! What is drawn: leaves, clusters, and what breaks at which step. All are plain values, so that a failing case can be
//! shrunk.

use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::config::Speaker;

use crate::fault::Fault;

/// A node, by cluster and index.
pub(crate) type NodeId = (usize, usize);

/// A service, by cluster and index.
pub(crate) type ServiceId = (usize, usize);

/// One drawn fabric, and what happens to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) leaves: Vec<LeafPlan>,
    /// Whether subnets of nodes are on every leaf that has nodes of the cluster, with an anycast gateway; otherwise
    /// each rack has subnets of its own.
    pub(crate) stretched: bool,
    /// Whether ARP and ND entries become host routes and go into EVPN.
    pub(crate) host_routes: bool,
    /// Whether BGP routes of nodes are preferred to EVPN's; otherwise the route that came first wins the tie.
    pub(crate) prefer_local: bool,
    /// The maximum number of next-hops of a BGP route.
    pub(crate) multipath: usize,
    /// The leaf that announces a prefix covering all VIPs, and where that prefix leads.
    pub(crate) summary: Option<(usize, Summary)>,
    /// The leaf that announces a default route to the world.
    pub(crate) default_from: Option<usize>,
    pub(crate) clusters: Vec<ClusterPlan>,
    /// Whether the first cluster is configured under a second name as well.
    pub(crate) twice: bool,
    /// What is broken, step by step. Before the first step and after the last, nothing is broken.
    pub(crate) steps: Vec<Vec<Fault>>,
}

/// One leaf.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeafPlan {
    /// Whether it has the gateways of stretched subnets even without nodes.
    pub(crate) gateways: bool,
}

/// Where a covering prefix leads on the leaf that announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Summary {
    /// It is discarded there, except for what is more specific.
    Discard,
    /// It leads to a router that knows no VIP.
    World,
}

/// One cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterPlan {
    pub(crate) speaker: Speaker,
    /// Whether resources of the speaker may be read.
    pub(crate) readable: bool,
    /// Whether MetalLB's statuses may be read, too.
    pub(crate) statuses: bool,
    /// Whether only nodes with the label announce, as the speaker's resources or `speaker-node-selector` say.
    pub(crate) narrowed: bool,
    /// The length of the prefixes that cover IPv4 VIPs, if they are shorter than host prefixes.
    pub(crate) aggregate: Option<u8>,
    /// The VRF that the nodes are in.
    pub(crate) vrf: usize,
    /// The network instance that the operator configured.
    pub(crate) configured_vrf: usize,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Whether VIPs of IPv4 are announced over IPv6 sessions of nodes that have no other session.
    pub(crate) extended: bool,
    /// Whether the BGP neighbors are dynamic ones.
    pub(crate) dynamic: bool,
    /// Whether `vip-pool` is configured.
    pub(crate) pool: bool,
    /// Whether `shared-with` names all other clusters.
    pub(crate) shared: bool,
    /// Whether one node answers ARP and ND for each VIP, in the subnet of the nodes; no node then speaks BGP.
    pub(crate) l2: bool,
    /// Whether sessions are between link-local addresses, which are then also the next-hops.
    pub(crate) unnumbered: bool,
    /// The only leaf that VIPs are advertised to, although nodes speak BGP with others, too.
    pub(crate) only_to: Option<usize>,
    /// The router on the nodes' subnet that they speak BGP with, if any; only that router then speaks BGP with its
    /// leaf.
    pub(crate) router: Option<Router>,
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) services: Vec<ServicePlan>,
}

/// A router or reflector between the nodes of a cluster and the fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Router {
    /// The leaf it is plugged into.
    pub(crate) leaf: usize,
    /// Whether it is the next-hop of what it passes on; the operator then knows that, and has configured it as transit.
    /// Otherwise the nodes are the next-hops.
    pub(crate) next_hop_self: bool,
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    /// The leaves it has cables to.
    pub(crate) leaves: Vec<usize>,
    /// The leaves it speaks BGP with.
    pub(crate) peers: Vec<usize>,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Whether it speaks from a loopback, to which its leaves have a static route.
    pub(crate) loopback: bool,
    /// Whether the next-hop of its routes is another of its addresses than the one it speaks from.
    pub(crate) other_hop: bool,
    pub(crate) known: Known,
    /// The value of its label `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub(crate) excluded: Option<&'static str>,
    pub(crate) network_unavailable: bool,
    /// Whether it has the label that [`ClusterPlan::narrowed`] asks for.
    pub(crate) labeled: bool,
}

/// The source from which the address that a node speaks from is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Internal,
    External,
    Annotation,
    Fabric,
    /// None: Kubernetes knows another address.
    Hidden,
}

/// One service.
#[derive(Clone, Debug)]
pub(crate) struct ServicePlan {
    pub(crate) local: bool,
    pub(crate) vips: Vec<VipPlan>,
    pub(crate) endpoints: Vec<(Option<usize>, PodState)>,
    /// Whether its loadBalancerClass belongs to another implementation.
    pub(crate) foreign_class: bool,
    /// Whether its VIPs are externalIPs.
    pub(crate) external: bool,
    pub(crate) kind: Kind,
}

/// What serves a service besides its endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Plain,
    /// A Cilium Gateway: a proxy on every node, and an endpoint that stands for it.
    Gateway,
    /// Endpoints of the other clusters of a Cilium mesh.
    Global,
}

/// One VIP, by its number in the pool of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VipPlan {
    pub(crate) pool: usize,
    pub(crate) number: usize,
    pub(crate) v6: bool,
    /// Whether it is in the subnet of the nodes, not in the pool.
    pub(crate) l2: bool,
}

/// The conditions of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodState {
    Ready,
    /// Terminating and serving.
    Draining,
    Unready,
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address as we write it")
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix as we write it")
}

impl VipPlan {
    pub(crate) fn address(self) -> IpAddr {
        let (pool, number) = (self.pool + 1, self.number + 1);
        if self.l2 {
            return ip(&if self.v6 {
                format!("fd00:{pool}:0::f:{number}")
            } else {
                format!("10.{pool}.0.{}", 200 + number)
            });
        }
        if self.v6 { ip(&format!("fd99:{pool}::{number}")) } else { ip(&format!("172.20.{pool}.{number}")) }
    }
}

/// Returns the pool of a cluster's VIPs.
pub(crate) fn pool(cluster: usize, v6: bool) -> IpNet {
    let pool = cluster + 1;
    if v6 { net(&format!("fd99:{pool}::/112")) } else { net(&format!("172.20.{pool}.0/24")) }
}

/// Returns the prefix that covers all pools.
pub(crate) fn all_pools(v6: bool) -> IpNet {
    net(if v6 { "fd99::/16" } else { "172.20.0.0/14" })
}

pub(crate) fn vtep(leaf: usize) -> IpAddr {
    ip(&format!("10.0.0.{}", leaf + 1))
}

/// Returns the address that a leaf has for sessions with nodes that name each of their leaves.
pub(crate) fn peer_address(leaf: usize, v6: bool) -> IpAddr {
    let leaf = leaf + 1;
    ip(&if v6 { format!("fd00:fd::{leaf}") } else { format!("10.253.0.{leaf}") })
}

/// The second name of the first cluster.
pub(crate) const AGAIN: &str = "c1-again";

pub(crate) fn leaf_name(leaf: usize) -> String {
    format!("leaf{}", leaf + 1)
}

pub(crate) fn vrf_name(vrf: usize) -> String {
    format!("ip-vrf-{}", vrf + 1)
}

pub(crate) fn cluster_name(cluster: usize) -> String {
    format!("c{}", cluster + 1)
}

pub(crate) fn node_name((cluster, node): NodeId) -> String {
    format!("c{}-n{}", cluster + 1, node + 1)
}

impl Plan {
    pub(crate) fn node(&self, (cluster, node): NodeId) -> &NodePlan {
        &self.clusters[cluster].nodes[node]
    }

    pub(crate) fn service(&self, (cluster, service): ServiceId) -> &ServicePlan {
        &self.clusters[cluster].services[service]
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        (0..self.clusters.len())
            .flat_map(|cluster| (0..self.clusters[cluster].nodes.len()).map(move |node| (cluster, node)))
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = ServiceId> {
        (0..self.clusters.len())
            .flat_map(|cluster| (0..self.clusters[cluster].services.len()).map(move |service| (cluster, service)))
    }

    pub(crate) fn vrfs(&self) -> usize {
        self.clusters.iter().map(|cluster| cluster.vrf.max(cluster.configured_vrf) + 1).max().unwrap_or(1)
    }

    /// Returns the subnet that a node's interface is in.
    pub(crate) fn subnet(&self, node: NodeId, v6: bool) -> IpNet {
        let rack = if self.stretched { 0 } else { self.node(node).leaves.first().map_or(0, |leaf| leaf + 1) };
        let cluster = node.0 + 1;
        if v6 { net(&format!("fd00:{cluster}:{rack}::/64")) } else { net(&format!("10.{cluster}.{rack}.0/24")) }
    }

    /// Returns the address of a node's interface.
    pub(crate) fn interface(&self, node: NodeId, v6: bool) -> IpAddr {
        let number = 11 + node.1;
        match self.subnet(node, v6) {
            IpNet::V4(subnet) => ip(&format!("{}{number}", subnet.network().to_string().trim_end_matches('0'))),
            IpNet::V6(subnet) => ip(&format!("{}{number}", subnet.network())),
        }
    }

    /// Returns the address that a node speaks from.
    pub(crate) fn speaks_from(&self, node: NodeId, v6: bool) -> IpAddr {
        let (cluster, number) = (node.0 + 1, 11 + node.1);
        match (self.node(node).loopback, v6) {
            (false, _) => self.interface(node, v6),
            (true, false) => ip(&format!("10.255.{cluster}.{number}")),
            (true, true) => ip(&format!("fd00:ff:{cluster}::{number}")),
        }
    }

    /// Returns the next-hop of a node's routes.
    pub(crate) fn next_hop(&self, node: NodeId, v6: bool) -> IpAddr {
        if self.node(node).other_hop { self.interface(node, v6) } else { self.session(node, v6) }
    }

    /// Returns the address of a node with which leaves have a session.
    pub(crate) fn session(&self, node: NodeId, v6: bool) -> IpAddr {
        match self.clusters[node.0].unnumbered {
            true => ip(&format!("fe80::{}:{}", node.0 + 1, 11 + node.1)),
            false => self.speaks_from(node, v6),
        }
    }

    /// Returns the address of a cluster's router.
    pub(crate) fn router(cluster: usize, v6: bool) -> IpAddr {
        let cluster = cluster + 1;
        ip(&if v6 { format!("fd00:{cluster}:0::5") } else { format!("10.{cluster}.0.5") })
    }

    /// Returns an address of a node that no leaf ever sees.
    pub(crate) fn hidden(node: NodeId) -> IpAddr {
        ip(&format!("192.168.{}.{}", node.0 + 1, 11 + node.1))
    }
}
