//! Locates nodes: which address they speak BGP from, whether they are attached here, or behind which VTEP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::attachments::Attachments;
use super::bgp::Bgp;
use super::figures::Figures;
use super::places::{Place, PlaceCounts, Places};
use super::switch::{EVPN_OWNER, STATIC_OWNER, Switch};
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
    /// Addresses of the node that have been next-hops of VIPs here.
    pub(crate) carried: Vec<IpAddr>,
    /// Addresses of the node that answered ARP or ND here when gNMI was last heard, or have since.
    pub(crate) answered: Vec<IpAddr>,
    /// Why the node may not announce.
    pub(crate) excluded: Option<&'static str>,
    /// Next-hop groups that its location was read from.
    pub(crate) groups: Vec<NextHopGroupId>,
    /// Counts of VIPs that it announces, without those that a whole set of nodes announces.
    pub(crate) own: Figures,
    /// The last published view.
    pub(crate) view: Option<Arc<NodeView>>,
}

impl NodeEntry {
    /// Creates a node of which only the name is known.
    pub(crate) fn new(name: NodeName) -> Self {
        Self {
            name,
            node: Node::default(),
            location: Location::default(),
            carried: Vec::new(),
            answered: Vec::new(),
            excluded: None,
            groups: Vec::new(),
            own: Figures::default(),
            view: None,
        }
    }
}

/// Where a node is, as seen from this leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    /// Addresses that the node may speak from, best first, each once.
    pub(crate) candidates: Vec<(IpAddr, AddressSource)>,
    /// What the best candidate shows.
    pub(crate) place: Place,
    /// The addresses in use: at most one per family, the best located first.
    pub(crate) peers: Vec<Peer>,
    /// VTEPs that its host routes name, sorted. For an attached node these are other ways to it.
    pub(crate) vteps: Vec<IpAddr>,
    /// Next-hops of static routes of this leaf to its addresses, sorted: other addresses of the node, or a router
    /// before it.
    pub(crate) gateways: Vec<IpAddr>,
    /// Whether the node answers ARP or ND here.
    pub(crate) answers: bool,
}

/// An address in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) source: AddressSource,
    pub(crate) attachment: AttachmentState,
}

impl Location {
    /// Returns the address by which the node is attached here, of a family or of any.
    pub(crate) fn attached(&self, v4: Option<bool>) -> Option<IpAddr> {
        let attached = self.peers.iter().filter(|peer| peer.attachment == AttachmentState::Attached);
        attached.map(|peer| peer.address).find(|address| v4.is_none_or(|v4| address.is_ipv4() == v4))
    }

    /// Returns the address whose session carries VIPs of a family: one of the same family, otherwise any.
    pub(crate) fn carrier(&self, v4: bool) -> Option<IpAddr> {
        self.attached(Some(v4)).or_else(|| self.attached(None))
    }

    /// Returns whether an address is one of the node's.
    pub(crate) fn is_at(&self, address: IpAddr) -> bool {
        self.candidates.iter().any(|(candidate, _)| *candidate == address)
    }

    /// Returns whether a next-hop leads to the node: one of its addresses, the gateway of a static route to it, or its
    /// VTEP.
    pub(crate) fn is_by(&self, next_hop: IpAddr) -> bool {
        self.is_at(next_hop) || self.gateways.contains(&next_hop) || self.vteps.contains(&next_hop)
    }

    /// Returns whether any of these addresses is one of the node's.
    pub(crate) fn is_at_any(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().any(|address| self.is_at(*address))
    }

    /// Returns the attachment of the node as a whole.
    pub(crate) fn attachment(&self) -> AttachmentState {
        match self.place {
            place if place.is_attached() => AttachmentState::Attached,
            Place::Evpn => AttachmentState::Remote,
            _ => AttachmentState::Unknown,
        }
    }
}

/// Returns the candidate addresses of a node, in the order they are trusted.
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
    let listed = listed.map(|(address, source)| (address.to_canonical(), source));
    for (address, source) in listed.filter(|(address, _)| !is_nobodys(*address)) {
        if !distinct.iter().any(|(known, _)| *known == address) {
            distinct.push((address, source));
        }
    }
    distinct
}

