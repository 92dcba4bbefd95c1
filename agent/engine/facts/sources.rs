//! Tracks whether sources are synced, since when they are lost, and how fresh they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::dump::Counting;
use crate::model::event::SourceEvent;
use crate::model::source::SourceId;
use crate::model::time::{Now, Timestamp};
use crate::model::verdict::SourceState;
use crate::model::view::{SourceFreshness, SourceView};

/// How long verdicts wait for gNMI before they are made by routes alone; counted from the start of the agent.
pub(crate) const GNMI_WAIT: Duration = Duration::from_secs(30);
/// How long a source may take for its first answer before an alarm is raised; counted from the start of the agent.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long the switch's own tables may be lost or resynchronizing before nothing is judged by them.
pub(crate) const SWITCH_PATIENCE: Duration = Duration::from_secs(15);

/// One source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Whether a first dump was completed.
    pub(crate) ever_synced: bool,
    /// Since when and why it is lost; `None` once it is synced again.
    pub(crate) lost: Option<Loss>,
    /// Since when it is resynchronizing.
    dumping: Option<(Duration, Timestamp)>,
    /// When it was last heard, and the time of day then. A lost source does not count as heard until it is synced
    /// again, since its last data may have been outdated for long.
    pub(crate) heard: Option<(Duration, Timestamp)>,
    last_event: Option<Timestamp>,
    events: u64,
    reconnects: u64,
    errors: u64,
}

/// A loss.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    pub(crate) elapsed: Duration,
    pub(crate) wall: Timestamp,
    pub(crate) why: Arc<str>,
}

impl Source {
    fn tell(&mut self, now: Now, event: &SourceEvent) {
        if !matches!(event, SourceEvent::Lost(_)) {
            self.last_event = Some(now.wall);
        }
        match event {
            SourceEvent::Syncing => {
                if self.lost.is_some() && self.dumping.is_none() {
                    self.reconnects += 1;
                }
                self.dumping = Some((now.elapsed, now.wall));
            }
            SourceEvent::Synced => {
                if self.lost.take().is_some() && self.dumping.is_none() {
                    self.reconnects += 1;
                }
                self.ever_synced = true;
                self.dumping = None;
            }
            SourceEvent::Lost(why) => {
                self.errors += 1;
                self.dumping = None;
                match &mut self.lost {
                    Some(loss) => loss.why = why.clone(),
                    None => self.lost = Some(Loss { elapsed: now.elapsed, wall: now.wall, why: why.clone() }),
                }
            }
            SourceEvent::Alive => {}
            SourceEvent::Malformed => self.errors += 1,
        }
        if self.lost.is_none() {
            self.hear(now);
        }
    }

    fn hear(&mut self, now: Now) {
        self.heard = Some((now.elapsed, now.wall));
    }

    /// Returns since when its data may be outdated, because it is lost or resynchronizing.
    fn dark_since(&self) -> Option<(Duration, Timestamp)> {
        self.lost.as_ref().map(|loss| (loss.elapsed, loss.wall)).or(self.dumping)
    }

    fn view(&self) -> SourceView {
        let stale = self.lost.as_ref().filter(|_| self.dumping.is_none());
        let state = match stale {
            Some(_) => SourceState::Stale,
            None if self.ever_synced && self.dumping.is_none() => SourceState::Synced,
            None => SourceState::Syncing,
        };
        SourceView { state, stale_since: stale.map(|loss| loss.wall) }
    }
}

/// Which verdicts the condition of the switch's sources allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) ndk: NdkPhase,
    pub(crate) gnmi: GnmiPhase,
}

/// The phase of the switch's own tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NdkPhase {
    /// The first dump is not complete.
    Syncing,
    /// The tables may be judged.
    Live,
    /// The tables have been lost or resynchronizing for too long, since this time.
    Stale(Timestamp),
}

/// The phase of neighbors and FIB programming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GnmiPhase {
    /// gNMI may still answer for the first time.
    Waiting,
    /// Sessions and FIB status are known.
    Live,
    /// Verdicts are made by routes alone.
    Blind,
}

