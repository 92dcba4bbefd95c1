//! What must outlive the process.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::alarm::{AlarmKey, AlarmRecord, AlarmView};
use super::names::{ClusterName, NodeName};

/// What the state file holds. Absent or unreadable, only this state is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistentState {
    /// Nodes that have, or had, a BGP neighbor on this leaf, by the address of that neighbor: a dynamic neighbor
    /// vanishes from state when its session drops.
    pub attachments: BTreeSet<Attachment>,
    /// Alarms that are active.
    pub alarms: Vec<(AlarmKey, AlarmView)>,
    /// Alarms that were cleared, the oldest first.
    pub alarm_history: Vec<AlarmRecord>,
    /// The last number given in the history.
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
