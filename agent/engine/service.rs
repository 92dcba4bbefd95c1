//! One service, evaluated: its VIPs, their next-hops, and the worst of them.

use std::sync::Arc;

use super::cluster::{Cluster, ServiceEntry};
use super::detail::detail;
use super::evidence::{Evidence, Hop, World};
use super::verdict::{judge, vantage, word};
use crate::model::event::SourceId;
use crate::model::switch::NextHopGroupId;
use crate::model::time::Timestamp;
use crate::model::verdict::{NextHopKind, OperState, Reason};
use crate::model::view::{NextHopView, ServiceView, Verdict, VipView};

impl World<'_> {
    /// The view of a service, and the groups it was read from.
    pub(super) fn service(&self, cluster: &Cluster, entry: &ServiceEntry) -> (ServiceView, Vec<NextHopGroupId>) {
        let said = entry.view.as_deref();
        let stale_since = self.stale_since(cluster);
        let mut groups = Vec::new();
        let vips: Vec<VipView> = entry
            .vips
            .iter()
            .flatten()
            .map(|vip| {
                let said = said.and_then(|view| view.vips.iter().find(|said| said.address == *vip));
                let evidence = self.gather(cluster, entry, *vip, said, &mut groups);
                self.vip(cluster, entry, &evidence, said, stale_since)
            })
            .collect();
        let endpoints = Arc::clone(entry.endpoints.all());
        let (usable_endpoints, total_endpoints) = (endpoints.usable, endpoints.total);
        let verdict =
            match vips.iter().reduce(|worst, vip| if worse(&vip.verdict, &worst.verdict) { vip } else { worst }) {
                Some(worst) => of_service(worst, &vips),
                None => self.verdict(cluster, entry, &Evidence::none(self.gate(cluster), None, endpoints), stale_since),
            };
        let last_change = self.stamp(said.map(|said| (&said.verdict, said.last_change)), &verdict);
        groups.sort_unstable();
        groups.dedup();
        let policy = entry.service.policy;
        let vips = vips.into();
        (ServiceView { policy, usable_endpoints, total_endpoints, verdict, last_change, vips }, groups)
    }

    /// Since when the cluster's API has been out of reach.
    pub(super) fn stale_since(&self, cluster: &Cluster) -> Option<Timestamp> {
        let source = self.sources.get(&SourceId::Kubernetes(cluster.name.clone()))?;
        source.lost.as_ref().filter(|_| source.ever_synced).map(|loss| loss.wall)
    }

    fn verdict(
        &self,
        cluster: &Cluster,
        entry: &ServiceEntry,
        evidence: &Evidence,
        stale_since: Option<Timestamp>,
    ) -> Verdict {
        let (state, reason) = judge(evidence);
        Verdict { state, reason, detail: detail(cluster, entry, evidence, reason, stale_since) }
    }

    fn vip(
        &self,
        cluster: &Cluster,
        entry: &ServiceEntry,
        evidence: &Evidence,
        said: Option<&VipView>,
        stale_since: Option<Timestamp>,
    ) -> VipView {
        let verdict = self.verdict(cluster, entry, evidence, stale_since);
        VipView {
            address: evidence.vip.expect("a VIP is gathered for an address"),
            network_instance: cluster.config.network_instance.clone(),
            prefix: evidence.route.as_ref().map(|route| route.prefix),
            vantage: vantage(evidence),
            last_change: self.stamp(said.map(|said| (&said.verdict, said.last_change)), &verdict),
            verdict,
            route: evidence.route.as_ref().map(|route| route.view.clone()),
            expected: evidence.expected().count() as u32,
            installed: evidence.installed().count() as u32,
            next_hops: evidence.hops.iter().map(|hop| next_hop(evidence, hop)).collect(),
        }
    }

    /// When state or reason last changed.
    fn stamp(&self, said: Option<(&Verdict, Timestamp)>, new: &Verdict) -> Timestamp {
        let same = said.filter(|(said, _)| said.state == new.state && said.reason == new.reason);
        same.map_or(self.now.wall, |(_, since)| since)
    }
}

/// The verdict of a service by its worst VIP, which its sentence names where the others' is another one.
fn of_service(worst: &VipView, vips: &[VipView]) -> Verdict {
    let verdict = worst.verdict.clone();
    let alike = vips.iter().all(|vip| vip.verdict == verdict);
    let named = |detail| match alike {
        true => detail,
        false => format!("VIP {}: {detail}", worst.address).into(),
    };
    Verdict { detail: verdict.detail.map(named), ..verdict }
}

/// Worse by state, then by the order of the verdict table; no reason is best.
fn worse(one: &Verdict, other: &Verdict) -> bool {
    let rank = |reason: Option<Reason>| reason.map_or(u32::MAX, |reason| reason as u32);
    (one.state, std::cmp::Reverse(rank(one.reason))) > (other.state, std::cmp::Reverse(rank(other.reason)))
}

fn next_hop(evidence: &Evidence, hop: &Hop) -> NextHopView {
    let (state, reason) = word(evidence, hop);
    NextHopView {
        address: hop.address,
        node: hop.node.clone(),
        kind: hop.kind,
        expected: hop.expected,
        installed: hop.installed,
        session: hop.session.state().filter(|_| hop.kind == NextHopKind::Local),
        usable_endpoints: hop.usable,
        state,
        reason,
    }
}

/// VIP entries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) services: u32,
    /// By [`OperState`], best first.
    pub(super) vips: [u32; 4],
}

impl Counts {
    /// Adds a view, or takes it away.
    pub(super) fn count(&mut self, view: &ServiceView, add: bool) {
        let step = |figure: &mut u32| if add { *figure += 1 } else { *figure -= 1 };
        step(&mut self.services);
        for vip in &view.vips {
            step(&mut self.vips[vip.verdict.state as usize]);
        }
    }

    pub(super) fn of(&self, state: OperState) -> u32 {
        self.vips[state as usize]
    }
}
