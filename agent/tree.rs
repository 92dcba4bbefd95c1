//! Defines the product's tree, `/k8s-services`: one table of its nodes, and functions for paths in it.
//!
//! Publisher, leftovers and configuration use this table. A test compares it with the YANG module, node by node, so
//! that none of them can forget a list or a leaf.

use std::fmt::Display;
use std::net::IpAddr;

use crate::model::alarm::{AlarmKey, Resource};
use crate::model::names::{ClusterName, NodeName, ServiceKey};
use crate::model::source::SourceId;
use crate::model::switch::RouteKey;
use crate::path::{Element, Path};

/// A node of the tree.
#[derive(Debug)]
pub struct Node {
    /// Its name in YANG.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Whether an operator can set it.
    pub config: bool,
    /// Its children, in the order of the module.
    pub children: &'static [Node],
}

/// The kind of a [`Node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container, which is part of its parent's JSON.
    Container,
    /// A list, with its keys. Each entry has a path of its own.
    List(&'static [&'static str]),
    /// A list inside a container of the root, whose entries are part of the root's JSON.
    InlineList(&'static [&'static str]),
    /// A leaf.
    Leaf(Type),
    /// A leaf-list.
    LeafList(Type),
}

/// The type of a leaf, if it makes a difference for writing and reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text of any kind: strings, addresses, prefixes, paths of files.
    Text,
    /// An unsigned number with this many bits; 64-bit numbers are text in JSON (RFC 7951 section 6.1).
    Number(u8),
    /// A boolean.
    Flag,
    /// One word of an enumeration.
    Word,
    /// A date-and-time.
    Time,
}

impl Node {
    /// Returns the child with a name.
    pub fn child(&self, name: &str) -> Option<&'static Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Returns the node that a path leads to, from the root of the data tree; keys must be those of its lists.
    pub fn find(path: &Path) -> Option<&'static Node> {
        let (first, below) = path.elements().split_first()?;
        let top = Some(&ROOT).filter(|root| root.fits(first));
        below.iter().try_fold(top?, |node, element| node.child(&element.name).filter(|child| child.fits(element)))
    }

    fn fits(&self, element: &Element) -> bool {
        let keys = match self.kind {
            Kind::List(keys) | Kind::InlineList(keys) => keys,
            Kind::Container | Kind::Leaf(_) | Kind::LeafList(_) => &[],
        };
        self.name == element.name
            && keys.len() == element.keys.len()
            && keys.iter().zip(&element.keys).all(|(key, own)| *key == own.0)
    }
}

const fn leaf(name: &'static str, kind: Type) -> Node {
    Node { name, kind: Kind::Leaf(kind), config: false, children: &[] }
}

const fn text(name: &'static str) -> Node {
    leaf(name, Type::Text)
}

const fn word(name: &'static str) -> Node {
    leaf(name, Type::Word)
}

const fn time(name: &'static str) -> Node {
    leaf(name, Type::Time)
}

const fn number(name: &'static str) -> Node {
    leaf(name, Type::Number(32))
}

const fn counter(name: &'static str) -> Node {
    leaf(name, Type::Number(64))
}

const fn flag(name: &'static str) -> Node {
    leaf(name, Type::Flag)
}

const fn texts(name: &'static str) -> Node {
    Node { name, kind: Kind::LeafList(Type::Text), config: false, children: &[] }
}

