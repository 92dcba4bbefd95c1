//! Works out the verdict that a VIP would have without a session, a node or a port, by the same table.
//!
//! The NDK reports only the route in use. If all of its next-hops would be lost, the replacement is what this leaf
//! expects of others: routes of the leaves that remote announcers are behind. A wider prefix does not count, since it
//! is not the VIP's.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::evidence::{Evidence, Gate, Hop, Matched, Session, World};
use super::explain::{link, neighbor};
use super::gather::next_hops;
use super::next_hops::NextHops;
use super::verdict::judge;
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::switch::EVPN_OWNER;
use crate::model::inquiry::AddressKey;
use crate::model::verdict::{Announcement, FibStatus, NextHopKind, OperState};
use crate::model::view::{RouteView, VipView, Without};

/// An installed next-hop here, and what it depends on.
struct Way {
    /// Its index among the next-hops.
    place: usize,
    session: IpAddr,
    node: u32,
    port: Option<Arc<str>>,
}

/// Adds to a VIP's view the state it would have without each of its next-hops here.
pub(crate) fn foretell(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &ServiceEntry,
    evidence: Evidence,
    view: &mut VipView,
) {
    let Some(vip) = evidence.vip else { return };
    if evidence.gate != Gate::Open || evidence.announcement != Some(Announcement::Bgp) {
        return;
    }
    let ways = ways(world, cluster, &evidence, view);
    let judge = next_hops(world, cluster, entry, vip);
    let mut foresight = Foresight { judge, vip, evidence, alike: Vec::new() };
    for way in &ways {
        let sharing = |same: &dyn Fn(&Way) -> bool| -> Vec<usize> {
            ways.iter().filter(|other| same(other)).map(|other| other.place).collect()
        };
        let session = sharing(&|other| other.session == way.session);
        let node = sharing(&|other| other.session == way.session || other.node == way.node);
        let port = sharing(&|other| node.contains(&other.place) || way.port.is_some() && other.port == way.port);
        view.next_hops[way.place].without = Without {
            session: Some(foresight.state_without(&session)),
            node: (node.len() > session.len()).then(|| foresight.state_without(&node)),
            port: (port.len() > node.len()).then(|| foresight.state_without(&port)),
        };
    }
}

fn ways(world: &World<'_>, cluster: &Cluster, evidence: &Evidence, view: &VipView) -> Vec<Way> {
    let instance = &cluster.config.rules.network_instance;
    let port = |session: IpAddr| {
        let key = || AddressKey { network_instance: instance.clone(), address: link(world, cluster, session) };
        let place = world.inquiries.has_shared_ports().then(|| world.inquiries.place(&key()))?;
        place?.port.clone()
    };
    let here = evidence.hops.iter().zip(&view.next_hops).enumerate();
    let here = here.filter(|(_, (hop, _))| hop.installed && hop.kind == NextHopKind::Local && hop.foreign.is_none());
    here.filter_map(|(place, (hop, row))| {
        let node = *cluster.at_address(hop.address).first()?;
        let session = neighbor(world, cluster, row)?;
        Some(Way { place, session, node, port: port(session) })
    })
    .collect()
}

struct Foresight<'a> {
    judge: NextHops<'a>,
    vip: IpAddr,
    evidence: Evidence,
    /// States that are already known, by kind of next-hop: the loss of another next-hop of the same kind leads to the
    /// same state.
    alike: Vec<((bool, bool, bool, Session), OperState)>,
}

impl Foresight<'_> {
    fn state_without(&mut self, lost: &[usize]) -> OperState {
        let [one] = lost else { return self.judged_without(lost) };
        let hop = &self.evidence.hops[*one];
        let kind = (hop.expected, hop.serves, hop.may_serve, hop.session);
        if let Some((_, state)) = self.alike.iter().find(|(known, _)| *known == kind) {
            return *state;
        }
        let state = self.judged_without(lost);
        self.alike.push((kind, state));
        state
    }

    fn judged_without(&mut self, lost: &[usize]) -> OperState {
        let hops = &mut self.evidence.hops;
        let before: Vec<_> = lost.iter().map(|place| (*place, hops[*place].installed, hops[*place].session)).collect();
        for place in lost {
            (hops[*place].installed, hops[*place].session) = (false, Session::Down(None));
        }
        let others = self.evidence.installed().next().is_some();
        let state = if others { judge(&self.evidence).0 } else { self.judged_otherwise() };
        for (place, installed, session) in before {
            (self.evidence.hops[place].installed, self.evidence.hops[place].session) = (installed, session);
        }
        state
    }

    /// Returns the state without the route, by what replaces it: the leaves that have announcers advertise the VIP,
    /// too.
    fn judged_otherwise(&mut self) -> OperState {
        let (count, unsure) = (self.evidence.hops.len(), std::mem::take(&mut self.evidence.unsure));
        let route = self.evidence.route.take();
        let leaves = self.evidence.expectation.beside.iter();
        let hops: Vec<Hop> = leaves.map(|leaf| Hop { installed: true, ..self.judge.hop(*leaf, true) }).collect();
        if !hops.is_empty() {
            self.evidence.hops.extend(hops);
            self.evidence.route = Some(evpn_route(self.vip));
        }
        let state = judge(&self.evidence).0;
        self.evidence.hops.truncate(count);
        (self.evidence.route, self.evidence.unsure) = (route, unsure);
        state
    }
}

fn evpn_route(vip: IpAddr) -> Matched {
    let view = RouteView { owner: Some(EVPN_OWNER.into()), preference: 0, metric: 0, fib: FibStatus::Programmed };
    Matched { prefix: IpNet::from(vip), hops: Arc::default(), view }
}
