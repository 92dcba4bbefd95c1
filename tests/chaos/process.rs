//! Resource usage of a process, as counted by the kernel.

use std::time::Duration;

/// Unit of the kernel's processor time, on every architecture Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// Resource usage of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time since its start.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident: u64,
}

/// Returns the usage of a process; `None` if it has ended.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything, so fields are counted after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |position: usize| fields.get(position).and_then(|field| field.parse::<u64>().ok());
    let ticks = number(11)? + number(12)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(Usage { cpu: TICK * u32::try_from(ticks).ok()?, resident: resident.parse::<u64>().ok()? << 10 })
}
