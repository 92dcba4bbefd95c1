//! Starts a lab: clusters, leaves, applications, configuration. Waits for each part within a time limit.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::appmgr::{AppSpec, Overrides, SpecError};
use crate::cluster::{ApiError, Cluster, ClusterOptions};
use crate::fabric::{Fabric, FabricError};
use crate::gnmi::{self, GnmiError};
use crate::leaf::{Leaf, LeafError, LeafOptions};
use crate::profile::Profile;
use crate::schema::{Schema, SchemaError};

use super::act::until_ready;
use super::file::{LabApp, LabFile};
use super::gateway::Gateway;
use super::world::{Followed, World, follow, take_turns};
use super::{ActionError, Lab, LeafGateway, RunningCluster};

/// Time within which an application must register.
const REGISTERED_WITHIN: Duration = Duration::from_secs(15);
/// Command by which an operator enables the NDK before applications can register, if it is disabled by default.
const ENABLE_NDK: &str = "set / system ndk-server admin-state enable";
/// Maximum length of a unix socket's path.
const SOCKET_PATH: usize = 107;

/// Where and how a lab runs.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The folder of its sockets and logs. It is created if missing.
    pub run: PathBuf,
    /// The folder of the applications' programs.
    pub programs: PathBuf,
    /// gNMI port of the first leaf; the other leaves have the following ones. Any free ports if absent.
    pub gnmi_port: Option<u16>,
    /// Port of the first API server; the others have the following ones. Any free ports if absent.
    pub api_port: Option<u16>,
    /// The kind of switch of every leaf.
    pub profile: Profile,
}

