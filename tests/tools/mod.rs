//! Runs tools that are not written in Rust, for the tests of files that are not written in Rust.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the path of a file or folder of the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// Returns the text of a file of the repository.
///
/// # Panics
/// Panics if the file cannot be read.
pub(crate) fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative} cannot be read: {error}"))
}

/// Runs a program in a folder of the repository and prints its output. Returns the output.
///
/// # Panics
/// Panics if the program cannot be started or fails.
pub(crate) fn run(folder: &str, environment: &[(&str, String)], program: &str, arguments: &[&str]) -> String {
    let shown = format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(path(folder)).envs(environment.iter().map(|(name, value)| (name, value)));
    let output =
        command.output().unwrap_or_else(|error| panic!("{program} cannot be run: {error}; try make deps-test"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("$ {shown}\n{text}");
    assert!(output.status.success(), "{shown}: {}\n{text}", output.status);
    text
}

/// Runs the Python tests of a folder and prints their names. There must be at least `least` tests.
///
/// # Panics
/// Panics if a test fails, or if there are fewer tests.
pub(crate) fn unittest(folder: &str, environment: &[(&str, String)], least: usize) {
    let text = run(folder, environment, "python3", &["-B", "-m", "unittest", "--verbose"]);
    let passed = text.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed >= least, "only {passed} of at least {least} tests ran:\n{text}");
}
