//! The schedule of faults, which depends only on a seed.

use std::time::Duration;

use srl_sim::fabric::Lever;
use srl_sim::lab::{ApiServerFault, ServiceFault};
use srl_sim::ndk::{AcceptedPaths, AnnounceFirst, Spelling, StaleState, Switches};

use crate::fault::{AgentFault, Fault};

/// A fault, when it begins, and how long it lasts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// Average time between two faults in milliseconds: two seconds stand for a minute.
const PACE: u64 = 500;
const LEAVES: [&str; 4] = ["leaf1", "leaf2", "leaf3", "leaf4"];
const NODES: [(&str, &str); 3] = [("cluster1", "leaf1"), ("cluster1-m02", "leaf2"), ("cluster1-m03", "leaf3")];
const SERVICES: [&str; 3] = ["nginxhello", "spread", "near"];
const PREFIXES: [&str; 3] = ["1.1.1.100/32", "1.1.1.120/32", "1.1.1.121/32"];

/// Returns the faults of a run in the order in which they begin. Faults that concern the same thing do not overlap.
pub(crate) fn schedule(seed: u64, length: Duration) -> Vec<Step> {
    let mut random = Random(seed);
    let mut steps: Vec<Step> = Vec::new();
    let mut at = Duration::ZERO;
    while at < length {
        let (fault, lasts) = draw(&mut random);
        let things = fault.things();
        let busy = steps
            .iter()
            .any(|step| step.at + step.lasts >= at && step.fault.things().iter().any(|thing| things.contains(thing)));
        if busy {
            continue;
        }
        steps.push(Step { at, lasts, fault });
        at += Duration::from_millis(random.between(PACE / 5, PACE * 9 / 5));
    }
    steps
}

/// Returns the behaviour of the switches in a run, where devices differ.
pub(crate) fn switches(seed: u64) -> Switches {
    let mut random = Random(!seed);
    Switches {
        config_path_spelling: random.pick(&[Spelling::Underscore, Spelling::Hyphen]),
        telemetry_paths: random.pick(&[AcceptedPaths::Both, AcceptedPaths::Hyphen, AcceptedPaths::Underscore]),
        stale_state: random.pick(&[StaleState::UntilRegistered, StaleState::UntilDeleted]),
        delete_unknown_is_error: random.pick(&[false, true]),
        announce_first: random.pick(&[AnnounceFirst::Routes, AnnounceFirst::Groups]),
        batch: random.pick(&[2, 256]),
        late_stream_headers: random.pick(&[false, true]),
        streams_survive_drop: random.pick(&[false, true]),
        ..Switches::default()
    }
}

fn draw(random: &mut Random) -> (Fault, Duration) {
    let moment = Duration::ZERO;
    let short = Duration::from_millis(random.between(300, 6_000));
    let long = Duration::from_millis(random.between(1_000, 25_000));
    match random.below(100) {
        0..30 => (Fault::Fabric(lever(random)), long),
        30..33 => (Fault::Renumber(leaf(random)), moment),
        33..38 => (Fault::Scale(random.pick(&SERVICES), random.between(0, 4).try_into().expect("small")), long),
        38..42 => (Fault::Remove(random.pick(&SERVICES)), long),
        42..45 => (Fault::Policy(random.pick(&SERVICES)), long),
        45..48 => (Fault::Unready(random.pick(&NODES).0), long),
        48..50 => (Fault::NodeGone(random.pick(&NODES).0), long),
        50..62 => api(random, short),
        62..76 => ndk(random, short),
        76..85 => gnmi(random, short),
        85..97 => agent(random, short),
        _ => (Fault::Disabled(leaf(random)), short),
    }
}

