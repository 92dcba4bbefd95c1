//! The state of a cluster, under one lock: the objects of every kind, one counter for all versions, and the work that
//! is left for the controllers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::ClusterOptions;
use super::admission;
use super::controllers::Work;
use super::error::ApiError;
use super::json::{default, flag, int, items, remove, set, text};
use super::notice::{Change as NoticeChange, Notice};
use super::resource::{Registry, Resource, ResourceId};
use super::store::{ChangeKind, Collection, Key, Stored};

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
        state.furnish();
        state
    }

    /// Creates what every cluster has from the start.
    fn furnish(&mut self) {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            self.make_namespace(name);
        }
        let services = self.kind("Service");
        let ports = json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]);
        let kubernetes = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {"clusterIP": self.options.service_network.hosts().next(), "ports": ports, "type": "ClusterIP"},
        });
        // A cluster without room for its own service still works: the service only completes `kubectl get svc`.
        let _ = self.create(services, "default", kubernetes, Part::Whole, false);
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

    fn uid(&mut self) -> String {
        let (a, b) = (self.random(), self.random());
        let (high, mid, low) = (a >> 32, (a >> 16) & 0xffff, a & 0xfff);
        format!("{high:08x}-{mid:04x}-4{low:03x}-{:04x}-{:012x}", 0x8000 | (b >> 48) & 0x3fff, b & 0xffff_ffff_ffff)
    }

    /// Creates a namespace unless it exists.
    pub(crate) fn make_namespace(&mut self, name: &str) {
        let namespaces = self.kind("Namespace");
        if name.is_empty() || self.get(namespaces, &Key::new("", name)).is_some() {
            return;
        }
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        // A name that is not valid for a namespace is refused again, with the reason, when the object is created.
        let _ = self.create(namespaces, "", namespace, Part::Whole, false);
    }

    /// Creates an object.
    pub(crate) fn create(
        &mut self,
        id: ResourceId,
        namespace: &str,
        mut object: Value,
        part: Part,
        dry_run: bool,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id).clone();
        let namespace = self.place(&resource, namespace, &mut object)?;
        let prefix = text(&object, "/metadata/generateName").to_owned();
        if text(&object, "/metadata/name").is_empty() && !prefix.is_empty() {
            let name = format!("{prefix}{}", self.suffix());
            set(&mut object, &["metadata", "name"], name);
        }
        let key = Key::new(&namespace, text(&object, "/metadata/name"));
        if !prefix.is_empty() {
            admission::check_prefix(&resource, &prefix, &key.name)?;
        }
        admission::check_name(&resource, &key.name)?;
        if self.get(id, &key).is_some() {
            return Err(ApiError::AlreadyExists { resource: resource.qualified(), name: key.name.to_string() });
        }
        if part != Part::Whole && !resource.keeps_status_on_create() {
            remove(&mut object, "", "status");
        }
        let (uid, now) = (self.uid(), now());
        default(&mut object, &["metadata", "uid"], uid);
        default(&mut object, &["metadata", "creationTimestamp"], now);
        if resource.has_generation() {
            default(&mut object, &["metadata", "generation"], 1);
        }
        for transient in ["managedFields", "resourceVersion", "selfLink"] {
            remove(&mut object, "/metadata", transient);
        }
        admission::prepare(self, &resource, &mut object, None, part)?;
        if dry_run {
            return Ok(Arc::new(Stored::new(object, self.version)));
        }
        Ok(self.commit(id, key, ChangeKind::Added, object))
    }

    /// Returns the namespace of an object, and writes it into the object.
    fn place(&self, resource: &Resource, asked: &str, object: &mut Value) -> Result<String, ApiError> {
        if !object.is_object() || !object.get("metadata").is_none_or(Value::is_object) {
            return Err(ApiError::BadRequest("the object has no metadata".to_owned()));
        }
        if !resource.namespaced {
            remove(object, "/metadata", "namespace");
            return Ok(String::new());
        }
        let own = text(object, "/metadata/namespace");
        if !asked.is_empty() && !own.is_empty() && asked != own {
            return Err(ApiError::BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
            ));
        }
        let name = [asked, own, "default"].into_iter().find(|name| !name.is_empty()).unwrap_or("default").to_owned();
        if self.get(self.kind("Namespace"), &Key::new("", &name)).is_none() {
            return Err(ApiError::NotFound { resource: "namespaces".to_owned(), name });
        }
        set(object, &["metadata", "namespace"], name.as_str());
        Ok(name)
    }

    /// Writes a part of an existing object. If nothing differs, nothing changes.
    pub(crate) fn update(
        &mut self,
        id: ResourceId,
        key: &Key,
        mut object: Value,
        part: Part,
        dry_run: bool,
    ) -> Result<Arc<Stored>, ApiError> {
        let current = Arc::clone(self.expect(id, key)?);
        let resource = self.resource(id).clone();
        if !object.is_object() || !object.get("metadata").is_none_or(Value::is_object) {
            return Err(ApiError::BadRequest("the object has no metadata".to_owned()));
        }
        let old = &*current.value;
        let stale = |pointer| {
            let sent = text(&object, pointer);
            !sent.is_empty() && sent != text(old, pointer)
        };
        if stale("/metadata/resourceVersion") || stale("/metadata/uid") {
            return Err(ApiError::Conflict { resource: resource.qualified(), name: key.name.to_string() });
        }
        if part == Part::Status {
            let mut whole = old.clone();
            match object.get_mut("status").map(Value::take) {
                Some(status) => whole["status"] = status,
                None => remove(&mut whole, "", "status"),
            }
            if let Some(sent) = object.pointer("/metadata/resourceVersion") {
                set(&mut whole, &["metadata", "resourceVersion"], sent.clone());
            }
            object = whole;
        } else if part == Part::Main && resource.status {
            remove(&mut object, "", "status");
            if let Some(status) = old.get("status") {
                object["status"] = status.clone();
            }
        }
        self.keep_identity(old, &mut object);
        admission::prepare(self, &resource, &mut object, Some(old), part)?;
        if object == *old {
            return Ok(current);
        }
        if resource.has_generation() && differs_in_spec(old, &object) {
            let generation = int(old, "/metadata/generation").unwrap_or(1);
            set(&mut object, &["metadata", "generation"], generation + 1);
        }
        if dry_run {
            return Ok(Arc::new(Stored::new(object, current.version)));
        }
        let leaving = !text(&object, "/metadata/deletionTimestamp").is_empty();
        if leaving && items(&object, "/metadata/finalizers").is_empty() && !admission::lingers(&resource) {
            return Ok(self.commit(id, key.clone(), ChangeKind::Deleted, object));
        }
        Ok(self.commit(id, key.clone(), ChangeKind::Modified, object))
    }

    /// Restores the members of metadata that no client can change.
    fn keep_identity(&self, old: &Value, object: &mut Value) {
        remove(object, "/metadata", "managedFields");
        let fixed = [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        for member in fixed {
            match old["metadata"].get(member) {
                Some(value) => set(object, &["metadata", member], value.clone()),
                None => remove(object, "/metadata", member),
            }
        }
        for member in ["kind", "apiVersion"] {
            object[member] = old[member].clone();
        }
    }

    /// Reads an object, changes it and writes it as a whole, for controllers and the Rust API.
    pub(crate) fn edit(
        &mut self,
        id: ResourceId,
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Stored>, ApiError> {
        let mut object = (*self.expect(id, key)?.value).clone();
        change(&mut object);
        self.update(id, key, object, Part::Whole, false)
    }

    /// Deletes an object. An object with finalizers is only marked until these are gone. Returns whether it is gone.
    pub(crate) fn delete(&mut self, id: ResourceId, key: &Key) -> Result<(Arc<Stored>, bool), ApiError> {
        let current = Arc::clone(self.expect(id, key)?);
        if items(&current.value, "/metadata/finalizers").is_empty() {
            let last = self.commit(id, key.clone(), ChangeKind::Deleted, (*current.value).clone());
            return Ok((last, true));
        }
        if !text(&current.value, "/metadata/deletionTimestamp").is_empty() {
            return Ok((current, false));
        }
        let marked = self.mark_deleted(id, key, &current.value, 0);
        Ok((marked, false))
    }

    /// Sets the deletion timestamp, as a graceful deletion does.
    pub(crate) fn mark_deleted(&mut self, id: ResourceId, key: &Key, current: &Value, grace: i64) -> Arc<Stored> {
        let mut object = current.clone();
        set(&mut object, &["metadata", "deletionTimestamp"], now());
        set(&mut object, &["metadata", "deletionGracePeriodSeconds"], grace);
        self.commit(id, key.clone(), ChangeKind::Modified, object)
    }

    /// Removes an object if it exists; used by controllers.
    pub(crate) fn discard(&mut self, id: ResourceId, key: &Key) {
        if let Some(current) = self.get(id, key).map(Arc::clone) {
            self.commit(id, key.clone(), ChangeKind::Deleted, (*current.value).clone());
        }
    }

    /// Sends `body` in place of the object's JSON from now on, as a broken or hostile server would.
    pub(crate) fn replace_body(&mut self, id: ResourceId, key: &Key, body: Bytes) -> Result<(), ApiError> {
        let current = Arc::clone(self.expect(id, key)?);
        let mut object = (*current.value).clone();
        self.version += 1;
        set(&mut object, &["metadata", "resourceVersion"], self.version.to_string());
        let stored = Arc::new(Stored::with_body(object, self.version, body).born_at(current.born));
        self.collections[id.0].record(ChangeKind::Modified, key.clone(), stored);
        Ok(())
    }

    fn commit(&mut self, id: ResourceId, key: Key, kind: ChangeKind, mut object: Value) -> Arc<Stored> {
        self.version += 1;
        set(&mut object, &["metadata", "resourceVersion"], self.version.to_string());
        let previous = self.get(id, &key).map(Arc::clone);
        let born = previous.as_ref().map_or(self.version, |stored| stored.born);
        let stored = Arc::new(Stored::new(object, self.version).born_at(born));
        self.collections[id.0].record(kind, key.clone(), Arc::clone(&stored));
        let resource = self.registry.get(id);
        let gone = kind == ChangeKind::Deleted;
        self.notices.push(Notice {
            group: Arc::clone(&resource.group),
            kind: Arc::clone(&resource.kind),
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            change: if gone { NoticeChange::Deleted } else { NoticeChange::Changed },
        });
        let kind_name = Arc::clone(&resource.kind);
        let before = previous.as_ref().map(|stored| &*stored.value);
        let after = (!gone).then_some(&*stored.value);
        self.index(&kind_name, &key, before, after);
        super::controllers::enqueue(self, &kind_name, &key, before, after);
        stored
    }

    /// Updates the lookups beside the objects, whether or not controllers act.
    fn index(&mut self, kind: &str, key: &Key, before: Option<&Value>, after: Option<&Value>) {
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

/// Returns whether anything except metadata and status differs.
fn differs_in_spec(old: &Value, new: &Value) -> bool {
    let strip = |object: &Value| {
        let mut object = object.clone();
        remove(&mut object, "", "status");
        remove(&mut object, "", "metadata");
        object
    };
    strip(old) != strip(new)
}

/// Returns whether a Node accepts new pods: it is ready and not cordoned.
pub(crate) fn schedulable(node: &Value) -> bool {
    !flag(node, "/spec/unschedulable") && node_ready(node)
}

/// Returns whether the condition Ready of a Node is true or missing.
pub(crate) fn node_ready(node: &Value) -> bool {
    super::json::condition(node, "Ready").is_none_or(|status| status == "True")
}