/// Returns whether a leaf cannot reach a node by this address: a loopback, unspecified or multicast address.
fn is_nobodys(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

/// What locating a node found.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) location: Location,
    /// Next-hop groups that were read.
    pub(crate) groups: Vec<NextHopGroupId>,
    /// Addresses of the node that answer ARP or ND here.
    pub(crate) answering: Vec<IpAddr>,
    /// Whether the remembered attachments changed.
    pub(crate) remembers: bool,
}

/// What a node is located by.
#[derive(Debug)]
pub(crate) struct Locator<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) config: &'a ClusterConfig,
    /// Addresses that the node speaks from according to the speaker's resources.
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) switch: &'a Switch,
    pub(crate) bgp: &'a Bgp,
    /// Whether gNMI is connected, so that neighbors are current.
    pub(crate) heard: bool,
    /// Addresses of the node that have been next-hops of VIPs here.
    pub(crate) carried: &'a [IpAddr],
}

impl Locator<'_> {
    /// Locates a node, and updates what is remembered of it.
    pub(crate) fn locate(&self, name: &NodeName, node: &Node, remembered: &mut Attachments) -> Located {
        let mut located = Located::default();
        let candidates = candidates(self.config, self.addresses, name, node);
        let (mut vteps, mut gateways) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        for (address, _) in &candidates {
            let behind = self.next_hops_of(*address, EVPN_OWNER, &mut located.groups);
            gateways.extend(self.next_hops_of(*address, STATIC_OWNER, &mut located.groups));
            located.remembers |= self.remember(name, *address, remembered);
            places.push(self.place(name, *address, !behind.is_empty(), remembered));
            vteps.extend(behind);
        }
        for ways in [&mut vteps, &mut gateways] {
            ways.sort_unstable();
            ways.dedup();
        }
        let answering = candidates.iter().map(|(address, _)| *address).filter(|address| self.answers(*address));
        located.answering = answering.collect();
        let answers = !located.answering.is_empty();
        let place = places.iter().copied().min().unwrap_or_default();
        let seen: Vec<Seen> = candidates
            .iter()
            .zip(&places)
            .map(|((address, source), shown)| Seen {
                address: *address,
                source: *source,
                place: *shown,
                here: place.is_attached() && shown.is_attached(),
                carried: self.carried.contains(address),
            })
            .collect();
        located.location = Location { peers: in_use(&seen), candidates, place, vteps, gateways, answers };
        located
    }

    /// Remembers a dynamic neighbor, since it vanishes with its session. A static neighbor, or a host route by EVPN,
    /// ends what was remembered. Returns whether the remembered attachments changed.
    fn remember(&self, name: &NodeName, address: IpAddr, remembered: &mut Attachments) -> bool {
        let instance = &self.config.rules.network_instance;
        let evpn = || self.switch.host(instance, address).is_some_and(|route| self.switch.owned_by(&route, EVPN_OWNER));
        match self.bgp.neighbor(instance, address) {
            Some(neighbor) if neighbor.dynamic => remembered.keep(self.cluster, name, address),
            Some(_) => remembered.forget(self.cluster, name, address),
            None => evpn() && remembered.forget(self.cluster, name, address),
        }
    }

    /// Returns what one address of a node shows. While gNMI is lost, a current host route outranks the last known
    /// neighbors.
    fn place(&self, name: &NodeName, address: IpAddr, vtep: bool, remembered: &Attachments) -> Place {
        let instance = &self.config.rules.network_instance;
        let neighbor = self.bgp.neighbor(instance, address);
        let own = self.switch.host(instance, address).is_some_and(|route| self.switch.is_own(&route));
        let left_over = neighbor.is_some() || remembered.holds(self.cluster, name, address);
        match neighbor.filter(|_| self.heard) {
            Some(neighbor) if neighbor.session == Some(SessionState::Established) => Place::Established,
            Some(_) if own => Place::Neighbor,
            _ if vtep => Place::Evpn,
            _ if left_over => Place::LeftOver,
            _ if own => Place::Silent,
            _ => Place::Unlocated,
        }
    }

    /// Returns the next-hops of an address's host route if `owner` owns it. Those of EVPN are the VTEPs that the
    /// address is behind.
    fn next_hops_of(&self, address: IpAddr, owner: &str, groups: &mut Vec<NextHopGroupId>) -> Vec<IpAddr> {
        let route = self.switch.host(&self.config.rules.network_instance, address);
        let Some(route) = route.filter(|route| self.switch.owned_by(route, owner)) else { return Vec::new() };
        groups.push(route.next_hop_group);
        self.switch.group(route.next_hop_group).map(|group| group.next_hops.to_vec()).unwrap_or_default()
    }

    /// Returns whether ARP or ND has a host route of the address here, whatever another leaf has.
    fn answers(&self, address: IpAddr) -> bool {
        self.switch.answers(&self.config.rules.network_instance, address)
    }
}

