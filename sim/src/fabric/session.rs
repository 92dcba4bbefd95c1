//! BGP sessions between leaves and nodes: which exist, and which are up.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::{AfiSafi, BfdSession, BgpNotification, Neighbor, SessionRecord};

use super::config::{BgpConfig, ClusterConfig, NodeConfig};
use super::fault::Fault;
use super::objects::Objects;
use super::speaker::{self, Peering};
use super::{Fabric, Lever, NodeKey};

/// A session, as identified on its leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    pub(crate) leaf: String,
    pub(crate) instance: String,
    /// `peer-address`
    pub(crate) peer: String,
}

/// The history of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    established: bool,
    /// Why it is down, if it is.
    fault: Option<Fault>,
    last_transition: Option<String>,
    transitions: u64,
    sent: Option<BgpNotification>,
    received: Option<BgpNotification>,
}

impl History {
    /// Records the current state: up, or down for a reason.
    pub(crate) fn note(&mut self, fault: Option<Fault>, now: &str) {
        let established = fault.is_none();
        if self.established != established {
            self.established = established;
            self.last_transition = Some(now.to_owned());
            self.transitions += u64::from(established);
        }
        if self.fault != fault {
            // The last messages of each side are kept.
            self.sent = fault.as_ref().and_then(|fault| fault.sent(now)).or(self.sent.take());
            self.received = fault.as_ref().and_then(|fault| fault.received(now)).or(self.received.take());
            self.fault = fault;
        }
    }

    fn record(&self) -> SessionRecord {
        SessionRecord {
            admin_disabled: self.fault == Some(Fault::AdminDisabled),
            last_event: self.fault.as_ref().map(|fault| fault.event().to_owned()),
            sent: self.sent.clone(),
            received: self.received.clone(),
        }
    }
}

/// A session with a node.
pub(crate) struct Session<'a> {
    pub(crate) key: SessionKey,
    /// Address of the node.
    pub(crate) address: IpAddr,
    /// Address of the leaf.
    pub(crate) local: Option<IpAddr>,
    pub(crate) bgp: &'a BgpConfig,
    pub(crate) peer_as: u32,
    /// `peer-group`
    pub(crate) group: &'a str,
    /// Why it is down, if it is.
    pub(crate) fault: Option<Fault>,
    pub(crate) bfd_up: bool,
    /// Prefixes that the node announces; empty unless the session is established or its routes are kept.
    pub(crate) announced: BTreeSet<IpNet>,
    /// Whether its routes are kept without the session.
    pub(crate) stale: bool,
    /// The node.
    pub(crate) node: NodeKey,
    /// Whether levers on the speaker of services concern it.
    pub(crate) of_services: bool,
}

impl Session<'_> {
    pub(crate) fn established(&self) -> bool {
        self.fault.is_none()
    }

    /// Returns whether the neighbor was dynamic and disappeared with its session.
    pub(crate) fn is_gone(&self) -> bool {
        self.fault.is_some() && self.bgp.dynamic_neighbors
    }

    /// Returns the `session-state`.
    pub(crate) fn state(&self) -> &'static str {
        self.fault.as_ref().map_or("established", Fault::state)
    }

    /// Returns whether the AS numbers differ.
    pub(crate) fn is_ebgp(&self) -> bool {
        self.peer_as != self.bgp.as_of(&self.key.leaf)
    }
}

