//! Real leaves as the stage of a demo.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli;
use crate::demo::Stage;
use crate::lab::control::{Client, Request, Response};
use crate::lab::{Action, ActionError, Changes, Lab, ViewError};

use super::VerifyError;
use super::inventory::{Deed, Inventory};
use super::mirror::{Login, Mirror};

/// Time limit of a command: the CLI of a leaf that reloads is away for minutes.
const COMMAND: Duration = Duration::from_secs(180);
/// What is printed about each leaf at the start.
const INTRODUCED: [(&str, &str); 8] = [
    ("release", "statistics/adaptation/release"),
    ("agent", "version"),
    ("paths", "statistics/adaptation/path-spelling"),
    ("enumerations", "statistics/adaptation/enumeration-form"),
    ("end of dump", "statistics/adaptation/end-of-dump"),
    ("gNMI encoding", "statistics/adaptation/gnmi-encoding"),
    ("refused paths", "statistics/adaptation/refused-path"),
    ("refused features", "statistics/adaptation/refused-feature"),
];

/// The leaves of an inventory.
pub(super) struct Devices {
    inventory: Inventory,
    mirrors: BTreeMap<String, Mirror>,
    changes: watch::Sender<u64>,
}

impl Devices {
    /// Subscribes to every leaf. Returns when all have sent their existing state.
    pub(super) async fn connect(inventory: Inventory, within: Duration) -> Result<Self, VerifyError> {
        let path = &inventory.password_file;
        let failed = |source| VerifyError::Password { path: path.clone(), source };
        let password = std::fs::read_to_string(path).map_err(failed)?;
        let odd = || {
            failed(io::Error::new(io::ErrorKind::InvalidData, "the user name or password contains a control character"))
        };
        let login = Login::new(&inventory.username, password.trim_end_matches(['\r', '\n'])).ok_or_else(odd)?;
        let changes = watch::Sender::new(0);
        let start = |target: &str| Mirror::start(target.to_owned(), login.clone(), changes.clone());
        let mirrors = inventory.leaves.iter().map(|(leaf, target)| (leaf.clone(), start(&target.gnmi)));
        let devices = Self { mirrors: mirrors.collect(), inventory, changes };
        devices.until_read(within).await?;
        Ok(devices)
    }

    async fn until_read(&self, within: Duration) -> Result<(), VerifyError> {
        let deadline = Instant::now() + within;
        let mut changes = self.changes.subscribe();
        loop {
            let silent = self.mirrors.iter().find_map(|(leaf, mirror)| Some((leaf, mirror.trouble()?)));
            let Some((leaf, why)) = silent else { return Ok(()) };
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                let target = self.inventory.leaves[leaf].gnmi.clone();
                return Err(VerifyError::Unread { leaf: leaf.clone(), target, why });
            }
        }
    }

    /// Prints what the leaves are.
    pub(super) fn introduce(&self, out: &mut impl Write) -> io::Result<()> {
        for (leaf, mirror) in &self.mirrors {
            let said = INTRODUCED.iter().filter_map(|(title, path)| {
                let value = mirror.read(&format!("/k8s-services/{path}").parse().ok()?)?;
                Some(format!("{title} {value}"))
            });
            writeln!(out, "{leaf}: {}", said.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(out)
    }

    async fn deed(&self, deed: &Deed) -> Result<String, String> {
        match deed {
            Deed::Command(words) => command(words, "").await,
            Deed::Typed { leaf, lines } => self.type_on(leaf, lines).await,
            Deed::Committed { leaf, lines } => {
                self.type_on(leaf, &format!("enter candidate\n{}\ncommit now", lines.trim_end())).await
            }
        }
    }

    async fn type_on(&self, leaf: &str, lines: &str) -> Result<String, String> {
        let target = self.inventory.leaves.get(leaf).ok_or_else(|| format!("the inventory has no leaf '{leaf}'"))?;
        if let Some(run) = &self.inventory.emulated {
            return on_emulated(run.clone(), leaf.to_owned(), lines.to_owned()).await;
        }
        if target.cli.is_empty() {
            return Err(format!("the inventory has no command for the CLI of {leaf}: set 'cli'"));
        }
        let output = command(&target.cli, &format!("{lines}\n")).await?;
        match output.lines().find(|line| line.starts_with("Error") || line.starts_with("Parsing error")) {
            Some(error) => Err(format!("{leaf}: {error}")),
            None => Ok(output),
        }
    }
}

/// Runs lines on the CLI of an emulated leaf, by its socket.
async fn on_emulated(run: PathBuf, leaf: String, lines: String) -> Result<String, String> {
    let typed = move || {
        let mut client = cli::Client::connect(&Lab::cli_socket(&run, &leaf)).map_err(|error| error.to_string())?;
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        let mut output = String::new();
        match client.script(&lines, true, |text| output.push_str(text)).map_err(|error| error.to_string())? {
            0 => Ok(output),
            _ => Err(output.trim_end().to_owned()),
        }
    };
    tokio::task::spawn_blocking(typed).await.map_err(|error| error.to_string())?
}

/// Performs an action on a lab of `srl-sim up`.
async fn by_control(run: &Path, action: &Action) -> Result<(), String> {
    let (run, action) = (run.to_owned(), action.clone());
    let ask = move || {
        let mut client = Client::connect(&run).map_err(|error| error.to_string())?;
        match client.ask(&Request::Act(action)).map_err(|error| error.to_string())? {
            Response::Done => Ok(()),
            Response::Refused(why) => Err(why),
            other => Err(format!("unexpected answer of the lab: {other:?}")),
        }
    };
    tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())?
}

/// Runs a command with `input` on its standard input. Returns its output, or why it failed.
async fn command(words: &[String], input: &str) -> Result<String, String> {
    let shown = words.join(" ");
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let run = async {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input closes it.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(COMMAND, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("cannot run '{shown}': {error}")),
        Err(_) => return Err(format!("'{shown}' did not end within {} s", COMMAND.as_secs())),
    };
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("'{shown}' failed ({}): {}", output.status, words.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Stage for Devices {
    fn leaves(&self) -> Vec<String> {
        self.mirrors.keys().cloned().collect()
    }

    fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, ViewError> {
        let mirror = self.mirrors.get(leaf).ok_or_else(|| ViewError::Leaf(leaf.to_owned()))?;
        Ok(mirror.read(&path.parse()?))
    }

    fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }

    async fn act(&self, action: &Action) -> Result<(), ActionError> {
        if let Some(run) = &self.inventory.emulated {
            return by_control(run, action).await.map_err(ActionError::Device);
        }
        let deeds = self.inventory.deeds(action);
        let deeds =
            deeds.ok_or_else(|| ActionError::Device("the inventory has no command for this action".to_owned()))?;
        for deed in &deeds {
            self.deed(deed).await.map_err(ActionError::Device)?;
        }
        Ok(())
    }

    async fn cli(&self, leaf: &str, command: &str) -> Result<String, ViewError> {
        self.type_on(leaf, command).await.map_err(ViewError::Device)
    }

    fn logs(&self, _: &str) -> Vec<PathBuf> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_command_reads_its_lines_and_reports_why_it_failed() {
        assert_eq!(command(&words(&["cat"]), "show version\n").await.as_deref(), Ok("show version\n"));
        let failed = command(&words(&["sh", "-c", "echo no >&2; exit 3"]), "").await.expect_err("it failed");
        assert!(failed.contains("exit status: 3") && failed.ends_with(": no"), "{failed}");
        let absent = command(&words(&["/nowhere/sr_cli"]), "").await.expect_err("it does not run");
        assert!(absent.contains("cannot run"), "{absent}");
    }
}
