//! Nodes: which address they speak BGP from, whether they are attached here, or behind which VTEP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::attachments::Attachments;
use super::bgp::Bgp;
use super::slab::Slab;
use super::switch::{EVPN_OWNER, Switch};
use crate::model::cluster::Node;
use crate::model::config::ClusterConfig;
use crate::model::names::{ClusterName, NodeName};
use crate::model::switch::{NextHopGroupId, SessionState};
use crate::model::verdict::{AddressSource, AttachmentState};
use crate::model::view::NodeView;

/// A node of a cluster.
#[derive(Debug)]
pub(crate) struct NodeEntry {
    pub(crate) name: NodeName,
    pub(crate) node: Node,
    pub(crate) location: Location,
    /// Why it may not announce.
    pub(crate) excluded: Option<&'static str>,
    /// Groups its location was read from.
    pub(crate) groups: Vec<NextHopGroupId>,
    /// VIPs announced by it and not by every eligible node: how many, how many use it, how many may hide it.
    pub(crate) expected: u32,
    pub(crate) installed: u32,
    pub(crate) hidden: u32,
    /// What was last published of it.
    pub(crate) view: Option<Arc<NodeView>>,
}

impl NodeEntry {
    /// A node of which nothing but the name is known.
    pub(crate) fn new(name: NodeName) -> Self {
        Self {
            name,
            node: Node::default(),
            location: Location::default(),
            excluded: None,
            groups: Vec::new(),
            expected: 0,
            installed: 0,
            hidden: 0,
            view: None,
        }
    }
}

/// Where a node is, as seen from this leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    /// Addresses it may speak from, best first, each once.
    pub(crate) candidates: Vec<(IpAddr, AddressSource)>,
    /// The addresses in use: at most one per family, the best located first.
    pub(crate) peers: Vec<Peer>,
    /// VTEPs its host routes name, by family of the host route (v4, v6), sorted.
    pub(crate) vteps: [Vec<IpAddr>; 2],
}

/// An address in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) source: AddressSource,
    pub(crate) attachment: AttachmentState,
}

impl Location {
    /// Attached here by an address of a family, or of any.
    pub(crate) fn attached(&self, v4: Option<bool>) -> Option<IpAddr> {
        let attached = self.peers.iter().filter(|peer| peer.attachment == AttachmentState::Attached);
        attached.map(|peer| peer.address).find(|address| v4.is_none_or(|v4| address.is_ipv4() == v4))
    }

    /// Its VTEPs for VIPs of a family.
    pub(crate) fn vteps(&self, v4: bool) -> &[IpAddr] {
        let [four, six] = &self.vteps;
        let (own, other) = if v4 { (four, six) } else { (six, four) };
        if own.is_empty() { other } else { own }
    }

    /// Every VTEP of it.
    pub(crate) fn all_vteps(&self) -> impl Iterator<Item = IpAddr> {
        self.vteps.iter().flatten().copied()
    }

    /// What the node is, as a whole.
    pub(crate) fn attachment(&self) -> AttachmentState {
        if self.attached(None).is_some() {
            AttachmentState::Attached
        } else if self.all_vteps().next().is_some() {
            AttachmentState::Remote
        } else {
            AttachmentState::Unknown
        }
    }
}

/// The candidates of a node, in the order they are believed.
fn candidates(
    config: &ClusterConfig,
    speaker: &[IpAddr],
    name: &NodeName,
    node: &Node,
) -> Vec<(IpAddr, AddressSource)> {
    let configured = config.rules.fabric_addresses.get(name).into_iter().flatten();
    let listed = configured.map(|address| (*address, AddressSource::Configured)).chain(
        [
            (&*node.annotated, AddressSource::Annotation),
            (&*node.speaker, AddressSource::Speaker),
            (speaker, AddressSource::Speaker),
            (&*node.internal, AddressSource::InternalIp),
            (&*node.external, AddressSource::ExternalIp),
        ]
        .into_iter()
        .flat_map(|(addresses, source)| addresses.iter().map(move |address| (*address, source))),
    );
    let mut distinct: Vec<(IpAddr, AddressSource)> = Vec::new();
    for (address, source) in listed {
        if !distinct.iter().any(|(known, _)| *known == address) {
            distinct.push((address, source));
        }
    }
    distinct
}

