//! One emulated switch: a datastore and the tables of its control plane, shown by NDK, gNMI, CLI and applications.

#[cfg(test)]
mod agent_tests;
mod changes;
mod console;
mod cpm;
mod links;
mod management;
mod native;
mod native_link;
mod native_rib;
mod ndk_server;
mod plane;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use srl_proto::ndk as pb;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

pub use self::console::CommandRefused;
pub(crate) use self::console::socket as cli_socket;
pub(crate) use self::cpm::admits_answers_of;
#[cfg(test)]
pub(crate) use self::cpm::boot as boot_filter;
pub use self::source::{InterfaceSource, Source};

use self::console::Console;
use self::management::Management;
use self::plane::Plane;
use crate::appmgr::{AppManager, AppSpec, Overrides};
use crate::datastore::{Datastore, StateOp};
use crate::gnmi::{self, Gnmi, GnmiError, GnmiOptions};
use crate::native_state::{app_path, at, now};
use crate::ndk::{self, Key, Ndk, NdkError, NdkEvent, NdkOptions, Row};
use crate::profile::Profile;
use crate::schema::{Schema, SchemaError};
use crate::tables::{Interface, NetworkInstance, Tables};

/// Applications of every switch, with their ids in the NDK's routes.
const NATIVE_APPS: [(&str, u32); 12] = [
    ("app_mgr", 4),
    ("arp_nd_mgr", 9),
    ("bfd_mgr", 11),
    ("bgp_evpn_mgr", 13),
    ("bgp_mgr", 14),
    ("dhcp_client_mgr", 19),
    ("fib_mgr", 23),
    ("linux_mgr", 28),
    ("net_inst_mgr", 36),
    ("sdk_mgr", 47),
    ("static_route_mgr", 52),
    ("vxlan_mgr", 61),
];

/// File in the switch's folder with the password of on-box gNMI clients.
const PASSWORD_FILE: &str = "gnmi-password";

