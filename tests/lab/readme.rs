//! Compares every lab with its README, and plays its demo.
//!
//! In a README, a block that begins with a prompt (`A:admin@leaf1# command`) is the output of that leaf when all is
//! well. Except for times and blanks, the leaf must print exactly this. `UPDATE_README=1 cargo test --test lab readme`
//! updates the READMEs.

use std::path::Path;

use srl_sim::demo::{self, Demo};

use crate::bench::{Bench, bounded, lab_folder};

const PROMPT: &str = "A:admin@";
const FENCE: &str = "```";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anycast_metallb_prints_what_its_readme_shows() {
    prints_what_its_readme_shows("anycast-metallb").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anycast_cilium_prints_what_its_readme_shows() {
    prints_what_its_readme_shows("anycast-cilium").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_calico_ecmp_prints_what_its_readme_shows() {
    prints_what_its_readme_shows("metallb-calico-ecmp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nanog_multicluster_prints_what_its_readme_shows() {
    prints_what_its_readme_shows("nanog-multicluster").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubeadm_calico_metallb_prints_what_its_readme_shows() {
    prints_what_its_readme_shows("kubeadm-calico-metallb").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arp_kube_vip_prints_what_its_readme_shows() {
    prints_what_its_readme_shows("arp-kube-vip").await;
}

#[test]
fn every_lab_is_listed_and_has_a_demo_and_a_readme_with_outputs() {
    let list = std::fs::read_to_string(lab_folder("README.md")).expect("the list of labs");
    for entry in std::fs::read_dir(lab_folder("")).expect("the labs") {
        let folder = entry.expect("an entry").path();
        if !folder.join("lab.yaml").exists() {
            continue;
        }
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(list.contains(&format!("[{name}]({name}/README.md)")), "lab/README.md does not list {name}");
        assert!(!commands(&read(&folder)).is_empty(), "{name}/README.md shows no output");
        Demo::read(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Plays the demo after checking the README, because both require an unbroken lab. The README shows the output of the
/// default switch; the demo is the same on all.
async fn prints_what_its_readme_shows(lab: &str) {
    let folder = lab_folder(lab);
    let demo = Demo::read(&folder).expect("every lab has a demo");
    let bench = Bench::of(lab).await;
    let mut start = demo.clone();
    start.steps.clear();
    start.show.clear();
    play(&bench, &start).await;
    if std::env::var_os("RELEASE").is_none() {
        compare(&bench, lab, &folder).await;
    }
    play(&bench, &demo).await;
    bench.down().await;
}

/// Compares the README with what the lab prints, or updates it.
async fn compare(bench: &Bench, lab: &str, folder: &Path) {
    let before = read(folder);
    let after = printed(bench, &before).await;
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(folder.join("README.md"), &after).expect("the README can be written");
    } else {
        let (shown, prints) = (normal(&before), normal(&after));
        let differs = shown.iter().zip(&prints).find(|(shown, prints)| shown != prints);
        assert_eq!(differs, None, "lab/{lab}/README.md; UPDATE_README=1 writes it anew");
        assert_eq!(shown.len(), prints.len(), "lab/{lab}/README.md; UPDATE_README=1 writes it anew");
    }
}

async fn play(bench: &Bench, demo: &Demo) {
    let mut out = Vec::new();
    let played = bounded("the demo", demo::run(&bench.lab, demo, &mut out)).await;
    if let Err(error) = played {
        panic!("{}\n{error}", String::from_utf8_lossy(&out));
    }
}

fn read(folder: &Path) -> String {
    let path = folder.join("README.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns leaf and command of every block that shows an output.
fn commands(readme: &str) -> Vec<(&str, &str)> {
    readme.lines().filter_map(prompt).collect()
}

fn prompt(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix(PROMPT)?.split_once("# ")
}

/// Returns the README with what each leaf prints now.
pub(crate) async fn printed(bench: &Bench, readme: &str) -> String {
    let mut text = String::new();
    let mut stale = false;
    for line in readme.lines() {
        if line == FENCE {
            stale = false;
        }
        if !stale {
            text.push_str(line);
            text.push('\n');
        }
        if let Some((leaf, command)) = prompt(line) {
            let output = bench.cli(leaf, command).await;
            text.extend(output.trim_end().lines().flat_map(|line| [line.trim_end(), "\n"]));
            stale = true;
        }
    }
    text
}

/// Returns the lines without what differs between runs.
fn normal(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")).map(ageless).collect()
}

/// Replaces times and durations.
fn word(word: &str) -> &str {
    let time = word.trim_matches('"');
    let is_time = time.len() == "2026-01-02T03:04:05.678Z".len() && time.ends_with('Z') && time.starts_with("20");
    let is_span = word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with('s') && word.contains("h:");
    if is_time || is_span { "<time>" } else { word }
}

/// Removes an age such as `(3 seconds ago)`.
fn ageless(line: String) -> String {
    match line.split_once("<time> (") {
        Some((before, _)) => format!("{before}<time>"),
        None => line,
    }
}
