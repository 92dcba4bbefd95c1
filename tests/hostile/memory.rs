//! How much memory something took at its most. The tests of this program run one at a time while they measure.

use std::fs;
use std::future::Future;

use tokio::sync::Mutex;

/// What is measured is the whole process: one at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What the hostile budget is, in bytes, for the whole process, the hostile server among it.
pub(crate) const BUDGET: u64 = 150 << 20;

/// Runs it alone, and asserts that the process stays within the budget meanwhile.
pub(crate) async fn within_budget<T>(what: impl Future<Output = T>) -> T {
    let _alone = ALONE.lock().await;
    // Resets the peak (proc(5)).
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let result = what.await;
    let peak = status("VmHWM:");
    assert!(peak < BUDGET, "{} MiB at the most", peak >> 20);
    result
}

/// Bytes resident now.
pub(crate) fn resident() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("proc");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}
