use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::datastore::StateOp;
use crate::schema::Schema;

mod edit;
mod own;
mod plugins;
mod reports;
mod switch;

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../yang"));
    Schema::load(&[folder], &["k8s-services".to_owned()]).expect("the modules load")
});

/// All times are relative to this one, so that a test that asks twice gets the same answer.
static START: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

fn ago(minutes: i64) -> String {
    spelled(*START - SignedDuration::from_mins(minutes))
}

fn spelled(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.123Z").to_string()
}

fn put(store: &Datastore, path: &str, value: Value) {
    let op = StateOp::Replace(path.parse().expect(path), value);
    store.apply_state("test", vec![op]).expect(path);
}

fn leaf1(release: &str) -> (Datastore, Session) {
    let store = Datastore::new(SCHEMA.clone());
    let session = Session::new(store.clone(), SessionOptions::new("leaf1", release), None);
    (store, session)
}

async fn run(session: &mut Session, line: &str) -> String {
    let output = session.execute(line).await;
    assert_eq!(output.status, 0, "{line}: {}", output.text);
    output.text
}

async fn fails(session: &mut Session, line: &str) -> String {
    let output = session.execute(line).await;
    assert_eq!(output.status, 1, "{line}: {}", output.text);
    output.text
}

fn route(store: &Datastore, instance: &str, prefix: &str, kind: &str, owner: &str, value: Value) {
    let path = format!(
        "/network-instance[name={instance}]/route-table/ipv4-unicast/route[ipv4-prefix={prefix}][route-type={kind}]\
         [route-owner={owner}][id=0][origin-network-instance={instance}]"
    );
    put(store, &path, value);
}

const ROUTE: &str = "route 1.2.3.4/32 id 0 route-type bgp route-owner bgp_mgr origin-network-instance IP-VRF-1";

fn vrf_route(store: &Datastore) {
    put(store, "/network-instance[name=IP-VRF-1]", json!({ "type": "ip-vrf", "oper-state": "up" }));
    let value = json!({
        "leakable": false,
        "metric": 0,
        "preference": 170,
        "active": true,
        "last-app-update": ago(37),
        "next-hop-group": "183856865056",
        "next-hop-group-network-instance": "IP-VRF-1",
        "resilient-hash": true,
        "fib-programming": {
            "suppressed": false,
            "last-successful-operation-type": "modify",
            "last-successful-operation-timestamp": ago(37),
            "pending-operation-type": "none",
            "last-failed-operation-type": "none",
        },
    });
    route(store, "IP-VRF-1", "1.2.3.4/32", "bgp", "bgp_mgr", value);
}

#[tokio::test]
async fn releases_up_to_24_10_print_the_whole_wrapper() {
    let (store, mut session) = leaf1("24.3.2");
    vrf_route(&store);
    let line = format!("info from state network-instance IP-VRF-1 route-table ipv4-unicast {ROUTE}");
    let time = ago(37);
    let expected = format!(
        r#"    network-instance IP-VRF-1 {{
        route-table {{
            ipv4-unicast {{
                {ROUTE} {{
                    leakable false
                    metric 0
                    preference 170
                    active true
                    last-app-update "{time} (37 minutes ago)"
                    next-hop-group 183856865056
                    next-hop-group-network-instance IP-VRF-1
                    resilient-hash true
                    fib-programming {{
                        suppressed false
                        last-successful-operation-type modify
                        last-successful-operation-timestamp "{time} (37 minutes ago)"
                        pending-operation-type none
                        last-failed-operation-type none
                    }}
                }}
            }}
        }}
    }}
"#
    );
    assert_eq!(run(&mut session, &line).await, expected);
    run(&mut session, "network-instance IP-VRF-1").await;
    let relative = run(&mut session, "info from state route-table ipv4-unicast").await;
    assert!(relative.starts_with("    route-table {\n        ipv4-unicast {\n"), "{relative}");
}

