//! Defines how long operations of a cluster's source may take.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::supervise::Backoff;

/// How long operations may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timings {
    /// To open a connection.
    pub(super) connect: Duration,
    /// To receive an answer: a page of a listing, the start of a watch, the version.
    pub(super) answer: Duration,
    /// Silence after which a watch is opened again (servers send a bookmark about every minute).
    pub(super) idle: Duration,
    /// Time after which the server ends a watch.
    pub(super) watch: Duration,
    /// Time after which everything is listed again, so that a change that a watch lost is found.
    pub(super) relist: Duration,
    /// The first pause after a failure.
    pub(super) first_pause: Duration,
    /// The longest pause after a failure.
    pub(super) longest_pause: Duration,
    /// Pause between two checks of the credential files.
    pub(super) look: Duration,
    /// Pause between two attempts to read resources of the speaker that are absent or forbidden.
    pub(super) look_again: Duration,
    /// Time after which a watch that lost something is listed again; doubled each consecutive time.
    pub(super) distrust: Duration,
    /// Pause between two Events on the same Service.
    pub(super) events: Duration,
    /// The first Event after a pause waits for a random part of this, because an outage reaches every switch at once.
    pub(super) spread: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(130),
            watch: Duration::from_secs(290),
            relist: Duration::from_secs(3600),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(15),
            look: Duration::from_secs(2),
            look_again: Duration::from_secs(300),
            distrust: Duration::from_secs(5),
            events: Duration::from_secs(60),
            spread: Duration::from_secs(3),
        }
    }
}

impl Timings {
    /// Returns the pauses between attempts.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.first_pause, self.longest_pause)
    }
}

/// Returns a random time between three quarters of `time` and all of it, so that many switches do not send requests at
/// once.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.75) + random_part(time.mul_f64(0.25))
}

/// Returns a random part of a time.
pub(super) fn random_part(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1024;
    time.mul_f64(random as f64 / 1024.0)
}
