//! Limits how many Events a Service gets: one per interval, with the latest change and the number of changes.
//!
//! An outage reaches every leaf at once, and a service that flaps changes its alarm for hours. The first Event of a
//! Service is written after a short random pause, so that the leaves of a fabric do not all write at the same moment.
//! Later changes wait for their turn, and replace the one that waited before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::limits;
use super::timings::random_part;
use crate::model::alarm::AlarmNotification;
use crate::model::names::ServiceKey;

/// The next Event of one Service.
#[derive(Debug)]
struct Waiting {
    notice: Arc<AlarmNotification>,
    /// The number of changes it stands for.
    count: i32,
    due: Instant,
}

/// Events that wait for their turn, and when the last ones were written.
#[derive(Debug)]
pub(super) struct Budget {
    interval: Duration,
    spread: Duration,
    waiting: BTreeMap<ServiceKey, Waiting>,
    written: BTreeMap<ServiceKey, Instant>,
}

impl Budget {
    /// Allows one Event per Service and interval, the first after a part of `spread`.
    pub(super) fn new(interval: Duration, spread: Duration) -> Self {
        Self { interval, spread, waiting: BTreeMap::new(), written: BTreeMap::new() }
    }

    /// Adds a change to the queue; returns false if the queue, or its namespace's part of it, is too long for another
    /// Service.
    pub(super) fn add(&mut self, service: ServiceKey, notice: Arc<AlarmNotification>, now: Instant) -> bool {
        if let Some(waiting) = self.waiting.get_mut(&service) {
            waiting.notice = notice;
            waiting.count = waiting.count.saturating_add(1);
            return true;
        }
        let of_namespace = self.waiting.keys().filter(|waiting| waiting.namespace == service.namespace).count();
        if self.waiting.len() >= limits::WAITING_EVENTS
            || of_namespace >= limits::WAITING_EVENTS / limits::NAMESPACE_SHARE
        {
            return false;
        }
        let first = now + random_part(self.spread);
        let turn = self.written.get(&service).map(|last| *last + self.interval);
        let due = turn.map_or(first, |turn| turn.max(first));
        self.waiting.insert(service, Waiting { notice, count: 1, due });
        true
    }

    /// Returns when the next Event is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.due).min()
    }

    /// Returns the Event that is due, and how many changes it stands for.
    pub(super) fn take(&mut self, now: Instant) -> Option<(ServiceKey, Arc<AlarmNotification>, i32)> {
        let (service, _) =
            self.waiting.iter().filter(|(_, waiting)| waiting.due <= now).min_by_key(|(_, it)| it.due)?;
        let service = service.clone();
        let waiting = self.waiting.remove(&service)?;
        self.written.retain(|_, last| now.duration_since(*last) < self.interval);
        self.written.insert(service.clone(), now);
        Some((service, waiting.notice, waiting.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alarm::{AlarmKey, AlarmType, AlarmView, NotificationEvent, Resource, Severity};
    use crate::model::time::Timestamp;
    use crate::model::verdict::Owner;

    const MINUTE: Duration = Duration::from_secs(60);

    fn web() -> ServiceKey {
        ServiceKey::new("shop", "web")
    }

    fn notice(text: &str) -> Arc<AlarmNotification> {
        let resource = Resource::Service("c1".into(), web());
        let raised = Timestamp::UNIX_EPOCH;
        let alarm = AlarmView {
            severity: Severity::Major,
            owner: Owner::Network,
            text: text.into(),
            affected: 1,
            raised,
            last_change: raised,
            occurrences: 1,
            cause: None,
        };
        let key = AlarmKey { kind: AlarmType::VipDegraded, resource };
        Arc::new(AlarmNotification {
            key,
            alarm,
            event: NotificationEvent::Raised,
            services: Arc::default(),
            omitted: 0,
        })
    }

    fn taken(budget: &mut Budget, now: Instant) -> Option<(String, i32)> {
        budget.take(now).map(|(_, notice, count)| (notice.alarm.text.to_string(), count))
    }

    #[tokio::test]
    async fn a_flapping_service_gets_one_event_a_minute_with_the_latest_text() {
        let (mut budget, begin) = (Budget::new(MINUTE, Duration::ZERO), Instant::now());
        assert!(budget.add(web(), notice("first"), begin));
        assert_eq!(taken(&mut budget, begin), Some(("first".into(), 1)));
        for text in ["second", "third", "fourth"] {
            assert!(budget.add(web(), notice(text), begin + Duration::from_secs(5)));
        }
        assert_eq!(budget.due(), Some(begin + MINUTE));
        assert_eq!(taken(&mut budget, begin + Duration::from_secs(59)), None);
        assert_eq!(taken(&mut budget, begin + MINUTE), Some(("fourth".into(), 3)));
        assert_eq!(budget.due(), None);
    }

    #[tokio::test]
    async fn first_events_are_spread_over_time_and_the_queue_is_bounded() {
        let (mut budget, begin) = (Budget::new(MINUTE, MINUTE), Instant::now());
        let per_namespace = limits::WAITING_EVENTS / limits::NAMESPACE_SHARE;
        for namespace in ["one", "two", "three", "four"] {
            for at in 0..per_namespace {
                assert!(budget.add(ServiceKey::new(namespace, format!("s{at}")), notice("x"), begin));
            }
            assert!(!budget.add(ServiceKey::new(namespace, "more"), notice("x"), begin), "one too many of it");
        }
        assert!(!budget.add(web(), notice("x"), begin), "one too many");
        let dues: std::collections::BTreeSet<Instant> = budget.waiting.values().map(|waiting| waiting.due).collect();
        assert!(dues.len() > 10 && dues.iter().all(|due| *due <= begin + MINUTE), "{dues:?}");
    }
}
