//! Writes alarms as Kubernetes Events on the Service, so that its owner sees which switch is affected
//! (`kubectl describe`).
//!
//! Raises and clears, written to events.k8s.io/v1 (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>),
//! one per Service and minute (`budget`). This is best effort: an outage of thousands of VIPs must not become a flood
//! of writes, and a server that wants no requests gets none.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::budget::Budget;
use super::http::Client;
use super::limits;
use super::link::LinkReceiver;
use super::reason::{self, Request};
use super::reporter::Closed;
use super::watch::WatchContext;
use crate::model::alarm::{AlarmNotification, NotificationEvent, Resource};
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::time::Timestamp;

const CONTROLLER: &str = "k8s-services";
/// Pause between two Events.
const PACE: Duration = Duration::from_millis(100);
/// The API refuses longer notes and instances (in bytes).
const LONGEST_NOTE: usize = 1000;
const LONGEST_INSTANCE: usize = 128;

/// What the writer of Events needs: alarms, whether Events are enabled, and the name of the switch.
#[derive(Clone, Debug)]
pub struct Notices {
    /// Changes of alarms, of all clusters.
    pub notices: broadcast::Sender<Arc<AlarmNotification>>,
    /// `alarm-policy/kubernetes-events`.
    pub enabled: watch::Receiver<bool>,
    /// The name of this switch.
    pub leaf: Arc<str>,
}

/// Writes the Events of one cluster.
pub(super) struct Writer {
    cluster: ClusterName,
    link: LinkReceiver,
    answer: Duration,
    enabled: watch::Receiver<bool>,
    leaf: Arc<str>,
    received: broadcast::Receiver<Arc<AlarmNotification>>,
    budget: Budget,
    /// Whether a failure was logged; it is logged once until writing works again.
    failing: bool,
}

impl Writer {
    pub(super) fn new(cluster: ClusterName, notices: &Notices, context: &WatchContext) -> Self {
        Self {
            cluster,
            link: context.link.clone(),
            answer: context.timings.answer,
            enabled: notices.enabled.clone(),
            leaf: Arc::clone(&notices.leaf),
            received: notices.notices.subscribe(),
            budget: Budget::new(context.timings.events, context.timings.spread),
            failing: false,
        }
    }

    pub(super) async fn run(mut self) -> Result<Infallible, Closed> {
        loop {
            tokio::select! {
                received = self.received.recv() => self.received(received)?,
                () = until(self.budget.due()) => self.write_due().await?,
            }
        }
    }

    fn received(
        &mut self,
        received: Result<Arc<AlarmNotification>, broadcast::error::RecvError>,
    ) -> Result<(), Closed> {
        match received {
            Ok(notice) => {
                for service in self.concerned(&notice) {
                    if !self.budget.add(service, Arc::clone(&notice), Instant::now()) {
                        warn!(cluster = %self.cluster, "too many Services wait for a Kubernetes Event: one is left out; state has all alarms");
                    }
                }
                Ok(())
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                warn!(cluster = %self.cluster, missed, "alarms change faster than Kubernetes Events are written; state has them all");
                Ok(())
            }
            Err(broadcast::error::RecvError::Closed) => Err(Closed),
        }
    }

    async fn write_due(&mut self) -> Result<(), Closed> {
        let client = self.link.get().await?.client;
        tokio::time::sleep(self.link.retry_in().max(PACE)).await;
        if let Some((service, notice, count)) = self.budget.take(Instant::now()) {
            self.write(&client, &service, &notice, count).await;
        }
        Ok(())
    }

    /// Returns the services that a notice is about, if Events are enabled: the one it names, or those of its members.
    fn concerned(&self, notice: &AlarmNotification) -> BTreeSet<ServiceKey> {
        if !*self.enabled.borrow() || notice.event == NotificationEvent::Changed {
            return BTreeSet::new();
        }
        let named = match &notice.key.resource {
            Resource::Vip(cluster, service, _) | Resource::Service(cluster, service) => Some((cluster, service)),
            _ => None,
        };
        let members = notice.services.iter().map(|(cluster, service)| (cluster, service));
        let own = named.into_iter().chain(members).filter(|(cluster, _)| **cluster == self.cluster);
        own.map(|(_, service)| service.clone()).collect()
    }

    async fn write(&mut self, client: &Client, service: &ServiceKey, notice: &AlarmNotification, count: i32) {
        match self.post(client, service, notice, count).await {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    info!(cluster = %self.cluster, "Kubernetes Events are written again");
                }
            }
            Err(reason) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(cluster = %self.cluster, ?reason, "a Kubernetes Event cannot be written; the role needs verb create on events of events.k8s.io");
                }
            }
        }
    }

    async fn post(
        &self,
        client: &Client,
        service: &ServiceKey,
        notice: &AlarmNotification,
        count: i32,
    ) -> Result<(), String> {
        // kubectl finds the Events of a Service by the uid.
        let uid = self.uid(client, service).await;
        let event = event(service, uid, notice, count, &self.leaf, Timestamp::now());
        let body = serde_json::to_vec(&event).map_err(|error| error.to_string())?;
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", service.namespace);
        let post = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        let post = post.body(body).map_err(|error| error.to_string())?;
        let request = Request { verb: "create", resource: "events", namespace: Some(&service.namespace) };
        let answer = client.ask(post, limits::ANSWER_BYTES, self.answer).await;
        answer.map(drop).map_err(|error| reason::explain(&error, request))
    }

    /// Returns the uid of a Service; `None` if the role does not permit reading it, or it is gone. The Event is written
    /// anyway.
    async fn uid(&self, client: &Client, service: &ServiceKey) -> Option<String> {
        let path = format!("/api/v1/namespaces/{}/services/{}", service.namespace, service.name);
        let answer = client.get(&path, limits::OBJECT_BYTES, self.answer).await.ok()?;
        serde_json::from_slice::<Object>(&answer.bytes).ok()?.metadata.uid
    }
}

