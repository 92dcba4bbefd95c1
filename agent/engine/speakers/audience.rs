//! Sets of nodes that announce the same VIPs: every eligible node, or those that some objects of the speaker select.
//!
//! A set is known by the objects that make it, not by its members: nodes come and go, and the VIPs counted by the set stay
//! where they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::nodes::{Expectation, NodeEntry};
use super::Knowledge;
use crate::model::speaker::ObjectKey;

/// The number of a set; not reused.
pub(in super::super) type AudienceId = u32;

/// Every eligible node.
pub(in super::super) const EVERYONE: AudienceId = 0;

/// One set of nodes.
#[derive(Debug, Default)]
pub(in super::super) struct Audience {
    /// The objects that select its members; none for every eligible node.
    by: Arc<[ObjectKey]>,
    /// Eligible nodes in it, by slot, in order.
    pub(in super::super) members: Vec<u32>,
    filled: bool,
    /// What it makes expected of VIPs of IPv4 and IPv6.
    expectations: [Arc<Expectation>; 2],
}

impl Audience {
    pub(in super::super) fn contains(&self, node: u32) -> bool {
        self.members.binary_search(&node).is_ok()
    }

    pub(in super::super) fn expectation(&self, v4: bool) -> Arc<Expectation> {
        Arc::clone(&self.expectations[usize::from(!v4)])
    }

    /// The objects that select its members.
    pub(in super::super) fn by(&self) -> &[ObjectKey] {
        &self.by
    }
}

/// The sets in use.
#[derive(Debug, Default)]
pub(in super::super) struct Audiences {
    sets: FxHashMap<AudienceId, Audience>,
    ids: FxHashMap<Arc<[ObjectKey]>, AudienceId>,
    last: AudienceId,
}

impl Audiences {
    /// The set that objects make; its members are told by [`Self::fill`].
    pub(super) fn id(&mut self, by: Arc<[ObjectKey]>) -> AudienceId {
        if by.is_empty() {
            return EVERYONE;
        }
        if let Some(id) = self.ids.get(&by) {
            return *id;
        }
        self.last += 1;
        self.ids.insert(Arc::clone(&by), self.last);
        self.sets.insert(self.last, Audience { by, ..Audience::default() });
        self.last
    }

    pub(in super::super) fn get(&self, id: AudienceId) -> Option<&Audience> {
        self.sets.get(&id)
    }

    /// The set has not been filled yet.
    pub(in super::super) fn is_new(&self, id: AudienceId) -> bool {
        self.sets.get(&id).is_none_or(|set| !set.filled)
    }

    /// Forgets the sets that nothing uses.
    pub(in super::super) fn keep(&mut self, used: &BTreeSet<AudienceId>) {
        self.sets.retain(|id, _| *id == EVERYONE || used.contains(id));
        self.ids.retain(|_, id| used.contains(id));
    }

    /// Works out who is in each set, from the eligible nodes in order of slot. Gives the nodes that joined or left one.
    pub(in super::super) fn fill(&mut self, knowledge: &Knowledge, eligible: &[(u32, &NodeEntry)]) -> BTreeSet<u32> {
        let mut moved = BTreeSet::new();
        self.sets.entry(EVERYONE).or_default();
        for (id, set) in &mut self.sets {
            let by = Arc::clone(&set.by);
            let mut selected = eligible.to_vec();
            selected.retain(|(_, node)| *id == EVERYONE || knowledge.selects(&by, node));
            let members: Vec<u32> = selected.iter().map(|(slot, _)| *slot).collect();
            moved.extend(members.iter().filter(|slot| !set.contains(**slot)));
            moved.extend(set.members.iter().filter(|slot| members.binary_search(slot).is_err()));
            set.members = members;
            set.filled = true;
            set.expectations = [true, false].map(|v4| Arc::new(Expectation::of(selected.iter().copied(), v4)));
        }
        moved
    }
}
