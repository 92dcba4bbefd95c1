//! Validates the raw tree and returns a [`Config`]: defaults, types, and constraints between leaves.
//!
//! What can only be known later (a missing file, a namespace, a server) is not a problem of a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::raw::{ClusterTree, Leaves, Object, Tree};
use super::{form, selector};
use crate::files::is_below;
use crate::model::commit::Problem;
use crate::model::config::{AlarmPolicy, AnnouncementMode, ClusterConfig, Config, Connection, Rules, Source, Speaker};
use crate::model::names::{ClusterName, NetworkInstanceName, NodeName};
use crate::path::Path;
use crate::tree as product;

const ADMIN_STATE: [(&str, bool); 2] = [("enable", true), ("disable", false)];
/// The value of `network-namespace` if it is not set: SR Linux's management network.
const DEFAULT_NETWORK_NAMESPACE: &str = "srbase-mgmt";
/// The value of `network-namespace` for the agent's own.
const OWN_NETWORK_NAMESPACE: &str = "self";
/// The longest hold time in seconds: an alarm that waits longer is useless.
const LONGEST_HOLD: u64 = 3600;
/// The longest alarm history: every entry is in state and in the state file.
const LONGEST_HISTORY: u16 = 10_000;

/// Returns the configuration of the tree, and reports every problem. If there are any, the configuration is
/// meaningless. Files with credentials must be below `credentials`.
pub(super) fn validate(
    tree: &Tree,
    credentials: &FilePath,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Config {
    let mut leaves = Leaves::new(product::root(), &tree.root, problems);
    let enabled = leaves.one_of("admin-state", &ADMIN_STATE).unwrap_or(true);
    let mut policy = leaves.container("alarm-policy");
    leaves.finish();
    policy.extend(tree.alarm_policy.clone());
    let alarm_policy = alarm_policy(&policy, problems);
    let clusters = tree
        .clusters
        .iter()
        .map(|(name, cluster)| (ClusterName::from(name.as_str()), Arc::new(self::cluster(name, cluster, problems))))
        .collect();
    let config = Config { enabled, alarm_policy, clusters };
    check_sharing(&config, problems);
    check_credentials(&config, credentials, problems);
    warn_of_external_ips(&config, warnings);
    config
}

fn alarm_policy(object: &Object, problems: &mut Vec<Problem>) -> AlarmPolicy {
    let default = AlarmPolicy::default();
    let mut leaves = Leaves::new(product::root().child("alarm-policy"), object, problems);
    let seconds = |leaves: &mut Leaves<'_>, leaf| {
        let expected = format!("a number of seconds from 0 to {LONGEST_HOLD}");
        let value = leaves.parsed(leaf, &expected, |text| text.parse().ok().filter(|it| *it <= LONGEST_HOLD));
        value.map(Duration::from_secs)
    };
    let policy = AlarmPolicy {
        raise_hold: seconds(&mut leaves, "raise-hold-time").unwrap_or(default.raise_hold),
        clear_hold: seconds(&mut leaves, "clear-hold-time").unwrap_or(default.clear_hold),
        history_size: leaves
            .parsed("history-size", &format!("a number from 0 to {LONGEST_HISTORY}"), |text| {
                text.parse().ok().filter(|it| *it <= LONGEST_HISTORY)
            })
            .unwrap_or(default.history_size),
        kubernetes_events: leaves.flag("kubernetes-events"),
    };
    leaves.finish();
    policy
}

fn cluster(name: &str, tree: &ClusterTree, problems: &mut Vec<Problem>) -> ClusterConfig {
    let path = product::cluster(&ClusterName::from(name));
    let valid_start = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !valid_start || name.len() > 64 || name.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
        let message = "a cluster's name is 1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit \
                       first; choose another";
        problems.push(Problem { path: path.clone().child("name"), message: message.into() });
    }
    let fabric_addresses = nodes(&path, &tree.nodes, problems);
    let mut leaves = Leaves::new(path, &tree.own, problems);
    key_leaf(&mut leaves, name);
    let config = ClusterConfig {
        enabled: leaves.one_of("admin-state", &ADMIN_STATE).unwrap_or(true),
        source: source(&mut leaves),
        rules: Rules { fabric_addresses, ..rules(&mut leaves) },
    };
    let config = with_speaker_nodes(config, &mut leaves);
    leaves.finish();
    config
}

