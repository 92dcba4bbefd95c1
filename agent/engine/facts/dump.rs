//! Decides when the dump of the switch's tables is complete.
//!
//! The NDK does not mark the end. If gNMI counts active routes, the dump is complete when at least as many prefixes of
//! every network instance that clusters use have been received, and everything their routes refer to. The two numbers
//! may differ: a route that failed in the FIB is received but not counted. So a dump also ends when both numbers stop
//! changing. If gNMI counts nothing, only a quiet period ends the dump.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::adaptation::DumpEnd;
use crate::model::event::{DumpPace, Update};
use crate::model::names::NetworkInstanceName;
use crate::model::switch::RouteTable;

/// How long a complete dump may last if the switch never pauses.
const FULL_FOR: Duration = Duration::from_secs(3);
/// How long both numbers must be stable before the dump is over.
const STILL_FOR: Duration = Duration::from_secs(10);
/// Age after which a quiet period ends a dump even if the counts differ.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether active routes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// gNMI may still become available.
    Awaited,
    /// gNMI answers.
    Known,
    /// gNMI does not answer.
    Never,
}

/// What was received of the switch's tables.
pub(crate) trait Received {
    /// Returns the number of prefixes of a table received in this dump.
    fn received(&self, table: &RouteTable) -> u64;
    /// Returns whether this dump has everything that the routes of a network instance refer to.
    fn is_whole(&self, instance: &NetworkInstanceName) -> bool;
}

/// The current dump, and the switch's own counts.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    active_routes: BTreeMap<RouteTable, u64>,
    progress: Option<Progress>,
    /// What ended the last dump.
    pub(crate) ended: Option<DumpEnd>,
}

/// A dump that is under way.
#[derive(Clone, Copy, Debug)]
struct Progress {
    began: Duration,
    pace: Option<DumpPace>,
    /// Numbers of prefixes received and counted; stable since `still_since`.
    numbers: (u64, u64),
    still_since: Duration,
    /// Since when at least as many prefixes have been received as are counted.
    full_since: Option<Duration>,
}

impl Dump {
    /// Starts a dump.
    pub(crate) fn begin(&mut self, now: Duration) {
        let progress = Progress { began: now, pace: None, numbers: (0, 0), still_since: now, full_since: None };
        self.progress = Some(progress);
    }

    /// Returns whether a dump is under way.
    pub(crate) fn is_on(&self) -> bool {
        self.progress.is_some()
    }

    /// Ends the dump.
    pub(crate) fn end(&mut self) {
        self.progress = None;
    }

    /// Notes that an entry was received.
    pub(crate) fn heard(&mut self) {
        self.paced(None);
    }

    /// Sets the pace since the last entry; `None` while entries arrive.
    pub(crate) fn paced(&mut self, pace: Option<DumpPace>) {
        if let Some(progress) = &mut self.progress {
            progress.pace = pace;
        }
    }

    /// Applies an update of the switch's counts.
    pub(crate) fn set_active_routes(&mut self, update: Update<RouteTable, u64>) {
        match update {
            Update::All(all) => self.active_routes = all.into_iter().collect(),
            Update::Set(table, count) => drop(self.active_routes.insert(table, count)),
            Update::Gone(table) => drop(self.active_routes.remove(&table)),
        }
    }

