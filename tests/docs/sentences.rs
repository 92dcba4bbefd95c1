//! Checks that sentences quoted on pages are sentences of the code.
//!
//! The string literals of the agent are the patterns; braces in them match anything. A sentence is split at `; `, where
//! the agent joins its parts, and each part must match a pattern.

use std::fs;
use std::path::Path;

use crate::pages::{self, none, root};

/// Minimum number of letters of a pattern: with fewer, it would match anything.
const LETTERS: usize = 7;

/// The text between the braces of a literal, in order.
#[derive(Debug)]
struct Pattern(Vec<String>);

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        let [first, middle @ ..] = self.0.as_slice() else { return false };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, middle)) = middle.split_last() else { return rest.is_empty() };
        for piece in middle {
            let Some(at) = rest.find(piece.as_str()) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

/// Returns the string literals of a source, with escapes resolved and continued lines joined.
pub(crate) fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    let mut rest = code.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            '"' => {
                let mut literal = String::new();
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    match c {
                        '\\' => match rest.next() {
                            Some('\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                            Some(c) => literal.push(c),
                            None => {}
                        },
                        c => literal.push(c),
                    }
                }
                found.push(literal);
            }
            _ => {}
        }
    }
    found
}

fn pattern(literal: &str) -> Option<Pattern> {
    let mut pieces = vec![String::new()];
    let mut rest = literal;
    while let Some((piece, behind)) = rest.split_once('{') {
        pieces.last_mut()?.push_str(piece);
        rest = behind.split_once('}')?.1;
        pieces.push(String::new());
    }
    pieces.last_mut()?.push_str(rest);
    let letters = pieces.iter().flat_map(|piece| piece.chars()).filter(|c| c.is_alphabetic()).count();
    (letters >= LETTERS).then_some(Pattern(pieces))
}

fn gather(folder: &Path, patterns: &mut Vec<Pattern>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            gather(&path, patterns);
        } else if name.ends_with(".rs") && !name.starts_with("tests") {
            let source = fs::read_to_string(&path).expect("a readable source");
            let literals = literals(&source);
            patterns.extend(literals.iter().filter_map(|literal| pattern(literal)));
            patterns.extend(literals.iter().flat_map(|literal| literal.split("; ")).filter_map(pattern));
        }
    }
}

fn patterns() -> Vec<Pattern> {
    let mut patterns = Vec::new();
    gather(&root().join("agent"), &mut patterns);
    patterns
}

/// Returns the parts of a sentence that the agent does not say; none if it says the whole sentence.
fn unsaid<'a>(sentence: &'a str, patterns: &[Pattern]) -> Vec<&'a str> {
    match is_said(sentence, patterns) {
        true => Vec::new(),
        false => sentence.split("; ").filter(|part| !is_said(part, patterns)).collect(),
    }
}

/// Returns whether the agent says a part, which may continue after a colon with next-hops or a cause.
fn is_said(part: &str, patterns: &[Pattern]) -> bool {
    let shorter = part.match_indices(": ").map(|(at, _)| &part[..at]);
    [part].into_iter().chain(shorter).any(|text| patterns.iter().any(|pattern| pattern.matches(text)))
}

/// Returns the text of a leaf as `info` prints it: `oper-detail "..."`. Words without quotes are checked against YANG.
fn quoted(line: &str) -> Option<&str> {
    let (leaf, value) = line.trim_start().split_once(' ')?;
    let value = value.strip_prefix('"')?.strip_suffix('"')?;
    matches!(leaf, "oper-detail" | "oper-reason" | "cause-detail" | "text").then_some(value)
}

/// Removes the subject with which an alarm about a VIP or service begins.
fn without_subject<'a>(sentence: &'a str, patterns: &[Pattern]) -> &'a str {
    let about = ["VIP ", "Service "].iter().any(|subject| sentence.starts_with(subject));
    let named = about && patterns.iter().any(|pattern| pattern.matches(sentence));
    sentence.split_once(": ").filter(|_| named).map_or(sentence, |(_, rest)| rest)
}

#[test]
fn quoted_sentences_are_those_of_the_agent() {
    let patterns = patterns();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages::all() {
        let texts = page.fenced("text").filter_map(|(number, line)| Some((*number, quoted(line)?)));
        for (number, sentence) in texts {
            seen += 1;
            let unsaid = unsaid(without_subject(sentence, &patterns), &patterns).into_iter();
            wrong.extend(unsaid.map(|part| format!("{}: the agent does not say \"{part}\"", page.at(number))));
        }
    }
    none(&wrong);
    assert!(seen > 40, "only {seen} sentences were found: is the way they are quoted another one?");
}

#[test]
fn quoted_commit_errors_are_those_of_the_agent() {
    let patterns = patterns();
    let page = pages::Page::read(&root().join("docs/configuration.md"));
    let printed = page.fenced("text").filter(|(_, line)| line.starts_with("    "));
    let told = page.prose.iter().skip_while(|(_, line)| !line.starts_with("| leaf | what is printed"));
    let told = told.filter_map(|(number, line)| Some((*number, line.strip_prefix("| `")?.split_once("` | ")?.1)));
    let told = told.map(|(number, cell)| (number, cell.trim_end_matches(" |").trim_matches('`').to_owned()));
    let all: Vec<_> = printed.map(|(number, line)| (*number, line.trim().to_owned())).chain(told).collect();
    let unsaid = all.iter().flat_map(|(number, problem)| {
        unsaid(problem, &patterns).into_iter().map(|part| format!("{}: \"{part}\"", page.at(*number)))
    });
    none(&unsaid.collect::<Vec<_>>());
    assert!(all.len() >= 10, "{all:?}");
}

#[test]
fn a_misquoted_sentence_is_detected() {
    let patterns = patterns();
    assert!(is_said("no route in ip-vrf-1", &patterns));
    assert!(!is_said("there is not any route in ip-vrf-1", &patterns));
    assert!(!is_said("BGP is sad", &patterns));
}
