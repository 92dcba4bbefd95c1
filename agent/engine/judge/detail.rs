//! Writes `oper-detail` of VIPs and services: a sentence that names addresses, nodes, sessions, prefixes and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use super::evidence::{Evidence, Gate, Hop, Session};
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::engine::facts::switch::STATIC_OWNER;
use crate::model::cluster::IngressUnusable;
use crate::model::names::{NodeName, move_fabric_address};
use crate::model::switch::Unroutable;
use crate::model::time::{Timestamp, at};
use crate::model::verdict::{AddressSource, NextHopKind, Reason};

/// The most names listed before "and N more".
const NAMED: usize = 4;

/// Lists the first few items, and how many more there are.
fn first_n<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let named: Vec<String> = items.by_ref().take(NAMED).map(|item| item.to_string()).collect();
    and_more(&named.join(", "), items.count())
}

fn and_more(named: &str, more: usize) -> String {
    match more {
        0 => named.to_owned(),
        more => format!("{named} and {more} more"),
    }
}

/// Returns the sentence for one VIP, or for a service without one.
pub(crate) fn detail(
    cluster: &Cluster,
    entry: &ServiceEntry,
    evidence: &Evidence,
    reason: Option<Reason>,
    stale_since: Option<Timestamp>,
) -> Option<Arc<str>> {
    let sentence = reason.map(|reason| DetailWriter { cluster, entry, evidence }.reason(reason));
    let stale = stale_since.map(|since| {
        let (name, since) = (&cluster.name, at(since));
        format!("based on data received until {since}: the API of cluster {name} has not been read since")
    });
    match (sentence, stale) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.into()),
        (Some(sentence), Some(stale)) => Some(format!("{sentence}; {stale}").into()),
    }
}

struct DetailWriter<'a> {
    cluster: &'a Cluster,
    entry: &'a ServiceEntry,
    evidence: &'a Evidence,
}

