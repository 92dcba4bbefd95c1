use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::config::{AnnouncementMode, ClusterConfig, Connection, Rules, Source, Speaker};
use crate::model::names::{ClusterName, NodeName};
use crate::model::selector::{Operator, Requirement, Selector};

fn set(path: &str, json: &str) -> ConfigChange {
    ConfigChange { op: Operation::Set, path: path.into(), json: json.into() }
}

fn delete(path: &str) -> ConfigChange {
    ConfigChange { op: Operation::Delete, path: path.into(), json: String::new() }
}

fn cluster(leaves: &str) -> ConfigChange {
    set(r#".k8s_services.cluster{.name=="c1"}"#, leaves)
}

/// Returns an assembler that accepts credentials anywhere.
fn assembler() -> Assembler {
    Assembler::new(Arc::from(FilePath::new("/")))
}

fn apply(changes: &[ConfigChange]) -> Result<Config, Vec<Problem>> {
    assembler().apply(0, changes).map(|valid| valid.config)
}

fn only_cluster(changes: &[ConfigChange]) -> Arc<ClusterConfig> {
    let config = apply(changes).unwrap_or_else(|problems| panic!("{problems:?}"));
    config.clusters.values().next().cloned().expect("a cluster")
}

fn problems(changes: &[ConfigChange]) -> Vec<String> {
    apply(changes)
        .expect_err("refused")
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

const KUBECONFIG: &str = r#"{"kubeconfig":"/etc/k8s/c1.conf"}"#;

#[test]
fn an_empty_delivery_gives_the_default_configuration() {
    assert_eq!(apply(&[]), Ok(Config::default()));
    assert_eq!(apply(&[set(".k8s_services", "{}\n")]), Ok(Config::default()));
}

#[test]
fn an_entry_with_one_leaf_gets_the_defaults_of_the_yang_module() {
    let cluster = only_cluster(&[cluster(KUBECONFIG)]);
    let expected = ClusterConfig {
        enabled: true,
        source: Source {
            connection: Connection::Kubeconfig { path: PathBuf::from("/etc/k8s/c1.conf"), context: None },
            network_namespace: Some("srbase-mgmt".into()),
            speaker: Speaker::Metallb,
            namespaces: BTreeSet::new(),
            label_selector: None,
            include_external_ips: false,
            node_address_annotation: None,
            node_labels: true,
        },
        rules: Rules {
            network_instance: "default".into(),
            load_balancer_class: None,
            announcement: AnnouncementMode::Auto,
            speaker_node_selector: None,
            transit_addresses: BTreeSet::new(),
            vip_pools: BTreeSet::new(),
            shared_with: BTreeSet::new(),
            ecmp_limit: None,
            fabric_addresses: BTreeMap::new(),
        },
    };
    assert_eq!(*cluster, expected);
}

#[test]
fn every_leaf_is_read_alike_from_plain_json_and_proto_json() {
    let plain = [
        set(
            ".k8s-services",
            r#"{"admin-state":"disable","alarm-policy":{"raise-hold-time":3,"clear-hold-time":"4","history-size":5,
               "kubernetes-events":true}}"#,
        ),
        set(
            r#".k8s-services.cluster{.name=="web_1"}"#,
            r#"{"name":"web_1","admin-state":"disable","api-server":"https://[2001:db8::1]:6443",
               "certificate-authority-file":"/a","token-file":"/b","client-certificate-file":"/c",
               "client-key-file":"/d","insecure-skip-verify":"true","network-namespace":"self",
               "network-instance":"vrf-1","speaker":"kube-vip","namespace":["b","a"],"label-selector":"app=web",
               "load-balancer-class":"x/y","include-external-ips":true,"vip-pool":["10.0.0.0/24","2001:db8::/64"],
               "ecmp-limit":8,"node-address-annotation":"example.com/bgp","announcement":"l2",
               "speaker-node-selector":"speaker=yes","transit-address":["10.9.9.1","2001:db8::9"]}"#,
        ),
        set(
            r#".k8s-services.cluster{.name=="web_1"}.node{.name=="n1"}"#,
            r#"{"fabric-address":["192.168.1.11","2001:db8::11"]}"#,
        ),
    ];
    let proto = [
        set(
            ".k8s_services",
            r#"{"admin_state":"ADMIN_STATE_disable","alarm_policy":{"raise_hold_time":{"value":3},
               "clear_hold_time":{"value":4},"history_size":{"value":5},"kubernetes_events":{"value":true}}}"#,
        ),
        set(
            r#".k8s_services.cluster{.name=="web_1"}"#,
            r#"{"cluster":{"admin_state":"ADMIN_STATE_disable","api_server":{"value":"https://[2001:db8::1]:6443"},
               "certificate_authority_file":{"value":"/a"},"token_file":{"value":"/b"},
               "client_certificate_file":{"value":"/c"},"client_key_file":{"value":"/d"},
               "insecure_skip_verify":{"value":true},"network_namespace":{"value":"self"},
               "network_instance":{"value":"vrf-1"},"speaker":"SPEAKER_kube_vip",
               "namespace":[{"value":"b"},{"value":"a"}],"label_selector":{"value":"app=web"},
               "load_balancer_class":{"value":"x/y"},"include_external_ips":{"value":true},
               "vip_pool":[{"value":"10.0.0.0/24"},{"value":"2001:db8::/64"}],"ecmp_limit":{"value":8},
               "node_address_annotation":{"value":"example.com/bgp"},"announcement":"ANNOUNCEMENT_l2",
               "speaker_node_selector":{"value":"speaker=yes"},
               "transit_address":[{"value":"10.9.9.1"},{"value":"2001:db8::9"}]}}"#,
        ),
        set(
            r#".k8s_services.cluster{.name=="web_1"}.node{.name=="n1"}"#,
            r#"{"node":{"fabric_address":[{"value":"192.168.1.11"},{"value":"2001:db8::11"}]}}"#,
        ),
    ];
    let config = apply(&plain).expect("valid");
    assert_eq!(apply(&proto).as_ref(), Ok(&config));

    assert!(!config.enabled);
    assert_eq!(config.alarm_policy.raise_hold, Duration::from_secs(3));
    assert_eq!(config.alarm_policy.clear_hold, Duration::from_secs(4));
    assert_eq!((config.alarm_policy.history_size, config.alarm_policy.kubernetes_events), (5, true));
    let expected = ClusterConfig {
        enabled: false,
        source: Source {
            connection: Connection::ApiServer {
                url: "https://[2001:db8::1]:6443".into(),
                certificate_authority: Some("/a".into()),
                token: Some("/b".into()),
                client_certificate: Some(("/c".into(), "/d".into())),
                insecure_skip_verify: true,
            },
            network_namespace: None,
            speaker: Speaker::KubeVip,
            namespaces: ["a".into(), "b".into()].into(),
            label_selector: Some("app=web".into()),
            include_external_ips: true,
            node_address_annotation: Some("example.com/bgp".into()),
            node_labels: true,
        },
        rules: Rules {
            network_instance: "vrf-1".into(),
            load_balancer_class: Some("x/y".into()),
            announcement: AnnouncementMode::L2,
            speaker_node_selector: Some(Selector(
                [Requirement { label: "speaker".into(), operator: Operator::In(["yes".into()].into()) }].into(),
            )),
            transit_addresses: ["10.9.9.1", "2001:db8::9"].map(|ip| ip.parse().expect("an address")).into(),
            vip_pools: ["10.0.0.0/24", "2001:db8::/64"].map(|pool| pool.parse().expect("a prefix")).into(),
            shared_with: BTreeSet::new(),
            ecmp_limit: Some(8),
            fabric_addresses: [(
                NodeName::from("n1"),
                ["192.168.1.11", "2001:db8::11"].map(|ip| ip.parse().expect("an address")).into(),
            )]
            .into(),
        },
    };
    assert_eq!(config.clusters.get(&ClusterName::from("web_1")).map(AsRef::as_ref), Some(&expected));
}

