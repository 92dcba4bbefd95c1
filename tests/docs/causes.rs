//! Every cause the agent can name has its entry: what is said, what it means, what to do, and how to see it.

use srl_k8s_services::model::verdict::ProbableCause;

use crate::pages::{none, root};

#[test]
fn every_cause_has_an_entry_in_the_order_they_are_tried_and_every_entry_is_a_cause() {
    let text = std::fs::read_to_string(root().join("docs/causes.md")).expect("the page is there");
    let entries: Vec<(&str, &str)> = text.split("\n### ").skip(1).filter_map(|entry| entry.split_once('\n')).collect();
    let words: Vec<&str> = entries.iter().map(|(word, _)| *word).collect();
    assert_eq!(words, ProbableCause::ALL.map(ProbableCause::as_str));
    let parts = ["```text\ncause-detail \"", "\nDo: ", "\nSeen in "];
    let lacks = |(word, entry): &(&str, &str)| {
        let missing = parts.iter().filter(|part| !entry.contains(**part));
        missing.map(|part| format!("{word} has no {:?}", part.trim())).collect::<Vec<_>>()
    };
    none(&entries.iter().flat_map(lacks).collect::<Vec<_>>());
}