impl DetailWriter<'_> {
    fn reason(&self, reason: Reason) -> String {
        let evidence = self.evidence;
        let instance = &self.cluster.config.rules.network_instance;
        match reason {
            Reason::Syncing => match &evidence.gate {
                Gate::Syncing(what) => format!("waiting for {what}"),
                _ => match &evidence.awaited {
                    Some(other) => format!(
                        "waiting for the first listing of cluster {other}, which shares this address: {} may be its nodes",
                        first_n(evidence.installed().filter(|hop| hop.is_unexplained()).map(|hop| hop.address))
                    ),
                    None => "waiting for the first sync".into(),
                },
            },
            Reason::SwitchStale => match &evidence.gate {
                Gate::SwitchStale(since) => {
                    format!(
                        "the switch's own tables (NDK) have not been read since {}: verdicts are unknown until they are back",
                        at(*since)
                    )
                }
                _ => "the switch's own tables (NDK) cannot be read".into(),
            },
            Reason::NetworkInstanceMissing => {
                let unroutable = match &evidence.gate {
                    Gate::InstanceMissing(unroutable) => unroutable,
                    Gate::Open | Gate::Syncing(_) | Gate::SwitchStale(_) => &Unroutable::Absent,
                };
                format!("{}: {}", unroutable.sentence(instance), unroutable.remedy(&self.cluster.name))
            }
            Reason::AddressPending => self.pending(),
            Reason::IntentStale => self.intent_stale(),
            Reason::NoReadyEndpoint => self.no_endpoint(),
            Reason::NoAnnouncer if evidence.followed => format!("{}{}", self.no_announcer(), self.covering()),
            Reason::NoAnnouncer => self.no_announcer(),
            Reason::WrongNetworkInstance => self.elsewhere(),
            Reason::SessionDown if evidence.route.is_none() => {
                format!("no route in {instance}; {}{}", self.sessions(), self.covering())
            }
            Reason::SessionDown if evidence.absent().next().is_none() => self.kept(),
            Reason::SessionDown => {
                let (sessions, present, expected) = (self.sessions(), self.present(), self.expected());
                let (instead, strangers) = (self.instead(), self.strangers());
                format!("{sessions}; {present} of {expected} expected next-hops installed{instead}{strangers}")
            }
            Reason::NoRoute => self.no_route(),
            Reason::RouteNotProgrammed => {
                format!("{} is in the route table of {instance}, but programming it into the FIB failed", self.prefix())
            }
            Reason::NextHopUnexpected => self.unexpected(),
            Reason::AddressConflict if evidence.contested.is_some() => self.contested(),
            Reason::AddressConflict => {
                let other = evidence.conflict.as_deref().unwrap_or("another cluster");
                let strangers = self.strangers();
                format!(
                    "cluster {other} claims the same address in {instance}: change one, or allow it with shared-with{strangers}"
                )
            }
            Reason::LocalPathUnused => self.local_path(),
            Reason::EcmpLimited => format!(
                "{} of {} next-hops installed, as many as ecmp-limit allows; not used: {}{}",
                self.present(),
                self.expected(),
                self.absent(),
                self.strangers()
            ),
            Reason::NextHopMissing => {
                let (present, expected, prefix) = (self.present(), self.expected(), self.prefix());
                let (absent, strangers) = (self.absent(), self.strangers());
                format!("{present} of {expected} next-hops installed in {prefix}; missing: {absent}{strangers}")
            }
            Reason::NextHopUnmapped => self.unmapped(),
            Reason::ArpUnresolved => {
                format!("neither an ARP/ND entry nor a host route in {instance}: nobody has asked for it here yet")
            }
            Reason::CoveredByAggregate => {
                let told =
                    format!("no host route in {instance}; reached by {} via {}", self.prefix(), self.installed());
                match evidence.aggregate.filter(|prefix| evidence.route.as_ref().is_some_and(|r| r.prefix == *prefix)) {
                    Some(_) => format!("{told}, the prefix it is announced as"),
                    None => told,
                }
            }
        }
    }

    fn pending(&self) -> String {
        match &self.entry.service.ingress_unusable {
            Some(IngressUnusable::HostName(name)) => {
                format!("status.loadBalancer holds only the host name {name}, no address to follow")
            }
            Some(IngressUnusable::Proxy(address)) => {
                format!("status.loadBalancer holds {address} with ipMode Proxy: a proxy's address, not the service's")
            }
            Some(IngressUnusable::NotAnAddress(text)) => {
                format!("status.loadBalancer holds {text:?}, which is not an address")
            }
            None => "status.loadBalancer has no address yet: look at the address pools of the cluster".into(),
        }
    }

    fn intent_stale(&self) -> String {
        let name = &self.cluster.name;
        let since = self.evidence.intent_stale.map(at).unwrap_or_default();
        format!(
            "cluster {name} has not been heard since {since} and the route has changed since: with policy Local, pods may \
             have moved along; restore access to its API"
        )
    }

    fn no_endpoint(&self) -> String {
        let endpoints = &self.evidence.endpoints;
        let all = self.entry.endpoints.all().total;
        let total = match (endpoints.total, self.evidence.vip) {
            (0, Some(vip)) if all > 0 => {
                let (family, other) = if vip.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
                format!("the service has no {family} endpoints ({all} {other})")
            }
            (0, _) => "the service has no endpoints".to_owned(),
            (total, _) => format!("none of {total} endpoints is usable"),
        };
        if self.evidence.global {
            return format!("{total} in this cluster; those of the other clusters of the mesh are not known here");
        }
        if !self.evidence.is_unserved() {
            return format!("{total}; flows are served by another cluster, which shares the address");
        }
        match &self.evidence.route {
            Some(route) => format!("{total}, yet {} is still installed", route.prefix),
            None => total,
        }
    }

    fn no_announcer(&self) -> String {
        let cluster = self.cluster;
        let excluded = self.excluded();
        let all_excluded = cluster.nodes.iter().all(|(_, node)| node.excluded.is_some());
        if all_excluded && !excluded.is_empty() {
            return format!("every node is kept from announcing: {}", excluded.join("; "));
        }
        if let Some(silence) = &self.evidence.silence {
            return silence.to_string();
        }
        let usable = self.evidence.endpoints.usable;
        if cluster.nodes.len() == 0 {
            return "the cluster has no nodes".into();
        }
        if self.evidence.local_policy && self.evidence.endpoints.announced_for == 0 {
            return format!(
                "policy Local, and the speaker announces none of {usable} endpoints, which are terminating"
            );
        }
        if self.evidence.local_policy && self.evidence.endpoints.nameless == usable {
            return format!("policy Local, and none of {usable} usable endpoints names a node");
        }
        match excluded.is_empty() {
            true => format!("policy Local, and no known node holds one of {usable} usable endpoints"),
            false => format!("every node that could announce is excluded: {}", excluded.join("; ")),
        }
    }

    /// Lists how many nodes may not announce, by cause, with the first few names.
    fn excluded(&self) -> Vec<String> {
        let mut causes: BTreeMap<&str, (usize, BTreeSet<&NodeName>)> = BTreeMap::new();
        for (_, node) in self.cluster.nodes.iter() {
            let Some(cause) = node.excluded else { continue };
            let (count, first) = causes.entry(cause).or_default();
            *count += 1;
            first.insert(&node.name);
            if first.len() > NAMED {
                first.pop_last();
            }
        }
        let told = |(cause, (count, first)): (&&str, &(usize, BTreeSet<&NodeName>))| {
            format!("{} by {cause}", and_more(&first_n(first), count - first.len()))
        };
        causes.iter().map(told).collect()
    }

    fn elsewhere(&self) -> String {
        let instance = &self.cluster.config.rules.network_instance;
        match &self.evidence.elsewhere {
            Some((other, prefix)) => format!(
                "no route in {instance}, but {prefix} is in {other}: correct network-instance of cluster {}, or the neighbor's",
                self.cluster.name
            ),
            None => format!("no route in {instance}"),
        }
    }

    fn sessions(&self) -> String {
        let down = self.evidence.absent().filter(|hop| hop.session.is_down());
        let down: Vec<String> = down.map(|hop| format!("{}{}", node_at(hop), session(hop))).collect();
        let noun = if down.len() == 1 { "session" } else { "sessions" };
        format!("BGP {noun} down: {}", first_n(down))
    }

    /// Describes installed next-hops of which nothing shows that they are alive.
    fn kept(&self) -> String {
        let hops = || self.evidence.installed().filter(|hop| hop.doubtful);
        let kept = first_n(hops().map(|hop| format!("{}{}", node_at(hop), session(hop))));
        if !hops().any(|hop| hop.session.is_down()) {
            return format!(
                "whether {kept} is alive is not known here: gNMI does not say whether its BGP session is up, and no host route \
                 shows it"
            );
        }
        format!(
            "{} is kept without the BGP session that brought it (graceful restart), and no host route here shows that \
             the node is alive: {kept}",
            self.prefix()
        )
    }

    /// Says where the route leads if it uses no expected next-hop.
    fn instead(&self) -> String {
        match self.present() {
            0 => format!("; {} goes to {} instead", self.prefix(), self.installed()),
            _ => String::new(),
        }
    }

    fn no_route(&self) -> String {
        let evidence = self.evidence;
        let instance = &self.cluster.config.rules.network_instance;
        let expected = match evidence.expectation.announcers {
            1 => "1 node should announce it".to_owned(),
            many => format!("{many} nodes should announce it"),
        };
        let expected = match evidence.aggregate {
            Some(prefix) => format!("{expected} as {prefix}"),
            None => expected,
        };
        let hops: Vec<String> = evidence.expected().map(|hop| format!("{}{}", node_at(hop), session(hop))).collect();
        let hops = match hops.len() {
            0 => String::new(),
            all if all == evidence.expectation.announcers as usize => format!(": {}", first_n(hops)),
            // A leaf with nodes of its own expects none of those behind other leaves.
            _ => format!("; expected here: {}", first_n(hops)),
        };
        format!("no route in {instance}; {expected}{hops}{}{}", self.covering(), self.unlocated())
    }

    /// Names the covering prefix that does not count as the VIP's route, and why.
    fn covering(&self) -> String {
        let Some(matched) = &self.evidence.unserving else { return String::new() };
        let (prefix, hops) = (matched.prefix, first_n(matched.hops.iter()));
        if matched.is_connected() {
            return match matched.is_host() {
                true => format!("; something answers ARP or ND for {prefix} here, which is not an announcement by BGP"),
                false => format!("; it lies in {prefix}, a subnet of this switch, and nobody announces it"),
            };
        }
        match matched.hops.is_empty() {
            true => format!("; {prefix} covers it, but discards"),
            false if self.evidence.followed => format!(
                "; flows follow {prefix} to {hops}, which is not announced for this VIP: whether they arrive is not known here"
            ),
            false => format!("; {prefix} covers it, but leads to {hops}, which does not serve it"),
        }
    }

    /// Lists announcers that are not located here, and what to do.
    fn unlocated(&self) -> String {
        let expectation = &self.evidence.expectation;
        let named = |slots: &[u32]| first_n(slots.iter().filter_map(|slot| self.cluster.node_name(*slot)));
        let mut told = String::new();
        if !expectation.silent.is_empty() {
            let names = named(&expectation.silent);
            told = format!("; here by ARP or ND, without a BGP neighbor: {names} (configure the neighbor)");
        }
        if expectation.unlocated.is_empty() {
            return told;
        }
        let configured = |slot: &u32| {
            let node = self.cluster.nodes.get(*slot);
            node.is_some_and(|node| {
                node.location.candidates.iter().any(|(_, source)| *source == AddressSource::Configured)
            })
        };
        let names = named(&expectation.unlocated);
        if !expectation.unlocated.iter().all(configured) {
            let advice = match &*self.cluster.vacant_names() {
                [] => "check EVPN, or set fabric-address of the node".into(),
                vacant => move_fabric_address(vacant),
            };
            return format!(
                "{told}; not located here, neither as BGP neighbor nor by an EVPN host route: {names} ({advice})"
            );
        }
        match expectation.unlocated.len() {
            // If no announcer at all is located, their addresses are hardly the cause.
            all if all > 1 && all == expectation.announcers as usize => format!(
                "{told}; none of {names} is located here, neither as BGP neighbor nor by an EVPN host route: check EVPN \
                 first"
            ),
            _ => format!(
                "{told}; not located here, neither as BGP neighbor nor by an EVPN host route: {names} (check EVPN, and the \
                 fabric-address that is set)"
            ),
        }
    }

    /// Lists other installed next-hops that do not serve, to add to a sentence.
    fn strangers(&self) -> String {
        let lost: Vec<String> =
            self.evidence.installed().filter(|hop| hop.is_lost()).map(|hop| self.stranger(hop)).collect();
        match lost.is_empty() {
            true => String::new(),
            false => format!("; also installed, and reaching no usable endpoint: {}", first_n(lost)),
        }
    }

    fn stranger(&self, hop: &Hop) -> String {
        match (&hop.foreign, hop.kind) {
            (Some(foreign), _) => format!("{} ({foreign})", hop.address),
            (None, NextHopKind::Unmapped) => self.unknown(hop),
            (None, NextHopKind::L2) if hop.node.is_none() => {
                format!("{} answers ARP or ND with a MAC that no node has", hop.address)
            }
            (None, NextHopKind::Vtep) if hop.usable.is_none() => {
                format!("VTEP {} (no known node behind it)", hop.address)
            }
            (None, _) => format!("{} without a usable endpoint", node_at(hop)),
        }
    }

    /// Describes a next-hop that is not known as a node's.
    fn unknown(&self, hop: &Hop) -> String {
        let address = hop.address;
        match self.cluster.vacant_at(address) {
            Some(name) => format!("{address} (fabric-address of {name}, which the cluster does not have)"),
            None => format!("{address} (no known node)"),
        }
    }

    /// Describes that two hosts answer ARP or ND for the VIP.
    fn contested(&self) -> String {
        let address = self.evidence.installed().map(|hop| hop.address).next();
        let vip = address.or(self.evidence.vip).map(|vip| vip.to_string()).unwrap_or_default();
        let hosts = self.evidence.contested.as_deref().unwrap_or("two hosts");
        format!(
            "two answer ARP or ND for {vip}: its entry on this switch went from one MAC to another and back within a minute; \
             they are {hosts}"
        )
    }

    fn unexpected(&self) -> String {
        if let Some(elected) = &self.evidence.misplaced {
            return format!(
                "{} answers ARP or ND here, and the speaker has elected {elected}: the entry of this switch is stale, or both \
                 believe they hold the address",
                self.installed()
            );
        }
        let wrong: Vec<&Hop> = self.evidence.installed().filter(|hop| hop.is_lost()).collect();
        let prefix = self.prefix();
        if wrong.is_empty() {
            return format!("{prefix} has no next-hop: what it attracts is discarded");
        }
        let told = first_n(wrong.iter().map(|hop| self.stranger(hop)));
        if self.evidence.route.as_ref().is_some_and(|route| route.view.owner.as_deref() == Some(STATIC_OWNER)) {
            return format!(
                "static route {prefix} on this switch leads to {told}: remove it, or point it at the cluster"
            );
        }
        let hint = self.hint(&wrong);
        match wrong.len() == self.evidence.installed().count() {
            true => format!("no next-hop of {prefix} reaches a usable endpoint: {told}{hint}"),
            false => {
                let (wrong, all) = (wrong.len(), self.evidence.installed().count());
                let (reach, flows) = if wrong == 1 { ("reaches", "its flows") } else { ("reach", "their flows") };
                format!(
                    "{wrong} of {all} next-hops of {prefix} {reach} no usable endpoint, a black hole for {flows}: {told}{hint}"
                )
            }
        }
    }

    /// Says what to do about next-hops that do not serve, if anything can be done.
    fn hint(&self, wrong: &[&Hop]) -> String {
        let foreign = wrong.iter().any(|hop| hop.foreign.is_some());
        match &self.evidence.conflict {
            Some(other) if foreign => {
                return format!("; cluster {other} claims the same address: change one, or allow it with shared-with");
            }
            _ => {}
        }
        // If a second speaker runs on the nodes (a network plugin's), they may be located by an address of that one,
        // which announces no VIPs: fabric-address names the right address.
        let mut unknown =
            wrong.iter().filter(|hop| hop.kind == NextHopKind::Unmapped && hop.foreign.is_none()).peekable();
        match unknown.peek().is_some() {
            true if unknown.all(|hop| self.cluster.vacant_at(hop.address).is_some()) => {
                "; if it was renamed, set its fabric-address for the new name instead; otherwise withdraw the route where it \
                 is announced"
                    .into()
            }
            true => {
                "; if a node announces from there, set its fabric-address; if a router there leads to the cluster, set \
                     transit-address; otherwise withdraw the route where it is announced"
                    .into()
            }
            false if self.evidence.local_policy => {
                "; under policy Local, nodes without a usable endpoint should not announce it: look at their speakers"
                    .into()
            }
            false => String::new(),
        }
    }

    fn local_path(&self) -> String {
        let owner =
            self.evidence.route.as_ref().and_then(|route| route.view.owner.as_deref()).unwrap_or("unknown owner");
        format!(
            "{} ({owner}) goes to {}, and uses none of the nodes attached here: {}{}",
            self.prefix(),
            self.installed(),
            self.absent(),
            self.strangers()
        )
    }

    fn unmapped(&self) -> String {
        if let Some(hop) = self.evidence.installed().find(|hop| hop.kind == NextHopKind::L2) {
            return match (&hop.node, hop.doubtful) {
                (Some(node), _) => format!(
                    "{} has the MAC of {node} in this switch's ARP/ND table, and whether that node is alive is not known here",
                    hop.address
                ),
                (None, true) => format!(
                    "{} answers ARP or ND here with a MAC that no node is known to have, and not every node's is known",
                    hop.address
                ),
                (None, false) => {
                    format!(
                        "{} answers ARP or ND here; the node is not known because the switch does not report its MAC",
                        hop.address
                    )
                }
            };
        }
        if self.evidence.unsure {
            return format!(
                "no host route; {} leads to {} and may be a prefix of the fabric: nothing here says what the speaker \
                 announces; set vip-pool of cluster {}",
                self.prefix(),
                self.installed(),
                self.cluster.name
            );
        }
        let may = self.evidence.installed().filter(|hop| hop.may_serve || hop.doubtful);
        let told = first_n(may.map(|hop| match hop.kind {
            NextHopKind::Transit => format!("{} (transit)", hop.address),
            NextHopKind::Vtep => format!("VTEP {}", hop.address),
            _ if self.cluster.vacant_at(hop.address).is_some() => self.unknown(hop),
            _ => hop.address.to_string(),
        }));
        format!("no known node explains next-hop {told}{}", self.unlocated())
    }

    fn prefix(&self) -> String {
        self.evidence.route.as_ref().map_or_else(|| "the route".into(), |route| route.prefix.to_string())
    }

    fn installed(&self) -> String {
        first_n(self.evidence.installed().map(node_at))
    }

    fn absent(&self) -> String {
        first_n(self.evidence.absent().map(node_at))
    }

    fn present(&self) -> usize {
        self.evidence.expected().filter(|hop| hop.installed).count()
    }

    fn expected(&self) -> usize {
        self.evidence.expected().count()
    }
}

fn node_at(hop: &Hop) -> String {
    match (&hop.node, hop.kind) {
        (Some(node), NextHopKind::Vtep) => format!("VTEP {} ({node})", hop.address),
        (None, NextHopKind::Vtep) => format!("VTEP {}", hop.address),
        (None, NextHopKind::Transit) => format!("transit {}", hop.address),
        (Some(node), _) => format!("{} ({node})", hop.address),
        (None, _) => hop.address.to_string(),
    }
}

fn session(hop: &Hop) -> String {
    match hop.session {
        Session::Unknown => String::new(),
        Session::Established => " in state established".into(),
        Session::Down(Some(state)) => format!(" in state {}", state.as_str()),
        Session::Down(None) => " gone".into(),
    }
}
