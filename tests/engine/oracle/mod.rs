//! The executable specification: recomputes everything from a snapshot, with each rule once and in order.

mod l2;
mod next_hops;
mod node_views;
pub(crate) mod nodes;
mod routes;
mod service_views;
mod services;
mod sources;
pub(crate) mod speakers;
mod status;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use srl_k8s_services::model::config::ClusterConfig;
use srl_k8s_services::model::names::ClusterName;
use srl_k8s_services::model::time::Now;
use srl_k8s_services::model::verdict::Reason;
use srl_k8s_services::model::view::{ServiceView, Verdict};

use self::status::summary;
use crate::said::State;
use crate::world::{ClusterWorld, SpeakerWorld, World};

/// Time after which verdicts are unknown if the switch's own tables are unavailable.
const DARK: Duration = Duration::from_secs(15);
/// Time for which the first sync of gNMI is awaited.
const GNMI_WAIT: Duration = Duration::from_secs(30);
/// Time for which a route may name a group that was not received, while the published state of its VIP still holds.
const GROUP_WAIT: Duration = Duration::from_secs(15);

/// Asserts that the published state equals a recompute of the world, given what was published before.
#[track_caller]
pub(crate) fn assert_agrees(world: &mut World, now: Now, before: &State, said: &State) {
    if (Oracle { world, now, before }).told_anew() {
        return holds(&Oracle { world, now, before }, said);
    }
    let waiting = Oracle { world, now, before }.waited_for();
    world.waiting.retain(|group, _| waiting.contains(group));
    waiting.into_iter().for_each(|group| _ = world.waiting.entry(group).or_insert(now.elapsed));
    let courses = Oracle { world, now, before }.courses();
    forget_uncarried(world, now, before);
    for (vip, (next_hops, heard)) in courses {
        let course = world.courses.entry(vip).or_default();
        if course.now != next_hops {
            let before = std::mem::replace(&mut course.now, next_hops);
            if heard >= course.since {
                course.at_hearing = before;
            }
            course.since = now.elapsed;
        }
    }
    let known = Oracle { world, now, before }.announced();
    world.announced.extend(known);
    let carriers = Oracle { world, now, before }.carriers();
    world.carriers.extend(carriers);
    let oracle = Oracle { world, now, before };
    let mut due = oracle.state();
    // The VIP counts of nodes are not published again while the tables they depend on are unavailable.
    for ((cluster, node), view) in &mut due.nodes {
        if let Some(said) = said.nodes.get(&(cluster.clone(), node.clone())).filter(|_| oracle.uncertain(cluster)) {
            (view.expected_vips, view.installed_vips) = (said.expected_vips, said.installed_vips);
            view.sole_path_vips = said.sole_path_vips;
            (view.state, view.reason) = (said.state, said.reason);
            view.vacant_names.clone_from(&said.vacant_names);
        }
    }
    // While a route's next-hops are unknown, the published state holds and is given up after a while. When exactly, and
    // what else is judged again meanwhile, is up to the engine.
    for ((cluster, key), view) in &mut due.services {
        let Some(said) = said.services.get(&(cluster.clone(), key.clone())) else { continue };
        let loose = [Some(Reason::Syncing), Some(Reason::WrongNetworkInstance)];
        let differs = view.vips.iter().zip(&said.vips).any(|(due, said)| {
            let reasons = [due.verdict.reason, said.verdict.reason];
            oracle.not_told(cluster, due.address) && loose.iter().any(|loose| reasons.contains(loose))
        });
        if differs {
            *view = said.clone();
        }
    }
    due.summary = due.summary.map(|_| summary(due.services.values()));
    said.services.values().for_each(names_its_vip);
    equal(&said.clone().normalised(), &due.normalised());
}

/// Forgets what is remembered of VIPs that no service carries, even if another service carries them a moment later.
pub(crate) fn forget_uncarried(world: &mut World, now: Now, before: &State) {
    let carried = Oracle { world, now, before }.carried();
    world.courses.retain(|vip, _| carried.contains(vip));
    world.announced.retain(|vip, _| carried.contains(vip));
}