fn next_hop_group(store: &Datastore) {
    put(store, "/network-instance[name=default]", json!({ "type": "default" }));
    let value = json!({
        "backup-next-hop-group": "0",
        "backup-active": false,
        "fib-programming": {
            "last-successful-operation-type": "add",
            "last-successful-operation-timestamp": ago(60),
            "pending-operation-type": "none",
            "last-failed-operation-type": "none",
        },
        "next-hop": [{ "id": 0, "next-hop": "1", "resolved": "not-applicable", "resource-allocation-failed": false }],
    });
    put(store, "/network-instance[name=default]/route-table/next-hop-group[index=3706426]", value);
}

#[tokio::test]
async fn later_releases_print_only_the_contents() {
    let (store, mut session) = leaf1("25.7.2");
    next_hop_group(&store);
    run(&mut session, "/network-instance default").await;
    assert_eq!(session.prompt(), "--{ running }--[ network-instance default ]--\nA:admin@leaf1# ");
    let expected = format!(
        r#"    backup-next-hop-group 0
    backup-active false
    fib-programming {{
        last-successful-operation-type add
        last-successful-operation-timestamp "{} (an hour ago)"
        pending-operation-type none
        last-failed-operation-type none
    }}
    next-hop 0 {{
        next-hop 1
        resolved not-applicable
        resource-allocation-failed false
    }}
"#,
        ago(60)
    );
    assert_eq!(run(&mut session, "info from state  route-table  next-hop-group 3706426").await, expected);
}

fn application(store: &Datastore) {
    let value = json!({
        "pid": 120_406, "state": "running", "last-change": ago(37), "last-start-type": "cold",
        "author": "Nokia SReXperts", "failure-threshold": 3, "failure-window": 300, "failure-action": "wait=10",
        "version": "v0.5", "oom-score-adj": 0, "restricted-operations": ["quit"],
        "statistics": { "restart-count": 52 },
    });
    put(store, "/system/app-management/application[name=srl_basic_agent]", value);
}

#[tokio::test]
async fn leaves_are_printed_before_leaf_lists_and_containers() {
    let (store, mut session) = leaf1("24.10.3");
    application(&store);
    let expected = format!(
        r#"    system {{
        app-management {{
            application srl_basic_agent {{
                pid 120406
                state running
                last-change "{} (37 minutes ago)"
                last-start-type cold
                author "Nokia SReXperts"
                failure-threshold 3
                failure-window 300
                failure-action wait=10
                version v0.5
                oom-score-adj 0
                restricted-operations [
                    quit
                ]
                statistics {{
                    restart-count 52
                }}
            }}
        }}
    }}
"#,
        ago(37)
    );
    assert_eq!(run(&mut session, "info from state system app-management application srl_basic_agent").await, expected);
}

fn information(store: &Datastore) {
    let value = json!({
        "description": "SRLinux-v25.10.1-399-g90c1dbe35ef 7220 IXR-D2L Copyright (c) 2000-2025 Nokia.",
        "current-datetime": spelled(Timestamp::now()), "last-booted": ago(19), "version": "v25.10.1-399-g90c1dbe35ef",
    });
    put(store, "/system/information", value);
}

#[tokio::test]
async fn with_context_prints_the_wrapper_in_later_releases() {
    let (store, mut session) = leaf1("v25.10.1-399-g90c1dbe35ef");
    information(&store);
    let plain = run(&mut session, "info from state /system information").await;
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), 4, "{plain}");
    assert_eq!(
        lines[0],
        "    description \"SRLinux-v25.10.1-399-g90c1dbe35ef 7220 IXR-D2L Copyright (c) 2000-2025 Nokia.\""
    );
    assert!(lines[1].starts_with("    current-datetime \"20"), "{plain}");
    assert!(lines[1].ends_with(" (now)\""), "{plain}");
    assert_eq!(lines[2], format!("    last-booted \"{} (19 minutes ago)\"", ago(19)));
    assert_eq!(lines[3], "    version v25.10.1-399-g90c1dbe35ef");
    let wrapped = run(&mut session, "info with-context from state /system information").await;
    assert!(wrapped.starts_with("    system {\n        information {\n            description \"SRLinux"), "{wrapped}");
    assert!(wrapped.ends_with("            version v25.10.1-399-g90c1dbe35ef\n        }\n    }\n"), "{wrapped}");
}

