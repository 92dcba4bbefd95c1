//! Tests with failing writes of the state file and of the log.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use srl_sim::fabric::Lever;
use srl_sim::lab::Action;

use crate::bench::{Bench, RECOVERY, alarms, programs};

const REFUSED: &str = "the state file cannot be written";
const TAKEN: &str = "the state file is written again";
/// Text of a state file with active alarms, and without.
const RAISED: &str = "\"alarms\":[[";
const NONE_RAISED: &str = "\"alarms\":[]";

fn session_down(leaf: &str, node: &str) -> Lever {
    Lever::SessionDown { leaf: Some(leaf.to_owned()), node: node.to_owned() }
}

/// Waits until a leaf has an alarm, or none.
async fn until_alarmed(bench: &Bench, leaf: &str, alarmed: bool) {
    let wrong = |state: &serde_json::Value| {
        (alarms(state).is_empty() == alarmed).then(|| format!("alarms: {:?}", alarms(state)))
    };
    bench.until(leaf, RECOVERY, wrong).await;
}

/// Waits until the state file of a leaf contains this text. Polls, because files have no change events here.
async fn until_kept(bench: &Bench, leaf: &str, file: &Path, text: &str) {
    let deadline = tokio::time::Instant::now() + RECOVERY;
    while !std::fs::read_to_string(file).is_ok_and(|kept| kept.contains(text)) {
        assert!(tokio::time::Instant::now() < deadline, "{}", bench.failure(leaf, "the state file was not written"));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unwritable_state_file_is_logged_once_and_written_once_possible() {
    let bench = Bench::with(&programs(), |lab, run| {
        let arguments = lab.apps.iter_mut().flat_map(|app| &mut app.arguments);
        arguments.for_each(|it| *it = it.replace("${folder}/state.json", "${folder}/kept/state.json"));
        std::fs::create_dir_all(run.join("leaf1")).expect("made");
        std::fs::write(run.join("leaf1/kept"), "a file where a folder should be").expect("written");
    })
    .await;
    bench.until_healthy().await;
    for _ in 0..2 {
        bench.act(&Action::Pull(session_down("leaf1", "cluster1"))).await;
        until_alarmed(&bench, "leaf1", true).await;
        bench.act(&Action::Release(session_down("leaf1", "cluster1"))).await;
        until_alarmed(&bench, "leaf1", false).await;
    }
    let in_the_way = bench.leaf("leaf1").folder().join("kept");
    std::fs::remove_file(&in_the_way).expect("removed");
    until_kept(&bench, "leaf1", &in_the_way.join("state.json"), "neighbor-session-down").await;
    let log = bench.log("leaf1");
    assert_eq!((log.matches(REFUSED).count(), log.matches(TAKEN).count()), (1, 1), "{log}");
    bench.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_survives_a_full_disk_and_saves_its_state_once_there_is_room() {
    let bench = Bench::healthy().await;
    let (pid, file) = (bench.process("leaf2"), bench.leaf("leaf2").folder().join("state.json"));
    bench.act(&Action::Pull(session_down("leaf2", "cluster1-m02"))).await;
    until_kept(&bench, "leaf2", &file, RAISED).await;
    bench.act(&Action::Release(session_down("leaf2", "cluster1-m02"))).await;
    until_kept(&bench, "leaf2", &file, NONE_RAISED).await;
    let before = std::fs::read_to_string(&file).expect("it is there");
    limit_files(pid, Some(1));
    bench.act(&Action::Pull(session_down("leaf2", "cluster1-m02"))).await;
    until_alarmed(&bench, "leaf2", true).await;
    let kept = std::fs::read_to_string(&file).expect("the file of before");
    assert_eq!(kept, before, "no room was left for another");
    limit_files(pid, None);
    until_kept(&bench, "leaf2", &file, RAISED).await;
    assert_eq!(bench.process("leaf2"), pid, "{}", bench.failure("leaf2", "the agent ended"));
    bench.expect_no_exit();
    bench.down().await;
}

/// Limits the size of files that a process writes.
fn limit_files(pid: Option<u32>, current: Option<u64>) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).expect("the agent runs, and is ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_output_cannot_be_written_works_normally() {
    let folder = tempfile::tempdir().expect("a folder");
    wrap(folder.path(), "exec >/dev/full 2>&1");
    let bench = Bench::with(folder.path(), |_, _| {}).await;
    bench.until_healthy().await;
    bench.act(&Action::Pull(session_down("leaf1", "cluster1"))).await;
    until_alarmed(&bench, "leaf1", true).await;
    bench.expect_no_exit();
    bench.down().await;
}

/// Creates a program with the agent's name that runs `first` and then the agent.
pub(crate) fn wrap(folder: &Path, first: &str) {
    let own = folder.join(crate::bench::AGENT);
    let agent = programs().join(crate::bench::AGENT);
    std::fs::write(&own, format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", agent.display())).expect("written");
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).expect("made executable");
}
