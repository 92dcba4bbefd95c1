//! The published state of services, VIPs and next-hops.

use std::collections::BTreeMap;
use std::net::IpAddr;

use srl_k8s_services::model::cluster::{AddressFamily, Service};
use srl_k8s_services::model::names::{ClusterName, NodeName, ServiceKey};
use srl_k8s_services::model::source::SourceId;
use srl_k8s_services::model::time::Timestamp;
use srl_k8s_services::model::verdict::{Announcement, NextHopKind, OperState, Reason, Vantage};
use srl_k8s_services::model::view::{NextHopView, ServiceView, Verdict, VipView, Without};

use super::next_hops::Flow;
use super::routes::{Found, NotTold, Standing};
use super::services::{Subject, distinct, usable};
use super::{Cluster, Oracle, count};

impl<'a> Oracle<'a> {
    pub(super) fn services(&self, cluster: Cluster<'a>) -> BTreeMap<(ClusterName, ServiceKey), ServiceView> {
        let ours = cluster.world.services.iter().filter_map(|(key, service)| {
            let vips = self.vips(cluster, service)?;
            let subjects = vips.into_iter().map(|vip| Subject { cluster, key, service, vip });
            let vips: Vec<VipView> = subjects.map(|subject| self.vip(subject)).collect();
            Some(((cluster.name.clone(), key.clone()), self.service(cluster, key, service, vips)))
        });
        ours.collect()
    }

    fn service(&self, cluster: Cluster<'a>, key: &ServiceKey, service: &Service, vips: Vec<VipView>) -> ServiceView {
        let slices = cluster.world.slices.values().filter(|slice| slice.service == *key);
        let all = slices.clone().flat_map(|slice| slice.endpoints.iter());
        let endpoints =
            slices.filter(|slice| slice.family != AddressFamily::Fqdn).flat_map(|slice| slice.endpoints.iter());
        let own = self.blind(cluster).unwrap_or((OperState::Down, Some(Reason::AddressPending)));
        let worst = vips.iter().map(|vip| (vip.verdict.state, vip.verdict.reason)).max_by(|a, b| {
            // Ties: the row that comes first in the table, then the lowest address.
            a.0.cmp(&b.0).then_with(|| b.1.map_or(u8::MAX, |r| r as u8).cmp(&a.1.map_or(u8::MAX, |r| r as u8)))
        });
        let (state, reason) = worst.unwrap_or(own);
        ServiceView {
            policy: service.policy,
            usable_endpoints: distinct(endpoints.filter(|endpoint| usable(endpoint))),
            total_endpoints: distinct(all),
            verdict: self.verdict(cluster, state, reason),
            last_change: Timestamp::UNIX_EPOCH,
            vips: vips.into(),
        }
    }

    /// Returns a verdict. It has a sentence if it has a reason, or if the cluster's state on which it is based is old.
    pub(super) fn verdict(&self, cluster: Cluster<'_>, state: OperState, reason: Option<Reason>) -> Verdict {
        let source = self.world.source_of(&SourceId::Kubernetes(cluster.name.clone()));
        let stale = source.synced_once && source.lost_since.is_some();
        Verdict { state, reason, detail: (reason.is_some() || stale).then(|| "".into()) }
    }

    pub(super) fn vip(&self, subject: Subject<'a>) -> VipView {
        let Subject { cluster, vip, .. } = subject;
        if self.blind(cluster).is_none() && self.crowded(cluster, vip) {
            return self.unjudged_view(subject);
        }
        let found = self.find(subject);
        let (state, reason) = match (self.blind(cluster), &found) {
            (None, Err(NotTold)) => (OperState::Unknown, Some(Reason::Syncing)),
            (_, found) => self.judge(subject, found.as_ref().unwrap_or(&None).as_ref()),
        };
        let announced = self.announcement(subject, &found);
        let found = found.unwrap_or_default();
        let verdict = self.verdict(cluster, state, reason);
        if announced == Some(Announcement::L2) {
            let route = found.map(|(found, _)| found).filter(Found::is_l2);
            let next_hops = route.as_ref().map(|route| self.l2_hops(subject, route)).unwrap_or_default();
            let (expected, installed) = self.l2_counts(&next_hops);
            return VipView {
                by_design: false,
                address: vip,
                network_instance: cluster.config.rules.network_instance.clone(),
                prefix: route.as_ref().map(|route| route.prefix),
                vantage: self.l2_vantage(&next_hops),
                verdict,
                last_change: Timestamp::UNIX_EPOCH,
                announcement: announced,
                cause: None,
                expected,
                installed,
                next_hops: next_hops.into(),
                route: route.map(|route| route.view),
            };
        }
        let route = found.filter(|(_, standing)| *standing != Standing::Other).map(|(found, _)| found);
        let announcers = self.announcers(cluster, vip);
        let installed = route.as_ref().map(|route| route.next_hops.clone()).unwrap_or_default();
        let attached = !self.attached_announcers(cluster, vip, &installed).is_empty();
        let expected = self.expected(subject, route.as_ref());
        let next_hops = expected
            .union(&installed)
            .map(|next_hop| self.next_hop(subject, *next_hop, expected.contains(next_hop), route.as_ref()));
        VipView {
            by_design: false,
            address: vip,
            network_instance: cluster.config.rules.network_instance.clone(),
            prefix: route.as_ref().map(|route| route.prefix),
            vantage: (!announcers.is_empty()).then_some(if attached { Vantage::Local } else { Vantage::Remote }),
            verdict,
            last_change: Timestamp::UNIX_EPOCH,
            announcement: announced,
            cause: None,
            expected: count(expected.len()),
            installed: count(installed.len()),
            next_hops: next_hops.collect(),
            route: route.map(|route| route.view),
        }
    }

