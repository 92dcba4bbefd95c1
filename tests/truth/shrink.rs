//! Finds the smallest plan that fails in the same way.

use crate::fault::Fault;
use crate::hold::{self, Wrong};
use crate::plan::{Known, Plan, PodState, ServicePlan};

/// Makes a plan smaller.
type Change = fn(&mut Plan);

/// Takes a change and tries it.
type Try<'a> = &'a mut dyn FnMut(&dyn Fn(&mut Plan));

/// A node or a service, by cluster and index.
type Id = (usize, usize);

/// Returns the first wrong word of a kind.
fn fails(plan: &Plan, seed: u64, kind: &str) -> Option<Wrong> {
    let (_, wrong) = hold::hold(plan, seed);
    wrong.into_iter().find(|wrong| wrong.kind == kind)
}

/// Removes everything that can be removed without making the failure disappear.
pub(crate) fn shrink(plan: &Plan, seed: u64, wrong: &Wrong) -> (Plan, Wrong) {
    let (mut plan, mut wrong) = (plan.clone(), wrong.clone());
    'again: loop {
        for smaller in smaller(&plan) {
            if let Some(same) = fails(&smaller, seed, &wrong.kind) {
                (plan, wrong) = (smaller, same);
                continue 'again;
            }
        }
        return (plan, wrong);
    }
}

/// Returns plans that are smaller by one thing each.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        plans.push(smaller);
    };
    for step in 0..plan.steps.len() {
        with(&|plan| _ = plan.steps.remove(step));
        for fault in 0..plan.steps[step].len() {
            with(&|plan| _ = plan.steps[step].remove(fault));
        }
    }
    if plan.clusters.len() > 1 {
        with(&|plan| without_cluster(plan));
    }
    for cluster in 0..plan.clusters.len() {
        let (nodes, services) = (plan.clusters[cluster].nodes.len(), plan.clusters[cluster].services.len());
        if services > 1 {
            with(&|plan| without_service(plan, cluster));
        }
        if nodes > 1 {
            with(&|plan| without_node(plan, cluster));
        }
        for service in 0..services {
            for endpoint in 0..plan.clusters[cluster].services[service].endpoints.len() {
                with(&|plan| _ = plan.clusters[cluster].services[service].endpoints.remove(endpoint));
            }
            if plan.clusters[cluster].services[service].vips.len() > 1 {
                with(&|plan| _ = plan.clusters[cluster].services[service].vips.pop());
                with(&|plan| _ = plan.clusters[cluster].services[service].vips.remove(0));
            }
        }
        simpler_cluster(plan, cluster, &mut with);
    }
    if plan.leaves.len() > 1 && !uses_leaf(plan, plan.leaves.len() - 1) {
        with(&|plan| _ = plan.leaves.pop());
    }
    let off: [(bool, Change); 6] = [
        (plan.twice, |plan| plan.twice = false),
        (plan.summary.is_some(), |plan| plan.summary = None),
        (plan.default_from.is_some(), |plan| plan.default_from = None),
        (!plan.stretched, |plan| plan.stretched = true),
        (!plan.prefer_local, |plan| plan.prefer_local = true),
        (plan.leaves.iter().any(|leaf| leaf.gateways), |plan| {
            plan.leaves.iter_mut().for_each(|leaf| leaf.gateways = false)
        }),
    ];
    for (is, change) in off {
        if is {
            with(&change);
        }
    }
    plans
}

fn simpler_cluster(plan: &Plan, at: usize, with: Try<'_>) {
    let cluster = &plan.clusters[at];
    if cluster.unnumbered {
        with(&|plan| plan.clusters[at].unnumbered = false);
    }
    if cluster.only_to.is_some() {
        with(&|plan| plan.clusters[at].only_to = None);
    }
    if cluster.pool {
        with(&|plan| plan.clusters[at].pool = false);
    }
    if cluster.dynamic {
        with(&|plan| plan.clusters[at].dynamic = false);
    }
    if cluster.statuses {
        with(&|plan| plan.clusters[at].statuses = false);
    }
    if cluster.router.is_none() && cluster.narrowed {
        with(&|plan| plan.clusters[at].narrowed = false);
    }
    if cluster.aggregate.is_some() {
        with(&|plan| plan.clusters[at].aggregate = None);
    }
    let odd = |service: &ServicePlan| service.endpoints.iter().any(|(_, state)| *state != PodState::Ready);
    if cluster.services.iter().any(odd) {
        with(&|plan| {
            let services = plan.clusters[at].services.iter_mut();
            services.flat_map(|service| &mut service.endpoints).for_each(|endpoint| endpoint.1 = PodState::Ready);
        });
    }
    for node in 0..cluster.nodes.len() {
        if cluster.nodes[node].leaves.len() > 1 {
            with(&|plan| {
                let node = &mut plan.clusters[at].nodes[node];
                node.leaves.truncate(1);
                if !node.peers.is_empty() {
                    node.peers.clone_from(&node.leaves);
                }
            });
        }
        if cluster.nodes[node].known != Known::Internal {
            with(&|plan| plan.clusters[at].nodes[node].known = Known::Internal);
        }
        if cluster.nodes[node].other_hop {
            with(&|plan| plan.clusters[at].nodes[node].other_hop = false);
        }
        if cluster.nodes[node].loopback {
            with(&|plan| plan.clusters[at].nodes[node].loopback = false);
        }
    }
}

