//! Tests that the capabilities in the app_mgr definition are sufficient and necessary.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::bench::Says::Has;
use crate::bench::{Bench, CLUSTER, shows_without_gnmi};

/// A network namespace of this test. Dropping it removes the namespace.
struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("k8s-services-rights-{}", std::process::id());
        ip(&["netns", "add", &name]).then_some(Self(name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

/// An agent that app_mgr did not start. Dropping it kills the process.
struct Agent(Child);

impl Agent {
    /// Starts an agent as an ordinary user with only these capabilities: `+sys_admin`, or none.
    fn start(program: &Path, run: &Path, capabilities: &str) -> Self {
        let only = format!("-all{capabilities}");
        let child = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args(["--inh-caps", &only, "--ambient-caps", &only, "--bounding-set", &only])
            .arg(program)
            .arg(format!("--ndk=unix://{}/leaf1/sr_sdk_service_manager:50053", run.display()))
            .args(["--gnmi=http://127.0.0.1:1", "--syslog=none", "--state-file=/nowhere/state.json"])
            .arg(format!("--credentials-dir={}", run.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv is part of util-linux");
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the capabilities in the app_mgr definition, in the form of setpriv.
fn asked_for() -> String {
    let text = include_str!("../../appmgr/k8s-services.yml");
    let definition: serde_json::Value = serde_norway::from_str(text).expect("YAML");
    let names = definition["k8s-services"]["capability-bounding-set"].as_array().expect("a list");
    names.iter().map(|name| format!(",+{}", name.as_str().expect("a name").to_lowercase())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_user_enters_a_network_namespace_only_with_the_capability() {
    let Some(namespace) = Namespace::new() else {
        println!("skipped: network namespaces cannot be made here");
        return;
    };
    if !shows_without_gnmi() {
        println!("skipped: an ordinary user does not reach gNMI, and without it this release shows no state");
        return;
    }
    let bench = Bench::healthy().await;
    bench.act(&["app: { leaf: leaf1, app: k8s-services, operation: stop }"]).await;
    let run = bench.lab.run_folder();
    let program = run.join("agent");
    std::fs::copy(env!("CARGO_BIN_EXE_k8s-services"), &program).expect("copied");
    for (path, mode) in [("", 0o755), ("agent", 0o755), ("leaf1/sr_sdk_service_manager:50053", 0o777)] {
        std::fs::set_permissions(run.join(path), std::fs::Permissions::from_mode(mode)).expect("permissions");
    }
    let lines = [
        "delete / k8s-services cluster c1 kubeconfig",
        "set / k8s-services cluster c1 api-server http://127.0.0.1:1",
        &format!("set / k8s-services cluster c1 network-namespace {}", namespace.0),
    ];
    bench.act(&[&format!("config: {{ leaf: leaf1, lines: \"{}\" }}", lines.join("\\n"))]).await;

    let reason = format!("{CLUSTER}/oper-reason");
    for (capabilities, says) in [
        (asked_for(), "cannot connect to 127.0.0.1:1 from network namespace k8s-services-rights-"),
        (String::new(), "the agent needs CAP_SYS_ADMIN"),
    ] {
        let agent = Agent::start(&program, run, &capabilities);
        bench.until("leaf1", &[(&reason, Has(says))]).await;
        drop(agent);
    }
    bench.down().await;
}
