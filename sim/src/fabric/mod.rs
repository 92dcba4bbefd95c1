//! A pure model of a leaf-spine fabric with Kubernetes nodes. It computes every leaf's routes, neighbors and BFD
//! sessions from topology, configuration and the clusters' objects. It has no clock and no I/O: the same inputs produce
//! the same tables.
//!
//! It models what decides where a VIP's traffic goes: which sessions exist (`session`), what speakers announce
//! (`speaker`), which paths a leaf selects and advertises in EVPN (`routing`), and the underlay of the tunnels
//! (`underlay`). A [`Lever`] breaks something when it is pulled, and heals it when it is released.

mod bgp_route;
mod config;
mod fault;
#[cfg(test)]
mod l2_tests;
mod lever;
mod objects;
mod rib;
mod routing;
mod segment;
mod session;
mod speaker;
mod spine;
#[cfg(test)]
mod tests;
mod underlay;
#[cfg(test)]
mod why_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(crate) use config::known;
pub use config::{FabricConfig, Speaker};
pub use lever::Lever;
pub(crate) use lever::spell;
pub use objects::Objects;
pub(crate) use routing::{empty_instance, subnet};

use crate::tables::Tables;

use fault::Fault;
use session::{History, SessionKey};

/// What is wrong with the configuration of a fabric, or with a request.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// A name is unknown.
    #[error("there is no {what} '{name}' in this fabric (known: {known})")]
    Unknown {
        /// Kind of the named thing.
        what: &'static str,
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// A node name is shared by two clusters.
    #[error("several clusters have a node '{node}': write cluster/node")]
    AmbiguousNode {
        /// Name of the node.
        node: String,
    },
    /// Two speakers use one address: they would keep terminating each other's sessions.
    #[error(
        "node '{node}' runs two BGP speakers on one address: configure 'loopbacks' for the one that announces services"
    )]
    SharedAddress {
        /// The node.
        node: String,
    },
    /// A lever breaks BFD where there is none.
    #[error(
        "BFD does not protect the sessions of node '{node}': network instance '{network_instance}' has no 'bfd: true', \
         as in lab kubeadm-calico-metallb"
    )]
    NoBfd {
        /// The node.
        node: String,
        /// Network instance of its sessions.
        network_instance: String,
    },
    /// A lever acts on the sessions of a node that has none.
    #[error("node '{node}' has no BGP session with any leaf")]
    NoSessions {
        /// The node.
        node: String,
    },
    /// A lever acts on a session that does not exist.
    #[error("'{leaf}' has no BGP session with node '{node}' (it has sessions with {known})")]
    NoSession {
        /// The node.
        node: String,
        /// The leaf.
        leaf: String,
        /// The leaves with which it has sessions.
        known: String,
    },
    /// A lever acts on a cable that does not exist.
    #[error("node '{node}' is not plugged into '{leaf}' (but into {known})")]
    NotPlugged {
        /// The node.
        node: String,
        /// The leaf.
        leaf: String,
        /// The leaves to which it is connected.
        known: String,
    },
    /// A leaf cannot terminate tunnels.
    #[error("leaf '{leaf}' has no IPv4 address in 'system', which is used as VTEP and router ID")]
    NoVtep {
        /// The leaf.
        leaf: String,
    },
}

/// A fabric in operation.
#[derive(Clone, Debug)]
pub struct Fabric {
    config: FabricConfig,
    objects: BTreeMap<String, Objects>,
    levers: BTreeSet<Lever>,
    history: BTreeMap<SessionKey, History>,
    /// Whether the node that should not answer for an address was the last of the two to do so.
    intruders_turn: bool,
}

/// A node by cluster and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeKey {
    pub(crate) cluster: String,
    pub(crate) node: String,
}

