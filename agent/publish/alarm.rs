//! Makes the entries of alarms.

use serde::Serialize;

use super::entry::{Entry, Time, json};
use super::item::Part;
use crate::model::alarm::{AlarmKey, AlarmRecord, AlarmView};
use crate::model::verdict::ProbableCause;
use crate::tree;

#[serde_with::skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Alarm<'a> {
    r#type: &'static str,
    severity: &'static str,
    resource: String,
    text: &'a str,
    owner: &'static str,
    affected: u32,
    raised: Time,
    last_change: Time,
    occurrences: u32,
    probable_cause: Option<&'static str>,
}

/// Returns the entry of `/k8s-services/alarm`.
pub(super) fn alarm(key: &AlarmKey, view: &AlarmView) -> Vec<Entry> {
    let body = Alarm {
        r#type: key.kind.as_str(),
        severity: view.severity.as_str(),
        resource: tree::resource(&key.resource).to_string(),
        text: &view.text,
        owner: view.owner.as_str(),
        affected: view.affected,
        raised: Time(view.raised),
        last_change: Time(view.last_change),
        occurrences: view.occurrences,
        probable_cause: view.cause.map(ProbableCause::as_str),
    };
    vec![(Part::Own, json(&body))]
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Record<'a> {
    id: String,
    r#type: &'static str,
    severity: &'static str,
    resource: String,
    text: &'a str,
    owner: &'static str,
    affected: u32,
    raised: Time,
    cleared: Time,
    cleared_because: &'static str,
}

/// Returns the entry of `/k8s-services/alarm-history`.
pub(super) fn record(record: &AlarmRecord) -> Vec<Entry> {
    let key = &record.key;
    let body = Record {
        id: key.to_string(),
        r#type: key.kind.as_str(),
        severity: record.severity.as_str(),
        resource: tree::resource(&key.resource).to_string(),
        text: &record.text,
        owner: record.owner.as_str(),
        affected: record.affected,
        raised: Time(record.raised),
        cleared: Time(record.cleared),
        cleared_because: record.because.as_str(),
    };
    vec![(Part::Own, json(&body))]
}
