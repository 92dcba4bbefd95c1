//! The words of causes that a leaf says from a moment on.

use std::collections::BTreeSet;
use std::sync::Arc;

use srl_sim::datastore::Transaction;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::bench::Bench;

/// What a leaf says.
pub(crate) struct Heard<'a> {
    bench: &'a Bench,
    leaf: &'a str,
    news: broadcast::Receiver<Arc<Transaction>>,
}

impl<'a> Heard<'a> {
    /// From now on.
    pub(crate) fn at(bench: &'a Bench, leaf: &'a str) -> Self {
        Self { bench, leaf, news: bench.leaf(leaf).datastore().subscribe() }
    }

    /// The words since the last look, each once.
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
