//! Compares what agents publish about a plan with the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use srl_k8s_services::model::alarm::{AlarmType, Resource, Severity};
use srl_k8s_services::model::names::{ClusterName, ServiceKey};
use srl_k8s_services::model::verdict::{FibStatus, OperState, Reason};
use srl_k8s_services::model::view::Verdict;
use srl_sim::truth::{Branch, End, Flow, Network, Outcome, Service};

use crate::agent::{Agent, ConnectOptions};
use crate::cluster::{self, ClusterFacts, service_key};
use crate::control::{self, World};
use crate::fault::Fault;
use crate::plan::{
    AGAIN, Kind, Known, NodeId, Plan, PodState, ServiceId, VipPlan, cluster_name, leaf_name, node_name, vrf_name,
};
use crate::rng::Rng;
use crate::state::State;

/// Which flows arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    All,
    Some,
    None,
}

impl Truth {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            outcome if outcome.none_arrives() => Self::None,
            outcome if outcome.all_arrive() => Self::All,
            _ => Self::Some,
        }
    }
}

/// A published state and its reason, as the matrix counts them.
pub(crate) type Word = (OperState, Option<Reason>);

/// How often each word was published for each truth, and how many states were unknown that need not be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matrix {
    pub(crate) words: BTreeMap<(Word, Truth), usize>,
    /// States whose truth a person at the leaf's CLI could determine; `untold` counts those of them that were unknown.
    pub(crate) tellable: usize,
    pub(crate) untold: BTreeMap<Option<Reason>, usize>,
    /// States that were up although flows are lost beyond a tunnel, where the leaf there reports the loss itself.
    pub(crate) elsewhere: usize,
}

impl Matrix {
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.words {
            *self.words.entry(*key).or_default() += count;
        }
        self.tellable += other.tellable;
        self.elsewhere += other.elsewhere;
        for (reason, count) in &other.untold {
            *self.untold.entry(*reason).or_default() += count;
        }
    }

    /// Returns the share of tellable states that were unknown.
    pub(crate) fn unknown_share(&self) -> f64 {
        self.untold.values().sum::<usize>() as f64 / self.tellable.max(1) as f64
    }
}

/// A published word that the truth does not support.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    /// The kind of error: word and truth, without names.
    pub(crate) kind: String,
    /// Where and when the word was published, what it was, and where flows end.
    pub(crate) story: String,
}

impl Wrong {
    /// Whether it is a false up or a false critical alarm, which must never be published.
    pub(crate) fn is_grave(&self) -> bool {
        self.kind.starts_with("up ") || self.kind.starts_with("meanwhile up ") || self.kind.starts_with("alarm ")
    }
}

