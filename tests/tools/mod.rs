//! Tools that are not Rust, run by the tests of what is not Rust.

use std::path::Path;
use std::process::Command;

/// Runs a program in a folder of the repository and shows what it says; it must succeed.
///
/// # Panics
/// If it cannot be started or fails.
pub fn run(folder: &str, program: &str, arguments: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let output = Command::new(program)
        .args(arguments)
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run in {}: {error}", folder.display()));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("$ {program} {}\n{text}", arguments.join(" "));
    assert!(output.status.success(), "{program} {}: {}\n{text}", arguments.join(" "), output.status);
    text
}

/// Runs the Python tests of a folder, each named in the output; at least `least` must be there.
///
/// # Panics
/// If one fails, or tests have gone missing.
pub fn unittest(folder: &str, least: usize) {
    let text = run(folder, "python3", &["-B", "-m", "unittest", "--verbose"]);
    let passed = text.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed >= least, "only {passed} of at least {least} tests ran:\n{text}");
}
