//! Reduces objects to what the engine reads of them.
//!
//! A missing field has the API's default. An address that cannot be parsed is left out and counted. An object that
//! cannot be read at all, or has no name, is an error, and counts as absent.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::Resource;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use rustc_hash::FxHashSet;

use super::limits;
use super::objects::{self, Meta, ObjectReference};
use super::reason;
use crate::model::cluster::{
    AddressFamily, Endpoint, EndpointIdentity, EndpointSlice, IngressUnusable, Node, NodeUid, Service, ServiceHints,
    SliceKey, TrafficPolicy,
};
use crate::model::config::Source;
use crate::model::event::{ClusterEvent, Crowded, Update};
use crate::model::names::{NodeName, ServiceKey};
use crate::model::selector::Labels;
use crate::model::speaker::SpeakerResource;
use crate::model::text::{is_name, printable};

/// Why an object is left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// It does not have the shape of its kind.
    #[error("it does not have the shape of its kind ({0})")]
    Shape(String),
    /// It has no usable name.
    #[error("it has no name, or one that no object can have")]
    Nameless,
    /// It is larger than an object can be.
    #[error("it is larger than {} bytes", limits::OBJECT_BYTES)]
    TooLarge,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape(reason::json(&error))
    }
}

/// The result of reading an object.
#[derive(Debug)]
pub(super) struct Reduced<K, V> {
    /// Its entries; `None` under a key whose entry does not exist (any more).
    pub(super) entries: Vec<(K, Option<V>)>,
    /// Number of its parts that could not be read.
    pub(super) faults: u64,
    /// What it contains beyond the limits, in words.
    pub(super) excess: Option<String>,
}

impl<K, V> Reduced<K, V> {
    /// Creates a result with one entry, and the number of its unreadable parts.
    pub(super) fn one(key: K, value: Option<V>, faults: u64) -> Self {
        Self { entries: vec![(key, value)], faults, excess: None }
    }
}

/// A kind of object: where it is listed and what is read of it.
pub(super) trait Kind: Send {
    /// The key of an entry.
    type Key: Clone + Eq + std::hash::Hash + Send;
    /// The value of an entry.
    type Value: Send;

    /// Whether it is listed in the configured namespaces, not in the whole cluster.
    const NAMESPACED: bool = true;
    /// Objects per page. A page is held in memory twice.
    const PAGE: u32;
    /// Most entries that are kept.
    const MOST: usize;
    /// Whether every object makes an entry, so that their number is known before all are read.
    const EVERY_OBJECT_COUNTS: bool = false;

    /// Returns `services`, as RBAC names it.
    fn resource(&self) -> &'static str;

    /// Returns `/api/v1`, or the path of its group.
    fn api(&self) -> String;

    /// Returns the namespace of an entry, if each namespace may have only its share.
    fn namespace(_key: &Self::Key) -> Option<&Arc<str>> {
        None
    }

    /// Returns the labels that objects must match.
    fn label_selector(&self) -> Option<&str> {
        None
    }

    /// Returns every key that an object with this metadata may have entries under.
    fn keys(&mut self, meta: &Meta) -> Result<Vec<Self::Key>, Unreadable>;

    /// Returns the speaker resource that this kind is, if any.
    fn speaker_resource(&self) -> Option<SpeakerResource> {
        None
    }

    /// Reads an object.
    fn reduce(&mut self, json: &str) -> Result<Reduced<Self::Key, Self::Value>, Unreadable>;

    /// Estimates the memory that an entry takes here; `json` is the length of its object.
    fn bytes(key: &Self::Key, value: &Self::Value, json: usize) -> usize;

    /// Returns the event of an update.
    fn event(&self, update: Update<Self::Key, Self::Value>) -> ClusterEvent;

    /// Returns the event that tells of which namespaces something was left out, if verdicts depend on it.
    fn crowded(&self, _namespaces: BTreeSet<Arc<str>>) -> Option<ClusterEvent> {
        None
    }
}

/// Returns `/api/v1`, or the path of its group, for a kind of Kubernetes itself.
fn api<R: k8s_openapi::Resource>() -> String {
    let root = if R::GROUP.is_empty() { "api" } else { "apis" };
    format!("/{root}/{}", R::API_VERSION)
}

/// Interned names: each is stored once, while it is in use.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: FxHashSet<Arc<str>>,
    /// Number of names at which unused ones are removed.
    tidy_at: usize,
}

