//! Stores the table of BGP neighbors, merged leaf by leaf.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::leaf::Scalar;
use super::notifications::Notifications;
use super::path::names;
use super::published::Published;
use crate::model::event::Update;
use crate::model::inquiry::NeighborWords;
use crate::model::names::NetworkInstanceName;
use crate::model::switch::{Neighbor, NeighborKey, PeerAddress, SessionState};
use crate::model::time::Timestamp;
use crate::path::Element;

/// The steps to a neighbor.
const NEIGHBOR: [&str; 4] = ["network-instance", "protocols", "bgp", "neighbor"];

/// Why a leaf of a neighbor cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NeighborError {
    /// The key is not a peer address.
    #[error("'{0}' is not a peer address")]
    Peer(String),
    /// A value has the wrong type.
    #[error("{leaf} of neighbor {peer} has the unreadable value {value}")]
    Value { leaf: String, peer: PeerAddress, value: String },
}

/// The leaves of one neighbor.
#[derive(Clone, Debug, Default)]
struct Entry {
    session: Option<SessionState>,
    last_established: Option<Timestamp>,
    dynamic: bool,
    /// Received routes by address family.
    received: BTreeMap<String, u32>,
    notifications: Notifications,
}

impl Entry {
    /// Returns the neighbor, once its session state is known. A neighbor with only other leaves is about to be removed:
    /// the switch removes leaves one by one.
    fn neighbor(&self) -> Option<Neighbor> {
        self.session?;
        let received = self.received.values().fold(0u32, |sum, routes| sum.saturating_add(*routes));
        Some(Neighbor {
            session: self.session,
            last_established: self.last_established,
            dynamic: self.dynamic,
            received_routes: (!self.received.is_empty()).then_some(received),
        })
    }
}

/// All neighbors of the switch.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    entries: BTreeMap<NeighborKey, Entry>,
    published: Published<NeighborKey, Neighbor>,
    touched: BTreeSet<NeighborKey>,
    /// NOTIFICATIONs of dynamic neighbors that are gone, so that they cannot be read any more.
    last_words: BTreeMap<NeighborKey, Notifications>,
}

/// Most neighbors whose last NOTIFICATIONs are kept, however many addresses sessions are opened from.
const MOST_LAST_WORDS: usize = 4096;

impl Neighbors {
    /// Merges one leaf; returns false if it is not of a neighbor.
    pub(super) fn set(&mut self, path: &[Element], value: &Scalar) -> Result<bool, NeighborError> {
        let names = names(path);
        let Some(leaf) = names.strip_prefix(&NEIGHBOR) else { return Ok(false) };
        let (Some(instance), Some(peer)) = (path[0].key("name"), path[3].key("peer-address")) else {
            return Ok(false);
        };
        let peer = peer_address(peer)?;
        let unreadable =
            || NeighborError::Value { leaf: leaf.join("/"), peer: peer.clone(), value: format!("{value:?}") };
        let key = NeighborKey { network_instance: NetworkInstanceName::from(instance), peer: peer.clone() };
        let entry = self.entries.entry(key.clone()).or_default();
        match leaf {
            ["session-state"] => {
                entry.session = Some(value.text().and_then(SessionState::from_yang).ok_or_else(unreadable)?);
                if entry.session == Some(SessionState::Established) {
                    self.last_words.remove(&key);
                }
            }
            ["last-established"] => {
                let time = value.text().and_then(|text| text.parse().ok());
                entry.last_established = Some(time.ok_or_else(unreadable)?);
            }
            ["dynamic-neighbor"] => entry.dynamic = value.boolean().ok_or_else(unreadable)?,
            ["afi-safi", "received-routes"] => {
                let family = path[4].key("afi-safi-name").unwrap_or_default().to_owned();
                let routes = value.number().and_then(|number| u32::try_from(number).ok());
                entry.received.insert(family, routes.ok_or_else(unreadable)?);
            }
            _ => {
                entry.notifications.set(leaf, value);
                return Ok(true);
            }
        }
        self.touched.insert(key);
        Ok(true)
    }

