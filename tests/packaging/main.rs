//! Tests of the packages, installed into an empty root: which files are installed, what the switch is asked, and what
//! remains.
//!
//! They are built from this build's own binary. `K8S_SERVICES_PACKAGES` can name a folder with finished packages
//! instead (`make package-check`).

mod build;
mod kubeconfig;
mod lifecycle;
mod rights;
mod root;
mod running;
mod traps;

use std::path::Path;
use std::process::{Command, Output};

/// Returns the root of the repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the whole output of a command as one text.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that must succeed, and returns its output. Shows the output if the command fails.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `make deps-test` installs it"));
    let text = said(&output);
    assert!(output.status.success(), "{command:?} fails:\n{text}");
    text
}