#[test]
fn parts_of_a_commit_may_come_in_any_order() {
    let root = set(".k8s_services", r#"{"admin-state":"enable"}"#);
    let node = set(r#".k8s_services.cluster{.name=="c1"}.node{.name=="n1"}"#, r#"{"fabric-address":"10.0.0.1"}"#);
    let forth = [root.clone(), cluster(KUBECONFIG), node.clone()];
    let back = [node, cluster(KUBECONFIG), root];
    assert_eq!(apply(&forth).expect("valid"), apply(&back).expect("valid"));
}

#[test]
fn deleting_an_entry_deletes_its_children_but_not_its_siblings() {
    let other = set(r#".k8s_services.cluster{.name=="c10"}"#, KUBECONFIG);
    let node = |json: &str| set(r#".k8s_services.cluster{.name=="c1"}.node{.name=="n1"}"#, json);
    let mut assembler = assembler();
    assembler.apply(0, &[cluster(KUBECONFIG), node(r#"{"fabric-address":["10.0.0.1"]}"#), other]).expect("valid");

    let config = assembler.apply(1, &[delete(r#".k8s_services.cluster{.name=="c1"}"#)]).expect("valid").config;
    assert_eq!(config.clusters.keys().map(ClusterName::as_str).collect::<Vec<_>>(), ["c10"]);

    let config = assembler.apply(2, &[cluster(KUBECONFIG)]).expect("valid").config;
    assert!(config.clusters[&ClusterName::from("c1")].rules.fabric_addresses.is_empty());

    let config = assembler.apply(3, &[delete(".k8s_services")]).expect("valid").config;
    assert_eq!(config, Config::default());
}

#[test]
fn an_entry_created_again_in_the_commit_that_deletes_its_parent_survives() {
    let mut assembler = assembler();
    let node = set(r#".k8s_services.cluster{.name=="c1"}.node{.name=="n1"}"#, "");
    assembler.apply(0, &[cluster(KUBECONFIG), node.clone()]).expect("valid");
    let anew = [cluster(r#"{"kubeconfig":"/b"}"#), delete(r#".k8s_services.cluster{.name=="c1"}.node{.name=="n1"}"#)];
    assert!(
        assembler.apply(1, &anew).expect("valid").config.clusters[&ClusterName::from("c1")]
            .rules
            .fabric_addresses
            .is_empty()
    );
    let config = assembler.apply(2, &[node, delete(".k8s_services"), cluster(KUBECONFIG)]).expect("valid").config;
    assert_eq!(config.clusters[&ClusterName::from("c1")].rules.fabric_addresses.len(), 1);
}

#[test]
fn a_refused_commit_changes_nothing() {
    let mut assembler = assembler();
    let good = assembler.apply(0, &[cluster(KUBECONFIG)]).expect("valid");
    let bad = [cluster(r#"{"kubeconfig":"relative"}"#), set(r#".k8s_services.cluster{.name=="c2"}"#, "")];
    assembler.apply(1, &bad).expect_err("refused");
    assert_eq!(assembler.apply(1, &[]), Ok(good));
}

#[test]
fn a_replay_replaces_everything_and_later_commits_build_on_it_even_if_refused() {
    let mut assembler = assembler();
    assembler.apply(0, &[cluster(KUBECONFIG)]).expect("valid");
    let other = set(r#".k8s_services.cluster{.name=="c2"}"#, KUBECONFIG);
    let config = assembler.apply(0, std::slice::from_ref(&other)).expect("valid").config;
    assert_eq!(config.clusters.keys().map(ClusterName::as_str).collect::<Vec<_>>(), ["c2"]);

    assembler.apply(0, &[cluster(r#"{"kubeconfig":"x"}"#), other]).expect_err("refused");
    let config = assembler.apply(1, &[cluster(KUBECONFIG)]).expect("what the commit fixes").config;
    assert_eq!(config.clusters.len(), 2);
}

#[test]
fn all_problems_are_reported_at_once_each_with_the_path_of_its_leaf() {
    let found = problems(&[
        set(".k8s_services", r#"{"admin-state":"maybe","alarm-policy":{"history-size":70000,"colour":1}}"#),
        cluster(r#"{"kubeconfig":"/a","api-server":"https://x","ecmp-limit":0,"speaker":"bird","shiny":[1]}"#),
        set(r#".k8s_services.cluster{.name=="c2"}.node{.name=="n"}"#, r#"{"fabric-address":["x"]}"#),
        set(".k8s_services.gadget", "{}"),
        set("nonsense", "{}"),
    ]);
    let leaves: Vec<&str> = found.iter().filter_map(|problem| problem.split(": ").next()).collect();
    assert_eq!(
        leaves,
        [
            "/k8s-services",
            "/k8s-services/admin-state",
            "/k8s-services/alarm-policy/colour",
            "/k8s-services/alarm-policy/history-size",
            "/k8s-services/cluster[name=c1]/api-server",
            "/k8s-services/cluster[name=c1]/ecmp-limit",
            "/k8s-services/cluster[name=c1]/shiny",
            "/k8s-services/cluster[name=c1]/speaker",
            "/k8s-services/cluster[name=c2]/kubeconfig",
            "/k8s-services/cluster[name=c2]/node[name=n]/fabric-address",
            "/k8s-services/gadget",
        ]
    );
}

#[test]
fn an_invalid_leaf_is_refused_with_the_remedy() {
    let node = |json: &str| set(r#".k8s_services.cluster{.name=="c1"}.node{.name=="n1"}"#, json);
    let other = set(r#".k8s_services.cluster{.name=="c1"}.node{.name=="n0"}"#, r#"{"fabric-address":["10.0.0.1"]}"#);
    let with = |leaf: &str| vec![cluster(&format!(r#"{{"kubeconfig":"/a",{leaf}}}"#))];
    let server = |leaves: &str| vec![cluster(&format!("{{{leaves}}}"))];
    let with_node = |json: &str| vec![cluster(KUBECONFIG), other.clone(), node(json)];
    for (changes, leaf, words) in [
        (server(""), "kubeconfig", "or api-server"),
        (with(r#""api-server":"https://x""#), "api-server", "delete one of the two"),
        (with(r#""token-file":"/t""#), "token-file", "goes with api-server only"),
        (with(r#""insecure-skip-verify":true"#), "insecure-skip-verify", "insecure-skip-tls-verify"),
        (server(r#""api-server":"https://x","context":"y""#), "context", "kubeconfig is not set"),
        (server(r#""api-server":"ftp://x""#), "api-server", "write https://host:port"),
        (server(r#""api-server":"x:6443""#), "api-server", "write https://host:port"),
        (server(r#""api-server":"https://""#), "api-server", "write https://host:port"),
        (server(r#""api-server":"https://10.0.0.1:99999/""#), "api-server", "a number from 1 to 65535"),
        (server(r#""api-server":"https://[2001:db8::1]:0""#), "api-server", "write https://host:port"),
        (server(r#""api-server":"https://u:p@x""#), "api-server", "use token-file"),
        (server(r#""api-server":"https://x","client-certificate-file":"/c""#), "client-key-file", "set it"),
        (server(r#""api-server":"https://x","client-key-file":"/c""#), "client-certificate-file", "set it"),
        (server(r#""kubeconfig":"conf""#), "kubeconfig", "not an absolute path"),
        (with(r#""network-namespace":"../x""#), "network-namespace", "ip netns list"),
        (with(r#""network-instance":"ü""#), "network-instance", "show network-instance summary"),
        (with(r#""node-address-annotation":"a/b/c""#), "node-address-annotation", "write example.com/name"),
        (with(r#""load-balancer-class":"my class""#), "load-balancer-class", "write example.com/name"),
        (with(r#""label-selector":"a in b""#), "label-selector", "parentheses"),
        (with(r#""speaker":"kube-vip","speaker-node-selector":"a in b""#), "speaker-node-selector", "parentheses"),
        (with(r#""speaker":"cilium","speaker-node-selector":"a=b""#), "speaker-node-selector", "speaker cilium"),
        (with(r#""announcement":"arp""#), "announcement", "auto, bgp, l2"),
        (with(r#""transit-address":["::1"]"#), "transit-address", "cannot be the address of a next-hop"),
        (with(r#""transit-address":["r1"]"#), "transit-address", "not an IPv4 or IPv6 address"),
        (with(r#""namespace":["Web"]"#), "namespace", "'Web'"),
        (with(r#""vip-pool":["10.0.0.1/24"]"#), "vip-pool", "write 10.0.0.0/24"),
        (with(r#""vip-pool":["2001:DB8::/64"]"#), "vip-pool", "write 2001:db8::/64"),
        (with(r#""vip-pool":["10.0.0.0"]"#), "vip-pool", "address/length"),
        (with(r#""shared-with":["c1"]"#), "shared-with", "the cluster itself"),
        (with(r#""shared-with":["c9"]"#), "shared-with", "there is no cluster 'c9'"),
        (with(r#""ecmp-limit":"x""#), "ecmp-limit", "1 to 65535"),
        (with(r#""include-external-ips":3"#), "include-external-ips", "true or false"),
        (with(r#""speaker":["cilium","calico"]"#), "speaker", "not a single value"),
        (with(r#""load-balancer-class":"""#), "load-balancer-class", "delete the leaf"),
        (with(r#""name":"c2""#), "name", "not the key"),
        (with_node(r#"{"fabric-address":["10.0.0.1"]}"#), "node[name=n1]/fabric-address", "address of node n0"),
        (with_node(r#"{"fabric-address":["2001:DB8::1"]}"#), "node[name=n1]/fabric-address", "write 2001:db8::1"),
        (with_node(r#"{"fabric-address":["224.0.0.1"]}"#), "node[name=n1]/fabric-address", "speaks BGP from"),
    ] {
        let found = problems(&changes);
        let path = format!("/k8s-services/cluster[name=c1]/{leaf}: ");
        assert!(found.iter().any(|text| text.starts_with(&path) && text.contains(words)), "{leaf} {words}: {found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn absurd_hold_times_history_sizes_and_node_names_are_refused() {
    let found = problems(&[
        cluster(KUBECONFIG),
        set(
            ".k8s_services",
            r#"{"alarm-policy":{"raise-hold-time":65535,"clear-hold-time":3601,"history-size":10001}}"#,
        ),
        set(r#".k8s_services.cluster{.name=="c1"}.node{.name=="Node_1"}"#, "{}"),
    ]);
    let expected = [
        "/k8s-services/alarm-policy/clear-hold-time: '3601' is not a number of seconds from 0 to 3600",
        "/k8s-services/alarm-policy/history-size: '10001' is not a number from 0 to 10000",
        "/k8s-services/alarm-policy/raise-hold-time: '65535' is not a number of seconds from 0 to 3600",
        "/k8s-services/cluster[name=c1]/node[name=Node_1]/name: 'Node_1' cannot be the name of a Kubernetes node; \
         write it as `kubectl get nodes` prints it",
    ];
    assert_eq!(found, expected);
}

#[test]
fn clusters_may_share_vips_with_each_other() {
    let changes = [
        cluster(r#"{"kubeconfig":"/a","shared-with":["c2"]}"#),
        set(r#".k8s_services.cluster{.name=="c2"}"#, r#"{"kubeconfig":"/b","shared-with":["c1"]}"#),
    ];
    assert_eq!(apply(&changes).expect("valid").clusters.len(), 2);
}

#[test]
fn a_leaf_without_effect_is_accepted_with_a_warning() {
    let commit = |speaker: &str| {
        let leaves = format!(r#"{{"kubeconfig":"/a","speaker":"{speaker}","include-external-ips":true}}"#);
        assembler().apply(0, &[cluster(&leaves)]).expect("valid").warnings
    };
    let warnings = commit("metallb");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].path.to_string(), "/k8s-services/cluster[name=c1]/include-external-ips");
    assert!(warnings[0].message.contains("no-announcer"), "{warnings:?}");
    assert_eq!(commit("calico"), []);
}

proptest! {
    #[test]
    fn arbitrary_deliveries_never_panic(parts in prop::collection::vec((any::<bool>(), 0..5_usize, any::<String>()), 0..6)) {
        let paths = [
            ".k8s_services",
            ".k8s_services.alarm_policy",
            r#".k8s_services.cluster{.name=="c"}"#,
            r#".k8s_services.cluster{.name=="c"}.node{.name=="n"}"#,
        ];
        let changes: Vec<_> = parts
            .into_iter()
            .map(|(there, path, json)| ConfigChange {
                op: if there { Operation::Set } else { Operation::Delete },
                path: paths.get(path).map_or_else(|| json.clone(), |path| (*path).to_owned()),
                json,
            })
            .collect();
        let _ = assembler().apply(0, &changes);
    }
}

#[test]
fn credentials_outside_their_folder_are_refused() {
    let leaves = [
        r#"{"kubeconfig":"/etc/creds/../shadow"}"#,
        r#"{"kubeconfig":"/etc/opt/srlinux/k8s-services/gnmi-password"}"#,
        r#"{"api-server":"https://x","token-file":"/etc/shadow"}"#,
        r#"{"api-server":"https://x","certificate-authority-file":"/tmp/ca"}"#,
        r#"{"api-server":"https://x","client-certificate-file":"/etc/creds/c","client-key-file":"/root/key"}"#,
    ];
    let assembler = || Assembler::new(Arc::from(FilePath::new("/etc/creds")));
    for leaf in leaves {
        let problems = assembler().apply(0, &[cluster(leaf)]).expect_err(leaf);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].message.contains("is not below /etc/creds"), "{problems:?}");
    }
    let config = assembler().apply(0, &[cluster(r#"{"kubeconfig":"/etc/creds/c1/config"}"#)]);
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn a_configuration_read_as_a_whole_equals_the_one_delivered_in_parts() {
    let whole = serde_json::json!({
        "admin-state": "enable",
        "alarm-policy": { "raise-hold-time": 3 },
        "cluster": [{
            "name": "c1",
            "kubeconfig": "/etc/creds/c1.kubeconfig",
            "network-instance": "red",
            "node": [{ "name": "n1", "fabric-address": ["10.0.0.1"] }],
        }],
    });
    let changes = delivered(&whole);
    let valid = assembler().apply(0, &changes).expect("valid");
    assert_eq!(valid.config.alarm_policy.raise_hold, Duration::from_secs(3));
    let cluster = &valid.config.clusters[&ClusterName::from("c1")];
    assert_eq!(cluster.rules.network_instance.as_str(), "red");
    assert_eq!(cluster.rules.fabric_addresses.len(), 1);
    assert_eq!(delivered(&serde_json::Value::Null), []);
}