/// Where a node was found to be.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) location: Location,
    /// Next-hop groups it was read from.
    pub(crate) groups: Vec<NextHopGroupId>,
    /// Something else is remembered of its attachments than before.
    pub(crate) remembers: bool,
}

/// What a node is located by.
#[derive(Debug)]
pub(crate) struct Locator<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) config: &'a ClusterConfig,
    /// Addresses the speaker's resources say the node speaks from.
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) switch: &'a Switch,
    pub(crate) bgp: &'a Bgp,
}

impl Locator<'_> {
    /// Locates a node, and brings what is remembered of it up to date.
    pub(crate) fn locate(&self, name: &NodeName, node: &Node, remembered: &mut Attachments) -> Located {
        let mut located = Located::default();
        let location = &mut located.location;
        location.candidates = candidates(self.config, self.addresses, name, node);
        let mut ranked: BTreeMap<(bool, bool, u8, bool, usize), Peer> = BTreeMap::new();
        for (order, (address, source)) in location.candidates.iter().copied().enumerate() {
            let (vteps, evpn) = self.vteps(address, &mut located.groups);
            located.remembers |= self.remember(name, address, evpn, remembered);
            let rank = self.rank(name, address, !vteps.is_empty(), remembered);
            location.vteps[usize::from(address.is_ipv6())].extend(vteps);
            let attachment = match rank {
                0 | 1 => AttachmentState::Attached,
                2 => AttachmentState::Remote,
                _ => AttachmentState::Unknown,
            };
            // Of several neighbors here, one whose session is up shows that the node is reached.
            let down = rank == 0 && !self.is_established(address);
            // Where the operator said which, another speaker's session on the same node (a network plugin's) is no
            // substitute for it.
            let substitute = source != AddressSource::Configured || attachment != AttachmentState::Attached;
            ranked.insert((address.is_ipv6(), substitute, rank, down, order), Peer { address, source, attachment });
        }
        for vteps in &mut location.vteps {
            vteps.sort_unstable();
            vteps.dedup();
        }
        location.peers = in_use(ranked.into_iter().map(|((v6, _, rank, ..), peer)| (v6, rank, peer)));
        located
    }

    /// Remembers a neighbor; a host route by EVPN ends what was remembered. True when something else is remembered now.
    fn remember(&self, name: &NodeName, address: IpAddr, evpn: bool, remembered: &mut Attachments) -> bool {
        if self.bgp.neighbor(&self.config.rules.network_instance, address).is_some() {
            return remembered.keep(self.cluster, name, address);
        }
        evpn && remembered.forget(self.cluster, name, address)
    }

    /// A neighbor in state, a remembered one, a host route by EVPN, nothing: 0 to 3.
    fn rank(&self, name: &NodeName, address: IpAddr, vtep: bool, remembered: &Attachments) -> u8 {
        if self.bgp.neighbor(&self.config.rules.network_instance, address).is_some() {
            return 0;
        }
        match vtep {
            _ if remembered.holds(self.cluster, name, address) => 1,
            true => 2,
            false => 3,
        }
    }

    fn is_established(&self, address: IpAddr) -> bool {
        let neighbor = self.bgp.neighbor(&self.config.rules.network_instance, address);
        neighbor.is_some_and(|neighbor| neighbor.session == Some(SessionState::Established))
    }

    /// The VTEPs an address's host route names, and whether EVPN brought that route.
    fn vteps(&self, address: IpAddr, groups: &mut Vec<NextHopGroupId>) -> (Vec<IpAddr>, bool) {
        let Some(route) = self.switch.host(&self.config.rules.network_instance, address) else {
            return (Vec::new(), false);
        };
        if !self.switch.owned_by(&route, EVPN_OWNER) {
            return (Vec::new(), false);
        }
        groups.push(route.next_hop_group);
        let group = self.switch.group(route.next_hop_group);
        (group.map(|group| group.next_hops.to_vec()).unwrap_or_default(), true)
    }
}

