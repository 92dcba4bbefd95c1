//! Stores BGP neighbors and FIB programming, as gNMI reports them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::event::Update;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{
    Coverage, FibFault, FibFaultKind, FibKey, Neighbor, NeighborKey, PeerAddress, RouteKey, RouteTable, SessionState,
};
use crate::model::time::Timestamp;
use crate::model::verdict::FibStatus;

/// The state received by gNMI.
#[derive(Debug, Default)]
pub(crate) struct Bgp {
    neighbors: FxHashMap<NetworkInstanceName, BTreeMap<PeerAddress, Neighbor>>,
    /// FIB faults of each prefix, by the owner of the route.
    faults: FxHashMap<RouteKey, BTreeMap<Arc<str>, FibFault>>,
    coverage: Coverage,
    /// When each neighbor last became established. The leaf `last-established` also moves when a session is lost.
    established: FxHashMap<NeighborKey, Timestamp>,
    /// Dynamic neighbors that vanished with their sessions and have not come back.
    vanished: FxHashSet<NeighborKey>,
}

/// Most dynamic neighbors that are remembered after they vanished, however many addresses sessions are opened from.
const MOST_VANISHED: usize = 4096;

/// A neighbor whose state has changed.
#[derive(Debug)]
pub(crate) struct NeighborChange {
    pub(crate) key: NeighborKey,
    /// Whether presence or session changed. Verdicts depend on these, and not only what is shown of a node.
    pub(crate) decisive: bool,
}

impl Bgp {
    /// Returns the neighbor with an address. If several subinterfaces have the same link-local address, returns the one
    /// with the best session.
    pub(crate) fn neighbor(&self, instance: &NetworkInstanceName, address: IpAddr) -> Option<&Neighbor> {
        let first = PeerAddress { ip: address, interface: None };
        let peers = self.neighbors.get(instance)?.range(first..).take_while(|(peer, _)| peer.ip == address);
        peers.map(|(_, neighbor)| neighbor).max_by_key(|neighbor| neighbor.session)
    }

    /// Returns the neighbor with an address, chosen as by [`Self::neighbor`], and its key.
    pub(crate) fn peer(&self, instance: &NetworkInstanceName, address: IpAddr) -> Option<(NeighborKey, &Neighbor)> {
        let first = PeerAddress { ip: address, interface: None };
        let peers = self.neighbors.get(instance)?.range(first..).take_while(|(peer, _)| peer.ip == address);
        let (peer, neighbor) = peers.max_by_key(|(_, neighbor)| neighbor.session)?;
        Some((NeighborKey { network_instance: instance.clone(), peer: peer.clone() }, neighbor))
    }

    /// Returns the key of the neighbor with an address, which may be a dynamic neighbor that vanished.
    pub(crate) fn key_of(&self, instance: &NetworkInstanceName, address: IpAddr) -> Option<NeighborKey> {
        let gone = || {
            let peer = PeerAddress { ip: address, interface: None };
            let key = NeighborKey { network_instance: instance.clone(), peer };
            self.vanished.contains(&key).then_some(key)
        };
        self.peer(instance, address).map(|(key, _)| key).or_else(gone)
    }

    /// Returns when a neighbor last became established; `None` if that was not seen.
    pub(crate) fn established_at(&self, key: &NeighborKey) -> Option<Timestamp> {
        self.established.get(key).copied()
    }

    /// Returns what is wrong with the programming of the active route.
    pub(crate) fn fault(&self, key: &RouteKey, owner: Option<&Arc<str>>) -> Option<FibFault> {
        self.faults.get(key)?.get(owner?).copied()
    }

    /// Returns whether the active route of a prefix is in the forwarding table. The fault of another owner's route does
    /// not count. While the owner is not known, any fault makes the status unknown.
    pub(crate) fn fib(&self, key: &RouteKey, owner: Option<&Arc<str>>) -> FibStatus {
        let fault = self.faults.get(key).and_then(|faults| match owner {
            // An entry without an owner may be of any owner's route.
            Some(owner) => faults.get(owner).or_else(|| faults.get("")).map(|fault| fault.kind),
            None => faults.values().map(|_| FibFaultKind::Unconfirmed).next(),
        });
        match fault {
            Some(FibFaultKind::Failed | FibFaultKind::Suppressed) => FibStatus::Failed,
            Some(FibFaultKind::Pending) => FibStatus::Pending,
            Some(FibFaultKind::Unconfirmed) => FibStatus::Unknown,
            None if self.covers(key) => FibStatus::Programmed,
            None => FibStatus::Unknown,
        }
    }