impl Fabric {
    /// Creates a fabric with empty clusters and nothing broken.
    pub fn new(config: FabricConfig) -> Result<Self, FabricError> {
        config.validate()?;
        Ok(Self {
            config,
            objects: BTreeMap::new(),
            levers: BTreeSet::new(),
            history: BTreeMap::new(),
            intruders_turn: false,
        })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &FabricConfig {
        &self.config
    }

    /// Replaces the objects of a cluster. Returns whether that makes a difference to speakers.
    pub fn set_objects(&mut self, cluster: &str, objects: Objects) -> bool {
        if self.objects.get(cluster) == Some(&objects) {
            return false;
        }
        self.objects.insert(cluster.to_owned(), objects);
        true
    }

    /// Breaks something. Pulling the same lever twice changes nothing.
    pub fn pull(&mut self, lever: Lever) -> Result<(), FabricError> {
        lever.validate(&self.config)?;
        self.levers.insert(lever);
        Ok(())
    }

    /// Returns whether pulling this lever now would change anything that forwards packets or decides about forwarding.
    /// Attributes of paths that win or lose as before do not count.
    pub fn would_change(&self, lever: &Lever) -> Result<bool, FabricError> {
        let mut without = self.clone();
        without.levers.remove(lever);
        without.intruders_turn = true;
        let mut with = without.clone();
        with.pull(lever.clone())?;
        let felt = |fabric: &Self| {
            let mut tables = fabric.all_tables();
            for instance in tables.values_mut().flat_map(|tables| tables.network_instances.values_mut()) {
                instance.rib.values_mut().for_each(|path| path.as_path.clear());
            }
            tables
        };
        Ok(felt(&with) != felt(&without))
    }

    /// Lets the other of two nodes that answer for an address answer. Returns whether two nodes do.
    pub fn take_turns(&mut self) -> bool {
        let two = self.levers.iter().any(|lever| matches!(lever, Lever::DuplicateAddress { .. }));
        self.intruders_turn = two && !self.intruders_turn;
        two
    }

    /// Heals what one lever broke. Returns whether the lever had been pulled.
    pub fn release(&mut self, lever: &Lever) -> bool {
        self.levers.remove(lever)
    }

    /// Heals everything.
    pub fn release_all(&mut self) {
        self.levers.clear();
    }

    /// Returns the levers that are pulled.
    pub fn levers(&self) -> impl Iterator<Item = &Lever> {
        self.levers.iter()
    }

    /// Records which sessions changed since the last call; `now` (RFC 3339) becomes their `last-established`.
    pub fn settle(&mut self, now: &str) {
        let sessions = self.all_sessions();
        self.history.retain(|key, _| sessions.contains_key(key));
        for (key, fault) in sessions {
            self.history.entry(key).or_default().note(fault, now);
        }
    }

    /// Returns all sessions of all leaves, and why they are down if they are.
    fn all_sessions(&self) -> BTreeMap<SessionKey, Option<Fault>> {
        let mut sessions = BTreeMap::new();
        for leaf in self.config.leaves.keys() {
            for instance in self.config.network_instances.keys() {
                for session in self.sessions(leaf, instance) {
                    sessions.insert(session.key.clone(), session.fault);
                }
            }
            for (peer, established) in underlay::sessions(self, leaf) {
                let key = SessionKey { leaf: leaf.clone(), instance: "default".to_owned(), peer };
                sessions.insert(key, (!established).then_some(Fault::HoldTimer));
            }
        }
        sessions
    }

    /// Returns the contents of one leaf's control plane.
    pub fn tables(&self, leaf: &str) -> Result<Tables, FabricError> {
        config::known(&self.config.leaves, "leaf", leaf)?;
        Ok(self.all_tables().remove(leaf).unwrap_or_default())
    }

    /// Returns the contents of every leaf's control plane. They are computed together because EVPN makes them depend on
    /// each other.
    pub fn all_tables(&self) -> BTreeMap<String, Tables> {
        let mut computed = routing::compute(self);
        for (leaf, tables) in &mut computed.tables {
            underlay::add(self, leaf, &computed.type5, tables);
        }
        segment::add(self, &mut computed.tables);
        computed.tables
    }

    fn pulled(&self, lever: &Lever) -> bool {
        self.levers.contains(lever)
    }

    /// Returns whether a lever of this kind is pulled for a node.
    fn node_lever(&self, key: &NodeKey, kind: impl Fn(&Lever) -> bool) -> bool {
        self.levers.iter().any(|lever| kind(lever) && lever.concerns(key))
    }

    /// Returns the VIPs for which a node answers ARP and ND.
    fn held(&self, key: &NodeKey) -> Vec<IpAddr> {
        let held = self.holders(&key.cluster).into_iter().filter(|(_, node)| *node == key.node);
        held.map(|(address, _)| address).collect()
    }

    /// Returns for each VIP the node of a cluster that answers for it.
    fn holders(&self, cluster: &str) -> BTreeMap<IpAddr, String> {
        let (Some(config), Some(objects)) = (self.config.clusters.get(cluster), self.objects.get(cluster)) else {
            return BTreeMap::new();
        };
        let alive = |name: &&String| {
            let key = NodeKey { cluster: cluster.to_owned(), node: (*name).clone() };
            let dead = |lever: &Lever| {
                matches!(
                    lever,
                    Lever::SpeakerDead { .. }
                        | Lever::SpeakerSilent { .. }
                        | Lever::Cable { .. }
                        | Lever::LinkDown { .. }
                        | Lever::NodeHung { .. }
                )
            };
            objects.nodes.contains_key(*name) && !self.node_lever(&key, dead)
        };
        let alive: Vec<&str> = config.nodes.keys().filter(alive).map(String::as_str).collect();
        speaker::holders(config, objects, &alive)
    }

    /// Returns the objects that a cluster's speakers write about the VIPs for which one node answers.
    pub fn statuses(&self, cluster: &str) -> Vec<serde_json::Value> {
        let (Some(config), Some(objects)) = (self.config.clusters.get(cluster), self.objects.get(cluster)) else {
            return Vec::new();
        };
        speaker::statuses(config, objects, &self.holders(cluster))
    }

    /// Returns the leaves to which a node is connected now.
    fn attachments(&self, key: &NodeKey, configured: &[String]) -> Vec<String> {
        if self.node_lever(key, |lever| matches!(lever, Lever::LinkDown { .. } | Lever::NodeHung { .. })) {
            return Vec::new();
        }
        let moved = self.levers.iter().rev().find_map(|lever| match lever {
            Lever::NodeMoved { leaf, .. } if lever.concerns(key) => Some(leaf.clone()),
            _ => None,
        });
        moved.map_or_else(|| configured.to_vec(), |leaf| vec![leaf])
    }

    /// Returns whether a leaf has its overlay sessions.
    fn overlay_up(&self, leaf: &str) -> bool {
        !self.pulled(&Lever::OverlayDown { leaf: leaf.to_owned() })
    }

    /// Returns whether a leaf has a network instance that no lever has removed.
    fn has_instance(&self, leaf: &str, instance: &str) -> bool {
        let missing = Lever::NetworkInstanceMissing { leaf: leaf.to_owned(), network_instance: instance.to_owned() };
        self.config.has_instance(leaf, instance) && !self.pulled(&missing)
    }
}
