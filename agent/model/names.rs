//! Defines one type for each kind of name, cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<Arc<str>> for $name {
            fn from(name: Arc<str>) -> Self {
                Self(name)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a cluster, as configured: the key of `/k8s-services/cluster`.
    ClusterName
);
name!(
    /// The name of a node in Kubernetes (`Node.metadata.name`).
    NodeName
);

/// Says what to do about names that `fabric-address` is configured for and that no node has, if another node has no
/// location. It may be one of these nodes, renamed; a commit refuses an address that another name has.
pub fn move_fabric_address(vacant: &[NodeName]) -> String {
    let names = vacant.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "fabric-address is set for {names}, which the cluster does not have: if it was renamed, set it for the new name \
         instead"
    )
}

name!(
    /// The name of a network instance of this switch.
    NetworkInstanceName
);

/// A Service: its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// `Service.metadata.namespace`.
    pub namespace: Arc<str>,
    /// `Service.metadata.name`.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// Creates the key of the service `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
