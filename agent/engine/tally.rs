//! How many VIPs each node should announce, and how many use it, kept without a list per VIP of all nodes.
//!
//! Most VIPs are announced by every eligible node, or by all that the same objects of the speaker select: by one audience.
//! Those are counted once per audience and distinct set of installed next-hops; a node's own figures are read from these sets
//! when its view is made. Only VIPs announced by other sets of nodes are counted at the nodes.

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cluster::Cluster;
use super::nodes::NodeEntry;
use super::speakers::AudienceId;

/// What one VIP adds to the counts of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contribution {
    pub(super) announcers: Counted,
    /// Installed next-hops, sorted.
    pub(super) installed: Arc<[IpAddr]>,
    /// The route may be a better one that hides what a node gives.
    pub(super) may_hide: bool,
}

/// Announcers of a VIP, as they are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// All of an audience, whoever is in it.
    Audience(AudienceId),
    /// These, by slot, and whether the route uses each.
    Some(Box<[(u32, bool)]>),
}

/// VIPs that audiences announce.
#[derive(Debug, Default)]
pub(super) struct Tally(FxHashMap<AudienceId, Crowd>);

impl Tally {
    /// The audiences VIPs are counted for.
    pub(super) fn audiences(&self) -> impl Iterator<Item = AudienceId> {
        self.0.keys().copied()
    }
}

/// VIPs that one audience announces.
#[derive(Debug, Default)]
struct Crowd {
    total: u32,
    by_installed: FxHashMap<(Arc<[IpAddr]>, bool), u32>,
}

/// The figures of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) expected: u32,
    pub(super) installed: u32,
    /// Of the expected: those whose route may hide the node's own.
    pub(super) hidden: u32,
}

/// True when a route with these next-hops uses the node: directly, or by a VTEP of it.
pub(super) fn uses(installed: &[IpAddr], node: &NodeEntry) -> bool {
    installed.iter().any(|hop| {
        node.location.candidates.iter().any(|(address, _)| address == hop)
            || node.location.all_vteps().any(|vtep| vtep == *hop)
    })
}

impl Cluster {
    /// The figures of a node.
    pub(super) fn figures(&self, slot: u32, node: &NodeEntry) -> Figures {
        let mut figures = Figures { expected: node.expected, installed: node.installed, hidden: node.hidden };
        let member = |id: AudienceId| self.audience(id).is_some_and(|audience| audience.contains(slot));
        for crowd in self.tally.0.iter().filter(|(id, _)| member(**id)).map(|(_, crowd)| crowd) {
            figures.expected += crowd.total;
            for ((installed, may_hide), count) in &crowd.by_installed {
                figures.installed += if uses(installed, node) { *count } else { 0 };
                figures.hidden += if *may_hide { *count } else { 0 };
            }
        }
        figures
    }

    /// Replaces what a VIP adds to the counts, and marks the nodes whose figures change.
    pub(super) fn contribute(&mut self, vip: IpAddr, new: Option<Contribution>) {
        let Some(entry) = self.vips.get_mut(&vip) else { return };
        if entry.contribution == new {
            return;
        }
        let old = std::mem::replace(&mut entry.contribution, new.clone());
        self.count(old.as_ref(), false);
        self.count(new.as_ref(), true);
        self.mark_counted(old.as_ref(), new.as_ref());
    }

    fn count(&mut self, contribution: Option<&Contribution>, add: bool) {
        let Some(contribution) = contribution else { return };
        let step = |figure: &mut u32, counts: bool| match (counts, add) {
            (false, _) => {}
            (true, true) => *figure += 1,
            (true, false) => *figure -= 1,
        };
        match &contribution.announcers {
            Counted::Audience(id) => {
                let crowd = self.tally.0.entry(*id).or_default();
                step(&mut crowd.total, true);
                let key = (Arc::clone(&contribution.installed), contribution.may_hide);
                let figure = crowd.by_installed.entry(key.clone()).or_default();
                step(figure, true);
                if *figure == 0 {
                    crowd.by_installed.remove(&key);
                }
                if crowd.total == 0 {
                    self.tally.0.remove(id);
                }
            }
            Counted::Some(nodes) => {
                for (slot, used) in nodes {
                    if let Some(node) = self.nodes.get_mut(*slot) {
                        step(&mut node.expected, true);
                        step(&mut node.installed, *used);
                        step(&mut node.hidden, contribution.may_hide);
                    }
                }
            }
        }
    }

    fn mark_counted(&mut self, old: Option<&Contribution>, new: Option<&Contribution>) {
        let audience = |c: Option<&Contribution>| match c?.announcers {
            Counted::Audience(id) => Some(id),
            Counted::Some(_) => None,
        };
        for contribution in old.into_iter().chain(new) {
            if let Counted::Some(nodes) = &contribution.announcers {
                self.stale_nodes.extend(nodes.iter().map(|(slot, _)| *slot));
            }
        }
        let hides = |c: Option<&Contribution>| c.is_some_and(|c| c.may_hide);
        if audience(old) != audience(new) || (audience(new).is_some() && hides(old) != hides(new)) {
            for audience in [old, new].into_iter().filter_map(audience).filter_map(|id| self.audiences.get(id)) {
                self.stale_nodes.extend(&audience.members);
            }
        } else if audience(new).is_some() {
            let hops = |c: Option<&Contribution>| c.map(|c| Arc::clone(&c.installed)).unwrap_or_default();
            let (before, after) = (hops(old), hops(new));
            let lost = before.iter().filter(|hop| !after.contains(hop));
            for hop in lost.chain(after.iter().filter(|hop| !before.contains(hop))) {
                for index in [&self.by_address, &self.by_vtep] {
                    self.stale_nodes.extend(index.get(hop).into_iter().flatten());
                }
            }
        }
    }

    /// A node is gone: nothing counts for it any more, its number may be given to another.
    pub(super) fn uncount_node(&mut self, slot: u32) {
        for contribution in self.vips.values_mut().filter_map(|entry| entry.contribution.as_mut()) {
            if let Counted::Some(nodes) = &mut contribution.announcers {
                *nodes = nodes.iter().filter(|(counted, _)| *counted != slot).copied().collect();
            }
        }
    }
}
