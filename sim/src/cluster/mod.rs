//! An embedded Kubernetes cluster: objects from ordinary manifests, the API that kubectl and client libraries use, and
//! the few controllers that turn deployments and services into endpoints and VIPs.
//!
//! A [`Cluster`] is a handle; its clones share one cluster. Everything is under one lock (`state`), which is held for
//! one write. Lists and watches take references and send them without the lock. Controllers run inside the write that
//! makes work for them, so their results are there when the write returns. The API is served by tasks that end with
//! their [`Server`]. Faults (silence, cut connections, expired versions, refusals) are injected through the handle.

mod admission;
mod api;
mod controllers;
mod error;
mod faults;
mod json;
mod kubeconfig;
mod manifests;
mod notice;
mod patch;
mod queue;
mod resource;
mod selector;
mod state;
mod store;
mod work;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

pub use self::api::Server;
pub use self::error::ApiError;
pub use self::notice::{Change, Notice};

use self::faults::Faults;
use self::resource::ResourceId;
use self::state::{Part, State};
use self::store::Key;

/// Options of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Name of the cluster. It is in kubeconfig files, and it seeds generated names, which are the same in every run.
    pub name: String,
    /// `gitVersion` of the API server and the kubelets.
    pub kubernetes_version: String,
    /// Whether discovery.k8s.io is served. Without it, clients have only Endpoints.
    pub serve_slices: bool,
    /// Whether the controllers act. Without them, the objects are those that were loaded.
    pub controllers: bool,
    /// Network of pods, IPv4; each node has a /24 of it.
    pub pod_network: Ipv4Net,
    /// Network of pods, IPv6; each node has a /64 of it.
    pub pod_network_v6: Ipv6Net,
    /// Network of cluster IPs, IPv4.
    pub service_network: Ipv4Net,
    /// Network of cluster IPs, IPv6.
    pub service_network_v6: Ipv6Net,
    /// The class that MetalLB is configured to serve (`--lb-class`); if empty, it serves services without a class.
    pub metallb_class: String,
    /// VIPs used if no speaker's pool applies: networks, ranges (`a-b`) or addresses.
    pub vip_ranges: Vec<String>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let v4 = |network: &str| network.parse().expect("a literal IPv4 network");
        let v6 = |network: &str| network.parse().expect("a literal IPv6 network");
        Self {
            name: "cluster1".to_owned(),
            kubernetes_version: "v1.27.3".to_owned(),
            serve_slices: true,
            controllers: true,
            pod_network: v4("10.244.0.0/16"),
            pod_network_v6: v6("fd00:10:244::/48"),
            service_network: v4("10.96.0.0/12"),
            service_network_v6: v6("fd00:10:96::/112"),
            metallb_class: String::new(),
            vip_ranges: Vec::new(),
        }
    }
}

/// A handle of a cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    notices: broadcast::Sender<Notice>,
    /// The current version, for watches.
    version: watch::Sender<u64>,
    faults: watch::Sender<Faults>,
    /// Number of listeners that accept connections.
    listening: watch::Sender<usize>,
}

