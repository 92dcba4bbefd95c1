//! Limits how many requests the agent makes: servers have one limit (60 a minute by default) for all their clients.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The period that limits apply to.
const MINUTE: Duration = Duration::from_secs(60);

/// Requests of the last minute, and how many are allowed.
#[derive(Debug)]
pub(super) struct Requests {
    most: usize,
    made: VecDeque<Instant>,
}

impl Requests {
    /// Allows at most `most` requests in any minute.
    pub(super) fn new(most: usize) -> Self {
        Self { most, made: VecDeque::with_capacity(most) }
    }

    /// Counts a request that is about to be made.
    ///
    /// # Errors
    /// The moment to try again, if as many requests as allowed were made within the last minute.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        let earliest = self.earliest(now);
        if earliest > now {
            return Err(earliest);
        }
        self.made.push_back(now);
        Ok(())
    }

    /// Returns when the next request may be made.
    pub(super) fn earliest(&mut self, now: Instant) -> Instant {
        while self.made.front().is_some_and(|made| *made + MINUTE <= now) {
            self.made.pop_front();
        }
        match self.made.front() {
            Some(oldest) if self.made.len() >= self.most => *oldest + MINUTE,
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_requests_than_the_limit() {
        let mut requests = Requests::new(2);
        let start = Instant::now();
        let second = |second| start + Duration::from_secs(second);
        assert_eq!(requests.admit(second(0)), Ok(()));
        assert_eq!(requests.admit(second(30)), Ok(()));
        assert_eq!(requests.admit(second(59)), Err(second(60)));
        assert_eq!(requests.admit(second(60)), Ok(()));
        assert_eq!(requests.admit(second(61)), Err(second(90)));
        assert_eq!(requests.earliest(second(200)), second(200));
    }
}
