//! The verdict table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use srl_k8s_services::model::cluster::TrafficPolicy;
use srl_k8s_services::model::verdict::{FibStatus, NextHopKind, OperState, Reason};

use super::next_hops::Flow;
use super::routes::Found;
use super::services::Subject;
use super::{Cluster, Oracle, share};

impl<'a> Oracle<'a> {
    /// Rows 1 to 3: what no verdict can be given without.
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

    /// Row 3: the cluster's network instance does not exist on this switch, or is down.
    pub(super) fn instance_missing(&self, cluster: Cluster<'_>) -> bool {
        self.blind(cluster) == Some((OperState::Unknown, Some(Reason::NetworkInstanceMissing)))
    }

    /// The verdict table, first match wins.
    pub(super) fn judge(&self, subject: Subject<'a>, route: Option<&Found>) -> (OperState, Option<Reason>) {
        use OperState::{Degraded, Down, Unknown, Up};
        let Subject { cluster, vip, .. } = subject;
        // 1, 2, 3
        if let Some(verdict) = self.blind(cluster) {
            return verdict;
        }
        // 4 is the service's own
        // 5
        if self.usable_endpoints(subject).is_empty() {
            return (Down, Some(Reason::NoReadyEndpoint));
        }
        let announcers = self.announcers(cluster, vip);
        let installed = route.map(|route| route.next_hops.clone()).unwrap_or_default();
        let expected = self.expected(subject, &installed);
        let attached = self.any_attached(cluster, vip, &installed);
        let down = |address: &IpAddr| self.next_hop_down(cluster, *address);
        let Some(route) = route else {
            // 6
            if announcers.is_empty() {
                return (Down, Some(Reason::NoAnnouncer));
            }
            // 7
            if self.stands_elsewhere(subject) {
                return (Down, Some(Reason::WrongNetworkInstance));
            }
            // 8
            if attached && expected.iter().all(down) {
                return (Down, Some(Reason::SessionDown));
            }
            // 9
            return (Down, Some(Reason::NoRoute));
        };
        // 10
        if route.view.fib == FibStatus::Failed {
            return (Down, Some(Reason::RouteNotProgrammed));
        }
        // 11
        let flows: Vec<Flow> =
            route.next_hops.iter().map(|next_hop| self.flow(subject, *next_hop, &route.next_hops)).collect();
        if flows.iter().all(|flow| *flow == Flow::Lost) {
            return (Down, Some(Reason::NextHopUnexpected));
        }
        // 12
        let claims = |other: Cluster<'a>| self.subjects(other).any(|theirs| theirs.vip == vip);
        if self.neighbors_of(cluster).any(|other| !share(cluster, other) && claims(other)) {
            return (Degraded, Some(Reason::AddressConflict));
        }
        let absent: BTreeSet<IpAddr> = expected.difference(&route.next_hops).copied().collect();
        if !absent.is_empty() {
            // 13
            if absent.iter().any(down) {
                return (Degraded, Some(Reason::SessionDown));
            }
            // 14
            let remote = |next_hop: &IpAddr| self.kind(cluster, *next_hop) != NextHopKind::Local;
            if attached && absent == expected && installed.iter().all(remote) {
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
        if flows.contains(&Flow::Lost) {
            return (Degraded, Some(Reason::NextHopUnexpected));
        }
        // 18, 19
        if flows.contains(&Flow::MayServe) {
            return match self.policy(cluster, subject.service) {
                TrafficPolicy::Local => (Unknown, Some(Reason::NextHopUnmapped)),
                TrafficPolicy::Cluster => (Up, Some(Reason::NextHopUnmapped)),
            };
        }
        // 20
        if route.prefix != IpNet::from(vip) {
            return (Up, Some(Reason::CoveredByAggregate));
        }
        // 21
        (Up, None)
    }

    pub(super) fn at_limit(&self, cluster: Cluster<'_>, route: &Found) -> bool {
        cluster.config.rules.ecmp_limit.is_some_and(|limit| route.next_hops.len() == usize::from(limit))
    }
}
