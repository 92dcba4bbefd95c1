//! Configuration of a fabric, as written in a lab file: switches, network instances, and attached nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::tables::NetworkInstanceKind;

use super::FabricError;

/// Topology and configuration of a fabric.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FabricConfig {
    /// AS number of the iBGP overlay that carries EVPN.
    #[serde(default)]
    pub overlay_as: u32,
    /// Spines (route reflectors) by name.
    #[serde(default)]
    pub spines: BTreeMap<String, SpineConfig>,
    /// Leaves by name.
    pub leaves: BTreeMap<String, LeafConfig>,
    /// Network instances by name; `default` and `mgmt` exist on every leaf without being listed.
    #[serde(default)]
    pub network_instances: BTreeMap<String, NetworkInstanceConfig>,
    /// Clusters by name.
    #[serde(default)]
    pub clusters: BTreeMap<String, ClusterConfig>,
    /// Hosts that send nothing by themselves. Each costs a MAC route.
    #[serde(default)]
    pub clients: BTreeMap<String, ClientConfig>,
    /// Leaves in the order in which their routes came first, if EVPN and BGP tie and either order is stable. Other
    /// leaves follow by name.
    #[serde(default)]
    pub convergence_order: Vec<String>,
}

/// A spine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SpineConfig {
    /// Underlay AS number.
    #[serde(rename = "as")]
    pub autonomous_system: u32,
    /// Loopback addresses.
    pub system: Vec<IpAddr>,
}

/// A leaf.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeafConfig {
    /// Underlay AS number.
    #[serde(rename = "as", default)]
    pub autonomous_system: u32,
    /// Addresses of `system0.0`. The first IPv4 address is the VTEP and the router id.
    pub system: Vec<IpAddr>,
    /// Address on the management network.
    #[serde(default)]
    pub management: Option<IpNet>,
    /// Subinterfaces towards spines.
    #[serde(default)]
    pub uplinks: BTreeMap<String, Uplink>,
}

/// A link to a spine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Uplink {
    /// The spine.
    pub spine: String,
    /// Address of the spine; link-local if the link is unnumbered.
    pub peer: IpAddr,
    /// The leaf's own address on a numbered link.
    #[serde(default)]
    pub address: Option<IpNet>,
}

impl Uplink {
    /// Returns the `peer-address` of the spine. A link-local address is qualified by its interface.
    pub(crate) fn peer_name(&self, interface: &str) -> String {
        match self.address {
            Some(_) => self.peer.to_string(),
            None => format!("{}%{interface}", self.peer),
        }
    }
}

/// A network instance, the same on every leaf that has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkInstanceConfig {
    /// Number of the network instance in the NDK.
    pub id: u32,
    /// Type of the network instance; `ip-vrf` by default.
    #[serde(default, rename = "type")]
    pub kind: KindName,
    /// Leaves that have it; all if empty.
    #[serde(default)]
    pub leaves: Vec<String>,
    /// VNI and EVI; `id` by default.
    #[serde(default)]
    pub vni: Option<u32>,
    /// IRB or routed subinterfaces by name.
    #[serde(default)]
    pub subinterfaces: BTreeMap<String, SubinterfaceConfig>,
    /// Configuration of type-5 routes to and from the other leaves.
    #[serde(default)]
    pub evpn: Option<EvpnConfig>,
    /// Configuration of BGP towards nodes.
    #[serde(default)]
    pub bgp: Option<BgpConfig>,
}

/// Type of a network instance, as written in a lab file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KindName {
    /// `ip-vrf`
    #[default]
    IpVrf,
    /// `mac-vrf`
    MacVrf,
    /// `default`
    Default,
}

impl From<KindName> for NetworkInstanceKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::IpVrf => Self::IpVrf,
            KindName::MacVrf => Self::MacVrf,
            KindName::Default => Self::Default,
        }
    }
}

