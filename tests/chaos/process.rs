//! What a process uses, as the kernel counts it.

use std::time::Duration;

/// What the kernel counts processor time in, on every architecture Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used by now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time since its begin.
    pub(crate) cpu: Duration,
    /// Resident bytes.
    pub(crate) resident: u64,
}

/// The usage of a process; none when it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything: fields are counted behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |position: usize| fields.get(position).and_then(|field| field.parse::<u64>().ok());
    let ticks = number(11)? + number(12)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(Usage { cpu: TICK * u32::try_from(ticks).ok()?, resident: resident.parse::<u64>().ok()? << 10 })
}
