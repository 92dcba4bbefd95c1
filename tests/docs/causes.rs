//! Checks that every cause has an entry (what is published, what it means, what to do, how to see it), and that the
//! pages of reasons say what to do about each.

use std::collections::BTreeMap;

use srl_k8s_services::model::verdict::ProbableCause;

use crate::pages::{self, Page, none, root};

#[test]
fn causes_and_entries_of_their_page_match_in_the_same_order() {
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

/// Returns the causes in the first cells of a page's tables that link to their entry, each with what to do.
fn told(page: &Page) -> BTreeMap<String, String> {
    let rows = page.prose.iter().filter_map(|(_, line)| line.strip_prefix("| ["));
    let cells = rows.filter_map(|row| {
        let (word, rest) = row.split_once("](../causes.md#")?;
        let (anchor, rest) = rest.split_once(')')?;
        let text = rest.trim_matches([' ', '|']);
        (word == anchor).then(|| (word.to_owned(), text.to_owned()))
    });
    cells.collect()
}

/// Returns the kind of a cause: of sessions, of routes, or stale for routes without their session.
fn kind(cause: ProbableCause) -> &'static str {
    match cause {
        ProbableCause::Stale => "stale",
        cause if cause <= ProbableCause::SpeakerSilent => "session",
        _ => "route",
    }
}

#[test]
fn reason_pages_say_what_to_do_about_each_cause() {
    let all: BTreeMap<&str, &str> = ProbableCause::ALL.map(|cause| (cause.as_str(), kind(cause))).into();
    let of = |kinds: &[&str]| {
        let words = all.iter().filter(|(_, kind)| kinds.contains(*kind));
        words.map(|(word, _)| (*word).to_owned()).collect::<Vec<_>>()
    };
    let pages: BTreeMap<String, BTreeMap<String, String>> =
        pages::folder("reasons").iter().map(|page| (page.name(), told(page))).collect();
    let words = |page: &str| pages[page].keys().cloned().collect::<Vec<_>>();
    assert_eq!(words("session-down"), of(&["session", "stale"]), "a session that is down has each of these");
    assert_eq!(words("next-hop-missing"), of(&["route"]), "a next-hop that is absent has each of these");
    let mut wrong = Vec::new();
    for (page, told) in &pages {
        for (word, text) in told {
            if !all.contains_key(word.as_str()) {
                wrong.push(format!("docs/reasons/{page}.md: {word} is no cause"));
            }
            if text.len() < 20 {
                wrong.push(format!("docs/reasons/{page}.md: nothing is said of {word}"));
            }
        }
    }
    // If the verdict concerns only routes, the cause cannot be a session.
    for page in ["local-path-unused", "no-route", "ecmp-limited", "route-not-programmed"] {
        let foreign = pages[page].keys().filter(|word| all.get(word.as_str()).is_some_and(|kind| *kind != "route"));
        wrong.extend(foreign.map(|word| format!("docs/reasons/{page}.md: {word} is no cause of it")));
        if pages[page].is_empty() {
            wrong.push(format!("docs/reasons/{page}.md: no cause is told"));
        }
    }
    none(&wrong);
}

#[test]
fn every_cause_is_tested_on_an_emulated_leaf_and_if_possible_on_frr() {
    let text =
        |path: &str| std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (lab, frr, page) = (text("tests/lab/causes.rs"), text("tests/e2e/causes.rs"), text("docs/real-peers.md"));
    let (_, cannot) = page.split_once("What FRR cannot do").expect("the page says what it cannot");
    let cannot = cannot.split("\n\n").next().unwrap_or_default();
    let mut wrong = Vec::new();
    for word in ProbableCause::ALL.map(ProbableCause::as_str) {
        let quoted = format!("\"{word}\"");
        if !lab.contains(&quoted) {
            wrong.push(format!("tests/lab/causes.rs: nothing provokes {word}"));
        }
        if frr.contains(&quoted) == cannot.contains(&format!("({word})")) {
            wrong.push(format!(
                "{word} is either in tests/e2e/causes.rs, or among what FRR cannot do in docs/real-peers.md"
            ));
        }
    }
    none(&wrong);
}