    /// Removes what a path covers: a leaf, a neighbor, or everything below a container.
    pub(super) fn delete(&mut self, path: &[Element]) {
        let names = names(path);
        if !names.iter().zip(NEIGHBOR).all(|(name, expected)| *name == expected) {
            return;
        }
        let leaf = names.get(NEIGHBOR.len()..).unwrap_or_default();
        let whole = matches!(leaf, [] | ["session-state"]);
        let peer = path.get(3).and_then(|elem| elem.key("peer-address")).filter(|peer| *peer != "*");
        // A neighbor with an unreadable address was never stored.
        let Ok(peer) = peer.map(peer_address).transpose() else { return };
        let covered = |key: &NeighborKey| {
            path.first().is_none_or(|elem| elem.allows("name", key.network_instance.as_str()))
                && peer.as_ref().is_none_or(|peer| *peer == key.peer)
        };
        let keys: Vec<_> = self.entries.keys().filter(|key| covered(key)).cloned().collect();
        for key in keys {
            if whole {
                let gone = self.entries.remove(&key).filter(|gone| gone.dynamic);
                if let Some(gone) = gone.filter(|_| self.last_words.len() < MOST_LAST_WORDS) {
                    self.last_words.insert(key.clone(), gone.notifications);
                }
            } else if let Some(entry) = self.entries.get_mut(&key) {
                match leaf {
                    ["last-established"] => entry.last_established = None,
                    ["dynamic-neighbor"] => entry.dynamic = false,
                    ["afi-safi"] | ["afi-safi", "received-routes"] => {
                        entry.received.retain(|family, _| !path[4].allows("afi-safi-name", family));
                    }
                    _ => {}
                }
            }
            self.touched.insert(key);
        }
    }

    /// Returns the NOTIFICATIONs of a dynamic neighbor before it vanished with its session.
    pub(super) fn last_words(&self, key: &NeighborKey) -> Option<NeighborWords> {
        let [received, sent] = self.last_words.get(key)?.last();
        (received.is_some() || sent.is_some()).then(|| NeighborWords { received, sent, ..NeighborWords::default() })
    }

    /// Returns the whole table.
    pub(super) fn all(&mut self) -> Update<NeighborKey, Neighbor> {
        self.touched.clear();
        let all = self.entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.neighbor()?))).collect();
        self.published.all(all)
    }

    /// Returns what differs from what was sent to the engine.
    pub(super) fn changes(&mut self) -> Vec<Update<NeighborKey, Neighbor>> {
        let touched = std::mem::take(&mut self.touched);
        let now = |key: &NeighborKey| self.entries.get(key).and_then(Entry::neighbor);
        let touched: Vec<_> = touched.into_iter().map(|key| (now(&key), key)).collect();
        touched.into_iter().filter_map(|(now, key)| self.published.change(key, now)).collect()
    }
}

