//! Admission of objects: what the API server adds to an object before it is stored, and what it rejects.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::error::ApiError;
use super::json::{default, int, items, remove, set, set_condition, text};
use super::resource::Resource;
use super::state::{Part, State, hash, now};

/// Checks the beginning of a name, which may end with '-'.
pub(crate) fn check_prefix(resource: &Resource, prefix: &str, name: &str) -> Result<(), ApiError> {
    let whole = prefix.strip_suffix('-').map_or_else(|| prefix.to_owned(), |prefix| format!("{prefix}a"));
    if good(resource, &whole) { Ok(()) } else { Err(bad_name(resource, name, "generateName", prefix)) }
}

/// Checks the name of an object.
pub(crate) fn check_name(resource: &Resource, name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        let cause = "metadata.name: Required value: name or generateName is required".to_owned();
        return Err(ApiError::Invalid { kind: resource.kind.to_string(), name: String::new(), cause });
    }
    if good(resource, name) { Ok(()) } else { Err(bad_name(resource, name, "name", name)) }
}

fn good(resource: &Resource, name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let loose = &*resource.group == "rbac.authorization.k8s.io";
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let good = name.chars().all(letter) && edge(name.chars().next()) && edge(name.chars().next_back());
    name.len() <= 253 && (good || loose && !name.contains('/'))
}

