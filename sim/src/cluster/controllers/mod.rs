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

use serde_json::Value;

use super::json::{items, text};
use super::state::State;
use super::store::Key;
use super::work::Work;

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
