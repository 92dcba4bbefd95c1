//! Compares the module that an operator sees with the fixed tree (`yang/k8s-services-tree.txt`), with the words of the
//! model, and with everything the publisher renders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use srl_k8s_services::model::adaptation::{Adaptation, Asker, DumpEnd, Refused};
use srl_k8s_services::model::cluster::TrafficPolicy;
use srl_k8s_services::model::config::{
    AlarmPolicy, AnnouncementMode, ClusterConfig, Connection, Rules, Source, Speaker,
};
use srl_k8s_services::model::names::{ClusterName, NodeName, ServiceKey};
use srl_k8s_services::model::selector::{Operator, Requirement, Selector};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::speaker::{ResourceState, SpeakerResource};
use srl_k8s_services::model::switch::{BfdState, RouteKey, SessionState};
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::{
    AddressSource, Announcement, AttachmentState, FibStatus, NextHopKind, NodeReason, OperState, Owner, ProbableCause,
    Reason, SourceState, Vantage,
};
use srl_k8s_services::model::view::{
    Cause, Change, ClusterCounts, ClusterView, NextHopView, NodeView, OrphanView, PeerView, RootView, RouteView,
    ServiceView, SourceFreshness, SourceView, SummaryView, Verdict, VipView, Without,
};
use srl_k8s_services::publish::{Input, Publisher, Sink, WriteError};
use srl_k8s_services::tree::{self, Kind as TableKind, Type};
use srl_sim::datastore::{Datastore, StateOp};
use srl_sim::schema::{Kind, LeafType, NodeId, Schema};
use tokio::sync::{mpsc, watch};

const TREE: &str = include_str!("yang/k8s-services-tree.txt");
const PATIENCE: Duration = Duration::from_secs(20);

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yang");
    Schema::load(&[folder], &["k8s-services".to_owned()]).expect("the module loads")
});

fn find(path: &str) -> Option<NodeId> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.into_iter().try_fold(NodeId::ROOT, |node, name| SCHEMA.child(node, name))
}

/// A node of the tree: its path, whether it is configuration, whether it is a list or leaf-list, its keys, and what the
/// tree shows of its type.
#[derive(Debug)]
struct Line {
    path: String,
    config: bool,
    many: bool,
    keys: Vec<String>,
    kind: String,
}

/// Reads the tree: a line is `+--ro name? [keys] type`, further names after it are its siblings, names in braces its
/// children.
fn tree() -> Vec<Line> {
    let mut lines = Vec::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in TREE.lines() {
        let Some(column) = line.find("+--") else { continue };
        let (access, rest) = line[column + 3..].split_at(2);
        above.retain(|(at, _)| *at < column);
        let parent = above.last().map(|(_, path)| path.clone()).unwrap_or_default();
        let (rest, inner) = rest.split_once('{').unwrap_or((rest, ""));
        let inner = inner.split_once('}').map(|(names, kind)| (names.trim(), kind.trim()));
        let mut words = rest.split_whitespace().peekable();
        let mut names = Vec::new();
        let mut keys = Vec::new();
        let mut comma = false;
        while let Some(word) = words.peek().copied() {
            let bare = word.trim_end_matches([',', '?', '*']);
            let is_name = word.trim_end_matches(',').ends_with(['?', '*']) || comma;
            if !names.is_empty() && !is_name {
                break;
            }
            comma = word.ends_with(',');
            names.push((bare.to_owned(), word.contains('*')));
            words.next();
        }
        let said: Vec<&str> = words.collect();
        let mut said = said.join(" ");
        if let Some((list, after)) = said.strip_prefix('[').and_then(|it| it.split_once(']')) {
            keys = list.split_whitespace().map(str::to_owned).collect();
            said = after.trim().to_owned();
        }
        let make = |path: String, many, keys, kind: &str| Line {
            path,
            config: access == "rw",
            many,
            keys,
            kind: kind.to_owned(),
        };
        above.push((column, format!("{parent}/{}", names[0].0)));
        for (name, many) in &names {
            lines.push(make(format!("{parent}/{name}"), *many, std::mem::take(&mut keys), &said));
        }
        if let Some((children, kind)) = inner {
            for child in children.split_whitespace().map(|child| child.trim_end_matches('?')) {
                lines.push(make(format!("{parent}/{}/{child}", names[0].0), false, Vec::new(), kind));
            }
        }
    }
    lines
}