/// A subinterface with anycast gateway addresses, the same on each of its leaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SubinterfaceConfig {
    /// Index of the subinterface, which is also the `id` of its routes.
    pub index: u32,
    /// Addresses of the subinterface with their subnets, the same on each leaf.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Addresses that only one leaf has, as on a loopback.
    #[serde(default)]
    pub leaf_addresses: BTreeMap<String, Vec<IpNet>>,
    /// Leaves that have it; all leaves with the network instance if empty.
    #[serde(default)]
    pub leaves: Vec<String>,
    /// The `mac-vrf` of an IRB.
    #[serde(default)]
    pub bridge: Option<String>,
}

impl SubinterfaceConfig {
    /// Returns its addresses on one leaf.
    pub(crate) fn addresses_on(&self, leaf: &str) -> impl Iterator<Item = &IpNet> {
        self.addresses.iter().chain(self.leaf_addresses.get(leaf).into_iter().flatten())
    }
}

/// EVPN of an ip-vrf.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EvpnConfig {
    /// `export-rt`, which is also imported.
    pub route_target: String,
    /// Other route targets to import.
    #[serde(default)]
    pub import: Vec<String>,
    /// `ecmp`: maximum number of next-hops per route.
    #[serde(default = "one")]
    pub ecmp: usize,
    /// Preference of EVPN routes.
    #[serde(default = "bgp_preference")]
    pub preference: u8,
    /// Prefixes dropped by an import policy of the EVPN sessions.
    #[serde(default)]
    pub import_reject: Option<ImportReject>,
}

impl EvpnConfig {
    /// Returns whether a leaf drops a prefix that others advertise.
    pub(crate) fn rejects(&self, leaf: &str, prefix: &IpNet) -> bool {
        self.import_reject.as_ref().is_some_and(|reject| {
            listed(&reject.leaves, leaf) && reject.prefixes.iter().any(|net| net.contains(prefix))
        })
    }
}

/// Type-5 routes that leaves do not import.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ImportReject {
    /// The prefixes, and all prefixes inside them.
    pub prefixes: Vec<IpNet>,
    /// Leaves with this policy; all if empty.
    #[serde(default)]
    pub leaves: Vec<String>,
}

/// BGP towards nodes in a network instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BgpConfig {
    /// `autonomous-system`
    #[serde(rename = "as")]
    pub autonomous_system: u32,
    /// `router-id`
    #[serde(default)]
    pub router_id: Option<IpAddr>,
    /// Leaves with their own AS number and router id.
    #[serde(default)]
    pub leaves: BTreeMap<String, BgpLeafConfig>,
    /// `peer-group` of the nodes.
    pub group: String,
    /// Preference of iBGP routes.
    #[serde(default = "bgp_preference")]
    pub ibgp_preference: u8,
    /// Preference of eBGP routes.
    #[serde(default = "bgp_preference")]
    pub ebgp_preference: u8,
    /// `multipath maximum-paths`
    #[serde(default = "one")]
    pub maximum_paths: usize,
    /// Whether paths of different neighbor AS numbers may share a route.
    #[serde(default = "yes")]
    pub allow_multiple_as: bool,
    /// Whether nodes are dynamic neighbors: a neighbor disappears when its session ends.
    #[serde(default)]
    pub dynamic_neighbors: bool,
    /// Whether sessions run across the fabric (loopback to node) instead of the directly connected subnet.
    #[serde(default)]
    pub multihop: bool,
    /// Whether BFD guards the sessions.
    #[serde(default)]
    pub bfd: bool,
}

/// BGP settings of a single leaf.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BgpLeafConfig {
    /// `autonomous-system`
    #[serde(rename = "as")]
    pub autonomous_system: u32,
    /// `router-id`
    pub router_id: IpAddr,
}

impl BgpConfig {
    /// Returns the AS number of a leaf.
    pub(crate) fn as_of(&self, leaf: &str) -> u32 {
        self.leaves.get(leaf).map_or(self.autonomous_system, |own| own.autonomous_system)
    }

