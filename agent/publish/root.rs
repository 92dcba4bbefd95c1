//! Builds the document of `/k8s-services` itself, with summary and statistics in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_with::skip_serializing_none;

use super::dialect::Dialect;
use super::entry::{Time, admin_state, json};
use crate::model::adaptation::Adaptation;
use crate::model::alarm::{AlarmCounts, Severity};
use crate::model::config::AlarmPolicy;
use crate::model::source::SourceId;
use crate::model::time::Timestamp;
use crate::model::view::{RootView, SourceFreshness, SourceView, SummaryView};

/// The content of the document. Setters return whether it changed.
#[derive(Debug, Default)]
pub(crate) struct RootDocument {
    pub(crate) version: &'static str,
    view: Option<RootView>,
    pub(crate) summary: Option<SummaryView>,
    pub(crate) alarms: AlarmCounts,
    pub(crate) sources: BTreeMap<SourceId, SourceView>,
    pub(crate) freshness: BTreeMap<SourceId, SourceFreshness>,
    pub(crate) counters: Counters,
    pub(crate) adaptation: Adaptation,
    /// The dialect that the NDK accepted.
    pub(crate) dialect: Option<Dialect>,
    /// The values of `refused-entry`.
    pub(crate) refused: Vec<String>,
}

/// Replaces a value; returns whether it changed.
pub(crate) fn replace<T: PartialEq>(slot: &mut T, value: T) -> bool {
    let changed = *slot != value;
    *slot = value;
    changed
}

impl RootDocument {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { version, ..Self::default() }
    }

    pub(crate) fn set_view(&mut self, view: RootView) -> bool {
        replace(&mut self.view, Some(view))
    }

    pub(crate) fn set_source(&mut self, source: SourceId, view: Option<SourceView>) -> bool {
        match view {
            Some(view) => self.sources.insert(source, view) != Some(view),
            None => {
                self.freshness.remove(&source);
                self.sources.remove(&source).is_some()
            }
        }
    }

    /// Sets the freshness of a source that is known.
    pub(crate) fn refresh(&mut self, freshness: SourceFreshness) -> bool {
        let known = self.sources.contains_key(&freshness.source);
        known && self.freshness.insert(freshness.source.clone(), freshness.clone()).as_ref() != Some(&freshness)
    }

    /// Returns when a source last sent an event.
    pub(crate) fn last_event(&self, source: &SourceId) -> Option<Timestamp> {
        self.freshness.get(source)?.last_event
    }

    /// Returns whether the engine has reported anything about the root.
    pub(crate) fn is_known(&self) -> bool {
        self.view.is_some()
    }

    /// Returns the whole document; `None` before the engine has reported anything about the root.
    pub(crate) fn json(&self) -> Option<String> {
        self.view.as_ref().map(|view| root(view, self))
    }

    /// Returns a small document in which nothing could be refused for its own sake, to find out which form of state
    /// this switch accepts.
    pub(crate) fn probe(&self) -> Option<String> {
        self.view.as_ref().map(|view| probe(view, self.version))
    }
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Root<'a> {
    admin_state: &'static str,
    oper_state: &'static str,
    oper_reason: Option<&'a str>,
    version: &'static str,
    alarm_policy: Policy,
    summary: Option<Summary>,
    statistics: Statistics<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Policy {
    raise_hold_time: u64,
    clear_hold_time: u64,
    history_size: u16,
    kubernetes_events: bool,
}

impl From<AlarmPolicy> for Policy {
    fn from(policy: AlarmPolicy) -> Self {
        Self {
            raise_hold_time: policy.raise_hold.as_secs(),
            clear_hold_time: policy.clear_hold.as_secs(),
            history_size: policy.history_size,
            kubernetes_events: policy.kubernetes_events,
        }
    }
}

