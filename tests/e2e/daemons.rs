//! Runs FRR's daemons on one host. Each can be started and killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// Folder of the daemons on Debian.
const PROGRAMS: &str = "/usr/lib/frr";
/// The user that the daemons run as. They check that it is in the group of their sockets.
const USER: &str = "frr:frr";
/// Time limit for a daemon to start, and for a command.
const PATIENCE: Duration = Duration::from_secs(15);

/// Returns why FRR cannot run here.
pub(crate) fn missing() -> Option<String> {
    let program = Path::new(PROGRAMS).join("bgpd");
    (!program.exists()).then(|| format!("FRR is not installed: no {} (packaging/need-packages frr)", program.display()))
}

/// The daemons of one host.
pub(crate) struct Frr {
    namespace: String,
    folder: PathBuf,
    news: Arc<Notify>,
    running: BTreeMap<&'static str, Child>,
}

impl Frr {
    /// Creates a host without running daemons. Every line they log will notify `news`.
    pub(crate) fn new(namespace: &str, folder: PathBuf, news: Arc<Notify>) -> Self {
        std::fs::create_dir(&folder).expect("a new folder");
        let owned = std::process::Command::new("chown").arg(USER).arg(&folder).status().expect("chown runs");
        assert!(owned.success(), "{} cannot be given to {USER}", folder.display());
        Self { namespace: namespace.to_owned(), folder, news, running: BTreeMap::new() }
    }

    /// Returns the network namespace of the host.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the folder of the daemons' sockets and logs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a daemon's configuration and starts it. Returns when it answers commands.
    pub(crate) async fn start(&mut self, daemon: &'static str, configuration: &str) {
        std::fs::write(self.file(daemon, "conf"), format!("log stdout debugging\n{configuration}")).expect("written");
        self.start_again(daemon).await;
    }

    /// Starts a daemon with its existing configuration.
    pub(crate) async fn start_again(&mut self, daemon: &'static str) {
        let log = File::options().create(true).append(true).open(self.file(daemon, "log")).expect("a log file");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(Path::new(PROGRAMS).join(daemon));
        command.args(["--vty_port", "0", "--log", "stdout"]);
        command.arg("--config_file").arg(self.file(daemon, "conf"));
        command.arg("--pid_file").arg(self.file(daemon, "pid"));
        command.arg("--socket").arg(self.folder.join("zserv.api"));
        command.arg("--vty_socket").arg(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone().expect("a handle"));
        let mut child = command.kill_on_drop(true).spawn().expect("ip runs");
        let (ready, started) = oneshot::channel();
        let output = child.stdout.take().expect("piped");
        tokio::spawn(follow_log(output, log, self.news.clone(), ready));
        self.running.insert(daemon, child);
        let started = timeout(PATIENCE, started).await;
        assert!(matches!(started, Ok(Ok(()))), "{daemon} does not start: see {}", self.file(daemon, "log").display());
    }

    /// Kills a daemon. It cannot notify its peers.
    pub(crate) async fn kill(&mut self, daemon: &'static str) {
        let mut child = self.running.remove(daemon).expect("it runs");
        child.kill().await.expect("a process of ours can be killed");
        self.news.notify_one();
    }

    /// Pauses a daemon, as if its host had no time for it, or resumes it.
    pub(crate) fn pause(&self, daemon: &'static str, paused: bool) {
        let id = self.running.get(daemon).and_then(Child::id).and_then(|id| Pid::from_raw(id.cast_signed()));
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        kill_process(id.expect("it runs"), signal).expect("a process of ours can be sent a signal");
    }

    /// Runs vtysh with these commands, one after another. Returns its output.
    pub(crate) async fn vtysh(&self, commands: &[&str]) -> String {
        let mut command = Command::new("vtysh");
        command.arg("--vty_socket").arg(&self.folder).kill_on_drop(true);
        commands.iter().for_each(|line| _ = command.args(["-c", line]));
        let output = timeout(PATIENCE, command.output()).await.expect("vtysh ends in time").expect("vtysh runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !text.contains("% "), "vtysh {commands:?}: {text}");
        text
    }

    /// Changes bgpd's configuration of the address family.
    pub(crate) async fn bgp(&self, lines: &[&str]) {
        let context = ["configure terminal", "router bgp", "address-family ipv4 unicast"];
        self.vtysh(&[&context[..], lines].concat()).await;
    }

    fn file(&self, daemon: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{daemon}.{extension}"))
    }
}

/// Copies the log of a daemon, notifies of each line, and signals when the daemon has started.
async fn follow_log(output: ChildStdout, mut log: File, news: Arc<Notify>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = writeln!(log, "{line}");
        if line.contains(" starting: ")
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(());
        }
        news.notify_one();
    }
}
