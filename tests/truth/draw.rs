//! Draws fabrics from seeds.

use srl_k8s_services::model::config::Speaker;

use crate::plan::{
    ClusterPlan, Kind, Known, LeafPlan, NodePlan, Plan, PodState, Router, ServicePlan, Summary, VipPlan,
};
use crate::rng::Rng;
use crate::{extras, fault};

/// Returns the fabric of a seed.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut rng = Rng::new(seed);
    let rng = &mut rng;
    let leaves = rng.between(1, 5);
    let gateways = rng.chance(30);
    let mut plan = Plan {
        leaves: (0..leaves).map(|_| LeafPlan { gateways: gateways || rng.chance(20) }).collect(),
        stretched: rng.chance(60),
        host_routes: rng.chance(75),
        prefer_local: rng.chance(70),
        multipath: if rng.chance(85) { 64 } else { rng.between(1, 2) },
        summary: rng
            .chance(20)
            .then(|| (rng.below(leaves), if rng.chance(50) { Summary::Discard } else { Summary::World })),
        default_from: rng.chance(30).then(|| rng.below(leaves)),
        ..Plan::default()
    };
    let clusters = if rng.chance(75) { 1 } else { 2 };
    let two_vrfs = rng.chance(25);
    for number in 0..clusters {
        let cluster = cluster(&plan, number, two_vrfs, rng);
        plan.clusters.push(cluster);
    }
    share(&mut plan, rng);
    for _ in 0..rng.between(1, 3) {
        let faults = if rng.chance(60) { 1 } else { rng.between(2, 4) };
        let step = (0..faults).filter_map(|_| fault::draw(&plan, rng)).collect();
        plan.steps.push(step);
    }
    extras::add(&mut plan, seed);
    plan
}

fn cluster(plan: &Plan, number: usize, two_vrfs: bool, rng: &mut Rng) -> ClusterPlan {
    let speaker = *rng.pick(&Speaker::ALL);
    let readable = !matches!(speaker, Speaker::Generic | Speaker::KubeRouter | Speaker::KubeVip) && rng.chance(50);
    let (v4, v6) = *rng.pick(&[(true, false), (true, false), (false, true), (true, true)]);
    let vrf = usize::from(two_vrfs && number == 1);
    let aggregates = readable && matches!(speaker, Speaker::Metallb | Speaker::Cilium);
    let nodes = rng.between(1, 5);
    let pairs = plan.leaves.len() > 1 && rng.chance(35);
    let odd_known = rng.chance(25);
    let odd_labels = rng.chance(20);
    let loopback = rng.chance(10);
    let extended = v4 && v6 && rng.chance(30);
    let other_hop = loopback && rng.chance(50);
    let router = (plan.stretched && rng.chance(12)).then(|| Router {
        leaf: rng.below(plan.leaves.len()),
        // With host routes in EVPN, a node's own address leads to its leaf, which would send packets back to this one.
        next_hop_self: plan.host_routes || rng.chance(60),
    });
    let selectable = matches!(speaker, Speaker::Generic | Speaker::KubeVip) || speaker == Speaker::Metallb && !readable;
    let mut cluster = ClusterPlan {
        speaker,
        readable,
        statuses: readable && speaker == Speaker::Metallb && rng.chance(60),
        narrowed: (readable && matches!(speaker, Speaker::Metallb | Speaker::Cilium) || selectable) && rng.chance(25),
        aggregate: (aggregates && rng.chance(15)).then_some(24),
        vrf,
        configured_vrf: if two_vrfs && rng.chance(4) { 1 - vrf } else { vrf },
        v4,
        v6,
        extended,
        dynamic: rng.chance(50),
        pool: rng.chance(40),
        shared: false,
        l2: false,
        unnumbered: false,
        only_to: None,
        router,
        nodes: Vec::new(),
        services: Vec::new(),
    };
    for _ in 0..nodes {
        let leaves = racks(plan, pairs, rng);
        let mut peers = leaves.clone();
        if peers.len() == 2 && rng.chance(20) {
            peers.truncate(1);
        }
        if router.is_some() {
            peers.clear();
        }
        let known = [Known::External, Known::Annotation, Known::Fabric, Known::Hidden];
        cluster.nodes.push(NodePlan {
            leaves,
            peers,
            v4: v4 && !(extended && router.is_none() && rng.chance(40)),
            v6,
            loopback: loopback && router.is_none(),
            other_hop: other_hop && router.is_none(),
            known: if odd_known { *rng.pick(&known) } else { Known::Internal },
            excluded: (odd_labels && rng.chance(30)).then(|| *rng.pick(&["", "true"])),
            network_unavailable: odd_labels && rng.chance(15),
            labeled: rng.chance(70),
        });
    }
    for service in 0..rng.between(1, 3) {
        let service = self::service(&cluster, number, service, rng);
        cluster.services.push(service);
    }
    cluster
}

