//! Decides about which next-hops that serve a VIP, or may, there is doubt, because the leaf cannot see whether they do.
//!
//! A route may outlive the node it leads to, a next-hop may belong to another cluster, and the leaf behind a tunnel
//! chooses next-hops of its own. If nothing here resolves a doubt, the VIP is not reported as up.

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
    /// Returns whether nothing shows that a next-hop is alive, or that it leads to this cluster. Doubtful are nodes
    /// whose session is down, so that their route is only kept; addresses without a session, or from a static route;
    /// and next-hops that may belong to another cluster which claims the VIP.
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
                    // Besides a session that is down: the ARP or ND entry has vanished since gNMI was last heard.
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
                // If several nodes are behind a leaf, it may use nodes that announce a range without having an
                // endpoint.
                let range = self.local_policy && !found.is_host();
                let idle = |slot: &u32| self.endpoints.on(*slot) == 0;
                hop.may_serve && (rivals.peek().is_some() || mixed())
                    || hop.serves && self.has_range_beyond(hop.address, found)
                    || hop.serves && range && self.cluster.at_vtep(hop.address).iter().any(idle)
                    || hop.serves && rivals.any(|rival| self.has_strays(rival, hop.address, &found.hops))
            }
            // It is not known here which nodes a transit passes flows on to, and not all of them may serve.
            NextHopKind::Transit => hop.may_serve || hop.serves && self.has_range_beyond(hop.address, found),
            NextHopKind::Local | NextHopKind::L2 => false,
        }
    }

    /// Returns whether a node answers ARP or ND here, or had an established session when gNMI was last heard.
    pub(super) fn is_alive(&self, slot: u32) -> bool {
        let instance = &self.cluster.config.rules.network_instance;
        self.nodes(&[slot]).any(|node| {
            let mut peers = node.location.peers.iter();
            node.location.answers
                || peers.any(|peer| self.world.last_session(instance, peer.address) == Session::Established)
        })
    }

    /// Returns whether gNMI is not connected, so that the state of a session is not known, and no ARP or ND entry shows
    /// the address.
    fn is_unheard(&self, address: IpAddr) -> bool {
        let instance = &self.cluster.config.rules.network_instance;
        self.world.phase.gnmi != GnmiPhase::Live && !self.world.switch.answers(instance, address)
    }

    /// Returns whether the next-hop may lead to a node of a cluster that shares the VIP but that does not serve it: a
    /// node that cannot be located; or, if the next-hop is a leaf, a node behind it, or a node here to which no
    /// next-hop leads, because it may be behind that leaf as well.
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

    /// Returns whether a transit leads to a cluster whose nodes may announce a range without having an endpoint.
    fn has_range_beyond(&self, hop: IpAddr, found: &Matched) -> bool {
        let own = || self.local_policy && self.is_transit_to(self.cluster, hop);
        let theirs = |other: &Cluster| self.carriers(other).locally && self.is_transit_to(other, hop);
        !found.is_host() && (own() || self.partners().any(theirs))
    }

    /// Returns whether nodes of other clusters are behind the leaf, and none of this one.
    fn has_strangers_behind(&self, hop: &Hop) -> bool {
        let behind = |cluster: &Cluster| !cluster.at_vtep(hop.address).is_empty();
        !behind(self.cluster) && self.others().any(behind)
    }

    /// Returns whether an announcer of another cluster may be behind the leaf: it cannot be located, or it is here and
    /// no next-hop leads to it. If the other cluster does not claim the VIP but announces the prefix for other VIPs of
    /// its own, any of its nodes may announce it, and nodes behind the leaf count too.
    fn has_strays(&self, rival: &Cluster, leaf: IpAddr, installed: &[IpAddr]) -> bool {
        let is_stray = |node: &NodeEntry| !installed.iter().any(|hop| node.location.is_by(*hop));
        if !rival.vips.contains_key(&self.vip) {
            let mut elsewhere = rival.places.iter().filter_map(|slot| rival.nodes.get(slot));
            return !rival.at_vtep(leaf).is_empty() || elsewhere.any(is_stray);
        }
        let (_, expectation) = announcers(self.world, rival, self.vip);
        let here = expectation.attached.iter().chain(&expectation.elsewhere).chain(&expectation.silent);
        let mut here = here.filter_map(|slot| rival.nodes.get(*slot));
        !expectation.unlocated.is_empty() || here.any(is_stray)
    }

    /// Returns the other clusters that claim the VIP without sharing it, or that claim other VIPs in its prefix.
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

/// Returns whether host routes show where nodes of the cluster are, but none shows these.
fn is_unseen(cluster: &Cluster, nodes: &[u32]) -> bool {
    let shown = |node: &NodeEntry| node.location.answers || !node.location.vteps.is_empty();
    let mut these = nodes.iter().filter_map(|slot| cluster.nodes.get(*slot));
    !these.any(shown) && cluster.nodes.iter().any(|(_, node)| shown(node))
}
