//! Runs plugins of the CLI: Python files that add commands to `show` and read the state of this switch.
//!
//! Python runs for one command and exits. It asks for schema and state when the plugin needs them, and this module
//! answers from the datastore; see `sim/python/host.py`.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::Session;
use super::error::CliError;
use super::info::From;
use super::json::{self, Json};
use super::report::Report;
use super::target::{Target, child_names};
use super::text::Style;
use crate::path::{Path, Step};
use crate::schema::NodeId;

/// Assumed width of the terminal.
const WIDTH: u32 = 100;

/// The modules that plugins import, by name.
const MODULES: [(&str, &str); 11] = [
    ("engine", include_str!("../../python/engine.py")),
    ("host", include_str!("../../python/host.py")),
    ("srlinux", include_str!("../../python/srlinux/__init__.py")),
    ("srlinux.data", include_str!("../../python/srlinux/data.py")),
    ("srlinux.location", include_str!("../../python/srlinux/location.py")),
    ("srlinux.mgmt", include_str!("../../python/srlinux/mgmt/__init__.py")),
    ("srlinux.mgmt.cli", include_str!("../../python/srlinux/mgmt/cli/__init__.py")),
    ("srlinux.mgmt.server", include_str!("../../python/srlinux/mgmt/server/__init__.py")),
    ("srlinux.mgmt.server.server_error", include_str!("../../python/srlinux/mgmt/server/server_error.py")),
    ("srlinux.schema", include_str!("../../python/srlinux/schema.py")),
    ("srlinux.syntax", include_str!("../../python/srlinux/syntax.py")),
];

/// Makes the modules on the first line of standard input importable, then runs the host.
const BOOT: &str = r#"
import importlib.abc, importlib.util, json, sys
SOURCES = json.loads(sys.stdin.readline())
class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name not in SOURCES:
            return None
        below = any(other.startswith(name + ".") for other in SOURCES)
        return importlib.util.spec_from_loader(name, self, is_package=below)
    def exec_module(self, module):
        name = module.__name__
        exec(compile(SOURCES[name], name.replace(".", "/") + ".py", "exec"), module.__dict__)
sys.meta_path.insert(0, Sources())
import host
host.main()
"#;

/// A command of a plugin and its subcommands.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PluginCommand {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) commands: Vec<PluginCommand>,
}

/// An argument of a command.
#[derive(Debug, Deserialize)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) kind: ArgumentKind,
    pub(super) help: String,
    /// Where its values are found in state: names of containers and lists, with values of keys.
    pub(super) path: Option<Vec<(String, BTreeMap<String, String>)>>,
}

/// How an argument is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ArgumentKind {
    /// A value without a name.
    Unnamed,
    /// A value after its name.
    Named,
    /// A word that is present or absent.
    Boolean,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    plugins: Vec<Value>,
    words: Option<&'a [&'a str]>,
    width: u32,
}

/// A question about schema or state.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Question {
    Schema { schema: Vec<String> },
    State { state: Vec<StepAsked>, recursive: bool },
}

#[derive(Debug, Deserialize)]
struct StepAsked {
    name: String,
    keys: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Ask { ask: Question },
    Commands { commands: PluginCommand },
    Refused { refused: String },
    Printed { lines: Vec<String>, errors: Vec<String>, data: Option<Json> },
}

/// Runs the command of a plugin and returns its report.
///
/// # Errors
/// Returns an error if Python is missing, no plugin knows the words, or the plugin fails.
pub(super) async fn run(session: &Session, words: &[&str]) -> Result<Report, CliError> {
    match converse(session, Some(words)).await? {
        Line::Printed { lines, errors, data } if errors.is_empty() => {
            let text = lines.iter().map(|line| format!("{line}\n")).collect();
            Ok(Report::of_data(text, data.unwrap_or(Json::Null)))
        }
        Line::Printed { errors, .. } => Err(CliError::Printed(errors.join("\n"))),
        Line::Refused { refused } => Err(CliError::Words(refused)),
        Line::Ask { .. } | Line::Commands { .. } => Err(failed("unexpected answer")),
    }
}

/// Returns the tree of commands that plugins add to `show`.
///
/// # Errors
/// Returns an error if Python is missing or a plugin cannot be loaded.
pub(super) async fn commands(session: &Session) -> Result<PluginCommand, CliError> {
    match converse(session, None).await? {
        Line::Commands { commands } => Ok(commands),
        _ => Err(failed("unexpected answer")),
    }
}

fn failed(why: &str) -> CliError {
    CliError::Refused(format!("a CLI plugin failed: {why}"))
}

