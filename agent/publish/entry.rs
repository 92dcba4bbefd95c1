//! Converts views to YANG: the entries of each view, and their content.
//!
//! One entry is one NDK telemetry path with a JSON object: the node's own leaves and containers. Its lists have paths
//! of their own, except those inside a container of the root, because no device was seen to accept a path below one.
//! Key leaves are in the path, not in the JSON.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Serialize, Serializer};
use serde_with::skip_serializing_none;

use super::item::Part;
use crate::model::config::{ClusterConfig, Connection, Rules, Source};
use crate::model::names::{ClusterName, NodeName};
use crate::model::switch::{BfdState, SessionState};
use crate::model::time::Timestamp;
use crate::model::verdict::{Announcement, OperState, Owner};
use crate::model::view::{Cause, ClusterView, NodeView, OrphanView, ServiceView, VipView};

/// The content of one path: which entry of its item, and a JSON object.
pub(crate) type Entry = (Part, String);

pub(super) fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("these bodies are plain structs with string keys")
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster<'a> {
    admin_state: &'static str,
    #[serde(flatten)]
    connection: ConnectionLeaves<'a>,
    network_namespace: &'a str,
    network_instance: &'a str,
    speaker: &'static str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    namespace: &'a BTreeSet<Arc<str>>,
    label_selector: Option<&'a str>,
    load_balancer_class: Option<&'a str>,
    include_external_ips: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    vip_pool: &'a BTreeSet<IpNet>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    shared_with: &'a BTreeSet<ClusterName>,
    ecmp_limit: Option<u16>,
    node_address_annotation: Option<&'a str>,
    announcement: &'static str,
    speaker_node_selector: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    transit_address: &'a BTreeSet<IpAddr>,
    oper_state: &'static str,
    oper_reason: Option<&'a str>,
    kubernetes_version: Option<&'a str>,
    last_event: Option<Time>,
    service_count: Option<u32>,
    endpoint_count: Option<u32>,
    node_count: Option<u32>,
}

/// The leaves about how an API server is reached. These are file names, never the content of files.
#[skip_serializing_none]
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ConnectionLeaves<'a> {
    kubeconfig: Option<&'a std::path::Path>,
    context: Option<&'a str>,
    api_server: Option<&'a str>,
    certificate_authority_file: Option<&'a std::path::Path>,
    token_file: Option<&'a std::path::Path>,
    client_certificate_file: Option<&'a std::path::Path>,
    client_key_file: Option<&'a std::path::Path>,
    insecure_skip_verify: Option<bool>,
}

impl<'a> From<&'a Connection> for ConnectionLeaves<'a> {
    fn from(connection: &'a Connection) -> Self {
        match connection {
            Connection::Kubeconfig { path, context } => {
                Self { kubeconfig: Some(path), context: context.as_deref(), ..Self::default() }
            }
            Connection::ApiServer { url, certificate_authority, token, client_certificate, insecure_skip_verify } => {
                let (certificate, key) = client_certificate.as_ref().map(|(a, b)| (a, b)).unzip();
                Self {
                    api_server: Some(url),
                    certificate_authority_file: certificate_authority.as_deref(),
                    token_file: token.as_deref(),
                    client_certificate_file: certificate.map(|path| path.as_path()),
                    client_key_file: key.map(|path| path.as_path()),
                    insecure_skip_verify: Some(*insecure_skip_verify),
                    ..Self::default()
                }
            }
        }
    }
}

/// Returns `/k8s-services/cluster` and the resources of its speaker.
pub(crate) fn cluster(view: &ClusterView, last_event: Option<Timestamp>) -> Vec<Entry> {
    let ClusterConfig { enabled, source, rules } = &*view.config;
    let Source {
        connection,
        network_namespace,
        speaker,
        namespaces,
        label_selector,
        include_external_ips,
        node_address_annotation,
        node_labels: _, // follows from speaker and speaker-node-selector
    } = source;
    let Rules {
        network_instance,
        load_balancer_class,
        announcement,
        speaker_node_selector,
        transit_addresses,
        vip_pools,
        shared_with,
        ecmp_limit,
        fabric_addresses: _, // are in the node's entry
    } = rules;
    let own = json(&Cluster {
        admin_state: admin_state(*enabled),
        connection: connection.into(),
        network_namespace: network_namespace.as_deref().unwrap_or("self"),
        network_instance: network_instance.as_str(),
        speaker: speaker.as_str(),
        namespace: namespaces,
        label_selector: label_selector.as_deref(),
        load_balancer_class: load_balancer_class.as_deref(),
        include_external_ips: *include_external_ips,
        vip_pool: vip_pools,
        shared_with,
        ecmp_limit: *ecmp_limit,
        node_address_annotation: node_address_annotation.as_deref(),
        announcement: announcement.as_str(),
        speaker_node_selector: speaker_node_selector.as_ref().map(ToString::to_string),
        transit_address: transit_addresses,
        oper_state: view.state.as_str(),
        oper_reason: view.reason.as_deref(),
        kubernetes_version: view.version.as_deref(),
        last_event: last_event.map(Time),
        service_count: view.counts.map(|counts| counts.services),
        endpoint_count: view.counts.map(|counts| counts.endpoints),
        node_count: view.counts.map(|counts| counts.nodes),
    });
    let resources = view.speaker_resources.iter().map(|(resource, state)| {
        let body = Resource { state: state.as_str(), detail: state.detail().map(|detail| &**detail) };
        (Part::Resource(*resource), json(&body))
    });
    std::iter::once((Part::Own, own)).chain(resources).collect()
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Resource<'a> {
    state: &'static str,
    detail: Option<&'a str>,
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Node<'a> {
    #[serde(skip_serializing_if = "is_empty")]
    fabric_address: &'a [IpAddr],
    address: Option<IpAddr>,
    address_source: Option<&'static str>,
    attachment: &'static str,
    session_state: Option<&'static str>,
    session_last_established: Option<Time>,
    bfd_state: Option<&'static str>,
    expected_vips: u32,
    installed_vips: u32,
    sole_path_vips: u32,
    excluded_by: Option<&'static str>,
    probable_cause: Option<&'static str>,
    cause_detail: Option<&'a str>,
    oper_state: &'static str,
    oper_reason: Option<&'static str>,
}

