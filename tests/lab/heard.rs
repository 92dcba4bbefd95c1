//! Records the causes that a leaf reports from a time on.

use std::collections::BTreeSet;
use std::sync::Arc;

use srl_sim::datastore::Transaction;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::bench::Bench;

/// Recorded causes of a leaf.
pub(crate) struct Heard<'a> {
    bench: &'a Bench,
    leaf: &'a str,
    news: broadcast::Receiver<Arc<Transaction>>,
}

impl<'a> Heard<'a> {
    /// Starts recording.
    pub(crate) fn at(bench: &'a Bench, leaf: &'a str) -> Self {
        Self { bench, leaf, news: bench.leaf(leaf).datastore().subscribe() }
    }

    /// Returns the causes since the last call, without duplicates.
    pub(crate) fn words(&mut self) -> BTreeSet<String> {
        let schema = self.bench.leaf(self.leaf).datastore().schema().clone();
        let mut words = BTreeSet::new();
        loop {
            match self.news.try_recv() {
                Ok(transaction) => {
                    let leaves = transaction.leaves(&schema).into_iter();
                    let causes = leaves.filter(|(path, _)| path.to_string().ends_with("/probable-cause"));
                    words.extend(causes.filter_map(|(_, value)| Some(value?.as_str()?.to_owned())));
                }
                Err(TryRecvError::Empty) => return words,
                Err(error) => panic!("{}: changes were missed: {error}", self.leaf),
            }
        }
    }
}
