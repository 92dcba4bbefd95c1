//! Runs gnmic and pygnmi as programs and reads their output.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use srl_sim::gnmi::Gnmi;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::bench::{Bench, bounded};
use crate::peers::peer;

/// The script that calls pygnmi, one call per line.
const PYGNMI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/gnmi/pygnmi_calls.py");
/// Runs a program until it ends, or until the keeper's input ends, so that the program does not outlive the tests.
const KEEPER: &str = r#"exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ cat; kill "$program"; } <&3 >/dev/null 2>&1 &
wait "$program""#;
/// User of an emulated leaf, and the factory's password.
pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "NokiaSrl1!";
/// Time limit for a subscription to send something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the gNMI server of a leaf.
pub(crate) fn server<'a>(bench: &'a Bench, leaf: &str) -> &'a Gnmi {
    bench.lab.gnmi_server(leaf).expect("a leaf of the lab")
}

/// Returns the address of a leaf's gNMI server, and removes its rate limit.
pub(crate) fn address(bench: &Bench, leaf: &str) -> String {
    let server = server(bench, leaf);
    server.set_rate_limit(None);
    server.tcp_address().expect("it listens").to_string()
}

/// Returns a command that runs a program until its keeper's input ends.
pub(crate) fn kept(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(program).args(arguments).stdin(Stdio::piped());
    command
}

/// Returns the program gnmic, or why it is not there.
pub(crate) fn gnmic() -> Result<PathBuf, String> {
    Ok(peer("gnmic")?.join("gnmic"))
}

/// gnmic for one leaf.
pub(crate) struct Gnmic {
    program: PathBuf,
    pub(crate) address: String,
    pub(crate) password: String,
}

impl Gnmic {
    /// Creates a gnmic for one leaf.
    pub(crate) fn on(bench: &Bench, leaf: &str, program: PathBuf) -> Self {
        Self { program, address: address(bench, leaf), password: PASSWORD.to_owned() }
    }

    fn command(&self, encoding: &str, arguments: &[&str]) -> Vec<String> {
        let fixed = ["--address", &self.address, "--insecure", "--username", USER, "--password", &self.password];
        [&fixed[..], &["--encoding", encoding], arguments].concat().into_iter().map(str::to_owned).collect()
    }

    /// Returns the output of a call, or its error output if it fails.
    pub(crate) async fn call(&self, encoding: &str, arguments: &[&str]) -> Result<String, String> {
        self.typed(&self.command(encoding, arguments)).await
    }

    /// Runs gnmic with a whole command line as typed. Returns its output, or its error output if it fails.
    pub(crate) async fn typed(&self, arguments: &[String]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let shown = format!("gnmic {}", arguments.join(" "));
        let output = bounded(&shown, command.output()).await.expect("gnmic runs");
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(told(&output.stdout)) } else { Err(told(&output.stderr)) }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Returns a gnmic with another password.
    pub(crate) fn with_password(self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self }
    }

    /// Returns the JSON output of a call on one leaf.
    pub(crate) async fn json(&self, encoding: &str, arguments: &[&str]) -> Value {
        let text = self.call(encoding, arguments).await.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Returns the output of a Get at a path.
    pub(crate) async fn get(&self, encoding: &str, path: &str) -> Value {
        self.json(encoding, &["get", "--path", path]).await
    }

    /// Starts a subscription.
    pub(crate) fn subscribe(&self, encoding: &str, arguments: &[&str]) -> Told {
        let all = self.command(encoding, &[&["subscribe"], arguments].concat());
        self.stream(&all)
    }

    /// Starts a subscription with a whole command line as typed.
    pub(crate) fn stream(&self, arguments: &[String]) -> Told {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut keeper = kept(&self.program, &arguments).stdout(Stdio::piped()).spawn().expect("gnmic runs");
        let output = keeper.stdout.take().expect("its output is piped");
        Told { _keeper: keeper, output, read: Vec::new() }
    }
}

/// Output of a subscription by gnmic.
pub(crate) struct Told {
    _keeper: Child,
    output: ChildStdout,
    read: Vec<u8>,
}