/// Runs the agents of all leaves through all steps of a plan. Returns what they published, and what of it is wrong.
pub(crate) fn hold(plan: &Plan, seed: u64) -> (Matrix, Vec<Wrong>) {
    let standing = vec![BTreeSet::new(); plan.leaves.len()];
    let mut held = Held { plan, matrix: Matrix::default(), wrong: Vec::new(), standing };
    let mut agents: Vec<Agent> = Vec::new();
    let nothing = Vec::new();
    let steps = std::iter::once(&nothing).chain(&plan.steps).chain(std::iter::once(&nothing));
    let mut before: Option<(State<'_>, World)> = None;
    let mut heard: Vec<Service> = Vec::new();
    for (step, faults) in steps.enumerate() {
        let state = State { plan, faults };
        let world = control::world(state);
        hear(state, &world, &mut heard);
        let clusters: Vec<ClusterFacts> =
            (0..plan.clusters.len()).map(|number| cluster::facts(state, number)).collect();
        for leaf in 0..plan.leaves.len() {
            if let Some((was, old)) = &before {
                let mut meanwhile = |agent: &Agent| held.meanwhile(step, *was, old, leaf, agent);
                agents[leaf].become_as(&world.leaves[leaf], &clusters, &connect(state, leaf), &mut meanwhile);
            } else {
                let order = Rng::new(seed ^ (leaf as u64) << 32);
                agents.push(Agent::start(plan, &world.leaves[leaf], &clusters, order));
            }
        }
        held.step(step, state, &world, &agents, &heard);
        before = Some((state, world));
    }
    let settled: BTreeSet<String> = held.wrong.iter().map(|wrong| wrong.kind.clone()).collect();
    held.wrong.retain(|wrong| wrong.kind.strip_prefix("meanwhile ").is_none_or(|kind| !settled.contains(kind)));
    (held.matrix, held.wrong)
}

/// Returns what a leaf has critical alarms for, and the VIPs that its alarms for several resources may cover.
fn standing(agent: &Agent) -> BTreeSet<Resource> {
    let critical = agent.alarms.iter().filter(|(_, alarm)| alarm.severity == Severity::Critical);
    let mut standing: BTreeSet<Resource> = critical.map(|(id, _)| id.resource.clone()).collect();
    if standing.iter().any(|resource| !matches!(resource, Resource::Vip(..))) {
        for ((cluster, service), view) in &agent.services {
            let unwell =
                view.vips.iter().filter(|vip| matches!(vip.verdict.state, OperState::Down | OperState::Degraded));
            standing.extend(unwell.map(|vip| Resource::Vip(cluster.clone(), service.clone(), vip.address)));
        }
    }
    standing
}

/// Whether the agent receives nothing, or not everything, from its switch: alarms that it had then stay.
fn deaf(state: State<'_>, leaf: usize) -> bool {
    [Fault::NdkLost(leaf), Fault::GnmiLost(leaf), Fault::FibRefused(leaf)].into_iter().any(|fault| state.broken(fault))
}

/// Updates what is known about services. For a cluster whose API cannot be reached, that is what was known before.
fn hear(state: State<'_>, world: &World, heard: &mut Vec<Service>) {
    let lost = |service: &Service| {
        (0..state.plan.clusters.len())
            .any(|number| cluster_name(number) == service.cluster && state.broken(Fault::ApiLost(number)))
    };
    if heard.is_empty() {
        heard.clone_from(&world.network.services);
    }
    for (known, now) in heard.iter_mut().zip(&world.network.services).filter(|(_, now)| !lost(now)) {
        known.clone_from(now);
    }
}

fn connect(state: State<'_>, leaf: usize) -> ConnectOptions {
    let apis = (0..state.plan.clusters.len()).filter(|cluster| state.broken(Fault::ApiLost(*cluster)));
    ConnectOptions {
        ndk_lost: state.broken(Fault::NdkLost(leaf)),
        gnmi_lost: state.broken(Fault::GnmiLost(leaf)),
        fib_refused: state.broken(Fault::FibRefused(leaf)),
        apis_lost: apis.collect(),
    }
}

struct Held<'a> {
    plan: &'a Plan,
    matrix: Matrix,
    wrong: Vec<Wrong>,
    /// What each leaf had critical alarms for one step earlier.
    standing: Vec<BTreeSet<Resource>>,
}

/// One VIP of a service, seen from one leaf.
struct Seen<'a> {
    state: State<'a>,
    leaf: usize,
    service: ServiceId,
    vip: VipPlan,
    outcome: Outcome,
    /// The prefix of the longest match on this leaf.
    matched: Option<IpNet>,
}