const fn list(name: &'static str, keys: &'static [&'static str], children: &'static [Node]) -> Node {
    Node { name, kind: Kind::List(keys), config: false, children }
}

const fn inline(name: &'static str, keys: &'static [&'static str], children: &'static [Node]) -> Node {
    Node { name, kind: Kind::InlineList(keys), config: false, children }
}

const fn container(name: &'static str, children: &'static [Node]) -> Node {
    Node { name, kind: Kind::Container, config: false, children }
}

/// Makes a node configurable.
const fn rw(node: Node) -> Node {
    Node { config: true, ..node }
}

/// `/k8s-services`.
pub static ROOT: Node = rw(container(
    "k8s-services",
    &[
        rw(word("admin-state")),
        word("oper-state"),
        text("oper-reason"),
        text("version"),
        ALARM_POLICY,
        SUMMARY,
        CLUSTER,
        list(
            "orphan-route",
            &["network-instance", "prefix"],
            &[text("network-instance"), text("prefix"), text("route-owner"), texts("next-hop"), time("since")],
        ),
        ALARM,
        ALARM_HISTORY,
        STATISTICS,
    ],
));

const ALARM_POLICY: Node = rw(container(
    "alarm-policy",
    &[
        rw(leaf("raise-hold-time", Type::Number(16))),
        rw(leaf("clear-hold-time", Type::Number(16))),
        rw(leaf("history-size", Type::Number(16))),
        rw(flag("kubernetes-events")),
    ],
));

const SUMMARY: Node = container(
    "summary",
    &[
        number("services"),
        number("vips"),
        number("vips-up"),
        number("vips-degraded"),
        number("vips-down"),
        number("vips-unknown"),
        number("alarms-critical"),
        number("alarms-major"),
        number("alarms-minor"),
        number("alarms-warning"),
        inline("source", &["name"], &[text("name"), word("oper-state"), time("last-event"), time("stale-since")]),
    ],
);

const CLUSTER: Node = rw(list(
    "cluster",
    &["name"],
    &[
        rw(text("name")),
        rw(word("admin-state")),
        rw(text("kubeconfig")),
        rw(text("context")),
        rw(text("api-server")),
        rw(text("certificate-authority-file")),
        rw(text("token-file")),
        rw(text("client-certificate-file")),
        rw(text("client-key-file")),
        rw(flag("insecure-skip-verify")),
        rw(text("network-namespace")),
        rw(text("network-instance")),
        rw(word("speaker")),
        rw(texts("namespace")),
        rw(text("label-selector")),
        rw(text("load-balancer-class")),
        rw(flag("include-external-ips")),
        rw(texts("vip-pool")),
        rw(texts("shared-with")),
        rw(leaf("ecmp-limit", Type::Number(16))),
        rw(text("node-address-annotation")),
        rw(word("announcement")),
        rw(text("speaker-node-selector")),
        rw(texts("transit-address")),
        word("oper-state"),
        text("oper-reason"),
        text("kubernetes-version"),
        time("last-event"),
        number("service-count"),
        number("endpoint-count"),
        number("node-count"),
        list("speaker-resource", &["name"], &[text("name"), word("state"), text("detail")]),
        NODE,
        SERVICE,
    ],
));

const NODE: Node = rw(list(
    "node",
    &["name"],
    &[
        rw(text("name")),
        rw(texts("fabric-address")),
        text("address"),
        word("address-source"),
        word("attachment"),
        word("session-state"),
        time("session-last-established"),
        word("bfd-state"),
        PEER,
        number("expected-vips"),
        number("installed-vips"),
        number("sole-path-vips"),
        text("excluded-by"),
        word("probable-cause"),
        text("cause-detail"),
        word("oper-state"),
        word("oper-reason"),
    ],
));

const PEER: Node = list(
    "peer",
    &["address"],
    &[
        text("address"),
        word("address-source"),
        word("attachment"),
        word("session-state"),
        time("session-last-established"),
        word("bfd-state"),
        text("subinterface"),
        text("port"),
        text("link-layer-address"),
        number("received-routes"),
        number("rejected-routes"),
        word("probable-cause"),
        text("cause-detail"),
    ],
);

const SERVICE: Node = list(
    "service",
    &["namespace", "name"],
    &[
        text("namespace"),
        text("name"),
        word("external-traffic-policy"),
        number("usable-endpoints"),
        number("total-endpoints"),
        word("oper-state"),
        word("oper-reason"),
        text("oper-detail"),
        time("last-change"),
        word("owner"),
        VIP,
    ],
);

const VIP: Node = list(
    "vip",
    &["address"],
    &[
        text("address"),
        text("network-instance"),
        text("prefix"),
        word("vantage"),
        word("oper-state"),
        word("oper-reason"),
        text("oper-detail"),
        time("last-change"),
        word("owner"),
        word("announcement"),
        word("probable-cause"),
        text("cause-detail"),
        text("route-owner"),
        number("preference"),
        number("metric"),
        word("fib-status"),
        number("expected-next-hops"),
        number("installed-next-hops"),
        NEXT_HOP,
    ],
);

const NEXT_HOP: Node = list(
    "next-hop",
    &["address"],
    &[
        text("address"),
        text("node"),
        word("kind"),
        flag("expected"),
        flag("installed"),
        word("session-state"),
        number("usable-endpoints"),
        word("probable-cause"),
        text("cause-detail"),
        word("state-without-session"),
        word("state-without-node"),
        word("state-without-port"),
        word("oper-state"),
        word("oper-reason"),
    ],
);

const ALARM: Node = list(
    "alarm",
    &["id"],
    &[
        text("id"),
        word("type"),
        word("severity"),
        text("resource"),
        text("text"),
        time("raised"),
        time("last-change"),
        word("owner"),
        number("affected"),
        number("occurrences"),
        word("probable-cause"),
    ],
);

const ALARM_HISTORY: Node = list(
    "alarm-history",
    &["sequence"],
    &[
        text("sequence"),
        text("id"),
        word("type"),
        word("severity"),
        text("resource"),
        text("text"),
        time("raised"),
        time("cleared"),
        word("owner"),
        number("affected"),
        word("cleared-because"),
    ],
);

const STATISTICS: Node = container(
    "statistics",
    &[
        counter("evaluations"),
        counter("telemetry-updates"),
        counter("telemetry-deletes"),
        counter("telemetry-errors"),
        inline("source", &["name"], &[text("name"), counter("events"), counter("reconnects"), counter("errors")]),
        container(
            "adaptation",
            &[
                text("path-spelling"),
                text("enumeration-form"),
                text("streams"),
                text("end-of-dump"),
                text("gnmi-encoding"),
                texts("refused-path"),
                texts("refused-feature"),
                texts("refused-entry"),
                text("release"),
            ],
        ),
    ],
);

/// Returns `/k8s-services`.
pub fn root() -> Path {
    Path::default().child(ROOT.name)
}

/// Returns a leaf of every list that the agent writes, with `*` for its keys: state has a value there if and only if the
/// list has an entry that the agent wrote. Lists below others are left out, unless operators configure the upper one.
pub fn written_leaves() -> Vec<Path> {
    let mut leaves = Vec::new();
    add_written_leaves(&root(), &ROOT, &mut leaves);
    leaves
}

fn add_written_leaves(path: &Path, node: &'static Node, leaves: &mut Vec<Path>) {
    for child in node.children {
        let Kind::List(keys) = child.kind else { continue };
        let wildcards: Vec<(&'static str, &dyn Display)> =
            keys.iter().map(|key| (*key, &"*" as &dyn Display)).collect();
        let entry = path.clone().entry(child.name, &wildcards);
        // The keys of what an operator configured are in state as well.
        leaves.push(entry.clone().child(if child.config { "oper-state" } else { keys[0] }));
        if child.config {
            add_written_leaves(&entry, child, leaves);
        }
    }
}

/// Returns `/k8s-services/cluster`.
pub fn cluster(name: &ClusterName) -> Path {
    root().entry("cluster", &[("name", name)])
}

/// Returns `/k8s-services/cluster/node`.
pub fn node(cluster: &ClusterName, name: &NodeName) -> Path {
    self::cluster(cluster).entry("node", &[("name", name)])
}

/// Returns `/k8s-services/cluster/service`.
pub fn service(cluster: &ClusterName, key: &ServiceKey) -> Path {
    self::cluster(cluster).entry("service", &[("namespace", &key.namespace), ("name", &key.name)])
}

/// Returns the path of a `vip` of a service.
pub fn vip(service: Path, address: &IpAddr) -> Path {
    service.entry("vip", &[("address", address)])
}

/// Returns `/k8s-services/orphan-route`.
pub fn orphan_route(route: &RouteKey) -> Path {
    root().entry("orphan-route", &[("network-instance", &route.network_instance), ("prefix", &route.prefix)])
}

/// Returns `/k8s-services/alarm`.
pub fn alarm(key: &AlarmKey) -> Path {
    root().entry("alarm", &[("id", key)])
}

/// Returns `/k8s-services/alarm-history`.
pub fn alarm_history(sequence: u64) -> Path {
    root().entry("alarm-history", &[("sequence", &sequence)])
}

/// Returns `/k8s-services/summary/source`.
pub fn source(source: &SourceId) -> Path {
    root().child("summary").entry("source", &[("name", source)])
}

/// Returns the path of the resource that an alarm is about.
pub fn resource(resource: &Resource) -> Path {
    match resource {
        Resource::Cluster(name) => cluster(name),
        Resource::Node(cluster, name) => node(cluster, name),
        Resource::Service(cluster, key) => service(cluster, key),
        Resource::Vip(cluster, key, address) => vip(service(cluster, key), address),
        Resource::Source(id) => source(id),
        Resource::Orphan(route) => orphan_route(route),
        // The address is in a route table of the network instance, whose path below depends on the release.
        Resource::NetworkInstance(name) | Resource::Address(name, _) => {
            Path::default().entry("network-instance", &[("name", name)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_of_an_alarm_is_its_path_with_every_key() {
        let vip = Resource::Vip("c1".into(), ServiceKey::new("default", "web"), "2001:db8::1".parse().unwrap());
        let path = "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=2001:db8::1]";
        assert_eq!(resource(&vip).to_string(), path);
        let route = RouteKey { network_instance: "ip-vrf-1".into(), prefix: "1.1.1.7/32".parse().unwrap() };
        let path = "/k8s-services/orphan-route[network-instance=ip-vrf-1][prefix=1.1.1.7/32]";
        assert_eq!(resource(&Resource::Orphan(route)).to_string(), path);
        let source = Resource::Source(SourceId::Kubernetes("c1".into()));
        assert_eq!(resource(&source).to_string(), "/k8s-services/summary/source[name=kubernetes/c1]");
    }

    #[test]
    fn written_leaves_are_below_the_uppermost_lists_that_operators_cannot_set() {
        let leaves: Vec<String> = written_leaves().iter().map(Path::to_string).collect();
        assert!(written_leaves().iter().all(|leaf| Node::find(leaf).is_some_and(|leaf| !leaf.config)));
        let cluster = "/k8s-services/cluster[name=*]";
        assert_eq!(
            leaves,
            [
                format!("{cluster}/oper-state"),
                format!("{cluster}/speaker-resource[name=*]/name"),
                format!("{cluster}/node[name=*]/oper-state"),
                format!("{cluster}/node[name=*]/peer[address=*]/address"),
                format!("{cluster}/service[namespace=*][name=*]/namespace"),
                "/k8s-services/orphan-route[network-instance=*][prefix=*]/network-instance".to_owned(),
                "/k8s-services/alarm[id=*]/id".to_owned(),
                "/k8s-services/alarm-history[sequence=*]/sequence".to_owned(),
            ]
        );
    }

    #[test]
    fn every_constructed_path_is_in_the_table_of_nodes() {
        let service = service(&"c1".into(), &ServiceKey::new("a", "b"));
        let route = RouteKey { network_instance: "ip-vrf-1".into(), prefix: "1.1.1.7/32".parse().unwrap() };
        for path in [
            root(),
            node(&"c1".into(), &"n1".into()),
            vip(service, &"1.1.1.1".parse().unwrap()),
            orphan_route(&route),
            alarm_history(7),
            source(&SourceId::Ndk),
        ] {
            assert!(Node::find(&path).is_some(), "{path}");
        }
        for other in ["/k8s-services/cluster", "/k8s-services/cluster[id=c1]", "/k8s-services/shiny", "/interface"] {
            assert!(Node::find(&other.parse().unwrap()).is_none(), "{other}");
        }
    }
}
