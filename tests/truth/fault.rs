//! The faults that a plan can have.

use crate::plan::{NodeId, Plan, ServiceId};
use crate::rng::Rng;

/// One thing that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The BGP session of a node to a leaf is down, but packets pass.
    Session(NodeId, usize),
    /// The cable between a node and a leaf is cut.
    Cable(NodeId, usize),
    /// The node is off.
    NodeDown(NodeId),
    /// A service has no endpoints.
    PodsGone(ServiceId),
    /// A service's endpoints on a node are not ready.
    PodsUnready(ServiceId, usize),
    /// A service's endpoints on a node are terminating and still serve.
    PodsDraining(ServiceId, usize),
    /// A leaf's import policy rejects a service's VIPs.
    Reject(usize, ServiceId),
    /// A leaf's hardware does not accept the routes of a service's VIPs.
    Fib(usize, ServiceId),
    /// A node is plugged into another leaf.
    Moved(NodeId, usize),
    /// A leaf has a static route for a service's VIPs.
    Static(usize, ServiceId, StaticTo),
    /// The session of a node to a leaf is down, and graceful restart keeps its routes.
    Stale(NodeId, usize),
    /// A leaf has lost its EVPN sessions; its tunnels work.
    Evpn(usize),
    /// A leaf's uplinks are cut.
    Isolated(usize),
    /// The speaker of a node continues with the endpoints that it had before.
    Stuck(NodeId),
    /// The speaker of a node announces nothing.
    Silent(NodeId),
    /// A leaf installs only one next-hop of a route.
    OnePath(usize),
    /// A leaf's import policy puts a service's VIPs into another VRF.
    Leaked(usize, ServiceId),
    /// The network instance of a cluster is not on a leaf.
    NoInstance(usize, usize),
    /// The gNMI server of a leaf cannot be reached.
    GnmiLost(usize),
    /// The gNMI server of a leaf refuses the request for FIB programming.
    FibRefused(usize),
    /// The NDK of a leaf cannot be reached.
    NdkLost(usize),
    /// The API of a cluster cannot be reached.
    ApiLost(usize),
    /// The ARP or ND entry of a leaf for a service's VIPs belongs to the node that would answer if nothing were broken.
    StaleArp(usize, ServiceId),
    /// A host that is not a node has the address, and was the last to answer a leaf.
    Stranger(usize, ServiceId),
    /// As `Stranger`, but that host and the node that rightly has the address answer in turn.
    Duplicate(usize, ServiceId),
    /// Nobody has asked for a service's VIPs on a leaf.
    Unasked(usize, ServiceId),
}

/// The destination of a static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StaticTo {
    Node(NodeId),
    Discard,
    /// An address that no host has.
    Nobody,
}

/// Draws one fault that fits a plan.
pub(crate) fn draw(plan: &Plan, rng: &mut Rng) -> Option<Fault> {
    let nodes: Vec<NodeId> = plan.nodes().collect();
    let services: Vec<ServiceId> = plan.services().collect();
    if nodes.is_empty() || services.is_empty() {
        return None;
    }
    let (node, service) = (*rng.pick(&nodes), *rng.pick(&services));
    let leaf = rng.below(plan.leaves.len());
    let on = rng.below(plan.clusters[service.0].nodes.len());
    let peer = |rng: &mut Rng| plan.node(node).peers.get(rng.below(plan.node(node).peers.len().max(1))).copied();
    Some(match rng.below(33) {
        0..3 => Fault::Session(node, peer(rng)?),
        3..6 => Fault::Cable(node, *rng.pick(&plan.node(node).leaves)),
        6..9 => Fault::NodeDown(node),
        9..11 => Fault::PodsGone(service),
        11..13 => Fault::PodsUnready(service, on),
        13 => Fault::PodsDraining(service, on),
        14..16 => Fault::Reject(leaf, service),
        16 => Fault::Fib(leaf, service),
        17 if plan.stretched => Fault::Moved(node, leaf),
        18 => Fault::Static(
            leaf,
            service,
            match rng.below(3) {
                0 if plan.node(node).leaves.contains(&leaf) => StaticTo::Node(node),
                1 => StaticTo::Discard,
                _ => StaticTo::Nobody,
            },
        ),
        19 => Fault::Stale(node, peer(rng)?),
        20 => Fault::Evpn(leaf),
        21 => Fault::Isolated(leaf),
        22..24 => Fault::Stuck(node),
        24 => Fault::Silent(node),
        25 => Fault::OnePath(leaf),
        26 => Fault::Leaked(leaf, service),
        27 => Fault::NoInstance(leaf, service.0),
        28 => Fault::GnmiLost(leaf),
        29 => Fault::NdkLost(leaf),
        30 => Fault::ApiLost(service.0),
        31 => Fault::FibRefused(leaf),
        _ => return None,
    })
}
