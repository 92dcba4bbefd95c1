//! The agent and its yardsticks as separate processes, and the resources they use.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use srl_k8s_services::VERSION;

use crate::switch::Switch;

/// Clock ticks per second in `/proc/*/stat` (USER_HZ, 100 on every Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the agent's program: the static one of `make release`, which is what switches run, if it is there and built
/// from the same commit as this program. Its libc differs, and so do its processor time and memory.
pub(crate) fn program() -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dist/k8s-services-{}", std::env::consts::ARCH));
    let version = Command::new(&shipped).arg("--version").output();
    let is_current = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION));
    if is_current { shipped } else { env!("CARGO_BIN_EXE_k8s-services").into() }
}

/// The agent process. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
}

impl Agent {
    /// Starts the agent on a switch.
    pub(crate) fn start(switch: &Switch) -> Self {
        let child = Command::new(program())
            .arg("--ndk")
            .arg(format!("unix://{}", switch.ndk().socket().display()))
            .arg("--gnmi")
            .arg(format!("unix://{}", switch.gnmi_socket().display()))
            .arg("--gnmi-password-file")
            .arg(switch.password_file())
            .arg("--state-file")
            .arg(switch.folder().join("state.json"))
            .arg("--credentials-dir")
            .arg(switch.folder())
            .args(["--log-level", "warn"])
            .stdin(Stdio::null())
            .spawn()
            .expect("the agent was built with this program");
        Self { child }
    }

    /// Returns the processor time so far in seconds, user and system.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }

    /// Returns the resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Returns the peak of the resident memory in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        let kilobytes: u64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default();
        kilobytes * 1024
    }

    /// Returns the processor time used while nothing happens, in seconds per second.
    pub(crate) async fn idle_share(&self, watch: Duration) -> f64 {
        let before = self.cpu();
        tokio::time::sleep(watch).await;
        (self.cpu() - before) / watch.as_secs_f64()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the processor time of a process in seconds, user and system, including ended threads.
pub(crate) fn cpu_of(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the name in parentheses, which may contain anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// Runs this program again as one of the [`crate::yardstick`]s. Returns the numbers it prints.
pub(crate) async fn yardstick(arguments: &[&str]) -> Vec<f64> {
    let program = std::env::current_exe().expect("this program has a path");
    let output = tokio::process::Command::new(program)
        .arg(crate::YARDSTICK)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .expect("this program can be started again");
    assert!(output.status.success(), "{arguments:?} failed: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().map(|number| number.parse().expect("a yardstick prints numbers")).collect()
}
