//! Doubts about next-hops that serve a VIP, or may: what the leaf is not shown.
//!
//! A route may outlive the node it leads to, a next-hop may be of another cluster, and the leaf behind a tunnel chooses for
//! itself. What nothing here decides is not called up.

use std::net::IpAddr;

use ipnet::IpNet;

use super::announcers::announcers;
use super::evidence::{Hop, Matched, Session};
use super::next_hops::{NextHops, Serving};
use crate::engine::facts::cluster::Cluster;
use crate::engine::facts::nodes::NodeEntry;
use crate::engine::facts::sources::GnmiPhase;
use crate::model::verdict::NextHopKind;

impl NextHops<'_> {
    /// Nothing shows it to be alive, or a way to this cluster: a node whose session is down, so that its route is only kept; an
    /// address without a session of its own, or that the operator wrote into a route; what may be another claimant's.
    pub(super) fn is_doubtful(&self, hop: &Hop, found: &Matched) -> bool {
        let written = found.is_static();
        match hop.kind {
            NextHopKind::Local if hop.serves => {
                let (cluster, nodes) = self.owner(hop.address);
                let at = || nodes.iter().filter_map(|slot| cluster.nodes.get(*slot));
                let instance = &self.cluster.config.rules.network_instance;
                let session = |peer| self.world.last_session(instance, peer);
                let unheard = self.world.phase.gnmi != GnmiPhase::Live;
                let down = match self.peer_of(cluster, nodes, hop.address) {
                    // Its ARP or ND entry has gone since gNMI was heard last.
                    Some(peer) => {
                        let answered = unheard && at().any(|node| node.location.is_at_any(&node.answered));
                        session(peer).is_down() || answered
                    }
                    None => {
                        let down = matches!(session(hop.address), Session::Down(Some(_)));
                        written || down || unheard && is_unseen(cluster, nodes)
                    }
                };
                down && !at().any(|node| node.location.answers)
            }
            NextHopKind::Unmapped => {
                let instance = &self.cluster.config.rules.network_instance;
                let idle = self.world.last_session(instance, hop.address).is_down() || self.is_unheard(hop.address);
                let theirs = || self.rivals(found).next().is_some() || self.has_idle_partner(hop, &found.hops);
                hop.may_serve && (written || idle || theirs())
            }
            NextHopKind::Vtep => {
                let mut rivals = self.rivals(found).peekable();
                let mixed = || {
                    let idle = self.is_mixed(hop.address) || self.has_idle_partner(hop, &found.hops);
                    idle || self.has_strangers_behind(hop)
                };
                // Of several nodes behind a leaf it may use those that announce a range without an endpoint.
                let range = self.local_policy && !found.is_host();
                let idle = |slot: &u32| self.endpoints.on(*slot) == 0;
                hop.may_serve && (rivals.peek().is_some() || mixed())
                    || hop.serves && self.has_range_beyond(hop.address, found)
                    || hop.serves && range && self.cluster.at_vtep(hop.address).iter().any(idle)
                    || hop.serves && rivals.any(|rival| self.has_strays(rival, hop.address, &found.hops))
            }
            // Which nodes it passes on to is not known here, and not all of them serve.
            NextHopKind::Transit => hop.may_serve || hop.serves && self.has_range_beyond(hop.address, found),
            NextHopKind::Local | NextHopKind::L2 => false,
        }
    }

    /// A node answers ARP or ND here, or a session with it was established when gNMI was last heard.
    pub(super) fn is_alive(&self, slot: u32) -> bool {
        let instance = &self.cluster.config.rules.network_instance;
        self.nodes(&[slot]).any(|node| {
            let mut peers = node.location.peers.iter();
            node.location.answers
                || peers.any(|peer| self.world.last_session(instance, peer.address) == Session::Established)
        })
    }

    /// gNMI does not say of its session whether it is still up, and ARP and ND do not know it.
    fn is_unheard(&self, address: IpAddr) -> bool {
        let instance = &self.cluster.config.rules.network_instance;
        self.world.phase.gnmi != GnmiPhase::Live && !self.world.switch.answers(instance, address)
    }

    /// The next-hop may lead to a node of a cluster that shares the VIP, which does not serve it: one that nobody can place, or,
    /// if it is a leaf, one behind it, or one here that no next-hop leads to, for it may be behind that leaf as well.
    fn has_idle_partner(&self, hop: &Hop, installed: &[IpAddr]) -> bool {
        let mut carrying = self.partners().filter(|other| other.vips.contains_key(&self.vip));
        carrying.any(|other| {
            let Serving::These(serving) = self.serving(other) else { return false };
            let idle = |slot: u32| !serving.contains(&slot);
            let is_unused = |slot: u32| {
                let node = other.nodes.get(slot);
                node.is_some_and(|node| !installed.iter().any(|hop| node.location.is_by(*hop)))
            };
            let twin =
                || hop.kind == NextHopKind::Vtep && other.places.here().any(|slot| idle(slot) && is_unused(slot));
            other.places.unlocated().any(idle) || other.at_vtep(hop.address).iter().copied().any(idle) || twin()
        })
    }

    /// Transit leads to a cluster whose nodes may announce a range without an endpoint.
    fn has_range_beyond(&self, hop: IpAddr, found: &Matched) -> bool {
        let serves_locally = |other: &Cluster| {
            let mut entries = other.carrying(self.vip);
            entries.any(|entry| other.profile().serves_locally(&entry.service))
        };
        let own = || self.local_policy && self.is_transit_to(self.cluster, hop);
        let theirs = |other: &Cluster| serves_locally(other) && self.is_transit_to(other, hop);
        !found.is_host() && (own() || self.partners().any(theirs))
    }

    /// Nodes of other clusters are behind the leaf, and none of this one.
    fn has_strangers_behind(&self, hop: &Hop) -> bool {
        let behind = |cluster: &Cluster| !cluster.at_vtep(hop.address).is_empty();
        !behind(self.cluster) && self.others().any(behind)
    }

    /// An announcer of another cluster may be behind any leaf: nobody can place it, or it is here and no next-hop leads to it.
    /// Of a cluster that announces the prefix for others of its VIPs any node may, and those that are behind the leaf do.
    fn has_strays(&self, rival: &Cluster, leaf: IpAddr, installed: &[IpAddr]) -> bool {
        let is_stray = |node: &NodeEntry| !installed.iter().any(|hop| node.location.is_by(*hop));
        if !rival.vips.contains_key(&self.vip) {
            let mut elsewhere = rival.places.iter().filter_map(|slot| rival.nodes.get(slot));
            return !rival.at_vtep(leaf).is_empty() || elsewhere.any(is_stray);
        }
        let (_, expectation) = announcers(self.world, rival, self.vip);
        let here = expectation.attached.iter().chain(&expectation.silent);
        let mut here = here.filter_map(|slot| rival.nodes.get(*slot));
        !expectation.unlocated.is_empty() || here.any(is_stray)
    }

    /// Other clusters that claim the VIP and do not share it, or that claim others in the prefix that carries it.
    fn rivals(&self, found: &Matched) -> impl Iterator<Item = &Cluster> {
        let covering = (!found.is_host()).then_some(found.prefix);
        self.others().filter(move |other| {
            let claims = |prefix: IpNet| self.world.claims.any_inside(prefix, |claim| claim.cluster == other.id);
            let inside = |prefix: IpNet| self.world.shared.claims_inside(other, prefix, || claims(prefix));
            match other.vips.contains_key(&self.vip) {
                true => !other.shares_with(self.cluster),
                false => covering.is_some_and(|prefix| other.pools_hold(self.vip) || inside(prefix)),
            }
        })
    }
}

/// Host routes show where nodes of the cluster are, and none shows these.
fn is_unseen(cluster: &Cluster, nodes: &[u32]) -> bool {
    let shown = |node: &NodeEntry| node.location.answers || !node.location.vteps.is_empty();
    let mut these = nodes.iter().filter_map(|slot| cluster.nodes.get(*slot));
    !these.any(shown) && cluster.nodes.iter().any(|(_, node)| shown(node))
}
