//! Builds the tables that `kubectl get` prints.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::json::{flag, int, items, object, text};
use super::super::resource::Resource;
use super::super::store::Stored;
use super::answer::metadata_only;
use super::context::Context;

/// A column: its name, and whether only `-o wide` shows it.
type Heading = (String, bool);

/// Returns a table of objects. `columns` says whether it defines its columns.
pub(crate) fn table<'a>(
    context: &Context,
    objects: impl Iterator<Item = &'a Stored>,
    list_metadata: Value,
    columns: bool,
) -> Value {
    let resource = &context.resource;
    let rows: Vec<Value> = objects
        .map(|stored| {
            let object = match context.query.get("includeObject") {
                "None" => Value::Null,
                "Object" => super::answer::value(resource, &context.target.version, stored),
                _ => metadata_only(&stored.value, "PartialObjectMetadata"),
            };
            json!({"cells": cells(resource, &stored.value), "object": object})
        })
        .collect();
    let definitions: Vec<Value> = headings(resource)
        .into_iter()
        .enumerate()
        .filter(|_| columns)
        .map(|(at, (name, wide))| {
            let format = if at == 0 { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format, "description": "", "priority": i32::from(wide)})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// Returns the names of columns. Those after the bar are shown only by `-o wide`.
fn builtin_headings(resource: &Resource) -> Option<&'static str> {
    Some(match (&*resource.group, &*resource.kind) {
        ("", "Service") => "Name,Type,Cluster-IP,External-IP,Port(s),Age|Selector",
        ("", "Node") => {
            "Name,Status,Roles,Age,Version|Internal-IP,External-IP,OS-Image,Kernel-Version,Container-Runtime"
        }
        ("", "Pod") => "Name,Ready,Status,Restarts,Age|IP,Node,Nominated Node,Readiness Gates",
        ("", "Namespace") => "Name,Status,Age|",
        ("", "Endpoints") => "Name,Endpoints,Age|",
        ("", "ConfigMap") => "Name,Data,Age|",
        ("", "Event") => "Last Seen,Type,Reason,Object,Message|",
        ("apps", "Deployment") => "Name,Ready,Up-to-date,Available,Age|Containers,Images,Selector",
        ("apps", "ReplicaSet") => "Name,Desired,Current,Ready,Age|Containers,Images,Selector",
        ("apps", "DaemonSet") => {
            "Name,Desired,Current,Ready,Up-to-date,Available,Node Selector,Age|Containers,Images,Selector"
        }
        ("discovery.k8s.io", "EndpointSlice") => "Name,AddressType,Ports,Endpoints,Age|",
        ("apiextensions.k8s.io", "CustomResourceDefinition") => "Name,Created At|",
        _ => return None,
    })
}

fn headings(resource: &Resource) -> Vec<Heading> {
    if let Some(headings) = builtin_headings(resource) {
        let (narrow, wide) = headings.split_once('|').unwrap_or((headings, ""));
        let part = |part: &'static str, wide: bool| {
            part.split(',').filter(|name| !name.is_empty()).map(move |name| (name.to_owned(), wide))
        };
        return part(narrow, false).chain(part(wide, true)).collect();
    }
    let own = resource.columns.iter().map(|column| (column.name.clone(), column.priority > 0));
    [("Name".to_owned(), false)].into_iter().chain(own).chain([("Age".to_owned(), false)]).collect()
}

fn cells(resource: &Resource, value: &Value) -> Vec<String> {
    let name = text(value, "/metadata/name").to_owned();
    let mut cells = match (&*resource.group, &*resource.kind) {
        ("", "Service") => service(value),
        ("", "Node") => node(value),
        ("", "Pod") => pod(value),
        ("", "Namespace") => vec![text(value, "/status/phase").to_owned(), age(value)],
        ("", "Endpoints") => vec![endpoints(value), age(value)],
        ("", "ConfigMap") => vec![object(value, "/data").map_or(0, serde_json::Map::len).to_string(), age(value)],
        ("", "Event") => return event(value),
        ("apps", "Deployment") => deployment(value),
        ("apps", "ReplicaSet") => replica_set(value),
        ("apps", "DaemonSet") => daemon_set(value),
        ("discovery.k8s.io", "EndpointSlice") => slice(value),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            vec![text(value, "/metadata/creationTimestamp").to_owned()]
        }
        _ => custom(resource, value),
    };
    cells.insert(0, name);
    cells
}

