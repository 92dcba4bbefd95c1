//! What published state leaves open becomes questions for the switch.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Engine;
use super::facts::cluster::Cluster;
use super::facts::inquiry::Asker;
use super::facts::sources::GnmiPhase;
use super::judge::announcers::aggregate;
use super::judge::evidence::{Gate, Session};
use super::judge::explain::{announced, neighbor};
use super::judge::shared::Shared;
use crate::model::inquiry::{AddressKey, Asking, PathKey, Question};
use crate::model::names::{ClusterName, NetworkInstanceName, ServiceKey};
use crate::model::time::Now;
use crate::model::verdict::{AttachmentState, NextHopKind, OperState};
use crate::model::view::{Change, NodeView, ServiceView};

impl Engine {
    /// Asks what these changes leave open; returns everything that is asked if it is something else than before. While
    /// gNMI is not heard, questions stay as they are: nothing that is published now says more about them.
    pub(super) fn inquire(&mut self, now: Now, changes: &[Change]) -> Option<Change> {
        let shared = Shared::default();
        let heard = self.world(now, &shared).phase.gnmi == GnmiPhase::Live;
        // No change tells that a server is heard which can be asked.
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

    /// What the network instance is that is configured, and is none in which VIPs are routed.
    fn cluster_questions(&self, now: Now, cluster: &Cluster) -> BTreeMap<Question, Asking> {
        let instance = &cluster.config.rules.network_instance;
        let missing =
            matches!(self.world(now, &Shared::default()).gate(cluster), Gate::InstanceMissing { down: false, .. });
        missing.then(|| (Question::Instance(instance.clone()), Asking::Repeatedly)).into_iter().collect()
    }

    /// Sessions that next-hops lack, routes that established neighbors should have brought, routes that outlived their
    /// session, and whose MAC it is that answers for a VIP.
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
            // It has a MAC that no node is known to have: one may have got another network card since it was looked at.
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
                        questions.extend(self.session_questions(instance, neighbor));
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

    /// Where a node is plugged in, and why a session of it is down.
    fn node_questions(&self, now: Now, name: &ClusterName, view: &NodeView) -> BTreeMap<Question, Asking> {
        let mut questions = BTreeMap::new();
        let Some(cluster) = self.facts.cluster(name) else { return questions };
        let instance = &cluster.config.rules.network_instance;
        let shared = Shared::default();
        let world = self.world(now, &shared);
        // One that speaks no BGP here is known by its MAC, where VIPs are announced by ARP or ND.
        for peer in view.peers.iter().filter(|peer| peer.attachment == AttachmentState::Unknown) {
            if world.switch.answers(instance, peer.address) {
                let place = AddressKey { network_instance: instance.clone(), address: peer.address };
                questions.insert(Question::Place(place), Asking::Once(None));
            }
        }
        for peer in &view.peers {
            let attached = peer.attachment == AttachmentState::Attached;
            // The neighbor of a node that went is left over, and its port may tell why.
            let left_over = self.facts.bgp().peer(instance, peer.address).is_some();
            match world.session(instance, peer.address) {
                Session::Down(_) if attached || left_over => {
                    questions.extend(self.session_questions(instance, peer.address));
                }
                Session::Established if attached => {
                    let place = AddressKey { network_instance: instance.clone(), address: peer.address };
                    questions.insert(Question::Place(place), Asking::Once(peer.last_established));
                }
                _ => {}
            }
        }
        questions
    }

    /// What explains a session that is down.
    fn session_questions(&self, instance: &NetworkInstanceName, address: IpAddr) -> Vec<(Question, Asking)> {
        let place = Question::Place(AddressKey { network_instance: instance.clone(), address });
        // Of a dynamic one that vanished, what it last said is kept for as long as it is asked about.
        let neighbor = self.facts.bgp().key_of(instance, address).map(Question::Neighbor);
        std::iter::once(place).chain(neighbor).map(|question| (question, Asking::Repeatedly)).collect()
    }
}