#[tokio::test]
async fn a_table_has_the_keys_and_the_selected_fields() {
    let (store, mut session) = leaf1("24.3.2");
    let counters = json!({ "in-octets": "7", "out-octets": "400112", "out-mirror-octets": "400112",
        "out-mirror-packets": "2942" });
    put(&store, "/interface[name=ethernet-1/50]/statistics", counters);
    let line = "info from state interface ethernet-1/50 statistics | filter fields out-mirror-octets \
                out-mirror-packets | as table";
    assert_eq!(
        run(&mut session, line).await,
        "\
+---------------------+----------------------+----------------------+
|      Interface      |  Out-mirror-octets   |  Out-mirror-packets  |
+=====================+======================+======================+
| ethernet-1/50       |               400112 |                 2942 |
+---------------------+----------------------+----------------------+
"
    );
}

/// YANG module of an application that augments a tree of the switch.
const STATIC_ROUTES: &str = r#"
module static-routes-ndk {
  yang-version 1.1;
  namespace "urn:example:static-routes-ndk";
  prefix static-routes;
  import srl_nokia-network-instance { prefix srl_nokia-netinst; }
  augment "/srl_nokia-netinst:network-instance" {
    container static-routes-ndk {
      list route {
        key "prefix";
        leaf prefix { type string; }
        leaf admin-state { type enumeration { enum enable; enum disable; } }
        leaf next-hop { type string; }
        container cpe-check {
          config false;
          leaf is-alive { type boolean; }
          container probe-statistics {
            leaf successful { type uint64; }
          }
        }
      }
    }
  }
}
"#;

#[tokio::test]
async fn state_of_an_application_is_printed_within_the_tree_of_the_switch() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("static-routes-ndk.yang"), STATIC_ROUTES).expect("a file");
    let schema = Schema::load(&[folder.path().to_owned()], &["static-routes-ndk".to_owned()]).expect("it loads");
    let store = Datastore::new(schema);
    let mut session = Session::new(store.clone(), SessionOptions::new("leaf1", "24.10.3"), None);
    let value = json!({
        "admin-state": "enable", "next-hop": "192.168.30.13",
        "cpe-check": { "is-alive": true, "probe-statistics": { "successful": 17998 } },
    });
    put(&store, "/network-instance[name=ipvrf201]/static-routes-ndk/route[prefix=192.168.31.1/32]", value);
    let line = "info from state network-instance ipvrf201 static-routes-ndk route 192.168.31.1/32";
    assert_eq!(
        run(&mut session, line).await,
        r"    network-instance ipvrf201 {
        static-routes-ndk {
            route 192.168.31.1/32 {
                admin-state enable
                next-hop 192.168.30.13
                cpe-check {
                    is-alive true
                    probe-statistics {
                        successful 17998
                    }
                }
            }
        }
    }
"
    );
}

#[tokio::test]
async fn a_path_to_a_leaf_prints_only_that_leaf() {
    let (store, mut session) = leaf1("26.3.1");
    put(&store, "/system/information", json!({ "location": "DC-Left Rack 1" }));
    let line = "info from state /system information location";
    assert_eq!(run(&mut session, line).await, "    location \"DC-Left Rack 1\"\n");
    assert_eq!(run(&mut session, &format!("{line} | as json")).await, "{\n  \"location\": \"DC-Left Rack 1\"\n}\n");
}

fn services(store: &Datastore) {
    put(store, "/k8s-services", json!({ "oper-state": "up", "summary": { "vips": 2 } }));
    put(store, "/k8s-services/cluster[name=c1]", json!({ "oper-state": "up" }));
    for (name, address) in [("web", "1.1.1.100"), ("api", "1.1.1.20")] {
        let path = format!("/k8s-services/cluster[name=c1]/service[namespace=default][name={name}]");
        put(store, &path, json!({ "oper-state": "up", "last-change": ago(3) }));
        put(store, &format!("{path}/vip[address={address}]"), json!({ "oper-state": "up", "preference": 169 }));
    }
    let path = "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=1.1.1.20]";
    put(store, path, json!({ "oper-state": "down" }));
}

