//! The walk: performs one lookup after another, as for a packet.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Branch, Cable, End, EndpointState, Flow, Hop, HostKind, Location, Network, Outcome, Port, Route, Service, Vrf,
};

/// Maximum number of lookups, like a TTL. No path through a fabric needs more.
const LOOKUPS: usize = 16;

/// A branch that has not ended yet.
#[derive(Clone, Debug)]
struct Packet {
    share: f64,
    /// Leaves and VRFs in which it was looked up.
    seen: Vec<(String, String)>,
    /// Whether it came through a tunnel: a bridge never sends it into another one.
    tunneled: bool,
}

impl Packet {
    fn leaf(&self) -> String {
        self.seen.last().map(|(leaf, _)| leaf.clone()).unwrap_or_default()
    }
}

/// The state of a walk: the flow, and the ends found so far.
struct Walk<'a> {
    network: &'a Network,
    flow: Flow<'a>,
    ends: Vec<Branch>,
}

impl Network {
    /// Follows a flow over all branches to its ends.
    pub fn walk(&self, flow: Flow<'_>) -> Outcome {
        let mut walk = Walk { network: self, flow, ends: Vec::new() };
        walk.lookup(flow.leaf, flow.vrf, Packet { share: 1.0, seen: Vec::new(), tunneled: false });
        Outcome(walk.ends)
    }
}

impl<'a> Walk<'a> {
    fn end(&mut self, packet: &Packet, end: End) {
        self.ends.push(Branch { share: packet.share, leaf: packet.leaf(), end });
    }

    /// Looks a packet up in a VRF of a leaf.
    fn lookup(&mut self, leaf: &str, vrf: &str, mut packet: Packet) {
        let place = (leaf.to_owned(), vrf.to_owned());
        if packet.seen.contains(&place) {
            return self.end(&packet, End::Loop(leaf.to_owned()));
        }
        packet.seen.push(place);
        let Some(table) = self.vrf(leaf, vrf) else { return self.end(&packet, End::NoVrf(leaf.to_owned())) };
        let Some((prefix, route)) = longest(table, self.flow.destination) else {
            return self.end(&packet, End::NoRoute(leaf.to_owned()));
        };
        if prefix.prefix_len() == 0 {
            return self.end(&packet, End::DefaultRoute(leaf.to_owned()));
        }
        self.follow((leaf, vrf), route, self.flow.destination, packet, LOOKUPS);
    }

    /// Follows a route that matched `wanted`: the destination, or a next-hop that is being resolved.
    fn follow(&mut self, place: (&str, &str), route: &Route, wanted: IpAddr, packet: Packet, lookups: usize) {
        let leaf = place.0.to_owned();
        if !route.programmed {
            return self.end(&packet, End::NotProgrammed(leaf));
        }
        if route.hops.is_empty() {
            return self.end(&packet, End::Discarded(leaf));
        }
        let share = packet.share / route.hops.len() as f64;
        for hop in &route.hops {
            let packet = Packet { share, ..packet.clone() };
            match hop {
                Hop::Via(address) => self.resolve(place, *address, packet, lookups),
                Hop::ViaIn { vrf, address } => self.resolve((&leaf, vrf), *address, packet, lookups),
                Hop::Neighbor(address) => self.neighbor(place, *address, packet),
                Hop::Connected => self.neighbor(place, wanted, packet),
                Hop::Tunnel { vtep, vrf } => self.tunnel(&leaf, *vtep, vrf, packet),
                Hop::Vrf(other) => self.lookup(&leaf, other, packet),
                Hop::Discard | Hop::Own => self.end(&packet, End::Discarded(leaf.clone())),
            }
        }
    }

    /// Resolves a next-hop by the table. A default route resolves nothing.
    fn resolve(&mut self, place: (&str, &str), address: IpAddr, packet: Packet, lookups: usize) {
        let table = self.vrf(place.0, place.1);
        let found = table.and_then(|table| longest(table, address)).filter(|(prefix, _)| prefix.prefix_len() > 0);
        match found {
            Some((_, route)) if lookups > 0 => self.follow(place, route, address, packet, lookups - 1),
            _ => self.end(&packet, End::Unresolved(address)),
        }
    }

    /// Sends a packet to a neighbor of the leaf.
    fn neighbor(&mut self, place: (&str, &str), address: IpAddr, packet: Packet) {
        let entry = self.vrf(place.0, place.1).and_then(|table| table.neighbors.get(&address));
        match entry.map(|entry| (&entry.port, entry.mac)) {
            Some((Port::Cable(cable), _)) => self.cable(*cable, packet),
            Some((Port::Bridge(bridge), mac)) => self.bridge(place.0, bridge, mac, packet),
            None => self.end(&packet, End::Unresolved(address)),
        }
    }

