//! Alarms as Kubernetes Events on the Service, so that its owner sees which switch is affected (`kubectl describe`).
//!
//! One Event per raise and per clear, written to events.k8s.io/v1 (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>).
//! Best effort and paced: an outage of thousands of VIPs must not become a flood of writes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::reason::{self, Request};
use super::watch::{Closed, LinkReceiver, Surroundings};
use crate::model::alarm::{Notice, NoticeEvent, Resource};
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::time::Timestamp;

const CONTROLLER: &str = "k8s-services";
/// Between two Events.
const PACE: Duration = Duration::from_millis(100);
/// The API refuses longer notes and instances.
const LONGEST_NOTE: usize = 1000;
const LONGEST_INSTANCE: usize = 128;

/// Whose Events are written, and whether at all.
#[derive(Clone, Debug)]
pub struct Notices {
    /// Changes of alarms, of all clusters.
    pub notices: broadcast::Sender<Arc<Notice>>,
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
    received: broadcast::Receiver<Arc<Notice>>,
    /// Said once until it works again.
    failing: bool,
}

impl Writer {
    pub(super) fn new(cluster: ClusterName, notices: &Notices, around: &Surroundings) -> Self {
        Self {
            cluster,
            link: around.link.clone(),
            answer: around.timings.answer,
            enabled: notices.enabled.clone(),
            leaf: Arc::clone(&notices.leaf),
            received: notices.notices.subscribe(),
            failing: false,
        }
    }

    pub(super) async fn run(mut self) -> Result<Infallible, Closed> {
        loop {
            let notice = match self.received.recv().await {
                Ok(notice) => notice,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    warn!(cluster = %self.cluster, missed, "alarms change faster than Kubernetes Events are written; state has them all");
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => return Err(Closed),
            };
            let Some(service) = self.concerned(&notice) else { continue };
            let client = self.link.get().await?.client;
            self.write(&client, &service, &notice).await;
            tokio::time::sleep(PACE).await;
        }
    }

    /// The service a notice is about, if its owner is to be told.
    fn concerned(&self, notice: &Notice) -> Option<ServiceKey> {
        let told = *self.enabled.borrow() && notice.event != NoticeEvent::Changed;
        match &notice.key.resource {
            Resource::Vip(cluster, service, _) | Resource::Service(cluster, service) if *cluster == self.cluster => {
                told.then(|| service.clone())
            }
            _ => None,
        }
    }

