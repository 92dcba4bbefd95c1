//! The state of a cluster, under one lock: the objects of every kind, one counter for all versions, and the work that
//! is left for the controllers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::ClusterOptions;
use super::error::ApiError;
use super::json::{flag, int, items, text};
use super::notice::Notice;
use super::resource::{Registry, Resource, ResourceId};
use super::store::{Collection, Key, Stored};
use super::work::Work;

/// The part of an object that a write concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything except status, as clients write it.
    Main,
    /// Status only.
    Status,
    /// Everything, as the cluster's own controllers and the Rust API write it.
    Whole,
}

/// The objects of a cluster, with lookups and options.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: ClusterOptions,
    pub(crate) registry: Registry,
    collections: Vec<Collection>,
    pub(crate) version: u64,
    seed: u64,
    pub(crate) notices: Vec<Notice>,
    /// Services by the VIPs in their status.
    pub(crate) vips: BTreeMap<IpAddr, BTreeSet<Key>>,
    /// Services whose status the cluster's own allocator wrote.
    pub(crate) allocated: BTreeSet<Key>,
    /// Last address assigned to a pod, by node, so that addresses are not reused at once.
    pub(crate) pod_addresses: BTreeMap<Arc<str>, u64>,
    pub(crate) cluster_ips: BTreeSet<IpAddr>,
    pub(crate) node_ports: BTreeSet<u16>,
    pub(crate) work: BTreeSet<Work>,
    /// API groups that are not served, as if their definitions were not installed.
    pub(crate) withdrawn: BTreeSet<String>,
    /// Whether controllers act on changes; false while objects are loaded in bulk.
    pub(crate) controllers: bool,
}

impl State {
    pub(crate) fn new(options: ClusterOptions) -> Self {
        let registry = Registry::new();
        let seed = options.name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        let mut state = Self {
            collections: (0..registry.len()).map(|_| Collection::default()).collect(),
            options,
            registry,
            version: 100,
            seed,
            notices: Vec::new(),
            vips: BTreeMap::new(),
            allocated: BTreeSet::new(),
            pod_addresses: BTreeMap::new(),
            cluster_ips: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            work: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            controllers: true,
        };
        state.controllers = state.options.controllers;
        state
    }

    /// Returns whether the API serves a group.
    pub(crate) fn serves(&self, group: &str) -> bool {
        !self.withdrawn.contains(group) && (self.options.serve_slices || group != "discovery.k8s.io")
    }

    /// Returns the id of a built-in kind.
    pub(crate) fn kind(&self, name: &str) -> ResourceId {
        self.registry.by_name(name).expect("a built-in kind")
    }

    pub(crate) fn collection(&self, id: ResourceId) -> &Collection {
        &self.collections[id.0]
    }

    pub(crate) fn collection_mut(&mut self, id: ResourceId) -> &mut Collection {
        &mut self.collections[id.0]
    }

    pub(crate) fn resource(&self, id: ResourceId) -> &Resource {
        self.registry.get(id)
    }

    pub(crate) fn get(&self, id: ResourceId, key: &Key) -> Option<&Arc<Stored>> {
        self.collections[id.0].objects.get(key)
    }

    /// Returns an object of a built-in kind.
    pub(crate) fn find(&self, kind: &str, key: &Key) -> Option<Arc<Value>> {
        self.get(self.kind(kind), key).map(|stored| Arc::clone(&stored.value))
    }

    pub(crate) fn expect(&self, id: ResourceId, key: &Key) -> Result<&Arc<Stored>, ApiError> {
        self.get(id, key)
            .ok_or_else(|| ApiError::NotFound { resource: self.resource(id).qualified(), name: key.name.to_string() })
    }

    /// Returns the next number of the cluster's own sequence, so that names and uids are the same in every run.
    pub(crate) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns the five characters that Kubernetes appends to generated names.
    pub(crate) fn suffix(&mut self) -> String {
        letters(self.random(), 5)
    }

    pub(crate) fn uid(&mut self) -> String {
        let (a, b) = (self.random(), self.random());
        let (high, mid, low) = (a >> 32, (a >> 16) & 0xffff, a & 0xfff);
        format!("{high:08x}-{mid:04x}-4{low:03x}-{:04x}-{:012x}", 0x8000 | (b >> 48) & 0x3fff, b & 0xffff_ffff_ffff)
    }

    /// Updates the lookups beside the objects, whether or not controllers act.
    pub(crate) fn index(&mut self, kind: &str, key: &Key, before: Option<&Value>, after: Option<&Value>) {
        match kind {
            "Service" => self.index_service(key, before, after),
            "CustomResourceDefinition" => {
                if let Some(definition) = after
                    && self.registry.define(definition)
                {
                    self.collections.push(Collection::default());
                }
            }
            _ => {}
        }
    }

    fn index_service(&mut self, key: &Key, before: Option<&Value>, after: Option<&Value>) {
        for address in before.into_iter().flat_map(vips) {
            if let Some(services) = self.vips.get_mut(&address) {
                services.remove(key);
                if services.is_empty() {
                    self.vips.remove(&address);
                }
            }
        }
        for address in after.into_iter().flat_map(vips) {
            self.vips.entry(address).or_default().insert(key.clone());
        }
        for (service, present) in [(before, false), (after, true)] {
            let Some(service) = service else { continue };
            for address in items(service, "/spec/clusterIPs").iter().filter_map(|ip| ip.as_str()?.parse().ok()) {
                if present {
                    self.cluster_ips.insert(address)
                } else {
                    self.cluster_ips.remove(&address)
                };
            }
            for port in node_ports(service) {
                if present {
                    self.node_ports.insert(port)
                } else {
                    self.node_ports.remove(&port)
                };
            }
        }
        if after.is_none() {
            self.allocated.remove(key);
        }
    }
}

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

/// Encodes a number in the characters from which Kubernetes generates names: they spell no words.
pub(crate) fn letters(mut number: u64, count: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut next = || {
        let at = number % LETTERS.len() as u64;
        number /= LETTERS.len() as u64;
        char::from(LETTERS[usize::try_from(at).unwrap_or_default()])
    };
    (0..count).map(|_| next()).collect()
}

/// Returns a number that depends only on the text.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)
}

/// Returns the current time in seconds, as Kubernetes writes it.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Returns the addresses in `status.loadBalancer.ingress`.
pub(crate) fn vips(service: &Value) -> Vec<IpAddr> {
    items(service, "/status/loadBalancer/ingress").iter().filter_map(|entry| text(entry, "/ip").parse().ok()).collect()
}

fn node_ports(service: &Value) -> Vec<u16> {
    let ports = items(service, "/spec/ports").iter().filter_map(|port| int(port, "/nodePort"));
    ports.chain(int(service, "/spec/healthCheckNodePort")).filter_map(|port| u16::try_from(port).ok()).collect()
}

/// Returns whether a Node accepts new pods: it is ready and not cordoned.
pub(crate) fn schedulable(node: &Value) -> bool {
    !flag(node, "/spec/unschedulable") && node_ready(node)
}

/// Returns whether the condition Ready of a Node is true or missing.
pub(crate) fn node_ready(node: &Value) -> bool {
    super::json::condition(node, "Ready").is_none_or(|status| status == "True")
}