/// Number of names below which looking for unused ones is not worthwhile.
const FEW_NAMES: usize = 1024;

impl Names {
    pub(super) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.all.get(name) {
            return Arc::clone(known);
        }
        if self.all.len() >= self.tidy_at.max(FEW_NAMES) {
            self.tidy();
        }
        let name: Arc<str> = Arc::from(name);
        self.all.insert(Arc::clone(&name));
        name
    }

    /// Returns the labels of an object.
    pub(super) fn labels(&mut self, meta: &Meta) -> Labels {
        let labels = meta.labels.iter().flatten();
        labels.map(|(name, value)| (self.get(name), self.get(value))).collect()
    }

    /// Removes unused names. The next run is due when the number has doubled, so that each name is examined about
    /// twice.
    fn tidy(&mut self) {
        self.all.retain(|name| Arc::strong_count(name) > 1);
        self.all.shrink_to(self.all.len() * 2);
        self.tidy_at = self.all.len() * 2;
    }
}

/// Returns the name of an object if it is valid: it is used in paths and sentences.
pub(super) fn name(meta: &Meta) -> Result<&str, Unreadable> {
    meta.name.as_deref().filter(|name| is_name(name)).ok_or(Unreadable::Nameless)
}

/// Returns the namespace of an object if it is valid.
pub(super) fn namespace(meta: &Meta) -> Result<&str, Unreadable> {
    Some(meta.namespace.as_deref().unwrap_or("default")).filter(|name| is_name(name)).ok_or(Unreadable::Nameless)
}

/// Estimates the memory of a text.
pub(super) fn text(text: &str) -> usize {
    limits::TEXT_BYTES + text.len()
}

/// Estimates the memory of labels.
pub(super) fn labels(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| text(name) + text(value)).sum()
}

/// Parses an address, with or without a mask.
fn address(text: &str) -> Option<IpAddr> {
    text.trim().split('/').next().and_then(|text| text.parse().ok())
}

/// Addresses in the given order, without duplicates, up to a limit.
#[derive(Debug, Default)]
struct Addresses {
    all: Vec<IpAddr>,
    seen: FxHashSet<IpAddr>,
    /// How many there are beyond the limit.
    excess: usize,
}

impl Addresses {
    /// Reads at most `most` addresses; adds to `faults` the number of texts that are not addresses.
    fn read<'a>(texts: impl IntoIterator<Item = &'a str>, most: usize, faults: &mut u64) -> Self {
        let mut addresses = Self::default();
        for text in texts {
            match address(text) {
                Some(address) => addresses.add(address, most),
                None => *faults += 1,
            }
        }
        addresses
    }

    fn add(&mut self, address: IpAddr, most: usize) {
        if self.all.len() >= most {
            self.excess += usize::from(!self.seen.contains(&address));
        } else if self.seen.insert(address) {
            self.all.push(address);
        }
    }

    fn sorted(mut self) -> Box<[IpAddr]> {
        self.all.sort_unstable();
        self.all.into_boxed_slice()
    }
}

/// Describes what an object has beyond the limit.
fn excess(object: &dyn fmt::Display, read: usize, beyond: usize) -> Option<String> {
    (beyond > 0).then(|| format!("{object} has {} addresses, of which {read} are read", read + beyond))
}

/// Services that may have VIPs.
#[derive(Debug)]
pub(super) struct Services {
    label_selector: Option<Arc<str>>,
    labels: bool,
    names: Names,
}

impl Services {
    pub(super) fn new(config: &Source) -> Self {
        Self {
            label_selector: config.label_selector.clone(),
            labels: config.speaker.selects_by_labels(),
            names: Names::default(),
        }
    }

    fn key(&mut self, meta: &Meta) -> Result<ServiceKey, Unreadable> {
        Ok(ServiceKey { name: Arc::from(name(meta)?), namespace: self.names.get(namespace(meta)?) })
    }
}

impl Services {
    pub(super) const RESOURCE: &'static str = core::Service::URL_PATH_SEGMENT;
}

impl Kind for Services {
    type Key = ServiceKey;
    type Value = Service;

    const PAGE: u32 = 500;
    const MOST: usize = limits::SERVICES;

