//! Tests the privileges that the running process has given up.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// CAP_SYS_ADMIN in the masks of proc(5).
const SYS_ADMIN: u64 = 1 << 21;

/// An agent without any peers. Dropping it kills the process.
struct Agent(Child);

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

#[tokio::test]
async fn only_one_thread_may_raise_the_capability_and_none_has_it_in_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = Command::new(env!("CARGO_BIN_EXE_k8s-services"))
        .args(["--ndk=http://127.0.0.1:1", "--gnmi=http://127.0.0.1:1", "--syslog=none"])
        .arg(format!("--state-file={}", folder.path().join("state/state.json").display()))
        .arg(format!("--credentials-dir={}", folder.path().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the agent was built with this program");
    let agent = Agent(child);
    let process = Path::new("/proc").join(agent.0.id().to_string());
    // The runtime's threads are started last.
    let threads = loop {
        let threads: Vec<String> = fs::read_dir(process.join("task"))
            .expect("it runs")
            .map(|task| fs::read_to_string(task.expect("a thread").path().join("status")).unwrap_or_default())
            .collect();
        if threads.iter().any(|status| status.starts_with("Name:\ttokio")) {
            break threads;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let given = mask(&fs::read_to_string("/proc/self/status").expect("proc"), "CapPrm") & SYS_ADMIN;
    for status in &threads {
        assert_eq!(field(status, "NoNewPrivs"), "1", "{status}");
        assert_eq!(mask(status, "CapEff") & SYS_ADMIN, 0, "{status}");
        let kept = if field(status, "Name") == "dialers" { given } else { 0 };
        assert_eq!(mask(status, "CapPrm") & SYS_ADMIN, kept, "{status}");
    }
    let limits = fs::read_to_string(process.join("limits")).expect("proc");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