fn source(leaves: &mut Leaves<'_>) -> Source {
    let speakers = Speaker::ALL.map(|speaker| (speaker.as_str(), speaker));
    let speaker = leaves.one_of("speaker", &speakers).unwrap_or_default();
    Source {
        connection: connection(leaves),
        network_namespace: network_namespace(leaves),
        speaker,
        namespaces: namespaces(leaves),
        label_selector: label_selector(leaves),
        include_external_ips: leaves.flag("include-external-ips"),
        node_address_annotation: qualified_name(leaves, "node-address-annotation"),
        node_labels: speaker.selects_nodes(),
    }
}

/// Reads the rules, except `node`, which is a list of its own, and `speaker-node-selector`, which depends on the
/// speaker.
fn rules(leaves: &mut Leaves<'_>) -> Rules {
    let modes = AnnouncementMode::ALL.map(|mode| (mode.as_str(), mode));
    Rules {
        network_instance: network_instance(leaves),
        load_balancer_class: qualified_name(leaves, "load-balancer-class"),
        announcement: leaves.one_of("announcement", &modes).unwrap_or(AnnouncementMode::Auto),
        transit_addresses: transit_addresses(leaves),
        vip_pools: pools(leaves),
        shared_with: leaves.texts("shared-with").into_iter().map(ClusterName::from).collect(),
        ecmp_limit: leaves
            .parsed("ecmp-limit", "a number from 1 to 65535", |text| text.parse().ok().filter(|limit| *limit > 0)),
        ..Rules::default()
    }
}

/// Reads `speaker-node-selector`, for speakers that do not show which nodes announce. With it, the labels of nodes are
/// kept.
fn with_speaker_nodes(mut config: ClusterConfig, leaves: &mut Leaves<'_>) -> ClusterConfig {
    const LEAF: &str = "speaker-node-selector";
    let Some(text) = non_empty(leaves, LEAF) else { return config };
    let speaker = config.source.speaker;
    if speaker.tells_its_nodes() {
        let message = format!(
            "does not go with speaker {}, whose own resources or annotations say which nodes announce; delete it",
            speaker.as_str()
        );
        leaves.problem(LEAF, message);
    }
    match selector::parse(&text) {
        Ok(selector) => config.rules.speaker_node_selector = Some(selector),
        Err(error) => leaves.problem(LEAF, format!("'{text}' is not a label selector: {error}")),
    }
    config.source.node_labels = true;
    config
}

/// Checks a key that is repeated in its entry: it must be the same.
fn key_leaf(leaves: &mut Leaves<'_>, name: &str) {
    if let Some(repeated) = leaves.text("name").filter(|repeated| repeated != name) {
        leaves.problem("name", format!("'{repeated}' is not the key of this entry"));
    }
}

fn non_empty(leaves: &mut Leaves<'_>, leaf: &str) -> Option<Arc<str>> {
    let text = leaves.text(leaf)?;
    if text.trim().is_empty() {
        leaves.problem(leaf, "is empty; delete the leaf to leave it unset");
    }
    Some(Arc::from(text))
}

/// Reads a name with an optional prefix, as keys of annotations and classes have.
fn qualified_name(leaves: &mut Leaves<'_>, leaf: &str) -> Option<Arc<str>> {
    let text = non_empty(leaves, leaf)?;
    if !text.trim().is_empty() && !form::is_qualified_name(&text) {
        leaves
            .problem(leaf, format!("'{text}' cannot be a name in Kubernetes; write example.com/name, or a name alone"));
    }
    Some(text)
}

fn file(leaves: &mut Leaves<'_>, leaf: &str) -> Option<PathBuf> {
    let text = leaves.text(leaf)?;
    if !text.starts_with('/') || text.len() < 2 {
        leaves.problem(leaf, format!("'{text}' is not an absolute path; write it from /"));
    }
    Some(PathBuf::from(text))
}

/// Leaves that only have a meaning beside `api-server`.
const API_SERVER_LEAVES: [&str; 4] =
    ["certificate-authority-file", "token-file", "client-certificate-file", "client-key-file"];

