//! Builds the document of `/k8s-services` itself, with summary and statistics in it.

use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::entry::{self, Counters};
use crate::model::adaptation::Adaptation;
use crate::model::alarm::AlarmCounts;
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
        self.view.as_ref().map(|view| entry::root(view, self))
    }

    /// Returns a small document in which nothing could be refused for its own sake, to find out which form of state
    /// this switch accepts.
    pub(crate) fn probe(&self) -> Option<String> {
        self.view.as_ref().map(|view| entry::probe(view, self.version))
    }
}
