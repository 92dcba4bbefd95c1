//! Queues the work that follows from a change.

use std::sync::Arc;

use serde_json::Value;

use super::json::{items, label, text};
use super::selector::labels_include;
use super::state::{State, vips};
use super::store::Key;
use super::work::Work;

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
    let selects = |service: &Value| selector(service).is_some_and(|wanted| labels_include(labels, wanted));
    let keys: Vec<Key> = services
        .in_namespace(text(pod, "/metadata/namespace"))
        .filter(|(_, service)| selects(&service.value))
        .map(|(key, _)| key.clone())
        .collect();
    state.work.extend(keys.into_iter().map(Work::Endpoints));
}

/// Queues the services that wait for an address, after one has become free.
fn enqueue_pending_services(state: &mut State) {
    let waiting = |service: &Value| wants(service) && vips(service).is_empty();
    enqueue_services(state, waiting);
}

fn enqueue_all_services(state: &mut State) {
    enqueue_services(state, wants);
}

fn enqueue_services(state: &mut State, wanted: impl Fn(&Value) -> bool) {
    let services = state.collection(state.kind("Service"));
    let keys: Vec<Key> =
        services.objects.iter().filter(|(_, service)| wanted(&service.value)).map(|(key, _)| key.clone()).collect();
    state.work.extend(keys.into_iter().map(Work::Address));
}

/// Returns whether a service has, or should have, VIPs from here.
pub(super) fn wants(service: &Value) -> bool {
    text(service, "/spec/type") == "LoadBalancer"
}

/// Returns the selector of a service if this controller keeps the service's endpoints.
pub(super) fn selector(service: &Value) -> Option<&Value> {
    let selector = service.pointer("/spec/selector")?;
    let any = selector.as_object().is_some_and(|selector| !selector.is_empty());
    (any && text(service, "/spec/type") != "ExternalName").then_some(selector)
}