    fn resource(&self) -> &'static str {
        Self::RESOURCE
    }

    fn api(&self) -> String {
        api::<core::Service>()
    }

    fn namespace(key: &Self::Key) -> Option<&Arc<str>> {
        Some(&key.namespace)
    }

    fn label_selector(&self) -> Option<&str> {
        self.label_selector.as_deref()
    }

    fn keys(&mut self, meta: &Meta) -> Result<Vec<ServiceKey>, Unreadable> {
        Ok(vec![self.key(meta)?])
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<ServiceKey, Service>, Unreadable> {
        let object: objects::Service = serde_json::from_str(json)?;
        let meta = object.metadata.unwrap_or_default();
        let key = self.key(&meta)?;
        let spec = object.spec.unwrap_or_default();
        let mut faults = 0;

        let load_balancer = spec.kind.as_deref() == Some("LoadBalancer");
        // Read also if they are not judged: a route to one of them is not an orphan.
        let external_ips = spec.external_ips.unwrap_or_default();
        if !load_balancer && external_ips.is_empty() {
            return Ok(Reduced::one(key, None, faults));
        }
        let ingress = object.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
        let (ingress, ingress_unusable) = self::ingress(ingress.unwrap_or_default(), &mut faults);
        let left = limits::VIPS - ingress.all.len();
        let external_ips = Addresses::read(external_ips.iter().map(String::as_str), left, &mut faults);
        if !load_balancer && external_ips.all.is_empty() && external_ips.excess == 0 {
            return Ok(Reduced::one(key, None, faults));
        }
        let (read, beyond) = (ingress.all.len() + external_ips.all.len(), ingress.excess + external_ips.excess);
        let excess = excess(&format_args!("service {key}"), read, beyond);
        let class = spec.load_balancer_class.filter(|class| !class.is_empty());
        let service = Service {
            load_balancer,
            policy: match spec.external_traffic_policy.as_deref() {
                Some("Local") => TrafficPolicy::Local,
                _ => TrafficPolicy::Cluster,
            },
            class: class.map(|class| self.names.get(&printable(&class, limits::QUOTED))),
            ingress: ingress.sorted(),
            ingress_unusable,
            external_ips: external_ips.sorted(),
            hints: hints(&meta),
            labels: if self.labels { self.names.labels(&meta) } else { Labels::default() },
        };
        Ok(Reduced { excess, ..Reduced::one(key, Some(service), faults) })
    }

    fn bytes(key: &ServiceKey, service: &Service, _: usize) -> usize {
        let vips = service.ingress.len() + service.external_ips.len();
        let class = service.class.as_ref().map_or(0, |class| text(class));
        let names = 2 * text(&key.name) + class + labels(&service.labels);
        limits::SERVICE_BYTES + vips * limits::VIP_BYTES + names
    }

    fn event(&self, update: Update<ServiceKey, Service>) -> ClusterEvent {
        ClusterEvent::Services(update)
    }

    fn crowded(&self, namespaces: BTreeSet<Arc<str>>) -> Option<ClusterEvent> {
        Some(ClusterEvent::Crowded(Crowded::Services, namespaces))
    }
}

/// Returns the VIPs, or why there are none.
fn ingress(entries: Vec<objects::Ingress>, faults: &mut u64) -> (Addresses, Option<IngressUnusable>) {
    let (mut usable, mut unusable) = (Addresses::default(), None);
    for entry in entries {
        let text = entry.ip.filter(|ip| !ip.is_empty());
        let why = match (text.as_deref().map(|ip| (ip, ip.parse::<IpAddr>())), entry.hostname) {
            (Some((_, Ok(ip))), _) if entry.ip_mode.as_deref() == Some("Proxy") => IngressUnusable::Proxy(ip),
            (Some((_, Ok(ip))), _) => {
                usable.add(ip, limits::VIPS);
                continue;
            }
            (Some((text, Err(_))), _) => {
                *faults += 1;
                IngressUnusable::NotAnAddress(printable(text, limits::QUOTED).into())
            }
            (None, Some(host)) if !host.is_empty() => {
                IngressUnusable::HostName(printable(&host, limits::QUOTED).into())
            }
            (None, _) => continue,
        };
        unusable.get_or_insert(why);
    }
    let unusable = unusable.filter(|_| usable.all.is_empty());
    (usable, unusable)
}

