//! Keeps the nodes of a cluster other than those known to be only behind other leaves, by what shows where they are. In
//! a large cluster they are usually few.

use std::collections::BTreeSet;

/// What shows where a node is, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A session with the node is established here.
    Established,
    /// A neighbor in another state, and a host route of this leaf: by ARP/ND, static or its own.
    Neighbor,
    /// A host route by EVPN: the node is behind another leaf, even if an idle neighbor is left over here.
    Evpn,
    /// A neighbor in another state, or a dynamic one that vanished with its session.
    LeftOver,
    /// A host route of this leaf, without a neighbor.
    Silent,
    /// Nothing.
    #[default]
    Unlocated,
}

impl Place {
    pub(super) fn is_attached(self) -> bool {
        matches!(self, Self::Established | Self::Neighbor | Self::LeftOver)
    }
}

/// Nodes by slot.
#[derive(Debug, Default)]
pub(crate) struct Places {
    attached: BTreeSet<u32>,
    silent: BTreeSet<u32>,
    unlocated: BTreeSet<u32>,
}

/// Numbers of nodes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlaceCounts {
    pub(crate) attached: usize,
    pub(crate) silent: usize,
    pub(crate) unlocated: usize,
}

impl Places {
    /// Notes the place of a node; `None` if the node is gone.
    pub(super) fn put(&mut self, slot: u32, place: Option<Place>) {
        for set in [&mut self.attached, &mut self.silent, &mut self.unlocated] {
            set.remove(&slot);
        }
        match place {
            Some(Place::Established | Place::Neighbor | Place::LeftOver) => _ = self.attached.insert(slot),
            Some(Place::Silent) => _ = self.silent.insert(slot),
            Some(Place::Unlocated) => _ = self.unlocated.insert(slot),
            Some(Place::Evpn) | None => {}
        }
    }

    /// Returns all of these nodes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.here().chain(self.unlocated())
    }

    /// Returns the nodes that are attached here, or are here without a neighbor.
    pub(crate) fn here(&self) -> impl Iterator<Item = u32> {
        self.attached.iter().chain(&self.silent).copied()
    }

    /// Returns the nodes without a neighbor here.
    pub(crate) fn unattached(&self) -> impl Iterator<Item = u32> {
        self.silent.iter().chain(&self.unlocated).copied()
    }

    /// Returns the nodes that are not located.
    pub(crate) fn unlocated(&self) -> impl Iterator<Item = u32> {
        self.unlocated.iter().copied()
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        [&self.attached, &self.silent, &self.unlocated].iter().any(|set| set.contains(&slot))
    }

    pub(crate) fn counts(&self) -> PlaceCounts {
        PlaceCounts { attached: self.attached.len(), silent: self.silent.len(), unlocated: self.unlocated.len() }
    }

    /// Counts the given nodes by kind.
    pub(crate) fn count(&self, nodes: impl Iterator<Item = u32>) -> PlaceCounts {
        let mut counts = PlaceCounts::default();
        for slot in nodes {
            counts.attached += usize::from(self.attached.contains(&slot));
            counts.silent += usize::from(self.silent.contains(&slot));
            counts.unlocated += usize::from(self.unlocated.contains(&slot));
        }
        counts
    }
}

impl PlaceCounts {
    pub(crate) fn sum(self) -> usize {
        self.attached + self.silent + self.unlocated
    }

    /// Subtracts the counts of others.
    pub(crate) fn less(self, others: Self) -> Self {
        Self {
            attached: self.attached.saturating_sub(others.attached),
            silent: self.silent.saturating_sub(others.silent),
            unlocated: self.unlocated.saturating_sub(others.unlocated),
        }
    }

    pub(crate) fn plus(self, others: Self) -> Self {
        Self {
            attached: self.attached + others.attached,
            silent: self.silent + others.silent,
            unlocated: self.unlocated + others.unlocated,
        }
    }
}
