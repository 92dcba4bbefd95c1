//! The verdict table.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use srl_k8s_services::model::config::Speaker;
use srl_k8s_services::model::event::Crowded;
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::verdict::{FibStatus, NextHopKind, OperState, Reason};

use super::next_hops::Flow;
use super::routes::{Found, Standing};
use super::services::Subject;
use super::{Cluster, Oracle, share};

impl<'a> Oracle<'a> {
    /// Rows 1 to 3: returns the verdict if something that every verdict needs is missing.
    pub(super) fn blind(&self, cluster: Cluster<'_>) -> Option<(OperState, Option<Reason>)> {
        if self.syncing(cluster) {
            Some((OperState::Unknown, Some(Reason::Syncing)))
        } else if self.switch_stale() {
            Some((OperState::Unknown, Some(Reason::SwitchStale)))
        } else if !self.world.forwards(&cluster.config.rules.network_instance) {
            Some((OperState::Unknown, Some(Reason::NetworkInstanceMissing)))
        } else {
            None
        }
    }

    /// Row 1: returns whether not all endpoints of the VIP are read, of the cluster or of one that shares the VIP. The
    /// services that count are those that decide who announces the VIP.
    pub(super) fn crowded(&self, cluster: Cluster<'a>, vip: IpAddr) -> bool {
        let of = |cluster: Cluster<'a>| {
            let carriers: Vec<Subject<'a>> = self.subjects(cluster).filter(|subject| subject.vip == vip).collect();
            let assigned = |it: &Subject<'a>| it.service.load_balancer && it.service.ingress.contains(&vip);
            let of_balancer = carriers.iter().any(assigned);
            let namespaces = cluster.world.crowded.get(&Crowded::EndpointSlices);
            carriers
                .into_iter()
                .filter(|it| assigned(it) || !of_balancer)
                .any(|subject| namespaces.is_some_and(|namespaces| namespaces.contains(&subject.key.namespace)))
        };
        of(cluster) || self.neighbors_of(cluster).any(|other| share(cluster, other) && of(other))
    }

    /// Row 3: returns whether the cluster's network instance does not exist on this switch, or is down.
    pub(super) fn instance_missing(&self, cluster: Cluster<'_>) -> bool {
        self.blind(cluster) == Some((OperState::Unknown, Some(Reason::NetworkInstanceMissing)))
    }

    /// The verdict table. The first match wins.
    pub(super) fn judge(&self, subject: Subject<'a>, found: Option<&(Found, Standing)>) -> (OperState, Option<Reason>) {
        use OperState::{Degraded, Down, Unknown, Up};
        let Subject { cluster, vip, .. } = subject;
        // 1, 2, 3
        if let Some(verdict) = self.blind(cluster) {
            return verdict;
        }
        if self.crowded(cluster, vip) {
            return (Unknown, Some(Reason::Syncing));
        }
        // Row 4 is about the service itself.
        // Pods may have moved together with a route that changed since the cluster was last heard.
        if self.served_locally(cluster, subject.service) && self.turned_unheard(subject) {
            return (Unknown, Some(Reason::IntentStale));
        }
        let own = found.filter(|(_, standing)| *standing != Standing::Other);
        let route = own.map(|(found, _)| found);
        let shown =
            if self.is_l2(subject, found) { found.map(|(found, _)| found).filter(|it| it.is_l2()) } else { route };
        // 5, unless another cluster that shares the VIP serves it.
        let l2 = self.is_l2(subject, found);
        let unserved = self.usable_endpoints(subject).is_empty();
        let by_others = match l2 {
            true => found.is_some_and(|(found, _)| found.answers() && self.partner_answers(subject)),
            false => route.is_some_and(|route| self.flows(subject, route).values().any(|flow| *flow != Flow::Lost)),
        };
        if unserved && !by_others {
            let global = cluster.config.source.speaker == Speaker::Cilium && subject.service.hints.cilium_global;
            return match shown {
                _ if !global => (Down, Some(Reason::NoReadyEndpoint)),
                Some(_) => (Unknown, Some(Reason::NoReadyEndpoint)),
                None => (Down, Some(Reason::NoRoute)),
            };
        }
        if self.is_l2(subject, found) {
            return self.judge_l2(subject, found.map(|(found, _)| found));
        }
        let announcers = self.announcers(cluster, vip);
        let installed = route.map(|route| route.next_hops.clone()).unwrap_or_default();
        let expected = self.expected(subject, route);
        let attached = !self.attached_announcers(cluster, vip, &installed).is_empty();
        let down = |address: &IpAddr| self.next_hop_down(cluster, vip, *address);
        let Some(route) = route else {
            // Flows that follow another prefix may arrive.
            let missing = match found {
                Some((other, _)) if self.leads_on(subject, other) => Degraded,
                _ => Down,
            };
            // 6
            if announcers.is_subset(&self.passing_by(cluster, vip)) {
                return (missing, Some(Reason::NoAnnouncer));
            }
            // 7
            if self.stands_elsewhere(subject) {
                return (missing, Some(Reason::WrongNetworkInstance));
            }
            // 8
            if attached && expected.iter().all(down) {
                return (missing, Some(Reason::SessionDown));
            }
            // 9
            return (missing, Some(Reason::NoRoute));
        };
        // 10
        if route.view.fib == FibStatus::Failed {
            return (Down, Some(Reason::RouteNotProgrammed));
        }
        let flows = self.flows(subject, route);
        // An unexplained next-hop may be a node of a cluster that shares VIPs and was never read.
        let unread = self.neighbors_of(cluster).any(|other| share(cluster, other) && !self.kubernetes_synced(other));
        let strange = |hop: &IpAddr| {
            self.nodes_behind(cluster, *hop).is_empty() && self.flow_into_other_cluster(subject, *hop).is_none()
        };
        if unread && flows.iter().any(|(hop, flow)| *flow == Flow::Lost && strange(hop)) {
            return (Unknown, Some(Reason::Syncing));
        }
        // 11
        if flows.values().all(|flow| *flow == Flow::Lost) {
            return (Down, Some(Reason::NextHopUnexpected));
        }
        // 12
        if self.neighbors_of(cluster).any(|other| self.conflict(cluster, other, vip, &installed)) {
            return (Degraded, Some(Reason::AddressConflict));
        }
        // It is not known whether the route belongs to the VIP.
        if own.is_some_and(|(_, standing)| *standing == Standing::Unsure) {
            return (Unknown, Some(Reason::NextHopUnmapped));
        }
        let absent: BTreeSet<IpAddr> = expected.difference(&route.next_hops).copied().collect();
        if !absent.is_empty() {
            // 13
            if absent.iter().any(down) {
                return (Degraded, Some(Reason::SessionDown));
            }
            // 14
            let leaf = |next_hop: &IpAddr| self.kind(cluster, *next_hop, route.is_evpn()) == NextHopKind::Vtep;
            if attached && absent == expected && (route.is_evpn() || installed.iter().any(leaf)) {
                return (Degraded, Some(Reason::LocalPathUnused));
            }
            // 15
            if self.at_limit(cluster, route) {
                return (Degraded, Some(Reason::EcmpLimited));
            }
            // 16
            return (Degraded, Some(Reason::NextHopMissing));
        }
        // 17
        if flows.values().any(|flow| *flow == Flow::Lost) {
            return (Degraded, Some(Reason::NextHopUnexpected));
        }
        // A route that is only kept, by a node that may be dead.
        let unproven = flows.keys().any(|hop| flows[hop] != Flow::Lost && self.unproven(subject, route, *hop));
        let written = route.view.owner.as_deref() == Some("static_route_mgr");
        if !written && flows.iter().any(|(hop, flow)| *flow == Flow::Serves && self.doubtful(subject, *hop)) {
            return (Unknown, Some(Reason::SessionDown));
        }
        // 18, 19
        let may = flows.values().any(|flow| *flow == Flow::MayServe);
        if unproven || may && (unserved || self.served_locally(cluster, subject.service)) {
            return (Unknown, Some(Reason::NextHopUnmapped));
        }
        if unserved {
            return (Up, Some(Reason::NoReadyEndpoint));
        }
        if may {
            return (Up, Some(Reason::NextHopUnmapped));
        }
        // 20
        if route.prefix != IpNet::from(vip) {
            return (Up, Some(Reason::CoveredByAggregate));
        }
        // 21
        (Up, None)
    }

    /// Returns whether the cluster is unreachable and the VIP's next-hops differ from those when it was last heard.
    fn turned_unheard(&self, subject: Subject<'a>) -> bool {
        let source = self.world.source_of(&SourceId::Kubernetes(subject.cluster.name.clone()));
        let history = self.world.courses.get(&(subject.cluster.name.clone(), subject.vip));
        let turned = |heard: Duration| history.is_some_and(|it| it.since > heard && it.now != it.at_hearing);
        source.lost_since.is_some() && source.heard.is_some_and(turned)
    }

    /// Returns whether another cluster claims the VIP and the conflict is this cluster's: both have the VIP in a status
    /// and the route goes to both or neither, or only the other one has it.
    pub(super) fn conflict(
        &self,
        cluster: Cluster<'a>,
        other: Cluster<'a>,
        vip: IpAddr,
        installed: &BTreeSet<IpAddr>,
    ) -> bool {
        let claims = |of: Cluster<'a>| self.subjects(of).any(|theirs| theirs.vip == vip);
        if share(cluster, other) || !claims(other) || !self.kubernetes_synced(other) {
            return false;
        }
        let assigned = |of: Cluster<'a>| {
            let mut subjects = self.subjects(of).filter(|theirs| theirs.vip == vip);
            subjects.any(|theirs| theirs.service.load_balancer && theirs.service.ingress.contains(&vip))
        };
        let reached = |of: Cluster<'a>| installed.iter().any(|hop| !self.nodes_behind(of, *hop).is_empty());
        match (assigned(cluster), assigned(other)) {
            (true, false) => false,
            (false, true) => true,
            _ => reached(other) || !reached(cluster),
        }
    }

    pub(super) fn at_limit(&self, cluster: Cluster<'_>, route: &Found) -> bool {
        cluster.config.rules.ecmp_limit.is_some_and(|limit| route.next_hops.len() == usize::from(limit))
    }
}
