//! Reads what speakers need from Kubernetes objects, leniently: a field that is absent or absurd is ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

/// The objects of one cluster that decide what is announced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    pub(crate) services: Vec<Service>,
    /// Endpoints by namespace and service.
    pub(crate) endpoints: BTreeMap<(String, String), Vec<Endpoint>>,
    /// Services that have at least one EndpointSlice.
    pub(crate) sliced: BTreeSet<(String, String)>,
    pub(crate) nodes: BTreeMap<String, Node>,
    /// Resources of speakers, by kind.
    pub(crate) resources: BTreeMap<String, Vec<Value>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) key: (String, String),
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) load_balancer: bool,
    pub(crate) class: Option<String>,
    pub(crate) local: bool,
    /// Load balancer addresses in VIP mode.
    pub(crate) ingress: Vec<IpAddr>,
    pub(crate) external: Vec<IpAddr>,
    pub(crate) cluster: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) node: Option<String>,
    /// Whether the endpoint is ready; true if the condition is absent.
    pub(crate) ready: bool,
    pub(crate) serving: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) labels: Labels,
    pub(crate) network_unavailable: bool,
    /// Address ranges of its pods.
    pub(crate) pod_ranges: Vec<IpNet>,
}

pub(crate) type Labels = BTreeMap<String, String>;

impl Objects {
    /// Reads all objects of a cluster. Kinds that no speaker reads are skipped.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut objects = Self::default();
        for value in values {
            match text(value, "/kind").unwrap_or_default() {
                "Service" => objects.services.push(service(value)),
                "EndpointSlice" => objects.slice(value),
                "Node" => {
                    objects.nodes.insert(name(value), node(value));
                }
                kind @ ("IPAddressPool"
                | "BGPAdvertisement"
                | "BGPPeer"
                | "CiliumNode"
                | "CiliumBGPPeeringPolicy"
                | "CiliumBGPClusterConfig"
                | "CiliumBGPPeerConfig"
                | "CiliumBGPAdvertisement"
                | "BGPConfiguration"
                | "L2Advertisement"
                | "CiliumL2AnnouncementPolicy"
                | "Lease") => objects.resources.entry(kind.to_owned()).or_default().push(value.clone()),
                _ => {}
            }
        }
        objects
    }

    fn slice(&mut self, value: &Value) {
        let Some(service) = text(value, "/metadata/labels/kubernetes.io~1service-name") else { return };
        let key = (namespace(value), service.to_owned());
        self.sliced.insert(key.clone());
        let endpoints = items(value, "/endpoints").map(|endpoint| {
            let ready = flag(endpoint, "/conditions/ready").unwrap_or(true);
            Endpoint {
                node: text(endpoint, "/nodeName").filter(|name| !name.is_empty()).map(str::to_owned),
                ready,
                serving: flag(endpoint, "/conditions/serving").unwrap_or(ready),
            }
        });
        self.endpoints.entry(key).or_default().extend(endpoints);
    }

    /// Returns the endpoints of a service.
    pub(crate) fn endpoints_of(&self, service: &Service) -> &[Endpoint] {
        self.endpoints.get(&service.key).map_or(&[], Vec::as_slice)
    }

    /// Returns the resources of one kind.
    pub(crate) fn resources(&self, kind: &str) -> &[Value] {
        self.resources.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Returns the labels of a node; empty if the cluster does not know it.
    pub(crate) fn node_labels(&self, node: &str) -> Labels {
        self.nodes.get(node).map(|node| node.labels.clone()).unwrap_or_default()
    }
}

fn service(value: &Value) -> Service {
    let addresses = |pointer: &str| texts(value, pointer).filter_map(|text| text.parse().ok()).collect();
    Service {
        key: (namespace(value), name(value)),
        labels: labels(value, "/metadata/labels"),
        annotations: labels(value, "/metadata/annotations"),
        load_balancer: text(value, "/spec/type") == Some("LoadBalancer"),
        class: text(value, "/spec/loadBalancerClass").map(str::to_owned),
        local: text(value, "/spec/externalTrafficPolicy") == Some("Local"),
        ingress: items(value, "/status/loadBalancer/ingress")
            .filter(|ingress| text(ingress, "/ipMode").is_none_or(|mode| mode == "VIP"))
            .filter_map(|ingress| text(ingress, "/ip")?.parse().ok())
            .collect(),
        external: addresses("/spec/externalIPs"),
        cluster: addresses("/spec/clusterIPs"),
    }
}

fn node(value: &Value) -> Node {
    let unavailable = |condition: &Value| {
        text(condition, "/type") == Some("NetworkUnavailable") && text(condition, "/status") == Some("True")
    };
    Node {
        labels: labels(value, "/metadata/labels"),
        network_unavailable: items(value, "/status/conditions").any(unavailable),
        pod_ranges: texts(value, "/spec/podCIDRs").filter_map(|range| range.parse().ok()).collect(),
    }
}

/// Returns `metadata.name`.
pub(crate) fn name(value: &Value) -> String {
    text(value, "/metadata/name").unwrap_or_default().to_owned()
}

fn namespace(value: &Value) -> String {
    text(value, "/metadata/namespace").unwrap_or("default").to_owned()
}

/// Returns the string at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// Returns the Boolean at a JSON pointer.
pub(crate) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer)?.as_bool()
}

/// Returns the members of the array at a JSON pointer.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Returns the strings of the array at a JSON pointer.
pub(crate) fn texts<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    items(value, pointer).filter_map(Value::as_str)
}

/// Returns the map of strings at a JSON pointer.
pub(crate) fn labels(value: &Value, pointer: &str) -> Labels {
    let members = value.pointer(pointer).and_then(Value::as_object);
    let pairs = members.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Returns whether a label selector (`matchLabels`, `matchExpressions`) selects these labels. An empty one selects all.
pub(crate) fn selects(selector: &Value, labels: &Labels) -> bool {
    let wanted = self::labels(selector, "/matchLabels");
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        && items(selector, "/matchExpressions").all(|expression| matches_expression(expression, labels))
}

fn matches_expression(expression: &Value, labels: &Labels) -> bool {
    let value = labels.get(text(expression, "/key").unwrap_or_default());
    let among = |value: &String| texts(expression, "/values").any(|candidate| candidate == value);
    match text(expression, "/operator").unwrap_or_default() {
        "In" => value.is_some_and(among),
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// Returns whether any selector of a list selects these labels. An empty or absent list selects everything.
pub(crate) fn any_selects(value: &Value, pointer: &str, labels: &Labels) -> bool {
    let mut selectors = items(value, pointer).peekable();
    selectors.peek().is_none() || selectors.any(|selector| selects(selector, labels))
}
