//! Performs actions on a running lab.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast;

use crate::appmgr::{Operation, OperationError};
use crate::cluster::{ApiError, Cluster};
use crate::fabric::{FabricError, Lever};
use crate::gnmi::GnmiError;
use crate::leaf::{CommandRefused, Leaf};
use crate::ndk::{Ndk, NdkError, NdkEvent};

use super::action::{ApiServerFault, ServiceFault};
use super::{Action, Lab, LabFileError};

/// Time within which an application must be back after an action on it or on the NDK.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// Time for which programming of a route fails before it succeeds.
const FAILED_FOR: Duration = Duration::from_secs(3);

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The lab has nothing with this name.
    #[error("this lab has no {what} '{name}' (it has {known})")]
    Unknown {
        /// Kind of the named thing.
        what: &'static str,
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The fabric refuses.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// The cluster refuses.
    #[error(transparent)]
    Cluster(#[from] ApiError),
    /// A file of the lab cannot be read.
    #[error(transparent)]
    File(#[from] LabFileError),
    /// The NDK cannot start.
    #[error(transparent)]
    Ndk(#[from] NdkError),
    /// The gNMI server cannot start.
    #[error(transparent)]
    Gnmi(#[from] GnmiError),
    /// The application manager refuses.
    #[error(transparent)]
    App(#[from] OperationError),
    /// A command on a leaf's CLI, or the commit, is refused.
    #[error("{leaf}: {source}")]
    Cli {
        /// The leaf.
        leaf: String,
        /// Why it is refused.
        source: CommandRefused,
    },
    /// It is not possible in a real lab.
    #[error("{0}")]
    Device(String),
    /// The lever would break nothing.
    #[error("{} changes nothing on any leaf now: it needs {}", .0.summary(), .0.needs())]
    Void(Lever),
    /// The lever is not pulled.
    #[error("that lever is not pulled")]
    NotPulled,
    /// The operation does not exist.
    #[error("unknown operation '{0}' (known: start, stop, restart, reload, quit, kill)")]
    Operation(String),
    /// The application was not back in time.
    #[error("{leaf}'s {app} did not register again within {} s: see {}", BACK_WITHIN.as_secs(), log.display())]
    NotBack {
        /// The leaf.
        leaf: String,
        /// The application.
        app: String,
        /// Its log file.
        log: std::path::PathBuf,
    },
}

impl Lab {
    /// Performs an action for somebody who wants to see its effect: a lever that would change nothing is refused, with
    /// what it needs.
    ///
    /// # Errors
    /// Like [`Lab::act`], and [`ActionError::Void`] for a lever without effect.
    pub async fn show(&self, action: &Action) -> Result<(), ActionError> {
        match action {
            Action::Pull(lever) if !self.world.would_change(lever)? => Err(ActionError::Void(lever.clone())),
            action => self.act(action).await,
        }
    }

    /// Performs an action. If applications must register again because of it, waits until they have.
    ///
    /// # Errors
    /// [`ActionError`] with what is missing or refuses.
    pub async fn act(&self, action: &Action) -> Result<(), ActionError> {
        match action {
            Action::Pull(lever @ Lever::FibRecovered { leaf, prefix }) => {
                // What a switch shows afterwards depends on what happened before.
                let failed = Lever::FibFailed { leaf: leaf.clone(), prefix: *prefix };
                self.world.pull(failed.clone())?;
                tokio::time::sleep(FAILED_FOR).await;
                self.world.replace(&failed, lever.clone())?;
            }
            Action::Pull(lever) => self.world.pull(lever.clone())?,
            Action::Release(lever) => {
                if !self.world.release(lever) {
                    return Err(ActionError::NotPulled);
                }
            }
            Action::ReleaseAll => self.world.release_all(),
            Action::Scale { cluster, object, replicas } => {
                self.cluster_named(cluster)?.scale(&object.namespace, &object.name, *replicas)?;
            }
            Action::Patch { cluster, kind, object, patch } => {
                self.cluster_named(cluster)?.patch(kind, &object.namespace, &object.name, patch)?;
            }
            Action::Delete { cluster, kind, object } => {
                self.cluster_named(cluster)?.delete(kind, &object.namespace, &object.name)?;
            }
            Action::Apply { cluster, file } => {
                let manifest = self.file.text(file)?;
                self.cluster_named(cluster)?.load(&manifest)?;
            }
            Action::Pods { cluster, node, ready } => self.pods(cluster, node, *ready)?,
            Action::ApiServer { cluster, to } => self.api_server(cluster, *to).await?,
            Action::Ndk { leaf, to } => {
                for leaf in self.leaves_named(leaf)? {
                    self.ndk(leaf, *to).await?;
                }
            }
            Action::Gnmi { leaf, to } => {
                for leaf in self.leaves_named(leaf)? {
                    self.gnmi(leaf, *to).await?;
                }
            }
            Action::App { leaf, app, operation } => {
                for leaf in self.leaves_named(leaf)? {
                    self.operate(leaf, app, operation).await?;
                }
            }
            Action::Config { leaf, lines } => self.commit(leaf, lines).await?,
        }
        Ok(())
    }

    /// Commits lines of configuration on one leaf or all. In the lines, `${kubeconfig:<cluster>}` becomes a path, and
    /// `${api-address:<cluster>}` and `${api-port:<cluster>}` become the address in that file.
    pub(super) async fn commit(&self, leaf: &str, lines: &str) -> Result<(), ActionError> {
        let leaves = self.leaves_named(leaf)?;
        let commits = leaves.into_iter().map(|leaf| async move {
            let failed = |source| ActionError::Cli { leaf: leaf.name().to_owned(), source };
            leaf.commit(&self.filled_in(leaf.name(), lines)).await.map_err(failed)
        });
        futures::future::try_join_all(commits).await.map(drop)
    }

    /// Returns the lines with the paths and addresses by which a leaf reaches each cluster.
    fn filled_in(&self, leaf: &str, lines: &str) -> String {
        let mut lines = lines.to_owned();
        for name in self.clusters.keys() {
            let Some((address, kubeconfig)) = self.access(leaf, name) else { continue };
            for (what, value) in [
                ("kubeconfig", kubeconfig.to_string_lossy().into_owned()),
                ("api-address", address.ip().to_string()),
                ("api-port", address.port().to_string()),
            ] {
                lines = lines.replace(&format!("${{{what}:{name}}}"), &value);
            }
        }
        lines
    }

    pub(super) fn leaves_named(&self, name: &str) -> Result<Vec<&Leaf>, ActionError> {
        if name == "*" {
            return Ok(self.leaves().values().collect());
        }
        let known = || self.leaves().keys().cloned().collect::<Vec<_>>().join(", ");
        let leaf = self.leaves().get(name);
        let unknown = || ActionError::Unknown { what: "leaf", name: name.to_owned(), known: known() };
        Ok(vec![leaf.ok_or_else(unknown)?])
    }

    fn cluster_named(&self, name: &str) -> Result<&Cluster, ActionError> {
        let known = || self.clusters.keys().cloned().collect::<Vec<_>>().join(", ");
        let unknown = || ActionError::Unknown { what: "cluster", name: name.to_owned(), known: known() };
        self.cluster(name).ok_or_else(unknown)
    }

    /// Sets the readiness of all pods on a node.
    fn pods(&self, cluster: &str, node: &str, ready: bool) -> Result<(), ActionError> {
        let cluster = self.cluster_named(cluster)?;
        for pod in cluster.list("Pod") {
            let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            if text("/spec/nodeName") == node {
                cluster.set_pod_ready(text("/metadata/namespace"), text("/metadata/name"), ready)?;
            }
        }
        Ok(())
    }

    async fn api_server(&self, cluster: &str, to: ApiServerFault) -> Result<(), ActionError> {
        let cluster = self.cluster_named(cluster)?;
        match to {
            ApiServerFault::Stop => cluster.stop().await,
            ApiServerFault::Start => cluster.start().await,
            ApiServerFault::DropWatches => cluster.drop_watches(),
            ApiServerFault::Expire => cluster.expire_watches(),
            ApiServerFault::Silent => cluster.set_half_open(true),
            ApiServerFault::Answering => cluster.set_half_open(false),
        }
        Ok(())
    }

    async fn ndk(&self, leaf: &Leaf, to: ServiceFault) -> Result<(), ActionError> {
        let ndk = leaf.ndk();
        match to {
            ServiceFault::Stop => ndk.stop().await,
            ServiceFault::Start => {
                let news: Vec<_> = self.apps.iter().map(|app| (app, ndk.subscribe())).collect();
                ndk.start().await?;
                for (app, news) in news {
                    within_bound(leaf, app, until_ready(ndk, news, app)).await?;
                }
            }
            ServiceFault::DropStreams => ndk.drop_streams(),
            ServiceFault::Freeze => ndk.freeze(true),
            ServiceFault::Thaw => ndk.freeze(false),
        }
        Ok(())
    }

    async fn gnmi(&self, leaf: &Leaf, to: ServiceFault) -> Result<(), ActionError> {
        let gnmi = leaf.gnmi();
        match to {
            ServiceFault::Stop => gnmi.stop(),
            ServiceFault::Start => gnmi.start().await?,
            ServiceFault::DropStreams => gnmi.drop_streams(),
            ServiceFault::Freeze => gnmi.freeze(true),
            ServiceFault::Thaw => gnmi.freeze(false),
        }
        Ok(())
    }

    async fn operate(&self, leaf: &Leaf, app: &str, operation: &str) -> Result<(), ActionError> {
        let parsed = Operation::parse(operation).ok_or_else(|| ActionError::Operation(operation.to_owned()))?;
        let news = leaf.ndk().subscribe();
        leaf.apps().operate(app, parsed).await?;
        match parsed {
            Operation::Start => within_bound(leaf, app, until_ready(leaf.ndk(), news, app)).await,
            // The old registration may exist for a moment after the order, so only a new one counts.
            Operation::Restart | Operation::Kill => {
                let mut news = news;
                let back = async {
                    registration(&mut news, app).await;
                    until_ready(leaf.ndk(), news, app).await;
                };
                within_bound(leaf, app, back).await
            }
            Operation::Stop | Operation::Reload | Operation::Quit => Ok(()),
        }
    }
}

/// Waits until an application is back, or returns an error if it takes too long.
async fn within_bound(leaf: &Leaf, app: &str, back: impl Future<Output = ()>) -> Result<(), ActionError> {
    tokio::time::timeout(BACK_WITHIN, back).await.map_err(|_| ActionError::NotBack {
        leaf: leaf.name().to_owned(),
        app: app.to_owned(),
        log: leaf.apps().log_file(app),
    })
}

/// Waits for the next registration of an application.
async fn registration(news: &mut broadcast::Receiver<NdkEvent>, app: &str) {
    loop {
        match news.recv().await {
            Ok(NdkEvent::Registered(name)) if name == app => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending::<()>().await,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        }
    }
}

/// Waits until an application is registered and, if it acknowledges configuration, reads its configuration: an earlier
/// commit would reach it as existing configuration. `news` must be subscribed before the application is caused to
/// register.
pub(super) async fn until_ready(ndk: &Ndk, mut news: broadcast::Receiver<NdkEvent>, app: &str) {
    while !ndk.is_ready(app) {
        if matches!(news.recv().await, Err(broadcast::error::RecvError::Closed)) {
            std::future::pending::<()>().await;
        }
    }
}
