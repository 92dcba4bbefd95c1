//! Tests fcli, a fleet tool with reports over gNMI, on all switches of the anycast lab: leaves that run the agent, and
//! spines.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use super::clients::{PASSWORD, USER};
use crate::bench::Says::Is;
use crate::bench::{Bench, bounded};
use crate::peers::peer;

/// fcli with the inventory of a lab.
struct Fcli {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Fcli {
    /// Sets up the installed fcli. If it is not installed, says so and returns `None`.
    fn on(bench: &Bench) -> Option<Self> {
        let program = peer("fcli").map_err(|why| crate::net::skipped(&why)).ok()?.join("bin/python");
        let folder = tempfile::tempdir().expect("a folder");
        let switches = bench.lab.leaves().iter().chain(bench.lab.spines());
        let hosts = switches.map(|(name, switch)| {
            let address = switch.gnmi().tcp_address().expect("it listens");
            let extras = json!({ "insecure": true, "skip_verify": false });
            let host = json!({
                "hostname": address.ip().to_string(),
                "port": address.port(),
                "username": USER,
                "password": PASSWORD,
                "platform": "srlinux",
                "connection_options": { "srlinux": { "extras": extras } },
            });
            (name.clone(), host)
        });
        let hosts: serde_json::Map<String, Value> = hosts.collect();
        let write = |name: &str, value: &Value| {
            let path = folder.path().join(name);
            std::fs::write(&path, value.to_string()).map(|()| path).expect("a file")
        };
        // JSON is valid YAML.
        let hosts = write("hosts.yaml", &Value::Object(hosts));
        let groups = write("groups.yaml", &json!({}));
        let options = json!({ "host_file": hosts, "group_file": groups });
        write(
            "nornir.yaml",
            &json!({
                "inventory": { "plugin": "SimpleInventory", "options": options },
                "logging": { "enabled": false },
            }),
        );
        Some(Self { program, folder })
    }

    /// Returns a report as JSON. Panics if fcli fails.
    async fn report(&self, arguments: &[&str]) -> String {
        let (printed, success) = self.run(arguments).await;
        assert!(success, "fcli {arguments:?}: {printed}");
        printed
    }

    /// Returns a report that may fail because it has complaints.
    async fn complaints(&self, report: &str) -> String {
        self.run(&[report]).await.0
    }

    /// Returns the leaves that hand packets from a leaf to an address over to a neighbor, with the neighbor's address.
    async fn handed_off(&self, leaf: &str, address: &str) -> BTreeSet<(String, String)> {
        let printed = self.report(&["path", leaf, address, "-n", "ip-vrf-1"]).await;
        let hops: Vec<Value> = serde_json::from_str(&printed).expect("JSON");
        let ends = hops.iter().filter(|hop| hop["outcome"] == "handed-off");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ends.map(|hop| (text(&hop["node"]), text(&hop["next_hops"][0]))).collect()
    }

    async fn run(&self, arguments: &[&str]) -> (String, bool) {
        let config = self.folder.path().join("nornir.yaml");
        let entry = "from nornir_srl.cli import app; app()";
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(entry).arg("-c").arg(&config).args(["-o", "json"]).args(arguments);
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = bounded(&format!("fcli {arguments:?}"), command.output()).await.expect("fcli runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!err.contains("rror") && !err.contains("Traceback"), "fcli {arguments:?}: {err}");
        (out.into_owned(), output.status.success())
    }
}

/// Each report, with parts of its output when nothing is wrong in the lab.
const REPORTS: &[(&[&str], &[&str])] = &[
    (&["sys-info"], &["7220 IXR-D2L", "25.3.1"]),
    (&["bgp-rib", "-r", "ipv4"], &["1.1.1.100/32", "192.168.1.11"]),
    (&["ipv4-rib"], &["1.1.1.100/32", "192.168.1.11", "10.0.1.3"]),
    (&["ni"], &["ip-vrf-1", "irb1.1", "subnetA"]),
    (&["subif"], &["irb1.1", "192.168.1.1/24", "ethernet-1/1.0"]),
    (&["arp"], &["192.168.1.11", "AA:C1:AB:", "dynamic", "evpn"]),
    (&["mac"], &["AA:C1:AB:", "ethernet-1/1.0", "10.0.1.2"]),
    (&["vxlan"], &["vxlan1.3", "10.0.1.3"]),
    (&["bgp-peers"], &["192.168.1.11", "established", "10.1.0.1", "evpn"]),
    (&["lldp"], &["spine1", "ethernet-1/49"]),
    (&["irb"], &["irb1.1", "192.168.1.1/24", "subnetA"]),
    (&["where", "192.168.1.11"], &["ethernet-1/1.0", "AA:C1:AB:", "10.0.1.1"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fcli_reports_the_state_of_the_fabric() {
    let bench = Bench::healthy().await;
    let Some(fcli) = Fcli::on(&bench) else { return };
    for (arguments, expected) in REPORTS {
        let printed = fcli.report(arguments).await;
        for text in *expected {
            assert!(printed.contains(text), "fcli {arguments:?} lacks {text}:\n{printed}");
        }
    }
    bench.act(&["pull: { link-down: { node: cluster1 } }"]).await;
    let entries = fcli.report(&["arp"]).await;
    assert!(!entries.contains("\"192.168.1.11\"") && entries.contains("\"192.168.1.12\""), "{entries}");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fcli_traces_routes_to_the_nodes_that_the_verdict_counts() {
    let bench = Bench::healthy().await;
    let Some(fcli) = Fcli::on(&bench) else { return };
    let behind = |leaves: &[u8]| -> BTreeSet<(String, String)> {
        leaves.iter().map(|leaf| (format!("leaf{leaf}"), format!("192.168.1.1{leaf}"))).collect()
    };
    assert_eq!(fcli.handed_off("leaf4", "1.1.1.100").await, behind(&[1, 2, 3]));
    assert_eq!(fcli.complaints("checks").await.trim(), "[]");
    assert_eq!(fcli.complaints("incidents").await.trim(), "[]");

    bench.act(&["pull: { link-down: { node: cluster1 } }"]).await;
    bench.until("leaf4", &[("installed-next-hops", Is("2"))]).await;
    assert_eq!(fcli.handed_off("leaf4", "1.1.1.100").await, behind(&[2, 3]));
    let complaints = fcli.complaints("checks").await;
    for said in ["itf_down", "ethernet-1/1.0", "bgp_down", "ip-vrf-1/192.168.1.11"] {
        assert!(complaints.contains(said), "{said}: {complaints}");
    }
    let incidents = fcli.complaints("incidents").await;
    assert!(incidents.contains("leaf1 e1/1: interface down"), "{incidents}");

    let dead = ["cluster1-m02", "cluster1-m03"].map(|node| format!("pull: {{ speaker-dead: {{ node: {node} }} }}"));
    bench.act(&dead.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.until("leaf4", &[("oper-state", Is("down"))]).await;
    assert_eq!(fcli.handed_off("leaf4", "1.1.1.100").await, behind(&[]));
    bench.down().await;
}