fn hints(meta: &Meta) -> ServiceHints {
    let kube_router = |annotation: &str| meta.annotation(&format!("kube-router.io/service.{annotation}"));
    ServiceHints {
        kube_router_local: kube_router("local") == Some("true"),
        // kube-router checks whether the annotation exists, not its value.
        kube_router_skip_lb_ips: kube_router("skiplbips").is_some(),
        kube_router_no_advertise: kube_router("advertise.loadbalancerip") == Some("false"),
        kube_router_no_external: kube_router("advertise.externalip") == Some("false"),
        kube_vip_host: meta.annotation("kube-vip.io/vipHost").filter(|host| is_name(host)).map(NodeName::from),
        cilium_proxy: meta.label("io.cilium.gateway/owning-gateway").is_some()
            || meta.label("cilium.io/ingress").is_some(),
        cilium_global: meta.annotation("service.cilium.io/global") == Some("true"),
        cilium_no_load_balancer: meta.annotation("service.cilium.io/type").is_some_and(|kind| kind != "LoadBalancer"),
    }
}

/// EndpointSlices that belong to a service.
#[derive(Debug, Default)]
pub(super) struct Slices {
    names: Names,
}

/// The label that names the service of a slice.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

impl Slices {
    pub(super) const RESOURCE: &'static str = discovery::EndpointSlice::URL_PATH_SEGMENT;
}

impl Kind for Slices {
    type Key = SliceKey;
    type Value = EndpointSlice;

    const PAGE: u32 = 200;
    const MOST: usize = limits::SLICES;

    fn resource(&self) -> &'static str {
        Self::RESOURCE
    }

    fn api(&self) -> String {
        api::<discovery::EndpointSlice>()
    }

    fn namespace(key: &Self::Key) -> Option<&Arc<str>> {
        Some(&key.namespace)
    }

    fn keys(&mut self, meta: &Meta) -> Result<Vec<SliceKey>, Unreadable> {
        Ok(vec![SliceKey { name: Arc::from(name(meta)?), namespace: self.names.get(namespace(meta)?) }])
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<SliceKey, EndpointSlice>, Unreadable> {
        let object: objects::EndpointSlice = serde_json::from_str(json)?;
        let meta = object.metadata.unwrap_or_default();
        let key = SliceKey { name: Arc::from(name(&meta)?), namespace: self.names.get(namespace(&meta)?) };
        let family = match object.address_type.as_deref() {
            Some("IPv4") => Some(AddressFamily::Ipv4),
            Some("IPv6") => Some(AddressFamily::Ipv6),
            Some("FQDN") => Some(AddressFamily::Fqdn),
            _ => None,
        };
        let service = meta.label(SERVICE_NAME_LABEL).filter(|name| is_name(name));
        let (Some(service), Some(family)) = (service, family) else {
            // Without the label it belongs to no service, which is valid; an unknown family is not.
            return Ok(Reduced::one(key, None, u64::from(family.is_none())));
        };
        let service = ServiceKey { namespace: Arc::clone(&key.namespace), name: self.names.get(service) };
        let mut faults = 0;
        let mut endpoints = Vec::new();
        for endpoint in object.endpoints.unwrap_or_default() {
            let first = endpoint.addresses.as_ref().and_then(|addresses| addresses.first()).map(String::as_str);
            let Some(first) = first.filter(|address| family == AddressFamily::Fqdn || is_of(family, address)) else {
                faults += 1;
                continue;
            };
            let conditions = endpoint.conditions.unwrap_or_default();
            let ready = conditions.ready.unwrap_or(true);
            endpoints.push(Endpoint {
                identity: identity(endpoint.target_ref.as_ref(), &key.namespace, first),
                node: node(&mut self.names, endpoint.node_name.as_deref()),
                ready,
                serving: conditions.serving.unwrap_or(ready),
            });
        }
        let slice = EndpointSlice { service, family, endpoints: endpoints.into_boxed_slice() };
        Ok(Reduced::one(key, Some(slice), faults))
    }

    fn bytes(key: &SliceKey, slice: &EndpointSlice, _: usize) -> usize {
        slice_bytes(key, slice)
    }

    fn event(&self, update: Update<SliceKey, EndpointSlice>) -> ClusterEvent {
        ClusterEvent::EndpointSlices(update)
    }

    fn crowded(&self, namespaces: BTreeSet<Arc<str>>) -> Option<ClusterEvent> {
        Some(ClusterEvent::Crowded(Crowded::EndpointSlices, namespaces))
    }
}

fn slice_bytes(key: &SliceKey, slice: &EndpointSlice) -> usize {
    let nodes = slice.endpoints.iter().filter_map(|endpoint| endpoint.node.as_ref());
    // Nodes that exist have their names only once, but nothing requires that they exist.
    let nodes: usize = nodes.map(|node| text(node.as_str())).sum();
    let names = 2 * text(&key.name) + text(&slice.service.name) + nodes;
    limits::SLICE_BYTES + slice.endpoints.len() * limits::ENDPOINT_BYTES + names
}

