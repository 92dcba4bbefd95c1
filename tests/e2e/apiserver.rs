//! A real cluster without its own nodes: etcd and kube-apiserver in a network namespace to which hosts are connected.
//!
//! Objects are as the tests create them: no controllers or kubelets run. RBAC is enabled, nobody is anonymous, and the
//! server's certificate is signed by the cluster's own authority.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::net::{Net, ip};
use crate::peers::peer;

/// Address of the API server, on the bridge to which hosts are connected.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
const PORT: u16 = 6443;
/// Name of the hosts' interface to the bridge.
const CABLE: &str = "mgmt0";
/// Time limit for the server, or what it depends on, to be ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Audit policy of the server: logs which account requested what, with the result.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: [\"system:serviceaccounts\"]
- level: None
";

/// Returns the name of the peer: the newest Kubernetes, or the requested version.
fn version() -> String {
    let older = std::env::var("K8S_SERVICES_KUBERNETES").ok().filter(|version| !version.is_empty());
    older.map_or_else(|| "kubernetes".to_owned(), |version| format!("kubernetes-{version}"))
}

/// Returns an API server shared by tests that do not touch each other's objects, or why none can run.
pub(crate) async fn shared() -> Result<&'static ApiServer, String> {
    static SHARED: OnceCell<Result<ApiServer, String>> = OnceCell::const_new();
    // Its namespace is removed with the process by the guardian.
    let shared = SHARED.get_or_init(|| async { ApiServer::up(Net::new()?, &[]).await }).await;
    shared.as_ref().map_err(Clone::clone)
}

/// A control plane.
pub(crate) struct ApiServer {
    programs: PathBuf,
    folder: PathBuf,
    namespace: String,
    flags: Vec<String>,
    etcd: Option<Child>,
    server: Option<Child>,
    plugged: AtomicU32,
    leaf: String,
    /// The last field, because namespaces must be removed after the processes in them have ended.
    net: Net,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in self.server.iter_mut().chain(&mut self.etcd) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl ApiServer {
    /// Starts etcd and the API server, with these additional flags, in a new host of this net. Returns when it is
    /// ready, or why it cannot run.
    pub(crate) async fn up(net: Net, flags: &[&str]) -> Result<Self, String> {
        let programs = peer(&version())?;
        let namespace = net.host("control")?;
        // The bridge has its own MAC address. Otherwise it would take one from a cable and change to a lower one with
        // the next cable, which earlier hosts do not know.
        ip(&["-n", &namespace, "link", "add", "mgmt", "address", "02:00:00:00:00:01", "type", "bridge"])?;
        ip(&["-n", &namespace, "address", "add", &format!("{ADDRESS}/16"), "dev", "mgmt"])?;
        ip(&["-n", &namespace, "link", "set", "mgmt", "up"])?;
        let folder = net.folder().join("control");
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        authorities(&folder)?;
        fs::write(folder.join("audit.yaml"), AUDIT).map_err(|error| error.to_string())?;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (leaf, plugged) = (net.host("mgmt")?, AtomicU32::new(0));
        let mut it = Self { programs, folder, namespace, flags, etcd: None, server: None, plugged, leaf, net };
        it.plug(&it.leaf)?;
        fs::write(it.admin_kubeconfig(), it.kubeconfig_of_admin()).map_err(|error| error.to_string())?;
        it.start().await;
        Ok(it)
    }

    /// Returns the network namespace from which agents reach the server, like the management namespace of a switch.
    pub(crate) fn leaf_namespace(&self) -> &str {
        &self.leaf
    }

    /// Returns the hosts that the server is one of.
    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// Returns a folder for files of the server.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of etcd, kube-apiserver and kubectl.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// Returns the URL of the server, for connected hosts.
    pub(crate) fn url(&self) -> String {
        format!("https://{ADDRESS}:{PORT}")
    }

    /// Connects a host by a new interface, from which it reaches the API server. Returns the host's address.
    pub(crate) fn plug(&self, host: &str) -> Result<Ipv4Addr, String> {
        let number = self.plugged.fetch_add(1, Ordering::Relaxed) + 1;
        let address = Ipv4Addr::from(u32::from(ADDRESS) + number);
        let port = format!("port{number}");
        ip(&["-n", &self.namespace, "link", "add", &port, "type", "veth", "peer", "name", CABLE, "netns", host])?;
        ip(&["-n", &self.namespace, "link", "set", &port, "master", "mgmt", "up"])?;
        ip(&["-n", host, "address", "add", &format!("{address}/16"), "dev", CABLE])?;
        ip(&["-n", host, "link", "set", CABLE, "up"])?;
        Ok(address)
    }

    /// Starts the API server. Returns when it is ready.
    pub(crate) async fn start(&mut self) {
        self.etcd.get_or_insert_with(|| start_etcd(&self.programs, &self.namespace, &self.folder));
        let log = log(&self.folder.join("kube-apiserver.log"));
        let mut command = inside(&self.namespace, &self.programs.join("kube-apiserver"));
        let file = |name: &str| self.folder.join(name).display().to_string();
        command.args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--etcd-compaction-interval=0",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--profiling=false",
            // Nothing creates the accounts of pods.
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--service-account-issuer=https://kubernetes.default.svc",
        ]);
        command.arg(format!("--bind-address={ADDRESS}")).arg(format!("--secure-port={PORT}"));
        command.arg(format!("--advertise-address={ADDRESS}"));
        for (flag, name) in [
            ("client-ca-file", "ca.crt"),
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("service-account-key-file", "accounts.key"),
            ("service-account-signing-key-file", "accounts.key"),
            ("audit-policy-file", "audit.yaml"),
            ("audit-log-path", "audit.log"),
            ("cert-dir", "certificates"),
        ] {
            command.arg(format!("--{flag}={}", file(name)));
        }
        command.args(&self.flags).stdout(log.try_clone().expect("a handle")).stderr(log);
        self.server = Some(command.stdin(Stdio::null()).spawn().expect("ip runs"));
        self.ready().await;
    }

    async fn ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let admin = self.admin().await;
        let log = self.folder.join("kube-apiserver.log");
        while let Err(error) = admin.get("/readyz").await {
            let server = self.server.as_mut().expect("started");
            let ended = server.try_wait().expect("a child").map(|status| status.to_string());
            assert!(ended.is_none(), "the API server ended ({ended:?}): see {}", log.display());
            assert!(Instant::now() < deadline, "the API server is not ready: {error}: see {}", log.display());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Kills the API server.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().expect("a process of ours can be killed");
        server.wait().expect("it ends");
    }

    /// Returns a client with every right.
    pub(crate) async fn admin(&self) -> Admin {
        Admin::new(&self.namespace, &self.kubeconfig_of_admin()).await
    }

    /// Returns the path of a kubeconfig with every right, for connected hosts.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    fn kubeconfig_of_admin(&self) -> String {
        let file = |name: &str| self.folder.join(name);
        self.kubeconfig(
            &file("ca.crt"),
            &json!({"client-certificate": file("admin.crt"), "client-key": file("admin.key")}),
        )
    }

    /// Returns a kubeconfig with a token, for connected hosts.
    pub(crate) fn token_kubeconfig(&self, token: &str) -> String {
        self.kubeconfig(&self.authority(), &json!({"token": token}))
    }

    /// Returns a kubeconfig for a user, which trusts this authority.
    pub(crate) fn kubeconfig(&self, authority: &Path, user: &Value) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "real", "cluster": {"server": self.url(), "certificate-authority": authority}}],
            "users": [{"name": "real", "user": user}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
            "current-context": "real",
        });
        format!("{config:#}\n")
    }

    /// Returns the certificate of the authority that signed the server's.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Returns a token of a service account that is valid for this time, which must be at least ten minutes.
    pub(crate) async fn token_for(&self, namespace: &str, account: &str, lasts: Duration) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": lasts.as_secs()},
        });
        let answer = self.admin().await.post(&path, &request).await.expect("a token");
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Makes etcd forget all past revisions.
    pub(crate) async fn compact(&self) {
        let server = SocketAddr::from(([127, 0, 0, 1], 2379));
        let etcd = Admin::plain(Some(&self.namespace), &format!("http://{server}"));
        let status = etcd.post("/v3/maintenance/status", &json!({})).await.expect("etcd answers");
        let revision = status["header"]["revision"].clone();
        etcd.post("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await.expect("it compacts");
    }

    /// Returns the requests of a service account with their results: verb, API group, resource, status.
    pub(crate) fn audited(&self, user: &str) -> Vec<(String, String, String, u64)> {
        let text = fs::read_to_string(self.folder.join("audit.log")).expect("an audit log");
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let own = records.filter(|record| record["user"]["username"] == user && record["objectRef"].is_object());
        own.map(|record| {
            let about = &record["objectRef"];
            let status = record["responseStatus"]["code"].as_u64().unwrap_or_default();
            (text(&record["verb"]), text(&about["apiGroup"]), text(&about["resource"]), status)
        })
        .collect()
    }

    /// Runs a program in the server's namespace, with kubectl in its path and every right.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = inside(&self.namespace, program);
        command.args(arguments).current_dir(&self.folder).env("KUBECONFIG", self.admin_kubeconfig());
        command.env("PATH", format!("{}:{path}", self.programs.display())).output().expect("ip runs")
    }
}

