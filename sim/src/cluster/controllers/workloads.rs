//! Keeps the ReplicaSet of a Deployment, and the pods of ReplicaSets and DaemonSets.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::json::{condition, int, items, set, set_condition, text};
use super::super::resource::ResourceId;
use super::super::state::{Part, State, hash, letters, now};
use super::super::store::Key;
use super::pods::daemon_nodes;

/// Keeps one ReplicaSet, named after the pod template, with the Deployment's number of replicas.
pub(super) fn deployment(state: &mut State, key: &Key) {
    let Some(deployment) = state.find("Deployment", key) else { return };
    let sets = state.kind("ReplicaSet");
    let template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
    let digest = letters(hash(&template.to_string()), 10);
    let current = Key::new(&key.namespace, &format!("{}-{digest}", key.name));
    let replicas = int(&deployment, "/spec/replicas").unwrap_or(1);
    for old in owned(state, sets, key, &deployment) {
        if old != current {
            state.discard(sets, &old);
        }
    }
    // A ReplicaSet that cannot be created (for example, because its name is too long) leaves the Deployment without
    // pods, as in a real cluster.
    let _ = match state.get(sets, &current) {
        Some(_) => state.edit(sets, &current, |set_| set(set_, &["spec", "replicas"], replicas)).map(drop),
        None => {
            let set = replica_set_for(&deployment, &current.name, template, &digest, replicas);
            state.create(sets, &key.namespace, set, Part::Whole, false).map(drop)
        }
    };
    let status = state.get(sets, &current).map(|set| set.value["status"].clone()).unwrap_or_default();
    report_deployment(state, key, replicas, &status);
}

fn replica_set_for(deployment: &Value, name: &str, mut template: Value, digest: &str, replicas: i64) -> Value {
    set(&mut template, &["metadata", "labels", "pod-template-hash"], digest);
    let mut selector = deployment.pointer("/spec/selector").cloned().unwrap_or_default();
    set(&mut selector, &["matchLabels", "pod-template-hash"], digest);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner(deployment)],
            "annotations": {"deployment.kubernetes.io/revision": "1"},
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}

fn report_deployment(state: &mut State, key: &Key, replicas: i64, set_status: &Value) {
    let count = |name: &str| set_status.get(name).and_then(Value::as_i64).unwrap_or_default();
    let (total, ready) = (count("replicas"), count("readyReplicas"));
    let available = ready >= replicas;
    let now = now();
    // The caller found the Deployment under the same lock.
    let _ = state.edit(state.kind("Deployment"), key, |deployment| {
        let generation = int(deployment, "/metadata/generation").unwrap_or(1);
        let mut status = json!({"observedGeneration": generation});
        let counts =
            [("replicas", total), ("updatedReplicas", total), ("readyReplicas", ready), ("availableReplicas", ready)];
        for (name, number) in counts.into_iter().chain([("unavailableReplicas", replicas - ready)]) {
            if number > 0 {
                status[name] = number.into();
            }
        }
        status["conditions"] = deployment.pointer("/status/conditions").cloned().unwrap_or_else(|| json!([]));
        deployment["status"] = status;
        let reason = if available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
        set_condition(deployment, "Available", available, Some(reason), &now);
        set_condition(deployment, "Progressing", true, Some("NewReplicaSetAvailable"), &now);
    });
}

/// Keeps as many pods as the ReplicaSet requests; removes those that serve least first.
pub(super) fn replica_set(state: &mut State, key: &Key) {
    let Some(set) = state.find("ReplicaSet", key) else { return };
    let pods = state.kind("Pod");
    let wanted = usize::try_from(int(&set, "/spec/replicas").unwrap_or(1)).unwrap_or_default();
    let mut live = living(state, key, &set);
    if live.len() > wanted {
        for pod in surplus(state, &live, live.len() - wanted) {
            state.discard(pods, &pod);
        }
    }
    for _ in live.len()..wanted {
        let pod = pod_for(&set, None);
        if state.create(pods, &key.namespace, pod, Part::Whole, false).is_err() {
            break;
        }
    }
    live = living(state, key, &set);
    let ready = live.iter().filter(|pod| is_ready(state, pod)).count();
    let replicas = live.len();
    // The ReplicaSet was found above, under the same lock.
    let _ = state.edit(state.kind("ReplicaSet"), key, |set| {
        let generation = int(set, "/metadata/generation").unwrap_or(1);
        set["status"] = json!({
            "replicas": replicas, "fullyLabeledReplicas": replicas, "readyReplicas": ready,
            "availableReplicas": ready, "observedGeneration": generation,
        });
    });
}

