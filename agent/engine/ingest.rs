//! Applies events to the facts and gathers what they made dirty until the next evaluation.

use super::Engine;
use super::facts::dirty::Dirty;
use crate::model::event::{ClusterEvent, Event, SwitchEvent, Update};
use crate::model::source::SourceId;
use crate::model::time::Now;

impl Engine {
    /// Applies one event without evaluating.
    pub fn ingest(&mut self, now: Now, event: Event) {
        let facts = &mut self.facts;
        if let Some((source, entries)) = entries_of(&event) {
            facts.heard(now, &source, entries);
        }
        self.dirty |= match event {
            Event::Restored(state) => {
                self.alarms.load(&state);
                self.published.attachments.clone_from(&state.attachments);
                facts.remember(state.attachments)
            }
            Event::Configured(config) => facts.configure(config),
            Event::Source(id, event) => facts.set_source(now, &id, &event),
            Event::Switch(event) => facts.set_switch(event),
            Event::Neighbors(update) => facts.set_neighbors(update),
            Event::Fib(update) => facts.set_fib(update),
            Event::Coverage(coverage) => facts.set_coverage(coverage),
            Event::ActiveRoutes(update) => facts.set_active_routes(update),
            Event::Finding(question, finding) => facts.set_finding(&question, finding),
            Event::Cluster(name, event) => facts.set_cluster(&name, event),
            Event::Tick => Dirty::default(),
        };
        self.dirty |= self.facts.end_dump(now);
    }
}

/// Returns the source of an event, and how many entries the event has.
fn entries_of(event: &Event) -> Option<(SourceId, usize)> {
    match event {
        Event::Switch(event) => {
            let entries = match event {
                SwitchEvent::Routes(_, routes) => routes.len(),
                SwitchEvent::NextHopGroups(groups) => groups.len(),
                SwitchEvent::NetworkInstance(..) | SwitchEvent::Application(..) | SwitchEvent::Bfd(..) => 1,
                // A pause is not a sign of life.
                SwitchEvent::Pace(_) => return None,
            };
            Some((SourceId::Ndk, entries))
        }
        Event::Neighbors(update) => Some((SourceId::Gnmi, entries(update))),
        Event::Fib(update) => Some((SourceId::Gnmi, entries(update))),
        Event::ActiveRoutes(update) => Some((SourceId::Gnmi, entries(update))),
        Event::Finding(..) => Some((SourceId::Gnmi, 1)),
        Event::Cluster(name, event) => Some((
            SourceId::Kubernetes(name.clone()),
            match event {
                ClusterEvent::Connected { .. } | ClusterEvent::SpeakerResource(..) | ClusterEvent::Crowded(..) => 0,
                ClusterEvent::Services(update) => entries(update),
                ClusterEvent::EndpointSlices(update) => entries(update),
                ClusterEvent::Nodes(update) => entries(update),
                ClusterEvent::SpeakerObjects(_, update) => entries(update),
                ClusterEvent::Announcements(_, update) => entries(update),
            },
        )),
        Event::Restored(_) | Event::Configured(_) | Event::Source(..) | Event::Coverage(_) | Event::Tick => None,
    }
}

fn entries<K, V>(update: &Update<K, V>) -> usize {
    match update {
        Update::All(all) => all.len(),
        Update::Set(..) | Update::Gone(_) => 1,
    }
}