/// Removes the last cluster.
fn without_cluster(plan: &mut Plan) {
    let last = plan.clusters.len() - 1;
    plan.clusters.pop();
    keep(plan, |fault| {
        let (node, service) = parts(fault);
        node.is_none_or(|node| node.0 != last) && service.is_none_or(|service| service.0 != last)
    });
}

/// Removes the last service of a cluster.
fn without_service(plan: &mut Plan, cluster: usize) {
    let last = plan.clusters[cluster].services.len() - 1;
    plan.clusters[cluster].services.pop();
    keep(plan, |fault| parts(fault).1 != Some((cluster, last)));
}

/// Removes the last node of a cluster.
fn without_node(plan: &mut Plan, cluster: usize) {
    let last = plan.clusters[cluster].nodes.len() - 1;
    plan.clusters[cluster].nodes.pop();
    for service in &mut plan.clusters[cluster].services {
        service.endpoints.retain(|(on, _)| *on != Some(last));
    }
    keep(plan, |fault| {
        let on = match fault {
            Fault::PodsUnready(service, on) | Fault::PodsDraining(service, on) => Some((service.0, *on)),
            _ => None,
        };
        parts(fault).0 != Some((cluster, last)) && on != Some((cluster, last))
    });
}

fn keep(plan: &mut Plan, keep: impl Fn(&Fault) -> bool) {
    plan.steps.iter_mut().for_each(|step| step.retain(&keep));
}

/// Returns the node and the service that a fault concerns; a cluster counts as a service of it.
fn parts(fault: &Fault) -> (Option<Id>, Option<Id>) {
    use crate::fault::StaticTo;
    match fault {
        Fault::Session(node, _) | Fault::Cable(node, _) | Fault::NodeDown(node) | Fault::Moved(node, _) => {
            (Some(*node), None)
        }
        Fault::Stale(node, _) | Fault::Stuck(node) | Fault::Silent(node) => (Some(*node), None),
        Fault::PodsGone(service) | Fault::PodsUnready(service, _) | Fault::PodsDraining(service, _) => {
            (None, Some(*service))
        }
        Fault::Reject(_, service) | Fault::Fib(_, service) | Fault::Leaked(_, service) => (None, Some(*service)),
        Fault::StaleArp(_, service)
        | Fault::Stranger(_, service)
        | Fault::Duplicate(_, service)
        | Fault::Unasked(_, service) => (None, Some(*service)),
        Fault::Static(_, service, StaticTo::Node(node)) => (Some(*node), Some(*service)),
        Fault::Static(_, service, _) => (None, Some(*service)),
        Fault::NoInstance(_, cluster) | Fault::ApiLost(cluster) => (None, Some((*cluster, usize::MAX))),
        Fault::Evpn(_)
        | Fault::Isolated(_)
        | Fault::OnePath(_)
        | Fault::GnmiLost(_)
        | Fault::FibRefused(_)
        | Fault::NdkLost(_) => (None, None),
    }
}

fn uses_leaf(plan: &Plan, leaf: usize) -> bool {
    if plan.clusters.iter().any(|cluster| cluster.router.is_some_and(|router| router.leaf == leaf)) {
        return true;
    }
    let of_fault = |fault: &Fault| match fault {
        Fault::Session(_, on) | Fault::Cable(_, on) | Fault::Moved(_, on) | Fault::Stale(_, on) => *on == leaf,
        Fault::Reject(on, _) | Fault::Fib(on, _) | Fault::Leaked(on, _) | Fault::Static(on, ..) => *on == leaf,
        Fault::Evpn(on) | Fault::Isolated(on) | Fault::OnePath(on) | Fault::NoInstance(on, _) => *on == leaf,
        Fault::GnmiLost(on) | Fault::FibRefused(on) | Fault::NdkLost(on) => *on == leaf,
        Fault::StaleArp(on, _) | Fault::Stranger(on, _) | Fault::Duplicate(on, _) | Fault::Unasked(on, _) => {
            *on == leaf
        }
        _ => false,
    };
    plan.clusters.iter().any(|cluster| cluster.only_to == Some(leaf))
        || plan.nodes().any(|node| plan.node(node).leaves.contains(&leaf))
        || plan.summary.is_some_and(|(on, _)| on == leaf)
        || plan.default_from == Some(leaf)
        || plan.steps.iter().flatten().any(of_fault)
}
