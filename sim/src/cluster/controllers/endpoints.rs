//! Keeps EndpointSlices and Endpoints of services, in the shape the controllers of Kubernetes produce: one set of
//! slices per address family and set of ports, up to a hundred endpoints each, and a placeholder if there are no
//! endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::json::{condition, flag, int, items, label, set, text};
use super::super::queue::selector;
use super::super::selector::labels_include;
use super::super::state::{Part, State};
use super::super::store::Key;

const MANAGER: &str = "endpointslice-controller.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SLICE_ROOM: usize = 100;

/// Address family and ports (as JSON text), which the endpoints of a slice have in common.
type Group = (String, String);

/// A slice to write: its key, if it exists already, and its endpoints.
struct Slot {
    key: Option<Key>,
    endpoints: Vec<Value>,
}

/// Updates the slices and the Endpoints of a service.
pub(super) fn reconcile(state: &mut State, key: &Key) {
    let Some(service) = state.find("Service", key) else { return };
    let Some(wanted) = selector(&service) else { return };
    let pods: Vec<_> = state
        .collection(state.kind("Pod"))
        .in_namespace(&key.namespace)
        .filter(|(_, pod)| labels_include(&pod.value["metadata"]["labels"], wanted) && counts(&pod.value))
        .map(|(_, pod)| std::sync::Arc::clone(&pod.value))
        .collect();
    let groups = groups(state, &service, pods.iter().map(|pod| &**pod));
    let slots = assign(state, key, &groups);
    write_slices(state, key, &service, slots);
    write_endpoints(state, key, &service, pods.iter().map(|pod| &**pod));
}

fn counts(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Failed" | "Succeeded") && !text(pod, "/status/podIP").is_empty()
}

fn families(service: &Value) -> Vec<&str> {
    let families: Vec<&str> = items(service, "/spec/ipFamilies").iter().filter_map(Value::as_str).collect();
    if families.is_empty() { vec!["IPv4"] } else { families }
}

fn address_of<'a>(pod: &'a Value, family: &str) -> Option<&'a str> {
    let listed = items(pod, "/status/podIPs").iter().map(|entry| text(entry, "/ip"));
    listed.chain([text(pod, "/status/podIP")]).find(|address| {
        let address: Result<IpAddr, _> = address.parse();
        address.is_ok_and(|address| address.is_ipv6() == (family == "IPv6"))
    })
}

/// Returns endpoints by group, in order of address. A family without endpoints has one empty group.
fn groups<'a>(
    state: &State,
    service: &Value,
    pods: impl Iterator<Item = &'a Value> + Clone,
) -> BTreeMap<Group, BTreeMap<IpAddr, Value>> {
    let mut groups: BTreeMap<Group, BTreeMap<IpAddr, Value>> = BTreeMap::new();
    for family in families(service) {
        let mut any = false;
        for pod in pods.clone() {
            let Some(address) = address_of(pod, family) else { continue };
            let Ok(parsed) = address.parse() else { continue };
            any = true;
            let group = (family.to_owned(), ports_of(service, pod).to_string());
            groups.entry(group).or_default().insert(parsed, endpoint(state, service, pod, address));
        }
        if !any {
            groups.insert((family.to_owned(), Value::Null.to_string()), BTreeMap::new());
        }
    }
    groups
}

fn ports_of(service: &Value, pod: &Value) -> Value {
    let resolve = |port: &Value| -> Option<Value> {
        let number = match &port["targetPort"] {
            Value::String(name) => named_port(pod, name)?,
            Value::Number(number) if number.as_i64() != Some(0) => number.clone().into(),
            _ => port["port"].clone(),
        };
        let mut slice_port = json!({"name": text(port, "/name"), "port": number, "protocol": "TCP"});
        if let Some(protocol) = port.get("protocol") {
            slice_port["protocol"] = protocol.clone();
        }
        if let Some(application) = port.get("appProtocol") {
            slice_port["appProtocol"] = application.clone();
        }
        Some(slice_port)
    };
    Value::Array(items(service, "/spec/ports").iter().filter_map(resolve).collect())
}

fn named_port(pod: &Value, name: &str) -> Option<Value> {
    let containers = items(pod, "/spec/containers").iter();
    let port = containers.flat_map(|container| items(container, "/ports")).find(|port| text(port, "/name") == name)?;
    port.get("containerPort").cloned()
}

