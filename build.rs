//! Stamps the version into the build.

use std::path::Path;
use std::process::Command;

fn main() {
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rustc-env=K8S_SERVICES_VERSION={}", version());
}

/// Returns the package version, followed by the commit if the build happens in a checkout.
fn version() -> String {
    let package = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match git(&["rev-parse", "--short=9", "HEAD"]) {
        Some(commit) => format!("{package}+{commit}"),
        None => package,
    }
}

/// Returns the output of git; `None` outside a checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
