//! Checks what pages say that a leaf reports, in the anycast lab with an agent process on every leaf.
//!
//! The guide is followed command by command. A page of a reason that says how to see it in the lab is tried: its quotes
//! must appear in the leaf's state together with one of its alarms, and disappear after healing.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use srl_sim::lab::{Lab, LabFile, LabOptions};
use srl_sim::profile::Profile;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::commands::action;
use crate::pages::{self, Page, root};

/// Time within which a leaf must report something.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);
const ALL_STATE: &str = "info from state k8s-services";

/// The lab, in its own folder.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    run: Option<TempDir>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The logs of a failed test are kept.
        if let Some(run) = self.run.take().filter(|_| std::thread::panicking()) {
            eprintln!("logs are in {}", run.keep().display());
        }
    }
}

impl Bench {
    pub(crate) async fn up() -> Self {
        let file = LabFile::read(&root().join("lab/anycast-metallb")).expect("the lab is readable");
        let run = tempfile::Builder::new().prefix("docs").tempdir().expect("a folder");
        let program = Path::new(env!("CARGO_BIN_EXE_k8s-services"));
        let options = LabOptions {
            run: run.path().to_owned(),
            programs: program.parent().map(PathBuf::from).expect("a program is in a folder"),
            gnmi_port: None,
            api_port: None,
            profile: Profile::default(),
        };
        let lab = Lab::up(file, options, |_| {}).await.unwrap_or_else(|error| panic!("{error}"));
        let bench = Self { lab, run: Some(run) };
        for leaf in bench.lab.leaves().keys() {
            bench.until(leaf, "all is well", |state| healthy(state).then_some(())).await;
        }
        bench
    }

    /// Returns the answer of a leaf's CLI, without what differs between runs.
    async fn ask(&self, leaf: &str, command: &str) -> String {
        let output = self.lab.leaves()[leaf].cli(command).await;
        timeless(&output.unwrap_or_else(|refused| panic!("{leaf}: {command}: {refused}")))
    }

    async fn until<T>(&self, leaf: &str, what: &str, holds: impl Fn(&str) -> Option<T>) -> T {
        let state = || self.ask(leaf, ALL_STATE);
        in_time(state, holds).await.unwrap_or_else(|state| panic!("{leaf}: not in time: {what}; it says\n{state}"))
    }

    /// Performs what a page says: configuration lines on a leaf, or actions on the lab.
    async fn carry_out(&self, leaf: &str, commands: &[String]) {
        let (typed, acts): (Vec<&String>, Vec<&String>) =
            commands.iter().partition(|command| command.starts_with("set ") || command.starts_with("delete "));
        for command in acts {
            self.act(command).await;
        }
        if typed.is_empty() {
            return;
        }
        let lines = ["enter candidate"].into_iter().chain(typed.iter().map(|line| line.as_str())).chain(["commit now"]);
        let script = lines.collect::<Vec<_>>().join("\n");
        let output = self.lab.leaves()[leaf].cli(&script).await;
        output.unwrap_or_else(|refused| panic!("{leaf}: {script}: {refused}"));
    }

    /// Performs `srl-sim lever ...` or `srl-sim act ...`.
    async fn act(&self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ["srl-sim", "lever" | "act", words @ ..] = words.as_slice() else { panic!("cannot do `{command}`") };
        let action = action(words).unwrap_or_else(|error| panic!("`{command}`: {error}"));
        self.lab.act(&action).await.unwrap_or_else(|error| panic!("`{command}`: {error}"));
    }
}

/// Looks repeatedly until `holds` returns something. Returns the last look when time is up.
async fn in_time<T, F: Future<Output = String>>(
    look: impl Fn() -> F,
    holds: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if let Some(found) = holds(&seen) {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn healthy(state: &str) -> bool {
    let lines: Vec<&str> = state.lines().map(str::trim).collect();
    let well = ["oper-state up", "vips-up 1", "oper-state synced"].iter().all(|line| lines.contains(line));
    let ill =
        ["oper-state down", "oper-state degraded", "oper-state unknown", "oper-state stale", "oper-state syncing"];
    well && !lines.iter().any(|line| ill.contains(line) || line.starts_with("alarm "))
}

/// Replaces times and ports in a text, and removes ages.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = match line.split_once(" (") {
            Some((before, rest)) if rest.ends_with("ago)\"") || rest.ends_with("now)\"") => format!("{before}\""),
            _ => line.to_owned(),
        };
        without(&without(&line, is_time, "TIME"), is_port, "127.0.0.1:PORT").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces every part of a line for which `begins` returns a length.
fn without(line: &str, begins: fn(&str) -> Option<usize>, by: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = begins(rest);
        kept.push_str(if length.is_some() { by } else { &rest[..first.len_utf8()] });
        rest = &rest[length.unwrap_or(first.len_utf8())..];
    }
    kept
}

/// Returns the length of a time at the start of a text: `2026-11-21T13:02:30Z`, with or without fractions of a second,
/// or `13:02:30Z`.
fn is_time(text: &str) -> Option<usize> {
    let begins = |shape: &str| {
        let begin = text.get(..shape.len())?.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        begin.eq(shape.bytes()).then_some(())
    };
    if begins("00:00:00Z").is_some() {
        return Some("00:00:00Z".len());
    }
    begins("0000-00-00T00:00:00")?;
    Some(text.find('Z')? + 1)
}