fn endpoint(state: &State, service: &Value, pod: &Value, address: &str) -> Value {
    let leaving = !text(pod, "/metadata/deletionTimestamp").is_empty();
    let serving = condition(pod, "Ready") == Some("True");
    let always = flag(service, "/spec/publishNotReadyAddresses");
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {"ready": always || serving && !leaving, "serving": serving, "terminating": leaving},
        "targetRef": target(pod),
    });
    let node = text(pod, "/spec/nodeName");
    if !node.is_empty() {
        endpoint["nodeName"] = node.into();
        let zone = state.find("Node", &Key::new("", node));
        if let Some(zone) = zone.as_deref().and_then(|node| label(node, "topology.kubernetes.io/zone")) {
            endpoint["zone"] = zone.into();
        }
    }
    endpoint
}

fn target(pod: &Value) -> Value {
    let metadata = &pod["metadata"];
    json!({"kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]})
}

/// Distributes endpoints over slices such that as few slices as possible change.
fn assign(state: &State, key: &Key, groups: &BTreeMap<Group, BTreeMap<IpAddr, Value>>) -> Vec<(Option<Group>, Slot)> {
    let prefix = format!("{}-", key.name);
    let mine =
        |slice: &Value| label(slice, SERVICE_NAME) == Some(&key.name) && label(slice, MANAGED_BY) == Some(MANAGER);
    let existing = state.collection(state.kind("EndpointSlice")).with_prefix(&key.namespace, &prefix);
    let mut by_group: BTreeMap<Group, Vec<Slot>> = BTreeMap::new();
    let mut spare: Vec<(String, Key)> = Vec::new();
    for (slice_key, stored) in existing.filter(|(_, stored)| mine(&stored.value)) {
        let slice = &stored.value;
        let group = (text(slice, "/addressType").to_owned(), slice["ports"].to_string());
        if groups.contains_key(&group) {
            let slot = Slot { key: Some(slice_key.clone()), endpoints: items(slice, "/endpoints").to_vec() };
            by_group.entry(group).or_default().push(slot);
        } else {
            spare.push((group.0, slice_key.clone()));
        }
    }
    let mut result = Vec::new();
    for (group, endpoints) in groups {
        for mut slot in fill(by_group.remove(group).unwrap_or_default(), endpoints.clone(), &mut spare, &group.0) {
            if slot.key.is_none() {
                let at = spare.iter().position(|(family, _)| *family == group.0);
                slot.key = at.map(|at| spare.remove(at).1);
            }
            result.push((Some(group.clone()), slot));
        }
    }
    result.extend(spare.into_iter().map(|(_, key)| (None, Slot { key: Some(key), endpoints: Vec::new() })));
    result
}

/// Fills slices. Endpoints stay in their slice, new ones go where there is room, and empty slices become spare.
fn fill(
    mut slots: Vec<Slot>,
    mut endpoints: BTreeMap<IpAddr, Value>,
    spare: &mut Vec<(String, Key)>,
    family: &str,
) -> Vec<Slot> {
    let placeholder = endpoints.is_empty();
    for slot in &mut slots {
        let kept = slot.endpoints.iter().filter_map(|old| endpoints.remove(&text(old, "/addresses/0").parse().ok()?));
        slot.endpoints = kept.collect();
    }
    let mut rest = endpoints.into_values();
    for slot in &mut slots {
        let room = SLICE_ROOM.saturating_sub(slot.endpoints.len());
        slot.endpoints.extend(rest.by_ref().take(room));
    }
    loop {
        let endpoints: Vec<Value> = rest.by_ref().take(SLICE_ROOM).collect();
        if endpoints.is_empty() {
            break;
        }
        slots.push(Slot { key: None, endpoints });
    }
    let keep_one = usize::from(placeholder);
    if placeholder && slots.is_empty() {
        slots.push(Slot { key: None, endpoints: Vec::new() });
    }
    let mut kept = 0;
    slots.retain(|slot| {
        let keep = !slot.endpoints.is_empty() || kept < keep_one;
        kept += usize::from(keep);
        if !keep {
            spare.extend(slot.key.clone().map(|key| (family.to_owned(), key)));
        }
        keep
    });
    slots
}

fn write_slices(state: &mut State, key: &Key, service: &Value, slots: Vec<(Option<Group>, Slot)>) {
    let slices = state.kind("EndpointSlice");
    for (group, slot) in slots {
        let Some((family, ports)) = group else {
            slot.key.iter().for_each(|key| state.discard(slices, key));
            continue;
        };
        let ports: Value = serde_json::from_str(&ports).unwrap_or_default();
        let endpoints = if slot.endpoints.is_empty() { Value::Null } else { slot.endpoints.into() };
        let labels = slice_labels(service);
        // Neither can fail: the slice was found under the same lock, or it gets a new name in the service's namespace.
        let _ = match &slot.key {
            Some(slice) => state.edit(slices, slice, |slice| {
                slice["endpoints"] = endpoints;
                slice["ports"] = ports;
                slice["metadata"]["labels"] = labels;
            }),
            None => {
                let slice = json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                    "metadata": {
                        "generateName": format!("{}-", key.name), "labels": labels,
                        "ownerReferences": [{
                            "apiVersion": "v1", "kind": "Service", "name": service["metadata"]["name"],
                            "uid": service["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
                        }],
                    },
                    "endpoints": endpoints, "ports": ports,
                });
                state.create(slices, &key.namespace, slice, Part::Whole, false)
            }
        };
    }
}

fn slice_labels(service: &Value) -> Value {
    let mut labels = service.pointer("/metadata/labels").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    labels[MANAGED_BY] = MANAGER.into();
    labels[SERVICE_NAME] = service["metadata"]["name"].clone();
    if text(service, "/spec/clusterIP") == "None" {
        labels["service.kubernetes.io/headless"] = "".into();
    }
    labels
}

/// Writes the Endpoints object: the first family only, with ready and not ready addresses per set of ports.
fn write_endpoints<'a>(state: &mut State, key: &Key, service: &Value, pods: impl Iterator<Item = &'a Value>) {
    let family = families(service)[0].to_owned();
    let always = flag(service, "/spec/publishNotReadyAddresses");
    let mut subsets: BTreeMap<String, [BTreeMap<IpAddr, Value>; 2]> = BTreeMap::new();
    for pod in pods {
        let Some(Ok(address)) = address_of(pod, &family).map(str::parse::<IpAddr>) else { continue };
        let leaving = !text(pod, "/metadata/deletionTimestamp").is_empty();
        if leaving && !always {
            continue;
        }
        let ready = always || condition(pod, "Ready") == Some("True");
        let mut entry = json!({"ip": address.to_string(), "targetRef": target(pod)});
        if let Some(node) = pod["spec"].get("nodeName") {
            entry["nodeName"] = node.clone();
        }
        let subset = subsets.entry(ports_of(service, pod).to_string()).or_default();
        subset[usize::from(!ready)].insert(address, entry);
    }
    let subsets: Vec<Value> = subsets.into_iter().map(|(ports, sides)| subset(&ports, sides)).collect();
    let endpoints = state.kind("Endpoints");
    let mut labels = service.pointer("/metadata/labels").cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    if text(service, "/spec/clusterIP") == "None" {
        labels["service.kubernetes.io/headless"] = "".into();
    }
    let write = |object: &mut Value| {
        if subsets.is_empty() {
            super::super::json::remove(object, "", "subsets");
        } else {
            object["subsets"] = subsets.clone().into();
        }
        if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
            set(object, &["metadata", "labels"], labels.clone());
        }
    };
    // Neither can fail: namespace and name are those of the service, so they are valid.
    let _ = if state.get(endpoints, key).is_some() {
        state.edit(endpoints, key, write)
    } else {
        let mut object = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": &*key.name}});
        let owner = json!([{
            "apiVersion": "v1", "kind": "Service", "name": service["metadata"]["name"],
            "uid": service["metadata"]["uid"],
        }]);
        set(&mut object, &["metadata", "ownerReferences"], owner);
        write(&mut object);
        state.create(endpoints, &key.namespace, object, Part::Whole, false)
    };
}

fn subset(ports: &str, [ready, waiting]: [BTreeMap<IpAddr, Value>; 2]) -> Value {
    let mut ports: Value = serde_json::from_str(ports).unwrap_or_default();
    for port in ports.as_array_mut().into_iter().flatten() {
        if int(port, "/port").is_some() && text(port, "/name").is_empty() {
            super::super::json::remove(port, "", "name");
        }
    }
    let mut subset = json!({"ports": ports});
    for (name, side) in [("addresses", ready), ("notReadyAddresses", waiting)] {
        if !side.is_empty() {
            subset[name] = side.into_values().collect();
        }
    }
    subset
}