fn connection(leaves: &mut Leaves<'_>) -> Connection {
    let kubeconfig = file(leaves, "kubeconfig");
    let context = non_empty(leaves, "context");
    let url = leaves.text("api-server");
    let [certificate_authority, token, certificate, key] = API_SERVER_LEAVES.map(|leaf| file(leaves, leaf));
    let insecure_skip_verify = leaves.flag("insecure-skip-verify");

    if let Some(path) = kubeconfig {
        if url.is_some() {
            leaves.problem("api-server", "is set together with kubeconfig; delete one of the two");
        }
        let set = [certificate_authority.is_some(), token.is_some(), certificate.is_some(), key.is_some()];
        for leaf in API_SERVER_LEAVES.iter().zip(set).filter_map(|(leaf, set)| set.then_some(leaf)) {
            leaves.problem(leaf, "goes with api-server only; say it in the kubeconfig, or delete it");
        }
        if insecure_skip_verify {
            let message = "goes with api-server only; say insecure-skip-tls-verify in the kubeconfig";
            leaves.problem("insecure-skip-verify", message);
        }
        return Connection::Kubeconfig { path, context };
    }
    if context.is_some() {
        leaves.problem("context", "names a context of a kubeconfig, but kubeconfig is not set");
    }
    let Some(url) = url else {
        leaves.problem("kubeconfig", "set kubeconfig, or api-server: neither says how to reach the cluster");
        return Connection::Kubeconfig { path: PathBuf::new(), context };
    };
    check_url(leaves, &url);
    let client_certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => {
            leaves.problem("client-key-file", "set it: client-certificate-file cannot be used without its key");
            None
        }
        (None, Some(_)) => {
            leaves.problem("client-certificate-file", "set it: client-key-file cannot be used without a certificate");
            None
        }
        (None, None) => None,
    };
    Connection::ApiServer {
        url: Arc::from(url),
        certificate_authority,
        token,
        client_certificate,
        insecure_skip_verify,
    }
}

fn check_url(leaves: &mut Leaves<'_>, url: &str) {
    const REMEDY: &str = "write https://host:port";
    let Ok(uri) = url.parse::<http::Uri>() else {
        return leaves.problem("api-server", format!("'{url}' is not a URL; {REMEDY}"));
    };
    if !matches!(uri.scheme_str(), Some("https" | "http")) {
        leaves.problem("api-server", format!("'{url}' is not an https (or http) URL; {REMEDY}"));
    } else if uri.host().is_none_or(str::is_empty) {
        leaves.problem("api-server", format!("'{url}' names no host; {REMEDY}"));
    } else if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        leaves.problem("api-server", "holds a user name or password; use token-file or a client certificate");
    } else if uri.authority().is_some_and(|authority| !form::has_valid_port(authority.as_str())) {
        leaves.problem("api-server", format!("the port of '{url}' is not a number from 1 to 65535; {REMEDY}"));
    } else if uri.query().is_some() {
        leaves.problem("api-server", format!("'{url}' holds a query; {REMEDY}"));
    }
}

fn network_namespace(leaves: &mut Leaves<'_>) -> Option<Arc<str>> {
    let name = leaves.text("network-namespace").unwrap_or_else(|| DEFAULT_NETWORK_NAMESPACE.to_owned());
    if !form::is_network_namespace(&name) {
        let message = format!(
            "'{name}' cannot be the name of a network namespace; write one that `ip netns list` shows, or self"
        );
        leaves.problem("network-namespace", message);
    }
    (name != OWN_NETWORK_NAMESPACE).then(|| Arc::from(name))
}

fn network_instance(leaves: &mut Leaves<'_>) -> NetworkInstanceName {
    let name = non_empty(leaves, "network-instance");
    if let Some(name) = name.as_ref().filter(|name| !name.trim().is_empty() && !form::is_network_instance(name)) {
        let message = format!(
            "'{name}' cannot be the name of a network instance; write one that `show network-instance summary` lists"
        );
        leaves.problem("network-instance", message);
    }
    name.map_or_else(|| NetworkInstanceName::from("default"), |name| NetworkInstanceName::from(&*name))
}

fn namespaces(leaves: &mut Leaves<'_>) -> BTreeSet<Arc<str>> {
    let names = leaves.texts("namespace");
    for name in &names {
        if !form::is_dns_label(name) {
            let message = format!("'{name}' cannot be the name of a Kubernetes namespace (a-z, 0-9 and hyphens)");
            leaves.problem("namespace", message);
        }
    }
    names.into_iter().map(Arc::from).collect()
}

fn label_selector(leaves: &mut Leaves<'_>) -> Option<Arc<str>> {
    let text = non_empty(leaves, "label-selector")?;
    if let Err(error) = selector::parse(&text) {
        leaves.problem("label-selector", format!("'{text}' is not a label selector: {error}"));
    }
    Some(text)
}

fn pools(leaves: &mut Leaves<'_>) -> BTreeSet<IpNet> {
    let mut pools = BTreeSet::new();
    for text in leaves.texts("vip-pool") {
        match text.parse::<IpNet>() {
            Ok(prefix) if prefix.trunc() != prefix => {
                leaves.problem("vip-pool", format!("'{text}' has host bits set; write {}", prefix.trunc()));
            }
            Ok(prefix) if prefix.to_string() != text => {
                leaves.problem("vip-pool", format!("'{text}' is not in canonical form; write {prefix}"));
            }
            Ok(prefix) => {
                pools.insert(prefix);
            }
            Err(_) => {
                leaves.problem("vip-pool", format!("'{text}' is not a prefix; write address/length, as 10.0.0.0/24"));
            }
        }
    }
    pools
}

