//! Many fabrics, one matrix.

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
    /// By kind: how often, and in which fabric first.
    wrong: BTreeMap<String, (usize, u64, Option<Wrong>)>,
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
                        let entry = found.wrong.entry(wrong.kind.clone()).or_insert((0, seed, None));
                        entry.0 += 1;
                        if entry.2.is_none() || seed < entry.1 {
                            (entry.1, entry.2) = (seed, Some(wrong));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panics with it")
}

/// Prints the matrix, and every kind of wrong word with the smallest fabric that shows it.
fn report(found: &Found) {
    println!("{}", found.matrix);
    for (kind, (times, seed, wrong)) in &found.wrong {
        let wrong = wrong.as_ref().expect("one was kept");
        println!("\n{times} x {kind}, first in fabric {seed}");
        let (plan, smallest) = shrink::shrink(&draw::plan(*seed), *seed, wrong);
        println!("{}\n{}", smallest.story, hold::describe(&plan));
    }
}

#[test]
fn words_of_drawn_fabrics_are_borne_out_by_what_packets_do() {
    let found = draw_all(1, 1000);
    if !found.wrong.is_empty() {
        report(&found);
    }
    assert!(found.wrong.is_empty(), "words that the truth does not bear out");
}

#[test]
#[ignore = "as many as one likes: make truth FABRICS=100000 SEED=1"]
fn no_up_and_no_critical_alarm_is_false() {
    let (count, seed) = (number("FABRICS", 1000), number("SEED", 1));
    let found = draw_all(seed, count);
    println!("{count} fabrics from seed {seed}");
    report(&found);
    let grave = found.wrong.values().filter(|(_, _, wrong)| wrong.as_ref().is_some_and(Wrong::is_grave));
    assert_eq!(grave.count(), 0, "kinds of false ups and false critical alarms");
}
