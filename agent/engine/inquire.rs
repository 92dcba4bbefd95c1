//! Derives from published state what to ask the switch by gNMI.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Engine;
use super::facts::cluster::Cluster;
use super::facts::inquiry::Asker;
use super::facts::sources::GnmiPhase;
use super::judge::announcers::aggregate;
use super::judge::evidence::{Gate, Session, World};
use super::judge::explain::{announced, link, neighbor};
use super::judge::shared::Shared;
use crate::model::inquiry::{AddressKey, Asking, PathKey, Question};
use crate::model::names::{ClusterName, ServiceKey};
use crate::model::switch::Unroutable;
use crate::model::time::Now;
use crate::model::verdict::{AttachmentState, NextHopKind, OperState, Reason};
use crate::model::view::{Change, NodeView, ServiceView};

impl Engine {
    /// Updates the questions of changed services, nodes and clusters. Returns all questions, or `None` if they are the
    /// same as before. While gNMI is not connected, questions stay as they are: what is published now is no newer.
    pub(super) fn inquire(&mut self, now: Now, changes: &[Change]) -> Option<Change> {
        let shared = Shared::default();
        let heard = self.world(now, &shared).phase.gnmi == GnmiPhase::Live;
        // Asked on every call: no change announces that gNMI is connected.
        let clusters = self.facts.clusters().values().filter(|_| heard);
        let asked: Vec<_> =
            clusters.map(|cluster| (cluster.name.clone(), self.cluster_questions(now, cluster))).collect();
        for (cluster, questions) in asked {
            self.facts.ask(now.wall, Asker::Cluster(cluster), questions);
        }
        for change in changes {
            let (asker, questions) = match change {
                Change::Service(_, _, Some(_)) | Change::Node(_, _, Some(_)) if !heard => continue,
                Change::Cluster(name, _) if self.facts.cluster(name).is_none() => (Asker::Cluster(name.clone()), None),
                Change::Service(cluster, key, view) => {
                    let questions = view.as_ref().map(|view| self.service_questions(now, cluster, key, view));
                    (Asker::Service(cluster.clone(), key.clone()), questions)
                }
                Change::Node(cluster, node, view) => {
                    let questions = view.as_ref().map(|view| self.node_questions(now, cluster, view));
                    (Asker::Node(cluster.clone(), node.clone()), questions)
                }
                _ => continue,
            };
            self.facts.ask(now.wall, asker, questions.unwrap_or_default());
        }
        self.facts.take_inquiry().map(Change::Ask)
    }

    /// Returns the question of what type a configured network instance is, if the NDK does not report the instance.
    fn cluster_questions(&self, now: Now, cluster: &Cluster) -> BTreeMap<Question, Asking> {
        let instance = &cluster.config.rules.network_instance;
        let missing = matches!(
            self.world(now, &Shared::default()).gate(cluster),
            Gate::InstanceMissing(Unroutable::OfType(_) | Unroutable::Absent)
        );
        missing.then(|| (Question::Instance(instance.clone()), Asking::Repeatedly)).into_iter().collect()
    }