/// Returns the leaves that one node is plugged into.
fn racks(plan: &Plan, pairs: bool, rng: &mut Rng) -> Vec<usize> {
    let leaf = rng.below(plan.leaves.len());
    let twin = leaf ^ 1;
    if pairs && twin < plan.leaves.len() { vec![leaf & !1, leaf | 1] } else { vec![leaf] }
}

fn service(cluster: &ClusterPlan, number: usize, service: usize, rng: &mut Rng) -> ServicePlan {
    let families: Vec<bool> = match (cluster.v4, cluster.v6) {
        (true, true) if rng.chance(50) => vec![false, true],
        (true, _) => vec![false],
        _ => vec![true],
    };
    let vips = families.into_iter().map(|v6| VipPlan { pool: number, number: service, v6, l2: false }).collect();
    let endpoint = |rng: &mut Rng| {
        let node = (!rng.chance(3)).then(|| rng.below(cluster.nodes.len()));
        let state = match rng.below(20) {
            0 => PodState::Draining,
            1 => PodState::Unready,
            _ => PodState::Ready,
        };
        (node, state)
    };
    let endpoints = (0..rng.between(1, 4)).map(|_| endpoint(rng)).collect();
    let (local, foreign_class) = (rng.chance(50), rng.chance(2));
    ServicePlan { local, vips, endpoints, foreign_class, external: false, kind: Kind::Plain }
}

/// Makes services share VIPs, with another service of the cluster or with one of another cluster.
fn share(plan: &mut Plan, rng: &mut Rng) {
    for cluster in &mut plan.clusters {
        if cluster.services.len() > 1 && rng.chance(15) {
            // Services that share a VIP have the same endpoints under policy Local: MetalLB allows nothing else.
            cluster.services[1] = cluster.services[0].clone();
        }
    }
    if let [one, other] = &mut plan.clusters[..]
        && one.vrf == other.vrf
        && rng.chance(30)
    {
        let families = [(false, one.v4 && other.v4), (true, one.v6 && other.v6)];
        let vips = families.into_iter().filter(|(_, both)| *both);
        let vips: Vec<VipPlan> = vips.map(|(v6, _)| VipPlan { pool: 0, number: 0, v6, l2: false }).collect();
        // Nothing would show which of two services that share a VIP by their ports is the one of the other cluster.
        let others = |cluster: &ClusterPlan| {
            cluster.services.iter().skip(1).any(|other| other.vips.iter().any(|vip| vips.contains(vip)))
        };
        if !vips.is_empty() && !others(one) && !others(other) {
            // A service of another implementation is not known to claim the VIP.
            (one.services[0].foreign_class, other.services[0].foreign_class) = (false, false);
            one.services[0].vips.clone_from(&vips);
            other.services[0].vips = vips;
            let shared = rng.chance(60);
            (one.shared, other.shared) = (shared, shared);
        }
    }
}