impl Told {
    /// Returns the next value; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, self.value()).await.expect("gnmic prints something in time")
    }

    async fn value(&mut self) -> Option<Value> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.read).into_iter();
            match values.next() {
                Some(Ok(value)) => {
                    let end = values.byte_offset();
                    self.read.drain(..end);
                    return Some(value);
                }
                Some(Err(error)) if !error.is_eof() => {
                    panic!("{error}: {}", String::from_utf8_lossy(&self.read));
                }
                _ => {}
            }
            if self.output.read_buf(&mut self.read).await.expect("gnmic's output is readable") == 0 {
                return None;
            }
        }
    }

    /// Returns the next value. Panics at the end.
    pub(crate) async fn something(&mut self) -> Value {
        self.next().await.expect("the subscription goes on")
    }

    /// Returns what is printed before the sync mark.
    pub(crate) async fn until_sync(&mut self) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let value = self.something().await;
            if value["sync-response"] == true {
                return told;
            }
            told.push(value);
        }
    }
}

/// Returns a path as clients print it: without the leading slash, with sorted keys.
pub(crate) fn printed(path: &str) -> String {
    path[1..].replace("[namespace=default][name=nginxhello]", "[name=nginxhello][namespace=default]")
}

/// Returns path and value of every update in the notification that gnmic printed.
pub(crate) fn updates(notification: &Value) -> Vec<(String, Value)> {
    let updates = notification["updates"].as_array().into_iter().flatten();
    // The value is below the path without its keys.
    let value = |update: &Value| update["values"].as_object().and_then(|values| values.values().next().cloned());
    let path = |update: &Value| update["Path"].as_str().unwrap_or_default().to_owned();
    updates.map(|update| (path(update), value(update).unwrap_or_default())).collect()
}

/// Returns the changes in a notification, one line each; deletes first.
pub(crate) fn lines(told: &Value) -> Vec<String> {
    let deletes = told["deletes"].as_array().into_iter().flatten();
    let deletes = deletes.map(|path| format!("delete {}", path.as_str().unwrap_or_default()));
    let text = |value: Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let updates = updates(told).into_iter().map(|(path, value)| format!("{path} {}", text(value)));
    deletes.chain(updates).collect()
}

/// pygnmi for one leaf.
pub(crate) struct Pygnmi {
    _program: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Error of a refused call.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Code of gRPC, or of the client.
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Pygnmi {
    /// Starts pygnmi on a leaf with this password.
    pub(crate) fn on(bench: &Bench, leaf: &str, environment: &Path, password: &str) -> Self {
        let mut command = Command::new(environment.join("bin/python"));
        command
            .args(["-B", PYGNMI, &address(bench, leaf), USER, password])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut program = command.kill_on_drop(true).spawn().expect("Python runs");
        let input = program.stdin.take().expect("its input is piped");
        let answers = BufReader::new(program.stdout.take().expect("its output is piped")).lines();
        Self { _program: program, input, answers }
    }

    /// Performs a call.
    pub(crate) async fn call(&mut self, call: &str, arguments: Value) -> Result<Value, Refused> {
        use tokio::io::AsyncWriteExt;
        let line = format!("{}\n", json!({ "call": call, "arguments": arguments }));
        // If it could not connect, it has already answered and ended.
        let _ = self.input.write_all(line.as_bytes()).await;
        let answer = bounded(call, self.answers.next_line()).await.expect("readable").expect("pygnmi answers");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        match answer.get("refused") {
            Some(refused) => {
                let text = |name: &str| refused[name].as_str().unwrap_or_default().to_owned();
                Err(Refused { code: text("code"), message: text("message") })
            }
            None => Ok(answer["answer"].clone()),
        }
    }

    /// Performs a call that must succeed.
    pub(crate) async fn done(&mut self, call: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        self.call(call, arguments).await.unwrap_or_else(|refused| panic!("{call} {shown}: {refused:?}"))
    }

    /// Returns the next message of the subscription.
    pub(crate) async fn next(&mut self) -> Value {
        self.done("next", json!({ "timeout": PATIENCE.as_secs() })).await
    }
}