fn is_of(family: AddressFamily, text: &str) -> bool {
    match text.parse() {
        Ok(IpAddr::V4(_)) => family == AddressFamily::Ipv4,
        Ok(IpAddr::V6(_)) => family == AddressFamily::Ipv6,
        Err(_) => false,
    }
}

fn node(names: &mut Names, name: Option<&str>) -> Option<NodeName> {
    name.filter(|name| is_name(name)).map(|name| NodeName::from(names.get(name)))
}

/// Returns what identifies an endpoint across slices.
fn identity(target: Option<&ObjectReference>, namespace: &str, address: &str) -> EndpointIdentity {
    let name = target.and_then(|target| Some((target, target.name.as_deref().filter(|name| !name.is_empty())?)));
    match name {
        Some((target, name)) => {
            let kind = target.kind.as_deref().unwrap_or("Pod");
            EndpointIdentity::of((kind, target.namespace.as_deref().unwrap_or(namespace), name))
        }
        None => EndpointIdentity::of(address),
    }
}

/// Core Endpoints, used if slices cannot be read: an object makes one slice per address family.
#[derive(Debug, Default)]
pub(super) struct CoreEndpoints {
    names: Names,
}

const FAMILIES: [(AddressFamily, &str); 2] = [(AddressFamily::Ipv4, "ipv4"), (AddressFamily::Ipv6, "ipv6")];

impl CoreEndpoints {
    fn key(&mut self, meta: &Meta, family: &str) -> Result<SliceKey, Unreadable> {
        // No EndpointSlice can have this name, because names must not contain a slash.
        let name = Arc::from(format!("{}/{family}", name(meta)?));
        Ok(SliceKey { name, namespace: self.names.get(namespace(meta)?) })
    }
}

impl CoreEndpoints {
    pub(super) const RESOURCE: &'static str = core::Endpoints::URL_PATH_SEGMENT;
}

impl Kind for CoreEndpoints {
    type Key = SliceKey;
    type Value = EndpointSlice;

    const PAGE: u32 = 200;
    const MOST: usize = limits::SLICES;

    fn resource(&self) -> &'static str {
        Self::RESOURCE
    }

    fn api(&self) -> String {
        api::<core::Endpoints>()
    }

    fn namespace(key: &Self::Key) -> Option<&Arc<str>> {
        Some(&key.namespace)
    }

    fn keys(&mut self, meta: &Meta) -> Result<Vec<SliceKey>, Unreadable> {
        FAMILIES.iter().map(|(_, family)| self.key(meta, family)).collect()
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<SliceKey, EndpointSlice>, Unreadable> {
        let object: objects::Endpoints = serde_json::from_str(json)?;
        let meta = object.metadata.unwrap_or_default();
        let service = ServiceKey { name: self.names.get(name(&meta)?), namespace: self.names.get(namespace(&meta)?) };
        let mut faults = 0;
        let mut by_family = [Vec::new(), Vec::new()];
        for subset in object.subsets.unwrap_or_default() {
            for (addresses, ready) in [(subset.addresses, true), (subset.not_ready_addresses, false)] {
                for address in addresses.unwrap_or_default() {
                    let text = address.ip.as_deref().unwrap_or_default();
                    let Some(at) = FAMILIES.iter().position(|(family, _)| is_of(*family, text)) else {
                        faults += 1;
                        continue;
                    };
                    by_family[at].push(Endpoint {
                        identity: identity(address.target_ref.as_ref(), &service.namespace, text),
                        node: node(&mut self.names, address.node_name.as_deref()),
                        ready,
                        serving: ready,
                    });
                }
            }
        }
        let mut entries = Vec::with_capacity(FAMILIES.len());
        for ((family, name), endpoints) in FAMILIES.into_iter().zip(by_family) {
            let slice = EndpointSlice { service: service.clone(), family, endpoints: endpoints.into_boxed_slice() };
            entries.push((self.key(&meta, name)?, Some(slice).filter(|slice| !slice.endpoints.is_empty())));
        }
        Ok(Reduced { entries, faults, excess: None })
    }

    fn bytes(key: &SliceKey, slice: &EndpointSlice, _: usize) -> usize {
        slice_bytes(key, slice)
    }

    fn event(&self, update: Update<SliceKey, EndpointSlice>) -> ClusterEvent {
        ClusterEvent::EndpointSlices(update)
    }

    fn crowded(&self, namespaces: BTreeSet<Arc<str>>) -> Option<ClusterEvent> {
        Some(ClusterEvent::Crowded(Crowded::EndpointSlices, namespaces))
    }
}

/// Nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    annotation: Option<Arc<str>>,
    labels: bool,
    names: Names,
}

impl Nodes {
    pub(super) fn new(config: &Source) -> Self {
        Self { annotation: config.node_address_annotation.clone(), labels: config.node_labels, names: Names::default() }
    }
}

const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Annotations with the addresses that speakers speak from, with or without a mask.
const SPEAKER_ANNOTATIONS: [&str; 4] = [
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "kube-router.io/bgp-local-addresses",
    "kube-router.io/peer.localips",
];

impl Nodes {
    pub(super) const RESOURCE: &'static str = core::Node::URL_PATH_SEGMENT;
}

impl Kind for Nodes {
    type Key = NodeName;
    type Value = Node;

    const NAMESPACED: bool = false;
    const PAGE: u32 = 200;
    const MOST: usize = limits::NODES;
    const EVERY_OBJECT_COUNTS: bool = true;

    fn resource(&self) -> &'static str {
        Self::RESOURCE
    }

    fn api(&self) -> String {
        api::<core::Node>()
    }

    fn keys(&mut self, meta: &Meta) -> Result<Vec<NodeName>, Unreadable> {
        Ok(vec![NodeName::from(self.names.get(name(meta)?))])
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<NodeName, Node>, Unreadable> {
        let object: objects::Node = serde_json::from_str(json)?;
        let meta = object.metadata.unwrap_or_default();
        let key = NodeName::from(self.names.get(name(&meta)?));
        let status = object.status.unwrap_or_default();
        let listed = status.addresses.unwrap_or_default();
        let mut faults = 0;
        let annotated = self.annotation.as_deref().and_then(|name| meta.annotation(name));
        let speaker = SPEAKER_ANNOTATIONS.iter().filter_map(|name| meta.annotation(name));
        let (mut kept, mut beyond) = (0, 0);
        let mut read = |addresses: &mut dyn Iterator<Item = &str>| -> Box<[IpAddr]> {
            let addresses = Addresses::read(addresses, limits::NODE_ADDRESSES, &mut faults);
            kept += addresses.all.len();
            beyond += addresses.excess;
            addresses.all.into()
        };
        let node = Node {
            uid: meta.uid.as_deref().filter(|uid| !uid.is_empty()).map(NodeUid::of),
            annotated: read(&mut annotated.into_iter().flat_map(words)),
            speaker: read(&mut speaker.flat_map(words)),
            internal: read(&mut of_kind(&listed, "InternalIP")),
            external: read(&mut of_kind(&listed, "ExternalIP")),
            exclude_label: meta.label(EXCLUDE_LABEL).map(|value| self.names.get(&printable(value, limits::QUOTED))),
            network_unavailable: status.conditions.unwrap_or_default().iter().any(|condition| {
                condition.kind.as_deref() == Some("NetworkUnavailable") && condition.status.as_deref() == Some("True")
            }),
            labels: if self.labels { self.names.labels(&meta) } else { Labels::default() },
        };
        let excess = excess(&format_args!("node {key}"), kept, beyond);
        Ok(Reduced { excess, ..Reduced::one(key, Some(node), faults) })
    }

    fn bytes(name: &NodeName, node: &Node, _: usize) -> usize {
        let addresses = [&node.annotated, &node.speaker, &node.internal, &node.external];
        let addresses: usize = addresses.map(|addresses| addresses.len()).iter().sum();
        let names = text(name.as_str()) + labels(&node.labels);
        limits::NODE_BYTES + addresses * limits::NODE_ADDRESS_BYTES + names
    }

    fn event(&self, update: Update<NodeName, Node>) -> ClusterEvent {
        ClusterEvent::Nodes(update)
    }
}

fn of_kind<'a>(addresses: &'a [objects::NodeAddress], kind: &'a str) -> impl Iterator<Item = &'a str> {
    addresses
        .iter()
        .filter(move |address| address.kind.as_deref() == Some(kind))
        .map(|address| address.address.as_deref().unwrap_or_default())
}

/// Splits an annotation with several addresses, which are separated by commas or blanks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
