//! Tests of `k8s-services doctor` on an emulated leaf: its output if all is well, and for each possible problem.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use srl_sim::datastore::Source;
use srl_sim::profile::Profile;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::bench::Says::{Has, Is};
use crate::bench::{AGENT, Bench, CLUSTER, HEALTHY_LOCAL, NDK_SOURCE, Writes, bounded, shows_without_gnmi};

const LAB: &str = "anycast-metallb";
const LEAF: &str = "leaf1";
const TOKEN: &str = "a-token-nobody-should-see";
const PASSWORD: &str = "NokiaSrl1!";
/// A certificate authority that did not sign the certificate below.
const OTHER_AUTHORITY: &str = include_str!("../../agent/kubernetes/tests/tls/other-ca.pem");
const CERTIFICATE: &str = include_str!("../../agent/kubernetes/tests/tls/server.pem");
const KEY: &str = include_str!("../../agent/kubernetes/tests/tls/server.key");

/// Output and exit status of a run.
struct Said {
    text: String,
    status: i32,
}

impl Said {
    /// Returns the outcome and the finding of a check, and the lines of its remedy.
    fn check(&self, name: &str) -> (&str, &str, Vec<&str>) {
        let mut lines = self.text.lines().skip_while(|line| !line.contains(&format!(" {name}: ")));
        let line = lines.next().unwrap_or_else(|| panic!("no line of '{name}':\n{}", self.text));
        let (outcome, finding) = line.split_once(&format!(" {name}: ")).expect("the line has the name");
        let remedy = lines.take_while(|line| line.starts_with(' ')).map(str::trim_start).collect();
        (outcome.trim_end(), finding, remedy)
    }

    /// Asserts that a check failed with these words and names this command.
    fn fails(&self, name: &str, words: &str, command: &str) {
        self.is("failure", name, words, command);
        assert_eq!(self.status, 2, "{}", self.text);
    }

    fn is(&self, expected: &str, name: &str, words: &str, command: &str) {
        let (outcome, finding, remedy) = self.check(name);
        assert_eq!(outcome, expected, "{}", self.text);
        assert!(finding.contains(words), "'{words}' is not in '{finding}'");
        assert!(remedy.iter().any(|line| line.contains(command)), "'{command}' is not in {remedy:?}");
    }

    fn ok(&self, name: &str, words: &str) {
        let (outcome, finding, remedy) = self.check(name);
        assert_eq!((outcome, remedy.len()), ("ok", 0), "{}", self.text);
        assert!(finding.contains(words), "'{words}' is not in '{finding}'");
    }
}

/// Runs the doctor as a user of the leaf would, beside the leaf's own agent. Later flags override earlier ones.
async fn doctor(bench: &Bench, more: &[&str]) -> Said {
    let leaf = bench.leaf(LEAF);
    let mut command = Command::new(env!("CARGO_BIN_EXE_k8s-services"));
    command.arg("doctor").arg(format!("--startup={}", startup(bench).display()));
    command.arg(format!("--definition={}/appmgr/k8s-services.yml", env!("CARGO_MANIFEST_DIR")));
    match bench.process(LEAF) {
        // The doctor finds out itself how its agent was started.
        Some(pid) => command.arg(format!("--pid={pid}")),
        None => command.arg(format!("--ndk=unix://{}", leaf.ndk().socket().display())),
    };
    let output = command.args(more).env_clear().output();
    let output = bounded("the doctor", output).await.expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let status = output.status.code().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    Said { text, status }
}

fn startup(bench: &Bench) -> PathBuf {
    bench.lab.run_folder().join("config.json")
}

/// Saves the configuration as the switch does.
fn save(bench: &Bench) {
    let root = srl_sim::path::Path::root();
    let running = bench.leaf(LEAF).datastore().json(Source::Running, &root).expect("readable").expect("configured");
    std::fs::write(startup(bench), running.to_string()).expect("written");
}

async fn commit(bench: &Bench, line: &str) {
    bench.leaf(LEAF).commit(line).await.unwrap_or_else(|error| panic!("{line}: {error}"));
}

fn kubeconfig(bench: &Bench) -> &Path {
    bench.lab.access(LEAF, "c1").expect("the lab has it").1
}

