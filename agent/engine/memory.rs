//! What is remembered of attachments: a dynamic neighbor vanishes from state when its session drops.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::memory::Attachment;
use crate::model::names::{ClusterName, NodeName};

/// Nodes that have, or had, a BGP neighbor here.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    attachments: BTreeSet<Attachment>,
    said: BTreeSet<Attachment>,
    touched: bool,
}

impl Remembered {
    /// What an earlier life remembered.
    pub(super) fn load(&mut self, attachments: BTreeSet<Attachment>) {
        self.said.clone_from(&attachments);
        self.attachments.extend(attachments);
        self.touched = true;
    }

    pub(super) fn holds(&self, cluster: &ClusterName, node: &NodeName, address: IpAddr) -> bool {
        self.attachments.contains(&attachment(cluster, node, address))
    }

    pub(super) fn keep(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) {
        self.touched |= self.attachments.insert(attachment(cluster, node, address));
    }

    pub(super) fn forget(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) {
        self.touched |= self.attachments.remove(&attachment(cluster, node, address));
    }

    /// Forgets every node of a cluster that is not told of any more.
    pub(super) fn forget_nodes(&mut self, cluster: &ClusterName, exists: impl Fn(&NodeName) -> bool) {
        self.retain(|known| known.cluster != *cluster || exists(&known.node));
    }

    /// Forgets every cluster that is not configured.
    pub(super) fn forget_clusters(&mut self, configured: impl Fn(&ClusterName) -> bool) {
        self.retain(|known| configured(&known.cluster));
    }

    fn retain(&mut self, keep: impl FnMut(&Attachment) -> bool) {
        let before = self.attachments.len();
        self.attachments.retain(keep);
        self.touched |= self.attachments.len() != before;
    }

    /// True when it is different from when it was last asked.
    pub(super) fn is_news(&mut self) -> bool {
        let news = std::mem::take(&mut self.touched) && self.attachments != self.said;
        if news {
            self.said.clone_from(&self.attachments);
        }
        news
    }

    /// What the state file should hold.
    pub(super) fn attachments(&self) -> &BTreeSet<Attachment> {
        &self.attachments
    }
}

fn attachment(cluster: &ClusterName, node: &NodeName, address: IpAddr) -> Attachment {
    Attachment { cluster: cluster.clone(), node: node.clone(), address }
}
