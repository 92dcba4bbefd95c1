//! Limits how many notifications of one cluster leave at once, so that a flood of one cluster does not hide those of
//! others or fill a log.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::alarm::{AlarmNotification, NotificationEvent};
use crate::model::names::ClusterName;
use crate::model::time::Now;

/// Most notifications of one cluster at once.
const BURST: u32 = 50;
/// The time after which one more may leave.
const REFILL: Duration = Duration::from_millis(200);
/// How long omitted notifications wait before they are summed up.
const SUMMARY: Duration = Duration::from_secs(1);

/// A token bucket for each cluster, and one for notifications that belong to none.
#[derive(Debug, Default)]
pub(super) struct Pacing(BTreeMap<Option<ClusterName>, Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: u32,
    /// Up to when tokens have been added.
    filled: Duration,
    /// The worst omitted notification, how many others were omitted, and since when.
    omitted: Option<(AlarmNotification, u32, Duration)>,
}

impl Pacing {
    /// Returns the notifications that leave now, worst first. The rest is counted and summed up later.
    pub(super) fn admit(&mut self, now: Now, mut notifications: Vec<AlarmNotification>) -> Vec<AlarmNotification> {
        notifications.sort_by_key(rank);
        let mut admitted: Vec<_> = self.0.values_mut().filter_map(|bucket| bucket.summary(now)).collect();
        for notification in notifications {
            let cluster = notification.key.resource.cluster().cloned();
            let bucket = self.0.entry(cluster).or_insert(Bucket { tokens: BURST, filled: now.elapsed, omitted: None });
            admitted.extend(bucket.admit(now, notification));
        }
        self.0.retain(|_, bucket| !bucket.is_idle(now));
        admitted
    }

    /// Returns when omitted notifications are next summed up.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let omitted = self.0.values().filter_map(|bucket| bucket.omitted.as_ref());
        omitted.map(|(.., since)| *since + SUMMARY).min()
    }
}

impl Bucket {
    fn fill(&mut self, now: Now) {
        let steps = now.elapsed.saturating_sub(self.filled).as_nanos() / REFILL.as_nanos();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.filled += REFILL * steps;
        self.tokens = self.tokens.saturating_add(steps).min(BURST);
    }

    fn admit(&mut self, now: Now, notification: AlarmNotification) -> Option<AlarmNotification> {
        self.fill(now);
        if self.omitted.is_none() && self.tokens > 0 {
            self.tokens -= 1;
            return Some(notification);
        }
        match &mut self.omitted {
            None => self.omitted = Some((notification, 0, now.elapsed)),
            Some((worst, others, _)) => {
                *others = others.saturating_add(1);
                if rank(&notification) < rank(worst) {
                    *worst = notification;
                }
            }
        }
        None
    }

    fn summary(&mut self, now: Now) -> Option<AlarmNotification> {
        self.fill(now);
        let (.., since) = self.omitted.as_ref()?;
        if now.elapsed < *since + SUMMARY {
            return None;
        }
        let (worst, others, _) = self.omitted.take()?;
        self.tokens = self.tokens.saturating_sub(1);
        Some(AlarmNotification { omitted: others, ..worst })
    }

    fn is_idle(&self, now: Now) -> bool {
        self.omitted.is_none() && now.elapsed >= self.filled + REFILL * BURST
    }
}

/// Orders notifications: the worst first, then cleared alarms, then members of alarms that stay.
fn rank(notification: &AlarmNotification) -> (u8, crate::model::alarm::Severity) {
    let order = match notification.event {
        NotificationEvent::Raised | NotificationEvent::Changed => 0,
        NotificationEvent::Cleared(..) => 1,
        NotificationEvent::Joined | NotificationEvent::Left(..) => 2,
    };
    (order, notification.alarm.severity)
}
