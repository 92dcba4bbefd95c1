//! Makes the published state of the root, the clusters and the summary.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::service::Counts;
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::inquiry::Inquiries;
use crate::engine::facts::sources::{NdkPhase, Phase, Source, Sources};
use crate::engine::facts::switch::Switch;
use crate::model::config::{ClusterConfig, Config};
use crate::model::names::ClusterName;
use crate::model::source::SourceId;
use crate::model::time::at;
use crate::model::verdict::OperState;
use crate::model::view::{ClusterCounts, ClusterView, RootView, SummaryView};

const ADMIN_DISABLED: &str = "admin-disabled";

/// Returns the state of a cluster that is administratively disabled, by itself or by the root.
pub(crate) fn disabled(config: &Arc<ClusterConfig>) -> ClusterView {
    let reason = Some(ADMIN_DISABLED.into());
    ClusterView {
        config: Arc::clone(config),
        state: OperState::Down,
        reason,
        version: None,
        counts: None,
        speaker_resources: BTreeMap::new(),
    }
}

/// Returns the state of an enabled cluster. `twin` is a cluster of a lower name that is the same API.
pub(crate) fn cluster(
    cluster: &Cluster,
    source: &Source,
    switch: &Switch,
    inquiries: &Inquiries,
    phase: &Phase,
    twin: Option<&ClusterName>,
) -> ClusterView {
    let (state, mut reason) = cluster_state(cluster, source, switch, inquiries, phase);
    if let Some(twin) = twin.filter(|_| state == OperState::Up) {
        let same = format!("the same API as cluster {twin}: both list the same nodes");
        reason = Some(reason.map_or_else(|| same.as_str().into(), |reason| format!("{reason}; {same}").into()));
    }
    let counts = source.ever_synced.then(|| ClusterCounts {
        services: cluster.judged,
        endpoints: cluster.endpoint_count,
        nodes: cluster.nodes.len() as u32,
    });
    let config = Arc::clone(&cluster.config);
    let (version, speaker_resources) = (cluster.version.clone(), cluster.resources.states().clone());
    ClusterView { config, state, reason, version, counts, speaker_resources }
}

fn cluster_state(
    cluster: &Cluster,
    source: &Source,
    switch: &Switch,
    inquiries: &Inquiries,
    phase: &Phase,
) -> (OperState, Option<Arc<str>>) {
    let instance = &cluster.config.rules.network_instance;
    // An API server that answers counts as reached, even if it has not been listed yet.
    let reached = source.ever_synced || cluster.answers;
    let unroutable = inquiries.unroutable(switch, instance).filter(|_| phase.ndk != NdkPhase::Syncing);
    match &source.lost {
        Some(loss) if !reached => return (OperState::Down, Some(Arc::clone(&loss.why))),
        None if !reached => return (OperState::Down, Some("the API server has not answered yet".into())),
        _ if let Some(unroutable) = unroutable => {
            return (OperState::Down, Some(unroutable.sentence(instance).into()));
        }
        Some(loss) if !source.ever_synced => {
            let reason = format!("the first listing is under way, after a failure at {}: {}", at(loss.wall), loss.why);
            return (OperState::Degraded, Some(reason.into()));
        }
        Some(loss) => {
            let reason = format!("the API server has not been read since {}: {}", at(loss.wall), loss.why);
            return (OperState::Degraded, Some(reason.into()));
        }
        None => {}
    }
    let syncing = (!source.ever_synced).then(|| Arc::from("the first listing is under way"));
    (OperState::Up, syncing.or_else(|| cluster.caveat.clone()))
}

/// Returns the state of the root: the worst of its sources and clusters, but down only if none of them works.
pub(crate) fn root<'a>(
    config: &Config,
    sources: &Sources,
    clusters: impl Iterator<Item = (&'a str, &'a ClusterView)>,
) -> RootView {
    let (enabled, alarm_policy) = (config.enabled, config.alarm_policy);
    if !enabled {
        return RootView { enabled, state: OperState::Down, reason: Some(ADMIN_DISABLED.into()), alarm_policy };
    }
    let mut parts: Vec<(OperState, String)> = Vec::new();
    for (id, source) in sources.iter().filter(|(id, _)| !matches!(id, SourceId::Kubernetes(_))) {
        parts.push(match (&source.lost, source.ever_synced) {
            (Some(loss), _) => {
                (OperState::Down, format!("{id} has not been read since {}: {}", at(loss.wall), loss.why))
            }
            (None, false) => (OperState::Degraded, format!("{id} is syncing")),
            (None, true) => (OperState::Up, String::new()),
        });
    }
    for (name, view) in clusters.filter(|(_, view)| view.config.enabled) {
        let reason = view.reason.as_deref().unwrap_or_default();
        parts.push((view.state, format!("cluster {name}: {reason}")));
    }
    let troubled: Vec<&str> =
        parts.iter().filter(|(state, _)| *state != OperState::Up).map(|(_, reason)| reason.as_str()).collect();
    let state = match troubled.is_empty() {
        true => OperState::Up,
        false if parts.iter().all(|(state, _)| *state == OperState::Down) => OperState::Down,
        false => OperState::Degraded,
    };
    let reason = (!troubled.is_empty()).then(|| troubled.join("; ").into());
    RootView { enabled, state, reason, alarm_policy }
}

/// Returns the counts of services and VIPs.
pub(crate) fn summary(counts: &Counts) -> SummaryView {
    SummaryView {
        services: counts.services,
        vips: counts.vips.iter().sum(),
        vips_up: counts.of(OperState::Up),
        vips_degraded: counts.of(OperState::Degraded),
        vips_down: counts.of(OperState::Down),
        vips_unknown: counts.of(OperState::Unknown),
    }
}
