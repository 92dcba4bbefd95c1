//! Defines the parts of Kubernetes objects that are read. Every field may be missing or null. Maps and lists have a
//! limit, beyond which the object cannot be read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::bounded::{self, Items};

/// A page of a listing. Items are parsed one by one, so that an unreadable one does not affect the others.
#[derive(Debug, Deserialize)]
pub(super) struct List<'a> {
    #[serde(borrow)]
    pub(super) metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) items: Option<Items<'a>>,
}

/// Metadata of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMeta {
    pub(super) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
    pub(super) remaining_item_count: Option<u64>,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchLine<'a> {
    #[serde(rename = "type")]
    pub(super) change: String,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// The part that every object has.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Option<Meta>,
}

/// The content of `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    #[serde(default, deserialize_with = "bounded::map")]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "bounded::map")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Meta {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// v1 Service.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Service {
    pub(super) metadata: Option<Meta>,
    pub(super) spec: Option<ServiceSpec>,
    pub(super) status: Option<ServiceStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) external_traffic_policy: Option<String>,
    pub(super) load_balancer_class: Option<String>,
    #[serde(rename = "externalIPs", default, deserialize_with = "bounded::list")]
    pub(super) external_ips: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceStatus {
    pub(super) load_balancer: Option<LoadBalancer>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct LoadBalancer {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) ingress: Option<Vec<Ingress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ingress {
    pub(super) ip: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) ip_mode: Option<String>,
}

/// discovery.k8s.io/v1 EndpointSlice.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    pub(super) metadata: Option<Meta>,
    pub(super) address_type: Option<String>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) endpoints: Option<Vec<Endpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) addresses: Option<Vec<String>>,
    pub(super) conditions: Option<EndpointConditions>,
    pub(super) node_name: Option<String>,
    pub(super) target_ref: Option<ObjectReference>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct EndpointConditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ObjectReference {
    pub(super) kind: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

/// v1 Endpoints.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Endpoints {
    pub(super) metadata: Option<Meta>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) subsets: Option<Vec<EndpointSubset>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSubset {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) addresses: Option<Vec<EndpointAddress>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) not_ready_addresses: Option<Vec<EndpointAddress>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointAddress {
    pub(super) ip: Option<String>,
    pub(super) node_name: Option<String>,
    pub(super) target_ref: Option<ObjectReference>,
}

/// v1 Node.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Node {
    pub(super) metadata: Option<Meta>,
    pub(super) status: Option<NodeStatus>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeStatus {
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) addresses: Option<Vec<NodeAddress>>,
    #[serde(default, deserialize_with = "bounded::list")]
    pub(super) conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeAddress {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) status: Option<String>,
}