/// Returns the command of a program in a network namespace.
fn inside(namespace: &str, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

fn log(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a log file")
}

fn start_etcd(programs: &Path, namespace: &str, folder: &Path) -> Child {
    let output = log(&folder.join("etcd.log"));
    let mut command = inside(namespace, &programs.join("etcd"));
    // Tests do not need data to survive a power failure.
    command.args(["--name=etcd", "--unsafe-no-fsync", "--log-level=warn"]);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"]);
    command.args(["--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"]);
    command.arg("--initial-cluster=etcd=http://127.0.0.1:2380");
    command.stdin(Stdio::null()).stdout(output.try_clone().expect("a handle")).stderr(output);
    command.spawn().expect("ip runs")
}

/// Creates the cluster's authority, certificates signed by it, an unrelated authority, and the key of accounts.
fn authorities(folder: &Path) -> Result<(), String> {
    const EC: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let certificate = |name: &str, subject: &str, rest: &[&str]| {
        let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
        let own = ["req", "-x509", "-nodes", "-days", "2", "-subj", subject, "-keyout", &key, "-out", &crt];
        openssl(folder, &[&own[..], &EC, rest].concat())
    };
    certificate("ca", "/CN=cluster", &[])?;
    certificate("stranger", "/CN=stranger", &[])?;
    let signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext"];
    let names = format!("subjectAltName=IP:{ADDRESS},IP:127.0.0.1,DNS:kubernetes.default.svc");
    certificate("apiserver", "/CN=kube-apiserver", &[&signed[..], &[&names]].concat())?;
    let client = "extendedKeyUsage=clientAuth";
    certificate("admin", "/O=system:masters/CN=admin", &[&signed[..], &[client]].concat())?;
    openssl(folder, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "accounts.key"])
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = output.map_err(|error| format!("openssl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("openssl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
