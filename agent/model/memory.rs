//! What must outlive the process.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::alarm::{AlarmKey, AlarmRecord, AlarmView};
use super::names::{ClusterName, NodeName};

/// What the state file holds. Absent or unreadable, it costs only this memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Nodes that have, or had, a BGP neighbor on this leaf, by the address of that neighbor: a dynamic neighbor
    /// vanishes from state when its session drops.
    pub attachments: BTreeSet<Attachment>,
    /// Alarms that are active.
    #[serde(deserialize_with = "legible")]
    pub alarms: Vec<(AlarmKey, AlarmView)>,
    /// Alarms that were cleared, the oldest first.
    #[serde(deserialize_with = "legible")]
    pub alarm_history: Vec<AlarmRecord>,
    /// The last number given in the history.
    pub last_sequence: u64,
}

/// The entries this release understands: one of a later release must not cost the others.
fn legible<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let entries = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
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