impl Held<'_> {
    fn step(&mut self, step: usize, state: State<'_>, world: &World, agents: &[Agent], heard: &[Service]) {
        let believed = World {
            network: Network { services: heard.to_vec(), ..world.network.clone() },
            leaves: world.leaves.clone(),
        };
        for (leaf, agent) in agents.iter().enumerate() {
            self.leaf(step, state, [world, &believed], leaf, agents);
            self.standing[leaf] = standing(agent);
        }
    }

    fn leaf(&mut self, step: usize, state: State<'_>, worlds: [&World; 2], leaf: usize, agents: &[Agent]) {
        let [world, believed] = worlds;
        let mut lost: Vec<Resource> = Vec::new();
        let agent = &agents[leaf];
        for service in self.plan.services() {
            let key = (ClusterName::from(cluster_name(service.0)), service_key(service));
            let view = agent.services.get(&key);
            if self.plan.service(service).foreign_class && view.is_none() {
                continue;
            }
            for vip in self.plan.service(service).vips.clone() {
                let seen = see(state, world, leaf, service, vip);
                // While an API cannot be reached, only what it published last is available.
                let last = see(state, believed, leaf, service, vip);
                let said = view.and_then(|view| view.vips.iter().find(|said| said.address == vip.address()));
                let Some(said) = said else {
                    self.wrong(step, &seen, "not published".to_owned(), "no entry");
                    continue;
                };
                let unheard = said.route.as_ref().is_some_and(|route| route.fib == FibStatus::Unknown);
                // Which MAC address answers for a VIP by ARP is as old as everything else that gNMI reported.
                let mac_unheard = vip.l2 && state.broken(Fault::GnmiLost(leaf));
                let excused = is_loss_accounted_for(&seen, agents, &key)
                    || unheard && only_unprogrammed(&seen)
                    || keeps_unheard(state, leaf)
                    || mac_unheard;
                if said.verdict.state == OperState::Up && excused {
                    self.matrix.elsewhere += 1;
                    continue;
                }
                let as_last = seen.api_lost() && last.bears_out(&said.verdict, Truth::of(&last.outcome));
                self.word(step, if as_last { &last } else { &seen }, &said.verdict);
                let about = Resource::Vip(key.0.clone(), key.1.clone(), vip.address());
                for (id, alarm) in agent.alarms.iter().filter(|(id, _)| id.resource == about) {
                    let kept = deaf(state, leaf) || seen.api_lost() && said.verdict.state == OperState::Unknown;
                    let kept = kept && self.standing[leaf].contains(&id.resource);
                    if alarm.severity == Severity::Critical && !kept {
                        self.alarm(step, if as_last { &last } else { &seen }, id.kind, &alarm.text);
                    }
                }
                let again = Resource::Vip(AGAIN.into(), key.1.clone(), vip.address());
                if Truth::of(&seen.outcome) != Truth::All || as_last {
                    lost.push(about);
                    lost.extend((self.plan.twice && service.0 == 0).then_some(again));
                }
            }
        }
        self.alarms_for_several(step, state, leaf, agent, &lost);
    }

    /// Checks that every critical alarm for several resources covers at least one that loses flows.
    fn alarms_for_several(&mut self, step: usize, state: State<'_>, leaf: usize, agent: &Agent, lost: &[Resource]) {
        let lossy = deaf(state, leaf) || state.faults.iter().any(|fault| matches!(fault, Fault::ApiLost(_)));
        let types = [AlarmType::VipRouteMissing, AlarmType::VipBlackholed];
        let several = agent.alarms.iter().filter(|(id, alarm)| {
            let of_several = !matches!(id.resource, Resource::Vip(..));
            let critical = types.contains(&id.kind) && alarm.severity == Severity::Critical;
            of_several && critical && !(lossy && self.standing[leaf].contains(&id.resource))
        });
        for (id, alarm) in several {
            let within = |vip: &Resource| match (&id.resource, vip) {
                (Resource::Service(cluster, service), Resource::Vip(of, member, _)) => {
                    (cluster, service) == (of, member)
                }
                (Resource::Cluster(cluster), Resource::Vip(of, ..)) => cluster == of,
                (_, Resource::Vip(..)) => true,
                _ => false,
            };
            // An alarm that stood before may have another name since then.
            let stood = lossy && self.standing[leaf].iter().any(within);
            if !stood && !lost.iter().any(within) {
                let kind = format!("alarm {} of several, none lost", id.kind.as_str());
                let story = format!("step {step}, {}: {}: {}", leaf_name(leaf), id, alarm.text);
                self.wrong.push(Wrong { kind, story });
            }
        }
    }

    /// Checks that words stay true while streams break and nothing else changes.
    fn meanwhile(&mut self, step: usize, state: State<'_>, world: &World, leaf: usize, agent: &Agent) {
        for service in self.plan.services() {
            let key = (ClusterName::from(cluster_name(service.0)), service_key(service));
            let Some(view) = agent.services.get(&key) else { continue };
            for vip in &self.plan.service(service).vips {
                let Some(said) = view.vips.iter().find(|said| said.address == vip.address()) else { continue };
                let seen = see(state, world, leaf, service, *vip);
                let truth = Truth::of(&seen.outcome);
                let lost_beyond =
                    seen.outcome.0.iter().any(|branch| branch.leaf != leaf_name(leaf) && !branch.arrives());
                let unheard = said.route.as_ref().is_some_and(|route| route.fib == FibStatus::Unknown);
                // Which of two hosts answers at a moment when nobody looks is not checked.
                let in_turn = vip.l2 && state.broken(Fault::Duplicate(leaf, service));
                let excused = lost_beyond || seen.api_lost() || unheard && only_unprogrammed(&seen) || in_turn;
                let syncing = said.verdict.reason == Some(Reason::Syncing);
                if !excused && !syncing && !seen.bears_out(&said.verdict, truth) {
                    let (state, reason) = (said.verdict.state, said.verdict.reason.map_or("", Reason::as_str));
                    let kind = format!("meanwhile {} {reason} of {truth:?}", state.as_str());
                    self.wrong(step, &seen, kind, said.verdict.detail.as_deref().unwrap_or("no detail"));
                }
            }
        }
    }

    fn word(&mut self, step: usize, seen: &Seen<'_>, verdict: &Verdict) {
        let truth = Truth::of(&seen.outcome);
        *self.matrix.words.entry(((verdict.state, verdict.reason), truth)).or_default() += 1;
        if seen.tellable() {
            self.matrix.tellable += 1;
            if verdict.state == OperState::Unknown {
                *self.matrix.untold.entry(verdict.reason).or_default() += 1;
            }
        }
        if !seen.bears_out(verdict, truth) {
            let reason = verdict.reason.map_or("", Reason::as_str);
            let kind = format!("{} {reason} of {truth:?}", verdict.state.as_str());
            self.wrong(step, seen, kind, verdict.detail.as_deref().unwrap_or("no detail"));
        }
    }

    fn alarm(&mut self, step: usize, seen: &Seen<'_>, kind: AlarmType, text: &str) {
        let truth = Truth::of(&seen.outcome);
        let conflict = kind == AlarmType::VipAddressConflict && seen.claimed_twice();
        if truth != Truth::None && !conflict {
            self.wrong(step, seen, format!("alarm {} of {truth:?}", kind.as_str()), text);
        }
    }

    fn wrong(&mut self, step: usize, seen: &Seen<'_>, kind: String, said: &str) {
        let (leaf, service) = (leaf_name(seen.leaf), seen.service);
        let story = format!(
            "step {step}, {leaf}, c{}/s{} {}: {kind}: \"{said}\"; flows: {}",
            service.0 + 1,
            service.1 + 1,
            seen.vip.address(),
            seen.outcome,
        );
        self.wrong.push(Wrong { kind, story });
    }
}

