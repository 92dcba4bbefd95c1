//! Time as a value: it arrives with every input, so that nothing below the sources reads a clock.

use std::time::Duration;

pub use jiff::Timestamp;

/// The moment an input arrived, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since the agent started: what delays and hold times are measured in, so that a step of the wall
    /// clock neither raises nor hides anything.
    pub elapsed: Duration,
    /// Wall clock, UTC: what is published.
    pub wall: Timestamp,
}

/// A moment, to the second, in UTC.
pub fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