#[tokio::test]
async fn wildcards_print_a_header_per_entry_ordered_by_key() {
    let (store, mut session) = leaf1("25.3.1");
    services(&store);
    let text = run(&mut session, "info from state k8s-services cluster c1 service * vip * oper-state").await;
    assert_eq!(
        text,
        r"    service default name api {
        vip 1.1.1.20 {
            oper-state up
        }
    }
    service default name web {
        vip 1.1.1.20 {
            oper-state down
        }
        vip 1.1.1.100 {
            oper-state up
        }
    }
"
    );
    let one = run(&mut session, "info from state k8s-services cluster c1 service default name web vip 1.1.1.20").await;
    assert_eq!(one, "    oper-state down\n");
    let same =
        "info from state /k8s-services/cluster[name=c1]/service[name=web][namespace=default]/vip[address=1.1.1.20]";
    assert_eq!(run(&mut session, same).await, one);
    let some =
        run(&mut session, "info from state k8s-services cluster c1 service default name w* vip 1.1.1.{1..20}").await;
    assert_eq!(some.matches("vip ").count(), 1, "{some}");
}

#[tokio::test]
async fn absent_state_prints_nothing_without_an_error() {
    let (store, mut session) = leaf1("25.3.1");
    services(&store);
    for line in [
        "info from state k8s-services cluster nowhere",
        "info from state k8s-services cluster c1 service default name web vip 9.9.9.9",
        "info from running k8s-services",
        "info from state bfd | as json",
        "info from state bfd | as table",
        "info",
        "",
        "# a remark",
    ] {
        assert_eq!(run(&mut session, line).await, "", "{line}");
    }
}

#[tokio::test]
async fn an_empty_entry_is_printed_as_an_empty_block() {
    let (store, mut session) = leaf1("25.3.1");
    put(&store, "/network-instance[name=default]", json!({ "interface": [{ "name": "irb0.100" }] }));
    assert_eq!(
        run(&mut session, "info from state network-instance default").await,
        "    interface irb0.100 {\n    }\n"
    );
}

#[tokio::test]
async fn json_output_starts_at_the_context_and_types_values() {
    let (store, mut session) = leaf1("25.10.1");
    vrf_route(&store);
    let line = "info from state network-instance IP-VRF-1 route-table ipv4-unicast route * | as json";
    let text = run(&mut session, line).await;
    let data: Value = serde_json::from_str(&text).expect("JSON");
    let route = &data["route"][0];
    assert_eq!(route["ipv4-prefix"], "1.2.3.4/32");
    assert_eq!(route["route-type"], "bgp");
    assert_eq!(route["next-hop-group"], "183856865056");
    assert_eq!(route["preference"], 170);
    assert_eq!(route["active"], true);
    assert!(route["last-app-update"].as_str().is_some_and(|it| it.ends_with("(37 minutes ago)")));
    let below = run(&mut session, "info from state network-instance IP-VRF-1 route-table | as json").await;
    assert!(
        below.starts_with("{\n  \"ipv4-unicast\": {\n    \"route\": [\n      {\n        \"ipv4-prefix\""),
        "{below}"
    );
    let yaml = run(&mut session, "info from state network-instance IP-VRF-1 route-table | as yaml").await;
    assert!(yaml.starts_with("---\nipv4-unicast:\n  route:\n  - ipv4-prefix: 1.2.3.4/32\n"), "{yaml}");
}

#[tokio::test]
async fn a_table_shows_the_important_leaves_of_all_entries() {
    let (store, mut session) = leaf1("25.10.1");
    vrf_route(&store);
    let line = "info from state network-instance * route-table ipv4-unicast route * | as table";
    let text = run(&mut session, line).await;
    let header = text.lines().nth(1).unwrap_or_default().to_owned();
    for name in ["Network-instance", "Ipv4-prefix", "Id", "Route-type", "Route-owner", "Metric", "Preference", "Active"]
    {
        assert!(header.contains(name), "{header}");
    }
    assert!(!header.contains("Leakable"), "{header}");
    assert!(text.contains("| 1.2.3.4/32 "), "{text}");
}