/// The best of each family; those not located only if none is.
fn in_use(ranked: impl Iterator<Item = (bool, u8, Peer)>) -> Vec<Peer> {
    let mut best: Vec<(u8, bool, Peer)> = Vec::new();
    for (v6, rank, peer) in ranked {
        if !best.iter().any(|(_, family, _)| *family == v6) {
            best.push((rank, v6, peer));
        }
    }
    best.sort_by_key(|(rank, v6, _)| (*rank, *v6));
    let located = best.iter().any(|(rank, ..)| *rank < 3);
    best.into_iter().filter(|(rank, ..)| *rank < 3 || !located).map(|(.., peer)| peer).collect()
}

/// What is expected of a VIP's route on this leaf.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    /// Announcers in all.
    pub(crate) announcers: u32,
    /// Announcers attached here.
    pub(crate) attached: u32,
    /// The addresses of attached announcers, by address.
    pub(crate) local: Vec<(IpAddr, u32)>,
    /// The attached announcers speak the other family only: any address of theirs may carry the VIP.
    pub(crate) other_family: bool,
    /// The VTEPs of remote announcers, where none is attached.
    pub(crate) vteps: Vec<IpAddr>,
    /// Announcers nobody can place, by name.
    pub(crate) unlocated: Vec<u32>,
}

impl Expectation {
    /// What a set of announcers makes expected of a VIP of a family.
    pub(crate) fn of<'a>(announcers: impl Iterator<Item = (u32, &'a NodeEntry)>, v4: bool) -> Self {
        let mut expected = Self::default();
        let (mut own, mut other, mut vteps, mut unlocated) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (slot, node) in announcers {
            expected.announcers += 1;
            match node.location.attachment() {
                AttachmentState::Attached => {
                    expected.attached += 1;
                    own.extend(node.location.attached(Some(v4)).map(|address| (address, slot)));
                    other.extend(node.location.attached(Some(!v4)).map(|address| (address, slot)));
                }
                AttachmentState::Remote => vteps.extend_from_slice(node.location.vteps(v4)),
                AttachmentState::Unknown => unlocated.push((&node.name, slot)),
            }
        }
        unlocated.sort_unstable();
        expected.unlocated = unlocated.into_iter().map(|(_, slot)| slot).collect();
        expected.other_family = own.is_empty() && !other.is_empty();
        expected.local = if own.is_empty() { other } else { own };
        expected.local.sort_unstable();
        expected.local.dedup_by_key(|(address, _)| *address);
        if expected.attached == 0 {
            vteps.sort_unstable();
            vteps.dedup();
            expected.vteps = vteps;
        }
        expected
    }

    /// What routes alone tell, while gNMI does not say who is a neighbor here: where nobody is known to be attached, an
    /// unlocated announcer whose candidate is a next-hop of the VIP is reached by itself, and so attached.
    pub(crate) fn by_route(self: Arc<Self>, nodes: &Slab<NodeEntry>, next_hops: &[IpAddr]) -> Arc<Self> {
        if self.attached > 0 {
            return self;
        }
        let reached = |slot: u32| {
            let node = nodes.get(slot)?;
            let mut candidates = node.location.candidates.iter().map(|(address, _)| *address);
            candidates.find(|address| next_hops.contains(address)).map(|address| (address, slot))
        };
        let mut local: Vec<_> = self.unlocated.iter().filter_map(|slot| reached(*slot)).collect();
        if local.is_empty() {
            return self;
        }
        local.sort_unstable();
        let unlocated = self.unlocated.iter().copied().filter(|slot| reached(*slot).is_none()).collect();
        Arc::new(Self {
            announcers: self.announcers,
            attached: local.len() as u32,
            local,
            other_family: false,
            vteps: Vec::new(),
            unlocated,
        })
    }
}
