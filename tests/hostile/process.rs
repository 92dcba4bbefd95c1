//! Tests the privileges that the running process has given up.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// CAP_SYS_ADMIN in the masks of proc(5).
const SYS_ADMIN: u64 = 1 << 21;

const PROGRAM: &str = env!("CARGO_BIN_EXE_k8s-services");

/// An agent without any peers. Dropping it kills the process.
struct Agent(Child);

impl Agent {
    /// Returns its folder in proc(5).
    fn folder(&self) -> PathBuf {
        Path::new("/proc").join(self.0.id().to_string())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    line.trim_start_matches(':').trim().to_owned()
}

fn mask(status: &str, name: &str) -> u64 {
    u64::from_str_radix(&field(status, name), 16).expect("a mask")
}

/// Starts an agent and waits until the threads of its runtime, which are started last, run. Returns it and their status.
async fn started(program: &Path, folder: &Path, user: Option<u32>) -> (Agent, Vec<String>) {
    let mut command = Command::new(program);
    command
        .args(["--ndk=http://127.0.0.1:1", "--gnmi=http://127.0.0.1:1", "--syslog=none"])
        .arg(format!("--state-file={}", folder.join("state/state.json").display()))
        .arg(format!("--credentials-dir={}", folder.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let agent = Agent(command.spawn().expect("the agent was built with this program"));
    let process = agent.folder();
    loop {
        let threads: Vec<String> = fs::read_dir(process.join("task"))
            .expect("it runs")
            .map(|task| fs::read_to_string(task.expect("a thread").path().join("status")).unwrap_or_default())
            .collect();
        if threads.iter().any(|status| status.starts_with("Name:\ttokio")) {
            return (agent, threads);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_one_thread_may_raise_the_capability_and_none_has_it_in_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let (agent, threads) = started(Path::new(PROGRAM), folder.path(), None).await;
    let given = mask(&fs::read_to_string("/proc/self/status").expect("proc"), "CapPrm") & SYS_ADMIN;
    for status in &threads {
        assert_eq!(field(status, "NoNewPrivs"), "1", "{status}");
        assert_eq!(mask(status, "CapEff") & SYS_ADMIN, 0, "{status}");
        let kept = if field(status, "Name") == "dialers" { given } else { 0 };
        assert_eq!(mask(status, "CapPrm") & SYS_ADMIN, kept, "{status}");
    }
    let limits = fs::read_to_string(agent.folder().join("limits")).expect("proc");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[tokio::test]
async fn the_process_of_an_ordinary_user_cannot_be_dumped_or_debugged() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = rustix::process::geteuid().is_root();
    // The folder of the build may be one that only root can enter.
    let program = folder.path().join("k8s-services");
    fs::copy(PROGRAM, &program).expect("copied");
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    let (agent, _) = started(&program, folder.path(), root.then_some(65_534)).await;
    // Files of a process in proc(5) belong to its user, but to root if it cannot be dumped, and so not be traced.
    for name in ["mem", "environ", "fd"] {
        let owner = fs::metadata(agent.folder().join(name)).expect("it runs").uid();
        assert_eq!(owner, 0, "{name}");
    }
}