/// Whether everything that is lost is accounted for. Each lost part of a flow must be lost by another leaf than the one
/// it entered, whose agent does not publish up or cannot know of the loss; or it is lost for lack of pods while their
/// API does not answer. What other tables hold is not known here, but it is known if no node behind a tunnel serves.
fn is_loss_accounted_for(seen: &Seen<'_>, agents: &[Agent], key: &(ClusterName, ServiceKey)) -> bool {
    let branches = &seen.outcome.0;
    let mut lost = branches.iter().filter(|branch| !branch.arrives()).peekable();
    let beyond = |branch: &Branch| {
        let far = (0..agents.len()).find(|leaf| leaf_name(*leaf) == branch.leaf).filter(|leaf| *leaf != seen.leaf);
        let said = far.and_then(|far| agents[far].word(key, seen.vip.address()));
        // Which host answers there for a VIP by ARP is not known here.
        let may_serve = seen.vip.l2 || branch.host().is_none() || far.is_some_and(|far| seen.serves_behind(far));
        // It is up because it hears nothing about its hardware, or about its sessions.
        let unheard = far.is_some_and(|far| match &branch.end {
            End::NotProgrammed(_) => deaf(seen.state, far),
            End::Unresolved(_) | End::DeadCable(_) | End::DeadHost(_) => keeps_unheard(seen.state, far),
            _ => false,
        });
        may_serve && (unheard || said.is_some_and(|said| said != OperState::Up))
    };
    let fate_unknown = |branch: &Branch| seen.api_lost() && matches!(branch.end, End::NoPod(_) | End::DeadHost(_));
    lost.peek().is_some() && lost.all(|branch| beyond(branch) || fate_unknown(branch))
}