fn custom(resource: &Resource, value: &Value) -> Vec<String> {
    let cell = |pointer: &str| match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    resource.columns.iter().map(|column| cell(&column.pointer)).chain([age(value)]).collect()
}

fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    or_none(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(","))
}

fn pairs(value: &Value, pointer: &str) -> String {
    let members = object(value, pointer).into_iter().flatten();
    or_none(members.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect::<Vec<_>>().join(","))
}

/// Returns the time since creation.
fn age(value: &Value) -> String {
    since(text(value, "/metadata/creationTimestamp"))
}

fn since(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => duration(jiff::Timestamp::now().as_second() - time.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Formats a duration as kubectl does: 59s, 2m5s, 18h, 4d3h, 120d.
fn duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |big: i64, big_name: &str, small: i64, small_name: &str| {
        let (whole, rest) = (seconds / big, seconds % big / small);
        if rest == 0 { format!("{whole}{big_name}") } else { format!("{whole}{big_name}{rest}{small_name}") }
    };
    match seconds.max(0) {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(DAY, "d", HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(YEAR, "y", DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

fn service(value: &Value) -> Vec<String> {
    let ingress = items(value, "/status/loadBalancer/ingress").iter().map(|entry| match text(entry, "/ip") {
        "" => text(entry, "/hostname"),
        ip => ip,
    });
    let listed = items(value, "/spec/externalIPs").iter().filter_map(Value::as_str);
    let kind = text(value, "/spec/type");
    let external = match kind {
        "ExternalName" => text(value, "/spec/externalName").to_owned(),
        "LoadBalancer" => joined(ingress.chain(listed)),
        _ => joined(listed),
    };
    let external = if kind == "LoadBalancer" && external == "<none>" { "<pending>".to_owned() } else { external };
    let ports = items(value, "/spec/ports").iter().map(|port| {
        let number = int(port, "/port").unwrap_or_default();
        let node = int(port, "/nodePort").filter(|port| *port > 0).map(|port| format!(":{port}")).unwrap_or_default();
        format!("{number}{node}/{}", text(port, "/protocol"))
    });
    let cluster_ip = match kind {
        "ExternalName" => "<none>",
        _ => text(value, "/spec/clusterIP"),
    };
    vec![
        kind.to_owned(),
        or_none(cluster_ip.to_owned()),
        external,
        or_none(ports.collect::<Vec<_>>().join(",")),
        age(value),
        pairs(value, "/spec/selector"),
    ]
}

fn node(value: &Value) -> Vec<String> {
    let mut status = match super::super::json::condition(value, "Ready") {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(value, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let labels = object(value, "/metadata/labels").into_iter().flatten();
    let roles = labels.filter_map(|(name, _)| name.strip_prefix("node-role.kubernetes.io/"));
    let address = |kind: &str| {
        let found = items(value, "/status/addresses").iter().find(|address| text(address, "/type") == kind);
        or_none(found.map(|address| text(address, "/address").to_owned()).unwrap_or_default())
    };
    let info = |member: &str| {
        let found = text(value, &format!("/status/nodeInfo/{member}")).to_owned();
        if found.is_empty() { "<unknown>".to_owned() } else { found }
    };
    vec![
        status,
        joined(roles),
        age(value),
        info("kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn pod(value: &Value) -> Vec<String> {
    let statuses = items(value, "/status/containerStatuses");
    let total = items(value, "/spec/containers").len();
    let ready = statuses.iter().filter(|status| flag(status, "/ready")).count();
    let restarts: i64 = statuses.iter().filter_map(|status| int(status, "/restartCount")).sum();
    let leaving = !text(value, "/metadata/deletionTimestamp").is_empty();
    let status = if leaving { "Terminating" } else { text(value, "/status/phase") };
    vec![
        format!("{ready}/{total}"),
        status.to_owned(),
        restarts.to_string(),
        age(value),
        or_none(text(value, "/status/podIP").to_owned()),
        or_none(text(value, "/spec/nodeName").to_owned()),
        or_none(text(value, "/status/nominatedNodeName").to_owned()),
        "<none>".to_owned(),
    ]
}

/// Returns the first three addresses with their ports, and the number of others.
fn endpoints(value: &Value) -> String {
    let mut all = Vec::new();
    for subset in items(value, "/subsets") {
        for address in items(subset, "/addresses").iter().map(|address| text(address, "/ip")) {
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            let ports = items(subset, "/ports");
            if ports.is_empty() {
                all.push(address.to_owned());
            }
            all.extend(ports.iter().map(|port| format!("{host}:{}", int(port, "/port").unwrap_or_default())));
        }
    }
    let mut shown = all.iter().take(3).cloned().collect::<Vec<_>>().join(",");
    if all.len() > 3 {
        // Writing to a String cannot fail.
        let _ = write!(shown, " + {} more...", all.len() - 3);
    }
    or_none(shown)
}

fn slice(value: &Value) -> Vec<String> {
    let unset = |text: String| if text.is_empty() { "<unset>".to_owned() } else { text };
    let first = |all: Vec<String>| {
        let more = all.len().saturating_sub(3);
        let shown = all.into_iter().take(3).collect::<Vec<_>>().join(",");
        if more > 0 { format!("{shown} + {more} more...") } else { shown }
    };
    let ports = items(value, "/ports").iter().map(|port| int(port, "/port").map_or("*".into(), |p| p.to_string()));
    let addresses = items(value, "/endpoints").iter().flat_map(|endpoint| items(endpoint, "/addresses"));
    vec![
        text(value, "/addressType").to_owned(),
        unset(first(ports.collect())),
        unset(first(addresses.filter_map(|address| address.as_str().map(str::to_owned)).collect())),
        age(value),
    ]
}

fn number(value: &Value, pointer: &str) -> String {
    int(value, pointer).unwrap_or_default().to_string()
}

fn workload(value: &Value) -> Vec<String> {
    let containers = items(value, "/spec/template/spec/containers");
    vec![
        joined(containers.iter().map(|container| text(container, "/name"))),
        joined(containers.iter().map(|container| text(container, "/image"))),
        pairs(value, "/spec/selector/matchLabels"),
    ]
}

fn deployment(value: &Value) -> Vec<String> {
    let ready = format!("{}/{}", number(value, "/status/readyReplicas"), number(value, "/spec/replicas"));
    let counts =
        vec![ready, number(value, "/status/updatedReplicas"), number(value, "/status/availableReplicas"), age(value)];
    counts.into_iter().chain(workload(value)).collect()
}

fn replica_set(value: &Value) -> Vec<String> {
    let counts = ["/spec/replicas", "/status/replicas", "/status/readyReplicas"].map(|pointer| number(value, pointer));
    counts.into_iter().chain([age(value)]).chain(workload(value)).collect()
}

fn daemon_set(value: &Value) -> Vec<String> {
    let counts = [
        "/status/desiredNumberScheduled",
        "/status/currentNumberScheduled",
        "/status/numberReady",
        "/status/updatedNumberScheduled",
        "/status/numberAvailable",
    ];
    let counts = counts.map(|pointer| number(value, pointer)).into_iter();
    counts.chain([pairs(value, "/spec/template/spec/nodeSelector"), age(value)]).chain(workload(value)).collect()
}

fn event(value: &Value) -> Vec<String> {
    let involved = &value["involvedObject"];
    vec![
        since(text(value, "/lastTimestamp")),
        text(value, "/type").to_owned(),
        text(value, "/reason").to_owned(),
        format!("{}/{}", text(involved, "/kind").to_lowercase(), text(involved, "/name")),
        text(value, "/message").to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shortened_as_kubectl_does() {
        let cases = [
            (59, "59s"),
            (119, "119s"),
            (125, "2m5s"),
            (600, "10m"),
            (85 * 60, "85m"),
            (3 * 3600 + 60, "3h1m"),
            (18 * 3600, "18h"),
            (4 * 86400 + 3 * 3600, "4d3h"),
            (120 * 86400, "120d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }
}
