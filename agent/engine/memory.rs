//! What is remembered of attachments: a dynamic neighbor vanishes from state when its session drops.

use std::net::IpAddr;

use crate::model::memory::{Attachment, Memory};
use crate::model::names::{ClusterName, NodeName};

/// Nodes that have, or had, a BGP neighbor here.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    memory: Memory,
    said: Memory,
}

impl Remembered {
    /// What an earlier life remembered.
    pub(super) fn load(&mut self, memory: Memory) {
        self.said = memory.clone();
        self.memory.attachments.extend(memory.attachments);
    }

    pub(super) fn holds(&self, cluster: &ClusterName, node: &NodeName, address: IpAddr) -> bool {
        self.memory.attachments.contains(&attachment(cluster, node, address))
    }

    pub(super) fn keep(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) {
        self.memory.attachments.insert(attachment(cluster, node, address));
    }

    pub(super) fn forget(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) {
        self.memory.attachments.remove(&attachment(cluster, node, address));
    }

    /// Forgets every node of a cluster that is not told of any more.
    pub(super) fn forget_nodes(&mut self, cluster: &ClusterName, exists: impl Fn(&NodeName) -> bool) {
        self.memory.attachments.retain(|known| known.cluster != *cluster || exists(&known.node));
    }

    /// Forgets every cluster that is not configured.
    pub(super) fn forget_clusters(&mut self, configured: impl Fn(&ClusterName) -> bool) {
        self.memory.attachments.retain(|known| configured(&known.cluster));
    }

    /// What the state file should hold, if it is different from what was said before.
    pub(super) fn news(&mut self) -> Option<Memory> {
        if self.memory == self.said {
            return None;
        }
        self.said = self.memory.clone();
        Some(self.memory.clone())
    }
}

fn attachment(cluster: &ClusterName, node: &NodeName, address: IpAddr) -> Attachment {
    Attachment { cluster: cluster.clone(), node: node.clone(), address }
}