/// Whether a leaf keeps routes of a session that is down, does not learn that from gNMI, and has no host routes that
/// show which nodes are dead.
fn keeps_unheard(state: State<'_>, leaf: usize) -> bool {
    let keeps = state.faults.iter().any(|fault| matches!(fault, Fault::Stale(_, on) if *on == leaf));
    keeps && state.broken(Fault::GnmiLost(leaf)) && !state.plan.host_routes
}

/// Whether everything that is lost is lost by the hardware of this leaf itself.
fn only_unprogrammed(seen: &Seen<'_>) -> bool {
    let mut lost = seen.outcome.0.iter().filter(|branch| !branch.arrives());
    lost.all(|branch| branch.end == End::NotProgrammed(leaf_name(seen.leaf)))
}

fn see<'a>(state: State<'a>, world: &World, leaf: usize, service: ServiceId, vip: VipPlan) -> Seen<'a> {
    let plan = state.plan;
    let cluster = &plan.clusters[service.0];
    let others = plan.services().filter(|other| other.0 != service.0 && cluster.shared);
    let sharing = others.filter(|other| plan.service(*other).vips.contains(&vip));
    let services: Vec<usize> =
        std::iter::once(service).chain(sharing).map(|service| control::service_of(state, service)).collect();
    let (leaf_name, vrf) = (leaf_name(leaf), vrf_name(cluster.configured_vrf));
    let flow = Flow { leaf: &leaf_name, vrf: &vrf, destination: vip.address(), services: &services };
    let outcome = world.network.walk(flow);
    let routes = world.leaves[leaf].routes.keys().filter(|(of, prefix)| *of == vrf && prefix.contains(&vip.address()));
    let matched = routes.map(|(_, prefix)| *prefix).max_by_key(IpNet::prefix_len);
    Seen { state, leaf, service, vip, outcome, matched }
}

