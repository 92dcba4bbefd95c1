//! Runs the agent process: flags, logging, signals; or the doctor, which asks what the agent would ask.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use srl_k8s_services::doctor::{self, Outcome};
use srl_k8s_services::gnmi::{Credentials, PasswordFile};
use srl_k8s_services::harden::{self, Confined};
use srl_k8s_services::kubernetes::{ConnectOptions, Dialers};
use srl_k8s_services::run::{Options, Signals, run};
use srl_k8s_services::server_addr::ServerAddr;
use srl_k8s_services::state_file::StateFile;
use srl_k8s_services::{VERSION, gnmi, ndk};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

/// The allocator of the static program; docs/performance.md compares it with musl's own.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The gNMI password file in the package's folder for credentials.
const GNMI_PASSWORD_FILE: &str = "/etc/opt/srlinux/k8s-services/gnmi-password";

/// Publishes the health of every Kubernetes LoadBalancer VIP as this SR Linux switch sees it.
#[derive(Debug, Parser)]
#[command(name = "k8s-services", version = VERSION, disable_help_subcommand = true)]
struct Args {
    /// NDK server: unix:///path or http://host:port.
    #[arg(
        long,
        global = true,
        env = "K8S_SERVICES_NDK",
        default_value = "unix:///opt/srlinux/var/run/sr_sdk_service_manager:50053"
    )]
    ndk: ServerAddr,
    /// gNMI server of this switch, without TLS: unix:///path or http://host:port.
    #[arg(
        long,
        global = true,
        env = "K8S_SERVICES_GNMI",
        default_value = "unix:///opt/srlinux/var/run/sr_grpc_server_insecure-mgmt"
    )]
    gnmi: ServerAddr,
    /// User for gNMI.
    #[arg(long, global = true, env = "K8S_SERVICES_GNMI_USERNAME", default_value = "admin")]
    gnmi_username: String,
    /// File with the password of that user, readable by the agent alone; read again for every connection. Default:
    /// /etc/opt/srlinux/k8s-services/gnmi-password if it exists; otherwise no credentials are sent.
    #[arg(long, global = true, env = "K8S_SERVICES_GNMI_PASSWORD_FILE")]
    gnmi_password_file: Option<PathBuf>,
    /// Folder of kubeconfigs, tokens, certificates and keys; a path that leads elsewhere is refused.
    #[arg(long, global = true, env = "K8S_SERVICES_CREDENTIALS_DIR", default_value = "/etc/opt/srlinux/k8s-services")]
    credentials_dir: PathBuf,
    /// File that keeps alarms and what else must survive a restart.
    #[arg(long, global = true, env = "K8S_SERVICES_STATE_FILE", default_value = "/opt/k8s-services/state/state.json")]
    state_file: PathBuf,
    /// Syslog socket that alarms are sent to; `none` sends them to the agent's own log.
    #[arg(long, global = true, env = "K8S_SERVICES_SYSLOG", default_value = "/dev/log")]
    syslog: PathBuf,
    /// Name of this switch in Kubernetes Events; default: its host name.
    #[arg(long, global = true, env = "K8S_SERVICES_LEAF")]
    leaf: Option<String>,
    /// Log level: error, warn, info, debug or trace.
    #[arg(long, global = true, env = "K8S_SERVICES_LOG_LEVEL", default_value = "info")]
    log_level: LevelFilter,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Commands other than running the agent.
#[derive(Debug, Subcommand)]
enum Command {
    /// Checks every assumption the agent makes about this switch and says what to type if one does not hold. Changes
    /// nothing. Exit status: 0 if all is well, 1 for a warning, 2 for a failure.
    ///
    /// Flags that are not given here are taken from the running agent.
    Doctor(DoctorArgs),
}

#[derive(Debug, clap::Args)]
struct DoctorArgs {
    /// Also writes a full report to this file, without secrets, to send to support.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Process ID of the agent, if more than one runs on this machine.
    #[arg(long)]
    pid: Option<u32>,
    /// The app_mgr definition that starts the agent.
    #[arg(long, default_value = "/etc/opt/srlinux/appmgr/k8s-services.yml")]
    definition: PathBuf,
    /// The saved configuration of the switch.
    #[arg(long, default_value = "/etc/opt/srlinux/config.json")]
    startup: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if matches!(args.command, Some(Command::Doctor(_))) {
        return examine(args).unwrap_or_else(|error| {
            eprintln!("k8s-services doctor: {error:#}");
            ExitCode::from(Outcome::Failure.exit_status())
        });
    }
    // A log that cannot be written must not end the agent, which would happen while reporting that error.
    let log = tracing_subscriber::fmt().with_max_level(args.log_level).with_ansi(false).with_target(false);
    log.log_internal_errors(false).init();
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the agent ends");
            ExitCode::FAILURE
        }
    }
}

