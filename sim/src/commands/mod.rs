//! The subcommands of `srl-sim`.

mod levers;
mod parse;

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use srl_sim::cli;
use srl_sim::demo::Demo;
use srl_sim::lab::control::{Client, Listener, Request, Response, Status};
use srl_sim::lab::page::Page;
use srl_sim::lab::{Action, Lab, LabFile, LabOptions};
use srl_sim::profile::Profile;
use tokio::signal::unix::{SignalKind, signal};

/// `srl-sim up`
pub(crate) fn up(
    lab: &Path,
    run: &Path,
    programs: Option<PathBuf>,
    (gnmi_port, api_port, page_port): (u16, u16, u16),
    profile: Profile,
) -> Result<ExitCode> {
    let file = LabFile::read(lab)?;
    let options = LabOptions {
        run: run.to_owned(),
        programs: programs_folder(programs)?,
        gnmi_port: Some(gnmi_port),
        api_port: Some(api_port),
        profile,
    };
    runtime()?.block_on(async {
        let listener = Listener::bind(run).await?;
        let page = Page::bind(page_port).await;
        let page = page.with_context(|| format!("port {page_port} is in use: choose another with --page-port"))?;
        let address = page.address()?;
        log_to(run)?;
        let mut out = std::io::stdout();
        let Some(lab) = until_stopped(start(file, options, &mut out)).await? else { return Ok(ExitCode::FAILURE) };
        let lab = Arc::new(lab?);
        let (end_page, ended) = tokio::sync::oneshot::channel::<()>();
        let page = tokio::spawn(page.serve(lab.clone(), async move {
            // It ends when the sender is dropped.
            let _ = ended.await;
        }));
        let mut client_view = String::new();
        print_status(&mut client_view, &srl_sim::lab::control::status(&lab), run);
        println!("\n{client_view}  look at it: http://{address}/\n\nCtrl-C ends the lab");
        // Either one ends the lab.
        let _ = until_stopped(listener.serve(lab.clone())).await?;
        drop(end_page);
        let _ = page.await;
        end(lab).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// `srl-sim demo`
pub(crate) fn demo(lab: &Path, run: Option<PathBuf>, programs: Option<PathBuf>, profile: Profile) -> Result<ExitCode> {
    let file = LabFile::read(lab)?;
    let demo = Demo::read(lab)?;
    let kept = run.is_some();
    let run = match run {
        Some(run) => run,
        None => {
            tempfile::Builder::new().prefix("srl-sim-").tempdir().context("cannot create a temporary folder")?.keep()
        }
    };
    let options =
        LabOptions { run: run.clone(), programs: programs_folder(programs)?, gnmi_port: None, api_port: None, profile };
    let outcome = runtime()?.block_on(async {
        std::fs::create_dir_all(&run)?;
        log_to(&run)?;
        let mut out = std::io::stdout();
        let Some(lab) = until_stopped(start(file, options, &mut out)).await? else { bail!("stopped") };
        let lab = lab?;
        let outcome = until_stopped(srl_sim::demo::run(&lab, &demo, &mut out)).await;
        lab.down().await;
        match outcome? {
            Some(result) => Ok(result?),
            None => bail!("stopped"),
        }
    });
    if outcome.is_err() && has_folders(&run) {
        eprintln!("logs are in {}", run.display());
    } else if !kept {
        // Nobody needs the logs of a demo that succeeded or never began.
        let _ = std::fs::remove_dir_all(&run);
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// `srl-sim verify`
pub(crate) fn verify(inventory: &Path, steps: &[usize], report: Option<&Path>) -> Result<ExitCode> {
    let create = |path: &Path| std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()));
    let mut out = Tee { report: report.map(create).transpose()? };
    let found = runtime()?.block_on(until_stopped(srl_sim::verify::run(inventory, steps, &mut out)))?;
    match found {
        Some(found) => Ok(if found?.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        None => bail!("stopped"),
    }
}

/// Writes to standard output and, if given, to a file.
struct Tee {
    report: Option<std::fs::File>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stdout().write_all(bytes)?;
        if let Some(report) = &mut self.report {
            report.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

/// Returns whether any leaf got a folder.
fn has_folders(run: &Path) -> bool {
    let entries = std::fs::read_dir(run).into_iter().flatten();
    entries.flatten().any(|entry| entry.path().is_dir())
}

/// `srl-sim cli`
pub(crate) fn on_cli(run: &Path, leaf: &str, command: &[String]) -> Result<ExitCode> {
    // If there is no lab or no such leaf, the lab's own error is the better one.
    let Response::Status(status) = Client::connect(run)?.ask(&Request::Status)? else {
        bail!("the lab does not report its status");
    };
    if !status.gnmi.contains_key(leaf) {
        let known: Vec<&str> = status.gnmi.keys().map(String::as_str).collect();
        bail!("lab {} has no leaf '{leaf}' (it has {})", status.name, known.join(", "));
    }
    let mut client = cli::Client::connect(&Lab::cli_socket(run, leaf))
        .with_context(|| format!("cannot connect to the CLI of {leaf}"))?;
    if command.is_empty() && std::io::stdin().is_terminal() {
        client.prompt(&run.join("history"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if command.is_empty() {
        // Like sr_cli with piped input, stops at the first error: later lines could mean something else.
        let lines: Vec<String> = std::io::stdin().lines().collect::<Result<_, _>>()?;
        let status = client.script(&lines, true, |text| print!("{text}"))?;
        return Ok(ExitCode::from(status));
    }
    let output = client.execute(&command.join(" "))?;
    std::io::stdout().lock().write_all(output.text.as_bytes())?;
    Ok(ExitCode::from(output.status))
}

/// `srl-sim lever`
pub(crate) fn lever(run: &Path, what: &str, details: &[String]) -> Result<ExitCode> {
    if what == "list" {
        print!("{}", levers::list());
        return Ok(ExitCode::SUCCESS);
    }
    let mut words = vec![what.to_owned()];
    words.extend_from_slice(details);
    act(run, &words)
}

/// `srl-sim act`
pub(crate) fn act(run: &Path, words: &[String]) -> Result<ExitCode> {
    let action = parse::action(words)?;
    match Client::connect(run)?.ask(&Request::Act(action.clone()))? {
        Response::Done => {
            println!("{}", done(&action, run));
            Ok(ExitCode::SUCCESS)
        }
        other => unexpected(other),
    }
}

/// Says what was done, and how to undo it.
fn done(action: &Action, run: &Path) -> String {
    match action {
        Action::Pull(lever) => {
            let summary = lever.summary();
            format!("{summary}: pulled; heal it with: srl-sim lever --run {} release {summary}", run.display())
        }
        other => format!("{}: done", other.summary()),
    }
}

/// `srl-sim status`
pub(crate) fn status(run: &Path) -> Result<ExitCode> {
    match Client::connect(run)?.ask(&Request::Status)? {
        Response::Status(status) => {
            let mut text = String::new();
            print_status(&mut text, &status, run);
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        other => unexpected(other),
    }
}

/// `srl-sim down`
pub(crate) fn down(run: &Path) -> Result<ExitCode> {
    match Client::connect(run)?.ask(&Request::Down)? {
        Response::Done => Ok(ExitCode::SUCCESS),
        other => unexpected(other),
    }
}

fn unexpected(response: Response) -> Result<ExitCode> {
    match response {
        Response::Refused(why) => bail!("{why}"),
        other => bail!("unexpected answer of the lab: {other:?}"),
    }
}

/// Starts a lab, and prints its progress line by line.
async fn start(file: LabFile, options: LabOptions, out: &mut impl Write) -> Result<Lab> {
    writeln!(out, "{}: {}", file.content.name, file.content.description)?;
    let lab = Lab::up(file, options, |line| {
        // A failure to print progress must not stop the lab.
        let _ = writeln!(out, "  {line}");
    });
    Ok(lab.await?)
}

/// Ends a lab if nobody else holds it.
async fn end(lab: Arc<Lab>) {
    if let Some(lab) = Arc::into_inner(lab) {
        lab.down().await;
    }
}

/// Awaits `work` unless SIGINT or SIGTERM comes first, which returns `None`.
async fn until_stopped<T>(work: impl Future<Output = T>) -> Result<Option<T>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        done = work => Ok(Some(done)),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// Writes the log to a file in the run folder, because the terminal is for the operator.
fn log_to(run: &Path) -> Result<()> {
    let path = run.join("srl-sim.log");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(file)).init();
    Ok(())
}

fn programs_folder(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(folder) = given {
        return Ok(folder);
    }
    let own = std::env::current_exe().context("cannot find the folder of this program: use --programs")?;
    Ok(own.parent().unwrap_or(Path::new(".")).to_owned())
}

fn print_status(text: &mut String, status: &Status, run: &Path) {
    use std::fmt::Write;
    let shown = run.display();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "lab {}", status.name);
    for (leaf, address) in &status.gnmi {
        let address = address.map_or("no TCP port".to_owned(), |address| address.to_string());
        let _ = writeln!(text, "  {leaf:<8} gNMI {address:<22} srl-sim cli --run {shown} {leaf}");
    }
    for (cluster, (address, kubeconfig)) in &status.clusters {
        // Every line has the path of the folder as it was given.
        let kubeconfig = kubeconfig.file_name().map_or(kubeconfig.clone(), |name| run.join(name));
        let _ = writeln!(text, "  {cluster:<8} API  {address:<22} kubectl --kubeconfig {}", kubeconfig.display());
    }
    for lever in &status.levers {
        let _ = writeln!(text, "  broken   {}", lever.summary());
    }
}