impl Seen<'_> {
    /// Whether the truth supports a word.
    fn bears_out(&self, verdict: &Verdict, truth: Truth) -> bool {
        match (verdict.state, verdict.reason) {
            (OperState::Up, _) => truth == Truth::All,
            (OperState::Down, _) => truth == Truth::None,
            // What speakers report that they announce is as old as everything else that the API reported.
            (OperState::Degraded, Some(Reason::NextHopUnexpected)) => {
                truth != Truth::All
                    || self.vip.l2 && self.state.broken(Fault::StaleArp(self.leaf, self.service))
                    || self.api_lost() && self.state.plan.clusters[self.service.0].statuses
            }
            (OperState::Degraded, Some(Reason::AddressConflict)) => self.claimed_twice(),
            (OperState::Degraded, _) => truth != Truth::All || self.path_unused() || self.api_lost(),
            (OperState::Unknown, Some(Reason::Syncing)) => !self.tellable(),
            (OperState::Unknown, _) => verdict.detail.is_some(),
        }
    }

    fn api_lost(&self) -> bool {
        self.state.faults.iter().any(|fault| matches!(fault, Fault::ApiLost(_)))
    }

    /// Whether a node behind a leaf has a usable endpoint, of its own if it needs one of its own.
    fn serves_behind(&self, leaf: usize) -> bool {
        let usable = |node: NodeId| {
            let endpoints = self.state.endpoints(self.service);
            let local = self.state.plan.service(self.service).local;
            if self.state.plan.service(self.service).kind != Kind::Plain {
                return true;
            }
            endpoints.iter().any(|(on, pod)| *pod != PodState::Unready && (!local || *on == Some(node.1)))
        };
        let nodes = (0..self.state.plan.clusters[self.service.0].nodes.len()).map(|node| (self.service.0, node));
        nodes.into_iter().any(|node| self.state.answers_on(node).contains(&leaf) && usable(node))
    }

    /// Whether another cluster that shares nothing with this one claims the VIP in the same VRF, or two hosts answer
    /// for it.
    fn claimed_twice(&self) -> bool {
        if self.vip.l2 && self.state.broken(Fault::Duplicate(self.leaf, self.service)) {
            return true;
        }
        let plan = self.state.plan;
        let cluster = &plan.clusters[self.service.0];
        let others = plan.services().filter(|other| other.0 != self.service.0);
        let mut claims = others.filter(|other| plan.service(*other).vips.contains(&self.vip));
        claims.any(|other| !cluster.shared && plan.clusters[other.0].configured_vrf == cluster.configured_vrf)
    }

    /// Returns the nodes that should announce the VIP, and the prefixes that they should announce.
    fn intent(&self) -> (BTreeSet<NodeId>, BTreeSet<IpNet>) {
        let plan = self.state.plan;
        let (mut nodes, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
        let claims = plan.services().filter(|service| {
            let ours = service.0 == self.service.0 || plan.clusters[self.service.0].shared;
            ours && plan.service(*service).vips.contains(&self.vip)
        });
        for service in claims {
            for node in (0..plan.clusters[service.0].nodes.len()).map(|node| (service.0, node)) {
                let of_vip =
                    self.state.ought(node, service).into_iter().filter(|prefix| prefix.contains(&self.vip.address()));
                for prefix in of_vip {
                    nodes.insert(node);
                    prefixes.insert(prefix);
                }
            }
        }
        (nodes, prefixes)
    }

    /// Whether a node speaks BGP with this leaf, or should or did, unless it is shown elsewhere: if it is plugged in
    /// elsewhere, its host route shows where.
    fn is_planned_here(&self, node: NodeId) -> bool {
        let plan = self.state.plan;
        let answers_here = self.state.answers_on(node).contains(&self.leaf);
        let vrf = plan.clusters[node.0].vrf;
        let tells = |leaf: usize| self.state.evpn(leaf) && self.state.instance(leaf, vrf);
        let told = self.state.answers_on(node).into_iter().any(tells);
        let shown_elsewhere = plan.host_routes && self.state.evpn(self.leaf) && told && !answers_here;
        let was_here = || plan.steps.iter().flatten().any(|fault| *fault == Fault::Moved(node, self.leaf));
        self.state.peers(node).contains(&self.leaf)
            || !shown_elsewhere && (plan.node(node).peers.contains(&self.leaf) || was_here())
    }

    /// Whether an intended path is not used: the path to a node of this leaf that should announce, or to any node if
    /// this leaf has none; or whether the longest prefix that nodes announce is not the one that matches here.
    fn path_unused(&self) -> bool {
        let (nodes, prefixes) = self.intent();
        let only_to = self.state.plan.clusters[self.service.0].only_to;
        let told = only_to.is_none_or(|only| only == self.leaf);
        let here: BTreeSet<NodeId> = nodes.iter().copied().filter(|node| told && self.is_planned_here(*node)).collect();
        // The path to a node of this leaf is the one that crosses no other leaf.
        let direct = |branch: &&Branch| here.is_empty() || branch.leaf == leaf_name(self.leaf);
        let used: BTreeSet<usize> = self.outcome.0.iter().filter(direct).filter_map(Branch::host).collect();
        let wanted = if here.is_empty() { &nodes } else { &here };
        let unused = wanted.iter().any(|node| !used.contains(&control::host_of(self.state, *node)));
        // The speaker's resources or the operator's configuration show which covering prefix is the speaker's.
        let cluster = &self.state.plan.clusters[self.service.0];
        let is_speakers = |matched: IpNet| matched.addr() == self.vip.address() || cluster.readable || cluster.pool;
        let longest = prefixes.iter().max_by_key(|prefix| prefix.prefix_len());
        unused || self.matched.is_none_or(|matched| longest != Some(&matched) || !is_speakers(matched))
    }

    /// Whether a person at this leaf's CLI, who also has what the cluster reports about itself, could determine the
    /// truth.
    fn tellable(&self) -> bool {
        let plan = self.state.plan;
        let named = |node: NodeId| plan.node(node).known != Known::Hidden;
        let all_named = plan.nodes().all(named);
        let lost = self.state.broken(Fault::NdkLost(self.leaf))
            || self.state.broken(Fault::GnmiLost(self.leaf))
            || self.api_lost();
        let instance = self.state.instance(self.leaf, plan.clusters[self.service.0].configured_vrf);
        let cluster = &plan.clusters[self.service.0];
        // If pods are behind a router that passes VIPs on as its own, nobody here can determine the truth.
        let passed_on = cluster.router.is_some_and(|router| router.next_hop_self) && plan.service(self.service).local;
        // The same applies to a covering prefix if neither the speaker's resources nor the operator say that it is the
        // speaker's.
        let host = self.matched.is_none_or(|matched| matched.addr() == self.vip.address());
        let told = host || cluster.readable || cluster.pool;
        // Which node answers ARP is known from the switch that asked.
        let answered = !self.vip.l2 || self.matched.is_some_and(|matched| matched.addr() == self.vip.address());
        let mesh = plan.service(self.service).kind == Kind::Global;
        // Where remote nodes are is known from their host routes.
        all_named && plan.host_routes && !lost && instance && !passed_on && told && answered && !mesh
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>9} {:>9} {:>9}", "published", "all", "some", "none")?;
        let words: BTreeSet<Word> = self.words.keys().map(|(word, _)| *word).collect();
        for word in words {
            let count = |truth| self.words.get(&(word, truth)).copied().unwrap_or(0);
            let name = format!("{} {}", word.0.as_str(), word.1.map_or("", Reason::as_str));
            writeln!(f, "{name:<40} {:>9} {:>9} {:>9}", count(Truth::All), count(Truth::Some), count(Truth::None))?;
        }
        let untold = self.untold.iter().map(|(reason, count)| format!("{} {count}", reason.map_or("", Reason::as_str)));
        let untold: Vec<String> = untold.collect();
        write!(
            f,
            "unknown of {} tellable states: {:.2} % ({})",
            self.tellable,
            100.0 * self.unknown_share(),
            untold.join(", ")
        )
    }
}

