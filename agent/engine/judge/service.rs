//! Evaluates one service: its VIPs, their next-hops, and the worst of them.

use std::sync::Arc;

use super::detail::detail;
use super::evidence::{Evidence, Hop, World};
use super::explain::explain_vip;
use super::gather::gather;
use super::verdict::{judge, next_hop_verdict, vantage};
use super::without::foretell;
use crate::engine::facts::cluster::{Cluster, ServiceEntry};
use crate::model::source::SourceId;
use crate::model::switch::NextHopGroupId;
use crate::model::time::Timestamp;
use crate::model::verdict::{NextHopKind, OperState, Reason};
use crate::model::view::{NextHopView, ServiceView, Verdict, VipView, Without};

/// Returns the view of a service, and the groups it was read from.
pub(crate) fn service_view(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &ServiceEntry,
) -> (ServiceView, Vec<NextHopGroupId>) {
    let published = entry.view.as_deref();
    let stale_since = stale_since(world, cluster);
    let mut groups = Vec::new();
    let vips: Vec<VipView> = entry
        .vips
        .iter()
        .flatten()
        .map(|vip| {
            let published = published.and_then(|view| view.vips.iter().find(|published| published.address == *vip));
            let evidence = gather(world, cluster, entry, *vip, published, &mut groups);
            let mut view = vip_view(world, cluster, entry, &evidence, published, stale_since);
            foretell(world, cluster, entry, evidence, &mut view);
            view
        })
        .collect();
    let endpoints = Arc::clone(entry.endpoints.all());
    let (usable_endpoints, total_endpoints) = (endpoints.usable, endpoints.total);
    let verdict = match vips.iter().reduce(|worst, vip| if worse(&vip.verdict, &worst.verdict) { vip } else { worst }) {
        Some(worst) => of_service(worst, &vips),
        None => verdict(cluster, entry, &Evidence::none(world.gate(cluster), None, endpoints), stale_since),
    };
    let last_change = stamp(world, published.map(|published| (&published.verdict, published.last_change)), &verdict);
    groups.sort_unstable();
    groups.dedup();
    let policy = entry.service.policy;
    let vips = vips.into();
    (ServiceView { policy, usable_endpoints, total_endpoints, verdict, last_change, vips }, groups)
}

/// Returns since when the cluster's API has been lost.
pub(crate) fn stale_since(world: &World<'_>, cluster: &Cluster) -> Option<Timestamp> {
    let source = world.sources.get(&SourceId::Kubernetes(cluster.name.clone()))?;
    source.lost.as_ref().filter(|_| source.ever_synced).map(|loss| loss.wall)
}

fn verdict(cluster: &Cluster, entry: &ServiceEntry, evidence: &Evidence, stale_since: Option<Timestamp>) -> Verdict {
    let (state, reason) = judge(evidence);
    Verdict { state, reason, detail: detail(cluster, entry, evidence, reason, stale_since) }
}

fn vip_view(
    world: &World<'_>,
    cluster: &Cluster,
    entry: &ServiceEntry,
    evidence: &Evidence,
    published: Option<&VipView>,
    stale_since: Option<Timestamp>,
) -> VipView {
    let verdict = verdict(cluster, entry, evidence, stale_since);
    let vip = evidence.vip.expect("a VIP is gathered for an address");
    let mut view = VipView {
        address: vip,
        network_instance: cluster.config.rules.network_instance.clone(),
        prefix: evidence.route.as_ref().map(|route| route.prefix),
        vantage: vantage(evidence),
        last_change: stamp(world, published.map(|published| (&published.verdict, published.last_change)), &verdict),
        verdict,
        announcement: evidence.announcement,
        cause: None,
        route: evidence.route.as_ref().map(|route| route.view.clone()),
        by_design: evidence.expectation.announcers == 0 && cluster.profile().never_announces(&entry.service, vip),
        expected: evidence.expected().count() as u32,
        installed: evidence.installed().count() as u32,
        next_hops: evidence.hops.iter().map(|hop| next_hop(evidence, hop)).collect(),
    };
    explain_vip(world, cluster, evidence, &mut view);
    view
}

/// Returns when state or reason last changed.
fn stamp(world: &World<'_>, published: Option<(&Verdict, Timestamp)>, new: &Verdict) -> Timestamp {
    let same = published.filter(|(published, _)| published.state == new.state && published.reason == new.reason);
    same.map_or(world.now.wall, |(_, since)| since)
}

/// Returns the verdict of a service: that of its worst VIP. Its sentence names the VIP if the verdict of another VIP
/// differs.
fn of_service(worst: &VipView, vips: &[VipView]) -> Verdict {
    let verdict = worst.verdict.clone();
    let alike = vips.iter().all(|vip| vip.verdict == verdict);
    let named = |detail| match alike {
        true => detail,
        false => format!("VIP {}: {detail}", worst.address).into(),
    };
    Verdict { detail: verdict.detail.map(named), ..verdict }
}

/// Returns whether a verdict is worse than another: by state, then by the order of the verdict table; no reason is
/// best.
fn worse(one: &Verdict, other: &Verdict) -> bool {
    let rank = |reason: Option<Reason>| reason.map_or(u32::MAX, |reason| reason as u32);
    (one.state, std::cmp::Reverse(rank(one.reason))) > (other.state, std::cmp::Reverse(rank(other.reason)))
}

fn next_hop(evidence: &Evidence, hop: &Hop) -> NextHopView {
    let (state, reason) = next_hop_verdict(evidence, hop);
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
        cause: None,
        without: Without::default(),
    }
}

/// Numbers of services, and of VIPs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) services: u32,
    /// By [`OperState`], best first.
    pub(crate) vips: [u32; 4],
}

impl Counts {
    /// Adds or subtracts a view.
    pub(crate) fn count(&mut self, view: &ServiceView, add: bool) {
        let step = |figure: &mut u32| if add { *figure += 1 } else { *figure -= 1 };
        step(&mut self.services);
        for vip in &view.vips {
            step(&mut self.vips[vip.verdict.state as usize]);
        }
    }

    pub(crate) fn of(&self, state: OperState) -> u32 {
        self.vips[state as usize]
    }
}
