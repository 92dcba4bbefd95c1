//! What can go wrong in a fabric, as values: pulling one breaks something, releasing it heals exactly that.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{FabricConfig, known};
use super::{FabricError, NodeKey};

/// One thing that is broken, or changed. Nodes are named `node` or, where two clusters share a name, `cluster/node`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Lever {
    /// A BGP session does not come up.
    SessionDown {
        /// Only on this leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
        /// The node.
        node: String,
    },
    /// BFD says the path is gone; BGP follows.
    BfdDown {
        /// The node.
        node: String,
    },
    /// The cable between a node and its leaves is cut.
    LinkDown {
        /// The node.
        node: String,
    },
    /// The node's speaker process is gone: its sessions end, its address stays.
    SpeakerDead {
        /// The node.
        node: String,
    },
    /// The node is plugged into another leaf.
    NodeMoved {
        /// The node.
        node: String,
        /// Its new leaf.
        leaf: String,
    },
    /// The forwarding hardware does not take a route.
    FibFailed {
        /// The leaf.
        leaf: String,
        /// The route.
        prefix: IpNet,
    },
    /// Programming of a route hangs.
    FibPending {
        /// The leaf.
        leaf: String,
        /// The route.
        prefix: IpNet,
    },
    /// An import policy drops a prefix nodes announce.
    PolicyReject {
        /// The leaf.
        leaf: String,
        /// The prefix.
        prefix: IpNet,
    },
    /// Multipath is limited, for BGP and EVPN.
    EcmpLimit {
        /// The leaf.
        leaf: String,
        /// Next-hops per route.
        limit: usize,
    },
    /// A static route somebody configured.
    StaticRoute {
        /// The leaf.
        leaf: String,
        /// The network instance.
        network_instance: String,
        /// The prefix.
        prefix: IpNet,
        /// Where it points.
        next_hop: IpAddr,
    },
    /// BGP paths from somebody who is no node.
    ForeignRoute {
        /// The leaf.
        leaf: String,
        /// The network instance.
        network_instance: String,
        /// The prefix.
        prefix: IpNet,
        /// The path's next-hop.
        next_hop: IpAddr,
    },
    /// A speaker announces what it should not.
    Announced {
        /// The node.
        node: String,
        /// The prefix.
        prefix: IpNet,
    },
    /// A speaker keeps back what it should announce.
    Withheld {
        /// The node.
        node: String,
        /// The prefix.
        prefix: IpNet,
    },
    /// A leaf does not advertise a prefix (or anything) in EVPN.
    EvpnWithdrawn {
        /// The leaf.
        leaf: String,
        /// The prefix; all without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<IpNet>,
    },
    /// A leaf has lost its overlay sessions: it neither sends nor receives EVPN.
    OverlayDown {
        /// The leaf.
        leaf: String,
    },
    /// A prefix that nodes announce is imported into another network instance.
    Leaked {
        /// The leaf.
        leaf: String,
        /// The prefix.
        prefix: IpNet,
        /// Where it ends up.
        network_instance: String,
    },
    /// A network instance is not configured on a leaf.
    NetworkInstanceMissing {
        /// The leaf.
        leaf: String,
        /// The network instance.
        network_instance: String,
    },
}

impl Lever {
    /// In the words it is pulled with: `session-down leaf=leaf1 node=cluster1`.
    pub fn summary(&self) -> String {
        spell(self)
    }

    /// The names in it must be those of the fabric.
    pub(crate) fn validate(&self, config: &FabricConfig) -> Result<(), FabricError> {
        if let Some(leaf) = self.leaf() {
            known(&config.leaves, "leaf", leaf)?;
        }
        if let Some(instance) = self.network_instance() {
            known(&config.network_instances, "network instance", instance)?;
        }
        let Some(node) = self.node() else { return Ok(()) };
        let matching: Vec<_> = config.nodes().filter(|(cluster, _, name, _)| names(node, cluster, name)).collect();
        match matching.as_slice() {
            [(_, cluster, ..)] => self.breaks_something(node, &cluster.network_instance, config),
            [] => Err(FabricError::Unknown {
                what: "node",
                name: node.to_owned(),
                known: config.nodes().map(|(_, _, name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            }),
            _ => Err(FabricError::AmbiguousNode { node: node.to_owned() }),
        }
    }

    fn breaks_something(&self, node: &str, instance: &str, config: &FabricConfig) -> Result<(), FabricError> {
        let bgp = config.network_instances.get(instance).and_then(|config| config.bgp.as_ref());
        match self {
            Self::BfdDown { .. } if !bgp.is_some_and(|bgp| bgp.bfd) => {
                Err(FabricError::NoBfd { node: node.to_owned(), network_instance: instance.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn leaf(&self) -> Option<&str> {
        match self {
            Self::SessionDown { leaf, .. } => leaf.as_deref(),
            Self::NodeMoved { leaf, .. }
            | Self::FibFailed { leaf, .. }
            | Self::FibPending { leaf, .. }
            | Self::PolicyReject { leaf, .. }
            | Self::EcmpLimit { leaf, .. }
            | Self::StaticRoute { leaf, .. }
            | Self::ForeignRoute { leaf, .. }
            | Self::EvpnWithdrawn { leaf, .. }
            | Self::OverlayDown { leaf }
            | Self::Leaked { leaf, .. }
            | Self::NetworkInstanceMissing { leaf, .. } => Some(leaf),
            Self::BfdDown { .. }
            | Self::LinkDown { .. }
            | Self::SpeakerDead { .. }
            | Self::Announced { .. }
            | Self::Withheld { .. } => None,
        }
    }

    fn network_instance(&self) -> Option<&str> {
        match self {
            Self::StaticRoute { network_instance, .. }
            | Self::ForeignRoute { network_instance, .. }
            | Self::Leaked { network_instance, .. }
            | Self::NetworkInstanceMissing { network_instance, .. } => Some(network_instance),
            _ => None,
        }
    }

    pub(crate) fn node(&self) -> Option<&str> {
        match self {
            Self::SessionDown { node, .. }
            | Self::BfdDown { node }
            | Self::LinkDown { node }
            | Self::SpeakerDead { node }
            | Self::NodeMoved { node, .. }
            | Self::Announced { node, .. }
            | Self::Withheld { node, .. } => Some(node),
            _ => None,
        }
    }

    /// Whether it is about this node.
    pub(crate) fn concerns(&self, key: &NodeKey) -> bool {
        self.node().is_some_and(|node| names(node, &key.cluster, &key.node))
    }
}

/// Whether `name`, plain or with its cluster, names this node.
fn names(name: &str, cluster: &str, node: &str) -> bool {
    name == node || name.split_once('/').is_some_and(|(first, second)| first == cluster && second == node)
}

/// A value of an enumeration in its own words: `session-down leaf=leaf1 node=cluster1`.
pub(crate) fn spell(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(members)) => {
            let one = |(word, details): (&String, &Value)| {
                let details = details.as_object().into_iter().flatten();
                let details = details.map(|(name, value)| format!(" {name}={}", plain(value)));
                format!("{word}{}", details.collect::<String>())
            };
            members.iter().map(one).collect()
        }
        _ => String::new(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
