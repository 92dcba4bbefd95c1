//! The document of `/k8s-services` itself, with summary and statistics in it.

use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::entry::{self, Counters};
use crate::model::adaptation::Adaptation;
use crate::model::alarm::AlarmCounts;
use crate::model::event::SourceId;
use crate::model::time::Timestamp;
use crate::model::view::{RootView, SourceFreshness, SourceView, SummaryView};

/// What the document is made of. Setters return whether it changed.
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
    /// `refused-entry`.
    pub(crate) refused: Vec<String>,
}

/// Replaces a value; returns whether it was another.
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

    /// Takes over the freshness of a source that is known.
    pub(crate) fn refresh(&mut self, freshness: SourceFreshness) -> bool {
        let known = self.sources.contains_key(&freshness.source);
        known && self.freshness.insert(freshness.source.clone(), freshness.clone()).as_ref() != Some(&freshness)
    }

    /// When a source was last heard from.
    pub(crate) fn last_event(&self, source: &SourceId) -> Option<Timestamp> {
        self.freshness.get(source)?.last_event
    }

    /// The engine has said something of it.
    pub(crate) fn is_known(&self) -> bool {
        self.view.is_some()
    }

    /// The whole document; `None` before the engine has said anything of it.
    pub(crate) fn json(&self) -> Option<String> {
        self.view.as_ref().map(|view| entry::root(view, self))
    }

    /// A small document with nothing in it that could be refused by itself, to find out how this switch wants state
    /// written.
    pub(crate) fn probe(&self) -> Option<String> {
        self.view.as_ref().map(|view| entry::probe(view, self.version))
    }
}
