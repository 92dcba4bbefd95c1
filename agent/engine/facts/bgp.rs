//! BGP neighbors and FIB programming, as gNMI tells them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rustc_hash::FxHashMap;

use crate::model::event::Update;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{FibTrouble, Neighbor, NeighborKey, PeerAddress, RouteKey};

/// What gNMI tells.
#[derive(Debug, Default)]
pub(crate) struct Bgp {
    neighbors: FxHashMap<NetworkInstanceName, BTreeMap<PeerAddress, Neighbor>>,
    trouble: FxHashMap<RouteKey, FibTrouble>,
}

/// A neighbor whose state is another one than before.
#[derive(Debug)]
pub(crate) struct NeighborChange {
    pub(crate) key: NeighborKey,
    /// Presence or session: verdicts depend on it, not only what is shown of a node.
    pub(crate) decisive: bool,
}

impl Bgp {
    /// The neighbor with an address; the one with the best session, where several subinterfaces have the same
    /// link-local address.
    pub(crate) fn neighbor(&self, instance: &NetworkInstanceName, address: IpAddr) -> Option<&Neighbor> {
        let first = PeerAddress { ip: address, interface: None };
        let peers = self.neighbors.get(instance)?.range(first..).take_while(|(peer, _)| peer.ip == address);
        peers.map(|(_, neighbor)| neighbor).max_by_key(|neighbor| neighbor.session)
    }

    /// What is known of a prefix whose programming is not plainly done.
    pub(crate) fn trouble(&self, key: &RouteKey) -> Option<FibTrouble> {
        self.trouble.get(key).copied()
    }

    /// Takes in neighbors; gives what is different.
    pub(crate) fn set_neighbors(&mut self, update: Update<NeighborKey, Neighbor>) -> Vec<NeighborChange> {
        match update {
            Update::Set(key, neighbor) => self.set(key, Some(neighbor)).into_iter().collect(),
            Update::Gone(key) => self.set(key, None).into_iter().collect(),
            Update::All(all) => {
                let told: std::collections::BTreeSet<_> = all.iter().map(|(key, _)| key.clone()).collect();
                let known = self.neighbors.iter().flat_map(|(instance, peers)| {
                    peers.keys().map(|peer| NeighborKey { network_instance: instance.clone(), peer: peer.clone() })
                });
                let gone: Vec<_> = known.filter(|key| !told.contains(key)).collect();
                let mut changes: Vec<_> = gone.into_iter().filter_map(|key| self.set(key, None)).collect();
                changes.extend(all.into_iter().filter_map(|(key, neighbor)| self.set(key, Some(neighbor))));
                changes
            }
        }
    }

    fn set(&mut self, key: NeighborKey, neighbor: Option<Neighbor>) -> Option<NeighborChange> {
        let peers = self.neighbors.entry(key.network_instance.clone()).or_default();
        let old = match neighbor.clone() {
            Some(neighbor) => peers.insert(key.peer.clone(), neighbor),
            None => peers.remove(&key.peer),
        };
        if old == neighbor {
            return None;
        }
        let session = |neighbor: &Option<Neighbor>| neighbor.as_ref().map(|neighbor| neighbor.session);
        Some(NeighborChange { decisive: session(&old) != session(&neighbor), key })
    }

    /// Takes in FIB trouble; gives the prefixes that are told otherwise than before.
    pub(crate) fn set_trouble(&mut self, update: Update<RouteKey, FibTrouble>) -> Vec<RouteKey> {
        match update {
            Update::Set(key, trouble) => {
                if self.trouble.insert(key.clone(), trouble) == Some(trouble) {
                    Vec::new()
                } else {
                    vec![key]
                }
            }
            Update::Gone(key) => self.trouble.remove(&key).map(|_| key).into_iter().collect(),
            Update::All(all) => {
                let new: FxHashMap<_, _> = all.into_iter().collect();
                let old = std::mem::replace(&mut self.trouble, new);
                let gone = old.keys().filter(|key| !self.trouble.contains_key(key));
                let told = self.trouble.iter().filter(|(key, trouble)| old.get(key) != Some(trouble));
                gone.chain(told.map(|(key, _)| key)).cloned().collect()
            }
        }
    }
}
