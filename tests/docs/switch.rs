//! Checks what is typed on a switch: it is parsed by the CLI of an emulated leaf, and configuration is validated as the
//! agent does.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use srl_k8s_services::config::Assembler;
use srl_k8s_services::model::commit::{ConfigChange, Operation};
use srl_sim::cli::{Session, SessionOptions};
use srl_sim::datastore::{Commit, CommitHook, Datastore, Delivery, Problem, delivery};
use srl_sim::schema::Schema;

use crate::pages::{self, none};

/// The agent's module and the switch's own modules.
pub(crate) static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yang");
    Schema::load(&[folder], &["k8s-services".to_owned()]).expect("the module loads")
});

/// Validates commits in place of the agent.
struct Agent;

#[tonic::async_trait]
impl CommitHook for Agent {
    async fn commit(&self, commit: &Commit) -> Result<Vec<Problem>, Vec<Problem>> {
        let modules = ["k8s-services".to_owned()];
        let change = |node: Delivery| ConfigChange {
            op: Operation::Set,
            path: node.path.to_js(false),
            json: serde_json::Value::Object(node.json).to_string(),
        };
        let changes: Vec<_> =
            delivery(&commit.schema, &commit.after, &modules, false).into_iter().map(change).collect();
        let credentials = Arc::from(Path::new("/etc/opt/srlinux/k8s-services"));
        match Assembler::new(credentials).apply(0, &changes) {
            Ok(_) => Ok(Vec::new()),
            Err(problems) => {
                Err(problems.into_iter().map(|it| Problem { path: it.path.to_string(), message: it.message }).collect())
            }
        }
    }

    async fn restore(&self, _: &Commit) {}
}

async fn run(session: &mut Session, line: &str) -> Result<(), String> {
    let output = session.execute(line).await;
    if output.status == 0 { Ok(()) } else { Err(format!("`{line}`: {}", output.text.trim())) }
}

/// Returns the clusters in configuration lines that lack an address: to be valid, configuration must say how they are
/// reached.
fn unreached(lines: &[&str]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut reached = BTreeSet::new();
    for words in lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        for (at, word) in words.iter().enumerate() {
            match (*word, words.get(at + 1)) {
                ("cluster", Some(name)) => drop(named.insert((*name).to_owned())),
                ("shared-with", _) => {
                    let names = words[at + 1..].iter().filter(|word| !["[", "]"].contains(word));
                    named.extend(names.map(|name| (*name).to_owned()));
                }
                ("kubeconfig" | "api-server", _) => drop(words.get(4).map(|name| reached.insert((*name).to_owned()))),
                _ => {}
            }
        }
    }
    named.difference(&reached).cloned().collect()
}

/// Returns whether the emulated leaf has the modules of a configuration line. A real switch has many more.
fn is_known(line: &str) -> bool {
    ["k8s-services", "system ndk-server", "system grpc-server"]
        .iter()
        .any(|known| line.split_once(" / ").is_some_and(|(_, path)| path.starts_with(known)))
}

/// Returns whether a line changes the mode, as before and after lines of configuration.
fn is_frame(line: &str) -> bool {
    ["enter candidate", "commit", "discard", "quit"].iter().any(|frame| line.starts_with(frame))
}

/// Types lines in candidate mode, and commits them if all of them are the agent's.
async fn commit(lines: &[&str]) -> Vec<String> {
    let store = Datastore::new(SCHEMA.clone());
    store.add_commit_hook(Arc::new(Agent));
    let mut session = Session::new(store, SessionOptions::new("leaf1", "25.3.1"), None);
    let base = unreached(lines)
        .into_iter()
        .map(|name| format!("set / k8s-services cluster {name} kubeconfig /etc/opt/srlinux/k8s-services/a"));
    let typed =
        ["enter candidate".to_owned()].into_iter().chain(base).chain(lines.iter().map(|line| (*line).to_owned()));
    let mut wrong = Vec::new();
    for line in typed {
        wrong.extend(run(&mut session, &line).await.err());
    }
    if wrong.is_empty() && lines.iter().all(|line| line.starts_with("set / k8s-services")) {
        wrong.extend(run(&mut session, "commit now").await.err());
    }
    wrong
}

/// Asks a switch without data: only parsing errors count.
async fn ask(line: &str) -> Option<String> {
    let mut session = Session::new(Datastore::new(SCHEMA.clone()), SessionOptions::new("leaf1", "25.3.1"), None);
    run(&mut session, line).await.err().filter(|error| error.contains("Parsing error"))
}

#[tokio::test]
async fn documented_switch_commands_parse_and_their_configuration_is_valid() {
    let mut wrong = Vec::new();
    for page in pages::all() {
        for fence in page.fences.iter().filter(|fence| fence.language == "srlinux") {
            let lines = fence.lines.iter().map(|(_, line)| line.as_str());
            let lines = lines.filter(|line| !line.is_empty() && !is_frame(line));
            let (set, asked): (Vec<&str>, Vec<&str>) =
                lines.partition(|line| line.starts_with("set ") || line.starts_with("delete "));
            let set: Vec<&str> = set.into_iter().filter(|line| is_known(line)).collect();
            let mut found = if set.is_empty() { Vec::new() } else { commit(&set).await };
            // Reports need a leaf with data: these are run in the lab, in `typed`.
            for line in asked.into_iter().filter(|line| line.starts_with("info ")) {
                found.extend(ask(line).await);
            }
            let number = fence.lines.first().map_or(0, |(number, _)| *number);
            wrong.extend(found.into_iter().map(|problem| format!("{}: {problem}", page.at(number))));
        }
        for (number, code) in page.code() {
            let found = match code {
                code if code.starts_with("set / k8s-services ") => commit(&[code]).await,
                code if code.starts_with("info from ") && code.contains(" k8s-services") => {
                    ask(code).await.into_iter().collect()
                }
                _ => continue,
            };
            wrong.extend(found.into_iter().map(|problem| format!("{}: {problem}", page.at(number))));
        }
    }
    none(&wrong);
}
