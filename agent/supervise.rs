//! Provides what every supervised loop needs: growing pauses, a stop signal, and logs that do not repeat.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::model::text::{LONGEST, printable};

/// Pauses between attempts: doubled from the first to the longest, and back to the first after a success.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Creates pauses from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Returns the pause before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = pause.saturating_mul(2).min(self.longest);
        pause
    }

    /// Notes that the last attempt succeeded, so that the next pause is the shortest again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// An outage: each of its reasons is logged and reported once, not at every attempt.
#[derive(Clone, Debug)]
pub struct Outage {
    what: &'static str,
    reason: Option<String>,
}

impl Outage {
    /// Creates an outage that has not begun. `what` begins the log line: `the NDK`.
    pub fn new(what: &'static str) -> Self {
        Self { what, reason: None }
    }

    /// Notes a failed attempt; returns the reason if it differs from the last one.
    pub fn failed(&mut self, reason: String) -> Option<Arc<str>> {
        if self.reason.as_ref() == Some(&reason) {
            debug!(reason, "{} does not answer yet", self.what);
            return None;
        }
        warn!(reason, "{} does not answer", self.what);
        let reported = reason.as_str().into();
        self.reason = Some(reason);
        Some(reported)
    }

    /// Notes the end of the outage.
    pub fn is_over(&mut self) {
        self.reason = None;
    }
}

/// Waits for the stop signal. A dropped sender counts as one.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Permits one log line per interval and counts the others.
#[derive(Clone, Debug)]
pub struct Throttle {
    interval: Duration,
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// Permits at most one line per `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, last: None, held_back: 0 }
    }

    /// Returns whether to log now: if so, how many lines were held back since the last one.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < self.interval) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// The longest text of an error and its causes, in characters.
const LONGEST_CHAIN: usize = 1000;

/// Returns an error and its causes in one printable line. What a library writes below its first line is left out, and
/// long quotations are cut.
pub fn chain(error: &dyn Error) -> String {
    let first_line = |error: &dyn Error| printable(&error.to_string(), LONGEST_CHAIN).trim_end_matches(':').to_owned();
    let mut text = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = first_line(error);
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    printable(&text, LONGEST_CHAIN)
}

/// Describes a gRPC status: what the server said, otherwise the meaning of its code.
pub fn words(status: &tonic::Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        message => format!("{} ({:?})", printable(message, LONGEST), status.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let pauses: Vec<u128> = (0..4).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.pause().as_millis(), 100);
    }

    #[test]
    fn an_outage_is_reported_once_per_reason_until_it_is_over() {
        let mut outage = Outage::new("the NDK");
        assert_eq!(outage.failed("no socket".to_owned()).as_deref(), Some("no socket"));
        assert_eq!(outage.failed("no socket".to_owned()), None);
        assert_eq!(outage.failed("refused".to_owned()).as_deref(), Some("refused"));
        outage.is_over();
        assert_eq!(outage.failed("refused".to_owned()).as_deref(), Some("refused"));
    }

    #[test]
    fn the_throttle_admits_one_line_per_interval_and_counts_the_others() {
        let mut throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start + Duration::from_secs(1)), None);
        assert_eq!(throttle.admit(start + Duration::from_secs(2)), None);
        assert_eq!(throttle.admit(start + Duration::from_secs(10)), Some(2));
        assert_eq!(throttle.admit(start + Duration::from_secs(20)), Some(0));
    }

    #[tokio::test]
    async fn a_dropped_sender_counts_as_a_stop() {
        let (sender, mut receiver) = watch::channel(false);
        drop(sender);
        stopped(&mut receiver).await;
    }
}
