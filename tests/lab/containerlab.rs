//! Checks the labs for real devices as far as possible without devices: consistent topologies, existing files, and
//! configurations that the emulated leaf's CLI accepts as far as its YANG goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use srl_sim::cli::{Session, SessionOptions};
use srl_sim::datastore::Datastore;
use srl_sim::schema::Schema;

use crate::bench::lab_folder;

const LABS: [&str; 5] =
    ["anycast-metallb", "anycast-cilium", "metallb-calico-ecmp", "nanog-multicluster", "kubeadm-calico-metallb"];
/// Files that `make release` builds and that are not checked in.
const BUILT: [&str; 1] = ["dist/k8s-services-x86_64"];
/// Files that must be mounted on every leaf for the agent to run there.
const MOUNTED: [&str; 4] = [
    "/usr/local/bin/k8s-services",
    "/etc/opt/srlinux/appmgr/k8s-services.yml",
    "/opt/k8s-services/yang/k8s-services.yang",
    "/etc/opt/srlinux/k8s-services/lab.cfg",
];

#[derive(Deserialize)]
struct File {
    name: String,
    topology: Topology,
}

#[derive(Deserialize)]
struct Topology {
    kinds: BTreeMap<String, Kind>,
    #[serde(default)]
    groups: BTreeMap<String, Node>,
    nodes: BTreeMap<String, Node>,
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Kind {
    image: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Node {
    kind: Option<String>,
    group: Option<String>,
    startup_config: Option<PathBuf>,
    #[serde(default)]
    binds: Vec<String>,
    #[serde(default)]
    exec: Vec<String>,
}

#[derive(Deserialize)]
struct Link {
    endpoints: [String; 2],
}

impl File {
    fn read(lab: &str) -> Self {
        let path = folder(lab).join("topology.clab.yml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the nodes with the additions of their groups.
    fn nodes(&self) -> impl Iterator<Item = (&String, Node)> {
        self.topology.nodes.iter().map(|(name, node)| {
            let mut node = node.clone();
            let group = node.group.as_ref().map(|group| &self.topology.groups[group]);
            if let Some(group) = group {
                node.kind = node.kind.or(group.kind.clone());
                node.binds.extend(group.binds.iter().cloned());
                node.exec.extend(group.exec.iter().cloned());
            }
            (name, node)
        })
    }

    fn switches(&self) -> impl Iterator<Item = (&String, Node)> {
        self.nodes().filter(|(_, node)| node.kind.as_deref() == Some("nokia_srlinux"))
    }
}

fn folder(lab: &str) -> PathBuf {
    lab_folder(lab).join("containerlab")
}

/// Returns a path relative to the repository.
fn in_repository(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("in the repository").iter() {
        match part.to_str().expect("ASCII") {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn topologies_are_consistent() {
    for lab in LABS {
        let file = File::read(lab);
        assert_eq!(file.name, lab);
        let mut used = BTreeSet::new();
        for endpoint in file.topology.links.iter().flat_map(|link| &link.endpoints) {
            let (node, _) = endpoint.split_once(':').unwrap_or_else(|| panic!("{lab}: {endpoint}"));
            assert!(file.topology.nodes.contains_key(node), "{lab}: {endpoint} is of no node");
            assert!(used.insert(endpoint), "{lab}: {endpoint} has two cables");
        }
        for (name, node) in file.nodes() {
            let kind = node.kind.unwrap_or_else(|| panic!("{lab}: {name} has no kind"));
            let image = file.topology.kinds.get(&kind).map(|kind| kind.image.as_deref());
            assert!(image.is_some() || kind == "ext-container", "{lab}: {name} is of unknown kind {kind}");
            assert!(!image.flatten().is_some_and(|image| image.ends_with(":latest")), "{lab}: {kind} has no release");
        }
    }
}

#[test]
fn every_emulated_leaf_is_a_switch_that_mounts_the_agent_and_existing_files() {
    for lab in LABS {
        let file = File::read(lab);
        let emulated = srl_sim::lab::LabFile::read(&lab_folder(lab)).expect("readable");
        let switches: BTreeMap<&String, Node> = file.switches().collect();
        for leaf in emulated.content.fabric.leaves.keys() {
            let node = switches.get(leaf).unwrap_or_else(|| panic!("{lab}: no switch {leaf}"));
            let targets: BTreeSet<&str> = node.binds.iter().filter_map(|bind| bind.split(':').nth(1)).collect();
            for target in MOUNTED {
                assert!(targets.contains(target), "{lab}: {leaf} has no {target}");
            }
            assert!(node.exec.iter().any(|command| command.contains("start-agent")), "{lab}: {leaf} starts no agent");
        }
        for (name, node) in file.nodes() {
            let sources = node.binds.iter().filter_map(|bind| bind.split(':').next()).map(PathBuf::from);
            for source in sources.chain(node.startup_config) {
                let path = folder(lab).join(source);
                let known = path.exists() || BUILT.contains(&in_repository(&path).as_str());
                assert!(known, "{lab}: {name} needs {}, which is not there", path.display());
            }
        }
    }
}

#[tokio::test]
async fn device_configurations_are_valid_as_far_as_the_emulated_yang_goes() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("yang");
    let schema = Schema::load(&[own], &["k8s-services".to_owned()]).expect("the YANG loads");
    for lab in LABS {
        let entries = std::fs::read_dir(folder(lab)).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "cfg")).collect();
        files.sort();
        assert!(!files.is_empty(), "{lab} has configurations");
        for path in files {
            let text = std::fs::read_to_string(&path).expect("readable");
            check(&schema, &path, &text).await;
        }
    }
}

/// Enters every line of a configuration. The lines for the agent and the NDK server must be accepted.
async fn check(schema: &Arc<Schema>, path: &Path, text: &str) {
    let options = SessionOptions::new("leaf1", "v25.3.1");
    let mut session = Session::new(Datastore::new(schema.clone()), options, None);
    session.script("enter candidate private", true).await;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("set ")) {
        let output = session.script(line, true).await;
        let beyond = output.text.contains("Unknown token");
        let own = line.starts_with("set / k8s-services") || line.starts_with("set / system ndk-server");
        let accepted = output.status == 0 || (beyond && !own);
        assert!(accepted, "{}:{}: {line}\n{}", path.display(), number + 1, output.text);
    }
}

#[test]
fn a_device_has_the_same_cluster_configuration_as_its_emulated_leaf() {
    for lab in LABS {
        let emulated = srl_sim::lab::LabFile::read(&lab_folder(lab)).expect("readable");
        let file = File::read(lab);
        for (leaf, node) in file.switches().filter(|(leaf, _)| emulated.content.fabric.leaves.contains_key(*leaf)) {
            let bind = node.binds.iter().find(|bind| bind.ends_with(":/etc/opt/srlinux/k8s-services/lab.cfg:ro"));
            let source = bind.and_then(|bind| bind.split(':').next()).unwrap_or_else(|| panic!("{lab}: {leaf}"));
            let device = std::fs::read_to_string(folder(lab).join(source)).expect("readable");
            let own = emulated.content.leaf_config.get(leaf).map(String::as_str).unwrap_or_default();
            let told = format!("{}\n{own}", emulated.content.config);
            assert_eq!(about_clusters(&device), about_clusters(&told), "{lab}: {leaf}");
        }
    }
}

/// Returns the configuration that does not depend on where files and sockets are.
fn about_clusters(config: &str) -> BTreeSet<&str> {
    let lines = config.lines().map(str::trim).filter(|line| line.starts_with("set / k8s-services cluster "));
    lines.filter(|line| !line.contains(" kubeconfig ") && !line.contains(" network-namespace ")).collect()
}
