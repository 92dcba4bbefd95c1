//! A running lab: emulated leaves, embedded clusters, the fabric model between them, and an agent on every leaf.
//!
//! [`Lab::up`] starts everything in order and waits, within limits, for each part: clusters, leaves with their tables,
//! registered applications, committed configuration. From then on one task follows the clusters and applies their
//! changes through the fabric model to every leaf's tables. [`Lab::act`] performs actions, the [control
//! socket](control) lets other processes do so, and [`Lab::down`] ends the lab and leaves only logs behind.

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

/// A running lab. Dropping it ends everything at once; [`Lab::down`] ends it in order.
pub struct Lab {
    file: LabFile,
    run: PathBuf,
    world: Arc<World>,
    clusters: BTreeMap<String, RunningCluster>,
    /// Gateways by leaf and cluster, if a filter is between leaf and API server.
    gateways: BTreeMap<(String, String), LeafGateway>,
    apps: Vec<String>,
    changes: watch::Sender<u64>,
    /// Tasks that follow the clusters and the leaves. They end with the lab.
    _followers: JoinSet<()>,
}

/// A cluster and how to reach it.
struct RunningCluster {
    cluster: Cluster,
    server: Server,
    kubeconfig: PathBuf,
}

/// A gateway to a cluster's API server, and the kubeconfig file that uses it.
struct LeafGateway {
    gateway: Gateway,
    kubeconfig: PathBuf,
}

impl Lab {
    /// Returns the file it was started from.
    pub fn file(&self) -> &LabFile {
        &self.file
    }

    /// Returns the folder of its sockets and logs.
    pub fn run_folder(&self) -> &Path {
        &self.run
    }

    /// Returns its leaves by name.
    pub fn leaves(&self) -> &BTreeMap<String, Leaf> {
        &self.world.leaves
    }

    /// Returns its spines by name. No applications run on them.
    pub fn spines(&self) -> &BTreeMap<String, Leaf> {
        &self.world.spines
    }

    /// Returns the clusters' names, API addresses and kubeconfig files.
    pub fn clusters(&self) -> impl Iterator<Item = (&String, SocketAddr, &Path)> {
        self.clusters.iter().map(|(name, it)| (name, it.server.address(), it.kubeconfig.as_path()))
    }

    /// Returns the address at which a leaf reaches a cluster's API, and the kubeconfig file for it.
    pub fn access(&self, leaf: &str, cluster: &str) -> Option<(SocketAddr, &Path)> {
        let direct = self.clusters.get(cluster).map(|it| (it.server.address(), it.kubeconfig.as_path()));
        let gateway = self.gateways.get(&(leaf.to_owned(), cluster.to_owned()));
        gateway.map(|it| (it.gateway.address(), it.kubeconfig.as_path())).or(direct)
    }

    /// Returns a cluster.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.get(name).map(|it| &it.cluster)
    }

    /// Returns the gNMI server of a leaf.
    pub fn gnmi_server(&self, leaf: &str) -> Option<&Gnmi> {
        self.world.leaves.get(leaf).map(Leaf::gnmi)
    }

    /// Returns the files to which applications of a leaf write their output.
    pub fn logs(&self, leaf: &str) -> Vec<PathBuf> {
        let leaf = self.world.leaves.get(leaf);
        leaf.map(|leaf| self.apps.iter().map(|app| leaf.apps().log_file(app)).collect()).unwrap_or_default()
    }

    /// Returns the socket of a leaf's CLI in the run folder of a lab.
    pub fn cli_socket(run: &Path, leaf: &str) -> PathBuf {
        crate::leaf::cli_socket(&run.join(leaf))
    }

    /// Stops applications, leaves and clusters.
    pub async fn down(self) {
        let stops = self.world.leaves.values().map(|leaf| async { leaf.apps().stop_all().await });
        futures::future::join_all(stops).await;
    }
}
