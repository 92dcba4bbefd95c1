//! What is remembered of attachments: a dynamic neighbor vanishes from state when its session drops.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::memory::Attachment;
use crate::model::names::{ClusterName, NodeName};

/// Nodes that have, or had, a BGP neighbor here.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    attachments: BTreeSet<Attachment>,
    said: BTreeSet<Attachment>,
    touched: bool,
}

impl Attachments {
    /// What an earlier life remembered.
    pub(crate) fn load(&mut self, attachments: BTreeSet<Attachment>) {
        self.said.clone_from(&attachments);
        self.attachments.extend(attachments);
        self.touched = true;
    }

    pub(crate) fn holds(&self, cluster: &ClusterName, node: &NodeName, address: IpAddr) -> bool {
        self.attachments.contains(&attachment(cluster, node, address))
    }

    pub(crate) fn keep(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) {
        self.touched |= self.attachments.insert(attachment(cluster, node, address));
    }

    pub(crate) fn forget(&mut self, cluster: &ClusterName, node: &NodeName, address: IpAddr) {
        self.touched |= self.attachments.remove(&attachment(cluster, node, address));
    }

    /// Forgets every node of a cluster that is not told of any more.
    pub(crate) fn forget_nodes(&mut self, cluster: &ClusterName, exists: impl Fn(&NodeName) -> bool) {
        self.retain(|known| known.cluster != *cluster || exists(&known.node));
    }

    /// Forgets every cluster that is not configured.
    pub(crate) fn forget_clusters(&mut self, configured: impl Fn(&ClusterName) -> bool) {
        self.retain(|known| configured(&known.cluster));
    }

    fn retain(&mut self, keep: impl FnMut(&Attachment) -> bool) {
        let before = self.attachments.len();
        self.attachments.retain(keep);
        self.touched |= self.attachments.len() != before;
    }

    /// True when it is different from when it was last asked.
    pub(crate) fn is_news(&mut self) -> bool {
        let news = std::mem::take(&mut self.touched) && self.attachments != self.said;
        if news {
            self.said.clone_from(&self.attachments);
        }
        news
    }

    /// What the state file should hold.
    pub(crate) fn attachments(&self) -> &BTreeSet<Attachment> {
        &self.attachments
    }
}

fn attachment(cluster: &ClusterName, node: &NodeName, address: IpAddr) -> Attachment {
    Attachment { cluster: cluster.clone(), node: node.clone(), address }
}
