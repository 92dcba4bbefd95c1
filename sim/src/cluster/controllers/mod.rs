//! The controllers of the cluster: they turn Deployments into pods, pods into EndpointSlices, and pools into VIPs.
//!
//! They run inside the write that makes work for them, until nothing is left to do. The writer sees their results at
//! once, and the same writes produce the same objects in every run.

mod addresses;
mod blocks;
mod endpoints;
mod events;
mod nodes;
mod pods;
mod workloads;

use std::sync::Arc;

use serde_json::Value;

use super::json::{items, label, text};
use super::selector::labels_include;
use super::state::State;
use super::store::Key;

/// Something to reconcile. Work is done in the order of the variants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A namespace is gone; its objects are deleted.
    Namespace(Arc<str>),
    /// An owner is gone; the objects it owned are deleted.
    Orphans { namespace: Arc<str>, uid: Arc<str> },
    /// A node was added, changed or removed.
    Node(Arc<str>),
    /// A Deployment's ReplicaSets.
    Deployment(Key),
    /// A ReplicaSet's pods.
    ReplicaSet(Key),
    /// A DaemonSet's pods.
    DaemonSet(Key),
    /// A pod to place and start.
    Pod(Key),
    /// A service's EndpointSlices and Endpoints.
    Endpoints(Key),
    /// A service's VIPs.
    Address(Key),
    /// An event of events.k8s.io, shown in the core group too.
    Event(Key),
}

/// Queues the work that follows from a change.
pub(crate) fn enqueue(state: &mut State, kind: &str, key: &Key, before: Option<&Value>, after: Option<&Value>) {
    if !state.controllers {
        return;
    }
    if let (Some(before), None) = (before, after) {
        let uid = text(before, "/metadata/uid").into();
        match kind {
            "Deployment" | "ReplicaSet" | "DaemonSet" | "Service" => {
                state.work.insert(Work::Orphans { namespace: Arc::clone(&key.namespace), uid });
            }
            "Namespace" => {
                state.work.insert(Work::Namespace(Arc::clone(&key.name)));
            }
            _ => {}
        }
    }
    let either = || before.into_iter().chain(after);
    match kind {
        "Deployment" => {
            state.work.insert(Work::Deployment(key.clone()));
        }
        "DaemonSet" => {
            state.work.insert(Work::DaemonSet(key.clone()));
        }
        "ReplicaSet" => {
            state.work.insert(Work::ReplicaSet(key.clone()));
            either().for_each(|object| enqueue_owner(state, key, object));
        }
        "Node" => {
            state.work.insert(Work::Node(Arc::clone(&key.name)));
        }
        "Pod" => {
            state.work.insert(Work::Pod(key.clone()));
            for pod in either() {
                enqueue_owner(state, key, pod);
                enqueue_services_of(state, pod);
            }
        }
        "Service" => {
            state.work.insert(Work::Endpoints(key.clone()));
            state.work.insert(Work::Address(key.clone()));
            if after.is_none() {
                enqueue_pending_services(state);
            }
        }
        "EndpointSlice" | "Endpoints" => {
            for object in either() {
                let service = label(object, "kubernetes.io/service-name").unwrap_or(&key.name);
                state.work.insert(Work::Endpoints(Key::new(&key.namespace, service)));
            }
        }
        "Event" if either().any(|event| text(event, "/apiVersion").starts_with("events.k8s.io/")) => {
            state.work.insert(Work::Event(key.clone()));
        }
        "IPAddressPool" | "CiliumLoadBalancerIPPool" | "IPPool" => enqueue_all_services(state),
        // Older versions of MetalLB are configured by a ConfigMap.
        "ConfigMap" if &*key.name == "config" && &*key.namespace == "metallb-system" => enqueue_all_services(state),
        _ => {}
    }
}

