//! Creates hosts as network namespaces with links between them, and removes them however the tests end.
//!
//! Namespaces are named after the process that created them. A guardian, which is a shell in its own process group,
//! waits for the end of its input and then removes them. Its input ends with the [`Net`] or with the process. What a
//! killed guardian has left is removed by the next run.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use srl_sim::lab::LabContent;

/// Prefix of all names of namespaces.
const PREFIX: &str = "k8s-e2e-";
/// Folder in which `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
const GUARDIAN: &str = include_str!("guardian.sh");

/// A set of hosts.
pub(crate) struct Net {
    prefix: String,
    folder: PathBuf,
    guardian: Child,
}

impl Drop for Net {
    fn drop(&mut self) {
        // The logs of a failed test are kept: its message names them.
        if std::thread::panicking()
            && let Some(input) = &mut self.guardian.stdin
        {
            println!("what the daemons logged: {}", self.folder.display());
            let _ = input.write_all(b"keep\n");
        }
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

impl Net {
    /// Creates an empty set of hosts. Returns the reason if namespaces cannot be created here.
    pub(crate) fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        sweep();
        let me = std::process::id();
        let start = started(me).ok_or("/proc is not mounted")?;
        let prefix = format!("{PREFIX}{me}-{start}-{}-", COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::Builder::new().prefix("e2e").tempdir().map_err(|error| error.to_string())?.keep();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).map_err(|error| error.to_string())?;
        let guardian = guardian(&prefix, &folder)?;
        let net = Self { prefix, folder, guardian };
        // Root in a container may still lack the permission.
        net.host("probe").map_err(|error| format!("network namespaces cannot be made here: {error}"))?;
        Ok(net)
    }

    /// Creates a host with its loopback up. Returns its namespace.
    pub(crate) fn host(&self, name: &str) -> Result<String, String> {
        let namespace = format!("{}{name}", self.prefix);
        ip(&["netns", "add", &namespace])?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Returns a folder for files of the hosts.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// If set, peers that can be obtained must be there: a test that would be skipped fails instead.
const REQUIRED: &str = "K8S_SERVICES_REQUIRE_PEERS";

/// Prints why a test is skipped. It bypasses the test harness, which would capture the output.
///
/// # Panics
/// Panics if peers are required.
pub(crate) fn skipped(reason: &str) {
    assert!(std::env::var_os(REQUIRED).is_none_or(|required| required.is_empty()), "required, but {reason}");
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Prints why a test is skipped. For a peer that is in no package registry, so that nobody can be required to have it.
pub(crate) fn unobtainable(reason: &str) {
    let _ = writeln!(std::io::stderr(), "not to be had: {reason}");
}

/// Lets the agents of a lab use credentials from the folder that contains the lab's own folder: the hosts write theirs
/// there.
pub(crate) fn share_credentials(lab: &mut LabContent) {
    for argument in lab.apps.iter_mut().flat_map(|app| &mut app.arguments) {
        if argument.starts_with("--credentials-dir=") {
            *argument = "--credentials-dir=${folder}/../..".to_owned();
        }
    }
}

/// Moves this thread into a network namespace.
pub(crate) fn enter(namespace: &str) -> io::Result<()> {
    let file = File::open(Path::new(NAMESPACES).join(namespace))?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Runs `ip`.
pub(crate) fn ip(arguments: &[&str]) -> Result<String, String> {
    let shown = || format!("ip {}", arguments.join(" "));
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("{}: {error}", shown()))?;
    if !output.status.success() {
        return Err(format!("{}: {}", shown(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn guardian(prefix: &str, folder: &Path) -> Result<Child, String> {
    let mut command = Command::new("sh");
    command.args(["-c", GUARDIAN, "guardian", prefix]).arg(folder).stdin(Stdio::piped()).process_group(0);
    command.spawn().map_err(|error| format!("sh: {error}"))
}

/// Removes the namespaces of processes that have ended.
fn sweep() {
    let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(owner) = name.strip_prefix(PREFIX) else { continue };
        let mut parts = owner.split('-');
        let pid = parts.next().and_then(|pid| pid.parse().ok());
        let (Some(pid), Some(start)) = (pid, parts.next()) else { continue };
        if started(pid).as_deref() != Some(start) {
            let left = guardian(&format!("{PREFIX}{pid}-{start}-"), Path::new("/nonexistent"));
            // Its input is closed with the handle.
            let _ = left.and_then(|left| left.wait_with_output().map_err(|error| error.to_string()));
        }
    }
}

/// Returns the start time of a process in ticks since boot, which no later process with the same id has.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    /// Set for the process that will be killed.
    const VICTIM: &str = "E2E_VICTIM";

    #[test]
    fn namespaces_and_their_processes_end_with_a_killed_owner() {
        if std::env::var_os(VICTIM).is_some() {
            return be_killed();
        }
        if let Err(reason) = Net::new() {
            return skipped(&reason);
        }
        let name = "net::tests::namespaces_and_their_processes_end_with_a_killed_owner";
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        command.args([name, "--exact", "--nocapture"]).env(VICTIM, "").stdout(Stdio::piped());
        let mut victim = command.spawn().expect("this program runs");
        let mut output = BufReader::new(victim.stdout.take().expect("piped"));
        let mut lines = String::new();
        while !lines.contains(" in ") {
            assert_ne!(output.read_line(&mut lines).expect("readable"), 0, "it ended by itself: {lines}");
        }
        let (_, made) = lines.split_once("folder ").expect("it says what it made");
        let (folder, namespace) = made.trim().split_once(" in ").expect("and where");
        let namespace = Path::new(NAMESPACES).join(namespace);
        assert!(Path::new(folder).exists() && namespace.exists());
        victim.kill().expect("a process of ours can be killed");
        victim.wait().expect("it ends");
        // Its output ends with the last process that writes to it: the guardian, or what the guardian had to kill.
        output.read_to_string(&mut String::new()).expect("readable");
        assert!(!namespace.exists(), "{} is left", namespace.display());
        assert!(!Path::new(folder).exists(), "{folder} is left");
    }

    fn be_killed() {
        let net = Net::new().expect("it could be made before");
        let namespace = net.host("host").expect("made");
        // Told from within: before that, nothing in the namespace would be there to be killed.
        let script = "echo \"folder $1 in $2\"; exec sleep 600";
        let mut sleeping = Command::new("ip");
        sleeping.args(["netns", "exec", &namespace, "sh", "-c", script, "sh"]).arg(net.folder()).arg(&namespace);
        let mut sleeping = sleeping.spawn().expect("ip runs");
        sleeping.wait().expect("killed along with the rest before that");
    }
}