fn lever(random: &mut Random) -> Lever {
    let (node, home) = random.pick(&NODES);
    let (node, home, leaf) = (node.to_owned(), home.to_owned(), leaf(random).to_owned());
    let prefix = random.pick(&PREFIXES).parse().expect("a literal prefix");
    match random.below(12) {
        0 | 1 => Lever::SessionDown { leaf: Some(home), node },
        2 => Lever::LinkDown { node },
        3 => Lever::SpeakerDead { node },
        4 => Lever::NodeMoved { node, leaf: "leaf4".to_owned() },
        5 => Lever::FibFailed { leaf, prefix },
        6 => Lever::FibPending { leaf, prefix },
        7 => Lever::PolicyReject { leaf: home, prefix },
        8 => Lever::EvpnWithdrawn { leaf: home, prefix: Some(prefix) },
        9 => Lever::OverlayDown { leaf },
        10 => Lever::Withheld { node, prefix },
        _ => Lever::NetworkInstanceMissing { leaf, network_instance: "ip-vrf-1".to_owned() },
    }
}

fn api(random: &mut Random, short: Duration) -> (Fault, Duration) {
    match random.below(7) {
        0 => (Fault::Api(ApiServerFault::Stop), short),
        1 => (Fault::Api(ApiServerFault::Silent), short),
        2 => (Fault::Api(ApiServerFault::DropWatches), Duration::ZERO),
        3 => (Fault::Api(ApiServerFault::Expire), Duration::ZERO),
        4 => (Fault::ApiForgets, Duration::ZERO),
        5 => (Fault::ApiRefuses(random.pick(&[429, 500, 503]), 5), Duration::ZERO),
        _ => (Fault::ApiSlow(Duration::from_millis(random.between(50, 800))), short),
    }
}

fn ndk(random: &mut Random, short: Duration) -> (Fault, Duration) {
    let leaf = leaf(random);
    match random.below(6) {
        0 => (Fault::Ndk(leaf, ServiceFault::Stop), short),
        1 => (Fault::Ndk(leaf, ServiceFault::DropStreams), Duration::ZERO),
        2 => (Fault::Ndk(leaf, ServiceFault::Freeze), short),
        3 => (Fault::NdkSlow(leaf, Duration::from_millis(random.between(50, 800))), short),
        4 => (Fault::NdkRefuses(leaf, random.pick(&[1, 2, 7])), Duration::ZERO),
        _ => (Fault::NdkRefusesAll(leaf), short),
    }
}

fn gnmi(random: &mut Random, short: Duration) -> (Fault, Duration) {
    let leaf = leaf(random);
    match random.below(4) {
        0 => (Fault::Gnmi(leaf, ServiceFault::Stop), short),
        1 => (Fault::Gnmi(leaf, ServiceFault::DropStreams), Duration::ZERO),
        2 => (Fault::Gnmi(leaf, ServiceFault::Freeze), short),
        _ => (Fault::GnmiSlow(leaf, Duration::from_millis(random.between(20, 300))), short),
    }
}

fn agent(random: &mut Random, short: Duration) -> (Fault, Duration) {
    let leaf = leaf(random);
    match random.below(4) {
        0 => (Fault::Agent(leaf, AgentFault::Killed), Duration::ZERO),
        1 => (Fault::Agent(leaf, AgentFault::Stopped), short),
        2 => (Fault::Agent(leaf, AgentFault::Reloaded), Duration::ZERO),
        _ => (Fault::Agent(leaf, AgentFault::Suspended), short),
    }
}

fn leaf(random: &mut Random) -> &'static str {
    random.pick(&LEAVES)
}

/// SplitMix64, which returns the same numbers on every machine and in every release.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, first: u64, end: u64) -> u64 {
        first + self.below(end - first)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("an index fits")]
    }
}

#[test]
fn a_schedule_depends_only_on_its_seed_and_never_overlaps_faults_of_one_target() {
    let length = Duration::from_secs(60);
    let steps = schedule(7, length);
    assert_eq!(steps, schedule(7, length));
    assert_ne!(steps, schedule(8, length));
    assert!(steps.len() > 60, "{}", steps.len());
    for (position, step) in steps.iter().enumerate() {
        for other in &steps[position + 1..] {
            let apart = other.at > step.at + step.lasts;
            assert!(
                apart || !other.fault.things().iter().any(|thing| step.fault.things().contains(thing)),
                "{step:?} and {other:?}"
            );
        }
    }
}