    /// Returns the router id of a leaf.
    pub(crate) fn router_id_of(&self, leaf: &str) -> Option<IpAddr> {
        self.leaves.get(leaf).map(|own| own.router_id).or(self.router_id)
    }
}

/// A cluster as attached to the fabric.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClusterConfig {
    /// The network instance its nodes are in.
    pub network_instance: String,
    /// AS number of its speakers.
    #[serde(rename = "as")]
    pub autonomous_system: u32,
    /// The speaker that announces its VIPs.
    pub speaker: Speaker,
    /// Settings of the speaker that are not in any Kubernetes object.
    #[serde(default)]
    pub speaker_flags: SpeakerFlags,
    /// A second speaker on every node, which announces the node's pods and no services.
    #[serde(default)]
    pub pod_network: Option<PodNetwork>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, NodeConfig>,
}

/// A network plugin that speaks BGP from the nodes' `addresses` and announces `spec.podCIDRs`, next to a speaker that
/// uses the nodes' `loopbacks`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PodNetwork {
    /// AS number of the plugin.
    #[serde(rename = "as")]
    pub autonomous_system: u32,
    /// `peer-group` of the plugin on the leaves.
    pub group: String,
}

/// The software that announces VIPs in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaker {
    /// MetalLB.
    Metallb,
    /// Cilium BGP control plane v2.
    Cilium,
    /// Calico.
    Calico,
    /// kube-router.
    KubeRouter,
    /// kube-vip.
    KubeVip,
    /// A speaker that announces where a usable endpoint is, and ignores everything else.
    Generic,
}

/// Command line flags and similar settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SpeakerFlags {
    /// MetalLB `--lb-class`.
    pub load_balancer_class: Option<String>,
    /// MetalLB `--ignore-exclude-lb`.
    pub ignore_exclude_label: bool,
    /// Cilium `enable-no-service-endpoints-routable`.
    pub no_endpoints_routable: bool,
    /// kube-vip `vip_arp`: one node answers for an address. Otherwise all nodes announce it by BGP.
    pub kube_vip_arp: bool,
}

impl Default for SpeakerFlags {
    fn default() -> Self {
        Self {
            load_balancer_class: None,
            ignore_exclude_label: false,
            no_endpoints_routable: true,
            kube_vip_arp: false,
        }
    }
}

/// How a node is attached to the fabric.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeConfig {
    /// Leaves to which the node is connected.
    pub leaves: Vec<String>,
    /// Addresses on the fabric, of both families.
    pub addresses: Vec<IpAddr>,
    /// Addresses from which it speaks BGP, if not `addresses`. The leaves reach them by static routes.
    #[serde(default)]
    pub loopbacks: Vec<IpAddr>,
    /// Leaves that have it as a configured neighbor; if empty, the leaves to which it is connected.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Port on each leaf; the first free one by default.
    #[serde(default)]
    pub ports: BTreeMap<String, String>,
    /// MAC address; derived from the name by default.
    #[serde(default)]
    pub mac: Option<String>,
}

impl NodeConfig {
    /// Returns the addresses from which it speaks BGP.
    pub(crate) fn speaking_addresses(&self) -> &[IpAddr] {
        if self.loopbacks.is_empty() { &self.addresses } else { &self.loopbacks }
    }

    /// Returns the leaves that have it as a configured neighbor.
    pub(crate) fn peers(&self) -> &[String] {
        if self.peers.is_empty() { &self.leaves } else { &self.peers }
    }
}

/// A host that announces no routes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientConfig {
    /// Leaf to which the host is connected.
    pub leaf: String,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn bgp_preference() -> u8 {
    170
}