/// Number of notices kept for a slow subscriber.
const NOTICES: usize = 1 << 16;

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// Creates a cluster that has only its four namespaces and the service `kubernetes`.
    pub fn new() -> Self {
        Self::with_options(ClusterOptions::default())
    }

    /// Creates such a cluster with these options.
    pub fn with_options(options: ClusterOptions) -> Self {
        let mut state = State::new(options);
        state.furnish();
        controllers::run(&mut state);
        state.notices.clear();
        let version = watch::Sender::new(state.version);
        let inner = Inner {
            state: Mutex::new(state),
            notices: broadcast::Sender::new(NOTICES),
            version,
            faults: watch::Sender::new(Faults::default()),
            listening: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Applies every object of a manifest (YAML documents, `List`s), in order. Returns the number of objects. Creates
    /// missing namespaces.
    ///
    /// # Errors
    /// Returns an error if the text is not YAML or an object is refused. The objects before it have been applied.
    pub fn load(&self, manifests: &str) -> Result<usize, ApiError> {
        let objects = manifests::parse(manifests)?;
        let count = objects.len();
        objects.into_iter().try_for_each(|object| self.apply(object).map(drop))?;
        Ok(count)
    }

    /// Applies many objects unchanged, in one step and without controllers. Returns the number of objects.
    ///
    /// # Errors
    /// Returns an error if an object is refused. The objects before it have been applied.
    pub fn bulk_load(&self, objects: impl IntoIterator<Item = Value>) -> Result<usize, ApiError> {
        self.inner.write(|state| {
            let controllers = std::mem::replace(&mut state.controllers, false);
            let mut count = 0;
            let result = objects.into_iter().try_for_each(|object| {
                count += 1;
                apply(state, object).map(drop)
            });
            state.controllers = controllers;
            result.map(|()| count)
        })
    }

    /// Creates or replaces an object. Without a status in `object`, the existing status is kept. Creates the namespace
    /// if needed.
    ///
    /// # Errors
    /// Returns an error if the kind is not served or the name is not valid.
    pub fn apply(&self, object: Value) -> Result<Arc<Value>, ApiError> {
        self.inner.write(|state| apply(state, object))
    }

    /// Returns an object. `kind` is what a person writes: `Service`, `services`, `svc`, `BGPPeer.metallb.io`.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.inner.lock();
        let id = state.registry.by_name(kind)?;
        state.get(id, &key_of(&state, id, namespace, name)).map(|stored| Arc::clone(&stored.value))
    }

    /// Returns all objects of a kind, by namespace and name; none if the kind is unknown.
    pub fn list(&self, kind: &str) -> Vec<Arc<Value>> {
        let state = self.inner.lock();
        let Some(id) = state.registry.by_name(kind) else { return Vec::new() };
        state.collection(id).objects.values().map(|stored| Arc::clone(&stored.value)).collect()
    }

    /// Merges a patch (RFC 7386) into an object, including its status.
    ///
    /// # Errors
    /// Returns an error if the object does not exist.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Arc<Value>, ApiError> {
        self.edit(kind, namespace, name, |object| json_patch::merge(object, patch))
    }

    /// Reads, changes and writes an object in one step, including its status.
    ///
    /// # Errors
    /// Returns an error if the object does not exist.
    pub fn edit(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, ApiError> {
        self.inner.write(|state| {
            let id = known(state, kind)?;
            let key = key_of(state, id, namespace, name);
            state.edit(id, &key, change).map(|stored| Arc::clone(&stored.value))
        })
    }

    /// Deletes an object: at once, unless it has finalizers.
    ///
    /// # Errors
    /// Returns an error if the object does not exist.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<(), ApiError> {
        self.inner.write(|state| {
            let id = known(state, kind)?;
            let key = key_of(state, id, namespace, name);
            state.delete(id, &key).map(drop)
        })
    }

    /// Sets the number of replicas of a Deployment.
    ///
    /// # Errors
    /// Returns an error if the Deployment does not exist.
    pub fn scale(&self, namespace: &str, deployment: &str, replicas: u32) -> Result<(), ApiError> {
        self.patch("Deployment", namespace, deployment, &json!({"spec": {"replicas": replicas}})).map(drop)
    }

    /// Makes a running pod ready or unready, as its readiness probe would.
    ///
    /// # Errors
    /// Returns an error if the pod does not exist.
    pub fn set_pod_ready(&self, namespace: &str, pod: &str, ready: bool) -> Result<(), ApiError> {
        let now = state::now();
        self.inner.write(|state| {
            let key = Key::new(namespace, pod);
            let pods = state.kind("Pod");
            let node = json::text(&state.expect(pods, &key)?.value, "/spec/nodeName").to_owned();
            let up = state.find("Node", &Key::new("", &node)).is_none_or(|node| state::node_ready(&node));
            let edit = |pod: &mut Value| {
                json::set_condition(pod, "ContainersReady", ready, None, &now);
                json::set_condition(pod, "Ready", ready && up, None, &now);
                let statuses = pod.pointer_mut("/status/containerStatuses").and_then(Value::as_array_mut);
                statuses.into_iter().flatten().for_each(|status| json::set(status, &["ready"], ready));
            };
            state.edit(pods, &key, edit).map(drop)
        })
    }

    /// Begins the graceful deletion of a pod, which serves on, terminating, until it is deleted. Its ReplicaSet
    /// replaces it at once.
    ///
    /// # Errors
    /// Returns an error if the pod does not exist.
    pub fn set_pod_terminating(&self, namespace: &str, pod: &str) -> Result<(), ApiError> {
        self.inner.write(|state| {
            let key = Key::new(namespace, pod);
            let pods = state.kind("Pod");
            let current = Arc::clone(&state.expect(pods, &key)?.value);
            if json::text(&current, "/metadata/deletionTimestamp").is_empty() {
                state.mark_deleted(pods, &key, &current, 30);
            }
            Ok(())
        })
    }

    /// Makes a node ready or not ready, and its pods with it.
    ///
    /// # Errors
    /// Returns an error if the node does not exist.
    pub fn set_node_ready(&self, node: &str, ready: bool) -> Result<(), ApiError> {
        let reason = if ready { "KubeletReady" } else { "NodeStatusUnknown" };
        let now = state::now();
        self.edit("Node", "", node, |node| json::set_condition(node, "Ready", ready, Some(reason), &now)).map(drop)
    }

    /// Returns the version of the last change.
    pub fn version(&self) -> u64 {
        self.inner.lock().version
    }

    /// Returns notices of every change from now on, in order. A subscriber that lags learns how many notices it missed
    /// and must read again what it needs.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs a write, runs the controllers, and sends notices of all changes.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        controllers::run(&mut state);
        for notice in std::mem::take(&mut state.notices) {
            // Sending fails only if nobody listens.
            let _ = self.notices.send(notice);
        }
        let version = state.version;
        drop(state);
        self.version.send_if_modified(|known| std::mem::replace(known, version.max(*known)) < version);
        result
    }
}

fn known(state: &State, kind: &str) -> Result<ResourceId, ApiError> {
    let unknown = || ApiError::UnknownKind { kind: kind.to_owned(), version: String::new() };
    state.registry.by_name(kind).ok_or_else(unknown)
}

/// Returns the key of an object. The namespace is ignored for kinds without namespaces.
fn key_of(state: &State, id: ResourceId, namespace: &str, name: &str) -> Key {
    Key::new(if state.resource(id).namespaced { namespace } else { "" }, name)
}

fn apply(state: &mut State, object: Value) -> Result<Arc<Value>, ApiError> {
    let id = state.registry.by_manifest(&object)?;
    let mut namespace = "";
    if state.resource(id).namespaced {
        namespace = match json::text(&object, "/metadata/namespace") {
            "" => "default",
            own => own,
        };
        state.make_namespace(namespace);
    }
    let key = Key::new(namespace, json::text(&object, "/metadata/name"));
    let stored = match state.get(id, &key) {
        None => state.create(id, &key.namespace.clone(), object, Part::Whole, false)?,
        Some(current) => {
            let mut next = object;
            if let (None, Some(status)) = (next.get("status"), current.value.get("status")) {
                next["status"] = status.clone();
            }
            state.update(id, &key, next, Part::Whole, false)?
        }
    };
    Ok(Arc::clone(&stored.value))
}
