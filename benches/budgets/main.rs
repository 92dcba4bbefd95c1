//! Measures the budgets of the design: `make bench`, or `cargo bench --bench budgets -- routes` for one part.
//!
//! srl-sim creates the load; the agent runs as a separate process. Times are compared as ratios of two measurements in
//! one run on one machine.

mod binary;
mod engine;
mod entries;
mod load;
mod process;
mod reaction;
mod report;
mod routes;
mod scene;
mod switch;
mod yardstick;

use std::process::ExitCode;

use report::Line;
use scene::Scene;

/// The argument that makes this program run a yardstick, to which the agent is compared.
const YARDSTICK: &str = "--yardstick";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    if let Some((YARDSTICK, arguments)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        runtime.block_on(yardstick::run(arguments)).expect("the yardstick can be laid");
        return ExitCode::SUCCESS;
    }
    let wanted = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == part);
    let mut all_hold = true;
    let mut say = |title: &str, lines: Vec<Line>| {
        println!("{title}");
        for line in lines {
            println!("{line}");
            all_hold &= line.holds();
        }
        println!();
    };
    println!("The agent is {}.\n", process::program().display());
    if wanted("scaling") {
        say("Scaling: the engine by itself", engine::scaling());
    }
    if wanted("routes") {
        say("Routes: one million streamed in", runtime.block_on(routes::routes()));
    }
    if wanted("cluster") {
        let scene = runtime.block_on(Scene::start());
        say("Kubernetes: 10 k services, 100 k endpoints, 2 k nodes", scene.memory());
        say("Start: from register to complete state", runtime.block_on(scene.start_up()));
        say("Writes", runtime.block_on(scene.writes()));
        say("Idle, with 10 k VIPs", runtime.block_on(scene.idle()));
        say("Reaction: 10 k VIPs, 1 k changes/s (median / p99)", runtime.block_on(reaction::reaction(&scene)));
    }
    if wanted("binary") {
        say("Binary", binary::size());
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
