//! Provides the functions that a fuzzer calls: each passes bytes from outside through their decoder, and the result
//! into an engine.
//!
//! Compiled only for tests and for `make fuzz`. None of them may panic, whatever the input. A target of `fuzz/` calls
//! each without end; the tests below call each for a limited time with damaged seeds of the same corpus.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Assembler;
use crate::engine::Engine;
use crate::model::commit::{ConfigChange, Operation};
use crate::model::config::{ClusterConfig, Config};
use crate::model::event::{Event, SourceEvent};
use crate::model::names::ClusterName;
use crate::model::source::SourceId;
use crate::model::time::Now;

/// A cluster for which everything is read.
const CONFIGURATION: &[(&str, &str)] = &[
    (
        ".k8s_services.cluster{.name==\"c1\"}",
        r#"{"kubeconfig":"/c1.kubeconfig","network-instance":"ip-vrf-1","include-external-ips":true,"node-address-annotation":"example.com/bgp","vip-pool":["1.1.1.0/24"]}"#,
    ),
    (".k8s_services.cluster{.name==\"c1\"}.node{.name==\"worker-1\"}", r#"{"fabric-address":["192.168.1.11"]}"#),
];

fn config() -> Config {
    let changes = CONFIGURATION.iter().map(|(path, json)| ConfigChange {
        op: Operation::Set,
        path: (*path).to_owned(),
        json: (*json).to_owned(),
    });
    let valid = Assembler::new(Arc::from(Path::new("/"))).apply(0, &changes.collect::<Vec<_>>());
    valid.expect("the configuration is valid").config
}

fn cluster() -> (ClusterName, Arc<ClusterConfig>) {
    config().clusters.into_iter().next().expect("a cluster is configured")
}

/// Judges these events together with everything else that judging needs; returns their number.
fn judge(events: Vec<Event>) -> usize {
    let read = events.len();
    let (name, _) = cluster();
    let mut engine = Engine::new();
    let sources = [SourceId::Ndk, SourceId::Gnmi, SourceId::Kubernetes(name)];
    let before = [Event::Configured(Arc::new(config()))];
    let after = sources.into_iter().map(|source| Event::Source(source, SourceEvent::Synced)).chain([Event::Tick]);
    let all = before.into_iter().chain(events).chain(after);
    for (at, event) in (0..).zip(all) {
        let elapsed = Duration::from_secs(60 * at);
        engine.apply(Now { elapsed, wall: Timestamp::UNIX_EPOCH + elapsed }, event);
    }
    read
}

/// Reads a message of the NDK's notification stream.
pub fn ndk(bytes: &[u8]) -> usize {
    let (events, commits) = crate::ndk::fuzz::message(bytes);
    commits.iter().for_each(|changes| commit(changes));
    judge(events) + commits.len()
}

/// Reads a message of a gNMI subscription.
pub fn gnmi_subscription(bytes: &[u8]) -> usize {
    judge(crate::gnmi::fuzz::subscription(bytes))
}

/// Reads the answer to a Get of the investigator.
pub fn gnmi_answer(bytes: &[u8]) -> usize {
    crate::gnmi::fuzz::answer(bytes)
}

/// Reads an object of a cluster as JSON, after a byte for its kind.
pub fn object(bytes: &[u8]) -> usize {
    let (name, cluster) = cluster();
    let events = crate::kubernetes::fuzz::object(&cluster.source, bytes);
    judge(events.into_iter().map(|event| Event::Cluster(name.clone(), event)).collect())
}

/// Reads a kubeconfig, with tokens and certificates in it.
pub fn kubeconfig(bytes: &[u8]) -> usize {
    crate::kubernetes::fuzz::kubeconfig(bytes)
}

/// Applies a change of the configuration: path, blank, JSON.
pub fn configuration(bytes: &[u8]) -> usize {
    let line = String::from_utf8_lossy(bytes);
    let (path, json) = line.split_once(' ').unwrap_or((&line, ""));
    commit(&[ConfigChange { op: Operation::Set, path: path.to_owned(), json: json.to_owned() }]);
    1
}

/// Applies changes, which must be accepted, or refused with a message.
fn commit(changes: &[ConfigChange]) {
    if let Err(problems) = Assembler::new(Arc::from(Path::new("/"))).apply(0, changes) {
        assert!(!problems.is_empty(), "{changes:?} is refused without a reason");
    }
}

/// Reads a state file.
pub fn state_file(bytes: &[u8]) -> usize {
    let state = crate::state_file::legible(bytes);
    judge(state.ok().map(Event::Restored).into_iter().collect())
}

#[cfg(test)]
#[path = "../tests/hostile/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::damage::{damage, damaged};
    use super::*;

    /// Returns the seeds of a target: what a real peer sends.
    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).expect("a file")).collect()
    }

    type Target = fn(&[u8]) -> usize;

    /// All targets, each with the folder of its seeds.
    const TARGETS: &[(&str, Target)] = &[
        ("ndk", ndk),
        ("gnmi_subscription", gnmi_subscription),
        ("gnmi_answer", gnmi_answer),
        ("object", object),
        ("kubeconfig", kubeconfig),
        ("configuration", configuration),
        ("state_file", state_file),
    ];

    #[test]
    fn every_seed_decodes_to_something() {
        for (name, target) in TARGETS {
            let seeds = corpus(name);
            assert!(!seeds.is_empty(), "{name} has no seeds");
            for (at, seed) in seeds.iter().enumerate() {
                assert!(target(seed) > 0, "nothing comes of seed {at} of {name}");
            }
        }
    }

    #[test]
    fn every_target_is_also_a_cargo_fuzz_target() {
        let manifest = include_str!("../fuzz/Cargo.toml");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
        }
    }

    proptest! {
        #![proptest_config(crate::cases::cases(500, "agent/fuzz.regressions"))]

        #[test]
        fn damaged_seeds_never_make_a_decoder_panic(
            at in any::<Index>(),
            seed in any::<Index>(),
            damages in prop::collection::vec(damage(), 1..8),
        ) {
            let (name, target) = TARGETS[at.index(TARGETS.len())];
            let seeds = corpus(name);
            target(&damaged(&seeds[seed.index(seeds.len())], &damages));
        }
    }
}
