//! Tests of files that are not regular files, or that belong to somebody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, assert_printable};
use crate::memory::within_budget;
use crate::server::Server;

fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("pipe");
    assert!(Command::new("mkfifo").args(["-m", "0600"]).arg(&path).status().expect("mkfifo").success());
    path
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
}

#[tokio::test]
async fn a_kubeconfig_that_is_a_pipe_is_reported_at_once_and_blocks_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = pipe(folder.path());
    let begun = Instant::now();
    let mut clusters: Vec<Cluster> = (0..4).map(|_| Cluster::by(&pipe)).collect();
    for cluster in &mut clusters {
        let reason = cluster.lost().await;
        assert!(reason.contains("is a pipe, not a file"), "{reason}");
    }
    Cluster::of(&Server::start().await).synced().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn oversized_files_are_reported_and_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large");
    private(&large, "");
    fs::File::options().write(true).open(&large).and_then(|file| file.set_len(4 << 30)).expect("a sparse file");
    let small = folder.path().join("small");
    private(&small, include_str!("../../agent/kubernetes/tests/tls/ca.pem"));
    within_budget(async {
        let certified = |files: [&Path; 3]| Cluster::certified("https://127.0.0.1:1", files[0], files[1], files[2]);
        for (mut cluster, words) in [
            (certified([&large, &small, &small]), "large is larger than 524288 bytes"),
            (certified([&small, &large, &small]), "large is larger than 524288 bytes"),
            (certified([&small, &small, &large]), "large is larger than 524288 bytes"),
            (Cluster::by(&large), "is larger than 1048576 bytes"),
            (Cluster::at("http://127.0.0.1:1", Some(large.clone())), "is larger than 65536 bytes"),
            (Cluster::by(Path::new("/dev/zero")), "is a device, not a file"),
            (Cluster::by(folder.path()), "is a folder, not a file"),
            (Cluster::by(Path::new("/nowhere/c1.kubeconfig")), "kubeconfig /nowhere/c1.kubeconfig does not exist"),
        ] {
            let reason = cluster.lost().await;
            assert!(reason.contains(words), "{reason}");
            assert_printable(&reason);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_with_a_yaml_bomb_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..12 {
        let before = format!("*a{}, ", at - 1).repeat(9);
        bomb.push_str(&format!("a{at}: &a{at} [{before}]\n"));
    }
    let deep = format!("contexts: {}", "[".repeat(100_000));
    within_budget(async {
        for text in [bomb.as_str(), &deep, "\u{0}", "kind: [Config", "- a\n- b\n"] {
            private(&path, text);
            let reason = Cluster::by(&path).lost().await;
            assert!(reason.contains("config"), "{reason}");
            assert_printable(&reason);
        }
    })
    .await;
}
