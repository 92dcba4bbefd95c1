//! Mirrors events: clients write them in the group events.k8s.io and, like kubectl, read them in the core group.

use serde_json::{Value, json};

use super::super::json::{int, set, text};
use super::super::state::{Part, State};
use super::super::store::Key;

/// Name of the newer kind of events.
pub(super) const NEW: &str = "Event.events.k8s.io";

/// Shows an event of events.k8s.io in the core group.
pub(super) fn reconcile(state: &mut State, key: &Key) {
    let Some(new) = state.registry.by_name(NEW) else { return };
    let core = state.kind("Event");
    let Some(event) = state.get(new, key).map(|stored| std::sync::Arc::clone(&stored.value)) else {
        state.discard(core, key);
        return;
    };
    let mirror = core_form(&event);
    // Neither can fail: namespace and name are those of the event itself.
    let _ = if state.get(core, key).is_some() {
        state.update(core, key, mirror, Part::Whole, false)
    } else {
        state.create(core, &key.namespace, mirror, Part::Whole, false)
    };
}

fn core_form(event: &Value) -> Value {
    let first = text(event, "/eventTime").split('.').next().unwrap_or_default().trim_end_matches('Z');
    let last = text(event, "/series/lastObservedTime").split('.').next().unwrap_or_default().trim_end_matches('Z');
    let time = |text: &str| if text.is_empty() { Value::Null } else { format!("{text}Z").into() };
    let mut core = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": event["metadata"]["name"], "namespace": event["metadata"]["namespace"]},
        "type": event["type"], "reason": event["reason"], "message": event["note"], "action": event["action"],
        "involvedObject": event["regarding"], "related": event["related"],
        "reportingComponent": event["reportingController"], "reportingInstance": event["reportingInstance"],
        "source": {"component": event["reportingController"]},
        "eventTime": event["eventTime"], "firstTimestamp": time(first),
        "lastTimestamp": time(if last.is_empty() { first } else { last }),
    });
    set(&mut core, &["count"], int(event, "/series/count").unwrap_or(1));
    core
}
