//! Changes the switch's clock while the agent runs: only timestamps may change.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use srl_sim::fabric::Lever;
use srl_sim::lab::Action;
use tokio::time::Instant;

use crate::bench::{Bench, RECOVERY, alarms, lasting};
use crate::disk::wrap;

/// Long enough to distinguish a hold time from one that is skipped or lasts an hour.
const HOLD: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps_change_timestamps_but_no_verdict_alarm_or_hold_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let offset = folder.path().join("offset");
    std::fs::write(&offset, "+0").expect("written");
    // Read again with each use of the clock. The monotonic clock is not changed, as in the kernel.
    let environment = [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let exports = environment.map(|(name, value)| format!("export {name}='{value}'\n"));
    wrap(folder.path(), &exports.concat());
    let bench = Bench::with(folder.path(), |lab, _| {
        lab.config = lab.config.replace("raise-hold-time 1", "raise-hold-time 4");
    })
    .await;
    bench.until_healthy().await;
    for (text, hours) in [("+3600", 1), ("-3600", -1), ("+0", 0)] {
        let before: Vec<_> = bench.leaves().map(|leaf| (leaf, lasting(&bench.state(leaf)))).collect();
        std::fs::write(&offset, text).expect("written");
        for (leaf, before) in before {
            bench.until(leaf, RECOVERY, |state| reads(state, SignedDuration::from_hours(hours))).await;
            assert_eq!(lasting(&bench.state(leaf)), before, "{}", bench.failure(leaf, "the time changed more"));
        }
        alarm_is_raised_after_its_hold_time(&bench).await;
    }
    for leaf in bench.leaves() {
        let log = bench.log(leaf);
        assert!(!log.contains("does not answer"), "{}", bench.failure(leaf, "a source was lost"));
    }
    bench.down().await;
}

/// Returns the library in Debian's package libfaketime.
fn library() -> PathBuf {
    let machine = std::env::consts::ARCH;
    let path = PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"));
    assert!(path.exists(), "{} is missing: run make deps, which installs libfaketime", path.display());
    path
}

/// Returns why a leaf does not yet show that its agent's clock differs from ours by this much.
fn reads(state: &Value, ahead: SignedDuration) -> Option<String> {
    let sources = state["summary"]["source"].as_array()?;
    let last = sources.iter().find(|source| source["name"] == "ndk")?["last-event"].as_str()?;
    let last: Timestamp = last.parse().ok()?;
    let off = last.duration_since(Timestamp::now() + ahead).abs();
    (off > SignedDuration::from_mins(10)).then(|| format!("the clock reads {last}"))
}

async fn alarm_is_raised_after_its_hold_time(bench: &Bench) {
    let lever = Lever::SessionDown { leaf: Some("leaf1".to_owned()), node: "cluster1".to_owned() };
    let begun = Instant::now();
    bench.act(&Action::Pull(lever.clone())).await;
    bench.until("leaf1", RECOVERY, |state| alarms(state).is_empty().then(|| "no alarm".to_owned())).await;
    let took = begun.elapsed();
    assert!(took >= HOLD && took < HOLD * 4, "{}", bench.failure("leaf1", &format!("raised after {took:?}")));
    bench.act(&Action::Release(lever)).await;
    bench.until_healthy().await;
    for leaf in bench.leaves() {
        bench.until(leaf, RECOVERY, |state| alarms(state).first().map(|alarm| format!("alarm {alarm}"))).await;
    }
}