    async fn write(&mut self, client: &Client, service: &ServiceKey, notice: &Notice) {
        match self.post(client, service, notice).await {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    info!(cluster = %self.cluster, "Kubernetes Events are written again");
                }
            }
            Err(reason) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(cluster = %self.cluster, %reason, "a Kubernetes Event cannot be written; the role needs verb create on events of events.k8s.io");
                }
            }
        }
    }

    async fn post(&self, client: &Client, service: &ServiceKey, notice: &Notice) -> Result<(), String> {
        // kubectl finds the Events of a Service by its uid.
        let uid = self.uid(client, service).await;
        let body = event(service, uid.as_deref(), notice, &self.leaf, Timestamp::now());
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", service.namespace);
        let post = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        let post = post.body(body.to_string().into_bytes()).map_err(|error| error.to_string())?;
        let request = Request { verb: "create", resource: "events", namespace: Some(&service.namespace) };
        self.ask(client, post, request).await.map(drop)
    }

    /// None when the role does not let us read it, or it is gone: the Event is written all the same.
    async fn uid(&self, client: &Client, service: &ServiceKey) -> Option<String> {
        let path = format!("/api/v1/namespaces/{}/services/{}", service.namespace, service.name);
        let get = http::Request::get(path).body(Vec::new()).ok()?;
        let request = Request { verb: "get", resource: "services", namespace: Some(&service.namespace) };
        let text = self.ask(client, get, request).await.ok()?;
        serde_json::from_str::<Object>(&text).ok()?.metadata.uid
    }

    async fn ask(&self, client: &Client, call: http::Request<Vec<u8>>, request: Request<'_>) -> Result<String, String> {
        match timeout(self.answer, client.request_text(call)).await {
            Ok(answer) => answer.map_err(|error| reason::explain(&error, request)),
            Err(_) => Err(reason::silent(request, self.answer)),
        }
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

/// The Event as it is written.
fn event(service: &ServiceKey, uid: Option<&str>, notice: &Notice, leaf: &str, now: Timestamp) -> serde_json::Value {
    let mut reason = camel_case(notice.key.kind.as_str());
    let text = &notice.alarm.text;
    let (kind, action, note) = match notice.event {
        NoticeEvent::Raised | NoticeEvent::Changed => ("Warning", "AlarmRaised", format!("{leaf}: {text}")),
        NoticeEvent::Cleared(cleared) => {
            reason.push_str("Cleared");
            let lasted = cleared.duration_since(notice.alarm.raised).as_secs().max(0);
            ("Normal", "AlarmCleared", format!("{leaf}: cleared after {lasted} s; it was: {text}"))
        }
    };
    let mut regarding = json!({
        "apiVersion": "v1", "kind": "Service", "namespace": &*service.namespace, "name": &*service.name,
    });
    if let Some(uid) = uid {
        regarding["uid"] = uid.into();
    }
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "generateName": format!("{}-", service.name), "namespace": &*service.namespace },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "reportingController": CONTROLLER,
        "reportingInstance": shortened(leaf, LONGEST_INSTANCE),
        "action": action,
        "reason": reason,
        "regarding": regarding,
        "note": shortened(&note, LONGEST_NOTE),
        "type": kind,
    })
}

/// `vip-route-missing` as `VipRouteMissing`.
fn camel_case(name: &str) -> String {
    name.split('-')
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_uppercase(), rest.to_owned()]
        })
        .collect()
}

/// The text, or as much of it as is allowed.
fn shortened(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alarm::{AlarmKey, AlarmType, AlarmView};

    fn notice(event: NoticeEvent, text: &str) -> Notice {
        let resource = Resource::Vip("c1".into(), ServiceKey::new("shop", "web"), "1.1.1.100".parse().unwrap());
        let raised = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let alarm = AlarmView { text: text.into(), raised, last_change: raised, occurrences: 1 };
        Notice { key: AlarmKey { kind: AlarmType::VipRouteMissing, resource }, alarm, event }
    }

    #[test]
    fn an_event_names_the_leaf_and_the_service() {
        let now: Timestamp = "2026-01-02T03:04:15Z".parse().unwrap();
        let service = ServiceKey::new("shop", "web");
        let raised = event(&service, Some("u1"), &notice(NoticeEvent::Raised, "no route"), "leaf3", now);
        assert_eq!(raised["note"], "leaf3: no route");
        // The API takes '-' at the end, and no dot.
        assert_eq!(raised["metadata"]["generateName"], "web-");
        assert_eq!((&raised["type"], &raised["reason"]), (&json!("Warning"), &json!("VipRouteMissing")));
        assert_eq!(raised["eventTime"], "2026-01-02T03:04:15.000000Z");
        assert_eq!(raised["regarding"]["uid"], "u1");
        let cleared = event(&service, None, &notice(NoticeEvent::Cleared(now), "no route"), "leaf3", now);
        assert_eq!((&cleared["type"], &cleared["reason"]), (&json!("Normal"), &json!("VipRouteMissingCleared")));
        assert_eq!(cleared["note"], "leaf3: cleared after 9 s; it was: no route");
        assert_eq!(cleared["regarding"].get("uid"), None);
    }

    #[test]
    fn a_note_is_no_longer_than_the_api_takes() {
        let long = "é".repeat(900);
        let text = event(
            &ServiceKey::new("shop", "web"),
            None,
            &notice(NoticeEvent::Raised, &long),
            "leaf3",
            Timestamp::UNIX_EPOCH,
        );
        assert!(text["note"].as_str().unwrap().len() <= LONGEST_NOTE);
    }
}