/// Returns `/k8s-services`, with summary and statistics.
fn root(view: &RootView, document: &RootDocument) -> String {
    json(&Root {
        admin_state: admin_state(view.enabled),
        oper_state: view.state.as_str(),
        oper_reason: view.reason.as_deref(),
        version: document.version,
        alarm_policy: view.alarm_policy.into(),
        summary: document.summary.as_ref().map(|view| summary(view, document)),
        statistics: statistics(document),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Probe {
    admin_state: &'static str,
    oper_state: &'static str,
    version: &'static str,
}

/// Returns the smallest content of `/k8s-services` with a hyphen in its path and enumerations in it.
fn probe(view: &RootView, version: &'static str) -> String {
    json(&Probe { admin_state: admin_state(view.enabled), oper_state: view.state.as_str(), version })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    services: u32,
    vips: u32,
    vips_up: u32,
    vips_degraded: u32,
    vips_down: u32,
    vips_unknown: u32,
    alarms_critical: u32,
    alarms_major: u32,
    alarms_minor: u32,
    alarms_warning: u32,
    source: Vec<SourceCondition>,
}

fn summary(view: &SummaryView, document: &RootDocument) -> Summary {
    let SummaryView { services, vips, vips_up, vips_degraded, vips_down, vips_unknown } = *view;
    let alarms = &document.alarms;
    Summary {
        services,
        vips,
        vips_up,
        vips_degraded,
        vips_down,
        vips_unknown,
        alarms_critical: alarms.of(Severity::Critical),
        alarms_major: alarms.of(Severity::Major),
        alarms_minor: alarms.of(Severity::Minor),
        alarms_warning: alarms.of(Severity::Warning),
        source: document.sources.iter().map(|(source, view)| condition(source, view, document)).collect(),
    }
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SourceCondition {
    name: String,
    oper_state: &'static str,
    last_event: Option<Time>,
    stale_since: Option<Time>,
}

fn condition(source: &SourceId, view: &SourceView, document: &RootDocument) -> SourceCondition {
    SourceCondition {
        name: source.to_string(),
        oper_state: view.state.as_str(),
        last_event: document.last_event(source).map(Time),
        stale_since: view.stale_since.map(Time),
    }
}

/// Counters of the agent itself; 64-bit numbers are strings in JSON (RFC 7951 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// `evaluations`
    pub(crate) evaluations: u64,
    /// `telemetry-updates`
    pub(crate) updates: u64,
    /// `telemetry-deletes`
    pub(crate) deletes: u64,
    /// `telemetry-errors`
    pub(crate) errors: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Statistics<'a> {
    evaluations: String,
    telemetry_updates: String,
    telemetry_deletes: String,
    telemetry_errors: String,
    source: Vec<SourceStatistics>,
    adaptation: AdaptationLeaves<'a>,
}

fn statistics(document: &RootDocument) -> Statistics<'_> {
    let Counters { evaluations, updates, deletes, errors } = document.counters;
    Statistics {
        evaluations: evaluations.to_string(),
        telemetry_updates: updates.to_string(),
        telemetry_deletes: deletes.to_string(),
        telemetry_errors: errors.to_string(),
        source: document.freshness.values().map(source_statistics).collect(),
        adaptation: adaptation(document),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SourceStatistics {
    name: String,
    events: String,
    reconnects: String,
    errors: String,
}

fn source_statistics(freshness: &SourceFreshness) -> SourceStatistics {
    SourceStatistics {
        name: freshness.source.to_string(),
        events: freshness.events.to_string(),
        reconnects: freshness.reconnects.to_string(),
        errors: freshness.errors.to_string(),
    }
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AdaptationLeaves<'a> {
    path_spelling: Option<&'static str>,
    enumeration_form: Option<&'static str>,
    streams: Option<&'static str>,
    end_of_dump: Option<String>,
    gnmi_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    refused_path: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    refused_feature: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_entry: &'a Vec<String>,
    release: Option<&'a str>,
}

fn adaptation(document: &RootDocument) -> AdaptationLeaves<'_> {
    let found = &document.adaptation;
    AdaptationLeaves {
        path_spelling: document.dialect.map(|dialect| dialect.spelling.as_str()),
        enumeration_form: document.dialect.map(|dialect| dialect.words.as_str()),
        streams: found.streams,
        end_of_dump: found.end_of_dump.map(|end| end.to_string()),
        gnmi_encoding: found.gnmi_encoding,
        refused_path: found.refused_paths(),
        refused_feature: found.refused_features(),
        refused_entry: &document.refused,
        release: found.release.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_strings() {
        let mut document = RootDocument::new("1.2.3");
        document.counters = Counters { evaluations: u64::MAX, ..Counters::default() };
        let text = json(&statistics(&document));
        assert!(text.contains(r#""evaluations":"18446744073709551615""#), "{text}");
    }
}
