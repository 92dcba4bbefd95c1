//! gnmic and pygnmi as programs: what they are given, and what they print.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use srl_sim::gnmi::Gnmi;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::bench::{Bench, bounded};
use crate::peers::peer;

/// The script that pygnmi is called by, one call a line.
const PYGNMI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/gnmi/pygnmi_calls.py");
/// Runs a program until it ends, or until the input of this ends: however the tests end, it does not stay.
const KEEPER: &str = r#"exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ cat; kill "$program"; } <&3 >/dev/null 2>&1 &
wait "$program""#;
/// The user of an emulated leaf, and the password a factory gives.
pub(crate) const USER: &str = "admin";
pub(crate) const PASSWORD: &str = "NokiaSrl1!";
/// A subscription tells within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// The gNMI server of a leaf.
pub(crate) fn server<'a>(bench: &'a Bench, leaf: &str) -> &'a Gnmi {
    bench.lab.gnmi_server(leaf).expect("a leaf of the lab")
}

/// Where a leaf's gNMI server listens, from now on without a limit of requests.
pub(crate) fn address(bench: &Bench, leaf: &str) -> String {
    let server = server(bench, leaf);
    server.set_rate_limit(None);
    server.tcp_address().expect("it listens").to_string()
}

/// A program with these arguments, to be ended by the end of its keeper's input.
pub(crate) fn kept(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(program).args(arguments).stdin(Stdio::piped());
    command
}

/// The program gnmic, or why it is not there.
pub(crate) fn gnmic() -> Result<PathBuf, String> {
    Ok(peer("gnmic")?.join("gnmic"))
}

/// gnmic, on one leaf.
pub(crate) struct Gnmic {
    program: PathBuf,
    pub(crate) address: String,
    pub(crate) password: String,
}

impl Gnmic {
    /// gnmic as it has been built, or why it has not.
    pub(crate) fn on(bench: &Bench, leaf: &str, program: PathBuf) -> Self {
        Self { program, address: address(bench, leaf), password: PASSWORD.to_owned() }
    }

    fn command(&self, encoding: &str, arguments: &[&str]) -> Vec<String> {
        let fixed = ["--address", &self.address, "--insecure", "--username", USER, "--password", &self.password];
        [&fixed[..], &["--encoding", encoding], arguments].concat().into_iter().map(str::to_owned).collect()
    }

    /// What a call prints, or what it says where it fails.
    pub(crate) async fn call(&self, encoding: &str, arguments: &[&str]) -> Result<String, String> {
        self.typed(&self.command(encoding, arguments)).await
    }

    /// The same, of a whole line as it is typed.
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

    /// The same with another password.
    pub(crate) fn with_password(self, password: &str) -> Self {
        Self { password: password.to_owned(), ..self }
    }

    /// The same as JSON: what one call on one leaf gives.
    pub(crate) async fn json(&self, encoding: &str, arguments: &[&str]) -> Value {
        let text = self.call(encoding, arguments).await.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Everything that Get finds at a path, as gnmic tells it.
    pub(crate) async fn get(&self, encoding: &str, path: &str) -> Value {
        self.json(encoding, &["get", "--path", path]).await
    }

    /// A subscription.
    pub(crate) fn subscribe(&self, encoding: &str, arguments: &[&str]) -> Told {
        let all = self.command(encoding, &[&["subscribe"], arguments].concat());
        self.stream(&all)
    }

    /// The same, of a whole line as it is typed.
    pub(crate) fn stream(&self, arguments: &[String]) -> Told {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut keeper = kept(&self.program, &arguments).stdout(Stdio::piped()).spawn().expect("gnmic runs");
        let output = keeper.stdout.take().expect("its output is piped");
        Told { _keeper: keeper, output, read: Vec::new() }
    }
}

/// What a subscription by gnmic prints.
pub(crate) struct Told {
    _keeper: Child,
    output: ChildStdout,
    read: Vec<u8>,
}

impl Told {
    /// The next value; `None` where it ends.
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

    /// The next value, which there must be.
    pub(crate) async fn something(&mut self) -> Value {
        self.next().await.expect("the subscription goes on")
    }

    /// What is printed before the mark that everything has been told.
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

/// A path as clients print it: without the slash in front, the keys of an entry sorted.
pub(crate) fn printed(path: &str) -> String {
    path[1..].replace("[namespace=default][name=nginxhello]", "[name=nginxhello][namespace=default]")
}

/// Path and value of every update in what gnmic prints of a notification.
pub(crate) fn updates(notification: &Value) -> Vec<(String, Value)> {
    let updates = notification["updates"].as_array().into_iter().flatten();
    // The value stands under the path without its keys.
    let value = |update: &Value| update["values"].as_object().and_then(|values| values.values().next().cloned());
    let path = |update: &Value| update["Path"].as_str().unwrap_or_default().to_owned();
    updates.map(|update| (path(update), value(update).unwrap_or_default())).collect()
}

/// What was told in a notification, each change as a line of text; deletes first.
pub(crate) fn lines(told: &Value) -> Vec<String> {
    let deletes = told["deletes"].as_array().into_iter().flatten();
    let deletes = deletes.map(|path| format!("delete {}", path.as_str().unwrap_or_default()));
    let text = |value: Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let updates = updates(told).into_iter().map(|(path, value)| format!("{path} {}", text(value)));
    deletes.chain(updates).collect()
}

/// pygnmi, on one leaf.
pub(crate) struct Pygnmi {
    _program: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Why a call was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// gRPC's word for it, or the client's.
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Pygnmi {
    /// pygnmi on a leaf, connected with this password.
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

    /// One call.
    pub(crate) async fn call(&mut self, call: &str, arguments: Value) -> Result<Value, Refused> {
        use tokio::io::AsyncWriteExt;
        let line = format!("{}\n", json!({ "call": call, "arguments": arguments }));
        // What could not even connect has answered already, and is gone.
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

    /// A call that must succeed.
    pub(crate) async fn done(&mut self, call: &str, arguments: Value) -> Value {
        let shown = arguments.to_string();
        self.call(call, arguments).await.unwrap_or_else(|refused| panic!("{call} {shown}: {refused:?}"))
    }

    /// The next message of the subscription.
    pub(crate) async fn next(&mut self) -> Value {
        self.done("next", json!({ "timeout": PATIENCE.as_secs() })).await
    }
}
