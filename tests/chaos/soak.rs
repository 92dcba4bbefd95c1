//! A long run with ordinary faults, without restarts of the agents: their resource usage must not grow with time.
//!
//! `make soak` runs an hour of it in a release build. Its output is in docs/performance.md.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::bench::{Bench, programs};
use crate::fault::{AgentFault, Fault};
use crate::process::{self, Usage};
use crate::schedule::{Step, schedule, switches};

const SEED: u64 = 7;
/// Default duration in seconds; `SOAK_SECONDS` overrides it.
const LENGTH: u64 = 3600;
/// Time between two readings of the processes' usage.
const READING: Duration = Duration::from_secs(5);
/// Allowed growth of the average from the second to the last quarter of the run: a fraction (one part in this many) and
/// some pages.
const GROWTH: (u64, u64) = (10, 1 << 20);

/// Returns whether a fault ends or suspends agents.
fn stops_agents(fault: &Fault) -> bool {
    matches!(fault, Fault::Agent(_, AgentFault::Killed | AgentFault::Stopped | AgentFault::Suspended))
}

/// Starts and heals faults until the end, and reads each agent's usage meanwhile.
struct Soak<'a> {
    bench: &'a Bench,
    begun: Instant,
    standing: Vec<(Duration, Fault)>,
    readings: BTreeMap<String, Vec<u64>>,
    next: Instant,
}

impl Soak<'_> {
    async fn wait(&mut self, until: Instant) {
        while self.next <= until {
            sleep_until(self.next).await;
            self.next += READING;
            for leaf in self.bench.leaves() {
                let usage = self.usage(leaf);
                self.readings.entry(leaf.to_owned()).or_default().push(usage.resident);
            }
        }
        sleep_until(until).await;
    }

    fn usage(&self, leaf: &str) -> Usage {
        let process = self.bench.process(leaf).unwrap_or_else(|| panic!("{}", self.bench.failure(leaf, "it is gone")));
        process::usage(process).expect("it runs")
    }

    async fn heal_until(&mut self, now: Duration) {
        while let Some(next) = self.standing.iter().map(|(until, _)| *until).min().filter(|until| *until <= now) {
            self.wait(self.begun + next).await;
            for (_, fault) in self.standing.extract_if(.., |(until, _)| *until <= next).collect::<Vec<_>>() {
                fault.heal(self.bench).await;
            }
        }
    }

    async fn through(&mut self, steps: Vec<Step>) {
        for Step { at, lasts, fault } in steps.into_iter().filter(|step| !stops_agents(&step.fault)) {
            self.heal_until(at).await;
            self.wait(self.begun + at).await;
            fault.strike(self.bench).await;
            self.standing.push((at + lasts, fault));
        }
        self.heal_until(Duration::MAX).await;
    }
}

fn average(readings: &[u64]) -> u64 {
    readings.iter().sum::<u64>() / (readings.len() as u64).max(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "as long as one likes: make soak SECONDS=3600"]
async fn an_hour_of_faults_does_not_grow_any_agent() {
    let length = std::env::var("SOAK_SECONDS").map_or(LENGTH, |text| text.parse().expect("a number of seconds"));
    let bench = Bench::on(switches(SEED), &programs(), |_, _| {}).await;
    bench.until_healthy().await;
    let begun = Instant::now();
    let mut soak = Soak { bench: &bench, begun, standing: Vec::new(), readings: BTreeMap::new(), next: begun };
    soak.through(schedule(SEED, Duration::from_secs(length))).await;
    bench.until_healthy().await;
    let mut grown = Vec::new();
    for (leaf, readings) in &soak.readings {
        let quarters: Vec<u64> = readings.chunks(readings.len().div_ceil(4)).map(average).collect();
        let words: Vec<String> = quarters.iter().map(|bytes| format!("{:.1}", *bytes as f64 / 1e6)).collect();
        let cpu = soak.usage(leaf).cpu.as_secs_f64();
        println!("{leaf}: {} MB resident by quarter, {cpu:.1} s of processor time", words.join(", "));
        let [_, second, .., last] = &*quarters else { panic!("a run of {length} s is too short") };
        if *last > second + second / GROWTH.0 + GROWTH.1 {
            grown.push(leaf.clone());
        }
    }
    assert!(grown.is_empty(), "grown: {}", grown.join(", "));
    bench.expect_no_exit();
    bench.down().await;
}
