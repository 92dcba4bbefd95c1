//! Scheduler and kubelet: assigns a pod a node and an address, and starts it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::json::{default, flag, items, set, set_condition, text};
use super::super::selector::labels_include;
use super::super::state::{State, node_ready, now, schedulable};
use super::super::store::Key;

/// Schedules a pod that has no node, and starts one that has a node but no address.
pub(super) fn reconcile(state: &mut State, key: &Key) {
    let Some(pod) = state.find("Pod", key) else { return };
    if !text(&pod, "/status/podIP").is_empty() || text(&pod, "/status/phase") != "Pending" {
        return;
    }
    if !text(&pod, "/metadata/deletionTimestamp").is_empty() {
        return;
    }
    let pods = state.kind("Pod");
    let assigned = text(&pod, "/spec/nodeName");
    let node = if assigned.is_empty() { choose(state, &pod) } else { Some(assigned.to_owned()) };
    let now = now();
    let Some(node) = node else {
        // The edits here cannot fail: the pod was found above, under the same lock.
        let _ = state.edit(pods, key, |pod| set_condition(pod, "PodScheduled", false, Some("Unschedulable"), &now));
        return;
    };
    let Some(host) = state.find("Node", &Key::new("", &node)) else { return };
    let addresses = addresses(state, &pod, &node, &host);
    let ready = node_ready(&host);
    let _ = state.edit(pods, key, |pod| start(pod, &node, &host, &addresses, ready, &now));
}

/// Returns the node with the fewest pods of the same owner, then with the fewest pods, then the first by name.
fn choose(state: &State, pod: &Value) -> Option<String> {
    let owner = text(pod, "/metadata/ownerReferences/0/uid");
    let mut load: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for other in state.collection(state.kind("Pod")).objects.values() {
        let count = load.entry(text(&other.value, "/spec/nodeName")).or_default();
        let sibling = !owner.is_empty() && text(&other.value, "/metadata/ownerReferences/0/uid") == owner;
        count.0 += usize::from(sibling && text(&other.value, "/metadata/deletionTimestamp").is_empty());
        count.1 += 1;
    }
    let nodes = state.collection(state.kind("Node"));
    let fit = nodes.objects.iter().filter(|(_, node)| schedulable(&node.value) && fits(pod, &node.value));
    fit.map(|(key, _)| &*key.name)
        .min_by_key(|name| (load.get(name).copied().unwrap_or_default(), *name))
        .map(str::to_owned)
}

/// Returns whether nodeSelector and taints allow the pod on the node.
pub(super) fn fits(pod: &Value, node: &Value) -> bool {
    let labels = node.pointer("/metadata/labels").unwrap_or(&Value::Null);
    let selected = pod.pointer("/spec/nodeSelector").is_none_or(|wanted| labels_include(labels, wanted));
    let blocks = |taint: &Value| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute");
    selected && items(node, "/spec/taints").iter().filter(|taint| blocks(taint)).all(|taint| tolerates(pod, taint))
}

fn tolerates(pod: &Value, taint: &Value) -> bool {
    items(pod, "/spec/tolerations").iter().any(|toleration| {
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        let exists = text(toleration, "/operator") == "Exists";
        let same_key = if key.is_empty() { exists } else { key == text(taint, "/key") };
        let same_value = exists || text(toleration, "/value") == text(taint, "/value");
        same_key && same_value && (effect.is_empty() || effect == text(taint, "/effect"))
    })
}

fn addresses(state: &mut State, pod: &Value, node: &str, host: &Value) -> Vec<String> {
    if flag(pod, "/spec/hostNetwork") {
        return node_addresses(host).map(str::to_owned).collect();
    }
    let networks: Vec<IpNet> =
        items(host, "/spec/podCIDRs").iter().filter_map(|cidr| cidr.as_str()?.parse().ok()).collect();
    let taken: BTreeSet<IpAddr> = {
        let pods = state.collection(state.kind("Pod"));
        let here = pods.objects.values().filter(|pod| text(&pod.value, "/spec/nodeName") == node);
        here.filter_map(|pod| text(&pod.value, "/status/podIP").parse().ok()).collect()
    };
    let Some(first) = networks.first() else { return Vec::new() };
    let room = 1u64.checked_shl(u32::from(first.max_prefix_len() - first.prefix_len())).unwrap_or(u64::MAX);
    let last = state.pod_addresses.entry(node.into()).or_insert(FIRST_HOST - 1);
    for _ in 0..room {
        *last = if *last + 2 >= room { FIRST_HOST } else { *last + 1 };
        if host_of(first, *last).is_some_and(|address| !taken.contains(&address)) {
            let at = *last;
            return networks.iter().filter_map(|network| host_of(network, at)).map(|a| a.to_string()).collect();
        }
    }
    Vec::new()
}

/// The bridge and a system pod have the addresses before this one.
const FIRST_HOST: u64 = 3;

fn host_of(network: &IpNet, offset: u64) -> Option<IpAddr> {
    let address = match network {
        IpNet::V4(network) => IpAddr::V4(u32::from(network.network()).checked_add(u32::try_from(offset).ok()?)?.into()),
        IpNet::V6(network) => IpAddr::V6(u128::from(network.network()).checked_add(u128::from(offset))?.into()),
    };
    network.contains(&address).then_some(address)
}

/// Returns the InternalIPs of a node.
fn node_addresses(node: &Value) -> impl Iterator<Item = &str> {
    let addresses = items(node, "/status/addresses").iter();
    addresses.filter(|address| text(address, "/type") == "InternalIP").map(|address| text(address, "/address"))
}

fn start(pod: &mut Value, node: &str, host: &Value, addresses: &[String], ready: bool, now: &str) {
    set(pod, &["spec", "nodeName"], node);
    set(pod, &["status", "phase"], "Running");
    default(pod, &["status", "startTime"], now);
    if let Some(first) = addresses.first() {
        set(pod, &["status", "podIP"], first.as_str());
        let all: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
        set(pod, &["status", "podIPs"], all);
    }
    if let Some(address) = node_addresses(host).next() {
        set(pod, &["status", "hostIP"], address);
    }
    for kind in ["PodScheduled", "Initialized", "ContainersReady"] {
        set_condition(pod, kind, true, None, now);
    }
    set_condition(pod, "Ready", ready, None, now);
    let statuses: Vec<Value> = items(pod, "/spec/containers")
        .iter()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": container["image"],
                "ready": true, "started": true, "restartCount": 0, "lastState": {},
                "state": {"running": {"startedAt": now}},
            })
        })
        .collect();
    set(pod, &["status", "containerStatuses"], statuses);
}

/// Returns the names of the nodes on which pods of a DaemonSet run. Cordons, and taints of unready nodes, do not
/// matter.
pub(super) fn daemon_nodes(state: &State, template: &Value) -> Vec<Arc<str>> {
    let nodes = state.collection(state.kind("Node"));
    nodes.objects.iter().filter(|(_, node)| fits(template, &node.value)).map(|(key, _)| Arc::clone(&key.name)).collect()
}
