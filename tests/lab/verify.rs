//! Tests of `srl-sim verify` with emulated leaves over TCP: it must find where they differ.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use srl_sim::demo::{Demo, Difference, Survey};
use srl_sim::gnmi::Gnmi;
use srl_sim::lab::control::Listener;
use srl_sim::lab::{Action, LabFile};
use srl_sim::profile::Profile;
use srl_sim::verify::{self, Deed, Inventory};

use crate::bench::Says::Is;
use crate::bench::{Bench, bounded, lab_folder};

const LAB: &str = "anycast-metallb";

/// Leaves whose gNMI server does not know FIB programming, so that their agents cannot know whether a route is
/// programmed.
fn without_programming() -> Profile {
    let mut profile = Profile::default();
    profile.gnmi.unknown = ["fib-programming", "fib-failed-routes"].map(str::to_owned).to_vec();
    profile
}

/// Writes the inventory of a bench, with these additional lines.
fn inventory(bench: &Bench, name: &str, more: &str) -> PathBuf {
    let mut text = format!("lab: {}\nusername: admin\npatience: 0.2\nleaves:\n", lab_folder(LAB).display());
    for leaf in bench.lab.leaves().keys() {
        let address = bench.lab.gnmi_server(leaf).and_then(Gnmi::tcp_address).expect("gNMI listens on TCP");
        let _ = writeln!(text, "  {leaf}: {{ gnmi: 'http://{address}' }}");
    }
    let _ = writeln!(text, "password-file: {}\n{more}", bench.leaf("leaf1").password_file().display());
    let path = bench.lab.run_folder().join(name);
    std::fs::write(&path, text).expect("written");
    path
}

async fn verified(inventory: &std::path::Path, steps: &[usize]) -> (Survey, String) {
    let mut out = Vec::new();
    let found = bounded("the comparison", verify::run(inventory, steps, &mut out)).await;
    (found.unwrap_or_else(|error| panic!("{error}")), String::from_utf8(out).expect("text"))
}

#[test]
fn inventories_name_the_leaves_of_their_lab_and_actions_of_its_demo() {
    let labs = lab_folder("");
    let folders = std::fs::read_dir(&labs).expect("the labs").map(|entry| entry.expect("an entry").path());
    let inventories: Vec<PathBuf> =
        folders.map(|folder| folder.join("containerlab/verify.yaml")).filter(|path| path.exists()).collect();
    assert!(!inventories.is_empty());
    for path in inventories {
        let inventory = Inventory::read(&path).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let lab = LabFile::read(&inventory.lab).expect("a lab").content;
        assert!(inventory.leaves.keys().eq(lab.fabric.leaves.keys()), "{}", path.display());
        assert!(inventory.password_file.exists(), "{}", inventory.password_file.display());
        let demo = Demo::read(&inventory.lab).expect("a demo");
        let known: Vec<&Action> = demo.steps.iter().flat_map(|step| step.actions.iter().chain(&step.heal)).collect();
        for instead in &inventory.actions {
            assert!(known.contains(&&instead.action), "{}: {}", path.display(), instead.action.summary());
            for deed in &instead.run {
                if let Deed::Typed { leaf, .. } | Deed::Committed { leaf, .. } = deed {
                    assert!(inventory.leaves.contains_key(leaf), "{}: {leaf}", path.display());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deviations_of_leaves_are_listed_and_the_demo_continues() {
    let bench = Bench::start(LAB, without_programming(), |_| {}).await;
    for leaf in bench.lab.leaves().keys() {
        bench.until(leaf, &[("oper-state", Is("up")), ("fib-status", Is("unknown"))]).await;
    }
    let run = bench.lab.run_folder();
    let listener = Listener::bind(run).await.expect("a socket");
    let lab = Arc::clone(&bench.lab);
    let serving = tokio::spawn(async move { listener.serve(lab).await });

    let whole = inventory(&bench, "whole.yaml", &format!("emulated: {}", run.display()));
    let (found, text) = verified(&whole, &[1, 5]).await;
    let differences = ["leaf1", "leaf2", "leaf3"].map(|leaf| Difference {
        step: "start".to_owned(),
        leaf: leaf.to_owned(),
        path: "fib-status".to_owned(),
        emulated: "programmed".to_owned(),
        device: "unknown".to_owned(),
    });
    assert_eq!(found, Survey { same: vec![1, 5], skipped: Vec::new(), differences: differences.to_vec() }, "{text}");
    for line in [
        "leaf1: release v25.3.1, agent ",
        "leaf4# info from state k8s-services cluster c1",
        " 1  The BGP session between leaf1 and its node goes down",
        "    leaf1  degraded  session-down",
        " 5  All replicas go",
        "    every leaf is well again",
        "2 steps as emulated, 0 not done, 3 differences",
        "start  leaf3  fib-status  programmed  unknown",
    ] {
        assert!(text.lines().any(|shown| shown.starts_with(line)), "no line '{line}' in:\n{text}");
    }

    // The inventory has nothing that pulls a lever. This is reported, and nothing is healed that was not broken.
    let bare = inventory(&bench, "bare.yaml", "");
    let (found, text) = verified(&bare, &[1]).await;
    assert_eq!(found.skipped, [(1, "the inventory has no command for this action".to_owned())], "{text}");
    assert_eq!((found.same.len(), found.differences.len()), (0, 3), "{text}");
    serving.abort();
    bench.down().await;
}
