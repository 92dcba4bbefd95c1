//! Taking in what a speaker's own resources say.

use super::Engine;
use super::absorb::mark_cluster;
use super::ids::{ClusterId, NodeId};
use crate::model::event::Update;
use crate::model::names::NodeName;
use crate::model::speaker::{ObjectKey, ResourceState, SpeakerObject, SpeakerResource, StatusKey};

impl Engine {
    /// A resource is followed, or is not any more.
    pub(super) fn speaker_resource(&mut self, id: ClusterId, resource: SpeakerResource, state: ResourceState) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if cluster.knowledge.set_state(resource, state) {
            self.rules_changed(id, resource, None);
        }
    }

    /// Objects of a resource changed.
    pub(super) fn speaker_objects(
        &mut self,
        id: ClusterId,
        resource: SpeakerResource,
        update: Update<ObjectKey, SpeakerObject>,
    ) {
        let only = match &update {
            Update::Set(key, _) | Update::Gone(key) => Some(NodeName::from(key.name.clone())),
            Update::All(_) => None,
        };
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        if cluster.knowledge.set_objects(resource, update) {
            self.rules_changed(id, resource, only);
        }
    }

    /// Speakers say something else of what they announce.
    pub(super) fn announcements(&mut self, id: ClusterId, update: Update<StatusKey, ()>) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        for service in cluster.knowledge.set_statuses(update) {
            self.endpoints_changed(id, &service);
        }
    }

    /// Everything that is read from a resource is worked out again; `object` is the only one that changed.
    fn rules_changed(&mut self, id: ClusterId, resource: SpeakerResource, object: Option<NodeName>) {
        let Some(cluster) = self.clusters.get_mut(&id) else { return };
        match resource {
            SpeakerResource::MetallbPools | SpeakerResource::CiliumPools | SpeakerResource::CalicoPools => {
                self.orphans.all |= cluster.gather_pools();
            }
            _ => {}
        }
        cluster.rules_changed();
        mark_cluster(cluster);
        let moved: Vec<u32> = match (resource, object) {
            (SpeakerResource::CiliumNodes, Some(node)) => cluster.node_slot(&node).into_iter().collect(),
            (SpeakerResource::CiliumNodes | SpeakerResource::MetallbPeers, _) => {
                cluster.nodes.iter().map(|(slot, _)| slot).collect()
            }
            _ => Vec::new(),
        };
        for slot in moved {
            self.relocate(NodeId { cluster: id, slot });
        }
        self.mark_neighbors_of(id);
    }
}