/// Asserts that the published state of services, nodes and orphans stands while the tables it depends on are sent
/// again.
#[track_caller]
fn holds(oracle: &Oracle<'_>, said: &State) {
    let mut due = oracle.state();
    due.services.clone_from(&oracle.before.services);
    due.nodes.clone_from(&oracle.before.nodes);
    due.orphans.clone_from(&oracle.before.orphans);
    // The counts of a cluster may or may not be ahead of its published state.
    for (name, view) in &mut due.clusters {
        let counts = said.clusters.get(name).and_then(|said| said.counts);
        view.counts = view.counts.and(counts);
    }
    due.summary = due.summary.map(|_| summary(due.services.values()));
    equal(&said.clone().normalised(), &due.normalised());
}

/// Asserts that if the VIPs of a service differ, its sentence names one that is as bad as the service.
#[track_caller]
fn names_its_vip(service: &ServiceView) {
    let Some(first) = service.vips.first() else { return };
    let (detail, alike) = (&service.verdict.detail, service.vips.iter().all(|vip| vip.verdict == first.verdict));
    let word = |verdict: &Verdict| (verdict.state, verdict.reason);
    let mut worst = service.vips.iter().filter(|vip| word(&vip.verdict) == word(&service.verdict));
    let names = |detail: &str| worst.any(|vip| detail.starts_with(&format!("VIP {}: ", vip.address)));
    assert!(alike || detail.as_deref().is_none_or(names), "{service:#?}");
}

/// Compares table by table, so that a failure shows only the entry that differs.
#[track_caller]
fn equal(said: &State, due: &State) {
    fn table<K: Ord + Debug, V: PartialEq + Debug>(said: &BTreeMap<K, V>, due: &BTreeMap<K, V>) {
        for key in said.keys().chain(due.keys()) {
            let (said, due) = (said.get(key), due.get(key));
            assert!(said == due, "{key:?}\nsaid: {said:#?}\n due: {due:#?}");
        }
    }
    table(&said.services, &due.services);
    table(&said.nodes, &due.nodes);
    table(&said.clusters, &due.clusters);
    table(&said.sources, &due.sources);
    table(&said.orphans, &due.orphans);
    assert_eq!(said.summary, due.summary);
    assert_eq!(said.root, due.root);
    assert_eq!(said.attachments, due.attachments);
}

struct Oracle<'a> {
    world: &'a World,
    now: Now,
    /// The previously published state, which holds while a route's next-hops are unknown.
    before: &'a State,
}

/// A watched cluster.
#[derive(Clone, Copy)]
struct Cluster<'a> {
    name: &'a ClusterName,
    config: &'a Arc<ClusterConfig>,
    world: &'a ClusterWorld,
}

static NOTHING: ClusterWorld = ClusterWorld {
    version: None,
    answers: false,
    caveat: None,
    crowded: BTreeMap::new(),
    services: BTreeMap::new(),
    slices: BTreeMap::new(),
    nodes: BTreeMap::new(),
    speaker: SpeakerWorld {
        states: BTreeMap::new(),
        known: BTreeSet::new(),
        objects: BTreeMap::new(),
        statuses: BTreeMap::new(),
    },
};

impl<'a> Oracle<'a> {
    fn state(&self) -> State {
        let clusters: Vec<Cluster<'a>> = self.clusters().collect();
        let services: BTreeMap<_, _> = clusters.iter().flat_map(|cluster| self.services(*cluster)).collect();
        let nodes = clusters.iter().flat_map(|cluster| self.nodes(*cluster)).collect();
        State {
            root: self.world.config.as_ref().map(|config| self.root(config)),
            summary: self.world.config.as_ref().map(|_| summary(services.values())),
            sources: self.sources(),
            clusters: self.cluster_views(),
            nodes,
            services,
            orphans: self.orphans(),
            attachments: self.world.memory.clone(),
            alarms: Default::default(),
            asked: Default::default(),
        }
    }

    fn clusters(&self) -> impl Iterator<Item = Cluster<'a>> {
        let world = self.world;
        world.watched().map(|(name, config)| Cluster {
            name,
            config,
            world: world.clusters.get(name).unwrap_or(&NOTHING),
        })
    }
}

/// Returns whether one of two clusters names the other in shared-with.
fn share(one: Cluster<'_>, other: Cluster<'_>) -> bool {
    one.config.rules.shared_with.contains(other.name) || other.config.rules.shared_with.contains(one.name)
}

/// Returns whether two configured clusters list the same node, so that they are one API.
fn one_api(one: Cluster<'_>, other: Cluster<'_>) -> bool {
    let uids = |of: Cluster<'_>| of.world.nodes.values().filter_map(|node| node.uid).collect::<BTreeSet<_>>();
    !uids(one).is_disjoint(&uids(other))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a test world is small")
}
