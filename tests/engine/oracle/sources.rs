//! What is heard of the sources, and how long each is waited for.

use srl_k8s_services::model::event::SourceId;

use super::{Cluster, DARK, GNMI_WAIT, Oracle};

impl<'a> Oracle<'a> {
    pub(super) fn kubernetes_synced(&self, cluster: Cluster<'_>) -> bool {
        self.world.source_of(&SourceId::Kubernetes(cluster.name.clone())).synced_once
    }

    /// Sessions and FIB status are known only while gNMI is heard.
    pub(super) fn gnmi_heard(&self) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi);
        gnmi.synced_once && gnmi.lost_since.is_none()
    }

    /// Row 1: a source has not finished its first sync; gNMI is waited for 30 s.
    pub(super) fn syncing(&self, cluster: Cluster<'_>) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi).synced_once || self.now.elapsed >= GNMI_WAIT;
        !(self.world.source_of(&SourceId::Ndk).synced_once && gnmi && self.kubernetes_synced(cluster))
    }

    /// Row 2: the switch's own tables have been out of reach for more than 15 s.
    pub(super) fn switch_stale(&self) -> bool {
        self.world.source_of(&SourceId::Ndk).lost_since.is_some_and(|since| self.now.elapsed >= since + DARK)
    }
}
