//! An hour of operation with faults, in two minutes: faults are drawn from a seed, several at a time, and invariants
//! are checked during and after the run.
//!
//! The faults are always the same. `CHAOS_SEED=random` draws others, a number repeats these, and `CHAOS_SECONDS` sets
//! the duration.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};
use srl_sim::appmgr::Operation;
use tokio::time::{Instant, sleep_until};

use crate::bench::{AGENT, Bench, LONG_QUIET, QUIET, lasting, programs};
use crate::fault::Fault;
use crate::process;
use crate::schedule::{Step, schedule, switches};
use crate::watch::Watch;

/// Default seed and duration in seconds.
const SEED: u64 = 60;
const LENGTH: u64 = 100;
/// Time between two checks of the leaves.
const LOOK: Duration = Duration::from_millis(250);
/// At these parts of the run, all faults except those of the fabric are healed for a moment, and everything is
/// compared.
const CHECKPOINTS: [f64; 2] = [0.35, 0.7];
/// Maximum processor time of an agent (debug build) per duration of the run. A loop without a pause would use all of
/// it.
const BUSY: f64 = 0.25;
/// Maximum processor time while nothing happens, per duration.
const IDLE: f64 = 0.05;
/// Duration of the measurement for [`IDLE`].
const REST: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_hour_of_random_faults_the_state_equals_that_of_a_fresh_agent() {
    let given = |name: &str| std::env::var(name).ok();
    let number = |text: String| text.parse::<u64>().expect("a number");
    let length = given("CHAOS_SECONDS").map_or(LENGTH, number);
    let seed = match given("CHAOS_SEED") {
        Some(word) if word == "random" => u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs()),
        given => given.map_or(SEED, number),
    };
    let repeat =
        Repeat(format!("CHAOS_SEED={seed} CHAOS_SECONDS={length} cargo test --test chaos random -- --nocapture"));
    println!("{}", repeat.0);

    let bench = Bench::on(switches(seed), &programs(), |lab, _| {
        lab.config.push_str("set / k8s-services alarm-policy kubernetes-events true\n");
    })
    .await;
    bench.until_healthy().await;
    let begun = Instant::now();
    let mut run = Run { bench: &bench, watch: Watch::default(), standing: Vec::new(), said: Vec::new(), begun };
    run.through(schedule(seed, Duration::from_secs(length))).await;
    run.heal(|_| true).await;
    run.compare_with_fresh_agents().await;
    run.expect_low_usage().await;
    bench.expect_no_exit();
    bench.down().await;
    drop(repeat);
}

/// Prints how to repeat a run that failed.
struct Repeat(String);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("to repeat: {}", self.0);
        }
    }
}

struct Run<'a> {
    bench: &'a Bench,
    watch: Watch,
    /// Faults in force and the times at which they are healed.
    standing: Vec<(Duration, Fault)>,
    said: Vec<String>,
    begun: Instant,
}