impl FabricConfig {
    /// Checks that all names refer to something that exists.
    pub(crate) fn validate(&self) -> Result<(), FabricError> {
        for (name, leaf) in &self.leaves {
            if !leaf.system.iter().any(IpAddr::is_ipv4) {
                return Err(FabricError::NoVtep { leaf: name.clone() });
            }
            for uplink in leaf.uplinks.values() {
                known(&self.spines, "spine", &uplink.spine)?;
            }
        }
        for instance in self.network_instances.values() {
            self.known_leaves(&instance.leaves)?;
            for subinterface in instance.subinterfaces.values() {
                self.known_leaves(&subinterface.leaves)?;
                subinterface.bridge.iter().try_for_each(|it| known(&self.network_instances, "network instance", it))?;
                subinterface.leaf_addresses.keys().try_for_each(|leaf| known(&self.leaves, "leaf", leaf))?;
            }
            let rejecting = instance.evpn.as_ref().and_then(|evpn| evpn.import_reject.as_ref());
            self.known_leaves(rejecting.map_or(&[], |reject| reject.leaves.as_slice()))?;
        }
        for cluster in self.clusters.values() {
            known(&self.network_instances, "network instance", &cluster.network_instance)?;
            for (name, node) in &cluster.nodes {
                self.known_leaves(&node.leaves)?;
                self.known_leaves(&node.peers)?;
                if cluster.pod_network.is_some() && node.loopbacks.is_empty() {
                    return Err(FabricError::SharedAddress { node: name.clone() });
                }
            }
        }
        for client in self.clients.values() {
            known(&self.leaves, "leaf", &client.leaf)?;
        }
        self.known_leaves(&self.convergence_order)
    }

    /// Checks that all these leaves exist.
    fn known_leaves(&self, names: &[String]) -> Result<(), FabricError> {
        names.iter().try_for_each(|name| known(&self.leaves, "leaf", name))
    }

    /// Returns whether a leaf has a network instance.
    pub(crate) fn has_instance(&self, leaf: &str, instance: &str) -> bool {
        self.network_instances.get(instance).is_some_and(|config| listed(&config.leaves, leaf))
    }

    /// Returns the subinterfaces of a network instance on one leaf.
    pub(crate) fn subinterfaces<'a>(
        &'a self,
        leaf: &'a str,
        instance: &str,
    ) -> impl Iterator<Item = (&'a String, &'a SubinterfaceConfig)> {
        let config = self.network_instances.get(instance).filter(|config| listed(&config.leaves, leaf));
        config
            .into_iter()
            .flat_map(|config| &config.subinterfaces)
            .filter(move |(_, subinterface)| listed(&subinterface.leaves, leaf))
    }

    /// Returns the VTEP address of a leaf.
    pub(crate) fn vtep(&self, leaf: &str) -> IpAddr {
        let system = self.leaves.get(leaf).and_then(|config| config.system.iter().find(|address| address.is_ipv4()));
        *system.expect("validated: every leaf has an IPv4 system address")
    }

    /// Returns the leaves in the order in which their routes came up.
    pub(crate) fn converged(&self) -> impl Iterator<Item = &String> {
        let rest = self.leaves.keys().filter(|leaf| !self.convergence_order.contains(leaf));
        self.convergence_order.iter().chain(rest)
    }

    /// Returns all nodes with their cluster.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&String, &ClusterConfig, &String, &NodeConfig)> {
        self.clusters
            .iter()
            .flat_map(|(name, cluster)| cluster.nodes.iter().map(move |(node, config)| (name, cluster, node, config)))
    }
}

/// Returns whether a list contains a name. An empty list contains every name.
fn listed(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|listed| listed == name)
}

/// Checks that a name is in a map.
pub(crate) fn known<T>(map: &BTreeMap<String, T>, what: &'static str, name: &str) -> Result<(), FabricError> {
    if map.contains_key(name) {
        return Ok(());
    }
    Err(FabricError::Unknown { what, name: name.to_owned(), known: map.keys().cloned().collect::<Vec<_>>().join(", ") })
}
