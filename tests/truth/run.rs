//! Runs many fabrics and collects one matrix.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::draw;
use crate::hold::{self, Matrix, Wrong};
use crate::shrink;

/// What was found in many fabrics.
#[derive(Debug, Default)]
struct Found {
    matrix: Matrix,
    /// The first wrong word of each kind in every fabric that shows it, by kind and seed.
    wrong: BTreeMap<String, BTreeMap<u64, Wrong>>,
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("FABRICS and SEED are numbers"))
}

fn draw_all(first: u64, count: u64) -> Found {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Found::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let seed = first + at;
                    let (matrix, wrong) = hold::hold(&draw::plan(seed), seed);
                    let mut found = found.lock().expect("no thread panics with it");
                    found.matrix.add(&matrix);
                    for wrong in wrong {
                        found.wrong.entry(wrong.kind.clone()).or_default().entry(seed).or_insert(wrong);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panics with it")
}

/// Prints the matrix, and for every kind of wrong word the smallest fabric that shows it.
fn report(found: &Found) {
    println!("{}", found.matrix);
    for (kind, fabrics) in &found.wrong {
        let seeds: Vec<String> = fabrics.keys().map(u64::to_string).collect();
        println!("\n{kind}, in fabrics {}", seeds.join(" "));
        let Some((seed, wrong)) = fabrics.first_key_value() else { continue };
        let (plan, smallest) = shrink::shrink(&draw::plan(*seed), *seed, wrong);
        println!("{}\n{}", smallest.story, hold::describe(&plan));
    }
}

#[test]
fn verdicts_on_random_fabrics_match_what_packets_do() {
    let found = draw_all(1, 1000);
    if !found.wrong.is_empty() {
        report(&found);
    }
    assert!(found.wrong.is_empty(), "words that the truth does not bear out");
}

#[test]
#[ignore = "as many as one likes: make truth FABRICS=100000 SEED=1"]
fn random_fabrics_give_no_false_up_and_no_false_critical_alarm() {
    let (count, seed) = (number("FABRICS", 1000), number("SEED", 1));
    let found = draw_all(seed, count);
    println!("{count} fabrics from seed {seed}");
    report(&found);
    let grave = found.wrong.values().filter(|fabrics| fabrics.values().any(Wrong::is_grave));
    assert_eq!(grave.count(), 0, "kinds of false ups and false critical alarms");
}
