//! Derives the condition of a cluster's source from those of its parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::event::SourceEvent;

/// The condition of one part: the connection, or a list-and-watch loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its first listing is under way, or a new one because what it knew became too old.
    Listing,
    /// What it knows is current.
    Live,
    /// It has failed, for this reason.
    Failed(Arc<str>),
}

/// The conditions of all parts, by name. A part that failed stays failed until it is live.
#[derive(Debug)]
pub(super) struct Conditions {
    parts: BTreeMap<String, Part>,
    published: Option<SourceEvent>,
}

impl Conditions {
    /// Creates parts that have not started.
    pub(super) fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self { parts: parts.into_iter().map(|name| (name.to_owned(), Part::Listing)).collect(), published: None }
    }

    /// Sets the condition of a part; returns the state of the source as a whole, if that changed.
    pub(super) fn set(&mut self, name: &str, part: Part) -> Option<SourceEvent> {
        let old = self.parts.entry(name.to_owned()).or_insert(Part::Listing);
        if !(matches!(old, Part::Failed(_)) && part == Part::Listing) {
            *old = part;
        }
        self.news()
    }

    /// Removes a part; returns the state of the source as a whole, if that changed.
    pub(super) fn remove(&mut self, name: &str) -> Option<SourceEvent> {
        self.parts.remove(name);
        self.news()
    }

    fn news(&mut self) -> Option<SourceEvent> {
        let whole = self.whole();
        if self.published.as_ref() == Some(&whole) {
            return None;
        }
        self.published = Some(whole.clone());
        Some(whole)
    }

    fn whole(&self) -> SourceEvent {
        let failed = self.parts.values().find_map(|part| match part {
            Part::Failed(reason) => Some(Arc::clone(reason)),
            Part::Listing | Part::Live => None,
        });
        match failed {
            Some(reason) => SourceEvent::Lost(reason),
            None if self.parts.values().all(|part| *part == Part::Live) => SourceEvent::Synced,
            None => SourceEvent::Syncing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_synced_when_all_parts_are_live_and_lost_while_one_has_failed() {
        let mut conditions = Conditions::new(["connection", "services"]);
        assert_eq!(conditions.set("services", Part::Listing), Some(SourceEvent::Syncing));
        assert_eq!(conditions.set("connection", Part::Live), None);
        assert_eq!(conditions.set("services", Part::Live), Some(SourceEvent::Synced));
        let lost = || Part::Failed("gone".into());
        assert_eq!(conditions.set("services", lost()), Some(SourceEvent::Lost("gone".into())));
        assert_eq!(conditions.set("services", lost()), None);
        assert_eq!(conditions.set("services", Part::Listing), None, "still lost until it lives");
        assert_eq!(conditions.set("services", Part::Live), Some(SourceEvent::Synced));
        conditions.set("services/web", lost());
        assert_eq!(conditions.remove("services/web"), Some(SourceEvent::Synced));
    }
}
