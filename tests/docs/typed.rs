//! Checks that what is typed on a switch runs on a leaf of the anycast lab, or is marked as for switches only.
//!
//! Commands in `srlinux` fences and between backticks are run. `(device)` after those between backticks, or `srlinux
//! device` at the head of a fence, marks commands that the emulated leaf must not know.

use crate::lab::Bench;
use crate::pages::{self, Page, none};

/// Beginnings of lines that are typed on a switch and change no configuration.
const COMMANDS: [&str; 6] = ["show ", "info ", "tools ", "save ", "ping ", "bash "];

/// Beginning of operations on the agent.
const AGENT: &str = "tools system app-management application k8s-services";

/// A command on a page.
struct Typed {
    place: String,
    line: String,
    for_devices: bool,
}

fn typed(page: &Page) -> Vec<Typed> {
    let is_command = |line: &str| COMMANDS.iter().any(|command| line.starts_with(command)) && !line.ends_with("...");
    let mut found = Vec::new();
    for fence in page.fences.iter().filter(|fence| fence.language.split(' ').next() == Some("srlinux")) {
        for (number, line) in fence.lines.iter().filter(|(_, line)| is_command(line.trim())) {
            let for_devices = fence.language == "srlinux device";
            found.push(Typed { place: page.at(*number), line: line.trim().to_owned(), for_devices });
        }
    }
    for (number, code, for_devices) in page.marked_code().filter(|(_, code, _)| is_command(code)) {
        found.push(Typed { place: page.at(number), line: code.replace("<address>", "1.1.1.100"), for_devices });
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_command_runs_on_an_emulated_leaf_or_is_marked_for_devices() {
    let bench = Bench::up().await;
    let mut wrong = Vec::new();
    let (mut run, mut marked) = (0, 0);
    let of_docs = |page: &Page| !page.path.starts_with("lab");
    for Typed { place, line, for_devices } in pages::all().iter().filter(|page| of_docs(page)).flat_map(typed) {
        // Commands that stop and start the agent run on their own leaf.
        let leaf = if line.starts_with("tools ") { "leaf3" } else { "leaf1" };
        let leaf = &bench.lab.leaves()[leaf];
        // Brings the agent into a state in which the operation is possible. This is refused if it is in that state
        // already.
        let before = if line.ends_with(" start") { "stop" } else { "start" };
        if line.starts_with(AGENT) {
            let _ = leaf.cli(&format!("{AGENT} {before}")).await;
        }
        match leaf.cli(&line).await {
            Err(refused) if !for_devices => wrong.push(format!("{place}: `{line}` is refused: {refused}")),
            Ok(_) if for_devices => wrong.push(format!("{place}: `{line}` is marked for devices, but a leaf runs it")),
            _ => {}
        }
        run += usize::from(!for_devices);
        marked += usize::from(for_devices);
    }
    none(&wrong);
    assert!(run > 60 && marked > 5, "{run} commands were run and {marked} are marked");
}