    /// Returns what ended the dump, if it is over, and stores that in [`Self::ended`]. Only the network instances in
    /// `used` count, or all if it is empty.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        counting: Counting,
        used: &BTreeSet<NetworkInstanceName>,
        tables: &impl Received,
    ) -> Option<DumpEnd> {
        let end = self.look(now, counting, used, tables);
        self.ended = end.or(self.ended);
        end
    }

    fn look(
        &mut self,
        now: Duration,
        counting: Counting,
        used: &BTreeSet<NetworkInstanceName>,
        tables: &impl Received,
    ) -> Option<DumpEnd> {
        let progress = self.progress.as_mut()?;
        let rested = progress.pace == Some(DumpPace::Rested);
        let matters = |table: &&RouteTable| used.is_empty() || used.contains(&table.network_instance);
        let counted: Vec<_> = self.active_routes.iter().filter(|(table, _)| matters(table)).collect();
        match counting {
            Counting::Awaited => return None,
            Counting::Known if !counted.is_empty() => {}
            Counting::Known | Counting::Never => return rested.then_some(DumpEnd::Quiet { numbers: None }),
        }
        let received = |table: &RouteTable| tables.received(table);
        let numbers =
            (counted.iter().map(|(table, _)| received(table)).sum(), counted.iter().map(|(_, count)| **count).sum());
        if std::mem::replace(&mut progress.numbers, numbers) != numbers {
            progress.still_since = now;
        }
        let full = counted.iter().all(|(table, count)| received(table) >= **count);
        progress.full_since = full.then(|| progress.full_since.unwrap_or(now));
        let long_full = progress.full_since.is_some_and(|since| now >= since + FULL_FOR);
        if full && (progress.pace.is_some() || long_full) {
            let mut instances =
                counted.iter().filter(|(_, count)| **count > 0).map(|(table, _)| &table.network_instance);
            if instances.all(|instance| tables.is_whole(instance)) {
                let (received, active) = numbers;
                return Some(DumpEnd::Counted { received, active });
            }
        }
        let still = now >= progress.still_since + STILL_FOR;
        let long = now >= progress.began + LONGEST;
        (rested && (still || long)).then_some(DumpEnd::Quiet { numbers: Some(numbers) })
    }

    /// Returns when time alone may next end the dump.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let progress = self.progress?;
        let full = progress.full_since.map(|since| since + FULL_FOR);
        let moments = [full, Some(progress.still_since + STILL_FOR), Some(progress.began + LONGEST)];
        moments.into_iter().flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::switch::IpFamily;

    struct Tables {
        received: u64,
        whole: bool,
    }

    impl Received for Tables {
        fn received(&self, _: &RouteTable) -> u64 {
            self.received
        }

        fn is_whole(&self, _: &NetworkInstanceName) -> bool {
            self.whole
        }
    }

    const WHOLE: fn(u64) -> Tables = |received| Tables { received, whole: true };

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn counted(count: u64) -> Dump {
        let mut dump = Dump::default();
        let table = RouteTable { network_instance: "ip-vrf-1".into(), family: IpFamily::Ipv4 };
        let other = RouteTable { network_instance: "mgmt".into(), family: IpFamily::Ipv4 };
        dump.set_active_routes(Update::All(vec![(table, count), (other, 1000)]));
        dump.begin(second(0));
        dump
    }

    fn counted_end(received: u64) -> Option<DumpEnd> {
        Some(DumpEnd::Counted { received, active: 10 })
    }

    fn quiet_end(numbers: Option<(u64, u64)>) -> Option<DumpEnd> {
        Some(DumpEnd::Quiet { numbers })
    }

    fn poll(dump: &mut Dump, at: u64, tables: &Tables) -> Option<DumpEnd> {
        dump.poll(second(at), Counting::Known, &BTreeSet::from(["ip-vrf-1".into()]), tables)
    }

    #[test]
    fn a_pause_ends_the_dump_once_the_counted_number_of_routes_has_arrived() {
        let mut dump = counted(10);
        assert_eq!(poll(&mut dump, 1, &WHOLE(10)), None, "more may be on its way");
        dump.paced(Some(DumpPace::Paused));
        assert_eq!(poll(&mut dump, 1, &WHOLE(9)), None);
        assert_eq!(poll(&mut dump, 1, &Tables { received: 10, whole: false }), None, "its groups are not there");
        assert_eq!(poll(&mut dump, 1, &WHOLE(10)), counted_end(10));
        assert_eq!(poll(&mut dump, 1, &WHOLE(11)), counted_end(11), "what failed in the FIB is not counted");
    }

    #[test]
    fn a_dump_that_pauses_halfway_is_waited_for() {
        let mut dump = counted(10);
        dump.paced(Some(DumpPace::Rested));
        for at in 1..=9 {
            assert_eq!(poll(&mut dump, at, &WHOLE(5)), None);
        }
        dump.heard();
        assert_eq!(poll(&mut dump, 9, &WHOLE(8)), None);
        dump.paced(Some(DumpPace::Rested));
        assert_eq!(poll(&mut dump, 18, &WHOLE(8)), None);
        assert_eq!(dump.deadline(second(18)), Some(second(19)));
        assert_eq!(poll(&mut dump, 19, &WHOLE(8)), quiet_end(Some((8, 10))), "neither number moves");
    }

    #[test]
    fn a_dump_without_pauses_ends_once_enough_routes_have_arrived() {
        let mut dump = counted(10);
        assert_eq!(poll(&mut dump, 1, &WHOLE(12)), None);
        assert_eq!(dump.deadline(second(1)), Some(second(4)));
        assert_eq!(poll(&mut dump, 4, &WHOLE(13)), counted_end(13));
    }

    #[test]
    fn counts_that_never_match_do_not_delay_the_end_of_the_dump_forever() {
        let mut dump = counted(10);
        for at in 1..60 {
            dump.paced(Some(DumpPace::Rested));
            assert_eq!(poll(&mut dump, at, &WHOLE(at % 9)), None);
        }
        assert_eq!(poll(&mut dump, 60, &WHOLE(9)), quiet_end(Some((9, 10))));
    }

    #[test]
    fn without_route_counts_only_silence_ends_the_dump() {
        let mut dump = Dump::default();
        dump.begin(second(0));
        let used = BTreeSet::new();
        dump.paced(Some(DumpPace::Paused));
        assert_eq!(dump.poll(second(1), Counting::Never, &used, &WHOLE(1)), None);
        dump.paced(Some(DumpPace::Rested));
        assert_eq!(dump.poll(second(1), Counting::Awaited, &used, &WHOLE(1)), None);
        assert_eq!(dump.poll(second(1), Counting::Never, &used, &WHOLE(1)), quiet_end(None));
        assert_eq!(dump.poll(second(1), Counting::Known, &used, &WHOLE(1)), quiet_end(None), "a leaf was refused");
        dump.end();
        assert_eq!(dump.poll(second(1), Counting::Never, &used, &WHOLE(1)), None);
        assert_eq!(dump.deadline(second(1)), None);
    }
}