impl Fabric {
    /// Returns the sessions of a leaf with nodes in one network instance.
    pub(super) fn sessions<'a>(&'a self, leaf: &str, instance: &str) -> Vec<Session<'a>> {
        let bgp = self.config.network_instances.get(instance).and_then(|config| config.bgp.as_ref());
        let (Some(bgp), true) = (bgp, self.has_instance(leaf, instance)) else { return Vec::new() };
        let mut sessions = Vec::new();
        for (cluster_name, cluster, name, node) in self.config.nodes() {
            if cluster.network_instance != instance {
                continue;
            }
            let key = NodeKey { cluster: cluster_name.clone(), node: name.clone() };
            let end = End { leaf, instance, bgp, cluster, node, key };
            let services = Voice::Services { autonomous_system: cluster.autonomous_system, group: &bgp.group };
            let spoken = node.speaking_addresses().iter();
            sessions.extend(spoken.filter_map(|address| self.session(&end, services, *address)));
            if let Some(pods) = &cluster.pod_network {
                let voice = Voice::Pods { autonomous_system: pods.autonomous_system, group: &pods.group };
                sessions.extend(node.addresses.iter().filter_map(|address| self.session(&end, voice, *address)));
            }
        }
        sessions
    }

    fn session<'a>(&self, end: &End<'a, '_>, voice: Voice<'a>, address: IpAddr) -> Option<Session<'a>> {
        let path = self.path(end, voice);
        if !path.configured {
            return None;
        }
        let announced = match voice {
            Voice::Services { .. } => self.announced(end, address),
            Voice::Pods { .. } => Some(self.pod_ranges(&end.key, address)),
        };
        let bfd_up = path.reachable && path.fault != Some(Fault::Silent) && path.fault != Some(Fault::Bfd);
        let fault = if !path.reachable {
            Some(path.fault.filter(|fault| *fault == Fault::AdminDisabled).unwrap_or(Fault::Unreachable))
        } else if announced.is_none() {
            path.fault.or(Some(Fault::Silent))
        } else {
            path.fault
        };
        let (peer_as, group) = voice.end();
        let stale = fault == Some(Fault::Restarting) && !end.bgp.dynamic_neighbors;
        Some(Session {
            key: SessionKey { leaf: end.leaf.to_owned(), instance: end.instance.to_owned(), peer: address.to_string() },
            address,
            local: self.local_end(end, address),
            bgp: end.bgp,
            peer_as,
            group,
            bfd_up,
            announced: announced.filter(|_| fault.is_none() || stale).unwrap_or_default(),
            fault,
            stale,
            node: end.key.clone(),
            of_services: matches!(voice, Voice::Services { .. }),
        })
    }

    /// Returns the ranges of a node's pods, of an address's family.
    fn pod_ranges(&self, key: &NodeKey, address: IpAddr) -> BTreeSet<IpNet> {
        let node = self.objects.get(&key.cluster).and_then(|objects| objects.nodes.get(&key.node));
        let ranges = node.into_iter().flat_map(|node| &node.pod_ranges);
        ranges.filter(|range| range.addr().is_ipv4() == address.is_ipv4()).copied().collect()
    }

    /// Returns the path between a leaf and a node.
    fn path(&self, end: &End<'_, '_>, voice: Voice<'_>) -> PathToNode {
        let attachments = self.attachments(&end.key, &end.node.leaves);
        let here = attachments.iter().any(|leaf| leaf == end.leaf);
        let peered = end.node.peers().iter().any(|leaf| leaf == end.leaf);
        let across = end.bgp.multihop && !attachments.is_empty() && self.overlay_up(end.leaf);
        // Levers break the speaker of services.
        let services = matches!(voice, Voice::Services { .. });
        let cut = self.node_lever(&end.key, |lever| match lever {
            Lever::Cable { leaf, .. } => leaf.as_deref().is_none_or(|leaf| leaf == end.leaf),
            _ => false,
        });
        PathToNode {
            configured: if end.bgp.dynamic_neighbors { here || (end.bgp.multihop && peered) } else { peered },
            reachable: (here && !cut) || across,
            fault: self.pulled_fault(&end.key, end.leaf).filter(|_| services),
        }
    }

    /// Returns what the node's speaker announces to this leaf; `None` if it has no session with it.
    fn announced(&self, end: &End<'_, '_>, address: IpAddr) -> Option<BTreeSet<IpNet>> {
        let nothing = Objects::default();
        let objects = self.objects.get(&end.key.cluster).unwrap_or(&nothing);
        let leaf_addresses: Vec<IpAddr> =
            self.leaf_addresses(end).into_iter().filter(|own| own.is_ipv4() == address.is_ipv4()).collect();
        let peering = Peering {
            node: &end.key.node,
            leaf_addresses: &leaf_addresses,
            leaf_as: end.bgp.as_of(end.leaf),
            node_as: end.cluster.autonomous_system,
            v4: address.is_ipv4(),
        };
        let mut prefixes = speaker::announced(end.cluster, objects, &peering)?;
        for lever in self.levers.iter().filter(|lever| lever.concerns(&end.key)) {
            match lever {
                Lever::Announced { prefix, .. } if prefix.addr().is_ipv4() == address.is_ipv4() => {
                    prefixes.insert(*prefix);
                }
                Lever::Withheld { prefix, .. } => {
                    prefixes.remove(prefix);
                }
                _ => {}
            }
        }
        Some(prefixes)
    }

    /// Returns the addresses of the leaf that a speaker can have as its peer.
    fn leaf_addresses(&self, end: &End<'_, '_>) -> Vec<IpAddr> {
        let gateways = self.config.subinterfaces(end.leaf, end.instance);
        let mut addresses: Vec<IpAddr> =
            gateways.flat_map(|(_, subinterface)| subinterface.addresses_on(end.leaf)).map(IpNet::addr).collect();
        addresses.extend(self.config.leaves.get(end.leaf).into_iter().flat_map(|leaf| &leaf.system));
        addresses.extend(end.bgp.router_id_of(end.leaf));
        addresses
    }

    /// Returns the gateway in the node's subnet, or the source address of sessions across the fabric.
    fn local_end(&self, end: &End<'_, '_>, address: IpAddr) -> Option<IpAddr> {
        let gateways = self.config.subinterfaces(end.leaf, end.instance);
        let mut nets = gateways.flat_map(|(_, subinterface)| subinterface.addresses_on(end.leaf));
        nets.find(|net| net.contains(&address)).map(IpNet::addr).or(end.bgp.router_id_of(end.leaf))
    }

    /// Adds the history of a session to a neighbor.
    pub(super) fn with_history(&self, key: &SessionKey, mut neighbor: Neighbor) -> Neighbor {
        if let Some(history) = self.history.get(key) {
            neighbor.last_established.clone_from(&history.last_transition);
            neighbor.established_transitions = history.transitions;
            neighbor.record = history.record();
        }
        neighbor
    }

    /// Returns a session with a node as shown in the leaf's state.
    pub(super) fn neighbor(&self, session: &Session<'_>, counters: AfiSafi) -> Neighbor {
        let family = if session.address.is_ipv4() { "ipv4-unicast" } else { "ipv6-unicast" };
        let afi_safis = session.established().then(|| (family.to_owned(), counters));
        let neighbor = Neighbor {
            session_state: session.state().to_owned(),
            last_established: None,
            established_transitions: 0,
            peer_as: session.peer_as,
            local_as: session.bgp.as_of(&session.key.leaf),
            peer_group: session.group.to_owned(),
            dynamic: session.bgp.dynamic_neighbors,
            local_address: session.local,
            afi_safis: afi_safis.into_iter().collect(),
            record: SessionRecord::default(),
        };
        let neighbor = self.with_history(&session.key, neighbor);
        match neighbor.dynamic && session.established() {
            // A dynamic neighbor is a new one each time.
            true => Neighbor { established_transitions: 1, record: SessionRecord::default(), ..neighbor },
            false => neighbor,
        }
    }

    /// Returns the BFD session that guards a session with a node.
    pub(super) fn bfd(&self, session: &Session<'_>) -> Option<BfdSession> {
        let mut addresses = self.config.nodes().flat_map(|(_, _, _, node)| node.speaking_addresses());
        let position = addresses.position(|address| *address == session.address)?;
        let local = session.local.filter(|_| session.bgp.bfd)?;
        Some(BfdSession {
            local,
            up: session.bfd_up,
            discriminator: FIRST_DISCRIMINATOR + u32::try_from(position).ok()?,
        })
    }
}

const FIRST_DISCRIMINATOR: u32 = 16_385;

/// The path between a leaf and a node.
struct PathToNode {
    /// Whether the leaf would accept the node as a neighbor.
    configured: bool,
    /// Whether packets arrive.
    reachable: bool,
    /// The fault that a lever causes.
    fault: Option<Fault>,
}

/// The speaker on a node.
#[derive(Clone, Copy)]
enum Voice<'a> {
    /// The speaker that announces services.
    Services { autonomous_system: u32, group: &'a str },
    /// The speaker that announces the node's pods.
    Pods { autonomous_system: u32, group: &'a str },
}

impl<'a> Voice<'a> {
    fn end(self) -> (u32, &'a str) {
        match self {
            Self::Services { autonomous_system, group } | Self::Pods { autonomous_system, group } => {
                (autonomous_system, group)
            }
        }
    }
}

/// A possible session, before its address family is chosen.
struct End<'a, 'b> {
    leaf: &'b str,
    instance: &'b str,
    bgp: &'a BgpConfig,
    cluster: &'a ClusterConfig,
    node: &'a NodeConfig,
    key: NodeKey,
}
