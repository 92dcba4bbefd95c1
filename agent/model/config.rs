//! What the operator configured, validated. Raw configuration never gets here: see [`crate::config`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::names::{ClusterName, NetworkInstanceName, NodeName};

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
    /// How its API is reached.
    pub connection: Connection,
    /// `network-namespace`: where sockets to the API server are opened; none for the agent's own ("self").
    pub network_namespace: Option<Arc<str>>,
    /// `network-instance`: where its VIPs live.
    pub network_instance: NetworkInstanceName,
    /// `speaker`.
    pub speaker: Speaker,
    /// `namespace`: which namespaces to look at; empty for all.
    pub namespaces: BTreeSet<Arc<str>>,
    /// `label-selector` for Services.
    pub label_selector: Option<Arc<str>>,
    /// `load-balancer-class`; none leaves the speaker's own rule.
    pub load_balancer_class: Option<Arc<str>>,
    /// `include-external-ips`.
    pub include_external_ips: bool,
    /// `vip-pool`.
    pub vip_pools: BTreeSet<IpNet>,
    /// `shared-with`: clusters that may claim the same VIPs.
    pub shared_with: BTreeSet<ClusterName>,
    /// `ecmp-limit`: next-hops this switch installs at most.
    pub ecmp_limit: Option<u16>,
    /// `node-address-annotation`.
    pub node_address_annotation: Option<Arc<str>>,
    /// `node/fabric-address`: the addresses nodes speak BGP from, as the operator knows them.
    pub fabric_addresses: BTreeMap<NodeName, BTreeSet<IpAddr>>,
}

impl ClusterConfig {
    /// Whether the same objects are watched in the same way: what else differs is a matter of judging them, and no reason
    /// to list the cluster anew. Each speaker has resources of its own.
    pub fn same_source(&self, other: &Self) -> bool {
        let source = |config: &Self| Self {
            network_instance: NetworkInstanceName::from(""),
            load_balancer_class: None,
            vip_pools: BTreeSet::new(),
            shared_with: BTreeSet::new(),
            ecmp_limit: None,
            fabric_addresses: BTreeMap::new(),
            ..config.clone()
        };
        source(self) == source(other)
    }
}

/// How a cluster's API is reached, and by whose leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// `kubeconfig`, and `context` in it (none for its current one).
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

/// What announces VIPs in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speaker {
    /// MetalLB in any BGP mode.
    #[default]
    Metallb,
    /// Cilium BGP Control Plane.
    Cilium,
    /// Calico (BIRD).
    Calico,
    /// kube-router.
    KubeRouter,
    /// Anything else that follows MetalLB's endpoint rules, without its labels and conditions.
    Generic,
}

impl Speaker {
    /// Every speaker.
    pub const ALL: [Self; 5] = [Self::Metallb, Self::Cilium, Self::Calico, Self::KubeRouter, Self::Generic];

    /// The name in YANG.
    pub fn as_yang(self) -> &'static str {
        match self {
            Self::Metallb => "metallb",
            Self::Cilium => "cilium",
            Self::Calico => "calico",
            Self::KubeRouter => "kube-router",
            Self::Generic => "generic",
        }
    }
}
