//! Checks that words which docs/style.md replaces are not used in what operators see: pages, sentences of agent and
//! emulator, YANG, the CLI plugin, rules, dashboards and scripts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::pages::{none, root};
use crate::sentences::literals;

/// Word sequences that read like translations, from the style page. `!x` at either end: not if that word is next to it.
const AVOIDED: &[&str] = &[
    "anew",
    "are told",
    "as good as none",
    "be told",
    "by its last word",
    "for ever",
    "from the begin on",
    "gives",
    "known intent",
    "no more !than",
    "none where",
    "out of reach",
    "says of",
    "tells of",
    "told of",
    "was told",
    "were told",
    "is told",
    "!there is no !longer",
    "!there are no !longer",
];

/// What operators see besides the string literals of the code.
const TEXTS: &[&str] =
    &["README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "docs", "lab", "yang", "appmgr", "packaging"];
const KINDS: &[&str] = &["md", "yang", "yml", "yaml", "json", "py", "star", "sh", "txt", ""];
/// Pages that quote these words, output of other programs, and files for machines.
const APART: &[&str] = &["docs/style.md", "packaging/third-party-licenses", "lab/containerlab", "packaging/need-"];

/// Returns the words of a text with their lines, in lower case and without punctuation.
fn words(text: &str) -> Vec<(usize, String)> {
    let of_line = |(at, line): (usize, &str)| {
        let words = line
            .split(|c: char| c.is_whitespace() || c == '|')
            .map(|word| (at + 1, word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()));
        words.filter(|(_, word)| !word.is_empty()).collect::<Vec<_>>()
    };
    text.lines().enumerate().flat_map(of_line).collect()
}

/// Returns the forbidden words in a text with their lines.
fn found(text: &str) -> Vec<(usize, &'static str)> {
    let words = words(text);
    let word = |at: Option<usize>| at.and_then(|at| words.get(at)).map_or("", |(_, word)| word.as_str());
    let mut found = Vec::new();
    for avoided in AVOIDED {
        let mut pieces: Vec<&str> = avoided.split(' ').collect();
        let before = pieces.first().and_then(|first| first.strip_prefix('!'));
        let after = pieces.last().and_then(|last| last.strip_prefix('!'));
        pieces.retain(|piece| !piece.starts_with('!'));
        for (at, window) in words.windows(pieces.len()).enumerate() {
            let same = window.iter().zip(&pieces).all(|((_, word), piece)| word == piece);
            let excused = before.is_some_and(|before| word(at.checked_sub(1)) == before)
                || after.is_some_and(|after| word(Some(at + pieces.len())) == after);
            if same && !excused {
                found.push((window[0].0, *avoided));
            }
        }
    }
    found
}

/// Collects the files of these kinds below a path, in order.
fn files(path: &Path, kinds: &[&str], all: &mut Vec<PathBuf>) {
    if path.is_file() {
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        let name = path.strip_prefix(root()).unwrap_or(path).to_string_lossy();
        if kinds.contains(&extension) && !APART.iter().any(|apart| name.starts_with(apart)) {
            all.push(path.to_owned());
        }
        return;
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut below: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    below.sort();
    below.iter().for_each(|path| files(path, kinds, all));
}

fn at(path: &Path, line: usize, words: &str) -> String {
    format!("{}:{line}: \"{words}\"", path.strip_prefix(root()).unwrap_or(path).display())
}

#[test]
fn texts_avoid_the_words_of_the_style_page() {
    let mut all = Vec::new();
    TEXTS.iter().for_each(|text| files(&root().join(text), KINDS, &mut all));
    let mut wrong = Vec::new();
    for path in &all {
        let Ok(text) = fs::read_to_string(path) else { continue };
        wrong.extend(found(&text).into_iter().map(|(line, words)| at(path, line, words)));
    }
    none(&wrong);
    assert!(all.len() > 120, "only {} files were found", all.len());
}

#[test]
fn sentences_of_the_code_avoid_the_words_of_the_style_page() {
    let mut all = Vec::new();
    ["agent", "sim/src"].iter().for_each(|folder| files(&root().join(folder), &["rs"], &mut all));
    let mut wrong = Vec::new();
    for path in all.iter().filter(|path| !path.to_string_lossy().contains("tests")) {
        let source = fs::read_to_string(path).expect("a readable source");
        let shipped = source.split_once("#[cfg(test)]\nmod tests {").map_or(source.as_str(), |(shipped, _)| shipped);
        let sentences = literals(shipped);
        let bad = sentences.iter().filter(|sentence| !found(sentence).is_empty());
        wrong.extend(bad.map(|sentence| at(path, 1, sentence)));
        // Comments on flags are printed by --help.
        let helps = shipped.lines().enumerate().filter(|(_, line)| line.starts_with("    ///"));
        for (number, help) in helps.filter(|_| path.ends_with("main.rs")) {
            wrong.extend(found(help).into_iter().map(|(_, words)| at(path, number + 1, words)));
        }
    }
    none(&wrong);
}

#[test]
fn avoided_words_are_found_but_similar_correct_ones_are_not() {
    for (text, expected) in [
        ("it is out\n of reach", Some(1)),
        ("'x' is no prefix", Some(1)),
        ("there is no route", None),
        ("It is no longer there", None),
        ("costs no more than one", None),
        ("for every leaf", None),
        ("one\ntwo says of it", Some(2)),
    ] {
        assert_eq!(found(text).first().map(|(line, _)| *line), expected, "{text}");
    }
}
