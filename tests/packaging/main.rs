//! The packages, installed into an empty root: what is installed, what the switch is asked, what stays and what goes.
//!
//! They are built from this build's own binary; `K8S_SERVICES_PACKAGES` names a folder with finished ones instead
//! (`make package-check`).

mod build;
mod kubeconfig;
mod lifecycle;
mod rights;
mod root;
mod running;
mod traps;

use std::path::Path;
use std::process::{Command, Output};

/// The repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command to its end; its output as one text.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that has to succeed, and shows what it printed when it does not.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `make deps-test` installs it"));
    let text = said(&output);
    assert!(output.status.success(), "{command:?} fails:\n{text}");
    text
}