/// All sources.
#[derive(Debug)]
pub(crate) struct Sources {
    known: BTreeMap<SourceId, Source>,
}

impl Default for Sources {
    fn default() -> Self {
        let known = [SourceId::Ndk, SourceId::Gnmi].map(|id| (id, Source::default()));
        Self { known: known.into() }
    }
}

impl Sources {
    pub(crate) fn tell(&mut self, now: Now, id: &SourceId, event: &SourceEvent) {
        if let Some(source) = self.known.get_mut(id) {
            source.tell(now, event);
        }
    }

    pub(crate) fn heard(&mut self, now: Now, id: &SourceId, events: usize) {
        if let Some(source) = self.known.get_mut(id) {
            if source.lost.is_none() {
                source.hear(now);
            }
            source.last_event = Some(now.wall);
            source.events += events as u64;
        }
    }

    pub(crate) fn add(&mut self, id: SourceId) {
        self.known.entry(id).or_default();
    }

    pub(crate) fn remove(&mut self, id: &SourceId) {
        self.known.remove(id);
    }

    pub(crate) fn get(&self, id: &SourceId) -> Option<&Source> {
        self.known.get(id)
    }

    fn ndk(&self) -> &Source {
        &self.known[&SourceId::Ndk]
    }

    fn gnmi(&self) -> &Source {
        &self.known[&SourceId::Gnmi]
    }

    /// Returns whether gNMI is connected, so that neighbors are current.
    pub(crate) fn hears_neighbors(&self) -> bool {
        self.gnmi().ever_synced && self.gnmi().lost.is_none()
    }

    pub(crate) fn phase(&self, now: Duration) -> Phase {
        let (ndk, gnmi) = (self.ndk(), self.gnmi());
        let ndk = match ndk.dark_since() {
            _ if !ndk.ever_synced => NdkPhase::Syncing,
            Some((since, wall)) if now >= since + SWITCH_PATIENCE => NdkPhase::Stale(wall),
            _ => NdkPhase::Live,
        };
        let gnmi = match gnmi.ever_synced {
            false if now < GNMI_WAIT => GnmiPhase::Waiting,
            true if gnmi.lost.is_none() => GnmiPhase::Live,
            _ => GnmiPhase::Blind,
        };
        Phase { ndk, gnmi }
    }

    /// Returns whether gNMI counts routes.
    pub(crate) fn counting(&self, now: Duration) -> Counting {
        match self.phase(now).gnmi {
            GnmiPhase::Waiting => Counting::Awaited,
            GnmiPhase::Live => Counting::Known,
            GnmiPhase::Blind => Counting::Never,
        }
    }

    /// Returns when time alone next changes the phase.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let wait = (!self.gnmi().ever_synced).then_some(GNMI_WAIT);
        let dark = self.ndk().dark_since().filter(|_| self.ndk().ever_synced);
        let patience = dark.map(|(since, _)| since + SWITCH_PATIENCE);
        let never_came = |source: &Source| source.lost.is_some() && !source.ever_synced;
        let start = self.known.values().any(never_came).then_some(START_PATIENCE);
        [wait, patience, start].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Returns whether a source is synced and reports changes.
    pub(crate) fn in_reach(&self, id: &SourceId) -> bool {
        self.known.get(id).is_some_and(|source| source.view().state == SourceState::Synced)
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = (&SourceId, SourceView)> {
        self.known.iter().map(|(id, source)| (id, source.view()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SourceId, &Source)> {
        self.known.iter()
    }

    pub(crate) fn freshness(&self) -> Vec<SourceFreshness> {
        let freshness = |(id, source): (&SourceId, &Source)| SourceFreshness {
            source: id.clone(),
            last_event: source.last_event,
            events: source.events,
            reconnects: source.reconnects,
            errors: source.errors,
        };
        self.known.iter().map(freshness).collect()
    }
}