/// A candidate address, and what it shows.
#[derive(Clone, Copy, Debug)]
struct Seen {
    address: IpAddr,
    source: AddressSource,
    place: Place,
    /// Whether the node is attached here, by this address among others.
    here: bool,
    /// Whether the address has been a next-hop of VIPs.
    carried: bool,
}

impl Seen {
    /// Orders the addresses of a family; the least is the one in use. Of several sessions the node's own is the one
    /// that carries VIPs, otherwise the one that the operator named: the session of another speaker on the same node (a
    /// network plugin) does not replace it. Otherwise it is one that is up.
    fn order(&self) -> (bool, bool, bool, Place) {
        (!self.here, !(self.here && self.carried), !(self.here && self.source == AddressSource::Configured), self.place)
    }

    fn peer(&self) -> Peer {
        let attachment = match self.place {
            _ if self.here => AttachmentState::Attached,
            Place::Evpn => AttachmentState::Remote,
            _ => AttachmentState::Unknown,
        };
        Peer { address: self.address, source: self.source, attachment }
    }
}

/// Returns the best address of each family; those that are not located only if none is.
fn in_use(seen: &[Seen]) -> Vec<Peer> {
    let best = |v4: bool| seen.iter().filter(|seen| seen.address.is_ipv4() == v4).min_by_key(|seen| seen.order());
    let mut best: Vec<&Seen> = [true, false].into_iter().filter_map(best).collect();
    best.sort_by_key(|seen| (!seen.here, seen.place));
    let located = best.iter().any(|seen| seen.place != Place::Unlocated);
    best.into_iter().filter(|seen| seen.place != Place::Unlocated || !located).map(Seen::peer).collect()
}

/// How the routes of an announcer reach the fabric, as far as the speaker's resources show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By sessions of other nodes: its own are with nodes only.
    Others,
    /// By its sessions with other switches, although it has one with this switch.
    Elsewhere,
    /// By its own sessions, which may be with this switch.
    #[default]
    Own,
}

/// What is expected of a VIP's route on this leaf, depending on its announcers.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    /// Number of all announcers.
    pub(crate) announcers: u32,
    /// Announcers attached here, by slot: each of them should be among the next-hops.
    pub(crate) attached: Vec<u32>,
    /// Announcers that are attached here and announce to other switches only, by slot: they are not expected here.
    pub(crate) elsewhere: Vec<u32>,
    /// Announcers whose routes come by sessions of other nodes, by slot: none is expected, as any of those will do.
    pub(crate) by_others: Vec<u32>,
    /// If none is attached: remote announcers, by slot, by the VTEPs they are behind, in order of these.
    pub(crate) remote: Vec<(Box<[IpAddr]>, Vec<u32>)>,
    /// If some are attached: VTEPs that remote announcers are behind, one for each group of them, in order.
    pub(crate) beside: Vec<IpAddr>,
    /// Announcers that answer ARP/ND here but have no neighbor, ordered by name.
    pub(crate) silent: Vec<u32>,
    /// Announcers that are not located, ordered by name.
    pub(crate) unlocated: Vec<u32>,
    /// The silent and the unlocated, by slot.
    pub(crate) unattached: Box<[u32]>,
}