/// Queues the ReplicaSet, DaemonSet or Deployment that controls an object.
fn enqueue_owner(state: &mut State, key: &Key, object: &Value) {
    for owner in items(object, "/metadata/ownerReferences") {
        let owner_key = Key::new(&key.namespace, text(owner, "/name"));
        let work = match text(owner, "/kind") {
            "Deployment" => Work::Deployment(owner_key),
            "ReplicaSet" => Work::ReplicaSet(owner_key),
            "DaemonSet" => Work::DaemonSet(owner_key),
            _ => continue,
        };
        state.work.insert(work);
    }
}

fn enqueue_services_of(state: &mut State, pod: &Value) {
    let labels = pod.pointer("/metadata/labels").unwrap_or(&Value::Null);
    let services = state.collection(state.kind("Service"));
    let selects = |service: &Value| endpoints::selector(service).is_some_and(|wanted| labels_include(labels, wanted));
    let keys: Vec<Key> = services
        .in_namespace(text(pod, "/metadata/namespace"))
        .filter(|(_, service)| selects(&service.value))
        .map(|(key, _)| key.clone())
        .collect();
    state.work.extend(keys.into_iter().map(Work::Endpoints));
}

/// Queues the services that wait for an address, after one has become free.
fn enqueue_pending_services(state: &mut State) {
    let waiting = |service: &Value| addresses::wants(service) && super::state::vips(service).is_empty();
    enqueue_services(state, waiting);
}

fn enqueue_all_services(state: &mut State) {
    enqueue_services(state, addresses::wants);
}

fn enqueue_services(state: &mut State, wanted: impl Fn(&Value) -> bool) {
    let services = state.collection(state.kind("Service"));
    let keys: Vec<Key> =
        services.objects.iter().filter(|(_, service)| wanted(&service.value)).map(|(key, _)| key.clone()).collect();
    state.work.extend(keys.into_iter().map(Work::Address));
}

/// Maximum number of steps, in case the objects make controllers undo each other's work.
const PATIENCE: usize = 1_000_000;

/// Works until nothing is left to do, or until [`PATIENCE`] runs out.
pub(crate) fn run(state: &mut State) {
    for _ in 0..PATIENCE {
        let Some(work) = state.work.pop_first() else { return };
        match work {
            Work::Namespace(name) => empty_namespace(state, &name),
            Work::Orphans { namespace, uid } => orphans(state, &namespace, &uid),
            Work::Node(name) => nodes::reconcile(state, &name),
            Work::Deployment(key) => workloads::deployment(state, &key),
            Work::ReplicaSet(key) => workloads::replica_set(state, &key),
            Work::DaemonSet(key) => workloads::daemon_set(state, &key),
            Work::Pod(key) => pods::reconcile(state, &key),
            Work::Endpoints(key) => endpoints::reconcile(state, &key),
            Work::Address(key) => addresses::reconcile(state, &key),
            Work::Event(key) => events::reconcile(state, &key),
        }
    }
    tracing::warn!(left = state.work.len(), "controllers gave up");
    state.work.clear();
}

fn empty_namespace(state: &mut State, namespace: &str) {
    let ids: Vec<_> = state.registry.iter().filter(|(_, resource)| resource.namespaced).map(|(id, _)| id).collect();
    for id in ids {
        let keys: Vec<Key> = state.collection(id).in_namespace(namespace).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| state.discard(id, key));
    }
}

fn orphans(state: &mut State, namespace: &str, uid: &str) {
    for kind in ["ReplicaSet", "Pod", "EndpointSlice", "Endpoints"] {
        let id = state.kind(kind);
        let owned = |object: &Value| items(object, "/metadata/ownerReferences").iter().any(|o| text(o, "/uid") == uid);
        let keys: Vec<Key> = state
            .collection(id)
            .in_namespace(namespace)
            .filter(|(_, stored)| owned(&stored.value))
            .map(|(key, _)| key.clone())
            .collect();
        keys.iter().for_each(|key| state.discard(id, key));
    }
}