fn is_port(text: &str) -> Option<usize> {
    let port = text.strip_prefix("127.0.0.1:")?;
    Some(text.len() - port.trim_start_matches(|c: char| c.is_ascii_digit()).len())
}

/// How to see a reason in the lab, according to its page.
struct Trial {
    leaf: String,
    broken_by: Vec<String>,
    healed_by: Vec<String>,
}

impl Trial {
    fn of(page: &Page) -> Option<Self> {
        let lines = page.prose.iter().map(|(_, line)| line.as_str());
        let lines = lines.skip_while(|line| !line.starts_with("In the [lab]")).take_while(|line| !line.is_empty());
        let text = lines.collect::<Vec<_>>().join(" ");
        let (broken, healed) = text.split_once("healed by")?;
        let code = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let leaf = broken.split_once(", on ")?.1.trim_end_matches([';', ' ']).to_owned();
        Some(Self { leaf, broken_by: code(broken), healed_by: code(healed) })
    }
}

/// Returns the alarms that a page of a reason names before its first section.
fn alarms(page: &Page) -> Vec<String> {
    let head = page.prose.iter().take_while(|(_, line)| !line.starts_with("## "));
    let links = head.flat_map(|(_, line)| line.split("](../alarms/").skip(1));
    links.filter_map(|rest| Some(rest.split_once(".md")?.0.to_owned())).collect()
}

/// Returns what the state of a leaf lacks although the page says it should be there: each line without quotes, any of
/// those with quotes, and any of the alarms.
fn lacks(page: &Page, alarms: &[String], state: &str) -> Option<Vec<String>> {
    let there: Vec<&str> = state.lines().map(str::trim).collect();
    let said: Vec<String> = page.fenced("text").map(|(_, line)| timeless(line.trim())).collect();
    let (sentences, words): (Vec<String>, Vec<String>) = said.into_iter().partition(|line| line.ends_with('"'));
    let mut lacks: Vec<String> = words.into_iter().filter(|word| !there.contains(&word.as_str())).collect();
    if !sentences.is_empty() && !sentences.iter().any(|sentence| there.contains(&sentence.as_str())) {
        lacks.push("any of its sentences".to_owned());
    }
    let raised = |alarm: &String| there.iter().any(|line| line.starts_with(&format!("alarm {alarm}/")));
    if !alarms.is_empty() && !alarms.iter().any(raised) {
        lacks.push(format!("any alarm of {alarms:?}"));
    }
    (!lacks.is_empty()).then_some(lacks)
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_quoted_on_reason_pages_are_printed_in_the_lab() {
    let bench = Bench::up().await;
    // Alarms are raised and cleared at once, because hold times are not tested here.
    let at_once =
        ["raise-hold-time", "clear-hold-time"].map(|leaf| format!("set / k8s-services alarm-policy {leaf} 0"));
    for leaf in bench.lab.leaves().keys() {
        bench.carry_out(leaf, &at_once).await;
    }
    let mut tried = 0;
    for page in pages::folder("reasons") {
        let Some(Trial { leaf, broken_by, healed_by }) = Trial::of(&page) else { continue };
        let alarms = alarms(&page);
        bench.carry_out(&leaf, &broken_by).await;
        let said = |state: &str| lacks(&page, &alarms, state).is_none().then_some(());
        if let Err(state) = in_time(|| bench.ask(&leaf, ALL_STATE), said).await {
            panic!("{}: {leaf} lacks {:?}; it says\n{state}", page.path.display(), lacks(&page, &alarms, &state));
        }
        bench.carry_out(&leaf, &healed_by).await;
        for leaf in bench.lab.leaves().keys() {
            let what = format!("healed after {}", page.path.display());
            bench.until(leaf, &what, |state| healthy(state).then_some(())).await;
        }
        tried += 1;
    }
    assert!(tried > 12, "only {tried} pages tell how they are seen in the lab");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_can_be_followed_to_an_alarm_and_back() {
    let bench = Bench::up().await;
    let guide = Page::read(&root().join("docs/guide.md"));
    let start = guide.prose.iter().find(|(_, line)| line == "### All is well").expect("the part of the lab").0;
    let fences = guide.fences.iter().filter(|fence| fence.lines.first().is_some_and(|(number, _)| *number > start));
    let mut asked: Option<(String, String)> = None;
    let mut answers = 0;
    for fence in fences {
        match fence.language.as_str() {
            "sh" => {
                asked = None;
                for (_, line) in &fence.lines {
                    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                        ["srl-sim", "cli", leaf, words @ ..] => {
                            let command = words.join(" ").replace('"', "");
                            asked.get_or_insert(((*leaf).to_owned(), command));
                        }
                        ["srl-sim", ..] => bench.act(line).await,
                        _ => {}
                    }
                }
            }
            "text" => {
                let Some((leaf, command)) = asked.take() else { continue };
                let told = fence.lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n");
                let told = timeless(told.trim_end());
                let equal = |seen: &str| (seen.trim_end() == told).then_some(());
                if let Err(seen) = in_time(|| bench.ask(&leaf, &command), equal).await {
                    panic!("{}: `{command}` on {leaf} says\n{seen}", guide.at(fence.lines[0].0));
                }
                answers += 1;
            }
            _ => {}
        }
    }
    assert!(answers >= 5, "only {answers} answers were compared");
}
