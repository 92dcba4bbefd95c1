//! What the operator configured, validated. Raw configuration never gets here: see [`crate::config`].

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
    /// `admin-state` is enable.
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
    /// How long a condition must hold before it is an alarm.
    pub raise_hold: Duration,
    /// How long it must be gone before the alarm is cleared.
    pub clear_hold: Duration,
    /// Entries kept in `alarm-history`.
    pub history_size: u16,
    /// Tell the Service's owner by a Kubernetes Event.
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

/// `/k8s-services/cluster`, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `admin-state` is enable.
    pub enabled: bool,
    /// How its objects are watched.
    pub source: Source,
    /// How they are judged.
    pub rules: Rules,
}

/// The part of a cluster's configuration that says which objects are watched, and how: a change means that the cluster is
/// listed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How its API is reached.
    pub connection: Connection,
    /// `network-namespace`: where sockets to the API server are opened; `None` for the agent's own ("self").
    pub network_namespace: Option<Arc<str>>,
    /// `speaker`: each has resources of its own.
    pub speaker: Speaker,
    /// `namespace`: which namespaces to look at; empty for all.
    pub namespaces: BTreeSet<Arc<str>>,
    /// `label-selector` for Services.
    pub label_selector: Option<Arc<str>>,
    /// `include-external-ips`.
    pub include_external_ips: bool,
    /// `node-address-annotation`.
    pub node_address_annotation: Option<Arc<str>>,
    /// The labels of nodes are kept: something selects by them.
    pub node_labels: bool,
}

/// The part of a cluster's configuration that says how its objects are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `network-instance`: where its VIPs live.
    pub network_instance: NetworkInstanceName,
    /// `load-balancer-class`; `None` leaves the speaker's own rule.
    pub load_balancer_class: Option<Arc<str>>,
    /// `announcement`: how its VIPs are made known.
    pub announcement: AnnouncementMode,
    /// `speaker-node-selector`: labels of the nodes that run a speaker; `None` for all.
    pub speaker_node_selector: Option<Selector>,
    /// `transit-address`: next-hops that lead to the cluster and are no node.
    pub transit_addresses: BTreeSet<IpAddr>,
    /// `vip-pool`.
    pub vip_pools: BTreeSet<IpNet>,
    /// `shared-with`: clusters that may claim the same VIPs.
    pub shared_with: BTreeSet<ClusterName>,
    /// `ecmp-limit`: next-hops this switch installs at most.
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
    /// `announcement` of a cluster: how its VIPs are made known.
    AnnouncementMode {
        /// Found out for each from the speaker's resources and the switch's tables.
        Auto = "auto",
        /// By BGP.
        Bgp = "bgp",
        /// By ARP and ND.
        L2 = "l2",
    }
}

/// How a cluster's API is reached, and by whose leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// `kubeconfig`, and `context` in it (`None` for its current one).
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context, else the file's current one.
        context: Option<Arc<str>>,
    },
    /// `api-server` and the files beside it.
    ApiServer {
        /// `https://host:port` (or `http://`, which state then says).
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
    /// What announces VIPs in a cluster.
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
    /// As the module has it.
    fn default() -> Self {
        Self::Metallb
    }
}

impl Speaker {
    /// Resources of this speaker select services and nodes by their labels.
    pub fn selects_by_labels(self) -> bool {
        matches!(self, Self::Metallb | Self::Cilium)
    }

    /// `spec.externalIPs` are announced, not only the addresses of load balancers.
    pub fn announces_external_ips(self) -> bool {
        !matches!(self, Self::Metallb | Self::KubeVip)
    }

    /// The speaker itself shows which nodes announce, so that configuration must not: Cilium, Calico and kube-router each
    /// have resources or annotations for it.
    pub fn tells_its_nodes(self) -> bool {
        matches!(self, Self::Cilium | Self::Calico | Self::KubeRouter)
    }
}
