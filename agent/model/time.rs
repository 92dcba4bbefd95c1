//! Represents time as a value: it arrives with every input, so that only sources read a clock.

use std::time::Duration;

pub use jiff::Timestamp;

/// The moment an input arrived, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the agent started. Delays and hold times are measured in it, so that a step of the wall
    /// clock neither raises nor hides anything.
    pub elapsed: Duration,
    /// Wall clock, UTC, for publishing.
    pub wall: Timestamp,
}

/// Formats a time in UTC, to the second.
pub fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