impl Expectation {
    /// Returns what a set of announcers makes expected; each with how its routes reach the fabric.
    pub(crate) fn of<'a>(announcers: impl Iterator<Item = (u32, &'a NodeEntry, Way)>) -> Self {
        let mut expected = Self::default();
        let mut remote = BTreeMap::<Box<[IpAddr]>, Vec<u32>>::new();
        let (mut silent, mut unlocated) = (BTreeMap::new(), BTreeMap::new());
        for (slot, node, way) in announcers {
            expected.announcers += 1;
            match node.location.attachment() {
                AttachmentState::Attached if way == Way::Elsewhere => expected.elsewhere.push(slot),
                AttachmentState::Attached => expected.attached.push(slot),
                _ if way == Way::Others => expected.by_others.push(slot),
                AttachmentState::Remote => remote.entry(node.location.vteps.as_slice().into()).or_default().push(slot),
                AttachmentState::Unknown if node.location.place == Place::Silent => _ = silent.insert(&node.name, slot),
                AttachmentState::Unknown => _ = unlocated.insert(&node.name, slot),
            }
        }
        expected.silent = silent.into_values().collect();
        expected.unlocated = unlocated.into_values().collect();
        expected.unattached = sorted(&expected.silent, &expected.unlocated);
        match expected.attached.is_empty() {
            true => expected.remote = remote.into_iter().collect(),
            false => expected.beside = remote.into_keys().filter_map(|vteps| vteps.first().copied()).collect(),
        }
        expected
    }

    /// Corrects the expectation by routes alone, for use while gNMI does not report neighbors: if no announcer is known
    /// to be attached, one with a candidate among the next-hops of the VIP is reached directly, and so attached.
    pub(crate) fn by_route<'a>(self: Arc<Self>, reached: impl Iterator<Item = &'a u32>) -> Arc<Self> {
        if !self.attached.is_empty() {
            return self;
        }
        let mut attached: Vec<u32> = reached.copied().filter(|slot| self.is_unattached(*slot)).collect();
        if attached.is_empty() {
            return self;
        }
        attached.sort_unstable();
        attached.dedup();
        let rest = |slots: &[u32]| -> Vec<u32> {
            slots.iter().copied().filter(|slot| attached.binary_search(slot).is_err()).collect()
        };
        let (silent, unlocated) = (rest(&self.silent), rest(&self.unlocated));
        Arc::new(Self {
            announcers: self.announcers,
            elsewhere: self.elsewhere.clone(),
            by_others: self.by_others.clone(),
            remote: Vec::new(),
            beside: Vec::new(),
            unattached: sorted(&silent, &unlocated),
            silent,
            unlocated,
            attached,
        })
    }

    /// Returns whether no announcer announces to this switch or to one that this switch does not know.
    pub(crate) fn is_nobodys(&self) -> bool {
        self.announcers as usize == self.elsewhere.len()
    }

    /// Returns whether a node is an announcer that is attached here, whichever switches it announces to.
    fn is_attached(&self, slot: u32) -> bool {
        [&self.attached, &self.elsewhere].iter().any(|slots| slots.binary_search(&slot).is_ok())
    }

    fn is_unattached(&self, slot: u32) -> bool {
        self.unattached.binary_search(&slot).is_ok()
    }

    /// Returns whether a node is an announcer that is not known to be only behind other leaves.
    pub(crate) fn concerns(&self, slot: u32) -> bool {
        self.is_attached(slot) || self.is_unattached(slot)
    }

    /// Returns how many announcers are not among the nodes that next-hops lead to.
    pub(crate) fn absent(&self, places: &Places, reached: &BTreeSet<u32>) -> PlaceCounts {
        let attached = reached.iter().filter(|slot| self.is_attached(**slot)).count();
        let there = places.count(reached.iter().copied().filter(|slot| self.is_unattached(*slot)));
        let all = PlaceCounts {
            attached: self.attached.len() + self.elsewhere.len(),
            silent: self.silent.len(),
            unlocated: self.unlocated.len(),
        };
        all.less(PlaceCounts { attached, ..there })
    }
}

fn sorted(some: &[u32], others: &[u32]) -> Box<[u32]> {
    let mut all: Vec<u32> = some.iter().chain(others).copied().collect();
    all.sort_unstable();
    all.into()
}
