//! The emulated leaf that the agent runs on.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use srl_sim::cluster::{Cluster, Server};
use srl_sim::datastore::Source;
use srl_sim::gnmi::{self, Gnmi, GnmiOptions};
use srl_sim::leaf::{Leaf, LeafOptions};
use srl_sim::ndk::{AppInfo, ConfigFormat, Ndk};
use srl_sim::schema::Schema;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Name under which the agent registers.
pub(crate) const AGENT: &str = "k8s-services";
/// Time limit of every wait.
const PATIENCE: Duration = Duration::from_secs(90);

/// A leaf that knows the agent, its gNMI server, and the folder of its sockets.
pub(crate) struct Switch {
    leaf: Leaf,
    _gnmi: Gnmi,
    folder: TempDir,
}

impl Switch {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let yang = Path::new(env!("CARGO_MANIFEST_DIR")).join("yang");
        let schema = Schema::load(&[yang], &[AGENT.to_owned()]).expect("the YANG loads");
        let options = LeafOptions::new("leaf1", folder.path(), schema);
        let password = folder.path().join("password");
        std::fs::write(&password, &options.password).expect("a file of our own");
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("a file of our own");
        let leaf = Leaf::start(options).await.expect("a leaf in an empty folder");
        leaf.ndk().add_app(AppInfo {
            name: AGENT.to_owned(),
            config_format: ConfigFormat::Json,
            modules: vec![AGENT.to_owned()],
            ..AppInfo::default()
        });
        let sockets = vec![folder.path().join("gnmi")];
        let gnmi = gnmi::serve(GnmiOptions { sockets, ..GnmiOptions::new() }, leaf.datastore().clone());
        Self { _gnmi: gnmi.await.expect("a socket in an empty folder"), leaf, folder }
    }

    pub(crate) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    pub(crate) fn ndk(&self) -> &Ndk {
        self.leaf.ndk()
    }

    pub(crate) fn gnmi_socket(&self) -> PathBuf {
        self.folder.path().join("gnmi")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// Returns a folder for files of a run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Serves a cluster and commits configuration that makes the agent watch it.
    pub(crate) async fn watch(&self, cluster: &Cluster, network_instance: &str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let server = cluster.serve(listener).expect("a bound listener");
        let kubeconfig = self.folder().join("kubeconfig");
        cluster.write_kubeconfig(&kubeconfig, &server.url()).expect("a file of our own");
        let config = json!({
            "kubeconfig": kubeconfig,
            "network-namespace": "self",
            "network-instance": network_instance,
            "speaker": "metallb",
        });
        let candidate = self.leaf.datastore().private_candidate();
        let path = "/k8s-services/cluster[name=c1]".parse().expect("a path");
        candidate.set(&path, &config).expect("the YANG allows it");
        self.leaf.datastore().commit(&candidate).await.expect("nobody objects");
        server
    }

    /// Returns the state at a path, as plain JSON.
    pub(crate) fn state(&self, path: &str) -> Option<Value> {
        self.leaf.datastore().json(Source::State, &path.parse().expect("a path")).expect("the YANG knows it")
    }

    /// Waits until the state at a path is as wished.
    pub(crate) async fn until(&self, path: &str, wished: impl Fn(&Value) -> bool) {
        let mut changes = self.leaf.datastore().subscribe();
        let waiting = async {
            while !self.state(path).is_some_and(|state| wished(&state)) {
                // Missed changes are a reason to look, too.
                let _ = changes.recv().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{path} is not as it should be: {:?}", self.state(path));
        }
    }
}