    /// Switches a frame in a bridge.
    fn bridge(&mut self, leaf: &str, bridge: &str, mac: u64, packet: Packet) {
        let table = self.network.leaves.get(leaf).and_then(|leaf| leaf.bridges.get(bridge));
        match table.and_then(|table| table.macs.get(&mac)) {
            Some(Location::Cable(cable)) => self.cable(*cable, packet),
            Some(Location::Tunnel(_)) if packet.tunneled => self.end(&packet, End::Loop(leaf.to_owned())),
            Some(Location::Tunnel(vtep)) => {
                let ends = self.tunnel_ends(leaf, *vtep);
                let share = packet.share / ends.len() as f64;
                for end in &ends {
                    self.bridge(end, bridge, mac, Packet { share, tunneled: true, ..packet.clone() });
                }
                if ends.is_empty() {
                    self.end(&packet, End::DeadTunnel(*vtep));
                }
            }
            None => self.end(&packet, End::Discarded(leaf.to_owned())),
        }
    }

    /// Sends a routed packet into a tunnel.
    fn tunnel(&mut self, leaf: &str, vtep: IpAddr, vrf: &str, packet: Packet) {
        let ends = self.tunnel_ends(leaf, vtep);
        let share = packet.share / ends.len() as f64;
        for end in &ends {
            self.lookup(end, vrf, Packet { share, ..packet.clone() });
        }
        if ends.is_empty() {
            self.end(&packet, End::DeadTunnel(vtep));
        }
    }

    /// Returns the leaves at which a tunnel from here ends.
    fn tunnel_ends(&self, leaf: &str, vtep: IpAddr) -> Vec<&'a str> {
        if !self.network.leaves.get(leaf).is_some_and(|leaf| leaf.underlay) {
            return Vec::new();
        }
        let ends = self.network.leaves.iter().filter(|(_, leaf)| leaf.underlay && leaf.vteps.contains(&vtep));
        ends.map(|(name, _)| name.as_str()).filter(|name| *name != leaf).collect()
    }

    fn cable(&mut self, cable: usize, packet: Packet) {
        let Cable { up, host } = self.network.cables[cable];
        if up { self.host(host, packet) } else { self.end(&packet, End::DeadCable(host)) }
    }

    fn host(&mut self, host: usize, packet: Packet) {
        let found = &self.network.hosts[host];
        if !found.up {
            return self.end(&packet, End::DeadHost(host));
        }
        match &found.kind {
            HostKind::Node { cluster } => self.node(host, cluster, packet),
            HostKind::Router { routes } => {
                let covering = routes.iter().filter(|(prefix, _)| prefix.contains(&self.flow.destination));
                let next = covering.max_by_key(|(prefix, _)| prefix.prefix_len()).map_or(&[][..], |(_, next)| next);
                let share = packet.share / next.len() as f64;
                for next in next {
                    self.wire(*next, Packet { share, ..packet.clone() });
                }
                if next.is_empty() {
                    self.end(&packet, End::NotServed(host));
                }
            }
            HostKind::Other => self.end(&packet, End::NotServed(host)),
        }
    }

    /// Sends a packet from a router to a host on the same wire.
    fn wire(&mut self, host: usize, packet: Packet) {
        let mut cables = self.network.cables.iter().filter(|cable| cable.host == host);
        if !cables.any(|cable| cable.up) {
            self.end(&packet, End::DeadCable(host));
        } else if matches!(self.network.hosts[host].kind, HostKind::Router { .. }) {
            self.end(&packet, End::NotServed(host));
        } else {
            self.host(host, packet);
        }
    }

    /// Handles a packet by kube-proxy on a node.
    fn node(&mut self, host: usize, cluster: &str, packet: Packet) {
        let services = self.flow.services.iter().map(|service| &self.network.services[*service]);
        let Some(service) = services.into_iter().find(|service| service.cluster == cluster) else {
            return self.end(&packet, End::NotServed(host));
        };
        let backends = backends(service, host);
        if backends.is_empty() {
            return self.end(&packet, End::NoPod(host));
        }
        let share = packet.share / backends.len() as f64;
        for backend in backends {
            let alive = backend.is_none_or(|on| self.network.hosts[on].up);
            let end = if alive { End::Served(host) } else { End::DeadHost(backend.unwrap_or(host)) };
            self.end(&Packet { share, ..packet.clone() }, end);
        }
    }

    fn vrf(&self, leaf: &str, vrf: &str) -> Option<&'a Vrf> {
        self.network.leaves.get(leaf)?.vrfs.get(vrf)
    }
}

/// Returns the hosts of the endpoints over which kube-proxy on a node spreads flows.
fn backends(service: &Service, host: usize) -> Vec<Option<usize>> {
    if service.everywhere {
        return vec![Some(host)];
    }
    let in_state = |state| {
        let reachable = service.endpoints.iter().filter(|endpoint| !service.local || endpoint.host == Some(host));
        reachable.filter(|endpoint| endpoint.state == state).map(|endpoint| endpoint.host).collect::<Vec<_>>()
    };
    let ready = in_state(EndpointState::Ready);
    if ready.is_empty() { in_state(EndpointState::Draining) } else { ready }
}

fn longest(table: &Vrf, address: IpAddr) -> Option<(&IpNet, &Route)> {
    let covering = table.routes.iter().filter(|(prefix, _)| prefix.contains(&address));
    covering.max_by_key(|(prefix, _)| prefix.prefix_len())
}