/// Returns the pods to remove: unready ones first, then those on nodes with the most siblings, then the youngest.
fn surplus(state: &State, live: &[Key], count: usize) -> Vec<Key> {
    let node_of = |key: &Key| state.find("Pod", key).map(|p| text(&p, "/spec/nodeName").to_owned()).unwrap_or_default();
    let mut per_node: BTreeMap<String, usize> = BTreeMap::new();
    let mut left: Vec<(Key, String, bool, u64)> = live
        .iter()
        .map(|key| {
            let node = node_of(key);
            *per_node.entry(node.clone()).or_default() += 1;
            let age = state.get(state.kind("Pod"), key).map_or(0, |pod| pod.born);
            (key.clone(), node, is_ready(state, key), age)
        })
        .collect();
    let mut gone = Vec::new();
    for _ in 0..count {
        let rank = |(_, node, ready, age): &(Key, String, bool, u64)| {
            (*ready, Reverse(per_node.get(node).copied().unwrap_or_default()), Reverse(*age))
        };
        let Some(at) = (0..left.len()).min_by_key(|at| rank(&left[*at])) else { break };
        let (key, node, ..) = left.remove(at);
        if let Some(siblings) = per_node.get_mut(&node) {
            *siblings -= 1;
        }
        gone.push(key);
    }
    gone
}

/// Keeps one pod per node that fits.
pub(super) fn daemon_set(state: &mut State, key: &Key) {
    let Some(set) = state.find("DaemonSet", key) else { return };
    let pods = state.kind("Pod");
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let mut missing = daemon_nodes(state, &template);
    let wanted = missing.len();
    for pod in living(state, key, &set) {
        let node = state.find("Pod", &pod).map(|p| text(&p, "/spec/nodeName").to_owned()).unwrap_or_default();
        match missing.iter().position(|name| **name == *node) {
            Some(at) => drop(missing.remove(at)),
            None => state.discard(pods, &pod),
        }
    }
    for node in missing {
        let pod = pod_for(&set, Some(&node));
        if state.create(pods, &key.namespace, pod, Part::Whole, false).is_err() {
            break;
        }
    }
    let live = living(state, key, &set);
    let ready = live.iter().filter(|pod| is_ready(state, pod)).count();
    let have = live.len();
    // The DaemonSet was found above, under the same lock.
    let _ = state.edit(state.kind("DaemonSet"), key, |set| {
        let generation = int(set, "/metadata/generation").unwrap_or(1);
        set["status"] = json!({
            "currentNumberScheduled": have, "desiredNumberScheduled": wanted, "numberReady": ready,
            "numberAvailable": ready, "updatedNumberScheduled": have, "numberMisscheduled": 0,
            "observedGeneration": generation,
        });
    });
}

fn is_ready(state: &State, pod: &Key) -> bool {
    state.find("Pod", pod).is_some_and(|pod| condition(&pod, "Ready") == Some("True"))
}

/// Returns the pods of an owner that are not terminating and have not ended.
fn living(state: &State, key: &Key, owner: &Value) -> Vec<Key> {
    let pods = state.kind("Pod");
    let leaving = |key: &Key| {
        state.find("Pod", key).is_none_or(|pod| {
            !text(&pod, "/metadata/deletionTimestamp").is_empty()
                || matches!(text(&pod, "/status/phase"), "Failed" | "Succeeded")
        })
    };
    owned(state, pods, key, owner).into_iter().filter(|key| !leaving(key)).collect()
}

/// Returns the objects of an owner, whose names begin with the owner's name.
fn owned(state: &State, id: ResourceId, key: &Key, owner: &Value) -> Vec<Key> {
    let prefix = format!("{}-", key.name);
    let uid = text(owner, "/metadata/uid");
    let mine =
        |object: &Value| items(object, "/metadata/ownerReferences").iter().any(|owner| text(owner, "/uid") == uid);
    let found = state.collection(id).with_prefix(&key.namespace, &prefix);
    found.filter(|(_, stored)| mine(&stored.value)).map(|(key, _)| key.clone()).collect()
}

fn owner(object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

fn pod_for(set_: &Value, node: Option<&Arc<str>>) -> Value {
    let template = &set_["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": template["metadata"], "spec": template["spec"],
    });
    set(&mut pod, &["metadata", "generateName"], format!("{}-", text(set_, "/metadata/name")));
    set(&mut pod, &["metadata", "ownerReferences"], json!([owner(set_)]));
    for member in ["name", "namespace", "creationTimestamp"] {
        super::super::json::remove(&mut pod, "/metadata", member);
    }
    if let Some(node) = node {
        set(&mut pod, &["spec", "nodeName"], &**node);
    }
    pod
}