/// Returns `probable-cause` and `cause-detail`.
fn cause(cause: &Option<Cause>) -> (Option<&'static str>, Option<&str>) {
    cause.as_ref().map(|cause| (cause.probable.as_str(), &*cause.detail)).unzip()
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Peer<'a> {
    address_source: &'static str,
    attachment: &'static str,
    session_state: Option<&'static str>,
    session_last_established: Option<Time>,
    bfd_state: Option<&'static str>,
    subinterface: Option<&'a str>,
    port: Option<&'a str>,
    link_layer_address: Option<&'a str>,
    received_routes: Option<u32>,
    rejected_routes: Option<u32>,
    probable_cause: Option<&'static str>,
    cause_detail: Option<&'a str>,
}

/// Returns `/k8s-services/cluster/node` and its peers.
pub(crate) fn node(view: &NodeView) -> Vec<Entry> {
    let first = view.peers.first();
    let worst = view.peers.iter().filter(|peer| peer.session.is_some()).min_by_key(|peer| peer.session);
    let (probable_cause, cause_detail) = cause(&view.cause);
    let own = json(&Node {
        fabric_address: &view.fabric_addresses,
        address: first.map(|peer| peer.address),
        address_source: first.map(|peer| peer.source.as_str()),
        attachment: view.attachment.as_str(),
        session_state: worst.and_then(|peer| peer.session).map(SessionState::as_str),
        session_last_established: worst.and_then(|peer| peer.last_established).map(Time),
        bfd_state: view.peers.iter().filter_map(|peer| peer.bfd).min().map(BfdState::as_str),
        expected_vips: view.expected_vips,
        installed_vips: view.installed_vips,
        sole_path_vips: view.sole_path_vips,
        excluded_by: view.excluded_by,
        probable_cause,
        cause_detail,
        oper_state: view.state.as_str(),
        oper_reason: view.reason.map(|reason| reason.as_str()),
    });
    let peers = view.peers.iter().map(|peer| {
        let (probable_cause, cause_detail) = cause(&peer.cause);
        let body = Peer {
            address_source: peer.source.as_str(),
            attachment: peer.attachment.as_str(),
            session_state: peer.session.map(SessionState::as_str),
            session_last_established: peer.last_established.map(Time),
            bfd_state: peer.bfd.map(BfdState::as_str),
            subinterface: peer.subinterface.as_deref(),
            port: peer.port.as_deref(),
            link_layer_address: peer.link_layer_address.as_deref(),
            received_routes: peer.received_routes,
            rejected_routes: peer.rejected_routes,
            probable_cause,
            cause_detail,
        };
        (Part::Peer(peer.address), json(&body))
    });
    std::iter::once((Part::Own, own)).chain(peers).collect()
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Service<'a> {
    external_traffic_policy: &'static str,
    usable_endpoints: u32,
    total_endpoints: u32,
    oper_state: &'static str,
    oper_reason: Option<&'static str>,
    oper_detail: Option<&'a str>,
    last_change: Time,
    owner: Option<&'static str>,
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Vip<'a> {
    network_instance: &'a str,
    prefix: Option<IpNet>,
    vantage: Option<&'static str>,
    oper_state: &'static str,
    oper_reason: Option<&'static str>,
    oper_detail: Option<&'a str>,
    last_change: Time,
    owner: Option<&'static str>,
    announcement: Option<&'static str>,
    probable_cause: Option<&'static str>,
    cause_detail: Option<&'a str>,
    route_owner: Option<&'a str>,
    preference: Option<u32>,
    metric: Option<u32>,
    fib_status: Option<&'static str>,
    expected_next_hops: u32,
    installed_next_hops: u32,
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct NextHop<'a> {
    node: Option<&'a str>,
    kind: &'static str,
    expected: bool,
    installed: bool,
    session_state: Option<&'static str>,
    usable_endpoints: Option<u32>,
    probable_cause: Option<&'static str>,
    cause_detail: Option<&'a str>,
    state_without_session: Option<&'static str>,
    state_without_node: Option<&'static str>,
    state_without_port: Option<&'static str>,
    oper_state: &'static str,
    oper_reason: Option<&'static str>,
}

