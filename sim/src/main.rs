//! `srl-sim`: labs of emulated SR Linux leaves and embedded Kubernetes clusters, from the command line.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use srl_sim::lab::control::ControlError;
use srl_sim::profile::Profile;

/// Run labs of emulated SR Linux leaves with Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a lab and run it until Ctrl-C.
    Up {
        /// Folder of the lab, such as lab/anycast-metallb.
        lab: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Folder of the applications' programs; by default, the folder of this program.
        #[arg(long)]
        programs: Option<PathBuf>,
        /// gNMI port of the first leaf; the other leaves use the ports after it.
        #[arg(long, default_value_t = 57401)]
        gnmi_port: u16,
        /// Port of the first Kubernetes API server; the others use the ports after it.
        #[arg(long, default_value_t = 56443)]
        api_port: u16,
        /// Port on 127.0.0.1 of the web page that shows the lab; 0 selects a free port.
        #[arg(long, default_value_t = 57480)]
        page_port: u16,
        /// Release of the emulated switches: default, 24.10, 25.3, 25.10, 26.3, 26.7 or strict.
        #[arg(long, default_value = "default")]
        release: Profile,
    },
    /// Start a lab, run its demo and exit.
    Demo {
        /// Folder of the lab, such as lab/anycast-metallb.
        lab: PathBuf,
        /// Folder for sockets and logs; by default, a temporary folder.
        #[arg(long)]
        run: Option<PathBuf>,
        /// Folder of the applications' programs; by default, the folder of this program.
        #[arg(long)]
        programs: Option<PathBuf>,
        /// Release of the emulated switches: default, 24.10, 25.3, 25.10, 26.3, 26.7 or strict.
        #[arg(long, default_value = "default")]
        release: Profile,
    },
    /// Run a lab's demo on real leaves and list how they differ from emulated ones.
    Verify {
        /// File that lists the leaves and how to act on them, such as lab/anycast-metallb/containerlab/verify.yaml.
        inventory: PathBuf,
        /// Number of a step to run, may be repeated; by default, all steps run.
        #[arg(long)]
        step: Vec<usize>,
        /// File to which the output is written as well.
        #[arg(long)]
        report: Option<PathBuf>,
    },
    /// Open a CLI prompt on a leaf of a running lab, or run one command there.
    Cli {
        #[command(flatten)]
        place: Place,
        /// Name of the leaf.
        leaf: String,
        /// Command to run; without it, a prompt opens.
        command: Vec<String>,
    },
    /// Break or heal something in a running lab, for example: pull session-down leaf=leaf1 node=cluster1.
    Lever {
        #[command(flatten)]
        place: Place,
        /// What to do: list (the levers), pull, release or release-all.
        what: String,
        /// Name of the lever and its details.
        details: Vec<String>,
    },
    /// Perform an action of a demo in a running lab, for example: scale cluster=c1 name=nginxhello replicas=0.
    Act {
        #[command(flatten)]
        place: Place,
        /// Name of the action and its details.
        action: Vec<String>,
    },
    /// Print gNMI ports, kubeconfig files and pulled levers of a running lab.
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

/// Where a running lab is.
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
            // No lab runs in the folder, so the command was wrong.
            let misuse = matches!(error.downcast_ref(), Some(ControlError::NotRunning { .. }));
            ExitCode::from(if misuse { 2 } else { 1 })
        }
    }
}