/// Runs the doctor as the running agent's user, with its flags.
fn examine(given: Args) -> anyhow::Result<ExitCode> {
    let pid = given.command.as_ref().and_then(|Command::Doctor(asked)| asked.pid);
    let variable = |flag: &clap::Arg| Some((flag.get_env()?.to_owned(), flag.get_long()?.to_owned()));
    let variables: Vec<doctor::Variable> = Args::command().get_arguments().filter_map(variable).collect();
    let running = doctor::running(pid, &variables);
    let args = with_flags_of(&running).unwrap_or(given);
    let Some(Command::Doctor(asked)) = args.command else { anyhow::bail!("nothing is asked") };
    // Opened as the calling user, who may write and read elsewhere than the agent.
    let report =
        asked.report.map(|path| File::create(&path).with_context(|| format!("cannot write {}", path.display())));
    let mut report = report.transpose()?;
    let startup = saved_configuration(&asked.startup);
    if rustix::process::geteuid().is_root() && running.pid.is_some() && running.uid != 0 {
        harden::become_user(running.uid, running.gid, &running.groups, running.may_enter)?;
    }
    let credentials =
        Credentials { username: args.gnmi_username, password_file: password_file(args.gnmi_password_file) };
    let options = doctor::Options {
        ndk: args.ndk,
        gnmi: gnmi::Options::new(args.gnmi, credentials),
        connect: ConnectOptions {
            credentials: plain(&args.credentials_dir).into(),
            dialers: Dialers::start().context("no thread can be started")?,
        },
        state_file: args.state_file,
        definition: asked.definition,
        version: VERSION,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(doctor::examine(&options, &running, startup));
    runtime.shutdown_timeout(FAREWELL);
    // A reader that closes the pipe has read enough.
    let _ = std::io::stdout().write_all(doctor::lines(&found.checks).as_bytes());
    if let Some(file) = &mut report {
        doctor::write(file, VERSION, &found).context("the report cannot be written")?;
    }
    Ok(ExitCode::from(found.outcome().exit_status()))
}

/// Returns the flags of the running agent, overridden by those given to this program. `None` if another version runs,
/// whose flags are not known here.
fn with_flags_of(running: &doctor::Running) -> Option<Args> {
    let mut own: Vec<OsString> = std::env::args_os().collect();
    let place = own.iter().position(|word| word == "doctor")?;
    own.remove(place);
    let program = own.remove(0);
    let words = [program, "doctor".into()].into_iter().chain(running.flags.iter().cloned()).chain(own);
    let matches = Args::command().args_override_self(true).try_get_matches_from(words).ok()?;
    Args::from_arg_matches(&matches).ok()
}

fn saved_configuration(path: &Path) -> Result<serde_json::Value, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{} is not JSON: {error}", path.display()))
}

fn password_file(given: Option<PathBuf>) -> PasswordFile {
    given.map_or_else(|| PasswordFile::Optional(GNMI_PASSWORD_FILE.into()), PasswordFile::Required)
}

fn start(args: Args) -> anyhow::Result<()> {
    let credentials = plain(&args.credentials_dir);
    let password_file = password_file(args.gnmi_password_file);
    confine(&credentials, password_file.path(), &args.state_file)?;
    // The one thread that keeps the right to enter network namespaces must be started before this thread drops that
    // right.
    let dialers = Dialers::start().context("no thread can be started")?;
    harden::give_up_namespaces()?;
    let options = Options {
        ndk: ndk::Options::new(args.ndk),
        gnmi: gnmi::Options::new(args.gnmi, Credentials { username: args.gnmi_username, password_file }),
        state_file: StateFile::new(args.state_file),
        syslog: (args.syslog.as_os_str() != "none").then_some(args.syslog),
        leaf: args.leaf.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned()),
        connect: ConnectOptions { credentials: credentials.into(), dialers },
        version: VERSION,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let ended = runtime.block_on(async { run(options, signals()?).await });
    // A thread that hangs in a missing file system must not keep the process alive.
    runtime.shutdown_timeout(FAREWELL);
    ended
}

/// Makes all files inaccessible except those that are needed.
fn confine(credentials: &Path, password: &Path, state_file: &Path) -> anyhow::Result<()> {
    let state = state_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o750).create(state) {
        tracing::warn!(folder = %state.display(), %error, "the folder of the state file cannot be made");
    }
    // A password file may be replaced by a new one, so its folder must be readable.
    let password = password.parent().unwrap_or(Path::new("/"));
    if harden::confine(&[credentials.to_owned(), password.to_owned()], state)? == Confined::No {
        tracing::info!("this kernel has no Landlock: every file the agent's user may read stays in reach");
    }
    Ok(())
}

/// Returns a path without `.` and `..`, by its text alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// How long threads may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// SIGXFSZ, which is sent for a write beyond a limit.
const FILE_TOO_LARGE: i32 = rustix::process::Signal::XFSZ.as_raw();

/// Handles signals: SIGTERM and SIGINT stop the agent, SIGHUP makes it read credentials again.
fn signals() -> anyhow::Result<Signals> {
    let (stop_sender, stop) = watch::channel(false);
    let (refresh_sender, refresh) = watch::channel(0);
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    let mut hang_up = signal(SignalKind::hangup()).context("SIGHUP cannot be handled")?;
    // A file that may not grow makes the write fail, and must not end the agent: once handled, the signal is harmless.
    let mut too_large = signal(SignalKind::from_raw(FILE_TOO_LARGE)).context("SIGXFSZ cannot be handled")?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => stop_sender.send_replace(true),
                _ = interrupt.recv() => stop_sender.send_replace(true),
                _ = too_large.recv() => false,
                _ = hang_up.recv() => {
                    tracing::info!("SIGHUP: reading credentials again");
                    refresh_sender.send_modify(|count| *count += 1);
                    false
                }
            };
        }
    });
    Ok(Signals { stop, refresh })
}