    fn covers(&self, key: &RouteKey) -> bool {
        self.coverage.fib.contains(&RouteTable::of(&key.network_instance, &key.prefix))
    }

    /// Applies an update of neighbors; returns what changed.
    pub(crate) fn set_neighbors(&mut self, update: Update<NeighborKey, Neighbor>) -> Vec<NeighborChange> {
        match update {
            Update::Set(key, neighbor) => self.set(key, Some(neighbor)).into_iter().collect(),
            Update::Gone(key) => self.set(key, None).into_iter().collect(),
            Update::All(all) => {
                let listed: std::collections::BTreeSet<_> = all.iter().map(|(key, _)| key.clone()).collect();
                let known = self.neighbors.iter().flat_map(|(instance, peers)| {
                    peers.keys().map(|peer| NeighborKey { network_instance: instance.clone(), peer: peer.clone() })
                });
                let gone: Vec<_> = known.filter(|key| !listed.contains(key)).collect();
                let mut changes: Vec<_> = gone.into_iter().filter_map(|key| self.set(key, None)).collect();
                changes.extend(all.into_iter().filter_map(|(key, neighbor)| self.set(key, Some(neighbor))));
                changes
            }
        }
    }

    fn set(&mut self, key: NeighborKey, neighbor: Option<Neighbor>) -> Option<NeighborChange> {
        if let Some(Neighbor { session: Some(SessionState::Established), last_established: Some(at), .. }) = &neighbor {
            self.established.insert(key.clone(), *at);
        }
        let peers = self.neighbors.entry(key.network_instance.clone()).or_default();
        let old = match neighbor.clone() {
            Some(neighbor) => peers.insert(key.peer.clone(), neighbor),
            None => peers.remove(&key.peer),
        };
        match (&neighbor, &old) {
            (Some(_), _) => drop(self.vanished.remove(&key)),
            (None, Some(old)) if old.dynamic && self.vanished.len() < MOST_VANISHED => {
                self.vanished.insert(key.clone());
            }
            (None, Some(_)) => drop(self.established.remove(&key)),
            (None, None) => {}
        }
        if old == neighbor {
            return None;
        }
        let session =
            |neighbor: &Option<Neighbor>| neighbor.as_ref().map(|neighbor| (neighbor.session, neighbor.dynamic));
        Some(NeighborChange { decisive: session(&old) != session(&neighbor), key })
    }

    /// Applies an update of FIB faults; returns the prefixes whose faults changed.
    pub(crate) fn set_faults(&mut self, update: Update<FibKey, FibFault>) -> Vec<RouteKey> {
        match update {
            Update::Set(key, fault) => self.set_fault(key, Some(fault)).into_iter().collect(),
            Update::Gone(key) => self.set_fault(key, None).into_iter().collect(),
            Update::All(all) => {
                let listed: std::collections::BTreeSet<&FibKey> = all.iter().map(|(key, _)| key).collect();
                let known = self.faults.iter().flat_map(|(route, faults)| {
                    faults.keys().map(|owner| FibKey { route: route.clone(), owner: owner.clone() })
                });
                let gone: Vec<_> = known.filter(|key| !listed.contains(key)).collect();
                let mut changes: Vec<_> = gone.into_iter().filter_map(|key| self.set_fault(key, None)).collect();
                changes.extend(all.into_iter().filter_map(|(key, fault)| self.set_fault(key, Some(fault))));
                changes
            }
        }
    }

    fn set_fault(&mut self, key: FibKey, fault: Option<FibFault>) -> Option<RouteKey> {
        let faults = self.faults.entry(key.route.clone()).or_default();
        let old = match fault {
            Some(fault) => faults.insert(key.owner, fault),
            None => faults.remove(&key.owner),
        };
        if faults.is_empty() {
            self.faults.remove(&key.route);
        }
        (old != fault).then_some(key.route)
    }

    /// Sets what gNMI covers; returns whether that changed.
    pub(crate) fn set_coverage(&mut self, coverage: Coverage) -> bool {
        let differs = self.coverage != coverage;
        self.coverage = coverage;
        differs
    }
}
