//! An embedded Kubernetes cluster: objects from ordinary manifests, the API that kubectl and any client library speak,
//! and the few controllers that turn deployments and services into endpoints and VIPs.
//!
//! A [`Cluster`] is a handle: clones share one cluster. Everything is under one lock (`state`), held for the length of
//! one write; lists and watches take references out of it and send them unlocked. Controllers run inside the write
//! that makes work for them, so what a write brings about is there when it returns. The API is served by tasks that end
//! with their [`Server`]; faults (silence, cut connections, expired versions, refusals) are asked for on the handle.

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
mod resource;
mod selector;
mod state;
mod store;

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

/// What a cluster is made with.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Its name: in kubeconfig files, and the seed of generated names, so that every run has the same.
    pub name: String,
    /// `gitVersion` of the API server and the kubelets.
    pub kubernetes_version: String,
    /// discovery.k8s.io is served. Without it clients have Endpoints only.
    pub serve_slices: bool,
    /// The controllers act. Without them objects are what was loaded.
    pub controllers: bool,
    /// Where pods of IPv4 live; each node gets a /24.
    pub pod_network: Ipv4Net,
    /// Where pods of IPv6 live; each node gets a /64.
    pub pod_network_v6: Ipv6Net,
    /// Cluster IPs of IPv4.
    pub service_network: Ipv4Net,
    /// Cluster IPs of IPv6.
    pub service_network_v6: Ipv6Net,
    /// The class MetalLB is configured to serve (`--lb-class`); empty: services without a class.
    pub metallb_class: String,
    /// VIPs where no speaker's pool says otherwise: networks, ranges (`a-b`) or addresses.
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

/// A handle to one cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    notices: broadcast::Sender<Notice>,
    /// Tells watches that there is something new.
    version: watch::Sender<u64>,
    faults: watch::Sender<Faults>,
    /// Listeners that accept connections.
    listening: watch::Sender<usize>,
}

/// Notices kept for a slow subscriber.
const NOTICES: usize = 1 << 16;

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// A cluster with its four namespaces, the service `kubernetes`, and nothing else.
    pub fn new() -> Self {
        Self::with_options(ClusterOptions::default())
    }

    /// The same with options.
    pub fn with_options(options: ClusterOptions) -> Self {
        let mut state = State::new(options);
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

    /// Applies every object of a manifest (YAML documents, `List`s), in order; returns how many. Namespaces that are
    /// not there are made.
    ///
    /// # Errors
    /// Text that is no YAML, and the first object that is refused: those before it are applied.
    pub fn load(&self, manifests: &str) -> Result<usize, ApiError> {
        let objects = manifests::parse(manifests)?;
        let count = objects.len();
        objects.into_iter().try_for_each(|object| self.apply(object).map(drop))?;
        Ok(count)
    }

    /// Applies many objects as they are, without controllers and in one step; returns how many.
    ///
    /// # Errors
    /// The first object that is refused: those before it are applied.
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

    /// Creates an object, or replaces it; a status that is not given stays. The namespace is made if it is not there.
    ///
    /// # Errors
    /// A kind that is not served, a name no object can have.
    pub fn apply(&self, object: Value) -> Result<Arc<Value>, ApiError> {
        self.inner.write(|state| apply(state, object))
    }

    /// An object. `kind` is what a person writes: `Service`, `services`, `svc`, `BGPPeer.metallb.io`.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.inner.lock();
        let id = state.registry.by_name(kind)?;
        state.get(id, &key_of(&state, id, namespace, name)).map(|stored| Arc::clone(&stored.value))
    }

    /// All objects of a kind, by namespace and name; none for a kind that is not known.
    pub fn list(&self, kind: &str) -> Vec<Arc<Value>> {
        let state = self.inner.lock();
        let Some(id) = state.registry.by_name(kind) else { return Vec::new() };
        state.collection(id).objects.values().map(|stored| Arc::clone(&stored.value)).collect()
    }

    /// Merges a patch (RFC 7386) into an object, status included.
    ///
    /// # Errors
    /// No such object.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Arc<Value>, ApiError> {
        self.edit(kind, namespace, name, |object| json_patch::merge(object, patch))
    }

    /// Reads, changes and writes an object as one step, status included.
    ///
    /// # Errors
    /// No such object.
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

    /// Deletes an object, at once unless it has finalizers.
    ///
    /// # Errors
    /// No such object.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<(), ApiError> {
        self.inner.write(|state| {
            let id = known(state, kind)?;
            let key = key_of(state, id, namespace, name);
            state.delete(id, &key).map(drop)
        })
    }

    /// Sets the replicas of a Deployment.
    ///
    /// # Errors
    /// No such Deployment.
    pub fn scale(&self, namespace: &str, deployment: &str, replicas: u32) -> Result<(), ApiError> {
        self.patch("Deployment", namespace, deployment, &json!({"spec": {"replicas": replicas}})).map(drop)
    }

    /// Makes a running pod ready or unready, as its readiness probe would.
    ///
    /// # Errors
    /// No such pod.
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

    /// Begins the graceful deletion of a pod: it serves on, terminating, until it is deleted. Its ReplicaSet replaces
    /// it at once.
    ///
    /// # Errors
    /// No such pod.
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

    /// Makes a node Ready or not; its pods follow.
    ///
    /// # Errors
    /// No such node.
    pub fn set_node_ready(&self, node: &str, ready: bool) -> Result<(), ApiError> {
        let reason = if ready { "KubeletReady" } else { "NodeStatusUnknown" };
        let now = state::now();
        self.edit("Node", "", node, |node| json::set_condition(node, "Ready", ready, Some(reason), &now)).map(drop)
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.inner.lock().version
    }

    /// Notices of every change from now on, in order. A subscriber that lags learns how many it missed and reads
    /// again what it needs.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One write, what controllers make of it, and the news of both.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        controllers::run(&mut state);
        for notice in std::mem::take(&mut state.notices) {
            // Nobody listens: nobody needs to know.
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

/// The key of an object; a namespace says nothing of what has none.
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