/// Describes a plan in words, for people who investigate a failure.
pub(crate) fn describe(plan: &Plan) -> String {
    let mut text = format!(
        "{} leaves, stretched {}, host routes {}, prefer local {}, multipath {}, summary {:?}, default from {:?}, gateways {:?}, twice {}\n",
        plan.leaves.len(),
        plan.stretched,
        plan.host_routes,
        plan.prefer_local,
        plan.multipath,
        plan.summary,
        plan.default_from,
        plan.leaves.iter().map(|leaf| leaf.gateways).collect::<Vec<_>>(),
        plan.twice,
    );
    for (number, cluster) in plan.clusters.iter().enumerate() {
        text += &format!(
            "{}: {:?} readable {} statuses {} narrowed {} aggregate {:?} vrf {} configured {} v4 {} v6 {} extended {} dynamic {} pool {} shared {} l2 {} unnumbered {} only to {:?} router {:?}\n",
            cluster_name(number),
            cluster.speaker,
            cluster.readable,
            cluster.statuses,
            cluster.narrowed,
            cluster.aggregate,
            cluster.vrf,
            cluster.configured_vrf,
            cluster.v4,
            cluster.v6,
            cluster.extended,
            cluster.dynamic,
            cluster.pool,
            cluster.shared,
            cluster.l2,
            cluster.unnumbered,
            cluster.only_to,
            cluster.router,
        );
        for (at, node) in cluster.nodes.iter().enumerate() {
            text += &format!(
                "  {} host {}: {node:?}\n",
                node_name((number, at)),
                plan.nodes().position(|id| id == (number, at)).unwrap_or(0)
            );
        }
        for (at, service) in cluster.services.iter().enumerate() {
            text += &format!("  s{}: {service:?}\n", at + 1);
        }
    }
    for (at, step) in plan.steps.iter().enumerate() {
        text += &format!("step {}: {step:?}\n", at + 1);
    }
    text
}