#[tokio::test]
async fn detail_shows_defaults_and_no_ages() {
    let (store, mut session) = leaf1("25.10.1");
    vrf_route(&store);
    let text = run(&mut session, "info detail from state network-instance IP-VRF-1 route-table").await;
    assert!(text.contains("last-app-update 20") && !text.contains("ago"), "{text}");
    let text = run(&mut session, "info detail from state network-instance IP-VRF-1").await;
    assert!(text.contains("    admin-state enable\n"), "{text}");
    let text = run(&mut session, "info from state network-instance IP-VRF-1").await;
    assert!(!text.contains("admin-state"), "{text}");
}

#[tokio::test]
async fn flat_depth_and_fields_reshape_the_output() {
    let (store, mut session) = leaf1("25.10.1");
    services(&store);
    let flat = run(&mut session, "info flat from state k8s-services cluster c1 service default name web vip *").await;
    assert_eq!(
        flat,
        "\
/ k8s-services cluster c1 service default name web vip 1.1.1.20 oper-state down
/ k8s-services cluster c1 service default name web vip 1.1.1.100 oper-state up
/ k8s-services cluster c1 service default name web vip 1.1.1.100 preference 169
"
    );
    let shallow = run(&mut session, "info depth 0 from state k8s-services").await;
    assert_eq!(shallow, "    oper-state up\n");
    let deeper = run(&mut session, "info depth 1 from state k8s-services").await;
    assert_eq!(
        deeper,
        "    oper-state up\n    summary {\n        vips 2\n    }\n    cluster c1 {\n        oper-state up\n    }\n"
    );
    let fields = run(&mut session, "info from state k8s-services cluster c1 | filter fields vip/preference").await;
    assert_eq!(fields, "");
    let fields =
        run(&mut session, "info from state k8s-services cluster c1 | filter fields service/vip/preference").await;
    assert_eq!(
        fields,
        r"    service default name api {
        vip 1.1.1.20 {
            preference 169
        }
    }
    service default name web {
        vip 1.1.1.100 {
            preference 169
        }
    }
"
    );
    let grepped = run(&mut session, "info from state k8s-services cluster c1 | grep -A 1 \"vip 1.1.1.100\"").await;
    assert_eq!(grepped, "        vip 1.1.1.100 {\n            oper-state up\n");
}

#[tokio::test]
async fn an_unknown_word_is_an_error_that_lists_the_options() {
    let (store, mut session) = leaf1("25.3.1");
    services(&store);
    let text = fails(&mut session, "info from state k8s-services version2").await;
    assert!(text.starts_with("Parsing error: Unknown token 'version2'. Options are ['"), "{text}");
    assert!(text.contains("'cluster'") && text.contains("'summary'"), "{text}");
    let text = fails(&mut session, "frobnicate").await;
    assert!(text.contains("'network-instance'") && text.contains("'info'") && text.contains("'show'"), "{text}");
    let text = fails(&mut session, "set / system name host-name x").await;
    assert!(text.starts_with("Parsing error: Unknown token 'set'."), "{text}");
    assert!(fails(&mut session, "info from state \"k8s").await.contains("quote"));
    assert!(fails(&mut session, "info from nowhere k8s-services").await.contains("'candidate', 'running', 'state'"));
    assert!(fails(&mut session, "info depth x").await.contains("Wrong value for 'value': Got 'x' expected 0..255"));
}

#[tokio::test]
async fn contexts_are_entered_and_left() {
    let (store, mut session) = leaf1("24.10.1");
    next_hop_group(&store);
    run(&mut session, "network-instance default").await;
    run(&mut session, "route-table").await;
    assert_eq!(session.prompt(), "--{ running }--[ network-instance default route-table ]--\nA:leaf1# ");
    assert!(
        run(&mut session, "info from state next-hop-group 3706426 backup-active").await.contains("backup-active false")
    );
    run(&mut session, "..").await;
    assert_eq!(run(&mut session, "pwc").await, "/ network-instance default\n");
    run(&mut session, "exit").await;
    assert_eq!(session.prompt(), "--{ running }--[  ]--\nA:leaf1# ");
    run(&mut session, "network-instance default route-table").await;
    run(&mut session, "/").await;
    assert_eq!(run(&mut session, "pwc").await, "/ \n");
    run(&mut session, "network-instance default").await;
    run(&mut session, "exit all").await;
    assert_eq!(run(&mut session, "pwc").await, "/ \n");
    assert!(session.execute("quit").await.quit);
}
