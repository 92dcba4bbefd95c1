//! Tests with an FRR next to each speaker, which writes FRR's configuration and has it reloaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::native::{HEALTHY, PREFIX, announced_in, policy};
use super::{ALL, EXCLUDE, METALLB, Mode, PATIENCE, PAUSE, list, ready};
use crate::bench::Says::{Has, Is};
use crate::daemons::Frr;
use crate::site::Options;

/// FRR's reload script, from `frr-pythontools`.
const RELOAD: &str = "/usr/lib/frr/frr-reload.py";
/// Gives the reloader the paths of daemons and configuration that it has in its pod.
const IN_POD: &str = "mount -t tmpfs none /run && mkdir /run/frr && mount --bind \"$1\" /run/frr &&
    mount --bind \"$2\" /etc/frr && exec bash \"$3\"";

/// Returns why FRR cannot be reloaded here.
pub(super) fn missing() -> Option<String> {
    let there = Path::new(RELOAD).exists();
    (!there).then(|| format!("FRR cannot be reloaded: no {RELOAD} (packaging/need-packages frr-pythontools)"))
}

/// The FRR of a node, and MetalLB's reloader for it.
pub(super) struct Beside {
    pub(super) frr: Frr,
    _reloader: Child,
    shared: PathBuf,
}

impl Beside {
    /// Starts both.
    pub(super) async fn start(namespace: &str, folder: &Path, programs: &Path) -> Self {
        let mut frr = Frr::new(namespace, folder.to_owned(), Arc::default());
        frr.start("zebra", "").await;
        frr.start("bfdd", "").await;
        frr.start("bgpd", "").await;
        let (shared, etc) = (folder.join("reloader"), folder.join("etc"));
        for new in [&shared, &etc] {
            std::fs::create_dir(new).expect("a new folder");
        }
        std::fs::write(etc.join("vtysh.conf"), "service integrated-vtysh-config\n").expect("written");
        let log = std::fs::File::create(folder.join("reloader.log")).expect("a log file");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "sh", "-c", IN_POD, "reloader"]).arg(folder).arg(&etc);
        command.arg(programs.join("frr-tools/reloader/frr-reloader.sh")).env("SHARED_VOLUME", &shared);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        let reloader = command.kill_on_drop(true).spawn().expect("ip runs");
        let it = Self { frr, _reloader: reloader, shared };
        let deadline = Instant::now() + PATIENCE;
        while !it.pid_file().exists() {
            assert!(Instant::now() < deadline, "the reloader does not start: see {}", folder.display());
            sleep(PAUSE).await;
        }
        it
    }

    fn pid_file(&self) -> PathBuf {
        self.shared.join("reloader.pid")
    }

    /// Configures a speaker to use this FRR.
    pub(super) fn tell(&self, speaker: &mut Command) {
        speaker.env("FRR_CONFIG_FILE", self.shared.join("frr.conf")).env("FRR_RELOADER_PID_FILE", self.pid_file());
        speaker.args(["--bgp-debounce-timeout", "100"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metallb_in_frr_mode_announces_by_the_same_rules() {
    let Some(mut site) = announced_in(Mode::Frr, Options::default()).await else { return };
    site.service("nginxhello", policy("Local")).await;
    site.endpoints("nginxhello", &[ready("node1"), ready("node3")]).await;
    site.agree("policy Local announces where an endpoint is", &[(PREFIX, &["node1", "node3"])]).await;
    site.endpoints("nginxhello", &[]).await;
    site.agree("nobody announces without an endpoint", &[]).await;
    site.both(&[("oper-state", Is("down")), ("oper-reason", Is("no-ready-endpoint"))]).await;
    site.service("nginxhello", policy("Cluster")).await;
    site.endpoints("nginxhello", &[ready("node1")]).await;
    site.agree("everybody does with one", &[(PREFIX, ALL)]).await;
    site.node("node2", serde_json::json!({"metadata": {"labels": {EXCLUDE: ""}}})).await;
    site.agree("the label excludes", &[(PREFIX, &["node1", "node3"])]).await;
    site.node("node2", serde_json::json!({"metadata": {"labels": {EXCLUDE: null}}})).await;
    site.agree("without it the node is back", &[(PREFIX, ALL)]).await;

    // FRR outlives its speaker. What the speaker reported is deleted with its pod.
    site.kill_speaker("node2").await;
    let statuses = format!("{METALLB}/servicebgpstatuses");
    let said = site.admin.get(&statuses).await.expect("listed");
    for item in list(&said, "items").filter(|item| item["status"]["node"] == "node2") {
        site.admin.delete(&format!("{statuses}/{}", item["metadata"]["name"].as_str().expect("a name"))).await;
    }
    site.agree("an FRR without its speaker goes on", &[(PREFIX, ALL)]).await;
    site.both(HEALTHY).await;

    site.beside.get_mut("node2").expect("its FRR").frr.kill("bgpd").await;
    site.agree("until it ends too", &[(PREFIX, &["node1", "node3"])]).await;
    site.both(&[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))]).await;
    site.both(&[("oper-detail", Has("192.168.1.12 (node2)"))]).await;
    site.down().await;
}