fn nodes(
    cluster: &Path,
    nodes: &BTreeMap<String, Object>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<NodeName, BTreeSet<IpAddr>> {
    let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (name, object) in nodes {
        let mut leaves = Leaves::new(cluster.clone().entry("node", &[("name", name)]), object, problems);
        key_leaf(&mut leaves, name);
        if !form::is_dns_subdomain(name) {
            leaves.problem(
                "name",
                format!("'{name}' cannot be the name of a Kubernetes node; write it as `kubectl get nodes` prints it"),
            );
        }
        let mut addresses = BTreeSet::new();
        for text in leaves.texts("fabric-address") {
            let Some(address) = address(&mut leaves, "fabric-address", &text, SPEAKER) else { continue };
            match owners.insert(address, name).filter(|owner| owner != name) {
                Some(owner) => {
                    let message = format!("{address} is also the address of node {owner}; each belongs to one node");
                    leaves.problem("fabric-address", message);
                }
                None => {
                    addresses.insert(address);
                }
            }
        }
        leaves.finish();
        all.insert(NodeName::from(name.as_str()), addresses);
    }
    all
}

fn transit_addresses(leaves: &mut Leaves<'_>) -> BTreeSet<IpAddr> {
    let texts = leaves.texts("transit-address");
    texts.iter().filter_map(|text| address(leaves, "transit-address", text, TRANSIT)).collect()
}

/// What an address is for, and the remedy if it cannot be that.
type Role = (&'static str, &'static str);
const SPEAKER: Role = ("a BGP speaker", "write the address the node speaks BGP from");
const TRANSIT: Role = ("a next-hop", "write the next-hop that stands in routes to VIPs");

/// Parses an address that another host can have.
fn address(leaves: &mut Leaves<'_>, leaf: &str, text: &str, (role, remedy): Role) -> Option<IpAddr> {
    let message = match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() || address.is_loopback() => {
            format!("'{text}' cannot be the address of {role}; {remedy}")
        }
        Ok(address) if address.to_string() != text => format!("'{text}' is not in canonical form; write {address}"),
        Ok(address) => return Some(address),
        Err(_) => format!("'{text}' is not an IPv4 or IPv6 address"),
    };
    leaves.problem(leaf, message);
    None
}

/// Checks that sharing is declared between existing clusters: an unknown name would silently leave a conflict
/// undeclared.
fn check_sharing(config: &Config, problems: &mut Vec<Problem>) {
    for (name, cluster) in &config.clusters {
        for other in &cluster.rules.shared_with {
            let message = if other == name {
                format!("'{other}' is the cluster itself; name the other one")
            } else if !config.clusters.contains_key(other) {
                format!("there is no cluster '{other}'; configure it, or delete it here")
            } else {
                continue;
            };
            problems.push(Problem { path: product::cluster(name).child("shared-with"), message });
        }
    }
}

/// Warns about addresses that a speaker never announces, since waiting for them is pointless.
fn warn_of_external_ips(config: &Config, warnings: &mut Vec<Problem>) {
    for (name, cluster) in &config.clusters {
        let speaker = cluster.source.speaker;
        if cluster.source.include_external_ips && !speaker.announces_external_ips() {
            let message = format!("{} announces no externalIPs: their VIPs will be no-announcer", speaker.as_str());
            warnings.push(Problem { path: product::cluster(name).child("include-external-ips"), message });
        }
    }
}

/// Checks that credentials are in one folder only, so that nobody who may configure clusters can send any other file of
/// the switch elsewhere.
fn check_credentials(config: &Config, folder: &FilePath, problems: &mut Vec<Problem>) {
    for (name, cluster) in &config.clusters {
        let files = match &cluster.source.connection {
            Connection::Kubeconfig { path, .. } => vec![("kubeconfig", path)],
            Connection::ApiServer { certificate_authority, token, client_certificate, .. } => {
                let certificate = client_certificate.iter();
                let pair =
                    certificate.flat_map(|(it, key)| [("client-certificate-file", it), ("client-key-file", key)]);
                let authority = certificate_authority.iter().map(|path| ("certificate-authority-file", path));
                authority.chain(token.iter().map(|path| ("token-file", path))).chain(pair).collect()
            }
        };
        for (leaf, path) in files {
            if path.is_absolute() && !is_below(path, folder) {
                let (path, folder) = (path.display(), folder.display());
                let message = format!("'{path}' is not below {folder}, where credentials belong; put the file there");
                problems.push(Problem { path: product::cluster(name).child(leaf), message });
            }
        }
    }
}
