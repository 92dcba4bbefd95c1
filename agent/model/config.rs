//! Defines the validated configuration. Raw configuration never gets here: see [`crate::config`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::names::{ClusterName, NetworkInstanceName, NodeName};
use super::selector::Selector;
use super::words::words;

/// `/k8s-services`, valid as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether `admin-state` is enable.
    pub enabled: bool,
    /// `alarm-policy`.
    pub alarm_policy: AlarmPolicy,
    /// `cluster`.
    pub clusters: BTreeMap<ClusterName, Arc<ClusterConfig>>,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, alarm_policy: AlarmPolicy::default(), clusters: BTreeMap::new() }
    }
}

/// `/k8s-services/alarm-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmPolicy {
    /// How long a condition must last before it becomes an alarm.
    pub raise_hold: Duration,
    /// How long it must be gone before the alarm is cleared.
    pub clear_hold: Duration,
    /// Number of entries kept in `alarm-history`.
    pub history_size: u16,
    /// Whether the Service's owner is notified by Kubernetes Events.
    pub kubernetes_events: bool,
}

impl Default for AlarmPolicy {
    fn default() -> Self {
        Self {
            raise_hold: Duration::from_secs(10),
            clear_hold: Duration::from_secs(5),
            history_size: 100,
            kubernetes_events: false,
        }
    }
}

/// `/k8s-services/cluster`, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Whether `admin-state` is enable.
    pub enabled: bool,
    /// How its objects are watched.
    pub source: Source,
    /// How its objects are judged.
    pub rules: Rules,
}

/// The part of a cluster's configuration about which objects are watched, and how. A change of it means that the
/// cluster is listed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How its API is reached.
    pub connection: Connection,
    /// `network-namespace`: where sockets to the API server are opened; `None` for the agent's own namespace ("self").
    pub network_namespace: Option<Arc<str>>,
    /// `speaker`: each has resources of its own.
    pub speaker: Speaker,
    /// `namespace`: the namespaces to read; empty for all.
    pub namespaces: BTreeSet<Arc<str>>,
    /// `label-selector` for Services.
    pub label_selector: Option<Arc<str>>,
    /// `include-external-ips`.
    pub include_external_ips: bool,
    /// `node-address-annotation`.
    pub node_address_annotation: Option<Arc<str>>,
    /// Whether the labels of nodes are kept, because something selects by them.
    pub node_labels: bool,
}

/// The part of a cluster's configuration about how its objects are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `network-instance`: where its VIPs are.
    pub network_instance: NetworkInstanceName,
    /// `load-balancer-class`; `None` for the speaker's own rule.
    pub load_balancer_class: Option<Arc<str>>,
    /// `announcement`: how its VIPs are announced.
    pub announcement: AnnouncementMode,
    /// `speaker-node-selector`: labels of the nodes that run a speaker; `None` for all.
    pub speaker_node_selector: Option<Selector>,
    /// `transit-address`: next-hops that lead to the cluster but are not nodes.
    pub transit_addresses: BTreeSet<IpAddr>,
    /// `vip-pool`.
    pub vip_pools: BTreeSet<IpNet>,
    /// `shared-with`: clusters that may claim the same VIPs.
    pub shared_with: BTreeSet<ClusterName>,
    /// `ecmp-limit`: the most next-hops that this switch installs.
    pub ecmp_limit: Option<u16>,
    /// `node/fabric-address`: the addresses nodes speak BGP from, as the operator knows them.
    pub fabric_addresses: BTreeMap<NodeName, BTreeSet<IpAddr>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            network_instance: NetworkInstanceName::from("default"),
            load_balancer_class: None,
            announcement: AnnouncementMode::Auto,
            speaker_node_selector: None,
            transit_addresses: BTreeSet::new(),
            vip_pools: BTreeSet::new(),
            shared_with: BTreeSet::new(),
            ecmp_limit: None,
            fabric_addresses: BTreeMap::new(),
        }
    }
}

words! {
    /// `announcement` of a cluster: how its VIPs are announced.
    AnnouncementMode {
        /// Determined for each VIP from the speaker's resources and the switch's tables.
        Auto = "auto",
        /// By BGP.
        Bgp = "bgp",
        /// By ARP and ND.
        L2 = "l2",
    }
}

/// How a cluster's API is reached, and with which credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// `kubeconfig`, and `context` in it (`None` for its current one).
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context; `None` for the file's current one.
        context: Option<Arc<str>>,
    },
    /// `api-server` and the files beside it.
    ApiServer {
        /// `https://host:port` (or `http://`, which state then reports).
        url: Arc<str>,
        /// `certificate-authority-file`.
        certificate_authority: Option<PathBuf>,
        /// `token-file`.
        token: Option<PathBuf>,
        /// `client-certificate-file` and `client-key-file`.
        client_certificate: Option<(PathBuf, PathBuf)>,
        /// `insecure-skip-verify`.
        insecure_skip_verify: bool,
    },
}

words! {
    /// The software that announces VIPs in a cluster.
    Speaker {
        /// MetalLB in any BGP mode.
        Metallb = "metallb",
        /// Cilium BGP Control Plane.
        Cilium = "cilium",
        /// Calico (BIRD).
        Calico = "calico",
        /// kube-router.
        KubeRouter = "kube-router",
        /// kube-vip, by BGP or ARP.
        KubeVip = "kube-vip",
        /// Anything else that follows MetalLB's endpoint rules, without its labels and conditions.
        Generic = "generic",
    }
}

impl Default for Speaker {
    /// Returns the default of the YANG module.
    fn default() -> Self {
        Self::Metallb
    }
}

impl Speaker {
    /// Returns whether resources of this speaker select services and nodes by labels.
    pub fn selects_by_labels(self) -> bool {
        matches!(self, Self::Metallb | Self::Cilium)
    }

    /// Returns whether resources of this speaker select nodes by labels.
    pub fn selects_nodes(self) -> bool {
        self.selects_by_labels() || self == Self::Calico
    }

    /// Returns whether the speaker announces `spec.externalIPs`, and not only the addresses of load balancers.
    pub fn announces_external_ips(self) -> bool {
        !matches!(self, Self::Metallb | Self::KubeVip)
    }

    /// Returns whether the speaker itself shows which nodes announce, so that configuration must not: Cilium, Calico
    /// and kube-router each have resources or annotations for that.
    pub fn tells_its_nodes(self) -> bool {
        matches!(self, Self::Cilium | Self::Calico | Self::KubeRouter)
    }
}
