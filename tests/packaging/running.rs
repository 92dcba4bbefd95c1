//! Runs the installed files by the emulated application manager, with a kubeconfig from `make-kubeconfig`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use srl_sim::lab::{Lab, LabFile, LabOptions};
use srl_sim::profile::Profile;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use crate::build::{Arch, NEW, package};
use crate::kubeconfig::{Kubectl, TOKEN};
use crate::repository;
use crate::root::Root;

const PATIENCE: Duration = Duration::from_secs(30);
/// Path of the state of the lab's only VIP.
pub(crate) const VIP: &str =
    "/k8s-services/cluster[name=c1]/service[namespace=default][name=nginxhello]/vip[address=1.1.1.100]/oper-state";
const API: &str = "/k8s-services/summary/source[name=kubernetes/c1]/oper-state";

/// Paths of an installation's files.
pub(crate) struct Installed {
    definition: PathBuf,
    yang: PathBuf,
    programs: PathBuf,
}

impl Installed {
    /// Returns the files that a package installed into a root.
    fn in_root(root: &Root) -> Self {
        Self {
            definition: root.path("/etc/opt/srlinux/appmgr/k8s-services.yml"),
            yang: root.path("/opt/k8s-services/yang"),
            programs: root.path("/usr/local/bin"),
        }
    }

    /// Returns the files of this build, where they are.
    pub(crate) fn of_this_build(program: &Path) -> Self {
        Self {
            definition: repository().join("appmgr/k8s-services.yml"),
            yang: repository().join("yang"),
            programs: program.parent().expect("a program is in a folder").to_owned(),
        }
    }

    /// Starts the anycast lab with these files on its leaves.
    pub(crate) async fn lab(&self, run: &Path) -> Lab {
        let mut file = LabFile::read(&repository().join("lab/anycast-metallb")).expect("the lab is readable");
        for app in &mut file.content.apps {
            app.definition.clone_from(&self.definition);
            app.yang.clone_from(&self.yang);
        }
        let options = LabOptions {
            run: run.to_owned(),
            programs: self.programs.clone(),
            gnmi_port: None,
            api_port: None,
            profile: Profile::default(),
        };
        Lab::up(file, options, |_| {}).await.expect("the lab comes up")
    }
}

/// Waits until a leaf in state has a value.
pub(crate) async fn until(lab: &Lab, leaf: &str, path: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut news = lab.leaves()[leaf].datastore().subscribe();
    loop {
        let value = lab.read(leaf, path).expect("the schema knows the path");
        if value.as_deref() == Some(expected) {
            return;
        }
        let next = timeout_at(deadline, news.recv()).await;
        if !matches!(next, Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_)))) {
            let log = lab.leaves()[leaf].apps().log_file("k8s-services");
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("{leaf}: {path} is {value:?} in place of {expected}; the agent's log:\n{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_installed_files_run_under_app_mgr_with_a_generated_kubeconfig() {
    let root = Root::new();
    root.install(&package(NEW, Arch::own()));
    let run = tempfile::Builder::new().prefix("lab").tempdir().expect("a folder");
    let lab = Installed::in_root(&root).lab(run.path()).await;
    for leaf in ["leaf1", "leaf4"] {
        until(&lab, leaf, VIP, "up").await;
    }

    // The API server requires the token of the leaves' service account.
    let cluster = lab.cluster("c1").expect("the lab's cluster");
    cluster.set_token(Some(TOKEN));
    cluster.drop_watches();
    until(&lab, "leaf1", API, "stale").await;
    let (_, address, _) = lab.clusters().next().expect("the lab's cluster");
    let kubectl = Kubectl::new(&format!("http://{address}"));
    let kubeconfig = kubectl.folder().join("c1.kubeconfig");
    let made = kubectl.make_kubeconfig(&["--server", &format!("http://{address}"), "--name", "c1"]);
    assert!(made.contains("c1.kubeconfig: context c1"), "{made}");
    // A folder from which the lab's agents may read credentials.
    let placed = run.path().join("made.kubeconfig");
    std::fs::copy(&kubeconfig, &placed).expect("copied, with its mode");
    let line = format!("set / k8s-services cluster c1 kubeconfig {}", placed.display());
    let commit = format!("enter candidate private\n{line}\ncommit now\n");
    lab.cli("leaf1", &commit).await.expect("committed");
    until(&lab, "leaf1", API, "synced").await;
    until(&lab, "leaf1", VIP, "up").await;

    lab.down().await;
}