/// Returns `/k8s-services/cluster/service`, its VIPs and their next-hops.
pub(crate) fn service(view: &ServiceView) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(1 + view.vips.iter().map(|vip| 1 + vip.next_hops.len()).sum::<usize>());
    let own = Service {
        external_traffic_policy: view.policy.as_str(),
        usable_endpoints: view.usable_endpoints,
        total_endpoints: view.total_endpoints,
        oper_state: view.verdict.state.as_str(),
        oper_reason: view.verdict.reason.map(|reason| reason.as_str()),
        oper_detail: view.verdict.detail.as_deref(),
        last_change: Time(view.last_change),
        owner: view.verdict.owner().map(Owner::as_str),
    };
    entries.push((Part::Own, json(&own)));
    for vip in &view.vips {
        push_vip(&mut entries, vip);
    }
    entries
}

fn push_vip(entries: &mut Vec<Entry>, view: &VipView) {
    let route = view.route.as_ref();
    let (probable_cause, cause_detail) = cause(&view.cause);
    let own = Vip {
        network_instance: view.network_instance.as_str(),
        prefix: view.prefix,
        vantage: view.vantage.map(|vantage| vantage.as_str()),
        oper_state: view.verdict.state.as_str(),
        oper_reason: view.verdict.reason.map(|reason| reason.as_str()),
        oper_detail: view.verdict.detail.as_deref(),
        last_change: Time(view.last_change),
        owner: view.verdict.owner().map(Owner::as_str),
        announcement: view.announcement.map(Announcement::as_str),
        probable_cause,
        cause_detail,
        route_owner: route.and_then(|route| route.owner.as_deref()),
        preference: route.map(|route| route.preference),
        metric: route.map(|route| route.metric),
        fib_status: route.map(|route| route.fib.as_str()),
        expected_next_hops: view.expected,
        installed_next_hops: view.installed,
    };
    entries.push((Part::Vip(view.address), json(&own)));
    for hop in &view.next_hops {
        let (probable_cause, cause_detail) = cause(&hop.cause);
        let body = NextHop {
            node: hop.node.as_ref().map(NodeName::as_str),
            kind: hop.kind.as_str(),
            expected: hop.expected,
            installed: hop.installed,
            session_state: hop.session.map(SessionState::as_str),
            usable_endpoints: hop.usable_endpoints,
            probable_cause,
            cause_detail,
            state_without_session: hop.without.session.map(OperState::as_str),
            state_without_node: hop.without.node.map(OperState::as_str),
            state_without_port: hop.without.port.map(OperState::as_str),
            oper_state: hop.state.as_str(),
            oper_reason: hop.reason.map(|reason| reason.as_str()),
        };
        entries.push((Part::NextHop(view.address, hop.address), json(&body)));
    }
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Orphan<'a> {
    route_owner: Option<&'a str>,
    #[serde(skip_serializing_if = "is_empty")]
    next_hop: &'a [IpAddr],
    since: Time,
}

/// Returns `/k8s-services/orphan-route`.
pub(crate) fn orphan(view: &OrphanView) -> Vec<Entry> {
    let OrphanView { owner, next_hops, since } = view;
    let body = Orphan { route_owner: owner.as_deref(), next_hop: next_hops, since: Time(*since) };
    vec![(Part::Own, json(&body))]
}

pub(super) fn admin_state(enabled: bool) -> &'static str {
    if enabled { "enable" } else { "disable" }
}

fn is_empty(list: &&[IpAddr]) -> bool {
    list.is_empty()
}

/// A date-and-time in UTC with milliseconds, as SR Linux writes it.
pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_are_utc() {
        let time: Timestamp = "2026-11-21T09:10:11.9876Z".parse().unwrap();
        assert_eq!(serde_json::to_string(&Time(time)).unwrap(), r#""2026-11-21T09:10:11.987Z""#);
        assert_eq!(serde_json::to_string(&Time(Timestamp::UNIX_EPOCH)).unwrap(), r#""1970-01-01T00:00:00.000Z""#);
    }

    #[test]
    fn the_state_of_an_api_server_names_its_files_but_not_their_contents() {
        let connection = Connection::ApiServer {
            url: "https://10.0.0.1:6443".into(),
            certificate_authority: Some("/etc/ca.pem".into()),
            token: Some("/etc/token".into()),
            client_certificate: None,
            insecure_skip_verify: false,
        };
        assert_eq!(
            serde_json::to_string(&ConnectionLeaves::from(&connection)).unwrap(),
            r#"{"api-server":"https://10.0.0.1:6443","certificate-authority-file":"/etc/ca.pem","token-file":"/etc/token","insecure-skip-verify":false}"#
        );
    }
}
