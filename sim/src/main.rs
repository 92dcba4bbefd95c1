//! `srl-sim`: labs of emulated SR Linux leaves and embedded Kubernetes clusters, from the command line.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use srl_sim::lab::control::ControlError;
use srl_sim::profile::Profile;

/// Labs of emulated SR Linux leaves with Kubernetes clusters on them.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a lab and leave it running until Ctrl-C.
    Up {
        /// The lab's folder.
        lab: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Folder of the applications' programs; the one this program is in if absent.
        #[arg(long)]
        programs: Option<PathBuf>,
        /// gNMI port of the first leaf; the others follow.
        #[arg(long, default_value_t = 57401)]
        gnmi_port: u16,
        /// Port of the first Kubernetes API server; the others follow.
        #[arg(long, default_value_t = 56443)]
        api_port: u16,
        /// Port of the page that shows the lab, on loopback; 0 selects a free one.
        #[arg(long, default_value_t = 57480)]
        page_port: u16,
        /// Release of the emulated switches: default, 24.10, 25.3, 25.10, 26.3, 26.7 or strict.
        #[arg(long, default_value = "default")]
        release: Profile,
    },
    /// Start a lab, run its scripted demo, and end.
    Demo {
        /// The lab's folder.
        lab: PathBuf,
        /// Folder of sockets and logs; a temporary one if absent.
        #[arg(long)]
        run: Option<PathBuf>,
        /// Folder of the applications' programs; the one this program is in if absent.
        #[arg(long)]
        programs: Option<PathBuf>,
        /// Release of the emulated switches: default, 24.10, 25.3, 25.10, 26.3, 26.7 or strict.
        #[arg(long, default_value = "default")]
        release: Profile,
    },
    /// Play a lab's demo on real leaves and list where they differ from emulated ones.
    Verify {
        /// Inventory of the leaves and how to act on them, such as lab/anycast-metallb/containerlab/verify.yaml.
        inventory: PathBuf,
        /// Only these steps: --step 1 --step 3.
        #[arg(long)]
        step: Vec<usize>,
        /// Also write everything to this file.
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// Open a CLI prompt on a leaf of a running lab, or run one command.
    Cli {
        #[command(flatten)]
        place: Place,
        /// The leaf.
        leaf: String,
        /// The command; a prompt if absent.
        command: Vec<String>,
    },
    /// Break or heal something: `list`, `pull session-down leaf=leaf1 node=cluster1`, `release ...`, `release-all`.
    Lever {
        #[command(flatten)]
        place: Place,
        /// list, pull, release or release-all.
        what: String,
        /// The lever and its details.
        details: Vec<String>,
    },
    /// Do anything a demo step can do: `ndk leaf=leaf1 to=stop`, `scale cluster=c1 name=nginxhello replicas=0`.
    Act {
        #[command(flatten)]
        place: Place,
        /// The action and its details.
        action: Vec<String>,
    },
    /// Print what runs where: gNMI ports, kubeconfig files, levers that are pulled.
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// End a running lab.
    Down {
        #[command(flatten)]
        place: Place,
    },
}

/// Where a running lab is found.
#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of the lab's sockets and logs.
    #[arg(long, env = "SRL_SIM_RUN", default_value = "/tmp/srl-sim")]
    run: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up { lab, place, programs, gnmi_port, api_port, page_port, release } => {
            commands::up(&lab, &place.run, programs, (gnmi_port, api_port, page_port), release)
        }
        Command::Demo { lab, run, programs, release } => commands::demo(&lab, run, programs, release),
        Command::Verify { inventory, step, report } => commands::verify(&inventory, &step, report.as_deref()),
        Command::Cli { place, leaf, command } => commands::on_cli(&place.run, &leaf, &command),
        Command::Lever { place, what, details } => commands::lever(&place.run, &what, &details),
        Command::Act { place, action } => commands::act(&place.run, &action),
        Command::Status { place } => commands::status(&place.run),
        Command::Down { place } => commands::down(&place.run),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("srl-sim: {error:#}");
            // Nothing runs there, so the call was wrong.
            let misuse = matches!(error.downcast_ref(), Some(ControlError::NotRunning { .. }));
            ExitCode::from(if misuse { 2 } else { 1 })
        }
    }
}
