//! Says why streams ended, and decides when one is reopened.

use std::time::Duration;

use tokio::time::Instant;

use crate::supervise::Backoff;

/// Why the streams of a registration are no longer followed.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// The registration is lost, for this reason.
    Lost(String),
    /// Nobody receives the session's events any more.
    Closed,
}

/// Decides when a stream that has ended is reopened.
#[derive(Debug)]
pub(super) struct Recreate {
    backoff: Backoff,
    begun: Instant,
    /// Number of consecutive streams that delivered nothing.
    fruitless: u32,
}

impl Default for Recreate {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(5)),
            begun: Instant::now(),
            fruitless: 0,
        }
    }
}

impl Recreate {
    /// A stream that lived this long is reopened without a pause.
    pub(super) const HEALTHY: Duration = Duration::from_secs(10);
    /// Number of consecutive streams without an entry after which the NDK is taken not to know the agent any more.
    const FRUITLESS: u32 = 3;

    /// Waits until the stream that has just ended may be reopened; returns the reason to register again if reopening
    /// does not help.
    pub(super) async fn after(&mut self, fruitful: bool) -> Option<String> {
        self.fruitless = if fruitful { 0 } else { self.fruitless + 1 };
        if self.fruitless >= Self::FRUITLESS {
            return Some(format!("{} streams in a row ended without a word", self.fruitless));
        }
        if self.begun.elapsed() >= Self::HEALTHY {
            self.backoff.reset();
        } else {
            tokio::time::sleep(self.backoff.pause()).await;
        }
        self.begun = Instant::now();
        None
    }
}