impl Run<'_> {
    /// Starts and heals faults in order, and compares at the checkpoints.
    async fn through(&mut self, steps: Vec<Step>) {
        let checkpoints = CHECKPOINTS.map(|part| (steps.len() as f64 * part) as usize);
        let mut begun = Instant::now();
        for (position, Step { at, lasts, fault }) in steps.into_iter().enumerate() {
            if checkpoints.contains(&position) {
                let pause = Instant::now();
                self.checkpoint().await;
                begun += pause.elapsed();
            }
            while let Some(next) = self.standing.iter().map(|(until, _)| *until).min().filter(|until| *until <= at) {
                self.wait(begun + next).await;
                self.heal_due(next).await;
            }
            self.wait(begun + at).await;
            self.say(&format!("{fault:?} for {} ms", lasts.as_millis()));
            self.watch.begins(self.bench, &fault);
            fault.strike(self.bench).await;
            self.standing.push((at + lasts, fault));
        }
    }

    async fn wait(&mut self, until: Instant) {
        loop {
            self.watch.look(self.bench);
            let look = Instant::now() + LOOK;
            sleep_until(look.min(until)).await;
            if Instant::now() >= until {
                return;
            }
        }
    }

    async fn heal_due(&mut self, now: Duration) {
        let due = self.standing.extract_if(.., |(until, _)| *until <= now).map(|(_, fault)| fault).collect();
        self.heal_all(due).await;
    }

    /// Heals the standing faults that match.
    async fn heal(&mut self, meant: impl Fn(&Fault) -> bool) {
        let due = self.standing.extract_if(.., |(_, fault)| meant(fault)).map(|(_, fault)| fault).collect();
        self.heal_all(due).await;
    }

    async fn heal_all(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            self.say(&format!("healed: {fault:?}"));
            fault.heal(self.bench).await;
            self.watch.ends(self.bench, &fault);
        }
    }

    /// Keeps the world's faults but lets every agent see them: each agent must report what is true, and report the same
    /// after a restart.
    async fn checkpoint(&mut self) {
        self.say("checkpoint");
        self.heal(Fault::blinds).await;
        self.until_right().await;
        let before = self.bench.settled(LONG_QUIET).await;
        assert_eq!(Watch::now(self.bench), Vec::<String>::new(), "{}", self.story());
        for leaf in self.bench.leaves() {
            self.bench.operate(leaf, Operation::Restart).await;
            self.bench.killed(leaf);
        }
        let after = self.bench.settled(QUIET).await;
        self.expect_same("an agent that was killed says something else", &before, &after);
    }

    /// Waits until nothing is certainly wrong. The watch limits the wait.
    async fn until_right(&mut self) {
        while !Watch::now(self.bench).is_empty() {
            self.wait(Instant::now() + LOOK).await;
        }
    }

    /// Compares what is published now with what agents without memory publish.
    async fn compare_with_fresh_agents(&mut self) {
        self.say("everything is healed");
        self.bench.until_healthy().await;
        self.until_right().await;
        let before = self.bench.settled(LONG_QUIET).await;
        for leaf in self.bench.leaves() {
            self.bench.operate(leaf, Operation::Stop).await;
            let memory = self.bench.leaf(leaf).folder().join("state.json");
            std::fs::remove_file(memory).expect("the agent kept its memory there");
            self.bench.operate(leaf, Operation::Start).await;
        }
        let fresh = self.bench.settled(QUIET).await;
        self.expect_same("a fresh agent says something else", &fresh, &before);
    }

    fn expect_same(&self, what: &str, right: &BTreeMap<String, Value>, wrong: &BTreeMap<String, Value>) {
        if let Some(leaf) = self.bench.leaves().find(|leaf| right[*leaf] != wrong[*leaf]) {
            let (mut differences, log) = (Vec::new(), self.bench.leaf(leaf).apps().log_file(AGENT));
            differ("", &right[leaf], &wrong[leaf], &mut differences);
            let differences = differences.join("\n  ");
            panic!("{leaf}: {what}:\n  {differences}\n  the agent's log: {}\n{}", log.display(), self.story());
        }
    }

    async fn expect_low_usage(&mut self) {
        let length = self.begun.elapsed().as_secs_f64();
        for leaf in self.bench.leaves() {
            let used = self.watch.used(leaf);
            println!("{leaf}: {:.1} s of processor time, {} KiB resident", used.cpu.as_secs_f64(), used.resident >> 10);
            let share = used.cpu.as_secs_f64() / length;
            assert!(share < BUSY, "{}", self.bench.failure(leaf, &format!("busy for {share:.2} of the time")));
        }
        let cpu = |leaf: &str| process::usage(self.bench.process(leaf).expect("it runs")).expect("it runs").cpu;
        let before: Vec<_> = self.bench.leaves().map(|leaf| (leaf, cpu(leaf))).collect();
        sleep_until(Instant::now() + REST).await;
        for (leaf, before) in before {
            let share = (cpu(leaf) - before).as_secs_f64() / REST.as_secs_f64();
            assert!(share < IDLE, "{}", self.bench.failure(leaf, &format!("busy for {share:.2} of idle time")));
        }
    }

    fn say(&mut self, what: &str) {
        let line = format!("{:7.2} s  {what}", self.begun.elapsed().as_secs_f64());
        println!("{line}");
        self.said.push(line);
    }

    /// Returns the last actions.
    fn story(&self) -> String {
        let first = self.said.len().saturating_sub(40);
        self.said[first..].join("\n")
    }
}

/// Finds where two values differ.
fn differ(path: &str, right: &Value, wrong: &Value, found: &mut Vec<String>) {
    use Value::{Array, Null, Object};
    match (right, wrong) {
        (Object(rights), Object(wrongs)) => {
            let names: BTreeSet<_> = rights.keys().chain(wrongs.keys()).collect();
            for name in names {
                let side = |of: &Map<_, _>| of.get(name).cloned().unwrap_or(Null);
                differ(&format!("{path}/{name}"), &side(rights), &side(wrongs), found);
            }
        }
        (Array(rights), Array(wrongs)) if rights.len() == wrongs.len() => {
            for (position, (right, wrong)) in rights.iter().zip(wrongs).enumerate() {
                differ(&format!("{path}[{position}]"), right, wrong, found);
            }
        }
        _ if right == wrong => {}
        _ => found.push(format!("{path}: {wrong} in place of {right}")),
    }
}

#[test]
fn timestamps_and_statistics_are_not_compared() {
    let state = serde_json::json!({ "a": [{ "last-change": "now", "b": 1 }], "statistics": { "c": 2 } });
    assert_eq!(lasting(&state), serde_json::json!({ "a": [{ "b": 1 }] }));
}
