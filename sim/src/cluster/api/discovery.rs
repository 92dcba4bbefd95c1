//! Discovery: lists groups, versions and resources, in the older and the aggregated form.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::resource::Resource;
use super::super::state::State;
use super::answer::{self, Body};
use super::route::Route;

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// `/version`
pub(crate) fn version(git: &str) -> Value {
    let mut parts = git.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
    json!({
        "major": major, "minor": minor, "gitVersion": git, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

/// Returns resources by group and version. Groups are in alphabetical order; the core group, whose name is empty, comes
/// first.
fn groups(state: &State) -> BTreeMap<&str, BTreeMap<usize, (&str, Vec<&Resource>)>> {
    let mut groups: BTreeMap<&str, BTreeMap<usize, (&str, Vec<&Resource>)>> = BTreeMap::new();
    let served = state.registry.iter().map(|(_, resource)| resource);
    for resource in served.filter(|r| state.serves(&r.group)) {
        let group = groups.entry(&resource.group).or_default();
        for version in &resource.versions {
            let at = group.iter().find(|(_, (known, _))| known == version).map(|(at, _)| *at);
            let next = group.len();
            group.entry(at.unwrap_or(next)).or_insert((version, Vec::new())).1.push(resource);
        }
    }
    groups
}

/// Answers a discovery request.
pub(crate) fn answer(state: &State, route: &Route, aggregated: Option<&str>) -> Result<Response<Body>, ApiError> {
    let ok = |value: Value| Ok(answer::json(StatusCode::OK, &value));
    match (route, aggregated) {
        (Route::CoreVersions | Route::Groups, Some(version)) => {
            let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
            let list = all(state, *route == Route::CoreVersions, version);
            Ok(answer::bytes(StatusCode::OK, &media, list.to_string()))
        }
        (Route::CoreVersions, None) => ok(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        })),
        (Route::Groups, None) => {
            let groups = groups(state);
            let named = groups.iter().filter(|(name, _)| !name.is_empty());
            let list: Vec<Value> = named.map(|(name, versions)| group(name, versions)).collect();
            ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}))
        }
        (Route::Group(name), _) => {
            let groups = groups(state);
            let versions = groups.get(name.as_str()).ok_or(ApiError::NoPage)?;
            let mut group = group(name, versions);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            ok(group)
        }
        (Route::Resources { group, version }, _) => {
            let groups = groups(state);
            let versions = groups.get(group.as_str()).ok_or(ApiError::NoPage)?;
            let found = versions.values().find(|(known, _)| known == version);
            let (_, resources) = found.ok_or(ApiError::NoPage)?;
            let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
            let list: Vec<Value> = resources.iter().flat_map(|resource| rows(resource)).collect();
            ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": list}))
        }
        _ => Err(ApiError::UnknownPath),
    }
}

fn group(name: &str, versions: &BTreeMap<usize, (&str, Vec<&Resource>)>) -> Value {
    let version = |version: &str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let list: Vec<Value> = versions.values().map(|(known, _)| version(known)).collect();
    let preferred = list.first().cloned().unwrap_or_default();
    json!({"name": name, "versions": list, "preferredVersion": preferred})
}

/// Returns a resource and its subresources in the older form.
fn rows(resource: &Resource) -> Vec<Value> {
    let mut row = json!({
        "name": resource.plural, "singularName": resource.kind.to_lowercase(), "namespaced": resource.namespaced,
        "kind": &*resource.kind, "verbs": VERBS,
    });
    if !resource.short_names.is_empty() {
        row["shortNames"] = resource.short_names.clone().into();
    }
    if resource.in_all {
        row["categories"] = json!(["all"]);
    }
    let mut rows = vec![row];
    let name = |subresource: &str| format!("{}/{subresource}", resource.plural);
    if resource.status {
        rows.push(json!({
            "name": name("status"), "singularName": "", "namespaced": resource.namespaced,
            "kind": &*resource.kind, "verbs": ["get", "patch", "update"],
        }));
    }
    if resource.scale {
        rows.push(json!({
            "name": name("scale"), "singularName": "", "namespaced": resource.namespaced, "group": "autoscaling",
            "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"],
        }));
    }
    if &*resource.kind == "Pod" {
        rows.push(json!({
            "name": name("eviction"), "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"],
        }));
    }
    rows
}

/// Returns the aggregated form of the core group, or of all other groups.
fn all(state: &State, core: bool, version: &str) -> Value {
    let groups = groups(state);
    let chosen = groups.iter().filter(|(name, _)| name.is_empty() == core);
    let list: Vec<Value> = chosen.map(|(name, versions)| aggregated_group(name, versions)).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {},
        "items": list,
    })
}

fn aggregated_group(name: &str, versions: &BTreeMap<usize, (&str, Vec<&Resource>)>) -> Value {
    let list: Vec<Value> = versions
        .values()
        .map(|(version, resources)| {
            let rows: Vec<Value> = resources.iter().map(|resource| aggregated(resource, name, version)).collect();
            json!({"version": version, "freshness": "Current", "resources": rows})
        })
        .collect();
    let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    json!({"metadata": metadata, "versions": list})
}

fn aggregated(resource: &Resource, group: &str, version: &str) -> Value {
    let mut row = json!({
        "resource": resource.plural, "singularResource": resource.kind.to_lowercase(),
        "responseKind": {"group": group, "version": version, "kind": &*resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": VERBS,
    });
    if !resource.short_names.is_empty() {
        row["shortNames"] = resource.short_names.clone().into();
    }
    if resource.in_all {
        row["categories"] = json!(["all"]);
    }
    let mut subresources = Vec::new();
    if resource.status {
        subresources.push(json!({
            "subresource": "status", "verbs": ["get", "patch", "update"],
            "responseKind": {"group": group, "version": version, "kind": &*resource.kind},
        }));
    }
    if resource.scale {
        subresources.push(json!({
            "subresource": "scale", "verbs": ["get", "patch", "update"],
            "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        }));
    }
    if &*resource.kind == "Pod" {
        subresources.push(json!({
            "subresource": "eviction", "verbs": ["create"],
            "responseKind": {"group": "policy", "version": "v1", "kind": "Eviction"},
        }));
    }
    if !subresources.is_empty() {
        row["subresources"] = subresources.into();
    }
    row
}
