//! Defines the parts of speakers' resources that are read. Every field may be missing or null. Maps and lists have a
//! limit, beyond which the object cannot be read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::bounded;
use super::super::objects::Meta;

/// An object with a spec.
#[derive(Debug, Deserialize)]
pub(super) struct Custom<S> {
    pub(super) metadata: Option<Meta>,
    pub(super) spec: Option<S>,
}

/// meta/v1 LabelSelector.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LabelSelector {
    #[serde(default, deserialize_with = "bounded::map")]
    pub(super) match_labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) match_expressions: Option<Vec<Expression>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Expression {
    pub(super) key: Option<String>,
    pub(super) operator: Option<String>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) values: Option<Vec<String>>,
}

/// metallb.io IPAddressPool.
#[derive(Debug, Default, Deserialize)]
pub(super) struct IpAddressPool {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) addresses: Option<Vec<String>>,
}

/// metallb.io BGPAdvertisement.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BgpAdvertisement {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) ip_address_pools: Option<Vec<String>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) ip_address_pool_selectors: Option<Vec<LabelSelector>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) node_selectors: Option<Vec<LabelSelector>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) service_selectors: Option<Vec<LabelSelector>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) peers: Option<Vec<String>>,
    pub(super) aggregation_length: Option<i64>,
    #[serde(rename = "aggregationLengthV6")]
    pub(super) aggregation_length_v6: Option<i64>,
    pub(super) local_pref: Option<u32>,
    pub(super) as_path_prepend: Option<u8>,
}

/// metallb.io L2Advertisement.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct L2Advertisement {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) ip_address_pools: Option<Vec<String>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) ip_address_pool_selectors: Option<Vec<LabelSelector>>,
}

/// metallb.io BGPPeer. Passwords and the like are not read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BgpPeer {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) node_selectors: Option<Vec<LabelSelector>>,
    pub(super) source_address: Option<String>,
    pub(super) peer_address: Option<String>,
}

/// cilium.io CiliumLoadBalancerIPPool.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CiliumPool {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) blocks: Option<Vec<Block>>,
    /// The name of `blocks` in former versions.
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) cidrs: Option<Vec<Block>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Block {
    pub(super) cidr: Option<String>,
    pub(super) start: Option<String>,
    pub(super) stop: Option<String>,
}

/// cilium.io CiliumBGPAdvertisement.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CiliumAdvertisements {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) advertisements: Option<Vec<CiliumAdvertisement>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CiliumAdvertisement {
    pub(super) advertisement_type: Option<String>,
    pub(super) service: Option<CiliumService>,
    pub(super) selector: Option<LabelSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CiliumService {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) addresses: Option<Vec<String>>,
    #[serde(rename = "aggregationLengthIPv4")]
    pub(super) aggregation_length_ipv4: Option<i64>,
    #[serde(rename = "aggregationLengthIPv6")]
    pub(super) aggregation_length_ipv6: Option<i64>,
}

/// cilium.io CiliumBGPClusterConfig and CiliumBGPNodeConfig.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CiliumInstances {
    pub(super) node_selector: Option<LabelSelector>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) bgp_instances: Option<Vec<CiliumInstance>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CiliumInstance {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) peers: Option<Vec<CiliumInstancePeer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CiliumInstancePeer {
    pub(super) peer_config_ref: Option<Reference>,
    pub(super) local_address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Reference {
    pub(super) name: Option<String>,
}

/// cilium.io CiliumBGPPeerConfig.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CiliumPeerConfig {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) families: Option<Vec<CiliumFamily>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CiliumFamily {
    pub(super) afi: Option<String>,
    pub(super) advertisements: Option<LabelSelector>,
}

/// cilium.io CiliumL2AnnouncementPolicy.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CiliumL2Policy {
    pub(super) service_selector: Option<LabelSelector>,
    #[serde(rename = "loadBalancerIPs")]
    pub(super) load_balancer_ips: Option<bool>,
    #[serde(rename = "externalIPs")]
    pub(super) external_ips: Option<bool>,
}

/// projectcalico.org BGPConfiguration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CalicoConfiguration {
    #[serde(rename = "serviceLoadBalancerIPs", default, deserialize_with = "bounded::list")]
    pub(super) service_load_balancer_ips: Option<Vec<Block>>,
    #[serde(rename = "serviceExternalIPs", default, deserialize_with = "bounded::list")]
    pub(super) service_external_ips: Option<Vec<Block>>,
    pub(super) service_load_balancer_aggregation: Option<String>,
}

/// projectcalico.org BGPPeer. Passwords are in Secrets, which it only names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CalicoPeer {
    pub(super) node: Option<String>,
    pub(super) node_selector: Option<String>,
    #[serde(rename = "peerIP")]
    pub(super) peer_ip: Option<String>,
    pub(super) peer_selector: Option<String>,
    pub(super) local_workload_selector: Option<String>,
}

/// projectcalico.org IPPool.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CalicoPool {
    pub(super) cidr: Option<String>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) allowed_uses: Option<Vec<String>>,
}
