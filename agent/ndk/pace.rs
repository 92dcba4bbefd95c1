//! Derives the end of a dump from its pace, because the protocol does not mark it.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::event::DumpPace;

/// Watches the pace of a new stream, and reports pauses and rests.
///
/// The dump rests when nothing has arrived for a quiet period (two, if nothing arrived at all). The agent does not wait
/// indefinitely while routes keep arriving: after some periods, one with far fewer notifications than the busiest is a
/// trickle of changes, not a dump. After the longest time for a dump, nothing more is reported.
#[derive(Debug)]
pub(super) struct Pace {
    quiet: Duration,
    begun: Instant,
    last: Option<Instant>,
    reported: Option<DumpPace>,
    over: bool,
    period_begun: Instant,
    in_period: usize,
    busiest: usize,
}

impl Pace {
    /// Length of a pause, in tenths of a quiet period.
    const PAUSE: u32 = 3;
    /// Number of periods before the pace may count as a trickle.
    const PATIENCE: u32 = 5;
    /// A trickle is at most 1/`TRICKLE` of the busiest period.
    const TRICKLE: usize = 5;
    /// Number of periods after which the dump counts as complete even if notifications keep arriving.
    const LONGEST: u32 = 60;

    pub(super) fn new(quiet: Duration) -> Self {
        let now = Instant::now();
        Self { quiet, begun: now, last: None, reported: None, over: false, period_begun: now, in_period: 0, busiest: 0 }
    }

    /// Returns when continued silence is next reported; `None` if nothing is reported until something arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.last, self.reported) {
            _ if self.over => None,
            (_, Some(DumpPace::Rested)) => None,
            (Some(last), None) => Some(last + self.quiet * Self::PAUSE / 10),
            (Some(last), Some(DumpPace::Paused)) => Some(last + self.quiet),
            (None, _) => Some(self.begun + self.quiet * 2),
        }
    }

    /// Reports a pause or rest that is due.
    pub(super) fn silent(&mut self, now: Instant) -> Option<DumpPace> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let first = self.last.is_some() && self.reported.is_none();
        let pace = if first { DumpPace::Paused } else { DumpPace::Rested };
        self.reported = Some(pace);
        Some(pace)
    }

    /// Counts what has arrived, and reports a dump that has turned into a trickle.
    pub(super) fn heard(&mut self, notifications: usize, now: Instant) -> Option<DumpPace> {
        self.last = Some(now);
        self.reported = None;
        self.in_period += notifications;
        if self.over || now < self.period_begun + self.quiet {
            return None;
        }
        let brought = std::mem::replace(&mut self.in_period, 0);
        self.period_begun = now;
        self.busiest = self.busiest.max(brought);
        self.over = now >= self.begun + self.quiet * Self::LONGEST;
        let trickle = brought * Self::TRICKLE <= self.busiest && now >= self.begun + self.quiet * Self::PATIENCE;
        (trickle || self.over).then_some(DumpPace::Rested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(1);

    /// Returns what is reported at each of these times (milliseconds since the start, notifications; 0 is silence).
    fn course(notifications: &[(u64, usize)]) -> Vec<Option<DumpPace>> {
        let mut pace = Pace::new(QUIET);
        let begun = pace.begun;
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut report = |(milliseconds, count): &(u64, usize)| match count {
            0 => pace.silent(at(*milliseconds)),
            count => pace.heard(*count, at(*milliseconds)),
        };
        notifications.iter().map(&mut report).collect()
    }

    #[test]
    fn a_pause_and_then_a_rest_are_each_reported_once() {
        use DumpPace::{Paused, Rested};
        let notifications =
            [(100, 10), (399, 0), (400, 0), (900, 0), (1100, 0), (3000, 0), (3100, 1), (3400, 0), (4100, 0)];
        let reported = course(&notifications);
        assert_eq!(reported, [None, None, Some(Paused), None, Some(Rested), None, None, Some(Paused), Some(Rested)]);
    }

    #[test]
    fn an_empty_table_rests_after_two_quiet_periods() {
        assert_eq!(course(&[(1000, 0), (1999, 0), (2000, 0)]), [None, None, Some(DumpPace::Rested)]);
    }

    #[test]
    fn a_trickle_of_changes_does_not_delay_the_end_of_a_dump() {
        let mut notifications = vec![(500, 10_000)];
        notifications.extend((2..=11).map(|half| (half * 500, 500)));
        let reported = course(&notifications);
        assert_eq!(reported.iter().position(Option::is_some), Some(9), "{reported:?}");
    }

    #[test]
    fn a_long_dump_at_a_steady_pace_is_waited_for() {
        let notifications: Vec<_> = (1..=59).map(|second| (second * 1000, 1000)).collect();
        assert!(course(&notifications).iter().all(Option::is_none));
    }

    #[test]
    fn a_dump_that_never_rests_ends_after_a_minute() {
        let notifications: Vec<_> = (1..=60).map(|second| (second * 1000, 1000)).collect();
        assert_eq!(course(&notifications).last(), Some(&Some(DumpPace::Rested)));
    }
}
