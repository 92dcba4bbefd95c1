//! The entries of alarms, and the path of what an alarm is about.

use std::fmt::Display;

use serde::Serialize;

use super::entry::{Entry, Time, cluster_path, node_path, orphan_path, service_path, source_path};
use super::path::Path;
use crate::model::alarm::{AlarmKey, AlarmRecord, AlarmView, Resource};

/// Where a resource stands, as gNMI spells it: the `resource` of its alarms.
pub(crate) fn resource(resource: &Resource) -> String {
    let path = match resource {
        Resource::Cluster(cluster) => cluster_path(cluster),
        Resource::Node(cluster, node) => node_path(cluster, node),
        Resource::Service(cluster, service) => service_path(cluster, service),
        Resource::Vip(cluster, service, address) => {
            service_path(cluster, service).entry("vip", &[("address", address)])
        }
        Resource::Source(source) => source_path(source),
        Resource::Orphan(route) => orphan_path(route),
        // The route table of the network instance holds the address, whatever the release names the way to it.
        Resource::NetworkInstance(name) | Resource::Address(name, _) => {
            return format!("/network-instance[name={name}]");
        }
    };
    path.gnmi()
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Alarm<'a> {
    r#type: &'static str,
    severity: &'static str,
    resource: String,
    text: &'a str,
    owner: &'static str,
    affected: u32,
    raised: Time,
    last_change: Time,
    occurrences: u32,
}

/// `/k8s-services/alarm`.
pub(super) fn alarm(key: &AlarmKey, view: &AlarmView) -> Entry {
    let body = Alarm {
        r#type: key.kind.as_str(),
        severity: view.severity.as_str(),
        resource: resource(&key.resource),
        text: &view.text,
        owner: view.owner.as_str(),
        affected: view.affected,
        raised: Time(view.raised),
        last_change: Time(view.last_change),
        occurrences: view.occurrences,
    };
    Entry::new(list("alarm", "id", key), &body)
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Record<'a> {
    id: String,
    r#type: &'static str,
    severity: &'static str,
    resource: String,
    text: &'a str,
    owner: &'static str,
    affected: u32,
    raised: Time,
    cleared: Time,
    cleared_because: &'static str,
}

/// `/k8s-services/alarm-history`.
pub(super) fn record(record: &AlarmRecord) -> Entry {
    let key = &record.key;
    let body = Record {
        id: key.to_string(),
        r#type: key.kind.as_str(),
        severity: record.severity.as_str(),
        resource: resource(&key.resource),
        text: &record.text,
        owner: record.owner.as_str(),
        affected: record.affected,
        raised: Time(record.raised),
        cleared: Time(record.cleared),
        cleared_because: record.because.as_str(),
    };
    Entry::new(list("alarm-history", "sequence", &record.sequence), &body)
}

fn list(name: &str, key: &str, value: &dyn Display) -> Path {
    Path::root().entry(name, &[(key, value)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::SourceId;
    use crate::model::names::ServiceKey;
    use crate::model::switch::RouteKey;

    #[test]
    fn a_resource_is_named_by_its_gnmi_path_with_every_key() {
        let service = ServiceKey::new("default", "web");
        let vip = Resource::Vip("c1".into(), service, "2001:db8::1".parse().unwrap());
        let path = "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=2001:db8::1]";
        assert_eq!(resource(&vip), path);
        let route = RouteKey { network_instance: "ip-vrf-1".into(), prefix: "1.1.1.7/32".parse().unwrap() };
        let path = "/k8s-services/orphan-route[network-instance=ip-vrf-1][prefix=1.1.1.7/32]";
        assert_eq!(resource(&Resource::Orphan(route)), path);
        let source = Resource::Source(SourceId::Kubernetes("c1".into()));
        assert_eq!(resource(&source), "/k8s-services/summary/source[name=kubernetes/c1]");
    }
}