    /// Returns the questions of a service: why sessions of its next-hops are down, where routes are that established
    /// neighbors should have sent, what keeps routes whose session is down, and which MAC answers for a VIP.
    fn service_questions(
        &self,
        now: Now,
        name: &ClusterName,
        key: &ServiceKey,
        view: &ServiceView,
    ) -> BTreeMap<Question, Asking> {
        let mut questions = BTreeMap::new();
        let Some(cluster) = self.facts.cluster(name) else { return questions };
        let slot = cluster.service_slots.get(key);
        let Some(entry) = slot.and_then(|slot| cluster.services.get(*slot)) else { return questions };
        let shared = Shared::default();
        let world = self.world(now, &shared);
        let instance = &cluster.config.rules.network_instance;
        for vip in &view.vips {
            let up = vip.verdict.state == OperState::Up;
            if vip.next_hops.iter().any(|hop| hop.kind == NextHopKind::L2) && cluster.at_address(vip.address).is_empty()
            {
                let place = AddressKey { network_instance: instance.clone(), address: vip.address };
                questions.insert(Question::Place(place), if up { Asking::Followed } else { Asking::Watched });
            }
            // The entry of the VIP is gone. Where it was, the port may show why.
            let place = AddressKey { network_instance: instance.clone(), address: vip.address };
            let is_placed = world.inquiries.place(&place).is_some_and(|place| place.subinterface.is_some());
            if vip.verdict.reason == Some(Reason::ArpUnresolved) && is_placed {
                questions.insert(Question::Place(place), Asking::Repeatedly);
            }
            // The port of the node that has the answering MAC may be down.
            for hop in vip.next_hops.iter().filter(|hop| !up && hop.kind == NextHopKind::L2) {
                let node = hop.node.as_ref().and_then(|node| cluster.nodes.get(cluster.node_slot(node)?));
                let addresses = node.into_iter().flat_map(|node| &node.location.candidates);
                questions.extend(addresses.map(|(address, _)| {
                    let place = AddressKey { network_instance: instance.clone(), address: *address };
                    (Question::Place(place), Asking::Repeatedly)
                }));
            }
            // No node is known to have the answering MAC: a node may have got a new network card.
            if !up && vip.next_hops.iter().any(|hop| hop.kind == NextHopKind::L2 && hop.node.is_none()) {
                let addresses = cluster.nodes.iter().flat_map(|(_, node)| &node.location.candidates);
                let answering = addresses.filter(|(address, _)| world.switch.answers(instance, *address));
                questions.extend(answering.map(|(address, _)| {
                    let place = AddressKey { network_instance: instance.clone(), address: *address };
                    (Question::Place(place), Asking::Repeatedly)
                }));
            }
            for hop in &vip.next_hops {
                let Some(neighbor) = neighbor(&world, cluster, hop) else { continue };
                let path = || {
                    let prefix = announced(aggregate(&world, cluster, entry, vip.address), vip.address);
                    Question::Path(PathKey { network_instance: instance.clone(), prefix, neighbor })
                };
                match (hop.installed, world.session(instance, neighbor)) {
                    (true, Session::Down(_)) => drop(questions.insert(path(), Asking::Repeatedly)),
                    (false, Session::Down(_)) if hop.expected => {
                        questions.extend(self.session_questions(&world, cluster, neighbor));
                    }
                    (false, Session::Established) if hop.expected && !up => {
                        questions.insert(path(), Asking::Repeatedly);
                    }
                    _ => {}
                }
            }
        }
        questions
    }

    /// Returns the questions of a node: where it is plugged in, and why its sessions are down.
    fn node_questions(&self, now: Now, name: &ClusterName, view: &NodeView) -> BTreeMap<Question, Asking> {
        let mut questions = BTreeMap::new();
        let Some(cluster) = self.facts.cluster(name) else { return questions };
        let instance = &cluster.config.rules.network_instance;
        let shared = Shared::default();
        let world = self.world(now, &shared);
        // If VIPs are announced by ARP or ND, a node that speaks no BGP here is recognized by its MAC.
        for peer in view.peers.iter().filter(|peer| peer.attachment == AttachmentState::Unknown) {
            if world.switch.answers(instance, peer.address) {
                let place = AddressKey { network_instance: instance.clone(), address: peer.address };
                questions.insert(Question::Place(place), Asking::Once(None));
            }
        }
        for peer in &view.peers {
            let attached = peer.attachment == AttachmentState::Attached;
            // The neighbor of a node that vanished is left over; its port may show why the node vanished.
            let left_over = self.facts.bgp().peer(instance, peer.address).is_some();
            match world.session(instance, peer.address) {
                Session::Down(_) if attached || left_over => {
                    questions.extend(self.session_questions(&world, cluster, peer.address));
                }
                Session::Established if attached => {
                    let address = link(&world, cluster, peer.address);
                    let place = AddressKey { network_instance: instance.clone(), address };
                    questions.insert(Question::Place(place), Asking::Once(peer.last_established));
                }
                _ => {}
            }
        }
        questions
    }

    /// Returns the questions whose answers may explain why a session is down.
    fn session_questions(&self, world: &World<'_>, cluster: &Cluster, address: IpAddr) -> Vec<(Question, Asking)> {
        let instance = &cluster.config.rules.network_instance;
        let link = link(world, cluster, address);
        let place = Question::Place(AddressKey { network_instance: instance.clone(), address: link });
        // The last messages of a dynamic neighbor that vanished are kept while somebody asks about it.
        let neighbor = self.facts.bgp().key_of(instance, address).map(Question::Neighbor);
        std::iter::once(place).chain(neighbor).map(|question| (question, Asking::Repeatedly)).collect()
    }
}
