//! Remembers attachments, because a dynamic neighbor vanishes from state when its session drops.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::names::{ClusterName, NodeName};
use crate::model::persistent::Attachment;

/// Nodes that have, or had, a BGP neighbor here. Every setter returns whether it changed anything.
#[derive(Debug, Default)]
pub(crate) struct Attachments(BTreeSet<Attachment>);

impl Attachments {
    /// Adds what an earlier run of the agent remembered.
    pub(crate) fn load(&mut self, attachments: BTreeSet<Attachment>) {
        self.0.extend(attachments);
    }

    pub(crate) fn holds(&self, cluster: &ClusterName, node: &NodeName, address: IpAddr) -> bool {
        self.0.contains(&attachment(cluster, node, address))
    }

    #[must_use]
    pub(crate) fn keep(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) -> bool {
        self.0.insert(attachment(cluster, node, address))
    }

    #[must_use]
    pub(crate) fn forget(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) -> bool {
        self.0.remove(&attachment(cluster, node, address))
    }

    /// Forgets the nodes of a cluster that no longer exist.
    #[must_use]
    pub(crate) fn forget_nodes(&mut self, cluster: &ClusterName, exists: impl Fn(&NodeName) -> bool) -> bool {
        self.retain(|known| known.cluster != *cluster || exists(&known.node))
    }

    /// Forgets every cluster that is not configured.
    #[must_use]
    pub(crate) fn forget_clusters(&mut self, configured: impl Fn(&ClusterName) -> bool) -> bool {
        self.retain(|known| configured(&known.cluster))
    }

    fn retain(&mut self, keep: impl FnMut(&Attachment) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(keep);
        self.0.len() != before
    }

    /// Returns what the state file should contain.
    pub(crate) fn all(&self) -> &BTreeSet<Attachment> {
        &self.0
    }
}

fn attachment(cluster: &ClusterName, node: &NodeName, address: IpAddr) -> Attachment {
    Attachment { cluster: cluster.clone(), node: node.clone(), address }
}