/// Why a lab cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The run folder cannot be used.
    #[error("cannot use run folder {path}")]
    Run {
        /// Path of the folder.
        path: PathBuf,
        /// Why it cannot be used.
        #[source]
        source: io::Error,
    },
    /// The path is too long for unix sockets.
    #[error("run folder {path} is too long for unix sockets: choose a shorter one with --run")]
    LongRun {
        /// Path of the folder.
        path: PathBuf,
    },
    /// The lab's files cannot be read.
    #[error(transparent)]
    File(#[from] super::LabFileError),
    /// The fabric is inconsistent.
    #[error("the fabric is inconsistent")]
    Fabric(#[source] FabricError),
    /// The application's definition cannot be read.
    #[error("the application's definition cannot be read")]
    App(#[source] SpecError),
    /// The application's program is missing.
    #[error("there is no program {path}: build it with make build, or name its folder with --programs")]
    Program {
        /// Path where it is expected.
        path: PathBuf,
    },
    /// The YANG cannot be loaded.
    #[error("cannot load the YANG modules")]
    Schema(#[source] SchemaError),
    /// A cluster refuses a manifest.
    #[error("cluster {cluster} refuses {file}")]
    Manifest {
        /// The cluster.
        cluster: String,
        /// The manifest.
        file: PathBuf,
        /// Why it is refused.
        #[source]
        source: ApiError,
    },
    /// An API server cannot listen.
    #[error("the API server of cluster {cluster} cannot listen on {address}: choose another port with --api-port")]
    Api {
        /// The cluster.
        cluster: String,
        /// Its address.
        address: SocketAddr,
        /// Why it cannot listen.
        #[source]
        source: io::Error,
    },
    /// A leaf cannot start.
    #[error("cannot start {leaf}")]
    Leaf {
        /// The leaf.
        leaf: String,
        /// Why it cannot start.
        #[source]
        source: LeafError,
    },
    /// A gNMI server cannot start.
    #[error("cannot start the gNMI server of {leaf}: choose other ports with --gnmi-port")]
    Gnmi {
        /// The leaf.
        leaf: String,
        /// Why it cannot start.
        #[source]
        source: GnmiError,
    },
    /// An application did not register in time.
    #[error("{leaf}'s {app} did not register within {} s: see {}", within.as_secs(), log.display())]
    NotRegistered {
        /// The leaf.
        leaf: String,
        /// The application.
        app: String,
        /// The time limit.
        within: Duration,
        /// Its log file.
        log: PathBuf,
    },
    /// The lab's configuration is refused.
    #[error("the lab's configuration was refused")]
    Config(#[source] ActionError),
}

impl Lab {
    /// Starts a lab and waits until its applications are registered and configured. Calls `progress` with one line per
    /// part.
    ///
    /// # Errors
    /// [`StartError`] with the part that failed. What had been started is stopped.
    pub async fn up(file: LabFile, options: LabOptions, mut progress: impl FnMut(&str)) -> Result<Self, StartError> {
        let run = prepare(&options.run, &file)?;
        let apps = apps(&file, &options.programs)?;
        let schema = schema(&file, &apps)?;
        let fabric = Fabric::new(file.content.fabric.clone()).map_err(StartError::Fabric)?;
        let clusters = clusters(&file, &run, options.api_port).await?;
        for (name, cluster) in &clusters {
            progress(&format!("cluster {name}: API on {}", cluster.server.url()));
        }
        let names = file.content.fabric.leaves.keys().chain(file.content.fabric.spines.keys());
        let plugins: Vec<PathBuf> =
            apps.iter().filter_map(|(_, app)| Some(file.folder.join(app.cli_plugins.as_ref()?))).collect();
        let mut leaves = switches(names, &run, &schema, &plugins, &options).await?;
        let spines = file.content.fabric.spines.keys().filter_map(|name| leaves.remove_entry(name)).collect();
        let world = Arc::new(World::new(fabric, leaves, spines));
        let followed = clusters.iter().map(|(name, it)| Followed::new(name, &it.cluster)).collect();
        let changes = watch::Sender::new(0);
        let mut followers = JoinSet::new();
        followers.spawn(follow(&world, followed));
        followers.spawn(take_turns(world.clone()));
        for leaf in world.leaves.values() {
            followers.spawn(count_changes(leaf.datastore().subscribe(), changes.clone()));
        }
        let names = apps.iter().map(|(spec, _)| spec.name.clone()).collect();
        let gateways = match options.profile.cpm_filter {
            true => gateways(&world, &clusters).await?,
            false => BTreeMap::new(),
        };
        let lab = Self { file, run, world, clusters, gateways, apps: names, changes, _followers: followers };
        if !options.profile.ndk_always_on {
            lab.commit("*", ENABLE_NDK).await.map_err(StartError::Config)?;
        }
        progress(&format!("{} leaves: routes and neighbors are in place", lab.leaves().len()));
        if !apps.is_empty() {
            lab.start_apps(&apps, &options.programs).await?;
            progress(&format!("{} registered on every leaf", lab.apps.join(", ")));
        }
        lab.configure().await.map_err(StartError::Config)?;
        progress("configuration committed on every leaf");
        Ok(lab)
    }

    async fn start_apps(&self, apps: &[(AppSpec, LabApp)], programs: &Path) -> Result<(), StartError> {
        let registrations = self.leaves().values().flat_map(|leaf| {
            apps.iter().map(move |(spec, app)| {
                let news = leaf.ndk().subscribe();
                leaf.add_app(spec.clone(), overrides(leaf, app, programs));
                async move {
                    let registered = until_ready(leaf.ndk(), news, &spec.name);
                    let bounded = tokio::time::timeout(REGISTERED_WITHIN, registered).await;
                    bounded.map_err(|_| StartError::NotRegistered {
                        leaf: leaf.name().to_owned(),
                        app: spec.name.clone(),
                        within: REGISTERED_WITHIN,
                        log: leaf.apps().log_file(&spec.name),
                    })
                }
            })
        });
        futures::future::try_join_all(registrations).await.map(drop)
    }

    /// Commits the lab's configuration on every leaf.
    async fn configure(&self) -> Result<(), ActionError> {
        let content = &self.file.content;
        let commits = self.leaves().keys().map(|leaf| async move {
            let own = content.leaf_config.get(leaf).map(String::as_str).unwrap_or_default();
            self.commit(leaf, &format!("{}\n{own}", content.config)).await
        });
        futures::future::try_join_all(commits).await.map(drop)
    }
}

/// Counts the changes of a datastore.
async fn count_changes<T: Clone>(mut news: broadcast::Receiver<T>, changes: watch::Sender<u64>) {
    while !matches!(news.recv().await, Err(broadcast::error::RecvError::Closed)) {
        changes.send_modify(|count| *count += 1);
    }
}

/// Creates the run folder and returns its absolute path. Returns an error if socket paths in it would be too long.
fn prepare(run: &Path, file: &LabFile) -> Result<PathBuf, StartError> {
    let failed = |source| StartError::Run { path: run.to_owned(), source };
    std::fs::create_dir_all(run).map_err(failed)?;
    let run = run.canonicalize().map_err(failed)?;
    let names = file.content.fabric.leaves.keys().chain(file.content.fabric.spines.keys());
    let longest = names.map(String::len).max().unwrap_or_default();
    if run.as_os_str().len() + longest + gnmi::SOCKET_NAME.len() + 2 > SOCKET_PATH {
        return Err(StartError::LongRun { path: run });
    }
    Ok(run)
}

/// Returns the applications with their definitions. Their programs must exist.
fn apps(file: &LabFile, programs: &Path) -> Result<Vec<(AppSpec, LabApp)>, StartError> {
    let mut apps = Vec::new();
    for app in &file.content.apps {
        for spec in AppSpec::read(&file.folder.join(&app.definition)).map_err(StartError::App)? {
            let path = programs.join(&spec.name);
            if !path.is_file() {
                return Err(StartError::Program { path });
            }
            apps.push((spec, app.clone()));
        }
    }
    Ok(apps)
}

/// Returns the YANG of the switch and of the applications, shared by all leaves.
fn schema(file: &LabFile, apps: &[(AppSpec, LabApp)]) -> Result<Arc<Schema>, StartError> {
    let folders: Vec<PathBuf> = apps.iter().map(|(_, app)| file.folder.join(&app.yang)).collect();
    let modules: Vec<String> = apps.iter().flat_map(|(spec, _)| spec.yang_modules.names.clone()).collect();
    Schema::load(&folders, &modules).map_err(StartError::Schema)
}

/// Returns the clusters, which listen and have their manifests loaded.
async fn clusters(
    file: &LabFile,
    run: &Path,
    first_port: Option<u16>,
) -> Result<BTreeMap<String, RunningCluster>, StartError> {
    let mut clusters = BTreeMap::new();
    for (position, (name, described)) in file.content.clusters.iter().enumerate() {
        let cluster = Cluster::with_options(ClusterOptions { name: name.clone(), ..ClusterOptions::default() });
        for manifest in &described.manifests {
            let text = file.text(manifest)?;
            cluster.load(&text).map_err(|source| StartError::Manifest {
                cluster: name.clone(),
                file: manifest.clone(),
                source,
            })?;
        }
        let address = local(first_port, position);
        let failed = |source| StartError::Api { cluster: name.clone(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let server = cluster.serve(listener).map_err(failed)?;
        let kubeconfig = run.join(format!("{name}.kubeconfig"));
        cluster
            .write_kubeconfig(&kubeconfig, &server.url())
            .map_err(|source| StartError::Run { path: kubeconfig.clone(), source })?;
        clusters.insert(name.clone(), RunningCluster { cluster, server, kubeconfig });
    }
    Ok(clusters)
}

/// Starts switches with these names, in the order of their gNMI ports.
async fn switches(
    names: impl Iterator<Item = &String>,
    run: &Path,
    schema: &Arc<Schema>,
    plugins: &[PathBuf],
    options: &LabOptions,
) -> Result<BTreeMap<String, Leaf>, StartError> {
    let mut leaves = BTreeMap::new();
    for (position, name) in names.enumerate() {
        let options = LeafOptions {
            profile: options.profile.clone(),
            gnmi_tcp: Some(local(options.gnmi_port, position)),
            cli_plugins: plugins.to_vec(),
            ..LeafOptions::new(name, run.join(name), schema.clone())
        };
        let leaf = Leaf::start(options).await.map_err(|source| match source {
            LeafError::Gnmi(source) => StartError::Gnmi { leaf: name.clone(), source },
            source => StartError::Leaf { leaf: name.clone(), source },
        })?;
        leaves.insert(name.clone(), leaf);
    }
    Ok(leaves)
}

/// Starts a gateway from each leaf to each API server, with the leaf's own kubeconfig file.
async fn gateways(
    world: &World,
    clusters: &BTreeMap<String, RunningCluster>,
) -> Result<BTreeMap<(String, String), LeafGateway>, StartError> {
    let mut gateways = BTreeMap::new();
    for leaf in world.leaves.values() {
        for (name, cluster) in clusters {
            let kubeconfig = leaf.folder().join(format!("{name}.kubeconfig"));
            let failed = |source| StartError::Run { path: kubeconfig.clone(), source };
            let server = cluster.server.address();
            let gateway = Gateway::start(leaf.datastore().clone(), server).await.map_err(failed)?;
            let url = cluster.server.url().replace(&server.to_string(), &gateway.address().to_string());
            cluster.cluster.write_kubeconfig(&kubeconfig, &url).map_err(failed)?;
            gateways.insert((leaf.name().to_owned(), name.clone()), LeafGateway { gateway, kubeconfig });
        }
    }
    Ok(gateways)
}

/// Returns an address on loopback with the n-th port after the first, or any port.
fn local(first: Option<u16>, position: usize) -> SocketAddr {
    let offset = u16::try_from(position).unwrap_or_default();
    SocketAddr::from((Ipv4Addr::LOCALHOST, first.map_or(0, |first| first.saturating_add(offset))))
}

/// Returns arguments and environment of an application on one leaf.
fn overrides(leaf: &Leaf, app: &LabApp, programs: &Path) -> Overrides {
    let folder = leaf.folder().display().to_string();
    let ndk = format!("unix://{}", leaf.ndk().socket().display());
    let gnmi = format!("unix://{}", leaf.gnmi_socket().display());
    let password = leaf.password_file().display().to_string();
    let fill = |argument: &String| {
        argument
            .replace("${leaf}", leaf.name())
            .replace("${ndk}", &ndk)
            .replace("${gnmi}", &gnmi)
            .replace("${folder}", &folder)
            .replace("${password-file}", &password)
    };
    Overrides {
        path: Some(programs.to_owned()),
        arguments: app.arguments.iter().map(fill).collect(),
        environment: BTreeMap::new(),
    }
}
