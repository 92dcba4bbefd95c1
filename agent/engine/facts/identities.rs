//! Recognizes clusters that are one API, configured twice or reached by two of its servers: they list the same nodes.
//!
//! A node is identified by its uid, which no two clusters assign twice. Nodes are listed whatever namespaces and labels
//! a cluster is limited to.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::ids::ClusterId;
use crate::model::cluster::NodeUid;

/// The clusters that list each node.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    listed: FxHashMap<NodeUid, Vec<ClusterId>>,
    /// Number of nodes that two clusters both list, if any; the lower id is first.
    common: BTreeMap<(ClusterId, ClusterId), u32>,
}

impl Identities {
    /// Notes that a cluster lists a node. Returns the clusters that it thereby shares a first node with.
    pub(crate) fn list(&mut self, cluster: ClusterId, uid: NodeUid) -> Vec<ClusterId> {
        let clusters = self.listed.entry(uid).or_default();
        let mut joined = Vec::new();
        for other in clusters.iter().filter(|other| **other != cluster) {
            let count = self.common.entry(pair(cluster, *other)).or_default();
            *count += 1;
            if *count == 1 {
                joined.push(*other);
            }
        }
        clusters.push(cluster);
        joined
    }

    /// Notes that a cluster no longer lists a node. Returns the clusters that it thereby shares no node with any more.
    pub(crate) fn unlist(&mut self, cluster: ClusterId, uid: NodeUid) -> Vec<ClusterId> {
        let Some(clusters) = self.listed.get_mut(&uid) else { return Vec::new() };
        let Some(at) = clusters.iter().position(|listed| *listed == cluster) else { return Vec::new() };
        clusters.swap_remove(at);
        let mut parted = Vec::new();
        for other in clusters.iter().filter(|other| **other != cluster) {
            let Some(count) = self.common.get_mut(&pair(cluster, *other)) else { continue };
            *count -= 1;
            if *count == 0 {
                self.common.remove(&pair(cluster, *other));
                parted.push(*other);
            }
        }
        if clusters.is_empty() {
            self.listed.remove(&uid);
        }
        parted
    }
}

fn pair(one: ClusterId, other: ClusterId) -> (ClusterId, ClusterId) {
    (one.min(other), one.max(other))
}
