//! Defines the names of the sources of events.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::ClusterName;

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceId {
    /// The NDK: the switch's own tables.
    Ndk,
    /// The on-box gNMI server: neighbors and FIB programming.
    Gnmi,
    /// The API server of a cluster.
    Kubernetes(ClusterName),
}

impl fmt::Display for SourceId {
    /// Writes the key of `/k8s-services/summary/source`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ndk => f.write_str("ndk"),
            Self::Gnmi => f.write_str("gnmi"),
            Self::Kubernetes(cluster) => write!(f, "kubernetes/{cluster}"),
        }
    }
}
