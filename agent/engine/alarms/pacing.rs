//! Limits how many notifications of one cluster, and of one namespace in it, leave at once, so that a flood of one does
//! not hide those of others or fill a log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::alarm::{AlarmNotification, NotificationEvent};
use crate::model::names::ClusterName;
use crate::model::time::Now;

/// Most notifications of one cluster at once, and the time after which one more may leave.
const CLUSTER: Rate = Rate { burst: 50, refill: Duration::from_millis(200) };
/// The same for one namespace: a quarter of it, so that no tenant uses up what all share.
const NAMESPACE: Rate = Rate { burst: CLUSTER.burst / 4, refill: Duration::from_millis(800) };
/// How long omitted notifications wait before they are summed up.
const SUMMARY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    refill: Duration,
}

/// A token bucket for each cluster and one for notifications that belong to none, and before these, one for each
/// namespace.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    clusters: BTreeMap<Option<ClusterName>, Bucket>,
    namespaces: BTreeMap<(ClusterName, Arc<str>), Bucket>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
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
        let mut admitted: Vec<_> = self.clusters.values_mut().filter_map(|bucket| bucket.summary(now)).collect();
        let summaries: Vec<_> = self.namespaces.values_mut().filter_map(|bucket| bucket.summary(now)).collect();
        admitted.extend(summaries.into_iter().filter_map(|summary| self.pass_cluster(now, summary)));
        for notification in notifications {
            let passed = self.pass_namespace(now, notification);
            admitted.extend(passed.and_then(|notification| self.pass_cluster(now, notification)));
        }
        self.clusters.retain(|_, bucket| !bucket.is_idle(now));
        self.namespaces.retain(|_, bucket| !bucket.is_idle(now));
        admitted
    }

    /// Returns when omitted notifications are next summed up.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let omitted = self.clusters.values().chain(self.namespaces.values()).filter_map(|it| it.omitted.as_ref());
        omitted.map(|(.., since)| *since + SUMMARY).min()
    }

    fn pass_namespace(&mut self, now: Now, notification: AlarmNotification) -> Option<AlarmNotification> {
        let resource = &notification.key.resource;
        let Some((cluster, namespace)) = resource.cluster().zip(resource.namespace()) else {
            return Some(notification);
        };
        let key = (cluster.clone(), Arc::clone(namespace));
        self.namespaces.entry(key).or_insert_with(|| Bucket::full(NAMESPACE, now)).admit(now, notification)
    }

    fn pass_cluster(&mut self, now: Now, notification: AlarmNotification) -> Option<AlarmNotification> {
        let cluster = notification.key.resource.cluster().cloned();
        self.clusters.entry(cluster).or_insert_with(|| Bucket::full(CLUSTER, now)).admit(now, notification)
    }
}

impl Bucket {
    fn full(rate: Rate, now: Now) -> Self {
        Self { rate, tokens: rate.burst, filled: now.elapsed, omitted: None }
    }

    fn fill(&mut self, now: Now) {
        let Rate { burst, refill } = self.rate;
        let steps = now.elapsed.saturating_sub(self.filled).as_nanos() / refill.as_nanos();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.filled = self.filled.saturating_add(refill.saturating_mul(steps));
        self.tokens = self.tokens.saturating_add(steps).min(burst);
    }

    fn admit(&mut self, now: Now, notification: AlarmNotification) -> Option<AlarmNotification> {
        self.fill(now);
        if self.omitted.is_none() && self.tokens > 0 {
            self.tokens -= 1;
            return Some(notification);
        }
        let (more, first) = (notification.omitted.saturating_add(1), notification.omitted);
        match &mut self.omitted {
            None => self.omitted = Some((notification, first, now.elapsed)),
            Some((worst, others, _)) => {
                *others = others.saturating_add(more);
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
        self.omitted.is_none() && now.elapsed >= self.filled + self.rate.refill * self.rate.burst
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alarm::{AlarmKey, AlarmType, AlarmView, Resource, Severity};
    use crate::model::names::ServiceKey;
    use crate::model::time::Timestamp;
    use crate::model::verdict::Owner;

    fn raised(namespace: &str, number: usize, severity: Severity) -> AlarmNotification {
        let resource = Resource::Service("c1".into(), ServiceKey::new(namespace, format!("s{number}")));
        let raised = Timestamp::UNIX_EPOCH;
        let alarm = AlarmView {
            severity,
            owner: Owner::Network,
            text: "".into(),
            affected: 1,
            raised,
            last_change: raised,
            occurrences: 1,
            cause: None,
        };
        let key = AlarmKey { kind: AlarmType::VipDegraded, resource };
        AlarmNotification { key, alarm, event: NotificationEvent::Raised, services: Arc::default(), omitted: 0 }
    }

    fn at(seconds: u64) -> Now {
        Now { elapsed: Duration::from_secs(seconds), wall: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn many_namespaces_together_do_not_exceed_the_rate_of_their_cluster() {
        let mut pacing = Pacing::default();
        let namespaces: Vec<String> = (0..100).map(|number| format!("tenant-{number}")).collect();
        let flood = |severity| -> Vec<AlarmNotification> {
            let of = |namespace: &String| (0..20).map(|number| raised(namespace, number, severity)).collect::<Vec<_>>();
            namespaces.iter().flat_map(of).collect()
        };
        let mut told = pacing.admit(at(0), flood(Severity::Minor));
        assert_eq!(told.len(), 50);
        told.extend(pacing.admit(at(0), flood(Severity::Minor)));
        assert_eq!(told.len(), 50);
        let worse = raised("shop", 0, Severity::Critical);
        told.extend(pacing.admit(at(0), vec![worse.clone()]));
        let mut at_second = |second| pacing.admit(at(second), Vec::new());
        let summary = at_second(1);
        assert_eq!(summary[0].key, worse.key, "the worst stands for the rest");
        told.extend(summary);
        for second in 2..10 {
            told.extend(at_second(second));
        }
        // Every notification left, or is counted by one that did.
        let counted: usize = told.iter().map(|of| 1 + of.omitted as usize).sum();
        assert_eq!(counted, 2 * 100 * 20 + 1);
        assert!(told.len() < 50 + 10 * 7, "{} lines", told.len());
    }
}