fn bad_name(resource: &Resource, name: &str, member: &str, value: &str) -> ApiError {
    let cause = format!(
        "metadata.{member}: Invalid value: {value:?}: a lowercase RFC 1123 subdomain must consist of lower case \
         alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
         'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    );
    ApiError::Invalid { kind: resource.kind.to_string(), name: name.to_owned(), cause }
}

/// Returns whether objects that are being deleted stay until someone removes them: pods wait for their kubelet.
pub(crate) fn lingers(resource: &Resource) -> bool {
    &*resource.kind == "Pod"
}

/// Sets the defaults of the kind and the fields that only the server knows.
pub(crate) fn prepare(
    state: &mut State,
    resource: &Resource,
    object: &mut Value,
    old: Option<&Value>,
    part: Part,
) -> Result<(), ApiError> {
    default(object, &["kind"], &*resource.kind);
    let api_version = resource.api_version(&resource.versions[0]);
    default(object, &["apiVersion"], api_version);
    if resource.group.is_empty() {
        match &*resource.kind {
            "Service" => service(state, object, old, part)?,
            "Node" => node(state, object),
            "Pod" => pod(object),
            "Namespace" => namespace(object),
            _ => {}
        }
    } else if &*resource.group == "apps" {
        workload(object, &resource.kind, part)?;
    } else if &*resource.kind == "CustomResourceDefinition" {
        definition(object);
    }
    Ok(())
}

fn invalid(kind: &str, object: &Value, cause: &str) -> ApiError {
    let name = text(object, "/metadata/name").to_owned();
    ApiError::Invalid { kind: kind.to_owned(), name, cause: cause.to_owned() }
}

fn namespace(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    default(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
    default(object, &["spec", "finalizers"], json!(["kubernetes"]));
    default(object, &["status", "phase"], "Active");
}

fn definition(object: &mut Value) {
    let names = object.pointer("/spec/names").cloned().unwrap_or_default();
    default(object, &["status", "acceptedNames"], names);
    let now = now();
    set_condition(object, "NamesAccepted", true, Some("NoConflicts"), &now);
    set_condition(object, "Established", true, Some("InitialNamesAccepted"), &now);
}

fn workload(object: &mut Value, kind: &str, part: Part) -> Result<(), ApiError> {
    if part == Part::Main && object.pointer("/spec/selector").is_none() {
        return Err(invalid(kind, object, "spec.selector: Required value"));
    }
    let selector = object.pointer("/spec/selector").cloned().unwrap_or_default();
    let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
    if part == Part::Main && !super::selector::label_selector_matches(&selector, &labels) {
        let cause = "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`";
        return Err(invalid(kind, object, cause));
    }
    if kind != "DaemonSet" {
        default(object, &["spec", "replicas"], 1);
    }
    if kind == "Deployment" {
        default(object, &["spec", "strategy", "type"], "RollingUpdate");
        default(object, &["spec", "progressDeadlineSeconds"], 600);
        default(object, &["spec", "revisionHistoryLimit"], 10);
    }
    default(object, &["spec", "template", "spec", "restartPolicy"], "Always");
    Ok(())
}

fn pod(object: &mut Value) {
    default(object, &["spec", "restartPolicy"], "Always");
    default(object, &["status", "phase"], "Pending");
}

/// Completes a node as its kubelet would register it.
fn node(state: &mut State, object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    default(object, &["metadata", "labels", "kubernetes.io/hostname"], name.as_str());
    default(object, &["metadata", "labels", "kubernetes.io/os"], "linux");
    default(object, &["metadata", "labels", "kubernetes.io/arch"], "amd64");
    let info = &state.options.kubernetes_version;
    default(object, &["status", "nodeInfo", "kubeletVersion"], info.as_str());
    default(object, &["status", "nodeInfo", "osImage"], "Ubuntu 22.04.2 LTS");
    default(object, &["status", "nodeInfo", "kernelVersion"], "5.15.0-76-generic");
    default(object, &["status", "nodeInfo", "containerRuntimeVersion"], "docker://24.0.4");
    if super::json::condition(object, "Ready").is_none() {
        set_condition(object, "Ready", true, Some("KubeletReady"), &now());
    }
    if state.controllers && items(object, "/spec/podCIDRs").is_empty() {
        pod_network(state, object);
    }
}

/// Assigns the lowest pod network that no other node has.
fn pod_network(state: &State, object: &mut Value) {
    if let Some(cidr) = object.pointer("/spec/podCIDR").cloned().filter(Value::is_string) {
        set(object, &["spec", "podCIDRs"], json!([cidr]));
        return;
    }
    let nodes = state.collection(state.kind("Node"));
    let taken: std::collections::BTreeSet<&str> =
        nodes.objects.values().map(|node| text(&node.value, "/spec/podCIDR")).collect();
    let mut subnets = state.options.pod_network.subnets(24).into_iter().flatten().enumerate();
    if let Some((at, v4)) = subnets.find(|(_, subnet)| !taken.contains(subnet.to_string().as_str())) {
        let mut cidrs = vec![v4.to_string()];
        if let Some(v6) = state.options.pod_network_v6.subnets(64).ok().and_then(|mut all| all.nth(at)) {
            cidrs.push(v6.to_string());
        }
        set(object, &["spec", "podCIDR"], v4.to_string());
        set(object, &["spec", "podCIDRs"], cidrs);
    }
}

fn service(state: &mut State, object: &mut Value, old: Option<&Value>, part: Part) -> Result<(), ApiError> {
    default(object, &["spec", "type"], "ClusterIP");
    let kind = text(object, "/spec/type").to_owned();
    let external = kind == "ExternalName";
    if part == Part::Main
        && !external
        && items(object, "/spec/ports").is_empty()
        && text(object, "/spec/clusterIP") != "None"
    {
        return Err(invalid("Service", object, "spec.ports: Required value"));
    }
    if let (Part::Main, Some(old)) = (part, old) {
        let (asked, had) = (text(object, "/spec/clusterIP"), text(old, "/spec/clusterIP"));
        if !asked.is_empty() && !had.is_empty() && asked != had && text(old, "/spec/type") != "ExternalName" {
            let cause = format!("spec.clusterIP: Invalid value: {asked:?}: field is immutable");
            return Err(invalid("Service", object, &cause));
        }
    }
    default(object, &["spec", "sessionAffinity"], "None");
    if !external {
        inherit(object, old, "clusterIP");
        inherit(object, old, "clusterIPs");
        inherit(object, old, "ipFamilies");
        families(object);
        cluster_addresses(state, object)?;
        default(object, &["spec", "internalTrafficPolicy"], "Cluster");
    }
    let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if outside {
        default(object, &["spec", "externalTrafficPolicy"], "Cluster");
    } else {
        remove(object, "/spec", "externalTrafficPolicy");
    }
    if kind == "LoadBalancer" {
        default(object, &["spec", "allocateLoadBalancerNodePorts"], true);
    } else {
        remove(object, "/spec", "allocateLoadBalancerNodePorts");
    }
    ports(state, object, old, outside);
    health_port(state, object, old, &kind);
    default(object, &["status", "loadBalancer"], json!({}));
    Ok(())
}

fn inherit(object: &mut Value, old: Option<&Value>, member: &str) {
    if let Some(value) = old.and_then(|old| old["spec"].get(member)) {
        default(object, &["spec", member], value.clone());
    }
}

fn families(object: &mut Value) {
    let v6 = |ip: &str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    let first = if v6(text(object, "/spec/clusterIP")) { "IPv6" } else { "IPv4" };
    let listed = items(object, "/spec/ipFamilies").len();
    default(object, &["spec", "ipFamilyPolicy"], if listed > 1 { "RequireDualStack" } else { "SingleStack" });
    let dual = text(object, "/spec/ipFamilyPolicy") != "SingleStack";
    if listed == 0 {
        set(object, &["spec", "ipFamilies"], json!([first]));
    }
    let only = text(object, "/spec/ipFamilies/0").to_owned();
    let other = if only == "IPv6" { "IPv4" } else { "IPv6" };
    let wanted = if dual { json!([only, other]) } else { json!([only]) };
    set(object, &["spec", "ipFamilies"], wanted);
}

fn cluster_addresses(state: &mut State, object: &mut Value) -> Result<(), ApiError> {
    if text(object, "/spec/clusterIP") == "None" {
        set(object, &["spec", "clusterIPs"], json!(["None"]));
        return Ok(());
    }
    let name = format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let mut addresses: Vec<String> =
        items(object, "/spec/clusterIPs").iter().filter_map(|ip| ip.as_str().map(str::to_owned)).collect();
    if addresses.is_empty() && !text(object, "/spec/clusterIP").is_empty() {
        addresses.push(text(object, "/spec/clusterIP").to_owned());
    }
    let families = items(object, "/spec/ipFamilies").to_vec();
    addresses.truncate(families.len());
    for family in families.iter().skip(addresses.len()) {
        let Some(address) = free_cluster_ip(state, &name, family == "IPv6") else {
            return Err(invalid("Service", object, "spec.clusterIPs: Invalid value: []: the service range is full"));
        };
        addresses.push(address.to_string());
    }
    set(object, &["spec", "clusterIP"], addresses[0].as_str());
    set(object, &["spec", "clusterIPs"], addresses);
    Ok(())
}

fn free_cluster_ip(state: &State, name: &str, v6: bool) -> Option<IpAddr> {
    let start = hash(name);
    (0..u64::from(u16::MAX)).map(|step| start.wrapping_add(step)).find_map(|number| {
        let address = if v6 {
            let network = u128::from(state.options.service_network_v6.network());
            IpAddr::V6((network + u128::from(number % 0xfff0) + 2).into())
        } else {
            let network = state.options.service_network;
            let room = (1u64 << (32 - network.prefix_len())).saturating_sub(4).max(1);
            let offset = u32::try_from(number % room).ok()? + 2;
            IpAddr::V4((u32::from(network.network()) + offset).into())
        };
        (!state.cluster_ips.contains(&address)).then_some(address)
    })
}

fn free_node_port(state: &State, name: &str, also: &mut Vec<u16>) -> Option<u16> {
    let start = hash(name);
    let free = (0..2768u64)
        .filter_map(|step| u16::try_from(30000 + start.wrapping_add(step) % 2768).ok())
        .find(|port| !state.node_ports.contains(port) && !also.contains(port))?;
    also.push(free);
    Some(free)
}

fn ports(state: &State, object: &mut Value, old: Option<&Value>, outside: bool) {
    let name = format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let wants = outside && object.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
    let had = old.map(|old| items(old, "/spec/ports")).unwrap_or_default();
    let mut given = Vec::new();
    // Ports that are not a list are kept, because absurd objects are there to test readers.
    let Some(ports) = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else { return };
    for port in ports.iter_mut().filter(|port| port.is_object()) {
        default(port, &["protocol"], "TCP");
        let number = port["port"].clone();
        default(port, &["targetPort"], number.clone());
        let same = had.iter().find(|had| had["port"] == number && had["protocol"] == port["protocol"]);
        if !wants {
            if !outside {
                remove(port, "", "nodePort");
            }
        } else if int(port, "/nodePort").unwrap_or_default() == 0 {
            let kept = same.and_then(|had| int(had, "/nodePort"));
            let label = format!("{name}:{number}/{}", text(port, "/protocol"));
            let free = kept.or_else(|| free_node_port(state, &label, &mut given).map(i64::from));
            if let Some(free) = free {
                port["nodePort"] = free.into();
            }
        }
    }
}

fn health_port(state: &State, object: &mut Value, old: Option<&Value>, kind: &str) {
    if kind != "LoadBalancer" || text(object, "/spec/externalTrafficPolicy") != "Local" {
        remove(object, "/spec", "healthCheckNodePort");
        return;
    }
    inherit(object, old, "healthCheckNodePort");
    let label = format!("{}/{}:health", text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let mut others: Vec<u16> =
        items(object, "/spec/ports").iter().filter_map(|port| u16::try_from(int(port, "/nodePort")?).ok()).collect();
    if let Some(port) = free_node_port(state, &label, &mut others) {
        default(object, &["spec", "healthCheckNodePort"], port);
    }
}
