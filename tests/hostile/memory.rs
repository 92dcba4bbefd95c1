//! Measures peak memory, in a separate process because tests of one program share theirs.

use std::fs;
use std::future::Future;
use std::process::Command;

/// Set in the process that measures.
const MEASURES: &str = "HOSTILE_MEASURES";

/// Memory budget in bytes for the whole process, including the hostile server.
pub(crate) const BUDGET: u64 = 150 << 20;

/// Awaits `what`, and asserts that a process that runs only this test stays within the budget meanwhile.
pub(crate) async fn within_budget<T>(what: impl Future<Output = T>) -> T {
    if std::env::var_os(MEASURES).is_none() {
        measure_this_test();
        return what.await;
    }
    // Resets the peak (proc(5)).
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    let result = what.await;
    let peak = status("VmHWM:");
    assert!(peak < BUDGET, "{} MiB at the most", peak >> 20);
    result
}

/// Runs this thread's test in a separate process.
fn measure_this_test() {
    let thread = std::thread::current();
    let name = thread.name().expect("the harness names threads after tests");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let output = command.args([name, "--exact", "--nocapture"]).env(MEASURES, "1").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}, alone: {text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{name} is no test");
}

/// Returns the resident memory in bytes.
pub(crate) fn resident() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    status_of("self", name)
}

/// Returns a size in the status of a process (proc(5)), in bytes.
pub(crate) fn status_of(process: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("proc");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}
