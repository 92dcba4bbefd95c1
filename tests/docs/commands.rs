//! Checks what is typed in a shell: make targets, flags of the programs, levers of a lab.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value};
use srl_sim::lab::Action;

use crate::pages::{self, none, root};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns every command of a page without its comment: lines of `sh` fences, and code in prose.
fn typed(page: &pages::Page) -> Vec<(usize, String)> {
    let fenced = page.fences.iter().filter(|fence| matches!(fence.language.as_str(), "sh" | ""));
    let fenced = fenced.flat_map(|fence| &fence.lines).map(|(number, line)| (*number, line.as_str()));
    let all = fenced.chain(page.code());
    all.map(|(number, line)| (number, line.split(" #").next().unwrap_or_default().trim().to_owned())).collect()
}

fn check(problem_of: impl Fn(&[&str]) -> Option<String>) {
    let mut wrong = Vec::new();
    for page in pages::all() {
        for (number, line) in typed(&page) {
            let words: Vec<&str> = line.split_whitespace().collect();
            wrong.extend(problem_of(&words).map(|problem| format!("{}: `{line}`: {problem}", page.at(number))));
        }
    }
    none(&wrong);
}

#[test]
fn every_documented_make_target_exists() {
    let makefile = read("Makefile");
    let is_target = |name: &str| makefile.lines().any(|line| line.split(':').next() == Some(name));
    let is_variable = |name: &str| makefile.lines().any(|line| line.split_whitespace().next() == Some(name));
    check(|words| {
        let ["make", rest @ ..] = words else { return None };
        let unknown = rest.iter().find(|word| match word.split_once('=') {
            Some((name, _)) => !is_variable(name),
            None => !is_target(word),
        });
        unknown.map(|word| format!("the Makefile has no {word}"))
    });
}

#[test]
fn every_documented_flag_of_the_agent_exists() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_k8s-services")).args(arguments).output().expect("the agent runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (help, of_doctor) = (help(&["--help"]), help(&["doctor", "--help"]));
    check(|words| {
        let flags = match words {
            ["k8s-services", rest @ ..] | ["sudo", "k8s-services", rest @ ..] => rest,
            [only] if only.starts_with("--gnmi") || only.starts_with("--ndk") => words,
            _ => return None,
        };
        let name = |word: &&str| word.split('=').next().unwrap_or_default().to_owned();
        let flags = flags.iter().filter(|word| word.starts_with("--")).map(name);
        let help = if words.contains(&"doctor") { &of_doctor } else { &help };
        let known = |flag: &String| help.split([' ', ',', '\n']).any(|word| word == flag);
        flags.into_iter().find(|flag| !known(flag)).map(|flag| format!("the agent has no {flag}"))
    });
}

#[test]
fn every_documented_test_target_exists() {
    check(|words| {
        let named = words.iter().position(|word| *word == "--test").filter(|_| words.contains(&"cargo"))?;
        let name = words.get(named + 1)?;
        let there = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
        (!there.iter().any(|path| root().join(path).exists())).then(|| format!("there is no {}", there[0]))
    });
}

/// Parses an action as typed: its name, the name of its lever, if any, and `name=value` details.
pub(crate) fn action(words: &[&str]) -> Result<Action, serde_json::Error> {
    let (details, names): (Vec<&&str>, Vec<&&str>) = words.iter().partition(|word| word.contains('='));
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let members = details.iter().filter_map(|detail| detail.split_once('='));
    let members: Map<String, Value> = members.map(|(name, text)| (name.to_owned(), value(text))).collect();
    let mut names = names.into_iter().rev();
    let innermost = names.next().copied().unwrap_or_default();
    let named = |name: &str, value: Value| Value::Object(Map::from_iter([(name.to_owned(), value)]));
    let innermost = match members.is_empty() {
        true => Value::String(innermost.to_owned()),
        false => named(innermost, Value::Object(members)),
    };
    serde_json::from_value(names.fold(innermost, |inner, name| named(name, inner)))
}

#[test]
fn every_documented_srl_sim_command_exists() {
    let program = read("sim/src/main.rs");
    let subcommand = |name: &str| {
        let (first, rest) = name.split_at(1);
        let variant = format!("    {}{rest}", first.to_uppercase());
        program.lines().any(|line| line.strip_prefix(&variant).is_some_and(|rest| rest.starts_with([' ', ','])))
    };
    let flag = |name: &str| program.contains(&format!("{}:", name.replace('-', "_")));
    check(|words| {
        let ["srl-sim", name, rest @ ..] = words else { return None };
        if !subcommand(name) {
            return Some(format!("there is no subcommand {name}"));
        }
        let mut rest = rest.to_vec();
        if let Some(at) = rest.iter().position(|word| *word == "--run") {
            rest.drain(at..(at + 2).min(rest.len()));
        }
        let unknown = rest.iter().filter_map(|word| word.strip_prefix("--")).find(|name| !flag(name));
        if let Some(unknown) = unknown {
            return Some(format!("there is no flag --{unknown}"));
        }
        let acts = matches!(*name, "lever" | "act") && !rest.is_empty() && rest != ["list"];
        acts.then(|| action(&rest).err()).flatten().map(|error| error.to_string())
    });
}
