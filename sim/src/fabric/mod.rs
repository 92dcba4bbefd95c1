//! A pure model of a leaf-spine fabric with Kubernetes nodes on it: topology, configuration and the clusters' objects in,
//! every leaf's routes, neighbors and BFD sessions out. It has no clock and no I/O: the same inputs give the same tables.
//!
//! What is modelled is what decides where a VIP's traffic goes: who speaks BGP to whom (`session`), what speakers
//! announce (`speaker`), which paths a leaf selects and passes on in EVPN (`routing`), and the underlay that
//! carries the tunnels (`underlay`). Things break by pulling a [`Lever`] and heal by releasing it.

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

use session::{History, SessionKey};

/// What is wrong with a fabric's description, or with something asked of it.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// A name that refers to nothing.
    #[error("there is no {what} '{name}' in this fabric (known: {known})")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A node name two clusters share.
    #[error("several clusters have a node '{node}': write cluster/node")]
    AmbiguousNode {
        /// The name.
        node: String,
    },
    /// Two speakers on one address: their sessions would keep throwing each other out.
    #[error(
        "node '{node}' runs two BGP speakers on one address: configure the one for services with 'loopbacks' of its own"
    )]
    SharedAddress {
        /// The node.
        node: String,
    },
    /// A lever that breaks what is not there.
    #[error(
        "no BFD guards the sessions of node '{node}': network instance '{network_instance}' has no 'bfd: true', as that of lab \
         kubeadm-calico-metallb has"
    )]
    NoBfd {
        /// The node.
        node: String,
        /// Where its sessions are.
        network_instance: String,
    },
    /// A lever on sessions of a node that has none.
    #[error("node '{node}' has no BGP session with any leaf")]
    NoSessions {
        /// The node.
        node: String,
    },
    /// A lever on a session that does not exist.
    #[error("'{leaf}' has no BGP session with node '{node}' (it has some with {known})")]
    NoSession {
        /// The node.
        node: String,
        /// The leaf.
        leaf: String,
        /// The leaves it has sessions with.
        known: String,
    },
    /// A lever on a cable that does not exist.
    #[error("node '{node}' is not plugged into '{leaf}' (it is into {known})")]
    NotPlugged {
        /// The node.
        node: String,
        /// The leaf.
        leaf: String,
        /// The leaves it is plugged into.
        known: String,
    },
    /// A leaf that cannot terminate tunnels.
    #[error("leaf '{leaf}' has no IPv4 address in 'system': it is the VTEP and the router id")]
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
    /// Of two that answer for an address, the one that should not has done so last.
    intruders_turn: bool,
}

/// A node by cluster and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeKey {
    pub(crate) cluster: String,
    pub(crate) node: String,
}

impl Fabric {
    /// A fabric as described, with empty clusters and nothing broken.
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

    /// Its description.
    pub fn config(&self) -> &FabricConfig {
        &self.config
    }

    /// Replaces what a cluster's objects say. Returns whether that makes a difference to speakers.
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

    /// Whether pulling this lever now would change anything that forwards packets or decides about it: attributes of paths that
    /// win or lose as before are no change.
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

    /// Of two that answer for an address, the other one answers. Returns whether there are such two.
    pub fn take_turns(&mut self) -> bool {
        let two = self.levers.iter().any(|lever| matches!(lever, Lever::DuplicateAddress { .. }));
        self.intruders_turn = two && !self.intruders_turn;
        two
    }

    /// Heals what one lever broke. Returns whether it had been pulled.
    pub fn release(&mut self, lever: &Lever) -> bool {
        self.levers.remove(lever)
    }

    /// Heals everything.
    pub fn release_all(&mut self) {
        self.levers.clear();
    }

    /// The levers pulled.
    pub fn levers(&self) -> impl Iterator<Item = &Lever> {
        self.levers.iter()
    }

    /// Notes which sessions changed since the last call; `now` (RFC 3339) becomes their `last-established`.
    pub fn settle(&mut self, now: &str) {
        let sessions = self.all_sessions();
        self.history.retain(|key, _| sessions.contains_key(key));
        for (key, fault) in sessions {
            self.history.entry(key).or_default().note(fault, now);
        }
    }

    /// What one leaf's control plane holds.
    pub fn tables(&self, leaf: &str) -> Result<Tables, FabricError> {
        config::known(&self.config.leaves, "leaf", leaf)?;
        Ok(self.all_tables().remove(leaf).unwrap_or_default())
    }

    /// What every leaf's control plane holds: EVPN makes them depend on each other, so they are computed together.
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

    /// Whether a lever of this kind is pulled for a node.
    fn node_lever(&self, key: &NodeKey, kind: impl Fn(&Lever) -> bool) -> bool {
        self.levers.iter().any(|lever| kind(lever) && lever.concerns(key))
    }

    /// The VIPs that a node answers ARP and ND for.
    fn held(&self, key: &NodeKey) -> Vec<IpAddr> {
        let held = self.holders(&key.cluster).into_iter().filter(|(_, node)| *node == key.node);
        held.map(|(address, _)| address).collect()
    }

    /// Which node of a cluster answers for which VIP.
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

    /// What a cluster's speakers write of the VIPs that one node answers for.
    pub fn statuses(&self, cluster: &str) -> Vec<serde_json::Value> {
        let (Some(config), Some(objects)) = (self.config.clusters.get(cluster), self.objects.get(cluster)) else {
            return Vec::new();
        };
        speaker::statuses(config, objects, &self.holders(cluster))
    }

    /// The leaves a node is plugged into now.
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

    /// Whether a leaf has its overlay sessions.
    fn overlay_up(&self, leaf: &str) -> bool {
        !self.pulled(&Lever::OverlayDown { leaf: leaf.to_owned() })
    }

    /// Whether a leaf has a network instance: configured, and not taken away.
    fn has_instance(&self, leaf: &str, instance: &str) -> bool {
        let missing = Lever::NetworkInstanceMissing { leaf: leaf.to_owned(), network_instance: instance.to_owned() };
        self.config.has_instance(leaf, instance) && !self.pulled(&missing)
    }
}
