//! A lab in operation: emulated leaves, embedded clusters, the fabric model between them, and an agent on every leaf.
//!
//! [`Lab::up`] starts everything in order and waits, within bounds, for each part to be there: clusters, leaves with
//! their tables, applications registered, configuration committed. From then on one task follows the clusters: what
//! changes there goes through the fabric model into every leaf's tables. [`Lab::act`] does things to a lab, the
//! [control socket](control) lets other processes do so, [`Lab::down`] ends it and leaves nothing behind but logs.

mod act;
mod action;
pub mod control;
mod file;
mod gateway;
pub mod page;
mod start;
#[cfg(test)]
mod tests;
mod view;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::act::ActionError;
pub use self::action::{Action, ApiServerFault, ServiceFault};
pub use self::file::{LabApp, LabContent, LabFile, LabFileError};
pub use self::start::{LabOptions, StartError};
pub use self::view::ViewError;

pub(crate) use self::file::read_yaml;
pub(crate) use self::view::Changes;

use crate::cluster::{Cluster, Server};
use crate::gnmi::Gnmi;
use crate::leaf::Leaf;

use self::gateway::Gateway;
use self::world::World;

/// A running lab. Dropping it ends everything at once; [`Lab::down`] does so in good order.
pub struct Lab {
    file: LabFile,
    run: PathBuf,
    world: Arc<World>,
    clusters: BTreeMap<String, RunningCluster>,
    /// The ways from leaves to API servers, by leaf and cluster, where a filter stands between them.
    gateways: BTreeMap<(String, String), LeafGateway>,
    apps: Vec<String>,
    changes: watch::Sender<u64>,
    /// Those that follow the clusters and the leaves; they end with the lab.
    _followers: JoinSet<()>,
}

/// A cluster and how to reach it.
struct RunningCluster {
    cluster: Cluster,
    server: Server,
    kubeconfig: PathBuf,
}

/// A way to a cluster's API server, and the kubeconfig file that goes it.
struct LeafGateway {
    gateway: Gateway,
    kubeconfig: PathBuf,
}

impl Lab {
    /// What it was started from.
    pub fn file(&self) -> &LabFile {
        &self.file
    }

    /// The folder of its sockets and logs.
    pub fn run_folder(&self) -> &Path {
        &self.run
    }

    /// Its leaves by name.
    pub fn leaves(&self) -> &BTreeMap<String, Leaf> {
        &self.world.leaves
    }

    /// Its spines by name; nothing runs there.
    pub fn spines(&self) -> &BTreeMap<String, Leaf> {
        &self.world.spines
    }

    /// The clusters' names, API addresses and kubeconfig files.
    pub fn clusters(&self) -> impl Iterator<Item = (&String, SocketAddr, &Path)> {
        self.clusters.iter().map(|(name, it)| (name, it.server.address(), it.kubeconfig.as_path()))
    }

    /// Where a leaf reaches a cluster's API, and its kubeconfig file for that.
    pub fn access(&self, leaf: &str, cluster: &str) -> Option<(SocketAddr, &Path)> {
        let direct = self.clusters.get(cluster).map(|it| (it.server.address(), it.kubeconfig.as_path()));
        let gateway = self.gateways.get(&(leaf.to_owned(), cluster.to_owned()));
        gateway.map(|it| (it.gateway.address(), it.kubeconfig.as_path())).or(direct)
    }

    /// A cluster.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.get(name).map(|it| &it.cluster)
    }

    /// The gNMI server of a leaf.
    pub fn gnmi_server(&self, leaf: &str) -> Option<&Gnmi> {
        self.world.leaves.get(leaf).map(Leaf::gnmi)
    }

    /// The files applications of a leaf write their output to.
    pub fn logs(&self, leaf: &str) -> Vec<PathBuf> {
        let leaf = self.world.leaves.get(leaf);
        leaf.map(|leaf| self.apps.iter().map(|app| leaf.apps().log_file(app)).collect()).unwrap_or_default()
    }

    /// The socket of a leaf's CLI, in the run folder of a lab.
    pub fn cli_socket(run: &Path, leaf: &str) -> PathBuf {
        crate::leaf::cli_socket(&run.join(leaf))
    }

    /// Stops applications, leaves and clusters.
    pub async fn down(self) {
        let stops = self.world.leaves.values().map(|leaf| async { leaf.apps().stop_all().await });
        futures::future::join_all(stops).await;
    }
}
