//! Defines the state that outlives the process.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::alarm::{AlarmKey, AlarmRecord, AlarmView};
use super::names::{ClusterName, NodeName};

/// The content of the state file. If the file is absent or unreadable, only this state is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistentState {
    /// Nodes that have, or had, a BGP neighbor on this leaf, by the address of that neighbor: a dynamic neighbor
    /// vanishes from state when its session drops.
    pub attachments: BTreeSet<Attachment>,
    /// Active alarms.
    pub alarms: Vec<(AlarmKey, AlarmView)>,
    /// Cleared alarms, oldest first.
    pub alarm_history: Vec<AlarmRecord>,
    /// The last sequence number assigned in the history.
    pub last_sequence: u64,
}

/// A node seen as a BGP neighbor of this leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// The node.
    pub node: NodeName,
    /// The address it spoke from.
    pub address: IpAddr,
}