/// Waits until `due`; never returns if that is `None`.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => future::pending().await,
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: Option<String>,
}

/// Returns the Event. One that stands for several changes is a series.
fn event(
    service: &ServiceKey,
    uid: Option<String>,
    notice: &AlarmNotification,
    count: i32,
    leaf: &str,
    now: Timestamp,
) -> Event {
    let mut reason = camel_case(notice.key.kind.as_str());
    let text = &notice.alarm.text;
    let owner = notice.alarm.owner.as_str();
    let (kind, action, note) = match notice.event {
        NotificationEvent::Raised | NotificationEvent::Changed | NotificationEvent::Joined => {
            ("Warning", "AlarmRaised", format!("{leaf}: {text} (owner {owner})"))
        }
        NotificationEvent::Cleared(cleared, because) | NotificationEvent::Left(cleared, because) => {
            reason.push_str("Cleared");
            let lasted = cleared.duration_since(notice.alarm.raised).as_secs().max(0);
            (
                "Normal",
                "AlarmCleared",
                format!("{leaf}: cleared after {lasted} s ({}); it was: {text}", because.as_str()),
            )
        }
    };
    let namespace = Some(service.namespace.to_string());
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name)),
            namespace: namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        series: (count > 1).then_some(EventSeries { count, last_observed_time: MicroTime(now) }),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(shortened(leaf, LONGEST_INSTANCE).to_owned()),
        action: Some(action.to_owned()),
        reason: Some(reason),
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace,
            name: Some(service.name.to_string()),
            uid,
            ..ObjectReference::default()
        }),
        note: Some(shortened(&note, LONGEST_NOTE).to_owned()),
        type_: Some(kind.to_owned()),
        ..Event::default()
    }
}

/// Converts `vip-route-missing` to `VipRouteMissing`.
fn camel_case(name: &str) -> String {
    name.split('-')
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_uppercase(), rest.to_owned()]
        })
        .collect()
}

/// Returns the text, cut to `longest` bytes.
fn shortened(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alarm::{AlarmKey, AlarmType, AlarmView, ClearedBecause, Severity};
    use crate::model::verdict::Owner;
    use serde_json::{Value, json};

    /// Returns the Event as the API server receives it.
    fn written(notice: &AlarmNotification, uid: Option<&str>, count: i32, now: Timestamp) -> Value {
        let event = event(&ServiceKey::new("shop", "web"), uid.map(str::to_owned), notice, count, "leaf3", now);
        serde_json::to_value(event).expect("an Event")
    }

    fn notice(event: NotificationEvent, text: &str) -> AlarmNotification {
        let resource = Resource::Vip("c1".into(), ServiceKey::new("shop", "web"), "1.1.1.100".parse().unwrap());
        let raised = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let alarm = AlarmView {
            severity: Severity::Critical,
            owner: Owner::Network,
            text: text.into(),
            affected: 1,
            raised,
            last_change: raised,
            occurrences: 1,
            cause: None,
        };
        AlarmNotification {
            key: AlarmKey { kind: AlarmType::VipRouteMissing, resource },
            alarm,
            event,
            services: Arc::default(),
            omitted: 0,
        }
    }

    #[test]
    fn an_event_names_the_leaf_and_the_service() {
        let now: Timestamp = "2026-01-02T03:04:15Z".parse().unwrap();
        let raised = written(&notice(NotificationEvent::Raised, "no route"), Some("u1"), 1, now);
        assert_eq!((&raised["apiVersion"], &raised["kind"]), (&json!("events.k8s.io/v1"), &json!("Event")));
        assert_eq!(raised.get("series"), None);
        assert_eq!(raised["note"], "leaf3: no route (owner network)");
        // The API accepts '-' at the end, but not a dot.
        assert_eq!(raised["metadata"]["generateName"], "web-");
        assert_eq!((&raised["type"], &raised["reason"]), (&json!("Warning"), &json!("VipRouteMissing")));
        assert_eq!(raised["eventTime"], "2026-01-02T03:04:15.000000Z");
        assert_eq!(raised["regarding"]["uid"], "u1");
        let cleared = written(&notice(NotificationEvent::Cleared(now, ClearedBecause::Well), "no route"), None, 3, now);
        assert_eq!(cleared["series"]["count"], 3);
        assert_eq!((&cleared["type"], &cleared["reason"]), (&json!("Normal"), &json!("VipRouteMissingCleared")));
        assert_eq!(cleared["note"], "leaf3: cleared after 9 s (well); it was: no route");
        assert_eq!(cleared["regarding"].get("uid"), None);
    }

    #[test]
    fn a_note_is_never_longer_than_the_api_allows() {
        let long = "é".repeat(900);
        let text = written(&notice(NotificationEvent::Raised, &long), None, 1, Timestamp::UNIX_EPOCH);
        assert!(text["note"].as_str().unwrap().len() <= LONGEST_NOTE);
    }
}