    /// Returns the view of a VIP whose endpoints are not all read: nothing is concluded from its route.
    fn unjudged_view(&self, subject: Subject<'a>) -> VipView {
        let cluster = subject.cluster;
        VipView {
            by_design: false,
            address: subject.vip,
            network_instance: cluster.config.rules.network_instance.clone(),
            prefix: None,
            vantage: None,
            verdict: self.verdict(cluster, OperState::Unknown, Some(Reason::Syncing)),
            last_change: Timestamp::UNIX_EPOCH,
            announcement: None,
            cause: None,
            expected: 0,
            installed: 0,
            next_hops: [].into(),
            route: None,
        }
    }

    /// Returns how the VIP is announced here, if routes are considered.
    fn announcement(
        &self,
        subject: Subject<'a>,
        found: &Result<Option<(Found, Standing)>, NotTold>,
    ) -> Option<Announcement> {
        let found = found.as_ref().ok().filter(|_| !self.unjudged_vip(subject))?;
        Some(if self.is_l2(subject, found.as_ref()) { Announcement::L2 } else { Announcement::Bgp })
    }

    pub(super) fn next_hop(
        &self,
        subject: Subject<'a>,
        address: IpAddr,
        expected: bool,
        route: Option<&Found>,
    ) -> NextHopView {
        let Subject { cluster, vip, .. } = subject;
        let limited = route.is_some_and(|route| self.at_limit(cluster, route));
        let flow = route.and_then(|route| self.flows(subject, route).get(&address).copied());
        let present = flow.is_some();
        let kind = self.kind(cluster, address, present && route.is_some_and(Found::is_evpn));
        let flow = flow.unwrap_or(Flow::Lost);
        let (state, reason) = match (present, flow) {
            (false, _) if self.next_hop_down(cluster, vip, address) => (OperState::Down, Some(Reason::SessionDown)),
            (false, _) if limited => (OperState::Degraded, Some(Reason::EcmpLimited)),
            (false, _) => (OperState::Down, Some(Reason::NextHopMissing)),
            (true, Flow::Lost) if expected && self.usable_endpoints(subject).is_empty() => (OperState::Down, None),
            (true, Flow::Lost) => (OperState::Down, Some(Reason::NextHopUnexpected)),
            (true, Flow::MayServe | Flow::Serves)
                if route.is_some_and(|route| self.unproven(subject, route, address)) =>
            {
                (OperState::Unknown, Some(Reason::NextHopUnmapped))
            }
            (true, Flow::MayServe) => match self.served_locally(cluster, subject.service) {
                true => (OperState::Unknown, Some(Reason::NextHopUnmapped)),
                false => (OperState::Up, Some(Reason::NextHopUnmapped)),
            },
            (true, Flow::Serves) if self.doubtful(subject, address) => (OperState::Unknown, Some(Reason::SessionDown)),
            (true, Flow::Serves) if expected => (OperState::Up, None),
            (true, Flow::Serves) => (OperState::Up, Some(Reason::NextHopUnexpected)),
        };
        let nodes = self.nodes_behind(cluster, address);
        NextHopView {
            address,
            node: if nodes.len() == 1 { nodes.first().map(|node| NodeName::clone(node)) } else { None },
            kind,
            expected,
            installed: present,
            session: self.carried_by(cluster, vip, address).and_then(|address| self.session(cluster, address)),
            usable_endpoints: (!nodes.is_empty()).then(|| self.usable_on(subject, &nodes)),
            state,
            reason,
            cause: None,
            without: Without::default(),
        }
    }

    /// Returns the kind of a next-hop: a node of this cluster or of another one here; the VTEP of a node of this
    /// cluster, or whatever EVPN leads to; otherwise unmapped.
    pub(super) fn kind(&self, cluster: Cluster<'a>, next_hop: IpAddr, evpn: bool) -> NextHopKind {
        let theirs = |other: Cluster<'a>| !self.nodes_of_hop(other, next_hop).is_empty();
        if !self.nodes_of_hop(cluster, next_hop).is_empty() {
            NextHopKind::Local
        } else if !self.nodes_behind(cluster, next_hop).is_empty() {
            NextHopKind::Vtep
        } else if self.neighbors_of(cluster).any(theirs) {
            NextHopKind::Local
        } else if self.is_anyones_transit(cluster, next_hop) {
            NextHopKind::Transit
        } else if evpn {
            NextHopKind::Vtep
        } else {
            NextHopKind::Unmapped
        }
    }
}