#[test]
fn the_module_has_every_node_of_the_tree() {
    let tree = tree();
    assert!(tree.len() > 130, "the tree is read: {} nodes", tree.len());
    let mut wrong = Vec::new();
    for line in &tree {
        match find(&line.path) {
            Some(id) => wrong.extend(differences(line, id)),
            None => wrong.push(format!("{}: not in the module", line.path)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tree_has_every_node_of_the_module() {
    let tree: BTreeSet<String> = tree().into_iter().map(|line| line.path).collect();
    let mut queue = vec![find("/k8s-services").expect("the root")];
    let mut missing = Vec::new();
    while let Some(id) = queue.pop() {
        let path = SCHEMA.path_of(id).to_string();
        missing.extend((!tree.contains(&path)).then_some(path));
        queue.extend(&SCHEMA.node(id).children);
    }
    assert!(missing.is_empty(), "not in the tree:\n{}", missing.join("\n"));
}

/// The table that publisher, leftovers and configuration read agrees with the module, node by node.
#[test]
fn the_agents_table_of_nodes_matches_the_module() {
    let mut wrong = Vec::new();
    compare(&tree::ROOT, find("/k8s-services").expect("the root"), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(table: &tree::Node, id: NodeId, wrong: &mut Vec<String>) {
    let node = SCHEMA.node(id);
    let path = SCHEMA.path_of(id);
    let keys: BTreeSet<&str> = SCHEMA.keys(id).iter().map(|key| &*SCHEMA.node(*key).name).collect();
    let fits = match (table.kind, &node.kind) {
        (TableKind::Container, Kind::Container { .. }) => true,
        (TableKind::List(own) | TableKind::InlineList(own), Kind::List { .. }) => keys == own.iter().copied().collect(),
        (TableKind::Leaf(own), Kind::Leaf(info)) | (TableKind::LeafList(own), Kind::LeafList(info)) => match own {
            Type::Number(bits) => info.kind == LeafType::Unsigned(bits),
            Type::Flag => info.kind == LeafType::Boolean,
            Type::Word => matches!(info.kind, LeafType::Enumeration(_)),
            Type::Time => info.typedef == "date-and-time-delta",
            Type::Text => info.kind == LeafType::Text && info.typedef != "date-and-time-delta",
        },
        _ => false,
    };
    if !fits || table.config != node.config {
        wrong.push(format!("{path}: {:?}, config {} in the table", table.kind, table.config));
    }
    let names: BTreeSet<&str> = node.children.iter().map(|child| &*SCHEMA.node(*child).name).collect();
    let own: BTreeSet<&str> = table.children.iter().map(|child| child.name).collect();
    wrong.extend(names.symmetric_difference(&own).map(|name| format!("{path}/{name}: only in one of the two")));
    for child in table.children {
        if let Some(id) = SCHEMA.child(id, child.name) {
            compare(child, id, wrong);
        }
    }
}

/// Releases that require prefixed enumerations name them after their typedef or after their leaf; here both names are
/// the same.
#[test]
fn a_typedef_of_an_enumeration_has_the_name_of_its_leaves() {
    let mut queue = vec![find("/k8s-services").expect("the root")];
    let mut wrong = Vec::new();
    while let Some(id) = queue.pop() {
        let node = SCHEMA.node(id);
        if let Some(leaf) = SCHEMA.leaf(id)
            && matches!(leaf.kind, LeafType::Enumeration(_))
            && ![String::new(), node.name.to_string(), "enumeration".to_owned()].contains(&leaf.typedef.to_string())
        {
            wrong.push(format!("{}: typedef {}", SCHEMA.path_of(id), leaf.typedef));
        }
        queue.extend(&node.children);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differences(line: &Line, id: NodeId) -> Vec<String> {
    let node = SCHEMA.node(id);
    let mut wrong = Vec::new();
    // A key of a state list is state, whatever its line says; only whether an operator can set it counts.
    if node.config != line.config {
        wrong.push(format!("{}: config {}", line.path, node.config));
    }
    let keys: BTreeSet<&str> = SCHEMA.keys(id).iter().map(|key| &*SCHEMA.node(*key).name).collect();
    if keys != line.keys.iter().map(String::as_str).collect() {
        wrong.push(format!("{}: keys {keys:?}", line.path));
    }
    let shape = matches!(
        (&node.kind, line.many, line.keys.is_empty()),
        (Kind::List { .. }, true, false)
            | (Kind::LeafList(_), true, true)
            | (Kind::Leaf(_) | Kind::Container { .. }, false, true)
    );
    if !shape {
        wrong.push(format!("{}: is {:?}", line.path, node.kind));
    }
    if let Kind::Leaf(info) | Kind::LeafList(info) = &node.kind
        && !type_fits(&line.kind, &info.kind, &info.typedef, node.key)
    {
        wrong.push(format!("{}: '{}' is {:?}", line.path, line.kind, info.kind));
    }
    wrong
}

fn type_fits(said: &str, kind: &LeafType, typedef: &str, key: bool) -> bool {
    let said = said.split(" default ").next().unwrap_or_default();
    let first = said.split([' ', ',', ';']).next().unwrap_or_default();
    match first {
        _ if key => *kind == LeafType::Text,
        "uint16" => *kind == LeafType::Unsigned(16),
        "uint32" => *kind == LeafType::Unsigned(32),
        "uint64" => *kind == LeafType::Unsigned(64),
        "boolean" => *kind == LeafType::Boolean,
        "enumeration" => matches!(kind, LeafType::Enumeration(names) if !names.is_empty()),
        "date-and-time" => typedef == "date-and-time-delta",
        "string" | "address" | "prefix" => *kind == LeafType::Text,
        _ if said.contains(" | ") => {
            let words = said.split(" | ").filter_map(|word| word.split([' ', ',']).find(|it| !it.is_empty()));
            *kind == LeafType::Enumeration(words.map(str::to_owned).collect())
        }
        _ => true,
    }
}

#[test]
fn every_node_is_described() {
    let root = find("/k8s-services").expect("the root");
    let mut queue = vec![root];
    while let Some(id) = queue.pop() {
        let node = SCHEMA.node(id);
        let described = node.description.as_deref().is_some_and(|text| text.trim().len() > 2);
        assert!(described, "{} has no description", SCHEMA.path_of(id));
        queue.extend(&node.children);
    }
}

/// Checks the names of an enumeration in both directions: the module knows each word, and the model has each word of
/// the module.
fn assert_same<'a>(path: &str, words: impl IntoIterator<Item = &'a str>) {
    let id = find(path).unwrap_or_else(|| panic!("{path} is in the module"));
    let Some(LeafType::Enumeration(names)) = SCHEMA.leaf(id).map(|leaf| leaf.kind.clone()) else {
        panic!("{path} is an enumeration")
    };
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, words.into_iter().collect(), "{path}");
}

#[test]
fn enumerations_of_module_and_model_match() {
    let cluster = "/k8s-services/cluster";
    let (service, node) = (&format!("{cluster}/service"), &format!("{cluster}/node"));
    let (vip, peer) = (&format!("{service}/vip"), &format!("{node}/peer"));
    let hop = &format!("{vip}/next-hop");
    let component = [OperState::Up, OperState::Degraded, OperState::Down].map(OperState::as_str);
    for entry in ["/k8s-services", cluster] {
        assert_same(&format!("{entry}/oper-state"), component);
    }
    for entry in [service, vip, hop, node] {
        assert_same(&format!("{entry}/oper-state"), OperState::ALL.map(OperState::as_str));
    }
    for lost in ["session", "node", "port"] {
        assert_same(&format!("{hop}/state-without-{lost}"), OperState::ALL.map(OperState::as_str));
    }
    for entry in [vip, hop, node, peer, "/k8s-services/alarm"] {
        assert_same(&format!("{entry}/probable-cause"), ProbableCause::ALL.map(ProbableCause::as_str));
    }
    for entry in [service, vip, "/k8s-services/alarm", "/k8s-services/alarm-history"] {
        assert_same(&format!("{entry}/owner"), Owner::ALL.map(Owner::as_str));
    }
    assert_same(&format!("{vip}/announcement"), Announcement::ALL.map(Announcement::as_str));
    assert_same(&format!("{cluster}/announcement"), AnnouncementMode::ALL.map(AnnouncementMode::as_str));
    for entry in [service, vip] {
        assert_same(&format!("{entry}/oper-reason"), Reason::ALL.iter().map(|it| it.as_str()));
    }
    assert_same(&format!("{hop}/oper-reason"), NEXT_HOP_REASONS.map(Reason::as_str));
    assert_same(&format!("{node}/oper-reason"), NodeReason::ALL.iter().map(|it| it.as_str()));
    assert_same(&format!("{hop}/kind"), NextHopKind::ALL.iter().map(|it| it.as_str()));
    assert_same(&format!("{vip}/vantage"), Vantage::ALL.iter().map(|it| it.as_str()));
    assert_same(&format!("{vip}/fib-status"), FibStatus::ALL.iter().map(|it| it.as_str()));
    assert_same("/k8s-services/summary/source/oper-state", SourceState::ALL.iter().map(|it| it.as_str()));
    for entry in [node, peer] {
        assert_same(&format!("{entry}/attachment"), AttachmentState::ALL.iter().map(|it| it.as_str()));
        assert_same(&format!("{entry}/address-source"), AddressSource::ALL.iter().map(|it| it.as_str()));
        assert_same(&format!("{entry}/session-state"), SessionState::ALL.map(SessionState::as_str));
        assert_same(&format!("{entry}/bfd-state"), BfdState::ALL.map(BfdState::as_str));
    }
    assert_same(&format!("{hop}/session-state"), SessionState::ALL.map(SessionState::as_str));
    assert_same(&format!("{cluster}/speaker"), Speaker::ALL.map(Speaker::as_str));
    assert_same(&format!("{service}/external-traffic-policy"), POLICIES.map(TrafficPolicy::as_str));
}

const POLICIES: [TrafficPolicy; 2] = [TrafficPolicy::Cluster, TrafficPolicy::Local];
const NEXT_HOP_REASONS: [Reason; 5] = [
    Reason::SessionDown,
    Reason::NextHopMissing,
    Reason::NextHopUnexpected,
    Reason::EcmpLimited,
    Reason::NextHopUnmapped,
];

/// A switch that accepts what its schema allows, and records what it refused.
#[derive(Clone)]
struct Switch {
    store: Datastore,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Sink for Switch {
    fn generation(&self) -> u64 {
        1
    }

    async fn update(&self, states: Vec<(String, String)>) -> Result<(), WriteError> {
        for (path, json) in states {
            let value = serde_json::from_str(&json).expect("JSON");
            let at = srl_sim::path::Path::from_js(&path).expect("a path");
            if let Err(refusal) = self.store.apply_state("agent", vec![StateOp::Replace(at, value)]) {
                self.refused.lock().expect("nobody panicked").push(format!("{refusal} in {json}"));
            }
        }
        Ok(())
    }

    async fn delete(&self, _: Vec<String>) -> Result<(), WriteError> {
        Ok(())
    }
}

#[tokio::test]
async fn every_entry_the_publisher_renders_is_accepted() {
    let store = Datastore::new(SCHEMA.clone());
    let mut news = store.subscribe();
    let switch = Switch { store: store.clone(), refused: Arc::default() };
    let (inputs, queue) = mpsc::channel(4);
    let (sinks, sink) = watch::channel(None);
    let publisher = tokio::spawn(Publisher::new(queue, sink, "0.0.0-test").run());
    sinks.send(Some(switch.clone())).expect("the publisher looks");
    inputs.send(Input::Changes(everything())).await.expect("taken");
    inputs.send(Input::Freshness(sources().map(freshness).into(), u64::MAX)).await.expect("taken");
    let last =
        Change::Service("c1".into(), ServiceKey::new("default", "last"), Some(service(0, Reason::NoRoute).into()));
    inputs.send(Input::Changes(vec![last])).await.expect("taken");
    inputs.send(Input::Adaptation(adapted())).await.expect("taken");
    let path = "/k8s-services/cluster[name=c1]/service[namespace=default][name=last]".parse().expect("a path");
    let adaptation = "/k8s-services/statistics/adaptation".parse().expect("a path");
    let arrived = async {
        for path in [&path, &adaptation] {
            while store.json(srl_sim::datastore::Source::State, path).expect("known").is_none() {
                let _ = news.recv().await;
            }
        }
    };
    let arrived = tokio::time::timeout(PATIENCE, arrived).await;
    publisher.abort();
    let refused = switch.refused.lock().expect("nobody panicked").clone();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(arrived.is_ok(), "the last entry did not arrive in time");
    let rendered: BTreeSet<String> = store.paths_of_owner("agent").iter().map(schema_path).collect();
    for list in ["node/peer", "service/vip/next-hop"].map(|it| format!("/k8s-services/cluster/{it}")) {
        assert!(rendered.contains(&list), "{list} was rendered: {rendered:?}");
    }
    assert!(rendered.contains("/k8s-services/orphan-route"), "{rendered:?}");
}

fn adapted() -> Adaptation {
    let refused = Refused {
        paths: BTreeSet::from(["/network-instance[name=*]/route-table".into()]),
        features: BTreeSet::from(["updates_only".into()]),
    };
    Adaptation {
        streams: Some("one"),
        end_of_dump: Some(DumpEnd::Counted { received: 12, active: 12 }),
        gnmi_encoding: Some("json-ietf"),
        release: Some("v26.7.2".into()),
        refused: BTreeMap::from([(Asker::Gnmi, refused)]),
    }
}

fn schema_path(path: &srl_sim::path::Path) -> String {
    path.steps().iter().map(|step| format!("/{}", step.name)).collect()
}

/// Returns views with every word of the model and both address families, with everything that can be present, and
/// without everything that is optional.
fn everything() -> Vec<Change> {
    let mut changes = Vec::new();
    for state in [OperState::Up, OperState::Degraded, OperState::Down] {
        let reason = Some("a reason".into()).filter(|_| state != OperState::Up);
        changes.push(Change::Root(RootView { enabled: true, state, reason, alarm_policy: AlarmPolicy::default() }));
    }
    let summary = SummaryView { services: u32::MAX, vips: 1, ..SummaryView::default() };
    changes.push(Change::Summary(summary));
    for (source, state) in sources().into_iter().zip(SourceState::ALL) {
        let stale_since = Some(now()).filter(|_| state == SourceState::Stale);
        changes.push(Change::Source(source, Some(SourceView { state, stale_since })));
    }
    for (n, speaker) in Speaker::ALL.into_iter().enumerate() {
        changes.push(Change::Cluster(ClusterName::from(format!("c{n}")), Some(cluster(n, speaker))));
    }
    changes.extend(nodes());
    for (n, reason) in Reason::ALL.iter().enumerate() {
        let key = ServiceKey::new("default", format!("service-{n}.of-\"quotes\""));
        changes.push(Change::Service("c1".into(), key, Some(service(n, *reason).into())));
    }
    for prefix in ["1.1.1.7/32", "2001:db8::7/128"] {
        let key = RouteKey { network_instance: "ip-vrf-1".into(), prefix: prefix.parse().expect("a prefix") };
        let next_hops = ["10.0.0.1", "fe80::1"].map(ip).into();
        changes.push(Change::Orphan(key, Some(OrphanView { owner: Some("bgp_mgr".into()), next_hops, since: now() })));
    }
    changes
}

fn now() -> Timestamp {
    "2026-06-12T16:29:35.5Z".parse().expect("a time")
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().expect("an address")
}

fn sources() -> [SourceId; 3] {
    [SourceId::Ndk, SourceId::Gnmi, SourceId::Kubernetes("c1".into())]
}

fn freshness(source: SourceId) -> SourceFreshness {
    SourceFreshness { source, last_event: Some(now()), events: u64::MAX, reconnects: 1, errors: 1 }
}

fn cluster(n: usize, speaker: Speaker) -> ClusterView {
    let connection = if n == 0 {
        Connection::Kubeconfig { path: "/etc/kubeconfig".into(), context: Some("a context".into()) }
    } else {
        Connection::ApiServer {
            url: "https://[2001:db8::1]:6443".into(),
            certificate_authority: Some("/etc/ca.pem".into()),
            token: Some("/etc/token".into()),
            client_certificate: Some(("/etc/client.pem".into(), "/etc/client.key".into())),
            insecure_skip_verify: true,
        }
    };
    let config = ClusterConfig {
        enabled: n != 2,
        source: Source {
            connection,
            network_namespace: Some("srbase-mgmt".into()).filter(|_| n != 3),
            speaker,
            namespaces: ["a".into(), "b".into()].into(),
            label_selector: Some("a in (b, c), !d".into()),
            include_external_ips: true,
            node_address_annotation: Some("example.com/address".into()),
            node_labels: true,
        },
        rules: Rules {
            network_instance: "ip-vrf-1".into(),
            load_balancer_class: Some("example.com/class".into()),
            announcement: AnnouncementMode::ALL[n % AnnouncementMode::ALL.len()],
            speaker_node_selector: Some(Selector(
                [Requirement { label: "a".into(), operator: Operator::In(["b".into(), "c".into()].into()) }].into(),
            )),
            transit_addresses: [ip("10.9.9.1"), ip("2001:db8::9")].into(),
            vip_pools: ["1.1.1.0/24", "2001:db8::/64"].map(|it| it.parse().expect("a prefix")).into(),
            shared_with: ["c2".into()].into(),
            ecmp_limit: Some(u16::MAX),
            fabric_addresses: [("n1".into(), [ip("10.0.0.1"), ip("2001:db8::1")].into())].into(),
        },
    };
    let state = [OperState::Up, OperState::Degraded, OperState::Down][n % 3];
    let counts = (n != 2).then_some(ClusterCounts { services: 1, endpoints: 2, nodes: 3 });
    let reason = Some("a reason".into()).filter(|_| state != OperState::Up);
    let states = [
        ResourceState::Watched,
        ResourceState::Absent,
        ResourceState::Forbidden("a rule".into()),
        ResourceState::Failed("a reason".into()),
        ResourceState::TooMany("a number".into()),
    ];
    let speaker_resources = SpeakerResource::ALL.iter().copied().zip(states.into_iter().cycle()).collect();
    ClusterView {
        config: config.into(),
        state,
        reason,
        version: Some("v1.33.0+k3s1".into()),
        counts,
        speaker_resources,
    }
}

/// Every cause comes up in turn, and so does no cause.
fn cause(n: usize) -> Option<Cause> {
    let probable = *ProbableCause::ALL.get(n % (ProbableCause::ALL.len() + 1))?;
    Some(Cause { probable, detail: "ethernet-1/1 has been down since 12:00:00: \"no light\"".into() })
}

fn nodes() -> Vec<Change> {
    let peer = |n: usize, address: &str| PeerView {
        address: ip(address),
        source: AddressSource::ALL[n % AddressSource::ALL.len()],
        attachment: AttachmentState::ALL[n % AttachmentState::ALL.len()],
        session: SessionState::ALL.get(n).copied(),
        last_established: Some(now()).filter(|_| n > 0),
        bfd: BfdState::ALL.get(n).copied(),
        subinterface: Some("irb1.1".into()),
        port: Some("ethernet-1/1".into()),
        link_layer_address: Some("AA:C1:AB:00:00:01".into()),
        received_routes: Some(u32::MAX),
        rejected_routes: Some(0),
        cause: cause(n),
    };
    let view = |n: usize| NodeView {
        fabric_addresses: [ip("10.0.0.1"), ip("2001:db8::1")][..n % 3].into(),
        vacant_names: Box::default(),
        peers: [peer(n, "10.0.0.1"), peer(n + 1, "2001:db8::1")][..(n + 1) % 3].into(),
        attachment: AttachmentState::ALL[n % AttachmentState::ALL.len()],
        expected_vips: u32::MAX,
        installed_vips: 0,
        sole_path_vips: u32::MAX,
        excluded_by: Some("label a.example/b").filter(|_| n.is_multiple_of(2)),
        state: OperState::ALL[n % OperState::ALL.len()],
        reason: NodeReason::ALL.get(n).copied(),
        cause: cause(n),
    };
    (0..7)
        .map(|n| Change::Node("c1".into(), NodeName::from(format!("node{n}.example")), Some(view(n).into())))
        .collect()
}

fn service(n: usize, reason: Reason) -> ServiceView {
    let state = OperState::ALL[n % OperState::ALL.len()];
    let detail = Some(format!("row {n}: \"quoted\", {}", "é".repeat(200)).into());
    let verdict = Verdict { state, reason: Some(reason).filter(|_| n > 0), detail };
    let next_hop = |hop: usize| NextHopView {
        address: ip(&if hop.is_multiple_of(2) { format!("10.0.0.{hop}") } else { format!("2001:db8::{hop}") }),
        node: (hop > 0).then(|| "node1.example".into()),
        kind: NextHopKind::ALL[hop % NextHopKind::ALL.len()],
        expected: hop.is_multiple_of(2),
        installed: hop.is_multiple_of(3),
        session: SessionState::ALL.get(hop).copied(),
        usable_endpoints: (hop > 2).then_some(7),
        state: OperState::ALL[hop % OperState::ALL.len()],
        reason: NEXT_HOP_REASONS.get(hop).copied(),
        cause: cause(n),
        without: Without {
            session: OperState::ALL.get(hop).copied(),
            node: OperState::ALL.get(n).copied(),
            port: OperState::ALL.get(hop).copied(),
        },
    };
    let vip = |address: &str, prefix: Option<&str>| VipView {
        by_design: false,
        address: ip(address),
        network_instance: "ip-vrf-1".into(),
        prefix: prefix.map(|it| it.parse().expect("a prefix")),
        vantage: Vantage::ALL.get(n % 3).copied(),
        verdict: verdict.clone(),
        last_change: now(),
        announcement: Announcement::ALL.get(n % 3).copied(),
        cause: cause(n),
        route: prefix.map(|_| RouteView {
            owner: Some("bgp_mgr".into()).filter(|_| n > 1),
            preference: 169,
            metric: u32::MAX,
            fib: FibStatus::ALL[n % FibStatus::ALL.len()],
        }),
        expected: 1,
        installed: 8,
        next_hops: (0..7).map(next_hop).collect(),
    };
    ServiceView {
        policy: POLICIES[n % 2],
        usable_endpoints: 0,
        total_endpoints: u32::MAX,
        verdict: verdict.clone(),
        last_change: now(),
        vips: [vip("1.1.1.100", Some("1.1.1.0/24")), vip("2001:db8::100", None)].into(),
    }
}