/// Runs Python for one request, answers its questions, and returns its result.
async fn converse(session: &Session, words: Option<&[&str]>) -> Result<Line, CliError> {
    let mut child = start(session)?;
    let (mut input, output) = (child.stdin.take(), child.stdout.take());
    let (Some(input), Some(output)) = (input.as_mut(), output) else {
        return Err(failed("its input and output are not connected"));
    };
    let modules: BTreeMap<&str, &str> = MODULES.into_iter().collect();
    let request = Request { plugins: sources(session), words, width: WIDTH };
    // If Python exits at once, its standard error says why.
    let _ = input.write_all(format!("{}\n{}\n", json!(modules), json!(request)).as_bytes()).await;
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line).map_err(|error| failed(&error.to_string()))? {
            Line::Ask { ask } => {
                let answer = answer(session, &ask);
                input.write_all(format!("{answer}\n").as_bytes()).await.map_err(|error| failed(&error.to_string()))?;
            }
            last => return Ok(last),
        }
    }
    let ended = child.wait_with_output().await.map_err(|error| failed(&error.to_string()))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(failed(said.lines().last().unwrap_or("no output")))
}

fn start(session: &Session) -> Result<Child, CliError> {
    let python = &session.options.python;
    let mut command = Command::new(python);
    command.args(["-I", "-S", "-c", BOOT]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::Refused(format!(
            "CLI plugins, such as show k8s-services, need {} on this machine: install Python 3",
            python.display()
        )),
        _ => failed(&error.to_string()),
    })
}

/// Returns the texts of all plugins. They are read for every command, so that edits take effect at once.
fn sources(session: &Session) -> Vec<Value> {
    let folders = session.options.plugins.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut files: Vec<_> = folders.flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    files.sort();
    let source = |path: &std::path::PathBuf| {
        let source = std::fs::read_to_string(path).ok()?;
        Some(json!({ "name": path.file_name()?.to_string_lossy(), "source": source }))
    };
    files.iter().filter_map(source).collect()
}

fn answer(session: &Session, question: &Question) -> Value {
    let found = match question {
        Question::Schema { schema } => below(session, schema),
        Question::State { state, recursive } => self::state(session, state, *recursive),
    };
    match found {
        Ok(found) => json!({ "found": found }),
        Err(why) => json!({ "error": why }),
    }
}

/// Returns the children of a node, including keys.
fn below(session: &Session, names: &[String]) -> Result<Value, String> {
    let schema = session.store.schema();
    let mut node = NodeId::ROOT;
    for name in names {
        node = schema.child(node, name).ok_or_else(|| unknown(name))?;
    }
    let child = |child: &NodeId| {
        let keys: Vec<_> = schema.keys(*child).iter().map(|key| schema.node(*key).name.to_string()).collect();
        json!({ "name": &*schema.node(*child).name, "keys": keys, "leaf": schema.leaf(*child).is_some() })
    };
    Ok(schema.node(node).children.iter().map(child).collect())
}

fn unknown(name: &str) -> String {
    format!("Path not valid - unknown element '{name}'")
}

/// Returns what is at a path, and the containers that lead there.
fn state(session: &Session, asked: &[StepAsked], recursive: bool) -> Result<Value, String> {
    let schema = session.store.schema();
    let mut node = NodeId::ROOT;
    for step in asked {
        let known = child_names(schema, node).contains(&step.name);
        node = schema.child(node, &step.name).filter(|_| known).ok_or_else(|| unknown(&step.name))?;
    }
    let target = Target::of_path(schema, &path(asked)).ok_or_else(|| "Path not valid".to_owned())?;
    let mut body = session.select(From::State, &target);
    if !recursive {
        body.limit_depth(target.steps(), 0);
    }
    serde_json::to_value(json::body(Style { schema, now: None }, &body)).map_err(|error| error.to_string())
}

fn path(asked: &[StepAsked]) -> Path {
    let step = |it: &StepAsked| Step { name: it.name.clone(), keys: it.keys.clone().into_iter().collect() };
    Path::from_steps(asked.iter().map(step).collect())
}

/// Returns the values that an argument has in state.
pub(super) fn values(session: &Session, argument: &Argument) -> Vec<String> {
    let Some(path) = &argument.path else { return Vec::new() };
    let steps = path.iter().map(|(name, keys)| StepAsked { name: name.clone(), keys: keys.clone() });
    let steps: Vec<StepAsked> = steps.collect();
    let schema = session.store.schema();
    let Some(target) = Target::of_path(schema, &self::path(&steps)) else { return Vec::new() };
    let keys = schema.keys(target.node());
    let of_its_name = keys.iter().position(|key| *schema.node(*key).name == *argument.name);
    let position = of_its_name.unwrap_or(keys.len().saturating_sub(1));
    let source = crate::datastore::Source::State;
    session.store.read(source, |schema, tree| target.entries_in(schema, tree, target.node(), position))
}