/// Parses `192.168.1.11` or `fe80::1%ethernet-1/1.0`.
fn peer_address(text: &str) -> Result<PeerAddress, NeighborError> {
    let (ip, interface) = match text.split_once('%') {
        Some((ip, interface)) => (ip, Some(Arc::from(interface))),
        None => (text, None),
    };
    match ip.parse::<IpAddr>() {
        Ok(ip) => Ok(PeerAddress { ip, interface }),
        Err(_) => Err(NeighborError::Peer(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::path::{elems, neighbor, parse};
    use super::*;

    fn path(instance: &str, peer: &str, leaf: &str) -> Vec<Element> {
        let text = format!("{}{leaf}", neighbor(&instance, &peer));
        elems(None, Some(&parse(&text).expect("a path")))
    }

    fn set(neighbors: &mut Neighbors, peer: &str, leaf: &str, value: &str) {
        neighbors.set(&path("default", peer, leaf), &Scalar::Text(value.to_owned())).expect("readable");
    }

    #[test]
    fn leaves_are_merged_and_only_differences_reported() {
        let mut neighbors = Neighbors::default();
        set(&mut neighbors, "10.0.0.1", "/dynamic-neighbor", "true");
        assert_eq!(neighbors.changes(), [], "no session, no neighbor");
        set(&mut neighbors, "10.0.0.1", "/session-state", "established");
        set(&mut neighbors, "10.0.0.1", "/afi-safi[afi-safi-name=ipv4-unicast]/received-routes", "3");
        set(&mut neighbors, "10.0.0.1", "/afi-safi[afi-safi-name=ipv6-unicast]/received-routes", "2");
        let changes = neighbors.changes();
        let [Update::Set(key, neighbor)] = &*changes else { panic!("one neighbor: {changes:?}") };
        assert_eq!(key.peer.to_string(), "10.0.0.1");
        assert_eq!(neighbor.session, Some(SessionState::Established));
        assert_eq!(neighbor.received_routes, Some(5));
        assert!(neighbor.dynamic);
        set(&mut neighbors, "10.0.0.1", "/session-state", "established");
        set(&mut neighbors, "10.0.0.1", "/peer-as", "65001");
        assert_eq!(neighbors.changes(), []);
    }

    #[test]
    fn a_dynamic_neighbor_is_removed_with_its_session_state_and_late_leaves_do_not_restore_it() {
        let mut neighbors = Neighbors::default();
        set(&mut neighbors, "fe80::1%ethernet-1/1.0", "/session-state", "established");
        assert!(matches!(neighbors.all(), Update::All(all) if all.len() == 1));
        set(&mut neighbors, "fe80::1%ethernet-1/1.0", "/session-state", "idle");
        assert!(matches!(&*neighbors.changes(), [Update::Set(..)]));
        neighbors.delete(&path("default", "fe80::1%ethernet-1/1.0", "/session-state"));
        let changes = neighbors.changes();
        assert!(matches!(&*changes, [Update::Gone(key)] if key.peer.interface.as_deref() == Some("ethernet-1/1.0")));
        set(&mut neighbors, "fe80::1%ethernet-1/1.0", "/afi-safi[afi-safi-name=ipv6-unicast]/received-routes", "0");
        assert_eq!(neighbors.changes(), []);
    }

    #[test]
    fn a_delete_removes_exactly_what_is_below_its_path() {
        let mut neighbors = Neighbors::default();
        for peer in ["10.0.0.1", "10.0.0.10", "10.0.0.2", "fe80::2%ethernet-1/1.0"] {
            set(&mut neighbors, peer, "/session-state", "established");
            set(&mut neighbors, peer, "/afi-safi[afi-safi-name=ipv4-unicast]/received-routes", "3");
        }
        neighbors.all();
        neighbors.delete(&path("default", "10.0.0.1", ""));
        assert!(matches!(&*neighbors.changes(), [Update::Gone(key)] if key.peer.to_string() == "10.0.0.1"));
        neighbors.delete(&path("default", "10.0.0.2", "/afi-safi[afi-safi-name=ipv4-unicast]"));
        assert!(matches!(&*neighbors.changes(), [Update::Set(_, neighbor)] if neighbor.received_routes.is_none()));
        neighbors.delete(&path("default", "FE80::2%ethernet-1/1.0", ""));
        assert!(
            matches!(&*neighbors.changes(), [Update::Gone(key)] if key.peer.to_string() == "fe80::2%ethernet-1/1.0")
        );
        neighbors.delete(&path("default", "host1", ""));
        neighbors.delete(&path("red", "*", ""));
        neighbors.delete(&path("default", "*", "")[..2]);
        assert_eq!(neighbors.changes().len(), 2);
    }

    #[test]
    fn unreadable_values_and_keys_are_named_in_the_error() {
        let mut neighbors = Neighbors::default();
        let wrong = neighbors.set(&path("default", "host1", "/session-state"), &Scalar::Text("idle".into()));
        assert_eq!(wrong, Err(NeighborError::Peer("host1".into())));
        let wrong = neighbors.set(&path("default", "10.0.0.1", "/session-state"), &Scalar::Text("melting".into()));
        assert!(wrong.expect_err("no such state").to_string().contains("session-state of neighbor 10.0.0.1"));
        assert_eq!(neighbors.changes(), []);
    }

    proptest! {
        #[test]
        fn arbitrary_peers_and_values_never_panic(peer in ".*", value in ".*") {
            let mut neighbors = Neighbors::default();
            for leaf in ["/session-state", "/last-established", "/dynamic-neighbor", "/afi-safi/received-routes"] {
                let path = path("default", &peer, leaf);
                let _ = neighbors.set(&path, &Scalar::Text(value.clone()));
                neighbors.delete(&path);
            }
            neighbors.changes();
        }
    }
}