/// Writes the kubeconfig again with the token that the server requires now. Returns the server's address.
fn renew_kubeconfig(bench: &Bench) -> SocketAddr {
    let (server, file) = bench.lab.access(LEAF, "c1").expect("the lab has it");
    bench.cluster().write_kubeconfig(file, &format!("http://{server}")).expect("written");
    server
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_on_a_healthy_leaf_passes_writes_nothing_and_reveals_no_secret() {
    let bench = Bench::start(LAB, Profile::default(), |_| {}).await;
    bench.until_healthy().await;
    bench.cluster().set_token(Some(TOKEN));
    let server = renew_kubeconfig(&bench);
    save(&bench);
    mode(bench.lab.run_folder(), 0o700);
    let report = bench.lab.run_folder().join("report.txt");
    let configured = bench.leaf(LEAF).datastore().running();
    let mut writes = Writes::of(&bench, LEAF);

    let said = doctor(&bench, &[&format!("--report={}", report.display())]).await;

    assert_eq!(said.status, 0, "{}", said.text);
    assert!(said.text.lines().all(|line| line.starts_with("ok       ")), "{}", said.text);
    let pid = bench.process(LEAF).expect("the agent runs");
    for (name, words) in [
        ("agent", format!("it runs as process {pid} of user 0, with --ndk=unix://")),
        ("NDK", "the agent is its application ".to_owned()),
        ("gNMI", "answers in json-ietf, and takes every path the agent asks for".to_owned()),
        ("release", "v25.3.1".to_owned()),
        ("application manager", "running since ".to_owned()),
        ("YANG", "module k8s-services is loaded".to_owned()),
        ("state", "up; 1 VIP, 1 up".to_owned()),
        ("adaptation", "hyphens, plain enumerations, one stream, end of dump counted (".to_owned()),
        ("configuration", "1 cluster".to_owned()),
        ("saved configuration", "what the agent needs is saved".to_owned()),
        ("network instance of c1", "ip-vrf-1 is up".to_owned()),
        ("credentials of c1", format!("server http://{server}/")),
        ("network namespace of c1", format!("its own; the server is {server}")),
        ("API server of c1", "takes connections".to_owned()),
        ("answer of c1", "over plain HTTP".to_owned()),
        ("rights of c1", "services, endpointslices and nodes may be listed and watched".to_owned()),
        ("state file", "state.json".to_owned()),
    ] {
        said.ok(name, &words);
    }
    let report = std::fs::read_to_string(report).expect("written");
    for part in ["outcome: ok", &said.text, "times in ms", "\"refused-path\": []", "\"gnmi-encoding\": \"json-ietf\""] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
    for secret in [TOKEN, PASSWORD] {
        assert!(!report.contains(secret) && !said.text.contains(secret));
    }
    assert_eq!(bench.leaf(LEAF).datastore().running(), configured, "nothing is configured");
    assert_eq!(bench.process(LEAF), Some(pid), "the agent goes on");
    assert_eq!(writes.but_freshness(), Vec::<String>::new(), "nothing is written");

    commit(&bench, "set / k8s-services cluster c1 ecmp-limit 8").await;
    let said = doctor(&bench, &[]).await;
    said.is("warning", "saved configuration", "not saved: /k8s-services;", "save startup");
    assert_eq!(said.status, 1, "{}", said.text);
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_problems_of_the_gnmi_password_socket_and_rate_limit() {
    let bench = Bench::healthy().await;
    save(&bench);
    let gnmi = bench.lab.gnmi_server(LEAF).expect("it runs");
    let file = bench.leaf(LEAF).password_file();

    mode(&file, 0o644);
    let said = doctor(&bench, &[]).await;
    said.fails("gNMI", "can be read by everyone (mode 0644)", &format!("sudo chmod 0600 {}", file.display()));
    mode(&file, 0o600);

    gnmi.set_password("another");
    let said = doctor(&bench, &[]).await;
    said.fails("gNMI", "does not accept user 'admin'", &format!("/dev/stdin {}", file.display()));
    said.fails("gNMI", "Unauthenticated", "grpc-server insecure-mgmt metadata-authentication false");
    // The saved configuration says how clusters are reached.
    said.ok("rights of c1", "may be listed and watched");
    gnmi.set_password(PASSWORD);

    gnmi.set_rate_limit(Some(0));
    let said = doctor(&bench, &[]).await;
    said.is("warning", "gNMI", "limits requests", "rate-limit 120");
    gnmi.set_rate_limit(None);

    let said = doctor(&bench, &["--gnmi=unix:///nowhere/sr_grpc_server_agents"]).await;
    let command = "set / system grpc-server agents admin-state enable services [ gnmi ] unix-socket admin-state enable";
    said.fails("gNMI", "unix-socket enabled", command);
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_the_command_for_a_stopped_agent_or_ndk() {
    let bench = Bench::healthy().await;
    save(&bench);
    commit(&bench, "set / system ndk-server admin-state disable").await;
    let said = doctor(&bench, &[]).await;
    said.fails("NDK", "the NDK server is off", "set / system ndk-server admin-state enable");
    said.is("warning", "saved configuration", "/system/ndk-server", "save startup");
    commit(&bench, "set / system ndk-server admin-state enable").await;
    bench.until(LEAF, &[(NDK_SOURCE, Is("synced"))]).await;
    bench.until(LEAF, HEALTHY_LOCAL).await;

    bench.act(&["app: { leaf: leaf1, app: k8s-services, operation: stop }"]).await;
    let gnmi = format!("--gnmi=unix://{}", bench.leaf(LEAF).gnmi_socket().display());
    let password = format!("--gnmi-password-file={}", bench.leaf(LEAF).password_file().display());
    let folder = format!("--credentials-dir={}", bench.lab.run_folder().display());
    let said = doctor(&bench, &[&gnmi, &password, &folder]).await;
    said.fails("application manager", "the application is ", &format!("application {AGENT} restart"));
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_the_file_and_the_remedy_for_bad_credentials() {
    let bench = Bench::healthy().await;
    // It runs more often in a minute than the limit allows.
    bench.leaf(LEAF).gnmi().set_rate_limit(None);
    bench.cluster().set_token(Some(TOKEN));
    renew_kubeconfig(&bench);
    let file = kubeconfig(&bench).to_owned();
    let path = file.display();

    mode(&file, 0o644);
    let said = doctor(&bench, &[]).await;
    said.fails("credentials of c1", "can be read by everyone", &format!("sudo chmod o= {path}"));
    mode(&file, 0o622);
    let said = doctor(&bench, &[]).await;
    said.fails("credentials of c1", "can be written by others", &format!("sudo chmod go-w {path}"));
    mode(&file, 0o600);

    bench.cluster().set_token(Some("the next token"));
    let said = doctor(&bench, &[]).await;
    said.fails("rights of c1", "does not accept the credentials (401", "make-kubeconfig --name c1");
    said.fails("rights of c1", "401", &format!("sudo install -o srlinux -m 0600 c1.kubeconfig {path}"));

    std::fs::remove_file(&file).expect("removed");
    let said = doctor(&bench, &[]).await;
    said.fails("credentials of c1", &format!("kubeconfig {path} does not exist"), "make-kubeconfig --name c1");

    mode(bench.lab.run_folder(), 0o777);
    let said = doctor(&bench, &[]).await;
    said.fails("credentials folder", "can be written by others", "sudo chmod go-w ");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_distinguishes_api_refusals_missing_rights_and_untrusted_certificates() {
    // Behind the filter of a release, connections to a missing server are dropped instead of refused.
    let bench = Bench::start(LAB, Profile::default(), |_| {}).await;
    bench.until_healthy().await;
    bench.cluster().deny("endpointslices.discovery.k8s.io");
    let said = doctor(&bench, &[]).await;
    said.fails("rights of c1", "not allowed to list endpointslices", "kubectl apply -f /opt/k8s-services/rbac/");
    bench.cluster().allow("endpointslices.discovery.k8s.io");

    bench.cluster().stop().await;
    let said = doctor(&bench, &[]).await;
    said.fails("API server of c1", "Connection refused", "curl -vk ");
    bench.cluster().start().await;

    let lines = ["delete / k8s-services cluster c1 kubeconfig", &tls_server(&bench).await];
    commit(&bench, &lines.join("\n")).await;
    let said = doctor(&bench, &[]).await;
    said.fails("answer of c1", "is not accepted", "openssl s_client -connect 127.0.0.1:");
    bench.down().await;
}

/// Starts a server whose certificate the leaf's authority did not sign. Returns the configuration lines for it.
async fn tls_server(bench: &Bench) -> String {
    let authority = bench.lab.run_folder().join("ca.pem");
    std::fs::write(&authority, OTHER_AUTHORITY).expect("written");
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config.expect("a pair")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            // The client aborts the handshake.
            tokio::spawn(async move { drop(acceptor.accept(stream).await) });
        }
    });
    let cluster = "set / k8s-services cluster c1";
    format!("{cluster} api-server https://{address}\n{cluster} certificate-authority-file {}", authority.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_a_wrong_network_instance_and_network_namespace() {
    let bench = Bench::healthy().await;
    commit(&bench, "set / k8s-services cluster c1 network-instance nowhere").await;
    let said = doctor(&bench, &[]).await;
    let command = "set / k8s-services cluster c1 network-instance NAME";
    said.fails("network instance of c1", "nowhere does not exist on this switch", command);

    commit(&bench, "set / k8s-services cluster c1 network-namespace nowhere").await;
    let said = doctor(&bench, &[]).await;
    let command = "set / k8s-services cluster c1 network-namespace NAME";
    said.fails("network namespace of c1", "network namespace nowhere does not exist", command);
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_a_filter_that_drops_replies_with_the_lines_to_commit() {
    let profile = Profile { cpm_filter: true, ..Profile::default() };
    let bench = Bench::start(LAB, profile, |_| {}).await;
    bench.until_healthy().await;
    commit(&bench, "delete / acl acl-filter cpm type ipv4 entry 370").await;
    let said = doctor(&bench, &[]).await;
    said.fails("API server of c1", "the control-plane filter drops the replies of 127.0.0.1:", "action accept");
    said.fails("API server of c1", "(entry 1000)", "commit save");

    let (_, _, remedy) = said.check("API server of c1");
    let lines: Vec<&str> = remedy.into_iter().filter(|line| line.starts_with("set / ")).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    commit(&bench, &lines.join("\n")).await;
    let said = doctor(&bench, &[]).await;
    said.ok("API server of c1", "takes connections");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_a_refused_path_and_an_unloaded_module() {
    let mut profile = Profile::default();
    profile.gnmi.unknown = ["received-routes", "ndk-server"].map(str::to_owned).to_vec();
    let bench = Bench::start(LAB, profile, |_| {}).await;
    bench.until_healthy().await;
    let said = doctor(&bench, &["--ndk=unix:///nowhere/sr_sdk_service_manager:50053"]).await;
    said.fails("NDK", "this release has no switch for it", "application sdk_mgr restart");
    let said = doctor(&bench, &[]).await;
    said.is("warning", "gNMI", "afi-safi[afi-safi-name=*]/received-routes", "k8s-services doctor --report");
    said.ok("adaptation", "done without: /network-instance[name=*]/protocols/bgp");
    bench.down().await;

    let mut profile = Profile::default();
    profile.gnmi.unknown = vec![AGENT.to_owned()];
    let bench = Bench::start(LAB, profile, |_| {}).await;
    bench.until_healthy().await;
    let said = doctor(&bench, &[]).await;
    said.fails("YANG", "the module is not loaded", "app_mgr reload");
    bench.down().await;
}

/// A process that is the agent of a leaf and runs as an ordinary user. Dropping it kills the process.
struct Other(std::process::Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    fn start(bench: &Bench) -> Self {
        let (run, leaf) = (bench.lab.run_folder(), bench.leaf(LEAF));
        let program = run.join(AGENT);
        std::fs::copy(env!("CARGO_BIN_EXE_k8s-services"), &program).expect("copied");
        for (path, bits) in
            [(run, 0o755), (&program, 0o755), (leaf.ndk().socket(), 0o777), (&leaf.gnmi_socket(), 0o777)]
        {
            mode(path, bits);
        }
        let child = std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
            .arg(&program)
            .arg(format!("--ndk=unix://{}", leaf.ndk().socket().display()))
            .arg(format!("--gnmi=unix://{}", leaf.gnmi_socket().display()))
            .arg(format!("--gnmi-password-file={}", leaf.password_file().display()))
            .arg(format!("--credentials-dir={}", run.display()))
            .args(["--syslog=none", "--state-file=/nowhere/state.json"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("setpriv is part of util-linux");
        Self(child)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_checks_files_as_the_agents_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let bench = Bench::healthy().await;
    save(&bench);
    mode(&startup(&bench), 0o600);
    commit(&bench, "set / k8s-services cluster c1 network-namespace srbase-mgmt").await;
    bench.act(&["app: { leaf: leaf1, app: k8s-services, operation: stop }"]).await;
    let other = Other::start(&bench);
    let reason = format!("{CLUSTER}/oper-reason");
    if shows_without_gnmi() {
        bench.until(LEAF, &[(&reason, Has("Permission denied"))]).await;
    }
    let pid = format!("--pid={}", other.0.id());
    let file = kubeconfig(&bench).display().to_string();

    // As docker cp and sudo cp leave files: owned by root, and readable only for root.
    let said = doctor(&bench, &[&pid]).await;
    said.ok("agent", &format!("it runs as process {} of user 65534", other.0.id()));
    let password = bench.leaf(LEAF).password_file();
    said.fails("gNMI", "Permission denied", &format!("sudo chown srlinux: {}", password.display()));
    said.fails("credentials of c1", "Permission denied", &format!("sudo chown srlinux: {file}"));
    said.is("warning", "state file", "/nowhere is not there", "sudo install -d -o srlinux -g srlinux -m 0750 /nowhere");

    for path in [kubeconfig(&bench), &password] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).expect("root may");
    }
    let said = doctor(&bench, &[&pid]).await;
    said.ok("gNMI", "takes every path");
    said.ok("credentials of c1", &file);
    said.fails("network namespace of c1", "srbase-mgmt", "network-namespace");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_does_not_fail_on_differences_between_releases() {
    for name in ["24.10", "26.7", "strict"] {
        let bench = Bench::start(LAB, name.parse::<Profile>().expect("a profile"), |_| {}).await;
        bench.until_healthy().await;
        save(&bench);
        mode(bench.lab.run_folder(), 0o700);
        let said = doctor(&bench, &[]).await;
        assert_eq!(said.status, 0, "{name}: {}", said.text);
        said.ok("adaptation", "end of dump counted (");
        bench.down().await;
    }
}
