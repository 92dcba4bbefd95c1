//! Whether the sources are heard, and for how long each is awaited.

use srl_k8s_services::model::source::SourceId;

use super::{Cluster, DARK, GNMI_WAIT, Oracle};

impl<'a> Oracle<'a> {
    pub(super) fn kubernetes_synced(&self, cluster: Cluster<'_>) -> bool {
        self.world.source_of(&SourceId::Kubernetes(cluster.name.clone())).synced_once
    }

    /// Returns whether gNMI is heard. Only then are sessions and FIB status known.
    pub(super) fn gnmi_heard(&self) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi);
        gnmi.synced_once && gnmi.lost_since.is_none()
    }

    /// Row 1: returns whether a source has not finished its first sync. gNMI is awaited for 30 s.
    pub(super) fn syncing(&self, cluster: Cluster<'_>) -> bool {
        let gnmi = self.world.source_of(&SourceId::Gnmi).synced_once || self.now.elapsed >= GNMI_WAIT;
        !(self.world.source_of(&SourceId::Ndk).synced_once && gnmi && self.kubernetes_synced(cluster))
    }

    /// Row 2: returns whether the switch's own tables have been unavailable, or being sent again, for more than 15 s.
    pub(super) fn switch_stale(&self) -> bool {
        let ndk = self.world.source_of(&SourceId::Ndk);
        ndk.lost_since.or(ndk.anew_since).is_some_and(|since| self.now.elapsed >= since + DARK)
    }

    /// Returns whether the switch is sending its tables again and the previously published state holds.
    pub(super) fn told_anew(&self) -> bool {
        let ndk = self.world.source_of(&SourceId::Ndk);
        ndk.synced_once && ndk.anew_since.is_some() && !self.switch_stale()
    }
}
