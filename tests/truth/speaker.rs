//! Which prefixes the speaker of a node announces for a VIP, according to the speakers' sources.

use ipnet::IpNet;
use srl_k8s_services::model::config::Speaker;

use crate::plan::{Kind, NodeId, Plan, PodState, ServiceId, VipPlan, pool};

type Endpoints<'a> = &'a [(Option<usize>, PodState)];

/// Returns the prefixes of a VIP that a node's speaker announces, based on the endpoints that it believes in.
pub(crate) fn announced(
    plan: &Plan,
    node: NodeId,
    service: ServiceId,
    vip: VipPlan,
    endpoints: Endpoints<'_>,
) -> Vec<IpNet> {
    let cluster = &plan.clusters[node.0];
    let (node_plan, service) = (plan.node(node), plan.service(service));
    let here = |usable: &[PodState]| endpoints.iter().any(|(on, state)| *on == Some(node.1) && usable.contains(state));
    let anywhere = |usable: &[PodState]| endpoints.iter().any(|(_, state)| usable.contains(state));
    let host = IpNet::from(vip.address());
    let aggregated = match cluster.aggregate {
        Some(length) if !vip.v6 => IpNet::new(vip.address(), length).map_or(host, |net| net.trunc()),
        _ => host,
    };
    let selected = !cluster.narrowed || node_plan.labeled;
    let when = |announces: bool, prefix: IpNet| announces.then_some(prefix).into_iter().collect::<Vec<_>>();
    if service.external && matches!(cluster.speaker, Speaker::Metallb | Speaker::KubeVip) {
        return Vec::new();
    }
    match cluster.speaker {
        // pkg/services: a VIP is added when the Service appears; endpoints are watched only under policy Local.
        Speaker::KubeVip => {
            let served = !service.local || here(&[PodState::Ready, PodState::Draining]);
            when(!service.foreign_class && selected && served, host)
        }
        Speaker::Metallb | Speaker::Generic => {
            let usable = [PodState::Ready, PodState::Draining];
            let metallb = cluster.speaker == Speaker::Metallb;
            let barred = !selected || metallb && (node_plan.excluded.is_some() || node_plan.network_unavailable);
            let served = if service.local { here(&usable) } else { anywhere(&usable) };
            when(!service.foreign_class && !barred && served, aggregated)
        }
        Speaker::Cilium => {
            let served = !service.local || here(&[PodState::Ready]) || service.kind == Kind::Gateway;
            let prefix = if service.local { host } else { aggregated };
            when(!service.foreign_class && selected && served, prefix)
        }
        Speaker::Calico => {
            let barred = node_plan.excluded == Some("true");
            let mut prefixes = when(!barred, pool(vip.pool, vip.v6));
            prefixes.extend(when(!barred && service.local && here(&[PodState::Ready]), host));
            prefixes
        }
        Speaker::KubeRouter => {
            let any = [PodState::Ready, PodState::Draining, PodState::Unready];
            when(!service.local || here(&any), host)
        }
    }
}
