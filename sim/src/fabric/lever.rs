//! Levers: things that can go wrong in a fabric. Pulling a lever breaks something, releasing it heals exactly that.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{ClusterConfig, FabricConfig, NodeConfig, known};
use super::{FabricError, NodeKey};

/// Something that is broken or changed. Nodes are named `node`, or `cluster/node` if two clusters share a name.
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
    /// BFD declares the path down, and BGP follows.
    BfdDown {
        /// The node.
        node: String,
    },
    /// The cable between a node and its leaves is cut.
    LinkDown {
        /// The node.
        node: String,
    },
    /// The node hangs, or is disconnected behind a switch of its own: its port stays up, but it answers nothing.
    NodeHung {
        /// The node.
        node: String,
    },
    /// The node's speaker process is gone: its sessions end, but its address stays.
    SpeakerDead {
        /// The node.
        node: String,
    },
    /// The node's speaker is in another autonomous system than the leaf expects.
    AsMismatch {
        /// Only towards this leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
        /// The node.
        node: String,
    },
    /// The node's speaker does not answer: it neither refuses nor accepts connections.
    SpeakerSilent {
        /// The node.
        node: String,
    },
    /// The node's speaker shuts its sessions down (Cease, Administrative Shutdown).
    PeerShutdown {
        /// Only towards this leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
        /// The node.
        node: String,
    },
    /// The node announces more prefixes than the leaf accepts.
    PrefixLimit {
        /// Only on this leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
        /// The node.
        node: String,
    },
    /// Two speakers on the node's address terminate each other's sessions.
    Collision {
        /// The node.
        node: String,
    },
    /// The node's speaker ends its sessions with this NOTIFICATION.
    Notification {
        /// The node.
        node: String,
        /// `Cease`, `Update Message Error`, ...
        code: String,
        /// `Connection Rejected`, ...
        subcode: String,
    },
    /// The neighbor is disabled in the leaf's configuration.
    AdminDisabled {
        /// The leaf.
        leaf: String,
        /// The node.
        node: String,
    },
    /// The node's speaker restarts gracefully: its sessions are down, its routes are kept.
    GracefulRestart {
        /// The node.
        node: String,
    },
    /// The cable was cut a moment ago: the port and its MACs are gone, but ARP and ND entries are still there.
    Cable {
        /// Only the cable to this leaf.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaf: Option<String>,
        /// The node.
        node: String,
    },
    /// The node announces with a longer AS path than the others.
    AsPathLonger {
        /// The node.
        node: String,
    },
    /// The leaf's own AS number is in the AS path of the node's announcements.
    AsLoop {
        /// The node.
        node: String,
    },
    /// The next-hop of the node's announcements is unreachable.
    NextHopUnresolved {
        /// The node.
        node: String,
    },
    /// The node's announcements are suppressed by route flap damping.
    Damped {
        /// The node.
        node: String,
    },
    /// Configuration of the leaves keeps the node's announcements out of the route table and the forwarding table.
    FibDisabled {
        /// The node.
        node: String,
    },
    /// BGP's own routes have this preference on a leaf, instead of the configured one.
    BgpPreference {
        /// The leaf.
        leaf: String,
        /// `protocols/bgp/preference`: the lowest wins.
        preference: u8,
    },
    /// BGP uses fewer paths per route; EVPN is not limited.
    Multipath {
        /// The leaf.
        leaf: String,
        /// Maximum number of paths per route.
        limit: usize,
    },
    /// A route is kept out of the forwarding hardware.
    FibSuppressed {
        /// The leaf.
        leaf: String,
        /// The route.
        prefix: IpNet,
    },
    /// Programming of a route failed once and succeeded later; the failure is still shown. In a lab, it fails for a few
    /// seconds first.
    FibRecovered {
        /// The leaf.
        leaf: String,
        /// The route.
        prefix: IpNet,
    },
    /// The node is connected to another leaf.
    NodeMoved {
        /// The node.
        node: String,
        /// Its new leaf.
        leaf: String,
    },
    /// The forwarding hardware rejects a route.
    FibFailed {
        /// The leaf.
        leaf: String,
        /// The route.
        prefix: IpNet,
    },
    /// Programming of a route does not finish.
    FibPending {
        /// The leaf.
        leaf: String,
        /// The route.
        prefix: IpNet,
    },
    /// An import policy drops a prefix that nodes announce.
    PolicyReject {
        /// The leaf.
        leaf: String,
        /// The prefix.
        prefix: IpNet,
    },
    /// Multipath is limited for BGP and EVPN.
    EcmpLimit {
        /// The leaf.
        leaf: String,
        /// Maximum number of next-hops per route.
        limit: usize,
    },
    /// Somebody configured a static route.
    StaticRoute {
        /// The leaf.
        leaf: String,
        /// The network instance.
        network_instance: String,
        /// The prefix.
        prefix: IpNet,
        /// Next-hop of the route.
        next_hop: IpAddr,
    },
    /// A BGP neighbor that is not a node announces a prefix.
    ForeignRoute {
        /// The leaf.
        leaf: String,
        /// The network instance.
        network_instance: String,
        /// The prefix.
        prefix: IpNet,
        /// Next-hop of the path.
        next_hop: IpAddr,
    },
    /// A speaker announces a prefix that it should not.
    Announced {
        /// The node.
        node: String,
        /// The prefix.
        prefix: IpNet,
    },
    /// A speaker does not announce a prefix that it should.
    Withheld {
        /// The node.
        node: String,
        /// The prefix.
        prefix: IpNet,
    },
    /// A leaf does not advertise a prefix, or anything, in EVPN.
    EvpnWithdrawn {
        /// The leaf.
        leaf: String,
        /// The prefix; all prefixes if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<IpNet>,
    },
    /// A leaf has lost its overlay sessions: it neither sends nor receives EVPN routes.
    OverlayDown {
        /// The leaf.
        leaf: String,
    },
    /// A prefix announced by nodes is imported into another network instance.
    Leaked {
        /// The leaf.
        leaf: String,
        /// The prefix.
        prefix: IpNet,
        /// The network instance into which it is imported.
        network_instance: String,
    },
    /// A leaf has kept the ARP or ND entry of the previous holder of an address.
    StaleEntry {
        /// The leaf.
        leaf: String,
        /// The VIP.
        address: IpAddr,
        /// The earlier holder.
        node: String,
    },
    /// A second node answers for an address.
    DuplicateAddress {
        /// The VIP.
        address: IpAddr,
        /// The node that should not answer.
        node: String,
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
    /// Returns the words with which it is pulled: `session-down leaf=leaf1 node=cluster1`.
    pub fn summary(&self) -> String {
        spell(self)
    }

    /// Returns what the lever needs to break anything, and a lab that has it.
    pub fn needs(&self) -> &'static str {
        match self {
            Self::AsPathLonger { .. } => {
                "a leaf with several nodes that announce the same prefix, such as leaf1 of lab kubeadm-calico-metallb"
            }
            Self::Multipath { .. } => {
                "a leaf whose BGP routes have more paths than the limit, such as leaf1 of lab kubeadm-calico-metallb"
            }
            Self::EcmpLimit { .. } => {
                "a leaf whose routes have more next-hops than the limit, such as leaf4 of lab anycast-metallb"
            }
            Self::StaleEntry { .. } => {
                "a VIP that nodes announce by ARP or ND and that this node does not hold, as in lab arp-kube-vip"
            }
            Self::DuplicateAddress { .. } => {
                "a VIP that nodes announce by ARP or ND, and a node in that subnet that does not hold it, as in lab arp-kube-vip"
            }
            Self::FibFailed { .. }
            | Self::FibPending { .. }
            | Self::FibSuppressed { .. }
            | Self::FibRecovered { .. } => "a route to exactly this prefix that is in use on that leaf",
            Self::PolicyReject { .. }
            | Self::Withheld { .. }
            | Self::Leaked { .. }
            | Self::AsLoop { .. }
            | Self::NextHopUnresolved { .. }
            | Self::Damped { .. }
            | Self::FibDisabled { .. } => "a prefix that a node announces there",
            Self::EvpnWithdrawn { .. } | Self::OverlayDown { .. } => {
                "routes that EVPN carries to or from that leaf, as in lab anycast-metallb"
            }
            Self::Announced { .. } => "a node with a BGP session, and a prefix that it does not announce yet",
            Self::NodeMoved { .. } => "a node that is not plugged in there",
            _ => "something that pulled levers have not broken already",
        }
    }

    /// Checks that its names exist in the fabric.
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
            [(_, cluster, _, attached)] => self.breaks_something(node, cluster, attached, config),
            [] => Err(FabricError::Unknown {
                what: "node",
                name: node.to_owned(),
                known: config.nodes().map(|(_, _, name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            }),
            _ => Err(FabricError::AmbiguousNode { node: node.to_owned() }),
        }
    }

    /// Checks that the lever acts on sessions or cables that exist.
    fn breaks_something(
        &self,
        node: &str,
        cluster: &ClusterConfig,
        attached: &NodeConfig,
        config: &FabricConfig,
    ) -> Result<(), FabricError> {
        let instance = &cluster.network_instance;
        let bgp = config.network_instances.get(instance).and_then(|config| config.bgp.as_ref());
        let peered = |leaf: &str| {
            let listed = |leaves: &[String]| leaves.iter().any(|it| it == leaf);
            config.has_instance(leaf, instance) && (listed(attached.peers()) || listed(&attached.leaves))
        };
        match self {
            Self::BfdDown { .. } if !bgp.is_some_and(|bgp| bgp.bfd) => {
                Err(FabricError::NoBfd { node: node.to_owned(), network_instance: instance.clone() })
            }
            Self::Cable { leaf: Some(leaf), .. } if !attached.leaves.contains(leaf) => Err(FabricError::NotPlugged {
                node: node.to_owned(),
                leaf: leaf.clone(),
                known: attached.leaves.join(", "),
            }),
            _ if !self.is_about_sessions() => Ok(()),
            _ if bgp.is_none() || attached.peers().is_empty() => Err(FabricError::NoSessions { node: node.to_owned() }),
            _ => match self.leaf() {
                Some(leaf) if !peered(leaf) => Err(FabricError::NoSession {
                    node: node.to_owned(),
                    leaf: leaf.to_owned(),
                    known: attached.peers().join(", "),
                }),
                _ => Ok(()),
            },
        }
    }

    fn is_about_sessions(&self) -> bool {
        matches!(
            self,
            Self::SessionDown { .. }
                | Self::BfdDown { .. }
                | Self::SpeakerDead { .. }
                | Self::AsMismatch { .. }
                | Self::SpeakerSilent { .. }
                | Self::PeerShutdown { .. }
                | Self::PrefixLimit { .. }
                | Self::Collision { .. }
                | Self::Notification { .. }
                | Self::AdminDisabled { .. }
                | Self::GracefulRestart { .. }
                | Self::AsPathLonger { .. }
                | Self::AsLoop { .. }
                | Self::NextHopUnresolved { .. }
                | Self::Damped { .. }
                | Self::FibDisabled { .. }
        )
    }

    fn leaf(&self) -> Option<&str> {
        match self {
            Self::SessionDown { leaf, .. }
            | Self::AsMismatch { leaf, .. }
            | Self::PeerShutdown { leaf, .. }
            | Self::PrefixLimit { leaf, .. }
            | Self::Cable { leaf, .. } => leaf.as_deref(),
            Self::NodeMoved { leaf, .. }
            | Self::AdminDisabled { leaf, .. }
            | Self::StaleEntry { leaf, .. }
            | Self::BgpPreference { leaf, .. }
            | Self::Multipath { leaf, .. }
            | Self::FibSuppressed { leaf, .. }
            | Self::FibRecovered { leaf, .. }
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
            | Self::NodeHung { .. }
            | Self::SpeakerDead { .. }
            | Self::SpeakerSilent { .. }
            | Self::Collision { .. }
            | Self::Notification { .. }
            | Self::GracefulRestart { .. }
            | Self::AsPathLonger { .. }
            | Self::AsLoop { .. }
            | Self::NextHopUnresolved { .. }
            | Self::Damped { .. }
            | Self::FibDisabled { .. }
            | Self::DuplicateAddress { .. }
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
            | Self::AsMismatch { node, .. }
            | Self::SpeakerSilent { node }
            | Self::PeerShutdown { node, .. }
            | Self::PrefixLimit { node, .. }
            | Self::Collision { node }
            | Self::Notification { node, .. }
            | Self::AdminDisabled { node, .. }
            | Self::GracefulRestart { node }
            | Self::Cable { node, .. }
            | Self::AsPathLonger { node }
            | Self::AsLoop { node }
            | Self::NextHopUnresolved { node }
            | Self::Damped { node }
            | Self::FibDisabled { node }
            | Self::StaleEntry { node, .. }
            | Self::DuplicateAddress { node, .. }
            | Self::BfdDown { node }
            | Self::LinkDown { node }
            | Self::NodeHung { node }
            | Self::SpeakerDead { node }
            | Self::NodeMoved { node, .. }
            | Self::Announced { node, .. }
            | Self::Withheld { node, .. } => Some(node),
            _ => None,
        }
    }

    /// Returns whether the lever concerns this node.
    pub(crate) fn concerns(&self, key: &NodeKey) -> bool {
        self.node().is_some_and(|node| names(node, &key.cluster, &key.node))
    }
}

/// Returns whether `name`, with or without its cluster, names this node.
pub(super) fn names(name: &str, cluster: &str, node: &str) -> bool {
    name == node || name.split_once('/').is_some_and(|(first, second)| first == cluster && second == node)
}

/// Formats a value of an enumeration: `session-down leaf=leaf1 node=cluster1`.
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
