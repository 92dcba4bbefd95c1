//! How long things may take.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::supervise::Backoff;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timings {
    /// To connect.
    pub(super) connect: Duration,
    /// For an answer: a page of a listing, the beginning of a watch, the version.
    pub(super) answer: Duration,
    /// A watch without a sign of life (servers send a bookmark about every minute) is opened again.
    pub(super) idle: Duration,
    /// After this the server ends a watch.
    pub(super) watch: Duration,
    /// Everything is listed again: a watch that lost something is not believed forever.
    pub(super) relist: Duration,
    /// The first pause after a failure.
    pub(super) first_pause: Duration,
    /// The longest.
    pub(super) longest_pause: Duration,
    /// Between looks at the credential files.
    pub(super) look: Duration,
    /// Between looks for resources of the speaker that are absent, or that we may not read.
    pub(super) look_again: Duration,
    /// A watch that lost something is listed again after this; each time in a row after twice as long.
    pub(super) distrust: Duration,
    /// Between two Events on the same Service.
    pub(super) events: Duration,
    /// The first Event after a while waits for a random part of this: an outage reaches every switch at once.
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
    /// Pauses between attempts.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.first_pause, self.longest_pause)
    }
}

/// Somewhere between three quarters of a time and all of it, so that many switches do not ask at once.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.75) + random_part(time.mul_f64(0.25))
}

/// Somewhere between nothing and a time.
pub(super) fn random_part(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1024;
    time.mul_f64(random as f64 / 1024.0)
}
