//! Applies changes of a node to its pods.

use serde_json::Value;

use super::super::json::{condition, set_condition, text};
use super::super::state::{State, node_ready, now};
use super::super::store::Key;
use super::super::work::Work;

/// Removes pods with their node, updates their readiness with the node's, and queues pods that wait for a node.
pub(super) fn reconcile(state: &mut State, name: &str) {
    let node = state.find("Node", &Key::new("", name));
    let pods = state.kind("Pod");
    let here: Vec<(Key, bool, bool)> = state
        .collection(pods)
        .objects
        .iter()
        .filter(|(_, pod)| text(&pod.value, "/spec/nodeName") == name)
        .map(|(key, pod)| (key.clone(), is(&pod.value, "Ready"), is(&pod.value, "ContainersReady")))
        .collect();
    match node {
        None => here.iter().for_each(|(key, ..)| state.discard(pods, key)),
        Some(node) => {
            let up = node_ready(&node);
            for (key, ready, containers) in here {
                if ready != (up && containers) {
                    let now = now();
                    // The edit cannot fail: the pod was found above, under the same lock.
                    let _ = state.edit(pods, &key, |pod| set_condition(pod, "Ready", up && containers, None, &now));
                }
            }
        }
    }
    let waiting = |pod: &Value| text(pod, "/spec/nodeName").is_empty();
    let keys: Vec<Key> =
        state.collection(pods).objects.iter().filter(|(_, p)| waiting(&p.value)).map(|(key, _)| key.clone()).collect();
    state.work.extend(keys.into_iter().map(Work::Pod));
    let daemons = state.collection(state.kind("DaemonSet"));
    let keys: Vec<Key> = daemons.objects.keys().cloned().collect();
    state.work.extend(keys.into_iter().map(Work::DaemonSet));
}

fn is(pod: &Value, kind: &str) -> bool {
    condition(pod, kind) == Some("True")
}