/// Why a leaf cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A folder cannot be created.
    #[error("cannot create folder {path}")]
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// Why it cannot be created.
        #[source]
        source: io::Error,
    },
    /// The YANG cannot be loaded.
    #[error("cannot load the YANG of the switch")]
    Schema(#[source] SchemaError),
    /// A file in the folder cannot be created.
    #[error("cannot create {path}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Why it cannot be created.
        #[source]
        source: io::Error,
    },
    /// The NDK cannot start.
    #[error("cannot start the NDK")]
    Ndk(#[source] NdkError),
    /// The gNMI server cannot start.
    #[error("cannot start the gNMI server")]
    Gnmi(#[source] GnmiError),
}

/// Options of a leaf.
#[derive(Clone)]
pub struct LeafOptions {
    /// Host name.
    pub name: String,
    /// Folder of its sockets and of its applications' logs. It is created if missing. Its path must be short enough for
    /// a unix socket: the longest name in it has 29 letters.
    pub folder: PathBuf,
    /// YANG, already loaded, because many leaves share one.
    pub schema: Arc<Schema>,
    /// User name for gNMI.
    pub username: String,
    /// Password for gNMI.
    pub password: String,
    /// TCP address of gNMI, in addition to the unix socket.
    pub gnmi_tcp: Option<SocketAddr>,
    /// TCP address of the NDK, in addition to the unix socket.
    pub ndk_tcp: Option<SocketAddr>,
    /// Names of its interfaces, which are all up.
    pub interfaces: Vec<String>,
    /// Release of the switch, and behaviour that is uncertain.
    pub profile: Profile,
    /// Folders with Python files that are plugins of its CLI.
    pub cli_plugins: Vec<PathBuf>,
}

impl LeafOptions {
    /// Creates options with the factory's credentials and no TCP ports.
    pub fn new(name: impl Into<String>, folder: impl Into<PathBuf>, schema: Arc<Schema>) -> Self {
        Self {
            name: name.into(),
            folder: folder.into(),
            schema,
            username: "admin".to_owned(),
            password: "NokiaSrl1!".to_owned(),
            gnmi_tcp: None,
            ndk_tcp: None,
            interfaces: ["ethernet-1/1", "ethernet-1/49", "ethernet-1/50", "mgmt0"].map(str::to_owned).to_vec(),
            profile: Profile::default(),
            cli_plugins: Vec::new(),
        }
    }
}

/// Handle of one emulated switch. The switch ends when the last handle is dropped.
#[derive(Clone)]
pub struct Leaf {
    shared: Arc<Shared>,
}

struct Shared {
    options: LeafOptions,
    store: Datastore,
    ndk: Ndk,
    gnmi: Gnmi,
    apps: AppManager,
    console: Console,
    booted: String,
    control: Mutex<Control>,
    /// Tasks that follow the switch's own news and serve its CLI. They end with the switch.
    tasks: [JoinHandle<()>; 3],
}

/// The control plane's tables: as set, from other sources, and as shown.
#[derive(Default)]
struct Control {
    set: Tables,
    sourced: BTreeMap<String, NetworkInstance>,
    sourced_interfaces: BTreeMap<String, Interface>,
    plane: Plane,
    next_owner: u32,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Leaf {
    /// Starts a switch with empty tables and only its own applications.
    ///
    /// # Errors
    /// [`LeafError`] if a folder or a socket cannot be created.
    pub async fn start(options: LeafOptions) -> Result<Self, LeafError> {
        let logs = options.folder.join("stdout");
        // Whatever the umask is, the agent keeps its state in no folder that others may write.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&logs);
        made.map_err(|source| LeafError::Folder { path: logs.clone(), source })?;
        let store = Datastore::new(options.schema.clone());
        let ndk_options = NdkOptions {
            socket: options.folder.join(ndk::SOCKET_NAME),
            tcp: options.ndk_tcp,
            switches: options.profile.ndk.clone(),
        };
        if options.profile.cpm_filter {
            cpm::boot(&store);
        }
        let ndk = ndk::serve(ndk_options, store.clone()).await.map_err(LeafError::Ndk)?;
        match options.profile.ndk_always_on {
            true => ndk_server::enable(&store),
            false => ndk.stop().await,
        }
        let gnmi = serve_gnmi(&options, &store).await?;
        let apps = AppManager::new(ndk.clone(), store.clone(), logs);
        let news = ndk.subscribe();
        let file = |source| LeafError::File { path: cli_socket(&options.folder), source };
        let management = Management::new(store.clone(), gnmi.clone(), options.profile.reload);
        let console = Console::new(store.clone(), &options, apps.clone(), management);
        let cli = console::serve(&options.folder, console.clone()).map_err(file)?;
        let configured = ndk_server::follow(store.clone(), ndk.clone());
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| Shared {
            options,
            store,
            ndk,
            gnmi,
            apps,
            console,
            booted: now(),
            control: Mutex::default(),
            tasks: [
                tokio::spawn(follow_programmed_routes(news, weak.clone())),
                tokio::spawn(configured),
                tokio::spawn(cli),
            ],
        });
        shared.show_system();
        Ok(Self { shared })
    }

    /// Returns its host name.
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// Returns the options it was started with.
    pub fn options(&self) -> &LeafOptions {
        &self.shared.options
    }

    /// Returns its datastore.
    pub fn datastore(&self) -> &Datastore {
        &self.shared.store
    }

    /// Returns its NDK, for rows beside the tables, and for faults.
    pub fn ndk(&self) -> &Ndk {
        &self.shared.ndk
    }

    /// Returns its gNMI server.
    pub fn gnmi(&self) -> &Gnmi {
        &self.shared.gnmi
    }

    /// Returns the gNMI socket of on-box clients.
    pub fn gnmi_socket(&self) -> PathBuf {
        self.folder().join(gnmi::SOCKET_NAME)
    }

    /// Returns the file with the password for that socket, which only its owner can read.
    pub fn password_file(&self) -> PathBuf {
        self.folder().join(PASSWORD_FILE)
    }

    /// Returns its application manager.
    pub fn apps(&self) -> &AppManager {
        &self.shared.apps
    }

    /// Returns the folder of its sockets.
    pub fn folder(&self) -> &Path {
        &self.shared.options.folder
    }

    /// Starts an application that is not the switch's own.
    pub fn add_app(&self, spec: AppSpec, overrides: Overrides) {
        self.shared.apps.add(spec, overrides);
    }

    /// Stops every application in order, then the NDK. The switch can still be read.
    pub async fn stop(&self) {
        self.shared.apps.stop_all().await;
        self.shared.ndk.stop().await;
    }

    /// Sets the tables of the control plane. NDK streams and state get the differences.
    pub fn set_tables(&self, tables: Tables) {
        let mut control = self.shared.control();
        control.set = tables;
        self.shared.show(&mut control);
    }

    /// Changes the tables in place, then publishes what differs.
    pub fn change_tables(&self, change: impl FnOnce(&mut Tables)) {
        let mut control = self.shared.control();
        change(&mut control.set);
        self.shared.show(&mut control);
    }

    /// Returns a source of one network instance that replaces the tables that are set.
    pub fn source(&self, network_instance: &str) -> Source {
        Source::new(self.clone(), network_instance.to_owned())
    }

    /// Returns a source of interfaces that replace those that are set.
    pub fn interface_source(&self) -> InterfaceSource {
        InterfaceSource::new(self.clone())
    }

    /// Returns the tables as shown: as set or from sources, with the routes that applications program.
    pub fn tables(&self) -> Tables {
        self.shared.control().plane.shown().clone()
    }

    /// Programs every next-hop group again, so that all have new numbers.
    pub fn renumber_groups(&self) {
        let mut control = self.shared.control();
        self.shared.renumber(&mut control);
    }

    /// Brings an interface up or down.
    pub fn set_interface(&self, name: &str, up: bool) {
        self.shared.show_interface(name, up);
    }
}

impl Shared {
    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the tables that are set and the routes that applications programmed.
    fn show(&self, control: &mut Control) {
        let programmed = self.ndk.programmed();
        let mut tables = control.set.clone();
        tables.network_instances.extend(control.sourced.clone());
        tables.interfaces.extend(control.sourced_interfaces.clone());
        let tables = plane::merge(tables, programmed);
        let first = self.options.profile.ndk.announce_first;
        let next_owner = &mut control.next_owner;
        let changes = control.plane.show(tables, first, &mut |name| self.owner_id(next_owner, name));
        self.write(changes.farewells);
        self.write(changes.ops);
        self.ndk.apply(changes.rows);
    }

    fn renumber(&self, control: &mut Control) {
        let first = self.options.profile.ndk.announce_first;
        let next_owner = &mut control.next_owner;
        let changes = control.plane.renumber(first, &mut |name| self.owner_id(next_owner, name));
        self.write(changes.ops);
        self.ndk.apply(changes.rows);
    }

    /// Returns the id of a route's owner. A new owner becomes an application of the switch.
    fn owner_id(&self, next: &mut u32, name: &str) -> u32 {
        if let Some(id) = self.ndk.app_id(name) {
            return id;
        }
        *next += 1;
        let id = 500 + *next;
        self.ndk.apply([native_app(name, id, &self.options.profile.release)]);
        id
    }

    fn show_system(&self) {
        let release = &self.options.profile.release;
        self.ndk.apply(NATIVE_APPS.map(|(name, id)| native_app(name, id, release)));
        let information = at(&[("system", &[]), ("information", &[])]);
        let features = at(&[("system", &[]), ("features", &[])]);
        let chassis = at(&[("platform", &[]), ("chassis", &[])]);
        let control = at(&[("platform", &[]), ("control", &[("slot", "A")])]);
        let running = serde_json::json!({ "software-version": release, "oper-state": "up" });
        let mut ops = vec![
            StateOp::Replace(information, native::system_information(release, &self.booted)),
            StateOp::Replace(features, serde_json::json!(native::FEATURES)),
            StateOp::Replace(chassis, native::chassis(&self.booted)),
            StateOp::Replace(control, running),
        ];
        ops.extend(NATIVE_APPS.iter().enumerate().map(|(position, (name, _))| {
            let entry = serde_json::json!({
                "pid": 1500 + 37 * position,
                "state": "running",
                "last-change": self.booted,
                "last-start-type": "cold",
                "author": "Nokia",
                "version": release,
            });
            StateOp::Replace(app_path(name), entry)
        }));
        self.write(ops);
        for name in &self.options.interfaces {
            self.show_interface(name, true);
        }
    }

    fn show_interface(&self, name: &str, up: bool) {
        self.write(vec![StateOp::Replace(native_link::interface_path(name), native_link::plain_interface(up))]);
        self.ndk.apply([(Key::Interface(name.to_owned()), Some(links::interface_row(name, up, None)))]);
    }

    /// Writes native state, which matches the YANG by construction.
    fn write(&self, ops: Vec<StateOp>) {
        if let Err(refusal) = self.store.apply_state("native", ops) {
            tracing::error!(leaf = %self.options.name, %refusal, "native state was refused");
        }
    }
}

/// Serves gNMI on the socket of on-box clients and, if requested, on TCP. Writes the password of those clients to a
/// file.
async fn serve_gnmi(options: &LeafOptions, store: &Datastore) -> Result<Gnmi, LeafError> {
    let path = options.folder.join(PASSWORD_FILE);
    write_private(&path, &options.password).map_err(|source| LeafError::File { path, source })?;
    let gnmi = GnmiOptions {
        sockets: vec![options.folder.join(gnmi::SOCKET_NAME)],
        tcp: options.gnmi_tcp,
        username: options.username.clone(),
        password: options.password.clone(),
        switches: options.profile.gnmi.clone(),
    };
    gnmi::serve(gnmi, store.clone()).await.map_err(LeafError::Gnmi)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn native_app(name: &str, id: u32, release: &str) -> (Key, Option<Row>) {
    let data = pb::AppIdentData {
        name: name.to_owned(),
        author: "Nokia".to_owned(),
        is_connected: true,
        version: release.to_owned(),
    };
    (Key::App(id), Some(Row::App(Box::new(data))))
}

/// Shows the tables again when an application changed its routes.
async fn follow_programmed_routes(mut news: broadcast::Receiver<NdkEvent>, shared: Weak<Shared>) {
    loop {
        match news.recv().await {
            Ok(NdkEvent::RoutesProgrammed(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {
                let Some(shared) = shared.upgrade() else { return };
                shared.show(&mut shared.control());
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
