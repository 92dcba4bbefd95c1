//! What only few fabrics have: VIPs announced by ARP and ND, externalIPs, Gateways, a mesh of clusters, unnumbered
//! sessions, VIPs for some peers only, a cluster configured twice. It is drawn from a random source of its own, so that everything else a seed draws stays as it is.

use srl_k8s_services::model::config::Speaker;

use crate::fault::Fault;
use crate::plan::{ClusterPlan, Kind, Plan, PodState};
use crate::rng::Rng;

/// Changes a few of the drawn clusters and of the faults.
pub(crate) fn add(plan: &mut Plan, seed: u64) {
    let rng = &mut Rng::new(seed ^ 0x5851_f42d_4c95_7f2d);
    let stretched = plan.stretched;
    let alone = plan.clusters.len() == 1;
    for cluster in &mut plan.clusters {
        if stretched && alone && rng.chance(9) {
            by_arp(cluster, rng);
        } else if cluster.router.is_none() && rng.chance(3) {
            cluster.unnumbered = !cluster.nodes.iter().any(|node| node.loopback || node.other_hop);
        }
        if !cluster.l2 && alone {
            services(cluster, rng);
        }
    }
    for at in 0..plan.steps.len() {
        if plan.clusters[0].l2 && rng.chance(60) {
            let (leaf, service) = (rng.below(plan.leaves.len()), (0, rng.below(plan.clusters[0].services.len())));
            let faults =
                [Fault::StaleArp, Fault::Stranger, Fault::Duplicate, Fault::Unasked].map(|fault| fault(leaf, service));
            plan.steps[at].push(*rng.pick(&faults));
        }
    }
    peers(plan, &mut Rng::new(seed ^ 0x6a09_e667_f3bc_c909));
    let rng = &mut Rng::new(seed ^ 0x2545_f491_4f6c_dd1d);
    for cluster in plan.clusters.iter_mut().filter(|cluster| cluster.l2) {
        draw_speaker_resources(cluster, rng);
    }
}

/// Draws whether MetalLB's nodes advertise VIPs to only one of the leaves that they speak with, and whether the first
/// cluster is configured twice.
fn peers(plan: &mut Plan, rng: &mut Rng) {
    for cluster in &mut plan.clusters {
        let apart = cluster.router.is_none() && !cluster.unnumbered && !cluster.l2;
        let pair = cluster.nodes.iter().find(|node| node.peers.len() > 1).map(|node| node.peers.clone());
        if let Some(pair) = pair.filter(|_| cluster.speaker == Speaker::Metallb && cluster.readable && apart)
            && rng.chance(60)
        {
            cluster.only_to = Some(*rng.pick(&pair));
        }
    }
    plan.twice = rng.chance(4);
}

/// Draws whether the speaker's resources show that its VIPs are answered for, and whether MetalLB's speakers show which
/// node answers.
fn draw_speaker_resources(cluster: &mut ClusterPlan, rng: &mut Rng) {
    let tells = matches!(cluster.speaker, Speaker::Metallb | Speaker::Cilium) && !cluster.narrowed;
    cluster.readable = tells && rng.chance(50);
    cluster.statuses = cluster.readable && cluster.speaker == Speaker::Metallb && rng.chance(70);
}

/// Puts the VIPs of a cluster into the nodes' subnet, where one node answers for each of them.
fn by_arp(cluster: &mut ClusterPlan, rng: &mut Rng) {
    if matches!(cluster.speaker, Speaker::Calico | Speaker::KubeRouter) || rng.chance(30) {
        cluster.speaker = if rng.chance(50) { Speaker::Metallb } else { Speaker::KubeVip };
    }
    cluster.narrowed &= cluster.speaker != Speaker::Cilium;
    (cluster.l2, cluster.readable, cluster.statuses) = (true, false, false);
    (cluster.aggregate, cluster.pool, cluster.extended, cluster.router) = (None, false, false, None);
    for node in &mut cluster.nodes {
        node.peers.clear();
        (node.v4, node.v6, node.loopback, node.other_hop) = (cluster.v4, cluster.v6, false, false);
    }
    for (at, service) in cluster.services.iter_mut().enumerate() {
        for vip in &mut service.vips {
            (vip.l2, vip.number) = (true, at);
        }
    }
}

fn services(cluster: &mut ClusterPlan, rng: &mut Rng) {
    let shared =
        |at: usize| cluster.services.iter().filter(|other| other.vips == cluster.services[at].vips).count() > 1;
    let alone: Vec<bool> = (0..cluster.services.len()).map(|at| !shared(at)).collect();
    for (service, _) in cluster.services.iter_mut().zip(alone).filter(|(_, alone)| *alone) {
        match rng.below(100) {
            0..8 if cluster.speaker == Speaker::Cilium => {
                (service.kind, service.local) = (Kind::Gateway, true);
                service.endpoints = vec![(None, PodState::Ready)];
            }
            8..16 if cluster.speaker == Speaker::Cilium => service.kind = Kind::Global,
            16..20 => service.external = true,
            _ => {}
        }
    }
}
